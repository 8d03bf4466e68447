/* What may come next in an unfinished text: `|` marks the place. */
#include "quantaql/complete.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static bool next(const char *text, q_next *out)
{
    const char *mark = strchr(text, '|');
    return q_ql_next(q_slice_of(text, (size_t)(mark - text)), q_slice_cstr(mark + 1), out);
}

static bool has_word(const q_next *n, const char *word)
{
    for (uint32_t i = 0; i < n->word_count; i++)
        if (!strcmp(n->words[i], word))
            return true;
    return false;
}

static void expect_name(const char *text, q_next_name name, const char *record, const char *hops)
{
    q_next n;
    char joined[200] = "";
    if (!next(text, &n))
        fail_msg("nothing for %s", text);
    if (n.name != name)
        fail_msg("%s: name %d, not %d", text, (int)n.name, (int)name);
    if (record && !q_slice_eq(n.record, q_slice_cstr(record)))
        fail_msg("%s: record '%.*s', not '%s'", text, Q_SLICE_FMT(n.record), record);
    for (uint32_t i = 0; i < n.hop_count; i++)
        snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%.*s", i ? "." : "", Q_SLICE_FMT(n.hops[i]));
    if (hops)
        assert_string_equal(joined, hops);
}

static void keywords_are_those_that_the_grammar_takes(void **state)
{
    (void)state;
    q_next n;
    assert_true(next("|", &n));
    assert_true(has_word(&n, "SELECT") && has_word(&n, "BEGIN") && has_word(&n, "USE"));
    assert_false(has_word(&n, "WHERE"));
    assert_int_equal(n.name, Q_NEXT_NONE);
    assert_true(next("SELECT id FROM orders |", &n));
    assert_true(has_word(&n, "WHERE") && has_word(&n, "ORDER") && has_word(&n, "LIMIT"));
    assert_false(has_word(&n, "SELECT") || has_word(&n, "INTO"));
    assert_true(next("SELECT id FROM orders WHERE id |", &n));
    assert_true(has_word(&n, "IN") && has_word(&n, "NOT IN") && has_word(&n, "IS") && has_word(&n, "LIKE"));
    assert_true(next("SELECT id FROM orders; |", &n));
    assert_true(has_word(&n, "SELECT"));
    assert_true(next("CREATE |", &n));
    assert_true(has_word(&n, "BUCKET") && has_word(&n, "RECORD") && has_word(&n, "ROLE") && has_word(&n, "KEY"));
    assert_int_equal(n.word_count, 4);
}

static void names_follow_from_the_tokens_before(void **state)
{
    (void)state;
    expect_name("USE |", Q_NEXT_BUCKET, NULL, "");
    expect_name("DROP BUCKET IF EXISTS |", Q_NEXT_BUCKET, NULL, "");
    expect_name("CREATE BUCKET |", Q_NEXT_NONE, NULL, "");
    expect_name("SHOW RECORD |", Q_NEXT_RECORD, NULL, "");
    expect_name("INSERT INTO |", Q_NEXT_RECORD, NULL, "");
    expect_name("UPDATE |", Q_NEXT_RECORD, NULL, "");
    expect_name("DELETE FROM |", Q_NEXT_RECORD, NULL, "");
    expect_name("CREATE RECORD a (b relation to |", Q_NEXT_RECORD, NULL, "");
    expect_name("CREATE RECORD a (b scalar |", Q_NEXT_TYPE, NULL, "");
    expect_name("SELECT | FROM orders", Q_NEXT_ATTRIBUTE, "orders", "");
    expect_name("SELECT id, | FROM orders;", Q_NEXT_ATTRIBUTE, "orders", "");
    expect_name("SELECT |", Q_NEXT_ATTRIBUTE, "", "");
    expect_name("SELECT id FROM orders WHERE total > 1 AND |", Q_NEXT_ATTRIBUTE, "orders", "");
    expect_name("SELECT id FROM orders ORDER BY |", Q_NEXT_ATTRIBUTE, "orders", "");
    expect_name("UPDATE orders SET |", Q_NEXT_ATTRIBUTE, "orders", "");
    expect_name("UPDATE orders SET a = 1, |", Q_NEXT_ATTRIBUTE, "orders", "");
    expect_name("BEGIN; UPDATE orders SET a = 1; DELETE FROM routes WHERE |", Q_NEXT_ATTRIBUTE, "routes", "");
}

static void insert_completes_keys_and_not_a_documents(void **state)
{
    (void)state;
    q_next n;
    assert_true(next("INSERT INTO orders { |", &n));
    assert_int_equal(n.name, Q_NEXT_ATTRIBUTE);
    assert_true(n.key);
    assert_int_equal(n.word_count, 0);
    assert_true(next("INSERT INTO orders { id: 1, |", &n));
    assert_true(n.key && q_slice_eq(n.record, Q_SLICE_LIT("orders")));
    expect_name("INSERT INTO orders { id: |", Q_NEXT_NONE, "orders", "");
    expect_name("INSERT INTO orders { id: 1, customer: { |", Q_NEXT_NONE, "orders", "");
    expect_name("INSERT INTO orders { id: 1 }, { |", Q_NEXT_ATTRIBUTE, "orders", "");
}

static void paths_tell_what_is_followed(void **state)
{
    (void)state;
    expect_name("SELECT delivered_by.| FROM orders", Q_NEXT_ATTRIBUTE, "orders", "delivered_by");
    expect_name("SELECT a.b.c.| FROM orders", Q_NEXT_ATTRIBUTE, "orders", "a.b.c");
    expect_name("SELECT id FROM orders WHERE x = 1 AND delivered_by.|", Q_NEXT_ATTRIBUTE, "orders", "delivered_by");
    expect_name("SELECT id FROM orders WHERE path(|", Q_NEXT_RELATION, "orders", "");
    expect_name("SELECT id FROM orders WHERE path(delivery_route -> |", Q_NEXT_RELATION, "orders", "delivery_route");
    expect_name("SELECT id FROM orders WHERE path(delivery_route -> stops -> zones).|", Q_NEXT_ATTRIBUTE, "orders",
                "delivery_route.stops.zones");
    expect_name("SELECT id FROM orders WHERE path(a -> b).c.|", Q_NEXT_ATTRIBUTE, "orders", "a.b.c");
    expect_name("SELECT id FROM orders WHERE count(a).|", Q_NEXT_NONE, "orders", NULL);
}

static void a_subquerys_record_is_its_own(void **state)
{
    (void)state;
    expect_name("ASSERT EXISTS (SELECT id FROM accounts WHERE |", Q_NEXT_ATTRIBUTE, "accounts", "");
    expect_name("ASSERT (SELECT sum(| FROM accounts) = 5", Q_NEXT_ATTRIBUTE, "accounts", "");
}

static void nothing_inside_strings_and_comments(void **state)
{
    (void)state;
    q_next n;
    assert_false(next("SELECT \"a |", &n));
    assert_false(next("SELECT /* a |", &n));
    assert_false(next("SELECT id -- where |", &n));
    assert_true(next("SELECT id -- where\n |", &n));
    assert_true(has_word(&n, "FROM"));
    const char nul[] = "SELECT \0";
    assert_false(q_ql_next(q_slice_of(nul, sizeof nul - 1), Q_SLICE_NONE, &n));
}

static void bounds_hold(void **state)
{
    (void)state;
    q_next n;
    char *long_path = malloc(400000);
    size_t at = (size_t)snprintf(long_path, 400000, "SELECT a");
    for (int i = 0; i < 100; i++)
        at += (size_t)snprintf(long_path + at, 400000 - at, ".a");
    long_path[at++] = '.';
    assert_true(q_ql_next(q_slice_of(long_path, at), Q_SLICE_LIT(" FROM r"), &n));
    assert_int_equal(n.hop_count, Q_QL_MAX_HOPS);
    memset(long_path, '(', 399999);
    (void)q_ql_next(q_slice_of(long_path, 399999), Q_SLICE_NONE, &n); /* too many tokens: refused, no overflow */
    free(long_path);
    char *large = calloc(1, Q_QL_MAX_BYTES + 1);
    memset(large, ' ', Q_QL_MAX_BYTES + 1);
    assert_true(q_ql_next(q_slice_of(large, Q_QL_MAX_BYTES), Q_SLICE_NONE, &n));
    assert_false(q_ql_next(q_slice_of(large, Q_QL_MAX_BYTES + 1), Q_SLICE_NONE, &n));
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keywords_are_those_that_the_grammar_takes),
        cmocka_unit_test(names_follow_from_the_tokens_before),
        cmocka_unit_test(insert_completes_keys_and_not_a_documents),
        cmocka_unit_test(paths_tell_what_is_followed),
        cmocka_unit_test(a_subquerys_record_is_its_own),
        cmocka_unit_test(nothing_inside_strings_and_comments),
        cmocka_unit_test(bounds_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
