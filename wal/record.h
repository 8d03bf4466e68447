/* record.h - what a log record is, byte for byte. Pure.
 *
 * A record is a fixed header (little endian: magic "QWAL", format u16, type u16, length u32 of the payload, crc32c u32 over all
 * other bytes of header and payload, lsn u64) and a msgpack payload. Readers check magic, format, type, length, crc and lsn, then
 * every field. CRC32C: Castagnoli, as in RFC 3720 B.4. README.md has the layouts as tables. */
#ifndef Q_WAL_RECORD_H
#define Q_WAL_RECORD_H

#include "schemas/wire/wire.h"

enum {
    Q_WAL_FORMAT = 1,
    Q_REC_HEADER_BYTES = 24,
    Q_REC_MAX_BYTES = 32 << 20, /* header and payload */
    Q_REC_QUERY_BYTES = 256,    /* what is kept of the statement */
};

typedef enum q_rec_type {
    Q_REC_EPOCH = 1,  /* a coordinator's life began */
    Q_REC_DECISION,   /* committed or aborted, with all that recovery needs */
    Q_REC_TAIL,       /* what rides along: ENDs, what was published */
    Q_REC_OPERATOR,   /* an operator did something by hand: text */
    Q_REC_RESOLVE     /* an operator ended what an engine can't apply (B5) */
} q_rec_type;

typedef struct q_rec_event { q_slice key, value; } q_rec_event; /* a change event: record id, JSON */

typedef struct q_rec_decision {
    uint64_t seq, epoch;       /* seq 0: aborted before one was given */
    bool committed;
    int64_t time_us;           /* the transaction's time */
    uint8_t identity[16];      /* of the request: see coordinator/dedupe.h */
    uint8_t body_hash[16];
    q_slice bucket, request_id, principal;
    int32_t partition;         /* where the request came from */
    int64_t offset;
    q_slice reply_topic, reply_type; /* content type */
    q_slice reply;             /* the bytes that were or will be published */
    uint32_t participants;     /* mask of engines; 0 when aborted */
    q_slice redo[Q_EN_COUNT];  /* encoded q_writes, per participant */
    uint32_t event_count;
    const q_rec_event *events;
    q_slice ddl;               /* encoded q_ddl, or empty */
    q_slice query;             /* the statement's first bytes, for operators (cut at Q_REC_QUERY_BYTES; parameters are not in it) */
} q_rec_decision;

typedef struct q_rec_tail {
    uint32_t ended_count;      /* transactions that every participant has applied */
    const uint64_t *ended;     /* seqs */
    uint32_t published_count;  /* decisions whose reply and events were published */
    const uint64_t *published; /* lsns */
} q_rec_tail;

typedef struct q_rec_epoch { uint64_t epoch; int64_t time_us; q_slice version; } q_rec_epoch;

typedef struct q_rec_resolve {
    uint64_t seq, epoch;       /* of the transaction; of the coordinator that was asked */
    uint32_t engines;          /* mask */
    bool abandoned;            /* their part is given up: it counts as applied, and recovery and replays leave it out. Else: tried again at once */
    int64_t time_us;
    q_slice who, why;
} q_rec_resolve;

typedef struct q_rec {
    q_rec_type type;
    uint64_t lsn;
    union {
        q_rec_decision decision;
        q_rec_tail tail;
        q_rec_epoch epoch;
        q_slice text;
        q_rec_resolve resolve;
    };
} q_rec;

const char *q_rec_type_name(q_rec_type t); /* "decision" …; static */

/* Appends header and payload to `out`. Sets its `failed` when the record would be larger than Q_REC_MAX_BYTES. The query is cut. */
void q_rec_encode(const q_rec *r, q_buf *out);
/* Checks everything. What it returns borrows from `bytes` and the arena. The message of a failure says which check and where. */
Q_CHECK q_rc q_rec_decode(q_arena *arena, q_slice bytes, uint64_t expected_lsn, q_rec *out, q_err *err);
/* Only the header's checks (magic, length, crc, format, lsn, type): what a reader needs that passes the bytes on. `type` may be NULL. */
Q_CHECK q_rc q_rec_check(q_slice bytes, uint64_t expected_lsn, q_rec_type *type, q_err *err);

#endif
