/* quanta-worker - stands in front of one engine: votes, applies and reads for the coordinator, over Kafka.
 *
 * Workers of one engine share the partitions of its topics by a consumer group; the bucket is the key, so that what belongs together
 * comes to one of them, in order. What one of them loses is sent again, and all of it is idempotent. What all must hear comes by the
 * control topic, which every worker reads whole: the cluster and the epoch, before it takes any work. */
#include "base/failpoint.h"
#include "base/say.h"
#include "bus/kafka.h"
#include "cmd/host/admin.h"
#include "cmd/host/coordinator_host.h"
#include "cmd/host/measured.h"
#include "cmd/host/metrics.h"
#include "cmd/host/process.h"
#include "cmd/host/system.h"
#include "cmd/host/watch.h"
#include "workers/runtime.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <yajl/yajl_gen.h>

enum { VOTES_DELIVERY_MS = 5000, DRAIN_MS = 2000, LOOK_MS = 100, WAIT_CONTROL_MS = 200 };

typedef struct worker worker;

typedef struct played { /* one engine that this process serves; the embedded one may play several */
    worker *w;
    q_engine_id id;
    bool on;
    const q_engine_ops *ops;
    q_engine_config engine;
    char uri[PATH_MAX];
    pthread_rwlock_t lock;     /* read: messages to the runtime; write: another runtime */
    q_worker_runtime *runtime; /* NULL until the control topic has told the cluster */
    q_source *work, *reads;
    char *newest;              /* FENCE that was read while the control topic is being caught up with; malloc */
    size_t newest_len;
    char told[320];            /* the last error that was logged */
} played;

struct worker {
    q_process process;
    q_topics topics;
    q_kafka_config kafka;
    uint32_t engines;
    char name[80], group[200], instance[300];
    played engine[Q_EN_COUNT];
    q_producer *votes;
    q_source *control;
    int64_t control_end;       /* the control topic's end when this began; what is before it is history */
    atomic_bool control_read;  /* as far as that */
    q_admin *admin;
    _Atomic uint64_t sent, lost;
};

/* ---- votes ---- */

static void send_vote(void *ctx, q_slice key, q_slice bytes)
{
    worker *w = ctx;
    q_err err = Q_ERR_INIT;
    atomic_fetch_add_explicit(&w->sent, 1, memory_order_relaxed);
    if (q_producer_send(w->votes, w->topics.votes, key, bytes, NULL, 0, 0, &err) != Q_OK)
        atomic_fetch_add(&w->lost, 1); /* as if lost on the way: the coordinator asks again */
}

/* ---- the control topic: on its source's thread ---- */

static void start_runtime(played *p, uint64_t cluster)
{
    q_err err = Q_ERR_INIT;
    q_worker_config config;
    q_worker_runtime *fresh = NULL, *old = NULL;
    pthread_rwlock_rdlock(&p->lock);
    bool same = p->runtime && p->engine.cluster == cluster;
    pthread_rwlock_unlock(&p->lock);
    if (same)
        return;
    pthread_rwlock_wrlock(&p->lock);
    old = p->runtime;
    p->runtime = NULL;
    pthread_rwlock_unlock(&p->lock);
    if (old) {
        q_say(Q_SAY_WARN, "%s: a coordinator with another log (cluster %016llx) directs this system now", q_engine_name(p->id), (unsigned long long)cluster);
        q_worker_runtime_stop(old);
    }
    p->engine.cluster = cluster;
    q_system_worker(p->w->process.config, p->ops, &p->engine, &config);
    if (q_worker_runtime_start(p->ops, &p->engine, &config, send_vote, p->w, &fresh, &err) != Q_OK) {
        q_say(Q_SAY_ERROR, "%s", err.message);
        q_process_end(Q_PROCESS_UNREACHABLE);
        return;
    }
    pthread_rwlock_wrlock(&p->lock);
    p->runtime = fresh;
    pthread_rwlock_unlock(&p->lock);
}

static void deliver(played *p, q_slice bytes)
{
    pthread_rwlock_rdlock(&p->lock);
    if (p->runtime)
        q_worker_runtime_message(p->runtime, bytes);
    pthread_rwlock_unlock(&p->lock);
}

static void fence_came(played *p, q_slice bytes)
{
    q_arena *arena = q_arena_new(0);
    q_err err = Q_ERR_INIT;
    q_msg m;
    if (!arena || q_msg_decode(arena, bytes, &m, &err) != Q_OK || m.kind != Q_M_FENCE || m.engine != p->id)
        q_say(Q_SAY_WARN, "a message on %s can't be read: %s", p->w->topics.control, err.message);
    else {
        start_runtime(p, m.cluster);
        deliver(p, bytes);
    }
    q_arena_free(arena);
}

static void control_is_read(worker *w)
{
    for (int e = 0; e < Q_EN_COUNT; e++) {
        played *p = &w->engine[e];
        if (p->on && p->newest)
            fence_came(p, q_slice_of(p->newest, p->newest_len));
        free(p->newest);
        p->newest = NULL;
    }
    atomic_store(&w->control_read, true);
}

static void control_arrived(void *ctx, q_message *m)
{
    worker *w = ctx;
    q_slice key = q_message_key(m), bytes = q_message_value(m);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        played *p = &w->engine[e];
        if (!p->on || !bytes.len || !q_slice_eq(key, q_slice_cstr(q_engine_name(p->id))))
            continue;
        if (atomic_load(&w->control_read)) {
            fence_came(p, bytes);
            continue;
        }
        char *copy = malloc(bytes.len);
        if (!copy)
            continue; /* the coordinator tells it again until it is answered */
        memcpy(copy, bytes.ptr, bytes.len);
        free(p->newest);
        p->newest = copy;
        p->newest_len = bytes.len;
    }
    if (!atomic_load(&w->control_read) && q_message_offset(m) + 1 >= w->control_end)
        control_is_read(w);
    q_message_free(m);
}

/* ---- work and reads ---- */

static void work_arrived(void *ctx, q_message *m)
{
    deliver(ctx, q_message_value(m));
    q_message_free(m);
}

static bool idle(played *p)
{
    q_worker_runtime_state s = { 0 };
    pthread_rwlock_rdlock(&p->lock);
    if (p->runtime)
        q_worker_runtime_state_get(p->runtime, &s);
    pthread_rwlock_unlock(&p->lock);
    return !s.stats.waiting[Q_LANE_PREPARE] && !s.stats.waiting[Q_LANE_DECIDE] && !s.stats.waiting[Q_LANE_READ] &&
           atomic_load(&q_measured_of(p->id)->under_way) == 0;
}

/* Before other workers get partitions of ours: lets what is under way end, so that, in the usual case, no key has two writers at once.
 * Correctness doesn't hang on it: a stale write finds a higher seq. */
static void revoked(void *ctx, int left)
{
    played *p = ctx;
    (void)left;
    int quiet = 0;
    for (int64_t until = q_mono_us() + DRAIN_MS * 1000; quiet < 2 && q_mono_us() < until;) {
        struct timespec pause = { 0, 5 * 1000 * 1000 };
        quiet = idle(p) ? quiet + 1 : 0;
        nanosleep(&pause, NULL);
    }
}

static void source_failed(void *ctx, q_rc rc, const char *text)
{
    (void)ctx;
    q_say(rc == Q_FATAL ? Q_SAY_ERROR : Q_SAY_WARN, "%s", text);
    if (rc == Q_FATAL)
        q_process_end(Q_PROCESS_UNREACHABLE);
}

static void control_failed(void *ctx, q_rc rc, const char *text) { source_failed(ctx, rc, text); }

static void delivered(void *ctx, uint64_t token, q_rc rc)
{
    (void)token;
    if (rc != Q_OK)
        atomic_fetch_add(&((worker *)ctx)->lost, 1);
}

/* ---- HTTP ---- */

static void state_of(played *p, q_worker_runtime_state *s)
{
    *s = (q_worker_runtime_state){ 0 };
    pthread_rwlock_rdlock(&p->lock);
    if (p->runtime)
        q_worker_runtime_state_get(p->runtime, s);
    pthread_rwlock_unlock(&p->lock);
}

static void text(yajl_gen g, const char *name, const char *value)
{
    yajl_gen_string(g, (const unsigned char *)name, strlen(name));
    yajl_gen_string(g, (const unsigned char *)value, strlen(value));
}

static void number(yajl_gen g, const char *name, uint64_t value)
{
    yajl_gen_string(g, (const unsigned char *)name, strlen(name));
    yajl_gen_integer(g, (long long)value);
}

static const char *word(const played *p, const q_worker_runtime_state *s)
{
    return s->failed ? "failed" : !p->runtime ? "waits for a coordinator" : s->stats.epoch ? "ready" : s->error[0] ? "engine not reachable" : "waits for its epoch";
}

static bool health(worker *w, q_buf *out)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    bool ready = true;
    if (!g)
        return false;
    yajl_gen_map_open(g);
    text(g, "worker", w->name);
    yajl_gen_string(g, (const unsigned char *)"engines", 7);
    yajl_gen_map_open(g);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        played *p = &w->engine[e];
        q_worker_runtime_state s;
        if (!p->on)
            continue;
        state_of(p, &s);
        const char *name = q_engine_name(p->id);
        yajl_gen_string(g, (const unsigned char *)name, strlen(name));
        yajl_gen_map_open(g);
        text(g, "state", word(p, &s));
        number(g, "epoch", s.stats.epoch);
        number(g, "sessions", s.sessions);
        number(g, "stuck", s.stats.stuck);
        number(g, "partitions", p->work ? (uint64_t)q_source_partitions(p->work) : 0);
        text(g, "error", s.error[0] ? s.error : s.stats.last_error);
        yajl_gen_map_close(g);
        ready &= s.stats.epoch && !s.failed;
    }
    yajl_gen_map_close(g);
    text(g, "status", ready ? "ready" : "not ready");
    yajl_gen_map_close(g);
    const unsigned char *json;
    size_t len;
    if (yajl_gen_get_buf(g, &json, &len) == yajl_gen_status_ok)
        q_buf_add(out, json, len);
    q_buf_add_byte(out, '\n');
    yajl_gen_free(g);
    return ready;
}

static void metric(worker *w, q_buf *out, q_metric m, double (*value)(played *p, const q_worker_runtime_state *s))
{
    q_metric_head(out, m);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        q_worker_runtime_state s;
        char labels[40];
        if (!w->engine[e].on)
            continue;
        state_of(&w->engine[e], &s);
        snprintf(labels, sizeof labels, "engine=\"%s\"", q_engine_name((q_engine_id)e));
        q_metric_sample(out, m, labels, value(&w->engine[e], &s));
    }
}

static double up(played *p, const q_worker_runtime_state *s) { (void)p; return s->sessions > 0 && !s->failed; }
static double sessions(played *p, const q_worker_runtime_state *s) { (void)p; return s->sessions; }
static double failures(played *p, const q_worker_runtime_state *s) { (void)p; return (double)s->stats.failures; }
static double queued_bytes(played *p, const q_worker_runtime_state *s) { (void)p; return (double)s->stats.waiting_bytes; }
static double dropped(played *p, const q_worker_runtime_state *s) { (void)p; return (double)s->stats.dropped; }
static double refused(played *p, const q_worker_runtime_state *s) { (void)p; return (double)s->stats.refused; }
static double stuck(played *p, const q_worker_runtime_state *s) { (void)p; return s->stats.stuck; }
static double stuck_for(played *p, const q_worker_runtime_state *s)
{
    (void)p;
    return s->stats.stuck_since_us ? (double)(q_mono_us() - s->stats.stuck_since_us) / 1e6 : 0;
}

static void metrics(worker *w, q_buf *out)
{
    static const char *const kinds[] = { "prepared", "applied", "undone", "read" }, *const lanes[] = { "prepare", "decide", "read" };
    q_watch_source sources[2 * Q_EN_COUNT];
    size_t n = 0;
    uint64_t epoch = 0;
    char labels[120];
    metric(w, out, Q_MT_ENGINE_UP, up);
    metric(w, out, Q_MT_SESSIONS, sessions);
    metric(w, out, Q_MT_RETRIES, failures);
    metric(w, out, Q_MT_QUEUED_BYTES, queued_bytes);
    metric(w, out, Q_MT_DROPPED, dropped);
    metric(w, out, Q_MT_REFUSED, refused);
    metric(w, out, Q_MT_STUCK, stuck);
    metric(w, out, Q_MT_STUCK_OLDEST, stuck_for);
    q_metric_head(out, Q_MT_WORK);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        played *p = &w->engine[e];
        q_worker_runtime_state s;
        if (!p->on)
            continue;
        state_of(p, &s);
        epoch = s.stats.epoch > epoch ? s.stats.epoch : epoch;
        const uint64_t counts[] = { s.stats.prepared, s.stats.applied, s.stats.undone, s.stats.read };
        for (int i = 0; i < 4; i++) {
            snprintf(labels, sizeof labels, "engine=\"%s\",kind=\"%s\"", q_engine_name(p->id), kinds[i]);
            q_metric_sample(out, Q_MT_WORK, labels, (double)counts[i]);
        }
        if (p->work)
            sources[n++] = (q_watch_source){ w->topics.work[e], p->work };
        if (p->reads)
            sources[n++] = (q_watch_source){ w->topics.reads[e], p->reads };
    }
    q_metric_head(out, Q_MT_QUEUED);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        q_worker_runtime_state s;
        if (!w->engine[e].on)
            continue;
        state_of(&w->engine[e], &s);
        for (int i = 0; i < Q_LANE_COUNT; i++) {
            snprintf(labels, sizeof labels, "engine=\"%s\",lane=\"%s\"", q_engine_name((q_engine_id)e), lanes[i]);
            q_metric_sample(out, Q_MT_QUEUED, labels, s.stats.waiting[i]);
        }
    }
    q_metric_head(out, Q_MT_PHASE);
    q_measured_phases(w->engines, out);
    q_metric_one(out, Q_MT_EPOCH, (double)epoch);
    q_metric_one(out, Q_MT_VOTES_OUT, (double)atomic_load(&w->sent));
    q_metric_one(out, Q_MT_MESSAGES_LOST, (double)atomic_load(&w->lost));
    q_watch_sources(sources, n, out);
    q_metric_process(out);
}

static void answer(void *ctx, const q_admin_request *request, q_admin_reply *reply)
{
    worker *w = ctx;
    const char *path = request->path;
    if (strcmp(request->method, "GET")) {
        reply->status = 405;
        q_buf_add_cstr(&reply->body, "GET only\n");
    } else if (!strcmp(path, "/metrics")) {
        reply->status = 200;
        reply->type = "text/plain; version=0.0.4; charset=utf-8";
        metrics(w, &reply->body);
    } else if (!strcmp(path, "/health") || !strcmp(path, "/livez") || !strcmp(path, "/readyz")) {
        bool ready = health(w, &reply->body);
        reply->status = !strcmp(path, "/readyz") && !ready ? 503 : 200;
        reply->type = "application/json";
    }
}

/* ---- life ---- */

static q_rc choose_engines(worker *w, q_err *err)
{
    const q_config *c = w->process.config;
    const char *name = w->process.engine;
    bool embedded = !strcmp(name, "embedded"), known = embedded;
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++) {
        bool named = !strcmp(name, q_engine_name(e));
        known |= named;
        if (named || (embedded && q_config_embedded(c, e)))
            w->engines |= Q_EN_BIT(e);
    }
    if (!known)
        return q_err_set(err, Q_E_INTERNAL, "--engine is postgres, mongo, neo4j, influx or embedded, not '%.40s'", name);
    if (embedded && !w->engines)
        return q_err_set(err, Q_E_INTERNAL, "embedded.engines names none");
    snprintf(w->name, sizeof w->name, "%s", w->process.name ? w->process.name : name);
    if (w->process.name && (!*w->process.name || strspn(w->process.name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != strlen(w->process.name) ||
                            strlen(w->process.name) > 60))
        return q_err_set(err, Q_E_INTERNAL, "--name takes at most 60 letters, digits, '-', '_' and '.'");
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++) {
        played *p = &w->engine[e];
        if (!(w->engines >> e & 1))
            continue;
        p->w = w;
        p->id = e;
        p->on = true;
        p->ops = q_measured_ops(e, q_system_ops(c, e));
        pthread_rwlock_init(&p->lock, NULL);
        q_rc rc = q_system_engine(c, e, w->name, p->uri, sizeof p->uri, &p->engine, err);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

/* A wrong setting is told at once, and not by a fence that never succeeds. An engine that is only away for now is waited for. */
static q_rc try_engines(worker *w, q_err *err)
{
    for (int i = 0; i < Q_EN_COUNT; i++) {
        played *p = &w->engine[i];
        q_engine *session = NULL;
        if (!p->on)
            continue;
        q_rc rc = p->ops->open(&p->engine, &session, err);
        if (rc == Q_OK) {
            p->ops->close(session);
        } else if (rc == Q_FAIL || rc == Q_FATAL) {
            if (!err->hint[0])
                q_err_hint(err, "engine %s: see engines.%s.* of %.100s", q_engine_name(p->id), q_engine_name(p->id), w->process.config->path);
            return Q_FAIL;
        } else {
            q_say(Q_SAY_WARN, "%s can't be reached (engines.%s.uri): %s; it is tried again", q_engine_name(p->id), q_engine_name(p->id), err->message);
            *err = Q_ERR_INIT;
        }
    }
    return Q_OK;
}

static q_rc control_end(worker *w, q_err *err)
{
    q_asker *a = NULL;
    int64_t low = 0;
    q_rc rc = q_asker_new(&w->kafka, &a, err);
    if (rc == Q_OK)
        rc = q_asker_watermarks(a, w->topics.control, 0, (int)w->process.config->kafka.connect_timeout_ms, &low, &w->control_end, err);
    q_asker_free(a);
    if (rc == Q_OK && w->control_end <= low)
        atomic_store(&w->control_read, true);
    return rc;
}

static q_rc start(worker *w, q_err *err)
{
    const q_config *c = w->process.config;
    int timeout_ms = (int)c->kafka.connect_timeout_ms;
    q_rc rc = q_system_kafka(c, &w->kafka, err);
    if (rc == Q_OK)
        rc = choose_engines(w, err);
    if (rc == Q_OK)
        rc = try_engines(w, err);
    if (rc != Q_OK)
        return rc;
    q_system_topics(c, &w->topics);
    rc = q_system_create_topics(c, &w->topics, w->engines, false, err);
    if (rc == Q_OK)
        rc = control_end(w, err);
    q_kafka_config votes = w->kafka;
    votes.delivery_timeout_ms = VOTES_DELIVERY_MS;
    votes.lossy = true;
    if (rc == Q_OK)
        rc = q_producer_new(&votes, delivered, w, &w->votes, err);
    q_source_config control = { .topic = w->topics.control, .message = control_arrived, .failed = control_failed, .ctx = w };
    if (rc == Q_OK)
        rc = q_source_start(&w->kafka, &control, timeout_ms, &w->control, err);
    int64_t port = w->process.http_port >= 0 ? w->process.http_port : w->process.engine && strcmp(w->process.engine, "embedded") ?
                   c->engines[__builtin_ctz(w->engines)].http_port : 0;
    if (rc == Q_OK) {
        rc = q_admin_start(c->http.host, (uint16_t)port, answer, w, &w->admin, err);
        if (rc != Q_OK)
            q_err_hint(err, "http.host and engines.%s.http_port say where; 0 takes any free port", w->process.engine);
    }
    return rc;
}

/* The work topics, once the epoch is known: what waits there of earlier ones is refused then without asking the engine. */
static q_rc take_work(worker *w, q_err *err)
{
    const q_config *c = w->process.config;
    q_rc rc = Q_OK;
    for (int e = 0; rc == Q_OK && e < Q_EN_COUNT; e++) {
        played *p = &w->engine[e];
        if (!p->on)
            continue;
        snprintf(w->group, sizeof w->group, "%s.%s", c->kafka.topic_prefix, q_engine_name(p->id));
        snprintf(w->instance, sizeof w->instance, "%s.%s", w->group, w->name);
        q_source_config work = { .topic = w->topics.work[e], .group = w->group, .instance = w->process.name ? w->instance : NULL,
                                 .session_timeout_ms = (int)c->kafka.session_timeout_ms, .revoked = revoked, .message = work_arrived,
                                 .failed = source_failed, .ctx = p };
        q_source_config reads = work;
        char group[220];
        snprintf(group, sizeof group, "%s.reads", w->group);
        reads.topic = w->topics.reads[e];
        reads.group = group;
        reads.revoked = NULL;
        rc = q_source_start(&w->kafka, &work, 0, &p->work, err);
        if (rc == Q_OK)
            rc = q_source_start(&w->kafka, &reads, 0, &p->reads, err);
    }
    return rc;
}

static void stop(worker *w)
{
    q_admin_stop(w->admin);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        q_source_stop(w->engine[e].work);
        q_source_stop(w->engine[e].reads);
    }
    q_source_stop(w->control);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        played *p = &w->engine[e];
        q_worker_runtime_stop(p->runtime);
        free(p->newest);
        if (p->on)
            pthread_rwlock_destroy(&p->lock);
    }
    if (w->votes)
        q_producer_flush(w->votes, 1000);
    q_producer_free(w->votes);
}

/* Says what an engine's trouble is when it changes, and when it is over. false: one of them has failed for good. */
static bool look(worker *w)
{
    bool good = true;
    for (int e = 0; e < Q_EN_COUNT; e++) {
        played *p = &w->engine[e];
        q_worker_runtime_state s;
        if (!p->on)
            continue;
        state_of(p, &s);
        const char *error = s.error[0] ? s.error : s.stats.stuck ? s.stats.last_error : "";
        if (strcmp(error, p->told)) {
            snprintf(p->told, sizeof p->told, "%s", error);
            if (*error)
                q_say(Q_SAY_WARN, "engine %s: %s", q_engine_name(p->id), error);
            else
                q_say(Q_SAY_INFO, "engine %s serves again", q_engine_name(p->id));
        }
        good &= !s.failed;
    }
    return good;
}

int main(int argc, char **argv)
{
    worker w = { .process = { .program = "quanta-worker", .takes_engine = true,
        .usage = "Usage: quanta-worker --engine ENGINE -c quanta.yaml [OPTION...]\n\n"
                 "Serves one engine for the coordinator. Several of one engine share its work; one that dies is replaced by the others\n"
                 "within kafka.session_timeout_ms, or goes on at once when it is started again under the same --name.\n\n"
                 "      --engine ENGINE  postgres, mongo, neo4j, influx, or embedded: all of embedded.engines\n"
                 "      --name NAME      of this worker among those of its engine, for good; default: none\n" } };
    int status = q_process_begin(&w.process, argc, argv);
    if (status >= 0) {
        q_process_free(&w.process);
        return status;
    }
    char line[400];
    q_err err = Q_ERR_INIT;
    q_rc rc = start(&w, &err);
    bool over = false, ready = false;
    /* Ready: it has read what all must know, and takes work as soon as there is a coordinator. */
    while (rc == Q_OK && !over && !(over = q_process_wait(ready ? LOOK_MS : 10))) {
        if (!ready && atomic_load(&w.control_read)) {
            rc = take_work(&w, &err);
            snprintf(line, sizeof line, "ready engine=%s name=%s http=%s:%u", w.process.engine, w.name, w.process.config->http.host, q_admin_port(w.admin));
            if (rc == Q_OK)
                rc = q_process_ready(&w.process, line, &err);
            ready = true;
        }
        if (rc == Q_OK && !look(&w)) {
            rc = Q_RETRY;
            q_err_set(&err, Q_E_INTERNAL, "the engine can't be used by this process any more: see the log");
        }
    }
    if (rc != Q_OK)
        status = q_process_failed(&w.process, rc, &err);
    else {
        q_say(Q_SAY_INFO, "stopping");
        status = q_process_status();
    }
    stop(&w);
    q_process_free(&w.process);
    return status;
}
