#include "tests/sim/json.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 8 << 20 };

static _Alignas(16) char block[BLOCK_BYTES];
static size_t used;
static bool open_block, installed;

static bool ours(const void *p) { return (uintptr_t)p >= (uintptr_t)block && (uintptr_t)p < (uintptr_t)block + sizeof block; }

static void *take(size_t n)
{
    n = (n + 15) & ~(size_t)15;
    if (!open_block || n > sizeof block - used)
        return malloc(n ? n : 1);
    void *p = block + used;
    used += n;
    return p;
}

static void give(void *p)
{
    if (!ours(p))
        free(p);
}

void sim_json_begin(void)
{
    assert(!open_block);
    if (!installed)
        json_set_alloc_funcs(take, give);
    installed = true;
    open_block = true;
    used = 0;
}

void sim_json_end(void) { open_block = false; }
