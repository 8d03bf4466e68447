/* worker.h - a participant: step(worker, event) -> effects. Pure; the lanes that run engine calls are the runtime's (or the simulator's).
 *
 * It decodes and fences messages, batches what waits, keeps what must be in order in order (decisions of one worker run one after
 * the other; prepares beside them; reads in a lane of their own), and turns results into votes, acks and rows. A message that can't be
 * decoded is reported (LOG) and dropped: the coordinator sends again. One owner thread. */
#ifndef Q_WORKERS_WORKER_H
#define Q_WORKERS_WORKER_H

#include "workers/engine.h"

typedef struct q_worker q_worker;

/* STATE's batch number when the engine is found to have lost what it had applied, in an epoch that it knew: emptied, or restored from a backup. */
#define Q_STATE_FORGOT UINT64_MAX

typedef enum q_lane { Q_LANE_PREPARE = 0, Q_LANE_DECIDE, Q_LANE_READ, Q_LANE_COUNT } q_lane;

typedef enum q_job_kind { Q_J_PREPARE = 1, Q_J_COMMIT, Q_J_ROLLBACK, Q_J_FENCE, Q_J_SWEEP, Q_J_READ, Q_J_PURGE } q_job_kind;

/* One engine call on one lane. The worker owns it; the lane fills the results and gives it back by q_worker_done, from the moment of the
 * RUN effect until then nobody else touches it. At most one job runs on a lane at a time (on the read lane: `read_sessions`). */
typedef struct q_job {
    q_job_kind kind;
    q_lane lane;
    uint64_t epoch, below;    /* PURGE: tombstones below it */
    uint32_t count;
    const q_txn_work *txns;   /* PREPARE, COMMIT */
    const uint64_t *seqs;     /* ROLLBACK */
    const q_read *reads;      /* READ */
    /* results */
    q_arena *arena;           /* for texts and rows; the job's own */
    q_rc rc;
    q_err err;
    q_vote *votes;            /* PREPARE: count */
    q_rows *rows;             /* READ: count */
    q_engine_state state;     /* FENCE */
    uint64_t *prepared_epochs, *prepared_seqs; /* SWEEP */
    size_t prepared_count;
} q_job;

typedef struct q_worker_effect {
    enum { Q_WFX_RUN = 1, Q_WFX_SEND, Q_WFX_TIMER, Q_WFX_LOG } kind;
    q_job *job;      /* RUN */
    q_slice key, bytes; /* SEND: to quanta.votes; LOG: text */
    int64_t at_us;   /* TIMER */
} q_worker_effect;

typedef struct q_worker_fx { q_worker_effect *items; size_t count, cap; q_arena *arena; } q_worker_fx; /* cleared by the caller */

typedef struct q_worker_config {
    q_engine_id engine;
    uint64_t cluster;
    uint32_t max_queue;          /* messages waiting per lane; beyond it they are dropped (the coordinator sends again); 0: 1024 */
    uint64_t max_queue_bytes;    /* of all that waits; 0: 256 MiB */
    uint32_t read_sessions;      /* read jobs that may run at once; 0: 1 */
    uint32_t retry_ms;           /* first backoff of a failing apply, doubled up to 5 s; 0: 50 */
    uint32_t sweep_ms;           /* how often prepared transactions are looked over (B8); 0: 5000 */
    bool durable_prepare;
    uint32_t sabotage;           /* the simulator's mutants; 0 in every build that ships */
} q_worker_config;

/* Copied. NULL when out of memory. */
q_worker *q_worker_new(const q_worker_config *config);
/* Accepts NULL. No job may be running. */
void q_worker_free(q_worker *w);
/* Memory of effects belongs to the list: valid until it is cleared. A RUN's job is the worker's. */
void q_worker_fx_init(q_worker_fx *fx);
void q_worker_fx_clear(q_worker_fx *fx);
void q_worker_fx_free(q_worker_fx *fx);

/* A message of quanta.work.<engine> or quanta.reads.<engine>; borrowed for the call. */
void q_worker_message(q_worker *w, q_slice bytes, int64_t mono_us, q_worker_fx *fx);
void q_worker_done(q_worker *w, q_job *job, int64_t mono_us, q_worker_fx *fx);
/* Time has passed: at the latest at the last TIMER's moment; more often is harmless. */
void q_worker_tick(q_worker *w, int64_t mono_us, q_worker_fx *fx);

typedef struct q_worker_stats {
    uint64_t epoch;               /* the engine knows it; 0: told none yet, nothing is served */
    uint32_t waiting[Q_LANE_COUNT]; /* messages (read lane: reads) */
    uint64_t waiting_bytes;
    uint64_t dropped, refused;    /* messages: bounds or bytes; epoch, cluster or engine */
    uint64_t prepared, applied, undone, read; /* transactions, reads */
    uint64_t failures;            /* jobs that ended otherwise than Q_OK */
    uint32_t stuck;               /* transactions whose apply fails and is tried again */
    int64_t stuck_since_us;       /* monotonic; 0 when none */
    char last_error[320];         /* of the last failing job; "" after a good apply */
} q_worker_stats;
void q_worker_get_stats(const q_worker *w, q_worker_stats *out);

/* Carries a job out on a session: the one place where job kinds meet the operations table. Blocking; the lane's thread. */
void q_job_run(q_job *job, const q_engine_ops *ops, q_engine *session);
/* Instead of running it: no session can be had. Fills the results of every transaction or read with `rc` and `err`. */
void q_job_fail(q_job *job, q_rc rc, const q_err *err);

#endif
