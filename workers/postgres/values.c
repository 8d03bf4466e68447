/* Values to parameters (text format) and binary cells to values. Formats: PostgreSQL's src/include/utils/{timestamp,numeric}.h and the
 * send functions of its types: integers and floats big endian; timestamptz in microseconds since 2000-01-01; interval as microseconds,
 * days, months; numeric in groups of four decimal digits. */
#include "workers/postgres/internal.h"

#include <endian.h>
#include <stdio.h>

enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25, OID_FLOAT8 = 701, OID_TIMESTAMPTZ = 1184, OID_INTERVAL = 1186,
       OID_NUMERIC = 1700, OID_UUID = 2950 };
static const int64_t EPOCH_2000_US = 946684800000000; /* 2000-01-01 in microseconds since 1970 */
static const int64_t DAY_US = 86400000000;

const char *pg_number(q_arena *arena, uint64_t n) { return q_arena_printf(arena, "%llu", (unsigned long long)n).ptr; }
const char *pg_cstr(q_arena *arena, q_slice s) { return q_arena_copy(arena, s).ptr; }

const char *pg_table(q_arena *arena, q_slice bucket, q_slice record)
{
    return q_arena_printf(arena, "\"%.*s\".\"%.*s\"", Q_SLICE_FMT(bucket), Q_SLICE_FMT(record)).ptr;
}

const char *pg_column_type(q_type t)
{
    switch (t) {
    case Q_T_BOOL: return "boolean";
    case Q_T_INT: return "bigint";
    case Q_T_FLOAT: return "double precision";
    case Q_T_DECIMAL: return "numeric";
    case Q_T_UUID: return "uuid";
    case Q_T_TIME: return "timestamptz";
    case Q_T_DURATION: return "interval";
    case Q_T_BYTES: return "bytea";
    default: return "text COLLATE \"C\"";
    }
}

const char *pg_cast(q_type t)
{
    switch (t) {
    case Q_T_BOOL: return "::boolean";
    case Q_T_INT: return "::bigint";
    case Q_T_FLOAT: return "::double precision";
    case Q_T_DECIMAL: return "::numeric";
    case Q_T_UUID: return "::uuid";
    case Q_T_TIME: return "::timestamptz";
    case Q_T_DURATION: return "::interval";
    case Q_T_BYTES: return "::bytea";
    default: return "::text";
    }
}

static const char *hex(q_arena *arena, q_slice s)
{
    static const char digits[] = "0123456789abcdef";
    char *out = q_arena_alloc(arena, s.len * 2 + 3), *at = out;
    if (!out)
        return NULL;
    *at++ = '\\';
    *at++ = 'x';
    for (size_t i = 0; i < s.len; i++) {
        *at++ = digits[(unsigned char)s.ptr[i] >> 4];
        *at++ = digits[(unsigned char)s.ptr[i] & 15];
    }
    *at = '\0';
    return out;
}

const char *pg_param(q_arena *arena, const q_value *v)
{
    q_buf text = Q_BUF_INIT(1024);
    const char *out;
    switch (v->type) {
    case Q_T_NULL: return NULL;
    case Q_T_STRING: return pg_cstr(arena, v->s);
    case Q_T_BYTES: return hex(arena, v->s);
    case Q_T_BOOL: return v->b ? "t" : "f";
    case Q_T_INT: return q_arena_printf(arena, "%lld", (long long)v->i).ptr;
    case Q_T_FLOAT: return q_arena_printf(arena, "%.17g", v->f).ptr;
    case Q_T_DURATION: return q_arena_printf(arena, "%lld microseconds", (long long)v->i).ptr;
    default:
        q_value_text(v, &text);
        out = text.failed ? NULL : pg_cstr(arena, q_buf_slice(&text));
        q_buf_free(&text);
        return out;
    }
}

static uint64_t be64(const char *p)
{
    uint64_t n;
    memcpy(&n, p, sizeof n);
    return be64toh(n);
}

static int32_t be32(const char *p)
{
    uint32_t n;
    memcpy(&n, p, sizeof n);
    return (int32_t)be32toh(n);
}

static int16_t be16(const char *p)
{
    uint16_t n;
    memcpy(&n, p, sizeof n);
    return (int16_t)be16toh(n);
}

/* Groups of base 10000: value = sum(digit[i] * 10000^(weight-i)); dscale digits after the point are shown. */
static bool numeric(const char *p, int len, q_value *out)
{
    if (len < 8)
        return false;
    int count = be16(p), weight = be16(p + 2), sign = (uint16_t)be16(p + 4), scale = be16(p + 6);
    if (count < 0 || len != 8 + 2 * count || (sign != 0 && sign != 0x4000) || scale < 0 || scale > 18)
        return false;
    __int128 c = 0;
    int exponent = 4 * (weight + 1 - count); /* of the last group's unit */
    for (int i = 0; i < count; i++)
        c = c * 10000 + be16(p + 8 + 2 * i);
    for (; exponent < -scale; exponent++)
        c /= 10; /* the last group's padding beyond dscale: zeros */
    for (; exponent > -scale; exponent--)
        c *= 10;
    *out = (q_value){ .type = Q_T_DECIMAL, .scale = (uint8_t)scale, .coefficient = sign ? -c : c };
    return true;
}

q_rc pg_value(q_arena *arena, const PGresult *r, int row, int col, q_value *out, q_err *err)
{
    *out = Q_NULL;
    if (PQgetisnull(r, row, col))
        return Q_OK;
    const char *p = PQgetvalue(r, row, col);
    int len = PQgetlength(r, row, col);
    Oid type = PQftype(r, col);
    uint64_t bits;
    switch (type) {
    case OID_BOOL:
        *out = (q_value){ .type = Q_T_BOOL, .b = *p != 0 };
        return Q_OK;
    case OID_INT8:
        *out = (q_value){ .type = Q_T_INT, .i = (int64_t)be64(p) };
        return Q_OK;
    case OID_FLOAT8:
        bits = be64(p);
        out->type = Q_T_FLOAT;
        memcpy(&out->f, &bits, sizeof out->f);
        return Q_OK;
    case OID_TIMESTAMPTZ:
        *out = (q_value){ .type = Q_T_TIME, .i = (int64_t)be64(p) + EPOCH_2000_US };
        return Q_OK;
    case OID_INTERVAL:
        if (be32(p + 12) != 0)
            break; /* months: not ours */
        *out = (q_value){ .type = Q_T_DURATION, .i = (int64_t)be64(p) + be32(p + 8) * DAY_US };
        return Q_OK;
    case OID_UUID:
        out->type = Q_T_UUID;
        memcpy(out->uuid, p, 16);
        return Q_OK;
    case OID_NUMERIC:
        if (!numeric(p, len, out))
            break;
        return Q_OK;
    case OID_TEXT:
    case OID_BYTEA:
        out->s = q_arena_copy(arena, q_slice_of(p, (size_t)len));
        if (!out->s.ptr)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
        out->type = type == OID_TEXT ? Q_T_STRING : Q_T_BYTES;
        return Q_OK;
    default:
        break;
    }
    return q_err_set(err, Q_E_CHANGED_OUTSIDE, "postgres: column %s holds a value that QuantaDB didn't write", PQfname(r, col));
}
