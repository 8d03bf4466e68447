/* Old copies: of the log, of the request topic. */
#include "tests/sim/scene.h"

static bool is_refused(scene *sc, const void *p)
{
    (void)p;
    return node_refusal(sc->w->node)[0] != '\0';
}

static void log_restored(scene *sc)
{
    world *w = sc->w;
    mem_disk_copy *old = mem_disk_copy_take(w->disk);
    for (int i = 0; i < 5; i++)
        scene_do(sc, txn_2(op_add(T_ACCT, i, -1), op_add(T_ACCT, i + 1, 1)));
    scene_quiet(sc);
    node_set_restart(w->node, 0);
    scene_crash(sc, CRASH_NOW);
    mem_disk_copy_restore(w->disk, old);
    w->h.tolerant = true;
    node_allow_fatal(w->node, true);
    uint64_t writes[Q_EN_COUNT];
    for (int e = 0; e < Q_EN_COUNT; e++)
        writes[e] = w->servers[e]->applied_items;
    if (node_start(w->node, true))
        scene_until(sc, "a log older than the engines refuses to start", is_refused, NULL);
    scene_must(sc, is_refused(sc, NULL) && !node_alive(w->node), "it refuses");
    for (int e = 0; e < Q_EN_COUNT; e++)
        scene_must(sc, writes[e] == w->servers[e]->applied_items, "nothing was written by it");
    SIM_TRACE(&w->s, "scenario", 1, "refused: %s", node_refusal(w->node));
}

static void topic_recreated(scene *sc)
{
    world *w = sc->w;
    for (int i = 0; i < 5; i++)
        scene_do(sc, txn_2(op_add(T_ACCT, i, -1), op_add(T_ACCT, i + 1, 1)));
    scene_quiet(sc);
    node_set_restart(w->node, 0);
    scene_crash(sc, CRASH_NOW);
    for (int32_t p = 0; p < SIM_PARTITIONS; p++)
        w->h.partitions[p].count = 0; /* offsets start again */
    for (int i = 0; i < 40; i++)
        scene_ask(sc, txn_1(op_add(T_ACCT, i % 4, 1)), 0);
    node_start(w->node, true);
    scene_must(sc, is_refused(sc, NULL), "another message at the last complete offset refuses the start");
    SIM_TRACE(&w->s, "scenario", 1, "refused: %s", node_refusal(w->node));
}

const scenario log_scenarios[] = {
    { "log-restored", "the log restored from an old copy: it must not start", log_restored },
    { "topic-recreated", "the request topic recreated: it must not start", topic_recreated },
    { 0 },
};
