#include <stdlib.h>

#include "workers/embedded/store.h"

typedef struct reader {
    q_store *s;
    q_arena *arena;
    const q_read *read;
    q_known *known;
    q_row *rows;
    uint32_t count, cap;
    size_t bytes;
} reader;

static int no_memory(q_store *s) { return q_store_fail(s, Q_RETRY, Q_E_LIMIT_MEMORY, "the embedded engine is out of memory"); }

static int damaged(q_store *s) { return q_store_fail(s, Q_FATAL, Q_E_INTERNAL, "a stored part of the embedded engine is damaged"); }

static bool is_id(q_slice attr) { return attr.len == 2 && memcmp(attr.ptr, "id", 2) == 0; }

/* A stored field's value; NULL when the part has none. Borrows from the stored bytes. */
static int value_of(reader *r, const q_part *part, const q_value *id, q_slice attr, q_arena *arena, q_value *out)
{
    q_slice bytes;
    uint64_t seq;
    *out = Q_NULL;
    if (is_id(attr)) {
        *out = *id;
        return 0;
    }
    if (!q_part_find(part, attr, &bytes))
        return 0;
    bool ok = r->s->engine == Q_EN_INFLUX ? q_stored_sample_read(bytes, out, &seq) : q_stored_value_read(arena, bytes, out);
    return ok ? 0 : damaged(r->s);
}

/* ---- predicates: what they let through is evaluated again, so only a certain "no" counts ---- */

static bool orders(q_type t) { return t != Q_T_NULL && t != Q_T_DOC && t != Q_T_RELATION; }

static bool compare_says_no(const q_value *v, const q_pred *p)
{
    int c;
    if (p->count < 1 || !orders(p->values[0].type) || !orders(v->type) || !q_value_comparable(v->type, p->values[0].type))
        return false;
    c = q_value_cmp(v, &p->values[0]);
    switch (p->op) {
    case Q_C_EQ: return c != 0;
    case Q_C_NE: return c == 0;
    case Q_C_LT: return c >= 0;
    case Q_C_LE: return c > 0;
    case Q_C_GT: return c <= 0;
    case Q_C_GE: return c < 0;
    case Q_C_IN:
    case Q_C_LIKE:
    case Q_C_IS_NULL:
    case Q_C_NOT_NULL: break;
    }
    return false;
}

static bool in_says_no(const q_value *v, const q_pred *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        const q_value *o = &p->values[i];
        if (!orders(o->type) || !orders(v->type) || !q_value_comparable(v->type, o->type) || q_value_cmp(v, o) == 0)
            return false;
    }
    return true;
}

static bool says_no(const q_value *v, const q_pred *p)
{
    switch (p->op) {
    case Q_C_IS_NULL: return v->type != Q_T_NULL;
    case Q_C_NOT_NULL: return v->type == Q_T_NULL;
    case Q_C_LIKE: return v->type == Q_T_NULL;
    case Q_C_IN: return v->type == Q_T_NULL || in_says_no(v, p);
    case Q_C_EQ:
    case Q_C_NE:
    case Q_C_LT:
    case Q_C_LE:
    case Q_C_GT:
    case Q_C_GE: return v->type == Q_T_NULL || compare_says_no(v, p); /* a comparison with NULL is unknown */
    }
    return false;
}

static int may_match(reader *r, const q_part *part, const q_value *id, bool *match)
{
    *match = true;
    for (uint32_t i = 0; i < r->read->pred_count && *match; i++) {
        const q_pred *p = &r->read->preds[i];
        q_value v;
        if (p->step_count)
            continue; /* inside a document */
        int rc = value_of(r, part, id, p->attr, r->s->arena, &v);
        if (rc != 0)
            return rc;
        *match = !says_no(&v, p);
    }
    return 0;
}

/* ---- rows ---- */

static int make_row(reader *r, const q_part *part, q_slice id_key, q_row *row, size_t *bytes)
{
    const q_read *read = r->read;
    q_slice key = q_arena_copy(r->arena, id_key);
    q_value *values = Q_NEW_ARRAY(r->arena, q_value, read->attr_count + 1);
    if (!key.ptr || !values)
        return no_memory(r->s);
    if (q_value_from_key(key, &row->id) != Q_OK)
        return damaged(r->s);
    row->seq = part->stored.seq;
    row->birth = part->stored.birth;
    row->values = values;
    *bytes = 48 + q_value_size(&row->id);
    for (uint32_t i = 0; i < read->attr_count; i++) {
        q_value v;
        int rc = value_of(r, part, &row->id, read->attrs[i], r->s->arena, &v);
        if (rc != 0)
            return rc;
        if (!q_value_copy(r->arena, &v, &values[i]) && v.type != Q_T_NULL)
            return no_memory(r->s);
        values[i].at_us = v.at_us;
        *bytes += q_value_size(&v);
    }
    return 0;
}

static int push(reader *r, const q_row *row, size_t bytes)
{
    if (r->count == r->cap) {
        uint32_t cap = r->cap ? r->cap * 2 : 64;
        q_row *bigger = q_arena_alloc(r->arena, sizeof *bigger * cap);
        if (!bigger)
            return no_memory(r->s);
        if (r->count)
            memcpy(bigger, r->rows, sizeof *bigger * r->count);
        r->rows = bigger;
        r->cap = cap;
    }
    r->rows[r->count++] = *row;
    r->bytes += bytes;
    return 0;
}

static int too_large(q_store *s)
{
    return q_store_fail(s, Q_FAIL, Q_E_RESULT_TOO_LARGE, "what a read returns is larger than a message may be; read fewer rows at once");
}

static bool visible(const reader *r, const q_part *part) { return q_rule_visible(&part->stored, r->read->incarnation); }

static int read_one(reader *r, const q_key *k)
{
    q_part part;
    q_row row;
    size_t bytes;
    int rc = q_store_get(r->s, k, &part);
    if (rc != 0 || !visible(r, &part))
        return rc;
    rc = make_row(r, &part, q_key_id(k), &row, &bytes);
    if (rc != 0)
        return rc;
    return r->bytes + bytes > Q_READ_MAX_BYTES ? too_large(r->s) : push(r, &row, bytes);
}

static int read_ids(reader *r)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < r->read->id_count; i++) {
        q_key k;
        if (q_store_key(&k, r->known->table, &r->read->ids[i]))
            rc = read_one(r, &k);
    }
    return rc;
}

static int scan(reader *r, bool *more)
{
    q_key start;
    MDB_cursor *c;
    q_key_begin(&start, r->known->table);
    if (r->read->has_after && !q_store_key(&start, r->known->table, &r->read->after))
        return q_store_fail(r->s, Q_FAIL, Q_E_INTERNAL, "a scan that begins after what can't be an id");
    int rc = mdb_cursor_open(r->s->txn, r->s->env->parts, &c);
    if (rc != 0)
        return rc;
    MDB_val key = { start.len, start.bytes }, value;
    rc = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE);
    if (rc == 0 && r->read->has_after && key.mv_size == start.len && memcmp(key.mv_data, start.bytes, start.len) == 0)
        rc = mdb_cursor_get(c, &key, &value, MDB_NEXT);
    for (; rc == 0; rc = mdb_cursor_get(c, &key, &value, MDB_NEXT)) {
        q_part part;
        q_value id;
        q_row row;
        bool match;
        size_t bytes;
        if (key.mv_size <= 8 || memcmp(key.mv_data, start.bytes, 8) != 0)
            break;
        q_slice id_key = q_slice_of((const char *)key.mv_data + 8, key.mv_size - 8);
        if (!q_part_read(q_slice_of(value.mv_data, value.mv_size), &part) || q_value_from_key(id_key, &id) != Q_OK) {
            rc = damaged(r->s);
            break;
        }
        if (!visible(r, &part))
            continue;
        rc = may_match(r, &part, &id, &match);
        if (rc == 0 && !match)
            continue;
        if (rc == 0 && r->count >= r->read->limit) {
            *more = true;
            break;
        }
        if (rc == 0)
            rc = make_row(r, &part, id_key, &row, &bytes);
        if (rc == 0 && r->count && r->bytes + bytes > Q_READ_MAX_BYTES) {
            *more = true;
            break;
        }
        if (rc == 0 && bytes > Q_WIRE_MAX_BYTES - 4096)
            rc = too_large(r->s);
        if (rc == 0)
            rc = push(r, &row, bytes);
        if (rc != 0)
            break;
        q_arena_reset(r->s->arena);
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* ---- who points there ---- */

static int slice_order(const void *x, const void *y) { return q_slice_cmp(*(const q_slice *)x, *(const q_slice *)y); }

/* Adds the id keys of up to limit + 1 records that point to `target`, after `after`, to `found`. */
static int collect(reader *r, q_slice target, q_slice after, q_slice **found, size_t *count, size_t *cap)
{
    q_key k;
    MDB_cursor *c;
    size_t taken = 0;
    q_store_referrer_key(&k, r->known->table, r->read->attrs[0], target);
    if (k.failed)
        return 0;
    int rc = mdb_cursor_open(r->s->txn, r->s->env->referrers, &c);
    if (rc != 0)
        return rc;
    MDB_val key = { k.len, k.bytes }, value = { after.len, (void *)(uintptr_t)after.ptr };
    rc = mdb_cursor_get(c, &key, &value, after.len ? MDB_GET_BOTH_RANGE : MDB_SET_KEY);
    for (; rc == 0 && taken <= r->read->limit; rc = mdb_cursor_get(c, &key, &value, MDB_NEXT_DUP)) {
        q_slice id = q_slice_of(value.mv_data, value.mv_size);
        if (q_slice_eq(id, after))
            continue;
        if (*count == *cap) {
            size_t more = *cap ? *cap * 2 : 64;
            q_slice *bigger = q_arena_alloc(r->arena, sizeof *bigger * more);
            if (!bigger) {
                rc = no_memory(r->s);
                break;
            }
            if (*count)
                memcpy(bigger, *found, sizeof *bigger * *count);
            *found = bigger;
            *cap = more;
        }
        q_slice copy = q_arena_copy(r->arena, id);
        if (!copy.ptr) {
            rc = no_memory(r->s);
            break;
        }
        (*found)[(*count)++] = copy;
        taken++;
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int read_referrers(reader *r, bool *more)
{
    q_slice *found = NULL;
    size_t count = 0, cap = 0;
    q_key target, after;
    if (r->read->attr_count < 1)
        return q_store_fail(r->s, Q_FAIL, Q_E_INTERNAL, "a search for referrers that names no relation");
    q_key_begin(&after, 0);
    if (r->read->has_after && !q_store_key(&after, 0, &r->read->after))
        return q_store_fail(r->s, Q_FAIL, Q_E_INTERNAL, "a search that begins after what can't be an id");
    for (uint32_t i = 0; i < r->read->id_count; i++) {
        int rc = q_store_key(&target, 0, &r->read->ids[i]) ? collect(r, q_key_id(&target), q_key_id(&after), &found, &count, &cap) : 0;
        if (rc != 0)
            return rc;
    }
    if (count)
        qsort(found, count, sizeof *found, slice_order);
    for (size_t i = 0; i < count; i++) {
        q_key k;
        if (i && q_slice_eq(found[i], found[i - 1]))
            continue;
        if (r->count == r->read->limit) {
            *more = true;
            break;
        }
        q_key_begin(&k, r->known->table);
        q_key_add(&k, found[i]);
        int rc = read_one(r, &k);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int q_store_read(q_store *s, q_arena *arena, const q_read *read, q_rows *out)
{
    reader r = { .s = s, .arena = arena, .read = read };
    bool more = false;
    int rc = 0;
    *out = (q_rows){ .read_id = read->read_id, .rc = Q_OK, .attr_count = read->attr_count };
    s->rc = q_names_get(&s->names, read->bucket, read->record, &r.known, &s->err);
    if (s->rc != Q_OK)
        return Q_STORE_FAILED;
    if (r.known->table == 0)
        return 0; /* never written to, or dropped */
    switch (read->kind) {
    case Q_R_IDS: rc = read_ids(&r); break;
    case Q_R_SCAN: rc = scan(&r, &more); break;
    case Q_R_REFERRERS: rc = read_referrers(&r, &more); break;
    }
    out->more = more;
    out->rows = r.rows;
    out->count = r.count;
    return rc;
}
