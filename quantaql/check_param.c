/* Parameters: values from outside take the place of $names. They never become text. */
#include "quantaql/check.h"

#include <stdlib.h>

#include "schemas/mp.h"

static int by_name(const void *a, const void *b)
{
    const q_param *const *x = a, *const *y = b;
    return q_slice_cmp((*x)->name, (*y)->name);
}

bool q_params_start(q_checker *c)
{
    const q_pos nowhere = { 0, 0 };
    if (c->param_count == 0)
        return true;
    if (c->param_count > Q_QL_MAX_PARAMS)
        return q_check_fail(c, Q_E_QQL_LIMIT, nowhere, "the request has %zu parameters; it may have %d", c->param_count, Q_QL_MAX_PARAMS);
    c->by_name = Q_NEW_ARRAY(c->arena, const q_param *, c->param_count);
    c->used = Q_NEW_ARRAY(c->arena, bool, c->param_count);
    if (!c->by_name || !c->used)
        return q_check_memory(c, nowhere);
    for (size_t i = 0; i < c->param_count; i++)
        c->by_name[i] = &c->params[i];
    qsort(c->by_name, c->param_count, sizeof *c->by_name, by_name);
    for (size_t i = 1; i < c->param_count; i++)
        if (by_name(&c->by_name[i - 1], &c->by_name[i]) == 0)
            return q_check_fail(c, Q_E_QQL_PARAMETER, nowhere, "the parameter %.*s is given twice", Q_BRIEF(c->by_name[i]->name));
    return true;
}

bool q_params_all_used(q_checker *c)
{
    for (size_t i = 0; i < c->param_count; i++)
        if (!c->used[i])
            return q_check_fail(c, Q_E_QQL_PARAMETER, (q_pos){ 0, 0 }, "the parameter %.*s is given but stands nowhere in the statement",
                                Q_BRIEF(c->params[i].name));
    return true;
}

/* $jwt.name: a claim of the asker's; NULL when it has none of that name. */
static const q_value *claim(const q_checker *c, q_slice name)
{
    static const q_value none = { .type = Q_T_NULL };
    for (uint32_t i = 0; c->who && i < c->who->claim_count; i++)
        if (q_slice_eq(c->who->claims[i].name, name))
            return &c->who->claims[i].value;
    return &none;
}

static bool is_claim(q_slice name) { return name.len > 4 && memcmp(name.ptr, "jwt.", 4) == 0; }

static const q_value *find(q_checker *c, const q_expr *e)
{
    if (is_claim(e->name))
        return claim(c, (q_slice){ e->name.ptr + 4, e->name.len - 4 });
    if (c->trusted) {
        q_check_fail(c, Q_E_QQL_PARAMETER, e->pos, "a grant's condition knows no parameter $%.*s", Q_BRIEF(e->name));
        q_err_hint(c->err, "What it knows of the asker is $jwt.name.");
        return NULL;
    }
    q_param key = { .name = e->name };
    const q_param *wanted = &key;
    const q_param **found = c->param_count ? bsearch(&wanted, c->by_name, c->param_count, sizeof *c->by_name, by_name) : NULL;
    if (!found) {
        q_check_fail(c, Q_E_QQL_PARAMETER, e->pos, "the parameter $%.*s has no value", Q_BRIEF(e->name));
        return NULL;
    }
    c->used[*found - c->params] = true;
    const q_value *v = &(*found)->value;
    if (v->type == Q_T_STRING && !q_utf8_valid(v->s)) {
        q_check_fail(c, Q_E_QQL_PARAMETER, e->pos, "the value of $%.*s is not UTF-8, or holds a NUL", Q_BRIEF(e->name));
        return NULL;
    }
    if (v->type == Q_T_DOC && q_doc_validate(v->s, c->err) != Q_OK) {
        c->err->code = Q_E_QQL_PARAMETER;
        q_check_placed(c, e->pos);
        return NULL;
    }
    return v;
}

bool q_param_put(q_checker *c, q_expr *e)
{
    q_type as = e->type;
    const q_value *v = find(c, e);
    if (!v)
        return false;
    q_slice name = e->name;
    e->kind = Q_X_LITERAL;
    e->name = Q_SLICE_NONE;
    e->value = *v;
    e->type = v->type;
    if (v->type == Q_T_DOC && q_doc_to_value(v->s, &e->value, c->err) != Q_OK) /* a scalar in a document's clothes */
        return q_check_placed(c, e->pos);
    e->type = e->value.type;
    if (as == Q_T_NULL || q_is_null(e))
        return true;
    if (as == Q_T_RELATION ? q_literal_to_relation(c, e, NULL) : q_literal_to(c, e, as))
        return true;
    if (c->err->code == Q_E_QQL_TYPE)
        q_check_fail(c, Q_E_QQL_PARAMETER, e->pos, "$%.*s is of type %s, which %s() can't read", Q_BRIEF(name), q_type_name(v->type),
                     q_type_name(as));
    return false;
}

static bool item_value(const msgpack_object *o, q_value *out)
{
    *out = Q_NULL;
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        return true;
    case MSGPACK_OBJECT_BOOLEAN:
        out->type = Q_T_BOOL;
        out->b = o->via.boolean;
        return true;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        out->type = Q_T_INT;
        return q_mp_i64(o, &out->i);
    case MSGPACK_OBJECT_FLOAT64:
        out->type = Q_T_FLOAT;
        out->f = o->via.f64;
        return true;
    case MSGPACK_OBJECT_STR:
        out->type = Q_T_STRING;
        out->s = q_mp_slice(o);
        return true;
    default:
        return false;
    }
}

/* The scalars of a document array, as values. */
bool q_doc_items(q_checker *c, q_pos pos, q_slice doc, q_value **items, uint32_t *count)
{
    q_mp_space space = { .arena = c->arena };
    msgpack_object root;
    if (q_mp_unpack(&space, doc, &root) != Q_MP_OK)
        return q_check_memory(c, pos); /* it was validated: nothing else is left */
    if (root.type != MSGPACK_OBJECT_ARRAY)
        return q_check_fail(c, Q_E_QQL_TYPE, pos, "an array is needed here, not an object");
    *count = root.via.array.size;
    *items = q_arena_alloc(c->arena, root.via.array.size * sizeof **items);
    if (!*items)
        return q_check_memory(c, pos);
    for (uint32_t i = 0; i < *count; i++)
        if (!item_value(&root.via.array.ptr[i], &(*items)[i]))
            return q_check_fail(c, Q_E_QQL_TYPE, pos, "the array may hold plain values only");
    return true;
}

bool q_param_expand(q_checker *c, q_expr *in)
{
    q_expr *list = in->b;
    const q_value *v = find(c, list);
    q_value *items;
    uint32_t count;
    if (!v)
        return false;
    if (v->type == Q_T_NULL && is_claim(list->name)) { /* no claim: in nothing */
        in->b = NULL;
        in->arg_count = 0;
        return true;
    }
    if (v->type != Q_T_DOC || !q_doc_items(c, list->pos, v->s, &items, &count))
        return q_check_fail(c, Q_E_QQL_PARAMETER, list->pos, "IN needs an array of plain values for $%.*s", Q_BRIEF(list->name));
    if (count > Q_QL_MAX_IN)
        return q_check_fail(c, Q_E_QQL_LIMIT, list->pos, "IN has %u values; it may have %d", count, Q_QL_MAX_IN);
    q_expr **args = Q_NEW_ARRAY(c->arena, q_expr *, count);
    q_expr *nodes = Q_NEW_ARRAY(c->arena, q_expr, count);
    if (!args || !nodes)
        return q_check_memory(c, list->pos);
    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = (q_expr){ .kind = Q_X_LITERAL, .height = 1, .pos = list->pos, .type = items[i].type, .value = items[i] };
        args[i] = &nodes[i];
    }
    in->b = NULL;
    in->args = args;
    in->arg_count = count;
    return true;
}
