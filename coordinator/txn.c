/* txn.c - where transactions live: recycled structures with recycled arenas, and the lists and tables that find them. */
#include "coordinator/state.h"

#include <assert.h>
#include <stdlib.h>

enum { SLAB_ITEMS = 64 };

struct q_slab { struct q_slab *next; };

/* `count` zeroed pieces of `size`; NULL when out of memory. */
static char *slab(q_core *c, size_t size)
{
    struct q_slab *s = calloc(1, 16 + SLAB_ITEMS * size);
    if (!s)
        return NULL;
    s->next = c->slabs;
    c->slabs = s;
    c->slab_bytes += 16 + SLAB_ITEMS * size;
    return (char *)s + 16;
}

/* ---- transactions ---- */

q_txn *q_core_txn_new(q_core *c)
{
    if (!c->spare_txns) {
        char *p = slab(c, sizeof(q_txn));
        if (!p)
            return NULL;
        for (size_t i = SLAB_ITEMS; i-- > 0;) {
            q_txn *t = (q_txn *)(void *)(p + i * sizeof(q_txn));
            t->next_in_group = c->spare_txns;
            c->spare_txns = t;
        }
    }
    q_txn *t = c->spare_txns;
    q_arena *arena = t->arena ? t->arena : q_arena_new_sized(c->config.txn_max_bytes, Q_TXN_ARENA_BYTES);
    if (!arena)
        return NULL;
    c->spare_txns = t->next_in_group;
    if (t->arena)
        c->spare_arenas--;
    else
        c->arena_bytes += q_arena_bytes(arena);
    memset(t, 0, offsetof(q_txn, error));
    t->error.code = Q_E_NONE;
    t->arena = arena;
    t->number = ++c->next_number;
    t->counted_bytes = q_arena_bytes(arena);
    t->answer.txn = t;
    t->blind = true;
    t->since_us = t->arrived_us = c->mono_us;
    t->arrived_ns = q_core_stopwatch(c);
    t->prev_all = c->last_all;
    *(c->last_all ? &c->last_all->next_all : &c->first_all) = t;
    c->last_all = t;
    c->in_state[Q_TPS_NEW]++;
    c->stats.in_flight++;
    c->in_flight_bytes += t->counted_bytes;
    return t;
}

void q_core_txn_count_bytes(q_core *c, q_txn *t)
{
    uint64_t now = q_arena_bytes(t->arena) + (t->plan_arena ? q_arena_bytes(t->plan_arena) : 0);
    c->in_flight_bytes += now - t->counted_bytes;
    c->arena_bytes += now - t->counted_bytes;
    t->counted_bytes = now;
}

/* ---- plans ----
 *
 * A plan is large and mostly short-lived: a blind write needs it for one step. So it has an arena of its own, which goes from hand to hand,
 * and thousands of transactions in flight keep only what they will still need. */

bool q_core_plan_room(q_core *c, q_txn *t)
{
    q_core_plan_drop(c, t);
    if (c->spare_plan_count) {
        t->plan_arena = c->spare_plans[--c->spare_plan_count];
        c->arena_bytes -= q_arena_bytes(t->plan_arena); /* counted with the transaction's from now on */
    } else {
        t->plan_arena = q_arena_new_sized(c->config.txn_max_bytes, Q_PLAN_ARENA_BYTES);
    }
    q_core_txn_count_bytes(c, t);
    return t->plan_arena != NULL;
}

void q_core_plan_drop(q_core *c, q_txn *t)
{
    q_arena *a = t->plan_arena;
    if (!a)
        return;
    assert(!t->reads);
    t->plan_arena = NULL;
    t->script = NULL;
    t->exec = NULL;
    t->locks = (q_lockset){ 0 };
    q_core_txn_count_bytes(c, t);
    if (c->spare_plan_count == Q_SPARE_PLANS) {
        q_arena_free(a);
        return;
    }
    q_arena_reset(a);
    c->arena_bytes += q_arena_bytes(a);
    c->spare_plans[c->spare_plan_count++] = a;
}

void q_core_txn_free(q_core *c, q_txn *t)
{
    q_timers_cancel(&c->timers, &t->timer);
    q_core_drop_reads(c, t);
    q_core_plan_drop(c, t);
    if (t->identified)
        q_dedupe_drop(c->dedupe, t->identity);
    if (t->answer.ticket)
        q_tickets_take_back(&c->answers, t->answer.ticket);
    q_core_seq_forget(c, t);
    q_core_open_remove(c, t);
    q_catalog_unref(t->catalog);
    q_catalog_unref(t->catalog_after);
    free(t->reply_heap);
    while (t->duplicates) {
        q_answer *a = t->duplicates;
        t->duplicates = a->next;
        q_core_answer_free(c, a);
    }
    q_core_txn_count_bytes(c, t);
    c->in_flight_bytes -= t->counted_bytes;
    c->stats.in_flight--;
    c->in_state[t->state]--;
    *(t->prev_all ? &t->prev_all->next_all : &c->first_all) = t->next_all;
    *(t->next_all ? &t->next_all->prev_all : &c->last_all) = t->prev_all;

    if (c->spare_arenas < Q_SPARE_TXNS) {
        q_arena_reset(t->arena);
        c->arena_bytes -= t->counted_bytes - q_arena_bytes(t->arena);
        c->spare_arenas++;
    } else {
        c->arena_bytes -= t->counted_bytes;
        q_arena_free(t->arena);
        t->arena = NULL;
    }
    t->state = Q_TPS_COUNT; /* a dangling pointer to it meets an assertion */
    t->next_in_group = c->spare_txns;
    c->spare_txns = t;
}

void q_core_txns_free_all(q_core *c)
{
    while (c->first_all)
        q_core_txn_free(c, c->first_all);
    for (q_txn *t = c->spare_txns; t; t = t->next_in_group)
        q_arena_free(t->arena);
    while (c->spare_plan_count)
        q_arena_free(c->spare_plans[--c->spare_plan_count]);
    for (struct q_slab *s = c->slabs, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    c->slabs = NULL;
    c->spare_txns = NULL;
    q_tickets_free(&c->reads);
    q_tickets_free(&c->answers);
}

/* ---- answers and reads under way ---- */

q_answer *q_core_answer_new(q_core *c)
{
    if (!c->spare_answers) {
        char *p = slab(c, sizeof(q_answer));
        for (size_t i = SLAB_ITEMS; p && i-- > 0;) {
            q_answer *a = (q_answer *)(void *)(p + i * sizeof(q_answer));
            a->next = c->spare_answers;
            c->spare_answers = a;
        }
    }
    q_answer *a = c->spare_answers;
    if (a) {
        c->spare_answers = a->next;
        *a = (q_answer){ 0 };
    }
    return a;
}

void q_core_answer_free(q_core *c, q_answer *a)
{
    if (a->ticket)
        q_tickets_take_back(&c->answers, a->ticket);
    a->ticket = 0;
    a->next = c->spare_answers;
    c->spare_answers = a;
}

q_open_read *q_core_open_read_new(q_core *c)
{
    if (!c->spare_reads) {
        char *p = slab(c, sizeof(q_open_read));
        for (size_t i = SLAB_ITEMS; p && i-- > 0;) {
            q_open_read *r = (q_open_read *)(void *)(p + i * sizeof(q_open_read));
            r->next = c->spare_reads;
            c->spare_reads = r;
        }
    }
    q_open_read *r = c->spare_reads;
    if (!r)
        return NULL;
    uint64_t ticket = q_tickets_give(&c->reads, r);
    if (!ticket)
        return NULL;
    c->spare_reads = r->next;
    *r = (q_open_read){ .ticket = ticket };
    return r;
}

void q_core_open_read_free(q_core *c, q_open_read *r)
{
    q_tickets_take_back(&c->reads, r->ticket);
    r->next = c->spare_reads;
    c->spare_reads = r;
}

/* ---- by seq ---- */

static q_txn **seq_bucket(const q_core *c, uint64_t seq) { return &c->by_seq[seq & (c->seq_buckets - 1)]; }

q_txn *q_core_by_seq(const q_core *c, uint64_t seq)
{
    q_txn *t = *seq_bucket(c, seq);
    while (t && t->seq != seq)
        t = t->by_seq;
    return t;
}

void q_core_seq_remember(q_core *c, q_txn *t)
{
    assert(t->seq && !t->remembered);
    t->remembered = true;
    q_txn **b = seq_bucket(c, t->seq);
    t->by_seq = *b;
    *b = t;
    q_txn *before = c->newest; /* nearly always the last; not after recovery, whose records come in the order of decisions */
    while (before && before->seq > t->seq)
        before = before->older;
    t->older = before;
    t->newer = before ? before->newer : c->oldest;
    *(t->newer ? &t->newer->older : &c->newest) = t;
    *(before ? &before->newer : &c->oldest) = t;
}

void q_core_seq_forget(q_core *c, q_txn *t)
{
    if (!t->remembered)
        return;
    t->remembered = false;
    q_txn **at = seq_bucket(c, t->seq);
    while (*at != t)
        at = &(*at)->by_seq;
    *at = t->by_seq;
    *(t->older ? &t->older->newer : &c->oldest) = t->newer;
    *(t->newer ? &t->newer->older : &c->newest) = t->older;
}

uint64_t q_core_seq_below(const q_core *c) { return c->oldest ? c->oldest->seq : c->next_seq; }

/* ---- those whose record is still needed, by lsn ---- */

void q_core_open_add(q_core *c, q_txn *t)
{
    assert(t->lsn && (!c->last_open || c->last_open->lsn < t->lsn));
    t->prev_open = c->last_open;
    t->next_open = NULL;
    *(c->last_open ? &c->last_open->next_open : &c->first_open) = t;
    c->last_open = t;
}

void q_core_open_remove(q_core *c, q_txn *t)
{
    if (!t->lsn)
        return;
    *(t->prev_open ? &t->prev_open->next_open : &c->first_open) = t->next_open;
    *(t->next_open ? &t->next_open->prev_open : &c->last_open) = t->prev_open;
    t->lsn = 0;
}

/* ---- those that wait for an engine ---- */

void q_core_parked_add(q_core *c, q_txn *t)
{
    t->prev_parked = c->last_parked;
    t->next_parked = NULL;
    *(c->last_parked ? &c->last_parked->next_parked : &c->first_parked) = t;
    c->last_parked = t;
    c->parked++;
}

void q_core_parked_remove(q_core *c, q_txn *t)
{
    *(t->prev_parked ? &t->prev_parked->next_parked : &c->first_parked) = t->next_parked;
    *(t->next_parked ? &t->next_parked->prev_parked : &c->last_parked) = t->prev_parked;
    c->parked--;
}
