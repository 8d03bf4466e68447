/* Documents are msgpack inside and BSON outside: nil, bool, int64, double, UTF-8, arrays and maps have their equals there.
 * Source: https://bsonspec.org/spec.html. */
#include "workers/mongo/internal.h"

#include "schemas/document.h"

#include <msgpack.h>
#include <stdio.h>

/* An array directly inside an array is stored as {"%a": […]}: some servers of the protocol refuse nested arrays (FerretDB: "nested
 * arrays are not supported"). A key of a user's own with a '%' is escaped, so it can't be taken for this one. */
#define NESTED_ARRAY "%a"

/* ---- ids ---- */

bool mg_append_id(bson_t *to, const char *key, const q_value *id)
{
    switch (id->type) {
    case Q_T_STRING: return bson_append_utf8(to, key, -1, id->s.ptr ? id->s.ptr : "", (int)id->s.len);
    case Q_T_INT: return bson_append_int64(to, key, -1, id->i);
    case Q_T_UUID: return bson_append_binary(to, key, -1, BSON_SUBTYPE_UUID, id->uuid, 16);
    default: return false;
    }
}

q_rc mg_id(q_arena *arena, const bson_iter_t *it, q_value *out, q_err *err)
{
    uint32_t len;
    const char *text;
    bson_subtype_t subtype;
    const uint8_t *bytes;
    if (BSON_ITER_HOLDS_UTF8(it)) {
        text = bson_iter_utf8(it, &len);
        *out = (q_value){ .type = Q_T_STRING, .s = q_arena_copy(arena, q_slice_of(text, len)) };
        return out->s.ptr ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    }
    if (BSON_ITER_HOLDS_INT64(it) || BSON_ITER_HOLDS_INT32(it)) {
        *out = (q_value){ .type = Q_T_INT, .i = bson_iter_as_int64(it) };
        return Q_OK;
    }
    if (BSON_ITER_HOLDS_BINARY(it)) {
        bson_iter_binary(it, &subtype, &len, &bytes);
        if (subtype == BSON_SUBTYPE_UUID && len == 16) {
            out->type = Q_T_UUID;
            memcpy(out->uuid, bytes, 16);
            return Q_OK;
        }
    }
    return q_err_set(err, Q_E_CHANGED_OUTSIDE, "mongo: a document's _id is none that QuantaDB wrote");
}

/* ---- keys ----
 *
 * A document's key may be any text; MongoDB gives a meaning to '$' in front and to '.', and servers and tools refuse them, and empty
 * ones, in places. Such a key is stored percent-escaped: "$" in front as %24, "." as %2E, "%" as %25, the empty key as a lone "%". */

static bool plain_key(const char *key, size_t len)
{
    return len && key[0] != '$' && !memchr(key, '.', len) && !memchr(key, '%', len);
}

bool mg_escape_key(q_slice key, q_buf *out)
{
    q_buf_clear(out);
    if (!key.len)
        q_buf_add_byte(out, '%');
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        if (c == '.' || c == '%' || (c == '$' && i == 0))
            q_buf_printf(out, "%%%02X", (unsigned)c);
        else
            q_buf_add_byte(out, (uint8_t)c);
    }
    return !out->failed;
}

static void unescape_key(const char *key, size_t len, q_buf *out)
{
    q_buf_clear(out);
    for (size_t i = 0; i < len; i++) {
        bool escaped = key[i] == '%' && i + 2 < len;
        if (escaped && !memcmp(key + i, "%2E", 3))
            q_buf_add_byte(out, '.');
        else if (escaped && !memcmp(key + i, "%24", 3))
            q_buf_add_byte(out, '$');
        else if (escaped && !memcmp(key + i, "%25", 3))
            q_buf_add_byte(out, '%');
        else {
            if (key[i] != '%')
                q_buf_add_byte(out, (uint8_t)key[i]);
            continue;
        }
        i += 2;
    }
}

/* ---- msgpack to BSON ---- */

static bool append(bson_t *to, const char *key, int key_len, const msgpack_object *o);

static bool append_items(bson_t *to, const char *key, int key_len, const msgpack_object_array *a)
{
    bson_t child, wrapped;
    char number[16];
    bool ok = bson_append_array_begin(to, key, key_len, &child);
    for (uint32_t i = 0; ok && i < a->size; i++) {
        int n = snprintf(number, sizeof number, "%u", i);
        if (a->ptr[i].type == MSGPACK_OBJECT_ARRAY)
            ok = bson_append_document_begin(&child, number, n, &wrapped) && append(&wrapped, NESTED_ARRAY, -1, &a->ptr[i]) &&
                 bson_append_document_end(&child, &wrapped);
        else
            ok = append(&child, number, n, &a->ptr[i]);
    }
    return ok && bson_append_array_end(to, &child);
}

static bool append_key(bson_t *to, q_slice key, const msgpack_object *o)
{
    if (plain_key(key.ptr, key.len))
        return append(to, key.ptr, (int)key.len, o);
    q_buf escaped = Q_BUF_INIT(4 * Q_MAX_DOC_BYTES);
    bool ok = mg_escape_key(key, &escaped) && append(to, escaped.ptr, (int)escaped.len, o);
    q_buf_free(&escaped);
    return ok;
}

static bool append(bson_t *to, const char *key, int key_len, const msgpack_object *o)
{
    bson_t child;
    bool ok = true;
    switch (o->type) {
    case MSGPACK_OBJECT_NIL: return bson_append_null(to, key, key_len);
    case MSGPACK_OBJECT_BOOLEAN: return bson_append_bool(to, key, key_len, o->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER: return o->via.u64 <= INT64_MAX && bson_append_int64(to, key, key_len, (int64_t)o->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER: return bson_append_int64(to, key, key_len, o->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64: return bson_append_double(to, key, key_len, o->via.f64);
    case MSGPACK_OBJECT_STR: return bson_append_utf8(to, key, key_len, o->via.str.size ? o->via.str.ptr : "", (int)o->via.str.size);
    case MSGPACK_OBJECT_ARRAY: return append_items(to, key, key_len, &o->via.array);
    case MSGPACK_OBJECT_MAP:
        ok = bson_append_document_begin(to, key, key_len, &child);
        for (uint32_t i = 0; ok && i < o->via.map.size; i++) {
            const msgpack_object_str *k = &o->via.map.ptr[i].key.via.str;
            ok = o->via.map.ptr[i].key.type == MSGPACK_OBJECT_STR && append_key(&child, q_slice_of(k->ptr, k->size), &o->via.map.ptr[i].val);
        }
        return ok && bson_append_document_end(to, &child);
    default: return false;
    }
}

static bool unpack(q_slice doc, msgpack_unpacked *out)
{
    size_t at = 0;
    msgpack_unpacked_init(out);
    return msgpack_unpack_next(out, doc.ptr, doc.len, &at) == MSGPACK_UNPACK_SUCCESS && at == doc.len;
}

bool mg_append_doc(bson_t *to, const char *key, q_slice doc)
{
    msgpack_unpacked u;
    bool ok = unpack(doc, &u) && append(to, key, -1, &u.data);
    msgpack_unpacked_destroy(&u);
    return ok;
}

/* ---- BSON to msgpack ---- */

static int write_buf(void *ctx, const char *bytes, size_t len)
{
    q_buf *b = ctx;
    q_buf_add(b, bytes, len);
    return b->failed ? -1 : 0;
}

static bool pack_key(msgpack_packer *p, const char *key, size_t len)
{
    q_buf plain = Q_BUF_INIT(4 * Q_MAX_DOC_BYTES);
    q_slice name = q_slice_of(key, len);
    if (memchr(key, '%', len)) {
        unescape_key(key, len, &plain);
        name = q_buf_slice(&plain);
    }
    bool ok = !plain.failed && msgpack_pack_str(p, name.len) == 0 && (!name.len || msgpack_pack_str_body(p, name.ptr, name.len) == 0);
    q_buf_free(&plain);
    return ok;
}

/* Is it an array that stands directly inside one? Then `inside` is the array itself. */
static bool nested_array(const bson_iter_t *it, bson_iter_t *inside)
{
    return BSON_ITER_HOLDS_DOCUMENT(it) && bson_iter_recurse(it, inside) && bson_iter_next(inside) && BSON_ITER_HOLDS_ARRAY(inside) &&
           !strcmp(bson_iter_key(inside), NESTED_ARRAY);
}

static bool pack(msgpack_packer *p, const bson_iter_t *it, int depth)
{
    bson_iter_t child, inside;
    uint32_t len;
    const char *text;
    size_t n = 0;
    if (depth > Q_MAX_DOC_DEPTH)
        return false;
    switch (bson_iter_type(it)) {
    case BSON_TYPE_NULL: return msgpack_pack_nil(p) == 0;
    case BSON_TYPE_BOOL: return (bson_iter_bool(it) ? msgpack_pack_true(p) : msgpack_pack_false(p)) == 0;
    case BSON_TYPE_INT32: return msgpack_pack_int64(p, bson_iter_int32(it)) == 0;
    case BSON_TYPE_INT64: return msgpack_pack_int64(p, bson_iter_int64(it)) == 0;
    case BSON_TYPE_DOUBLE: return msgpack_pack_double(p, bson_iter_double(it)) == 0;
    case BSON_TYPE_UTF8:
        text = bson_iter_utf8(it, &len);
        return msgpack_pack_str(p, len) == 0 && msgpack_pack_str_body(p, text, len) == 0;
    case BSON_TYPE_ARRAY:
    case BSON_TYPE_DOCUMENT: {
        bool map = bson_iter_type(it) == BSON_TYPE_DOCUMENT;
        if (!bson_iter_recurse(it, &child))
            return false;
        while (bson_iter_next(&child))
            n++;
        if ((map ? msgpack_pack_map(p, n) : msgpack_pack_array(p, n)) != 0 || !bson_iter_recurse(it, &child))
            return false;
        while (bson_iter_next(&child)) {
            const char *key = bson_iter_key(&child);
            size_t key_len = bson_iter_key_len(&child);
            if (map && !pack_key(p, key, key_len))
                return false;
            if (!pack(p, !map && nested_array(&child, &inside) ? &inside : &child, depth + 1))
                return false;
        }
        return true;
    }
    default: return false; /* dates, object ids …: not ours */
    }
}

q_rc mg_doc(q_arena *arena, const bson_iter_t *it, q_value *out, q_err *err)
{
    q_buf b = Q_BUF_INIT(2 * Q_MAX_DOC_BYTES);
    msgpack_packer p;
    msgpack_packer_init(&p, &b, write_buf);
    bool ok = pack(&p, it, 0);
    *out = (q_value){ .type = Q_T_DOC, .s = ok ? q_arena_copy(arena, q_buf_slice(&b)) : Q_SLICE_NONE };
    q_buf_free(&b);
    if (!ok)
        return q_err_set(err, Q_E_CHANGED_OUTSIDE, "mongo: field %s holds something that QuantaDB didn't write", bson_iter_key(it));
    return out->s.ptr ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
}

bool mg_append_scalar(bson_t *to, const char *key, const q_value *v)
{
    switch (v->type) {
    case Q_T_BOOL: return bson_append_bool(to, key, -1, v->b);
    case Q_T_INT: return bson_append_int64(to, key, -1, v->i);
    case Q_T_FLOAT: return bson_append_double(to, key, -1, v->f);
    case Q_T_STRING: return bson_append_utf8(to, key, -1, v->s.ptr ? v->s.ptr : "", (int)v->s.len);
    default: return false;
    }
}
