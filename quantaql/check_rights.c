/* The check of permissions: what a principal doesn't know isn't found, what it may not do is refused, and which rows it may do it to becomes a
 * condition of the statement.
 *
 * While names are resolved, each attribute that is read is noted, apart for the statement's own record and for records behind relations. In the
 * end, for each of them: a row must satisfy, for every attribute noted, one of the grants that cover it. */
#include "quantaql/check.h"

enum { NOTED_WORDS = (Q_MAX_ATTRIBUTES + 63) / 64 };

struct q_noted { /* attributes read of one record */
    q_noted *next;
    const q_record *record;
    bool via;          /* behind a relation */
    uint64_t words[NOTED_WORDS];
};

struct q_condition { /* of a grant, parsed and checked; NULL expr: it can't be evaluated */
    q_condition *next;
    const q_grant *grant;
    q_expr *expr;
};

/* ---- refusals ------------------------------------------------------------------------------------------------------------- */

static void denied(q_checker *c, const q_record *r, const q_attr *a)
{
    c->script->denied = true;
    c->script->denied_record = r ? r->name : Q_SLICE_NONE;
    c->script->denied_attr = a ? a->name : Q_SLICE_NONE;
}

bool q_check_forbidden(q_checker *c, q_pos pos, const char *what, const q_record *r, const q_attr *a)
{
    denied(c, r, a);
    if (a)
        return q_check_fail(c, Q_E_FORBIDDEN, pos, "no role of yours may %s %.*s of %.*s", what, Q_SLICE_FMT(a->name), Q_SLICE_FMT(r->name));
    if (r)
        return q_check_fail(c, Q_E_FORBIDDEN, pos, "no role of yours may %s %.*s", what, Q_SLICE_FMT(r->name));
    return q_check_fail(c, Q_E_FORBIDDEN, pos, "no role of yours may %s", what);
}

const q_record *q_visible_record(q_checker *c, q_slice name)
{
    const q_record *r = c->bucket ? q_bucket_record(c->bucket, name) : NULL;
    if (!r || !c->rights || c->trusted || q_rights_record(c->rights, r))
        return r;
    denied(c, r, NULL);
    return NULL;
}

const q_attr *q_visible_attr(q_checker *c, const q_record *r, q_slice name)
{
    const q_attr *a = q_attr_find(r, name);
    if (!a || !c->rights || c->trusted || q_rights_attr(c->rights, r, a))
        return a;
    denied(c, r, a);
    return NULL;
}

q_slice q_visible_record_near(q_checker *c, q_slice name)
{
    q_suggestion s = { 0 };
    for (uint32_t i = 0; c->bucket && i < c->bucket->count; i++)
        if (q_rights_record(c->rights, c->bucket->records[i]))
            q_suggest_consider(&s, name, c->bucket->records[i]->name);
    return s.name;
}

q_slice q_visible_attr_near(q_checker *c, const q_record *r, q_slice name)
{
    q_suggestion s = { 0 };
    for (uint32_t i = 0; i < r->count; i++)
        if (q_rights_attr(c->rights, r, &r->attrs[i]))
            q_suggest_consider(&s, name, r->attrs[i].name);
    return s.name;
}

/* ---- what is read --------------------------------------------------------------------------------------------------------- */

void q_rights_begin(q_checker *c) { c->noted = NULL; }

bool q_check_reads(q_checker *c, const q_record *r, const q_attr *a, bool via, q_pos pos)
{
    if (!c->rights || c->trusted)
        return true;
    const q_attr *own = a == &q_attr_seq ? NULL : a;
    if (!q_rights_may(c->rights, r, Q_PRIV_SELECT, own))
        return q_check_forbidden(c, pos, "SELECT", r, own);
    q_noted *n = c->noted;
    while (n && (n->record != r || n->via != via))
        n = n->next;
    if (!n) {
        n = Q_NEW(c->arena, q_noted);
        if (!n)
            return q_check_memory(c, pos);
        n->record = r;
        n->via = via;
        n->next = c->noted;
        c->noted = n;
    }
    if (own)
        n->words[own->index / 64] |= UINT64_C(1) << (own->index % 64);
    return true;
}

/* ---- conditions ------------------------------------------------------------------------------------------------------------ */

static q_expr *node(q_checker *c, q_op op, q_expr *a, q_expr *b)
{
    q_expr *e = Q_NEW(c->arena, q_expr);
    if (!e)
        return NULL;
    *e = (q_expr){ .kind = Q_X_BINARY, .op = op, .type = Q_T_BOOL, .a = a, .b = b };
    e->height = (uint8_t)((a->height > b->height ? a->height : b->height) + 1);
    return e;
}

static q_expr *never(q_checker *c)
{
    q_expr *e = Q_NEW(c->arena, q_expr);
    if (e)
        *e = (q_expr){ .kind = Q_X_LITERAL, .height = 1, .type = Q_T_BOOL, .value = { .type = Q_T_BOOL, .b = false } };
    return e;
}

/* A grant's WHERE, as an expression over `r`. What can't be read or doesn't fit the claims is never true. NULL when out of memory. */
static q_expr *condition_of(q_checker *c, const q_grant *g, const q_record *r)
{
    q_condition *known = c->conditions;
    while (known && known->grant != g)
        known = known->next;
    if (known)
        return known->expr;
    q_condition *made = Q_NEW(c->arena, q_condition);
    q_slice text = q_arena_printf(c->arena, "ASSERT %.*s", Q_SLICE_FMT(g->where));
    if (!made || !text.ptr)
        return NULL;
    q_err saved = *c->err;
    q_script *s = NULL;
    const q_record *record = c->record;
    const char *place = c->place;
    bool own_only = c->own_only, trusted = c->trusted, subqueries = c->subqueries;
    q_aggregates aggregates = c->aggregates;
    c->record = r;
    c->place = "a grant";
    c->own_only = c->trusted = true;
    c->subqueries = false;
    c->aggregates = Q_AGG_REFUSED;
    bool ok = q_ql_parse(c->arena, text, &s, c->err) == Q_OK && s->count == 1 && s->stmts[0].kind == Q_S_ASSERT &&
              q_check_condition(c, s->stmts[0].where);
    bool memory = c->err->code == Q_E_LIMIT_MEMORY;
    c->record = record;
    c->place = place;
    c->own_only = own_only;
    c->trusted = trusted;
    c->subqueries = subqueries;
    c->aggregates = aggregates;
    if (!ok && memory)
        return NULL;
    *c->err = saved;
    *made = (q_condition){ .next = c->conditions, .grant = g, .expr = ok ? s->stmts[0].where : never(c) };
    c->conditions = made;
    return made->expr;
}

/* One set of grants that cover some attribute: a bit each, by their place among those of the privilege. */
typedef struct sets {
    uint32_t grant_count, set_count;
    const q_grant *grants[Q_RIGHTS_MAX_CONDITIONS];
    uint64_t all[Q_MAX_ATTRIBUTES + 1];
} sets;

/* False: the attribute (NULL: the row) may be had whatever the row. */
static bool covering(const sets *s, const q_attr *a, uint64_t *mask)
{
    *mask = 0;
    for (uint32_t i = 0; i < s->grant_count; i++) {
        if (a && !q_grant_covers(s->grants[i], a->name))
            continue;
        if (s->grants[i]->where.len == 0)
            return false;
        *mask |= UINT64_C(1) << i;
    }
    return true;
}

static void add_set(sets *s, uint64_t mask)
{
    for (uint32_t i = 0; i < s->set_count; i++)
        if (s->all[i] == mask)
            return;
    s->all[s->set_count++] = mask;
}

static bool any_of(q_checker *c, const sets *s, uint64_t mask, const q_record *r, q_expr **out)
{
    *out = NULL;
    for (uint32_t i = 0; i < s->grant_count; i++) {
        if (!(mask >> i & 1))
            continue;
        q_expr *e = condition_of(c, s->grants[i], r);
        *out = !e ? NULL : *out ? node(c, Q_OP_OR, *out, e) : e;
        if (!*out)
            return false;
    }
    if (!*out)
        *out = never(c);
    return *out != NULL;
}

/* *out: what a row of `r` must satisfy so that `priv` may be used on all attributes of `words`; unchanged when every row does, joined to what is
 * there by AND. */
static bool row_condition(q_checker *c, const q_record *r, q_priv priv, const uint64_t *words, q_pos pos, q_expr **out)
{
    sets s = { .grant_count = 0 };
    uint64_t mask;
    bool any = false;
    if (c->rights->everywhere & priv)
        return true;
    for (uint32_t i = 0; i < c->rights->grant_count; i++) {
        const q_grant *g = c->rights->grants[i];
        if (g->priv != priv || !q_slice_eq(g->record, r->name))
            continue;
        if (s.grant_count == Q_RIGHTS_MAX_CONDITIONS)
            return q_check_fail(c, Q_E_QQL_LIMIT, pos, "your roles have more than %d grants of one privilege on %.*s", Q_RIGHTS_MAX_CONDITIONS,
                                Q_SLICE_FMT(r->name));
        s.grants[s.grant_count++] = g;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        if (!(words[i / 64] >> (i % 64) & 1))
            continue;
        any = true;
        if (covering(&s, &r->attrs[i], &mask))
            add_set(&s, mask);
    }
    if (!any && covering(&s, NULL, &mask))
        add_set(&s, mask);
    for (uint32_t i = 0; i < s.set_count; i++) {
        q_expr *e;
        if (!any_of(c, &s, s.all[i], r, &e) || !(*out = *out ? node(c, Q_OP_AND, *out, e) : e))
            return q_check_memory(c, pos);
    }
    return true;
}

static bool add_via(q_checker *c, q_stmt *s, const q_record *r, q_expr *condition)
{
    q_via *grown = Q_NEW_ARRAY(c->arena, q_via, s->via_count + 1);
    if (!grown)
        return q_check_memory(c, s->pos);
    if (s->via_count)
        memcpy(grown, s->via, s->via_count * sizeof *grown);
    grown[s->via_count++] = (q_via){ r, condition };
    s->via = grown;
    return true;
}

/* Conditions of what was read. */
static bool guard_reads(q_checker *c, q_stmt *s)
{
    for (q_noted *n = c->noted; n; n = n->next) {
        q_expr *via = NULL;
        if (!row_condition(c, n->record, Q_PRIV_SELECT, n->words, s->pos, n->via ? &via : &s->guard) || (via && !add_via(c, s, n->record, via)))
            return false;
    }
    return true;
}

bool q_check_rows(q_checker *c, q_stmt *s)
{
    static const q_priv privs[] = { [Q_S_INSERT] = Q_PRIV_INSERT, [Q_S_SELECT] = Q_PRIV_SELECT, [Q_S_UPDATE] = Q_PRIV_UPDATE, [Q_S_DELETE] = Q_PRIV_DELETE };
    uint64_t words[NOTED_WORDS] = { 0 };
    if (!c->rights)
        return true;
    q_priv priv = privs[s->kind];
    if (!q_rights_may(c->rights, s->record, priv, NULL))
        return q_check_forbidden(c, s->name_pos, q_priv_name(priv), s->record, NULL);
    if (s->kind == Q_S_SELECT && !q_check_reads(c, s->record, NULL, false, s->name_pos))
        return false;
    for (uint32_t i = 0; i < s->row_count; i++)
        for (uint32_t j = 0; j < s->rows[i].count; j++) {
            const q_assign *a = &s->rows[i].assigns[j];
            if (!q_rights_may(c->rights, s->record, priv, a->attr))
                return q_check_forbidden(c, a->pos, q_priv_name(priv), s->record, a->attr);
            words[a->attr->index / 64] |= UINT64_C(1) << (a->attr->index % 64);
        }
    if (s->kind != Q_S_SELECT) {
        q_expr *condition = NULL;
        if (!row_condition(c, s->record, priv, words, s->pos, &condition))
            return false;
        if (s->kind != Q_S_INSERT)
            s->guard = condition;
        if (s->kind != Q_S_DELETE)
            s->after = condition;
    }
    return guard_reads(c, s);
}

/* ---- definitions --------------------------------------------------------------------------------------------------------------- */

bool q_check_may_define(q_checker *c, const q_stmt *s)
{
    if (!c->rights)
        return true;
    if (s->ddl.kind == Q_DDL_CREATE_BUCKET)
        return q_check_forbidden(c, s->name_pos, "create buckets", NULL, NULL);
    return q_rights_admin(c->rights) || q_check_forbidden(c, s->name_pos, "change definitions, roles, grants and keys here", NULL, NULL);
}

/* The condition of a GRANT is tried as it will be used; what the claims will be, nobody knows yet. */
bool q_check_grant(q_checker *c, q_stmt *s)
{
    const q_access_ddl *d = s->ddl.access;
    if (d->on_bucket && !q_slice_eq(s->bucket, c->script->bucket)) {
        q_check_fail(c, Q_E_QQL_UNSUPPORTED, s->name_pos, "ON BUCKET %.*s, but the request is for the bucket %.*s", Q_BRIEF(s->bucket),
                     Q_BRIEF(c->script->bucket));
        q_err_hint(c->err, "A transaction stays within one bucket.");
        return false;
    }
    if (!s->where)
        return true;
    const q_record *r = q_check_record(c, s->ddl.record, s->name_pos);
    if (!r)
        return false;
    c->record = r;
    c->place = "a grant";
    c->own_only = c->trusted = true;
    bool ok = q_check_condition(c, s->where);
    c->own_only = c->trusted = false;
    c->record = NULL;
    return ok;
}
