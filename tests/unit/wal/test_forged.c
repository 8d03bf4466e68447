/* Logs whose bytes are all right and whose contents aren't: written with LMDB's own means, or by a coordinator with a defect. Each is
 * refused with its reason, by the check before an opening or by the deep check of `quanta wal verify`. What gets past a check that
 * is switched off is found when it is read. */
#include "sample.h"
#include "scratch.h"

#include <fcntl.h>
#include <lmdb.h>

#include "wal/bytes.h"
#include "wal/check.h"

static char dir[700];
static q_arena *arena;

static q_log *open_log(bool skip_verify)
{
    q_log_options o = { .max_bytes = 8 << 20, .create = true, .skip_verify = skip_verify };
    q_log *log = NULL;
    q_err err = Q_ERR_INIT;
    if (q_log_open_lmdb(dir, &o, &log, &err) != Q_OK)
        fail_msg("open: %s", err.message);
    return log;
}

static int fresh(void **state)
{
    (void)state;
    scratch_remove(dir);
    q_arena_free(arena);
    arena = q_arena_new(0);
    q_log *log = open_log(false);
    lc_append_run(log, 1, 5);
    log->ops->close(log);
    return 0;
}

/* ---- with LMDB's own means ---- */

typedef struct forged { const char *key; size_t key_len; q_slice value; bool remove; } forged;

/* One commit as the log does it, with a right stamp (unless `edit` changes it), and these entries. */
static void forge(const forged *f, size_t n, void (*edit)(q_wal_stamp *))
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi tree;
    q_buf b = Q_BUF_INIT(200);
    MDB_val k = { 6, (char[]){ "\0stamp" } }, v;
    q_wal_stamp stamp;
    bool other;
    q_err err = Q_ERR_INIT;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 8 << 20), 0);
    assert_int_equal(mdb_env_open(env, dir, MDB_NOTLS, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &tree), 0);
    assert_int_equal(mdb_get(txn, tree, &k, &v), 0);
    assert_int_equal(q_wal_stamp_decode(q_slice_of(v.mv_data, v.mv_size), &stamp, &other, &err), Q_OK);
    stamp.txnid = mdb_txn_id(txn);
    if (edit)
        edit(&stamp);
    q_wal_stamp_encode(&stamp, &b);
    v = (MDB_val){ b.len, b.ptr };
    assert_int_equal(mdb_put(txn, tree, &k, &v, 0), 0);
    for (size_t i = 0; i < n; i++) {
        MDB_val key = { f[i].key_len, (void *)(uintptr_t)f[i].key }, value = { f[i].value.len, (void *)(uintptr_t)f[i].value.ptr };
        assert_int_equal(f[i].remove ? mdb_del(txn, tree, &key, NULL) : mdb_put(txn, tree, &key, &value, 0), 0);
    }
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    q_buf_free(&b);
}

static void refused(const char *why)
{
    q_err err = Q_ERR_INIT;
    q_wal_verdict v;
    q_wal_check_job job = { .dir = dir, .owned = true, .lock_fd = -1 };
    assert_int_equal(q_wal_check_here(&job, &v, &err), Q_FAIL);
    assert_true(v.state == Q_WAL_DAMAGED || v.state == Q_WAL_META_DAMAGED);
    if (!strstr(err.message, why))
        fail_msg("expected '%s' in '%s'", why, err.message);
    job.owned = false; /* beside a coordinator: judged alike */
    assert_int_equal(q_wal_check_here(&job, &v, &err), Q_FAIL);
    q_log *log;
    q_log_options o = { .max_bytes = 8 << 20 };
    assert_int_equal(q_log_open_lmdb(dir, &o, &log, &err), Q_FAIL);
    assert_non_null(strstr(err.message, why));
}

static q_slice entry(uint8_t table, const char *key, q_slice value)
{
    q_buf b = Q_BUF_INIT(1000);
    q_wal_entry_wrap(table, q_slice_cstr(key), value, &b);
    q_slice s = q_arena_copy(arena, q_buf_slice(&b));
    q_buf_free(&b);
    return s;
}

static forged record_at(uint64_t lsn, q_slice bytes)
{
    uint8_t *key = q_arena_alloc(arena, Q_WAL_RECORD_KEY);
    q_wal_record_key(lsn, key);
    return (forged){ .key = (char *)key, .key_len = Q_WAL_RECORD_KEY, .value = bytes };
}

static void the_untouched_log_passes(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_wal_verdict v;
    forge(NULL, 0, NULL);
    for (int owned = 0; owned < 2; owned++) {
        q_wal_check_job job = { .dir = dir, .owned = owned, .lock_fd = -1, .deep = true };
        if (q_wal_check_here(&job, &v, &err) != Q_OK)
            fail_msg("%s", err.message);
        assert_int_equal(v.state, Q_WAL_SOUND);
        assert_int_equal(v.report.records, 5);
    }
}

static void keys_that_no_log_has(void **state)
{
    const struct { forged f; const char *why; } cases[] = {
        { { "\0stamp2", 7, Q_SLICE_LIT("x"), false }, "beside the stamp" },
        { { "\0aaa", 4, Q_SLICE_LIT("x"), false }, "doesn't begin with the log's stamp" },
        { { "\4table", 6, Q_SLICE_LIT("xxxx"), false }, "no table 4" },
        { { "\1k", 2, Q_SLICE_LIT("x"), false }, "less than a checksum" },
        { { "\1k", 2, Q_SLICE_LIT("abcdvalue"), false }, "checksum" },
        { { "\x7f" "12", 3, Q_SLICE_LIT("x"), false }, "a record's key has 2 bytes" },
        { { "\x80x", 2, Q_SLICE_LIT("x"), false }, "no table 128" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)fresh(state);
        forge(&cases[i].f, 1, NULL);
        refused(cases[i].why);
    }
}

static void identities_that_are_missing(void **state)
{
    forged cluster = { .key = "\1cluster", .key_len = 8, .remove = true };
    forge(&cluster, 1, NULL);
    refused("no cluster id");
    (void)fresh(state);
    forged incarnation = { .key = "\1incarnation", .key_len = 12, .value = entry(1, "incarnation", Q_SLICE_LIT("too short")) };
    forge(&incarnation, 1, NULL);
    refused("no incarnation");
}

static void forget_first(q_wal_stamp *s) { s->first_lsn = 0; }
static void beyond(q_wal_stamp *s) { s->last_lsn = 6; }
static void before(q_wal_stamp *s) { s->last_lsn = 4; }
static void first_beyond(q_wal_stamp *s) { s->first_lsn = 7; }

static void records_that_do_not_fit_the_stamp(void **state)
{
    forge(NULL, 0, beyond);
    refused("record 6 and those up to 6 are missing");
    (void)fresh(state);
    forge(NULL, 0, before);
    refused("record 5 is beyond the last, 4");
    (void)fresh(state);
    forge(NULL, 0, forget_first);
    refused("stamp says records 0 to 5");
    (void)fresh(state);
    forge(NULL, 0, first_beyond);
    refused("stamp says records 7 to 5");
    (void)fresh(state);
    forged hole = record_at(3, Q_SLICE_NONE);
    hole.remove = true;
    forge(&hole, 1, NULL);
    refused("record 4 stands where 3 belongs");
    (void)fresh(state);
    forged first = record_at(1, Q_SLICE_NONE);
    first.remove = true;
    forge(&first, 1, NULL);
    refused("record 2 stands where 1 belongs");
    (void)fresh(state);
    forged wrong = record_at(3, lc_record(arena, 4, "the next one's bytes"));
    forge(&wrong, 1, NULL);
    refused("the header says that it is record 4");
}

static void a_short_stamp(void **state)
{
    (void)state;
    q_wal_stamp s;
    bool other;
    q_err err = Q_ERR_INIT;
    q_buf b = Q_BUF_INIT(100);
    q_wal_entry_wrap(Q_WAL_T_STAMP, Q_SLICE_LIT("stamp"), Q_SLICE_LIT("short"), &b);
    assert_int_equal(q_wal_stamp_decode(q_buf_slice(&b), &s, &other, &err), Q_FAIL);
    assert_false(other);
    q_buf_free(&b);
    assert_string_equal(q_wal_table_name(Q_WAL_T_RECORD), "RECORD");
    assert_string_equal(q_wal_table_name(99), "unknown");
}

/* ---- a coordinator with a defect ---- */

static void deep_check(const char *why)
{
    q_err err = Q_ERR_INIT;
    q_wal_verdict v;
    q_wal_check_job job = { .dir = dir, .owned = true, .lock_fd = -1 };
    assert_int_equal(q_wal_check_here(&job, &v, &err), Q_OK); /* the bytes are right */
    job.deep = true;
    assert_int_equal(q_wal_check_here(&job, &v, &err), why ? Q_FAIL : Q_OK);
    if (why && !strstr(err.message, why))
        fail_msg("expected '%s' in '%s'", why, err.message);
    q_verify_report r;
    assert_int_equal(q_log_verify(dir, NULL, NULL, &r, &err), why ? Q_FAIL : Q_OK);
}

/* Appends these records after the five of a fresh log, numbers them, and checks. */
static void with_records(void **state, q_rec *records, size_t n, const char *why)
{
    q_log_op ops[2000];
    (void)fresh(state);
    q_log *log = open_log(false);
    for (size_t i = 0; i < n; i++) {
        records[i].lsn = 6 + i;
        ops[i] = sample_append(arena, &records[i]);
    }
    lc_commit(log, ops, n);
    log->ops->close(log);
    deep_check(why);
}

static q_rec an_epoch(uint64_t e) { return (q_rec){ .type = Q_REC_EPOCH, .epoch = { .epoch = e, .version = Q_SLICE_LIT("0.1.0") } }; }

static void records_that_do_not_fit_each_other(void **state)
{
    q_arena *a = q_arena_new(0);
    uint64_t five = 5, six = 6, seven = 7, far = 900;
    q_rec committed = sample_decision(a, 0, 6, "r"), aborted = sample_decision(a, 0, 5, "r");
    q_rec end_six = { .type = Q_REC_TAIL, .tail = { 1, &six, 0, NULL } }, end_five = { .type = Q_REC_TAIL, .tail = { 1, &five, 0, NULL } };
    q_rec publish_six = { .type = Q_REC_TAIL, .tail = { 0, NULL, 1, &six } }, publish_seven = { .type = Q_REC_TAIL, .tail = { 0, NULL, 1, &seven } };
    q_rec publish_five = { .type = Q_REC_TAIL, .tail = { 0, NULL, 1, &five } }, publish_far = { .type = Q_REC_TAIL, .tail = { 0, NULL, 1, &far } };

    with_records(state, (q_rec[]){ committed, end_six, end_six, publish_six }, 4, NULL); /* an END may come twice */
    with_records(state, (q_rec[]){ an_epoch(1), committed, an_epoch(2) }, 3, NULL);
    with_records(state, (q_rec[]){ end_six, committed }, 2, "before it was decided");
    with_records(state, (q_rec[]){ aborted, end_five }, 2, "aborted transaction 5 is said to be applied");
    with_records(state, (q_rec[]){ committed, committed }, 2, "decided before");
    with_records(state, (q_rec[]){ an_epoch(2), an_epoch(2) }, 2, "epoch 2 after epoch 2");
    q_rec later = committed;
    later.decision.epoch = 3;
    with_records(state, (q_rec[]){ an_epoch(2), later }, 2, "a decision of epoch 3 in epoch 2");
    with_records(state, (q_rec[]){ publish_six }, 1, "is said to be published");  /* itself */
    with_records(state, (q_rec[]){ publish_seven, committed }, 2, "is said to be published");
    with_records(state, (q_rec[]){ publish_five }, 1, "is said to be published"); /* an operator's note */
    with_records(state, (q_rec[]){ publish_far }, 1, "is said to be published");
    q_rec no_redo = committed, no_ddl = committed;
    no_redo.decision.redo[Q_EN_POSTGRES] = Q_SLICE_LIT("nonsense");
    with_records(state, &no_redo, 1, "its redo for postgres");
    no_ddl.decision.ddl = Q_SLICE_LIT("nonsense");
    with_records(state, &no_ddl, 1, "its schema change");

    /* Many transactions, and a log whose beginning is trimmed: an END of what isn't there any more is no defect. */
    static q_rec many[2000];
    for (uint64_t i = 0; i < 2000; i++)
        many[i] = sample_decision(a, 0, i + 1, "r");
    with_records(state, many, 2000, NULL);
    q_verify_report r;
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_log_verify(dir, NULL, NULL, &r, &err), Q_OK);
    assert_true(r.decisions == 2000 && r.open_transactions == 1600 && r.records == 2005);
    q_log *log = open_log(false);
    uint64_t old = 1, recent = 1999;
    q_rec ends[] = { { .type = Q_REC_TAIL, .lsn = 2006, .tail = { 1, &old, 1, &six } }, { .type = Q_REC_TAIL, .lsn = 2007, .tail = { 1, &recent, 0, NULL } } };
    q_log_op ops[] = { sample_append(a, &ends[0]), sample_append(a, &ends[1]), { .kind = Q_LO_TRIM, .lsn = 1000 } };
    lc_commit(log, ops, 3);
    log->ops->close(log);
    deep_check(NULL);
    assert_int_equal(q_log_verify(dir, NULL, NULL, &r, &err), Q_OK);
    assert_int_equal(r.records, 2007 - 999);
    q_arena_free(a);
}

/* ---- with the check switched off ---- */

/* Flips the byte `offset` bytes after the first place where `what` stands in the data file's live part (the last one written). */
static void flip(const char *what, size_t n, int64_t offset)
{
    char path[800];
    struct stat st;
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    char *bytes = malloc((size_t)st.st_size);
    assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
    uint64_t changed = 0;
    for (char *p = bytes; (p = memmem(p, (size_t)(st.st_size - (p - bytes)), what, n)) != NULL; p++, changed++)
        p[offset] = (char)(p[offset] ^ 0x10);
    assert_true(changed > 0);
    assert_int_equal(pwrite(fd, bytes, (size_t)st.st_size, 0), st.st_size);
    close(fd);
    free(bytes);
}

static q_rc see_nothing(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    (void)ctx, (void)lsn, (void)key, (void)value, (void)err;
    return Q_OK;
}

static void damage_that_comes_later_is_found_when_it_is_read(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_slice out;
    flip("record 3", 8, 7);
    q_log *log = open_log(true);
    assert_int_equal(log->ops->read(log, arena, 3, &out, &err), Q_FATAL);
    assert_non_null(strstr(err.message, "log record 3: the checksum"));
    assert_int_equal(log->ops->read(log, arena, 2, &out, &err), Q_OK);
    assert_int_equal(log->ops->scan(log, 0, see_nothing, NULL, &err), Q_FATAL);
    assert_int_equal(log->ops->scan(log, 4, see_nothing, NULL, &err), Q_OK);
    log->ops->close(log);

    (void)fresh(state);
    log = open_log(false);
    q_log_op put = lc_put(Q_LT_POSITION, "a/0", "some position");
    lc_commit(log, &put, 1);
    log->ops->close(log);
    flip("some position", 13, 2);
    log = open_log(true);
    assert_int_equal(log->ops->get(log, arena, Q_LT_POSITION, Q_SLICE_LIT("a/0"), &out, &err), Q_FATAL);
    assert_int_equal(log->ops->table(log, Q_LT_POSITION, see_nothing, NULL, &err), Q_FATAL);
    assert_non_null(strstr(err.message, "'a/0' of table POSITION"));
    assert_int_equal(log->ops->get(log, arena, Q_LT_COUNT, Q_SLICE_LIT("a/0"), &out, &err), Q_FAIL);
    log->ops->close(log);

    (void)fresh(state);
    forged hole = record_at(3, Q_SLICE_NONE);
    hole.remove = true;
    forge(&hole, 1, NULL);
    log = open_log(true);
    assert_int_equal(log->ops->scan(log, 0, see_nothing, NULL, &err), Q_FATAL);
    assert_non_null(strstr(err.message, "record 3 is missing"));
    q_log_op trim = { .kind = Q_LO_TRIM, .lsn = 5 }; /* and a trim that meets it stops the process */
    assert_int_equal(log->ops->commit(log, &trim, 1, &err), Q_FATAL);
    log->ops->close(log);
}

static void a_log_without_its_stamp_is_not_opened(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_log *log;
    q_log_options o = { .max_bytes = 8 << 20, .skip_verify = true };
    forged stamp = { .key = "\0stamp", .key_len = 6, .remove = true };
    forge(&stamp, 1, NULL);
    assert_int_equal(q_log_open_lmdb(dir, &o, &log, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "stamp"));
    (void)fresh(state);
    forged cluster = { .key = "\1cluster", .key_len = 8, .remove = true };
    forge(&cluster, 1, NULL);
    assert_int_equal(q_log_open_lmdb(dir, &o, &log, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "no cluster id"));
}

static void no_memory_is_an_error_and_no_crash(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_slice out;
    q_log *log = open_log(false);
    q_arena_fail_after(1);
    assert_int_equal(log->ops->read(log, arena, 3, &out, &err), Q_FAIL);
    q_arena_fail_after(1);
    assert_int_equal(log->ops->get(log, arena, Q_LT_META, Q_SLICE_LIT("cluster"), &out, &err), Q_FAIL);
    q_arena_fail_after(0);
    assert_int_equal(err.code, Q_E_LIMIT_MEMORY);
    const q_log_ops *ops = log->ops;
    ops->close(log);
    ops->close(NULL);
}

int main(void)
{
    snprintf(dir, sizeof dir, "%s/log", scratch_new());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_untouched_log_passes, fresh),
        cmocka_unit_test_setup(keys_that_no_log_has, fresh),
        cmocka_unit_test_setup(identities_that_are_missing, fresh),
        cmocka_unit_test_setup(records_that_do_not_fit_the_stamp, fresh),
        cmocka_unit_test_setup(a_short_stamp, fresh),
        cmocka_unit_test_setup(records_that_do_not_fit_each_other, fresh),
        cmocka_unit_test_setup(damage_that_comes_later_is_found_when_it_is_read, fresh),
        cmocka_unit_test_setup(a_log_without_its_stamp_is_not_opened, fresh),
        cmocka_unit_test_setup(no_memory_is_an_error_and_no_crash, fresh),
    };
    int failed = cmocka_run_group_tests_name("forged", tests, NULL, NULL);
    q_arena_free(arena);
    *strrchr(dir, '/') = '\0';
    scratch_remove(dir);
    return failed;
}
