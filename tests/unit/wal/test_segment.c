/* What was trimmed is in segments: together with the log nothing is missing, whatever is damaged is refused with its place, and a copy of a log is one. */
#include "sample.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>

#include "wal/copy.h"
#include "wal/lmdb.h"

static char top[600], dir[700];
static q_log *log_;

static q_log *open_log(const char *where, bool create)
{
    q_log_options o = { .max_bytes = 64 << 20, .create = create };
    q_log *l = NULL;
    q_err err = Q_ERR_INIT;
    if (q_log_open_lmdb(where, &o, &l, &err) != Q_OK)
        fail_msg("%s", err.message);
    return l;
}

static int start(void **state)
{
    (void)state;
    snprintf(top, sizeof top, "%s", scratch_new());
    snprintf(dir, sizeof dir, "%s/log", top);
    log_ = open_log(dir, true);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (log_)
        log_->ops->close(log_);
    log_ = NULL;
    scratch_remove(top);
    return 0;
}

/* Decisions `from` to `to`, a commit each ten; their replies are of `bytes` bytes. */
static void decide(uint64_t from, uint64_t to, size_t bytes)
{
    char *reply = malloc(bytes + 1);
    assert_non_null(reply);
    memset(reply, 'r', bytes);
    reply[bytes] = '\0';
    while (from <= to) {
        q_arena *a = q_arena_new(0);
        q_log_op ops[10];
        size_t n = 0;
        for (; n < 10 && from <= to; n++, from++) {
            q_rec d = sample_decision(a, from, from, reply);
            ops[n] = sample_append(a, &d);
        }
        lc_commit(log_, ops, n);
        q_arena_free(a);
    }
    free(reply);
}

static void trim(uint64_t below)
{
    q_log_op op = { .kind = Q_LO_TRIM, .lsn = below };
    lc_commit(log_, &op, 1);
}

static q_segment archive(uint64_t end)
{
    q_segment last;
    q_err err = Q_ERR_INIT;
    if (q_segment_write(dir, log_, 7, end, &last, &err) != Q_OK)
        fail_msg("%s", err.message);
    return last;
}

static const char *path_of(const char *file)
{
    static char path[900];
    snprintf(path, sizeof path, "%s/segments/%s", dir, file);
    return path;
}

/* The first thing that is wrong with the segments; Q_OK: every byte is right. */
static q_rc verify(q_err *err)
{
    q_segment *list;
    size_t count;
    uint64_t records;
    q_rc rc = q_segments_list(dir, &list, &count, err);
    for (size_t i = 0; rc == Q_OK && i < count; i++) {
        rc = q_segment_verify(dir, &list[i], &records, err);
        if (rc == Q_OK)
            assert_int_equal(records, list[i].last_lsn - list[i].first_lsn + 1);
    }
    free(list);
    return rc;
}

static void assert_refused(const char *why)
{
    q_err err = Q_ERR_INIT;
    assert_int_equal(verify(&err), Q_FAIL);
    if (!strstr(err.message, why))
        fail_msg("'%s' doesn't say '%s'", err.message, why);
}

static q_slice contents(q_arena *a, q_log *l)
{
    q_buf b = Q_BUF_INIT(64 << 20);
    q_err err = Q_ERR_INIT;
    if (sample_contents(l, &b, &err) != Q_OK)
        fail_msg("%s", err.message);
    q_slice s = q_arena_copy(a, q_buf_slice(&b));
    q_buf_free(&b);
    return s;
}

/* The log with its segments; owns a second, read-only look at the log. */
static q_log *open_whole(void)
{
    q_log_options o = { .max_bytes = 64 << 20, .read_only = true };
    q_archive *archived = NULL;
    q_log *l = NULL, *whole = NULL;
    q_err err = Q_ERR_INIT;
    if (q_segments_open(dir, &archived, &err) != Q_OK)
        fail_msg("%s", err.message);
    log_->ops->close(log_); /* an environment is open once in a process */
    log_ = NULL;
    if (q_log_open_lmdb(dir, &o, &l, &err) != Q_OK || q_log_with_archive(l, archived, &whole, &err) != Q_OK)
        fail_msg("%s", err.message);
    return whole;
}

static q_rc count_from(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    uint64_t *next = ctx;
    (void)key;
    (void)value;
    (void)err;
    assert_int_equal(lsn, *next);
    ++*next;
    return Q_OK;
}

static void log_and_segments_hold_every_record_together(void **state)
{
    (void)state;
    q_arena *a = q_arena_new(0);
    q_err err = Q_ERR_INIT;
    decide(1, 60, 20);
    q_log_op position = lc_put(Q_LT_POSITION, "quanta.requests/0", "60");
    lc_commit(log_, &position, 1);
    q_slice before = contents(a, log_), one, again, nothing;
    assert_int_equal(log_->ops->read(log_, a, 17, &one, &err), Q_OK);
    q_segment first = archive(21);
    assert_true(first.first_lsn == 1 && first.last_lsn == 20 && first.high_before == 0 && first.high == 20 && first.cluster == 7);
    assert_int_equal(first.first_time_us, 1700000000000001);
    assert_int_equal(first.last_time_us, 1700000000000020);
    trim(21);
    q_segment second = archive(41);
    assert_true(second.first_lsn == 21 && second.last_lsn == 40 && second.high_before == 20 && second.high == 40);
    trim(31); /* 31 to 40 are in both: a crash came between segment and TRIM */
    assert_int_equal(archive(41).first_lsn, 21); /* what is archived is not written again */
    assert_int_equal(archive(10).first_lsn, 21);
    assert_int_equal(verify(&err), Q_OK);

    q_log *whole = open_whole();
    q_slice after = contents(a, whole);
    assert_true(q_slice_eq(before, after));
    for (uint64_t from = 1; from <= 61; from++) {
        uint64_t next = from;
        assert_int_equal(whole->ops->scan(whole, from, count_from, &next, &err), Q_OK);
        assert_int_equal(next, 61);
    }
    assert_int_equal(whole->ops->read(whole, a, 17, &again, &err), Q_OK);
    assert_true(q_slice_eq(one, again));
    assert_int_equal(whole->ops->read(whole, a, 35, &again, &err), Q_OK);
    assert_int_equal(whole->ops->read(whole, a, 61, &nothing, &err), Q_END);
    assert_int_equal(whole->ops->get(whole, a, Q_LT_POSITION, Q_SLICE_LIT("quanta.requests/0"), &again, &err), Q_OK);
    assert_int_equal(whole->ops->commit(whole, &position, 1, &err), Q_FAIL);
    whole->ops->close(whole);
    q_arena_free(a);
}

static void a_scan_begins_with_the_frame_that_has_its_record(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    decide(1, 600, 8000); /* five frames of a megabyte, and a rest */
    q_segment s = archive(601);
    trim(601);
    assert_true(s.raw_bytes > 4800000 && s.file_bytes < s.raw_bytes / 4);
    assert_int_equal(verify(&err), Q_OK);
    q_log *whole = open_whole();
    for (uint64_t from = 1; from <= 600; from += 37) {
        uint64_t next = from;
        assert_int_equal(whole->ops->scan(whole, from, count_from, &next, &err), Q_OK);
        assert_int_equal(next, 601);
    }
    whole->ops->close(whole);
}

static void every_flipped_byte_and_every_cut_is_refused(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    decide(1, 3, 20);
    q_segment s = archive(4);
    char path[900];
    snprintf(path, sizeof path, "%s", path_of(s.file));
    int fd = open(path, O_RDWR);
    struct stat st;
    assert_true(fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size == s.file_bytes);
    for (off_t at = 0; at < st.st_size; at++) {
        unsigned char right, wrong;
        assert_int_equal(pread(fd, &right, 1, at), 1);
        wrong = right ^ (unsigned char)(1 << at % 8);
        assert_int_equal(pwrite(fd, &wrong, 1, at), 1);
        assert_refused(s.file);
        assert_int_equal(pwrite(fd, &right, 1, at), 1);
    }
    assert_int_equal(verify(&err), Q_OK);
    for (off_t size = st.st_size - 1; size >= 0; size--) {
        assert_int_equal(ftruncate(fd, size), 0);
        assert_refused(s.file);
    }
    close(fd);
}

static void a_missing_segment_is_named_but_the_oldest_may_go(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    char name[80], away[900], middle[900];
    decide(1, 30, 20);
    q_segment first = archive(11), second = archive(21);
    archive(31);
    snprintf(middle, sizeof middle, "%s", path_of(second.file));
    snprintf(away, sizeof away, "%s", path_of("away"));
    assert_int_equal(rename(middle, away), 0); /* what has another name is no segment */
    assert_refused("records 11 to 20 are missing");
    assert_int_equal(rename(away, middle), 0);
    unlink(path_of(first.file));
    assert_int_equal(verify(&err), Q_OK);
    trim(31);
    q_archive *archived;
    assert_int_equal(q_segments_open(dir, &archived, &err), Q_OK);
    assert_true(archived->first_lsn == 11 && archived->last_lsn == 30 && archived->high_before == 10);
    archived->close(archived);
    snprintf(name, sizeof name, "%s.new", first.file); /* half of one: a crash while it was written */
    fclose(fopen(path_of(name), "w"));
    assert_int_equal(verify(&err), Q_OK);
}

static void records_that_are_in_neither_are_told(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    decide(1, 30, 20);
    archive(11);
    trim(21); /* 11 to 20 are gone: no coordinator does that */
    q_segment s;
    assert_int_equal(q_segment_write(dir, log_, 7, 31, &s, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "record 11"));
    q_log *whole = open_whole();
    uint64_t next = 1;
    err = (q_err)Q_ERR_INIT;
    assert_int_equal(whole->ops->scan(whole, 1, count_from, &next, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "11 to 20"));
    whole->ops->close(whole);
}

static void what_can_not_be_archived_leaves_nothing_behind(void **state)
{
    (void)state;
    q_segment s;
    q_segment *list;
    size_t count;
    q_err err = Q_ERR_INIT;
    decide(1, 10, 20);
    assert_int_equal(q_segment_write(dir, log_, 7, 20, &s, &err), Q_FAIL); /* the log ends with 10 */
    assert_non_null(strstr(err.message, "ends with record 10"));
    assert_int_equal(q_segments_list(dir, &list, &count, &err), Q_OK);
    assert_int_equal(count, 0);
    assert_int_not_equal(access(path_of("00000000000000000001.qseg.new"), F_OK), 0);
    archive(6);
    assert_int_equal(q_segment_write(dir, log_, 8, 11, &s, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "another cluster"));
}

static void a_folder_that_is_none_is_named(void **state)
{
    (void)state;
    q_segment s;
    q_err err = Q_ERR_INIT;
    decide(1, 10, 20);
    char folder[900];
    snprintf(folder, sizeof folder, "%s/segments", dir);
    fclose(fopen(folder, "w"));
    assert_int_equal(q_segment_write(dir, log_, 7, 11, &s, &err), Q_FAIL);
    assert_non_null(strstr(err.message, folder));
}

static void what_was_trimmed_before_there_were_segments_is_not_known(void **state)
{
    (void)state;
    sample_fill(log_); /* it ends with a TRIM */
    q_segment s = archive(10);
    assert_true(s.first_lsn == 6 && s.high_before == UINT64_MAX);
    assert_true(archive(12).high_before == UINT64_MAX);
}

static void count_calls(void *ctx, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    ++*(unsigned *)ctx;
}

static void a_copy_holds_the_same_and_opens_as_a_log(void **state)
{
    (void)state;
    q_arena *a = q_arena_new(0);
    q_err err = Q_ERR_INIT;
    char copied[800];
    uint64_t first = 0, none = 0;
    unsigned calls = 0;
    decide(1, 3000, 12000); /* more than one transaction's share of a copy */
    archive(501);
    trim(501);
    q_slice before = contents(a, log_);
    snprintf(copied, sizeof copied, "%s/copy", top);
    if (q_log_copy(log_, copied, count_calls, &calls, &first, &err) != Q_OK)
        fail_msg("%s", err.message);
    assert_true(first == 501 && calls >= 2);
    assert_int_equal(q_log_copy(log_, copied, NULL, NULL, &none, &err), Q_FAIL); /* never over another log */
    assert_non_null(strstr(err.message, "is there already"));
    snprintf(copied, sizeof copied, "%s/no/where", top);
    assert_int_equal(q_log_copy(log_, copied, NULL, NULL, &none, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "no/where"));
    snprintf(copied, sizeof copied, "%s/copy", top);
    q_log *l = open_log(copied, false);
    assert_true(q_slice_eq(before, contents(a, l)));
    q_log_op op = lc_put(Q_LT_META, "epoch", "2"); /* and it goes on as one */
    lc_commit(l, &op, 1);
    l->ops->close(l);
    q_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(log_and_segments_hold_every_record_together, start, stop),
        cmocka_unit_test_setup_teardown(a_scan_begins_with_the_frame_that_has_its_record, start, stop),
        cmocka_unit_test_setup_teardown(every_flipped_byte_and_every_cut_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_missing_segment_is_named_but_the_oldest_may_go, start, stop),
        cmocka_unit_test_setup_teardown(records_that_are_in_neither_are_told, start, stop),
        cmocka_unit_test_setup_teardown(what_can_not_be_archived_leaves_nothing_behind, start, stop),
        cmocka_unit_test_setup_teardown(a_folder_that_is_none_is_named, start, stop),
        cmocka_unit_test_setup_teardown(what_was_trimmed_before_there_were_segments_is_not_known, start, stop),
        cmocka_unit_test_setup_teardown(a_copy_holds_the_same_and_opens_as_a_log, start, stop),
    };
    return cmocka_run_group_tests_name("segments and copies", tests, NULL, NULL);
}
