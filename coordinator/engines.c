/* engines.c - fencing (B8), what an engine says of itself, its sweeper's questions, commits and their acknowledgements (B5). */
#include "coordinator/state.h"

#include <assert.h>

/* ---- the epoch is told until it is answered ---- */

void q_core_fence(q_core *c, q_engine_id e)
{
    q_engine_view *v = &c->engines[e];
    if (!v->exists || v->phase == Q_ENGINE_READY)
        return;
    q_msg m = { .kind = Q_M_FENCE, .cluster = c->config.cluster, .epoch = c->epoch, .engine = e, .batch = ++c->next_batch, .below = q_core_seq_below(c) };
    q_buf *out = q_effects_buf(c->fx, Q_WIRE_MAX_BYTES);
    q_msg_encode(&m, out);
    if (out->failed) {
        q_effects_fail(c->fx);
        return;
    }
    q_effect *fx = q_effects_add(c->fx, Q_FX_SEND);
    fx->engine = e;
    fx->to_all = true;
    fx->key = q_slice_cstr(q_engine_name(e));
    fx->bytes = q_buf_slice(out);
    int64_t first = (int64_t)c->config.resend_ms * 1000;
    v->backoff_us = v->backoff_us ? v->backoff_us * 2 : first;
    if (v->backoff_us > Q_FENCE_BACKOFF_MAX_US)
        v->backoff_us = Q_FENCE_BACKOFF_MAX_US;
    q_timers_arm(&c->timers, &v->timer, c->mono_us + v->backoff_us);
}

void q_core_fence_all(q_core *c)
{
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        q_core_fence(c, e);
}

/* Says once why an engine serves nothing. */
static void hold_off(q_core *c, q_engine_id e, q_engine_phase phase, const char *why, uint64_t theirs, uint64_t ours)
{
    if (c->engines[e].phase != phase)
        q_effects_log(c->fx, "%s serves nothing: %s (%llu, the log says %llu)", q_engine_name(e), why, (unsigned long long)theirs, (unsigned long long)ours);
    c->engines[e].phase = phase;
}

void q_core_silent_engines(q_core *c)
{
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++) {
        q_engine_view *v = &c->engines[e];
        if (v->phase != Q_ENGINE_READY || !v->asked_us || c->mono_us - v->asked_us < Q_ENGINE_SILENT_US)
            continue;
        q_effects_log(c->fx, "%s is silent: it gets no new work before it answers", q_engine_name(e));
        v->phase = Q_ENGINE_UNKNOWN;
        v->unready_us = v->asked_us;
        v->backoff_us = 0;
        c->ready &= ~Q_EN_BIT(e);
        q_core_fence(c, e);
    }
}

static void engine_ready(q_core *c, q_engine_id e)
{
    q_engine_view *v = &c->engines[e];
    if (v->phase == Q_ENGINE_READY)
        return;
    v->phase = Q_ENGINE_READY;
    v->backoff_us = v->asked_us = 0;
    q_timers_cancel(&c->timers, &v->timer);
    c->ready |= Q_EN_BIT(e);
    c->told |= Q_EN_BIT(e);
    c->purge_at_us = 0;
    for (q_txn *t = c->oldest, *next; t; t = next) {
        next = t->newer;
        if (t->state == Q_TPS_APPLYING && t->unapplied >> e & 1)
            q_core_fire(c, t, Q_TPE_ENGINE_READY, e);
    }
    q_core_unpark(c);
}

void q_core_state_came(q_core *c, const q_msg *m)
{
    if (m->count != 1 || c->life != Q_LIFE_SERVING)
        return;
    q_engine_view *v = &c->engines[m->engine];
    const q_engine_state *s = m->state;
    const char *name = q_engine_name(m->engine);
    if (s->cluster && s->cluster != c->config.cluster) {
        v->state = *s;
        hold_off(c, m->engine, Q_ENGINE_FOREIGN, "it belongs to another cluster", s->cluster, c->config.cluster);
        return;
    }
    if (s->epoch > c->epoch || m->epoch > c->epoch) {
        q_effects_fatal(c->fx, "%s knows epoch %llu, this coordinator's is %llu: another one has taken over, or the log is an old copy (--adopt)", name,
                   (unsigned long long)(s->epoch > m->epoch ? s->epoch : m->epoch), (unsigned long long)c->epoch);
        c->fatal = true;
        return;
    }
    if (m->epoch != c->epoch)
        return; /* the answer to an earlier life's FENCE */
    if (m->batch == UINT64_MAX) {
        /* Emptied or restored while it served: what this epoch has sent it is on its way all over the place. The next life refuses all that, and has
         * the engine caught up. */
        q_effects_fatal(c->fx, "%s has lost what it had applied: the coordinator begins a new epoch, in which it needs a replay", name);
        c->fatal = true;
        return;
    }
    if (s->applied_high > c->seq_high) {
        q_effects_fatal(c->fx, "%s has applied seq %llu, the log knows none above %llu: the log is an old copy; restore a newer one, or start with --adopt", name,
                   (unsigned long long)s->applied_high, (unsigned long long)c->seq_high);
        c->fatal = true;
        return;
    }
    v->state = *s;
    if (v->phase == Q_ENGINE_READY || q_core_replay_catches_up(c, m->engine))
        return; /* what it says while it is being replayed may be before the last batch */
    if (s->applied_high < v->ended_high) {
        /* It was restored from a backup: what it has lost must be replayed first (B8). */
        hold_off(c, m->engine, Q_ENGINE_BEHIND, "needs replay: it has lost what it had applied", s->applied_high, v->ended_high);
        return;
    }
    engine_ready(c, m->engine);
}

/* ---- the sweeper ---- */

/* Prepared transactions that a worker found: those that aren't alive and not committed are undone. */
void q_core_asked(q_core *c, const q_msg *m)
{
    /* The key only chooses a partition; a name that is nobody's must not take a place among the routes. */
    q_slice key = q_catalog_bucket(c->catalog, m->bucket) ? m->bucket : Q_SLICE_NONE;
    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t seq = m->seqs[i];
        const q_txn *t = q_core_by_seq(c, seq);
        if (seq == 0 || seq >= c->next_seq)
            continue; /* not ours */
        if (!t || (t->state == Q_TPS_APPLYING && !(t->unapplied >> m->engine & 1)))
            /* Aborted; or committed and applied here by its redo: this is a leftover, and committing it now could overwrite what came later. */
            q_core_out_push(c, key, m->engine, Q_OUT_ABORT, seq);
        else if (t->state == Q_TPS_APPLYING)
            q_core_out_push(c, t->bucket_name, m->engine, Q_OUT_COMMIT, seq);
        /* Otherwise it isn't decided yet. */
    }
}

/* ---- commits and aborts ---- */

void q_core_send_commits(q_core *c, q_txn *t)
{
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (t->unapplied >> e & 1 && c->ready >> e & 1)
            q_core_out_push(c, t->bucket_name, e, Q_OUT_COMMIT, t->seq);
}

void q_core_send_aborts(q_core *c, q_txn *t)
{
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (t->out.participants >> e & 1)
            q_core_out_push(c, t->bucket_name, e, Q_OUT_ABORT, t->seq);
}

void q_core_ack_came(q_core *c, q_engine_id engine, uint64_t seq)
{
    q_txn *t = q_core_by_seq(c, seq);
    if (!t)
        return;
    if (t->state != Q_TPS_APPLYING) {
        q_core_fire(c, t, Q_TPE_ACK, engine);
        return;
    }
    if (!(t->unapplied >> engine & 1))
        return; /* acknowledged twice */
    t->unapplied &= ~Q_EN_BIT(engine);
    q_core_fire(c, t, t->unapplied ? Q_TPE_ACK : t->published ? Q_TPE_LAST_ACK_TOLD : Q_TPE_LAST_ACK, engine);
}
