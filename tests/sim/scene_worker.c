/* Workers and engines: asleep, replaced, dead, restored. */
#include "tests/sim/faults.h"
#include "tests/sim/scene.h"

static sim_txn both(int id, int64_t k) { return txn_2(op_add(T_ACCT, id, k), op_append(T_ACCT, id, k)); }

static void paused_past_time_limit(scene *sc)
{
    world *w = sc->w;
    participant_pause(w->workers[Q_EN_POSTGRES][0], 3 * 1000 * 1000, true);
    sim_identity *t = scene_do(sc, both(0, 1));
    scene_must(sc, scene_status(t) == ST_ABORTED && scene_code(t, "PARTICIPANT_TIMEOUT"), "the time limit aborts it");
    sim_identity *next = scene_do(sc, both(0, 2)); /* after it wakes */
    while (scene_status(next) == ST_ABORTED && !w->s.failed)
        next = scene_do(sc, both(0, 2));
    scene_must(sc, scene_status(next) == ST_COMMITTED, "the next one commits when the worker is awake");
    scene_end(sc);
}

static void two_workers(scene *sc)
{
    for (int e = 0; e < Q_EN_COUNT; e++)
        participant_start(sc->w, (q_engine_id)e);
    sim_identity *t[24];
    for (int i = 0; i < 24; i++)
        t[i] = scene_ask(sc, both(i % 3, i), i % SIM_PARTITIONS);
    for (int i = 0; i < 24; i++)
        scene_told(sc, t[i]);
    scene_must(sc, participants_of(sc->w, Q_EN_INFLUX) == 2, "there are two of each");
    scene_end(sc);
}

static void put_delete_stale_put(scene *sc)
{
    scene_hold(sc, Q_EN_MONGO, true, Q_M_COMMIT, NET_COPY, 1);
    scene_do(sc, txn_1(op_append(T_ACCT, 0, 7)));
    scene_held(sc, 1);
    scene_quiet(sc);
    scene_pass(sc);
    scene_do(sc, txn_1(op_delete(T_ACCT, 0)));
    scene_quiet(sc);
    scene_must(sc, net_held(sc->w) == 1, "the put's copy is still on its way");
    net_release(sc->w);
    scene_end(sc);
}

/* The tombstone must still be there while mongo takes orders of the old epoch. */
static void stale_put_before_fence(scene *sc)
{
    world *w = sc->w;
    scene_hold(sc, Q_EN_MONGO, true, Q_M_COMMIT, NET_COPY, 1);
    scene_do(sc, txn_1(op_append(T_ACCT, 0, 7)));
    scene_held(sc, 1);
    scene_quiet(sc);
    scene_pass(sc);
    sim_identity *gone = scene_do(sc, txn_1(op_delete(T_ACCT, 0)));
    scene_quiet(sc);
    scene_for(sc, 100000);
    scene_must(sc, gone->decision->ended, "the delete has ended in the old epoch");
    faults_purge_poll(w);
    uint64_t epoch = w->servers[Q_EN_MONGO]->epoch;
    w->net.cut_until[Q_EN_MONGO] = w->s.now_us + 500000;
    scene_crash(sc, CRASH_NOW);
    scene_alive(sc);
    scene_for(sc, 50000);
    for (int i = 0; i < 40; i++)
        faults_purge_poll(w);
    scene_must(sc, w->servers[Q_EN_MONGO]->epoch == epoch && w->servers[Q_EN_POSTGRES]->epoch > epoch && net_held(w) == 1,
               "the new epoch is known everywhere but in mongo, and the old put is on its way");
    w->net.cut_until[Q_EN_MONGO] = 0;
    net_release(w);
    scene_for(sc, 3000000);
    scene_quiet(sc);
    for (int i = 0; i < 40; i++)
        faults_purge_poll(w);
    scene_must(sc, w->servers[Q_EN_MONGO]->purged > 0, "and when mongo knows it, too, the tombstone goes");
    scene_end(sc);
}

static void delete_reinsert_stale_delete(scene *sc)
{
    for (int e = Q_EN_MONGO; e < Q_EN_COUNT; e++) {
        scene_hold(sc, (q_engine_id)e, true, Q_M_COMMIT, NET_COPY, 1);
        scene_do(sc, txn_1(op_delete(T_ACCT, 1)));
        scene_held(sc, 1);
        scene_quiet(sc);
        scene_pass(sc);
        sim_op again = op_insert(T_ACCT, 1, 77);
        again.friend = 3;
        scene_do(sc, txn_1(again));
        scene_quiet(sc);
        scene_must(sc, net_held(sc->w) == 1, "the delete's copy is still on its way");
        net_release(sc->w);
        scene_for(sc, 1000000);
    }
    scene_end(sc);
}

static void zombie_prepare(scene *sc)
{
    world *w = sc->w;
    scene_hold(sc, Q_EN_POSTGRES, true, Q_M_PREPARE, NET_HOLD, 1);
    sim_identity *t = scene_ask(sc, both(0, 1), 0);
    scene_held(sc, 1);
    uint64_t epoch = w->servers[Q_EN_POSTGRES]->epoch;
    scene_crash(sc, CRASH_NOW);
    scene_pass(sc);
    scene_told(sc, t);
    scene_quiet(sc);
    scene_must(sc, w->servers[Q_EN_POSTGRES]->epoch > epoch && net_held(w) == 1, "the list was made before the PREPARE arrives");
    participant_kill(w->workers[Q_EN_POSTGRES][0]); /* its successor has never heard of the old epoch either */
    participant_start(w, Q_EN_POSTGRES);
    net_release(w);
    scene_for(sc, 200000);
    scene_must(sc, w->servers[Q_EN_POSTGRES]->prepared == NULL, "the zombie prepares nothing");
    scene_end(sc);
}

static bool somebody_naps(scene *sc, const void *p)
{
    (void)p;
    return sc->w->servers[Q_EN_POSTGRES]->naps > 0;
}

static void backend_asleep(scene *sc)
{
    world *w = sc->w;
    mem_server *pg = w->servers[Q_EN_POSTGRES];
    pg->sleepy = 10000;
    pg->nap_us = 2000000;
    sim_identity *t = scene_ask(sc, both(0, 1), 0);
    scene_until(sc, "a backend sleeps between its check and its PREPARE", somebody_naps, NULL);
    participant_kill(w->workers[Q_EN_POSTGRES][0]); /* half of the time the backend goes on by itself */
    pg->sleepy = 0;
    scene_crash(sc, CRASH_NOW);
    participant_start(w, Q_EN_POSTGRES);
    scene_told(sc, t);
    scene_for(sc, 5000000);
    scene_end(sc);
}

static void worker_asleep_in_backend(scene *sc)
{
    world *w = sc->w;
    mem_server *pg = w->servers[Q_EN_POSTGRES];
    pg->sleepy = 10000;
    pg->nap_us = 1000000;
    sim_identity *t = scene_ask(sc, both(0, 1), 0);
    scene_until(sc, "a backend sleeps between its check and its PREPARE", somebody_naps, NULL);
    pg->sleepy = 0;
    participant_start(w, Q_EN_POSTGRES); /* a second worker carries the fence out while the first still sleeps */
    participant_pause(w->workers[Q_EN_POSTGRES][0], 10000000, false);
    scene_crash(sc, CRASH_NOW);
    scene_told(sc, t);
    scene_must(sc, pg->ended_backends > 0, "the fence ended the sleeping backend");
    scene_end(sc);
}

static void postgres_restored(scene *sc)
{
    world *w = sc->w;
    mem_server *pg = w->servers[Q_EN_POSTGRES];
    scene_hold(sc, Q_EN_POSTGRES, true, Q_M_COMMIT, NET_HOLD, 1000);
    sim_identity *t = scene_do(sc, both(0, 9));
    scene_held(sc, 1);
    scene_must(sc, scene_status(t) == ST_COMMITTED && pg->prepared, "it is committed, and postgres only has it prepared");
    mem_image *before = mem_image_take(pg);
    scene_hold(sc, Q_EN_POSTGRES, false, Q_M_ACK, NET_DROP, 1000); /* the END must not be written */
    net_release(w);
    scene_held(sc, 1);
    scene_must(sc, !pg->prepared && !t->decision->ended, "COMMIT PREPARED was carried out");
    mem_crash(pg);
    mem_image_restore(pg, before);
    pg->prepared = NULL; /* a restore may lose even that */
    mem_start(pg);
    scene_let_go(sc);
    scene_quiet(sc);
    scene_must(sc, pg->redone > 0, "the redo was applied where the gid was missing");
    scene_end(sc);
}

static void postgres_behind(scene *sc)
{
    world *w = sc->w;
    mem_server *pg = w->servers[Q_EN_POSTGRES];
    mem_image *before = mem_image_take(pg);
    for (int i = 0; i < 6; i++)
        scene_do(sc, both(i, 1));
    scene_quiet(sc);
    scene_for(sc, 200000);
    node_set_restart(w->node, 0);
    scene_crash(sc, CRASH_NOW);
    mem_crash(pg);
    mem_image_restore(pg, before);
    mem_start(pg);
    uint64_t writes = pg->applied_items, decisions = w->h.decisions.count;
    w->h.tolerant = true;
    node_start(w->node, false);
    scene_for(sc, 2000000);
    sim_identity *t = scene_do(sc, both(0, 1));
    q_core_stats st;
    q_core_get_stats(node_core(w->node), 0, &st);
    scene_must(sc, !(st.engines_ready & Q_EN_BIT(Q_EN_POSTGRES)), "an engine below END's mark isn't ready");
    scene_must(sc, scene_status(t) == ST_ABORTED && pg->applied_items == writes, "it serves nothing");
    for (uint32_t i = (uint32_t)decisions; i < w->h.decisions.count; i++)
        scene_must(sc, !((sim_decision *)w->h.decisions.at[i])->committed, "nothing commits on top of what is missing");
}

static void mongo_dies_in_a_batch(scene *sc)
{
    world *w = sc->w;
    mem_server *mongo = w->servers[Q_EN_MONGO];
    mongo->sleepy = 10000;
    mongo->nap_us = 20000;
    sim_txn t = { .count = 4, .ops = { op_append(T_ACCT, 0, 1), op_append(T_ACCT, 1, 1), op_append(T_ACCT, 2, 1), op_append(T_ACCT, 3, 1) } };
    for (int i = 0; i < 6; i++) {
        uint64_t naps = mongo->naps;
        sim_identity *id = scene_do(sc, t);
        while (scene_status(id) == ST_ABORTED && !w->s.failed) /* the first after a restart meets a dead connection */
            id = scene_do(sc, t);
        scene_must(sc, scene_status(id) == ST_COMMITTED, "it commits, whatever mongo does");
        while (mongo->naps == naps && !w->s.failed)
            scene_for(sc, 1000);
        mem_crash(mongo);
        scene_for(sc, 30000);
        mem_start(mongo);
        scene_quiet(sc);
    }
    mongo->sleepy = 0;
    scene_end(sc);
}

static void engine_dead_for_minutes(scene *sc)
{
    world *w = sc->w;
    mem_crash(w->servers[Q_EN_INFLUX]);
    sim_identity *scans[6];
    for (int i = 0; i < 6; i++) {
        sim_txn all = { .count = 1, .bare = true };
        all.ops[0] = (sim_op){ .kind = i % 2 ? OP_SELECT_ALL : OP_SELECT, .type = T_ACCT };
        scans[i] = scene_ask(sc, all, i % SIM_PARTITIONS);
    }
    scene_for(sc, 20000);
    for (int i = 0; i < 40; i++) { /* items have nothing in influx: they go on */
        sim_identity *t = scene_do(sc, txn_1(i % 2 ? op_delete(T_ITEM, i / 2 % SIM_IDS) : op_insert(T_ITEM, i / 2 % SIM_IDS, i)));
        scene_must(sc, scene_status(t) == ST_COMMITTED, "what doesn't need the dead engine goes on");
        scene_for(sc, 5 * 1000 * 1000);
    }
    for (int i = 0; i < 6; i++)
        scene_must(sc, scene_is_told(scans[i]) && scene_status(scans[i]) != ST_COMMITTED, "the scans were answered by their time limit");
    mem_start(w->servers[Q_EN_INFLUX]);
    sim_identity *t = scene_do(sc, txn_1(op_level(0, 5)));
    while (scene_status(t) == ST_ABORTED && !w->s.failed)
        t = scene_do(sc, txn_1(op_level(0, 5)));
    scene_end(sc);
}

static void committed_while_engine_is_dead(scene *sc)
{
    world *w = sc->w;
    scene_hold(sc, Q_EN_NEO4J, true, Q_M_COMMIT, NET_DROP, 1000);
    sim_identity *t = scene_do(sc, txn_2(op_add(T_ACCT, 0, 3), (sim_op){ .kind = OP_FRIEND, .type = T_ACCT, .id = 0, .friend = 5 }));
    scene_must(sc, scene_status(t) == ST_COMMITTED, "committed while neo4j has only voted");
    mem_crash(w->servers[Q_EN_NEO4J]);
    scene_pass(sc);
    scene_for(sc, 180 * 1000 * 1000);
    sim_identity *other = scene_do(sc, txn_1(op_add(T_ACCT, 0, 4))); /* postgres alone: its share of the lock is free */
    scene_must(sc, scene_status(other) == ST_COMMITTED, "a dead engine stops only what needs it");
    scene_must(sc, !t->decision->ended, "and the first has not ended");
    mem_start(w->servers[Q_EN_NEO4J]);
    scene_end(sc);
}

const scenario worker_scenarios[] = {
    { "worker-paused-past-time-limit", "a worker sleeps past the time limit, then wakes (two phases)", paused_past_time_limit },
    { "two-workers", "two workers of each engine on the same partition", two_workers },
    { "put-delete-stale-put", "a put, a delete, the put's duplicate", put_delete_stale_put },
    { "stale-put-before-fence", "a put, a delete, a crash; the put's duplicate comes before the fence", stale_put_before_fence },
    { "delete-reinsert-stale-delete", "a delete, an insert, the delete's duplicate", delete_reinsert_stale_delete },
    { "zombie-prepare", "a PREPARE of the last epoch arrives after recovery's list", zombie_prepare },
    { "backend-outlives-worker", "a backend sleeps between check and PREPARE; worker and coordinator die", backend_asleep },
    { "fence-ends-sleeping-backend", "a second worker fences while the first one's backend sleeps", worker_asleep_in_backend },
    { "postgres-restored", "PostgreSQL restored from before a COMMIT PREPARED", postgres_restored },
    { "postgres-behind", "PostgreSQL restored from before transactions that have ended", postgres_behind },
    { "mongo-dies-in-a-batch", "MongoDB dies with half of a batch written", mongo_dies_in_a_batch },
    { "engine-dead-for-minutes", "an engine dead for minutes with scans queued", engine_dead_for_minutes },
    { "committed-while-engine-is-dead", "a decided transaction waits for a dead engine; others go on", committed_while_engine_is_dead },
    { 0 },
};
