/* run.c - from the last lock to the last row: seq and time, the run of the statements, their reads, the time limits. */
#include "coordinator/state.h"

#include <assert.h>

/* ---- grants ---- */

/* Its record types may have changed while it waited: a DDL was in front of it. Snapshots share what is the same. */
static bool stale(const q_core *c, const q_txn *t)
{
    return t->catalog != c->catalog && q_catalog_bucket(c->catalog, t->bucket_name) != t->bucket;
}

void q_core_grants(q_core *c)
{
    uint64_t granted;
    if (c->granting)
        return; /* the loop that is running takes these too */
    c->granting = true;
    while (q_locks_next_granted(c->locks, &granted)) {
        if (q_core_replay_owns(c, granted)) {
            q_core_replay_granted(c);
            continue;
        }
        q_txn *t = (q_txn *)(uintptr_t)granted;
        bool again = t->behind_ddl || stale(c, t);
        t->behind_ddl = false;
        q_core_fire(c, t, again ? Q_TPE_STALE : Q_TPE_GRANTED, 0);
    }
    c->granting = false;
}

/* B1: seq order is conflict order, because it is given when the last lock is granted. B8: it was reserved durably before. */
bool q_core_give_seq(q_core *c, q_txn *t)
{
    if (c->next_seq >= c->seqs_until)
        return false;
    t->seq = c->next_seq++;
    t->epoch = c->epoch;
    q_core_seq_remember(c, t);
    return true;
}

void q_core_start(q_core *c, q_txn *t)
{
    q_err err;
    q_core_no_err(&err);
    if (!t->granted_ns)
        t->granted_ns = q_core_stopwatch(c);
    t->out = (q_exec_outcome){ 0 };
    if (!t->read_only && !(Q_SABOTAGED(c->config.sabotage, Q_SAB_SEQ_BEFORE_LOCKS) && t->seq && t->blind)) {
        q_core_seq_forget(c, t); /* that of an attempt that is over */
        t->seq = 0;
        if (!q_core_give_seq(c, t)) {
            q_err_set(&err, Q_E_OVERLOADED, "No sequence number is reserved.");
            q_core_fail_txn(c, t, &err);
            return;
        }
    }
    c->last_time_us = c->now_us > c->last_time_us ? c->now_us : c->last_time_us + 1;
    t->time_us = c->last_time_us;
    q_exec_start(t->exec, t->seq, t->time_us, t->blind);
    q_core_run(c, t);
}

/* ---- the run ---- */

static bool send_reads(q_core *c, q_txn *t, const q_exec_read *reads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        q_open_read *r = q_core_open_read_new(c);
        if (!r)
            return false;
        r->txn = t;
        r->engine = reads[i].engine;
        r->read = &reads[i].read;
        r->next = t->reads;
        r->sent_ns = c->config.account ? q_core_stopwatch(c) : 0;
        t->reads = r;
        q_core_out_push(c, t->bucket_name, r->engine, Q_OUT_READ, r->ticket);
    }
    return true;
}

static void finished(q_core *c, q_txn *t)
{
    q_err err;
    q_core_no_err(&err);
    t->run_ns = q_core_stopwatch(c);
    t->unvoted = t->out.participants;
    if (t->out.participants) {
        if (!t->ddl_script && q_exec_was_blind(t->exec))
            q_core_plan_drop(c, t); /* only a NO would ask for it, and then it is made again */
        q_core_fire(c, t, Q_TPE_WRITES, 0);
        return;
    }
    t->status = t->out.rollback ? "rolled_back" : "committed";
    q_rc rc = t->out.rollback || t->read_only ? Q_OK : q_core_prepare_ddl(c, t, &err);
    if (rc == Q_OK && !t->read_only)
        rc = q_core_make_reply(c, t, &err);
    if (rc != Q_OK)
        q_core_fail_txn(c, t, &err);
    else
        q_core_fire(c, t, t->read_only ? Q_TPE_ANSWER : t->out.rollback ? Q_TPE_ROLLBACK : Q_TPE_NOTHING, 0);
}

void q_core_run(q_core *c, q_txn *t)
{
    q_err err;
    q_core_no_err(&err);
    const q_exec_read *reads = NULL;
    size_t count = 0;
    q_exec_state s = q_exec_next(t->exec, &reads, &count, &t->out, &err);
    q_core_txn_count_bytes(c, t);
    switch (s) {
    case Q_EXEC_READS:
        assert(count > 0);
        if (!send_reads(c, t, reads, count)) {
            q_err_set(&err, Q_E_LIMIT_MEMORY, "No memory for reads.");
            q_core_fail_txn(c, t, &err);
        }
        break;
    case Q_EXEC_DONE:
        finished(c, t);
        break;
    case Q_EXEC_FAILED:
        q_core_fail_txn(c, t, &err);
        break;
    }
}

/* ---- reads ---- */

void q_core_drop_reads(q_core *c, q_txn *t)
{
    while (t->reads) {
        q_open_read *r = t->reads;
        t->reads = r->next;
        q_core_open_read_free(c, r);
    }
}

void q_core_resend_reads(q_core *c, q_txn *t)
{
    for (q_open_read *r = t->reads; r; r = r->next)
        q_core_out_push(c, t->bucket_name, r->engine, Q_OUT_READ, r->ticket);
}

static void answered(q_core *c, q_open_read *r)
{
    q_open_read **at = &r->txn->reads;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    q_core_open_read_free(c, r);
}

void q_core_rows_came(q_core *c, q_engine_id engine, const q_rows *rows)
{
    q_err err;
    q_core_no_err(&err);
    q_open_read *r = q_tickets_find(&c->reads, rows->read_id);
    if (!r || r->engine != engine)
        return; /* late, twice, or not asked for */
    q_txn *t = r->txn;
    assert(t->state == Q_TPS_READING);
    if (rows->rc == Q_RETRY)
        return; /* asked again at the next resend, until the time limit */
    if (rows->rc == Q_OK) {
        q_rows mine = *rows;
        mine.read_id = r->read->read_id;
        if (q_exec_feed(t->exec, mine.read_id, &mine, &err) == Q_OK) {
            if (c->config.account)
                t->engine_read_ns[engine] += q_core_stopwatch(c) - r->sent_ns;
            answered(c, r);
            if (!t->reads)
                q_core_fire(c, t, Q_TPE_LAST_ROWS, 0);
            return;
        }
    } else {
        q_err_set(&err, rows->code > Q_E_NONE && rows->code < Q_E_COUNT ? rows->code : Q_E_ENGINE_REFUSED, "%.*s", Q_SLICE_FMT(rows->error));
    }
    q_core_fail_txn(c, t, &err);
}

/* ---- time ---- */

void q_core_arm(q_core *c, q_txn *t)
{
    int64_t first = (int64_t)c->config.resend_ms * 1000;
    bool resends = t->state == Q_TPS_READING || t->state == Q_TPS_PREPARING || t->state == Q_TPS_APPLYING;
    if (t->state == Q_TPS_READING)
        first *= Q_READ_RESEND_FACTOR;
    t->backoff_us = t->backoff_us ? t->backoff_us * 2 : first;
    if (t->backoff_us > Q_COMMIT_BACKOFF_MAX_US)
        t->backoff_us = Q_COMMIT_BACKOFF_MAX_US;
    int64_t at = resends ? c->mono_us + t->backoff_us : INT64_MAX;
    if (t->state != Q_TPS_APPLYING && t->deadline_us < at)
        at = t->deadline_us;
    q_timers_arm(&c->timers, &t->timer, at);
}

static void name_engines(char out[80], uint32_t engines)
{
    size_t n = 0;
    out[0] = '\0';
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (engines >> e & 1) {
            const char *name = q_engine_name(e);
            size_t len = strlen(name);
            if (n + len + 3 > 80)
                return;
            if (n) {
                memcpy(out + n, ", ", 2);
                n += 2;
            }
            memcpy(out + n, name, len + 1);
            n += len;
        }
}

static uint32_t reading_from(const q_txn *t)
{
    uint32_t mask = 0;
    for (const q_open_read *r = t->reads; r; r = r->next)
        mask |= Q_EN_BIT(r->engine);
    return mask;
}

static void count_resent(q_core *c, const q_txn *t)
{
    uint32_t to = t->state == Q_TPS_READING ? reading_from(t) : t->state == Q_TPS_PREPARING ? t->unvoted : t->state == Q_TPS_APPLYING ? t->unapplied : 0;
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        c->stats.resent[e] += to >> e & 1;
}

void q_core_timer_due(q_core *c, q_txn *t)
{
    q_err err;
    q_core_no_err(&err);
    char names[80];
    if (t->state == Q_TPS_APPLYING || c->mono_us < t->deadline_us) {
        count_resent(c, t);
        q_core_fire(c, t, Q_TPE_RESEND, 0);
        return;
    }
    switch (t->state) {
    case Q_TPS_PARKED:
        name_engines(names, t->engines & ~c->ready);
        q_err_set(&err, Q_E_ENGINE_DOWN, "It waited %u ms for %s.", t->in.timeout_ms, names[0] ? names : "the log");
        break;
    case Q_TPS_WAITING:
        if (t->behind_ddl) {
            err = t->error;
            q_core_refuse(c, t, &err);
            return;
        }
        q_err_set(&err, Q_E_LOCK_TIMEOUT, "It waited for other transactions for %u ms.", t->in.timeout_ms);
        break;
    case Q_TPS_READING:
        name_engines(names, reading_from(t));
        q_err_set(&err, Q_E_PARTICIPANT_TIMEOUT, "No rows came from %s within %u ms.", names, t->in.timeout_ms);
        break;
    case Q_TPS_PREPARING:
        name_engines(names, t->unvoted);
        q_err_set(&err, Q_E_PARTICIPANT_TIMEOUT, "No vote came from %s within %u ms.", names, t->in.timeout_ms);
        break;
    default:
        assert(!"a timer in a state that has none");
    }
    q_core_fail_txn(c, t, &err);
}
