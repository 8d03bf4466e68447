#include "wal/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal/lmdb.h"

enum { TXN_BYTES = 32 << 20 };

typedef struct copying {
    q_log_lmdb to;
    MDB_txn *read, *write;
    MDB_cursor *cursor;
    uint64_t pending;        /* bytes in `write` */
    q_wal_stamp stamp;
} copying;

static q_rc mdb_error(int code, const char *doing, q_err *err) { return code ? q_wal_mdb_error(Q_FAIL, code, doing, err) : Q_OK; }

static int put_stamp(copying *c)
{
    q_buf b = Q_BUF_INIT(4096);
    c->stamp.txnid = mdb_txn_id(c->write);
    q_wal_stamp_encode(&c->stamp, &b);
    q_slice key = q_wal_stamp_key();
    MDB_val k = { key.len, (void *)(uintptr_t)key.ptr }, v = { b.len, b.ptr };
    int code = b.failed ? ENOMEM : mdb_put(c->write, c->to.tree, &k, &v, 0);
    q_buf_free(&b);
    return code;
}

/* Every commit has its stamp, as in any log (entry.h). */
static int commit(copying *c)
{
    int code = put_stamp(c);
    if (code == 0) {
        code = mdb_txn_commit(c->write);
        c->write = NULL;
    }
    c->pending = 0;
    return code ? code : mdb_txn_begin(c->to.env, NULL, 0, &c->write);
}

static bool is_trimmed(const copying *c, const MDB_val *k)
{
    const uint8_t *key = k->mv_data;
    uint64_t lsn = 0;
    if (k->mv_size != Q_WAL_RECORD_KEY || key[0] != Q_WAL_T_RECORD)
        return false;
    for (int i = 1; i < Q_WAL_RECORD_KEY; i++)
        lsn = lsn << 8 | key[i];
    return lsn < c->stamp.first_lsn;
}

static int copy_all(copying *c, uint64_t entries, void (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx)
{
    MDB_val k, v;
    uint64_t done = 0;
    int code = mdb_txn_begin(c->to.env, NULL, 0, &c->write);
    for (int op = MDB_FIRST; code == 0; op = MDB_NEXT) {
        code = mdb_cursor_get(c->cursor, &k, &v, (MDB_cursor_op)op);
        if (code == MDB_NOTFOUND)
            return 0;
        if (code == 0 && !is_trimmed(c, &k))
            code = mdb_put(c->write, c->to.tree, &k, &v, MDB_APPEND);
        c->pending += k.mv_size + v.mv_size;
        if (code == 0 && c->pending > TXN_BYTES)
            code = commit(c);
        if (progress && ++done % 1024 == 0)
            progress(ctx, done, entries);
    }
    return code;
}

static q_rc open_snapshot(copying *c, q_log_lmdb *l, uint64_t *entries, q_err *err)
{
    MDB_stat stat = { 0 };
    q_slice key = q_wal_stamp_key();
    MDB_val k = { key.len, (void *)(uintptr_t)key.ptr }, v = { 0 };
    bool other;
    int code = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &c->read);
    if (code == 0)
        code = mdb_cursor_open(c->read, l->tree, &c->cursor);
    if (code == 0)
        code = mdb_stat(c->read, l->tree, &stat);
    if (code == 0)
        code = mdb_get(c->read, l->tree, &k, &v);
    *entries = stat.ms_entries;
    return code ? mdb_error(code, "reading the log", err) : q_wal_stamp_decode(q_slice_of(v.mv_data, v.mv_size), &c->stamp, &other, err);
}

static q_rc sync_directory(const char *dir, q_err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    q_rc rc = fd < 0 || fsync(fd) != 0 ? q_err_set(err, Q_E_INTERNAL, "making %s durable: %s", dir, strerrordesc_np(errno)) : Q_OK;
    if (fd >= 0)
        close(fd);
    return rc;
}

q_rc q_log_copy(q_log *from, const char *to_dir, void (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx, uint64_t *first_lsn, q_err *err)
{
    q_log_lmdb *l = q_log_lmdb_of(from);
    copying c = { .to = { .lock_fd = -1 } };
    char data[Q_WAL_PATH_MAX + 100], readers[Q_WAL_PATH_MAX + 100];
    uint64_t entries = 0;
    MDB_envinfo info = { 0 };
    q_rc rc = q_wal_path(data, to_dir, "data.mdb", err);
    if (rc == Q_OK)
        rc = q_wal_path(readers, to_dir, "lock.mdb", err);
    if (rc == Q_OK && mkdir(to_dir, 0750) != 0 && errno != EEXIST)
        rc = q_err_set(err, Q_E_INTERNAL, "making %s: %s", to_dir, strerrordesc_np(errno));
    if (rc == Q_OK && access(data, F_OK) == 0)
        rc = q_err_set(err, Q_E_INTERNAL, "%s is there already", data);
    if (rc == Q_OK)
        rc = open_snapshot(&c, l, &entries, err);
    mdb_env_info(l->env, &info);
    c.to.max_bytes = ((uint64_t)info.me_last_pgno + 1) * 2 * l->page_bytes + ((uint64_t)64 << 20);
    if (rc == Q_OK)
        rc = q_wal_env_open(&c.to, to_dir, err);
    int code = rc == Q_OK ? mdb_env_set_flags(c.to.env, MDB_NOSYNC, 1) : 0; /* one sync at the end: a copy that is cut isn't used */
    if (rc == Q_OK && code == 0)
        code = copy_all(&c, entries, progress, ctx);
    if (rc == Q_OK && code == 0)
        code = commit(&c); /* twice: both meta pages must describe it */
    if (rc == Q_OK && code == 0)
        code = mdb_env_set_flags(c.to.env, MDB_NOSYNC, 0);
    if (rc == Q_OK && code == 0)
        code = commit(&c);
    if (rc == Q_OK && code == 0)
        code = mdb_env_sync(c.to.env, 1);
    if (rc == Q_OK)
        rc = mdb_error(code, "copying the log", err);
    mdb_txn_abort(c.write);
    if (c.cursor)
        mdb_cursor_close(c.cursor);
    mdb_txn_abort(c.read);
    if (c.to.env)
        mdb_env_close(c.to.env);
    (void)unlink(readers);
    *first_lsn = c.stamp.first_lsn;
    return rc == Q_OK ? sync_directory(to_dir, err) : rc;
}

/* ---- a log with its segments ---- */

typedef struct whole { q_log base; q_log *log; q_archive *archive; } whole;

static whole *whole_of(q_log *log) { return (whole *)(void *)log; }

static q_rc whole_commit(q_log *log, const q_log_op *ops, size_t n, q_err *err)
{
    (void)log;
    (void)ops;
    (void)n;
    return q_err_set(err, Q_E_INTERNAL, "this log is only read");
}

typedef struct until { uint64_t end; uint64_t next; q_log_visit visit; void *ctx; bool over; } until;

static q_rc visit_until(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    until *u = ctx;
    if (lsn >= u->end) {
        u->over = true;
        return Q_END;
    }
    u->next = lsn + 1;
    return u->visit(u->ctx, lsn, key, value, err);
}

static q_rc whole_scan(q_log *log, uint64_t from_lsn, q_log_visit visit, void *ctx, q_err *err)
{
    whole *w = whole_of(log);
    q_log_info info;
    w->log->ops->info(w->log, &info);
    until u = { .end = info.first_lsn, .visit = visit, .ctx = ctx };
    if (w->archive && w->archive->first_lsn && w->archive->first_lsn < info.first_lsn && from_lsn < info.first_lsn) {
        q_rc rc = w->archive->scan(w->archive, from_lsn, visit_until, &u, err);
        if (rc != Q_OK && !u.over)
            return rc;
        if (u.next && u.next < info.first_lsn)
            return q_err_set(err, Q_E_INTERNAL, "log records %" PRIu64 " to %" PRIu64 " are neither in the log nor in a segment", u.next, info.first_lsn - 1);
    }
    return w->log->ops->scan(w->log, from_lsn, visit, ctx, err);
}

typedef struct wanted { uint64_t lsn; q_arena *arena; q_slice *out; bool found; } wanted;

static q_rc take_wanted(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    wanted *w = ctx;
    (void)key;
    if (lsn == w->lsn) {
        *w->out = q_arena_copy(w->arena, value);
        w->found = true;
        if (!w->out->ptr)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    }
    return Q_END;
}

static q_rc whole_read(q_log *log, q_arena *arena, uint64_t lsn, q_slice *out, q_err *err)
{
    whole *w = whole_of(log);
    wanted x = { lsn, arena, out, false };
    q_rc rc = w->log->ops->read(w->log, arena, lsn, out, err);
    if (rc != Q_END || !w->archive || lsn < w->archive->first_lsn || lsn > w->archive->last_lsn)
        return rc;
    rc = w->archive->scan(w->archive, lsn, take_wanted, &x, err);
    return rc == Q_END && x.found ? Q_OK : rc == Q_OK ? Q_END : rc;
}

static q_rc whole_table(q_log *log, q_log_table table, q_log_visit visit, void *ctx, q_err *err)
{
    return whole_of(log)->log->ops->table(whole_of(log)->log, table, visit, ctx, err);
}

static q_rc whole_get(q_log *log, q_arena *arena, q_log_table table, q_slice key, q_slice *out, q_err *err)
{
    return whole_of(log)->log->ops->get(whole_of(log)->log, arena, table, key, out, err);
}

static void whole_info(q_log *log, q_log_info *out)
{
    whole *w = whole_of(log);
    w->log->ops->info(w->log, out);
    if (w->archive && w->archive->first_lsn && w->archive->first_lsn < out->first_lsn)
        out->first_lsn = w->archive->first_lsn;
}

static void whole_close(q_log *log)
{
    whole *w = whole_of(log);
    if (!log)
        return;
    w->log->ops->close(w->log);
    if (w->archive)
        w->archive->close(w->archive);
    free(w);
}

q_rc q_log_with_archive(q_log *log, q_archive *archive, q_log **out, q_err *err)
{
    static const q_log_ops ops = { whole_commit, whole_read, whole_scan, whole_table, whole_get, whole_info, whole_close };
    whole *w = malloc(sizeof *w);
    if (!w)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    *w = (whole){ { &ops }, log, archive };
    *out = &w->base;
    return Q_OK;
}
