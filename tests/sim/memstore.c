#include "tests/sim/memstore.h"

#include <assert.h>
#include <stdlib.h>

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

/* Doubles an array that lives in the arena. */
static void *grown(q_arena *arena, const void *at, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap)
        return NULL;
    *cap = *cap ? *cap * 2 : 8;
    void *p = must(q_arena_alloc(arena, (size_t)*cap * size));
    if (count)
        memcpy(p, at, count * size);
    return p;
}

q_slice mem_key(q_arena *arena, const q_value *id)
{
    static _Thread_local q_buf scratch = Q_BUF_INIT(Q_MAX_ID_BYTES + 64); /* kept: this is called for every item */
    q_buf_clear(&scratch);
    q_value_key(id, &scratch);
    return q_arena_copy(arena, q_buf_slice(&scratch));
}

mem_table *mem_table_of(mem_store *m, q_slice bucket, q_slice record)
{
    for (uint32_t i = 0; i < m->table_count; i++)
        if (q_slice_eq(m->tables[i]->record, record) && q_slice_eq(m->tables[i]->bucket, bucket))
            return m->tables[i];
    mem_table **more = grown(m->arena, m->tables, m->table_count, &m->table_cap, sizeof *m->tables);
    if (more)
        m->tables = more;
    mem_table *t = must(Q_NEW(m->arena, mem_table));
    t->bucket = q_arena_copy(m->arena, bucket);
    t->record = q_arena_copy(m->arena, record);
    m->tables[m->table_count++] = t;
    return t;
}

/* The first slot whose key isn't lower. */
static uint32_t lower_bound(const mem_table *t, q_slice key)
{
    uint32_t lo = 0, hi = t->count;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (q_slice_cmp(t->slots[mid]->key, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

mem_slot *mem_slot_find(const mem_table *t, q_slice key)
{
    uint32_t i = lower_bound(t, key);
    return i < t->count && q_slice_eq(t->slots[i]->key, key) ? t->slots[i] : NULL;
}

static mem_slot *slot_make(mem_store *m, mem_table *t, const q_value *id, q_slice key)
{
    uint32_t i = lower_bound(t, key);
    if (i < t->count && q_slice_eq(t->slots[i]->key, key))
        return t->slots[i];
    mem_slot **more = grown(m->arena, t->slots, t->count, &t->cap, sizeof *t->slots);
    if (more)
        t->slots = more;
    memmove(&t->slots[i + 1], &t->slots[i], (t->count - i) * sizeof *t->slots);
    t->count++;
    mem_slot *s = must(Q_NEW(m->arena, mem_slot));
    s->key = q_arena_copy(m->arena, key);
    if (!q_value_copy(m->arena, id, &s->id))
        abort();
    t->slots[i] = s;
    return s;
}

q_stored mem_stored(const mem_slot *slot) { return slot && slot->part ? slot->part->stored : (q_stored){ 0 }; }

static mem_undo *undo(mem_store *m)
{
    mem_undo *more = grown(m->arena, m->undo, m->undo_count, &m->undo_cap, sizeof *m->undo);
    if (more)
        m->undo = more;
    return &m->undo[m->undo_count++];
}

static void replace(mem_store *m, mem_table *t, mem_slot *s, const mem_part *part)
{
    *undo(m) = (mem_undo){ .table = t, .slot = s, .part = s->part };
    s->part = part;
}

const q_value *mem_value(const mem_part *part, q_slice attr)
{
    for (uint32_t i = 0; i < part->count; i++)
        if (q_slice_eq(part->fields[i].attr, attr))
            return &part->fields[i].value;
    return NULL;
}

const mem_sample *mem_latest(const mem_part *part, q_slice attr)
{
    const mem_sample *best = NULL;
    for (const mem_sample *x = part->samples; x; x = x->next)
        if (q_slice_eq(x->attr, attr) && (!best || q_rule_newer_sample(x->value.at_us, x->seq, best->value.at_us, best->seq)))
            best = x;
    return best;
}

static const mem_sample *with_samples(mem_store *m, const mem_sample *tail, const q_item *item, uint64_t seq, int64_t time_us)
{
    for (uint32_t i = 0; i < item->count; i++) {
        const q_field *f = &item->fields[i];
        if (f->value.type == Q_T_NULL)
            continue;
        q_value v = f->value;
        if (!v.at_us)
            v.at_us = time_us;
        bool known = false; /* the same point, written again: the server overwrites it with itself */
        for (const mem_sample *x = tail; x && !known; x = x->next)
            known = x->seq == seq && x->value.at_us == v.at_us && q_slice_eq(x->attr, f->attr);
        if (known)
            continue;
        mem_sample *s = must(Q_NEW(m->arena, mem_sample));
        *s = (mem_sample){ tail, f->attr, v, seq };
        tail = s;
    }
    return tail;
}

static void set_fields(mem_store *m, mem_part *part, const mem_part *old, const q_item *item)
{
    uint32_t most = item->count + (old ? old->count : 0), n = 0;
    mem_field *fields = must(Q_NEW_ARRAY(m->arena, mem_field, most + 1));
    for (uint32_t i = 0; i < item->count; i++)
        if (item->fields[i].value.type != Q_T_NULL)
            fields[n++] = (mem_field){ item->fields[i].attr, item->fields[i].value };
    for (uint32_t i = 0; old && i < old->count; i++) {
        bool named = false;
        for (uint32_t k = 0; k < item->count && !named; k++)
            named = q_slice_eq(item->fields[k].attr, old->fields[i].attr);
        if (!named)
            fields[n++] = old->fields[i];
    }
    part->fields = fields;
    part->count = n;
}

static void drop_parts(mem_store *m, mem_table *t, uint64_t seq)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->slots[i]->part && t->slots[i]->part->stored.seq < seq)
            replace(m, t, t->slots[i], NULL);
}

static void keep_unique(mem_store *m, mem_table *t, const q_ddl *d)
{
    uint32_t n = d->kind == Q_DDL_ALTER_RECORD ? t->unique_count : 0, had = n;
    q_slice *names = must(Q_NEW_ARRAY(m->arena, q_slice, had + d->count + 1));
    for (uint32_t i = 0; i < had; i++)
        names[i] = t->unique[i];
    for (uint32_t i = 0; i < d->count; i++)
        if (d->attrs[i].unique)
            names[n++] = d->attrs[i].name;
    t->unique = names;
    t->unique_count = n;
}

static void apply_ddl(mem_store *m, const q_writes *w, const q_item *item, uint64_t seq)
{
    mem_table *t = mem_table_of(m, w->bucket, item->ddl.record);
    if (!q_rule_apply_ddl(&t->named, seq))
        return;
    *undo(m) = (mem_undo){ .table = t, .named = t->named, .unique_count = t->unique_count, .unique = t->unique };
    t->named = q_rule_named_after(&t->named, item->ddl.kind, item->incarnation, seq);
    if (item->ddl.kind == Q_DDL_CREATE_RECORD || item->ddl.kind == Q_DDL_ALTER_RECORD)
        keep_unique(m, t, &item->ddl);
    if (item->ddl.kind != Q_DDL_ALTER_RECORD)
        drop_parts(m, t, seq);
    if (item->ddl.kind == Q_DDL_DROP_BUCKET)
        for (uint32_t i = 0; i < m->table_count; i++)
            if (q_slice_eq(m->tables[i]->bucket, w->bucket))
                drop_parts(m, m->tables[i], seq);
}

static bool stale_name(mem_store *m, const q_writes *w, const q_item *item, mem_table *t)
{
    return q_rule_stale_incarnation(&t->named, item->incarnation) ||
           q_rule_stale_incarnation(&mem_table_of(m, w->bucket, Q_SLICE_NONE)->named, w->bucket_incarnation);
}

void mem_apply(mem_store *m, const q_writes *w, const q_item *item, q_slice key, uint64_t seq, int64_t time_us)
{
    if (item->op == Q_I_DDL) {
        apply_ddl(m, w, item, seq);
        return;
    }
    mem_table *t = mem_table_of(m, w->bucket, item->record);
    if (stale_name(m, w, item, t))
        return;
    mem_slot *s = mem_slot_find(t, key);
    q_stored before = mem_stored(s);
    q_apply how = q_rule_apply(&before, item, seq, m->metrics, m->sabotage);
    if (how == Q_AP_SKIP)
        return;
    if (!s)
        s = slot_make(m, t, &item->id, key);
    mem_part *part = must(Q_NEW(m->arena, mem_part));
    part->stored = q_rule_after(&before, item, seq, how);
    const mem_part *old = how == Q_AP_MERGE || how == Q_AP_APPEND ? s->part : NULL;
    if (how == Q_AP_ERASE) {
        part = NULL;
    } else if (how == Q_AP_BURY) {
        assert(part->stored.dead);
    } else if (m->metrics) {
        part->samples = with_samples(m, old ? old->samples : NULL, item, seq, time_us);
    } else {
        set_fields(m, part, old, item);
    }
    replace(m, t, s, part);
}

q_no mem_vote(mem_store *m, const q_writes *w, const q_item *item, q_slice key, uint64_t seq)
{
    if (item->op == Q_I_DDL)
        return q_rule_vote_ddl(&mem_table_of(m, w->bucket, item->ddl.record)->named, seq);
    mem_table *t = mem_table_of(m, w->bucket, item->record);
    if (stale_name(m, w, item, t))
        return Q_NO_STALE;
    q_stored stored = mem_stored(mem_slot_find(t, key));
    return q_rule_vote(&stored, item, seq, m->sabotage);
}

/* As SQL compares: 1.0 is 1.000. */
static bool same_value(const q_value *a, const q_value *b) { return q_value_comparable(a->type, b->type) && q_value_cmp(a, b) == 0; }

/* What `item` makes of the attribute; NULL: it leaves it as it is. */
static const q_value *sets(const q_item *item, q_slice attr)
{
    static const q_value none = { .type = Q_T_NULL };
    for (uint32_t f = 0; item->op == Q_I_PUT && f < item->count; f++)
        if (q_slice_eq(item->fields[f].attr, attr))
            return &item->fields[f].value;
    return item->op == Q_I_DELETE || (item->op == Q_I_PUT && item->full) ? &none : NULL;
}

static bool taken(const mem_table *t, const q_writes *w, const q_slice *keys, uint32_t index, q_slice attr, const q_value *mine)
{
    const q_item *item = &w->items[index];
    for (uint32_t i = 0; i < w->count; i++) { /* another record of this transaction */
        const q_value *v = i != index && q_slice_eq(w->items[i].record, item->record) ? sets(&w->items[i], attr) : NULL;
        if (v && v->type != Q_T_NULL && same_value(mine, v))
            return true;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        const mem_part *p = t->slots[i]->part;
        if (!p || q_slice_eq(t->slots[i]->key, keys[index]) || !q_rule_visible(&p->stored, item->incarnation))
            continue;
        const q_value *theirs = mem_value(p, attr);
        for (uint32_t k = 0; theirs && k < w->count; k++) /* given up in this transaction */
            if (q_slice_eq(keys[k], t->slots[i]->key) && q_slice_eq(w->items[k].record, item->record) && sets(&w->items[k], attr))
                theirs = NULL;
        if (theirs && same_value(mine, theirs))
            return true;
    }
    return false;
}

bool mem_unique_taken(mem_store *m, const q_writes *w, const q_slice *keys, uint32_t index)
{
    const q_item *item = &w->items[index];
    if (item->op != Q_I_PUT)
        return false;
    const mem_table *t = mem_table_of(m, w->bucket, item->record);
    for (uint32_t u = 0; u < t->unique_count; u++) {
        const q_value *mine = sets(item, t->unique[u]);
        if (mine && mine->type != Q_T_NULL && taken(t, w, keys, index, t->unique[u], mine))
            return true;
    }
    return false;
}

void mem_purge(mem_store *m, uint64_t upto)
{
    for (uint32_t i = 0; i < m->table_count; i++)
        for (uint32_t k = 0; k < m->tables[i]->count; k++) {
            mem_slot *s = m->tables[i]->slots[k];
            if (s->part && s->part->stored.dead && s->part->stored.seq <= upto)
                replace(m, m->tables[i], s, NULL);
        }
}

void mem_sync(mem_store *m) { m->undo_count = 0; }

void mem_lose(mem_store *m)
{
    while (m->undo_count > 0) {
        const mem_undo *u = &m->undo[--m->undo_count];
        if (u->slot) {
            u->slot->part = u->part;
        } else {
            u->table->named = u->named;
            u->table->unique = u->unique;
            u->table->unique_count = u->unique_count;
        }
    }
}

/* ---- backups ---- */

struct mem_backup {
    uint32_t table_count;
    struct mem_backup_table {
        mem_table table;
        const mem_part **parts;
    } *tables;
};

mem_backup *mem_backup_take(mem_store *m)
{
    assert(m->undo_count == 0);
    mem_backup *b = must(Q_NEW(m->arena, mem_backup));
    b->table_count = m->table_count;
    b->tables = must(q_arena_calloc(m->arena, m->table_count + 1, sizeof *b->tables));
    for (uint32_t i = 0; i < m->table_count; i++) {
        const mem_table *t = m->tables[i];
        b->tables[i].table = *t;
        b->tables[i].table.slots = must(Q_NEW_ARRAY(m->arena, mem_slot *, t->count + 1));
        b->tables[i].parts = must(q_arena_calloc(m->arena, t->count + 1, sizeof(mem_part *)));
        for (uint32_t k = 0; k < t->count; k++) {
            b->tables[i].table.slots[k] = t->slots[k];
            b->tables[i].parts[k] = t->slots[k]->part;
        }
    }
    return b;
}

void mem_store_wipe(mem_store *m)
{
    for (uint32_t i = 0; i < m->table_count; i++) {
        mem_table *t = m->tables[i];
        for (uint32_t k = 0; k < t->count; k++)
            t->slots[k]->part = NULL;
        t->named = (q_named){ 0 };
        t->unique_count = 0;
    }
    m->undo_count = 0;
}

void mem_backup_restore(mem_store *m, const mem_backup *b)
{
    for (uint32_t i = 0; i < m->table_count; i++) {
        mem_table *t = m->tables[i];
        for (uint32_t k = 0; k < t->count; k++)
            t->slots[k]->part = NULL;
        t->named = (q_named){ 0 };
    }
    for (uint32_t i = 0; i < b->table_count; i++) {
        mem_table *t = m->tables[i]; /* tables are only ever added */
        t->named = b->tables[i].table.named;
        t->unique = b->tables[i].table.unique;
        t->unique_count = b->tables[i].table.unique_count;
        for (uint32_t k = 0; k < b->tables[i].table.count; k++)
            b->tables[i].table.slots[k]->part = b->tables[i].parts[k];
    }
    m->undo_count = 0;
}
