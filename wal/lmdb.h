/* lmdb.h - what the files of the LMDB side share. Private to wal/.
 *
 * lmdb.c: the operations. open.c: a log's opening and creation. owner.c: who owns the directory. reserve.c: file space ahead of need.
 * pages.c, verify.c, check.c: what is checked before LMDB may touch a byte. repair.c: what a failed meta write leaves. */
#ifndef Q_WAL_LMDB_H
#define Q_WAL_LMDB_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "wal/entry.h"

enum {
    Q_WAL_GROUP_MAX_BYTES = 128 << 20, /* of all values of one group */
    Q_WAL_GROUP_MAX_OPS = 1 << 20,
    Q_WAL_MAX_READERS = 512,
    Q_WAL_PATH_MAX = 4000
};

typedef struct q_log_lmdb {
    q_log base; /* first: a q_log is one of these */
    MDB_env *env;
    MDB_dbi tree;
    int lock_fd; /* -1 when read only */
    bool read_only;
    bool broken; /* a commit failed: what is durable isn't known, nothing more may be written */
    uint64_t max_bytes;
    uint64_t append_limit_bytes; /* appends stop here, so that a full log can still be trimmed */
    uint64_t reserved_bytes;     /* of the data file, that the disk has given */
    size_t page_bytes;
    uint64_t next_page;          /* after the last that the file uses */
    uint64_t groups;
    q_wal_stamp stamp;           /* of the last durable group */
    uint64_t oldest_kept_lsn;    /* still in the tree; records below stamp.first_lsn leave it little by little */
    q_buf scratch;
    _Atomic uint64_t first_lsn; /* stamp.first_lsn, for readers on other threads */
    pthread_mutex_t info_lock;
    q_log_info info;
} q_log_lmdb;

static inline q_log_lmdb *q_log_lmdb_of(q_log *log) { return (q_log_lmdb *)log; }

extern const q_log_ops q_log_lmdb_ops;

/* ---- owner.c ---- */
/* Takes dir/lock exclusively and writes the pid into it. Q_FAIL names the holder. */
Q_CHECK q_rc q_wal_lock(const char *dir, int *fd, q_err *err);
/* Beside the pid: the cluster, so that a log whose data file has vanished isn't taken for a new one. */
Q_CHECK q_rc q_wal_lock_note(int fd, const char *dir, uint64_t cluster, q_err *err);
/* true when the lock file tells of a cluster; then *cluster is it. */
bool q_wal_lock_cluster(int fd, uint64_t *cluster);
/* true when this very process holds the lock of dir: then no second environment may be opened (engines.md). */
bool q_wal_locked_by_self(const char *dir);

/* ---- open.c ---- */
Q_CHECK q_rc q_wal_path(char out[Q_WAL_PATH_MAX + 100], const char *dir, const char *name, q_err *err);
/* Opens the environment at dir/data.mdb and reads the stamp. */
Q_CHECK q_rc q_wal_env_open(q_log_lmdb *l, const char *dir, q_err *err);
/* Loads what the tree says about itself after it was opened. */
Q_CHECK q_rc q_wal_load_state(q_log_lmdb *l, q_err *err);

/* ---- reserve.c ---- */
/* Makes sure that the file has room for `pages` more. Q_RETRY: the disk is full. */
Q_CHECK q_rc q_wal_reserve(q_log_lmdb *l, uint64_t pages, q_err *err);
/* How many pages a group may take at most, deletions and copies on write included. */
uint64_t q_wal_estimate_pages(size_t page_bytes, const q_log_op *ops, size_t n, uint64_t deletes);

/* One error for all of LMDB's codes: what was being done, the text, and what to do about it. */
Q_CHECK q_rc q_wal_mdb_error(q_rc rc, int code, const char *doing, q_err *err);

#endif
