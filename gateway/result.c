#include "gateway/result.h"

#include <stdio.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>

/* ---- the head: a stream that is left as soon as all is known ---- */

typedef enum head_key {
    K_NONE = 0, K_STATUS, K_TXID, K_SEQ, K_PART, K_LAST, K_RESULTS, K_ERROR, K_CODE, K_MESSAGE, K_HINT, K_STATEMENT, K_LINE, K_COLUMN
} head_key;

typedef struct head_reader {
    q_result_head *out;
    int depth;
    bool in_error, enough;
    head_key key;
} head_reader;

static int deeper(head_reader *r)
{
    r->in_error = r->depth == 1 && r->key == K_ERROR;
    r->key = K_NONE;
    return ++r->depth <= Q_RESULT_MAX_DEPTH;
}

static int on_open(void *ctx) { return deeper(ctx); }

static int on_close(void *ctx)
{
    head_reader *r = ctx;
    r->depth--;
    r->key = K_NONE;
    if (r->depth == 1)
        r->in_error = false;
    return 1;
}

static int on_key(void *ctx, const unsigned char *name, size_t len)
{
    static const struct { const char *name; head_key key; bool of_error; } keys[] = {
        { "status", K_STATUS, false }, { "txid", K_TXID, false }, { "seq", K_SEQ, false }, { "part", K_PART, false }, { "last", K_LAST, false },
        { "results", K_RESULTS, false }, { "error", K_ERROR, false }, { "code", K_CODE, true }, { "message", K_MESSAGE, true },
        { "hint", K_HINT, true }, { "statement", K_STATEMENT, true }, { "line", K_LINE, true }, { "column", K_COLUMN, true },
    };
    head_reader *r = ctx;
    r->key = K_NONE;
    if (r->depth != (r->in_error ? 2 : 1))
        return 1;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i].of_error == r->in_error && q_slice_eq(q_slice_of(name, len), q_slice_cstr(keys[i].name)))
            r->key = keys[i].key;
    r->enough = r->key == K_RESULTS && (r->out->part || q_result_done(r->out));
    return !r->enough;
}

static int on_string(void *ctx, const unsigned char *text, size_t len)
{
    head_reader *r = ctx;
    q_result_head *h = r->out;
    int n = len < 4096 ? (int)len : 4096;
    const char *s = (const char *)text;
    switch (r->key) {
    case K_STATUS:
        snprintf(h->status, sizeof h->status, "%.*s", n, s);
        break;
    case K_TXID:
        snprintf(h->txid, sizeof h->txid, "%.*s", n, s);
        break;
    case K_CODE:
        h->error.code = q_code_from_name(q_slice_of(text, len));
        break;
    case K_MESSAGE:
        snprintf(h->error.message, sizeof h->error.message, "%.*s", n, s);
        break;
    case K_HINT:
        snprintf(h->error.hint, sizeof h->error.hint, "%.*s", n, s);
        break;
    default:
        break;
    }
    return 1;
}

static int on_integer(void *ctx, long long n)
{
    head_reader *r = ctx;
    q_result_head *h = r->out;
    uint32_t small = n > 0 && n < INT32_MAX ? (uint32_t)n : 0;
    switch (r->key) {
    case K_SEQ:
        h->seq = n > 0 ? (uint64_t)n : 0;
        break;
    case K_PART:
        h->part = small;
        break;
    case K_STATEMENT:
        h->error.statement = small;
        break;
    case K_LINE:
        h->error.line = small;
        break;
    case K_COLUMN:
        h->error.column = small;
        break;
    default:
        break;
    }
    return 1;
}

static int on_boolean(void *ctx, int value)
{
    head_reader *r = ctx;
    if (r->key == K_LAST)
        r->out->last = value != 0;
    return 1;
}

static int on_null(void *ctx)
{
    (void)ctx;
    return 1;
}

static int on_double(void *ctx, double value)
{
    (void)ctx;
    (void)value;
    return 1;
}

bool q_result_read_head(q_slice message, q_result_head *out)
{
    static const yajl_callbacks callbacks = { .yajl_null = on_null, .yajl_boolean = on_boolean, .yajl_integer = on_integer,
                                              .yajl_double = on_double, .yajl_string = on_string, .yajl_start_map = on_open,
                                              .yajl_map_key = on_key, .yajl_end_map = on_close, .yajl_start_array = on_open,
                                              .yajl_end_array = on_close };
    memset(out, 0, sizeof *out);
    head_reader r = { .out = out };
    yajl_handle y = message.len && message.ptr[0] == '{' ? yajl_alloc(&callbacks, NULL, &r) : NULL;
    if (!y)
        return false;
    yajl_status s = yajl_parse(y, (const unsigned char *)message.ptr, message.len);
    if (s == yajl_status_ok)
        s = yajl_complete_parse(y);
    yajl_free(y);
    bool whole = s == yajl_status_ok || (s == yajl_status_client_canceled && r.enough);
    out->last = out->last || !out->part;
    if (whole && out->status[0] && !q_result_done(out) && out->error.code == Q_E_NONE)
        out->error.code = Q_E_INTERNAL; /* a code that this version doesn't know: the message tells */
    return whole && (out->part || out->status[0]);
}

/* ---- trees ---- */

static const char *const P_RESULTS[] = { "results", NULL }, *const P_STATEMENT[] = { "statement", NULL }, *const P_ROWS[] = { "rows", NULL },
                  *const P_COLUMNS[] = { "columns", NULL }, *const P_COUNT[] = { "count", NULL }, *const P_NAME[] = { "name", NULL };

static yajl_val member(yajl_val v, const char *const *path, yajl_type type) { return v ? yajl_tree_get(v, (const char **)(uintptr_t)path, type) : NULL; }

bool q_result_parse(const q_slice *parts, uint32_t count, q_result_set *out)
{
    char ignored[8];
    *out = (q_result_set){ 0 };
    if (count > Q_RESULT_MAX_PARTS)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        yajl_val root = yajl_tree_parse(parts[i].ptr, ignored, sizeof ignored);
        if (!root)
            break;
        out->roots[out->count++] = root;
        if (!member(root, P_RESULTS, yajl_t_array)) {
            q_result_free(out);
            return false;
        }
    }
    bool all = out->count == count;
    if (!all)
        q_result_free(out);
    return all;
}

void q_result_free(q_result_set *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        yajl_tree_free(s->roots[i]);
    s->count = 0;
}

static yajl_val entries(const q_result_set *s, uint32_t part) { return member(s->roots[part], P_RESULTS, yajl_t_array); }

static int64_t statement_of(yajl_val entry)
{
    yajl_val n = member(entry, P_STATEMENT, yajl_t_number);
    return n && YAJL_IS_INTEGER(n) ? YAJL_GET_INTEGER(n) : 0;
}

yajl_val q_result_next_row(const q_result_set *s, int64_t statement, q_row_cursor *c, yajl_val *columns)
{
    for (; c->part < s->count; c->part++, c->entry = c->row = 0)
        for (yajl_val list = entries(s, c->part); c->entry < YAJL_GET_ARRAY(list)->len; c->entry++, c->row = 0) {
            yajl_val entry = YAJL_GET_ARRAY(list)->values[c->entry], rows = member(entry, P_ROWS, yajl_t_array);
            if (!rows || statement_of(entry) != statement || c->row >= YAJL_GET_ARRAY(rows)->len)
                continue;
            *columns = member(entry, P_COLUMNS, yajl_t_array);
            yajl_val row = YAJL_GET_ARRAY(rows)->values[c->row++];
            if (*columns && YAJL_IS_ARRAY(row) && YAJL_GET_ARRAY(row)->len == YAJL_GET_ARRAY(*columns)->len)
                return row;
        }
    return NULL;
}

int64_t q_result_count(const q_result_set *s, int64_t statement)
{
    for (uint32_t p = 0; p < s->count; p++) {
        yajl_val list = entries(s, p);
        for (size_t i = 0; i < YAJL_GET_ARRAY(list)->len; i++) {
            yajl_val entry = YAJL_GET_ARRAY(list)->values[i], n = member(entry, P_COUNT, yajl_t_number);
            if (statement_of(entry) == statement && n && YAJL_IS_INTEGER(n))
                return YAJL_GET_INTEGER(n);
        }
    }
    return -1;
}

static const char *column_name(yajl_val columns, size_t i)
{
    yajl_val name = member(YAJL_GET_ARRAY(columns)->values[i], P_NAME, yajl_t_string);
    return name ? YAJL_GET_STRING(name) : "";
}

int q_result_column(yajl_val columns, const char *name)
{
    for (size_t i = 0; columns && i < YAJL_GET_ARRAY(columns)->len; i++)
        if (!strcmp(column_name(columns, i), name))
            return (int)i;
    return -1;
}

/* ---- writing ---- */

static void print(void *ctx, const char *bytes, size_t n) { q_buf_add(ctx, bytes, n); }

void q_json_add_string(q_buf *out, q_slice s)
{
    bool plain = true;
    for (size_t i = 0; plain && i < s.len; i++)
        plain = (unsigned char)s.ptr[i] >= 0x20 && s.ptr[i] != '"' && s.ptr[i] != '\\';
    if (plain) { /* what nearly all are */
        q_buf_add_byte(out, '"');
        q_buf_add_slice(out, s);
        q_buf_add_byte(out, '"');
        return;
    }
    yajl_gen g = yajl_gen_alloc(NULL);
    if (g && yajl_gen_config(g, yajl_gen_print_callback, print, out))
        yajl_gen_string(g, (const unsigned char *)s.ptr, s.len);
    else
        out->failed = true;
    if (g)
        yajl_gen_free(g);
}

static bool write_value(yajl_val v, int depth, q_buf *out)
{
    if (depth > Q_RESULT_MAX_DEPTH)
        return false;
    switch (v->type) {
    case yajl_t_string:
        q_json_add_string(out, q_slice_cstr(v->u.string));
        return true;
    case yajl_t_number:
        q_buf_add_cstr(out, v->u.number.r);
        return true;
    case yajl_t_true:
        q_buf_add_cstr(out, "true");
        return true;
    case yajl_t_false:
        q_buf_add_cstr(out, "false");
        return true;
    case yajl_t_array:
        q_buf_add_byte(out, '[');
        for (size_t i = 0; i < v->u.array.len; i++) {
            if (i)
                q_buf_add_byte(out, ',');
            if (!write_value(v->u.array.values[i], depth + 1, out))
                return false;
        }
        q_buf_add_byte(out, ']');
        return true;
    case yajl_t_object:
        q_buf_add_byte(out, '{');
        for (size_t i = 0; i < v->u.object.len; i++) {
            if (i)
                q_buf_add_byte(out, ',');
            q_json_add_string(out, q_slice_cstr(v->u.object.keys[i]));
            q_buf_add_byte(out, ':');
            if (!write_value(v->u.object.values[i], depth + 1, out))
                return false;
        }
        q_buf_add_byte(out, '}');
        return true;
    default:
        q_buf_add_cstr(out, "null");
        return true;
    }
}

bool q_result_write(yajl_val v, q_buf *out) { return write_value(v, 0, out) && !out->failed; }

bool q_result_write_row(yajl_val columns, yajl_val row, int without, q_buf *out)
{
    const char *sep = "{";
    for (size_t i = 0; i < YAJL_GET_ARRAY(row)->len; i++) {
        if ((int)i == without)
            continue;
        q_buf_add_cstr(out, sep);
        q_json_add_string(out, q_slice_cstr(column_name(columns, i)));
        q_buf_add_byte(out, ':');
        if (!write_value(YAJL_GET_ARRAY(row)->values[i], 1, out))
            return false;
        sep = ",";
    }
    q_buf_add_cstr(out, *sep == '{' ? "{}" : "}");
    return !out->failed;
}

/* An object without some of its members. `first` is false when members stand before it already. */
static bool write_members(yajl_val o, const char *const *without, bool first, q_buf *out)
{
    for (size_t i = 0; i < o->u.object.len; i++) {
        const char *const *w = without;
        while (*w && strcmp(*w, o->u.object.keys[i]) != 0)
            w++;
        if (*w)
            continue;
        if (!first)
            q_buf_add_byte(out, ',');
        first = false;
        q_json_add_string(out, q_slice_cstr(o->u.object.keys[i]));
        q_buf_add_byte(out, ':');
        if (!write_value(o->u.object.values[i], 1, out))
            return false;
    }
    return true;
}

static const char *const NO_ROWS[] = { "rows", NULL };

/* A statement's entry, rows of further parts included: the entries of one statement follow each other. */
static bool merge_entry(const q_result_set *s, yajl_val entry, bool first, q_buf *out)
{
    int64_t statement = statement_of(entry);
    q_buf_add_cstr(out, first ? "{" : ",{");
    if (!write_members(entry, NO_ROWS, true, out))
        return false;
    if (member(entry, P_ROWS, yajl_t_array)) {
        q_row_cursor at = { 0 };
        yajl_val columns, row;
        q_buf_add_cstr(out, ",\"rows\":[");
        for (bool none = true; (row = q_result_next_row(s, statement, &at, &columns)); none = false) {
            if (!none)
                q_buf_add_byte(out, ',');
            if (!write_value(row, 2, out))
                return false;
        }
        q_buf_add_byte(out, ']');
    }
    q_buf_add_byte(out, '}');
    return true;
}

bool q_result_merge(const q_result_set *s, q_buf *out)
{
    static const char *const of_first[] = { "results", "part", "last", "status", "error", "timings_ms", NULL };
    static const char *const of_last[] = { "request_id", "txid", "bucket", "seq", "results", "part", "last", NULL };
    int64_t before = -1;
    bool first = true;
    if (!s->count)
        return false;
    q_buf_add_byte(out, '{');
    if (!write_members(s->roots[0], of_first, true, out))
        return false;
    q_buf_add_cstr(out, ",\"results\":[");
    for (uint32_t p = 0; p < s->count; p++)
        for (size_t i = 0; i < YAJL_GET_ARRAY(entries(s, p))->len; i++) {
            yajl_val entry = YAJL_GET_ARRAY(entries(s, p))->values[i];
            if (statement_of(entry) == before)
                continue;
            if (!merge_entry(s, entry, first, out))
                return false;
            first = false;
            before = statement_of(entry);
        }
    q_buf_add_byte(out, ']');
    bool ok = write_members(s->roots[s->count - 1], of_last, false, out);
    q_buf_add_byte(out, '}');
    return ok && !out->failed;
}

bool q_result_lines(const q_result_set *s, q_buf *out)
{
    static const char *const of_last[] = { "results", "part", "last", NULL };
    int64_t before = -1;
    for (uint32_t p = 0; p < s->count; p++)
        for (size_t i = 0; i < YAJL_GET_ARRAY(entries(s, p))->len; i++) {
            yajl_val entry = YAJL_GET_ARRAY(entries(s, p))->values[i], rows = member(entry, P_ROWS, yajl_t_array);
            if (statement_of(entry) != before) {
                q_buf_add_byte(out, '{');
                if (!write_members(entry, NO_ROWS, true, out))
                    return false;
                q_buf_add_cstr(out, "}\n");
            }
            before = statement_of(entry);
            for (size_t r = 0; rows && r < YAJL_GET_ARRAY(rows)->len; r++) {
                if (!write_value(YAJL_GET_ARRAY(rows)->values[r], 1, out))
                    return false;
                q_buf_add_byte(out, '\n');
            }
        }
    if (!s->count)
        return false;
    q_buf_add_byte(out, '{');
    bool ok = write_members(s->roots[s->count - 1], of_last, true, out);
    q_buf_add_cstr(out, "}\n");
    return ok && !out->failed;
}
