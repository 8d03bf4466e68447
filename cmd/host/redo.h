/* redo.h - reads the log and its segments for a replay (coordinator/replay.c), on a thread of its own: it may take minutes, and the core waits for
 * nobody. One batch at a time. Start, more, result and stop: the core's thread. */
#ifndef Q_CMD_REDO_H
#define Q_CMD_REDO_H

#include "coordinator/core.h"

typedef struct q_redo q_redo;

/* `ready(ctx, id)` is called on the reading thread when a result is there: after the start, and after each q_redo_more. NULL: no memory or no thread. */
q_redo *q_redo_start(q_log *log, const char *log_dir, const q_replay_order *order, void (*ready)(void *ctx, uint64_t id), void *ctx);
/* The event for the core; valid until q_redo_more. */
const q_replay_event *q_redo_result(q_redo *r);
void q_redo_more(q_redo *r);
void q_redo_stop(q_redo *r); /* accepts NULL; waits for the thread */

#endif
