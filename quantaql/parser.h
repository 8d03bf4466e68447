/* parser.h - what lexer.re, grammar.y, parse.c, build.c and literal.c share. Internal to quantaql. Pure.
 *
 * One pass: q_ql_parse takes tokens from the lexer and pushes them into lemon's automaton, whose actions call q_build_*. Nodes come
 * from the arena. Lists of unknown length grow on one scratch stack of bytes (an inner list is finished before its outer one goes
 * on) and are copied to the arena when complete. The first error wins; the driver stops at it. */
#ifndef Q_QUANTAQL_PARSER_H
#define Q_QUANTAQL_PARSER_H

#include "quantaql/quantaql.h"
#include "quantaql/words.h"

/* ---- tokens ---- */

typedef struct q_tok {
    uint32_t offset;       /* bytes into the text */
    uint32_t len : 31;
    uint32_t escaped : 1;  /* STRING with backslashes, NAME in backticks with doubled backticks */
    q_pos pos;
} q_tok;

typedef enum q_lex_error {
    Q_LEX_OK = 0, Q_LEX_CHARACTER, Q_LEX_NUMBER, Q_LEX_STRING_OPEN, Q_LEX_COMMENT_OPEN, Q_LEX_NAME_OPEN, Q_LEX_PARAM
} q_lex_error;

typedef struct q_lexer {
    const char *base, *limit; /* *limit is NUL, and no NUL stands before it */
    const char *cursor;
    const char *line_start;
    const char *counted;      /* up to here, `wide` holds the continuation bytes of the line */
    uint32_t wide;
    uint32_t line;
    bool peeking;             /* for what follows a NOT */
    bool ascii;               /* no byte above 0x7F: columns are differences of pointers */
    q_lex_error error;        /* why the last token was Q_TK_ERROR */
    q_pos opened;             /* Q_LEX_*_OPEN: where it began */
} q_lexer;

void q_lex_init(q_lexer *lx, const char *text, size_t len, bool ascii);
/* The next token's id (Q_TK_* of grammar.h, 0 at the end, Q_TK_ERROR). NOT before IN, LIKE, BETWEEN comes as one token. */
int q_lex(q_lexer *lx, q_tok *tok);
q_pos q_lex_pos(q_lexer *lx, const char *at);

/* ---- the run ---- */

typedef struct q_list { /* a finished list, in the arena */
    uint32_t count;
    void *items;
} q_list;

typedef struct q_member { /* of an object, or one SET */
    q_slice key;
    q_pos pos;
    q_expr *expr;
} q_member;

typedef struct q_clauses { q_expr *limit, *offset; } q_clauses;
typedef struct q_attr_flags { bool many, required, unique, one; } q_attr_flags;

typedef struct q_tok_privilege { q_tok at; unsigned privs; } q_tok_privilege;

typedef struct q_parser {
    q_arena *arena;
    q_script *script;
    uint32_t stmt_cap;
    q_lexer lexer, start; /* now, and at the beginning */
    bool failed;       /* err is set */
    enum { Q_PARSE_GOES_ON = 0, Q_PARSE_UNEXPECTED, Q_PARSE_OVERFLOW, Q_PARSE_FAILED } stop; /* the automaton refused the last token; its
                        * stack is full; failed */
    q_err *err;
    q_expr *nodes;     /* the next of a handful from the arena */
    uint32_t nodes_left;
    /* Scratch stack. */
    char *scratch;
    size_t scratch_len, scratch_cap;
} q_parser;

/* The rest of `err` (line, column) from a position. */
void q_at(q_err *err, q_pos pos);
/* Sets the first error of a parse, at `pos`. */
void q_parse_fail(q_parser *p, q_code code, q_pos pos, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static inline void q_parse_failed(q_parser *p) /* err is set, by someone else perhaps */
{
    p->failed = true;
    p->stop = Q_PARSE_FAILED;
}
void q_parse_hint(q_parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *q_parse_alloc(q_parser *p, size_t size); /* zeroed; NULL sets the error */

/* ---- scratch lists ---- */
static inline uint32_t q_mark(const q_parser *p) { return (uint32_t)p->scratch_len; }
bool q_scratch_grow(q_parser *p, size_t size);
static inline void q_push(q_parser *p, const void *item, size_t size)
{
    if (size > p->scratch_cap - p->scratch_len && !q_scratch_grow(p, size))
        return;
    memcpy(p->scratch + p->scratch_len, item, size);
    p->scratch_len += size;
}
q_list q_finish(q_parser *p, uint32_t mark, size_t item_size);

/* ---- literals (literal.c) ---- */
static inline q_slice q_tok_slice(const q_parser *p, q_tok t) { return (q_slice){ p->lexer.base + t.offset, t.len }; }
q_slice q_tok_string(q_parser *p, q_tok t);  /* a STRING's content */
q_slice q_tok_name(q_parser *p, q_tok t);    /* a name's, without backticks */
bool q_tok_integer(const q_parser *p, q_tok t, int64_t *out);
q_expr *q_build_string(q_parser *p, q_tok t);
q_expr *q_build_integer(q_parser *p, q_tok t);
q_expr *q_build_float(q_parser *p, q_tok t);
q_expr *q_build_bool(q_parser *p, q_tok t, bool b);
q_expr *q_build_null(q_parser *p, q_tok t);
q_expr *q_build_negative(q_parser *p, q_tok minus, q_expr *a);

/* ---- expressions (build.c); NULL operands (after an error) are accepted and give NULL ---- */
q_expr *q_build_expr(q_parser *p, q_expr_kind kind, q_pos pos);
q_expr *q_build_binary(q_parser *p, q_op op, q_tok at, q_expr *a, q_expr *b);
q_expr *q_build_not(q_parser *p, q_tok at, q_expr *a);
q_expr *q_build_in(q_parser *p, q_tok at, q_expr *a, q_list list, q_tok *param, bool negated);
q_expr *q_build_between(q_parser *p, q_tok at, q_expr *a, q_expr *low, q_expr *high, bool negated);
q_expr *q_build_like(q_parser *p, q_tok at, q_expr *a, q_expr *b, bool negated);
q_expr *q_build_is_null(q_parser *p, q_tok at, q_expr *a, bool negated);
q_expr *q_build_param(q_parser *p, q_tok t);
q_expr *q_build_object(q_parser *p, q_tok open, q_list members);
q_expr *q_build_array(q_parser *p, q_tok open, q_list items);
q_expr *q_build_path1(q_parser *p, q_tok name);
q_expr *q_build_path(q_parser *p, q_pos pos, q_list names, q_list steps);
q_expr *q_build_call(q_parser *p, q_tok fn, q_expr *arg);
q_expr *q_build_call_star(q_parser *p, q_tok fn);
q_expr *q_build_call_select(q_parser *p, q_tok fn, q_stmt *select);
q_expr *q_build_call_path(q_parser *p, q_tok fn, q_list arrows, q_list names, q_list steps);
q_expr *q_build_call_path1(q_parser *p, q_tok fn, q_expr *arg, q_list names, q_list steps);
q_expr *q_build_subquery(q_parser *p, q_tok open, q_stmt *select);
void q_push_name(q_parser *p, q_tok t);
void q_push_step_key(q_parser *p, q_tok t, bool is_string);
void q_push_step_index(q_parser *p, q_tok t);
void q_push_member(q_parser *p, q_tok key, bool is_string, q_expr *value);
void q_push_column(q_parser *p, q_expr *e, const q_tok *as);
void q_push_order(q_parser *p, q_expr *e, bool desc, bool nulls_first);
void q_push_expr(q_parser *p, q_expr *e);

/* ---- statements (statement.c) ---- */
q_stmt *q_build_stmt(q_parser *p, q_stmt_kind kind, q_tok at); /* appended to the script */
void q_build_name(q_parser *p, q_stmt *s, q_tok name);         /* the record it is about */
void q_push_row(q_parser *p, q_tok open, q_list members);
void q_build_insert(q_parser *p, q_tok at, q_tok name, q_list rows);
q_stmt *q_build_select(q_parser *p, q_tok at, bool star, q_list columns, q_tok name, q_expr *where, q_list groups, q_expr *having,
                       q_list orders, q_clauses limits);
void q_build_select_stmt(q_parser *p, q_stmt *select);
void q_push_set(q_parser *p, q_expr *target, int how, q_expr *value);
void q_build_update(q_parser *p, q_tok at, q_tok name, q_list sets, q_expr *where);
void q_build_delete(q_parser *p, q_tok at, q_tok name, q_expr *where);
void q_build_assert(q_parser *p, q_tok at, q_expr *condition);
void q_build_use(q_parser *p, q_tok at, q_tok name);
void q_build_show(q_parser *p, q_tok at, q_tok what, const q_tok *record);

/* ---- definitions (define.c) ---- */
void q_push_scalar(q_parser *p, q_tok name, q_tok datatype, q_attr_flags f);
void q_push_document(q_parser *p, q_tok name);
void q_push_relation(q_parser *p, q_tok name, q_tok target, q_attr_flags f);
void q_push_metric(q_parser *p, q_tok name, const q_tok *datatype, const q_tok *unit, bool unit_is_string);
void q_build_ddl_bucket(q_parser *p, q_tok at, q_ddl_kind kind, q_tok name, bool if_, bool cascade);
void q_build_ddl_record(q_parser *p, q_tok at, q_ddl_kind kind, q_tok name, bool if_, q_list attrs);
void q_build_ddl_alter(q_parser *p, q_tok at, q_tok name, bool if_exists, bool if_not_exists, q_list attrs);
void q_build_ddl_json(q_parser *p, q_tok at, bool if_not_exists, q_tok open, q_tok close);

/* ---- roles, grants, keys (grant.c) ---- */
void q_push_privilege(q_parser *p, q_tok_privilege word, q_list fields);
void q_build_role(q_parser *p, q_tok at, q_ddl_kind kind, q_tok name, bool if_);
void q_build_grant(q_parser *p, q_tok at, q_ddl_kind kind, q_list privileges, bool on_bucket, q_tok on, q_tok role, q_expr *where);
void q_build_key(q_parser *p, q_tok at, q_ddl_kind kind, q_tok name, bool if_, const q_tok *role, q_expr *hash, q_expr *expires);
void q_build_show_access(q_parser *p, q_tok at, q_tok what, const char *name, const q_tok *role);

/* ---- the automaton (grammar.y) and what it expected (expect.c) ---- */
/* Parses p's text; p->failed says how it went. Returns the number of the statement at which it stopped, 0 for one without a number. */
uint32_t q_grammar_run(q_parser *p);
/* An error of the lexer (parse.c). */
void q_parse_lex_error(q_parser *p, q_tok tok);
/* Replays the text up to byte `offset` and marks, for each terminal, whether it may come there. Returns how many terminals there are. */
int q_grammar_expected(const q_lexer *start, uint32_t offset, bool *accepted, int max);
/* Fills the message of an unexpected token: what was found, what was expected, a hint for a misspelt word. */
void q_expect_error(q_parser *p, int token, q_tok found);

/* ---- encoding (encoding.c) ---- */
/* Whether text is UTF-8 without NUL; otherwise *at is the first bad byte. */
bool q_utf8_check(q_slice text, bool *ascii, size_t *at);

#endif
