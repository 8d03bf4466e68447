/* arith.c - arithmetic on typed values: nothing overflows silently, no float becomes infinite. */
#include "coordinator/eval.h"

#include <assert.h>
#include <math.h>

#include "schemas/number.h"
#include "schemas/timetext.h"

static q_rc out_of_range(q_err *err, q_type t)
{
    return q_err_set(err, Q_E_VALUE_OUT_OF_RANGE, "The result doesn't fit %s.", q_type_name(t));
}

static q_rc by_zero(q_err *err) { return q_err_set(err, Q_E_VALUE_OUT_OF_RANGE, "Division by zero."); }

static const char *op_sign(q_op op)
{
    switch (op) {
    case Q_OP_ADD: return "+";
    case Q_OP_SUB: return "-";
    case Q_OP_MUL: return "*";
    case Q_OP_DIV: return "/";
    default: return "%";
    }
}

static q_rc wrong_types(q_op op, const q_value *a, const q_value *b, q_err *err)
{
    return q_err_set(err, Q_E_QQL_TYPE, "%s %s %s has no meaning.", q_type_name(a->type), op_sign(op), q_type_name(b->type));
}

/* ---- int, also the microseconds of times and durations ----------------------------------------------------------------- */

static q_rc int_op(q_op op, q_type type, int64_t a, int64_t b, q_value *out, q_err *err)
{
    int64_t r = 0;
    bool over = false;
    switch (op) {
    case Q_OP_ADD:
        over = __builtin_add_overflow(a, b, &r);
        break;
    case Q_OP_SUB:
        over = __builtin_sub_overflow(a, b, &r);
        break;
    case Q_OP_MUL:
        over = __builtin_mul_overflow(a, b, &r);
        break;
    default:
        if (b == 0)
            return by_zero(err);
        if (b == -1) { /* INT64_MIN / -1 traps */
            over = op == Q_OP_DIV && __builtin_sub_overflow((int64_t)0, a, &r);
            break;
        }
        r = op == Q_OP_DIV ? a / b : a % b;
    }
    if (over)
        return out_of_range(err, type);
    *out = (q_value){ .type = type, .i = r };
    return Q_OK;
}

/* ---- float ------------------------------------------------------------------------------------------------------------- */

static q_rc float_value(double f, q_type type, q_value *out, q_err *err)
{
    if (!isfinite(f))
        return out_of_range(err, type);
    *out = (q_value){ .type = Q_T_FLOAT, .f = f };
    return Q_OK;
}

static q_rc float_op(q_op op, double a, double b, q_value *out, q_err *err)
{
    switch (op) {
    case Q_OP_ADD:
        return float_value(a + b, Q_T_FLOAT, out, err);
    case Q_OP_SUB:
        return float_value(a - b, Q_T_FLOAT, out, err);
    case Q_OP_MUL:
        return float_value(a * b, Q_T_FLOAT, out, err);
    default:
        if (b == 0)
            return by_zero(err);
        return float_value(op == Q_OP_DIV ? a / b : fmod(a, b), Q_T_FLOAT, out, err);
    }
}

/* ---- decimal ----------------------------------------------------------------------------------------------------------- */

static __int128 abs128(__int128 v) { return v < 0 ? -v : v; }

static q_rc decimal_value(__int128 coefficient, unsigned scale, q_value *out, q_err *err)
{
    if (!q_decimal_valid(coefficient, scale))
        return out_of_range(err, Q_T_DECIMAL);
    *out = (q_value){ .type = Q_T_DECIMAL, .scale = (uint8_t)scale, .coefficient = coefficient };
    return Q_OK;
}

/* The coefficient of `v` at a scale that isn't smaller; false when it doesn't fit 128 bits. */
static bool rescale(const q_value *v, unsigned scale, __int128 *out)
{
    return !__builtin_mul_overflow(v->coefficient, q_pow10(scale - v->scale), out);
}

static q_rc decimal_add(q_op op, q_value a, q_value b, q_value *out, q_err *err)
{
    __int128 x, y, r;
    unsigned scale = a.scale > b.scale ? a.scale : b.scale;
    if (!rescale(&a, scale, &x) || !rescale(&b, scale, &y))
        return out_of_range(err, Q_T_DECIMAL);
    bool over = op == Q_OP_ADD ? __builtin_add_overflow(x, y, &r) : __builtin_sub_overflow(x, y, &r);
    return over ? out_of_range(err, Q_T_DECIMAL) : decimal_value(r, scale, out, err);
}

/* A product has up to 68 digits. Limbs of 17 digits: a limb times a limb fits 128 bits, and so does a remainder below 10^18 put
 * before a limb when it is divided. (Knuth, The Art of Computer Programming 2, 4.3.1.) */
static q_rc decimal_mul(const q_value *a, const q_value *b, q_value *out, q_err *err)
{
    const __int128 limb = q_pow10(17);
    __int128 x = abs128(a->coefficient), y = abs128(b->coefficient);
    __int128 x0 = x % limb, x1 = x / limb, y0 = y % limb, y1 = y / limb;
    __int128 d[4] = { x0 * y0, x1 * y0 + x0 * y1, x1 * y1, 0 };
    for (int i = 0; i < 3; i++) {
        d[i + 1] += d[i] / limb;
        d[i] %= limb;
    }
    unsigned scale = (unsigned)a->scale + b->scale, drop = 0;
    if (scale > Q_DECIMAL_MAX_SCALE) {
        drop = scale - Q_DECIMAL_MAX_SCALE;
        scale = Q_DECIMAL_MAX_SCALE;
    }
    __int128 by = q_pow10(drop), rest = 0;
    for (int i = 3; i >= 0; i--) {
        __int128 n = rest * limb + d[i];
        d[i] = n / by;
        rest = n % by;
    }
    if (d[3] || d[2])
        return out_of_range(err, Q_T_DECIMAL);
    __int128 r = d[1] * limb + d[0];
    if (drop && rest * 2 >= by)
        r++;
    bool negative = (a->coefficient < 0) != (b->coefficient < 0);
    return decimal_value(negative ? -r : r, scale, out, err);
}

/* Digit by digit until it comes out even, 18 places, or 34 digits. */
static q_rc decimal_div(q_value a, q_value b, q_value *out, q_err *err)
{
    if (b.coefficient == 0)
        return by_zero(err);
    q_decimal_normalise(&a);
    q_decimal_normalise(&b);
    bool negative = (a.coefficient < 0) != (b.coefficient < 0);
    __int128 x = abs128(a.coefficient), y = abs128(b.coefficient);
    __int128 q = x / y, rest = x % y;
    int scale = (int)a.scale - (int)b.scale;
    const __int128 most = q_pow10(Q_DECIMAL_MAX_DIGITS - 1);
    while ((rest || scale < 0) && scale < Q_DECIMAL_MAX_SCALE && q < most) {
        q = q * 10 + rest * 10 / y;
        rest = rest * 10 % y;
        scale++;
    }
    if (scale < 0)
        return out_of_range(err, Q_T_DECIMAL);
    if (rest * 2 >= y)
        q++;
    q_rc rc = decimal_value(negative ? -q : q, (unsigned)scale, out, err);
    if (rc == Q_OK)
        q_decimal_normalise(out);
    return rc;
}

static q_rc decimal_mod(q_value a, q_value b, q_value *out, q_err *err)
{
    __int128 x, y;
    if (b.coefficient == 0)
        return by_zero(err);
    q_decimal_normalise(&a);
    q_decimal_normalise(&b);
    unsigned scale = a.scale > b.scale ? a.scale : b.scale;
    if (!rescale(&a, scale, &x) || !rescale(&b, scale, &y))
        return out_of_range(err, Q_T_DECIMAL);
    return decimal_value(x % y, scale, out, err);
}

static q_rc decimal_op(q_op op, const q_value *a, const q_value *b, q_value *out, q_err *err)
{
    switch (op) {
    case Q_OP_ADD:
    case Q_OP_SUB:
        return decimal_add(op, *a, *b, out, err);
    case Q_OP_MUL:
        return decimal_mul(a, b, out, err);
    case Q_OP_DIV:
        return decimal_div(*a, *b, out, err);
    default:
        return decimal_mod(*a, *b, out, err);
    }
}

/* ---- numbers together --------------------------------------------------------------------------------------------------- */

static bool is_number(q_type t) { return t == Q_T_INT || t == Q_T_FLOAT || t == Q_T_DECIMAL; }

static double to_double(const q_value *v)
{
    if (v->type == Q_T_INT)
        return (double)v->i;
    return v->type == Q_T_FLOAT ? v->f : (double)v->coefficient / (double)q_pow10(v->scale);
}

static q_value to_decimal(const q_value *v)
{
    return v->type == Q_T_INT ? (q_value){ .type = Q_T_DECIMAL, .coefficient = v->i } : *v;
}

static q_rc number_op(q_op op, const q_value *a, const q_value *b, q_value *out, q_err *err)
{
    if (a->type == Q_T_INT && b->type == Q_T_INT)
        return int_op(op, Q_T_INT, a->i, b->i, out, err);
    if (a->type == Q_T_FLOAT || b->type == Q_T_FLOAT)
        return float_op(op, to_double(a), to_double(b), out, err);
    q_value x = to_decimal(a), y = to_decimal(b);
    return decimal_op(op, &x, &y, out, err);
}

/* ---- times and durations ------------------------------------------------------------------------------------------------ */

static q_rc duration_from_double(double us, q_value *out, q_err *err)
{
    us = nearbyint(us);
    if (!(us >= -0x1p63 && us < 0x1p63))
        return out_of_range(err, Q_T_DURATION);
    *out = (q_value){ .type = Q_T_DURATION, .i = (int64_t)us };
    return Q_OK;
}

/* duration * number, duration / number. A decimal is exact where it fits, so that no microsecond is lost to a double. */
static q_rc duration_scale(q_op op, int64_t us, const q_value *n, q_value *out, q_err *err)
{
    if (n->type == Q_T_INT)
        return int_op(op, Q_T_DURATION, us, n->i, out, err);
    if (op == Q_OP_DIV && (n->type == Q_T_FLOAT ? n->f == 0 : n->coefficient == 0))
        return by_zero(err);
    if (n->type == Q_T_FLOAT)
        return duration_from_double(op == Q_OP_MUL ? (double)us * n->f : (double)us / n->f, out, err);
    q_value d = { .type = Q_T_DECIMAL, .coefficient = us }, r;
    q_rc rc = decimal_op(op, &d, n, &r, err);
    if (rc != Q_OK)
        return rc;
    __int128 unit = q_pow10(r.scale), whole = r.coefficient / unit, rest = abs128(r.coefficient % unit);
    if (rest * 2 >= unit)
        whole += r.coefficient < 0 ? -1 : 1;
    if (whole > INT64_MAX || whole < INT64_MIN)
        return out_of_range(err, Q_T_DURATION);
    *out = (q_value){ .type = Q_T_DURATION, .i = (int64_t)whole };
    return Q_OK;
}

static q_rc time_op(q_op op, const q_value *a, const q_value *b, q_value *out, q_err *err)
{
    if (a->type == Q_T_TIME && b->type == Q_T_TIME && op == Q_OP_SUB)
        return int_op(op, Q_T_DURATION, a->i, b->i, out, err);
    bool shift = (a->type == Q_T_TIME && b->type == Q_T_DURATION && (op == Q_OP_ADD || op == Q_OP_SUB)) ||
                 (a->type == Q_T_DURATION && b->type == Q_T_TIME && op == Q_OP_ADD);
    if (!shift)
        return wrong_types(op, a, b, err);
    q_rc rc = int_op(op, Q_T_TIME, a->i, b->i, out, err);
    if (rc == Q_OK && (out->i < Q_TIME_MIN_US || out->i > Q_TIME_MAX_US))
        return out_of_range(err, Q_T_TIME);
    return rc;
}

static q_rc duration_op(q_op op, const q_value *a, const q_value *b, q_value *out, q_err *err)
{
    if (a->type == Q_T_DURATION && b->type == Q_T_DURATION) {
        if (op == Q_OP_DIV)
            return float_op(op, (double)a->i, (double)b->i, out, err);
        if (op == Q_OP_MUL)
            return wrong_types(op, a, b, err);
        return int_op(op, Q_T_DURATION, a->i, b->i, out, err);
    }
    if (a->type == Q_T_DURATION && is_number(b->type) && (op == Q_OP_MUL || op == Q_OP_DIV))
        return duration_scale(op, a->i, b, out, err);
    if (b->type == Q_T_DURATION && is_number(a->type) && op == Q_OP_MUL)
        return duration_scale(op, b->i, a, out, err);
    return wrong_types(op, a, b, err);
}

q_rc q_arith(q_op op, const q_value *a, const q_value *b, q_value *out, q_err *err)
{
    assert(op >= Q_OP_ADD && op <= Q_OP_MOD && a->type != Q_T_NULL && b->type != Q_T_NULL);
    if (is_number(a->type) && is_number(b->type))
        return number_op(op, a, b, out, err);
    if (a->type == Q_T_TIME || b->type == Q_T_TIME)
        return time_op(op, a, b, out, err);
    if (a->type == Q_T_DURATION || b->type == Q_T_DURATION)
        return duration_op(op, a, b, out, err);
    return wrong_types(op, a, b, err);
}

q_rc q_arith_negate(const q_value *a, q_value *out, q_err *err)
{
    switch (a->type) {
    case Q_T_INT:
    case Q_T_DURATION:
        return int_op(Q_OP_SUB, a->type, 0, a->i, out, err);
    case Q_T_FLOAT:
        return float_op(Q_OP_SUB, 0, a->f, out, err);
    case Q_T_DECIMAL:
        return decimal_value(-a->coefficient, a->scale, out, err);
    default:
        return q_err_set(err, Q_E_QQL_TYPE, "-%s has no meaning.", q_type_name(a->type));
    }
}
