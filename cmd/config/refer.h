/* refer.h - references in values: ${NAME}, ${env:NAME}, ${NAME:-text}, ${scheme:…}, $$. Private to this folder. */
#ifndef Q_CMD_CONFIG_REFER_H
#define Q_CMD_CONFIG_REFER_H

#include "cmd/config/config.h"

/* `out` is cleared first. The error never holds what a reference stands for. */
Q_CHECK q_rc q_refer_replace(q_slice text, const q_config_resolver *resolvers, q_buf *out, q_err *err);

#endif
