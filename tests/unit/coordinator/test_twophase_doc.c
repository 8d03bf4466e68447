/* docs/protocol.md says what the code does: its tables are those of twophase.def, and every mutant and scenario that it names exists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs those first */
#include <cmocka.h>
#include <ctype.h>
#include <glob.h>

#include "base/sabotage.h"
#include "coordinator/twophase.h"

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s can't be read: run the tests from the top folder", path);
    q_buf b = Q_BUF_INIT(4 << 20);
    for (int c; (c = fgetc(f)) != EOF;)
        q_buf_add_byte(&b, (uint8_t)c);
    q_buf_add_byte(&b, 0);
    fclose(f);
    assert_false(b.failed);
    return b.ptr;
}

static void the_documents_tables_are_the_codes(void **state)
{
    (void)state;
    char *doc = slurp("docs/protocol.md");
    q_buf tables = Q_BUF_INIT(1 << 20);
    q_tp_print(&tables);
    q_buf_add_byte(&tables, 0);
    char *begin = strstr(doc, "<!-- tables of coordinator/twophase.def"), *end = strstr(doc, "<!-- end of tables -->");
    assert_non_null(begin);
    assert_non_null(end);
    begin = strchr(begin, '\n') + 1;
    *end = '\0';
    if (strcmp(begin, tables.ptr) != 0) {
        printf("docs/protocol.md should say:\n%s", tables.ptr);
        fail_msg("the tables of docs/protocol.md aren't those of coordinator/twophase.def");
    }
    q_buf_free(&tables);
    free(doc);
}

static void every_mutant_is_in_the_document_and_every_named_one_exists(void **state)
{
    (void)state;
    static const char *const names[] = {
#define X(name, who, sentence) #name,
        Q_SABOTAGES(X)
#undef X
    };
    char *doc = slurp("docs/protocol.md");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char wanted[80];
        snprintf(wanted, sizeof wanted, "mutant %s", names[i]);
        if (!strstr(doc, wanted))
            fail_msg("docs/protocol.md doesn't name the mutant %s", names[i]);
    }
    for (char *at = doc; (at = strstr(at, "mutant "));) {
        char name[80];
        size_t n = 0;
        for (at += 7; n + 1 < sizeof name && (isupper((unsigned char)*at) || *at == '_'); at++)
            name[n++] = *at;
        name[n] = '\0';
        bool known = n == 0 || strcmp(name, "NAME") == 0;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            known = known || strcmp(names[i], name) == 0;
        if (!known)
            fail_msg("docs/protocol.md names a mutant %s", name);
    }
    free(doc);
}

/* All text of the files that match. */
static char *slurp_all(const char *pattern)
{
    glob_t g;
    q_buf all = Q_BUF_INIT(16 << 20);
    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        char *text = slurp(g.gl_pathv[i]);
        q_buf_add_cstr(&all, text);
        free(text);
    }
    globfree(&g);
    q_buf_add_byte(&all, 0);
    return all.ptr;
}

static void every_scenario_that_it_names_exists(void **state)
{
    (void)state;
    char *doc = slurp("docs/protocol.md"), *scenes = slurp_all("tests/sim/scene_*.c");
    unsigned found = 0;
    for (char *at = doc; (at = strstr(at, "sim: "));) {
        at += 5;
        while (islower((unsigned char)*at)) {
            char name[82] = "\"";
            size_t n = 1;
            for (; n < sizeof name - 2 && (islower((unsigned char)*at) || *at == '-'); at++)
                name[n++] = *at;
            name[n] = '"';
            name[n + 1] = '\0';
            if (!strstr(scenes, name) && strcmp(name, "\"name\"") != 0)
                fail_msg("docs/protocol.md names a scenario %s", name);
            found++;
            if (strncmp(at, ", ", 2) == 0)
                at += 2;
        }
    }
    assert_true(found > 20);
    free(doc);
    free(scenes);
}

static void every_unit_test_that_it_names_exists(void **state)
{
    (void)state;
    char *doc = slurp("docs/protocol.md");
    unsigned found = 0;
    for (char *at = doc; (at = strstr(at, "test_"));) {
        char file[80], pattern[120];
        size_t n = 0;
        for (; n + 1 < sizeof file && (isalnum((unsigned char)*at) || *at == '_'); at++)
            file[n++] = *at;
        file[n] = '\0';
        if (strcmp(file, "test_x") == 0 || strcmp(file, "test_twophase_doc") == 0)
            continue;
        snprintf(pattern, sizeof pattern, "tests/unit/*/%s.c", file);
        glob_t g;
        if (glob(pattern, 0, NULL, &g) != 0)
            fail_msg("docs/protocol.md names %s", file);
        globfree(&g);
        if (strncmp(at, ": ", 2) != 0)
            continue;
        char *text = slurp_all(pattern);
        for (at += 2; islower((unsigned char)*at);) {
            char name[120], definition[130];
            n = 0;
            for (; n + 1 < sizeof name && (isalnum((unsigned char)*at) || *at == '_'); at++)
                name[n++] = *at;
            name[n] = '\0';
            if (!strchr(name, '_'))
                break; /* a word of prose */
            snprintf(definition, sizeof definition, "%s(", name);
            if (!strstr(text, definition))
                fail_msg("docs/protocol.md names %s: %s", file, name);
            found++;
            if (strncmp(at, ", ", 2) == 0 && strncmp(at + 2, "test_", 5) != 0)
                at += 2;
        }
        free(text);
    }
    assert_true(found > 40);
    free(doc);
}

/* Each word of `text` that begins after `mark` and is made of `of`, in `table`, between these. */
static unsigned each_is_in(const char *text, const char *mark, const char *of, const char *table, const char *before, const char *after)
{
    unsigned found = 0;
    for (const char *at = text; (at = strstr(at, mark)); found++) {
        char wanted[120];
        at += strlen(mark);
        snprintf(wanted, sizeof wanted, "%s%.*s%s", before, (int)strspn(at, of), at, after);
        if (!strstr(table, wanted))
            fail_msg("docs/model/README.md has no line for %s", wanted);
    }
    return found;
}

static void each_sabotage_of_the_model_has_its_mutant(void **state)
{
    (void)state;
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz-,", upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    char *doc = slurp("docs/model/README.md"), *run = slurp("docs/model/run"), *ours = slurp("base/sabotage.h"), *engines = slurp("tests/sim/memengine.h");
    assert_true(each_is_in(run, "$m S:", lower, doc, "S:", "`") + each_is_in(run, "$m R:", lower, doc, "R:", "`") >= 19);
    assert_true(each_is_in(run, "$m 1pc-S:", lower, doc, "1pc-S:", "`") + each_is_in(run, "$m 1pc-R:", lower, doc, "1pc-R:", "`") >= 6);
    assert_int_equal(each_is_in(strstr(ours, "#define Q_SABOTAGES"), "    X(", upper, doc, "| ", " |"), Q_SABOTAGE_COUNT);
    assert_true(each_is_in(strstr(engines, "#define MEM_SABOTAGES"), "    X(", upper, doc, "| ", " |") >= 4);
    free(doc);
    free(run);
    free(ours);
    free(engines);
}

/* The last part of each name in the Makefile's MODULES, with a slash behind it, stands in the drawing of docs/architecture.md. */
static void the_drawing_has_every_module(void **state)
{
    (void)state;
    char *doc = slurp("docs/architecture.md"), *makefile = slurp("Makefile");
    char *drawing = strstr(doc, "```\n"), *names = strstr(makefile, "\nMODULES := ");
    assert_non_null(drawing);
    assert_non_null(names);
    char *end = strstr(drawing + 4, "```\n");
    assert_non_null(end);
    *end = '\0';
    names += strlen("\nMODULES := ");
    names[strcspn(names, "\n")] = '\0';
    unsigned found = 0;
    for (size_t n; (n = strcspn(names, " ")) > 0; names += n + (names[n] == ' '), found++) {
        char wanted[80], *last = memrchr(names, '/', n), *from = last ? last + 1 : names;
        snprintf(wanted, sizeof wanted, "%.*s/", (int)(names + n - from), from);
        if (!strstr(drawing, wanted))
            fail_msg("the drawing of docs/architecture.md lacks %s", wanted);
    }
    assert_true(found > 10);
    free(doc);
    free(makefile);
}

static void every_state_can_be_reached_and_left(void **state)
{
    (void)state;
    for (unsigned s = 0; s < Q_TPS_COUNT; s++) {
        bool reached = s == Q_TPS_NEW, left = s == Q_TPS_DONE;
        for (unsigned from = 0; from < Q_TPS_COUNT; from++)
            for (unsigned e = 0; e < Q_TPE_COUNT; e++) {
                const q_tp_row *row = q_tp_look((q_tp_state)from, (q_tp_event)e);
                reached = reached || (row->verdict == Q_TP_MOVES && row->next == s && from != s);
                left = left || (row->verdict == Q_TP_MOVES && from == s && row->next != s);
            }
        assert_true(reached && left);
    }
    for (unsigned e = 0; e < Q_TPE_COUNT; e++)
        assert_int_equal(q_tp_look(Q_TPS_DONE, (q_tp_event)e)->verdict, Q_TP_BUG);
}

static void what_has_a_seq_is_never_told_before_it_is_durable(void **state)
{
    (void)state;
    for (unsigned s = 0; s < Q_TPS_COUNT; s++)
        for (unsigned e = 0; e < Q_TPE_COUNT; e++) {
            const q_tp_row *row = q_tp_look((q_tp_state)s, (q_tp_event)e);
            if (!(row->actions & (Q_TPA_REPLY | Q_TPA_EVENTS | Q_TPA_SEND_COMMIT)) || s == Q_TPS_APPLYING)
                continue;
            /* Only durability, or having neither seq nor record, lets a reply leave. */
            assert_true(e == Q_TPE_PERSISTED || e == Q_TPE_PERSISTED_ALL || e == Q_TPE_REFUSED || e == Q_TPE_GIVE_UP || e == Q_TPE_ANSWER);
            if (row->actions & (Q_TPA_EVENTS | Q_TPA_SEND_COMMIT))
                assert_int_equal(s, Q_TPS_DECIDING);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documents_tables_are_the_codes),
        cmocka_unit_test(every_mutant_is_in_the_document_and_every_named_one_exists),
        cmocka_unit_test(every_scenario_that_it_names_exists),
        cmocka_unit_test(every_unit_test_that_it_names_exists),
        cmocka_unit_test(each_sabotage_of_the_model_has_its_mutant),
        cmocka_unit_test(the_drawing_has_every_module),
        cmocka_unit_test(every_state_can_be_reached_and_left),
        cmocka_unit_test(what_has_a_seq_is_never_told_before_it_is_durable),
    };
    return cmocka_run_group_tests_name("the protocol's document", tests, NULL, NULL);
}
