/* The contract of log stores, on LMDB; and what only the one on disk promises: one owner, a bounded file, readers beside it. */
#include "log_contract.h"
#include "scratch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "wal/check.h"

static char dir[700];
static uint64_t max_bytes = 64 << 20;

static q_log *open_log(log_contract *c)
{
    q_log_options o = { .max_bytes = max_bytes, .create = true };
    q_log *log = NULL;
    q_err err = Q_ERR_INIT;
    (void)c;
    if (q_log_open_lmdb(dir, &o, &log, &err) != Q_OK)
        fail_msg("open: %s", err.message);
    return log;
}

static void wipe(log_contract *c)
{
    (void)c;
    scratch_remove(dir);
}

static log_contract contract = { .open = open_log, .wipe = wipe };

static int fresh(void **state)
{
    contract.wipe(&contract);
    max_bytes = 64 << 20;
    *state = &contract;
    return 0;
}


/* ---- one owner, and readers beside it ---- */

/* Runs `body` in a child process and returns its exit status. */
static int in_child(int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int child_wants_to_own(void)
{
    q_log_options o = { .create = true };
    q_log *log;
    q_err err = Q_ERR_INIT;
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)getppid());
    if (q_log_open_lmdb(dir, &o, &log, &err) == Q_OK)
        return 1;
    return strstr(err.message, pid) && strstr(err.hint, pid) ? 0 : 2;
}

static int child_reads(void)
{
    q_log_options o = { .read_only = true };
    q_log *log;
    q_err err = Q_ERR_INIT;
    lc_seen s = { 0 };
    if (q_log_open_lmdb(dir, &o, &log, &err) != Q_OK)
        return 1;
    q_log_op op = lc_put(Q_LT_META, "a", "b");
    if (log->ops->scan(log, 0, lc_see_record, &s, &err) != Q_OK || s.last < 10 || log->ops->commit(log, &op, 1, &err) != Q_FAIL)
        return 2;
    log->ops->close(log);
    q_verify_report r;
    return q_log_verify(dir, NULL, NULL, &r, &err) == Q_OK && r.records >= 10 ? 0 : 3;
}

static void one_process_owns_a_log_and_others_read_beside_it(void **state)
{
    q_log *log = open_log(*state), *second;
    q_err err = Q_ERR_INIT;
    lc_append_run(log, 1, 10);
    assert_int_equal(in_child(child_wants_to_own), 0);
    assert_int_equal(in_child(child_reads), 0);
    /* The same process opens no second environment: LMDB would lose its locks. */
    q_log_options own = { .create = true }, read = { .read_only = true };
    assert_int_equal(q_log_open_lmdb(dir, &own, &second, &err), Q_FAIL);
    assert_int_equal(q_log_open_lmdb(dir, &read, &second, &err), Q_FAIL);
    q_verify_report r; /* works in a process of its own */
    assert_int_equal(q_log_verify(dir, NULL, NULL, &r, &err), Q_OK);
    assert_int_equal(r.records, 10);
    lc_append_run(log, 11, 1);
    log->ops->close(log);
    assert_int_equal(in_child(child_reads), 0); /* without a coordinator, too */
}

static void opening_says_what_is_wrong(void **state)
{
    q_log *log;
    q_err err = Q_ERR_INIT;
    (void)state;
    q_log_options read = { .read_only = true }, no_create = { 0 }, small = { .max_bytes = Q_LOG_MIN_BYTES - 1, .create = true };
    assert_int_equal(q_log_open_lmdb(dir, &read, &log, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "there is no log"));
    assert_int_equal(q_log_open_lmdb(dir, &no_create, &log, &err), Q_FAIL);
    assert_int_equal(q_log_open_lmdb(dir, &small, &log, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "too small"));
    char far[4200];
    memset(far, 'd', sizeof far - 1);
    far[sizeof far - 1] = '\0';
    small.max_bytes = 0;
    assert_int_equal(q_log_open_lmdb(far, &small, &log, &err), Q_FAIL);
    assert_int_equal(q_log_open_lmdb("/proc/nowhere/log", &small, &log, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "/proc/nowhere/log"));
    q_verify_report r;
    assert_int_equal(q_log_verify(dir, NULL, NULL, &r, &err), Q_FAIL);
    assert_int_not_equal(err.message[0], '\0');
}

/* ---- bounds ---- */

static void a_full_log_takes_no_more_until_it_is_trimmed(void **state)
{
    max_bytes = Q_LOG_MIN_BYTES;
    q_log *log = open_log(*state);
    q_arena *a = q_arena_new(0);
    q_err err = Q_ERR_INIT;
    q_log_info info;
    char *text = q_arena_calloc(a, 1, 1001);
    memset(text, 'f', 1000);
    for (int round = 0; round < 5; round++) {
        log->ops->info(log, &info);
        uint64_t lsn = info.last_lsn;
        q_rc rc = Q_OK;
        while (rc == Q_OK) {
            q_log_op op = lc_append(a, lsn + 1, text);
            rc = log->ops->commit(log, &op, 1, &err);
            lsn += rc == Q_OK;
        }
        assert_int_equal(rc, Q_RETRY);
        assert_non_null(strstr(err.message, "full"));
        log->ops->info(log, &info);
        assert_int_equal(info.last_lsn, lsn); /* nothing of the refused one */
        assert_true(info.bytes_used > Q_LOG_MIN_BYTES / 2 && info.bytes_used <= Q_LOG_MIN_BYTES);
        assert_true(lsn - info.first_lsn > 300);
        /* Tables can still be changed, and the log trimmed. */
        for (int i = 0; i < 50; i++) {
            q_log_op put = lc_put(Q_LT_POSITION, "p", "v");
            lc_commit(log, &put, 1);
        }
        q_log_op trim = { .kind = Q_LO_TRIM, .lsn = lsn - 10 };
        lc_commit(log, &trim, 1);
        lc_append_run(log, lsn + 1, 10);
        if (round % 2)
            log = lc_reopen(*state, log);
    }
    struct stat st;
    char path[800];
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size <= Q_LOG_MIN_BYTES);
    /* A group that never fits is no matter of waiting. */
    char *huge = q_arena_calloc(a, 1, Q_LOG_MIN_BYTES + 1);
    memset(huge, 'h', Q_LOG_MIN_BYTES);
    q_log_op put = lc_put(Q_LT_META, "huge", huge);
    assert_int_equal(log->ops->commit(log, &put, 1, &err), Q_RETRY); /* tables aren't bounded but by the file */
    log->ops->info(log, &info);
    q_log_op op = { .kind = Q_LO_APPEND, .lsn = info.last_lsn + 1 };
    q_buf b = Q_BUF_INIT(4 << 20);
    q_rec r = { .type = Q_REC_OPERATOR, .lsn = op.lsn, .text = q_slice_cstr(huge) };
    q_rec_encode(&r, &b);
    op.value = q_buf_slice(&b);
    assert_int_equal(log->ops->commit(log, &op, 1, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_WRITE_TOO_LARGE);
    q_buf_free(&b);
    q_arena_free(a);
    log->ops->close(log);
}

static void a_group_has_a_maximum(void **state)
{
    max_bytes = 1u << 30;
    q_log *log = open_log(*state);
    q_err err = Q_ERR_INIT;
    char *bytes = calloc(1, 30 << 20);
    q_log_op ops[5];
    for (int i = 0; i < 5; i++)
        ops[i] = (q_log_op){ .kind = Q_LO_PUT, .table = Q_LT_META, .key = Q_SLICE_LIT("k"), .value = q_slice_of(bytes, 30 << 20) };
    assert_int_equal(log->ops->commit(log, ops, 5, &err), Q_FAIL);
    assert_int_equal(err.code, Q_E_WRITE_TOO_LARGE);
    lc_commit(log, ops, 1); /* one entry of 30 MB is taken, and comes back */
    q_arena *a = q_arena_new(0);
    q_slice out;
    log = lc_reopen(*state, log);
    assert_int_equal(log->ops->get(log, a, Q_LT_META, Q_SLICE_LIT("k"), &out, &err), Q_OK);
    assert_int_equal(out.len, 30 << 20);
    log->ops->close(log);
    q_arena_free(a);
    free(bytes);
}

/* ---- threads ---- */

typedef struct reading { q_log *log; atomic_bool stop; atomic_uint_fast64_t last, reads; bool failed; } reading;

static void *reader_main(void *arg)
{
    reading *r = arg;
    q_arena *a = q_arena_new(0);
    uint64_t lsn = 1;
    while (!atomic_load(&r->stop)) {
        q_err err = Q_ERR_INIT;
        q_slice bytes;
        q_rec rec;
        q_log_info info;
        uint64_t last = atomic_load(&r->last);
        lsn = lsn >= last ? 1 : lsn + 1;
        q_arena_reset(a);
        q_rc rc = r->log->ops->read(r->log, a, lsn, &bytes, &err);
        r->log->ops->info(r->log, &info);
        if (rc == Q_OK && (q_rec_decode(a, bytes, lsn, &rec, &err) != Q_OK || info.last_lsn < last))
            r->failed = true;
        if (rc != Q_OK && (rc != Q_END || lsn > last)) /* trimmed */
            r->failed = true;
        atomic_fetch_add(&r->reads, 1);
    }
    q_arena_free(a);
    return NULL;
}

static void threads_read_while_the_owner_commits(void **state)
{
    q_log *log = open_log(*state);
    reading r = { .log = log };
    pthread_t threads[3];
    lc_append_run(log, 1, 50);
    atomic_store(&r.last, 50);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &r), 0);
    uint64_t last = 50;
    while (last < 3000 || atomic_load(&r.reads) < 2000) {
        lc_append_run(log, last + 1, 20);
        atomic_store(&r.last, last += 20);
        if (last % 500 == 10) {
            q_log_op trim = { .kind = Q_LO_TRIM, .lsn = last - 400 };
            lc_commit(log, &trim, 1);
        }
    }
    atomic_store(&r.stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_false(r.failed);
    log->ops->close(log);
}

/* ---- beside a coordinator that writes ---- */

static void count_progress(void *ctx, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    ++*(uint64_t *)ctx;
}

static _Noreturn void write_until_killed(int ready)
{
    q_log *log = open_log(NULL);
    q_log_info info;
    log->ops->info(log, &info);
    for (uint64_t lsn = info.last_lsn + 1;; lsn += 7) {
        lc_append_run(log, lsn, 7);
        if (lsn > 3000) {
            q_log_op trim = { .kind = Q_LO_TRIM, .lsn = lsn - 2000 };
            lc_commit(log, &trim, 1);
        }
        if (lsn > 3100 && ready >= 0) {
            if (write(ready, "", 1) != 1)
                _exit(1);
            ready = -1;
        }
    }
}

static void a_running_log_can_be_verified_and_read_at_any_moment(void **state)
{
    (void)state;
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        write_until_killed(fds[1]);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    close(fds[0]);
    uint64_t progress = 0, last = 0;
    for (int i = 0; i < 30; i++) {
        q_err err = Q_ERR_INIT;
        q_verify_report r;
        if (q_log_verify(dir, count_progress, &progress, &r, &err) != Q_OK)
            fail_msg("verify: %s", err.message);
        assert_true(r.records >= 1900);
        q_log_options o = { .read_only = true };
        q_log *log;
        if (q_log_open_lmdb(dir, &o, &log, &err) != Q_OK)
            fail_msg("read only: %s", err.message);
        lc_seen s = lc_scan(log, 0), again;
        assert_true(s.last >= last);
        q_arena *a = q_arena_new(0);
        do /* it follows the writer */
            again = lc_scan(log, s.last);
        while (again.last == s.last);
        assert_string_not_equal(lc_text(log, a, again.last), "");
        assert_string_equal(lc_text(log, a, 1), "");
        last = again.last;
        q_arena_free(a);
        log->ops->close(log);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    q_log *log = open_log(NULL);
    assert_true(lc_scan(log, 0).last >= last);
    log->ops->close(log);
}

/* ---- a long random life ---- */

enum { KEYS = 60 };

/* Any mix of groups gives what a plain model gives, page accounting included: no page is ever lost. */
static void a_long_random_life_agrees_with_a_model(void **state)
{
    char model[KEYS][4100] = { 0 }; /* values by key number, "" absent */
    uint64_t first = 0, last = 0;
    max_bytes = 24 << 20;
    q_log *log = open_log(*state);
    q_arena *a = q_arena_new(0);
    srandom(3);
    for (int group = 0; group < 1500; group++) {
        q_log_op ops[140];
        size_t n = 0;
        q_arena_reset(a);
        for (long i = random() % (group % 50 ? 8 : 120); i > 0; i--) {
            char *text = q_arena_calloc(a, 1, 9001);
            memset(text, 'a' + (int)(random() % 26), random() % 30 ? (size_t)random() % 500 : (size_t)random() % 9000);
            ops[n++] = lc_append(a, ++last, text);
            if (first == 0)
                first = 1;
        }
        for (long i = random() % 5; i > 0; i--) {
            long k = random() % KEYS;
            const char *key = q_arena_printf(a, "key/%ld%.*s", k, (int)(k % 7 * 50), "------------------------------------------------------------"
                "--------------------------------------------------------------------------------------------------------------------------------------"
                "--------------------------------------------------------------------------------------------------------------------------").ptr;
            if (random() % 4 == 0) {
                ops[n++] = lc_delete(Q_LT_CATALOG, key);
                model[k][0] = '\0';
            } else {
                size_t len = 1 + (size_t)random() % (random() % 5 ? 60 : 4000);
                memset(model[k], 'A' + (int)(random() % 26), len);
                model[k][len] = '\0';
                ops[n++] = lc_put(Q_LT_CATALOG, key, q_arena_copy(a, q_slice_cstr(model[k])).ptr);
            }
        }
        if (random() % 20 == 0 && last > 0) {
            uint64_t to = first + (uint64_t)random() % (last + 2 - first);
            ops[n++] = (q_log_op){ .kind = Q_LO_TRIM, .lsn = to };
            first = to > first ? to : first;
        }
        lc_commit(log, ops, n);
        if (group % 100 == 99) {
            lc_seen s = lc_scan(log, 0), entries = { .keys = Q_BUF_INIT(1 << 22) };
            assert_int_equal(s.count, last + 1 - first);
            assert_true(s.count == 0 || (s.first == first && s.last == last));
            q_err err = Q_ERR_INIT;
            assert_int_equal(log->ops->table(log, Q_LT_CATALOG, lc_see_entry, &entries, &err), Q_OK);
            uint64_t present = 0;
            q_buf_add_byte(&entries.keys, 0);
            for (int k = 0; k < KEYS; k++) {
                char prefix[20];
                present += model[k][0] != '\0';
                snprintf(prefix, sizeof prefix, "key/%d%s", k, k % 7 ? "-" : "=");
                assert_int_equal(strstr(entries.keys.ptr, prefix) != NULL, model[k][0] != '\0');
                assert_true(!model[k][0] || strstr(entries.keys.ptr, model[k]));
            }
            assert_int_equal(entries.count, present);
            q_buf_free(&entries.keys);
            q_wal_verdict v;
            log->ops->close(log);
            q_wal_check_job job = { .dir = dir, .owned = true, .lock_fd = -1 };
            if (q_wal_check_run(&job, &v, &err) != Q_OK)
                fail_msg("group %d: %s", group, err.message);
            assert_int_equal(v.pages.lost_pages, 0);
            log = open_log(*state);
        }
    }
    q_arena_free(a);
    log->ops->close(log);
}

static void a_check_that_stands_still_is_ended(void **state)
{
    q_log *log = open_log(*state);
    log->ops->close(log);
    char path[800];
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* opening it waits for ever */
    q_wal_verdict v;
    q_err err = Q_ERR_INIT;
    q_wal_check_job job = { .dir = dir, .owned = true, .lock_fd = -1, .stall_ms = 50 };
    assert_int_equal(q_wal_check_run(&job, &v, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "stood still"));
    assert_non_null(strstr(err.message, dir));
    unlink(path);
}

int main(void)
{
    snprintf(dir, sizeof dir, "%s/log", scratch_new());
    const struct CMUnitTest tests[] = {
        LOG_CONTRACT_TESTS(fresh),
        cmocka_unit_test_setup(one_process_owns_a_log_and_others_read_beside_it, fresh),
        cmocka_unit_test_setup(opening_says_what_is_wrong, fresh),
        cmocka_unit_test_setup(a_full_log_takes_no_more_until_it_is_trimmed, fresh),
        cmocka_unit_test_setup(a_group_has_a_maximum, fresh),
        cmocka_unit_test_setup(threads_read_while_the_owner_commits, fresh),
        cmocka_unit_test_setup(a_running_log_can_be_verified_and_read_at_any_moment, fresh),
        cmocka_unit_test_setup(a_long_random_life_agrees_with_a_model, fresh),
        cmocka_unit_test_setup(a_check_that_stands_still_is_ended, fresh),
    };
    int failed = cmocka_run_group_tests_name("log", tests, NULL, NULL);
    *strrchr(dir, '/') = '\0';
    scratch_remove(dir);
    return failed;
}
