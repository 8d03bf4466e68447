/* pushdown.c - which parts of WHERE an engine can look at, so that it sends less. An engine may ignore any of it, and WHERE is evaluated
 * again on what comes back; so the only sin here is a predicate that leaves out a record that matches. */
#include "coordinator/plan.h"

/* The attribute of this record (perhaps inside its document) that the expression reads; NULL when it is something else. */
static const q_attr *own_attr(const q_expr *e)
{
    return e->kind == Q_X_PATH && e->path.hop_count == 0 && e->path.attr != &q_attr_seq ? e->path.attr : NULL;
}

/* Can the engine compare it? A literal of a document is of the type that JSON has; others are as the attribute is. */
static bool literal_for(q_arena *arena, const q_attr *a, const q_expr *e, q_value *out)
{
    if (e->kind != Q_X_LITERAL || e->value.type == Q_T_NULL)
        return false;
    *out = e->value;
    switch (a->kind) {
    case Q_K_DOCUMENT:
        return out->type == Q_T_BOOL || out->type == Q_T_INT || out->type == Q_T_FLOAT || out->type == Q_T_STRING;
    case Q_K_RELATION:
        return !a->many && out->type == Q_T_RELATION && out->rel.count == 1;
    default:
        break;
    }
    if (out->type == a->datatype)
        return true;
    /* total = 5 of a float: equal numbers stay equal; what can't be converted without loss stays here */
    q_err ignored = Q_ERR_INIT;
    q_value v = *out;
    return q_value_coerce(arena, &v, a->datatype, out, &ignored) == Q_OK;
}

static q_cmp_op cmp_of(q_op op, bool swapped)
{
    switch (op) {
    case Q_OP_EQ: return Q_C_EQ;
    case Q_OP_NE: return Q_C_NE;
    case Q_OP_LT: return swapped ? Q_C_GT : Q_C_LT;
    case Q_OP_LE: return swapped ? Q_C_GE : Q_C_LE;
    case Q_OP_GT: return swapped ? Q_C_LT : Q_C_GT;
    default: return swapped ? Q_C_LE : Q_C_GE;
    }
}

typedef struct pusher {
    q_arena *arena;
    q_xplan *plan;
    uint32_t cap[Q_EN_COUNT];
    q_pred *preds[Q_EN_COUNT];
    bool full;
} pusher;

static void push(pusher *p, const q_expr *path, q_cmp_op op, uint32_t count, const q_value *values)
{
    const q_attr *a = path->path.attr;
    q_engine_id e = q_kind_engine(a->kind);
    q_slice *steps = NULL;
    if (p->plan->pred_count[e] == Q_WIRE_MAX_PREDS || count > Q_WIRE_MAX_IN)
        return;
    if (path->path.step_count) {
        steps = Q_NEW_ARRAY(p->arena, q_slice, path->path.step_count);
        for (uint32_t i = 0; steps && i < path->path.step_count; i++) {
            const q_step *s = &path->path.steps[i];
            steps[i] = s->is_index ? q_arena_printf(p->arena, "%lld", (long long)s->index) : s->key;
            if (s->is_index && !steps[i].ptr)
                steps = NULL;
        }
        if (!steps) {
            p->full = true;
            return;
        }
    }
    q_pred *pred = Q_PUSH(p->arena, p->preds[e], p->plan->pred_count[e], p->cap[e]);
    if (!pred) {
        p->full = true;
        return;
    }
    *pred = (q_pred){ .attr = a->name, .step_count = path->path.step_count, .steps = steps, .op = op, .count = count, .values = values };
}

static void push_one(pusher *p, const q_expr *path, q_cmp_op op, const q_expr *literal)
{
    const q_attr *a = own_attr(path);
    q_value *v = a ? q_arena_alloc(p->arena, sizeof *v) : NULL;
    p->full = p->full || (a && !v);
    if (v && literal_for(p->arena, a, literal, v) && (v->type != Q_T_RELATION || op == Q_C_EQ))
        push(p, path, op, 1, v);
}

static void push_in(pusher *p, const q_expr *e)
{
    const q_attr *a = own_attr(e->a);
    if (!a || e->negated || e->arg_count == 0)
        return;
    q_value *values = q_arena_alloc(p->arena, e->arg_count * sizeof *values);
    uint32_t n = 0;
    if (!values) {
        p->full = true;
        return;
    }
    for (uint32_t i = 0; i < e->arg_count; i++) {
        if (e->args[i]->kind == Q_X_LITERAL && e->args[i]->value.type == Q_T_NULL)
            continue; /* equal to nothing */
        if (!literal_for(p->arena, a, e->args[i], &values[n]) || values[n].type == Q_T_RELATION)
            return;
        n++;
    }
    if (n)
        push(p, e->a, Q_C_IN, n, values);
}

static void push_conjunct(pusher *p, const q_expr *e)
{
    const q_attr *a;
    switch (e->kind) {
    case Q_X_BINARY:
        if (e->op < Q_OP_EQ || e->op > Q_OP_GE)
            return;
        if (e->b->kind == Q_X_LITERAL)
            push_one(p, e->a, cmp_of(e->op, false), e->b);
        else if (e->a->kind == Q_X_LITERAL)
            push_one(p, e->b, cmp_of(e->op, true), e->a);
        return;
    case Q_X_IN:
        push_in(p, e);
        return;
    case Q_X_BETWEEN:
        if (e->negated)
            return;
        push_one(p, e->a, Q_C_GE, e->args[0]);
        push_one(p, e->a, Q_C_LE, e->args[1]);
        return;
    case Q_X_LIKE:
        if (!e->negated && e->b->kind == Q_X_LITERAL && e->b->value.type == Q_T_STRING)
            push_one(p, e->a, Q_C_LIKE, e->b);
        return;
    case Q_X_IS_NULL:
        a = own_attr(e->a);
        if (!a || a->index == 0)
            return;
        if (e->negated)
            push(p, e->a, Q_C_NOT_NULL, 0, NULL);
        else if (a->kind == Q_K_SCALAR) /* elsewhere, a record without a part has NULL too, and no scan there would answer with it */
            push(p, e->a, Q_C_IS_NULL, 0, NULL);
        return;
    case Q_X_PATH:
        a = own_attr(e);
        if (a && a->datatype == Q_T_BOOL) {
            static const q_value yes = { .type = Q_T_BOOL, .b = true };
            push(p, e, Q_C_EQ, 1, &yes);
        }
        return;
    default:
        return;
    }
}

bool q_plan_pushdown(q_arena *arena, q_xplan *plan)
{
    pusher p = { .arena = arena, .plan = plan };
    for (uint32_t i = 0; i < plan->conj_count && !p.full; i++)
        push_conjunct(&p, plan->conjs[i].expr);
    for (int e = 0; e < Q_EN_COUNT; e++)
        plan->preds[e] = p.preds[e];
    return !p.full;
}
