/* values.c - one typed value in a message. */
#include <math.h>

#include "schemas/document.h"
#include "schemas/number.h"
#include "schemas/timetext.h"
#include "schemas/wire/codec.h"

/* ---- encoding -------------------------------------------------------------------------------------------------------- */

static void put_be64(char *p, uint64_t u)
{
    u = __builtin_bswap64(u); /* x86-64 and arm64 as Debian builds them are little endian */
    memcpy(p, &u, sizeof u);
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "put_be64 and get_be64 swap");

static uint64_t get_be64(const char *p)
{
    uint64_t u;
    memcpy(&u, p, sizeof u);
    return __builtin_bswap64(u);
}

static void pack_ext64(q_buf *out, int8_t type, uint64_t u)
{
    char b[8];
    put_be64(b, u);
    q_mp_ext(out, type, b, sizeof b);
}

static void pack_sample(q_buf *out, int8_t type, int64_t at_us, const void *eight_bytes)
{
    char b[16];
    uint64_t u;
    memcpy(&u, eight_bytes, sizeof u);
    put_be64(b, (uint64_t)at_us);
    put_be64(b + 8, u);
    q_mp_ext(out, type, b, sizeof b);
}

static void pack_decimal(q_buf *out, const q_value *v)
{
    char b[17];
    b[0] = (char)v->scale;
    put_be64(b + 1, (uint64_t)((unsigned __int128)v->coefficient >> 64));
    put_be64(b + 9, (uint64_t)(unsigned __int128)v->coefficient);
    q_mp_ext(out, Q_EXT_DECIMAL, b, sizeof b);
}

void q_wire_pack_value(q_buf *out, const q_value *v)
{
    switch (v->type) {
    case Q_T_NULL:
    case Q_T_COUNT:
        q_mp_pack_nil(out);
        return;
    case Q_T_BOOL:
        q_mp_bool(out, v->b);
        return;
    case Q_T_INT:
        v->at_us ? pack_sample(out, Q_EXT_INT_SAMPLE, v->at_us, &v->i) : (void)q_mp_pack_int64(out, v->i);
        return;
    case Q_T_FLOAT:
        v->at_us ? pack_sample(out, Q_EXT_FLOAT_SAMPLE, v->at_us, &v->f) : (void)q_mp_pack_double(out, v->f);
        return;
    case Q_T_DURATION:
        v->at_us ? pack_sample(out, Q_EXT_DURATION_SAMPLE, v->at_us, &v->i) : pack_ext64(out, Q_EXT_DURATION, (uint64_t)v->i);
        return;
    case Q_T_TIME:
        pack_ext64(out, Q_EXT_TIME, (uint64_t)v->i);
        return;
    case Q_T_DECIMAL:
        pack_decimal(out, v);
        return;
    case Q_T_STRING:
        q_mp_str(out, v->s);
        return;
    case Q_T_BYTES:
        q_mp_bin(out, v->s);
        return;
    case Q_T_UUID:
        q_mp_ext(out, Q_EXT_UUID, v->uuid, sizeof v->uuid);
        return;
    case Q_T_DOC:
        q_mp_ext(out, Q_EXT_DOC, v->s.ptr, v->s.len);
        return;
    case Q_T_RELATION:
        q_mp_pack_array(out, v->rel.count);
        for (uint32_t i = 0; i < v->rel.count; i++)
            q_wire_pack_value(out, &v->rel.items[i]);
        return;
    }
}

void q_wire_pack_text(q_buf *out, q_slice text)
{
    char plain[Q_WIRE_MAX_TEXT];
    if (text.len > Q_WIRE_MAX_TEXT) {
        text.len = Q_WIRE_MAX_TEXT;
        while (text.len > 0 && ((unsigned char)text.ptr[text.len] & 0xC0) == 0x80) /* not within a code point */
            text.len--;
    }
    if (!q_utf8_valid(text)) {
        for (size_t i = 0; i < text.len; i++)
            plain[i] = text.ptr[i] > 0 ? text.ptr[i] : '?';
        text.ptr = plain;
    }
    q_mp_str(out, text);
}

/* ---- decoding -------------------------------------------------------------------------------------------------------- */

void *q_wire_new(q_wire_in *in, q_mp_items *it, uint32_t count, size_t size)
{
    if (count == 0 || it->wrong)
        return NULL;
    void *p = q_arena_calloc(in->arena, count, size);
    if (!p) {
        in->no_memory = true;
        q_mp_wrong(it, "no memory is left");
    }
    return p;
}

q_rc q_wire_fail(const q_wire_in *in, const char *what, const char *wrong, q_err *err)
{
    if (in->no_memory)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left to read %s.", what);
    return q_err_set(err, Q_E_INTERNAL, "The bytes are not %s: %s.", what, wrong);
}

q_slice q_wire_next_name(q_mp_items *it, bool may_be_empty)
{
    const msgpack_object *o = q_mp_next(it);
    q_slice s = o->type == MSGPACK_OBJECT_STR ? q_mp_slice(o) : Q_SLICE_NONE;
    bool good = o->type == MSGPACK_OBJECT_STR && s.len <= Q_MAX_NAME_BYTES && (s.len > 0 || may_be_empty);
    for (size_t i = 0; good && i < s.len; i++) {
        char c = s.ptr[i];
        good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    }
    if (!good)
        q_mp_wrong(it, "a name is missing, empty, too long or holds something else than a-z, 0-9 and _");
    return good ? s : Q_SLICE_NONE;
}

static bool need_size(q_mp_items *it, const msgpack_object *o, uint32_t size)
{
    if (o->via.ext.size != size)
        q_mp_wrong(it, "a value has a wrong size");
    return o->via.ext.size == size;
}

static void take_float(q_mp_items *it, double f, q_value *v)
{
    v->type = Q_T_FLOAT;
    v->f = f;
    if (!isfinite(f))
        q_mp_wrong(it, "a float is infinite or none");
}

static void take_decimal(q_mp_items *it, const char *p, q_value *v)
{
    v->type = Q_T_DECIMAL;
    v->scale = (uint8_t)p[0];
    v->coefficient = (__int128)((unsigned __int128)get_be64(p + 1) << 64 | get_be64(p + 9));
    if (!q_decimal_valid(v->coefficient, v->scale))
        q_mp_wrong(it, "a decimal is out of its range");
}

static void take_document(q_mp_items *it, q_slice doc, q_value *v)
{
    q_err why = Q_ERR_INIT;
    v->type = Q_T_DOC;
    v->s = doc;
    if (q_doc_validate(doc, &why) != Q_OK)
        q_mp_wrong(it, "a document is not one");
}

static void take_sample(q_mp_items *it, const msgpack_object *o, q_value *v)
{
    if (!need_size(it, o, 16))
        return;
    v->at_us = (int64_t)get_be64(o->via.ext.ptr);
    uint64_t u = get_be64(o->via.ext.ptr + 8);
    if (v->at_us == 0 || v->at_us < Q_TIME_MIN_US || v->at_us > Q_TIME_MAX_US)
        q_mp_wrong(it, "a sample's time is out of its range");
    if (o->via.ext.type == Q_EXT_FLOAT_SAMPLE) {
        double f;
        memcpy(&f, &u, sizeof f);
        take_float(it, f, v);
    } else {
        v->type = o->via.ext.type == Q_EXT_INT_SAMPLE ? Q_T_INT : Q_T_DURATION;
        v->i = (int64_t)u;
    }
}

static void take_ext(q_mp_items *it, const msgpack_object *o, q_value *v)
{
    const char *p = o->via.ext.ptr;
    switch (o->via.ext.type) {
    case Q_EXT_UUID:
        v->type = Q_T_UUID;
        if (need_size(it, o, sizeof v->uuid))
            memcpy(v->uuid, p, sizeof v->uuid);
        return;
    case Q_EXT_DECIMAL:
        if (need_size(it, o, 17))
            take_decimal(it, p, v);
        return;
    case Q_EXT_TIME:
    case Q_EXT_DURATION:
        v->type = o->via.ext.type == Q_EXT_TIME ? Q_T_TIME : Q_T_DURATION;
        if (need_size(it, o, 8))
            v->i = (int64_t)get_be64(p);
        if (v->type == Q_T_TIME && (v->i < Q_TIME_MIN_US || v->i > Q_TIME_MAX_US))
            q_mp_wrong(it, "a time is out of its range");
        return;
    case Q_EXT_DOC:
        take_document(it, q_slice_of(p, o->via.ext.size), v);
        return;
    case Q_EXT_INT_SAMPLE:
    case Q_EXT_FLOAT_SAMPLE:
    case Q_EXT_DURATION_SAMPLE:
        take_sample(it, o, v);
        return;
    default:
        q_mp_wrong(it, "a value's type is unknown");
    }
}

static void take_relation(q_wire_in *in, q_mp_items *it, const msgpack_object *o, q_value *v)
{
    uint32_t count = o->via.array.size;
    v->type = Q_T_RELATION;
    if (count > Q_MAX_RELATION_IDS) {
        q_mp_wrong(it, "a relation has too many ids");
        return;
    }
    q_value *items = Q_WIRE_NEW(in, it, q_value, count);
    q_mp_items ids = { o->via.array.ptr, items ? count : 0, NULL };
    for (uint32_t i = 0; i < count && items && !ids.wrong; i++)
        items[i] = q_wire_next_id(in, &ids);
    if (ids.wrong)
        q_mp_wrong(it, ids.wrong);
    v->rel.items = items;
    v->rel.count = items ? count : 0;
}

q_value q_wire_next_value(q_wire_in *in, q_mp_items *it)
{
    const msgpack_object *o = q_mp_next(it);
    q_value v = Q_NULL;
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        v.type = Q_T_BOOL;
        v.b = o->via.boolean;
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        v.type = Q_T_INT;
        if (!q_mp_i64(o, &v.i))
            q_mp_wrong(it, "an int is beyond 2^63-1");
        break;
    case MSGPACK_OBJECT_FLOAT64:
        take_float(it, o->via.f64, &v);
        break;
    case MSGPACK_OBJECT_STR:
    case MSGPACK_OBJECT_BIN:
        v.type = o->type == MSGPACK_OBJECT_STR ? Q_T_STRING : Q_T_BYTES;
        v.s = q_mp_slice(o);
        if (v.s.len > Q_MAX_STRING_BYTES || (v.type == Q_T_STRING && !q_utf8_valid(v.s)))
            q_mp_wrong(it, "a string is too long or not UTF-8");
        break;
    case MSGPACK_OBJECT_EXT:
        take_ext(it, o, &v);
        break;
    case MSGPACK_OBJECT_ARRAY:
        take_relation(in, it, o, &v);
        break;
    case MSGPACK_OBJECT_MAP:
    case MSGPACK_OBJECT_FLOAT32:
        q_mp_wrong(it, "a value's type is unknown");
        break;
    }
    return v;
}

q_value q_wire_next_id(q_wire_in *in, q_mp_items *it)
{
    q_err why = Q_ERR_INIT;
    const msgpack_object *o = it->left ? it->at : NULL;
    if (o && o->type == MSGPACK_OBJECT_ARRAY) { /* before a recursion: an id is never a relation */
        q_mp_wrong(it, "an id is not one");
        return Q_NULL;
    }
    q_value v = q_wire_next_value(in, it);
    if (v.at_us || q_id_check(&v, &why) != Q_OK)
        q_mp_wrong(it, "an id is not one");
    return v;
}
