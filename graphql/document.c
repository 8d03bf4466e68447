#include "graphql/document.h"

#include <stdarg.h>
#include <stdio.h>

typedef enum token_kind { T_END = 0, T_NAME = 'N', T_INT = 'I', T_FLOAT = 'F', T_STRING = 'S', T_SPREAD = '.' } token_kind;

typedef struct parser {
    q_arena *arena;
    q_err *err;
    const char *at, *end, *line_start;
    uint32_t line, tokens, depth;
    bool failed;
    int kind;          /* of the token that is next: token_kind, or the punctuator itself */
    q_slice text;
    q_gql_pos pos;
} parser;

q_rc q_gql_fail(q_err *err, q_code code, q_gql_pos pos, const char *format, ...)
{
    char text[240];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    q_err_set(err, code, "%s", text);
    err->line = pos.line;
    err->column = pos.column;
    return Q_FAIL;
}

static void fail(parser *p, q_code code, const char *what)
{
    if (!p->failed)
        q_gql_fail(p->err, code, p->pos, "%s", what);
    p->failed = true;
    p->kind = T_END;
    p->at = p->end;
}

static void *made(parser *p, void *memory)
{
    if (!memory)
        fail(p, Q_E_LIMIT_MEMORY, "No memory for the request.");
    return memory;
}

/* ---- tokens ---- */

static bool is_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void new_line(parser *p)
{
    p->line++;
    p->line_start = p->at;
}

static void skip_ignored(parser *p)
{
    while (p->at < p->end) {
        char c = *p->at;
        if (c == '#') {
            while (p->at < p->end && *p->at != '\n' && *p->at != '\r')
                p->at++;
        } else if (c == '\n' || c == '\r') {
            p->at += c == '\r' && p->end - p->at > 1 && p->at[1] == '\n' ? 2 : 1;
            new_line(p);
        } else if (c == ' ' || c == '\t' || c == ',') {
            p->at++;
        } else if (p->end - p->at >= 3 && memcmp(p->at, "\xEF\xBB\xBF", 3) == 0) {
            p->at += 3;
        } else {
            return;
        }
    }
}

static uint32_t column(const parser *p)
{
    uint32_t n = 1;
    for (const char *s = p->line_start; s < p->at; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static int hex(char c) { return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* The code unit behind \u: XXXX or {X…}. -1: none. */
static int32_t unit(parser *p)
{
    int32_t value = 0;
    bool braces = p->at < p->end && *p->at == '{';
    int digits = 0, most = braces ? 8 : 4;
    p->at += braces;
    for (; p->at < p->end && digits < most && hex(*p->at) >= 0 && value <= 0x10FFFF; digits++)
        value = value * 16 + hex(*p->at++);
    if (braces) {
        if (p->at >= p->end || *p->at++ != '}' || !digits || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
            return -1;
    } else if (digits != 4) {
        return -1;
    }
    return value;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 63));
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    }
    return to;
}

static char *read_escape(parser *p, char *to)
{
    static const char from[] = "\"\\/bfnrt", as[] = "\"\\/\b\f\n\r\t";
    char c = p->at < p->end ? *p->at++ : '\0';
    const char *plain = c ? strchr(from, c) : NULL;
    if (plain) {
        *to = as[plain - from];
        return to + 1;
    }
    int32_t high = c == 'u' ? unit(p) : -1;
    if (high >= 0xD800 && high < 0xDC00 && p->end - p->at >= 2 && p->at[0] == '\\' && p->at[1] == 'u') {
        p->at += 2;
        int32_t low = unit(p);
        high = low >= 0xDC00 && low < 0xE000 ? 0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00) : -1;
    }
    if (high < 0 || (high >= 0xD800 && high < 0xE000)) {
        fail(p, Q_E_QQL_SYNTAX, "An escape in a string that isn't one.");
        return to;
    }
    return put_utf8(to, (uint32_t)high);
}

static void read_string(parser *p)
{
    size_t room = (size_t)(p->end - p->at) + 1;
    char *start = made(p, q_arena_alloc(p->arena, room)), *to = start; /* no escape is longer than what it stands for */
    if (!start)
        return;
    while (!p->failed) {
        if (p->at >= p->end || *p->at == '\n' || *p->at == '\r' || ((unsigned char)*p->at < 0x20 && *p->at != '\t')) {
            fail(p, Q_E_QQL_SYNTAX, "A string without its end.");
            return;
        }
        char c = *p->at++;
        if (c == '"')
            break;
        if (c == '\\')
            to = read_escape(p, to);
        else
            *to++ = c;
    }
    p->kind = p->failed ? T_END : T_STRING;
    p->text = (q_slice){ start, (size_t)(to - start) };
    q_arena_shrink(p->arena, start, room, p->text.len + 1);
}

static size_t line_length(const char *s, const char *end)
{
    const char *n = s;
    while (n < end && *n != '\n')
        n++;
    return (size_t)(n - s);
}

static size_t indent_of(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && (s[n] == ' ' || s[n] == '\t'))
        n++;
    return n;
}

/* The common indent and blank lines at both ends go. Source: specification, 2.9.4, BlockStringValue. In place. */
static size_t strip_block(char *text, size_t len)
{
    const char *end = text + len;
    size_t common = SIZE_MAX, out = 0, kept = 0;
    bool begun = false;
    for (const char *s = text, *first = text; s <= end; s += line_length(s, end) + 1) {
        size_t n = line_length(s, end), indent = indent_of(s, n);
        if (s != first && indent < n && indent < common)
            common = indent;
    }
    bool first = true;
    for (const char *s = text; s <= end;) {
        size_t n = line_length(s, end), cut = first || common == SIZE_MAX ? 0 : common < n ? common : n;
        bool blank = indent_of(s, n) == n;
        const char *next = s + n + 1;
        if (begun || !blank) {
            if (begun)
                text[out++] = '\n';
            memmove(text + out, s + cut, n - cut);
            out += n - cut;
            begun = true;
            kept = blank ? kept : out;
        }
        first = false;
        s = next;
    }
    return kept;
}

static void read_block(parser *p)
{
    size_t room = (size_t)(p->end - p->at) + 1;
    char *start = made(p, q_arena_alloc(p->arena, room)), *to = start;
    if (!start)
        return;
    for (;;) {
        if (p->end - p->at < 3 || ((unsigned char)*p->at < 0x20 && !strchr("\t\r\n", *p->at))) {
            fail(p, Q_E_QQL_SYNTAX, "A block string without its end.");
            return;
        }
        if (memcmp(p->at, "\"\"\"", 3) == 0)
            break;
        if (p->end - p->at >= 4 && memcmp(p->at, "\\\"\"\"", 4) == 0) {
            memcpy(to, "\"\"\"", 3);
            to += 3;
            p->at += 4;
        } else if (*p->at == '\n' || *p->at == '\r') {
            p->at += *p->at == '\r' && p->end - p->at > 1 && p->at[1] == '\n' ? 2 : 1;
            *to++ = '\n';
            new_line(p);
        } else {
            *to++ = *p->at++;
        }
    }
    p->at += 3;
    p->kind = T_STRING;
    p->text = (q_slice){ start, strip_block(start, (size_t)(to - start)) };
    q_arena_shrink(p->arena, start, room, p->text.len + 1);
}

static void read_number(parser *p)
{
    const char *start = p->at;
    bool whole = true;
    p->at += *p->at == '-';
    const char *digits = p->at;
    while (p->at < p->end && is_digit(*p->at))
        p->at++;
    bool ok = p->at > digits && (*digits != '0' || p->at - digits == 1);
    if (ok && p->at < p->end && *p->at == '.') {
        const char *from = ++p->at;
        while (p->at < p->end && is_digit(*p->at))
            p->at++;
        ok = p->at > from;
        whole = false;
    }
    if (ok && p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        p->at += p->at < p->end && (*p->at == '+' || *p->at == '-');
        const char *from = p->at;
        while (p->at < p->end && is_digit(*p->at))
            p->at++;
        ok = p->at > from;
        whole = false;
    }
    if (!ok || (p->at < p->end && (is_start(*p->at) || is_digit(*p->at) || *p->at == '.'))) {
        fail(p, Q_E_QQL_SYNTAX, "A number that isn't one.");
        return;
    }
    p->kind = whole ? T_INT : T_FLOAT;
    p->text = (q_slice){ start, (size_t)(p->at - start) };
}

static void advance(parser *p)
{
    skip_ignored(p);
    p->pos = (q_gql_pos){ p->line, column(p) };
    if (p->at >= p->end || p->failed) {
        p->kind = T_END;
        return;
    }
    if (++p->tokens > Q_GQL_MAX_TOKENS) {
        fail(p, Q_E_QQL_LIMIT, "The document has too many tokens.");
        return;
    }
    const char *start = p->at;
    char c = *p->at;
    if (is_start(c)) {
        while (p->at < p->end && (is_start(*p->at) || is_digit(*p->at)))
            p->at++;
        p->kind = T_NAME;
        p->text = (q_slice){ start, (size_t)(p->at - start) };
    } else if (is_digit(c) || c == '-') {
        read_number(p);
    } else if (c == '"') {
        bool block = p->end - p->at >= 3 && memcmp(p->at, "\"\"\"", 3) == 0;
        p->at += block ? 3 : 1;
        if (block)
            read_block(p);
        else
            read_string(p);
    } else if (p->end - p->at >= 3 && memcmp(p->at, "...", 3) == 0) {
        p->at += 3;
        p->kind = T_SPREAD;
    } else if (strchr("!$&():=@[]{|}", c) && c) {
        p->at++;
        p->kind = c;
    } else {
        fail(p, Q_E_QQL_SYNTAX, "A character that GraphQL doesn't have here.");
    }
}

static bool take(parser *p, int kind)
{
    if (p->kind != kind || p->failed)
        return false;
    advance(p);
    return true;
}

static void expect(parser *p, int kind)
{
    char what[] = "\"x\" is missing here.";
    what[1] = (char)kind;
    if (!take(p, kind))
        fail(p, Q_E_QQL_SYNTAX, what);
}

static q_slice name(parser *p)
{
    q_slice s = p->text;
    if (p->kind != T_NAME) {
        fail(p, Q_E_QQL_SYNTAX, "A name is missing here.");
        return Q_SLICE_NONE;
    }
    advance(p);
    return s;
}

static bool is_word(const parser *p, const char *word) { return p->kind == T_NAME && q_slice_eq(p->text, q_slice_cstr(word)); }

static bool deeper(parser *p)
{
    if (++p->depth > Q_GQL_MAX_DEPTH)
        fail(p, Q_E_QQL_LIMIT, "The document is nested too deeply.");
    return !p->failed;
}

/* ---- values ---- */

static q_gql_value *read_value(parser *p, bool constant);

static void read_items(parser *p, q_gql_value *v, bool constant)
{
    q_gql_value **last = &v->first;
    int close = v->kind == Q_GQL_LIST ? ']' : '}';
    while (!p->failed && !take(p, close)) {
        q_slice key = Q_SLICE_NONE;
        if (v->kind == Q_GQL_OBJECT) {
            key = name(p);
            expect(p, ':');
        }
        q_gql_value *item = read_value(p, constant);
        if (!item)
            return;
        item->name = key;
        *last = item;
        last = &item->next;
    }
}

static q_gql_value *read_value(parser *p, bool constant)
{
    q_gql_value *v = made(p, Q_NEW(p->arena, q_gql_value));
    if (!v || p->failed || !deeper(p))
        return NULL;
    v->pos = p->pos;
    v->text = p->text;
    switch (p->kind) {
    case T_INT:
        v->kind = Q_GQL_INT;
        break;
    case T_FLOAT:
        v->kind = Q_GQL_FLOAT;
        break;
    case T_STRING:
        v->kind = Q_GQL_STRING;
        break;
    case T_NAME:
        v->truth = is_word(p, "true");
        v->kind = v->truth || is_word(p, "false") ? Q_GQL_BOOL : is_word(p, "null") ? Q_GQL_NULL : Q_GQL_ENUM;
        break;
    case '[':
        v->kind = Q_GQL_LIST;
        break;
    case '{':
        v->kind = Q_GQL_OBJECT;
        break;
    case '$':
        v->kind = Q_GQL_VARIABLE;
        if (constant)
            fail(p, Q_E_QQL_SYNTAX, "No variable can stand here.");
        break;
    default:
        fail(p, Q_E_QQL_SYNTAX, "A value is missing here.");
        return NULL;
    }
    advance(p);
    if (v->kind == Q_GQL_VARIABLE)
        v->text = name(p);
    if (v->kind == Q_GQL_LIST || v->kind == Q_GQL_OBJECT)
        read_items(p, v, constant);
    p->depth--;
    return p->failed ? NULL : v;
}

static q_gql_value *read_args(parser *p, bool constant)
{
    q_gql_value *first = NULL, **last = &first;
    if (!take(p, '('))
        return NULL;
    do {
        q_gql_pos pos = p->pos;
        q_slice key = name(p);
        expect(p, ':');
        q_gql_value *v = read_value(p, constant);
        if (!v)
            return NULL;
        v->name = key;
        v->pos = pos;
        *last = v;
        last = &v->next;
    } while (!p->failed && !take(p, ')'));
    return first;
}

static q_gql_directive *read_directives(parser *p, bool constant)
{
    q_gql_directive *first = NULL, **last = &first;
    while (p->kind == '@' && !p->failed) {
        q_gql_directive *d = made(p, Q_NEW(p->arena, q_gql_directive));
        if (!d)
            return NULL;
        d->pos = p->pos;
        advance(p);
        d->name = name(p);
        d->args = read_args(p, constant);
        *last = d;
        last = &d->next;
    }
    return first;
}

/* ---- selections ---- */

static q_gql_selection *read_selections(parser *p);

static void read_field(parser *p, q_gql_selection *s)
{
    s->kind = Q_GQL_FIELD;
    s->key = s->name = name(p);
    if (take(p, ':'))
        s->name = name(p);
    s->args = read_args(p, false);
    s->directives = read_directives(p, false);
    if (p->kind == '{')
        s->first = read_selections(p);
}

static void read_spread(parser *p, q_gql_selection *s)
{
    s->kind = Q_GQL_INLINE;
    if (p->kind == T_NAME && !is_word(p, "on")) {
        s->kind = Q_GQL_SPREAD;
        s->name = name(p);
        s->directives = read_directives(p, false);
        return;
    }
    if (is_word(p, "on")) {
        advance(p);
        s->name = name(p);
    }
    s->directives = read_directives(p, false);
    s->first = read_selections(p);
}

static q_gql_selection *read_selections(parser *p)
{
    q_gql_selection *first = NULL, **last = &first;
    if (!deeper(p))
        return NULL;
    expect(p, '{');
    do {
        q_gql_selection *s = p->failed ? NULL : made(p, Q_NEW(p->arena, q_gql_selection));
        if (!s)
            return NULL;
        s->pos = p->pos;
        if (take(p, T_SPREAD))
            read_spread(p, s);
        else
            read_field(p, s);
        *last = s;
        last = &s->next;
    } while (!p->failed && !take(p, '}'));
    p->depth--;
    return first;
}

/* ---- definitions ---- */

static q_gql_ref *read_ref(parser *p)
{
    q_gql_ref *r = made(p, Q_NEW(p->arena, q_gql_ref));
    if (!r || !deeper(p))
        return NULL;
    if (take(p, '[')) {
        r->inner = read_ref(p);
        expect(p, ']');
    } else {
        r->name = name(p);
    }
    r->required = take(p, '!');
    p->depth--;
    return p->failed ? NULL : r;
}

static q_gql_variable *read_variables(parser *p)
{
    q_gql_variable *first = NULL, **last = &first;
    if (!take(p, '('))
        return NULL;
    do {
        q_gql_variable *v = p->failed ? NULL : made(p, Q_NEW(p->arena, q_gql_variable));
        if (!v)
            return NULL;
        v->pos = p->pos;
        expect(p, '$');
        v->name = name(p);
        expect(p, ':');
        v->type = read_ref(p);
        if (take(p, '='))
            v->standard = read_value(p, true);
        v->directives = read_directives(p, true);
        *last = v;
        last = &v->next;
    } while (!p->failed && !take(p, ')'));
    return first;
}

static void read_part(parser *p, q_gql_part *d, bool *fragment)
{
    d->pos = p->pos;
    *fragment = is_word(p, "fragment");
    if (p->kind == '{') {
        d->first = read_selections(p);
        return;
    }
    d->mutation = is_word(p, "mutation");
    if (*fragment) {
        advance(p);
        if (is_word(p, "on"))
            fail(p, Q_E_QQL_SYNTAX, "A fragment's name is missing here.");
        d->name = name(p);
        if (!is_word(p, "on"))
            fail(p, Q_E_QQL_SYNTAX, "\"on\" is missing here.");
        advance(p);
        d->on = name(p);
    } else if (d->mutation || is_word(p, "query")) {
        advance(p);
        if (p->kind == T_NAME)
            d->name = name(p);
        d->variables = read_variables(p);
    } else if (is_word(p, "subscription")) {
        fail(p, Q_E_QQL_UNSUPPORTED, "There are no subscriptions: quanta.changes has the changes.");
    } else {
        fail(p, Q_E_QQL_SYNTAX, "An operation or a fragment is missing here.");
    }
    d->directives = read_directives(p, *fragment);
    if (!p->failed)
        d->first = read_selections(p);
}

q_rc q_gql_parse(q_arena *arena, q_slice text, q_gql_document *out, q_err *err)
{
    const char *start = text.ptr ? text.ptr : "";
    parser p = { .arena = arena, .err = err, .at = start, .end = start + text.len, .line_start = start, .line = 1 };
    q_gql_part **last_operation = &out->operations, **last_fragment = &out->fragments;
    *out = (q_gql_document){ 0 };
    if (text.len > Q_GQL_MAX_BYTES)
        return q_err_set(err, Q_E_QQL_LIMIT, "The document is longer than %d bytes.", Q_GQL_MAX_BYTES);
    advance(&p);
    do {
        bool fragment;
        q_gql_part *d = p.failed ? NULL : made(&p, Q_NEW(arena, q_gql_part));
        if (!d)
            return Q_FAIL;
        read_part(&p, d, &fragment);
        q_gql_part ***last = fragment ? &last_fragment : &last_operation;
        **last = d;
        *last = &d->next;
    } while (!p.failed && p.kind != T_END);
    return p.failed ? Q_FAIL : Q_OK;
}
