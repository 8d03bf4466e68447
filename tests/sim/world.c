#include "tests/sim/world.h"

#include "tests/sim/clients.h"
#include "tests/sim/node.h"
#include "tests/sim/participant.h"

#include <stdlib.h>

/* P1, P2: nothing is written but what is durably committed, and nobody writes under an epoch that the engine knows to be over. */
static void wrote(void *ctx, mem_server *e, uint64_t seq, uint64_t epoch, mem_deed deed)
{
    world *w = ctx;
    bool prepare = deed != MEM_WRITES;
    SIM_TRACE(&w->s, "engine", seq * 4 + e->id, "%s %s seq %llu of epoch %llu", q_engine_name(e->id), prepare ? "prepares" : "writes", (unsigned long long)seq,
              (unsigned long long)epoch);
    if (epoch < e->epoch)
        sim_violation(&w->s, "epoch", "%s knows epoch %llu and still %s seq %llu of epoch %llu", q_engine_name(e->id), (unsigned long long)e->epoch,
                      prepare ? "prepares" : "writes", (unsigned long long)seq, (unsigned long long)epoch);
    if (deed == MEM_PREPARES_STALE)
        sim_violation(&w->s, "stale", "%s prepares seq %llu, though a stored part has that seq or a higher one", q_engine_name(e->id), (unsigned long long)seq);
    const sim_decision *d = prepare ? NULL : history_decision(&w->h, seq);
    if (!prepare && (!d || !d->committed))
        sim_violation(&w->s, "undecided", "%s writes seq %llu, which %s", q_engine_name(e->id), (unsigned long long)seq, d ? "is aborted" : "isn't durably decided");
}

void world_init(world *w, const sim_options *options)
{
    *w = (world){ .options = *options };
    sim_init(&w->s, options->seed, options->trace);
    w->s.step_limit = options->steps;
    history_init(&w->h, &w->s);
    sim_mix_random(&w->s.rng, &w->mix);
    w->wall_us = 1790000000000000 + sim_between(&w->s.rng, 0, 1000000000);
    w->max_in_flight = 64;
    w->seq_block = 4096;
    w->net = (sim_net){ .latency_us = 200, .late_us = 50000 };
    char identity[24];
    for (size_t i = 0; i < sizeof identity; i++)
        identity[i] = (char)sim_below(&w->s.rng, 256);
    w->disk = mem_disk_new(w->s.arena, identity, history_durable, &w->h);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        w->servers[e] = mem_server_new(&w->s, (q_engine_id)e, options->sabotage);
        w->servers[e]->own_sabotage = options->own_sabotage;
        w->servers[e]->wrote = wrote;
        w->servers[e]->wrote_ctx = w;
    }
    mem_connect(w->servers);
    w->node = node_new(w);
    w->clients = clients_new(w);
    node_start(w->node, false);
    for (int e = 0; e < Q_EN_COUNT; e++)
        participant_start(w, (q_engine_id)e);
}

void world_fini(world *w)
{
    for (uint32_t i = 0; i < w->all_workers.count; i++)
        participant_free(w->all_workers.at[i]);
    node_free(w->node);
    sim_fini(&w->s);
}
