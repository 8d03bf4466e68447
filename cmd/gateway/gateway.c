#include "cmd/gateway/gateway.h"

#include <stdlib.h>

struct q_gateway {
    q_exchange *exchange;
    q_server *server;
};

q_rc q_gateway_start(const q_gateway_config *config, q_gateway **out, q_err *err)
{
    q_gateway *g = calloc(1, sizeof *g);
    if (!g)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    q_rc rc = q_exchange_start(&config->exchange, &g->exchange, err);
    if (rc == Q_OK)
        rc = q_server_start(&config->server, g->exchange, &g->server, err);
    if (rc == Q_OK)
        *out = g;
    else
        q_gateway_stop(g, 0);
    return rc;
}

uint16_t q_gateway_port(const q_gateway *g) { return q_server_port(g->server); }
bool q_gateway_ready(const q_gateway *g) { return q_exchange_ready(g->exchange); }

/* Everybody who is suspended is resumed before libmicrohttpd stops: the exchange tells all its waiters, the server its operators. */
void q_gateway_stop(q_gateway *g, int drain_ms)
{
    if (!g)
        return;
    q_server_drain(g->server, drain_ms);
    q_exchange_stop(g->exchange);
    q_server_free(g->server);
    q_exchange_free(g->exchange);
    free(g);
}
