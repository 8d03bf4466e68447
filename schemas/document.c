/* document.c - documents as trees: validation, equality, paths, changes, and their conversion from and to values. */
#include "schemas/document.h"

#include <math.h>
#include <stdlib.h>

#include "schemas/doctree.h"
#include "schemas/number.h"

q_rc q_doc_no_memory(q_err *err) { return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for a document."); }

static q_rc not_a_document(const char *why, q_err *err)
{
    return q_err_set(err, Q_E_QQL_VALUE, "The bytes are not a document: %s.", why);
}

static q_rc unpack(q_mp_space *space, q_slice doc, msgpack_object *out, q_err *err)
{
    if (doc.len > Q_MAX_DOC_BYTES)
        return q_err_set(err, Q_E_DOCUMENT_LIMIT, "A document may have %d bytes at most; this one has %zu.", Q_MAX_DOC_BYTES, doc.len);
    q_mp_result r = q_mp_unpack(space, doc, out);
    if (r == Q_MP_OK)
        return Q_OK;
    if (r == Q_MP_MEMORY)
        return q_doc_no_memory(err);
    if (r == Q_MP_TOO_DEEP)
        return q_err_set(err, Q_E_DOCUMENT_LIMIT, "A document may be nested %d deep at most.", Q_MAX_DOC_DEPTH);
    return not_a_document(q_mp_result_text(r), err);
}

/* ---- validation ------------------------------------------------------------------------------------------------------ */

static int cmp_key_pointers(const void *a, const void *b)
{
    const msgpack_object_kv *const *x = a, *const *y = b;
    return q_slice_cmp(q_mp_slice(&(*x)->key), q_mp_slice(&(*y)->key));
}

static const msgpack_object_kv **sorted_keys(q_mp_space *space, const msgpack_object_map *m)
{
    const msgpack_object_kv **by_key = q_mp_space_alloc(space, m->size * sizeof *by_key);
    if (by_key) {
        for (uint32_t i = 0; i < m->size; i++)
            by_key[i] = &m->ptr[i];
        qsort(by_key, m->size, sizeof *by_key, cmp_key_pointers);
    }
    return by_key;
}

static q_rc check_unique(q_mp_space *space, const msgpack_object_map *m, q_err *err)
{
    enum { FEW = 12 };
    const msgpack_object *twice = NULL;
    if (m->size <= FEW) {
        for (uint32_t i = 1; i < m->size; i++)
            for (uint32_t j = 0; j < i; j++)
                if (q_slice_eq(q_mp_slice(&m->ptr[i].key), q_mp_slice(&m->ptr[j].key)))
                    twice = &m->ptr[i].key;
    } else {
        const msgpack_object_kv **by_key = sorted_keys(space, m);
        if (!by_key)
            return q_doc_no_memory(err);
        for (uint32_t i = 1; i < m->size; i++)
            if (cmp_key_pointers(&by_key[i - 1], &by_key[i]) == 0)
                twice = &by_key[i]->key;
    }
    if (!twice)
        return Q_OK;
    return q_err_set(err, Q_E_QQL_VALUE, "The key \"%.*s\" stands twice in one object of a document.",
                     (int)(twice->via.str.size < 60 ? twice->via.str.size : 60), twice->via.str.ptr);
}

static q_rc check_text(const msgpack_object *o, q_err *err)
{
    if (q_utf8_valid(q_mp_slice(o)))
        return Q_OK;
    return q_err_set(err, Q_E_QQL_VALUE, "A string in a document is not valid UTF-8, or holds a NUL.");
}

static q_rc check(q_mp_space *space, const msgpack_object *o, unsigned depth, q_err *err)
{
    q_rc rc = Q_OK;
    if ((o->type == MSGPACK_OBJECT_ARRAY || o->type == MSGPACK_OBJECT_MAP) && depth == Q_MAX_DOC_DEPTH)
        return q_err_set(err, Q_E_DOCUMENT_LIMIT, "A document may be nested %d deep at most.", Q_MAX_DOC_DEPTH);
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
    case MSGPACK_OBJECT_BOOLEAN:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return Q_OK;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return o->via.u64 <= INT64_MAX ? Q_OK : not_a_document("an integer is beyond 2^63-1", err);
    case MSGPACK_OBJECT_FLOAT64:
        return isfinite(o->via.f64) ? Q_OK : not_a_document("a number is infinite or none", err);
    case MSGPACK_OBJECT_STR:
        return check_text(o, err);
    case MSGPACK_OBJECT_ARRAY:
        for (uint32_t i = 0; i < o->via.array.size && rc == Q_OK; i++)
            rc = check(space, &o->via.array.ptr[i], depth + 1, err);
        return rc;
    case MSGPACK_OBJECT_MAP:
        for (uint32_t i = 0; i < o->via.map.size && rc == Q_OK; i++) {
            const msgpack_object_kv *kv = &o->via.map.ptr[i];
            if (kv->key.type != MSGPACK_OBJECT_STR)
                return not_a_document("a key is not a string", err);
            rc = check_text(&kv->key, err);
            if (rc == Q_OK)
                rc = check(space, &kv->val, depth + 1, err);
        }
        return rc == Q_OK ? check_unique(space, &o->via.map, err) : rc;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_BIN:
    case MSGPACK_OBJECT_EXT:
        break;
    }
    return not_a_document("a value has a type that documents don't have", err);
}

q_rc q_doc_check_tree(q_mp_space *space, const msgpack_object *root, q_err *err) { return check(space, root, 0, err); }

q_rc q_doc_validate(q_slice doc, q_err *err)
{
    Q_MP_STACK_SPACE(space, NULL);
    msgpack_object root;
    q_rc rc = unpack(&space, doc, &root, err);
    if (rc == Q_OK)
        rc = check(&space, &root, 0, err);
    q_mp_space_end(&space);
    return rc;
}

/* ---- equality -------------------------------------------------------------------------------------------------------- */

static bool number_of(const msgpack_object *o, q_value *v)
{
    *v = (q_value){ .type = Q_T_INT };
    if (q_mp_i64(o, &v->i))
        return true;
    v->type = Q_T_FLOAT;
    v->f = o->via.f64;
    return o->type == MSGPACK_OBJECT_FLOAT64;
}

static bool equal_maps(q_mp_space *space, const msgpack_object_map *a, const msgpack_object_map *b)
{
    if (a->size != b->size)
        return false;
    bool same_order = true;
    for (uint32_t i = 0; i < a->size && same_order; i++)
        same_order = q_slice_eq(q_mp_slice(&a->ptr[i].key), q_mp_slice(&b->ptr[i].key));
    if (same_order) {
        for (uint32_t i = 0; i < a->size; i++)
            if (!q_doc_equal_trees(space, &a->ptr[i].val, &b->ptr[i].val))
                return false;
        return true;
    }
    const msgpack_object_kv **x = sorted_keys(space, a), **y = sorted_keys(space, b);
    for (uint32_t i = 0; x && y && i < a->size; i++)
        if (cmp_key_pointers(&x[i], &y[i]) != 0 || !q_doc_equal_trees(space, &x[i]->val, &y[i]->val))
            return false;
    return x && y;
}

bool q_doc_equal_trees(q_mp_space *space, const msgpack_object *a, const msgpack_object *b)
{
    q_value x, y;
    if (number_of(a, &x))
        return number_of(b, &y) && q_number_cmp(&x, &y) == 0;
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case MSGPACK_OBJECT_NIL:
        return true;
    case MSGPACK_OBJECT_BOOLEAN:
        return a->via.boolean == b->via.boolean;
    case MSGPACK_OBJECT_STR:
        return q_slice_eq(q_mp_slice(a), q_mp_slice(b));
    case MSGPACK_OBJECT_ARRAY:
        if (a->via.array.size != b->via.array.size)
            return false;
        for (uint32_t i = 0; i < a->via.array.size; i++)
            if (!q_doc_equal_trees(space, &a->via.array.ptr[i], &b->via.array.ptr[i]))
                return false;
        return true;
    case MSGPACK_OBJECT_MAP:
        return equal_maps(space, &a->via.map, &b->via.map);
    default:
        return false;
    }
}

bool q_doc_equal(q_slice a, q_slice b)
{
    if (q_slice_eq(a, b))
        return true;
    Q_MP_STACK_SPACE(space, NULL);
    msgpack_object x, y;
    q_err ignored = Q_ERR_INIT;
    bool equal = unpack(&space, a, &x, &ignored) == Q_OK && unpack(&space, b, &y, &ignored) == Q_OK
                 && check(&space, &x, 0, &ignored) == Q_OK && check(&space, &y, 0, &ignored) == Q_OK && q_doc_equal_trees(&space, &x, &y);
    q_mp_space_end(&space);
    return equal;
}

/* ---- trees and bytes ------------------------------------------------------------------------------------------------- */

/* false: the tree holds what documents don't (it may come of bytes that nobody validated). */
static bool pack_tree(q_buf *out, const msgpack_object *o)
{
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        q_mp_pack_nil(out);
        return true;
    case MSGPACK_OBJECT_BOOLEAN:
        q_mp_bool(out, o->via.boolean);
        return true;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        q_mp_pack_uint64(out, o->via.u64);
        return true;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        q_mp_pack_int64(out, o->via.i64);
        return true;
    case MSGPACK_OBJECT_FLOAT64:
        q_mp_pack_double(out, o->via.f64);
        return true;
    case MSGPACK_OBJECT_STR:
        q_mp_str(out, q_mp_slice(o));
        return true;
    case MSGPACK_OBJECT_ARRAY:
        q_mp_pack_array(out, o->via.array.size);
        for (uint32_t i = 0; i < o->via.array.size; i++)
            if (!pack_tree(out, &o->via.array.ptr[i]))
                return false;
        return true;
    case MSGPACK_OBJECT_MAP:
        q_mp_pack_map(out, o->via.map.size);
        for (uint32_t i = 0; i < o->via.map.size; i++)
            if (o->via.map.ptr[i].key.type != MSGPACK_OBJECT_STR || !pack_tree(out, &o->via.map.ptr[i].key)
                || !pack_tree(out, &o->via.map.ptr[i].val))
                return false;
        return true;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_BIN:
    case MSGPACK_OBJECT_EXT:
        break;
    }
    return false;
}

q_rc q_doc_tree_bytes(q_arena *arena, const msgpack_object *root, q_slice *out, q_err *err)
{
    q_buf b = Q_BUF_INIT(Q_MAX_DOC_BYTES);
    q_rc rc = Q_OK;
    if (!pack_tree(&b, root)) {
        rc = not_a_document("a value or a key has a type that documents don't have", err);
    } else if (b.failed) {
        rc = q_err_set(err, Q_E_DOCUMENT_LIMIT, "A document may have %d bytes at most.", Q_MAX_DOC_BYTES);
    } else {
        *out = q_arena_copy(arena, q_buf_slice(&b));
        rc = out->ptr ? Q_OK : q_doc_no_memory(err);
    }
    q_buf_free(&b);
    return rc;
}

static q_rc tree_to_value(q_arena *arena, const msgpack_object *o, q_value *out, q_err *err)
{
    *out = Q_NULL;
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        return Q_OK;
    case MSGPACK_OBJECT_BOOLEAN:
        out->type = Q_T_BOOL;
        out->b = o->via.boolean;
        return Q_OK;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
    case MSGPACK_OBJECT_FLOAT64:
        return number_of(o, out) ? Q_OK : not_a_document("an integer is beyond 2^63-1", err);
    case MSGPACK_OBJECT_STR:
        out->type = Q_T_STRING;
        out->s = q_mp_slice(o);
        return Q_OK;
    case MSGPACK_OBJECT_ARRAY:
    case MSGPACK_OBJECT_MAP:
        out->type = Q_T_DOC;
        return q_doc_tree_bytes(arena, o, &out->s, err);
    default:
        return not_a_document("a value has a type that documents don't have", err);
    }
}

q_rc q_doc_to_value(q_slice doc, q_value *out, q_err *err)
{
    if (doc.len == 0)
        return not_a_document("they are empty", err);
    uint8_t lead = (uint8_t)doc.ptr[0];
    bool container = (lead >= 0x80 && lead <= 0x9F) || (lead >= 0xDC && lead <= 0xDF); /* the spec's map and array formats */
    if (container) {
        *out = (q_value){ .type = Q_T_DOC, .s = doc };
        return Q_OK;
    }
    q_mp_space none = { 0 };
    msgpack_object o;
    q_rc rc = unpack(&none, doc, &o, err);
    if (rc == Q_OK)
        rc = tree_to_value(NULL, &o, out, err);
    q_mp_space_end(&none);
    return rc;
}

/* ---- paths ----------------------------------------------------------------------------------------------------------- */

msgpack_object *q_doc_find(const msgpack_object *o, const q_step *step)
{
    if (step->is_index) {
        if (o->type != MSGPACK_OBJECT_ARRAY || step->index < 0 || step->index >= (int64_t)o->via.array.size)
            return NULL;
        return &o->via.array.ptr[step->index];
    }
    if (o->type != MSGPACK_OBJECT_MAP)
        return NULL;
    for (uint32_t i = 0; i < o->via.map.size; i++)
        if (o->via.map.ptr[i].key.type == MSGPACK_OBJECT_STR && q_slice_eq(q_mp_slice(&o->via.map.ptr[i].key), step->key))
            return &o->via.map.ptr[i].val;
    return NULL;
}

q_rc q_doc_get(q_arena *arena, q_slice doc, const q_step *steps, size_t count, q_value *out, q_err *err)
{
    *out = Q_NULL;
    if (count == 0)
        return q_doc_to_value(doc, out, err);
    Q_MP_STACK_SPACE(space, NULL);
    msgpack_object root;
    q_rc rc = unpack(&space, doc, &root, err);
    if (rc == Q_OK) {
        const msgpack_object *o = &root;
        for (size_t i = 0; i < count && o; i++)
            o = q_doc_find(o, &steps[i]);
        if (o)
            rc = tree_to_value(arena, o, out, err);
    }
    q_mp_space_end(&space);
    return rc;
}
