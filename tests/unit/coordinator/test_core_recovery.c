/* B7 and B8: whatever stops the process, the next life goes on from the log. */
#include "tests/unit/coordinator/core_world.h"

static void restart(world *w)
{
    world_die(w);
    world_begin(w);
}

static void a_crash_before_the_sync_leaves_nothing_and_the_request_runs_again(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->hold_log = true;
    world_request r = world_ask(w, "r", "INSERT INTO item { id: \"a\", qty: 1, level: 1.0 };");
    world_run(w);
    assert_non_null(w->ops);
    world_die(w); /* the group is lost */
    w->hold_log = false;
    world_begin(w);
    assert_null(world_reply(w, "r"));
    assert_int_equal(q_core_position(w->core, 0), r.offset);
    world_send(w, &r);
    world_run(w);
    assert_replied(w, "r", COMMITTED);
    assert_null(world_reply_at(w, "r", 1));
    world_free(w);
}

static void a_crash_between_sync_and_reply_tells_the_same_afterwards(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->hold_log = true;
    world_request r = world_ask(w, "r", "INSERT INTO item { id: \"a\", qty: 1, level: 1.0 };");
    world_run(w);
    world_write(w); /* durable; nobody is told */
    world_die(w);
    w->hold_log = false;
    unsigned commits = w->engines[Q_EN_INFLUX].commits;
    world_begin(w);
    assert_replied(w, "r", COMMITTED);
    assert_int_equal(w->engines[Q_EN_INFLUX].commits, commits + 1); /* the redo */
    assert_int_equal(world_count_topic(w, "quanta.changes.b"), 1);
    assert_int_equal(q_core_position(w->core, 0), r.offset + 1);
    world_send(w, &r); /* delivered again all the same: known by its position */
    world_run(w);
    assert_null(world_reply_at(w, "r", 1));
    world_request again = world_make(w, 1, "r", "INSERT INTO item { id: \"a\", qty: 1, level: 1.0 };");
    world_send(w, &again); /* the client sends it again, elsewhere: known by its id */
    world_run(w);
    assert_true(q_slice_eq(world_reply_at(w, "r", 1)->bytes, world_reply(w, "r")->bytes));
    world_free(w);
}

static void what_was_published_and_marked_is_not_published_again(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "r", "INSERT INTO plain { id: \"a\", n: 1 };");
    world_run(w);
    world_pass(w, 200); /* the marks ride by themselves after tail_flush_ms */
    size_t replies = w->out_count;
    restart(w);
    assert_int_equal(w->out_count, replies);
    assert_int_equal(world_stats(w).in_flight, 0);
    world_free(w);
}

static void what_is_not_acknowledged_is_published_again_the_same_bytes(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->hold_acks = true;
    world_ask(w, "r", "INSERT INTO plain { id: \"a\", n: 1 };");
    world_ask(w, "x", "BEGIN; INSERT INTO plain { id: \"c\" }; ROLLBACK;");
    world_run(w);
    world_pass(w, 200);
    w->hold_acks = false;
    restart(w);
    assert_true(q_slice_eq(world_reply_at(w, "r", 1)->bytes, world_reply(w, "r")->bytes));
    assert_true(q_slice_eq(world_reply_at(w, "x", 1)->bytes, world_reply(w, "x")->bytes));
    assert_int_equal(world_count_topic(w, "quanta.changes.b"), 2);
    world_free(w);
}

static void a_told_abort_stays_one(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "i", "INSERT INTO plain { id: \"a\", n: 1 };");
    world_run(w);
    world_request r = world_ask(w, "dup", "INSERT INTO plain { id: \"a\", n: 2 };");
    world_run(w);
    assert_replied(w, "dup", "DUPLICATE_ID");
    world_ask(w, "d", "DELETE FROM plain WHERE id = \"a\";");
    world_run(w);
    restart(w);
    r.partition = 2; /* now it could commit */
    world_send(w, &r);
    world_run(w);
    assert_true(world_says(world_reply_at(w, "dup", 1), "DUPLICATE_ID"));
    world_ask(w, "s", "SELECT count(*) FROM plain;");
    world_run(w);
    assert_replied(w, "s", "[[0]]");
    world_free(w);
}

static void locks_of_what_is_not_applied_are_taken_again(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "i", "INSERT INTO item { id: \"a\", qty: 1, level: 1.0 }, { id: \"b\", qty: 1, level: 1.0 };");
    world_run(w);
    w->engines[Q_EN_INFLUX].no_acks = true;
    world_ask(w, "u", "BEGIN; UPDATE item SET qty = 2 WHERE id = \"a\"; UPDATE item SET level = 5.0 WHERE id = \"a\"; COMMIT;");
    world_run(w);
    assert_replied(w, "u", COMMITTED);
    world_die(w);
    w->engines[Q_EN_INFLUX].down = true; /* its FENCE isn't answered */
    world_begin(w);
    assert_int_equal(world_stats(w).in_doubt, 1);
    world_ask(w, "pg", "SELECT qty FROM item WHERE id = \"b\";"); /* other engines, other keys: they serve */
    world_ask(w, "level", "SELECT level FROM item WHERE id = \"a\";");
    world_run(w);
    assert_replied(w, "pg", "[[1]]");
    assert_null(world_reply(w, "level"));
    w->engines[Q_EN_INFLUX].down = false;
    w->engines[Q_EN_INFLUX].no_acks = false;
    world_run(w);
    assert_replied(w, "level", "[[5.0]]");
    assert_int_equal(world_stats(w).in_doubt, 0);
    world_free(w);
}

static void an_engine_not_told_the_epoch_gets_no_work(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_die(w);
    w->engines[Q_EN_INFLUX].down = true;
    world_begin(w);
    unsigned before = w->engines[Q_EN_INFLUX].prepares;
    world_ask(w, "metric", "INSERT INTO item { id: \"a\", level: 1.0 };");
    world_ask(w, "plain", "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    assert_replied(w, "plain", COMMITTED);
    assert_null(world_reply(w, "metric"));
    assert_int_equal(w->engines[Q_EN_INFLUX].prepares, before);
    for (size_t i = 0; i < w->work_count; i++) { /* nothing but FENCEs waits for it */
        q_msg m;
        q_err err = Q_ERR_INIT;
        assert_int_equal(q_msg_decode(w->arena, w->work[i].bytes, &m, &err), Q_OK);
        assert_int_equal(m.kind, Q_M_FENCE);
    }
    world_pass(w, 5100);
    assert_replied(w, "metric", "ENGINE_DOWN");
    assert_replied(w, "metric", "influx");
    world_ask(w, "metric2", "INSERT INTO item { id: \"a\", level: 1.0 };");
    w->engines[Q_EN_INFLUX].down = false;
    world_run(w);
    world_pass(w, 3000); /* the FENCE is sent again */
    assert_replied(w, "metric2", COMMITTED);
    world_free(w);
}

static void epochs_and_seqs_are_never_used_twice(void **state)
{
    (void)state;
    world *w = world_new();
    w->config.seq_block = 10;
    world_begin(w);
    world_ask(w, "b", "CREATE BUCKET b;");
    world_run(w);
    world_ask(w, "t", "CREATE RECORD plain (id scalar string, n scalar int);");
    world_run(w);
    static char ids[60][8], texts[60][60];
    uint64_t epoch = world_stats(w).epoch;
    assert_int_equal(epoch, 1);
    for (int i = 0; i < 60; i++) {
        snprintf(ids[i], sizeof ids[i], "k%d", i);
        snprintf(texts[i], sizeof texts[i], "INSERT INTO plain { id: \"%d\" };", i);
        if (i % 7 == 3) {
            /* It gets a seq, its prepare leaves, and the process dies before anything is logged. */
            w->hold_log = true;
            world_ask(w, ids[i], texts[i]);
            world_run(w);
            uint64_t used = world_stats(w).next_seq;
            world_die(w);
            w->hold_log = false;
            world_begin(w);
            assert_int_equal(world_stats(w).epoch, ++epoch);
            assert_true(world_stats(w).next_seq >= used);
        } else {
            world_ask(w, ids[i], texts[i]);
            world_run(w);
            assert_replied(w, ids[i], COMMITTED);
        }
    }
    uint64_t last = 0;
    for (uint64_t lsn = 1; lsn <= w->record_count; lsn++) {
        q_rec r = world_record(w, lsn);
        if (r.type == Q_REC_DECISION && r.decision.seq) {
            assert_true(r.decision.seq > last); /* one at a time here */
            last = r.decision.seq;
        }
    }
    world_free(w);
}

static void no_seq_is_given_that_is_not_reserved_durably(void **state)
{
    (void)state;
    world *w = world_new();
    w->config.seq_block = 4;
    world_begin(w);
    world_ask(w, "b", "CREATE BUCKET b;");
    world_run(w);
    world_ask(w, "t", "CREATE RECORD plain (id scalar string, n scalar int);");
    world_run(w);
    w->hold_log = true;
    static char ids[20][8], texts[20][60];
    for (int i = 0; i < 20; i++) {
        snprintf(ids[i], sizeof ids[i], "k%d", i);
        snprintf(texts[i], sizeof texts[i], "INSERT INTO plain { id: \"%d\" };", i);
        world_ask(w, ids[i], texts[i]);
        world_run(w);
    }
    uint64_t reserved = 0;
    for (size_t i = 0; i < w->entry_count; i++)
        if (w->entries[i].table == Q_LT_META && q_slice_eq(w->entries[i].key, Q_SLICE_LIT("seq")))
            reserved = q_get_le64(w->entries[i].value.ptr);
    assert_true(world_stats(w).next_seq <= reserved);
    w->hold_log = false;
    while (w->ops) {
        world_sync(w);
        world_run(w);
    }
    unsigned committed = 0;
    for (int i = 0; i < 20; i++) {
        assert_non_null(world_reply(w, ids[i]));
        committed += world_says(world_reply(w, ids[i]), COMMITTED);
        if (!world_says(world_reply(w, ids[i]), COMMITTED))
            assert_replied(w, ids[i], "OVERLOADED");
    }
    assert_true(committed >= 2 && committed < 20);
    world_free(w);
}

static void a_zombie_learns_from_an_engine_that_it_is_one(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_die(w);
    w->engines[Q_EN_MONGO].state.epoch = 99;
    world_load(w);
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_core_begin(w->core, w->now_us, w->mono_us, w->fx, &err), Q_OK);
    world_run(w);
    assert_true(w->fatal);
    assert_non_null(strstr(w->fatal_text, "mongo knows epoch 99"));
    world_free(w);
}

static void a_log_restored_from_an_old_copy_refuses_to_serve(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_die(w);
    w->engines[Q_EN_POSTGRES].state.applied_high = 12345;
    world_load(w);
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_core_begin(w->core, w->now_us, w->mono_us, w->fx, &err), Q_OK);
    world_run(w);
    assert_true(w->fatal);
    assert_non_null(strstr(w->fatal_text, "--adopt"));
    world_free(w);
}

static void an_engine_restored_from_an_old_copy_serves_nothing_while_others_do(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "i", "INSERT INTO item { id: \"a\", qty: 1, level: 1.0 };");
    world_run(w);
    world_pass(w, 200); /* END is durable */
    world_die(w);
    w->engines[Q_EN_INFLUX].state = (q_engine_state){ 0 };
    world_begin(w);
    world_pass(w, 3000);
    assert_false(w->fatal);
    assert_string_equal(world_stats(w).engine_state[Q_EN_INFLUX], "needs replay");
    assert_string_equal(world_stats(w).engine_state[Q_EN_MONGO], "ready");
    assert_int_equal(world_stats(w).engines_ready, 15 & ~Q_EN_BIT(Q_EN_INFLUX));
    world_ask(w, "q", "SELECT qty FROM item WHERE id = \"a\";");
    world_run(w);
    assert_replied(w, "q", "[[1]]");
    w->engines[Q_EN_INFLUX].state = (q_engine_state){ .epoch = 2, .applied_high = 1000000000, .cluster = 77 };
    w->engines[Q_EN_INFLUX].state.applied_high = world_stats(w).next_seq > 4 ? 4 : 0; /* replayed */
    world_pass(w, 3000);
    assert_int_equal(world_stats(w).engines_ready, 15);
    world_free(w);
}

static void an_engine_of_another_cluster_serves_nothing(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_die(w);
    w->engines[Q_EN_NEO4J].state = (q_engine_state){ .cluster = 5 };
    world_begin(w);
    assert_false(w->fatal);
    assert_int_equal(world_stats(w).engines_ready & Q_EN_BIT(Q_EN_NEO4J), 0);
    assert_string_equal(world_stats(w).engine_state[Q_EN_NEO4J], "another cluster's");
    world_free(w);
}

static void positions_that_finish_out_of_order_survive_a_crash(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->engines[Q_EN_INFLUX].no_votes = true;
    world_request slow = world_ask(w, "slow", "INSERT INTO item { id: \"s\", level: 1.0 };");
    world_run(w);
    world_request fast = world_ask(w, "fast", "INSERT INTO plain { id: \"f\", n: 1 };");
    world_run(w);
    assert_replied(w, "fast", COMMITTED);
    world_pass(w, 150); /* the published mark is durable */
    assert_null(world_reply(w, "slow"));
    w->engines[Q_EN_INFLUX].no_votes = false;
    restart(w);
    assert_int_equal(q_core_position(w->core, 0), slow.offset);
    world_send(w, &slow);
    world_send(w, &fast);
    world_run(w);
    assert_replied(w, "slow", COMMITTED);
    assert_null(world_reply_at(w, "fast", 1));
    world_ask(w, "s", "SELECT n FROM plain WHERE id = \"f\";");
    world_run(w);
    assert_replied(w, "s", "[[1]]");
    world_free(w);
}

static void the_catalog_survives_a_crash(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "drop", "DROP RECORD plain;");
    world_run(w);
    w->hold_acks = true;
    world_ask(w, "new", "CREATE RECORD late (id scalar string, n scalar int);");
    world_run(w);
    w->hold_acks = false;
    size_t schemas = world_count_topic(w, "quanta.schemas");
    restart(w);
    assert_non_null(q_catalog_record(q_core_catalog(w->core), Q_SLICE_LIT("b"), Q_SLICE_LIT("item")));
    assert_non_null(q_catalog_record(q_core_catalog(w->core), Q_SLICE_LIT("b"), Q_SLICE_LIT("late")));
    assert_null(q_catalog_record(q_core_catalog(w->core), Q_SLICE_LIT("b"), Q_SLICE_LIT("plain")));
    assert_int_equal(world_count_topic(w, "quanta.schemas"), schemas + 1); /* the one that wasn't acknowledged */
    world_free(w);
}

static void records_that_nobody_needs_are_trimmed(void **state)
{
    (void)state;
    world *w = world_new();
    w->config.dedupe_max_bytes = 100 * 80;
    world_begin(w);
    world_ask(w, "b", "CREATE BUCKET b;");
    world_run(w);
    world_ask(w, "t", "CREATE RECORD plain (id scalar string, n scalar int);");
    world_run(w);
    static char ids[900][8], texts[900][60];
    for (int i = 0; i < 900; i++) {
        snprintf(ids[i], sizeof ids[i], "k%d", i);
        snprintf(texts[i], sizeof texts[i], "INSERT INTO plain { id: \"%d\" };", i);
        world_ask(w, ids[i], texts[i]);
        world_run(w);
    }
    world_pass(w, 200);
    size_t kept = 0;
    for (size_t i = 0; i < w->record_count; i++)
        kept += w->records[i].ptr != NULL;
    assert_in_range(kept, 100, 700);
    restart(w);
    world_ask(w, "k899", texts[899]); /* still known */
    world_ask(w, "new", "INSERT INTO plain { id: \"new\" };");
    world_run(w);
    assert_true(q_slice_eq(world_reply_at(w, "k899", 1)->bytes, world_reply(w, "k899")->bytes));
    assert_replied(w, "new", COMMITTED);
    world_free(w);
}

static void a_dropped_bucket_is_gone_with_its_records(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "drop", "DROP BUCKET b CASCADE;");
    world_run(w);
    assert_replied(w, "drop", COMMITTED);
    restart(w);
    assert_null(q_catalog_bucket(q_core_catalog(w->core), Q_SLICE_LIT("b")));
    for (size_t i = 0; i < w->entry_count; i++)
        assert_false(w->entries[i].table == Q_LT_CATALOG && w->entries[i].live);
    world_ask(w, "again", "CREATE BUCKET b;");
    world_run(w);
    assert_replied(w, "again", COMMITTED);
    world_free(w);
}

static void a_unique_value_that_is_not_applied_yet_stays_taken(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->engines[Q_EN_POSTGRES].no_acks = true;
    world_ask(w, "one", "INSERT INTO item { id: \"a\", code: \"unique\" };");
    world_run(w);
    assert_replied(w, "one", COMMITTED);
    world_die(w);
    w->engines[Q_EN_POSTGRES].no_acks = true;
    world_begin(w);
    unsigned before = w->engines[Q_EN_POSTGRES].prepares;
    world_ask(w, "two", "INSERT INTO item { id: \"b\", code: \"unique\" };");
    world_run(w);
    assert_null(world_reply(w, "two"));
    assert_int_equal(w->engines[Q_EN_POSTGRES].prepares, before); /* it waits for its lock */
    w->engines[Q_EN_POSTGRES].no_acks = false;
    world_pass(w, 1000);
    assert_non_null(world_reply(w, "two"));
    assert_true(w->engines[Q_EN_POSTGRES].prepares > before);
    world_free(w);
}

static void ddl_that_is_not_applied_yet_keeps_its_record_locked(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->engines[Q_EN_POSTGRES].no_acks = true;
    world_ask(w, "c", "CREATE RECORD fresh (id scalar string);");
    world_run(w);
    assert_replied(w, "c", COMMITTED);
    restart(w);
    world_ask(w, "i", "INSERT INTO fresh { id: \"a\" };");
    world_ask(w, "o", "SELECT id FROM plain;");
    world_run(w);
    assert_null(world_reply(w, "i"));
    assert_replied(w, "o", COMMITTED);
    w->engines[Q_EN_POSTGRES].no_acks = false;
    world_pass(w, 1000);
    assert_replied(w, "i", COMMITTED);
    world_free(w);
}

static void a_damaged_log_is_refused_with_its_place(void **state)
{
    (void)state;
    world *w = world_with_schema();
    q_err err = Q_ERR_INIT;
    q_core *c = NULL;
    static const char *const keys[] = { "epoch", "seq", "marks", "low" };
    for (int i = 0; i < 4; i++) {
        assert_int_equal(q_core_new(&w->config, &c, &err), Q_OK);
        assert_int_equal(q_core_load(c, Q_LT_META, q_slice_cstr(keys[i]), Q_SLICE_LIT("short"), &err), Q_FAIL);
        assert_non_null(strstr(err.message, keys[i]));
        assert_int_equal(q_core_load(c, Q_LT_META, Q_SLICE_LIT("of a later version"), Q_SLICE_LIT("x"), &err), Q_OK);
        q_core_free(c);
    }
    assert_int_equal(q_core_new(&w->config, &c, &err), Q_OK);
    assert_int_equal(q_core_load(c, Q_LT_CATALOG, Q_SLICE_LIT("b/x"), Q_SLICE_LIT("no bucket"), &err), Q_FAIL);
    assert_int_equal(q_core_load(c, Q_LT_POSITION, Q_SLICE_LIT("quanta.requests/0"), Q_SLICE_LIT("nothing"), &err), Q_FAIL);
    assert_int_equal(q_core_record(c, 5, Q_SLICE_LIT("not a record"), &err), Q_FAIL);
    assert_int_equal(q_core_record(c, 2, w->records[1], &err), Q_OK);
    assert_int_equal(q_core_record(c, 2, w->records[1], &err), Q_FAIL); /* twice */
    assert_int_equal(q_core_record(c, 1, w->records[0], &err), Q_FAIL); /* backwards */
    q_core_free(c);
    w->config.engines = Q_EN_BIT(Q_EN_POSTGRES); /* the catalog needs more */
    world_die(w);
    world_load(w);
    assert_int_equal(q_core_begin(w->core, w->now_us, w->mono_us, w->fx, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "b/item"));
    world_free(w);
}

static void a_clock_that_went_back_over_a_restart_does_not_take_time_back(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "a", "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    int64_t last = world_record(w, w->record_count).type == Q_REC_DECISION ? world_record(w, w->record_count).decision.time_us : 0;
    for (uint64_t lsn = 1; lsn <= w->record_count; lsn++)
        if (world_record(w, lsn).type == Q_REC_DECISION && world_record(w, lsn).decision.time_us > last)
            last = world_record(w, lsn).decision.time_us;
    world_die(w);
    w->now_us -= 3600LL * 1000000;
    world_begin(w);
    world_ask(w, "b", "INSERT INTO plain { id: \"b\" };");
    world_run(w);
    bool found = false;
    for (uint64_t lsn = 1; lsn <= w->record_count; lsn++) {
        q_rec r = world_record(w, lsn);
        if (r.type == Q_REC_DECISION && q_slice_eq(r.decision.request_id, Q_SLICE_LIT("b"))) {
            assert_true(r.decision.time_us > last);
            found = true;
        }
    }
    assert_true(found);
    world_free(w);
}

static void votes_and_acks_of_an_earlier_life_mean_nothing(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->engines[Q_EN_POSTGRES].down = true;
    world_request r = world_ask(w, "r", "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    assert_int_equal(w->work_count, 1); /* its PREPARE is on its way */
    world_die(w);
    w->engines[Q_EN_POSTGRES].down = false;
    world_begin(w); /* and arrives now, with the old epoch */
    world_send(w, &r);
    world_run(w);
    assert_replied(w, "r", COMMITTED);
    assert_int_equal(world_stats(w).in_flight, 0);
    world_free(w);
}

/* ---- the sweeper's questions ---- */

static void ask_about(world *w, uint64_t seq)
{
    q_msg m = { .kind = Q_M_ASK, .cluster = 77, .epoch = world_stats(w).epoch, .engine = Q_EN_POSTGRES, .count = 1, .seqs = &seq };
    world_answer(w, &m);
}

static void what_a_sweeper_finds_is_undone_committed_or_left(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_pass(w, 300);
    world_engine *pg = &w->engines[Q_EN_POSTGRES];
    unsigned aborts = pg->aborts, commits = pg->commits;
    ask_about(w, 1); /* ended */
    world_run(w);
    assert_int_equal(pg->aborts, aborts + 1);
    pg->no_votes = true;
    world_ask(w, "r", "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    ask_about(w, world_stats(w).next_seq - 1); /* alive */
    ask_about(w, world_stats(w).next_seq);     /* never given */
    world_run(w);
    assert_int_equal(pg->aborts, aborts + 1);
    assert_int_equal(pg->commits, commits);
    pg->no_votes = false;
    pg->no_acks = true;
    world_pass(w, 300);
    assert_replied(w, "r", COMMITTED);
    commits = pg->commits;
    ask_about(w, world_stats(w).next_seq - 1); /* decided */
    world_run(w);
    assert_int_equal(pg->commits, commits + 1);
    assert_int_equal(pg->aborts, aborts + 1);
    world_free(w);
}

/* The part of the log with an operator's name in it. */
static unsigned resolve_records(world *w)
{
    unsigned n = 0;
    for (uint64_t lsn = 1; lsn <= w->record_count; lsn++) {
        q_rec r = world_record(w, lsn);
        if (r.type != Q_REC_RESOLVE)
            continue;
        n++;
        assert_true(q_slice_eq(r.resolve.who, Q_SLICE_LIT("ann")));
        assert_true(q_slice_eq(r.resolve.why, Q_SLICE_LIT("disk lost")));
    }
    return n;
}

static void an_operator_gives_up_a_part_and_it_stays_so_over_a_crash(void **state)
{
    (void)state;
    world *w = world_with_schema();
    q_err err = Q_ERR_INIT;
    char txid[60];
    q_buf out = Q_BUF_INIT(1 << 20);
    w->engines[Q_EN_INFLUX].no_acks = true;
    world_ask(w, "r", "INSERT INTO item { id: \"a\", level: 1.0 };");
    world_run(w);
    q_core_list_txns(w->core, w->mono_us, false, &out);
    assert_int_equal(sscanf(out.ptr, "{\"txid\":\"%59[0-9-]", txid), 1);
    q_slice id = q_slice_cstr(txid);

    q_buf_clear(&out);
    assert_int_equal(q_core_show_txn(w->core, id, w->mono_us, &out, &err), Q_OK);
    q_buf_add_byte(&out, 0);
    assert_non_null(strstr(out.ptr, "\"participants\":[\"postgres\",\"influx\"]"));
    assert_non_null(strstr(out.ptr, "\"applied\":[\"postgres\"]"));
    assert_non_null(strstr(out.ptr, "\"redo\":{\"postgres\":["));

    assert_int_equal(q_core_resolve(w->core, Q_SLICE_LIT("1-999"), true, Q_EN_INFLUX, Q_SLICE_LIT("ann"), Q_SLICE_NONE, w->now_us, &err), Q_FAIL);
    assert_int_equal(q_core_resolve(w->core, id, true, Q_EN_POSTGRES, Q_SLICE_LIT("ann"), Q_SLICE_NONE, w->now_us, &err), Q_FAIL);
    w->hold_log = true;
    assert_int_equal(q_core_resolve(w->core, id, true, Q_EN_INFLUX, Q_SLICE_LIT("ann"), Q_SLICE_LIT("disk lost"), w->now_us, &err), Q_OK);
    world_run(w);
    assert_int_equal(world_stats(w).in_doubt, 1); /* not before it is durable */
    world_write(w);
    unsigned commits = w->engines[Q_EN_INFLUX].commits;
    w->hold_log = false;
    restart(w); /* durable, and nobody was told */
    assert_int_equal(resolve_records(w), 1);
    assert_int_equal(world_stats(w).in_doubt, 0);
    world_pass(w, 30000);
    assert_int_equal(w->engines[Q_EN_INFLUX].commits, commits);

    world_ask(w, "s", "INSERT INTO item { id: \"b\", level: 1.0 };");
    world_run(w);
    assert_int_equal(world_stats(w).in_doubt, 1);
    q_buf_clear(&out);
    q_core_list_txns(w->core, w->mono_us, false, &out);
    assert_int_equal(sscanf(out.ptr, "{\"txid\":\"%59[0-9-]", txid), 1);
    assert_int_equal(q_core_resolve(w->core, q_slice_cstr(txid), true, Q_EN_INFLUX, Q_SLICE_LIT("ann"), Q_SLICE_LIT("disk lost"), w->now_us, &err), Q_OK);
    world_run(w);
    assert_int_equal(world_stats(w).in_doubt, 0);
    world_pass(w, 1000);
    q_rec last = world_record(w, w->record_count);
    assert_int_equal(last.type, Q_REC_TAIL);
    q_buf_free(&out);
    world_free(w);
}

static void an_operator_has_it_tried_again_at_once(void **state)
{
    (void)state;
    world *w = world_with_schema();
    q_err err = Q_ERR_INIT;
    char txid[60];
    q_buf out = Q_BUF_INIT(1 << 20);
    w->engines[Q_EN_INFLUX].no_acks = true;
    world_ask(w, "r", "INSERT INTO item { id: \"a\", level: 1.0 };");
    world_pass(w, 60000); /* the pauses are ten seconds long by now */
    q_core_list_txns(w->core, w->mono_us, true, &out);
    assert_int_equal(sscanf(out.ptr, "{\"txid\":\"%59[0-9-]", txid), 1);
    w->engines[Q_EN_INFLUX].no_acks = false;
    assert_int_equal(q_core_resolve(w->core, q_slice_cstr(txid), false, 0, Q_SLICE_LIT("ann"), Q_SLICE_LIT("disk lost"), w->now_us, &err), Q_OK);
    world_run(w);
    assert_int_equal(world_stats(w).in_doubt, 0);
    assert_int_equal(resolve_records(w), 1);
    q_buf_free(&out);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_before_the_sync_leaves_nothing_and_the_request_runs_again),
        cmocka_unit_test(a_crash_between_sync_and_reply_tells_the_same_afterwards),
        cmocka_unit_test(what_was_published_and_marked_is_not_published_again),
        cmocka_unit_test(what_is_not_acknowledged_is_published_again_the_same_bytes),
        cmocka_unit_test(a_told_abort_stays_one),
        cmocka_unit_test(locks_of_what_is_not_applied_are_taken_again),
        cmocka_unit_test(an_engine_not_told_the_epoch_gets_no_work),
        cmocka_unit_test(epochs_and_seqs_are_never_used_twice),
        cmocka_unit_test(no_seq_is_given_that_is_not_reserved_durably),
        cmocka_unit_test(a_zombie_learns_from_an_engine_that_it_is_one),
        cmocka_unit_test(a_log_restored_from_an_old_copy_refuses_to_serve),
        cmocka_unit_test(an_engine_restored_from_an_old_copy_serves_nothing_while_others_do),
        cmocka_unit_test(an_engine_of_another_cluster_serves_nothing),
        cmocka_unit_test(positions_that_finish_out_of_order_survive_a_crash),
        cmocka_unit_test(the_catalog_survives_a_crash),
        cmocka_unit_test(records_that_nobody_needs_are_trimmed),
        cmocka_unit_test(a_dropped_bucket_is_gone_with_its_records),
        cmocka_unit_test(a_unique_value_that_is_not_applied_yet_stays_taken),
        cmocka_unit_test(ddl_that_is_not_applied_yet_keeps_its_record_locked),
        cmocka_unit_test(a_damaged_log_is_refused_with_its_place),
        cmocka_unit_test(a_clock_that_went_back_over_a_restart_does_not_take_time_back),
        cmocka_unit_test(votes_and_acks_of_an_earlier_life_mean_nothing),
        cmocka_unit_test(what_a_sweeper_finds_is_undone_committed_or_left),
        cmocka_unit_test(an_operator_gives_up_a_part_and_it_stays_so_over_a_crash),
        cmocka_unit_test(an_operator_has_it_tried_again_at_once),
    };
    return cmocka_run_group_tests_name("core: recovery", tests, NULL, NULL);
}
