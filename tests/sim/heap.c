#include "tests/sim/heap.h"

#include <stdlib.h>

static bool before(const sim_due *a, const sim_due *b) { return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order); }

void sim_heap_push(sim_heap *h, int64_t at_us, sim_call call, void *p, uint64_t a, void *q)
{
    if (h->count == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 1024;
        sim_due *at = realloc(h->at, h->cap * sizeof *at);
        if (!at)
            abort();
        h->at = at;
    }
    sim_due due = { at_us, h->order++, call, p, q, a };
    size_t i = h->count++;
    while (i > 0 && before(&due, &h->at[(i - 1) / 2])) {
        h->at[i] = h->at[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->at[i] = due;
}

bool sim_heap_pop(sim_heap *h, sim_due *out)
{
    if (h->count == 0)
        return false;
    *out = h->at[0];
    sim_due last = h->at[--h->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && before(&h->at[child + 1], &h->at[child]))
            child++;
        if (!before(&h->at[child], &last))
            break;
        h->at[i] = h->at[child];
        i = child;
    }
    h->at[i] = last;
    return true;
}

void sim_heap_free(sim_heap *h)
{
    free(h->at);
    *h = (sim_heap){ 0 };
}
