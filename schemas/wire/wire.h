/* wire.h - every message between coordinator and workers, once. Pure.
 *
 * msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md), each message an array that begins with [version, kind, …].
 * README.md beside this file has the layouts as tables. Decoders validate everything and allocate only from the arena they are
 * given; what they return borrows from the input bytes and the arena. A failure is Q_E_INTERNAL with what is wrong, or
 * Q_E_LIMIT_MEMORY. Encoders trust their callers: a value's at_us travels with INT, FLOAT and DURATION, the types of metrics, only. */
#ifndef Q_SCHEMAS_WIRE_H
#define Q_SCHEMAS_WIRE_H

#include "schemas/catalog.h"

enum { Q_WIRE_VERSION = 1 };

/* ---- physical writes: what a transaction does in one engine, encoded once, used in prepare, in the WAL as redo and in apply ---- */

typedef enum q_item_op {
    Q_I_PUT = 1,    /* fields become these; `full`: the part is replaced (INSERT), else the other fields stay */
    Q_I_DELETE,     /* leaves a tombstone */
    Q_I_CHECK,      /* writes nothing: only preconditions (a required target, a row that an update of another engine needs) */
    Q_I_DDL         /* ddl */
} q_item_op;

enum { /* preconditions, checked by prepare */
    Q_PRE_EXISTS = 1,     /* a live part is stored; otherwise NO(Q_NO_MISSING) */
    Q_PRE_NOT_EXISTS = 2, /* none, or a tombstone; otherwise NO(Q_NO_EXISTS) */
    Q_PRE_SEQ_IS = 4      /* stored _q_seq (0 when nothing is stored) equals seq_is; otherwise NO(Q_NO_CHANGED) */
};

typedef struct q_field {
    q_slice attr;
    q_value value;         /* NULL removes it. A metric: one sample with at_us (several samples: several fields of the same attr) */
} q_field;

typedef struct q_item {
    q_item_op op;
    q_slice record;
    uint64_t incarnation;  /* of the record; of the bucket for DDL on buckets */
    q_value id;
    uint32_t pre;
    uint64_t seq_is;
    bool full;
    uint64_t birth;        /* seq of the INSERT that began this record's life; 0: the transaction's own seq */
    uint32_t count;
    const q_field *fields;
    q_ddl ddl;
} q_item;

typedef struct q_writes {  /* one transaction's items for one engine */
    uint64_t bucket_incarnation;
    q_slice bucket;
    uint32_t count;
    const q_item *items;
} q_writes;

void q_writes_encode(const q_writes *w, q_buf *out);
Q_CHECK q_rc q_writes_decode(q_arena *arena, q_slice bytes, q_writes *out, q_err *err);

/* ---- reads ---- */

typedef enum q_cmp_op { Q_C_EQ = 1, Q_C_NE, Q_C_LT, Q_C_LE, Q_C_GT, Q_C_GE, Q_C_IN, Q_C_LIKE, Q_C_IS_NULL, Q_C_NOT_NULL } q_cmp_op;

typedef struct q_pred {   /* one conjunct. An engine may ignore any: the coordinator evaluates the whole WHERE again */
    q_slice attr;
    uint32_t step_count;  /* into a document: keys joined, array indexes as decimal text */
    const q_slice *steps;
    q_cmp_op op;
    uint32_t count;       /* of values: 1, or IN's */
    const q_value *values;
} q_pred;

typedef enum q_read_kind {
    Q_R_IDS = 1,      /* the parts of these ids */
    Q_R_SCAN,         /* parts that may match all predicates, by ascending id key, after `after`, at most `limit` */
    Q_R_REFERRERS     /* Neo4j only: rows of `record` whose relation `attrs[0]` contains one of `ids` */
} q_read_kind;

typedef struct q_read {
    uint64_t read_id;          /* the coordinator's; comes back with the rows */
    q_read_kind kind;
    q_slice bucket, record;
    uint64_t incarnation;      /* parts with a lower _q_seq are ignored (B9) */
    uint32_t attr_count;
    const q_slice *attrs;      /* what to return, in this order; may be empty: only existence */
    uint32_t id_count;
    const q_value *ids;
    uint32_t pred_count;
    const q_pred *preds;
    bool has_after;
    q_value after;             /* SCAN: only greater ids */
    uint32_t limit;            /* rows at most, never 0 */
} q_read;

typedef struct q_row {
    q_value id;
    uint64_t seq;    /* stored _q_seq */
    uint64_t birth;  /* PostgreSQL: of this life; Influx: of the newest life with points; others: 0 when not kept */
    const q_value *values; /* attr_count of the read, metrics with at_us (their latest sample) */
} q_row;

typedef struct q_rows {
    uint64_t read_id;
    q_rc rc;            /* Q_OK; Q_RETRY or Q_FAIL with `error` */
    q_code code;
    q_slice error;
    bool more;          /* SCAN: it stopped at limit or at the message's size; go on after the last id */
    uint32_t attr_count, count;
    const q_row *rows;  /* live parts only; in id-key order for SCAN; any order for IDS; ids without a part are left out */
} q_rows;

/* ---- envelopes: [version, kind, epoch, bucket, body] ---- */

typedef enum q_msg_kind {
    Q_M_PREPARE = 1,  /* work:  txns with writes */
    Q_M_COMMIT,       /* work:  txns with writes (the redo) */
    Q_M_ABORT,        /* work:  seqs */
    Q_M_FENCE,        /* work:  the coordinator's epoch and marks; answered by STATE */
    Q_M_READ,         /* reads: reads */
    Q_M_VOTE,         /* votes: votes of one engine */
    Q_M_ACK,          /* votes: applied seqs of one engine */
    Q_M_STATE,        /* votes: what the engine remembers */
    Q_M_ROWS,         /* votes: answers to reads */
    Q_M_ASK,          /* votes: prepared seqs that a sweeper found; answered by ABORT for those not alive */
    Q_M_PURGE,        /* work:  tombstones with a seq below `below` may go (B5). No answer: what is lost is sent again in a later epoch */
} q_msg_kind;

typedef enum q_no {  /* why a participant says NO */
    Q_NO_NONE = 0,   /* YES */
    Q_NO_EXISTS, Q_NO_MISSING, Q_NO_CHANGED, Q_NO_DUPLICATE_VALUE,
    Q_NO_STALE,      /* a stored _q_seq isn't lower than the transaction's own, or an older incarnation */
    Q_NO_LOCKED,     /* lock_timeout: may pass */
    Q_NO_ENGINE_DOWN,/* may pass */
    Q_NO_REFUSED     /* will not pass: code and text tell why */
} q_no;

typedef struct q_txn_work {
    uint64_t seq;
    int64_t time_us;  /* the transaction's */
    q_slice writes;   /* encoded q_writes */
} q_txn_work;
typedef struct q_vote { uint64_t seq; q_no no; uint32_t item; /* index of the refused item */ q_slice text; } q_vote;

typedef struct q_engine_state {
    uint64_t epoch;          /* highest told */
    uint64_t applied_high;   /* highest seq applied */
    uint64_t applied_below;  /* every transaction with a seq below this is applied */
    uint64_t cluster;        /* cluster id it belongs to; 0: a fresh engine */
} q_engine_state;

typedef struct q_msg {
    q_msg_kind kind;
    uint64_t cluster, epoch;
    q_engine_id engine;      /* addressed or answering */
    uint64_t batch;          /* number within the epoch, for logs */
    q_slice bucket;
    uint64_t below;          /* COMMIT, FENCE: every transaction below this seq has ended. PURGE: tombstones below it go */
    uint32_t count;
    union {
        const q_txn_work *txns; /* PREPARE, COMMIT */
        const uint64_t *seqs;   /* ABORT, ACK, ASK */
        const q_vote *votes;
        const q_read *reads;
        const q_rows *rows;
        const q_engine_state *state; /* count 1 */
    };
} q_msg;

/* Of a message as q_msg_encode writes it, without decoding it; 0 when it is none. */
static inline q_msg_kind q_msg_peek(q_slice bytes)
{
    return bytes.len > 2 && (uint8_t)bytes.ptr[0] == 0x99 && bytes.ptr[2] > 0 && bytes.ptr[2] <= Q_M_ASK ? (q_msg_kind)bytes.ptr[2] : (q_msg_kind)0;
}
void q_msg_encode(const q_msg *m, q_buf *out);
Q_CHECK q_rc q_msg_decode(q_arena *arena, q_slice bytes, q_msg *out, q_err *err);

enum {
    Q_WIRE_MAX_BYTES = 8 << 20,   /* one message */
    Q_WIRE_MAX_TXNS = 4096,       /* in one message: transactions, seqs, votes */
    Q_WIRE_MAX_ITEMS = 100000,    /* in one transaction; also ids of one read, rows of one answer */
    Q_WIRE_MAX_READS = 4096,      /* in one message; also answers */
    Q_WIRE_MAX_FIELDS = 10000,    /* of one item: an attribute each, a metric's samples one each */
    Q_WIRE_MAX_PREDS = 1000,      /* of one read */
    Q_WIRE_MAX_IN = 10000,        /* values of one predicate */
    Q_WIRE_MAX_TEXT = 1000,       /* bytes of a vote's or an answer's sentence */
};

#endif
