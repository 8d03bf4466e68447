/* answer.c - what is known, as JSON in the order of the document. */
#include "graphql/plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <yajl/yajl_gen.h>

enum { MAX_VALUE_DEPTH = 64 };

static void print(void *ctx, const char *bytes, size_t n) { q_buf_add(ctx, bytes, n); }

void q_gql_write_string(q_buf *out, q_slice s)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    if (g && yajl_gen_config(g, yajl_gen_print_callback, print, out))
        yajl_gen_string(g, (const unsigned char *)(s.ptr ? s.ptr : ""), s.len);
    else
        out->failed = true;
    if (g)
        yajl_gen_free(g);
}

static void write_key(q_buf *out, bool first, q_slice key)
{
    q_buf_printf(out, "%s\"%.*s\":", first ? "" : ",", Q_SLICE_FMT(key)); /* a name: nothing to escape */
}

/* As it was written: no digit more or less. */
static void write_value(yajl_val v, uint32_t depth, q_buf *out)
{
    if (depth > MAX_VALUE_DEPTH) {
        out->failed = true;
    } else if (YAJL_IS_STRING(v)) {
        q_gql_write_string(out, q_slice_cstr(YAJL_GET_STRING(v)));
    } else if (YAJL_IS_NUMBER(v)) {
        q_buf_add_cstr(out, YAJL_GET_NUMBER(v));
    } else if (YAJL_IS_TRUE(v) || YAJL_IS_FALSE(v)) {
        q_buf_add_cstr(out, YAJL_IS_TRUE(v) ? "true" : "false");
    } else if (YAJL_IS_ARRAY(v)) {
        q_buf_add_byte(out, '[');
        for (size_t i = 0; i < YAJL_GET_ARRAY(v)->len; i++) {
            if (i)
                q_buf_add_byte(out, ',');
            write_value(YAJL_GET_ARRAY(v)->values[i], depth + 1, out);
        }
        q_buf_add_byte(out, ']');
    } else if (YAJL_IS_OBJECT(v)) {
        q_buf_add_byte(out, '{');
        for (size_t i = 0; i < YAJL_GET_OBJECT(v)->len; i++) {
            if (i)
                q_buf_add_byte(out, ',');
            q_gql_write_string(out, q_slice_cstr(YAJL_GET_OBJECT(v)->keys[i]));
            q_buf_add_byte(out, ':');
            write_value(YAJL_GET_OBJECT(v)->values[i], depth + 1, out);
        }
        q_buf_add_byte(out, '}');
    } else {
        q_buf_add_cstr(out, "null");
    }
}

static void write_id(yajl_val v, q_buf *out)
{
    if (YAJL_IS_NUMBER(v))
        q_buf_printf(out, "\"%s\"", YAJL_GET_NUMBER(v));
    else
        write_value(v, 0, out);
}

/* a.b[0].c; NULL: there is nothing. */
static yajl_val part_of(yajl_val v, const char *path)
{
    while (v && path && *path) {
        bool index = *path == '[';
        const char *from = path + (index || *path == '.');
        size_t n = strcspn(from, index ? "]" : ".[");
        yajl_val found = NULL;
        if (index && YAJL_IS_ARRAY(v)) {
            char *end;
            unsigned long i = strtoul(from, &end, 10);
            if (end == from + n && n && i < YAJL_GET_ARRAY(v)->len)
                found = YAJL_GET_ARRAY(v)->values[i];
        } else if (!index && YAJL_IS_OBJECT(v)) {
            for (size_t i = 0; i < YAJL_GET_OBJECT(v)->len; i++)
                if (q_slice_eq(q_slice_cstr(YAJL_GET_OBJECT(v)->keys[i]), (q_slice){ from, n }))
                    found = YAJL_GET_OBJECT(v)->values[i];
        }
        v = found;
        path = from + n + (index && from[n] == ']');
    }
    return v;
}

static void write_object(q_gql_request *r, const q_gql_node *n, yajl_val row, q_buf *out);

/* The record of this id, if it is there. */
static bool write_related(q_gql_request *r, const q_gql_node *n, yajl_val id, const char *before, q_buf *out)
{
    q_slice text = q_gql_id_text(id);
    const q_gql_slot *slot = text.ptr && n->index.slots ? q_gql_ids_find(&n->index, text) : NULL;
    if (!slot || !slot->used)
        return false;
    q_buf_add_cstr(out, before);
    write_object(r, n, n->rows[slot->row], out);
    return true;
}

static void write_many(q_gql_request *r, const q_gql_node *n, yajl_val ids, q_buf *out)
{
    const char *before = "";
    q_buf_add_byte(out, '[');
    for (size_t i = 0; YAJL_IS_ARRAY(ids) && i < YAJL_GET_ARRAY(ids)->len; i++)
        if (write_related(r, n, YAJL_GET_ARRAY(ids)->values[i], before, out))
            before = ",";
    q_buf_add_byte(out, ']');
}

static void write_ids(yajl_val v, q_buf *out)
{
    if (!YAJL_IS_ARRAY(v)) {
        write_id(v, out);
        return;
    }
    q_buf_add_byte(out, '[');
    for (size_t i = 0; i < YAJL_GET_ARRAY(v)->len; i++) {
        if (i)
            q_buf_add_byte(out, ',');
        write_id(YAJL_GET_ARRAY(v)->values[i], out);
    }
    q_buf_add_byte(out, ']');
}

static void write_written(const q_gql_request *r, const q_gql_node *of, const q_gql_node *n, q_buf *out)
{
    if (q_slice_eq(n->field->name, Q_SLICE_LIT("count")))
        q_buf_printf(out, "%" PRId64, of->count);
    else if (q_slice_eq(n->field->name, Q_SLICE_LIT("seq")))
        q_buf_printf(out, "%" PRIu64, r->seq);
    else
        q_gql_write_string(out, q_slice_cstr(r->txid));
}

/* A field of an object; `row` holds its owner's columns. */
static void write_field(q_gql_request *r, const q_gql_node *of, const q_gql_node *n, yajl_val row, q_buf *out)
{
    yajl_val v = n->owner && row ? YAJL_GET_ARRAY(row)->values[n->column] : NULL;
    switch (n->field->role) {
    case Q_GQL_R_TYPENAME:
        q_gql_write_string(out, of->type->name);
        break;
    case Q_GQL_R_ONE:
        if (!write_related(r, n, v, "", out))
            q_buf_add_cstr(out, "null");
        break;
    case Q_GQL_R_MANY:
        write_many(r, n, v, out);
        break;
    case Q_GQL_R_IDS:
        write_ids(v, out);
        break;
    case Q_GQL_R_DOCUMENT:
        write_value(part_of(v, json_string_value(json_object_get(n->args, "path"))), 0, out);
        break;
    case Q_GQL_R_WRITTEN:
        write_written(r, of, n, out);
        break;
    case Q_GQL_R_ATTR:
        if (q_slice_eq(n->field->name, Q_SLICE_LIT("id")))
            write_id(v, out);
        else
            write_value(v, 0, out);
        break;
    default:
        if (n->type)
            write_object(r, n, row, out); /* a group of an aggregate */
        else if (n->field->attr && q_slice_eq(n->field->attr->name, Q_SLICE_LIT("id")))
            write_id(v, out);
        else
            write_value(v, 0, out);
    }
}

static void write_object(q_gql_request *r, const q_gql_node *n, yajl_val row, q_buf *out)
{
    q_buf_add_byte(out, '{');
    for (const q_gql_node *f = n->first; f; f = f->next) {
        write_key(out, f == n->first, f->key);
        write_field(r, n, f, row, out);
    }
    q_buf_add_byte(out, '}');
}

static void write_root(q_gql_request *r, const q_gql_node *n, q_buf *out)
{
    switch (n->field->role) {
    case Q_GQL_R_TYPENAME:
        q_gql_write_string(out, r->root->type->name);
        break;
    case Q_GQL_R_SCHEMA:
    case Q_GQL_R_TYPE:
        q_gql_write_meta(r, n, out);
        break;
    case Q_GQL_R_RECORDS:
        q_buf_add_byte(out, '[');
        for (uint32_t i = 0; i < r->schema->count; i++) {
            q_buf_add_cstr(out, i ? "," : "");
            q_gql_write_string(out, r->schema->records[i].name);
        }
        q_buf_add_byte(out, ']');
        break;
    case Q_GQL_R_LIST:
    case Q_GQL_R_AGGREGATE:
        q_buf_add_byte(out, '[');
        for (uint32_t i = 0; i < n->row_count; i++) {
            q_buf_add_cstr(out, i ? "," : "");
            write_object(r, n, n->rows[i], out);
        }
        q_buf_add_byte(out, ']');
        break;
    case Q_GQL_R_BY_ID:
        if (n->row_count)
            write_object(r, n, n->rows[0], out);
        else
            q_buf_add_cstr(out, "null");
        break;
    default:
        write_object(r, n, NULL, out);
    }
}

void q_gql_answer(q_gql_request *r, q_buf *out)
{
    q_buf_add_cstr(out, "{\"data\":{");
    for (const q_gql_node *n = r->root->first; n; n = n->next) {
        write_key(out, n == r->root->first, n->key);
        write_root(r, n, out);
    }
    q_buf_add_cstr(out, "}}");
}

void q_gql_errors(const q_gql_request *r, const q_err *err, bool ran, q_buf *out)
{
    const q_gql_node *n = r && ran && err->statement ? r->asked : NULL;
    for (uint32_t i = 1; n && i < err->statement; i++)
        n = n->same_level;
    q_gql_pos at = n ? n->chosen->selection->pos : (q_gql_pos){ err->line, err->column };
    q_buf_add_cstr(out, "{\"errors\":[{\"message\":");
    q_gql_write_string(out, q_slice_cstr(err->message));
    if (at.line && (n || !err->statement))
        q_buf_printf(out, ",\"locations\":[{\"line\":%u,\"column\":%u}]", at.line, at.column);
    if (n) {
        q_buf_add_cstr(out, ",\"path\":[");
        q_gql_write_string(out, n->key);
        q_buf_add_byte(out, ']');
    }
    q_buf_printf(out, ",\"extensions\":{\"code\":\"%s\",\"retryable\":%s", q_code_name(err->code), q_code_retryable(err->code) ? "true" : "false");
    if (err->hint[0]) {
        q_buf_add_cstr(out, ",\"hint\":");
        q_gql_write_string(out, q_slice_cstr(err->hint));
    }
    q_buf_printf(out, "}}]%s}", ran ? ",\"data\":null" : "");
}
