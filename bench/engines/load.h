/* load.h - what the two sides of the measurement share: how many at once, for how long, and what came out. */
#ifndef BENCH_ENGINES_LOAD_H
#define BENCH_ENGINES_LOAD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct places { const char *bootstrap, *postgres, *mongo, *neo4j, *influx; } places;
typedef struct figures { double per_second, p50_ms, p99_ms; size_t done, failed; } figures;

enum { MAX_SAMPLES = 1 << 20, MAX_AT_ONCE = 256 };

double bench_now_ms(void);
/* Sorts the samples and fills p50 and p99. */
void bench_summary(double *ms, size_t n, double seconds, figures *out);

/* Transactions through Kafka, at most `at_once` in flight; `rate` of them a second, 0: as many as that allows. Ids begin with `mark`. */
bool bench_through(const places *p, bool four, size_t at_once, double seconds, double rate, const char *mark, figures *out);
/* Statements that must commit before the measurement: buckets and records. */
bool bench_statement(const places *p, const char *id, const char *text);
/* The same rows by `at_once` threads, each with connections of its own, one write after the other, no transaction around them. */
bool bench_direct(const places *p, bool four, size_t at_once, double seconds, const char *mark, figures *out);
/* Tables and databases for that. */
bool bench_direct_setup(const places *p);

#endif
