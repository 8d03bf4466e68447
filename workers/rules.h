/* rules.h - what a participant decides about one item, apart from how it stores it: the vote (B3), the apply (B5), the incarnation (B9).
 *
 * Pure. Shared by the embedded engine and the simulator's; the adapters of real servers say the same in their server's language, and
 * tests/contract holds all of them to it. A transaction has at most one item per (record, id) in an engine. */
#ifndef Q_WORKERS_RULES_H
#define Q_WORKERS_RULES_H

#include "workers/engine.h"

/* What an engine holds of one (record incarnation, id). All zero: nothing. */
typedef struct q_stored {
    bool present;    /* a part or a tombstone */
    bool dead;       /* a tombstone: hidden from reads */
    uint64_t seq;    /* _q_seq: who wrote it last */
    uint64_t birth;  /* seq of the INSERT that began this life; of a tombstone 0 */
} q_stored;

/* What an engine remembers of a bucket's or a record's name: survives its DROP, so that a late write finds that it is late. */
typedef struct q_named {
    uint64_t created; /* the newest incarnation's seq; 0: never told of one */
    uint64_t dropped; /* seq of the newest DROP; 0: none */
    uint64_t ddl;     /* seq of the newest DDL that was applied */
} q_named;

/* B9: is an item of `incarnation` older than what is known? Items of an incarnation that isn't known yet are let through: its CREATE
 * may come later when redo arrives out of order. */
bool q_rule_stale_incarnation(const q_named *named, uint64_t incarnation);

/* B3. The vote of one PUT, DELETE or CHECK of transaction `seq`. A tombstone, and a part whose _q_seq is lower than the record's
 * incarnation, count as absent in all preconditions (SEQ_IS compares with 0, which is what a reader saw). In this order: STALE when the
 * stored _q_seq isn't lower than `seq`, then MISSING, EXISTS, CHANGED. UNIQUE and types are the engine's own. */
q_no q_rule_vote(const q_stored *stored, const q_item *item, uint64_t seq, uint32_t sabotage);
/* Of a DDL item: STALE when a newer DDL was applied to the name. */
q_no q_rule_vote_ddl(const q_named *named, uint64_t seq);

typedef enum q_apply {
    Q_AP_SKIP = 0, /* it is older than what is stored, or writes nothing */
    Q_AP_MERGE,    /* the item's fields replace those of the same name, NULL removes; the others stay */
    Q_AP_REPLACE,  /* the part becomes the item's fields: a new life, or INSERT */
    Q_AP_BURY,     /* a tombstone of this seq takes the part's place */
    Q_AP_APPEND,   /* metrics only: the points are added, but _q_seq and birth stay: the write comes late */
    Q_AP_ERASE     /* only under Q_SAB_NO_TOMBSTONE: the part goes and leaves nothing */
} q_apply;

/* B5: what committing `item` under `seq` does to what is stored. `metrics`: the part is a set of points, which have no order among
 * each other, so a late write of the same life still adds its points; a delete takes the points of lives born before it. */
q_apply q_rule_apply(const q_stored *stored, const q_item *item, uint64_t seq, bool metrics, uint32_t sabotage);
/* What is stored of it afterwards; `how` is what q_rule_apply answered. */
q_stored q_rule_after(const q_stored *stored, const q_item *item, uint64_t seq, q_apply how);
/* Does DDL of `seq` still change the name? */
bool q_rule_apply_ddl(const q_named *named, uint64_t seq);
/* What is remembered afterwards. */
q_named q_rule_named_after(const q_named *named, q_ddl_kind kind, uint64_t incarnation, uint64_t seq);

/* Is what is stored seen by a read of a record of this incarnation? */
bool q_rule_visible(const q_stored *stored, uint64_t incarnation);

/* A metric's latest value is the one with the greatest (time, seq): is the sample (at_us, seq) newer than (latest_at_us, latest_seq)? */
bool q_rule_newer_sample(int64_t at_us, uint64_t seq, int64_t latest_at_us, uint64_t latest_seq);

/* Does an engine of this kind serve a field of this type? PostgreSQL scalars, MongoDB documents, Neo4j relations, Influx numbers and
 * durations; NULL fits everywhere. */
bool q_rule_type_fits(q_engine_id engine, q_type type);

/* Bytes that a value takes in a message, nearly: what Q_READ_MAX_BYTES counts. */
size_t q_value_size(const q_value *v);

#endif
