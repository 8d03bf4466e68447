/* server.c - the daemon, its callbacks, and the thread for operators' questions. */
#include "cmd/gateway/call.h"

#include "base/say.h"
#include "cmd/host/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 2, CONNECTIONS = 4096, IDLE_S = 60, MAX_BODY = 1 << 20, CONNECTION_BYTES = 48 << 10, ARENA_FIRST = 8 << 10, ARENA_MAX = 256 << 20,
       MAX_URI = 8 << 10, MAX_PEM = 256 << 10 };

int64_t q_call_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- libmicrohttpd's callbacks ---- */

/* The first thing that is known of a request: its URL before anything was decoded. */
static void *on_uri(void *ctx, const char *uri, struct MHD_Connection *connection)
{
    q_server *s = ctx;
    size_t len = strlen(uri);
    q_call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->arena = q_arena_new_sized(ARENA_MAX, ARENA_FIRST);
    c->uri = c->arena && len <= MAX_URI ? q_arena_copy(c->arena, (q_slice){ uri, len }) : Q_SLICE_NONE;
    if (!c->arena) {
        free(c);
        return NULL;
    }
    c->server = s;
    c->connection = connection;
    c->start_us = q_call_now_us();
    c->match.route = Q_RT_COUNT;
    c->body = Q_BUF_INIT(s->config.max_body);
    const char *args = c->uri.len ? memchr(c->uri.ptr, '?', c->uri.len) : NULL;
    c->request.path = (q_slice){ c->uri.ptr, args ? (size_t)(args - c->uri.ptr) : c->uri.len };
    c->request.args = args ? q_slice_of(args + 1, c->uri.len - c->request.path.len - 1) : Q_SLICE_NONE;
    return c;
}

/* libmicrohttpd would decode in place, and a '/' in an id would be one more segment. */
static size_t leave_encoded(void *ctx, struct MHD_Connection *connection, char *text)
{
    (void)ctx;
    (void)connection;
    return strlen(text);
}

static bool for_operators(q_slice path)
{
    static const char *const all[] = { "/health", "/livez", "/readyz", "/metrics" };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (q_slice_eq(path, q_slice_cstr(all[i])))
            return true;
    return false;
}

/* Whoever shows a key or token is known by it, others by their address. */
static bool within_rate(q_call *c)
{
    if (!c->server->rate || for_operators(c->request.path))
        return true;
    const char *shown = MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    if (shown)
        return q_rate_take(c->server->rate, q_slice_cstr(shown), c->start_us);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr_in *at = info ? (const struct sockaddr_in *)(const void *)info->client_addr : NULL;
    return !at || at->sin_family != AF_INET || q_rate_take(c->server->rate, q_slice_of((const char *)&at->sin_addr, sizeof at->sin_addr), c->start_us);
}

/* Mutual TLS: the handshake asks for a certificate and takes none for an answer, so it is looked at here: no certificate of ours, no request. */
static bool client_verified(q_call *c)
{
    if (!c->server->config.tls_client_ca)
        return true;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    unsigned status = 1;
    return info && info->tls_session && gnutls_certificate_verify_peers2(info->tls_session, &status) == GNUTLS_E_SUCCESS && status == 0;
}

/* Headers only. What is wrong already is said before the body is sent; the connection ends then. */
static enum MHD_Result on_headers(q_call *c, const char *method)
{
    atomic_fetch_add(&c->server->under_way, 1);
    c->counted = true;
    c->state = Q_CALL_READING;
    if (!c->uri.ptr)
        return q_call_problem(c, Q_E_REQUEST_TOO_LARGE, "The URL is longer than the gateway takes.");
    if (!client_verified(c))
        return q_call_problem(c, Q_E_UNAUTHENTICATED, "A client certificate is needed here that gateway.tls_client_ca has signed.");
    if (!within_rate(c))
        return q_call_problem(c, Q_E_RATE_LIMITED, "More requests than one client may send (gateway.rate_per_s).");
    if (!q_http_method_from(q_slice_cstr(method), &c->request.method)) {
        q_match m;
        q_err ignored = Q_ERR_INIT;
        for (int i = 0; i < Q_HTTP_METHODS && c->match.route == Q_RT_COUNT; i++) /* for Allow: what there is */
            if (q_route_match(c->arena, (q_http_method)i, c->request.path, &m, &ignored) == Q_OK)
                c->match = m;
        if (c->match.route == Q_RT_COUNT)
            return q_call_problem(c, Q_E_ROUTE_UNKNOWN, "There is nothing at this path.");
        return q_call_problem(c, Q_E_METHOD_NOT_ALLOWED, "The resource has no such method.");
    }
    const char *length = MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (length && strtoull(length, NULL, 10) > c->server->config.max_body)
        return q_call_problem(c, Q_E_REQUEST_TOO_LARGE, "The body is larger than the gateway takes.");
    return MHD_YES;
}

static enum MHD_Result on_body(q_call *c, const char *bytes, size_t *n)
{
    size_t seen = c->body.len + *n;
    if (!c->too_large && seen <= c->server->config.max_body)
        q_buf_add(&c->body, bytes, *n);
    else
        c->too_large = true;
    *n = 0;
    return MHD_YES;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **state)
{
    q_call *c = *state;
    (void)ctx;
    (void)connection;
    (void)url;
    (void)version;
    if (!c)
        return MHD_NO;
    switch (c->state) {
    case Q_CALL_NEW:
        return on_headers(c, method);
    case Q_CALL_READING:
        if (*upload_size)
            return on_body(c, upload, upload_size);
        return q_call_begin(c);
    case Q_CALL_ARRIVED:
        return q_call_continue(c);
    default:
        *upload_size = 0; /* the rest of a body that was refused */
        return MHD_YES;
    }
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
    q_call *c = *state;
    (void)ctx;
    (void)connection;
    (void)code;
    if (!c)
        return;
    if (c->counted)
        atomic_fetch_sub(&c->server->under_way, 1);
    q_call_free(c);
    *state = NULL;
}

static void on_log(void *ctx, const char *format, va_list args)
{
    char text[400];
    (void)ctx;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    q_say(Q_SAY_DEBUG, "http: %s", text);
}

/* ---- operators' questions ---- */

static const char *query_value(const void *handle, const char *name)
{
    const q_call *c = handle;
    q_slice value;
    q_err ignored = Q_ERR_INIT;
    return q_http_arg(c->arena, c->request.args, name, &value, &ignored) == Q_OK ? value.ptr : NULL;
}

static const char *header_value(const void *handle, const char *name) { return q_admin_header(((const q_call *)handle)->connection, name); }

static void answer_operators(q_server *s, q_call *c)
{
    q_slice path = q_arena_copy(c->arena, c->request.path);
    q_admin_request request = { q_http_method_name(c->request.method), path.ptr ? path.ptr : "", query_value, c, header_value,
                                q_admin_is_local(c->connection) };
    s->config.admin(s->config.admin_ctx, &request, &c->admin_reply);
    if (c->match.route == Q_RT_METRICS && c->admin_reply.status == 200)
        q_server_metrics(s, &c->admin_reply.body);
    c->state = Q_CALL_ARRIVED;
    MHD_resume_connection(c->connection);
}

static void *run_operators(void *ctx)
{
    q_server *s = ctx;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->first && !s->stopping)
            pthread_cond_wait(&s->wake, &s->lock);
        q_call *c = s->first;
        if (!c)
            break;
        s->first = c->next;
        if (!s->first)
            s->last = NULL;
        pthread_mutex_unlock(&s->lock);
        answer_operators(s, c);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- metrics ---- */

static const char *route_name(size_t r) { return r < Q_RT_COUNT ? q_route_template((q_route)r) : "none"; }

void q_server_metrics(const q_server *s, q_buf *out)
{
    char labels[120];
    q_metric_head(out, Q_MT_HTTP_REQUESTS);
    for (size_t r = 0; r <= Q_RT_COUNT; r++)
        for (int h = 1; h < 5; h++) {
            uint64_t n = atomic_load_explicit(&s->answers[r][h], memory_order_relaxed);
            snprintf(labels, sizeof labels, "route=\"%s\",status=\"%dxx\"", route_name(r), h + 1);
            if (n)
                q_metric_sample(out, Q_MT_HTTP_REQUESTS, labels, (double)n);
        }
    q_metric_one(out, Q_MT_HTTP_IN_FLIGHT, (double)atomic_load(&s->under_way));
    q_metric_head(out, Q_MT_HTTP_SECONDS);
    for (size_t r = 0; r <= Q_RT_COUNT; r++) {
        uint64_t any = 0;
        for (int h = 0; h < 5; h++)
            any += atomic_load_explicit(&s->answers[r][h], memory_order_relaxed);
        snprintf(labels, sizeof labels, "route=\"%s\"", route_name(r));
        if (any)
            q_metric_histogram(out, Q_MT_HTTP_SECONDS, labels, &s->seconds[r]);
    }
}

/* ---- life ---- */

static void defaults(q_server_config *c)
{
    c->threads = c->threads ? c->threads : THREADS;
    c->max_connections = c->max_connections ? c->max_connections : CONNECTIONS;
    c->max_body = c->max_body ? c->max_body : MAX_BODY;
    c->idle_s = c->idle_s ? c->idle_s : IDLE_S;
    c->default_timeout_ms = c->default_timeout_ms ? c->default_timeout_ms : 5000;
    c->max_timeout_ms = c->max_timeout_ms ? c->max_timeout_ms : 60000;
    c->limits.default_rows = c->limits.default_rows ? c->limits.default_rows : 100;
    c->limits.max_rows = c->limits.max_rows ? c->limits.max_rows : 1000;
}

/* A PEM file, whole. */
static q_rc read_pem(const char *path, const char *setting, char **out, q_err *err)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return q_err_set(err, Q_E_INTERNAL, "%s: %s: %s", setting, path, strerror(errno));
    char *text = calloc(1, MAX_PEM + 1);
    size_t n = text ? fread(text, 1, MAX_PEM + 1, f) : 0;
    bool ok = text && !ferror(f) && n <= MAX_PEM && strstr(text, "-----BEGIN ");
    fclose(f);
    if (!ok) {
        free(text);
        return q_err_set(err, Q_E_INTERNAL, "%s: %s isn't a PEM file", setting, path);
    }
    *out = text;
    return Q_OK;
}

static q_rc tls_options(q_server *s, struct MHD_OptionItem out[4], q_err *err)
{
    const struct { const char *path, *setting; enum MHD_OPTION option; } files[] = {
        { s->config.tls_certificate, "gateway.tls_certificate", MHD_OPTION_HTTPS_MEM_CERT },
        { s->config.tls_key, "gateway.tls_key", MHD_OPTION_HTTPS_MEM_KEY },
        { s->config.tls_client_ca, "gateway.tls_client_ca", MHD_OPTION_HTTPS_MEM_TRUST },
    };
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        if (!files[i].path)
            continue;
        q_rc rc = read_pem(files[i].path, files[i].setting, &s->pem[i], err);
        if (rc != Q_OK)
            return rc;
        out[n++] = (struct MHD_OptionItem){ files[i].option, 0, s->pem[i] };
    }
    out[n] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
    return Q_OK;
}

static q_rc listen_on(q_server *s, q_err *err)
{
    struct MHD_OptionItem tls[4];
    q_rc rc = tls_options(s, tls, err);
    if (rc != Q_OK)
        return rc;
    unsigned secure = s->config.tls_key ? MHD_USE_TLS : 0;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(s->config.port) };
    if (inet_pton(AF_INET, s->config.host, &at.sin_addr) != 1)
        return q_err_set(err, Q_E_INTERNAL, "http: %s is not an IPv4 address", s->config.host);
    if (ntohl(at.sin_addr.s_addr) >> 24 != 127 && !s->config.authenticated)
        return q_err_set(err, Q_E_INTERNAL, "http: auth.mode is off: nobody is asked who he is, so only loopback is listened on; %s is not", s->config.host);
    s->daemon = MHD_start_daemon(secure | MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, s->config.port, NULL, NULL,
                                 on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, s, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at,
                                 MHD_OPTION_THREAD_POOL_SIZE, s->config.threads, MHD_OPTION_CONNECTION_LIMIT, s->config.max_connections,
                                 MHD_OPTION_CONNECTION_TIMEOUT, s->config.idle_s, MHD_OPTION_PER_IP_CONNECTION_LIMIT, s->config.per_address, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
                                 MHD_OPTION_URI_LOG_CALLBACK, on_uri, s, MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, s,
                                 MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u,
                                 MHD_OPTION_ARRAY, tls,
                                 MHD_OPTION_END);
    const union MHD_DaemonInfo *info = s->daemon ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info)
        return q_err_set(err, Q_E_INTERNAL, "http: can't listen on %s:%u: is it in use?%s", s->config.host, s->config.port,
                         secure ? " Or do gateway.tls_certificate and gateway.tls_key not belong together?" : "");
    s->port = info->port;
    return Q_OK;
}

q_rc q_server_start(const q_server_config *config, q_exchange *exchange, q_server **out, q_err *err)
{
    unsigned char random[6];
    q_server *s = calloc(1, sizeof *s);
    if (!s)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    s->config = *config;
    s->exchange = exchange;
    defaults(&s->config);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    s->hints = q_id_hints_new();
    q_rc rc = s->hints && sodium_init() >= 0 ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    if (rc == Q_OK) {
        randombytes_buf(random, sizeof random);
        if (config->rate_per_s > 0 && !(s->rate = q_rate_new(config->rate_per_s, config->rate_burst)))
            rc = q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        sodium_bin2hex(s->instance, sizeof s->instance, random, sizeof random);
        s->has_thread = pthread_create(&s->thread, NULL, run_operators, s) == 0;
        if (rc == Q_OK)
            rc = s->has_thread ? listen_on(s, err) : q_err_set(err, Q_E_INTERNAL, "no thread for the gateway");
    }
    if (rc == Q_OK)
        *out = s;
    else
        q_server_free(s);
    return rc;
}

uint16_t q_server_port(const q_server *s) { return s->port; }

void q_server_drain(q_server *s, int timeout_ms)
{
    if (!s || !s->daemon)
        return;
    int64_t until = q_call_now_us() + (int64_t)timeout_ms * 1000;
    MHD_socket fd = MHD_quiesce_daemon(s->daemon);
    atomic_store(&s->draining, true);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    while (atomic_load(&s->under_way) && q_call_now_us() < until) {
        struct timespec pause = { 0, 5 * 1000 * 1000 };
        nanosleep(&pause, NULL);
    }
}

void q_server_free(q_server *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    if (s->has_thread)
        pthread_join(s->thread, NULL); /* answers what is queued first: no connection stays suspended */
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    q_id_hints_free(s->hints);
    q_rate_free(s->rate);
    for (size_t i = 0; i < 3; i++) {
        if (s->pem[i])
            explicit_bzero(s->pem[i], strlen(s->pem[i]));
        free(s->pem[i]);
    }
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    free(s);
}
