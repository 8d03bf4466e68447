#include "tests/sim/clients.h"

#include "tests/sim/node.h"

#include <stdlib.h>

typedef struct client { clients *all; sim_identity *waits_for; uint32_t resends; } client;

struct clients {
    world *w;
    uint32_t wanted, asked, answered;
    void (*set_up_then)(world *w);
    uint32_t set_up_next;
};

enum { RESEND_US = 400 * 1000, MAX_RESENDS = 6, SET_UP_TYPES = SIM_BUCKETS * SIM_TYPES, SET_UP_ALL = SIM_BUCKETS + SET_UP_TYPES + 2 * SIM_BUCKETS };

static void next_request(void *p, uint64_t a, void *q);

static void produce(clients *c, sim_identity *id, uint32_t variant, bool own_id)
{
    sim *s = &c->w->s;
    int32_t partition = (int32_t)sim_below(&s->rng, SIM_PARTITIONS);
    history_produce(&c->w->h, id, variant, partition, own_id);
    node_requests(c->w->node, partition);
}

/* ---- again ---- */

static void resend(void *p, uint64_t number, void *q)
{
    client *k = p;
    sim_identity *id = q;
    (void)number;
    if (k->waits_for != id || id->answered_us || k->resends >= MAX_RESENDS || id->request_id.ptr[0] != 'r')
        return;
    k->resends++;
    k->all->w->s.stats.duplicates++;
    produce(k->all, id, 0, true);
    sim_after(&k->all->w->s, sim_delay_us(&k->all->w->s.rng, RESEND_US), resend, k, 0, id);
}

/* A duplicate for no reason: while it is in flight or long after it was answered; perhaps with another body. */
static void repeat(void *p, uint64_t other_body, void *q)
{
    clients *c = p;
    sim_identity *id = q;
    if (c->w->healed && !id->answered_us)
        return;
    uint32_t variant = 0;
    if (other_body) {
        variant = id->variant_count < SIM_VARIANTS ? id->variant_count++ : SIM_VARIANTS - 1;
        for (int tries = 0; tries < 20; tries++) {
            sim_txn_random(&c->w->s.rng, &c->w->mix, &id->variants[variant]);
            if (sim_txn_writes(&id->variants[variant]) && !sim_txn_is_ddl(&id->variants[variant]))
                break;
        }
        id->variants[variant].bucket = id->bucket;
    }
    c->w->s.stats.duplicates++;
    produce(c, id, variant, true);
}

/* ---- the loop ---- */

static void finished(client *k)
{
    clients *c = k->all;
    k->waits_for = NULL;
    c->answered++;
    sim_after(&c->w->s, sim_delay_us(&c->w->s.rng, 300), next_request, k, 0, NULL);
}

static void ask(client *k, const sim_txn *t)
{
    clients *c = k->all;
    sim *s = &c->w->s;
    sim_identity *id = history_new_identity(&c->w->h, t->bucket);
    id->variants[0] = *t;
    id->variant_count = 1;
    id->owner = k;
    k->waits_for = id;
    k->resends = 0;
    bool own_id = !sim_chance(&s->rng, 1, 16);
    produce(c, id, 0, own_id);
    if (!own_id || c->w->forgetful)
        return;
    sim_after(s, sim_delay_us(&s->rng, RESEND_US), resend, k, 0, id);
    if (sim_chance(&s->rng, 1, 12))
        sim_after(s, sim_delay_us(&s->rng, 2000), repeat, c, 0, id);
    if (sim_chance(&s->rng, 1, 12))
        sim_after(s, sim_delay_us(&s->rng, 100 * 1000), repeat, c, 0, id);
    if (sim_chance(&s->rng, 1, 40) && sim_txn_writes(t) && !sim_txn_is_ddl(t))
        sim_after(s, sim_delay_us(&s->rng, 5000), repeat, c, 1, id);
}

static void next_request(void *p, uint64_t a, void *q)
{
    client *k = p;
    clients *c = k->all;
    (void)a;
    (void)q;
    if (c->asked >= c->wanted)
        return;
    c->asked++;
    sim_txn t;
    sim_txn_random(&c->w->s.rng, &c->w->mix, &t);
    ask(k, &t);
}

/* ---- set-up ---- */

static void insert_rows(sim_txn *t, int bucket, int from)
{
    *t = (sim_txn){ .bucket = bucket };
    for (int i = 0; i < SIM_MAX_OPS; i++)
        t->ops[t->count++] = (sim_op){ .kind = OP_INSERT, .type = T_ACCT, .id = from + i, .num = 50, .v = 1, .tag = SIM_NONE, .friend = (from + i + 1) % SIM_IDS,
                                       .level = 1, .at = SIM_NONE };
}

static void set_up_step(clients *c)
{
    uint32_t i = c->set_up_next++;
    sim_txn t = { .bucket = (int)(i % SIM_BUCKETS), .bare = true, .count = 1 };
    if (i >= SET_UP_ALL) {
        void (*then)(world *w) = c->set_up_then;
        c->set_up_then = NULL;
        then(c->w);
        return;
    }
    if (i < SIM_BUCKETS)
        t.ops[0].kind = OP_CREATE_BUCKET;
    else if (i < SIM_BUCKETS + SET_UP_TYPES)
        t.ops[0] = (sim_op){ .kind = OP_CREATE, .type = (sim_type)((i - SIM_BUCKETS) / SIM_BUCKETS) };
    else
        insert_rows(&t, (int)(i % SIM_BUCKETS), (int)((i - SIM_BUCKETS - SET_UP_TYPES) / SIM_BUCKETS) * SIM_MAX_OPS);
    clients_ask(c, &t, 0);
}

/* ---- replies ---- */

static void set_up_answered(void *p, uint64_t a, void *q)
{
    clients *c = p;
    const sim_identity *id = q;
    (void)a;
    if (id->replies->status != ST_COMMITTED && !c->w->s.failed)
        sim_violation(&c->w->s, "setup", "the set-up was refused: %.*s", Q_SLICE_FMT(id->replies->bytes));
    else
        set_up_step(c);
}

static void answered(void *p, uint64_t a, void *q)
{
    client *k = p;
    (void)a;
    if (k->waits_for == q)
        finished(k);
}

static void on_reply(void *ctx, q_slice request_id)
{
    clients *c = ctx;
    sim_identity *id = history_find(&c->w->h, request_id);
    if (!id || !id->answered_us)
        return;
    client *k = id->owner;
    if (k && k->waits_for == id)
        sim_after(&c->w->s, sim_delay_us(&c->w->s.rng, 150), answered, k, 0, id);
    else if (!k && c->set_up_then && id->replies && !id->replies->next && id->replies->count == 1)
        sim_after(&c->w->s, 100, set_up_answered, c, 0, id);
}

/* ---- life ---- */

clients *clients_new(world *w)
{
    clients *c = Q_NEW(w->s.arena, clients);
    if (!c)
        abort();
    c->w = w;
    node_on_reply(w->node, on_reply, c);
    return c;
}

void clients_set_up(clients *c, void (*then)(world *w))
{
    c->set_up_then = then;
    set_up_step(c);
}

void clients_start(clients *c, uint32_t count, uint32_t requests)
{
    c->wanted += requests;
    for (uint32_t i = 0; i < count; i++) {
        client *k = Q_NEW(c->w->s.arena, client);
        if (!k)
            abort();
        k->all = c;
        sim_after(&c->w->s, sim_delay_us(&c->w->s.rng, 500), next_request, k, 0, NULL);
    }
}

uint32_t clients_answered(const clients *c) { return c->answered; }
bool clients_done(const clients *c) { return c->answered >= c->wanted; }

sim_identity *clients_ask(clients *c, const sim_txn *t, int32_t partition)
{
    sim_identity *id = history_new_identity(&c->w->h, t->bucket);
    id->variants[0] = *t;
    id->variant_count = 1;
    history_produce(&c->w->h, id, 0, partition, true);
    node_requests(c->w->node, partition);
    return id;
}

void clients_ask_again(clients *c, sim_identity *id, int32_t partition)
{
    history_produce(&c->w->h, id, 0, partition, true);
    node_requests(c->w->node, partition);
}
