/* The check of a whole message: one transaction, one bucket, numbered statements. */
#include "quantaql/check.h"
#include "quantaql/words.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- errors ---- */

bool q_check_placed(q_checker *c, q_pos pos)
{
    c->err->line = pos.line;
    c->err->column = pos.column;
    return false;
}

bool q_check_fail(q_checker *c, q_code code, q_pos pos, const char *fmt, ...)
{
    char message[sizeof c->err->message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    q_word_sentence(message, sizeof message, fmt);
    q_err_set(c->err, code, "%s", message);
    return q_check_placed(c, pos);
}

bool q_check_memory(q_checker *c, q_pos pos)
{
    return q_check_fail(c, Q_E_LIMIT_MEMORY, pos, "the statement's tree needs more memory than one may have");
}

q_pos q_check_locate(const q_checker *c, const char *at, q_pos fallback)
{
    const char *s = c->script->text.ptr, *line = s;
    q_pos pos = { 1, 1 };
    if (at < s || at >= s + c->script->text.len)
        return fallback;
    for (const char *nl; (nl = memchr(line, '\n', (size_t)(at - line))) != NULL; line = nl + 1)
        pos.line++;
    for (s = line; s < at; s++)
        pos.column += ((unsigned char)*s & 0xC0) != 0x80;
    return pos;
}

/* ---- the shape of a message ---- */

static bool is_numbered(const q_stmt *s)
{
    return s->kind != Q_S_USE && s->kind != Q_S_BEGIN && s->kind != Q_S_COMMIT && s->kind != Q_S_ROLLBACK;
}

static bool one_transaction(q_checker *c, q_pos pos, const char *why)
{
    q_check_fail(c, Q_E_QQL_ONE_TRANSACTION, pos, "%s", why);
    q_err_hint(c->err, "A message is one BEGIN ... COMMIT block or one statement; exec and shell split scripts.");
    return false;
}

static q_pos end_of_text(const q_checker *c)
{
    q_slice t = c->script->text;
    q_pos pos = { 1, 1 };
    for (size_t i = 0; i < t.len; i++) {
        if (t.ptr[i] == '\n')
            pos = (q_pos){ pos.line + 1, 1 };
        else
            pos.column += ((unsigned char)t.ptr[i] & 0xC0) != 0x80;
    }
    return pos;
}

static bool check_block(q_checker *c, uint32_t first)
{
    q_script *s = c->script;
    s->transaction = true;
    for (uint32_t i = first + 1; i < s->count; i++) {
        const q_stmt *stmt = c->stmt = &s->stmts[i];
        switch (stmt->kind) {
        case Q_S_COMMIT:
        case Q_S_ROLLBACK:
            if (i + 1 < s->count)
                return one_transaction(c, s->stmts[i + 1].pos, "Something follows the end of the transaction");
            c->stmt = NULL;
            s->rollback = stmt->kind == Q_S_ROLLBACK;
            return true;
        case Q_S_BEGIN:
            return one_transaction(c, stmt->pos, "A transaction can't begin inside of another");
        case Q_S_USE:
            return q_check_fail(c, Q_E_QQL_UNSUPPORTED, stmt->pos, "USE stands before BEGIN");
        case Q_S_DDL:
            q_check_fail(c, Q_E_QQL_UNSUPPORTED, stmt->pos, "definitions are transactions of their own: not inside BEGIN ... COMMIT");
            q_err_hint(c->err, "Send CREATE, ALTER and DROP one by one, without BEGIN.");
            return false;
        default:
            break;
        }
    }
    c->stmt = NULL;
    return one_transaction(c, end_of_text(c), "The transaction has no end: COMMIT or ROLLBACK is missing");
}

/* Sets transaction and rollback; after an error c->stmt is the statement at fault, where it is one. */
static bool check_shape(q_checker *c)
{
    q_script *s = c->script;
    uint32_t first = 0;
    while (first < s->count && s->stmts[first].kind == Q_S_USE)
        first++;
    if (first == s->count)
        return one_transaction(c, end_of_text(c), "The message holds no statement");
    const q_stmt *stmt = &s->stmts[first];
    if (stmt->kind == Q_S_BEGIN)
        return check_block(c, first);
    if (stmt->kind == Q_S_COMMIT || stmt->kind == Q_S_ROLLBACK)
        return one_transaction(c, stmt->pos, "There is no transaction to end");
    if (first + 1 < s->count)
        return one_transaction(c, s->stmts[first + 1].pos, "A second transaction begins here");
    return true;
}

static void number_statements(q_script *s)
{
    uint32_t number = 0;
    s->read_only = true;
    s->ddl = false;
    for (uint32_t i = 0; i < s->count; i++) {
        q_stmt *stmt = &s->stmts[i];
        stmt->number = is_numbered(stmt) ? ++number : 0;
        s->ddl = s->ddl || stmt->kind == Q_S_DDL;
        if (stmt->kind == Q_S_INSERT || stmt->kind == Q_S_UPDATE || stmt->kind == Q_S_DELETE || stmt->kind == Q_S_DDL)
            s->read_only = false;
    }
}

/* ---- the bucket ---- */

static bool names_its_bucket(const q_stmt *s)
{
    return (s->kind == Q_S_DDL && (s->ddl.kind == Q_DDL_CREATE_BUCKET || s->ddl.kind == Q_DDL_DROP_BUCKET));
}

static bool memory(q_checker *c) { return q_check_memory(c, (q_pos){ 0, 0 }); }

/* A bucket in which the principal has nothing isn't there. */
static bool enter(q_checker *c)
{
    if (!c->who || c->who->all)
        return true;
    if (!q_rights_of(c->arena, c->who, c->bucket, &c->rights))
        return memory(c);
    c->script->rights = c->rights;
    c->script->denied = c->bucket && !q_rights_bucket(c->rights);
    if (!q_rights_bucket(c->rights))
        c->bucket = NULL;
    return true;
}

static bool check_bucket(q_checker *c, q_slice bucket)
{
    q_script *s = c->script;
    q_pos pos = { 0, 0 };
    bool needed = false;
    for (uint32_t i = 0; i < s->count; i++) {
        q_stmt *stmt = &s->stmts[i];
        if (names_its_bucket(stmt)) {
            s->bucket = stmt->ddl.bucket;
            c->bucket = q_catalog_bucket(c->catalog, s->bucket);
            return enter(c);
        }
        if (stmt->kind == Q_S_DDL && q_ddl_is_access(stmt->ddl.kind) && stmt->ddl.access->on_bucket && !bucket.len)
            bucket = stmt->bucket; /* GRANT … ON BUCKET b says it, too */
        needed = needed || (is_numbered(stmt) && !(stmt->kind == Q_S_SHOW && stmt->show.len == 7 && stmt->show.ptr[0] == 'b'));
        if (stmt->kind != Q_S_USE)
            continue;
        if (bucket.len && !q_slice_eq(bucket, stmt->bucket)) {
            q_check_fail(c, Q_E_QQL_UNSUPPORTED, stmt->name_pos, "USE %.*s, but the request is for the bucket %.*s", Q_BRIEF(stmt->bucket),
                         Q_BRIEF(bucket));
            q_err_hint(c->err, "A transaction stays within one bucket.");
            return false;
        }
        bucket = stmt->bucket;
        pos = stmt->name_pos;
    }
    s->bucket = bucket;
    c->bucket = bucket.len ? q_catalog_bucket(c->catalog, bucket) : NULL;
    if (!enter(c))
        return false;
    if (c->bucket || !needed)
        return true;
    if (!bucket.len) {
        q_check_fail(c, Q_E_NO_BUCKET, pos, "the request names no bucket");
        q_err_hint(c->err, "Give the message a key, a bucket header, or begin with USE bucket;");
        return false;
    }
    q_check_fail(c, Q_E_UNKNOWN_BUCKET, pos, "there is no bucket %.*s", Q_BRIEF(bucket));
    q_slice near = c->rights ? Q_SLICE_NONE : q_catalog_suggest_bucket(c->catalog, bucket);
    if (near.len)
        q_err_hint(c->err, "Did you mean %.*s?", Q_SLICE_FMT(near));
    return false;
}

/* ---- all of it ---- */

static bool check_all(q_checker *c, q_slice bucket)
{
    number_statements(c->script);
    if (!check_shape(c) || !check_bucket(c, bucket) || !q_params_start(c))
        return false;
    for (uint32_t i = 0; i < c->script->count; i++) {
        c->stmt = &c->script->stmts[i];
        if (is_numbered(c->stmt) && !q_check_stmt(c, c->stmt))
            return false;
    }
    c->stmt = NULL;
    return q_params_all_used(c);
}

q_rc q_ql_check(q_arena *arena, q_script *script, const q_catalog *catalog, q_slice bucket, const q_param *params, size_t param_count,
                q_err *err)
{
    return q_ql_check_for(arena, script, catalog, bucket, params, param_count, NULL, err);
}

q_rc q_ql_check_for(q_arena *arena, q_script *script, const q_catalog *catalog, q_slice bucket, const q_param *params, size_t param_count,
                    const q_principal *who, q_err *err)
{
    q_checker c = { .arena = arena, .catalog = catalog, .script = script, .params = params, .param_count = param_count, .err = err, .who = who,
                    .pack = Q_BUF_INIT(Q_MAX_DOC_BYTES) };
    *err = Q_ERR_INIT;
    bool ok = check_all(&c, bucket);
    q_buf_free(&c.pack);
    if (ok)
        return Q_OK;
    err->statement = c.stmt ? c.stmt->number : 0;
    return Q_FAIL;
}
