/* tickets.h - numbers that stand for objects in messages: tokens of publications, ids of reads. Pure; one owner thread.
 *
 * A ticket that comes back late, twice or forged finds nothing: it carries the generation of its slot. O(1), recycled, never 0. */
#ifndef Q_COORDINATOR_TICKETS_H
#define Q_COORDINATOR_TICKETS_H

#include "base/slice.h"

typedef struct q_tickets { struct q_ticket_slot *slots; uint32_t count, cap, free; } q_tickets; /* zeroed: empty */

/* 0 when out of memory. `object` isn't NULL. */
uint64_t q_tickets_give(q_tickets *t, void *object);
/* NULL when it isn't a ticket that is out. */
void *q_tickets_find(const q_tickets *t, uint64_t ticket);
void q_tickets_take_back(q_tickets *t, uint64_t ticket);
void q_tickets_free(q_tickets *t);
uint64_t q_tickets_bytes(const q_tickets *t);

#endif
