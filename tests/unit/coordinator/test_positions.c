/* B7's low water: what was promised about positions, and a random run of crashes against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "coordinator/positions.h"

static q_err err;
static const uint8_t some_hash[16] = { 1, 2, 3 };

static q_position *begin(q_positions *p, int32_t partition, int64_t offset)
{
    q_position *m = NULL;
    assert_int_equal(q_positions_begin(p, partition, offset, some_hash, &m, &err), Q_OK);
    return m;
}

static void assert_seen(q_positions *p, int32_t partition, int64_t offset)
{
    q_position *m = NULL;
    assert_int_equal(q_positions_begin(p, partition, offset, some_hash, &m, &err), Q_END);
}

static size_t log_key_len;
static q_positions *fresh(void) { return q_positions_new(Q_SLICE_LIT("quanta.requests")); }

/* What the log holds: the entry of the one partition that the tests crash. */
static char log_key[100], log_value[1 << 16];
static size_t log_value_len;

static q_positions *crash(q_positions *p)
{
    q_positions *after = fresh();
    q_buf key = Q_BUF_INIT(sizeof log_key), value = Q_BUF_INIT(sizeof log_value);
    if (q_positions_write(p, false, &key, &value)) {
        assert_false(key.failed || value.failed);
        memcpy(log_key, key.ptr, log_key_len = key.len);
        memcpy(log_value, value.ptr, log_value_len = value.len);
    }
    assert_false(q_positions_changed(p));
    if (log_key_len)
        assert_int_equal(q_positions_load(after, q_slice_of(log_key, log_key_len), q_slice_of(log_value, log_value_len), &err), Q_OK);
    q_buf_free(&key);
    q_buf_free(&value);
    q_positions_free(p);
    return after;
}

static void the_low_water_waits_for_the_slowest(void **state)
{
    (void)state;
    q_positions *p = fresh();
    assert_int_equal(q_positions_next(p, 0), -1);
    q_position *a = begin(p, 0, 10), *b = begin(p, 0, 11), *c = begin(p, 0, 12);
    assert_int_equal(q_positions_next(p, 0), 10);
    q_positions_complete(p, b);
    assert_int_equal(q_positions_next(p, 0), 10);
    q_positions_complete(p, a);
    assert_int_equal(q_positions_next(p, 0), 12);
    q_positions_complete(p, c);
    assert_int_equal(q_positions_next(p, 0), 13);
    q_positions_free(p);
}

static void a_redelivered_message_is_known(void **state)
{
    (void)state;
    q_positions *p = fresh();
    q_position *a = begin(p, 0, 10);
    assert_seen(p, 0, 10); /* in flight */
    assert_seen(p, 0, 9);  /* from before the first */
    q_positions_complete(p, a);
    assert_seen(p, 0, 10);
    q_positions_free(p);
}

static void after_a_crash_only_what_was_not_complete_comes_again(void **state)
{
    (void)state;
    q_positions *p = fresh();
    log_key_len = 0;
    q_position *m[6];
    for (int i = 0; i < 6; i++)
        m[i] = begin(p, 3, 20 + i);
    q_positions_complete(p, m[0]);
    q_positions_complete(p, m[2]);
    q_positions_complete(p, m[4]);
    p = crash(p);
    assert_int_equal(q_positions_next(p, 3), 21);
    q_position *again = begin(p, 3, 21);
    assert_seen(p, 3, 22);
    assert_int_equal(q_positions_next(p, 3), 21);
    q_positions_complete(p, again);
    assert_int_equal(q_positions_next(p, 3), 23); /* 23 hasn't come again yet: it isn't complete */
    q_positions_complete(p, begin(p, 3, 23));
    assert_seen(p, 3, 24);
    q_positions_complete(p, begin(p, 3, 25));
    assert_int_equal(q_positions_next(p, 3), 26);
    q_positions_free(p);
}

static void offsets_that_the_topic_does_not_have_are_passed_over(void **state)
{
    (void)state;
    q_positions *p = fresh();
    log_key_len = 0;
    q_positions_complete(p, begin(p, 0, 5));
    q_positions_complete(p, begin(p, 0, 9));
    assert_int_equal(q_positions_next(p, 0), 10);
    /* Also one that was there before a crash and is gone after it. */
    begin(p, 0, 10);
    q_positions_complete(p, begin(p, 0, 11));
    p = crash(p);
    assert_int_equal(q_positions_next(p, 0), 10);
    q_positions_complete(p, begin(p, 0, 12));
    assert_int_equal(q_positions_next(p, 0), 13);
    q_positions_free(p);
}

static void the_last_complete_message_keeps_its_hash(void **state)
{
    (void)state;
    q_positions *p = fresh();
    log_key_len = 0;
    uint8_t h1[16], h2[16], got[16];
    int64_t offset;
    q_positions_hash_message(Q_SLICE_LIT("k"), Q_SLICE_LIT("v1"), h1);
    q_positions_hash_message(Q_SLICE_LIT("kv"), Q_SLICE_LIT("1"), h2);
    assert_memory_not_equal(h1, h2, 16);
    assert_false(q_positions_last(p, 0, &offset, got));
    q_position *a, *b;
    assert_int_equal(q_positions_begin(p, 0, 7, h1, &a, &err), Q_OK);
    assert_int_equal(q_positions_begin(p, 0, 8, h2, &b, &err), Q_OK);
    q_positions_complete(p, b);
    q_positions_complete(p, a);
    p = crash(p);
    assert_true(q_positions_last(p, 0, &offset, got));
    assert_int_equal(offset, 8);
    assert_memory_equal(got, h2, 16);
    q_positions_free(p);
}

static void what_may_return_is_what_the_log_says(void **state)
{
    (void)state;
    q_positions *p = fresh();
    q_positions_complete(p, begin(p, 0, 0));
    assert_true(q_positions_may_return(p, 0, 0));
    q_buf key = Q_BUF_INIT(100), value = Q_BUF_INIT(1000);
    assert_true(q_positions_write(p, false, &key, &value));
    assert_true(q_positions_may_return(p, 0, 0)); /* written, not durable */
    q_positions_durable(p);
    assert_false(q_positions_may_return(p, 0, 0));
    assert_true(q_positions_may_return(p, 0, 1));
    assert_false(q_positions_may_return(p, 7, 0)); /* another topic's partition */
    q_buf_free(&key);
    q_buf_free(&value);
    q_positions_free(p);
}

static void damaged_entries_are_refused(void **state)
{
    (void)state;
    q_positions *p = fresh();
    begin(p, 0, 10);
    q_positions_complete(p, begin(p, 0, 11));
    q_buf key = Q_BUF_INIT(100), value = Q_BUF_INIT(1000);
    assert_true(q_positions_write(p, false, &key, &value));
    q_positions *other = fresh();
    for (size_t cut = 0; cut < value.len; cut++)
        assert_int_equal(q_positions_load(other, q_buf_slice(&key), q_slice_of(value.ptr, cut), &err), Q_FAIL);
    static const char *bad[] = { "\x96\x02\x0a\x0c\x90\x00\xc4\x00", "\x96\x01\x0c\x0a\x90\x00\xc4\x00", "\x96\x01\x0a\x0c\x91\x02\x00\xc4\x00",
                                 "\x96\x01\x0a\x0c\x91\xff\x00\xc4\x00", "\x96\x01\x0a\x0c\x91\x01\x00\xc4\x00" };
    static const size_t len[] = { 8, 8, 9, 9, 9 };
    for (size_t i = 0; i < sizeof len / sizeof *len; i++) {
        q_positions *clean = fresh();
        assert_int_equal(q_positions_load(clean, q_buf_slice(&key), q_slice_of(bad[i], len[i]), &err), Q_FAIL);
        q_positions_free(clean);
    }
    assert_int_equal(q_positions_load(other, Q_SLICE_LIT("other.topic/0"), q_buf_slice(&value), &err), Q_OK);
    assert_int_equal(q_positions_next(other, 0), -1);
    q_buf_free(&key);
    q_buf_free(&value);
    q_positions_free(p);
    q_positions_free(other);
}

static void impossible_coordinates_are_refused(void **state)
{
    (void)state;
    q_positions *p = fresh();
    q_position *m;
    assert_int_equal(q_positions_begin(p, -1, 0, some_hash, &m, &err), Q_FAIL);
    assert_int_equal(q_positions_begin(p, 0, -1, some_hash, &m, &err), Q_FAIL);
    assert_int_equal(q_positions_begin(p, Q_POSITIONS_MAX_PARTITIONS, 0, some_hash, &m, &err), Q_FAIL);
    assert_int_equal(q_positions_begin(p, Q_POSITIONS_MAX_PARTITIONS - 1, 0, some_hash, &m, &err), Q_OK);
    q_positions_free(p);
}

static void no_request_runs_twice_or_is_lost_over_random_crashes(void **state)
{
    (void)state;
    enum { MESSAGES = 400 };
    srand(7);
    for (int round = 0; round < 40; round++) {
        q_positions *p = fresh();
        log_key_len = 0;
        bool done[MESSAGES] = { false };
        q_position *flying[MESSAGES] = { NULL };
        int next = 0, crashes = 0;
        for (bool all = false; !all;) {
            int what = rand() % 100;
            if (what < 50 && next < MESSAGES) {
                q_position *m = NULL;
                q_rc rc = q_positions_begin(p, 1, next, some_hash, &m, &err);
                assert_int_equal(rc, done[next] ? Q_END : Q_OK); /* done before a crash: never again; else always */
                flying[next] = m;
                next++;
            } else if (what < 97) {
                int from = rand() % MESSAGES;
                for (int i = from; i < MESSAGES && i < from + 20; i++)
                    if (flying[i]) {
                        q_positions_complete(p, flying[i]);
                        flying[i] = NULL;
                        done[i] = true;
                        break;
                    }
            } else if (crashes < 6) {
                crashes++;
                p = crash(p); /* everything complete was durable in this model */
                memset(flying, 0, sizeof flying);
                int64_t from = q_positions_next(p, 1);
                next = from < 0 ? 0 : (int)from;
                for (int i = 0; i < next; i++)
                    assert_true(done[i]);
            }
            all = true;
            for (int i = 0; i < MESSAGES; i++)
                all = all && done[i];
        }
        assert_int_equal(q_positions_next(p, 1), MESSAGES);
        assert_int_equal(q_positions_open_count(p), 0);
        q_positions_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_low_water_waits_for_the_slowest),
        cmocka_unit_test(a_redelivered_message_is_known),
        cmocka_unit_test(after_a_crash_only_what_was_not_complete_comes_again),
        cmocka_unit_test(offsets_that_the_topic_does_not_have_are_passed_over),
        cmocka_unit_test(the_last_complete_message_keeps_its_hash),
        cmocka_unit_test(what_may_return_is_what_the_log_says),
        cmocka_unit_test(damaged_entries_are_refused),
        cmocka_unit_test(impossible_coordinates_are_refused),
        cmocka_unit_test(no_request_runs_twice_or_is_lost_over_random_crashes),
    };
    return cmocka_run_group_tests_name("positions", tests, NULL, NULL);
}
