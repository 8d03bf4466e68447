/* What isn't QuantaQL: the code, the place, what was expected, and what was probably meant. */
#include "ql.h"

static const struct {
    const char *text;
    q_code code;
    uint32_t statement, line, column;
    const char *message, *hint; /* parts of them */
} cases[] = {
    /* misspelt keywords */
    { "SELCT id FROM x", Q_E_QQL_SYNTAX, 1, 1, 1, "Expected a statement", "Did you mean SELECT?" },
    { "SELECT id FORM orders", Q_E_QQL_SYNTAX, 1, 1, 11, "FROM", "Did you mean FROM?" },
    { "SELECT id FROM orders WHER id = 1", Q_E_QQL_SYNTAX, 1, 1, 23, "WHERE", "Did you mean WHERE?" },
    { "SELECT id FROM orders WHERE name LIEK \"x\"", Q_E_QQL_SYNTAX, 1, 1, 34, "an operator", "Did you mean LIKE?" },
    { "SELECT id FROM orders ORDER BY id DSC", Q_E_QQL_SYNTAX, 1, 1, 35, "DESC", "Did you mean DESC?" },
    { "DELETE FORM orders", Q_E_QQL_SYNTAX, 1, 1, 8, "Expected FROM, found \"FORM\".", "Did you mean FROM?" },
    { "INSERT INT orders {}", Q_E_QQL_SYNTAX, 1, 1, 8, "Expected INTO", "Did you mean INTO?" },
    { "UPDATE orders SETT a = 1", Q_E_QQL_SYNTAX, 1, 1, 15, "Expected SET", "Did you mean SET?" },
    { "CREATE BUKET x", Q_E_QQL_SYNTAX, 1, 1, 8, "BUCKET, KEY, RECORD or ROLE", "Did you mean BUCKET?" },
    { "CREATE RECORD x (a scaler string)", Q_E_QQL_SYNTAX, 1, 1, 20, "SCALAR", "Did you mean SCALAR?" },
    { "CREATE RECORD x (a scalar strng)", Q_E_QQL_SYNTAX, 1, 1, 27, "\"strng\" is not a datatype.", "Did you mean string?" },
    { "CREATE RECORD x (a scalar blob)", Q_E_QQL_SYNTAX, 1, 1, 27, "\"blob\" is not a datatype.", "decimal" },
    { "CREATE RECORD x (a relation to y requird)", Q_E_QQL_SYNTAX, 1, 1, 34, "REQUIRED", "Did you mean REQUIRED?" },
    { "SHOW BUCKET", Q_E_QQL_SYNTAX, 1, 1, 6, "BUCKETS", "Did you mean BUCKETS?" },
    { "BEGIN TRANSACTON", Q_E_QQL_SYNTAX, 0, 1, 7, "TRANSACTION", "Did you mean TRANSACTION?" },
    { "SELECT durration(\"1d\") FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "no function \"durration\"", "Did you mean duration()?" },
    { "SELECT f(x) FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "no function \"f\"", "" },
    /* the first unexpected token, or the end */
    { "", Q_E_QQL_SYNTAX, 0, 1, 1, "Expected a statement, found the end of the text.", "" },
    { "  -- nothing\n;", Q_E_QQL_SYNTAX, 0, 2, 2, "Expected a statement", "" },
    { "SELECT id FROM orders WHERE", Q_E_QQL_SYNTAX, 1, 1, 28, "Expected an expression, found the end of the text.", "" },
    { "SELECT id\nFROM orders\n\nWHERE a >\n  ", Q_E_QQL_SYNTAX, 1, 5, 3, "found the end of the text", "" },
    { "SELECT a b FROM c", Q_E_QQL_SYNTAX, 1, 1, 10, "an operator, AS, FROM or \",\"", "" },
    { "SELECT a, FROM c", Q_E_QQL_SYNTAX, 1, 1, 11, "Expected an expression", "`FROM`" },
    { "SELECT FROM orders", Q_E_QQL_SYNTAX, 1, 1, 8, "Expected an expression or \"*\"", "`FROM`" },
    { "INSERT INTO o { id: \"x\" ", Q_E_QQL_SYNTAX, 1, 1, 25, "found the end of the text", "" },
    { "INSERT INTO o { id \"x\" }", Q_E_QQL_SYNTAX, 1, 1, 20, "Expected \":\", found the string \"x\".", "" },
    { "INSERT INTO o { id: 1, }", Q_E_QQL_SYNTAX, 1, 1, 24, "Expected a name or a string", "" },
    { "INSERT INTO o { \"a\": [1, 2 }", Q_E_QQL_SYNTAX, 1, 1, 28, "\"]\"", "" },
    { "SELECT a FROM b WHERE a = = 1", Q_E_QQL_SYNTAX, 1, 1, 27, "Expected an expression", "one =" },
    { "SELECT a FROM b WHERE a = 1 = 2", Q_E_QQL_SYNTAX, 1, 1, 29, "found \"=\"", "" },
    { "SELECT a FROM b WHERE a < 1 < 2", Q_E_QQL_SYNTAX, 1, 1, 29, "found \"<\"", "" },
    { "SELECT a FROM b WHERE a = 1 NOT IN (2)", Q_E_QQL_SYNTAX, 1, 1, 29, "found \"NOT IN\"", "" },
    { "SELECT a FROM b WHERE a IN ()", Q_E_QQL_SYNTAX, 1, 1, 29, "Expected an expression", "" },
    { "SELECT a FROM b WHERE a IN 5", Q_E_QQL_SYNTAX, 1, 1, 28, "Expected \"(\" or a parameter", "" },
    { "SELECT a FROM b WHERE (a = 1", Q_E_QQL_SYNTAX, 1, 1, 29, "\")\"", "" },
    { "SELECT a FROM b WHERE a = 1)", Q_E_QQL_SYNTAX, 1, 1, 28, "found \")\"", "" },
    { "SELECT \"a\" AS \"b\" FROM x", Q_E_QQL_SYNTAX, 1, 1, 15, "Expected a name", "in backticks" },
    { "SELECT a FROM x WHERE b = \"x\" \"y\"", Q_E_QQL_SYNTAX, 1, 1, 31, "found the string \"y\"", "backslash" },
    { "SELECT a FROM x LIMIT", Q_E_QQL_SYNTAX, 1, 1, 22, "Expected an expression", "" },
    { "SELECT a FROM x ORDER a", Q_E_QQL_SYNTAX, 1, 1, 23, "Expected BY", "" },
    { "SELECT a FROM b; SELECT a\nFROM; ", Q_E_QQL_SYNTAX, 2, 2, 5, "Expected a name, found \";\".", "" },
    { "BEGIN; SELECT a FROM b; UPDATE", Q_E_QQL_SYNTAX, 2, 1, 31, "Expected a name", "" },
    { "COMMIT x", Q_E_QQL_SYNTAX, 0, 1, 8, "TRANSACTION", "" },
    { "SELECT count() FROM x", Q_E_QQL_SYNTAX, 1, 1, 14, "found \")\"", "" },
    { "SELECT sum(*) FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "sum() takes an expression", "" },
    { "SELECT time(5) FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "time() takes a string", "" },
    { "SELECT exists(a) FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "exists() takes a subquery", "" },
    { "SELECT count(SELECT a FROM b) FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "count() takes an expression", "" },
    { "SELECT path(1).x FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "path() takes relations", "" },
    { "SELECT count(a).x FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "Only path()", "" },
    { "SELECT count(a -> b) FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "count() takes", "" },
    { "CREATE RECORD x (a relation to y one many)", Q_E_QQL_SYNTAX, 1, 1, 18, "either ONE or MANY", "" },
    /* code points, not bytes */
    { "SELECT \"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\" x", Q_E_QQL_SYNTAX, 1, 1, 14, "found \"x\"", "" },
    { "/* \xC3\xA4\n\xC3\xA4 */ SELECT \xC3\xBC", Q_E_QQL_SYNTAX, 1, 2, 13, "found \"\xC3\xBC\"", "" },
    { "SELECT \"\xC3\xA4\n\xC3\xA4\" x", Q_E_QQL_SYNTAX, 1, 2, 4, "found \"x\"", "" },
    { "\xEF\xBB\xBFSELCT", Q_E_QQL_SYNTAX, 1, 1, 1, "found \"SELCT\"", "SELECT" },
    /* words that don't end, and words that are none */
    { "SELECT 'abc", Q_E_QQL_SYNTAX, 1, 1, 12, "line 1, column 8 is not closed", "" },
    { "SELECT \"abc\\\"\nd", Q_E_QQL_SYNTAX, 1, 2, 2, "line 1, column 8 is not closed", "" },
    { "SELECT a /* b\n\nc", Q_E_QQL_SYNTAX, 1, 3, 2, "comment that begins at line 1, column 10", "" },
    { "SELECT `abc", Q_E_QQL_SYNTAX, 1, 1, 12, "backticks at line 1, column 8", "" },
    { "SELECT `` FROM x", Q_E_QQL_SYNTAX, 1, 1, 17, "empty or not closed", "" },
    { "SELECT 5d FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "\"5d\" is not a number", "duration(\"1d 3h\")" },
    { "SELECT 1.5e FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "\"1.5e\" is not a number", "" },
    { "SELECT $ FROM x", Q_E_QQL_SYNTAX, 1, 1, 8, "A parameter is $ and a name.", "" },
    { "SELECT a ? b FROM x", Q_E_QQL_SYNTAX, 1, 1, 10, "found \"?\"", "" },
    { "SELECT 'a\\qb' FROM x", Q_E_QQL_SYNTAX, 1, 1, 10, "no such escape", "\\uXXXX" },
    { "SELECT 'a\n\\u12g4' FROM x", Q_E_QQL_SYNTAX, 1, 2, 1, "four hexadecimal digits", "" },
    { "SELECT '\\u12", Q_E_QQL_SYNTAX, 1, 1, 13, "not closed", "" },
    /* encoding */
    { "SELECT '\\u0000' FROM x", Q_E_QQL_ENCODING, 1, 1, 9, "NUL", "" },
    { "SELECT 'ab\\ud800x' FROM x", Q_E_QQL_ENCODING, 1, 1, 11, "surrogate", "" },
    { "SELECT '\\udc00\\ud800' FROM x", Q_E_QQL_ENCODING, 1, 1, 9, "surrogate", "" },
    { "SELECT '\xFF' FROM x", Q_E_QQL_ENCODING, 0, 1, 9, "Byte 8 (0xFF) is not UTF-8.", "" },
    { "SELECT\n'\xC3\xA4\xED\xA0\x80' FROM x", Q_E_QQL_ENCODING, 0, 2, 3, "Byte 10 (0xED)", "" },
    { "SELECT '\xC0\x80'", Q_E_QQL_ENCODING, 0, 1, 9, "0xC0", "" },
    { "SELECT '\xE2\x82", Q_E_QQL_ENCODING, 0, 1, 9, "0xE2", "" },
    /* values that can't be read */
    { "SELECT time(\"yesterday\") FROM x", Q_E_QQL_VALUE, 1, 1, 13, "time", "" },
    { "SELECT duration(\"1 parsec\") FROM x", Q_E_QQL_VALUE, 1, 1, 17, "duration", "" },
    { "SELECT uuid(\"x\") FROM x", Q_E_QQL_VALUE, 1, 1, 13, "uuid", "" },
    { "SELECT decimal(\"1.2.3\") FROM x", Q_E_QQL_VALUE, 1, 1, 16, "decimal", "" },
    { "SELECT 1e999 FROM x", Q_E_QQL_VALUE, 1, 1, 8, "float", "" },
    { "SELECT 99999999999999999999999999999999999 FROM x", Q_E_QQL_VALUE, 1, 1, 8, "decimal", "" },
    { "SELECT a[9223372036854775808] FROM x", Q_E_QQL_VALUE, 1, 1, 10, "index", "" },
    /* definitions */
    { "CREATE RECORD { \"record\": \"a b\", \"attributes\": {} }", Q_E_SCHEMA_INVALID, 1, 1, 15, "a b", "" },
    { "CREATE RECORD x (a metric string)", Q_E_SCHEMA_INVALID, 1, 1, 27, "int, float or duration", "scalar" },
    { "CREATE RECORD\n { \"attributes\": {} }", Q_E_SCHEMA_INVALID, 1, 2, 0, "", "" },
};

static void each_error_names_its_place_and_a_way_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        q_arena *arena = q_arena_new(0);
        q_script *s;
        q_err err = Q_ERR_INIT;
        if (q_ql_parse(arena, q_slice_cstr(cases[i].text), &s, &err) != Q_FAIL)
            note("parsed: %s\n", cases[i].text);
        else if (err.code != cases[i].code || err.statement != cases[i].statement || err.line != cases[i].line ||
            (cases[i].column && err.column != cases[i].column) || !strstr(err.message, cases[i].message) ||
            !strstr(err.hint, cases[i].hint) || (!cases[i].hint[0] && strstr(err.hint, "mean")))
            note("%s\n  %s, statement %u at %u:%u: %s | %s\n", cases[i].text, q_code_name(err.code), err.statement, err.line, err.column,
                     err.message, err.hint);
        assert_null(s);
        q_arena_free(arena);
    }
    none_noted();
}

static void a_nul_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char text[] = "SELECT id\nFROM \0 orders";
    q_arena *arena = q_arena_new(0);
    q_script *s;
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_ql_parse(arena, q_slice_of(text, sizeof text - 1), &s, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_ENCODING);
    assert_int_equal(err.line, 2);
    assert_int_equal(err.column, 6);
    q_arena_free(arena);
}

/* An error says the same wherever the lines break before it. */
static void lines_count_in_comments_and_strings(void **state)
{
    (void)state;
    static const char *const before[] = { "\n\n\n", "/*\n\n*/\n", "-- a\n-- b\n\n", "USE `a`;\n\n\n", "\r\n\r\n\r\n" };
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        char text[100];
        q_arena *arena = q_arena_new(0);
        q_script *s;
        q_err err = Q_ERR_INIT;
        snprintf(text, sizeof text, "%s SELECT x y", before[i]);
        assert_int_equal(q_ql_parse(arena, q_slice_cstr(text), &s, &err), Q_FAIL);
        assert_int_equal(err.line, 4);
        assert_int_equal(err.column, 11);
        q_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_names_its_place_and_a_way_on),
        cmocka_unit_test(a_nul_is_refused_with_its_place),
        cmocka_unit_test(lines_count_in_comments_and_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
