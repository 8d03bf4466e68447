/* What expressions are worth: three-valued logic, comparison, arithmetic of every type, LIKE. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "coordinator/eval.h"
#include "quantaql/quantaql.h"

static q_arena *arena;

static q_catalog *catalog; /* one empty bucket */

/* An ASSERT needs no record: its condition is any constant one. */
static const q_expr *condition(const char *text)
{
    q_script *s;
    q_err err = Q_ERR_INIT;
    if (q_ql_parse(arena, q_arena_printf(arena, "ASSERT %s", text), &s, &err) != Q_OK ||
        q_ql_check(arena, s, catalog, Q_SLICE_LIT("b"), NULL, 0, &err) != Q_OK)
        fail_msg("%s: %s", text, err.message);
    return s->stmts[0].where;
}

static q_rc eval(const char *text, bool strict, q_truth *out, q_err *err)
{
    q_env env = { .arena = arena, .strict = strict };
    *err = Q_ERR_INIT;
    return q_eval_truth(&env, condition(text), out, err);
}

typedef struct expected { const char *text; q_truth is; } expected;

static void expect_all(const expected *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        q_truth t;
        q_err err;
        if (eval(e[i].text, true, &t, &err) != Q_OK)
            fail_msg("%s: %s", e[i].text, err.message);
        if (t != e[i].is)
            fail_msg("%s is %s", e[i].text, t == Q_TRUE ? "true" : t == Q_FALSE ? "false" : "unknown");
    }
}
#define EXPECT(table) expect_all(table, sizeof(table) / sizeof *(table))

static void logic_has_three_values(void **state)
{
    (void)state;
    static const expected t[] = {
        { "true AND true", Q_TRUE }, { "true AND false", Q_FALSE }, { "true AND NULL", Q_UNKNOWN }, { "false AND NULL", Q_FALSE },
        { "NULL AND false", Q_FALSE }, { "NULL AND NULL", Q_UNKNOWN }, { "true OR NULL", Q_TRUE }, { "NULL OR true", Q_TRUE },
        { "false OR NULL", Q_UNKNOWN }, { "NULL OR false", Q_UNKNOWN }, { "false OR false", Q_FALSE }, { "NOT NULL", Q_UNKNOWN },
        { "NOT true", Q_FALSE }, { "NOT false", Q_TRUE }, { "NULL", Q_UNKNOWN }, { "NOT (NULL AND false)", Q_TRUE },
    };
    EXPECT(t);
}

static void comparisons_with_null_are_unknown(void **state)
{
    (void)state;
    static const expected t[] = {
        { "1 = NULL", Q_UNKNOWN }, { "NULL = NULL", Q_UNKNOWN }, { "NULL <> 1", Q_UNKNOWN }, { "NULL < 1", Q_UNKNOWN },
        { "NULL IS NULL", Q_TRUE }, { "NULL IS NOT NULL", Q_FALSE }, { "1 IS NULL", Q_FALSE }, { "1 + NULL IS NULL", Q_TRUE },
        { "1 IN (1, NULL)", Q_TRUE }, { "1 IN (2, NULL)", Q_UNKNOWN }, { "1 NOT IN (2, NULL)", Q_UNKNOWN }, { "1 NOT IN (1, NULL)",
                 Q_FALSE },
        { "NULL IN (1)", Q_UNKNOWN }, { "1 IN (2, 3)", Q_FALSE }, { "1 NOT IN (2, 3)", Q_TRUE }, { "2 BETWEEN 1 AND 3", Q_TRUE },
        { "2 BETWEEN 3 AND 1", Q_FALSE }, { "2 BETWEEN NULL AND 1", Q_FALSE }, { "2 BETWEEN NULL AND 3", Q_UNKNOWN },
        { "2 NOT BETWEEN NULL AND 1", Q_TRUE }, { "1 BETWEEN 1 AND 1", Q_TRUE }, { "NULL LIKE 'a'", Q_UNKNOWN }, { "'a' LIKE NULL",
            Q_UNKNOWN },
    };
    EXPECT(t);
}

static void values_compare_by_type(void **state)
{
    (void)state;
    static const expected t[] = {
        { "1 = 1.0", Q_TRUE }, { "9007199254740993 = 9007199254740992.0", Q_FALSE }, { "1 < 1.5", Q_TRUE }, { "'a' < 'b'", Q_TRUE },
        { "'B' < 'a'", Q_TRUE }, { "'' < 'a'", Q_TRUE }, { "false < true", Q_TRUE },
        { "duration('1d') = duration('24h')", Q_TRUE }, { "duration('1d') < duration('25h')", Q_TRUE },
        { "time('2024-01-01T00:00:00Z') = time('2024-01-01T01:00:00+01:00')", Q_TRUE },
        { "{a: 1, b: [1, 2]} = {b: [1, 2], a: 1}", Q_TRUE }, { "{a: 1} <> {a: 2}", Q_TRUE }, { "[1, 2] = [2, 1]", Q_FALSE },
        { "[1] = [1.0]", Q_TRUE },
    };
    EXPECT(t);
}

static void arithmetic_gives_what_sql_gives(void **state)
{
    (void)state;
    static const expected t[] = {
        { "7 / 2 = 3", Q_TRUE }, { "-7 / 2 = -3", Q_TRUE }, { "7 % 3 = 1", Q_TRUE }, { "-7 % 3 = -1", Q_TRUE }, { "7 / 2.0 = 3.5", Q_TRUE },
        { "2 + 3 * 4 = 14", Q_TRUE }, { "(2 + 3) * 4 = 20", Q_TRUE }, { "-(3) = -3", Q_TRUE }, { "1 - -1 = 2", Q_TRUE },
        { "5.5 % 2 = 1.5", Q_TRUE }, { "9223372036854775807 - 1 + 1 = 9223372036854775807", Q_TRUE },
        { "-9223372036854775807 - 1 < 0", Q_TRUE }, { "(-9223372036854775807 - 1) % -1 = 0", Q_TRUE },
        { "time('2024-01-31T12:00:00Z') + duration('1d') = time('2024-02-01T12:00:00Z')", Q_TRUE },
        { "duration('1d') + time('2024-01-31T12:00:00Z') = time('2024-02-01T12:00:00Z')", Q_TRUE },
        { "time('2024-02-01T12:00:00Z') - time('2024-01-31T12:00:00Z') = duration('1d')", Q_TRUE },
        { "time('2024-02-01T12:00:00Z') - duration('1d') = time('2024-01-31T12:00:00Z')", Q_TRUE },
        { "duration('1d') * 2 = duration('2d')", Q_TRUE }, { "0.5 * duration('1d') = duration('12h')", Q_TRUE },
        { "duration('1d') / 2 = duration('12h')", Q_TRUE }, { "duration('1d') / duration('6h') = 4", Q_TRUE },
        { "duration('1h') - duration('2h') = -duration('1h')", Q_TRUE }, { "duration('5h') % duration('2h') = duration('1h')", Q_TRUE },
    };
    EXPECT(t);
}

static void what_does_not_fit_is_an_error_with_its_place(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "9223372036854775807 + 1 > 0", "-9223372036854775807 - 2 < 0", "9223372036854775807 * 2 > 0", "(-9223372036854775807 - 1) / -1 > 0",
        "-(-9223372036854775807 - 1) > 0", "1 / 0 > 0", "1 % 0 > 0", "1.0 / 0 > 0", "1.5 % 0 > 0", "1e308 * 10 > 0", "-1e308 - 1e308 < 0",
        "time('9999-12-31T00:00:00Z') + duration('2d') > time('2024-01-01T00:00:00Z')", "duration('1d') / 0 > duration('1s')",
        "duration('1d') / 0.0 > duration('1s')", "duration('100000000d') * 100 > duration('1s')", "duration('1d') * 1e30 > duration('1s')",
        "duration('1d') / duration('0s') > 1", "duration('1d') % duration('0s') > duration('1s')",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        q_truth t;
        q_err err;
        if (eval(texts[i], false, &t, &err) == Q_OK)
            fail_msg("%s should have failed", texts[i]);
        assert_int_equal(err.code, Q_E_VALUE_OUT_OF_RANGE);
        assert_int_equal(err.line, 1);
        assert_true(err.column >= 8);
    }
}

/* ---- decimals ---- */

static q_value dec(const char *text)
{
    q_value v;
    q_err err;
    if (q_value_parse(arena, Q_T_DECIMAL, q_slice_cstr(text), &v, &err) != Q_OK)
        fail_msg("%s: %s", text, err.message);
    return v;
}

static void decimals_are_exact(void **state)
{
    (void)state;
    static const struct { const char *a; q_op op; const char *b, *is; } t[] = {
        { "0.1", Q_OP_ADD, "0.2", "0.3" }, { "1", Q_OP_SUB, "0.000000000000000001", "0.999999999999999999" },
        { "1.10", Q_OP_MUL, "1.10", "1.21" }, { "1", Q_OP_DIV, "3", "0.333333333333333333" }, { "2", Q_OP_DIV, "3",
            "0.666666666666666667" },
        { "-2", Q_OP_DIV, "3", "-0.666666666666666667" }, { "100", Q_OP_DIV, "8", "12.5" }, { "7.5", Q_OP_MOD, "2", "1.5" },
        { "-7.5", Q_OP_MOD, "2", "-1.5" }, { "1000000", Q_OP_DIV, "0.000001", "1000000000000" },
        { "9999999999999999999999999999999999", Q_OP_DIV, "1", "9999999999999999999999999999999999" },
        { "9999999999999999", Q_OP_MUL, "9999999999999999", "99999999999999980000000000000001" },
        { "0.999999999999999999", Q_OP_MUL, "0.999999999999999999", "0.999999999999999998" },
        { "1234567890123456.789012345678901234", Q_OP_MUL, "0.000000000000000001", "0.001234567890123457" },
        { "0.000000000000000001", Q_OP_MUL, "0.5", "0.000000000000000001" }, { "0.000000000000000001", Q_OP_MUL, "0.4", "0" },
        { "1", Q_OP_DIV, "9999999999999999999999999999999999", "0" },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        q_value a = dec(t[i].a), b = dec(t[i].b), is = dec(t[i].is), out;
        q_err err = Q_ERR_INIT;
        if (q_arith(t[i].op, &a, &b, &out, &err) != Q_OK)
            fail_msg("%s, %s: %s", t[i].a, t[i].b, err.message);
        q_buf text = Q_BUF_INIT(100);
        q_value_text(&out, &text);
        if (q_value_cmp(&out, &is) != 0)
            fail_msg("%s, %s: %.*s", t[i].a, t[i].b, (int)text.len, text.ptr);
        q_buf_free(&text);
    }
}

static void decimals_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct { const char *a; q_op op; const char *b; } t[] = {
        { "9999999999999999999999999999999999", Q_OP_ADD, "1" }, { "-9999999999999999999999999999999999", Q_OP_SUB, "1" },
        { "100000000000000000", Q_OP_MUL, "100000000000000000" }, { "1", Q_OP_DIV, "0" }, { "1", Q_OP_MOD, "0.0" },
        { "9999999999999999999999999999999999", Q_OP_ADD, "0.1" }, { "9999999999999999999999999999999999", Q_OP_DIV, "0.1" },
        { "9999999999999999999999999999999999", Q_OP_MUL, "9999999999999999999999999999999999" },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        q_value a = dec(t[i].a), b = dec(t[i].b), out;
        q_err err = Q_ERR_INIT;
        assert_int_equal(q_arith(t[i].op, &a, &b, &out, &err), Q_FAIL);
        assert_int_equal(err.code, Q_E_VALUE_OUT_OF_RANGE);
    }
}

/* (a + b) - b, (a * b) / b and division with remainder, for decimals small enough that nothing is rounded. */
static void decimal_arithmetic_keeps_its_laws(void **state)
{
    (void)state;
    uint64_t r = 12345;
    q_err err = Q_ERR_INIT;
    for (int i = 0; i < 20000; i++) {
        q_value v[2], sum, product, back;
        for (int k = 0; k < 2; k++) {
            r = r * UINT64_C(6364136223846793005) + 1442695040888963407u;
            v[k] = (q_value){ .type = Q_T_DECIMAL, .scale = (uint8_t)(r >> 60), .coefficient = (int64_t)(r >> 20) % 10000000 - 5000000 };
            v[k].scale = v[k].scale > 9 ? 9 : v[k].scale;
        }
        assert_int_equal(q_arith(Q_OP_ADD, &v[0], &v[1], &sum, &err), Q_OK);
        assert_int_equal(q_arith(Q_OP_SUB, &sum, &v[1], &back, &err), Q_OK);
        assert_int_equal(q_value_cmp(&back, &v[0]), 0);
        if (v[1].coefficient == 0)
            continue;
        assert_int_equal(q_arith(Q_OP_MUL, &v[0], &v[1], &product, &err), Q_OK);
        assert_int_equal(q_arith(Q_OP_DIV, &product, &v[1], &back, &err), Q_OK);
        assert_int_equal(q_value_cmp(&back, &v[0]), 0);
    }
}

static void mixed_numbers_take_the_wider_type(void **state)
{
    (void)state;
    q_value i = { .type = Q_T_INT, .i = 3 }, f = { .type = Q_T_FLOAT, .f = 0.5 }, d = dec("1.5"), out;
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_arith(Q_OP_ADD, &i, &d, &out, &err), Q_OK);
    assert_int_equal(out.type, Q_T_DECIMAL);
    assert_int_equal(q_arith(Q_OP_MUL, &d, &f, &out, &err), Q_OK);
    assert_int_equal(out.type, Q_T_FLOAT);
    assert_true(out.f == 0.75);
    q_value us = { .type = Q_T_DURATION, .i = 10 };
    assert_int_equal(q_arith(Q_OP_MUL, &us, &d, &out, &err), Q_OK);
    assert_int_equal(out.type, Q_T_DURATION);
    assert_int_equal(out.i, 15);
    assert_int_equal(q_arith(Q_OP_DIV, &us, &(q_value){ .type = Q_T_DECIMAL, .scale = 1, .coefficient = 4 }, &out, &err), Q_OK);
    assert_int_equal(out.i, 25);
}

static void types_that_do_not_go_together_are_an_error_or_null(void **state)
{
    (void)state;
    q_value s = { .type = Q_T_STRING, .s = Q_SLICE_LIT("a") }, i = { .type = Q_T_INT, .i = 1 }, b = { .type = Q_T_BOOL, .b = true }, out;
    q_value t = { .type = Q_T_TIME }, us = { .type = Q_T_DURATION, .i = 1 };
    const q_value *pairs[][2] = { { &s, &i }, { &i, &b }, { &t, &t }, { &us, &t }, { &s, &s } };
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        q_err err = Q_ERR_INIT;
        assert_int_equal(q_arith(Q_OP_MUL, pairs[k][0], pairs[k][1], &out, &err), Q_FAIL);
        assert_int_equal(err.code, Q_E_QQL_TYPE);
        assert_int_equal(q_compare(Q_OP_EQ, pairs[k][0], pairs[k][1]), pairs[k][0]->type == pairs[k][1]->type ? Q_TRUE : Q_UNKNOWN);
    }
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_arith_negate(&s, &out, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_TYPE);
}

static void relations_compare_with_ids(void **state)
{
    (void)state;
    q_value a = { .type = Q_T_STRING, .s = Q_SLICE_LIT("a") }, b = { .type = Q_T_STRING, .s = Q_SLICE_LIT("b") };
    q_value both[2] = { a, b }, one = { .type = Q_T_RELATION, .rel = { &a, 1 } }, two = { .type = Q_T_RELATION, .rel = { both, 2 } };
    assert_int_equal(q_compare(Q_OP_EQ, &one, &a), Q_TRUE);
    assert_int_equal(q_compare(Q_OP_EQ, &b, &one), Q_FALSE);
    assert_int_equal(q_compare(Q_OP_EQ, &two, &a), Q_UNKNOWN);
    assert_int_equal(q_compare(Q_OP_NE, &one, &two), Q_TRUE);
    assert_int_equal(q_compare(Q_OP_LT, &one, &two), Q_UNKNOWN);
}

/* ---- LIKE ---- */

static void like_knows_its_wildcards(void **state)
{
    (void)state;
    static const struct { const char *text, *pattern; bool is; } t[] = {
        { "", "", true }, { "", "%", true }, { "", "_", false }, { "a", "", false }, { "a", "a", true }, { "a", "A", false }, { "abc",
            "a%", true },
        { "abc", "%c", true }, { "abc", "%b%", true }, { "abc", "_b_", true }, { "abc", "_", false }, { "abc", "___", true }, { "abc",
            "____", false },
        { "abc", "a%c", true }, { "abc", "a%b", false }, { "ab", "ab%ab", false }, { "aab", "%ab", true }, { "100%", "100\\%", true },
        { "1000", "100\\%", false }, { "a_b", "a\\_b", true }, { "axb", "a\\_b", false }, { "a\\b", "a\\\\b", true }, { "\xC3\xA4x",
            "_x", true },
        { "\xC3\xA4", "__", false }, { "\xF0\x9F\x98\x80", "_", true }, { "x\xC3\xA4y", "%_y", true }, { "mississippi", "%iss%ip%", true },
        { "mississippi", "m%iss_ss%pi", true }, { "aXbXc", "a_b_c", true }, { "abcabd", "%ab_", true }, { "abd", "%ab_%d", false },
            { "\\", "\\", true },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        if (q_like(q_slice_cstr(t[i].text), q_slice_cstr(t[i].pattern)) != t[i].is)
            fail_msg("'%s' LIKE '%s'", t[i].text, t[i].pattern);
}

/* The definition itself, exponential. */
static bool naive_like(const char *t, const char *p)
{
    if (*p == 0)
        return *t == 0;
    if (*p == '%')
        return naive_like(t, p + 1) || (*t && naive_like(t + 1, p));
    if (*p == '_')
        return *t && naive_like(t + 1, p + 1);
    if (*p == '\\' && p[1])
        p++;
    return *t == *p && naive_like(t + 1, p + 1);
}

static void like_agrees_with_its_definition(void **state)
{
    (void)state;
    uint64_t r = 99;
    for (int i = 0; i < 200000; i++) {
        char t[16], p[12];
        r = r * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t bits = r >> 8;
        size_t tn = bits % 15, pn = (bits >> 4) % 11;
        for (size_t k = 0; k < tn; k++)
            t[k] = "ab"[(bits >> (k + 8)) & 1];
        t[tn] = 0;
        r = r * UINT64_C(6364136223846793005) + 1442695040888963407u;
        for (size_t k = 0; k < pn; k++)
            p[k] = "aab%_b\\a"[(r >> (3 * k + 16)) & 7];
        p[pn] = 0;
        if (q_like(q_slice_cstr(t), q_slice_cstr(p)) != naive_like(t, p))
            fail_msg("'%s' LIKE '%s' should be %d", t, p, naive_like(t, p));
    }
}

/* What takes a backtracking matcher for ever. A megabyte against a long pattern must end at once: the deadline is a thousand times that. */
static void like_is_linear_whatever_the_pattern(void **state)
{
    (void)state;
    size_t n = Q_MAX_STRING_BYTES;
    char *text = malloc(n), pattern[Q_LIKE_MAX_BYTES];
    assert_non_null(text);
    memset(text, 'a', n);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = "%a_a"[i % 4];
    pattern[sizeof pattern - 2] = 'b';
    assert_false(q_like(q_slice_of(text, n), q_slice_of(pattern, sizeof pattern)));
    memset(pattern, 'a', sizeof pattern);
    pattern[0] = pattern[sizeof pattern - 1] = '%';
    pattern[100] = '_';
    pattern[sizeof pattern - 2] = 'b';
    assert_false(q_like(q_slice_of(text, n), q_slice_of(pattern, sizeof pattern)));
    pattern[sizeof pattern - 2] = 'a';
    assert_true(q_like(q_slice_of(text, n), q_slice_of(pattern, sizeof pattern)));
    free(text);
}

static void a_pattern_that_is_too_long_is_an_error(void **state)
{
    (void)state;
    char text[Q_LIKE_MAX_BYTES + 40];
    for (int extra = 0; extra < 2; extra++) {
        q_truth t;
        q_err err;
        snprintf(text, sizeof text, "'a' LIKE '%0*d'", Q_LIKE_MAX_BYTES + extra, 0);
        assert_int_equal(eval(text, false, &t, &err), extra ? Q_FAIL : Q_OK);
        if (extra)
            assert_int_equal(err.code, Q_E_QQL_LIMIT);
    }
}

static void work_is_bounded(void **state)
{
    (void)state;
    uint64_t work = 7;
    q_env env = { .arena = arena, .work_left = &work };
    q_err err = Q_ERR_INIT;
    q_truth t;
    const q_expr *e = condition("1 + 1 = 2 AND 2 + 2 = 4");
    assert_int_equal(q_eval_truth(&env, e, &t, &err), Q_OK);
    assert_int_equal(q_eval_truth(&env, e, &t, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_LIMIT);
}

static int open_arena(void **state)
{
    (void)state;
    q_catalog *none = q_catalog_new();
    q_ddl create = { .kind = Q_DDL_CREATE_BUCKET, .bucket = Q_SLICE_LIT("b") };
    q_err err;
    arena = q_arena_new(0);
    q_rc rc = q_catalog_apply(none, &create, 1, &catalog, &err);
    q_catalog_unref(none);
    return arena && rc == Q_OK ? 0 : -1;
}

static int close_arena(void **state)
{
    (void)state;
    q_arena_free(arena);
    q_catalog_unref(catalog);
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_arena, close_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(logic_has_three_values),
        T(comparisons_with_null_are_unknown),
        T(values_compare_by_type),
        T(arithmetic_gives_what_sql_gives),
        T(what_does_not_fit_is_an_error_with_its_place),
        T(decimals_are_exact),
        T(decimals_out_of_range_are_refused),
        T(decimal_arithmetic_keeps_its_laws),
        T(mixed_numbers_take_the_wider_type),
        T(types_that_do_not_go_together_are_an_error_or_null),
        T(relations_compare_with_ids),
        T(like_knows_its_wildcards),
        T(like_agrees_with_its_definition),
        T(like_is_linear_whatever_the_pattern),
        T(a_pattern_that_is_too_long_is_an_error),
        T(work_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
