#include "tests/sim/memlog.h"

#include <assert.h>
#include <stdlib.h>

typedef struct entry { q_slice key, value; } entry;

typedef struct contents {
    uint64_t first_lsn;        /* of records[0] */
    uint64_t count;            /* of records */
    q_slice *records;
    uint32_t entry_count[Q_LT_COUNT], entry_cap[Q_LT_COUNT];
    entry *entries[Q_LT_COUNT]; /* by key */
    uint64_t bytes;
} contents;

struct mem_disk {
    q_arena *arena;
    mem_durable durable;
    void *ctx;
    contents now;
    uint64_t cap;              /* of now.records */
    uint64_t groups;
    q_archive archive;
    q_slice *segments;         /* from lsn 1 on */
    uint64_t segment_cap;
    void (*lost)(void *ctx, uint64_t lsn);
    void *lost_ctx;
    bool open, fail_next, fail_there;
};

typedef struct mem_log { q_log base; mem_disk *disk; } mem_log;

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static mem_disk *disk_of(q_log *log) { return ((mem_log *)(void *)log)->disk; }


void mem_disk_fail_next(mem_disk *disk, bool there)
{
    disk->fail_next = true;
    disk->fail_there = there;
}

/* The first entry whose key isn't lower. */
static uint32_t lower_bound(const contents *c, q_log_table table, q_slice key)
{
    uint32_t lo = 0, hi = c->entry_count[table];
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (q_slice_cmp(c->entries[table][mid].key, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool has(const contents *c, q_log_table table, uint32_t i, q_slice key)
{
    return i < c->entry_count[table] && q_slice_eq(c->entries[table][i].key, key);
}

static void put(mem_disk *d, q_log_table table, q_slice key, q_slice value)
{
    contents *c = &d->now;
    uint32_t i = lower_bound(c, table, key);
    if (has(c, table, i, key)) {
        c->entries[table][i].value = q_arena_copy(d->arena, value);
        return;
    }
    if (c->entry_count[table] == c->entry_cap[table]) {
        c->entry_cap[table] = c->entry_cap[table] ? c->entry_cap[table] * 2 : 16;
        entry *more = must(Q_NEW_ARRAY(d->arena, entry, c->entry_cap[table]));
        if (c->entry_count[table])
            memcpy(more, c->entries[table], c->entry_count[table] * sizeof *more);
        c->entries[table] = more;
    }
    memmove(&c->entries[table][i + 1], &c->entries[table][i], (c->entry_count[table] - i) * sizeof(entry));
    c->entries[table][i] = (entry){ q_arena_copy(d->arena, key), q_arena_copy(d->arena, value) };
    c->entry_count[table]++;
}

static void forget(mem_disk *d, q_log_table table, q_slice key)
{
    contents *c = &d->now;
    uint32_t i = lower_bound(c, table, key);
    if (!has(c, table, i, key))
        return;
    memmove(&c->entries[table][i], &c->entries[table][i + 1], (c->entry_count[table] - i - 1) * sizeof(entry));
    c->entry_count[table]--;
}

static void append(mem_disk *d, uint64_t lsn, q_slice bytes)
{
    contents *c = &d->now;
    assert(lsn == c->first_lsn + c->count);
    if (c->count == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 256;
        q_slice *more = must(Q_NEW_ARRAY(d->arena, q_slice, d->cap));
        if (c->count)
            memcpy(more, c->records, c->count * sizeof *more);
        c->records = more;
    }
    c->records[c->count++] = q_arena_copy(d->arena, bytes);
    c->bytes += bytes.len;
    if (d->durable)
        d->durable(d->ctx, lsn, c->records[c->count - 1]);
}

bool mem_disk_archive(mem_disk *d, uint64_t end_lsn)
{
    const contents *c = &d->now;
    uint64_t from = d->archive.last_lsn + 1;
    if (end_lsn > c->first_lsn + c->count || from < c->first_lsn)
        return false;
    for (uint64_t lsn = from; lsn < end_lsn; lsn++) {
        if (lsn > d->segment_cap) {
            d->segment_cap = d->segment_cap ? d->segment_cap * 2 : 256;
            q_slice *more = must(Q_NEW_ARRAY(d->arena, q_slice, d->segment_cap));
            if (lsn > 1)
                memcpy(more, d->segments, (lsn - 1) * sizeof *more);
            d->segments = more;
        }
        d->segments[lsn - 1] = c->records[lsn - c->first_lsn];
        d->archive.first_lsn = 1;
        d->archive.last_lsn = lsn;
    }
    return true;
}

static q_rc archive_scan(q_archive *a, uint64_t from_lsn, q_log_visit visit, void *ctx, q_err *err)
{
    const mem_disk *d = (const mem_disk *)(const void *)((const char *)a - offsetof(mem_disk, archive));
    for (uint64_t lsn = from_lsn ? from_lsn : 1; lsn <= a->last_lsn; lsn++) {
        q_rc rc = visit(ctx, lsn, Q_SLICE_NONE, d->segments[lsn - 1], err);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

q_archive *mem_disk_archived(mem_disk *d)
{
    d->archive.scan = archive_scan;
    return &d->archive;
}

void mem_disk_on_loss(mem_disk *d, void (*lost)(void *ctx, uint64_t lsn), void *ctx)
{
    d->lost = lost;
    d->lost_ctx = ctx;
}

static void trim(mem_disk *d, uint64_t lsn)
{
    contents *c = &d->now;
    if (lsn <= c->first_lsn)
        return;
    if (d->lost && lsn > d->archive.last_lsn + 1)
        d->lost(d->lost_ctx, d->archive.last_lsn + 1);
    uint64_t n = lsn - c->first_lsn < c->count ? lsn - c->first_lsn : c->count;
    c->records += n;
    c->count -= n;
    c->first_lsn += n;
    d->cap -= n;
}

mem_disk *mem_disk_new(q_arena *arena, const char identity[24], mem_durable durable, void *ctx)
{
    mem_disk *d = must(Q_NEW(arena, mem_disk));
    *d = (mem_disk){ .arena = arena, .durable = durable, .ctx = ctx, .now.first_lsn = 1 };
    put(d, Q_LT_META, Q_SLICE_LIT(Q_LOG_META_CLUSTER), q_slice_of(identity, 8));
    put(d, Q_LT_META, Q_SLICE_LIT(Q_LOG_META_INCARNATION), q_slice_of(identity + 8, 16));
    return d;
}

/* What the contract asks of a group before anything of it is written. */
static q_rc check(const mem_disk *d, const q_log_op *ops, size_t n, q_err *err)
{
    uint64_t next = d->now.first_lsn + d->now.count;
    for (size_t i = 0; i < n; i++) {
        const q_log_op *op = &ops[i];
        if (op->kind == Q_LO_APPEND) {
            if (op->lsn != next)
                return q_err_set(err, Q_E_INTERNAL, "append at lsn %llu, the next is %llu", (unsigned long long)op->lsn, (unsigned long long)next);
            if (q_rec_check(op->value, next++, NULL, err) != Q_OK)
                return Q_FAIL;
        } else if (op->kind == Q_LO_TRIM) {
            if (op->lsn > next)
                return q_err_set(err, Q_E_INTERNAL, "trim to lsn %llu, the next is %llu", (unsigned long long)op->lsn, (unsigned long long)next);
        } else if (op->table < Q_LT_META || op->table >= Q_LT_COUNT || op->key.len == 0 || op->key.len > Q_LOG_MAX_KEY_BYTES) {
            return q_err_set(err, Q_E_INTERNAL, "no such table or key: %d, %zu bytes", (int)op->table, op->key.len);
        }
    }
    return Q_OK;
}

static q_rc log_commit(q_log *log, const q_log_op *ops, size_t n, q_err *err)
{
    mem_disk *d = disk_of(log);
    if (check(d, ops, n, err) != Q_OK)
        return Q_FAIL;
    bool fails = d->fail_next;
    d->fail_next = false;
    for (size_t i = 0; i < n && (!fails || d->fail_there); i++)
        switch (ops[i].kind) {
        case Q_LO_APPEND: append(d, ops[i].lsn, ops[i].value); break;
        case Q_LO_PUT: put(d, ops[i].table, ops[i].key, ops[i].value); break;
        case Q_LO_DELETE: forget(d, ops[i].table, ops[i].key); break;
        case Q_LO_TRIM: trim(d, ops[i].lsn); break;
        }
    if (fails) {
        q_err_set(err, Q_E_INTERNAL, "the sync failed: input/output error");
        return Q_FATAL;
    }
    d->groups++;
    return Q_OK;
}

static q_rc log_read(q_log *log, q_arena *arena, uint64_t lsn, q_slice *out, q_err *err)
{
    const contents *c = &disk_of(log)->now;
    if (lsn < c->first_lsn || lsn >= c->first_lsn + c->count)
        return Q_END;
    *out = q_arena_copy(arena, c->records[lsn - c->first_lsn]);
    return out->ptr ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
}

static q_rc log_scan(q_log *log, uint64_t from_lsn, q_log_visit visit, void *ctx, q_err *err)
{
    const contents *c = &disk_of(log)->now;
    for (uint64_t i = from_lsn > c->first_lsn ? from_lsn - c->first_lsn : 0; i < c->count; i++) {
        q_rc rc = visit(ctx, c->first_lsn + i, Q_SLICE_NONE, c->records[i], err);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

static q_rc log_table(q_log *log, q_log_table table, q_log_visit visit, void *ctx, q_err *err)
{
    const contents *c = &disk_of(log)->now;
    for (uint32_t i = 0; i < c->entry_count[table]; i++) {
        q_rc rc = visit(ctx, 0, c->entries[table][i].key, c->entries[table][i].value, err);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

static q_rc log_get(q_log *log, q_arena *arena, q_log_table table, q_slice key, q_slice *out, q_err *err)
{
    const contents *c = &disk_of(log)->now;
    uint32_t i = lower_bound(c, table, key);
    if (!has(c, table, i, key))
        return Q_END;
    *out = q_arena_copy(arena, c->entries[table][i].value);
    return out->ptr ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
}

static void log_info(q_log *log, q_log_info *out)
{
    const mem_disk *d = disk_of(log);
    const contents *c = &d->now;
    *out = (q_log_info){ .bytes_used = c->bytes, .bytes_max = (uint64_t)1 << 40, .syncs = d->groups, .groups = d->groups };
    out->last_lsn = c->first_lsn + c->count - 1;
    out->first_lsn = out->last_lsn ? c->first_lsn : 0;
}

static void log_close(q_log *log)
{
    if (!log)
        return;
    disk_of(log)->open = false;
    free(log);
}

static const q_log_ops ops = { log_commit, log_read, log_scan, log_table, log_get, log_info, log_close };

q_rc mem_log_open(mem_disk *disk, q_log **out, q_err *err)
{
    if (disk->open)
        return q_err_set(err, Q_E_INTERNAL, "the log is open already");
    mem_log *l = calloc(1, sizeof *l);
    if (!l)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    *l = (mem_log){ { &ops }, disk };
    disk->open = true;
    *out = &l->base;
    return Q_OK;
}

/* ---- copies ---- */

struct mem_disk_copy { contents was; };

static void copy_contents(q_arena *arena, contents *to, const contents *from)
{
    *to = *from;
    to->records = must(Q_NEW_ARRAY(arena, q_slice, from->count + 1));
    if (from->count)
        memcpy(to->records, from->records, from->count * sizeof *to->records);
    for (int t = 0; t < Q_LT_COUNT; t++) {
        to->entry_cap[t] = from->entry_count[t];
        to->entries[t] = must(Q_NEW_ARRAY(arena, entry, from->entry_count[t] + 1));
        if (from->entry_count[t])
            memcpy(to->entries[t], from->entries[t], from->entry_count[t] * sizeof(entry));
    }
}

mem_disk_copy *mem_disk_copy_take(mem_disk *disk)
{
    mem_disk_copy *copy = must(Q_NEW(disk->arena, mem_disk_copy));
    copy_contents(disk->arena, &copy->was, &disk->now);
    return copy;
}

void mem_disk_copy_restore(mem_disk *disk, const mem_disk_copy *copy)
{
    assert(!disk->open);
    copy_contents(disk->arena, &disk->now, &copy->was);
    disk->cap = disk->now.count;
}
