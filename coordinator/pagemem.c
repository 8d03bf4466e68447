#include "coordinator/pagemem.h"

#include <assert.h>

enum { FIRST_BLOCK = 1024, MAX_BLOCK = 64 << 10, ALIGN = 16 };

struct q_pageblock {
    q_pageblock *next;
    size_t size, used; /* of data */
    _Alignas(ALIGN) char data[];
};

void q_pagemem_init(q_pagemem *m, q_arena *arena, bool lasting)
{
    *m = (q_pagemem){ .arena = arena, .lasting = lasting, .next_block = FIRST_BLOCK };
}

/* The block after `current` that has room, or a new one put there. Blocks that are skipped stay in the list for the next page. */
static q_pageblock *block_with_room(q_pagemem *m, size_t size)
{
    q_pageblock *b = m->current ? m->current->next : m->first;
    for (; b; b = b->next) {
        b->used = 0;
        if (b->size >= size)
            return b;
    }
    size_t room = m->next_block < size ? size : m->next_block;
    b = q_arena_alloc(m->arena, sizeof *b + room);
    if (!b && room > size) {
        room = size;
        b = q_arena_alloc(m->arena, sizeof *b + room);
    }
    if (!b)
        return NULL;
    b->size = room;
    b->used = 0;
    if (m->next_block < MAX_BLOCK)
        m->next_block *= 2;
    if (m->current) {
        b->next = m->current->next;
        m->current->next = b;
    } else {
        b->next = m->first;
        m->first = b;
    }
    return b;
}

void *q_pagemem_alloc(q_pagemem *m, size_t size)
{
    if (m->lasting)
        return q_arena_alloc(m->arena, size);
    if (size > SIZE_MAX - ALIGN)
        return NULL;
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    q_pageblock *b = m->current;
    if (!b || size > b->size - b->used) {
        b = block_with_room(m, size);
        if (!b)
            return NULL;
        m->current = b;
    }
    void *p = b->data + b->used;
    b->used += size;
    return p;
}

void q_pagemem_reset(q_pagemem *m)
{
    assert(!m->lasting || !m->first);
    m->current = NULL;
}

bool q_pagemem_copy(q_pagemem *m, const q_value *v, q_value *out)
{
    *out = *v;
    if (v->type == Q_T_STRING || v->type == Q_T_BYTES || v->type == Q_T_DOC) {
        char *p = q_pagemem_alloc(m, v->s.len ? v->s.len : 1);
        if (!p)
            return false;
        if (v->s.len)
            memcpy(p, v->s.ptr, v->s.len);
        out->s.ptr = p;
    } else if (v->type == Q_T_RELATION && v->rel.count) {
        q_value *items = q_pagemem_alloc(m, v->rel.count * sizeof *items);
        if (!items)
            return false;
        for (uint32_t i = 0; i < v->rel.count; i++) {
            assert(v->rel.items[i].type != Q_T_RELATION);
            if (!q_pagemem_copy(m, &v->rel.items[i], &items[i]))
                return false;
        }
        out->rel.items = items;
    }
    return true;
}
