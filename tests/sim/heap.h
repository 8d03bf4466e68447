/* heap.h - what happens next: one heap of (due, order). Single owner.
 *
 * Two events due at the same time happen in the order in which they were put in: a seed decides everything. */
#ifndef Q_SIM_HEAP_H
#define Q_SIM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `p` and `a` are the caller's; who schedules an event for something that may be gone by then passes a number to compare. */
typedef void (*sim_call)(void *p, uint64_t a, void *q);

typedef struct sim_due {
    int64_t at_us;
    uint64_t order;
    sim_call call;
    void *p, *q;
    uint64_t a;
} sim_due;

typedef struct sim_heap { sim_due *at; size_t count, cap; uint64_t order; } sim_heap;

void sim_heap_push(sim_heap *h, int64_t at_us, sim_call call, void *p, uint64_t a, void *q);
/* false: nothing is left. */
bool sim_heap_pop(sim_heap *h, sim_due *out);
void sim_heap_free(sim_heap *h);

#endif
