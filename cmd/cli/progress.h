/* progress.h - how far something is, on one line of a terminal; nothing when stderr isn't one. One thread. */
#ifndef Q_CMD_PROGRESS_H
#define Q_CMD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct q_progress {
    const char *what;        /* "rows", "MB" */
    bool terminal, shown;
    int64_t began_ms, drawn_ms;
} q_progress;

void q_progress_begin(q_progress *p, const char *what);
/* `done` of `total` (0: unknown), in any unit; `count` things so far, for the rate. Draws ten times a second at most. */
void q_progress_update(q_progress *p, uint64_t done, uint64_t total, uint64_t count);
/* Takes the line away, so that what is printed next stands alone. */
void q_progress_end(q_progress *p);
double q_progress_seconds(const q_progress *p);

#endif
