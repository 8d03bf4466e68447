/* sim.h - one simulated world: its clock, its chance, its heap of what is due, its trace and its verdict. Single owner.
 *
 * A world is made of a seed and lives until the seed's run is over; everything that belongs to it is in its arena. */
#ifndef Q_SIM_SIM_H
#define Q_SIM_SIM_H

#include "base/arena.h"
#include "tests/sim/fiber.h"
#include "tests/sim/heap.h"
#include "tests/sim/prng.h"

#include <stdio.h>

typedef struct sim_stats {
    uint64_t committed, aborted, rejected, rolled_back, read_only, duplicates;
    uint64_t lock_waits, crashes, recoveries, failed_syncs, lost_groups, unseen_groups;
    uint64_t worker_kills, worker_pauses, takeovers, engine_crashes, partitions, clock_steps;
    uint64_t sent, dropped, doubled, late;
    uint64_t steps;
} sim_stats;

typedef struct sim_task sim_task;

typedef struct sim {
    uint64_t seed;
    sim_prng rng;
    sim_heap heap;
    int64_t now_us;
    q_arena *arena;
    sim_task *task;        /* running now */
    FILE *trace;           /* or NULL */
    uint64_t digest;       /* of everything that was traced: equal seeds must have equal digests */
    uint64_t step_limit;   /* 0: none */
    bool failed;
    char checker[32];      /* that saw the violation */
    char why[1200];
    sim_stats stats;
} sim;

void sim_init(sim *s, uint64_t seed, FILE *trace);
void sim_fini(sim *s);

void sim_after(sim *s, int64_t us, sim_call call, void *p, uint64_t a, void *q);
/* Does the next thing. false: nothing is left, or a checker has spoken, or the step limit is reached. */
bool sim_step(sim *s);

/* A violation of what the checker `checker` watches over: ends the run. The first one stays. */
void sim_violation(sim *s, const char *checker, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* One line of the trace; `who` is a short fixed word: see README.md. Costs nothing but a mix of the digest when not tracing. */
void sim_trace(sim *s, const char *who, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define SIM_TRACE(s, who, number, ...) \
    do { \
        sim_digest((s), (number)); \
        if ((s)->trace) \
            sim_trace((s), (who), __VA_ARGS__); \
    } while (0)
static inline void sim_digest(sim *s, uint64_t number) { s->digest = (s->digest ^ number ^ (uint64_t)s->now_us) * 0x9e3779b97f4a7c15u; }

/* ---- tasks: fibers in simulated time ---- */

struct sim_task {
    sim *s;
    sim_fiber *fiber;
    void (*run)(void *ctx);
    void *ctx;
    uint64_t wake;                /* number of the sleep that may be ended */
    const int64_t *paused_until;  /* of the process it belongs to: it isn't woken earlier. Or NULL */
    bool cancelled, ended;
};

/* Runs at once until its first sleep. */
sim_task *sim_task_start(sim *s, void (*run)(void *ctx), void *ctx, const int64_t *paused_until);
/* In a task: lets time pass. Outside: does nothing (contract tests call the same code). false: cancelled, come to an end. */
bool sim_sleep(sim *s, int64_t us);
/* In a task: until sim_unpark. false: cancelled. */
bool sim_park(sim *s);
void sim_unpark(sim_task *t); /* from outside of tasks: runs it at once, until it sleeps */
/* From outside: it never sleeps again and runs to its end now. */
void sim_cancel(sim_task *t);

#endif
