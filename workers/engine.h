/* engine.h - what an engine must do for the protocol. One table per engine; one contract-test suite (tests/contract) for all.
 *
 * Calls block and are batched. A q_engine is a session used by one thread at a time; a worker opens one per lane (work, decisions,
 * reads), so sessions of one engine run beside each other, and the same engine may be open in other processes.
 * Nothing of a driver (PGresult, bson_error_t …) leaves an adapter. Durable before Q_OK, always. */
#ifndef Q_WORKERS_ENGINE_H
#define Q_WORKERS_ENGINE_H

#include "schemas/wire/wire.h"

typedef struct q_engine q_engine; /* each adapter defines its own */

typedef struct q_engine_config {
    q_engine_id id;       /* which kind of attributes it serves */
    const char *uri;      /* where; the embedded engine: a directory */
    const char *user, *password, *token; /* or NULL */
    uint32_t server_version; /* influx: 1 or 2 */
    const char *worker;   /* name of this worker, for application_name and leases */
    uint64_t cluster;     /* cluster id: an engine that belongs to another is refused */
    uint32_t lock_timeout_ms;
    uint32_t io_timeout_ms;
    uint64_t max_bytes;   /* embedded: the most that its file may become; 0: 64 GiB */
} q_engine_config;

/* The rows of one read together, as q_value_size() of workers/rules.h counts them. A SCAN stops there with `more`, never before its
 * first row; IDS and REFERRERS that would pass it fail with RESULT_TOO_LARGE. Leaves room for the envelope in Q_WIRE_MAX_BYTES. */
enum { Q_READ_MAX_BYTES = 4 << 20 };

typedef struct q_engine_ops {
    const char *name;     /* "postgres" "mongo" "neo4j" "influx" "embedded" */
    bool durable_prepare; /* a prepared transaction survives a crash of the engine and of the worker */

    /* Connects. Q_RETRY: not reachable now. Q_FAIL: a setting is wrong (the message names it). */
    q_rc (*open)(const q_engine_config *config, q_engine **out, q_err *err);
    void (*close)(q_engine *e); /* accepts NULL */

    /* B8. Remembers `epoch` durably when it is the highest yet, and keeps backends of lower epochs from ever writing again (ends
     * them, or relies on the check in each write). A fresh engine is marked as config.cluster's. Q_FAIL when a higher epoch is remembered
     * or it belongs to another cluster. `state` is what the engine knew before, also then; all zero when it couldn't be read. The same
     * epoch again is Q_OK. */
    q_rc (*fence)(q_engine *e, uint64_t epoch, q_engine_state *state, q_err *err);

    /* B3. One vote per transaction, in order. Checks the epoch, each precondition, that every stored _q_seq is lower than the
     * transaction's (else NO STALE), types and limits. With durable_prepare, YES means prepared in the engine. `arena` holds texts.
     * A second prepare of a seq that is already prepared answers YES. Q_RETRY/Q_IN_DOUBT: no vote is known, the session must be
     * reopened. */
    q_rc (*prepare)(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err);

    /* B5. Applies committed transactions, in the order given, durably. Idempotent: an item is applied only where the stored _q_seq is
     * lower. With durable_prepare the prepared ones among them are committed first, then the missing ones applied from `writes`: a later
     * one may hold the row that an earlier one's redo needs, which was applied before that one could be prepared. `below` is stored as
     * the mark below which all is applied, together with the highest seq. Q_OK: all n are durable. Otherwise any prefix or subset may
     * be. */
    q_rc (*commit)(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err);

    /* Undoes prepared transactions; a seq that isn't prepared is fine. Never called for a committed one. */
    q_rc (*rollback)(q_engine *e, uint64_t epoch, const uint64_t *seqs, size_t n, q_err *err);

    /* Prepared and neither committed nor rolled back. Without durable_prepare: none. */
    q_rc (*list_prepared)(q_engine *e, q_arena *arena, uint64_t **epochs, uint64_t **seqs, size_t *n, q_err *err);

    /* Answers one read from what is committed and applied. Rows and values live in `arena`. */
    q_rc (*read)(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err);

    /* Removes tombstones with a _q_seq <= upto (B5: the caller knows that nothing older can arrive), and what is left of dropped
     * records. */
    q_rc (*purge)(q_engine *e, uint64_t epoch, uint64_t upto, q_err *err);
} q_engine_ops;

extern const q_engine_ops q_engine_embedded; /* workers/embedded: LMDB; plays any of the four */
extern const q_engine_ops q_engine_postgres, q_engine_mongo, q_engine_neo4j, q_engine_influx;

#endif
