/* What is asked: one question a level whatever the rows are, ids each once, values only as parameters, a mutation as one transaction. */
#include "graphql/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define NAME(s) { s, sizeof(s) - 1 }

static q_gql_attr driver_attrs[] = { { .name = NAME("id"), .datatype = NAME("string") }, { .name = NAME("name"), .datatype = NAME("string") } };
static q_gql_attr order_attrs[] = { { .name = NAME("id"), .datatype = NAME("int") }, { .name = NAME("note"), .datatype = NAME("string") },
                                    { .name = NAME("driver"), .kind = Q_GQL_A_RELATION, .target = NAME("drivers") } };
static const q_gql_record records[] = { { NAME("drivers"), driver_attrs, 2 }, { NAME("orders"), order_attrs, 3 } };

typedef struct world { q_arena *arena; q_gql_schema *schema; q_gql_request *request; q_err err; } world;

static q_rc begin(world *w, const char *text)
{
    const q_gql_limits limits = { 10, 100 };
    *w = (world){ .arena = q_arena_new(0), .err = Q_ERR_INIT };
    assert_non_null(w->arena);
    assert_int_equal(q_gql_schema_build(w->arena, records, 2, &w->schema, &w->err), Q_OK);
    return q_gql_request_new(w->arena, &limits, w->schema, q_slice_cstr(text), Q_SLICE_NONE, NULL, &w->request, &w->err);
}

static void end(world *w)
{
    q_gql_request_free(w->request);
    q_arena_free(w->arena);
}

static void a_relation_of_many_rows_is_one_question_with_each_id_once(void **state)
{
    enum { ROWS = 100 };
    world w;
    q_gql_question q;
    yajl_val rows[ROWS], drivers[2];
    (void)state;
    assert_int_equal(begin(&w, "{ orders { id driver { name } } }"), Q_OK);
    assert_int_equal(q_gql_ask(w.request, &q, &w.err), Q_OK);
    assert_int_equal(q.count, 1);
    assert_string_equal(q.query.ptr, "SELECT `id` AS c0, `driver` AS c1 FROM `orders` WHERE (TRUE) ORDER BY `id` ASC LIMIT $p0 OFFSET $p1;");
    json_decref(q.params);
    for (int i = 0; i < ROWS; i++) {
        char text[40];
        snprintf(text, sizeof text, "[%d,\"d%d\"]", i, i % 3); /* d2 isn't there */
        rows[i] = yajl_tree_parse(text, NULL, 0);
        assert_non_null(rows[i]);
    }
    q_gql_told told = { .rows = rows, .row_count = ROWS };
    assert_int_equal(q_gql_tell(w.request, &told, 1, "t", &w.err), Q_OK);
    assert_int_equal(q_gql_ask(w.request, &q, &w.err), Q_OK);
    assert_int_equal(q.count, 1);
    assert_string_equal(q.query.ptr, "SELECT `id` AS c0, `name` AS c1 FROM `drivers` WHERE `id` IN $p0;");
    char *params = json_dumps(q.params, JSON_COMPACT);
    assert_string_equal(params, "{\"p0\":[\"d0\",\"d1\",\"d2\"]}");
    free(params);
    json_decref(q.params);
    drivers[0] = yajl_tree_parse("[\"d1\",\"Bo\"]", NULL, 0);
    drivers[1] = yajl_tree_parse("[\"d0\",\"Al\"]", NULL, 0);
    told = (q_gql_told){ .rows = drivers, .row_count = 2 };
    assert_int_equal(q_gql_tell(w.request, &told, 1, "t", &w.err), Q_OK);
    assert_int_equal(q_gql_ask(w.request, &q, &w.err), Q_END);
    q_buf out = Q_BUF_INIT((size_t)1 << 20);
    static const char start[] = "{\"data\":{\"orders\":[{\"id\":\"0\",\"driver\":{\"name\":\"Al\"}},{\"id\":\"1\",\"driver\":{\"name\":\"Bo\"}},{\"id\":\"2\",\"driver\":null},";
    q_gql_answer(w.request, &out);
    assert_true(out.len > sizeof start);
    assert_memory_equal(out.ptr, start, sizeof start - 1);
    q_buf_free(&out);
    for (int i = 0; i < ROWS; i++)
        yajl_tree_free(rows[i]);
    yajl_tree_free(drivers[0]);
    yajl_tree_free(drivers[1]);
    end(&w);
}

static void a_mutation_is_one_transaction_and_its_values_are_parameters(void **state)
{
    world w;
    q_gql_question q;
    (void)state;
    assert_int_equal(begin(&w, "mutation { driversInsert(rows: [{id: \"x'; --\", name: \"`\"}]) { count } ordersDelete(where: {note: {eq: \"\\\"\"}}) { count } }"), Q_OK);
    assert_int_equal(q_gql_ask(w.request, &q, &w.err), Q_OK);
    assert_true(q.writes);
    assert_int_equal(q.count, 2);
    assert_string_equal(q.query.ptr, "BEGIN; INSERT INTO `drivers` {`id`: $p0, `name`: $p1}; DELETE FROM `orders` WHERE (TRUE AND `note` = $p2); COMMIT;");
    char *params = json_dumps(q.params, JSON_COMPACT);
    assert_string_equal(params, "{\"p0\":\"x'; --\",\"p1\":\"`\",\"p2\":\"\\\"\"}");
    free(params);
    json_decref(q.params);
    end(&w);
}

static void what_is_wrong_is_refused_with_its_place(void **state)
{
    static const char *const texts[] = { "{ orders(where: {nope: {eq: 1}}) { id } }", "{ orders { id } ", "{ orders(limit: 101) { id } }", "{ ordersById(id: \"one\") { id } }" };
    world w;
    q_gql_question q;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        q_rc rc = begin(&w, texts[i]);
        if (rc == Q_OK)
            rc = q_gql_ask(w.request, &q, &w.err);
        assert_int_equal(rc, Q_FAIL);
        assert_true(w.err.code != Q_E_NONE && w.err.line == 1);
        end(&w);
    }
}

/* Every allocation of a request fails once: an error, never a crash or an answer that is half there. */
static void a_request_without_memory_is_refused(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 60; n++) {
        const q_gql_limits limits = { 10, 100 };
        world w = { .arena = q_arena_new(0), .err = Q_ERR_INIT };
        assert_int_equal(q_gql_schema_build(w.arena, records, 2, &w.schema, &w.err), Q_OK);
        q_arena_fail_after(n);
        q_rc rc = q_gql_request_new(w.arena, &limits, w.schema, q_slice_cstr("query ($a: Int = 1) { ...f } fragment f on Query { orders(limit: $a) { id driver { name } } }"),
                                    Q_SLICE_NONE, NULL, &w.request, &w.err);
        q_arena_fail_after(0);
        assert_true(rc == Q_OK || w.err.code != Q_E_NONE);
        end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_relation_of_many_rows_is_one_question_with_each_id_once),
        cmocka_unit_test(a_mutation_is_one_transaction_and_its_values_are_parameters),
        cmocka_unit_test(what_is_wrong_is_refused_with_its_place),
        cmocka_unit_test(a_request_without_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
