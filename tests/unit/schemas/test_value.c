#include "tests/unit/schemas/cmocka_setup.h"
#include "tests/unit/schemas/generate.h"

static q_value parse(void **state, q_type type, const char *text)
{
    q_err err = Q_ERR_INIT;
    q_value v = Q_NULL;
    if (q_value_parse(*state, type, q_slice_cstr(text), &v, &err) != Q_OK)
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(v.type, type);
    return v;
}

static void shows(const q_value *v, const char *text)
{
    q_buf b = Q_BUF_INIT(1 << 22);
    q_value_text(v, &b);
    assert_false(b.failed);
    assert_slice(q_buf_slice(&b), text);
    q_buf_free(&b);
}

static void every_type_has_one_canonical_text(void **state)
{
    static const struct { q_type type; const char *text, *canonical;
    } cases[] = {
        { Q_T_BOOL, "true", "true" },
        { Q_T_BOOL, "false", "false" },
        { Q_T_INT, "-42", "-42" },
        { Q_T_FLOAT, "89.50", "89.5" },
        { Q_T_DECIMAL, "89.50", "89.5" },
        { Q_T_STRING, "na\xc3\xafve", "na\xc3\xafve" },
        { Q_T_STRING, "", "" },
        { Q_T_UUID, "123E4567-E89B-12D3-A456-426614174000", "123e4567-e89b-12d3-a456-426614174000" },
        { Q_T_TIME, "2024-05-01T14:30:00.250+02:00", "2024-05-01T12:30:00.25Z" },
        { Q_T_DURATION, "1d 3h", "P1DT3H" },
        { Q_T_BYTES, "aGVsbG8=", "aGVsbG8=" },
        { Q_T_BYTES, "", "" },
        { Q_T_DOC, "{ \"b\": [1, 2.0, null], \"a\": \"x\" }", "{\"b\":[1,2.0,null],\"a\":\"x\"}" },
        { Q_T_RELATION, "driver_004", "driver_004" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        q_value v = parse(state, cases[i].type, cases[i].text);
        shows(&v, cases[i].canonical);
    }
    shows(&Q_NULL, "null");
    q_value ids[2] = { { .type = Q_T_STRING, .s = Q_SLICE_LIT("a") }, { .type = Q_T_INT, .i = 5 } };
    q_value many = { .type = Q_T_RELATION, .rel = { ids, 2 } };
    shows(&many, "[a, 5]");
}

static void text_of_no_value_of_the_type_is_refused(void **state)
{
    static const struct {
        q_type type;
        const char *text;
    } cases[] = { { Q_T_BOOL, "TRUE" },
                  { Q_T_BOOL, "" },
                  { Q_T_INT, "1.0" },
                  { Q_T_FLOAT, "nan" },
                  { Q_T_DECIMAL, "1e99" },
                  { Q_T_STRING, "\xff" },
                  { Q_T_STRING, "\xc0\x80" },
                  { Q_T_STRING, "\xed\xa0\x80" },
                  { Q_T_STRING, "\xf4\x90\x80\x80" },
                  { Q_T_STRING, "cut \xe2\x82" },
                  { Q_T_UUID, "123e4567e89b12d3a456426614174000" },
                  { Q_T_UUID, "123e4567-e89b-12d3-a456-42661417400g" },
                  { Q_T_UUID, "123e4567-e89b-12d3-a456-4266141740001" },
                  { Q_T_UUID, "123e45670e89b-12d3-a456-426614174000" },
                  { Q_T_TIME, "now" },
                  { Q_T_DURATION, "soon" },
                  { Q_T_BYTES, "aGVsbG8" },
                  { Q_T_BYTES, "a=" },
                  { Q_T_BYTES, "aGVs bG8=" },
                  { Q_T_BYTES, "aGVsbG8=x" },
                  { Q_T_DOC, "{" },
                  { Q_T_RELATION, "" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        q_err err = Q_ERR_INIT;
        q_value v;
        if (q_value_parse(*state, cases[i].type, q_slice_cstr(cases[i].text), &v, &err) == Q_OK)
            fail_msg("\"%s\" was taken as %s", cases[i].text, q_type_name(cases[i].type));
        assert_int_equal(err.code, Q_E_QQL_VALUE);
        assert_true(err.message[0] != '\0');
    }
    q_err err = Q_ERR_INIT;
    q_value v;
    assert_int_equal(q_value_parse(*state, Q_T_NULL, Q_SLICE_LIT("x"), &v, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_TYPE);
    assert_int_equal(q_value_parse(*state, Q_T_STRING, q_slice_of("a\0b", 3), &v, &err), Q_FAIL);
}

static void strings_and_bytes_are_bounded_at_their_maximum(void **state)
{
    q_err err = Q_ERR_INIT;
    q_value v;
    char *text = q_arena_alloc(*state, 2 * Q_MAX_STRING_BYTES);
    memset(text, 'A', 2 * Q_MAX_STRING_BYTES);
    assert_int_equal(q_value_parse(*state, Q_T_STRING, q_slice_of(text, Q_MAX_STRING_BYTES), &v, &err), Q_OK);
    assert_int_equal(q_value_parse(*state, Q_T_STRING, q_slice_of(text, Q_MAX_STRING_BYTES + 1), &v, &err), Q_FAIL);
    q_buf b = Q_BUF_INIT(1 << 22);
    for (size_t n = Q_MAX_STRING_BYTES; n <= Q_MAX_STRING_BYTES + 1; n++) {
        q_buf_clear(&b);
        q_value bytes = { .type = Q_T_BYTES, .s = q_slice_of(text, n) };
        q_value_text(&bytes, &b);
        assert_int_equal(q_value_parse(*state, Q_T_BYTES, q_buf_slice(&b), &v, &err), n == Q_MAX_STRING_BYTES ? Q_OK : Q_FAIL);
    }
    q_buf_free(&b);
}

static void every_scalar_reads_back_from_its_text(void **state)
{
    gen g = { 11, *state };
    for (int i = 0; i < 50000; i++) {
        q_value v = gen_value_of(&g, (q_type)(Q_T_BOOL + (int)gen_below(&g, Q_T_DOC))), back;
        q_err err = Q_ERR_INIT;
        q_buf b = Q_BUF_INIT(1 << 22);
        if (v.type == Q_T_RELATION)
            continue;
        q_value_text(&v, &b);
        if (q_value_parse(*state, v.type, q_buf_slice(&b), &back, &err) != Q_OK)
            fail_msg("%.*s: %s", Q_SLICE_FMT(q_buf_slice(&b)), err.message);
        assert_true(q_value_same(&v, &back));
        q_buf_free(&b);
    }
}

static void keys_sort_as_their_values_and_read_back(void **state)
{
    gen g = { 12, *state };
    q_buf ka = Q_BUF_INIT(1 << 12), kb = Q_BUF_INIT(1 << 12);
    for (int i = 0; i < 100000; i++) {
        q_type t = (q_type)(Q_T_BOOL + (int)gen_below(&g, Q_T_BYTES));
        q_value a = gen_value_of(&g, t), b = gen_value_of(&g, t), back;
        q_buf_clear(&ka);
        q_buf_clear(&kb);
        q_value_key(&a, &ka);
        q_value_key(&b, &kb);
        int values = q_value_cmp(&a, &b), keys = q_slice_cmp(q_buf_slice(&ka), q_buf_slice(&kb));
        if ((values > 0) - (values < 0) != (keys > 0) - (keys < 0))
            fail_msg("keys of %s sort otherwise", q_type_name(t));
        assert_int_equal(q_value_from_key(q_buf_slice(&ka), &back), Q_OK);
        assert_true(q_value_same(&a, &back));
    }
    q_buf_free(&ka);
    q_buf_free(&kb);
}

static void bytes_that_are_no_key_are_refused(void **state)
{
    (void)state;
    static const q_slice bad[] = { { "", 0 }, Q_SLICE_LIT("x"), Q_SLICE_LIT("i1234567"), Q_SLICE_LIT("i123456789"), Q_SLICE_LIT("u123"),
        Q_SLICE_LIT("s\xff"), { "s\0", 2 }, Q_SLICE_LIT("b\2"), Q_SLICE_LIT("b"), Q_SLICE_LIT("f\xff\xff\xff\xff\xff\xff\xff\xff"),
        Q_SLICE_LIT("d\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0"),
        Q_SLICE_LIT("d\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff") };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        q_value v;
        if (q_value_from_key(bad[i], &v) == Q_OK)
            fail_msg("key %zu was taken", i);
    }
}

static void a_uuid_in_any_case_is_one_id(void **state)
{
    q_value a = parse(state, Q_T_UUID, "ABCDEF00-0000-4000-8000-0000000000fF"),
            b = parse(state, Q_T_UUID, "abcdef00-0000-4000-8000-0000000000ff");
    assert_true(q_value_same(&a, &b));
}

static void ids_are_text_ints_and_uuids_within_bounds(void **state)
{
    q_err err = Q_ERR_INIT;
    char text[Q_MAX_ID_BYTES + 1];
    memset(text, 'x', sizeof text);
    q_value v = { .type = Q_T_STRING, .s = q_slice_of(text, Q_MAX_ID_BYTES) };
    assert_int_equal(q_id_check(&v, &err), Q_OK);
    v.s.len++;
    assert_int_equal(q_id_check(&v, &err), Q_FAIL);
    v.s.len = 0;
    assert_int_equal(q_id_check(&v, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_VALUE);
    v = parse(state, Q_T_FLOAT, "1.5");
    assert_int_equal(q_id_check(&v, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_TYPE);
    v = parse(state, Q_T_INT, "-5");
    assert_int_equal(q_id_check(&v, &err), Q_OK);
}

static void conversions_lose_nothing_or_fail(void **state)
{
    static const struct { q_type from; const char *text; q_type to; const char *result; q_code code;
    } cases[] = {
        { Q_T_INT, "3", Q_T_FLOAT, "3.0", 0 },
        { Q_T_INT, "9007199254740993", Q_T_FLOAT, NULL, Q_E_QQL_VALUE },
        { Q_T_INT, "9223372036854775807", Q_T_FLOAT, NULL, Q_E_QQL_VALUE },
        { Q_T_INT, "-7", Q_T_DECIMAL, "-7", 0 },
        { Q_T_FLOAT, "3.0", Q_T_INT, "3", 0 },
        { Q_T_FLOAT, "3.5", Q_T_INT, NULL, Q_E_QQL_VALUE },
        { Q_T_FLOAT, "1e19", Q_T_INT, NULL, Q_E_QQL_VALUE },
        { Q_T_FLOAT, "-9223372036854775808", Q_T_INT, "-9223372036854775808", 0 },
        { Q_T_FLOAT, "9223372036854775808", Q_T_INT, NULL, Q_E_QQL_VALUE },
        { Q_T_FLOAT, "89.50", Q_T_DECIMAL, "89.5", 0 },
        { Q_T_FLOAT, "0.1", Q_T_DECIMAL, "0.1", 0 },
        { Q_T_FLOAT, "1e-30", Q_T_DECIMAL, NULL, Q_E_QQL_VALUE },
        { Q_T_DECIMAL, "0.1", Q_T_FLOAT, "0.1", 0 },
        { Q_T_DECIMAL, "12345678901234567890.1", Q_T_FLOAT, NULL, Q_E_QQL_VALUE },
        { Q_T_DECIMAL, "5.00", Q_T_INT, "5", 0 },
        { Q_T_DECIMAL, "5.01", Q_T_INT, NULL, Q_E_QQL_VALUE },
        { Q_T_STRING, "1d 3h", Q_T_DURATION, "P1DT3H", 0 },
        { Q_T_STRING, "2024-01-01T00:00:00Z", Q_T_TIME, "2024-01-01T00:00:00Z", 0 },
        { Q_T_STRING, "ABCDEF00-0000-4000-8000-000000000000", Q_T_UUID, "abcdef00-0000-4000-8000-000000000000", 0 },
        { Q_T_STRING, "12.30", Q_T_DECIMAL, "12.3", 0 },
        { Q_T_STRING, "AAEC", Q_T_BYTES, "AAEC", 0 },
        { Q_T_STRING, "!", Q_T_BYTES, NULL, Q_E_QQL_VALUE },
        { Q_T_STRING, "1", Q_T_INT, NULL, Q_E_QQL_TYPE },
        { Q_T_INT, "1", Q_T_STRING, NULL, Q_E_QQL_TYPE },
        { Q_T_BOOL, "true", Q_T_INT, NULL, Q_E_QQL_TYPE },
        { Q_T_INT, "1", Q_T_DURATION, NULL, Q_E_QQL_TYPE },
        { Q_T_STRING, "a", Q_T_RELATION, NULL, Q_E_QQL_TYPE },
        { Q_T_DOC, "3", Q_T_FLOAT, "3.0", 0 },
        { Q_T_DOC, "\"1h\"", Q_T_DURATION, "PT1H", 0 },
        { Q_T_DOC, "null", Q_T_INT, "null", 0 },
        { Q_T_DOC, "[1]", Q_T_INT, NULL, Q_E_QQL_TYPE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        q_err err = Q_ERR_INIT;
        q_value v = parse(state, cases[i].from, cases[i].text), out = Q_NULL;
        v.at_us = 77;
        q_rc rc = q_value_coerce(*state, &v, cases[i].to, &out, &err);
        if ((rc == Q_OK) != (cases[i].result != NULL))
            fail_msg("case %zu (%s): %s", i, cases[i].text, err.message);
        if (rc == Q_OK) {
            shows(&out, cases[i].result);
            assert_true(cases[i].from == Q_T_DOC || out.at_us == 77); /* a sample keeps its time */
        } else {
            assert_int_equal(err.code, cases[i].code);
        }
    }
    q_err err = Q_ERR_INIT;
    q_value out;
    assert_int_equal(q_value_coerce(*state, &Q_NULL, Q_T_UUID, &out, &err), Q_OK);
    assert_int_equal(out.type, Q_T_NULL);
}

static void copies_are_deep_and_say_when_they_do_not_fit(void **state)
{
    gen g = { 13, *state };
    q_arena *other = q_arena_new(0);
    for (int i = 0; i < 2000; i++) {
        q_value v = gen_value(&g), copy;
        assert_true(q_value_copy(other, &v, &copy));
        assert_true(q_value_same(&v, &copy) && v.at_us == copy.at_us);
        if (v.type == Q_T_STRING && v.s.len)
            assert_true(copy.s.ptr != v.s.ptr);
    }
    q_value ids[2] = { { .type = Q_T_STRING, .s = Q_SLICE_LIT("a") }, { .type = Q_T_STRING, .s = Q_SLICE_LIT("b") } };
    q_value many = { .type = Q_T_RELATION, .rel = { ids, 2 } }, copy;
    for (uint64_t nth = 1; nth <= 3; nth++) {
        q_arena_fail_after(nth);
        assert_false(q_value_copy(other, &many, &copy));
        assert_int_equal(copy.type, Q_T_NULL);
    }
    q_arena_fail_after(0);
    q_arena_free(other);
}

static void only_values_of_one_kind_are_comparable(void **state)
{
    (void)state;
    for (int a = 0; a < Q_T_COUNT; a++)
        for (int b = 0; b < Q_T_COUNT; b++) {
            bool numbers = a >= Q_T_INT && a <= Q_T_DECIMAL && b >= Q_T_INT && b <= Q_T_DECIMAL;
            assert_int_equal(q_value_comparable((q_type)a, (q_type)b), numbers || (a == b && a != Q_T_NULL && a != Q_T_DOC));
        }
    q_value one = { .type = Q_T_INT, .i = 1 }, one_float = { .type = Q_T_FLOAT, .f = 1 };
    assert_false(q_value_same(&one, &one_float));
    assert_true(q_value_same(&Q_NULL, &Q_NULL));
}

static void type_names_are_those_of_definitions(void **state)
{
    (void)state;
    for (int t = Q_T_BOOL; t <= Q_T_BYTES; t++)
        assert_int_equal(q_type_from_name(q_slice_cstr(q_type_name((q_type)t))), t);
    assert_int_equal(q_type_from_name(Q_SLICE_LIT("document")), Q_T_NULL);
    assert_int_equal(q_type_from_name(Q_SLICE_LIT("null")), Q_T_NULL);
    assert_int_equal(q_type_from_name(Q_SLICE_LIT("")), Q_T_NULL);
}

static void utf8_is_checked_at_every_alignment(void **state)
{
    (void)state;
    char text[64];
    static const struct {
        const char *bytes;
        bool valid;
    } cases[] = { { "\xc3\xa9", true },
                  { "\xe2\x82\xac", true },
                  { "\xf0\x9f\x9a\x9a", true },
                  { "\x7f", true },
                  { "\x80", false },
                  { "\xc1\xbf", false },
                  { "\xe0\x9f\xbf", false },
                  { "\xf0\x8f\xbf\xbf", false },
                  { "\xf5\x80\x80\x80", false },
                  { "\xc3(", false },
                  { "\xe2\x82(", false } };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (size_t before = 0; before < 20; before++)
            for (size_t after = 0; after < 20; after++) {
                size_t n = strlen(cases[c].bytes);
                memset(text, 'a', sizeof text);
                memcpy(text + before, cases[c].bytes, n);
                assert_int_equal(q_utf8_valid(q_slice_of(text, before + n + after)), cases[c].valid);
                text[before] = '\0';
                assert_false(q_utf8_valid(q_slice_of(text, before + n + after)));
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(every_type_has_one_canonical_text),
        ARENA_TEST(text_of_no_value_of_the_type_is_refused),
        ARENA_TEST(strings_and_bytes_are_bounded_at_their_maximum),
        ARENA_TEST(every_scalar_reads_back_from_its_text),
        ARENA_TEST(keys_sort_as_their_values_and_read_back),
        ARENA_TEST(bytes_that_are_no_key_are_refused),
        ARENA_TEST(a_uuid_in_any_case_is_one_id),
        ARENA_TEST(ids_are_text_ints_and_uuids_within_bounds),
        ARENA_TEST(conversions_lose_nothing_or_fail),
        ARENA_TEST(copies_are_deep_and_say_when_they_do_not_fit),
        ARENA_TEST(only_values_of_one_kind_are_comparable),
        ARENA_TEST(type_names_are_those_of_definitions),
        ARENA_TEST(utf8_is_checked_at_every_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
