/* scene.h - the steps of which a fixed scenario is made: a set-up world without random faults, questions, conditions to wait for, an end. */
#ifndef Q_SIM_SCENE_H
#define Q_SIM_SCENE_H

#include "tests/sim/check.h"
#include "tests/sim/clients.h"
#include "tests/sim/node.h"
#include "tests/sim/participant.h"

typedef struct scene {
    world *w;
    bool ready;
    /* for the filter below */
    q_msg_kind hold_kind;
    q_engine_id hold_engine;
    bool hold_to_worker;
    net_fate hold_fate;
    uint32_t hold_most, seen;   /* at most so many are held; how many there were */
    uint32_t sabotage_of_filter;
} scene;

typedef struct scenario {
    const char *name, *what;
    void (*run)(scene *sc);
} scenario;

/* ---- waiting: a violation "scenario" when it doesn't come ---- */
typedef bool (*scene_condition)(scene *sc, const void *p);
void scene_until(scene *sc, const char *what, scene_condition condition, const void *p);
void scene_told(scene *sc, const sim_identity *id);          /* until it has an answer */
void scene_alive(scene *sc);                                 /* until the coordinator serves again */
void scene_quiet(scene *sc);                                 /* until nothing is open */
void scene_for(scene *sc, int64_t us);                       /* so long */
/* Says that the situation, or what must follow from it, isn't there. */
void scene_must(scene *sc, bool holds, const char *what);

/* ---- asking ---- */
sim_txn txn_1(sim_op op);
sim_txn txn_2(sim_op a, sim_op b);
sim_op op_add(sim_type type, int id, int64_t k);
sim_op op_set(sim_type type, int id, int64_t k);
sim_op op_append(sim_type type, int id, int64_t k);
sim_op op_insert(sim_type type, int id, int64_t num);
sim_op op_delete(sim_type type, int id);
sim_op op_level(int id, int64_t k);
sim_op op_select(sim_type type, int id);
sim_identity *scene_ask(scene *sc, sim_txn t, int32_t partition);
/* Asks and waits for the answer. */
sim_identity *scene_do(scene *sc, sim_txn t);
sim_status scene_status(const sim_identity *id);
bool scene_code(const sim_identity *id, const char *code);
bool scene_is_told(const sim_identity *id);

/* ---- messages: those of one kind to or from one engine ---- */
void scene_hold(scene *sc, q_engine_id engine, bool to_worker, q_msg_kind kind, net_fate fate, uint32_t most);
void scene_held(scene *sc, uint32_t n);                      /* until so many were seen */
void scene_let_go(scene *sc);                                /* nothing is held from now on; what was is sent */
void scene_pass(scene *sc);                                  /* nothing is held from now on; what was stays */

/* ---- crashes ---- */
void scene_crash(scene *sc, node_crash_kind how);            /* and until it is dead */

/* Heals, waits until all has ended, reads everything, runs every checker. */
void scene_end(scene *sc);

extern const scenario crash_scenarios[], worker_scenarios[], log_scenarios[], load_scenarios[], request_scenarios[], replay_scenarios[]; /* each ends with a NULL name */

#endif
