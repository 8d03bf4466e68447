#include "gateway/op.h"
#include "gateway/problem.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { MAX_ANSWER = 128 << 20 };

/* ---- life ---- */

q_gate_op *q_gate_new(q_arena *arena, const q_gate_limits *limits, q_id_hints *hints, const q_http_request *request, const q_match *match)
{
    q_gate_op *op = Q_NEW(arena, q_gate_op);
    if (!op)
        return NULL;
    *op = (q_gate_op){ .arena = arena, .limits = limits, .hints = hints, .request = request, .match = *match, .statement = 1 };
    op->out = Q_BUF_INIT((size_t)MAX_ANSWER);
    return op;
}

void q_gate_free(q_gate_op *op)
{
    if (op) {
        q_op_graphql_free(op->graphql);
        q_buf_free(&op->out);
    }
}

/* ---- which verbs ---- */

static const q_gate_verbs *verbs(const q_gate_op *op)
{
    static const q_gate_verbs *const table[Q_RT_COUNT][Q_HTTP_METHODS] = {
        [Q_RT_BUCKETS] = { [Q_HTTP_GET] = &q_gate_buckets },
        [Q_RT_CREATE] = { [Q_HTTP_POST] = &q_gate_create },
        [Q_RT_BUCKET] = { [Q_HTTP_GET] = &q_gate_bucket, [Q_HTTP_DELETE] = &q_gate_bucket_drop },
        [Q_RT_QUERY] = { [Q_HTTP_POST] = &q_gate_query },
        [Q_RT_GRAPHQL] = { [Q_HTTP_POST] = &q_gate_graphql },
        [Q_RT_RECORDS] = { [Q_HTTP_GET] = &q_gate_records, [Q_HTTP_POST] = &q_gate_record_create },
        [Q_RT_RECORD] = { [Q_HTTP_GET] = &q_gate_record, [Q_HTTP_DELETE] = &q_gate_record_drop },
        [Q_RT_ROWS] = { [Q_HTTP_GET] = &q_gate_rows, [Q_HTTP_POST] = &q_gate_rows_insert },
        [Q_RT_ROW] = { [Q_HTTP_GET] = &q_gate_row, [Q_HTTP_PUT] = &q_gate_row_put, [Q_HTTP_PATCH] = &q_gate_row_patch,
                       [Q_HTTP_DELETE] = &q_gate_row_delete },
    };
    return table[op->match.route][op->request->method];
}

static q_gate_next fail(q_gate_op *op, q_slice request_id, const q_err *err, const char *outcome, q_http_response *out)
{
    q_problem(err, request_id, outcome, &op->out, out);
    return Q_GATE_ANSWER;
}

/* Asks, unless that went on for too long already. */
static q_gate_next asking(q_gate_op *op, q_rc rc, q_ask *ask, const q_err *err, q_slice request_id, q_http_response *out)
{
    q_err e = *err;
    if (rc == Q_OK && op->steps >= Q_GATE_MAX_STEPS) {
        rc = Q_FAIL;
        q_err_set(&e, Q_E_OVERLOADED, "The row was written and deleted by others again and again.");
    }
    if (rc != Q_OK)
        return fail(op, request_id, &e, "", out);
    ask->step = op->steps++;
    return Q_GATE_ASK;
}

q_gate_next q_gate_start(q_gate_op *op, q_ask *ask, q_http_response *out)
{
    q_err err = Q_ERR_INIT;
    const q_gate_verbs *v = verbs(op);
    *ask = (q_ask){ .bucket = op->match.bucket };
    q_slice key = op->request->idempotency_key;
    bool bad_key = key.len > Q_GATE_MAX_KEY_BYTES || (key.ptr && !key.len);
    for (size_t i = 0; i < key.len; i++)
        bad_key = bad_key || key.ptr[i] < 0x20 || key.ptr[i] > 0x7E;
    if (!v)
        q_err_set(&err, Q_E_METHOD_NOT_ALLOWED, "Not here.");
    else if (bad_key)
        q_err_set(&err, Q_E_REQUEST_ID_INVALID, "Idempotency-Key is 1 to %d printable ASCII characters.", Q_GATE_MAX_KEY_BYTES);
    q_rc rc = err.code == Q_E_NONE ? v->ask(op, ask, &err) : Q_FAIL;
    return asking(op, rc, ask, &err, Q_SLICE_NONE, out);
}

q_gate_next q_gate_reply(q_gate_op *op, q_slice request_id, const q_slice *parts, uint32_t count, q_ask *ask, q_http_response *out)
{
    q_err err = Q_ERR_INIT;
    q_reply_seen reply = { .parts = parts, .count = count, .request_id = request_id };
    const q_gate_verbs *v = verbs(op);
    *ask = (q_ask){ .bucket = op->match.bucket };
    if (!count || !q_result_read_head(parts[count - 1], &reply.head)) {
        q_err_set(&err, Q_E_INTERNAL, "The coordinator's answer can't be read.");
        return fail(op, request_id, &err, "", out);
    }
    q_rc rc = Q_FAIL;
    if (q_result_done(&reply.head)) {
        rc = v->answer(op, &reply, ask, out, &err);
        if (rc == Q_OK && op->out.failed)
            rc = q_err_set(&err, Q_E_RESULT_TOO_LARGE, "The answer is larger than %d bytes.", MAX_ANSWER);
    } else {
        err = reply.head.error;
        if (v->refused)
            rc = v->refused(op, &reply, ask, out, &err);
    }
    if (rc == Q_WAIT)
        return asking(op, Q_OK, ask, &err, request_id, out);
    if (rc != Q_OK)
        return fail(op, request_id, &err, q_result_done(&reply.head) ? "" : reply.head.status, out);
    return Q_GATE_ANSWER;
}

void q_gate_fail(q_gate_op *op, q_slice request_id, const q_err *err, q_http_response *out)
{
    fail(op, request_id, err, "", out);
}

/* ---- what operations share ---- */

q_rc q_op_body(const q_gate_op *op, bool array, json_t **out, q_err *err)
{
    const q_http_request *r = op->request;
    json_error_t e;
    if (r->content_type.len && !q_http_type_is(r->content_type, Q_TYPE_JSON))
        return q_err_set(err, Q_E_MEDIA_TYPE_UNKNOWN, "The body is application/json here.");
    *out = json_loadb(r->body.ptr ? r->body.ptr : "", r->body.len, JSON_REJECT_DUPLICATES, &e);
    if (!*out)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "The body isn't JSON: %s (line %d, column %d).", e.text, e.line, e.column);
    if (json_is_object(*out) || (array && json_is_array(*out)))
        return Q_OK;
    json_decref(*out);
    *out = NULL;
    return q_err_set(err, Q_E_REQUEST_MALFORMED, array ? "The body is a JSON object, or an array of them." : "The body is a JSON object.");
}

q_rc q_op_send(q_gate_op *op, q_message_draft *d, bool read_only, q_ask *ask, q_err *err)
{
    q_slice body;
    q_rc rc = q_draft_finish(d, op->arena, &body, err);
    q_draft_free(d);
    if (rc == Q_OK)
        *ask = (q_ask){ .bucket = op->match.bucket, .body = body, .json = true, .read_only = read_only };
    return rc;
}

q_rc q_op_text(q_gate_op *op, const char *text, q_slice bucket, bool read_only, q_ask *ask, q_err *err)
{
    (void)op;
    (void)err;
    *ask = (q_ask){ .bucket = bucket, .body = q_slice_cstr(text), .read_only = read_only };
    return Q_OK;
}

q_rc q_op_results(const q_reply_seen *reply, q_result_set *out, q_err *err)
{
    return q_result_parse(reply->parts, reply->count, out) ? Q_OK : q_err_set(err, Q_E_INTERNAL, "The coordinator's answer can't be read.");
}

int64_t q_op_count(const q_reply_seen *reply, int64_t statement)
{
    q_result_set s;
    if (!q_result_parse(reply->parts, reply->count, &s))
        return -1;
    int64_t n = q_result_count(&s, statement);
    q_result_free(&s);
    return n;
}

void q_op_json(q_gate_op *op, int status, q_http_response *out)
{
    *out = (q_http_response){ .status = status, .type = Q_TYPE_JSON, .body = q_buf_slice(&op->out) };
}

void q_op_written(q_gate_op *op, const q_reply_seen *reply, int status, int64_t count, q_http_response *out)
{
    q_buf_clear(&op->out);
    q_buf_printf(&op->out, "{\"count\":%lld,\"seq\":%llu,\"txid\":", (long long)count, (unsigned long long)reply->head.seq);
    q_json_add_string(&op->out, q_slice_cstr(reply->head.txid));
    q_buf_add_cstr(&op->out, ",\"request_id\":");
    q_json_add_string(&op->out, reply->request_id);
    q_buf_add_byte(&op->out, '}');
    q_op_json(op, status, out);
}
