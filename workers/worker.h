/* worker.h - a participant: step(worker, event) -> effects. Pure; the lanes that run engine calls are the runtime's (or the simulator's).
 *
 * It decodes and fences messages, batches what waits, keeps what must be in order in order (decisions of one worker run one after
 * the other; prepares beside them; reads in a lane of their own), and turns results into votes, acks and rows. A message that can't be
 * decoded is reported (LOG) and dropped: the coordinator sends again. One owner thread. */
#ifndef Q_WORKERS_WORKER_H
#define Q_WORKERS_WORKER_H

#include "workers/engine.h"

typedef struct q_worker q_worker;

typedef enum q_lane { Q_LANE_PREPARE = 0, Q_LANE_DECIDE, Q_LANE_READ, Q_LANE_COUNT } q_lane;

typedef enum q_job_kind { Q_J_PREPARE = 1, Q_J_COMMIT, Q_J_ROLLBACK, Q_J_FENCE, Q_J_SWEEP, Q_J_READ } q_job_kind;

/* One engine call on one lane. The worker owns it; the lane fills the results and gives it back by q_worker_done. */
typedef struct q_job {
    q_job_kind kind;
    q_lane lane;
    uint64_t epoch, below;
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
    uint32_t max_queue;          /* jobs waiting per lane; beyond it messages are dropped (the coordinator sends again) */
    uint32_t retry_ms;           /* first backoff of a failing apply, doubled up to 5 s */
    uint32_t sweep_ms;           /* how often prepared transactions are looked over (B8) */
    bool durable_prepare;
    uint32_t sabotage;           /* the simulator's mutants; 0 in every build that ships */
} q_worker_config;

q_worker *q_worker_new(const q_worker_config *config);
void q_worker_free(q_worker *w);
void q_worker_fx_init(q_worker_fx *fx);
void q_worker_fx_clear(q_worker_fx *fx);
void q_worker_fx_free(q_worker_fx *fx);

/* A message of quanta.work.<engine> or quanta.reads.<engine>. */
void q_worker_message(q_worker *w, q_slice bytes, int64_t mono_us, q_worker_fx *fx);
void q_worker_done(q_worker *w, q_job *job, int64_t mono_us, q_worker_fx *fx);
void q_worker_tick(q_worker *w, int64_t mono_us, q_worker_fx *fx);
/* Carries a job out on a session: the one place where job kinds meet the operations table. Blocking; the lane's thread. */
void q_job_run(q_job *job, const q_engine_ops *ops, q_engine *session);

#endif
