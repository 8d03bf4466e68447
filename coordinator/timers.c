#include "coordinator/timers.h"

enum { SPAN_BITS = Q_TIMER_SLOT_BITS * Q_TIMER_LEVELS };

/* The first tick at which it is surely not early. */
static uint64_t tick_of(int64_t at_us)
{
    return at_us <= 0 ? 0 : ((uint64_t)at_us + (1u << Q_TIMER_TICK_BITS) - 1) >> Q_TIMER_TICK_BITS;
}

void q_timers_init(q_timers *t, int64_t now_us)
{
    *t = (q_timers){ .now_tick = now_us <= 0 ? 0 : (uint64_t)now_us >> Q_TIMER_TICK_BITS };
    for (int l = 0; l < Q_TIMER_LEVELS; l++)
        for (int s = 0; s < Q_TIMER_SLOTS; s++)
            t->slots[l][s].prev = t->slots[l][s].next = &t->slots[l][s];
}

static void place(q_timers *t, q_timer *timer)
{
    uint64_t at = tick_of(timer->at_us);
    if (at < t->now_tick)
        at = t->now_tick;
    uint64_t last = t->now_tick + ((uint64_t)1 << SPAN_BITS) - 1;
    if (at > last)
        at = last; /* it is placed again from there */
    /* The level is that of the highest slot number in which `at` and now differ. */
    uint64_t differ = at ^ t->now_tick;
    unsigned level = differ ? (63 - (unsigned)__builtin_clzll(differ)) / Q_TIMER_SLOT_BITS : 0;
    if (level >= Q_TIMER_LEVELS)
        level = Q_TIMER_LEVELS - 1; /* the top wheel wraps round */
    unsigned slot = (unsigned)(at >> (level * Q_TIMER_SLOT_BITS)) & (Q_TIMER_SLOTS - 1);
    q_timer *head = &t->slots[level][slot];
    timer->level = (uint8_t)level;
    timer->slot = (uint8_t)slot;
    timer->prev = head->prev;
    timer->next = head;
    head->prev->next = timer;
    head->prev = timer;
    timer->armed = true;
    t->used[level] |= (uint64_t)1 << slot;
}

void q_timers_cancel(q_timers *t, q_timer *timer)
{
    if (!timer->armed)
        return;
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->armed = false;
    q_timer *head = &t->slots[timer->level][timer->slot];
    if (head->next == head)
        t->used[timer->level] &= ~((uint64_t)1 << timer->slot);
}

void q_timers_arm(q_timers *t, q_timer *timer, int64_t at_us)
{
    q_timers_cancel(t, timer);
    timer->at_us = at_us;
    place(t, timer);
}

/* How many slots ahead of `from` the next used one is; Q_TIMER_SLOTS when none. */
static unsigned distance(uint64_t used, unsigned from)
{
    uint64_t turned = from ? used >> from | used << (Q_TIMER_SLOTS - from) : used;
    return turned ? (unsigned)__builtin_ctzll(turned) : Q_TIMER_SLOTS;
}

/* The first tick, from now on, at which a slot of `level` must be looked at; UINT64_MAX when the level is empty. */
static uint64_t next_tick(const q_timers *t, unsigned level)
{
    unsigned shift = level * Q_TIMER_SLOT_BITS;
    uint64_t here = t->now_tick >> shift;
    unsigned at = (unsigned)here & (Q_TIMER_SLOTS - 1);
    uint64_t current = level > 0 ? t->used[level] & (uint64_t)1 << at : 0;
    unsigned ahead = distance(t->used[level] & ~current, at);
    if (ahead == Q_TIMER_SLOTS && !current)
        return UINT64_MAX;
    /* The current slot of an upper wheel was emptied when the clock came to it: what is in it is a whole turn (64 slots) away. */
    return (here + ahead) << shift;
}

static uint64_t earliest(const q_timers *t)
{
    uint64_t best = UINT64_MAX;
    for (unsigned l = 0; l < Q_TIMER_LEVELS; l++) {
        uint64_t n = next_tick(t, l);
        best = n < best ? n : best;
    }
    return best;
}

/* The clock has come to `tick`, a tick at which the upper wheels' slots may begin: their timers go down a level. */
static void enter(q_timers *t, uint64_t tick)
{
    t->now_tick = tick;
    for (unsigned l = Q_TIMER_LEVELS - 1; l > 0; l--) {
        unsigned shift = l * Q_TIMER_SLOT_BITS;
        if (tick & (((uint64_t)1 << shift) - 1))
            continue;
        q_timer *head = &t->slots[l][(tick >> shift) & (Q_TIMER_SLOTS - 1)];
        q_timer moved = { .prev = &moved, .next = &moved };
        if (head->next != head) { /* taken off as a whole: the top wheel may put some back where they were */
            moved = (q_timer){ .prev = head->prev, .next = head->next };
            moved.prev->next = moved.next->prev = &moved;
            head->prev = head->next = head;
            t->used[l] &= ~((uint64_t)1 << ((tick >> shift) & (Q_TIMER_SLOTS - 1)));
        }
        for (q_timer *timer = moved.next, *next; timer != &moved; timer = next) {
            next = timer->next;
            place(t, timer);
        }
    }
}

q_timer *q_timers_due(q_timers *t, int64_t now_us)
{
    uint64_t now = now_us <= 0 ? 0 : (uint64_t)now_us >> Q_TIMER_TICK_BITS;
    for (;;) {
        uint64_t next = earliest(t);
        if (next > now || next == UINT64_MAX) {
            if (now > t->now_tick)
                enter(t, now); /* nothing is between: no slot is passed over */
            return NULL;
        }
        if (next > t->now_tick)
            enter(t, next);
        q_timer *head = &t->slots[0][next & (Q_TIMER_SLOTS - 1)];
        if (head->next == head)
            continue; /* only moved down */
        q_timer *timer = head->next;
        q_timers_cancel(t, timer);
        return timer;
    }
}

int64_t q_timers_next_us(const q_timers *t)
{
    uint64_t next = earliest(t);
    return next == UINT64_MAX || next > (uint64_t)INT64_MAX >> Q_TIMER_TICK_BITS ? INT64_MAX : (int64_t)(next << Q_TIMER_TICK_BITS);
}
