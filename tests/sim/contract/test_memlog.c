/* The simulator's disk keeps the contract of log stores that LMDB keeps: what holds on one holds on the other. */
#include "tests/unit/wal/log_contract.h"

#include "tests/sim/memlog.h"

static q_arena *arena;
static mem_disk *disk;

static q_log *open_log(log_contract *c)
{
    q_log *log = NULL;
    q_err err = Q_ERR_INIT;
    (void)c;
    if (mem_log_open(disk, &log, &err) != Q_OK)
        fail_msg("open: %s", err.message);
    return log;
}

static void wipe(log_contract *c)
{
    (void)c;
    q_arena_free(arena);
    arena = q_arena_new(0);
    disk = mem_disk_new(arena, "12345678abcdefghijklmnop", NULL, NULL);
}

static log_contract contract = { .open = open_log, .wipe = wipe };

static int fresh(void **state)
{
    contract.wipe(&contract);
    *state = &contract;
    return 0;
}

static void a_failed_sync_leaves_all_or_nothing(void **state)
{
    log_contract *c = *state;
    q_err err = Q_ERR_INIT;
    for (int there = 0; there < 2; there++) {
        c->wipe(c);
        q_log *log = c->open(c);
        lc_append_run(log, 1, 2);
        q_log_op ops[] = { lc_append(arena, 3, "three"), lc_put(Q_LT_POSITION, "p", "3") };
        mem_disk_fail_next(disk, there);
        assert_int_equal(log->ops->commit(log, ops, 2, &err), Q_FATAL);
        log = lc_reopen(c, log);
        assert_string_equal(lc_text(log, arena, 3), there ? "three" : "");
        assert_int_equal(lc_get(log, arena, Q_LT_POSITION, "p") != NULL, there);
        log->ops->close(log);
    }
}

static void an_old_copy_comes_back_whole(void **state)
{
    log_contract *c = *state;
    q_log *log = c->open(c);
    lc_append_run(log, 1, 3);
    mem_disk_copy *copy = mem_disk_copy_take(disk);
    lc_append_run(log, 4, 500);
    log->ops->close(log);
    mem_disk_copy_restore(disk, copy);
    log = c->open(c);
    assert_int_equal(lc_scan(log, 0).last, 3);
    lc_append_run(log, 4, 1);
    assert_string_equal(lc_text(log, arena, 4), "record 4");
    log->ops->close(log);
}

static void it_opens_once(void **state)
{
    log_contract *c = *state;
    q_log *log = c->open(c), *second = NULL;
    q_err err = Q_ERR_INIT;
    assert_int_equal(mem_log_open(disk, &second, &err), Q_FAIL);
    log->ops->close(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_CONTRACT_TESTS(fresh),
        cmocka_unit_test_setup(a_failed_sync_leaves_all_or_nothing, fresh),
        cmocka_unit_test_setup(an_old_copy_comes_back_whole, fresh),
        cmocka_unit_test_setup(it_opens_once, fresh),
    };
    int failed = cmocka_run_group_tests_name("memlog", tests, NULL, NULL);
    q_arena_free(arena);
    return failed;
}
