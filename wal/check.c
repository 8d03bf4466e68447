/* check.c - the check in a child process, and what that one's end means. */
#include "wal/check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wal/repair.h"

enum { STALL_MS = 60000 };

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

static void send_note(int fd, const note *n)
{
    ssize_t w;
    do
        w = write(fd, n, sizeof *n);
    while (w < 0 && errno == EINTR);
    if (w != (ssize_t)sizeof *n)
        _exit(1); /* nobody listens */
}

static void send_progress(void *ctx, uint64_t done, uint64_t total)
{
    note n = { .kind = NOTE_PROGRESS, .done = done, .total = total };
    send_note(*(const int *)ctx, &n);
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
    q_wal_check_job here = *job;
    here.progress = send_progress;
    here.ctx = &pipe_fd;
    note *end = calloc(1, sizeof *end);
    if (!end)
        _exit(1);
    end->kind = NOTE_END;
    end->rc = q_wal_check_here(&here, &end->verdict, &end->err);
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
