/* A3: what a request may look like, where its answer goes, and what hostile ones get. */
#include "tests/unit/coordinator/core_world.h"

#include <jansson.h>

#include "coordinator/jsonpack.h"
#include "coordinator/request.h"
#include "schemas/mp.h"

static world_request make(world *w, const char *content_type, q_slice body)
{
    world_request r = world_make(w, 0, NULL, "");
    r.value = body;
    if (content_type)
        r.headers[r.header_count++] = (q_header){ Q_SLICE_LIT("content-type"), q_slice_cstr(content_type) };
    return r;
}

static void header(world_request *r, const char *name, const char *value)
{
    r->headers[r->header_count++] = (q_header){ q_slice_cstr(name), q_slice_cstr(value) };
}

static void send_json(world *w, const char *body)
{
    world_request r = make(w, "application/json", q_slice_cstr(body));
    world_send(w, &r);
    world_run(w);
}

/* The answer to the request at `offset` of partition 0 that named no id. */
static const world_message *at_place(world *w, int64_t offset)
{
    char id[60];
    snprintf(id, sizeof id, "quanta.requests-0-%lld", (long long)offset);
    return world_reply(w, id);
}

static void assert_code(const world_message *m, const char *code)
{
    assert_non_null(m);
    json_error_t e;
    json_t *j = json_loadb(m->bytes.ptr, m->bytes.len, 0, &e);
    assert_non_null(j); /* whatever came in, what goes out is JSON */
    assert_string_equal(json_string_value(json_object_get(j, "status")), "rejected");
    assert_string_equal(json_string_value(json_object_get(json_object_get(j, "error"), "code")), code);
    json_decref(j);
}

static void a_result_has_the_fields_of_the_contract_in_their_order(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_ask(w, "r", "INSERT INTO plain { id: \"a\", n: 1 };");
    world_run(w);
    assert_replied(w, "r",
                   "{\"request_id\":\"r\",\"txid\":\"1-4\",\"bucket\":\"b\",\"seq\":4,\"status\":\"committed\","
                   "\"results\":[{\"statement\":1,\"kind\":\"insert\",\"count\":1}],"
                   "\"timings_ms\":{\"parse\":0.000,\"lock\":0.000,\"read\":0.000,\"prepare\":0.000,\"persist\":0.000,\"total\":0.000}}");
    world_ask(w, "s", "SELECT nme FROM plain;");
    world_run(w);
    assert_replied(w, "s", "{\"request_id\":\"s\",\"txid\":null,\"bucket\":\"b\",\"seq\":null,\"status\":\"rejected\",\"results\":[],\"error\":{\"code\":\"UNKNOWN_ATTRIBUTE\",");
    assert_replied(w, "s", "\"retryable\":false,\"statement\":1,\"line\":1,\"column\":8}");
    world_free(w);
}

static void json_and_msgpack_bodies_run_with_parameters(void **state)
{
    (void)state;
    world *w = world_with_schema();
    send_json(w, "{\"query\":\"INSERT INTO item { id: $id, qty: $n, doc: $d };\",\"params\":{\"id\":\"j\",\"n\":7,\"d\":{\"x\":[1,2.5,null,true]}},"
                 "\"request_id\":\"json\",\"bucket\":\"b\",\"something\":\"of a later version\"}");
    assert_replied(w, "json", COMMITTED);
    q_buf b = Q_BUF_INIT(1000);
    q_mp_pack_map(&b, 3);
    q_mp_str(&b, Q_SLICE_LIT("query"));
    q_mp_str(&b, Q_SLICE_LIT("SELECT qty, doc FROM item WHERE id = $id;"));
    q_mp_str(&b, Q_SLICE_LIT("params"));
    q_mp_pack_map(&b, 1);
    q_mp_str(&b, Q_SLICE_LIT("id"));
    q_mp_str(&b, Q_SLICE_LIT("j"));
    q_mp_str(&b, Q_SLICE_LIT("request_id"));
    q_mp_str(&b, Q_SLICE_LIT("mp"));
    world_request r = make(w, "application/msgpack", q_buf_slice(&b));
    world_send(w, &r);
    world_run(w);
    const world_message *m = world_reply(w, "mp");
    assert_non_null(m);
    assert_true(q_slice_eq(m->type, Q_SLICE_LIT("application/msgpack"))); /* answered as it was asked */
    Q_MP_STACK_SPACE(space, NULL);
    msgpack_object o;
    assert_int_equal(q_mp_unpack(&space, m->bytes, &o), Q_MP_OK);
    assert_int_equal(o.type, MSGPACK_OBJECT_MAP);
    assert_true(q_slice_eq(q_mp_slice(&o.via.map.ptr[0].key), Q_SLICE_LIT("request_id")));
    assert_true(q_slice_eq(q_mp_slice(&o.via.map.ptr[0].val), Q_SLICE_LIT("mp")));
    assert_true(q_slice_eq(q_mp_slice(&o.via.map.ptr[4].val), Q_SLICE_LIT("committed")));
    const msgpack_object *row = &o.via.map.ptr[5].val.via.array.ptr[0].via.map.ptr[3].val.via.array.ptr[0];
    assert_int_equal(row->via.array.ptr[0].via.u64, 7);
    q_mp_space_end(&space);
    q_buf_free(&b);
    world_free(w);
}

static void the_bucket_is_the_bodys_else_the_keys_else_the_headers(void **state)
{
    (void)state;
    world *w = world_with_schema();
    world_request r = world_make(w, 0, "header", "SELECT n FROM plain;");
    r.key = Q_SLICE_NONE;
    header(&r, "bucket", "b");
    world_send(w, &r);
    world_request k = world_make(w, 0, "key", "SELECT n FROM plain;");
    header(&k, "bucket", "other");
    world_send(w, &k);
    world_request n = world_make(w, 0, "none", "SELECT n FROM plain;");
    n.key = Q_SLICE_NONE;
    world_send(w, &n);
    world_request u = world_make(w, 0, "use", "USE b; SELECT n FROM plain;");
    u.key = Q_SLICE_NONE;
    world_send(w, &u);
    world_request body = make(w, "application/json; charset=utf-8", Q_SLICE_LIT("{\"query\":\"SELECT n FROM plain;\",\"bucket\":\"b\",\"request_id\":\"body\"}"));
    body.key = Q_SLICE_LIT("7");
    world_send(w, &body);
    world_run(w);
    assert_replied(w, "header", COMMITTED);
    assert_replied(w, "key", COMMITTED);
    assert_replied(w, "none", "NO_BUCKET");
    assert_replied(w, "use", COMMITTED);
    assert_replied(w, "body", COMMITTED);
    world_free(w);
}

static void without_an_id_the_place_is_the_id(void **state)
{
    (void)state;
    world *w = world_with_schema();
    memcpy(w->config.topic_incarnation, "topic-life-00001", 16);
    world_die(w);
    world_begin(w);
    int64_t offset = w->offsets[0];
    world_ask(w, NULL, "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    assert_true(world_says(at_place(w, offset), COMMITTED));
    /* A new in-process broker counts from 0 again: its message there is another request. */
    world_die(w);
    memcpy(w->config.topic_incarnation, "topic-life-00002", 16);
    for (size_t i = 0; i < w->entry_count; i++)
        if (w->entries[i].table == Q_LT_POSITION)
            w->entries[i].live = false;
    world_begin(w);
    w->offsets[0] = offset;
    world_ask(w, NULL, "INSERT INTO plain { id: \"other\" };");
    world_run(w);
    char id[60];
    snprintf(id, sizeof id, "quanta.requests-0-%lld", (long long)offset);
    assert_true(world_says(world_reply_at(w, id, 1), COMMITTED) || world_says(world_reply_at(w, id, 2), COMMITTED));
    world_ask(w, "s", "SELECT id FROM plain ORDER BY id;");
    world_run(w);
    assert_replied(w, "s", "[[\"a\"],[\"other\"]]");
    world_free(w);
}

static void replies_go_where_they_may_and_nowhere_else(void **state)
{
    (void)state;
    static const char *const yes[] = { "quanta.results", "quanta.results.mine", "quanta.reply.gateway-1", NULL };
    static const char *const no[] = { "quanta.requests", "quanta.work.postgres", "quanta.reads.mongo", "quanta.votes", "quanta.ingest", "quanta.changes.b",
                                      "quanta.schemas", "quanta.dlq", "quanta.wal", "elsewhere", "", ".", "quanta.reply./etc", "quanta.reply.\x01", NULL };
    world *w = world_with_schema();
    for (int i = 0; yes[i]; i++) {
        world_request r = world_make(w, 0, yes[i], "SELECT n FROM plain;");
        header(&r, "reply-to", yes[i]);
        world_send(w, &r);
        world_run(w);
        assert_true(q_slice_eq(world_reply(w, yes[i])->topic, q_slice_cstr(yes[i])));
    }
    for (int i = 0; no[i]; i++) {
        int64_t offset = w->offsets[0];
        world_request r = world_make(w, 0, NULL, "SELECT n FROM plain;");
        header(&r, "reply-to", no[i]);
        world_send(w, &r);
        world_run(w);
        assert_code(at_place(w, offset), "REPLY_TO_FORBIDDEN");
        assert_true(q_slice_eq(at_place(w, offset)->topic, Q_SLICE_LIT("quanta.results")));
    }
    /* Not even when the allow-list says so. */
    static const char *const everything[] = { "*", NULL };
    q_request_rules rules = { .prefix = Q_SLICE_LIT("quanta"), .reply_allow = everything };
    assert_true(q_request_reply_allowed(&rules, Q_SLICE_LIT("elsewhere")));
    for (int i = 0; i < 9; i++)
        assert_false(q_request_reply_allowed(&rules, q_slice_cstr(no[i])));
    world_free(w);
}

static void ids_are_bounded_and_printable(void **state)
{
    (void)state;
    world *w = world_with_schema();
    char longest[200];
    memset(longest, 'x', sizeof longest);
    longest[128] = '\0';
    world_ask(w, longest, "SELECT n FROM plain;");
    world_run(w);
    assert_replied(w, longest, COMMITTED);
    longest[128] = 'x';
    longest[129] = '\0';
    const char *const bad[] = { longest, "", "tab\there", "\xc3\xa9", "del\x7f" };
    for (size_t i = 0; i < 5; i++) {
        int64_t offset = w->offsets[0];
        world_ask(w, bad[i], "SELECT n FROM plain;");
        world_run(w);
        assert_code(at_place(w, offset), "REQUEST_ID_INVALID");
    }
    world_free(w);
}

static void what_can_not_be_read_is_rejected_and_kept_as_a_dead_letter(void **state)
{
    (void)state;
    world *w = world_with_schema();
    static const struct { const char *type; q_slice body; } bad[] = {
        { "application/json", { "{\"query\":", 9 } },
        { "application/json", { "[1]", 3 } },
        { "application/json", { "{\"query\":\"a\",\"query\":\"b\"}", 25 } },
        { "application/json", { "\xff\xfe{}", 4 } },
        { "application/json", { NULL, 0 } },
        { "application/msgpack", { "\xdd\xff\xff\xff\xff", 5 } },
        { "application/msgpack", { "\x81\xa5query", 7 } },
        { "application/msgpack", { "\xc0", 1 } },
        { "application/msgpack", { "\xc9\xff\xff\xff\xff", 5 } },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t offset = w->offsets[0];
        size_t letters = world_count_topic(w, "quanta.dlq");
        world_request r = make(w, bad[i].type, bad[i].body);
        world_send(w, &r);
        world_run(w);
        const world_message *m = at_place(w, offset);
        assert_non_null(m);
        if (strcmp(bad[i].type, "application/json") == 0)
            assert_code(m, "REQUEST_MALFORMED");
        assert_int_equal(world_count_topic(w, "quanta.dlq"), letters + 1);
        json_error_t e;
        const world_message *letter = NULL;
        for (size_t k = 0; k < w->out_count; k++)
            if (q_slice_eq(w->out[k].topic, Q_SLICE_LIT("quanta.dlq")))
                letter = &w->out[k];
        json_t *j = json_loadb(letter->bytes.ptr, letter->bytes.len, 0, &e);
        assert_non_null(j);
        assert_int_equal(json_integer_value(json_object_get(j, "offset")), offset);
        assert_int_equal(json_integer_value(json_object_get(j, "bytes")), bad[i].body.len);
        assert_string_equal(json_string_value(json_object_get(j, "code")), "REQUEST_MALFORMED");
        json_decref(j);
        assert_int_equal(q_core_position(w->core, 0), offset + 1);
    }
    world_free(w);
}

static void bad_envelopes_are_rejected_and_the_next_request_is_served(void **state)
{
    (void)state;
    world *w = world_with_schema();
    static const struct { const char *body, *code; } bad[] = {
        { "{\"params\":{}}", "REQUEST_MALFORMED" },
        { "{\"query\":7}", "REQUEST_MALFORMED" },
        { "{\"query\":\"SELECT n FROM plain;\",\"params\":[1]}", "REQUEST_MALFORMED" },
        { "{\"query\":\"SELECT n FROM plain;\",\"params\":{\"\":1}}", "REQUEST_MALFORMED" },
        { "{\"query\":\"SELECT n FROM plain;\",\"timeout_ms\":\"soon\"}", "REQUEST_MALFORMED" },
        { "{\"query\":\"SELECT n FROM plain;\",\"timeout_ms\":0}", "REQUEST_MALFORMED" },
        { "{\"query\":\"SELECT n FROM plain WHERE n = $a;\"}", "QQL_PARAMETER" },
        { "{\"query\":\"SELECT n FROM plain;\",\"bucket\":\"nobody\"}", "UNKNOWN_BUCKET" },
        { "{\"query\":\"SELECT n FRM plain;\"}", "QQL_SYNTAX" },
        { "{\"query\":\"\"}", NULL },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t offset = w->offsets[0];
        send_json(w, bad[i].body);
        assert_non_null(at_place(w, offset));
        assert_true(world_says(at_place(w, offset), REJECTED));
        if (bad[i].code)
            assert_code(at_place(w, offset), bad[i].code);
    }
    /* The envelope still says where the rejection goes. */
    send_json(w, "{\"query\":7,\"request_id\":\"mine\",\"reply_to\":\"quanta.reply.me\"}");
    assert_replied(w, "mine", "REQUEST_MALFORMED");
    assert_true(q_slice_eq(world_reply(w, "mine")->topic, Q_SLICE_LIT("quanta.reply.me")));
    char key[300];
    memset(key, 'k', sizeof key);
    world_request r = world_make(w, 0, "key", "SELECT n FROM plain;");
    r.key = q_slice_of(key, sizeof key);
    world_send(w, &r);
    world_request u = world_make(w, 0, "utf8", "SELECT n FROM plain;");
    u.key = Q_SLICE_LIT("\xff\xfe");
    world_send(w, &u);
    world_run(w);
    assert_code(world_reply(w, "key"), "UNKNOWN_BUCKET");
    assert_code(world_reply(w, "utf8"), "UNKNOWN_BUCKET");
    world_ask(w, "good", "SELECT n FROM plain;");
    world_run(w);
    assert_replied(w, "good", COMMITTED);
    assert_int_equal(world_stats(w).in_flight, 0);
    world_free(w);
}

static void a_message_is_as_large_as_it_may_be_and_no_larger(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->config.max_request_bytes = 1000;
    world_die(w);
    world_begin(w);
    char text[1002];
    memset(text, ' ', sizeof text);
    memcpy(text, "SELECT n FROM plain;", 20);
    for (size_t len = 1000; len <= 1001; len++) {
        world_request r = world_make(w, 0, len == 1000 ? "fits" : "not", "");
        r.value = q_slice_of(text, len);
        world_send(w, &r);
        world_run(w);
    }
    assert_replied(w, "fits", COMMITTED);
    assert_code(world_reply(w, "not"), "REQUEST_TOO_LARGE");
    world_free(w);
}

static void a_rejected_request_is_complete_when_its_answer_is_published(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->hold_acks = true;
    int64_t offset = w->offsets[0];
    world_request r = world_ask(w, "bad", "SELECT;");
    world_run(w);
    assert_code(world_reply(w, "bad"), "QQL_SYNTAX");
    assert_int_equal(q_core_position(w->core, 0), offset);
    world_die(w);
    w->hold_acks = false;
    world_begin(w);
    world_send(w, &r);
    world_run(w);
    assert_code(world_reply_at(w, "bad", 1), "QQL_SYNTAX"); /* answered again: nobody knows whether it was */
    assert_int_equal(q_core_position(w->core, 0), offset + 1);
    world_ask(w, "bad", "SELECT n FROM plain;"); /* its id is free */
    world_run(w);
    assert_true(world_says(world_reply_at(w, "bad", 2), COMMITTED));
    world_free(w);
}

static void a_duplicate_of_one_in_flight_waits_for_the_same_reply(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->hold_log = true;
    world_ask(w, "r", "INSERT INTO plain { id: \"a\" };");
    world_run(w);
    world_request d = world_make(w, 1, "r", "INSERT INTO plain { id: \"a\" };");
    header(&d, "reply-to", "quanta.reply.me");
    world_send(w, &d);
    world_request o = world_make(w, 1, "r", "INSERT INTO plain { id: \"b\" };");
    world_send(w, &o);
    world_run(w);
    assert_code(world_reply(w, "r"), "REQUEST_ID_REUSED"); /* another body: at once */
    assert_null(world_reply_at(w, "r", 1));
    int64_t before = q_core_position(w->core, 1);
    w->hold_log = false;
    world_sync(w);
    world_run(w);
    const world_message *first = world_reply_at(w, "r", 1), *second = world_reply_at(w, "r", 2);
    assert_true(world_says(first, COMMITTED));
    assert_true(q_slice_eq(first->bytes, second->bytes));
    assert_true(q_slice_eq(first->topic, Q_SLICE_LIT("quanta.results")));
    assert_true(q_slice_eq(second->topic, Q_SLICE_LIT("quanta.reply.me")));
    assert_true(q_core_position(w->core, 1) > before);
    assert_int_equal(world_stats(w).duplicates, 1);
    world_free(w);
}

static void parameters_in_any_order_are_the_same_body(void **state)
{
    (void)state;
    world *w = world_with_schema();
    send_json(w, "{\"query\":\"INSERT INTO plain { id: $a, n: $b };\",\"params\":{\"a\":\"x\",\"b\":1},\"request_id\":\"p\"}");
    send_json(w, "{\"query\":\"INSERT INTO plain { id: $a, n: $b };\",\"params\":{\"b\":1,\"a\":\"x\"},\"request_id\":\"p\"}");
    send_json(w, "{\"query\":\"INSERT INTO plain { id: $a, n: $b };\",\"params\":{\"a\":\"x\",\"b\":2},\"request_id\":\"p\"}");
    assert_true(q_slice_eq(world_reply_at(w, "p", 1)->bytes, world_reply(w, "p")->bytes));
    assert_code(world_reply_at(w, "p", 2), "REQUEST_ID_REUSED");
    world_free(w);
}

static q_rc who(void *ctx, q_arena *arena, const q_asking *asking, q_principal *out, q_err *err)
{
    (void)ctx;
    if (!asking->credentials.len)
        return q_err_set(err, Q_E_UNAUTHENTICATED, "No credentials.");
    *out = (q_principal){ .name = q_arena_copy(arena, asking->credentials), .all = true };
    return Q_OK;
}

static void ids_belong_to_their_principal(void **state)
{
    (void)state;
    world *w = world_new();
    w->config.authenticate = who;
    world_begin(w);
    static const char *const people[] = { "alice", "bob", NULL };
    for (int i = 0; i < 3; i++) {
        world_request r = world_make(w, 0, "same", i == 0 ? "CREATE BUCKET b;" : "CREATE BUCKET c;");
        if (people[i])
            header(&r, "authorization", people[i]);
        world_send(w, &r);
        world_run(w);
    }
    assert_true(world_says(world_reply_at(w, "same", 0), COMMITTED));
    assert_true(world_says(world_reply_at(w, "same", 1), COMMITTED)); /* not REQUEST_ID_REUSED */
    assert_code(world_reply_at(w, "same", 2), "UNAUTHENTICATED");
    world_free(w);
}

static void hostile_messages_on_the_votes_topic_change_nothing(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->engines[Q_EN_POSTGRES].no_votes = true;
    world_ask(w, "r", "INSERT INTO item { id: \"a\", level: 1.0 };");
    world_run(w);
    uint64_t seq = world_stats(w).next_seq - 1, epoch = world_stats(w).epoch;
    q_vote vote = { .seq = seq };
    q_rows rows = { .read_id = 12345 };
    const q_msg bad[] = {
        { .kind = Q_M_VOTE, .cluster = 78, .epoch = epoch, .engine = Q_EN_POSTGRES, .count = 1, .votes = &vote },     /* another cluster */
        { .kind = Q_M_VOTE, .cluster = 77, .epoch = epoch - 1, .engine = Q_EN_POSTGRES, .count = 1, .votes = &vote }, /* another epoch */
        { .kind = Q_M_VOTE, .cluster = 77, .epoch = epoch, .engine = Q_EN_MONGO, .count = 1, .votes = &vote },        /* wasn't asked */
        { .kind = Q_M_ACK, .cluster = 77, .epoch = epoch, .engine = Q_EN_POSTGRES, .count = 1, .seqs = &seq },        /* not decided */
        { .kind = Q_M_ROWS, .cluster = 77, .epoch = epoch, .engine = Q_EN_POSTGRES, .count = 1, .rows = &rows },      /* not asked for */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        world_answer(w, &bad[i]);
    for (int i = 0; i < 200; i++) {
        char noise[50];
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (char)(i * 37 + (int)(k * k) * 11);
        q_event ev = { .kind = Q_EV_MESSAGE, .bytes = q_slice_of(noise, (size_t)i % 50) };
        world_step(w, &ev);
    }
    world_run(w);
    assert_null(world_reply(w, "r"));
    assert_false(w->fatal);
    w->engines[Q_EN_POSTGRES].no_votes = false;
    world_pass(w, 300);
    assert_replied(w, "r", COMMITTED);
    world_free(w);
}

static void an_engine_that_fails_a_read_is_answered_with_its_words(void **state)
{
    (void)state;
    world *w = world_with_schema();
    w->engines[Q_EN_POSTGRES].down = true;
    world_ask(w, "bad", "SELECT n FROM plain;");
    world_ask(w, "later", "SELECT n FROM plain;");
    world_run(w);
    q_err err = Q_ERR_INIT;
    q_msg asked;
    assert_int_equal(q_msg_decode(w->arena, w->work[0].bytes, &asked, &err), Q_OK);
    assert_int_equal(asked.count, 2);
    q_rows rows[] = { { .read_id = asked.reads[0].read_id, .rc = Q_FAIL, .code = Q_E_RESULT_TOO_LARGE, .error = Q_SLICE_LIT("too much \xff of it") },
                      { .read_id = asked.reads[1].read_id, .rc = Q_RETRY, .code = Q_E_ENGINE_DOWN, .error = Q_SLICE_LIT("not now") } };
    q_msg answer = { .kind = Q_M_ROWS, .cluster = 77, .epoch = asked.epoch, .engine = Q_EN_POSTGRES, .count = 2, .rows = rows };
    world_answer(w, &answer);
    world_run(w);
    const char *failed = world_reply(w, "bad") ? "bad" : "later", *waiting = world_reply(w, "bad") ? "later" : "bad";
    assert_replied(w, failed, "RESULT_TOO_LARGE");
    assert_replied(w, failed, ABORTED);
    assert_null(world_reply(w, waiting)); /* RETRY: it is asked again, until its time limit */
    w->engines[Q_EN_POSTGRES].down = false;
    w->work_count = 0;
    world_pass(w, 1500);
    assert_replied(w, waiting, COMMITTED);
    world_free(w);
}

static void a_transaction_without_memory_is_aborted_and_the_next_is_served(void **state)
{
    (void)state;
    world *w = world_with_schema();
    unsigned refused = 0, committed = 0;
    static char ids[400][8], texts[400][100];
    for (int i = 0; i < 400; i++) {
        snprintf(ids[i], sizeof ids[i], "m%d", i);
        snprintf(texts[i], sizeof texts[i], "INSERT INTO item { id: \"%d\", qty: 1, doc: { a: [1, 2] }, level: 2.0 };", i);
        int64_t offset = w->offsets[0];
        world_request r = world_make(w, 0, ids[i], texts[i]);
        q_arena_fail_after((uint64_t)i + 1); /* one allocation after the other, of any arena in the step */
        world_send(w, &r);
        q_arena_fail_after(0);
        world_run(w);
        if (w->fatal)
            fail_msg("allocation %d ended the process: %s", i + 1, w->fatal_text);
        const world_message *m = world_reply(w, ids[i]) ? world_reply(w, ids[i]) : at_place(w, offset); /* without memory for its id */
        if (!m)
            fail_msg("allocation %d left no answer", i + 1);
        if (world_says(m, COMMITTED))
            committed++;
        else
            refused++;
    }
    assert_true(refused > 20);
    assert_true(committed > 20);
    assert_int_equal(world_stats(w).in_flight, 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_has_the_fields_of_the_contract_in_their_order),
        cmocka_unit_test(json_and_msgpack_bodies_run_with_parameters),
        cmocka_unit_test(the_bucket_is_the_bodys_else_the_keys_else_the_headers),
        cmocka_unit_test(without_an_id_the_place_is_the_id),
        cmocka_unit_test(replies_go_where_they_may_and_nowhere_else),
        cmocka_unit_test(ids_are_bounded_and_printable),
        cmocka_unit_test(what_can_not_be_read_is_rejected_and_kept_as_a_dead_letter),
        cmocka_unit_test(bad_envelopes_are_rejected_and_the_next_request_is_served),
        cmocka_unit_test(a_message_is_as_large_as_it_may_be_and_no_larger),
        cmocka_unit_test(a_rejected_request_is_complete_when_its_answer_is_published),
        cmocka_unit_test(a_duplicate_of_one_in_flight_waits_for_the_same_reply),
        cmocka_unit_test(parameters_in_any_order_are_the_same_body),
        cmocka_unit_test(ids_belong_to_their_principal),
        cmocka_unit_test(hostile_messages_on_the_votes_topic_change_nothing),
        cmocka_unit_test(an_engine_that_fails_a_read_is_answered_with_its_words),
        cmocka_unit_test(a_transaction_without_memory_is_aborted_and_the_next_is_served),
    };
    return cmocka_run_group_tests_name("core: requests", tests, NULL, NULL);
}
