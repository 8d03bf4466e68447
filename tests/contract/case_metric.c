/* case_metric.c - metrics: sets of points; the latest is the one with the greatest (time, seq); a delete takes its own life's points. */
#include "tests/contract/contract.h"

static q_value sample(double f, int64_t at_us)
{
    q_value v = flt(f);
    v.at_us = at_us;
    return v;
}

static void latest_by_time(contract *c)
{
    uint64_t birth = next_seq(c);
    commit(c, birth, put(c, "x", 1, field("a", sample(1, sample_time(100)))));
    commit(c, next_seq(c), with_birth(set(c, "x", 1, field("a", sample(2, sample_time(50)))), birth)); /* value at an earlier time */
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, sample(1, sample_time(100)));
    commit(c, next_seq(c), with_birth(set(c, "x", 1, field("a", sample(3, sample_time(101)))), birth));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, sample(3, sample_time(101)));
}

static void equal_times_are_decided_by_seq(contract *c)
{
    uint64_t s1 = next_seq(c), s2 = next_seq(c), s3 = next_seq(c);
    q_item first = put(c, "x", 1, field("a", sample(1, sample_time(1)))),
        second = with_birth(set(c, "x", 1, field("a", sample(2, sample_time(1)))), s1),
           third = with_birth(set(c, "x", 1, field("a", sample(3, sample_time(1)))), s1);
    commit(c, s1, first);
    redo(c, s3, third);
    redo(c, s2, second); /* late: its point counts, but it isn't the newest */
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, sample(3, sample_time(1)));
    redo(c, s1, first);
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, sample(3, sample_time(1)));
}

static void late_points_are_not_lost(contract *c)
{
    uint64_t s1 = next_seq(c), s2 = next_seq(c), s3 = next_seq(c);
    commit(c, s1, put(c, "x", 1, field("a", sample(1, sample_time(1)))));
    redo(c, s3, with_birth(set(c, "x", 1, field("a", sample(3, sample_time(3)))), s1));
    redo(c, s2, with_birth(set(c, "x", 2, field("a", sample(2, sample_time(9))), field("b", sample(5, sample_time(2)))), s1));
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, sample(2, sample_time(9)));
    EXPECT_VALUE(c, row, 1, sample(5, sample_time(2)));
}

static void several_samples_in_one_transaction(contract *c)
{
    commit(c, next_seq(c), put(c, "x", 3, field("a", sample(1, sample_time(1))), field("a", sample(3, sample_time(3))),
                               field("a", sample(2, sample_time(2)))));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, sample(3, sample_time(3)));
}

static void each_metric_has_its_own_latest(contract *c)
{
    uint64_t birth = next_seq(c);
    commit(c, birth, put(c, "x", 2, field("a", sample(1, sample_time(5))), field("b", sample(2, sample_time(5)))));
    commit(c, next_seq(c), with_birth(set(c, "x", 1, field("b", sample(3, sample_time(6)))), birth));
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, sample(1, sample_time(5)));
    EXPECT_VALUE(c, row, 1, sample(3, sample_time(6)));
}

static void birth_is_told(contract *c)
{
    uint64_t s1 = next_seq(c), s2 = next_seq(c), s3 = next_seq(c);
    commit(c, s1, put(c, "x", 1, field("a", val(c, 1))));
    EXPECT_U64(c, EXPECT_THERE(c, "x")->birth, s1);
    commit(c, next_seq(c), with_birth(set(c, "x", 1, field("a", val(c, 2))), s1));
    EXPECT_U64(c, EXPECT_THERE(c, "x")->birth, s1);
    /* Born in a transaction that wrote no metric; a later one does. */
    commit(c, s3, with_birth(set(c, "y", 1, field("a", val(c, 3))), s2));
    EXPECT_U64(c, EXPECT_THERE(c, "y")->birth, s2);
}

static void delete_takes_only_its_own_lifes_points(contract *c)
{
    uint64_t s1 = next_seq(c), s2 = next_seq(c), s3 = next_seq(c);
    commit(c, s1, put(c, "x", 1, field("a", sample(1, sample_time(100)))));
    commit(c, s2, del(c, "x"));
    commit(c, s3, put(c, "x", 1, field("a", sample(3, sample_time(3)))));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, sample(3, sample_time(3))); /* not the first life's, though that is later in time */
    redo(c, s2, del(c, "x"));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, sample(3, sample_time(3)));
    redo(c, s1, put(c, "x", 1, field("a", sample(1, sample_time(100)))));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, sample(3, sample_time(3)));
    EXPECT_U64(c, EXPECT_THERE(c, "x")->birth, s3);
}

static void points_of_two_records_do_not_mix(contract *c)
{
    /* One id is the other's beginning, and both metrics have one name. */
    uint64_t birth = next_seq(c);
    q_item two[2] = { put(c, "x", 1, field("a", sample(1, sample_time(1)))), put(c, "x1", 1, field("a", sample(2, sample_time(2)))) };
    commit_items(c, birth, 2, two);
    commit(c, next_seq(c), del(c, "x"));
    EXPECT_ABSENT(c, "x");
    EXPECT_VALUE(c, EXPECT_THERE(c, "x1"), 0, sample(2, sample_time(2)));
    commit(c, next_seq(c), put(c, "x", 1, field("a", sample(7, sample_time(0)))));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, sample(7, sample_time(0)));
}

#define METRICS "Influx holds metrics"

const contract_case metric_cases[] = {
    { "latest_by_time", latest_by_time, INFLUX, METRICS },
    { "equal_times_are_decided_by_seq", equal_times_are_decided_by_seq, INFLUX, METRICS },
    { "late_points_are_not_lost", late_points_are_not_lost, INFLUX, METRICS },
    { "several_samples_in_one_transaction", several_samples_in_one_transaction, INFLUX, METRICS },
    { "each_metric_has_its_own_latest", each_metric_has_its_own_latest, INFLUX, METRICS },
    { "birth_is_told", birth_is_told, INFLUX, METRICS },
    { "delete_takes_only_its_own_lifes_points", delete_takes_only_its_own_lifes_points, INFLUX, METRICS },
    { "points_of_two_records_do_not_mix", points_of_two_records_do_not_mix, INFLUX, METRICS },
    { 0 }
};
