/* log.h - the log store: a seam with two sides, LMDB (wal/lmdb.c) and the simulator's (tests/sim), and one contract-test suite.
 *
 * One owner thread at a time for commit and close; any thread may call the others. A group is one write transaction and one sync: after Q_OK all of
 * it is durable; Q_FATAL: the process must end, and none or all of it is there when the log is opened again; else nothing changed. */
#ifndef Q_WAL_LOG_H
#define Q_WAL_LOG_H

#include "wal/record.h"

typedef struct q_log q_log;

typedef enum q_log_table {
    Q_LT_META = 1,   /* cluster id, incarnation, epoch, seq block, format, low marks: see wal/README.md */
    Q_LT_POSITION,   /* request topic and partition -> low water, what is complete above, hash of the last complete message */
    Q_LT_CATALOG,    /* "b/<bucket>" and "r/<bucket>/<record>" -> encoded definition */
    Q_LT_COUNT
} q_log_table;

/* Two entries of META that every log has from its creation on; their owner may put others, of the same size. */
#define Q_LOG_META_CLUSTER     "cluster"      /* 8 bytes, little endian: random, for good */
#define Q_LOG_META_INCARNATION "incarnation"  /* 16 random bytes: of this log and its request topic; part of a request's identity (B7) */

enum {
    Q_LOG_MAX_KEY_BYTES = 510,  /* of a table's key */
    Q_LOG_MIN_BYTES = 1 << 20   /* of q_log_options.max_bytes */
};

typedef struct q_log_op {
    enum { Q_LO_APPEND = 1, Q_LO_PUT, Q_LO_DELETE, Q_LO_TRIM } kind;
    q_log_table table;  /* PUT, DELETE */
    uint64_t lsn;       /* APPEND: one more than the last; TRIM: records below it go */
    q_slice key;        /* PUT, DELETE */
    q_slice value;      /* APPEND: an encoded record; PUT */
} q_log_op;

typedef struct q_log_info {
    uint64_t first_lsn, last_lsn; /* last: the newest ever appended; first: the oldest not trimmed, last + 1 when all are; 0, 0 at first */
    uint64_t bytes_used, bytes_max;
    uint64_t syncs, groups;       /* since it was opened */
} q_log_info;

/* Called for each record in lsn order, or each table entry in key order; anything but Q_OK stops and is returned. */
typedef q_rc (*q_log_visit)(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err);

typedef struct q_log_ops {
    /* Writes and syncs. Q_FATAL when it can't be known to be durable. Q_RETRY (nothing written) when the log or its disk is full; groups
     * without APPEND go on for a while then, so that it can be trimmed. Q_FAIL: operations that make no sense, or a group too large.
     * DELETE of what isn't there and TRIM of what is trimmed already do nothing. */
    q_rc (*commit)(q_log *log, const q_log_op *ops, size_t n, q_err *err);
    /* A copy of the record at lsn, in `arena`. Q_END: trimmed or not there. Q_FATAL: damaged. */
    q_rc (*read)(q_log *log, q_arena *arena, uint64_t lsn, q_slice *out, q_err *err);
    q_rc (*scan)(q_log *log, uint64_t from_lsn, q_log_visit visit, void *ctx, q_err *err);
    q_rc (*table)(q_log *log, q_log_table table, q_log_visit visit, void *ctx, q_err *err);
    q_rc (*get)(q_log *log, q_arena *arena, q_log_table table, q_slice key, q_slice *out, q_err *err); /* Q_END: absent */
    void (*info)(q_log *log, q_log_info *out); /* any thread */
    void (*close)(q_log *log); /* accepts NULL */
} q_log_ops;

struct q_log { const q_log_ops *ops; };

typedef struct q_log_options {
    uint64_t max_bytes;    /* the most that the file may become (the map: reserved address space); 0: 1 GiB; at least 1 MiB */
    bool read_only;        /* for operators: beside a running coordinator; takes no lock */
    bool create;
    bool skip_verify;      /* tests of the verifier only */
} q_log_options;

/* Opens the log in directory `dir` under an exclusive lock (flock of `dir`/lock; Q_FAIL names the holder's pid). A child process first
 * checks the structure: both meta pages, every page's place and kind, that the newest commit's txnid is the one stored in it; then every
 * record since the last checkpoint (B8). A damage is Q_FAIL with its place; never a signal. */
Q_CHECK q_rc q_log_open_lmdb(const char *dir, const q_log_options *options, q_log **out, q_err *err);

/* Checks everything: structure, every record, every table entry, that records, ends and positions fit each other.
 * `progress` (or NULL) is called now and then. Any process, beside a running coordinator. */
typedef struct q_verify_report { uint64_t records, decisions, open_transactions, bytes; } q_verify_report;
Q_CHECK q_rc q_log_verify(const char *dir, void (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx, q_verify_report *out, q_err *err);
/* An operator's last resort, when opening says that one meta page is damaged and the other one's tree is sound: goes on from that tree.
 * If the damaged page was the newer one, the last group is lost, and *last_lsn is what is left; the engines' highest seq tells then
 * (B8). Q_END: the log is sound, nothing was done. Q_FAIL: not that kind of damage, or a coordinator owns the log. */
Q_CHECK q_rc q_log_accept_older_meta(const char *dir, uint64_t *last_lsn, q_err *err);

#endif
