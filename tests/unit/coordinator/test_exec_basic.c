/* Whole statements from text to results over four fake engines: the specification's four, and what each kind of statement does. */
#include "fake_engines.h"

static fake_db db;

static const char *const SCHEMA[] = {
    "CREATE BUCKET shop",
    "CREATE RECORD drivers (id scalar string, name scalar string, note document)",
    "CREATE RECORD zones (id scalar string, name scalar string)",
    "CREATE RECORD stops (id scalar string, name scalar string, zones relation to zones many)",
    "CREATE RECORD routes (id scalar string, stops relation to stops many)",
    "CREATE RECORD orders (id scalar string, customer document, total_cost scalar float, delivery_route relation to routes, "
    "delivered_by relation to drivers, delivery_time metric unit duration)",
    "CREATE RECORD accounts (id scalar int, balance scalar int, owner scalar string)",
};

static int open_shop(void **state)
{
    (void)state;
    fake_open(&db, "shop");
    for (size_t i = 0; i < sizeof SCHEMA / sizeof *SCHEMA; i++)
        must_run(&db, SCHEMA[i]);
    return 0;
}

static int close_shop(void **state)
{
    (void)state;
    fake_close(&db);
    return 0;
}

static void fill_shop(void)
{
    must_run(&db, "BEGIN; INSERT INTO drivers { id: \"driver_004\", name: \"Bob\" }; INSERT INTO drivers { id: \"driver_005\", name: "
                  "\"Eve\" };"
                  "INSERT INTO zones { id: \"z1\", name: \"Zone A\" }, { id: \"z2\", name: \"Zone B\" };"
                  "INSERT INTO stops { id: \"s1\", zones: [relation(\"z2\")] }, { id: \"s2\", zones: [relation(\"z1\"), "
                  "relation(\"z2\")] };"
                  "INSERT INTO routes { id: \"route_789\", stops: [relation(\"s1\"), relation(\"s2\")] };"
                  "INSERT INTO routes { id: \"route_1\", stops: [relation(\"s1\")] }; COMMIT;");
    must_run(&db, "BEGIN TRANSACTION;\nINSERT INTO orders { id: \"order_123\", customer: { id: \"cust_001\", name: \"Alice\", "
                  "address: \"123 Market St\" },\n  total_cost: 89.50, delivery_time: duration(\"1d 3h\"),\n"
                  "  delivered_by: relation(\"driver_004\"), delivery_route: relation(\"route_789\") };\nCOMMIT;");
    must_run(&db, "INSERT INTO orders { id: \"order_124\", customer: { name: \"Zoe\" }, total_cost: 5, delivery_time: duration(\"3d\"),"
                  "delivered_by: relation(\"driver_005\"), delivery_route: relation(\"route_1\") }, { id: \"order_125\" }");
}

static void the_specification_s_four_statements(void **state)
{
    (void)state;
    fill_shop();
    expect_rows(&db, "SELECT id, customer.name, total_cost, delivery_time FROM orders\n"
                     "WHERE delivery_time > duration(\"1d\") AND delivered_by.name = \"Bob\";",
                "[[\"order_123\",\"Alice\",89.5,\"P1DT3H\"]]");
    expect_count(&db, "BEGIN TRANSACTION;\nUPDATE orders SET delivery_time = duration(\"2d 5h\") WHERE id = \"order_123\";\nCOMMIT;", 1);
    expect_rows(&db, "SELECT delivery_time FROM orders WHERE id = \"order_123\"", "[[\"P2DT5H\"]]");
    expect_rows(&db, "SELECT id, delivery_route FROM orders WHERE path(delivery_route -> stops -> zones).name = \"Zone A\";",
                "[[\"order_123\",\"route_789\"]]");
}

static void columns_carry_names_and_types(void **state)
{
    (void)state;
    fill_shop();
    assert_string_equal(must_run(&db, "SELECT id, customer.name, delivery_time AS t, delivered_by, delivery_route.stops, "
                                      "delivery_route.stops.id, total_cost > 6 AS big FROM orders WHERE id = \"order_123\""),
                        "[{\"statement\":1,\"kind\":\"select\",\"columns\":[{\"name\":\"id\",\"type\":\"string\"},"
                        "{\"name\":\"customer.name\",\"type\":\"document\"},{\"name\":\"t\",\"type\":\"duration\"},"
                        "{\"name\":\"delivered_by\",\"type\":\"relation\"},{\"name\":\"delivery_route.stops\",\"type\":\"relation[]\"},"
                        "{\"name\":\"delivery_route.stops.id\",\"type\":\"string[]\"},{\"name\":\"big\",\"type\":\"bool\"}],"
                        "\"rows\":[[\"order_123\",\"Alice\",\"P1DT3H\",\"driver_004\",[\"s1\",\"s2\"],[\"s1\",\"s2\"],true]]}]");
}

static void results_count_and_name_their_statement(void **state)
{
    (void)state;
    assert_string_equal(must_run(&db, "BEGIN; INSERT INTO accounts { id: 1, balance: 5 }, { id: 2, balance: 7 };"
                                      "UPDATE accounts SET balance = balance + 10 WHERE balance > 5; DELETE FROM accounts WHERE id = 9; "
                                      "COMMIT"),
                        "[{\"statement\":1,\"kind\":\"insert\",\"count\":2},{\"statement\":2,\"kind\":\"update\",\"count\":1},"
                        "{\"statement\":3,\"kind\":\"delete\",\"count\":0}]");
    expect_rows(&db, "SELECT * FROM accounts", "[[1,5,null],[2,17,null]]");
}

static void a_point_insert_asks_nothing_and_locks_its_id(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO accounts { id: 1, balance: 5 }");
    assert_int_equal(db.rounds, 0);
    assert_int_equal(db.out.participants, Q_EN_BIT(Q_EN_POSTGRES));
    assert_int_equal(db.locks.count, 3);
    assert_int_equal(db.locks.wants[0].mode, Q_LM_IX);
    assert_int_equal(db.locks.wants[1].mode, Q_LM_IX);
    assert_int_equal(db.locks.wants[2].mode, Q_LM_X);
    assert_int_equal(db.locks.wants[2].level, Q_LL_ID);
    const q_item *it = &db.writes[Q_EN_POSTGRES].items[0];
    assert_int_equal(it->op, Q_I_PUT);
    assert_int_equal(it->pre, Q_PRE_NOT_EXISTS);
    assert_true(it->full);
    assert_int_equal(it->count, 1);
}

static void a_blind_update_asks_nothing_and_begins_again_when_the_row_is_missing(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO accounts { id: 1, balance: 5 }");
    expect_count(&db, "UPDATE accounts SET balance = 9 WHERE id = 1", 1);
    assert_int_equal(db.rounds, 0);
    assert_true(db.out.may_be_missing);
    assert_int_equal(db.writes[Q_EN_POSTGRES].items[0].pre, Q_PRE_EXISTS);
    expect_count(&db, "UPDATE accounts SET balance = 9 WHERE id = 2", 0);
    assert_int_equal(db.retried_blind, 1);
    assert_int_equal(db.out.participants, 0);
    expect_count(&db, "DELETE FROM accounts WHERE id IN (1, 2)", 1);
    expect_rows(&db, "SELECT id FROM accounts", "[]");
}

static void a_transfer_reads_both_accounts_in_one_round(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO accounts { id: 1, balance: 50 }, { id: 2, balance: 5 }");
    must_run(&db, "BEGIN; UPDATE accounts SET balance = balance - 20 WHERE id = 1; UPDATE accounts SET balance = balance + 20 WHERE id = 2;"
                  "COMMIT");
    expect_reads(&db, "pg ids accounts[balance] 2");
    assert_int_equal(db.writes[Q_EN_POSTGRES].items[0].pre, Q_PRE_SEQ_IS);
    expect_rows(&db, "SELECT id, balance FROM accounts", "[[1,30],[2,25]]");
}

static void a_duplicate_id_is_named(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO accounts { id: 1 }");
    expect_error(&db, "BEGIN; INSERT INTO accounts { id: 2 }; INSERT INTO accounts { id: 1 }; COMMIT", Q_E_DUPLICATE_ID);
    assert_int_equal(db.err.statement, 2);
    assert_string_equal(db.err.message, "accounts \"1\" exists already.");
    expect_error(&db, "BEGIN; INSERT INTO accounts { id: 3 }; INSERT INTO accounts { id: 3 }; COMMIT", Q_E_DUPLICATE_ID);
    assert_int_equal(db.err.statement, 2);
    expect_error(&db, "BEGIN; ASSERT EXISTS (SELECT id FROM accounts WHERE id = 1); INSERT INTO accounts { id: 1 }; COMMIT",
                 Q_E_DUPLICATE_ID);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_shop, close_shop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_specification_s_four_statements),
        T(columns_carry_names_and_types),
        T(results_count_and_name_their_statement),
        T(a_point_insert_asks_nothing_and_locks_its_id),
        T(a_blind_update_asks_nothing_and_begins_again_when_the_row_is_missing),
        T(a_transfer_reads_both_accounts_in_one_round),
        T(a_duplicate_id_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
