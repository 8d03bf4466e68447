/* bind.c - what the attributes of an expression are worth at a record, relations followed. The row stores are the map: a relation's id
 * is looked up there each time, so nothing has to be kept in step. */
#include <assert.h>

#include "coordinator/exec_run.h"

#include "coordinator/aggregate.h"

/* Is the record there, for this principal? What can't be evaluated hides it. */
static bool is_there(const q_ctx *c, const q_xnode *n, q_xrow *row)
{
    if (!row || !q_xrow_exists(row))
        return false;
    if (!n->condition)
        return true;
    q_err ignored = Q_ERR_INIT;
    q_truth t = Q_FALSE;
    c->judge->base = row;
    return q_eval_truth(&c->judge->env, n->condition, &t, &ignored) == Q_OK && t == Q_TRUE;
}

/* The record at a node under the bound combination; NULL when there is none. */
static q_xrow *row_at(const q_ctx *c, uint32_t node)
{
    const q_xnode *n = &c->plan->nodes[node];
    if (node == 0)
        return c->base;
    if (!n->type)
        return NULL;
    if (n->hop->many)
        return c->bound[node];
    q_xrow *up = row_at(c, n->parent);
    const q_value *ids = up ? q_xrow_get(up, n->hop) : NULL;
    if (!ids || ids->type != Q_T_RELATION || ids->rel.count == 0)
        return NULL;
    q_xrow *row = q_overlay_find(n->type, &ids->rel.items[0]);
    return is_there(c, n, row) ? row : NULL;
}

static uint32_t node_of(const q_xplan *plan, const q_expr *e)
{
    uint32_t i = 0;
    while (plan->hops[i].expr != e)
        i++;
    return plan->hops[i].node;
}

static q_rc leaf(q_env *env, const q_expr *e, q_value *out, q_err *err)
{
    const q_ctx *c = (const q_ctx *)env;
    (void)err;
    if (c->group && q_group_leaf(c->group, c->plan, e, out))
        return Q_END;
    *out = Q_NULL;
    if (e->kind == Q_X_SUBQUERY || e->kind == Q_X_EXISTS) {
        *out = c->subs[e->select.index];
        return Q_OK;
    }
    if (e->kind != Q_X_PATH || !c->base || !e->path.attr)
        return Q_OK;
    if (e->path.attr == &q_attr_seq) {
        uint64_t seq = 0;
        for (int i = 0; i < Q_EN_COUNT; i++)
            seq = c->base->seq[i] > seq ? c->base->seq[i] : seq;
        if (seq)
            *out = (q_value){ .type = Q_T_INT, .i = (int64_t)seq };
        return Q_OK;
    }
    const q_xrow *row = e->path.hop_count == 0 ? c->base : row_at(c, node_of(c->plan, e));
    if (row)
        *out = *q_xrow_get(row, e->path.attr);
    return Q_OK;
}

q_ctx *q_ctx_new(q_exec *x, const q_xplan *plan, bool strict)
{
    q_ctx *c = Q_NEW(x->arena, q_ctx);
    if (!c)
        return NULL;
    c->env = (q_env){ .arena = x->arena, .strict = strict, .work_left = &x->work_left, .leaf = leaf };
    c->x = x;
    c->plan = plan;
    if (plan->node_count > 1) {
        c->bound = Q_NEW_ARRAY(x->arena, q_xrow *, plan->node_count);
        c->place = Q_NEW_ARRAY(x->arena, uint32_t, plan->node_count);
        if (!c->bound || !c->place)
            return NULL;
    }
    if (plan->many_count)
        c->env.bind = q_ctx_bind;
    if (plan->has_conditions) {
        c->judge = Q_NEW(x->arena, q_ctx);
        if (!c->judge)
            return NULL;
        c->judge->env = (q_env){ .arena = x->arena, .work_left = &x->work_left, .leaf = leaf };
        c->judge->x = x;
        c->judge->plan = plan;
    }
    return c;
}

q_rc q_ctx_after(q_ctx *c, q_xrow *row, q_pos pos, q_err *err)
{
    const q_stmt *s = c->plan->stmt;
    q_truth t = Q_FALSE;
    if (!s->after)
        return Q_OK;
    q_xrow *base = c->base;
    bool strict = c->env.strict;
    q_err why = Q_ERR_INIT;
    c->base = row;
    c->env.strict = false;
    q_rc rc = q_eval_truth(&c->env, s->after, &t, &why);
    c->base = base;
    c->env.strict = strict;
    if (rc == Q_OK && t == Q_TRUE)
        return Q_OK;
    if (rc != Q_OK && why.code == Q_E_LIMIT_MEMORY)
        return q_exec_no_memory(err);
    q_err_set(err, Q_E_FORBIDDEN, "The row isn't one that a role of yours may write to %.*s.", Q_SLICE_FMT(s->record->name));
    err->line = pos.line;
    err->column = pos.column;
    return Q_FAIL;
}

const q_xmany *q_ctx_many(const q_ctx *c, const q_expr *e)
{
    for (uint32_t i = 0; i < c->plan->many_count; i++)
        if (c->plan->many[i].expr == e)
            return &c->plan->many[i];
    return NULL;
}

/* Moves one variable to its next record; false when its parent's relation has no more. */
static bool next_record(q_ctx *c, uint32_t node)
{
    const q_xnode *n = &c->plan->nodes[node];
    q_xrow *up = row_at(c, n->parent);
    const q_value *ids = up ? q_xrow_get(up, n->hop) : NULL;
    c->bound[node] = NULL;
    if (!ids || ids->type != Q_T_RELATION || !n->type)
        return false;
    while (c->place[node] < ids->rel.count) {
        q_xrow *row = q_overlay_find(n->type, &ids->rel.items[c->place[node]++]);
        if (is_there(c, n, row)) {
            c->bound[node] = row;
            return true;
        }
    }
    return false;
}

static bool all_ends(const q_ctx *c, const q_xmany *m)
{
    for (uint32_t i = 0; i < m->end_count; i++)
        if (!row_at(c, m->ends[i]))
            return false;
    return true;
}

/* An odometer: the last variable turns fastest; a variable that has turned through starts again when one before it has moved. */
bool q_ctx_bind(q_env *env, const q_expr *e, bool first)
{
    q_ctx *c = (q_ctx *)env;
    const q_xmany *m = first ? q_ctx_many(c, e) : c->many;
    if (!m)
        return false;
    assert(c->base && !c->group); /* groups have one value */
    uint32_t k = m->var_count;
    if (first) {
        c->many = m;
        k = 0;
        c->place[m->vars[0]] = 0;
    } else {
        k--;
    }
    for (;;) {
        if (env->work_left && *env->work_left)
            --*env->work_left;
        if (next_record(c, m->vars[k])) {
            if (k + 1 < m->var_count) {
                c->place[m->vars[++k]] = 0;
                continue;
            }
            if (all_ends(c, m) || (env->work_left && !*env->work_left))
                return true;
        } else if (k-- == 0) {
            return false; /* every bound[] is NULL again */
        }
    }
}
