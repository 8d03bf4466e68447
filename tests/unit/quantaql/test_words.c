/* Keywords: which are reserved, which are names as well, and where any word is a name. The lists in words.c, lexer.re and grammar.y are
 * three: here they are held together. */
#include "ql.h"

#include "quantaql/grammar.h"
#include "quantaql/parser.h"

static int lex_one(const char *word, q_tok *tok)
{
    q_lexer lx;
    q_lex_init(&lx, word, strlen(word), true);
    return q_lex(&lx, tok);
}

static bool parses(const char *fmt, const char *word)
{
    char text[200];
    q_arena *arena = q_arena_new(0);
    q_script *s;
    q_err err = Q_ERR_INIT;
    snprintf(text, sizeof text, fmt, word, word);
    q_rc rc = q_ql_parse(arena, q_slice_cstr(text), &s, &err);
    q_arena_free(arena);
    return rc == Q_OK;
}

static void each_keyword_is_a_token_in_any_case(void **state)
{
    (void)state;
    size_t count = 0;
    for (const char *const *w = q_ql_keywords(); *w; w++, count++) {
        char lower[40] = "", mixed[40] = "";
        q_tok tok;
        for (size_t i = 0; (*w)[i]; i++) {
            lower[i] = (char)((*w)[i] | 0x20);
            mixed[i] = i % 2 ? lower[i] : (*w)[i];
        }
        int id = lex_one(*w, &tok);
        if (id == Q_TK_ID || strcmp(q_word_token(id), *w) != 0 || tok.len != strlen(*w) || lex_one(lower, &tok) != id || lex_one(mixed,
          &tok) != id)
            note("%s\n", *w);
        char longer[40], shorter[40];
        snprintf(longer, sizeof longer, "%sx", *w);
        snprintf(shorter, sizeof shorter, "_%s", *w);
        if (lex_one(longer, &tok) != Q_TK_ID || lex_one(shorter, &tok) != Q_TK_ID)
            note("%s and more\n", *w);
    }
    /* And each token that is a word is in the list. */
    size_t tokens = 0;
    for (int t = 1; t < 200; t++)
        tokens += q_word_is_keyword_token(t);
    assert_int_equal(tokens, count);
    none_noted();
}

static void a_keyword_is_a_name_unless_it_is_reserved(void **state)
{
    (void)state;
    for (const char *const *w = q_ql_keywords(); *w; w++) {
        bool reserved = q_word_is_reserved(q_slice_cstr(*w));
        bool literal = !strcmp(*w, "TRUE") || !strcmp(*w, "FALSE") || !strcmp(*w, "NULL");
        if (parses("SELECT %s FROM a", *w) != (!reserved || literal) ||
            parses("SELECT a FROM b WHERE %s = 1 ORDER BY %s", *w) != (!reserved || literal) || parses("UPDATE a SET %s = %s",
              *w) != !reserved || parses("SELECT a FROM %s", *w) != !reserved ||
            parses("INSERT INTO %s { id: 1 }", *w) != !reserved || parses("CREATE RECORD a (b relation to %s)", *w) != !reserved)
            note("%s\n", *w);
        if (!parses("SELECT `%s` FROM `%s`", *w))
            note("%s in backticks\n", *w);
    }
    none_noted();
}

static void any_word_is_a_name_where_nothing_else_could_be(void **state)
{
    (void)state;
    for (const char *const *w = q_ql_keywords(); *w; w++)
        if (!parses("INSERT INTO a { %s: 1, b: { %s: 2 } }", *w) || !parses("SELECT a.%s, b[0].%s FROM c", *w) ||
            !parses("SELECT a AS %s FROM b", *w) || !parses("CREATE RECORD a (%s scalar string, b metric unit %s)", *w) ||
            !parses("UPDATE a SET b.%s = 1", *w) || !parses("SELECT $%s FROM a", *w))
            note("%s\n", *w);
    none_noted();
}

static void functions_are_no_keywords(void **state)
{
    (void)state;
    static const char *const functions[] = { "count", "sum", "avg", "min", "max", "time", "duration", "uuid", "decimal", "bytes", "path" };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (!parses("SELECT %s, max(%s) FROM a", functions[i]) || !parses("UPDATE a SET %s = %s + 1", functions[i]))
            note("%s\n", functions[i]);
    assert_true(parses("SELECT relation, exists FROM a WHERE exists = 1 AND relation = relation(\"x\")", ""));
    assert_true(parses("SELECT COUNT(*), Max(a), DURATION(\"1d\") FROM b", ""));
    none_noted();
}

static void the_nearest_word_is_what_was_meant(void **state)
{
    (void)state;
    static const char *const words[] = { "SELECT", "SET", "FROM", "ASC", "DESC", "IN", "IS" };
    static const struct { const char *typed, *meant; } pairs[] = {
        { "selct", "SELECT" }, { "SLEECT", "SELECT" }, { "form", "FROM" }, { "fom", "FROM" }, { "DSC", "DESC" }, { "AS", NULL }, { "I",
          NULL },
        { "setx", "SET" }, { "everything", NULL }, { "", NULL },
          { "selectselectselectselectselectselectselectselectselectselectselectselect", NULL },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const char *near = q_word_nearest(q_slice_cstr(pairs[i].typed), words, sizeof words / sizeof words[0]);
        if ((near == NULL) != (pairs[i].meant == NULL) || (near && strcmp(near, pairs[i].meant) != 0))
            note("%s: %s\n", pairs[i].typed, near ? near : "-");
    }
    assert_int_equal(q_word_distance(Q_SLICE_LIT("abcd"), Q_SLICE_LIT("acbd"), 2), 1);
    assert_int_equal(q_word_distance(Q_SLICE_LIT("abcd"), Q_SLICE_LIT("ABCD"), 2), 0);
    assert_int_equal(q_word_distance(Q_SLICE_LIT("abcd"), Q_SLICE_LIT("dcba"), 2), 3);
    none_noted();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_keyword_is_a_token_in_any_case),
        cmocka_unit_test(a_keyword_is_a_name_unless_it_is_reserved),
        cmocka_unit_test(any_word_is_a_name_where_nothing_else_could_be),
        cmocka_unit_test(functions_are_no_keywords),
        cmocka_unit_test(the_nearest_word_is_what_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
