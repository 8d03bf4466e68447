/* message.c - envelopes: who says what to whom, in which epoch. */
#include "schemas/wire/codec.h"

_Static_assert(Q_M_ASK == 10 && Q_M_PURGE == 11 && Q_NO_REFUSED == 8 && Q_EN_INFLUX == 3 && Q_I_DDL == 4 && Q_C_NOT_NULL == 10 && Q_R_REFERRERS == 3
                   && Q_RETRY == 2,
               "numbers of the layouts have moved");

/* ---- encoding -------------------------------------------------------------------------------------------------------- */

static void pack_one(q_buf *out, const q_msg *m, uint32_t i)
{
    switch (m->kind) {
    case Q_M_PREPARE:
    case Q_M_COMMIT:
        q_mp_pack_array(out, 3);
        q_mp_pack_uint64(out, m->txns[i].seq);
        q_mp_pack_int64(out, m->txns[i].time_us);
        q_mp_bin(out, m->txns[i].writes);
        return;
    case Q_M_ABORT:
    case Q_M_ACK:
    case Q_M_ASK:
        q_mp_pack_uint64(out, m->seqs[i]);
        return;
    case Q_M_VOTE:
        q_mp_pack_array(out, 4);
        q_mp_pack_uint64(out, m->votes[i].seq);
        q_mp_pack_int(out, (int)m->votes[i].no);
        q_mp_pack_uint32(out, m->votes[i].item);
        q_wire_pack_text(out, m->votes[i].text);
        return;
    case Q_M_READ:
        q_wire_pack_read(out, &m->reads[i]);
        return;
    case Q_M_ROWS:
        q_wire_pack_rows(out, &m->rows[i]);
        return;
    case Q_M_STATE:
        q_mp_pack_array(out, 4);
        q_mp_pack_uint64(out, m->state[i].epoch);
        q_mp_pack_uint64(out, m->state[i].applied_high);
        q_mp_pack_uint64(out, m->state[i].applied_below);
        q_mp_pack_uint64(out, m->state[i].cluster);
        return;
    case Q_M_FENCE:
    case Q_M_PURGE:
        return;
    }
}

void q_msg_encode(const q_msg *m, q_buf *out)
{
    q_mp_pack_array(out, 9);
    q_mp_pack_int(out, Q_WIRE_VERSION);
    q_mp_pack_int(out, (int)m->kind);
    q_mp_pack_uint64(out, m->cluster);
    q_mp_pack_uint64(out, m->epoch);
    q_mp_pack_int(out, (int)m->engine);
    q_mp_pack_uint64(out, m->batch);
    q_mp_str(out, m->bucket);
    q_mp_pack_uint64(out, m->below);
    uint32_t count = m->kind == Q_M_FENCE || m->kind == Q_M_PURGE ? 0 : m->count;
    q_mp_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        pack_one(out, m, i);
}

/* ---- decoding -------------------------------------------------------------------------------------------------------- */

static void next_txns(q_wire_in *in, q_mp_items *list, q_msg *out)
{
    q_txn_work *txns = Q_WIRE_NEW(in, list, q_txn_work, out->count);
    for (uint32_t i = 0; i < out->count && !list->wrong; i++) {
        q_mp_items it = q_mp_next_list(list, 3);
        txns[i].seq = q_mp_next_u64(&it, UINT64_MAX);
        txns[i].time_us = q_mp_next_i64(&it);
        txns[i].writes = q_mp_next_bin(&it, Q_WIRE_MAX_BYTES);
        if (!q_mp_done(&it))
            q_mp_wrong(list, it.wrong);
    }
    out->txns = txns;
}

static void next_seqs(q_wire_in *in, q_mp_items *list, q_msg *out)
{
    uint64_t *seqs = Q_WIRE_NEW(in, list, uint64_t, out->count);
    for (uint32_t i = 0; i < out->count && !list->wrong; i++)
        seqs[i] = q_mp_next_u64(list, UINT64_MAX);
    out->seqs = seqs;
}

static void next_votes(q_wire_in *in, q_mp_items *list, q_msg *out)
{
    q_vote *votes = Q_WIRE_NEW(in, list, q_vote, out->count);
    for (uint32_t i = 0; i < out->count && !list->wrong; i++) {
        q_mp_items it = q_mp_next_list(list, 4);
        votes[i].seq = q_mp_next_u64(&it, UINT64_MAX);
        votes[i].no = (q_no)q_mp_next_u64(&it, Q_NO_REFUSED);
        votes[i].item = (uint32_t)q_mp_next_u64(&it, UINT32_MAX);
        votes[i].text = q_mp_next_text(&it, Q_WIRE_MAX_TEXT);
        if (!q_mp_done(&it))
            q_mp_wrong(list, it.wrong);
    }
    out->votes = votes;
}

static void next_reads(q_wire_in *in, q_mp_items *list, q_msg *out)
{
    q_read *reads = Q_WIRE_NEW(in, list, q_read, out->count);
    for (uint32_t i = 0; i < out->count && !list->wrong; i++)
        reads[i] = q_wire_next_read(in, list);
    out->reads = reads;
}

static void next_answers(q_wire_in *in, q_mp_items *list, q_msg *out)
{
    q_rows *rows = Q_WIRE_NEW(in, list, q_rows, out->count);
    for (uint32_t i = 0; i < out->count && !list->wrong; i++)
        rows[i] = q_wire_next_rows(in, list);
    out->rows = rows;
}

static void next_state(q_wire_in *in, q_mp_items *list, q_msg *out)
{
    if (out->count != 1)
        q_mp_wrong(list, "a state is not one state");
    q_engine_state *s = Q_WIRE_NEW(in, list, q_engine_state, 1);
    if (!s)
        return;
    q_mp_items it = q_mp_next_list(list, 4);
    s->epoch = q_mp_next_u64(&it, UINT64_MAX);
    s->applied_high = q_mp_next_u64(&it, UINT64_MAX);
    s->applied_below = q_mp_next_u64(&it, UINT64_MAX);
    s->cluster = q_mp_next_u64(&it, UINT64_MAX);
    if (!q_mp_done(&it))
        q_mp_wrong(list, it.wrong);
    out->state = s;
}

static void next_body(q_wire_in *in, q_mp_items *it, q_msg *out)
{
    _Static_assert(Q_WIRE_MAX_TXNS == Q_WIRE_MAX_READS, "one bound serves both");
    q_mp_items list = q_mp_next_list(it, Q_WIRE_MAX_TXNS);
    out->count = list.left;
    switch (out->kind) {
    case Q_M_PREPARE:
    case Q_M_COMMIT:
        next_txns(in, &list, out);
        break;
    case Q_M_ABORT:
    case Q_M_ACK:
    case Q_M_ASK:
        next_seqs(in, &list, out);
        break;
    case Q_M_VOTE:
        next_votes(in, &list, out);
        break;
    case Q_M_READ:
        next_reads(in, &list, out);
        break;
    case Q_M_ROWS:
        next_answers(in, &list, out);
        break;
    case Q_M_STATE:
        next_state(in, &list, out);
        break;
    case Q_M_FENCE:
    case Q_M_PURGE:
        break;
    default:
        q_mp_wrong(&list, "its kind is unknown");
    }
    if (!q_mp_done(&list))
        q_mp_wrong(it, list.wrong);
}

q_rc q_msg_decode(q_arena *arena, q_slice bytes, q_msg *out, q_err *err)
{
    q_wire_in in = { .arena = arena };
    Q_MP_STACK_SPACE(space, NULL);
    msgpack_object root;
    q_mp_result r = bytes.len <= Q_WIRE_MAX_BYTES ? q_mp_unpack(&space, bytes, &root) : Q_MP_MEMORY;
    q_mp_items it = { &root, r == Q_MP_OK ? 1 : 0, r == Q_MP_OK ? NULL : q_mp_result_text(r) };
    it = q_mp_next_list(&it, 9);
    if (q_mp_next_u64(&it, UINT32_MAX) != Q_WIRE_VERSION)
        q_mp_wrong(&it, "its version is another");
    *out = (q_msg){ .kind = (q_msg_kind)q_mp_next_u64(&it, Q_M_PURGE) };
    out->cluster = q_mp_next_u64(&it, UINT64_MAX);
    out->epoch = q_mp_next_u64(&it, UINT64_MAX);
    out->engine = (q_engine_id)q_mp_next_u64(&it, Q_EN_COUNT - 1);
    out->batch = q_mp_next_u64(&it, UINT64_MAX);
    out->bucket = q_wire_next_name(&it, true);
    out->below = q_mp_next_u64(&it, UINT64_MAX);
    next_body(&in, &it, out);
    q_rc rc = q_mp_done(&it) ? Q_OK : q_wire_fail(&in, "a message", it.wrong, err);
    q_mp_space_end(&space);
    return rc;
}
