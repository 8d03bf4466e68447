#include "tests/unit/schemas/cmocka_setup.h"
#include "workers/rules.h"

static const q_stored nothing = { 0 };

static q_stored live(uint64_t seq, uint64_t birth) { return (q_stored){ .present = true, .seq = seq, .birth = birth }; }
static q_stored dead(uint64_t seq) { return (q_stored){ .present = true, .dead = true, .seq = seq }; }
static q_item put(bool full, uint64_t birth) { return (q_item){ .op = Q_I_PUT, .incarnation = 2, .full = full, .birth = birth }; }
static const q_item delete = { .op = Q_I_DELETE, .incarnation = 2 };
static q_item pre(uint32_t what, uint64_t seq_is) { return (q_item){ .op = Q_I_CHECK, .incarnation = 2, .pre = what, .seq_is = seq_is }; }

static void votes(void **state)
{
    (void)state;
    const struct { q_stored stored; q_item item; uint64_t seq; q_no want; } t[] = {
        { nothing, put(true, 0), 5, Q_NO_NONE },
        { live(4, 4), put(true, 0), 5, Q_NO_NONE },
        { live(5, 5), put(true, 0), 5, Q_NO_STALE },
        { live(6, 6), delete, 5, Q_NO_STALE },
        { dead(6), put(true, 0), 5, Q_NO_STALE },
        { nothing, pre(Q_PRE_EXISTS, 0), 5, Q_NO_MISSING },
        { dead(4), pre(Q_PRE_EXISTS, 0), 5, Q_NO_MISSING },
        { live(1, 1), pre(Q_PRE_EXISTS, 0), 5, Q_NO_MISSING }, /* of an older incarnation than 2 */
        { live(4, 4), pre(Q_PRE_EXISTS, 0), 5, Q_NO_NONE },
        { nothing, pre(Q_PRE_NOT_EXISTS, 0), 5, Q_NO_NONE },
        { dead(4), pre(Q_PRE_NOT_EXISTS, 0), 5, Q_NO_NONE },
        { live(1, 1), pre(Q_PRE_NOT_EXISTS, 0), 5, Q_NO_NONE },
        { live(4, 4), pre(Q_PRE_NOT_EXISTS, 0), 5, Q_NO_EXISTS },
        { live(4, 4), pre(Q_PRE_SEQ_IS, 4), 5, Q_NO_NONE },
        { live(4, 4), pre(Q_PRE_SEQ_IS, 3), 5, Q_NO_CHANGED },
        { nothing, pre(Q_PRE_SEQ_IS, 0), 5, Q_NO_NONE },
        { nothing, pre(Q_PRE_SEQ_IS, 3), 5, Q_NO_CHANGED },
        { dead(4), pre(Q_PRE_SEQ_IS, 0), 5, Q_NO_NONE },
        { dead(4), pre(Q_PRE_SEQ_IS, 4), 5, Q_NO_CHANGED },
        { nothing, pre(Q_PRE_EXISTS | Q_PRE_SEQ_IS, 3), 5, Q_NO_MISSING },
        { live(6, 6), pre(Q_PRE_NOT_EXISTS, 0), 5, Q_NO_STALE },
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        if (q_rule_vote(&t[i].stored, &t[i].item, t[i].seq, 0) != t[i].want)
            fail_msg("row %zu", i);
}

static void applies(void **state)
{
    (void)state;
    const struct { q_stored stored; q_item item; uint64_t seq; q_apply want; q_stored after; } t[] = {
        { nothing, put(true, 0), 5, Q_AP_REPLACE, live(5, 5) },
        { nothing, put(false, 0), 5, Q_AP_REPLACE, live(5, 5) },
        { nothing, put(false, 3), 5, Q_AP_REPLACE, live(5, 3) },
        { nothing, delete, 5, Q_AP_BURY, dead(5) },
        { live(4, 3), put(true, 0), 5, Q_AP_REPLACE, live(5, 5) },
        { live(4, 3), put(false, 0), 5, Q_AP_MERGE, live(5, 3) },
        { live(4, 3), put(false, 3), 5, Q_AP_MERGE, live(5, 3) },
        { live(4, 3), put(false, 4), 5, Q_AP_REPLACE, live(5, 4) }, /* of a later life than the one that is stored */
        { live(1, 1), put(false, 0), 5, Q_AP_REPLACE, live(5, 1) }, /* over what an older incarnation left */
        { live(4, 3), delete, 5, Q_AP_BURY, dead(5) },
        { dead(4), put(true, 0), 5, Q_AP_REPLACE, live(5, 5) },
        { dead(4), put(false, 0), 5, Q_AP_REPLACE, live(5, 5) },
        { dead(4), delete, 5, Q_AP_BURY, dead(5) },
        { live(5, 5), put(true, 0), 5, Q_AP_SKIP, live(5, 5) },
        { live(6, 6), put(true, 0), 5, Q_AP_SKIP, live(6, 6) },
        { live(6, 6), delete, 5, Q_AP_SKIP, live(6, 6) },
        { dead(6), put(true, 0), 5, Q_AP_SKIP, dead(6) },
        { live(4, 4), pre(Q_PRE_EXISTS, 0), 5, Q_AP_SKIP, live(4, 4) },
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        q_apply how = q_rule_apply(&t[i].stored, &t[i].item, t[i].seq, false, 0);
        q_stored after = q_rule_after(&t[i].stored, &t[i].item, t[i].seq, how);
        if (how != t[i].want || after.present != t[i].after.present || after.dead != t[i].after.dead || after.seq != t[i].after.seq
            || after.birth != t[i].after.birth)
            fail_msg("row %zu: %d, seq %llu, birth %llu", i, (int)how, (unsigned long long)after.seq, (unsigned long long)after.birth);
    }
}

static void points(void **state)
{
    (void)state;
    const struct { q_stored stored; q_item item; uint64_t seq; q_apply want; } t[] = {
        { nothing, put(true, 0), 5, Q_AP_REPLACE },
        { live(4, 3), put(false, 3), 5, Q_AP_MERGE },
        { live(9, 3), put(false, 3), 5, Q_AP_APPEND },  /* late, but of this life */
        { live(9, 9), put(false, 3), 5, Q_AP_SKIP },    /* of an ended life */
        { live(4, 3), put(true, 0), 5, Q_AP_REPLACE },  /* a new life */
        { dead(7), put(false, 3), 5, Q_AP_SKIP },
        { dead(7), put(true, 0), 8, Q_AP_REPLACE },
        { live(9, 3), delete, 5, Q_AP_BURY },           /* it took this life, whatever was written meanwhile */
        { live(9, 7), delete, 5, Q_AP_SKIP },           /* this life began later */
        { dead(7), delete, 5, Q_AP_SKIP },
        { dead(4), delete, 5, Q_AP_BURY },
        { nothing, delete, 5, Q_AP_BURY },
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        if (q_rule_apply(&t[i].stored, &t[i].item, t[i].seq, true, 0) != t[i].want)
            fail_msg("row %zu", i);
}

/* Whatever the order in which the writes of one key arrive, and however often, the newest state is reached: full puts and deletes. */
static void any_order_ends_the_same(void **state)
{
    enum { N = 5 };
    (void)state;
    for (int metrics = 0; metrics < 2; metrics++)
        for (unsigned kinds = 0; kinds < 1u << N; kinds++)
            for (unsigned order = 0; order < 3125; order++) { /* five draws with repetition; those that miss one are completed */
                q_stored s = nothing;
                unsigned draw = order, last_op = kinds >> (N - 1) & 1;
                for (int i = 0; i < 2 * N; i++, draw /= 5) {
                    unsigned n = i < N ? draw % 5 : (unsigned)(i - N);
                    q_item item = kinds >> n & 1 ? delete : put(true, 0);
                    s = q_rule_after(&s, &item, 10 + n, q_rule_apply(&s, &item, 10 + n, metrics, 0));
                }
                assert_int_equal(s.seq, 10 + N - 1);
                assert_int_equal(s.dead, last_op);
            }
}

static void incarnations(void **state)
{
    (void)state;
    const q_named fresh = { 0 }, created = { .created = 5, .ddl = 5 }, dropped = { .created = 5, .dropped = 8, .ddl = 8 };
    assert_false(q_rule_stale_incarnation(&fresh, 0));
    assert_false(q_rule_stale_incarnation(&fresh, 7));
    assert_false(q_rule_stale_incarnation(&created, 5));
    assert_true(q_rule_stale_incarnation(&created, 4));
    assert_false(q_rule_stale_incarnation(&created, 9)); /* its CREATE may come later */
    assert_true(q_rule_stale_incarnation(&dropped, 5));
    assert_false(q_rule_stale_incarnation(&dropped, 9));
    assert_int_equal(q_rule_vote_ddl(&created, 5), Q_NO_STALE);
    assert_int_equal(q_rule_vote_ddl(&created, 6), Q_NO_NONE);
    assert_true(q_rule_apply_ddl(&created, 6));
    assert_false(q_rule_apply_ddl(&created, 5));
    q_named n = q_rule_named_after(&created, Q_DDL_DROP_RECORD, 5, 8);
    assert_int_equal(n.dropped, 8);
    assert_int_equal(n.created, 5);
    n = q_rule_named_after(&n, Q_DDL_CREATE_RECORD, 9, 9);
    assert_int_equal(n.created, 9);
    assert_false(q_rule_stale_incarnation(&n, 9));
    n = q_rule_named_after(&fresh, Q_DDL_ALTER_RECORD, 5, 7);
    assert_int_equal(n.created, 5);
}

static void latest_samples(void **state)
{
    (void)state;
    assert_true(q_rule_newer_sample(10, 1, 9, 8));
    assert_false(q_rule_newer_sample(9, 8, 10, 1));
    assert_true(q_rule_newer_sample(9, 8, 9, 7));
    assert_false(q_rule_newer_sample(9, 7, 9, 8));
    assert_true(q_rule_newer_sample(-5, 1, -6, 1));
}

static void each_type_has_one_engine_but_numbers(void **state)
{
    (void)state;
    for (int t = Q_T_BOOL; t < Q_T_COUNT; t++) {
        unsigned fits = 0;
        for (int e = 0; e < Q_EN_COUNT; e++)
            fits |= (unsigned)q_rule_type_fits((q_engine_id)e, (q_type)t) << e;
        bool number = t == Q_T_INT || t == Q_T_FLOAT || t == Q_T_DURATION;
        assert_int_equal(fits, t == Q_T_DOC ? 2 : t == Q_T_RELATION ? 4 : number ? 9 : 1);
    }
    for (int e = 0; e < Q_EN_COUNT; e++)
        assert_true(q_rule_type_fits((q_engine_id)e, Q_T_NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(votes), cmocka_unit_test(applies), cmocka_unit_test(points), cmocka_unit_test(any_order_ends_the_same),
        cmocka_unit_test(incarnations), cmocka_unit_test(latest_samples), cmocka_unit_test(each_type_has_one_engine_but_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
