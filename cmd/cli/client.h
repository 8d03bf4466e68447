/* client.h - one more Kafka client: publishes a request, waits for its result. One thread at a time. */
#ifndef Q_CMD_CLIENT_H
#define Q_CMD_CLIENT_H

#include "base/error.h"

#include <jansson.h>

typedef struct q_client q_client;

/* Where Kafka is: `given` (--bootstrap), else QUANTA_BOOTSTRAP, else the last `quanta dev` that still runs. false with err: nowhere. */
bool q_client_find(const char *given, char *bootstrap, size_t size, q_err *err);
/* The HTTP address of the running `quanta dev`, for operators' questions: `given` (--http), else QUANTA_HTTP, else dev's. */
bool q_client_find_http(const char *given, char *host_port, size_t size, q_err *err);

/* Q_RETRY: the broker can't be reached. */
Q_CHECK q_rc q_client_open(const char *bootstrap, q_client **out, q_err *err);
void q_client_close(q_client *c); /* accepts NULL */

typedef struct q_client_request {
    const char *bucket;     /* or NULL */
    q_slice query;
    const json_t *params;   /* object, or NULL */
    const char *request_id; /* or NULL: a random one */
    int timeout_ms;         /* how long to wait for the result; 0: 30 s */
} q_client_request;

/* Q_OK: *result is the whole result (rows of all parts together), owned by the caller; its status may be any. Q_IN_DOUBT: no answer in
 * time: it may have happened; the same request id will be answered with the outcome. Q_RETRY: it could not be sent. */
Q_CHECK q_rc q_client_run(q_client *c, const q_client_request *request, json_t **result, q_err *err);

#endif
