/* What nobody needs any more: states of dropped records, rows of sessions of ended epochs, tombstones.
 *
 * Only rows of ended epochs are removed: a session of this one may be writing its own. A tombstone is removed when it is all there is of its
 * id, as a DELETE of several rows might be cut off between them and leave the life that it ended. */
#include "workers/influx/internal.h"

#include <stdio.h>

enum { PAGE = 1000, PURGE_ARENA_BYTES = 1 << 30, PURGE_FIRST_BYTES = 1 << 20 };

typedef struct purging {
    q_engine *e;
    q_arena *arena; /* of one page */
    uint64_t epoch, upto;
    char writer[IX_WRITER_BYTES];
    q_buf lines;
    ix_deletes deletes;
} purging;

static q_rc sweep_entry(purging *p, const char *measurement, const ix_entry *entry, q_err *err)
{
    const q_stored *s = &entry->part.stored;
    q_rc rc = Q_OK;
    bool forget = s->dead && s->seq <= p->upto && entry->row_count == 1;
    bool old = false;
    for (const ix_row_of *r = entry->rows; r; r = r->next)
        old = old || ix_writer_epoch(r->writer) < p->epoch;
    if (!old || (entry->row_count == 1 && !forget))
        return Q_OK;
    if (!forget)
        ix_put_entry(&p->lines, entry, p->writer); /* all rows in one, before the others go */
    for (const ix_row_of *r = entry->rows; rc == Q_OK && r; r = r->next)
        if (ix_writer_epoch(r->writer) < p->epoch)
            rc = ix_delete_add(&p->deletes, q_slice_cstr(p->e->own), q_slice_cstr(measurement), "k", entry->key, "w", r->writer, err);
    return rc;
}

/* One page: what is written comes before what is removed. */
static q_rc sweep_page(purging *p, const char *measurement, ix_entry *entries, size_t n, q_err *err)
{
    q_rc rc = Q_OK;
    ix_delete_begin(&p->deletes, p->e);
    q_buf_clear(&p->lines);
    for (size_t i = 0; rc == Q_OK && i < n; i++)
        rc = sweep_entry(p, measurement, &entries[i], err);
    if (rc == Q_OK && p->lines.failed)
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    if (rc == Q_OK && p->lines.len)
        rc = ix_write(p->e, q_slice_cstr(p->e->own), q_buf_slice(&p->lines), err);
    return ix_delete_end(&p->deletes, rc, err);
}

static q_rc sweep_record(void *ctx, q_slice bucket, q_slice record, uint64_t incarnation, q_err *err)
{
    purging *p = ctx;
    char measurement[IX_NAME_BYTES];
    ix_loaded known;
    q_value none = { .type = Q_T_INT };
    q_item item = { .op = Q_I_CHECK, .record = record, .incarnation = incarnation, .id = none };
    ix_ref ref = { .bucket = bucket, .bucket_incarnation = UINT64_MAX, .item = &item };
    char last[600] = "";
    size_t skip = 0, n = PAGE;
    q_arena_reset(p->arena);
    ix_parts_name(measurement, bucket, record, incarnation);
    q_rc rc = ix_load(p->e, p->arena, p->epoch, &ref, 1, &known, err);
    if (rc == Q_OK && (ix_older_life(&ref) || incarnation < ref.of_bucket->named.dropped))
        return ix_drop_measurement(p->e, q_slice_cstr(p->e->own), q_slice_cstr(measurement), err);
    while (rc == Q_OK && n == PAGE) {
        ix_entry *entries;
        q_arena_reset(p->arena);
        rc = ix_page(p->e, p->arena, measurement, q_slice_cstr(last), skip, PAGE, &entries, &n, err);
        for (size_t i = 0; i < n; i++) {
            entries[i].bucket = bucket;
            entries[i].record = record;
            entries[i].incarnation = incarnation;
        }
        if (rc == Q_OK)
            rc = sweep_page(p, measurement, entries, n, err);
        skip += n;
        if (n && q_slice_cmp(entries[n - 1].key, q_slice_cstr(last)) > 0) {
            skip = 0;
            snprintf(last, sizeof last, "%.*s", Q_SLICE_FMT(entries[n - 1].key));
        }
    }
    return rc;
}

q_rc ix_purge(q_engine *e, uint64_t epoch, uint64_t upto, q_err *err)
{
    purging p = { .e = e, .arena = q_arena_new_sized(PURGE_ARENA_BYTES, PURGE_FIRST_BYTES), .epoch = epoch, .upto = upto,
                  .lines = Q_BUF_INIT(IX_MAX_ANSWER) };
    if (!p.arena)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    ix_writer(e, epoch, p.writer);
    q_rc rc = ix_check_epoch(e, epoch, err);
    if (rc == Q_OK)
        rc = ix_each_record(e, Q_SLICE_NONE, Q_SLICE_NONE, sweep_record, &p, err);
    q_buf_free(&p.lines);
    q_arena_free(p.arena);
    return rc;
}
