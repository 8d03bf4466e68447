#include "cmd/host/process.h"

#include "base/failpoint.h"
#include "base/say.h"
#include "base/version.h"
#include "cmd/host/metrics.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static atomic_int end_status;
static atomic_bool ending;
static pthread_t main_thread;

enum { OPT_READY = 256, OPT_PORT, OPT_ENGINE, OPT_NAME, OPT_PRINT, OPT_SETTINGS, OPT_METRICS, OPT_VERSION, OPT_NEW_TOPIC, OPT_FAILPOINTS };

static void help(const q_process *p)
{
    fputs(p->usage, stdout);
    fputs("  -c, --config FILE    the configuration (docs/configuration.md); needed\n"
          "      --http-port PORT /health, /livez, /readyz and /metrics there; default: as configured; 0: any free port\n"
          "      --ready-file F   write the ready line to F, too\n"
          "      --print-config   print what holds, without secrets, and end\n"
          "      --help-settings  print all settings as Markdown, and end\n"
          "      --help-metrics   print all metrics as Markdown, and end\n"
          "      --help-failpoints  where tests may end it; only in a build for tests\n"
          "      --version        print the version\n\n"
          "Prints `ready …` when it is; its log is JSON on stderr. Ends cleanly on SIGTERM or Ctrl-C.\n"
          "Exit status: 0 ended when asked, 2 wrong options, configuration or credentials, 3 something it needs can't be reached\n"
          "or is taken, 70 it had to end without telling any outcome.\n", stdout);
}

static int wrong(const q_process *p, const char *text, const char *what)
{
    fprintf(stderr, "%s: ", p->program);
    fprintf(stderr, text, what);
    fprintf(stderr, "\nTry `%s --help`.\n", p->program);
    return Q_PROCESS_USAGE;
}

static int print(void (*write)(q_buf *out))
{
    q_buf out = Q_BUF_INIT(1 << 20);
    write(&out);
    bool ok = !out.failed && fwrite(out.ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    q_buf_free(&out);
    return ok ? Q_PROCESS_OK : Q_PROCESS_UNREACHABLE;
}

static bool port(const char *text, int64_t *out)
{
    char *rest;
    errno = 0;
    long n = strtol(text, &rest, 10);
    *out = n;
    return !errno && rest != text && !*rest && n >= 0 && n <= 65535;
}

static q_level level_of(const char *name)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    for (int i = 0; i < 4; i++)
        if (!strcmp(names[i], name))
            return (q_level)i;
    return Q_SAY_INFO;
}

int q_process_begin(q_process *p, int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },        { "help", no_argument, NULL, 'h' },
        { "ready-file", required_argument, NULL, OPT_READY }, { "http-port", required_argument, NULL, OPT_PORT },
        { "engine", required_argument, NULL, OPT_ENGINE }, { "name", required_argument, NULL, OPT_NAME },
        { "print-config", no_argument, NULL, OPT_PRINT },  { "help-settings", no_argument, NULL, OPT_SETTINGS },
        { "help-metrics", no_argument, NULL, OPT_METRICS },{ "version", no_argument, NULL, OPT_VERSION },
        { "new-topic", no_argument, NULL, OPT_NEW_TOPIC }, { "help-failpoints", no_argument, NULL, OPT_FAILPOINTS }, { 0 }
    };
    const char *path = getenv("QUANTA_CONFIG");
    bool show = false;
    int o;
    p->http_port = -1;
    while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (o) {
        case 'c': path = optarg; break;
        case 'h': help(p); return Q_PROCESS_OK;
        case OPT_READY: p->ready_file = optarg; break;
        case OPT_PORT:
            if (!port(optarg, &p->http_port))
                return wrong(p, "--http-port takes a port, not '%s'", optarg);
            break;
        case OPT_ENGINE: p->engine = optarg; break;
        case OPT_NAME: p->name = optarg; break;
        case OPT_PRINT: show = true; break;
        case OPT_SETTINGS: return print(q_config_markdown);
        case OPT_METRICS: return print(q_metric_markdown);
        case OPT_FAILPOINTS: q_failpoint_help(p->takes_engine ? "worker" : "coordinator"); return Q_PROCESS_OK;
        case OPT_NEW_TOPIC: p->new_topic = true; break;
        case OPT_VERSION: puts("quanta " Q_VERSION); return Q_PROCESS_OK;
        default: fprintf(stderr, "Try `%s --help`.\n", p->program); return Q_PROCESS_USAGE;
        }
    }
    if (optind < argc)
        return wrong(p, "unexpected '%s'", argv[optind]);
    if (!p->takes_engine && (p->engine || p->name))
        return wrong(p, "%s is an option of quanta-worker", p->engine ? "--engine" : "--name");
    if (!p->takes_new_topic && p->new_topic)
        return wrong(p, "%s is an option of quanta-coordinator", "--new-topic");
    if (p->takes_engine && !p->engine && !show)
        return wrong(p, "%s is missing: postgres, mongo, neo4j, influx or embedded", "--engine");
    if (!path || !*path)
        return wrong(p, "%s is missing", "-c FILE");
    q_err err = Q_ERR_INIT;
    if (q_config_load(path, NULL, &p->config, &err) != Q_OK)
        return q_process_failed(p, Q_FAIL, &err);
    if (show) {
        q_buf out = Q_BUF_INIT(1 << 20);
        q_config_print(p->config, &out);
        fwrite(out.ptr ? out.ptr : "", 1, out.len, stdout);
        q_buf_free(&out);
        return fflush(stdout) == 0 ? Q_PROCESS_OK : Q_PROCESS_UNREACHABLE;
    }
    q_say_init(p->program, level_of(p->config->log.level));
    if (sodium_init() < 0)
        return wrong(p, "no random numbers on this %s", "system");
    main_thread = pthread_self();
    signal(SIGPIPE, SIG_IGN);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    return -1;
}

/* Written whole or not at all: a reader never sees half a line. */
static q_rc write_file(const char *path, const char *line, q_err *err)
{
    char temp[PATH_MAX + 8];
    snprintf(temp, sizeof temp, "%s.new", path);
    FILE *f = fopen(temp, "w");
    bool ok = f && fprintf(f, "%s\n", line) > 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (ok && rename(temp, path) == 0)
        return Q_OK;
    return q_err_set(err, Q_E_INTERNAL, "%s can't be written: %s (--ready-file)", path, strerror(errno));
}

q_rc q_process_ready(const q_process *p, const char *line, q_err *err)
{
    if (p->ready_file && write_file(p->ready_file, line, err) != Q_OK)
        return Q_FAIL;
    puts(line);
    fflush(stdout);
    return Q_OK;
}

bool q_process_wait(int timeout_ms)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    struct timespec t = { timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000 };
    for (;;) {
        if (atomic_load(&ending))
            return true;
        int got = timeout_ms < 0 ? sigwaitinfo(&signals, NULL) : sigtimedwait(&signals, NULL, &t);
        if (got > 0)
            return true;
        if (errno == EAGAIN)
            return atomic_load(&ending);
    }
}

void q_process_end(int status)
{
    int none = 0;
    atomic_compare_exchange_strong(&end_status, &none, status);
    atomic_store(&ending, true);
    pthread_kill(main_thread, SIGTERM);
}

int q_process_status(void) { return atomic_load(&end_status); }

int q_process_failed(const q_process *p, q_rc rc, const q_err *err)
{
    fprintf(stderr, "%s: %s\n", p->program, err->message);
    if (err->hint[0])
        fprintf(stderr, "  %s\n", err->hint);
    return rc == Q_RETRY ? Q_PROCESS_UNREACHABLE : rc == Q_FATAL ? Q_PROCESS_FATAL : Q_PROCESS_USAGE;
}

void q_process_free(q_process *p)
{
    q_config_free(p->config);
    p->config = NULL;
}
