#include "tests/sim/participant.h"

#include "tests/sim/node.h"

#include <stdlib.h>
#include "workers/worker.h"

typedef struct lane {
    participant *p;
    sim_task *task;
    q_engine *session;
    bool parked;
    uint32_t first, count;
    q_job *jobs[8];
} lane;

struct participant {
    world *w;
    q_engine_id engine;
    const char *name;
    q_worker *worker;
    q_worker_fx fx;
    lane lanes[Q_LANE_COUNT];
    int64_t mono_base, paused_until, backends_paused_until;
    bool dead;
    uint64_t ticks;         /* number of the tick that is planned */
};

static int64_t mono(const participant *p) { return p->w->s.now_us + p->mono_base; }

/* ---- lanes ---- */

static void job_done(void *ptr, uint64_t a, void *job);

static void open_session(lane *l, q_rc *rc, q_err *err)
{
    const participant *p = l->p;
    q_engine_config config = { .id = p->engine, .uri = "mem:", .worker = p->name, .cluster = p->w->cluster, .lock_timeout_ms = 20, .io_timeout_ms = 1000 };
    *rc = l->session ? Q_OK : mem_ops(p->engine)->open(&config, &l->session, err);
}

static void run_job(lane *l, q_job *job)
{
    const q_engine_ops *ops = mem_ops(l->p->engine);
    q_err err = Q_ERR_INIT;
    q_rc rc;
    open_session(l, &rc, &err);
    if (rc != Q_OK) {
        q_job_fail(job, rc, &err);
        return;
    }
    q_job_run(job, ops, l->session);
    if (job->rc == Q_RETRY || job->rc == Q_IN_DOUBT) {
        ops->close(l->session);
        l->session = NULL;
    }
}

static void lane_main(void *ctx)
{
    lane *l = ctx;
    participant *p = l->p;
    sim *s = &p->w->s;
    while (!p->dead) {
        if (l->count == 0) {
            l->parked = true;
            bool more = sim_park(s);
            l->parked = false;
            if (!more)
                break;
            continue;
        }
        q_job *job = l->jobs[l->first];
        l->first = (l->first + 1) % 8;
        l->count--;
        run_job(l, job);
        if (!p->dead)
            sim_after(s, sim_delay_us(&s->rng, 100), job_done, p, 0, job);
    }
    mem_ops(p->engine)->close(l->session);
    l->session = NULL;
}

static void give(participant *p, q_job *job)
{
    lane *l = &p->lanes[job->lane];
    if (l->count == 8)
        abort();
    l->jobs[(l->first + l->count++) % 8] = job;
    if (l->parked)
        sim_unpark(l->task);
}

/* ---- effects ---- */

static void tick(void *ptr, uint64_t a, void *q);

static void carry_out(participant *p)
{
    world *w = p->w;
    for (size_t i = 0; i < p->fx.count; i++) {
        const q_worker_effect *e = &p->fx.items[i];
        switch (e->kind) {
        case Q_WFX_RUN:
            SIM_TRACE(&w->s, "worker", (uint64_t)e->job->kind, "%s runs %s of %u", p->name,
                      (const char *[]){ "", "prepare", "commit", "rollback", "fence", "sweep", "read", "purge" }[e->job->kind], e->job->count);
            give(p, e->job);
            break;
        case Q_WFX_SEND: net_to_coordinator(w, p->engine, e->bytes); break;
        case Q_WFX_TIMER: sim_after(&w->s, e->at_us - mono(p), tick, p, ++p->ticks, NULL); break;
        case Q_WFX_LOG: SIM_TRACE(&w->s, "worker", e->bytes.len, "%s says: %.*s", p->name, Q_SLICE_FMT(e->bytes)); break;
        }
    }
    q_worker_fx_clear(&p->fx);
}

static void tick(void *ptr, uint64_t a, void *q)
{
    participant *p = ptr;
    (void)q;
    if (p->dead || a != p->ticks)
        return;
    if (p->paused_until > p->w->s.now_us) {
        sim_after(&p->w->s, p->paused_until - p->w->s.now_us, tick, p, a, NULL);
        return;
    }
    q_worker_tick(p->worker, mono(p), &p->fx);
    carry_out(p);
}

static void job_done(void *ptr, uint64_t a, void *job)
{
    participant *p = ptr;
    if (p->dead)
        return;
    if (p->paused_until > p->w->s.now_us) {
        sim_after(&p->w->s, p->paused_until - p->w->s.now_us, job_done, p, a, job);
        return;
    }
    const q_job *j = job;
    if (j->rc != Q_OK)
        SIM_TRACE(&p->w->s, "worker", (uint64_t)j->rc, "%s: that failed: %s", p->name, j->err.message);
    q_worker_done(p->worker, job, mono(p), &p->fx);
    carry_out(p);
}

typedef struct late_message { participant *p; q_slice bytes; } late_message;

static void woken(void *ptr, uint64_t a, void *q)
{
    late_message *m = ptr;
    (void)a;
    (void)q;
    participant_message(m->p, m->bytes);
}

void participant_message(participant *p, q_slice bytes)
{
    sim *s = &p->w->s;
    if (p->dead)
        return;
    if (p->paused_until > s->now_us) {
        late_message *m = Q_NEW(s->arena, late_message);
        if (!m)
            abort();
        *m = (late_message){ p, bytes };
        sim_after(s, p->paused_until - s->now_us, woken, m, 0, NULL);
        return;
    }
    q_worker_message(p->worker, bytes, mono(p), &p->fx);
    carry_out(p);
}

/* ---- life ---- */

uint32_t participants_of(const world *w, q_engine_id engine)
{
    uint32_t n = 0;
    while (n < SIM_MAX_WORKERS && w->workers[engine][n])
        n++;
    return n;
}

participant *participant_start(world *w, q_engine_id engine)
{
    sim *s = &w->s;
    uint32_t n = participants_of(w, engine);
    if (n == SIM_MAX_WORKERS)
        return NULL;
    participant *p = Q_NEW(s->arena, participant);
    if (!p)
        abort();
    *p = (participant){ .w = w, .engine = engine, .mono_base = sim_between(&s->rng, 1, 1000000000) };
    p->name = q_arena_printf(s->arena, "%s/%llu", q_engine_name(engine), (unsigned long long)++w->worker_names).ptr;
    q_worker_config config = { .engine = engine, .cluster = w->cluster, .retry_ms = 3, .sweep_ms = 60,
                               .durable_prepare = mem_ops(engine)->durable_prepare, .sabotage = w->options.sabotage };
    p->worker = q_worker_new(&config);
    q_worker_fx_init(&p->fx);
    if (!p->worker)
        abort();
    for (int i = 0; i < Q_LANE_COUNT; i++) {
        p->lanes[i].p = p;
        p->lanes[i].task = sim_task_start(s, lane_main, &p->lanes[i], &p->backends_paused_until);
    }
    w->workers[engine][n] = p;
    sim_list_add(s->arena, &w->all_workers, p);
    SIM_TRACE(s, "worker", engine, "%s starts", p->name);
    q_worker_tick(p->worker, mono(p), &p->fx);
    carry_out(p);
    return p;
}

void participant_kill(participant *p)
{
    world *w = p->w;
    SIM_TRACE(&w->s, "worker", p->engine, "%s is killed", p->name);
    p->dead = true;
    for (uint32_t i = 0, n = participants_of(w, p->engine); i < n; i++)
        if (w->workers[p->engine][i] == p) {
            w->workers[p->engine][i] = w->workers[p->engine][n - 1];
            w->workers[p->engine][n - 1] = NULL;
            break;
        }
    for (int i = 0; i < Q_LANE_COUNT; i++) {
        lane *l = &p->lanes[i];
        if (!l->task->ended && (l->parked || sim_chance(&w->s.rng, 1, 2)))
            sim_cancel(l->task);
    }
}

void participant_pause(participant *p, int64_t us, bool backends)
{
    SIM_TRACE(&p->w->s, "worker", (uint64_t)us, "%s sleeps for %lld us%s", p->name, (long long)us, backends ? ", its backends too" : "");
    p->paused_until = p->w->s.now_us + us;
    if (backends)
        p->backends_paused_until = p->paused_until;
}

bool participant_dead(const participant *p) { return p->dead; }

void participant_stop(participant *p)
{
    p->dead = true;
    for (int i = 0; i < Q_LANE_COUNT; i++)
        if (!p->lanes[i].task->ended)
            sim_cancel(p->lanes[i].task);
}

void participant_free(participant *p)
{
    participant_stop(p);
    q_worker_free(p->worker);
    q_worker_fx_free(&p->fx);
}
