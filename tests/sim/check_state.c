#include "tests/sim/check.h"

#include <msgpack.h>

static q_slice id_key(q_arena *arena, int id)
{
    q_value v = { .type = Q_T_STRING, .s = q_slice_cstr(sim_id_name(id)) };
    return mem_key(arena, &v);
}

/* What an engine shows of a record; NULL when nothing. */
static const mem_part *shown(world *w, q_engine_id engine, int bucket, int type, int id)
{
    mem_table *t = mem_table_of(&w->servers[engine]->store, q_slice_cstr(sim_bucket_names[bucket]), q_slice_cstr(sim_types[type].name));
    const mem_slot *slot = mem_slot_find(t, id_key(w->s.arena, id));
    return slot && slot->part && q_rule_visible(&slot->part->stored, t->named.created) ? slot->part : NULL;
}

static bool int_is(const q_value *v, bool has, int64_t want) { return has ? v && v->type == Q_T_INT && v->i == want : !v || v->type == Q_T_NULL; }

static bool postgres_right(const mem_part *p, const sim_type_info *t, const model_row *row)
{
    if (!p || (t->num && !int_is(mem_value(p, q_slice_cstr(t->num)), row->has_num, row->num)))
        return false;
    if (!t->tag)
        return true;
    char tag[16];
    int n = snprintf(tag, sizeof tag, "t%d", row->tag);
    const q_value *v = mem_value(p, q_slice_cstr(t->tag));
    return row->tag == SIM_NONE ? !v || v->type == Q_T_NULL : v && v->type == Q_T_STRING && q_slice_eq(v->s, q_slice_of(tag, (size_t)n));
}

/* { v: int, log: [ints] }, whatever the order of the keys. */
static bool doc_right(const q_value *v, const model_row *row)
{
    if (!row->has_doc)
        return !v || v->type == Q_T_NULL;
    if (!v || v->type != Q_T_DOC)
        return false;
    msgpack_unpacked u;
    msgpack_unpacked_init(&u);
    bool right = msgpack_unpack_next(&u, v->s.ptr, v->s.len, NULL) == MSGPACK_UNPACK_SUCCESS && u.data.type == MSGPACK_OBJECT_MAP && u.data.via.map.size == 2;
    for (uint32_t i = 0; right && i < 2; i++) {
        const msgpack_object *k = &u.data.via.map.ptr[i].key, *x = &u.data.via.map.ptr[i].val;
        q_slice key = k->type == MSGPACK_OBJECT_STR ? q_slice_of(k->via.str.ptr, k->via.str.size) : Q_SLICE_NONE;
        if (q_slice_eq(key, Q_SLICE_LIT("v"))) {
            right = (x->type == MSGPACK_OBJECT_POSITIVE_INTEGER || x->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) && x->via.i64 == row->v;
        } else {
            right = q_slice_eq(key, Q_SLICE_LIT("log")) && x->type == MSGPACK_OBJECT_ARRAY && x->via.array.size == row->log_count;
            for (uint32_t n = 0; right && n < row->log_count; n++)
                right = x->via.array.ptr[n].via.i64 == row->log[n];
        }
    }
    msgpack_unpacked_destroy(&u);
    return right;
}

static bool mongo_right(const mem_part *p, const sim_type_info *t, const model_row *row) { return doc_right(p ? mem_value(p, q_slice_cstr(t->doc)) : NULL, row); }

static bool neo4j_right(const mem_part *p, const sim_type_info *t, const model_row *row)
{
    const q_value *v = p ? mem_value(p, q_slice_cstr(t->friend)) : NULL;
    if (row->friend == SIM_NONE)
        return !v || v->type == Q_T_NULL || (v->type == Q_T_RELATION && v->rel.count == 0);
    return v && v->type == Q_T_RELATION && v->rel.count == 1 && v->rel.items[0].type == Q_T_STRING &&
           q_slice_eq(v->rel.items[0].s, q_slice_cstr(sim_id_name(row->friend)));
}

/* All points of this life, each once; and the latest of them. */
static bool influx_right(const mem_part *p, const sim_type_info *t, const model_row *row)
{
    uint32_t stored = 0, wanted = 0;
    for (const mem_sample *s = p ? p->samples : NULL; s; s = s->next)
        stored++;
    for (const model_sample *x = row->samples; x; x = x->next) {
        bool there = false;
        wanted++;
        for (const mem_sample *s = p ? p->samples : NULL; s && !there; s = s->next)
            there = s->seq == x->seq && s->value.type == Q_T_INT && s->value.i == x->value;
        if (!there)
            return false;
    }
    const mem_sample *latest = p ? mem_latest(p, q_slice_cstr(t->level)) : NULL;
    return stored == wanted && (row->has_level ? latest && latest->value.i == row->level : !latest);
}

static void check_row(world *w, int bucket, int type, int id, const model_row *row)
{
    static bool (*const right[Q_EN_COUNT])(const mem_part *p, const sim_type_info *t, const model_row *row) = { postgres_right, mongo_right, neo4j_right, influx_right };
    const sim_type_info *t = &sim_types[type];
    for (int e = 0; e < Q_EN_COUNT; e++) {
        if ((e == Q_EN_MONGO && !t->doc) || (e == Q_EN_NEO4J && !t->friend) || (e == Q_EN_INFLUX && !t->level))
            continue;
        const mem_part *p = shown(w, (q_engine_id)e, bucket, type, id);
        if (!row && p)
            sim_violation(&w->s, "state", "%s shows %s %s of %s (seq %llu), which isn't there", q_engine_name((q_engine_id)e), sim_types[type].name,
                          sim_id_name(id), sim_bucket_names[bucket], (unsigned long long)p->stored.seq);
        else if (row && !right[e](p, t, row))
            sim_violation(&w->s, "state", "%s holds %s %s of %s (stored seq %llu) otherwise than seq %llu left it", q_engine_name((q_engine_id)e),
                          sim_types[type].name, sim_id_name(id), sim_bucket_names[bucket], (unsigned long long)(p ? p->stored.seq : 0),
                          (unsigned long long)row->seq);
    }
}

void check_state(world *w, const model *final)
{
    for (int b = 0; b < SIM_BUCKETS; b++)
        for (int t = 0; t < SIM_TYPES; t++)
            for (int id = 0; id < SIM_IDS && !w->s.failed; id++)
                check_row(w, b, t, id, final->types[b][t].exists ? final->types[b][t].rows[id] : NULL);
}
