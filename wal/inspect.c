/* inspect.c - which records, in which order. */
#include "wal/inspect.h"

#include <stdlib.h>

enum { ARENA_BYTES = 512 << 20, LINE_BYTES = 256 << 20 };

uint32_t q_wal_type_mask(q_slice name)
{
    for (int t = Q_REC_EPOCH; t <= Q_REC_RESOLVE; t++)
        if (q_slice_eq(name, q_slice_cstr(q_rec_type_name((q_rec_type)t))))
            return 1u << t;
    return 0;
}

static bool seq_matches(const q_wal_filter *f, uint64_t seq)
{
    return (f->from_seq == 0 && f->to_seq == 0) || (seq >= f->from_seq && (f->to_seq == 0 || seq <= f->to_seq));
}

static bool decision_matches(const q_wal_filter *f, const q_rec_decision *d)
{
    return seq_matches(f, d->seq) && (f->bucket.len == 0 || q_slice_eq(f->bucket, d->bucket)) &&
           (f->request_id.len == 0 || q_slice_eq(f->request_id, d->request_id));
}

static bool matches(const q_wal_filter *f, const q_rec *r)
{
    if (f->types && !(f->types >> r->type & 1))
        return false;
    if (r->type == Q_REC_DECISION)
        return decision_matches(f, &r->decision);
    if (f->bucket.len || f->request_id.len)
        return false;
    if (f->from_seq == 0 && f->to_seq == 0)
        return true;
    if (r->type == Q_REC_RESOLVE)
        return seq_matches(f, r->resolve.seq);
    for (uint32_t i = 0; r->type == Q_REC_TAIL && i < r->tail.ended_count; i++)
        if (seq_matches(f, r->tail.ended[i]))
            return true;
    return false;
}

typedef struct listing {
    const q_wal_filter *filter;
    bool full;
    q_wal_line line;
    void *ctx;
    q_arena *arena;
    q_buf out;
    uint64_t found;
    uint64_t *newest; /* a ring of the last lsns that match, in a first pass; NULL: print at once */
} listing;

static q_rc print_record(listing *l, const q_rec *r, size_t bytes, q_err *err)
{
    q_buf_clear(&l->out);
    q_wal_record_json(l->arena, r, bytes, l->full, &l->out);
    if (l->out.failed)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "log record %llu is too large to print", (unsigned long long)r->lsn);
    return l->line(l->ctx, q_buf_slice(&l->out), err);
}

static q_rc list_record(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    listing *l = ctx;
    q_rec r;
    (void)key;
    if (l->filter->to_lsn && lsn > l->filter->to_lsn)
        return Q_END;
    q_arena_reset(l->arena);
    q_rc rc = q_rec_decode(l->arena, value, lsn, &r, err);
    if (rc != Q_OK || !matches(l->filter, &r))
        return rc;
    if (l->newest) {
        l->newest[l->found++ % l->filter->newest] = lsn;
        return Q_OK;
    }
    rc = print_record(l, &r, value.len, err);
    l->found++;
    return rc == Q_OK && l->filter->limit && l->found == l->filter->limit ? Q_END : rc;
}

static q_rc print_newest(listing *l, q_log *log, q_err *err)
{
    uint64_t n = l->filter->newest, first = l->found > n ? l->found - n : 0, end = l->found;
    if (l->filter->limit && end - first > l->filter->limit)
        first = end - l->filter->limit;
    for (uint64_t i = first; i < end; i++) {
        q_slice bytes;
        q_rec r;
        q_arena_reset(l->arena);
        q_rc rc = log->ops->read(log, l->arena, l->newest[i % n], &bytes, err);
        if (rc == Q_END)
            continue; /* trimmed since */
        if (rc == Q_OK)
            rc = q_rec_decode(l->arena, bytes, l->newest[i % n], &r, err);
        if (rc == Q_OK)
            rc = print_record(l, &r, bytes.len, err);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

q_rc q_wal_list(q_log *log, const q_wal_filter *filter, bool full, q_wal_line line, void *ctx, q_err *err)
{
    q_log_info info;
    log->ops->info(log, &info);
    q_wal_filter f = *filter;
    uint64_t records = info.last_lsn - info.first_lsn + 1;
    if (f.newest > records)
        f.newest = records; /* the ring is never longer than the log */
    listing l = { .filter = &f, .full = full, .line = line, .ctx = ctx, .arena = q_arena_new(ARENA_BYTES), .out = Q_BUF_INIT(LINE_BYTES) };
    if (f.newest)
        l.newest = calloc(f.newest, sizeof *l.newest);
    q_rc rc = l.arena && (!f.newest || l.newest) ? log->ops->scan(log, f.from_lsn, list_record, &l, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    if (rc == Q_END)
        rc = Q_OK;
    if (rc == Q_OK && l.newest)
        rc = print_newest(&l, log, err);
    free(l.newest);
    q_arena_free(l.arena);
    q_buf_free(&l.out);
    return rc;
}

q_rc q_wal_show(q_log *log, uint64_t lsn, q_buf *out, q_err *err)
{
    q_arena *arena = q_arena_new(ARENA_BYTES);
    q_slice bytes;
    q_rec r;
    q_rc rc = arena ? log->ops->read(log, arena, lsn, &bytes, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    if (rc == Q_OK)
        rc = q_rec_decode(arena, bytes, lsn, &r, err);
    if (rc == Q_OK) {
        q_wal_record_json(arena, &r, bytes.len, true, out);
        if (out->failed)
            rc = q_err_set(err, Q_E_LIMIT_MEMORY, "log record %llu is too large to print", (unsigned long long)lsn);
    }
    q_arena_free(arena);
    return rc;
}

typedef struct table_listing {
    q_log_table table;
    q_wal_line line;
    void *ctx;
    q_arena *arena;
    q_catalog *catalog;
    q_buf out;
} table_listing;

static q_rc list_entry(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    table_listing *l = ctx;
    (void)lsn;
    q_arena_reset(l->arena);
    q_buf_clear(&l->out);
    q_wal_entry_json(l->arena, &l->catalog, l->table, key, value, &l->out);
    return l->out.failed ? q_err_set(err, Q_E_LIMIT_MEMORY, "an entry is too large to print") : l->line(l->ctx, q_buf_slice(&l->out), err);
}

q_rc q_wal_list_table(q_log *log, q_log_table table, q_wal_line line, void *ctx, q_err *err)
{
    table_listing l = { table, line, ctx, q_arena_new(ARENA_BYTES), q_catalog_new(), Q_BUF_INIT(LINE_BYTES) };
    q_rc rc = l.arena && l.catalog ? log->ops->table(log, table, list_entry, &l, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    q_catalog_unref(l.catalog);
    q_arena_free(l.arena);
    q_buf_free(&l.out);
    return rc;
}
