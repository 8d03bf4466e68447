/* node.h - the coordinator's process: carries out the core's effects as cmd/host does, in simulated time, and dies of anything.
 *
 * A life begins with the recovery that core.h prescribes and ends with a crash. A group is durable in one instant (the sync), some time
 * after PERSIST and some time before PERSISTED; what a life has handed to the broker may still be appended after its death. */
#ifndef Q_SIM_NODE_H
#define Q_SIM_NODE_H

#include "tests/sim/world.h"

typedef enum node_crash_kind {
    CRASH_NOW = 0,
    CRASH_BEFORE_SYNC,   /* the next group is lost */
    CRASH_AFTER_SYNC,    /* the next group is durable, and nobody is told */
    CRASH_AMONG_EFFECTS, /* some of the next effects have left, the others haven't */
    CRASH_SYNC_FAILS,    /* the next sync fails; what it wrote is lost */
    CRASH_SYNC_FAILS_THERE, /* it fails, and yet it is there */
    CRASH_KINDS
} node_crash_kind;

node *node_new(world *w);
void node_free(node *n);
/* Opens the log and recovers. A refusal to start is a violation unless `may_refuse`; then false. */
bool node_start(node *n, bool may_refuse);
void node_crash(node *n, node_crash_kind how);
/* SIGTERM: asked again and again until it is true; then the process may end. */
bool node_drained(node *n);
/* SIGSTOP until then: everything waits in its inbox. */
void node_pause(node *n, int64_t us);
/* An operator asks for `wal replay --engine`; 0: refused, with the reason. */
uint64_t node_replay(node *n, q_engine_id engine, q_err *err);
bool node_alive(const node *n);
uint64_t node_life(const node *n);
const q_core *node_core(const node *n);
/* Of quanta.votes. */
void node_message(node *n, q_slice bytes);
/* The partition has grown. */
void node_requests(node *n, int32_t partition);
/* Nothing is in flight and every request is complete. */
bool node_quiet(node *n);
const char *node_refusal(const node *n);
/* Adds this life's figures to the seed's; a crash does it by itself. */
void node_take_stats(node *n);
/* Called with each reply as it is published. */
void node_on_reply(node *n, void (*call)(void *ctx, q_slice request_id), void *ctx);
/* Broken scenarios may let FATAL pass. */
void node_allow_fatal(node *n, bool allow);
/* Down time before the automatic restart; 0: stays down. */
void node_set_restart(node *n, int64_t us);

#endif
