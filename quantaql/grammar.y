/* grammar.y - QuantaQL's sentences. README.md has the same grammar as EBNF. Actions only call q_build_* and q_push_* of parser.h.
 *
 * Keywords that only follow something (AT, ORDER, LIMIT, UNIT, …) fall back to a name wherever they can't be meant; those in the
 * class `anyname` are reserved, yet are still names after a dot, before a colon and in CREATE RECORD's list. Functions (count, time,
 * path, …) are no keywords at all. */
%include {
#ifndef NDEBUG
#define NDEBUG 1 /* lemon's tracing, which costs a test for each token */
#endif
#include "quantaql/parser.h"
#define YYNOERRORRECOVERY 1
static void q_grammar(void *yyp, int yymajor, q_tok yyminor); /* has one caller, into whose loop it is compiled */
#pragma GCC diagnostic ignored "-Wunused-variable" /* p, where no action of a kind uses it */
}
%name q_grammar
%token_prefix Q_TK_
%token_type { q_tok }
%extra_context { q_parser *p }
%default_type { q_expr * }
/* Sixty-four levels of the deepest form fit many times over; more is refused with QQL_LIMIT. */
%stack_size 1200
%stack_overflow { if (!p->stop) p->stop = Q_PARSE_OVERFLOW; }
%syntax_error { (void)TOKEN; if (!p->stop) p->stop = Q_PARSE_UNEXPECTED; }

/* The first terminals, in this order: the driver counts brackets. */
%token LP LBRACE LBRACKET RP RBRACE RBRACKET.

%fallback ID ADD ADMIN ALL ASC ASSERT AT BEGIN BUCKET BUCKETS BY CASCADE COMMIT DESC DOCUMENT EXISTS EXPIRES FIRST FOR GRANT GRANTS GROUP HASH IF KEY
    KEYS LAST LIMIT MANY METRIC NULLS OFFSET ON ONE ORDER RECORD RECORDS RELATION REQUIRED REVOKE ROLE ROLES ROLLBACK SCALAR SHOW TO TRANSACTION
    UNIQUE UNIT USE.
%token_class anyname ID|ALTER|AND|AS|BETWEEN|CREATE|DELETE|DROP|FALSE|FROM|HAVING|IN|INSERT|INTO|IS|LIKE|NOT|NULL|OR|SELECT|SET|TRUE
    |UPDATE|WHERE.

%left OR.
%left AND.
%right NOT.
%nonassoc EQ NE LT LE GT GE IN NOT_IN LIKE NOT_LIKE BETWEEN NOT_BETWEEN IS.
%left PLUS MINUS.
%left STAR SLASH PERCENT.
%right UMINUS.
%token ERROR.

/* ---- a message ---- */
script ::= statements.
script ::= statements statement.
statements ::= .
statements ::= statements SEMI.
statements ::= statements statement SEMI.

statement ::= USE(T) ID(N).                 { q_build_use(p, T, N); }
statement ::= BEGIN(T).                     { q_build_stmt(p, Q_S_BEGIN, T); }
statement ::= BEGIN(T) TRANSACTION.         { q_build_stmt(p, Q_S_BEGIN, T); }
statement ::= COMMIT(T).                    { q_build_stmt(p, Q_S_COMMIT, T); }
statement ::= COMMIT(T) TRANSACTION.        { q_build_stmt(p, Q_S_COMMIT, T); }
statement ::= ROLLBACK(T).                  { q_build_stmt(p, Q_S_ROLLBACK, T); }
statement ::= ROLLBACK(T) TRANSACTION.      { q_build_stmt(p, Q_S_ROLLBACK, T); }
statement ::= ASSERT(T) expr(E).            { q_build_assert(p, T, E); }
statement ::= SHOW(T) BUCKETS(W).           { q_build_show(p, T, W, NULL); }
statement ::= SHOW(T) RECORDS(W).           { q_build_show(p, T, W, NULL); }
statement ::= SHOW(T) RECORD(W) ID(N).      { q_build_show(p, T, W, &N); }
statement ::= SHOW(T) ROLES(W).             { q_build_show_access(p, T, W, "roles", NULL); }
statement ::= SHOW(T) KEYS(W).              { q_build_show_access(p, T, W, "keys", NULL); }
statement ::= SHOW(T) GRANTS(W).            { q_build_show_access(p, T, W, "grants", NULL); }
statement ::= SHOW(T) GRANTS(W) FOR ID(N).  { q_build_show_access(p, T, W, "grants", &N); }

/* ---- INSERT ---- */
statement ::= INSERT(T) INTO ID(N) rows(R). { q_build_insert(p, T, N, q_finish(p, R, sizeof(q_insert_row))); }
%type rows { uint32_t }
rows(A) ::= row(R).                         { A = R; }
rows(A) ::= rows(A) COMMA row.
%type row { uint32_t }
row(A) ::= LBRACE(T) RBRACE.                { A = q_mark(p); q_push_row(p, T, (q_list){ 0, NULL }); }
row(A) ::= LBRACE(T) members(M) RBRACE.     { q_list l = q_finish(p, M, sizeof(q_member)); A = q_mark(p); q_push_row(p, T, l); }

/* Few reductions for what texts hold most of: an item and the list before it are one rule. */
%type members { uint32_t }
members(A) ::= anyname(K) COLON expr(E).             { A = q_mark(p); q_push_member(p, K, false, E); }
members(A) ::= STRING(K) COLON expr(E).              { A = q_mark(p); q_push_member(p, K, true, E); }
members(A) ::= members(A) COMMA anyname(K) COLON expr(E). { q_push_member(p, K, false, E); }
members(A) ::= members(A) COMMA STRING(K) COLON expr(E).  { q_push_member(p, K, true, E); }
members(A) ::= anyname(K) COLON expr(E) AT(T) expr(F).
    { A = q_mark(p); q_push_member(p, K, false, q_build_binary(p, Q_OP_NONE, T, E, F)); }
members(A) ::= STRING(K) COLON expr(E) AT(T) expr(F).
    { A = q_mark(p); q_push_member(p, K, true, q_build_binary(p, Q_OP_NONE, T, E, F)); }
members(A) ::= members(A) COMMA anyname(K) COLON expr(E) AT(T) expr(F).
    { q_push_member(p, K, false, q_build_binary(p, Q_OP_NONE, T, E, F)); }
members(A) ::= members(A) COMMA STRING(K) COLON expr(E) AT(T) expr(F).
    { q_push_member(p, K, true, q_build_binary(p, Q_OP_NONE, T, E, F)); }

/* ---- SELECT ---- */
statement ::= select(S).                    { q_build_select_stmt(p, S); }
%type select { q_stmt * }
select(A) ::= SELECT(T) columns(C) FROM ID(N) where(W) groups(G) having(H) orders(O) limits(L).
                                            { A = q_build_select(p, T, false, C, N, W, G, H, O, L); }
select(A) ::= SELECT(T) STAR FROM ID(N) where(W) groups(G) having(H) orders(O) limits(L).
                                            { A = q_build_select(p, T, true, (q_list){ 0, NULL }, N, W, G, H, O, L); }
select(A) ::= SELECT(T) STAR COMMA columns(C) FROM ID(N) where(W) groups(G) having(H) orders(O) limits(L).
                                            { A = q_build_select(p, T, true, C, N, W, G, H, O, L); }
%type columns { q_list }
%type column_list { uint32_t }
%type column { uint32_t }
columns(A) ::= column_list(M).              { A = q_finish(p, M, sizeof(q_column)); }
column_list(A) ::= column(C).               { A = C; }
column_list(A) ::= column_list(A) COMMA column.
column(A) ::= expr(E).                      { A = q_mark(p); q_push_column(p, E, NULL); }
column(A) ::= expr(E) AS anyname(N).        { A = q_mark(p); q_push_column(p, E, &N); }

where(A) ::= .                              { A = NULL; }
where(A) ::= WHERE expr(E).                 { A = E; }
%type groups { q_list }
groups(A) ::= .                             { A = (q_list){ 0, NULL }; }
groups(A) ::= GROUP BY exprs(M).            { A = q_finish(p, M, sizeof(q_expr *)); }
having(A) ::= .                             { A = NULL; }
having(A) ::= HAVING expr(E).               { A = E; }
%type orders { q_list }
%type order_list { uint32_t }
%type order { uint32_t }
orders(A) ::= .                             { A = (q_list){ 0, NULL }; }
orders(A) ::= ORDER BY order_list(M).       { A = q_finish(p, M, sizeof(q_order)); }
order_list(A) ::= order(O).                 { A = O; }
order_list(A) ::= order_list(A) COMMA order.
order(A) ::= expr(E) direction(D) nulls(N). { A = q_mark(p); q_push_order(p, E, D, N); }
%type direction { bool }
direction(A) ::= .                          { A = false; }
direction(A) ::= ASC.                       { A = false; }
direction(A) ::= DESC.                      { A = true; }
%type nulls { bool }
nulls(A) ::= .                              { A = false; }
nulls(A) ::= NULLS FIRST.                   { A = true; }
nulls(A) ::= NULLS LAST.                    { A = false; }
%type limits { q_clauses }
limits(A) ::= .                             { A = (q_clauses){ NULL, NULL }; }
limits(A) ::= LIMIT expr(L).                { A = (q_clauses){ L, NULL }; }
limits(A) ::= LIMIT expr(L) OFFSET expr(O). { A = (q_clauses){ L, O }; }
limits(A) ::= OFFSET expr(O).               { A = (q_clauses){ NULL, O }; }
limits(A) ::= OFFSET expr(O) LIMIT expr(L). { A = (q_clauses){ L, O }; }

/* ---- UPDATE, DELETE ---- */
statement ::= UPDATE(T) ID(N) SET sets(M) where(W). { q_build_update(p, T, N, q_finish(p, M, sizeof(q_assign)), W); }
%type sets { uint32_t }
%type set { uint32_t }
sets(A) ::= set(S).                         { A = S; }
sets(A) ::= sets(A) COMMA set.
set(A) ::= target(P) EQ value(E).           { A = q_mark(p); q_push_set(p, P, Q_SET, E); }
set(A) ::= target(P) ADD_TO value(E).       { A = q_mark(p); q_push_set(p, P, Q_SET_ADD, E); }
set(A) ::= target(P) TAKE_FROM value(E).    { A = q_mark(p); q_push_set(p, P, Q_SET_REMOVE, E); }
target(A) ::= ID(N).                        { A = q_build_path1(p, N); }
target(A) ::= path(A).
value(A) ::= expr(A).
value(A) ::= expr(E) AT(T) expr(F).         { A = q_build_binary(p, Q_OP_NONE, T, E, F); }
statement ::= DELETE(T) FROM ID(N) where(W). { q_build_delete(p, T, N, W); }

/* ---- expressions ---- */
expr(A) ::= STRING(T).                      { A = q_build_string(p, T); }
expr(A) ::= INTEGER(T).                     { A = q_build_integer(p, T); }
expr(A) ::= FLOAT(T).                       { A = q_build_float(p, T); }
expr(A) ::= TRUE(T).                        { A = q_build_bool(p, T, true); }
expr(A) ::= FALSE(T).                       { A = q_build_bool(p, T, false); }
expr(A) ::= NULL(T).                        { A = q_build_null(p, T); }
expr(A) ::= PARAM(T).                       { A = q_build_param(p, T); }
expr(A) ::= ID(N).                          { A = q_build_path1(p, N); }
expr(A) ::= path(A).
expr(A) ::= LP expr(E) RP.                  { A = E; }
expr(A) ::= LP(T) select(S) RP.             { A = q_build_subquery(p, T, S); }
expr(A) ::= LBRACE(T) RBRACE.               { A = q_build_object(p, T, (q_list){ 0, NULL }); }
expr(A) ::= LBRACE(T) members(M) RBRACE.    { A = q_build_object(p, T, q_finish(p, M, sizeof(q_member))); }
expr(A) ::= LBRACKET(T) RBRACKET.           { A = q_build_array(p, T, (q_list){ 0, NULL }); }
expr(A) ::= LBRACKET(T) exprs(M) RBRACKET.  { A = q_build_array(p, T, q_finish(p, M, sizeof(q_expr *))); }

expr(A) ::= expr(E) OR(T) expr(F).          { A = q_build_binary(p, Q_OP_OR, T, E, F); }
expr(A) ::= expr(E) AND(T) expr(F).         { A = q_build_binary(p, Q_OP_AND, T, E, F); }
expr(A) ::= NOT(T) expr(E).                 { A = q_build_not(p, T, E); }
expr(A) ::= expr(E) EQ(T) expr(F).          { A = q_build_binary(p, Q_OP_EQ, T, E, F); }
expr(A) ::= expr(E) NE(T) expr(F).          { A = q_build_binary(p, Q_OP_NE, T, E, F); }
expr(A) ::= expr(E) LT(T) expr(F).          { A = q_build_binary(p, Q_OP_LT, T, E, F); }
expr(A) ::= expr(E) LE(T) expr(F).          { A = q_build_binary(p, Q_OP_LE, T, E, F); }
expr(A) ::= expr(E) GT(T) expr(F).          { A = q_build_binary(p, Q_OP_GT, T, E, F); }
expr(A) ::= expr(E) GE(T) expr(F).          { A = q_build_binary(p, Q_OP_GE, T, E, F); }
expr(A) ::= expr(E) PLUS(T) expr(F).        { A = q_build_binary(p, Q_OP_ADD, T, E, F); }
expr(A) ::= expr(E) MINUS(T) expr(F).       { A = q_build_binary(p, Q_OP_SUB, T, E, F); }
expr(A) ::= expr(E) STAR(T) expr(F).        { A = q_build_binary(p, Q_OP_MUL, T, E, F); }
expr(A) ::= expr(E) SLASH(T) expr(F).       { A = q_build_binary(p, Q_OP_DIV, T, E, F); }
expr(A) ::= expr(E) PERCENT(T) expr(F).     { A = q_build_binary(p, Q_OP_MOD, T, E, F); }
expr(A) ::= MINUS(T) expr(E). [UMINUS]      { A = q_build_negative(p, T, E); }
expr(A) ::= PLUS expr(E). [UMINUS]          { A = E; }

expr(A) ::= expr(E) IN(T) LP exprs(M) RP.     { A = q_build_in(p, T, E, q_finish(p, M, sizeof(q_expr *)), NULL, false); }
expr(A) ::= expr(E) NOT_IN(T) LP exprs(M) RP. { A = q_build_in(p, T, E, q_finish(p, M, sizeof(q_expr *)), NULL, true); }
expr(A) ::= expr(E) IN(T) PARAM(L).           { A = q_build_in(p, T, E, (q_list){ 0, NULL }, &L, false); }
expr(A) ::= expr(E) NOT_IN(T) PARAM(L).       { A = q_build_in(p, T, E, (q_list){ 0, NULL }, &L, true); }
expr(A) ::= expr(E) LIKE(T) expr(F).          { A = q_build_like(p, T, E, F, false); }
expr(A) ::= expr(E) NOT_LIKE(T) expr(F).      { A = q_build_like(p, T, E, F, true); }
expr(A) ::= expr(E) BETWEEN(T) expr(L) AND expr(H). [BETWEEN]
                                              { A = q_build_between(p, T, E, L, H, false); }
expr(A) ::= expr(E) NOT_BETWEEN(T) expr(L) AND expr(H). [BETWEEN]
                                              { A = q_build_between(p, T, E, L, H, true); }
expr(A) ::= expr(E) IS(T) NULL.               { A = q_build_is_null(p, T, E, false); }
expr(A) ::= expr(E) IS(T) NOT NULL.           { A = q_build_is_null(p, T, E, true); }

%type exprs { uint32_t }
exprs(A) ::= expr(E).                       { A = q_mark(p); q_push_expr(p, E); }
exprs(A) ::= exprs(A) COMMA expr(E).        { q_push_expr(p, E); }

/* ---- functions: which one it is, build.c decides by the name ---- */
expr(A) ::= ID(F) LP STAR RP.               { A = q_build_call_star(p, F); }
expr(A) ::= ID(F) LP expr(E) RP.            { A = q_build_call(p, F, E); }
expr(A) ::= ID(F) LP select(S) RP.          { A = q_build_call_select(p, F, S); }
expr(A) ::= ID(F) LP arrows(N) RP.          { A = q_build_call_path(p, F, N, (q_list){ 0, NULL }, (q_list){ 0, NULL }); }
expr(A) ::= ID(F) LP arrows(N) RP tail(M).  { q_list l = q_finish(p, M, sizeof(q_slice));
                                              A = q_build_call_path(p, F, N, l, (q_list){ 0, NULL }); }
expr(A) ::= ID(F) LP arrows(N) RP tail(M) steps(S).
                                            { q_list s = q_finish(p, S, sizeof(q_step)); q_list l = q_finish(p, M, sizeof(q_slice));
                                              A = q_build_call_path(p, F, N, l, s); }
expr(A) ::= ID(F) LP expr(E) RP tail(M).    { q_list l = q_finish(p, M, sizeof(q_slice));
                                              A = q_build_call_path1(p, F, E, l, (q_list){ 0, NULL }); }
expr(A) ::= ID(F) LP expr(E) RP tail(M) steps(S).
                                            { q_list s = q_finish(p, S, sizeof(q_step)); q_list l = q_finish(p, M, sizeof(q_slice));
                                              A = q_build_call_path1(p, F, E, l, s); }
%type arrows { q_list }
%type arrow_list { uint32_t }
arrows(A) ::= arrow_list(M).                { A = q_finish(p, M, sizeof(q_slice)); }
arrow_list(A) ::= ID(N) ARROW ID(O).        { A = q_mark(p); q_push_name(p, N); q_push_name(p, O); }
arrow_list(A) ::= arrow_list(A) ARROW ID(O). { q_push_name(p, O); }
%type tail { uint32_t }
tail(A) ::= DOT anyname(N).                 { A = q_mark(p); q_push_name(p, N); }
tail(A) ::= tail(A) DOT anyname(N).         { q_push_name(p, N); }

/* ---- paths of more than one name; and those with [index] or ["key"] and what follows it ---- */
path(A) ::= ID(N) steps(S).                 { q_list s = q_finish(p, S, sizeof(q_step));
                                              uint32_t m = q_mark(p); q_push_name(p, N);
                                              A = q_build_path(p, N.pos, q_finish(p, m, sizeof(q_slice)), s); }
path(A) ::= dotted(D).                      { A = q_build_path(p, D.pos, q_finish(p, D.mark, sizeof(q_slice)), (q_list){ 0, NULL }); }
path(A) ::= dotted(D) steps(S).             { q_list s = q_finish(p, S, sizeof(q_step));
                                              A = q_build_path(p, D.pos, q_finish(p, D.mark, sizeof(q_slice)), s); }
%type dotted { struct { q_pos pos; uint32_t mark; } }
dotted(A) ::= ID(N) DOT anyname(O).         { A.pos = N.pos; A.mark = q_mark(p); q_push_name(p, N); q_push_name(p, O); }
dotted(A) ::= dotted(A) DOT anyname(O).     { q_push_name(p, O); }
%type steps { uint32_t }
steps(A) ::= LBRACKET INTEGER(I) RBRACKET.          { A = q_mark(p); q_push_step_index(p, I); }
steps(A) ::= LBRACKET STRING(K) RBRACKET.           { A = q_mark(p); q_push_step_key(p, K, true); }
steps(A) ::= steps(A) LBRACKET INTEGER(I) RBRACKET. { q_push_step_index(p, I); }
steps(A) ::= steps(A) LBRACKET STRING(K) RBRACKET.  { q_push_step_key(p, K, true); }
steps(A) ::= steps(A) DOT anyname(K).               { q_push_step_key(p, K, false); }

/* ---- definitions ---- */
statement ::= CREATE(T) BUCKET not_exists(I) ID(N).             { q_build_ddl_bucket(p, T, Q_DDL_CREATE_BUCKET, N, I, false); }
statement ::= DROP(T) BUCKET exists(I) ID(N) cascade(C).        { q_build_ddl_bucket(p, T, Q_DDL_DROP_BUCKET, N, I, C); }
statement ::= CREATE(T) RECORD not_exists(I) ID(N) LP attrs(M) RP.
    { q_build_ddl_record(p, T, Q_DDL_CREATE_RECORD, N, I, q_finish(p, M, sizeof(q_attr))); }
statement ::= CREATE(T) RECORD not_exists(I) ID(N) LP RP.
    { q_build_ddl_record(p, T, Q_DDL_CREATE_RECORD, N, I, (q_list){ 0, NULL }); }
statement ::= CREATE(T) RECORD not_exists(I) LBRACE(O) members(M) RBRACE(C).
    { (void)q_finish(p, M, sizeof(q_member)); q_build_ddl_json(p, T, I, O, C); }
statement ::= ALTER(T) RECORD exists(I) ID(N) ADD not_exists(J) attrs(M).
    { q_build_ddl_alter(p, T, N, I, J, q_finish(p, M, sizeof(q_attr))); }
statement ::= ALTER(T) RECORD exists(I) ID(N) ADD not_exists(J) LP attrs(M) RP.
    { q_build_ddl_alter(p, T, N, I, J, q_finish(p, M, sizeof(q_attr))); }
statement ::= DROP(T) RECORD exists(I) ID(N).
    { q_build_ddl_record(p, T, Q_DDL_DROP_RECORD, N, I, (q_list){ 0, NULL }); }

/* ---- roles, grants, keys ---- */
statement ::= CREATE(T) ROLE not_exists(I) ID(N).               { q_build_role(p, T, Q_DDL_CREATE_ROLE, N, I); }
statement ::= DROP(T) ROLE exists(I) ID(N).                     { q_build_role(p, T, Q_DDL_DROP_ROLE, N, I); }
statement ::= GRANT(T) privileges(M) ON ID(N) TO ID(R) where(W).
    { q_build_grant(p, T, Q_DDL_GRANT, q_finish(p, M, sizeof(q_privilege)), false, N, R, W); }
statement ::= GRANT(T) privileges(M) ON BUCKET ID(N) TO ID(R).
    { q_build_grant(p, T, Q_DDL_GRANT, q_finish(p, M, sizeof(q_privilege)), true, N, R, NULL); }
statement ::= REVOKE(T) privileges(M) ON ID(N) FROM ID(R).
    { q_build_grant(p, T, Q_DDL_REVOKE, q_finish(p, M, sizeof(q_privilege)), false, N, R, NULL); }
statement ::= REVOKE(T) privileges(M) ON BUCKET ID(N) FROM ID(R).
    { q_build_grant(p, T, Q_DDL_REVOKE, q_finish(p, M, sizeof(q_privilege)), true, N, R, NULL); }
%type privileges { uint32_t }
%type privilege { uint32_t }
privileges(A) ::= privilege(B).             { A = B; }
privileges(A) ::= privileges(A) COMMA privilege.
privilege(A) ::= privilege_word(P).         { A = q_mark(p); q_push_privilege(p, P, (q_list){ 0, NULL }); }
privilege(A) ::= privilege_word(P) LP names(M) RP. { q_list l = q_finish(p, M, sizeof(q_slice)); A = q_mark(p); q_push_privilege(p, P, l); }
%type privilege_word { q_tok_privilege }
privilege_word(A) ::= SELECT(T).            { A = (q_tok_privilege){ T, Q_PRIV_SELECT }; }
privilege_word(A) ::= INSERT(T).            { A = (q_tok_privilege){ T, Q_PRIV_INSERT }; }
privilege_word(A) ::= UPDATE(T).            { A = (q_tok_privilege){ T, Q_PRIV_UPDATE }; }
privilege_word(A) ::= DELETE(T).            { A = (q_tok_privilege){ T, Q_PRIV_DELETE }; }
privilege_word(A) ::= ADMIN(T).             { A = (q_tok_privilege){ T, Q_PRIV_ADMIN }; }
privilege_word(A) ::= ALL(T).               { A = (q_tok_privilege){ T, Q_PRIV_ALL }; }
%type names { uint32_t }
names(A) ::= anyname(N).                    { A = q_mark(p); q_push_name(p, N); }
names(A) ::= names(A) COMMA anyname(N).     { q_push_name(p, N); }
statement ::= CREATE(T) KEY not_exists(I) ID(N) FOR ROLE ID(R) hash(H) expires(E). { q_build_key(p, T, Q_DDL_CREATE_KEY, N, I, &R, H, E); }
statement ::= ALTER(T) KEY ID(N) hash(H) expires(E).            { q_build_key(p, T, Q_DDL_ALTER_KEY, N, false, NULL, H, E); }
statement ::= DROP(T) KEY exists(I) ID(N).                      { q_build_key(p, T, Q_DDL_DROP_KEY, N, I, NULL, NULL, NULL); }
hash(A) ::= .                               { A = NULL; }
hash(A) ::= HASH STRING(S).                 { A = q_build_string(p, S); }
expires(A) ::= .                            { A = NULL; }
expires(A) ::= EXPIRES expr(E).             { A = E; }

%type not_exists { bool }
not_exists(A) ::= .                         { A = false; }
not_exists(A) ::= IF NOT EXISTS.            { A = true; }
%type exists { bool }
exists(A) ::= .                             { A = false; }
exists(A) ::= IF EXISTS.                    { A = true; }
%type cascade { bool }
cascade(A) ::= .                            { A = false; }
cascade(A) ::= CASCADE.                     { A = true; }

%type attrs { uint32_t }
%type attr { uint32_t }
attrs(A) ::= attr(B).                       { A = B; }
attrs(A) ::= attrs(A) COMMA attr.
attr(A) ::= anyname(N) SCALAR ID(D) scalar_flags(F).      { A = q_mark(p); q_push_scalar(p, N, D, F); }
attr(A) ::= anyname(N) DOCUMENT.                          { A = q_mark(p); q_push_document(p, N); }
attr(A) ::= anyname(N) RELATION TO ID(T) relation_flags(F). { A = q_mark(p); q_push_relation(p, N, T, F); }
attr(A) ::= anyname(N) METRIC.                            { A = q_mark(p); q_push_metric(p, N, NULL, NULL, false); }
attr(A) ::= anyname(N) METRIC ID(D).                      { A = q_mark(p); q_push_metric(p, N, &D, NULL, false); }
attr(A) ::= anyname(N) METRIC UNIT anyname(U).            { A = q_mark(p); q_push_metric(p, N, NULL, &U, false); }
attr(A) ::= anyname(N) METRIC UNIT STRING(U).             { A = q_mark(p); q_push_metric(p, N, NULL, &U, true); }
attr(A) ::= anyname(N) METRIC ID(D) UNIT anyname(U).      { A = q_mark(p); q_push_metric(p, N, &D, &U, false); }
attr(A) ::= anyname(N) METRIC ID(D) UNIT STRING(U).       { A = q_mark(p); q_push_metric(p, N, &D, &U, true); }
%type scalar_flags { q_attr_flags }
scalar_flags(A) ::= .                       { A = (q_attr_flags){ 0 }; }
scalar_flags(A) ::= scalar_flags(A) REQUIRED. { A.required = true; }
scalar_flags(A) ::= scalar_flags(A) UNIQUE.   { A.unique = true; }
%type relation_flags { q_attr_flags }
relation_flags(A) ::= .                     { A = (q_attr_flags){ 0 }; }
relation_flags(A) ::= relation_flags(A) MANY.     { A.many = true; }
relation_flags(A) ::= relation_flags(A) ONE.      { A.one = true; }
relation_flags(A) ::= relation_flags(A) REQUIRED. { A.required = true; }

%code {
/* The driver. It stands here so that the automaton becomes a part of its loop: a call for each token costs as much as its work. */
uint32_t q_grammar_run(q_parser *p)
{
    yyParser automaton;
    uint32_t number = 0, depth = 0;
    bool counted = false;
    int id, before = Q_TK_SEMI;
    q_grammarInit(&automaton, p);
    do {
        q_tok tok;
        id = q_lex(&p->lexer, &tok);
        if (before == Q_TK_SEMI && id != Q_TK_SEMI && id != 0) { /* a statement begins */
            counted = id != Q_TK_USE && id != Q_TK_BEGIN && id != Q_TK_COMMIT && id != Q_TK_ROLLBACK;
            number += counted;
        }
        before = id;
        if (id <= Q_TK_RBRACKET) { /* the brackets are the first terminals; and the end */
            if (id >= Q_TK_RP)
                depth -= depth > 0;
            else if (id && ++depth > Q_QL_MAX_DEPTH)
                q_parse_fail(p, Q_E_QQL_LIMIT, tok.pos, "brackets may nest %d levels deep", Q_QL_MAX_DEPTH);
        } else if (id == Q_TK_ERROR) {
            q_parse_lex_error(p, tok);
        }
        if (p->stop)
            break;
        q_grammar(&automaton, id, tok);
        if (p->stop == Q_PARSE_UNEXPECTED)
            q_expect_error(p, id, tok);
        else if (p->stop == Q_PARSE_OVERFLOW)
            q_parse_fail(p, Q_E_QQL_LIMIT, tok.pos, "expressions may nest %d levels deep", Q_QL_MAX_DEPTH);
    } while (id != 0 && !p->stop);
    return counted ? number : 0;
}

/* What the automaton would do with `token` in `state`, without the fallback of keywords to names. */
static YYACTIONTYPE strict_action(YYACTIONTYPE state, int token)
{
    if (state > YY_MAX_SHIFT)
        return state;
    int i = yy_shift_ofst[state] + token;
    return yy_lookahead[i] == token ? yy_action[i] : yy_default[state];
}

/* Runs `token` on a stack of states only. Returns whether it was shifted (or ends the text). */
static bool run_states(YYACTIONTYPE *stack, int *top, int token, bool strict)
{
    for (;;) {
        YYACTIONTYPE act = strict ? strict_action(stack[*top], token) : yy_find_shift_action((YYCODETYPE)token, stack[*top]);
        if (act >= YY_MIN_REDUCE) {
            unsigned rule = (unsigned)act - YY_MIN_REDUCE;
            *top += yyRuleInfoNRhs[rule]; /* negative */
            YYACTIONTYPE next = yy_find_reduce_action(stack[*top], yyRuleInfoLhs[rule]);
            if (next == YY_ACCEPT_ACTION)
                return true;
            if (*top + 1 >= YYSTACKDEPTH)
                return false;
            stack[++*top] = next;
        } else if (act <= YY_MAX_SHIFTREDUCE) {
            if (*top + 1 >= YYSTACKDEPTH)
                return false;
            if (act > YY_MAX_SHIFT)
                act = (YYACTIONTYPE)(act + YY_MIN_REDUCE - YY_MIN_SHIFTREDUCE);
            stack[++*top] = act;
            return true;
        } else {
            return act == YY_ACCEPT_ACTION;
        }
    }
}

/* Default reductions have changed the stack by the time an error is seen, so the text is run again, states only, to just before it;
 * there each terminal is tried. Source of the idea: "lookahead correction", Denny and Malloy, IELR(1), 2010; Bison's manual, LAC. */
int q_grammar_expected(const q_lexer *start, uint32_t offset, bool *accepted, int max)
{
    YYACTIONTYPE stack[YYSTACKDEPTH], copy[YYSTACKDEPTH];
    int top = 0;
    q_lexer lx = *start;
    q_tok tok;
    stack[0] = 0;
    for (int id; (id = q_lex(&lx, &tok)) != 0 && id != Q_TK_ERROR && tok.offset < offset;)
        if (!run_states(stack, &top, id, false))
            break;
    for (int t = 0; t < YYNTOKEN && t < max; t++) {
        int copy_top = top;
        memcpy(copy, stack, sizeof(stack[0]) * (size_t)(top + 1));
        accepted[t] = run_states(copy, &copy_top, t, true);
    }
    return YYNTOKEN;
}
}
