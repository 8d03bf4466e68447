#include "coordinator/eval.h"

#include <assert.h>

#include "schemas/document.h"

static q_rc at(const q_expr *e, q_rc rc, q_err *err)
{
    if (rc != Q_OK && err->line == 0) {
        err->line = e->pos.line;
        err->column = e->pos.column;
    }
    return rc;
}

static bool spend(q_env *env, q_err *err)
{
    if (!env->work_left)
        return true;
    if (*env->work_left == 0) {
        q_err_set(err, Q_E_QQL_LIMIT, "The statement needs more work than one transaction may cause.");
        q_err_hint(err, "Follow fewer relations at once, or narrow WHERE.");
        return false;
    }
    --*env->work_left;
    return true;
}

/* ---- comparison -------------------------------------------------------------------------------------------------------- */

static q_truth truth(bool b) { return b ? Q_TRUE : Q_FALSE; }

/* A relation of one id beside an id: `delivered_by = "driver_004"`. */
static const q_value *single_id(const q_value *v) { return v->type == Q_T_RELATION && v->rel.count == 1 ? &v->rel.items[0] : v; }

q_truth q_compare(q_op op, const q_value *a, const q_value *b)
{
    if ((a->type == Q_T_RELATION) != (b->type == Q_T_RELATION)) {
        a = single_id(a);
        b = single_id(b);
    }
    bool equality = op == Q_OP_EQ || op == Q_OP_NE;
    if (!q_value_comparable(a->type, b->type) || (a->type == Q_T_RELATION && !equality)) {
        if (a->type == Q_T_DOC && b->type == Q_T_DOC && equality)
            return truth(q_value_same(a, b) == (op == Q_OP_EQ));
        return Q_UNKNOWN;
    }
    int c = q_value_cmp(a, b);
    switch (op) {
    case Q_OP_EQ:
        return truth(c == 0);
    case Q_OP_NE:
        return truth(c != 0);
    case Q_OP_LT:
        return truth(c < 0);
    case Q_OP_LE:
        return truth(c <= 0);
    case Q_OP_GT:
        return truth(c > 0);
    default:
        assert(op == Q_OP_GE);
        return truth(c >= 0);
    }
}

static q_truth negate(q_truth t) { return t == Q_UNKNOWN ? Q_UNKNOWN : t == Q_TRUE ? Q_FALSE : Q_TRUE; }

static q_truth conjunction(q_truth a, q_truth b)
{
    if (a == Q_FALSE || b == Q_FALSE)
        return Q_FALSE;
    return a == Q_UNKNOWN || b == Q_UNKNOWN ? Q_UNKNOWN : Q_TRUE;
}

static q_truth compare_nullable(q_op op, const q_value *a, const q_value *b)
{
    return a->type == Q_T_NULL || b->type == Q_T_NULL ? Q_UNKNOWN : q_compare(op, a, b);
}

/* ---- one comparison under one combination of ends ------------------------------------------------------------------------ */

static q_rc eval_in(q_env *env, const q_expr *e, q_truth *out, q_err *err)
{
    q_value a, item;
    q_rc rc = q_eval(env, e->a, &a, err);
    q_truth found = Q_FALSE;
    for (uint32_t i = 0; rc == Q_OK && i < e->arg_count && found != Q_TRUE; i++) {
        const q_value *v = &item;
        if (e->args[i]->kind == Q_X_LITERAL)
            v = &e->args[i]->value;
        else
            rc = q_eval(env, e->args[i], &item, err);
        if (rc == Q_OK) {
            q_truth t = compare_nullable(Q_OP_EQ, &a, v);
            found = t == Q_FALSE ? found : t;
        }
    }
    *out = e->negated ? negate(found) : found;
    return rc;
}

static q_rc eval_between(q_env *env, const q_expr *e, q_truth *out, q_err *err)
{
    q_value v[3];
    q_rc rc = q_eval(env, e->a, &v[0], err);
    for (uint32_t i = 0; rc == Q_OK && i < 2; i++)
        rc = q_eval(env, e->args[i], &v[i + 1], err);
    if (rc != Q_OK)
        return rc;
    q_truth t = conjunction(compare_nullable(Q_OP_GE, &v[0], &v[1]), compare_nullable(Q_OP_LE, &v[0], &v[2]));
    *out = e->negated ? negate(t) : t;
    return Q_OK;
}

static q_rc eval_like(q_env *env, const q_expr *e, q_truth *out, q_err *err)
{
    q_value a, b;
    q_rc rc = q_eval(env, e->a, &a, err);
    if (rc == Q_OK)
        rc = q_eval(env, e->b, &b, err);
    if (rc != Q_OK)
        return rc;
    *out = Q_UNKNOWN;
    if (a.type != Q_T_STRING || b.type != Q_T_STRING)
        return Q_OK;
    if (b.s.len > Q_LIKE_MAX_BYTES)
        return at(e, q_err_set(err, Q_E_QQL_LIMIT, "A pattern of LIKE may have %d bytes; this one has %zu.", Q_LIKE_MAX_BYTES, b.s.len),
                  err);
    *out = truth(q_like(a.s, b.s) != e->negated);
    return Q_OK;
}

/* A value where a condition stands: an attribute of type bool, a literal. */
static q_rc eval_plain_truth(q_env *env, const q_expr *e, q_truth *out, q_err *err)
{
    q_value v;
    q_rc rc = q_eval(env, e, &v, err);
    *out = rc == Q_OK && v.type == Q_T_BOOL ? truth(v.b) : Q_UNKNOWN;
    if (rc == Q_OK && env->strict && v.type != Q_T_BOOL && v.type != Q_T_NULL)
        return at(e, q_err_set(err, Q_E_QQL_TYPE, "A condition is needed here, not %s.", q_type_name(v.type)), err);
    return rc;
}

static q_rc eval_atom_once(q_env *env, const q_expr *e, q_truth *out, q_err *err)
{
    q_value a, b;
    q_rc rc;
    switch (e->kind) {
    case Q_X_IN:
        return eval_in(env, e, out, err);
    case Q_X_BETWEEN:
        return eval_between(env, e, out, err);
    case Q_X_LIKE:
        return eval_like(env, e, out, err);
    case Q_X_IS_NULL:
        rc = q_eval(env, e->a, &a, err);
        *out = truth((rc == Q_OK && a.type == Q_T_NULL) != e->negated);
        return rc;
    case Q_X_BINARY:
        rc = q_eval(env, e->a, &a, err);
        if (rc == Q_OK)
            rc = q_eval(env, e->b, &b, err);
        if (rc == Q_OK)
            *out = compare_nullable(e->op, &a, &b);
        return rc;
    default:
        return eval_plain_truth(env, e, out, err);
    }
}

/* True when any combination of ends makes it true; unknown when none does and one is unknown. */
static q_rc eval_atom(q_env *env, const q_expr *e, q_truth *out, q_err *err)
{
    q_truth all = Q_FALSE;
    bool first = true;
    if (!env->bind || env->bound)
        return eval_atom_once(env, e, out, err);
    env->bound = true;
    q_rc rc = Q_OK;
    while (rc == Q_OK && all != Q_TRUE && env->bind(env, e, first)) {
        q_truth t = Q_UNKNOWN;
        rc = spend(env, err) ? eval_atom_once(env, e, &t, err) : at(e, Q_FAIL, err);
        all = t == Q_FALSE ? all : t;
        first = false;
    }
    if (rc == Q_OK && first)
        rc = eval_atom_once(env, e, &all, err);
    env->bound = false;
    *out = all;
    return rc;
}

static bool is_comparison(q_op op) { return op >= Q_OP_EQ && op <= Q_OP_GE; }

bool q_eval_is_logic(const q_expr *e)
{
    switch (e->kind) {
    case Q_X_BINARY:
        return e->op == Q_OP_OR || e->op == Q_OP_AND || is_comparison(e->op);
    case Q_X_UNARY:
        return e->op == Q_OP_NOT;
    case Q_X_IN:
    case Q_X_BETWEEN:
    case Q_X_LIKE:
    case Q_X_IS_NULL:
        return true;
    default:
        return false;
    }
}

q_rc q_eval_truth(q_env *env, const q_expr *e, q_truth *out, q_err *err)
{
    *out = Q_UNKNOWN;
    if (!spend(env, err))
        return at(e, Q_FAIL, err);
    if (e->kind == Q_X_UNARY && e->op == Q_OP_NOT) {
        q_rc rc = q_eval_truth(env, e->a, out, err);
        *out = negate(*out);
        return rc;
    }
    if (e->kind != Q_X_BINARY || (e->op != Q_OP_AND && e->op != Q_OP_OR))
        return eval_atom(env, e, out, err);
    q_truth a = Q_UNKNOWN, b = Q_UNKNOWN, decides = truth(e->op == Q_OP_OR);
    q_rc rc = q_eval_truth(env, e->a, &a, err);
    if (rc == Q_OK && a != decides)
        rc = q_eval_truth(env, e->b, &b, err);
    if (e->op == Q_OP_AND)
        *out = a == Q_FALSE ? Q_FALSE : conjunction(a, b);
    else
        *out = a == Q_TRUE ? Q_TRUE : negate(conjunction(negate(a), negate(b)));
    return rc;
}

/* ---- values ------------------------------------------------------------------------------------------------------------ */

static q_rc eval_leaf(q_env *env, const q_expr *e, q_value *out, q_err *err)
{
    assert(env->leaf);
    q_rc rc = env->leaf(env, e, out, err);
    if (rc == Q_END)
        return Q_OK;
    if (rc != Q_OK || e->kind != Q_X_PATH || e->path.step_count == 0 || out->type == Q_T_NULL)
        return at(e, rc, err);
    if (out->type != Q_T_DOC) {
        *out = Q_NULL;
        return Q_OK;
    }
    q_slice doc = out->s;
    return at(e, q_doc_get(env->arena, doc, e->path.steps, e->path.step_count, out, err), err);
}

/* Operands whose types a document decides: an error for writes, which would store the NULL; otherwise NULL, or one odd document would
 * make its whole collection unreadable. */
static q_rc lenient(const q_env *env, const q_expr *e, q_rc rc, q_value *out, q_err *err)
{
    if (rc != Q_OK && err->code == Q_E_QQL_TYPE && !env->strict) {
        *out = Q_NULL;
        *err = Q_ERR_INIT;
        return Q_OK;
    }
    return at(e, rc, err);
}

static q_rc eval_arith(q_env *env, const q_expr *e, q_value *out, q_err *err)
{
    q_value a, b = Q_NULL;
    q_rc rc = q_eval(env, e->a, &a, err);
    if (rc == Q_OK && e->kind == Q_X_BINARY)
        rc = q_eval(env, e->b, &b, err);
    if (rc != Q_OK)
        return rc;
    *out = Q_NULL;
    if (a.type == Q_T_NULL || (e->kind == Q_X_BINARY && b.type == Q_T_NULL))
        return Q_OK;
    rc = e->kind == Q_X_BINARY ? q_arith(e->op, &a, &b, out, err) : q_arith_negate(&a, out, err);
    return lenient(env, e, rc, out, err);
}

/* [relation("a"), relation("b")] with parts that weren't constant: one relation. */
static q_rc relation_of(q_env *env, const q_value *parts, uint32_t count, q_value *out, q_err *err)
{
    uint64_t ids = 0;
    for (uint32_t i = 0; i < count; i++)
        ids += parts[i].rel.count;
    if (ids > Q_MAX_RELATION_IDS)
        return q_err_set(err, Q_E_DOCUMENT_LIMIT, "A relation may hold %d ids.", Q_MAX_RELATION_IDS);
    q_value *items = Q_NEW_ARRAY(env->arena, q_value, ids ? ids : 1);
    if (!items)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "The transaction needs more memory than one may have.");
    *out = (q_value){ .type = Q_T_RELATION, .rel = { items, 0 } };
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].rel.count)
            memcpy(items + out->rel.count, parts[i].rel.items, parts[i].rel.count * sizeof *items);
        out->rel.count += parts[i].rel.count;
    }
    return Q_OK;
}

static q_rc eval_composite(q_env *env, const q_expr *e, q_value *out, q_err *err)
{
    q_value *parts = Q_NEW_ARRAY(env->arena, q_value, e->arg_count ? e->arg_count : 1);
    if (!parts)
        return at(e, q_err_set(err, Q_E_LIMIT_MEMORY, "The transaction needs more memory than one may have."), err);
    bool relations = e->kind == Q_X_ARRAY && e->arg_count > 0;
    for (uint32_t i = 0; i < e->arg_count; i++) {
        q_rc rc = q_eval(env, e->args[i], &parts[i], err);
        if (rc != Q_OK)
            return rc;
        relations = relations && parts[i].type == Q_T_RELATION;
    }
    if (relations)
        return at(e, relation_of(env, parts, e->arg_count, out, err), err);
    q_slice doc;
    q_rc rc = e->kind == Q_X_OBJECT ? q_doc_make_map(env->arena, e->keys, parts, e->arg_count, &doc, err)
                                    : q_doc_make_array(env->arena, parts, e->arg_count, &doc, err);
    *out = (q_value){ .type = Q_T_DOC, .s = doc };
    return at(e, rc, err);
}

q_rc q_eval(q_env *env, const q_expr *e, q_value *out, q_err *err)
{
    if (e->kind == Q_X_LITERAL) {
        *out = e->value;
        return Q_OK;
    }
    if (q_eval_is_logic(e)) {
        q_truth t;
        q_rc rc = q_eval_truth(env, e, &t, err);
        *out = t == Q_UNKNOWN ? Q_NULL : (q_value){ .type = Q_T_BOOL, .b = t == Q_TRUE };
        return rc;
    }
    if (!spend(env, err))
        return at(e, Q_FAIL, err);
    switch (e->kind) {
    case Q_X_PATH:
    case Q_X_AGGREGATE:
    case Q_X_SUBQUERY:
    case Q_X_EXISTS:
        return eval_leaf(env, e, out, err);
    case Q_X_UNARY:
    case Q_X_BINARY:
        return eval_arith(env, e, out, err);
    case Q_X_OBJECT:
    case Q_X_ARRAY:
        return eval_composite(env, e, out, err);
    default: /* a parameter or a sample in a place where the check lets none through */
        assert(!"unchecked tree");
        return at(e, q_err_set(err, Q_E_INTERNAL, "An expression was not checked."), err);
    }
}
