/* What the check makes of statements that are right: written canonically, the tree shows which type each literal took. */
#include "ql.h"
#include "same.h"

static const struct { const char *text, *checked; } cases[] = {
    /* literals take the attribute's type */
    { "select id from things where d = 5.10 and d = 5 and d = 0.1234567890123456",
      "SELECT id FROM things WHERE d = decimal(\"5.1\") AND d = decimal(\"5\") AND d = decimal(\"0.1234567890123456\")" },
    { "select id from things where f = 5 and i = 5.0 and i > 2.5 and 3 = f",
      "SELECT id FROM things WHERE f = 5.0 AND i = 5 AND i > 2.5 AND 3.0 = f" },
    { "select id from things where t >= \"2024-05-01T00:00:00+02:00\" and du < \"1d 3h\"",
      "SELECT id FROM things WHERE t >= time(\"2024-04-30T22:00:00Z\") AND du < duration(\"P1DT3H\")" },
    { "select id from things where u = \"550E8400-E29B-41D4-A716-446655440000\" or by = \"AQI=\"",
      "SELECT id FROM things WHERE u = uuid(\"550e8400-e29b-41d4-a716-446655440000\") OR by = bytes(\"AQI=\")" },
    { "select id from things where u in (\"550E8400-E29B-41D4-A716-446655440000\", null) and d between 1 and 2.50",
      "SELECT id FROM things WHERE u IN (uuid(\"550e8400-e29b-41d4-a716-446655440000\"), NULL) AND d BETWEEN decimal(\"1\") AND "
        "decimal(\"2.5\")" },
    { "select id from things where d * 1.10 > 0.3", "SELECT id FROM things WHERE d * decimal(\"1.1\") > decimal(\"0.3\")" },
    { "select id from things where i = 9223372036854775808", "SELECT id FROM things WHERE i = decimal(\"9223372036854775808\")" },
    { "select id from things where i = -9223372036854775808", "SELECT id FROM things WHERE i = -9223372036854775808" },
    /* relations are ids of their target's type */
    { "select id from things where one = 7 and dev = \"550E8400-E29B-41D4-A716-446655440000\" and nowhere = \"x\" and nowhere <> 5",
      "SELECT id FROM things WHERE one = relation(7) AND dev = relation(uuid(\"550e8400-e29b-41d4-a716-446655440000\")) "
      "AND nowhere = relation(\"x\") AND nowhere <> relation(5)" },
    { "select id from things where lots = [\"a\", \"b\"] or lots = [relation(\"a\"), relation(\"b\")] or lots = []",
      "SELECT id FROM things WHERE lots = [relation(\"a\"), relation(\"b\")] OR lots = [relation(\"a\"), relation(\"b\")] OR lots = []" },
    { "select id from things where self in (\"a\", relation(\"b\")) and self = self and self is not null",
      "SELECT id FROM things WHERE self IN (relation(\"a\"), relation(\"b\")) AND self = self AND self IS NOT NULL" },
    { "select id from things where self = id", "SELECT id FROM things WHERE self = id" },
    /* comparisons with NULL are legal, and unknown */
    { "select id from things where s = null or null <> i or doc.a = null or one = null",
      "SELECT id FROM things WHERE s = NULL OR NULL <> i OR doc.a = NULL OR one = NULL" },
    /* documents */
    { "select doc.a.b, doc[\"a b\"][0].c, doc.`a.b`, list[3] from things where doc.n > 5 and doc.s = \"x\" and doc.a = { b: [1] }",
      "SELECT doc.a.b, doc[\"a b\"][0].c, doc[\"a.b\"] AS `doc.``a.b```, list[3] FROM things WHERE doc.n > 5 AND doc.s = \"x\" AND "
      "doc.a = {\"b\":[1]}" },
    { "select id from things where doc = {} and list = [] and doc.a + 1 > 2 and doc.flag and not doc.flag",
      "SELECT id FROM things WHERE doc = {} AND list = [] AND doc.a + 1 > 2 AND doc.flag AND NOT doc.flag" },
    /* paths */
    { "select one.name, self.self.self.s, path(self -> lots -> zones).name, path(lots), path(self -> one) from things",
      "SELECT one.name, self.self.self.s, path(self -> lots -> zones).name, path(lots), path(self -> one) FROM things" },
    { "select nowhere.anything.at[1].all, path(nowhere -> x).y from things where nowhere.z > time(\"2024-01-01T00:00:00Z\")",
      "SELECT nowhere.anything.at[1].all, path(nowhere -> x).y FROM things WHERE nowhere.z > time(\"2024-01-01T00:00:00Z\")" },
    { "select self.doc.a from things", "SELECT self.doc.a FROM things" },
    /* arithmetic */
    { "select t + duration(\"1d\"), duration(\"1d\") + t, t - t, du * 2, 2.5 * du, du / du, du - du, -du, i % 3, i / f from things",
      "SELECT t + duration(\"P1D\"), duration(\"P1D\") + t, t - t, du * 2, 2.5 * du, du / du, du - du, -du, i % 3, i / f FROM things" },
    /* names that are words of the language */
    { "select order, count, `select`, unit, to, many, at from things where order > 1 and count = 2 order by order, at",
      "SELECT order, count, `select` AS select, unit, to, many, at FROM things WHERE order > 1 AND count = 2 ORDER BY order, at" },
    { "insert into things { id: \"a\", order: 1, count: 2, select: 3, unit: \"m\", to: 4, many: true }",
      "INSERT INTO things { id: \"a\", order: 1, count: 2, select: 3, unit: \"m\", to: 4, many: TRUE }" },
    /* groups and aggregates */
    { "select s as kind, count(*) as n, sum(i), avg(i), min(t), max(d), count(doc.x), sum(doc.x) from things group by kind having n > 5 "
      "and sum(f) < 10 order by n desc nulls first, kind, 3 limit 10 offset 5",
      "SELECT s AS kind, count(*) AS n, sum(i), avg(i), min(t), max(d), count(doc.x), sum(doc.x) FROM things GROUP BY s HAVING count(*) "
        "> 5 "
      "AND sum(f) < 10.0 ORDER BY count(*) DESC NULLS FIRST, s, sum(i) LIMIT 10 OFFSET 5" },
    { "select i + 1, count(*) from things group by i + 1", "SELECT i + 1, count(*) FROM things GROUP BY i + 1" },
    { "select i * 2 as twice from things order by twice", "SELECT i * 2 AS twice FROM things ORDER BY i * 2" },
    { "select one.name, max(i) from things group by one.name", "SELECT one.name, max(i) FROM things GROUP BY one.name" },
    { "select count(*) from things having count(*) > 0", "SELECT count(*) FROM things HAVING count(*) > 0" },
    { "select doc.a[0].b, i in (1, 2), s like 'a', i is null from things group by doc.a[0].b, i in (1, 2), s like 'a', i is null",
      "SELECT doc.a[0].b, i IN (1, 2), s LIKE \"a\", i IS NULL FROM things GROUP BY doc.a[0].b, i IN (1, 2), s LIKE \"a\", i IS NULL" },
    { "select { a: i, b: [s] } as both from things group by { a: i, b: [s] }",
      "SELECT { a: i, b: [s] } AS both FROM things GROUP BY { a: i, b: [s] }" },
    { "select s, count(*) as n from things group by s having n in (1, 2) and not n = 3 and s in ('a', 'b')",
      "SELECT s, count(*) AS n FROM things GROUP BY s HAVING count(*) IN (1, 2) AND NOT count(*) = 3 AND s IN (\"a\", \"b\")" },
    { "select name, count(*) from zones group by name order by name", "SELECT name, count(*) FROM zones GROUP BY name ORDER BY name" },
    /* a column's name hides an attribute in ORDER BY, as in SQL, but not in GROUP BY */
    { "select -i as f from things order by f", "SELECT -i AS f FROM things ORDER BY -i" },
    { "select f as i from things group by f", "SELECT f AS i FROM things GROUP BY f" },
    /* INSERT */
    { "insert into things { id: \"a\", s: null, i: 5.0, f: 3, d: 1.10, t: \"2024-05-01T00:00:00Z\", du: \"PT5M\", by: \"AQI=\", "
      "u: \"550E8400-E29B-41D4-A716-446655440000\" }, { id: \"b\" }",
      "INSERT INTO things { id: \"a\", s: NULL, i: 5, f: 3.0, d: decimal(\"1.1\"), t: time(\"2024-05-01T00:00:00Z\"), "
      "du: duration(\"PT5M\"), by: bytes(\"AQI=\"), u: uuid(\"550e8400-e29b-41d4-a716-446655440000\") }, { id: \"b\" }" },
    { "insert into things { id: \"a\", doc: { n: null, b: true, i: 1, f: 1.5, s: \"x\", d: decimal(\"1.10\"), t: "
      "time(\"2024-05-01T00:00:00Z\"), "
      "a: [[], {}] }, list: [1, \"a\"] }",
      "INSERT INTO things { id: \"a\", doc: "
        "{\"n\":null,\"b\":true,\"i\":1,\"f\":1.5,\"s\":\"x\",\"d\":\"1.1\",\"t\":\"2024-05-01T00:00:00Z\","
      "\"a\":[[],{}]}, list: [1,\"a\"] }" },
    { "insert into things { id: \"a\", doc: { k1: 1, k2: 2, k3: 3, k4: 4, k5: 5, k6: 6, k7: 7, k8: 8, k9: 9, k10: 10, k11: 11, k12: 12, "
      "k13: false } }",
      "INSERT INTO things { id: \"a\", doc: "
        "{\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,\"k9\":9,\"k10\":10,\"k11\":11,"
      "\"k12\":12,\"k13\":false} }" },
    { "insert into things { id: \"a\", m: 1, mi: 5.0 at \"2024-05-01T00:00:00Z\", md: \"1h\" at time(\"2024-05-01T00:00:00Z\") }",
      "INSERT INTO things { id: \"a\", m: 1.0, mi: 5 AT time(\"2024-05-01T00:00:00Z\"), md: duration(\"PT1H\") AT "
        "time(\"2024-05-01T00:00:00Z\") }" },
    { "insert into things { id: \"a\", m: null, lots: [], lots2: 1 }", NULL },
    { "insert into things { id: \"a\", i: 1 + 2 * 3, t: time(\"2024-05-01T00:00:00Z\") + duration(\"1d\") }",
      "INSERT INTO things { id: \"a\", i: 1 + 2 * 3, t: time(\"2024-05-01T00:00:00Z\") + duration(\"P1D\") }" },
    { "insert into zones { id: 5.0 }", "INSERT INTO zones { id: 5 }" },
    { "insert into devices { id: \"550E8400-E29B-41D4-A716-446655440000\", owner: \"t\" }",
      "INSERT INTO devices { id: uuid(\"550e8400-e29b-41d4-a716-446655440000\"), owner: relation(\"t\") }" },
    /* UPDATE */
    { "update things set i += 1, d -= 0.10, m += 1.5, list += [5, { a: 1 }], doc.tags -= [\"x\"], doc.visits += 1, lots += "
      "relation(\"s\"), "
      "s = null",
      "UPDATE things SET i = i + 1, d = d - decimal(\"0.1\"), m = m + 1.5, list += [5,{\"a\":1}], doc.tags -= [\"x\"], "
      "doc.visits = doc.visits + 1, lots += relation(\"s\"), s = NULL" },
    { "update things set doc = { n: i + 1, k: { c: [1, 2], s: s } }, list = doc.items where self.i > 5",
      "UPDATE things SET doc = { n: i + 1, k: { c: [1,2], s: s } }, list = doc.items WHERE self.i > 5" },
    { "update things set f = i, d = i, d = 1", NULL },
    { "update things set f = i * 2, self = null, lots = lots, doc.a = t, doc.b[0] = 5, m = m * 2 at t",
      "UPDATE things SET f = i * 2, self = NULL, lots = lots, doc.a = t, doc.b[0] = 5, m = m * 2 AT t" },
    { "update things set lots -= [\"a\", \"b\"], list += doc.more", "UPDATE things SET lots -= [relation(\"a\"), relation(\"b\")], list "
      "+= doc.more" },
    { "delete from things where id in (\"a\", \"b\")", "DELETE FROM things WHERE id IN (\"a\", \"b\")" },
    { "delete from things", "DELETE FROM things" },
    /* ASSERT */
    { "assert (select count(*) from things where s = \"x\") >= 1 and not exists (select id from zones where id = 5.0) or 1 = 2",
      "ASSERT (SELECT count(*) FROM things WHERE s = \"x\") >= 1 AND NOT EXISTS (SELECT id FROM zones WHERE id = 5) OR 1 = 2" },
    { "assert (select i from things limit 1) between 1 and (select max(i) from things)",
      "ASSERT (SELECT i FROM things LIMIT 1) BETWEEN 1 AND (SELECT max(i) FROM things)" },
    /* SHOW, definitions */
    { "show buckets", "SHOW BUCKETS" }, { "show records", "SHOW RECORDS" }, { "show record things", "SHOW RECORD things" },
    { "create record if not exists things (a document)", "CREATE RECORD IF NOT EXISTS things (a document)" },
    { "alter record things add if not exists (s scalar string, extra document)",
      "ALTER RECORD things ADD IF NOT EXISTS (s scalar string, extra document)" },
    { "drop bucket if exists nothing cascade", "DROP BUCKET IF EXISTS nothing CASCADE" },
};

static void statements_take_their_types_from_the_catalog(void **state)
{
    (void)state;
    q_catalog *world = make_world();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        q_arena *arena = q_arena_new(0);
        q_script *s = parse_ok(arena, q_slice_cstr(cases[i].text));
        q_err err = Q_ERR_INIT;
        q_rc rc = q_ql_check(arena, s, world, Q_SLICE_LIT("shop"), NULL, 0, &err);
        if ((rc == Q_OK) != (cases[i].checked != NULL)) {
            note("%s\n  %s %u:%u %s\n", cases[i].text, q_code_name(err.code), err.line, err.column, err.message);
        } else if (rc == Q_OK) {
            q_buf out = Q_BUF_INIT(100000);
            q_ql_print_stmt(&s->stmts[0], &out);
            if (!q_slice_eq(q_buf_slice(&out), q_slice_cstr(cases[i].checked)))
                note("%s\n  %.*s\n", cases[i].checked, Q_SLICE_FMT(q_buf_slice(&out)));
            q_buf_free(&out);
            /* What is printed means the same. */
            q_script *again = check_ok(arena, world, print_to(arena, s));
            if (!same_script(s, again))
                note("%s\n", cases[i].text);
        }
        q_arena_free(arena);
    }
    q_catalog_unref(world);
    none_noted();
}

static void star_is_every_attribute_in_order(void **state)
{
    (void)state;
    q_catalog *world = make_world();
    q_arena *arena = q_arena_new(0);
    const q_stmt *s = &check_ok(arena, world, Q_SLICE_LIT("SELECT *, i + 1 AS next FROM things"))->stmts[0];
    const q_record *r = q_catalog_record(world, Q_SLICE_LIT("shop"), Q_SLICE_LIT("things"));
    assert_true(s->star);
    assert_int_equal(s->column_count, r->count + 1);
    for (uint32_t i = 0; i < r->count; i++) {
        assert_ptr_equal(s->columns[i].expr->path.attr, &r->attrs[i]);
        assert_int_equal(s->columns[i].expr->type, r->attrs[i].datatype);
        assert_true(q_slice_eq(s->columns[i].name, r->attrs[i].name));
    }
    assert_slice(s->columns[r->count].name, "next");
    q_buf out = Q_BUF_INIT(10000);
    q_ql_print_stmt(s, &out);
    assert_slice(q_buf_slice(&out), "SELECT *, i + 1 AS next FROM things");
    q_buf_free(&out);
    q_arena_free(arena);
    q_catalog_unref(world);
}

static void columns_have_types_and_names(void **state)
{
    (void)state;
    static const struct { const char *column, *name; q_type type; } columns[] = {
        { "id", "id", Q_T_STRING }, { "doc", "doc", Q_T_DOC }, { "doc.a", "doc.a", Q_T_NULL }, { "one", "one", Q_T_RELATION },
        { "one.id", "one.id", Q_T_INT }, { "md", "md", Q_T_DURATION }, { "m", "m", Q_T_FLOAT }, { "self . s", "self.s", Q_T_STRING },
        { "i/2", "i / 2", Q_T_INT }, { "i * 2.0", "i * 2.0", Q_T_FLOAT }, { "d+1", "d + 1", Q_T_DECIMAL }, { "t-t", "t - t", Q_T_DURATION },
        { "du/du", "du / du", Q_T_FLOAT }, { "i > 2", "i > 2", Q_T_BOOL }, { "i > 2 as big", "big", Q_T_BOOL }, { "nowhere.x",
          "nowhere.x", Q_T_NULL },
        { "\"a\"", "\"a\"", Q_T_STRING }, { "null", "NULL", Q_T_NULL }, { "[1]", "[1]", Q_T_DOC }, { "`order`", "order", Q_T_INT },
        { "s is null", "s IS NULL", Q_T_BOOL }, { "not b", "NOT b", Q_T_BOOL }, { "doc.a * 2", "doc.a * 2", Q_T_NULL },
    };
    q_catalog *world = make_world();
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        char text[200];
        q_arena *arena = q_arena_new(0);
        snprintf(text, sizeof text, "SELECT %s FROM things", columns[i].column);
        const q_column *c = &check_ok(arena, world, q_slice_cstr(text))->stmts[0].columns[0];
        if (!q_slice_eq(c->name, q_slice_cstr(columns[i].name)) || c->expr->type != columns[i].type)
            note("%s: %.*s, %s\n", columns[i].column, Q_SLICE_FMT(c->name), q_type_name(c->expr->type));
        q_arena_free(arena);
    }
    q_catalog_unref(world);
    none_noted();
}

static void aggregates_have_types(void **state)
{
    (void)state;
    static const struct { const char *column; q_type type; } columns[] = {
        { "count(*)", Q_T_INT }, { "count(s)", Q_T_INT }, { "sum(i)", Q_T_INT }, { "sum(f)", Q_T_FLOAT }, { "sum(d)", Q_T_DECIMAL },
        { "sum(du)", Q_T_DURATION }, { "avg(i)", Q_T_FLOAT }, { "avg(d)", Q_T_DECIMAL }, { "avg(md)", Q_T_DURATION }, { "min(s)",
          Q_T_STRING },
        { "max(t)", Q_T_TIME }, { "max(doc.x)", Q_T_NULL }, { "sum(i) + 1", Q_T_INT }, { "max(u)", Q_T_UUID },
    };
    q_catalog *world = make_world();
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        char text[200];
        q_arena *arena = q_arena_new(0);
        snprintf(text, sizeof text, "SELECT %s FROM things", columns[i].column);
        const q_stmt *s = &check_ok(arena, world, q_slice_cstr(text))->stmts[0];
        if (s->columns[0].expr->type != columns[i].type || !s->aggregated)
            note("%s: %s\n", columns[i].column, q_type_name(s->columns[0].expr->type));
        q_arena_free(arena);
    }
    q_catalog_unref(world);
    none_noted();
}

/* The planner and the evaluation recurse over conditions. */
static void long_chains_of_and_and_or_stay_shallow(void **state)
{
    (void)state;
    q_catalog *world = make_world();
    q_arena *arena = q_arena_new(0);
    q_buf text = Q_BUF_INIT((size_t)1 << 20);
    q_buf_add_cstr(&text, "SELECT id FROM things WHERE i = 0");
    for (int i = 1; i < 20000; i++)
        q_buf_printf(&text, " OR i = %d AND f < 1", i);
    const q_expr *e = check_ok(arena, world, q_buf_slice(&text))->stmts[0].where;
    assert_int_equal(e->terms, 20000);
    assert_true(e->height <= 20);
    while (e->op == Q_OP_OR) /* the first leaf is still the first */
        e = e->a;
    assert_int_equal(e->b->value.i, 0);
    q_buf_free(&text);
    q_arena_free(arena);
    q_catalog_unref(world);
}

static void a_metric_sample_keeps_its_time(void **state)
{
    (void)state;
    q_catalog *world = make_world();
    q_arena *arena = q_arena_new(0);
    const q_stmt *s = &check_ok(arena, world, Q_SLICE_LIT("INSERT INTO things { id: \"a\", m: 5 AT time(\"1970-01-01T00:00:01Z\") "
      "}"))->stmts[0];
    const q_expr *e = s->rows[0].assigns[1].expr;
    assert_int_equal(e->kind, Q_X_AT);
    assert_int_equal(e->type, Q_T_FLOAT);
    assert_true(e->a->value.type == Q_T_FLOAT && e->a->value.f == 5.0);
    assert_true(e->b->value.type == Q_T_TIME && e->b->value.i == 1000000);
    q_arena_free(arena);
    q_catalog_unref(world);
}

static void subqueries_are_listed_with_their_assert(void **state)
{
    (void)state;
    q_catalog *world = make_world();
    q_arena *arena = q_arena_new(0);
    q_script *sc = check_ok(arena, world, Q_SLICE_LIT("BEGIN; DELETE FROM zones; ASSERT EXISTS (SELECT id FROM things) AND "
                                                     "(SELECT count(*) FROM zones) = (SELECT i FROM things); COMMIT"));
    const q_stmt *s = &sc->stmts[2];
    assert_int_equal(s->number, 2);
    assert_int_equal(s->select_count, 3);
    assert_slice(s->selects[0]->record->name, "things");
    assert_slice(s->selects[1]->record->name, "zones");
    const q_expr *eq = s->where->b;
    assert_int_equal(eq->a->kind, Q_X_SUBQUERY);
    assert_int_equal(eq->a->select.index, 1);
    assert_int_equal(eq->b->select.index, 2);
    assert_ptr_equal(eq->b->select.stmt, s->selects[2]);
    assert_int_equal(s->selects[2]->number, 2);
    assert_int_equal(s->where->a->type, Q_T_BOOL);
    assert_int_equal(eq->a->type, Q_T_INT);
    assert_true(s->selects[1]->aggregated && !s->selects[2]->aggregated);
    q_arena_free(arena);
    q_catalog_unref(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_take_their_types_from_the_catalog),
        cmocka_unit_test(star_is_every_attribute_in_order),
        cmocka_unit_test(columns_have_types_and_names),
        cmocka_unit_test(aggregates_have_types),
        cmocka_unit_test(long_chains_of_and_and_or_stay_shallow),
        cmocka_unit_test(a_metric_sample_keeps_its_time),
        cmocka_unit_test(subqueries_are_listed_with_their_assert),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
