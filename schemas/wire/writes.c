/* writes.c - what a transaction does in one engine: prepare's work, the log's redo, commit's work. */
#include "schemas/wire/codec.h"

enum { ALL_PRECONDITIONS = Q_PRE_EXISTS | Q_PRE_NOT_EXISTS | Q_PRE_SEQ_IS };

/* ---- encoding -------------------------------------------------------------------------------------------------------- */

static void pack_ddl(q_buf *out, const q_ddl *ddl)
{
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    q_ddl_encode(ddl, &b);
    q_mp_bin(out, q_buf_slice(&b));
    out->failed |= b.failed;
    q_buf_free(&b);
}

static void pack_item(q_buf *out, const q_item *i)
{
    q_mp_pack_array(out, 9);
    q_mp_pack_int(out, (int)i->op);
    q_mp_str(out, i->record);
    q_mp_pack_uint64(out, i->incarnation);
    q_wire_pack_value(out, &i->id);
    q_mp_pack_uint32(out, i->pre);
    q_mp_pack_uint64(out, i->seq_is);
    q_mp_pack_uint64(out, i->birth);
    q_mp_bool(out, i->full);
    if (i->op == Q_I_DDL) {
        pack_ddl(out, &i->ddl);
        return;
    }
    q_mp_pack_array(out, 2 * (size_t)i->count);
    for (uint32_t f = 0; f < i->count; f++) {
        q_mp_str(out, i->fields[f].attr);
        q_wire_pack_value(out, &i->fields[f].value);
    }
}

void q_writes_encode(const q_writes *w, q_buf *out)
{
    q_mp_pack_array(out, 5);
    q_mp_pack_int(out, Q_WIRE_VERSION);
    q_mp_pack_int(out, Q_WIRE_WRITES);
    q_mp_pack_uint64(out, w->bucket_incarnation);
    q_mp_str(out, w->bucket);
    q_mp_pack_array(out, w->count);
    for (uint32_t i = 0; i < w->count; i++)
        pack_item(out, &w->items[i]);
}

/* ---- decoding -------------------------------------------------------------------------------------------------------- */

static void next_ddl(q_wire_in *in, q_mp_items *it, q_ddl *out)
{
    q_err why = Q_ERR_INIT;
    q_slice bytes = q_mp_next_bin(it, Q_WIRE_MAX_BYTES);
    if (!it->wrong && q_ddl_decode(in->arena, bytes, out, &why) != Q_OK)
        q_mp_wrong(it, "a schema change is not one");
}

static void next_fields(q_wire_in *in, q_mp_items *it, q_item *out)
{
    q_mp_items list = q_mp_next_list(it, 2 * Q_WIRE_MAX_FIELDS);
    uint32_t count = list.left / 2;
    if (list.left % 2)
        q_mp_wrong(&list, "a field has no value");
    q_field *fields = Q_WIRE_NEW(in, &list, q_field, count);
    for (uint32_t i = 0; i < count && !list.wrong; i++) {
        fields[i].attr = q_wire_next_name(&list, false);
        fields[i].value = q_wire_next_value(in, &list);
    }
    if (list.wrong)
        q_mp_wrong(it, list.wrong);
    out->fields = fields;
    out->count = count;
}

static void next_item(q_wire_in *in, q_mp_items *list, q_item *out)
{
    q_mp_items it = q_mp_next_list(list, 9);
    out->op = (q_item_op)q_mp_next_u64(&it, Q_I_DDL);
    out->record = q_wire_next_name(&it, out->op == Q_I_DDL);
    out->incarnation = q_mp_next_u64(&it, UINT64_MAX);
    bool has_id = out->op != Q_I_DDL || (it.left && it.at->type != MSGPACK_OBJECT_NIL);
    out->id = has_id ? q_wire_next_id(in, &it) : q_wire_next_value(in, &it);
    out->pre = (uint32_t)q_mp_next_u64(&it, ALL_PRECONDITIONS);
    out->seq_is = q_mp_next_u64(&it, UINT64_MAX);
    out->birth = q_mp_next_u64(&it, UINT64_MAX);
    out->full = q_mp_next_bool(&it);
    if (out->op == 0)
        q_mp_wrong(&it, "an item's kind is unknown");
    else if (out->op == Q_I_DDL)
        next_ddl(in, &it, &out->ddl);
    else
        next_fields(in, &it, out);
    if (!q_mp_done(&it))
        q_mp_wrong(list, it.wrong);
}

static void next_items(q_wire_in *in, q_mp_items *it, q_writes *out)
{
    q_mp_items list = q_mp_next_list(it, Q_WIRE_MAX_ITEMS);
    uint32_t count = list.left;
    q_item *items = Q_WIRE_NEW(in, &list, q_item, count);
    for (uint32_t i = 0; i < count && !list.wrong; i++)
        next_item(in, &list, &items[i]);
    if (list.wrong)
        q_mp_wrong(it, list.wrong);
    out->items = items;
    out->count = count;
}

q_rc q_writes_decode(q_arena *arena, q_slice bytes, q_writes *out, q_err *err)
{
    static const char what[] = "a transaction's writes";
    q_wire_in in = { .arena = arena };
    Q_MP_STACK_SPACE(space, NULL);
    msgpack_object root;
    q_mp_result r = bytes.len <= Q_WIRE_MAX_BYTES ? q_mp_unpack(&space, bytes, &root) : Q_MP_MEMORY;
    q_mp_items it = { &root, r == Q_MP_OK ? 1 : 0, r == Q_MP_OK ? NULL : q_mp_result_text(r) };
    it = q_mp_next_list(&it, 5);
    if (q_mp_next_u64(&it, UINT32_MAX) != Q_WIRE_VERSION)
        q_mp_wrong(&it, "its version is another");
    if (q_mp_next_u64(&it, UINT32_MAX) != Q_WIRE_WRITES)
        q_mp_wrong(&it, "its kind is another");
    *out = (q_writes){ .bucket_incarnation = q_mp_next_u64(&it, UINT64_MAX) };
    out->bucket = q_wire_next_name(&it, false);
    next_items(&in, &it, out);
    q_rc rc = q_mp_done(&it) ? Q_OK : q_wire_fail(&in, what, it.wrong, err);
    q_mp_space_end(&space);
    return rc;
}
