/* stuck.h - applies that fail again and again while others succeed: set aside, so that they hold up nobody but those that write the same
 * records (B5: retried for ever, ordered per key). Internal to the core; pure.
 *
 * Those that wait behind a stuck one are tried together with it every other time: one of them may be prepared in the engine and hold the
 * very row that the stuck one waits for. (That happens after a crash: the stuck one was applied, its ack was lost, the later one was
 * prepared meanwhile; the engine commits what is prepared first, and the redo of the older one then changes nothing.) */
#ifndef Q_WORKERS_STUCK_H
#define Q_WORKERS_STUCK_H

#include "workers/lanes.h"

enum { Q_STUCK_MAX = 64 }; /* beyond it nothing more is set aside: the whole lane waits */

typedef struct q_stuck_txn {
    struct q_stuck_txn *next;
    q_arena *arena;          /* holds it and all that it points to */
    q_unit unit;
    uint32_t key_count;
    uint64_t *keys;          /* hashes of (record, id) of what it writes, ascending */
    bool whole_bucket;       /* it meets everything in its bucket: DDL, or writes that can't be read */
    int64_t since_us, next_at_us;
    uint32_t backoff_ms, tries;
} q_stuck_txn;

typedef struct q_stuck { q_stuck_txn *first, *last; uint32_t count; } q_stuck;

/* Copies the unit. false: full, or out of memory. */
bool q_stuck_add(q_stuck *s, q_spares *spares, const q_unit *unit, int64_t mono_us, int64_t next_at_us);
bool q_stuck_has(const q_stuck *s, uint64_t seq);
/* Must it wait for one of them? */
bool q_stuck_meets(const q_stuck *s, q_spares *spares, const q_unit *unit);
/* The first whose time has come and that meets no earlier one; NULL when there is none. */
q_stuck_txn *q_stuck_due(const q_stuck *s, int64_t mono_us);
/* It, and those behind it that would have to wait for it: in order, at most `cap`. */
uint32_t q_stuck_group(q_stuck_txn *lead, q_stuck_txn **out, uint32_t cap);
/* When the next one is due; 0: never (none waits). */
int64_t q_stuck_next_at(const q_stuck *s);
void q_stuck_remove(q_stuck *s, q_spares *spares, q_stuck_txn *t);
/* An operator gave it up: it isn't tried again, unless it is being tried just now. */
void q_stuck_forget(q_stuck *s, q_spares *spares, uint64_t seq);
void q_stuck_clear(q_stuck *s, q_spares *spares);

#endif
