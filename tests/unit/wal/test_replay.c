/* What is trimmed stays readable, a damage of it is found, and what an engine must hold is the newest of each key. */
#include "sample.h"
#include "scratch.h"

#include <fcntl.h>

#include "wal/copy.h"
#include "wal/replay.h"

static char dir[700];

static q_log *open_log(bool create)
{
    q_err err = Q_ERR_INIT;
    q_log *log = NULL;
    q_log_options o = { .max_bytes = 64 << 20, .create = create };
    if (q_log_open_lmdb(dir, &o, &log, &err) != Q_OK)
        fail_msg("%s", err.message);
    return log;
}

static int set_up(void **state)
{
    snprintf(dir, sizeof dir, "%s", scratch_new());
    *state = open_log(true);
    return 0;
}

static int tear_down(void **state)
{
    q_log *log = *state;
    if (log)
        log->ops->close(log);
    scratch_remove(dir);
    return 0;
}

static q_rc add_text(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    (void)key;
    (void)err;
    q_buf_printf(ctx, "%llu:%zu ", (unsigned long long)lsn, value.len);
    return Q_OK;
}

static void append_texts(q_log *log, uint64_t from, uint64_t to)
{
    q_arena *a = q_arena_new(0);
    for (uint64_t lsn = from; lsn <= to; lsn++) {
        q_log_op op = lc_append(a, lsn, "some text of an operator, again and again");
        lc_commit(log, &op, 1);
    }
    q_arena_free(a);
}

static void trim(q_log *log, uint64_t lsn)
{
    q_log_op op = { .kind = Q_LO_TRIM, .lsn = lsn };
    lc_commit(log, &op, 1);
}

static void what_is_archived_and_trimmed_reads_as_before(void **state)
{
    q_log *log = *state, *whole;
    q_err err = Q_ERR_INIT;
    q_segment last;
    q_archive *archive;
    q_buf before = Q_BUF_INIT(1 << 20), after = Q_BUF_INIT(1 << 20);
    append_texts(log, 1, 100);
    assert_int_equal(log->ops->scan(log, 0, add_text, &before, &err), Q_OK);
    assert_int_equal(q_segment_write(dir, log, 7, 41, &last, &err), Q_OK);
    assert_true(last.first_lsn == 1 && last.last_lsn == 40);
    trim(log, 41);
    assert_int_equal(q_segment_write(dir, log, 7, 71, &last, &err), Q_OK);
    assert_true(last.first_lsn == 41 && last.last_lsn == 70);
    assert_int_equal(q_segment_write(dir, log, 7, 71, &last, &err), Q_OK); /* a crash before the trim: asked for again */
    assert_true(last.first_lsn == 41 && last.last_lsn == 70);
    trim(log, 61); /* 61 to 70 are in both */
    assert_int_equal(q_segments_open(dir, &archive, &err), Q_OK);
    assert_int_equal(q_log_with_archive(log, archive, &whole, &err), Q_OK);
    assert_int_equal(whole->ops->scan(whole, 0, add_text, &after, &err), Q_OK);
    assert_true(q_slice_eq(q_buf_slice(&before), q_buf_slice(&after)));
    q_arena *a = q_arena_new(0);
    q_slice bytes;
    for (uint64_t lsn = 1; lsn <= 100; lsn++)
        assert_int_equal(whole->ops->read(whole, a, lsn, &bytes, &err), Q_OK);
    assert_int_equal(whole->ops->read(whole, a, 101, &bytes, &err), Q_END);
    assert_int_equal(q_segment_write(dir, log, 8, 90, &last, &err), Q_FAIL); /* another cluster's */
    q_arena_free(a);
    whole->ops->close(whole);
    *state = NULL;
    q_buf_free(&before);
    q_buf_free(&after);
}

static void every_byte_of_a_segment_is_checked(void **state)
{
    q_log *log = *state;
    q_err err = Q_ERR_INIT;
    q_segment last, *list;
    size_t count;
    uint64_t records;
    char path[1000];
    append_texts(log, 1, 20);
    assert_int_equal(q_segment_write(dir, log, 7, 21, &last, &err), Q_OK);
    assert_int_equal(q_segment_verify(dir, &last, &records, &err), Q_OK);
    assert_int_equal(records, 20);
    snprintf(path, sizeof path, "%s/segments/%s", dir, last.file);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (off_t at = 0; at < (off_t)last.file_bytes; at++) {
        unsigned char byte, wrong;
        if (at >= 92 && at < 124)
            continue; /* zeros that the header's checksum covers, too: once is enough */
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        wrong = (unsigned char)(byte ^ 0x10);
        assert_int_equal(pwrite(fd, &wrong, 1, at), 1);
        err = Q_ERR_INIT;
        assert_int_equal(q_segment_verify(dir, &last, &records, &err), Q_FAIL);
        assert_non_null(strstr(err.message, "qseg"));
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    for (off_t size = (off_t)last.file_bytes - 1; size > 0; size -= 37) {
        assert_int_equal(ftruncate(fd, size), 0);
        assert_int_equal(q_segment_verify(dir, &last, &records, &err), Q_FAIL);
    }
    close(fd);
    unlink(path);
    assert_int_equal(q_segments_list(dir, &list, &count, &err), Q_OK);
    assert_int_equal(count, 0);
}

static void a_missing_segment_is_told(void **state)
{
    q_log *log = *state;
    q_err err = Q_ERR_INIT;
    q_segment one, two, three;
    q_archive *archive;
    char path[1000];
    append_texts(log, 1, 30);
    assert_int_equal(q_segment_write(dir, log, 7, 11, &one, &err), Q_OK);
    assert_int_equal(q_segment_write(dir, log, 7, 21, &two, &err), Q_OK);
    assert_int_equal(q_segment_write(dir, log, 7, 31, &three, &err), Q_OK);
    snprintf(path, sizeof path, "%s/segments/%s", dir, two.file);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(q_segments_open(dir, &archive, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "records 11 to 20 are missing"));
    snprintf(path, sizeof path, "%s/segments/%s", dir, one.file); /* the oldest may go */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(q_segments_open(dir, &archive, &err), Q_OK);
    assert_true(archive->first_lsn == 21 && archive->last_lsn == 30);
    archive->close(archive);
}

/* ---- replay ---- */

static q_slice writes_of(q_arena *a, q_item_op op, const char *id, bool full, const char *attr, int64_t value)
{
    q_field *f = Q_NEW_ARRAY(a, q_field, 1);
    q_item *item = Q_NEW(a, q_item);
    if (attr)
        *f = (q_field){ q_slice_cstr(attr), { .type = Q_T_INT, .i = value } };
    *item = (q_item){ .op = op, .record = Q_SLICE_LIT("things"), .incarnation = 2, .id = { .type = Q_T_STRING, .s = q_slice_cstr(id) }, .full = full,
                      .count = attr ? 1 : 0, .fields = f };
    q_writes w = { 1, Q_SLICE_LIT("shop"), 1, item };
    q_buf b = Q_BUF_INIT(1 << 16);
    q_writes_encode(&w, &b);
    q_slice s = q_arena_copy(a, q_buf_slice(&b));
    q_buf_free(&b);
    return s;
}

static void decide(q_log *log, uint64_t lsn, uint64_t seq, q_slice writes)
{
    q_arena *a = q_arena_new(0);
    q_rec r = sample_decision(a, lsn, seq, "{}");
    r.decision.committed = true;
    r.decision.participants = Q_EN_BIT(Q_EN_POSTGRES);
    memset(r.decision.redo, 0, sizeof r.decision.redo);
    r.decision.redo[Q_EN_POSTGRES] = writes;
    q_log_op op = sample_append(a, &r);
    lc_commit(log, &op, 1);
    q_arena_free(a);
}

/* "seq id op[+] attr=value …;" for each item that is given out. */
static void replayed(q_log *log, q_archive *archive, q_replay_spec spec, q_buf *out)
{
    q_err err = Q_ERR_INIT;
    q_replay *r;
    q_replay_batch b;
    q_rc rc;
    assert_int_equal(q_replay_open(log, archive, &spec, &r, &err), Q_OK);
    while ((rc = q_replay_prepare(r, &err)) == Q_WAIT)
        ;
    q_arena *a = q_arena_new(0);
    q_buf_clear(out);
    while (rc == Q_OK && (rc = q_replay_next(r, &b, &err)) == Q_OK)
        for (uint32_t i = 0; i < b.count; i++) {
            q_writes w;
            assert_int_equal(q_writes_decode(a, q_arena_copy(a, b.works[i].writes), &w, &err), Q_OK);
            for (uint32_t k = 0; k < w.count; k++) {
                const q_item *item = &w.items[k];
                q_buf_printf(out, "%llu %.*s %s%s", (unsigned long long)b.works[i].seq, Q_SLICE_FMT(item->id.s), item->op == Q_I_PUT ? "put" : "delete", item->full ? "+" : "");
                for (uint32_t f = 0; f < item->count; f++)
                    q_buf_printf(out, " %.*s=%lld", Q_SLICE_FMT(item->fields[f].attr), (long long)item->fields[f].value.i);
                q_buf_printf(out, ";%s ", b.last ? " last" : "");
            }
        }
    if (rc != Q_END)
        fail_msg("%s", err.message);
    q_buf_add_byte(out, 0);
    q_arena_free(a);
    q_replay_free(r);
}

static void define_things(q_log *log)
{
    q_err err = Q_ERR_INIT;
    q_catalog *c = q_catalog_new(), *with;
    const q_attr attrs[] = { { .name = Q_SLICE_LIT("a"), .datatype = Q_T_INT }, { .name = Q_SLICE_LIT("b"), .datatype = Q_T_INT } };
    const q_ddl bucket = { .kind = Q_DDL_CREATE_BUCKET, .bucket = Q_SLICE_LIT("shop") };
    const q_ddl record = { .kind = Q_DDL_CREATE_RECORD, .bucket = Q_SLICE_LIT("shop"), .record = Q_SLICE_LIT("things"), .count = 2, .attrs = attrs };
    assert_int_equal(q_catalog_apply(c, &bucket, 1, &with, &err), Q_OK);
    q_catalog_unref(c);
    c = with;
    assert_int_equal(q_catalog_apply(c, &record, 2, &with, &err), Q_OK);
    q_catalog_unref(c);
    q_buf b = Q_BUF_INIT(1 << 16), r = Q_BUF_INIT(1 << 16);
    q_bucket_encode(q_catalog_bucket(with, Q_SLICE_LIT("shop")), &b);
    q_record_encode(q_catalog_record(with, Q_SLICE_LIT("shop"), Q_SLICE_LIT("things")), &r);
    const q_log_op ops[] = { { .kind = Q_LO_PUT, .table = Q_LT_CATALOG, .key = Q_SLICE_LIT("b/shop"), .value = q_buf_slice(&b) },
                             { .kind = Q_LO_PUT, .table = Q_LT_CATALOG, .key = Q_SLICE_LIT("r/shop/things"), .value = q_buf_slice(&r) } };
    lc_commit(log, ops, 2);
    q_buf_free(&b);
    q_buf_free(&r);
    q_catalog_unref(with);
}

static void the_newest_of_each_key_is_given_out_once(void **state)
{
    q_log *log = *state;
    q_err err = Q_ERR_INIT;
    q_arena *a = q_arena_new(0);
    q_buf out = Q_BUF_INIT(1 << 16);
    q_segment last;
    q_archive *archive;
    define_things(log);
    decide(log, 1, 10, writes_of(a, Q_I_PUT, "x", true, "a", 1));
    decide(log, 2, 11, writes_of(a, Q_I_PUT, "y", true, "a", 1));
    decide(log, 3, 13, writes_of(a, Q_I_PUT, "x", false, "b", 2)); /* decisions aren't in the order of seqs */
    decide(log, 4, 12, writes_of(a, Q_I_PUT, "z", true, "a", 7));
    decide(log, 5, 14, writes_of(a, Q_I_DELETE, "y", false, NULL, 0));
    decide(log, 6, 15, writes_of(a, Q_I_PUT, "x", false, "a", 3));
    replayed(log, NULL, (q_replay_spec){ .engine = Q_EN_POSTGRES }, &out);
    assert_string_equal(out.ptr, "12 z put+ a=7; 14 y delete; 15 x put+ a=3 b=2; ");

    /* A range is one of newest writes: what was deleted in 14 never comes back. */
    replayed(log, NULL, (q_replay_spec){ .engine = Q_EN_POSTGRES, .to = 13 }, &out);
    assert_string_equal(out.ptr, "12 z put+ a=7; ");
    replayed(log, NULL, (q_replay_spec){ .engine = Q_EN_POSTGRES, .from = 14 }, &out);
    assert_string_equal(out.ptr, "14 y delete; 15 x put+ a=3 b=2; ");

    /* An engine below END's mark of 13: what is above waits; what is at it comes last. */
    replayed(log, NULL, (q_replay_spec){ .engine = Q_EN_POSTGRES, .limit = 13 }, &out);
    assert_string_equal(out.ptr, "11 y put+ a=1; 12 z put+ a=7; 13 x put+ a=1 b=2; last ");

    /* Without memory for merging: as they are, from the life's beginning on. */
    replayed(log, NULL, (q_replay_spec){ .engine = Q_EN_POSTGRES, .memory_bytes = 1 }, &out);
    assert_true(strstr(out.ptr, "14 y delete;") && !strstr(out.ptr, "y put"));

    /* The same from segments. */
    assert_int_equal(q_segment_write(dir, log, 7, 5, &last, &err), Q_OK);
    assert_int_equal(last.high, 13);
    trim(log, 5);
    assert_int_equal(q_segments_open(dir, &archive, &err), Q_OK);
    replayed(log, archive, (q_replay_spec){ .engine = Q_EN_POSTGRES }, &out);
    assert_string_equal(out.ptr, "12 z put+ a=7; 14 y delete; 15 x put+ a=3 b=2; ");
    archive->close(archive);

    /* What an operator gave up is left out: the state before it is the newest. */
    q_rec r = { .type = Q_REC_RESOLVE, .lsn = 7, .resolve = { .seq = 15, .engines = Q_EN_BIT(Q_EN_POSTGRES), .abandoned = true, .who = Q_SLICE_LIT("ann") } };
    q_log_op op = sample_append(a, &r);
    lc_commit(log, &op, 1);
    assert_int_equal(q_segments_open(dir, &archive, &err), Q_OK);
    replayed(log, archive, (q_replay_spec){ .engine = Q_EN_POSTGRES }, &out);
    assert_string_equal(out.ptr, "13 x put+ a=1 b=2; 12 z put+ a=7; 14 y delete; ");
    archive->close(archive);
    q_arena_free(a);
    q_buf_free(&out);
}

static void a_copy_opens_and_holds_the_same(void **state)
{
    q_log *log = *state, *copy;
    q_err err = Q_ERR_INIT;
    char to[800];
    uint64_t first;
    q_verify_report report;
    q_buf before = Q_BUF_INIT(1 << 24), after = Q_BUF_INIT(1 << 24);
    sample_fill(log);
    assert_int_equal(sample_contents(log, &before, &err), Q_OK);
    snprintf(to, sizeof to, "%s/copy", dir);
    assert_int_equal(q_log_copy(log, to, NULL, NULL, &first, &err), Q_OK);
    assert_int_equal(first, 6);
    assert_int_equal(q_log_copy(log, to, NULL, NULL, &first, &err), Q_FAIL); /* there is one already */
    assert_int_equal(q_log_verify(to, NULL, NULL, &report, &err), Q_OK);
    q_log_options o = { .max_bytes = 64 << 20 };
    assert_int_equal(q_log_open_lmdb(to, &o, &copy, &err), Q_OK);
    assert_int_equal(sample_contents(copy, &after, &err), Q_OK);
    assert_true(q_slice_eq(q_buf_slice(&before), q_buf_slice(&after)));
    copy->ops->close(copy);
    q_buf_free(&before);
    q_buf_free(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_archived_and_trimmed_reads_as_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_byte_of_a_segment_is_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_segment_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_newest_of_each_key_is_given_out_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_copy_opens_and_holds_the_same, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
