/* server.h - HTTP in and out: libmicrohttpd around gateway/'s operations. Nothing blocks in its threads.
 *
 * A request waits suspended while the coordinator works, so that a handful of threads serve thousands of connections. What operators ask
 * (/health, /metrics, /admin/…) may wait for the core and is answered by a thread of its own. */
#ifndef Q_CMD_SERVER_H
#define Q_CMD_SERVER_H

#include "cmd/gateway/exchange.h"
#include "cmd/host/admin.h"
#include "gateway/operation.h"

typedef struct q_server q_server;

typedef struct q_server_config {
    const char *host;            /* an IPv4 address; of loopback unless `authenticated` */
    bool authenticated;          /* the coordinator asks everybody who he is (auth.mode: on) */
    uint16_t port;               /* 0: any free one */
    unsigned threads;            /* 0: 2 */
    unsigned max_connections;    /* 0: 4096 */
    size_t max_body;             /* 0: 1 MiB */
    uint32_t default_timeout_ms, max_timeout_ms; /* 0: 5000, 60000 */
    q_gate_limits limits;        /* 0: 100, 1000 */
    unsigned idle_s;             /* 0: 60 */
    unsigned per_address;        /* connections; 0: as many as there may be */
    int64_t rate_per_s, rate_burst; /* requests of a key or token, or an address; 0: no limit (rate.h) */
    const char *tls_certificate, *tls_key, *tls_client_ca; /* PEM files; NULL: none. With a client CA every client must show a certificate of it */
    /* /health /livez /readyz /metrics and, when `admin_paths`, /admin/…; on a thread of its own, one at a time. */
    q_admin_answer admin;
    void *admin_ctx;
    bool admin_paths;
} q_server_config;

Q_CHECK q_rc q_server_start(const q_server_config *config, q_exchange *exchange, q_server **out, q_err *err);
uint16_t q_server_port(const q_server *s);
/* Prometheus text of what this server did; appended to what `admin` says to /metrics. */
void q_server_metrics(const q_server *s, q_buf *out);
/* Stops listening; new requests on open connections are told 503 SHUTTING_DOWN; waits for those under way, at most `timeout_ms`.
 * The exchange is stopped after it and before q_server_free, which then answers whoever still waited. Accepts NULL. */
void q_server_drain(q_server *s, int timeout_ms);
void q_server_free(q_server *s); /* accepts NULL */

#endif
