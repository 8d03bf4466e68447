/* Scripts into transactions, for exec and shell. */
#include "ql.h"

/* The pieces that a script is cut into, one after the other, "|" between them; then what is left: END, or WAIT and the rest. */
static void cut(const char *script, const char *expected)
{
    q_slice left = q_slice_cstr(script);
    q_buf out = Q_BUF_INIT(100000);
    for (;;) {
        size_t end = 0;
        q_rc rc = q_ql_split(left, &end);
        if (rc != Q_OK) {
            q_buf_add_cstr(&out, rc == Q_END ? "END" : "WAIT");
            break;
        }
        assert_true(end > 0 && end <= left.len);
        q_buf_add(&out, left.ptr, end);
        q_buf_add_byte(&out, '|');
        left = (q_slice){ left.ptr + end, left.len - end };
    }
    if (!q_slice_eq(q_buf_slice(&out), q_slice_cstr(expected)))
        note("%s\n  %.*s\n", script, Q_SLICE_FMT(q_buf_slice(&out)));
    q_buf_free(&out);
}

static void scripts_are_cut_at_transactions(void **state)
{
    (void)state;
    cut("", "END");
    cut("  \n-- nothing\n/* here */ ;;", "END");
    cut("SELECT 1;", "SELECT 1;|END");
    cut("SELECT 1", "WAIT");
    cut("SELECT 1; SELECT 2;", "SELECT 1;| SELECT 2;|END");
    cut("SELECT 1;\nSELECT 2", "SELECT 1;|WAIT");
    cut("BEGIN; INSERT INTO a {}; COMMIT; SELECT 1;", "BEGIN; INSERT INTO a {}; COMMIT;| SELECT 1;|END");
    cut("begin transaction; delete from a; rollback transaction;x;", "begin transaction; delete from a; rollback transaction;|x;|END");
    cut("BEGIN; INSERT INTO a {};", "WAIT");
    cut("BEGIN; COMMIT", "WAIT");
    cut("USE a; SELECT 1; SELECT 2;", "USE a; SELECT 1;| SELECT 2;|END");
    cut("USE a; USE b; BEGIN; SELECT 1; COMMIT;", "USE a; USE b; BEGIN; SELECT 1; COMMIT;|END");
    cut("USE a;", "WAIT");
    cut("COMMIT; SELECT 1;", "COMMIT;| SELECT 1;|END");
    none_noted();
}

static void semicolons_inside_of_words_dont_cut(void **state)
{
    (void)state;
    cut("SELECT \"a;b\" FROM c;", "SELECT \"a;b\" FROM c;|END");
    cut("SELECT 'a;\\';b' FROM c;", "SELECT 'a;\\';b' FROM c;|END");
    cut("SELECT `a;b` FROM c;", "SELECT `a;b` FROM c;|END");
    cut("SELECT a -- ; COMMIT\n FROM c;", "SELECT a -- ; COMMIT\n FROM c;|END");
    cut("SELECT a /* ; */ FROM c;", "SELECT a /* ; */ FROM c;|END");
    cut("SELECT \"a;", "WAIT");
    cut("SELECT \"a\\", "WAIT");
    cut("SELECT a /* ;", "WAIT");
    cut("/*/ ; */ SELECT 1;", "/*/ ; */ SELECT 1;|END");
    cut("SELECT a - -1, b-> c;", "SELECT a - -1, b-> c;|END");
    cut("BEGIN; SELECT commit FROM a; SELECT a.commit; COMMIT;", "BEGIN; SELECT commit FROM a; SELECT a.commit; COMMIT;|END");
    cut("SELECT beginning; BEGINNING; x;", "SELECT beginning;| BEGINNING;| x;|END");
    none_noted();
}

static void what_is_no_quantaql_is_cut_all_the_same(void **state)
{
    (void)state;
    cut("\xFF\xFE ( { ; ok;", "\xFF\xFE ( { ;| ok;|END");
    cut("\xEF\xBB\xBF BEGIN; COMMIT;", "\xEF\xBB\xBF BEGIN; COMMIT;|END");
    size_t end;
    static const char nul[] = "a\0b; c;";
    assert_int_equal(q_ql_split(q_slice_of(nul, sizeof nul - 1), &end), Q_OK);
    assert_int_equal(end, 4);
    assert_int_equal(q_ql_split(Q_SLICE_NONE, &end), Q_END);
    none_noted();
}

/* No byte after the slice is looked at: a copy of exactly that size is read under the address sanitizer, at every length. */
static void it_stays_inside_of_its_text(void **state)
{
    (void)state;
    static const char script[] = "USE a; BEGIN; SELECT \"x\\\"\", 'y', `z` -- c\n/* d */ FROM t; COMMIT; SELECT 1;";
    for (size_t n = 0; n < sizeof script; n++) {
        char *exact = malloc(n ? n : 1);
        memcpy(exact, script, n);
        size_t end = 0;
        q_rc rc = q_ql_split(q_slice_of(exact, n), &end);
        assert_true(rc == Q_END || rc == Q_WAIT || (rc == Q_OK && end <= n));
        free(exact);
    }
}

/* Each piece is one transaction to the parser and the check. */
static void pieces_are_transactions(void **state)
{
    (void)state;
    q_catalog *world = make_world();
    q_arena *arena = q_arena_new(0);
    q_slice left = Q_SLICE_LIT("USE shop; INSERT INTO zones { id: 1, name: \"a;b\" };\nBEGIN; UPDATE zones SET name = 'x'; ASSERT 1 = "
      "1; ROLLBACK;\n"
                               "SELECT * FROM zones; SHOW RECORDS; -- the end\n");
    size_t pieces = 0, end;
    while (q_ql_split(left, &end) == Q_OK) {
        (void)check_ok(arena, world, (q_slice){ left.ptr, end });
        left = (q_slice){ left.ptr + end, left.len - end };
        pieces++;
    }
    assert_int_equal(pieces, 4);
    assert_int_equal(q_ql_split(left, &end), Q_END);
    q_arena_free(arena);
    q_catalog_unref(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_are_cut_at_transactions),
        cmocka_unit_test(semicolons_inside_of_words_dont_cut),
        cmocka_unit_test(what_is_no_quantaql_is_cut_all_the_same),
        cmocka_unit_test(it_stays_inside_of_its_text),
        cmocka_unit_test(pieces_are_transactions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
