#include "cmd/host/operators.h"

#include <errno.h>
#include <stdlib.h>
#include <yajl/yajl_gen.h>

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

static const char *arg(const q_admin_request *r, const char *name)
{
    const char *v = r->query_value(r->handle, name);
    return v ? v : "";
}

/* {"error": "...", "hint": "..."} */
static void refuse(q_admin_reply *reply, int status, const char *message, const char *hint)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    const unsigned char *text;
    size_t len;
    reply->status = status;
    reply->type = "application/json";
    if (!g) {
        reply->body.failed = true;
        return;
    }
    yajl_gen_map_open(g);
    yajl_gen_string(g, (const unsigned char *)"error", 5);
    yajl_gen_string(g, (const unsigned char *)message, strlen(message));
    if (*hint) {
        yajl_gen_string(g, (const unsigned char *)"hint", 4);
        yajl_gen_string(g, (const unsigned char *)hint, strlen(hint));
    }
    yajl_gen_map_close(g);
    if (yajl_gen_get_buf(g, &text, &len) == yajl_gen_status_ok)
        q_buf_add(&reply->body, text, len);
    q_buf_add_byte(&reply->body, '\n');
    yajl_gen_free(g);
}

static bool number(const q_admin_request *r, q_admin_reply *reply, const char *name, uint64_t *out, bool *given)
{
    const char *text = arg(r, name);
    char *rest;
    *given = *text;
    errno = 0;
    *out = *text ? strtoull(text, &rest, 10) : 0;
    if (!*text || (*text >= '0' && *text <= '9' && !*rest && !errno && *out <= INT64_MAX))
        return true;
    refuse(reply, 400, "a number is expected", name);
    return false;
}

static bool engine_named(const char *name, q_engine_id *out)
{
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (is(name, q_engine_name(e))) {
            *out = e;
            return true;
        }
    return false;
}

/* ---- on the core's thread ---- */

typedef struct begin_ask { q_replay_spec spec; bool from_given; uint64_t id; q_rc rc; q_err err; } begin_ask;

static void ask_begin(void *ctx, q_core *core, int64_t mono_us)
{
    begin_ask *a = ctx;
    (void)mono_us;
    a->rc = q_core_replay_start(core, &a->spec, a->from_given, &a->id, &a->err);
}

static void ask_cancel(void *ctx, q_core *core, int64_t mono_us)
{
    (void)ctx;
    (void)mono_us;
    q_core_replay_cancel(core);
}

static void ask_replay_status(void *ctx, q_core *core, int64_t mono_us) { q_core_replay_status(core, mono_us, ctx); }

typedef struct txn_ask { q_slice txid, who, why; bool abandon; q_engine_id engine; q_buf *out; q_rc rc; q_err err; } txn_ask;

static void ask_show(void *ctx, q_core *core, int64_t mono_us)
{
    txn_ask *a = ctx;
    a->rc = q_core_show_txn(core, a->txid, mono_us, a->out, &a->err);
}

static void ask_resolve(void *ctx, q_core *core, int64_t mono_us)
{
    txn_ask *a = ctx;
    (void)mono_us;
    a->rc = q_core_resolve(core, a->txid, a->abandon, a->engine, a->who, a->why, q_now_us(), &a->err);
}

static bool stopping(q_admin_reply *reply)
{
    refuse(reply, 503, "the coordinator is stopping", "");
    return true;
}

/* ---- routes ---- */

static bool begin_replay(q_host *h, const q_admin_request *r, q_admin_reply *reply)
{
    begin_ask a = { .err = Q_ERR_INIT };
    uint64_t until;
    bool given;
    if (!engine_named(arg(r, "engine"), &a.spec.engine)) {
        refuse(reply, 400, "engine is postgres, mongo, neo4j or influx", "");
        return true;
    }
    a.spec.bucket = q_slice_cstr(arg(r, "bucket"));
    a.spec.record = q_slice_cstr(arg(r, "record"));
    if (!number(r, reply, "from", &a.spec.from, &a.from_given) || !number(r, reply, "to", &a.spec.to, &given) || !number(r, reply, "until_us", &until, &given))
        return true;
    a.spec.until_us = (int64_t)until;
    if (!q_host_ask(h, ask_begin, &a))
        return stopping(reply);
    if (a.rc != Q_OK) {
        refuse(reply, 409, a.err.message, a.err.hint);
        return true;
    }
    reply->status = 200;
    reply->type = "application/json";
    q_buf_printf(&reply->body, "{\"id\":%llu}\n", (unsigned long long)a.id);
    return true;
}

static bool show_txn(q_host *h, const q_admin_request *r, q_admin_reply *reply)
{
    txn_ask a = { .txid = q_slice_cstr(arg(r, "txid")), .out = &reply->body, .err = Q_ERR_INIT };
    if (!q_host_ask(h, ask_show, &a))
        return stopping(reply);
    reply->status = 200;
    reply->type = "application/json";
    if (a.rc != Q_OK)
        refuse(reply, 404, a.err.message, a.err.hint);
    return true;
}

static bool resolve_txn(q_host *h, const q_admin_request *r, q_admin_reply *reply)
{
    txn_ask a = { .txid = q_slice_cstr(arg(r, "txid")), .why = q_slice_cstr(arg(r, "why")), .err = Q_ERR_INIT };
    a.who = q_slice_cstr(r->header_value(r->handle, "quanta-operator"));
    a.abandon = engine_named(arg(r, "abandon"), &a.engine);
    if (a.abandon == is(arg(r, "commit"), "1") || a.why.len > 1000 || !q_utf8_valid(a.why)) {
        refuse(reply, 400, "either commit=1, or abandon and an engine's name; why is text of at most 1000 bytes", "");
        return true;
    }
    if (!q_host_ask(h, ask_resolve, &a))
        return stopping(reply);
    if (a.rc != Q_OK) {
        refuse(reply, 409, a.err.message, a.err.hint);
        return true;
    }
    reply->status = 200;
    reply->type = "application/json";
    q_buf_add_cstr(&reply->body, "{}\n");
    return true;
}

static bool may_change(const q_admin_request *r, q_admin_reply *reply)
{
    const char *who = r->header_value(r->handle, "quanta-operator");
    if (!r->loopback)
        refuse(reply, 403, "only from the coordinator's own machine", "");
    else if (!who || !*who || strlen(who) > 128 || !q_utf8_valid(q_slice_cstr(who)))
        refuse(reply, 403, "the header quanta-operator must say who asks (at most 128 bytes)", "");
    else
        return true;
    return false;
}

bool q_operators_answer(q_host *h, const q_admin_request *r, q_admin_reply *reply)
{
    bool post = is(r->method, "POST"), get = is(r->method, "GET");
    if (get && is(r->path, "/admin/replay")) {
        reply->status = 200;
        reply->type = "application/json";
        return q_host_ask(h, ask_replay_status, &reply->body) || stopping(reply);
    }
    if (get && is(r->path, "/admin/txn"))
        return show_txn(h, r, reply);
    if (!post || (!is(r->path, "/admin/replay") && !is(r->path, "/admin/replay/cancel") && !is(r->path, "/admin/txn/resolve")))
        return false;
    if (!may_change(r, reply))
        return true;
    if (is(r->path, "/admin/replay"))
        return begin_replay(h, r, reply);
    if (is(r->path, "/admin/txn/resolve"))
        return resolve_txn(h, r, reply);
    if (!q_host_ask(h, ask_cancel, NULL))
        return stopping(reply);
    reply->status = 200;
    reply->type = "application/json";
    q_buf_add_cstr(&reply->body, "{}\n");
    return true;
}
