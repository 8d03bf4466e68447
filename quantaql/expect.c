/* What the grammar would have taken where it met something else, in words. */
#include "quantaql/parser.h"
#include "quantaql/grammar.h"

enum { MAX_TERMINALS = 160, MAX_ITEMS = 8 };

typedef struct wording {
    const char *items[MAX_TERMINALS];
    int count;
} wording;

static void take(bool *accepted, const int *tokens, size_t count)
{
    for (size_t i = 0; i < count; i++)
        accepted[tokens[i]] = false;
}
#define TAKE(...)                                                       \
    do {                                                                \
        static const int set_[] = { __VA_ARGS__ };                      \
        take(accepted, set_, sizeof set_ / sizeof set_[0]);             \
    } while (0)

/* Sets of terminals that have one name for a person. `accepted` loses what is covered. */
static void group(bool *accepted, wording *w)
{
    if (accepted[Q_TK_ID] && accepted[Q_TK_INTO]) { /* the class `anyname`: any word will do */
        for (int t = 1; t < MAX_TERMINALS; t++)
            if (q_word_is_keyword_token(t))
                accepted[t] = false;
    }
    if (accepted[Q_TK_INSERT] && accepted[Q_TK_SELECT] && accepted[Q_TK_USE]) {
        w->items[w->count++] = "a statement";
        TAKE(Q_TK_ALTER, Q_TK_ASSERT, Q_TK_BEGIN, Q_TK_COMMIT, Q_TK_CREATE, Q_TK_DELETE, Q_TK_DROP, Q_TK_GRANT, Q_TK_INSERT, Q_TK_REVOKE, Q_TK_ROLLBACK,
             Q_TK_SELECT, Q_TK_SHOW, Q_TK_UPDATE, Q_TK_USE, Q_TK_SEMI);
    }
    if (accepted[Q_TK_STRING] && accepted[Q_TK_FLOAT]) {
        w->items[w->count++] = "an expression";
        TAKE(Q_TK_STRING, Q_TK_INTEGER, Q_TK_FLOAT, Q_TK_TRUE, Q_TK_FALSE, Q_TK_NULL, Q_TK_PARAM, Q_TK_ID, Q_TK_LP, Q_TK_LBRACE,
             Q_TK_LBRACKET, Q_TK_NOT, Q_TK_MINUS, Q_TK_PLUS);
    }
    if (accepted[Q_TK_SLASH] && accepted[Q_TK_PERCENT]) {
        w->items[w->count++] = "an operator";
        TAKE(Q_TK_OR, Q_TK_AND, Q_TK_EQ, Q_TK_NE, Q_TK_LT, Q_TK_LE, Q_TK_GT, Q_TK_GE, Q_TK_IN, Q_TK_NOT_IN, Q_TK_LIKE, Q_TK_NOT_LIKE,
             Q_TK_BETWEEN, Q_TK_NOT_BETWEEN, Q_TK_IS, Q_TK_PLUS, Q_TK_MINUS, Q_TK_STAR, Q_TK_SLASH, Q_TK_PERCENT, Q_TK_DOT,
             Q_TK_LBRACKET, Q_TK_LP);
    }
    if (accepted[Q_TK_SEMI])
        accepted[0] = false;
}

static void append(char *out, size_t size, size_t *len, const char *text)
{
    size_t n = strlen(text);
    if (*len + n + 1 > size)
        n = size - *len - 1;
    memcpy(out + *len, text, n);
    *len += n;
    out[*len] = '\0';
}

static void join(const wording *w, char *out, size_t size)
{
    size_t len = 0;
    int shown = w->count > MAX_ITEMS ? MAX_ITEMS : w->count;
    out[0] = '\0';
    for (int i = 0; i < shown; i++) {
        bool last = i == shown - 1 && shown == w->count;
        append(out, size, &len, i == 0 ? "" : last ? " or " : ", ");
        append(out, size, &len, w->items[i]);
    }
    if (shown < w->count)
        append(out, size, &len, ", \xE2\x80\xA6");
}

/* At most 40 bytes of what stands there, whole code points. */
static q_slice excerpt(q_slice s)
{
    if (s.len > 40) {
        s.len = 40;
        while (s.len > 0 && ((unsigned char)s.ptr[s.len] & 0xC0) == 0x80)
            s.len--;
    }
    const char *nl = s.len ? memchr(s.ptr, '\n', s.len) : NULL;
    if (nl)
        s.len = (size_t)(nl - s.ptr);
    return s;
}

static void hint(q_parser *p, const bool *accepted, int terminals, int token, q_slice found)
{
    const char *words[MAX_TERMINALS];
    size_t count = 0;
    bool is_word = token == Q_TK_ID || q_word_is_keyword_token(token);
    for (int t = 1; t < terminals; t++)
        if (accepted[t] && q_word_is_keyword_token(t))
            words[count++] = q_word_token(t);
    if (is_word && found.ptr[0] != '`') {
        const char *near = q_word_nearest(found, words, count);
        if (near) {
            q_parse_hint(p, "Did you mean %s?", near);
            return;
        }
    }
    if (is_word && token != Q_TK_ID && accepted[Q_TK_ID] && q_word_is_reserved(found))
        q_parse_hint(p, "%.*s is a reserved word; as a name it is written `%.*s`.", Q_SLICE_FMT(found), Q_SLICE_FMT(found));
    else if (token == Q_TK_EQ)
        q_parse_hint(p, "Equality is written with one =.");
    else if (token == Q_TK_STRING && accepted[Q_TK_SLASH])
        q_parse_hint(p, "Inside a string a quotation mark is written with a backslash before it.");
    else if (token == Q_TK_STRING && accepted[Q_TK_ID])
        q_parse_hint(p, "Quotation marks make a string; a name stands alone or in backticks.");
}

void q_expect_error(q_parser *p, int token, q_tok found)
{
    bool accepted[MAX_TERMINALS] = { false }, kept[MAX_TERMINALS];
    wording w = { .count = 0 };
    char expected[200];
    int terminals = q_grammar_expected(&p->start, found.offset, accepted, MAX_TERMINALS);
    if (terminals > MAX_TERMINALS)
        terminals = MAX_TERMINALS;
    memcpy(kept, accepted, sizeof kept);
    group(accepted, &w);
    for (int t = 0; t < terminals; t++)
        if (accepted[t])
            w.items[w.count++] = q_word_token(t);
    join(&w, expected, sizeof expected);

    q_slice text = excerpt(q_tok_slice(p, found));
    if (token == 0)
        q_parse_fail(p, Q_E_QQL_SYNTAX, found.pos, "expected %s, found the end of the text", expected);
    else if (token == Q_TK_STRING)
        q_parse_fail(p, Q_E_QQL_SYNTAX, found.pos, "expected %s, found the string %.*s", expected, Q_SLICE_FMT(text));
    else
        q_parse_fail(p, Q_E_QQL_SYNTAX, found.pos, "expected %s, found \"%.*s\"", expected, Q_SLICE_FMT(text));
    hint(p, kept, terminals, token, text);
}
