/* parse → print → parse is the identity, and so is parse → check → print → parse → check. */
#include "ql.h"

#include "generate.h"
#include "same.h"

/* Prints `text`'s tree, parses that, and compares; twice, for the second text must be the first's. */
static void round_trip(q_arena *arena, q_slice text)
{
    q_script *first = parse_ok(arena, text);
    q_slice canonical = print_to(arena, first);
    q_script *second = parse_ok(arena, canonical);
    if (!same_script(first, second))
        note("seed of difference:\n%.*s\n%.*s\n", Q_SLICE_FMT(text), Q_SLICE_FMT(canonical));
    q_slice again = print_to(arena, second);
    if (!q_slice_eq(canonical, again))
        note("%.*s\n%.*s\n", Q_SLICE_FMT(canonical), Q_SLICE_FMT(again));
}

static void random_statements_come_back(void **state)
{
    (void)state;
    const char *seed_text = getenv("SEED");
    uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : 1;
    unsigned statements = 6000;
    q_arena *arena = q_arena_new(0);
    q_buf text = Q_BUF_INIT((size_t)1 << 20);
    gen g = { .state = seed, .out = &text };
    size_t parsed = 0;
    for (unsigned i = 0; i < statements && noted == 0; i++) {
        q_err err = Q_ERR_INIT;
        q_script *s;
        q_arena_reset(arena);
        q_buf_clear(&text);
        for (unsigned n = 1 + gen_below(&g, 3); n > 0; n--) {
            gen_statement(&g);
            gen_sign(&g, ";");
        }
        /* What nests too deep is refused, and nothing else. */
        if (q_ql_parse(arena, q_buf_slice(&text), &s, &err) != Q_OK) {
            if (err.code != Q_E_QQL_LIMIT)
                fail_msg("%.*s\n%s %u:%u %s", Q_SLICE_FMT(q_buf_slice(&text)), q_code_name(err.code), err.line, err.column, err.message);
            continue;
        }
        parsed++;
        round_trip(arena, q_buf_slice(&text));
    }
    assert_true(parsed > statements * 9 / 10);
    q_buf_free(&text);
    q_arena_free(arena);
    none_noted();
}

static const char *const examples[] = {
    "BEGIN TRANSACTION; INSERT INTO orders { id: \"order_123\", customer: { id: \"cust_001\", name: \"Alice\", address: \"123 Market "
      "St\" }, "
    "total_cost: 89.50, delivery_time: duration(\"1d 3h\"), delivered_by: relation(\"driver_004\"), delivery_route: "
      "relation(\"route_789\") }; COMMIT;",
    "SELECT id, customer.name, total_cost, delivery_time FROM orders WHERE delivery_time > duration(\"1d\") AND delivered_by.name = "
      "\"Bob\";",
    "BEGIN TRANSACTION; UPDATE orders SET delivery_time = duration(\"2d 5h\") WHERE id = \"order_123\"; COMMIT;",
    "SELECT id, delivery_route FROM orders WHERE path(delivery_route -> stops -> zones).name = \"Zone A\";",
    "SELECT *, i + 1 AS next FROM things WHERE (s = 'a' OR s = 'b') AND NOT (i > 5 OR d IS NULL) AND u IS NOT NULL ORDER BY i DESC "
      "NULLS FIRST, s LIMIT 3 OFFSET 1",
    "SELECT s, count(*) AS n, avg(f) FROM things WHERE doc.tags[0] = \"x\" GROUP BY s HAVING n > 1 ORDER BY n",
    "SELECT i - (i - 1), (i - 1) - 1, i / (i * 2), i * 2 / 3, -(-i), - -5, -(i + 1) * 2, (i + 1) * 2 FROM things",
    "SELECT id FROM things WHERE i IN (1, 2, 3) AND i NOT IN (4) AND s LIKE '%a\\\\_' AND s NOT LIKE 'b' AND i BETWEEN 1 AND 5 AND i "
      "NOT BETWEEN 7 AND 9",
    "SELECT id FROM things WHERE (i = 1) = (f = 2) AND (s IS NULL) = b",
    "INSERT INTO things { id: 'a', doc: { \"a b\": [1, 2.50, TRUE, NULL, { x: {} }], select: 'y' }, list: [], m: 5 AT "
      "time('2024-05-01T00:00:00Z'), lots: [relation('x'), relation('y')], nowheres: [] }, { id: 'b' }",
    "UPDATE things SET doc.a.b = 5, doc[\"x y\"][2].z = 'c', i += 1, list += [1], list2 -= [2], lots -= relation('x') WHERE id = 'a'",
    "UPDATE things SET doc = { a: i + 1, b: [s, { c: 1 }] }, f = i * 2.5, du = du + duration('1h'), t = t - duration('1d'), d = d * 1.10",
    "DELETE FROM things WHERE self.self.i > 5 OR nowhere.anything[0].x = 1",
    "BEGIN; ASSERT (SELECT sum(i) FROM things) = 100 AND NOT EXISTS (SELECT id FROM things WHERE i < 0); ROLLBACK",
    "USE shop; SHOW RECORD things", "SHOW BUCKETS", "SHOW RECORDS",
    "CREATE BUCKET other", "DROP BUCKET IF EXISTS `if` CASCADE", "DROP RECORD IF EXISTS nothing",
    "CREATE RECORD fresh (a scalar string required unique, b relation to fresh many required, c metric int unit \"km/h\", d metric unit "
      "duration, e document)",
    "ALTER RECORD things ADD IF NOT EXISTS (extra scalar int, more metric float unit duration)",
    "SELECT `order`, order, `select`, `a b`.`c d`[\"e f\"] AS `g``h` FROM `from`",
    "CREATE ROLE IF NOT EXISTS analyst", "DROP ROLE IF EXISTS `from`", "SHOW ROLES", "SHOW KEYS", "SHOW GRANTS", "SHOW GRANTS FOR analyst",
    "GRANT SELECT (id, total_cost), INSERT, UPDATE (total_cost), DELETE ON orders TO analyst WHERE customer.owner = $jwt.sub AND (id IN $jwt.ids OR NOT total_cost > 5)",
    "GRANT ALL ON things TO role", "GRANT SELECT, DELETE ON BUCKET shop TO grant", "GRANT ALL ON BUCKET shop TO r", "GRANT ADMIN ON BUCKET shop TO r",
    "REVOKE UPDATE (a, `b c`), DELETE ON `select` FROM r", "REVOKE ALL ON BUCKET shop FROM r",
    "CREATE KEY IF NOT EXISTS k FOR ROLE r HASH \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\" EXPIRES time(\"2027-01-01T00:00:00Z\")",
    "ALTER KEY k HASH \"00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff\"", "ALTER KEY key EXPIRES NULL", "DROP KEY IF EXISTS hash",
    "SELECT role, key, keys, hash, for, `on`, grant, revoke, all, admin, expires, roles, grants FROM key WHERE hash = $jwt.sub",
    "SELECT id FROM things WHERE i = $a AND t > time($b) AND id IN $c AND self = relation($d) LIMIT $e OFFSET $f",
};

static void the_examples_come_back(void **state)
{
    (void)state;
    q_arena *arena = q_arena_new(0);
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++)
        round_trip(arena, q_slice_cstr(examples[i]));
    q_arena_free(arena);
    none_noted();
}

/* Parameters are values after the check, so the first check alone has them. */
static void checked_trees_come_back(void **state)
{
    (void)state;
    q_catalog *world = make_world();
    q_arena *arena = q_arena_new(0);
    size_t checked = 0;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        q_err err = Q_ERR_INIT;
        q_script *first = parse_ok(arena, q_slice_cstr(examples[i]));
        if (q_ql_check(arena, first, world, Q_SLICE_LIT("shop"), NULL, 0, &err) != Q_OK)
            continue;
        checked++;
        q_slice canonical = print_to(arena, first);
        q_script *second = check_ok(arena, world, canonical);
        if (!same_script(first, second))
            note("%.*s\n", Q_SLICE_FMT(canonical));
        if (!q_slice_eq(canonical, print_to(arena, second)))
            note("%.*s\n", Q_SLICE_FMT(canonical));
    }
    assert_true(checked >= 19);
    q_arena_free(arena);
    q_catalog_unref(world);
    none_noted();
}

static void the_canonical_form_is_what_it_was(void **state)
{
    (void)state;
    static const struct { const char *text, *canonical; } forms[] = {
        { "select a from b", "SELECT a FROM b;\n" },
        { "select a , b.c [ 0 ] as d from e where not a = 1 and b or c", "SELECT a, b.c[0] AS d FROM e WHERE NOT a = 1 AND b OR c;\n" },
        { "select (a or b) and c, a or (b and c), a or (b or c) from d", "SELECT (a OR b) AND c, a OR b AND c, a OR b OR c FROM d;\n" },
        { "select a - (b - c), a - b - c, -(-a), - - 1, +a from d", "SELECT a - (b - c), a - b - c, - -a, 1, a FROM d;\n" },
        { "select a.b, a[\"b\"] from c", "SELECT a.b, a[\"b\"] FROM c;\n" },
        { "insert into a { \"b\" : 1 , \"c d\" : 'e\"f' }", "INSERT INTO a { b: 1, \"c d\": \"e\\\"f\" };\n" },
        { "begin;commit", "BEGIN TRANSACTION;\nCOMMIT;\n" },
        { "select count ( * ), SUM(a) from b", "SELECT count(*), sum(a) FROM b;\n" },
        { "select 'a' 'b' from c", NULL },
    };
    q_arena *arena = q_arena_new(0);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        q_script *s;
        q_err err = Q_ERR_INIT;
        if (q_ql_parse(arena, q_slice_cstr(forms[i].text), &s, &err) != Q_OK)
            assert_null(forms[i].canonical);
        else
            assert_slice(print_to(arena, s), forms[i].canonical);
    }
    q_arena_free(arena);
}

/* A buffer with too small a maximum says so, and nothing is written behind it. */
static void a_full_buffer_stops_the_printer(void **state)
{
    (void)state;
    q_arena *arena = q_arena_new(0);
    q_script *s = parse_ok(arena, q_slice_cstr(examples[4]));
    size_t whole = print_to(arena, s).len;
    for (size_t max = 0; max < whole; max++) {
        q_buf out = Q_BUF_INIT(max);
        q_ql_print(s, &out);
        assert_true(out.failed && out.len <= max);
        q_buf_free(&out);
    }
    q_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_statements_come_back),      cmocka_unit_test(the_examples_come_back),
        cmocka_unit_test(checked_trees_come_back),          cmocka_unit_test(the_canonical_form_is_what_it_was),
        cmocka_unit_test(a_full_buffer_stops_the_printer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
