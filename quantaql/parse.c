/* From text to an unchecked tree: limits, encoding, errors, lists; the driver of lexer and automaton is in grammar.y. */
#include "quantaql/parser.h"
#include "quantaql/grammar.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

enum { FIRST_SCRATCH = 4096 };

void q_at(q_err *err, q_pos pos)
{
    err->line = pos.line;
    err->column = pos.column;
}

void q_parse_fail(q_parser *p, q_code code, q_pos pos, const char *fmt, ...)
{
    char message[sizeof p->err->message];
    va_list args;
    if (p->failed)
        return;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    q_word_sentence(message, sizeof message, fmt);
    q_err_set(p->err, code, "%s", message);
    q_at(p->err, pos);
    q_parse_failed(p);
}

void q_parse_hint(q_parser *p, const char *fmt, ...)
{
    char hint[sizeof p->err->hint];
    va_list args;
    if (p->err->hint[0])
        return;
    va_start(args, fmt);
    vsnprintf(hint, sizeof hint, fmt, args);
    va_end(args);
    q_err_hint(p->err, "%s", hint);
}

void *q_parse_alloc(q_parser *p, size_t size)
{
    void *m = q_arena_alloc(p->arena, size);
    if (!m) {
        q_parse_fail(p, Q_E_LIMIT_MEMORY, (q_pos){ p->lexer.line, 0 }, "the statement's tree needs more memory than one may have");
        return NULL;
    }
    return memset(m, 0, size);
}

/* ---- scratch lists ---- */

bool q_scratch_grow(q_parser *p, size_t size)
{
    size_t cap = p->scratch_cap * 2;
    while (cap < p->scratch_len + size)
        cap *= 2;
    char *m = q_parse_alloc(p, cap);
    if (!m)
        return false;
    memcpy(m, p->scratch, p->scratch_len);
    p->scratch = m;
    p->scratch_cap = cap;
    return true;
}

q_list q_finish(q_parser *p, uint32_t mark, size_t item_size)
{
    if (p->failed)
        return (q_list){ 0, NULL };
    assert(mark <= p->scratch_len && (p->scratch_len - mark) % item_size == 0);
    size_t bytes = p->scratch_len - mark;
    void *items = q_arena_alloc(p->arena, bytes);
    if (!items) {
        q_parse_fail(p, Q_E_LIMIT_MEMORY, (q_pos){ p->lexer.line, 0 }, "the statement's tree needs more memory than one may have");
        return (q_list){ 0, NULL };
    }
    memcpy(items, p->scratch + mark, bytes);
    p->scratch_len = mark;
    return (q_list){ (uint32_t)(bytes / item_size), items };
}

/* ---- errors of the lexer ---- */

void q_parse_lex_error(q_parser *p, q_tok tok)
{
    q_slice text = q_tok_slice(p, tok);
    uint32_t line = p->lexer.opened.line, column = p->lexer.opened.column;
    switch (p->lexer.error) {
    case Q_LEX_STRING_OPEN:
        q_parse_fail(p, Q_E_QQL_SYNTAX, tok.pos, "the string that begins at line %u, column %u is not closed", line, column);
        return;
    case Q_LEX_COMMENT_OPEN:
        q_parse_fail(p, Q_E_QQL_SYNTAX, tok.pos, "the comment that begins at line %u, column %u is not closed", line, column);
        return;
    case Q_LEX_NAME_OPEN:
        q_parse_fail(p, Q_E_QQL_SYNTAX, tok.pos, "the name in backticks at line %u, column %u is empty or not closed", line, column);
        return;
    case Q_LEX_NUMBER:
        q_parse_fail(p, Q_E_QQL_SYNTAX, tok.pos, "\"%.*s\" is not a number", (int)(text.len > 40 ? 40 : text.len), text.ptr);
        q_parse_hint(p, "Durations are written duration(\"1d 3h\"); a name can't begin with a digit.");
        return;
    case Q_LEX_PARAM:
        q_parse_fail(p, Q_E_QQL_SYNTAX, tok.pos, "a parameter is $ and a name");
        return;
    case Q_LEX_CHARACTER:
    case Q_LEX_OK:
        q_expect_error(p, Q_TK_ERROR, tok);
    }
}

static q_rc encoding_error(q_slice text, size_t at, q_err *err)
{
    q_lexer lx;
    q_lex_init(&lx, text.ptr, at, false);
    for (const char *s = text.ptr, *nl; (nl = memchr(s, '\n', (size_t)(text.ptr + at - s))) != NULL; s = nl + 1) {
        lx.line++;
        lx.line_start = lx.counted = nl + 1;
    }
    if (text.ptr[at] == '\0')
        q_err_set(err, Q_E_QQL_ENCODING, "A NUL stands at byte %zu.", at);
    else
        q_err_set(err, Q_E_QQL_ENCODING, "Byte %zu (0x%02X) is not UTF-8.", at, (unsigned)(unsigned char)text.ptr[at]);
    q_at(err, q_lex_pos(&lx, text.ptr + at));
    return Q_FAIL;
}

/* ---- the run ---- */

q_rc q_ql_parse(q_arena *arena, q_slice text, q_script **out, q_err *err)
{
    char scratch[FIRST_SCRATCH];
    bool ascii;
    size_t bad;
    *out = NULL;
    if (text.len > Q_QL_MAX_BYTES)
        return q_err_set(err, Q_E_QQL_LIMIT, "The text has %zu bytes; it may have %d.", text.len, Q_QL_MAX_BYTES);
    if (!q_utf8_check(text, &ascii, &bad))
        return encoding_error(text, bad, err);
    q_slice copy = q_arena_copy(arena, text);
    q_script *script = Q_NEW(arena, q_script);
    if (!copy.ptr || !script)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "The statement needs more memory than one may have.");
    script->text = copy;

    q_parser p = { .arena = arena, .script = script, .err = err, .scratch = scratch, .scratch_cap = sizeof scratch };
    q_lex_init(&p.lexer, copy.ptr, copy.len, ascii);
    p.start = p.lexer;
    uint32_t number = q_grammar_run(&p);
    if (!p.failed && script->count == 0)
        q_parse_fail(&p, Q_E_QQL_SYNTAX, q_lex_pos(&p.lexer, p.lexer.limit), "expected a statement, found the end of the text");
    if (p.failed) {
        err->statement = number;
        return Q_FAIL;
    }
    *out = script;
    return Q_OK;
}
