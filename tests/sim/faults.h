/* faults.h - what goes wrong in a random seed, and when; and the healing that ends it. Which kinds and how often is drawn for each seed. */
#ifndef Q_SIM_FAULTS_H
#define Q_SIM_FAULTS_H

#include "tests/sim/world.h"

/* Begins: faults come as the clients' answers come in, so that each seed meets all that was drawn for it. */
void faults_start(world *w);
/* Nothing is lost, late or down any more. */
void faults_heal(world *w);
/* B5's rule for tombstones, carried out by an operator: watches each life. */
void faults_purge_poll(world *w);
/* True once all that was drawn has happened. */
bool faults_over(const world *w);

#endif
