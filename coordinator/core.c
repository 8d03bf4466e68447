/* core.c - events in, actions out. What each event means to a transaction is in twophase.def; how an action is carried out, in the files
 * that state.h lists. */
#include "coordinator/state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

bool q_u64s_push(q_u64s *v, uint64_t n)
{
    if (v->count == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 16;
        uint64_t *at = realloc(v->at, cap * sizeof *at);
        if (!at)
            return false;
        v->at = at;
        v->cap = cap;
    }
    v->at[v->count++] = n;
    return true;
}

void q_core_die(q_core *c, const char *why)
{
    if (!c->fatal && c->fx)
        q_effects_fatal(c->fx, "%s", why);
    c->fatal = true;
}

int64_t q_core_stopwatch(const q_core *c) { return c->config.stopwatch_ns ? c->config.stopwatch_ns() : c->mono_us * 1000; }

/* ---- actions ---- */

static void unlock(q_core *c, q_txn *t, uint32_t engines) { q_locks_release(c->locks, (uint64_t)(uintptr_t)t, engines); }

static void relock(q_core *c, q_txn *t)
{
    q_err err = Q_ERR_INIT;
    if (q_core_relock(c, t, &err) != Q_OK)
        q_core_die(c, err.message);
}

static void act(q_core *c, q_txn *t, uint32_t action, q_engine_id engine)
{
    switch (action) {
    case Q_TPA_UNLOCK:
        unlock(c, t, Q_ALL_ENGINES);
        break;
    case Q_TPA_UNLOCK_REST:
        unlock(c, t, Q_SABOTAGED(c->config.sabotage, Q_SAB_EARLY_UNLOCK) ? (uint32_t)Q_ALL_ENGINES : ~t->unapplied & Q_ALL_ENGINES);
        break;
    case Q_TPA_UNLOCK_SHARE:
        unlock(c, t, Q_EN_BIT(engine));
        break;
    case Q_TPA_RELOCK:
        relock(c, t);
        break;
    case Q_TPA_SCHEMA:
        q_core_new_schema(c, t);
        break;
    case Q_TPA_FORGET_ID:
        if (t->identified)
            q_dedupe_drop(c->dedupe, t->identity);
        t->identified = false;
        break;
    case Q_TPA_REPLY:
        q_core_send_reply(c, t);
        q_core_tell_account(c, t);
        break;
    case Q_TPA_EVENTS:
        q_core_send_events(c, t);
        break;
    case Q_TPA_SEND_ABORT:
        q_core_send_aborts(c, t);
        break;
    case Q_TPA_SEND_READS:
        q_core_resend_reads(c, t);
        break;
    case Q_TPA_SEND_PREPARE:
        q_core_send_prepares(c, t);
        break;
    case Q_TPA_SEND_COMMIT:
        q_core_send_commits(c, t);
        break;
    case Q_TPA_PERSIST_COMMIT:
        q_core_persist_commit(c, t);
        break;
    case Q_TPA_PERSIST_ABORT:
        q_core_persist_abort(c, t);
        break;
    case Q_TPA_PERSIST_END:
        q_core_persist_end(c, t);
        break;
    case Q_TPA_PERSIST_MARK:
        q_core_persist_mark(c, t);
        break;
    case Q_TPA_TIMER:
        q_core_arm(c, t);
        break;
    case Q_TPA_PLAN:
        q_core_plan_and_lock(c, t);
        break;
    case Q_TPA_START:
        q_core_start(c, t);
        break;
    case Q_TPA_NEXT:
        q_core_run(c, t);
        break;
    default:
        assert(!"an action of the table that nobody carries out");
    }
}

/* What belongs to a state ends with it. */
static void leave(q_core *c, q_txn *t, q_tp_state from)
{
    if (from == Q_TPS_PARKED)
        q_core_parked_remove(c, t);
    if (from == Q_TPS_READING)
        q_core_drop_reads(c, t);
    if (t->state >= Q_TPS_DECIDING)
        q_core_plan_drop(c, t); /* its run is over, whatever the outcome */
    q_timers_cancel(&c->timers, &t->timer);
    t->backoff_us = 0;
    t->since_us = c->mono_us;
}

void q_core_fire(q_core *c, q_txn *t, q_tp_event event, q_engine_id engine)
{
    q_tp_state from = t->state;
    uint32_t actions = q_tp_move(&t->state, event);
    if (t->state != from) {
        c->in_state[from]--;
        c->in_state[t->state]++;
        leave(c, t, from);
    }
    bool done = t->state == Q_TPS_DONE;
    for (; actions; actions &= actions - 1)
        act(c, t, actions & -actions, engine); /* START, PLAN and NEXT are last: they may fire again */
    if (done)
        q_core_txn_free(c, t);
    q_core_grants(c);
}

/* ---- life ---- */

static uint32_t or_else(uint32_t value, uint32_t fallback) { return value ? value : fallback; }

static void defaults(q_core_config *k)
{
    k->engines = or_else(k->engines, Q_ALL_ENGINES);
    k->max_in_flight = or_else(k->max_in_flight, 10000);
    k->max_in_flight_bytes = k->max_in_flight_bytes ? k->max_in_flight_bytes : (uint64_t)1 << 30;
    k->max_request_bytes = or_else(k->max_request_bytes, Q_QL_MAX_BYTES + Q_REQUEST_ENVELOPE_BYTES);
    k->default_timeout_ms = or_else(k->default_timeout_ms, 5000);
    k->max_timeout_ms = or_else(k->max_timeout_ms, 60000);
    k->resend_ms = or_else(k->resend_ms, 200);
    k->tail_flush_ms = or_else(k->tail_flush_ms, 50);
    k->dedupe_max_bytes = k->dedupe_max_bytes ? k->dedupe_max_bytes : (uint64_t)256 << 20;
    k->dedupe_window_us = k->dedupe_window_us ? k->dedupe_window_us : (int64_t)24 * 3600 * 1000000;
    k->txn_max_bytes = k->txn_max_bytes ? k->txn_max_bytes : (uint64_t)64 << 20;
    k->segment_bytes = k->segment_bytes ? k->segment_bytes : (uint64_t)8 << 20;
    k->seq_block = or_else(k->seq_block, 1 << 20);
}

/* The topics' names, once. */
static bool name_topics(q_core *c)
{
    const char *prefix = c->config.topic_prefix ? c->config.topic_prefix : "quanta";
    static const char *const names[] = { "requests", "results", "schemas", "dlq", "changes." };
    q_slice *const out[] = { &c->rules.topic, &c->rules.results, &c->topic_schemas, &c->topic_dlq, &c->topic_changes };
    size_t used = 0;
    int n = snprintf(c->prefix, sizeof c->prefix, "%s", prefix);
    if (n <= 0 || (size_t)n >= sizeof c->prefix)
        return false;
    c->rules.prefix = (q_slice){ c->prefix, (size_t)n };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        n = snprintf(c->topics + used, sizeof c->topics - used, "%s.%s", prefix, names[i]);
        if (n < 0 || (size_t)n >= sizeof c->topics - used)
            return false;
        *out[i] = (q_slice){ c->topics + used, (size_t)n };
        used += (size_t)n + 1;
    }
    return true;
}

static bool make_parts(q_core *c)
{
    const q_core_config *k = &c->config;
    q_dedupe_config d = { k->dedupe_max_bytes, k->dedupe_window_us, k->log_keep_bytes, k->max_in_flight };
    c->seq_buckets = 1024;
    while (c->seq_buckets < k->max_in_flight)
        c->seq_buckets *= 2;
    c->route_buckets = 1024;
    return (c->locks = q_locks_new(k->max_in_flight * 2)) && (c->dedupe = q_dedupe_new(&d)) && (c->positions = q_positions_new(c->rules.topic)) &&
           (c->replies = q_replies_new()) && (c->catalog = q_catalog_new()) && (c->scratch_arena = q_arena_new((size_t)256 << 20)) &&
           (c->by_seq = calloc(c->seq_buckets, sizeof *c->by_seq)) && (c->routes = calloc(c->route_buckets, sizeof *c->routes));
}

q_rc q_core_new(const q_core_config *config, q_core **out, q_err *err)
{
    q_core *c = calloc(1, sizeof *c);
    if (!c)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    c->config = *config;
    defaults(&c->config);
    for (int i = 0; i < 2; i++) {
        c->groups[i].bytes = Q_BUF_INIT((size_t)Q_GROUP_SOFT_BYTES + 3 * (size_t)Q_REC_MAX_BYTES);
        c->groups[i].last = &c->groups[i].first;
    }
    c->filling = &c->groups[0];
    c->held_last = &c->held_first;
    c->scratch = Q_BUF_INIT((size_t)Q_REC_MAX_BYTES);
    c->scratch2 = Q_BUF_INIT((size_t)1 << 20);
    c->next_lsn = 1;
    if (!name_topics(c)) {
        q_core_free(c);
        return q_err_set(err, Q_E_INTERNAL, "the topic prefix is empty or too long");
    }
    if (!make_parts(c)) {
        q_core_free(c);
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    }
    c->catalog_next = q_catalog_ref(c->catalog);
    c->rules.reply_allow = c->config.reply_allow;
    c->rules.max_bytes = c->config.max_request_bytes;
    c->rules.default_timeout_ms = c->config.default_timeout_ms;
    c->rules.max_timeout_ms = c->config.max_timeout_ms;
    c->rules.authenticate = c->config.authenticate;
    c->rules.auth_ctx = c->config.auth_ctx;
    for (int e = 0; e < Q_EN_COUNT; e++)
        c->engines[e].exists = c->config.engines >> e & 1;
    q_timers_init(&c->timers, 0);
    *out = c;
    return Q_OK;
}

void q_core_free(q_core *c)
{
    if (!c)
        return;
    q_core_txns_free_all(c);
    q_core_out_free(c);
    q_core_group_free_all(c);
    q_core_replay_free(c);
    q_core_kept_free(c);
    q_locks_free(c->locks);
    q_dedupe_free(c->dedupe);
    q_positions_free(c->positions);
    q_replies_free(c->replies);
    q_catalog_unref(c->catalog);
    q_catalog_unref(c->catalog_next);
    q_tickets_free(&c->reads);
    q_tickets_free(&c->answers);
    q_buf_free(&c->scratch);
    q_buf_free(&c->scratch2);
    q_arena_free(c->scratch_arena);
    free(c->recovered.at);
    free(c->by_seq);
    free(c);
}

/* ---- events ---- */

static void message(q_core *c, q_slice bytes)
{
    q_msg m;
    q_err err = Q_ERR_INIT;
    q_arena_reset(c->scratch_arena);
    if (q_msg_decode(c->scratch_arena, bytes, &m, &err) != Q_OK) {
        q_effects_log(c->fx, "a message of %zu bytes on the votes topic can't be read: %s", bytes.len, err.message);
        return;
    }
    if (m.cluster != c->config.cluster || m.engine >= Q_EN_COUNT || !c->engines[m.engine].exists)
        return; /* somebody else's */
    if (m.kind == Q_M_STATE) {
        q_core_state_came(c, &m);
        return;
    }
    if (m.epoch != c->epoch || c->life != Q_LIFE_SERVING)
        return; /* about an earlier life: what matters of it is asked for again */
    c->engines[m.engine].asked_us = 0;
    switch (m.kind) {
    case Q_M_VOTE:
        for (uint32_t i = 0; i < m.count; i++)
            q_core_vote_came(c, m.engine, &m.votes[i]);
        break;
    case Q_M_ACK:
        for (uint32_t i = 0; i < m.count; i++)
            q_core_ack_came(c, m.engine, m.seqs[i]);
        if (q_core_replay_active(c))
            for (uint32_t i = 0; i < m.count; i++)
                q_core_replay_acked(c, m.engine, m.seqs[i]);
        break;
    case Q_M_ROWS:
        for (uint32_t i = 0; i < m.count; i++)
            q_core_rows_came(c, m.engine, &m.rows[i]);
        break;
    case Q_M_ASK:
        q_core_asked(c, &m);
        break;
    default:
        q_effects_log(c->fx, "a message of kind %d has no place on the votes topic", (int)m.kind);
        break;
    }
}

static void time_passed(q_core *c)
{
    for (q_timer *timer; (timer = q_timers_due(&c->timers, c->mono_us));) {
        if (timer == &c->tail_timer) {
            c->tail_due = true;
            continue;
        }
        if (timer == &c->replay.timer) {
            q_core_replay_timer(c);
            continue;
        }
        bool engine = false;
        for (q_engine_id e = 0; e < Q_EN_COUNT && !engine; e++)
            if (timer == &c->engines[e].timer) {
                q_core_fence(c, e);
                engine = true;
            }
        if (!engine)
            q_core_timer_due(c, (q_txn *)(void *)((char *)timer - offsetof(q_txn, timer)));
    }
}

static void pause_or_resume(q_core *c)
{
    uint64_t n = c->stats.in_flight, bytes = c->in_flight_bytes;
    /* Request ids can only be forgotten when those before them in the topic are complete: with none of them in flight (after a crash) to wait is
     * to wait for ever. */
    bool ids_full = n > 0 && q_dedupe_full(c->dedupe);
    bool full = n >= c->config.max_in_flight || bytes >= c->config.max_in_flight_bytes || ids_full;
    bool room = n <= (uint64_t)c->config.max_in_flight * 3 / 4 && bytes <= c->config.max_in_flight_bytes / 4 * 3 && !ids_full;
    if ((full || c->draining) && !c->paused) {
        c->paused = true;
        q_effects_add(c->fx, Q_FX_PAUSE);
    } else if (c->paused && room && !c->draining) {
        c->paused = false;
        q_effects_add(c->fx, Q_FX_RESUME);
    }
}

static void enter(q_core *c, q_effects *fx, int64_t now_us, int64_t mono_us)
{
    c->fx = fx;
    c->now_us = now_us;
    if (mono_us > c->mono_us)
        c->mono_us = mono_us;
}

void q_core_step(q_core *c, const q_event *ev, q_effects *fx)
{
    if (c->fatal)
        return; /* no outcome may leave any more */
    enter(c, fx, ev->now_us, ev->mono_us);
    switch (ev->kind) {
    case Q_EV_REQUEST:
        q_core_admit(c, &ev->request);
        break;
    case Q_EV_MESSAGE:
        message(c, ev->bytes);
        break;
    case Q_EV_PERSISTED:
        q_core_group_durable(c, ev->group);
        break;
    case Q_EV_PUBLISHED:
        q_core_publication_done(c, ev->token);
        break;
    case Q_EV_TIMER:
        time_passed(c);
        break;
    case Q_EV_ARCHIVED:
        q_core_archived(c, ev->group);
        break;
    case Q_EV_REPLAY:
        q_core_replay_came(c, ev->replay);
        break;
    }
    c->fx = NULL;
}

void q_core_flush(q_core *c, q_effects *fx)
{
    if (c->fatal)
        return;
    c->fx = fx;
    q_core_silent_engines(c);
    q_core_replay_flush(c);
    q_core_purge_flush(c);
    q_core_out_flush(c);
    q_core_group_flush(c);
    pause_or_resume(c);
    int64_t next = q_timers_next_us(&c->timers);
    if (next != INT64_MAX && (next < c->timer_told_us || c->timer_told_us <= c->mono_us)) {
        c->timer_told_us = next;
        q_effects_add(fx, Q_FX_TIMER)->at_us = next;
    }
    c->fx = NULL;
}

bool q_core_drain(q_core *c)
{
    c->draining = true;
    return c->stats.in_flight == 0 && !c->flying && !c->filling->decisions && !q_core_tail_pending(c);
}

const q_catalog *q_core_catalog(const q_core *c) { return c->catalog; }
int64_t q_core_position(const q_core *c, int32_t partition) { return q_positions_next(c->positions, partition); }

bool q_core_position_hash(const q_core *c, int32_t partition, int64_t *offset, uint8_t hash[16])
{
    return q_positions_last(c->positions, partition, offset, hash);
}
