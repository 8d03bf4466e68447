/* docedit.c - documents with something changed: new bytes from a tree; and documents made of values. */
#include "schemas/doctree.h"

/* ---- values as trees ------------------------------------------------------------------------------------------------- */

/* A tree under change. It lives in the caller's arena, as its result does. */
typedef struct edit {
    q_arena *arena;
    q_mp_space space;
    q_err *err;
} edit;

static edit edit_begin(q_arena *arena, q_err *err)
{
    return (edit){ .arena = arena, .space = { NULL, 0, arena, NULL }, .err = err };
}

static q_rc parse_tree(edit *e, q_slice doc, msgpack_object *out)
{
    q_mp_result r = q_mp_unpack(&e->space, doc, out);
    if (r == Q_MP_OK)
        return Q_OK;
    return r == Q_MP_MEMORY ? q_doc_no_memory(e->err)
                            : q_err_set(e->err, Q_E_QQL_VALUE, "The bytes are not a document: %s.", q_mp_result_text(r));
}

static q_rc tree_of_value(edit *e, const q_value *v, msgpack_object *out);

static msgpack_object tree_of_text(q_slice s)
{
    return (msgpack_object){ .type = MSGPACK_OBJECT_STR, .via.str = { (uint32_t)s.len, s.ptr ? s.ptr : "" } };
}

static msgpack_object *new_items(edit *e, size_t n)
{
    return n <= Q_MAX_DOC_BYTES ? q_mp_space_alloc(&e->space, (n ? n : 1) * sizeof(msgpack_object)) : NULL;
}

static q_rc tree_of_values(edit *e, const q_value *values, size_t count, msgpack_object *out)
{
    *out = (msgpack_object){ .type = MSGPACK_OBJECT_ARRAY };
    out->via.array.ptr = new_items(e, count);
    if (!out->via.array.ptr)
        return q_doc_no_memory(e->err);
    out->via.array.size = (uint32_t)count;
    q_rc rc = Q_OK;
    for (size_t i = 0; i < count && rc == Q_OK; i++)
        rc = tree_of_value(e, &values[i], &out->via.array.ptr[i]);
    return rc;
}

static q_rc tree_of_canonical_text(edit *e, const q_value *v, msgpack_object *out)
{
    q_buf b = Q_BUF_INIT(2 * Q_MAX_STRING_BYTES);
    q_value_text(v, &b);
    q_slice s = b.failed ? Q_SLICE_NONE : q_arena_copy(e->arena, q_buf_slice(&b));
    q_buf_free(&b);
    *out = tree_of_text(s);
    return s.ptr ? Q_OK : q_doc_no_memory(e->err);
}

static q_rc tree_of_value(edit *e, const q_value *v, msgpack_object *out)
{
    *out = (msgpack_object){ .type = MSGPACK_OBJECT_NIL };
    switch (v->type) {
    case Q_T_NULL:
        return Q_OK;
    case Q_T_BOOL:
        out->type = MSGPACK_OBJECT_BOOLEAN;
        out->via.boolean = v->b;
        return Q_OK;
    case Q_T_INT:
        out->type = v->i < 0 ? MSGPACK_OBJECT_NEGATIVE_INTEGER : MSGPACK_OBJECT_POSITIVE_INTEGER;
        out->via.i64 = v->i;
        return Q_OK;
    case Q_T_FLOAT:
        out->type = MSGPACK_OBJECT_FLOAT64;
        out->via.f64 = v->f;
        return Q_OK;
    case Q_T_STRING:
        *out = tree_of_text(v->s);
        return Q_OK;
    case Q_T_DOC:
        return parse_tree(e, v->s, out);
    case Q_T_RELATION:
        return tree_of_values(e, v->rel.items, v->rel.count, out);
    default:
        return tree_of_canonical_text(e, v, out);
    }
}

/* Bounds hold for the whole, whatever it was put together from. */
static q_rc finish(edit *e, const msgpack_object *root, q_slice *out)
{
    q_rc rc = q_doc_check_tree(&e->space, root, e->err);
    return rc == Q_OK ? q_doc_tree_bytes(e->arena, root, out, e->err) : rc;
}

q_rc q_doc_from_value(q_arena *arena, const q_value *v, q_slice *doc, q_err *err)
{
    if (v->type == Q_T_DOC) {
        *doc = v->s;
        return Q_OK;
    }
    edit e = edit_begin(arena, err);
    msgpack_object root;
    q_rc rc = tree_of_value(&e, v, &root);
    return rc == Q_OK ? finish(&e, &root, doc) : rc;
}

q_rc q_doc_make_array(q_arena *arena, const q_value *values, size_t count, q_slice *doc, q_err *err)
{
    edit e = edit_begin(arena, err);
    msgpack_object root;
    q_rc rc = tree_of_values(&e, values, count, &root);
    return rc == Q_OK ? finish(&e, &root, doc) : rc;
}

q_rc q_doc_make_map(q_arena *arena, const q_slice *keys, const q_value *values, size_t count, q_slice *doc, q_err *err)
{
    edit e = edit_begin(arena, err);
    msgpack_object root = { .type = MSGPACK_OBJECT_MAP };
    if (count > Q_MAX_DOC_BYTES)
        return q_err_set(err, Q_E_DOCUMENT_LIMIT, "A document may have %d bytes at most.", Q_MAX_DOC_BYTES);
    msgpack_object_kv *kv = q_mp_space_alloc(&e.space, (count ? count : 1) * sizeof *kv);
    if (!kv)
        return q_doc_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        kv[i].key = tree_of_text(keys[i]);
        q_rc rc = tree_of_value(&e, &values[i], &kv[i].val);
        if (rc != Q_OK)
            return rc;
    }
    root.via.map.ptr = kv;
    root.via.map.size = (uint32_t)count;
    return finish(&e, &root, doc);
}

/* ---- changes at a path ----------------------------------------------------------------------------------------------- */

static q_rc blocked(edit *e, const q_step *step, const msgpack_object *at)
{
    const char *what = at->type == MSGPACK_OBJECT_MAP ? "an object" : at->type == MSGPACK_OBJECT_ARRAY ? "an array" : "a plain value";
    if (step->is_index)
        return q_err_set(e->err, Q_E_QQL_VALUE, "The path's index %lld leads into %s.", (long long)step->index, what);
    return q_err_set(e->err, Q_E_QQL_VALUE, "The path's key \"%.*s\" leads into %s.", (int)(step->key.len < 60 ? step->key.len : 60),
                     step->key.ptr ? step->key.ptr : "", what);
}

/* Room for one more at the end of a container; the new item is nil. */
static msgpack_object *grow_map(edit *e, msgpack_object *o, q_slice key)
{
    uint32_t n = o->via.map.size;
    msgpack_object_kv *kv = q_mp_space_alloc(&e->space, ((size_t)n + 1) * sizeof *kv);
    if (!kv)
        return NULL;
    if (n)
        memcpy(kv, o->via.map.ptr, n * sizeof *kv);
    kv[n] = (msgpack_object_kv){ tree_of_text(key), { .type = MSGPACK_OBJECT_NIL } };
    o->via.map.ptr = kv;
    o->via.map.size = n + 1;
    return &kv[n].val;
}

static msgpack_object *grow_array(edit *e, msgpack_object *o, size_t more)
{
    uint32_t n = o->via.array.size;
    msgpack_object *items = new_items(e, (size_t)n + more);
    if (!items)
        return NULL;
    if (n)
        memcpy(items, o->via.array.ptr, n * sizeof *items);
    for (size_t i = n; i < n + more; i++)
        items[i] = (msgpack_object){ .type = MSGPACK_OBJECT_NIL };
    o->via.array.ptr = items;
    o->via.array.size = n + (uint32_t)more;
    return &items[n];
}

/* The place one step further, made when it isn't there. A nil on the way counts as absent: it becomes what the step needs. */
static q_rc make_step(edit *e, msgpack_object *o, const q_step *step, msgpack_object **next)
{
    if (o->type == MSGPACK_OBJECT_NIL)
        *o = (msgpack_object){ .type = step->is_index ? MSGPACK_OBJECT_ARRAY : MSGPACK_OBJECT_MAP };
    if (o->type != (step->is_index ? MSGPACK_OBJECT_ARRAY : MSGPACK_OBJECT_MAP))
        return blocked(e, step, o);
    *next = q_doc_find(o, step);
    if (*next)
        return Q_OK;
    if (step->is_index && step->index != (int64_t)o->via.array.size)
        return q_err_set(e->err, Q_E_QQL_VALUE, "The path's index %lld is past the end of an array of %u.", (long long)step->index,
                         o->via.array.size);
    *next = step->is_index ? grow_array(e, o, 1) : grow_map(e, o, step->key);
    return *next ? Q_OK : q_doc_no_memory(e->err);
}

static q_rc too_many_steps(q_err *err)
{
    return q_err_set(err, Q_E_DOCUMENT_LIMIT, "A path into a document may have %d steps at most.", Q_MAX_DOC_STEPS);
}

static q_rc load_root(edit *e, q_slice doc, msgpack_object *root)
{
    *root = (msgpack_object){ .type = MSGPACK_OBJECT_NIL };
    return doc.len ? parse_tree(e, doc, root) : Q_OK;
}

static q_rc make_path(edit *e, msgpack_object *root, const q_step *steps, size_t count, msgpack_object **place)
{
    *place = root;
    q_rc rc = Q_OK;
    for (size_t i = 0; i < count && rc == Q_OK; i++)
        rc = make_step(e, *place, &steps[i], place);
    return rc;
}

static void remove_at(msgpack_object *o, const q_step *last)
{
    msgpack_object *gone = q_doc_find(o, last);
    if (!gone)
        return;
    if (o->type == MSGPACK_OBJECT_ARRAY) {
        *gone = (msgpack_object){ .type = MSGPACK_OBJECT_NIL };
        if (last->index == (int64_t)o->via.array.size - 1)
            o->via.array.size--;
        return;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < o->via.map.size; i++)
        if (&o->via.map.ptr[i].val != gone)
            o->via.map.ptr[kept++] = o->via.map.ptr[i];
    o->via.map.size = kept;
}

static msgpack_object *find_path(msgpack_object *root, const q_step *steps, size_t count)
{
    msgpack_object *o = root;
    for (size_t i = 0; i < count && o; i++)
        o = q_doc_find(o, &steps[i]);
    return o;
}

q_rc q_doc_set(q_arena *arena, q_slice doc, const q_step *steps, size_t count, const q_value *value, q_slice *out, q_err *err)
{
    if (count > Q_MAX_DOC_STEPS)
        return too_many_steps(err);
    edit e = edit_begin(arena, err);
    msgpack_object root, *place = &root;
    q_rc rc = load_root(&e, doc, &root);
    if (rc == Q_OK && value->type == Q_T_NULL && count) {
        msgpack_object *parent = find_path(&root, steps, count - 1);
        if (parent)
            remove_at(parent, &steps[count - 1]);
        if (root.type == MSGPACK_OBJECT_NIL)
            root.type = MSGPACK_OBJECT_MAP, root.via.map = (msgpack_object_map){ 0, NULL };
        return finish(&e, &root, out);
    }
    if (rc == Q_OK)
        rc = make_path(&e, &root, steps, count, &place);
    if (rc == Q_OK)
        rc = tree_of_value(&e, value, place);
    return rc == Q_OK ? finish(&e, &root, out) : rc;
}

/* The items that += and -= name: an array's, or the one value. */
static q_rc load_items(edit *e, const q_value *items, msgpack_object *one, const msgpack_object **from, uint32_t *count)
{
    q_rc rc = tree_of_value(e, items, one);
    bool array = rc == Q_OK && one->type == MSGPACK_OBJECT_ARRAY;
    *from = array ? one->via.array.ptr : one;
    *count = array ? one->via.array.size : 1;
    return rc;
}

static q_rc not_an_array(q_err *err) { return q_err_set(err, Q_E_QQL_VALUE, "The path leads to something that is not an array."); }

q_rc q_doc_append(q_arena *arena, q_slice doc, const q_step *steps, size_t count, const q_value *items, q_slice *out, q_err *err)
{
    if (count > Q_MAX_DOC_STEPS)
        return too_many_steps(err);
    edit e = edit_begin(arena, err);
    msgpack_object root, one, *place = &root;
    const msgpack_object *from = NULL;
    uint32_t more = 0;
    q_rc rc = load_root(&e, doc, &root);
    if (rc == Q_OK)
        rc = make_path(&e, &root, steps, count, &place);
    if (rc == Q_OK)
        rc = load_items(&e, items, &one, &from, &more);
    if (rc != Q_OK)
        return rc;
    if (place->type == MSGPACK_OBJECT_NIL)
        *place = (msgpack_object){ .type = MSGPACK_OBJECT_ARRAY };
    if (place->type != MSGPACK_OBJECT_ARRAY)
        return not_an_array(err);
    if (more) {
        msgpack_object *to = grow_array(&e, place, more);
        if (!to)
            return q_doc_no_memory(err);
        memcpy(to, from, more * sizeof *to);
    }
    return finish(&e, &root, out);
}

q_rc q_doc_remove(q_arena *arena, q_slice doc, const q_step *steps, size_t count, const q_value *items, q_slice *out, q_err *err)
{
    if (count > Q_MAX_DOC_STEPS)
        return too_many_steps(err);
    edit e = edit_begin(arena, err);
    msgpack_object root, one;
    const msgpack_object *from = NULL;
    uint32_t fewer = 0;
    q_rc rc = load_root(&e, doc, &root);
    if (rc == Q_OK)
        rc = load_items(&e, items, &one, &from, &fewer);
    if (rc != Q_OK)
        return rc;
    if (root.type == MSGPACK_OBJECT_NIL)
        root = (msgpack_object){ .type = count ? MSGPACK_OBJECT_MAP : MSGPACK_OBJECT_ARRAY };
    msgpack_object *place = find_path(&root, steps, count);
    if (place && place->type != MSGPACK_OBJECT_NIL) {
        if (place->type != MSGPACK_OBJECT_ARRAY)
            return not_an_array(err);
        uint32_t kept = 0;
        for (uint32_t i = 0; i < place->via.array.size; i++) {
            bool gone = false;
            for (uint32_t j = 0; j < fewer && !gone; j++)
                gone = q_doc_equal_trees(&e.space, &place->via.array.ptr[i], &from[j]);
            if (!gone)
                place->via.array.ptr[kept++] = place->via.array.ptr[i];
        }
        place->via.array.size = kept;
    }
    return finish(&e, &root, out);
}
