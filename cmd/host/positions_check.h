/* positions_check.h - B7: is the requests topic still the one that the log knows? Before anything is read from it. */
#ifndef Q_CMD_POSITIONS_CHECK_H
#define Q_CMD_POSITIONS_CHECK_H

#include "bus/kafka.h"
#include "cmd/host/coordinator_host.h"

/* Between q_host_open and q_host_run. For every partition that the log has a position of: the topic must not end below it, must not
 * begin above it (requests would be lost), and the last complete message, while the topic still has it, must be the same by its hash.
 * Q_FAIL: it isn't, and what can be done. Q_RETRY: Kafka doesn't answer. */
Q_CHECK q_rc q_positions_check(const q_kafka_config *kafka, const char *topic, q_host *host, int timeout_ms, q_err *err);

#endif
