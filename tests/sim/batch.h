/* batch.h - many seeds in several processes: a seed that kills its process is one failed seed, not the end. */
#ifndef Q_SIM_BATCH_H
#define Q_SIM_BATCH_H

#include "tests/sim/run.h"

enum { BATCH_FAILURES = 64 };

typedef struct batch_options {
    sim_options sim;             /* seed is filled in */
    const uint64_t *first;       /* seeds that are run before all others */
    uint32_t first_count;
    uint64_t from, to;
    uint32_t jobs;
    bool stop_at_failure;
    bool twice;                  /* every seed runs twice: the digests must be equal */
    bool progress;
} batch_options;

typedef struct batch_result {
    uint64_t seeds;              /* that ran to a verdict */
    sim_stats sum;               /* of those that held */
    uint32_t failure_count;      /* may be more than are kept */
    sim_verdict failures[BATCH_FAILURES];
    double cpu_s;                /* of all processes */
} batch_result;

void batch_run(const batch_options *o, batch_result *out);

#endif
