/* state.h - the inside of a q_core: what a transaction is, and what the core's files call of each other. Internal to coordinator/.
 *
 * Reading order: core.c (events in, actions out) → admit.c (a request becomes a transaction) → run.c (locks, seq, reads) → vote.c (prepare and
 * vote) → group.c (what becomes durable together) → settle.c (what follows a durable outcome) → engines.c (fencing, the sweeper's questions)
 * → outbox.c (messages of a flush) → recover.c → watch.c (for operators). */
#ifndef Q_COORDINATOR_STATE_H
#define Q_COORDINATOR_STATE_H

#include "base/sabotage.h"
#include "coordinator/dedupe.h"
#include "coordinator/effects.h"
#include "coordinator/exec.h"
#include "coordinator/positions.h"
#include "coordinator/reply.h"
#include "coordinator/request.h"
#include "coordinator/tickets.h"
#include "coordinator/timers.h"
#include "coordinator/twophase.h"

enum {
    Q_ALL_ENGINES = (1 << Q_EN_COUNT) - 1,
    Q_COMMIT_BACKOFF_MAX_US = 10 * 1000 * 1000,
    Q_FENCE_BACKOFF_MAX_US = 2 * 1000 * 1000,
    Q_ENGINE_SILENT_US = 5 * 1000 * 1000, /* asked for so long and nothing heard: it gets no new work before it answers a FENCE */
    Q_READ_RESEND_FACTOR = 5,            /* a scan may take longer than a vote */
    Q_GROUP_SOFT_BYTES = 32 << 20,       /* a group takes no further decision beyond it */
    Q_MESSAGE_SOFT_BYTES = 512 * 1024,   /* a message takes no further transaction beyond it; Kafka's own maximum is 1 MB by default */
    Q_ROUTES_MAX = 4 * Q_MAX_BUCKETS,    /* buckets come and go: then all that are idle are forgotten */
    Q_TRIM_RECORDS = 256,                /* so many records are given back at once */
    Q_DEAD_LETTER_BYTES = 64 * 1024,     /* of the message that couldn't be read */
    Q_SPARE_TXNS = 4096,                 /* kept for the next ones */
    Q_TXN_ARENA_BYTES = 2 * 1024,        /* a transaction's first block: the outcome of an insert of a few rows needs no other */
    Q_PLAN_ARENA_BYTES = 32 * 1024,      /* a plan's */
    Q_SPARE_PLANS = 64,                  /* kept for the next ones: the last one used is the first taken, while caches still hold it */
};

typedef struct q_txn q_txn;

/* What Q_ERR_INIT says, without clearing half a kilobyte in each function that may fail. */
static inline void q_core_no_err(q_err *e)
{
    e->code = Q_E_NONE;
    e->statement = e->line = e->column = 0;
    e->message[0] = e->hint[0] = '\0';
}

/* An answer (and its events) on the way to the broker; of a transaction, or by itself: of a duplicate, a rejection, a dead letter. */
typedef struct q_answer {
    struct q_answer *next;   /* duplicates that wait for the same reply; or the freelist */
    q_txn *txn;              /* NULL: by itself */
    q_position *position;    /* complete when this is published; NULL when it is complete by the log */
    uint64_t ticket;         /* 0: nothing is out */
    uint32_t missing;        /* publications that the broker hasn't acknowledged */
    q_slice topic;           /* in the transaction's arena: only until its reply leaves */
} q_answer;

typedef struct q_trouble { /* why an engine can't apply it: its worker's last words */
    int64_t since_us, last_us;
    uint64_t times;
    char text[200];
} q_trouble;

typedef struct q_open_read { /* sent and not answered */
    struct q_open_read *next; /* of the transaction */
    q_txn *txn;
    uint64_t ticket;          /* its read_id on the wire */
    q_engine_id engine;
    const q_read *read;
    bool again;               /* the engine said RETRY: wait for the next resend */
    int64_t sent_ns;          /* by the stopwatch */
} q_open_read;

/* What every event touches stands first, together: with thousands in flight each cache line counts. */
struct q_txn {
    q_tp_state state;
    bool read_only, ddl_script, blind;
    bool committed;             /* decided so */
    bool remembered;            /* by its seq */
    bool behind_ddl;            /* it can't run as things are, and waits for the DDL under way before it says so */
    bool published;             /* the broker has all of it */
    bool identified;            /* the request id is held in the table of those in flight */
    uint32_t unvoted, unapplied; /* masks */
    uint64_t seq, epoch;        /* 0: none; the epoch that gave it */
    uint64_t lsn;               /* of its decision; 0: none */
    q_txn *by_seq;              /* chain of the seq table */
    q_txn *older, *newer;       /* those with a seq that isn't over, by seq */
    q_txn *prev_open, *next_open; /* those whose record is still needed, by lsn */
    q_txn *next_in_group;       /* decided, in a group; or the freelist */
    q_timer timer;
    int64_t deadline_us, backoff_us;
    int64_t since_us;           /* monotonic: of its state */
    q_answer answer;
    q_answer *duplicates;
    q_arena *arena;
    uint64_t counted_bytes;     /* what in_flight_bytes counts for it */
    q_slice bucket_name;        /* the transaction's; the envelope's until it is checked */
    q_slice reply, reply_type;
    uint32_t record_bytes;
    int32_t partition;
    int64_t offset;
    int64_t time_us;            /* the transaction's */
    uint8_t identity[16];
    q_exec_outcome out;
    q_incoming in;

    q_txn *prev_all, *next_all;
    q_txn *prev_parked, *next_parked;
    uint64_t number;            /* of this life */
    q_catalog *catalog;         /* planned against; a reference */
    const q_bucket *bucket;     /* its bucket there */
    q_slice text;               /* what it asks; in its arena */
    q_arena *plan_arena;        /* of what follows; NULL: there is no plan (any more) */
    q_script *script;
    q_exec *exec;
    q_lockset locks;
    uint32_t engines;           /* it needs */
    q_open_read *reads;
    void *reply_heap;           /* when the arena is full */
    q_slice ddl;                /* encoded; empty when the catalog stays */
    bool grants_change;         /* DDL: of roles, grants or keys */
    q_catalog *catalog_after;   /* DDL: a reference */
    const char *status;
    int64_t arrived_us;         /* monotonic */
    int64_t arrived_ns, planned_ns, granted_ns, run_ns, voted_ns; /* by the stopwatch; 0: not yet */
    int64_t engine_read_ns[Q_EN_COUNT], engine_prepare_ns[Q_EN_COUNT];
    q_trouble *trouble[Q_EN_COUNT];
    q_err error;                /* only its code is cleared for a new transaction */
};

typedef struct q_u64s { uint64_t *at; size_t count, cap; } q_u64s;
bool q_u64s_push(q_u64s *v, uint64_t n);

/* ---- outbox.c: messages that wait for the flush, by bucket, engine and kind ---- */

typedef enum q_out { Q_OUT_COMMIT = 0, Q_OUT_ABORT, Q_OUT_PREPARE, Q_OUT_READ, Q_OUT_COUNT } q_out;

typedef struct q_route { /* one bucket; freed only when nothing waits in any */
    struct q_route *chain, *next_dirty;
    bool dirty;
    q_u64s out[Q_EN_COUNT][Q_OUT_COUNT]; /* seqs; READ: tickets */
    uint32_t name_len;
    char name[];
} q_route;

/* ---- group.c: what becomes durable together ---- */

typedef struct q_group_op { /* offsets into the group's bytes: they move while it fills */
    q_log_op op;
    size_t key_at, key_len, value_at, value_len;
} q_group_op;

typedef struct q_group {
    q_buf bytes;
    q_group_op *ops;
    size_t op_count, op_cap;
    q_log_op *final;
    size_t final_cap;
    q_txn *first, **last;       /* decisions, in the order of their records */
    uint64_t decisions, records, last_lsn;
    struct q_resolution *resolutions; /* operators' */
    bool begins_epoch;
    bool positions;             /* it writes positions */
    uint64_t seqs_until;        /* reserved by it; 0: none */
} q_group;

/* ---- engines.c ---- */

typedef enum q_engine_phase { Q_ENGINE_UNKNOWN = 0, Q_ENGINE_READY, Q_ENGINE_BEHIND, Q_ENGINE_FOREIGN } q_engine_phase;

typedef struct q_engine_view {
    q_engine_phase phase;
    bool exists;
    q_timer timer;              /* the next FENCE */
    int64_t backoff_us;
    q_engine_state state;       /* as last told */
    int64_t asked_us;           /* since when something that needs an answer is out and nothing was heard; 0: nothing is */
    int64_t unready_us;         /* since when it isn't ready */
    uint64_t ended_high;        /* the highest seq of an ended transaction that it took part in */
    uint64_t purged_below;      /* told in this life */
    bool replayed;              /* in this life: redo of old transactions may still be on its way to it */
} q_engine_view;

/* ---- purge.c ---- */

enum { Q_EPOCHS = 32, Q_EPOCHS_BYTES = (Q_EPOCHS + 1) * 16 };
typedef struct q_epoch_began { int64_t time_us; uint64_t below; } q_epoch_began; /* all transactions below were over then */

/* ---- retention.c ---- */

typedef struct q_kept_mark { uint64_t lsn, bytes; int64_t time_us; } q_kept_mark; /* bytes: of all records before it */
typedef struct q_kept { q_kept_mark *at; size_t count, cap; uint64_t bytes; } q_kept;

/* ---- replay.c ---- */

typedef enum q_replay_phase { Q_RP_IDLE = 0, Q_RP_NEXT_TYPE, Q_RP_LOCKING, Q_RP_READING, Q_RP_SENDING } q_replay_phase;

typedef struct q_replay_type { struct q_replay_type *next; q_slice bucket, record; } q_replay_type;

typedef struct q_replaying {
    q_replay_phase phase;
    uint64_t id;
    bool whole;                 /* the engine serves nothing until it is caught up; else type by type, under locks */
    bool locked, reading, cancelled;
    q_arena *arena, *batch;     /* of the replay; of the batch that is out */
    q_replay_spec spec;         /* of what is being read */
    uint64_t below;
    q_replay_type *types, **types_end;
    uint32_t type_at, type_count;
    q_replay_order order;
    q_txn_work *works;          /* by seq */
    bool *acked;
    uint32_t count, missing;
    q_slice batch_bucket;
    uint64_t batch_items;
    q_timer timer;
    int64_t backoff_us, since_us, ended_us;
    uint64_t items, applied, records, records_total;
    char trouble[200];          /* why a batch can't be applied: the worker's last words */
    char error[320];
} q_replaying;

typedef enum q_life { Q_LIFE_LOADING = 0, Q_LIFE_BEGINNING, Q_LIFE_SERVING } q_life;

struct q_core {
    q_core_config config;
    char prefix[200];
    q_request_rules rules;
    q_slice topic_schemas, topic_dlq, topic_changes; /* changes: with the dot */
    char topics[800];
    q_life life;
    bool draining, paused, told_paused, fatal;
    int64_t now_us, mono_us;    /* of the event being handled */
    q_effects *fx;              /* of the step under way; NULL outside */

    uint64_t epoch, next_seq, seqs_until, seqs_asked; /* until: durable; asked: in a group */
    int64_t last_time_us;       /* of a transaction */
    uint64_t seq_high;          /* the highest committed seq that the log knows, durably … */
    uint64_t seq_high_next;     /* … and with the groups that aren't durable yet */
    uint64_t next_lsn, first_lsn, trimmed_lsn;
    uint64_t next_number, next_batch;

    q_catalog *catalog;         /* durable: what requests are checked against */
    q_catalog *catalog_next;    /* with the DDL of groups that aren't durable yet */
    q_locks *locks;
    q_dedupe *dedupe;
    q_positions *positions;
    q_replies *replies;
    q_tickets reads, answers;
    q_timers timers;
    q_timer tail_timer;
    bool tail_due;
    int64_t timer_told_us;

    q_txn **by_seq;
    size_t seq_buckets, seq_count;
    q_txn *oldest, *newest;     /* with a seq, not over */
    q_txn *first_open, *last_open;
    q_txn *first_parked, *last_parked;
    uint32_t parked;
    q_txn *first_all, *last_all;
    bool granting;
    q_arena *spare_plans[Q_SPARE_PLANS];
    uint32_t spare_plan_count;
    q_txn *spare_txns;
    uint32_t spare_arenas;      /* of spare_txns */
    q_answer *spare_answers;
    q_open_read *spare_reads;
    struct q_slab *slabs;

    q_group groups[2], *filling, *flying; /* flying: under way, or NULL */
    q_txn *held_first, **held_last;       /* decided, but the filling group is full */
    uint64_t group_number;
    int64_t persist_began_ns, persist_ns; /* of the last group */
    q_u64s ended, published;    /* for the next TAIL: seqs, lsns */
    bool marks_changed;
    q_buf scratch, scratch2;
    q_arena *scratch_arena;     /* of one message or record */

    q_route **routes;
    size_t route_buckets, route_count;
    q_route *dirty;
    q_txn_work *works;          /* of a message being encoded: Q_WIRE_MAX_TXNS of each */
    q_read *wire_reads;
    uint64_t *wire_seqs;

    q_engine_view engines[Q_EN_COUNT];
    uint32_t ready;             /* mask */

    q_epoch_began epochs[Q_EPOCHS + 1]; /* that began last */
    uint32_t epoch_count, told; /* told: mask of the engines that know this epoch */
    int64_t purge_at_us;

    q_kept kept;
    uint64_t durable_lsn;       /* the newest durable record */
    uint64_t archived_lsn, archiving_lsn; /* records below it are in segments; below it are being written there, 0: none are */
    int64_t archive_again_us;

    q_replaying replay;
    uint64_t replay_ids;

    uint64_t in_flight_bytes;
    uint64_t slab_bytes;
    uint64_t arena_bytes;
    uint64_t in_state[Q_TPS_COUNT];
    q_u64s recovered;           /* while loading: transactions by lsn, from recovered_base on */
    uint64_t recovered_base;
    q_core_stats stats;
};

/* core.c */
/* The one place where something happens to a transaction: moves it and carries out the row's actions. `engine` is for ACK. */
void q_core_fire(q_core *c, q_txn *t, q_tp_event event, q_engine_id engine);
/* Out of memory where no transaction can be blamed: nothing may leave any more. */
void q_core_die(q_core *c, const char *why);
int64_t q_core_stopwatch(const q_core *c);

/* txn.c: memory */
q_txn *q_core_txn_new(q_core *c); /* NULL when out of memory; in state NEW */
void q_core_txn_free(q_core *c, q_txn *t);
void q_core_txns_free_all(q_core *c);
/* Room for a plan: an empty arena that is the transaction's until its plan is dropped. False when out of memory. */
bool q_core_plan_room(q_core *c, q_txn *t);
void q_core_plan_drop(q_core *c, q_txn *t);
void q_core_txn_count_bytes(q_core *c, q_txn *t);
q_answer *q_core_answer_new(q_core *c);
void q_core_answer_free(q_core *c, q_answer *a);
q_open_read *q_core_open_read_new(q_core *c);
void q_core_open_read_free(q_core *c, q_open_read *r);
q_txn *q_core_by_seq(const q_core *c, uint64_t seq);
void q_core_seq_remember(q_core *c, q_txn *t); /* seqs come in ascending order */
void q_core_seq_forget(q_core *c, q_txn *t);
uint64_t q_core_seq_below(const q_core *c);    /* every transaction below is over */
void q_core_open_add(q_core *c, q_txn *t);     /* lsns come in ascending order */
void q_core_open_remove(q_core *c, q_txn *t);
void q_core_parked_add(q_core *c, q_txn *t);
void q_core_parked_remove(q_core *c, q_txn *t);

/* admit.c */
void q_core_admit(q_core *c, const q_request *r);
/* PLAN: from text to locks, against the catalog as it is now. */
void q_core_plan_and_lock(q_core *c, q_txn *t);
void q_core_unpark(q_core *c);
/* The plan that was dropped, as it was; `ran`: and as it was after its run. Q_FAIL: out of memory. */
Q_CHECK q_rc q_core_plan_again(q_core *c, q_txn *t, bool ran, q_err *err);
/* It never ran: ends it as REFUSED. */
void q_core_refuse(q_core *c, q_txn *t, const q_err *err);
/* Copies the error, and that it is aborted. */
void q_core_set_error(q_txn *t, const q_err *err);
/* The same, and ends it as ABORT or GIVE_UP. */
void q_core_fail_txn(q_core *c, q_txn *t, const q_err *err);

/* run.c */
void q_core_grants(q_core *c);
bool q_core_give_seq(q_core *c, q_txn *t); /* false: none is reserved */
void q_core_start(q_core *c, q_txn *t);
void q_core_run(q_core *c, q_txn *t);
void q_core_rows_came(q_core *c, q_engine_id engine, const q_rows *rows);
void q_core_resend_reads(q_core *c, q_txn *t);
void q_core_drop_reads(q_core *c, q_txn *t);
void q_core_arm(q_core *c, q_txn *t);
void q_core_timer_due(q_core *c, q_txn *t);

/* vote.c */
void q_core_send_prepares(q_core *c, q_txn *t);
void q_core_vote_came(q_core *c, q_engine_id engine, const q_vote *vote);

/* group.c */
void q_core_persist_commit(q_core *c, q_txn *t);
void q_core_persist_abort(q_core *c, q_txn *t);
void q_core_persist_end(q_core *c, q_txn *t);
void q_core_persist_mark(q_core *c, q_txn *t);
void q_core_persist_resolve(q_core *c, const q_rec_resolve *r);
bool q_core_tail_pending(const q_core *c);
void q_core_group_flush(q_core *c);
void q_core_group_durable(q_core *c, uint64_t group);
/* The first group of a life: epoch, seqs. */
void q_core_group_begin_epoch(q_core *c);
void q_core_group_free_all(q_core *c);
Q_CHECK q_rc q_core_meta_load(q_core *c, q_slice key, q_slice value, q_err *err);
/* The DDL's effect on the catalog; before the decision. Q_FAIL: it can't be. */
Q_CHECK q_rc q_core_prepare_ddl(q_core *c, q_txn *t, q_err *err);

/* settle.c */
/* One more publication whose acknowledgement `a` waits for: its token. */
uint64_t q_core_answer_expect(q_core *c, q_answer *a);
void q_core_tell_account(q_core *c, const q_txn *t);
void q_core_send_reply(q_core *c, q_txn *t);
void q_core_send_early(q_core *c, q_txn *t);
void q_core_send_events(q_core *c, q_txn *t);
void q_core_schema_again(q_core *c, q_txn *t);
void q_core_new_schema(q_core *c, q_txn *t);
void q_core_publication_done(q_core *c, uint64_t token);
/* The txid as results show it: "<epoch>-<seq>", or "<epoch>-n<number>" without a seq. */
enum { Q_TXID_BYTES = 52 };
size_t q_core_txid(const q_core *c, const q_txn *t, char out[Q_TXID_BYTES]);
/* Writes the answer of `t` from its status, error and results into t->reply. Q_FAIL: it doesn't fit. */
Q_CHECK q_rc q_core_make_reply(q_core *c, q_txn *t, q_err *err);

/* engines.c */
void q_core_fence(q_core *c, q_engine_id e);
void q_core_fence_all(q_core *c);
void q_core_state_came(q_core *c, const q_msg *m);
/* Those that have been asked for too long. */
void q_core_silent_engines(q_core *c);
void q_core_asked(q_core *c, const q_msg *m);
void q_core_ack_came(q_core *c, q_engine_id engine, uint64_t seq);
void q_core_send_commits(q_core *c, q_txn *t);
void q_core_send_aborts(q_core *c, q_txn *t);

/* outbox.c */
void q_core_out_push(q_core *c, q_slice bucket, q_engine_id engine, q_out kind, uint64_t number);
void q_core_out_flush(q_core *c);
void q_core_out_free(q_core *c);

/* purge.c */
Q_CHECK q_rc q_core_purge_load(q_core *c, q_slice value, q_err *err);
size_t q_core_purge_epoch(q_core *c, char out[Q_EPOCHS_BYTES]);
void q_core_purge_flush(q_core *c);

/* retention.c */
void q_core_kept_note(q_core *c, uint64_t lsn, size_t bytes);
void q_core_kept_free(q_core *c);
/* Records below it may be trimmed now; `low`: from where on they are needed. */
uint64_t q_core_trim_to(q_core *c, uint64_t low);
void q_core_archived(q_core *c, uint64_t lsn);

/* replay.c */
bool q_core_replay_active(const q_core *c);
bool q_core_replay_owns(const q_core *c, uint64_t locker); /* in the lock tables */
bool q_core_replay_catches_up(const q_core *c, q_engine_id e);
void q_core_replay_granted(q_core *c);
void q_core_replay_came(q_core *c, const q_replay_event *ev);
void q_core_replay_acked(q_core *c, q_engine_id engine, uint64_t seq);
void q_core_replay_timer(q_core *c);
void q_core_replay_trouble(q_core *c, q_engine_id engine, const q_vote *vote);
void q_core_replay_flush(q_core *c);
void q_core_replay_free(q_core *c);

/* resolve.c */
void q_core_resolutions_durable(q_core *c, struct q_resolution *list);
void q_core_resolutions_free(struct q_resolution *list);
void q_core_trouble(q_core *c, q_txn *t, q_engine_id engine, const q_vote *vote);
void q_core_add_troubles(const q_core *c, const q_txn *t, int64_t mono_us, q_buf *out);

/* watch.c */
void q_core_list_one(const q_core *c, const q_txn *t, int64_t mono_us, q_buf *out);
const char *q_core_engine_state(const q_core *c, q_engine_id e);

/* recover.c */
void q_core_recovered_ready(q_core *c);
q_rc q_core_relock(q_core *c, q_txn *t, q_err *err);

#endif
