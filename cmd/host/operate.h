/* operate.h - what every program around a coordinator does the same way: defaults, publishing effects, operators' answers. */
#ifndef Q_CMD_OPERATE_H
#define Q_CMD_OPERATE_H

#include "bus/kafka.h"
#include "cmd/host/admin.h"
#include "cmd/host/coordinator_host.h"
#include "workers/worker.h"

/* The documented defaults (docs/configuration.md). */
void q_operate_defaults(q_core_config *out);
void q_operate_worker_defaults(q_worker_config *out, const q_engine_ops *ops, const q_engine_config *engine);

/* REPLY and PUBLISH effects as Kafka messages. */
q_rc q_operate_publish(q_producer *p, const q_effect *m, q_err *err);

/* GET /health /livez /readyz /metrics, /admin/status (JSON), /admin/txns[?stuck=1] (JSON lines). */
void q_operate_answer(q_host *h, const q_admin_request *request, q_admin_reply *reply);

/* Notes in ~/.quanta/dev which directory's `quanta dev` was started last, for clients without --bootstrap. */
Q_CHECK q_rc q_operate_remember_dev(const char *dir, q_err *err);

#endif
