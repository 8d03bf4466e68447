#include "cmd/host/admin.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdlib.h>

enum { MAX_BODY = 64 << 20, CONNECTIONS = 64, TIMEOUT_S = 30 };

struct q_admin {
    struct MHD_Daemon *daemon;
    q_admin_answer answer;
    void *ctx;
    uint16_t port;
};

static const char *query_value(const void *handle, const char *name)
{
    return MHD_lookup_connection_value((struct MHD_Connection *)(uintptr_t)handle, MHD_GET_ARGUMENT_KIND, name);
}

const char *q_admin_header(const void *handle, const char *name)
{
    return MHD_lookup_connection_value((struct MHD_Connection *)(uintptr_t)handle, MHD_HEADER_KIND, name);
}

bool q_admin_is_local(const void *handle)
{
    struct MHD_Connection *connection = (struct MHD_Connection *)(uintptr_t)handle;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr_in *at = info && info->client_addr && info->client_addr->sa_family == AF_INET ? (const struct sockaddr_in *)(const void *)info->client_addr : NULL;
    return at && ntohl(at->sin_addr.s_addr) >> 24 == 127;
}

static enum MHD_Result respond(struct MHD_Connection *connection, int status, const char *type, q_slice body)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)(body.ptr ? body.ptr : ""), MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                              const char *upload, size_t *upload_size, void **state)
{
    q_admin *a = cls;
    (void)version;
    (void)upload;
    if (!*state) { /* headers only: wait for the whole request */
        *state = a;
        return MHD_YES;
    }
    if (*upload_size) { /* no route takes a body */
        *upload_size = 0;
        return MHD_YES;
    }
    q_admin_request request = { method, url, query_value, connection, q_admin_header, q_admin_is_local(connection) };
    q_admin_reply reply = { 404, "text/plain; charset=utf-8", Q_BUF_INIT(MAX_BODY) };
    a->answer(a->ctx, &request, &reply);
    if (reply.status == 404 && reply.body.len == 0)
        q_buf_add_cstr(&reply.body, "not found\n");
    enum MHD_Result result = reply.body.failed ? respond(connection, 500, reply.type, Q_SLICE_LIT("too large\n"))
                                               : respond(connection, reply.status, reply.type, q_buf_slice(&reply.body));
    q_buf_free(&reply.body);
    return result;
}

q_rc q_admin_start(const char *host, uint16_t port, q_admin_answer answer, void *ctx, q_admin **out, q_err *err)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    if (inet_pton(AF_INET, host, &at.sin_addr) != 1)
        return q_err_set(err, Q_E_INTERNAL, "http: %s is not an IPv4 address", host);
    q_admin *a = calloc(1, sizeof *a);
    if (!a)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    a->answer = answer;
    a->ctx = ctx;
    a->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, port, NULL, NULL, handle, a,
                                 MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
                                 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = a->daemon ? MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info) {
        if (a->daemon)
            MHD_stop_daemon(a->daemon);
        free(a);
        return q_err_set(err, Q_E_INTERNAL, "http: can't listen on %s:%u (--http-port): is it in use?", host, port);
    }
    a->port = info->port;
    *out = a;
    return Q_OK;
}

uint16_t q_admin_port(const q_admin *a) { return a->port; }

void q_admin_stop(q_admin *a)
{
    if (!a)
        return;
    MHD_stop_daemon(a->daemon);
    free(a);
}
