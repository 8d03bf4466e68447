#include "tests/unit/schemas/cmocka_setup.h"
#include "tests/unit/schemas/generate.h"

static q_value dec(const char *text)
{
    q_value v;
    if (!q_decimal_parse(q_slice_cstr(text), &v))
        fail_msg("%s is no decimal", text);
    return v;
}

static q_value num(int64_t i) { return (q_value){ .type = Q_T_INT, .i = i }; }
static q_value flt(double f) { return (q_value){ .type = Q_T_FLOAT, .f = f }; }

static void is_less(q_value a, q_value b)
{
    assert_true(q_value_cmp(&a, &b) < 0);
    assert_true(q_value_cmp(&b, &a) > 0);
}

static void is_equal(q_value a, q_value b)
{
    assert_int_equal(q_value_cmp(&a, &b), 0);
    assert_int_equal(q_value_cmp(&b, &a), 0);
}

static void numbers_of_different_types_compare_without_loss(void **state)
{
    (void)state;
    is_less(num((INT64_C(1) << 53)), num((INT64_C(1) << 53) + 1));
    is_less(flt(9007199254740992.0), num((INT64_C(1) << 53) + 1)); /* equal as doubles */
    is_less(num(INT64_MAX), flt(9223372036854775808.0));
    is_equal(num(INT64_MIN), flt(-9223372036854775808.0));
    is_equal(num(7), flt(7.0));
    is_equal(num(7), dec("7.00"));
    is_less(num(7), dec("7.000000000000000001"));
    is_less(dec("-7.000000000000000001"), num(-7));
    is_less(dec("0.1"), flt(0.1)); /* the double is a little more than a tenth */
    is_less(flt(0.3), dec("0.3"));
    is_equal(dec("0.5"), flt(0.5));
    is_equal(dec("-0.5"), flt(-0.5));
    is_less(flt(-0.5), dec("0.5"));
    is_less(flt(-1e300), dec("-9999999999999999999999999999999999"));
    is_less(dec("9999999999999999999999999999999999"), flt(1e300));
    is_less(num(0), flt(5e-324));
    is_less(flt(-5e-324), dec("0"));
    is_less(flt(5e-324), dec("0.000000000000000001"));
    is_equal(flt(-0.0), num(0));
    is_less(flt(2.5), num(3));
    is_less(num(2), flt(2.5));
    is_less(flt(-2.5), num(-2));
}

/* The exact decimal expansion of a double, as printf of glibc gives it, against the decimal's digits: another way than the code's. */
static int compare_by_digits(const q_value *d, double f)
{
    char a[2200], b[2200], t[Q_NUMBER_TEXT_BYTES];
    q_decimal_text(d, t);
    bool negative = t[0] == '-';
    if (negative != (f < 0) || f == 0)
        return negative ? -1 : f < 0 ? 1 : (f == 0 ? d->coefficient != 0 : (d->coefficient != 0 || f != 0));
    const char *digits = t + negative, *point = strchr(digits, '.');
    int whole = (int)(point ? (size_t)(point - digits) : strlen(digits));
    snprintf(a, sizeof a, "%0*d%s%s", 400 - whole, 0, digits, point ? "" : ".");
    size_t n = strlen(a);
    memset(a + n, '0', 1500 - n);
    a[1500] = '\0';
    snprintf(b, sizeof b, "%01500.1099f", fabs(f));
    int c = memcmp(a, b, 1500);
    return negative ? -c : c;
}

static void decimals_and_floats_compare_as_their_digits_do(void **state)
{
    gen g = { 42, *state };
    int zeros = 0;
    for (int i = 0; i < 20000; i++) {
        q_value d = gen_decimal(&g), f = flt(gen_float(&g));
        if (i % 2) { /* near each other, or equal */
            char t[Q_NUMBER_TEXT_BYTES];
            q_decimal_text(&d, t);
            assert_true(q_float_parse(q_slice_cstr(t), &f.f));
        }
        if (f.f == 0)
            continue;
        int wanted = compare_by_digits(&d, f.f), got = q_value_cmp(&d, &f);
        zeros += wanted == 0;
        if ((wanted > 0) - (wanted < 0) != (got > 0) - (got < 0))
            fail_msg("%.17g: %d instead of %d", f.f, got, wanted);
    }
    assert_true(zeros > 100);
}

static void the_order_of_numbers_is_total(void **state)
{
    gen g = { 7, *state };
    for (int i = 0; i < 50000; i++) {
        q_value v[3];
        for (int j = 0; j < 3; j++)
            v[j] = gen_value_of(&g, (q_type[]){ Q_T_INT, Q_T_FLOAT, Q_T_DECIMAL }[gen_below(&g, 3)]);
        int ab = q_value_cmp(&v[0], &v[1]), bc = q_value_cmp(&v[1], &v[2]), ac = q_value_cmp(&v[0], &v[2]);
        assert_true((ab > 0) - (ab < 0) == -((q_value_cmp(&v[1], &v[0]) > 0) - (q_value_cmp(&v[1], &v[0]) < 0)));
        if (ab <= 0 && bc <= 0)
            assert_true(ac <= 0 && (ac < 0 || (ab == 0 && bc == 0)));
    }
}

static void floats_print_shortest_and_read_back_as_the_same_bits(void **state)
{
    char t[Q_NUMBER_TEXT_BYTES];
    gen g = { 3, *state };
    static const struct { double f; const char *text; } cases[] = { { 0, "0.0" }, { -0.0, "0.0" }, { 89.5, "89.5" }, { 100, "100.0" },
        { 0.1, "0.1" }, { 1e20, "1e+20" }, { -1e15, "-1e+15" }, { 1.7976931348623157e308, "1.7976931348623157e+308" },
        { 5e-324, "4.94065645841247e-324" }, { 1e14, "100000000000000.0" }, { 2.5e-7, "2.5e-07" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = q_float_text(cases[i].f, t);
        assert_slice(q_slice_of(t, n), cases[i].text);
    }
    for (int i = 0; i < 100000; i++) {
        double f = gen_float(&g), back;
        size_t n = q_float_text(f, t);
        assert_true(n < sizeof t && q_float_parse(q_slice_of(t, n), &back));
        assert_true(memcmp(&f, &back, sizeof f) == 0);
    }
    for (int i = 0; i < 100000; i++) { /* prices have a way of their own: the same text */
        char printed[40];
        double f = (double)((int64_t)gen_below(&g, 2000000000) - 1000000000) / (i % 2 ? 1000 : 100);
        snprintf(printed, sizeof printed, "%.15g%s", f, f == trunc(f) ? ".0" : "");
        assert_slice(q_slice_of(t, q_float_text(f, t)), f == 0 ? "0.0" : printed);
    }
}

static void decimals_print_canonically_and_read_back(void **state)
{
    char t[Q_NUMBER_TEXT_BYTES];
    gen g = { 5, *state };
    static const char *const same[] = { "0", "1", "-1", "1.5", "-0.05", "0.000000000000000001", "9999999999999999999999999999999999",
        "-9999999999999999.999999999999999999" };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        q_value v = dec(same[i]);
        assert_slice(q_slice_of(t, q_decimal_text(&v, t)), same[i]);
    }
    static const char *const other[][2] = { { "+1.50", "1.5" }, { "007", "7" }, { ".5", "0.5" }, { "5.", "5" }, { "1e3", "1000" },
        { "1.25E-3", "0.00125" }, { "-0.0", "0" }, { "1000000e-6", "1" }, { "0e99999", "0" } };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        q_value v = dec(other[i][0]);
        assert_slice(q_slice_of(t, q_decimal_text(&v, t)), other[i][1]);
    }
    static const char *const bad[] = { "",
                                       "-",
                                       ".",
                                       "1.2.3",
                                       "1e",
                                       "1e+",
                                       "0x10",
                                       " 1",
                                       "1 ",
                                       "nan",
                                       "inf",
                                       "10000000000000000000000000000000000",
                                       "0.0000000000000000001",
                                       "1e34",
                                       "1e-19",
                                       "1e99999999999",
                                       "1,5" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        q_value v;
        if (q_decimal_parse(q_slice_cstr(bad[i]), &v))
            fail_msg("\"%s\" was taken", bad[i]);
    }
    for (int i = 0; i < 20000; i++) {
        q_value v = gen_decimal(&g), back;
        assert_true(q_decimal_parse(q_slice_of(t, q_decimal_text(&v, t)), &back));
        is_equal(v, back);
        assert_true(q_value_same(&v, &back));
    }
}

static void integers_are_read_to_their_last_value_and_not_past_it(void **state)
{
    (void)state;
    int64_t i;
    assert_true(q_int_parse(Q_SLICE_LIT("9223372036854775807"), &i) && i == INT64_MAX);
    assert_true(q_int_parse(Q_SLICE_LIT("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(q_int_parse(Q_SLICE_LIT("+0012"), &i) && i == 12);
    static const char *const bad[] = { "",   "-",  "+",   "9223372036854775808", "-9223372036854775809", "1.0", "1e3",
                                       " 1", "1 ", "0x1", "99999999999999999999" };
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++)
        assert_false(q_int_parse(q_slice_cstr(bad[n]), &i));
}

static void floats_out_of_range_or_of_other_grammars_are_refused(void **state)
{
    (void)state;
    double f;
    static const char *const bad[] = { "", "1e309", "-1e309", "nan", "inf", "infinity", "0x1p3", "1e", ".", "1,5", "1_000", " 1" };
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++)
        assert_false(q_float_parse(q_slice_cstr(bad[n]), &f));
    assert_true(q_float_parse(Q_SLICE_LIT("1e-400"), &f) && f == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(numbers_of_different_types_compare_without_loss),
        ARENA_TEST(decimals_and_floats_compare_as_their_digits_do),
        ARENA_TEST(the_order_of_numbers_is_total),
        ARENA_TEST(floats_print_shortest_and_read_back_as_the_same_bits),
        ARENA_TEST(decimals_print_canonically_and_read_back),
        ARENA_TEST(integers_are_read_to_their_last_value_and_not_past_it),
        ARENA_TEST(floats_out_of_range_or_of_other_grammars_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
