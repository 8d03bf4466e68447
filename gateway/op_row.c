/* op_row.c - one row by its id: GET, PATCH, DELETE. PUT is op_put.c. */
#include "gateway/op_names.h"

void q_op_locate(q_gate_op *op, const q_reply_seen *reply, q_http_response *out)
{
    q_slice id = q_op_encode(op->arena, op->match.id);
    out->location = q_arena_printf(op->arena, "/bucket/%.*s/record/%.*s/rows/%.*s", Q_SLICE_FMT(op->match.bucket),
                                   Q_SLICE_FMT(op->match.record), Q_SLICE_FMT(id));
    if (reply->head.seq)
        out->etag = q_arena_printf(op->arena, "\"%llu\"", (unsigned long long)reply->head.seq);
}

static q_rc not_found(const q_gate_op *op, q_err *err)
{
    if (op->request->if_match.ptr)
        return q_err_set(err, Q_E_PRECONDITION_FAILED, "The row isn't there, or isn't what If-Match says.");
    return q_err_set(err, Q_E_ROW_NOT_FOUND, "%.*s has no row \"%.*s\".", Q_SLICE_FMT(op->match.record),
                     (int)(op->match.id.len < 100 ? op->match.id.len : 100), op->match.id.ptr);
}

/* ---- GET ---- */

static q_rc get_query(q_gate_op *op, q_ask *ask, q_err *err)
{
    q_message_draft d;
    q_draft_init(&d);
    q_draft_text(&d, "SELECT *, _q_seq FROM ");
    q_draft_name(&d, op->match.record);
    q_draft_text(&d, " WHERE id = ");
    q_op_id_add(op, &d);
    q_draft_text(&d, ";");
    return q_op_send(op, &d, true, ask, err);
}

static q_rc get_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    q_op_id_begin(op);
    return get_query(op, ask, err);
}

static q_rc get_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    q_result_set s;
    q_row_cursor at = { 0 };
    yajl_val columns;
    q_rc rc = q_op_results(reply, &s, err);
    (void)ask;
    if (rc != Q_OK)
        return rc;
    q_op_id_was_right(op);
    yajl_val row = q_result_next_row(&s, 1, &at, &columns);
    q_buf_clear(&op->out);
    if (!row)
        rc = not_found(op, err);
    else if (!q_result_write_row(columns, row, q_result_column(columns, "_q_seq"), &op->out) && !op->out.failed)
        rc = q_err_set(err, Q_E_INTERNAL, "The coordinator's answer can't be read.");
    q_op_json(op, 200, out);
    int seq = row ? q_result_column(columns, "_q_seq") : -1;
    yajl_val v = seq >= 0 ? YAJL_GET_ARRAY(row)->values[seq] : NULL;
    if (v && YAJL_IS_INTEGER(v))
        out->etag = q_arena_printf(op->arena, "\"%s\"", YAJL_GET_NUMBER(v));
    q_result_free(&s);
    if (rc == Q_OK && out->etag.ptr && op->request->if_none_match.ptr && q_op_none_match(op, out->etag))
        *out = (q_http_response){ .status = 304, .etag = out->etag };
    return rc;
}

static q_rc get_refused(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    (void)reply;
    (void)out;
    if (!q_op_id_turn(op, err))
        return Q_FAIL;
    q_rc rc = get_query(op, ask, err);
    return rc == Q_OK ? Q_WAIT : rc;
}

/* ---- PATCH: every attribute that the body names is set; "customer.name" sets a part of a document ---- */

static q_rc patch_query(q_gate_op *op, q_ask *ask, q_err *err)
{
    json_t *body = NULL, *value;
    const char *key, *sep = "";
    q_message_draft d;
    q_rc rc = q_op_body(op, false, &body, err);
    if (rc != Q_OK)
        return rc;
    q_draft_init(&d);
    if (json_object_size(body) == 0)
        rc = q_err_set(err, Q_E_REQUEST_MALFORMED, "The body sets nothing.");
    q_draft_text(&d, "UPDATE ");
    q_draft_name(&d, op->match.record);
    q_draft_text(&d, " SET ");
    json_object_foreach(body, key, value) {
        q_draft_text(&d, sep);
        sep = ", ";
        rc = rc == Q_OK ? q_op_attribute(&d, q_slice_cstr(key), true, err) : rc;
        if (rc != Q_OK)
            break;
        q_draft_text(&d, " = ");
        q_draft_json(&d, value);
    }
    q_draft_text(&d, " WHERE id = ");
    q_op_id_add(op, &d);
    if (rc == Q_OK)
        rc = q_op_if_match(op, &d, err);
    q_draft_text(&d, ";");
    json_decref(body);
    if (rc == Q_OK)
        return q_op_send(op, &d, false, ask, err);
    q_draft_free(&d);
    return rc;
}

static q_rc patch_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    q_op_id_begin(op);
    return patch_query(op, ask, err);
}

static q_rc patch_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    int64_t n = q_op_count(reply, op->statement);
    (void)ask;
    q_op_id_was_right(op);
    if (n == 0)
        return not_found(op, err);
    q_op_written(op, reply, 200, n, out);
    q_op_locate(op, reply, out);
    out->location = Q_SLICE_NONE; /* it is where it was */
    return Q_OK;
}

static q_rc patch_refused(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    (void)reply;
    (void)out;
    if (!q_op_id_turn(op, err))
        return Q_FAIL;
    q_rc rc = patch_query(op, ask, err);
    return rc == Q_OK ? Q_WAIT : rc;
}

/* ---- DELETE ---- */

static q_rc delete_query(q_gate_op *op, q_ask *ask, q_err *err)
{
    q_message_draft d;
    q_draft_init(&d);
    q_draft_text(&d, "DELETE FROM ");
    q_draft_name(&d, op->match.record);
    q_draft_text(&d, " WHERE id = ");
    q_op_id_add(op, &d);
    q_rc rc = q_op_if_match(op, &d, err);
    q_draft_text(&d, ";");
    if (rc == Q_OK)
        return q_op_send(op, &d, false, ask, err);
    q_draft_free(&d);
    return rc;
}

static q_rc delete_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    q_op_id_begin(op);
    return delete_query(op, ask, err);
}

static q_rc delete_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    (void)ask;
    q_op_id_was_right(op);
    if (q_op_count(reply, op->statement) == 0)
        return not_found(op, err);
    *out = (q_http_response){ .status = 204 };
    return Q_OK;
}

static q_rc delete_refused(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    (void)reply;
    (void)out;
    if (!q_op_id_turn(op, err))
        return Q_FAIL;
    q_rc rc = delete_query(op, ask, err);
    return rc == Q_OK ? Q_WAIT : rc;
}

const q_gate_verbs q_gate_row = { get_ask, get_answer, get_refused };
const q_gate_verbs q_gate_row_patch = { patch_ask, patch_answer, patch_refused };
const q_gate_verbs q_gate_row_delete = { delete_ask, delete_answer, delete_refused };
