/* names.h - what the embedded engine knows of buckets and record types: incarnations, attributes, and whose keys are whose. Internal.
 *
 * Under "b<bucket>" and "r<bucket>/<record>" in the table `names`; the entry survives the DROP (B9). Each incarnation of a record has a
 * table id of its own, the first bytes of all its keys: what is dropped can't be seen any more at once, and its keys are removed bit by
 * bit by later batches. One call's view: reads each name once; a DDL forgets what was read. */
#ifndef Q_EMBEDDED_NAMES_H
#define Q_EMBEDDED_NAMES_H

#include "workers/embedded/env.h"
#include "workers/rules.h"

typedef struct q_known_attr {
    q_slice name;
    q_kind kind;
    q_type datatype;
    bool unique;
} q_known_attr;

typedef struct q_known {
    q_slice bucket, record;   /* record is empty: the bucket itself */
    q_named named;
    uint64_t table;           /* 0: none yet */
    uint32_t attr_count;
    const q_known_attr *attrs;
    uint32_t unique_count;
} q_known;

typedef struct q_names {
    q_env *env;
    MDB_txn *txn;
    q_arena *arena;           /* lives as long as this view */
    q_known **items;
    uint32_t count, cap;
} q_names;

void q_names_begin(q_names *n, q_env *env, MDB_txn *txn, q_arena *arena);
/* What is known of a bucket (record empty) or record; all zero but the names when nothing is. Lives in the arena. */
Q_CHECK q_rc q_names_get(q_names *n, q_slice bucket, q_slice record, q_known **out, q_err *err);
const q_known_attr *q_known_find(const q_known *k, q_slice attr);

/* Is an item of these incarnations older than what is known? */
Q_CHECK q_rc q_names_stale(q_names *n, const q_writes *w, const q_item *item, q_known **record, bool *stale, q_err *err);

/* ---- in a write transaction; `rc` of LMDB in *lmdb, 0 when it isn't LMDB's ---- */

/* The record is of this incarnation from now on and has a table: an item came before its CREATE, or the CREATE itself. */
int q_names_adopt(q_names *n, q_known *k, uint64_t incarnation, uint64_t *next_table);
Q_CHECK q_rc q_names_apply_ddl(q_names *n, const q_writes *w, const q_item *item, uint64_t seq, uint64_t *next_table, int *lmdb,
                               q_err *err);
/* Removes up to `budget` keys of dropped tables; 0 or LMDB's error. */
int q_names_reap(q_env *env, MDB_txn *txn, uint32_t budget);

#endif
