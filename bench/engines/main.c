/* engines - transactions over two and over four real engines through a real Kafka, beside the same rows written directly and untransacted by as
 * many client threads, in one run. Against a running system: bench/engines/run starts one.
 * Usage: engines [--seconds S] [--only two|four] [--levels 1,8,64,256] [--direct no]
 *                [--warm-up S]; where things are: QUANTA_TEST_KAFKA, _PG, _MONGO, _NEO4J, _INFLUX. */
#include "bench/engines/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double bench_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

void bench_summary(double *ms, size_t n, double seconds, figures *out)
{
    qsort(ms, n, sizeof *ms, by_value);
    *out = (figures){ .per_second = (double)n / seconds, .done = n };
    if (n) {
        out->p50_ms = ms[n / 2];
        out->p99_ms = ms[n * 99 / 100];
    }
}

enum { WARM_UP_AT_ONCE = 16 };

typedef struct plan { const places *p; double seconds; long salt; bool beside; } plan;

static const char *name_of(bool four) { return four ? "four" : "two"; }

/* `per_second` gets what QuantaDB reached. */
static bool measure(const plan *run, bool four, size_t at_once, double *per_second)
{
    char mark[64];
    figures ours, direct = { 0 };
    snprintf(mark, sizeof mark, "d%ld-%d-%zu-", run->salt, four ? 4 : 2, at_once);
    bool ok = !run->beside || bench_direct(run->p, four, at_once, run->seconds, mark, &direct);
    mark[0] = 'q';
    ok = bench_through(run->p, four, at_once, run->seconds, 0, mark, &ours) && ok;
    printf("%-5s %9zu %11.0f %9.2f %9.2f %11.0f %9.2f %9.2f %8.2f\n", name_of(four), at_once, ours.per_second, ours.p50_ms, ours.p99_ms,
           direct.per_second, direct.p50_ms, direct.p99_ms, run->beside ? ours.per_second / direct.per_second : 0.0);
    fflush(stdout);
    *per_second = ours.per_second;
    return ok;
}

/* Unmeasured: Java compiles what runs often, Neo4j plans, caches fill. */
static bool warm_up(const plan *run, bool four, double seconds)
{
    char mark[64];
    figures none;
    snprintf(mark, sizeof mark, "v%ld-%d-", run->salt, four ? 4 : 2);
    bool ok = seconds <= 0 || !run->beside || bench_direct(run->p, four, WARM_UP_AT_ONCE, seconds, mark, &none);
    mark[0] = 'w';
    return ok && (seconds <= 0 || bench_through(run->p, four, WARM_UP_AT_ONCE, seconds, 0, mark, &none));
}

/* Sent at even times at half of the best rate, however long answers take; the time counts from when a request was due. */
static bool half_load(const plan *run, bool four, double peak)
{
    char mark[64];
    figures f;
    snprintf(mark, sizeof mark, "h%ld-%d-", run->salt, four ? 4 : 2);
    bool ok = bench_through(run->p, four, MAX_AT_ONCE, run->seconds, peak / 2, mark, &f);
    printf("%-5s half peak %11.0f %9.2f %9.2f\n", name_of(four), f.per_second, f.p50_ms, f.p99_ms);
    fflush(stdout);
    return ok;
}

static const char *required(const char *name)
{
    const char *value = getenv(name);
    if (value && *value)
        return value;
    fprintf(stderr, "%s isn't set: start this by bench/engines/run\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    double seconds = 5, warm = 2;
    bool beside = true;
    const char *only = "", *levels = "1,8,64,256";
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--seconds"))
            seconds = strtod(argv[i + 1], NULL);
        else if (!strcmp(argv[i], "--warm-up"))
            warm = strtod(argv[i + 1], NULL);
        else if (!strcmp(argv[i], "--only"))
            only = argv[i + 1];
        else if (!strcmp(argv[i], "--levels"))
            levels = argv[i + 1];
        else if (!strcmp(argv[i], "--direct"))
            beside = strcmp(argv[i + 1], "no") != 0;
    }
    places p = { required("QUANTA_TEST_KAFKA"), required("QUANTA_TEST_PG"), required("QUANTA_TEST_MONGO"), required("QUANTA_TEST_NEO4J"),
                 required("QUANTA_TEST_INFLUX") };
    long salt = (long)time(NULL);
    char id[3][32];
    for (int i = 0; i < 3; i++)
        snprintf(id[i], sizeof id[i], "s%ld-%d-", salt, i);
    bool ok = bench_statement(&p, id[0], "CREATE BUCKET IF NOT EXISTS bench_engines;") &&
              bench_statement(&p, id[1], "CREATE RECORD IF NOT EXISTS pairs (id scalar string, total scalar float, customer document);") &&
              bench_statement(&p, id[2], "CREATE RECORD IF NOT EXISTS fours (id scalar string, total scalar float, customer document, "
                                         "route relation to routes, taken metric float);") &&
              bench_direct_setup(&p);
    if (!ok)
        return 1;
    printf("%-5s %9s %11s %9s %9s %11s %9s %9s %8s\n", "", "in flight", "QuantaDB/s", "p50 ms", "p99 ms", "direct/s", "p50 ms", "p99 ms", "ratio");
    const plan run = { &p, seconds, salt, beside };
    for (int four = 0; four < 2; four++) {
        double peak = 0, reached = 0;
        if (*only && strcmp(only, name_of(four)))
            continue;
        ok = warm_up(&run, four, warm) && ok;
        for (const char *at = levels;; at = strchr(at, ',') + 1) {
            size_t level = strtoul(at, NULL, 10);
            ok = level && level <= MAX_AT_ONCE && measure(&run, four, level, &reached) && ok;
            peak = reached > peak ? reached : peak;
            if (!strchr(at, ','))
                break;
        }
        ok = half_load(&run, four, peak) && ok;
    }
    return ok ? 0 : 1;
}
