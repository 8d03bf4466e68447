/* INSERT, UPDATE, DELETE, ASSERT, SHOW and definitions. */
#include "quantaql/check.h"

enum { ATTR_WORDS = (Q_MAX_ATTRIBUTES + 63) / 64 };

typedef struct attr_set { uint64_t words[ATTR_WORDS]; } attr_set;

/* Adds it; false when it was there. */
static bool add(attr_set *set, uint32_t index)
{
    uint64_t bit = UINT64_C(1) << (index % 64), *word = &set->words[index / 64];
    bool is_new = !(*word & bit);
    *word |= bit;
    return is_new;
}

/* ---- INSERT ---- */

/* Objects of one INSERT mostly name the same attributes in the same order: the last object's are tried first. */
static const q_attr *attr_like(q_checker *c, const q_record *r, const q_insert_row *last, uint32_t i, const q_assign *a)
{
    if (last && i < last->count && q_slice_eq(last->assigns[i].name, a->name))
        return last->assigns[i].attr;
    return q_check_attr(c, r, a->name, a->pos);
}

static bool check_id_given(q_checker *c, const q_insert_row *row, const q_assign *id)
{
    if (!id || q_is_null(id->expr)) {
        q_check_fail(c, Q_E_QQL_VALUE, id ? id->expr->pos : row->pos, "the object has no id");
        q_err_hint(c->err, "Every object of INSERT gives its id: { id: ..., ... }.");
        return false;
    }
    if (id->expr->kind == Q_X_LITERAL)
        return true;
    return q_check_fail(c, Q_E_QQL_UNSUPPORTED, id->expr->pos, "an id is a literal or a parameter, not an expression");
}

static bool check_row(q_checker *c, const q_record *r, q_insert_row *row, const q_insert_row *last)
{
    attr_set seen = { { 0 } };
    const q_assign *id = NULL;
    for (uint32_t i = 0; i < row->count; i++) {
        q_assign *a = &row->assigns[i];
        a->attr = attr_like(c, r, last, i, a);
        if (!a->attr)
            return false;
        if (!add(&seen, a->attr->index))
            return q_check_fail(c, Q_E_QQL_UNSUPPORTED, a->pos, "%.*s stands twice in one object", Q_SLICE_FMT(a->name));
        if (!q_check_assign(c, a))
            return false;
        if (a->attr->index == 0)
            id = a;
    }
    return check_id_given(c, row, id);
}

bool q_check_insert(q_checker *c, q_stmt *s)
{
    c->place = "INSERT";
    c->record = NULL;
    for (uint32_t i = 0; i < s->row_count; i++)
        if (!check_row(c, s->record, &s->rows[i], i ? &s->rows[i - 1] : NULL))
            return false;
    return true;
}

/* ---- UPDATE ---- */

/* Is one target the other, or a part of it? Then the order would decide. */
static bool overlap(const q_assign *a, const q_assign *b)
{
    uint32_t common = a->step_count < b->step_count ? a->step_count : b->step_count;
    if (a->attr != b->attr)
        return false;
    for (uint32_t i = 0; i < common; i++)
        if (a->steps[i].is_index != b->steps[i].is_index || a->steps[i].index != b->steps[i].index ||
            !q_slice_eq(a->steps[i].key, b->steps[i].key))
            return false;
    return true;
}

static bool check_target(q_checker *c, const q_assign *a)
{
    if (a->attr->index == 0) {
        q_check_fail(c, Q_E_QQL_UNSUPPORTED, a->pos, "the id of a record never changes");
        q_err_hint(c->err, "DELETE the record and INSERT it with its new id.");
        return false;
    }
    if (a->step_count == 0)
        return true;
    if (a->attr->kind == Q_K_RELATION) {
        q_check_fail(c, Q_E_QQL_UNSUPPORTED, a->pos, "SET can't write to what %.*s leads to", Q_SLICE_FMT(a->name));
        q_err_hint(c->err, "UPDATE %.*s instead.", Q_SLICE_FMT(a->attr->target));
        return false;
    }
    if (a->attr->kind != Q_K_DOCUMENT)
        return q_check_fail(c, Q_E_QQL_TYPE, a->pos, "%.*s is a %s: it has no parts", Q_SLICE_FMT(a->name), q_kind_name(a->attr->kind));
    if (a->step_count > Q_MAX_DOC_STEPS)
        return q_check_fail(c, Q_E_QQL_LIMIT, a->pos, "a path into a document may have %d steps", Q_MAX_DOC_STEPS);
    return true;
}

bool q_check_update(q_checker *c, q_stmt *s)
{
    q_insert_row *row = &s->rows[0];
    c->record = s->record;
    c->place = "SET";
    c->own_only = true;
    for (uint32_t i = 0; i < row->count; i++) {
        q_assign *a = &row->assigns[i];
        a->attr = q_check_attr(c, s->record, a->name, a->pos);
        if (!a->attr || !check_target(c, a))
            return false;
        for (uint32_t k = 0; k < i; k++)
            if (overlap(&row->assigns[k], a))
                return q_check_fail(c, Q_E_QQL_UNSUPPORTED, a->pos, "%.*s is set twice", Q_SLICE_FMT(a->name));
        if (!q_check_assign(c, a))
            return false;
    }
    c->own_only = false;
    c->place = "WHERE";
    return !s->where || q_check_condition(c, s->where);
}

/* ---- the others ---- */

static bool check_delete(q_checker *c, q_stmt *s)
{
    c->record = s->record;
    c->place = "WHERE";
    return !s->where || q_check_condition(c, s->where);
}

static bool check_assert(q_checker *c, q_stmt *s)
{
    c->record = NULL;
    c->place = "ASSERT";
    c->subqueries = true;
    bool ok = q_check_condition(c, s->where);
    c->subqueries = false;
    return ok;
}

static bool check_name(q_checker *c, q_slice name, const char *what, q_pos pos)
{
    return q_name_check(name, what, c->err) == Q_OK || q_check_placed(c, q_check_locate(c, name.ptr, pos));
}

/* The catalog checks names as well, but knows no places. */
static bool check_names(q_checker *c, const q_stmt *s)
{
    const q_ddl *d = &s->ddl;
    if ((d->kind == Q_DDL_CREATE_BUCKET && !check_name(c, d->bucket, "bucket", s->name_pos)) ||
        (d->kind == Q_DDL_CREATE_RECORD && !check_name(c, d->record, "record", s->name_pos)))
        return false;
    for (uint32_t i = 0; i < d->count; i++)
        if (!check_name(c, d->attrs[i].name, "attribute", s->name_pos) ||
            (d->attrs[i].kind == Q_K_RELATION && !check_name(c, d->attrs[i].target, "record", s->name_pos)))
            return false;
    return true;
}

static bool check_ddl(q_checker *c, q_stmt *s)
{
    s->ddl.bucket = c->script->bucket;
    if (!q_check_may_define(c, s))
        return false;
    if (q_ddl_is_access(s->ddl.kind) ? (s->ddl.kind == Q_DDL_GRANT || s->ddl.kind == Q_DDL_REVOKE) && !q_check_grant(c, s) : !check_names(c, s))
        return false;
    if (q_catalog_check(c->catalog, &s->ddl, c->err) != Q_FAIL)
        return true;
    return q_check_placed(c, s->name_pos);
}

static bool check_show(q_checker *c, q_stmt *s)
{
    if ((q_slice_eq(s->show, Q_SLICE_LIT("roles")) || q_slice_eq(s->show, Q_SLICE_LIT("keys"))) && !q_rights_admin(c->rights))
        return q_check_forbidden(c, s->pos, "see the roles and keys here", NULL, NULL);
    if (!s->record_name.len)
        return true;
    s->record = q_check_record(c, s->record_name, s->name_pos);
    return s->record != NULL;
}

bool q_check_stmt(q_checker *c, q_stmt *s)
{
    c->record = NULL;
    c->own_only = c->subqueries = false;
    c->aggregates = Q_AGG_REFUSED;
    q_rights_begin(c);
    if (s->kind == Q_S_INSERT || s->kind == Q_S_UPDATE || s->kind == Q_S_DELETE) {
        s->record = q_check_record(c, s->record_name, s->name_pos);
        if (!s->record)
            return false;
    }
    switch (s->kind) {
    case Q_S_INSERT: return q_check_insert(c, s) && q_check_rows(c, s);
    case Q_S_SELECT: return q_check_select(c, s);
    case Q_S_UPDATE: return q_check_update(c, s) && q_check_rows(c, s);
    case Q_S_DELETE: return check_delete(c, s) && q_check_rows(c, s);
    case Q_S_ASSERT: return check_assert(c, s);
    case Q_S_DDL: return check_ddl(c, s);
    case Q_S_SHOW: return check_show(c, s);
    default: return true;
    }
}
