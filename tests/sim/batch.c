#include "tests/sim/batch.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_JOBS = 64, SEED_LIMIT_S = 120 };

typedef struct slot { /* one process's own */
    uint64_t current;
    bool busy;
    uint64_t seeds;
    sim_stats sum;
} slot;

typedef struct shared {
    _Atomic uint64_t next;         /* index into the seeds: first those of `first`, then from..to */
    _Atomic uint32_t failure_count;
    _Atomic bool stop;
    sim_verdict failures[BATCH_FAILURES];
    slot slots[MAX_JOBS];
} shared;

static void add_stats(sim_stats *sum, const sim_stats *s)
{
    const uint64_t *from = (const uint64_t *)(const void *)s;
    uint64_t *to = (uint64_t *)(void *)sum;
    _Static_assert(sizeof(sim_stats) % sizeof(uint64_t) == 0, "sim_stats is counters only");
    for (size_t i = 0; i < sizeof *s / sizeof *to; i++)
        to[i] += from[i];
}

static void failed(shared *sh, const batch_options *o, const sim_verdict *v)
{
    uint32_t i = atomic_fetch_add(&sh->failure_count, 1);
    if (i < BATCH_FAILURES)
        sh->failures[i] = *v;
    if (o->stop_at_failure)
        atomic_store(&sh->stop, true);
}

static bool next_seed(shared *sh, const batch_options *o, uint64_t *seed)
{
    uint64_t i = atomic_fetch_add(&sh->next, 1);
    if (atomic_load(&sh->stop) || i >= o->first_count + (o->to - o->from + 1))
        return false;
    *seed = i < o->first_count ? o->first[i] : o->from + (i - o->first_count);
    if (o->progress && i && i % 1000 == 0)
        fprintf(stderr, "  %llu seeds\n", (unsigned long long)i);
    return true;
}

static void work(shared *sh, const batch_options *o, slot *mine)
{
    sim_options options = o->sim;
    static sim_verdict v, again;
    while (next_seed(sh, o, &options.seed)) {
        mine->current = options.seed;
        mine->busy = true;
        alarm(SEED_LIMIT_S);
        run_seed(&options, &v);
        if (o->twice && !v.failed) {
            run_seed(&options, &again);
            if (again.digest != v.digest) {
                v.failed = true;
                snprintf(v.checker, sizeof v.checker, "determinism");
                snprintf(v.why, sizeof v.why, "two runs of the seed differ: %llu and %llu steps", (unsigned long long)v.stats.steps, (unsigned long long)again.stats.steps);
            }
        }
        mine->busy = false;
        mine->seeds++;
        if (v.failed)
            failed(sh, o, &v);
        else
            add_stats(&mine->sum, &v.stats);
    }
}

static pid_t start(shared *sh, const batch_options *o, slot *mine)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        work(sh, o, mine);
        sim_fiber_free_stacks();
        exit(0);
    }
    return pid;
}

/* The process of `mine` has died in the middle of a seed. */
static void died(shared *sh, const batch_options *o, slot *mine, int status)
{
    sim_verdict v = { .seed = mine->current, .failed = true };
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    snprintf(v.checker, sizeof v.checker, sig == SIGALRM ? "ends" : sig == SIGABRT ? "assertion" : "signal");
    snprintf(v.why, sizeof v.why, "the process ended with %s %d", sig ? "signal" : "status", sig ? sig : WEXITSTATUS(status));
    mine->busy = false;
    mine->seeds++;
    failed(sh, o, &v);
}

static double cpu_of_children(void)
{
    struct rusage r;
    getrusage(RUSAGE_CHILDREN, &r);
    return (double)r.ru_utime.tv_sec + (double)r.ru_stime.tv_sec + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static int by_seed(const void *x, const void *y)
{
    const sim_verdict *a = x, *b = y;
    return (a->seed > b->seed) - (a->seed < b->seed);
}

void batch_run(const batch_options *o, batch_result *out)
{
    uint32_t jobs = o->jobs < 1 ? 1 : o->jobs > MAX_JOBS ? MAX_JOBS : o->jobs;
    pid_t pids[MAX_JOBS];
    double before = cpu_of_children();
    shared *sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (sh == MAP_FAILED)
        abort();
    for (uint32_t i = 0; i < jobs; i++)
        pids[i] = start(sh, o, &sh->slots[i]);
    for (uint32_t alive = jobs; alive > 0;) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        for (uint32_t i = 0; i < jobs; i++)
            if (pids[i] == pid) {
                alive--;
                pids[i] = -1;
                if (sh->slots[i].busy) {
                    died(sh, o, &sh->slots[i], status);
                    pids[i] = start(sh, o, &sh->slots[i]);
                    alive++;
                }
            }
    }
    *out = (batch_result){ .failure_count = sh->failure_count, .cpu_s = cpu_of_children() - before };
    uint32_t kept = out->failure_count < BATCH_FAILURES ? out->failure_count : BATCH_FAILURES;
    memcpy(out->failures, sh->failures, kept * sizeof *out->failures);
    qsort(out->failures, kept, sizeof *out->failures, by_seed);
    for (uint32_t i = 0; i < jobs; i++) {
        out->seeds += sh->slots[i].seeds;
        add_stats(&out->sum, &sh->slots[i].sum);
    }
    munmap(sh, sizeof *sh);
}
