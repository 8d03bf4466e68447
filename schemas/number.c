#include "schemas/number.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

__int128 q_pow10(unsigned n)
{
    static const int64_t small[19] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000,
        100000000000, 1000000000000, 10000000000000, 100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
        1000000000000000000 };
    assert(n <= 36);
    return n <= 18 ? small[n] : (__int128)small[18] * small[(n - 18) % 19];
}

bool q_decimal_valid(__int128 coefficient, unsigned scale)
{
    __int128 bound = q_pow10(Q_DECIMAL_MAX_DIGITS);
    return scale <= Q_DECIMAL_MAX_SCALE && coefficient < bound && coefficient > -bound;
}

void q_decimal_normalise(q_value *v)
{
    while (v->scale > 0 && v->coefficient % 10 == 0) {
        v->coefficient /= 10;
        v->scale--;
    }
}

/* ---- exact comparison ------------------------------------------------------------------------------------------------ */

static int cmp128(__int128 a, __int128 b) { return (a > b) - (a < b); }

/* A number below 10^38 as an integer part and 10^-18ths; both have the number's sign. */
typedef struct fixed {
    __int128 whole;
    int64_t e18;
} fixed;

static fixed fixed_of(const q_value *v)
{
    if (v->type == Q_T_INT)
        return (fixed){ v->i, 0 };
    __int128 unit = q_pow10(v->scale);
    return (fixed){ v->coefficient / unit, (int64_t)(v->coefficient % unit * q_pow10(Q_DECIMAL_MAX_SCALE - v->scale)) };
}

/* Compares x18 * 10^-18 with a fraction `f` in [0, 1), both not negative. f = m * 2^-k with m < 2^53, so m * 10^18 < 2^113 fits. */
static int cmp_fraction(int64_t x18, double f)
{
    int exponent = 0;
    double m = frexp(f, &exponent); /* f < 1: exponent <= 0 */
    __int128 scaled = (__int128)(int64_t)ldexp(m, 53) * q_pow10(18);
    int k = 53 - exponent;
    __int128 floor18 = k < 127 ? scaled >> k : 0;
    if (x18 != floor18)
        return cmp128(x18, floor18);
    __int128 rest = k < 127 ? scaled - (floor18 << k) : scaled;
    return rest ? -1 : 0;
}

static int cmp_fixed_float(fixed x, double f)
{
    if (f >= 1e38)
        return -1;
    if (f <= -1e38)
        return 1;
    double whole = trunc(f);
    __int128 w = (__int128)whole;
    if (x.whole != w)
        return cmp128(x.whole, w);
    double rest = f - whole; /* exact */
    int sign = (x.e18 > 0) - (x.e18 < 0), f_sign = (rest > 0) - (rest < 0);
    if (sign != f_sign)
        return sign > f_sign ? 1 : -1;
    return sign == 0 ? 0 : sign > 0 ? cmp_fraction(x.e18, rest) : -cmp_fraction(-x.e18, -rest);
}

int q_number_cmp(const q_value *a, const q_value *b)
{
    if (a->type == Q_T_INT && b->type == Q_T_INT)
        return (a->i > b->i) - (a->i < b->i);
    if (a->type == Q_T_FLOAT && b->type == Q_T_FLOAT)
        return (a->f > b->f) - (a->f < b->f);
    if (a->type == Q_T_FLOAT)
        return -cmp_fixed_float(fixed_of(b), a->f);
    if (b->type == Q_T_FLOAT)
        return cmp_fixed_float(fixed_of(a), b->f);
    fixed x = fixed_of(a), y = fixed_of(b);
    int c = cmp128(x.whole, y.whole);
    return c ? c : (x.e18 > y.e18) - (x.e18 < y.e18);
}

/* ---- text ------------------------------------------------------------------------------------------------------------ */

/* Digits of `u`, right-aligned at `end`; returns where they start. */
static char *digits(char *end, unsigned __int128 u)
{
    char *p = end;
    do {
        *--p = (char)('0' + (int)(u % 10));
        u /= 10;
    } while (u);
    return p;
}

static char *digits64(char *end, uint64_t u)
{
    char *p = end;
    do {
        *--p = (char)('0' + (int)(u % 10));
        u /= 10;
    } while (u);
    return p;
}

size_t q_int_text(int64_t i, char out[Q_NUMBER_TEXT_BYTES])
{
    char tmp[24], *end = tmp + sizeof tmp;
    char *p = digits64(end, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
    if (i < 0)
        *--p = '-';
    size_t n = (size_t)(end - p);
    memcpy(out, p, n);
    out[n] = '\0';
    return n;
}

/* "-12.05" of -12050 */
static size_t thousandths(int64_t n, char *out)
{
    size_t len = 0;
    uint64_t u = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    if (n < 0)
        out[len++] = '-';
    len += q_int_text((int64_t)(u / 1000), out + len);
    out[len++] = '.';
    for (uint64_t rest = u % 1000, place = 100; rest; rest %= place, place /= 10)
        out[len++] = (char)('0' + rest / place);
    out[len] = '\0';
    return len;
}

size_t q_float_text(double f, char out[Q_NUMBER_TEXT_BYTES])
{
    size_t n;
    if (f == trunc(f) && fabs(f) < 1e15) { /* most amounts and counts: no need of printf */
        n = q_int_text((int64_t)f, out);
        if (f == 0 && signbit(f)) { /* -0.0 is one of two zeros: shown as 0.0, so that equal values have one text */
            out[0] = '0';
            n = 1;
        }
    } else if (fabs(f) < 1e12 && fabs(f) >= 1e-3 && (double)(int64_t)rint(f * 1000) / 1000 == f) {
        n = thousandths((int64_t)rint(f * 1000), out); /* prices: the nearest double of at most 15 digits, so nothing shorter is the same */
    } else {
        n = (size_t)snprintf(out, Q_NUMBER_TEXT_BYTES, "%.15g", f);
        if (strtod(out, NULL) != f) {
            n = (size_t)snprintf(out, Q_NUMBER_TEXT_BYTES, "%.16g", f);
            if (strtod(out, NULL) != f)
                n = (size_t)snprintf(out, Q_NUMBER_TEXT_BYTES, "%.17g", f);
        }
    }
    if (!memchr(out, '.', n) && !memchr(out, 'e', n)) {
        out[n++] = '.';
        out[n++] = '0';
        out[n] = '\0';
    }
    return n;
}

size_t q_decimal_text(const q_value *v, char out[Q_NUMBER_TEXT_BYTES])
{
    q_value d = *v;
    q_decimal_normalise(&d);
    bool negative = d.coefficient < 0;
    unsigned __int128 u = negative ? 0 - (unsigned __int128)d.coefficient : (unsigned __int128)d.coefficient;
    char tmp[64], *end = tmp + sizeof tmp;
    char *p = digits(end, u);
    while ((size_t)(end - p) <= d.scale) /* at least one digit before the point */
        *--p = '0';
    size_t whole = (size_t)(end - p) - d.scale, n = 0;
    if (negative)
        out[n++] = '-';
    memcpy(out + n, p, whole);
    n += whole;
    if (d.scale) {
        out[n++] = '.';
        memcpy(out + n, p + whole, d.scale);
        n += d.scale;
    }
    out[n] = '\0';
    return n;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool q_int_parse(q_slice text, int64_t *out)
{
    size_t at = 0;
    bool negative = text.len && text.ptr[0] == '-';
    if (text.len && (text.ptr[0] == '-' || text.ptr[0] == '+'))
        at = 1;
    if (at == text.len)
        return false;
    uint64_t u = 0, limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    for (; at < text.len; at++) {
        if (!is_digit(text.ptr[at]))
            return false;
        uint64_t digit = (uint64_t)(text.ptr[at] - '0');
        if (u > (limit - digit) / 10)
            return false;
        u = u * 10 + digit;
    }
    *out = negative ? (int64_t)(0 - u) : (int64_t)u;
    return true;
}

/* [+-] digits [. digits] [e [+-] digits]: where the parts are. At least one digit before the exponent. */
typedef struct number_shape {
    bool negative;
    q_slice whole, fraction;
    int exponent; /* cut at ±100000: far outside of every type */
} number_shape;

static bool shape_of(q_slice t, number_shape *s)
{
    size_t at = 0;
    *s = (number_shape){ .negative = t.len && t.ptr[0] == '-' };
    if (t.len && (t.ptr[0] == '-' || t.ptr[0] == '+'))
        at++;
    size_t from = at;
    while (at < t.len && is_digit(t.ptr[at]))
        at++;
    s->whole = q_slice_of(t.ptr + from, at - from);
    if (at < t.len && t.ptr[at] == '.') {
        from = ++at;
        while (at < t.len && is_digit(t.ptr[at]))
            at++;
        s->fraction = q_slice_of(t.ptr + from, at - from);
    }
    if (s->whole.len + s->fraction.len == 0)
        return false;
    if (at < t.len && (t.ptr[at] == 'e' || t.ptr[at] == 'E')) {
        at++;
        bool down = at < t.len && t.ptr[at] == '-';
        if (at < t.len && (t.ptr[at] == '-' || t.ptr[at] == '+'))
            at++;
        if (at == t.len)
            return false;
        for (; at < t.len && is_digit(t.ptr[at]); at++)
            if (s->exponent < 100000)
                s->exponent = s->exponent * 10 + (t.ptr[at] - '0');
        if (down)
            s->exponent = -s->exponent;
    }
    return at == t.len;
}

bool q_float_parse(q_slice text, double *out)
{
    enum { MAX_TEXT = 1100 }; /* the longest exact double has 767 significant digits */
    number_shape s;
    char copy[MAX_TEXT + 1];
    if (text.len == 0 || text.len > MAX_TEXT || !shape_of(text, &s))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    double f = strtod(copy, NULL);
    if (!isfinite(f))
        return false;
    *out = f;
    return true;
}

/* The i-th digit of a number's digits, the point left out. */
static char digit_at(const number_shape *s, size_t i)
{
    return i < s->whole.len ? s->whole.ptr[i] : s->fraction.ptr[i - s->whole.len];
}

bool q_decimal_parse(q_slice text, q_value *out)
{
    number_shape s;
    if (text.len == 0 || text.len > 4096 || !shape_of(text, &s))
        return false;
    size_t from = 0, to = s.whole.len + s.fraction.len; /* of the significant digits */
    while (from < to && digit_at(&s, from) == '0')
        from++;
    while (to > from && digit_at(&s, to - 1) == '0')
        to--;
    *out = (q_value){ .type = Q_T_DECIMAL };
    if (from == to)
        return true;
    if (to - from > Q_DECIMAL_MAX_DIGITS)
        return false;
    int exponent = (int)s.whole.len + s.exponent - (int)to; /* of the last significant digit */
    if (exponent < -Q_DECIMAL_MAX_SCALE || (exponent > 0 && (int)(to - from) + exponent > Q_DECIMAL_MAX_DIGITS))
        return false;
    for (size_t i = from; i < to; i++)
        out->coefficient = out->coefficient * 10 + (digit_at(&s, i) - '0');
    if (exponent > 0)
        out->coefficient *= q_pow10((unsigned)exponent);
    else
        out->scale = (uint8_t)-exponent;
    if (s.negative)
        out->coefficient = -out->coefficient;
    return true;
}
