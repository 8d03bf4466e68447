/* arena.h - memory freed by lifetime, not piece by piece: one arena per request, transaction or batch.
 *
 * Single owner thread at a time. Everything allocated from an arena dies with q_arena_reset or q_arena_free. Pure but for malloc.
 * Bounded: an arena created with a maximum answers NULL past it; callers turn that into Q_E_LIMIT_MEMORY. */
#ifndef Q_BASE_ARENA_H
#define Q_BASE_ARENA_H

#include "base/slice.h"

typedef struct q_arena q_arena;

/* `max_bytes` bounds the sum of all blocks; 0 means 1 GiB. NULL when out of memory. */
q_arena *q_arena_new(size_t max_bytes);
/* The same with a first block of `first_bytes`, which stays over resets: what is usual needs no other, and takes no memory from the system. */
q_arena *q_arena_new_sized(size_t max_bytes, size_t first_bytes);
void q_arena_free(q_arena *a); /* accepts NULL */
/* Forgets every allocation; keeps the first block for reuse. */
void q_arena_reset(q_arena *a);
/* Bytes held from the system. */
size_t q_arena_bytes(const q_arena *a);

/* Aligned to 16 bytes (a q_value holds an __int128), not cleared. NULL when out of memory or past the maximum. */
void *q_arena_alloc(q_arena *a, size_t size);
/* Gives back the end of the newest allocation: of `size` bytes at `p` the first `used` stay. Nothing happens when it isn't the newest. */
void q_arena_shrink(q_arena *a, const void *p, size_t size, size_t used);
/* Cleared. */
void *q_arena_calloc(q_arena *a, size_t count, size_t size);
/* A copy of `src` that lives in the arena, followed by a NUL byte that is not part of the slice. ptr is NULL on failure. */
q_slice q_arena_copy(q_arena *a, q_slice src);
/* printf into the arena; ptr is NULL on failure. */
q_slice q_arena_printf(q_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define Q_NEW(arena, type)           ((type *)q_arena_calloc((arena), 1, sizeof(type)))
#define Q_NEW_ARRAY(arena, type, n)  ((type *)q_arena_calloc((arena), (n), sizeof(type)))

/* Tests: the Nth allocation from any arena of this thread fails (1 = the next one); 0 switches it off. */
void q_arena_fail_after(uint64_t nth);

#endif
