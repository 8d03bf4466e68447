/* fuzz_quantaql.c - whatever text arrives: a tree that prints and parses to the same tree, before and after the check, or an error with
 * a code. The splitter and the completion read the same bytes. LibFuzzer's entry point; tests/fuzz/fuzz_quantaql.mk builds and runs it. */
#include <stdlib.h>

#include "quantaql/complete.h"
#include "tests/unit/quantaql/same.h"
#include "tests/unit/quantaql/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)              \
    do {                             \
        if (!(condition))            \
            abort();                 \
    } while (0)

static const q_param params[] = {
    { Q_SLICE_LIT("a"), { .type = Q_T_STRING, .s = Q_SLICE_LIT("x") } },
    { Q_SLICE_LIT("n"), { .type = Q_T_INT, .i = 5 } },
    { Q_SLICE_LIT("ids"), { .type = Q_T_DOC, .s = Q_SLICE_LIT("\x92\xA1\x61\xA1\x62") } },
    { Q_SLICE_LIT("doc"), { .type = Q_T_DOC, .s = Q_SLICE_LIT("\x81\xA1\x6B\x91\x01") } },
};

static q_script *parsed(q_arena *arena, q_slice text)
{
    q_err err = Q_ERR_INIT;
    q_script *s;
    MUST(q_ql_parse(arena, text, &s, &err) == Q_OK);
    return s;
}

static q_slice printed(q_arena *arena, const q_script *s)
{
    q_buf out = Q_BUF_INIT((size_t)1 << 26);
    q_ql_print(s, &out);
    MUST(!out.failed);
    q_slice copy = q_arena_copy(arena, q_buf_slice(&out));
    q_buf_free(&out);
    MUST(copy.ptr);
    return copy;
}

static void check(q_arena *arena, const q_catalog *world, q_script *s, size_t param_count)
{
    q_err err = Q_ERR_INIT;
    if (q_ql_check(arena, s, world, Q_SLICE_LIT("shop"), params, param_count, &err) != Q_OK) {
        MUST(err.code != Q_E_NONE && err.code != Q_E_INTERNAL && err.message[0]);
        return;
    }
    q_script *again = parsed(arena, printed(arena, s));
    MUST(q_ql_check(arena, again, world, Q_SLICE_LIT("shop"), NULL, 0, &err) == Q_OK);
    MUST(same_script(s, again));
}

static void read_text(q_arena *arena, const q_catalog *world, q_slice text)
{
    q_err err = Q_ERR_INIT;
    q_script *s;
    if (q_ql_parse(arena, text, &s, &err) != Q_OK) {
        MUST(err.code != Q_E_NONE && err.code != Q_E_INTERNAL && err.message[0] && (err.line || err.code == Q_E_QQL_LIMIT));
        return;
    }
    q_slice canonical = printed(arena, s);
    q_script *again = parsed(arena, canonical);
    MUST(same_script(s, again));
    MUST(q_slice_eq(printed(arena, again), canonical));
    check(arena, world, s, 0);
    check(arena, world, again, memchr(text.ptr, '$', text.len) ? 1 : 0);
    check(arena, world, parsed(arena, canonical), sizeof params / sizeof params[0]);
}

static void split(q_slice text)
{
    size_t end = 0;
    for (unsigned pieces = 0; pieces < 1000 && q_ql_split(text, &end) == Q_OK; pieces++) {
        MUST(end > 0 && end <= text.len);
        text = (q_slice){ text.ptr + end, text.len - end };
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static q_catalog *world;
    static q_arena *arena;
    if (!world) {
        world = world_build();
        arena = q_arena_new((size_t)1 << 28);
    }
    MUST(world && arena);
    q_slice text = q_slice_of(data, size);
    if (size > 0)
        read_text(arena, world, text);
    split(text);
    q_next next;
    (void)q_ql_next((q_slice){ text.ptr, size / 2 }, (q_slice){ text.ptr + size / 2, size - size / 2 }, &next);
    q_arena_reset(arena);
    return 0;
}
