/* run.h - one seed from its beginning to its verdict. */
#ifndef Q_SIM_RUN_H
#define Q_SIM_RUN_H

#include "tests/sim/world.h"

typedef struct sim_verdict {
    uint64_t seed, digest;
    bool failed;
    char checker[32], why[1200];
    sim_stats stats;
} sim_verdict;

/* Random load and faults; then healing, rest, final reads, perhaps one more crash; then every check. */
void run_seed(const sim_options *options, sim_verdict *out);
void sim_options_default(sim_options *o);

#endif
