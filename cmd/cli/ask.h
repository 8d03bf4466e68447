/* ask.h - questions to a running program's admin server (cmd/host/admin.h), over libcurl. */
#ifndef Q_CMD_ASK_H
#define Q_CMD_ASK_H

#include "base/buf.h"
#include "base/error.h"

/* GET http://`host_port``path`. Q_RETRY: not reachable; Q_FAIL: it answered with another status than 200 (the message has it). */
Q_CHECK q_rc q_ask(const char *host_port, const char *path, q_buf *body, q_err *err);

/* The same by POST, under the operator's name (who is logged in here): what changes something. Q_FAIL carries the error and hint that it answered. */
Q_CHECK q_rc q_ask_change(const char *host_port, const char *path, q_buf *body, q_err *err);

#endif
