/* quanta-gateway - the HTTP side: REST to quanta.requests and back. One more Kafka client; keeps nothing. */
#include "base/say.h"
#include "cmd/config/config.h"
#include "cmd/gateway/gateway.h"
#include "cmd/host/metrics.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_UNREACHABLE = 3, REPLIES_MS = 3600 * 1000 };

typedef struct options {
    const char *config, *bootstrap, *replies;
    bool listen;             /* --listen was given: host and port of the configuration don't count */
    char host[64];
    uint16_t port;
} options;

static q_gateway *running; /* for the operators' answers, which may be asked before start returns */

/* ---- what operators ask ---- */

static void answer(void *ctx, const q_admin_request *request, q_admin_reply *reply)
{
    (void)ctx;
    const q_gateway *g = __atomic_load_n(&running, __ATOMIC_ACQUIRE);
    bool ready = g && q_gateway_ready(g);
    if (!strcmp(request->path, "/metrics")) {
        reply->status = 200;
        reply->type = "text/plain; version=0.0.4; charset=utf-8";
        q_metric_process(&reply->body);
        return;
    }
    reply->status = !strcmp(request->path, "/readyz") && !ready ? 503 : 200;
    reply->type = "application/json";
    q_buf_printf(&reply->body, "{\"status\":\"%s\"}\n", ready ? "ready" : "not ready");
}

/* ---- the command line ---- */

static void help(FILE *to)
{
    fputs("Usage: quanta-gateway [-c quanta.yaml] [OPTION...]\n\n"
          "Serves the HTTP interface (GET /openapi.json describes it): publishes requests to Kafka, waits for their results.\n"
          "Prints `ready http=HOST:PORT` when clients are welcome. On SIGTERM it answers what it has accepted, then ends.\n\n"
          "  -c FILE                    kafka.*, gateway.*, log.* and auth.mode are read from it (docs/configuration.md)\n"
          "      --bootstrap HOST:PORT  where Kafka is; else QUANTA_BOOTSTRAP, else kafka.bootstrap\n"
          "      --listen HOST:PORT     an IPv4 address; of loopback only while auth.mode is off (default: gateway.host\n"
          "                             and gateway.port, which are 127.0.0.1:8080; port 0: any free one)\n"
          "      --reply-topic TOPIC    where results for this gateway go, nobody else's (default: gateway.reply_topic, else\n"
          "                             quanta.reply.gateway-HOSTNAME-PORT, made when it is missing)\n",
          to);
}

static int wrong(const char *what, const char *value)
{
    fprintf(stderr, "quanta-gateway: %s: '%s'\nTry `quanta-gateway --help`.\n", what, value);
    return EXIT_USAGE;
}

static bool read_listen(const char *text, options *o)
{
    const char *colon = strrchr(text, ':');
    char *end;
    if (!colon || colon == text || (size_t)(colon - text) >= sizeof o->host)
        return false;
    long port = strtol(colon + 1, &end, 10);
    if (end == colon + 1 || *end || port < 0 || port > 65535)
        return false;
    memcpy(o->host, text, (size_t)(colon - text));
    o->host[colon - text] = '\0';
    o->port = (uint16_t)port;
    o->listen = true;
    return true;
}

static int read_options(int argc, char **argv, options *o)
{
    static const struct option longs[] = {
        { "bootstrap", required_argument, NULL, 'b' }, { "listen", required_argument, NULL, 'l' },
        { "reply-topic", required_argument, NULL, 'r' }, { "help", no_argument, NULL, 'h' }, { 0 }
    };
    int c;
    while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c': o->config = optarg; break;
        case 'b': o->bootstrap = optarg; break;
        case 'r': o->replies = optarg; break;
        case 'l':
            if (!read_listen(optarg, o))
                return wrong("--listen is HOST:PORT, not", optarg);
            break;
        case 'h':
            help(stdout);
            exit(0);
        default:
            fputs("Try `quanta-gateway --help`.\n", stderr);
            return EXIT_USAGE;
        }
    }
    return optind < argc ? wrong("unexpected", argv[optind]) : 0;
}

/* ---- running ---- */

static int fail(const q_err *err)
{
    fprintf(stderr, "quanta-gateway: %s\n", err->message);
    if (err->hint[0])
        fprintf(stderr, "  %s\n", err->hint);
    return EXIT_UNREACHABLE;
}

/* Kafka's own settings in the file, as the bus takes them. */
static const q_kafka_setting *settings_of(const q_config *config)
{
    size_t n = 0;
    while (config->kafka.settings[n].name)
        n++;
    q_kafka_setting *s = calloc(n + 1, sizeof *s);
    for (size_t i = 0; s && i < n; i++)
        s[i] = (q_kafka_setting){ config->kafka.settings[i].name, config->kafka.settings[i].value };
    return s;
}

static int run(const options *o, const q_config *config)
{
    char replies[160], name[64] = "host";
    q_err err = Q_ERR_INIT;
    sigset_t signals;
    gethostname(name, sizeof name - 1);
    char requests[120];
    snprintf(requests, sizeof requests, "%s.requests", config->kafka.topic_prefix);
    const q_kafka_setting *settings = settings_of(config);
    const char *given = o->replies ? o->replies : config->gateway.reply_topic, *host = o->listen ? o->host : config->gateway.host;
    const uint16_t port = o->listen ? o->port : (uint16_t)config->gateway.port;
    /* By the port, which no other gateway has here: so a restart leaves no topic behind. */
    snprintf(replies, sizeof replies, "%s.reply.gateway-%s-%ld", config->kafka.topic_prefix, name, port ? (long)port : (long)getpid());
    q_gateway_config g = {
        .server = { .host = host, .port = port, .admin = answer, .authenticated = !strcmp(config->auth.mode, "on"),
                    .threads = (unsigned)config->gateway.threads, .max_connections = (unsigned)config->gateway.max_connections,
                    .per_address = (unsigned)config->gateway.connections_per_address, .idle_s = (unsigned)config->gateway.idle_s,
                    .max_body = (size_t)config->gateway.max_body_bytes, .default_timeout_ms = (uint32_t)config->gateway.timeout_ms,
                    .max_timeout_ms = (uint32_t)config->gateway.timeout_max_ms,
                    .limits = { .default_rows = (uint32_t)config->gateway.rows, .max_rows = (uint32_t)config->gateway.rows_max },
                    .rate_per_s = config->gateway.rate_per_s, .rate_burst = config->gateway.rate_burst,
                    .tls_certificate = config->gateway.tls_certificate, .tls_key = config->gateway.tls_key,
                    .tls_client_ca = config->gateway.tls_client_ca },
        .exchange = { .kafka = { .bootstrap = o->bootstrap, .settings = settings, .fetch_wait_max_ms = 5 }, .requests = requests,
                      .replies = given ? given : replies },
    };
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread: only main takes them */
    q_gateway *gateway = NULL;
    q_topic_spec topic = { g.exchange.replies, 1, REPLIES_MS, false };
    /* A broker that makes topics by itself (quanta dev's does, and can't be asked to) has it at the first try. */
    q_rc rc = q_gateway_start(&g, &gateway, &err);
    if (rc == Q_RETRY && config->kafka.create_topics) {
        err = (q_err)Q_ERR_INIT;
        rc = q_kafka_topics(&g.exchange.kafka, &topic, 1, (int)config->kafka.replication, true, (int)config->kafka.connect_timeout_ms, &err);
        if (rc == Q_OK)
            rc = q_gateway_start(&g, &gateway, &err);
    }
    if (rc != Q_OK) {
        free((void *)(uintptr_t)settings);
        return fail(&err);
    }
    __atomic_store_n(&running, gateway, __ATOMIC_RELEASE);
    printf("ready http=%s:%u\n", host, q_gateway_port(gateway));
    fflush(stdout);
    int sig;
    sigwait(&signals, &sig);
    q_say(Q_SAY_INFO, "stopping");
    q_gateway_stop(gateway, (int)config->gateway.drain_ms);
    free((void *)(uintptr_t)settings);
    return 0;
}

int main(int argc, char **argv)
{
    options o = { 0 };
    q_config *config = NULL;
    q_err err = Q_ERR_INIT;
    int status = read_options(argc, argv, &o);
    if (status)
        return status;
    if ((o.config ? q_config_load(o.config, NULL, &config, &err) : q_config_parse(Q_SLICE_LIT(""), "the defaults", NULL, NULL, &config, &err)) != Q_OK) {
        fprintf(stderr, "quanta-gateway: %s\n", err.message);
        if (err.hint[0])
            fprintf(stderr, "  %s\n", err.hint);
        return EXIT_USAGE;
    }
    q_say_init("quanta-gateway", !strcmp(config->log.level, "debug") ? Q_SAY_DEBUG : !strcmp(config->log.level, "warn") ? Q_SAY_WARN :
               !strcmp(config->log.level, "error") ? Q_SAY_ERROR : Q_SAY_INFO);
    if (!o.bootstrap)
        o.bootstrap = getenv("QUANTA_BOOTSTRAP");
    if (!o.bootstrap)
        o.bootstrap = config->kafka.bootstrap;
    if (!o.bootstrap || !*o.bootstrap) {
        fputs("quanta-gateway: no Kafka: --bootstrap HOST:PORT, QUANTA_BOOTSTRAP or kafka.bootstrap says where\n", stderr);
        status = EXIT_USAGE;
    } else {
        status = run(&o, config);
    }
    q_config_free(config);
    return status;
}
