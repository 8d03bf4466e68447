/* quanta dev - broker, coordinator, engines and HTTP in one process, durable in its directory.
 *
 * The broker is librdkafka's in-process one: the real protocol on a loopback port, in memory only. What was answered is in the log and
 * in the engines and survives SIGKILL; a request that had no answer yet is gone with the broker, and its client sends it again under
 * the same request id. Work and votes don't travel over Kafka here: B11's in-memory bus is a function call. */
#include "base/say.h"
#include "bus/kafka.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/find.h"
#include "cmd/cli/options.h"
#include "cmd/gateway/gateway.h"
#include "cmd/host/admin.h"
#include "cmd/host/authenticate.h"
#include "cmd/host/coordinator_host.h"
#include "cmd/host/intake.h"
#include "cmd/host/measured.h"
#include "cmd/host/metrics.h"
#include "cmd/host/operate.h"
#include "workers/runtime.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REQUEST_PARTITIONS = 4, STOP_MS = 10000 };
static const char REPLIES[] = "quanta.reply.http";
static const uint64_t LOG_MAX_BYTES = 64ull << 30; /* address space; the disk is used as it fills */

typedef struct dev {
    const char *dir;
    uint16_t http_port;
    const q_config *config;          /* only its auth.*; NULL: no file was given */
    q_auth *auth;
    q_broker *broker;
    q_host *host;
    q_worker_runtime *workers[Q_EN_COUNT];
    char uris[Q_EN_COUNT][PATH_MAX];
    q_producer *producer;
    q_intake *intake;
    q_source *source;
    q_gateway *gateway;
    pthread_t main_thread;
    const char *volatile ended; /* why it can't go on; NULL while it can */
} dev;

/* ---- what the parts say to each other ---- */

static void end(void *ctx, const char *reason)
{
    dev *d = ctx;
    q_say(Q_SAY_ERROR, "%s", reason);
    d->ended = "see the log";
    pthread_kill(d->main_thread, SIGTERM);
}

static void host_fatal(void *ctx, q_slice reason)
{
    (void)ctx;
    (void)reason; /* logged already. No outcome may leave after this: not even a clean stop's */
    _exit(70);
}

static void source_failed(void *ctx, q_rc rc, const char *text)
{
    if (rc == Q_FATAL)
        end(ctx, text);
    else
        q_say(Q_SAY_WARN, "%s", text);
}

static void send_work(void *ctx, q_engine_id engine, bool reads_lane, q_slice key, q_slice bytes)
{
    dev *d = ctx;
    (void)reads_lane;
    (void)key;
    if (d->workers[engine])
        q_worker_runtime_message(d->workers[engine], bytes);
}

static void worker_said(void *ctx, q_slice key, q_slice bytes)
{
    dev *d = ctx;
    (void)key;
    q_host_message(d->host, bytes);
}

static q_rc publish(void *ctx, const q_effect *m, q_err *err)
{
    dev *d = ctx;
    return q_operate_publish(d->producer, m, err);
}

static void delivered(void *ctx, uint64_t token, q_rc rc)
{
    dev *d = ctx;
    if (rc == Q_OK)
        q_host_published(d->host, token);
    /* Given up: it isn't marked as published, so the next start publishes it again. */
}

static void pause_requests(void *ctx, bool paused)
{
    dev *d = ctx;
    if (d->intake)
        q_intake_pause(d->intake, paused);
}

static void request_arrived(void *ctx, q_message *m) { q_intake_message(((dev *)ctx)->intake, m); }

static void answer(void *ctx, const q_admin_request *request, q_admin_reply *reply)
{
    dev *d = ctx;
    q_operate_answer(d->host, request, reply);
    if (strcmp(request->path, "/metrics") || reply->status != 200)
        return;
    q_measured_phases((1u << Q_EN_COUNT) - 1, &reply->body);
    q_metric_process(&reply->body);
}

/* ---- start ---- */

static q_rc make_dir(const char *path, q_err *err)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return Q_OK;
    return q_err_set(err, Q_E_INTERNAL, "%s can't be made: %s (--dir)", path, strerror(errno));
}

static q_rc start_broker(dev *d, q_err *err)
{
    static const struct { const char *name; int partitions; } topics[] = {
        { "quanta.requests", REQUEST_PARTITIONS }, { "quanta.results", 1 }, { "quanta.dlq", 1 },
        { "quanta.schemas", 1 }, { "quanta.ingest", 1 }, { REPLIES, 1 },
    };
    q_rc rc = q_broker_start(&d->broker, err);
    for (size_t i = 0; rc == Q_OK && i < sizeof topics / sizeof topics[0]; i++)
        rc = q_broker_create_topic(d->broker, topics[i].name, topics[i].partitions, err);
    return rc;
}

static q_rc open_coordinator(dev *d, const char *log_dir, q_err *err)
{
    q_host_config config = { .log_dir = log_dir, .log_max_bytes = LOG_MAX_BYTES, .new_broker = true, .slow_ms = 1000 };
    q_operate_defaults(&config.core);
    q_rc rc = d->config ? q_auth_open(d->config, &d->auth, err) : Q_OK;
    if (rc != Q_OK)
        return rc;
    q_auth_use(d->auth, &config.core);
    config.transport = (q_host_transport){ .send = send_work, .publish = publish, .pause = pause_requests, .fatal = host_fatal, .ctx = d };
    rc = q_host_open(&config, &d->host, err);
    return rc == Q_OK ? q_auth_run(d->auth, err) : rc;
}

static q_rc start_workers(dev *d, q_err *err)
{
    q_rc rc = Q_OK;
    for (int e = 0; rc == Q_OK && e < Q_EN_COUNT; e++) {
        const char *name = q_engine_name((q_engine_id)e);
        snprintf(d->uris[e], sizeof d->uris[e], "%s/engines/%s", d->dir, name);
        rc = make_dir(d->uris[e], err);
        q_engine_config engine = { .id = (q_engine_id)e, .uri = d->uris[e], .worker = name, .cluster = q_host_cluster(d->host),
                                   .lock_timeout_ms = 1000, .io_timeout_ms = 10000 };
        q_worker_config worker;
        q_operate_worker_defaults(&worker, &q_engine_embedded, &engine);
        if (rc == Q_OK)
            rc = q_worker_runtime_start(q_measured_ops((q_engine_id)e, &q_engine_embedded), &engine, &worker, worker_said, d, &d->workers[e], err);
    }
    return rc;
}

/* HTTP: the gateway's routes, and on the same port what every program serves to operators. */
static q_rc start_gateway(dev *d, const q_kafka_config *kafka, q_err *err)
{
    q_gateway_config g = {
        .server = { .host = "127.0.0.1", .port = d->http_port, .admin = answer, .admin_ctx = d, .admin_paths = true },
        .exchange = { .kafka = *kafka, .requests = "quanta.requests", .replies = REPLIES },
    };
    g.exchange.kafka.fetch_wait_max_ms = 2;
    return q_gateway_start(&g, &d->gateway, err);
}

static q_rc start(dev *d, q_err *err)
{
    char path[PATH_MAX];
    q_rc rc = make_dir(d->dir, err);
    snprintf(path, sizeof path, "%s/engines", d->dir);
    if (rc == Q_OK)
        rc = make_dir(path, err);
    snprintf(path, sizeof path, "%s/wal", d->dir);
    if (rc == Q_OK)
        rc = make_dir(path, err);
    if (rc == Q_OK)
        rc = open_coordinator(d, path, err); /* before librdkafka and its threads: the log is checked by a child process */
    if (rc == Q_OK)
        rc = start_broker(d, err);
    if (rc == Q_OK)
        rc = start_workers(d, err);
    q_kafka_config kafka = { .bootstrap = d->broker ? q_broker_bootstrap(d->broker) : NULL, .fetch_wait_max_ms = 1 };
    if (rc == Q_OK)
        rc = q_producer_new(&kafka, delivered, d, &d->producer, err);
    if (rc == Q_OK)
        rc = q_host_run(d->host, err);
    snprintf(path, sizeof path, "%s/requests.spool", d->dir);
    if (rc == Q_OK)
        rc = q_intake_start(path, d->host, end, d, &d->intake, err);
    q_source_config source = { .topic = "quanta.requests", .message = request_arrived, .failed = source_failed, .ctx = d };
    if (rc == Q_OK)
        rc = q_source_start(&kafka, &source, 5000, &d->source, err);
    if (rc == Q_OK)
        rc = start_gateway(d, &kafka, err);
    return rc;
}

/* The host first: it lets go of every message, which belong to the source, and takes no more posts from those that stop after it. */
static void stop(dev *d)
{
    q_gateway_stop(d->gateway, STOP_MS);
    q_host_stop(d->host, STOP_MS);
    q_source_stop(d->source);
    q_intake_stop(d->intake);
    if (d->producer)
        q_producer_flush(d->producer, 2000);
    q_producer_free(d->producer);
    for (int e = 0; e < Q_EN_COUNT; e++)
        q_worker_runtime_stop(d->workers[e]);
    q_host_free(d->host);
    q_auth_close(d->auth);
    q_broker_stop(d->broker);
}

/* Written whole or not at all: a reader never sees half a line. */
static q_rc write_ready(const char *path, const char *line, q_err *err)
{
    char temp[PATH_MAX + 8];
    snprintf(temp, sizeof temp, "%s.new", path);
    FILE *f = fopen(temp, "w");
    bool ok = f && fputs(line, f) >= 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (ok && rename(temp, path) == 0)
        return Q_OK;
    return q_err_set(err, Q_E_INTERNAL, "%s can't be written: %s", path, strerror(errno));
}

static q_rc announce(dev *d, q_err *err)
{
    char line[512], path[PATH_MAX];
    snprintf(line, sizeof line, "ready bootstrap=%s http=127.0.0.1:%u\n", q_broker_bootstrap(d->broker), q_gateway_port(d->gateway));
    snprintf(path, sizeof path, "%s/ready", d->dir);
    q_rc rc = write_ready(path, line, err);
    if (rc == Q_OK)
        rc = q_operate_remember_dev(d->dir, err);
    if (rc == Q_OK) {
        fputs(line, stdout);
        fflush(stdout);
    }
    return rc;
}

/* An engine whose disk is full or broken stays as it is until the process is started again: better said than waited for. */
static bool engines_can_go_on(dev *d)
{
    for (int e = 0; e < Q_EN_COUNT; e++) {
        q_worker_runtime_state state;
        if (!d->workers[e])
            continue;
        q_worker_runtime_state_get(d->workers[e], &state);
        if (state.failed) {
            fprintf(stderr, "quanta dev: engine %s: %s\n  What was committed is in the log. Look at the disk of %s, then start `quanta dev` again.\n",
                    q_engine_name((q_engine_id)e), state.error, d->dir);
            d->ended = "an engine has failed";
            return false;
        }
    }
    return true;
}

static void help(FILE *to)
{
    fputs("Usage: quanta dev [--dir DIR] [--http-port PORT] [-c FILE]\n\n"
          "Runs a whole system in one process, durable in DIR (default ./quanta-dev): an in-process Kafka broker, the\n"
          "coordinator, four embedded engines, HTTP. Prints `ready bootstrap=HOST:PORT http=HOST:PORT` when clients are welcome\n"
          "and writes the same line to DIR/ready. Ends cleanly on SIGTERM or Ctrl-C.\n\n"
          "  --dir DIR         where everything is kept\n"
          "  -c FILE           auth.* of this quanta.yaml: who may do what\n"
          "  --http-port PORT  of the HTTP interface, /health and /metrics (default 0: any free one)\n",
          to);
}

int q_cmd_dev(int argc, char **argv)
{
    static const struct option options[] = {
        { "dir", required_argument, NULL, 'd' }, { "http-port", required_argument, NULL, 'p' }, { "help", no_argument, NULL, 'h' }, { 0 }
    };
    dev d = { .dir = "quanta-dev", .main_thread = pthread_self() };
    int o;
    while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        int64_t port;
        switch (o) {
        case 'd':
            d.dir = optarg;
            break;
        case 'p':
            if (!q_option_number("quanta dev", "--http-port", optarg, 0, 65535, &port))
                return Q_EXIT_USAGE;
            d.http_port = (uint16_t)port;
            break;
        case 'h':
            help(stdout);
            return Q_EXIT_COMMITTED;
        default:
            return q_usage_more("quanta dev");
        }
    }
    if (optind < argc)
        return q_usage_error("quanta dev", "unexpected '%s'", argv[optind]);
    if (!*d.dir || strlen(d.dir) > PATH_MAX - 64)
        return q_usage_error("quanta dev", "--dir is %s", *d.dir ? "too long" : "empty");
    char full[PATH_MAX];
    q_err err = Q_ERR_INIT;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread: only main takes them */

    q_rc rc = q_find_has_config() ? q_find_config(&d.config, &err) : Q_OK;
    if (rc == Q_OK)
        rc = make_dir(d.dir, &err);
    if (rc == Q_OK && realpath(d.dir, full))
        d.dir = full;
    if (rc == Q_OK)
        rc = start(&d, &err);
    if (rc == Q_OK)
        rc = announce(&d, &err);
    if (rc != Q_OK) {
        fprintf(stderr, "quanta dev: %s\n", err.message);
        if (err.hint[0])
            fprintf(stderr, "  %s\n", err.hint);
        stop(&d);
        return Q_EXIT_UNREACHABLE;
    }
    static const struct timespec look_every = { .tv_nsec = 500 * 1000 * 1000 };
    while (sigtimedwait(&signals, NULL, &look_every) < 0 && engines_can_go_on(&d))
        ;
    q_say(Q_SAY_INFO, "stopping");
    stop(&d);
    return d.ended ? Q_EXIT_UNREACHABLE : 0;
}
