/* API keys: what is one, and that a hash belongs to one text only. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "auth/apikey.h"

static void a_new_key_reads_back_and_no_two_are_equal(void **state)
{
    (void)state;
    char a[Q_APIKEY_MAX_BYTES + 1], b[Q_APIKEY_MAX_BYTES + 1], hex[2 * Q_APIKEY_HASH_BYTES + 1];
    uint8_t ha[Q_APIKEY_HASH_BYTES], hb[Q_APIKEY_HASH_BYTES];
    q_slice bucket, name;
    q_apikey_make(Q_SLICE_LIT("shop"), Q_SLICE_LIT("nightly"), a);
    q_apikey_make(Q_SLICE_LIT("shop"), Q_SLICE_LIT("nightly"), b);
    assert_true(q_apikey_parts(q_slice_cstr(a), &bucket, &name));
    assert_true(q_slice_eq(bucket, Q_SLICE_LIT("shop")) && q_slice_eq(name, Q_SLICE_LIT("nightly")));
    q_apikey_hash(q_slice_cstr(a), ha);
    q_apikey_hash(q_slice_cstr(b), hb);
    assert_false(q_apikey_same(ha, hb));
    q_apikey_hex(ha, hex);
    assert_true(q_apikey_unhex(hex, hb) && q_apikey_same(ha, hb));
    hex[3] = 'x';
    assert_false(q_apikey_unhex(hex, hb));
    hex[63] = '\0';
    assert_false(q_apikey_unhex(hex, hb));
    q_apikey_make(Q_SLICE_NONE, Q_SLICE_NONE, a);
    assert_true(q_apikey_parts(q_slice_cstr(a), &bucket, &name) && bucket.len == 0 && name.len == 0);
}

#define SECRET "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define NAME40 "a234567890123456789012345678901234567890"

static void what_is_no_key_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = { "", ".", "..", "admin", "admin.", "root." SECRET, SECRET, "shop.k." SECRET "A", "shop.k.AAAA", "shop.." SECRET, ".k." SECRET,
        "Shop.k." SECRET, "shop.k-1." SECRET, "shop.k.x." SECRET, "admin." SECRET "=", "shop.k.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA A", NAME40 "1.k." SECRET };
    q_slice bucket, name;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(q_apikey_parts(q_slice_cstr(wrong[i]), &bucket, &name));
    assert_true(q_apikey_parts(q_slice_cstr(NAME40 "." NAME40 "." SECRET), &bucket, &name)); /* the longest */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_new_key_reads_back_and_no_two_are_equal), cmocka_unit_test(what_is_no_key_is_refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
