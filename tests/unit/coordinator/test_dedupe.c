/* B7's request identities: what is found, what goes, and what may never go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "coordinator/dedupe.h"

static const uint8_t incarnation[16] = { 9 };
static const uint8_t body[16] = { 1 }, other_body[16] = { 2 };

static q_dedupe *fresh(uint64_t max_bytes) { return q_dedupe_new(&(q_dedupe_config){ max_bytes, 1000, 0, 4 }); }

static void identity(uint64_t n, uint8_t out[16])
{
    char id[32];
    int len = snprintf(id, sizeof id, "%llu", (unsigned long long)n);
    q_dedupe_identity(incarnation, Q_SLICE_LIT("anonymous"), Q_SLICE_LIT("b"), q_slice_of(id, (size_t)len), out);
}

static void add(q_dedupe *d, uint64_t n, int64_t time_us)
{
    q_dedupe_done e = { .lsn = n + 1, .time_us = time_us, .partition = 0, .offset = (int64_t)n, .log_bytes = 100 };
    identity(n, e.identity);
    memcpy(e.body, body, 16);
    assert_true(q_dedupe_done_add(d, &e));
}

static q_seen find(q_dedupe *d, uint64_t n, uint64_t *lsn)
{
    uint8_t id[16];
    void *owner;
    identity(n, id);
    return q_dedupe_find(d, id, body, &owner, lsn);
}

static bool none_returns(const void *ctx, int32_t partition, int64_t offset) { (void)ctx; (void)partition; (void)offset; return false; }
static bool from_on_returns(const void *ctx, int32_t partition, int64_t offset) { (void)partition; return offset >= *(const int64_t *)ctx; }

static void every_part_makes_the_identity(void **state)
{
    (void)state;
    uint8_t a[16], b[16], other[16] = { 8 };
    q_dedupe_identity(incarnation, Q_SLICE_LIT("p"), Q_SLICE_LIT("b"), Q_SLICE_LIT("1"), a);
    q_dedupe_identity(incarnation, Q_SLICE_LIT("p"), Q_SLICE_LIT("b"), Q_SLICE_LIT("1"), b);
    assert_memory_equal(a, b, 16);
    q_dedupe_identity(other, Q_SLICE_LIT("p"), Q_SLICE_LIT("b"), Q_SLICE_LIT("1"), b);
    assert_memory_not_equal(a, b, 16);
    q_dedupe_identity(incarnation, Q_SLICE_LIT("q"), Q_SLICE_LIT("b"), Q_SLICE_LIT("1"), b);
    assert_memory_not_equal(a, b, 16);
    q_dedupe_identity(incarnation, Q_SLICE_LIT("p"), Q_SLICE_LIT("c"), Q_SLICE_LIT("1"), b);
    assert_memory_not_equal(a, b, 16);
    q_dedupe_identity(incarnation, Q_SLICE_LIT("p"), Q_SLICE_LIT("b1"), Q_SLICE_LIT(""), b);
    assert_memory_not_equal(a, b, 16);
}

static void a_request_goes_from_never_seen_to_in_flight_to_done(void **state)
{
    (void)state;
    q_dedupe *d = fresh(1 << 20);
    uint8_t id[16];
    void *owner = NULL;
    uint64_t lsn = 0;
    int me;
    identity(1, id);
    assert_int_equal(q_dedupe_find(d, id, body, &owner, &lsn), Q_SEEN_NEVER);
    assert_true(q_dedupe_begin(d, id, body, &me));
    assert_int_equal(q_dedupe_find(d, id, body, &owner, &lsn), Q_SEEN_IN_FLIGHT);
    assert_ptr_equal(owner, &me);
    assert_int_equal(q_dedupe_find(d, id, other_body, &owner, &lsn), Q_SEEN_OTHER_BODY);
    add(d, 1, 0);
    assert_int_equal(q_dedupe_find(d, id, body, &owner, &lsn), Q_SEEN_DONE);
    assert_int_equal(lsn, 2);
    assert_int_equal(q_dedupe_find(d, id, other_body, &owner, &lsn), Q_SEEN_OTHER_BODY);
    q_dedupe_free(d);
}

static void a_rejected_request_leaves_its_id_free(void **state)
{
    (void)state;
    q_dedupe *d = fresh(1 << 20);
    uint8_t id[16];
    void *owner;
    uint64_t lsn;
    identity(1, id);
    assert_true(q_dedupe_begin(d, id, body, &owner));
    q_dedupe_drop(d, id);
    q_dedupe_drop(d, id);
    assert_int_equal(q_dedupe_find(d, id, other_body, &owner, &lsn), Q_SEEN_NEVER);
    q_dedupe_free(d);
}

static void many_in_flight_are_all_found_while_others_leave(void **state)
{
    (void)state;
    q_dedupe *d = fresh(1 << 20);
    static uint64_t numbers[5000];
    uint8_t id[16];
    void *owner;
    uint64_t lsn;
    for (uint64_t n = 0; n < 5000; n++) {
        numbers[n] = n;
        identity(n, id);
        assert_true(q_dedupe_begin(d, id, body, &numbers[n]));
    }
    for (uint64_t n = 0; n < 5000; n += 3) {
        identity(n, id);
        q_dedupe_drop(d, id);
    }
    for (uint64_t n = 0; n < 5000; n++) {
        identity(n, id);
        if (n % 3 == 0) {
            assert_int_equal(q_dedupe_find(d, id, body, &owner, &lsn), Q_SEEN_NEVER);
        } else {
            assert_int_equal(q_dedupe_find(d, id, body, &owner, &lsn), Q_SEEN_IN_FLIGHT);
            assert_ptr_equal(owner, &numbers[n]);
        }
    }
    q_dedupe_free(d);
}

static void the_oldest_go_first_when_memory_is_full(void **state)
{
    (void)state;
    q_dedupe *d = fresh(1 << 20);
    uint64_t lsn, n = 0;
    for (; n < 30000; n++) {
        add(d, n, 0);
        q_dedupe_evict(d, 0, none_returns, NULL);
    }
    uint64_t kept = q_dedupe_count(d);
    assert_in_range(kept, 11000, 14000); /* some 80 bytes each */
    assert_false(q_dedupe_full(d));
    assert_in_range(q_dedupe_bytes(d), 1 << 19, 3 << 20);
    for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(find(d, i, &lsn), i + kept < n ? Q_SEEN_NEVER : Q_SEEN_DONE);
        if (i + kept >= n)
            assert_int_equal(lsn, i + 1);
    }
    assert_int_equal(q_dedupe_first_lsn(d), n - kept + 1);
    q_dedupe_free(d);
}

static void what_is_older_than_the_window_goes(void **state)
{
    (void)state;
    q_dedupe *d = fresh(1 << 20);
    uint64_t lsn;
    add(d, 1, 0);
    add(d, 2, 500);
    q_dedupe_evict(d, 1000, none_returns, NULL);
    assert_int_equal(q_dedupe_count(d), 2);
    q_dedupe_evict(d, 1001, none_returns, NULL);
    assert_int_equal(find(d, 1, &lsn), Q_SEEN_NEVER);
    assert_int_equal(find(d, 2, &lsn), Q_SEEN_DONE);
    q_dedupe_evict(d, 9999, none_returns, NULL);
    assert_int_equal(q_dedupe_first_lsn(d), UINT64_MAX);
    q_dedupe_free(d);
}

static void what_the_topic_may_deliver_again_never_goes(void **state)
{
    (void)state;
    q_dedupe *d = fresh(1);
    int64_t low_water = 5;
    uint64_t lsn;
    for (uint64_t n = 0; n < 10; n++)
        add(d, n, 0);
    q_dedupe_evict(d, 1000000, from_on_returns, &low_water);
    assert_int_equal(find(d, 4, &lsn), Q_SEEN_NEVER);
    assert_int_equal(find(d, 5, &lsn), Q_SEEN_DONE);
    assert_true(q_dedupe_full(d)); /* nothing new should come in */
    low_water = 10;
    q_dedupe_evict(d, 0, from_on_returns, &low_water);
    assert_false(q_dedupe_full(d));
    q_dedupe_free(d);
}

static void records_kept_for_replies_are_bounded_too(void **state)
{
    (void)state;
    q_dedupe *d = q_dedupe_new(&(q_dedupe_config){ 1 << 20, 1000, 1000, 4 });
    for (uint64_t n = 0; n < 20; n++)
        add(d, n, 0);
    q_dedupe_evict(d, 0, none_returns, NULL);
    assert_int_equal(q_dedupe_count(d), 10); /* of 100 bytes each */
    q_dedupe_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_makes_the_identity),
        cmocka_unit_test(a_request_goes_from_never_seen_to_in_flight_to_done),
        cmocka_unit_test(a_rejected_request_leaves_its_id_free),
        cmocka_unit_test(many_in_flight_are_all_found_while_others_leave),
        cmocka_unit_test(the_oldest_go_first_when_memory_is_full),
        cmocka_unit_test(what_is_older_than_the_window_goes),
        cmocka_unit_test(what_the_topic_may_deliver_again_never_goes),
        cmocka_unit_test(records_kept_for_replies_are_bounded_too),
    };
    return cmocka_run_group_tests_name("dedupe", tests, NULL, NULL);
}
