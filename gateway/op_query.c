/* op_query.c - QuantaQL as it is: one message, one transaction. */
#include "gateway/op.h"

#include "schemas/value.h"

/* {"query":…,"params":{…}}: read and written anew, so that nothing else of the envelope (a bucket, a reply topic) comes with it. */
static q_rc ask_json(q_gate_op *op, q_ask *ask, q_err *err)
{
    json_t *body = NULL;
    q_slice message = Q_SLICE_NONE;
    q_rc rc = q_op_body(op, false, &body, err);
    if (rc != Q_OK)
        return rc;
    const json_t *query = json_object_get(body, "query"), *params = json_object_get(body, "params");
    if (json_is_null(params))
        params = NULL;
    size_t known = (query ? 1u : 0u) + (json_object_get(body, "params") ? 1u : 0u);
    if (!json_is_string(query) || (params && !json_is_object(params)) || json_object_size(body) != known)
        rc = q_err_set(err, Q_E_REQUEST_MALFORMED, "The body is {\"query\": \"…\", \"params\": {…}}.");
    else
        rc = q_message_of(op->arena, q_slice_of(json_string_value(query), json_string_length(query)), params, &message, err);
    json_decref(body);
    *ask = (q_ask){ .bucket = op->match.bucket, .body = message, .json = true };
    return rc;
}

static q_rc query_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    const q_http_request *r = op->request;
    op->lines = q_http_accepts(r->accept, Q_TYPE_NDJSON) && !q_http_accepts(r->accept, Q_TYPE_JSON);
    if (!op->lines && !q_http_accepts(r->accept, Q_TYPE_JSON))
        return q_err_set(err, Q_E_NOT_ACCEPTABLE, "Results are application/json or application/x-ndjson.");
    if (q_http_type_is(r->content_type, Q_TYPE_JSON))
        return ask_json(op, ask, err);
    if (r->content_type.len && !q_http_type_is(r->content_type, "text/plain") && !q_http_type_is(r->content_type, "application/quantaql"))
        return q_err_set(err, Q_E_MEDIA_TYPE_UNKNOWN, "The body is QuantaQL as text/plain, or application/json.");
    if (!r->body.len)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "The body is empty: it is the statement.");
    *ask = (q_ask){ .bucket = op->match.bucket, .body = r->body };
    return Q_OK;
}

static q_rc query_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    q_result_set s;
    (void)ask;
    q_buf_clear(&op->out);
    if (reply->count == 1 && !op->lines) { /* as it came */
        *out = (q_http_response){ .status = 200, .type = Q_TYPE_JSON, .body = reply->parts[0] };
        return Q_OK;
    }
    q_rc rc = q_op_results(reply, &s, err);
    if (rc != Q_OK)
        return rc;
    bool ok = op->lines ? q_result_lines(&s, &op->out) : q_result_merge(&s, &op->out);
    q_result_free(&s);
    q_op_json(op, 200, out);
    if (op->lines)
        out->type = Q_TYPE_NDJSON;
    return ok || op->out.failed ? Q_OK : q_err_set(err, Q_E_INTERNAL, "The coordinator's answer can't be read.");
}

const q_gate_verbs q_gate_query = { query_ask, query_answer, NULL };
