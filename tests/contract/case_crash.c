/* case_crash.c - a process is killed in the middle of its commits: what it had answered is there, whole and once.
 *
 * The child is this program, started anew: an engine's session, or an LMDB environment, can't be carried over a fork. */
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/contract/contract.h"

extern char **environ;

enum { BATCH = 8, ENOUGH = 40 };

static q_item nth(contract *c, uint64_t n)
{
    return put(c, q_arena_printf(c->arena, "n%llu", (unsigned long long)n).ptr, 1, field("a", val(c, (int64_t)n)));
}

/* Batches of eight transactions for ever; says the last seq of each once it is committed. */
int crash_child(const q_engine_ops *ops, const q_engine_config *config, const char *bucket, const char *bucket_incarnation,
                const char *record_incarnation, const char *epoch, const char *seq)
{
    contract c = { .ops = ops, .config = *config, .as = config->id, .epoch = strtoull(epoch, NULL, 10) };
    q_err err = Q_ERR_INIT;
    c.arena = q_arena_new(0);
    c.scratch = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    snprintf(c.bucket, sizeof c.bucket, "%s", bucket);
    c.bucket_incarnation = strtoull(bucket_incarnation, NULL, 10);
    c.record_incarnation = strtoull(record_incarnation, NULL, 10);
    c.seq = strtoull(seq, NULL, 10);
    if (setjmp(c.failed) != 0 || ops->open(config, &c.e, &err) != Q_OK)
        return 1;
    for (;;) {
        q_txn_work works[BATCH];
        q_arena_reset(c.arena);
        for (int i = 0; i < BATCH; i++) {
            uint64_t s = next_seq(&c);
            q_item one = nth(&c, s);
            works[i] = work(&c, s, 1, &one);
        }
        if (ops->commit(c.e, c.arena, c.epoch, works[0].seq, works, BATCH, &err) != Q_OK)
            return 1;
        if (write(STDOUT_FILENO, &c.seq, sizeof c.seq) != sizeof c.seq)
            return 1;
    }
}

static pid_t start_child(contract *c, int *from)
{
    char numbers[4][24];
    int pipes[2];
    posix_spawn_file_actions_t actions;
    pid_t pid;
    snprintf(numbers[0], sizeof numbers[0], "%llu", (unsigned long long)c->bucket_incarnation);
    snprintf(numbers[1], sizeof numbers[1], "%llu", (unsigned long long)c->record_incarnation);
    snprintf(numbers[2], sizeof numbers[2], "%llu", (unsigned long long)c->epoch);
    snprintf(numbers[3], sizeof numbers[3], "%llu", (unsigned long long)c->seq);
    char version[16], program[] = "contract", child[] = "--crash-child", engine[] = "--engine", as[] = "--as", uri[] = "--uri",
        user[] = "--user",
                      password[] = "--password", token[] = "--token", number[] = "--version", stop[] = "--", none[] = "";
    snprintf(version, sizeof version, "%u", c->config.server_version);
#define GIVEN(s) ((s) ? (char *)(uintptr_t)(s) : none)
    char *argv[] = { program, child, engine, GIVEN(engine_name_given), as, GIVEN(q_engine_name(c->as)), uri, GIVEN(c->config.uri), user,
                     GIVEN(c->config.user), password, GIVEN(c->config.password), token, GIVEN(c->config.token), number, version, stop,
                     c->bucket, numbers[0], numbers[1], numbers[2],
                     numbers[3], NULL };
    if (pipe(pipes) != 0)
        FAIL(c, "no pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, pipes[0]);
    int rc = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    *from = pipes[0];
    if (rc != 0)
        FAIL(c, "%s can't be started: %s", program_path, strerror(rc));
    return pid;
}

static void answered_commits_survive_sigkill(contract *c)
{
    uint64_t first = c->seq + 1, told = c->seq, s;
    int from, count = 0;
    pid_t pid = start_child(c, &from);
    while (count < ENOUGH && read(from, &s, sizeof s) == sizeof s) {
        told = s;
        count++;
    }
    kill(pid, SIGKILL);
    while (read(from, &s, sizeof s) == sizeof s) /* answered before it died */
        told = s;
    close(from);
    waitpid(pid, NULL, 0);
    EXPECT_U64(c, (uint64_t)count, ENOUGH);
    reopen(c);
    EXPECT(c, state_of(c).applied_high >= told);
    EXPECT(c, state_of(c).applied_below >= told - BATCH + 1);
    for (s = first; s <= told; s++) {
        const q_row *row = EXPECT_THERE(c, q_arena_printf(c->arena, "n%llu", (unsigned long long)s).ptr);
        EXPECT_VALUE(c, row, 0, val(c, (int64_t)s));
        EXPECT_U64(c, row->seq, s);
    }
    /* What was under way may be there or not; redo makes it so. */
    c->seq = told + 10 * BATCH;
    for (s = told + 1; s <= told + BATCH; s++)
        redo(c, s, nth(c, s));
    EXPECT_THERE(c, q_arena_printf(c->arena, "n%llu", (unsigned long long)(told + BATCH)).ptr);
    q_read r = scan_of(c, "things", c->record_incarnation, 100000);
    EXPECT_U64(c, read_rows(c, &r).count, told + BATCH - first + 1);
}

const contract_case crash_cases[] = {
    { "answered_commits_survive_sigkill", answered_commits_survive_sigkill, ALL_KINDS, NULL },
    { 0 }
};
