#include "coordinator/aggregate.h"

#include <math.h>
#include <xxhash.h>

#include "schemas/number.h"

/* What one aggregate has met in one group. */
typedef struct acc {
    uint64_t count;
    bool floats, decimals, durations; /* seen */
    __int128 whole;      /* of ints, or of durations */
    double real;
    q_value decimal;
    q_value best;        /* MIN, MAX */
    char *text;          /* its bytes, used again as long as they suffice */
    size_t text_cap;
    q_value result;
} acc;

struct q_group {
    q_group *chain, *next;
    uint64_t hash;
    q_value *keys, *leaves;
    acc *accs;
};

struct q_groups {
    q_exec *x;
    const q_xplan *plan;
    uint32_t count, cap; /* cap: of the table, a power of two */
    q_group **table;
    q_group *first, **end;
    q_value *probe;      /* keys of the row that is being added */
};

q_groups *q_groups_new(q_exec *x, const q_xplan *plan)
{
    q_groups *g = Q_NEW(x->arena, q_groups);
    if (!g)
        return NULL;
    g->x = x;
    g->plan = plan;
    g->cap = 16;
    g->table = Q_NEW_ARRAY(x->arena, q_group *, g->cap);
    g->probe = Q_NEW_ARRAY(x->arena, q_value, plan->stmt->group_count + 1);
    g->end = &g->first;
    return g->table && g->probe ? g : NULL;
}

/* ---- keys: equal numbers are one group, whatever their type; NULLs are one group ------------------------------------------ */

static bool is_number(q_type t) { return t == Q_T_INT || t == Q_T_FLOAT || t == Q_T_DECIMAL; }

static double number(const q_value *v)
{
    if (v->type == Q_T_INT)
        return (double)v->i;
    return v->type == Q_T_FLOAT ? v->f : (double)v->coefficient / (double)q_pow10(v->scale);
}

static uint64_t hash_value(const q_value *v, uint64_t seed)
{
    double d;
    switch (v->type) {
    case Q_T_INT:
    case Q_T_FLOAT:
    case Q_T_DECIMAL:
        d = (double)(float)number(v) + 0.0; /* coarse: conversions of one number to double may differ in the last bit; -0 is 0 */
        return XXH3_64bits_withSeed(&d, sizeof d, seed);
    case Q_T_STRING:
    case Q_T_BYTES:
        return XXH3_64bits_withSeed(v->s.ptr, v->s.len, seed + v->type);
    case Q_T_UUID:
        return XXH3_64bits_withSeed(v->uuid, sizeof v->uuid, seed);
    case Q_T_TIME:
    case Q_T_DURATION:
        return XXH3_64bits_withSeed(&v->i, sizeof v->i, seed);
    case Q_T_BOOL:
        return seed * 31 + v->b;
    default:
        return seed * 31 + v->type; /* NULL; documents: equal ones may have other bytes */
    }
}

static bool same_key(const q_value *a, const q_value *b)
{
    return is_number(a->type) && is_number(b->type) ? q_value_cmp(a, b) == 0 : q_value_same(a, b);
}

static bool grow(q_groups *g)
{
    uint32_t cap = g->cap * 2;
    q_group **table = Q_NEW_ARRAY(g->x->arena, q_group *, cap);
    if (!table)
        return false;
    for (q_group *it = g->first; it; it = it->next) {
        it->chain = table[it->hash & (cap - 1)];
        table[it->hash & (cap - 1)] = it;
    }
    g->table = table;
    g->cap = cap;
    return true;
}

/* A group begins: its keys, and the values that its paths have on this first row. `ctx` NULL: on no row. */
static q_rc group_new(q_groups *g, q_ctx *ctx, uint64_t hash, q_group **out, q_err *err)
{
    const q_xplan *plan = g->plan;
    q_arena *arena = g->x->arena;
    uint32_t keys = plan->stmt->group_count;
    q_rc rc = q_exec_keep(g->x, 1, false, err);
    if (rc != Q_OK)
        return rc;
    q_group *n = Q_NEW(arena, q_group);
    if (n) {
        n->keys = Q_NEW_ARRAY(arena, q_value, keys + 1);
        n->leaves = Q_NEW_ARRAY(arena, q_value, plan->leaf_count + 1);
        n->accs = Q_NEW_ARRAY(arena, acc, plan->agg_count + 1);
    }
    if (!n || !n->keys || !n->leaves || !n->accs || (g->count >= g->cap && !grow(g)))
        return q_exec_no_memory(err);
    n->hash = hash;
    for (uint32_t i = 0; ctx && i < keys; i++)
        if (!q_pagemem_copy(&g->x->lasting, &g->probe[i], &n->keys[i]))
            return q_exec_no_memory(err);
    for (uint32_t i = 0; ctx && i < plan->leaf_count; i++) {
        q_value v;
        rc = q_eval(&ctx->env, plan->leaves[i], &v, err);
        if (rc != Q_OK)
            return rc;
        if (!q_pagemem_copy(&g->x->lasting, &v, &n->leaves[i]))
            return q_exec_no_memory(err);
    }
    n->chain = g->table[hash & (g->cap - 1)];
    g->table[hash & (g->cap - 1)] = n;
    *g->end = n;
    g->end = &n->next;
    g->count++;
    *out = n;
    return Q_OK;
}

static q_rc find_group(q_groups *g, q_ctx *ctx, q_group **out, q_err *err)
{
    const q_stmt *s = g->plan->stmt;
    uint64_t hash = 0;
    for (uint32_t i = 0; i < s->group_count; i++) {
        q_rc rc = q_eval(&ctx->env, s->groups[i], &g->probe[i], err);
        if (rc != Q_OK)
            return rc;
        hash = hash_value(&g->probe[i], hash);
    }
    for (q_group *it = g->table[hash & (g->cap - 1)]; it; it = it->chain) {
        bool same = it->hash == hash;
        for (uint32_t i = 0; same && i < s->group_count; i++)
            same = same_key(&it->keys[i], &g->probe[i]);
        if (same) {
            *out = it;
            return Q_OK;
        }
    }
    return group_new(g, ctx, hash, out, err);
}

/* ---- accumulating ------------------------------------------------------------------------------------------------------- */

static q_rc wrong_type(const q_expr *e, const q_value *v, q_err *err)
{
    static const char *const names[] = { "count", "sum", "avg", "min", "max" };
    q_err_set(err, Q_E_QQL_TYPE, "%s of %s has no meaning here.", names[e->op - Q_OP_COUNT], q_type_name(v->type));
    err->line = e->pos.line;
    err->column = e->pos.column;
    return Q_FAIL;
}

static q_rc add_to_sum(acc *a, const q_expr *e, const q_value *v, q_err *err)
{
    if (!is_number(v->type) && v->type != Q_T_DURATION) /* inside documents there are no durations: they never meet numbers */
        return wrong_type(e, v, err);
    if (v->type == Q_T_FLOAT) {
        a->floats = true;
        a->real += v->f;
        return Q_OK;
    }
    if (v->type == Q_T_DECIMAL) {
        q_value sum = *v;
        q_rc rc = a->decimals ? q_arith(Q_OP_ADD, &a->decimal, v, &sum, err) : Q_OK;
        a->decimals = true;
        a->decimal = sum;
        return rc;
    }
    a->durations = a->durations || v->type == Q_T_DURATION;
    a->whole += v->i; /* 2^64 of them before it overflows */
    return Q_OK;
}

/* Copies a better value; text into memory that the group has already, as far as it goes. */
static bool keep_best(q_exec *x, acc *a, const q_value *v)
{
    if (v->type != Q_T_STRING && v->type != Q_T_BYTES)
        return q_pagemem_copy(&x->lasting, v, &a->best);
    if (v->s.len > a->text_cap || !a->text) {
        a->text_cap = v->s.len < 32 ? 64 : v->s.len * 2;
        a->text = q_arena_alloc(x->arena, a->text_cap);
        if (!a->text)
            return false;
    }
    if (v->s.len)
        memcpy(a->text, v->s.ptr, v->s.len);
    a->best = *v;
    a->best.s.ptr = a->text;
    return true;
}

static q_rc add_value(q_exec *x, acc *a, const q_expr *e, const q_value *v, q_err *err)
{
    if (v->type == Q_T_NULL)
        return Q_OK;
    a->count++;
    switch (e->op) {
    case Q_OP_SUM:
    case Q_OP_AVG:
        return add_to_sum(a, e, v, err);
    case Q_OP_MIN:
    case Q_OP_MAX:
        if (!q_value_comparable(v->type, v->type) || (a->count > 1 && !q_value_comparable(a->best.type, v->type)))
            return wrong_type(e, v, err);
        if (a->count == 1 || (e->op == Q_OP_MIN ? q_value_cmp(v, &a->best) < 0 : q_value_cmp(v, &a->best) > 0))
            return keep_best(x, a, v) ? Q_OK : q_exec_no_memory(err);
        return Q_OK;
    default:
        return Q_OK;
    }
}

/* The argument of each combination of ends counts. */
static q_rc add_row(q_groups *g, q_ctx *ctx, acc *a, const q_expr *e, q_err *err)
{
    q_value v;
    q_rc rc = Q_OK;
    if (!e->a) {
        a->count++;
        return Q_OK;
    }
    if (!q_ctx_many(ctx, e)) {
        rc = q_eval(&ctx->env, e->a, &v, err);
        return rc == Q_OK ? add_value(g->x, a, e, &v, err) : rc;
    }
    ctx->env.bound = true;
    for (bool first = true; rc == Q_OK && q_ctx_bind(&ctx->env, e, first); first = false) {
        rc = q_eval(&ctx->env, e->a, &v, err);
        if (rc == Q_OK)
            rc = add_value(g->x, a, e, &v, err);
    }
    ctx->env.bound = false;
    return rc;
}

q_rc q_groups_add(q_groups *g, q_ctx *ctx, q_err *err)
{
    q_group *group = NULL;
    q_rc rc = find_group(g, ctx, &group, err);
    for (uint32_t i = 0; rc == Q_OK && i < g->plan->agg_count; i++)
        rc = add_row(g, ctx, &group->accs[i], g->plan->aggs[i], err);
    return rc;
}

/* ---- results ------------------------------------------------------------------------------------------------------------ */

static q_rc out_of_range(q_err *err) { return q_err_set(err, Q_E_VALUE_OUT_OF_RANGE, "The sum doesn't fit its type."); }

static q_rc float_result(double f, q_value *out, q_err *err)
{
    *out = (q_value){ .type = Q_T_FLOAT, .f = f };
    return isfinite(f) ? Q_OK : out_of_range(err);
}

static q_rc whole_result(q_type type, __int128 whole, q_value *out, q_err *err)
{
    *out = (q_value){ .type = type, .i = (int64_t)whole };
    return whole < INT64_MIN || whole > INT64_MAX ? out_of_range(err) : Q_OK;
}

static q_rc decimal_sum(const acc *a, q_value *out, q_err *err)
{
    q_value ints = { .type = Q_T_DECIMAL, .coefficient = a->whole };
    if (!q_decimal_valid(a->whole, 0))
        return out_of_range(err);
    return q_arith(Q_OP_ADD, &ints, &a->decimal, out, err);
}

static q_rc sum_result(const acc *a, q_value *out, q_err *err)
{
    if (a->floats)
        return float_result(a->real + (double)a->whole + (a->decimals ? number(&a->decimal) : 0), out, err);
    if (a->decimals)
        return decimal_sum(a, out, err);
    return whole_result(a->durations ? Q_T_DURATION : Q_T_INT, a->whole, out, err);
}

static q_rc avg_result(const acc *a, q_value *out, q_err *err)
{
    __int128 n = (__int128)a->count;
    if (a->durations) {
        __int128 half = a->whole < 0 ? -(n / 2) : n / 2;
        return whole_result(Q_T_DURATION, (a->whole + half) / n, out, err);
    }
    if (a->decimals && !a->floats) {
        q_value sum, count = { .type = Q_T_INT, .i = (int64_t)a->count };
        q_rc rc = decimal_sum(a, &sum, err);
        return rc == Q_OK ? q_arith(Q_OP_DIV, &sum, &count, out, err) : rc;
    }
    return float_result((a->real + (double)a->whole + (a->decimals ? number(&a->decimal) : 0)) / (double)a->count, out, err);
}

static q_rc finish(acc *a, const q_expr *e, q_err *err)
{
    q_rc rc = Q_OK;
    a->result = Q_NULL;
    if (e->op == Q_OP_COUNT)
        a->result = (q_value){ .type = Q_T_INT, .i = (int64_t)a->count };
    else if (a->count == 0)
        return Q_OK;
    else if (e->op == Q_OP_SUM)
        rc = sum_result(a, &a->result, err);
    else if (e->op == Q_OP_AVG)
        rc = avg_result(a, &a->result, err);
    else
        a->result = a->best;
    if (rc != Q_OK && err->line == 0) {
        err->line = e->pos.line;
        err->column = e->pos.column;
    }
    return rc;
}

q_rc q_groups_finish(q_groups *g, q_err *err)
{
    q_rc rc = Q_OK;
    if (!g->first && g->plan->stmt->group_count == 0) {
        q_group *only;
        rc = group_new(g, NULL, 0, &only, err);
    }
    for (q_group *it = g->first; rc == Q_OK && it; it = it->next)
        for (uint32_t i = 0; rc == Q_OK && i < g->plan->agg_count; i++)
            rc = finish(&it->accs[i], g->plan->aggs[i], err);
    return rc;
}

const q_group *q_groups_first(const q_groups *g) { return g->first; }
const q_group *q_group_next(const q_group *group) { return group->next; }

bool q_group_leaf(const q_group *group, const q_xplan *plan, const q_expr *e, q_value *out)
{
    for (uint32_t i = 0; e->kind == Q_X_AGGREGATE && i < plan->agg_count; i++)
        if (plan->aggs[i] == e) {
            *out = group->accs[i].result;
            return true;
        }
    for (uint32_t i = 0; e->kind == Q_X_PATH && i < plan->leaf_count; i++)
        if (plan->leaves[i] == e) {
            *out = group->leaves[i];
            return true;
        }
    return false;
}
