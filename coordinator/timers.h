/* timers.h - what is due when: a hierarchical timing wheel. Pure; one owner thread; time is the caller's monotonic clock.
 *
 * Arming and cancelling cost the same whatever is armed, which matters because nearly every time limit is cancelled: G. Varghese and
 * A. Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7. A timer fires at most one tick (1.024 ms) late, never early. */
#ifndef Q_COORDINATOR_TIMERS_H
#define Q_COORDINATOR_TIMERS_H

#include "base/slice.h"

enum { Q_TIMER_TICK_BITS = 10, Q_TIMER_LEVELS = 5, Q_TIMER_SLOT_BITS = 6, Q_TIMER_SLOTS = 1 << Q_TIMER_SLOT_BITS };

typedef struct q_timer { /* a member of what it belongs to; zeroed: not armed */
    struct q_timer *prev, *next;
    int64_t at_us;
    uint8_t level, slot;
    bool armed;
} q_timer;

typedef struct q_timers {
    uint64_t now_tick;
    q_timer slots[Q_TIMER_LEVELS][Q_TIMER_SLOTS]; /* heads of rings */
    uint64_t used[Q_TIMER_LEVELS];                /* a bit for each slot that isn't empty */
} q_timers;

void q_timers_init(q_timers *t, int64_t now_us);
/* Arms, or moves. A moment in the past is due at the next q_timers_due. */
void q_timers_arm(q_timers *t, q_timer *timer, int64_t at_us);
void q_timers_cancel(q_timers *t, q_timer *timer); /* harmless when it isn't armed */
/* The next timer that is due, disarmed; NULL when none is. In order of time within a tick's accuracy. */
q_timer *q_timers_due(q_timers *t, int64_t now_us);
/* When to ask again: not later than the earliest timer's tick; INT64_MAX when none is armed. */
int64_t q_timers_next_us(const q_timers *t);

#endif
