/* client.h - one more Kafka client: publishes requests, waits for their results. One thread at a time, but for q_client_interrupt.
 *
 * When the place was found through the running `quanta dev`, a client follows it through restarts: whatever has no answer yet is sent
 * again to the new broker under the same request id, which changes nothing twice (B7). */
#ifndef Q_CMD_CLIENT_H
#define Q_CMD_CLIENT_H

#include "base/error.h"
#include "cmd/cli/find.h"

#include <jansson.h>

typedef struct q_client q_client;

enum { Q_CLIENT_WINDOW = 1024, Q_CLIENT_TIMEOUT_MS = 30000 };

/* Finds the system (q_find_kafka) and opens. Q_FAIL: nowhere to be found; Q_RETRY: the broker can't be reached. */
Q_CHECK q_rc q_client_connect(const char *given, q_client **out, q_err *err);
void q_client_close(q_client *c); /* accepts NULL */
const q_place *q_client_place(const q_client *c); /* valid until the next call that waits */

typedef struct q_client_request {
    const char *bucket;     /* or NULL */
    q_slice query;
    const json_t *params;   /* object, or NULL */
    const char *request_id; /* at most 79 bytes; or NULL: a random one */
    int timeout_ms;         /* of q_client_run: how long to wait for the result; 0: Q_CLIENT_TIMEOUT_MS */
} q_client_request;

/* Q_OK: *result is the whole result (rows of all parts together), owned by the caller; its status may be any. Q_IN_DOUBT: no answer in
 * time, or interrupted: it may have happened; the same request id will be answered with the outcome. Q_RETRY: it could not be sent. */
Q_CHECK q_rc q_client_run(q_client *c, const q_client_request *request, json_t **result, q_err *err);

/* Many in flight: send up to Q_CLIENT_WINDOW (one more is Q_FAIL), take their results as they come. `token` comes back with the result. */
Q_CHECK q_rc q_client_send(q_client *c, const q_client_request *request, uint64_t token, q_err *err);
/* Q_OK: one result. Q_END: nothing is waited for. Q_IN_DOUBT: none came within timeout_ms, or interrupted; they are still waited for. */
Q_CHECK q_rc q_client_next(q_client *c, int timeout_ms, uint64_t *token, json_t **result, q_err *err);
size_t q_client_waiting(const q_client *c);

/* Ends the wait that is going on, or the next one. Safe in a signal handler, from any thread. */
void q_client_interrupt(q_client *c);
/* The next wait isn't ended by an interrupt that came before this call. */
void q_client_go_on(q_client *c);

#endif
