/* Reads. They look at the states alone, which hold each metric's latest sample: a read costs what its rows cost, however many points there are. */
#include "workers/influx/internal.h"

#include <stdio.h>

enum { PAGE = 1000 };

/* ---- a page of states ---- */

static void put_page_question(q_buf *out, const char *measurement, q_slice after, size_t skip, uint32_t most)
{
    q_buf_printf(out, "SELECT \"p\", \"w\" FROM \"%s\"", measurement);
    if (after.len) {
        q_buf_add_cstr(out, " WHERE \"k\" =~ ");
        ix_put_beyond(out, after);
    }
    q_buf_printf(out, " GROUP BY \"k\" SLIMIT %u SOFFSET %zu", most, skip);
}

static q_rc take_row(void *ctx, q_arena *arena, const json_t *values, q_err *err)
{
    ix_entry *entry = ctx;
    ix_part part;
    ix_row_of *row = Q_NEW(arena, ix_row_of);
    q_rc rc = ix_read_part(arena, ix_text(values, 1), &part, err);
    if (rc != Q_OK)
        return rc;
    if (!row || !(row->writer = q_arena_copy(arena, ix_text(values, 2))).ptr || !ix_merge(arena, &entry->part, &part))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    row->next = entry->rows;
    entry->rows = row;
    entry->row_count++;
    return Q_OK;
}

q_rc ix_page(q_engine *e, q_arena *arena, const char *measurement, q_slice after, size_t skip, uint32_t most, ix_entry **entries, size_t *n,
             q_err *err)
{
    q_buf text = Q_BUF_INIT(1 << 20);
    json_t *results = NULL;
    const json_t *series, *values;
    size_t i, k;
    put_page_question(&text, measurement, after, skip, most);
    q_rc rc = text.failed ? q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory") : ix_query(e, q_buf_slice(&text), &results, err);
    q_buf_free(&text);
    const json_t *all = json_object_get(json_array_get(results, 0), "series");
    *n = 0;
    *entries = Q_NEW_ARRAY(arena, ix_entry, json_array_size(all) + 1);
    if (rc == Q_OK && !*entries)
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    if (rc == Q_OK)
        json_array_foreach(all, i, series) {
            const json_t *key = json_object_get(json_object_get(series, "tags"), "k");
            ix_entry *entry = &(*entries)[*n];
            entry->key = q_arena_copy(arena, q_slice_of(json_string_value(key), json_string_length(key)));
            if (!entry->key.ptr)
                rc = q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
            json_array_foreach(json_object_get(series, "values"), k, values)
                if (rc == Q_OK)
                    rc = take_row(entry, arena, values, err);
            if (rc != Q_OK)
                break;
            ++*n;
        }
    json_decref(results);
    return rc;
}

/* ---- predicates: what they let through is evaluated again, so only a certain "no" counts ---- */

static bool is_id(q_slice attr) { return q_slice_eq(attr, Q_SLICE_LIT("id")); }

static q_value value_of(const ix_part *part, const q_value *id, q_slice attr)
{
    const ix_sample *s = ix_find(part, attr);
    return is_id(attr) ? *id : s ? s->value : Q_NULL;
}

static bool ordered(q_type t) { return t != Q_T_NULL && t != Q_T_DOC && t != Q_T_RELATION; }

static bool compares(const q_value *v, const q_value *o) { return ordered(v->type) && ordered(o->type) && q_value_comparable(v->type, o->type); }

static bool compare_says_no(const q_value *v, const q_pred *p)
{
    if (p->count < 1 || !compares(v, &p->values[0]))
        return false;
    int c = q_value_cmp(v, &p->values[0]);
    switch (p->op) {
    case Q_C_EQ: return c != 0;
    case Q_C_NE: return c == 0;
    case Q_C_LT: return c >= 0;
    case Q_C_LE: return c > 0;
    case Q_C_GT: return c <= 0;
    case Q_C_GE: return c < 0;
    case Q_C_IN:
        for (uint32_t i = 0; i < p->count; i++)
            if (!compares(v, &p->values[i]) || q_value_cmp(v, &p->values[i]) == 0)
                return false;
        return true;
    case Q_C_LIKE:
    case Q_C_IS_NULL:
    case Q_C_NOT_NULL: break;
    }
    return false;
}

static bool may_match(const q_read *r, const ix_part *part, const q_value *id)
{
    for (uint32_t i = 0; i < r->pred_count; i++) {
        const q_pred *p = &r->preds[i];
        if (p->step_count)
            continue; /* inside a document */
        q_value v = value_of(part, id, p->attr);
        if (p->op == Q_C_IS_NULL ? v.type != Q_T_NULL : v.type == Q_T_NULL || compare_says_no(&v, p))
            return false;
    }
    return true;
}

/* ---- rows ---- */

typedef struct taking { q_arena *arena; const q_read *read; q_rows *out; q_row *rows; size_t cap, bytes; } taking;

/* One state becomes a row, if it is seen; Q_END: a scan's page is full without it. */
static q_rc take(taking *t, const ix_entry *entry, q_err *err)
{
    const q_read *r = t->read;
    q_value id;
    if (!q_rule_visible(&entry->part.stored, r->incarnation))
        return Q_OK;
    q_rc rc = ix_id(t->arena, entry->key, &id, err);
    if (rc != Q_OK || (r->kind == Q_R_SCAN && !may_match(r, &entry->part, &id)))
        return rc;
    if (r->kind == Q_R_SCAN && t->out->count >= r->limit) {
        t->out->more = true;
        return Q_END;
    }
    q_value *values = Q_NEW_ARRAY(t->arena, q_value, r->attr_count + 1);
    if (t->out->count == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 16;
        q_row *more = Q_NEW_ARRAY(t->arena, q_row, cap);
        if (!more)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
        if (t->out->count)
            memcpy(more, t->rows, t->out->count * sizeof *more);
        t->rows = more;
        t->cap = cap;
    }
    if (!values)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    size_t bytes = 48 + q_value_size(&id);
    for (uint32_t i = 0; i < r->attr_count; i++) {
        values[i] = value_of(&entry->part, &id, r->attrs[i]);
        bytes += q_value_size(&values[i]);
    }
    if (t->bytes + bytes > Q_READ_MAX_BYTES && r->kind != Q_R_SCAN)
        return q_err_set(err, Q_E_RESULT_TOO_LARGE, "the rows read are larger than %d bytes", Q_READ_MAX_BYTES);
    if (t->bytes + bytes > Q_READ_MAX_BYTES && t->out->count) {
        t->out->more = true;
        return Q_END;
    }
    t->bytes += bytes;
    t->rows[t->out->count++] = (q_row){ .id = id, .seq = entry->part.stored.seq, .birth = entry->part.stored.birth, .values = values };
    return Q_OK;
}

static q_rc read_ids(q_engine *e, taking *t, q_err *err)
{
    const q_read *r = t->read;
    size_t n = 0;
    ix_entry *entries = Q_NEW_ARRAY(t->arena, ix_entry, r->id_count + 1);
    if (!entries)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    for (uint32_t i = 0; i < r->id_count; i++) {
        q_slice key = ix_key(t->arena, &r->ids[i]);
        if (!key.ptr)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
        entries[n++] = (ix_entry){ .bucket = r->bucket, .record = r->record, .incarnation = r->incarnation, .key = key };
    }
    q_rc rc = ix_load_entries(e, t->arena, entries, &n, err);
    for (size_t i = 0; rc == Q_OK && i < n; i++)
        rc = take(t, &entries[i], err);
    return rc;
}

static q_rc scan(q_engine *e, taking *t, q_err *err)
{
    const q_read *r = t->read;
    char measurement[IX_NAME_BYTES];
    uint32_t most = r->pred_count || r->limit >= PAGE ? PAGE : r->limit + 1;
    q_slice after = r->has_after ? ix_key(t->arena, &r->after) : Q_SLICE_NONE;
    size_t skip = 0, n = most;
    q_rc rc = r->has_after && !after.ptr ? q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory") : Q_OK;
    ix_parts_name(measurement, r->bucket, r->record, r->incarnation);
    while (rc == Q_OK && n == most) {
        ix_entry *entries;
        rc = ix_page(e, t->arena, measurement, after, skip, most, &entries, &n, err);
        skip += n;
        for (size_t i = 0; rc == Q_OK && i < n; i++) {
            if (after.len && q_slice_cmp(entries[i].key, after) <= 0)
                continue; /* beyond a long id only as far as its beginning */
            after = entries[i].key;
            skip = 0;
            rc = take(t, &entries[i], err);
        }
    }
    return rc == Q_END ? Q_OK : rc;
}

q_rc ix_read(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err)
{
    *out = (q_rows){ .read_id = read->read_id, .attr_count = read->attr_count };
    if (read->kind == Q_R_REFERRERS)
        return q_err_set(err, Q_E_INTERNAL, "InfluxDB holds no relations");
    taking t = { .arena = arena, .read = read, .out = out };
    q_rc rc = read->kind == Q_R_IDS ? read_ids(e, &t, err) : scan(e, &t, err);
    out->rows = t.rows;
    return rc;
}
