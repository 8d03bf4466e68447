/* GROUP BY: what may stand beside an aggregate. */
#include "quantaql/check.h"

static bool same_or_none(const q_expr *a, const q_expr *b) { return a == b || (a && b && q_expr_same(a, b)); }

static bool same_steps(const q_step *a, const q_step *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (a[i].is_index != b[i].is_index || a[i].index != b[i].index || !q_slice_eq(a[i].key, b[i].key))
            return false;
    return true;
}

static bool same_paths(const q_path *a, const q_path *b)
{
    if (a->attr != b->attr || a->hop_count != b->hop_count || a->step_count != b->step_count)
        return false;
    for (uint32_t i = 0; i < a->hop_count; i++)
        if (a->hops[i] != b->hops[i])
            return false;
    return a->attr != NULL && same_steps(a->steps, b->steps, a->step_count);
}

bool q_expr_same(const q_expr *a, const q_expr *b)
{
    if (a->kind != b->kind || a->op != b->op || a->negated != b->negated || a->arg_count != b->arg_count)
        return false;
    if (a->kind == Q_X_LITERAL)
        return q_value_same(&a->value, &b->value);
    if (a->kind == Q_X_PATH)
        return same_paths(&a->path, &b->path);
    if (a->kind == Q_X_SUBQUERY || a->kind == Q_X_EXISTS)
        return a == b;
    if (!same_or_none(a->a, b->a) || !same_or_none(a->b, b->b))
        return false;
    for (uint32_t i = 0; i < a->arg_count; i++)
        if (!q_expr_same(a->args[i], b->args[i]) || (a->kind == Q_X_OBJECT && !q_slice_eq(a->keys[i], b->keys[i])))
            return false;
    return true;
}

bool q_check_grouped(q_checker *c, const q_stmt *s, const q_expr *e)
{
    if (e->kind == Q_X_AGGREGATE || e->kind == Q_X_LITERAL)
        return true;
    for (uint32_t i = 0; i < s->group_count; i++)
        if (q_expr_same(s->groups[i], e))
            return true;
    if (e->kind == Q_X_PATH) {
        q_slice name = e->path.names[0];
        q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->pos, "%.*s stands neither in GROUP BY nor inside of an aggregate", Q_BRIEF(name));
        if (s->group_count)
            q_err_hint(c->err, "Add it to GROUP BY, or take min() or max() of it.");
        else
            q_err_hint(c->err, "Add GROUP BY %.*s, or take min() or max() of it.", Q_BRIEF(name));
        return false;
    }
    if ((e->a && !q_check_grouped(c, s, e->a)) || (e->b && !q_check_grouped(c, s, e->b)))
        return false;
    for (uint32_t i = 0; i < e->arg_count; i++)
        if (!q_check_grouped(c, s, e->args[i]))
            return false;
    return true;
}
