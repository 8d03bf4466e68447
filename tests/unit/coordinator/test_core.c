/* The core as a whole: what a request becomes, in what order things leave, and when locks are free again. */
#include "tests/unit/coordinator/core_world.h"

static void a_request_becomes_a_durable_transaction_and_a_reply(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "r1", "INSERT INTO item { id: \"a\", qty: 5, doc: { x: 1 }, friend: relation(\"z\"), level: 1.5 };");
    world_run(w);
    assert_replied(w, "r1", COMMITTED);
    assert_replied(w, "r1", "\"count\":1");
    const world_message *m = world_reply(w, "r1");
    assert_true(q_slice_eq(m->topic, Q_SLICE_LIT("quanta.results")));
    assert_true(q_slice_eq(m->key, Q_SLICE_LIT("r1")));
    assert_true(q_slice_eq(m->type, Q_SLICE_LIT("application/json")));
    for (int e = 0; e < Q_EN_COUNT; e++) {
        assert_true(w->engines[e].prepares >= 1);
        assert_true(w->engines[e].commits >= 1);
        q_value id = { .type = Q_T_STRING, .s = Q_SLICE_LIT("a") };
        assert_non_null(fake_find(&w->db, (q_engine_id)e, Q_SLICE_LIT("item"), &id));
    }
    assert_int_equal(world_count_topic(w, "quanta.changes.b"), 1);
    world_pass(w, 1000); /* the END and the marks ride by themselves */
    q_core_stats s = world_stats(w);
    assert_int_equal(s.in_flight, 0);
    assert_int_equal(s.committed, 4);
    assert_int_equal(q_core_position(w->core, 0), 4);
    world_free(w);
}

static void reads_see_what_was_written_and_log_nothing(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "r1", "INSERT INTO item { id: \"a\", qty: 5, doc: { x: 1 } };");
    world_run(w);
    size_t records = w->record_count;
    world_ask(w, "r2", "SELECT id, qty, doc.x FROM item WHERE qty > 1;");
    world_run(w);
    assert_replied(w, "r2", "[\"a\",5,1]");
    assert_replied(w, "r2", "\"seq\":null");
    for (size_t i = records; i < w->record_count; i++)
        assert_int_equal(world_record(w, i + 1).type, Q_REC_TAIL);
    world_ask(w, "r2", "SELECT id FROM item;"); /* read-only requests leave their id free */
    world_run(w);
    assert_true(world_says(world_reply_at(w, "r2", 1), COMMITTED));
    world_free(w);
}

static void nothing_leaves_before_the_sync(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->hold_log = true;
    world_ask(w, "r1", "INSERT INTO item { id: \"a\", qty: 5, level: 2.0 };");
    world_run(w);
    assert_non_null(w->ops);
    assert_null(world_reply(w, "r1"));
    assert_int_equal(world_count_topic(w, "quanta.changes.b"), 0);
    unsigned commits = w->engines[Q_EN_INFLUX].commits;
    world_sync(w);
    world_run(w);
    assert_replied(w, "r1", COMMITTED);
    assert_int_equal(w->engines[Q_EN_INFLUX].commits, commits + 1);
    world_free(w);
}

static void what_is_decided_during_a_sync_shares_the_next(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_pass(w, 1000);
    w->hold_log = true;
    world_ask(w, "first", "INSERT INTO plain { id: \"0\" };");
    world_run(w);
    assert_non_null(w->ops);
    char ids[50][8], texts[50][60];
    for (int i = 0; i < 50; i++) {
        snprintf(ids[i], sizeof ids[i], "s%d", i);
        snprintf(texts[i], sizeof texts[i], "INSERT INTO plain { id: \"s%d\" };", i);
        world_ask(w, ids[i], texts[i]);
        world_run(w);
    }
    unsigned syncs = w->syncs;
    world_sync(w);
    world_run(w);
    world_sync(w);
    world_run(w);
    assert_int_equal(w->syncs, syncs + 2);
    for (int i = 0; i < 50; i++)
        assert_replied(w, ids[i], COMMITTED);
    world_free(w);
}

static void conflicting_transactions_wait_and_others_pass(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "i", "INSERT INTO plain { id: \"a\", n: 1 }, { id: \"b\", n: 1 };");
    world_run(w);
    w->hold_log = true;
    world_ask(w, "u1", "UPDATE plain SET n = n + 1 WHERE id = \"a\";");
    world_ask(w, "u2", "UPDATE plain SET n = n + 1 WHERE id = \"a\";");
    world_ask(w, "u3", "UPDATE plain SET n = n + 1 WHERE id = \"b\";");
    world_run(w);
    assert_int_equal(world_stats(w).waiting_for_locks, 1);
    w->hold_log = false;
    world_sync(w);
    world_run(w);
    world_ask(w, "s", "SELECT id, n FROM plain ORDER BY id;");
    world_run(w);
    assert_replied(w, "u1", COMMITTED);
    assert_replied(w, "u2", COMMITTED);
    assert_replied(w, "s", "[\"a\",3],[\"b\",2]");
    world_free(w);
}

static void seq_order_is_the_order_of_conflicts(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "i", "INSERT INTO plain { id: \"a\", n: 1 };");
    world_run(w);
    w->hold_log = true;
    world_ask(w, "w1", "UPDATE plain SET n = 2 WHERE id = \"a\";");
    world_ask(w, "w2", "UPDATE plain SET n = 3 WHERE id = \"a\";"); /* waits */
    world_ask(w, "w3", "UPDATE plain SET n = 4 WHERE id = \"b\";"); /* passes it */
    world_run(w);
    w->hold_log = false;
    world_sync(w);
    world_run(w);
    uint64_t seq[3] = { 0 };
    for (uint64_t lsn = 1; lsn <= w->record_count; lsn++) {
        q_rec r = world_record(w, lsn);
        for (int i = 0; i < 3 && r.type == Q_REC_DECISION; i++)
            if (r.decision.request_id.len == 2 && r.decision.request_id.ptr[0] == 'w' && r.decision.request_id.ptr[1] == '1' + i)
                seq[i] = r.decision.seq;
    }
    assert_true(seq[0] && seq[1] && seq[2]);
    assert_true(seq[0] < seq[1]);
    assert_true(seq[2] < seq[1]); /* w2 got its seq only when its lock was granted */
    world_free(w);
}

static void a_share_is_free_when_its_engine_has_applied(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "i", "INSERT INTO item { id: \"a\", qty: 1, level: 1.0 };");
    world_run(w);
    w->engines[Q_EN_INFLUX].no_acks = true;
    world_ask(w, "u1", "BEGIN; UPDATE item SET qty = 2 WHERE id = \"a\"; UPDATE item SET level = 3.0 WHERE id = \"a\"; COMMIT;");
    world_run(w);
    assert_replied(w, "u1", COMMITTED); /* replies don't wait for the apply */
    assert_int_equal(world_stats(w).in_doubt, 1);
    world_ask(w, "pg", "UPDATE item SET qty = 7 WHERE id = \"a\";");
    world_ask(w, "influx", "SELECT level FROM item WHERE id = \"a\";");
    world_run(w);
    assert_replied(w, "pg", COMMITTED);
    assert_null(world_reply(w, "influx"));
    w->engines[Q_EN_INFLUX].no_acks = false;
    world_pass(w, 1000); /* the commit is sent again */
    assert_replied(w, "influx", "[[3.0]]");
    assert_int_equal(world_stats(w).in_doubt, 0);
    world_free(w);
}

static void a_no_aborts_durably_and_frees_the_locks(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "i", "INSERT INTO item { id: \"a\", qty: 1 };");
    world_run(w);
    w->hold_log = true;
    world_ask(w, "dup", "INSERT INTO item { id: \"a\", qty: 2, level: 2.0 };");
    world_run(w);
    assert_null(world_reply(w, "dup")); /* an abort is durable before it is told */
    world_ask(w, "next", "UPDATE item SET qty = 9 WHERE id = \"a\";");
    world_run(w);
    assert_int_equal(world_stats(w).waiting_for_locks, 1);
    w->hold_log = false;
    world_sync(w);
    world_run(w);
    assert_replied(w, "dup", ABORTED);
    assert_replied(w, "dup", "DUPLICATE_ID");
    assert_replied(w, "dup", "\"retryable\":false");
    assert_replied(w, "next", COMMITTED);
    assert_true(w->engines[Q_EN_INFLUX].aborts >= 1);
    q_rec r = world_record(w, w->record_count);
    for (uint64_t lsn = w->record_count; lsn > 0; lsn--) {
        r = world_record(w, lsn);
        if (r.type == Q_REC_DECISION && q_slice_eq(r.decision.request_id, Q_SLICE_LIT("dup")))
            break;
    }
    assert_false(r.decision.committed);
    assert_int_equal(r.decision.participants, 0);
    world_free(w);
}

static void a_lost_prepare_costs_no_abort(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->engines[Q_EN_POSTGRES].no_votes = true;
    world_ask(w, "r", "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    assert_null(world_reply(w, "r"));
    w->engines[Q_EN_POSTGRES].no_votes = false;
    world_pass(w, 300);
    assert_replied(w, "r", COMMITTED);
    world_free(w);
}

static void a_participant_that_does_not_vote_in_time_aborts(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->engines[Q_EN_POSTGRES].deaf = true;
    world_ask(w, "r", "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    world_pass(w, 4900);
    assert_null(world_reply(w, "r"));
    world_pass(w, 200);
    assert_replied(w, "r", "PARTICIPANT_TIMEOUT");
    assert_replied(w, "r", "\"retryable\":true");
    assert_replied(w, "r", "postgres");
    w->engines[Q_EN_POSTGRES].deaf = false;
    world_ask(w, "again", "INSERT INTO plain { id: \"a\" };");
    world_pass(w, 2100); /* it was silent for long: it is told the epoch again first */
    assert_replied(w, "again", COMMITTED);
    world_free(w);
}

static void a_lost_read_is_asked_again(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->engines[Q_EN_POSTGRES].no_rows = true;
    world_ask(w, "r", "SELECT id FROM plain;");
    world_run(w);
    assert_null(world_reply(w, "r"));
    w->engines[Q_EN_POSTGRES].no_rows = false;
    world_pass(w, 1500);
    assert_replied(w, "r", "\"rows\":[]");
    w->engines[Q_EN_POSTGRES].deaf = true;
    world_ask(w, "t", "SELECT id FROM plain;");
    world_pass(w, 5100);
    assert_replied(w, "t", ABORTED);
    assert_replied(w, "t", "PARTICIPANT_TIMEOUT");
    assert_int_equal(q_core_position(w->core, 0), w->offsets[0]);
    world_free(w);
}

static void a_waiter_gives_up_at_its_own_time_limit(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->hold_log = true;
    world_ask(w, "holder", "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    world_request r = world_make(w, 0, "waiter", "INSERT INTO plain { id: \"a\" };");
    r.headers[r.header_count++] = (q_header){ Q_SLICE_LIT("timeout-ms"), Q_SLICE_LIT("300") };
    world_send(w, &r);
    world_request s = world_make(w, 0, "reader", "SELECT id FROM plain WHERE id = \"a\";");
    s.headers[s.header_count++] = (q_header){ Q_SLICE_LIT("timeout-ms"), Q_SLICE_LIT("400") };
    world_send(w, &s);
    world_run(w);
    world_pass(w, 290);
    assert_int_equal(world_stats(w).waiting_for_locks, 2);
    world_pass(w, 20);
    assert_int_equal(world_stats(w).waiting_for_locks, 1);
    world_pass(w, 100);
    assert_replied(w, "reader", "LOCK_TIMEOUT"); /* of one that only reads nothing is logged */
    assert_null(world_reply(w, "waiter"));       /* its abort waits for the sync */
    w->hold_log = false;
    world_sync(w);
    world_run(w);
    assert_replied(w, "waiter", "LOCK_TIMEOUT");
    assert_replied(w, "holder", COMMITTED);
    world_free(w);
}

static void a_blind_write_to_a_record_that_is_not_there_reads_first(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "u", "UPDATE plain SET n = 5 WHERE id = \"nobody\";");
    world_run(w);
    assert_replied(w, "u", COMMITTED);
    assert_replied(w, "u", "\"count\":0");
    assert_true(w->engines[Q_EN_POSTGRES].aborts >= 1); /* the first attempt is undone */
    assert_true(w->engines[Q_EN_POSTGRES].reads >= 1);
    world_free(w);
}

static void a_rollback_changes_nothing_and_is_remembered(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "r", "BEGIN; INSERT INTO plain { id: \"a\" }; ROLLBACK;");
    world_run(w);
    assert_replied(w, "r", "\"status\":\"rolled_back\"");
    world_ask(w, "s", "SELECT count(*) FROM plain;");
    world_run(w);
    assert_replied(w, "s", "[[0]]");
    world_ask(w, "r", "BEGIN; INSERT INTO plain { id: \"a\" }; ROLLBACK;");
    world_run(w);
    assert_true(q_slice_eq(world_reply_at(w, "r", 1)->bytes, world_reply(w, "r")->bytes));
    world_free(w);
}

static void ddl_changes_the_catalog_when_it_is_durable(void **state)
{
    (void)state;
    world *w = world_with_schema();
    size_t schemas = world_count_topic(w, "quanta.schemas");
    assert_int_equal(schemas, 3);
    w->hold_log = true;
    world_ask(w, "c", "CREATE RECORD fresh (id scalar string, n scalar int);");
    world_run(w);
    assert_null(q_catalog_record(q_core_catalog(w->core), Q_SLICE_LIT("b"), Q_SLICE_LIT("fresh")));
    w->hold_log = false;
    world_sync(w);
    world_run(w);
    assert_non_null(q_catalog_record(q_core_catalog(w->core), Q_SLICE_LIT("b"), Q_SLICE_LIT("fresh")));
    assert_int_equal(world_count_topic(w, "quanta.schemas"), schemas + 1);
    world_ask(w, "i", "INSERT INTO fresh { id: \"a\", n: 1 };");
    world_run(w);
    assert_replied(w, "i", COMMITTED);
    world_ask(w, "d", "DROP RECORD fresh;");
    world_run(w);
    assert_replied(w, "d", COMMITTED);
    const world_message *last = NULL;
    for (size_t i = 0; i < w->out_count; i++)
        if (q_slice_eq(w->out[i].topic, Q_SLICE_LIT("quanta.schemas")))
            last = &w->out[i];
    assert_true(q_slice_eq(last->key, Q_SLICE_LIT("b/fresh")));
    assert_int_equal(last->bytes.len, 0); /* compaction removes it */
    world_free(w);
}

static void who_waited_behind_ddl_is_planned_again(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->hold_log = true;
    world_ask(w, "drop", "DROP RECORD plain;");
    world_ask(w, "i", "INSERT INTO plain { id: \"a\", n: 1 };"); /* planned against the catalog before */
    world_ask(w, "o", "INSERT INTO item { id: \"a\" };");
    world_run(w);
    w->hold_log = false;
    world_sync(w);
    world_run(w);
    assert_replied(w, "drop", COMMITTED);
    assert_replied(w, "i", "UNKNOWN_RECORD");
    assert_replied(w, "i", REJECTED);
    assert_replied(w, "o", COMMITTED);
    world_free(w);
}

static void what_comes_right_behind_its_ddl_waits_for_it(void **state)
{
    (void)state;
    world *w = world_new();
    world_begin(w);
    world_ask(w, "b", "CREATE BUCKET b;"); /* all in one breath, as a script is sent */
    world_ask(w, "t", "CREATE RECORD t (id scalar string, n scalar int);");
    world_ask(w, "i", "INSERT INTO t { id: \"a\", n: 1 };");
    world_ask(w, "s", "SELECT n FROM t;");
    world_ask(w, "d", "DROP RECORD t;");
    world_ask(w, "t2", "CREATE RECORD t (id scalar string);");
    world_ask(w, "bad", "SELECT m FROM t;");
    world_run(w);
    assert_replied(w, "b", COMMITTED);
    assert_replied(w, "t", COMMITTED);
    assert_replied(w, "i", COMMITTED);
    assert_replied(w, "s", "[[1]]");
    assert_replied(w, "d", COMMITTED);
    assert_replied(w, "t2", COMMITTED);
    assert_replied(w, "bad", REJECTED);
    assert_replied(w, "bad", "UNKNOWN_ATTRIBUTE");
    assert_replied(w, "bad", "\"line\":1");
    assert_int_equal(world_stats(w).waiting_for_locks, 0);
    world_ask(w, "no", "SELECT m FROM t;"); /* nothing is under way: at once */
    world_run(w);
    assert_replied(w, "no", REJECTED);
    world_free(w);
}

static void who_waits_for_a_ddl_that_does_not_end_is_told_what_is_wrong(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->hold_log = true;
    world_ask(w, "t", "CREATE RECORD t (id scalar string);");
    world_ask(w, "i", "INSERT INTO t { id: \"a\" };");
    world_run(w);
    assert_null(world_reply(w, "i"));
    world_pass(w, 5100);
    assert_replied(w, "i", REJECTED);
    assert_replied(w, "i", "UNKNOWN_RECORD");
    world_free(w);
}

static void change_events_carry_seq_and_index(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "i", "INSERT INTO plain { id: \"a\", n: 1 }, { id: \"b\", n: 2 };");
    world_run(w);
    unsigned found = 0;
    for (size_t i = 0; i < w->out_count; i++)
        if (q_slice_eq(w->out[i].topic, Q_SLICE_LIT("quanta.changes.b"))) {
            assert_true(world_says(&w->out[i], found ? "\"index\":1" : "\"index\":0"));
            assert_true(q_slice_eq(w->out[i].key, found ? Q_SLICE_LIT("b") : Q_SLICE_LIT("a")));
            found++;
        }
    assert_int_equal(found, 2);
    world_free(w);
}

static void a_full_core_pauses_and_goes_on(void **state)
{
    (void)state;
    world *w = world_new();
    w->config.max_in_flight = 8;
    world_begin(w);
    world_ask(w, "b", "CREATE BUCKET b;");
    world_run(w);
    world_ask(w, "r", "CREATE RECORD plain (id scalar string, n scalar int);");
    world_run(w);
    world_pass(w, 500);
    w->hold_log = true;
    char ids[9][8], texts[9][60];
    for (int i = 0; i < 9; i++) {
        snprintf(ids[i], sizeof ids[i], "p%d", i);
        snprintf(texts[i], sizeof texts[i], "INSERT INTO plain { id: \"%d\" };", i);
    }
    for (int i = 0; i < 7; i++)
        world_ask(w, ids[i], texts[i]);
    world_run(w);
    assert_false(w->paused);
    world_ask(w, ids[7], texts[7]);
    world_run(w);
    assert_true(w->paused);
    world_ask(w, ids[8], texts[8]); /* already on its way: it isn't lost */
    w->hold_log = false;
    world_sync(w);
    world_run(w);
    assert_false(w->paused);
    for (int i = 0; i < 9; i++)
        assert_replied(w, ids[i], COMMITTED);
    world_free(w);
}

static void who_needs_a_silent_engine_does_not_fill_the_core(void **state)
{
    (void)state;
    world *w = world_new();
    w->config.max_in_flight = 40;
    world_begin(w);
    world_ask(w, "b", "CREATE BUCKET b;");
    world_ask(w, "p", "CREATE RECORD plain (id scalar string, n scalar int);");
    world_ask(w, "m", "CREATE RECORD meter (id scalar string, level metric);");
    world_run(w);
    assert_replied(w, "m", COMMITTED);
    w->engines[Q_EN_INFLUX].deaf = true;
    static char ids[200][8], texts[200][60];
    unsigned plain = 0;
    for (int i = 0; i < 200; i++) {
        snprintf(ids[i], sizeof ids[i], "m%d", i);
        snprintf(texts[i], sizeof texts[i], i % 4 ? "INSERT INTO meter { id: \"%d\", level: 1.0 };" : "INSERT INTO plain { id: \"%d\" };", i);
        if (!w->paused) {
            world_ask(w, ids[i], texts[i]);
            plain += i % 4 == 0;
        }
        world_run(w);
        world_pass(w, 100);
    }
    assert_int_equal(world_stats(w).engines_ready, 15 & ~Q_EN_BIT(Q_EN_INFLUX));
    unsigned served = 0, refused = 0;
    for (int i = 0; i < 200; i++) {
        served += i % 4 == 0 && world_says(world_reply(w, ids[i]), COMMITTED);
        refused += i % 4 != 0 && world_says(world_reply(w, ids[i]), "ENGINE_DOWN");
    }
    assert_int_equal(served, plain);
    assert_true(plain > 40); /* it was hardly ever full */
    assert_true(refused > 50);
    w->engines[Q_EN_INFLUX].deaf = false;
    world_pass(w, 6000);
    assert_int_equal(world_stats(w).engines_ready, 15);
    world_ask(w, "after", "INSERT INTO meter { id: \"after\", level: 1.0 };");
    world_run(w);
    assert_replied(w, "after", COMMITTED);
    world_free(w);
}

static void a_large_read_comes_in_parts(void **state)
{
    (void)state;
    world *w = world_with_schema();
    static char text[1000];
    char big[401];
    memset(big, 'x', 400);
    big[400] = '\0';
    for (int i = 0; i < 4000; i++) {
        snprintf(text, sizeof text, "INSERT INTO item { id: \"%04d\", code: \"%s%04d\" };", i, big, i);
        world_request r = world_make(w, 0, NULL, "");
        r.value = q_arena_copy(w->arena, q_slice_cstr(text));
        world_send(w, &r);
        if (i % 50 == 0)
            world_run(w);
    }
    world_run(w);
    world_ask(w, "all", "SELECT id, code FROM item ORDER BY id;");
    world_run(w);
    size_t parts = 0, rows = 0;
    for (const world_message *m; (m = world_reply_at(w, "all", parts)); parts++) {
        char part[20];
        snprintf(part, sizeof part, "\"part\":%zu,", parts + 1);
        assert_true(world_says(m, part));
        assert_in_range(m->bytes.len, 1000, 950000);
        bool last = world_reply_at(w, "all", parts + 1) == NULL;
        assert_int_equal(world_says(m, "\"last\":true"), last);
        assert_int_equal(world_says(m, COMMITTED), last); /* they count once the last one says so */
        for (size_t i = 0; i + 2 < m->bytes.len; i++)
            rows += memcmp(m->bytes.ptr + i, "[\"", 2) == 0;
    }
    assert_in_range(parts, 2, 4);
    assert_int_equal(rows, 4000);
    world_pass(w, 500);
    assert_int_equal(world_stats(w).in_flight, 0); /* each part was acknowledged */
    world_free(w);
}

static void large_transactions_fill_a_group_and_the_next(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_pass(w, 500);
    w->hold_log = true;
    world_ask(w, "first", "INSERT INTO plain { id: \"0\" };");
    world_run(w);
    enum { N = 60, BYTES = 900000 };
    static char ids[N][8];
    for (int i = 0; i < N; i++) {
        snprintf(ids[i], sizeof ids[i], "L%d", i);
        char *text = malloc(BYTES + 100);
        int n = snprintf(text, 100, "INSERT INTO item { id: \"%d\", code: \"%d ", i, i);
        memset(text + n, 'x', BYTES);
        memcpy(text + n + BYTES, "\" };", 5);
        world_request r = world_make(w, 0, ids[i], "");
        r.value = q_slice_of(text, (size_t)n + BYTES + 4);
        world_send(w, &r);
        free(text);
        world_run(w);
    }
    unsigned syncs = w->syncs;
    size_t largest = 0;
    while (w->ops) {
        size_t bytes = 0;
        for (size_t i = 0; i < w->op_count; i++)
            bytes += w->ops[i].value.len;
        largest = bytes > largest ? bytes : largest;
        world_sync(w);
        world_run(w);
    }
    assert_in_range(w->syncs - syncs, 3, 6);
    assert_in_range(largest, 20000000, 40000000);
    for (int i = 0; i < N; i++)
        assert_replied(w, ids[i], COMMITTED);
    world_free(w);
}

static void draining_leaves_new_requests_in_the_topic(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->hold_log = true;
    world_ask(w, "old", "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    assert_false(q_core_drain(w->core));
    world_ask(w, "new", "INSERT INTO plain { id: \"b\" };");
    w->hold_log = false;
    world_sync(w);
    world_run(w);
    world_pass(w, 500);
    assert_true(q_core_drain(w->core));
    assert_true(w->paused);
    assert_replied(w, "old", COMMITTED);
    assert_null(world_reply(w, "new"));
    assert_int_equal(q_core_position(w->core, 0), w->offsets[0] - 1);
    world_free(w);
}

static void time_never_goes_back(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "a", "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    w->now_us -= 3600LL * 1000000; /* NTP */
    world_ask(w, "b", "INSERT INTO plain { id: \"b\" };");
    world_run(w);
    int64_t time_of[10] = { 0 };
    for (uint64_t lsn = 1; lsn <= w->record_count; lsn++) {
        q_rec r = world_record(w, lsn);
        if (r.type == Q_REC_DECISION)
            time_of[r.decision.seq] = r.decision.time_us;
    }
    for (int seq = 1; seq < 5; seq++)
        assert_true(time_of[seq] > 0 && time_of[seq] < time_of[seq + 1]);
    world_free(w);
}

static void operators_see_every_open_transaction(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->engines[Q_EN_INFLUX].no_acks = true;
    world_ask(w, "applying", "INSERT INTO item { id: \"a\", level: 1.0 };");
    world_run(w);
    w->engines[Q_EN_POSTGRES].no_votes = true;
    world_ask(w, "preparing", "INSERT INTO plain { id: \"a\" };");
    world_ask(w, "waiting", "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    q_buf out = Q_BUF_INIT(1 << 20);
    q_core_list_txns(w->core, w->mono_us, false, &out);
    q_buf_add_byte(&out, 0);
    assert_non_null(strstr(out.ptr, "\"request_id\":\"applying\""));
    assert_non_null(strstr(out.ptr, "\"state\":\"APPLYING\",\"age_ms\":0,\"in_state_ms\":0,\"engines_missing\":[\"influx\"]"));
    assert_non_null(strstr(out.ptr, "\"state\":\"PREPARING\",\"age_ms\":0,\"in_state_ms\":0,\"engines_missing\":[\"postgres\"]"));
    assert_non_null(strstr(out.ptr, "\"blocked_on\":\"b/plain"));
    q_buf_clear(&out);
    q_core_list_txns(w->core, w->mono_us, true, &out);
    assert_int_equal(out.len, 0);
    world_pass(w, 6000);
    q_core_list_txns(w->core, w->mono_us, true, &out);
    q_buf_add_byte(&out, 0);
    assert_non_null(strstr(out.ptr, "\"request_id\":\"applying\""));
    assert_null(strstr(out.ptr, "\"request_id\":\"waiting\""));
    assert_true(world_stats(w).oldest_in_doubt_us >= 6000000);
    q_buf_free(&out);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_becomes_a_durable_transaction_and_a_reply),
        cmocka_unit_test(reads_see_what_was_written_and_log_nothing),
        cmocka_unit_test(nothing_leaves_before_the_sync),
        cmocka_unit_test(what_is_decided_during_a_sync_shares_the_next),
        cmocka_unit_test(conflicting_transactions_wait_and_others_pass),
        cmocka_unit_test(seq_order_is_the_order_of_conflicts),
        cmocka_unit_test(a_share_is_free_when_its_engine_has_applied),
        cmocka_unit_test(a_no_aborts_durably_and_frees_the_locks),
        cmocka_unit_test(a_lost_prepare_costs_no_abort),
        cmocka_unit_test(a_participant_that_does_not_vote_in_time_aborts),
        cmocka_unit_test(a_lost_read_is_asked_again),
        cmocka_unit_test(a_waiter_gives_up_at_its_own_time_limit),
        cmocka_unit_test(a_blind_write_to_a_record_that_is_not_there_reads_first),
        cmocka_unit_test(a_rollback_changes_nothing_and_is_remembered),
        cmocka_unit_test(ddl_changes_the_catalog_when_it_is_durable),
        cmocka_unit_test(who_waited_behind_ddl_is_planned_again),
        cmocka_unit_test(what_comes_right_behind_its_ddl_waits_for_it),
        cmocka_unit_test(who_waits_for_a_ddl_that_does_not_end_is_told_what_is_wrong),
        cmocka_unit_test(change_events_carry_seq_and_index),
        cmocka_unit_test(a_full_core_pauses_and_goes_on),
        cmocka_unit_test(who_needs_a_silent_engine_does_not_fill_the_core),
        cmocka_unit_test(a_large_read_comes_in_parts),
        cmocka_unit_test(large_transactions_fill_a_group_and_the_next),
        cmocka_unit_test(draining_leaves_new_requests_in_the_topic),
        cmocka_unit_test(time_never_goes_back),
        cmocka_unit_test(operators_see_every_open_transaction),
    };
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
