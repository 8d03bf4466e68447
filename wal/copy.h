/* copy.h - a log into a new, compact file; and a log that reads on into its segments. For backups, compaction and operators' listings. */
#ifndef Q_WAL_COPY_H
#define Q_WAL_COPY_H

#include "wal/segment.h"

/* Writes what `from` (opened from its directory, read only or not) holds at one moment into a log in `to_dir`, which is made and has no log yet:
 * one snapshot, in order, without free pages and without what is trimmed, durable before Q_OK. Beside a running coordinator, whose file may
 * grow a little meanwhile. LMDB's own copy doesn't serve: it would number its transactions anew, and our stamp would not be theirs.
 * `first_lsn`: of the copy. `progress` may be NULL. */
Q_CHECK q_rc q_log_copy(q_log *from, const char *to_dir, void (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx, uint64_t *first_lsn, q_err *err);

/* A read-only log of `log` and what `archive` has of before: scan, read and info begin with the oldest segment. Owns both, its close closes them.
 * `archive` may be NULL. On failure nothing is owned. */
Q_CHECK q_rc q_log_with_archive(q_log *log, q_archive *archive, q_log **out, q_err *err);

#endif
