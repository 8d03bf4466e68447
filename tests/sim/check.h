/* check.h - what must hold at the end of a seed. None of it asks the code under test: only what the world has seen (history.h), what the
 * engines store (memengine.h) and what the model says (model.h). Each check names itself in sim.checker. */
#ifndef Q_SIM_CHECK_H
#define Q_SIM_CHECK_H

#include "tests/sim/model.h"
#include "tests/sim/world.h"

/* All of the following, in this order. */
void check_all(world *w);

/* "answers": every request was answered; one id, one outcome, the same bytes; nothing unexplained. */
void check_replies(world *w);
/* "serial": the committed transactions in seq order, replayed in the model, give every answer that was given; and that order agrees with
 * time: what was answered before another request was made comes before it. Leaves the final state in `final`. */
void check_serial(world *w, model *final);
/* "state": each engine holds its part of the final state, and nothing else. */
void check_state(world *w, const model *final);
/* "open": nothing is prepared, undecided or not ended. */
void check_nothing_open(world *w);
/* "events": of committed transactions only, in order per record, the same (seq, index) always the same. The list is of first occurrences. */
typedef struct event_index event_index;
event_index *check_events(world *w);
/* "events": those of transaction `seq` tell what the model says that it changed; `m` is as it left it. */
void check_events_of(world *w, const event_index *x, uint64_t seq, int bucket, const model *m, const model_result *changed);

#endif
