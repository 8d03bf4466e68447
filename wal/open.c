/* open.c - opening and creating a log. README.md tells the steps and what a crash between any two of them leaves. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal/bytes.h"
#include "wal/check.h"
#include "wal/lmdb.h"

enum { DEFAULT_MAX_BYTES = 1 << 30, HEADROOM_MIN = 256 << 10, HEADROOM_MAX = 64 << 20 };

q_rc q_wal_path(char out[Q_WAL_PATH_MAX + 100], const char *dir, const char *name, q_err *err)
{
    if (strnlen(dir, Q_WAL_PATH_MAX + 1) > Q_WAL_PATH_MAX)
        return q_err_set(err, Q_E_INTERNAL, "the log directory's path is longer than %d bytes", Q_WAL_PATH_MAX);
    snprintf(out, Q_WAL_PATH_MAX + 100, "%s/%s", dir, name);
    return Q_OK;
}

static q_rc io_error(q_err *err, const char *doing, const char *path)
{
    return q_err_set(err, Q_E_INTERNAL, "%s %s: %s", doing, path, strerrordesc_np(errno));
}

q_rc q_wal_env_open(q_log_lmdb *l, const char *dir, q_err *err)
{
    /* Never NOSYNC or NOMETASYNC: they lose durability. Readahead stays on: recovery reads from end to end. NOTLS: a read transaction
     * belongs to the call, not to the thread. */
    unsigned flags = MDB_NOTLS | (l->read_only ? MDB_RDONLY : 0);
    MDB_txn *txn = NULL;
    int code = mdb_env_create(&l->env);
    if (code == 0)
        code = mdb_env_set_maxreaders(l->env, Q_WAL_MAX_READERS);
    if (code == 0)
        code = mdb_env_set_mapsize(l->env, l->max_bytes);
    if (code == 0)
        code = mdb_env_open(l->env, dir, flags, 0640);
    if (code == 0)
        code = mdb_txn_begin(l->env, NULL, l->read_only ? MDB_RDONLY : 0, &txn);
    if (code == 0)
        code = mdb_dbi_open(txn, NULL, 0, &l->tree);
    if (code == 0) {
        code = mdb_txn_commit(txn); /* keeps the handle; a write transaction that wrote nothing doesn't touch the file */
        txn = NULL;
    }
    mdb_txn_abort(txn);
    MDB_stat stat;
    if (code == 0)
        code = mdb_env_stat(l->env, &stat);
    if (code)
        return q_wal_mdb_error(Q_FAIL, code, "opening the log", err);
    l->page_bytes = stat.ms_psize;
    if (!l->read_only)
        mdb_reader_check(l->env, NULL);
    return Q_OK;
}

static q_rc file_bytes(const char *path, uint64_t *bytes, bool *exists, q_err *err)
{
    struct stat st;
    *exists = stat(path, &st) == 0;
    if (!*exists && errno != ENOENT)
        return io_error(err, "looking for", path);
    *bytes = *exists ? (uint64_t)st.st_size : 0;
    return Q_OK;
}

static q_rc sync_directory(const char *dir, q_err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    q_rc rc = fd < 0 || fsync(fd) != 0 ? io_error(err, "making durable", dir) : Q_OK;
    if (fd >= 0)
        close(fd);
    return rc;
}

static q_log_lmdb *new_log(const q_log_options *options, uint64_t max_bytes)
{
    q_log_lmdb *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->base.ops = &q_log_lmdb_ops;
    l->lock_fd = -1;
    l->read_only = options->read_only;
    l->max_bytes = max_bytes;
    uint64_t headroom = max_bytes / 8;
    headroom = headroom < HEADROOM_MIN ? HEADROOM_MIN : headroom > HEADROOM_MAX ? HEADROOM_MAX : headroom;
    l->append_limit_bytes = max_bytes - headroom;
    l->scratch = Q_BUF_INIT(Q_REC_MAX_BYTES + 64);
    pthread_mutex_init(&l->info_lock, NULL);
    return l;
}

/* Creates the log aside, with its identity and two commits (so that both meta pages describe it), and moves it into place when it is
 * complete and durable: a data file at its place is never half made, so an empty or short one is damage and not a beginning. */
static q_rc create(const char *dir, const q_log_options *options, uint64_t max_bytes, q_err *err)
{
    char aside[Q_WAL_PATH_MAX + 100], made[Q_WAL_PATH_MAX + 100], made_lock[Q_WAL_PATH_MAX + 100], data[Q_WAL_PATH_MAX + 100];
    if (q_wal_path(aside, dir, "creating", err) != Q_OK || q_wal_path(made, dir, "creating/data.mdb", err) != Q_OK ||
        q_wal_path(made_lock, dir, "creating/lock.mdb", err) != Q_OK || q_wal_path(data, dir, "data.mdb", err) != Q_OK)
        return Q_FAIL;
    if (mkdir(aside, 0750) != 0 && errno != EEXIST)
        return io_error(err, "creating", aside);
    if (unlink(made) != 0 && errno != ENOENT) /* what a crash left */
        return io_error(err, "removing", made);

    uint8_t cluster[8], incarnation[16];
    if (sodium_init() < 0)
        return q_err_set(err, Q_E_INTERNAL, "libsodium can't start: no randomness");
    randombytes_buf(cluster, sizeof cluster);
    randombytes_buf(incarnation, sizeof incarnation);
    const q_log_op ops[] = {
        { .kind = Q_LO_PUT, .table = Q_LT_META, .key = Q_SLICE_LIT(Q_LOG_META_CLUSTER), .value = q_slice_of(cluster, sizeof cluster) },
        { .kind = Q_LO_PUT, .table = Q_LT_META, .key = Q_SLICE_LIT(Q_LOG_META_INCARNATION), .value = q_slice_of(incarnation, sizeof incarnation) },
    };
    q_log_lmdb *l = new_log(options, max_bytes);
    if (!l)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    bool exists;
    q_rc rc = q_wal_env_open(l, aside, err);
    if (rc == Q_OK)
        rc = file_bytes(made, &l->reserved_bytes, &exists, err);
    if (rc == Q_OK)
        rc = l->base.ops->commit(&l->base, ops, 2, err);
    if (rc == Q_OK)
        rc = l->base.ops->commit(&l->base, NULL, 0, err);
    l->base.ops->close(&l->base);
    if (rc == Q_OK && rename(made, data) != 0)
        rc = io_error(err, "moving into place", made);
    if (rc == Q_OK)
        rc = sync_directory(dir, err);
    (void)unlink(made_lock);
    (void)rmdir(aside);
    return rc == Q_OK ? Q_OK : Q_FAIL;
}

/* Before the environment is opened: the directory, the lock, the data file, the check. */
static q_rc prepare(const char *dir, const q_log_options *options, uint64_t max_bytes, int *lock_fd, q_err *err)
{
    char data[Q_WAL_PATH_MAX + 100];
    q_rc rc = q_wal_path(data, dir, "data.mdb", err);
    if (rc != Q_OK)
        return rc;
    if (options->read_only && q_wal_locked_by_self(dir))
        return q_err_set(err, Q_E_INTERNAL, "this process has the log in %s open already", dir);
    if (options->create && !options->read_only && mkdir(dir, 0750) != 0 && errno != EEXIST)
        return io_error(err, "creating", dir);
    if (!options->read_only)
        rc = q_wal_lock(dir, lock_fd, err);
    bool exists = false;
    uint64_t bytes = 0, cluster = 0;
    if (rc == Q_OK)
        rc = file_bytes(data, &bytes, &exists, err);
    if (rc != Q_OK)
        return rc;
    if (!exists && *lock_fd >= 0 && q_wal_lock_cluster(*lock_fd, &cluster)) {
        (void)q_err_set(err, Q_E_INTERNAL, "%s has gone: the log of cluster %016llx was there", data, (unsigned long long)cluster);
        q_err_hint(err, "Bring the file back. To begin anew and lose what it held, remove %s.", dir);
        return Q_FAIL;
    }
    if (!exists && (options->read_only || !options->create))
        return q_err_set(err, Q_E_INTERNAL, "there is no log in %s", dir);
    if (!exists)
        return create(dir, options, max_bytes, err);
    if (!options->skip_verify)
        rc = q_wal_check_at_open(dir, *lock_fd, err);
    return rc;
}

q_rc q_log_open_lmdb(const char *dir, const q_log_options *options, q_log **out, q_err *err)
{
    uint64_t max_bytes = options->max_bytes ? options->max_bytes : DEFAULT_MAX_BYTES;
    if (max_bytes < Q_LOG_MIN_BYTES)
        return q_err_set(err, Q_E_INTERNAL, "a log of at most %llu bytes is too small; the least is %d", (unsigned long long)max_bytes, Q_LOG_MIN_BYTES);
    max_bytes -= max_bytes % 65536; /* whole pages, of any size */
    int lock_fd = -1;
    q_rc rc = prepare(dir, options, max_bytes, &lock_fd, err);
    q_log_lmdb *l = rc == Q_OK ? new_log(options, max_bytes) : NULL;
    if (!l) {
        if (lock_fd >= 0)
            close(lock_fd);
        return rc == Q_OK ? q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory") : rc;
    }
    l->lock_fd = lock_fd;

    char data[Q_WAL_PATH_MAX + 100];
    bool exists;
    q_arena *arena = q_arena_new(4096);
    q_slice cluster;
    rc = arena ? q_wal_path(data, dir, "data.mdb", err) : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    if (rc == Q_OK)
        rc = q_wal_env_open(l, dir, err);
    if (rc == Q_OK)
        rc = file_bytes(data, &l->reserved_bytes, &exists, err);
    if (rc == Q_OK)
        rc = q_wal_load_state(l, err);
    if (rc == Q_OK && lock_fd >= 0) {
        rc = l->base.ops->get(&l->base, arena, Q_LT_META, Q_SLICE_LIT(Q_LOG_META_CLUSTER), &cluster, err);
        if (rc == Q_END || (rc == Q_OK && cluster.len != 8))
            rc = q_err_set(err, Q_E_INTERNAL, "the log in %s has no cluster id", dir);
        if (rc == Q_OK)
            rc = q_wal_lock_note(lock_fd, dir, q_get_le64(cluster.ptr), err);
    }
    q_arena_free(arena);
    if (rc != Q_OK) {
        l->base.ops->close(&l->base);
        return rc == Q_RETRY ? Q_RETRY : Q_FAIL;
    }
    *out = &l->base;
    return Q_OK;
}
