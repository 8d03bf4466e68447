#include "tests/sim/sim.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void sim_init(sim *s, uint64_t seed, FILE *trace)
{
    *s = (sim){ .seed = seed, .trace = trace, .digest = seed };
    sim_prng_seed(&s->rng, seed);
    s->arena = q_arena_new(0);
    if (!s->arena)
        abort();
}

void sim_fini(sim *s)
{
    sim_heap_free(&s->heap);
    q_arena_free(s->arena);
    s->arena = NULL;
}

void sim_after(sim *s, int64_t us, sim_call call, void *p, uint64_t a, void *q)
{
    sim_heap_push(&s->heap, s->now_us + (us > 0 ? us : 0), call, p, a, q);
}

bool sim_step(sim *s)
{
    sim_due due;
    if (s->failed || (s->step_limit && s->stats.steps >= s->step_limit) || !sim_heap_pop(&s->heap, &due))
        return false;
    assert(due.at_us >= s->now_us);
    s->now_us = due.at_us;
    s->stats.steps++;
    due.call(due.p, due.a, due.q);
    return !s->failed;
}

void sim_violation(sim *s, const char *checker, const char *fmt, ...)
{
    if (s->failed)
        return;
    s->failed = true;
    snprintf(s->checker, sizeof s->checker, "%s", checker);
    va_list args;
    va_start(args, fmt);
    vsnprintf(s->why, sizeof s->why, fmt, args);
    va_end(args);
    if (s->trace)
        sim_trace(s, "VIOLATION", "%s: %s", s->checker, s->why);
}

void sim_trace(sim *s, const char *who, const char *fmt, ...)
{
    fprintf(s->trace, "%8llu %10.6f %-10s ", (unsigned long long)s->stats.steps, (double)s->now_us / 1e6, who);
    va_list args;
    va_start(args, fmt);
    vfprintf(s->trace, fmt, args);
    va_end(args);
    fputc('\n', s->trace);
}

/* ---- tasks ---- */

static void enter(void *ctx)
{
    sim_task *t = ctx;
    t->run(t->ctx);
}

static void resume(sim_task *t)
{
    sim *s = t->s;
    assert(!s->task && !t->ended);
    s->task = t;
    bool more = sim_fiber_resume(t->fiber);
    s->task = NULL;
    if (!more) {
        t->ended = true;
        sim_fiber_free(t->fiber);
        t->fiber = NULL;
    }
}

static void wake_due(void *p, uint64_t a, void *q)
{
    sim_task *t = p;
    (void)q;
    if (t->ended || t->wake != a)
        return;
    if (t->paused_until && *t->paused_until > t->s->now_us) {
        sim_after(t->s, *t->paused_until - t->s->now_us, wake_due, t, a, NULL);
        return;
    }
    resume(t);
}

sim_task *sim_task_start(sim *s, void (*run)(void *ctx), void *ctx, const int64_t *paused_until)
{
    sim_task *t = Q_NEW(s->arena, sim_task);
    if (!t)
        abort();
    *t = (sim_task){ .s = s, .run = run, .ctx = ctx, .paused_until = paused_until };
    t->fiber = sim_fiber_new(enter, t);
    resume(t);
    return t;
}

bool sim_sleep(sim *s, int64_t us)
{
    sim_task *t = s->task;
    if (!t)
        return true;
    if (t->cancelled)
        return false;
    sim_after(s, us, wake_due, t, ++t->wake, NULL);
    sim_fiber_yield();
    return !t->cancelled;
}

bool sim_park(sim *s)
{
    sim_task *t = s->task;
    assert(t);
    if (t->cancelled)
        return false;
    t->wake++;
    sim_fiber_yield();
    return !t->cancelled;
}

void sim_unpark(sim_task *t)
{
    if (t->ended)
        return;
    if (t->s->task || (t->paused_until && *t->paused_until > t->s->now_us))
        sim_after(t->s, 0, wake_due, t, t->wake, NULL);
    else
        resume(t);
}

void sim_cancel(sim_task *t)
{
    t->cancelled = true;
    if (!t->ended)
        resume(t);
    assert(t->ended);
}
