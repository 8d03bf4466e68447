/* sabotage.h - the simulator's mutants: one sentence of the protocol left out on purpose, to prove that the checkers notice.
 *
 * Only a build with Q_MUTANTS can break anything: everywhere else Q_SABOTAGED is the constant false and the compiler drops the branch. The mask
 * travels in q_core_config.sabotage and q_worker_config.sabotage. `tests/sim` runs each bit against its seeds; docs/protocol.md says which
 * sentence each one leaves out. */
#ifndef Q_BASE_SABOTAGE_H
#define Q_BASE_SABOTAGE_H

#include <stdint.h>

/* X(name, who has it, the sentence left out) */
#define Q_SABOTAGES(X) \
    X(REPLY_BEFORE_SYNC,  "coordinator", "B4: only after the sync may anything leave that depends on the decision") \
    X(FORGET_LOCK,        "coordinator", "B1: conflicting transactions wait") \
    X(SEQ_BEFORE_LOCKS,   "coordinator", "B1: seq is given when the last lock is granted") \
    X(EARLY_UNLOCK,       "coordinator", "B1: each share is freed when that engine has applied") \
    X(MISSING_VOTE,       "coordinator", "B3: every participant votes") \
    X(ABORT_NOT_DURABLE,  "coordinator", "B4: aborts are durable too, before their reply leaves") \
    X(DROP_DEDUPE,        "coordinator", "B7: a request id seen before changes nothing") \
    X(LOSE_POSITION,      "coordinator", "B7: the low water never passes a request that isn't complete") \
    X(FORGET_REDO,        "coordinator", "B8: the redo of decided transactions is resent after a crash") \
    X(FORGET_RELOCK,      "coordinator", "B8: locks of decided-not-ended transactions are re-taken") \
    X(REUSE_SEQS,         "coordinator", "B8: blocks of seq are reserved durably before use") \
    X(SKIP_EPOCH_CHECK,   "worker",      "B8: a worker refuses a lower epoch") \
    X(APPLY_WITHOUT_SEQ,  "worker",      "B5: an item is applied only where the stored _q_seq is lower") \
    X(NO_TOMBSTONE,       "worker",      "B5: deletes leave tombstones") \
    X(ACK_BEFORE_APPLY,   "worker",      "B5: acks mean durable in the engine") \
    X(MISSING_GID_OK,     "worker",      "B5: a missing gid at COMMIT PREPARED is not success") \
    X(PREPARE_UNCHECKED,  "worker",      "B3: NO when a stored _q_seq isn't lower than its own") \
    X(KEEP_ORPHANS,       "worker",      "B8: prepared transactions that aren't alive are rolled back")

enum {
#define X(name, who, sentence) Q_SABOTAGE_BIT_##name,
    Q_SABOTAGES(X)
#undef X
    Q_SABOTAGE_COUNT
};

/* Q_SAB_REPLY_BEFORE_SYNC = 1, Q_SAB_FORGET_LOCK = 2, … */
enum {
#define X(name, who, sentence) Q_SAB_##name = 1 << Q_SABOTAGE_BIT_##name,
    Q_SABOTAGES(X)
#undef X
    Q_SAB_NONE = 0
};

#ifdef Q_MUTANTS
#define Q_SABOTAGED(mask, bit) (((mask) & (uint32_t)(bit)) != 0)
#else
#define Q_SABOTAGED(mask, bit) ((void)(mask), 0)
#endif

#endif
