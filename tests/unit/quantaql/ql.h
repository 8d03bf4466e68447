/* ql.h - a catalog to check against, and short ways to parse, check and print. For the tests of quantaql. */
#ifndef Q_TESTS_QUANTAQL_QL_H
#define Q_TESTS_QUANTAQL_QL_H

#include "quantaql/quantaql.h"

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

/* The definition of the specification, byte for byte. */
static const char ORDERS_JSON[] =
    "{\"record\": \"orders\", \"attributes\": {\n"
    "  \"id\": {\"type\": \"scalar\", \"datatype\": \"string\"}, \"customer\": {\"type\": \"document\"},\n"
    "  \"total_cost\": {\"type\": \"scalar\", \"datatype\": \"float\"},\n"
    "  \"delivery_route\": {\"type\": \"relation\", \"target\": \"routes\"}, \"delivered_by\": {\"type\": \"relation\", \"target\": \"drivers\"},\n"
    "  \"delivery_time\": {\"type\": \"metric\", \"unit\": \"duration\"}}}\n";

/* Beside it: what the specification's relations lead to, and a record with an attribute of every kind. */
static const char *const WORLD[] = {
    "CREATE BUCKET shop",
    "CREATE RECORD drivers (name scalar string, boss relation to drivers, rating scalar float)",
    "CREATE RECORD routes (name scalar string, stops relation to stops many)",
    "CREATE RECORD stops (name scalar string, zones relation to zones many, position scalar int)",
    "CREATE RECORD zones (id scalar int, name scalar string)",
    "CREATE RECORD devices (id scalar uuid, owner relation to things)",
    "CREATE RECORD things (id scalar string, s scalar string, i scalar int, f scalar float, b scalar bool, u scalar uuid unique, "
    "d scalar decimal, t scalar time, du scalar duration, by scalar bytes, doc document, list document, one relation to zones, "
    "dev relation to devices, lots relation to stops many, self relation to things, nowhere relation to undefined_yet, "
    "nowheres relation to undefined_yet many, m metric, mi metric int unit \"km\", md metric unit duration, `order` scalar int, "
    "count scalar int, `select` scalar int, unit scalar string, to scalar int, many scalar bool, at scalar time)",
};

static inline q_catalog *apply(q_catalog *c, q_ddl ddl, uint64_t seq)
{
    q_err err = Q_ERR_INIT;
    q_catalog *next = NULL;
    ddl.bucket = Q_SLICE_LIT("shop");
    if (q_catalog_apply(c, &ddl, seq, &next, &err) != Q_OK)
        fail_msg("%s: %s", q_code_name(err.code), err.message);
    q_catalog_unref(c);
    return next;
}

/* The caller unrefs. */
static inline q_catalog *make_world(void)
{
    q_arena *arena = q_arena_new(0);
    q_catalog *c = q_catalog_new();
    q_err err = Q_ERR_INIT;
    q_script *s;
    q_ddl ddl;
    for (size_t i = 0; i < sizeof WORLD / sizeof WORLD[0]; i++) {
        if (q_ql_parse(arena, q_slice_cstr(WORLD[i]), &s, &err) != Q_OK)
            fail_msg("%s: %s", WORLD[i], err.message);
        c = apply(c, s->stmts[0].ddl, i + 1);
    }
    assert_int_equal(q_ddl_from_json(arena, Q_SLICE_LIT("shop"), q_slice_cstr(ORDERS_JSON), &ddl, &err), Q_OK);
    c = apply(c, ddl, 100);
    q_arena_free(arena);
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
