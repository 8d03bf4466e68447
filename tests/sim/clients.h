/* clients.h - who asks: closed loops that send requests, send them again when no answer comes (or for no reason), now and then with
 * another body under the same request id. */
#ifndef Q_SIM_CLIENTS_H
#define Q_SIM_CLIENTS_H

#include "tests/sim/world.h"

clients *clients_new(world *w);
/* Definitions and first rows, one request after the other; `then` is called when all are answered. */
void clients_set_up(clients *c, void (*then)(world *w));
/* `requests` requests of `count` clients. */
void clients_start(clients *c, uint32_t count, uint32_t requests);
/* How many of them were answered. */
uint32_t clients_answered(const clients *c);
bool clients_done(const clients *c);

/* Scenarios: one request, sent now. The answer is in the identity. */
sim_identity *clients_ask(clients *c, const sim_txn *t, int32_t partition);
/* The same request id again. */
void clients_ask_again(clients *c, sim_identity *id, int32_t partition);

#endif
