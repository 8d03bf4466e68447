/* Definitions and clocks. */
#include "tests/sim/scene.h"

static void clock_steps_back(scene *sc)
{
    world *w = sc->w;
    sim_identity *before = scene_do(sc, txn_1(op_level(0, 1)));
    w->wall_us -= (int64_t)3600 * 1000000;
    sim_identity *after = scene_do(sc, txn_1(op_level(0, 2)));
    scene_quiet(sc);
    scene_crash(sc, CRASH_NOW);
    w->wall_us -= (int64_t)3600 * 1000000;
    sim_identity *later = scene_do(sc, txn_1(op_level(0, 3)));
    scene_must(sc, before->decision->seq < after->decision->seq && after->decision->seq < later->decision->seq, "seqs go on");
    sim_identity *read = scene_do(sc, txn_1(op_select(T_ACCT, 0)));
    scene_must(sc, scene_status(read) == ST_COMMITTED, "the read is answered");
    scene_end(sc); /* the checkers know that the latest write has the latest value */
}

static void drop_and_recreate_under_load(scene *sc)
{
    uint32_t committed = 0, drops = 0;
    sim_identity *asked[120];
    for (int i = 0; i < 120; i++) {
        sim_txn t = { .count = 1, .bare = true };
        if (i % 12 == 5)
            t.ops[0] = (sim_op){ .kind = OP_DROP, .type = T_TEMP };
        else if (i % 12 == 6)
            t.ops[0] = (sim_op){ .kind = OP_CREATE, .type = T_TEMP };
        else
            t.ops[0] = i % 3 ? op_insert(T_TEMP, i % 8, i) : op_add(T_TEMP, i % 8, 1);
        if (i % 12 == 6) /* the DROP overtakes nothing and waits for what came before it */
            scene_told(sc, asked[i - 1]);
        asked[i] = scene_ask(sc, t, i % SIM_PARTITIONS);
        if (i % 12 == 6)
            scene_told(sc, asked[i]);
        else if (i % 4 == 0)
            scene_for(sc, 300);
        if (i == 60)
            scene_crash(sc, CRASH_NOW);
    }
    for (int i = 0; i < 120; i++) {
        scene_told(sc, asked[i]);
        committed += scene_status(asked[i]) == ST_COMMITTED;
        drops += asked[i]->variants[0].ops[0].kind == OP_DROP && scene_status(asked[i]) == ST_COMMITTED;
    }
    scene_must(sc, committed > 30 && drops > 3, "there was load, and it was dropped under it");
    scene_end(sc);
}

static void late_write_after_drop(scene *sc)
{
    scene_do(sc, txn_1(op_insert(T_TEMP, 1, 1)));
    scene_quiet(sc);
    scene_hold(sc, Q_EN_INFLUX, true, Q_M_COMMIT, NET_COPY, 1);
    scene_do(sc, txn_1((sim_op){ .kind = OP_LEVEL, .type = T_TEMP, .id = 1, .k = 99, .at = SIM_NONE }));
    scene_held(sc, 1);
    scene_quiet(sc);
    scene_pass(sc);
    sim_txn drop = { .count = 1, .bare = true, .ops = { { .kind = OP_DROP, .type = T_TEMP } } }, create = { .count = 1, .bare = true, .ops = { { .kind = OP_CREATE, .type = T_TEMP } } };
    scene_do(sc, drop);
    scene_quiet(sc);
    net_release(sc->w); /* into nothing */
    scene_for(sc, 100000);
    scene_do(sc, create);
    scene_do(sc, txn_1(op_insert(T_TEMP, 1, 2)));
    scene_end(sc);
}

const scenario load_scenarios[] = {
    { "clock-steps-back", "the wall clock steps back an hour, twice; once over a crash", clock_steps_back },
    { "drop-and-recreate-under-load", "a record is dropped and created again under load, with a crash", drop_and_recreate_under_load },
    { "late-write-after-drop", "a duplicate of a write arrives after its record was dropped", late_write_after_drop },
    { 0 },
};
