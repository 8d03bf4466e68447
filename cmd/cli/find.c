#include "cmd/cli/find.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROBE_MS = 500 };

/* The first line of a file, without its end; false when there is none. */
static bool first_line(const char *path, char *out, size_t size, struct stat *st)
{
    FILE *f = fopen(path, "r");
    bool ok = f && fgets(out, (int)size, f) && (!st || fstat(fileno(f), st) == 0);
    if (f)
        fclose(f);
    if (ok)
        out[strcspn(out, "\n")] = '\0';
    return ok && out[0];
}

static bool dev_dir(char *out, size_t size)
{
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    int n = home ? snprintf(path, sizeof path, "%s/.quanta/dev", home) : -1;
    return n > 0 && (size_t)n < sizeof path && first_line(path, out, size, NULL);
}

bool q_find_dev_dir(char *out, size_t size, q_err *err)
{
    if (dev_dir(out, size))
        return true;
    q_err_set(err, Q_E_INTERNAL, "no `quanta dev` was started here yet");
    q_err_hint(err, "--dir DIR says where the data is");
    return false;
}

static bool ready_path(const char *dir, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/ready", dir);
    return n > 0 && (size_t)n < size;
}

/* The value after `name` ("bootstrap=") in the ready line of the last quanta dev. */
static bool find_dev(const char *name, q_place *out)
{
    char path[PATH_MAX], line[1024];
    struct stat st;
    if (!dev_dir(out->dir, sizeof out->dir) || !ready_path(out->dir, path, sizeof path) || !first_line(path, line, sizeof line, &st))
        return false;
    const char *at = strstr(line, name);
    size_t n = at ? strcspn(at + strlen(name), " ") : 0;
    if (n == 0 || n >= sizeof out->address)
        return false;
    memcpy(out->address, at + strlen(name), n);
    out->address[n] = '\0';
    out->dev = true;
    out->ready_ino = st.st_ino;
    out->ready_mtime = st.st_mtim;
    return true;
}

/* ---- the configuration ---- */

static const char *config_path;
static q_config *config;

void q_find_use_config(const char *path) { config_path = path; }

static const char *named_config(void)
{
    const char *path = config_path ? config_path : getenv("QUANTA_CONFIG");
    return path && *path ? path : NULL;
}

bool q_find_has_config(void) { return named_config() != NULL; }

q_rc q_find_config(const q_config **out, q_err *err)
{
    const char *path = named_config();
    if (!path) {
        q_err_set(err, Q_E_INTERNAL, "no configuration is named");
        q_err_hint(err, "-c quanta.yaml, or QUANTA_CONFIG in the environment");
        return Q_FAIL;
    }
    q_rc rc = config ? Q_OK : q_config_load(path, NULL, &config, err);
    *out = config;
    return rc;
}

q_rc q_find_wal_dir(char *out, size_t size, q_err *err)
{
    const q_config *c;
    if (!named_config())
        return Q_END;
    q_rc rc = q_find_config(&c, err);
    if (rc != Q_OK)
        return rc;
    int n = snprintf(out, size, "%s", c->wal.dir);
    return n > 0 && (size_t)n < size ? Q_OK : q_err_set(err, Q_E_INTERNAL, "wal.dir is too long");
}

/* The value after `name` in the ready line that `quanta up` left. */
static bool up_ready(const q_config *c, const char *name, char *out, size_t size)
{
    char path[PATH_MAX], line[1024];
    const char *at = ready_path(c->up.dir, path, sizeof path) && first_line(path, line, sizeof line, NULL) ? strstr(line, name) : NULL;
    size_t n = at ? strcspn(at + strlen(name), " ") : 0;
    if (n == 0 || n >= size)
        return false;
    memcpy(out, at + strlen(name), n);
    out[n] = '\0';
    return true;
}

/* Q_END: no configuration is named. */
static q_rc find_configured(bool http, q_place *out, q_err *err)
{
    const q_config *c;
    if (!named_config())
        return Q_END;
    q_rc rc = q_find_config(&c, err);
    if (rc != Q_OK)
        return rc;
    int n = -1;
    if (http && up_ready(c, "http=", out->address, sizeof out->address))
        return Q_OK;
    if (http && c->http.coordinator_port)
        n = snprintf(out->address, sizeof out->address, "%s:%d", c->http.host, (int)c->http.coordinator_port);
    else if (!http && c->kafka.bootstrap)
        n = snprintf(out->address, sizeof out->address, "%s", c->kafka.bootstrap);
    if (n > 0 && (size_t)n < sizeof out->address)
        return Q_OK;
    if (http)
        q_err_set(err, Q_E_INTERNAL, "the coordinator's port isn't known: http.coordinator_port is 0 and no `quanta up` runs in %.150s", c->up.dir);
    else
        q_err_set(err, Q_E_INTERNAL, "kafka.bootstrap isn't given in %.200s", c->path);
    return Q_FAIL;
}

static bool find(const char *given, const char *variable, const char *name, const char *option, q_place *out, q_err *err)
{
    const char *from = given ? given : getenv(variable);
    *out = (q_place){ 0 };
    if (from && *from) {
        size_t n = strlen(from);
        if (n < sizeof out->address) {
            memcpy(out->address, from, n + 1);
            return true;
        }
        q_err_set(err, Q_E_INTERNAL, "%s is too long", given ? option : variable);
        return false;
    }
    q_rc rc = find_configured(name[0] == 'h', out, err);
    if (rc != Q_END)
        return rc == Q_OK;
    if (find_dev(name, out))
        return true;
    q_err_set(err, Q_E_INTERNAL, "no system found");
    q_err_hint(err, "start one with `quanta dev`, or say where it is: %s, or %s in the environment", option, variable);
    return false;
}

bool q_find_kafka(const char *given, q_place *out, q_err *err)
{
    return find(given, "QUANTA_BOOTSTRAP", "bootstrap=", "--bootstrap HOST:PORT", out, err);
}

bool q_find_http(const char *given, q_place *out, q_err *err)
{
    return find(given, "QUANTA_HTTP", "http=", "--http HOST:PORT", out, err);
}

bool q_place_moved(const q_place *place)
{
    char path[PATH_MAX];
    struct stat st;
    if (!place->dev || !ready_path(place->dir, path, sizeof path) || stat(path, &st) != 0)
        return false; /* while it is being restarted there may be none */
    return st.st_ino != place->ready_ino || st.st_mtim.tv_sec != place->ready_mtime.tv_sec ||
           st.st_mtim.tv_nsec != place->ready_mtime.tv_nsec;
}

static bool refuses(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
        return false;
    int error = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        socklen_t len = sizeof error;
        if (poll(&p, 1, PROBE_MS) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            error = 0;
    }
    close(fd);
    return error == ECONNREFUSED;
}

bool q_place_listens(const q_place *place)
{
    char host[256];
    const char *end = strchr(place->address, ','), *colon = strrchr(place->address, ':');
    if (end || !colon || colon == place->address)
        return true; /* several, or without a port: Kafka's client knows how to try them */
    const char *from = place->address;
    size_t n = (size_t)(colon - from);
    if (from[0] == '[' && n > 2 && from[n - 1] == ']') {
        from++;
        n -= 2;
    }
    memcpy(host, from, n);
    host[n] = '\0';
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list = NULL;
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
        return true;
    bool all_refuse = list != NULL;
    for (struct addrinfo *a = list; a && all_refuse; a = a->ai_next)
        all_refuse = refuses(a);
    freeaddrinfo(list);
    return !all_refuse;
}
