/* op_rows.c - many rows: pages by id, and inserts of one or many in one transaction. */
#include "gateway/op_names.h"

#include <stdlib.h>

/* ---- GET …/rows?limit=&after=&select= ---- */

static q_rc read_limit(q_gate_op *op, q_err *err)
{
    q_slice text;
    q_rc rc = q_http_arg(op->arena, op->request->args, "limit", &text, err);
    op->row_limit = op->limits->default_rows;
    if (rc != Q_OK)
        return rc == Q_END ? Q_OK : rc;
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n = text.ptr[i] >= '0' && text.ptr[i] <= '9' && i < 9 ? n * 10 + (uint64_t)(text.ptr[i] - '0') : UINT32_MAX;
    if (!text.len || n < 1 || n > op->limits->max_rows)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "limit is a number from 1 to %u.", op->limits->max_rows);
    op->row_limit = (uint32_t)n;
    return Q_OK;
}

/* "name,customer.city": the id comes with them. */
static q_rc add_columns(q_gate_op *op, q_message_draft *d, q_err *err)
{
    q_slice list;
    q_rc rc = q_http_arg(op->arena, op->request->args, "select", &list, err);
    if (rc == Q_END)
        q_draft_text(d, "*");
    if (rc != Q_OK)
        return rc == Q_END ? Q_OK : rc;
    q_draft_text(d, "id");
    while (rc == Q_OK && list.ptr) {
        const char *comma = list.len ? memchr(list.ptr, ',', list.len) : NULL;
        q_slice name = { list.ptr, comma ? (size_t)(comma - list.ptr) : list.len };
        list = comma ? (q_slice){ comma + 1, list.len - name.len - 1 } : Q_SLICE_NONE;
        if (q_slice_eq(name, Q_SLICE_LIT("id")))
            continue;
        q_draft_text(d, ", ");
        rc = q_op_attribute(d, name, true, err);
    }
    return rc;
}

static q_rc add_after(q_gate_op *op, q_message_draft *d, q_err *err)
{
    q_slice text;
    q_rc rc = q_http_arg(op->arena, op->request->args, "after", &text, err);
    if (rc != Q_OK)
        return rc == Q_END ? Q_OK : rc;
    json_t *id = q_op_cursor_read(text);
    if (!id)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "after is the `next` of an earlier page.");
    q_draft_text(d, " WHERE id > ");
    q_draft_json(d, id);
    json_decref(id);
    return Q_OK;
}

static q_rc rows_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    q_message_draft d;
    q_slice accept = op->request->accept;
    op->lines = q_http_accepts(accept, Q_TYPE_NDJSON) && !q_http_accepts(accept, Q_TYPE_JSON);
    if (!op->lines && !q_http_accepts(accept, Q_TYPE_JSON))
        return q_err_set(err, Q_E_NOT_ACCEPTABLE, "Rows are application/json or application/x-ndjson.");
    q_draft_init(&d);
    q_draft_text(&d, "SELECT ");
    q_rc rc = read_limit(op, err);
    if (rc == Q_OK)
        rc = add_columns(op, &d, err);
    if (rc == Q_OK) {
        q_draft_text(&d, " FROM ");
        q_draft_name(&d, op->match.record);
        rc = add_after(op, &d, err);
    }
    if (rc != Q_OK) {
        q_draft_free(&d);
        return rc;
    }
    q_buf_printf(&d.query, " ORDER BY id LIMIT %u;", op->row_limit + 1); /* one more tells whether there is a next page */
    return q_op_send(op, &d, true, ask, err);
}

static q_rc rows_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    q_result_set s;
    q_row_cursor at = { 0 };
    yajl_val columns, row, last = NULL;
    uint32_t n = 0;
    bool ok = true;
    q_rc rc = q_op_results(reply, &s, err);
    (void)ask;
    if (rc != Q_OK)
        return rc;
    q_buf_clear(&op->out);
    if (!op->lines)
        q_buf_add_cstr(&op->out, "{\"rows\":[");
    for (; ok && n < op->row_limit && (row = q_result_next_row(&s, 1, &at, &columns)); n++) {
        if (n && !op->lines)
            q_buf_add_byte(&op->out, ',');
        ok = q_result_write_row(columns, row, -1, &op->out);
        if (op->lines)
            q_buf_add_byte(&op->out, '\n');
        int id = q_result_column(columns, "id");
        last = id >= 0 ? YAJL_GET_ARRAY(row)->values[id] : NULL;
    }
    bool more = ok && last && n == op->row_limit && q_result_next_row(&s, 1, &at, &columns);
    if (!op->lines || more)
        q_buf_add_cstr(&op->out, op->lines ? "{\"next\":" : "],\"next\":");
    if (more) {
        q_buf_add_byte(&op->out, '"');
        q_op_cursor_write(last, &op->out);
        q_buf_add_byte(&op->out, '"');
    } else if (!op->lines) {
        q_buf_add_cstr(&op->out, "null");
    }
    if (!op->lines || more)
        q_buf_add_cstr(&op->out, op->lines ? "}\n" : "}");
    q_result_free(&s);
    q_op_json(op, 200, out);
    if (op->lines)
        out->type = Q_TYPE_NDJSON;
    return ok || op->out.failed ? Q_OK : q_err_set(err, Q_E_INTERNAL, "The coordinator's answer can't be read.");
}

/* ---- POST …/rows ---- */

/* One object of a line each; an array. The caller frees it. */
static q_rc read_lines(const q_gate_op *op, json_t **out, q_err *err)
{
    q_slice rest = op->request->body;
    *out = json_array();
    for (int line = 1; rest.len; line++) {
        const char *nl = memchr(rest.ptr, '\n', rest.len);
        q_slice text = { rest.ptr, nl ? (size_t)(nl - rest.ptr) : rest.len };
        rest = nl ? (q_slice){ nl + 1, rest.len - text.len - 1 } : Q_SLICE_NONE;
        if (text.len == 0 || q_slice_eq(text, Q_SLICE_LIT("\r")))
            continue;
        json_error_t e;
        json_t *row = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &e);
        if (!row)
            return q_err_set(err, Q_E_REQUEST_MALFORMED, "Line %d isn't a JSON object: %s (column %d).", line, e.text, e.column);
        if (!json_is_object(row) || json_array_append_new(*out, row) != 0) {
            if (!json_is_object(row))
                json_decref(row);
            return q_err_set(err, Q_E_REQUEST_MALFORMED, "Line %d isn't a JSON object.", line);
        }
    }
    return Q_OK;
}

static q_rc read_rows(const q_gate_op *op, json_t **out, q_err *err)
{
    if (q_http_type_is(op->request->content_type, Q_TYPE_NDJSON))
        return read_lines(op, out, err);
    q_rc rc = q_op_body(op, true, out, err);
    if (rc != Q_OK || json_is_array(*out))
        return rc;
    json_t *list = json_array();
    if (json_array_append_new(list, *out) != 0)
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    *out = list;
    return rc;
}

q_rc q_op_row_object(q_message_draft *d, const json_t *row, q_gate_op *path_id, q_err *err)
{
    const char *key, *sep = "";
    json_t *value;
    q_rc rc = Q_OK;
    if (!json_is_object(row))
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "A row is a JSON object.");
    q_draft_text(d, "{");
    if (path_id) {
        q_draft_text(d, "id: ");
        q_op_id_add(path_id, d);
        sep = ", ";
    }
    json_object_foreach((json_t *)(uintptr_t)row, key, value) {
        if (path_id && !strcmp(key, "id"))
            continue;
        q_draft_text(d, sep);
        sep = ", ";
        rc = q_op_attribute(d, q_slice_cstr(key), false, err);
        if (rc != Q_OK)
            return rc;
        q_draft_text(d, ": ");
        q_draft_json(d, value);
    }
    q_draft_text(d, "}");
    return rc;
}

/* Of a single row: where it can be found. */
static q_rc remember_id(q_gate_op *op, const json_t *rows, q_err *err)
{
    const json_t *id = json_array_size(rows) == 1 ? json_object_get(json_array_get(rows, 0), "id") : NULL;
    if (json_is_string(id))
        op->match.id = q_arena_copy(op->arena, q_slice_of(json_string_value(id), json_string_length(id)));
    else if (json_is_integer(id))
        op->match.id = q_arena_printf(op->arena, "%lld", (long long)json_integer_value(id));
    else
        return Q_OK;
    return op->match.id.ptr ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
}

static q_rc insert_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    json_t *rows = NULL, *row;
    size_t i;
    q_message_draft d;
    q_draft_init(&d);
    q_rc rc = read_rows(op, &rows, err);
    if (rc == Q_OK && json_array_size(rows) == 0)
        rc = q_err_set(err, Q_E_REQUEST_MALFORMED, "There is no row in the body.");
    if (rc == Q_OK)
        rc = remember_id(op, rows, err);
    q_draft_text(&d, "INSERT INTO ");
    q_draft_name(&d, op->match.record);
    for (i = 0; rc == Q_OK && i < json_array_size(rows); i++) {
        row = json_array_get(rows, i);
        q_draft_text(&d, i ? ", " : " ");
        rc = q_op_row_object(&d, row, NULL, err);
    }
    q_draft_text(&d, ";");
    json_decref(rows);
    if (rc == Q_OK)
        return q_op_send(op, &d, false, ask, err);
    q_draft_free(&d);
    return rc;
}

static q_rc insert_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    (void)ask;
    (void)err;
    q_op_written(op, reply, 201, q_op_count(reply, 1), out);
    if (op->match.id.ptr)
        q_op_locate(op, reply, out);
    return Q_OK;
}

const q_gate_verbs q_gate_rows = { rows_ask, rows_answer, NULL };
const q_gate_verbs q_gate_rows_insert = { insert_ask, insert_answer, NULL };
