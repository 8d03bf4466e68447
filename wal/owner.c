/* owner.c - one process owns a log: an exclusive flock(2) on dir/lock, which goes with the process whatever ends it.
 *
 * The file says who: "pid N" and, once the log exists, "cluster HEX". It is never removed: removing a locked file lets two own it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "wal/lmdb.h"

typedef struct note { long pid; bool has_cluster; uint64_t cluster; } note;

static note read_note(int fd)
{
    char text[128];
    note n = { 0 };
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    if (got <= 0)
        return n;
    text[got] = '\0';
    if (strncmp(text, "pid ", 4) == 0)
        n.pid = strtol(text + 4, NULL, 10);
    const char *c = strstr(text, "cluster ");
    char *end = NULL;
    if (c) {
        n.cluster = strtoull(c + 8, &end, 16);
        n.has_cluster = end == c + 8 + 16;
    }
    return n;
}

static q_rc write_note(int fd, const char *dir, const note *n, q_err *err)
{
    char text[128];
    int len = snprintf(text, sizeof text, "pid %ld\n", n->pid);
    if (n->has_cluster)
        len += snprintf(text + len, sizeof text - (size_t)len, "cluster %016" PRIx64 "\n", n->cluster);
    if (pwrite(fd, text, (size_t)len, 0) != len || ftruncate(fd, len) != 0)
        return q_err_set(err, Q_E_INTERNAL, "%s/lock can't be written: %s", dir, strerrordesc_np(errno));
    return Q_OK;
}

q_rc q_wal_lock(const char *dir, int *out, q_err *err)
{
    char path[Q_WAL_PATH_MAX + 100];
    q_rc rc = q_wal_path(path, dir, "lock", err);
    if (rc != Q_OK)
        return rc;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return q_err_set(err, Q_E_INTERNAL, "%s can't be opened: %s", path, strerrordesc_np(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int failed = errno;
        note n = read_note(fd);
        close(fd);
        if (failed != EWOULDBLOCK)
            return q_err_set(err, Q_E_INTERNAL, "%s can't be locked: %s", path, strerrordesc_np(failed));
        (void)q_err_set(err, Q_E_INTERNAL, "the log in %s is in use by process %ld", dir, n.pid);
        q_err_hint(err, "One coordinator owns a log: stop process %ld first, or use another directory.", n.pid);
        return Q_FAIL;
    }
    note n = read_note(fd);
    n.pid = (long)getpid();
    rc = write_note(fd, dir, &n, err);
    if (rc != Q_OK) {
        close(fd);
        return rc;
    }
    *out = fd;
    return Q_OK;
}

q_rc q_wal_lock_note(int fd, const char *dir, uint64_t cluster, q_err *err)
{
    note n = { .pid = (long)getpid(), .has_cluster = true, .cluster = cluster };
    return write_note(fd, dir, &n, err);
}

bool q_wal_lock_cluster(int fd, uint64_t *cluster)
{
    note n = read_note(fd);
    *cluster = n.cluster;
    return n.has_cluster;
}

bool q_wal_locked_by_self(const char *dir)
{
    char path[Q_WAL_PATH_MAX + 100];
    q_err ignored = Q_ERR_INIT;
    if (q_wal_path(path, dir, "lock", &ignored) != Q_OK)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    /* Only with our own pid in it is it worth asking: the question itself takes the lock for a moment. */
    bool self = read_note(fd).pid == (long)getpid() && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return self;
}
