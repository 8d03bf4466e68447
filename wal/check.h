/* check.h - the check before LMDB may touch a log: in a child process, so that whatever a damaged file does to it is only a message. */
#ifndef Q_WAL_CHECK_H
#define Q_WAL_CHECK_H

#include "wal/log.h"

/* Checks dir/data.mdb: structure and every checksum. `lock_fd` >= 0: the caller owns the log, and nothing moves meanwhile; then what a
 * failed write of a meta page leaves is put right. -1: a coordinator may be running: a snapshot of it is held and checked. */
Q_CHECK q_rc q_wal_check_at_open(const char *dir, int lock_fd, q_err *err);

#endif
