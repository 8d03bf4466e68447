/* Where a script's first transaction ends. Knows strings, names in backticks, comments, words and semicolons, as lexer.re has them, and
 * nothing else: what is no QuantaQL is split, too, and refused where it is run. Linear in what it reads; no copy, no sentinel. */
#include "quantaql/quantaql.h"

#include <ctype.h>
#include <strings.h>

typedef enum piece { END, OPEN, SEMICOLON, WORD, OTHER } piece; /* OPEN: a string or comment has no end yet */

typedef struct scanner {
    const char *at, *end;
    q_slice word;
} scanner;

static piece skip_quoted(scanner *s, char quote)
{
    for (s->at++; s->at < s->end; s->at++) {
        if (*s->at == quote) {
            s->at++;
            return OTHER;
        }
        if (*s->at == '\\' && quote != '`' && s->at + 1 < s->end)
            s->at++;
    }
    return OPEN;
}

static bool skip_comment(scanner *s, piece *p)
{
    size_t left = (size_t)(s->end - s->at);
    if (left >= 2 && memcmp(s->at, "--", 2) == 0) {
        const char *nl = memchr(s->at, '\n', left);
        s->at = nl ? nl + 1 : s->end;
        return true;
    }
    if (left >= 2 && memcmp(s->at, "/*", 2) == 0) {
        const char *close = memmem(s->at + 2, left - 2, "*/", 2);
        s->at = close ? close + 2 : s->end;
        if (!close)
            *p = OPEN;
        return true;
    }
    return false;
}

static bool is_word(unsigned char c) { return isalnum(c) || c == '_'; }

static piece next(scanner *s)
{
    piece p = END;
    while (s->at < s->end) {
        unsigned char c = (unsigned char)*s->at;
        if (isspace(c)) {
            s->at++;
        } else if (skip_comment(s, &p)) {
            if (p == OPEN)
                return OPEN;
        } else {
            break;
        }
    }
    if (s->at == s->end)
        return END;
    unsigned char c = (unsigned char)*s->at;
    if (c == ';') {
        s->at++;
        return SEMICOLON;
    }
    if (c == '"' || c == '\'' || c == '`')
        return skip_quoted(s, (char)c);
    if (is_word(c)) {
        const char *start = s->at;
        while (s->at < s->end && is_word((unsigned char)*s->at))
            s->at++;
        s->word = (q_slice){ start, (size_t)(s->at - start) };
        return WORD;
    }
    s->at++;
    return OTHER;
}

static bool says(q_slice word, const char *keyword)
{
    return word.len == strlen(keyword) && strncasecmp(word.ptr, keyword, word.len) == 0;
}

q_rc q_ql_split(q_slice text, size_t *end)
{
    scanner s = { text.ptr, text.ptr + text.len, Q_SLICE_NONE };
    bool in_block = false, anything = false;
    if (text.len >= 3 && memcmp(text.ptr, "\xEF\xBB\xBF", 3) == 0)
        s.at += 3;
    for (;;) {
        /* The beginning of a statement. */
        piece p = next(&s);
        if (p == END)
            return anything ? Q_WAIT : Q_END;
        if (p == SEMICOLON)
            continue;
        bool is_use = false, ends = !in_block;
        anything = true;
        if (p == WORD) {
            is_use = !in_block && says(s.word, "USE");
            if (!in_block && says(s.word, "BEGIN")) {
                in_block = true;
                ends = false;
            } else if (says(s.word, "COMMIT") || says(s.word, "ROLLBACK")) {
                ends = true;
            }
        }
        while (p != SEMICOLON) {
            if (p == END || p == OPEN)
                return Q_WAIT;
            p = next(&s);
        }
        if (ends && !is_use) {
            *end = (size_t)(s.at - text.ptr);
            return Q_OK;
        }
    }
}
