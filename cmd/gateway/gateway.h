/* gateway.h - the gateway as one thing: the HTTP server and its exchange with Kafka. Of quanta-gateway and of quanta dev. */
#ifndef Q_CMD_GATEWAY_H
#define Q_CMD_GATEWAY_H

#include "cmd/gateway/server.h"

typedef struct q_gateway q_gateway;

typedef struct q_gateway_config {
    q_server_config server;
    q_exchange_config exchange;
} q_gateway_config;

/* Q_RETRY: Kafka can't be reached. */
Q_CHECK q_rc q_gateway_start(const q_gateway_config *config, q_gateway **out, q_err *err);
uint16_t q_gateway_port(const q_gateway *g);
bool q_gateway_ready(const q_gateway *g);
/* Drains for at most `drain_ms`, then tells those who still wait. Accepts NULL. */
void q_gateway_stop(q_gateway *g, int drain_ms);

#endif
