#include "tests/sim/faults.h"

#include "base/sabotage.h"
#include "tests/sim/clients.h"
#include "tests/sim/node.h"
#include "tests/sim/participant.h"

#include <stdlib.h>

typedef enum fault_kind {
    F_CRASH = 0, F_KILL_WORKER, F_TAKEOVER, F_PAUSE_WORKER, F_ENGINE_CRASH, F_ENGINE_GONE, F_CUT, F_CLOCK_BACK, F_PAUSE_NODE, F_LOSE_PREPARED, F_ENGINE_LOST, F_KINDS
} fault_kind;

typedef struct fault { uint32_t after; fault_kind kind; } fault; /* after so many answers */

enum { MAX_FAULTS = 64, POLL_US = 4000 };

struct fault_plan {
    uint32_t count, next;
    fault faults[MAX_FAULTS];
    bool loses;                  /* engines lose their data in this seed, and an operator has the log replayed */
    mem_image *images[Q_EN_COUNT];
};

/* One engine's worker or server comes back. */
static void worker_back(void *p, uint64_t engine, void *q)
{
    world *w = p;
    (void)q;
    if (participants_of(w, (q_engine_id)engine) == 0)
        participant_start(w, (q_engine_id)engine);
}

static void engine_back(void *p, uint64_t life, void *q)
{
    mem_server *e = q;
    world *w = p;
    if (e->up || e->life != life)
        return;
    SIM_TRACE(&w->s, "engine", life, "%s starts again", q_engine_name(e->id));
    mem_start(e);
}

static void kill_worker(world *w, q_engine_id engine, uint32_t i)
{
    w->s.stats.worker_kills++;
    participant_kill(w->workers[engine][i]);
    sim_after(&w->s, sim_delay_us(&w->s.rng, 10000), worker_back, w, engine, NULL);
}

static void old_worker_goes(void *p, uint64_t engine, void *q)
{
    world *w = p;
    (void)q;
    if (participants_of(w, (q_engine_id)engine) > 1)
        kill_worker(w, (q_engine_id)engine, (uint32_t)sim_below(&w->s.rng, participants_of(w, (q_engine_id)engine)));
}

static void crash_engine(world *w, q_engine_id engine, int64_t down_us)
{
    mem_server *e = w->servers[engine];
    if (!e->up)
        return;
    w->s.stats.engine_crashes++;
    SIM_TRACE(&w->s, "engine", engine, "%s is killed for %lld us", q_engine_name(engine), (long long)down_us);
    mem_crash(e);
    sim_after(&w->s, down_us, engine_back, w, e->life, e);
}

static void pause_worker(world *w, q_engine_id engine, int64_t us)
{
    uint32_t n = participants_of(w, engine);
    if (!n)
        return;
    w->s.stats.worker_pauses++;
    participant_pause(w->workers[engine][sim_below(&w->s.rng, n)], us, sim_chance(&w->s.rng, 1, 2));
}

/* Its data directory is gone, or comes back from a backup; the coordinator isn't running just then. */
static void lose_engine(world *w, q_engine_id engine)
{
    mem_server *e = w->servers[engine];
    struct fault_plan *plan = w->plan;
    if (!node_alive(w->node) || !e->up)
        return;
    node_crash(w->node, CRASH_NOW);
    w->s.stats.engine_crashes++;
    bool image = plan->images[engine] && sim_chance(&w->s.rng, 1, 2);
    SIM_TRACE(&w->s, "engine", engine, "%s has lost %s", q_engine_name(engine), image ? "what came after its backup" : "its data");
    mem_crash(e);
    if (image)
        mem_image_restore(e, plan->images[engine]);
    else
        mem_wipe(e);
    mem_start(e);
}

/* An operator who looks now and then: who needs a replay gets one; now and then also who doesn't. Backups are taken, too. */
static void operate(world *w)
{
    struct fault_plan *plan = w->plan;
    sim_prng *rng = &w->s.rng;
    q_engine_id e = (q_engine_id)sim_below(rng, Q_EN_COUNT);
    q_core_stats st;
    q_err ignored = Q_ERR_INIT;
    if (!plan->loses)
        return;
    if (sim_chance(rng, 1, 20) && w->servers[e]->up && w->servers[e]->store.undo_count == 0)
        plan->images[e] = mem_image_take(w->servers[e]);
    if (!node_alive(w->node))
        return;
    q_core_get_stats(node_core(w->node), 0, &st);
    for (e = 0; e < Q_EN_COUNT; e++)
        if (st.engine_state[e] && (strcmp(st.engine_state[e], "needs replay") == 0 || (!w->healed && sim_chance(rng, 1, 400))))
            node_replay(w->node, e, &ignored);
}

static void happen(void *p, uint64_t kind, void *q)
{
    world *w = p;
    sim *s = &w->s;
    (void)q;
    if (w->healed)
        return;
    q_engine_id engine = (q_engine_id)sim_below(&s->rng, Q_EN_COUNT);
    uint32_t n = participants_of(w, engine);
    switch ((fault_kind)kind) {
    case F_CRASH:
        if (sim_chance(&s->rng, 1, 3)) /* the next life can't reach this engine at first; what was sent to it still arrives */
            sim_after(s, (int64_t)sim_below(&s->rng, 4000), happen, w, F_CUT, NULL);
        node_crash(w->node, (node_crash_kind)(sim_chance(&s->rng, 1, 3) ? CRASH_NOW : sim_below(&s->rng, CRASH_KINDS)));
        break;
    case F_KILL_WORKER:
        if (n)
            kill_worker(w, engine, (uint32_t)sim_below(&s->rng, n));
        break;
    case F_TAKEOVER: /* the old one doesn't know that it was replaced */
        s->stats.takeovers++;
        if (sim_chance(&s->rng, 1, 2))
            pause_worker(w, engine, sim_delay_us(&s->rng, 30000));
        if (sim_chance(&s->rng, 1, 3)) /* and soon a new epoch comes by the new one */
            sim_after(s, sim_delay_us(&s->rng, 10000), happen, w, F_CRASH, NULL);
        if (participant_start(w, engine))
            sim_after(s, sim_delay_us(&s->rng, 50000), old_worker_goes, w, engine, NULL);
        break;
    case F_PAUSE_WORKER: pause_worker(w, engine, sim_delay_us(&s->rng, 40000)); break;
    case F_ENGINE_CRASH: crash_engine(w, engine, sim_delay_us(&s->rng, 5000)); break;
    case F_ENGINE_GONE: crash_engine(w, engine, sim_delay_us(&s->rng, 400000)); break;
    case F_CUT:
        s->stats.partitions++;
        w->net.cut_until[engine] = s->now_us + sim_delay_us(&s->rng, 30000);
        SIM_TRACE(s, "net", engine, "nothing gets through to or from %s", q_engine_name(engine));
        break;
    case F_CLOCK_BACK:
        s->stats.clock_steps++;
        w->wall_us -= sim_between(&s->rng, 1, 5000000);
        SIM_TRACE(s, "clock", (uint64_t)w->wall_us, "the wall clock steps back");
        break;
    case F_PAUSE_NODE: node_pause(w->node, sim_delay_us(&s->rng, 40000)); break;
    case F_LOSE_PREPARED:
        if (mem_lose_prepared(w->servers[Q_EN_POSTGRES]))
            SIM_TRACE(s, "engine", 1, "postgres has lost a prepared transaction");
        else /* as soon as it has one */
            sim_after(s, 300, happen, w, F_LOSE_PREPARED, NULL);
        break;
    case F_ENGINE_LOST: lose_engine(w, engine); break;
    case F_KINDS: break;
    }
}

static void poll(void *p, uint64_t a, void *q)
{
    world *w = p;
    struct fault_plan *plan = w->plan;
    (void)a;
    (void)q;
    operate(w);
    if (w->healed) {
        if (plan->loses)
            sim_after(&w->s, 20 * POLL_US, poll, w, 0, NULL);
        return;
    }
    while (plan->next < plan->count && plan->faults[plan->next].after <= clients_answered(w->clients))
        sim_after(&w->s, (int64_t)sim_below(&w->s.rng, 5000), happen, w, plan->faults[plan->next++].kind, NULL);
    faults_purge_poll(w);
    sim_after(&w->s, POLL_US, poll, w, 0, NULL);
}

static int by_after(const void *x, const void *y)
{
    const fault *a = x, *b = y;
    int c = (a->after > b->after) - (a->after < b->after);
    return c ? c : (int)a->kind - (int)b->kind;
}

void faults_start(world *w)
{
    static const uint32_t at_least[F_KINDS] = { [F_CRASH] = 3 };
    static const uint32_t up_to[F_KINDS] = { [F_CRASH] = 5, [F_KILL_WORKER] = 5, [F_TAKEOVER] = 4, [F_PAUSE_WORKER] = 4, [F_ENGINE_CRASH] = 4,
                                             [F_ENGINE_GONE] = 1, [F_CUT] = 3, [F_CLOCK_BACK] = 3, [F_PAUSE_NODE] = 2, [F_LOSE_PREPARED] = 2, [F_ENGINE_LOST] = 3 };
    sim_prng *rng = &w->s.rng;
    struct fault_plan *plan = Q_NEW(w->s.arena, struct fault_plan);
    if (!plan)
        abort();
    w->plan = plan;
    plan->loses = w->options.losses && w->options.seed % 4 == 2;
    for (int k = 0; k < F_KINDS; k++) {
        uint32_t n = k == F_ENGINE_LOST && !plan->loses ? 0 : at_least[k] + (uint32_t)sim_below(rng, up_to[k] + 1);
        for (uint32_t i = 0; i < n && plan->count < MAX_FAULTS; i++)
            plan->faults[plan->count++] = (fault){ (uint32_t)sim_below(rng, w->options.requests * 19 / 20 + 1), (fault_kind)k };
    }
    qsort(plan->faults, plan->count, sizeof *plan->faults, by_after);
    w->max_in_flight = sim_chance(rng, 1, 4) ? 2 + (uint32_t)sim_below(rng, 6) : 64;
    w->seq_block = sim_chance(rng, 1, 3) ? 1 + (uint32_t)sim_below(rng, 40) : 4096;
    w->forgetful = sim_chance(rng, 1, 8);
    w->net.drop = sim_chance(rng, 1, 2) ? (uint32_t)sim_below(rng, 400) : 0;
    w->net.twice = sim_chance(rng, 2, 3) ? (uint32_t)sim_below(rng, 600) : 0;
    w->net.late = sim_chance(rng, 2, 3) ? (uint32_t)sim_below(rng, 400) : 0;
    w->net.late_us = sim_chance(rng, 1, 2) ? 50000 : 2000000;
    for (int e = 0; e < Q_EN_COUNT; e++) {
        w->servers[e]->sleepy = sim_chance(rng, 1, 2) ? (uint32_t)sim_below(rng, sim_chance(rng, 1, 3) ? 1500 : 300) : 0;
        w->servers[e]->refusals = sim_chance(rng, 1, 4) ? (uint32_t)sim_below(rng, 200) : 0;
        w->servers[e]->nap_us = sim_chance(rng, 1, 2) ? 3000 : 60000;
    }
    poll(w, 0, NULL);
}

bool faults_over(const world *w) { return !w->plan || w->plan->next == w->plan->count; }

void faults_heal(world *w)
{
    SIM_TRACE(&w->s, "heal", 1, "the faults are over");
    w->healed = true;
    w->net.drop = w->net.twice = w->net.late = 0;
    for (int e = 0; e < Q_EN_COUNT; e++) {
        w->net.cut_until[e] = 0;
        w->servers[e]->sleepy = w->servers[e]->refusals = 0;
        if (!w->servers[e]->up)
            mem_start(w->servers[e]);
        if (participants_of(w, (q_engine_id)e) == 0)
            participant_start(w, (q_engine_id)e);
    }
}

void faults_purge_poll(world *w)
{
    if (!node_alive(w->node))
        return;
    if (w->purge_life != node_life(w->node)) { /* a life has begun: nothing below may arrive from it */
        w->purge_life = node_life(w->node);
        w->purge_below = history_ended_below(&w->h);
        w->purge_done = 0;
        if (Q_SABOTAGED(w->options.own_sabotage, MEM_SAB_PURGE_BEFORE_FENCED))
            for (int e = 0; e < Q_EN_COUNT && w->purge_below > 0; e++)
                mem_purge_now(w->servers[e], w->purge_below - 1);
        return;
    }
    if (Q_SABOTAGED(w->options.own_sabotage, MEM_SAB_PURGE_WHEN_ENDED)) {
        w->purge_below = history_ended_below(&w->h);
        w->purge_done = 0;
    }
    q_core_stats st;
    q_core_get_stats(node_core(w->node), 0, &st);
    for (int e = 0; e < Q_EN_COUNT; e++)
        if (w->servers[e]->epoch != st.epoch)
            return; /* not every engine knows this epoch */
    for (int e = 0; e < Q_EN_COUNT; e++)
        if (!(w->purge_done >> e & 1) && w->servers[e]->up && w->purge_below > 0 && sim_chance(&w->s.rng, 1, 6)) {
            w->purge_done |= 1u << e;
            mem_purge_now(w->servers[e], w->purge_below - 1);
        }
}
