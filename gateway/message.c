#include "gateway/message.h"

#include <yajl/yajl_gen.h>

static int print_json(const char *bytes, size_t n, void *ctx)
{
    q_buf_add(ctx, bytes, n);
    return ((q_buf *)ctx)->failed ? -1 : 0;
}

static void add_json(q_buf *out, const json_t *value)
{
    if (json_dump_callback(value, print_json, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        out->failed = true;
}

static void print_text(void *ctx, const char *bytes, size_t n) { q_buf_add(ctx, bytes, n); }

static void add_string(q_buf *out, q_slice s)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    if (!g || !yajl_gen_config(g, yajl_gen_print_callback, print_text, out) || !yajl_gen_config(g, yajl_gen_validate_utf8, 1) ||
        yajl_gen_string(g, (const unsigned char *)(s.ptr ? s.ptr : ""), s.len) != yajl_gen_status_ok)
        out->failed = true;
    if (g)
        yajl_gen_free(g);
}

void q_draft_init(q_message_draft *d)
{
    *d = (q_message_draft){ .query = Q_BUF_INIT(Q_MESSAGE_MAX_BYTES), .params = Q_BUF_INIT(Q_MESSAGE_MAX_BYTES) };
}

void q_draft_free(q_message_draft *d)
{
    q_buf_free(&d->query);
    q_buf_free(&d->params);
}

void q_draft_text(q_message_draft *d, const char *text) { q_buf_add_cstr(&d->query, text); }

void q_draft_name(q_message_draft *d, q_slice name)
{
    q_buf_add_byte(&d->query, '`');
    q_buf_add_slice(&d->query, name);
    q_buf_add_byte(&d->query, '`');
}

/* The parameter's name in both places; its value follows in `params`. */
static q_buf *next(q_message_draft *d)
{
    q_buf_printf(&d->query, "$p%u", d->count);
    q_buf_printf(&d->params, "%s\"p%u\":", d->count ? "," : "", d->count);
    d->count++;
    return &d->params;
}

void q_draft_json(q_message_draft *d, const json_t *value) { add_json(next(d), value); }
void q_draft_string(q_message_draft *d, q_slice value) { add_string(next(d), value); }
void q_draft_int(q_message_draft *d, int64_t value) { q_buf_printf(next(d), "%lld", (long long)value); }

static q_rc finish(q_buf *body, q_arena *arena, q_slice *out, q_err *err)
{
    q_rc rc = Q_OK;
    if (body->failed)
        rc = q_err_set(err, Q_E_REQUEST_TOO_LARGE, "The request is larger than %d bytes.", Q_MESSAGE_MAX_BYTES);
    else if (!(*out = q_arena_copy(arena, q_buf_slice(body))).ptr)
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    q_buf_free(body);
    return rc;
}

q_rc q_draft_finish(q_message_draft *d, q_arena *arena, q_slice *out, q_err *err)
{
    if (d->count > Q_MESSAGE_MAX_PARAMS)
        return q_err_set(err, Q_E_QQL_LIMIT, "The request has %u values; one may have %d.", d->count, Q_MESSAGE_MAX_PARAMS);
    q_buf body = Q_BUF_INIT((size_t)Q_MESSAGE_MAX_BYTES);
    q_buf_add_cstr(&body, "{\"query\":");
    add_string(&body, q_buf_slice(&d->query));
    q_buf_add_cstr(&body, ",\"params\":{");
    q_buf_add_slice(&body, q_buf_slice(&d->params));
    q_buf_add_cstr(&body, "}}");
    body.failed = body.failed || d->query.failed || d->params.failed;
    return finish(&body, arena, out, err);
}

q_rc q_message_of(q_arena *arena, q_slice query, const json_t *params, q_slice *out, q_err *err)
{
    q_buf body = Q_BUF_INIT((size_t)Q_MESSAGE_MAX_BYTES);
    q_buf_add_cstr(&body, "{\"query\":");
    add_string(&body, query);
    if (params) {
        q_buf_add_cstr(&body, ",\"params\":");
        add_json(&body, params);
    }
    q_buf_add_byte(&body, '}');
    return finish(&body, arena, out, err);
}
