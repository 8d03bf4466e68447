/* complete.h - what the Tab key offers: keywords that the grammar takes, buckets, records, attributes, the shell's own commands. */
#ifndef Q_CMD_COMPLETE_H
#define Q_CMD_COMPLETE_H

#include "cmd/cli/names.h"

enum { Q_COMPLETE_MAX = 500, Q_COMPLETE_BYTES = 256 };

typedef struct q_complete_ask {
    q_names *names;
    q_client *client;
    const char *bucket;           /* "" when none is chosen */
    q_slice text;                 /* of the statement, on the lines before */
    q_slice before, after;        /* the line, on both sides of the cursor */
    const char *const *commands;  /* the shell's, with their backslash; NULL-terminated */
} q_complete_ask;

typedef struct q_candidates {
    size_t prefix;                /* bytes before the cursor that each candidate begins with (keywords: in any case) */
    size_t count;
    struct { char text[Q_COMPLETE_BYTES]; const char *suffix; } items[Q_COMPLETE_MAX]; /* suffix: what follows a single one */
} q_candidates;

void q_complete(const q_complete_ask *ask, q_candidates *out);

#endif
