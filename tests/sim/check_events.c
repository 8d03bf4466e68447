#include "tests/sim/check.h"

#include <stdlib.h>

#include "tests/sim/json.h"

typedef struct parsed {
    const sim_event *e;
    uint32_t place;             /* in the topic */
    uint64_t seq;
    uint32_t index;
    int type, id;               /* SIM_NONE: another record */
    char op;                    /* 'i' 'u' 'd' */
    bool has_num, num_null;
    int64_t num;
} parsed;

struct event_index { uint32_t count; parsed *at; }; /* by (seq, index) */

static void bad(world *w, const sim_event *e, const char *what)
{
    sim_violation(&w->s, "events", "%s: %.*s in the changes of %s", what, Q_SLICE_FMT(e->value), sim_bucket_names[e->bucket]);
}

static int type_of(const char *name)
{
    for (int t = 0; name && t < SIM_TYPES; t++)
        if (strcmp(sim_types[t].name, name) == 0)
            return t;
    return SIM_NONE;
}

static bool parse(const sim_event *e, parsed *p)
{
    json_error_t error;
    sim_json_begin();
    json_t *o = json_loadb(e->value.ptr, e->value.len, 0, &error), *seq = json_object_get(o, "seq"), *index = json_object_get(o, "index");
    const char *id = json_string_value(json_object_get(o, "id")), *op = json_string_value(json_object_get(o, "op")),
               *bucket = json_string_value(json_object_get(o, "bucket"));
    p->type = type_of(json_string_value(json_object_get(o, "record")));
    p->id = id ? sim_id_number(id, strlen(id)) : SIM_NONE;
    p->seq = (uint64_t)json_integer_value(seq);
    p->index = (uint32_t)json_integer_value(index);
    p->op = op ? op[0] : '?';
    if (p->type != SIM_NONE && sim_types[p->type].num) {
        json_t *num = json_object_get(json_object_get(o, "after"), sim_types[p->type].num);
        p->has_num = num != NULL;
        p->num_null = json_is_null(num);
        p->num = json_integer_value(num);
    }
    bool good = o && json_is_integer(seq) && json_is_integer(index) && id && q_slice_eq(e->key, q_slice_cstr(id)) && p->type != SIM_NONE &&
                p->id != SIM_NONE && bucket && strcmp(bucket, sim_bucket_names[e->bucket]) == 0;
    sim_json_end();
    return good;
}

static int by_seq_index_place(const void *x, const void *y)
{
    const parsed *a = x, *b = y;
    if (a->seq != b->seq)
        return a->seq < b->seq ? -1 : 1;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

/* First occurrences of a record's events come in the order of their seqs. */
static void check_order(world *w, const event_index *x)
{
    uint32_t last[SIM_BUCKETS][SIM_TYPES][SIM_IDS] = { 0 }; /* place + 1 of the event with the highest seq so far */
    for (uint32_t i = 0; i < x->count; i++) {
        const parsed *p = &x->at[i];
        uint32_t *l = &last[p->e->bucket][p->type][p->id];
        if (p->place + 1 < *l)
            bad(w, p->e, "published before one of a lower seq of the same record");
        *l = p->place + 1;
    }
}

event_index *check_events(world *w)
{
    const sim_list *all = &w->h.events;
    event_index *x = Q_NEW(w->s.arena, event_index);
    parsed *at = Q_NEW_ARRAY(w->s.arena, parsed, all->count + 1);
    if (!x || !at)
        abort();
    for (uint32_t i = 0; i < all->count && !w->s.failed; i++) {
        const sim_event *e = all->at[i];
        at[i].e = e;
        at[i].place = i;
        if (!parse(e, &at[i])) {
            bad(w, e, "not a change event");
            break;
        }
        const sim_decision *d = history_decision(&w->h, at[i].seq);
        if (!d || !d->committed || d->durable_us > e->at_us)
            bad(w, e, "its transaction wasn't committed when it was published");
    }
    x->at = at;
    if (w->s.failed)
        return x;
    qsort(at, all->count, sizeof *at, by_seq_index_place);
    for (uint32_t i = 0; i < all->count; i++) {
        if (x->count && at[x->count - 1].seq == at[i].seq && at[x->count - 1].index == at[i].index) {
            if (!q_slice_eq(at[x->count - 1].e->value, at[i].e->value))
                bad(w, at[i].e, "another content under the same seq and index");
            continue;
        }
        at[x->count++] = at[i];
    }
    check_order(w, x);
    return x;
}

static const parsed *find(const parsed *at, uint32_t n, const model_change *c)
{
    for (uint32_t i = 0; i < n; i++)
        if (at[i].type == c->type && at[i].id == c->id)
            return &at[i];
    return NULL;
}

static bool tells(const parsed *p, const model_change *c, const model_row *row)
{
    char op = c->deleted ? 'd' : c->inserted ? 'i' : 'u';
    if (p->op != op)
        return false;
    return !row || !p->has_num || (row->has_num ? !p->num_null && p->num == row->num : p->num_null);
}

void check_events_of(world *w, const event_index *x, uint64_t seq, int bucket, const model *m, const model_result *changed)
{
    uint32_t from = 0, to = x->count, wanted = 0;
    while (from < to) { /* the first of this seq */
        uint32_t mid = (from + to) / 2;
        if (x->at[mid].seq < seq)
            from = mid + 1;
        else
            to = mid;
    }
    for (to = from; to < x->count && x->at[to].seq == seq; to++) {
    }
    for (uint32_t i = 0; i < changed->change_count; i++) {
        const model_change *c = &changed->changes[i];
        if (!c->existed && c->deleted)
            continue;
        wanted++;
        const parsed *p = find(x->at + from, to - from, c);
        if (!p)
            sim_violation(&w->s, "events", "seq %llu changed %s %s of %s, and no event tells it", (unsigned long long)seq, sim_types[c->type].name,
                          sim_id_name(c->id), sim_bucket_names[bucket]);
        else if (!tells(p, c, m->types[bucket][c->type].rows[c->id]))
            bad(w, p->e, "it tells something else than what was changed");
    }
    if (wanted < to - from)
        bad(w, x->at[from].e, "one of its transaction's events tells of a change that wasn't made");
}
