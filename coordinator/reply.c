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

/* ---- the frame: constant JSON with values between; every text that isn't plain goes through yajl, which escapes it ---- */

#define LITERAL(out, s) q_buf_add((out), (s), sizeof(s) - 1)

/* Needs no escape: what ids and names nearly always are. */
static bool plain(q_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == '"' || s.ptr[i] == '\\')
            return false;
    return true;
}

static void text(q_replies *r, q_slice s)
{
    if (!plain(s)) {
        yajl_gen_reset(r->gen, NULL);
        yajl_gen_string(r->gen, (const unsigned char *)s.ptr, s.len);
        return;
    }
    char *p = q_buf_reserve(r->out, s.len + 2);
    if (!p)
        return;
    p[0] = '"';
    if (s.len)
        memcpy(p + 1, s.ptr, s.len);
    p[s.len + 1] = '"';
    r->out->len += s.len + 2;
}

size_t q_reply_digits(uint64_t n, char out[24])
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

static void number(q_buf *out, uint64_t n)
{
    char digits[24];
    q_buf_add(out, digits, q_reply_digits(n, digits));
}

/* Milliseconds with three places: "0.02" is written 0.020. */
static void milliseconds(q_buf *out, int64_t ns)
{
    char digits[28];
    uint64_t us = ns <= 0 ? 0 : ((uint64_t)ns + 500) / 1000;
    size_t len = q_reply_digits(us / 1000, digits);
    digits[len++] = '.';
    digits[len++] = (char)('0' + us / 100 % 10);
    digits[len++] = (char)('0' + us / 10 % 10);
    digits[len++] = (char)('0' + us % 10);
    q_buf_add(out, digits, len);
}

static void write_error(q_replies *r, const q_err *e)
{
    q_buf *out = r->out;
    LITERAL(out, ",\"error\":{\"code\":\"");
    q_buf_add_cstr(out, q_code_name(e->code));
    LITERAL(out, "\",\"message\":");
    text(r, q_slice_cstr(e->message[0] ? e->message : q_code_text(e->code)));
    if (e->hint[0]) {
        LITERAL(out, ",\"hint\":");
        text(r, q_slice_cstr(e->hint));
    }
    q_buf_add_cstr(out, q_code_retryable(e->code) ? ",\"retryable\":true" : ",\"retryable\":false");
    if (e->statement) {
        LITERAL(out, ",\"statement\":");
        number(out, e->statement);
    }
    if (e->line) {
        LITERAL(out, ",\"line\":");
        number(out, e->line);
        LITERAL(out, ",\"column\":");
        number(out, e->column);
    }
    LITERAL(out, "}");
}

static void write_timings(q_buf *out, const q_timings *t)
{
    LITERAL(out, ",\"timings_ms\":{\"parse\":");
    milliseconds(out, t->parse_ns);
    LITERAL(out, ",\"lock\":");
    milliseconds(out, t->lock_ns);
    LITERAL(out, ",\"read\":");
    milliseconds(out, t->read_ns);
    LITERAL(out, ",\"prepare\":");
    milliseconds(out, t->prepare_ns);
    LITERAL(out, ",\"persist\":");
    milliseconds(out, t->persist_ns);
    LITERAL(out, ",\"total\":");
    milliseconds(out, t->total_ns);
    LITERAL(out, "}");
}

static void write_json(q_replies *r, const q_reply *a)
{
    q_buf *out = r->out;
    LITERAL(out, "{\"request_id\":");
    text(r, a->request_id);
    LITERAL(out, ",\"txid\":");
    if (a->txid.len)
        text(r, a->txid);
    else
        LITERAL(out, "null");
    LITERAL(out, ",\"bucket\":");
    text(r, a->bucket);
    LITERAL(out, ",\"seq\":");
    if (a->seq)
        number(out, a->seq);
    else
        LITERAL(out, "null");
    if (!a->more) {
        LITERAL(out, ",\"status\":\"");
        q_buf_add_cstr(out, a->status);
        LITERAL(out, "\"");
    }
    if (a->part) {
        LITERAL(out, ",\"part\":");
        number(out, a->part);
        if (!a->more)
            LITERAL(out, ",\"last\":true");
    }
    LITERAL(out, ",\"results\":[");
    for (uint32_t i = 0; i < a->result_count; i++) {
        if (i)
            LITERAL(out, ",");
        q_buf_add_slice(out, a->results[i]);
    }
    LITERAL(out, "]");
    if (a->error)
        write_error(r, a->error);
    if (!a->more)
        write_timings(out, &a->timings);
    LITERAL(out, "}");
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
    write_json(r, reply);
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
    text(r, s);
}
