#include "tests/sim/run.h"

#include "tests/sim/check.h"
#include "tests/sim/clients.h"
#include "tests/sim/faults.h"
#include "tests/sim/node.h"

enum {
    POLL_US = 10 * 1000,
    LOAD_LIMIT_US = 120 * 1000 * 1000, /* then it heals, whether or not all was asked */
    END_LIMIT_US = 300 * 1000 * 1000,  /* all that is open must have ended so long after the healing */
    REST_US = 500 * 1000,              /* after the latest message can have come: several sweeps */
    MAX_STEPS = 3000000,               /* more is a livelock */
};

typedef enum phase { SETTING_UP, LOADED, HEALING, RESTING, READING, LAST_LIFE, OVER } phase;

typedef struct seed_run { world *w; phase phase; int64_t since_us, healed_us; } seed_run;

static void go(seed_run *r, phase to)
{
    r->phase = to;
    r->since_us = r->w->s.now_us;
}

static void set_up_done(world *w)
{
    faults_start(w);
    clients_start(w->clients, w->options.client_count, w->options.requests);
    w->faults = true;
}

/* Everything is read once more, through the front door. */
static void read_all(world *w)
{
    for (int b = 0; b < SIM_BUCKETS; b++)
        for (int t = 0; t < SIM_TYPES; t++) {
            sim_txn all = { .bucket = b, .count = 1, .bare = true };
            all.ops[0] = (sim_op){ .kind = OP_SELECT_ALL, .type = (sim_type)t };
            clients_ask(w->clients, &all, (int32_t)((b + t) % SIM_PARTITIONS));
        }
}

static void advance(seed_run *r)
{
    world *w = r->w;
    int64_t now = w->s.now_us;
    switch (r->phase) {
    case SETTING_UP:
        if (w->faults)
            go(r, LOADED);
        break;
    case LOADED:
        if ((clients_done(w->clients) && faults_over(w)) || now - r->since_us > LOAD_LIMIT_US) {
            faults_heal(w);
            r->healed_us = now;
            go(r, HEALING);
        }
        break;
    case HEALING:
        if (clients_done(w->clients) && node_quiet(w->node))
            go(r, RESTING);
        break;
    case RESTING:
        if (now - r->since_us < REST_US + w->net.late_us + 20 * w->servers[Q_EN_POSTGRES]->nap_us) /* the longest sleep of a backend is long */
            break;
        if (!node_quiet(w->node)) {
            go(r, HEALING);
            break;
        }
        read_all(w);
        go(r, READING);
        break;
    case READING:
        if (!node_quiet(w->node))
            break;
        if (!sim_chance(&w->s.rng, 1, 4)) {
            go(r, OVER);
            break;
        }
        node_crash(w->node, CRASH_NOW); /* what the log holds must be enough to know it all again */
        go(r, LAST_LIFE);
        break;
    case LAST_LIFE:
        if (node_quiet(w->node) && now - r->since_us > REST_US)
            go(r, OVER);
        break;
    case OVER: break;
    }
    if (r->healed_us && r->phase != OVER && now - r->healed_us > END_LIMIT_US)
        sim_violation(&w->s, "ends", "something is still open %d s after the last fault (phase %d)", (int)(END_LIMIT_US / 1000000), (int)r->phase);
}

static void poll(void *p, uint64_t a, void *q)
{
    seed_run *r = p;
    (void)a;
    (void)q;
    advance(r);
    if (r->phase != OVER)
        sim_after(&r->w->s, POLL_US, poll, r, 0, NULL);
}

static void explain_open(world *w)
{
    static _Thread_local q_buf text = Q_BUF_INIT(4096);
    if (!node_alive(w->node))
        return;
    q_buf_clear(&text);
    q_core_list_txns(node_core(w->node), 0, false, &text);
    size_t used = strlen(w->s.why);
    snprintf(w->s.why + used, sizeof w->s.why - used, "; open: %.*s", (int)text.len, text.ptr ? text.ptr : "");
}

void run_seed(const sim_options *options, sim_verdict *out)
{
    static world w;
    seed_run r = { .w = &w };
    world_init(&w, options);
    clients_set_up(w.clients, set_up_done);
    poll(&r, 0, NULL);
    while (r.phase != OVER && sim_step(&w.s))
        if (w.s.stats.steps > MAX_STEPS)
            sim_violation(&w.s, "ends", "more than %d steps", MAX_STEPS);
    if (w.s.failed && strcmp(w.s.checker, "ends") == 0)
        explain_open(&w);
    node_take_stats(w.node);
    if (!w.s.failed && r.phase == OVER)
        check_all(&w);
    *out = (sim_verdict){ .seed = options->seed, .digest = w.s.digest, .failed = w.s.failed, .stats = w.s.stats };
    memcpy(out->checker, w.s.checker, sizeof out->checker);
    memcpy(out->why, w.s.why, sizeof out->why);
    world_fini(&w);
}

void sim_options_default(sim_options *o) { *o = (sim_options){ .requests = 355, .client_count = 10 }; }
