/* mutants.h - every sentence of the protocol that can be left out (base/sabotage.h and memengine.h), against the seeds: somebody must notice. */
#ifndef Q_SIM_MUTANTS_H
#define Q_SIM_MUTANTS_H

#include "tests/sim/batch.h"

/* false: no sabotage of this name. */
bool mutants_find(const char *name, uint32_t *mask, uint32_t *own);
/* Prints the table; 0 when each was caught within `limit` seeds. Only a build with Q_MUTANTS can break anything. */
int mutants_run(const batch_options *base, uint32_t limit);

#endif
