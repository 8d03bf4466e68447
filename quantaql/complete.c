/* Which keywords may come, the grammar says (expect.c uses the same); which names, the tokens just before the place. */
#include "quantaql/complete.h"

#include "quantaql/grammar.h"
#include "quantaql/parser.h"

#include <stdlib.h>

enum { MAX_TERMINALS = 160, MAX_TOKENS = 65536 };

typedef struct item { int id; q_slice text; } item;

typedef struct tokens { /* of the statement that the place is in */
    item *items;
    size_t count, cap;
} tokens;

static bool add(tokens *t, int id, q_slice text)
{
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        item *grown = cap > MAX_TOKENS ? NULL : realloc(t->items, cap * sizeof *grown);
        if (!grown)
            return false;
        t->items = grown;
        t->cap = cap;
    }
    t->items[t->count++] = (item){ id, text };
    return true;
}

static bool is_word(const item *i) { return i->id == Q_TK_ID || q_word_is_keyword_token(i->id); }

static bool is_name(const item *i, const char *name)
{
    size_t n = strlen(name);
    return i->id == Q_TK_ID && i->text.len == n && memcmp(i->text.ptr, name, n) == 0;
}

/* What is behind the last token is space and comments: whether a line comment is still open at its end. */
static bool in_line_comment(q_slice gap)
{
    for (size_t i = gap.len; i > 0 && gap.ptr[i - 1] != '\n'; i--)
        if (i > 1 && gap.ptr[i - 1] == '-' && gap.ptr[i - 2] == '-')
            return true;
    return false;
}

/* The statement's tokens, as slices of `text`, of which `copy` is a copy with a NUL behind it. */
static bool scan(q_slice text, const char *copy, bool to_semicolon, tokens *out)
{
    q_lexer lx;
    q_tok tok;
    int id;
    size_t end = 0;
    q_lex_init(&lx, copy, text.len, false);
    while ((id = q_lex(&lx, &tok)) != 0) {
        if (id == Q_TK_ERROR)
            return to_semicolon; /* before the place: a string or a comment is open. After it: enough was seen */
        if (id == Q_TK_SEMI && to_semicolon)
            return true;
        if (id == Q_TK_SEMI)
            out->count = 0;
        else if (!add(out, id, q_slice_of(text.ptr + tok.offset, tok.len)))
            return false;
        end = tok.offset + tok.len;
    }
    return to_semicolon || !in_line_comment(q_slice_of(text.ptr + end, text.len - end));
}

/* ---- keywords ---- */

static void find_words(q_slice before, const char *copy, q_next *out)
{
    bool accepted[MAX_TERMINALS] = { false };
    q_lexer start;
    q_lex_init(&start, copy, before.len, false);
    int terminals = q_grammar_expected(&start, (uint32_t)before.len, accepted, MAX_TERMINALS);
    out->expression = accepted[Q_TK_STRING] && accepted[Q_TK_FLOAT];
    if (accepted[Q_TK_ID] && accepted[Q_TK_INTO])
        return; /* any word is a name here */
    for (int t = 1; t < terminals && t < MAX_TERMINALS; t++) {
        bool word = q_word_is_keyword_token(t) || t == Q_TK_NOT_IN || t == Q_TK_NOT_LIKE || t == Q_TK_NOT_BETWEEN;
        if (accepted[t] && word && out->word_count < Q_NEXT_MAX_WORDS)
            out->words[out->word_count++] = q_word_token(t);
    }
}

/* ---- names ---- */

/* Where the innermost open parenthesis begins, or the statement. */
static size_t scope_start(const tokens *t)
{
    int depth = 0;
    for (size_t i = t->count; i > 0; i--) {
        if (t->items[i - 1].id == Q_TK_RP)
            depth++;
        else if (t->items[i - 1].id == Q_TK_LP && depth-- == 0 && i < t->count && t->items[i].id == Q_TK_SELECT)
            return i;
        if (depth < 0)
            depth = 0; /* a parenthesis of an expression: its record is the statement's */
    }
    return 0;
}

static q_slice find_record(const tokens *t, size_t from)
{
    for (size_t i = from; i + 1 < t->count; i++) {
        int id = t->items[i].id;
        bool update = id == Q_TK_UPDATE && i == from;
        if ((id == Q_TK_FROM || id == Q_TK_INTO || update) && is_word(&t->items[i + 1]))
            return t->items[i + 1].text;
    }
    return Q_SLICE_NONE;
}

/* Names joined by `joint`, going back from t->items[end - 1]; the first is the oldest. Returns where they begin. */
static size_t collect(const tokens *t, size_t end, int joint, q_next *out)
{
    size_t begin = end;
    while (begin > 0 && is_word(&t->items[begin - 1])) {
        begin--;
        if (begin < 2 || t->items[begin - 1].id != joint)
            break;
        begin--;
    }
    for (size_t i = begin; i < end; i++)
        if (t->items[i].id != joint && out->hop_count < Q_QL_MAX_HOPS)
            out->hops[out->hop_count++] = t->items[i].text;
    return begin;
}

static void after_dot(const tokens *t, q_next *out)
{
    size_t dot = t->count - 1;
    out->name = Q_NEXT_ATTRIBUTE;
    if (dot == 0)
        return;
    size_t begin = dot;
    while (begin > 2 && is_word(&t->items[begin - 1]) && t->items[begin - 2].id == Q_TK_DOT)
        begin -= 2; /* a.b.c of path(…).a.b.c */
    if (t->items[begin - 1].id == Q_TK_RP) {
        size_t close = begin - 1, open = close;
        while (open > 0 && t->items[open].id != Q_TK_LP)
            open--;
        if (open == 0 || !is_name(&t->items[open - 1], "path")) {
            out->name = Q_NEXT_NONE;
            return;
        }
        collect(t, close, Q_TK_ARROW, out);
        if (begin < dot)
            collect(t, dot, Q_TK_DOT, out);
        return;
    }
    collect(t, dot, Q_TK_DOT, out);
    if (out->hop_count == 0)
        out->name = Q_NEXT_NONE;
}

/* In INSERT's own braces a key comes; deeper there are a document's keys, which nobody knows. */
static int brace_depth(const tokens *t)
{
    int depth = 0;
    for (size_t i = 0; i < t->count; i++)
        depth += (t->items[i].id == Q_TK_LBRACE) - (t->items[i].id == Q_TK_RBRACE);
    return depth;
}

static bool after_if(const tokens *t, size_t *end)
{
    size_t n = t->count;
    if (n > 2 && t->items[n - 1].id == Q_TK_EXISTS && t->items[n - 2].id == Q_TK_IF)
        n -= 2;
    *end = n;
    return n > 0;
}

static q_next_name definition_name(const tokens *t)
{
    size_t n;
    int first = t->items[0].id;
    if (!after_if(t, &n))
        return Q_NEXT_NONE;
    int last = t->items[n - 1].id;
    if (first == Q_TK_USE && t->count == 1)
        return Q_NEXT_BUCKET;
    if (n == 2 && first == Q_TK_DROP && last == Q_TK_BUCKET)
        return Q_NEXT_BUCKET;
    if (n == 2 && last == Q_TK_RECORD && (first == Q_TK_DROP || first == Q_TK_ALTER || first == Q_TK_SHOW))
        return Q_NEXT_RECORD;
    if (last == Q_TK_TO && n > 1 && t->items[n - 2].id == Q_TK_RELATION)
        return Q_NEXT_RECORD;
    if (last == Q_TK_SCALAR || last == Q_TK_METRIC)
        return Q_NEXT_TYPE;
    return Q_NEXT_NONE;
}

static void find_name(const tokens *t, q_next *out)
{
    if (t->count == 0)
        return;
    int first = t->items[0].id;
    const item *last = &t->items[t->count - 1];
    out->name = definition_name(t);
    if (out->name != Q_NEXT_NONE || first == Q_TK_CREATE || first == Q_TK_DROP || first == Q_TK_ALTER || first == Q_TK_SHOW ||
        first == Q_TK_USE)
        return;
    if (last->id == Q_TK_FROM || last->id == Q_TK_INTO || (last->id == Q_TK_UPDATE && t->count == 1)) {
        out->name = Q_NEXT_RECORD;
    } else if (last->id == Q_TK_DOT) {
        after_dot(t, out);
    } else if (last->id == Q_TK_ARROW) {
        collect(t, t->count - 1, Q_TK_ARROW, out);
        out->name = Q_NEXT_RELATION;
    } else if (last->id == Q_TK_LP && t->count > 1 && is_name(last - 1, "path")) {
        out->name = Q_NEXT_RELATION;
    } else if (first == Q_TK_INSERT) {
        out->key = brace_depth(t) == 1 && (last->id == Q_TK_LBRACE || last->id == Q_TK_COMMA);
        out->name = out->key ? Q_NEXT_ATTRIBUTE : Q_NEXT_NONE;
    } else if (out->expression || last->id == Q_TK_SET || (first == Q_TK_UPDATE && last->id == Q_TK_COMMA)) {
        out->name = Q_NEXT_ATTRIBUTE;
    }
}

static char *terminated(q_slice s)
{
    char *copy = malloc(s.len + 1);
    if (copy) {
        if (s.len)
            memcpy(copy, s.ptr, s.len);
        copy[s.len] = '\0';
    }
    return copy;
}

bool q_ql_next(q_slice before, q_slice after, q_next *out)
{
    tokens t = { 0 }, rest = { 0 };
    bool ok = before.len <= Q_QL_MAX_BYTES && after.len <= Q_QL_MAX_BYTES && !(before.len && memchr(before.ptr, '\0', before.len)) &&
              !(after.len && memchr(after.ptr, '\0', after.len));
    char *copy = ok ? terminated(before) : NULL, *after_copy = ok ? terminated(after) : NULL;
    *out = (q_next){ 0 };
    ok = copy && after_copy && scan(before, copy, false, &t);
    if (ok) {
        find_words(before, copy, out);
        size_t from = scope_start(&t);
        find_name(&t, out);
        out->record = find_record(&t, from);
        if (out->record.len == 0 && scan(after, after_copy, true, &rest))
            out->record = find_record(&rest, 0);
    }
    free(t.items);
    free(rest.items);
    free(copy);
    free(after_copy);
    return ok;
}
