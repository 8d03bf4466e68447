/* world.h - everything of one seed: a coordinator's lives, the workers and their engines, the network between, clients and faults. */
#ifndef Q_SIM_WORLD_H
#define Q_SIM_WORLD_H

#include "coordinator/core.h"
#include "tests/sim/history.h"
#include "tests/sim/memengine.h"
#include "tests/sim/memlog.h"

typedef struct node node;
typedef struct participant participant;
typedef struct clients clients;

enum { SIM_MAX_WORKERS = 3 }; /* of one engine at a time */

/* Scenarios: what becomes of each message as it is sent; `m` is decoded and lives until the end. */
typedef enum net_fate { NET_PASS = 0, NET_DROP, NET_HOLD, NET_COPY /* passes, and a copy is held */ } net_fate;
typedef net_fate (*net_filter)(void *ctx, q_engine_id engine, bool to_worker, const q_msg *m);

typedef struct sim_net {
    uint32_t drop, twice, late;      /* of 10000 messages */
    int64_t latency_us, late_us;
    int64_t cut_until[Q_EN_COUNT];   /* no message between coordinator and this engine's workers gets through until then */
    net_filter filter;
    void *filter_ctx;
    sim_list held;
} sim_net;

typedef struct sim_options {
    uint64_t seed;
    uint32_t requests;               /* how many the clients make */
    uint32_t client_count;
    uint32_t sabotage, own_sabotage; /* base/sabotage.h, memengine.h */
    uint64_t steps;                  /* 0: no limit */
    FILE *trace;
    bool losses;                     /* in every fourth seed engines lose their data or come back from a backup (docs/protocol.md, B8) */
} sim_options;

typedef struct world {
    sim s;
    sim_options options;
    history h;
    sim_mix mix;
    sim_net net;
    mem_disk *disk;
    mem_server *servers[Q_EN_COUNT];
    participant *workers[Q_EN_COUNT][SIM_MAX_WORKERS]; /* alive ones, from 0 */
    sim_list all_workers;            /* of participant; also dead ones, to be freed at the end */
    node *node;
    clients *clients;
    uint64_t cluster;
    int64_t wall_us;                 /* wall clock minus simulated time: steps back now and then */
    uint32_t max_in_flight, seq_block; /* of the core: small in some seeds */
    bool forgetful;                  /* request ids are remembered only as long as the topic may bring them back; clients don't repeat */
    bool healed;
    bool faults;                     /* the random ones */
    uint64_t worker_names;
    struct fault_plan *plan;
    uint64_t purge_life, purge_below; /* tombstones below may go in this life, once all engines know its epoch */
    uint32_t purge_done;             /* mask of engines */
} world;

void world_init(world *w, const sim_options *options);
void world_fini(world *w);

/* ---- net.c ---- */
void net_to_workers(world *w, q_engine_id engine, q_slice bytes);
void net_to_coordinator(world *w, q_engine_id from, q_slice bytes);
/* What the filter holds back: how many, and on their way at last. */
uint32_t net_held(const world *w);
void net_release(world *w);

#endif
