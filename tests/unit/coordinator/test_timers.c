/* The timing wheel against a list, the tickets, and the effect list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "coordinator/effects.h"
#include "coordinator/tickets.h"
#include "coordinator/timers.h"

enum { TICK = 1 << Q_TIMER_TICK_BITS };

static void timers_fire_once_within_a_tick_and_never_early(void **state)
{
    (void)state;
    enum { N = 300 };
    static const int64_t spans[] = { 10, 5000, 300000, 20000000, 4000000000, 900000000000, 30000000000000 };
    for (unsigned seed = 1; seed <= 20; seed++) {
        srand(seed);
        q_timers wheel;
        q_timer timers[N] = { 0 };
        int64_t due[N], now = (int64_t)rand() * 1000;
        unsigned fired = 0, armed = 0;
        q_timers_init(&wheel, now);
        for (int i = 0; i < N; i++)
            due[i] = -1;
        for (int step = 0; step < 4000; step++) {
            int i = rand() % N;
            if (rand() % 3) {
                due[i] = now + (int64_t)((double)rand() / RAND_MAX * (double)spans[rand() % 7]);
                q_timers_arm(&wheel, &timers[i], due[i]);
                armed++;
            } else {
                q_timers_cancel(&wheel, &timers[i]);
                due[i] = -1;
            }
            if (rand() % 4 == 0) {
                int64_t next = q_timers_next_us(&wheel);
                for (int k = 0; k < N; k++)
                    if (due[k] >= 0)
                        assert_true(next <= due[k] + TICK);
                now = next != INT64_MAX && rand() % 2 ? (next > now ? next : now) : now + rand() % spans[rand() % 6 + 1];
            }
            for (q_timer *t; (t = q_timers_due(&wheel, now));) {
                int k = (int)(t - timers);
                assert_true(due[k] >= 0 && due[k] <= now);
                due[k] = -1;
                fired++;
            }
            for (int k = 0; k < N; k++)
                assert_true(due[k] < 0 || due[k] + TICK > now);
        }
        assert_true(fired > 100 && armed > fired);
    }
}

static void nothing_armed_asks_for_no_time(void **state)
{
    (void)state;
    q_timers wheel;
    q_timers_init(&wheel, 12345678);
    assert_int_equal(q_timers_next_us(&wheel), INT64_MAX);
    assert_null(q_timers_due(&wheel, INT64_MAX / 2));
    q_timer t = { 0 };
    q_timers_arm(&wheel, &t, 1); /* long past */
    assert_ptr_equal(q_timers_due(&wheel, INT64_MAX / 2), &t);
    assert_null(q_timers_due(&wheel, INT64_MAX / 2));
}

static void timers_of_one_tick_fire_in_the_order_of_arming(void **state)
{
    (void)state;
    q_timers wheel;
    q_timer t[3] = { 0 };
    q_timers_init(&wheel, 0);
    for (int i = 0; i < 3; i++)
        q_timers_arm(&wheel, &t[i], 5000);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(q_timers_due(&wheel, 10000), &t[i]);
}

static void a_ticket_is_good_once(void **state)
{
    (void)state;
    q_tickets t = { 0 };
    int a, b;
    uint64_t first = q_tickets_give(&t, &a), second = q_tickets_give(&t, &b);
    assert_int_not_equal(first, 0);
    assert_int_not_equal(first, second);
    assert_ptr_equal(q_tickets_find(&t, first), &a);
    assert_ptr_equal(q_tickets_find(&t, second), &b);
    q_tickets_take_back(&t, first);
    assert_null(q_tickets_find(&t, first));
    uint64_t third = q_tickets_give(&t, &b); /* the same slot */
    assert_int_not_equal(third, first);
    assert_null(q_tickets_find(&t, first));
    assert_ptr_equal(q_tickets_find(&t, third), &b);
    assert_null(q_tickets_find(&t, 0));
    assert_null(q_tickets_find(&t, UINT64_MAX));
    for (int i = 0; i < 1000; i++)
        assert_int_not_equal(q_tickets_give(&t, &a), 0);
    assert_ptr_equal(q_tickets_find(&t, second), &b);
    q_tickets_free(&t);
}

static void effects_own_what_they_point_to_until_cleared(void **state)
{
    (void)state;
    q_effects *fx = q_effects_new();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++) {
            char text[200];
            memset(text, 'a' + i % 26, sizeof text);
            q_slice copy = q_effects_copy(fx, q_slice_of(text, sizeof text));
            q_buf *b = q_effects_buf(fx, 1000);
            q_buf_add(b, text, 10);
            q_effect *e = q_effects_add(fx, Q_FX_REPLY);
            e->bytes = copy;
            e->key = q_buf_slice(b);
            e->token = (uint64_t)i;
        }
        assert_int_equal(q_effects_count(fx), 1000);
        for (size_t i = 0; i < 1000; i++) {
            const q_effect *e = q_effects_at(fx, i);
            assert_int_equal(e->token, i);
            assert_int_equal(e->bytes.len, 200);
            assert_int_equal(e->bytes.ptr[199], 'a' + (int)(i % 26));
            assert_int_equal(e->key.len, 10);
            assert_int_equal(e->key.ptr[0], 'a' + (int)(i % 26));
        }
        q_effects_clear(fx);
        assert_int_equal(q_effects_count(fx), 0);
    }
    q_effects_free(fx);
}

static void a_list_without_memory_is_one_fatal_effect(void **state)
{
    (void)state;
    q_effects *fx = q_effects_new();
    q_effects_log(fx, "number %d", 7);
    assert_true(q_slice_eq(q_effects_at(fx, 0)->bytes, Q_SLICE_LIT("number 7")));
    q_effects_fail(fx);
    q_effects_log(fx, "more");
    assert_int_equal(q_effects_count(fx), 1);
    assert_int_equal(q_effects_at(fx, 0)->kind, Q_FX_FATAL);
    q_effects_clear(fx);
    assert_int_equal(q_effects_at(fx, 0)->kind, Q_FX_FATAL); /* for good: outcomes were lost */
    q_effects_free(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_once_within_a_tick_and_never_early),
        cmocka_unit_test(nothing_armed_asks_for_no_time),
        cmocka_unit_test(timers_of_one_tick_fire_in_the_order_of_arming),
        cmocka_unit_test(a_ticket_is_good_once),
        cmocka_unit_test(effects_own_what_they_point_to_until_cleared),
        cmocka_unit_test(a_list_without_memory_is_one_fatal_effect),
    };
    return cmocka_run_group_tests_name("timers, tickets, effects", tests, NULL, NULL);
}
