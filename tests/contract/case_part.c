/* case_part.c - put, delete, tombstones, seq checks, preconditions, UNIQUE: one part and the orders in which writes may reach it. */
#include "tests/contract/contract.h"

static void put_and_read_back(contract *c)
{
    uint64_t seq = next_seq(c);
    commit(c, seq, put(c, "x", 2, field("a", val(c, 1)), field("b", val(c, 2))));
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_U64(c, row->seq, seq);
    EXPECT_VALUE(c, row, 0, val(c, 1));
    EXPECT_VALUE(c, row, 1, val(c, 2));
    EXPECT_ABSENT(c, "y");
}

static void later_put_wins(contract *c)
{
    uint64_t first = next_seq(c), second = next_seq(c);
    commit(c, first, put(c, "x", 1, field("a", val(c, 1))));
    commit(c, second, with_birth(set(c, "x", 1, field("a", val(c, 2))), first));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, val(c, 2));
    EXPECT_U64(c, look(c, "x")->seq, second);
}

static void partial_put_keeps_the_other_fields(contract *c)
{
    uint64_t birth = next_seq(c);
    commit(c, birth, put(c, "x", 2, field("a", val(c, 1)), field("b", val(c, 2))));
    commit(c, next_seq(c), with_birth(set(c, "x", 1, field("b", val(c, 3))), birth));
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, val(c, 1));
    EXPECT_VALUE(c, row, 1, val(c, 3));
}

static void full_put_replaces_all_fields(contract *c)
{
    commit(c, next_seq(c), put(c, "x", 2, field("a", val(c, 1)), field("b", val(c, 2))));
    commit(c, next_seq(c), put(c, "x", 1, field("b", val(c, 3))));
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, Q_NULL);
    EXPECT_VALUE(c, row, 1, val(c, 3));
}

static void null_removes_a_field(contract *c)
{
    commit(c, next_seq(c), put(c, "x", 2, field("a", val(c, 1)), field("b", val(c, 2))));
    commit(c, next_seq(c), set(c, "x", 1, field("a", Q_NULL)));
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, Q_NULL);
    EXPECT_VALUE(c, row, 1, val(c, 2));
    commit(c, next_seq(c), set(c, "x", 1, field("b", Q_NULL)));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 1, Q_NULL);
}

static void partial_put_makes_a_missing_part(contract *c)
{
    commit(c, next_seq(c), set(c, "x", 1, field("a", val(c, 1))));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, val(c, 1));
}

static void part_without_fields_is_there(contract *c)
{
    commit(c, next_seq(c), put(c, "x", 0));
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, Q_NULL);
    EXPECT(c, look_at(c, "things", c->record_incarnation, str("x"), 0, NULL) != NULL);
}

static void delete_hides(contract *c)
{
    commit(c, next_seq(c), put(c, "x", 1, field("a", val(c, 1))));
    commit(c, next_seq(c), del(c, "x"));
    EXPECT_ABSENT(c, "x");
    q_read r = scan_of(c, "things", c->record_incarnation, 10);
    EXPECT_U64(c, read_rows(c, &r).count, 0);
    reopen(c);
    EXPECT_ABSENT(c, "x");
}

static void put_delete_stale_put(contract *c)
{
    uint64_t s1 = next_seq(c), s2 = next_seq(c);
    q_item i = put(c, "x", 1, field("a", val(c, 1)));
    commit(c, s1, i);
    commit(c, s2, del(c, "x"));
    redo(c, s1, i);
    EXPECT_ABSENT(c, "x");
    EXPECT_VOTE(c, s1, i, Q_NO_STALE);
}

static void delete_of_the_absent_still_stops_a_stale_put(contract *c)
{
    uint64_t s1 = next_seq(c), s2 = next_seq(c);
    commit(c, s2, del(c, "x"));
    redo(c, s1, put(c, "x", 1, field("a", val(c, 1))));
    EXPECT_ABSENT(c, "x");
}

static void delete_reinsert_stale_delete(contract *c)
{
    uint64_t s1 = next_seq(c), s2 = next_seq(c), s3 = next_seq(c);
    commit(c, s1, put(c, "x", 2, field("a", val(c, 1)), field("b", val(c, 2))));
    commit(c, s2, del(c, "x"));
    commit(c, s3, put(c, "x", 1, field("a", val(c, 3))));
    redo(c, s2, del(c, "x"));
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, val(c, 3));
    EXPECT_VALUE(c, row, 1, Q_NULL); /* nothing of the first life shows */
    EXPECT_VOTE(c, s2, del(c, "x"), Q_NO_STALE);
}

static void partial_put_after_delete_shows_no_older_life(contract *c)
{
    commit(c, next_seq(c), put(c, "x", 2, field("a", val(c, 1)), field("b", val(c, 2))));
    commit(c, next_seq(c), del(c, "x"));
    uint64_t birth = next_seq(c);
    commit(c, next_seq(c), with_birth(set(c, "x", 1, field("a", val(c, 3))), birth));
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, val(c, 3));
    EXPECT_VALUE(c, row, 1, Q_NULL);
}

static void duplicates_change_nothing(contract *c)
{
    uint64_t s1 = next_seq(c), s2 = next_seq(c);
    q_item first = put(c, "x", 2, field("a", val(c, 1)), field("b", val(c, 1))),
        second = with_birth(set(c, "x", 1, field("a", val(c, 2))), s1);
    commit(c, s1, first);
    redo(c, s1, first);
    commit(c, s2, second);
    for (int n = 0; n < 3; n++) {
        redo(c, s1, first);
        redo(c, s2, second);
    }
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, val(c, 2));
    EXPECT_VALUE(c, row, 1, val(c, 1));
    EXPECT_U64(c, row->seq, s2);
}

static void reversed_redo_ends_with_the_newest(contract *c)
{
    enum { N = 8 };
    uint64_t seqs[N];
    q_item items[N];
    for (int n = 0; n < N; n++) {
        seqs[n] = next_seq(c);
        items[n] = n % 3 == 2 ? del(c, "x") : put(c, "x", 1, field("a", val(c, n)));
    }
    for (int n = N; n-- > 0;)
        redo(c, seqs[n], items[n]);
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, val(c, N - 1));
    EXPECT_U64(c, row->seq, seqs[N - 1]);
}

static void one_batch_applies_in_order(contract *c)
{
    uint64_t s[4] = { next_seq(c), next_seq(c), next_seq(c), next_seq(c) };
    q_item i[4] = { put(c, "x", 1, field("a", val(c, 1))), del(c, "x"), put(c, "x", 1, field("b", val(c, 2))),
                    with_birth(set(c, "x", 1, field("a", val(c, 3))), s[2]) };
    q_txn_work w[4];
    for (int n = 0; n < 4; n++)
        w[n] = work(c, s[n], 1, &i[n]);
    redo_works(c, 4, w);
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, val(c, 3));
    EXPECT_VALUE(c, row, 1, val(c, 2));
    EXPECT_U64(c, row->seq, s[3]);
}

static void transaction_writes_many_records(contract *c)
{
    uint64_t birth = next_seq(c);
    q_item i[3] = { put(c, "x", 1, field("a", val(c, 1))), put(c, "y", 1, field("a", val(c, 2))), put(c, "z", 1, field("a", val(c, 3))) };
    commit_items(c, birth, 3, i);
    q_item k[3] = { del(c, "x"), set(c, "y", 1, field("a", val(c, 4))), chk(c, "z", Q_PRE_EXISTS) };
    k[1].birth = birth;
    commit_items(c, next_seq(c), 3, k);
    EXPECT_ABSENT(c, "x");
    EXPECT_VALUE(c, EXPECT_THERE(c, "y"), 0, val(c, 4));
    EXPECT_VALUE(c, EXPECT_THERE(c, "z"), 0, val(c, 3));
}

/* ---- preconditions ---- */

static void must_exist(contract *c)
{
    EXPECT_VOTE(c, next_seq(c), with_pre(set(c, "x", 1, field("a", val(c, 1))), Q_PRE_EXISTS, 0), Q_NO_MISSING);
    EXPECT_VOTE(c, next_seq(c), with_pre(del(c, "x"), Q_PRE_EXISTS, 0), Q_NO_MISSING);
    EXPECT_VOTE(c, next_seq(c), chk(c, "x", Q_PRE_EXISTS), Q_NO_MISSING);
    commit(c, next_seq(c), put(c, "x", 1, field("a", val(c, 1))));
    EXPECT_VOTE(c, next_seq(c), chk(c, "x", Q_PRE_EXISTS), Q_NO_NONE);
    commit(c, next_seq(c), with_pre(set(c, "x", 1, field("a", val(c, 2))), Q_PRE_EXISTS, 0));
    commit(c, next_seq(c), with_pre(del(c, "x"), Q_PRE_EXISTS, 0));
    EXPECT_VOTE(c, next_seq(c), with_pre(del(c, "x"), Q_PRE_EXISTS, 0), Q_NO_MISSING);
}

static void must_not_exist(contract *c)
{
    q_item i = with_pre(put(c, "x", 1, field("a", val(c, 1))), Q_PRE_NOT_EXISTS, 0);
    commit(c, next_seq(c), i);
    EXPECT_VOTE(c, next_seq(c), i, Q_NO_EXISTS);
    EXPECT_VOTE(c, next_seq(c), chk(c, "x", Q_PRE_NOT_EXISTS), Q_NO_EXISTS);
    commit(c, next_seq(c), del(c, "x"));
    EXPECT_VOTE(c, next_seq(c), chk(c, "x", Q_PRE_NOT_EXISTS), Q_NO_NONE);
    commit(c, next_seq(c), i); /* a tombstone is no record */
    EXPECT_THERE(c, "x");
}

static void must_be_what_was_read(contract *c)
{
    uint64_t s1 = next_seq(c);
    EXPECT_VOTE(c, s1, with_pre(put(c, "x", 0), Q_PRE_SEQ_IS, 0), Q_NO_NONE);
    EXPECT_VOTE(c, s1, with_pre(put(c, "x", 0), Q_PRE_SEQ_IS, 3), Q_NO_CHANGED);
    commit(c, s1, put(c, "x", 1, field("a", val(c, 1))));
    uint64_t read = EXPECT_THERE(c, "x")->seq;
    EXPECT_U64(c, read, s1);
    EXPECT_VOTE(c, next_seq(c), with_pre(set(c, "x", 0), Q_PRE_SEQ_IS, read), Q_NO_NONE);
    EXPECT_VOTE(c, next_seq(c), with_pre(set(c, "x", 0), Q_PRE_SEQ_IS, 0), Q_NO_CHANGED);
    EXPECT_VOTE(c, next_seq(c), with_pre(set(c, "x", 0), Q_PRE_SEQ_IS, read - 1), Q_NO_CHANGED);
    commit(c, next_seq(c), set(c, "x", 1, field("a", val(c, 2))));
    EXPECT_VOTE(c, next_seq(c), with_pre(set(c, "x", 0), Q_PRE_SEQ_IS, read), Q_NO_CHANGED);
    EXPECT_VOTE(c, next_seq(c), with_pre(set(c, "x", 0), Q_PRE_EXISTS | Q_PRE_SEQ_IS, look(c, "x")->seq), Q_NO_NONE);
    commit(c, next_seq(c), del(c, "x"));
    /* A reader of what was deleted saw nothing: 0. */
    EXPECT_VOTE(c, next_seq(c), with_pre(put(c, "x", 0), Q_PRE_SEQ_IS, 0), Q_NO_NONE);
}

static void check_writes_nothing(contract *c)
{
    uint64_t s1 = next_seq(c);
    commit(c, s1, put(c, "x", 1, field("a", val(c, 1))));
    commit(c, next_seq(c), chk(c, "x", Q_PRE_EXISTS));
    EXPECT_U64(c, EXPECT_THERE(c, "x")->seq, s1);
    commit(c, next_seq(c), chk(c, "y", Q_PRE_NOT_EXISTS));
    EXPECT_ABSENT(c, "y");
}

static void refused_item_is_named(contract *c)
{
    commit(c, next_seq(c), put(c, "b", 0));
    q_item i[3] = { with_pre(put(c, "a", 0), Q_PRE_NOT_EXISTS, 0), with_pre(put(c, "b", 0), Q_PRE_NOT_EXISTS, 0),
                    with_pre(put(c, "c", 0), Q_PRE_EXISTS, 0) };
    q_vote v = vote_on(c, next_seq(c), 3, i);
    EXPECT_U64(c, v.no, Q_NO_EXISTS);
    EXPECT_U64(c, v.item, 1);
    EXPECT_ABSENT(c, "a");
}

static void stale_transactions_are_refused(contract *c)
{
    uint64_t low = next_seq(c), high = next_seq(c);
    commit(c, high, put(c, "x", 1, field("a", val(c, 1))));
    EXPECT_VOTE(c, low, set(c, "x", 1, field("a", val(c, 2))), Q_NO_STALE);
    EXPECT_VOTE(c, high, set(c, "x", 1, field("a", val(c, 2))), Q_NO_STALE);
    EXPECT_VOTE(c, low, del(c, "x"), Q_NO_STALE);
    EXPECT_VOTE(c, next_seq(c), set(c, "x", 1, field("a", val(c, 2))), Q_NO_NONE);
}

/* ---- UNIQUE ---- */

static uint64_t unique_record(contract *c, q_type type)
{
    q_attr attrs[2] = { attr_of(c, "mail", type), attr_of(c, "other", Q_T_STRING) };
    attrs[0].unique = true;
    return create_record(c, "people", 2, attrs);
}

static q_item person(contract *c, uint64_t incarnation, const char *id, q_value mail)
{
    return of_record(put(c, id, 1, field("mail", mail)), "people", incarnation);
}

static q_item change(contract *c, uint64_t incarnation, const char *id, q_value mail)
{
    return of_record(set(c, id, 1, field("mail", mail)), "people", incarnation);
}

static void unique_values(contract *c)
{
    uint64_t r = unique_record(c, Q_T_STRING);
    commit(c, next_seq(c), person(c, r, "p1", str("a@x")));
    EXPECT_VOTE(c, next_seq(c), person(c, r, "p2", str("a@x")), Q_NO_DUPLICATE_VALUE);
    EXPECT_VOTE(c, next_seq(c), change(c, r, "p1", str("a@x")), Q_NO_NONE);
    EXPECT_VOTE(c, next_seq(c), person(c, r, "p2", str("A@x")), Q_NO_NONE);
    commit(c, next_seq(c), person(c, r, "p2", Q_NULL));
    commit(c, next_seq(c), person(c, r, "p3", Q_NULL)); /* NULLs aren't equal */
    commit(c, next_seq(c), change(c, r, "p1", str("b@x")));
    commit(c, next_seq(c), change(c, r, "p2", str("a@x"))); /* given up by p1 */
    EXPECT_VOTE(c, next_seq(c), change(c, r, "p3", str("b@x")), Q_NO_DUPLICATE_VALUE);
    commit(c, next_seq(c), of_record(del(c, "p1"), "people", r));
    commit(c, next_seq(c), change(c, r, "p3", str("b@x"))); /* p1 is deleted */
    commit(c, next_seq(c), of_record(put(c, "p3", 0), "people", r));
    commit(c, next_seq(c), person(c, r, "p4", str("b@x"))); /* replaced without it */
}

static void unique_values_within_a_transaction(contract *c)
{
    uint64_t r = unique_record(c, Q_T_STRING);
    q_item two[2] = { person(c, r, "p1", str("m")), person(c, r, "p2", str("m")) };
    EXPECT_VOTE_ITEMS(c, next_seq(c), 2, two, Q_NO_DUPLICATE_VALUE);
    two[1] = person(c, r, "p2", str("n"));
    commit_items(c, next_seq(c), 2, two);
    q_item swap[2] = { change(c, r, "p1", str("n")), change(c, r, "p2", str("m")) };
    commit_items(c, next_seq(c), 2, swap);
    EXPECT_VOTE(c, next_seq(c), person(c, r, "p3", str("n")), Q_NO_DUPLICATE_VALUE);
    EXPECT_VOTE(c, next_seq(c), person(c, r, "p3", str("m")), Q_NO_DUPLICATE_VALUE);
    q_item moved[2] = { of_record(del(c, "p1"), "people", r), person(c, r, "p3", str("n")) };
    commit_items(c, next_seq(c), 2, moved);
    EXPECT_VOTE(c, next_seq(c), person(c, r, "p4", str("n")), Q_NO_DUPLICATE_VALUE);
}

static void unique_numbers_compare_as_numbers(contract *c)
{
    uint64_t r = unique_record(c, Q_T_DECIMAL);
    q_value one = { .type = Q_T_DECIMAL, .scale = 1, .coefficient = 10 }, same = { .type = Q_T_DECIMAL, .scale = 3, .coefficient = 1000 };
    commit(c, next_seq(c), person(c, r, "p1", one));
    EXPECT_VOTE(c, next_seq(c), person(c, r, "p2", same), Q_NO_DUPLICATE_VALUE);
    drop_record(c, "people", r);
    uint64_t again = unique_record(c, Q_T_DECIMAL);
    commit(c, next_seq(c), person(c, again, "p2", same)); /* what was dropped holds no value */
}

static void unique_floats_know_one_zero(contract *c)
{
    uint64_t r = unique_record(c, Q_T_FLOAT);
    commit(c, next_seq(c), person(c, r, "p1", flt(0.0)));
    EXPECT_VOTE(c, next_seq(c), person(c, r, "p2", flt(-0.0)), Q_NO_DUPLICATE_VALUE);
    EXPECT_VOTE(c, next_seq(c), person(c, r, "p2", flt(5e-324)), Q_NO_NONE);
}

static void unique_stays_when_attributes_are_added(contract *c)
{
    uint64_t r = unique_record(c, Q_T_STRING);
    q_attr added = attr_of(c, "nick", Q_T_STRING);
    commit(c, next_seq(c), person(c, r, "p1", str("m")));
    added.unique = true;
    alter_record(c, "people", r, 1, &added);
    EXPECT_VOTE(c, next_seq(c), person(c, r, "p2", str("m")), Q_NO_DUPLICATE_VALUE);
    commit(c, next_seq(c), of_record(set(c, "p1", 1, field("nick", str("n"))), "people", r));
    EXPECT_VOTE(c, next_seq(c), of_record(put(c, "p2", 1, field("nick", str("n"))), "people", r), Q_NO_DUPLICATE_VALUE);
    EXPECT_VOTE(c, next_seq(c), of_record(put(c, "p2", 1, field("nick", str("m"))), "people", r), Q_NO_NONE);
}

static void long_unique_values(contract *c)
{
    uint64_t r = unique_record(c, Q_T_STRING);
    char *text = q_arena_alloc(c->arena, 2002);
    memset(text, 'u', 2000);
    text[2000] = '1';
    text[2001] = '\0';
    commit(c, next_seq(c), person(c, r, "p1", str(text)));
    EXPECT_VOTE(c, next_seq(c), person(c, r, "p2", str(text)), Q_NO_DUPLICATE_VALUE);
    text[2000] = '2';
    EXPECT_VOTE(c, next_seq(c), person(c, r, "p2", str(text)), Q_NO_NONE);
}

static void purge_takes_only_old_tombstones(contract *c)
{
    q_err err = Q_ERR_INIT;
    uint64_t s1 = next_seq(c), s2 = next_seq(c), s3 = next_seq(c), s4 = next_seq(c);
    q_item i = put(c, "x", 1, field("a", val(c, 1))), k = put(c, "y", 1, field("a", val(c, 1)));
    commit(c, s2, del(c, "x"));
    commit(c, s3, put(c, "live", 1, field("a", val(c, 7))));
    commit(c, s4, del(c, "y"));
    EXPECT_RC(c, c->ops->purge(c->e, c->epoch, s3, &err), Q_OK);
    between(c);
    EXPECT_VALUE(c, EXPECT_THERE(c, "live"), 0, val(c, 7));
    EXPECT_ABSENT(c, "x");
    redo(c, s1, k);
    EXPECT_ABSENT(c, "y"); /* its tombstone is newer than the mark */
    EXPECT_VOTE(c, s1, i, Q_NO_NONE); /* x is forgotten */
    EXPECT(c, c->ops->purge(c->e, c->epoch - 1, s4, &err) != Q_OK);
}

#define METRICS_ADD "metrics are sets of points: a put adds to them"
#define NO_PRE "nothing is asked of a metric before it is written: a record exists in PostgreSQL"
#define LATE "late points of an ended life are told by their birth: that a record exists is said by PostgreSQL"
#define SCALARS "UNIQUE is for scalars"

const contract_case part_cases[] = {
    { "put_and_read_back", put_and_read_back, ALL_KINDS, NULL },
    { "later_put_wins", later_put_wins, ALL_KINDS, NULL },
    { "partial_put_keeps_the_other_fields", partial_put_keeps_the_other_fields, ALL_KINDS, NULL },
    { "full_put_replaces_all_fields", full_put_replaces_all_fields, ALL_KINDS, NULL },
    { "null_removes_a_field", null_removes_a_field, ORDERED, METRICS_ADD },
    { "partial_put_makes_a_missing_part", partial_put_makes_a_missing_part, ALL_KINDS, NULL },
    { "part_without_fields_is_there", part_without_fields_is_there, ORDERED, "without points there is nothing of a metric" },
    { "delete_hides", delete_hides, ALL_KINDS, NULL },
    { "put_delete_stale_put", put_delete_stale_put, ORDERED, LATE },
    { "delete_of_the_absent_still_stops_a_stale_put", delete_of_the_absent_still_stops_a_stale_put, ORDERED, LATE },
    { "delete_reinsert_stale_delete", delete_reinsert_stale_delete, ALL_KINDS, NULL },
    { "partial_put_after_delete_shows_no_older_life", partial_put_after_delete_shows_no_older_life, ALL_KINDS, NULL },
    { "duplicates_change_nothing", duplicates_change_nothing, ALL_KINDS, NULL },
    { "reversed_redo_ends_with_the_newest", reversed_redo_ends_with_the_newest, ALL_KINDS, NULL },
    { "one_batch_applies_in_order", one_batch_applies_in_order, ALL_KINDS, NULL },
    { "transaction_writes_many_records", transaction_writes_many_records, ALL_KINDS, NULL },
    { "must_exist", must_exist, ORDERED, NO_PRE },
    { "must_not_exist", must_not_exist, ORDERED, NO_PRE },
    { "must_be_what_was_read", must_be_what_was_read, ORDERED, NO_PRE },
    { "check_writes_nothing", check_writes_nothing, ORDERED, NO_PRE },
    { "refused_item_is_named", refused_item_is_named, ORDERED, NO_PRE },
    { "stale_transactions_are_refused", stale_transactions_are_refused, ORDERED, "points have no order among each other" },
    { "unique_values", unique_values, POSTGRES, SCALARS },
    { "unique_values_within_a_transaction", unique_values_within_a_transaction, POSTGRES, SCALARS },
    { "unique_numbers_compare_as_numbers", unique_numbers_compare_as_numbers, POSTGRES, SCALARS },
    { "unique_floats_know_one_zero", unique_floats_know_one_zero, POSTGRES, SCALARS },
    { "unique_stays_when_attributes_are_added", unique_stays_when_attributes_are_added, POSTGRES, SCALARS },
    { "long_unique_values", long_unique_values, POSTGRES, SCALARS },
    { "purge_takes_only_old_tombstones", purge_takes_only_old_tombstones, ORDERED,
      "points of dead lives are removed, no tombstone is kept" },
    { 0 }
};
