/* What the check refuses: the code, the place, a sentence, and what was probably meant. */
#include "ql.h"

static const struct {
    const char *text;
    q_code code;
    uint32_t line, column;
    const char *message, *hint; /* parts of them */
} cases[] = {
    /* names */
    { "select id from thing", Q_E_UNKNOWN_RECORD, 1, 16, "The bucket shop has no record thing.", "Did you mean things?" },
    { "select id from qqqq", Q_E_UNKNOWN_RECORD, 1, 16, "qqqq", "" },
    { "select id from Things", Q_E_UNKNOWN_RECORD, 1, 16, "Things", "things" },
    { "insert into thigns { id: \"a\" }", Q_E_UNKNOWN_RECORD, 1, 13, "thigns", "Did you mean things?" },
    { "update zone set name = \"x\"", Q_E_UNKNOWN_RECORD, 1, 8, "zone", "Did you mean zones?" },
    { "delete from zone", Q_E_UNKNOWN_RECORD, 1, 13, "zone", "zones" },
    { "show record zone", Q_E_UNKNOWN_RECORD, 1, 13, "zone", "zones" },
    { "select custmer from orders", Q_E_UNKNOWN_ATTRIBUTE, 1, 8, "The record orders has no attribute custmer.", "Did you mean customer?" },
    { "select id from orders where delivered_by.nam = 1", Q_E_UNKNOWN_ATTRIBUTE, 1, 42, "The record drivers has no attribute nam.",
      "Did you mean name?" },
    { "select id from orders\nwhere path(delivery_route -> stop).name = 1", Q_E_UNKNOWN_ATTRIBUTE, 2, 30, "routes has no attribute stop",
      "Did you mean stops?" },
    { "insert into orders { id: \"a\", totl_cost: 5 }", Q_E_UNKNOWN_ATTRIBUTE, 1, 31, "totl_cost", "Did you mean total_cost?" },
    { "update orders set totl_cost = 5", Q_E_UNKNOWN_ATTRIBUTE, 1, 19, "totl_cost", "Did you mean total_cost?" },
    { "select id from things group by x", Q_E_UNKNOWN_ATTRIBUTE, 1, 32, "x", "" },
    { "select id from things order by nam", Q_E_UNKNOWN_ATTRIBUTE, 1, 32, "nam", "" },
    /* paths */
    { "select id from things where s.x = 1", Q_E_QQL_TYPE, 1, 31, "s is a scalar of type string: it has no parts.", "" },
    { "select m.x from things", Q_E_QQL_TYPE, 1, 10, "m is a metric", "" },
    { "select one[0] from things", Q_E_QQL_TYPE, 1, 8, "one is a relation", "one.attribute" },
    { "select path(doc -> x).y from things", Q_E_QQL_TYPE, 1, 13, "Only relations stand in path(); doc is a document.", "" },
    { "select self.self.self.self.self.self.self.self.self.self.self.self.self.self.self.self.self.s from things", Q_E_QQL_LIMIT, 1, 8,
      "16 relations", "" },
    { "select doc.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a from things", Q_E_QQL_LIMIT, 1, 8, "30 steps", "" },
    /* comparison */
    { "select id from things where i = \"5\"", Q_E_QQL_TYPE, 1, 31, "int and string can't be compared.", "without quotation marks" },
    { "select id from things where s = 5", Q_E_QQL_TYPE, 1, 31, "string and int can't be compared.", "quotation marks" },
    { "select id from things where b = 1", Q_E_QQL_TYPE, 1, 31, "bool and int", "" },
    { "select id from things where t > du", Q_E_QQL_TYPE, 1, 31, "time and duration", "" },
    { "select id from things where doc = \"x\"", Q_E_QQL_TYPE, 1, 33, "document and string", "attribute.key" },
    { "select id from things where doc < {}", Q_E_QQL_TYPE, 1, 33, "no order", "" },
    { "select id from things where doc.a < [1]", Q_E_QQL_TYPE, 1, 35, "no order", "" },
    { "select id from things where doc.t > time(\"2024-01-01T00:00:00Z\")", Q_E_QQL_TYPE, 1, 35, "holds no time", "Compare with the text" },
    { "select id from things where doc.t = t", Q_E_QQL_TYPE, 1, 35, "holds no time", "" },
    { "select id from things where u = \"x\"", Q_E_QQL_VALUE, 1, 33, "uuid", "" },
    { "select id from things where t > \"noon\"", Q_E_QQL_VALUE, 1, 33, "time", "" },
    { "select id from things where t between \"2024-01-01T00:00:00Z\" and \"noon\"", Q_E_QQL_VALUE, 1, 66, "time", "" },
    { "select id from things where i in (1, \"x\")", Q_E_QQL_TYPE, 1, 38, "int and string", "" },
    { "select id from things where i like \"x%\"", Q_E_QQL_TYPE, 1, 29, "LIKE compares text, not int.", "" },
    { "select id from things where s like 5", Q_E_QQL_TYPE, 1, 36, "LIKE compares text", "" },
    { "select id from things where one < 5", Q_E_QQL_TYPE, 1, 33, "Relations have no order", "" },
    { "select id from things where one = \"x\"", Q_E_QQL_TYPE, 1, 35, "The ids of zones are of type int, not string.", "" },
    { "select id from things where dev = \"x\"", Q_E_QQL_VALUE, 1, 35, "uuid", "" },
    { "select id from things where one = 1.5", Q_E_QQL_TYPE, 1, 35, "relation is needed", "relation(\"id\")" },
    { "select id from things where one = t", Q_E_QQL_TYPE, 1, 33, "relation and time", "" },
    /* conditions */
    { "select id from things where i", Q_E_QQL_TYPE, 1, 29, "A condition is needed here, not int.", "" },
    { "select id from things where not i", Q_E_QQL_TYPE, 1, 33, "condition", "" },
    { "select id from things where b and s", Q_E_QQL_TYPE, 1, 35, "condition", "" },
    { "select count(*) from things having 5", Q_E_QQL_TYPE, 1, 36, "condition", "" },
    /* arithmetic */
    { "select s + 1 from things", Q_E_QQL_TYPE, 1, 10, "string + int has no meaning.", "" },
    { "select t + t from things", Q_E_QQL_TYPE, 1, 10, "time + time", "" },
    { "select t + \"1d\" from things", Q_E_QQL_TYPE, 1, 10, "time + string", "duration(\"1d 3h\")" },
    { "select du * du from things", Q_E_QQL_TYPE, 1, 11, "duration * duration", "" },
    { "select -s from things", Q_E_QQL_TYPE, 1, 8, "-string", "" },
    { "select doc + 1 from things", Q_E_QQL_TYPE, 1, 12, "document + int", "" },
    /* groups and aggregates */
    { "select id, count(*) from things", Q_E_QQL_UNSUPPORTED, 1, 8, "id stands neither in GROUP BY", "Add GROUP BY id" },
    { "select s, i from things group by s", Q_E_QQL_UNSUPPORTED, 1, 11, "i stands neither", "min() or max()" },
    { "select * from things group by id", Q_E_QQL_UNSUPPORTED, 1, 1, "neither in GROUP BY", "" },
    { "select count(*) from things order by s", Q_E_QQL_UNSUPPORTED, 1, 38, "s stands neither", "" },
    { "select count(*) from things having i > 1", Q_E_QQL_UNSUPPORTED, 1, 36, "i stands neither", "" },
    { "select i + f from things group by i", Q_E_QQL_UNSUPPORTED, 1, 12, "f stands neither", "" },
    { "select doc.a[1] from things group by doc.a[0]", Q_E_QQL_UNSUPPORTED, 1, 8, "doc stands neither", "" },
    { "select doc.a.c from things group by doc.a.b", Q_E_QQL_UNSUPPORTED, 1, 8, "doc stands neither", "" },
    { "select i in (1, f) from things group by i", Q_E_QQL_UNSUPPORTED, 1, 17, "f stands neither", "" },
    { "select i in (1, 2) from things group by i in (1, 3)", Q_E_QQL_UNSUPPORTED, 1, 8, "i stands neither", "" },
    { "select { a: f } from things group by i, { a: i }", Q_E_QQL_UNSUPPORTED, 1, 13, "f stands neither", "" },
    { "select i in (sum(f)) as x from things group by x", Q_E_QQL_UNSUPPORTED, 1, 48, "aggregate", "" },
    { "select id from things order by i in (1, lots.position)", Q_E_QQL_UNSUPPORTED, 1, 41, "cardinality many", "" },
    { "select id from things order by i + lots.position", Q_E_QQL_UNSUPPORTED, 1, 36, "cardinality many", "" },
    { "select id from things where count(*) > 1", Q_E_QQL_UNSUPPORTED, 1, 29, "can't stand in WHERE", "HAVING" },
    { "select sum(count(*)) from things", Q_E_QQL_UNSUPPORTED, 1, 12, "inside of another", "" },
    { "select count(*) as n from things group by n", Q_E_QQL_UNSUPPORTED, 1, 43, "GROUP BY", "" },
    { "select i from things group by sum(i)", Q_E_QQL_UNSUPPORTED, 1, 31, "can't stand in GROUP BY", "" },
    { "update things set i = sum(i)", Q_E_QQL_UNSUPPORTED, 1, 23, "can't stand in SET", "" },
    { "select sum(s) from things", Q_E_QQL_TYPE, 1, 12, "not string", "" },
    { "select max(doc) from things", Q_E_QQL_TYPE, 1, 12, "no order", "" },
    { "select id from things order by lots.name", Q_E_QQL_UNSUPPORTED, 1, 32, "cardinality many", "" },
    { "select lots.name from things group by lots.name", Q_E_QQL_UNSUPPORTED, 1, 39, "cardinality many", "" },
    { "select id from things order by doc", Q_E_QQL_TYPE, 1, 32, "no order", "" },
    { "select id from things order by lots", Q_E_QQL_TYPE, 1, 32, "no order", "" },
    { "select id from things order by 2", Q_E_QQL_VALUE, 1, 32, "There is no column 2.", "" },
    { "select id from things limit -1", Q_E_QQL_VALUE, 1, 29, "LIMIT can't be negative.", "" },
    { "select id from things limit \"a\"", Q_E_QQL_TYPE, 1, 29, "LIMIT is a whole number.", "" },
    { "select id from things limit i", Q_E_QQL_TYPE, 1, 29, "LIMIT", "" },
    { "select id from things offset 1.5", Q_E_QQL_TYPE, 1, 30, "OFFSET", "" },
    { "select (select id from zones) from things", Q_E_QQL_UNSUPPORTED, 1, 8, "Subqueries stand in ASSERT only", "" },
    { "select id from things where exists (select id from zones)", Q_E_QQL_UNSUPPORTED, 1, 29, "Subqueries", "" },
    /* INSERT */
    { "insert into things { }", Q_E_QQL_VALUE, 1, 20, "has no id", "{ id: ..., ... }" },
    { "insert into things { id: \"a\" },\n { s: \"b\" }", Q_E_QQL_VALUE, 2, 2, "has no id", "" },
    { "insert into things { id: null }", Q_E_QQL_VALUE, 1, 26, "has no id", "" },
    { "insert into things { id: \"\" }", Q_E_QQL_VALUE, 1, 26, "1 to 255 bytes", "" },
    { "insert into things { id: 5 }", Q_E_QQL_TYPE, 1, 26, "int can't be used as string", "\"5\"" },
    { "insert into zones { id: \"5\" }", Q_E_QQL_TYPE, 1, 25, "string can't be used as int", "without quotation marks" },
    { "insert into zones { id: 2 + 3 }", Q_E_QQL_UNSUPPORTED, 1, 27, "literal or a parameter", "" },
    { "insert into things { id: order_1 }", Q_E_QQL_UNSUPPORTED, 1, 26, "INSERT can't read the attribute order_1.", "\"order_1\"" },
    { "insert into things { id: \"a\", s: \"x\", s: \"y\" }", Q_E_QQL_UNSUPPORTED, 1, 39, "s stands twice", "" },
    { "insert into things { id: \"a\", i: 1.5 }", Q_E_QQL_VALUE, 1, 34, "", "" },
    { "insert into things { id: \"a\", i: \"1\" }", Q_E_QQL_TYPE, 1, 34, "used as int", "" },
    { "insert into things { id: \"a\", b: 1 }", Q_E_QQL_TYPE, 1, 34, "used as bool", "" },
    { "insert into things { id: \"a\", t: \"noon\" }", Q_E_QQL_VALUE, 1, 34, "time", "" },
    { "insert into things { id: \"a\", d: 0.1234567890123456789 }", Q_E_QQL_VALUE, 1, 34, "decimal", "" },
    { "insert into things { id: \"a\", doc: \"x\" }", Q_E_QQL_TYPE, 1, 36, "doc is a document", "" },
    { "insert into things { id: \"a\", doc: { a: 1, b: 2,\n a: 3 } }", Q_E_QQL_VALUE, 2, 2, "The key \"a\" stands twice", "" },
    { "insert into things { id: \"a\", doc: { a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7, h: 8, i: 9, j: 10, k: 11, l: 12, m: 13,\n d: 14 "
      "} }",
      Q_E_QQL_VALUE, 2, 2, "The key \"d\" stands twice", "" },
    { "insert into things { id: \"a\", doc: { a: relation(\"x\") } }", Q_E_QQL_TYPE, 1, 41, "document can't hold a relation", "as text" },
    { "insert into things { id: \"a\", doc: relation(\"x\") }", Q_E_QQL_TYPE, 1, 36, "document can't hold a relation", "" },
    { "insert into things { id: \"a\", one: [relation(1), relation(2)] }", Q_E_QQL_TYPE, 1, 36, "one holds one relation, not 2.", "" },
    { "insert into things { id: \"a\", self: { a: 1 } }", Q_E_QQL_TYPE, 1, 37, "array", "" },
    { "insert into things { id: \"a\", self: 1.5 }", Q_E_QQL_TYPE, 1, 37, "relation is needed", "" },
    { "insert into things { id: \"a\", self: \"\" }", Q_E_QQL_VALUE, 1, 37, "1 to 255", "" },
    { "insert into things { id: \"a\", lots: [relation(\"a\"), 5] }", Q_E_QQL_TYPE, 1, 38, "document can't hold a relation", "" },
    { "insert into things { id: \"a\", s: 5 at time(\"2024-01-01T00:00:00Z\") }", Q_E_QQL_UNSUPPORTED, 1, 36, "metric's sample", "" },
    { "insert into things { id: \"a\", m: null at time(\"2024-01-01T00:00:00Z\") }", Q_E_QQL_UNSUPPORTED, 1, 34, "can't be NULL", "" },
    { "insert into things { id: \"a\", m: 5 at 5 }", Q_E_QQL_TYPE, 1, 39, "After AT stands a time", "" },
    { "insert into things { id: \"a\", md: 5 }", Q_E_QQL_TYPE, 1, 35, "used as duration", "" },
    /* UPDATE */
    { "update things set id = \"b\"", Q_E_QQL_UNSUPPORTED, 1, 19, "id of a record never changes", "DELETE" },
    { "update things set m = null", Q_E_QQL_UNSUPPORTED, 1, 23, "can't be set to NULL", "" },
    { "update things set i = f", Q_E_QQL_TYPE, 1, 23, "float can't be used as int", "" },
    { "update things set i = i / 2.0", Q_E_QQL_TYPE, 1, 25, "float can't be used as int", "" },
    { "update things set s = self.s", Q_E_QQL_UNSUPPORTED, 1, 23, "own attributes only", "" },
    { "update things set self.s = \"x\"", Q_E_QQL_UNSUPPORTED, 1, 19, "what self leads to", "UPDATE things" },
    { "update things set s.x = \"x\"", Q_E_QQL_TYPE, 1, 19, "no parts", "" },
    { "update things set i = 1, i = 2", Q_E_QQL_UNSUPPORTED, 1, 26, "set twice", "" },
    { "update things set doc.a.b = 1, doc.a = 2", Q_E_QQL_UNSUPPORTED, 1, 32, "set twice", "" },
    { "update things set self += relation(\"a\")", Q_E_QQL_TYPE, 1, 19, "set with =", "" },
    { "update things set list += 5", Q_E_QQL_TYPE, 1, 27, "items of an array", "+= [...]" },
    { "update things set doc.tags += \"x\"", Q_E_QQL_TYPE, 1, 31, "items of an array", "" },
    { "update things set s += \"x\"", Q_E_QQL_TYPE, 1, 24, "string + string", "" },
    { "update things set m += 1 at time(\"2024-01-01T00:00:00Z\")", Q_E_QQL_UNSUPPORTED, 1, 26, "written with =", "" },
    { "update things set lots = self", Q_E_QQL_TYPE, 1, 26, "lots doesn't hold what self does", "" },
    { "update things set self = s", Q_E_QQL_TYPE, 1, 26, "self is a relation to things", "" },
    { "update things set doc = s", Q_E_QQL_TYPE, 1, 25, "doc is a document", "" },
    /* ASSERT */
    { "assert i > 5", Q_E_QQL_UNSUPPORTED, 1, 8, "ASSERT can't read the attribute i.", "(SELECT ...)" },
    { "assert (select id, s from things) = 1", Q_E_QQL_UNSUPPORTED, 1, 8, "one column", "" },
    { "assert (select * from zones) = 1", Q_E_QQL_UNSUPPORTED, 1, 8, "one column", "" },
    { "assert exists (select id from things where exists (select id from zones))", Q_E_QQL_UNSUPPORTED, 1, 44, "Subqueries", "" },
    { "assert (select s from things) > 5", Q_E_QQL_TYPE, 1, 31, "string and int", "" },
    { "assert (select count(*) from things)", Q_E_QQL_TYPE, 1, 8, "condition", "" },
    { "assert count(*) > 1", Q_E_QQL_UNSUPPORTED, 1, 8, "can't stand in ASSERT", "" },
    /* definitions */
    { "create record things (a document)", Q_E_RECORD_EXISTS, 1, 15, "things", "" },
    { "create record fresh (a document, a scalar int)", Q_E_SCHEMA_INVALID, 1, 15, "\"a\"", "" },
    { "create bucket My_Bucket", Q_E_SCHEMA_INVALID, 1, 15, "My_Bucket", "" },
    { "create record _x ()", Q_E_SCHEMA_INVALID, 1, 15, "_x", "" },
    { "create record x (a scalar int, b__c document)", Q_E_SCHEMA_INVALID, 1, 32, "b__c", "" },
    { "create record x (a scalar int,\n `b c` document)", Q_E_SCHEMA_INVALID, 2, 3, "b c", "" },
    { "create record x (a relation to `Y`)", Q_E_SCHEMA_INVALID, 1, 33, "Y", "" },
    { "create record x (time scalar time)", Q_E_SCHEMA_INVALID, 1, 18, "time", "InfluxDB" },
    { "drop record thing", Q_E_UNKNOWN_RECORD, 1, 13, "thing", "things" },
    { "alter record things add s scalar string", Q_E_SCHEMA_INVALID, 1, 14, "", "" },
    { "create bucket shop", Q_E_BUCKET_EXISTS, 1, 15, "shop", "" },
    { "drop bucket shop", Q_E_BUCKET_NOT_EMPTY, 1, 13, "shop", "CASCADE" },
    { "drop bucket shp", Q_E_UNKNOWN_BUCKET, 1, 13, "shp", "shop" },
};

static void each_refusal_names_its_place_and_a_way_on(void **state)
{
    (void)state;
    q_catalog *world = make_world();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        q_arena *arena = q_arena_new(0);
        q_script *s = parse_ok(arena, q_slice_cstr(cases[i].text));
        q_err err = Q_ERR_INIT;
        if (q_ql_check(arena, s, world, Q_SLICE_LIT("shop"), NULL, 0, &err) != Q_FAIL)
            note("checked: %s\n", cases[i].text);
        else if (err.code != cases[i].code || err.statement != 1 || err.line != cases[i].line || err.column != cases[i].column ||
                 !strstr(err.message, cases[i].message) || !strstr(err.hint, cases[i].hint))
            note("%s\n  %s, statement %u at %u:%u: %s | %s\n", cases[i].text, q_code_name(err.code), err.statement, err.line, err.column,
                 err.message, err.hint);
        q_arena_free(arena);
    }
    q_catalog_unref(world);
    none_noted();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_refusal_names_its_place_and_a_way_on) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
