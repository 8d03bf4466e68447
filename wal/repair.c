/* repair.c - see repair.h. Both write within one sector of a meta page, which a disk writes whole or not at all. */
#include "wal/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "wal/bytes.h"
#include "wal/check.h"
#include "wal/lmdb.h"

enum { ACCEPT_ROOM_BYTES = 16 << 20 };

static q_rc open_data(const char *dir, int *fd, q_err *err)
{
    char path[Q_WAL_PATH_MAX + 100];
    q_rc rc = q_wal_path(path, dir, "data.mdb", err);
    if (rc != Q_OK)
        return rc;
    *fd = open(path, O_RDWR | O_CLOEXEC | O_DSYNC);
    return *fd >= 0 ? Q_OK : q_err_set(err, Q_E_INTERNAL, "%s can't be opened: %s", path, strerrordesc_np(errno));
}

static q_rc finish(int fd, const char *dir, bool written, q_err *err)
{
    q_rc rc = written && fsync(fd) == 0 ? Q_OK : q_err_set(err, Q_E_INTERNAL, "a meta page in %s can't be written: %s", dir, strerrordesc_np(errno));
    close(fd);
    return rc;
}

q_rc q_wal_relabel(const char *dir, const q_wal_verdict *v, q_err *err)
{
    int fd;
    uint8_t label[16];
    q_rc rc = open_data(dir, &fd, err);
    if (rc != Q_OK)
        return rc;
    q_put_le64(label, v->slot_last_page);
    q_put_le64(label + 8, v->slot_txnid);
    off_t at = (off_t)v->slot * v->page_bytes + Q_PAGES_META_LAST;
    return finish(fd, dir, pwrite(fd, label, sizeof label, at) == sizeof label, err);
}

q_rc q_wal_copy_meta(const char *dir, const q_wal_verdict *v, q_err *err)
{
    int fd;
    uint8_t meta[Q_PAGES_META_BYTES];
    q_rc rc = open_data(dir, &fd, err);
    if (rc != Q_OK)
        return rc;
    off_t good = (off_t)(v->slot ^ 1) * v->page_bytes, bad = (off_t)v->slot * v->page_bytes;
    bool done = pread(fd, meta, sizeof meta, good) == sizeof meta;
    q_put_le64(meta, (uint64_t)v->slot);
    q_put_le64(meta + Q_PAGES_META_LAST + 8, v->txnid - 1);
    return finish(fd, dir, done && pwrite(fd, meta, sizeof meta, bad) == sizeof meta, err);
}

q_rc q_log_accept_older_meta(const char *dir, uint64_t *last_lsn, q_err *err)
{
    int lock_fd;
    q_wal_verdict v;
    q_rc rc = q_wal_lock(dir, &lock_fd, err);
    if (rc != Q_OK)
        return rc;
    const q_wal_check_job job = { .dir = dir, .owned = true, .lock_fd = lock_fd };
    rc = q_wal_check_run(&job, &v, err);
    if (rc == Q_OK)
        rc = Q_END;
    else if (v.state == Q_WAL_META_DAMAGED)
        rc = q_wal_copy_meta(dir, &v, err);
    close(lock_fd);
    if (rc != Q_OK)
        return rc;

    /* If we crash now, the copied meta page claims a number that its tree doesn't hold: the next opening refuses it as this one did. A
     * commit makes it whole: it is the one that the next commit writes. */
    q_log *log;
    const q_log_options o = { .max_bytes = (v.pages.highest_page + 1) * v.page_bytes + ACCEPT_ROOM_BYTES, .skip_verify = true };
    rc = q_log_open_lmdb(dir, &o, &log, err);
    if (rc != Q_OK)
        return rc;
    rc = log->ops->commit(log, NULL, 0, err);
    log->ops->close(log);
    *last_lsn = v.stamp.last_lsn;
    return rc;
}
