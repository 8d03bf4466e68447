/* case_value.c - every datatype at its extremes comes back as it was written; a value never becomes query text. */
#include <float.h>
#include <math.h>

#include "schemas/timetext.h"
#include "tests/contract/contract.h"

static const char *const nasty[] = {
    "", " ", "plain", "it's", "a \"quoted\" text", "back\\slash \\' \\\" \\n \\0", "line\nbreak\r\ntab\t", "'; DROP TABLE things; --",
    "\"); MATCH (n) DETACH DELETE n //",
    "{\"$where\": \"1\"}", "$1 ? :x %s %n ${x} #{x}", "a,b=c d\\,e\\=f\\ g", "-- /* */ ;", "\x01\x02\x1f\x7f",
    "Gr\xc3\xbc\xc3\x9f""e \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf \xee\x80\x80",
    "\xf4\x8f\xbf\xbf", "e\xcc\x81 is not \xc3\xa9", "\xe2\x80\xae right to left", "NULL", "null", "true", "1e5", "0x41", "_q_seq",
};
enum { NASTY = sizeof nasty / sizeof nasty[0] };

/* Writes each value under an id of its own as attribute `v` of a record of that type, and reads all back. */
static void round_trip(contract *c, const char *record, q_type type, uint32_t n, const q_value *values)
{
    static const q_slice v[1] = { { "v", 1 } };
    q_attr a = attr_of(c, "v", type);
    uint64_t r = create_record(c, record, 1, &a);
    q_txn_work *works = Q_NEW_ARRAY(c->arena, q_txn_work, n);
    uint64_t *seqs = Q_NEW_ARRAY(c->arena, uint64_t, n);
    for (uint32_t i = 0; i < n; i++) {
        q_item one = of_record(with_id(put(c, "", 1, field("v", values[i])), str(q_arena_printf(c->arena, "id %u", i).ptr)), record, r);
        seqs[i] = next_seq(c);
        works[i] = work(c, seqs[i], 1, &one);
    }
    commit_works(c, n, works);
    for (uint32_t i = 0; i < n; i++) {
        const q_row *row = look_at(c, record, r, str(q_arena_printf(c->arena, "id %u", i).ptr), 1, v);
        if (!row)
            FAIL(c, "value %u of %s isn't there", i, record);
        EXPECT_VALUE(c, row, 0, values[i]);
        EXPECT_U64(c, row->seq, seqs[i]);
    }
}

static q_value big_string(contract *c, size_t n)
{
    char *p = q_arena_alloc(c->arena, n);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + i % 26);
    return (q_value){ .type = Q_T_STRING, .s = q_slice_of(p, n) };
}

static void strings(contract *c)
{
    q_value v[NASTY + 2];
    for (int i = 0; i < NASTY; i++)
        v[i] = str(nasty[i]);
    v[NASTY] = big_string(c, 100000);
    v[NASTY + 1] = big_string(c, Q_MAX_STRING_BYTES);
    round_trip(c, "strings", Q_T_STRING, NASTY + 2, v);
}

static void integers(contract *c)
{
    const q_value v[] = { num(0), num(1), num(-1), num(INT32_MAX), num(INT32_MIN), num(1ll << 53), num((1ll << 53) + 1), num(INT64_MAX),
                          num(INT64_MIN) };
    round_trip(c, "integers", Q_T_INT, sizeof v / sizeof v[0], v);
}

static void floats(contract *c)
{
    const q_value v[] = { flt(0.0), flt(1.5), flt(-1.5), flt(0.1), flt(1.0 / 3), flt(DBL_MAX), flt(-DBL_MAX), flt(DBL_MIN),
                          flt(DBL_TRUE_MIN), flt(DBL_EPSILON),
                          flt(9007199254740993.0), flt(1e23), flt(123456789.123456789) };
    round_trip(c, "floats", Q_T_FLOAT, sizeof v / sizeof v[0], v);
}

static void booleans(contract *c)
{
    const q_value v[] = { { .type = Q_T_BOOL, .b = true }, { .type = Q_T_BOOL, .b = false } };
    round_trip(c, "booleans", Q_T_BOOL, 2, v);
}

static q_value decimal(__int128 coefficient, uint8_t scale)
{
    return (q_value){ .type = Q_T_DECIMAL, .scale = scale, .coefficient = coefficient };
}

static void decimals(contract *c)
{
    __int128 most = 1;
    for (int i = 0; i < 34; i++)
        most *= 10;
    most -= 1;
    const q_value v[] = { decimal(0, 0), decimal(1, 0), decimal(-1, 0), decimal(8950, 2), decimal(1, 18), decimal(-1, 18),
                          decimal(most, 0), decimal(-most, 0),
                          decimal(most, 18), decimal(-most, 18), decimal(100, 2) };
    round_trip(c, "decimals", Q_T_DECIMAL, sizeof v / sizeof v[0], v);
}

static void times_and_durations(contract *c)
{
    const int64_t us[] = { 0, 1, -1, 1700000000123456, Q_TIME_MIN_US, Q_TIME_MAX_US };
    q_value t[6], d[8];
    for (int i = 0; i < 6; i++)
        t[i] = (q_value){ .type = Q_T_TIME, .i = us[i] };
    round_trip(c, "times", Q_T_TIME, 6, t);
    const int64_t spans[] = { 0, 1, -1, 97200000000, -97200000000, 86400000000 * 36500, INT64_MAX, INT64_MIN + 1 };
    for (int i = 0; i < 8; i++)
        d[i] = (q_value){ .type = Q_T_DURATION, .i = spans[i] };
    round_trip(c, "durations", Q_T_DURATION, 8, d);
}

static void uuids_and_bytes(contract *c)
{
    q_value u[3] = { { .type = Q_T_UUID }, { .type = Q_T_UUID }, { .type = Q_T_UUID } };
    memset(u[1].uuid, 0xFF, 16);
    for (uint8_t i = 0; i < 16; i++)
        u[2].uuid[i] = (uint8_t)(i * 17);
    round_trip(c, "uuids", Q_T_UUID, 3, u);
    static const char all[] = "\0\1\2\x7f\x80\xff'\\\"\n";
    q_value b[3] = { { .type = Q_T_BYTES, .s = q_slice_of(all, sizeof all - 1) }, { .type = Q_T_BYTES, .s = Q_SLICE_LIT("") },
                     { .type = Q_T_BYTES } };
    b[2].s = big_string(c, 70000).s;
    round_trip(c, "bytes", Q_T_BYTES, 3, b);
}

static void documents(contract *c)
{
    q_buf deep = Q_BUF_INIT(4096);
    for (int i = 0; i < Q_MAX_DOC_DEPTH; i++)
        q_buf_add_cstr(&deep, i % 2 ? "{\"d\":" : "[");
    q_buf_add_cstr(&deep, "null");
    for (int i = Q_MAX_DOC_DEPTH; i-- > 0;)
        q_buf_add_cstr(&deep, i % 2 ? "}" : "]");
    q_buf_add_byte(&deep, 0);
    q_value v[] = {
        doc(c, "{}"), doc(c, "[]"), doc(c, "{\"a\": {\"b\": [1, 2.5, null, true, {\"c\": \"d\"}]}}"), doc(c, "[[], {}, [[]], \"\"]"),
        doc(c, "{\"min\": -9223372036854775808, \"max\": 9223372036854775807, \"f\": 1e308, \"tiny\": 5e-324}"),
        doc(c, "{\"$set\": {\"$where\": \"x\"}, \"a.b\": 1, \"\": 2, \"$\": 3, \"_id\": 4, \"'; --\": \"\\u0001\\n\\\\\"}"),
        doc(c, "{\"z\": 1, \"a\": 2, \"m\": 3}"), doc(c, "{\"e\": \"\xf0\x9f\x98\x80\", \"\xc3\xbc\": [\"\xe2\x82\xac\"]}"),
        doc(c, deep.ptr), Q_NULL,
    };
    q_buf_free(&deep);
    q_value big = big_string(c, Q_MAX_DOC_BYTES - 16);
    q_slice text = q_arena_printf(c->arena, "[\"%.*s\"]", Q_SLICE_FMT(big.s));
    v[sizeof v / sizeof v[0] - 1] = doc(c, text.ptr);
    round_trip(c, "documents", Q_T_DOC, sizeof v / sizeof v[0], v);
}

static void relations(contract *c)
{
    q_value *many = Q_NEW_ARRAY(c->arena, q_value, Q_MAX_RELATION_IDS), odd[NASTY + 6];
    uint32_t n = 0;
    for (uint32_t i = 0; i < Q_MAX_RELATION_IDS; i++)
        many[i] = str(q_arena_printf(c->arena, "t%u", (i * 7919) % Q_MAX_RELATION_IDS).ptr);
    for (int i = 1; i < NASTY; i++) /* an empty string is no id */
        odd[n++] = str(nasty[i]);
    odd[n++] = (q_value){ .type = Q_T_STRING, .s = big_string(c, Q_MAX_ID_BYTES).s };
    odd[n++] = num(INT64_MIN);
    odd[n++] = num(INT64_MAX);
    odd[n++] = num(0);
    odd[n] = (q_value){ .type = Q_T_UUID };
    memset(odd[n++].uuid, 0xA5, 16);
    const q_value v[] = { rel(c, 0), rel(c, 1, "t"), rel(c, 3, "c", "a", "b"), rel(c, 3, "a", "b", "a"),
                          { .type = Q_T_RELATION, .rel = { odd, n } },
                          { .type = Q_T_RELATION, .rel = { many, Q_MAX_RELATION_IDS } } };
    round_trip(c, "relations", Q_T_RELATION, sizeof v / sizeof v[0], v);
}

static q_value at(q_value v, int64_t at_us)
{
    v.at_us = at_us;
    return v;
}

static void metric_values(contract *c)
{
    /* 1700 and 2200: Influx ends at 1677 and 2262 */
    const int64_t t = sample_time(1), far_back = -8520336000000000, far_on = 7258118400000000;
    const q_value f[] = { at(flt(0.0), t), at(flt(-0.1), t), at(flt(DBL_MAX), t), at(flt(-DBL_MAX), t), at(flt(DBL_MIN), t),
                          at(flt(1.0 / 3), far_back), at(flt(2.5), far_on),
                          at(flt(1), -1), at(flt(1), 1) };
    round_trip(c, "float_metrics", Q_T_FLOAT, sizeof f / sizeof f[0], f);
    const q_value i[] = { at(num(0), t), at(num(INT64_MAX), t), at(num(INT64_MIN), t), at(num((1ll << 53) + 1), t), at(num(-1), far_back) };
    round_trip(c, "int_metrics", Q_T_INT, sizeof i / sizeof i[0], i);
    const q_value d[] = { at((q_value){ .type = Q_T_DURATION, .i = 97200000000 }, t), at((q_value){ .type = Q_T_DURATION, .i = -1 }, t),
                          at((q_value){ .type = Q_T_DURATION, .i = INT64_MAX }, far_on),
                          at((q_value){ .type = Q_T_DURATION, .i = INT64_MIN + 1 }, far_back) };
    round_trip(c, "duration_metrics", Q_T_DURATION, sizeof d / sizeof d[0], d);
}

static void ids(contract *c)
{
    q_value id[NASTY + 8];
    uint32_t n = 0;
    for (int i = 1; i < NASTY; i++)
        id[n++] = str(nasty[i]);
    id[n++] = (q_value){ .type = Q_T_STRING, .s = big_string(c, Q_MAX_ID_BYTES).s };
    q_txn_work *works = Q_NEW_ARRAY(c->arena, q_txn_work, n);
    for (uint32_t i = 0; i < n; i++) {
        q_item one = with_id(put(c, "", 1, field("a", val(c, i))), id[i]);
        works[i] = work(c, next_seq(c), 1, &one);
    }
    commit_works(c, n, works);
    static const q_slice a[1] = { { "a", 1 } };
    for (uint32_t i = 0; i < n; i++)
        EXPECT_VALUE(c, look_at(c, "things", c->record_incarnation, id[i], 1, a), 0, val(c, i));
    q_read r = scan_of(c, "things", c->record_incarnation, 1000);
    EXPECT_U64(c, read_rows(c, &r).count, n);
}

static uint64_t record_by(contract *c, const char *name, q_type id_type)
{
    q_attr attrs[2] = { { .name = Q_SLICE_LIT("id"), .kind = Q_K_SCALAR, .datatype = id_type }, attr(c, "a") };
    q_item i = ddl_item(c, Q_DDL_ALTER_RECORD, name, 0, 2, attrs);
    uint64_t seq = next_seq(c);
    i.ddl.kind = Q_DDL_CREATE_RECORD;
    i.incarnation = seq;
    commit(c, seq, i);
    return seq;
}

static void ids_of_other_types(contract *c)
{
    static const q_slice a[1] = { { "a", 1 } };
    const int64_t numbers[] = { 0, -1, 1, INT64_MIN, INT64_MAX, 256, -256 }, sorted[] = { INT64_MIN, -256, -1, 0, 1, 256, INT64_MAX };
    uint64_t r = record_by(c, "by_int", Q_T_INT), u = record_by(c, "by_uuid", Q_T_UUID);
    for (int i = 0; i < 7; i++)
        commit(c, next_seq(c), with_id(of_record(put(c, "", 1, field("a", val(c, i))), "by_int", r), num(numbers[i])));
    for (int i = 0; i < 7; i++)
        EXPECT_VALUE(c, look_at(c, "by_int", r, num(numbers[i]), 1, a), 0, val(c, i));
    q_read scan = scan_of(c, "by_int", r, 100);
    q_rows rows = read_rows(c, &scan);
    EXPECT_U64(c, rows.count, 7);
    for (int i = 0; i < 7; i++)
        EXPECT(c, rows.rows[i].id.type == Q_T_INT && rows.rows[i].id.i == sorted[i]);
    q_value id = { .type = Q_T_UUID };
    for (uint8_t i = 0; i < 3; i++) {
        memset(id.uuid, i * 127, 16);
        commit(c, next_seq(c), with_id(of_record(put(c, "", 1, field("a", val(c, i))), "by_uuid", u), id));
        EXPECT_VALUE(c, look_at(c, "by_uuid", u, id, 1, a), 0, val(c, i));
    }
}

static void other_types_are_refused(contract *c)
{
    const q_value all[] = { str("s"), num(1), flt(1.5), { .type = Q_T_BOOL, .b = true }, { .type = Q_T_UUID }, decimal(1, 0),
                            { .type = Q_T_TIME, .i = 1 },
                            { .type = Q_T_DURATION, .i = 1 }, { .type = Q_T_BYTES, .s = Q_SLICE_LIT("x") }, doc(c, "{}"), rel(c, 1, "t") };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!q_rule_type_fits(c->as, all[i].type))
            EXPECT_VOTE(c, next_seq(c), put(c, "x", 1, field("a", all[i])), Q_NO_REFUSED);
    EXPECT_ABSENT(c, "x");
}

const contract_case value_cases[] = {
    { "strings", strings, POSTGRES, "PostgreSQL holds scalars" },
    { "integers", integers, POSTGRES, "PostgreSQL holds scalars" },
    { "floats", floats, POSTGRES, "PostgreSQL holds scalars" },
    { "booleans", booleans, POSTGRES, "PostgreSQL holds scalars" },
    { "decimals", decimals, POSTGRES, "PostgreSQL holds scalars" },
    { "times_and_durations", times_and_durations, POSTGRES, "PostgreSQL holds scalars" },
    { "uuids_and_bytes", uuids_and_bytes, POSTGRES, "PostgreSQL holds scalars" },
    { "documents", documents, MONGO, "MongoDB holds documents" },
    { "relations", relations, NEO4J, "Neo4j holds relations" },
    { "metric_values", metric_values, INFLUX, "Influx holds metrics" },
    { "ids", ids, ALL_KINDS, NULL },
    { "ids_of_other_types", ids_of_other_types, ALL_KINDS, NULL },
    { "other_types_are_refused", other_types_are_refused, ALL_KINDS, NULL },
    { 0 }
};
