/* ql.h - a catalog to check against, and short ways to parse, check and print. For the tests of quantaql. */
#ifndef Q_TESTS_QUANTAQL_QL_H
#define Q_TESTS_QUANTAQL_QL_H

#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A table's test says all that is wrong before it fails. */
static int noted;
#define note(...) (noted++, print_error(__VA_ARGS__))
static inline void none_noted(void)
{
    int n = noted;
    noted = 0;
    assert_int_equal(n, 0);
}

static inline q_catalog *apply(q_catalog *c, q_ddl ddl, uint64_t seq)
{
    q_catalog *next = world_apply(c, ddl, seq);
    assert_non_null(next);
    return next;
}

/* The caller unrefs. */
static inline q_catalog *make_world(void)
{
    q_catalog *c = world_build();
    assert_non_null(c);
    return c;
}

/* Parses; a failure is the test's. */
static inline q_script *parse_ok(q_arena *arena, q_slice text)
{
    q_err err = Q_ERR_INIT;
    q_script *s = NULL;
    if (q_ql_parse(arena, text, &s, &err) != Q_OK)
        fail_msg("%.*s\n%s %u:%u %s", (int)(text.len > 4000 ? 4000 : text.len), text.ptr, q_code_name(err.code), err.line, err.column,
                 err.message);
    return s;
}

static inline q_script *check_ok(q_arena *arena, const q_catalog *c, q_slice text)
{
    q_err err = Q_ERR_INIT;
    q_script *s = parse_ok(arena, text);
    if (q_ql_check(arena, s, c, Q_SLICE_LIT("shop"), NULL, 0, &err) != Q_OK)
        fail_msg("%.*s\n%s %u:%u %s", Q_SLICE_FMT(text), q_code_name(err.code), err.line, err.column, err.message);
    return s;
}

/* Canonical text in the arena. */
static inline q_slice print_to(q_arena *arena, const q_script *s)
{
    q_buf out = Q_BUF_INIT((size_t)1 << 26);
    q_ql_print(s, &out);
    assert_false(out.failed);
    q_slice copy = q_arena_copy(arena, q_buf_slice(&out));
    q_buf_free(&out);
    return copy;
}

static inline void assert_slice(q_slice s, const char *expected)
{
    if (!q_slice_eq(s, q_slice_cstr(expected)))
        fail_msg("'%.*s' is not '%s'", Q_SLICE_FMT(s), expected);
}

#endif
