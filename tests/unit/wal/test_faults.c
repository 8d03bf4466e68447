/* A write or sync that fails, at every place of a commit: Q_FATAL, and after reopening the group is there as a whole or not at all.
 *
 * The disk's failures are made where LMDB meets them: this program's own writev, pwrite, fdatasync and fallocate stand before libc's. */
#include "sample.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* ---- the disk ---- */

typedef enum call { C_PAGES = 1, C_SYNC, C_META, C_RESERVE, C_RESERVE_SYNC } call;

static struct {
    call what;
    int nth;           /* counts down; the one that reaches 0 fails */
    int error;
    bool done_anyway;  /* the bytes arrive although the call fails */
    bool short_write;  /* half arrives, and the call says so */
    bool again;        /* and so does the next of its kind */
    int met, failed;
} fault;

static bool fails(call what)
{
    if (fault.what != what)
        return false;
    fault.met++;
    if (fault.nth == 0 || --fault.nth > 0)
        return false;
    fault.failed++;
    fault.nth = fault.again ? 1 : 0;
    fault.again = false;
    return true;
}

enum { META_WRITE_BYTES = 120 };

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    call what = n == META_WRITE_BYTES ? C_META : C_PAGES; /* pages are written whole */
    if (n != META_WRITE_BYTES && n % 4096)
        what = 0; /* the lock file */
    if (what && fails(what)) {
        if (fault.short_write)
            return syscall(SYS_pwrite64, fd, buf, n / 2, at);
        if (fault.done_anyway)
            (void)syscall(SYS_pwrite64, fd, buf, n, at);
        errno = fault.error;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, buf, n, at);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off_t at) { return pwrite(fd, buf, n, at); }

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    if (fails(C_PAGES)) {
        if (fault.short_write)
            return syscall(SYS_writev, fd, iov, 1);
        if (fault.done_anyway)
            (void)syscall(SYS_writev, fd, iov, count);
        errno = fault.error;
        return -1;
    }
    return syscall(SYS_writev, fd, iov, count);
}

static bool grew;

int fdatasync(int fd)
{
    call what = grew ? C_RESERVE_SYNC : C_SYNC;
    grew = false;
    if (fails(what)) {
        errno = fault.error;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
    if (fails(C_RESERVE)) {
        errno = fault.error;
        return -1;
    }
    grew = true;
    return (int)syscall(SYS_fallocate, fd, mode, at, n);
}

int fallocate64(int fd, int mode, off_t at, off_t n) { return fallocate(fd, mode, at, n); }

/* ---- the log ---- */

static char dir[700];
static uint64_t max_bytes = 16 << 20;

static int fresh(void **state)
{
    (void)state;
    memset(&fault, 0, sizeof fault);
    max_bytes = 16 << 20;
    scratch_remove(dir);
    return 0;
}

static q_log *open_log(void)
{
    q_log_options o = { .max_bytes = max_bytes, .create = true };
    q_log *log = NULL;
    q_err err = Q_ERR_INIT;
    if (q_log_open_lmdb(dir, &o, &log, &err) != Q_OK)
        fail_msg("open: %s", err.message);
    return log;
}

static q_buf contents(q_log *log)
{
    q_buf b = { .max = 1 << 24 };
    q_err err = Q_ERR_INIT;
    if (sample_contents(log, &b, &err) != Q_OK)
        fail_msg("contents: %s", err.message);
    return b;
}

/* A group that touches much: records, a large one, entries changed and removed. */
static size_t a_group(q_arena *a, uint64_t lsn, q_log_op *ops)
{
    char *big = q_arena_calloc(a, 1, 30001);
    memset(big, 'b', 30000);
    size_t n = 0;
    for (; n < 40; n++, lsn++)
        ops[n] = lc_append(a, lsn, n == 20 ? big : "a record of the group that fails");
    ops[n++] = lc_put(Q_LT_POSITION, "quanta.requests/0", "changed by the group");
    ops[n++] = lc_put(Q_LT_META, "epoch", "2");
    ops[n++] = lc_delete(Q_LT_META, "seq");
    return n;
}

enum { NONE = 0, ALL = 1 };

/* Commits the group under the fault. Returns NONE or ALL, what was there afterwards; -1 when the fault wasn't met. */
static int run(call what, int nth, int error, bool done_anyway, bool short_write, bool again)
{
    q_arena *a = q_arena_new(0);
    q_log_op ops[64];
    q_err err = Q_ERR_INIT;
    q_log_info info;
    (void)fresh(NULL);
    q_log *log = open_log();
    sample_fill(log);
    q_buf before = contents(log);
    log->ops->info(log, &info);
    size_t n = a_group(a, info.last_lsn + 1, ops);

    memset(&fault, 0, sizeof fault);
    fault.what = what;
    fault.nth = nth;
    fault.error = error;
    fault.done_anyway = done_anyway;
    fault.short_write = short_write;
    fault.again = again;
    q_rc rc = log->ops->commit(log, ops, n, &err);
    int failed = fault.failed;
    memset(&fault, 0, sizeof fault);
    if (!failed) {
        assert_int_equal(rc, Q_OK);
    } else {
        assert_int_equal(rc, Q_FATAL);
        assert_int_not_equal(err.message[0], '\0');
        q_log_op more = lc_put(Q_LT_META, "epoch", "3"); /* and nothing goes on as if nothing had been */
        assert_int_equal(log->ops->commit(log, &more, 1, &err), Q_FATAL);
    }
    log->ops->close(log);

    log = open_log();
    q_buf after = contents(log);
    log->ops->info(log, &info);
    int outcome = q_slice_eq(q_buf_slice(&before), q_buf_slice(&after)) ? NONE : ALL;
    if (outcome == ALL) { /* then exactly what the group made of it */
        assert_string_equal(lc_get(log, a, Q_LT_META, "epoch"), "2");
        assert_null(lc_get(log, a, Q_LT_META, "seq"));
        assert_string_equal(lc_get(log, a, Q_LT_POSITION, "quanta.requests/0"), "changed by the group");
        for (uint64_t i = 0; i < 40; i++)
            assert_int_equal(lc_text(log, a, info.last_lsn - i)[0], i == 19 ? 'b' : 'a');
    }
    lc_append_run(log, info.last_lsn + 1, 100); /* the log goes on */
    log->ops->close(log);
    log = open_log();
    assert_int_equal(lc_scan(log, 0).last, info.last_lsn + 100);
    log->ops->close(log);
    q_buf_free(&before);
    q_buf_free(&after);
    q_arena_free(a);
    return failed ? outcome : -1;
}

static void a_failed_page_write_leaves_nothing(void **state)
{
    (void)state;
    const int errors[] = { EIO, ENOSPC };
    for (int e = 0; e < 2; e++)
        for (int variant = 0; variant < 3; variant++) {
            int nth = 1, outcome;
            while ((outcome = run(C_PAGES, nth, errors[e], variant == 1, variant == 2, false)) >= 0) {
                assert_int_equal(outcome, NONE);
                nth++;
            }
            assert_true(nth > 2); /* several places */
        }
}

static void a_failed_sync_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(run(C_SYNC, 1, EIO, false, false, false), NONE);
    assert_int_equal(run(C_SYNC, 1, ENOSPC, false, false, false), NONE);
    assert_int_equal(run(C_SYNC, 2, EIO, false, false, false), -1); /* one sync a group */
}

/* LMDB then writes transaction and last page of the meta page back: the trees remain the new ones'. All of the group is on disk by then. */
static void a_failed_meta_write_leaves_all_or_nothing(void **state)
{
    (void)state;
    assert_int_equal(run(C_META, 1, EIO, false, false, false), ALL);  /* the write back arrives */
    assert_int_equal(run(C_META, 1, EIO, true, false, false), ALL);   /* both arrive */
    assert_int_equal(run(C_META, 1, EIO, false, false, true), NONE);  /* none arrives */
    assert_int_equal(run(C_META, 1, ENOSPC, false, false, true), NONE);
    assert_int_equal(run(C_META, 1, EIO, true, false, true), ALL);    /* the first arrives, and whole again */
}

static void a_full_disk_shows_before_the_group_is_written(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_arena *a = q_arena_new(0);
    q_log_info info;
    q_log *log = open_log();
    uint64_t lsn = 1;
    fault.what = C_RESERVE;
    fault.error = ENOSPC;
    fault.nth = 1 << 30;
    while (fault.met == 0) { /* until it grows */
        lc_append_run(log, lsn, 500);
        lsn += 500;
    }
    fault.met = 0;
    q_rc rc = Q_OK;
    char *text = q_arena_calloc(a, 1, 20001);
    memset(text, 't', 20000);
    while (rc == Q_OK) {
        fault.nth = 1;
        fault.again = true; /* neither for a step nor for the least */
        q_log_op op = lc_append(a, lsn, text);
        rc = log->ops->commit(log, &op, 1, &err);
        lsn += rc == Q_OK;
        q_arena_reset(a);
        memset(text = q_arena_calloc(a, 1, 20001), 't', 20000);
    }
    assert_int_equal(rc, Q_RETRY);
    assert_non_null(strstr(err.message, "No space left"));
    log->ops->info(log, &info);
    assert_int_equal(info.last_lsn, lsn - 1);
    memset(&fault, 0, sizeof fault); /* somebody made room */
    lc_append_run(log, lsn, 10);
    log->ops->close(log);
    log = open_log();
    assert_int_equal(lc_scan(log, 0).last, lsn + 9);

    /* A file system that can't reserve: it goes on, sparse. */
    fault.what = C_RESERVE;
    fault.error = EOPNOTSUPP;
    for (int i = 0; i < 40; i++) {
        fault.nth = 1;
        lc_append_run(log, lsn + 10 + 1000 * (uint64_t)i, 1000);
    }
    assert_true(fault.failed > 0);
    log->ops->close(log);
    memset(&fault, 0, sizeof fault);
    log = open_log();
    assert_int_equal(lc_scan(log, 0).last, lsn + 9 + 40000);
    log->ops->close(log);
    q_arena_free(a);
}

static void a_failed_sync_of_the_reserve_is_fatal(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_arena *a = q_arena_new(0);
    q_log *log = open_log();
    char *text = q_arena_calloc(a, 1, 300001);
    memset(text, 't', 300000);
    q_rc rc = Q_OK;
    uint64_t lsn = 0;
    while (rc == Q_OK && lsn < 60) {
        fault.what = C_RESERVE_SYNC;
        fault.nth = 1;
        fault.error = EIO;
        q_log_op op = lc_append(a, ++lsn, text);
        rc = log->ops->commit(log, &op, 1, &err);
    }
    assert_int_equal(rc, Q_FATAL);
    log->ops->close(log);
    memset(&fault, 0, sizeof fault);
    log = open_log();
    assert_int_equal(lc_scan(log, 0).last, lsn - 1); /* before the group was begun */
    lc_append_run(log, lsn, 5);
    log->ops->close(log);
    q_arena_free(a);
}

/* A crash or a failure at any call while a log is created: the next start creates it, or finds it whole. */
static void a_creation_that_fails_can_be_done_again(void **state)
{
    (void)state;
    const call calls[] = { C_PAGES, C_SYNC, C_META, C_RESERVE, C_RESERVE_SYNC };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (int nth = 1;; nth++) {
            (void)fresh(NULL);
            fault.what = calls[i];
            fault.nth = nth;
            fault.error = EIO;
            q_log_options o = { .max_bytes = max_bytes, .create = true };
            q_log *log;
            q_err err = Q_ERR_INIT;
            q_rc rc = q_log_open_lmdb(dir, &o, &log, &err);
            int failed = fault.failed;
            memset(&fault, 0, sizeof fault);
            if (rc == Q_OK)
                log->ops->close(log);
            else
                assert_int_not_equal(err.message[0], '\0');
            log = open_log();
            lc_append_run(log, 1, 3);
            log->ops->close(log);
            if (!failed) {
                assert_true(nth > 1);
                break;
            }
        }
}

int main(void)
{
    snprintf(dir, sizeof dir, "%s/log", scratch_new());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_failed_page_write_leaves_nothing, fresh),
        cmocka_unit_test_setup(a_failed_sync_leaves_nothing, fresh),
        cmocka_unit_test_setup(a_failed_meta_write_leaves_all_or_nothing, fresh),
        cmocka_unit_test_setup(a_full_disk_shows_before_the_group_is_written, fresh),
        cmocka_unit_test_setup(a_failed_sync_of_the_reserve_is_fatal, fresh),
        cmocka_unit_test_setup(a_creation_that_fails_can_be_done_again, fresh),
    };
    int failed = cmocka_run_group_tests_name("faults", tests, NULL, NULL);
    *strrchr(dir, '/') = '\0';
    scratch_remove(dir);
    return failed;
}
