/* core.h - the coordinator: step(core, event) -> effects. Pure: no I/O, no clock, no thread, no random numbers.
 *
 * One owner thread. Time arrives inside events. The same code runs in quanta-coordinator, in quanta dev and in the simulator; they
 * differ in who carries out the effects. Two-phase commit is one table: coordinator/twophase.h, the same as in docs/protocol.md. */
#ifndef Q_COORDINATOR_CORE_H
#define Q_COORDINATOR_CORE_H

#include "quantaql/rights.h"
#include "wal/replay.h"

typedef struct q_core q_core;

typedef struct q_asking {    /* borrowed for the call */
    q_slice credentials;     /* the authorization header's value, empty when there is none */
    const q_catalog *catalog;/* with the buckets' API keys, as far as they are durable */
    int64_t now_us;          /* wall clock */
} q_asking;

/* Who asks, and in which roles? *out lives in `arena` or longer. Q_FAIL with UNAUTHENTICATED. Called on the core's thread, once per request;
 * pure: keys were loaded before. */
typedef q_rc (*q_authenticate)(void *ctx, q_arena *arena, const q_asking *asking, q_principal *out, q_err *err);

/* What one answered request took: for metrics, the log of slow queries and spans; decides nothing. Valid during the call. 0: that didn't happen. */
typedef struct q_account {
    const char *status;         /* as in the answer; static */
    q_code code;                /* Q_E_NONE, or why it was refused */
    bool read_only;
    uint64_t seq;
    q_slice request_id, bucket, text; /* text: the statement as it was sent, with the values that stand in it */
    q_slice trace;              /* W3C traceparent as it came; not checked */
    int64_t total_ns, parse_ns, lock_ns, read_ns, prepare_ns, persist_ns; /* total: from arrival to answer */
    int64_t arrived_ns, granted_ns, run_ns, voted_ns;     /* by the stopwatch */
    int64_t engine_read_ns[Q_EN_COUNT];    /* of its reads, each from sending to its rows, added up: they may run beside each other */
    int64_t engine_prepare_ns[Q_EN_COUNT]; /* from the end of the run to its vote */
} q_account;

typedef struct q_core_config {
    uint64_t cluster;               /* from the log */
    uint8_t log_incarnation[16];    /* from the log: part of every request's identity */
    uint8_t topic_incarnation[16];  /* the request topic's: instead of it where coordinates are the request id. A broker that starts empty
                                       counts from 0 again, and its offset 5 is another request than the old one's */
    uint32_t engines;               /* mask of the engines that exist; those that a schema needs must be among them */
    uint32_t max_in_flight;         /* transactions; then partitions are paused (default 10000) */
    uint64_t max_in_flight_bytes;
    uint32_t max_request_bytes;     /* default 1 MiB + envelope */
    uint32_t default_timeout_ms, max_timeout_ms;  /* of a request: waiting for locks and votes (5000, 60000) */
    uint32_t resend_ms;             /* first backoff of commit messages (200), doubled up to 10 s */
    uint32_t tail_flush_ms;         /* an END waits at most so long for a group to ride with (50) */
    uint64_t dedupe_max_bytes;      /* (256 MiB) */
    int64_t dedupe_window_us;       /* (24 h) */
    const char *topic_prefix;       /* "quanta" */
    const char *const *reply_allow; /* patterns with a trailing '*', NULL-terminated */
    bool publish_changes;
    uint32_t sabotage;              /* simulator's mutants: see base/sabotage.h; 0 in every build that ships */
    /* 0 or NULL in all of these takes the default. */
    uint64_t log_keep_bytes;        /* records kept for the replies of duplicates: the oldest ids go when they are more (0: no bound) */
    int64_t log_trim_age_us;        /* records that nobody needs stay in the log until they are so old … (0, and log_trim_bytes 0: they go at once) */
    uint64_t log_trim_bytes;        /* … or its records are so many bytes (0: no bound) */
    bool archive;                   /* trimmed records go to segments first: ARCHIVE. Else they are gone */
    uint64_t segment_bytes;         /* of the log's records in a segment, at least (8 MiB) */
    int64_t tombstone_retention_us; /* tombstones are purged when they are so old, and older than the epoch (0: then only) */
    bool purge;                     /* at all */
    uint64_t txn_max_bytes;         /* memory of one transaction (64 MiB) */
    uint32_t seq_block;             /* seqs reserved at once (1 << 20) */
    q_authenticate authenticate;    /* NULL: everybody is "anonymous" and may do everything */
    void *auth_ctx;
    int64_t (*stopwatch_ns)(void);  /* only for timings_ms in results, decides nothing; NULL: times within one step are 0 */
    void (*account)(void *ctx, const q_account *a); /* NULL: nobody wants it. Called when an answer leaves; must not block */
    void *account_ctx;
} q_core_config;

/* ---- events ---- */

typedef struct q_header { q_slice name, value; } q_header;

typedef struct q_request {   /* a message of quanta.requests */
    int32_t partition;
    int64_t offset;
    q_slice key, value;
    uint32_t header_count;
    const q_header *headers;
} q_request;

typedef enum q_event_kind {
    Q_EV_REQUEST = 1,
    Q_EV_MESSAGE,     /* bytes of quanta.votes */
    Q_EV_PERSISTED,   /* the group that PERSIST named is durable */
    Q_EV_PUBLISHED,   /* the broker has acknowledged a REPLY, REPLY_STORED or PUBLISH: its token. Several may carry one token: each is said */
    Q_EV_TIMER,       /* time has passed (also sent now and then when nothing happens) */
    Q_EV_ARCHIVED,    /* the records below `group` are durable in segments; 0: they couldn't be written */
    Q_EV_REPLAY       /* what REPLAY asked for: a batch of redo, the end, or why there is none */
} q_event_kind;

typedef struct q_replay_event { /* borrowed for the step */
    uint64_t id;                  /* of the order */
    const q_replay_batch *batch;  /* or NULL */
    bool end;
    q_slice error;                /* not empty: it can't be read, for this reason */
    q_replay_progress progress;
} q_replay_event;

typedef struct q_event {
    q_event_kind kind;
    int64_t now_us;        /* the wall clock; may step back, the core never does */
    int64_t mono_us;       /* a monotonic clock, for time limits */
    union {
        q_request request; /* borrowed for the step */
        q_slice bytes;     /* MESSAGE */
        uint64_t group;    /* PERSISTED; ARCHIVED: an lsn */
        uint64_t token;    /* PUBLISHED */
        const q_replay_event *replay;
    };
} q_event;

/* ---- effects ---- */

typedef enum q_effect_kind {
    Q_FX_PERSIST = 1, /* commit `ops` to the log, then say PERSISTED(group). At most one is under way at a time */
    Q_FX_SEND,        /* to quanta.work.<engine> or quanta.reads.<engine> */
    Q_FX_REPLY,       /* result to `topic`; then PUBLISHED(token) when token isn't 0 */
    Q_FX_REPLY_STORED,/* read the decision at `lsn` and publish its reply to `topic` under `key` (a duplicate request) */
    Q_FX_PUBLISH,     /* a change event, a schema version or a dead letter to `topic`; then PUBLISHED(token) when token isn't 0.
                         bytes.ptr NULL: a null value (a compacted topic forgets the key) */
    Q_FX_PAUSE,       /* stop consuming requests */
    Q_FX_RESUME,
    Q_FX_TIMER,       /* say TIMER at `at_us` (monotonic) at the latest */
    Q_FX_LOG,         /* a line for the log: text in bytes */
    Q_FX_ARCHIVE,     /* write the records below `lsn` into a segment (wal/segment.h), durably; then say ARCHIVED(lsn), or ARCHIVED(0) */
    Q_FX_REPLAY,      /* read redo from the log and its segments (wal/replay.h), and say REPLAY */
    Q_FX_FATAL        /* end the process; no outcome may leave any more: reason in bytes */
} q_effect_kind;

typedef enum q_replay_order_kind {
    Q_RO_START = 1,   /* open it, and say the first batch */
    Q_RO_MORE,        /* say the next batch, or the end */
    Q_RO_STOP         /* it isn't wanted any more */
} q_replay_order_kind;

typedef struct q_replay_order {
    q_replay_order_kind kind;
    uint64_t id;          /* the same from START to the end */
    q_replay_spec spec;   /* its slices live for the call */
    uint64_t below;       /* the engine has all transactions below it: what the log lacks must be below that */
} q_replay_order;

typedef struct q_effect {
    q_effect_kind kind;
    q_engine_id engine;  /* SEND */
    bool reads_lane;     /* SEND */
    bool to_all;         /* SEND: every worker of the engine must hear it, whatever the key: a FENCE */
    q_slice topic, key, bytes;
    q_slice type;        /* REPLY: content type */
    q_slice request_id;  /* REPLY: header */
    uint64_t token, group, lsn;
    int64_t at_us;
    const q_log_op *ops; /* PERSIST */
    const q_replay_order *replay;
    size_t op_count;
} q_effect;

/* A growing list; its memory belongs to it. Everything an effect points to is valid until q_effects_clear; the operations of a PERSIST until
 * its PERSISTED event. Once a list has run out of memory it is one FATAL for good. */
typedef struct q_effects q_effects;
q_effects *q_effects_new(void);
void q_effects_free(q_effects *fx);
size_t q_effects_count(const q_effects *fx);
const q_effect *q_effects_at(const q_effects *fx, size_t i);
void q_effects_clear(q_effects *fx);

/* ---- life ---- */

/* Recovery (B8), before anything else: the runtime opens the log and calls new, then load for every entry of META, POSITION and CATALOG,
 * then record for every record from the low mark on, then begin. */
Q_CHECK q_rc q_core_new(const q_core_config *config, q_core **out, q_err *err);
void q_core_free(q_core *c);
Q_CHECK q_rc q_core_load(q_core *c, q_log_table table, q_slice key, q_slice value, q_err *err);
Q_CHECK q_rc q_core_record(q_core *c, uint64_t lsn, q_slice bytes, q_err *err);
/* From which lsn records are needed: call after the tables are loaded. */
uint64_t q_core_first_lsn(const q_core *c);
/* Reserves the next epoch and block of seqs (PERSIST), fences every engine, re-takes the locks of decided transactions, resends their redo
 * and unpublished replies. Requests are welcome at once; they wait for the engines they need. */
Q_CHECK q_rc q_core_begin(q_core *c, int64_t now_us, int64_t mono_us, q_effects *fx, q_err *err);

/* Where to start reading a partition: the offset after the low water; -1 when the partition is new. */
int64_t q_core_position(const q_core *c, int32_t partition);
/* B7: the hash of the last complete message of a partition, to be compared at start with that of the message found there
 * (q_positions_hash_message in coordinator/positions.h). false when there is none. */
bool q_core_position_hash(const q_core *c, int32_t partition, int64_t *offset, uint8_t hash[16]);

void q_core_step(q_core *c, const q_event *event, q_effects *fx);
/* After a run of steps, when the queue of events is empty (or long enough): emits the batched SENDs and, when none is under way, PERSIST. */
void q_core_flush(q_core *c, q_effects *fx);
/* SIGTERM: new requests stay in the topic; true when nothing is in flight any more. */
bool q_core_drain(q_core *c);

/* ---- for operators and metrics: same thread ---- */

typedef struct q_core_stats {
    uint64_t requests, committed, aborted, rejected, rolled_back, duplicates, read_only;
    uint64_t in_flight, waiting_for_locks, preparing, decided, applying;
    uint64_t in_doubt;                 /* decided, not applied everywhere */
    int64_t oldest_in_doubt_us;        /* age; 0 when none */
    uint64_t groups, group_records, lock_waits;
    uint64_t archived_lsn;             /* records below it are in segments, as far as this life knows */
    uint64_t resolved;                 /* by operators */
    uint64_t denied, unauthenticated;  /* requests refused for want of a privilege; of valid credentials */
    uint64_t grants_changed;           /* statements that changed roles, grants or keys */
    uint64_t resent[Q_EN_COUNT];       /* messages sent again because an answer was overdue */
    uint64_t epoch, next_seq;
    uint32_t engines_ready;            /* mask: told the epoch and answering */
    const char *engine_state[Q_EN_COUNT]; /* "ready", "not answering", "needs replay", "another cluster's", "not configured"; static */
    uint64_t memory_bytes;
} q_core_stats;
void q_core_get_stats(const q_core *c, int64_t mono_us, q_core_stats *out);
/* The current catalog, borrowed until the next step. */
const q_catalog *q_core_catalog(const q_core *c);
/* `quanta wal replay`: brings an engine up to date from the log; engine, bucket, record, from, to and until_us of `wanted` count, and are copied.
 * An engine that is below END's mark is caught up as a whole and serves then. Starts at the next flush. Q_FAIL: why it can't be. */
Q_CHECK q_rc q_core_replay_start(q_core *c, const q_replay_spec *wanted, bool from_given, uint64_t *id, q_err *err);
void q_core_replay_cancel(q_core *c);
/* How far it is, or how the last one ended: one JSON object and a line end. */
void q_core_replay_status(const q_core *c, int64_t mono_us, q_buf *out);
/* Everything about one open transaction, as a JSON object and a line end. Q_FAIL: there is none of this txid. */
Q_CHECK q_rc q_core_show_txn(const q_core *c, q_slice txid, int64_t mono_us, q_buf *out, q_err *err);
/* An operator ends what an engine can't apply (B5). `abandon`: its part in `engine` is given up for good; otherwise what is missing is sent again at
 * once. Follows when the log's RESOLVE record is durable. Q_FAIL: why not. */
Q_CHECK q_rc q_core_resolve(q_core *c, q_slice txid, bool abandon, q_engine_id engine, q_slice who, q_slice why, int64_t now_us, q_err *err);
/* One JSON object a line per open transaction: txid, seq, state, since, engines still missing, whom it waits for. */
void q_core_list_txns(const q_core *c, int64_t mono_us, bool stuck_only, q_buf *out);

#endif
