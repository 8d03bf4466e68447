#include "cmd/host/operate.h"

#include "base/say.h"
#include "cmd/host/operators.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <yajl/yajl_gen.h>

static const char *const default_replies[] = { "quanta.results*", "quanta.reply.*", NULL };

void q_operate_defaults(q_core_config *out)
{
    *out = (q_core_config){
        .engines = (1u << Q_EN_COUNT) - 1,
        .max_in_flight = 10000,
        .max_in_flight_bytes = 256u << 20,
        .max_request_bytes = (1u << 20) + 4096,
        .default_timeout_ms = 5000,
        .max_timeout_ms = 60000,
        .resend_ms = 200,
        .tail_flush_ms = 50,
        .dedupe_max_bytes = 256u << 20,
        .dedupe_window_us = 24ll * 3600 * 1000000,
        .topic_prefix = "quanta",
        .reply_allow = default_replies,
        .publish_changes = true,
        .archive = true,
        .purge = true,
        .segment_bytes = 8u << 20,
        .tombstone_retention_us = 7ll * 86400 * 1000000,
    };
}

void q_operate_worker_defaults(q_worker_config *out, const q_engine_ops *ops, const q_engine_config *engine)
{
    *out = (q_worker_config){
        .engine = engine->id,
        .cluster = engine->cluster,
        .max_queue = 4096,
        .retry_ms = 100,
        .sweep_ms = 10000,
        .durable_prepare = ops->durable_prepare,
    };
}

q_rc q_operate_publish(q_producer *p, const q_effect *m, q_err *err)
{
    char topic[256]; /* Kafka's names have at most 249 bytes */
    if (m->topic.len >= sizeof topic)
        return q_err_set(err, Q_E_REPLY_TO_FORBIDDEN, "a topic name of %zu bytes", m->topic.len);
    memcpy(topic, m->topic.ptr, m->topic.len);
    topic[m->topic.len] = '\0';
    q_kafka_header headers[2];
    size_t n = 0;
    if (m->type.len)
        headers[n++] = (q_kafka_header){ "content-type", m->type };
    if (m->request_id.len)
        headers[n++] = (q_kafka_header){ "request-id", m->request_id };
    return q_producer_send(p, topic, m->key, m->bytes, headers, n, m->token, err);
}

/* ---- operators' answers ---- */

typedef struct stats_ask { q_core_stats stats; } stats_ask;
static void ask_stats(void *ctx, q_core *core, int64_t mono_us) { q_core_get_stats(core, mono_us, &((stats_ask *)ctx)->stats); }

typedef struct txns_ask { q_buf *out; bool stuck; } txns_ask;
static void ask_txns(void *ctx, q_core *core, int64_t mono_us)
{
    txns_ask *a = ctx;
    q_core_list_txns(core, mono_us, a->stuck, a->out);
}

static void number(yajl_gen g, const char *name, uint64_t value)
{
    yajl_gen_string(g, (const unsigned char *)name, strlen(name));
    yajl_gen_integer(g, (long long)value);
}

static const char *state_name(const q_core_stats *s, int e) { return s->engine_state[e] ? s->engine_state[e] : ""; }

static void text(yajl_gen g, const char *name, const char *value)
{
    yajl_gen_string(g, (const unsigned char *)name, strlen(name));
    yajl_gen_string(g, (const unsigned char *)value, strlen(value));
}

static void engines_json(yajl_gen g, const q_core_stats *s)
{
    yajl_gen_string(g, (const unsigned char *)"engines", 7);
    yajl_gen_map_open(g);
    for (int e = 0; e < Q_EN_COUNT; e++)
        text(g, q_engine_name((q_engine_id)e), state_name(s, e));
    yajl_gen_map_close(g);
}

static void finish(yajl_gen g, q_buf *out)
{
    const unsigned char *json;
    size_t len;
    if (yajl_gen_get_buf(g, &json, &len) == yajl_gen_status_ok)
        q_buf_add(out, json, len);
    q_buf_add_byte(out, '\n');
    yajl_gen_free(g);
}

/* /livez: it answers, and so does its core. /readyz: with each engine's state. */
static void probe_json(const q_core_stats *s, const char *status, bool engines, q_buf *out)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    if (!g) {
        out->failed = true;
        return;
    }
    yajl_gen_map_open(g);
    text(g, "status", status);
    if (engines)
        engines_json(g, s);
    yajl_gen_map_close(g);
    finish(g, out);
}

static void status_json(q_host *h, const q_core_stats *s, const char *status, q_buf *out)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    if (!g) {
        out->failed = true;
        return;
    }
    q_log_info info = { 0 };
    q_host_log(h)->ops->info(q_host_log(h), &info);
    yajl_gen_map_open(g);
    text(g, "status", status);
    number(g, "epoch", s->epoch);
    number(g, "next_seq", s->next_seq);
    number(g, "requests", s->requests);
    number(g, "committed", s->committed);
    number(g, "aborted", s->aborted);
    number(g, "rolled_back", s->rolled_back);
    number(g, "rejected", s->rejected);
    number(g, "read_only", s->read_only);
    number(g, "duplicates", s->duplicates);
    number(g, "in_flight", s->in_flight);
    number(g, "waiting_for_locks", s->waiting_for_locks);
    number(g, "in_doubt", s->in_doubt);
    number(g, "oldest_in_doubt_ms", (uint64_t)(s->oldest_in_doubt_us / 1000));
    number(g, "log_groups", s->groups);
    number(g, "log_first_lsn", info.first_lsn);
    number(g, "log_last_lsn", info.last_lsn);
    number(g, "log_bytes", info.bytes_used);
    number(g, "memory_bytes", s->memory_bytes);
    engines_json(g, s);
    yajl_gen_map_close(g);
    finish(g, out);
}

static bool is(const char *path, const char *what) { return strcmp(path, what) == 0; }

void q_operate_answer(q_host *h, const q_admin_request *request, q_admin_reply *reply)
{
    const char *path = request->path;
    if (q_operators_answer(h, request, reply))
        return;
    if (!is(request->method, "GET")) {
        reply->status = 405;
        q_buf_add_cstr(&reply->body, "GET only\n");
        return;
    }
    if (is(path, "/metrics")) {
        reply->status = 200;
        reply->type = "text/plain; version=0.0.4; charset=utf-8";
        q_host_metrics(h, &reply->body);
        return;
    }
    if (is(path, "/admin/txns")) {
        const char *stuck = request->query_value(request->handle, "stuck");
        txns_ask a = { &reply->body, stuck && is(stuck, "1") };
        reply->status = q_host_ask(h, ask_txns, &a) ? 200 : 503;
        reply->type = "application/x-ndjson";
        return;
    }
    bool ready_only = is(path, "/readyz"), live_only = is(path, "/livez");
    if (!ready_only && !live_only && !is(path, "/health") && !is(path, "/admin/status"))
        return; /* 404 */
    stats_ask a;
    if (!q_host_ask(h, ask_stats, &a)) {
        reply->status = 503;
        q_buf_add_cstr(&reply->body, "stopping\n");
        return;
    }
    bool all_ready = true;
    for (int e = 0; e < Q_EN_COUNT; e++)
        all_ready &= a.stats.engines_ready >> e & 1 || (a.stats.engine_state[e] && is(a.stats.engine_state[e], "not configured"));
    reply->status = ready_only && !all_ready ? 503 : 200;
    reply->type = "application/json";
    const char *status = live_only ? "alive" : all_ready ? "ready" : "not ready";
    if (live_only || ready_only)
        probe_json(&a.stats, status, ready_only, &reply->body);
    else
        status_json(h, &a.stats, status, &reply->body);
}

/* ---- the last quanta dev ---- */

q_rc q_operate_remember_dev(const char *dir, q_err *err)
{
    const char *home = getenv("HOME");
    char path[PATH_MAX], temp[PATH_MAX + 8];
    if (!home || !*home)
        return Q_OK; /* nobody to remember it for */
    int n = snprintf(path, sizeof path, "%s/.quanta", home);
    if (n < 0 || (size_t)n >= sizeof path - 8 || (mkdir(path, 0700) != 0 && errno != EEXIST)) {
        q_say(Q_SAY_WARN, "~/.quanta can't be made: clients need --bootstrap");
        return Q_OK;
    }
    snprintf(path + n, sizeof path - (size_t)n, "/dev");
    snprintf(temp, sizeof temp, "%s.new", path);
    FILE *f = fopen(temp, "w");
    bool ok = f && fprintf(f, "%s\n", dir) > 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (ok && rename(temp, path) == 0)
        return Q_OK;
    return q_err_set(err, Q_E_INTERNAL, "%s can't be written: %s", path, strerror(errno));
}
