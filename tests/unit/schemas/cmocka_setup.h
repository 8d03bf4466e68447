/* cmocka_setup.h - cmocka with what its header needs, and an arena for each test. */
#ifndef Q_TESTS_CMOCKA_SETUP_H
#define Q_TESTS_CMOCKA_SETUP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"

static inline int make_arena(void **state)
{
    *state = q_arena_new(0);
    return *state ? 0 : -1;
}

static inline int drop_arena(void **state)
{
    q_arena_free(*state);
    return 0;
}

#define ARENA_TEST(name) cmocka_unit_test_setup_teardown(name, make_arena, drop_arena)

#define assert_slice(actual, text)                                                         \
    do {                                                                                   \
        q_slice actual_ = (actual), wanted_ = q_slice_cstr(text);                          \
        if (!q_slice_eq(actual_, wanted_))                                                 \
            fail_msg("\"%.*s\" instead of \"%s\"", Q_SLICE_FMT(actual_), (text));          \
    } while (0)

#endif
