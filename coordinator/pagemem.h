/* pagemem.h - memory of one page of a scan, given back to itself when the page is done. Pure; single owner.
 *
 * A scan of a million rows must not hold a million rows: what belongs to a page is allocated here and forgotten together. The blocks
 * come from the transaction's arena, stay with this pool for reuse, and die with the arena: there is nothing to free. */
#ifndef Q_COORDINATOR_PAGEMEM_H
#define Q_COORDINATOR_PAGEMEM_H

#include "schemas/value.h"

typedef struct q_pageblock q_pageblock;

typedef struct q_pagemem {
    q_arena *arena;
    bool lasting;          /* nothing is ever reused: allocate from the arena itself */
    size_t next_block;     /* size of the next new one: small transactions stay small */
    q_pageblock *first, *current;
} q_pagemem;

void q_pagemem_init(q_pagemem *m, q_arena *arena, bool lasting);
/* Aligned to 16 bytes, not cleared. NULL when the arena is exhausted. */
void *q_pagemem_alloc(q_pagemem *m, size_t size);
/* Forgets all that was allocated. No effect on a lasting one. */
void q_pagemem_reset(q_pagemem *m);
/* Deep copy; false when there is no room. */
bool q_pagemem_copy(q_pagemem *m, const q_value *v, q_value *out);

#endif
