#include "tests/unit/schemas/cmocka_setup.h"
#include "tests/unit/schemas/generate.h"

static void is_time(const char *text, int64_t us, const char *canonical)
{
    q_err err = Q_ERR_INIT;
    int64_t got = 0;
    char t[Q_TIME_TEXT_BYTES];
    if (q_time_parse(q_slice_cstr(text), &got, &err) != Q_OK)
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(got, us);
    assert_slice(q_slice_of(t, q_time_text(got, t)), canonical);
}

static void times_are_read_with_any_offset_and_printed_in_utc(void **state)
{
    (void)state;
    is_time("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z");
    is_time("1970-01-01 00:00:00.000001z", 1, "1970-01-01T00:00:00.000001Z");
    is_time("1969-12-31T23:59:59.5Z", -500000, "1969-12-31T23:59:59.5Z");
    is_time("2000-02-29T12:34:56.780000000+05:30", 951807896780000, "2000-02-29T07:04:56.78Z");
    is_time("2024-05-01T00:00:00-23:59", 1714607940000000, "2024-05-01T23:59:00Z");
    is_time("0001-01-01T00:00:00Z", Q_TIME_MIN_US, "0001-01-01T00:00:00Z");
    is_time("9999-12-31T23:59:59.999999Z", Q_TIME_MAX_US, "9999-12-31T23:59:59.999999Z");
    is_time("0001-01-01T02:00:00+02:00", Q_TIME_MIN_US, "0001-01-01T00:00:00Z");
}

static void what_is_no_time_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const bad[][2] = { { "", "YYYY-MM-DD" }, { "2024-01-01", "HH:MM:SS" }, { "2024-01-01T00:00:00", "offset" },
        { "2016-12-31T23:59:60Z", "leap seconds" }, { "2023-02-29T00:00:00Z", "range" }, { "1900-02-29T00:00:00Z", "range" },
        { "2024-13-01T00:00:00Z", "range" }, { "2024-00-01T00:00:00Z", "range" }, { "2024-04-31T00:00:00Z", "range" },
        { "2024-01-01T24:00:00Z", "range" }, { "2024-01-01T00:60:00Z", "range" }, { "2024-01-01T00:00:61Z", "range" },
        { "2024-01-01T00:00:00+24:00", "range" }, { "2024-01-01T00:00:00+0200", "offset" }, { "2024-01-01T00:00:00.Z", "digits" },
        { "2024-01-01T00:00:00.1234567Z", "microsecond" }, { "2024-01-01T00:00:00Zjunk", "follows" }, { "0000-01-01T00:00:00Z", "range" },
        { "0001-01-01T00:00:00+00:01", "year" }, { "9999-12-31T23:59:59-00:01", "year" }, { "24-01-01T00:00:00Z", "YYYY" },
        { " 2024-01-01T00:00:00Z", "YYYY" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        q_err err = Q_ERR_INIT;
        int64_t us;
        assert_int_equal(q_time_parse(q_slice_cstr(bad[i][0]), &us, &err), Q_FAIL);
        assert_int_equal(err.code, Q_E_QQL_VALUE);
        if (!strstr(err.message, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], err.message);
    }
}

static void every_time_reads_back_as_itself_and_days_follow_the_calendar(void **state)
{
    gen g = { 1, *state };
    char t[Q_TIME_TEXT_BYTES], before[Q_TIME_TEXT_BYTES] = "";
    q_err err = Q_ERR_INIT;
    int64_t back;
    for (int i = 0; i < 50000; i++) {
        int64_t us = gen_time(&g);
        size_t n = q_time_text(us, t);
        assert_int_equal(q_time_parse(q_slice_of(t, n), &back, &err), Q_OK);
        assert_int_equal(back, us);
    }
    for (int64_t us = Q_TIME_MIN_US; us <= Q_TIME_MAX_US;
         us += INT64_C(86400000000)) { /* each day of 9999 years: text order is time order */
        q_time_text(us, t);
        assert_true(strcmp(before, t) < 0);
        memcpy(before, t, sizeof t);
    }
}

static void is_duration(const char *text, int64_t us, const char *canonical)
{
    q_err err = Q_ERR_INIT;
    int64_t got = 0;
    char t[Q_DURATION_TEXT_BYTES];
    if (q_duration_parse(q_slice_cstr(text), &got, &err) != Q_OK)
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(got, us);
    assert_slice(q_slice_of(t, q_duration_text(got, t)), canonical);
}

static void durations_are_read_in_both_forms_and_printed_as_iso_8601(void **state)
{
    (void)state;
    const int64_t second = 1000000, hour = 3600 * second, day = 24 * hour;
    is_duration("1d 3h", day + 3 * hour, "P1DT3H");
    is_duration("2d 5h", 2 * day + 5 * hour, "P2DT5H");
    is_duration("1d3h5m2s10ms7us", day + 3 * hour + 302 * second + 10007, "P1DT3H5M2.010007S");
    is_duration("  36h  ", 36 * hour, "P1DT12H");
    is_duration("1w", 7 * day, "P7D");
    is_duration("1.5h", 5400 * second, "PT1H30M");
    is_duration("- 90s", -90 * second, "-PT1M30S");
    is_duration("0s", 0, "PT0S");
    is_duration("P1DT3H", day + 3 * hour, "P1DT3H");
    is_duration("PT0S", 0, "PT0S");
    is_duration("P2W", 14 * day, "P14D");
    is_duration("P1W2D", 9 * day, "P9D");
    is_duration("-P1DT0.5S", -day - second / 2, "-P1DT0.5S");
    is_duration("PT36H", 36 * hour, "P1DT12H");
    is_duration("PT0,25H", hour / 4, "PT15M");
    is_duration("+PT1M", 60 * second, "PT1M");
    is_duration("P0.5D", 12 * hour, "PT12H");
    is_duration("PT0.000001S", 1, "PT0.000001S");
    is_duration("9223372036854775807us", INT64_MAX, "P106751991DT4H54.775807S");
    is_duration("-PT9223372036854.775808S", INT64_MIN, "-P106751991DT4H54.775808S");
}

static void what_is_no_duration_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const bad[][2] = { { "", "empty" },
                                          { "P", "empty" },
                                          { "PT", "T" },
                                          { "P1Y", "years and months" },
                                          { "P1M", "years and months" },
                                          { "P1Y2M3D", "years and months" },
                                          { "P1DT", "T" },
                                          { "1", "unit" },
                                          { "d", "number" },
                                          { "1x", "unknown" },
                                          { "3h 1d", "largest first" },
                                          { "1h 1h", "once" },
                                          { "PT1M1H", "largest first" },
                                          { "1.5h 3m", "fraction" },
                                          { "PT0.5H3M", "fraction" },
                                          { "0.5us", "finer" },
                                          { "PT0.0000001S", "finer" },
                                          { "9223372036854775808us", "longer" },
                                          { "99999999999999999999s", "digits" },
                                          { "P-1D", "number" },
                                          { "1.h", "number" },
                                          { "PT1", "unit" },
                                          { "1d,3h", "number" },
                                          { "p1d", "number" },
                                          { "1D", "unknown" },
                                          { "PT1D", "unknown" },
                                          { "P1D ", "number" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        q_err err = Q_ERR_INIT;
        int64_t us;
        if (q_duration_parse(q_slice_cstr(bad[i][0]), &us, &err) == Q_OK)
            fail_msg("\"%s\" was taken", bad[i][0]);
        assert_int_equal(err.code, Q_E_QQL_VALUE);
        if (!strstr(err.message, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], err.message);
    }
}

static void every_duration_reads_back_as_itself(void **state)
{
    gen g = { 9, *state };
    char t[Q_DURATION_TEXT_BYTES];
    q_err err = Q_ERR_INIT;
    for (int i = 0; i < 50000; i++) {
        int64_t us = gen_int(&g), back;
        size_t n = q_duration_text(us, t);
        assert_true(n < sizeof t);
        if (q_duration_parse(q_slice_of(t, n), &back, &err) != Q_OK)
            fail_msg("%s: %s", t, err.message);
        assert_int_equal(back, us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(times_are_read_with_any_offset_and_printed_in_utc),
        ARENA_TEST(what_is_no_time_is_refused_with_a_reason),
        ARENA_TEST(every_time_reads_back_as_itself_and_days_follow_the_calendar),
        ARENA_TEST(durations_are_read_in_both_forms_and_printed_as_iso_8601),
        ARENA_TEST(what_is_no_duration_is_refused_with_a_reason),
        ARENA_TEST(every_duration_reads_back_as_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
