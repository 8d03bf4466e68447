/* What operators see: every line is JSON, filters choose, redo is readable, bytes that are no text don't break it. */
#include "sample.h"
#include "scratch.h"

#include <jansson.h>

#include "wal/inspect.h"

static char dir[700];
static q_log *log_;

static int start(void **state)
{
    (void)state;
    q_log_options o = { .max_bytes = 16 << 20, .create = true };
    q_err err = Q_ERR_INIT;
    snprintf(dir, sizeof dir, "%s/log", scratch_new());
    assert_int_equal(q_log_open_lmdb(dir, &o, &log_, &err), Q_OK);
    sample_fill(log_);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    log_->ops->close(log_);
    *strrchr(dir, '/') = '\0';
    scratch_remove(dir);
    return 0;
}

typedef struct lines { uint64_t count; json_int_t first, last; json_t *newest; q_rc answer; } lines;

static q_rc take(void *ctx, q_slice json, q_err *err)
{
    lines *l = ctx;
    json_error_t e;
    (void)err;
    assert_null(memchr(json.ptr, '\n', json.len));
    json_decref(l->newest);
    l->newest = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &e);
    if (!l->newest)
        fail_msg("%s in %.*s", e.text, Q_SLICE_FMT(json));
    l->last = json_integer_value(json_object_get(l->newest, "lsn"));
    if (l->count++ == 0)
        l->first = l->last;
    return l->answer;
}

static lines list(q_wal_filter f, bool full)
{
    lines l = { 0 };
    q_err err = Q_ERR_INIT;
    if (q_wal_list(log_, &f, full, take, &l, &err) != Q_OK)
        fail_msg("%s", err.message);
    return l;
}

static const char *str(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

static void filters_choose_records(void **state)
{
    (void)state;
    q_log_info info;
    log_->ops->info(log_, &info);
    uint64_t all = info.last_lsn - info.first_lsn + 1;
    lines l = list((q_wal_filter){ 0 }, false);
    assert_int_equal(l.count, all);
    assert_int_equal(l.first, info.first_lsn);
    json_decref(l.newest);
    l = list((q_wal_filter){ .from_lsn = 10, .to_lsn = 12 }, true);
    assert_true(l.count == 3 && l.first == 10 && l.last == 12);
    json_decref(l.newest);
    l = list((q_wal_filter){ .limit = 4 }, false);
    assert_true(l.count == 4 && l.first == (json_int_t)info.first_lsn);
    json_decref(l.newest);
    l = list((q_wal_filter){ .newest = 4 }, false);
    assert_true(l.count == 4 && l.last == (json_int_t)info.last_lsn);
    json_decref(l.newest);
    l = list((q_wal_filter){ .newest = 1000000, .limit = 2 }, false);
    assert_true(l.count == 2 && l.last == (json_int_t)info.last_lsn);
    json_decref(l.newest);
    l = list((q_wal_filter){ .bucket = Q_SLICE_LIT("shop"), .request_id = Q_SLICE_LIT("request-9") }, false);
    assert_int_equal(l.count, 1);
    assert_string_equal(str(l.newest, "request_id"), "request-9");
    assert_string_equal(str(l.newest, "outcome"), "committed");
    json_decref(l.newest);
    assert_int_equal(list((q_wal_filter){ .bucket = Q_SLICE_LIT("elsewhere") }, false).count, 0);
    l = list((q_wal_filter){ .types = q_wal_type_mask(Q_SLICE_LIT("tail")) }, true);
    assert_true(l.count > 2 && json_is_array(json_object_get(l.newest, "ended")));
    json_decref(l.newest);
    l = list((q_wal_filter){ .types = q_wal_type_mask(Q_SLICE_LIT("operator")) }, false);
    assert_string_equal(str(l.newest, "text"), "transaction 3 resolved by hand");
    json_decref(l.newest);
    /* A transaction with its end: its decision, and the tail that says it is applied. */
    l = list((q_wal_filter){ .from_seq = 6, .to_seq = 6 }, false);
    assert_int_equal(l.count, 2);
    assert_string_equal(str(l.newest, "type"), "tail");
    json_decref(l.newest);
    l = list((q_wal_filter){ .from_seq = 30 }, false);
    assert_true(l.count > 5);
    json_decref(l.newest);
    assert_int_equal(q_wal_type_mask(Q_SLICE_LIT("nonsense")), 0);
}

static void a_listing_stops_when_told(void **state)
{
    (void)state;
    lines l = { .answer = Q_RETRY };
    q_wal_filter f = { 0 };
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_wal_list(log_, &f, false, take, &l, &err), Q_RETRY);
    assert_int_equal(l.count, 1);
    json_decref(l.newest);
    l = (lines){ .answer = Q_RETRY };
    f.newest = 5;
    assert_int_equal(q_wal_list(log_, &f, false, take, &l, &err), Q_RETRY);
    assert_int_equal(l.count, 1);
    json_decref(l.newest);
}

static json_t *show(uint64_t lsn)
{
    q_buf b = Q_BUF_INIT(1 << 20);
    q_err err = Q_ERR_INIT;
    json_error_t e;
    assert_int_equal(q_wal_show(log_, lsn, &b, &err), Q_OK);
    json_t *o = json_loadb(b.ptr, b.len, JSON_REJECT_DUPLICATES, &e);
    assert_non_null(o);
    q_buf_free(&b);
    return o;
}

static void a_decision_is_shown_with_all_it_does(void **state)
{
    (void)state;
    lines l = list((q_wal_filter){ .request_id = Q_SLICE_LIT("request-9") }, false);
    json_t *o = show((uint64_t)l.last);
    assert_string_equal(str(o, "type"), "decision");
    assert_string_equal(str(o, "time"), "2023-11-14T22:13:20.000009Z");
    assert_string_equal(str(o, "reply"), "{\"status\":\"committed\"}");
    assert_string_equal(str(o, "identity"), "09090909090909090909090909090909");
    assert_int_equal(json_array_size(json_object_get(o, "participants")), 2);
    json_t *put = json_array_get(json_object_get(json_object_get(o, "redo"), "postgres"), 0);
    assert_string_equal(str(put, "op"), "put");
    assert_string_equal(str(put, "record"), "orders");
    assert_int_equal(json_integer_value(json_object_get(put, "id")), 9);
    assert_string_equal(json_string_value(json_array_get(json_object_get(put, "requires"), 0)), "not exists");
    json_t *field = json_array_get(json_object_get(put, "fields"), 0);
    assert_string_equal(str(field, "attr"), "total");
    assert_true(json_real_value(json_object_get(field, "value")) == 89.5);
    assert_string_equal(str(json_array_get(json_object_get(o, "events"), 1), "value"), "{\"op\":\"delete\"}");
    json_decref(o);
    json_decref(l.newest);
    q_buf none = Q_BUF_INIT(100);
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_wal_show(log_, 1, &none, &err), Q_END); /* trimmed */
    assert_int_equal(q_wal_show(log_, 99999, &none, &err), Q_END);
    q_buf small = Q_BUF_INIT(10);
    assert_int_equal(q_wal_show(log_, (uint64_t)l.last, &small, &err), Q_FAIL);
    q_buf_free(&small);
}

static void who_resolved_a_transaction_and_why_is_shown(void **state)
{
    (void)state;
    q_arena *a = q_arena_new(0);
    json_error_t e;
    for (int abandoned = 0; abandoned < 2; abandoned++) {
        q_rec r = { .type = Q_REC_RESOLVE, .lsn = 77, .resolve = { .seq = 9, .epoch = 3, .engines = Q_EN_BIT(Q_EN_MONGO), .abandoned = abandoned != 0,
                    .time_us = 1700000000000009, .who = Q_SLICE_LIT("alice"), .why = Q_SLICE_LIT("the server's disk is gone") } };
        q_buf b = Q_BUF_INIT(1 << 16);
        q_wal_record_json(a, &r, 100, true, &b);
        json_t *o = json_loadb(b.ptr, b.len, JSON_REJECT_DUPLICATES, &e);
        assert_non_null(o);
        assert_string_equal(str(o, "outcome"), abandoned ? "abandoned" : "retried");
        assert_string_equal(str(o, "who"), "alice");
        assert_string_equal(str(o, "why"), "the server's disk is gone");
        assert_string_equal(str(o, "time"), "2023-11-14T22:13:20.000009Z");
        assert_int_equal(json_integer_value(json_object_get(o, "seq")), 9);
        assert_string_equal(json_string_value(json_array_get(json_object_get(o, "participants"), 0)), "mongo");
        json_decref(o);
        q_buf_free(&b);
    }
    q_arena_free(a);
}

/* Bytes that are no text, redo that is no redo, numbers beyond JSON's: each is shown, none breaks the line. */
static void strange_content_is_still_json(void **state)
{
    (void)state;
    q_arena *a = q_arena_new(0);
    q_rec r = sample_decision(a, 5, 6, "\xff\xfe");
    q_ddl ddl = { .kind = Q_DDL_CREATE_RECORD, .bucket = Q_SLICE_LIT("shop"), .record = Q_SLICE_LIT("orders") };
    q_attr attr = { .name = Q_SLICE_LIT("route"), .kind = Q_K_RELATION, .datatype = Q_T_RELATION, .target = Q_SLICE_LIT("routes") };
    q_buf b = Q_BUF_INIT(1 << 16), out = Q_BUF_INIT(1 << 20);
    ddl.count = 1;
    ddl.attrs = &attr;
    q_ddl_encode(&ddl, &b);
    r.decision.ddl = q_buf_slice(&b);
    r.decision.redo[Q_EN_POSTGRES] = Q_SLICE_LIT("not a redo");
    r.decision.query = Q_SLICE_LIT("tab\t\"quote\" \xc3");
    r.decision.time_us = INT64_MIN;
    r.decision.seq = UINT64_MAX;
    q_wal_record_json(a, &r, 100, true, &out);
    json_error_t e;
    json_t *o = json_loadb(out.ptr, out.len, JSON_REJECT_DUPLICATES, &e);
    if (!o)
        fail_msg("%s", e.text);
    assert_string_equal(str(o, "reply_base64"), "//4=");
    assert_non_null(str(o, "query_base64"));
    assert_string_equal(str(o, "seq"), "18446744073709551615");
    assert_true(json_is_integer(json_object_get(o, "time")));
    assert_non_null(str(json_object_get(json_object_get(o, "redo"), "postgres"), "error"));
    assert_true(json_is_array(json_object_get(json_object_get(o, "redo"), "influx")));
    json_t *d = json_object_get(o, "ddl");
    assert_string_equal(str(d, "kind"), "create record");
    assert_string_equal(str(json_array_get(json_object_get(d, "attributes"), 0), "target"), "routes");
    json_decref(o);

    /* All kinds of items in a redo. */
    q_value ids[] = { { .type = Q_T_STRING, .s = Q_SLICE_LIT("s1") }, { .type = Q_T_STRING, .s = Q_SLICE_LIT("s2") } };
    q_field fields[] = { { Q_SLICE_LIT("stops"), { .type = Q_T_RELATION, .rel = { ids, 2 } } }, { Q_SLICE_LIT("one"), { .type = Q_T_RELATION, .rel = { ids, 1 } } },
                         { Q_SLICE_LIT("gone"), Q_NULL }, { Q_SLICE_LIT("took"), { .type = Q_T_DURATION, .at_us = 1700000000000000, .i = 5000000 } } };
    q_item items[] = { { .op = Q_I_PUT, .record = Q_SLICE_LIT("orders"), .id = ids[0], .pre = Q_PRE_EXISTS | Q_PRE_SEQ_IS, .seq_is = 4, .birth = 2, .count = 4, .fields = fields },
                       { .op = Q_I_CHECK, .record = Q_SLICE_LIT("routes"), .id = ids[1], .pre = Q_PRE_EXISTS },
                       { .op = Q_I_DDL, .incarnation = 3, .record = Q_SLICE_LIT("orders"), .ddl = ddl } };
    q_writes w = { .bucket_incarnation = 1, .bucket = Q_SLICE_LIT("shop"), .count = 3, .items = items };
    q_buf redo = Q_BUF_INIT(1 << 16);
    q_writes_encode(&w, &redo);
    r.decision.redo[Q_EN_POSTGRES] = q_buf_slice(&redo);
    r.decision.ddl = Q_SLICE_LIT("not a change");
    q_buf_clear(&out);
    q_wal_record_json(a, &r, 100, true, &out);
    o = json_loadb(out.ptr, out.len, JSON_REJECT_DUPLICATES, &e);
    assert_non_null(o);
    json_t *list_ = json_object_get(json_object_get(o, "redo"), "postgres");
    if (json_array_size(list_) != 3)
        fail_msg("%.*s", Q_SLICE_FMT(q_buf_slice(&out)));
    json_t *f = json_object_get(json_array_get(list_, 0), "fields");
    assert_int_equal(json_array_size(json_object_get(json_array_get(f, 0), "value")), 2);
    assert_string_equal(str(json_array_get(f, 1), "value"), "s1");
    assert_true(json_is_null(json_object_get(json_array_get(f, 2), "value")));
    assert_string_equal(str(json_array_get(f, 3), "value"), "PT5S");
    assert_string_equal(str(json_array_get(f, 3), "at"), "2023-11-14T22:13:20Z");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list_, 0), "seq_is")), 4);
    assert_string_equal(str(json_array_get(list_, 1), "op"), "check");
    assert_string_equal(str(json_object_get(json_array_get(list_, 2), "ddl"), "record"), "orders");
    assert_non_null(str(json_object_get(o, "ddl"), "error"));
    json_decref(o);

    q_rec epoch = { .type = Q_REC_EPOCH, .lsn = 1, .epoch = { 3, 0, Q_SLICE_LIT("0.1.0") } };
    q_buf_clear(&out);
    q_wal_record_json(a, &epoch, 40, false, &out);
    o = json_loadb(out.ptr, out.len, 0, &e);
    assert_string_equal(str(o, "version"), "0.1.0");
    assert_string_equal(str(o, "time"), "1970-01-01T00:00:00Z");
    json_decref(o);
    q_buf_free(&b);
    q_buf_free(&redo);
    q_buf_free(&out);
    q_arena_free(a);
}

static void tables_are_listed_and_definitions_are_quantaql(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_catalog *c = q_catalog_new(), *next;
    q_ddl bucket = { .kind = Q_DDL_CREATE_BUCKET, .bucket = Q_SLICE_LIT("shop") };
    q_attr attr = { .name = Q_SLICE_LIT("total"), .kind = Q_K_SCALAR, .datatype = Q_T_FLOAT };
    q_ddl record = { .kind = Q_DDL_CREATE_RECORD, .bucket = Q_SLICE_LIT("shop"), .record = Q_SLICE_LIT("orders"), .count = 1, .attrs = &attr };
    assert_int_equal(q_catalog_apply(c, &bucket, 1, &next, &err), Q_OK);
    q_catalog_unref(c);
    c = next;
    assert_int_equal(q_catalog_apply(c, &record, 2, &next, &err), Q_OK);
    q_catalog_unref(c);
    q_buf b = Q_BUF_INIT(1 << 16), r = Q_BUF_INIT(1 << 16);
    q_bucket_encode(q_catalog_at(next, 0), &b);
    q_record_encode(q_catalog_record(next, Q_SLICE_LIT("shop"), Q_SLICE_LIT("orders")), &r);
    q_log_op ops[] = { { .kind = Q_LO_PUT, .table = Q_LT_CATALOG, .key = Q_SLICE_LIT("b/shop"), .value = q_buf_slice(&b) },
                       { .kind = Q_LO_PUT, .table = Q_LT_CATALOG, .key = Q_SLICE_LIT("r/shop/orders"), .value = q_buf_slice(&r) } };
    lc_commit(log_, ops, 2);
    q_verify_report report;
    assert_int_equal(q_log_verify(dir, NULL, NULL, &report, &err), Q_OK); /* the deep check loads them, too */

    lines l = { 0 };
    assert_int_equal(q_wal_list_table(log_, Q_LT_CATALOG, take, &l, &err), Q_OK);
    assert_int_equal(l.count, 2);
    assert_non_null(strstr(str(l.newest, "definition"), "CREATE RECORD orders"));
    json_decref(l.newest);
    l = (lines){ 0 };
    assert_int_equal(q_wal_list_table(log_, Q_LT_POSITION, take, &l, &err), Q_OK);
    assert_int_equal(l.count, 5);
    assert_string_equal(str(l.newest, "table"), "position");
    json_decref(l.newest);

    /* Definitions that are none: shown as such here, refused by the deep check. */
    q_log_op bad[] = { lc_put(Q_LT_CATALOG, "b/shop", "nonsense"), lc_put(Q_LT_CATALOG, "x", "nonsense") };
    lc_commit(log_, bad, 2);
    l = (lines){ 0 };
    assert_int_equal(q_wal_list_table(log_, Q_LT_CATALOG, take, &l, &err), Q_OK);
    assert_int_equal(l.count, 3);
    assert_non_null(str(json_object_get(l.newest, "definition"), "error"));
    json_decref(l.newest);
    assert_int_equal(q_log_verify(dir, NULL, NULL, &report, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "b/shop"));
    assert_int_equal(q_wal_list_table(log_, Q_LT_COUNT, take, &l, &err), Q_FAIL);
    q_buf_free(&b);
    q_buf_free(&r);
    q_catalog_unref(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(filters_choose_records, start, stop),
        cmocka_unit_test_setup_teardown(a_listing_stops_when_told, start, stop),
        cmocka_unit_test_setup_teardown(a_decision_is_shown_with_all_it_does, start, stop),
        cmocka_unit_test_setup_teardown(who_resolved_a_transaction_and_why_is_shown, start, stop),
        cmocka_unit_test_setup_teardown(strange_content_is_still_json, start, stop),
        cmocka_unit_test_setup_teardown(tables_are_listed_and_definitions_are_quantaql, start, stop),
    };
    return cmocka_run_group_tests_name("inspect", tests, NULL, NULL);
}
