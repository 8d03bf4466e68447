/* select.c - SELECT: rows to JSON, in order, within LIMIT; and ASSERT, whose subqueries are SELECTs of one value.
 *
 * Without ORDER BY a row is written when it is met, and LIMIT ends the scan. With it, a row waits (order.c). */
#include <stdio.h>

#include "coordinator/aggregate.h"
#include "coordinator/order.h"
#include "schemas/document.h"

typedef struct select_run {
    const q_xplan *plan;
    q_source *source;
    q_ctx *ctx;
    q_groups *groups;    /* aggregated */
    q_order_run *order;  /* ORDER BY */
    q_result *result;    /* NULL: a subquery */
    uint64_t offset, limit, met, given;
    bool enough;
    bool exists;         /* a subquery of which only that counts */
    q_value sub_value;
} select_run;

static q_step_rc no_memory(q_err *err)
{
    (void)q_exec_no_memory(err);
    return Q_STEP_FAIL;
}

static uint64_t literal_count(const q_expr *e, uint64_t otherwise)
{
    return e && e->kind == Q_X_LITERAL && e->value.type == Q_T_INT && e->value.i >= 0 ? (uint64_t)e->value.i : otherwise;
}

/* ---- columns ----------------------------------------------------------------------------------------------------------- */

static bool is_many_relation(const q_expr *e)
{
    return e->kind == Q_X_PATH && e->path.attr && e->path.attr->kind == Q_K_RELATION && e->path.attr->many;
}

static const char *column_type(const q_expr *e)
{
    if (e->kind == Q_X_PATH && e->path.attr && e->path.step_count == 0)
        return q_type_name(e->path.attr->datatype);
    if (e->kind == Q_X_PATH)
        return e->path.attr ? "document" : "null";
    return e->type == Q_T_NULL && e->kind != Q_X_LITERAL ? "document" : q_type_name(e->type);
}

static bool is_array(const q_ctx *c, const q_expr *e) { return !q_eval_is_logic(e) && q_ctx_many(c, e); }

static q_slice columns_json(q_exec *x, const select_run *s)
{
    const q_stmt *stmt = s->plan->stmt;
    yajl_gen g = q_json_begin(x->json);
    yajl_gen_array_open(g);
    for (uint32_t i = 0; i < stmt->column_count; i++) {
        const q_expr *e = stmt->columns[i].expr;
        char type[32];
        snprintf(type, sizeof type, "%s%s", column_type(e), is_many_relation(e) || is_array(s->ctx, e) ? "[]" : "");
        yajl_gen_map_open(g);
        q_json_key(g, "name");
        q_json_str(g, stmt->columns[i].name);
        q_json_key(g, "type");
        q_json_key(g, type);
        yajl_gen_map_close(g);
    }
    yajl_gen_array_close(g);
    return q_json_take(x->json);
}

static q_rc value_json(yajl_gen g, const q_expr *e, const q_value *v, q_err *err)
{
    if (q_value_to_json(v, is_many_relation(e), g))
        return Q_OK;
    return q_err_set(err, Q_E_INTERNAL, "A value of type %s couldn't be written.", q_type_name(v->type));
}

/* A path over a relation of cardinality many is an array of its ends' values. */
static q_rc column_json(q_ctx *c, yajl_gen g, const q_expr *e, q_err *err)
{
    q_value v;
    q_rc rc = Q_OK;
    if (c->group || !is_array(c, e)) {
        rc = q_eval(&c->env, e, &v, err);
        return rc == Q_OK ? value_json(g, e, &v, err) : rc;
    }
    yajl_gen_array_open(g);
    c->env.bound = true;
    for (bool first = true; rc == Q_OK && q_ctx_bind(&c->env, e, first); first = false) {
        rc = q_eval(&c->env, e, &v, err);
        if (rc == Q_OK)
            rc = value_json(g, e, &v, err);
    }
    c->env.bound = false;
    yajl_gen_array_close(g);
    return rc;
}

static q_rc row_json(q_exec *x, select_run *s, q_slice *row, q_err *err)
{
    const q_stmt *stmt = s->plan->stmt;
    q_rc rc = Q_OK;
    yajl_gen g = q_json_begin(x->json);
    yajl_gen_array_open(g);
    for (uint32_t i = 0; rc == Q_OK && i < stmt->column_count; i++)
        rc = column_json(s->ctx, g, stmt->columns[i].expr, err);
    yajl_gen_array_close(g);
    *row = q_json_end(x->json);
    return rc == Q_OK && !row->ptr ? q_exec_no_memory(err) : rc;
}

/* ---- giving rows -------------------------------------------------------------------------------------------------------- */

/* A row of the result, after offset and within limit: its JSON, or the subquery's value. */
static q_rc give_payload(q_exec *x, select_run *s, const q_value *payload, q_err *err)
{
    if (s->met++ < s->offset)
        return Q_OK;
    s->enough = ++s->given >= s->limit;
    if (s->given > s->limit || s->exists)
        return Q_OK;
    if (!s->result) {
        if (s->given > 1)
            return q_err_set(err, Q_E_QQL_VALUE, "A subquery that stands for a value gave more than one row.");
        return q_pagemem_copy(&x->lasting, payload, &s->sub_value) ? Q_OK : q_exec_no_memory(err);
    }
    if (s->result->row_bytes + payload->s.len > (uint64_t)x->max_parts * Q_EXEC_MAX_RESULT_BYTES)
        return q_order_too_large(x, err);
    return q_result_row(x->arena, s->result, payload->s) ? Q_OK : q_exec_no_memory(err);
}

/* What the row that ctx stands on comes to. */
static q_rc make_payload(q_exec *x, select_run *s, q_value *payload, q_err *err)
{
    *payload = Q_NULL;
    if (s->exists)
        return Q_OK;
    if (!s->result)
        return q_eval(&s->ctx->env, s->plan->stmt->columns[0].expr, payload, err);
    payload->type = Q_T_STRING;
    return row_json(x, s, &payload->s, err);
}

static q_rc meet_row(q_exec *x, select_run *s, q_err *err)
{
    q_value payload;
    q_rc rc;
    if (!s->order) {
        if (s->met < s->offset || s->given >= s->limit) { /* not worth writing */
            s->enough = s->given >= s->limit;
            s->met++;
            return Q_OK;
        }
        rc = make_payload(x, s, &payload, err);
        return rc == Q_OK ? give_payload(x, s, &payload, err) : rc;
    }
    rc = q_order_key(s->order, s->ctx, err);
    if (rc != Q_OK)
        return rc == Q_END ? Q_OK : rc;
    rc = make_payload(x, s, &payload, err);
    return rc == Q_OK ? q_order_add(s->order, &payload, err) : rc;
}

static q_rc meet_groups(q_exec *x, select_run *s, q_err *err)
{
    const q_stmt *stmt = s->plan->stmt;
    q_rc rc = q_groups_finish(s->groups, err);
    q_ctx_base(s->ctx, NULL);
    for (const q_group *g = q_groups_first(s->groups); rc == Q_OK && g; g = q_group_next(g)) {
        q_truth t = Q_TRUE;
        s->ctx->group = g;
        if (stmt->having)
            rc = q_eval_truth(&s->ctx->env, stmt->having, &t, err);
        if (rc == Q_OK && t == Q_TRUE)
            rc = meet_row(x, s, err);
    }
    s->ctx->group = NULL;
    return rc;
}

static q_rc give_in_order(q_exec *x, select_run *s, q_err *err)
{
    q_rc rc = Q_OK;
    const q_value *payload;
    q_order_sort(s->order);
    while (rc == Q_OK && (payload = q_order_next(s->order)))
        rc = give_payload(x, s, payload, err);
    return rc;
}

/* ---- a SELECT's run ------------------------------------------------------------------------------------------------------- */

/* LIMIT without ORDER BY: a page that will do, with room for rows that WHERE drops. */
static uint32_t page_rows(const select_run *s)
{
    const uint64_t most = Q_EXEC_PAGE_ROWS;
    uint64_t rows = (s->limit < most ? s->limit : most) + (s->offset < most ? s->offset : most);
    if (s->plan->conj_count)
        rows = rows * 4 < 64 ? 64 : rows * 4;
    return (uint32_t)(rows > most ? most : rows ? rows : 1);
}

static bool select_open(q_exec *x, select_run *s, const q_xplan *plan, q_result *result, bool exists)
{
    const q_stmt *stmt = plan->stmt;
    s->plan = plan;
    s->result = result;
    s->exists = exists;
    s->offset = literal_count(stmt->offset, 0);
    s->limit = literal_count(stmt->limit, exists ? 1 : UINT64_MAX);
    s->sub_value = Q_NULL;
    s->source = q_source_new(x, plan, false);
    s->ctx = q_ctx_new(x, plan, false);
    if (!s->source || !s->ctx)
        return false;
    x->ctx = s->ctx;
    if (stmt->aggregated && !(s->groups = q_groups_new(x, plan)))
        return false;
    if (stmt->order_count && !exists && !(s->order = q_order_new(x, stmt, s->offset, s->limit)))
        return false;
    if (!stmt->aggregated && !s->order)
        s->source->page_rows = page_rows(s);
    if (!result)
        return true;
    result->kind = "select";
    result->columns = columns_json(x, s);
    return result->columns.ptr != NULL;
}

/* END: the result is complete. */
static q_step_rc select_run_step(q_exec *x, select_run *s, q_err *err)
{
    q_rc rc = Q_OK;
    s->enough = s->enough || s->limit == 0;
    while (!s->enough) {
        q_step_rc step = q_source_next(x, s->source, err);
        if (step == Q_STEP_END)
            break;
        if (step != Q_STEP_ROWS)
            return step;
        for (uint32_t i = 0; rc == Q_OK && i < s->source->count && !s->enough; i++) {
            q_ctx_base(s->ctx, s->source->rows[i]);
            rc = s->groups ? q_groups_add(s->groups, s->ctx, err) : meet_row(x, s, err);
        }
        if (rc != Q_OK)
            return Q_STEP_FAIL;
    }
    if (s->groups && s->limit > 0)
        rc = meet_groups(x, s, err);
    if (rc == Q_OK && s->order)
        rc = give_in_order(x, s, err);
    return rc == Q_OK ? Q_STEP_END : Q_STEP_FAIL;
}

q_step_rc q_select_step(q_exec *x, q_err *err)
{
    select_run *s = x->statement;
    if (!s) {
        s = Q_NEW(x->arena, select_run);
        if (!s || !select_open(x, s, &x->plans[x->at], &x->results[x->at], false))
            return no_memory(err);
        x->statement = s;
    }
    return select_run_step(x, s, err);
}

/* ---- ASSERT --------------------------------------------------------------------------------------------------------------- */

typedef struct assert_run {
    uint32_t at;           /* subquery */
    select_run *select;    /* its run; NULL: not begun */
    q_value *values;
    bool *exists;          /* EXISTS (…), not a value */
} assert_run;

static void find_exists(const q_expr *e, bool *exists)
{
    if (!e)
        return;
    if (e->kind == Q_X_EXISTS)
        exists[e->select.index] = true;
    find_exists(e->a, exists);
    find_exists(e->b, exists);
    for (uint32_t i = 0; i < e->arg_count; i++)
        find_exists(e->args[i], exists);
}

static assert_run *assert_open(q_exec *x, const q_xplan *plan)
{
    assert_run *a = Q_NEW(x->arena, assert_run);
    if (!a)
        return NULL;
    a->values = Q_NEW_ARRAY(x->arena, q_value, plan->sub_count + 1);
    a->exists = Q_NEW_ARRAY(x->arena, bool, plan->sub_count + 1);
    if (!a->values || !a->exists)
        return NULL;
    find_exists(plan->stmt->where, a->exists);
    return a;
}

static q_step_rc assert_judge(q_exec *x, const q_xplan *plan, const assert_run *a, q_err *err)
{
    q_truth t;
    q_ctx *c = q_ctx_new(x, plan, true);
    if (!c)
        return no_memory(err);
    c->subs = a->values;
    if (q_eval_truth(&c->env, plan->stmt->where, &t, err) != Q_OK)
        return Q_STEP_FAIL;
    if (t != Q_TRUE) {
        q_err_set(err, Q_E_ASSERT_FAILED, "The condition of ASSERT is %s.", t == Q_UNKNOWN ? "unknown (it compares with NULL)" : "false");
        return Q_STEP_FAIL;
    }
    x->results[x->at].kind = "assert";
    return Q_STEP_END;
}

q_step_rc q_assert_step(q_exec *x, q_err *err)
{
    const q_xplan *plan = &x->plans[x->at];
    assert_run *a = x->statement;
    if (!a && !(a = x->statement = assert_open(x, plan)))
        return no_memory(err);
    while (a->at < plan->sub_count) {
        if (!a->select) {
            a->select = Q_NEW(x->arena, select_run);
            if (!a->select || !select_open(x, a->select, &plan->subs[a->at], NULL, a->exists[a->at]))
                return no_memory(err);
        }
        q_step_rc step = select_run_step(x, a->select, err);
        if (step != Q_STEP_END)
            return step;
        a->values[a->at] = a->exists[a->at] ? (q_value){ .type = Q_T_BOOL, .b = a->select->given > 0 } : a->select->sub_value;
        a->select = NULL;
        a->at++;
    }
    return assert_judge(x, plan, a, err);
}
