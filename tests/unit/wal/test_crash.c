/* SIGKILL at any moment: what was acknowledged is there, groups are whole. A child commits groups and tells each one through a pipe when it
 * is durable; the parent kills it somewhere, opens the log and looks. The page cache survives a SIGKILL: what a power failure takes away
 * besides is the faults' matter (test_faults.c). */
#include "log_steps.h"
#include "scratch.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static char dir[700];

enum { ROUNDS = 40 };

static q_log *open_log(void)
{
    q_log_options o = { .max_bytes = 4 << 20, .create = true };
    q_log *log = NULL;
    q_err err = Q_ERR_INIT;
    if (q_log_open_lmdb(dir, &o, &log, &err) != Q_OK) {
        fprintf(stderr, "open: %s\n", err.message);
        return NULL;
    }
    return log;
}

/* Group g is 1 + g % 17 records that say "group g", and two entries that say g. Trims now and then. */
static q_rc commit_group(q_log *log, q_arena *a, uint64_t g, uint64_t *lsn)
{
    q_log_op ops[32];
    q_err err = Q_ERR_INIT;
    size_t n = 0;
    char text[300];
    q_arena_reset(a);
    memset(text, '.', sizeof text);
    snprintf(text, sizeof text, "group %llu", (unsigned long long)g);
    for (uint64_t i = 0; i < 1 + g % 17; i++)
        ops[n++] = lc_append(a, ++*lsn, text);
    ops[n++] = lc_put(Q_LT_META, "group", q_arena_printf(a, "%llu", (unsigned long long)g).ptr);
    ops[n++] = lc_put(Q_LT_POSITION, "quanta.requests/0", q_arena_printf(a, "%llu", (unsigned long long)*lsn).ptr);
    if (*lsn > 3000)
        ops[n++] = (q_log_op){ .kind = Q_LO_TRIM, .lsn = *lsn - 2500 };
    return log->ops->commit(log, ops, n, &err);
}

static _Noreturn void child(int pipe_fd)
{
    q_log *log = open_log();
    if (!log)
        _exit(3);
    q_arena *a = q_arena_new(0);
    q_log_info info;
    log->ops->info(log, &info);
    const char *last = lc_get(log, a, Q_LT_META, "group");
    uint64_t g = last ? strtoull(last, NULL, 10) : 0, lsn = info.last_lsn;
    for (;;) {
        g++;
        if (commit_group(log, a, g, &lsn) != Q_OK)
            _exit(4);
        if (write(pipe_fd, &g, sizeof g) != sizeof g)
            _exit(5);
    }
}

/* Kills the child after `target` groups and a pause of its own commits' length; returns the last group that it told. */
static uint64_t live_and_die(uint64_t target, unsigned pause_us)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        child(fds[1]);
    }
    close(fds[1]);
    uint64_t told = 0, count = 0;
    struct pollfd p = { .fd = fds[0], .events = POLLIN };
    while (count < target) {
        assert_int_equal(poll(&p, 1, 20000), 1);
        assert_int_equal(read(fds[0], &told, sizeof told), sizeof told);
        count++;
    }
    if (pause_us) {
        struct timespec t = { 0, (long)pause_us * 1000 };
        (void)nanosleep(&t, NULL); /* no waiting for anything: it moves the moment of death */
    }
    kill(pid, SIGKILL);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (read(fds[0], &told, sizeof told) == sizeof told)
        ;
    close(fds[0]);
    return told;
}

typedef struct groups { uint64_t last, count, lsn; bool first_is_cut; } groups;

static q_rc see(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    groups *s = ctx;
    q_arena *a = q_arena_new(0);
    q_rec r;
    (void)key;
    assert_int_equal(q_rec_decode(a, value, lsn, &r, err), Q_OK);
    uint64_t g = strtoull(q_arena_copy(a, r.text).ptr + 6, NULL, 10);
    if (g != s->last) { /* the one before is whole, but for what a trim took */
        assert_true(s->last == 0 || g == s->last + 1);
        assert_true(s->first_is_cut || s->last == 0 || s->count == 1 + s->last % 17);
        s->first_is_cut = s->last == 0;
        s->last = g;
        s->count = 0;
    }
    s->count++;
    s->lsn = lsn;
    q_arena_free(a);
    return Q_OK;
}

static void what_was_told_is_there_and_groups_are_whole(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    uint64_t lost = 0, beyond = 0;
    srandom(11);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t told = live_and_die(1 + (uint64_t)random() % 12, (unsigned)random() % 1500);
        q_log *log = open_log();
        assert_non_null(log);
        q_arena *a = q_arena_new(0);
        groups s = { 0 };
        assert_int_equal(log->ops->scan(log, 0, see, &s, &err), Q_OK);
        assert_int_equal(s.count, 1 + s.last % 17);
        lost += s.last < told;
        beyond += s.last > told;
        assert_true(s.last == told || s.last == told + 1);
        assert_int_equal(strtoull(lc_get(log, a, Q_LT_META, "group"), NULL, 10), s.last);
        assert_int_equal(strtoull(lc_get(log, a, Q_LT_POSITION, "quanta.requests/0"), NULL, 10), s.lsn);
        q_arena_free(a);
        log->ops->close(log);
    }
    assert_int_equal(lost, 0);
    printf("           %d lives, %llu of them ended between a commit and its telling\n", ROUNDS, (unsigned long long)beyond);
}

int main(void)
{
    snprintf(dir, sizeof dir, "%s/log", scratch_new());
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_was_told_is_there_and_groups_are_whole) };
    int failed = cmocka_run_group_tests_name("crash", tests, NULL, NULL);
    *strrchr(dir, '/') = '\0';
    scratch_remove(dir);
    return failed;
}
