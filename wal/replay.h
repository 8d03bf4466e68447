/* replay.h - what an engine must hold, read from the log and its segments: the newest item of each key, in batches of redo.
 *
 * Two passes over the records. The first remembers for each key of the engine where its present life begins (the newest full put or delete) and
 * which item is its newest; the second merges the partial puts between the two and gives the result out, under the newest one's seq, when it
 * meets that. So nothing that was deleted is ever put, whatever range was asked for; what is given out, in the order given, is what the
 * engine holds after all transactions that were read; and giving it out twice changes nothing (B5: an item is applied only where the stored _q_seq is
 * lower). Points of metrics are not merged: all of the present life are given out, each under its own seq.
 *
 * Pull-style and without threads: the coordinator's host reads it on a thread of its own, the simulator in the core's. One owner. It may be
 * used beside a running coordinator: what is appended after q_replay_open isn't read. */
#ifndef Q_WAL_REPLAY_H
#define Q_WAL_REPLAY_H

#include "wal/segment.h"

typedef struct q_replay_spec {
    q_engine_id engine;
    q_slice bucket, record;  /* empty: all. Copied */
    uint64_t from, to;       /* only keys whose newest item's seq is in it, both included; to 0: no end */
    int64_t until_us;        /* … and whose newest item's time isn't later; 0: any */
    /* An engine that serves nothing until it is caught up (B8), so no locks are held: */
    uint64_t limit;          /* transactions above it aren't read: they are open, and their redo goes to the engine later. The transaction of
                                this seq comes last and alone, so that the engine's highest seq tells that all before it was applied. 0: none */
    bool in_order;           /* PostgreSQL restored from a backup: records with UNIQUE attributes aren't merged, all items from `from` on come as they
                                were, because a value may have gone from one record to another */
    uint64_t memory_bytes;   /* for puts being merged; beyond it later ones come as they are. 0: 256 MiB */
} q_replay_spec;

typedef struct q_replay q_replay;

typedef struct q_replay_batch {
    q_slice bucket;
    uint32_t count;
    const q_txn_work *works; /* ascending order of their records; each seq once; valid until the next call */
    bool last;               /* the transaction of spec.limit, alone */
    uint64_t items;
} q_replay_batch;

typedef struct q_replay_progress {
    uint64_t done, total;    /* records read, of both passes */
    uint64_t keys;           /* of the engine, in range, alive or dead */
    uint64_t items, bytes;   /* given out */
    uint64_t decisions;      /* read in the second pass, with a part in it */
} q_replay_progress;

/* `archive` may be NULL; it and the log must outlive it. Q_FAIL with the reason. */
Q_CHECK q_rc q_replay_open(q_log *log, q_archive *archive, const q_replay_spec *spec, q_replay **out, q_err *err);
void q_replay_free(q_replay *r); /* accepts NULL */
/* Reads some records of the first pass. Q_WAIT: there is more. Q_OK: it is over. Otherwise a damaged record, with its place. */
Q_CHECK q_rc q_replay_prepare(q_replay *r, q_err *err);
/* The next batch. Q_END: that was all. */
Q_CHECK q_rc q_replay_next(q_replay *r, q_replay_batch *out, q_err *err);
void q_replay_get_progress(const q_replay *r, q_replay_progress *out);
/* The lowest lsn that can be read, and the highest seq that a record before it may have (0: nothing is missing, UINT64_MAX: not known). */
void q_replay_extent(const q_replay *r, uint64_t *first_lsn, uint64_t *high_before);

#endif
