#include <stdlib.h>

#include "schemas/catalog.h"
#include "tests/unit/schemas/cmocka_setup.h"
#include "tests/unit/schemas/generate.h"

#define S(text) Q_SLICE_LIT(text)

static const char ORDERS[] = "{\"record\": \"orders\", \"attributes\": {\n"
                             "  \"id\": {\"type\": \"scalar\", \"datatype\": \"string\"}, \"customer\": {\"type\": \"document\"},\n"
                             "  \"total_cost\": {\"type\": \"scalar\", \"datatype\": \"float\"},\n"
                             "  \"delivery_route\": {\"type\": \"relation\", \"target\": \"routes\"}, \"delivered_by\": {\"type\": "
                             "\"relation\", \"target\": \"drivers\"},\n"
                             "  \"delivery_time\": {\"type\": \"metric\", \"unit\": \"duration\"}}}";

/* The snapshot after a DDL; the old one loses its reference. */
static q_catalog *after(q_catalog *c, q_ddl ddl, uint64_t seq)
{
    q_err err = Q_ERR_INIT;
    q_catalog *next = NULL;
    if (q_catalog_apply(c, &ddl, seq, &next, &err) != Q_OK)
        fail_msg("%s", err.message);
    q_catalog_unref(c);
    return next;
}

static q_catalog *with_bucket(const char *name, uint64_t seq)
{
    return after(q_catalog_new(), (q_ddl){ .kind = Q_DDL_CREATE_BUCKET, .bucket = q_slice_cstr(name) }, seq);
}

static q_ddl definition(void **state, const char *bucket, const char *json)
{
    q_err err = Q_ERR_INIT;
    q_ddl d;
    if (q_ddl_from_json(*state, q_slice_cstr(bucket), q_slice_cstr(json), &d, &err) != Q_OK)
        fail_msg("%s: %s", json, err.message);
    return d;
}

/* `code` is why the DDL can't be; Q_E_NONE: it can; and "hint" is part of the hint. */
static void check(const q_catalog *c, q_ddl ddl, q_rc rc, q_code code, const char *hint)
{
    q_err err = Q_ERR_INIT;
    q_rc got = q_catalog_check(c, &ddl, &err);
    if (got != rc || err.code != code || !strstr(err.hint, hint))
        fail_msg("%d %s: %s (%s)", (int)got, q_code_name(err.code), err.message, err.hint);
    q_catalog *next = NULL;
    got = q_catalog_apply(c, &ddl, 99, &next, &err);
    assert_int_equal(got, rc == Q_END ? Q_OK : rc); /* apply agrees */
    q_catalog_unref(next);
}

static void the_specification_s_record_is_understood_unchanged(void **state)
{
    q_catalog *c = after(with_bucket("shop", 5), definition(state, "shop", ORDERS), 9);
    const q_record *r = q_catalog_record(c, S("shop"), S("orders"));
    assert_non_null(r);
    assert_int_equal(r->count, 6);
    assert_int_equal(r->bucket_incarnation, 5);
    assert_int_equal(r->incarnation, 9);
    assert_int_equal(r->version, 1);
    assert_int_equal(r->engines, Q_EN_BIT(Q_EN_POSTGRES) | Q_EN_BIT(Q_EN_MONGO) | Q_EN_BIT(Q_EN_NEO4J) | Q_EN_BIT(Q_EN_INFLUX));
    static const struct {
        const char *name;
        q_kind kind;
        q_type type;
    } attrs[] = { { "id", Q_K_SCALAR, Q_T_STRING },
                  { "customer", Q_K_DOCUMENT, Q_T_DOC },
                  { "total_cost", Q_K_SCALAR, Q_T_FLOAT },
                  { "delivery_route", Q_K_RELATION, Q_T_RELATION },
                  { "delivered_by", Q_K_RELATION, Q_T_RELATION },
                  { "delivery_time", Q_K_METRIC, Q_T_DURATION } };
    for (uint32_t i = 0; i < r->count; i++) {
        assert_slice(r->attrs[i].name, attrs[i].name);
        assert_int_equal(r->attrs[i].kind, attrs[i].kind);
        assert_int_equal(r->attrs[i].datatype, attrs[i].type);
        assert_int_equal(r->attrs[i].index, i);
        assert_ptr_equal(q_record_attr(r, q_slice_cstr(attrs[i].name)), &r->attrs[i]);
    }
    q_buf b = Q_BUF_INIT(1 << 16);
    q_record_to_quantaql(r, &b);
    assert_slice(q_buf_slice(&b),
                 "CREATE RECORD orders (id scalar string, customer document, total_cost scalar float, delivery_route relation to routes, "
                 "delivered_by relation to drivers, delivery_time metric unit duration);");
    q_buf_clear(&b);
    q_record_to_json(r, &b);
    char *compact = q_arena_alloc(*state, sizeof ORDERS);
    size_t n = 0;
    for (const char *p = ORDERS; *p; p++)
        if (*p != ' ' && *p != '\n')
            compact[n++] = *p;
    compact[n] = '\0';
    assert_slice(q_buf_slice(&b), compact);
    q_buf_free(&b);
    q_catalog_unref(c);
}

static void every_property_of_an_attribute_has_a_json_and_a_quantaql_form(void **state)
{
    const char *json =
        "{\"record\":\"r\",\"attributes\":{\"id\":{\"type\":\"scalar\",\"datatype\":\"uuid\"},\"a\":{\"type\":\"scalar\",\"datatype\":"
        "\"decimal\","
        "\"required\":true,\"unique\":true},\"b\":{\"type\":\"relation\",\"target\":\"r\",\"cardinality\":\"many\",\"required\":true},"
        "\"c\":{\"type\":\"metric\","
        "\"datatype\":\"int\",\"unit\":\"m\\\"/s\"},\"d\":{\"type\":\"metric\"},\"e\":{\"type\":\"metric\",\"datatype\":\"duration\"}}}";
    q_catalog *c = after(with_bucket("b", 1), definition(state, "b", json), 2);
    const q_record *r = q_catalog_record(c, S("b"), S("r"));
    q_buf b = Q_BUF_INIT(1 << 16);
    q_record_to_json(r, &b);
    assert_slice(q_buf_slice(&b), json);
    q_buf_clear(&b);
    q_record_to_quantaql(r, &b);
    assert_slice(
        q_buf_slice(&b),
        "CREATE RECORD r (id scalar uuid, a scalar decimal required unique, b relation to r many required, c metric int unit \"m\\\"/s\", "
        "d metric, e metric duration);");
    q_buf_free(&b);
    assert_true(r->attrs[2].many && r->attrs[2].required && r->attrs[1].unique && r->attrs[1].required);
    assert_int_equal(r->attrs[4].datatype, Q_T_FLOAT);
    q_catalog_unref(c);
}

static void records_named_like_reserved_words_are_quoted_in_quantaql(void **state)
{
    q_catalog *c = with_bucket("b", 1);
    c = after(c, definition(state, "b", "{\"record\":\"select\",\"attributes\":{\"from\":{\"type\":\"relation\",\"target\":\"where\"}}}"), 2);
    q_buf b = Q_BUF_INIT(1 << 16);
    q_record_to_quantaql(q_catalog_record(c, S("b"), S("select")), &b);
    assert_slice(q_buf_slice(&b), "CREATE RECORD `select` (id scalar string, from relation to `where`);");
    q_buf_free(&b);
    q_catalog_unref(c);
}

static void json_that_is_no_definition_is_refused_with_its_place(void **state)
{
    static const char *const bad[][2] = {
        { "", "JSON" },
        { "[]", "object" },
        { "{\"record\":1,\"attributes\":{}}", "name" },
        { "{\"attributes\":{}}", "name" },
        { "{\"record\":\"r\"}", "attributes" },
        { "{\"record\":\"r\",\"attributes\":[]}", "attributes" },
        { "{\"record\":\"r\",\"attributes\":{},\"x\":1}", "\"x\"" },
        { "{\"record\":\"r\",\"attributes\":{\"a\":\"string\"}}", "\"a\"" },
        { "{\"record\":\"r\",\"attributes\":{\"a\":{}}}", "\"type\"" },
        { "{\"record\":\"r\",\"attributes\":{\"a\":{\"type\":\"table\"}}}", "\"type\"" },
        { "{\"record\":\"r\",\"attributes\":{\"a\":{\"type\":1}}}", "string" },
        { "{\"record\":\"r\",\"attributes\":{\"a\":{\"type\":\"scalar\",\"datatype\":\"text\"}}}", "text" },
        { "{\"record\":\"r\",\"attributes\":{\"a\":{\"type\":\"scalar\",\"datatyp\":\"int\"}}}", "datatyp" },
        { "{\"record\":\"r\",\"attributes\":{\"a\":{\"type\":\"relation\",\"target\":\"r\",\"cardinality\":\"two\"}}}", "cardinality" },
        { "{\"record\":\"r\",\"attributes\":{\"a\":{\"type\":\"document\",\"cardinality\":\"one\"}}}", "cardinality" },
        { "{\"record\":\"r\",\"attributes\":{\"a\":{\"type\":\"scalar\",\"required\":1}}}", "required" },
        { "{\"record\":\"r\",\"attributes\":{\"a\":{\"type\":\"document\"},\"a\":{\"type\":\"document\"}}}", "duplicate" }
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        q_err err = Q_ERR_INIT;
        q_ddl d;
        if (q_ddl_from_json(*state, S("b"), q_slice_cstr(bad[i][0]), &d, &err) == Q_OK)
            fail_msg("%s was taken", bad[i][0]);
        assert_int_equal(err.code, Q_E_SCHEMA_INVALID);
        if (!strstr(err.message, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], err.message);
    }
}

static void names_are_lower_case_bounded_and_not_an_engine_s_own(void **state)
{
    (void)state;
    static const struct { const char *name, *what; bool ok;
    } cases[] = { { "a", "bucket", true },
                  { "a_1_b", "record", true },
                  { "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd", "record", true },
                  { "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddx", "record", false },
                  { "", "record", false },
                  { "1a", "record", false },
                  { "_a", "record", false },
                  { "A", "record", false },
                  { "a-b", "record", false },
                  { "a__b", "record", false },
                  { "a_", "record", true },
                  { "\xc3\xa9", "record", false },
                  { "pg_x", "bucket", false },
                  { "pg_x", "attribute", false },
                  { "pgx", "bucket", true },
                  { "public", "bucket", false },
                  { "public", "record", true },
                  { "information_schema", "bucket", false },
                  { "admin", "bucket", false },
                  { "admin", "record", true },
                  { "local", "bucket", false },
                  { "config", "bucket", false },
                  { "system", "record", false },
                  { "time", "attribute", false },
                  { "time", "record", true },
                  { "xmin", "attribute", false },
                  { "ctid", "attribute", false },
                  { "select", "attribute", true },
                  { "time", "thing", false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        q_err err = Q_ERR_INIT;
        q_rc rc = q_name_check(q_slice_cstr(cases[i].name), cases[i].what, &err);
        if ((rc == Q_OK) != cases[i].ok)
            fail_msg("%s %s: %s", cases[i].what, cases[i].name, err.message);
        if (rc != Q_OK)
            assert_int_equal(err.code, Q_E_SCHEMA_INVALID);
    }
}

static void a_definition_s_attributes_follow_the_rules(void **state)
{
    (void)state;
    q_catalog *c = with_bucket("b", 1);
    const struct { q_attr a; bool ok;
    } cases[] = { { { .name = S("a"), .kind = Q_K_SCALAR, .datatype = Q_T_BYTES }, true },
                  { { .name = S("a"), .kind = Q_K_SCALAR }, false },
                  { { .name = S("a"), .kind = Q_K_SCALAR, .datatype = Q_T_DOC }, false },
                  { { .name = S("a"), .kind = Q_K_SCALAR, .datatype = Q_T_INT, .target = S("x") }, false },
                  { { .name = S("a"), .kind = Q_K_SCALAR, .datatype = Q_T_INT, .many = true }, false },
                  { { .name = S("a"), .kind = Q_K_SCALAR, .datatype = Q_T_INT, .unit = S("x") }, false },
                  { { .name = S("a"), .kind = Q_K_DOCUMENT }, true },
                  { { .name = S("a"), .kind = Q_K_DOCUMENT, .required = true }, false },
                  { { .name = S("a"), .kind = Q_K_DOCUMENT, .unique = true }, false },
                  { { .name = S("a"), .kind = Q_K_DOCUMENT, .datatype = Q_T_STRING }, false },
                  { { .name = S("a"), .kind = Q_K_RELATION, .target = S("other") }, true },
                  { { .name = S("a"), .kind = Q_K_RELATION }, false },
                  { { .name = S("a"), .kind = Q_K_RELATION, .target = S("Other") }, false },
                  { { .name = S("a"), .kind = Q_K_RELATION, .target = S("b"), .unique = true }, false },
                  { { .name = S("a"), .kind = Q_K_METRIC, .unit = S("km/h") }, true },
                  { { .name = S("a"), .kind = Q_K_METRIC, .unit = S("duration"), .datatype = Q_T_FLOAT }, false },
                  { { .name = S("a"), .kind = Q_K_METRIC, .datatype = Q_T_STRING }, false },
                  { { .name = S("a"), .kind = Q_K_METRIC, .unit = S("a\nb") }, false },
                  { { .name = S("a"), .kind = Q_K_METRIC, .unit = S("\xff") }, false },
                  { { .name = S("a"), .kind = Q_K_METRIC, .required = true }, false },
                  { { .name = S("a"), .kind = (q_kind)9 }, false },
                  { { .name = S("time"), .kind = Q_K_DOCUMENT }, false },
                  { { .name = S("id"), .kind = Q_K_SCALAR, .datatype = Q_T_INT }, true },
                  { { .name = S("id"), .kind = Q_K_SCALAR, .datatype = Q_T_FLOAT }, false },
                  { { .name = S("id"), .kind = Q_K_DOCUMENT }, false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        q_err err = Q_ERR_INIT;
        q_ddl d = { .kind = Q_DDL_CREATE_RECORD, .bucket = S("b"), .record = S("r"), .count = 1, .attrs = &cases[i].a };
        q_rc rc = q_catalog_check(c, &d, &err);
        if ((rc == Q_OK) != cases[i].ok)
            fail_msg("attribute %zu: %s", i, err.message);
    }
    const q_attr twice[] = { { .name = S("a"), .kind = Q_K_DOCUMENT }, { .name = S("a"), .kind = Q_K_DOCUMENT } };
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("b"), .record = S("r"), .count = 2, .attrs = twice }, Q_FAIL,
          Q_E_SCHEMA_INVALID, "");
    const q_attr ids[] = { { .name = S("id"), .kind = Q_K_SCALAR, .datatype = Q_T_INT },
                           { .name = S("id"), .kind = Q_K_SCALAR, .datatype = Q_T_INT } };
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("b"), .record = S("r"), .count = 2, .attrs = ids }, Q_FAIL,
          Q_E_SCHEMA_INVALID, "");
    q_catalog_unref(c);
}

static void id_is_always_first_and_a_string_unless_said_otherwise(void **state)
{
    (void)state;
    const q_attr attrs[] = { { .name = S("x"), .kind = Q_K_DOCUMENT },
                             { .name = S("id"), .kind = Q_K_SCALAR, .datatype = Q_T_UUID, .unique = true } };
    q_catalog *c = after(with_bucket("b", 1),
                         (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("b"), .record = S("r"), .count = 2, .attrs = attrs }, 2);
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("b"), .record = S("s") }, 3);
    const q_record *r = q_catalog_record(c, S("b"), S("r")), *s = q_catalog_record(c, S("b"), S("s"));
    assert_slice(r->attrs[0].name, "id");
    assert_int_equal(r->attrs[0].datatype, Q_T_UUID);
    assert_false(r->attrs[0].unique);
    assert_slice(r->attrs[1].name, "x");
    assert_int_equal(r->attrs[1].index, 1);
    assert_int_equal(s->count, 1);
    assert_int_equal(s->attrs[0].datatype, Q_T_STRING);
    assert_int_equal(s->engines, Q_EN_BIT(Q_EN_POSTGRES));
    q_catalog_unref(c);
}

static void what_is_there_already_or_not_at_all_has_its_code_and_a_hint(void **state)
{
    (void)state;
    q_catalog *c = with_bucket("shop", 1);
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("shop"), .record = S("orders") }, 2);
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_BUCKET, .bucket = S("shop") }, Q_FAIL, Q_E_BUCKET_EXISTS, "");
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_BUCKET, .bucket = S("shop"), .if_not_exists = true }, Q_END, Q_E_NONE, "");
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_BUCKET, .bucket = S("admin") }, Q_FAIL, Q_E_SCHEMA_INVALID, "MongoDB");
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_BUCKET, .bucket = S("new") }, Q_OK, Q_E_NONE, "");
    check(c, (q_ddl){ .kind = Q_DDL_DROP_BUCKET, .bucket = S("shpo") }, Q_FAIL, Q_E_UNKNOWN_BUCKET, "\"shop\"");
    check(c, (q_ddl){ .kind = Q_DDL_DROP_BUCKET, .bucket = S("none"), .if_exists = true }, Q_END, Q_E_NONE, "");
    check(c, (q_ddl){ .kind = Q_DDL_DROP_BUCKET, .bucket = S("shop") }, Q_FAIL, Q_E_BUCKET_NOT_EMPTY, "CASCADE");
    check(c, (q_ddl){ .kind = Q_DDL_DROP_BUCKET, .bucket = S("shop"), .cascade = true }, Q_OK, Q_E_NONE, "");
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("shop"), .record = S("orders") }, Q_FAIL, Q_E_RECORD_EXISTS, "");
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("shop"), .record = S("orders"), .if_not_exists = true }, Q_END, Q_E_NONE,
          "");
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("shopp"), .record = S("orders") }, Q_FAIL, Q_E_UNKNOWN_BUCKET, "\"shop\"");
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("shop"), .record = S("Orders") }, Q_FAIL, Q_E_SCHEMA_INVALID, "");
    check(c, (q_ddl){ .kind = Q_DDL_DROP_RECORD, .bucket = S("shop"), .record = S("order") }, Q_FAIL, Q_E_UNKNOWN_RECORD, "\"orders\"");
    check(c, (q_ddl){ .kind = Q_DDL_DROP_RECORD, .bucket = S("shop"), .record = S("xyz"), .if_exists = true }, Q_END, Q_E_NONE, "");
    check(c, (q_ddl){ .kind = Q_DDL_ALTER_RECORD, .bucket = S("shop"), .record = S("order") }, Q_FAIL, Q_E_UNKNOWN_RECORD, "\"orders\"");
    check(c, (q_ddl){ .kind = (q_ddl_kind)77, .bucket = S("shop") }, Q_FAIL, Q_E_SCHEMA_INVALID, "");
    q_catalog_unref(c);
}

static void a_change_only_adds(void **state)
{
    q_catalog *c = after(with_bucket("shop", 1), definition(state, "shop", ORDERS), 2);
    const q_attr more[] = { { .name = S("note"), .kind = Q_K_SCALAR, .datatype = Q_T_STRING },
                            { .name = S("total_cost"), .kind = Q_K_SCALAR, .datatype = Q_T_FLOAT } };
    q_attr required = more[0], unique = more[0], id = { .name = S("id"), .kind = Q_K_SCALAR, .datatype = Q_T_INT };
    required.required = unique.unique = true;
    q_ddl alter = { .kind = Q_DDL_ALTER_RECORD, .bucket = S("shop"), .record = S("orders"), .count = 1, .attrs = more };
    q_ddl d = alter;
    d.count = 2;
    check(c, d, Q_FAIL, Q_E_SCHEMA_INVALID, "");
    d.if_not_exists = true;
    check(c, d, Q_OK, Q_E_NONE, "");
    d.count = 1;
    d.attrs = &more[1];
    check(c, d, Q_END, Q_E_NONE, "");
    d.attrs = &id;
    check(c, d, Q_END, Q_E_NONE, "");
    d = alter;
    d.attrs = &required;
    check(c, d, Q_FAIL, Q_E_SCHEMA_INVALID, "");
    d.attrs = &unique;
    check(c, d, Q_FAIL, Q_E_SCHEMA_INVALID, "");
    d.count = 0;
    check(c, d, Q_FAIL, Q_E_SCHEMA_INVALID, "");
    const q_attr same_new_twice[] = { more[0], more[0] };
    d = alter;
    d.count = 2;
    d.attrs = same_new_twice;
    d.if_not_exists = true;
    check(c, d, Q_FAIL, Q_E_SCHEMA_INVALID, "");

    q_catalog *before = q_catalog_ref(c);
    const q_record *old = q_catalog_record(c, S("shop"), S("orders"));
    c = after(c, alter, 50);
    const q_record *r = q_catalog_record(c, S("shop"), S("orders"));
    assert_int_equal(r->count, 7);
    assert_int_equal(r->version, 2);
    assert_int_equal(r->incarnation, 2);
    assert_slice(r->attrs[6].name, "note");
    assert_int_equal(r->attrs[6].index, 6);
    assert_int_equal(old->count, 6); /* who holds the old snapshot still sees it */
    assert_null(q_record_attr(old, S("note")));
    q_catalog_unref(before);
    q_catalog_unref(c);
}

static void a_required_relation_keeps_its_target(void **state)
{
    (void)state;
    const q_attr required = { .name = S("to_a"), .kind = Q_K_RELATION, .target = S("a"), .required = true };
    const q_attr plain = { .name = S("to_b"), .kind = Q_K_RELATION, .target = S("b") };
    q_catalog *c = with_bucket("s", 1);
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("s"), .record = S("a"), .count = 1, .attrs = &required },
              2); /* to itself */
    check(c, (q_ddl){ .kind = Q_DDL_DROP_RECORD, .bucket = S("s"), .record = S("a") }, Q_OK, Q_E_NONE, "");
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("s"), .record = S("b") }, 3);
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("s"), .record = S("c"), .count = 1, .attrs = &required }, 4);
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("s"), .record = S("d"), .count = 1, .attrs = &plain }, 5);
    check(c, (q_ddl){ .kind = Q_DDL_DROP_RECORD, .bucket = S("s"), .record = S("a") }, Q_FAIL, Q_E_RECORD_IN_USE, "");
    check(c, (q_ddl){ .kind = Q_DDL_DROP_RECORD, .bucket = S("s"), .record = S("a"), .cascade = true }, Q_FAIL, Q_E_RECORD_IN_USE, "");
    c = after(c, (q_ddl){ .kind = Q_DDL_DROP_RECORD, .bucket = S("s"), .record = S("b") }, 6);
    assert_null(q_catalog_record(c, S("s"), S("b")));
    assert_non_null(q_catalog_record(c, S("s"), S("d")));
    c = after(c, (q_ddl){ .kind = Q_DDL_DROP_RECORD, .bucket = S("s"), .record = S("c") }, 7);
    c = after(c, (q_ddl){ .kind = Q_DDL_DROP_RECORD, .bucket = S("s"), .record = S("a") }, 8);
    q_catalog_unref(c);
}

static void snapshots_share_what_did_not_change(void **state)
{
    (void)state;
    q_catalog *c = with_bucket("one", 1);
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_BUCKET, .bucket = S("two") }, 2);
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("one"), .record = S("r") }, 3);
    q_catalog *old = q_catalog_ref(c);
    const q_bucket *two = q_catalog_bucket(c, S("two"));
    const q_record *r = q_catalog_record(c, S("one"), S("r"));
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("one"), .record = S("q") }, 4);
    assert_ptr_equal(q_catalog_bucket(c, S("two")), two);
    assert_ptr_equal(q_catalog_record(c, S("one"), S("r")), r);
    assert_null(q_catalog_record(old, S("one"), S("q")));
    assert_slice(q_catalog_bucket(c, S("one"))->records[0]->name, "q");
    c = after(c, (q_ddl){ .kind = Q_DDL_DROP_BUCKET, .bucket = S("one"), .cascade = true }, 5);
    assert_int_equal(q_catalog_count(c), 1);
    assert_int_equal(q_catalog_count(old), 2);
    assert_ptr_equal(q_catalog_record(old, S("one"), S("r")), r);
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_BUCKET, .bucket = S("one") }, 6);
    assert_int_equal(q_catalog_bucket(c, S("one"))->incarnation, 6);
    assert_int_equal(q_catalog_bucket(c, S("one"))->count, 0);
    q_catalog_unref(old);
    q_catalog_unref(c);
}

static void bounds_hold_at_their_maximum(void **state)
{
    q_attr *attrs = Q_NEW_ARRAY(*state, q_attr, Q_MAX_ATTRIBUTES);
    for (int i = 0; i < Q_MAX_ATTRIBUTES; i++)
        attrs[i] = (q_attr){ .name = q_arena_printf(*state, "a%d", (i * 77) % 200), .kind = Q_K_DOCUMENT };
    q_catalog *c = with_bucket("b", 1);
    q_ddl d = { .kind = Q_DDL_CREATE_RECORD, .bucket = S("b"), .record = S("wide"), .count = Q_MAX_ATTRIBUTES, .attrs = attrs };
    check(c, d, Q_FAIL, Q_E_SCHEMA_INVALID, ""); /* id comes on top */
    d.count--;
    c = after(c, d, 2);
    const q_record *wide = q_catalog_record(c, S("b"), S("wide"));
    assert_int_equal(wide->count, Q_MAX_ATTRIBUTES);
    for (int i = 0; i < Q_MAX_ATTRIBUTES - 1; i++)
        assert_ptr_equal(q_record_attr(wide, attrs[i].name), &wide->attrs[i + 1]);
    assert_null(q_record_attr(wide, S("a")));
    assert_null(q_record_attr(wide, S("zzz")));
    check(c,
          (q_ddl){ .kind = Q_DDL_ALTER_RECORD, .bucket = S("b"), .record = S("wide"), .count = 1, .attrs = &attrs[Q_MAX_ATTRIBUTES - 1] },
          Q_FAIL, Q_E_SCHEMA_INVALID, "");

    for (int i = 1; i < Q_MAX_RECORDS; i++)
        c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("b"), .record = q_arena_printf(*state, "r%d", (i * 7919) % 1000) },
                  (uint64_t)i + 2);
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("b"), .record = S("one_more") }, Q_FAIL, Q_E_SCHEMA_INVALID, "");
    const q_bucket *b = q_catalog_bucket(c, S("b"));
    for (uint32_t i = 1; i < b->count; i++)
        assert_true(q_slice_cmp(b->records[i - 1]->name, b->records[i]->name) < 0);
    for (uint32_t i = 0; i < b->count; i++)
        assert_ptr_equal(q_bucket_record(b, b->records[i]->name), b->records[i]);
    for (int i = 1; i < Q_MAX_BUCKETS; i++)
        c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_BUCKET, .bucket = q_arena_printf(*state, "b%d", i) }, (uint64_t)i);
    check(c, (q_ddl){ .kind = Q_DDL_CREATE_BUCKET, .bucket = S("one_more") }, Q_FAIL, Q_E_SCHEMA_INVALID, "");
    q_catalog_unref(c);
}

static void a_misspelt_name_finds_the_nearest_within_two_edits(void **state)
{
    q_catalog *c = after(with_bucket("ecommerce_service", 1), definition(state, "ecommerce_service", ORDERS), 2);
    const q_record *r = q_catalog_record(c, S("ecommerce_service"), S("orders"));
    static const char *const cases[][2] = { { "total_cots", "total_cost" },
                                            { "totalcost", "total_cost" },
                                            { "delivery_rout", "delivery_route" },
                                            { "Customer", "customer" },
                                            { "custommmer", "customer" },
                                            { "custommmmer", "" },
                                            { "ic", "id" },
                                            { "xy", "" },
                                            { "x", "" },
                                            { "", "" },
                                            { "deliverd_by", "delivered_by" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_slice(q_record_suggest_attr(r, q_slice_cstr(cases[i][0])), cases[i][1]);
    assert_slice(q_catalog_suggest_bucket(c, S("ecomerce_service")), "ecommerce_service");
    assert_slice(q_bucket_suggest_record(q_catalog_bucket(c, S("ecommerce_service")), S("oders")), "orders");
    char longer[5000];
    memset(longer, 'a', sizeof longer);
    assert_slice(q_record_suggest_attr(r, q_slice_of(longer, sizeof longer)), "");
    q_catalog_unref(c);
}

static bool catalogs_identical(const q_catalog *a, const q_catalog *b)
{
    q_buf x = Q_BUF_INIT(64 << 20), y = Q_BUF_INIT(64 << 20);
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < q_catalog_count(side ? b : a); i++) {
            const q_bucket *bucket = q_catalog_at(side ? b : a, i);
            q_bucket_encode(bucket, side ? &y : &x);
            for (uint32_t r = 0; r < bucket->count; r++)
                q_record_encode(bucket->records[r], side ? &y : &x);
        }
    bool same = q_slice_eq(q_buf_slice(&x), q_buf_slice(&y));
    q_buf_free(&x);
    q_buf_free(&y);
    return same;
}

static void what_is_encoded_loads_as_the_same_catalog(void **state)
{
    q_catalog *c = after(with_bucket("shop", 5), definition(state, "shop", ORDERS), 9), *loaded = q_catalog_new();
    const q_attr more = { .name = S("note"), .kind = Q_K_SCALAR, .datatype = Q_T_STRING };
    c = after(c, (q_ddl){ .kind = Q_DDL_ALTER_RECORD, .bucket = S("shop"), .record = S("orders"), .count = 1, .attrs = &more }, 10);
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_BUCKET, .bucket = S("empty") }, 11);
    q_err err = Q_ERR_INIT;
    q_buf b = Q_BUF_INIT(1 << 20);
    q_record_encode(q_catalog_record(c, S("shop"), S("orders")), &b);
    assert_int_equal(q_catalog_load(&loaded, q_buf_slice(&b), &err), Q_FAIL); /* its bucket comes first */
    for (int pass = 0; pass < 2; pass++) {
        q_catalog *held = q_catalog_ref(loaded);
        size_t count = q_catalog_count(held);
        for (size_t i = 0; i < q_catalog_count(c); i++) {
            const q_bucket *bucket = q_catalog_at(c, i);
            q_buf_clear(&b);
            q_bucket_encode(bucket, &b);
            assert_int_equal(q_catalog_load(&loaded, q_buf_slice(&b), &err), Q_OK);
            for (uint32_t r = 0; r < bucket->count; r++) {
                q_buf_clear(&b);
                q_record_encode(bucket->records[r], &b);
                assert_int_equal(q_catalog_load(&loaded, q_buf_slice(&b), &err), Q_OK);
            }
        }
        assert_true(catalogs_identical(c, loaded));
        assert_int_equal(q_catalog_count(held), count); /* a snapshot that someone holds doesn't change */
        q_catalog_unref(held);
    }
    /* another incarnation of the bucket empties it, and records of the old one are refused then */
    q_buf record = Q_BUF_INIT(1 << 20);
    q_record_encode(q_catalog_record(c, S("shop"), S("orders")), &record);
    q_bucket newer = *q_catalog_bucket(c, S("shop"));
    newer.incarnation = 77;
    q_buf_clear(&b);
    q_bucket_encode(&newer, &b);
    assert_int_equal(q_catalog_load(&loaded, q_buf_slice(&b), &err), Q_OK);
    assert_int_equal(q_catalog_bucket(loaded, S("shop"))->count, 0);
    assert_int_equal(q_catalog_load(&loaded, q_buf_slice(&record), &err), Q_FAIL);
    q_buf_free(&b);
    q_buf_free(&record);
    q_catalog_unref(c);
    q_catalog_unref(loaded);
}

static void damaged_schemas_are_refused_or_follow_the_rules(void **state)
{
    gen g = { 41, *state };
    q_catalog *c = after(with_bucket("shop", 5), definition(state, "shop", ORDERS), 9);
    q_buf whole = Q_BUF_INIT(1 << 20);
    q_record_encode(q_catalog_record(c, S("shop"), S("orders")), &whole);
    int refused = 0;
    for (int i = 0; i < 50000; i++) {
        q_err err = Q_ERR_INIT;
        q_ddl d;
        char *copy = malloc(whole.len);
        memcpy(copy, whole.ptr, whole.len);
        size_t n = i % 5 ? whole.len : gen_below(&g, (uint32_t)whole.len);
        for (uint32_t k = gen_below(&g, 3); k > 0 && n; k--)
            copy[gen_below(&g, (uint32_t)n)] = (char)gen_u64(&g);
        q_catalog *target = q_catalog_ref(c);
        if (q_catalog_load(&target, q_slice_of(copy, n), &err) == Q_OK) {
            const q_bucket *b = q_catalog_bucket(target, S("shop"));
            for (uint32_t r = 0; r < b->count; r++)
                assert_true(b->records[r]->count >= 1 && q_slice_eq(b->records[r]->attrs[0].name, S("id")));
        } else {
            refused++;
        }
        if (n)
            copy[2 % n] = 3; /* as a schema change */
        (void)!q_ddl_decode(*state, q_slice_of(copy, n), &d, &err);
        q_catalog_unref(target);
        free(copy);
        q_arena_reset(*state);
    }
    assert_true(refused > 10000 && refused < 50000);
    q_buf_free(&whole);
    q_catalog_unref(c);
}

static void a_large_catalog_loads_in_any_order(void **state)
{
    q_catalog *c = with_bucket("b", 1), *loaded = q_catalog_new();
    for (int i = 0; i < 300; i++)
        c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = S("b"), .record = q_arena_printf(*state, "r%d", i) }, (uint64_t)i + 2);
    const q_bucket *bucket = q_catalog_bucket(c, S("b"));
    q_err err = Q_ERR_INIT;
    q_buf b = Q_BUF_INIT(1 << 20);
    q_bucket_encode(bucket, &b);
    assert_int_equal(q_catalog_load(&loaded, q_buf_slice(&b), &err), Q_OK);
    for (uint32_t i = 0; i < bucket->count; i++) {
        q_buf_clear(&b);
        q_record_encode(bucket->records[(i * 7 + 5) % bucket->count], &b);
        assert_int_equal(q_catalog_load(&loaded, q_buf_slice(&b), &err), Q_OK);
    }
    assert_true(catalogs_identical(c, loaded));
    q_buf_free(&b);
    q_catalog_unref(c);
    q_catalog_unref(loaded);
}

static void the_example_bucket_is_valid(void **state)
{
    static const char *const files[] = { "01_users",  "02_products", "03_zones",  "04_stops",
                                         "05_routes", "06_drivers",  "07_orders", "08_deliveries" };
    q_catalog *c = with_bucket("ecommerce_service", 1);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[100], text[4096];
        snprintf(path, sizeof path, "schemas/examples/%s.json", files[i]);
        FILE *f = fopen(path, "r");
        if (!f)
            fail_msg("%s can't be opened; run from the project's root", path);
        text[fread(text, 1, sizeof text - 1, f)] = '\0';
        fclose(f);
        c = after(c, definition(state, "ecommerce_service", text), i + 2);
        assert_slice(q_catalog_at(c, 0)->name, "ecommerce_service");
        assert_non_null(q_catalog_record(c, S("ecommerce_service"), q_slice_cstr(files[i] + 3)));
    }
    const q_bucket *b = q_catalog_at(c, 0);
    for (uint32_t i = 0; i < b->count; i++) /* every relation leads somewhere */
        for (uint32_t a = 0; a < b->records[i]->count; a++)
            if (b->records[i]->attrs[a].kind == Q_K_RELATION)
                assert_non_null(q_bucket_record(b, b->records[i]->attrs[a].target));
    assert_true(q_record_attr(q_bucket_record(b, S("routes")), S("stops"))->many);
    assert_true(q_record_attr(q_bucket_record(b, S("stops")), S("zones"))->many);
    assert_int_equal(q_bucket_record(b, S("orders"))->count, 6);
    q_catalog_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(the_specification_s_record_is_understood_unchanged),
        ARENA_TEST(every_property_of_an_attribute_has_a_json_and_a_quantaql_form),
        ARENA_TEST(records_named_like_reserved_words_are_quoted_in_quantaql),
        ARENA_TEST(json_that_is_no_definition_is_refused_with_its_place),
        ARENA_TEST(names_are_lower_case_bounded_and_not_an_engine_s_own),
        ARENA_TEST(a_definition_s_attributes_follow_the_rules),
        ARENA_TEST(id_is_always_first_and_a_string_unless_said_otherwise),
        ARENA_TEST(what_is_there_already_or_not_at_all_has_its_code_and_a_hint),
        ARENA_TEST(a_change_only_adds),
        ARENA_TEST(a_required_relation_keeps_its_target),
        ARENA_TEST(snapshots_share_what_did_not_change),
        ARENA_TEST(bounds_hold_at_their_maximum),
        ARENA_TEST(a_misspelt_name_finds_the_nearest_within_two_edits),
        ARENA_TEST(what_is_encoded_loads_as_the_same_catalog),
        ARENA_TEST(damaged_schemas_are_refused_or_follow_the_rules),
        ARENA_TEST(a_large_catalog_loads_in_any_order),
        ARENA_TEST(the_example_bucket_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
