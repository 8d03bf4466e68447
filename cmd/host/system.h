/* system.h - what the configuration means to a program: how to reach Kafka, what the topics are called, what the cores are told. */
#ifndef Q_CMD_SYSTEM_H
#define Q_CMD_SYSTEM_H

#include "bus/kafka.h"
#include "cmd/config/config.h"
#include "coordinator/core.h"
#include "workers/worker.h"

enum { Q_TOPIC_NAME = 128 };

/* A3's names under the configured prefix. `control` is compacted and has one partition: by engine, what every worker of it must hear
 * (a FENCE: cluster and epoch). A worker reads it whole when it starts, so that whoever comes late knows the epoch at once. */
typedef struct q_topics {
    char requests[Q_TOPIC_NAME], results[Q_TOPIC_NAME], ingest[Q_TOPIC_NAME], schemas[Q_TOPIC_NAME], dlq[Q_TOPIC_NAME];
    char votes[Q_TOPIC_NAME], control[Q_TOPIC_NAME], changes[Q_TOPIC_NAME]; /* changes: with its last dot */
    char work[Q_EN_COUNT][Q_TOPIC_NAME], reads[Q_EN_COUNT][Q_TOPIC_NAME];
} q_topics;

void q_system_topics(const q_config *c, q_topics *out);
/* Creates what is missing, of the engines in `engines` (a mask); of a coordinator all, of a worker only what it uses. */
Q_CHECK q_rc q_system_create_topics(const q_config *c, const q_topics *t, uint32_t engines, bool coordinator, q_err *err);
/* One topic of changes, when it is missing. */
Q_CHECK q_rc q_system_create_changes(const q_config *c, const char *topic, q_err *err);

/* Borrows from `c`. Q_FAIL when kafka.bootstrap is missing. */
Q_CHECK q_rc q_system_kafka(const q_config *c, q_kafka_config *out, q_err *err);
/* Mask of the engines that are configured. Q_FAIL without PostgreSQL, where records are. */
Q_CHECK q_rc q_system_engines(const q_config *c, uint32_t *out, q_err *err);
void q_system_core(const q_config *c, uint32_t engines, q_core_config *out);
/* `uri` (of `size`) holds the engine's address while it is in use; makes the embedded engine's directory. */
Q_CHECK q_rc q_system_engine(const q_config *c, q_engine_id e, const char *worker, char *uri, size_t size, q_engine_config *out, q_err *err);
void q_system_worker(const q_config *c, const q_engine_ops *ops, const q_engine_config *engine, q_worker_config *out);
const q_engine_ops *q_system_ops(const q_config *c, q_engine_id e);

/* mkdir -p; `setting` is named when it can't be made. */
Q_CHECK q_rc q_system_make_dir(const char *path, const char *setting, q_err *err);

#endif
