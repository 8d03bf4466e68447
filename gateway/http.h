/* http.h - an HTTP request and its answer as data. Pure: who reads sockets is in cmd/gateway.
 *
 * All slices borrow: those of a request from whoever received it, those of a response from the operation's arena. An absent header is
 * Q_SLICE_NONE. */
#ifndef Q_GATEWAY_HTTP_H
#define Q_GATEWAY_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

typedef enum q_http_method { Q_HTTP_GET = 0, Q_HTTP_POST, Q_HTTP_PUT, Q_HTTP_PATCH, Q_HTTP_DELETE, Q_HTTP_METHODS } q_http_method;

const char *q_http_method_name(q_http_method m); /* "GET"; static */
/* HEAD is GET: whoever sends the answer leaves its body out. false: a method that no resource has. */
bool q_http_method_from(q_slice name, q_http_method *out);

typedef struct q_http_request {
    q_http_method method;
    q_slice path, args;       /* of the URL, still percent-encoded; `args` is what follows the '?' */
    q_slice content_type, accept, authorization, idempotency_key, if_match, if_none_match, timeout_ms, traceparent;
    q_slice body;
} q_http_request;

typedef struct q_http_response {
    int status;
    const char *type;         /* content type; static. NULL: no body */
    q_slice body;
    q_slice etag, location;   /* header values, or none */
    const char *allow;        /* of a 405; static */
    q_code code;              /* Q_E_NONE when it isn't a problem */
    bool retry;               /* Retry-After: 1 */
    bool challenge;           /* WWW-Authenticate */
} q_http_response;

#define Q_TYPE_JSON    "application/json"
#define Q_TYPE_NDJSON  "application/x-ndjson"
#define Q_TYPE_GRAPHQL "application/graphql-response+json"
#define Q_TYPE_PROBLEM "application/problem+json"

/* "application/json; charset=utf-8" is application/json; case doesn't matter. */
bool q_http_type_is(q_slice content_type, const char *type);
/* Does an Accept header take `type` ("application/json")? Absent: everything. Weights other than q=0 don't matter: the first of the
 * server's own list that is taken is sent. Source: RFC 9110, 12.5.1. */
bool q_http_accepts(q_slice accept, const char *type);
/* The same for Accept-Encoding; absent: no. */
bool q_http_accepts_coding(q_slice accept_encoding, const char *coding);

/* %XX and, with `plus`, '+' decoded into the arena. false: a broken escape, a NUL, or not UTF-8. */
bool q_http_decode(q_arena *arena, q_slice text, bool plus, q_slice *out);
/* The first argument of this name, decoded. Q_OK; Q_END: absent; Q_FAIL REQUEST_MALFORMED. */
q_rc q_http_arg(q_arena *arena, q_slice args, const char *name, q_slice *out, q_err *err);

#endif
