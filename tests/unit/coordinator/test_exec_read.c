/* Reads: what is asked of which engine in how many rounds, and what comes of paths, documents, metrics, order, groups and subqueries. */
#include "fake_engines.h"

static fake_db db;

static int open_db(void **state)
{
    (void)state;
    fake_open(&db, "shop");
    must_run(&db, "CREATE BUCKET shop");
    must_run(&db, "CREATE RECORD drivers (id scalar string, name scalar string, note document, speed metric)");
    must_run(&db, "CREATE RECORD stops (id scalar int, name scalar string, driver relation to drivers, next relation to stops)");
    must_run(&db, "CREATE RECORD orders (id scalar string, total scalar float, price scalar decimal, at scalar time, customer document,"
                  "driver relation to drivers, stops relation to stops many, later relation to nowhere, took metric unit duration)");
    must_run(&db, "INSERT INTO drivers { id: 'd1', name: 'Bob', note: { tags: ['x', 'y'], n: 1 }, speed: 50.5 }, { id: 'd2', name: "
                  "'Eve' }, { id: 'd3' }");
    must_run(&db, "INSERT INTO stops { id: 1, name: 'A', driver: relation('d1'), next: relation(2) }, { id: 2, name: 'B', driver: "
                  "relation('d2') },"
                  "{ id: 3, name: 'C', driver: relation('gone') }");
    must_run(&db, "INSERT INTO orders { id: 'o1', total: 10, price: 1.50, at: time('2024-05-01T00:00:00Z'), customer: { name: 'Al', "
                  "age: 30, vip: true },"
                  "  driver: relation('d1'), stops: [relation(1), relation(9), relation(2)], later: relation('x'), took: duration('1h') },"
                  "{ id: 'o2', total: 20, customer: { name: 'Cy', age: 30.5, list: [1, { k: 'v' }] }, driver: relation('gone'), stops: "
                  "[relation(3)] },"
                  "{ id: 'o3', total: 30, driver: relation('d2'), stops: [], took: duration('2d') }");
    return 0;
}

static int close_db(void **state)
{
    (void)state;
    fake_close(&db);
    return 0;
}

/* ---- what is sent ---- */

static void a_select_of_scalars_asks_postgres_only(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT id, total FROM orders WHERE id = 'o1'", "[[\"o1\",10.0]]");
    expect_reads(&db, "pg ids orders[total] 1");
    expect_rows(&db, "SELECT id FROM orders", "[[\"o1\"],[\"o2\"],[\"o3\"]]");
    expect_reads(&db, "pg scan orders[] 0 preds");
    expect_rows(&db, "SELECT count(*) FROM orders", "[[3]]");
    expect_reads(&db, "pg scan orders[] 0 preds");
}

static void one_round_asks_all_engines_of_a_named_record(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT total, customer.name, driver, took FROM orders WHERE id = 'o1'", "[[10.0,\"Al\",\"d1\",\"PT1H\"]]");
    expect_reads(&db, "pg ids orders[total] 1; mongo ids orders[customer] 1; neo4j ids orders[driver] 1; influx ids orders[took] 1");
    assert_int_equal(db.rounds, 1);
}

static void rounds_are_as_many_as_relations_deep(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT id, path(stops -> driver).name, stops.name FROM orders WHERE id = 'o1'",
                "[[\"o1\",[\"Bob\",\"Eve\"],[\"A\",\"B\"]]]");
    expect_reads(&db, "pg ids orders[] 1; neo4j ids orders[stops] 1 |; pg ids stops[name] 3; neo4j ids stops[driver] 3 |; pg ids "
                      "drivers[name] 2");
    /* only passed through: no question about what the way itself holds, but where it leads */
    expect_rows(&db, "SELECT path(stops -> driver).name FROM orders WHERE id = 'o1'", "[[[\"Bob\",\"Eve\"]]]");
    expect_reads(&db, "pg ids orders[] 1; neo4j ids orders[stops] 1 |; neo4j ids stops[driver] 3 |; pg ids drivers[name] 2");
}

static void statements_of_one_transaction_share_a_round(void **state)
{
    (void)state;
    must_run(&db, "BEGIN; SELECT total FROM orders WHERE id = 'o1'; SELECT price FROM orders WHERE id IN ('o1', 'o2'); UPDATE drivers "
                  "SET name = name"
                  " WHERE id = 'd1'; COMMIT");
    expect_reads(&db, "pg ids orders[total,price] 2; pg ids drivers[name] 1");
}

static void predicates_go_to_the_engine_that_holds_the_attribute(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT id FROM orders WHERE total > 15", "[[\"o2\"],[\"o3\"]]");
    expect_reads(&db, "pg scan orders[total] 1 preds");
    assert_int_equal(db.rows_sent, 2);
    expect_rows(&db, "SELECT id FROM orders WHERE customer.age = 30", "[[\"o1\"]]");
    expect_reads(&db, "mongo scan orders[customer] 1 preds |; pg ids orders[] 1");
    expect_rows(&db, "SELECT id FROM orders WHERE took > duration('1h') AND total BETWEEN 1 AND 40", "[[\"o3\"]]");
    expect_reads(&db, "pg scan orders[total] 2 preds; influx scan orders[took] 1 preds");
    expect_rows(&db, "SELECT id FROM orders WHERE driver = relation('d2')", "[[\"o3\"]]");
    expect_reads(&db, "neo4j scan orders[driver] 1 preds |; pg ids orders[] 1");
    expect_rows(&db, "SELECT id FROM orders WHERE took IS NULL", "[[\"o2\"]]");
    expect_reads(&db, "pg scan orders[] 0 preds |; influx ids orders[took] 3");
    expect_rows(&db, "SELECT id FROM orders WHERE NOT (total > 15)", "[[\"o1\"]]");
    expect_reads(&db, "pg scan orders[total] 0 preds");
    expect_rows(&db, "SELECT id FROM orders WHERE id >= 'o2' AND id < 'o3'", "[[\"o2\"]]");
    expect_reads(&db, "pg scan orders[] 2 preds");
}

/* Two engines filtered: whoever answered completely bounds what is asked of the others. */
static void complete_answers_are_intersected(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT driver FROM orders WHERE took > duration('1s') AND total > 15", "[[\"d2\"]]");
    expect_reads(&db, "pg scan orders[total] 1 preds; influx scan orders[took] 1 preds |; neo4j ids orders[driver] 1");
    for (int i = 0; i < 20; i++) {
        char q[100];
        snprintf(q, sizeof q, "INSERT INTO orders { id: 'p%02d', total: 50 }", i);
        must_run(&db, q);
    }
    db.page = 5; /* PostgreSQL has more pages, Influx is done: no more pages are needed */
    expect_rows(&db, "SELECT driver FROM orders WHERE took > duration('1s') AND total > 15", "[[\"d2\"]]");
    expect_reads(&db, "pg scan orders[total] 1 preds; influx scan orders[took] 1 preds |; pg ids orders[total] 1; neo4j ids "
                      "orders[driver] 2");
}

static void relations_are_followed_only_from_rows_that_are_left(void **state)
{
    (void)state;
    db.ignore_preds = true;
    expect_rows(&db, "SELECT id FROM orders WHERE total > 25 AND driver.name = 'Eve'", "[[\"o3\"]]");
    expect_reads(&db, "pg scan orders[total] 1 preds |; neo4j ids orders[driver] 1 |; pg ids drivers[name] 1");
}

static void limit_without_order_stops_the_scan(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        char q[100];
        snprintf(q, sizeof q, "INSERT INTO stops { id: %d, name: 'x' }", 100 + i);
        must_run(&db, q);
    }
    db.page = 10;
    expect_rows(&db, "SELECT id FROM stops WHERE name = 'x' LIMIT 3 OFFSET 2", "[[102],[103],[104]]");
    assert_int_equal(db.rounds, 1);
    expect_rows(&db, "SELECT id FROM stops LIMIT 2", "[[1],[2]]");
    assert_int_equal(db.rows_sent, 2);
    expect_rows(&db, "SELECT id FROM stops LIMIT 0", "[]");
    assert_int_equal(db.rounds, 0);
    expect_rows(&db, "SELECT count(*), min(id), max(id) FROM stops WHERE name = 'x'", "[[300,100,399]]");
    assert_true(db.rounds >= 30);
}

static void an_answer_too_large_is_asked_for_again_in_halves(void **state)
{
    (void)state;
    db.too_large = 1;
    expect_rows(&db, "SELECT customer.name FROM orders WHERE id IN ('o1', 'o2', 'o3')", "[[\"Al\"],[\"Cy\"],[null]]");
    expect_reads(&db, "pg ids orders[] 3; mongo ids orders[customer] 3 |; pg ids orders[] 1; pg ids orders[] 2; mongo ids "
                      "orders[customer] 1; "
                      "mongo ids orders[customer] 2 |; pg ids orders[] 1; pg ids orders[] 1; mongo ids orders[customer] 1; mongo ids "
                      "orders[customer] 1");
}

/* ---- what comes of it ---- */

static void a_relation_to_nothing_finds_nothing(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT driver, driver.name, later, later.any, stops.name FROM orders WHERE id = 'o2'",
                "[[\"gone\",null,null,null,[\"C\"]]]");
    expect_rows(&db, "SELECT driver.id FROM orders ORDER BY id", "[[\"d1\"],[null],[\"d2\"]]");
    must_run(&db, "UPDATE orders SET stops = [relation(1), relation(3), relation(2)] WHERE id = 'o3'");
    expect_rows(&db, "SELECT path(stops -> driver).name, path(stops -> driver).id FROM orders WHERE id = 'o3'",
                "[[[\"Bob\",\"Eve\"],[\"d1\",\"d2\"]]]");
    must_run(&db, "UPDATE orders SET stops = [] WHERE id = 'o3'");
    expect_rows(&db, "SELECT id FROM orders WHERE driver.name IS NULL", "[[\"o2\"]]");
    expect_rows(&db, "SELECT id FROM orders WHERE later.any = 1", "[]");
    expect_rows(&db, "SELECT id, stops, stops.name, path(stops -> driver).name FROM orders WHERE id = 'o3'", "[[\"o3\",[],[],[]]]");
}

static void a_path_matches_when_any_end_does(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT id FROM orders WHERE stops.name = 'B'", "[[\"o1\"]]");
    expect_rows(&db, "SELECT id FROM orders WHERE stops.name <> 'B'", "[[\"o1\"],[\"o2\"]]");
    expect_rows(&db, "SELECT id FROM orders WHERE stops.name = 'A' AND stops.name = 'B'", "[[\"o1\"]]");
    expect_rows(&db, "SELECT id FROM orders WHERE NOT stops.name = 'B'", "[[\"o2\"]]");
    expect_rows(&db, "SELECT id FROM orders WHERE path(stops -> driver).name = 'Eve'", "[[\"o1\"]]");
    expect_rows(&db, "SELECT id FROM orders WHERE path(stops -> driver).name IS NULL", "[[\"o2\"],[\"o3\"]]");
    expect_rows(&db, "SELECT id FROM orders WHERE path(stops -> next).name = driver.name OR stops.driver.note.tags[1] = 'y'", "[[\"o1\"]]");
    expect_rows(&db, "SELECT id, count(stops.id), min(stops.name) FROM orders GROUP BY id",
                "[[\"o1\",2,\"A\"],[\"o2\",1,\"C\"],[\"o3\",0,null]]");
    expect_rows(&db, "SELECT stops.id + 10 FROM orders WHERE id = 'o1'", "[[[11,12]]]");
}

static void one_comparison_stands_on_one_end(void **state)
{
    (void)state;
    /* stops 1 (A) and 2 (B): both sides mean the same stop */
    expect_rows(&db, "SELECT id FROM orders WHERE stops.id = 1 AND id = 'o1'", "[[\"o1\"]]");
    expect_rows(&db, "SELECT id FROM orders WHERE stops.id + stops.id = 3", "[]");
    expect_rows(&db, "SELECT id FROM orders WHERE stops.id + stops.id = 4", "[[\"o1\"]]");
}

static void a_self_relation_goes_round(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT id, next.name, next.next.name FROM stops", "[[1,\"B\",null],[2,null,null],[3,null,null]]");
}

static void documents_have_the_types_that_they_have(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT customer, customer.list[1].k, customer.list[7], customer.name.x FROM orders WHERE id = 'o2'",
                "[[{\"name\":\"Cy\",\"age\":30.5,\"list\":[1,{\"k\":\"v\"}]},\"v\",null,null]]");
    expect_rows(&db, "SELECT id FROM orders WHERE customer.age > 30", "[[\"o2\"]]");
    expect_rows(&db, "SELECT id FROM orders WHERE customer.age <> 'x'", "[]");
    expect_rows(&db, "SELECT id FROM orders WHERE customer.vip", "[[\"o1\"]]");
    expect_rows(&db, "SELECT id FROM orders WHERE customer.age IS NULL", "[[\"o3\"]]");
    expect_rows(&db, "SELECT customer.age + 1, customer.name + 1 FROM orders WHERE id = 'o1'", "[[31,null]]");
    expect_rows(&db, "SELECT id FROM orders ORDER BY customer.age DESC", "[[\"o2\"],[\"o1\"],[\"o3\"]]");
}

static void values_print_as_a3_says(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT price, at, took, total, customer.vip FROM orders WHERE id = 'o1'",
                "[[\"1.5\",\"2024-05-01T00:00:00Z\",\"PT1H\",10.0,true]]");
}

static void order_puts_nulls_last_and_ties_by_id(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT id FROM orders ORDER BY took", "[[\"o1\"],[\"o3\"],[\"o2\"]]");
    expect_rows(&db, "SELECT id FROM orders ORDER BY took DESC", "[[\"o3\"],[\"o1\"],[\"o2\"]]");
    expect_rows(&db, "SELECT id FROM orders ORDER BY took NULLS FIRST", "[[\"o2\"],[\"o1\"],[\"o3\"]]");
    expect_rows(&db, "SELECT id FROM orders ORDER BY total > 100, total DESC LIMIT 2", "[[\"o3\"],[\"o2\"]]");
    expect_rows(&db, "SELECT id FROM orders ORDER BY 1 = 1", "[[\"o1\"],[\"o2\"],[\"o3\"]]");
}

/* More rows than wait at once, each better than all before it: LIMIT keeps the best, in little memory. */
static void order_with_limit_keeps_the_best_of_many(void **state)
{
    (void)state;
    char *q = malloc(1 << 20);
    assert_non_null(q);
    size_t n = (size_t)snprintf(q, 64, "INSERT INTO stops ");
    for (int i = 0; i < 5000; i++)
        n += (size_t)snprintf(q + n, 64, "%s{ id: %d, name: '%05d' }", i ? "," : "", 1000 + i, i);
    must_run(&db, q);
    free(q);
    db.page = 700;
    expect_rows(&db, "SELECT id FROM stops ORDER BY name DESC LIMIT 2 OFFSET 1", "[[2],[1]]");
    expect_rows(&db, "SELECT id FROM stops WHERE id >= 1000 ORDER BY name DESC LIMIT 2 OFFSET 1", "[[5998],[5997]]");
    assert_true(q_arena_bytes(db.run) < 2 << 20);
    expect_rows(&db, "SELECT id FROM stops WHERE id >= 1000 ORDER BY name LIMIT 2 OFFSET 4998", "[[5998],[5999]]");
    expect_rows(&db, "SELECT count(*), sum(id) FROM stops WHERE id >= 1000", "[[5000,17497500]]");
}

static void aggregates_leave_nulls_out(void **state)
{
    (void)state;
    expect_rows(&db, "SELECT count(*), count(took), sum(took), avg(took), min(took), max(took) FROM orders",
                "[[3,2,\"P2DT1H\",\"P1DT30M\",\"PT1H\",\"P2D\"]]");
    expect_rows(&db, "SELECT count(*), sum(total), avg(total), min(total) FROM orders WHERE total > 99", "[[0,null,null,null]]");
    must_run(&db, "UPDATE orders SET price = 2 WHERE id = 'o2'");
    expect_rows(&db, "SELECT sum(price), avg(price), sum(customer.age), avg(customer.age), min(at) FROM orders",
                "[[\"3.5\",\"1.75\",60.5,30.25,\"2024-05-01T00:00:00Z\"]]");
}

static void sums_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO drivers { id: 'n1', note: { n: 9223372036854775807 } }, { id: 'n2', note: { n: 1 } }, { id: 'n3', note: "
                  "{ n: -5 } }");
    expect_error(&db, "SELECT sum(note.n) FROM drivers WHERE id IN ('n1', 'n2')", Q_E_VALUE_OUT_OF_RANGE);
    assert_int_equal(db.err.statement, 1);
    expect_rows(&db, "SELECT sum(note.n) FROM drivers WHERE id IN ('n1', 'n2', 'n3')", "[[9223372036854775803]]");
    expect_error(&db, "SELECT sum(note.tags) FROM drivers", Q_E_QQL_TYPE);
    expect_error(&db, "SELECT max(note.tags) FROM drivers", Q_E_QQL_TYPE);
}

static void groups_gather_equal_values_and_nulls(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO orders { id: 'p1', total: 10, customer: { age: 30.0 } }, { id: 'p2' }");
    expect_rows(&db, "SELECT customer.age, count(*) AS n FROM orders GROUP BY customer.age ORDER BY n DESC, customer.age",
                "[[30,2],[null,2],[30.5,1]]");
    expect_rows(&db, "SELECT total, count(*) AS n FROM orders GROUP BY total HAVING n > 1", "[[10.0,2]]");
    expect_rows(&db, "SELECT driver.name, sum(total) FROM orders GROUP BY driver.name ORDER BY driver.name",
                "[[\"Bob\",10.0],[\"Eve\",30.0],[null,30.0]]");
    expect_rows(&db, "SELECT count(*) FROM orders GROUP BY total > 15 LIMIT 1 OFFSET 1", "[[2]]");
    expect_rows(&db, "SELECT count(*) FROM orders WHERE id = 'none' GROUP BY total", "[]");
}

static void a_document_that_holds_equal_keys_in_another_order_is_one_group(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO drivers { id: 'm1', note: { a: { x: 1, y: 2 } } }, { id: 'm2', note: { a: { y: 2, x: 1.0 } } }");
    expect_rows(&db, "SELECT count(*) FROM drivers WHERE id >= 'm' GROUP BY note.a", "[[2]]");
}

static void asserts_look_at_subqueries(void **state)
{
    (void)state;
    must_run(&db, "BEGIN; ASSERT EXISTS (SELECT id FROM orders WHERE total > 15); ASSERT NOT EXISTS (SELECT id FROM orders WHERE total "
                  "> 99); COMMIT");
    must_run(&db, "ASSERT (SELECT count(*) FROM orders) = 3 AND (SELECT total FROM orders WHERE id = 'o1') = 10");
    must_run(&db, "ASSERT (SELECT id FROM orders ORDER BY total DESC LIMIT 1) = 'o3'");
    must_run(&db, "ASSERT (SELECT total FROM orders WHERE id = 'none') IS NULL");
    expect_error(&db, "BEGIN; SELECT id FROM orders; ASSERT (SELECT total FROM orders WHERE id = 'o1') > 10; COMMIT", Q_E_ASSERT_FAILED);
    assert_int_equal(db.err.statement, 2);
    expect_error(&db, "ASSERT (SELECT total FROM orders WHERE id = 'none') > 10", Q_E_ASSERT_FAILED);
    expect_error(&db, "ASSERT (SELECT total FROM orders) > 10", Q_E_QQL_VALUE);
    must_run(&db, "ASSERT EXISTS (SELECT id FROM orders LIMIT 1 OFFSET 2)");
    expect_error(&db, "ASSERT EXISTS (SELECT id FROM orders LIMIT 1 OFFSET 3)", Q_E_ASSERT_FAILED);
    expect_error(&db, "ASSERT EXISTS (SELECT id FROM orders LIMIT 0)", Q_E_ASSERT_FAILED);
    must_run(&db, "ASSERT EXISTS (SELECT count(*) FROM orders WHERE id = 'none')");
    expect_error(&db, "ASSERT EXISTS (SELECT count(*) FROM orders GROUP BY id HAVING count(*) > 1)", Q_E_ASSERT_FAILED);
}

static void a_metric_is_the_latest_sample_of_this_life(void **state)
{
    (void)state;
    db.stale_points = true; /* the engine still shows points of a life that a delete has ended */
    must_run(&db, "DELETE FROM orders WHERE id = 'o1'");
    must_run(&db, "INSERT INTO orders { id: 'o1', total: 1 }");
    expect_rows(&db, "SELECT took FROM orders WHERE id = 'o1'", "[[null]]");
    expect_rows(&db, "SELECT id FROM orders WHERE took > duration('1s')", "[[\"o3\"]]");
    must_run(&db, "UPDATE drivers SET speed = 10 at time('2000-01-01T00:00:00Z') WHERE id = 'd1'");
    expect_rows(&db, "SELECT speed FROM drivers WHERE id = 'd1'", "[[50.5]]");
    must_run(&db, "UPDATE drivers SET speed = 11 at time('2100-01-01T00:00:00Z') WHERE id = 'd1'");
    expect_rows(&db, "SELECT speed FROM drivers WHERE id = 'd1'", "[[11.0]]");
    must_run(&db, "UPDATE drivers SET speed = 12 WHERE id = 'd1'");
    expect_rows(&db, "SELECT speed FROM drivers WHERE id = 'd1'", "[[11.0]]");
}

static void a_relation_written_before_its_target_was_defined_finds_what_fits(void **state)
{
    (void)state;
    must_run(&db, "CREATE RECORD nowhere (id scalar int, any scalar int)");
    must_run(&db, "INSERT INTO nowhere { id: 1, any: 5 }");
    expect_rows(&db, "SELECT later, later.any FROM orders WHERE id = 'o1'", "[[\"x\",null]]");
    must_run(&db, "UPDATE orders SET later = relation(1) WHERE id = 'o1'");
    expect_rows(&db, "SELECT later, later.any FROM orders WHERE id = 'o1'", "[[1,5]]");
}

static void values_of_different_types_have_some_order_all_the_same(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO drivers { id: 'm1', note: { a: 'x' } }, { id: 'm2', note: { a: 5 } }, { id: 'm3', note: { a: true } }, { "
                  "id: 'm4', note: { a: [1] } },"
                  "{ id: 'm5', note: { a: 4.5 } }, { id: 'm6', note: { a: [0] } }, { id: 'm7' }");
    expect_rows(&db, "SELECT id FROM drivers WHERE id >= 'm' ORDER BY note.a",
                "[[\"m3\"],[\"m5\"],[\"m2\"],[\"m1\"],[\"m6\"],[\"m4\"],[\"m7\"]]");
    expect_rows(&db, "SELECT note.a, count(*) FROM drivers WHERE id >= 'm' GROUP BY note.a HAVING min(id) < 'm3' ORDER BY count(*), 1",
                "[[5,1],[\"x\",1]]");
}

static void an_odd_document_spoils_no_read(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO drivers { id: 'odd', note: { n: 'text' } }");
    expect_rows(&db, "SELECT id FROM drivers WHERE note.n + 1 = 2", "[[\"d1\"]]");
    expect_error(&db, "UPDATE drivers SET note.n = note.n + 1", Q_E_QQL_TYPE);
    expect_error(&db, "SELECT id FROM orders WHERE total / 0 > 1", Q_E_VALUE_OUT_OF_RANGE);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_db, close_db)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_select_of_scalars_asks_postgres_only),
        T(one_round_asks_all_engines_of_a_named_record),
        T(rounds_are_as_many_as_relations_deep),
        T(statements_of_one_transaction_share_a_round),
        T(predicates_go_to_the_engine_that_holds_the_attribute),
        T(complete_answers_are_intersected),
        T(relations_are_followed_only_from_rows_that_are_left),
        T(limit_without_order_stops_the_scan),
        T(an_answer_too_large_is_asked_for_again_in_halves),
        T(a_relation_to_nothing_finds_nothing),
        T(a_path_matches_when_any_end_does),
        T(one_comparison_stands_on_one_end),
        T(a_self_relation_goes_round),
        T(documents_have_the_types_that_they_have),
        T(values_print_as_a3_says),
        T(order_puts_nulls_last_and_ties_by_id),
        T(order_with_limit_keeps_the_best_of_many),
        T(aggregates_leave_nulls_out),
        T(sums_that_do_not_fit_are_refused),
        T(groups_gather_equal_values_and_nulls),
        T(a_document_that_holds_equal_keys_in_another_order_is_one_group),
        T(asserts_look_at_subqueries),
        T(a_metric_is_the_latest_sample_of_this_life),
        T(a_relation_written_before_its_target_was_defined_finds_what_fits),
        T(values_of_different_types_have_some_order_all_the_same),
        T(an_odd_document_spoils_no_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
