/* log_contract.h - what every log store promises (wal/log.h), as cmocka tests: LMDB's and the simulator's pass alike.
 *
 * A store's test file fills a log_contract and runs LOG_CONTRACT_TESTS with it as the initial state:
 *
 *     static log_contract c = { .open = open_mine, .wipe = wipe_mine };
 *     static int give(void **state) { c.wipe(&c); *state = &c; return 0; }
 *     const struct CMUnitTest tests[] = { LOG_CONTRACT_TESTS(give) };
 */
#ifndef Q_TESTS_LOG_CONTRACT_H
#define Q_TESTS_LOG_CONTRACT_H

#include "tests/unit/wal/log_steps.h"

typedef struct log_contract {
    void *ctx;
    q_log *(*open)(struct log_contract *c); /* creates it when new; after a close, the same durable content again */
    void (*wipe)(struct log_contract *c);   /* forgets everything */
} log_contract;

static q_log *lc_reopen(log_contract *c, q_log *log)
{
    log->ops->close(log);
    return c->open(c);
}

static void lc_new_log_is_empty_and_has_an_identity(void **state)
{
    log_contract *c = *state;
    q_log *log = c->open(c);
    q_arena *a = q_arena_new(0);
    q_err err = Q_ERR_INIT;
    q_log_info info;
    q_slice cluster, incarnation, again;
    log->ops->info(log, &info);
    assert_int_equal(info.first_lsn, 0);
    assert_int_equal(info.last_lsn, 0);
    assert_int_equal(lc_scan(log, 0).count, 0);
    assert_int_equal(log->ops->get(log, a, Q_LT_META, Q_SLICE_LIT(Q_LOG_META_CLUSTER), &cluster, &err), Q_OK);
    assert_int_equal(cluster.len, 8);
    assert_int_equal(log->ops->get(log, a, Q_LT_META, Q_SLICE_LIT(Q_LOG_META_INCARNATION), &incarnation, &err), Q_OK);
    assert_int_equal(incarnation.len, 16);
    log = lc_reopen(c, log);
    assert_int_equal(log->ops->get(log, a, Q_LT_META, Q_SLICE_LIT(Q_LOG_META_CLUSTER), &again, &err), Q_OK);
    assert_true(q_slice_eq(cluster, again));
    assert_int_equal(log->ops->get(log, a, Q_LT_META, Q_SLICE_LIT(Q_LOG_META_INCARNATION), &again, &err), Q_OK);
    assert_true(q_slice_eq(incarnation, again));
    q_arena_free(a);
    log->ops->close(log);
}

static void lc_what_was_committed_is_there_after_reopening(void **state)
{
    log_contract *c = *state;
    q_log *log = c->open(c);
    q_arena *a = q_arena_new(0);
    lc_append_run(log, 1, 3);
    q_log_op ops[] = { lc_append(a, 4, "four"), lc_put(Q_LT_POSITION, "t/0", "17"), lc_put(Q_LT_CATALOG, "b/x", "X") };
    lc_commit(log, ops, 3);
    for (int round = 0; round < 2; round++) {
        assert_string_equal(lc_text(log, a, 1), "record 1");
        assert_string_equal(lc_text(log, a, 4), "four");
        assert_string_equal(lc_text(log, a, 5), "");
        assert_string_equal(lc_text(log, a, 0), "");
        assert_string_equal(lc_get(log, a, Q_LT_POSITION, "t/0"), "17");
        assert_string_equal(lc_get(log, a, Q_LT_CATALOG, "b/x"), "X");
        assert_null(lc_get(log, a, Q_LT_META, "t/0"));
        log = lc_reopen(c, log);
    }
    q_log_info info;
    log->ops->info(log, &info);
    assert_int_equal(info.first_lsn, 1);
    assert_int_equal(info.last_lsn, 4);
    q_arena_free(a);
    log->ops->close(log);
}

static void lc_scan_goes_in_order_from_anywhere_and_stops_when_told(void **state)
{
    log_contract *c = *state;
    q_log *log = c->open(c);
    lc_append_run(log, 1, 100);
    lc_append_run(log, 101, 1);
    lc_seen s = lc_scan(log, 0);
    assert_int_equal(s.first, 1);
    assert_int_equal(s.last, 101);
    s = lc_scan(log, 50);
    assert_int_equal(s.first, 50);
    assert_int_equal(s.count, 52);
    assert_int_equal(lc_scan(log, 102).count, 0);
    lc_seen stop = { .stop_at = 7 };
    q_err err = Q_ERR_INIT;
    assert_int_equal(log->ops->scan(log, 3, lc_see_record, &stop, &err), Q_WAIT);
    assert_int_equal(stop.count, 5);
    log->ops->close(log);
}

static void lc_tables_are_apart_ordered_and_can_be_changed(void **state)
{
    log_contract *c = *state;
    q_log *log = c->open(c);
    q_arena *a = q_arena_new(0);
    q_log_op first[] = { lc_put(Q_LT_POSITION, "b", "1"), lc_put(Q_LT_POSITION, "a", "2"), lc_put(Q_LT_POSITION, "ab", ""), lc_put(Q_LT_CATALOG, "a", "other") };
    lc_commit(log, first, 4);
    /* within a group the later one counts; deleting what isn't there is nothing */
    q_log_op second[] = { lc_put(Q_LT_POSITION, "b", "x"), lc_put(Q_LT_POSITION, "b", "longer than before"), lc_put(Q_LT_POSITION, "c", "gone"),
                          lc_delete(Q_LT_POSITION, "c"), lc_delete(Q_LT_POSITION, "never"), lc_delete(Q_LT_POSITION, "a") };
    lc_commit(log, second, 6);
    for (int round = 0; round < 2; round++) {
        lc_seen s = { .keys = Q_BUF_INIT(4096) };
        q_err err = Q_ERR_INIT;
        assert_int_equal(log->ops->table(log, Q_LT_POSITION, lc_see_entry, &s, &err), Q_OK);
        q_buf_add_byte(&s.keys, 0);
        assert_string_equal(s.keys.ptr, "ab=;b=longer than before;");
        q_buf_free(&s.keys);
        lc_seen stop = { .stop_at = 1, .keys = Q_BUF_INIT(4096) };
        assert_int_equal(log->ops->table(log, Q_LT_POSITION, lc_see_entry, &stop, &err), Q_WAIT);
        assert_int_equal(stop.count, 1);
        q_buf_free(&stop.keys);
        assert_string_equal(lc_get(log, a, Q_LT_CATALOG, "a"), "other");
        log = lc_reopen(c, log);
    }
    q_arena_free(a);
    log->ops->close(log);
}

static void lc_trim_takes_the_oldest_and_numbers_go_on(void **state)
{
    log_contract *c = *state;
    q_log *log = c->open(c);
    q_arena *a = q_arena_new(0);
    q_log_info info;
    lc_append_run(log, 1, 2000);
    q_log_op trim = { .kind = Q_LO_TRIM, .lsn = 1500 };
    lc_commit(log, &trim, 1);
    q_log_op back = { .kind = Q_LO_TRIM, .lsn = 3 }; /* trimmed already: nothing */
    lc_commit(log, &back, 1);
    for (int round = 0; round < 2; round++) {
        assert_string_equal(lc_text(log, a, 1499), "");
        assert_string_equal(lc_text(log, a, 1500), "record 1500");
        lc_seen s = lc_scan(log, 1);
        assert_int_equal(s.first, 1500);
        assert_int_equal(s.last, 2000);
        log->ops->info(log, &info);
        assert_int_equal(info.first_lsn, 1500);
        log = lc_reopen(c, log);
    }
    trim.lsn = 2001;
    lc_commit(log, &trim, 1);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(lc_scan(log, 0).count, 0);
        assert_string_equal(lc_text(log, a, 2000), "");
        log->ops->info(log, &info);
        assert_int_equal(info.first_lsn, 2001);
        assert_int_equal(info.last_lsn, 2000);
        log = lc_reopen(c, log);
    }
    lc_append_run(log, 2001, 1);
    assert_string_equal(lc_text(log, a, 2001), "record 2001");
    assert_int_equal(lc_scan(log, 0).count, 1);
    q_arena_free(a);
    log->ops->close(log);
}

static void lc_senseless_groups_are_refused_whole(void **state)
{
    log_contract *c = *state;
    q_log *log = c->open(c);
    q_arena *a = q_arena_new(0);
    q_err err = Q_ERR_INIT;
    char long_key[Q_LOG_MAX_KEY_BYTES + 2];
    memset(long_key, 'k', sizeof long_key - 1);
    long_key[sizeof long_key - 1] = '\0';
    lc_append_run(log, 1, 1);
    const q_log_op bad[] = {
        lc_append(a, 3, "a gap"), lc_append(a, 1, "once more"), lc_put(Q_LT_COUNT, "k", "v"), lc_put((q_log_table)0, "k", "v"), lc_put(Q_LT_META, "", "v"),
        lc_put(Q_LT_META, long_key, "v"), { .kind = Q_LO_TRIM, .lsn = 9 }, { .kind = Q_LO_APPEND, .lsn = 2, .value = Q_SLICE_LIT("no record") },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        q_log_op group[] = { lc_put(Q_LT_META, "innocent", "v"), bad[i] };
        assert_int_equal(log->ops->commit(log, group, 2, &err), Q_FAIL);
        assert_int_not_equal(err.message[0], '\0');
    }
    assert_null(lc_get(log, a, Q_LT_META, "innocent"));
    long_key[Q_LOG_MAX_KEY_BYTES] = '\0';
    q_log_op longest = lc_put(Q_LT_META, long_key, "v");
    lc_commit(log, &longest, 1);
    lc_append_run(log, 2, 1);
    assert_string_equal(lc_text(log, a, 2), "record 2");
    q_arena_free(a);
    log->ops->close(log);
}

static void lc_groups_of_every_size_up_to_large_records(void **state)
{
    log_contract *c = *state;
    q_log *log = c->open(c);
    q_arena *a = q_arena_new(0);
    size_t sizes[] = { 0, 1, 300, 1990, 2000, 2100, 4070, 4100, 100000 };
    char *text = q_arena_alloc(a, 100001);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memset(text, 'a' + (int)i, sizes[i]);
        text[sizes[i]] = '\0';
        q_log_op op = lc_append(a, i + 1, text);
        lc_commit(log, &op, 1);
    }
    log = lc_reopen(c, log);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const char *t = lc_text(log, a, i + 1);
        assert_int_equal(strlen(t), sizes[i]);
        assert_true(sizes[i] == 0 || (t[0] == 'a' + (int)i && t[sizes[i] - 1] == t[0]));
    }
    q_arena_free(a);
    log->ops->close(log);
}

#define LOG_CONTRACT_TESTS(setup)                                                          \
    cmocka_unit_test_setup(lc_new_log_is_empty_and_has_an_identity, setup),                \
        cmocka_unit_test_setup(lc_what_was_committed_is_there_after_reopening, setup),     \
        cmocka_unit_test_setup(lc_scan_goes_in_order_from_anywhere_and_stops_when_told, setup), \
        cmocka_unit_test_setup(lc_tables_are_apart_ordered_and_can_be_changed, setup),     \
        cmocka_unit_test_setup(lc_trim_takes_the_oldest_and_numbers_go_on, setup),         \
        cmocka_unit_test_setup(lc_senseless_groups_are_refused_whole, setup),              \
        cmocka_unit_test_setup(lc_groups_of_every_size_up_to_large_records, setup)

#endif
