/* grant.c - roles, grants and keys: from tokens to q_ddl, and as canonical text. docs/permissions.md says what they mean. */
#include "quantaql/print.h"

#include <sodium.h>

static q_stmt *access(q_parser *p, q_tok at, q_ddl_kind kind, q_tok name, q_access_ddl **out)
{
    q_stmt *s = q_build_stmt(p, Q_S_DDL, at);
    *out = s ? q_parse_alloc(p, sizeof **out) : NULL;
    if (!*out)
        return NULL;
    s->name_pos = name.pos;
    s->ddl.kind = kind;
    s->ddl.access = *out;
    return s;
}

void q_push_privilege(q_parser *p, q_tok_privilege word, q_list fields)
{
    q_privilege what = { .privs = word.privs, .field_count = fields.count, .fields = fields.items };
    if (fields.count > Q_MAX_ATTRIBUTES)
        q_parse_fail(p, Q_E_QQL_LIMIT, word.at.pos, "a privilege may name %d attributes", Q_MAX_ATTRIBUTES);
    if (fields.count && word.privs & ~(unsigned)(Q_PRIV_SELECT | Q_PRIV_INSERT | Q_PRIV_UPDATE)) {
        q_parse_fail(p, Q_E_QQL_SYNTAX, word.at.pos, "only SELECT, INSERT and UPDATE name attributes");
        q_parse_hint(p, "DELETE, ALL and ADMIN are of whole records.");
    }
    q_push(p, &what, sizeof what);
}

void q_build_role(q_parser *p, q_tok at, q_ddl_kind kind, q_tok name, bool if_)
{
    q_access_ddl *d;
    q_stmt *s = access(p, at, kind, name, &d);
    if (!s)
        return;
    d->role = q_tok_name(p, name);
    s->ddl.if_not_exists = kind == Q_DDL_CREATE_ROLE && if_;
    s->ddl.if_exists = kind == Q_DDL_DROP_ROLE && if_;
}

/* What ALL and ADMIN are of depends on what they are on. */
static void fit_privileges(q_parser *p, q_tok at, q_list list, bool on_bucket)
{
    q_privilege *all = list.items;
    for (uint32_t i = 0; i < list.count; i++) {
        if (!on_bucket && all[i].privs == Q_PRIV_ALL)
            all[i].privs = Q_PRIV_DATA;
        if (!on_bucket && all[i].privs == Q_PRIV_ADMIN) {
            q_parse_fail(p, Q_E_QQL_SYNTAX, at.pos, "ADMIN is a privilege on a bucket");
            q_parse_hint(p, "GRANT ADMIN ON BUCKET name TO role.");
        }
        if (on_bucket && all[i].field_count)
            q_parse_fail(p, Q_E_QQL_SYNTAX, at.pos, "a privilege on a bucket names no attributes");
    }
}

/* The condition's text is what is stored; the tree is for the check. */
static q_slice condition_text(q_parser *p, q_expr *where)
{
    q_buf text = Q_BUF_INIT(Q_MAX_CONDITION_BYTES);
    if (p->failed)
        return Q_SLICE_NONE;
    q_ql_print_expr(where, &text);
    q_slice s = text.failed ? Q_SLICE_NONE : q_arena_copy(p->arena, q_buf_slice(&text));
    if (!s.ptr)
        q_parse_fail(p, Q_E_QQL_LIMIT, where->pos, "a grant's condition may have %d bytes", Q_MAX_CONDITION_BYTES);
    q_buf_free(&text);
    return s;
}

void q_build_grant(q_parser *p, q_tok at, q_ddl_kind kind, q_list privileges, bool on_bucket, q_tok on, q_tok role, q_expr *where)
{
    q_access_ddl *d;
    q_stmt *s = access(p, at, kind, on, &d);
    if (!s)
        return;
    fit_privileges(p, at, privileges, on_bucket);
    d->role = q_tok_name(p, role);
    d->on_bucket = on_bucket;
    d->count = privileges.count;
    d->privileges = privileges.items;
    if (on_bucket)
        s->bucket = q_tok_name(p, on);
    else
        s->ddl.record = s->record_name = q_tok_name(p, on);
    s->where = where;
    if (where)
        d->where = condition_text(p, where);
}

static void take_hash(q_parser *p, q_access_ddl *d, const q_expr *hash)
{
    size_t n = 0;
    q_slice s = hash->value.s;
    d->has_hash = true;
    if (s.len == 2 * Q_KEY_HASH_BYTES && sodium_hex2bin(d->hash, sizeof d->hash, s.ptr, s.len, NULL, &n, NULL) == 0 && n == sizeof d->hash)
        return;
    q_parse_fail(p, Q_E_QQL_VALUE, hash->pos, "a key's hash is %d hexadecimal digits", 2 * Q_KEY_HASH_BYTES);
    q_parse_hint(p, "`quanta key new` makes a key and prints the statement with its hash; the key itself is never sent.");
}

void q_build_key(q_parser *p, q_tok at, q_ddl_kind kind, q_tok name, bool if_, const q_tok *role, q_expr *hash, q_expr *expires)
{
    q_access_ddl *d;
    q_stmt *s = access(p, at, kind, name, &d);
    if (!s)
        return;
    d->key = q_tok_name(p, name);
    if (role)
        d->role = q_tok_name(p, *role);
    s->ddl.if_not_exists = kind == Q_DDL_CREATE_KEY && if_;
    s->ddl.if_exists = kind == Q_DDL_DROP_KEY && if_;
    if (hash)
        take_hash(p, d, hash);
    if (expires && expires->kind == Q_X_LITERAL && (expires->value.type == Q_T_TIME || expires->value.type == Q_T_NULL)) {
        d->has_expires = true;
        d->expires_us = expires->value.type == Q_T_TIME ? expires->value.i : 0;
        if (expires->value.type == Q_T_TIME && expires->value.i <= 0)
            q_parse_fail(p, Q_E_QQL_VALUE, expires->pos, "a key can't expire before 1970");
    } else if (expires) {
        q_parse_fail(p, Q_E_QQL_TYPE, expires->pos, "EXPIRES takes a time, or NULL for never");
        q_parse_hint(p, "EXPIRES time(\"2027-01-01T00:00:00Z\").");
    }
    if (kind == Q_DDL_CREATE_KEY && !hash) {
        q_parse_fail(p, Q_E_QQL_SYNTAX, name.pos, "CREATE KEY needs HASH: the key itself is never sent");
        q_parse_hint(p, "`quanta key new` makes a key and prints the statement with its hash.");
    }
    if (kind == Q_DDL_ALTER_KEY && !hash && !expires)
        q_parse_fail(p, Q_E_QQL_SYNTAX, name.pos, "ALTER KEY changes HASH or EXPIRES: one of them is needed");
}

void q_build_show_access(q_parser *p, q_tok at, q_tok what, const char *name, const q_tok *role)
{
    q_stmt *s = q_build_stmt(p, Q_S_SHOW, at);
    if (!s)
        return;
    s->name_pos = role ? role->pos : what.pos;
    s->show = q_slice_cstr(name);
    if (role)
        s->role = q_tok_name(p, *role);
}

/* ---- printing ------------------------------------------------------------------------------------------------------------ */

static void print_privileges(const q_stmt *s, q_buf *out)
{
    const q_access_ddl *d = s->ddl.access;
    for (uint32_t i = 0; i < d->count; i++) {
        const q_privilege *w = &d->privileges[i];
        bool all = w->privs == (d->on_bucket ? (unsigned)Q_PRIV_ALL : (unsigned)Q_PRIV_DATA);
        q_buf_printf(out, "%s%s", i ? ", " : " ", all ? "ALL" : q_priv_name((q_priv)w->privs));
        for (uint32_t j = 0; j < w->field_count; j++) {
            q_buf_add_cstr(out, j ? ", " : " (");
            q_print_any_name(w->fields[j], out);
        }
        q_buf_add_cstr(out, w->field_count ? ")" : "");
    }
    q_buf_add_cstr(out, d->on_bucket ? " ON BUCKET " : " ON ");
    q_print_name(d->on_bucket ? s->bucket : s->ddl.record, out);
    q_buf_add_cstr(out, s->ddl.kind == Q_DDL_GRANT ? " TO " : " FROM ");
    q_print_name(d->role, out);
    if (d->where.len) {
        q_buf_add_cstr(out, " WHERE ");
        q_buf_add_slice(out, d->where);
    }
}

static void print_key_parts(const q_access_ddl *d, q_buf *out)
{
    char hex[2 * Q_KEY_HASH_BYTES + 1];
    if (d->has_hash)
        q_buf_printf(out, " HASH \"%s\"", sodium_bin2hex(hex, sizeof hex, d->hash, sizeof d->hash));
    if (!d->has_expires)
        return;
    q_expr e = { .kind = Q_X_LITERAL, .type = Q_T_TIME, .value = { .type = d->expires_us ? Q_T_TIME : Q_T_NULL, .i = d->expires_us } };
    q_buf_add_cstr(out, " EXPIRES ");
    q_ql_print_expr(&e, out);
}

void q_print_access(const q_stmt *s, q_buf *out)
{
    static const char *const verbs[] = { [Q_DDL_CREATE_ROLE] = "CREATE ROLE ", [Q_DDL_DROP_ROLE] = "DROP ROLE ", [Q_DDL_GRANT] = "GRANT",
        [Q_DDL_REVOKE] = "REVOKE", [Q_DDL_CREATE_KEY] = "CREATE KEY ", [Q_DDL_ALTER_KEY] = "ALTER KEY ", [Q_DDL_DROP_KEY] = "DROP KEY " };
    const q_access_ddl *d = s->ddl.access;
    q_buf_add_cstr(out, verbs[s->ddl.kind]);
    if (s->ddl.kind == Q_DDL_GRANT || s->ddl.kind == Q_DDL_REVOKE) {
        print_privileges(s, out);
        return;
    }
    q_buf_add_cstr(out, s->ddl.if_exists ? "IF EXISTS " : s->ddl.if_not_exists ? "IF NOT EXISTS " : "");
    q_print_name(d->key.len ? d->key : d->role, out);
    if (s->ddl.kind == Q_DDL_CREATE_KEY) {
        q_buf_add_cstr(out, " FOR ROLE ");
        q_print_name(d->role, out);
    }
    print_key_parts(d, out);
}
