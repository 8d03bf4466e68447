#include "tests/unit/workers/drive.h"

static const q_worker_config plain = { .engine = Q_EN_MONGO, .retry_ms = 100 };
static const q_worker_config durable = { .engine = Q_EN_POSTGRES, .retry_ms = 100, .sweep_ms = 1000, .durable_prepare = true };

/* ---- fencing ---- */

static void work_waits_until_the_engine_knows_the_epoch(void **state)
{
    drive *d = drive_new(*state, &plain);
    deliver_txns(d, Q_M_PREPARE, 3, 10, 1);
    deliver_txns(d, Q_M_COMMIT, 3, 9, 1);
    deliver_read(d, 3, 1, Q_R_IDS);
    assert_int_equal(d->job_count, 1);
    q_job *j = must_run(d, Q_J_FENCE);
    assert_int_equal(j->epoch, 3);
    j->state = (q_engine_state){ .epoch = 2, .applied_high = 8, .applied_below = 5, .cluster = CLUSTER };
    finish(d, j);
    assert_int_equal(d->sent_count, 1);
    assert_int_equal(d->sent[0].kind, Q_M_STATE);
    assert_int_equal(d->sent[0].state->epoch, 2);
    assert_int_equal(d->sent[0].state->applied_high, 8);
    assert_int_equal(d->sent[0].state->applied_below, 5);
    assert_non_null(running(d, Q_J_PREPARE));
    assert_non_null(running(d, Q_J_COMMIT));
    assert_non_null(running(d, Q_J_READ));
    drive_end(d);
}

static void lower_epochs_are_refused(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 5);
    deliver_txns(d, Q_M_PREPARE, 4, 10, 1);
    deliver_txns(d, Q_M_COMMIT, 4, 10, 1);
    deliver_read(d, 4, 1, Q_R_IDS);
    deliver_abort(d, 4, 10);
    q_msg m = message(d, Q_M_FENCE, 4, "", 0);
    deliver(d, &m);
    assert_int_equal(d->job_count, 0);
    assert_int_equal(d->sent_count, 0);
    assert_int_equal(d->lines, 5);
    q_worker_stats s;
    q_worker_get_stats(d->w, &s);
    assert_int_equal(s.refused, 5);
    assert_int_equal(s.epoch, 5);
    drive_end(d);
}

static void other_clusters_engines_and_no_epoch_are_refused(void **state)
{
    drive *d = drive_new(*state, &plain);
    q_msg m = message(d, Q_M_FENCE, 5, "", 0);
    m.cluster = CLUSTER + 1;
    deliver(d, &m);
    m = message(d, Q_M_FENCE, 5, "", 0);
    m.engine = Q_EN_INFLUX;
    deliver(d, &m);
    m = message(d, Q_M_FENCE, 0, "", 0);
    deliver(d, &m);
    assert_int_equal(d->job_count, 0);
    assert_int_equal(d->lines, 3);
    drive_end(d);
}

static void a_higher_epoch_drops_what_waits_and_fences_before_all_else(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 5);
    deliver_txns(d, Q_M_COMMIT, 5, 10, 1);
    deliver_txns(d, Q_M_COMMIT, 5, 11, 1); /* waits */
    deliver_txns(d, Q_M_PREPARE, 5, 12, 1);
    deliver_txns(d, Q_M_PREPARE, 5, 13, 1); /* waits */
    deliver_txns(d, Q_M_COMMIT, 6, 20, 1);
    assert_null(running(d, Q_J_FENCE)); /* what writes ends first: not every engine can check the epoch in a write */
    finish_kind(d, Q_J_COMMIT);
    assert_int_equal(d->sent_count, 1); /* it is durable, whoever asked */
    assert_int_equal(d->sent[0].seqs[0], 10);
    assert_null(running(d, Q_J_COMMIT));
    finish_kind(d, Q_J_PREPARE); /* a vote of an ended epoch is nobody's */
    assert_int_equal(d->sent_count, 1);
    finish_kind(d, Q_J_FENCE);
    assert_int_equal(d->sent[1].kind, Q_M_STATE);
    q_job *j = must_run(d, Q_J_COMMIT);
    assert_int_equal(j->count, 1);
    assert_int_equal(j->txns[0].seq, 20);
    assert_null(running(d, Q_J_PREPARE));
    drive_end(d);
}

static void an_apply_that_failed_in_an_older_epoch_is_not_tried_again(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 5);
    deliver_txns(d, Q_M_COMMIT, 5, 10, 3);
    q_msg m = message(d, Q_M_FENCE, 6, "", 0);
    deliver(d, &m);
    finish_with(d, must_run(d, Q_J_COMMIT), Q_RETRY, Q_E_ENGINE_DOWN);
    finish_kind(d, Q_J_FENCE);
    pass_time(d, 60000000);
    assert_int_equal(d->job_count, 0);
    drive_end(d);
}

static void each_fence_is_answered(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 5);
    fence(d, 5);
    drive_end(d);
}

static void a_failing_fence_is_tried_again_and_nothing_else_runs(void **state)
{
    drive *d = drive_new(*state, &plain);
    deliver_txns(d, Q_M_PREPARE, 5, 10, 1);
    for (int i = 0; i < 10; i++) {
        finish_with(d, must_run(d, Q_J_FENCE), Q_RETRY, Q_E_ENGINE_DOWN);
        assert_int_equal(d->job_count, 0);
        assert_true(d->timer_us > d->now_us && d->timer_us <= d->now_us + 5000000);
        pass_time(d, d->timer_us - d->now_us);
    }
    finish_kind(d, Q_J_FENCE);
    assert_non_null(running(d, Q_J_PREPARE));
    drive_end(d);
}

static void a_refused_fence_tells_the_coordinator_what_the_engine_knows(void **state)
{
    drive *d = drive_new(*state, &plain);
    q_msg m = message(d, Q_M_FENCE, 5, "", 0);
    deliver(d, &m);
    q_job *j = must_run(d, Q_J_FENCE);
    j->state = (q_engine_state){ .epoch = 9, .applied_high = 100, .cluster = CLUSTER };
    finish_with(d, j, Q_FAIL, Q_E_PARTICIPANT_REFUSED);
    assert_int_equal(d->sent_count, 1);
    assert_int_equal(d->sent[0].state->epoch, 9);
    pass_time(d, 60000000);
    assert_int_equal(d->job_count, 0);
    deliver_txns(d, Q_M_PREPARE, 5, 10, 1);
    assert_int_equal(d->job_count, 0);
    fence(d, 10);
    drive_end(d);
}

static void a_fence_that_could_not_be_asked_says_nothing(void **state)
{
    drive *d = drive_new(*state, &plain);
    q_msg m = message(d, Q_M_FENCE, 5, "", 0);
    deliver(d, &m);
    finish_with(d, must_run(d, Q_J_FENCE), Q_FAIL, Q_E_ENGINE_DOWN); /* no session: its state is all zero, as a fresh engine's */
    assert_int_equal(d->sent_count, 0);
    drive_end(d);
}

/* ---- batches ---- */

static void all_that_waits_becomes_one_batch(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 10, 1);
    for (uint64_t s = 11; s < 31; s++)
        deliver_txns(d, Q_M_COMMIT, 1, s, 1);
    assert_int_equal(d->job_count, 1);
    finish_kind(d, Q_J_COMMIT);
    q_job *j = must_run(d, Q_J_COMMIT);
    assert_int_equal(j->count, 20);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(j->txns[i].seq, 11 + i);
    d->sent_count = 0;
    finish(d, j);
    assert_int_equal(d->sent_count, 1);
    assert_int_equal(d->sent[0].kind, Q_M_ACK);
    assert_int_equal(d->sent[0].count, 20);
    assert_int_equal(d->sent[0].seqs[19], 30);
    drive_end(d);
}

static void a_batch_has_each_seq_once_and_in_order(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 1, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 12, 3);
    deliver_txns(d, Q_M_COMMIT, 1, 10, 3); /* redo that arrives late */
    deliver_txns(d, Q_M_COMMIT, 1, 12, 1);
    finish_kind(d, Q_J_COMMIT);
    q_job *j = must_run(d, Q_J_COMMIT);
    assert_int_equal(j->count, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(j->txns[i].seq, 10 + i);
    drive_end(d);
}

static void each_bucket_gets_its_own_answer(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_PREPARE, 1, 1, 1);
    deliver_txns_on(d, Q_M_PREPARE, 1, "zoo", 5, 2, NULL);
    deliver_txns_on(d, Q_M_PREPARE, 1, "shop", 7, 2, NULL);
    deliver_txns_on(d, Q_M_PREPARE, 1, "zoo", 9, 2, NULL);
    finish_kind(d, Q_J_PREPARE);
    d->sent_count = 0;
    q_job *j = must_run(d, Q_J_PREPARE);
    assert_int_equal(j->count, 6);
    for (uint32_t i = 0; i < j->count; i++)
        j->votes[i].seq = j->txns[i].seq;
    j->votes[1].no = Q_NO_EXISTS;
    j->votes[1].item = 4;
    j->votes[1].text = Q_SLICE_LIT("why");
    j->rc = Q_OK;
    d->job_count = 0;
    q_worker_done(d->w, j, d->now_us, &d->fx);
    take(d);
    assert_int_equal(d->sent_count, 2);
    assert_slice(d->sent[0].bucket, "shop");
    assert_int_equal(d->sent[0].count, 2);
    assert_int_equal(d->sent[0].votes[0].no, Q_NO_NONE);
    assert_int_equal(d->sent[0].votes[1].seq, 8);
    assert_int_equal(d->sent[0].votes[1].no, Q_NO_EXISTS);
    assert_int_equal(d->sent[0].votes[1].item, 4);
    assert_slice(d->sent[0].votes[1].text, "why");
    assert_slice(d->sent[1].bucket, "zoo");
    assert_int_equal(d->sent[1].count, 4);
    assert_int_equal(d->sent[1].epoch, 1);
    assert_int_equal(d->sent[1].cluster, CLUSTER);
    assert_int_equal(d->sent[1].engine, Q_EN_MONGO);
    drive_end(d);
}

static void prepares_run_beside_decisions(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 1, 1);
    deliver_txns(d, Q_M_PREPARE, 1, 2, 1);
    deliver_read(d, 1, 4, Q_R_SCAN);
    assert_int_equal(d->job_count, 3);
    assert_int_equal(must_run(d, Q_J_COMMIT)->lane, Q_LANE_DECIDE);
    assert_int_equal(must_run(d, Q_J_PREPARE)->lane, Q_LANE_PREPARE);
    assert_int_equal(must_run(d, Q_J_READ)->lane, Q_LANE_READ);
    drive_end(d);
}

static void the_mark_travels_with_the_batch(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 1, 1);
    q_txn_work t = { .seq = 20, .writes = writes_on(d, "shop", "x") };
    const uint64_t marks[3] = { 7, 9, 8 };
    for (int i = 0; i < 3; i++) {
        q_msg m = message(d, Q_M_COMMIT, 1, "shop", 1);
        m.txns = &t;
        m.below = marks[i];
        deliver(d, &m);
    }
    finish_kind(d, Q_J_COMMIT);
    assert_int_equal(must_run(d, Q_J_COMMIT)->below, 9);
    drive_end(d);
}

static void a_job_is_bounded(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 1, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 10, Q_WIRE_MAX_TXNS);
    deliver_txns(d, Q_M_COMMIT, 1, 10 + Q_WIRE_MAX_TXNS, 1);
    finish_kind(d, Q_J_COMMIT);
    assert_int_equal(must_run(d, Q_J_COMMIT)->count, Q_WIRE_MAX_TXNS);
    finish_kind(d, Q_J_COMMIT);
    assert_int_equal(must_run(d, Q_J_COMMIT)->count, 1);
    drive_end(d);
}

/* ---- failing applies ---- */

static void an_ack_leaves_only_after_success(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 10, 2);
    int64_t last = 0;
    for (int i = 0; i < 12; i++) {
        q_job *j = must_run(d, Q_J_COMMIT);
        assert_int_equal(j->count, 2);
        finish_with(d, j, i % 2 ? Q_IN_DOUBT : Q_RETRY, Q_E_ENGINE_DOWN);
        assert_int_equal(d->sent_count, 1); /* why it fails, for operators; and no ack */
        assert_int_equal(d->sent[0].kind, Q_M_VOTE);
        assert_int_equal(d->sent[0].count, 2);
        assert_true(d->sent[0].votes[0].no == Q_NO_REFUSED && d->sent[0].votes[0].text.len > 0);
        assert_int_equal(d->job_count, 0);
        int64_t rest = d->timer_us - d->now_us;
        assert_true(rest >= last && rest <= 5000000); /* doubled, up to 5 s */
        last = rest;
        q_worker_tick(d->w, d->timer_us - 1, &d->fx);
        take(d);
        assert_int_equal(d->job_count, 0);
        pass_time(d, rest);
        /* The engine may have come back without the epoch, or the lease be elsewhere: it is told first. */
        uint32_t states = d->sent_count;
        finish_kind(d, Q_J_FENCE);
        assert_int_equal(d->sent_count, states + 1);
        d->sent_count = 0;
    }
    assert_int_equal(last, 5000000);
    q_worker_stats s;
    q_worker_get_stats(d->w, &s);
    assert_int_equal(s.stuck, 2);
    finish_kind(d, Q_J_COMMIT);
    assert_int_equal(d->sent_count, 1);
    assert_int_equal(d->sent[0].kind, Q_M_ACK);
    assert_int_equal(d->sent[0].count, 2);
    q_worker_get_stats(d->w, &s);
    assert_int_equal(s.stuck, 0);
    assert_int_equal(s.applied, 2);
    drive_end(d);
}

static void what_comes_later_waits_behind_a_failing_batch(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 10, 1);
    finish_with(d, must_run(d, Q_J_COMMIT), Q_RETRY, Q_E_ENGINE_DOWN);
    deliver_txns(d, Q_M_COMMIT, 1, 11, 1);
    assert_int_equal(d->job_count, 0);
    pass_time(d, 100000);
    finish_kind(d, Q_J_FENCE);
    assert_int_equal(must_run(d, Q_J_COMMIT)->txns[0].seq, 10);
    finish_kind(d, Q_J_COMMIT);
    assert_int_equal(must_run(d, Q_J_COMMIT)->txns[0].seq, 11);
    drive_end(d);
}

/* Answers every COMMIT job that runs: as if one transaction could never be applied. */
static void run_with_one_bad(drive *d, uint64_t bad, q_rc rc)
{
    for (int n = 0; n < 1000 && running(d, Q_J_COMMIT); n++) {
        q_job *j = running(d, Q_J_COMMIT);
        bool has = false;
        for (uint32_t i = 0; i < j->count; i++)
            has |= j->txns[i].seq == bad;
        if (has)
            finish_with(d, j, rc, Q_E_PARTICIPANT_REFUSED);
        else
            finish(d, j);
    }
    assert_null(running(d, Q_J_COMMIT));
}

static bool acked(const drive *d, uint64_t seq)
{
    for (uint32_t i = 0; i < d->sent_count; i++)
        for (uint32_t k = 0; d->sent[i].kind == Q_M_ACK && k < d->sent[i].count; k++)
            if (d->sent[i].seqs[k] == seq)
                return true;
    return false;
}

/* While the engine is slow the coordinator sends again what it waits for: that isn't applied a second time. What comes after the answer is. */
static void a_commit_that_is_repeated_before_its_answer_runs_once(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 10, 3);
    q_job *j = must_run(d, Q_J_COMMIT);
    assert_int_equal(j->count, 3);
    deliver_txns(d, Q_M_COMMIT, 1, 10, 3);
    deliver_txns(d, Q_M_COMMIT, 1, 11, 4); /* 13 and 14 are new */
    deliver_txns(d, Q_M_COMMIT, 1, 12, 1);
    finish_kind(d, Q_J_COMMIT);
    j = must_run(d, Q_J_COMMIT);
    assert_int_equal(j->count, 2);
    assert_int_equal(j->txns[0].seq, 13);
    finish_kind(d, Q_J_COMMIT);
    assert_null(running(d, Q_J_COMMIT));
    for (uint64_t s = 10; s < 15; s++)
        assert_true(acked(d, s));
    deliver_txns(d, Q_M_COMMIT, 1, 10, 1); /* its answer was lost, or an operator replays it */
    assert_int_equal(must_run(d, Q_J_COMMIT)->count, 1);
    finish_kind(d, Q_J_COMMIT);
    drive_end(d);
}

static void one_that_fails_holds_up_only_those_that_need_its_records(void **state)
{
    const q_rc ways[2] = { Q_FAIL, Q_RETRY };
    for (int w = 0; w < 2; w++) {
        drive *d = drive_new(*state, &plain);
        fence(d, 1);
        deliver_txns(d, Q_M_COMMIT, 1, 10, 100);
        run_with_one_bad(d, 50, ways[w]);
        for (uint64_t s = 10; s < 110; s++)
            assert_int_equal(acked(d, s), s != 50);
        q_worker_stats s;
        q_worker_get_stats(d->w, &s);
        assert_int_equal(s.stuck, 1);
        /* Another on the same record waits; one on another doesn't; a duplicate of the stuck one isn't run twice. */
        deliver_txns_on(d, Q_M_COMMIT, 1, "shop", 200, 1, "id50");
        deliver_txns_on(d, Q_M_COMMIT, 1, "shop", 201, 1, "free");
        deliver_txns_on(d, Q_M_COMMIT, 1, "zoo", 202, 1, "id50");
        deliver_txns(d, Q_M_COMMIT, 1, 50, 1);
        run_with_one_bad(d, 50, ways[w]);
        assert_true(acked(d, 201));
        assert_true(acked(d, 202));
        assert_false(acked(d, 200));
        /* It is tried again for ever, and when it succeeds the one behind it follows. */
        uint32_t alone = 0;
        for (int i = 0; i < 20; i++) {
            pass_time(d, 5000000);
            q_job *j = must_run(d, Q_J_COMMIT);
            assert_int_equal(j->txns[0].seq, 50);
            assert_true(j->count == 1 || (j->count == 2 && j->txns[1].seq == 200));
            alone += j->count == 1;
            finish_with(d, j, ways[w], Q_E_PARTICIPANT_REFUSED);
        }
        assert_in_range(alone, 8, 12);
        pass_time(d, 5000000);
        while (running(d, Q_J_COMMIT))
            finish_kind(d, Q_J_COMMIT);
        assert_true(acked(d, 50));
        assert_true(acked(d, 200));
        q_worker_get_stats(d->w, &s);
        assert_int_equal(s.stuck, 0);
        drive_end(d);
    }
}

/* After a crash: 50 was applied, its ack was lost, and 200 on the same record was prepared meanwhile and holds its row. The engine commits
 * what is prepared first; the redo of 50 then changes nothing. But it must be given both. */
static void one_that_waits_for_a_later_one_meets_it(void **state)
{
    drive *d = drive_new(*state, &durable);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 50, 1);
    finish_with(d, must_run(d, Q_J_COMMIT), Q_RETRY, Q_E_PARTICIPANT_REFUSED);
    deliver_txns_on(d, Q_M_COMMIT, 1, "shop", 200, 1, "id50");
    bool both = false;
    for (int i = 0; i < 10 && !both; i++) {
        pass_time(d, 5000000);
        if (running(d, Q_J_SWEEP))
            finish_kind(d, Q_J_SWEEP);
        q_job *j = must_run(d, Q_J_COMMIT);
        both = j->count == 2 && j->txns[0].seq == 50 && j->txns[1].seq == 200;
        both ? finish(d, j) : finish_with(d, j, Q_RETRY, Q_E_PARTICIPANT_REFUSED);
    }
    assert_true(acked(d, 50) && acked(d, 200));
    drive_end(d);
}

static void what_stands_behind_the_bad_one_in_its_batch_waits_too(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 1, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 10, 5);
    deliver_txns_on(d, Q_M_COMMIT, 1, "shop", 20, 1, "id12"); /* in one batch with 12 */
    run_with_one_bad(d, 12, Q_FAIL);
    assert_true(acked(d, 11) && acked(d, 13));
    assert_false(acked(d, 12) || acked(d, 20));
    drive_end(d);
}

static void a_new_epoch_forgets_the_stuck_even_one_that_runs(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 10, 4);
    run_with_one_bad(d, 12, Q_FAIL);
    pass_time(d, 5000000);
    q_job *j = must_run(d, Q_J_COMMIT);
    q_msg m = message(d, Q_M_FENCE, 2, "", 0);
    deliver(d, &m);
    finish_with(d, j, Q_FAIL, Q_E_PARTICIPANT_REFUSED);
    finish_kind(d, Q_J_FENCE);
    pass_time(d, 60000000);
    assert_int_equal(d->job_count, 0);
    q_worker_stats s;
    q_worker_get_stats(d->w, &s);
    assert_int_equal(s.stuck, 0);
    drive_end(d);
}

static void many_stuck_ones_are_bounded_and_none_is_lost_for_good(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 1000, 200);
    for (int n = 0; n < 100000 && d->job_count; n++) /* nothing can be applied */
        finish_with(d, must_run(d, Q_J_COMMIT), Q_FAIL, Q_E_PARTICIPANT_REFUSED);
    q_worker_stats s;
    q_worker_get_stats(d->w, &s);
    assert_int_equal(s.stuck, 200);
    for (int n = 0; n < 10000 && s.applied < 200; n++) { /* now everything can */
        if (d->job_count)
            finish_kind(d, Q_J_COMMIT);
        else
            pass_time(d, 1000000);
        q_worker_get_stats(d->w, &s);
        if (d->sent_count > MAX_SENT - 4)
            d->sent_count = 0;
    }
    assert_int_equal(s.applied, 200);
    drive_end(d);
}

/* ---- prepares that fail ---- */

static void no_vote_known_is_no_for_now(void **state)
{
    const q_rc ways[3] = { Q_RETRY, Q_IN_DOUBT, Q_FAIL };
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    for (int w = 0; w < 3; w++) {
        d->sent_count = 0;
        deliver_txns(d, Q_M_PREPARE, 1, 10, 2);
        finish_with(d, must_run(d, Q_J_PREPARE), ways[w], Q_E_ENGINE_DOWN);
        assert_int_equal(d->sent_count, 1);
        assert_int_equal(d->sent[0].count, 2);
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(d->sent[0].votes[i].seq, 10 + i);
            assert_int_equal(d->sent[0].votes[i].no, Q_NO_ENGINE_DOWN);
            assert_slice(d->sent[0].votes[i].text, "it failed");
        }
        /* The coordinator decides what then; and the engine may have come back as another: it is fenced before it serves again. */
        if (ways[w] != Q_FAIL)
            finish_kind(d, Q_J_FENCE);
        assert_int_equal(d->job_count, 0);
    }
    drive_end(d);
}

/* ---- aborts, and what stays prepared ---- */

static void an_abort_that_overtakes_its_prepare_wins(void **state)
{
    drive *d = drive_new(*state, &durable);
    fence(d, 1);
    deliver_abort(d, 1, 11);
    finish_kind(d, Q_J_ROLLBACK);
    deliver_txns(d, Q_M_PREPARE, 1, 10, 3);
    q_job *j = must_run(d, Q_J_PREPARE);
    assert_int_equal(j->count, 2);
    assert_int_equal(j->txns[0].seq, 10);
    assert_int_equal(j->txns[1].seq, 12);
    drive_end(d);
}

static void an_abort_during_its_prepare_is_carried_out_again(void **state)
{
    drive *d = drive_new(*state, &durable);
    fence(d, 1);
    deliver_txns(d, Q_M_PREPARE, 1, 10, 2);
    deliver_abort(d, 1, 11);
    finish_kind(d, Q_J_ROLLBACK); /* found nothing: it wasn't prepared yet */
    finish_kind(d, Q_J_PREPARE);
    q_job *j = must_run(d, Q_J_ROLLBACK);
    assert_int_equal(j->count, 1);
    assert_int_equal(j->seqs[0], 11);
    drive_end(d);
}

static void without_durable_prepare_an_abort_needs_no_engine(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_abort(d, 1, 11);
    assert_int_equal(d->job_count, 0);
    drive_end(d);
}

static void aborts_are_remembered_as_far_as_promised(void **state)
{
    enum { REMEMBERED = 8192 };
    drive *d = drive_new(*state, &durable);
    uint64_t *seqs = Q_NEW_ARRAY(d->arena, uint64_t, Q_WIRE_MAX_TXNS);
    fence(d, 1);
    for (uint64_t first = 1; first < 1 + REMEMBERED + 4096; first += 4096) {
        for (uint32_t i = 0; i < 4096; i++)
            seqs[i] = first + i;
        q_msg m = message(d, Q_M_ABORT, 1, "shop", 4096);
        m.seqs = seqs;
        deliver(d, &m);
        finish_kind(d, Q_J_ROLLBACK);
    }
    deliver_txns(d, Q_M_PREPARE, 1, 4096, 3); /* the first is forgotten, the others are the oldest remembered ones */
    q_job *j = must_run(d, Q_J_PREPARE);
    assert_int_equal(j->count, 1);
    assert_int_equal(j->txns[0].seq, 4096);
    drive_end(d);
}

static void rollbacks_go_on_while_an_apply_rests(void **state)
{
    drive *d = drive_new(*state, &durable);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 10, 1);
    finish_with(d, must_run(d, Q_J_COMMIT), Q_RETRY, Q_E_ENGINE_DOWN);
    deliver_abort(d, 1, 9); /* perhaps it holds the row lock */
    assert_non_null(running(d, Q_J_ROLLBACK));
    drive_end(d);
}

static void an_engine_that_has_forgotten_serves_nothing_before_the_next_epoch(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_txns(d, Q_M_COMMIT, 1, 10, 1);
    finish_kind(d, Q_J_COMMIT);
    deliver_txns(d, Q_M_COMMIT, 1, 11, 1);
    finish_with(d, must_run(d, Q_J_COMMIT), Q_IN_DOUBT, Q_E_ENGINE_DOWN); /* it was emptied, and started again */
    d->forgets = true;
    d->sent_count = 0;
    pass_time(d, 10000000);
    finish_kind(d, Q_J_FENCE);
    assert_int_equal(d->sent[d->sent_count - 1].kind, Q_M_STATE);
    assert_true(d->sent[d->sent_count - 1].batch == Q_STATE_FORGOT);
    deliver_txns(d, Q_M_COMMIT, 1, 12, 1);
    deliver_txns(d, Q_M_PREPARE, 1, 13, 1);
    pass_time(d, 10000000);
    assert_int_equal(d->job_count, 0);
    q_msg m = message(d, Q_M_FENCE, 2, "", 0);
    deliver(d, &m);
    finish_kind(d, Q_J_FENCE);
    deliver_txns(d, Q_M_COMMIT, 2, 14, 1);
    assert_int_equal(must_run(d, Q_J_COMMIT)->txns[0].seq, 14);
    drive_end(d);
}

static void finish_sweep(drive *d, size_t n, uint64_t *epochs, uint64_t *seqs)
{
    q_job *j = must_run(d, Q_J_SWEEP);
    j->prepared_count = n;
    j->prepared_epochs = epochs;
    j->prepared_seqs = seqs;
    d->sent_count = 0;
    finish(d, j);
}

static void the_sweeper_asks_about_what_stays(void **state)
{
    drive *d = drive_new(*state, &durable);
    uint64_t epochs[3] = { 4, 3, 4 }, seqs[3] = { 40, 30, 41 }, later[2] = { 41, 43 }, epochs_later[2] = { 4, 4 };
    fence(d, 4);
    pass_time(d, 1000000);
    finish_sweep(d, 3, epochs, seqs);
    assert_int_equal(d->sent_count, 1); /* of an ended epoch: at once */
    assert_int_equal(d->sent[0].kind, Q_M_ASK);
    assert_int_equal(d->sent[0].count, 1);
    assert_int_equal(d->sent[0].seqs[0], 30);
    assert_null(running(d, Q_J_SWEEP));
    pass_time(d, 999999);
    assert_null(running(d, Q_J_SWEEP));
    pass_time(d, 1);
    finish_sweep(d, 2, epochs_later, later);
    assert_int_equal(d->sent_count, 1); /* of this epoch: when it was there a sweep ago */
    assert_int_equal(d->sent[0].count, 1);
    assert_int_equal(d->sent[0].seqs[0], 41);
    assert_int_equal(d->timer_us, d->now_us + 1000000);
    drive_end(d);
}

static void a_fence_is_followed_by_a_sweep(void **state)
{
    drive *d = drive_new(*state, &durable);
    fence(d, 4); /* expects the SWEEP */
    drive_end(d);
    d = drive_new(*state, &plain);
    fence(d, 4);
    assert_int_equal(d->job_count, 0);
    drive_end(d);
}

/* ---- reads ---- */

static void point_reads_go_together_and_scans_alone(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_read(d, 1, 1, Q_R_IDS);
    deliver_read(d, 1, 2, Q_R_IDS);
    deliver_read(d, 1, 3, Q_R_IDS);
    deliver_read(d, 1, 4, Q_R_SCAN);
    deliver_read(d, 1, 5, Q_R_IDS);
    const uint32_t want[4] = { 1, 2, 1, 1 };
    uint64_t id = 1;
    for (int i = 0; i < 4; i++) {
        q_job *j = must_run(d, Q_J_READ);
        assert_int_equal(d->job_count, 1);
        assert_int_equal(j->count, want[i]);
        d->sent_count = 0;
        finish(d, j);
        assert_int_equal(d->sent_count, 1);
        assert_int_equal(d->sent[0].kind, Q_M_ROWS);
        assert_int_equal(d->sent[0].count, want[i]);
        for (uint32_t k = 0; k < want[i]; k++)
            assert_int_equal(d->sent[0].rows[k].read_id, id++);
    }
    drive_end(d);
}

static void one_message_of_reads_may_feed_several_jobs(void **state)
{
    q_value key = { .type = Q_T_STRING, .s = Q_SLICE_LIT("x") };
    q_worker_config two = plain;
    two.read_sessions = 2;
    drive *d = drive_new(*state, &two);
    fence(d, 1);
    q_read reads[4];
    for (int i = 0; i < 4; i++)
        reads[i] = (q_read){ .read_id = (uint64_t)i + 1, .kind = i % 2 ? Q_R_SCAN : Q_R_IDS, .bucket = Q_SLICE_LIT("shop"),
                             .record = Q_SLICE_LIT("things"),
                             .incarnation = 2, .limit = 10, .id_count = i % 2 ? 0 : 1, .ids = &key };
    q_msg m = message(d, Q_M_READ, 1, "shop", 4);
    m.reads = reads;
    deliver(d, &m);
    assert_int_equal(d->job_count, 2);
    uint64_t seen = 0;
    while (d->job_count) {
        q_job *j = d->jobs[d->job_count - 1];
        assert_int_equal(j->count, 1);
        seen |= 1u << j->reads[0].read_id;
        finish(d, j);
    }
    assert_int_equal(seen, 2 + 4 + 8 + 16);
    drive_end(d);
}

static void a_read_that_fails_is_answered(void **state)
{
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    deliver_read(d, 1, 8, Q_R_SCAN);
    finish_with(d, must_run(d, Q_J_READ), Q_RETRY, Q_E_ENGINE_DOWN);
    assert_int_equal(d->sent_count, 1);
    assert_int_equal(d->sent[0].rows[0].read_id, 8);
    assert_int_equal(d->sent[0].rows[0].rc, Q_RETRY);
    assert_int_equal(d->sent[0].rows[0].code, Q_E_ENGINE_DOWN);
    assert_slice(d->sent[0].rows[0].error, "it failed");
    drive_end(d);
}

/* ---- bounds and bad input ---- */

static void queues_are_bounded(void **state)
{
    q_worker_config small = plain;
    small.max_queue = 4;
    drive *d = drive_new(*state, &small);
    fence(d, 1);
    for (uint64_t i = 0; i < 6; i++) {
        deliver_txns(d, Q_M_COMMIT, 1, 10 + i, 1);
        deliver_read(d, 1, i, Q_R_IDS);
    }
    q_worker_stats s;
    q_worker_get_stats(d->w, &s);
    assert_int_equal(s.waiting[Q_LANE_DECIDE], 4); /* one runs, four wait, one was dropped; the same for reads */
    assert_int_equal(s.waiting[Q_LANE_READ], 4);
    assert_int_equal(s.dropped, 2);
    drive_end(d);
    small.max_queue = 1000;
    small.max_queue_bytes = 1000;
    d = drive_new(*state, &small);
    fence(d, 1);
    for (uint64_t i = 0; i < 100; i++)
        deliver_txns(d, Q_M_COMMIT, 1, 10 + i, 1);
    q_worker_get_stats(d->w, &s);
    assert_true(s.waiting_bytes <= 1000);
    assert_true(s.dropped > 50);
    drive_end(d);
}

static void bytes_that_are_no_message_are_dropped(void **state)
{
    static const char *const bad[] = { "", "\xc1", "not msgpack at all", "\x95\x01", "\x95\x63\x01\x01\x01\x01" };
    drive *d = drive_new(*state, &plain);
    fence(d, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        deliver_bytes(d, q_slice_cstr(bad[i]));
    q_buf huge = Q_BUF_INIT((size_t)Q_WIRE_MAX_BYTES + 1);
    memset(q_buf_reserve(&huge, (size_t)Q_WIRE_MAX_BYTES + 1), 0x93, (size_t)Q_WIRE_MAX_BYTES + 1);
    deliver_bytes(d, q_slice_of(huge.ptr, (size_t)Q_WIRE_MAX_BYTES + 1));
    q_buf_free(&huge);
    assert_int_equal(d->lines, sizeof bad / sizeof bad[0] + 1);
    assert_int_equal(d->job_count, 0);
    /* Answers of participants aren't work either. */
    uint64_t seq = 4;
    q_msg m = message(d, Q_M_ACK, 1, "shop", 1);
    m.seqs = &seq;
    deliver(d, &m);
    assert_int_equal(d->job_count, 0);
    deliver_txns(d, Q_M_PREPARE, 1, 5, 1); /* and it goes on */
    assert_int_equal(d->job_count, 1);
    drive_end(d);
}

static void every_allocation_may_fail(void **state)
{
    drive *d = drive_new(*state, &durable);
    q_buf b = Q_BUF_INIT(1 << 16);
    q_txn_work txns[2] = { { .seq = 10, .writes = writes_on(d, "shop", "a") }, { .seq = 11, .writes = writes_on(d, "shop", "b") } };
    fence(d, 1);
    for (uint64_t nth = 1; nth < 60; nth++) {
        for (int kind = 0; kind < 2; kind++) {
            q_msg m = message(d, kind ? Q_M_PREPARE : Q_M_COMMIT, 1, "shop", 2);
            txns[0].seq = nth * 100;
            txns[1].seq = nth * 100 + 1;
            m.txns = txns;
            q_buf_clear(&b);
            q_msg_encode(&m, &b);
            q_arena_fail_after(nth);
            q_worker_message(d->w, q_buf_slice(&b), d->now_us, &d->fx);
            q_arena_fail_after(0);
            d->sent_count = 0;
            take(d);
        }
        while (d->job_count) {
            q_job *j = d->jobs[--d->job_count];
            for (uint32_t i = 0; j->votes && i < j->count; i++)
                j->votes[i] = (q_vote){ .seq = j->txns[i].seq };
            j->rc = Q_OK;
            q_arena_fail_after(nth % 7);
            q_worker_done(d->w, j, d->now_us, &d->fx);
            q_arena_fail_after(0);
            d->sent_count = 0;
            take(d);
        }
    }
    q_buf_free(&b);
    d->sent_count = 0;
    deliver_txns(d, Q_M_COMMIT, 1, 99990, 1); /* still alive */
    finish_kind(d, Q_J_COMMIT);
    assert_int_equal(d->sent[d->sent_count - 1].kind, Q_M_ACK);
    drive_end(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(work_waits_until_the_engine_knows_the_epoch),
        ARENA_TEST(lower_epochs_are_refused),
        ARENA_TEST(other_clusters_engines_and_no_epoch_are_refused),
        ARENA_TEST(a_higher_epoch_drops_what_waits_and_fences_before_all_else),
        ARENA_TEST(an_apply_that_failed_in_an_older_epoch_is_not_tried_again),
        ARENA_TEST(each_fence_is_answered),
        ARENA_TEST(a_failing_fence_is_tried_again_and_nothing_else_runs),
        ARENA_TEST(a_refused_fence_tells_the_coordinator_what_the_engine_knows),
        ARENA_TEST(a_fence_that_could_not_be_asked_says_nothing),
        ARENA_TEST(all_that_waits_becomes_one_batch),
        ARENA_TEST(a_batch_has_each_seq_once_and_in_order),
        ARENA_TEST(each_bucket_gets_its_own_answer),
        ARENA_TEST(prepares_run_beside_decisions),
        ARENA_TEST(the_mark_travels_with_the_batch),
        ARENA_TEST(a_job_is_bounded),
        ARENA_TEST(an_ack_leaves_only_after_success),
        ARENA_TEST(what_comes_later_waits_behind_a_failing_batch),
        ARENA_TEST(a_commit_that_is_repeated_before_its_answer_runs_once),
        ARENA_TEST(one_that_fails_holds_up_only_those_that_need_its_records),
        ARENA_TEST(one_that_waits_for_a_later_one_meets_it),
        ARENA_TEST(what_stands_behind_the_bad_one_in_its_batch_waits_too),
        ARENA_TEST(a_new_epoch_forgets_the_stuck_even_one_that_runs),
        ARENA_TEST(many_stuck_ones_are_bounded_and_none_is_lost_for_good),
        ARENA_TEST(no_vote_known_is_no_for_now),
        ARENA_TEST(an_abort_that_overtakes_its_prepare_wins),
        ARENA_TEST(an_abort_during_its_prepare_is_carried_out_again),
        ARENA_TEST(without_durable_prepare_an_abort_needs_no_engine),
        ARENA_TEST(aborts_are_remembered_as_far_as_promised),
        ARENA_TEST(rollbacks_go_on_while_an_apply_rests),
        ARENA_TEST(an_engine_that_has_forgotten_serves_nothing_before_the_next_epoch),
        ARENA_TEST(the_sweeper_asks_about_what_stays),
        ARENA_TEST(a_fence_is_followed_by_a_sweep),
        ARENA_TEST(point_reads_go_together_and_scans_alone),
        ARENA_TEST(one_message_of_reads_may_feed_several_jobs),
        ARENA_TEST(a_read_that_fails_is_answered),
        ARENA_TEST(queues_are_bounded),
        ARENA_TEST(bytes_that_are_no_message_are_dropped),
        ARENA_TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
