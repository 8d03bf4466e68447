/* call.c - a request that has arrived: asked, answered. */
#include "cmd/gateway/call.h"

#include "gateway/openapi.h"
#include "gateway/problem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

enum { GZIP_FROM = 1400, GZIP_LEVEL = 4, MAX_PROBLEM = 16 << 10 };

static void drop_parts(q_call *c)
{
    for (uint32_t i = 0; i < c->part_count; i++)
        free(c->parts[i].bytes);
    c->part_count = 0;
}

void q_call_free(q_call *c)
{
    drop_parts(c);
    q_gate_free(c->op);
    q_buf_free(&c->body);
    q_buf_free(&c->packed);
    q_buf_free(&c->admin_reply.body);
    q_arena_free(c->arena);
    free(c);
}

/* ---- answers ---- */

/* The whole body at once, into c->packed. */
static bool gzip(q_call *c, q_slice body)
{
    z_stream z = { 0 };
    if (body.len > UINT32_MAX / 2 || deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    uLong bound = deflateBound(&z, (uLong)body.len);
    c->packed = Q_BUF_INIT((size_t)bound);
    char *to = q_buf_reserve(&c->packed, bound);
    bool ok = false;
    if (to) {
        z.next_in = (Bytef *)(uintptr_t)body.ptr;
        z.avail_in = (uInt)body.len;
        z.next_out = (Bytef *)to;
        z.avail_out = (uInt)bound;
        ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
        c->packed.len = z.total_out;
    }
    deflateEnd(&z);
    return ok;
}

static const char *header(const q_call *c, const char *name) { return MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, name); }

static void count(q_call *c)
{
    int hundreds = c->response.status / 100;
    size_t route = c->match.route < Q_RT_COUNT ? c->match.route : Q_RT_COUNT;
    if (hundreds >= 1 && hundreds <= 5)
        atomic_fetch_add_explicit(&c->server->answers[route][hundreds - 1], 1, memory_order_relaxed);
    q_histogram_add(&c->server->seconds[route], q_call_now_us() - c->start_us);
}

/* The body stays where it is until libmicrohttpd says that the request is over. */
enum MHD_Result q_call_send(q_call *c)
{
    q_http_response *r = &c->response;
    q_slice body = r->body;
    bool packed = body.len >= GZIP_FROM && q_http_accepts_coding(q_slice_cstr(header(c, MHD_HTTP_HEADER_ACCEPT_ENCODING)), "gzip") && gzip(c, body);
    if (packed)
        body = q_buf_slice(&c->packed);
    struct MHD_Response *m = MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)(body.ptr ? body.ptr : ""), MHD_RESPMEM_PERSISTENT);
    if (!m)
        return MHD_NO;
    if (r->type)
        MHD_add_response_header(m, MHD_HTTP_HEADER_CONTENT_TYPE, r->type);
    if (packed)
        MHD_add_response_header(m, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    if (r->body.len >= GZIP_FROM)
        MHD_add_response_header(m, MHD_HTTP_HEADER_VARY, "Accept-Encoding");
    if (r->etag.ptr)
        MHD_add_response_header(m, MHD_HTTP_HEADER_ETAG, r->etag.ptr);
    if (r->location.ptr)
        MHD_add_response_header(m, MHD_HTTP_HEADER_LOCATION, r->location.ptr);
    if (r->allow)
        MHD_add_response_header(m, MHD_HTTP_HEADER_ALLOW, r->allow);
    if (r->retry)
        MHD_add_response_header(m, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (r->challenge)
        MHD_add_response_header(m, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"quanta\"");
    MHD_add_response_header(m, "X-Content-Type-Options", "nosniff");
    if (atomic_load(&c->server->draining))
        MHD_add_response_header(m, MHD_HTTP_HEADER_CONNECTION, "close");
    c->state = Q_CALL_ANSWERED;
    enum MHD_Result result = MHD_queue_response(c->connection, (unsigned)r->status, m);
    MHD_destroy_response(m);
    count(c);
    return result;
}

static enum MHD_Result send_error(q_call *c, const q_err *err)
{
    q_buf text = Q_BUF_INIT((size_t)MAX_PROBLEM);
    q_problem(err, c->request_id, "", &text, &c->response);
    c->response.body = q_arena_copy(c->arena, c->response.body);
    q_buf_free(&text);
    if (err->code == Q_E_METHOD_NOT_ALLOWED && c->match.route < Q_RT_COUNT)
        c->response.allow = q_route_allow(c->match.route);
    return q_call_send(c);
}

enum MHD_Result q_call_problem(q_call *c, q_code code, const char *text)
{
    q_err err = Q_ERR_INIT;
    q_err_set(&err, code, "%s", text);
    return send_error(c, &err);
}

/* ---- asking ---- */

/* On another thread: takes what came and wakes the connection. */
static void arrived(void *ctx, q_rc rc, q_part *parts, uint32_t n, const q_err *err)
{
    q_call *c = ctx;
    c->rc = rc;
    c->error = *err;
    for (uint32_t i = 0; i < n; i++)
        c->parts[i] = parts[i];
    c->part_count = n;
    c->state = Q_CALL_ARRIVED;
    MHD_resume_connection(c->connection);
}

/* The client's key, with the step behind it from the second on; or one of our own. */
static q_slice request_id(q_call *c)
{
    q_slice key = c->request.idempotency_key;
    if (!key.len || c->ask.read_only)
        return q_arena_printf(c->arena, "http-%s-%" PRIx64, c->server->instance, atomic_fetch_add(&c->server->next_id, 1));
    return c->ask.step ? q_arena_printf(c->arena, "%.*s/%u", Q_SLICE_FMT(key), c->ask.step) : key;
}

static enum MHD_Result ask(q_call *c)
{
    q_err err = Q_ERR_INIT;
    drop_parts(c);
    c->request_id = request_id(c);
    if (!c->request_id.ptr)
        return q_call_problem(c, Q_E_LIMIT_MEMORY, "No memory for the request.");
    q_question q = { .bucket = c->ask.bucket, .body = c->ask.body, .request_id = c->request_id, .authorization = c->request.authorization,
                     .traceparent = c->request.traceparent, .json = c->ask.json, .read_only = c->ask.read_only, .timeout_ms = c->timeout_ms };
    c->state = Q_CALL_WAITING;
    MHD_suspend_connection(c->connection); /* before it is sent: the answer may be quick */
    q_rc rc = q_exchange_ask(c->server->exchange, &q, arrived, c, &err);
    if (rc != Q_OK) {
        q_err e = err;
        arrived(c, Q_FAIL, NULL, 0, &e);
    }
    return MHD_YES;
}

static enum MHD_Result next(q_call *c, q_gate_next what)
{
    if (what == Q_GATE_ASK)
        return ask(c);
    return q_call_send(c);
}

enum MHD_Result q_call_continue(q_call *c)
{
    q_slice parts[Q_EXCHANGE_MAX_PARTS];
    uint32_t n = c->part_count;
    if (c->admin) {
        c->response = (q_http_response){ .status = c->admin_reply.status, .type = c->admin_reply.type, .body = q_buf_slice(&c->admin_reply.body) };
        if (c->admin_reply.status == 404 && !c->admin_reply.body.len)
            return q_call_problem(c, Q_E_ROUTE_UNKNOWN, "There is nothing at this path.");
        return q_call_send(c);
    }
    if (c->rc == Q_RETRY) /* another one of the same question had the answer: it is there to be had again */
        return ask(c);
    if (c->rc != Q_OK) {
        q_gate_fail(c->op, c->request_id, &c->error, &c->response);
        return q_call_send(c);
    }
    for (uint32_t i = 0; i < n; i++)
        parts[i] = (q_slice){ c->parts[i].bytes, c->parts[i].len };
    return next(c, q_gate_reply(c->op, c->request_id, parts, n, &c->ask, &c->response));
}

/* ---- the request as data ---- */

static bool read_timeout(q_call *c)
{
    q_slice text = q_slice_cstr(header(c, "timeout-ms"));
    uint64_t ms = 0;
    c->timeout_ms = c->server->config.default_timeout_ms;
    if (!text.ptr)
        return true;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || i >= 9)
            return false;
        ms = ms * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    if (ms < 1)
        return false;
    c->timeout_ms = ms > c->server->config.max_timeout_ms ? c->server->config.max_timeout_ms : (uint32_t)ms;
    return true;
}

static void read_headers(q_call *c)
{
    q_http_request *r = &c->request;
    r->content_type = q_slice_cstr(header(c, MHD_HTTP_HEADER_CONTENT_TYPE));
    r->accept = q_slice_cstr(header(c, MHD_HTTP_HEADER_ACCEPT));
    r->authorization = q_slice_cstr(header(c, MHD_HTTP_HEADER_AUTHORIZATION));
    r->idempotency_key = q_slice_cstr(header(c, "Idempotency-Key"));
    r->if_match = q_slice_cstr(header(c, MHD_HTTP_HEADER_IF_MATCH));
    r->if_none_match = q_slice_cstr(header(c, MHD_HTTP_HEADER_IF_NONE_MATCH));
    r->traceparent = q_slice_cstr(header(c, "traceparent"));
    r->body = q_buf_slice(&c->body);
}

static enum MHD_Result ask_operators(q_call *c)
{
    q_server *s = c->server;
    c->admin = true;
    c->admin_reply = (q_admin_reply){ 404, "text/plain; charset=utf-8", Q_BUF_INIT((size_t)64 << 20) };
    c->state = Q_CALL_WAITING;
    MHD_suspend_connection(c->connection);
    pthread_mutex_lock(&s->lock);
    if (s->last)
        s->last->next = c;
    else
        s->first = c;
    s->last = c;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    return MHD_YES;
}

enum MHD_Result q_call_begin(q_call *c)
{
    q_err err = Q_ERR_INIT;
    q_server *s = c->server;
    bool operators = s->config.admin_paths && c->request.path.len >= 7 && !memcmp(c->request.path.ptr, "/admin/", 7);
    if (atomic_load(&s->draining))
        return q_call_problem(c, Q_E_SHUTTING_DOWN, "The gateway is stopping.");
    if (operators)
        return ask_operators(c);
    if (q_route_match(c->arena, c->request.method, c->request.path, &c->match, &err) != Q_OK)
        return send_error(c, &err);
    switch (c->match.route) {
    case Q_RT_HEALTH:
    case Q_RT_LIVEZ:
    case Q_RT_READYZ:
    case Q_RT_METRICS:
        return ask_operators(c);
    case Q_RT_OPENAPI:
        c->response = (q_http_response){ .status = 200, .type = Q_TYPE_JSON, .body = q_openapi() };
        return q_call_send(c);
    default:
        break;
    }
    read_headers(c);
    if (c->too_large)
        return q_call_problem(c, Q_E_REQUEST_TOO_LARGE, "The body is larger than the gateway takes.");
    if (!read_timeout(c))
        return q_call_problem(c, Q_E_REQUEST_MALFORMED, "timeout-ms is a whole number of milliseconds, at least 1.");
    c->op = q_gate_new(c->arena, &s->config.limits, s->hints, &c->request, &c->match);
    if (!c->op)
        return q_call_problem(c, Q_E_LIMIT_MEMORY, "No memory for the request.");
    return next(c, q_gate_start(c->op, &c->ask, &c->response));
}
