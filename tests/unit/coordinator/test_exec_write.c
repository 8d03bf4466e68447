/* Writes: what a transaction sees of itself, what each engine is told of it, what is said about changes, what refuses it. */
#include "fake_engines.h"

static fake_db db;

static int open_db(void **state)
{
    (void)state;
    fake_open(&db, "shop");
    must_run(&db, "CREATE BUCKET shop");
    must_run(&db, "CREATE RECORD drivers (id scalar string, name scalar string, email scalar string unique)");
    must_run(&db, "CREATE RECORD plain (id scalar int, a scalar int, b scalar string)");
    must_run(&db, "CREATE RECORD orders (id scalar string, total scalar float, n scalar int, code scalar decimal, customer document,"
                  "driver relation to drivers, helper relation to drivers, stops relation to plain many, took metric unit duration)");
    must_run(&db, "CREATE RECORD trips (id scalar int, driver relation to drivers required, guides relation to drivers many required, "
                  "note scalar string)");
    must_run(&db, "CREATE RECORD lost (id scalar int, at relation to nowhere required)");
    must_run(&db, "CREATE RECORD strict (id scalar int, name scalar string required)");
    must_run(&db, "INSERT INTO drivers { id: 'd1', name: 'Bob' }, { id: 'd2', name: 'Eve' }, { id: 'd3', name: 'Al' }");
    must_run(&db, "INSERT INTO orders { id: 'o1', total: 10, n: 1, customer: { name: 'Al', tags: ['x'] }, driver: relation('d1'), took: "
                  "duration('1h') },"
                  "{ id: 'o2', total: 20 }");
    return 0;
}

static int close_db(void **state)
{
    (void)state;
    fake_close(&db);
    return 0;
}

/* "pg PUT! o1 not_exists[total]; mongo DELETE o1": PUT! is full; preconditions: exists, not_exists, seq. */
static const char *items(void)
{
    static const char *const ops[] = { "", "PUT", "DELETE", "CHECK", "DDL" };
    q_buf b = Q_BUF_INIT(1 << 20);
    for (int e = 0; e < Q_EN_COUNT; e++)
        for (uint32_t i = 0; i < db.writes[e].count; i++) {
            const q_item *it = &db.writes[e].items[i];
            q_buf_printf(&b, "%s%s %s%s ", b.len ? "; " : "", FAKE_ENGINES[e], ops[it->op], it->full ? "!" : "");
            q_value_text(&it->id, &b);
            q_buf_printf(&b, "%s%s%s", it->pre & Q_PRE_EXISTS ? " exists" : "", it->pre & Q_PRE_NOT_EXISTS ? " not_exists" : "",
                         it->pre & Q_PRE_SEQ_IS ? " seq" : "");
            for (uint32_t f = 0; f < it->count; f++)
                q_buf_printf(&b, "%s%.*s%s", f ? "," : "[", Q_SLICE_FMT(it->fields[f].attr), f + 1 == it->count ? "]" : "");
        }
    q_slice s = q_arena_copy(db.run, q_buf_slice(&b));
    q_buf_free(&b);
    return s.ptr ? s.ptr : "";
}

static void expect_items(const char *text, const char *expected)
{
    must_run(&db, text);
    if (strcmp(items(), expected) != 0)
        fail_msg("%s\n  expected %s\n  got      %s", text, expected, items());
}

/* ---- what each engine is told ---- */

static void an_insert_is_a_full_put_where_there_is_something(void **state)
{
    (void)state;
    expect_items("INSERT INTO orders { id: 'n1', total: 1, n: NULL, customer: { a: 1 }, took: duration('1s') }",
                 "pg PUT! n1 not_exists[total]; mongo PUT! n1[customer]; influx PUT! n1[took]");
    expect_items("INSERT INTO orders { id: 'n2' }", "pg PUT! n2 not_exists");
    expect_items("INSERT INTO orders { id: 'n3', stops: [], driver: relation('d1') }",
                 "pg PUT! n3 not_exists; neo4j PUT! n3[driver,stops]");
}

static void an_update_puts_what_it_sets_and_checks_the_record(void **state)
{
    (void)state;
    expect_items("UPDATE orders SET total = 5 WHERE id = 'o1'", "pg PUT o1 exists[total]");
    assert_int_equal(db.rounds, 0);
    expect_items("UPDATE orders SET customer = { x: 1 } WHERE id = 'o1'", "pg CHECK o1 exists; mongo PUT o1[customer]");
    assert_int_equal(db.rounds, 0);
    expect_items("UPDATE orders SET customer.x = 2 WHERE id = 'o1'", "pg CHECK o1 seq; mongo PUT o1 seq[customer]");
    expect_items("UPDATE orders SET customer.x = 2 WHERE id = 'o2'", "pg CHECK o2 seq; mongo PUT o2 not_exists[customer]");
    expect_items("UPDATE orders SET took = duration('5h') WHERE id = 'o1'", "pg CHECK o1 seq; influx PUT o1[took]");
    expect_items("UPDATE orders SET total = NULL, driver = NULL WHERE id = 'o1'", "pg PUT o1 exists[total]; neo4j PUT o1[driver]");
    expect_rows(&db, "SELECT total, driver FROM orders WHERE id = 'o1'", "[[null,null]]");
}

static void a_points_birth_is_that_of_its_record(void **state)
{
    (void)state;
    must_run(&db, "UPDATE orders SET took = duration('5h') WHERE id = 'o1'");
    const fake_part *pg = fake_find(&db, Q_EN_POSTGRES, Q_SLICE_LIT("orders"), &db.writes[Q_EN_INFLUX].items[0].id);
    assert_int_equal(db.writes[Q_EN_INFLUX].items[0].birth, pg->birth);
    assert_int_equal(db.writes[Q_EN_INFLUX].items[0].fields[0].value.at_us, db.time_us);
    must_run(&db, "UPDATE orders SET took = duration('6h') at time('2020-01-01T00:00:00Z') WHERE id = 'o1'");
    assert_int_equal(db.writes[Q_EN_INFLUX].items[0].fields[0].value.at_us, INT64_C(1577836800000000));
}

static void a_delete_takes_every_part(void **state)
{
    (void)state;
    expect_items("DELETE FROM plain WHERE id IN (2, 1)", "");
    must_run(&db, "INSERT INTO plain { id: 1 }, { id: 2 }");
    expect_items("DELETE FROM plain WHERE id IN (2, 1)", "pg DELETE 1 exists; pg DELETE 2 exists");
    assert_int_equal(db.rounds, 0);
    expect_items("DELETE FROM orders WHERE id = 'o1'", "pg DELETE o1 seq; mongo DELETE o1; neo4j DELETE o1; influx DELETE o1");
    assert_int_equal(db.rounds, 1); /* its points are of its birth */
    expect_rows(&db, "SELECT id FROM orders", "[[\"o2\"]]");
}

/* One item for each record and engine, whatever the statements were. */
static void statements_on_one_record_become_one_item(void **state)
{
    (void)state;
    static const struct { const char *text, *items; } t[] = {
        { "BEGIN; INSERT INTO plain { id: 1, a: 1 }; UPDATE plain SET a = 2, b = 'x' WHERE id = 1; COMMIT", "pg PUT! 1 not_exists[a,b]" },
        { "BEGIN; INSERT INTO plain { id: 2, a: 1 }; UPDATE plain SET a = NULL WHERE id = 2; COMMIT", "pg PUT! 2 not_exists" },
        { "BEGIN; UPDATE plain SET a = 2 WHERE id = 1; UPDATE plain SET b = 'y' WHERE id = 1; COMMIT", "pg PUT 1 exists[a,b]" },
        { "BEGIN; INSERT INTO plain { id: 3 }; DELETE FROM plain WHERE id = 3; COMMIT", "pg CHECK 3 not_exists" },
        { "BEGIN; DELETE FROM plain WHERE id = 1; INSERT INTO plain { id: 1, a: 9 }; COMMIT", "pg PUT! 1 exists[a]" },
        { "BEGIN; UPDATE plain SET a = 2 WHERE id = 1; DELETE FROM plain WHERE id = 1; COMMIT", "pg DELETE 1 exists" },
        { "BEGIN; INSERT INTO plain { id: 1, a: 9 }; COMMIT", "pg PUT! 1 not_exists[a]" },
        { "BEGIN; DELETE FROM plain WHERE id = 1; INSERT INTO plain { id: 1 }; DELETE FROM plain WHERE id = 1; COMMIT", "pg DELETE 1 "
                                                                                                                        "exists" },
        { "BEGIN; DELETE FROM plain WHERE a > 5; INSERT INTO plain { id: 1 }; COMMIT", "pg PUT! 1 not_exists" },
        { "BEGIN; DELETE FROM plain WHERE id = 1; UPDATE plain SET a = 1 WHERE id = 1; COMMIT", "pg DELETE 1 exists" },
        { "BEGIN; DELETE FROM orders WHERE id = 'o1'; INSERT INTO orders { id: 'o1', customer: { a: 1 } }; COMMIT",
          "pg PUT! o1 seq; mongo PUT! o1[customer]; neo4j DELETE o1; influx DELETE o1" },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        expect_items(t[i].text, t[i].items);
    expect_rows(&db, "SELECT * FROM orders WHERE id = 'o1'", "[[\"o1\",null,null,null,{\"a\":1},null,null,null,null]]");
}

static void an_update_that_only_reads_a_null_sample_writes_nothing(void **state)
{
    (void)state;
    expect_count(&db, "UPDATE orders SET took = took + duration('1h') WHERE id = 'o2'", 1);
    assert_int_equal(db.out.participants, 0);
    assert_int_equal(db.out.event_count, 0);
}

/* ---- what a statement sees of the earlier ones ---- */

static void later_statements_see_earlier_ones(void **state)
{
    (void)state;
    expect_rows(&db, "BEGIN; INSERT INTO orders { id: 'a0', total: 15, customer: { name: 'New' }, driver: relation('d2'), took: "
                     "duration('3h') };"
                     "UPDATE orders SET total = total + 1; DELETE FROM orders WHERE id = 'o2'; UPDATE drivers SET name = 'Rob' WHERE id "
                     "= 'd1';"
                     "SELECT id, total, customer.name, driver.name, took FROM orders; COMMIT",
                "[[\"a0\",16.0,\"New\",\"Eve\",\"PT3H\"],[\"o1\",11.0,\"Al\",\"Rob\",\"PT1H\"]]");
    expect_rows(&db, "BEGIN; UPDATE orders SET total = 99 WHERE id = 'o1'; SELECT id FROM orders WHERE total > 50; COMMIT", "[[\"o1\"]]");
    expect_rows(&db, "BEGIN; UPDATE orders SET total = 1 WHERE id = 'o1'; SELECT id FROM orders WHERE total > 50; COMMIT", "[]");
    expect_rows(&db, "BEGIN; DELETE FROM drivers WHERE id = 'd2'; SELECT driver.name FROM orders WHERE id = 'a0'; COMMIT", "[[null]]");
}

static void a_statement_never_sees_itself(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO plain { id: 1, a: 1 }, { id: 2, a: 2 }, { id: 3, a: 3 }");
    db.page = 1;
    expect_count(&db, "UPDATE plain SET a = a + 1 WHERE a < 3", 2);
    expect_rows(&db, "SELECT a FROM plain", "[[2],[3],[3]]");
    must_run(&db, "INSERT INTO plain { id: 4, a: 1, b: 'x' }");
    must_run(&db, "UPDATE orders SET n = 5, total = n WHERE id = 'o1'");
    expect_rows(&db, "SELECT n, total FROM orders WHERE id = 'o1'", "[[5,1.0]]");
}

static void samples_of_one_transaction_follow_their_time(void **state)
{
    (void)state;
    expect_rows(&db, "BEGIN; UPDATE orders SET took = duration('7h') at time('2000-01-01T00:00:00Z') WHERE id = 'o1';"
                     "SELECT took FROM orders WHERE id = 'o1'; COMMIT", "[[\"PT1H\"]]");
    expect_rows(&db, "BEGIN; UPDATE orders SET took = duration('8h') WHERE id = 'o1'; UPDATE orders SET took = duration('9h') at "
                     "time('2000-01-02T00:00:00Z') WHERE id = 'o1'; SELECT took FROM orders WHERE id = 'o1'; COMMIT", "[[\"PT8H\"]]");
    assert_string_equal(items(), "pg CHECK o1 seq; influx PUT o1[took,took]");
    expect_rows(&db, "BEGIN; UPDATE orders SET took = duration('2h') WHERE id = 'o1'; UPDATE orders SET took = took * 2 WHERE id = 'o1';"
                     "SELECT took FROM orders WHERE id = 'o1'; COMMIT", "[[\"PT4H\"]]");
    assert_string_equal(items(), "pg CHECK o1 seq; influx PUT o1[took]");
    expect_rows(&db, "SELECT took FROM orders WHERE id = 'o1'", "[[\"PT4H\"]]");
}

/* The sample that a transaction writes needn't be the latest: the stored one is asked for, and must be of this life. */
static void an_older_sample_does_not_hide_the_stored_one(void **state)
{
    (void)state;
    expect_rows(&db, "BEGIN; UPDATE orders SET took = duration('7h') at time('2000-01-01T00:00:00Z') WHERE id = 'o1'; SELECT id, took "
                     "FROM orders WHERE total > 5;"
                     "COMMIT", "[[\"o1\",\"PT1H\"],[\"o2\",null]]");
    db.stale_points = true;
    must_run(&db, "DELETE FROM orders WHERE id = 'o1'");
    must_run(&db, "INSERT INTO orders { id: 'o1', total: 10 }");
    expect_rows(&db, "BEGIN; UPDATE orders SET took = duration('7h') at time('2000-01-01T00:00:00Z') WHERE id = 'o1'; SELECT id, took "
                     "FROM orders WHERE total > 5;"
                     "COMMIT", "[[\"o1\",\"PT7H\"],[\"o2\",null]]");
}

static void a_record_that_is_replaced_begins_a_new_life(void **state)
{
    (void)state;
    db.stale_points = true;
    must_run(&db, "BEGIN; DELETE FROM orders WHERE id = 'o1'; INSERT INTO orders { id: 'o1', total: 1 }; COMMIT");
    expect_rows(&db, "SELECT total, took, customer, driver FROM orders WHERE id = 'o1'", "[[1.0,null,null,null]]");
    expect_rows(&db, "BEGIN; UPDATE orders SET n = 7 WHERE id = 'o1'; DELETE FROM orders WHERE id = 'o1'; INSERT INTO orders { id: 'o1' };"
                     "SELECT id, n, total, took, customer FROM orders; COMMIT", "[[\"o1\",null,null,null,null],[\"o2\",null,20.0,null,"
                                                                                "null]]");
}

static void what_is_read_after_an_insert_does_not_excuse_it(void **state)
{
    (void)state;
    expect_error(&db, "BEGIN; INSERT INTO orders { id: 'o2', total: 7 }; SELECT id, total FROM orders; COMMIT", Q_E_DUPLICATE_ID);
    expect_error(&db, "BEGIN; INSERT INTO orders { id: 'o2', total: 7 }; SELECT id, total FROM orders WHERE id = 'o2'; DELETE FROM "
                      "orders WHERE id = 'o2'; COMMIT",
                 Q_E_DUPLICATE_ID);
    expect_rows(&db, "SELECT total FROM orders WHERE id = 'o2'", "[[20.0]]");
}

static void lists_grow_and_shrink(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO plain { id: 1 }, { id: 2 }");
    must_run(&db, "UPDATE orders SET stops += relation(1), customer.tags += ['y', 'z'] WHERE id = 'o1'");
    must_run(&db, "UPDATE orders SET stops += [relation(2), relation(1)], customer.tags -= ['x'] WHERE id = 'o1'");
    expect_rows(&db, "SELECT stops, customer.tags FROM orders WHERE id = 'o1'", "[[[1,2,1],[\"y\",\"z\"]]]");
    must_run(&db, "UPDATE orders SET stops -= relation(1) WHERE id = 'o1'");
    expect_rows(&db, "SELECT stops FROM orders WHERE id = 'o1'", "[[[2]]]");
    must_run(&db, "UPDATE orders SET stops -= relation(2) WHERE id = 'o1'");
    expect_rows(&db, "SELECT stops FROM orders WHERE id = 'o1'", "[[[]]]");
    must_run(&db, "UPDATE orders SET stops -= relation(2), customer -= ['x'] WHERE id = 'o2'");
    must_run(&db, "UPDATE orders SET customer.a.b = NULL WHERE id = 'o2'");
    expect_rows(&db, "SELECT stops, customer FROM orders WHERE id = 'o2'", "[[null,null]]");
    must_run(&db, "UPDATE orders SET customer = [1], helper = driver WHERE id = 'o1'");
    must_run(&db, "UPDATE orders SET customer += [2, { a: 3 }] WHERE id = 'o1'");
    expect_rows(&db, "SELECT customer, helper FROM orders WHERE id = 'o1'", "[[[1,2,{\"a\":3}],\"d1\"]]");
}

static void assignments_take_the_attribute_s_type(void **state)
{
    (void)state;
    must_run(&db, "UPDATE orders SET total = n + 1, code = n * 3, customer.name = total WHERE id = 'o1'");
    expect_rows(&db, "SELECT total, code, customer.name FROM orders WHERE id = 'o1'", "[[2.0,\"3\",10.0]]");
    must_run(&db, "UPDATE orders SET customer.n = 7 WHERE id = 'o1'");
    must_run(&db, "UPDATE orders SET n = customer.n WHERE id = 'o1'");
    expect_error(&db, "UPDATE orders SET n = customer.tags WHERE id = 'o1'", Q_E_QQL_TYPE);
    assert_int_equal(db.err.statement, 1);
    assert_int_equal(db.err.column, 19);
    expect_error(&db, "UPDATE orders SET customer.name.first = 'x' WHERE id = 'o1'", Q_E_QQL_VALUE);
    expect_error(&db, "UPDATE orders SET n = n + 9223372036854775807", Q_E_VALUE_OUT_OF_RANGE);
    expect_rows(&db, "SELECT n FROM orders WHERE id = 'o1'", "[[7]]");
}

static void documents_and_relations_are_built_from_attributes(void **state)
{
    (void)state;
    must_run(&db, "UPDATE orders SET customer = { was: customer.name, list: [total, n + 1, { deep: [took] }], flag: total > 5 }, "
                  "stops = [relation(1), relation(2)] WHERE id = 'o1'");
    expect_rows(&db, "SELECT customer, stops FROM orders WHERE id = 'o1'",
                "[[{\"was\":\"Al\",\"list\":[10.0,2,{\"deep\":[\"PT1H\"]}],\"flag\":true},[1,2]]]");
    expect_rows(&db, "BEGIN; UPDATE orders SET customer = { n: [n], a: NULL } WHERE id = 'o2'; SELECT customer FROM orders WHERE id = "
                     "'o2'; COMMIT",
                "[[{\"n\":[null],\"a\":null}]]");
    must_run(&db, "UPDATE orders SET stops = [relation(3), relation(4)], helper = relation('d3') WHERE id = 'o2'");
    must_run(&db, "UPDATE orders SET stops += stops WHERE id = 'o2'");
    expect_rows(&db, "SELECT stops, helper FROM orders WHERE id = 'o2'", "[[[3,4,3,4],\"d3\"]]");
    must_run(&db, "INSERT INTO trips { id: 1, driver: relation('d1'), guides: [] }");
    must_run(&db, "UPDATE trips SET guides = [driver, relation('d2'), driver] WHERE id = 1");
    expect_rows(&db, "SELECT guides FROM trips", "[[[\"d1\",\"d2\",\"d1\"]]]");
}

static void ids_may_be_uuids_in_any_case(void **state)
{
    (void)state;
    must_run(&db, "CREATE RECORD things (id scalar uuid, other relation to things, data scalar bytes, at scalar time)");
    must_run(&db, "INSERT INTO things { id: 'AAAAAAAA-BBBB-4CCC-8DDD-EEEEEEEEEEEE', data: 'aGk=', at: '2024-01-01T00:00:00Z' },"
                  "{ id: '11111111-2222-4333-8444-555555555555', other: relation('aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee') }");
    expect_rows(&db, "SELECT id, data, other.data, other.at FROM things WHERE id = '11111111-2222-4333-8444-555555555555'",
                "[[\"11111111-2222-4333-8444-555555555555\",null,\"aGk=\",\"2024-01-01T00:00:00Z\"]]");
    expect_error(&db, "INSERT INTO things { id: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee' }", Q_E_DUPLICATE_ID);
    expect_count(&db, "UPDATE things SET at = at + duration('1d') WHERE id IN ('AAAAAAAA-bbbb-4ccc-8ddd-eeeeeeeeeeee', "
                      "'11111111-2222-4333-8444-555555555555')", 2);
    expect_rows(&db, "SELECT at, count(*) FROM things GROUP BY at, id, data ORDER BY at", "[[\"2024-01-02T00:00:00Z\",1],[null,1]]");
    assert_int_equal(db.rounds, 1);
}

/* ---- blind writes ---- */

static void a_blind_assumption_that_matters_is_looked_up(void **state)
{
    (void)state;
    /* an UPDATE that must not be assumed to have found something: the INSERT behind it depends on it */
    expect_count(&db, "BEGIN; UPDATE plain SET a = 1 WHERE id = 5; INSERT INTO plain { id: 5, a: 2 }; COMMIT", 1);
    assert_int_equal(db.rounds, 1);
    expect_error(&db, "BEGIN; UPDATE plain SET a = 1 WHERE id = 5; INSERT INTO plain { id: 5, a: 2 }; COMMIT", Q_E_DUPLICATE_ID);
    expect_count(&db, "BEGIN; DELETE FROM plain WHERE id = 6; INSERT INTO plain { id: 6 }; COMMIT", 1);
    assert_int_equal(db.retried_blind, 1);
    assert_string_equal(items(), "pg PUT! 6 not_exists");
}

static void the_counts_of_a_rollback_are_read(void **state)
{
    (void)state;
    expect_count(&db, "BEGIN; UPDATE plain SET a = 1 WHERE id = 5; ROLLBACK", 0);
    assert_true(db.out.rollback);
    assert_int_equal(db.out.participants, 0);
    must_run(&db, "BEGIN; INSERT INTO plain { id: 5 }; ROLLBACK");
    expect_rows(&db, "SELECT id FROM plain", "[]");
}

/* ---- required, unique ---- */

static void a_required_target_is_checked_with_the_prepare(void **state)
{
    (void)state;
    expect_items("INSERT INTO trips { id: 1, driver: relation('d1'), guides: [relation('d1'), relation('d2')] }",
                 "pg PUT! 1 not_exists; pg CHECK d1 exists; pg CHECK d2 exists; neo4j PUT! 1[driver,guides]");
    expect_error(&db, "INSERT INTO trips { id: 2, driver: relation('gone'), guides: [] }", Q_E_REQUIRED_MISSING);
    assert_int_equal(db.err.statement, 1);
    assert_non_null(strstr(db.err.message, "\"gone\""));
    expect_error(&db, "INSERT INTO trips { id: 2, guides: [] }", Q_E_REQUIRED_MISSING);
    expect_error(&db, "INSERT INTO lost { id: 2, at: relation('x') }", Q_E_REQUIRED_MISSING);
    expect_error(&db, "UPDATE trips SET driver = NULL WHERE id = 1", Q_E_REQUIRED_MISSING);
    expect_error(&db, "UPDATE trips SET guides += relation('gone') WHERE id = 1", Q_E_REQUIRED_MISSING);
    must_run(&db, "UPDATE trips SET guides += relation('d3') WHERE id = 1");
    expect_error(&db, "INSERT INTO strict { id: 1 }", Q_E_REQUIRED_MISSING);
    expect_error(&db, "BEGIN; INSERT INTO strict { id: 1, name: 'x' }; UPDATE strict SET name = NULL WHERE id = 1; COMMIT",
                 Q_E_REQUIRED_MISSING);
    assert_int_equal(db.err.statement, 2);
}

static void a_transaction_may_bring_its_required_target_along(void **state)
{
    (void)state;
    must_run(&db, "BEGIN; INSERT INTO trips { id: 1, driver: relation('new'), guides: [] }; INSERT INTO drivers { id: 'new' }; COMMIT");
    expect_error(&db, "BEGIN; DELETE FROM drivers WHERE id = 'd3'; INSERT INTO trips { id: 2, driver: relation('d3'), guides: [] }; COMMIT",
                 Q_E_REQUIRED_MISSING);
    expect_error(&db, "BEGIN; SELECT id FROM drivers WHERE id = 'gone'; INSERT INTO trips { id: 2, driver: relation('gone'), guides: [] "
                      "}; COMMIT",
                 Q_E_REQUIRED_MISSING);
}

static void what_others_require_is_not_deleted(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO trips { id: 1, driver: relation('d1'), guides: [relation('d2')] }");
    expect_error(&db, "DELETE FROM drivers WHERE id = 'd1'", Q_E_REQUIRED_BY_OTHERS);
    assert_string_equal(db.err.message, "drivers \"d1\" is the driver of trips \"1\".");
    expect_error(&db, "DELETE FROM drivers WHERE name = 'Eve'", Q_E_REQUIRED_BY_OTHERS);
    expect_count(&db, "DELETE FROM drivers WHERE id = 'd3'", 1);
    expect_count(&db, "BEGIN; DELETE FROM trips WHERE id = 1; DELETE FROM drivers WHERE id = 'd1'; COMMIT", 1);
    must_run(&db, "BEGIN; INSERT INTO drivers { id: 'd1' }, { id: 'd4' }; INSERT INTO trips { id: 1, driver: relation('d1'), guides: [] "
                  "}; COMMIT");
    expect_count(&db, "BEGIN; UPDATE trips SET driver = relation('d4') WHERE id = 1; DELETE FROM drivers WHERE id = 'd1'; COMMIT", 1);
    /* replaced, it is there again */
    expect_count(&db, "BEGIN; DELETE FROM drivers WHERE id = 'd4'; INSERT INTO drivers { id: 'd4' }; COMMIT", 1);
    expect_error(&db, "BEGIN; UPDATE trips SET note = 'x' WHERE id = 1; DELETE FROM drivers WHERE id = 'd4'; COMMIT",
                 Q_E_REQUIRED_BY_OTHERS);
    assert_int_equal(db.err.statement, 2);
}

/* ---- events ---- */

static void each_changed_record_has_one_event(void **state)
{
    (void)state;
    must_run(&db, "BEGIN; INSERT INTO plain { id: 7, a: 1, b: \"q\\\"\" }; UPDATE plain SET a = 2 WHERE id = 7; UPDATE orders SET total "
                  "= total, customer.name = 'Z',"
                  "driver = NULL, took = duration('1h') WHERE id = 'o1'; DELETE FROM orders WHERE id = 'o2'; INSERT INTO plain { id: 8 };"
                  "DELETE FROM plain WHERE id = 8; COMMIT");
    assert_int_equal(db.out.event_count, 3);
    char want[300];
    snprintf(want, sizeof want, "{\"seq\":%llu,\"index\":0,\"bucket\":\"shop\",\"record\":\"plain\",\"id\":7,\"op\":\"insert\","
                                "\"after\":{\"a\":2,\"b\":\"q\\\"\"}}",
             (unsigned long long)db.seq);
    assert_int_equal(db.out.events[0].value.len, strlen(want));
    assert_memory_equal(db.out.events[0].value.ptr, want, strlen(want));
    assert_memory_equal(db.out.events[0].key.ptr, "7", 1);
    snprintf(want, sizeof want, "{\"seq\":%llu,\"index\":1,\"bucket\":\"shop\",\"record\":\"orders\",\"id\":\"o1\",\"op\":\"update\","
                                "\"after\":{\"total\":10.0,"
                                "\"customer\":{\"name\":\"Z\",\"tags\":[\"x\"]},\"driver\":null,\"took\":\"PT1H\"}}",
             (unsigned long long)db.seq);
    assert_int_equal(db.out.events[1].value.len, strlen(want));
    assert_memory_equal(db.out.events[1].value.ptr, want, strlen(want));
    snprintf(want, sizeof want, "{\"seq\":%llu,\"index\":2,\"bucket\":\"shop\",\"record\":\"orders\",\"id\":\"o2\",\"op\":\"delete\","
                                "\"after\":null}",
             (unsigned long long)db.seq);
    assert_int_equal(db.out.events[2].value.len, strlen(want));
    assert_memory_equal(db.out.events[2].value.ptr, want, strlen(want));
}

/* ---- refusals ---- */

static void refusals_name_their_statement(void **state)
{
    (void)state;
    q_script *script;
    q_exec *x = fake_plan(&db, "BEGIN; INSERT INTO trips { id: 1, driver: relation('d1'), guides: [] };\nUPDATE drivers SET name = 'q' "
                               "WHERE id = 'd2'; COMMIT", &script);
    q_exec_start(x, 1000, 1, true);
    assert_int_equal(fake_drive(&db, x), Q_EXEC_DONE);
    static const struct { q_no no; uint32_t item; q_code code; uint32_t statement; } t[] = {
        { Q_NO_EXISTS, 0, Q_E_DUPLICATE_ID, 1 }, { Q_NO_MISSING, 1, Q_E_REQUIRED_MISSING, 1 }, { Q_NO_CHANGED, 2, Q_E_CHANGED_OUTSIDE, 2 },
        { Q_NO_MISSING, 2, Q_E_CHANGED_OUTSIDE, 2 }, { Q_NO_DUPLICATE_VALUE, 0, Q_E_DUPLICATE_VALUE, 1 }, { Q_NO_STALE, 0,
            Q_E_CHANGED_OUTSIDE, 1 },
        { Q_NO_LOCKED, 2, Q_E_PARTICIPANT_REFUSED, 2 }, { Q_NO_ENGINE_DOWN, 99, Q_E_ENGINE_DOWN, 0 }, { Q_NO_REFUSED, 0,
            Q_E_ENGINE_REFUSED, 1 },
        { Q_NO_MISSING, 99, Q_E_ENGINE_REFUSED, 0 },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        q_vote v = { .seq = 1000, .no = t[i].no, .item = t[i].item, .text = Q_SLICE_LIT("why") };
        q_err err = Q_ERR_INIT;
        q_exec_refused(x, Q_EN_POSTGRES, &v, &err);
        if (err.code != t[i].code || err.statement != t[i].statement)
            fail_msg("%zu: %s, statement %u: %s", i, q_code_name(err.code), err.statement, err.message);
        assert_int_equal(err.line, t[i].statement);
    }
}

static void what_is_changed_outside_is_refused(void **state)
{
    (void)state;
    q_script *script;
    bool again;
    q_exec *x = fake_plan(&db, "UPDATE orders SET total = total + 1 WHERE id = 'o1'", &script);
    db.seq += 10;
    q_exec_start(x, db.seq, 1, true);
    assert_int_equal(fake_drive(&db, x), Q_EXEC_DONE);
    q_value id = { .type = Q_T_STRING, .s = Q_SLICE_LIT("o1") };
    fake_find(&db, Q_EN_POSTGRES, Q_SLICE_LIT("orders"), &id)->seq++;
    assert_false(fake_commit(&db, x, &again));
    assert_false(again);
    assert_int_equal(db.err.code, Q_E_CHANGED_OUTSIDE);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_db, close_db)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_insert_is_a_full_put_where_there_is_something),
        T(an_update_puts_what_it_sets_and_checks_the_record),
        T(a_points_birth_is_that_of_its_record),
        T(a_delete_takes_every_part),
        T(statements_on_one_record_become_one_item),
        T(an_update_that_only_reads_a_null_sample_writes_nothing),
        T(later_statements_see_earlier_ones),
        T(a_statement_never_sees_itself),
        T(samples_of_one_transaction_follow_their_time),
        T(an_older_sample_does_not_hide_the_stored_one),
        T(a_record_that_is_replaced_begins_a_new_life),
        T(what_is_read_after_an_insert_does_not_excuse_it),
        T(lists_grow_and_shrink),
        T(assignments_take_the_attribute_s_type),
        T(documents_and_relations_are_built_from_attributes),
        T(ids_may_be_uuids_in_any_case),
        T(a_blind_assumption_that_matters_is_looked_up),
        T(the_counts_of_a_rollback_are_read),
        T(a_required_target_is_checked_with_the_prepare),
        T(a_transaction_may_bring_its_required_target_along),
        T(what_others_require_is_not_deleted),
        T(each_changed_record_has_one_event),
        T(refusals_name_their_statement),
        T(what_is_changed_outside_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
