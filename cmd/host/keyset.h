/* keyset.h - the bytes of a JWKS, from a file or over HTTP. Blocks; any thread. */
#ifndef Q_CMD_KEYSET_H
#define Q_CMD_KEYSET_H

#include "base/buf.h"
#include "base/error.h"

enum { Q_KEYSET_MAX_BYTES = 1 << 20 };

Q_CHECK q_rc q_keyset_from_file(const char *path, q_buf *out, q_err *err);
/* https with a checked certificate, or http on loopback; no redirects; at most 10 s. */
Q_CHECK q_rc q_keyset_from_url(const char *url, q_buf *out, q_err *err);
bool q_keyset_url_allowed(const char *url);

#endif
