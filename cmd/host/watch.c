#include "cmd/host/watch.h"

#include "cmd/host/metrics.h"

#include <stdio.h>

enum {
    MAX_FOLLOWED_BYTES = 64 << 10,      /* a larger message isn't looked into */
    GIVE_UP_US = 60 * 1000 * 1000,      /* an answer that didn't come */
};

static const char *const phase_names[Q_WP_COUNT] = { "prepare", "commit", "read" };

void q_watch_init(q_watch *w)
{
    pthread_mutex_init(&w->lock, NULL);
    w->arena = q_arena_new(0);
}

void q_watch_free(q_watch *w)
{
    q_arena_free(w->arena);
    w->arena = NULL;
    pthread_mutex_destroy(&w->lock);
}

void q_watch_lost(q_watch *w) { atomic_fetch_add(&w->lost, 1); }

static int phase_of(q_msg_kind kind)
{
    switch (kind) {
    case Q_M_PREPARE:
    case Q_M_VOTE: return Q_WP_PREPARE;
    case Q_M_COMMIT:
    case Q_M_ACK: return Q_WP_COMMIT;
    case Q_M_READ:
    case Q_M_ROWS: return Q_WP_READ;
    default: return -1;
    }
}

/* Under the lock; false: it can't be read. What it holds lives until the next one. */
static bool decode(q_watch *w, q_slice bytes, q_msg *m)
{
    q_err err = Q_ERR_INIT;
    if (!w->arena || bytes.len > MAX_FOLLOWED_BYTES)
        return false;
    q_arena_reset(w->arena);
    return q_msg_decode(w->arena, bytes, m, &err) == Q_OK && m->count > 0 && (unsigned)m->engine < Q_EN_COUNT;
}

void q_watch_sending(q_watch *w, q_engine_id engine, q_slice bytes, int64_t mono_us)
{
    int phase = phase_of(q_msg_peek(bytes));
    q_msg m;
    atomic_fetch_add_explicit(&w->sent[engine], 1, memory_order_relaxed);
    if (phase < 0)
        return;
    q_watch_probe *p = &w->probes[phase][engine];
    if (atomic_load_explicit(&p->open, memory_order_acquire) && mono_us - p->sent_us < GIVE_UP_US)
        return;
    pthread_mutex_lock(&w->lock);
    if (decode(w, bytes, &m)) {
        p->number = phase == Q_WP_READ ? m.reads[0].read_id : m.txns[0].seq;
        p->sent_us = mono_us;
        atomic_store_explicit(&p->open, true, memory_order_release);
    }
    pthread_mutex_unlock(&w->lock);
}

static bool has(const q_msg *m, uint64_t number)
{
    for (uint32_t i = 0; i < m->count; i++)
        if ((m->kind == Q_M_VOTE ? m->votes[i].seq : m->kind == Q_M_ACK ? m->seqs[i] : m->rows[i].read_id) == number)
            return true;
    return false;
}

void q_watch_answer(q_watch *w, q_slice bytes, int64_t mono_us)
{
    q_msg_kind kind = q_msg_peek(bytes);
    int phase = phase_of(kind);
    bool followed = false;
    if (phase < 0 || kind == Q_M_PREPARE || kind == Q_M_COMMIT || kind == Q_M_READ)
        return;
    for (int e = 0; e < Q_EN_COUNT; e++)
        followed |= atomic_load_explicit(&w->probes[phase][e].open, memory_order_acquire);
    if (!followed)
        return;
    q_msg m;
    pthread_mutex_lock(&w->lock);
    if (decode(w, bytes, &m)) {
        q_watch_probe *p = &w->probes[phase][m.engine];
        if (p->open && has(&m, p->number)) {
            q_histogram_add(&w->times[phase][m.engine], mono_us - p->sent_us);
            atomic_store_explicit(&p->open, false, memory_order_release);
        }
    }
    pthread_mutex_unlock(&w->lock);
}

void q_watch_phases(q_watch *w, uint32_t engines, q_buf *out)
{
    for (int p = 0; p < Q_WP_COUNT; p++)
        for (int e = 0; e < Q_EN_COUNT; e++) {
            char labels[80];
            snprintf(labels, sizeof labels, "phase=\"%s\",engine=\"%s\"", phase_names[p], q_engine_name((q_engine_id)e));
            if (engines >> e & 1)
                q_metric_histogram(out, Q_MT_PHASE, labels, &w->times[p][e]);
        }
}

void q_watch_counts(q_watch *w, uint32_t engines, q_buf *out)
{
    q_metric_head(out, Q_MT_MESSAGES_OUT);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        char labels[40];
        snprintf(labels, sizeof labels, "engine=\"%s\"", q_engine_name((q_engine_id)e));
        if (engines >> e & 1)
            q_metric_sample(out, Q_MT_MESSAGES_OUT, labels, (double)atomic_load(&w->sent[e]));
    }
    q_metric_one(out, Q_MT_MESSAGES_LOST, (double)atomic_load(&w->lost));
}

void q_watch_sources(const q_watch_source *sources, size_t n, q_buf *out)
{
    for (int what = 0; what < 2; what++) {
        q_metric m = what ? Q_MT_PARTITIONS : Q_MT_LAG;
        q_metric_head(out, m);
        for (size_t i = 0; i < n; i++) {
            char labels[200];
            if (!sources[i].source)
                continue;
            snprintf(labels, sizeof labels, "topic=\"%s\"", sources[i].topic);
            q_metric_sample(out, m, labels, what ? q_source_partitions(sources[i].source) : (double)q_source_lag(sources[i].source));
        }
    }
}
