/* operators.h - what an operator asks of a running coordinator, and what he changes: replays, stuck transactions.
 *
 * GET  /admin/replay                            how far a replay is, or how the last one ended
 * POST /admin/replay?engine=E[&bucket=][&record=][&from=][&to=][&until_us=]     begins one; {"id": N}
 * POST /admin/replay/cancel
 * GET  /admin/txn?txid=T                        everything about one open transaction
 * POST /admin/txn/resolve?txid=T&commit=1 | &abandon=E     [&why=TEXT]
 * POST only from this machine, and only with the header `quanta-operator: NAME`, which no web page can send: the log remembers who. */
#ifndef Q_CMD_OPERATORS_H
#define Q_CMD_OPERATORS_H

#include "cmd/host/admin.h"
#include "cmd/host/coordinator_host.h"

/* False: it isn't one of those. Any thread. */
bool q_operators_answer(q_host *h, const q_admin_request *request, q_admin_reply *reply);

#endif
