#include "coordinator/reply.h"

#include <stdlib.h>
#include <yajl/yajl_gen.h>

#include "coordinator/jsonpack.h"

struct q_replies {
    yajl_gen gen;
    q_buf *out;  /* of the answer being written */
    q_buf json;  /* before translation */
};

enum { MAX_JSON = 32 << 20 };

static void print(void *ctx, const char *bytes, size_t n)
{
    q_replies *r = ctx;
    q_buf_add(r->out, bytes, n);
}

q_replies *q_replies_new(void)
{
    q_replies *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->json = Q_BUF_INIT(MAX_JSON);
    r->gen = yajl_gen_alloc(NULL);
    if (!r->gen) {
        free(r);
        return NULL;
    }
    yajl_gen_config(r->gen, yajl_gen_print_callback, print, r);
    return r;
}

void q_replies_free(q_replies *r)
{
    if (!r)
        return;
    yajl_gen_free(r->gen);
    q_buf_free(&r->json);
    free(r);
}

static void key(yajl_gen g, const char *name, size_t len) { yajl_gen_string(g, (const unsigned char *)name, len); }
#define KEY(g, name) key((g), (name), sizeof(name) - 1)

static void text(yajl_gen g, q_slice s) { yajl_gen_string(g, (const unsigned char *)(s.ptr ? s.ptr : ""), s.len); }

/* snprintf is most of what a reply costs otherwise. Returns the length. */
static size_t decimal(uint64_t n, char out[24])
{
    char reversed[24];
    size_t len = 0;
    do
        reversed[len++] = (char)('0' + n % 10);
    while (n /= 10);
    for (size_t i = 0; i < len; i++)
        out[i] = reversed[len - 1 - i];
    return len;
}

static void number(yajl_gen g, uint64_t n)
{
    char digits[24];
    yajl_gen_number(g, digits, decimal(n, digits));
}

/* Milliseconds with three places: "0.02" is written 0.020. */
static void milliseconds(yajl_gen g, int64_t ns)
{
    char digits[28];
    uint64_t us = ns <= 0 ? 0 : ((uint64_t)ns + 500) / 1000;
    size_t len = decimal(us / 1000, digits);
    digits[len++] = '.';
    digits[len++] = (char)('0' + us / 100 % 10);
    digits[len++] = (char)('0' + us / 10 % 10);
    digits[len++] = (char)('0' + us % 10);
    yajl_gen_number(g, digits, len);
}

static void write_error(yajl_gen g, const q_err *e)
{
    yajl_gen_map_open(g);
    KEY(g, "code");
    text(g, q_slice_cstr(q_code_name(e->code)));
    KEY(g, "message");
    text(g, q_slice_cstr(e->message[0] ? e->message : q_code_text(e->code)));
    if (e->hint[0]) {
        KEY(g, "hint");
        text(g, q_slice_cstr(e->hint));
    }
    KEY(g, "retryable");
    yajl_gen_bool(g, q_code_retryable(e->code));
    if (e->statement) {
        KEY(g, "statement");
        number(g, e->statement);
    }
    if (e->line) {
        KEY(g, "line");
        number(g, e->line);
        KEY(g, "column");
        number(g, e->column);
    }
    yajl_gen_map_close(g);
}

static void write_json(yajl_gen g, const q_reply *a)
{
    yajl_gen_map_open(g);
    KEY(g, "request_id");
    text(g, a->request_id);
    KEY(g, "txid");
    a->txid.len ? text(g, a->txid) : (void)yajl_gen_null(g);
    KEY(g, "bucket");
    text(g, a->bucket);
    KEY(g, "seq");
    a->seq ? number(g, a->seq) : (void)yajl_gen_null(g);
    if (!a->more) {
        KEY(g, "status");
        text(g, q_slice_cstr(a->status));
    }
    if (a->part) {
        KEY(g, "part");
        number(g, a->part);
        if (!a->more) {
            KEY(g, "last");
            yajl_gen_bool(g, true);
        }
    }
    KEY(g, "results");
    yajl_gen_array_open(g);
    for (uint32_t i = 0; i < a->result_count; i++)
        yajl_gen_number(g, a->results[i].ptr, a->results[i].len); /* prints its bytes as they are */
    yajl_gen_array_close(g);
    if (a->error) {
        KEY(g, "error");
        write_error(g, a->error);
    }
    if (!a->more) {
        KEY(g, "timings_ms");
        yajl_gen_map_open(g);
        KEY(g, "parse");
        milliseconds(g, a->timings.parse_ns);
        KEY(g, "lock");
        milliseconds(g, a->timings.lock_ns);
        KEY(g, "read");
        milliseconds(g, a->timings.read_ns);
        KEY(g, "prepare");
        milliseconds(g, a->timings.prepare_ns);
        KEY(g, "persist");
        milliseconds(g, a->timings.persist_ns);
        KEY(g, "total");
        milliseconds(g, a->timings.total_ns);
        yajl_gen_map_close(g);
    }
    yajl_gen_map_close(g);
}

static bool translate(q_slice json, q_buf *out)
{
    json_error_t e;
    json_t *root = json_loadb(json.ptr, json.len, JSON_ALLOW_NUL, &e);
    bool ok = root && q_json_pack(root, out);
    json_decref(root);
    return ok;
}

bool q_reply_write(q_replies *r, const q_reply *reply, bool msgpack, q_buf *out)
{
    q_buf_clear(&r->json);
    r->out = msgpack ? &r->json : out;
    yajl_gen_reset(r->gen, NULL);
    write_json(r->gen, reply);
    if (r->out->failed)
        return false;
    bool ok = !msgpack || translate(q_buf_slice(&r->json), out);
    if (r->json.cap > 1 << 20)
        q_buf_free(&r->json);
    return ok && !out->failed;
}

void q_reply_text(q_replies *r, q_slice s, q_buf *out)
{
    r->out = out;
    yajl_gen_reset(r->gen, NULL);
    text(r->gen, s);
}
