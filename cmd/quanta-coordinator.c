/* quanta-coordinator - owns the order of all transactions (B1): reads requests, logs decisions, directs the workers, over Kafka. */
#include "base/say.h"
#include "bus/kafka.h"
#include "cmd/host/admin.h"
#include "cmd/host/authenticate.h"
#include "cmd/host/coordinator_host.h"
#include "cmd/host/metrics.h"
#include "cmd/host/operate.h"
#include "cmd/host/positions_check.h"
#include "cmd/host/process.h"
#include "cmd/host/system.h"
#include "cmd/host/watch.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOOK_MS = 50, WORK_DELIVERY_MS = 5000, MAX_HEADERS = 32 };

typedef struct coordinator {
    q_process process;
    q_topics topics;
    uint32_t engines;
    q_host *host;
    q_auth *auth;
    q_producer *results, *work; /* results never give up; of work whatever is lost is sent again */
    q_source *requests, *votes;
    _Atomic(q_source *) paused_source; /* NULL until it runs */
    atomic_bool paused;
    q_admin *admin;
    q_watch watch;
} coordinator;

/* ---- the host's transport: on the core's thread ---- */

static void send(coordinator *k, const char *topic, q_slice key, q_slice bytes)
{
    q_err err = Q_ERR_INIT;
    /* What the queue has no room for is as if lost on the way. */
    q_rc rc = q_producer_send(k->work, topic, key, bytes, NULL, 0, 0, &err);
    if (rc != Q_OK)
        q_watch_lost(&k->watch);
    if (rc == Q_FAIL)
        q_say(Q_SAY_WARN, "a message to %s can't be sent: %s", topic, err.message);
}

static void send_work(void *ctx, q_engine_id engine, bool reads_lane, q_slice key, q_slice bytes)
{
    coordinator *k = ctx;
    q_watch_sending(&k->watch, engine, bytes, q_mono_us());
    send(k, reads_lane ? k->topics.reads[engine] : k->topics.work[engine], key, bytes);
}

static void send_all(void *ctx, q_engine_id engine, q_slice bytes)
{
    coordinator *k = ctx;
    send(k, k->topics.control, q_slice_cstr(q_engine_name(engine)), bytes);
}

static q_rc publish(void *ctx, const q_effect *m, q_err *err) { return q_operate_publish(((coordinator *)ctx)->results, m, err); }

static void pause_requests(void *ctx, bool paused)
{
    coordinator *k = ctx;
    atomic_store(&k->paused, paused);
    q_source *s = atomic_load(&k->paused_source);
    if (s && paused)
        q_source_pause(s);
    else if (s)
        q_source_resume(s);
}

static void host_fatal(void *ctx, q_slice reason)
{
    (void)ctx;
    (void)reason; /* logged already. No outcome may leave after this: not even a clean stop's */
    _exit(Q_PROCESS_FATAL);
}

/* ---- from Kafka ---- */

static void delivered(void *ctx, uint64_t token, q_rc rc)
{
    coordinator *k = ctx;
    if (rc == Q_FAIL)
        q_say(Q_SAY_WARN, "a result or an event can't be delivered: its topic refuses it. The outcome stands in the log");
    if (rc != Q_RETRY) /* given up only because this process ends: the next one publishes it again */
        q_host_published(k->host, token);
}

static void work_delivered(void *ctx, uint64_t token, q_rc rc)
{
    (void)token;
    if (rc != Q_OK)
        q_watch_lost(&((coordinator *)ctx)->watch);
}

static void vote_arrived(void *ctx, q_message *m)
{
    coordinator *k = ctx;
    q_watch_answer(&k->watch, q_message_value(m), q_mono_us());
    q_host_message(k->host, q_message_value(m));
    q_message_free(m);
}

typedef struct owned { q_message *message; q_header headers[]; } owned;

static void release(void *owner)
{
    owned *o = owner;
    q_message_free(o->message);
    free(o);
}

static void request_arrived(void *ctx, q_message *m)
{
    coordinator *k = ctx;
    size_t n = q_message_header_count(m);
    if (n > MAX_HEADERS)
        n = MAX_HEADERS;
    owned *o = malloc(sizeof *o + n * sizeof o->headers[0]);
    if (!o) {
        q_message_free(m);
        q_say(Q_SAY_ERROR, "out of memory for a request");
        q_process_end(Q_PROCESS_UNREACHABLE); /* it may not be passed over: the next start reads it again */
        return;
    }
    o->message = m;
    for (size_t i = 0; i < n; i++)
        q_message_header(m, i, &o->headers[i].name, &o->headers[i].value);
    q_request r = { .partition = q_message_partition(m), .offset = q_message_offset(m), .key = q_message_key(m), .value = q_message_value(m),
                    .header_count = (uint32_t)n, .headers = o->headers };
    q_host_request(k->host, &r, release, o);
}

static void source_failed(void *ctx, q_rc rc, const char *text)
{
    (void)ctx;
    q_say(rc == Q_FATAL ? Q_SAY_ERROR : Q_SAY_WARN, "%s", text);
    if (rc == Q_FATAL)
        q_process_end(Q_PROCESS_UNREACHABLE);
}

static int64_t position(void *ctx, int32_t partition) { return q_host_position(((coordinator *)ctx)->host, partition); }
static int64_t at_end(void *ctx, int32_t partition)
{
    (void)ctx;
    (void)partition;
    return -2; /* what was said before this life is about another epoch, or will be said again */
}

/* On the producer's thread: a bucket's first change event. */
static void new_topic(void *ctx, const char *topic)
{
    coordinator *k = ctx;
    q_err err = Q_ERR_INIT;
    if (strncmp(topic, k->topics.changes, strlen(k->topics.changes)) == 0 && q_system_create_changes(k->process.config, topic, &err) != Q_OK)
        q_say(Q_SAY_WARN, "%s", err.message);
}

/* ---- HTTP ---- */

static void answer(void *ctx, const q_admin_request *request, q_admin_reply *reply)
{
    coordinator *k = ctx;
    q_operate_answer(k->host, request, reply);
    if (strcmp(request->path, "/metrics") || reply->status != 200)
        return;
    q_watch_phases(&k->watch, k->engines, &reply->body);
    q_watch_counts(&k->watch, k->engines, &reply->body);
    q_metric_one(&reply->body, Q_MT_PAUSED, atomic_load(&k->paused));
    q_watch_source sources[] = { { k->topics.requests, k->requests }, { k->topics.votes, k->votes } };
    q_watch_sources(sources, 2, &reply->body);
    q_metric_process(&reply->body);
}

/* ---- life ---- */

static q_rc open_log(coordinator *k, q_err *err)
{
    const q_config *c = k->process.config;
    q_host_config config = { .log_dir = c->wal.dir, .log_max_bytes = (uint64_t)c->wal.max_bytes, .new_topic = k->process.new_topic,
                             .slow_ms = c->log.slow_ms };
    q_system_core(c, k->engines, &config.core);
    q_rc ok = q_auth_open(c, &k->auth, err);
    if (ok != Q_OK)
        return ok;
    q_auth_use(k->auth, &config.core);
    config.transport = (q_host_transport){ .send = send_work, .send_all = send_all, .publish = publish, .pause = pause_requests, .fatal = host_fatal, .ctx = k };
    q_rc rc = q_system_make_dir(c->wal.dir, "wal.dir", err);
    if (rc == Q_OK) {
        rc = q_host_open(&config, &k->host, err);
        if (rc != Q_OK && !err->hint[0])
            q_err_hint(err, "wal.dir is %.150s", c->wal.dir);
    }
    return rc;
}

static q_rc start(coordinator *k, q_err *err)
{
    const q_config *c = k->process.config;
    q_kafka_config kafka, results, work;
    q_rc rc = q_system_kafka(c, &kafka, err);
    if (rc == Q_OK)
        rc = q_system_engines(c, &k->engines, err);
    if (rc != Q_OK)
        return rc;
    q_system_topics(c, &k->topics);
    results = work = kafka;
    results.delivery_timeout_ms = -1;
    work.delivery_timeout_ms = WORK_DELIVERY_MS;
    work.lossy = true;
    rc = open_log(k, err); /* before librdkafka and its threads: the log is checked by a child process */
    if (rc == Q_OK)
        rc = q_auth_run(k->auth, err);
    if (rc == Q_OK)
        rc = q_system_create_topics(c, &k->topics, k->engines, true, err);
    if (rc == Q_OK)
        rc = q_positions_check(&kafka, k->topics.requests, k->host, (int)c->kafka.connect_timeout_ms, err);
    if (rc == Q_OK)
        rc = q_producer_new(&results, delivered, k, &k->results, err);
    if (rc == Q_OK)
        rc = q_producer_new(&work, work_delivered, k, &k->work, err);
    if (rc != Q_OK)
        return rc;
    q_producer_on_new_topic(k->results, new_topic, k);
    q_source_config votes = { .topic = k->topics.votes, .start = at_end, .message = vote_arrived, .failed = source_failed, .ctx = k };
    rc = q_source_start(&kafka, &votes, (int)c->kafka.connect_timeout_ms, &k->votes, err);
    if (rc == Q_OK)
        rc = q_host_run(k->host, err);
    q_source_config requests = { .topic = k->topics.requests, .start = position, .message = request_arrived, .failed = source_failed, .ctx = k };
    if (rc == Q_OK)
        rc = q_source_start(&kafka, &requests, (int)c->kafka.connect_timeout_ms, &k->requests, err);
    if (rc != Q_OK)
        return rc;
    atomic_store(&k->paused_source, k->requests);
    if (atomic_load(&k->paused))
        q_source_pause(k->requests);
    int64_t port = k->process.http_port >= 0 ? k->process.http_port : c->http.coordinator_port;
    rc = q_admin_start(c->http.host, (uint16_t)port, answer, k, &k->admin, err);
    if (rc != Q_OK)
        q_err_hint(err, "http.host and http.coordinator_port say where; 0 takes any free port");
    return rc;
}

/* The host first: it lets go of every message, which belong to the sources, and takes no more posts from those that stop after it. */
static void stop(coordinator *k)
{
    q_admin_stop(k->admin);
    q_host_stop(k->host, (int)(k->process.config ? k->process.config->timeouts.stop_ms : 0));
    atomic_store(&k->paused_source, NULL);
    q_source_stop(k->requests);
    q_source_stop(k->votes);
    if (k->results)
        q_producer_flush(k->results, 2000);
    q_producer_free(k->results);
    q_producer_free(k->work);
    q_host_free(k->host);
    q_auth_close(k->auth);
    q_watch_free(&k->watch);
}

typedef struct ready_ask { q_core_stats stats; } ready_ask;
static void ask_stats(void *ctx, q_core *core, int64_t mono_us) { q_core_get_stats(core, mono_us, &((ready_ask *)ctx)->stats); }

/* `waiting=mongo,neo4j`: the configured engines that don't serve. */
static void say_waiting(uint32_t missing)
{
    const char *comma = "";
    fputs("waiting=", stdout);
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (missing >> e & 1) {
            printf("%s%s", comma, q_engine_name(e));
            comma = ",";
        }
    putchar('\n');
    fflush(stdout);
}

/* Says which engines are waited for, and once more when all serve: a supervisor listens. */
static void serve(coordinator *k)
{
    uint32_t told = 0;
    bool serving = false;
    while (!q_process_wait(serving ? -1 : LOOK_MS)) {
        ready_ask a;
        if (!q_host_ask(k->host, ask_stats, &a))
            continue;
        uint32_t missing = k->engines & ~a.stats.engines_ready;
        serving = missing == 0;
        if (serving) {
            puts("serving");
            fflush(stdout);
            q_say(Q_SAY_INFO, "all engines serve");
        } else if (missing != told) {
            say_waiting(missing);
            told = missing;
        }
    }
}

int main(int argc, char **argv)
{
    coordinator k = { .process = { .program = "quanta-coordinator", .takes_new_topic = true,
        .usage = "Usage: quanta-coordinator -c quanta.yaml [OPTION...]\n\n"
                 "Reads requests from Kafka, orders them, logs decisions and directs the workers. One per system: the directory of the\n"
                 "log (wal.dir) is locked while it runs.\n\n"
                 "      --new-topic      the requests topic was created anew on purpose: forget how far the old one was read\n" } };
    int status = q_process_begin(&k.process, argc, argv);
    if (status >= 0) {
        q_process_free(&k.process);
        return status;
    }
    char line[400];
    q_err err = Q_ERR_INIT;
    q_watch_init(&k.watch);
    q_rc rc = start(&k, &err);
    if (rc == Q_OK) {
        snprintf(line, sizeof line, "ready bootstrap=%s http=%s:%u", k.process.config->kafka.bootstrap, k.process.config->http.host, q_admin_port(k.admin));
        rc = q_process_ready(&k.process, line, &err);
    }
    if (rc == Q_OK) {
        serve(&k);
        q_say(Q_SAY_INFO, "stopping");
        status = q_process_status();
    } else {
        status = q_process_failed(&k.process, rc, &err);
    }
    stop(&k);
    q_process_free(&k.process);
    return status;
}
