#include "coordinator/tickets.h"

#include <assert.h>
#include <stdlib.h>

/* ticket = generation (40 bits, from 1) and slot (24 bits). */
enum { SLOT_BITS = 24, NO_SLOT = (1 << SLOT_BITS) - 1 };
static const uint64_t generations = (uint64_t)1 << (64 - SLOT_BITS);

typedef struct q_ticket_slot { void *object; uint64_t generation; uint32_t next_free; } slot;

uint64_t q_tickets_give(q_tickets *t, void *object)
{
    assert(object);
    if (t->count == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 256;
        slot *slots = cap < NO_SLOT ? realloc(t->slots, cap * sizeof *slots) : NULL;
        if (!slots)
            return 0;
        for (uint32_t i = t->cap; i < cap; i++)
            slots[i] = (slot){ .generation = 1, .next_free = i + 1 };
        t->slots = slots;
        t->free = t->cap;
        t->cap = cap;
    }
    uint32_t i = t->free;
    t->free = t->slots[i].next_free;
    t->count++;
    t->slots[i].object = object;
    return t->slots[i].generation << SLOT_BITS | i;
}

static slot *find(const q_tickets *t, uint64_t ticket)
{
    uint32_t i = (uint32_t)(ticket & NO_SLOT);
    if (i >= t->cap || !t->slots[i].object || t->slots[i].generation != ticket >> SLOT_BITS)
        return NULL;
    return &t->slots[i];
}

void *q_tickets_find(const q_tickets *t, uint64_t ticket)
{
    slot *s = find(t, ticket);
    return s ? s->object : NULL;
}

void q_tickets_take_back(q_tickets *t, uint64_t ticket)
{
    slot *s = find(t, ticket);
    assert(s);
    s->object = NULL;
    s->generation = s->generation + 1 < generations ? s->generation + 1 : 1;
    s->next_free = t->free;
    t->free = (uint32_t)(s - t->slots);
    t->count--;
}

void q_tickets_free(q_tickets *t)
{
    free(t->slots);
    *t = (q_tickets){ 0 };
}

uint64_t q_tickets_bytes(const q_tickets *t) { return (uint64_t)t->cap * sizeof(slot); }
