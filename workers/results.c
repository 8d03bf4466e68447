/* results.c - what a finished job means: votes, acks, rows, states, questions; and what must run again. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "workers/participant.h"
#include "workers/rules.h"

enum {
    ROWS_BYTES = Q_READ_MAX_BYTES, /* rows of several reads in one message */
    KNOWN_PREPARED_MAX = 100000,
    FENCE_AGAIN_US = 1000 * 1000,
};

/* The next run of units of one bucket in [from, to). */
static uint32_t same_bucket(const q_box *b, uint32_t from, uint32_t to)
{
    uint32_t i = from + 1;
    while (i < to && q_slice_eq(b->units[i].bucket, b->units[from].bucket))
        i++;
    return i;
}

static void send_votes(q_worker *w, const q_box *b, q_worker_fx *fx)
{
    for (uint32_t i = 0, end; i < b->unit_count; i = end) {
        end = same_bucket(b, i, b->unit_count);
        q_msg m = q_worker_answer(w, Q_M_VOTE, b->pub.epoch, b->units[i].bucket, end - i);
        m.votes = b->pub.votes + i;
        q_worker_send_msg(w, fx, &m);
    }
}

static void send_acks(q_worker *w, const q_box *b, uint32_t from, uint32_t to, q_worker_fx *fx)
{
    uint64_t *seqs = Q_NEW_ARRAY(fx->arena, uint64_t, to - from);
    if (!seqs)
        return;
    for (uint32_t i = from; i < to; i++)
        seqs[i - from] = b->units[i].work.seq;
    for (uint32_t i = from, end; i < to; i = end) {
        end = same_bucket(b, i, to);
        q_msg m = q_worker_answer(w, Q_M_ACK, b->pub.epoch, b->units[i].bucket, end - i);
        m.seqs = seqs + (i - from);
        q_worker_send_msg(w, fx, &m);
    }
}

static size_t rows_size(const q_rows *rows)
{
    size_t n = 64 + rows->error.len;
    for (uint32_t i = 0; i < rows->count; i++) {
        n += 48 + q_value_size(&rows->rows[i].id);
        for (uint32_t j = 0; j < rows->attr_count; j++)
            n += q_value_size(&rows->rows[i].values[j]);
    }
    return n;
}

static void send_rows(q_worker *w, const q_box *b, q_worker_fx *fx)
{
    const q_job *j = &b->pub;
    for (uint32_t i = 0, end; i < j->count; i = end) {
        size_t bytes = rows_size(&j->rows[i]);
        for (end = i + 1; end < j->count && q_slice_eq(b->read_buckets[i], b->read_buckets[end]); end++) {
            size_t more = rows_size(&j->rows[end]);
            if (bytes + more > ROWS_BYTES)
                break;
            bytes += more;
        }
        q_msg m = q_worker_answer(w, Q_M_ROWS, j->epoch, b->read_buckets[i], end - i);
        m.rows = j->rows + i;
        q_worker_send_msg(w, fx, &m);
    }
}

static void note_failure(q_worker *w, const q_job *j, q_worker_fx *fx)
{
    static const char *const names[] = { "", "a prepare", "an apply", "a rollback", "a fence", "a sweep", "a read", "a purge" };
    w->stats.failures++;
    snprintf(w->stats.last_error, sizeof w->stats.last_error, "%s", j->err.message);
    q_wfx_say(fx, "%s of %u failed: %s: %s", names[j->kind], j->count, q_code_name(j->err.code), j->err.message);
}

static void rest(q_worker *w, int64_t mono_us)
{
    w->backoff_ms = w->backoff_ms == 0 ? w->config.retry_ms : w->backoff_ms * 2;
    if (w->backoff_ms > Q_BACKOFF_MAX_MS)
        w->backoff_ms = Q_BACKOFF_MAX_MS;
    w->decide_at_us = mono_us + (int64_t)w->backoff_ms * 1000;
}

static void rested(q_worker *w)
{
    w->backoff_ms = 0;
    w->decide_at_us = 0;
}

/* An abort that came while the prepare ran found nothing to undo: undo it now. */
static void undo_overtaken(q_worker *w, const q_box *b, q_worker_fx *fx)
{
    uint32_t n = 0;
    for (uint32_t i = 0; w->aborted && i < b->unit_count; i++)
        n += q_aborted_has(w->aborted, b->units[i].work.seq);
    if (n == 0)
        return;
    q_arena *arena = q_spares_take(&w->spares);
    q_entry *e = arena ? Q_NEW(arena, q_entry) : NULL;
    uint64_t *seqs = e ? Q_NEW_ARRAY(arena, uint64_t, n) : NULL;
    if (!seqs) { /* the sweeper will find them */
        q_spares_give(&w->spares, arena);
        return;
    }
    e->arena = arena;
    e->msg = q_worker_answer(w, Q_M_ABORT, w->known_epoch, Q_SLICE_NONE, n);
    e->msg.seqs = seqs;
    n = 0;
    for (uint32_t i = 0; i < b->unit_count; i++)
        if (q_aborted_has(w->aborted, b->units[i].work.seq))
            seqs[n++] = b->units[i].work.seq;
    q_worker_enqueue(w, &w->rollbacks, e, fx);
}

static void prepare_done(q_worker *w, q_box *b, q_worker_fx *fx)
{
    w->stats.prepared += b->unit_count;
    undo_overtaken(w, b, fx);
    if (b->pub.epoch == w->known_epoch)
        send_votes(w, b, fx);
}

void q_worker_keep_behind(q_worker *w, q_box *b, int64_t mono_us, q_worker_fx *fx)
{
    uint32_t kept = b->from;
    if (w->stuck.count == 0)
        return;
    for (uint32_t i = b->from; i < b->unit_count; i++) {
        const q_unit u = b->units[i];
        if (q_stuck_has(&w->stuck, u.work.seq))
            continue; /* sent again */
        if (!q_stuck_meets(&w->stuck, &w->spares, &u)) {
            b->works[kept] = u.work;
            b->units[kept++] = u;
        } else if (!q_stuck_add(&w->stuck, &w->spares, &u, mono_us, mono_us)) {
            w->stats.dropped++;
            q_wfx_say(fx, "transaction %llu waits for one that can't be applied, and too many do: dropped until it is sent again",
                     (unsigned long long)u.work.seq);
        }
    }
    b->unit_count = kept;
    b->window = kept - b->from;
}

static int seq_cmp(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a > b) - (a < b);
}

/* A slow apply is sent again before it is answered; that one came before this answer, so it needs neither an apply nor an answer of its own.
 * Without this a slow engine gets ever more to do. */
static void forget_repeats(q_worker *w, const q_box *b, q_worker_fx *fx)
{
    uint64_t *seqs = w->commits.first ? Q_NEW_ARRAY(fx->arena, uint64_t, b->window) : NULL;
    for (uint32_t i = 0; seqs && i < b->window; i++)
        seqs[i] = b->units[b->from + i].work.seq;
    if (!seqs)
        return;
    qsort(seqs, b->window, sizeof *seqs, seq_cmp);
    q_queue_without(&w->commits, &w->spares, seqs, b->window);
}

static void applied(q_worker *w, q_box *b, q_worker_fx *fx)
{
    /* Durable in the engine, whatever epoch is known by now. */
    if (!Q_SABOTAGED(w->config.sabotage, Q_SAB_ACK_BEFORE_APPLY))
        send_acks(w, b, b->from, b->from + b->window, fx);
    if (b->pub.epoch == w->known_epoch)
        forget_repeats(w, b, fx);
    w->stats.applied += b->window;
    for (uint32_t i = b->from; i < b->from + b->window; i++)
        if (b->units[i].work.seq > w->applied_seen)
            w->applied_seen = b->units[i].work.seq;
    w->stats.last_error[0] = '\0';
    w->failing_since_us = 0;
    rested(w);
    for (uint32_t i = 0; i < b->stuck_count; i++)
        q_stuck_remove(&w->stuck, &w->spares, b->stuck[i]);
    uint32_t left = b->unit_count - b->from - b->window;
    b->from += b->window;
    b->window = b->window * 2 < left ? b->window * 2 : left;
}

/* A stuck one failed again: it rests by itself. */
static void still_stuck(q_worker *w, q_stuck_txn *t, int64_t mono_us)
{
    t->backoff_ms = t->backoff_ms == 0 ? w->config.retry_ms : t->backoff_ms * 2;
    if (t->backoff_ms > Q_BACKOFF_MAX_MS)
        t->backoff_ms = Q_BACKOFF_MAX_MS;
    t->next_at_us = mono_us + (int64_t)t->backoff_ms * 1000;
}

/* Is the failure about something in the batch, or about the engine? */
static bool about_the_batch(const q_job *j) { return j->rc == Q_FAIL || (j->rc == Q_RETRY && j->err.code != Q_E_ENGINE_DOWN); }

/* To the coordinator, for its operators: a vote about what is committed decides nothing. */
static void tell_why(q_worker *w, const q_box *b, q_worker_fx *fx)
{
    enum { TOLD = 16 };
    uint32_t n = b->window < TOLD ? b->window : TOLD, end = b->from + n;
    q_slice text = q_arena_copy(fx->arena, q_slice_cstr(b->pub.err.message));
    q_vote *votes = Q_NEW_ARRAY(fx->arena, q_vote, n);
    if (!votes || !text.ptr || !text.len)
        return;
    for (uint32_t i = 0; i < n; i++)
        votes[i] = (q_vote){ .seq = b->units[b->from + i].work.seq, .no = Q_NO_REFUSED, .text = text };
    for (uint32_t i = b->from, next; i < end; i = next) {
        next = same_bucket(b, i, end);
        q_msg m = q_worker_answer(w, Q_M_VOTE, b->pub.epoch, b->units[i].bucket, next - i);
        m.votes = votes + (i - b->from);
        q_worker_send_msg(w, fx, &m);
    }
}

/* True: the box is to be kept for another run. A batch that fails because of one transaction in it is halved until that one stands alone
 * and can be set aside; whatever was applied of it is applied again, which changes nothing. */
static bool commit_done(q_worker *w, q_box *b, int64_t mono_us, q_worker_fx *fx)
{
    bool mine = b->pub.epoch == w->known_epoch;
    if (b->pub.rc == Q_OK) {
        applied(w, b, fx);
        return mine && b->window > 0;
    }
    if (!mine)
        return false;
    if (w->failing_since_us == 0)
        w->failing_since_us = mono_us;
    if (b->window == 1 || !about_the_batch(&b->pub))
        tell_why(w, b, fx);
    if (!about_the_batch(&b->pub)) {
        rest(w, mono_us);
        /* It may come back without the epoch (restored), or a lease may have gone elsewhere: it is told again before the next try. */
        w->fence_due = true;
        w->unsure = true;
    }
    if (b->stuck_count) {
        still_stuck(w, b->stuck[0], mono_us);
        return false;
    }
    if (!about_the_batch(&b->pub))
        return true;
    if (b->window > 1) {
        b->window /= 2;
        return true;
    }
    if (!q_stuck_add(&w->stuck, &w->spares, &b->units[b->from], mono_us, mono_us + (int64_t)w->config.retry_ms * 1000)) {
        rest(w, mono_us);
        return true;
    }
    q_wfx_say(fx, "transaction %llu can't be applied for now: set aside, and tried again for ever",
              (unsigned long long)b->units[b->from].work.seq);
    b->from++;
    q_worker_keep_behind(w, b, mono_us, fx);
    b->window = b->from < b->unit_count;
    return b->window > 0;
}

/* The lanes' sessions break together with the engine; the next answer is not believed before a fence has looked. */
static void lost_session(q_worker *w, const q_job *j)
{
    if (j->rc == Q_OK || about_the_batch(j) || j->epoch != w->known_epoch)
        return;
    w->fence_due = true;
    w->unsure = true;
}

static void fence_done(q_worker *w, q_box *b, int64_t mono_us, q_worker_fx *fx)
{
    const q_job *j = &b->pub;
    bool told = j->rc == Q_OK, foreign = j->state.cluster && j->state.cluster != w->config.cluster;
    bool refused = j->rc == Q_FAIL && (foreign || j->state.epoch > j->epoch);
    /* An engine that has served in this epoch knows it, and what it had applied then. */
    bool again = w->fenced_epoch == j->epoch;
    bool forgot = told && again && (j->state.epoch < j->epoch || j->state.applied_high < w->applied_seen);
    if (told && j->epoch > w->fenced_epoch) {
        w->fenced_epoch = j->epoch;
        w->applied_seen = j->state.applied_high;
    }
    if (forgot && w->forgot_epoch != j->epoch) {
        w->forgot_epoch = j->epoch;
        q_worker_drop_all(w);
        q_wfx_say(fx, "the engine has lost what it had applied: nothing is served before the coordinator's next epoch");
    }
    if (told)
        w->unsure = false;
    if (told || refused) {
        /* A refusal is an answer too: the coordinator has to see that its log is an old copy (B8). */
        q_msg m = q_worker_answer(w, Q_M_STATE, j->epoch, Q_SLICE_NONE, 1);
        m.state = &j->state;
        if (w->forgot_epoch == j->epoch)
            m.batch = Q_STATE_FORGOT;
        q_worker_send_msg(w, fx, &m);
    }
    if (told) {
        w->decide_at_us = 0;
        if (w->failing_since_us == 0)
            w->backoff_ms = 0; /* else only a good apply ends the doubling */
        w->sweep_at_us = mono_us; /* what the last life left prepared is listed at once */
    } else {
        rest(w, mono_us);
        if (w->unsure && w->decide_at_us > mono_us + FENCE_AGAIN_US)
            w->decide_at_us = mono_us + FENCE_AGAIN_US; /* reads and prepares wait for it, too */
        /* Refused for good: until another FENCE comes, asking again changes nothing. */
        if (!refused)
            w->fence_due = true;
    }
}

/* B8. Who stays prepared from one sweep to the next, or from an epoch before this one, is asked about; the coordinator answers ABORT for
 * those that aren't alive and sends the redo of those that are. */
static void sweep_done(q_worker *w, q_box *b, q_worker_fx *fx)
{
    const q_job *j = &b->pub;
    size_t n = j->prepared_count < KNOWN_PREPARED_MAX ? j->prepared_count : KNOWN_PREPARED_MAX, asked = 0;
    uint64_t *found = malloc((n ? n : 1) * sizeof *found), *ask = Q_NEW_ARRAY(fx->arena, uint64_t, n + 1);
    if (!found || !ask) {
        free(found);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t seq = j->prepared_seqs[i];
        found[i] = seq;
        bool old = j->prepared_epochs[i] < w->known_epoch;
        if (old || (w->prepared_count && bsearch(&seq, w->prepared, w->prepared_count, sizeof seq, seq_cmp)))
            ask[asked++] = seq;
    }
    qsort(found, n, sizeof *found, seq_cmp);
    free(w->prepared);
    w->prepared = found;
    w->prepared_count = n;
    for (size_t i = 0; i < asked; i += Q_WIRE_MAX_TXNS) {
        q_msg m = q_worker_answer(w, Q_M_ASK, w->known_epoch, Q_SLICE_NONE,
                                  (uint32_t)(asked - i < Q_WIRE_MAX_TXNS ? asked - i : Q_WIRE_MAX_TXNS));
        m.seqs = ask + i;
        q_worker_send_msg(w, fx, &m);
    }
}

void q_worker_done(q_worker *w, q_job *job, int64_t mono_us, q_worker_fx *fx)
{
    q_box *b = (q_box *)job; /* pub comes first */
    assert(b->running && w->running[job->lane] > 0);
    b->running = false;
    w->running[job->lane]--;
    bool room = q_wfx_reserve(fx, Q_EFFECTS_RESERVED), again = false;
    if (room && job->rc != Q_OK)
        note_failure(w, job, fx);
    switch (job->kind) {
    case Q_J_PREPARE:
        lost_session(w, job);
        if (room)
            prepare_done(w, b, fx);
        break;
    case Q_J_COMMIT:
        again = commit_done(w, b, mono_us, fx);
        break;
    case Q_J_ROLLBACK:
        /* Not tried again: the sweeper finds what is left. */
        if (job->rc == Q_OK)
            w->stats.undone += job->count;
        else
            rest(w, mono_us);
        break;
    case Q_J_FENCE:
        if (job->epoch == w->known_epoch)
            fence_done(w, b, mono_us, fx);
        else
            w->fence_due = true;
        break;
    case Q_J_PURGE: /* not tried again in this epoch: a tombstone too many is no harm */
        break;
    case Q_J_SWEEP:
        if (job->rc == Q_OK && room)
            sweep_done(w, b, fx);
        break;
    case Q_J_READ:
        lost_session(w, job);
        w->stats.read += job->count;
        if (room && job->epoch == w->known_epoch)
            send_rows(w, b, fx);
        break;
    }
    if (again) {
        assert(!w->retry);
        w->retry = b;
    } else
        q_box_free(b, &w->spares);
    q_worker_pump(w, mono_us, fx);
}

