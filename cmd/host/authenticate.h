/* authenticate.h - who asks, for the coordinator: bearer tokens by a key set that is kept fresh, API keys by the catalog. The policy behind
 * q_core_config.authenticate. docs/permissions.md says what it means.
 *
 * Key sets come from a file or a URL, on a thread of its own: at the start, every `jwks_refresh_s`, and soon after a token named a key that
 * isn't known. A set that can't be had leaves the last one in force. */
#ifndef Q_CMD_AUTHENTICATE_H
#define Q_CMD_AUTHENTICATE_H

#include "cmd/config/config.h"
#include "coordinator/core.h"

typedef struct q_auth q_auth;

/* *out is NULL when auth.mode is off. Q_FAIL names the setting that is wrong. */
Q_CHECK q_rc q_auth_open(const q_config *config, q_auth **out, q_err *err);
/* Sets `core`'s authenticate; with NULL, nothing. */
void q_auth_use(q_auth *a, q_core_config *core);
/* Starts the thread that keeps the key set fresh: after the log was opened, for which a process is forked. Accepts NULL. */
Q_CHECK q_rc q_auth_run(q_auth *a, q_err *err);
void q_auth_close(q_auth *a); /* after the core has stopped; accepts NULL */

/* q_authenticate of an open q_auth, for tests. */
q_rc q_auth_ask(void *auth, q_arena *arena, const q_asking *asking, q_principal *out, q_err *err);
/* Waits until the key set has been asked for `times` times in all, at most `timeout_ms`: for tests. */
bool q_auth_wait(q_auth *a, unsigned times, int timeout_ms);

#endif
