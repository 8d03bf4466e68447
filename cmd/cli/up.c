/* quanta up - the processes of a system on one machine under one supervisor: a coordinator, the configured workers, a gateway.
 *
 * One thread and one poll loop. A child that dies is started again, after a pause that doubles as long as it keeps dying soon; one that says by
 * its exit status (2) that its settings are wrong isn't, while the system starts: then all of it ends with what the child said. The children's
 * log lines pass through; what isn't JSON gets the child's name in front. The kernel ends the children when this process dies
 * (PR_SET_PDEATHSIG), so that none is left behind. */
#include "base/buf.h"
#include "base/say.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/find.h"
#include "cmd/cli/options.h"
#include "cmd/host/coordinator_host.h"
#include "cmd/host/process.h"
#include "cmd/host/system.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_CHILDREN = 2 + 64 * Q_EN_COUNT, /* the coordinator, the gateway, the workers */
    MAX_LINE = 64 << 10,
    QUIET_US = 10 * 1000 * 1000,  /* who has lived so long has started well: its next pause is the first again */
    WAITED_US = 20 * 1000 * 1000, /* then `ready` is said although not all engines serve */
    STOP_EXTRA_MS = 5000,         /* beyond timeouts.stop_ms, before a child is killed */
};

static const char GATEWAY[] = "gateway"; /* stands for an engine in `child` */

typedef struct child {
    char name[64], engine[16], http[64], port[8];
    pid_t pid;               /* 0: none now */
    int out, err;            /* pipes from it; -1: closed */
    q_buf line[2];
    bool ready, serving;
    uint64_t starts;
    int64_t started_us, again_us, pause_ms;
    int last_status;         /* of wait; -1: it never ended */
} child;

typedef struct up {
    const char *config_path;
    const q_config *config;
    char programs[PATH_MAX]; /* the directory of the programs */
    child children[MAX_CHILDREN];
    size_t count;
    char engines[64];        /* that the coordinator waits for, as it last said */
    bool told_ready, stopping;
    int64_t began_us;
    int wrong;               /* exit status of a child whose settings are wrong */
} up;

/* ---- what is told ---- */

static const char *state_of(const child *c)
{
    return c->pid ? c->ready ? "ready" : "starting" : c->starts ? "dead" : "not started";
}

static void write_status(const up *u)
{
    char path[PATH_MAX], temp[PATH_MAX + 8];
    json_t *all = json_array();
    for (size_t i = 0; i < u->count; i++) {
        const child *c = &u->children[i];
        json_array_append_new(all, json_pack("{s:s, s:i, s:s, s:s, s:I}", "name", c->name, "pid", (int)c->pid, "state", state_of(c), "http", c->http, "restarts",
                                             (json_int_t)(c->starts ? c->starts - 1 : 0)));
    }
    json_t *status = json_pack("{s:i, s:b, s:s, s:o}", "pid", (int)getpid(), "ready", (int)u->told_ready, "bootstrap", u->config->kafka.bootstrap, "processes", all);
    snprintf(path, sizeof path, "%s/status.json", u->config->up.dir);
    snprintf(temp, sizeof temp, "%s.new", path);
    if (!status || json_dump_file(status, temp, JSON_COMPACT) != 0 || rename(temp, path) != 0)
        q_say(Q_SAY_WARN, "%s can't be written (up.dir)", path);
    json_decref(status);
}

static void announce(up *u)
{
    char line[400], path[PATH_MAX], temp[PATH_MAX + 8], waiting[200] = "";
    bool serving = u->children[0].ready && u->children[0].serving, all = serving;
    for (size_t i = 0; i < u->count; i++)
        if (!u->children[i].ready) {
            all = false;
            size_t n = strlen(waiting);
            snprintf(waiting + n, sizeof waiting - n, "%s%s", n ? "," : " waiting=", u->children[i].name);
        }
    bool late = u->children[0].ready && q_mono_us() - u->began_us > WAITED_US;
    if (u->told_ready || (!all && !late))
        return;
    if (!all && !waiting[0])
        snprintf(waiting, sizeof waiting, " waiting=%s", u->engines[0] ? u->engines : "engines");
    u->told_ready = true;
    snprintf(line, sizeof line, "ready bootstrap=%s http=%s%s\n", u->config->kafka.bootstrap, u->children[0].http, waiting);
    snprintf(path, sizeof path, "%s/ready", u->config->up.dir);
    snprintf(temp, sizeof temp, "%s.new", path);
    FILE *f = fopen(temp, "w");
    bool ok = f && fputs(line, f) >= 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok || rename(temp, path) != 0)
        q_say(Q_SAY_WARN, "%s can't be written (up.dir)", path);
    fputs(line, stdout);
    fflush(stdout);
    write_status(u);
}

/* ---- children ---- */

static _Noreturn void become(up *u, child *c, pid_t parent, const int out[2], const int err[2])
{
    char program[PATH_MAX + 32];
    sigset_t none;
    bool coordinator = !c->engine[0], gateway = !strcmp(c->engine, GATEWAY);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(Q_PROCESS_UNREACHABLE); /* it died in between */
    setpgid(0, 0); /* a Ctrl-C is the supervisor's to pass on, in its order */
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    snprintf(program, sizeof program, "%s/%s", u->programs, coordinator ? "quanta-coordinator" : gateway ? "quanta-gateway" : "quanta-worker");
    const char *args[10] = { program, "-c", u->config_path };
    size_t n = 3;
    if (!coordinator && !gateway) {
        args[n++] = "--engine";
        args[n++] = c->engine;
        args[n++] = "--name";
        args[n++] = c->name;
        args[n++] = "--http-port";
        args[n++] = c->port;
    }
    args[n] = NULL;
    execv(program, (char *const *)(uintptr_t)args);
    fprintf(stderr, "%s can't be started: %s\n", program, strerror(errno));
    _exit(Q_PROCESS_USAGE);
}

static void start_child(up *u, child *c)
{
    int out[2] = { -1, -1 }, err[2] = { -1, -1 };
    pid_t parent = getpid(), pid = -1;
    c->again_us = 0;
    if (pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0)
        pid = fork();
    if (pid == 0)
        become(u, c, parent, out, err);
    for (int i = 0; i < 2; i++)
        if ((i ? err : out)[1] >= 0)
            close((i ? err : out)[1]);
    if (pid < 0) {
        q_say(Q_SAY_ERROR, "%s can't be started: %s", c->name, strerror(errno));
        if (out[0] >= 0)
            close(out[0]);
        if (err[0] >= 0)
            close(err[0]);
        c->again_us = q_mono_us() + u->config->up.restart_max_ms * 1000;
        return;
    }
    c->pid = pid;
    c->out = out[0];
    c->err = err[0];
    fcntl(c->out, F_SETFL, O_NONBLOCK);
    fcntl(c->err, F_SETFL, O_NONBLOCK);
    c->ready = c->serving = false;
    c->starts++;
    c->started_us = q_mono_us();
    write_status(u);
}

/* One line of a child's. */
static void said(up *u, child *c, bool err, const char *line, size_t n)
{
    if (err) {
        if (n && line[0] == '{')
            fprintf(stderr, "%.*s\n", (int)n, line);
        else if (n)
            fprintf(stderr, "%s: %.*s\n", c->name, (int)n, line);
        return;
    }
    const char *http = memmem(line, n, "http=", 5);
    if (n >= 6 && !memcmp(line, "ready ", 6) && http) {
        snprintf(c->http, sizeof c->http, "%.*s", (int)(n - (size_t)(http + 5 - line)), http + 5);
        c->ready = true;
        write_status(u);
    } else if (n == 7 && !memcmp(line, "serving", 7)) {
        c->serving = true;
    } else if (n > 8 && !memcmp(line, "waiting=", 8)) {
        snprintf(u->engines, sizeof u->engines, "%.*s", (int)(n - 8), line + 8);
    }
    announce(u);
}

/* Reads what there is; closes at the end. */
static void read_pipe(up *u, child *c, bool err)
{
    int *fd = err ? &c->err : &c->out;
    q_buf *b = &c->line[err];
    for (;;) {
        char *at = q_buf_reserve(b, 4096);
        if (!at) { /* a line without end: as much as there is */
            said(u, c, err, b->ptr, b->len);
            q_buf_clear(b);
            continue;
        }
        ssize_t n = read(*fd, at, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            if (b->len)
                said(u, c, err, b->ptr, b->len);
            q_buf_free(b);
            close(*fd);
            *fd = -1;
            return;
        }
        b->len += (size_t)n;
        char *from = b->ptr, *nl;
        while ((nl = memchr(from, '\n', b->len - (size_t)(from - b->ptr)))) {
            said(u, c, err, from, (size_t)(nl - from));
            from = nl + 1;
        }
        size_t left = b->len - (size_t)(from - b->ptr);
        memmove(b->ptr, from, left);
        b->len = left;
    }
}

static void ended(up *u, child *c, int status)
{
    for (int i = 0; i < 2; i++)
        if ((i ? c->err : c->out) >= 0)
            read_pipe(u, c, i);
    for (int i = 0; i < 2; i++) { /* a grandchild that still holds it isn't waited for */
        int *fd = i ? &c->err : &c->out;
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        q_buf_free(&c->line[i]);
    }
    bool asked_to = u->stopping, early = !c->ready, signalled = WIFSIGNALED(status);
    int code = signalled ? WTERMSIG(status) : WEXITSTATUS(status);
    c->pid = 0;
    c->ready = c->serving = false;
    c->last_status = status;
    if (!asked_to && !signalled && code == Q_PROCESS_USAGE && early && !u->told_ready) {
        u->wrong = code;
        return;
    }
    if (!asked_to) {
        int64_t now = q_mono_us(), first = u->config->up.restart_ms, most = u->config->up.restart_max_ms;
        c->pause_ms = now - c->started_us > QUIET_US || !c->pause_ms ? first : c->pause_ms * 2 > most ? most : c->pause_ms * 2;
        c->again_us = now + c->pause_ms * 1000;
        q_say(Q_SAY_WARN, "%s ended (%s %d): started again in %" PRId64 " ms", c->name, signalled ? "signal" : "status", code, c->pause_ms);
    }
    write_status(u);
}

static void reap(up *u)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < u->count; i++)
            if (u->children[i].pid == pid)
                ended(u, &u->children[i], status);
}

/* ---- the loop ---- */

static bool alive(const up *u, size_t from)
{
    for (size_t i = from; i < u->count; i++)
        if (u->children[i].pid)
            return true;
    return false;
}

/* Waits for something; true: a signal asks to end. */
static bool turn(up *u, int signals, int timeout_ms)
{
    struct pollfd fds[1 + 2 * MAX_CHILDREN];
    struct { child *c; bool err; } of[1 + 2 * MAX_CHILDREN];
    nfds_t n = 0;
    bool asked = false;
    fds[n++] = (struct pollfd){ .fd = signals, .events = POLLIN };
    for (size_t i = 0; i < u->count; i++)
        for (int e = 0; e < 2; e++) {
            child *c = &u->children[i];
            int fd = e ? c->err : c->out;
            if (fd < 0)
                continue;
            of[n].c = c;
            of[n].err = e;
            fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
        }
    if (poll(fds, n, timeout_ms) <= 0)
        return false;
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info)
        asked |= info.ssi_signo != SIGCHLD;
    for (nfds_t i = 1; i < n; i++)
        if (fds[i].revents && (of[i].err ? of[i].c->err : of[i].c->out) == fds[i].fd)
            read_pipe(u, of[i].c, of[i].err);
    reap(u);
    return asked;
}

static void signal_all(const up *u, size_t from, size_t to, int sig)
{
    for (size_t i = from; i < to; i++)
        if (u->children[i].pid)
            kill(u->children[i].pid, sig);
}

/* The coordinator first: it finishes what is in flight, for which it needs the workers. */
static void stop(up *u, int signals)
{
    u->stopping = true;
    for (int part = 0; part < 2; part++) {
        size_t from = part ? 1 : 0, to = part ? u->count : 1;
        int64_t until = q_mono_us() + (u->config->timeouts.stop_ms + STOP_EXTRA_MS) * 1000;
        signal_all(u, from, to, SIGTERM);
        while (part ? alive(u, 1) : u->children[0].pid != 0) {
            if (q_mono_us() > until) {
                q_say(Q_SAY_WARN, "%s doesn't end: killed", part ? "a worker" : "the coordinator");
                signal_all(u, from, to, SIGKILL);
                until = INT64_MAX;
            }
            turn(u, signals, 100);
        }
    }
    write_status(u);
}

static void run(up *u, int signals)
{
    u->began_us = q_mono_us();
    for (size_t i = 0; i < u->count; i++)
        start_child(u, &u->children[i]);
    for (;;) {
        int64_t now = q_mono_us(), next = u->told_ready ? now + 60000000 : now + 200000;
        for (size_t i = 0; i < u->count; i++) {
            child *c = &u->children[i];
            if (!c->pid && c->again_us && c->again_us <= now)
                start_child(u, c);
            if (c->again_us && c->again_us < next)
                next = c->again_us;
        }
        int ms = next > now ? (int)((next - now + 999) / 1000) : 0;
        if (turn(u, signals, ms) || u->wrong)
            break;
        announce(u);
    }
    stop(u, signals);
}

/* ---- the command ---- */

static child *add(up *u, const char *name, const char *engine, int64_t port)
{
    child *c = &u->children[u->count++];
    *c = (child){ .out = -1, .err = -1, .line = { Q_BUF_INIT(MAX_LINE), Q_BUF_INIT(MAX_LINE) }, .last_status = -1 };
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->engine, sizeof c->engine, "%s", engine);
    snprintf(c->port, sizeof c->port, "%" PRId64, port);
    return c;
}

static void plan(up *u)
{
    bool embedded = false;
    add(u, "coordinator", "", 0);
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++) {
        const q_config_engine *c = &u->config->engines[e];
        embedded |= q_config_embedded(u->config, e);
        for (int64_t i = 0; c->uri && i < c->workers; i++) {
            char name[64];
            snprintf(name, sizeof name, "%s-%" PRId64, q_engine_name(e), i);
            add(u, name, q_engine_name(e), c->http_port ? c->http_port + i : 0);
        }
    }
    if (embedded)
        add(u, "embedded-0", "embedded", 0);
    if (u->config->gateway.processes)
        add(u, GATEWAY, GATEWAY, 0);
}

static bool find_programs(up *u, q_err *err)
{
    ssize_t n = readlink("/proc/self/exe", u->programs, sizeof u->programs - 1);
    char *slash = NULL;
    if (n > 0) {
        u->programs[n] = '\0';
        slash = strrchr(u->programs, '/');
    }
    if (!slash) {
        q_err_set(err, Q_E_INTERNAL, "the place of this program isn't known (/proc)");
        return false;
    }
    *slash = '\0';
    return true;
}

/* One supervisor for a directory: -1 when there is another. */
static int lock_dir(const char *dir, q_err *err)
{
    char path[PATH_MAX];
    if (q_system_make_dir(dir, "up.dir", err) != Q_OK)
        return -1;
    snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    q_err_set(err, Q_E_INTERNAL, "%s: %s", path, errno == EWOULDBLOCK ? "another `quanta up` runs with this directory (up.dir)" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static int show_status(const q_config *config)
{
    char path[PATH_MAX];
    json_error_t e;
    snprintf(path, sizeof path, "%s/status.json", config->up.dir);
    json_t *all = json_load_file(path, 0, &e), *c;
    size_t i;
    int status = Q_EXIT_COMMITTED;
    json_int_t pid = json_integer_value(json_object_get(all, "pid"));
    if (!all || pid <= 0 || kill((pid_t)pid, 0) != 0) {
        fprintf(stderr, "quanta up: no system runs with this configuration (%s)\n", config->up.dir);
        json_decref(all);
        return Q_EXIT_UNREACHABLE;
    }
    printf("%-16s %8s %-9s %8s  %s\n", "process", "pid", "state", "restarts", "http");
    json_array_foreach(json_object_get(all, "processes"), i, c) {
        const char *state = json_string_value(json_object_get(c, "state"));
        printf("%-16s %8" JSON_INTEGER_FORMAT " %-9s %8" JSON_INTEGER_FORMAT "  %s\n", json_string_value(json_object_get(c, "name")),
               json_integer_value(json_object_get(c, "pid")), state, json_integer_value(json_object_get(c, "restarts")),
               json_string_value(json_object_get(c, "http")));
        if (!state || strcmp(state, "ready"))
            status = Q_EXIT_REFUSED;
    }
    json_decref(all);
    return status;
}

static void help(FILE *to)
{
    fputs("Usage: quanta up -c quanta.yaml [--status]\n\n"
          "Runs a whole system on this machine: the coordinator, engines.<engine>.workers workers of each engine\n"
          "and, with gateway.processes, the gateway. Prints\n"
          "`ready bootstrap=HOST:PORT http=HOST:PORT` when all engines serve, or after 20 s with what is waited for. A process that dies is\n"
          "started again. Ends everything cleanly on SIGTERM or Ctrl-C; should it die itself, so do the others.\n\n"
          "  -c, --config FILE  the configuration (docs/configuration.md)\n"
          "      --status       what runs; exit status 0: all are ready, 1: not all, 3: none\n", to);
}

int q_cmd_up(int argc, char **argv)
{
    static const struct option options[] = { { "status", no_argument, NULL, 's' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    static up u;
    bool status_only = false;
    int o;
    while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (o == 'h') {
            help(stdout);
            return Q_EXIT_COMMITTED;
        }
        if (o != 's')
            return q_usage_more("quanta up");
        status_only = true;
    }
    if (optind < argc)
        return q_usage_error("quanta up", "unexpected '%s'", argv[optind]);
    q_err err = Q_ERR_INIT;
    uint32_t engines;
    q_kafka_config kafka;
    if (q_find_config(&u.config, &err) != Q_OK || (!status_only && (q_system_kafka(u.config, &kafka, &err) != Q_OK || q_system_engines(u.config, &engines, &err) != Q_OK)) ||
        !find_programs(&u, &err)) {
        q_cli_print_failure(&err);
        return Q_EXIT_USAGE;
    }
    if (status_only)
        return show_status(u.config);
    u.config_path = u.config->path;
    int lock = lock_dir(u.config->up.dir, &err);
    if (lock < 0)
        return q_cli_print_failure(&err);
    char ready[PATH_MAX];
    snprintf(ready, sizeof ready, "%s/ready", u.config->up.dir);
    unlink(ready); /* of an earlier life */
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) {
        q_err_set(&err, Q_E_INTERNAL, "signalfd: %s", strerror(errno));
        return q_cli_print_failure(&err);
    }
    plan(&u);
    run(&u, signals);
    unlink(ready);
    close(signals);
    close(lock);
    return u.wrong ? u.wrong : Q_EXIT_COMMITTED;
}
