/* log_steps.h - the small steps that tests of a log are made of. */
#ifndef Q_TESTS_LOG_STEPS_H
#define Q_TESTS_LOG_STEPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "wal/log.h"

/* An operator record for `lsn` that holds `text`. */
static inline q_slice lc_record(q_arena *a, uint64_t lsn, const char *text)
{
    q_buf b = Q_BUF_INIT(1 << 20);
    q_rec r = { .type = Q_REC_OPERATOR, .lsn = lsn, .text = q_slice_cstr(text) };
    q_rec_encode(&r, &b);
    assert_false(b.failed);
    q_slice s = q_arena_copy(a, q_buf_slice(&b));
    q_buf_free(&b);
    return s;
}

static inline q_log_op lc_append(q_arena *a, uint64_t lsn, const char *text)
{
    return (q_log_op){ .kind = Q_LO_APPEND, .lsn = lsn, .value = lc_record(a, lsn, text) };
}

static inline q_log_op lc_put(q_log_table t, const char *key, const char *value)
{
    return (q_log_op){ .kind = Q_LO_PUT, .table = t, .key = q_slice_cstr(key), .value = q_slice_cstr(value) };
}

static inline q_log_op lc_delete(q_log_table t, const char *key) { return (q_log_op){ .kind = Q_LO_DELETE, .table = t, .key = q_slice_cstr(key) }; }

static inline void lc_commit(q_log *log, const q_log_op *ops, size_t n)
{
    q_err err = Q_ERR_INIT;
    q_rc rc = log->ops->commit(log, ops, n, &err);
    if (rc != Q_OK)
        fail_msg("commit: %s", err.message);
}

static inline void lc_append_run(q_log *log, uint64_t from, uint64_t count)
{
    q_arena *a = q_arena_new(0);
    q_log_op *ops = Q_NEW_ARRAY(a, q_log_op, count);
    char text[32];
    for (uint64_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "record %llu", (unsigned long long)(from + i));
        ops[i] = lc_append(a, from + i, text);
    }
    lc_commit(log, ops, count);
    q_arena_free(a);
}

/* The text of the record at lsn, or "" when it isn't there. */
static inline const char *lc_text(q_log *log, q_arena *a, uint64_t lsn)
{
    q_err err = Q_ERR_INIT;
    q_slice bytes;
    q_rec r;
    q_rc rc = log->ops->read(log, a, lsn, &bytes, &err);
    if (rc == Q_END)
        return "";
    assert_int_equal(rc, Q_OK);
    assert_int_equal(q_rec_decode(a, bytes, lsn, &r, &err), Q_OK);
    return q_arena_copy(a, r.text).ptr;
}

static inline const char *lc_get(q_log *log, q_arena *a, q_log_table t, const char *key)
{
    q_err err = Q_ERR_INIT;
    q_slice value;
    q_rc rc = log->ops->get(log, a, t, q_slice_cstr(key), &value, &err);
    if (rc == Q_END)
        return NULL;
    assert_int_equal(rc, Q_OK);
    return q_arena_copy(a, value).ptr;
}

typedef struct lc_seen { uint64_t first, last, count, stop_at; q_buf keys; } lc_seen;

static inline q_rc lc_see_record(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    lc_seen *s = ctx;
    assert_true(s->count == 0 || lsn == s->last + 1);
    assert_int_equal(key.len, 0);
    assert_int_equal(q_rec_check(value, lsn, NULL, err), Q_OK);
    if (s->count++ == 0)
        s->first = lsn;
    s->last = lsn;
    return lsn == s->stop_at ? Q_WAIT : Q_OK;
}

static inline q_rc lc_see_entry(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    lc_seen *s = ctx;
    (void)err;
    assert_int_equal(lsn, 0);
    q_buf_printf(&s->keys, "%.*s=%.*s;", Q_SLICE_FMT(key), Q_SLICE_FMT(value));
    return ++s->count == s->stop_at ? Q_WAIT : Q_OK;
}

static inline lc_seen lc_scan(q_log *log, uint64_t from)
{
    lc_seen s = { 0 };
    q_err err = Q_ERR_INIT;
    q_rc rc = log->ops->scan(log, from, lc_see_record, &s, &err);
    if (rc != Q_OK)
        fail_msg("scan: %s", err.message);
    return s;
}

#endif
