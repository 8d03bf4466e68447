#include "workers/worker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sabotage.h"
#include "workers/lanes.h"
#include "workers/rules.h"

enum {
    BACKOFF_MAX_MS = 5000,
    ROWS_BYTES = Q_READ_MAX_BYTES, /* rows of several reads in one message */
    EFFECTS_RESERVED = 32,         /* effects that a step must be able to say: runs and timers; more than lanes there are */
    KNOWN_PREPARED_MAX = 100000,
};

struct q_worker {
    q_worker_config config;
    uint64_t known_epoch;   /* the highest that any message carried */
    uint64_t fenced_epoch;  /* the highest that the engine has confirmed; work runs only while the two are equal */
    bool fence_due;         /* a FENCE is to be carried out and answered */
    q_queue prepares, commits, rollbacks, reads;
    q_box *boxes;           /* all that exist */
    uint32_t running[Q_LANE_COUNT];
    q_box *retry;           /* a COMMIT that is to run again before any other: whole, or what a failure left of it */
    int64_t decide_at_us;   /* the decision lane rests until then (backoff); 0: it doesn't */
    uint32_t backoff_ms;
    int64_t stuck_since_us;
    int64_t sweep_at_us;    /* 0: not planned yet */
    int64_t timer_us;       /* of the last TIMER; 0: none is out */
    uint64_t *prepared;     /* what the last sweep found, ascending */
    size_t prepared_count;
    bool rollback_turn;     /* commits and rollbacks alternate: a rollback frees row locks that a redo may wait for */
    q_aborted *aborted;     /* durable_prepare only */
    q_spares spares;
    q_buf scratch;          /* a message being encoded */
    q_worker_stats stats;
};

/* ---- effects ---- */

void q_worker_fx_init(q_worker_fx *fx) { *fx = (q_worker_fx){ 0 }; }

void q_worker_fx_clear(q_worker_fx *fx)
{
    fx->count = 0;
    if (fx->arena)
        q_arena_reset(fx->arena);
}

void q_worker_fx_free(q_worker_fx *fx)
{
    free(fx->items);
    q_arena_free(fx->arena);
    *fx = (q_worker_fx){ 0 };
}

static bool fx_reserve(q_worker_fx *fx, size_t n)
{
    if (!fx->arena)
        fx->arena = q_arena_new((size_t)512 << 20);
    if (!fx->arena)
        return false;
    if (fx->cap - fx->count >= n)
        return true;
    size_t cap = fx->cap * 2 > fx->count + n ? fx->cap * 2 : fx->count + n;
    q_worker_effect *items = realloc(fx->items, cap * sizeof *items);
    if (!items)
        return false;
    fx->items = items;
    fx->cap = cap;
    return true;
}

/* Without memory a SEND, LOG or TIMER is lost: the coordinator sends again, a tick comes anyway. A RUN never is: see pump. */
static void fx_add(q_worker_fx *fx, q_worker_effect e)
{
    if (fx_reserve(fx, 1))
        fx->items[fx->count++] = e;
}

#define SAY(fx, ...) say(fx, (fx)->arena ? q_arena_printf((fx)->arena, __VA_ARGS__) : Q_SLICE_NONE)
static void say(q_worker_fx *fx, q_slice text)
{
    if (text.ptr)
        fx_add(fx, (q_worker_effect){ .kind = Q_WFX_LOG, .bytes = text });
}

static void send(q_worker *w, q_worker_fx *fx, const q_msg *m)
{
    q_buf_clear(&w->scratch);
    q_msg_encode(m, &w->scratch);
    if (w->scratch.failed || w->scratch.len == 0) {
        SAY(fx, "an answer of kind %d does not fit a message", (int)m->kind);
        return;
    }
    q_slice bytes = q_arena_copy(fx->arena, q_buf_slice(&w->scratch)), key = q_arena_copy(fx->arena, m->bucket);
    if (bytes.ptr && key.ptr)
        fx_add(fx, (q_worker_effect){ .kind = Q_WFX_SEND, .key = key, .bytes = bytes });
}

static q_msg answer(const q_worker *w, q_msg_kind kind, uint64_t epoch, q_slice bucket, uint32_t count)
{
    return (q_msg){ .kind = kind, .cluster = w->config.cluster, .epoch = epoch, .engine = w->config.engine, .bucket = bucket, .count = count };
}

/* ---- life ---- */

q_worker *q_worker_new(const q_worker_config *config)
{
    q_worker *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->config = *config;
    if (w->config.max_queue == 0)
        w->config.max_queue = 1024;
    if (w->config.max_queue_bytes == 0)
        w->config.max_queue_bytes = (uint64_t)256 << 20;
    if (w->config.read_sessions == 0)
        w->config.read_sessions = 1;
    if (w->config.retry_ms == 0)
        w->config.retry_ms = 50;
    if (w->config.sweep_ms == 0)
        w->config.sweep_ms = 5000;
    w->scratch = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    if (w->config.durable_prepare) {
        w->aborted = calloc(1, sizeof *w->aborted);
        if (!w->aborted) {
            free(w);
            return NULL;
        }
    }
    return w;
}

void q_worker_free(q_worker *w)
{
    if (!w)
        return;
    while (w->boxes)
        q_box_free(w->boxes, &w->spares);
    q_queue_clear(&w->prepares, &w->spares);
    q_queue_clear(&w->commits, &w->spares);
    q_queue_clear(&w->rollbacks, &w->spares);
    q_queue_clear(&w->reads, &w->spares);
    q_spares_free(&w->spares);
    q_buf_free(&w->scratch);
    free(w->prepared);
    free(w->aborted);
    free(w);
}

/* ---- running ---- */

static void list_box(q_worker *w, q_box *b)
{
    b->next = w->boxes;
    b->link = &w->boxes;
    if (b->next)
        b->next->link = &b->next;
    w->boxes = b;
}

static void run(q_worker *w, q_box *b, q_worker_fx *fx)
{
    q_job *j = &b->pub;
    assert(!b->running && fx->cap > fx->count);
    if (!b->link)
        list_box(w, b);
    q_arena_reset(j->arena);
    j->rc = Q_OK;
    j->err = Q_ERR_INIT;
    if (j->kind == Q_J_COMMIT || j->kind == Q_J_PREPARE) {
        assert(b->from + b->window <= b->unit_count);
        j->txns = b->works + b->from;
        j->count = b->window;
    }
    j->votes = NULL;
    j->rows = NULL;
    if (j->kind == Q_J_PREPARE)
        j->votes = Q_NEW_ARRAY(j->arena, q_vote, j->count);
    if (j->kind == Q_J_READ)
        j->rows = Q_NEW_ARRAY(j->arena, q_rows, j->count);
    if ((j->kind == Q_J_PREPARE && !j->votes) || (j->kind == Q_J_READ && !j->rows)) {
        SAY(fx, "no memory for the answers of a batch of %u: dropped", j->count);
        q_box_free(b, &w->spares);
        return;
    }
    b->running = true;
    w->running[j->lane]++;
    fx->items[fx->count++] = (q_worker_effect){ .kind = Q_WFX_RUN, .job = j };
}

static bool serving(const q_worker *w) { return w->known_epoch != 0 && w->fenced_epoch == w->known_epoch; }

/* The next job of the decision lane: a fence before all else, then what must run again, then what waits. */
static q_box *next_decision(q_worker *w, int64_t mono_us)
{
    if (w->fence_due) {
        if (mono_us < w->decide_at_us)
            return NULL;
        q_box *b = q_box_new(&w->spares, Q_J_FENCE, Q_LANE_DECIDE, w->known_epoch);
        w->fence_due = !b;
        return b;
    }
    if (!serving(w))
        return NULL;
    bool resting = mono_us < w->decide_at_us;
    if (!resting && w->config.durable_prepare && !Q_SABOTAGED(w->config.sabotage, Q_SAB_KEEP_ORPHANS) && mono_us >= w->sweep_at_us) {
        q_box *b = q_box_new(&w->spares, Q_J_SWEEP, Q_LANE_DECIDE, w->known_epoch);
        w->sweep_at_us = mono_us + (int64_t)w->config.sweep_ms * 1000;
        if (b)
            return b;
    }
    /* While an apply rests between two tries, rollbacks go on: one of them may hold the row lock that it waits for. */
    if (w->rollbacks.first && (w->rollback_turn || resting || (!w->retry && !w->commits.first))) {
        w->rollback_turn = false;
        return q_box_of_seqs(&w->spares, &w->rollbacks, w->known_epoch);
    }
    if (resting)
        return NULL;
    w->rollback_turn = true;
    if (w->retry) {
        q_box *b = w->retry;
        w->retry = NULL;
        return b;
    }
    return q_box_of_txns(&w->spares, &w->commits, Q_J_COMMIT, w->known_epoch, NULL);
}

static void pump_prepares(q_worker *w, q_worker_fx *fx)
{
    while (serving(w) && w->running[Q_LANE_PREPARE] == 0 && w->prepares.first) {
        q_box *b = q_box_of_txns(&w->spares, &w->prepares, Q_J_PREPARE, w->known_epoch, w->aborted);
        if (!b)
            return;
        if (b->unit_count == 0)
            q_box_free(b, &w->spares);
        else
            run(w, b, fx);
    }
}

static void pump_reads(q_worker *w, q_worker_fx *fx)
{
    while (serving(w) && w->running[Q_LANE_READ] < w->config.read_sessions && w->reads.first) {
        q_box *b = q_box_of_reads(&w->spares, &w->reads, w->known_epoch);
        if (!b)
            return;
        if (b->pub.count == 0)
            q_box_free(b, &w->spares);
        else
            run(w, b, fx);
    }
}

static void plan_timer(q_worker *w, int64_t mono_us, q_worker_fx *fx)
{
    int64_t at = 0;
    if (w->running[Q_LANE_DECIDE] == 0) {
        if (w->decide_at_us > mono_us && (w->fence_due || w->retry || w->commits.first))
            at = w->decide_at_us;
        if (serving(w) && w->config.durable_prepare && (at == 0 || w->sweep_at_us < at))
            at = w->sweep_at_us;
    }
    if (at == 0 || (w->timer_us > mono_us && w->timer_us <= at))
        return;
    w->timer_us = at;
    fx_add(fx, (q_worker_effect){ .kind = Q_WFX_TIMER, .at_us = at });
}

/* Gives every free lane what waits for it. */
static void pump(q_worker *w, int64_t mono_us, q_worker_fx *fx)
{
    if (!fx_reserve(fx, EFFECTS_RESERVED + w->config.read_sessions))
        return;
    while (w->running[Q_LANE_DECIDE] == 0) {
        q_box *b = next_decision(w, mono_us);
        if (!b)
            break;
        if (b->pub.kind == Q_J_COMMIT && b->unit_count == 0)
            q_box_free(b, &w->spares);
        else
            run(w, b, fx);
        if (!fx_reserve(fx, EFFECTS_RESERVED + w->config.read_sessions))
            return;
    }
    pump_prepares(w, fx);
    pump_reads(w, fx);
    plan_timer(w, mono_us, fx);
}

/* ---- messages ---- */

static q_entry *read_message(q_worker *w, q_slice bytes, q_worker_fx *fx)
{
    q_arena *arena = bytes.len <= Q_WIRE_MAX_BYTES ? q_spares_take(&w->spares) : NULL;
    q_entry *e = arena ? Q_NEW(arena, q_entry) : NULL;
    q_slice copy = e ? q_arena_copy(arena, bytes) : Q_SLICE_NONE;
    q_err err = Q_ERR_INIT;
    if (!copy.ptr)
        q_err_set(&err, Q_E_LIMIT_MEMORY, "no room for a message of %zu bytes", bytes.len);
    else if (q_msg_decode(arena, copy, &e->msg, &err) == Q_OK) {
        e->arena = arena;
        e->bytes = bytes.len;
        return e;
    }
    w->stats.dropped++;
    SAY(fx, "dropped a message of %zu bytes: %s", bytes.len, err.message);
    q_spares_give(&w->spares, arena);
    return NULL;
}

/* B8: why a message may not be heard; NULL when it may. */
static const char *refusal(const q_worker *w, const q_msg *m)
{
    if (m->cluster != w->config.cluster)
        return "it belongs to another cluster";
    if (m->engine != w->config.engine)
        return "it is meant for another engine";
    if (m->epoch == 0)
        return "it has no epoch";
    if (m->epoch < w->known_epoch && !Q_SABOTAGED(w->config.sabotage, Q_SAB_SKIP_EPOCH_CHECK))
        return "a higher epoch is known";
    return NULL;
}

/* A new life of the coordinator. What waits of the old one goes: its redo is sent again, its prepares are aborted. What runs ends first:
 * the fence takes its turn on the decision lane, because not every engine can check the epoch in each write. */
static void new_epoch(q_worker *w, uint64_t epoch)
{
    w->known_epoch = epoch;
    w->fence_due = true;
    w->decide_at_us = 0;
    w->backoff_ms = 0;
    w->stuck_since_us = 0;
    q_queue_clear(&w->prepares, &w->spares);
    q_queue_clear(&w->commits, &w->spares);
    q_queue_clear(&w->rollbacks, &w->spares);
    q_queue_clear(&w->reads, &w->spares);
    q_box_free(w->retry, &w->spares);
    w->retry = NULL;
}

static void enqueue(q_worker *w, q_queue *q, q_entry *e, q_worker_fx *fx)
{
    size_t all = w->prepares.bytes + w->commits.bytes + w->rollbacks.bytes + w->reads.bytes;
    if (q->count >= w->config.max_queue || all + e->bytes > w->config.max_queue_bytes) {
        w->stats.dropped++;
        SAY(fx, "dropped a message of kind %d: %u wait already", (int)e->msg.kind, q->count);
        q_entry_drop(e, &w->spares);
        return;
    }
    q_queue_push(q, e);
}

static void take_abort(q_worker *w, q_entry *e, q_worker_fx *fx)
{
    /* Without a durable prepare there is nothing to undo. */
    if (!w->config.durable_prepare || Q_SABOTAGED(w->config.sabotage, Q_SAB_KEEP_ORPHANS)) {
        q_entry_drop(e, &w->spares);
        return;
    }
    for (uint32_t i = 0; i < e->msg.count; i++)
        q_aborted_add(w->aborted, e->msg.seqs[i]);
    enqueue(w, &w->rollbacks, e, fx);
}

static void ack_too_early(q_worker *w, const q_msg *m, q_worker_fx *fx)
{
    uint64_t *seqs = Q_NEW_ARRAY(fx->arena, uint64_t, m->count);
    q_msg ack = answer(w, Q_M_ACK, m->epoch, m->bucket, m->count);
    for (uint32_t i = 0; seqs && i < m->count; i++)
        seqs[i] = m->txns[i].seq;
    ack.seqs = seqs;
    if (seqs)
        send(w, fx, &ack);
}

void q_worker_message(q_worker *w, q_slice bytes, int64_t mono_us, q_worker_fx *fx)
{
    if (!fx_reserve(fx, EFFECTS_RESERVED))
        return;
    q_entry *e = read_message(w, bytes, fx);
    if (!e)
        return;
    const q_msg *m = &e->msg;
    const char *why = refusal(w, m);
    if (why) {
        w->stats.refused++;
        SAY(fx, "refused a message of kind %d, epoch %llu (known: %llu): %s", (int)m->kind, (unsigned long long)m->epoch,
            (unsigned long long)w->known_epoch, why);
        q_entry_drop(e, &w->spares);
        return;
    }
    if (m->epoch > w->known_epoch)
        new_epoch(w, m->epoch);
    switch (m->kind) {
    case Q_M_FENCE:
        w->fence_due = true;
        q_entry_drop(e, &w->spares);
        break;
    case Q_M_PREPARE: enqueue(w, &w->prepares, e, fx); break;
    case Q_M_COMMIT:
        if (Q_SABOTAGED(w->config.sabotage, Q_SAB_ACK_BEFORE_APPLY))
            ack_too_early(w, m, fx);
        enqueue(w, &w->commits, e, fx);
        break;
    case Q_M_ABORT: take_abort(w, e, fx); break;
    case Q_M_READ: enqueue(w, &w->reads, e, fx); break;
    case Q_M_VOTE:
    case Q_M_ACK:
    case Q_M_STATE:
    case Q_M_ROWS:
    case Q_M_ASK:
        w->stats.dropped++;
        SAY(fx, "dropped a message of kind %d: it is a participant's answer, not work", (int)m->kind);
        q_entry_drop(e, &w->spares);
        break;
    }
    pump(w, mono_us, fx);
}

void q_worker_tick(q_worker *w, int64_t mono_us, q_worker_fx *fx) { pump(w, mono_us, fx); }

/* ---- results ---- */

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
        q_msg m = answer(w, Q_M_VOTE, b->pub.epoch, b->units[i].bucket, end - i);
        m.votes = b->pub.votes + i;
        send(w, fx, &m);
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
        q_msg m = answer(w, Q_M_ACK, b->pub.epoch, b->units[i].bucket, end - i);
        m.seqs = seqs + (i - from);
        send(w, fx, &m);
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
        q_msg m = answer(w, Q_M_ROWS, j->epoch, b->read_buckets[i], end - i);
        m.rows = j->rows + i;
        send(w, fx, &m);
    }
}

static void note_failure(q_worker *w, const q_job *j, q_worker_fx *fx)
{
    static const char *const names[] = { "", "a prepare", "an apply", "a rollback", "a fence", "a sweep", "a read" };
    w->stats.failures++;
    snprintf(w->stats.last_error, sizeof w->stats.last_error, "%s", j->err.message);
    SAY(fx, "%s of %u failed: %s: %s", names[j->kind], j->count, q_code_name(j->err.code), j->err.message);
}

static void rest(q_worker *w, int64_t mono_us)
{
    w->backoff_ms = w->backoff_ms == 0 ? w->config.retry_ms : w->backoff_ms * 2;
    if (w->backoff_ms > BACKOFF_MAX_MS)
        w->backoff_ms = BACKOFF_MAX_MS;
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
    e->msg = answer(w, Q_M_ABORT, w->known_epoch, Q_SLICE_NONE, n);
    e->msg.seqs = seqs;
    n = 0;
    for (uint32_t i = 0; i < b->unit_count; i++)
        if (q_aborted_has(w->aborted, b->units[i].work.seq))
            seqs[n++] = b->units[i].work.seq;
    enqueue(w, &w->rollbacks, e, fx);
}

static void prepare_done(q_worker *w, q_box *b, q_worker_fx *fx)
{
    w->stats.prepared += b->unit_count;
    undo_overtaken(w, b, fx);
    if (b->pub.epoch == w->known_epoch)
        send_votes(w, b, fx);
}

/* True: the box is to be kept for another run. */
static bool commit_done(q_worker *w, q_box *b, int64_t mono_us, q_worker_fx *fx)
{
    if (b->pub.rc == Q_OK) {
        /* Durable in the engine, whatever epoch is known by now. */
        if (!Q_SABOTAGED(w->config.sabotage, Q_SAB_ACK_BEFORE_APPLY))
            send_acks(w, b, b->from, b->from + b->window, fx);
        w->stats.applied += b->window;
        w->stats.last_error[0] = '\0';
        w->stuck_since_us = 0;
        rested(w);
        b->from += b->window;
        b->window = b->unit_count - b->from;
    } else {
        if (w->stuck_since_us == 0)
            w->stuck_since_us = mono_us;
        rest(w, mono_us);
    }
    return b->pub.epoch == w->known_epoch && b->window > 0;
}

static void fence_done(q_worker *w, q_box *b, int64_t mono_us, q_worker_fx *fx)
{
    const q_job *j = &b->pub;
    bool told = j->rc == Q_OK, refused = j->rc == Q_FAIL && (j->state.epoch > j->epoch || j->state.cluster != w->config.cluster);
    if (told && j->epoch > w->fenced_epoch)
        w->fenced_epoch = j->epoch;
    if (told || refused) {
        /* A refusal is an answer too: the coordinator has to see that its log is an old copy (B8). */
        q_msg m = answer(w, Q_M_STATE, j->epoch, Q_SLICE_NONE, 1);
        m.state = &j->state;
        send(w, fx, &m);
    }
    if (told) {
        rested(w);
        w->sweep_at_us = mono_us; /* what the last life left prepared is listed at once */
    } else {
        rest(w, mono_us);
        /* Refused for good: until another FENCE comes, asking again changes nothing. */
        if (!refused)
            w->fence_due = true;
    }
}

static int seq_cmp(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a > b) - (a < b);
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
        q_msg m = answer(w, Q_M_ASK, w->known_epoch, Q_SLICE_NONE, (uint32_t)(asked - i < Q_WIRE_MAX_TXNS ? asked - i : Q_WIRE_MAX_TXNS));
        m.seqs = ask + i;
        send(w, fx, &m);
    }
}

void q_worker_done(q_worker *w, q_job *job, int64_t mono_us, q_worker_fx *fx)
{
    q_box *b = (q_box *)job; /* pub comes first */
    assert(b->running && w->running[job->lane] > 0);
    b->running = false;
    w->running[job->lane]--;
    bool room = fx_reserve(fx, EFFECTS_RESERVED), again = false;
    if (room && job->rc != Q_OK)
        note_failure(w, job, fx);
    switch (job->kind) {
    case Q_J_PREPARE:
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
    case Q_J_SWEEP:
        if (job->rc == Q_OK && room)
            sweep_done(w, b, fx);
        break;
    case Q_J_READ:
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
    pump(w, mono_us, fx);
}

void q_worker_get_stats(const q_worker *w, q_worker_stats *out)
{
    *out = w->stats;
    out->epoch = w->fenced_epoch;
    out->waiting[Q_LANE_PREPARE] = w->prepares.count;
    out->waiting[Q_LANE_DECIDE] = w->commits.count + w->rollbacks.count;
    out->waiting[Q_LANE_READ] = w->reads.reads;
    out->waiting_bytes = w->prepares.bytes + w->commits.bytes + w->rollbacks.bytes + w->reads.bytes;
    out->stuck_since_us = w->stuck_since_us;
    out->stuck = w->stuck_since_us && w->retry ? w->retry->unit_count - w->retry->from : 0;
}
