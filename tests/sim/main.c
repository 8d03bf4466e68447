/* sim - the simulator: random seeds, one seed with its trace, fixed scenarios, mutants. README.md explains how to read what it prints. */
#include "base/sabotage.h"
#include "tests/sim/batch.h"
#include "tests/sim/mutants.h"
#include "tests/sim/scenarios.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_FIRST = 4096, MEANINGFUL_SEEDS = 20, MIN_COMMITS = 200, MIN_LOCK_WAITS = 20, MIN_CRASHES = 3 };

typedef struct command {
    batch_options batch;
    bool one, trace, mutants, list;
    uint64_t seed;
    const char *scenario, *seeds_file;
    uint32_t limit;
} command;

static int usage(void)
{
    fprintf(stderr, "usage: sim [--seeds FROM..TO] [--jobs N] [--requests N] [--clients N] [--twice] [--losses] [--first FILE] [--sabotage NAME]\n"
                    "       sim --seed N [--steps N] [--trace] [--sabotage NAME]\n"
                    "       sim --scenario NAME|all [--trace]     sim --list     sim --mutants [--limit N] [--jobs N]\n");
    return 2;
}

static bool number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool range(const char *text, uint64_t *from, uint64_t *to)
{
    const char *dots = strstr(text, "..");
    char left[32];
    if (!dots || (size_t)(dots - text) >= sizeof left)
        return false;
    memcpy(left, text, (size_t)(dots - text));
    left[dots - text] = '\0';
    return number(left, from) && number(dots + 2, to) && *from <= *to;
}

static bool small(const char *text, uint32_t *out)
{
    uint64_t n;
    if (!number(text, &n) || n > UINT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool parse(int argc, char **argv, command *c)
{
    static const struct option options[] = {
        { "seeds", required_argument, NULL, 's' },   { "seed", required_argument, NULL, 'S' },    { "jobs", required_argument, NULL, 'j' },
        { "requests", required_argument, NULL, 'r' }, { "clients", required_argument, NULL, 'c' }, { "steps", required_argument, NULL, 'n' },
        { "sabotage", required_argument, NULL, 'x' }, { "scenario", required_argument, NULL, 'o' }, { "first", required_argument, NULL, 'f' },
        { "limit", required_argument, NULL, 'l' },   { "trace", no_argument, NULL, 't' },         { "list", no_argument, NULL, 'L' },
        { "mutants", no_argument, NULL, 'm' },       { "twice", no_argument, NULL, '2' },
        { "losses", no_argument, NULL, 'e' },         { NULL, 0, NULL, 0 },
    };
    bool good = true;
    for (int o; good && (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (o) {
        case 's': good = range(optarg, &c->batch.from, &c->batch.to); break;
        case 'S':
            good = number(optarg, &c->seed);
            c->one = true;
            break;
        case 'j': good = small(optarg, &c->batch.jobs); break;
        case 'r': good = small(optarg, &c->batch.sim.requests); break;
        case 'c': good = small(optarg, &c->batch.sim.client_count); break;
        case 'n': good = number(optarg, &c->batch.sim.steps); break;
        case 'x': good = mutants_find(optarg, &c->batch.sim.sabotage, &c->batch.sim.own_sabotage); break;
        case 'o': c->scenario = optarg; break;
        case 'f': c->seeds_file = optarg; break;
        case 'l': good = small(optarg, &c->limit); break;
        case 't': c->trace = true; break;
        case 'L': c->list = true; break;
        case 'm': c->mutants = true; break;
        case '2': c->batch.twice = true; break;
        case 'e': c->batch.sim.losses = true; break;
        default: good = false; break;
        }
    return good && optind == argc;
}

/* Seeds that failed once: a number a line, the rest of the line says why. */
static uint32_t read_first(const char *path, uint64_t *out)
{
    FILE *f = path ? fopen(path, "r") : NULL;
    char line[512];
    uint32_t n = 0;
    while (f && n < MAX_FIRST && fgets(line, sizeof line, f)) {
        line[strcspn(line, " \t\r\n#")] = '\0';
        if (line[0] && number(line, &out[n]))
            n++;
    }
    if (f)
        fclose(f);
    return n;
}

static void print_failure(const sim_verdict *v, const command *c)
{
    printf("seed %llu: %s: %s\n  again: make sim SEED=%llu\n", (unsigned long long)v->seed, v->checker, v->why, (unsigned long long)v->seed);
    if (c->batch.sim.sabotage | c->batch.sim.own_sabotage)
        printf("  (with --sabotage)\n");
}

static int one_seed(command *c)
{
    static sim_verdict v;
    c->batch.sim.seed = c->seed;
    c->batch.sim.trace = c->trace ? stdout : NULL;
    run_seed(&c->batch.sim, &v);
    printf("seed %llu: %llu steps, %llu commits, %llu lock waits, %llu crashes, digest %016llx\n", (unsigned long long)v.seed, (unsigned long long)v.stats.steps,
           (unsigned long long)v.stats.committed, (unsigned long long)v.stats.lock_waits, (unsigned long long)v.stats.crashes, (unsigned long long)v.digest);
    if (v.failed)
        print_failure(&v, c);
    sim_fiber_free_stacks();
    return v.failed;
}

static void print_average(const char *what, uint64_t sum, uint64_t n) { printf("  %-38s %10.1f\n", what, n ? (double)sum / (double)n : 0); }

static bool print_averages(const batch_result *r)
{
    uint64_t n = r->seeds - r->failure_count;
    const sim_stats *s = &r->sum;
    printf("average of %llu seeds:\n", (unsigned long long)n);
    print_average("transactions that changed something", s->committed, n);
    print_average("read-only", s->read_only, n);
    print_average("aborted", s->aborted, n);
    print_average("rolled back", s->rolled_back, n);
    print_average("rejected", s->rejected, n);
    print_average("requests sent again", s->duplicates, n);
    print_average("lock waits", s->lock_waits, n);
    print_average("coordinator crashes", s->crashes, n);
    print_average("  with a group lost", s->lost_groups, n);
    print_average("  with a group synced and nobody told", s->unseen_groups, n);
    print_average("  because a sync failed", s->failed_syncs, n);
    print_average("workers killed", s->worker_kills, n);
    print_average("workers replaced while alive", s->takeovers, n);
    print_average("workers asleep", s->worker_pauses, n);
    print_average("engines killed", s->engine_crashes, n);
    print_average("network cuts", s->partitions, n);
    print_average("wall clock steps back", s->clock_steps, n);
    print_average("messages sent", s->sent, n);
    print_average("  lost / doubled / late", s->dropped + s->doubled + s->late, n);
    print_average("steps", s->steps, n);
    bool enough = n == 0 || n < MEANINGFUL_SEEDS || (s->committed >= MIN_COMMITS * n && s->lock_waits >= MIN_LOCK_WAITS * n && s->crashes >= MIN_CRASHES * n);
    if (!enough)
        printf("this run proves nothing: seeds must average %d commits, %d lock waits and %d crashes\n", MIN_COMMITS, MIN_LOCK_WAITS, MIN_CRASHES);
    return enough;
}

static int many_seeds(command *c)
{
    static uint64_t first[MAX_FIRST];
    static batch_result r;
    struct timespec t0, t1;
    c->batch.first = first;
    c->batch.first_count = read_first(c->seeds_file, first);
    c->batch.progress = true;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    batch_run(&c->batch, &r);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    for (uint32_t i = 0; i < r.failure_count && i < BATCH_FAILURES; i++)
        print_failure(&r.failures[i], c);
    bool enough = print_averages(&r);
    double wall = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
    printf("%llu seeds, %u violations, %.1f s, %.1f ms of processor time each\n", (unsigned long long)r.seeds, r.failure_count, wall,
           r.seeds ? r.cpu_s * 1000 / (double)r.seeds : 0);
    return r.failure_count || !enough;
}

int main(int argc, char **argv)
{
    static command c;
    /* A world's memory is given back in large blocks, seed after seed: keep it. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    c = (command){ .batch = { .from = 1, .to = 100, .jobs = 2 }, .limit = 2000 };
    sim_options_default(&c.batch.sim);
    if (!parse(argc, argv, &c))
        return usage();
    if (c.list)
        return scenarios_list();
    if (c.scenario)
        return scenarios_run(c.scenario, c.trace ? stdout : NULL, c.batch.sim.sabotage, c.batch.sim.own_sabotage);
    if (c.mutants)
        return mutants_run(&c.batch, c.limit);
    return c.one ? one_seed(&c) : many_seeds(&c);
}
