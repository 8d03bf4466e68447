#include "schemas/value.h"

#include <assert.h>

#include "schemas/document.h"
#include "schemas/number.h"

static const char *const TYPE_NAMES[Q_T_COUNT] = {
    [Q_T_NULL] = "null",       [Q_T_BOOL] = "bool",         [Q_T_INT] = "int",     [Q_T_FLOAT] = "float",
    [Q_T_DECIMAL] = "decimal", [Q_T_STRING] = "string",     [Q_T_UUID] = "uuid",   [Q_T_TIME] = "time",
    [Q_T_DURATION] = "duration", [Q_T_BYTES] = "bytes",     [Q_T_DOC] = "document", [Q_T_RELATION] = "relation",
};

const char *q_type_name(q_type t) { return t < Q_T_COUNT ? TYPE_NAMES[t] : "?"; }

q_type q_type_from_name(q_slice name)
{
    for (int t = Q_T_BOOL; t <= Q_T_BYTES; t++)
        if (q_slice_eq(name, q_slice_cstr(TYPE_NAMES[t])))
            return (q_type)t;
    return Q_T_NULL;
}

/* ---- order and equality ---------------------------------------------------------------------------------------------- */

static bool is_number(q_type t) { return t == Q_T_INT || t == Q_T_FLOAT || t == Q_T_DECIMAL; }

bool q_value_comparable(q_type a, q_type b)
{
    if (is_number(a) && is_number(b))
        return true;
    return a == b && a != Q_T_NULL && a != Q_T_DOC;
}

static int cmp_i64(int64_t a, int64_t b) { return (a > b) - (a < b); }

/* Ids of one relation have one type; were they mixed, the type decides, so that there is an order all the same. */
static int cmp_relations(const q_value *a, const q_value *b)
{
    for (uint32_t i = 0; i < a->rel.count && i < b->rel.count; i++) {
        const q_value *x = &a->rel.items[i], *y = &b->rel.items[i];
        int c = x->type == y->type ? q_value_cmp(x, y) : (int)x->type - (int)y->type;
        if (c)
            return c;
    }
    return (a->rel.count > b->rel.count) - (a->rel.count < b->rel.count);
}

int q_value_cmp(const q_value *a, const q_value *b)
{
    assert(q_value_comparable(a->type, b->type));
    switch (a->type) {
    case Q_T_INT:
    case Q_T_FLOAT:
    case Q_T_DECIMAL:
        return q_number_cmp(a, b);
    case Q_T_BOOL:
        return (int)a->b - (int)b->b;
    case Q_T_TIME:
    case Q_T_DURATION:
        return cmp_i64(a->i, b->i);
    case Q_T_STRING:
    case Q_T_BYTES:
        return q_slice_cmp(a->s, b->s);
    case Q_T_UUID:
        return memcmp(a->uuid, b->uuid, sizeof a->uuid);
    case Q_T_RELATION:
        return cmp_relations(a, b);
    case Q_T_NULL:
    case Q_T_DOC:
    case Q_T_COUNT:
        break;
    }
    return 0;
}

bool q_value_same(const q_value *a, const q_value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case Q_T_NULL:
        return true;
    case Q_T_DOC:
        return q_doc_equal(a->s, b->s);
    case Q_T_STRING:
    case Q_T_BYTES:
        return q_slice_eq(a->s, b->s);
    default:
        return q_value_cmp(a, b) == 0;
    }
}

/* ---- ids and keys ---------------------------------------------------------------------------------------------------- */

q_rc q_id_check(const q_value *id, q_err *err)
{
    switch (id->type) {
    case Q_T_INT:
    case Q_T_UUID:
        return Q_OK;
    case Q_T_STRING:
        if (id->s.len >= 1 && id->s.len <= Q_MAX_ID_BYTES && q_utf8_valid(id->s))
            return Q_OK;
        return q_err_set(err, Q_E_QQL_VALUE, "An id must be text of 1 to %d bytes; this one has %zu.", Q_MAX_ID_BYTES, id->s.len);
    default:
        return q_err_set(err, Q_E_QQL_TYPE, "An id is a string, an int or a uuid, not %s.", q_type_name(id->type));
    }
}

/* The first byte of a key. Their order is that of nothing: keys of one column have one type. */
enum { KEY_BOOL = 'b', KEY_DECIMAL = 'd', KEY_FLOAT = 'f', KEY_INT = 'i', KEY_DURATION = 'r', KEY_STRING = 's', KEY_TIME = 't',
       KEY_UUID = 'u', KEY_BYTES = 'y' };

static void add_be64(q_buf *out, uint64_t u)
{
    unsigned char b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (unsigned char)(u >> (56 - 8 * i));
    q_buf_add(out, b, sizeof b);
}

static uint64_t get_be64(const char *p)
{
    uint64_t u = 0;
    for (int i = 0; i < 8; i++)
        u = u << 8 | (unsigned char)p[i];
    return u;
}

static const uint64_t SIGN = UINT64_C(1) << 63;

/* Sorts as the number does: two's complement with the sign turned round. */
static void add_i64(q_buf *out, char type, int64_t i)
{
    q_buf_add_byte(out, (uint8_t)type);
    add_be64(out, (uint64_t)i ^ SIGN);
}

/* IEEE 754 sorts as sign and magnitude: negative numbers are turned round altogether. */
static uint64_t float_to_sortable(double f)
{
    uint64_t u;
    f = f == 0 ? 0 : f; /* -0.0 equals 0.0 */
    memcpy(&u, &f, sizeof u);
    return u & SIGN ? ~u : u | SIGN;
}

static double float_from_sortable(uint64_t u)
{
    double f;
    u = u & SIGN ? u & ~SIGN : ~u;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Floor and 10^-18ths above it, so that the second part is never negative. */
static void add_decimal(q_buf *out, const q_value *v)
{
    __int128 unit = q_pow10(v->scale), whole = v->coefficient / unit, rest = v->coefficient % unit;
    if (rest < 0) {
        rest += unit;
        whole--;
    }
    q_buf_add_byte(out, KEY_DECIMAL);
    add_be64(out, (uint64_t)((unsigned __int128)whole >> 64) ^ SIGN);
    add_be64(out, (uint64_t)(unsigned __int128)whole);
    add_be64(out, (uint64_t)(rest * q_pow10(Q_DECIMAL_MAX_SCALE - v->scale)));
}

static bool decimal_from_key(const char *p, q_value *out)
{
    __int128 whole = (__int128)((unsigned __int128)(get_be64(p) ^ SIGN) << 64 | get_be64(p + 8));
    uint64_t e18 = get_be64(p + 16);
    if (e18 >= (uint64_t)q_pow10(18) || !q_decimal_valid(whole, 0))
        return false;
    unsigned scale = Q_DECIMAL_MAX_SCALE;
    for (; scale > 0 && e18 % 10 == 0; scale--)
        e18 /= 10;
    __int128 bound = q_pow10(Q_DECIMAL_MAX_DIGITS - scale);
    if (whole > bound || whole < -bound)
        return false;
    *out = (q_value){ .type = Q_T_DECIMAL, .scale = (uint8_t)scale, .coefficient = whole * q_pow10(scale) + e18 };
    return q_decimal_valid(out->coefficient, scale);
}

void q_value_key(const q_value *id, q_buf *out)
{
    switch (id->type) {
    case Q_T_BOOL:
        q_buf_add_byte(out, KEY_BOOL);
        q_buf_add_byte(out, id->b);
        break;
    case Q_T_INT:
        add_i64(out, KEY_INT, id->i);
        break;
    case Q_T_TIME:
        add_i64(out, KEY_TIME, id->i);
        break;
    case Q_T_DURATION:
        add_i64(out, KEY_DURATION, id->i);
        break;
    case Q_T_FLOAT:
        q_buf_add_byte(out, KEY_FLOAT);
        add_be64(out, float_to_sortable(id->f));
        break;
    case Q_T_DECIMAL:
        add_decimal(out, id);
        break;
    case Q_T_STRING:
        q_buf_add_byte(out, KEY_STRING);
        q_buf_add_slice(out, id->s);
        break;
    case Q_T_BYTES:
        q_buf_add_byte(out, KEY_BYTES);
        q_buf_add_slice(out, id->s);
        break;
    case Q_T_UUID:
        q_buf_add_byte(out, KEY_UUID);
        q_buf_add(out, id->uuid, sizeof id->uuid);
        break;
    default:
        assert(!"a key is of a scalar");
    }
}

q_rc q_value_from_key(q_slice key, q_value *out)
{
    if (key.len < 1)
        return Q_FAIL;
    const char *p = key.ptr + 1;
    size_t len = key.len - 1;
    q_value v = Q_NULL;
    switch (key.ptr[0]) {
    case KEY_BOOL:
        v.type = Q_T_BOOL;
        if (len != 1 || (*p != 0 && *p != 1))
            return Q_FAIL;
        v.b = *p == 1;
        break;
    case KEY_INT:
    case KEY_TIME:
    case KEY_DURATION:
        v.type = key.ptr[0] == KEY_INT ? Q_T_INT : key.ptr[0] == KEY_TIME ? Q_T_TIME : Q_T_DURATION;
        if (len != 8)
            return Q_FAIL;
        v.i = (int64_t)(get_be64(p) ^ SIGN);
        break;
    case KEY_FLOAT:
        v.type = Q_T_FLOAT;
        if (len != 8)
            return Q_FAIL;
        v.f = float_from_sortable(get_be64(p));
        if (!(v.f - v.f == 0)) /* NaN or infinite */
            return Q_FAIL;
        break;
    case KEY_DECIMAL:
        if (len != 24 || !decimal_from_key(p, &v))
            return Q_FAIL;
        break;
    case KEY_STRING:
    case KEY_BYTES:
        v.type = key.ptr[0] == KEY_STRING ? Q_T_STRING : Q_T_BYTES;
        v.s = q_slice_of(p, len);
        if (len > Q_MAX_STRING_BYTES || (v.type == Q_T_STRING && !q_utf8_valid(v.s)))
            return Q_FAIL;
        break;
    case KEY_UUID:
        v.type = Q_T_UUID;
        if (len != sizeof v.uuid)
            return Q_FAIL;
        memcpy(v.uuid, p, sizeof v.uuid);
        break;
    default:
        return Q_FAIL;
    }
    *out = v;
    return Q_OK;
}

/* ---- copies ---------------------------------------------------------------------------------------------------------- */

static bool copy_relation(q_arena *arena, const q_value *v, q_value *out)
{
    q_value *items = Q_NEW_ARRAY(arena, q_value, v->rel.count);
    if (!items)
        return false;
    for (uint32_t i = 0; i < v->rel.count; i++)
        if (!q_value_copy(arena, &v->rel.items[i], &items[i]))
            return false;
    out->rel.items = items;
    return true;
}

bool q_value_copy(q_arena *arena, const q_value *v, q_value *out)
{
    q_value copy = *v;
    bool ok = true;
    if (v->type == Q_T_STRING || v->type == Q_T_BYTES || v->type == Q_T_DOC) {
        copy.s = q_arena_copy(arena, v->s);
        ok = copy.s.ptr != NULL;
    } else if (v->type == Q_T_RELATION && v->rel.count) {
        ok = copy_relation(arena, v, &copy);
    }
    *out = ok ? copy : Q_NULL;
    return ok;
}
