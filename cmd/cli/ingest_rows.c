#include "cmd/cli/ingest_rows.h"

#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>

struct q_row_reader {
    FILE *f;
    q_rows_kind kind;
    uint64_t line, bytes;    /* line: the next one to be read */
    q_buf text;              /* the row */
    json_t *names;           /* CSV: the header, array of strings */
};

q_row_reader *q_rows_open(FILE *f, q_rows_kind kind)
{
    q_row_reader *r = calloc(1, sizeof *r);
    if (r)
        *r = (q_row_reader){ .f = f, .kind = kind, .line = 1, .text = Q_BUF_INIT(Q_ROW_MAX_BYTES) };
    return r;
}

void q_rows_close(q_row_reader *r)
{
    if (!r)
        return;
    q_buf_free(&r->text);
    json_decref(r->names);
    free(r);
}

uint64_t q_rows_bytes(const q_row_reader *r) { return r->bytes; }

static int take(q_row_reader *r)
{
    int c = getc_unlocked(r->f);
    if (c != EOF)
        r->bytes++;
    if (c == '\n')
        r->line++;
    return c;
}

/* One line, or, in CSV, as many as the quotes hold together. Q_END: nothing more. Past the maximum the rest is read and dropped. */
static q_rc take_record(q_row_reader *r, q_err *err)
{
    bool quoted = false, any = false;
    int c;
    q_buf_clear(&r->text);
    while ((c = take(r)) != EOF) {
        any = true;
        if (c == '"' && r->kind == Q_ROWS_CSV)
            quoted = !quoted;
        if (c == '\n' && !quoted)
            break;
        q_buf_add_byte(&r->text, (uint8_t)c);
    }
    if (ferror(r->f)) {
        q_err_set(err, Q_E_INTERNAL, "the input can't be read: %s", strerror(errno));
        return Q_FATAL;
    }
    if (!any)
        return Q_END;
    if (r->text.failed)
        return q_err_set(err, Q_E_REQUEST_TOO_LARGE, "the row has more than %d KiB", Q_ROW_MAX_BYTES >> 10);
    if (quoted)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "a quoted field has no end");
    while (r->text.len && r->text.ptr[r->text.len - 1] == '\r')
        r->text.len--;
    return Q_OK;
}

static bool is_blank(q_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != ' ' && s.ptr[i] != '\t')
            return false;
    return true;
}

static q_slice without_mark(q_slice s) /* a byte order mark at the beginning of a file */
{
    return s.len >= 3 && memcmp(s.ptr, "\xEF\xBB\xBF", 3) == 0 ? q_slice_of(s.ptr + 3, s.len - 3) : s;
}

/* ---- JSON lines ---- */

static q_rc json_row(q_slice text, json_t **row, q_err *err)
{
    json_error_t e;
    *row = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &e);
    if (!*row)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "not JSON: %s (column %d)", e.text, e.column);
    if (json_is_object(*row) && json_object_size(*row) > 0)
        return Q_OK;
    json_decref(*row);
    *row = NULL;
    return q_err_set(err, Q_E_REQUEST_MALFORMED, "a row is a JSON object with at least one attribute");
}

/* ---- CSV: RFC 4180 ---- */

/* Takes one field off `text`. NULL with err: it isn't CSV or not UTF-8. */
static json_t *csv_field(q_slice *text, q_err *err)
{
    q_buf field = Q_BUF_INIT(Q_ROW_MAX_BYTES);
    size_t i = 0;
    bool quoted = text->len && text->ptr[0] == '"';
    if (quoted) {
        for (i = 1; i < text->len; i++) {
            if (text->ptr[i] == '"') {
                if (i + 1 == text->len || text->ptr[i + 1] != '"')
                    break;
                i++;
            }
            q_buf_add_byte(&field, (uint8_t)text->ptr[i]);
        }
        i++; /* the quote at its end */
    } else {
        while (i < text->len && text->ptr[i] != ',')
            i++;
        q_buf_add(&field, text->ptr, i);
    }
    json_t *value = NULL;
    if (i < text->len && text->ptr[i] != ',')
        q_err_set(err, Q_E_REQUEST_MALFORMED, "a quoted field ends at its quote; a quote in it is doubled");
    else if (!(value = json_stringn(field.ptr ? field.ptr : "", field.len)))
        q_err_set(err, Q_E_REQUEST_MALFORMED, "a field is not UTF-8");
    q_buf_free(&field);
    bool more = i < text->len;
    *text = more ? q_slice_of(text->ptr + i + 1, text->len - i - 1) : Q_SLICE_NONE;
    return value;
}

static q_rc csv_fields(q_slice text, json_t **fields, q_err *err)
{
    bool more = true;
    *fields = json_array();
    while (more) {
        json_t *value = NULL;
        if (json_array_size(*fields) == Q_ROW_MAX_FIELDS)
            q_err_set(err, Q_E_REQUEST_MALFORMED, "a row has more than %d fields", Q_ROW_MAX_FIELDS);
        else
            value = csv_field(&text, err);
        if (!value) {
            json_decref(*fields);
            return Q_FAIL;
        }
        json_array_append_new(*fields, value);
        more = text.ptr != NULL; /* an empty last field still points somewhere */
    }
    return Q_OK;
}

static q_rc csv_row(const q_row_reader *r, q_slice text, json_t **row, q_err *err)
{
    json_t *fields, *value;
    size_t i;
    q_rc rc = csv_fields(text, &fields, err);
    if (rc != Q_OK)
        return rc;
    if (json_array_size(fields) != json_array_size(r->names)) {
        q_err_set(err, Q_E_REQUEST_MALFORMED, "the row has %zu fields, the first line names %zu", json_array_size(fields),
                  json_array_size(r->names));
        json_decref(fields);
        return Q_FAIL;
    }
    *row = json_object();
    json_array_foreach(fields, i, value) {
        if (json_string_length(value) > 0) /* an empty field is no value */
            json_object_set(*row, json_string_value(json_array_get(r->names, i)), value);
    }
    json_decref(fields);
    return Q_OK;
}

static q_rc csv_header(q_row_reader *r, q_err *err)
{
    size_t i;
    json_t *name, *seen = json_object();
    q_rc rc = take_record(r, err);
    if (rc == Q_OK)
        rc = csv_fields(without_mark(q_buf_slice(&r->text)), &r->names, err);
    if (rc == Q_OK)
        json_array_foreach(r->names, i, name) {
            if (json_object_get(seen, json_string_value(name)))
                rc = q_err_set(err, Q_E_REQUEST_MALFORMED, "the first line names %s twice", json_string_value(name));
            json_object_set_new(seen, json_string_value(name), json_true());
        }
    json_decref(seen);
    return rc == Q_FAIL ? Q_FATAL : rc;
}

q_rc q_rows_next(q_row_reader *r, json_t **row, uint64_t *line, q_err *err)
{
    *line = r->line;
    if (r->kind == Q_ROWS_CSV && !r->names) {
        q_rc rc = csv_header(r, err);
        if (rc != Q_OK)
            return rc;
    }
    for (;;) {
        *line = r->line;
        q_rc rc = take_record(r, err);
        if (rc != Q_OK)
            return rc;
        q_slice text = *line == 1 ? without_mark(q_buf_slice(&r->text)) : q_buf_slice(&r->text);
        if (!is_blank(text))
            return r->kind == Q_ROWS_CSV ? csv_row(r, text, row, err) : json_row(text, row, err);
    }
}
