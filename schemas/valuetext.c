/* valuetext.c - values to text and back, and from one type to another. */
#include <sodium.h>

#include "schemas/document.h"
#include "schemas/number.h"
#include "schemas/timetext.h"
#include "schemas/value.h"

enum { UUID_TEXT = 36 };

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* 8-4-4-4-12 hexadecimal digits (RFC 9562 4). */
static bool uuid_parse(q_slice t, uint8_t out[16])
{
    if (t.len != UUID_TEXT)
        return false;
    size_t at = 0;
    for (int i = 0; i < 16; i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && t.ptr[at++] != '-')
            return false;
        int high = hex_digit(t.ptr[at]), low = hex_digit(t.ptr[at + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    return true;
}

static void uuid_text(const uint8_t uuid[16], char out[UUID_TEXT])
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        out[at++] = hex[uuid[i] >> 4];
        out[at++] = hex[uuid[i] & 15];
    }
}

static void base64_text(q_slice bytes, q_buf *out)
{
    size_t need = sodium_base64_encoded_len(bytes.len, sodium_base64_VARIANT_ORIGINAL); /* with a NUL */
    char *p = q_buf_reserve(out, need);
    if (!p)
        return;
    sodium_bin2base64(p, need, (const unsigned char *)(bytes.ptr ? bytes.ptr : ""), bytes.len, sodium_base64_VARIANT_ORIGINAL);
    out->len += need - 1;
}

static void relation_text(const q_value *v, q_buf *out)
{
    if (v->rel.count == 1) {
        q_value_text(&v->rel.items[0], out);
        return;
    }
    q_buf_add_byte(out, '[');
    for (uint32_t i = 0; i < v->rel.count; i++) {
        if (i)
            q_buf_add_cstr(out, ", ");
        q_value_text(&v->rel.items[i], out);
    }
    q_buf_add_byte(out, ']');
}

void q_value_text(const q_value *v, q_buf *out)
{
    char text[64];
    _Static_assert(sizeof text >= Q_NUMBER_TEXT_BYTES && sizeof text >= Q_TIME_TEXT_BYTES && sizeof text >= Q_DURATION_TEXT_BYTES, "room");
    switch (v->type) {
    case Q_T_NULL:
        q_buf_add_cstr(out, "null");
        break;
    case Q_T_BOOL:
        q_buf_add_cstr(out, v->b ? "true" : "false");
        break;
    case Q_T_INT:
        q_buf_add(out, text, q_int_text(v->i, text));
        break;
    case Q_T_FLOAT:
        q_buf_add(out, text, q_float_text(v->f, text));
        break;
    case Q_T_DECIMAL:
        q_buf_add(out, text, q_decimal_text(v, text));
        break;
    case Q_T_STRING:
        q_buf_add_slice(out, v->s);
        break;
    case Q_T_UUID:
        uuid_text(v->uuid, text);
        q_buf_add(out, text, UUID_TEXT);
        break;
    case Q_T_TIME:
        q_buf_add(out, text, q_time_text(v->i, text));
        break;
    case Q_T_DURATION:
        q_buf_add(out, text, q_duration_text(v->i, text));
        break;
    case Q_T_BYTES:
        base64_text(v->s, out);
        break;
    case Q_T_DOC:
        q_doc_to_json_buf(v->s, out);
        break;
    case Q_T_RELATION:
        relation_text(v, out);
        break;
    case Q_T_COUNT:
        break;
    }
}

/* ---- parsing --------------------------------------------------------------------------------------------------------- */

static q_rc unreadable(q_type type, q_slice text, const char *hint, q_err *err)
{
    q_err_set(err, Q_E_QQL_VALUE, "\"%.*s\" is not a value of type %s.", (int)(text.len < 60 ? text.len : 60), text.ptr ? text.ptr : "",
              q_type_name(type));
    if (hint)
        q_err_hint(err, "%s", hint);
    return Q_FAIL;
}

static q_rc parse_bytes(q_arena *arena, q_slice text, q_value *out, q_err *err)
{
    size_t room = text.len / 4 * 3 + 3, len = 0;
    if (room > Q_MAX_STRING_BYTES + 6) /* padding stands for up to two bytes that are none */
        return q_err_set(err, Q_E_QQL_VALUE, "Bytes may be %d at most.", Q_MAX_STRING_BYTES);
    unsigned char *p = q_arena_alloc(arena, room);
    if (!p)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for a value.");
    const char *end = NULL;
    const char *from = text.ptr ? text.ptr : "";
    if (sodium_base642bin(p, room, from, text.len, NULL, &len, &end, sodium_base64_VARIANT_ORIGINAL) != 0 || end != from + text.len)
        return unreadable(Q_T_BYTES, text, "Base64 with padding (RFC 4648 4), such as \"aGVsbG8=\".", err);
    if (len > Q_MAX_STRING_BYTES)
        return q_err_set(err, Q_E_QQL_VALUE, "Bytes may be %d at most.", Q_MAX_STRING_BYTES);
    out->s = q_slice_of(p, len);
    return Q_OK;
}

static q_rc parse_string(q_slice text, q_value *out, q_err *err)
{
    if (text.len > Q_MAX_STRING_BYTES)
        return q_err_set(err, Q_E_QQL_VALUE, "A string may have %d bytes at most; this one has %zu.", Q_MAX_STRING_BYTES, text.len);
    if (!q_utf8_valid(text))
        return q_err_set(err, Q_E_QQL_VALUE, "A string is not valid UTF-8, or holds a NUL.");
    out->s = text;
    return Q_OK;
}

static q_rc parse_relation(q_arena *arena, q_slice text, q_value *out, q_err *err)
{
    q_value *id = Q_NEW(arena, q_value);
    if (!id)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for a value.");
    *id = (q_value){ .type = Q_T_STRING, .s = text };
    q_rc rc = q_id_check(id, err);
    if (rc != Q_OK)
        return rc;
    out->rel.items = id;
    out->rel.count = 1;
    return Q_OK;
}

q_rc q_value_parse(q_arena *arena, q_type type, q_slice text, q_value *out, q_err *err)
{
    q_value v = { .type = type };
    q_rc rc = Q_OK;
    switch (type) {
    case Q_T_BOOL:
        v.b = q_slice_eq(text, Q_SLICE_LIT("true"));
        rc = v.b || q_slice_eq(text, Q_SLICE_LIT("false")) ? Q_OK : unreadable(type, text, "true or false.", err);
        break;
    case Q_T_INT:
        rc = q_int_parse(text, &v.i) ? Q_OK : unreadable(type, text, "A whole number from -2^63 to 2^63-1.", err);
        break;
    case Q_T_FLOAT:
        rc = q_float_parse(text, &v.f) ? Q_OK : unreadable(type, text, "A number such as 89.5 or 1e-3, within the range of a double.", err);
        break;
    case Q_T_DECIMAL:
        rc = q_decimal_parse(text, &v) ? Q_OK : unreadable(type, text, "At most 34 digits, at most 18 of them after the point.", err);
        break;
    case Q_T_STRING:
        rc = parse_string(text, &v, err);
        break;
    case Q_T_UUID:
        rc = uuid_parse(text, v.uuid) ? Q_OK : unreadable(type, text, "Such as 123e4567-e89b-12d3-a456-426614174000.", err);
        break;
    case Q_T_TIME:
        rc = q_time_parse(text, &v.i, err);
        break;
    case Q_T_DURATION:
        rc = q_duration_parse(text, &v.i, err);
        break;
    case Q_T_BYTES:
        rc = parse_bytes(arena, text, &v, err);
        break;
    case Q_T_DOC:
        rc = q_doc_from_json(arena, text, &v.s, err);
        break;
    case Q_T_RELATION:
        rc = parse_relation(arena, text, &v, err);
        break;
    case Q_T_NULL:
    case Q_T_COUNT:
        return q_err_set(err, Q_E_QQL_TYPE, "No text stands for a value of type %s.", q_type_name(type));
    }
    if (rc == Q_OK)
        *out = v;
    return rc;
}

/* ---- conversion without loss ----------------------------------------------------------------------------------------- */

static q_rc lossy(const q_value *v, q_type to, q_err *err)
{
    char text[Q_NUMBER_TEXT_BYTES] = "";
    if (v->type == Q_T_INT)
        q_int_text(v->i, text);
    else if (v->type == Q_T_FLOAT)
        q_float_text(v->f, text);
    else
        q_decimal_text(v, text);
    return q_err_set(err, Q_E_QQL_VALUE, "%s can't be a value of type %s without loss.", text, q_type_name(to));
}

static q_rc number_to_int(const q_value *v, q_value *out, q_err *err)
{
    const q_value low = { .type = Q_T_INT, .i = INT64_MIN }, high = { .type = Q_T_INT, .i = INT64_MAX };
    if (q_number_cmp(v, &low) < 0 || q_number_cmp(v, &high) > 0)
        return lossy(v, Q_T_INT, err);
    q_value i = { .type = Q_T_INT, .at_us = v->at_us };
    i.i = v->type == Q_T_FLOAT ? (int64_t)v->f : (int64_t)(v->coefficient / q_pow10(v->scale));
    if (q_number_cmp(v, &i) != 0)
        return lossy(v, Q_T_INT, err);
    *out = i;
    return Q_OK;
}

/* A decimal becomes the nearest double when that one's shortest text is the decimal again: 89.5 and 0.1 do, 34 digits don't. */
static q_rc number_to_float(const q_value *v, q_value *out, q_err *err)
{
    q_value f = { .type = Q_T_FLOAT, .at_us = v->at_us };
    if (v->type == Q_T_INT) {
        f.f = (double)v->i;
        if (q_number_cmp(v, &f) != 0)
            return lossy(v, Q_T_FLOAT, err);
    } else {
        char text[Q_NUMBER_TEXT_BYTES];
        q_value back;
        size_t n = q_decimal_text(v, text);
        if (!q_float_parse(q_slice_of(text, n), &f.f))
            return lossy(v, Q_T_FLOAT, err);
        n = q_float_text(f.f, text);
        if (!q_decimal_parse(q_slice_of(text, n), &back) || q_number_cmp(v, &back) != 0)
            return lossy(v, Q_T_FLOAT, err);
    }
    *out = f;
    return Q_OK;
}

/* A float stands for its shortest text: 89.50 written in a statement is 89.5 exactly. */
static q_rc number_to_decimal(const q_value *v, q_value *out, q_err *err)
{
    q_value d = { .type = Q_T_DECIMAL };
    if (v->type == Q_T_INT) {
        d.coefficient = v->i;
    } else {
        char text[Q_NUMBER_TEXT_BYTES];
        size_t n = q_float_text(v->f, text);
        if (!q_decimal_parse(q_slice_of(text, n), &d))
            return lossy(v, Q_T_DECIMAL, err);
    }
    d.at_us = v->at_us;
    *out = d;
    return Q_OK;
}

static bool is_number(q_type t) { return t == Q_T_INT || t == Q_T_FLOAT || t == Q_T_DECIMAL; }

q_rc q_value_coerce(q_arena *arena, const q_value *v, q_type to, q_value *out, q_err *err)
{
    if (v->type == to || v->type == Q_T_NULL) {
        *out = *v;
        return Q_OK;
    }
    if (v->type == Q_T_DOC) { /* a path led to a scalar */
        q_value inner;
        q_rc rc = q_doc_to_value(v->s, &inner, err);
        if (rc != Q_OK)
            return rc;
        if (inner.type != Q_T_DOC)
            return q_value_coerce(arena, &inner, to, out, err);
    }
    if (is_number(v->type) && to == Q_T_INT)
        return number_to_int(v, out, err);
    if (is_number(v->type) && to == Q_T_FLOAT)
        return number_to_float(v, out, err);
    if (is_number(v->type) && to == Q_T_DECIMAL)
        return number_to_decimal(v, out, err);
    if (v->type == Q_T_STRING && (to == Q_T_UUID || to == Q_T_TIME || to == Q_T_DURATION || to == Q_T_DECIMAL || to == Q_T_BYTES)) {
        int64_t at_us = v->at_us;
        q_rc rc = q_value_parse(arena, to, v->s, out, err);
        if (rc == Q_OK)
            out->at_us = at_us;
        return rc;
    }
    return q_err_set(err, Q_E_QQL_TYPE, "A value of type %s can't be used as %s.", q_type_name(v->type), q_type_name(to));
}
