/* Reads: one statement each. A scan, and a search for referrers, goes by id, which is the constraint's index's order (code points, as in
 * UTF-8). An answer that is too large for this side is asked for again in smaller pages. */
#include "workers/neo4j/internal.h"

#include <stdio.h>

typedef struct reading { q_engine *e; q_arena *arena; const q_read *read; q_rows *out; size_t bytes; } reading;

/* "id", whether it is a uuid, seq, birth, which relations are empty, and the relations asked for. */
static void add_columns(q_buf *text, const q_read *r)
{
    q_buf_add_cstr(text, "RETURN n.id AS id, n._q_uuid, n._q_seq, n._q_birth, n._q_empty");
    for (uint32_t i = 0; i < r->attr_count; i++)
        q_buf_printf(text, ", [(n)-[r:`%.*s`]->(t) | CASE WHEN t._q_uuid THEN [r._q_index, t.id, true] ELSE [r._q_index, t.id] END]", Q_SLICE_FMT(r->attrs[i]));
}

/* A conjunct that finds rows by where they point: `a = relation(x, …)` and `a IN (…)`. The rows whose relation contains the first id are a
 * superset of those that are equal; the coordinator evaluates the whole WHERE again. */
static bool narrows(const q_pred *p)
{
    if ((p->op != Q_C_EQ || p->count != 1) && (p->op != Q_C_IN || p->count == 0))
        return false;
    for (uint32_t i = 0; i < p->count; i++) {
        q_type t = p->values[i].type;
        if (t != Q_T_STRING && t != Q_T_INT && t != Q_T_UUID && (t != Q_T_RELATION || p->values[i].rel.count == 0))
            return false;
    }
    return p->step_count == 0;
}

static q_rc way_in(reading *t, q_buf *text, const char *label, const q_pred **by, q_err *err)
{
    const q_read *r = t->read;
    q_slice attr = r->kind == Q_R_REFERRERS ? r->attrs[0] : Q_SLICE_NONE;
    const nj_definition *d;
    bool served;
    *by = NULL;
    for (uint32_t i = 0; r->kind == Q_R_SCAN && i < r->pred_count && !*by; i++)
        if (narrows(&r->preds[i])) {
            *by = &r->preds[i];
            attr = r->preds[i].attr;
        }
    q_rc rc = attr.len ? nj_define(t->e, r->bucket, r->record, r->incarnation, attr, &d, &served, err) : Q_OK;
    if (rc != Q_OK)
        return rc;
    if (attr.len && served) {
        q_buf_printf(text, "UNWIND $ids AS target MATCH (:`%.*s__%s` {id: target})<-[:`%.*s`]-(n:`%s`) WITH DISTINCT n ", Q_SLICE_FMT(r->bucket),
                     nj_target(d, attr), Q_SLICE_FMT(attr), label);
        return Q_OK;
    }
    *by = NULL;
    if (r->kind == Q_R_REFERRERS)
        return Q_END; /* no such relation: no rows */
    if (r->kind == Q_R_IDS)
        q_buf_printf(text, "UNWIND $ids AS wanted WITH DISTINCT wanted MATCH (n:`%s` {id: wanted}) ", label);
    else
        q_buf_printf(text, "MATCH (n:`%s`) ", label);
    return Q_OK;
}

static void put_parameters(nj_request *q, const q_read *r, const q_pred *by, uint32_t limit)
{
    nj_put_number(q, "of", r->incarnation);
    nj_put_number(q, "page", (uint64_t)limit + 1);
    if (r->has_after) {
        nj_key(q, "after");
        nj_put_id(q, &r->after);
    }
    nj_key(q, "ids");
    yajl_gen_array_open(q->gen);
    for (uint32_t i = 0; !by && i < r->id_count; i++)
        nj_put_id(q, &r->ids[i]);
    for (uint32_t i = 0; by && i < by->count; i++)
        nj_put_id(q, by->values[i].type == Q_T_RELATION ? &by->values[i].rel.items[0] : &by->values[i]);
    yajl_gen_array_close(q->gen);
}

static q_rc take_row(reading *t, const json_t *cells, q_row *row, q_err *err)
{
    const q_read *r = t->read;
    const json_t *empty = json_array_get(cells, 4);
    q_value *values = Q_NEW_ARRAY(t->arena, q_value, r->attr_count + 1);
    if (!values)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    q_rc rc = nj_id(t->arena, json_array_get(cells, 0), json_is_true(json_array_get(cells, 1)), &row->id, err);
    t->bytes += q_value_size(&row->id);
    for (uint32_t a = 0; rc == Q_OK && a < r->attr_count; a++) {
        const json_t *cell = json_array_get(cells, 5 + a);
        bool there = json_array_size(cell) > 0;
        for (size_t i = 0; !there && i < json_array_size(empty); i++) {
            const json_t *name = json_array_get(empty, i);
            there = q_slice_eq(r->attrs[a], q_slice_of(json_string_value(name), json_string_length(name)));
        }
        if (there)
            rc = nj_relation_of(t->arena, cell, &values[a], err);
        t->bytes += q_value_size(&values[a]);
    }
    row->seq = nj_number(json_array_get(cells, 2));
    row->birth = nj_number(json_array_get(cells, 3));
    row->values = values;
    return rc;
}

static q_rc take_rows(reading *t, const json_t *results, uint32_t limit, q_err *err)
{
    bool pages = t->read->kind != Q_R_IDS;
    size_t n = nj_row_count(results, 0);
    const json_t *data = json_object_get(json_array_get(results, 0), "data");
    q_row *rows = Q_NEW_ARRAY(t->arena, q_row, n + 1);
    q_rc rc = rows ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        if (pages && t->out->count == limit) {
            t->out->more = true;
            break;
        }
        rc = take_row(t, json_object_get(json_array_get(data, i), "row"), &rows[t->out->count], err);
        if (rc == Q_OK && t->bytes > Q_READ_MAX_BYTES && !pages)
            rc = q_err_set(err, Q_E_RESULT_TOO_LARGE, "the rows read are larger than %d bytes", Q_READ_MAX_BYTES);
        if (rc == Q_OK && t->bytes > Q_READ_MAX_BYTES && t->out->count > 0) {
            t->out->more = true;
            break;
        }
        if (rc == Q_OK)
            t->out->count++;
    }
    t->out->rows = rows;
    return rc;
}

static q_rc run_page(reading *t, q_slice text, const q_pred *by, uint32_t limit, q_err *err)
{
    nj_request q;
    json_t *results;
    if (!nj_request_init(&q))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    nj_statement(&q, text);
    put_parameters(&q, t->read, by, limit);
    nj_statement_end(&q);
    q_rc rc = nj_run(t->e, &q, &results, err);
    nj_request_free(&q);
    if (rc == Q_OK)
        rc = take_rows(t, results, limit, err);
    json_decref(results);
    return rc;
}

q_rc nj_read(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err)
{
    reading t = { .e = e, .arena = arena, .read = read, .out = out };
    char label[NJ_LABEL_BYTES];
    const q_pred *by;
    *out = (q_rows){ .read_id = read->read_id, .attr_count = read->attr_count };
    if (read->kind == Q_R_REFERRERS && read->attr_count == 0)
        return q_err_set(err, Q_E_INTERNAL, "a search for referrers names a relation");
    q_buf text = Q_BUF_INIT(1 << 20);
    nj_label(label, read->bucket, read->record);
    q_rc rc = way_in(&t, &text, label, &by, err);
    if (rc == Q_OK) {
        q_buf_add_cstr(&text, "WHERE n._q_seq >= $of AND n._q_dead IS NULL ");
        if (read->has_after)
            q_buf_add_cstr(&text, "AND n.id > $after ");
        else if (read->kind != Q_R_IDS)
            q_buf_add_cstr(&text, "AND n.id IS NOT NULL "); /* the index serves the order only then */
        if (read->kind != Q_R_IDS)
            q_buf_add_cstr(&text, "WITH n ORDER BY n.id LIMIT $page ");
        add_columns(&text, read);
        if (read->kind != Q_R_IDS)
            q_buf_add_cstr(&text, " ORDER BY id");
        if (text.failed)
            rc = q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        uint32_t limit = read->limit;
        if (rc == Q_OK)
            rc = run_page(&t, q_buf_slice(&text), by, limit, err);
        while (rc == Q_FAIL && err->code == Q_E_RESULT_TOO_LARGE && read->kind != Q_R_IDS && limit > 1) {
            limit = limit > 8 ? limit / 8 : 1;
            rc = run_page(&t, q_buf_slice(&text), by, limit, err);
        }
    }
    q_buf_free(&text);
    return rc == Q_END ? Q_OK : rc;
}
