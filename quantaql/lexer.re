/* lexer.re - QuantaQL's words. One pass over a text that ends in a NUL (the sentinel) and holds no other; it is UTF-8 already. Pure.
 *
 * Keywords are part of the automaton, so that telling `from` from `fromage` costs nothing more than reading it. */
#include "quantaql/parser.h"
#include "quantaql/grammar.h"

void q_lex_init(q_lexer *lx, const char *text, size_t len, bool ascii)
{
    *lx = (q_lexer){ .base = text, .limit = text + len, .cursor = text, .line_start = text, .counted = text, .line = 1, .ascii = ascii };
    if (!ascii && len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) /* a byte order mark is no part of the text */
        lx->cursor = lx->line_start = lx->counted = text + 3;
}

q_pos q_lex_pos(q_lexer *lx, const char *at)
{
    if (!lx->ascii) {
        uint32_t wide = 0;
        for (const char *s = lx->counted; s < at; s++)
            wide += ((unsigned char)*s & 0xC0) == 0x80;
        lx->wide += wide;
        lx->counted = at;
    }
    return (q_pos){ lx->line, (uint32_t)(at - lx->line_start) - lx->wide + 1 };
}

static void new_line(q_lexer *lx, const char *next)
{
    lx->line++;
    lx->line_start = lx->counted = next;
    lx->wide = 0;
}

/* Counts the lines of a token that may hold newlines. */
static void count_lines(q_lexer *lx, const char *from, const char *to)
{
    const char *nl;
    while (from < to && (nl = memchr(from, '\n', (size_t)(to - from)))) {
        new_line(lx, nl + 1);
        from = nl + 1;
    }
}

/* ---- what is rare stands apart, so that the automaton below calls nothing and saves no registers ---- */

#define RARE __attribute__((noinline)) static

/* What lies between `start` and the cursor, wherever it may be. */
RARE int any_token(q_lexer *lx, q_tok *tok, const char *start, const char *cursor, int id)
{
    lx->cursor = cursor;
    *tok = (q_tok){ (uint32_t)(start - lx->base), (uint32_t)(cursor - start) & 0x7FFFFFFFu, 0, q_lex_pos(lx, start) };
    return id;
}

RARE int fail(q_lexer *lx, q_tok *tok, const char *start, const char *cursor, q_lex_error why)
{
    any_token(lx, tok, start, cursor, Q_TK_ERROR);
    lx->error = why;
    lx->opened = tok->pos;
    if (why == Q_LEX_STRING_OPEN || why == Q_LEX_COMMENT_OPEN || why == Q_LEX_NAME_OPEN) {
        /* What is missing is missing at the end. */
        count_lines(lx, start, lx->limit);
        any_token(lx, tok, lx->limit, lx->limit, Q_TK_ERROR);
    }
    return Q_TK_ERROR;
}

RARE int long_string(q_lexer *lx, q_tok *tok, const char *start, const char *cursor)
{
    any_token(lx, tok, start, cursor, Q_TK_STRING);
    tok->escaped = memchr(start, '\\', tok->len) != NULL;
    count_lines(lx, start, cursor);
    return Q_TK_STRING;
}

RARE int quoted_name(q_lexer *lx, q_tok *tok, const char *start, const char *cursor)
{
    any_token(lx, tok, start, cursor, Q_TK_ID);
    tok->escaped = memchr(start + 1, '`', tok->len - 2u) != NULL;
    return Q_TK_ID;
}

/* Skips all comments and space from `s` on, then goes on: called once for a run of them, however long. */
RARE int after_comments(q_lexer *lx, q_tok *tok, const char *s)
{
    for (;; s++) {
        if (*s == '\n') {
            new_line(lx, s + 1);
        } else if (s[0] == '-' && s[1] == '-') {
            const char *nl = memchr(s, '\n', (size_t)(lx->limit - s));
            s = nl ? nl - 1 : lx->limit - 1;
        } else if (s[0] == '/' && s[1] == '*') {
            const char *close = strstr(s + 2, "*/");
            if (!close)
                return fail(lx, tok, s, s + 2, Q_LEX_COMMENT_OPEN);
            count_lines(lx, s, close);
            s = close + 1;
        } else if (*s != ' ' && *s != '\t' && *s != '\r' && *s != '\f' && *s != '\v') {
            break;
        }
    }
    lx->cursor = s;
    return q_lex(lx, tok);
}

/* `a = b NOT IN (...)` must be refused like `a = b IN (...)`: the pair has the precedence of IN, which a NOT alone can't have. */
RARE int after_not(q_lexer *lx, q_tok *tok, const char *start, const char *cursor)
{
    any_token(lx, tok, start, cursor, Q_TK_NOT);
    if (lx->peeking)
        return Q_TK_NOT;
    q_lexer saved = *lx;
    q_tok next;
    int pair = 0;
    lx->peeking = true; /* a NOT behind this one doesn't look further: a thousand of them cost a thousand steps */
    switch (q_lex(lx, &next)) {
    case Q_TK_IN: pair = Q_TK_NOT_IN; break;
    case Q_TK_LIKE: pair = Q_TK_NOT_LIKE; break;
    case Q_TK_BETWEEN: pair = Q_TK_NOT_BETWEEN; break;
    default: break;
    }
    if (!pair) {
        *lx = saved;
        return Q_TK_NOT;
    }
    lx->peeking = false;
    tok->len = (next.offset + next.len - tok->offset) & 0x7FFFFFFFu;
    return pair;
}

/* ---- the automaton ---- */

int q_lex(q_lexer *lx, q_tok *tok)
{
    const char *YYCURSOR = lx->cursor, *YYMARKER = NULL, *start;
    (void)YYMARKER;
#define TOKEN(id)                                                                                                         \
    do {                                                                                                                  \
        if (!lx->ascii)                                                                                                   \
            return any_token(lx, tok, start, YYCURSOR, (id));                                                             \
        lx->cursor = YYCURSOR;                                                                                            \
        *tok = (q_tok){ (uint32_t)(start - lx->base), (uint32_t)(YYCURSOR - start) & 0x7FFFFFFFu, 0,                      \
                        { lx->line, (uint32_t)(start - lx->line_start) + 1 } };                                           \
        return (id);                                                                                                      \
    } while (0)
#define FAIL(why) return fail(lx, tok, start, YYCURSOR, (why))
again:
    start = YYCURSOR;
    /*!re2c
        re2c:yyfill:enable = 0;
        re2c:define:YYCTYPE = "unsigned char";
        re2c:flags:bit-vectors = 1;

        end     = "\x00";
        digit   = [0-9];
        word    = [A-Za-z_][A-Za-z0-9_]*;
        plain2  = [^"\\\x00\n];
        plain1  = [^'\\\x00\n];
        any2    = [^"\\\x00] | "\\" [^\x00];
        any1    = [^'\\\x00] | "\\" [^\x00];
        real    = digit+ "." digit+ ([eE][+-]?digit+)? | digit+ [eE][+-]?digit+;

        [ \t\r\f\v]+ { goto again; }
        "\n"         { new_line(lx, YYCURSOR); goto again; }
        "--" | "/*"  { return after_comments(lx, tok, start); }
        end          { return any_token(lx, tok, start, start, 0); }

        "("  { TOKEN(Q_TK_LP); }
        ")"  { TOKEN(Q_TK_RP); }
        "{"  { TOKEN(Q_TK_LBRACE); }
        "}"  { TOKEN(Q_TK_RBRACE); }
        "["  { TOKEN(Q_TK_LBRACKET); }
        "]"  { TOKEN(Q_TK_RBRACKET); }
        ","  { TOKEN(Q_TK_COMMA); }
        ";"  { TOKEN(Q_TK_SEMI); }
        ":"  { TOKEN(Q_TK_COLON); }
        "."  { TOKEN(Q_TK_DOT); }
        "->" { TOKEN(Q_TK_ARROW); }
        "="  { TOKEN(Q_TK_EQ); }
        "!=" | "<>" { TOKEN(Q_TK_NE); }
        "<"  { TOKEN(Q_TK_LT); }
        "<=" { TOKEN(Q_TK_LE); }
        ">"  { TOKEN(Q_TK_GT); }
        ">=" { TOKEN(Q_TK_GE); }
        "+"  { TOKEN(Q_TK_PLUS); }
        "-"  { TOKEN(Q_TK_MINUS); }
        "*"  { TOKEN(Q_TK_STAR); }
        "/"  { TOKEN(Q_TK_SLASH); }
        "%"  { TOKEN(Q_TK_PERCENT); }
        "+=" { TOKEN(Q_TK_ADD_TO); }
        "-=" { TOKEN(Q_TK_TAKE_FROM); }

        'add'         { TOKEN(Q_TK_ADD); }
        'admin'       { TOKEN(Q_TK_ADMIN); }
        'all'         { TOKEN(Q_TK_ALL); }
        'alter'       { TOKEN(Q_TK_ALTER); }
        'and'         { TOKEN(Q_TK_AND); }
        'as'          { TOKEN(Q_TK_AS); }
        'asc'         { TOKEN(Q_TK_ASC); }
        'assert'      { TOKEN(Q_TK_ASSERT); }
        'at'          { TOKEN(Q_TK_AT); }
        'begin'       { TOKEN(Q_TK_BEGIN); }
        'between'     { TOKEN(Q_TK_BETWEEN); }
        'bucket'      { TOKEN(Q_TK_BUCKET); }
        'buckets'     { TOKEN(Q_TK_BUCKETS); }
        'by'          { TOKEN(Q_TK_BY); }
        'cascade'     { TOKEN(Q_TK_CASCADE); }
        'commit'      { TOKEN(Q_TK_COMMIT); }
        'create'      { TOKEN(Q_TK_CREATE); }
        'delete'      { TOKEN(Q_TK_DELETE); }
        'desc'        { TOKEN(Q_TK_DESC); }
        'document'    { TOKEN(Q_TK_DOCUMENT); }
        'drop'        { TOKEN(Q_TK_DROP); }
        'exists'      { TOKEN(Q_TK_EXISTS); }
        'expires'     { TOKEN(Q_TK_EXPIRES); }
        'false'       { TOKEN(Q_TK_FALSE); }
        'first'       { TOKEN(Q_TK_FIRST); }
        'for'         { TOKEN(Q_TK_FOR); }
        'from'        { TOKEN(Q_TK_FROM); }
        'grant'       { TOKEN(Q_TK_GRANT); }
        'grants'      { TOKEN(Q_TK_GRANTS); }
        'group'       { TOKEN(Q_TK_GROUP); }
        'hash'        { TOKEN(Q_TK_HASH); }
        'having'      { TOKEN(Q_TK_HAVING); }
        'if'          { TOKEN(Q_TK_IF); }
        'in'          { TOKEN(Q_TK_IN); }
        'insert'      { TOKEN(Q_TK_INSERT); }
        'into'        { TOKEN(Q_TK_INTO); }
        'is'          { TOKEN(Q_TK_IS); }
        'key'         { TOKEN(Q_TK_KEY); }
        'keys'        { TOKEN(Q_TK_KEYS); }
        'last'        { TOKEN(Q_TK_LAST); }
        'like'        { TOKEN(Q_TK_LIKE); }
        'limit'       { TOKEN(Q_TK_LIMIT); }
        'many'        { TOKEN(Q_TK_MANY); }
        'metric'      { TOKEN(Q_TK_METRIC); }
        'not'         { return after_not(lx, tok, start, YYCURSOR); }
        'null'        { TOKEN(Q_TK_NULL); }
        'nulls'       { TOKEN(Q_TK_NULLS); }
        'offset'      { TOKEN(Q_TK_OFFSET); }
        'on'          { TOKEN(Q_TK_ON); }
        'one'         { TOKEN(Q_TK_ONE); }
        'or'          { TOKEN(Q_TK_OR); }
        'order'       { TOKEN(Q_TK_ORDER); }
        'record'      { TOKEN(Q_TK_RECORD); }
        'records'     { TOKEN(Q_TK_RECORDS); }
        'relation'    { TOKEN(Q_TK_RELATION); }
        'required'    { TOKEN(Q_TK_REQUIRED); }
        'revoke'      { TOKEN(Q_TK_REVOKE); }
        'role'        { TOKEN(Q_TK_ROLE); }
        'roles'       { TOKEN(Q_TK_ROLES); }
        'rollback'    { TOKEN(Q_TK_ROLLBACK); }
        'scalar'      { TOKEN(Q_TK_SCALAR); }
        'select'      { TOKEN(Q_TK_SELECT); }
        'set'         { TOKEN(Q_TK_SET); }
        'show'        { TOKEN(Q_TK_SHOW); }
        'to'          { TOKEN(Q_TK_TO); }
        'transaction' { TOKEN(Q_TK_TRANSACTION); }
        'true'        { TOKEN(Q_TK_TRUE); }
        'unique'      { TOKEN(Q_TK_UNIQUE); }
        'unit'        { TOKEN(Q_TK_UNIT); }
        'update'      { TOKEN(Q_TK_UPDATE); }
        'use'         { TOKEN(Q_TK_USE); }
        'where'       { TOKEN(Q_TK_WHERE); }
        word          { TOKEN(Q_TK_ID); }

        "`" ([^`\n\x00] | "``")+ "`" { return quoted_name(lx, tok, start, YYCURSOR); }
        "`" { FAIL(Q_LEX_NAME_OPEN); }

        digit+ { TOKEN(Q_TK_INTEGER); }
        real   { TOKEN(Q_TK_FLOAT); }
        (digit+ | real) word { FAIL(Q_LEX_NUMBER); }

        ["] plain2* ["] | ['] plain1* ['] { TOKEN(Q_TK_STRING); }
        ["] any2* ["] | ['] any1* ['] { return long_string(lx, tok, start, YYCURSOR); }
        ["'] { FAIL(Q_LEX_STRING_OPEN); }

        "$" word | "$jwt." word { TOKEN(Q_TK_PARAM); }
        "$"      { FAIL(Q_LEX_PARAM); }
        * {
            /* A whole code point, so that the message can show it. */
            while (((unsigned char)*YYCURSOR & 0xC0) == 0x80)
                YYCURSOR++;
            FAIL(Q_LEX_CHARACTER);
        }
    */
#undef FAIL
#undef TOKEN
}
