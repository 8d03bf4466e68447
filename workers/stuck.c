#include "workers/stuck.h"

#include <stdlib.h>
#include <xxhash.h>

typedef struct written {
    uint64_t *keys;
    uint32_t count;
    bool whole_bucket;
} written;

static int key_order(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a > b) - (a < b);
}

/* Which records a transaction writes. Two that share none can go in any order. A hash that meets by chance only makes one wait. */
static written written_by(q_arena *arena, const q_unit *unit)
{
    written t = { .whole_bucket = true };
    q_writes w;
    q_err err = Q_ERR_INIT;
    if (q_writes_decode(arena, unit->work.writes, &w, &err) != Q_OK)
        return t;
    t.keys = q_arena_alloc(arena, sizeof *t.keys * (w.count + 1));
    if (!t.keys)
        return t;
    q_buf key = Q_BUF_INIT(4096);
    t.whole_bucket = false;
    for (uint32_t i = 0; i < w.count; i++) {
        if (w.items[i].op == Q_I_DDL) {
            t.whole_bucket = true;
            continue;
        }
        if (w.items[i].op == Q_I_CHECK)
            continue;
        q_buf_clear(&key);
        q_buf_add_slice(&key, w.items[i].record);
        q_buf_add_byte(&key, 0);
        q_value_key(&w.items[i].id, &key);
        t.whole_bucket |= key.failed;
        t.keys[t.count++] = XXH3_64bits(key.ptr, key.len);
    }
    q_buf_free(&key);
    qsort(t.keys, t.count, sizeof *t.keys, key_order);
    return t;
}

static bool meet(const q_stuck_txn *s, q_slice bucket, const written *t)
{
    if (!q_slice_eq(s->unit.bucket, bucket))
        return false;
    if (s->whole_bucket || t->whole_bucket)
        return true;
    for (uint32_t i = 0, j = 0; i < s->key_count && j < t->count;) {
        if (s->keys[i] == t->keys[j])
            return true;
        s->keys[i] < t->keys[j] ? i++ : j++;
    }
    return false;
}

bool q_stuck_add(q_stuck *s, q_spares *spares, const q_unit *unit, int64_t mono_us, int64_t next_at_us)
{
    q_arena *arena = s->count < Q_STUCK_MAX ? q_spares_take(spares) : NULL;
    q_stuck_txn *t = arena ? Q_NEW(arena, q_stuck_txn) : NULL;
    q_slice writes = t ? q_arena_copy(arena, unit->work.writes) : Q_SLICE_NONE;
    q_slice bucket = t ? q_arena_copy(arena, unit->bucket) : Q_SLICE_NONE;
    if (!writes.ptr || !bucket.ptr) {
        q_spares_give(spares, arena);
        return false;
    }
    t->arena = arena;
    t->unit = (q_unit){ unit->work, bucket };
    t->unit.work.writes = writes;
    written of = written_by(arena, &t->unit);
    t->keys = of.keys;
    t->key_count = of.count;
    t->whole_bucket = of.whole_bucket;
    t->since_us = mono_us;
    t->next_at_us = next_at_us;
    if (s->last)
        s->last->next = t;
    else
        s->first = t;
    s->last = t;
    s->count++;
    return true;
}

bool q_stuck_has(const q_stuck *s, uint64_t seq)
{
    for (const q_stuck_txn *t = s->first; t; t = t->next)
        if (t->unit.work.seq == seq)
            return true;
    return false;
}

bool q_stuck_meets(const q_stuck *s, q_spares *spares, const q_unit *unit)
{
    bool same_bucket = false, found = false;
    for (const q_stuck_txn *t = s->first; t && !same_bucket; t = t->next)
        same_bucket = q_slice_eq(t->unit.bucket, unit->bucket);
    if (!same_bucket)
        return false;
    q_arena *arena = q_spares_take(spares);
    if (!arena)
        return true;
    written of = written_by(arena, unit);
    for (const q_stuck_txn *t = s->first; t && !found; t = t->next)
        found = meet(t, unit->bucket, &of);
    q_spares_give(spares, arena);
    return found;
}

static bool first_in_line(const q_stuck *s, const q_stuck_txn *t)
{
    written of = { t->keys, t->key_count, t->whole_bucket };
    for (const q_stuck_txn *o = s->first; o != t; o = o->next)
        if (meet(o, t->unit.bucket, &of))
            return false;
    return true;
}

q_stuck_txn *q_stuck_due(const q_stuck *s, int64_t mono_us)
{
    for (q_stuck_txn *t = s->first; t; t = t->next)
        if (t->next_at_us <= mono_us && first_in_line(s, t))
            return t;
    return NULL;
}

uint32_t q_stuck_group(q_stuck_txn *lead, q_stuck_txn **out, uint32_t cap)
{
    uint32_t n = 0;
    out[n++] = lead;
    for (q_stuck_txn *t = lead->next; t && n < cap; t = t->next) {
        written of = { t->keys, t->key_count, t->whole_bucket };
        bool in = false;
        for (uint32_t i = 0; i < n && !in; i++)
            in = meet(out[i], t->unit.bucket, &of);
        if (in)
            out[n++] = t;
    }
    return n;
}

int64_t q_stuck_next_at(const q_stuck *s)
{
    int64_t at = 0;
    for (const q_stuck_txn *t = s->first; t; t = t->next)
        if (first_in_line(s, t) && (at == 0 || t->next_at_us < at))
            at = t->next_at_us;
    return at;
}

void q_stuck_remove(q_stuck *s, q_spares *spares, q_stuck_txn *gone)
{
    q_stuck_txn *before = NULL;
    for (q_stuck_txn *t = s->first; t != gone; t = t->next)
        before = t;
    if (before)
        before->next = gone->next;
    else
        s->first = gone->next;
    if (s->last == gone)
        s->last = before;
    s->count--;
    q_spares_give(spares, gone->arena);
}

void q_stuck_forget(q_stuck *s, q_spares *spares, uint64_t seq)
{
    for (q_stuck_txn *t = s->first; t; t = t->next)
        if (t->unit.work.seq == seq) {
            q_stuck_remove(s, spares, t);
            return;
        }
}

void q_stuck_clear(q_stuck *s, q_spares *spares)
{
    while (s->first)
        q_stuck_remove(s, spares, s->first);
}
