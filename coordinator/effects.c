#include "coordinator/effects.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FIRST_EFFECTS = 64,
    BLOCK_BYTES = 64 * 1024,   /* of copied texts */
    KEPT_BUFFERS = 64,         /* messages' buffers that stay for the next run */
    KEPT_BUFFER_BYTES = 1 << 20,
    KEPT_BLOCKS = 64
};

typedef struct block { struct block *next; size_t used, size; char data[]; } block;

struct q_effects {
    q_effect *items;
    size_t count, cap;
    block *blocks, *current;
    q_buf **buffers;
    size_t buffer_count, buffer_cap;
    q_buf spare;               /* what a caller writes into when there is no memory for a real one */
    bool failed;
    q_effect fatal;
};

q_effects *q_effects_new(void)
{
    q_effects *fx = calloc(1, sizeof *fx);
    if (!fx)
        return NULL;
    fx->spare = Q_BUF_INIT(0);
    fx->fatal = (q_effect){ .kind = Q_FX_FATAL, .bytes = Q_SLICE_LIT("out of memory for effects") };
    return fx;
}

void q_effects_free(q_effects *fx)
{
    if (!fx)
        return;
    for (block *b = fx->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    for (size_t i = 0; i < fx->buffer_cap; i++)
        if (fx->buffers[i]) {
            q_buf_free(fx->buffers[i]);
            free(fx->buffers[i]);
        }
    free(fx->buffers);
    free(fx->items);
    free(fx);
}

size_t q_effects_count(const q_effects *fx) { return fx->failed ? 1 : fx->count; }

const q_effect *q_effects_at(const q_effects *fx, size_t i) { return fx->failed ? &fx->fatal : &fx->items[i]; }

void q_effects_clear(q_effects *fx)
{
    fx->count = 0;
    size_t kept = 0;
    for (block **at = &fx->blocks, *b; (b = *at);) {
        if (b->size > BLOCK_BYTES || kept >= KEPT_BLOCKS) {
            *at = b->next;
            free(b);
        } else {
            b->used = 0;
            kept++;
            at = &b->next;
        }
    }
    fx->current = fx->blocks;
    for (size_t i = 0; i < fx->buffer_count; i++) {
        q_buf *b = fx->buffers[i];
        if (i >= KEPT_BUFFERS || b->cap > KEPT_BUFFER_BYTES)
            q_buf_free(b);
        else
            q_buf_clear(b);
    }
    fx->buffer_count = 0;
}

void q_effects_fail(q_effects *fx) { fx->failed = true; }

q_effect *q_effects_add(q_effects *fx, q_effect_kind kind)
{
    if (fx->count == fx->cap) {
        size_t cap = fx->cap ? fx->cap * 2 : FIRST_EFFECTS;
        q_effect *items = realloc(fx->items, cap * sizeof *items);
        if (!items) {
            static q_effect nowhere;
            fx->failed = true;
            return fx->count ? &fx->items[fx->count - 1] : &nowhere;
        }
        fx->items = items;
        fx->cap = cap;
    }
    q_effect *e = &fx->items[fx->count++];
    *e = (q_effect){ .kind = kind };
    return e;
}

static block *block_for(q_effects *fx, size_t n)
{
    for (; fx->current; fx->current = fx->current->next) {
        if (n <= fx->current->size - fx->current->used)
            return fx->current;
        if (!fx->current->next)
            break;
    }
    size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES;
    block *b = malloc(sizeof *b + size);
    if (!b)
        return NULL;
    *b = (block){ .size = size };
    if (fx->current)
        fx->current->next = b;
    else
        fx->blocks = b;
    fx->current = b;
    return b;
}

q_slice q_effects_copy(q_effects *fx, q_slice s)
{
    if (s.len == 0)
        return s.ptr ? Q_SLICE_LIT("") : Q_SLICE_NONE;
    block *b = block_for(fx, s.len);
    if (!b) {
        fx->failed = true;
        return Q_SLICE_NONE;
    }
    char *p = b->data + b->used;
    memcpy(p, s.ptr, s.len);
    b->used += s.len;
    return (q_slice){ p, s.len };
}

q_buf *q_effects_buf(q_effects *fx, size_t max_bytes)
{
    if (fx->buffer_count == fx->buffer_cap) {
        size_t cap = fx->buffer_cap ? fx->buffer_cap * 2 : 16;
        q_buf **buffers = realloc(fx->buffers, cap * sizeof *buffers);
        if (!buffers) {
            fx->failed = true;
            return &fx->spare;
        }
        memset(buffers + fx->buffer_cap, 0, (cap - fx->buffer_cap) * sizeof *buffers);
        fx->buffers = buffers;
        fx->buffer_cap = cap;
    }
    q_buf **slot = &fx->buffers[fx->buffer_count];
    if (!*slot) {
        *slot = malloc(sizeof **slot);
        if (!*slot) {
            fx->failed = true;
            return &fx->spare;
        }
        **slot = Q_BUF_INIT(max_bytes);
    }
    fx->buffer_count++;
    (*slot)->max = max_bytes;
    return *slot;
}

static q_slice say(q_effects *fx, const char *fmt, va_list args)
{
    char text[1000];
    int n = vsnprintf(text, sizeof text, fmt, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    return q_effects_copy(fx, (q_slice){ text, len });
}

void q_effects_log(q_effects *fx, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    q_slice text = say(fx, fmt, args);
    va_end(args);
    q_effects_add(fx, Q_FX_LOG)->bytes = text;
}

void q_effects_fatal(q_effects *fx, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    q_slice text = say(fx, fmt, args);
    va_end(args);
    q_effects_add(fx, Q_FX_FATAL)->bytes = text;
}
