/* drive.h - a worker by hand: messages in, jobs and answers out, time as a number. */
#ifndef Q_TESTS_WORKERS_DRIVE_H
#define Q_TESTS_WORKERS_DRIVE_H

#include <stdlib.h>

#include "tests/unit/schemas/cmocka_setup.h"
#include "workers/worker.h"

enum { CLUSTER = 7, MAX_TAKEN = 64, MAX_SENT = 256 };

typedef struct drive {
    q_arena *arena;
    q_worker *w;
    q_worker_config config;
    q_worker_fx fx;
    int64_t now_us, timer_us;
    q_job *jobs[MAX_TAKEN];    /* that run */
    uint32_t job_count;
    q_msg sent[MAX_SENT];      /* decoded, in order */
    uint32_t sent_count;
    uint64_t engine_epoch, engine_high; /* what the engine remembers */
    bool forgets;              /* it has lost that */
    uint32_t lines;
} drive;

static inline void take(drive *d)
{
    q_err err = Q_ERR_INIT;
    for (size_t i = 0; i < d->fx.count; i++) {
        const q_worker_effect *e = &d->fx.items[i];
        switch (e->kind) {
        case Q_WFX_RUN:
            assert_true(d->job_count < MAX_TAKEN);
            d->jobs[d->job_count++] = e->job;
            break;
        case Q_WFX_SEND:
            assert_true(d->sent_count < MAX_SENT);
            if (q_msg_decode(d->arena, q_arena_copy(d->arena, e->bytes), &d->sent[d->sent_count++], &err) != Q_OK)
                fail_msg("an answer can't be read: %s", err.message);
            assert_true(q_slice_eq(e->key, d->sent[d->sent_count - 1].bucket));
            break;
        case Q_WFX_TIMER: d->timer_us = e->at_us; break;
        case Q_WFX_LOG: d->lines++; break;
        }
    }
    q_worker_fx_clear(&d->fx);
}

static inline drive *drive_new(q_arena *arena, const q_worker_config *config)
{
    drive *d = Q_NEW(arena, drive);
    assert_non_null(d);
    d->arena = arena;
    d->config = *config;
    d->config.cluster = CLUSTER;
    d->w = q_worker_new(&d->config);
    d->now_us = 1000000;
    q_worker_fx_init(&d->fx);
    return d;
}

static inline void drive_end(drive *d)
{
    q_worker_free(d->w);
    q_worker_fx_free(&d->fx);
}

static inline void deliver_bytes(drive *d, q_slice bytes)
{
    q_worker_message(d->w, bytes, d->now_us, &d->fx);
    take(d);
}

static inline void deliver(drive *d, const q_msg *m)
{
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    q_msg_encode(m, &b);
    assert_false(b.failed);
    deliver_bytes(d, q_buf_slice(&b));
    q_buf_free(&b);
}

static inline void pass_time(drive *d, int64_t us)
{
    d->now_us += us;
    q_worker_tick(d->w, d->now_us, &d->fx);
    take(d);
}

/* The running job of a kind; NULL when there is none. */
static inline q_job *running(const drive *d, q_job_kind kind)
{
    for (uint32_t i = 0; i < d->job_count; i++)
        if (d->jobs[i]->kind == kind)
            return d->jobs[i];
    return NULL;
}

static inline q_job *must_run(const drive *d, q_job_kind kind)
{
    q_job *j = running(d, kind);
    assert_non_null(j);
    return j;
}

static inline void finish_with(drive *d, q_job *job, q_rc rc, q_code code)
{
    for (uint32_t i = 0; i < d->job_count; i++)
        if (d->jobs[i] == job)
            d->jobs[i] = d->jobs[--d->job_count];
    if (rc != Q_OK) {
        q_err err = Q_ERR_INIT;
        q_err_set(&err, code, "it failed");
        q_job_fail(job, rc, &err);
    } else if (job->kind == Q_J_PREPARE)
        for (uint32_t i = 0; i < job->count; i++)
            job->votes[i] = (q_vote){ .seq = job->txns[i].seq };
    else if (job->kind == Q_J_READ)
        for (uint32_t i = 0; i < job->count; i++)
            job->rows[i] = (q_rows){ .read_id = job->reads[i].read_id, .attr_count = job->reads[i].attr_count };
    else if (job->kind == Q_J_FENCE && !d->forgets) {
        if (job->state.epoch < d->engine_epoch)
            job->state.epoch = d->engine_epoch;
        if (job->state.applied_high < d->engine_high)
            job->state.applied_high = d->engine_high;
        d->engine_epoch = job->epoch;
    } else if (job->kind == Q_J_COMMIT)
        for (uint32_t i = 0; i < job->count; i++)
            d->engine_high = job->txns[i].seq > d->engine_high ? job->txns[i].seq : d->engine_high;
    job->rc = rc;
    q_worker_done(d->w, job, d->now_us, &d->fx);
    take(d);
}

static inline void finish(drive *d, q_job *job) { finish_with(d, job, Q_OK, Q_E_NONE); }
static inline void finish_kind(drive *d, q_job_kind kind) { finish(d, must_run(d, kind)); }

/* ---- messages ---- */

static inline q_msg message(const drive *d, q_msg_kind kind, uint64_t epoch, const char *bucket, uint32_t count)
{
    return (q_msg){ .kind = kind, .cluster = CLUSTER, .epoch = epoch, .engine = d->config.engine, .bucket = q_slice_cstr(bucket),
                    .count = count };
}

/* Writes of one record, so that transactions can be made to share one. */
static inline q_slice writes_on(drive *d, const char *bucket, const char *id)
{
    q_item item = { .op = Q_I_DELETE, .record = Q_SLICE_LIT("things"), .incarnation = 2,
                    .id = { .type = Q_T_STRING, .s = q_slice_cstr(id) } };
    q_writes w = { .bucket_incarnation = 1, .bucket = q_slice_cstr(bucket), .count = 1, .items = &item };
    q_buf b = Q_BUF_INIT(1 << 16);
    q_writes_encode(&w, &b);
    q_slice copy = q_arena_copy(d->arena, q_buf_slice(&b));
    q_buf_free(&b);
    return copy;
}

static inline void deliver_txns_on(drive *d, q_msg_kind kind, uint64_t epoch, const char *bucket, uint64_t first, uint32_t count,
                                   const char *id)
{
    q_txn_work *txns = Q_NEW_ARRAY(d->arena, q_txn_work, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        const char *own = q_arena_printf(d->arena, "id%llu", (unsigned long long)(first + i)).ptr;
        txns[i] = (q_txn_work){ .seq = first + i, .time_us = 5, .writes = writes_on(d, bucket, id ? id : own) };
    }
    q_msg m = message(d, kind, epoch, bucket, count);
    m.txns = txns;
    deliver(d, &m);
}

static inline void deliver_txns(drive *d, q_msg_kind kind, uint64_t epoch, uint64_t first, uint32_t count)
{
    deliver_txns_on(d, kind, epoch, "shop", first, count, NULL);
}

static inline void deliver_abort(drive *d, uint64_t epoch, uint64_t seq)
{
    q_msg m = message(d, Q_M_ABORT, epoch, "shop", 1);
    m.seqs = &seq;
    deliver(d, &m);
}

static inline void deliver_read(drive *d, uint64_t epoch, uint64_t id, q_read_kind kind)
{
    q_value key = { .type = Q_T_STRING, .s = Q_SLICE_LIT("x") };
    q_read r = { .read_id = id, .kind = kind, .bucket = Q_SLICE_LIT("shop"), .record = Q_SLICE_LIT("things"), .incarnation = 2, .limit = 10,
                 .id_count = kind == Q_R_IDS, .ids = &key };
    q_msg m = message(d, Q_M_READ, epoch, "shop", 1);
    m.reads = &r;
    deliver(d, &m);
}

/* Tells the epoch and lets the engine confirm it; forgets the STATE. */
static inline void fence(drive *d, uint64_t epoch)
{
    q_msg m = message(d, Q_M_FENCE, epoch, "", 0);
    deliver(d, &m);
    finish_kind(d, Q_J_FENCE);
    assert_int_equal(d->sent[d->sent_count - 1].kind, Q_M_STATE);
    d->sent_count = 0;
    if (d->config.durable_prepare)
        finish_kind(d, Q_J_SWEEP);
}

#endif
