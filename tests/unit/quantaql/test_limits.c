/* Each limit holds at its value, and one past it is refused with QQL_LIMIT. */
#include "ql.h"

static q_arena *arena;
static q_buf text;

static int set_up(void **state)
{
    (void)state;
    arena = q_arena_new(0);
    text = Q_BUF_INIT((size_t)1 << 24);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    q_arena_free(arena);
    q_buf_free(&text);
    return 0;
}

static void repeat(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        q_buf_add_cstr(&text, s);
}

static q_rc parse(q_err *err)
{
    q_script *s;
    *err = Q_ERR_INIT;
    q_arena_reset(arena);
    return q_ql_parse(arena, q_buf_slice(&text), &s, err);
}

/* before, n times `piece`, after: fine for n = most, refused for one more. */
static void bounded(const char *before, const char *piece, const char *after, size_t most)
{
    q_err err;
    for (size_t more = 0; more < 2; more++) {
        q_buf_clear(&text);
        q_buf_add_cstr(&text, before);
        repeat(piece, most + more);
        q_buf_add_cstr(&text, after);
        q_rc rc = parse(&err);
        if ((rc == Q_OK) != (more == 0) || (more && err.code != Q_E_QQL_LIMIT))
            note("%s%s...%s: %s at %zu: %s %u:%u\n", before, piece, after, q_code_name(err.code), most + more, err.message, err.line,
              err.column);
        if (more && (err.line == 0 || err.column == 0 || err.statement == 0))
            note("%s%s...: no place\n", before, piece);
    }
}

static void bytes_are_bounded(void **state)
{
    (void)state;
    q_err err;
    static const char start[] = "SELECT id FROM a;";
    q_buf_clear(&text);
    q_buf_add_cstr(&text, start);
    repeat(" ", Q_QL_MAX_BYTES - (sizeof start - 1));
    assert_int_equal(parse(&err), Q_OK);
    q_buf_add_byte(&text, ' ');
    assert_int_equal(parse(&err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_LIMIT);
}

static void lists_are_bounded(void **state)
{
    (void)state;
    bounded("", "DELETE FROM a;", "", Q_QL_MAX_STATEMENTS);
    bounded("INSERT INTO a {id:1}", ",{id:1}", "", Q_QL_MAX_ROWS - 1);
    bounded("INSERT INTO a {id:1", ",id:1", "}", Q_QL_MAX_COLUMNS - 1);
    bounded("SELECT a", ",a", " FROM b", Q_QL_MAX_COLUMNS - 1);
    bounded("SELECT a FROM b GROUP BY a", ",a", "", Q_QL_MAX_COLUMNS - 1);
    bounded("SELECT a FROM b ORDER BY a", ",a", "", Q_QL_MAX_COLUMNS - 1);
    bounded("UPDATE a SET b = 1", ",b = 1", "", Q_QL_MAX_COLUMNS - 1);
    bounded("SELECT a FROM b WHERE a IN (1", ",1", ")", Q_QL_MAX_IN - 1);
    bounded("SELECT path(a", "->a", ").b FROM c", Q_QL_MAX_HOPS - 1);
    bounded("SELECT a", ".a", " FROM c", Q_QL_MAX_DEPTH - 1);
    bounded("SELECT a[0]", "[0]", " FROM c", Q_QL_MAX_DEPTH - 2);
    none_noted();
}

static void depth_is_bounded(void **state)
{
    (void)state;
    static const struct { const char *open, *middle, *close, *before, *after; } forms[] = {
        { "(", "a", ")", "SELECT ", " FROM b" },
        { "[", "", "]", "SELECT ", " FROM b" },
        { "{a:", "1", "}", "SELECT ", " FROM b" },
        { "{a:", "1", "}", "INSERT INTO b ", "" },
        { "min(", "a", ")", "SELECT ", " FROM b" },
        { "(SELECT ", "a", " FROM c)", "SELECT ", " FROM b" },
    };
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
        for (size_t more = 0; more < 2; more++) {
            q_err err;
            bool functions = forms[f].open[0] == 'm' || forms[f].open[0] == '{' || forms[f].open[0] == '[';
            size_t depth = Q_QL_MAX_DEPTH + more;
            /* A function, an object and an array are nodes of the tree; what they hold is one more. */
            size_t leaf = functions && forms[f].middle[0] && !(f == 3) ? 1 : 0;
            q_buf_clear(&text);
            q_buf_add_cstr(&text, forms[f].before);
            repeat(forms[f].open, depth - leaf);
            q_buf_add_cstr(&text, forms[f].middle);
            repeat(forms[f].close, depth - leaf);
            q_buf_add_cstr(&text, forms[f].after);
            q_rc rc = parse(&err);
            if ((rc == Q_OK) != (more == 0) || (more && err.code != Q_E_QQL_LIMIT))
                note("%s x %zu: %s %s\n", forms[f].open, depth, q_code_name(err.code), err.message);
        }
    }
    bounded("SELECT ", "NOT ", "a FROM b", Q_QL_MAX_DEPTH - 1);
    bounded("SELECT ", "- ", "a FROM b", Q_QL_MAX_DEPTH - 1);
    bounded("SELECT a", "+a", " FROM b", Q_QL_MAX_DEPTH - 1);
    none_noted();
}

/* 10,000 brackets of each kind, and operators without end: an answer, and no deep recursion (the stack of a thread is small). */
static void nesting_without_end_is_refused(void **state)
{
    (void)state;
    static const char *const pieces[] = { "(", "[", "{a:", "{", "NOT ", "-", "- ", "a+", "a=", "a OR ", "a AND (", "a IN (", "min(",
      "(SELECT ",
        "a BETWEEN ", "a.", "a[", "path(", "exists(select ", "/*", "\"", "`", "--\n", ";", "$", "a,", "1 -", "NOT NOT IN " };
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        q_err err;
        q_buf_clear(&text);
        q_buf_add_cstr(&text, "SELECT ");
        repeat(pieces[i], 10000);
        if (parse(&err) != Q_FAIL)
            note("%s\n", pieces[i]);
        q_buf_clear(&text);
        q_buf_add_cstr(&text, "INSERT INTO a {b:");
        repeat(pieces[i], 10000);
        if (parse(&err) != Q_FAIL)
            note("%s\n", pieces[i]);
    }
    none_noted();
}

/* The longest message of the smallest parts: neither time nor memory run away. */
static void the_largest_texts_are_answered(void **state)
{
    (void)state;
    static const struct { const char *before, *piece, *after; q_rc rc; } forms[] = {
        { "INSERT INTO a {id:[1", ",1", "]}", Q_OK },
        { "INSERT INTO a {id:{a:1", ",b:1", "}}", Q_OK },
        { "SELECT a FROM b WHERE a", " OR a", "", Q_OK },
        { "SELECT a FROM b WHERE a", " AND(a OR a)", "", Q_OK },
        { "", ";", "SELECT a FROM b", Q_OK },
        { "SELECT a FROM b", " ", "", Q_OK },
        { "SELECT a FROM b WHERE c = \"", "x", "\"", Q_OK },
        { "SELECT a FROM b WHERE c = \"", "\\n", "\"", Q_OK },
        { "SELECT a FROM b --", "x", "", Q_OK },
        { "SELECT a FROM b ", "/**/", "", Q_OK },
        { "SELECT a FROM b ", "-- \n", "", Q_OK },
        { "SELECT a FROM b WHERE ", "NOT ", "a", Q_FAIL },
        { "SELECT ", "9", " FROM a", Q_FAIL },
        { "SELECT ", "a", " FROM a", Q_OK },
        { "SELECT a FROM b WHERE a IN (1", ",1", ")", Q_FAIL },
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        q_err err;
        size_t room = Q_QL_MAX_BYTES - strlen(forms[i].before) - strlen(forms[i].after);
        q_buf_clear(&text);
        q_buf_add_cstr(&text, forms[i].before);
        repeat(forms[i].piece, room / strlen(forms[i].piece));
        q_buf_add_cstr(&text, forms[i].after);
        if (parse(&err) != forms[i].rc)
            note("%s%s...: %s %s\n", forms[i].before, forms[i].piece, q_code_name(err.code), err.message);
        if (q_arena_bytes(arena) > (size_t)256 << 20)
            note("%s%s...: %zu bytes\n", forms[i].before, forms[i].piece, q_arena_bytes(arena));
    }
    none_noted();
}

static void documents_and_relations_are_bounded(void **state)
{
    (void)state;
    q_catalog *world = make_world();
    static const struct { const char *before, *piece, *after; size_t most; q_code code; } forms[] = {
        { "INSERT INTO things { id: \"a\", lots: [\"a\"", ",\"a\"", "] }", Q_MAX_RELATION_IDS - 1, Q_E_QQL_LIMIT },
        { "INSERT INTO things { id: \"a\", lots: [relation(\"a\")", ",relation(\"a\")", "] }", Q_MAX_RELATION_IDS - 1, Q_E_QQL_LIMIT },
        { "INSERT INTO things { id: \"", "x", "\" }", Q_MAX_ID_BYTES, Q_E_QQL_VALUE },
        { "SELECT doc", ".a", " FROM things", Q_MAX_DOC_STEPS, Q_E_QQL_LIMIT },
        { "SELECT self", ".self", ".s FROM things", Q_QL_MAX_HOPS - 1, Q_E_QQL_LIMIT },
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        for (size_t more = 0; more < 2; more++) {
            q_err err = Q_ERR_INIT;
            q_buf_clear(&text);
            q_buf_add_cstr(&text, forms[i].before);
            repeat(forms[i].piece, forms[i].most + more);
            q_buf_add_cstr(&text, forms[i].after);
            q_arena_reset(arena);
            q_script *s = parse_ok(arena, q_buf_slice(&text));
            q_rc rc = q_ql_check(arena, s, world, Q_SLICE_LIT("shop"), NULL, 0, &err);
            if ((rc == Q_OK) != (more == 0) || (more && err.code != forms[i].code))
                note("%s%s...: %s %s\n", forms[i].before, forms[i].piece, q_code_name(err.code), err.message);
        }
    }
    /* Depth of a document. */
    for (size_t more = 0; more < 2; more++) {
        q_err err = Q_ERR_INIT;
        q_buf_clear(&text);
        q_buf_add_cstr(&text, "INSERT INTO things { id: \"a\", doc: ");
        repeat("[", Q_MAX_DOC_DEPTH + more);
        repeat("]", Q_MAX_DOC_DEPTH + more);
        q_buf_add_cstr(&text, "}");
        q_arena_reset(arena);
        q_script *s = parse_ok(arena, q_buf_slice(&text));
        q_rc rc = q_ql_check(arena, s, world, Q_SLICE_LIT("shop"), NULL, 0, &err);
        assert_int_equal(rc, more ? Q_FAIL : Q_OK);
        assert_true(!more || err.code == Q_E_DOCUMENT_LIMIT);
    }
    q_catalog_unref(world);
    none_noted();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_bounded),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(nesting_without_end_is_refused),
        cmocka_unit_test(the_largest_texts_are_answered),
        cmocka_unit_test(documents_and_relations_are_bounded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
