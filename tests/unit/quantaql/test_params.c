/* Parameters: a value takes the place of $name, with the type that stands there; it never becomes text. */
#include "ql.h"

static q_catalog *world;
static q_arena *arena;

static int set_up(void **state)
{
    (void)state;
    world = make_world();
    arena = q_arena_new(0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    q_catalog_unref(world);
    q_arena_free(arena);
    return 0;
}

/* {"name": value, …} to parameters, as the coordinator reads them from a request. */
static size_t params_of(const char *json, q_param *out, size_t max)
{
    q_slice doc;
    q_err err = Q_ERR_INIT;
    size_t n = 0;
    static const char *const names[] = { "a", "b", "ids", "t", "doc", "n", "unused" };
    assert_int_equal(q_doc_from_json(arena, q_slice_cstr(json), &doc, &err), Q_OK);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        q_step step = { .key = q_slice_cstr(names[i]) };
        q_value v;
        assert_int_equal(q_doc_get(arena, doc, &step, 1, &v, &err), Q_OK);
        char quoted[20];
        snprintf(quoted, sizeof quoted, "\"%s\":", names[i]);
        if (v.type == Q_T_NULL && !strstr(json, quoted))
            continue;
        assert_true(n < max);
        out[n++] = (q_param){ step.key, v };
    }
    return n;
}

static const struct { const char *text, *params, *checked; q_code code; uint32_t column; } cases[] = {
    { "SELECT id FROM things WHERE s = $a AND i > $b", "{\"a\":\"x\",\"b\":5}", "SELECT id FROM things WHERE s = \"x\" AND i > 5", 0, 0 },
    { "SELECT id FROM things WHERE s = $a OR id = $a", "{\"a\":\"x\"}", "SELECT id FROM things WHERE s = \"x\" OR id = \"x\"", 0, 0 },
    { "SELECT id FROM things WHERE s = $a", "{\"a\":\"\\\" OR 1 = 1; --\"}", "SELECT id FROM things WHERE s = \"\\\" OR 1 = 1; --\"", 0,
      0 },
    { "SELECT id FROM things WHERE s = $a", "{\"a\":null}", "SELECT id FROM things WHERE s = NULL", 0, 0 },
    { "SELECT id FROM things WHERE t > $t AND d = $n", "{\"t\":\"2024-05-01T00:00:00Z\",\"n\":1.5}",
      "SELECT id FROM things WHERE t > time(\"2024-05-01T00:00:00Z\") AND d = decimal(\"1.5\")", 0, 0 },
    { "SELECT id FROM things WHERE time($t) < t AND duration($a) = du", "{\"t\":\"2024-05-01T00:00:00Z\",\"a\":\"1d\"}",
      "SELECT id FROM things WHERE time(\"2024-05-01T00:00:00Z\") < t AND duration(\"P1D\") = du", 0, 0 },
    { "SELECT id FROM things WHERE id IN $ids", "{\"ids\":[\"x\",\"y\"]}", "SELECT id FROM things WHERE id IN (\"x\", \"y\")", 0, 0 },
    { "SELECT id FROM things WHERE u NOT IN $ids", "{\"ids\":[\"550E8400-E29B-41D4-A716-446655440000\",null]}",
      "SELECT id FROM things WHERE u NOT IN (uuid(\"550e8400-e29b-41d4-a716-446655440000\"), NULL)", 0, 0 },
    { "SELECT id FROM things WHERE id IN ($a, $b)", "{\"a\":\"x\",\"b\":\"y\"}", "SELECT id FROM things WHERE id IN (\"x\", \"y\")", 0, 0 },
    { "SELECT id FROM things LIMIT $n OFFSET $b", "{\"n\":10,\"b\":5}", "SELECT id FROM things LIMIT 10 OFFSET 5", 0, 0 },
    { "INSERT INTO things { id: $a, doc: $doc, lots: $ids, one: $n, self: relation($a), i: $b }",
      "{\"a\":\"x\",\"doc\":{\"k\":[1,{}]},\"ids\":[\"s1\",\"s2\"],\"n\":7,\"b\":null}",
      "INSERT INTO things { id: \"x\", doc: {\"k\":[1,{}]}, lots: [relation(\"s1\"), relation(\"s2\")], one: relation(7), "
      "self: relation(\"x\"), i: NULL }", 0, 0 },
    { "INSERT INTO things { id: $a, doc: { x: $n, y: $doc, z: [$a] } }", "{\"a\":\"x\",\"n\":1.5,\"doc\":{\"k\":1}}",
      "INSERT INTO things { id: \"x\", doc: {\"x\":1.5,\"y\":{\"k\":1},\"z\":[\"x\"]} }", 0, 0 },
    { "UPDATE things SET list += $ids, doc.n = $n, i += $b", "{\"ids\":[1,2],\"n\":null,\"b\":3}",
      "UPDATE things SET list += [1,2], doc.n = NULL, i = i + 3", 0, 0 },
    { "SELECT id FROM things WHERE i BETWEEN $a AND $b AND s LIKE $n", "{\"a\":1,\"b\":2,\"n\":\"x%\"}",
      "SELECT id FROM things WHERE i BETWEEN 1 AND 2 AND s LIKE \"x%\"", 0, 0 },
    { "SELECT id FROM things WHERE f IN $ids", "{\"ids\":[1.5,2,-3]}", "SELECT id FROM things WHERE f IN (1.5, 2.0, -3.0)", 0, 0 },
    { "SELECT id FROM things WHERE b IN $ids", "{\"ids\":[true,false]}", "SELECT id FROM things WHERE b IN (TRUE, FALSE)", 0, 0 },
    { "UPDATE things SET doc = { a: i, b: $doc }", "{\"doc\":{\"k\":1}}", "UPDATE things SET doc = { a: i, b: {\"k\":1} }", 0, 0 },
    /* refused */
    { "SELECT id FROM things WHERE s = $a", "{}", NULL, Q_E_QQL_PARAMETER, 33 },
    { "SELECT id FROM things WHERE s = $a", "{\"a\":\"x\",\"unused\":1}", NULL, Q_E_QQL_PARAMETER, 0 },
    { "SELECT id FROM things", "{\"a\":1}", NULL, Q_E_QQL_PARAMETER, 0 },
    { "SELECT id FROM things WHERE s = $A", "{\"a\":\"x\"}", NULL, Q_E_QQL_PARAMETER, 33 },
    { "SELECT id FROM things WHERE s = $a", "{\"a\":5}", NULL, Q_E_QQL_TYPE, 31 },
    { "SELECT id FROM things WHERE t = $a", "{\"a\":\"noon\"}", NULL, Q_E_QQL_VALUE, 33 },
    { "SELECT id FROM things WHERE time($t) = t", "{\"t\":5}", NULL, Q_E_QQL_PARAMETER, 29 },
    { "SELECT id FROM things WHERE id IN $ids", "{\"ids\":\"x\"}", NULL, Q_E_QQL_PARAMETER, 35 },
    { "SELECT id FROM things WHERE id IN $ids", "{\"ids\":{\"a\":1}}", NULL, Q_E_QQL_PARAMETER, 35 },
    { "SELECT id FROM things WHERE id IN $ids", "{\"ids\":[[1]]}", NULL, Q_E_QQL_PARAMETER, 35 },
    { "SELECT id FROM things WHERE id IN $ids", "{\"ids\":[1]}", NULL, Q_E_QQL_TYPE, 35 },
    { "SELECT id FROM things LIMIT $n", "{\"n\":\"5\"}", NULL, Q_E_QQL_TYPE, 29 },
    { "SELECT id FROM things LIMIT $n", "{\"n\":null}", NULL, Q_E_QQL_TYPE, 29 },
    { "INSERT INTO things { id: $a }", "{\"a\":null}", NULL, Q_E_QQL_VALUE, 26 },
};

static void values_take_the_place_of_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        q_param params[8];
        size_t count = params_of(cases[i].params, params, 8);
        q_err err = Q_ERR_INIT;
        q_script *s = parse_ok(arena, q_slice_cstr(cases[i].text));
        q_rc rc = q_ql_check(arena, s, world, Q_SLICE_LIT("shop"), params, count, &err);
        if (rc != Q_OK) {
            if (err.code != cases[i].code || err.column != cases[i].column)
                note("%s %s\n  %s %u: %s\n", cases[i].text, cases[i].params, q_code_name(err.code), err.column, err.message);
            continue;
        }
        q_buf out = Q_BUF_INIT(10000);
        q_ql_print_stmt(&s->stmts[0], &out);
        if (!cases[i].checked || !q_slice_eq(q_buf_slice(&out), q_slice_cstr(cases[i].checked)))
            note("%s\n  %.*s\n", cases[i].text, Q_SLICE_FMT(q_buf_slice(&out)));
        q_buf_free(&out);
    }
    none_noted();
}

static void an_empty_list_is_no_error(void **state)
{
    (void)state;
    q_param p[8];
    size_t n = params_of("{\"ids\":[]}", p, 8);
    q_err err = Q_ERR_INIT;
    q_script *s = parse_ok(arena, Q_SLICE_LIT("SELECT id FROM things WHERE id IN $ids"));
    assert_int_equal(q_ql_check(arena, s, world, Q_SLICE_LIT("shop"), p, n, &err), Q_OK);
    assert_int_equal(s->stmts[0].where->arg_count, 0);
    assert_null(s->stmts[0].where->b);
}

static q_rc check_with(const char *text, const q_param *params, size_t count, q_err *err)
{
    q_script *s = parse_ok(arena, q_slice_cstr(text));
    *err = Q_ERR_INIT;
    return q_ql_check(arena, s, world, Q_SLICE_LIT("shop"), params, count, err);
}

static void hostile_values_are_refused(void **state)
{
    (void)state;
    q_err err;
    q_param twice[2] = { { Q_SLICE_LIT("a"), { .type = Q_T_INT } }, { Q_SLICE_LIT("a"), { .type = Q_T_INT } } };
    assert_int_equal(check_with("SELECT id FROM things WHERE i = $a", twice, 2, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_PARAMETER);
    q_param bad = { Q_SLICE_LIT("a"), { .type = Q_T_STRING, .s = Q_SLICE_LIT("\xFF") } };
    assert_int_equal(check_with("SELECT id FROM things WHERE s = $a", &bad, 1, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_PARAMETER);
    bad.value.s = Q_SLICE_LIT("a\0b");
    assert_int_equal(check_with("SELECT id FROM things WHERE s = $a", &bad, 1, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_PARAMETER);
    bad.value = (q_value){ .type = Q_T_DOC, .s = Q_SLICE_LIT("\xDD\xFF\xFF\xFF\xFF") };
    assert_int_equal(check_with("SELECT id FROM things WHERE s IN $a", &bad, 1, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_PARAMETER);
    assert_int_equal(check_with("INSERT INTO things { id: \"a\", doc: $a }", &bad, 1, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_PARAMETER);
}

/* Documents in documents: the parameter brings a depth of its own. */
static void depth_is_counted_through_parameters(void **state)
{
    (void)state;
    char deep[Q_MAX_DOC_DEPTH];
    q_err err;
    memset(deep, '\x91', sizeof deep); /* [[[… */
    deep[sizeof deep - 1] = '\x90';
    q_param p = { Q_SLICE_LIT("a"), { .type = Q_T_DOC, .s = { deep, sizeof deep } } };
    assert_int_equal(check_with("INSERT INTO things { id: \"a\", doc: $a }", &p, 1, &err), Q_OK);
    assert_int_equal(check_with("INSERT INTO things { id: \"a\", doc: [$a] }", &p, 1, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_DOCUMENT_LIMIT);
}

/* A statement has a megabyte; its parameters may bring more than a document holds. */
static void documents_of_parameters_are_bounded(void **state)
{
    (void)state;
    q_err err;
    char *big = malloc(Q_MAX_DOC_BYTES);
    memset(big, 'x', Q_MAX_DOC_BYTES);
    q_param p = { Q_SLICE_LIT("a"), { .type = Q_T_STRING, .s = { big, Q_MAX_DOC_BYTES - 100 } } };
    assert_int_equal(check_with("INSERT INTO things { id: \"a\", doc: { k: $a } }", &p, 1, &err), Q_OK);
    p.value.s.len = Q_MAX_DOC_BYTES;
    assert_int_equal(check_with("INSERT INTO things { id: \"a\", doc: { k: $a } }", &p, 1, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_DOCUMENT_LIMIT);
    free(big);

    q_buf list = Q_BUF_INIT((size_t)1 << 20);
    for (int more = 0; more < 2; more++) {
        unsigned n = Q_QL_MAX_IN + (unsigned)more;
        q_buf_clear(&list);
        q_buf_add_byte(&list, 0xDC);
        q_buf_add_byte(&list, (uint8_t)(n >> 8));
        q_buf_add_byte(&list, (uint8_t)n);
        for (unsigned i = 0; i < n; i++)
            q_buf_add_byte(&list, 1);
        p.value = (q_value){ .type = Q_T_DOC, .s = q_buf_slice(&list) };
        assert_int_equal(check_with("SELECT id FROM things WHERE i IN $a", &p, 1, &err), more ? Q_FAIL : Q_OK);
        assert_true(!more || err.code == Q_E_QQL_LIMIT);
    }
    q_buf_free(&list);
}

static void the_number_of_parameters_is_bounded(void **state)
{
    (void)state;
    q_param *p = calloc(Q_QL_MAX_PARAMS + 1, sizeof *p);
    char (*names)[24] = calloc(Q_QL_MAX_PARAMS + 1, sizeof *names);
    q_buf text = Q_BUF_INIT((size_t)1 << 20);
    q_err err = Q_ERR_INIT;
    q_buf_add_cstr(&text, "SELECT id FROM things WHERE i IN (0");
    for (int i = 0; i <= Q_QL_MAX_PARAMS; i++) {
        snprintf(names[i], sizeof names[i], "p%d", i);
        p[i] = (q_param){ q_slice_cstr(names[i]), { .type = Q_T_INT, .i = i } };
        if (i > 0 && i < Q_QL_MAX_PARAMS)
            q_buf_printf(&text, ", $p%d", i);
    }
    q_buf_printf(&text, ") AND i = $p0");
    q_script *s = parse_ok(arena, q_buf_slice(&text));
    assert_int_equal(q_ql_check(arena, s, world, Q_SLICE_LIT("shop"), p, Q_QL_MAX_PARAMS, &err), Q_OK);
    s = parse_ok(arena, q_buf_slice(&text));
    assert_int_equal(q_ql_check(arena, s, world, Q_SLICE_LIT("shop"), p, Q_QL_MAX_PARAMS + 1, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_QQL_LIMIT);
    q_buf_free(&text);
    free(p);
    free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_take_the_place_of_names),      cmocka_unit_test(an_empty_list_is_no_error),
        cmocka_unit_test(hostile_values_are_refused),          cmocka_unit_test(depth_is_counted_through_parameters),
        cmocka_unit_test(documents_of_parameters_are_bounded), cmocka_unit_test(the_number_of_parameters_is_bounded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
