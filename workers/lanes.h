/* lanes.h - what waits and what runs: queues of decoded messages, and the jobs that are made of them. Internal to the worker's core.
 *
 * Pure. A message is decoded once, into an arena of its own (an entry), and stays there until the last job made of it has been answered. */
#ifndef Q_WORKERS_LANES_H
#define Q_WORKERS_LANES_H

#include "workers/worker.h"

enum {
    Q_JOB_MAX_TXNS = Q_WIRE_MAX_TXNS, /* so that one message per bucket answers a job */
    Q_JOB_MAX_BYTES = 16 << 20,       /* of encoded writes; one message alone may be larger */
    Q_JOB_MAX_READS = 256,            /* point reads in one job */
    Q_JOB_MAX_IDS = 4096,             /* their ids together */
};

typedef struct q_entry {
    struct q_entry *next;
    q_arena *arena;      /* holds the bytes, the message and this entry */
    q_msg msg;
    size_t bytes;
    uint32_t taken;      /* reads: how many are in jobs or answered already */
    uint32_t in_jobs;    /* jobs that use it */
    bool queued;
} q_entry;

typedef struct q_queue {
    q_entry *first, *last;
    uint32_t count;      /* messages */
    uint32_t reads;      /* not yet taken */
    size_t bytes;
} q_queue;

/* One transaction of a batch, and where its answer goes. */
typedef struct q_unit {
    q_txn_work work;
    q_slice bucket;
} q_unit;

/* A job with what it is made of. `pub` comes first: the lane sees only that. */
typedef struct q_box {
    q_job pub;
    struct q_box *next, **link; /* in the list of all boxes */
    q_arena *arena;             /* holds this box; pub.arena is another, emptied before each run */
    q_entry **entries;
    uint32_t entry_count;
    q_unit *units;              /* PREPARE, COMMIT: by (bucket, seq), each seq once */
    q_txn_work *works;          /* the same without buckets: pub.txns points into it */
    uint32_t unit_count;
    uint32_t from;              /* COMMIT: units before it are done */
    uint32_t window;            /* COMMIT: how many run at once: all, until one of them fails for good */
    const q_slice *read_buckets; /* READ: one per read */
    struct q_stuck_txn **stuck; /* COMMIT: it is the retry of these, the first of which is stuck and the others wait behind it */
    uint32_t stuck_count;       /* 0: it isn't, or they were forgotten meanwhile */
    bool running;
} q_box;

/* An arena that was used before, or a new one. NULL when out of memory. */
typedef struct q_spares { q_arena *items[16]; uint32_t count; } q_spares;
q_arena *q_spares_take(q_spares *s);
void q_spares_give(q_spares *s, q_arena *a); /* accepts NULL */
void q_spares_free(q_spares *s);

void q_queue_push(q_queue *q, q_entry *e);
q_entry *q_queue_pop(q_queue *q);
void q_queue_clear(q_queue *q, q_spares *spares);
/* Takes transactions out of the messages that wait: `seqs` in ascending order. A message that is left without any goes. */
void q_queue_without(q_queue *q, q_spares *spares, const uint64_t *seqs, uint32_t n);
/* The entry's memory goes when it is neither queued nor in a job. */
void q_entry_drop(q_entry *e, q_spares *spares);

/* A set of seqs that remembers the newest ones: an abort that overtakes its prepare must win. Bounded: forgetting one costs a sweep. */
enum { Q_ABORTED_MAX = 8192 };
typedef struct q_aborted {
    uint64_t ring[Q_ABORTED_MAX];
    uint64_t slots[4 * Q_ABORTED_MAX]; /* open addressing; 0 is empty */
    uint32_t next;
} q_aborted;
void q_aborted_add(q_aborted *a, uint64_t seq);
bool q_aborted_has(const q_aborted *a, uint64_t seq);

/* Jobs of what waits; NULL when nothing does or memory is short (then it still waits). */
q_box *q_box_new(q_spares *spares, q_job_kind kind, q_lane lane, uint64_t epoch);
void q_box_free(q_box *b, q_spares *spares);
/* PREPARE (without what `aborted` holds; it may be NULL), COMMIT: everything that waits, up to the bounds of a job. A box without units
 * means that all that waited was skipped: free it. */
q_box *q_box_of_txns(q_spares *spares, q_queue *q, q_job_kind kind, uint64_t epoch, const q_aborted *aborted);
q_box *q_box_of_seqs(q_spares *spares, q_queue *q, uint64_t epoch);
/* A stuck transaction, alone or with those behind it, in turn; copied, so that the box outlives them. */
q_box *q_box_of_stuck(q_spares *spares, struct q_stuck_txn *t, uint64_t epoch);
/* Point reads that follow each other together, anything else by itself. */
q_box *q_box_of_reads(q_spares *spares, q_queue *q, uint64_t epoch);

#endif
