/* Reads: ids, and scans by ascending id with the conjuncts that SQL can take over. Values are parameters, never text. */
#include "workers/postgres/internal.h"
#include "workers/rules.h"

#include <endian.h>

typedef struct query {
    q_arena *arena;
    q_buf sql;
    const char *params[PG_MAX_PARAMS];
    int count;
    bool full; /* no room for more parameters */
} query;

static void add_param(query *q, const char *value, const char *cast)
{
    if (q->count == PG_MAX_PARAMS) {
        q->full = true;
        return;
    }
    q->params[q->count++] = value;
    q_buf_printf(&q->sql, "$%d%s", q->count, cast);
}

static void add_value(query *q, const q_value *v) { add_param(q, pg_param(q->arena, v), pg_cast(v->type)); }

/* An array of ids as one parameter: {"a","b"}. */
static const char *id_array(q_arena *arena, const q_value *ids, uint32_t count)
{
    q_buf b = Q_BUF_INIT(64 << 20), text = Q_BUF_INIT(1024);
    q_buf_add_byte(&b, '{');
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            q_buf_add_byte(&b, ',');
        q_buf_add_byte(&b, '"');
        q_buf_clear(&text);
        if (ids[i].type == Q_T_STRING)
            q_buf_add_slice(&text, ids[i].s);
        else
            q_value_text(&ids[i], &text);
        for (size_t k = 0; k < text.len; k++) {
            if (text.ptr[k] == '"' || text.ptr[k] == '\\')
                q_buf_add_byte(&b, '\\');
            q_buf_add_byte(&b, (uint8_t)text.ptr[k]);
        }
        q_buf_add_byte(&b, '"');
    }
    q_buf_add_byte(&b, '}');
    const char *out = b.failed || text.failed ? NULL : pg_cstr(arena, q_buf_slice(&b));
    q_buf_free(&b);
    q_buf_free(&text);
    return out;
}

static const char *array_cast(q_type t) { return t == Q_T_INT ? "::bigint[]" : t == Q_T_UUID ? "::uuid[]" : "::text[]"; }

/* Only comparisons of one type: SQL would answer an error, and the coordinator evaluates the whole WHERE anyway. */
static void add_pred(query *q, const q_pred *p)
{
    static const char *const ops[] = { [Q_C_EQ] = "=", [Q_C_NE] = "<>", [Q_C_LT] = "<", [Q_C_LE] = "<=", [Q_C_GT] = ">", [Q_C_GE] = ">=" };
    if (p->step_count)
        return;
    switch (p->op) {
    case Q_C_EQ: case Q_C_NE: case Q_C_LT: case Q_C_LE: case Q_C_GT: case Q_C_GE:
        if (p->count != 1 || p->values[0].type == Q_T_NULL)
            return;
        q_buf_printf(&q->sql, " AND \"%.*s\" %s ", Q_SLICE_FMT(p->attr), ops[p->op]);
        add_value(q, &p->values[0]);
        return;
    case Q_C_IN:
        if (!p->count || p->count > 100)
            return;
        q_buf_printf(&q->sql, " AND \"%.*s\" IN (", Q_SLICE_FMT(p->attr));
        for (uint32_t i = 0; i < p->count; i++) {
            if (i)
                q_buf_add_byte(&q->sql, ',');
            add_value(q, &p->values[i]);
        }
        q_buf_add_byte(&q->sql, ')');
        return;
    case Q_C_IS_NULL:
        q_buf_printf(&q->sql, " AND \"%.*s\" IS NULL", Q_SLICE_FMT(p->attr));
        return;
    case Q_C_NOT_NULL:
        q_buf_printf(&q->sql, " AND \"%.*s\" IS NOT NULL", Q_SLICE_FMT(p->attr));
        return;
    case Q_C_LIKE:
        return; /* backslash at the end and the like differ: left to the coordinator */
    }
}

static void build(query *q, const q_read *r, uint32_t limit)
{
    q_buf_add_cstr(&q->sql, "SELECT id, _q_seq, _q_birth");
    for (uint32_t i = 0; i < r->attr_count; i++)
        q_buf_printf(&q->sql, ", \"%.*s\"", Q_SLICE_FMT(r->attrs[i]));
    q_buf_printf(&q->sql, " FROM %s WHERE NOT _q_dead AND _q_seq >= ", pg_table(q->arena, r->bucket, r->record));
    add_param(q, pg_number(q->arena, r->incarnation), "::bigint");
    if (r->kind == Q_R_IDS) {
        q_buf_add_cstr(&q->sql, " AND id = ANY(");
        add_param(q, id_array(q->arena, r->ids, r->id_count), array_cast(r->id_count ? r->ids[0].type : Q_T_STRING));
        q_buf_add_byte(&q->sql, ')');
        return;
    }
    for (uint32_t i = 0; i < r->pred_count; i++)
        add_pred(q, &r->preds[i]);
    if (r->has_after) {
        q_buf_add_cstr(&q->sql, " AND id > ");
        add_value(q, &r->after);
    }
    q_buf_printf(&q->sql, " ORDER BY id LIMIT %u", limit);
}

static uint64_t number(const PGresult *r, int row, int col)
{
    uint64_t n;
    if (PQgetlength(r, row, col) != 8)
        return 0;
    memcpy(&n, PQgetvalue(r, row, col), 8);
    return be64toh(n);
}

static q_rc take_rows(q_arena *arena, const PGresult *r, const q_read *read, q_rows *out, q_err *err)
{
    int n = PQntuples(r);
    bool scan = read->kind == Q_R_SCAN;
    size_t bytes = 0;
    q_row *rows = Q_NEW_ARRAY(arena, q_row, (size_t)n + 1);
    if (!rows)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    out->rows = rows;
    for (int i = 0; i < n; i++) {
        if (scan && (uint32_t)i == read->limit) {
            out->more = true;
            return Q_OK;
        }
        q_value *values = Q_NEW_ARRAY(arena, q_value, read->attr_count);
        q_rc rc = values ? pg_value(arena, r, i, 0, &rows[i].id, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
        for (uint32_t a = 0; rc == Q_OK && a < read->attr_count; a++) {
            rc = pg_value(arena, r, i, (int)a + 3, &values[a], err);
            bytes += q_value_size(&values[a]);
        }
        if (rc != Q_OK)
            return rc;
        bytes += q_value_size(&rows[i].id);
        if (bytes > Q_READ_MAX_BYTES && !scan)
            return q_err_set(err, Q_E_RESULT_TOO_LARGE, "the rows read are larger than %d bytes", Q_READ_MAX_BYTES);
        if (bytes > Q_READ_MAX_BYTES && i > 0) {
            out->more = true;
            return Q_OK;
        }
        rows[i].seq = number(r, i, 1);
        rows[i].birth = number(r, i, 2);
        rows[i].values = values;
        out->count = (uint32_t)i + 1;
    }
    return Q_OK;
}

q_rc pg_read(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err)
{
    if (read->kind == Q_R_REFERRERS)
        return q_err_set(err, Q_E_INTERNAL, "PostgreSQL holds no relations");
    *out = (q_rows){ .read_id = read->read_id, .attr_count = read->attr_count };
    query q = { .arena = arena, .sql = Q_BUF_INIT(1 << 20) };
    build(&q, read, read->limit < UINT32_MAX ? read->limit + 1 : read->limit);
    pg_stmt stmt = { q.sql.ptr, q.count, q.params, 0 };
    q_buf_add_byte(&q.sql, '\0');
    stmt.sql = q.sql.ptr;
    PGresult *r = NULL;
    q_rc rc = q.sql.failed || q.full ? q_err_set(err, Q_E_WRITE_TOO_LARGE, "the read is too large for one statement") : pg_query(e, &stmt, &r, err);
    if (rc == Q_END)
        rc = Q_OK; /* the record was never here, or isn't any more */
    else if (rc == Q_OK)
        rc = take_rows(arena, r, read, out, err);
    PQclear(r);
    q_buf_free(&q.sql);
    return rc;
}
