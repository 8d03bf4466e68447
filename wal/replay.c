/* replay.c - two passes over the log: where each key's present life begins, then what is left of it. */
#include "wal/replay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
    CHUNK_BYTES = 4 << 20,           /* records copied out of one read transaction: a long one would make the file grow */
    BATCH_BYTES = 512 * 1024,
    BATCH_UNITS = 1024,
    UNIT_BYTES = 6 << 20,            /* of one encoded transaction, below a message's maximum */
    RECORD_ARENA = 512 << 20,
    DEFAULT_MEMORY = 256 << 20
};

/* A key: bucket, record, id. */
typedef struct merged merged;
typedef struct key {
    XXH128_hash_t hash;
    uint64_t newest, base;  /* seqs; base 0: not among what is read */
    uint64_t birth;         /* of its present life, as far as it is known */
    int64_t time_us;        /* of the newest */
    merged *state;          /* while its puts are being merged */
    bool used, dead, aside; /* aside: its puts come as they are: memory is full */
} key;

struct merged {             /* puts since the base, up to now */
    size_t bytes;
    q_arena *arena;
    bool full;
    uint64_t birth;
    uint32_t count, cap;
    q_field *fields;
};

struct q_replay {
    q_log *log;
    q_archive *archive;
    q_replay_spec spec;
    q_slice bucket, record;
    q_catalog *catalog;
    q_arena *own, *chunk, *decoded, *out;
    uint64_t first_lsn, end_lsn, next_lsn, high_before;
    bool prepared, again;
    uint64_t *abandoned;    /* seqs whose part an operator gave up */
    size_t abandoned_count, abandoned_cap;
    /* the records of a chunk */
    q_slice *records;
    uint32_t record_count, record_cap, record_at;
    uint64_t chunk_lsn;
    size_t chunk_bytes;
    /* keys: open addressing */
    key *keys;
    uint64_t key_slots, key_count;
    uint64_t memory, memory_max;
    q_buf scratch;
    q_replay_progress progress;
    /* the batch being filled */
    q_txn_work works[BATCH_UNITS];
    uint32_t work_count;
    size_t work_bytes;
    q_slice batch_bucket;
    uint64_t batch_items;
    /* a unit that opened another batch; and the last one */
    bool has_pending, has_last;
    q_txn_work pending;
    q_slice pending_bucket;
    uint64_t pending_items;
    q_arena *last_arena;
    q_txn_work last;
    q_slice last_bucket;
    uint64_t last_items;
    bool over;
};

static q_rc no_memory(q_err *err) { return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the replay."); }

/* ---- opening ---- */

static q_rc load_definition(void *ctx, uint64_t lsn, q_slice k, q_slice value, q_err *err)
{
    (void)lsn;
    (void)k;
    return q_catalog_load(ctx, value, err);
}

q_rc q_replay_open(q_log *log, q_archive *archive, const q_replay_spec *spec, q_replay **out, q_err *err)
{
    q_replay *r = calloc(1, sizeof *r);
    if (!r)
        return no_memory(err);
    *r = (q_replay){ .log = log, .archive = archive, .spec = *spec };
    r->own = q_arena_new(0);
    r->chunk = q_arena_new((size_t)CHUNK_BYTES + (size_t)Q_REC_MAX_BYTES * 2);
    r->decoded = q_arena_new(RECORD_ARENA);
    r->out = q_arena_new(RECORD_ARENA);
    r->last_arena = q_arena_new(RECORD_ARENA);
    r->catalog = q_catalog_new();
    r->key_slots = 1024;
    r->keys = calloc(r->key_slots, sizeof *r->keys);
    r->scratch = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    r->memory_max = spec->memory_bytes ? spec->memory_bytes : (uint64_t)DEFAULT_MEMORY;
    q_rc rc = r->own && r->chunk && r->decoded && r->out && r->last_arena && r->catalog && r->keys ? Q_OK : no_memory(err);
    if (rc == Q_OK) {
        r->spec.bucket = q_arena_copy(r->own, spec->bucket);
        r->spec.record = q_arena_copy(r->own, spec->record);
        rc = log->ops->table(log, Q_LT_CATALOG, load_definition, &r->catalog, err);
    }
    if (rc == Q_OK) {
        q_log_info info;
        log->ops->info(log, &info);
        bool archived = archive && archive->first_lsn;
        r->first_lsn = archived && archive->first_lsn < info.first_lsn ? archive->first_lsn : info.first_lsn;
        r->high_before = archived && archive->first_lsn <= r->first_lsn ? archive->high_before : r->first_lsn > 1 ? UINT64_MAX : 0;
        if (r->first_lsn <= 1)
            r->high_before = 0;
        r->end_lsn = info.last_lsn + 1;
        r->next_lsn = r->first_lsn;
        r->progress.total = (r->end_lsn - r->first_lsn) * 2;
    }
    if (rc != Q_OK) {
        q_replay_free(r);
        return rc;
    }
    *out = r;
    return Q_OK;
}

static void forget_state(q_replay *r, key *k)
{
    if (!k->state)
        return;
    r->memory -= k->state->bytes;
    q_arena_free(k->state->arena);
    k->state = NULL;
}

void q_replay_free(q_replay *r)
{
    if (!r)
        return;
    for (uint64_t i = 0; r->keys && i < r->key_slots; i++)
        forget_state(r, &r->keys[i]);
    free(r->keys);
    free(r->records);
    free(r->abandoned);
    q_buf_free(&r->scratch);
    q_catalog_unref(r->catalog);
    q_arena_free(r->own);
    q_arena_free(r->chunk);
    q_arena_free(r->decoded);
    q_arena_free(r->out);
    q_arena_free(r->last_arena);
    free(r);
}

void q_replay_get_progress(const q_replay *r, q_replay_progress *out) { *out = r->progress; }

void q_replay_extent(const q_replay *r, uint64_t *first_lsn, uint64_t *high_before)
{
    *first_lsn = r->first_lsn;
    *high_before = r->high_before;
}

/* ---- records, a chunk at a time ---- */

static q_rc take_record(void *ctx, uint64_t lsn, q_slice k, q_slice value, q_err *err)
{
    q_replay *r = ctx;
    (void)k;
    if (lsn >= r->end_lsn || (r->record_count && r->chunk_bytes + value.len > CHUNK_BYTES))
        return Q_END;
    if (lsn != r->next_lsn + r->record_count)
        return q_err_set(err, Q_E_INTERNAL, "Record %" PRIu64 " is in the log no more, and in no segment.", r->next_lsn + r->record_count);
    if (r->record_count == r->record_cap) {
        uint32_t cap = r->record_cap ? r->record_cap * 2 : 1024;
        q_slice *more = realloc(r->records, cap * sizeof *more);
        if (!more)
            return no_memory(err);
        r->records = more;
        r->record_cap = cap;
    }
    q_slice copy = q_arena_copy(r->chunk, value);
    if (!copy.ptr)
        return no_memory(err);
    r->records[r->record_count++] = copy;
    r->chunk_bytes += value.len;
    return Q_OK;
}

/* Q_END: there are no more. */
static q_rc next_chunk(q_replay *r, q_err *err)
{
    q_arena_reset(r->chunk);
    r->record_count = r->record_at = 0;
    r->chunk_bytes = 0;
    r->chunk_lsn = r->next_lsn;
    if (r->next_lsn >= r->end_lsn || r->end_lsn == 1)
        return Q_END;
    q_log_info info;
    r->log->ops->info(r->log, &info);
    bool archived = r->archive && r->archive->first_lsn && r->next_lsn <= r->archive->last_lsn && r->next_lsn < info.first_lsn;
    q_rc rc = archived ? r->archive->scan(r->archive, r->next_lsn, take_record, r, err) : r->log->ops->scan(r->log, r->next_lsn, take_record, r, err);
    if (rc != Q_OK && rc != Q_END)
        return rc;
    if (r->record_count == 0)
        return q_err_set(err, Q_E_INTERNAL, "Record %" PRIu64 " is in the log no more, and in no segment.", r->next_lsn);
    r->next_lsn += r->record_count;
    return Q_OK;
}

/* ---- keys ---- */

static bool grow_keys(q_replay *r)
{
    uint64_t slots = r->key_slots * 2;
    key *more = calloc(slots, sizeof *more);
    if (!more)
        return false;
    for (uint64_t i = 0; i < r->key_slots; i++) {
        if (!r->keys[i].used)
            continue;
        uint64_t at = r->keys[i].hash.low64 & (slots - 1);
        while (more[at].used)
            at = (at + 1) & (slots - 1);
        more[at] = r->keys[i];
    }
    free(r->keys);
    r->keys = more;
    r->key_slots = slots;
    return true;
}

/* Of one engine; 128 bits, so that two keys don't meet. */
static key *find_key(q_replay *r, q_slice bucket, const q_item *item, bool make)
{
    q_buf_clear(&r->scratch);
    q_buf_add_slice(&r->scratch, bucket);
    q_buf_add_byte(&r->scratch, '/');
    q_buf_add_slice(&r->scratch, item->record);
    q_buf_add_byte(&r->scratch, 0);
    q_value_key(&item->id, &r->scratch);
    if (r->scratch.failed || (make && r->key_count * 4 >= r->key_slots * 3 && !grow_keys(r)))
        return NULL;
    XXH128_hash_t h = XXH3_128bits(r->scratch.ptr, r->scratch.len);
    uint64_t at = h.low64 & (r->key_slots - 1);
    while (r->keys[at].used && !XXH128_isEqual(r->keys[at].hash, h))
        at = (at + 1) & (r->key_slots - 1);
    key *k = &r->keys[at];
    if (k->used || !make)
        return k->used ? k : NULL;
    *k = (key){ .hash = h, .used = true };
    r->key_count++;
    return k;
}

/* The definition in force of an item's record; NULL: the item is of an earlier life, or of a record that is gone. */
static const q_record *in_force(const q_replay *r, const q_writes *w, const q_item *item)
{
    const q_record *rec = q_catalog_record(r->catalog, w->bucket, item->record);
    return rec && rec->incarnation == item->incarnation && rec->bucket_incarnation == w->bucket_incarnation ? rec : NULL;
}

static bool wanted(const q_replay *r, q_slice bucket, q_slice record)
{
    return (r->spec.bucket.len == 0 || q_slice_eq(r->spec.bucket, bucket)) && (r->spec.record.len == 0 || q_slice_eq(r->spec.record, record));
}

static bool ordered(const q_replay *r, const q_record *rec)
{
    bool unique = false;
    for (uint32_t i = 0; r->spec.in_order && i < rec->count; i++)
        unique = unique || rec->attrs[i].unique;
    return unique;
}

/* A put that isn't full begins another life where it was read to belong to one (workers/rules.c says the same of what is stored). */
static bool begins_life(const key *k, const q_item *item)
{
    return item->full || k->dead || (k->newest && item->birth > k->newest);
}

static void note_item(key *k, const q_item *item, uint64_t seq, int64_t time_us, bool metrics)
{
    if (item->op == Q_I_DELETE) {
        k->dead = true;
        k->base = seq;
        k->birth = 0;
    } else {
        uint64_t birth = item->birth ? item->birth : item->full ? seq : k->birth;
        bool life = metrics ? k->dead || (k->birth && birth > k->birth) : begins_life(k, item);
        if (life || (metrics && !k->newest))
            k->base = seq;
        k->birth = birth;
        k->dead = false;
    }
    k->newest = seq;
    k->time_us = time_us;
}

static bool is_abandoned(const q_replay *r, uint64_t seq)
{
    for (size_t i = 0; i < r->abandoned_count; i++)
        if (r->abandoned[i] == seq)
            return true;
    return false;
}

/* It comes after its decision, which was taken for good: the first pass is made again then. */
static q_rc note_abandoned(q_replay *r, const q_rec_resolve *x, q_err *err)
{
    if (!x->abandoned || !(x->engines >> r->spec.engine & 1) || is_abandoned(r, x->seq))
        return Q_OK;
    if (r->abandoned_count == r->abandoned_cap) {
        size_t cap = r->abandoned_cap ? r->abandoned_cap * 2 : 16;
        uint64_t *more = realloc(r->abandoned, cap * sizeof *more);
        if (!more)
            return no_memory(err);
        r->abandoned = more;
        r->abandoned_cap = cap;
    }
    r->abandoned[r->abandoned_count++] = x->seq;
    r->again = true;
    return Q_OK;
}

/* Decodes a record. *w has the engine's items; false: nothing of it concerns the replay. */
static q_rc decode(q_replay *r, uint64_t lsn, q_slice bytes, q_rec *rec, q_writes *w, bool *concerns, q_err *err)
{
    *concerns = false;
    q_arena_reset(r->decoded);
    q_rc rc = q_rec_decode(r->decoded, bytes, lsn, rec, err);
    if (rc == Q_OK && rec->type == Q_REC_RESOLVE && !r->prepared)
        return note_abandoned(r, &rec->resolve, err);
    if (rc != Q_OK || rec->type != Q_REC_DECISION)
        return rc;
    const q_rec_decision *d = &rec->decision;
    if (!d->committed || !(d->participants >> r->spec.engine & 1) || is_abandoned(r, d->seq) || (r->spec.limit && d->seq > r->spec.limit) ||
        (r->spec.bucket.len && !q_slice_eq(r->spec.bucket, d->bucket)))
        return Q_OK;
    rc = q_writes_decode(r->decoded, d->redo[r->spec.engine], w, err);
    if (rc != Q_OK) {
        char why[sizeof err->message];
        memcpy(why, err->message, sizeof why);
        return q_err_set(err, Q_E_INTERNAL, "Record %" PRIu64 ", the redo of transaction %" PRIu64 " for %s: %s", lsn, d->seq,
                         q_engine_name(r->spec.engine), why);
    }
    *concerns = true;
    return Q_OK;
}

q_rc q_replay_prepare(q_replay *r, q_err *err)
{
    q_rc rc = r->prepared ? Q_OK : next_chunk(r, err);
    if (r->prepared)
        return Q_OK;
    if (rc == Q_END && r->again) {
        r->again = false;
        r->next_lsn = r->first_lsn;
        r->progress.done = 0;
        r->key_count = 0;
        memset(r->keys, 0, r->key_slots * sizeof *r->keys);
        return Q_WAIT;
    }
    if (rc == Q_END) {
        r->prepared = true;
        r->next_lsn = r->first_lsn;
        for (uint64_t i = 0; i < r->key_slots; i++)
            r->progress.keys += r->keys[i].used;
        return Q_OK;
    }
    for (uint32_t i = 0; rc == Q_OK && i < r->record_count; i++) {
        q_rec rec;
        q_writes w;
        bool concerns;
        rc = decode(r, r->chunk_lsn + i, r->records[i], &rec, &w, &concerns, err);
        r->progress.done++;
        for (uint32_t j = 0; rc == Q_OK && concerns && j < w.count; j++) {
            const q_item *item = &w.items[j];
            if ((item->op != Q_I_PUT && item->op != Q_I_DELETE) || !wanted(r, w.bucket, item->record) || !in_force(r, &w, item))
                continue;
            key *k = find_key(r, w.bucket, item, true);
            if (!k)
                rc = no_memory(err);
            else
                note_item(k, item, rec.decision.seq, rec.decision.time_us, r->spec.engine == Q_EN_INFLUX);
        }
    }
    return rc == Q_OK ? Q_WAIT : rc;
}

/* ---- merging ---- */

static q_field *field_of(merged *m, q_slice attr)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (q_slice_eq(m->fields[i].attr, attr))
            return &m->fields[i];
    if (m->count == m->cap) {
        uint32_t cap = m->cap ? m->cap * 2 : 8;
        q_field *more = Q_NEW_ARRAY(m->arena, q_field, cap);
        if (!more)
            return NULL;
        if (m->count)
            memcpy(more, m->fields, m->count * sizeof *more);
        m->fields = more;
        m->cap = cap;
    }
    q_field *f = &m->fields[m->count];
    f->attr = q_arena_copy(m->arena, attr);
    f->value = Q_NULL;
    if (!f->attr.ptr)
        return NULL;
    m->count++;
    return f;
}

static bool merge(q_replay *r, key *k, const q_item *item, bool full)
{
    if (!k->state) {
        q_arena *arena = q_arena_new_sized((size_t)512 << 20, 1024);
        merged *m = arena ? Q_NEW(arena, merged) : NULL;
        if (!m) {
            q_arena_free(arena);
            return false;
        }
        m->arena = arena;
        k->state = m;
    }
    merged *m = k->state;
    if (full) {
        m->full = true;
        m->count = 0;
        m->birth = 0;
    }
    if (item->birth)
        m->birth = item->birth;
    for (uint32_t i = 0; i < item->count; i++) {
        q_field *f = field_of(m, item->fields[i].attr);
        if (!f || (!q_value_copy(m->arena, &item->fields[i].value, &f->value) && item->fields[i].value.type != Q_T_NULL))
            return false;
    }
    r->memory -= m->bytes;
    m->bytes = q_arena_bytes(m->arena);
    r->memory += m->bytes;
    return true;
}

/* ---- what is given out ---- */

typedef struct unit { q_item *items; uint32_t count; } unit;

/* The item as it is to be applied; `from` was read. False: it isn't given out. */
static q_rc fold_item(q_replay *r, const q_writes *w, const q_item *item, const q_rec_decision *d, unit *u, q_err *err)
{
    const q_replay_spec *s = &r->spec;
    if (item->op == Q_I_CHECK || !wanted(r, w->bucket, item->op == Q_I_DDL ? item->ddl.record : item->record))
        return Q_OK;
    if (item->op == Q_I_DDL) {
        if (d->seq >= s->from && (s->to == 0 || d->seq <= s->to) && (s->until_us == 0 || d->time_us <= s->until_us))
            u->items[u->count++] = *item;
        return Q_OK;
    }
    const q_record *rec = in_force(r, w, item);
    if (!rec)
        return Q_OK;
    key *k = find_key(r, w->bucket, item, false);
    if (!k)
        return Q_OK;
    if (ordered(r, rec)) {
        if (d->seq >= s->from)
            u->items[u->count++] = *item;
        return Q_OK;
    }
    if (d->seq < k->base || k->newest < s->from || (s->to && k->newest > s->to) || (s->until_us && k->time_us > s->until_us))
        return Q_OK;
    q_item out = *item;
    out.pre = 0;
    out.seq_is = 0;
    if (s->engine == Q_EN_INFLUX || item->op == Q_I_DELETE) {
        u->items[u->count++] = out;
        return Q_OK;
    }
    bool full = d->seq == k->base;
    if (full)
        out.full = true;
    if ((d->seq == k->newest && !k->state) || k->aside) {
        u->items[u->count++] = out;
        return Q_OK;
    }
    if (!k->state && r->memory > r->memory_max) {
        k->aside = true;
        u->items[u->count++] = out;
        return Q_OK;
    }
    if (!merge(r, k, item, full))
        return no_memory(err);
    if (full && !k->state->birth)
        k->state->birth = d->seq;
    if (d->seq != k->newest)
        return Q_OK;
    merged *m = k->state;
    q_field *fields = Q_NEW_ARRAY(r->decoded, q_field, m->count + 1);
    if (!fields)
        return no_memory(err);
    for (uint32_t i = 0; i < m->count; i++) {
        fields[i].attr = q_arena_copy(r->decoded, m->fields[i].attr);
        if (!fields[i].attr.ptr || (!q_value_copy(r->decoded, &m->fields[i].value, &fields[i].value) && m->fields[i].value.type != Q_T_NULL))
            return no_memory(err);
    }
    out.full = m->full;
    out.birth = m->birth;
    out.count = m->count;
    out.fields = fields;
    u->items[u->count++] = out;
    forget_state(r, k);
    return Q_OK;
}

static q_rc encode(q_replay *r, q_arena *arena, const q_writes *from, const unit *u, q_slice *out, q_err *err)
{
    q_writes w = { from->bucket_incarnation, from->bucket, u->count, u->items };
    q_buf_clear(&r->scratch);
    q_writes_encode(&w, &r->scratch);
    if (r->scratch.failed)
        return q_err_set(err, Q_E_WRITE_TOO_LARGE, "What is to be replayed of one transaction is larger than a message may be.");
    *out = q_arena_copy(arena, q_buf_slice(&r->scratch));
    return out->ptr ? Q_OK : no_memory(err);
}

/* False: the batch is full, the unit waits for the next. */
static bool put_unit(q_replay *r, q_slice bucket, const q_txn_work *work, uint64_t items)
{
    bool fits = r->work_count == 0 || (q_slice_eq(bucket, r->batch_bucket) && r->work_count < BATCH_UNITS && r->work_bytes + work->writes.len <= BATCH_BYTES);
    if (!fits) {
        r->has_pending = true;
        r->pending = *work;
        r->pending_bucket = bucket;
        r->pending_items = items;
        return false;
    }
    r->batch_bucket = bucket;
    r->works[r->work_count++] = *work;
    r->work_bytes += work->writes.len;
    r->batch_items += items;
    return true;
}

/* Q_WAIT: the batch is full. */
static q_rc fold_record(q_replay *r, uint64_t lsn, q_slice bytes, q_err *err)
{
    q_rec rec;
    q_writes w;
    bool concerns;
    q_rc rc = decode(r, lsn, bytes, &rec, &w, &concerns, err);
    r->progress.done++;
    if (rc != Q_OK || !concerns)
        return rc;
    const q_rec_decision *d = &rec.decision;
    bool last = r->spec.limit && d->seq == r->spec.limit;
    unit u = { q_arena_alloc(r->decoded, sizeof(q_item) * (w.count + 1)), 0 };
    if (!u.items)
        return no_memory(err);
    r->progress.decisions++;
    for (uint32_t i = 0; rc == Q_OK && i < w.count; i++)
        rc = fold_item(r, &w, &w.items[i], d, &u, err);
    if (rc != Q_OK || (u.count == 0 && !last))
        return rc;
    q_arena *arena = last ? r->last_arena : r->out;
    q_txn_work work = { d->seq, d->time_us, Q_SLICE_NONE };
    if (u.count == 0) /* it changes nothing, and yet the engine must learn of it: with what it looked at */
        work.writes = q_arena_copy(arena, d->redo[r->spec.engine]);
    else
        rc = encode(r, arena, &w, &u, &work.writes, err);
    q_slice bucket = q_arena_copy(arena, w.bucket);
    if (rc == Q_OK && (!bucket.ptr || !work.writes.ptr))
        rc = no_memory(err);
    if (rc != Q_OK)
        return rc;
    r->progress.items += u.count;
    r->progress.bytes += work.writes.len;
    if (last) {
        r->has_last = true;
        r->last = work;
        r->last_bucket = bucket;
        r->last_items = u.count;
        return Q_OK;
    }
    return put_unit(r, bucket, &work, u.count) ? Q_OK : Q_WAIT;
}

static q_rc give_last(q_replay *r, q_replay_batch *out, q_err *err)
{
    if (r->spec.limit && !r->has_last)
        return q_err_set(err, Q_E_INTERNAL, "Transaction %" PRIu64 ", up to which %s must be caught up, is neither in the log nor in a segment.", r->spec.limit,
                         q_engine_name(r->spec.engine));
    r->over = true;
    if (!r->spec.limit)
        return Q_END;
    r->works[0] = r->last;
    *out = (q_replay_batch){ .bucket = r->last_bucket, .count = 1, .works = r->works, .last = true, .items = r->last_items };
    return Q_OK;
}

q_rc q_replay_next(q_replay *r, q_replay_batch *out, q_err *err)
{
    if (r->over)
        return Q_END;
    q_rc rc = Q_OK;
    /* The unit that opened this batch moves out of the arena that is emptied now. */
    q_slice writes = Q_SLICE_NONE, bucket = Q_SLICE_NONE;
    if (r->has_pending) {
        writes = q_arena_copy(r->decoded, r->pending.writes);
        bucket = q_arena_copy(r->decoded, r->pending_bucket);
        if (!writes.ptr || !bucket.ptr)
            return no_memory(err);
    }
    q_arena_reset(r->out);
    r->work_count = 0;
    r->work_bytes = 0;
    r->batch_items = 0;
    if (r->has_pending) {
        r->has_pending = false;
        r->pending.writes = q_arena_copy(r->out, writes);
        bucket = q_arena_copy(r->out, bucket);
        if (!r->pending.writes.ptr || !bucket.ptr)
            return no_memory(err);
        (void)put_unit(r, bucket, &r->pending, r->pending_items);
    }
    while (rc == Q_OK) {
        if (r->record_at == r->record_count) {
            rc = next_chunk(r, err);
            if (rc == Q_END)
                break;
        }
        if (rc == Q_OK) {
            uint32_t i = r->record_at++;
            rc = fold_record(r, r->chunk_lsn + i, r->records[i], err);
        }
    }
    if (rc != Q_WAIT && rc != Q_END)
        return rc;
    if (r->work_count == 0)
        return give_last(r, out, err);
    *out = (q_replay_batch){ .bucket = r->batch_bucket, .count = r->work_count, .works = r->works, .items = r->batch_items };
    return Q_OK;
}
