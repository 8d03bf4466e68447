/* check.h - the check before LMDB may touch a log: in a child process, so that whatever a damaged file does to it is only a message. */
#ifndef Q_WAL_CHECK_H
#define Q_WAL_CHECK_H

#include "wal/verify.h"

typedef struct q_wal_check_job {
    const char *dir;
    bool owned;       /* the caller owns the log: nothing moves. Else a coordinator may be running: a snapshot of it is held meanwhile */
    int lock_fd;      /* owned: closed in the child, so that the lock goes with its owner */
    bool deep;
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* in the caller's process; or NULL */
    void *ctx;
    uint32_t stall_ms; /* no progress for so long is a failure; 0: a minute */
} q_wal_check_job;

/* In this process, which may have no environment open. `progress` is called while checking; `lock_fd` and `stall_ms` mean nothing here. */
Q_CHECK q_rc q_wal_check_here(const q_wal_check_job *job, q_wal_verdict *out, q_err *err);

/* Forks, checks dir/data.mdb there, and compares with what LMDB then sees. Q_OK: sound. Q_FAIL: err says what and where, with the path,
 * out->state what can be done; a child that ends by a signal or stalls is Q_FAIL, too. */
Q_CHECK q_rc q_wal_check_run(const q_wal_check_job *job, q_wal_verdict *out, q_err *err);

/* The check of an opening: `lock_fd` >= 0: the caller owns the log, and a mislabelled meta page is put right. */
Q_CHECK q_rc q_wal_check_at_open(const char *dir, int lock_fd, q_err *err);

#endif
