/* memengine.h - four simulated database servers behind q_engine_ops, each with its own way of failing.
 *
 * - PostgreSQL: durable prepare, row locks that a prepared transaction keeps over a crash, lock timeout; a backend may fall asleep between
 *   its epoch check and its PREPARE (a PREPARE can't hold the epoch row), and may outlive its client; the fence ends such backends.
 * - MongoDB: no prepare; a batch is applied item by item, each with the epoch check in it; journaled at the end.
 * - Neo4j: no prepare; a batch is one transaction with the epoch check in it.
 * - Influx: no prepare; points have no order among each other; one writer at a time under a lease, which a takeover revokes before it
 *   waits out the writes under way.
 * Calls let simulated time pass (sim_sleep) and are interrupted by crashes; outside of a task they run through. */
#ifndef Q_SIM_MEMENGINE_H
#define Q_SIM_MEMENGINE_H

#include "tests/sim/memstore.h"
#include "tests/sim/sim.h"

extern const q_engine_ops mem_postgres, mem_mongo, mem_neo4j, mem_influx;
const q_engine_ops *mem_ops(q_engine_id id);

typedef struct mem_session mem_session;

typedef struct mem_lock { const mem_table *table; q_slice key; } mem_lock;

typedef struct mem_prepared {  /* PostgreSQL: a transaction that holds row locks: being prepared, or prepared */
    struct mem_prepared *next;
    uint64_t epoch, seq;
    bool prepared;
    mem_session *session;      /* while not prepared: whose backend it is */
    int64_t time_us;
    q_writes writes;
    const q_slice *keys;       /* of items */
    uint32_t lock_count;
    const mem_lock *locks;
} mem_prepared;

/* Sentences that only a server or its operator could leave out: the simulator's own mutants, beside those of base/sabotage.h. */
#define MEM_SABOTAGES(X) \
    X(BACKENDS_NOT_ENDED, "postgres",  "B8: fenced backends are ended before the prepared transactions are listed") \
    X(EPOCH_AT_RECEIPT,   "mongo",     "B8: the epoch is checked atomically with each write") \
    X(PURGE_WHEN_ENDED,   "operator",  "B5: a tombstone goes only in an epoch that began after its transactions had ended") \
    X(PURGE_BEFORE_FENCED, "operator", "B5: and only once every engine knows that epoch")
enum {
#define X(name, who, sentence) MEM_SABOTAGE_BIT_##name,
    MEM_SABOTAGES(X)
#undef X
};
enum {
#define X(name, who, sentence) MEM_SAB_##name = 1 << MEM_SABOTAGE_BIT_##name,
    MEM_SABOTAGES(X)
#undef X
};

typedef enum mem_deed { MEM_WRITES, MEM_PREPARES, MEM_PREPARES_STALE /* something of this seq or a higher one is stored already */ } mem_deed;

typedef struct mem_server {
    sim *s;
    q_engine_id id;
    bool up;
    uint64_t life;             /* +1 with each crash: calls under way notice */
    uint64_t cluster, epoch, applied_high, applied_below;
    uint64_t synced_high, synced_below;
    mem_store store;
    mem_prepared *prepared;
    mem_session *sessions;
    const char *lease;         /* influx: name of the worker that may write */
    uint32_t writes_under_way; /* influx */
    /* what may go wrong, in 1/10000 */
    uint32_t sleepy;           /* a backend falls asleep between check and write */
    uint32_t refusals;         /* a vote of NO for a reason that may pass */
    int64_t nap_us;            /* how long such a sleep is, typically */
    int64_t latency_us;        /* one way */
    /* checkers */
    void (*wrote)(void *ctx, struct mem_server *server, uint64_t seq, uint64_t epoch, mem_deed deed);
    void *wrote_ctx;
    uint32_t own_sabotage;     /* mask of MEM_SAB_… */
    uint64_t applied_items, naps, lock_timeouts, redone, ended_backends, purged;
} mem_server;

mem_server *mem_server_new(sim *s, q_engine_id id, uint32_t sabotage);
/* Whom q_engine_ops.open reaches from now on; one per q_engine_id. */
void mem_connect(mem_server *const servers[Q_EN_COUNT]);
/* kill -9: calls under way end in doubt, what isn't synced is gone. */
void mem_crash(mem_server *e);
void mem_start(mem_server *e);
/* PostgreSQL forgets a prepared transaction (a restore, a failover, somebody's hand); false when there is none. */
bool mem_lose_prepared(mem_server *e);
/* Tombstones up to this seq go, at once and durably. */
void mem_purge_now(mem_server *e, uint64_t upto);

/* memread.c: one read of what is there now. Pages are cut at random, so that readers must go on. */
q_rc mem_read_rows(mem_server *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err);

/* Of everything but sessions. */
typedef struct mem_image mem_image;
mem_image *mem_image_take(mem_server *e);
void mem_image_restore(mem_server *e, const mem_image *image); /* while it is down */
/* Its data directory is gone: no part, no tombstone, no epoch, no cluster. While it is down. */
void mem_wipe(mem_server *e);

#endif
