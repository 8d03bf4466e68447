/* What bounds a transaction, each at its limit and one past; what a hostile worker may answer; memory that ends at any allocation. */
#include "fake_engines.h"

#include "coordinator/exec_run.h"

static fake_db db;

static int open_db(void **state)
{
    (void)state;
    fake_open(&db, "shop");
    must_run(&db, "CREATE BUCKET shop");
    must_run(&db, "CREATE RECORD drivers (id scalar string, name scalar string, note document)");
    must_run(&db, "CREATE RECORD orders (id scalar int, total scalar int, name scalar string, customer document, driver relation to "
                  "drivers, many relation to drivers many,"
                  "took metric int)");
    must_run(&db, "CREATE RECORD trips (id scalar int, driver relation to drivers required)");
    must_run(&db, "INSERT INTO drivers { id: 'd1', name: 'Bob', note: { a: [1, 2] } }, { id: 'd2', name: 'Eve' }");
    must_run(&db, "INSERT INTO orders { id: 1, total: 10, name: 'x', customer: { name: 'Al' }, driver: relation('d1'), many: "
                  "[relation('d1'), relation('d2')], took: 4 },"
                  "{ id: 2, total: 20, driver: relation('d2') }, { id: 3 }");
    return 0;
}

static int close_db(void **state)
{
    (void)state;
    fake_close(&db);
    return 0;
}

static void insert_many(const char *record, int from, int count, const char *rest)
{
    q_buf q = Q_BUF_INIT(8 << 20);
    while (count > 0) {
        int n = count < 10000 ? count : 10000;
        q_buf_clear(&q);
        q_buf_printf(&q, "INSERT INTO %s ", record);
        for (int i = 0; i < n; i++)
            q_buf_printf(&q, "%s{ id: %d%s }", i ? "," : "", from + i, rest);
        q_buf_add_byte(&q, 0);
        must_run(&db, q.ptr);
        from += n;
        count -= n;
    }
    q_buf_free(&q);
}

/* ---- large results ---- */

/* A scan whose engine makes rows up: `total` rows of `width` bytes of name. */
static q_exec_state scan_made_up(q_exec *x, int64_t rows_in_all, uint32_t page, size_t width)
{
    const q_exec_read *reads;
    size_t n;
    int64_t next = 1;
    char *name = malloc(width + 1);
    q_row *rows = calloc(page, sizeof *rows);
    q_value *values = calloc(page, sizeof *values);
    assert_true(name && rows && values);
    memset(name, 'n', width);
    q_exec_state s;
    while ((s = q_exec_next(x, &reads, &n, &db.out, &db.err)) == Q_EXEC_READS) {
        assert_int_equal(n, 1);
        q_rows out = { .read_id = reads[0].read.read_id, .attr_count = reads[0].read.attr_count, .rows = rows };
        uint32_t most = reads[0].read.limit < page ? reads[0].read.limit : page;
        for (; out.count < most && next <= rows_in_all; next++) {
            values[out.count] = (q_value){ .type = Q_T_STRING, .s = { name, width } };
            rows[out.count] = (q_row){ .id = { .type = Q_T_INT, .i = next }, .seq = 9, .birth = 9, .values = &values[out.count] };
            out.count++;
        }
        out.more = next <= rows_in_all;
        assert_int_equal(q_exec_feed(x, out.read_id, &out, &db.err), Q_OK);
    }
    free(name);
    free(rows);
    free(values);
    return s;
}

static q_exec_state scan_query(const char *text, int64_t rows, uint32_t page, size_t width, uint32_t parts)
{
    q_script *script;
    q_exec *x = fake_plan(&db, text, &script);
    if (!x)
        fake_fail(&db, text);
    if (parts)
        q_exec_allow_parts(x, parts);
    q_exec_start(x, script->read_only ? 0 : 100, 1, true);
    return scan_made_up(x, rows, page, width);
}

static void a_scan_of_a_million_rows_holds_one_page(void **state)
{
    (void)state;
    assert_int_equal(scan_query("SELECT count(*), max(name), sum(id) FROM orders WHERE name LIKE 'n%'", 1000000, 5000, 20, 0), Q_EXEC_DONE);
    assert_non_null(strstr(db.out.results[0].ptr, "[[1000000,\"nnnnnnnnnnnnnnnnnnnn\",500000500000]]"));
    assert_true(q_arena_bytes(db.run) < 8 << 20);
    assert_int_equal(scan_query("SELECT id FROM orders ORDER BY name, id DESC LIMIT 1", 300000, 5000, 100, 0), Q_EXEC_DONE);
    assert_non_null(strstr(db.out.results[0].ptr, "[[300000]]"));
    assert_true(q_arena_bytes(db.run) < 8 << 20);
}

static void a_result_has_a_size_unless_it_may_have_parts(void **state)
{
    (void)state;
    /* rows are ["nnn…"] and a comma: 1000 bytes each */
    assert_int_equal(scan_query("SELECT name FROM orders", Q_EXEC_MAX_RESULT_BYTES / 1000 - 1, 100, 995, 0), Q_EXEC_DONE);
    assert_int_equal(db.out.part_count, 1);
    assert_true(db.out.results[0].len <= Q_EXEC_MAX_RESULT_BYTES);
    assert_int_equal(scan_query("SELECT name FROM orders", Q_EXEC_MAX_RESULT_BYTES / 1000 + 1, 100, 995, 0), Q_EXEC_FAILED);
    assert_int_equal(db.err.code, Q_E_RESULT_TOO_LARGE);
    assert_int_equal(scan_query("SELECT name FROM orders ORDER BY name", Q_EXEC_MAX_RESULT_BYTES / 1000 + 1, 100, 995, 0), Q_EXEC_FAILED);
    assert_int_equal(db.err.code, Q_E_RESULT_TOO_LARGE);
    assert_int_equal(scan_query("SELECT name FROM orders", 3 * (Q_EXEC_MAX_RESULT_BYTES / 1000), 100, 995, 9), Q_EXEC_DONE);
    assert_in_range(db.out.part_count, 3, 4);
    uint64_t rows = 0;
    for (uint32_t p = 0; p < db.out.part_count; p++) {
        assert_int_equal(db.out.parts[p].result_count, 1);
        q_slice s = db.out.parts[p].results[0];
        assert_true(s.len <= Q_EXEC_MAX_RESULT_BYTES);
        assert_memory_equal(s.ptr, "{\"statement\":1,\"kind\":\"select\",\"columns\":[", 42);
        assert_memory_equal(s.ptr + s.len - 4, "\"]]}", 4);
        for (const char *at = s.ptr; (at = memmem(at, (size_t)(s.ptr + s.len - at), "[\"n", 3)); at++)
            rows++;
    }
    assert_int_equal(rows, 3 * (Q_EXEC_MAX_RESULT_BYTES / 1000));
    assert_int_equal(scan_query("SELECT name FROM orders", 5000, 100, 995, 2), Q_EXEC_FAILED);
    assert_int_equal(db.err.code, Q_E_RESULT_TOO_LARGE);
    /* a row that is larger than a message never fits */
    assert_int_equal(scan_query("SELECT name FROM orders", 1, 1, 950000, 9), Q_EXEC_FAILED);
    assert_int_equal(db.err.code, Q_E_RESULT_TOO_LARGE);
    /* a writing transaction's result is one message */
    assert_int_equal(scan_query("BEGIN; SELECT name FROM orders; INSERT INTO orders { id: 7 }; COMMIT", 2000, 100, 995, 9), Q_EXEC_FAILED);
    assert_int_equal(db.err.code, Q_E_RESULT_TOO_LARGE);
    assert_int_equal(db.err.statement, 1);
}

/* ---- large writes ---- */

static void a_transaction_writes_so_many_records_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(scan_query("DELETE FROM drivers WHERE name <> 'x'", 0, 10, 1, 0), Q_EXEC_DONE);
    assert_int_equal(scan_query("UPDATE orders SET total = 1", Q_EXEC_MAX_ROWS, 5000, 1, 0), Q_EXEC_DONE);
    assert_int_equal(scan_query("UPDATE orders SET total = 1", Q_EXEC_MAX_ROWS + 1, 5000, 1, 0), Q_EXEC_FAILED);
    assert_int_equal(db.err.code, Q_E_WRITE_TOO_LARGE);
    assert_int_equal(db.err.statement, 1);
}

static void a_transaction_writes_so_many_bytes_and_no_more(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        q_buf q = Q_BUF_INIT(64 << 20);
        q_script *script;
        size_t each = (1 << 20) - 2000; /* a message has a megabyte: a row that writes many copies of a long string */
        q_buf_add_cstr(&q, "UPDATE orders SET name = '");
        for (size_t i = 0; i < each; i++)
            q_buf_add_byte(&q, 'w');
        q_buf_printf(&q, "' WHERE id IN (1, 2, 3, 4, 5, 6%s)", over ? ", 7" : "");
        q_buf_add_byte(&q, 0);
        q_exec *x = fake_plan(&db, q.ptr, &script);
        assert_non_null(x);
        q_exec_start(x, 100, 1, true);
        q_exec_state s = fake_drive(&db, x);
        assert_int_equal(s, over ? Q_EXEC_FAILED : Q_EXEC_DONE);
        if (over)
            assert_int_equal(db.err.code, Q_E_WRITE_TOO_LARGE);
        else
            assert_true(db.out.writes[0].len <= Q_EXEC_MAX_ENGINE_BYTES);
        q_buf_free(&q);
    }
}

static void groups_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(scan_query("SELECT count(*) FROM orders GROUP BY id LIMIT 1", Q_EXEC_MAX_ROWS, 5000, 1, 0), Q_EXEC_DONE);
    assert_int_equal(scan_query("SELECT count(*) FROM orders GROUP BY id LIMIT 1", Q_EXEC_MAX_ROWS + 1, 5000, 1, 0), Q_EXEC_FAILED);
    assert_int_equal(db.err.code, Q_E_RESULT_TOO_LARGE);
}

static void documents_and_relations_have_bounds(void **state)
{
    (void)state;
    char q[400];
    must_run(&db, "INSERT INTO drivers { id: 'big', note: { a: 'x' } }");
    for (int i = 0; i < 12; i++) {
        snprintf(q, sizeof q, "UPDATE drivers SET note = { a: { a: { a: { a: { a: { a: note.a } } } } } } WHERE id = 'big'");
        if (!fake_run(&db, q))
            break;
    }
    assert_int_equal(db.err.code, Q_E_DOCUMENT_LIMIT);
    q_buf b = Q_BUF_INIT(1 << 20);
    q_buf_add_cstr(&b, "UPDATE orders SET many = [");
    for (int i = 0; i < Q_MAX_RELATION_IDS; i++)
        q_buf_printf(&b, "%srelation('x')", i ? "," : "");
    q_buf_add_cstr(&b, "] WHERE id = 1");
    q_buf_add_byte(&b, 0);
    must_run(&db, b.ptr);
    q_buf_free(&b);
    expect_error(&db, "UPDATE orders SET many += relation('y') WHERE id = 1", Q_E_DOCUMENT_LIMIT);
}

/* Each of 2000 ends compared with each of 10000: cut off by the work it causes, not by patience. */
static void combinations_of_paths_are_bounded_by_their_work(void **state)
{
    (void)state;
    must_run(&db, "CREATE RECORD nodes (id scalar int, a relation to nodes many, b relation to nodes many)");
    insert_many("nodes", 1, 5000, "");
    q_buf b = Q_BUF_INIT(1 << 20);
    q_buf_add_cstr(&b, "INSERT INTO nodes { id: 0");
    for (int side = 0; side < 2; side++) {
        q_buf_printf(&b, ", %c: [", 'a' + side);
        for (int i = 1; i <= 5000; i++)
            q_buf_printf(&b, "%srelation(%d)", i > 1 ? "," : "", i);
        q_buf_add_cstr(&b, "]");
    }
    q_buf_add_cstr(&b, "}");
    q_buf_add_byte(&b, 0);
    must_run(&db, b.ptr);
    q_buf_free(&b);
    expect_error(&db, "SELECT id FROM nodes WHERE id = 0 AND a.id + b.id < 0", Q_E_QQL_LIMIT);
    expect_rows(&db, "SELECT id FROM nodes WHERE id = 0 AND a.id = 5000 AND b.id = 5000", "[[0]]");
    expect_error(&db, "SELECT a.id + b.id FROM nodes WHERE id = 0", Q_E_QQL_LIMIT);
    expect_error(&db, "SELECT count(a.id + b.id) FROM nodes WHERE id = 0", Q_E_QQL_LIMIT);
}

/* ---- what a worker may answer ---- */

static q_exec *one_read(const char *text, const q_exec_read **read)
{
    q_script *script;
    size_t n;
    q_exec *x = fake_plan(&db, text, &script);
    assert_non_null(x);
    q_exec_start(x, 100, 1, true);
    assert_int_equal(q_exec_next(x, read, &n, &db.out, &db.err), Q_EXEC_READS);
    return x;
}

static void answers_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const q_value one = { .type = Q_T_INT, .i = 1 }, two = { .type = Q_T_INT, .i = 2 },
        text = { .type = Q_T_STRING, .s = { "x", 1 } };
    static const q_value total[] = { { .type = Q_T_INT, .i = 5 }, { .type = Q_T_INT, .i = 6 } },
        wrong[] = { { .type = Q_T_STRING, .s = { "5", 1 } } };
    const q_exec_read *r;
    const char *by_id = "SELECT total FROM orders WHERE id = 1", *scan = "SELECT total FROM orders";
    static q_row good[] = { { .id = { .type = Q_T_INT, .i = 1 }, .seq = 3, .values = total },
        { .id = { .type = Q_T_INT, .i = 2 }, .seq = 3, .values = total } };
    static q_row backwards[2];
    backwards[0] = good[1];
    backwards[1] = good[0];
    static q_row other_id[] = { { .seq = 3, .values = total } }, other_type[] = { { .seq = 3, .values = total } },
        other_value[] = { { .seq = 3, .values = wrong } };
    other_id[0].id = two;
    other_type[0].id = text;
    other_value[0].id = one;
    const struct { const char *text; q_rows rows; q_rc rc; } t[] = {
        { by_id, { .attr_count = 1, .count = 1, .rows = good }, Q_OK }, { by_id, { .attr_count = 1 }, Q_OK },
        { by_id, { .attr_count = 0, .count = 1, .rows = good }, Q_FAIL }, { by_id, { .attr_count = 2, .count = 1, .rows = good }, Q_FAIL },
        { by_id, { .attr_count = 1, .count = 1, .rows = NULL }, Q_FAIL }, { by_id, { .attr_count = 1, .count = 1, .rows = other_id },
            Q_FAIL },
        { by_id, { .attr_count = 1, .count = 1, .rows = other_type }, Q_FAIL }, { by_id,
            { .attr_count = 1, .count = 1, .rows = other_value }, Q_FAIL },
        { by_id, { .attr_count = 1, .count = 1, .rows = good, .more = true }, Q_FAIL }, { scan,
            { .attr_count = 1, .count = 2, .rows = good }, Q_OK },
        { scan, { .attr_count = 1, .count = 2, .rows = backwards }, Q_FAIL }, { scan, { .attr_count = 1, .more = true }, Q_FAIL },
        { scan, { .rc = Q_FAIL, .code = Q_E_ENGINE_DOWN, .error = { "gone", 4 } }, Q_FAIL }, { scan, { .rc = Q_RETRY }, Q_FAIL },
        { by_id, { .rc = Q_FAIL, .code = Q_E_RESULT_TOO_LARGE }, Q_FAIL },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        q_exec *x = one_read(t[i].text, &r);
        q_rows rows = t[i].rows;
        rows.read_id = r->read.read_id;
        if (q_exec_feed(x, rows.read_id, &rows, &db.err) != t[i].rc)
            fail_msg("%zu: %s", i, db.err.message);
        if (t[i].rc == Q_OK)
            assert_int_equal(q_exec_feed(x, rows.read_id, &rows, &db.err), Q_OK); /* told twice */
    }
    q_exec *x = one_read(scan, &r);
    q_rows rows = { .attr_count = 1 };
    assert_int_equal(q_exec_feed(x, 0, &rows, &db.err), Q_FAIL);
    assert_int_equal(q_exec_feed(x, r->read.read_id + 1, &rows, &db.err), Q_FAIL);
}

static void answers_to_an_earlier_run_are_ignored(void **state)
{
    (void)state;
    const q_exec_read *r;
    size_t n;
    q_exec *x = one_read("UPDATE orders SET total = total + 1 WHERE id = 1", &r);
    uint64_t old = r->read.read_id;
    q_exec_start(x, 200, 1, false);
    q_rows early = { .attr_count = 9 };
    assert_int_equal(q_exec_feed(x, old, &early, &db.err), Q_OK);
    assert_int_equal(q_exec_next(x, &r, &n, &db.out, &db.err), Q_EXEC_READS);
    q_rows rows = { .attr_count = 9 };
    assert_int_equal(q_exec_feed(x, old, &rows, &db.err), Q_OK);
    assert_int_equal(q_exec_next(x, &r, &n, &db.out, &db.err), Q_EXEC_READS);
    assert_int_equal(n, 0); /* still waiting for this run's */
}

/* ---- memory that ends at any allocation ---- */

/* One call into the exec in a run is made with its `nth` allocation failing. Says whether that call failed; `reached`: was it made? */
static bool fails_in_call(const char *text, unsigned call, uint64_t nth, bool *reached)
{
    q_script *script;
    q_exec *x = NULL;
    const q_exec_read *reads;
    size_t n;
    unsigned calls = 0;
    *reached = false;
    fake_reset_counts(&db);
    assert_int_equal(q_ql_parse(db.run, q_slice_cstr(text), &script, &db.err), Q_OK);
    assert_int_equal(q_ql_check(db.run, script, db.catalog, db.bucket, NULL, 0, &db.err), Q_OK);
#define CALL(expression, failed)                         \
    do {                                                 \
        bool here = calls++ == call;                     \
        *reached = *reached || here;                     \
        q_arena_fail_after(here ? nth : 0);              \
        int rc_ = (int)(expression);                     \
        q_arena_fail_after(0);                           \
        if (rc_ == (int)(failed)) {                      \
            assert_int_equal(db.err.code, Q_E_LIMIT_MEMORY); \
            return true;                                 \
        }                                                \
        last = rc_;                                      \
    } while (0)
    int last;
    CALL(q_exec_plan(db.run, db.catalog, script, &x, &db.locks, &db.err), Q_FAIL);
    q_exec_start(x, 1000, 1, false);
    for (;;) {
        CALL(q_exec_next(x, &reads, &n, &db.out, &db.err), Q_EXEC_FAILED);
        if (last == Q_EXEC_DONE)
            return false;
        for (size_t i = 0; i < n; i++) {
            q_rows rows = fake_read(&db, &reads[i]);
            CALL(q_exec_feed(x, rows.read_id, &rows, &db.err), Q_FAIL);
        }
    }
#undef CALL
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "BEGIN; INSERT INTO orders { id: 9, total: 1, name: 'n', customer: { a: 1 }, many: [relation('d1')], took: 3 };"
        "UPDATE orders SET total = total + 1, customer.x = 2, many += relation('d2'), took = took + 1 WHERE total > 0; DELETE FROM "
        "orders WHERE id = 2; COMMIT",
        "SELECT id, customer.name, driver.name, path(many).name, many.note.a FROM orders WHERE many.name = 'Bob' OR name LIKE '%x%' "
        "ORDER BY name DESC, total LIMIT 2",
        "SELECT driver.name, count(*), sum(total), min(name), count(many.id) FROM orders GROUP BY driver.name HAVING count(*) > 0 ORDER "
        "BY 2",
        "BEGIN; ASSERT EXISTS (SELECT id FROM orders WHERE customer.name = 'Al') AND (SELECT count(*) FROM orders) = 3; INSERT INTO trips "
        "{ id: 1, driver: relation('d1') }; DELETE FROM drivers WHERE name = 'Eve'; COMMIT",
        "SHOW RECORD orders",
        "CREATE RECORD more (id scalar int, d document)",
    };
    db.page = 2;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        unsigned failures = 0;
        bool reached = true;
        for (unsigned call = 0; reached; call++)
            for (uint64_t nth = 1; reached && fails_in_call(texts[i], call, nth, &reached); nth++)
                failures++;
        assert_true(failures > 10);
    }
}

static void a_small_arena_is_refused_not_overrun(void **state)
{
    (void)state;
    for (size_t bytes = 8192; bytes < 200000; bytes += 4096) {
        q_arena_free(db.run);
        db.run = q_arena_new(bytes);
        const char *s = fake_run(&db, "SELECT id, customer, driver.note FROM orders WHERE name LIKE '%' OR total > 1 ORDER BY total");
        if (!s)
            assert_int_equal(db.err.code, Q_E_LIMIT_MEMORY);
    }
    expect_rows(&db, "SELECT count(*) FROM orders", "[[3]]");
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_db, close_db)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_scan_of_a_million_rows_holds_one_page),
        T(a_result_has_a_size_unless_it_may_have_parts),
        T(a_transaction_writes_so_many_records_and_no_more),
        T(a_transaction_writes_so_many_bytes_and_no_more),
        T(groups_are_bounded),
        T(documents_and_relations_have_bounds),
        T(combinations_of_paths_are_bounded_by_their_work),
        T(answers_that_do_not_fit_are_refused),
        T(answers_to_an_earlier_run_are_ignored),
        T(every_allocation_may_fail),
        T(a_small_arena_is_refused_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
