/* coordinator_host.h - carries out the coordinator core's effects: the threads, the clock and the log around the pure core.
 *
 * Two threads: the core's (steps, sends, replies) and the log's (one group commit at a time). Everything that arrives goes through one
 * inbox; a run of steps ends with one flush, so that what waits is batched. Post functions may be called by any thread. */
#ifndef Q_CMD_COORDINATOR_HOST_H
#define Q_CMD_COORDINATOR_HOST_H

#include "coordinator/core.h"

typedef struct q_host q_host;

typedef struct q_host_transport {
    /* All are called on the core's thread and must not block for long. What they are given is valid during the call only. */
    void (*send)(void *ctx, q_engine_id engine, bool reads_lane, q_slice key, q_slice bytes);
    /* What every worker of the engine must hear (a FENCE). NULL: `send` reaches them all. */
    void (*send_all)(void *ctx, q_engine_id engine, q_slice bytes);
    /* Then q_host_published(token) when it was acknowledged and token isn't 0. Q_RETRY: try again later; Q_FAIL: it can never be sent. */
    q_rc (*publish)(void *ctx, const q_effect *message, q_err *err);
    void (*pause)(void *ctx, bool paused);
    /* The process must end now: a failed sync, a damaged log, a newer coordinator. The core's thread has stopped. Any thread of the host. */
    void (*fatal)(void *ctx, q_slice reason);
    void *ctx;
} q_host_transport;

typedef struct q_host_config {
    const char *log_dir;
    uint64_t log_max_bytes;
    bool new_broker;   /* an in-process broker that starts empty: positions of an earlier one say nothing (B7) */
    bool new_topic;    /* an operator's word that the requests topic was created anew: positions are forgotten, and from now on what
                          stands at an offset is another request than what stood there in the old one (B7) */
    int64_t slow_ms;   /* requests that took so long are logged; 0: all, -1: none */
    q_core_config core; /* cluster and incarnation are filled from the log; clock and account are the host's own */
    q_host_transport transport;
} q_host_config;

/* Opens the log and recovers. The cluster id and the catalog are known then; nothing leaves yet. */
Q_CHECK q_rc q_host_open(const q_host_config *config, q_host **out, q_err *err);
/* Starts the threads: the engines are told the epoch, what recovery found is sent again, requests are served. Once, after open. */
Q_CHECK q_rc q_host_run(q_host *h, q_err *err);

/* A request; `release(owner)` is called when its bytes aren't needed any more. */
typedef void (*q_host_release)(void *owner);
void q_host_request(q_host *h, const q_request *request, q_host_release release, void *owner);
/* A message of quanta.votes; copied. */
void q_host_message(q_host *h, q_slice bytes);
void q_host_published(q_host *h, uint64_t token);

/* Where to start a partition; any time after start, from any thread. */
int64_t q_host_position(q_host *h, int32_t partition);

/* Runs `ask` on the core's thread and waits for it; before q_host_run at once. false when the host has stopped. */
bool q_host_ask(q_host *h, void (*ask)(void *ctx, q_core *core, int64_t mono_us), void *ctx);
uint64_t q_host_cluster(const q_host *h);
q_log *q_host_log(q_host *h);
/* Metrics in Prometheus text; the last is quanta_phase_seconds, of which the caller may append further samples. Any thread. */
void q_host_metrics(q_host *h, q_buf *out);

/* Stops taking requests, waits until nothing is in flight (at most timeout_ms), joins the threads. Afterwards posts are dropped, so that
 * whoever still posts (workers, a producer's deliveries) can be stopped next. Also for a host that never ran. Accepts NULL. */
void q_host_stop(q_host *h, int timeout_ms);
/* Closes the log and frees the host; nobody may post any more. Accepts NULL. */
void q_host_free(q_host *h);

int64_t q_now_us(void);  /* wall clock */
int64_t q_mono_us(void); /* monotonic */

#endif
