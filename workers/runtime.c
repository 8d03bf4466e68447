#include "workers/runtime.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/failpoint.h"
#include "base/say.h"

enum {
    MAX_READ_SESSIONS = 16,
    OPEN_FIRST_MS = 50,
    OPEN_MAX_MS = 5000,
    LINES_PER_SECOND = 20, /* of a worker's log: a flood of bad messages is not to become a flood of lines */
};

typedef struct lane {
    q_worker_runtime *rt;
    pthread_t thread;
    q_lane kind;
    bool started;
    q_engine *session;
    int64_t open_at_us;     /* not before then */
    uint32_t open_ms;       /* last backoff */
    q_err open_err;
    q_worker_fx fx;
} lane;

/* Jobs that wait for a thread: never more than may run. */
typedef struct handoff {
    pthread_cond_t ready;
    q_job *jobs[MAX_READ_SESSIONS];
    uint32_t first, count;
} handoff;

struct q_worker_runtime {
    const q_engine_ops *ops;
    q_engine_config engine;
    q_worker_send send;
    void *ctx;
    pthread_mutex_t lock;         /* all below */
    q_worker *worker;
    handoff handoffs[Q_LANE_COUNT];
    int64_t timer_us;             /* 0: none */
    bool stopping;
    bool failed;
    uint32_t sessions;
    char error[320];
    int64_t lines_since_us;
    uint32_t lines, lines_left_out;
    pthread_mutex_t message_lock; /* message_fx; taken before `lock` */
    q_worker_fx message_fx;
    uint32_t lane_count;
    lane lanes[2 + MAX_READ_SESSIONS];
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- effects ---- */

static void log_line(q_worker_runtime *rt, q_slice text)
{
    int64_t now = now_us();
    if (now - rt->lines_since_us >= 1000000) {
        if (rt->lines_left_out)
            q_say(Q_SAY_WARN, "worker %s: %u more lines left out", q_engine_name(rt->engine.id), rt->lines_left_out);
        rt->lines_since_us = now;
        rt->lines = rt->lines_left_out = 0;
    }
    if (rt->lines++ < LINES_PER_SECOND)
        q_say(Q_SAY_WARN, "worker %s: %.*s", q_engine_name(rt->engine.id), Q_SLICE_FMT(text));
    else
        rt->lines_left_out++;
}

static void hand_over(q_worker_runtime *rt, q_job *job)
{
    handoff *h = &rt->handoffs[job->lane];
    h->jobs[(h->first + h->count++) % MAX_READ_SESSIONS] = job;
    pthread_cond_signal(&h->ready);
}

/* Under the lock: everything but what is to be sent. A job that comes while stopping stays with the worker, unrun. */
static void take_effects(q_worker_runtime *rt, const q_worker_fx *fx)
{
    for (size_t i = 0; i < fx->count; i++) {
        const q_worker_effect *e = &fx->items[i];
        if (e->kind == Q_WFX_RUN && !rt->stopping)
            hand_over(rt, e->job);
        else if (e->kind == Q_WFX_TIMER && (rt->timer_us == 0 || e->at_us < rt->timer_us)) {
            rt->timer_us = e->at_us;
            pthread_cond_signal(&rt->handoffs[Q_LANE_DECIDE].ready); /* its thread keeps the time */
        } else if (e->kind == Q_WFX_LOG)
            log_line(rt, e->bytes);
    }
}

static void send_one(q_worker_runtime *rt, const q_worker_effect *e)
{
    q_msg_kind kind = q_msg_peek(e->bytes);
    if ((kind == Q_M_VOTE && Q_FAILPOINT(VOTE_SENT_BEFORE)) || (kind == Q_M_ACK && Q_FAILPOINT(ACK_SENT_BEFORE)))
        return;
    rt->send(rt->ctx, e->key, e->bytes);
    (void)((kind == Q_M_VOTE && Q_FAILPOINT(VOTE_SENT_AFTER)) || (kind == Q_M_ACK && Q_FAILPOINT(ACK_SENT_AFTER)));
}

/* Without the lock. */
static void send_effects(q_worker_runtime *rt, q_worker_fx *fx)
{
    for (size_t i = 0; i < fx->count; i++)
        if (fx->items[i].kind == Q_WFX_SEND)
            send_one(rt, &fx->items[i]);
    q_worker_fx_clear(fx);
}

void q_worker_runtime_message(q_worker_runtime *rt, q_slice bytes)
{
    q_msg_kind kind = q_msg_peek(bytes);
    if ((kind == Q_M_PREPARE && Q_FAILPOINT(PREPARE_TAKEN_BEFORE)) || (kind == Q_M_COMMIT && Q_FAILPOINT(COMMIT_TAKEN_BEFORE)))
        return;
    pthread_mutex_lock(&rt->message_lock);
    pthread_mutex_lock(&rt->lock);
    if (!rt->stopping) {
        q_worker_message(rt->worker, bytes, now_us(), &rt->message_fx);
        take_effects(rt, &rt->message_fx);
    }
    pthread_mutex_unlock(&rt->lock);
    (void)((kind == Q_M_PREPARE && Q_FAILPOINT(PREPARE_TAKEN_AFTER)) || (kind == Q_M_COMMIT && Q_FAILPOINT(COMMIT_TAKEN_AFTER)));
    send_effects(rt, &rt->message_fx);
    pthread_mutex_unlock(&rt->message_lock);
}

/* ---- sessions: the lane's thread, without the lock ---- */

static void note_session(q_worker_runtime *rt, int change, const char *error)
{
    pthread_mutex_lock(&rt->lock);
    rt->sessions += (uint32_t)change;
    if (!rt->failed) {
        snprintf(rt->error, sizeof rt->error, "%s", error ? error : "");
    }
    pthread_mutex_unlock(&rt->lock);
}

static void open_session(lane *l)
{
    q_worker_runtime *rt = l->rt;
    int64_t now = now_us();
    if (now < l->open_at_us)
        return;
    q_err err = Q_ERR_INIT;
    q_rc rc = rt->ops->open(&rt->engine, &l->session, &err);
    if (rc == Q_OK) {
        l->open_ms = 0;
        note_session(rt, +1, NULL);
        return;
    }
    l->session = NULL;
    if (err.code == Q_E_NONE)
        q_err_set(&err, Q_E_ENGINE_DOWN, "the engine can't be opened");
    l->open_err = err;
    l->open_ms = l->open_ms == 0 ? OPEN_FIRST_MS : l->open_ms * 2 > OPEN_MAX_MS ? OPEN_MAX_MS : l->open_ms * 2;
    l->open_at_us = now_us() + (int64_t)l->open_ms * 1000;
    note_session(rt, 0, err.message);
}

static void close_session(lane *l)
{
    if (!l->session)
        return;
    l->rt->ops->close(l->session);
    l->session = NULL;
    note_session(l->rt, -1, NULL);
}

/* May the connection be to blame? Then the next job gets a new one. A prepare whose votes are unknown always does (engine.h). */
static bool connection_suspect(const q_job *job)
{
    switch (job->rc) {
    case Q_IN_DOUBT:
    case Q_FATAL: return true;
    case Q_RETRY: return job->kind == Q_J_PREPARE || job->err.code == Q_E_ENGINE_DOWN;
    case Q_OK:
    case Q_FAIL:
    case Q_WAIT:
    case Q_END: break;
    }
    return false;
}

static bool passed_before(q_job_kind kind)
{
    return (kind == Q_J_PREPARE && Q_FAILPOINT(ENGINE_PREPARE_BEFORE)) || (kind == Q_J_COMMIT && Q_FAILPOINT(ENGINE_APPLY_BEFORE)) ||
           (kind == Q_J_ROLLBACK && Q_FAILPOINT(ROLLBACK_BEFORE)) || (kind == Q_J_FENCE && Q_FAILPOINT(FENCE_BEFORE));
}

static bool passed_after(q_job_kind kind)
{
    return (kind == Q_J_PREPARE && Q_FAILPOINT(ENGINE_PREPARE_AFTER)) || (kind == Q_J_COMMIT && Q_FAILPOINT(ENGINE_APPLY_AFTER)) ||
           (kind == Q_J_ROLLBACK && Q_FAILPOINT(ROLLBACK_AFTER)) || (kind == Q_J_FENCE && Q_FAILPOINT(FENCE_AFTER));
}

static void fail_by_failpoint(q_job *job)
{
    q_err err = Q_ERR_INIT;
    (void)q_err_set(&err, Q_E_ENGINE_DOWN, "a failpoint says that the engine can't be reached");
    q_job_fail(job, Q_RETRY, &err);
}

static void run_on_session(lane *l, q_job *job)
{
    if (!l->session)
        open_session(l);
    if (!l->session) {
        q_job_fail(job, Q_RETRY, &l->open_err);
        return;
    }
    if (passed_before(job->kind)) {
        fail_by_failpoint(job);
        return;
    }
    q_job_run(job, l->rt->ops, l->session);
    if (job->rc == Q_OK && passed_after(job->kind))
        fail_by_failpoint(job);
}

static void run_job(lane *l, q_job *job)
{
    q_worker_runtime *rt = l->rt;
    bool was_open = l->session != NULL;
    run_on_session(l, job);
    if (was_open && connection_suspect(job) && job->rc != Q_FATAL && (job->kind == Q_J_PREPARE || job->kind == Q_J_READ)) {
        /* A session that stood idle may have ended since: by a fence of a new epoch, by a server that was restarted. One more try, on a new
         * one: nobody's transaction is to be refused for that. What is prepared already votes YES again. */
        close_session(l);
        run_on_session(l, job);
    }
    if (job->rc == Q_FATAL) {
        pthread_mutex_lock(&rt->lock);
        if (!rt->failed) {
            rt->failed = true;
            snprintf(rt->error, sizeof rt->error, "%s", job->err.message);
            q_say(Q_SAY_ERROR, "worker %s has failed for good: %s", q_engine_name(rt->engine.id), job->err.message);
        }
        pthread_mutex_unlock(&rt->lock);
    }
    if (connection_suspect(job))
        close_session(l);
}

/* ---- lanes ---- */

/* Waits for a job, with the lock held; NULL when the lane is to end. */
static q_job *next_job(lane *l)
{
    q_worker_runtime *rt = l->rt;
    handoff *h = &rt->handoffs[l->kind];
    while (h->count == 0) {
        if (rt->stopping)
            return NULL;
        if (l->kind != Q_LANE_DECIDE || rt->timer_us == 0) {
            pthread_cond_wait(&h->ready, &rt->lock);
        } else if (now_us() < rt->timer_us) {
            struct timespec until = { rt->timer_us / 1000000, rt->timer_us % 1000000 * 1000 };
            pthread_cond_timedwait(&h->ready, &rt->lock, &until);
        } else {
            rt->timer_us = 0;
            q_worker_tick(rt->worker, now_us(), &l->fx);
            take_effects(rt, &l->fx);
            pthread_mutex_unlock(&rt->lock);
            send_effects(rt, &l->fx);
            pthread_mutex_lock(&rt->lock);
        }
    }
    q_job *job = h->jobs[h->first];
    h->first = (h->first + 1) % MAX_READ_SESSIONS;
    h->count--;
    return job;
}

static void *lane_main(void *arg)
{
    lane *l = arg;
    q_worker_runtime *rt = l->rt;
    pthread_mutex_lock(&rt->lock);
    for (q_job *job = next_job(l); job; job = next_job(l)) {
        pthread_mutex_unlock(&rt->lock);
        run_job(l, job);
        pthread_mutex_lock(&rt->lock);
        q_worker_done(rt->worker, job, now_us(), &l->fx);
        take_effects(rt, &l->fx);
        pthread_mutex_unlock(&rt->lock);
        send_effects(rt, &l->fx);
        pthread_mutex_lock(&rt->lock);
    }
    pthread_mutex_unlock(&rt->lock);
    close_session(l);
    return NULL;
}

/* ---- life ---- */

static void destroy(q_worker_runtime *rt)
{
    q_worker_free(rt->worker);
    for (int i = 0; i < Q_LANE_COUNT; i++)
        pthread_cond_destroy(&rt->handoffs[i].ready);
    pthread_mutex_destroy(&rt->lock);
    pthread_mutex_destroy(&rt->message_lock);
    for (uint32_t i = 0; i < rt->lane_count; i++)
        q_worker_fx_free(&rt->lanes[i].fx);
    q_worker_fx_free(&rt->message_fx);
    free(rt);
}

void q_worker_runtime_stop(q_worker_runtime *rt)
{
    if (!rt)
        return;
    pthread_mutex_lock(&rt->lock);
    rt->stopping = true;
    for (int i = 0; i < Q_LANE_COUNT; i++)
        pthread_cond_broadcast(&rt->handoffs[i].ready);
    pthread_mutex_unlock(&rt->lock);
    for (uint32_t i = 0; i < rt->lane_count; i++)
        if (rt->lanes[i].started)
            pthread_join(rt->lanes[i].thread, NULL);
    destroy(rt);
}

q_rc q_worker_runtime_start(const q_engine_ops *ops, const q_engine_config *engine, const q_worker_config *worker, q_worker_send send,
                            void *ctx, q_worker_runtime **out, q_err *err)
{
    q_worker_config config = *worker;
    *out = NULL;
    if (config.read_sessions == 0)
        config.read_sessions = 1;
    if (config.read_sessions > MAX_READ_SESSIONS)
        config.read_sessions = MAX_READ_SESSIONS;
    q_worker_runtime *rt = calloc(1, sizeof *rt);
    if (rt)
        rt->worker = q_worker_new(&config);
    if (!rt || !rt->worker) {
        free(rt);
        q_err_set(err, Q_E_LIMIT_MEMORY, "no memory for the worker of %s", q_engine_name(engine->id));
        return Q_RETRY;
    }
    rt->ops = ops;
    rt->engine = *engine;
    rt->send = send;
    rt->ctx = ctx;
    q_worker_fx_init(&rt->message_fx);
    pthread_mutex_init(&rt->lock, NULL);
    pthread_mutex_init(&rt->message_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    for (int i = 0; i < Q_LANE_COUNT; i++)
        pthread_cond_init(&rt->handoffs[i].ready, &monotonic);
    pthread_condattr_destroy(&monotonic);
    rt->lane_count = 2 + config.read_sessions;
    for (uint32_t i = 0; i < rt->lane_count; i++) {
        lane *l = &rt->lanes[i];
        l->rt = rt;
        l->kind = i == 0 ? Q_LANE_PREPARE : i == 1 ? Q_LANE_DECIDE : Q_LANE_READ;
        l->open_err = Q_ERR_INIT;
        q_worker_fx_init(&l->fx);
        int rc = pthread_create(&l->thread, NULL, lane_main, l);
        if (rc != 0) {
            q_err_set(err, Q_E_LIMIT_MEMORY, "no thread for the worker of %s: %s", q_engine_name(engine->id), strerror(rc));
            q_worker_runtime_stop(rt);
            return Q_RETRY;
        }
        l->started = true;
    }
    *out = rt;
    return Q_OK;
}

void q_worker_runtime_state_get(q_worker_runtime *rt, q_worker_runtime_state *out)
{
    pthread_mutex_lock(&rt->lock);
    *out = (q_worker_runtime_state){ .sessions = rt->sessions, .failed = rt->failed };
    q_worker_get_stats(rt->worker, &out->stats);
    memcpy(out->error, rt->error, sizeof out->error);
    pthread_mutex_unlock(&rt->lock);
}
