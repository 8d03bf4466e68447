/* runtime.h - carries out a worker's effects: one thread per lane, each with its own session of the engine.
 *
 * The worker's core is stepped under one lock by whoever brings an event: the caller of q_worker_runtime_message, or the lane whose job has
 * ended. So a message reaches its lane, and an answer the caller, with one change of threads each. A lane opens its session when it has
 * work, with backoff, and opens it anew after an error that may be the connection's. */
#ifndef Q_WORKERS_RUNTIME_H
#define Q_WORKERS_RUNTIME_H

#include "workers/worker.h"

typedef struct q_worker_runtime q_worker_runtime;

/* A message for quanta.votes. On any of the runtime's threads or inside q_worker_runtime_message, several at once; no lock that others may
 * wait for is held, so it may block a little and may call q_worker_runtime_message. `key` and `bytes` are valid during the call. */
typedef void (*q_worker_send)(void *ctx, q_slice key, q_slice bytes);

/* Starts the lanes; reaches out for the engine only when there is work. Both configurations are copied, but the strings of `engine` must
 * outlive the runtime. Q_RETRY: no memory or threads. */
Q_CHECK q_rc q_worker_runtime_start(const q_engine_ops *ops, const q_engine_config *engine, const q_worker_config *worker,
                                    q_worker_send send, void *ctx, q_worker_runtime **out, q_err *err);
/* A message of quanta.work.<engine> or quanta.reads.<engine>; copied. Any thread. After stop has begun: dropped (the coordinator sends
 * again). */
void q_worker_runtime_message(q_worker_runtime *rt, q_slice bytes);
/* Lets the engine calls that are under way end, and their answers leave; what waits is dropped. Accepts NULL. No other call may be under
 * way or follow. */
void q_worker_runtime_stop(q_worker_runtime *rt);

typedef struct q_worker_runtime_state {
    q_worker_stats stats;
    uint32_t sessions;      /* that are open */
    bool failed;            /* the engine said that it can't go on: the process has to be started again */
    char error[320];        /* why no session can be opened, or of `failed`; "" */
} q_worker_runtime_state;
void q_worker_runtime_state_get(q_worker_runtime *rt, q_worker_runtime_state *out); /* any thread */

#endif
