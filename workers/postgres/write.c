/* Prepare and commit.
 *
 * A prepared transaction's life: BEGIN, the epoch and the incarnations are checked, each item checks its precondition and that the
 * stored _q_seq is lower, in the statement that writes it (a statement that meets nothing divides by zero, which ends the unit), PREPARE
 * TRANSACTION; that is the YES. COMMIT PREPARED carries a decision out; a gid that isn't there is no success: the redo is applied under
 * the seq check. Why a unit failed is looked up afterwards: the common case asks nothing. */
#include "base/failpoint.h"
#include "base/sabotage.h"
#include "workers/postgres/internal.h"
#include "workers/rules.h"

#include <endian.h>

typedef struct writer {
    q_arena *arena;
    pg_stmt *stmts;
    uint32_t count, cap;
    uint32_t *items;  /* which item a statement is about; UINT32_MAX: none */
    uint64_t life;    /* of the tables that the next statements name */
    bool failed;
} writer;

enum { FIXED_TABLES = 1 }; /* the life of our own tables, and of the server's */

typedef struct bindings { const char *at[PG_MAX_PARAMS]; int count; } bindings;

static void add(writer *w, q_slice sql, const bindings *p, uint32_t item)
{
    if (w->count == w->cap) {
        uint32_t cap = w->cap ? w->cap * 2 : 16;
        pg_stmt *stmts = Q_NEW_ARRAY(w->arena, pg_stmt, cap);
        uint32_t *items = Q_NEW_ARRAY(w->arena, uint32_t, cap);
        if (!stmts || !items) {
            w->failed = true;
            return;
        }
        if (w->count) {
            memcpy(stmts, w->stmts, w->count * sizeof *stmts);
            memcpy(items, w->items, w->count * sizeof *items);
        }
        w->stmts = stmts;
        w->items = items;
        w->cap = cap;
    }
    const char **copy = NULL;
    if (p && p->count) {
        copy = Q_NEW_ARRAY(w->arena, const char *, (size_t)p->count);
        if (copy)
            memcpy(copy, p->at, (size_t)p->count * sizeof *copy);
    }
    if (!sql.ptr || (p && p->count && !copy)) {
        w->failed = true;
        return;
    }
    w->items[w->count] = item;
    w->stmts[w->count++] = (pg_stmt){ sql.ptr, p ? p->count : 0, copy, p ? w->life : 0 };
}

static q_slice finish(q_arena *arena, q_buf *sql)
{
    q_slice out = sql->failed ? Q_SLICE_NONE : q_arena_copy(arena, q_buf_slice(sql));
    q_buf_free(sql);
    return out;
}

/* ---- items ---- */

typedef struct target { const char *table, *id, *cast, *seq, *birth, *incarnation; } target;

static target target_of(q_arena *arena, const q_writes *w, const q_item *item, uint64_t seq)
{
    return (target){ pg_table(arena, w->bucket, item->record), pg_param(arena, &item->id), pg_cast(item->id.type), pg_number(arena, seq),
                     pg_number(arena, item->birth ? item->birth : seq), pg_number(arena, item->incarnation) };
}

/* Fields from `from` on as parameters: their names into one list, their places into another. */
static void fields(q_arena *arena, const q_item *item, bindings *p, q_buf *names, q_buf *places, q_buf *sets)
{
    for (uint32_t i = 0; i < item->count && p->count < PG_MAX_PARAMS; i++) {
        const q_field *f = &item->fields[i];
        p->at[p->count++] = pg_param(arena, &f->value);
        const char *cast = f->value.type == Q_T_NULL ? "" : pg_cast(f->value.type);
        q_buf_printf(names, ", \"%.*s\"", Q_SLICE_FMT(f->attr));
        q_buf_printf(places, ", $%d%s", p->count, cast);
        q_buf_printf(sets, ", \"%.*s\" = $%d%s", Q_SLICE_FMT(f->attr), p->count, cast);
    }
}

/* INSERT of a part: on a tombstone (or, `over` given, wherever that condition holds) it takes the row over. */
static void add_insert(writer *w, const target *t, const q_item *item, bool dead, const char *conflict, bool expect, uint32_t index)
{
    bindings p = { { t->id, t->seq, dead ? "0" : t->birth, dead ? "t" : "f" }, 4 };
    q_buf names = Q_BUF_INIT(1 << 20), places = Q_BUF_INIT(1 << 20), sets = Q_BUF_INIT(1 << 20), sql = Q_BUF_INIT(1 << 20);
    if (!dead)
        fields(w->arena, item, &p, &names, &places, &sets);
    if (expect)
        q_buf_add_cstr(&sql, "WITH w AS (");
    q_buf_printf(&sql, "INSERT INTO %s AS t (id, _q_seq, _q_birth, _q_dead%.*s) VALUES ($1%s, $2::bigint, $3::bigint, $4::boolean%.*s)", t->table,
                 Q_SLICE_FMT(q_buf_slice(&names)), t->cast, Q_SLICE_FMT(q_buf_slice(&places)));
    if (conflict && !*conflict)
        q_buf_add_cstr(&sql, " ON CONFLICT (id) DO NOTHING");
    else if (conflict)
        q_buf_printf(&sql, " ON CONFLICT (id) DO UPDATE SET _q_seq = $2::bigint, _q_birth = $3::bigint, _q_dead = $4::boolean%.*s WHERE %s",
                     Q_SLICE_FMT(q_buf_slice(&sets)), conflict);
    if (expect)
        q_buf_add_cstr(&sql, " RETURNING 1) SELECT 1 / count(*) FROM w");
    if (names.failed || places.failed || sets.failed)
        sql.failed = true;
    q_buf_free(&names);
    q_buf_free(&places);
    q_buf_free(&sets);
    add(w, finish(w->arena, &sql), &p, index);
}

/* Preconditions by themselves, as one statement that fails when they don't hold. */
static void add_check(writer *w, const target *t, const q_item *item, uint32_t index)
{
    q_buf sql = Q_BUF_INIT(4096);
    bindings p = { { t->id, t->seq, t->incarnation, pg_number(w->arena, item->seq_is) }, 4 };
    bool none_ok = !(item->pre & Q_PRE_EXISTS) && (!(item->pre & Q_PRE_SEQ_IS) || item->seq_is == 0);
    q_buf_printf(&sql, "SELECT 1 / (count(*) FILTER (WHERE _q_seq < $2::bigint");
    if (item->pre & Q_PRE_EXISTS)
        q_buf_add_cstr(&sql, " AND NOT _q_dead AND _q_seq >= $3::bigint");
    if (item->pre & Q_PRE_NOT_EXISTS)
        q_buf_add_cstr(&sql, " AND (_q_dead OR _q_seq < $3::bigint)");
    if (item->pre & Q_PRE_SEQ_IS)
        q_buf_add_cstr(&sql, " AND CASE WHEN _q_dead OR _q_seq < $3::bigint THEN 0 ELSE _q_seq END = $4::bigint");
    else
        q_buf_add_cstr(&sql, " AND $4::bigint IS NOT NULL");
    if (!(item->pre & (Q_PRE_EXISTS | Q_PRE_NOT_EXISTS | Q_PRE_SEQ_IS)))
        q_buf_add_cstr(&sql, " AND $3::bigint IS NOT NULL");
    q_buf_printf(&sql, ")%s) FROM %s WHERE id = $1%s", none_ok ? " + (count(*) = 0)::int" : "", t->table, t->cast);
    add(w, finish(w->arena, &sql), &p, index);
}

static void add_delete_row(writer *w, const target *t, uint32_t index)
{
    bindings p = { { t->id, t->seq }, 2 };
    add(w, q_arena_printf(w->arena, "DELETE FROM %s WHERE id = $1%s AND _q_seq < $2::bigint", t->table, t->cast), &p, index);
}

static void add_update(writer *w, const target *t, const q_item *item, bool expect, uint32_t index)
{
    bindings p = { { t->id, t->seq, t->incarnation }, 3 };
    q_buf names = Q_BUF_INIT(1 << 20), places = Q_BUF_INIT(1 << 20), sets = Q_BUF_INIT(1 << 20), sql = Q_BUF_INIT(1 << 20);
    fields(w->arena, item, &p, &names, &places, &sets);
    q_buf_printf(&sql, "%sUPDATE %s SET _q_seq = $2::bigint%.*s WHERE id = $1%s AND NOT _q_dead AND _q_seq < $2::bigint AND _q_seq >= $3::bigint",
                 expect ? "WITH w AS (" : "", t->table, Q_SLICE_FMT(q_buf_slice(&sets)), t->cast);
    if (expect && (item->pre & Q_PRE_SEQ_IS)) {
        p.at[p.count++] = pg_number(w->arena, item->seq_is);
        q_buf_printf(&sql, " AND _q_seq = $%d::bigint", p.count);
    }
    if (expect)
        q_buf_add_cstr(&sql, " RETURNING 1) SELECT 1 / count(*) FROM w");
    if (names.failed || places.failed || sets.failed)
        sql.failed = true;
    q_buf_free(&names);
    q_buf_free(&places);
    q_buf_free(&sets);
    add(w, finish(w->arena, &sql), &p, index);
}

/* Fields into the part of this life; a tombstone or an older life's part gives way; a missing one is made. A put without a birth (it read
 * nothing) belongs to the life that it finds. */
static void add_merge(writer *w, const target *t, const q_item *item, uint32_t index)
{
    bindings p = { { t->id, t->seq, pg_number(w->arena, item->birth) }, 3 };
    add(w, q_arena_printf(w->arena, "DELETE FROM %s WHERE id = $1%s AND _q_seq < $2::bigint AND (_q_dead OR _q_birth < $3::bigint)", t->table, t->cast),
        &p, index);
    add_update(w, t, item, false, index);
    add_insert(w, t, item, false, "", false, index);
}

static void add_prepare_item(writer *w, const q_writes *all, uint32_t index, uint64_t seq)
{
    const q_item *item = &all->items[index];
    target t = target_of(w->arena, all, item, seq);
    w->life = FIXED_TABLES + 1 + item->incarnation;
    if (item->count + 8 > PG_MAX_PARAMS) {
        w->failed = true;
        return;
    }
    switch (item->op) {
    case Q_I_CHECK:
        add_check(w, &t, item, index);
        break;
    case Q_I_PUT:
        if (item->full && item->pre == Q_PRE_NOT_EXISTS) {
            add_insert(w, &t, item, false, "t._q_dead AND t._q_seq < $2::bigint", true, index);
        } else if (item->full) {
            add_check(w, &t, item, index);
            add_delete_row(w, &t, index);
            add_insert(w, &t, item, false, NULL, false, index);
        } else if ((item->pre & Q_PRE_EXISTS) || ((item->pre & Q_PRE_SEQ_IS) && item->seq_is)) {
            add_update(w, &t, item, true, index);
        } else {
            add_check(w, &t, item, index);
            add_merge(w, &t, item, index);
        }
        break;
    case Q_I_DELETE:
        add_check(w, &t, item, index);
        add_delete_row(w, &t, index);
        add_insert(w, &t, item, true, NULL, false, index);
        break;
    case Q_I_DDL:
        break;
    }
}

/* The redo: no preconditions, only the seq check and the incarnation's. A late write of a dropped record finds no table or a newer one. */
static void add_redo_item(writer *w, const q_writes *all, uint32_t index, uint64_t seq)
{
    const q_item *item = &all->items[index];
    target t = target_of(w->arena, all, item, seq);
    if (item->op != Q_I_PUT && item->op != Q_I_DELETE)
        return;
    if (item->op == Q_I_DELETE || item->full) {
        add_delete_row(w, &t, index);
        add_insert(w, &t, item, item->op == Q_I_DELETE, "", false, index);
        return;
    }
    add_merge(w, &t, item, index);
}

/* The epoch, and for each record that no newer incarnation is known. */
static void add_guards(writer *w, const q_writes *all, uint64_t epoch)
{
    bindings p = { { pg_number(w->arena, epoch) }, 1 };
    w->life = FIXED_TABLES;
    add(w, Q_SLICE_LIT("SELECT 1 / (epoch <= $1::bigint)::int FROM \"_quanta\".engine"), &p, UINT32_MAX);
    for (uint32_t i = 0; i < all->count; i++) {
        bool seen = false;
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = all->items[k].incarnation == all->items[i].incarnation && q_slice_eq(all->items[k].record, all->items[i].record);
        if (seen || all->items[i].op == Q_I_DDL)
            continue;
        bindings q = { { pg_cstr(w->arena, all->bucket), pg_cstr(w->arena, all->items[i].record), pg_number(w->arena, all->items[i].incarnation),
                         pg_number(w->arena, all->bucket_incarnation) }, 4 };
        add(w, Q_SLICE_LIT("SELECT 1 / (count(*) = 0)::int FROM \"_quanta\".objects WHERE bucket = $1 AND (record = $2 AND"
                           " (created > $3::bigint OR dropped > $3::bigint) OR record = '' AND (created > $4::bigint OR dropped > $4::bigint))"), &q, i);
    }
}

static bool has_ddl(const q_writes *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (w->items[i].op == Q_I_DDL)
            return true;
    return false;
}

/* ---- why it said NO ---- */

static uint64_t number_at(const PGresult *r, int col)
{
    uint64_t n;
    memcpy(&n, PQgetvalue(r, 0, col), 8);
    return be64toh(n);
}

static q_rc stored_of(q_engine *e, q_arena *arena, const q_writes *all, const q_item *item, q_stored *out, q_err *err)
{
    target t = target_of(arena, all, item, 0);
    const char *params[] = { t.id };
    pg_stmt stmt = { q_arena_printf(arena, "SELECT _q_seq, _q_birth, _q_dead FROM %s WHERE id = $1%s", t.table, t.cast).ptr, 1, params, 0 };
    PGresult *r = NULL;
    q_rc rc = pg_query(e, &stmt, &r, err);
    *out = (q_stored){ 0 };
    if (rc == Q_OK && PQntuples(r) == 1)
        *out = (q_stored){ .present = true, .seq = number_at(r, 0), .birth = number_at(r, 1), .dead = *PQgetvalue(r, 0, 2) != 0 };
    PQclear(r);
    return rc;
}

/* "_q_unique_<attr>" is deferred: it objects at PREPARE, which is about no item. The first that sets the attribute, then. */
static uint32_t item_of_constraint(const q_writes *all, const char *constraint)
{
    for (uint32_t i = 0; i < all->count; i++)
        for (uint32_t k = 0; k < all->items[i].count; k++) {
            q_slice attr = all->items[i].fields[k].attr;
            bool same = q_slice_eq(attr, q_slice_cstr(constraint + strlen("_q_unique_")));
            if (same && all->items[i].fields[k].value.type != Q_T_NULL)
                return i;
        }
    return 0;
}

/* After a unit failed: what the first item that objects would say. */
static q_rc explain(q_engine *e, q_arena *arena, const pg_unit *u, const writer *w, const q_writes *all, uint64_t seq, q_vote *vote, q_err *err)
{
    uint32_t item = u->failed < w->count ? w->items[u->failed] : UINT32_MAX;
    vote->item = item == UINT32_MAX ? 0 : item;
    vote->text = u->text;
    if (!strcmp(u->sqlstate, "55P03")) {
        vote->no = Q_NO_LOCKED;
        return Q_OK;
    }
    if (!strcmp(u->sqlstate, "23505") && !strncmp(u->constraint, "_q_unique_", 10)) {
        vote->no = Q_NO_DUPLICATE_VALUE;
        vote->item = item == UINT32_MAX ? item_of_constraint(all, u->constraint) : item;
        return Q_OK;
    }
    bool precondition = !strcmp(u->sqlstate, "22012") || !strcmp(u->sqlstate, "23505");
    if (!precondition || item == UINT32_MAX) {
        bool passes = !strncmp(u->sqlstate, "53", 2) || !strncmp(u->sqlstate, "57", 2) || !strncmp(u->sqlstate, "40", 2) ||
                      !strncmp(u->sqlstate, "08", 2) || !strncmp(u->sqlstate, "58", 2);
        vote->no = passes ? Q_NO_ENGINE_DOWN : Q_NO_REFUSED;
        return Q_OK;
    }
    for (uint32_t i = item; i < all->count; i++) {
        q_stored stored;
        if (all->items[i].op == Q_I_DDL)
            continue;
        q_rc rc = stored_of(e, arena, all, &all->items[i], &stored, err);
        if (rc == Q_END)
            rc = Q_OK; /* no table: nothing is stored */
        if (rc != Q_OK && rc != Q_FAIL)
            return rc;
        vote->no = rc == Q_FAIL ? Q_NO_REFUSED : q_rule_vote(&stored, &all->items[i], seq, 0);
        vote->item = i;
        if (vote->no != Q_NO_NONE)
            return Q_OK;
    }
    /* It was true then and isn't now, or the incarnation is older: either way not this transaction's to write. */
    vote->no = Q_NO_STALE;
    vote->item = item;
    return Q_OK;
}

/* ---- prepare ---- */

static q_rc vote_ddl(q_engine *e, q_arena *arena, const q_writes *all, uint64_t seq, q_vote *vote, q_err *err)
{
    q_rc rc = Q_OK;
    for (uint32_t i = 0; rc == Q_OK && i < all->count; i++) {
        bool newer = false;
        if (all->items[i].op != Q_I_DDL)
            continue;
        rc = pg_ddl_known(e, arena, &all->items[i].ddl, seq, &newer, err);
        if (newer && vote->no == Q_NO_NONE) {
            vote->no = Q_NO_STALE;
            vote->item = i;
        }
    }
    return rc;
}

static bool types_fit(const q_writes *all, q_vote *vote)
{
    for (uint32_t i = 0; i < all->count; i++)
        for (uint32_t k = 0; k < all->items[i].count; k++)
            if (!q_rule_type_fits(Q_EN_POSTGRES, all->items[i].fields[k].value.type)) {
                vote->no = Q_NO_REFUSED;
                vote->item = i;
                vote->text = Q_SLICE_LIT("PostgreSQL serves scalars only");
                return false;
            }
    return true;
}

/* Fails when the seq is prepared already, in whatever epoch: looked up in the same round trip, before anything waits for its locks. */
static void add_not_prepared(writer *w, const q_engine *e, uint64_t seq)
{
    bindings p = { { q_arena_printf(w->arena, "quanta:%016llx:%%:%llu", (unsigned long long)e->cluster, (unsigned long long)seq).ptr }, 1 };
    w->life = FIXED_TABLES;
    add(w, Q_SLICE_LIT("SELECT 1 / (count(*) = 0)::int FROM pg_prepared_xact() WHERE gid LIKE $1::text"), &p, UINT32_MAX);
}

/* The server walks through all that is prepared for each such look: a larger batch looks once, for all. */
enum { LOOKS_OF_THEIR_OWN = 4 };

static q_rc already_prepared(q_engine *e, q_arena *arena, const q_txn_work *txns, size_t n, bool *yes, q_err *err)
{
    uint64_t *epochs, *seqs;
    size_t count;
    q_rc rc = pg_list_prepared(e, arena, &epochs, &seqs, &count, err);
    for (size_t i = 0; rc == Q_OK && i < n; i++)
        for (size_t k = 0; k < count && !yes[i]; k++)
            yes[i] = seqs[k] == txns[i].seq;
    return rc == Q_FAIL ? Q_RETRY : rc;
}

q_rc pg_prepare(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err)
{
    q_writes *all = Q_NEW_ARRAY(arena, q_writes, n);
    writer *writers = Q_NEW_ARRAY(arena, writer, n);
    pg_unit *units = Q_NEW_ARRAY(arena, pg_unit, n);
    size_t *unit_of = Q_NEW_ARRAY(arena, size_t, n), count = 0;
    bool *prepared = Q_NEW_ARRAY(arena, bool, n), one_by_one = n <= LOOKS_OF_THEIR_OWN;
    uint32_t look = one_by_one ? 1 : 0; /* which statement of a unit: BEGIN is 0, the epoch comes next */
    if (!all || !writers || !units || !unit_of || !prepared) {
        q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        return Q_RETRY;
    }
    q_rc rc = pg_set_epoch(e, epoch, err);
    if (rc == Q_OK && !one_by_one)
        rc = already_prepared(e, arena, txns, n, prepared, err);
    if (rc != Q_OK)
        return rc;
    for (size_t i = 0; i < n; i++) {
        votes[i] = (q_vote){ .seq = txns[i].seq };
        unit_of[i] = SIZE_MAX;
        q_err bad = Q_ERR_INIT;
        if (prepared[i])
            continue;
        if (q_writes_decode(arena, txns[i].writes, &all[i], &bad) != Q_OK) {
            votes[i].no = Q_NO_REFUSED;
            votes[i].text = q_arena_copy(arena, q_slice_cstr(bad.message));
            continue;
        }
        if (has_ddl(&all[i])) { /* it runs when it is committed */
            rc = vote_ddl(e, arena, &all[i], txns[i].seq, &votes[i], err);
            if (rc != Q_OK)
                return rc == Q_FAIL ? Q_RETRY : rc;
            continue;
        }
        if (!types_fit(&all[i], &votes[i]))
            continue;
        writer *w = &writers[i];
        w->arena = arena;
        add(w, Q_SLICE_LIT("BEGIN"), NULL, UINT32_MAX);
        if (one_by_one)
            add_not_prepared(w, e, txns[i].seq);
        add_guards(w, &all[i], epoch);
        for (uint32_t k = 0; k < all[i].count; k++)
            add_prepare_item(w, &all[i], k, txns[i].seq);
        add(w, q_arena_printf(arena, "PREPARE TRANSACTION '%s'", pg_gid(e, arena, epoch, txns[i].seq)), NULL, UINT32_MAX);
        if (w->failed) {
            votes[i].no = Q_NO_REFUSED;
            votes[i].text = Q_SLICE_LIT("the transaction is too large for PostgreSQL's worker");
            continue;
        }
        unit_of[i] = count;
        units[count++] = (pg_unit){ .count = w->count, .stmts = w->stmts };
    }
    rc = pg_run_transactions(e, arena, units, count, err);
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        pg_unit *u = unit_of[i] == SIZE_MAX ? NULL : &units[unit_of[i]];
        if (!u || u->ok || (one_by_one && u->failed == look && !strcmp(u->sqlstate, "22012"))) /* prepared before: YES */
            continue;
        if (u->failed == look + 1 && !strcmp(u->sqlstate, "22012"))
            return q_err_set(err, Q_E_ENGINE_REFUSED, "postgres remembers a higher epoch than %llu", (unsigned long long)epoch);
        rc = explain(e, arena, u, &writers[i], &all[i], txns[i].seq, &votes[i], err);
    }
    return rc;
}

/* ---- commit ---- */

/* Only what is about the server itself may say that it is down: then nothing else is tried before this. A lock that isn't had is about this
 * batch: a redo that came again after its own transaction was applied waits for a later one, which is prepared and holds the row until its
 * own COMMIT, and that must pass. */
static bool server_is_down(const char *sqlstate)
{
    static const char *const classes[] = { "08", "53", "57", "58", "XX" };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (!strncmp(sqlstate, classes[i], 2))
            return true;
    return false;
}

static q_rc failed_unit(const pg_unit *u, q_err *err)
{
    q_err_set(err, server_is_down(u->sqlstate) ? Q_E_ENGINE_DOWN : Q_E_ENGINE_REFUSED, "postgres: %.*s (%s)", Q_SLICE_FMT(u->text), u->sqlstate);
    return Q_RETRY;
}

static bool no_table(const pg_unit *u) { return !strcmp(u->sqlstate, "42P01") || !strcmp(u->sqlstate, "3F000"); }

static q_rc redo(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txn, q_err *err)
{
    q_writes all;
    q_rc rc = q_writes_decode(arena, txn->writes, &all, err);
    if (rc != Q_OK)
        return rc;
    for (uint32_t i = 0; rc == Q_OK && i < all.count; i++)
        if (all.items[i].op == Q_I_DDL)
            rc = pg_apply_ddl(e, arena, &all.items[i].ddl, all.items[i].incarnation, txn->seq, err);
    if (rc != Q_OK || has_ddl(&all))
        return rc;
    writer w = { .arena = arena };
    add(&w, Q_SLICE_LIT("ROLLBACK"), NULL, UINT32_MAX);
    add(&w, Q_SLICE_LIT("BEGIN"), NULL, UINT32_MAX);
    /* Held until the commit: a takeover's fence waits for it, or this finds the higher epoch. */
    bindings p = { { pg_number(arena, epoch) }, 1 };
    add(&w, Q_SLICE_LIT("SELECT 1 / (epoch <= $1::bigint)::int FROM \"_quanta\".engine FOR SHARE"), &p, UINT32_MAX);
    add_guards(&w, &all, epoch);
    for (uint32_t i = 0; i < all.count; i++)
        add_redo_item(&w, &all, i, txn->seq);
    add(&w, Q_SLICE_LIT("COMMIT"), NULL, UINT32_MAX);
    if (w.failed)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "the redo doesn't fit into memory");
    pg_unit unit = { .count = w.count, .stmts = w.stmts };
    rc = pg_run(e, arena, &unit, 1, false, err);
    if (rc != Q_OK || unit.ok)
        return rc;
    /* An older incarnation, or a record dropped since: nothing to write any more. */
    bool older = !strcmp(unit.sqlstate, "22012") && w.items[unit.failed] != UINT32_MAX;
    bool fenced = !strcmp(unit.sqlstate, "22012") && !older;
    pg_stmt undo = { "ROLLBACK", 0, NULL, 0 };
    pg_unit clean = { .count = 1, .stmts = &undo };
    rc = pg_run(e, arena, &clean, 1, false, err);
    if (rc != Q_OK)
        return rc;
    if (fenced)
        return q_err_set(err, Q_E_ENGINE_REFUSED, "postgres remembers a higher epoch than %llu", (unsigned long long)epoch);
    return older || no_table(&unit) ? Q_OK : failed_unit(&unit, err);
}

/* Prepared in an earlier epoch: the gid carries that one. */
static q_rc commit_older(q_engine *e, q_arena *arena, const q_txn_work *txn, const uint64_t *epochs, const uint64_t *seqs, size_t n, bool *done,
                         q_err *err)
{
    *done = false;
    for (size_t i = 0; i < n && !*done; i++) {
        if (seqs[i] != txn->seq)
            continue;
        pg_stmt stmt = { q_arena_printf(arena, "COMMIT PREPARED '%s'", pg_gid(e, arena, epochs[i], seqs[i])).ptr, 0, NULL, 0 };
        pg_unit unit = { .count = 1, .stmts = &stmt };
        q_rc rc = pg_run(e, arena, &unit, 1, false, err);
        if (rc != Q_OK)
            return rc;
        if (!unit.ok && strcmp(unit.sqlstate, "42704") != 0)
            return failed_unit(&unit, err);
        *done = unit.ok;
    }
    return Q_OK;
}

static q_rc store_marks(q_engine *e, q_arena *arena, uint64_t high, uint64_t below, q_err *err)
{
    bindings p = { { pg_number(arena, high), pg_number(arena, below) }, 2 };
    pg_stmt stmt = { "UPDATE \"_quanta\".engine SET applied_high = greatest(applied_high, $1::bigint), applied_below = greatest(applied_below, $2::bigint)",
                     2, p.at, FIXED_TABLES };
    pg_unit unit = { .count = 1, .stmts = &stmt };
    q_rc rc = pg_run(e, arena, &unit, 1, false, err);
    return rc == Q_OK && !unit.ok ? failed_unit(&unit, err) : rc;
}

q_rc pg_commit(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err)
{
    pg_unit *units = Q_NEW_ARRAY(arena, pg_unit, n);
    pg_stmt *stmts = Q_NEW_ARRAY(arena, pg_stmt, n);
    if (!units || !stmts) {
        q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        return Q_RETRY;
    }
    uint64_t high = 0;
    q_rc rc = pg_set_epoch(e, epoch, err);
    for (size_t i = 0; i < n; i++) {
        stmts[i].sql = q_arena_printf(arena, "COMMIT PREPARED '%s'", pg_gid(e, arena, epoch, txns[i].seq)).ptr;
        units[i] = (pg_unit){ .count = 1, .stmts = &stmts[i] };
        if (txns[i].seq > high)
            high = txns[i].seq;
    }
    if (rc == Q_OK)
        rc = pg_run(e, arena, units, n, true, err);
    if (rc == Q_OK && Q_FAILPOINT(ENGINE_APPLY_MID))
        return q_err_set(err, Q_E_ENGINE_DOWN, "a failpoint says that the engine can't be reached");
    uint64_t *epochs = NULL, *seqs = NULL;
    size_t prepared = 0;
    bool listed = false;
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        if (units[i].ok)
            continue;
        if (strcmp(units[i].sqlstate, "42704") != 0)
            return failed_unit(&units[i], err);
        if (!listed)
            rc = pg_list_prepared(e, arena, &epochs, &seqs, &prepared, err);
        listed = true;
        bool done = false;
        if (rc == Q_OK)
            rc = commit_older(e, arena, &txns[i], epochs, seqs, prepared, &done, err);
        if (rc == Q_OK && !done)
            rc = redo(e, arena, epoch, &txns[i], err); /* B5: a missing gid is not success */
    }
    return rc == Q_OK ? store_marks(e, arena, high, below, err) : rc;
}
