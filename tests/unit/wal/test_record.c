/* Records to bytes and back: every field comes back, and no bytes but a right record's are taken. */
#include "sample.h"

#include <msgpack.h>

#include "wal/bytes.h"
#include "wal/checksum.h"

static q_arena *arena;

static int start(void **state) { (void)state; arena = q_arena_new(1 << 30); return 0; }
static int stop(void **state) { (void)state; q_arena_free(arena); return 0; }

static q_rec decode(q_slice bytes, uint64_t lsn)
{
    q_rec r;
    q_err err = Q_ERR_INIT;
    if (q_rec_decode(arena, bytes, lsn, &r, &err) != Q_OK)
        fail_msg("%s", err.message);
    assert_int_equal(r.lsn, lsn);
    return r;
}

#define SAME(a, b) assert_true(q_slice_eq((a), (b)))

static void a_decision_comes_back_field_by_field(void **state)
{
    (void)state;
    q_rec in = sample_decision(arena, 77, 6, "{\"status\":\"committed\"}");
    in.decision.ddl = Q_SLICE_LIT("ddl bytes");
    in.decision.partition = -1;
    in.decision.offset = INT64_MAX;
    in.decision.time_us = INT64_MIN;
    in.decision.seq = in.decision.epoch = UINT64_MAX;
    q_rec_decision a = in.decision, b = decode(sample_encode(arena, &in), 77).decision;
    assert_true(a.seq == b.seq && a.epoch == b.epoch && a.committed == b.committed && a.time_us == b.time_us);
    assert_memory_equal(a.identity, b.identity, 16);
    assert_memory_equal(a.body_hash, b.body_hash, 16);
    SAME(a.bucket, b.bucket);
    SAME(a.request_id, b.request_id);
    SAME(a.principal, b.principal);
    assert_true(a.partition == b.partition && a.offset == b.offset && a.participants == b.participants && a.event_count == b.event_count);
    SAME(a.reply_topic, b.reply_topic);
    SAME(a.reply_type, b.reply_type);
    SAME(a.reply, b.reply);
    for (int e = 0; e < Q_EN_COUNT; e++)
        SAME(a.redo[e], b.redo[e]);
    for (uint32_t i = 0; i < a.event_count; i++) {
        SAME(a.events[i].key, b.events[i].key);
        SAME(a.events[i].value, b.events[i].value);
    }
    SAME(a.ddl, b.ddl);
    SAME(a.query, b.query);
}

static void an_empty_abort_comes_back(void **state)
{
    (void)state;
    q_rec in = { .type = Q_REC_DECISION, .lsn = 1 };
    q_rec_decision d = decode(sample_encode(arena, &in), 1).decision;
    assert_false(d.committed);
    assert_true(d.seq == 0 && d.reply.len == 0 && d.event_count == 0 && d.participants == 0);
}

static void the_other_types_come_back(void **state)
{
    (void)state;
    uint64_t ended[] = { 1, 127, 128, UINT64_MAX }, published[] = { 0, 5 };
    q_rec tail = { .type = Q_REC_TAIL, .lsn = 2, .tail = { 4, ended, 2, published } };
    q_rec_tail t = decode(sample_encode(arena, &tail), 2).tail;
    assert_true(t.ended_count == 4 && t.published_count == 2);
    assert_memory_equal(t.ended, ended, sizeof ended);
    assert_memory_equal(t.published, published, sizeof published);
    q_rec empty = { .type = Q_REC_TAIL, .lsn = 3 };
    t = decode(sample_encode(arena, &empty), 3).tail;
    assert_true(t.ended_count == 0 && t.published_count == 0);
    q_rec epoch = { .type = Q_REC_EPOCH, .lsn = 4, .epoch = { 9, -5, Q_SLICE_LIT("0.1.0") } };
    q_rec_epoch e = decode(sample_encode(arena, &epoch), 4).epoch;
    assert_true(e.epoch == 9 && e.time_us == -5);
    SAME(e.version, Q_SLICE_LIT("0.1.0"));
    q_rec text = { .type = Q_REC_OPERATOR, .lsn = UINT64_MAX, .text = Q_SLICE_LIT("by hand") };
    SAME(decode(sample_encode(arena, &text), UINT64_MAX).text, text.text);
}

static void the_query_is_cut_between_code_points(void **state)
{
    (void)state;
    char query[400];
    for (size_t pad = 0; pad < 4; pad++) {
        memset(query, 'x', pad);
        for (size_t i = pad; i + 3 <= sizeof query; i += 3)
            memcpy(query + i, "\xe2\x82\xac", 3); /* a euro sign */
        q_rec in = { .type = Q_REC_DECISION, .lsn = 1, .decision.query = q_slice_of(query, pad + (sizeof query - pad) / 3 * 3) };
        q_slice out = decode(sample_encode(arena, &in), 1).decision.query;
        assert_true(out.len <= Q_REC_QUERY_BYTES && out.len > Q_REC_QUERY_BYTES - 3);
        assert_int_equal((out.len - pad) % 3, 0);
    }
    q_rec exact = { .type = Q_REC_DECISION, .lsn = 1, .decision.query = q_slice_of(query, Q_REC_QUERY_BYTES) };
    memset(query, 'q', sizeof query);
    assert_int_equal(decode(sample_encode(arena, &exact), 1).decision.query.len, Q_REC_QUERY_BYTES);
}

static void the_checksum_is_crc32c(void **state)
{
    (void)state;
    q_crc32c c = q_crc32c_start(); /* RFC 3720 B.4: 32 bytes of zeros, and of ones */
    char bytes[32] = { 0 };
    q_crc32c_add(&c, bytes, 13);
    q_crc32c_add(&c, bytes, 19);
    assert_int_equal(q_crc32c_end(c), 0x8A9136AA);
    memset(bytes, 0xff, sizeof bytes);
    c = q_crc32c_start();
    q_crc32c_add(&c, bytes, sizeof bytes);
    assert_int_equal(q_crc32c_end(c), 0x62A8AB43);
}

static void every_flipped_bit_and_every_cut_is_refused(void **state)
{
    (void)state;
    q_rec in = sample_decision(arena, 12, 4, "reply");
    q_slice good = sample_encode(arena, &in);
    char *bytes = (char *)(uintptr_t)q_arena_copy(arena, good).ptr;
    q_err err = Q_ERR_INIT;
    q_rec out;
    for (size_t i = 0; i < good.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
            err.message[0] = '\0';
            assert_int_equal(q_rec_decode(arena, q_slice_of(bytes, good.len), 12, &out, &err), Q_FAIL);
            assert_non_null(strstr(err.message, "log record 12: "));
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
        }
    for (size_t n = 0; n < good.len; n++)
        assert_int_equal(q_rec_decode(arena, q_slice_of(bytes, n), 12, &out, &err), Q_FAIL);
    assert_int_equal(q_rec_decode(arena, good, 13, &out, &err), Q_FAIL); /* another record's place */
    assert_non_null(strstr(err.message, "record 12"));
    q_buf more = Q_BUF_INIT(1 << 20);
    q_buf_add_slice(&more, good);
    q_buf_add_byte(&more, 0);
    assert_int_equal(q_rec_decode(arena, q_buf_slice(&more), 12, &out, &err), Q_FAIL);
    q_buf_free(&more);
}

/* A header with a right checksum around any payload: what a hostile writer could make. */
static q_slice forge(uint16_t format, uint16_t type, const void *payload, size_t n)
{
    q_slice s = { q_arena_calloc(arena, 1, Q_REC_HEADER_BYTES + n + 1), Q_REC_HEADER_BYTES + n };
    char *h = (char *)(uintptr_t)s.ptr;
    memcpy(h, "QWAL", 4);
    q_put_le16(h + 4, format);
    q_put_le16(h + 6, type);
    q_put_le32(h + 8, (uint32_t)n);
    q_put_le64(h + 16, 5);
    memcpy(h + 24, payload, n);
    q_crc32c c = q_crc32c_start();
    q_crc32c_add(&c, h, 12);
    q_crc32c_add(&c, h + 16, 8 + n);
    q_put_le32(h + 12, q_crc32c_end(c));
    return s;
}

static void refused(q_slice bytes, const char *why)
{
    q_err err = Q_ERR_INIT;
    q_rec out;
    assert_int_equal(q_rec_decode(arena, bytes, 5, &out, &err), Q_FAIL);
    if (!strstr(err.message, why))
        fail_msg("expected '%s' in '%s'", why, err.message);
}

static void payloads_that_lie_are_refused(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_rec out;
    refused(forge(Q_WAL_FORMAT + 1, Q_REC_OPERATOR, "\xa1x", 2), "format 2");
    refused(forge(0, Q_REC_OPERATOR, "\xa1x", 2), "format 0");
    refused(forge(Q_WAL_FORMAT, 0, "\xa1x", 2), "type 0");
    refused(forge(Q_WAL_FORMAT, Q_REC_RESOLVE + 1, "\xa1x", 2), "type 6");
    assert_int_equal(q_rec_decode(arena, forge(Q_WAL_FORMAT, Q_REC_OPERATOR, "\xa1x", 2), 5, &out, &err), Q_OK);
    refused(forge(Q_WAL_FORMAT, Q_REC_OPERATOR, "", 0), "ends before");
    refused(forge(Q_WAL_FORMAT, Q_REC_OPERATOR, "\xa2x", 2), "cut");
    refused(forge(Q_WAL_FORMAT, Q_REC_OPERATOR, "\xa1xx", 3), "follow the last field");
    refused(forge(Q_WAL_FORMAT, Q_REC_OPERATOR, "\xc4\1x", 3), "not a string");
    refused(forge(Q_WAL_FORMAT, Q_REC_OPERATOR, "\xc1", 1), "no msgpack value");
    /* Counts and containers that ask for gigabytes. */
    refused(forge(Q_WAL_FORMAT, Q_REC_TAIL, "\xce\xff\xff\xff\xff", 5), "more than the record has room for");
    refused(forge(Q_WAL_FORMAT, Q_REC_TAIL, "\xdd\xff\xff\xff\xff", 5), "array or a map");
    refused(forge(Q_WAL_FORMAT, Q_REC_TAIL, "\xdf\xff\xff\xff\xff", 5), "array or a map");
    refused(forge(Q_WAL_FORMAT, Q_REC_TAIL, "\x01\xdb\xff\xff\xff\xff", 6), "cut");
    refused(forge(Q_WAL_FORMAT, Q_REC_TAIL, "\x02\x01", 2), "room");
    refused(forge(Q_WAL_FORMAT, Q_REC_TAIL, "\x01\xff\x00", 3), "unsigned");
    refused(forge(Q_WAL_FORMAT, Q_REC_EPOCH, "\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa0", 11), "range");
}

/* Each field of a decision replaced by one of another kind, or of a size that it can't have. */
static void a_decision_with_a_wrong_field_is_refused(void **state)
{
    (void)state;
    enum { FIELDS = 18 };
    for (int wrong = -1; wrong < FIELDS; wrong++) {
        msgpack_sbuffer b;
        msgpack_packer p;
        msgpack_sbuffer_init(&b);
        msgpack_packer_init(&p, &b, msgpack_sbuffer_write);
        static const char text[64] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde";
        for (int f = 0; f < FIELDS; f++) {
            if (f == wrong) {
                if (f == 6)
                    msgpack_pack_str_with_body(&p, text, Q_MAX_NAME_BYTES + 1);
                else if (f == 4 || f == 5)
                    msgpack_pack_bin_with_body(&p, text, 15);
                else if (f == 14)
                    msgpack_pack_uint32(&p, Q_EN_BIT(Q_EN_COUNT));
                else
                    msgpack_pack_nil(&p);
                continue;
            }
            switch (f) {
            case 0: case 1: case 3: case 9: case 10: msgpack_pack_int(&p, 7); break;
            case 2: msgpack_pack_true(&p); break;
            case 4: case 5: msgpack_pack_bin_with_body(&p, text, 16); break;
            case 6: case 7: case 8: case 11: case 12: case 17: msgpack_pack_str_with_body(&p, text, 3); break;
            case 13: case 16: msgpack_pack_bin_with_body(&p, text, 2); break;
            default: msgpack_pack_int(&p, 0); break; /* participants, events */
            }
        }
        q_slice bytes = forge(Q_WAL_FORMAT, Q_REC_DECISION, b.data, b.size);
        msgpack_sbuffer_destroy(&b);
        if (wrong < 0)
            assert_true(decode(bytes, 5).decision.committed);
        else
            refused(bytes, "at byte");
    }
}

static void an_abort_with_writes_is_refused(void **state)
{
    (void)state;
    q_rec d = sample_decision(arena, 5, 1, "r");
    d.decision.committed = false;
    refused(sample_encode(arena, &d), "aborted transaction with participants");
    d.decision.participants = 0;
    refused(sample_encode(arena, &d), "aborted transaction with change events");
    d.decision.event_count = 0;
    assert_false(decode(sample_encode(arena, &d), 5).decision.committed);
    d.decision.ddl = Q_SLICE_LIT("x");
    refused(sample_encode(arena, &d), "aborted transaction with a schema change");
    d = sample_decision(arena, 5, 1, "r");
    d.decision.seq = 0;
    refused(sample_encode(arena, &d), "without a seq");
}

static void records_end_at_their_maximum(void **state)
{
    (void)state;
    size_t largest = Q_REC_MAX_BYTES - Q_REC_HEADER_BYTES - 5; /* str 32 */
    char *text = malloc(largest + 1);
    memset(text, 't', largest + 1);
    q_rec r = { .type = Q_REC_OPERATOR, .lsn = 1, .text = q_slice_of(text, largest) };
    q_buf b = Q_BUF_INIT((size_t)Q_REC_MAX_BYTES * 2);
    q_buf_add(&b, "before", 6); /* appends: what was there stays */
    q_rec_encode(&r, &b);
    assert_false(b.failed);
    assert_int_equal(b.len, 6 + Q_REC_MAX_BYTES);
    assert_int_equal(decode(q_slice_of(b.ptr + 6, b.len - 6), 1).text.len, largest);
    r.text.len++;
    b.len = 6;
    q_rec_encode(&r, &b);
    assert_true(b.failed);
    assert_int_equal(b.len, 6);
    assert_memory_equal(b.ptr, "before", 6);
    q_buf_free(&b);
    q_buf small = Q_BUF_INIT(100);
    q_rec_encode(&r, &small);
    assert_true(small.failed);
    q_buf_free(&small);
    free(text);
}

static void no_memory_is_an_error_and_no_crash(void **state)
{
    (void)state;
    q_rec in = sample_decision(arena, 5, 1, "r");
    uint64_t ended[100] = { 1 };
    q_rec tail = { .type = Q_REC_TAIL, .lsn = 5, .tail = { 100, ended, 0, NULL } };
    q_slice bytes[] = { sample_encode(arena, &in), sample_encode(arena, &tail) };
    for (int i = 0; i < 2; i++) {
        q_rec out;
        q_err err = Q_ERR_INIT;
        q_arena_fail_after(1);
        assert_int_equal(q_rec_decode(arena, bytes[i], 5, &out, &err), Q_FAIL);
        q_arena_fail_after(0);
        assert_int_equal(err.code, Q_E_LIMIT_MEMORY);
    }
}

static void types_have_names(void **state)
{
    (void)state;
    assert_string_equal(q_rec_type_name(Q_REC_DECISION), "decision");
    assert_string_equal(q_rec_type_name((q_rec_type)0), "unknown");
    assert_string_equal(q_rec_type_name((q_rec_type)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_decision_comes_back_field_by_field, start, stop),
        cmocka_unit_test_setup_teardown(an_empty_abort_comes_back, start, stop),
        cmocka_unit_test_setup_teardown(the_other_types_come_back, start, stop),
        cmocka_unit_test_setup_teardown(the_query_is_cut_between_code_points, start, stop),
        cmocka_unit_test_setup_teardown(the_checksum_is_crc32c, start, stop),
        cmocka_unit_test_setup_teardown(every_flipped_bit_and_every_cut_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(payloads_that_lie_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_decision_with_a_wrong_field_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(an_abort_with_writes_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(records_end_at_their_maximum, start, stop),
        cmocka_unit_test_setup_teardown(no_memory_is_an_error_and_no_crash, start, stop),
        cmocka_unit_test_setup_teardown(types_have_names, start, stop),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
