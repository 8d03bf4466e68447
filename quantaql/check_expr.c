/* What each expression yields, and whether its operands go together. */
#include "quantaql/check.h"

static const char *sign_of(q_op op)
{
    static const char *const signs[] = { [Q_OP_OR] = "OR", [Q_OP_AND] = "AND", [Q_OP_NOT] = "NOT", [Q_OP_EQ] = "=", [Q_OP_NE] = "<>",
        [Q_OP_LT] = "<", [Q_OP_LE] = "<=", [Q_OP_GT] = ">", [Q_OP_GE] = ">=", [Q_OP_ADD] = "+", [Q_OP_SUB] = "-", [Q_OP_MUL] = "*",
        [Q_OP_DIV] = "/", [Q_OP_MOD] = "%", [Q_OP_NEG] = "-" };
    return signs[op];
}

/* "string", or "a document's part" where only the run can tell. */
static const char *kind_of(const q_expr *e)
{
    if (e->type != Q_T_NULL)
        return q_type_name(e->type);
    return q_is_null(e) ? "NULL" : "a part of a document";
}

/* ---- comparison ---- */

static bool incomparable(q_checker *c, q_pos pos, const q_expr *a, const q_expr *b)
{
    q_check_fail(c, Q_E_QQL_TYPE, pos, "%s and %s can't be compared", kind_of(a), kind_of(b));
    bool number = q_is_number(a->type) || q_is_number(b->type);
    if (number && (q_is_literal(a, Q_T_STRING) || q_is_literal(b, Q_T_STRING)))
        q_err_hint(c->err, "Numbers are written without quotation marks.");
    else if ((a->type == Q_T_STRING && q_is_literal(b, Q_T_INT)) || (b->type == Q_T_STRING && q_is_literal(a, Q_T_INT)))
        q_err_hint(c->err, "Text stands in quotation marks.");
    else if (a->type == Q_T_DOC || b->type == Q_T_DOC)
        q_err_hint(c->err, "A value inside a document is read as attribute.key.");
    return false;
}

static const q_attr *relation_of(const q_expr *e)
{
    return e->kind == Q_X_PATH && e->path.attr && e->path.attr->kind == Q_K_RELATION ? e->path.attr : NULL;
}

static bool may_be_id(q_type t) { return t == Q_T_STRING || t == Q_T_INT || t == Q_T_UUID; }

static bool compare_relation(q_checker *c, q_pos pos, bool ordered, q_expr *a, q_expr *b)
{
    const q_attr *attr = relation_of(a) ? relation_of(a) : relation_of(b);
    q_expr *both[2] = { a, b };
    if (ordered)
        return q_check_fail(c, Q_E_QQL_TYPE, pos, "relations have no order: only = and <> compare them");
    for (int i = 0; i < 2; i++) {
        q_expr *e = both[i];
        if (e->kind == Q_X_LITERAL && !q_literal_to_relation(c, e, attr))
            return false;
        if (e->type != Q_T_RELATION && e->type != Q_T_NULL && !may_be_id(e->type))
            return incomparable(c, pos, a, b);
    }
    return true;
}

/* A part of a document holds what JSON holds. */
static bool unlike_json(q_type t) { return t == Q_T_TIME || t == Q_T_DURATION || t == Q_T_UUID || t == Q_T_BYTES; }

static bool compare_with_part(q_checker *c, q_pos pos, bool ordered, const q_expr *part, const q_expr *other)
{
    bool inside = part->kind == Q_X_PATH && part->path.attr && part->path.step_count > 0;
    if (ordered && other->type == Q_T_DOC)
        return q_check_fail(c, Q_E_QQL_TYPE, pos, "documents have no order: only = and <> compare them");
    if (!inside || !unlike_json(other->type))
        return true;
    q_check_fail(c, Q_E_QQL_TYPE, pos, "a document holds no %s: what is stored there is text", q_type_name(other->type));
    q_err_hint(c->err, "Compare with the text, or make it a scalar attribute.");
    return false;
}

static bool read_from_text(q_type t)
{
    return t == Q_T_UUID || t == Q_T_TIME || t == Q_T_DURATION || t == Q_T_DECIMAL || t == Q_T_BYTES;
}

/* Both are checked. A literal takes the other's type where that says the same. */
static bool compare(q_checker *c, q_pos pos, bool ordered, q_expr *a, q_expr *b)
{
    if (q_is_null(a) || q_is_null(b))
        return true;
    if (a->type == Q_T_RELATION || b->type == Q_T_RELATION)
        return compare_relation(c, pos, ordered, a, b);
    if (a->type == Q_T_NULL || b->type == Q_T_NULL)
        return a->type == Q_T_NULL ? compare_with_part(c, pos, ordered, a, b) : compare_with_part(c, pos, ordered, b, a);
    if (a->type == Q_T_DOC && b->type == Q_T_DOC)
        return !ordered || q_check_fail(c, Q_E_QQL_TYPE, pos, "documents have no order: only = and <> compare them");
    if (a->type == b->type)
        return true;
    if (q_is_number(a->type) && q_is_number(b->type)) {
        if (b->kind == Q_X_LITERAL)
            q_literal_try(c, b, a->type);
        else
            q_literal_try(c, a, b->type);
        return true;
    }
    if (q_is_literal(b, Q_T_STRING) && read_from_text(a->type))
        return q_literal_to(c, b, a->type);
    if (q_is_literal(a, Q_T_STRING) && read_from_text(b->type))
        return q_literal_to(c, a, b->type);
    return incomparable(c, pos, a, b);
}

/* ---- arithmetic ---- */

/* Q_T_COUNT: they don't go together. Q_T_NULL: a document's part is among them, the run will see. The same rules as the evaluation's. */
static q_type arithmetic_type(q_op op, q_type a, q_type b)
{
    bool number_a = q_is_number(a), number_b = q_is_number(b), sum = op == Q_OP_ADD || op == Q_OP_SUB;
    if (a == Q_T_NULL || b == Q_T_NULL) {
        q_type known = a == Q_T_NULL ? b : a;
        return known == Q_T_NULL || q_is_number(known) || known == Q_T_TIME || known == Q_T_DURATION ? Q_T_NULL : Q_T_COUNT;
    }
    if (number_a && number_b)
        return a == Q_T_FLOAT || b == Q_T_FLOAT ? Q_T_FLOAT : a == Q_T_DECIMAL || b == Q_T_DECIMAL ? Q_T_DECIMAL : Q_T_INT;
    if (a == Q_T_TIME && b == Q_T_TIME)
        return op == Q_OP_SUB ? Q_T_DURATION : Q_T_COUNT;
    if (a == Q_T_TIME && b == Q_T_DURATION)
        return sum ? Q_T_TIME : Q_T_COUNT;
    if (a == Q_T_DURATION && b == Q_T_TIME)
        return op == Q_OP_ADD ? Q_T_TIME : Q_T_COUNT;
    if (a == Q_T_DURATION && b == Q_T_DURATION)
        return op == Q_OP_DIV ? Q_T_FLOAT : op == Q_OP_MUL ? Q_T_COUNT : Q_T_DURATION;
    if (a == Q_T_DURATION && number_b)
        return op == Q_OP_MUL || op == Q_OP_DIV ? Q_T_DURATION : Q_T_COUNT;
    if (number_a && b == Q_T_DURATION)
        return op == Q_OP_MUL ? Q_T_DURATION : Q_T_COUNT;
    return Q_T_COUNT;
}

static bool check_arithmetic(q_checker *c, q_expr *e)
{
    q_expr *a = e->a, *b = e->b;
    if (a->type == Q_T_DECIMAL && q_is_literal(b, Q_T_FLOAT))
        q_literal_try(c, b, Q_T_DECIMAL);
    if (b->type == Q_T_DECIMAL && q_is_literal(a, Q_T_FLOAT))
        q_literal_try(c, a, Q_T_DECIMAL);
    e->type = arithmetic_type(e->op, a->type, b->type);
    if (e->type != Q_T_COUNT)
        return true;
    q_check_fail(c, Q_E_QQL_TYPE, e->pos, "%s %s %s has no meaning", kind_of(a), sign_of(e->op), kind_of(b));
    if (q_is_literal(b, Q_T_STRING) && (a->type == Q_T_TIME || a->type == Q_T_DURATION))
        q_err_hint(c->err, "A duration is written duration(\"1d 3h\").");
    return false;
}

static bool check_negative(q_checker *c, q_expr *e)
{
    q_type t = e->a->type;
    e->type = t;
    if (q_is_number(t) || t == Q_T_DURATION || t == Q_T_NULL)
        return true;
    return q_check_fail(c, Q_E_QQL_TYPE, e->pos, "-%s has no meaning", kind_of(e->a));
}

/* ---- logic ---- */

static bool want_condition(q_checker *c, const q_expr *e)
{
    if (e->type == Q_T_BOOL || e->type == Q_T_NULL)
        return true;
    return q_check_fail(c, Q_E_QQL_TYPE, e->pos, "a condition is needed here, not %s", kind_of(e));
}

static bool check_binary(q_checker *c, q_expr *e)
{
    if (!q_check_expr(c, e->a) || !q_check_expr(c, e->b))
        return false;
    if (e->op >= Q_OP_ADD)
        return check_arithmetic(c, e);
    e->type = Q_T_BOOL;
    if (e->op == Q_OP_AND || e->op == Q_OP_OR)
        return want_condition(c, e->a) && want_condition(c, e->b);
    return compare(c, e->pos, e->op != Q_OP_EQ && e->op != Q_OP_NE, e->a, e->b);
}

static bool check_in(q_checker *c, q_expr *e)
{
    if (!q_check_expr(c, e->a))
        return false;
    if (e->b && !q_param_expand(c, e))
        return false;
    e->type = Q_T_BOOL;
    for (uint32_t i = 0; i < e->arg_count; i++)
        if (!q_check_expr(c, e->args[i]) || !compare(c, e->args[i]->pos, false, e->a, e->args[i]))
            return false;
    return true;
}

static bool check_between(q_checker *c, q_expr *e)
{
    e->type = Q_T_BOOL;
    return q_check_expr(c, e->a) && q_check_expr(c, e->args[0]) && q_check_expr(c, e->args[1]) &&
           compare(c, e->args[0]->pos, true, e->a, e->args[0]) && compare(c, e->args[1]->pos, true, e->a, e->args[1]);
}

static bool check_like(q_checker *c, q_expr *e)
{
    e->type = Q_T_BOOL;
    if (!q_check_expr(c, e->a) || !q_check_expr(c, e->b))
        return false;
    const q_expr *both[2] = { e->a, e->b };
    for (int i = 0; i < 2; i++)
        if (both[i]->type != Q_T_STRING && both[i]->type != Q_T_NULL)
            return q_check_fail(c, Q_E_QQL_TYPE, both[i]->pos, "LIKE compares text, not %s", kind_of(both[i]));
    return true;
}

/* ---- the others ---- */

static bool check_aggregate(q_checker *c, q_expr *e)
{
    if (c->aggregates != Q_AGG_ALLOWED) {
        if (c->aggregates == Q_AGG_INSIDE)
            return q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->pos, "an aggregate can't stand inside of another");
        q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->pos, "an aggregate can't stand in %s", c->place);
        if (strcmp(c->place, "WHERE") == 0)
            q_err_hint(c->err, "Conditions over groups stand in HAVING.");
        return false;
    }
    c->aggregate_seen = true;
    e->type = Q_T_INT;
    if (!e->a)
        return true;
    c->aggregates = Q_AGG_INSIDE;
    bool ok = q_check_expr(c, e->a);
    c->aggregates = Q_AGG_ALLOWED;
    if (!ok)
        return false;
    q_type t = e->a->type;
    switch (e->op) {
    case Q_OP_COUNT:
        return true;
    case Q_OP_SUM:
    case Q_OP_AVG:
        if (!q_is_number(t) && t != Q_T_DURATION && t != Q_T_NULL)
            return q_check_fail(c, Q_E_QQL_TYPE, e->a->pos, "numbers and durations have a sum, not %s", kind_of(e->a));
        e->type = e->op == Q_OP_AVG && t == Q_T_INT ? Q_T_FLOAT : t;
        return true;
    default:
        if (t == Q_T_DOC || t == Q_T_RELATION)
            return q_check_fail(c, Q_E_QQL_TYPE, e->a->pos, "%s has no order, so no %s", kind_of(e->a), e->op == Q_OP_MIN ? "min" : "max");
        e->type = t;
        return true;
    }
}

static bool check_subquery(q_checker *c, q_expr *e)
{
    q_stmt *sub = e->select.stmt;
    if (!c->subqueries) {
        q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->pos, "subqueries stand in ASSERT only, not in %s", c->place);
        return false;
    }
    if (e->kind == Q_X_SUBQUERY && (sub->star || sub->column_count != 1))
        return q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->pos, "a subquery that is a value has one column");
    q_checker outer = *c;
    c->subqueries = false;
    c->brackets = 0;
    sub->number = c->stmt->number;
    if (!q_check_select(c, sub))
        return false;
    c->subqueries = true;
    c->brackets = outer.brackets;
    c->record = outer.record;
    c->place = outer.place;
    c->aggregates = outer.aggregates;
    c->aggregate_seen = outer.aggregate_seen;
    e->type = e->kind == Q_X_EXISTS ? Q_T_BOOL : sub->columns[0].expr->type;
    e->select.index = c->stmt->select_count;
    if (c->stmt->select_count % 4 == 0) {
        q_stmt **grown = Q_NEW_ARRAY(c->arena, q_stmt *, c->stmt->select_count + 4);
        if (!grown)
            return q_check_memory(c, e->pos);
        if (c->stmt->select_count)
            memcpy(grown, c->stmt->selects, c->stmt->select_count * sizeof *grown);
        c->stmt->selects = grown;
    }
    c->stmt->selects[c->stmt->select_count++] = sub;
    return true;
}

bool q_check_expr(q_checker *c, q_expr *e)
{
    switch (e->kind) {
    case Q_X_LITERAL:
        e->type = e->value.type;
        return true;
    case Q_X_PARAM: return q_param_put(c, e);
    case Q_X_PATH: return q_check_path(c, e);
    case Q_X_BINARY: return check_binary(c, e);
    case Q_X_UNARY:
        if (!q_check_expr(c, e->a))
            return false;
        if (e->op == Q_OP_NEG)
            return check_negative(c, e);
        e->type = Q_T_BOOL;
        return want_condition(c, e->a);
    case Q_X_IN: return check_in(c, e);
    case Q_X_BETWEEN: return check_between(c, e);
    case Q_X_LIKE: return check_like(c, e);
    case Q_X_IS_NULL:
        e->type = Q_T_BOOL;
        return q_check_expr(c, e->a);
    case Q_X_AGGREGATE: return check_aggregate(c, e);
    case Q_X_OBJECT:
    case Q_X_ARRAY: return q_check_composite(c, e);
    case Q_X_AT:
        q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->pos, "AT gives a metric's sample its time: only as the whole value of a metric");
        return false;
    case Q_X_SUBQUERY:
    case Q_X_EXISTS: return check_subquery(c, e);
    }
    return false;
}

bool q_check_condition(q_checker *c, q_expr *e) { return q_check_expr(c, e) && want_condition(c, e); }
