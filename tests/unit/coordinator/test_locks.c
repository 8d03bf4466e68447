/* What locks.h promises, one test a sentence; and a long random run against a lock manager of twenty lines that scans everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "coordinator/locks.h"
#include "coordinator/resource.h"

enum { PG = 1, MG = 2, ALL = 15 };

static q_err err;

static q_rc want(q_locks *l, uint64_t txn, q_lock_mode mode, uint32_t engines, const char *resource)
{
    q_lock_want w = { Q_LL_ID, mode, engines, q_slice_cstr(resource) };
    return q_locks_acquire(l, txn, &(q_lockset){ 1, &w }, &err);
}

static void assert_granted(q_locks *l, uint64_t expected)
{
    uint64_t txn = 0;
    assert_true(q_locks_next_granted(l, &txn));
    assert_int_equal(txn, expected);
}

static void assert_none_granted(q_locks *l)
{
    uint64_t txn;
    assert_false(q_locks_next_granted(l, &txn));
}

static void modes_conflict_as_in_gray_1976(void **state)
{
    (void)state;
    const char *expected[Q_LM_COUNT] = { "yyyyn", "yynnn", "ynynn", "ynnnn", "nnnnn" }; /* IS IX S SIX X */
    for (int a = 0; a < Q_LM_COUNT; a++)
        for (int b = 0; b < Q_LM_COUNT; b++)
            assert_int_equal(q_locks_compatible((q_lock_mode)a, (q_lock_mode)b), expected[a][b] == 'y');
    for (int a = 0; a < Q_LM_COUNT; a++)
        for (int b = 0; b < Q_LM_COUNT; b++) {
            /* The join conflicts with all that either conflicts with, and no weaker mode does. */
            q_lock_mode j = q_locks_join((q_lock_mode)a, (q_lock_mode)b);
            for (int c = 0; c < Q_LM_COUNT; c++)
                if (!q_locks_compatible((q_lock_mode)a, (q_lock_mode)c) || !q_locks_compatible((q_lock_mode)b, (q_lock_mode)c))
                    assert_false(q_locks_compatible(j, (q_lock_mode)c));
            assert_int_equal(j, q_locks_join((q_lock_mode)b, (q_lock_mode)a));
        }
    assert_int_equal(q_locks_join(Q_LM_IX, Q_LM_S), Q_LM_SIX);
    assert_int_equal(q_locks_join(Q_LM_IS, Q_LM_IX), Q_LM_IX);
}

static void a_reader_does_not_pass_a_waiting_writer(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(10);
    assert_int_equal(want(l, 1, Q_LM_S, PG, "a"), Q_OK);
    assert_int_equal(want(l, 2, Q_LM_X, PG, "a"), Q_WAIT);
    assert_int_equal(want(l, 3, Q_LM_S, PG, "a"), Q_WAIT);
    q_locks_release(l, 1, ALL);
    assert_granted(l, 2);
    assert_none_granted(l);
    q_locks_release(l, 2, ALL);
    assert_granted(l, 3);
    q_locks_free(l);
}

static void waiters_are_served_in_order_and_readers_together(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(10);
    assert_int_equal(want(l, 1, Q_LM_X, PG, "a"), Q_OK);
    for (uint64_t t = 2; t <= 4; t++)
        assert_int_equal(want(l, t, Q_LM_S, PG, "a"), Q_WAIT);
    assert_int_equal(want(l, 5, Q_LM_X, PG, "a"), Q_WAIT);
    assert_int_equal(q_locks_waiting(l), 4);
    q_locks_release(l, 1, ALL);
    for (uint64_t t = 2; t <= 4; t++)
        assert_granted(l, t);
    assert_none_granted(l);
    q_locks_release(l, 2, ALL);
    q_locks_release(l, 3, ALL);
    assert_none_granted(l);
    q_locks_release(l, 4, ALL);
    assert_granted(l, 5);
    assert_int_equal(q_locks_waiting(l), 0);
    q_locks_free(l);
}

static void locks_of_different_engines_do_not_meet(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(10);
    assert_int_equal(want(l, 1, Q_LM_X, PG, "a"), Q_OK);
    assert_int_equal(want(l, 2, Q_LM_X, MG, "a"), Q_OK);
    assert_int_equal(want(l, 3, Q_LM_X, PG | MG, "a"), Q_WAIT);
    q_locks_release(l, 1, ALL);
    assert_none_granted(l);
    q_locks_release(l, 2, ALL);
    assert_granted(l, 3);
    q_locks_free(l);
}

static void each_share_is_freed_by_itself(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(10);
    assert_int_equal(want(l, 1, Q_LM_X, PG | MG, "a"), Q_OK);
    assert_int_equal(want(l, 2, Q_LM_X, PG, "a"), Q_WAIT);
    assert_int_equal(want(l, 3, Q_LM_X, MG, "a"), Q_WAIT);
    q_locks_release(l, 1, MG);
    assert_granted(l, 3);
    assert_none_granted(l);
    q_locks_release(l, 1, PG);
    assert_granted(l, 2);
    /* All shares of 1 are gone: its number is free again. */
    assert_int_equal(want(l, 1, Q_LM_X, 4, "a"), Q_OK);
    q_locks_free(l);
}

static void all_locks_are_needed_before_the_grant(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(10);
    assert_int_equal(want(l, 1, Q_LM_X, PG, "a"), Q_OK);
    assert_int_equal(want(l, 2, Q_LM_X, PG, "b"), Q_OK);
    q_lock_want both[] = { { Q_LL_ID, Q_LM_X, PG, Q_SLICE_LIT("a") }, { Q_LL_ID, Q_LM_X, PG, Q_SLICE_LIT("b") } };
    assert_int_equal(q_locks_acquire(l, 3, &(q_lockset){ 2, both }, &err), Q_WAIT);
    q_locks_release(l, 2, ALL);
    assert_none_granted(l);
    /* While 3 waits for a it holds b. */
    assert_int_equal(want(l, 4, Q_LM_X, PG, "b"), Q_WAIT);
    q_locks_release(l, 1, ALL);
    assert_granted(l, 3);
    assert_none_granted(l);
    q_locks_free(l);
}

static void a_waiter_that_gives_up_lets_those_behind_it_pass(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(10);
    assert_int_equal(want(l, 1, Q_LM_S, PG, "a"), Q_OK);
    assert_int_equal(want(l, 2, Q_LM_X, PG, "a"), Q_WAIT);
    assert_int_equal(want(l, 3, Q_LM_S, PG, "a"), Q_WAIT);
    q_locks_release(l, 2, UINT32_MAX);
    assert_granted(l, 3);
    assert_int_equal(q_locks_waiting(l), 0);
    q_locks_free(l);
}

static void grants_come_in_the_order_of_arrival_over_all_resources(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(10);
    q_lock_want both[] = { { Q_LL_ID, Q_LM_X, PG, Q_SLICE_LIT("a") }, { Q_LL_ID, Q_LM_X, PG, Q_SLICE_LIT("b") } };
    assert_int_equal(q_locks_acquire(l, 1, &(q_lockset){ 2, both }, &err), Q_OK);
    assert_int_equal(want(l, 2, Q_LM_X, PG, "b"), Q_WAIT);
    assert_int_equal(want(l, 3, Q_LM_X, PG, "a"), Q_WAIT);
    q_locks_release(l, 1, ALL);
    assert_granted(l, 2); /* though a is looked at first */
    assert_granted(l, 3);
    q_locks_free(l);
}

static void past_max_waiters_nothing_is_enqueued(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(1);
    assert_int_equal(want(l, 1, Q_LM_X, PG, "a"), Q_OK);
    assert_int_equal(want(l, 2, Q_LM_X, PG, "a"), Q_WAIT);
    assert_int_equal(want(l, 3, Q_LM_X, PG, "a"), Q_FAIL);
    assert_int_equal(err.code, Q_E_OVERLOADED);
    assert_int_equal(want(l, 3, Q_LM_X, PG, "b"), Q_OK); /* 3 is not in use */
    q_locks_release(l, 1, ALL);
    assert_granted(l, 2);
    q_locks_release(l, 2, ALL);
    assert_none_granted(l);
    q_locks_free(l);
}

static void too_many_locks_are_refused(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(1);
    q_lock_want *w = calloc(Q_LOCKS_MAX_PER_TXN + 1, sizeof *w);
    char (*names)[12] = calloc(Q_LOCKS_MAX_PER_TXN + 1, sizeof *names);
    for (size_t i = 0; i <= Q_LOCKS_MAX_PER_TXN; i++) {
        int n = snprintf(names[i], sizeof names[i], "%zu", i);
        w[i] = (q_lock_want){ Q_LL_ID, Q_LM_X, PG, { names[i], (size_t)n } };
    }
    assert_int_equal(q_locks_acquire(l, 1, &(q_lockset){ Q_LOCKS_MAX_PER_TXN + 1, w }, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_WRITE_TOO_LARGE);
    assert_int_equal(q_locks_acquire(l, 1, &(q_lockset){ Q_LOCKS_MAX_PER_TXN, w }, &err), Q_OK);
    assert_int_equal(want(l, 2, Q_LM_S, PG, "199999"), Q_WAIT);
    q_locks_release(l, 1, ALL);
    assert_granted(l, 2);
    free(w);
    free(names);
    q_locks_free(l);
}

static void recovered_transactions_hold_together(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(10);
    q_lock_want w = { Q_LL_ID, Q_LM_X, PG | MG, Q_SLICE_LIT("a") };
    assert_int_equal(q_locks_retake(l, 1, &(q_lockset){ 1, &w }, &err), Q_OK);
    w.engines = PG;
    assert_int_equal(q_locks_retake(l, 2, &(q_lockset){ 1, &w }, &err), Q_OK);
    assert_int_equal(want(l, 3, Q_LM_X, PG, "a"), Q_WAIT);
    q_locks_release(l, 1, PG);
    assert_none_granted(l);
    q_locks_release(l, 2, PG);
    assert_granted(l, 3);
    q_locks_free(l);
}

static void operators_see_whom_a_waiter_waits_for(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(10);
    assert_int_equal(want(l, 1, Q_LM_S, PG, "a"), Q_OK);
    assert_int_equal(want(l, 2, Q_LM_X, PG, "a"), Q_WAIT);
    assert_int_equal(want(l, 3, Q_LM_S, PG, "a"), Q_WAIT);
    uint64_t by = 0;
    q_slice what;
    assert_true(q_locks_blocker(l, 2, &by, &what));
    assert_int_equal(by, 1);
    assert_true(q_slice_eq(what, Q_SLICE_LIT("a")));
    assert_true(q_locks_blocker(l, 3, &by, &what));
    assert_int_equal(by, 2);
    assert_false(q_locks_blocker(l, 1, &by, &what));
    q_locks_free(l);
}

static void the_steady_state_takes_no_more_memory(void **state)
{
    (void)state;
    q_locks *l = q_locks_new(1000);
    uint64_t after_first = 0;
    for (uint64_t round = 0; round < 50; round++) {
        for (uint64_t t = 0; t < 500; t++) {
            char id[300];
            int n = snprintf(id, sizeof id, "bucket/type/%0*llu", (int)(1 + t % 200), (unsigned long long)(round * 1000 + t));
            q_lock_want w[] = { { Q_LL_TYPE, Q_LM_IX, ALL, Q_SLICE_LIT("bucket/type") }, { Q_LL_ID, Q_LM_X, ALL, { id, (size_t)n } } };
            assert_int_equal(q_locks_acquire(l, t, &(q_lockset){ 2, w }, &err), Q_OK);
        }
        for (uint64_t t = 0; t < 500; t++)
            q_locks_release(l, t, ALL);
        if (round == 0)
            after_first = q_locks_bytes(l);
    }
    assert_int_equal(q_locks_bytes(l), after_first);
    q_locks_free(l);
}

static void resources_of_different_things_are_spelt_differently(void **state)
{
    (void)state;
    q_arena *a = q_arena_new(0);
    q_slice b = Q_SLICE_LIT("shop"), r = Q_SLICE_LIT("orders");
    q_value s = { .type = Q_T_STRING, .s = Q_SLICE_LIT("1") }, i = { .type = Q_T_INT, .i = 1 };
    q_slice all[] = { q_resource_bucket(a, b), q_resource_type(a, b, r), q_resource_id(a, b, r, &s), q_resource_id(a, b, r, &i),
                      q_resource_unique(a, b, r, Q_SLICE_LIT("email"), &s), q_resource_unique(a, b, r, Q_SLICE_LIT("phone"), &s) };
    for (size_t x = 0; x < sizeof all / sizeof *all; x++)
        for (size_t y = 0; y < sizeof all / sizeof *all; y++)
            assert_int_equal(q_slice_eq(all[x], all[y]), x == y);
    assert_true(q_slice_eq(all[1], Q_SLICE_LIT("shop/orders")));
    q_arena_free(a);
}

/* ---- against a model that scans ---- */

enum { MODEL_TXNS = 40, MODEL_RESOURCES = 6, MODEL_LOCKS = 4 };
typedef struct model_lock { int resource, mode; uint32_t engines; bool granted; } model_lock;
typedef struct model_txn { bool live; uint64_t arrival; int count; model_lock locks[MODEL_LOCKS]; } model_txn;
static model_txn model[MODEL_TXNS];

static bool model_free(const model_txn *t, const model_lock *k)
{
    for (int o = 0; o < MODEL_TXNS; o++) {
        const model_txn *other = &model[o];
        if (!other->live || other == t)
            continue;
        for (int i = 0; i < other->count; i++) {
            const model_lock *e = &other->locks[i];
            if (e->resource == k->resource && (e->engines & k->engines) && !q_locks_compatible((q_lock_mode)e->mode, (q_lock_mode)k->mode) &&
                (e->granted || other->arrival < t->arrival))
                return false;
        }
    }
    return true;
}

static bool model_has_all(const model_txn *t)
{
    for (int i = 0; i < t->count; i++)
        if (!t->locks[i].granted)
            return false;
    return true;
}

/* Grants all that can be, in order of arrival, until nothing changes. Sets bits of those that became complete. */
static uint64_t model_settle(void)
{
    uint64_t complete = 0;
    for (bool again = true; again;) {
        again = false;
        for (int t = 0; t < MODEL_TXNS; t++) {
            if (!model[t].live || model_has_all(&model[t]))
                continue;
            for (int i = 0; i < model[t].count; i++)
                if (!model[t].locks[i].granted && model_free(&model[t], &model[t].locks[i]))
                    model[t].locks[i].granted = again = true;
            if (model_has_all(&model[t]))
                complete |= 1ull << t;
        }
    }
    return complete;
}

static uint32_t rnd_state;
static uint32_t rnd(uint32_t n)
{
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 17;
    rnd_state ^= rnd_state << 5;
    return rnd_state % n;
}

static uint64_t drain_granted(q_locks *l)
{
    uint64_t set = 0, txn, last = 0;
    while (q_locks_next_granted(l, &txn)) {
        assert_true(model[txn].arrival >= last);
        last = model[txn].arrival;
        set |= 1ull << txn;
    }
    return set;
}

static void random_runs_agree_with_a_model_that_scans(void **state)
{
    (void)state;
    static const char *names[MODEL_RESOURCES] = { "a", "b", "c", "d", "e", "f" };
    unsigned waits = 0, shares = 0;
    for (uint32_t seed = 1; seed <= 60; seed++) {
        rnd_state = seed * 2654435761u;
        memset(model, 0, sizeof model);
        q_locks *l = q_locks_new(1000);
        uint64_t arrivals = 1;
        for (int step = 0; step < 600; step++) {
            int t = (int)rnd(MODEL_TXNS);
            model_txn *m = &model[t];
            if (!m->live) {
                q_lock_want w[MODEL_LOCKS];
                *m = (model_txn){ .live = true, .arrival = arrivals++ };
                for (int r = 0; r < MODEL_RESOURCES && m->count < MODEL_LOCKS; r++) {
                    if (rnd(3))
                        continue;
                    model_lock k = { r, (int)rnd(Q_LM_COUNT), 1 + rnd(ALL), false };
                    w[m->count] = (q_lock_want){ Q_LL_ID, (q_lock_mode)k.mode, k.engines, q_slice_cstr(names[r]) };
                    m->locks[m->count++] = k;
                }
                q_rc rc = q_locks_acquire(l, (uint64_t)t, &(q_lockset){ (uint32_t)m->count, w }, &err);
                bool expected = m->count == 0 || (model_settle() >> t & 1);
                assert_int_equal(rc, expected ? Q_OK : Q_WAIT);
                waits += rc == Q_WAIT;
                assert_int_equal(drain_granted(l), 0);
            } else {
                uint32_t engines = ALL;
                if (model_has_all(m) && rnd(2))
                    engines = 1 + rnd(ALL);
                bool left = false;
                for (int i = 0; i < m->count; i++) {
                    m->locks[i].engines &= ~engines;
                    left = left || m->locks[i].engines;
                }
                shares += left;
                if (!left)
                    m->live = false;
                q_locks_release(l, (uint64_t)t, engines);
                assert_int_equal(drain_granted(l), model_settle());
                if (!left)
                    q_locks_release(l, (uint64_t)t, ALL); /* one without locks, or whose shares are gone: harmless */
            }
        }
        q_locks_free(l);
    }
    assert_true(waits > 1000 && shares > 1000); /* or it proved nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_conflict_as_in_gray_1976),
        cmocka_unit_test(a_reader_does_not_pass_a_waiting_writer),
        cmocka_unit_test(waiters_are_served_in_order_and_readers_together),
        cmocka_unit_test(locks_of_different_engines_do_not_meet),
        cmocka_unit_test(each_share_is_freed_by_itself),
        cmocka_unit_test(all_locks_are_needed_before_the_grant),
        cmocka_unit_test(a_waiter_that_gives_up_lets_those_behind_it_pass),
        cmocka_unit_test(grants_come_in_the_order_of_arrival_over_all_resources),
        cmocka_unit_test(past_max_waiters_nothing_is_enqueued),
        cmocka_unit_test(too_many_locks_are_refused),
        cmocka_unit_test(recovered_transactions_hold_together),
        cmocka_unit_test(operators_see_whom_a_waiter_waits_for),
        cmocka_unit_test(the_steady_state_takes_no_more_memory),
        cmocka_unit_test(resources_of_different_things_are_spelt_differently),
        cmocka_unit_test(random_runs_agree_with_a_model_that_scans),
    };
    return cmocka_run_group_tests_name("locks", tests, NULL, NULL);
}
