/* One message is one transaction in one bucket: its shape, the numbers of its statements, the bucket, the flags. */
#include "ql.h"

static q_catalog *world;

static int set_up(void **state)
{
    (void)state;
    world = make_world();
    q_arena *arena = q_arena_new(0);
    world = apply(world, parse_ok(arena, Q_SLICE_LIT("CREATE RECORD spare ()"))->stmts[0].ddl, 1000);
    q_arena_free(arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    q_catalog_unref(world);
    return 0;
}

static const struct {
    const char *text, *bucket;
    q_code code; /* Q_E_NONE: fine */
    uint32_t statement, line, column;
    const char *message;
} cases[] = {
    { "SELECT id FROM zones", "shop", Q_E_NONE, 0, 0, 0, "" },
    { ";;SELECT id FROM zones;;", "shop", Q_E_NONE, 0, 0, 0, "" },
    { "BEGIN; COMMIT", "shop", Q_E_NONE, 0, 0, 0, "" },
    { "begin transaction; rollback transaction;", "shop", Q_E_NONE, 0, 0, 0, "" },
    { "USE shop; SELECT id FROM zones", "", Q_E_NONE, 0, 0, 0, "" },
    { "USE shop; SELECT id FROM zones", "shop", Q_E_NONE, 0, 0, 0, "" },
    { "USE shop; USE shop; BEGIN; SELECT id FROM zones; COMMIT", "", Q_E_NONE, 0, 0, 0, "" },
    { "SHOW BUCKETS", "", Q_E_NONE, 0, 0, 0, "" },
    { "CREATE BUCKET other", "", Q_E_NONE, 0, 0, 0, "" },
    { "CREATE BUCKET other", "shop", Q_E_NONE, 0, 0, 0, "" },
    /* shape */
    { "SELECT id FROM zones; SELECT id FROM zones", "shop", Q_E_QQL_ONE_TRANSACTION, 0, 1, 23, "A second transaction begins here." },
    { "BEGIN; COMMIT; SELECT id FROM zones", "shop", Q_E_QQL_ONE_TRANSACTION, 0, 1, 16, "Something follows" },
    { "BEGIN; COMMIT; COMMIT", "shop", Q_E_QQL_ONE_TRANSACTION, 0, 1, 16, "Something follows" },
    { "SELECT id FROM zones; BEGIN; COMMIT", "shop", Q_E_QQL_ONE_TRANSACTION, 0, 1, 23, "A second transaction" },
    { "BEGIN;\nSELECT id FROM zones", "shop", Q_E_QQL_ONE_TRANSACTION, 0, 2, 21, "COMMIT or ROLLBACK is missing" },
    { "BEGIN; BEGIN; COMMIT; COMMIT", "shop", Q_E_QQL_ONE_TRANSACTION, 0, 1, 8, "inside of another" },
    { "COMMIT", "shop", Q_E_QQL_ONE_TRANSACTION, 0, 1, 1, "no transaction to end" },
    { "ROLLBACK", "shop", Q_E_QQL_ONE_TRANSACTION, 0, 1, 1, "no transaction to end" },
    { "USE shop;", "shop", Q_E_QQL_ONE_TRANSACTION, 0, 1, 10, "no statement" },
    { "SELECT id FROM zones; USE shop", "shop", Q_E_QQL_ONE_TRANSACTION, 0, 1, 23, "A second transaction" },
    { "BEGIN; USE shop; COMMIT", "shop", Q_E_QQL_UNSUPPORTED, 0, 1, 8, "USE stands before BEGIN." },
    { "BEGIN; DELETE FROM zones; CREATE BUCKET x; COMMIT", "shop", Q_E_QQL_UNSUPPORTED, 2, 1, 27, "not inside BEGIN ... COMMIT" },
    { "BEGIN; DROP RECORD zones; COMMIT", "shop", Q_E_QQL_UNSUPPORTED, 1, 1, 8, "Definitions are transactions of their own" },
    /* bucket */
    { "SELECT id FROM zones", "", Q_E_NO_BUCKET, 0, 0, 0, "The request names no bucket." },
    { "SHOW RECORDS", "", Q_E_NO_BUCKET, 0, 0, 0, "no bucket" },
    { "CREATE RECORD x ()", "", Q_E_NO_BUCKET, 0, 0, 0, "no bucket" },
    { "SELECT id FROM zones", "shp", Q_E_UNKNOWN_BUCKET, 0, 0, 0, "There is no bucket shp." },
    { "USE shp; SELECT id FROM zones", "", Q_E_UNKNOWN_BUCKET, 0, 1, 5, "There is no bucket shp." },
    { "USE other; SELECT id FROM zones", "shop", Q_E_QQL_UNSUPPORTED, 0, 1, 5, "the request is for the bucket shop" },
    { "USE shop;\nUSE other; SELECT id FROM zones", "", Q_E_QQL_UNSUPPORTED, 0, 2, 5, "USE other" },
    { "CREATE RECORD x ()", "nowhere", Q_E_UNKNOWN_BUCKET, 0, 0, 0, "nowhere" },
    /* numbers */
    { "BEGIN; DELETE FROM zones; DELETE FROM stops;\n DELETE FROM nil; COMMIT", "shop", Q_E_UNKNOWN_RECORD, 3, 2, 14, "nil" },
    { "USE shop; DELETE FROM nil", "shop", Q_E_UNKNOWN_RECORD, 1, 1, 23, "nil" },
};

static void a_message_is_one_transaction_in_one_bucket(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        q_arena *arena = q_arena_new(0);
        q_script *s = parse_ok(arena, q_slice_cstr(cases[i].text));
        q_err err = Q_ERR_INIT;
        q_rc rc = q_ql_check(arena, s, world, q_slice_cstr(cases[i].bucket), NULL, 0, &err);
        if ((rc == Q_OK) != (cases[i].code == Q_E_NONE))
            note("%s: %s %s\n", cases[i].text, q_code_name(err.code), err.message);
        else if (rc != Q_OK && (err.code != cases[i].code || err.statement != cases[i].statement || err.line != cases[i].line ||
                                err.column != cases[i].column || !strstr(err.message, cases[i].message)))
            note("%s\n  %s, statement %u at %u:%u: %s\n", cases[i].text, q_code_name(err.code), err.statement, err.line, err.column,
              err.message);
        q_arena_free(arena);
    }
    none_noted();
}

static void flags_say_what_the_transaction_does(void **state)
{
    (void)state;
    static const struct { const char *text; bool read_only, rollback, ddl, transaction; } flags[] = {
        { "SELECT id FROM zones", true, false, false, false },
        { "BEGIN; SELECT id FROM zones; ASSERT 1 = 1; SHOW RECORDS; COMMIT", true, false, false, true },
        { "BEGIN; SELECT id FROM zones; DELETE FROM zones; COMMIT", false, false, false, true },
        { "BEGIN; INSERT INTO zones { id: 1 }; ROLLBACK", false, true, false, true },
        { "UPDATE zones SET name = \"x\"", false, false, false, false },
        { "DROP RECORD spare", false, false, true, false },
        { "ASSERT 1 = 1", true, false, false, false },
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        q_arena *arena = q_arena_new(0);
        q_script *s = check_ok(arena, world, q_slice_cstr(flags[i].text));
        if (s->read_only != flags[i].read_only || s->rollback != flags[i].rollback || s->ddl != flags[i].ddl ||
            s->transaction != flags[i].transaction)
            note("%s\n", flags[i].text);
        q_arena_free(arena);
    }
    none_noted();
}

static void definitions_carry_their_bucket(void **state)
{
    (void)state;
    q_arena *arena = q_arena_new(0);
    q_script *s = check_ok(arena, world, Q_SLICE_LIT("CREATE RECORD fresh (a document)"));
    assert_slice(s->bucket, "shop");
    assert_slice(s->stmts[0].ddl.bucket, "shop");
    s = check_ok(arena, world, Q_SLICE_LIT("CREATE RECORD { \"record\": \"fresh\", \"attributes\": { \"a\": { \"type\": \"document\" } "
      "} }"));
    assert_slice(s->stmts[0].ddl.bucket, "shop");
    assert_slice(s->stmts[0].ddl.record, "fresh");
    s = check_ok(arena, world, Q_SLICE_LIT("CREATE BUCKET fresh"));
    assert_slice(s->bucket, "fresh");
    q_arena_free(arena);
}

/* The tree points into the arena's copy: the caller's text may go. */
static void the_tree_outlives_the_text(void **state)
{
    (void)state;
    char text[] = "SELECT name FROM zones WHERE name = \"Zone A\"";
    q_arena *arena = q_arena_new(0);
    q_script *s = parse_ok(arena, q_slice_cstr(text));
    memset(text, 'x', sizeof text - 1);
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_ql_check(arena, s, world, Q_SLICE_LIT("shop"), NULL, 0, &err), Q_OK);
    assert_slice(s->stmts[0].where->b->value.s, "Zone A");
    q_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_one_transaction_in_one_bucket),
        cmocka_unit_test(flags_say_what_the_transaction_does),
        cmocka_unit_test(definitions_carry_their_bucket),
        cmocka_unit_test(the_tree_outlives_the_text),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
