/* verify.c - the log's own check over the bytes of its data file.
 *
 * Which commit is the newest? LMDB says: the meta page with the higher transaction, and knows no other check. So a flipped bit there would
 * silently lose the last group. Ours: transaction N writes meta page N % 2 and touches no page of N - 1 or N - 2 that was in use then,
 * so at any moment, also right after a crash, both meta pages are whole, their transactions are N and N - 1, and each one's tree begins
 * with the stamp that this very transaction wrote. Anything else is damage, or a meta page whose writing failed (README.md). */
#include "wal/verify.h"

#include <inttypes.h>
#include <stdlib.h>

#include "wal/bytes.h"
#include "wal/deep.h"

typedef struct content {
    const q_wal_check_options *options;
    q_wal_verdict *v;
    uint64_t next_lsn;     /* 0 before the first stored record */
    bool has_cluster, has_incarnation;
    q_wal_deep *deep;
} content;

static q_rc visit_table(content *c, uint8_t table, q_slice key, q_slice stored, q_err *err)
{
    q_slice value;
    q_rc rc = q_wal_entry_unwrap(table, key, stored, &value, err);
    if (rc != Q_OK)
        return rc;
    c->v->table_entries++;
    if (table == Q_LT_META && q_slice_eq(key, Q_SLICE_LIT(Q_LOG_META_CLUSTER)))
        c->has_cluster = value.len == 8;
    if (table == Q_LT_META && q_slice_eq(key, Q_SLICE_LIT(Q_LOG_META_INCARNATION)))
        c->has_incarnation = value.len == 16;
    return c->deep ? q_wal_deep_entry(c->deep, (q_log_table)table, key, value, err) : Q_OK;
}

static q_rc visit_record(content *c, q_slice key, q_slice value, q_err *err)
{
    const q_wal_stamp *s = &c->v->stamp;
    if (key.len != Q_WAL_RECORD_KEY - 1)
        return q_err_set(err, Q_E_INTERNAL, "a record's key has %zu bytes", key.len);
    uint64_t lsn = q_get_be64(key.ptr);
    if (c->next_lsn ? lsn != c->next_lsn : lsn == 0 || lsn > s->first_lsn)
        return q_err_set(err, Q_E_INTERNAL, "record %" PRIu64 " stands where %" PRIu64 " belongs", lsn, c->next_lsn ? c->next_lsn : s->first_lsn);
    if (lsn > s->last_lsn)
        return q_err_set(err, Q_E_INTERNAL, "record %" PRIu64 " is beyond the last, %" PRIu64, lsn, s->last_lsn);
    q_rc rc = q_rec_check(value, lsn, NULL, err);
    if (rc != Q_OK)
        return rc;
    c->next_lsn = lsn + 1;
    c->v->stored_records++;
    if (lsn < s->first_lsn)
        return Q_OK; /* trimmed, only not yet deleted */
    c->v->report.records++;
    return c->deep ? q_wal_deep_record(c->deep, lsn, value, err) : Q_OK;
}

static q_rc visit_entry(void *ctx, q_slice key, q_slice value, q_err *err)
{
    content *c = ctx;
    uint8_t table = (uint8_t)key.ptr[0];
    q_slice rest = q_slice_of(key.ptr + 1, key.len - 1);
    c->v->entries++;
    switch (table) {
    case Q_WAL_T_STAMP: /* decoded before the walk; nothing else has this table */
        if (!q_slice_eq(key, q_wal_stamp_key()))
            return q_err_set(err, Q_E_INTERNAL, "an entry of %zu bytes beside the stamp", key.len);
        return q_wal_entry_unwrap(table, rest, value, &rest, err);
    case Q_LT_META:
    case Q_LT_POSITION:
    case Q_LT_CATALOG: return visit_table(c, table, rest, value, err);
    case Q_WAL_T_RECORD: return visit_record(c, rest, value, err);
    default: return q_err_set(err, Q_E_INTERNAL, "there is no table %d", table);
    }
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    content *c = ctx;
    c->options->progress(c->options->ctx, done, total);
}

static q_rc check_ends(const content *c, q_err *err)
{
    const q_wal_stamp *s = &c->v->stamp;
    uint64_t next = c->next_lsn ? c->next_lsn : s->first_lsn;
    if (s->last_lsn != 0 && next != s->last_lsn + 1)
        return q_err_set(err, Q_E_INTERNAL, "record %" PRIu64 " and those up to %" PRIu64 " are missing", next, s->last_lsn);
    if (!c->has_cluster || !c->has_incarnation)
        return q_err_set(err, Q_E_INTERNAL, "the log has no %s", c->has_cluster ? "incarnation" : "cluster id");
    return Q_OK;
}

/* The whole tree of `meta`, whose stamp is in v->stamp. */
static q_rc check_tree(q_pages_image image, const q_pages_meta *meta, const q_wal_check_options *options, q_wal_verdict *v, q_err *err)
{
    content c = { .options = options, .v = v };
    v->report = (q_verify_report){ 0 };
    v->table_entries = v->stored_records = v->entries = 0;
    v->page_bytes = meta->page_bytes;
    if (options->deep) {
        c.deep = q_wal_deep_new();
        if (!c.deep)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "no memory for the check");
    }
    q_rc rc = q_pages_walk(image, meta, visit_entry, options->progress ? on_progress : NULL, &c, &v->pages, err);
    if (rc == Q_OK)
        rc = check_ends(&c, err);
    if (rc == Q_OK && c.deep)
        rc = q_wal_deep_end(c.deep, &v->report, err);
    q_wal_deep_free(c.deep);
    v->report.bytes = (2 + v->pages.used_pages) * meta->page_bytes;
    return rc;
}

static q_rc read_stamp(q_pages_image image, const q_pages_meta *meta, q_wal_stamp *out, bool *other_format, q_err *err)
{
    q_slice key = Q_SLICE_NONE, value = Q_SLICE_NONE;
    *other_format = false;
    q_rc rc = q_pages_first(image, meta, &key, &value, err);
    if (rc == Q_END || (rc == Q_OK && !q_slice_eq(key, q_wal_stamp_key())))
        rc = q_err_set(err, Q_E_INTERNAL, "the tree of transaction %" PRIu64 " doesn't begin with the log's stamp", meta->txnid);
    else if (rc == Q_OK)
        rc = q_wal_stamp_decode(value, out, other_format, err);
    else
        return rc;
    if (rc != Q_OK && !*other_format) {
        q_err inner = *err;
        uint64_t at = key.ptr ? (uint64_t)((const uint8_t *)key.ptr - image.bytes) : (meta->txnid & 1) * meta->page_bytes;
        (void)q_err_set(err, inner.code, "page %" PRIu64 ", byte %" PRIu64 ": %.200s", at / meta->page_bytes, at, inner.message);
    }
    return rc;
}

typedef struct side { /* one meta page and the stamp that it leads to */
    q_rc rc;
    q_pages_meta meta;
    q_wal_stamp stamp;
    bool other_format;
    q_err err;
} side;

static side look_at(q_pages_image image, int slot)
{
    side s = { .err = Q_ERR_INIT };
    s.rc = q_pages_read_meta(image, slot, &s.meta, &s.err);
    if (s.rc == Q_OK)
        s.rc = read_stamp(image, &s.meta, &s.stamp, &s.other_format, &s.err);
    return s;
}

static bool whole(const side *s) { return s->rc == Q_OK && s->stamp.txnid == s->meta.txnid; }


/* A meta page whose tree was written by the transaction just after or just before the other's, but which claims another number. After: so
 * ends a commit whose meta page couldn't be written (mdb_env_write_meta puts the old transaction and last page back); or the number was
 * damaged. The pages of that group were durable before its meta page was written; when all of them are there, saying the number that
 * the stamp tells is right both ways. Before: the number was damaged, and the stamp tells it too. */
static bool mislabelled(const side *s, const side *other)
{
    return s->rc == Q_OK && s->stamp.txnid != s->meta.txnid && whole(other) &&
           (s->stamp.txnid == other->meta.txnid + 1 || s->stamp.txnid + 1 == other->meta.txnid);
}

static q_rc check_mislabelled(q_pages_image image, side *s, const side *other, const q_wal_check_options *options, q_wal_verdict *v, q_err *err)
{
    bool newest = s->stamp.txnid > other->meta.txnid;
    uint64_t claimed = s->meta.txnid;
    if (newest) {
        s->meta.txnid = s->stamp.txnid;
        s->meta.last_page = image.len / s->meta.page_bytes - 1; /* not to be trusted either: as far as there is anything */
    }
    v->stamp = newest ? s->stamp : other->stamp;
    v->txnid = v->stamp.txnid;
    q_rc rc = check_tree(image, newest ? &s->meta : &other->meta, options, v, err);
    if (rc != Q_OK)
        return rc;
    v->state = Q_WAL_META_MISLABELLED;
    v->slot = (int)(s->stamp.txnid & 1);
    v->slot_txnid = s->stamp.txnid;
    v->slot_last_page = !newest ? s->meta.last_page : v->pages.highest_page > other->meta.last_page ? v->pages.highest_page : other->meta.last_page;
    (void)q_err_set(err, Q_E_INTERNAL, "meta page %d claims transaction %" PRIu64 ", its tree was written by %" PRIu64, v->slot, claimed, v->slot_txnid);
    q_err_hint(err, "A meta page couldn't be written; all of its group is there. The coordinator puts it right when it starts.");
    return Q_FAIL;
}

/* Meta page `slot` isn't what it should be. Is the other one that of a sound log? */
static q_rc refuse(q_pages_image image, const side s[2], int slot, q_wal_verdict *v, q_err *err)
{
    const side *bad = &s[slot], *good = &s[slot ^ 1];
    q_err why = bad->err;
    if (bad->rc == Q_OK)
        (void)q_err_set(&why, Q_E_INTERNAL, "page %d, byte %" PRIu64 ": the meta page claims transaction %" PRIu64 ", its tree was written by %" PRIu64, slot,
                        (uint64_t)slot * bad->meta.page_bytes + 144, bad->meta.txnid, bad->stamp.txnid);
    if (whole(good)) {
        q_wal_check_options quiet = { 0 };
        q_err ignored = Q_ERR_INIT;
        v->stamp = good->stamp;
        v->txnid = good->meta.txnid;
        v->slot = slot;
        if (check_tree(image, &good->meta, &quiet, v, &ignored) == Q_OK)
            v->state = Q_WAL_META_DAMAGED;
    }
    *err = why;
    if (v->state == Q_WAL_META_DAMAGED)
        q_err_hint(err, "Restore a backup. Or: the other meta page is sound up to record %" PRIu64 "; `quanta wal verify --accept-older-meta` goes on from it and loses the last group, if that was in the damaged one.",
                   good->stamp.last_lsn);
    return Q_FAIL;
}

static q_rc other_format(const side *s, q_wal_verdict *v, q_err *err)
{
    v->state = Q_WAL_OTHER_FORMAT;
    v->stamp = s->stamp;
    *err = s->err;
    return Q_FAIL;
}

q_rc q_wal_check_image(q_pages_image image, const q_wal_check_options *options, q_wal_verdict *v, q_err *err)
{
    memset(v, 0, sizeof *v);
    v->state = Q_WAL_DAMAGED;
    side s[2] = { look_at(image, 0), look_at(image, 1) };
    if (s[0].other_format || s[1].other_format) {
        bool newer = s[1].other_format && (!s[0].other_format || s[1].meta.txnid > s[0].meta.txnid);
        return other_format(&s[newer], v, err);
    }
    for (int i = 0; i < 2; i++)
        if (mislabelled(&s[i], &s[i ^ 1]))
            return check_mislabelled(image, &s[i], &s[i ^ 1], options, v, err);
    for (int i = 0; i < 2; i++)
        if (!whole(&s[i]))
            return refuse(image, s, i, v, err);
    uint64_t a = s[0].meta.txnid, b = s[1].meta.txnid;
    if (a + 1 != b && b + 1 != a)
        return q_err_set(err, Q_E_INTERNAL, "the meta pages are of transactions %" PRIu64 " and %" PRIu64 ", which don't follow each other", a, b);
    const side *newest = &s[b > a];
    if (options->snapshot) {
        if (options->snapshot != a && options->snapshot != b)
            return q_err_set(err, Q_E_INTERNAL, "transaction %" PRIu64 " is read, the meta pages are of %" PRIu64 " and %" PRIu64, options->snapshot, a, b);
        newest = &s[options->snapshot == b]; /* perhaps not the newest any more */
    }
    v->stamp = newest->stamp;
    v->txnid = newest->meta.txnid;
    q_rc rc = check_tree(image, &newest->meta, options, v, err);
    if (rc == Q_OK)
        v->state = Q_WAL_SOUND;
    return rc;
}
