/* store.h - parts, points and indexes in one LMDB transaction: what prepare asks and commit changes. Internal.
 *
 * A store is one call's view. LMDB's answers travel as its own codes (0, MDB_MAP_FULL …); Q_STORE_FAILED says that `rc` and `err` of the
 * store have the reason. */
#ifndef Q_EMBEDDED_STORE_H
#define Q_EMBEDDED_STORE_H

#include "workers/embedded/names.h"
#include "workers/embedded/part.h"

enum { Q_STORE_FAILED = -1 };

typedef struct q_store {
    q_env *env;
    MDB_txn *txn;
    q_engine_id engine;
    q_names names;
    q_arena *arena;       /* of the transaction being looked at: emptied between two */
    q_buf part, value;    /* being built */
    uint64_t next_table;
    bool changed;         /* anything was written */
    q_rc rc;
    q_err err;
} q_store;

/* `call` lives as long as the call, `arena` is emptied for every transaction. */
void q_store_begin(q_store *s, q_env *env, MDB_txn *txn, q_engine_id engine, q_arena *call, q_arena *arena);
void q_store_end(q_store *s); /* frees the buffers; the transaction is the caller's */
int q_store_fail(q_store *s, q_rc rc, q_code code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The key of a part, without looking it up; false: the id is none. */
bool q_store_key(q_key *k, uint64_t table, const q_value *id);
/* The id key within a part's key. */
static inline q_slice q_key_id(const q_key *k) { return (q_slice){ k->bytes + 8, k->len - 8 }; }
/* What is stored under the key: borrowed until the next write. */
int q_store_get(q_store *s, const q_key *k, q_part *out);
/* The key of a UNIQUE value. */
void q_store_unique_key(q_store *s, q_key *k, uint64_t table, q_slice attr, const q_value *v);
/* Keys of relations: who points to this id by this attribute? Values are id keys. */
void q_store_referrer_key(q_key *k, uint64_t table, q_slice attr, q_slice target);

/* Applies one transaction's items (B5). */
int q_store_apply(q_store *s, const q_writes *w, uint64_t seq);
/* Votes on one transaction (B3); reads only. `texts` holds the vote's text. */
int q_store_vote(q_store *s, q_arena *texts, const q_writes *w, uint64_t seq, q_vote *vote);
/* Answers one read. Rows and values are copied into `arena`. */
int q_store_read(q_store *s, q_arena *arena, const q_read *read, q_rows *out);
/* Looks at up to `look_at` parts from the key `after` on: the keys of tombstones with a _q_seq <= upto (room for look_at of them), and
 * where to go on, empty at the end. Reads only, so that a purge of millions holds nobody up. */
int q_store_tombstones(q_store *s, q_arena *arena, uint64_t upto, q_slice after, uint32_t look_at, q_slice *keys, uint32_t *count,
                       q_slice *last);
/* Removes those of them that still are tombstones up to that seq. */
int q_store_purge(q_store *s, uint64_t upto, const q_slice *keys, uint32_t count);

#endif
