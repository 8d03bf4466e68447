/* check.c - the check's child process, and what its end means. */
#include "wal/check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wal/lmdb.h"
#include "wal/repair.h"

enum { STALL_MS = 60000, SNAPSHOT_TRIES = 1000 };

/* What the child sends, whole (less than PIPE_BUF, so a write is not divided). */
typedef struct note {
    enum { NOTE_PROGRESS = 1, NOTE_END } kind;
    uint64_t done, total;
    q_rc rc;
    q_err err;
    q_wal_verdict verdict;
} note;

_Static_assert(sizeof(note) <= 4096, "a note must fit into PIPE_BUF");

/* ---- in the child ---- */

typedef struct child {
    const q_wal_check_job *job;
    int pipe;
    int fd;          /* of the data file */
    MDB_env *env;    /* a reader, when the log isn't ours */
    MDB_txn *txn;
} child;

static void send_note(int fd, const note *n)
{
    ssize_t w;
    do
        w = write(fd, n, sizeof *n);
    while (w < 0 && errno == EINTR);
    if (w != (ssize_t)sizeof *n)
        _exit(1); /* nobody listens */
}

static void child_progress(void *ctx, uint64_t done, uint64_t total)
{
    child *c = ctx;
    note n = { .kind = NOTE_PROGRESS, .done = done, .total = total };
    send_note(c->pipe, &n);
}

static q_rc lmdb_failed(int code, const char *doing, q_err *err)
{
    return q_err_set(err, Q_E_INTERNAL, "%s: %s", doing, mdb_strerror(code));
}

/* A reader's environment in this process; `lock` false when nobody else can be writing. */
static q_rc open_reader(child *c, bool lock, q_err *err)
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
        code = mdb_env_open(c->env, c->job->dir, MDB_RDONLY | MDB_NOTLS | (lock ? 0 : MDB_NOLOCK), 0640);
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
static q_rc hold_snapshot(child *c, q_pages_image *image, uint64_t *snapshot, q_err *err)
{
    q_pages_meta meta;
    q_rc rc = map_file(c->fd, image, err);
    for (int slot = 0; slot < 2 && rc == Q_OK; slot++)
        if (q_pages_read_meta(*image, slot, &meta, err) != Q_OK)
            return Q_OK; /* no coordinator runs on that: the check tells more, without a snapshot */
    if (rc == Q_OK)
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

/* What was found sound byte by byte must be what LMDB sees. */
static q_rc compare_with_lmdb(child *c, const q_wal_verdict *v, q_err *err)
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

static void check_in_child(child *c, note *end)
{
    q_pages_image image;
    char path[Q_WAL_PATH_MAX + 100];
    q_wal_check_options options = { .deep = c->job->deep, .progress = child_progress, .ctx = c };
    end->rc = q_wal_path(path, c->job->dir, "data.mdb", &end->err);
    c->fd = end->rc == Q_OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (c->fd < 0) {
        end->rc = q_err_set(&end->err, Q_E_INTERNAL, "it can't be opened: %s", strerrordesc_np(errno));
        return;
    }
    end->verdict.state = Q_WAL_DAMAGED;
    if (c->job->owned)
        end->rc = map_file(c->fd, &image, &end->err);
    else
        end->rc = hold_snapshot(c, &image, &options.snapshot, &end->err);
    if (end->rc == Q_OK)
        end->rc = q_wal_check_image(image, &options, &end->verdict, &end->err);
    if (end->rc == Q_OK) {
        end->rc = compare_with_lmdb(c, &end->verdict, &end->err);
        if (end->rc != Q_OK)
            end->verdict.state = Q_WAL_DAMAGED;
    }
    if (c->env && !c->job->owned) { /* gives the reader's slot back; the rest goes with the process */
        mdb_txn_abort(c->txn);
        mdb_env_close(c->env);
    }
}

static _Noreturn void run_child(const q_wal_check_job *job, int pipe_fd)
{
    static const int deadly[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTERM, SIGINT };
    struct rlimit no_core = { 0, 0 };
    sigset_t none;
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++)
        (void)signal(deadly[i], SIG_DFL); /* a handler of the parent's would report its crash */
    (void)signal(SIGPIPE, SIG_IGN);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (job->lock_fd >= 0)
        close(job->lock_fd);
    child c = { .job = job, .pipe = pipe_fd };
    note *end = calloc(1, sizeof *end);
    if (!end)
        _exit(1);
    end->kind = NOTE_END;
    check_in_child(&c, end);
    send_note(pipe_fd, end);
    _exit(0);
}

/* ---- in the caller ---- */

static bool read_note(int fd, note *n, uint32_t stall_ms, bool *stalled)
{
    size_t got = 0;
    *stalled = false;
    while (got < sizeof *n) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int ready = poll(&p, 1, (int)stall_ms);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            *stalled = true;
            return false;
        }
        ssize_t r = read(fd, (char *)n + got, sizeof *n - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return false;
        got += (size_t)r;
    }
    return true;
}

static q_rc ended_badly(int status, bool stalled, uint64_t done, uint32_t stall_ms, q_err *err)
{
    if (stalled)
        return q_err_set(err, Q_E_INTERNAL, "the check stood still for %" PRIu32 " s after %" PRIu64 " bytes", stall_ms / 1000, done);
    if (WIFSIGNALED(status))
        return q_err_set(err, Q_E_INTERNAL, "the check ended by signal %d (%s) after %" PRIu64 " bytes%s", WTERMSIG(status), sigdescr_np(WTERMSIG(status)),
                         done, WTERMSIG(status) == SIGBUS ? ": the disk can't read the file, or it was cut meanwhile" : "");
    return q_err_set(err, Q_E_INTERNAL, "the check ended without a result after %" PRIu64 " bytes", done);
}

/* Every message begins with the file. */
static void name_file(const char *dir, q_err *err)
{
    q_err inner = *err;
    size_t n = strnlen(dir, 80);
    (void)q_err_set(err, inner.code, "%s%.80s/data.mdb: %s", n == 80 ? "…" : "", n == 80 ? dir + strlen(dir) - 79 : dir, inner.message);
    memcpy(err->hint, inner.hint, sizeof err->hint);
}

q_rc q_wal_check_run(const q_wal_check_job *job, q_wal_verdict *out, q_err *err)
{
    int fds[2];
    memset(out, 0, sizeof *out);
    out->state = Q_WAL_DAMAGED;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return q_err_set(err, Q_E_INTERNAL, "the log's check can't start: %s", strerrordesc_np(errno));
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        run_child(job, fds[1]);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return q_err_set(err, Q_E_INTERNAL, "the log's check can't start: %s", strerrordesc_np(errno));
    }

    uint32_t stall_ms = job->stall_ms ? job->stall_ms : STALL_MS;
    note *n = calloc(1, sizeof *n);
    uint64_t done = 0;
    bool stalled = false, ended = false;
    while (n && !ended && read_note(fds[0], n, stall_ms, &stalled)) {
        ended = n->kind == NOTE_END;
        done = ended ? done : n->done;
        if (!ended && job->progress)
            job->progress(job->ctx, n->done, n->total);
    }
    close(fds[0]);
    if (!ended)
        (void)kill(pid, SIGKILL); /* stalled; one that has ended already keeps its status */
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    q_rc rc;
    if (ended) {
        *out = n->verdict;
        rc = n->rc;
        if (rc != Q_OK)
            *err = n->err;
    } else {
        rc = n ? ended_badly(status, stalled, done, stall_ms, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    }
    free(n);
    if (rc != Q_OK)
        name_file(job->dir, err);
    return rc;
}

q_rc q_wal_check_at_open(const char *dir, int lock_fd, q_err *err)
{
    q_wal_check_job job = { .dir = dir, .owned = lock_fd >= 0, .lock_fd = lock_fd };
    q_wal_verdict v;
    q_rc rc = q_wal_check_run(&job, &v, err);
    if (rc == Q_OK || !job.owned || v.state != Q_WAL_META_MISLABELLED)
        return rc;
    rc = q_wal_relabel(dir, &v, err);
    return rc == Q_OK ? q_wal_check_run(&job, &v, err) : rc;
}

q_rc q_log_verify(const char *dir, void (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx, q_verify_report *out, q_err *err)
{
    q_wal_check_job job = { .dir = dir, .lock_fd = -1, .deep = true, .progress = progress, .ctx = ctx };
    q_wal_verdict v;
    q_rc rc = q_wal_check_run(&job, &v, err);
    *out = v.report;
    return rc;
}
