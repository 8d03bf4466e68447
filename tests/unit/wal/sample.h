/* sample.h - a small log with all kinds of records and entries, and a fingerprint of all that it holds. */
#ifndef Q_TESTS_WAL_SAMPLE_H
#define Q_TESTS_WAL_SAMPLE_H

#include "log_steps.h"

static const q_field sample_fields[] = { { .attr = { "total", 5 }, .value = { .type = Q_T_FLOAT, .f = 89.5 } } };

static inline q_slice sample_writes(q_arena *a, int64_t id)
{
    q_item items[] = { { .op = Q_I_PUT, .record = Q_SLICE_LIT("orders"), .incarnation = 2, .id = { .type = Q_T_INT, .i = id }, .pre = Q_PRE_NOT_EXISTS, .full = true,
                         .count = 1, .fields = sample_fields },
                       { .op = Q_I_DELETE, .record = Q_SLICE_LIT("orders"), .incarnation = 2, .id = { .type = Q_T_STRING, .s = Q_SLICE_LIT("gone") } } };
    q_writes w = { .bucket_incarnation = 1, .bucket = Q_SLICE_LIT("shop"), .count = 2, .items = items };
    q_buf b = Q_BUF_INIT(1 << 20);
    q_writes_encode(&w, &b);
    assert_false(b.failed);
    q_slice s = q_arena_copy(a, q_buf_slice(&b));
    q_buf_free(&b);
    return s;
}

static inline q_slice sample_encode(q_arena *a, const q_rec *r)
{
    q_buf b = Q_BUF_INIT(Q_REC_MAX_BYTES + 1);
    q_rec_encode(r, &b);
    assert_false(b.failed);
    q_slice s = q_arena_copy(a, q_buf_slice(&b));
    q_buf_free(&b);
    return s;
}

/* The decision of transaction `seq`; every fifth is an abort. */
static inline q_rec sample_decision(q_arena *a, uint64_t lsn, uint64_t seq, const char *reply)
{
    bool committed = seq % 5 != 0;
    q_rec r = { .type = Q_REC_DECISION, .lsn = lsn };
    q_rec_event *events = Q_NEW_ARRAY(a, q_rec_event, 2);
    events[0] = (q_rec_event){ Q_SLICE_LIT("order_1"), Q_SLICE_LIT("{\"op\":\"put\"}") };
    events[1] = (q_rec_event){ Q_SLICE_LIT("order_2"), Q_SLICE_LIT("{\"op\":\"delete\"}") };
    r.decision = (q_rec_decision){ .seq = seq, .epoch = 1, .committed = committed, .time_us = 1700000000000000 + (int64_t)seq, .bucket = Q_SLICE_LIT("shop"),
                                   .request_id = q_arena_printf(a, "request-%llu", (unsigned long long)seq), .principal = Q_SLICE_LIT("alice"), .partition = (int32_t)(seq % 3),
                                   .offset = (int64_t)seq, .reply_topic = Q_SLICE_LIT("quanta.results"), .reply_type = Q_SLICE_LIT("application/json"),
                                   .reply = q_slice_cstr(reply), .query = Q_SLICE_LIT("INSERT INTO orders { id: 1, total: 89.5 };") };
    memset(r.decision.identity, (int)seq, 16);
    memset(r.decision.body_hash, (int)(seq * 7), 16);
    if (committed) {
        r.decision.participants = Q_EN_BIT(Q_EN_POSTGRES) | Q_EN_BIT(Q_EN_INFLUX);
        r.decision.redo[Q_EN_POSTGRES] = sample_writes(a, (int64_t)seq);
        r.decision.redo[Q_EN_INFLUX] = sample_writes(a, -(int64_t)seq);
        r.decision.event_count = 2;
        r.decision.events = events;
    }
    return r;
}

static inline q_log_op sample_append(q_arena *a, const q_rec *r) { return (q_log_op){ .kind = Q_LO_APPEND, .lsn = r->lsn, .value = sample_encode(a, r) }; }

/* Some twenty groups: all record types, values beyond a page, all tables, deletions, a trim; tree pages split, pages became free. */
static inline void sample_fill(q_log *log)
{
    q_arena *a = q_arena_new(0);
    char *big = q_arena_alloc(a, 9001);
    memset(big, 'r', 9000);
    big[9000] = '\0';
    uint64_t lsn = 0, seq = 0;
    q_rec epoch = { .type = Q_REC_EPOCH, .lsn = ++lsn, .epoch = { .epoch = 1, .time_us = 1700000000000000, .version = Q_SLICE_LIT("0.1.0") } };
    q_log_op first[] = { sample_append(a, &epoch), lc_put(Q_LT_META, "epoch", "1"), lc_put(Q_LT_META, "seq", "1000") };
    lc_commit(log, first, 3);
    for (int group = 0; group < 16; group++) {
        q_log_op ops[16];
        size_t n = 0;
        for (int i = 0; i < 1 + group % 4; i++) {
            q_rec d = sample_decision(a, ++lsn, ++seq, group == 7 && i == 0 ? big : "{\"status\":\"committed\"}");
            ops[n++] = sample_append(a, &d);
        }
        if (group % 3 == 2) {
            uint64_t ended[] = { seq % 5 ? seq : seq - 1 }, published[] = { lsn };
            q_rec tail = { .type = Q_REC_TAIL, .lsn = ++lsn, .tail = { 1, ended, 1, published } };
            ops[n++] = sample_append(a, &tail);
        }
        q_slice topic = q_arena_printf(a, "quanta.requests/%d", group % 5), low = q_arena_printf(a, "%llu", (unsigned long long)seq);
        ops[n++] = lc_put(Q_LT_POSITION, topic.ptr, low.ptr);
        if (group == 9) { /* a definition beyond half a page: a value on a page of its own; then smaller, then gone */
            ops[n++] = lc_put(Q_LT_META, "large", big);
        } else if (group == 11) {
            ops[n++] = lc_put(Q_LT_META, "large", big + 8000);
            ops[n++] = lc_delete(Q_LT_POSITION, "quanta.requests/4");
        }
        lc_commit(log, ops, n);
    }
    q_rec note = { .type = Q_REC_OPERATOR, .lsn = ++lsn, .text = Q_SLICE_LIT("transaction 3 resolved by hand") };
    q_log_op last[] = { sample_append(a, &note), { .kind = Q_LO_TRIM, .lsn = 6 } };
    lc_commit(log, last, 2);
    q_arena_free(a);
}

static inline q_rc sample_add_record(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    (void)err;
    q_buf_printf(ctx, "%llu:", (unsigned long long)lsn);
    q_buf_add_slice(ctx, key);
    q_buf_add_byte(ctx, '=');
    q_buf_add_slice(ctx, value);
    q_buf_add_byte(ctx, ';');
    return Q_OK;
}

/* All that a reader can see of a log, appended to `out`. */
static inline q_rc sample_contents(q_log *log, q_buf *out, q_err *err)
{
    q_log_info info;
    log->ops->info(log, &info);
    q_buf_printf(out, "%llu..%llu;", (unsigned long long)info.first_lsn, (unsigned long long)info.last_lsn);
    q_rc rc = log->ops->scan(log, 0, sample_add_record, out, err);
    for (int t = Q_LT_META; t < Q_LT_COUNT && rc == Q_OK; t++)
        rc = log->ops->table(log, (q_log_table)t, sample_add_record, out, err);
    return rc;
}

#endif
