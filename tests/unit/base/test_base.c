/* The promises of the headers in base. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void arena_gives_aligned_cleared_memory(void **state)
{
    (void)state;
    q_arena *a = q_arena_new(0);
    for (size_t n = 1; n < 3000; n += 7) {
        char *p = q_arena_calloc(a, n, 1);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 8, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xFF, n);
    }
    q_arena_free(a);
}

static void arena_stops_at_its_maximum(void **state)
{
    (void)state;
    q_arena *a = q_arena_new(10000);
    size_t total = 0;
    while (q_arena_alloc(a, 96))
        total += 96;
    assert_true(total <= 10000 && total > 5000);
    assert_true(q_arena_bytes(a) <= 10000);
    assert_null(q_arena_alloc(a, 20000));
    q_arena_reset(a);
    assert_non_null(q_arena_alloc(a, 96)); /* reset makes room again */
    assert_null(q_arena_calloc(a, SIZE_MAX / 2, 3)); /* an overflow is no small allocation */
    assert_null(q_arena_alloc(a, SIZE_MAX));
    q_arena_free(a);
    q_arena_free(NULL);
}

static void arena_copies_end_with_nul(void **state)
{
    (void)state;
    q_arena *a = q_arena_new(0);
    q_slice s = q_arena_copy(a, q_slice_of("abcdef", 3));
    assert_string_equal(s.ptr, "abc");
    assert_int_equal(s.len, 3);
    s = q_arena_printf(a, "%d-%s", 42, "x");
    assert_string_equal(s.ptr, "42-x");
    assert_int_equal(s.len, 4);
    q_arena_free(a);
}

static void the_nth_allocation_fails_on_request(void **state)
{
    (void)state;
    q_arena *a = q_arena_new(0);
    q_arena_fail_after(2);
    assert_non_null(q_arena_alloc(a, 8));
    assert_null(q_arena_alloc(a, 8));
    assert_non_null(q_arena_alloc(a, 8)); /* only that one */
    q_arena_fail_after(0);
    q_arena_free(a);
}

static void buffer_holds_its_maximum_and_not_one_more(void **state)
{
    (void)state;
    q_buf b = Q_BUF_INIT(10);
    q_buf_add(&b, "0123456789", 10);
    assert_false(b.failed);
    assert_int_equal(b.len, 10);
    q_buf_add_byte(&b, 'x');
    assert_true(b.failed);
    assert_memory_equal(b.ptr, "0123456789", 10);
    q_buf_add(&b, "", 0);
    assert_true(b.failed); /* a failure stays until it is cleared */
    q_buf_clear(&b);
    q_buf_printf(&b, "%s", "ab");
    assert_false(b.failed);
    assert_true(q_slice_eq(q_buf_slice(&b), Q_SLICE_LIT("ab")));
    q_buf_free(&b);
    assert_null(b.ptr);
    q_buf_add_cstr(&b, "again");
    assert_int_equal(b.len, 5);
    q_buf_free(&b);
}

static void long_messages_are_cut_between_code_points(void **state)
{
    (void)state;
    q_err e = Q_ERR_INIT;
    char text[400];
    /* 'x' once, then two-byte letters: the cut falls into the middle of one. */
    text[0] = 'x';
    for (size_t i = 1; i + 1 < sizeof text - 1; i += 2)
        memcpy(text + i, "\xC3\xA4", 2);
    text[399] = '\0';
    assert_int_equal(q_err_set(&e, Q_E_QQL_TYPE, "%s", text), Q_FAIL);
    size_t n = strlen(e.message);
    assert_true(n < sizeof e.message && n % 2 == 1);
    assert_int_equal((unsigned char)e.message[n - 1], 0xA4);
    e.line = 3;
    q_err_hint(&e, "do %d", 1);
    assert_string_equal(e.hint, "do 1");
    (void)q_err_set(&e, Q_E_INTERNAL, "new");
    assert_string_equal(e.hint, ""); /* a new error has no old hint or place */
    assert_int_equal(e.line, 0);
}

static void codes_have_one_name_each(void **state)
{
    (void)state;
    for (int c = Q_E_NONE + 1; c < Q_E_COUNT; c++) {
        const char *name = q_code_name((q_code)c);
        assert_int_equal(q_code_from_name(q_slice_cstr(name)), c);
        assert_true(strlen(q_code_text((q_code)c)) > 10);
        int http = q_code_http((q_code)c);
        assert_true(http >= 400 && http < 600);
        /* What may pass by itself is the server's side, never the request's. */
        if (q_code_retryable((q_code)c))
            assert_true(http >= 500 || http == 429); /* 429: the client may come again, later */
    }
    assert_int_equal(q_code_from_name(Q_SLICE_LIT("NO_SUCH_CODE")), Q_E_NONE);
}

static void slices_compare_as_bytes(void **state)
{
    (void)state;
    assert_true(q_slice_cmp(Q_SLICE_LIT("a"), Q_SLICE_LIT("ab")) < 0);
    assert_true(q_slice_cmp(Q_SLICE_LIT("b"), Q_SLICE_LIT("ab")) > 0);
    assert_true(q_slice_cmp(Q_SLICE_LIT("\xFF"), Q_SLICE_LIT("a")) > 0);
    assert_true(q_slice_eq(Q_SLICE_NONE, Q_SLICE_LIT("")));
}

static void histograms_count_into_cumulative_buckets(void **state)
{
    (void)state;
    static q_histogram h;
    q_buf out = Q_BUF_INIT(1 << 16);
    q_histogram_add(&h, -5);
    q_histogram_add(&h, 50);       /* a bound belongs to its bucket */
    q_histogram_add(&h, 51);
    q_histogram_add(&h, 60000000); /* beyond every bound */
    q_metrics_head(&out, "t_seconds", "histogram", "Help.");
    q_metrics_histogram(&out, "t_seconds", "engine=\"x\"", &h);
    q_buf_add_byte(&out, 0);
    assert_non_null(strstr(out.ptr, "# TYPE t_seconds histogram\n"));
    assert_non_null(strstr(out.ptr, "t_seconds_bucket{engine=\"x\",le=\"5e-05\"} 2\n"));
    assert_non_null(strstr(out.ptr, "t_seconds_bucket{engine=\"x\",le=\"0.0001\"} 3\n"));
    assert_non_null(strstr(out.ptr, "t_seconds_bucket{engine=\"x\",le=\"30\"} 3\n"));
    assert_non_null(strstr(out.ptr, "t_seconds_bucket{engine=\"x\",le=\"+Inf\"} 4\n"));
    assert_non_null(strstr(out.ptr, "t_seconds_count{engine=\"x\"} 4\n"));
    q_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_gives_aligned_cleared_memory),
        cmocka_unit_test(arena_stops_at_its_maximum),
        cmocka_unit_test(arena_copies_end_with_nul),
        cmocka_unit_test(the_nth_allocation_fails_on_request),
        cmocka_unit_test(buffer_holds_its_maximum_and_not_one_more),
        cmocka_unit_test(long_messages_are_cut_between_code_points),
        cmocka_unit_test(codes_have_one_name_each),
        cmocka_unit_test(slices_compare_as_bytes),
        cmocka_unit_test(histograms_count_into_cumulative_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
