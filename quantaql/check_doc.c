/* Objects and arrays: constant ones become documents (or one relation), each byte of them packed once, at the outermost bracket. */
#include "quantaql/check.h"

#include <stdlib.h>

#include "schemas/mp.h"

static bool is_composite(const q_expr *e) { return e->kind == Q_X_OBJECT || e->kind == Q_X_ARRAY; }
static bool is_constant(const q_expr *e) { return e->kind == Q_X_LITERAL || (is_composite(e) && e->terms == 1); }

/* ---- keys ---- */

static bool twice(q_checker *c, const q_expr *e, q_slice key)
{
    return q_check_fail(c, Q_E_QQL_VALUE, q_check_locate(c, key.ptr, e->pos), "the key \"%.*s\" stands twice in one object", Q_BRIEF(key));
}

static int by_text(const void *a, const void *b) { return q_slice_cmp(*(const q_slice *)a, *(const q_slice *)b); }

static bool unique_keys(q_checker *c, const q_expr *e)
{
    enum { FEW = 12 };
    if (e->arg_count <= FEW) {
        for (uint32_t i = 1; i < e->arg_count; i++)
            for (uint32_t k = 0; k < i; k++)
                if (e->keys[i].len == e->keys[k].len && q_slice_eq(e->keys[i], e->keys[k]))
                    return twice(c, e, e->keys[i]);
        return true;
    }
    q_slice *sorted = q_arena_alloc(c->arena, e->arg_count * sizeof *sorted);
    if (!sorted)
        return q_check_memory(c, e->pos);
    memcpy(sorted, e->keys, e->arg_count * sizeof *sorted);
    qsort(sorted, e->arg_count, sizeof *sorted, by_text);
    for (uint32_t i = 1; i < e->arg_count; i++)
        if (q_slice_eq(sorted[i - 1], sorted[i]))
            return twice(c, e, sorted[i - 1].ptr > sorted[i].ptr ? sorted[i - 1] : sorted[i]);
    return true;
}

/* ---- packing ---- */

static bool pack_value(q_checker *c, const q_expr *e, q_buf *out)
{
    const q_value *v = &e->value;
    q_slice doc;
    switch (v->type) {
    case Q_T_NULL: q_mp_pack_nil(out); return true;
    case Q_T_BOOL: q_mp_bool(out, v->b); return true;
    case Q_T_INT: q_mp_pack_int64(out, v->i); return true;
    case Q_T_FLOAT: q_mp_pack_double(out, v->f); return true;
    case Q_T_STRING: q_mp_str(out, v->s); return true;
    case Q_T_DOC:
        c->foreign_document = true;
        q_buf_add_slice(out, v->s);
        return true;
    default:
        if (q_doc_from_value(c->arena, v, &doc, c->err) != Q_OK)
            return q_check_placed(c, e->pos);
        q_buf_add_slice(out, doc);
        return true;
    }
}

static bool pack(q_checker *c, const q_expr *e, unsigned depth, q_buf *out)
{
    if (e->kind == Q_X_LITERAL)
        return pack_value(c, e, out);
    if (depth == Q_MAX_DOC_DEPTH)
        return q_check_fail(c, Q_E_DOCUMENT_LIMIT, e->pos, "a document may be nested %d deep", Q_MAX_DOC_DEPTH);
    if (e->kind == Q_X_OBJECT)
        q_mp_pack_map(out, e->arg_count);
    else
        q_mp_pack_array(out, e->arg_count);
    for (uint32_t i = 0; i < e->arg_count; i++) {
        if (e->kind == Q_X_OBJECT)
            q_mp_str(out, e->keys[i]);
        if (!pack(c, e->args[i], depth + 1, out))
            return false;
    }
    return true;
}

static void become(q_expr *e, const q_value *v)
{
    e->kind = Q_X_LITERAL;
    e->args = NULL;
    e->keys = NULL;
    e->arg_count = 0;
    e->terms = 0;
    q_literal_put(e, v);
}

static bool fold_document(q_checker *c, q_expr *e)
{
    q_buf *b = &c->pack;
    q_buf_clear(b);
    c->foreign_document = false;
    (void)q_buf_reserve(b, 512);
    if (!pack(c, e, 0, b))
        return false;
    if (b->failed)
        return q_check_fail(c, Q_E_DOCUMENT_LIMIT, e->pos, "a document may have %d bytes", Q_MAX_DOC_BYTES);
    /* A parameter's document brought depth of its own. */
    if (c->foreign_document && q_doc_validate(q_buf_slice(b), c->err) != Q_OK)
        return q_check_placed(c, e->pos);
    q_slice doc = q_arena_copy(c->arena, q_buf_slice(b));
    if (!doc.ptr)
        return q_check_memory(c, e->pos);
    become(e, &(q_value){ .type = Q_T_DOC, .s = doc });
    return true;
}

/* ---- relations ---- */

static bool fold_relations(q_checker *c, q_expr *e)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < e->arg_count; i++)
        count += e->args[i]->value.rel.count;
    if (count > Q_MAX_RELATION_IDS)
        return q_check_fail(c, Q_E_QQL_LIMIT, e->pos, "a relation may hold %d ids", Q_MAX_RELATION_IDS);
    q_value *ids = q_arena_alloc(c->arena, count * sizeof *ids);
    if (!ids)
        return q_check_memory(c, e->pos);
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->arg_count; i++)
        for (uint32_t k = 0; k < e->args[i]->value.rel.count; k++)
            ids[n++] = e->args[i]->value.rel.items[k];
    become(e, &(q_value){ .type = Q_T_RELATION, .rel = { ids, n } });
    return true;
}

static bool no_relations(q_checker *c, const q_expr *e)
{
    for (uint32_t i = 0; i < e->arg_count; i++)
        if (e->args[i]->type == Q_T_RELATION) {
            q_check_fail(c, Q_E_QQL_TYPE, e->args[i]->pos, "a document can't hold a relation");
            q_err_hint(c->err, "Relations are attributes of their own; a document may hold the id as text.");
            return false;
        }
    return true;
}

/* ---- both ---- */

/* The outermost bracket is closed: what is constant becomes a literal, as large as it can be. */
static bool fold(q_checker *c, q_expr *e)
{
    if (e->terms == 1)
        return fold_document(c, e);
    for (uint32_t i = 0; i < e->arg_count; i++)
        if (is_composite(e->args[i]) && !fold(c, e->args[i]))
            return false;
    return true;
}

bool q_check_composite(q_checker *c, q_expr *e)
{
    uint32_t relations = 0;
    bool constant = true;
    c->brackets++;
    for (uint32_t i = 0; i < e->arg_count; i++) {
        if (!q_check_expr(c, e->args[i]))
            return false;
        relations += e->args[i]->type == Q_T_RELATION;
        constant = constant && is_constant(e->args[i]);
    }
    c->brackets--;
    if (e->kind == Q_X_ARRAY && relations > 0 && relations == e->arg_count) {
        e->type = Q_T_RELATION;
        return !constant || fold_relations(c, e);
    }
    e->type = Q_T_DOC;
    e->terms = constant;
    if ((relations && !no_relations(c, e)) || (e->kind == Q_X_OBJECT && !unique_keys(c, e)))
        return false;
    return c->brackets > 0 || fold(c, e);
}
