/* op_schema.c - buckets and record definitions. */
#include "gateway/op.h"

#include "schemas/catalog.h"

#include <stdlib.h>

static q_rc ask_named(q_gate_op *op, const char *before, q_slice name, const char *after, bool read_only, q_ask *ask, q_err *err)
{
    q_slice text = q_arena_printf(op->arena, "%s`%.*s`%s;", before, Q_SLICE_FMT(name), after);
    if (!text.ptr)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    *ask = (q_ask){ .bucket = op->match.bucket, .body = text, .read_only = read_only };
    return Q_OK;
}

/* ---- creating ---- */

/* The only member that the body may have; what is more would be a wish that nobody fulfils. */
static q_rc only_member(const json_t *body, const char *name, q_slice *out, q_err *err)
{
    const json_t *v = json_object_get(body, name);
    if (!json_is_string(v) || json_object_size(body) != 1)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "The body is {\"%s\": \"…\"}.", name);
    *out = q_slice_of(json_string_value(v), json_string_length(v));
    return Q_OK;
}

static q_rc create_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    json_t *body = NULL;
    q_slice name;
    q_rc rc = q_op_body(op, false, &body, err);
    if (rc == Q_OK)
        rc = only_member(body, "name", &name, err);
    if (rc == Q_OK)
        rc = q_name_check(name, "bucket", err);
    if (rc == Q_OK) {
        op->match.bucket = q_arena_copy(op->arena, name);
        rc = op->match.bucket.ptr ? ask_named(op, "CREATE BUCKET ", op->match.bucket, "", false, ask, err)
                                  : q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    }
    json_decref(body);
    return rc;
}

static q_rc created(q_gate_op *op, const char *what, q_slice name, q_slice location, const q_reply_seen *reply, q_http_response *out)
{
    q_buf_clear(&op->out);
    q_buf_printf(&op->out, "{\"%s\":\"%.*s\",\"seq\":%llu,\"request_id\":", what, Q_SLICE_FMT(name), (unsigned long long)reply->head.seq);
    q_json_add_string(&op->out, reply->request_id);
    q_buf_add_byte(&op->out, '}');
    q_op_json(op, 201, out);
    out->location = location;
    return Q_OK;
}

static q_rc create_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    (void)ask;
    (void)err;
    return created(op, "bucket", op->match.bucket, q_arena_printf(op->arena, "/bucket/%.*s", Q_SLICE_FMT(op->match.bucket)), reply, out);
}

/* The definition is checked here as a whole, and what is sent is what the check understood, not the bytes that came. */
static q_rc record_create_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    json_t *body = NULL;
    q_ddl ddl;
    q_rc rc = q_op_body(op, false, &body, err);
    if (rc == Q_OK)
        rc = q_ddl_from_json(op->arena, op->match.bucket, op->request->body, &ddl, err);
    char *text = rc == Q_OK ? json_dumps(body, JSON_COMPACT) : NULL;
    q_slice query = text ? q_arena_printf(op->arena, "CREATE RECORD %s;", text) : Q_SLICE_NONE;
    if (rc == Q_OK) {
        op->match.record = q_arena_copy(op->arena, ddl.record);
        if (!query.ptr || !op->match.record.ptr)
            rc = q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    }
    *ask = (q_ask){ .bucket = op->match.bucket, .body = query };
    free(text);
    json_decref(body);
    return rc;
}

static q_rc record_create_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    (void)ask;
    (void)err;
    q_slice at = q_arena_printf(op->arena, "/bucket/%.*s/record/%.*s", Q_SLICE_FMT(op->match.bucket), Q_SLICE_FMT(op->match.record));
    return created(op, "record", op->match.record, at, reply, out);
}

/* ---- dropping ---- */

static q_rc bucket_drop_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    q_slice cascade;
    q_rc rc = q_http_arg(op->arena, op->request->args, "cascade", &cascade, err);
    if (rc == Q_FAIL)
        return rc;
    bool yes = rc == Q_OK && q_slice_eq(cascade, Q_SLICE_LIT("true"));
    if (rc == Q_OK && !yes && !q_slice_eq(cascade, Q_SLICE_LIT("false")))
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "cascade is true or false.");
    return ask_named(op, "DROP BUCKET ", op->match.bucket, yes ? " CASCADE" : "", false, ask, err);
}

static q_rc record_drop_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    return ask_named(op, "DROP RECORD ", op->match.record, "", false, ask, err);
}

static q_rc nothing_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    (void)op;
    (void)reply;
    (void)ask;
    (void)err;
    *out = (q_http_response){ .status = 204 };
    return Q_OK;
}

/* ---- showing ---- */

static q_rc buckets_ask(q_gate_op *op, q_ask *ask, q_err *err) { return q_op_text(op, "SHOW BUCKETS;", Q_SLICE_NONE, true, ask, err); }
static q_rc records_ask(q_gate_op *op, q_ask *ask, q_err *err) { return q_op_text(op, "SHOW RECORDS;", op->match.bucket, true, ask, err); }
static q_rc record_ask(q_gate_op *op, q_ask *ask, q_err *err) { return ask_named(op, "SHOW RECORD ", op->match.record, "", true, ask, err); }

/* {"buckets":[{"bucket":…},…]} */
static q_rc list(q_gate_op *op, const char *name, const q_reply_seen *reply, q_err *err)
{
    q_result_set s;
    q_row_cursor at = { 0 };
    yajl_val columns, row;
    bool ok = true;
    q_rc rc = q_op_results(reply, &s, err);
    if (rc != Q_OK)
        return rc;
    q_buf_printf(&op->out, "\"%s\":[", name);
    for (bool first = true; ok && (row = q_result_next_row(&s, 1, &at, &columns)); first = false) {
        if (!first)
            q_buf_add_byte(&op->out, ',');
        ok = q_result_write_row(columns, row, -1, &op->out);
    }
    q_buf_add_cstr(&op->out, "]}");
    q_result_free(&s);
    return ok ? Q_OK : q_err_set(err, Q_E_INTERNAL, "The coordinator's answer can't be read.");
}

static q_rc buckets_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    (void)ask;
    q_buf_clear(&op->out);
    q_buf_add_byte(&op->out, '{');
    q_rc rc = list(op, "buckets", reply, err);
    q_op_json(op, 200, out);
    return rc;
}

static q_rc records_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    (void)ask;
    q_buf_clear(&op->out);
    q_buf_printf(&op->out, "{\"bucket\":\"%.*s\",", Q_SLICE_FMT(op->match.bucket));
    q_rc rc = list(op, "records", reply, err);
    q_op_json(op, 200, out);
    return rc;
}

static const char *text_of(yajl_val columns, yajl_val row, const char *name)
{
    int i = q_result_column(columns, name);
    yajl_val v = i >= 0 ? YAJL_GET_ARRAY(row)->values[i] : NULL;
    return v && YAJL_IS_STRING(v) ? YAJL_GET_STRING(v) : NULL;
}

static bool is_true(yajl_val columns, yajl_val row, const char *name)
{
    int i = q_result_column(columns, name);
    return i >= 0 && YAJL_IS_TRUE(YAJL_GET_ARRAY(row)->values[i]);
}

static void attribute(q_buf *out, yajl_val columns, yajl_val row)
{
    static const char *const texts[] = { "type", "datatype", "target", "cardinality", "unit" };
    const char *name = text_of(columns, row, "attribute"), *sep = "{";
    q_json_add_string(out, q_slice_cstr(name ? name : ""));
    q_buf_add_byte(out, ':');
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *v = text_of(columns, row, texts[i]);
        if (!v || (!strcmp(texts[i], "cardinality") && !strcmp(v, "one")))
            continue;
        q_buf_printf(out, "%s\"%s\":", sep, texts[i]);
        q_json_add_string(out, q_slice_cstr(v));
        sep = ",";
    }
    if (is_true(columns, row, "required"))
        q_buf_printf(out, ",\"required\":true");
    if (is_true(columns, row, "unique"))
        q_buf_printf(out, ",\"unique\":true");
    q_buf_add_byte(out, '}');
}

/* The definition in A1's form: what POST …/record takes. */
static q_rc record_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    q_result_set s;
    q_row_cursor at = { 0 };
    yajl_val columns, row;
    q_rc rc = q_op_results(reply, &s, err);
    (void)ask;
    if (rc != Q_OK)
        return rc;
    q_buf_clear(&op->out);
    q_buf_printf(&op->out, "{\"record\":\"%.*s\",\"attributes\":{", Q_SLICE_FMT(op->match.record));
    for (bool first = true; (row = q_result_next_row(&s, 1, &at, &columns)); first = false) {
        if (!first)
            q_buf_add_byte(&op->out, ',');
        attribute(&op->out, columns, row);
    }
    q_buf_add_cstr(&op->out, "}}");
    q_result_free(&s);
    q_op_json(op, 200, out);
    return Q_OK;
}

const q_gate_verbs q_gate_buckets = { buckets_ask, buckets_answer, NULL };
const q_gate_verbs q_gate_create = { create_ask, create_answer, NULL };
const q_gate_verbs q_gate_bucket = { records_ask, records_answer, NULL };
const q_gate_verbs q_gate_bucket_drop = { bucket_drop_ask, nothing_answer, NULL };
const q_gate_verbs q_gate_records = { records_ask, records_answer, NULL };
const q_gate_verbs q_gate_record_create = { record_create_ask, record_create_answer, NULL };
const q_gate_verbs q_gate_record = { record_ask, record_answer, NULL };
const q_gate_verbs q_gate_record_drop = { record_drop_ask, nothing_answer, NULL };
