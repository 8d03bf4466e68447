#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BLOCK = 4096, MAX_BLOCK = 1 << 20, ALIGN = 16 /* a q_value holds an __int128 */ };

typedef struct block {
    struct block *next;
    size_t size; /* of data */
    size_t used;
    _Alignas(ALIGN) char data[];
} block;

struct q_arena {
    block *first;
    block *current;
    size_t bytes;
    size_t max_bytes;
};

static _Thread_local uint64_t fail_after;

void q_arena_fail_after(uint64_t nth) { fail_after = nth; }

static block *block_new(size_t size)
{
    block *b = malloc(sizeof(block) + size);
    if (b) {
        b->next = NULL;
        b->size = size;
        b->used = 0;
    }
    return b;
}

q_arena *q_arena_new(size_t max_bytes) { return q_arena_new_sized(max_bytes, FIRST_BLOCK); }

q_arena *q_arena_new_sized(size_t max_bytes, size_t first_bytes)
{
    q_arena *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->max_bytes = max_bytes ? max_bytes : (size_t)1 << 30;
    size_t first = a->max_bytes < first_bytes ? a->max_bytes : first_bytes;
    a->first = a->current = block_new(first);
    if (!a->first) {
        free(a);
        return NULL;
    }
    a->bytes = first;
    return a;
}

static void free_blocks_after(q_arena *a, block *keep)
{
    block *b = keep ? keep->next : a->first;
    while (b) {
        block *next = b->next;
        a->bytes -= b->size;
        free(b);
        b = next;
    }
    if (keep)
        keep->next = NULL;
}

void q_arena_free(q_arena *a)
{
    if (!a)
        return;
    free_blocks_after(a, NULL);
    free(a);
}

void q_arena_reset(q_arena *a)
{
    free_blocks_after(a, a->first);
    a->first->used = 0;
    a->current = a->first;
}

size_t q_arena_bytes(const q_arena *a) { return a->bytes; }

static void *alloc_slow(q_arena *a, size_t size)
{
    size_t grow = a->current->size * 2;
    if (grow > MAX_BLOCK)
        grow = MAX_BLOCK;
    if (grow < size)
        grow = size;
    if (a->bytes + grow > a->max_bytes)
        grow = size;
    if (grow > a->max_bytes || a->bytes > a->max_bytes - grow)
        return NULL;
    block *b = block_new(grow);
    if (!b)
        return NULL;
    a->bytes += grow;
    a->current->next = b;
    a->current = b;
    b->used = size;
    return b->data;
}

void *q_arena_alloc(q_arena *a, size_t size)
{
    if (fail_after && --fail_after == 0)
        return NULL;
    if (size > SIZE_MAX - ALIGN)
        return NULL;
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size == 0)
        size = ALIGN;
    block *b = a->current;
    if (size <= b->size - b->used) {
        void *p = b->data + b->used;
        b->used += size;
        return p;
    }
    return alloc_slow(a, size);
}

static size_t rounded(size_t size) { return size ? (size + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN; }

void q_arena_shrink(q_arena *a, const void *p, size_t size, size_t used)
{
    block *b = a->current;
    size_t was = rounded(size);
    if (used <= size && was <= b->used && b->data + (b->used - was) == p)
        b->used -= was - rounded(used);
}

void *q_arena_calloc(q_arena *a, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    void *p = q_arena_alloc(a, count * size);
    if (p)
        memset(p, 0, count * size);
    return p;
}

q_slice q_arena_copy(q_arena *a, q_slice src)
{
    char *p = src.len < SIZE_MAX ? q_arena_alloc(a, src.len + 1) : NULL;
    if (!p)
        return Q_SLICE_NONE;
    if (src.len)
        memcpy(p, src.ptr, src.len);
    p[src.len] = '\0';
    return (q_slice){ p, src.len };
}

q_slice q_arena_printf(q_arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = n < 0 ? NULL : q_arena_alloc(a, (size_t)n + 1);
    if (!p)
        return Q_SLICE_NONE;
    va_start(args, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, args);
    va_end(args);
    return (q_slice){ p, (size_t)n };
}
