/* same.h - are two syntax trees the same, but for where they stand? Written apart from the code that it judges. */
#ifndef Q_TESTS_QUANTAQL_SAME_H
#define Q_TESTS_QUANTAQL_SAME_H

#include "quantaql/quantaql.h"

static inline bool same_stmt(const q_stmt *a, const q_stmt *b);

static inline bool same_steps(const q_step *a, uint32_t na, const q_step *b, uint32_t nb)
{
    if (na != nb)
        return false;
    for (uint32_t i = 0; i < na; i++)
        if (a[i].is_index != b[i].is_index || (a[i].is_index ? a[i].index != b[i].index : !q_slice_eq(a[i].key, b[i].key)))
            return false;
    return true;
}

static inline bool same_path(const q_path *a, const q_path *b)
{
    if (a->arrow_count != b->arrow_count || a->attr != b->attr || a->hop_count != b->hop_count || a->any != b->any)
        return false;
    for (uint32_t i = 0; i < a->hop_count; i++)
        if (a->hops[i] != b->hops[i] || a->hop_types[i] != b->hop_types[i])
            return false;
    if (!a->attr) {
        if (a->name_count != b->name_count)
            return false;
        for (uint32_t i = 0; i < a->name_count; i++)
            if (!q_slice_eq(a->names[i], b->names[i]))
                return false;
    }
    return same_steps(a->steps, a->step_count, b->steps, b->step_count);
}

static inline bool same_expr(const q_expr *a, const q_expr *b)
{
    if (!a || !b)
        return a == b;
    if (a->kind != b->kind || a->op != b->op || a->negated != b->negated || a->type != b->type || a->arg_count != b->arg_count)
        return false;
    if (!same_expr(a->a, b->a) || !same_expr(a->b, b->b))
        return false;
    for (uint32_t i = 0; i < a->arg_count; i++)
        if (!same_expr(a->args[i], b->args[i]) || (a->kind == Q_X_OBJECT && !q_slice_eq(a->keys[i], b->keys[i])))
            return false;
    switch (a->kind) {
    case Q_X_LITERAL:
        /* A float that the check made of an int has no text of its own. */
        return q_value_same(&a->value, &b->value) &&
               (a->value.type != Q_T_FLOAT || !a->name.len || !b->name.len || q_slice_eq(a->name, b->name));
    case Q_X_PARAM: return q_slice_eq(a->name, b->name);
    case Q_X_PATH: return same_path(&a->path, &b->path);
    case Q_X_SUBQUERY:
    case Q_X_EXISTS: return same_stmt(a->select.stmt, b->select.stmt);
    default: return true;
    }
}

static inline bool same_assigns(const q_insert_row *a, const q_insert_row *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const q_assign *x = &a->assigns[i], *y = &b->assigns[i];
        if (!q_slice_eq(x->name, y->name) || x->attr != y->attr || x->how != y->how || !same_expr(x->expr, y->expr) ||
            !same_steps(x->steps, x->step_count, y->steps, y->step_count))
            return false;
    }
    return true;
}

static inline bool same_access(const q_access_ddl *a, const q_access_ddl *b)
{
    if (!a || !b)
        return a == b;
    if (!q_slice_eq(a->role, b->role) || a->on_bucket != b->on_bucket || a->count != b->count || !q_slice_eq(a->where, b->where) || !q_slice_eq(a->key, b->key) ||
        a->has_hash != b->has_hash || a->has_expires != b->has_expires || memcmp(a->hash, b->hash, sizeof a->hash) != 0 || a->expires_us != b->expires_us)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const q_privilege *x = &a->privileges[i], *y = &b->privileges[i];
        if (x->privs != y->privs || x->field_count != y->field_count)
            return false;
        for (uint32_t j = 0; j < x->field_count; j++)
            if (!q_slice_eq(x->fields[j], y->fields[j]))
                return false;
    }
    return true;
}

static inline bool same_ddl(const q_ddl *a, const q_ddl *b)
{
    if (a->kind != b->kind || !q_slice_eq(a->bucket, b->bucket) || !q_slice_eq(a->record, b->record) || a->if_exists != b->if_exists ||
        a->if_not_exists != b->if_not_exists || a->cascade != b->cascade || a->count != b->count || !same_access(a->access, b->access))
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const q_attr *x = &a->attrs[i], *y = &b->attrs[i];
        if (!q_slice_eq(x->name, y->name) || x->kind != y->kind || x->datatype != y->datatype || !q_slice_eq(x->target, y->target) ||
            !q_slice_eq(x->unit, y->unit) || x->many != y->many || x->required != y->required || x->unique != y->unique)
            return false;
    }
    return true;
}

static inline bool same_stmt(const q_stmt *a, const q_stmt *b)
{
    if (a->kind != b->kind || !q_slice_eq(a->bucket, b->bucket) || !q_slice_eq(a->record_name, b->record_name) || a->record != b->record ||
        !q_slice_eq(a->show, b->show) || !q_slice_eq(a->role, b->role) || a->row_count != b->row_count || a->star != b->star || a->column_count != b->column_count ||
        a->group_count != b->group_count || a->order_count != b->order_count || a->aggregated != b->aggregated ||
        a->select_count != b->select_count || !same_ddl(&a->ddl, &b->ddl))
        return false;
    for (uint32_t i = 0; i < a->row_count; i++)
        if (!same_assigns(&a->rows[i], &b->rows[i]))
            return false;
    for (uint32_t i = 0; i < a->column_count; i++)
        if (!q_slice_eq(a->columns[i].name, b->columns[i].name) || !same_expr(a->columns[i].expr, b->columns[i].expr))
            return false;
    for (uint32_t i = 0; i < a->group_count; i++)
        if (!same_expr(a->groups[i], b->groups[i]))
            return false;
    for (uint32_t i = 0; i < a->order_count; i++)
        if (!same_expr(a->orders[i].expr, b->orders[i].expr) || a->orders[i].desc != b->orders[i].desc ||
            a->orders[i].nulls_first != b->orders[i].nulls_first)
            return false;
    return same_expr(a->where, b->where) && same_expr(a->having, b->having) && same_expr(a->limit, b->limit) &&
           same_expr(a->offset, b->offset);
}

static inline bool same_script(const q_script *a, const q_script *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!same_stmt(&a->stmts[i], &b->stmts[i]))
            return false;
    return true;
}

#endif
