/* reserve.c - room in the data file ahead of need, so that a full disk shows before a group is written, not in the middle of it.
 *
 * LMDB itself lets the file grow as pages are written: then a full disk would be a failed commit, after which the process must end.
 * The room is given by fallocate(2) in steps and made durable, so a file is never shorter than its pages reach: verify relies on it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal/lmdb.h"

enum { STEP_MIN = 1 << 20, STEP_MAX = 64 << 20 };

uint64_t q_wal_estimate_pages(size_t page_bytes, const q_log_op *ops, size_t n, uint64_t deletes)
{
    /* mdb.c: a node of a leaf is 8 bytes, key and value, made even, and 2 bytes in the page's index; one larger than half a page keeps
     * its value on overflow pages of its own, with one header of 16 bytes. */
    uint64_t leaf_bytes = 0, pages = 32 + (deletes / 8 < 32 ? deletes / 8 : 32); /* paths that are copied, the list of what became free */
    size_t inline_max = (page_bytes - 16) / 2 - 2;
    for (size_t i = 0; i < n; i++) {
        if (ops[i].kind == Q_LO_TRIM)
            continue;
        size_t value = ops[i].value.len + (ops[i].kind == Q_LO_APPEND ? 0 : Q_WAL_CRC_BYTES);
        size_t node = 8 + (ops[i].kind == Q_LO_APPEND ? Q_WAL_RECORD_KEY : ops[i].key.len + 1);
        if (node + value > inline_max) {
            pages += (15 + value) / page_bytes + 1;
            node += 8;
        } else {
            node += value;
        }
        leaf_bytes += node + 4;
        if (ops[i].kind != Q_LO_APPEND)
            pages += 2; /* its leaf is copied and may split */
    }
    return pages + 2 * leaf_bytes / (page_bytes - 16) + 1; /* leaves may be half full */
}

q_rc q_wal_reserve(q_log_lmdb *l, uint64_t pages, q_err *err)
{
    uint64_t need = (l->next_page + pages) * l->page_bytes;
    if (need > l->max_bytes)
        need = l->max_bytes; /* what is beyond never gets a page: LMDB says MDB_MAP_FULL */
    if (need <= l->reserved_bytes)
        return Q_OK;
    uint64_t step = l->max_bytes / 8;
    step = step < STEP_MIN ? STEP_MIN : step > STEP_MAX ? STEP_MAX : step;
    uint64_t want = (need + step - 1) / step * step;
    if (want > l->max_bytes)
        want = need;
    int fd;
    int code = mdb_env_get_fd(l->env, &fd);
    if (code)
        return q_wal_mdb_error(Q_FATAL, code, "reserving log space", err);
    int failed = 0;
    while (fallocate(fd, 0, (off_t)l->reserved_bytes, (off_t)(want - l->reserved_bytes)) != 0) {
        failed = errno;
        if (failed == EINTR)
            continue;
        if (failed == EOPNOTSUPP && ftruncate(fd, (off_t)want) == 0) /* a file system without it: a sparse file, without the promise */
            break;
        if (failed == ENOSPC && want > need) { /* less than a step may still be there */
            want = need;
            continue;
        }
        (void)q_err_set(err, Q_E_OVERLOADED, "the log can't grow from %llu to %llu bytes: %s", (unsigned long long)l->reserved_bytes,
                        (unsigned long long)want, strerrordesc_np(failed));
        q_err_hint(err, "Free space on the log's disk, or trim the log.");
        return failed == ENOSPC || failed == EDQUOT ? Q_RETRY : Q_FATAL;
    }
    if (fdatasync(fd) != 0) {
        l->broken = true;
        (void)q_err_set(err, Q_E_INTERNAL, "the log's growth can't be made durable: %s", strerrordesc_np(errno));
        return Q_FATAL;
    }
    l->reserved_bytes = want;
    return Q_OK;
}
