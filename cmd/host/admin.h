/* admin.h - the small HTTP server that every program has: /health, /metrics and what operators ask. Loopback unless told otherwise.
 *
 * libmicrohttpd with its own thread pool; `answer` is called on its threads. GET only: it changes nothing but by POST routes that
 * the program names. */
#ifndef Q_CMD_ADMIN_H
#define Q_CMD_ADMIN_H

#include "base/buf.h"
#include "base/error.h"

typedef struct q_admin q_admin;

typedef struct q_admin_reply {
    int status;              /* HTTP; 404 when it wasn't set */
    const char *type;        /* content type; static */
    q_buf body;
} q_admin_reply;

/* `path` without the query. `query_value` looks up a query argument: NULL when absent. */
typedef struct q_admin_request {
    const char *method, *path;
    const char *(*query_value)(const void *handle, const char *name);
    const void *handle;
    const char *(*header_value)(const void *handle, const char *name);
    bool loopback;           /* it comes from this machine */
} q_admin_request;
typedef void (*q_admin_answer)(void *ctx, const q_admin_request *request, q_admin_reply *reply);

/* `host` is an IP address ("127.0.0.1"); port 0: any free one. */
Q_CHECK q_rc q_admin_start(const char *host, uint16_t port, q_admin_answer answer, void *ctx, q_admin **out, q_err *err);
uint16_t q_admin_port(const q_admin *a);
void q_admin_stop(q_admin *a); /* accepts NULL */

/* For servers of their own that answer the same questions: a struct MHD_Connection's header (NULL when absent), and whether it comes from this machine. */
const char *q_admin_header(const void *connection, const char *name);
bool q_admin_is_local(const void *connection);

#endif
