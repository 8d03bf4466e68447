/* op_put.c - PUT of a row: what the body doesn't name becomes NULL; the row is made when it isn't there.
 *
 *     DEFINITION --attributes--> UPDATE --count 1--> 200
 *                                  ^  \--count 0--> INSERT --committed--> 201
 *                                  \----------------- DUPLICATE_ID (somebody else was first)
 *
 * Each write is a transaction and atomic by itself, and has a request id of its own; under the same Idempotency-Key all of them are answered
 * with their first outcome. Metrics that the body leaves out keep their latest value: points aren't taken back. */
#include "gateway/op_names.h"

enum { DEFINITION = 0, UPDATE, INSERT };

static q_rc definition(q_gate_op *op, q_ask *ask, q_err *err)
{
    q_slice text = q_arena_printf(op->arena, "SHOW RECORD `%.*s`;", Q_SLICE_FMT(op->match.record));
    if (!text.ptr)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    op->stage = DEFINITION;
    *ask = (q_ask){ .bucket = op->match.bucket, .body = text, .read_only = true };
    return Q_OK;
}

/* Before anything is asked: what is wrong with the body can be told at once. */
static q_rc put_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    json_t *body = NULL;
    q_rc rc = q_op_body(op, false, &body, err);
    const json_t *id = rc == Q_OK ? json_object_get(body, "id") : NULL;
    if (id && !q_op_id_same(op, id))
        rc = q_err_set(err, Q_E_REQUEST_MALFORMED, "The body's id is another than the path's.");
    json_decref(body);
    return rc == Q_OK ? definition(op, ask, err) : rc;
}

static const char *text_at(yajl_val columns, yajl_val row, const char *name)
{
    int i = q_result_column(columns, name);
    yajl_val v = i >= 0 ? YAJL_GET_ARRAY(row)->values[i] : NULL;
    return v && YAJL_IS_STRING(v) ? YAJL_GET_STRING(v) : "";
}

/* The body without `id` and without metrics that are null: NULL is the same as leaving them out. */
static q_rc read_definition(q_gate_op *op, const q_reply_seen *reply, q_err *err)
{
    json_t *body = NULL;
    q_result_set s;
    q_row_cursor at = { 0 };
    yajl_val columns, row;
    q_buf nulls = Q_BUF_INIT((size_t)1 << 16);
    q_rc rc = q_op_body(op, false, &body, err);
    if (rc == Q_OK)
        rc = q_op_results(reply, &s, err);
    if (rc != Q_OK) {
        json_decref(body);
        return rc;
    }
    while ((row = q_result_next_row(&s, 1, &at, &columns))) {
        const char *name = text_at(columns, row, "attribute");
        bool metric = !strcmp(text_at(columns, row, "type"), "metric"), is_id = !strcmp(name, "id");
        if (is_id)
            op->id_is_int = !strcmp(text_at(columns, row, "datatype"), "int");
        if (!is_id && !metric && !json_object_get(body, name))
            q_buf_printf(&nulls, ", `%s` = NULL", name);
        if (metric && json_is_null(json_object_get(body, name)))
            q_buf_printf(&nulls, ",`%s`", name); /* no SET: only remembered as left out */
    }
    q_result_free(&s);
    json_decref(body);
    op->columns = q_arena_copy(op->arena, q_buf_slice(&nulls));
    rc = nulls.failed || !op->columns.ptr ? q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.") : Q_OK;
    q_buf_free(&nulls);
    return rc;
}

static q_rc insert(q_gate_op *op, q_ask *ask, q_err *err)
{
    json_t *body = NULL;
    q_message_draft d;
    q_rc rc = q_op_body(op, false, &body, err);
    if (rc != Q_OK)
        return rc;
    op->stage = INSERT;
    q_draft_init(&d);
    q_draft_text(&d, "INSERT INTO ");
    q_draft_name(&d, op->match.record);
    q_draft_text(&d, " ");
    rc = q_op_row_object(&d, body, op, err);
    q_draft_text(&d, ";");
    json_decref(body);
    if (rc == Q_OK)
        return q_op_send(op, &d, false, ask, err);
    q_draft_free(&d);
    return rc;
}

/* ",`name`" in `columns`: a metric that is null in the body. */
static bool left_out(const q_gate_op *op, const char *name)
{
    q_slice mark = q_arena_printf(op->arena, ",`%s`", name);
    if (!mark.ptr || !op->columns.len)
        return false;
    for (const char *at = op->columns.ptr; (at = strstr(at, mark.ptr)); at++)
        if (at[mark.len] == ',' || at[mark.len] == '\0')
            return true;
    return false;
}

static q_rc update(q_gate_op *op, q_ask *ask, q_err *err)
{
    json_t *body = NULL, *value;
    const char *key;
    uint32_t sets = 0;
    q_message_draft d;
    q_rc rc = q_op_body(op, false, &body, err);
    if (rc != Q_OK)
        return rc;
    op->stage = UPDATE;
    q_draft_init(&d);
    q_draft_text(&d, "UPDATE ");
    q_draft_name(&d, op->match.record);
    q_draft_text(&d, " SET ");
    json_object_foreach(body, key, value) {
        if (!strcmp(key, "id") || left_out(op, key))
            continue;
        q_draft_text(&d, sets++ ? ", " : "");
        rc = q_op_attribute(&d, q_slice_cstr(key), false, err);
        if (rc != Q_OK)
            break;
        q_draft_text(&d, " = ");
        q_draft_json(&d, value);
    }
    json_decref(body);
    for (q_slice rest = op->columns; rest.len >= 2 && rc == Q_OK;) { /* ", `a` = NULL" and ",`m`", in turn */
        const char *end = memchr(rest.ptr + 1, ',', rest.len - 1);
        size_t n = end ? (size_t)(end - rest.ptr) : rest.len;
        if (rest.ptr[1] == ' ') {
            q_buf_add_cstr(&d.query, sets++ ? "," : "");
            q_buf_add(&d.query, rest.ptr + 1, n - 1);
        }
        rest = (q_slice){ rest.ptr + n, rest.len - n };
    }
    q_draft_text(&d, " WHERE id = ");
    q_op_id_add(op, &d);
    if (rc == Q_OK)
        rc = q_op_if_match(op, &d, err);
    q_draft_text(&d, ";");
    if (rc == Q_OK && sets)
        return q_op_send(op, &d, false, ask, err);
    q_draft_free(&d);
    if (rc == Q_OK && op->request->if_match.ptr)
        rc = q_err_set(err, Q_E_QQL_UNSUPPORTED, "The body sets nothing, so there is nothing that If-Match could guard.");
    op->bare = true;
    return rc == Q_OK ? insert(op, ask, err) : rc; /* a record of nothing but an id: it is there or it isn't */
}

/* If-None-Match: * asks that there be none yet. */
static bool only_new(const q_gate_op *op) { return q_slice_eq(op->request->if_none_match, Q_SLICE_LIT("*")); }

static q_rc put_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    q_rc rc = Q_OK;
    if (op->stage == DEFINITION) {
        rc = read_definition(op, reply, err);
        if (rc == Q_OK)
            rc = only_new(op) ? insert(op, ask, err) : update(op, ask, err);
        return rc == Q_OK ? Q_WAIT : rc;
    }
    int64_t n = q_op_count(reply, op->statement);
    if (op->stage == UPDATE && n == 0 && op->request->if_match.ptr)
        return q_err_set(err, Q_E_PRECONDITION_FAILED, "The row isn't there, or isn't what If-Match says.");
    if (op->stage == UPDATE && n == 0) {
        rc = insert(op, ask, err);
        return rc == Q_OK ? Q_WAIT : rc;
    }
    q_op_written(op, reply, op->stage == INSERT ? 201 : 200, n, out);
    q_op_locate(op, reply, out);
    return Q_OK;
}

static q_rc put_refused(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    if (op->stage != INSERT || err->code != Q_E_DUPLICATE_ID)
        return Q_FAIL;
    if (only_new(op))
        return q_err_set(err, Q_E_PRECONDITION_FAILED, "The row is there already.");
    if (op->bare) { /* nothing to set, and it is there: as it should be */
        q_op_written(op, reply, 200, 1, out);
        return Q_OK;
    }
    q_rc rc = update(op, ask, err);
    return rc == Q_OK ? Q_WAIT : rc;
}

const q_gate_verbs q_gate_row_put = { put_ask, put_answer, put_refused };
