/* options.h - what every command's options have in common: the same words for the same mistake. Messages go to stderr. */
#ifndef Q_CMD_OPTIONS_H
#define Q_CMD_OPTIONS_H

#include "cmd/cli/format.h"

#include <getopt.h>

/* "COMMAND: message", then where to read more. Returns Q_EXIT_USAGE. */
int q_usage_error(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* getopt has named the option at fault; adds where to read more. Returns Q_EXIT_USAGE. */
int q_usage_more(const char *command);

/* A whole decimal number within [min, max]; false with a message that names the option. */
bool q_option_number(const char *command, const char *option, const char *text, int64_t min, int64_t max, int64_t *out);
/* One of the formats in `allowed` (a mask of 1 << q_format); false with a message. */
bool q_option_format(const char *command, const char *text, unsigned allowed, q_format *out);
#define Q_FORMATS_ALL  (1u << Q_FORMAT_TABLE | 1u << Q_FORMAT_JSON | 1u << Q_FORMAT_CSV)
#define Q_FORMATS_BOTH (1u << Q_FORMAT_TABLE | 1u << Q_FORMAT_JSON)

#endif
