/* case_name.c - DDL and incarnations: what was dropped never comes back, whatever arrives late (B9). */
#include "tests/contract/contract.h"

static q_item ddl_again(contract *c, q_ddl_kind kind, const char *record, uint64_t incarnation)
{
    q_attr attrs[2] = { attr(c, "a"), attr(c, "b") };
    return ddl_item(c, kind, record, incarnation, kind == Q_DDL_CREATE_RECORD ? 2 : 0, attrs);
}

static void ddl_is_idempotent(contract *c)
{
    uint64_t seq = next_seq(c);
    q_item create = ddl_again(c, Q_DDL_CREATE_RECORD, "others", seq);
    commit(c, seq, create);
    commit(c, next_seq(c), of_record(put(c, "x", 1, field("a", val(c, 1))), "others", seq));
    redo(c, seq, create);
    static const q_slice a[1] = { { "a", 1 } };
    EXPECT_VALUE(c, look_at(c, "others", seq, str("x"), 1, a), 0, val(c, 1));
    redo(c, c->bucket_incarnation, ddl_item(c, Q_DDL_CREATE_BUCKET, "", c->bucket_incarnation, 0, NULL));
    EXPECT_VALUE(c, look_at(c, "others", seq, str("x"), 1, a), 0, val(c, 1));
    EXPECT_VOTE(c, seq, create, Q_NO_STALE);
}

static void added_attributes_serve(contract *c)
{
    static const q_slice all[3] = { { "a", 1 }, { "late", 4 }, { "b", 1 } };
    commit(c, next_seq(c), put(c, "old", 1, field("a", val(c, 1))));
    q_attr late = attr(c, "late");
    uint64_t seq = alter_record(c, "things", c->record_incarnation, 1, &late);
    commit(c, next_seq(c), put(c, "new", 2, field("a", val(c, 2)), field("late", val(c, 3))));
    const q_row *row = look_at(c, "things", c->record_incarnation, str("old"), 3, all);
    EXPECT_VALUE(c, row, 0, val(c, 1));
    EXPECT_VALUE(c, row, 1, Q_NULL);
    row = look_at(c, "things", c->record_incarnation, str("new"), 3, all);
    EXPECT_VALUE(c, row, 1, val(c, 3));
    q_item again = ddl_item(c, Q_DDL_ALTER_RECORD, "things", c->record_incarnation, 1, &late);
    redo(c, seq, again);
    EXPECT_VALUE(c, look_at(c, "things", c->record_incarnation, str("new"), 3, all), 1, val(c, 3));
}

static void dropped_record_is_empty_and_stays_so(contract *c)
{
    uint64_t old = c->record_incarnation, s1 = next_seq(c);
    q_item late = put(c, "x", 1, field("a", val(c, 1)));
    commit(c, s1, put(c, "y", 1, field("a", val(c, 1))));
    uint64_t lost = next_seq(c);
    drop_record(c, "things", old);
    EXPECT_ABSENT(c, "y");
    redo(c, lost, late); /* of the time before the DROP */
    EXPECT_ABSENT(c, "x");
    EXPECT_VOTE(c, next_seq(c), late, Q_NO_STALE);
    q_read r = scan_of(c, "things", old, 10);
    EXPECT_U64(c, read_rows(c, &r).count, 0);
}

static void late_writes_of_an_older_incarnation_are_invisible(contract *c)
{
    uint64_t old = c->record_incarnation;
    q_item early = put(c, "x", 1, field("a", val(c, 1))), late = put(c, "late", 1, field("a", val(c, 2)));
    commit(c, next_seq(c), early);
    uint64_t lost = next_seq(c);
    drop_record(c, "things", old);
    q_attr attrs[2] = { attr(c, "a"), attr(c, "b") };
    c->record_incarnation = create_record(c, "things", 2, attrs);
    EXPECT_ABSENT(c, "x");
    redo(c, lost, late);
    EXPECT_ABSENT(c, "late");
    EXPECT_VOTE(c, next_seq(c), late, Q_NO_STALE);
    commit(c, next_seq(c), put(c, "x", 1, field("b", val(c, 3))));
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, Q_NULL);
    EXPECT_VALUE(c, row, 1, val(c, 3));
    q_item late_delete = del(c, "x");
    late_delete.incarnation = old;
    redo(c, lost, late_delete);
    EXPECT_THERE(c, "x");
    redo(c, next_seq(c), late_delete); /* even under a newer seq: it isn't this record's */
    EXPECT_THERE(c, "x");
    q_read r = scan_of(c, "things", c->record_incarnation, 10);
    EXPECT_U64(c, read_rows(c, &r).count, 1);
}

static void late_ddl_undoes_nothing(contract *c)
{
    uint64_t old = c->record_incarnation, dropped = drop_record(c, "things", old);
    q_attr attrs[2] = { attr(c, "a"), attr(c, "b") };
    c->record_incarnation = create_record(c, "things", 2, attrs);
    commit(c, next_seq(c), put(c, "x", 1, field("a", val(c, 1))));
    redo(c, dropped, ddl_again(c, Q_DDL_DROP_RECORD, "things", old));
    redo(c, old, ddl_again(c, Q_DDL_CREATE_RECORD, "things", old));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, val(c, 1));
}

static void dropped_bucket_takes_all_with_it(contract *c)
{
    uint64_t bucket = c->bucket_incarnation;
    q_item early = put(c, "x", 1, field("a", val(c, 1)));
    commit(c, next_seq(c), early);
    uint64_t lost = next_seq(c);
    q_txn_work late = work_in(c, bucket, lost, 1, &early);
    drop_bucket(c);
    EXPECT_ABSENT(c, "x");
    redo_works(c, 1, &late);
    EXPECT_ABSENT(c, "x");
    create_bucket(c);
    q_attr attrs[2] = { attr(c, "a"), attr(c, "b") };
    c->record_incarnation = create_record(c, "things", 2, attrs);
    EXPECT_ABSENT(c, "x");
    redo_works(c, 1, &late);
    EXPECT_ABSENT(c, "x");
    early.incarnation = c->record_incarnation; /* the record is right, the bucket is the old one */
    late = work_in(c, bucket, next_seq(c), 1, &early);
    q_err err = Q_ERR_INIT;
    q_vote v;
    EXPECT_RC(c, c->ops->prepare(c->e, c->arena, c->epoch, &late, 1, &v, &err), Q_OK);
    EXPECT_U64(c, v.no, Q_NO_STALE);
    commit(c, next_seq(c), put(c, "x", 1, field("a", val(c, 5))));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, val(c, 5));
}

static void many_parts_are_dropped_and_none_returns(contract *c)
{
    enum { N = 3000 };
    q_txn_work *works = Q_NEW_ARRAY(c->arena, q_txn_work, N);
    q_err err = Q_ERR_INIT;
    for (int i = 0; i < N; i++) {
        q_item one = put(c, q_arena_printf(c->arena, "id%d", i).ptr, 1, field("a", val(c, i)));
        works[i] = work(c, next_seq(c), 1, &one);
    }
    redo_works(c, N, works);
    drop_record(c, "things", c->record_incarnation);
    q_attr attrs[2] = { attr(c, "a"), attr(c, "b") };
    c->record_incarnation = create_record(c, "things", 2, attrs);
    q_read r = scan_of(c, "things", c->record_incarnation, 10);
    EXPECT_U64(c, read_rows(c, &r).count, 0);
    commit(c, next_seq(c), put(c, "id7", 1, field("a", val(c, 1))));
    EXPECT_RC(c, c->ops->purge(c->e, c->epoch, c->seq, &err), Q_OK); /* whatever was left is removed now */
    EXPECT_U64(c, read_rows(c, &r).count, 1);
    EXPECT_VALUE(c, EXPECT_THERE(c, "id7"), 0, val(c, 1));
}

static void same_names_in_two_buckets_are_two_things(contract *c)
{
    char first[sizeof c->bucket];
    memcpy(first, c->bucket, sizeof first);
    uint64_t bucket = c->bucket_incarnation, record = c->record_incarnation;
    commit(c, next_seq(c), put(c, "x", 1, field("a", val(c, 1))));
    c->bucket[0] = 'u';
    create_bucket(c);
    q_attr attrs[2] = { attr(c, "a"), attr(c, "b") };
    c->record_incarnation = create_record(c, "things", 2, attrs);
    EXPECT_ABSENT(c, "x");
    commit(c, next_seq(c), put(c, "x", 1, field("a", val(c, 2))));
    drop_bucket(c);
    memcpy(c->bucket, first, sizeof first);
    c->bucket_incarnation = bucket;
    c->record_incarnation = record;
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, val(c, 1));
}

const contract_case name_cases[] = {
    { "ddl_is_idempotent", ddl_is_idempotent, ALL_KINDS, NULL },
    { "added_attributes_serve", added_attributes_serve, ALL_KINDS, NULL },
    { "dropped_record_is_empty_and_stays_so", dropped_record_is_empty_and_stays_so, ALL_KINDS, NULL },
    { "late_writes_of_an_older_incarnation_are_invisible", late_writes_of_an_older_incarnation_are_invisible, ALL_KINDS, NULL },
    { "late_ddl_undoes_nothing", late_ddl_undoes_nothing, ALL_KINDS, NULL },
    { "dropped_bucket_takes_all_with_it", dropped_bucket_takes_all_with_it, ALL_KINDS, NULL },
    { "many_parts_are_dropped_and_none_returns", many_parts_are_dropped_and_none_returns, ALL_KINDS, NULL },
    { "same_names_in_two_buckets_are_two_things", same_names_in_two_buckets_are_two_things, ALL_KINDS, NULL },
    { 0 }
};
