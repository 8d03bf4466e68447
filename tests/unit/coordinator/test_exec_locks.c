/* Locks known after planning (B1), each with the engines that it covers; definitions and SHOW. */
#include "fake_engines.h"

#include "coordinator/plan.h"

static fake_db db;

static int open_db(void **state)
{
    (void)state;
    fake_open(&db, "shop");
    must_run(&db, "CREATE BUCKET shop");
    must_run(&db, "CREATE RECORD drivers (id scalar string, name scalar string, note document)");
    must_run(&db, "CREATE RECORD stops (id scalar int, name scalar string, driver relation to drivers)");
    must_run(&db, "CREATE RECORD orders (id scalar string, total scalar float, customer document, driver relation to drivers, stops "
                  "relation to stops many,"
                  "later relation to nowhere, took metric)");
    must_run(&db, "CREATE RECORD users (id scalar int, email scalar string unique, name scalar string)");
    must_run(&db, "CREATE RECORD trips (id scalar int, driver relation to drivers required)");
    return 0;
}

static int close_db(void **state)
{
    (void)state;
    fake_close(&db);
    return 0;
}

/* "IX shop/orders pm; X shop/orders#o1 p": the bucket's own lock is left out unless it is alone. Engines p m n i. */
static const char *locks_of(const char *text)
{
    static const char *const modes[] = { "IS", "IX", "S", "SIX", "X" };
    q_script *script;
    q_buf b = Q_BUF_INIT(1 << 20);
    if (!fake_plan(&db, text, &script))
        fake_fail(&db, text);
    for (uint32_t i = 0; i < db.locks.count; i++) {
        const q_lock_want *w = &db.locks.wants[i];
        for (uint32_t j = 0; j < i; j++)
            assert_false(q_slice_eq(db.locks.wants[j].resource, w->resource));
        if (w->level == Q_LL_BUCKET && db.locks.count > 1)
            continue;
        q_buf_printf(&b, "%s%s ", b.len ? "; " : "", modes[w->mode]);
        for (size_t k = 0; k < w->resource.len; k++) {
            char c = w->resource.ptr[k];
            q_buf_printf(&b, "%c", c == '\0' ? '#' : c == '\1' ? '@' : c < ' ' ? '.' : c);
            if (w->level == Q_LL_ID && c == '\0') { /* the key of an int isn't text */
                q_value id;
                assert_int_equal(q_value_from_key((q_slice){ w->resource.ptr + k + 1, w->resource.len - k - 1 }, &id), Q_OK);
                q_value_text(&id, &b);
                break;
            }
        }
        q_buf_printf(&b, " %s%s%s%s", w->engines & 1 ? "p" : "", w->engines & 2 ? "m" : "", w->engines & 4 ? "n" : "",
                     w->engines & 8 ? "i" : "");
    }
    q_slice s = q_arena_copy(db.run, q_buf_slice(&b));
    q_buf_free(&b);
    return s.ptr ? s.ptr : "";
}

static void expect_locks(const char *text, const char *expected)
{
    const char *got = locks_of(text);
    if (strcmp(got, expected) != 0)
        fail_msg("%s\n  expected %s\n  got      %s", text, expected, got);
}

static void reads_lock_what_they_read(void **state)
{
    (void)state;
    expect_locks("SELECT total FROM orders WHERE id = 'o1'", "IS shop/orders p; S shop/orders#o1 p");
    expect_locks("SELECT total, customer.x FROM orders WHERE id = 'o1' AND took > 1", "IS shop/orders pmi; S shop/orders#o1 pmi");
    expect_locks("SELECT total FROM orders WHERE total > 1", "S shop/orders p");
    expect_locks("SELECT id FROM orders", "S shop/orders p");
    expect_locks("SELECT driver.name FROM orders WHERE id = 'o1'", "IS shop/orders pn; S shop/orders#o1 pn; S shop/drivers p");
    expect_locks("SELECT id FROM orders WHERE path(stops -> driver).note.x = 1", "S shop/orders pn; S shop/stops n; S shop/drivers pm");
    expect_locks("SELECT later.x FROM orders WHERE id = 'o1'", "IS shop/orders pn; S shop/orders#o1 pn; S shop/nowhere p");
    expect_locks("ASSERT EXISTS (SELECT id FROM users WHERE id = 1) AND (SELECT count(*) FROM orders) > 1",
                 "IS shop/users p; S shop/users#1 p; S shop/orders p");
    expect_locks("SHOW RECORDS", "");
}

static void writes_lock_what_they_write(void **state)
{
    (void)state;
    expect_locks("INSERT INTO orders { id: 'o1', customer: { a: 1 }, took: NULL }", "IX shop/orders pm; X shop/orders#o1 pm");
    expect_locks("INSERT INTO orders { id: 'o1' }, { id: 'o2', took: 1 }", "IX shop/orders pi; X shop/orders#o1 p; X shop/orders#o2 pi");
    expect_locks("UPDATE orders SET customer = { a: 1 } WHERE id = 'o1'", "IX shop/orders pm; X shop/orders#o1 pm");
    expect_locks("UPDATE orders SET total = 1 WHERE took > 1", "X shop/orders pi");
    expect_locks("UPDATE orders SET total = 1 WHERE driver.name = 'x'", "X shop/orders pn; S shop/drivers p");
    expect_locks("DELETE FROM orders WHERE id IN ('a', 'b')", "IX shop/orders pmni; X shop/orders#a pmni; X shop/orders#b pmni");
    expect_locks("DELETE FROM orders", "X shop/orders pmni");
}

static void each_resource_is_wanted_once_in_the_strongest_mode(void **state)
{
    (void)state;
    expect_locks("BEGIN; SELECT total FROM orders WHERE id = 'o1'; UPDATE orders SET customer = {} WHERE id = 'o1'; COMMIT",
                 "IX shop/orders pm; X shop/orders#o1 pm");
    expect_locks("BEGIN; SELECT total FROM orders; INSERT INTO orders { id: 'x' }; COMMIT", "SIX shop/orders p; X shop/orders#x p");
    expect_locks("BEGIN; SELECT id FROM orders; DELETE FROM orders; COMMIT", "X shop/orders pmni");
}

static void many_ids_lock_the_type(void **state)
{
    (void)state;
    for (int n = Q_PLAN_POINT_IDS; n <= Q_PLAN_POINT_IDS + 1; n++) {
        char q[2000];
        size_t at = (size_t)snprintf(q, sizeof q, "DELETE FROM users WHERE id IN (");
        for (int i = 0; i < n; i++)
            at += (size_t)snprintf(q + at, sizeof q - at, "%s%d", i ? "," : "", i);
        snprintf(q + at, sizeof q - at, ")");
        (void)locks_of(q);
        assert_int_equal(db.locks.count, n == Q_PLAN_POINT_IDS ? 3 + n : 3);
    }
}

static void unique_values_are_locked_and_freeing_one_waits_for_takers(void **state)
{
    (void)state;
    expect_locks("INSERT INTO users { id: 1, email: 'a' }", "IX shop/users p; X shop/users#1 p; IX shop/users@email p; X "
                                                            "shop/users@email#sa p");
    expect_locks("INSERT INTO users { id: 1, email: NULL }", "IX shop/users p; X shop/users#1 p; IX shop/users@email p");
    expect_locks("UPDATE users SET email = 'b' WHERE id = 1",
                 "IX shop/users p; X shop/users#1 p; SIX shop/users@email p; X shop/users@email#sb p");
    expect_locks("UPDATE users SET email = name WHERE id = 1", "IX shop/users p; X shop/users#1 p; X shop/users@email p");
    expect_locks("UPDATE users SET name = 'x' WHERE id = 1", "IX shop/users p; X shop/users#1 p");
    expect_locks("DELETE FROM users WHERE id = 1", "IX shop/users p; X shop/users#1 p; S shop/users@email p");
}

static void required_relations_lock_their_targets(void **state)
{
    (void)state;
    expect_locks("INSERT INTO trips { id: 1, driver: relation('d1') }",
                 "IX shop/trips pn; X shop/trips#1 pn; IS shop/drivers p; S shop/drivers#d1 p");
    expect_locks("UPDATE trips SET driver = relation('d2') WHERE id = 1",
                 "IX shop/trips pn; X shop/trips#1 pn; IS shop/drivers p; S shop/drivers#d2 p");
    expect_locks("DELETE FROM drivers WHERE id = 'd1'", "IX shop/drivers pm; X shop/drivers#d1 pm; S shop/trips n");
    /* not required: nothing */
    expect_locks("INSERT INTO orders { id: 'o', driver: relation('d1') }", "IX shop/orders pn; X shop/orders#o pn");
}

static void definitions_lock_their_object(void **state)
{
    (void)state;
    expect_locks("CREATE RECORD fresh (id scalar string, d document)", "X shop/fresh pm");
    expect_locks("CREATE RECORD fresh (id scalar string, d relation to drivers required)", "X shop/fresh pn; S shop/drivers p");
    expect_locks("DROP RECORD orders", "X shop/orders pmni");
    db.bucket = Q_SLICE_LIT("other");
    expect_locks("CREATE BUCKET other", "X other p");
    db.bucket = Q_SLICE_LIT("shop");
    expect_locks("DROP BUCKET shop CASCADE", "X shop pmni");
}

static void the_plan_names_all_engines(void **state)
{
    (void)state;
    q_script *script;
    assert_int_equal(q_exec_engines(fake_plan(&db, "SELECT total FROM orders WHERE id = 'x'", &script)), 1);
    assert_int_equal(q_exec_engines(fake_plan(&db, "SELECT path(stops -> driver).note FROM orders", &script)), 7);
    assert_int_equal(q_exec_engines(fake_plan(&db, "DELETE FROM orders", &script)), 15);
    assert_int_equal(q_exec_engines(fake_plan(&db, "SHOW RECORDS", &script)), 0);
}

/* ---- definitions and SHOW run ---- */

static void definitions_tell_the_engines_that_hold_them(void **state)
{
    (void)state;
    assert_string_equal(must_run(&db, "CREATE RECORD fresh (id scalar string, d document)"),
                        "[{\"statement\":1,\"kind\":\"create_record\",\"count\":1}]");
    assert_int_equal(db.out.participants, 3);
    const q_item *it = &db.writes[Q_EN_MONGO].items[0];
    assert_int_equal(it->op, Q_I_DDL);
    assert_int_equal(it->incarnation, db.seq);
    assert_int_equal(it->ddl.kind, Q_DDL_CREATE_RECORD);
    uint64_t born = db.seq;
    assert_string_equal(must_run(&db, "CREATE RECORD IF NOT EXISTS fresh (id scalar string)"),
                        "[{\"statement\":1,\"kind\":\"create_record\",\"count\":0}]");
    assert_int_equal(db.out.participants, 0);
    must_run(&db, "DROP RECORD fresh");
    assert_int_equal(db.out.participants, 3);
    assert_int_equal(db.writes[Q_EN_POSTGRES].items[0].incarnation, born);
    expect_error(&db, "DROP RECORD drivers", Q_E_RECORD_IN_USE);
}

static void a_dropped_record_comes_back_empty(void **state)
{
    (void)state;
    must_run(&db, "INSERT INTO users { id: 1, name: 'x' }");
    must_run(&db, "DROP RECORD users");
    must_run(&db, "CREATE RECORD users (id scalar int, name scalar string)");
    expect_rows(&db, "SELECT id FROM users", "[]"); /* reads of the new incarnation see no older part */
}

static void show_lists_the_catalog(void **state)
{
    (void)state;
    assert_string_equal(must_run(&db, "SHOW BUCKETS"), "[{\"statement\":1,\"kind\":\"show\",\"columns\":[{\"name\":\"bucket\","
                                                       "\"type\":\"string\"},"
                                                       "{\"name\":\"records\",\"type\":\"int\"}],\"rows\":[[\"shop\",5]]}]");
    expect_rows(&db, "SHOW RECORDS", "[[\"drivers\",1,3],[\"orders\",1,7],[\"stops\",1,3],[\"trips\",1,2],[\"users\",1,3]]");
    expect_rows(&db, "SHOW RECORD orders", "[[\"id\",\"scalar\",\"string\",null,null,null,false,false],[\"total\",\"scalar\",\"float\","
                                           "null,null,null,false,false],"
                                           "[\"customer\",\"document\",null,null,null,null,false,false],[\"driver\",\"relation\",null,"
                                           "\"drivers\",\"one\",null,false,false],"
                                           "[\"stops\",\"relation\",null,\"stops\",\"many\",null,false,false],[\"later\",\"relation\","
                                           "null,\"nowhere\",\"one\",null,false,false],"
                                           "[\"took\",\"metric\",\"float\",null,null,null,false,false]]");
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_db, close_db)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(reads_lock_what_they_read),
        T(writes_lock_what_they_write),
        T(each_resource_is_wanted_once_in_the_strongest_mode),
        T(many_ids_lock_the_type),
        T(unique_values_are_locked_and_freeing_one_waits_for_takers),
        T(required_relations_lock_their_targets),
        T(definitions_lock_their_object),
        T(the_plan_names_all_engines),
        T(definitions_tell_the_engines_that_hold_them),
        T(a_dropped_record_comes_back_empty),
        T(show_lists_the_catalog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
