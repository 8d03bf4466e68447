/* Ids as tags, as InfluxQL and as line protocol. Names are [a-z0-9_] and need nothing.
 * Sources: https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/ (tag values: comma, space and equals are escaped
 * by a backslash; no newline; a backslash at the end would escape what follows), https://docs.influxdata.com/influxdb/v1/query_language/spec/. */
#include "workers/influx/internal.h"

enum { BEYOND_DIGITS = 120 }; /* Go's regular expressions nest to 1,000, and three levels are one digit */

static const char digits[] = "0123456789abcdef";

static bool needs_percent(unsigned char c) { return c < 0x20 || c == 0x7f || c == '%' || c == '\\'; }

void ix_tag_text(q_buf *out, const q_value *id)
{
    if (id->type != Q_T_STRING) {
        q_value_text(id, out);
        return;
    }
    for (size_t i = 0; i < id->s.len; i++) {
        unsigned char c = (unsigned char)id->s.ptr[i];
        if (needs_percent(c))
            q_buf_printf(out, "%%%02X", c);
        else
            q_buf_add_byte(out, c);
    }
}

void ix_put_literal(q_buf *out, q_slice text)
{
    q_buf_add_byte(out, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'' || text.ptr[i] == '\\')
            q_buf_add_byte(out, '\\');
        q_buf_add_byte(out, (uint8_t)text.ptr[i]);
    }
    q_buf_add_byte(out, '\'');
}

void ix_put_tag(q_buf *out, q_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ',' || text.ptr[i] == ' ' || text.ptr[i] == '=')
            q_buf_add_byte(out, '\\');
        q_buf_add_byte(out, (uint8_t)text.ptr[i]);
    }
}

q_slice ix_key(q_arena *arena, const q_value *id)
{
    q_buf plain = Q_BUF_INIT(4096);
    q_value_key(id, &plain);
    char *hex = plain.failed ? NULL : q_arena_alloc(arena, 2 * plain.len + 1);
    for (size_t i = 0; hex && i < plain.len; i++) {
        unsigned char c = (unsigned char)plain.ptr[i];
        hex[2 * i] = digits[c >> 4];
        hex[2 * i + 1] = digits[c & 15];
    }
    q_slice key = q_slice_of(hex, hex ? 2 * plain.len : 0);
    q_buf_free(&plain);
    return key;
}

static int digit_value(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

q_rc ix_id(q_arena *arena, q_slice key, q_value *out, q_err *err)
{
    char *plain = q_arena_alloc(arena, key.len / 2 + 1);
    if (!plain)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    bool ok = key.len % 2 == 0;
    for (size_t i = 0; ok && i < key.len; i += 2) {
        int high = digit_value(key.ptr[i]), low = digit_value(key.ptr[i + 1]);
        ok = high >= 0 && low >= 0;
        plain[i / 2] = (char)((high & 15) << 4 | (low & 15));
    }
    if (ok && q_value_from_key(q_slice_of(plain, key.len / 2), out) == Q_OK)
        return Q_OK;
    return q_err_set(err, Q_E_CHANGED_OUTSIDE, "influx: a key in QuantaDB's own database is none that it wrote");
}

/* InfluxQL compares tags for equality only; beyond 6a is: [7-9a-f]…, or 6 followed by [b-f]…, or 6a followed by anything. */
void ix_put_beyond(q_buf *out, q_slice key)
{
    size_t n = key.len < BEYOND_DIGITS ? key.len : BEYOND_DIGITS;
    q_buf_add_cstr(out, "/^");
    for (size_t i = 0; i < n; i++) {
        int d = digit_value(key.ptr[i]);
        q_buf_add_cstr(out, "(?:");
        if (d < 15)
            q_buf_printf(out, "[%s]|", digits + d + 1);
        q_buf_add_byte(out, (uint8_t)key.ptr[i]);
    }
    if (n == key.len)
        q_buf_add_byte(out, '.');
    for (size_t i = 0; i < n; i++)
        q_buf_add_byte(out, ')');
    q_buf_add_byte(out, '/');
}
