#include <stdlib.h>

#include "schemas/wire/codec.h"
#include "tests/unit/schemas/cmocka_setup.h"
#include "tests/unit/schemas_wire/generate_wire.h"

static void any_writes_decode_as_they_were_encoded(void **state)
{
    gen g = { 31, *state };
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    for (int i = 0; i < 20000; i++) {
        q_err err = Q_ERR_INIT;
        q_writes w = gen_writes(&g), back;
        q_buf_clear(&b);
        q_writes_encode(&w, &b);
        assert_false(b.failed);
        if (q_writes_decode(*state, q_buf_slice(&b), &back, &err) != Q_OK)
            fail_msg("seed step %d: %s", i, err.message);
        if (!writes_identical(&w, &back))
            fail_msg("seed step %d decodes to something else", i);
        if (i % 100 == 0)
            q_arena_reset(*state);
    }
    q_buf_free(&b);
}

static void any_message_decodes_as_it_was_encoded(void **state)
{
    gen g = { 32, *state };
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    uint32_t kinds = 0;
    for (int i = 0; i < 20000; i++) {
        q_err err = Q_ERR_INIT;
        q_msg m = gen_msg(&g), back;
        q_buf_clear(&b);
        q_msg_encode(&m, &b);
        if (q_msg_decode(*state, q_buf_slice(&b), &back, &err) != Q_OK)
            fail_msg("seed step %d, kind %d: %s", i, (int)m.kind, err.message);
        if (!msg_identical(&m, &back))
            fail_msg("seed step %d, kind %d decodes to something else", i, (int)m.kind);
        kinds |= 1u << m.kind;
        if (i % 100 == 0)
            q_arena_reset(*state);
    }
    assert_int_equal(kinds, (1u << (Q_M_PURGE + 1)) - 2);
    q_buf_free(&b);
}

static void any_schema_change_decodes_as_it_was_encoded(void **state)
{
    gen g = { 33, *state };
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    for (int i = 0; i < 5000; i++) {
        q_err err = Q_ERR_INIT;
        q_ddl d = gen_ddl(&g), back;
        q_buf_clear(&b);
        q_ddl_encode(&d, &b);
        assert_int_equal(q_ddl_decode(*state, q_buf_slice(&b), &back, &err), Q_OK);
        assert_true(ddl_identical(&d, &back));
    }
    q_buf_free(&b);
}

/* Decodes from memory of exactly this size, so that a sanitizer sees a read past its end. What is accepted must say the same when it is
 * encoded and decoded again. */
static bool decode_message(q_arena *arena, q_slice bytes)
{
    q_err err = Q_ERR_INIT;
    char *copy = malloc(bytes.len ? bytes.len : 1);
    memcpy(copy, bytes.ptr ? bytes.ptr : "", bytes.len);
    q_msg m, again;
    bool ok = q_msg_decode(arena, q_slice_of(copy, bytes.len), &m, &err) == Q_OK;
    if (ok) {
        q_buf b = Q_BUF_INIT(2 * Q_WIRE_MAX_BYTES);
        q_msg_encode(&m, &b);
        assert_int_equal(q_msg_decode(arena, q_buf_slice(&b), &again, &err), Q_OK);
        assert_true(msg_identical(&m, &again));
        q_buf_free(&b);
    } else {
        assert_true(err.code != Q_E_NONE && err.message[0]);
    }
    free(copy);
    return ok;
}

static bool decode_writes(q_arena *arena, q_slice bytes)
{
    q_err err = Q_ERR_INIT;
    char *copy = malloc(bytes.len ? bytes.len : 1);
    memcpy(copy, bytes.ptr ? bytes.ptr : "", bytes.len);
    q_writes w;
    bool ok = q_writes_decode(arena, q_slice_of(copy, bytes.len), &w, &err) == Q_OK;
    free(copy);
    return ok;
}

static void every_cut_and_every_surplus_byte_is_refused(void **state)
{
    gen g = { 34, *state };
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    for (int i = 0; i < 300; i++) {
        q_msg m = gen_msg(&g);
        q_writes w = gen_writes(&g);
        for (int kind = 0; kind < 2; kind++) {
            bool (*decode)(q_arena *, q_slice) = kind ? decode_writes : decode_message;
            q_buf_clear(&b);
            kind ? q_writes_encode(&w, &b) : q_msg_encode(&m, &b);
            for (size_t n = 0; n < b.len; n += 1 + b.len / 200)
                assert_false(decode(*state, q_slice_of(b.ptr, n)));
            q_buf_add_byte(&b, 0xC0);
            assert_false(decode(*state, q_buf_slice(&b)));
        }
        q_arena_reset(*state);
    }
    q_buf_free(&b);
}

static void mutated_bytes_are_refused_or_mean_something_valid(void **state)
{
    gen g = { 35, *state };
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    int refused = 0, accepted = 0;
    for (int i = 0; i < 40000; i++) {
        q_msg m = gen_msg(&g);
        q_writes w = gen_writes(&g);
        bool writes = i % 2;
        q_buf_clear(&b);
        writes ? q_writes_encode(&w, &b) : q_msg_encode(&m, &b);
        for (uint32_t k = 1 + gen_below(&g, 3); k > 0; k--)
            b.ptr[gen_below(&g, (uint32_t)b.len)] = (char)gen_u64(&g);
        *((writes ? decode_writes : decode_message)(*state, q_buf_slice(&b)) ? &accepted : &refused) += 1;
        q_arena_reset(*state);
    }
    assert_true(refused > 1000 && accepted > 1000);
    q_buf_free(&b);
}

static void random_bytes_never_pass(void **state)
{
    gen g = { 36, *state };
    for (int i = 0; i < 20000; i++) {
        q_slice s = gen_bytes(&g, 100);
        assert_false(decode_message(*state, s));
        assert_false(decode_writes(*state, s));
        q_arena_reset(*state);
    }
}

static void announced_sizes_take_no_memory_that_the_bytes_do_not_hold(void **state)
{
    static const q_slice bombs[] = { Q_SLICE_LIT("\xdd\xff\xff\xff\xff"),         Q_SLICE_LIT("\xdf\xff\xff\xff\xff"),
                                     Q_SLICE_LIT("\xdd\x10\0\0\0\xdd\x10\0\0\0"), Q_SLICE_LIT("\x99\x01\x05\0\0\0\0\xa0\0\xdd\0\0\x10\0"),
                                     Q_SLICE_LIT("\xc9\xff\xff\xff\xff\x01"),     Q_SLICE_LIT("\xc6\xff\xff\xff\xff") };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        assert_false(decode_message(*state, bombs[i]));
        assert_false(decode_writes(*state, bombs[i]));
    }
    assert_true(q_arena_bytes(*state) <= 4096);
    char deep[200];
    memset(deep, 0x91, sizeof deep);
    for (size_t n = 30; n < sizeof deep; n++)
        assert_false(decode_message(*state, q_slice_of(deep, n)));
}

/* ---- one thing wrong at a time ------------------------------------------------------------------------------------------ */

static bool passes(void **state, const q_msg *m)
{
    q_buf b = Q_BUF_INIT(4 * Q_WIRE_MAX_BYTES);
    q_msg_encode(m, &b);
    bool ok = decode_message(*state, q_buf_slice(&b));
    q_buf_free(&b);
    q_arena_reset(*state);
    return ok;
}

static bool writes_pass(void **state, const q_writes *w)
{
    q_err err = Q_ERR_INIT;
    q_buf b = Q_BUF_INIT(64 << 20);
    q_writes out;
    q_writes_encode(w, &b);
    bool ok = q_writes_decode(*state, q_buf_slice(&b), &out, &err) == Q_OK;
    q_buf_free(&b);
    q_arena_reset(*state);
    return ok;
}

static void a_message_of_another_version_or_kind_is_refused(void **state)
{
    q_buf b = Q_BUF_INIT(1 << 16);
    const q_msg m = { .kind = Q_M_FENCE, .bucket = Q_SLICE_LIT("b") };
    q_msg_encode(&m, &b);
    assert_true(decode_message(*state, q_buf_slice(&b)));
    b.ptr[1] = Q_WIRE_VERSION + 1;
    assert_false(decode_message(*state, q_buf_slice(&b)));
    b.ptr[1] = Q_WIRE_VERSION;
    for (int kind = 0; kind < 128; kind++) {
        b.ptr[2] = (char)kind;
        bool known = kind >= Q_M_PREPARE && kind <= Q_M_PURGE && kind != Q_M_STATE; /* a state has one state */
        assert_int_equal(decode_message(*state, q_buf_slice(&b)), known);
    }
    q_buf_clear(&b);
    const q_writes w = { .bucket = Q_SLICE_LIT("b") };
    q_writes_encode(&w, &b);
    assert_true(decode_writes(*state, q_buf_slice(&b)));
    assert_false(decode_message(*state, q_buf_slice(&b)));
    b.ptr[1] = Q_WIRE_VERSION + 1;
    assert_false(decode_writes(*state, q_buf_slice(&b)));
    q_buf_free(&b);
}

static void counts_are_bounded_at_their_maximum(void **state)
{
    uint64_t *seqs = calloc(Q_WIRE_MAX_TXNS + 1, sizeof *seqs);
    q_msg m = { .kind = Q_M_ACK, .count = Q_WIRE_MAX_TXNS, .seqs = seqs };
    assert_true(passes(state, &m));
    m.count++;
    assert_false(passes(state, &m));
    free(seqs);

    q_item *items = calloc(Q_WIRE_MAX_ITEMS + 1, sizeof *items);
    for (int i = 0; i <= Q_WIRE_MAX_ITEMS; i++)
        items[i] = (q_item){ .op = Q_I_DELETE, .record = Q_SLICE_LIT("r"), .id = { .type = Q_T_INT, .i = i } };
    q_writes w = { .bucket = Q_SLICE_LIT("b"), .count = Q_WIRE_MAX_ITEMS, .items = items };
    assert_true(writes_pass(state, &w));
    w.count++;
    assert_false(writes_pass(state, &w));

    q_field *fields = calloc(Q_WIRE_MAX_FIELDS + 1, sizeof *fields);
    for (int i = 0; i <= Q_WIRE_MAX_FIELDS; i++)
        fields[i] = (q_field){ Q_SLICE_LIT("a"), Q_NULL };
    items[0].op = Q_I_PUT;
    items[0].fields = fields;
    items[0].count = Q_WIRE_MAX_FIELDS;
    w.count = 1;
    assert_true(writes_pass(state, &w));
    items[0].count++;
    assert_false(writes_pass(state, &w));

    q_value *ids = calloc(Q_MAX_RELATION_IDS + 1, sizeof *ids);
    for (int i = 0; i <= Q_MAX_RELATION_IDS; i++)
        ids[i] = (q_value){ .type = Q_T_INT, .i = i };
    items[0].count = 1;
    fields[0].value = (q_value){ .type = Q_T_RELATION, .rel = { ids, Q_MAX_RELATION_IDS } };
    assert_true(writes_pass(state, &w));
    fields[0].value.rel.count++;
    assert_false(writes_pass(state, &w));
    free(ids);
    free(fields);
    free(items);
}

static void a_message_is_bounded_in_bytes(void **state)
{
    char *bytes = calloc(1, Q_WIRE_MAX_BYTES);
    q_txn_work txn = { .seq = 1, .writes = q_slice_of(bytes, Q_WIRE_MAX_BYTES - 18) };
    const q_msg m = { .kind = Q_M_COMMIT, .count = 1, .txns = &txn };
    q_buf b = Q_BUF_INIT(2 * Q_WIRE_MAX_BYTES);
    q_msg_encode(&m, &b);
    assert_int_equal(b.len, Q_WIRE_MAX_BYTES);
    q_buf_free(&b);
    assert_true(passes(state, &m));
    txn.writes.len++;
    assert_false(passes(state, &m));
    free(bytes);
}

static void values_that_break_a_rule_are_refused(void **state)
{
    char text[Q_MAX_ID_BYTES + 1];
    memset(text, 'x', sizeof text);
    static char large[Q_MAX_STRING_BYTES + 1];
    memset(large, 'x', sizeof large);
    q_value relation_in_relation[1] = { { .type = Q_T_RELATION } }, float_id[1] = { { .type = Q_T_FLOAT, .f = 1 } };
    const struct { q_value v; bool ok;
    } values[] = { { { .type = Q_T_STRING, .s = { large, Q_MAX_STRING_BYTES } }, true },
                   { { .type = Q_T_STRING, .s = { large, Q_MAX_STRING_BYTES + 1 } }, false },
                   { { .type = Q_T_BYTES, .s = { large, Q_MAX_STRING_BYTES } }, true },
                   { { .type = Q_T_BYTES, .s = { large, Q_MAX_STRING_BYTES + 1 } }, false },
                   { { .type = Q_T_STRING, .s = Q_SLICE_LIT("\xff") }, false },
                   { { .type = Q_T_STRING, .s = { "a\0", 2 } }, false },
                   { { .type = Q_T_BYTES, .s = { "a\0\xff", 3 } }, true },
                   { { .type = Q_T_FLOAT, .f = (double)INFINITY }, false },
                   { { .type = Q_T_FLOAT, .f = (double)NAN }, false },
                   { { .type = Q_T_FLOAT, .f = (double)NAN, .at_us = 1 }, false },
                   { { .type = Q_T_DECIMAL, .scale = 19 }, false },
                   { { .type = Q_T_DECIMAL, .scale = 18 }, true },
                   { { .type = Q_T_DECIMAL, .coefficient = q_pow10(34) }, false },
                   { { .type = Q_T_DECIMAL, .coefficient = q_pow10(34) - 1 }, true },
                   { { .type = Q_T_DECIMAL, .coefficient = -q_pow10(34) }, false },
                   { { .type = Q_T_TIME, .i = Q_TIME_MAX_US }, true },
                   { { .type = Q_T_TIME, .i = Q_TIME_MAX_US + 1 }, false },
                   { { .type = Q_T_TIME, .i = Q_TIME_MIN_US - 1 }, false },
                   { { .type = Q_T_INT, .i = 1, .at_us = Q_TIME_MAX_US }, true },
                   { { .type = Q_T_INT, .i = 1, .at_us = Q_TIME_MAX_US + 1 }, false },
                   { { .type = Q_T_DOC, .s = Q_SLICE_LIT("\x90") }, true },
                   { { .type = Q_T_DOC, .s = Q_SLICE_LIT("\x91") }, false },
                   { { .type = Q_T_DOC, .s = Q_SLICE_NONE }, false },
                   { { .type = Q_T_RELATION, .rel = { relation_in_relation, 1 } }, false },
                   { { .type = Q_T_RELATION, .rel = { float_id, 1 } }, false } };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        q_field field = { Q_SLICE_LIT("a"), values[i].v };
        q_item item = { .op = Q_I_PUT, .record = Q_SLICE_LIT("r"), .id = { .type = Q_T_INT }, .count = 1, .fields = &field };
        q_writes w = { .bucket = Q_SLICE_LIT("b"), .count = 1, .items = &item };
        if (writes_pass(state, &w) != values[i].ok)
            fail_msg("value %zu", i);
    }
    const struct { q_value id; bool ok;
    } ids[] = { { { .type = Q_T_STRING, .s = { text, Q_MAX_ID_BYTES } }, true },
                { { .type = Q_T_STRING, .s = { text, Q_MAX_ID_BYTES + 1 } }, false },
                { { .type = Q_T_STRING }, false },
                { Q_NULL, false },
                { { .type = Q_T_FLOAT }, false },
                { { .type = Q_T_BOOL }, false },
                { { .type = Q_T_INT, .i = 1, .at_us = 5 }, false },
                { { .type = Q_T_RELATION }, false } };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        q_item item = { .op = Q_I_DELETE, .record = Q_SLICE_LIT("r"), .id = ids[i].id };
        q_writes w = { .bucket = Q_SLICE_LIT("b"), .count = 1, .items = &item };
        if (writes_pass(state, &w) != ids[i].ok)
            fail_msg("id %zu", i);
    }
}

static void names_and_numbers_that_break_a_rule_are_refused(void **state)
{
    static const char *const bad[] = { "", "A", "a-b", "a.b", "\"", "a b", "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddx" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        q_slice name = q_slice_cstr(bad[i]), good = Q_SLICE_LIT("a");
        for (int where = 0; where < 7; where++) {
            q_field field = { where == 0 ? name : good, Q_NULL };
            q_item item = { .op = Q_I_PUT, .record = where == 1 ? name : good, .id = { .type = Q_T_INT }, .count = 1, .fields = &field };
            q_writes w = { .bucket = where == 2 ? name : good, .count = 1, .items = &item };
            q_value v = Q_NULL;
            q_pred pred = { .attr = where == 3 ? name : good, .op = Q_C_EQ, .count = 1, .values = &v };
            q_read read = { .kind = Q_R_SCAN, .bucket = where == 4 ? name : good, .record = where == 5 ? name : good, .attr_count = 1,
                .attrs = where == 6 ? &name : &good, .pred_count = 1, .preds = &pred, .limit = 1 };
            q_msg m = { .kind = Q_M_READ, .count = 1, .reads = &read };
            assert_int_equal(writes_pass(state, &w), where > 2);
            assert_int_equal(passes(state, &m), where <= 2);
        }
    }
    q_value v = Q_NULL;
    q_pred pred = { .attr = Q_SLICE_LIT("a"), .op = Q_C_EQ, .count = 0, .values = &v };
    q_read read = { .kind = Q_R_SCAN, .bucket = Q_SLICE_LIT("b"), .record = Q_SLICE_LIT("r"), .pred_count = 1, .preds = &pred, .limit = 1 };
    q_msg m = { .kind = Q_M_READ, .count = 1, .reads = &read };
    assert_false(passes(state, &m)); /* = without a value */
    pred.op = Q_C_IS_NULL;
    assert_true(passes(state, &m));
    pred.op = (q_cmp_op)(Q_C_NOT_NULL + 1);
    assert_false(passes(state, &m));
    pred.op = Q_C_IN;
    assert_true(passes(state, &m));
    read.limit = 0;
    assert_false(passes(state, &m));
    read.limit = 1;
    read.kind = Q_R_REFERRERS;
    assert_false(passes(state, &m)); /* which relation? */
    m = (q_msg){ .kind = Q_M_FENCE, .engine = Q_EN_COUNT };
    assert_false(passes(state, &m));
    q_vote vote = { .no = (q_no)(Q_NO_REFUSED + 1) };
    m = (q_msg){ .kind = Q_M_VOTE, .count = 1, .votes = &vote };
    assert_false(passes(state, &m));
    q_item item = { .op = (q_item_op)0, .record = Q_SLICE_LIT("r"), .id = { .type = Q_T_INT } };
    q_writes w = { .bucket = Q_SLICE_LIT("b"), .count = 1, .items = &item };
    assert_false(writes_pass(state, &w));
    item.op = Q_I_CHECK;
    assert_true(writes_pass(state, &w));
    item.pre = 8;
    assert_false(writes_pass(state, &w));
}

static void texts_of_engines_arrive_cut_and_readable(void **state)
{
    q_err err = Q_ERR_INIT;
    q_buf b = Q_BUF_INIT(1 << 16);
    char text[Q_WIRE_MAX_TEXT + 10];
    memset(text, 'x', sizeof text);
    memcpy(text + Q_WIRE_MAX_TEXT - 1, "\xe2\x82\xac", 3); /* the cut would be within it */
    q_vote votes[2] = { { .text = q_slice_of(text, sizeof text) }, { .text = Q_SLICE_LIT("caf\xe9") } };
    q_msg m = { .kind = Q_M_VOTE, .count = 2, .votes = votes }, back;
    q_msg_encode(&m, &b);
    assert_int_equal(q_msg_decode(*state, q_buf_slice(&b), &back, &err), Q_OK);
    assert_int_equal(back.votes[0].text.len, Q_WIRE_MAX_TEXT - 1);
    assert_slice(back.votes[1].text, "caf?");
    q_buf_free(&b);
}

static void running_out_of_memory_is_an_error_like_any_other(void **state)
{
    gen g = { 37, *state };
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES), w = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    for (int i = 0; i < 200; i++) {
        q_msg m = gen_msg(&g), m_out;
        q_writes writes = gen_writes(&g), w_out;
        q_buf_clear(&b);
        q_buf_clear(&w);
        q_msg_encode(&m, &b);
        q_writes_encode(&writes, &w);
        for (uint64_t nth = 1;; nth++) {
            q_err err = Q_ERR_INIT, err2 = Q_ERR_INIT;
            q_arena_fail_after(nth);
            q_rc rc = q_msg_decode(*state, q_buf_slice(&b), &m_out, &err);
            q_arena_fail_after(nth);
            q_rc rc2 = q_writes_decode(*state, q_buf_slice(&w), &w_out, &err2);
            q_arena_fail_after(0);
            assert_true((rc == Q_OK || err.code != Q_E_NONE) && (rc2 == Q_OK || err2.code != Q_E_NONE));
            if (rc == Q_OK && rc2 == Q_OK)
                break;
        }
        q_arena_reset(*state);
    }
    q_buf_free(&b);
    q_buf_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(any_writes_decode_as_they_were_encoded),
        ARENA_TEST(any_message_decodes_as_it_was_encoded),
        ARENA_TEST(any_schema_change_decodes_as_it_was_encoded),
        ARENA_TEST(every_cut_and_every_surplus_byte_is_refused),
        ARENA_TEST(mutated_bytes_are_refused_or_mean_something_valid),
        ARENA_TEST(random_bytes_never_pass),
        ARENA_TEST(announced_sizes_take_no_memory_that_the_bytes_do_not_hold),
        ARENA_TEST(a_message_of_another_version_or_kind_is_refused),
        ARENA_TEST(counts_are_bounded_at_their_maximum),
        ARENA_TEST(a_message_is_bounded_in_bytes),
        ARENA_TEST(values_that_break_a_rule_are_refused),
        ARENA_TEST(names_and_numbers_that_break_a_rule_are_refused),
        ARENA_TEST(texts_of_engines_arrive_cut_and_readable),
        ARENA_TEST(running_out_of_memory_is_an_error_like_any_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
