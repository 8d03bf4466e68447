/* participant.h - the worker's state and what its files share. Internal to the core; pure. Reading order: worker.c (messages, what runs
 * next), lanes.c (queues and jobs), results.c (what a finished job means), stuck.c (applies that fail by themselves). */
#ifndef Q_WORKERS_PARTICIPANT_H
#define Q_WORKERS_PARTICIPANT_H

#include "base/sabotage.h"
#include "workers/lanes.h"
#include "workers/stuck.h"

enum {
    Q_EFFECTS_RESERVED = 32,   /* that a step must be able to say: runs and timers; more than there are lanes */
    Q_BACKOFF_MAX_MS = 5000,
};

struct q_worker {
    q_worker_config config;
    uint64_t known_epoch;   /* the highest that any message carried */
    uint64_t fenced_epoch;  /* the highest that the engine has confirmed; work runs only while the two are equal */
    uint64_t forgot_epoch;  /* in it the engine was found to have lost what it had applied: nothing is served before the next */
    uint64_t applied_seen;  /* the highest seq that the engine is known to have */
    bool unsure;            /* a session broke: the engine may have come back without its data, so it is fenced before it serves again */
    bool fence_due;         /* a FENCE is to be carried out and answered */
    q_queue prepares, commits, rollbacks, reads;
    q_box *boxes;           /* all that exist */
    uint32_t running[Q_LANE_COUNT];
    q_box *retry;           /* a COMMIT that is to run again before any other: whole, or what a failure left of it */
    q_stuck stuck;          /* transactions whose apply fails while others' don't */
    int64_t decide_at_us;   /* the decision lane rests until then (backoff); 0: it doesn't */
    uint32_t backoff_ms;
    int64_t failing_since_us; /* 0: the last apply went well */
    int64_t sweep_at_us;
    uint64_t purge_below;   /* tombstones below it may go, when nothing else is to be done; 0: none */
    int64_t timer_us;       /* of the last TIMER */
    uint64_t *prepared;     /* what the last sweep found, ascending */
    size_t prepared_count;
    bool rollback_turn;     /* commits and rollbacks alternate: a rollback frees row locks that a redo may wait for */
    q_aborted *aborted;     /* durable_prepare only */
    q_spares spares;
    q_buf scratch;          /* a message being encoded */
    q_worker_stats stats;
};

/* Room for `n` more effects; false without memory. */
bool q_wfx_reserve(q_worker_fx *fx, size_t n);
/* Without memory a SEND, LOG or TIMER is lost: the coordinator sends again, a tick comes anyway. */
void q_wfx_add(q_worker_fx *fx, q_worker_effect e);
void q_wfx_say(q_worker_fx *fx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void q_worker_send_msg(q_worker *w, q_worker_fx *fx, const q_msg *m);
q_msg q_worker_answer(const q_worker *w, q_msg_kind kind, uint64_t epoch, q_slice bucket, uint32_t count);
/* Into a lane's queue, within its bounds; else dropped with a LOG. */
void q_worker_enqueue(q_worker *w, q_queue *q, q_entry *e, q_worker_fx *fx);
/* Order per key: of what is still to run in a COMMIT, whatever writes a record that a stuck transaction writes goes behind that one. */
void q_worker_keep_behind(q_worker *w, q_box *b, int64_t mono_us, q_worker_fx *fx);
/* What waits goes: it is sent again, or belongs to an epoch that is over. */
void q_worker_drop_all(q_worker *w);
/* Gives every free lane what waits for it. */
void q_worker_pump(q_worker *w, int64_t mono_us, q_worker_fx *fx);

#endif
