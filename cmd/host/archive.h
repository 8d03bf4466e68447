/* archive.h - writes segments of the log (wal/segment.h) beside the log's thread, which must not wait for them. One at a time. */
#ifndef Q_CMD_ARCHIVE_H
#define Q_CMD_ARCHIVE_H

#include "wal/log.h"

typedef struct q_archiver q_archiver;

/* Writes the records below `end_lsn` into a segment; then `done(ctx, end_lsn)`, or done(ctx, 0) after a line in the process's log, on a thread of its own.
 * NULL: no memory or no thread. */
q_archiver *q_archiver_start(q_log *log, const char *log_dir, uint64_t cluster, uint64_t end_lsn, void (*done)(void *ctx, uint64_t lsn), void *ctx);
void q_archiver_end(q_archiver *a); /* waits for it; accepts NULL */

#endif
