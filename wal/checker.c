/* checker.c - the check itself, in whatever process calls it: map the file, check it, compare with what LMDB sees. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal/check.h"
#include "wal/lmdb.h"

enum { SNAPSHOT_TRIES = 1000 };

typedef struct checker {
    const char *dir;
    bool owned;
    int fd;          /* of the data file */
    MDB_env *env;    /* a reader's */
    MDB_txn *txn;
} checker;

static q_rc lmdb_failed(int code, const char *doing, q_err *err)
{
    return q_err_set(err, Q_E_INTERNAL, "%s: %s", doing, mdb_strerror(code));
}

/* A reader's environment in this process; `lock` false when nobody else can be writing. */
static q_rc open_reader(checker *c, bool lock, q_err *err)
{
    struct stat st;
    int code = mdb_env_create(&c->env);
    if (code == 0 && fstat(c->fd, &st) != 0)
        code = errno;
    if (code == 0)
        code = mdb_env_set_mapsize(c->env, (size_t)st.st_size); /* else LMDB takes what a meta page says, which may be anything */
    if (code == 0)
        code = mdb_env_set_maxreaders(c->env, Q_WAL_MAX_READERS);
    if (code == 0)
        code = mdb_env_open(c->env, c->dir, MDB_RDONLY | MDB_NOTLS | (lock ? 0 : MDB_NOLOCK), 0640);
    if (code == 0)
        code = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &c->txn);
    return code == 0 ? Q_OK : lmdb_failed(code, "LMDB can't read the log", err);
}

typedef struct metas { uint8_t bytes[2][Q_PAGES_META_BYTES]; } metas;

/* Both meta pages at one moment: a commit may write one while it is read, so until two readings agree. */
static bool read_metas(int fd, uint32_t page_bytes, metas *out)
{
    metas again;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < SNAPSHOT_TRIES; i++) {
        for (int slot = 0; slot < 2; slot++)
            if (pread(fd, again.bytes[slot], sizeof again.bytes[slot], (off_t)slot * page_bytes) != sizeof again.bytes[slot])
                return false;
        if (i > 0 && memcmp(&again, out, sizeof again) == 0)
            return true;
        *out = again;
    }
    return false;
}

/* A private map: what is written to it (the meta pages as they were) stays here. */
static q_rc map_file(int fd, q_pages_image *image, q_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return q_err_set(err, Q_E_INTERNAL, "its size can't be had: %s", strerrordesc_np(errno));
    image->len = (uint64_t)st.st_size;
    image->bytes = NULL;
    if (st.st_size == 0)
        return q_err_set(err, Q_E_INTERNAL, "page 0, byte 0: the file is empty");
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED)
        return q_err_set(err, Q_E_INTERNAL, "it can't be mapped: %s", strerrordesc_np(errno));
    (void)madvise(p, (size_t)st.st_size, MADV_SEQUENTIAL);
    image->bytes = p;
    return Q_OK;
}

/* Beside a running coordinator: an LMDB reader holds a snapshot, and the image has the meta pages that belong to it. LMDB reads no more
 * than the meta pages for that, and those are looked at before. */
static q_rc take_snapshot(checker *c, q_pages_image *image, uint64_t *snapshot, q_err *err)
{
    q_pages_meta meta;
    q_rc rc = map_file(c->fd, image, err);
    bool sound = false;
    for (int tries = 0; rc == Q_OK && !sound && tries < SNAPSHOT_TRIES; tries++) /* a commit may be writing one just now */
        sound = q_pages_read_meta(*image, 0, &meta, err) == Q_OK && q_pages_read_meta(*image, 1, &meta, err) == Q_OK;
    if (rc == Q_OK && !sound)
        return Q_OK; /* no coordinator runs on that: the check tells more, without a snapshot */
    if (rc == Q_OK && !c->env)
        rc = open_reader(c, true, err);
    if (rc != Q_OK)
        return rc;
    *snapshot = mdb_txn_id(c->txn); /* its pages stay as long as this transaction */
    metas m;
    if (!read_metas(c->fd, meta.page_bytes, &m))
        return q_err_set(err, Q_E_INTERNAL, "its meta pages can't be read");
    munmap((void *)(uintptr_t)image->bytes, image->len);
    rc = map_file(c->fd, image, err); /* it may have grown */
    for (int slot = 0; slot < 2 && rc == Q_OK; slot++) {
        if (image->len < (uint64_t)slot * meta.page_bytes + sizeof m.bytes[slot])
            return q_err_set(err, Q_E_INTERNAL, "page %d, byte %" PRIu64 ": the file ends", slot, image->len);
        memcpy((uint8_t *)(uintptr_t)image->bytes + (uint64_t)slot * meta.page_bytes, m.bytes[slot], sizeof m.bytes[slot]);
    }
    return rc;
}

/* The coordinator may commit twice between the reader's beginning and the look at the meta pages: then neither is the reader's any more. */
static bool overtaken(const q_pages_image *image, uint64_t snapshot)
{
    q_pages_meta meta;
    q_err ignored = Q_ERR_INIT; /* a damaged one is the check's to tell */
    for (int slot = 0; slot < 2; slot++)
        if (q_pages_read_meta(*image, slot, &meta, &ignored) != Q_OK || meta.txnid <= snapshot)
            return false;
    return snapshot != 0;
}

static q_rc hold_snapshot(checker *c, q_pages_image *image, uint64_t *snapshot, q_err *err)
{
    q_rc rc = take_snapshot(c, image, snapshot, err);
    for (int tries = 0; rc == Q_OK && tries < SNAPSHOT_TRIES && overtaken(image, *snapshot); tries++) {
        mdb_txn_reset(c->txn);
        int code = mdb_txn_renew(c->txn);
        if (code)
            return lmdb_failed(code, "LMDB can't read the log", err);
        munmap((void *)(uintptr_t)image->bytes, image->len);
        *image = (q_pages_image){ NULL, 0 };
        rc = take_snapshot(c, image, snapshot, err);
    }
    return rc;
}

/* What was found sound byte by byte must be what LMDB sees. */
static q_rc compare_with_lmdb(checker *c, const q_wal_verdict *v, q_err *err)
{
    MDB_dbi tree;
    MDB_stat stat = { 0 };
    q_rc rc = c->env ? Q_OK : open_reader(c, false, err);
    if (rc != Q_OK)
        return rc;
    int code = mdb_dbi_open(c->txn, NULL, 0, &tree);
    if (code == 0)
        code = mdb_stat(c->txn, tree, &stat);
    if (code)
        return lmdb_failed(code, "LMDB can't read the log", err);
    if (mdb_txn_id(c->txn) != v->txnid || stat.ms_entries != v->entries)
        return q_err_set(err, Q_E_INTERNAL, "LMDB sees transaction %zu with %zu entries, the check %" PRIu64 " with %" PRIu64, mdb_txn_id(c->txn),
                         stat.ms_entries, v->txnid, v->entries);
    q_slice key = q_wal_stamp_key();
    MDB_val k = { key.len, (void *)(uintptr_t)key.ptr }, value;
    q_wal_stamp s;
    bool other;
    code = mdb_get(c->txn, tree, &k, &value);
    if (code)
        return lmdb_failed(code, "LMDB can't find the log's stamp", err);
    return q_wal_stamp_decode(q_slice_of(value.mv_data, value.mv_size), &s, &other, err);
}

q_rc q_wal_check_here(const q_wal_check_job *job, q_wal_verdict *out, q_err *err)
{
    checker c = { .dir = job->dir, .owned = job->owned, .fd = -1 };
    q_pages_image image = { NULL, 0 };
    char path[Q_WAL_PATH_MAX + 100];
    q_wal_check_options options = { .deep = job->deep, .progress = job->progress, .ctx = job->ctx };
    memset(out, 0, sizeof *out);
    out->state = Q_WAL_DAMAGED;
    q_rc rc = q_wal_path(path, job->dir, "data.mdb", err);
    if (rc == Q_OK) {
        c.fd = open(path, O_RDONLY | O_CLOEXEC);
        if (c.fd < 0)
            rc = q_err_set(err, Q_E_INTERNAL, "it can't be opened: %s", strerrordesc_np(errno));
    }
    if (rc == Q_OK)
        rc = job->owned ? map_file(c.fd, &image, err) : hold_snapshot(&c, &image, &options.snapshot, err);
    if (rc == Q_OK)
        rc = q_wal_check_image(image, &options, out, err);
    if (rc == Q_OK) {
        rc = compare_with_lmdb(&c, out, err);
        if (rc != Q_OK)
            out->state = Q_WAL_DAMAGED;
    }
    mdb_txn_abort(c.txn); /* accepts NULL; gives the reader's slot back */
    if (c.env)
        mdb_env_close(c.env);
    if (image.bytes)
        munmap((void *)(uintptr_t)image.bytes, image.len);
    if (c.fd >= 0)
        close(c.fd);
    return rc;
}
