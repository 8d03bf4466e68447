/* locks.h - who may touch what, in what order (B1). Pure; one owner thread.
 *
 * Three levels: bucket, record type, id; and UNIQUE values beside ids. A transaction enqueues all it will ever need in one step; every
 * resource serves first come first served; so a waiter only ever waits for earlier transactions and there is no deadlock.
 * A lock names the engines that it covers: two locks conflict when their modes do and their engine masks meet; each engine's share is
 * freed by itself, when that engine has applied. Modes and compatibility: Gray et al., "Granularity of Locks" (1976). */
#ifndef Q_COORDINATOR_LOCKS_H
#define Q_COORDINATOR_LOCKS_H

#include "schemas/catalog.h"

typedef enum q_lock_mode { Q_LM_IS = 0, Q_LM_IX, Q_LM_S, Q_LM_SIX, Q_LM_X, Q_LM_COUNT } q_lock_mode;

typedef enum q_lock_level { Q_LL_BUCKET = 1, Q_LL_TYPE, Q_LL_ID, Q_LL_UNIQUE } q_lock_level;

typedef struct q_lock_want {
    q_lock_level level;
    q_lock_mode mode;
    uint32_t engines;   /* mask */
    q_slice resource;   /* unique over all levels: the planner builds it of names (never of incarnations: DROP and CREATE of the same
                           name conflict): "bucket", "bucket/record", "bucket/record\0" + id key, "bucket/record\1attr\0" + value key */
} q_lock_want;

typedef struct q_lockset { uint32_t count; const q_lock_want *wants; } q_lockset; /* each resource once: the planner merges modes and masks */

typedef struct q_locks q_locks;

enum { Q_LOCKS_MAX_PER_TXN = 200000 };

q_locks *q_locks_new(uint32_t max_waiters); /* transactions that may wait at once */
void q_locks_free(q_locks *l);

/* Enqueues all of `set` (copied) for `txn` (any number that isn't in use). Q_OK: granted now. Q_WAIT: queued; a later release grants it.
 * Q_FAIL: OVERLOADED past max_waiters or LIMIT_MEMORY; then nothing is enqueued. */
Q_CHECK q_rc q_locks_acquire(q_locks *l, uint64_t txn, const q_lockset *set, q_err *err);
/* Recovery (B8): holds all of `set` at once, beside whoever holds it already: transactions that were decided before a crash hold their locks
 * together, since shares may have been freed between them. Nobody may wait yet. Q_FAIL: LIMIT_MEMORY or WRITE_TOO_LARGE. */
Q_CHECK q_rc q_locks_retake(q_locks *l, uint64_t txn, const q_lockset *set, q_err *err);
/* Frees the shares of `engines` in all locks of `txn`, waiting ones too when the mask is full. Transactions that now hold all they
 * want are appended to `granted` (the caller empties it), in the order in which they were enqueued. */
void q_locks_release(q_locks *l, uint64_t txn, uint32_t engines);
/* Takes the next transaction that was granted by a release; false when there is none. */
bool q_locks_next_granted(q_locks *l, uint64_t *txn);
/* For operators: whom does `txn` wait for first, and on what? false when it doesn't wait. */
bool q_locks_blocker(const q_locks *l, uint64_t txn, uint64_t *blocker, q_slice *resource);
bool q_locks_compatible(q_lock_mode held, q_lock_mode wanted);
/* The weakest mode that covers both. */
q_lock_mode q_locks_join(q_lock_mode a, q_lock_mode b);
uint32_t q_locks_waiting(const q_locks *l);
uint64_t q_locks_bytes(const q_locks *l); /* memory held */

#endif
