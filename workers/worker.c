#include "workers/participant.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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

bool q_wfx_reserve(q_worker_fx *fx, size_t n)
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

void q_wfx_add(q_worker_fx *fx, q_worker_effect e)
{
    if (q_wfx_reserve(fx, 1))
        fx->items[fx->count++] = e;
}

void q_wfx_say(q_worker_fx *fx, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    q_slice copy = fx->arena ? q_arena_copy(fx->arena, q_slice_cstr(text)) : Q_SLICE_NONE;
    if (copy.ptr)
        q_wfx_add(fx, (q_worker_effect){ .kind = Q_WFX_LOG, .bytes = copy });
}

void q_worker_send_msg(q_worker *w, q_worker_fx *fx, const q_msg *m)
{
    q_buf_clear(&w->scratch);
    q_msg_encode(m, &w->scratch);
    if (w->scratch.failed || w->scratch.len == 0) {
        q_wfx_say(fx, "an answer of kind %d does not fit a message", (int)m->kind);
        return;
    }
    q_slice bytes = q_arena_copy(fx->arena, q_buf_slice(&w->scratch)), key = q_arena_copy(fx->arena, m->bucket);
    if (bytes.ptr && key.ptr)
        q_wfx_add(fx, (q_worker_effect){ .kind = Q_WFX_SEND, .key = key, .bytes = bytes });
}

q_msg q_worker_answer(const q_worker *w, q_msg_kind kind, uint64_t epoch, q_slice bucket, uint32_t count)
{
    return (q_msg){ .kind = kind, .cluster = w->config.cluster, .epoch = epoch, .engine = w->config.engine, .bucket = bucket,
                    .count = count };
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
    q_stuck_clear(&w->stuck, &w->spares);
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
    j->state = (q_engine_state){ 0 };
    j->prepared_epochs = j->prepared_seqs = NULL;
    j->prepared_count = 0;
    if (j->kind == Q_J_PREPARE)
        j->votes = Q_NEW_ARRAY(j->arena, q_vote, j->count);
    if (j->kind == Q_J_READ)
        j->rows = Q_NEW_ARRAY(j->arena, q_rows, j->count);
    if ((j->kind == Q_J_PREPARE && !j->votes) || (j->kind == Q_J_READ && !j->rows)) {
        q_wfx_say(fx, "no memory for the answers of a batch of %u: dropped", j->count);
        q_box_free(b, &w->spares);
        return;
    }
    b->running = true;
    w->running[j->lane]++;
    fx->items[fx->count++] = (q_worker_effect){ .kind = Q_WFX_RUN, .job = j };
}

/* The engine knows the epoch, and has forgotten nothing in it. */
static bool told(const q_worker *w) { return w->known_epoch != 0 && w->fenced_epoch == w->known_epoch && w->forgot_epoch != w->known_epoch; }

static bool serving(const q_worker *w) { return told(w) && !w->unsure; }

/* The next job of the decision lane: a fence before all else, then what must run again, then what waits. */
static q_box *next_decision(q_worker *w, int64_t mono_us, q_worker_fx *fx)
{
    bool resting = mono_us < w->decide_at_us;
    if (w->fence_due && !resting) {
        q_box *b = q_box_new(&w->spares, Q_J_FENCE, Q_LANE_DECIDE, w->known_epoch);
        w->fence_due = !b;
        return b;
    }
    if (!told(w))
        return NULL;
    if (!resting && !w->unsure && w->config.durable_prepare && !Q_SABOTAGED(w->config.sabotage, Q_SAB_KEEP_ORPHANS) && mono_us >= w->sweep_at_us) {
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
    if (resting || w->unsure)
        return NULL;
    w->rollback_turn = true;
    q_stuck_txn *t = q_stuck_due(&w->stuck, mono_us);
    if (t)
        return q_box_of_stuck(&w->spares, t, w->known_epoch);
    q_box *b = w->retry;
    w->retry = NULL;
    if (!b) {
        b = q_box_of_txns(&w->spares, &w->commits, Q_J_COMMIT, w->known_epoch, NULL);
        if (b)
            q_worker_keep_behind(w, b, mono_us, fx);
    }
    if (!b && w->purge_below && w->stuck.count == 0) {
        b = q_box_new(&w->spares, Q_J_PURGE, Q_LANE_DECIDE, w->known_epoch);
        if (b)
            b->pub.below = w->purge_below;
        w->purge_below = 0;
    }
    return b;
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
        int64_t stuck_at = serving(w) ? q_stuck_next_at(&w->stuck) : 0;
        if (stuck_at && (at == 0 || stuck_at < at))
            at = stuck_at > w->decide_at_us ? stuck_at : w->decide_at_us;
        /* A sweep waits for the end of a rest: a moment in the past would be told again and again. */
        int64_t sweep_at = w->sweep_at_us > w->decide_at_us ? w->sweep_at_us : w->decide_at_us;
        if (serving(w) && w->config.durable_prepare && !Q_SABOTAGED(w->config.sabotage, Q_SAB_KEEP_ORPHANS) && (at == 0 || sweep_at < at))
            at = sweep_at;
    }
    if (at == 0 || (w->timer_us > mono_us && w->timer_us <= at))
        return;
    w->timer_us = at;
    q_wfx_add(fx, (q_worker_effect){ .kind = Q_WFX_TIMER, .at_us = at });
}

void q_worker_pump(q_worker *w, int64_t mono_us, q_worker_fx *fx)
{
    if (!q_wfx_reserve(fx, Q_EFFECTS_RESERVED + w->config.read_sessions))
        return;
    while (w->running[Q_LANE_DECIDE] == 0) {
        q_box *b = next_decision(w, mono_us, fx);
        if (!b)
            break;
        if (b->pub.kind == Q_J_COMMIT && b->unit_count == 0)
            q_box_free(b, &w->spares);
        else
            run(w, b, fx);
        if (!q_wfx_reserve(fx, Q_EFFECTS_RESERVED + w->config.read_sessions))
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
    q_wfx_say(fx, "dropped a message of %zu bytes: %s", bytes.len, err.message);
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
    w->failing_since_us = 0;
    w->purge_below = 0;
    q_worker_drop_all(w);
}

void q_worker_drop_all(q_worker *w)
{
    q_queue_clear(&w->prepares, &w->spares);
    q_queue_clear(&w->commits, &w->spares);
    q_queue_clear(&w->rollbacks, &w->spares);
    q_queue_clear(&w->reads, &w->spares);
    q_box_free(w->retry, &w->spares);
    w->retry = NULL;
    for (q_box *b = w->boxes; b; b = b->next)
        b->stuck_count = 0;
    q_stuck_clear(&w->stuck, &w->spares);
}

void q_worker_enqueue(q_worker *w, q_queue *q, q_entry *e, q_worker_fx *fx)
{
    size_t all = w->prepares.bytes + w->commits.bytes + w->rollbacks.bytes + w->reads.bytes;
    if (q->count >= w->config.max_queue || all + e->bytes > w->config.max_queue_bytes) {
        w->stats.dropped++;
        q_wfx_say(fx, "dropped a message of kind %d: %u wait already", (int)e->msg.kind, q->count);
        q_entry_drop(e, &w->spares);
        return;
    }
    q_queue_push(q, e);
}

static void take_abort(q_worker *w, q_entry *e, q_worker_fx *fx)
{
    bool trying = false;
    for (const q_box *b = w->boxes; b; b = b->next)
        trying = trying || b->stuck_count;
    for (uint32_t i = 0; i < e->msg.count && !trying; i++)
        q_stuck_forget(&w->stuck, &w->spares, e->msg.seqs[i]);
    /* Without a durable prepare there is nothing to undo. */
    if (!w->config.durable_prepare || Q_SABOTAGED(w->config.sabotage, Q_SAB_KEEP_ORPHANS)) {
        q_entry_drop(e, &w->spares);
        return;
    }
    for (uint32_t i = 0; i < e->msg.count; i++)
        q_aborted_add(w->aborted, e->msg.seqs[i]);
    q_worker_enqueue(w, &w->rollbacks, e, fx);
}

static void ack_too_early(q_worker *w, const q_msg *m, q_worker_fx *fx)
{
    uint64_t *seqs = Q_NEW_ARRAY(fx->arena, uint64_t, m->count);
    q_msg ack = q_worker_answer(w, Q_M_ACK, m->epoch, m->bucket, m->count);
    for (uint32_t i = 0; seqs && i < m->count; i++)
        seqs[i] = m->txns[i].seq;
    ack.seqs = seqs;
    if (seqs)
        q_worker_send_msg(w, fx, &ack);
}

void q_worker_message(q_worker *w, q_slice bytes, int64_t mono_us, q_worker_fx *fx)
{
    if (!q_wfx_reserve(fx, Q_EFFECTS_RESERVED))
        return;
    q_entry *e = read_message(w, bytes, fx);
    if (!e)
        return;
    const q_msg *m = &e->msg;
    const char *why = refusal(w, m);
    if (why) {
        w->stats.refused++;
        q_wfx_say(fx, "refused a message of kind %d, epoch %llu (known: %llu): %s", (int)m->kind, (unsigned long long)m->epoch,
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
    case Q_M_PURGE:
        w->purge_below = m->below;
        q_entry_drop(e, &w->spares);
        break;
    case Q_M_PREPARE: q_worker_enqueue(w, &w->prepares, e, fx); break;
    case Q_M_COMMIT:
        if (Q_SABOTAGED(w->config.sabotage, Q_SAB_ACK_BEFORE_APPLY))
            ack_too_early(w, m, fx);
        q_worker_enqueue(w, &w->commits, e, fx);
        break;
    case Q_M_ABORT: take_abort(w, e, fx); break;
    case Q_M_READ: q_worker_enqueue(w, &w->reads, e, fx); break;
    case Q_M_VOTE:
    case Q_M_ACK:
    case Q_M_STATE:
    case Q_M_ROWS:
    case Q_M_ASK:
        w->stats.dropped++;
        q_wfx_say(fx, "dropped a message of kind %d: it is a participant's answer, not work", (int)m->kind);
        q_entry_drop(e, &w->spares);
        break;
    }
    q_worker_pump(w, mono_us, fx);
}

void q_worker_tick(q_worker *w, int64_t mono_us, q_worker_fx *fx) { q_worker_pump(w, mono_us, fx); }

void q_worker_get_stats(const q_worker *w, q_worker_stats *out)
{
    *out = w->stats;
    out->epoch = w->fenced_epoch;
    out->waiting[Q_LANE_PREPARE] = w->prepares.count;
    out->waiting[Q_LANE_DECIDE] = w->commits.count + w->rollbacks.count;
    out->waiting[Q_LANE_READ] = w->reads.reads;
    out->waiting_bytes = w->prepares.bytes + w->commits.bytes + w->rollbacks.bytes + w->reads.bytes;
    out->stuck = w->stuck.count;
    for (const q_box *b = w->failing_since_us ? w->boxes : NULL; b; b = b->next)
        if (b->pub.kind == Q_J_COMMIT && b->stuck_count == 0)
            out->stuck += b->unit_count - b->from;
    out->stuck_since_us = w->stuck.first ? w->stuck.first->since_us : w->failing_since_us;
}
