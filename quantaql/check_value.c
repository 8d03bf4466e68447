/* Literals become values of the attribute that they meet. */
#include "quantaql/check.h"

/* ---- scalars ---- */

static bool type_error(q_checker *c, const q_expr *e, q_type to)
{
    q_check_fail(c, Q_E_QQL_TYPE, e->pos, "a value of type %s can't be used as %s", q_type_name(e->type), q_type_name(to));
    if (to == Q_T_STRING && q_is_literal(e, Q_T_INT))
        q_err_hint(c->err, "Text stands in quotation marks: \"%lld\".", (long long)e->value.i);
    else if (q_is_literal(e, Q_T_STRING) && q_is_number(to))
        q_err_hint(c->err, "Numbers are written without quotation marks.");
    return false;
}

/* A number with a point is read as written, so that decimals lose nothing on the way through a double. */
static q_rc convert(q_checker *c, q_expr *e, q_type to, q_value *out)
{
    bool plain = to == Q_T_DECIMAL && e->value.type == Q_T_FLOAT && e->name.len && !memchr(e->name.ptr, 'e', e->name.len) &&
                 !memchr(e->name.ptr, 'E', e->name.len);
    if (plain)
        return q_value_parse(c->arena, Q_T_DECIMAL, e->name, out, c->err);
    return q_value_coerce(c->arena, &e->value, to, out, c->err);
}

void q_literal_put(q_expr *e, const q_value *v)
{
    e->value = *v;
    e->type = v->type;
    e->name = Q_SLICE_NONE;
}

bool q_literal_to(q_checker *c, q_expr *e, q_type to)
{
    q_value v;
    if (e->value.type == to || e->value.type == Q_T_NULL)
        return true;
    if (convert(c, e, to, &v) != Q_OK)
        return c->err->code == Q_E_QQL_TYPE ? type_error(c, e, to) : q_check_placed(c, e->pos);
    q_literal_put(e, &v);
    return true;
}

void q_literal_try(q_checker *c, q_expr *e, q_type to)
{
    q_value v;
    if (e->kind != Q_X_LITERAL || e->value.type == to || e->value.type == Q_T_NULL)
        return;
    if (convert(c, e, to, &v) == Q_OK)
        q_literal_put(e, &v);
    else
        *c->err = Q_ERR_INIT;
}

/* ---- relations ---- */

/* The type of the ids that `attr` holds; Q_T_NULL while its target isn't defined, or when nothing says which attribute it is. */
static q_type id_type(const q_checker *c, const q_attr *attr)
{
    const q_record *r = attr && c->bucket ? q_bucket_record(c->bucket, attr->target) : NULL;
    return r ? r->attrs[0].datatype : Q_T_NULL;
}

static bool check_id(q_checker *c, q_pos pos, const q_value *in, q_type type, const q_attr *attr, q_value *out)
{
    *out = *in;
    if (type != Q_T_NULL && in->type != type && q_value_coerce(c->arena, in, type, out, c->err) != Q_OK) {
        if (c->err->code != Q_E_QQL_TYPE)
            return q_check_placed(c, pos);
        q_slice of = q_visible_record(c, attr->target) ? attr->target : attr->name;
        return q_check_fail(c, Q_E_QQL_TYPE, pos, "the ids of %.*s are of type %s, not %s", Q_SLICE_FMT(of), q_type_name(type),
                            q_type_name(in->type));
    }
    return q_id_check(out, c->err) == Q_OK || q_check_placed(c, pos);
}

bool q_literal_to_relation(q_checker *c, q_expr *e, const q_attr *attr)
{
    q_value *items = NULL, single;
    uint32_t count = 1;
    q_type type = id_type(c, attr);
    switch (e->value.type) {
    case Q_T_NULL:
        return true;
    case Q_T_STRING:
    case Q_T_INT:
    case Q_T_UUID:
        single = e->value;
        items = &single;
        break;
    case Q_T_RELATION:
        items = (q_value *)(uintptr_t)e->value.rel.items;
        count = e->value.rel.count;
        break;
    case Q_T_DOC:
        if (!q_doc_items(c, e->pos, e->value.s, &items, &count))
            return false;
        break;
    default:
        q_check_fail(c, Q_E_QQL_TYPE, e->pos, "a relation is needed here, not %s", q_type_name(e->value.type));
        q_err_hint(c->err, "Relations are written relation(\"id\"), several of them [relation(\"a\"), relation(\"b\")].");
        return false;
    }
    if (count > Q_MAX_RELATION_IDS)
        return q_check_fail(c, Q_E_QQL_LIMIT, e->pos, "a relation may hold %d ids", Q_MAX_RELATION_IDS);
    q_value *ids = q_arena_alloc(c->arena, count * sizeof *ids);
    if (!ids)
        return q_check_memory(c, e->pos);
    for (uint32_t i = 0; i < count; i++)
        if (!check_id(c, e->pos, &items[i], type, attr, &ids[i]))
            return false;
    q_literal_put(e, &(q_value){ .type = Q_T_RELATION, .rel = { ids, count } });
    return true;
}

/* ---- INSERT and SET: a value for an attribute ---- */

static bool assign_scalar(q_checker *c, const q_attr *attr, q_expr *e)
{
    q_type to = attr->datatype, from = e->type;
    if (e->kind == Q_X_LITERAL) {
        if (!q_literal_to(c, e, to))
            return false;
        return attr->index > 0 || q_is_null(e) || q_id_check(&e->value, c->err) == Q_OK || q_check_placed(c, e->pos);
    }
    bool widens = q_is_number(from) && (to == Q_T_FLOAT || to == Q_T_DECIMAL);
    return from == to || from == Q_T_NULL || widens || type_error(c, e, to);
}

static bool assign_document(q_checker *c, const q_assign *a, q_expr *e)
{
    if (e->type == Q_T_RELATION) {
        q_check_fail(c, Q_E_QQL_TYPE, e->pos, "a document can't hold a relation");
        q_err_hint(c->err, "Relations are attributes of their own; a document may hold the id as text.");
        return false;
    }
    if (e->type == Q_T_DOC || e->type == Q_T_NULL || a->step_count > 0)
        return true;
    q_check_fail(c, Q_E_QQL_TYPE, e->pos, "%.*s is a document: an object or an array, not %s", Q_SLICE_FMT(a->attr->name),
                 q_type_name(e->type));
    return false;
}

static bool assign_relation(q_checker *c, const q_assign *a, q_expr *e)
{
    const q_attr *attr = a->attr;
    if (e->kind == Q_X_LITERAL) {
        if (!q_literal_to_relation(c, e, attr))
            return false;
        if (attr->many || q_is_null(e) || e->value.rel.count == 1)
            return true;
        return q_check_fail(c, Q_E_QQL_TYPE, e->pos, "%.*s holds one relation, not %u", Q_SLICE_FMT(attr->name), e->value.rel.count);
    }
    if (e->kind == Q_X_PATH && e->path.attr && e->path.attr->kind == Q_K_RELATION) {
        if (!q_slice_eq(e->path.attr->target, attr->target) || (e->path.attr->many && !attr->many))
            return q_check_fail(c, Q_E_QQL_TYPE, e->pos, "%.*s doesn't hold what %.*s does", Q_SLICE_FMT(attr->name),
                                Q_SLICE_FMT(e->path.attr->name));
        return true;
    }
    if (e->kind == Q_X_ARRAY && e->type == Q_T_RELATION && attr->many)
        return true;
    q_check_fail(c, Q_E_QQL_TYPE, e->pos, "%.*s is a relation to %.*s", Q_SLICE_FMT(attr->name), Q_SLICE_FMT(attr->target));
    q_err_hint(c->err, "Relations are written relation(\"id\"), several of them [relation(\"a\"), relation(\"b\")].");
    return false;
}

/* A sample is checked here and nowhere else: AT has no meaning in other places. */
static bool assign_metric(q_checker *c, const q_attr *attr, q_expr *e)
{
    q_expr *value = e->kind == Q_X_AT ? e->a : e;
    if (e->kind == Q_X_AT) {
        if (!q_check_expr(c, e->a) || !q_check_expr(c, e->b))
            return false;
        if (q_is_literal(e->b, Q_T_STRING) && !q_literal_to(c, e->b, Q_T_TIME))
            return false;
        if (e->b->type != Q_T_TIME)
            return q_check_fail(c, Q_E_QQL_TYPE, e->b->pos, "after AT stands a time, not %s", q_type_name(e->b->type));
        if (q_is_null(e->a))
            return q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->a->pos, "a sample of a metric can't be NULL");
    }
    if (q_is_null(value) && c->stmt->kind == Q_S_UPDATE) {
        q_check_fail(c, Q_E_QQL_UNSUPPORTED, value->pos, "a metric can't be set to NULL: its samples stay");
        q_err_hint(c->err, "Only DELETE of the record takes its samples with it.");
        return false;
    }
    if (!assign_scalar(c, attr, value))
        return false;
    e->type = value->type;
    return true;
}

/* balance += 10 is balance = balance + 10. */
static bool expand_arithmetic(q_checker *c, q_assign *a)
{
    q_expr *path = Q_NEW(c->arena, q_expr), *sum = Q_NEW(c->arena, q_expr);
    if (!path || !sum)
        return q_check_memory(c, a->pos);
    *path = (q_expr){ .kind = Q_X_PATH, .height = 1, .pos = a->pos, .type = a->step_count ? Q_T_NULL : a->attr->datatype };
    path->path = (q_path){ .name_count = 1, .names = &a->name, .attr = a->attr, .step_count = a->step_count, .steps = a->steps };
    *sum = (q_expr){ .kind = Q_X_BINARY, .op = a->how == Q_SET_ADD ? Q_OP_ADD : Q_OP_SUB, .pos = a->expr->pos, .a = path, .b = a->expr };
    sum->height = (uint8_t)(a->expr->height + 1);
    if (sum->height > Q_QL_MAX_DEPTH)
        return q_check_fail(c, Q_E_QQL_LIMIT, a->pos, "expressions may nest %d levels deep", Q_QL_MAX_DEPTH);
    a->expr = sum;
    a->how = Q_SET;
    return true;
}

/* += and -= change lists where there are lists, and count where there are numbers. */
static bool check_how(q_checker *c, q_assign *a)
{
    const char *sign = a->how == Q_SET_ADD ? "+=" : "-=";
    q_expr *e = a->expr;
    if (a->how == Q_SET)
        return true;
    if (e->kind == Q_X_AT)
        return q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->pos, "a sample with a time of its own is written with =");
    switch (a->attr->kind) {
    case Q_K_SCALAR:
    case Q_K_METRIC:
        return expand_arithmetic(c, a);
    case Q_K_RELATION:
        if (a->attr->many)
            return true;
        q_check_fail(c, Q_E_QQL_TYPE, a->pos, "%.*s holds one relation: it is set with =", Q_SLICE_FMT(a->attr->name));
        return false;
    case Q_K_DOCUMENT:
        if (e->kind == Q_X_ARRAY)
            return true;
        if (!q_check_expr(c, e))
            return false;
        if (a->step_count > 0 && q_is_number(e->type))
            return expand_arithmetic(c, a);
        if (e->type == Q_T_DOC || (e->type == Q_T_NULL && !q_is_null(e)))
            return true;
        q_check_fail(c, Q_E_QQL_TYPE, e->pos, "%s changes an array by the items of an array", sign);
        q_err_hint(c->err, "Items stand in brackets: %s [...].", sign);
        return false;
    case Q_K_COUNT:
        break;
    }
    return false;
}

bool q_check_assign(q_checker *c, q_assign *a)
{
    if (a->how != Q_SET && !check_how(c, a))
        return false;
    q_expr *e = a->expr;
    if (a->attr->kind == Q_K_METRIC && e->kind == Q_X_AT)
        return assign_metric(c, a->attr, e);
    if (!q_check_expr(c, e))
        return false;
    switch (a->attr->kind) {
    case Q_K_SCALAR: return assign_scalar(c, a->attr, e);
    case Q_K_DOCUMENT: return assign_document(c, a, e);
    case Q_K_RELATION: return assign_relation(c, a, e);
    case Q_K_METRIC: return assign_metric(c, a->attr, e);
    case Q_K_COUNT: break;
    }
    return false;
}
