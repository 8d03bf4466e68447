/* exec.h - from a checked tree to locks, reads, writes, result and change events. Pure.
 *
 * A q_exec is one transaction's run. Its life: q_exec_plan (which locks), the core gets the locks, q_exec_start (seq, time), then
 * q_exec_next until it says DONE; whenever it says READS, the core sends them and feeds the rows. All memory is in the transaction's
 * arena. A read-only transaction may be started without a seq. Single owner thread. */
#ifndef Q_COORDINATOR_EXEC_H
#define Q_COORDINATOR_EXEC_H

#include "coordinator/locks.h"
#include "wal/record.h"
#include "quantaql/quantaql.h"

typedef struct q_exec q_exec;

enum {
    Q_EXEC_MAX_ROWS = 100000,         /* touched by one transaction */
    Q_EXEC_MAX_RESULT_BYTES = 900000, /* of one result message */
    Q_EXEC_PAGE_ROWS = 5000,          /* one scan message */
};

/* `script` is checked against `catalog`, which the caller keeps referenced. Fills `want` (in the arena): all the locks it will ever
 * need, each with the engines it covers. Fails with WRITE_TOO_LARGE and the like. */
Q_CHECK q_rc q_exec_plan(q_arena *arena, const q_catalog *catalog, const q_script *script, q_exec **out, q_lockset *want, q_err *err);

/* Which engines it reads or writes (mask); known after the plan, an upper bound. */
uint32_t q_exec_engines(const q_exec *x);

/* Where what outlives the run goes: all that the outcome points to. Without this, the arena of the plan. Before start. */
void q_exec_outcome_in(q_exec *x, q_arena *arena);
/* No change events are made. Before start. */
void q_exec_no_events(q_exec *x);
/* Did the run assume rather than read? Then the same text, planned again against the same catalog, runs the same way. After DONE. */
bool q_exec_was_blind(const q_exec *x);

/* A read-only transaction's result may take so many messages; without this, one (then RESULT_TOO_LARGE). Before start. */
void q_exec_allow_parts(q_exec *x, uint32_t max_parts);

/* All locks are granted. `seq` 0: read only. May be called again under the same locks with a new seq when a blind write's
 * precondition was refused with MISSING: then `blind` is false and the rows are read first. */
void q_exec_start(q_exec *x, uint64_t seq, int64_t time_us, bool blind);

typedef enum q_exec_state {
    Q_EXEC_READS = 1, /* `reads` are to be sent; feed the rows, then call next again */
    Q_EXEC_DONE,      /* `outcome` is filled */
    Q_EXEC_FAILED     /* err is filled, with its statement: the transaction aborts */
} q_exec_state;

typedef struct q_exec_read { q_engine_id engine; q_read read; } q_exec_read; /* read_id: 1…, unique within the exec; the core maps it */

typedef struct q_exec_part { uint32_t result_count; q_slice *results; } q_exec_part; /* the entries of one message's "results" */

typedef struct q_exec_outcome {
    bool rollback;                   /* the client's own ROLLBACK: nothing to write */
    uint32_t participants;           /* mask; 0 for read only or when nothing changed */
    q_slice writes[Q_EN_COUNT];      /* encoded q_writes */
    uint32_t event_count;
    const q_rec_event *events;       /* without seq: the core doesn't add to them; they hold (seq, index) already */
    q_slice *results;                /* JSON of each statement's entry of "results", in order */
    uint32_t result_count;
    uint32_t part_count;             /* messages that the result takes: 1, unless q_exec_allow_parts allowed more */
    const q_exec_part *parts;        /* parts[0] is `results`; a statement's rows go on in the next part's entry of the same number */
    bool may_be_missing;             /* a blind update or delete is among the writes: NO(MISSING) means start again, not abort */
    uint64_t read_us;                /* unused by exec: the core's own timing */
} q_exec_outcome;

q_exec_state q_exec_next(q_exec *x, const q_exec_read **reads, size_t *read_count, q_exec_outcome *outcome, q_err *err);
/* Rows for one read. Copied; the same answer twice is ignored. Q_FAIL when they don't fit what was asked (a defect or a hostile worker),
 * or when the engine failed. More pages: `more` is set; exec asks for the next page itself. */
Q_CHECK q_rc q_exec_feed(q_exec *x, uint64_t read_id, const q_rows *rows, q_err *err);

/* A participant's NO on an item, as the user's error (DUPLICATE_ID of which id in which statement …). */
void q_exec_refused(const q_exec *x, q_engine_id engine, const q_vote *vote, q_err *err);

#endif
