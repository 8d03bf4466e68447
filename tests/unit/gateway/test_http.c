/* Requests and results as data: routes against openapi.json, headers, escapes, results of every shape; damaged results do no harm. */
#include "gateway/openapi.h"
#include "gateway/operation.h"
#include "gateway/result.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static q_slice S(const char *s) { return q_slice_cstr(s); }

static void routes_and_openapi_name_the_same_paths_and_methods(void **state)
{
    json_error_t e;
    q_slice text = q_openapi();
    json_t *doc = json_loadb(text.ptr, text.len, 0, &e);
    (void)state;
    assert_non_null(doc);
    json_t *paths = json_object_get(doc, "paths");
    assert_int_equal(json_object_size(paths), Q_RT_COUNT);
    for (int r = 0; r < Q_RT_COUNT; r++) {
        static const char *const names[] = { "get", "post", "put", "patch", "delete" };
        json_t *path = json_object_get(paths, q_route_template((q_route)r));
        assert_non_null(path);
        for (int m = 0; m < Q_HTTP_METHODS; m++) {
            assert_int_equal(json_object_get(path, names[m]) != NULL, q_route_has((q_route)r, (q_http_method)m));
            assert_int_equal(strstr(q_route_allow((q_route)r), q_http_method_name((q_http_method)m)) != NULL, q_route_has((q_route)r, (q_http_method)m));
        }
    }
    json_decref(doc);
}

static q_code match(q_arena *a, q_http_method method, const char *path, q_match *m)
{
    q_err err = Q_ERR_INIT;
    return q_route_match(a, method, S(path), m, &err) == Q_OK ? Q_E_NONE : err.code;
}

static void paths_are_split_before_they_are_decoded(void **state)
{
    q_arena *a = q_arena_new(1 << 20);
    q_match m;
    (void)state;
    assert_int_equal(match(a, Q_HTTP_GET, "/bucket/b/record/r/rows/a%2Fb%20c", &m), Q_E_NONE);
    assert_true(q_slice_eq(m.id, S("a/b c")) && q_slice_eq(m.bucket, S("b")) && q_slice_eq(m.record, S("r")));
    assert_int_equal(match(a, Q_HTTP_POST, "/bucket/create", &m), Q_E_NONE);
    assert_int_equal(m.route, Q_RT_CREATE);
    assert_int_equal(match(a, Q_HTTP_GET, "/bucket/create", &m), Q_E_METHOD_NOT_ALLOWED);
    assert_int_equal(match(a, Q_HTTP_GET, "/bucket/b`x", &m), Q_E_UNKNOWN_BUCKET);
    assert_int_equal(match(a, Q_HTTP_GET, "/bucket/b/record/R", &m), Q_E_UNKNOWN_RECORD);
    const char *const nowhere[] = { "", "/", "bucket", "//bucket", "/bucket/", "/bucket/a/b", "/bucket/a/record/r/rows/1/2", "/a/b/c/d/e/f/g/h" };
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++)
        assert_int_equal(match(a, Q_HTTP_GET, nowhere[i], &m), Q_E_ROUTE_UNKNOWN);
    const char *const broken[] = { "%", "%2", "%zz", "%00", "%ff", "%c3%28" };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        q_slice path = q_arena_printf(a, "/bucket/b/record/r/rows/%s", broken[i]);
        assert_int_equal(match(a, Q_HTTP_GET, path.ptr, &m), Q_E_REQUEST_MALFORMED);
    }
    q_arena_free(a);
}

static void accept_takes_the_most_specific_range(void **state)
{
    (void)state;
    assert_true(q_http_accepts(Q_SLICE_NONE, "application/json"));
    assert_true(q_http_accepts(S("text/html, */*;q=0.1"), "application/json"));
    assert_true(q_http_accepts(S("application/*"), "application/json"));
    assert_true(q_http_accepts(S("Application/JSON ; q=0.5"), "application/json"));
    assert_false(q_http_accepts(S("application/json;q=0, */*"), "application/json"));
    assert_false(q_http_accepts(S("application/jsonx"), "application/json"));
    assert_false(q_http_accepts(S("image/png"), "application/json"));
    assert_false(q_http_accepts_coding(Q_SLICE_NONE, "gzip"));
    assert_true(q_http_accepts_coding(S("br, gzip"), "gzip"));
    assert_false(q_http_accepts_coding(S("gzip;q=0.0, *"), "gzip"));
    assert_true(q_http_type_is(S("application/json;charset=utf-8"), "application/json"));
}

static const char COMMITTED[] = "{\"request_id\":\"r\",\"txid\":\"1-2\",\"bucket\":\"b\",\"seq\":7,\"status\":\"committed\",\"results\":[{\"statement\":1,"
                                "\"kind\":\"select\",\"columns\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"n\",\"type\":\"decimal\"}],\"rows\":[[\"a\",0.10],"
                                "[\"b\",12345678901234567890]]},{\"statement\":2,\"kind\":\"update\",\"count\":3}],\"timings_ms\":{\"total\":1.0}}";

static void a_result_is_read_and_written_with_no_digit_changed(void **state)
{
    q_result_head h;
    q_result_set set;
    q_slice part = S(COMMITTED);
    q_buf out = Q_BUF_INIT((size_t)1 << 20);
    (void)state;
    assert_true(q_result_read_head(part, &h));
    assert_string_equal(h.status, "committed");
    assert_int_equal(h.seq, 7);
    assert_true(h.last && !h.part);
    assert_true(q_result_parse(&part, 1, &set));
    assert_int_equal(q_result_count(&set, 2), 3);
    assert_int_equal(q_result_count(&set, 1), -1);
    q_row_cursor at = { 0 };
    yajl_val columns, row = q_result_next_row(&set, 1, &at, &columns);
    assert_true(q_result_write_row(columns, row, -1, &out));
    assert_true(q_slice_eq(q_buf_slice(&out), S("{\"id\":\"a\",\"n\":0.10}")));
    q_buf_clear(&out);
    row = q_result_next_row(&set, 1, &at, &columns);
    assert_true(q_result_write_row(columns, row, 0, &out));
    assert_true(q_slice_eq(q_buf_slice(&out), S("{\"n\":12345678901234567890}")));
    assert_null(q_result_next_row(&set, 1, &at, &columns));
    q_buf_free(&out);
    q_result_free(&set);
}

static void parts_become_one_result(void **state)
{
    const q_slice parts[] = {
        S("{\"request_id\":\"r\",\"txid\":\"t\",\"bucket\":\"b\",\"seq\":null,\"part\":1,\"results\":[{\"statement\":1,\"kind\":\"select\","
          "\"columns\":[{\"name\":\"id\"}],\"rows\":[[1],[2]]}]}"),
        S("{\"request_id\":\"r\",\"txid\":\"t\",\"bucket\":\"b\",\"seq\":null,\"status\":\"committed\",\"part\":2,\"last\":true,\"results\":[{\"statement\":1,"
          "\"kind\":\"select\",\"columns\":[{\"name\":\"id\"}],\"rows\":[[3]]},{\"statement\":2,\"kind\":\"select\",\"columns\":[{\"name\":\"id\"}],\"rows\":[]}]}"),
    };
    q_result_head h;
    q_result_set set;
    q_buf out = Q_BUF_INIT((size_t)1 << 20);
    (void)state;
    assert_true(q_result_read_head(parts[0], &h) && h.part == 1 && !h.last);
    assert_true(q_result_read_head(parts[1], &h) && h.part == 2 && h.last);
    assert_true(q_result_parse(parts, 2, &set));
    assert_true(q_result_merge(&set, &out));
    assert_true(q_slice_eq(q_buf_slice(&out),
                           S("{\"request_id\":\"r\",\"txid\":\"t\",\"bucket\":\"b\",\"seq\":null,\"results\":[{\"statement\":1,\"kind\":\"select\",\"columns\":[{"
                             "\"name\":\"id\"}],\"rows\":[[1],[2],[3]]},{\"statement\":2,\"kind\":\"select\",\"columns\":[{\"name\":\"id\"}],\"rows\":[]}],"
                             "\"status\":\"committed\"}")));
    q_buf_free(&out);
    q_result_free(&set);
}

static void a_refusal_keeps_its_code_and_place(void **state)
{
    q_result_head h;
    (void)state;
    assert_true(q_result_read_head(S("{\"status\":\"rejected\",\"results\":[],\"error\":{\"code\":\"QQL_TYPE\",\"message\":\"m\",\"hint\":\"h\",\"retryable\":false,"
                                     "\"statement\":2,\"line\":3,\"column\":4}}"), &h));
    assert_int_equal(h.error.code, Q_E_QQL_TYPE);
    assert_int_equal(h.error.statement * 100 + h.error.line * 10 + h.error.column, 234);
    assert_string_equal(h.error.hint, "h");
    assert_true(q_result_read_head(S("{\"status\":\"aborted\",\"results\":[],\"error\":{\"code\":\"FROM_THE_FUTURE\"}}"), &h));
    assert_int_equal(h.error.code, Q_E_INTERNAL);
}

static void damaged_results_do_no_harm(void **state)
{
    q_result_head h;
    q_result_set set;
    size_t n = sizeof COMMITTED - 1;
    char *copy = malloc(n + 1);
    (void)state;
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < 4; c++) {
            memcpy(copy, COMMITTED, n + 1);
            copy[i] = "{]\"9"[c];
            q_slice part = { copy, n };
            (void)q_result_read_head(part, &h);
            if (!q_result_parse(&part, 1, &set))
                continue;
            q_buf out = Q_BUF_INIT((size_t)1 << 16);
            (void)q_result_merge(&set, &out);
            (void)q_result_lines(&set, &out);
            q_buf_free(&out);
            q_result_free(&set);
        }
    free(copy);
    assert_false(q_result_read_head(S("[]"), &h));
    assert_false(q_result_read_head(Q_SLICE_NONE, &h));
}

/* One operation, its question looked at. */
static void values_never_become_text(void **state)
{
    static const char *const ids[] = { "a\" OR TRUE", "`; DROP", "$p1", "5", "\xc3\xbc" };
    q_gate_limits limits = { 100, 1000 };
    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        q_arena *a = q_arena_new(1 << 20);
        q_http_request request = { .method = Q_HTTP_GET };
        q_match m = { Q_RT_ROW, S("b"), S("r"), S(ids[i]) };
        q_ask ask;
        q_http_response out;
        q_gate_op *op = q_gate_new(a, &limits, NULL, &request, &m);
        assert_int_equal(q_gate_start(op, &ask, &out), Q_GATE_ASK);
        json_t *body = json_loadb(ask.body.ptr, ask.body.len, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(body, "query")), "SELECT *, _q_seq FROM `r` WHERE id = $p0;");
        assert_string_equal(json_string_value(json_object_get(json_object_get(body, "params"), "p0")), ids[i]);
        json_decref(body);
        q_gate_free(op);
        q_arena_free(a);
    }
}

static void an_operation_that_never_succeeds_ends(void **state)
{
    q_arena *a = q_arena_new(1 << 20);
    q_gate_limits limits = { 100, 1000 };
    q_http_request request = { .method = Q_HTTP_PUT, .body = S("{\"x\":1}") };
    q_match m = { Q_RT_ROW, S("b"), S("r"), S("k") };
    q_ask ask;
    q_http_response out;
    q_slice shown = S("{\"status\":\"committed\",\"results\":[{\"statement\":1,\"kind\":\"show\",\"columns\":[{\"name\":\"attribute\"},{\"name\":\"type\"},{\"name\":"
                      "\"datatype\"}],\"rows\":[[\"id\",\"scalar\",\"string\"],[\"x\",\"scalar\",\"int\"],[\"y\",\"document\",null]]}]}");
    q_slice none = S("{\"status\":\"committed\",\"results\":[{\"statement\":1,\"kind\":\"update\",\"count\":0}]}");
    q_slice taken = S("{\"status\":\"aborted\",\"results\":[],\"error\":{\"code\":\"DUPLICATE_ID\",\"message\":\"m\"}}");
    q_gate_op *op = q_gate_new(a, &limits, NULL, &request, &m);
    (void)state;
    assert_int_equal(q_gate_start(op, &ask, &out), Q_GATE_ASK);
    assert_int_equal(q_gate_reply(op, S("1"), &shown, 1, &ask, &out), Q_GATE_ASK);
    assert_non_null(strstr(ask.body.ptr, "UPDATE `r` SET `x` = $p0, `y` = NULL WHERE id = $p1;"));
    int asked = 2;
    for (bool insert = true; asked < 50; insert = !insert, asked++)
        if (q_gate_reply(op, S("1"), insert ? &none : &taken, 1, &ask, &out) == Q_GATE_ANSWER)
            break;
    assert_int_equal(asked, Q_GATE_MAX_STEPS);
    assert_int_equal(out.status, 503);
    q_gate_free(op);
    q_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_and_openapi_name_the_same_paths_and_methods),
        cmocka_unit_test(paths_are_split_before_they_are_decoded),
        cmocka_unit_test(accept_takes_the_most_specific_range),
        cmocka_unit_test(a_result_is_read_and_written_with_no_digit_changed),
        cmocka_unit_test(parts_become_one_result),
        cmocka_unit_test(a_refusal_keeps_its_code_and_place),
        cmocka_unit_test(damaged_results_do_no_harm),
        cmocka_unit_test(values_never_become_text),
        cmocka_unit_test(an_operation_that_never_succeeds_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
