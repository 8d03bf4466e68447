#include "tests/sim/scene.h"

#include "tests/sim/faults.h"
#include "tests/sim/run.h"
#include "tests/sim/scenarios.h"

enum { LIMIT_US = 600 * 1000 * 1000 };

/* ---- waiting ---- */

void scene_until(scene *sc, const char *what, scene_condition condition, const void *p)
{
    sim *s = &sc->w->s;
    int64_t until = s->now_us + LIMIT_US;
    while (!s->failed && !condition(sc, p)) {
        if (s->now_us > until || !sim_step(s)) {
            sim_violation(s, "scenario", "it never came to this: %s", what);
            return;
        }
    }
}

bool scene_is_told(const sim_identity *id) { return id->answered_us != 0; }

static bool is_told(scene *sc, const void *p)
{
    (void)sc;
    return scene_is_told(p);
}

void scene_told(scene *sc, const sim_identity *id) { scene_until(sc, "an answer", is_told, id); }

static bool is_alive(scene *sc, const void *p)
{
    (void)p;
    return node_alive(sc->w->node);
}

void scene_alive(scene *sc) { scene_until(sc, "the coordinator serves again", is_alive, NULL); }

static bool is_dead(scene *sc, const void *p)
{
    const uint64_t *life = p;
    return !node_alive(sc->w->node) || node_life(sc->w->node) != *life;
}

static bool is_quiet(scene *sc, const void *p)
{
    (void)p;
    return node_quiet(sc->w->node);
}

void scene_quiet(scene *sc) { scene_until(sc, "nothing is open any more", is_quiet, NULL); }

static bool is_past(scene *sc, const void *p) { return sc->w->s.now_us >= *(const int64_t *)p; }

void scene_for(scene *sc, int64_t us)
{
    int64_t until = sc->w->s.now_us + us;
    scene_until(sc, "time passes", is_past, &until);
}

void scene_must(scene *sc, bool holds, const char *what)
{
    if (!holds)
        sim_violation(&sc->w->s, "scenario", "%s", what);
}

/* ---- asking ---- */

sim_txn txn_1(sim_op op)
{
    sim_txn t = { .count = 1, .ops = { op } };
    return t;
}

sim_txn txn_2(sim_op a, sim_op b)
{
    sim_txn t = { .count = 2, .ops = { a, b } };
    return t;
}

sim_op op_add(sim_type type, int id, int64_t k) { return (sim_op){ .kind = OP_ADD, .type = type, .id = id, .k = k }; }
sim_op op_set(sim_type type, int id, int64_t k) { return (sim_op){ .kind = OP_SET, .type = type, .id = id, .k = k }; }
sim_op op_append(sim_type type, int id, int64_t k) { return (sim_op){ .kind = OP_APPEND, .type = type, .id = id, .k = k }; }
sim_op op_delete(sim_type type, int id) { return (sim_op){ .kind = OP_DELETE, .type = type, .id = id }; }
sim_op op_level(int id, int64_t k) { return (sim_op){ .kind = OP_LEVEL, .type = T_ACCT, .id = id, .k = k, .at = SIM_NONE }; }
sim_op op_select(sim_type type, int id) { return (sim_op){ .kind = OP_SELECT, .type = type, .id = id }; }

sim_op op_insert(sim_type type, int id, int64_t num)
{
    return (sim_op){ .kind = OP_INSERT, .type = type, .id = id, .num = num, .v = sim_types[type].doc ? 1 : SIM_NONE, .tag = SIM_NONE, .friend = SIM_NONE,
                     .level = sim_types[type].level ? num : INT64_MIN, .at = SIM_NONE };
}

sim_identity *scene_ask(scene *sc, sim_txn t, int32_t partition) { return clients_ask(sc->w->clients, &t, partition); }

sim_identity *scene_do(scene *sc, sim_txn t)
{
    sim_identity *id = scene_ask(sc, t, 0);
    scene_told(sc, id);
    return id;
}

sim_status scene_status(const sim_identity *id) { return id->replies ? id->replies->status : ST_NONE; }
bool scene_code(const sim_identity *id, const char *code) { return id->replies && q_slice_eq(id->replies->code, q_slice_cstr(code)); }

/* ---- messages ---- */

static net_fate filter(void *ctx, q_engine_id engine, bool to_worker, const q_msg *m)
{
    scene *sc = ctx;
    if (engine != sc->hold_engine || to_worker != sc->hold_to_worker || m->kind != sc->hold_kind || sc->seen >= sc->hold_most)
        return NET_PASS;
    sc->seen++;
    return sc->hold_fate;
}

void scene_hold(scene *sc, q_engine_id engine, bool to_worker, q_msg_kind kind, net_fate fate, uint32_t most)
{
    sc->hold_engine = engine;
    sc->hold_to_worker = to_worker;
    sc->hold_kind = kind;
    sc->hold_fate = fate;
    sc->hold_most = most;
    sc->seen = 0;
    sc->w->net.filter = filter;
    sc->w->net.filter_ctx = sc;
}

static bool were_seen(scene *sc, const void *p) { return sc->seen >= *(const uint32_t *)p; }
void scene_held(scene *sc, uint32_t n) { scene_until(sc, "the message that is to be held back", were_seen, &n); }

void scene_pass(scene *sc) { sc->w->net.filter = NULL; }

void scene_let_go(scene *sc)
{
    scene_pass(sc);
    net_release(sc->w);
}

/* ---- crashes ---- */

void scene_crash(scene *sc, node_crash_kind how)
{
    uint64_t life = node_life(sc->w->node);
    node_crash(sc->w->node, how);
    scene_until(sc, "the crash", is_dead, &life);
}

/* ---- from the set-up to the verdict ---- */

void scene_end(scene *sc)
{
    world *w = sc->w;
    faults_heal(w);
    scene_let_go(sc);
    scene_quiet(sc);
    scene_for(sc, 3 * 1000 * 1000);
    for (int b = 0; b < SIM_BUCKETS; b++)
        for (int t = 0; t < SIM_TYPES; t++) {
            sim_txn all = { .bucket = b, .count = 1, .bare = true };
            all.ops[0] = (sim_op){ .kind = OP_SELECT_ALL, .type = (sim_type)t };
            clients_ask(w->clients, &all, 0);
        }
    scene_quiet(sc);
    if (!w->s.failed)
        check_all(w);
}

static scene the_scene;
static world the_world;

static void set_up_done(world *w)
{
    (void)w;
    the_scene.ready = true;
}

static bool is_ready(scene *sc, const void *p)
{
    (void)p;
    return sc->ready;
}

static bool run_one(const scenario *sn, FILE *trace, uint32_t sabotage, uint32_t own_sabotage)
{
    sim_options options;
    sim_options_default(&options);
    options.seed = 4711;
    options.trace = trace;
    options.sabotage = sabotage;
    options.own_sabotage = own_sabotage;
    the_scene = (scene){ .w = &the_world };
    world_init(&the_world, &options);
    clients_set_up(the_world.clients, set_up_done);
    scene_until(&the_scene, "the set-up", is_ready, NULL);
    scene_quiet(&the_scene);
    if (!the_world.s.failed)
        sn->run(&the_scene);
    bool held = !the_world.s.failed;
    printf("%-34s %s%s%s%s\n", sn->name, held ? "holds" : "VIOLATED by ", held ? "" : the_world.s.checker, held ? "" : ": ", held ? "" : the_world.s.why);
    fflush(stdout);
    world_fini(&the_world);
    return held;
}

static const scenario *const all_scenarios[] = { crash_scenarios, worker_scenarios, log_scenarios, load_scenarios, request_scenarios, replay_scenarios };
#define EACH_SCENARIO(sn) \
    for (size_t g_ = 0; g_ < sizeof all_scenarios / sizeof *all_scenarios; g_++) \
        for (const scenario *sn = all_scenarios[g_]; sn->name; sn++)

int scenarios_list(void)
{
    EACH_SCENARIO(sn)
    printf("%-34s %s\n", sn->name, sn->what);
    return 0;
}

int scenarios_run(const char *name, FILE *trace, uint32_t sabotage, uint32_t own_sabotage)
{
    unsigned run = 0, failed = 0;
    EACH_SCENARIO(sn)
    if (strcmp(name, "all") == 0 || strcmp(name, sn->name) == 0) {
        run++;
        failed += !run_one(sn, trace, sabotage, own_sabotage);
    }
    sim_fiber_free_stacks();
    if (!run) {
        fprintf(stderr, "no scenario has the name %s; --list shows them\n", name);
        return 2;
    }
    printf("%u scenarios, %u violated\n", run, failed);
    return failed != 0;
}
