/* case_life.c - epochs, marks, prepared transactions, batches: what the protocol needs whatever the data. */
#include "tests/contract/contract.h"

static void refuses_lower_epochs(contract *c)
{
    q_err err = Q_ERR_INIT;
    q_engine_state s;
    uint64_t low = c->epoch, seq = next_seq(c);
    q_item i = put(c, "x", 1, field("a", val(c, 1)));
    q_txn_work w = work(c, seq, 1, &i);
    q_vote v;
    c->epoch++;
    EXPECT_RC(c, c->ops->fence(c->e, c->epoch, &s, &err), Q_OK);
    EXPECT_U64(c, s.epoch, low);
    between(c);
    EXPECT_RC(c, c->ops->fence(c->e, low, &s, &err), Q_FAIL);
    EXPECT_U64(c, s.epoch, c->epoch);
    between(c);
    EXPECT(c, c->ops->prepare(c->e, c->arena, low, &w, 1, &v, &err) != Q_OK);
    between(c);
    EXPECT(c, c->ops->commit(c->e, c->arena, low, 0, &w, 1, &err) != Q_OK);
    reopen(c);
    EXPECT_ABSENT(c, "x");
    /* Remembered by the engine, not by the session. */
    EXPECT(c, c->ops->commit(c->e, c->arena, low, 0, &w, 1, &err) != Q_OK);
    reopen(c);
    EXPECT_ABSENT(c, "x");
    commit(c, seq, i);
    EXPECT_THERE(c, "x");
}

static void fence_is_seen_by_other_sessions(contract *c)
{
    q_engine *other;
    q_err err = Q_ERR_INIT;
    q_engine_state s;
    uint64_t low = c->epoch;
    q_item i = put(c, "x", 1, field("a", val(c, 1)));
    q_txn_work w = work(c, next_seq(c), 1, &i);
    EXPECT_RC(c, c->ops->open(&c->config, &other, &err), Q_OK);
    c->epoch++;
    q_rc rc = c->ops->fence(c->e, c->epoch, &s, &err);
    q_rc late = c->ops->commit(other, c->arena, low, 0, &w, 1, &err);
    c->ops->close(other);
    EXPECT(c, rc == Q_OK);
    EXPECT(c, late != Q_OK);
    EXPECT_ABSENT(c, "x");
}

static void same_epoch_again_is_fine(contract *c)
{
    q_engine_state s;
    q_err err = Q_ERR_INIT;
    for (int i = 0; i < 3; i++) {
        EXPECT_RC(c, c->ops->fence(c->e, c->epoch, &s, &err), Q_OK);
        EXPECT_U64(c, s.epoch, c->epoch);
        EXPECT_U64(c, s.cluster, c->config.cluster);
        between(c);
    }
}

static void belongs_to_one_cluster(contract *c)
{
    q_engine_config other = c->config;
    q_engine *e = NULL;
    q_engine_state s;
    q_err err = Q_ERR_INIT;
    other.cluster = c->config.cluster + 1;
    q_rc rc = c->ops->open(&other, &e, &err);
    if (rc == Q_OK) {
        rc = c->ops->fence(e, c->epoch + 5, &s, &err);
        c->ops->close(e);
    }
    EXPECT(c, rc == Q_FAIL);
    EXPECT_U64(c, state_of(c).epoch, c->epoch);
}

static void marks_are_durable(contract *c)
{
    q_err err = Q_ERR_INIT;
    uint64_t first = next_seq(c), second = next_seq(c), below = first;
    q_item i = put(c, "x", 1, field("a", val(c, 1))), k = put(c, "y", 1, field("a", val(c, 2)));
    q_txn_work works[2] = { work(c, first, 1, &i), work(c, second, 1, &k) };
    EXPECT_RC(c, c->ops->commit(c->e, c->arena, c->epoch, below, works, 2, &err), Q_OK);
    reopen(c);
    EXPECT_U64(c, state_of(c).applied_high, second);
    EXPECT_U64(c, state_of(c).applied_below, below);
    /* A later batch with lower numbers, redo, lowers neither. */
    EXPECT_RC(c, c->ops->commit(c->e, c->arena, c->epoch, below - 1, works, 1, &err), Q_OK);
    reopen(c);
    EXPECT_U64(c, state_of(c).applied_high, second);
    EXPECT_U64(c, state_of(c).applied_below, below);
    /* The mark alone, when END has nothing else to ride with. */
    EXPECT_RC(c, c->ops->commit(c->e, c->arena, c->epoch, second + 1, NULL, 0, &err), Q_OK);
    reopen(c);
    EXPECT_U64(c, state_of(c).applied_below, second + 1);
}

static void prepare_shows_nothing(contract *c)
{
    q_err err = Q_ERR_INIT;
    uint64_t seq = next_seq(c);
    q_item i = put(c, "x", 1, field("a", val(c, 1)));
    q_txn_work w = work(c, seq, 1, &i);
    q_vote v;
    EXPECT_RC(c, c->ops->prepare(c->e, c->arena, c->epoch, &w, 1, &v, &err), Q_OK);
    EXPECT_U64(c, v.no, Q_NO_NONE);
    between(c);
    EXPECT_ABSENT(c, "x");
    EXPECT_RC(c, c->ops->rollback(c->e, c->epoch, &seq, 1, &err), Q_OK);
    EXPECT_ABSENT(c, "x");
    /* A new transaction on the same key isn't held up by it. */
    commit(c, next_seq(c), put(c, "x", 1, field("a", val(c, 2))));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, val(c, 2));
}

static void prepare_twice_is_yes(contract *c)
{
    q_err err = Q_ERR_INIT;
    q_item i = put(c, "x", 1, field("a", val(c, 1)));
    q_txn_work w = work(c, next_seq(c), 1, &i);
    q_vote v;
    for (int n = 0; n < 3; n++) {
        EXPECT_RC(c, c->ops->prepare(c->e, c->arena, c->epoch, &w, 1, &v, &err), Q_OK);
        EXPECT_U64(c, v.no, Q_NO_NONE);
        between(c);
    }
    redo_works(c, 1, &w);
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, val(c, 1));
    /* The duplicate that comes after its own commit. */
    EXPECT_RC(c, c->ops->prepare(c->e, c->arena, c->epoch, &w, 1, &v, &err), Q_OK);
    EXPECT_U64(c, v.no, Q_NO_STALE);
}

static void lists_what_is_prepared(contract *c)
{
    q_err err = Q_ERR_INIT;
    uint64_t seq = next_seq(c), *epochs, *seqs;
    size_t n;
    q_item i = put(c, "x", 1, field("a", val(c, 1)));
    q_txn_work w = work(c, seq, 1, &i);
    q_vote v;
    EXPECT_RC(c, c->ops->prepare(c->e, c->arena, c->epoch, &w, 1, &v, &err), Q_OK);
    reopen(c);
    EXPECT_RC(c, c->ops->list_prepared(c->e, c->arena, &epochs, &seqs, &n, &err), Q_OK);
    size_t found = 0;
    for (size_t k = 0; k < n; k++)
        if (seqs[k] == seq) {
            found++;
            EXPECT_U64(c, epochs[k], c->epoch);
        }
    EXPECT_U64(c, found, c->ops->durable_prepare ? 1 : 0);
    EXPECT_RC(c, c->ops->rollback(c->e, c->epoch, &seq, 1, &err), Q_OK);
    EXPECT_RC(c, c->ops->list_prepared(c->e, c->arena, &epochs, &seqs, &n, &err), Q_OK);
    for (size_t k = 0; k < n; k++)
        EXPECT(c, seqs[k] != seq);
}

static void rollback_of_the_unknown_is_fine(contract *c)
{
    q_err err = Q_ERR_INIT;
    uint64_t seqs[3] = { next_seq(c), next_seq(c), next_seq(c) };
    EXPECT_RC(c, c->ops->rollback(c->e, c->epoch, seqs, 3, &err), Q_OK);
    between(c);
    EXPECT_RC(c, c->ops->rollback(c->e, c->epoch, seqs, 0, &err), Q_OK);
}

static void batches_of_a_thousand(contract *c)
{
    enum { N = 1000 };
    q_txn_work *works = Q_NEW_ARRAY(c->arena, q_txn_work, N);
    char id[16];
    for (int n = 0; n < N; n++) {
        snprintf(id, sizeof id, "id%04d", n);
        q_item i = put(c, q_arena_copy(c->arena, q_slice_cstr(id)).ptr, 2, field("a", val(c, n)), field("b", val(c, n + 1)));
        works[n] = work(c, next_seq(c), 1, &i);
    }
    commit_works(c, N, works);
    redo_works(c, N, works); /* the whole batch again */
    for (int n = 0; n < N; n += 111) {
        snprintf(id, sizeof id, "id%04d", n);
        const q_row *row = EXPECT_THERE(c, id);
        EXPECT_VALUE(c, row, 0, val(c, n));
        EXPECT_VALUE(c, row, 1, val(c, n + 1));
    }
    q_read r = scan_of(c, "things", c->record_incarnation, N + 1);
    EXPECT_U64(c, read_rows(c, &r).count, N);
}

/* After a crash both are sent again: the first was applied, though nobody was told; the second is prepared and holds the row. */
static void prepared_ones_go_before_redo(contract *c)
{
    q_err err = Q_ERR_INIT;
    uint64_t s1 = next_seq(c), s2 = next_seq(c);
    q_item first = put(c, "x", 2, field("a", val(c, 1)), field("b", val(c, 1))),
        second = with_birth(set(c, "x", 1, field("a", val(c, 2))), s1);
    q_txn_work works[2] = { work(c, s1, 1, &first), work(c, s2, 1, &second) };
    q_vote v;
    commit_works(c, 1, works);
    EXPECT_RC(c, c->ops->prepare(c->e, c->arena, c->epoch, &works[1], 1, &v, &err), Q_OK);
    EXPECT_U64(c, v.no, Q_NO_NONE);
    redo_works(c, 2, works);
    const q_row *row = EXPECT_THERE(c, "x");
    EXPECT_VALUE(c, row, 0, val(c, 2));
    EXPECT_VALUE(c, row, 1, val(c, 1));
    EXPECT_U64(c, row->seq, s2);
}

static void votes_answer_each_transaction(contract *c)
{
    q_err err = Q_ERR_INIT;
    uint64_t seqs[3] = { next_seq(c), next_seq(c), next_seq(c) };
    q_item good = put(c, "x", 1, field("a", val(c, 1))), bad[2] = { put(c, "y", 1, field("a", val(c, 1))),
                                                                    put(c, "z", 1, field("wrong", Q_NULL)) };
    q_value wrong = c->as == Q_EN_NEO4J ? num(1) : rel(c, 1, "t");
    q_field f = field("a", wrong);
    bad[1].fields = &f;
    q_txn_work works[3] = { work(c, seqs[0], 1, &good), work(c, seqs[1], 2, bad),
                            { .seq = seqs[2], .writes = Q_SLICE_LIT("no writes at all") } };
    q_vote v[3];
    EXPECT_RC(c, c->ops->prepare(c->e, c->arena, c->epoch, works, 3, v, &err), Q_OK);
    EXPECT_U64(c, v[0].no, Q_NO_NONE);
    EXPECT_U64(c, v[1].seq, seqs[1]);
    EXPECT_U64(c, v[1].no, Q_NO_REFUSED);
    EXPECT_U64(c, v[1].item, 1);
    EXPECT(c, v[1].text.len > 0);
    EXPECT_U64(c, v[2].no, Q_NO_REFUSED);
    EXPECT_RC(c, c->ops->rollback(c->e, c->epoch, seqs, 3, &err), Q_OK);
}

static void empty_calls_are_fine(contract *c)
{
    q_err err = Q_ERR_INIT;
    q_txn_work none = work(c, next_seq(c), 0, NULL);
    EXPECT_RC(c, c->ops->prepare(c->e, c->arena, c->epoch, NULL, 0, NULL, &err), Q_OK);
    EXPECT_RC(c, c->ops->commit(c->e, c->arena, c->epoch, 0, NULL, 0, &err), Q_OK);
    commit_works(c, 1, &none);
}

const contract_case life_cases[] = {
    { "refuses_lower_epochs", refuses_lower_epochs, ALL_KINDS, NULL },
    { "fence_is_seen_by_other_sessions", fence_is_seen_by_other_sessions, ALL_KINDS, NULL },
    { "same_epoch_again_is_fine", same_epoch_again_is_fine, ALL_KINDS, NULL },
    { "belongs_to_one_cluster", belongs_to_one_cluster, ALL_KINDS, NULL },
    { "marks_are_durable", marks_are_durable, ALL_KINDS, NULL },
    { "prepare_shows_nothing", prepare_shows_nothing, ALL_KINDS, NULL },
    { "prepare_twice_is_yes", prepare_twice_is_yes, ALL_KINDS, NULL },
    { "lists_what_is_prepared", lists_what_is_prepared, ALL_KINDS, NULL },
    { "rollback_of_the_unknown_is_fine", rollback_of_the_unknown_is_fine, ALL_KINDS, NULL },
    { "batches_of_a_thousand", batches_of_a_thousand, ALL_KINDS, NULL },
    { "prepared_ones_go_before_redo", prepared_ones_go_before_redo, ALL_KINDS, NULL },
    { "votes_answer_each_transaction", votes_answer_each_transaction, ALL_KINDS, NULL },
    { "empty_calls_are_fine", empty_calls_are_fine, ALL_KINDS, NULL },
    { 0 }
};
