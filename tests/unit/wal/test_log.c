/* The contract of log stores, on LMDB; and what only the one on disk promises: one owner, a bounded file, readers beside it. */
#include "log_contract.h"
#include "scratch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

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

int main(void)
{
    snprintf(dir, sizeof dir, "%s/log", scratch_new());
    const struct CMUnitTest tests[] = {
        LOG_CONTRACT_TESTS(fresh),
    };
    int failed = cmocka_run_group_tests_name("log", tests, NULL, NULL);
    *strrchr(dir, '/') = '\0';
    scratch_remove(dir);
    return failed;
}
