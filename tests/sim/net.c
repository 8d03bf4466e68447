#include "tests/sim/node.h"
#include "tests/sim/participant.h"

#include <stdlib.h>

/* One copy on its way. Topics keep what nobody has read: while the receiver is down it is tried again, or lost. */
typedef struct flight { world *w; q_engine_id engine; q_slice bytes; participant *to; uint32_t tries; } flight;

static void arrive_at_worker(void *p, uint64_t a, void *q)
{
    flight *f = p;
    world *w = f->w;
    (void)a;
    (void)q;
    uint32_t n = participants_of(w, f->engine);
    if (f->to && participant_dead(f->to))
        f->to = NULL;
    if (!f->to && n > 0)
        f->to = w->workers[f->engine][sim_below(&w->s.rng, n)];
    if (f->to)
        participant_message(f->to, f->bytes);
    else if (f->tries++ < 20 && sim_chance(&w->s.rng, 9, 10))
        sim_after(&w->s, 5000, arrive_at_worker, f, 0, NULL);
}

static void arrive_at_coordinator(void *p, uint64_t a, void *q)
{
    flight *f = p;
    (void)a;
    (void)q;
    if (node_alive(f->w->node))
        node_message(f->w->node, f->bytes);
    else if (f->tries++ < 20 && sim_chance(&f->w->s.rng, 9, 10))
        sim_after(&f->w->s, 5000, arrive_at_coordinator, f, 0, NULL);
}

static void send_copy(world *w, q_engine_id engine, q_slice bytes, participant *to, sim_call arrive, bool on_time)
{
    sim *s = &w->s;
    sim_net *net = &w->net;
    if (s->now_us < net->cut_until[engine] || (net->drop && sim_chance(&s->rng, net->drop, 10000))) {
        s->stats.dropped++;
        return;
    }
    flight *f = Q_NEW(s->arena, flight);
    if (!f)
        abort();
    *f = (flight){ w, engine, bytes, to, 0 };
    int64_t delay = sim_delay_us(&s->rng, net->latency_us);
    if (!on_time && net->late && sim_chance(&s->rng, net->late, 10000)) {
        delay = sim_between(&s->rng, net->late_us / 20, net->late_us);
        s->stats.late++;
    }
    sim_after(s, delay, arrive, f, 0, NULL);
}

static void send(world *w, q_engine_id engine, q_slice copy, participant *to, sim_call arrive)
{
    sim *s = &w->s;
    s->stats.sent++;
    send_copy(w, engine, copy, to, arrive, false);
    if (w->net.twice && sim_chance(&s->rng, w->net.twice, 10000)) {
        s->stats.doubled++;
        send_copy(w, engine, copy, to, arrive, false);
    }
}

/* ---- scenarios hold messages back ---- */

typedef struct held { q_engine_id engine; bool to_worker; q_slice bytes; } held;

static bool stopped(world *w, q_engine_id engine, bool to_worker, q_slice bytes)
{
    q_msg *m = Q_NEW(w->s.arena, q_msg);
    q_err err = Q_ERR_INIT;
    if (!m || q_msg_decode(w->s.arena, bytes, m, &err) != Q_OK)
        return false;
    net_fate fate = w->net.filter(w->net.filter_ctx, engine, to_worker, m);
    if (fate == NET_HOLD || fate == NET_COPY) {
        held *h = Q_NEW(w->s.arena, held);
        if (!h)
            abort();
        *h = (held){ engine, to_worker, bytes };
        sim_list_add(w->s.arena, &w->net.held, h);
        SIM_TRACE(&w->s, "net", m->kind, "held back: kind %d %s %s", (int)m->kind, to_worker ? "to" : "from", q_engine_name(engine));
    }
    return fate == NET_DROP || fate == NET_HOLD;
}

uint32_t net_held(const world *w) { return w->net.held.count; }

void net_release(world *w)
{
    for (uint32_t i = 0; i < w->net.held.count; i++) {
        const held *h = w->net.held.at[i];
        send_copy(w, h->engine, h->bytes, NULL, h->to_worker ? arrive_at_worker : arrive_at_coordinator, true);
    }
    w->net.held.count = 0;
}

/* ---- both directions ---- */

void net_to_workers(world *w, q_engine_id engine, q_slice bytes)
{
    uint32_t n = participants_of(w, engine);
    q_slice copy = q_arena_copy(w->s.arena, bytes);
    if (w->net.filter && stopped(w, engine, true, copy))
        return;
    if (n > 1 && sim_chance(&w->s.rng, 1, 3)) { /* both believe that the partition is theirs */
        for (uint32_t i = 0; i < n; i++)
            send(w, engine, copy, w->workers[engine][i], arrive_at_worker);
        return;
    }
    send(w, engine, copy, NULL, arrive_at_worker);
}

void net_to_coordinator(world *w, q_engine_id from, q_slice bytes)
{
    q_slice copy = q_arena_copy(w->s.arena, bytes);
    if (!w->net.filter || !stopped(w, from, false, copy))
        send(w, from, copy, NULL, arrive_at_coordinator);
}
