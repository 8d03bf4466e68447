#include <yajl/yajl_gen.h>

#include "tests/unit/schemas/cmocka_setup.h"
#include "tests/unit/schemas/generate.h"

static q_slice doc(void **state, const char *json)
{
    q_err err = Q_ERR_INIT;
    q_slice d = Q_SLICE_NONE;
    if (q_doc_from_json(*state, q_slice_cstr(json), &d, &err) != Q_OK)
        fail_msg("%s: %s", json, err.message);
    return d;
}

static void reads_as(q_slice d, const char *json)
{
    q_buf b = Q_BUF_INIT(1 << 24);
    q_doc_to_json_buf(d, &b);
    assert_false(b.failed);
    assert_slice(q_buf_slice(&b), json);
    q_buf_free(&b);
}

/* "a.b[2].c" as steps */
static size_t path(void **state, const char *text, q_step steps[Q_MAX_DOC_STEPS + 2])
{
    size_t n = 0;
    (void)state;
    while (*text) {
        if (*text == '[') {
            int64_t i = 0;
            for (text++; *text != ']'; text++)
                i = i * 10 + (*text - '0');
            steps[n++] = (q_step){ .is_index = true, .index = i };
            text++;
        } else {
            const char *from = text += *text == '.';
            while (*text && *text != '.' && *text != '[')
                text++;
            steps[n++] = (q_step){ .key = q_slice_of(from, (size_t)(text - from)) };
        }
    }
    return n;
}

static void json_of_every_kind_goes_in_and_comes_out_in_order(void **state)
{
    static const char *const same[] = { "{}",
                                        "[]",
                                        "{\"b\":1,\"a\":2}",
                                        "[null,true,false,0,-1,9223372036854775807,-9223372036854775808]",
                                        "[1.0,0.5,-2.5e-07,1e+300]",
                                        "[\"\",\"\xc3\xa9\",\"\\\"\\\\\\n\\t\\u0001\"]",
                                        "{\"a\":{\"b\":[{\"c\":[[]]}]}}",
                                        "5",
                                        "\"x\"",
                                        "null",
                                        "true",
                                        "1.5",
                                        "[\"http://x/y\"]" };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        reads_as(doc(state, same[i]), same[i]);
    reads_as(doc(state, " { \"a\" : [ 1 , 2e0 ] } \n"), "{\"a\":[1,2.0]}");
    reads_as(doc(state, "[\"\\u20ac\\ud83d\\ude9a\\/\"]"), "[\"\xe2\x82\xac\xf0\x9f\x9a\x9a/\"]");
}

static void json_that_no_document_can_hold_is_refused(void **state)
{
    static const char *const bad[] = { "",
                                       "{",
                                       "[1,]",
                                       "{\"a\":1,\"a\":2}",
                                       "[9223372036854775808]",
                                       "[-9223372036854775809]",
                                       "[1e999]",
                                       "[NaN]",
                                       "[Infinity]",
                                       "[\"\\u0000\"]",
                                       "{\"a\\u0000\":1}",
                                       "[\"\xff\"]",
                                       "[1] x",
                                       "{'a':1}",
                                       "[01]",
                                       "[\"\\ud800\"]",
                                       "// c\n[]",
                                       "{\"a\":{\"b\":1,\"b\":1}}" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        q_err err = Q_ERR_INIT;
        q_slice d;
        if (q_doc_from_json(*state, q_slice_cstr(bad[i]), &d, &err) == Q_OK)
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(err.code, Q_E_QQL_VALUE);
    }
}

static q_slice nested(void **state, int depth)
{
    q_buf b = Q_BUF_INIT(1 << 16);
    for (int i = 0; i < depth; i++)
        q_buf_add_cstr(&b, i % 2 ? "{\"a\":" : "[");
    q_buf_add_cstr(&b, "1");
    for (int i = depth - 1; i >= 0; i--)
        q_buf_add_cstr(&b, i % 2 ? "}" : "]");
    q_slice s = q_arena_copy(*state, q_buf_slice(&b));
    q_buf_free(&b);
    return s;
}

static void depth_is_bounded_at_its_maximum(void **state)
{
    q_err err = Q_ERR_INIT;
    q_slice d;
    assert_int_equal(q_doc_from_json(*state, nested(state, Q_MAX_DOC_DEPTH), &d, &err), Q_OK);
    assert_int_equal(q_doc_validate(d, &err), Q_OK);
    q_buf b = Q_BUF_INIT(1 << 16);
    q_doc_to_json_buf(d, &b);
    assert_true(q_slice_eq(q_buf_slice(&b), nested(state, Q_MAX_DOC_DEPTH)));
    assert_int_equal(q_doc_from_json(*state, nested(state, Q_MAX_DOC_DEPTH + 1), &d, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_DOCUMENT_LIMIT);
    assert_int_equal(q_doc_from_json(*state, nested(state, 2000), &d, &err), Q_FAIL);
    for (int depth = Q_MAX_DOC_DEPTH; depth <= 100; depth++) {
        q_buf_clear(&b);
        for (int i = 0; i < depth; i++)
            q_mp_pack_array(&b, 1);
        q_mp_pack_nil(&b);
        q_err why = Q_ERR_INIT;
        assert_int_equal(q_doc_validate(q_buf_slice(&b), &why), depth == Q_MAX_DOC_DEPTH ? Q_OK : Q_FAIL);
        assert_true(depth == Q_MAX_DOC_DEPTH || why.code == Q_E_DOCUMENT_LIMIT);
    }
    q_buf_free(&b);
}

static void size_is_bounded_at_its_maximum(void **state)
{
    q_err err = Q_ERR_INIT;
    q_buf b = Q_BUF_INIT(1 << 22);
    q_slice d = Q_SLICE_NONE;
    const size_t text = Q_MAX_DOC_BYTES - 6; /* fixarray 1, str 32 header 5 */
    q_buf_add_cstr(&b, "[\"");
    for (size_t i = 0; i < text; i++)
        q_buf_add_byte(&b, 'x');
    q_buf_add_cstr(&b, "\"]");
    assert_int_equal(q_doc_from_json(*state, q_buf_slice(&b), &d, &err), Q_OK);
    assert_int_equal(d.len, Q_MAX_DOC_BYTES);
    assert_int_equal(q_doc_validate(d, &err), Q_OK);
    q_value one = { .type = Q_T_BOOL, .b = true };
    assert_int_equal(q_doc_append(*state, d, NULL, 0, &one, &d, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_DOCUMENT_LIMIT);
    b.len -= 2;
    q_buf_add_cstr(&b, "x\"]");
    assert_int_equal(q_doc_from_json(*state, q_buf_slice(&b), &d, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_DOCUMENT_LIMIT);
    q_buf_free(&b);
}

static void bytes_that_are_no_document_are_refused(void **state)
{
    (void)state;
    static const q_slice bad[] = { { "", 0 },
                                   Q_SLICE_LIT("\x91"),
                                   Q_SLICE_LIT("\x90\x90"),
                                   Q_SLICE_LIT("\xc1"),
                                   Q_SLICE_LIT("\x91\xc4\x01x") /* bin */,
                                   Q_SLICE_LIT("\x91\xd4\x01x") /* ext */,
                                   Q_SLICE_LIT("\x91\xca\0\0\0\0") /* float 32 */,
                                   Q_SLICE_LIT("\x81\x01\x01") /* a key that is no string */,
                                   Q_SLICE_LIT("\x82\xa1"
                                               "a\x01\xa1"
                                               "a\x02") /* a key twice */,
                                   Q_SLICE_LIT("\x91\x82\xa0\x01\xa0\x02") /* the empty one, too */,
                                   Q_SLICE_LIT("\x81\x90\x01") /* a key that is a list */,
                                   Q_SLICE_LIT("\x82\xa1"
                                               "a\x81\xa1"
                                               "b\x01\x81\x01\x02\x03") /* or a map */,
                                   Q_SLICE_LIT("\x91\xa2\xc3(") /* no UTF-8 */,
                                   Q_SLICE_LIT("\x91\xa1\0") /* NUL */,
                                   Q_SLICE_LIT("\x91\xcf\x80\0\0\0\0\0\0\0") /* 2^63 */,
                                   Q_SLICE_LIT("\x91\xcb\x7f\xf0\0\0\0\0\0\0") /* infinite */,
                                   Q_SLICE_LIT("\x91\xcb\x7f\xf8\0\0\0\0\0\0") /* NaN */,
                                   Q_SLICE_LIT("\xdd\xff\xff\xff\xff"),
                                   Q_SLICE_LIT("\xdf\x80\0\0\0"),
                                   Q_SLICE_LIT("\xc9\xff\xff\xff\xff\x01") /* ext 32 whose length wraps */,
                                   Q_SLICE_LIT("\xdb\xff\xff\xff\xffx") };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        q_err err = Q_ERR_INIT;
        if (q_doc_validate(bad[i], &err) == Q_OK)
            fail_msg("document %zu was taken", i);
        assert_false(q_doc_equal(bad[i], Q_SLICE_LIT("\x90")));
    }
}

static void keys_of_large_objects_are_unique_too(void **state)
{
    q_err err = Q_ERR_INIT;
    q_buf b = Q_BUF_INIT(1 << 20);
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        q_buf_clear(&b);
        q_mp_pack_map(&b, 500);
        for (int i = 0; i < 500; i++) {
            char key[16];
            int n = snprintf(key, sizeof key, "%d", (twice && i == 499 ? 7 : i * 37 % 500));
            q_mp_str(&b, q_slice_of(key, (size_t)n));
            q_mp_pack_nil(&b);
        }
        assert_int_equal(q_doc_validate(q_buf_slice(&b), &err), twice ? Q_FAIL : Q_OK);
    }
    assert_non_null(strstr(err.message, "\"7\""));
    q_buf_free(&b);
}

static void equality_knows_no_key_order_and_no_number_form(void **state)
{
    static const struct { const char *a, *b; bool equal;
    } cases[] = { { "{\"a\":1,\"b\":[1,{}]}", "{\"b\":[1,{}],\"a\":1}", true },
                  { "[1]", "[1.0]", true },
                  { "[9007199254740993]", "[9007199254740992.0]", false },
                  { "[1,2]", "[2,1]", false },
                  { "{\"a\":1}", "{\"b\":1}", false },
                  { "{\"a\":1}", "{\"a\":1,\"b\":null}", false },
                  { "[true]", "[1]", false },
                  { "[null]", "[false]", false },
                  { "[\"1\"]", "[1]", false },
                  { "{}", "[]", false },
                  { "{\"a\":{\"x\":1,\"y\":2}}", "{\"a\":{\"y\":2,\"x\":1}}", true },
                  { "{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}", false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(q_doc_equal(doc(state, cases[i].a), doc(state, cases[i].b)), cases[i].equal);
        assert_int_equal(q_doc_equal(doc(state, cases[i].b), doc(state, cases[i].a)), cases[i].equal);
    }
}

static void paths_lead_to_typed_values_or_nothing(void **state)
{
    q_slice d =
        doc(state, "{\"name\":\"Al\",\"age\":7,\"h\":1.5,\"ok\":true,\"no\":null,\"a\":[10,{\"b\":[\"x\"]}],\"o\":{\"k\":{\"z\":1}}}");
    static const struct {
        const char *path;
        q_type type;
        const char *text;
    } cases[] = { { "name", Q_T_STRING, "Al" },  { "age", Q_T_INT, "7" },          { "h", Q_T_FLOAT, "1.5" },
                  { "ok", Q_T_BOOL, "true" },    { "no", Q_T_NULL, "null" },       { "none", Q_T_NULL, "null" },
                  { "a[0]", Q_T_INT, "10" },     { "a[1].b[0]", Q_T_STRING, "x" }, { "a[2]", Q_T_NULL, "null" },
                  { "a.b", Q_T_NULL, "null" },   { "name.x", Q_T_NULL, "null" },   { "name[0]", Q_T_NULL, "null" },
                  { "o[0]", Q_T_NULL, "null" },  { "o.k", Q_T_DOC, "{\"z\":1}" },  { "a", Q_T_DOC, "[10,{\"b\":[\"x\"]}]" },
                  { "no.x.y", Q_T_NULL, "null" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        q_step steps[Q_MAX_DOC_STEPS + 2];
        q_err err = Q_ERR_INIT;
        q_value v;
        q_buf b = Q_BUF_INIT(1 << 16);
        assert_int_equal(q_doc_get(*state, d, steps, path(state, cases[i].path, steps), &v, &err), Q_OK);
        if (v.type != cases[i].type)
            fail_msg("%s is %s", cases[i].path, q_type_name(v.type));
        q_value_text(&v, &b);
        assert_slice(q_buf_slice(&b), cases[i].text);
        q_buf_free(&b);
    }
    q_err err = Q_ERR_INIT;
    q_value v;
    assert_int_equal(q_doc_get(*state, d, NULL, 0, &v, &err), Q_OK);
    assert_true(v.type == Q_T_DOC && v.s.ptr == d.ptr);
    q_step negative = { .is_index = true, .index = -1 };
    assert_int_equal(q_doc_get(*state, doc(state, "[1]"), &negative, 1, &v, &err), Q_OK);
    assert_int_equal(v.type, Q_T_NULL);
    assert_int_equal(q_doc_get(*state, Q_SLICE_LIT("\x92"), &negative, 1, &v, &err), Q_FAIL);
}

static void changes_at_a_path_make_what_is_missing(void **state)
{
    static const struct {
        const char *doc, *path, *value, *result;
    } cases[] = { { "{}", "a", "1", "{\"a\":1}" },
                  { "", "a.b", "\"x\"", "{\"a\":{\"b\":\"x\"}}" },
                  { "{\"a\":1,\"b\":2}", "a", "[3]", "{\"a\":[3],\"b\":2}" },
                  { "{\"a\":null}", "a.b", "1", "{\"a\":{\"b\":1}}" },
                  { "{\"a\":[1,2]}", "a[1]", "5", "{\"a\":[1,5]}" },
                  { "{\"a\":[1,2]}", "a[2]", "5", "{\"a\":[1,2,5]}" },
                  { "{}", "a[0].b", "5", "{\"a\":[{\"b\":5}]}" },
                  { "{\"a\":{\"b\":1,\"c\":2}}", "a.b", NULL, "{\"a\":{\"c\":2}}" },
                  { "{\"a\":1}", "b.c", NULL, "{\"a\":1}" },
                  { "{\"a\":[1,2]}", "a[1]", NULL, "{\"a\":[1]}" },
                  { "{\"a\":[1,2]}", "a[0]", NULL, "{\"a\":[null,2]}" },
                  { "{\"a\":1}", "a.b", NULL, "{\"a\":1}" },
                  { "{\"a\":1}", "", "{\"z\":1}", "{\"z\":1}" },
                  { "{\"a\":1}", "a.b", "1", NULL },
                  { "{\"a\":[1]}", "a[2]", "1", NULL },
                  { "{\"a\":[1]}", "a.b", "1", NULL },
                  { "{\"a\":{}}", "a[0]", "1", NULL },
                  { "", "a", NULL, "{}" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        q_step steps[Q_MAX_DOC_STEPS + 2];
        q_err err = Q_ERR_INIT;
        q_value v = Q_NULL;
        q_slice out, before = cases[i].doc[0] ? doc(state, cases[i].doc) : Q_SLICE_NONE;
        if (cases[i].value)
            assert_int_equal(q_doc_to_value(doc(state, cases[i].value), &v, &err), Q_OK);
        q_rc rc = q_doc_set(*state, before, steps, path(state, cases[i].path, steps), &v, &out, &err);
        if ((rc == Q_OK) != (cases[i].result != NULL))
            fail_msg("%s at %s: %s", cases[i].doc, cases[i].path, err.message);
        if (rc == Q_OK)
            reads_as(out, cases[i].result);
        else
            assert_int_equal(err.code, Q_E_QQL_VALUE);
        if (before.len)
            reads_as(before, cases[i].doc); /* the source is as it was */
    }
}

static void arrays_take_items_on_and_off(void **state)
{
    static const struct { const char *doc, *path, *items, *appended, *removed;
    } cases[] = { { "{\"a\":[1,2]}", "a", "[2,3]", "{\"a\":[1,2,2,3]}", "{\"a\":[1]}" },
                  { "{\"a\":[1,2]}", "a", "2", "{\"a\":[1,2,2]}", "{\"a\":[1]}" },
                  { "{}", "a.b", "[1]", "{\"a\":{\"b\":[1]}}", "{}" },
                  { "{\"a\":null}", "a", "[]", "{\"a\":[]}", "{\"a\":null}" },
                  { "{\"a\":5}", "a", "[1]", NULL, NULL },
                  { "[1,[2]]", "", "[[2]]", "[1,[2],[2]]", "[1]" },
                  { "{\"a\":[{\"x\":1},1.0]}", "a", "[{\"x\":1.0},1]", "{\"a\":[{\"x\":1},1.0,{\"x\":1.0},1]}", "{\"a\":[]}" },
                  { "{\"a\":{\"b\":[\"x\"]}}", "a.b", "\"x\"", "{\"a\":{\"b\":[\"x\",\"x\"]}}", "{\"a\":{\"b\":[]}}" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        q_step steps[Q_MAX_DOC_STEPS + 2];
        q_err err = Q_ERR_INIT;
        q_value v;
        q_slice out;
        assert_int_equal(q_doc_to_value(doc(state, cases[i].items), &v, &err), Q_OK);
        size_t n = path(state, cases[i].path, steps);
        q_rc rc = q_doc_append(*state, doc(state, cases[i].doc), steps, n, &v, &out, &err);
        assert_int_equal(rc, cases[i].appended ? Q_OK : Q_FAIL);
        if (rc == Q_OK)
            reads_as(out, cases[i].appended);
        rc = q_doc_remove(*state, doc(state, cases[i].doc), steps, n, &v, &out, &err);
        assert_int_equal(rc, cases[i].removed ? Q_OK : Q_FAIL);
        if (rc == Q_OK)
            reads_as(out, cases[i].removed);
    }
}

static void a_change_cannot_make_a_document_too_deep(void **state)
{
    q_err err = Q_ERR_INIT;
    q_step steps[Q_MAX_DOC_STEPS + 1];
    q_value v = { .type = Q_T_INT, .i = 1 };
    q_slice out;
    for (int i = 0; i <= Q_MAX_DOC_STEPS; i++)
        steps[i] = (q_step){ .key = Q_SLICE_LIT("a") };
    assert_int_equal(q_doc_set(*state, Q_SLICE_NONE, steps, Q_MAX_DOC_STEPS, &v, &out, &err), Q_OK);
    v = (q_value){ .type = Q_T_DOC, .s = Q_SLICE_LIT("\x90") };
    assert_int_equal(q_doc_set(*state, out, steps, Q_MAX_DOC_STEPS, &v, &out, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_DOCUMENT_LIMIT);
    assert_int_equal(q_doc_set(*state, Q_SLICE_NONE, steps, Q_MAX_DOC_STEPS + 1, &Q_NULL, &out, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_DOCUMENT_LIMIT);
}

static void values_become_documents_and_json_rows(void **state)
{
    q_value ids[2] = { { .type = Q_T_STRING, .s = Q_SLICE_LIT("a") }, { .type = Q_T_INT, .i = 5 } };
    const struct { q_value v; bool many; const char *in_document, *in_row;
    } cases[] = { { Q_NULL, false, "null", "null" },
                  { { .type = Q_T_BOOL, .b = true }, false, "true", "true" },
                  { { .type = Q_T_INT, .i = -3 }, false, "-3", "-3" },
                  { { .type = Q_T_FLOAT, .f = 2 }, false, "2.0", "2.0" },
                  { { .type = Q_T_DECIMAL, .coefficient = 8950, .scale = 2 }, false, "\"89.5\"", "\"89.5\"" },
                  { { .type = Q_T_STRING, .s = Q_SLICE_LIT("a\"b") }, false, "\"a\\\"b\"", "\"a\\\"b\"" },
                  { { .type = Q_T_UUID }, false, "\"00000000-0000-0000-0000-000000000000\"", "\"00000000-0000-0000-0000-000000000000\"" },
                  { { .type = Q_T_TIME, .i = 0 }, false, "\"1970-01-01T00:00:00Z\"", "\"1970-01-01T00:00:00Z\"" },
                  { { .type = Q_T_DURATION, .i = INT64_C(97200000000) }, false, "\"P1DT3H\"", "\"P1DT3H\"" },
                  { { .type = Q_T_BYTES, .s = Q_SLICE_LIT("hello") }, false, "\"aGVsbG8=\"", "\"aGVsbG8=\"" },
                  { { .type = Q_T_DOC, .s = Q_SLICE_LIT("\x91\x01") }, false, "[1]", "[1]" },
                  { { .type = Q_T_RELATION, .rel = { ids, 2 } }, true, "[\"a\",5]", "[\"a\",5]" },
                  { { .type = Q_T_RELATION, .rel = { ids, 1 } }, false, "[\"a\"]", "\"a\"" },
                  { { .type = Q_T_RELATION, .rel = { NULL, 0 } }, true, "[]", "[]" },
                  { { .type = Q_T_RELATION, .rel = { NULL, 0 } }, false, "[]", "null" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        q_err err = Q_ERR_INIT;
        q_slice d;
        assert_int_equal(q_doc_from_value(*state, &cases[i].v, &d, &err), Q_OK);
        reads_as(d, cases[i].in_document);
        const unsigned char *text;
        size_t n;
        yajl_gen json = yajl_gen_alloc(NULL);
        assert_true(q_value_to_json(&cases[i].v, cases[i].many, json));
        yajl_gen_get_buf(json, &text, &n);
        assert_slice(q_slice_of(text, n), cases[i].in_row);
        yajl_gen_free(json);
    }
}

static void documents_are_made_of_parts(void **state)
{
    q_err err = Q_ERR_INIT;
    q_slice keys[] = { Q_SLICE_LIT("id"), Q_SLICE_LIT("in"), Q_SLICE_LIT("id") }, inner, out;
    q_value values[] = { { .type = Q_T_DURATION, .i = 1000000 }, Q_NULL, { .type = Q_T_BOOL } };
    assert_int_equal(q_doc_make_array(*state, values, 2, &inner, &err), Q_OK);
    values[1] = (q_value){ .type = Q_T_DOC, .s = inner };
    assert_int_equal(q_doc_make_map(*state, keys, values, 2, &out, &err), Q_OK);
    reads_as(out, "{\"id\":\"PT1S\",\"in\":[\"PT1S\",null]}");
    assert_int_equal(q_doc_make_map(*state, keys, values, 3, &out, &err), Q_FAIL); /* "id" twice */
    assert_int_equal(q_doc_make_map(*state, NULL, NULL, 0, &out, &err), Q_OK);
    reads_as(out, "{}");
}

static void any_document_goes_through_json_and_back(void **state)
{
    gen g = { 21, *state };
    for (int i = 0; i < 3000; i++) {
        q_err err = Q_ERR_INIT;
        q_slice d = gen_doc(&g), back;
        q_buf b = Q_BUF_INIT(1 << 24);
        assert_int_equal(q_doc_validate(d, &err), Q_OK);
        q_doc_to_json_buf(d, &b);
        assert_false(b.failed);
        assert_int_equal(q_doc_from_json(*state, q_buf_slice(&b), &back, &err), Q_OK);
        assert_true(q_doc_equal(d, back));
        q_buf_free(&b);
    }
}

/* Sets at a random path, then reads the same path: the value is there, and setting NULL takes it away. */
static void what_is_set_is_read_at_the_same_path(void **state)
{
    gen g = { 22, *state };
    int changed = 0;
    for (int i = 0; i < 3000; i++) {
        q_err err = Q_ERR_INIT;
        q_step steps[3];
        q_slice d = gen_doc(&g), out, gone;
        size_t n = 1 + gen_below(&g, 3);
        for (size_t s = 0; s < n; s++)
            steps[s] = gen_below(&g, 3) ? (q_step){ .key = q_arena_printf(*state, "k%u", gen_below(&g, 6)) }
                                        : (q_step){ .is_index = true, .index = gen_below(&g, 3) };
        q_value v = gen_value_of(&g, (q_type[]){ Q_T_INT, Q_T_STRING, Q_T_DOC, Q_T_FLOAT }[gen_below(&g, 4)]), got;
        if (q_doc_set(*state, d, steps, n, &v, &out, &err) != Q_OK)
            continue;
        changed++;
        assert_int_equal(q_doc_validate(out, &err), Q_OK);
        assert_int_equal(q_doc_get(*state, out, steps, n, &got, &err), Q_OK);
        assert_true(q_value_same(&v, &got));
        assert_int_equal(q_doc_set(*state, out, steps, n, &Q_NULL, &gone, &err), Q_OK);
        assert_int_equal(q_doc_get(*state, gone, steps, n, &got, &err), Q_OK);
        assert_int_equal(got.type, Q_T_NULL);
    }
    assert_true(changed > 500);
}

static void damaged_bytes_are_refused_or_read_but_never_more(void **state)
{
    gen g = { 23, *state };
    for (int i = 0; i < 30000; i++) {
        q_err err = Q_ERR_INIT;
        q_slice d = gen_doc(&g);
        char *copy = malloc(d.len); /* malloc: so that a sanitizer sees a read past the end */
        memcpy(copy, d.ptr, d.len);
        size_t n = d.len;
        if (gen_below(&g, 3) == 0)
            n = gen_below(&g, (uint32_t)n + 1);
        for (uint32_t k = gen_below(&g, 4); k > 0 && n; k--)
            copy[gen_below(&g, (uint32_t)n)] = (char)gen_u64(&g);
        q_slice damaged = q_slice_of(copy, n), out;
        q_step step = { .key = Q_SLICE_LIT("k3") };
        q_value v;
        q_buf b = Q_BUF_INIT(1 << 24);
        bool valid = q_doc_validate(damaged, &err) == Q_OK;
        bool read = q_doc_get(*state, damaged, &step, 1, &v, &err) == Q_OK;
        bool set = q_doc_set(*state, damaged, &step, 1, &Q_NULL, &out, &err) == Q_OK;
        q_doc_to_json_buf(damaged, &b);
        if (valid)
            assert_true(read && set && !b.failed);
        (void)q_doc_equal(damaged, d);
        q_buf_free(&b);
        free(copy);
        if (i % 100 == 0)
            q_arena_reset(*state);
    }
}

static void out_of_memory_is_told_at_every_allocation(void **state)
{
    const char *json = "{\"a\":[1,{\"b\":2}],\"c\":\"x\"}";
    q_slice d = doc(state, json);
    q_step steps[] = {
        { .key = Q_SLICE_LIT("a") }, { .is_index = true, .index = 1 }, { .key = Q_SLICE_LIT("n") }, { .key = Q_SLICE_LIT("m") }
    };
    q_value time = { .type = Q_T_TIME, .i = 0 };
    uint64_t nth = 1;
    for (;; nth++) {
        q_err err = Q_ERR_INIT;
        q_slice out;
        q_arena_fail_after(nth);
        q_rc rc = q_doc_set(*state, d, steps, 4, &time, &out, &err);
        q_arena_fail_after(0);
        if (rc == Q_OK) {
            reads_as(out, "{\"a\":[1,{\"b\":2,\"n\":{\"m\":\"1970-01-01T00:00:00Z\"}}],\"c\":\"x\"}");
            break;
        }
        assert_int_equal(err.code, Q_E_LIMIT_MEMORY);
    }
    assert_true(nth > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(json_of_every_kind_goes_in_and_comes_out_in_order),
        ARENA_TEST(json_that_no_document_can_hold_is_refused),
        ARENA_TEST(depth_is_bounded_at_its_maximum),
        ARENA_TEST(size_is_bounded_at_its_maximum),
        ARENA_TEST(bytes_that_are_no_document_are_refused),
        ARENA_TEST(keys_of_large_objects_are_unique_too),
        ARENA_TEST(equality_knows_no_key_order_and_no_number_form),
        ARENA_TEST(paths_lead_to_typed_values_or_nothing),
        ARENA_TEST(changes_at_a_path_make_what_is_missing),
        ARENA_TEST(arrays_take_items_on_and_off),
        ARENA_TEST(a_change_cannot_make_a_document_too_deep),
        ARENA_TEST(values_become_documents_and_json_rows),
        ARENA_TEST(documents_are_made_of_parts),
        ARENA_TEST(any_document_goes_through_json_and_back),
        ARENA_TEST(what_is_set_is_read_at_the_same_path),
        ARENA_TEST(damaged_bytes_are_refused_or_read_but_never_more),
        ARENA_TEST(out_of_memory_is_told_at_every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
