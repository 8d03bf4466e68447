/* lmdb.c - the log's operations on LMDB 0.9.24 (https://github.com/LMDB/lmdb, tag LMDB_0.9.24).
 *
 * A group is one LMDB write transaction: its pages are written and fdatasync'ed, then its meta page is written through an O_DSYNC
 * descriptor. Before the meta page is on disk nothing of the group can be seen, afterwards all of it: if we crash in between, the
 * other meta page still describes the log without the group, and the pages written for it are free. */
#include "wal/lmdb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "wal/bytes.h"

/* Records below the first that counts leave the tree in portions, so that a TRIM of a million costs no group much. */
enum { TRIM_PER_GROUP = 64, TRIM_PER_APPEND = 2, TRIM_HURRY = 16384, TRIM_BYTES = 64 << 20, READER_CHECK_EVERY = 4096 };

q_rc q_wal_mdb_error(q_rc rc, int code, const char *doing, q_err *err)
{
    (void)q_err_set(err, rc == Q_RETRY ? Q_E_OVERLOADED : Q_E_INTERNAL, "%s: %s", doing, mdb_strerror(code));
    return rc;
}

/* What a failed put or delete means. The transaction is aborted in any case, so nothing was changed. */
static q_rc put_error(q_log_lmdb *l, int code, q_err *err)
{
    if (code == MDB_MAP_FULL) {
        (void)q_err_set(err, Q_E_OVERLOADED, "the log has reached its maximum of %" PRIu64 " bytes", l->max_bytes);
        q_err_hint(err, "Raise log.max_bytes, or let the engines catch up so that it can be trimmed.");
        return Q_RETRY;
    }
    if (code == ENOMEM)
        return q_wal_mdb_error(Q_RETRY, code, "writing to the log", err);
    if (code == MDB_TXN_FULL)
        return q_wal_mdb_error(Q_FAIL, code, "writing a group to the log", err);
    l->broken = true;
    return q_wal_mdb_error(Q_FATAL, code, "writing to the log", err);
}

/* ---- committing ---- */

static q_rc check_ops(const q_log_lmdb *l, const q_log_op *ops, size_t n, bool *appends, q_err *err)
{
    uint64_t last = l->stamp.last_lsn, bytes = 0;
    *appends = false;
    if (n > Q_WAL_GROUP_MAX_OPS)
        return q_err_set(err, Q_E_INTERNAL, "a group of %zu operations; at most %d", n, Q_WAL_GROUP_MAX_OPS);
    for (size_t i = 0; i < n; i++) {
        const q_log_op *op = &ops[i];
        bool table = op->table >= Q_LT_META && op->table < Q_LT_COUNT;
        switch (op->kind) {
        case Q_LO_APPEND:
            if (op->lsn != last + 1)
                return q_err_set(err, Q_E_INTERNAL, "append of record %" PRIu64 " after record %" PRIu64, op->lsn, last);
            if (op->value.len < Q_REC_HEADER_BYTES || op->value.len > Q_REC_MAX_BYTES || q_get_le64(op->value.ptr + 16) != op->lsn)
                return q_err_set(err, Q_E_INTERNAL, "append of %zu bytes that are not record %" PRIu64, op->value.len, op->lsn);
            last = op->lsn;
            *appends = true;
            break;
        case Q_LO_PUT:
        case Q_LO_DELETE:
            if (!table || op->key.len == 0 || op->key.len > Q_WAL_KEY_MAX - 1 || (op->kind == Q_LO_PUT && op->value.len > Q_REC_MAX_BYTES))
                return q_err_set(err, Q_E_INTERNAL, "no table %d, or a key of %zu or a value of %zu bytes", (int)op->table, op->key.len, op->value.len);
            break;
        case Q_LO_TRIM:
            if (op->lsn > last + 1)
                return q_err_set(err, Q_E_INTERNAL, "trim to record %" PRIu64 ", the last is %" PRIu64, op->lsn, last);
            break;
        default: return q_err_set(err, Q_E_INTERNAL, "log operation of kind %d", (int)op->kind);
        }
        bytes += op->value.len;
    }
    if (bytes > Q_WAL_GROUP_MAX_BYTES)
        return q_err_set(err, Q_E_WRITE_TOO_LARGE, "a group of %" PRIu64 " bytes; at most %d", bytes, Q_WAL_GROUP_MAX_BYTES);
    return Q_OK;
}

static int put_entry(q_log_lmdb *l, MDB_txn *txn, const q_log_op *op)
{
    uint8_t key[Q_WAL_KEY_MAX];
    key[0] = (uint8_t)op->table;
    memcpy(key + 1, op->key.ptr, op->key.len);
    MDB_val k = { op->key.len + 1, key };
    if (op->kind == Q_LO_DELETE) {
        int code = mdb_del(txn, l->tree, &k, NULL);
        return code == MDB_NOTFOUND ? 0 : code;
    }
    q_buf_clear(&l->scratch);
    q_wal_entry_wrap(key[0], op->key, op->value, &l->scratch);
    if (l->scratch.failed)
        return ENOMEM;
    MDB_val v = { l->scratch.len, l->scratch.ptr };
    return mdb_put(txn, l->tree, &k, &v, 0);
}

static int put_record(MDB_cursor *records, const q_log_op *op)
{
    uint8_t key[Q_WAL_RECORD_KEY];
    q_wal_record_key(op->lsn, key);
    MDB_val k = { sizeof key, key }, v = { op->value.len, (void *)(uintptr_t)op->value.ptr };
    return mdb_cursor_put(records, &k, &v, MDB_APPEND);
}

/* Deletes at most `most` records below first_lsn from the tree's records. */
static int delete_trimmed(MDB_cursor *c, uint64_t *oldest_kept, uint64_t first_lsn, uint64_t most)
{
    uint8_t key[Q_WAL_RECORD_KEY];
    int code = 0;
    size_t bytes = 0;
    for (; code == 0 && most > 0 && bytes < TRIM_BYTES && *oldest_kept < first_lsn; most--) {
        q_wal_record_key(*oldest_kept, key);
        MDB_val k = { sizeof key, key }, v;
        code = mdb_cursor_get(c, &k, &v, MDB_SET);
        if (code == 0) {
            bytes += v.mv_size;
            code = mdb_cursor_del(c, 0);
        }
        if (code == 0)
            *oldest_kept += 1;
    }
    return code == MDB_NOTFOUND ? MDB_CORRUPTED : code;
}

static int put_stamp(q_log_lmdb *l, MDB_txn *txn, const q_wal_stamp *s)
{
    q_slice key = q_wal_stamp_key();
    q_buf_clear(&l->scratch);
    q_wal_stamp_encode(s, &l->scratch);
    if (l->scratch.failed)
        return ENOMEM;
    MDB_val k = { key.len, (void *)(uintptr_t)key.ptr }, v = { l->scratch.len, l->scratch.ptr };
    return mdb_put(txn, l->tree, &k, &v, 0);
}

/* The pages that hold something, and where the file's used part ends. */
static void measure(q_log_lmdb *l, MDB_txn *txn, uint64_t *used_bytes)
{
    MDB_stat tree = { 0 }, freed = { 0 };
    MDB_envinfo info = { 0 };
    mdb_stat(txn, l->tree, &tree);
    mdb_stat(txn, 0, &freed); /* handle 0: the tree of free pages */
    mdb_env_info(l->env, &info);
    uint64_t pages = 2 + tree.ms_branch_pages + tree.ms_leaf_pages + tree.ms_overflow_pages + freed.ms_branch_pages + freed.ms_leaf_pages +
                     freed.ms_overflow_pages;
    *used_bytes = pages * l->page_bytes;
    l->next_page = info.me_last_pgno + 1;
}

static void publish_info(q_log_lmdb *l, uint64_t used_bytes)
{
    pthread_mutex_lock(&l->info_lock);
    l->info = (q_log_info){ .first_lsn = l->stamp.first_lsn, .last_lsn = l->stamp.last_lsn, .bytes_used = used_bytes, .bytes_max = l->max_bytes,
                            .syncs = l->groups, .groups = l->groups };
    pthread_mutex_unlock(&l->info_lock);
    atomic_store_explicit(&l->first_lsn, l->stamp.first_lsn, memory_order_release);
}

static int apply_ops(q_log_lmdb *l, MDB_txn *txn, const q_log_op *ops, size_t n, uint64_t deletes, q_wal_stamp *s, uint64_t *oldest_kept)
{
    MDB_cursor *records;
    int code = mdb_cursor_open(txn, l->tree, &records);
    for (size_t i = 0; i < n && code == 0; i++) {
        switch (ops[i].kind) {
        case Q_LO_APPEND:
            code = put_record(records, &ops[i]);
            s->last_lsn = ops[i].lsn;
            s->appended_bytes += ops[i].value.len;
            if (s->first_lsn == 0)
                s->first_lsn = *oldest_kept = s->last_lsn;
            break;
        case Q_LO_PUT:
        case Q_LO_DELETE: code = put_entry(l, txn, &ops[i]); break;
        case Q_LO_TRIM:
            if (ops[i].lsn > s->first_lsn && s->last_lsn != 0)
                s->first_lsn = ops[i].lsn;
            break;
        }
    }
    if (code == 0)
        code = delete_trimmed(records, oldest_kept, s->first_lsn, deletes);
    if (code == 0)
        code = put_stamp(l, txn, s);
    return code; /* the cursor of a write transaction is closed with it */
}

static q_rc lmdb_commit(q_log *log, const q_log_op *ops, size_t n, q_err *err)
{
    q_log_lmdb *l = q_log_lmdb_of(log);
    bool appends;
    if (l->read_only)
        return q_err_set(err, Q_E_INTERNAL, "the log is open for reading only");
    if (l->broken) {
        (void)q_err_set(err, Q_E_INTERNAL, "an earlier write to the log failed: what is durable isn't known");
        return Q_FATAL;
    }
    q_rc rc = check_ops(l, ops, n, &appends, err);
    if (rc != Q_OK)
        return rc;

    uint64_t used = l->info.bytes_used; /* written by this thread only */
    uint64_t deletes = TRIM_PER_GROUP + TRIM_PER_APPEND * n;
    if (used > l->append_limit_bytes / 4 * 3 && deletes < TRIM_HURRY)
        deletes = TRIM_HURRY;
    uint64_t pages = q_wal_estimate_pages(l->page_bytes, ops, n, deletes);
    if (appends && used + pages * l->page_bytes > l->append_limit_bytes) {
        bool fits_never = pages * l->page_bytes > l->append_limit_bytes;
        (void)q_err_set(err, fits_never ? Q_E_WRITE_TOO_LARGE : Q_E_OVERLOADED, "the log is full: %" PRIu64 " of %" PRIu64 " bytes are used, the group needs up to %" PRIu64,
                        used, l->max_bytes, pages * (uint64_t)l->page_bytes);
        q_err_hint(err, "Raise log.max_bytes, or let the engines catch up so that it can be trimmed.");
        return fits_never ? Q_FAIL : Q_RETRY;
    }
    rc = q_wal_reserve(l, pages, err);
    if (rc != Q_OK)
        return rc;
    if (++l->groups % READER_CHECK_EVERY == 0)
        mdb_reader_check(l->env, NULL); /* an operator's killed reader must not pin old pages */

    MDB_txn *txn;
    int code = mdb_txn_begin(l->env, NULL, 0, &txn);
    if (code) {
        l->groups--;
        return put_error(l, code, err);
    }
    q_wal_stamp next = l->stamp;
    next.txnid = mdb_txn_id(txn);
    next.format = Q_WAL_FORMAT;
    next.version[0] = '\0'; /* this version's */
    uint64_t oldest_kept = l->oldest_kept_lsn;
    code = apply_ops(l, txn, ops, n, deletes, &next, &oldest_kept);
    if (code) {
        mdb_txn_abort(txn);
        l->groups--;
        return put_error(l, code, err);
    }
    code = mdb_txn_commit(txn);
    if (code == MDB_MAP_FULL) { /* said while the free pages were listed, before anything was written */
        l->groups--;
        return put_error(l, code, err);
    }
    if (code) {
        l->broken = true;
        (void)q_err_set(err, Q_E_INTERNAL, "a group of %zu operations may or may not be durable: %s", n, mdb_strerror(code));
        return Q_FATAL;
    }
    l->stamp = next;
    l->oldest_kept_lsn = oldest_kept;
    code = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn);
    if (code == 0) {
        measure(l, txn, &used);
        mdb_txn_abort(txn);
    } else { /* no reader slot or no memory: the figures are a bound until the next group */
        used += pages * l->page_bytes;
        l->next_page += pages;
    }
    publish_info(l, used);
    return Q_OK;
}

/* ---- reading ---- */

static q_rc begin_read(q_log_lmdb *l, MDB_txn **txn, q_err *err)
{
    int code = mdb_txn_begin(l->env, NULL, MDB_RDONLY, txn);
    return code ? q_wal_mdb_error(code == MDB_READERS_FULL || code == ENOMEM ? Q_RETRY : Q_FATAL, code, "reading the log", err) : Q_OK;
}

static q_slice val_slice(const MDB_val *v) { return q_slice_of(v->mv_data, v->mv_size); }

/* The stamp of the snapshot that `txn` reads: a read-only log follows a running coordinator. */
static q_rc read_stamp(q_log_lmdb *l, MDB_txn *txn, q_wal_stamp *s, q_err *err)
{
    q_slice key = q_wal_stamp_key();
    MDB_val k = { key.len, (void *)(uintptr_t)key.ptr }, v;
    int code = mdb_get(txn, l->tree, &k, &v);
    bool other;
    if (code)
        return q_wal_mdb_error(Q_FATAL, code, "reading the log's stamp", err);
    return q_wal_stamp_decode(val_slice(&v), s, &other, err) == Q_OK ? Q_OK : Q_FATAL;
}

static q_rc copy_out(q_arena *arena, q_slice from, q_slice *out, q_err *err)
{
    *out = q_arena_copy(arena, from);
    if (out->ptr)
        return Q_OK;
    (void)q_err_set(err, Q_E_LIMIT_MEMORY, "no memory for %zu bytes of the log", from.len);
    return Q_FAIL;
}

static q_rc lmdb_read(q_log *log, q_arena *arena, uint64_t lsn, q_slice *out, q_err *err)
{
    q_log_lmdb *l = q_log_lmdb_of(log);
    MDB_txn *txn;
    q_rc rc = begin_read(l, &txn, err);
    if (rc != Q_OK)
        return rc;
    uint64_t first = atomic_load_explicit(&l->first_lsn, memory_order_acquire);
    if (l->read_only) { /* another process moves it */
        q_wal_stamp s;
        rc = read_stamp(l, txn, &s, err);
        if (rc != Q_OK) {
            mdb_txn_abort(txn);
            return rc;
        }
        first = s.first_lsn;
    }
    uint8_t key[Q_WAL_RECORD_KEY];
    q_wal_record_key(lsn, key);
    MDB_val k = { sizeof key, key }, v;
    int code = lsn < first ? MDB_NOTFOUND : mdb_get(txn, l->tree, &k, &v);
    if (code == MDB_NOTFOUND)
        rc = Q_END;
    else if (code)
        rc = q_wal_mdb_error(Q_FATAL, code, "reading a log record", err);
    else if (q_rec_check(val_slice(&v), lsn, NULL, err) != Q_OK)
        rc = Q_FATAL;
    else
        rc = copy_out(arena, val_slice(&v), out, err);
    mdb_txn_abort(txn);
    return rc;
}

static q_rc visit_records(MDB_cursor *c, uint64_t from, uint64_t last, q_log_visit visit, void *ctx, q_err *err)
{
    uint8_t key[Q_WAL_RECORD_KEY];
    q_wal_record_key(from, key);
    MDB_val k = { sizeof key, key }, v;
    int code = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    for (uint64_t lsn = from; lsn <= last; lsn++, code = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        if (code || k.mv_size != Q_WAL_RECORD_KEY || q_get_be64((char *)k.mv_data + 1) != lsn) {
            (void)q_err_set(err, Q_E_INTERNAL, "log record %" PRIu64 " is missing: %s", lsn, code ? mdb_strerror(code) : "another one is in its place");
            return Q_FATAL;
        }
        if (q_rec_check(val_slice(&v), lsn, NULL, err) != Q_OK)
            return Q_FATAL;
        q_rc rc = visit(ctx, lsn, Q_SLICE_NONE, val_slice(&v), err);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

/* Opens a read transaction with a cursor. */
static q_rc begin_cursor(q_log_lmdb *l, MDB_txn **txn, MDB_cursor **c, q_err *err)
{
    q_rc rc = begin_read(l, txn, err);
    if (rc != Q_OK)
        return rc;
    int code = mdb_cursor_open(*txn, l->tree, c);
    if (code) {
        mdb_txn_abort(*txn);
        return q_wal_mdb_error(Q_RETRY, code, "reading the log", err);
    }
    return Q_OK;
}

static void end_cursor(MDB_txn *txn, MDB_cursor *c)
{
    mdb_cursor_close(c); /* a read transaction doesn't close its cursors */
    mdb_txn_abort(txn);
}

static q_rc lmdb_scan(q_log *log, uint64_t from_lsn, q_log_visit visit, void *ctx, q_err *err)
{
    q_log_lmdb *l = q_log_lmdb_of(log);
    MDB_txn *txn;
    MDB_cursor *c;
    q_wal_stamp s;
    q_rc rc = begin_cursor(l, &txn, &c, err);
    if (rc != Q_OK)
        return rc;
    rc = read_stamp(l, txn, &s, err);
    uint64_t from = rc == Q_OK && from_lsn < s.first_lsn ? s.first_lsn : from_lsn;
    if (rc == Q_OK && s.last_lsn != 0 && from <= s.last_lsn)
        rc = visit_records(c, from, s.last_lsn, visit, ctx, err);
    end_cursor(txn, c);
    return rc;
}

static q_rc visit_entries(MDB_cursor *c, q_log_table table, q_log_visit visit, void *ctx, q_err *err)
{
    uint8_t start = (uint8_t)table;
    MDB_val k = { 1, &start }, v;
    int code = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    for (; code == 0 && k.mv_size > 1 && *(uint8_t *)k.mv_data == start; code = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        q_slice key = q_slice_of((char *)k.mv_data + 1, k.mv_size - 1), value;
        if (q_wal_entry_unwrap(start, key, val_slice(&v), &value, err) != Q_OK)
            return Q_FATAL;
        q_rc rc = visit(ctx, 0, key, value, err);
        if (rc != Q_OK)
            return rc;
    }
    return code == 0 || code == MDB_NOTFOUND ? Q_OK : q_wal_mdb_error(Q_FATAL, code, "reading a table of the log", err);
}

static q_rc lmdb_table(q_log *log, q_log_table table, q_log_visit visit, void *ctx, q_err *err)
{
    MDB_txn *txn;
    MDB_cursor *c;
    if (table < Q_LT_META || table >= Q_LT_COUNT)
        return q_err_set(err, Q_E_INTERNAL, "the log has no table %d", (int)table);
    q_rc rc = begin_cursor(q_log_lmdb_of(log), &txn, &c, err);
    if (rc != Q_OK)
        return rc;
    rc = visit_entries(c, table, visit, ctx, err);
    end_cursor(txn, c);
    return rc;
}

static q_rc lmdb_get(q_log *log, q_arena *arena, q_log_table table, q_slice key, q_slice *out, q_err *err)
{
    q_log_lmdb *l = q_log_lmdb_of(log);
    uint8_t bytes[Q_WAL_KEY_MAX];
    if (table < Q_LT_META || table >= Q_LT_COUNT || key.len == 0 || key.len >= sizeof bytes)
        return q_err_set(err, Q_E_INTERNAL, "the log has no table %d, or a key of %zu bytes", (int)table, key.len);
    MDB_txn *txn;
    q_rc rc = begin_read(l, &txn, err);
    if (rc != Q_OK)
        return rc;
    bytes[0] = (uint8_t)table;
    memcpy(bytes + 1, key.ptr, key.len);
    MDB_val k = { key.len + 1, bytes }, v;
    q_slice value;
    int code = mdb_get(txn, l->tree, &k, &v);
    if (code == MDB_NOTFOUND)
        rc = Q_END;
    else if (code)
        rc = q_wal_mdb_error(Q_FATAL, code, "reading a log entry", err);
    else if (q_wal_entry_unwrap((uint8_t)table, key, val_slice(&v), &value, err) != Q_OK)
        rc = Q_FATAL;
    else
        rc = copy_out(arena, value, out, err);
    mdb_txn_abort(txn);
    return rc;
}

/* ---- state ---- */

q_rc q_wal_load_state(q_log_lmdb *l, q_err *err)
{
    MDB_txn *txn;
    MDB_cursor *c;
    q_rc rc = begin_cursor(l, &txn, &c, err);
    if (rc != Q_OK)
        return rc;
    uint64_t used = 0;
    rc = read_stamp(l, txn, &l->stamp, err);
    if (rc == Q_OK) {
        uint8_t start = Q_WAL_T_RECORD;
        MDB_val k = { 1, &start }, v;
        int code = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
        if (code == 0 && k.mv_size == Q_WAL_RECORD_KEY)
            l->oldest_kept_lsn = q_get_be64((char *)k.mv_data + 1);
        else if (code == MDB_NOTFOUND)
            l->oldest_kept_lsn = l->stamp.last_lsn + 1;
        else
            rc = q_wal_mdb_error(Q_FATAL, code ? code : MDB_CORRUPTED, "finding the log's first record", err);
    }
    measure(l, txn, &used);
    end_cursor(txn, c);
    publish_info(l, used);
    return rc;
}

static void lmdb_info(q_log *log, q_log_info *out)
{
    q_log_lmdb *l = q_log_lmdb_of(log);
    pthread_mutex_lock(&l->info_lock);
    *out = l->info;
    pthread_mutex_unlock(&l->info_lock);
}

static void lmdb_close(q_log *log)
{
    if (!log)
        return;
    q_log_lmdb *l = q_log_lmdb_of(log);
    if (l->env)
        mdb_env_close(l->env);
    if (l->lock_fd >= 0)
        close(l->lock_fd);
    q_buf_free(&l->scratch);
    pthread_mutex_destroy(&l->info_lock);
    free(l);
}

const q_log_ops q_log_lmdb_ops = { lmdb_commit, lmdb_read, lmdb_scan, lmdb_table, lmdb_get, lmdb_info, lmdb_close };
