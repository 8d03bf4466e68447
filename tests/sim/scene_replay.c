/* Engines lost or restored, and brought up to date from the log. */
#include "tests/sim/scene.h"

#include <stdlib.h>

static bool is_ready(const world *w, q_engine_id e)
{
    q_core_stats st;
    if (!node_alive(w->node))
        return false;
    q_core_get_stats(node_core(w->node), 0, &st);
    return st.engines_ready >> e & 1;
}

static bool engine_serves(scene *sc, const void *p) { return is_ready(sc->w, *(const q_engine_id *)p); }

static bool needs_replay(scene *sc, const void *p)
{
    q_core_stats st;
    if (!node_alive(sc->w->node))
        return false;
    q_core_get_stats(node_core(sc->w->node), 0, &st);
    return strcmp(st.engine_state[*(const q_engine_id *)p], "needs replay") == 0;
}

/* Everything that an account has, in all engines, of all accounts; some are deleted, some of them come again. */
static void load(scene *sc)
{
    for (int i = 0; i < 6; i++) {
        scene_do(sc, txn_2(op_add(T_ACCT, i, -1), op_add(T_ACCT, i + 1, 1)));
        scene_do(sc, txn_1(op_append(T_ACCT, i, i)));
        scene_do(sc, txn_1((sim_op){ .kind = OP_FRIEND, .type = T_ACCT, .id = i, .friend = i + 1 }));
        scene_do(sc, txn_1(op_level(i, 10 + i)));
    }
    scene_do(sc, txn_1(op_delete(T_ACCT, 2)));
    scene_do(sc, txn_1(op_delete(T_ACCT, 3)));
    scene_do(sc, txn_1(op_insert(T_ACCT, 3, 30)));
    for (int i = 0; i < 6; i++)
        scene_do(sc, txn_1(op_append(T_ACCT, i % 2, 100 + i)));
    scene_quiet(sc);
}

/* The coordinator and the engine are down together; the engine comes back without its data, or with an old copy. */
static void lose(scene *sc, q_engine_id e, const mem_image *image)
{
    world *w = sc->w;
    scene_for(sc, 200000); /* END's marks are durable */
    node_set_restart(w->node, 0);
    scene_crash(sc, CRASH_NOW);
    mem_crash(w->servers[e]);
    if (image)
        mem_image_restore(w->servers[e], image);
    else
        mem_wipe(w->servers[e]);
    mem_start(w->servers[e]);
    node_set_restart(w->node, 10000);
    node_start(w->node, false);
    scene_until(sc, "the engine is found to need a replay", needs_replay, &e);
}

static void replay(scene *sc, q_engine_id e)
{
    q_err err = Q_ERR_INIT;
    scene_must(sc, node_replay(sc->w->node, e, &err) != 0, err.message[0] ? err.message : "the replay is begun");
}

static void lost_and_replayed(scene *sc)
{
    load(sc);
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++) {
        lose(sc, e, NULL);
        sim_identity *other = scene_ask(sc, txn_1(op_add(T_ACCT, 5, 1)), 0); /* waits, if it needs the engine */
        replay(sc, e);
        scene_until(sc, "it serves again", engine_serves, &e);
        scene_told(sc, other);
    }
    load(sc);
    scene_end(sc);
}

static void restored_and_replayed(scene *sc)
{
    world *w = sc->w;
    load(sc);
    scene_for(sc, 200000);
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++) {
        mem_image *before = mem_image_take(w->servers[e]);
        load(sc);
        lose(sc, e, before);
        replay(sc, e);
        scene_until(sc, "it serves again", engine_serves, &e);
    }
    load(sc);
    scene_end(sc);
}

/* The coordinator dies again and again while it replays: each life begins anew, and none takes the engine for caught up too early. */
static void replay_interrupted(scene *sc)
{
    load(sc);
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++) {
        lose(sc, e, NULL);
        for (int i = 0; i < 8 && !is_ready(sc->w, e) && !sc->w->s.failed; i++) {
            replay(sc, e);
            scene_for(sc, 150 * (i + 1));
            scene_crash(sc, CRASH_NOW);
            scene_alive(sc);
            scene_for(sc, 20000);
        }
        if (!is_ready(sc->w, e)) {
            scene_until(sc, "the engine still needs a replay", needs_replay, &e);
            replay(sc, e);
        }
        scene_until(sc, "it serves again", engine_serves, &e);
    }
    scene_end(sc);
}

/* Of an engine that serves: under type locks, with transactions all the time; it changes nothing. */
static void replay_under_load(scene *sc)
{
    world *w = sc->w;
    load(sc);
    sim_identity *t[60];
    for (int i = 0; i < 60; i++) {
        t[i] = scene_ask(sc, txn_2(op_add(T_ACCT, i % 5, 1), op_append(T_ACCT, (i + 1) % 4 < 2 ? 0 : 1, i)), i % SIM_PARTITIONS);
        q_err ignored = Q_ERR_INIT;
        if (i % 7 == 3)
            node_replay(w->node, (q_engine_id)(i / 7 % Q_EN_COUNT), &ignored);
        scene_for(sc, 700);
    }
    for (int i = 0; i < 60; i++)
        scene_told(sc, t[i]);
    scene_end(sc);
}

/* The coordinator runs on; a worker notices when its sessions break. */
static void lost_while_serving(scene *sc)
{
    world *w = sc->w;
    load(sc);
    node_allow_fatal(w->node, true);
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++) {
        uint64_t life = node_life(w->node);
        scene_for(sc, 200000);
        mem_crash(w->servers[e]);
        mem_wipe(w->servers[e]);
        mem_start(w->servers[e]);
        sim_identity *t[8];
        for (int i = 0; i < 8; i++) {
            sim_txn all = txn_2(op_append(T_ACCT, i % 2, i), op_level(i % 2, i));
            all.ops[all.count++] = (sim_op){ .kind = OP_FRIEND, .type = T_ACCT, .id = i % 2, .friend = 5 };
            t[i] = scene_ask(sc, all, i % SIM_PARTITIONS);
        }
        scene_until(sc, "a new life finds that the engine needs a replay", needs_replay, &e);
        scene_must(sc, node_life(w->node) > life, "the coordinator has begun a new epoch");
        replay(sc, e);
        scene_until(sc, "it serves again", engine_serves, &e);
        for (int i = 0; i < 8; i++)
            scene_told(sc, t[i]);
    }
    node_allow_fatal(w->node, false);
    load(sc);
    scene_end(sc);
}

const scenario replay_scenarios[] = {
    { "engine-lost-and-replayed", "an engine's data directory is gone; the log rebuilds it", lost_and_replayed },
    { "engine-lost-while-serving", "an engine is emptied under a running coordinator", lost_while_serving },
    { "engine-restored-and-replayed", "an engine restored from an old backup; the log catches it up", restored_and_replayed },
    { "replay-interrupted", "the coordinator dies in the midst of replays", replay_interrupted },
    { "replay-under-load", "engines that serve are replayed under type locks, with transactions beside", replay_under_load },
    { 0 },
};
