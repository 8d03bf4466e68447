/* reads.c - what the coordinator asks of an engine, and the rows that come back. */
#include "schemas/document.h"
#include "schemas/wire/codec.h"

/* ---- reads ----------------------------------------------------------------------------------------------------------- */

static void pack_texts(q_buf *out, const q_slice *texts, uint32_t count)
{
    q_mp_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        q_mp_str(out, texts[i]);
}

static void pack_values(q_buf *out, const q_value *values, uint32_t count)
{
    q_mp_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        q_wire_pack_value(out, &values[i]);
}

void q_wire_pack_read(q_buf *out, const q_read *r)
{
    q_mp_pack_array(out, 10);
    q_mp_pack_uint64(out, r->read_id);
    q_mp_pack_int(out, (int)r->kind);
    q_mp_str(out, r->bucket);
    q_mp_str(out, r->record);
    q_mp_pack_uint64(out, r->incarnation);
    pack_texts(out, r->attrs, r->attr_count);
    pack_values(out, r->ids, r->id_count);
    q_mp_pack_array(out, r->pred_count);
    for (uint32_t i = 0; i < r->pred_count; i++) {
        const q_pred *p = &r->preds[i];
        q_mp_pack_array(out, 4);
        q_mp_str(out, p->attr);
        pack_texts(out, p->steps, p->step_count);
        q_mp_pack_int(out, (int)p->op);
        pack_values(out, p->values, p->count);
    }
    if (r->has_after)
        q_wire_pack_value(out, &r->after);
    else
        q_mp_pack_nil(out);
    q_mp_pack_uint32(out, r->limit);
}

static q_slice *next_names(q_wire_in *in, q_mp_items *it, uint32_t max, uint32_t *count)
{
    q_mp_items list = q_mp_next_list(it, max);
    *count = list.left;
    q_slice *names = Q_WIRE_NEW(in, &list, q_slice, *count);
    for (uint32_t i = 0; i < *count && !list.wrong; i++)
        names[i] = q_wire_next_name(&list, false);
    if (list.wrong)
        q_mp_wrong(it, list.wrong);
    return names;
}

static q_value *next_values(q_wire_in *in, q_mp_items *it, uint32_t max, bool ids, uint32_t *count)
{
    q_mp_items list = q_mp_next_list(it, max);
    *count = list.left;
    q_value *values = Q_WIRE_NEW(in, &list, q_value, *count);
    for (uint32_t i = 0; i < *count && !list.wrong; i++)
        values[i] = ids ? q_wire_next_id(in, &list) : q_wire_next_value(in, &list);
    if (list.wrong)
        q_mp_wrong(it, list.wrong);
    return values;
}

static void next_steps(q_wire_in *in, q_mp_items *it, q_pred *out)
{
    q_mp_items list = q_mp_next_list(it, Q_MAX_DOC_STEPS);
    out->step_count = list.left;
    q_slice *steps = Q_WIRE_NEW(in, &list, q_slice, out->step_count);
    for (uint32_t i = 0; i < out->step_count && !list.wrong; i++)
        steps[i] = q_mp_next_text(&list, Q_MAX_STRING_BYTES);
    if (list.wrong)
        q_mp_wrong(it, list.wrong);
    out->steps = steps;
}

static void next_pred(q_wire_in *in, q_mp_items *list, q_pred *out)
{
    q_mp_items it = q_mp_next_list(list, 4);
    out->attr = q_wire_next_name(&it, false);
    next_steps(in, &it, out);
    out->op = (q_cmp_op)q_mp_next_u64(&it, Q_C_NOT_NULL);
    out->values = next_values(in, &it, Q_WIRE_MAX_IN, false, &out->count);
    bool alone = out->op == Q_C_IS_NULL || out->op == Q_C_NOT_NULL;
    if (out->op == 0 || (out->op != Q_C_IN && out->count != 1 && !(alone && out->count == 0)))
        q_mp_wrong(&it, "a predicate's kind or number of values is wrong");
    if (!q_mp_done(&it))
        q_mp_wrong(list, it.wrong);
}

q_read q_wire_next_read(q_wire_in *in, q_mp_items *list)
{
    q_mp_items it = q_mp_next_list(list, 10);
    q_read r = { .read_id = q_mp_next_u64(&it, UINT64_MAX) };
    r.kind = (q_read_kind)q_mp_next_u64(&it, Q_R_REFERRERS);
    r.bucket = q_wire_next_name(&it, false);
    r.record = q_wire_next_name(&it, false);
    r.incarnation = q_mp_next_u64(&it, UINT64_MAX);
    r.attrs = next_names(in, &it, Q_MAX_ATTRIBUTES, &r.attr_count);
    r.ids = next_values(in, &it, Q_WIRE_MAX_ITEMS, true, &r.id_count);
    q_mp_items preds = q_mp_next_list(&it, Q_WIRE_MAX_PREDS);
    r.pred_count = preds.left;
    q_pred *p = Q_WIRE_NEW(in, &preds, q_pred, r.pred_count);
    for (uint32_t i = 0; i < r.pred_count && !preds.wrong; i++)
        next_pred(in, &preds, &p[i]);
    if (preds.wrong)
        q_mp_wrong(&it, preds.wrong);
    r.preds = p;
    r.has_after = it.left && it.at->type != MSGPACK_OBJECT_NIL;
    r.after = r.has_after ? q_wire_next_id(in, &it) : q_wire_next_value(in, &it);
    r.limit = (uint32_t)q_mp_next_u64(&it, UINT32_MAX);
    if (r.kind == 0 || r.limit == 0)
        q_mp_wrong(&it, "a read's kind or limit is wrong");
    if (r.kind == Q_R_REFERRERS && r.attr_count == 0)
        q_mp_wrong(&it, "a read of referrers names no relation");
    if (!q_mp_done(&it))
        q_mp_wrong(list, it.wrong);
    return r;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------ */

void q_wire_pack_rows(q_buf *out, const q_rows *r)
{
    q_mp_pack_array(out, 7);
    q_mp_pack_uint64(out, r->read_id);
    q_mp_pack_int(out, (int)r->rc);
    /* By name: the numbers of codes move when the list grows. */
    q_mp_str(out, r->code == Q_E_NONE ? Q_SLICE_NONE : q_slice_cstr(q_code_name(r->code)));
    q_wire_pack_text(out, r->error);
    q_mp_bool(out, r->more);
    q_mp_pack_uint32(out, r->attr_count);
    q_mp_pack_array(out, r->count);
    for (uint32_t i = 0; i < r->count; i++) {
        const q_row *row = &r->rows[i];
        q_mp_pack_array(out, 3 + (size_t)r->attr_count);
        q_wire_pack_value(out, &row->id);
        q_mp_pack_uint64(out, row->seq);
        q_mp_pack_uint64(out, row->birth);
        for (uint32_t a = 0; a < r->attr_count; a++)
            q_wire_pack_value(out, &row->values[a]);
    }
}

static void next_row(q_wire_in *in, q_mp_items *list, uint32_t attr_count, q_value *values, q_row *out)
{
    q_mp_items it = q_mp_next_list(list, 3 + attr_count);
    out->id = q_wire_next_id(in, &it);
    out->seq = q_mp_next_u64(&it, UINT64_MAX);
    out->birth = q_mp_next_u64(&it, UINT64_MAX);
    for (uint32_t a = 0; a < attr_count && !it.wrong; a++)
        values[a] = q_wire_next_value(in, &it);
    out->values = values;
    if (!q_mp_done(&it))
        q_mp_wrong(list, it.wrong);
}

static q_code next_code(q_mp_items *it)
{
    q_slice name = q_mp_next_text(it, Q_WIRE_MAX_TEXT);
    if (name.len == 0)
        return Q_E_NONE;
    q_code code = q_code_from_name(name);
    return code == Q_E_NONE ? Q_E_INTERNAL : code; /* of a newer worker */
}

q_rows q_wire_next_rows(q_wire_in *in, q_mp_items *list)
{
    q_mp_items it = q_mp_next_list(list, 7);
    q_rows r = { .read_id = q_mp_next_u64(&it, UINT64_MAX) };
    r.rc = (q_rc)q_mp_next_u64(&it, Q_RETRY);
    r.code = next_code(&it);
    r.error = q_mp_next_text(&it, Q_WIRE_MAX_TEXT);
    r.more = q_mp_next_bool(&it);
    r.attr_count = (uint32_t)q_mp_next_u64(&it, Q_MAX_ATTRIBUTES);
    q_mp_items rows = q_mp_next_list(&it, Q_WIRE_MAX_ITEMS);
    r.count = rows.left;
    /* Each row must really hold its values before memory is taken for them: attr_count alone is only a claim. */
    for (uint32_t i = 0; i < r.count; i++)
        if (rows.at[i].type != MSGPACK_OBJECT_ARRAY || rows.at[i].via.array.size != 3 + r.attr_count)
            q_mp_wrong(&rows, "a row has another number of values");
    q_row *items = Q_WIRE_NEW(in, &rows, q_row, r.count);
    q_value *values = Q_WIRE_NEW(in, &rows, q_value, r.count * r.attr_count);
    for (uint32_t i = 0; i < r.count && !rows.wrong; i++)
        next_row(in, &rows, r.attr_count, values ? values + (size_t)i * r.attr_count : NULL, &items[i]);
    if (rows.wrong)
        q_mp_wrong(&it, rows.wrong);
    r.rows = items;
    if (!q_mp_done(&it))
        q_mp_wrong(list, it.wrong);
    return r;
}
