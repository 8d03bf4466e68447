/* participant.h - a worker's process: the pure core of workers/worker.h with a task for each lane, as the real runtime has threads.
 *
 * Killed, its calls under way end at once or go on in the server without it (a backend that outlives its client). Paused, it wakes late. */
#ifndef Q_SIM_PARTICIPANT_H
#define Q_SIM_PARTICIPANT_H

#include "tests/sim/world.h"

/* A new process for this engine, beside those that are there. NULL when SIM_MAX_WORKERS are. */
participant *participant_start(world *w, q_engine_id engine);
void participant_kill(participant *p);
/* SIGSTOP. `backends`: the server's side of its calls waits, too. */
void participant_pause(participant *p, int64_t us, bool backends);
void participant_message(participant *p, q_slice bytes);
bool participant_dead(const participant *p);
/* After the end of the seed: calls under way are ended, memory is given back. */
void participant_stop(participant *p);
void participant_free(participant *p);
/* How many are alive. */
uint32_t participants_of(const world *w, q_engine_id engine);

#endif
