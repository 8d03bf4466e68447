/* Literals: what a token's text means. */
#include "quantaql/parser.h"

#include <assert.h>

static q_expr *literal(q_parser *p, q_pos pos, q_type type)
{
    q_expr *e = q_build_expr(p, Q_X_LITERAL, pos);
    if (e)
        e->value.type = type;
    return e;
}

/* ---- strings ---- */

static int hex4(const char *s)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | (c >> 6));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | (c >> 12));
        *out++ = (char)(0x80 | ((c >> 6) & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xF0 | (c >> 18));
        *out++ = (char)(0x80 | ((c >> 12) & 0x3F));
        *out++ = (char)(0x80 | ((c >> 6) & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

/* Where in the text `at` lies, for an error inside a string. The lexer may be on a later line already. */
static q_pos place(const q_parser *p, q_tok t, const char *at)
{
    q_lexer lx = p->lexer;
    const char *s = p->lexer.base + t.offset, *line = s;
    q_pos pos = t.pos;
    for (; s < at; s++)
        if (*s == '\n') {
            pos = (q_pos){ pos.line + 1, 1 };
            line = s + 1;
        }
    for (s = line; s < at; s++)
        pos.column += lx.ascii || ((unsigned char)*s & 0xC0) != 0x80;
    return pos;
}

/* One \u escape, or two that make a surrogate pair. Returns what comes after it, NULL after an error. Source: RFC 8259, section 7. */
static const char *unescape_u(q_parser *p, q_tok t, const char *s, const char *end, char **out)
{
    int high = end - s >= 6 ? hex4(s + 2) : -1;
    if (high < 0) {
        q_parse_fail(p, Q_E_QQL_SYNTAX, place(p, t, s), "\\u needs four hexadecimal digits");
        return NULL;
    }
    uint32_t c = (uint32_t)high;
    const char *next = s + 6;
    if (c >= 0xD800 && c <= 0xDFFF) {
        int low = c <= 0xDBFF && end - next >= 6 && next[0] == '\\' && next[1] == 'u' ? hex4(next + 2) : -1;
        if (low < 0xDC00 || low > 0xDFFF) {
            q_parse_fail(p, Q_E_QQL_ENCODING, place(p, t, s), "half of a surrogate pair stands alone");
            return NULL;
        }
        c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)low - 0xDC00);
        next += 6;
    }
    if (c == 0) {
        q_parse_fail(p, Q_E_QQL_ENCODING, place(p, t, s), "a string may not hold a NUL");
        return NULL;
    }
    *out = put_utf8(*out, c);
    return next;
}

static q_slice unescape(q_parser *p, q_tok t, q_slice raw)
{
    char *start = q_arena_alloc(p->arena, raw.len), *out = start; /* no escape is shorter than what it means */
    const char *s = raw.ptr, *end = raw.ptr + raw.len;
    if (!start) {
        q_parse_fail(p, Q_E_LIMIT_MEMORY, t.pos, "the statement's tree needs more memory than one may have");
        return Q_SLICE_NONE;
    }
    while (s < end) {
        const char *back = memchr(s, '\\', (size_t)(end - s));
        size_t plain = (size_t)((back ? back : end) - s);
        memcpy(out, s, plain);
        out += plain;
        if (!back)
            break;
        s = back + 2;
        switch (back[1]) {
        case '"': case '\'': case '\\': case '/': *out++ = back[1]; break;
        case 'b': *out++ = '\b'; break;
        case 'f': *out++ = '\f'; break;
        case 'n': *out++ = '\n'; break;
        case 'r': *out++ = '\r'; break;
        case 't': *out++ = '\t'; break;
        case 'u':
            s = unescape_u(p, t, back, end, &out);
            if (!s)
                return Q_SLICE_NONE;
            break;
        default:
            q_parse_fail(p, Q_E_QQL_SYNTAX, place(p, t, back), "a string knows no such escape");
            q_parse_hint(p, "Escapes are \\\" \\' \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX; a backslash itself is written \\\\.");
            return Q_SLICE_NONE;
        }
    }
    return q_slice_of(start, (size_t)(out - start));
}

q_slice q_tok_string(q_parser *p, q_tok t)
{
    q_slice raw = { p->lexer.base + t.offset + 1, t.len - 2u };
    return t.escaped ? unescape(p, t, raw) : raw;
}

q_slice q_tok_name(q_parser *p, q_tok t)
{
    q_slice s = q_tok_slice(p, t);
    if (s.len == 0 || s.ptr[0] != '`')
        return s;
    s = (q_slice){ s.ptr + 1, s.len - 2 };
    if (!t.escaped)
        return s;
    char *out = q_parse_alloc(p, s.len);
    size_t n = 0;
    if (!out)
        return Q_SLICE_NONE;
    for (size_t i = 0; i < s.len; i++) {
        out[n++] = s.ptr[i];
        i += s.ptr[i] == '`'; /* doubled, says the lexer */
    }
    return q_slice_of(out, n);
}

q_expr *q_build_string(q_parser *p, q_tok t)
{
    q_expr *e = literal(p, t.pos, Q_T_STRING);
    if (e)
        e->value.s = q_tok_string(p, t);
    return e;
}

/* ---- numbers ---- */

bool q_tok_integer(const q_parser *p, q_tok t, int64_t *out)
{
    const char *s = p->lexer.base + t.offset;
    uint64_t v = 0;
    for (uint32_t i = 0; i < t.len; i++) {
        unsigned d = (unsigned)(s[i] - '0');
        if (v > (uint64_t)INT64_MAX / 10 || v * 10 + d > (uint64_t)INT64_MAX)
            return false;
        v = v * 10 + d;
    }
    *out = (int64_t)v;
    return true;
}

static bool read_as(q_parser *p, q_tok t, q_type type, q_value *out)
{
    if (q_value_parse(p->arena, type, q_tok_slice(p, t), out, p->err) == Q_OK)
        return true;
    if (!p->failed) {
        q_parse_failed(p);
        q_at(p->err, t.pos);
    }
    return false;
}

/* A whole number past 64 bits is a decimal. */
q_expr *q_build_integer(q_parser *p, q_tok t)
{
    q_expr *e = literal(p, t.pos, Q_T_INT);
    if (e && !q_tok_integer(p, t, &e->value.i))
        read_as(p, t, Q_T_DECIMAL, &e->value);
    return e;
}

/* Exact when digits and power of ten are both exact doubles. Source: Clinger, "How to read floating point numbers accurately",
 * PLDI 1990. Most numbers that people write are such. */
static bool fast_float(q_slice s, double *out)
{
    static const double tens[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
    uint64_t digits = 0;
    size_t fraction = 0;
    bool dot = false;
    if (s.len > 16)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.') {
            dot = true;
        } else if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return false;
        } else {
            digits = digits * 10 + (uint64_t)(s.ptr[i] - '0');
            fraction += dot;
        }
    }
    *out = (double)digits / tens[fraction]; /* at most 15 digits beside the dot */
    return true;
}

q_expr *q_build_float(q_parser *p, q_tok t)
{
    q_expr *e = literal(p, t.pos, Q_T_FLOAT);
    if (!e)
        return NULL;
    e->name = q_tok_slice(p, t);
    if (!fast_float(e->name, &e->value.f))
        read_as(p, t, Q_T_FLOAT, &e->value);
    return e;
}

static bool negate(q_parser *p, q_expr *e, q_pos pos)
{
    switch (e->value.type) {
    case Q_T_INT:
        e->value.i = -e->value.i; /* a literal is never INT64_MIN before this, except "- -9223372036854775808" */
        return true;
    case Q_T_FLOAT: {
        e->value.f = -e->value.f;
        q_slice text = e->name;
        if (text.len && text.ptr[0] == '-') {
            e->name = (q_slice){ text.ptr + 1, text.len - 1 };
        } else {
            e->name = q_arena_printf(p->arena, "-%.*s", Q_SLICE_FMT(text));
            if (!e->name.ptr)
                q_parse_fail(p, Q_E_LIMIT_MEMORY, pos, "the statement's tree needs more memory than one may have");
        }
        return true;
    }
    case Q_T_DECIMAL:
        e->value.coefficient = -e->value.coefficient;
        if (e->value.scale == 0 && e->value.coefficient == INT64_MIN)
            e->value = (q_value){ .type = Q_T_INT, .i = INT64_MIN };
        return true;
    default:
        return false;
    }
}

q_expr *q_build_negative(q_parser *p, q_tok minus, q_expr *a)
{
    if (!a)
        return NULL;
    bool literal_min = a->kind == Q_X_LITERAL && a->value.type == Q_T_INT && a->value.i == INT64_MIN;
    if (a->kind == Q_X_LITERAL && !literal_min && negate(p, a, minus.pos)) {
        a->pos = minus.pos;
        return a;
    }
    q_expr *e = q_build_expr(p, Q_X_UNARY, minus.pos);
    if (!e)
        return NULL;
    e->op = Q_OP_NEG;
    e->a = a;
    e->height = (uint8_t)(a->height + 1);
    if (e->height > Q_QL_MAX_DEPTH)
        q_parse_fail(p, Q_E_QQL_LIMIT, minus.pos, "expressions may nest %d levels deep", Q_QL_MAX_DEPTH);
    return e;
}

q_expr *q_build_bool(q_parser *p, q_tok t, bool b)
{
    q_expr *e = literal(p, t.pos, Q_T_BOOL);
    if (e)
        e->value.b = b;
    return e;
}

q_expr *q_build_null(q_parser *p, q_tok t) { return literal(p, t.pos, Q_T_NULL); }
