/* SELECT: columns, groups, order, limits. */
#include "quantaql/check.h"

/* ---- columns ---- */

static bool expand_star(q_checker *c, q_stmt *s)
{
    const q_record *r = s->record;
    uint32_t count = r->count + s->column_count;
    if (count > Q_QL_MAX_COLUMNS)
        return q_check_fail(c, Q_E_QQL_LIMIT, s->pos, "SELECT may have %d columns", Q_QL_MAX_COLUMNS);
    q_column *columns = Q_NEW_ARRAY(c->arena, q_column, count);
    q_expr *nodes = Q_NEW_ARRAY(c->arena, q_expr, r->count);
    if (!columns || !nodes)
        return q_check_memory(c, s->pos);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        const q_attr *a = &r->attrs[i];
        if (!q_rights_may(c->rights, r, Q_PRIV_SELECT, a))
            continue;
        if (!q_check_reads(c, r, a, false, s->pos))
            return false;
        nodes[n] = (q_expr){ .kind = Q_X_PATH, .height = 1, .pos = s->pos, .type = a->datatype };
        nodes[n].path = (q_path){ .name_count = 1, .names = &a->name, .attr = a };
        columns[n] = (q_column){ .expr = &nodes[n], .name = a->name, .pos = s->pos };
        n++;
    }
    if (s->column_count)
        memcpy(columns + n, s->columns, s->column_count * sizeof *columns);
    s->columns = columns;
    s->star_count = n;
    s->column_count += n;
    return true;
}

static bool check_columns(q_checker *c, q_stmt *s)
{
    c->place = "SELECT";
    c->aggregates = Q_AGG_ALLOWED;
    for (uint32_t i = 0; i < s->column_count; i++)
        if (!q_check_expr(c, s->columns[i].expr))
            return false;
    return !s->star || expand_star(c, s);
}

/* ---- GROUP BY, HAVING, ORDER BY: names may be those of columns ---- */

static q_expr *column_named(const q_stmt *s, const q_expr *e)
{
    const q_path *p = &e->path;
    if (e->kind != Q_X_PATH || p->name_count != 1 || p->step_count || p->arrow_count)
        return NULL;
    for (uint32_t i = 0; i < s->column_count; i++)
        if (q_slice_eq(s->columns[i].name, p->names[0]))
            return s->columns[i].expr;
    return NULL;
}

static bool has_aggregate(const q_expr *e)
{
    if (e->kind == Q_X_AGGREGATE || (e->a && has_aggregate(e->a)) || (e->b && has_aggregate(e->b)))
        return true;
    for (uint32_t i = 0; i < e->arg_count; i++)
        if (has_aggregate(e->args[i]))
            return true;
    return false;
}

/* Rows can't be sorted or grouped by what has several values in one row. */
static bool one_value(q_checker *c, const q_expr *e)
{
    const char *many = q_check_many(e);
    if (many)
        return q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->pos, "%s can't use a path over a relation of cardinality many", c->place);
    if ((e->a && !one_value(c, e->a)) || (e->b && !one_value(c, e->b)))
        return false;
    for (uint32_t i = 0; i < e->arg_count; i++)
        if (!one_value(c, e->args[i]))
            return false;
    return true;
}

static bool check_groups(q_checker *c, q_stmt *s)
{
    c->place = "GROUP BY";
    c->aggregates = Q_AGG_REFUSED;
    for (uint32_t i = 0; i < s->group_count; i++) {
        q_expr *e = s->groups[i];
        q_expr *column = e->kind == Q_X_PATH && !q_visible_attr(c, s->record, e->path.names[0]) ? column_named(s, e) : NULL;
        if (column && has_aggregate(column))
            return q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->pos, "an aggregate can't stand in GROUP BY");
        if (column)
            s->groups[i] = column;
        else if (!q_check_expr(c, e))
            return false;
        if (!one_value(c, s->groups[i]))
            return false;
    }
    return true;
}

/* ORDER BY 2 is the second column, as in SQL. */
static bool order_by_number(q_checker *c, const q_stmt *s, q_order *o)
{
    int64_t n = o->expr->value.i;
    if (n < 1 || n > (int64_t)s->column_count)
        return q_check_fail(c, Q_E_QQL_VALUE, o->expr->pos, "there is no column %lld", (long long)n);
    o->expr = s->columns[n - 1].expr;
    return true;
}

static bool check_order(q_checker *c, const q_stmt *s, q_order *o)
{
    q_pos pos = o->expr->pos;
    q_expr *column = column_named(s, o->expr);
    c->place = "ORDER BY";
    if (q_is_literal(o->expr, Q_T_INT)) {
        if (!order_by_number(c, s, o))
            return false;
    } else if (column) {
        o->expr = column;
    } else if (!q_check_expr(c, o->expr)) {
        return false;
    }
    if (o->expr->type == Q_T_DOC || (o->expr->type == Q_T_RELATION && o->expr->kind == Q_X_PATH && o->expr->path.attr->many))
        return q_check_fail(c, Q_E_QQL_TYPE, pos, "%s has no order", o->expr->type == Q_T_DOC ? "a document" : "a list of relations");
    return one_value(c, o->expr);
}

/* HAVING may name columns, anywhere in its condition: `HAVING n > 5`. */
static void put_columns(q_checker *c, const q_stmt *s, q_expr **slot)
{
    q_expr *e = *slot;
    q_expr *column = e->kind == Q_X_PATH && !q_visible_attr(c, s->record, e->path.names[0]) ? column_named(s, e) : NULL;
    if (column) {
        *slot = column;
        return;
    }
    if (e->kind == Q_X_AGGREGATE)
        return;
    if (e->a)
        put_columns(c, s, &e->a);
    if (e->b)
        put_columns(c, s, &e->b);
    for (uint32_t i = 0; i < e->arg_count; i++)
        put_columns(c, s, &e->args[i]);
}

static bool check_grouping(q_checker *c, q_stmt *s)
{
    s->aggregated = s->group_count > 0 || s->having || c->aggregate_seen;
    if (!s->aggregated)
        return true;
    for (uint32_t i = 0; i < s->column_count; i++)
        if (!q_check_grouped(c, s, s->columns[i].expr))
            return false;
    for (uint32_t i = 0; i < s->order_count; i++)
        if (!q_check_grouped(c, s, s->orders[i].expr))
            return false;
    return !s->having || q_check_grouped(c, s, s->having);
}

/* ---- LIMIT and OFFSET ---- */

static bool check_bound(q_checker *c, q_expr *e, const char *what)
{
    if (!e)
        return true;
    if (e->kind == Q_X_PARAM && !q_param_put(c, e))
        return false;
    if (e->kind == Q_X_LITERAL)
        e->type = e->value.type;
    if (!q_is_literal(e, Q_T_INT))
        return q_check_fail(c, Q_E_QQL_TYPE, e->pos, "%s is a whole number", what);
    if (e->value.i < 0)
        return q_check_fail(c, Q_E_QQL_VALUE, e->pos, "%s can't be negative", what);
    return true;
}

/* ---- the statement ---- */

bool q_check_select(q_checker *c, q_stmt *s)
{
    s->record = q_check_record(c, s->record_name, s->name_pos);
    if (!s->record)
        return false;
    c->record = s->record;
    c->aggregate_seen = false;
    q_rights_begin(c);
    if (!check_columns(c, s))
        return false;
    c->aggregates = Q_AGG_REFUSED;
    c->place = "WHERE";
    bool seen = c->aggregate_seen;
    if ((s->where && !q_check_condition(c, s->where)) || !check_groups(c, s))
        return false;
    c->aggregate_seen = seen;
    c->aggregates = Q_AGG_ALLOWED;
    c->place = "HAVING";
    if (s->having) {
        put_columns(c, s, &s->having);
        if (!q_check_condition(c, s->having))
            return false;
    }
    for (uint32_t i = 0; i < s->order_count; i++)
        if (!check_order(c, s, &s->orders[i]))
            return false;
    return check_grouping(c, s) && check_bound(c, s->limit, "LIMIT") && check_bound(c, s->offset, "OFFSET") && q_check_rows(c, s);
}
