#include "coordinator/positions.h"

#include "schemas/mp.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

enum { FORMAT = 1, SLAB = 256 };

struct q_position {
    q_position *prev, *next;   /* by offset */
    int64_t offset;
    int32_t partition;
    bool returning;            /* known from the log only: the topic will deliver it again */
    uint8_t hash[16];
};

typedef struct partition {
    bool known, changed;
    bool has_last;
    int64_t end;               /* one past the highest offset seen */
    q_position *first, *last;  /* not complete, by offset */
    q_position *returning;     /* the first that was loaded and hasn't come again yet */
    int64_t last_offset;       /* of the complete message with the highest offset */
    uint8_t last_hash[16];
    int64_t written_next, durable_next;
} partition;

typedef struct slab { struct slab *next; q_position items[SLAB]; } slab;

struct q_positions {
    q_slice topic;
    partition *partitions;
    uint32_t count;
    uint32_t *changed;         /* partitions whose entry must be written */
    uint32_t changed_count;
    slab *slabs;
    q_position *free;
    uint64_t open;
    uint64_t bytes;
    char topic_bytes[];
};

q_positions *q_positions_new(q_slice topic)
{
    q_positions *p = calloc(1, sizeof *p + topic.len);
    if (!p)
        return NULL;
    memcpy(p->topic_bytes, topic.ptr, topic.len);
    p->topic = (q_slice){ p->topic_bytes, topic.len };
    p->bytes = sizeof *p + topic.len;
    return p;
}

void q_positions_free(q_positions *p)
{
    if (!p)
        return;
    for (slab *s = p->slabs, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    free(p->partitions);
    free(p->changed);
    free(p);
}

void q_positions_hash_message(q_slice key, q_slice value, uint8_t hash[16])
{
    /* Chained over two seeds' worth of state: the value's hash is seeded by the key's, so that moving bytes between them matters. */
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, XXH3_128bits_withSeed(value.ptr, value.len, XXH3_64bits_withSeed(key.ptr, key.len, key.len)));
    memcpy(hash, c.digest, 16);
}

/* ---- memory ---- */

static q_position *node(q_positions *p)
{
    if (!p->free) {
        slab *s = malloc(sizeof *s);
        if (!s)
            return NULL;
        s->next = p->slabs;
        p->slabs = s;
        p->bytes += sizeof *s;
        for (size_t i = SLAB; i-- > 0;) {
            s->items[i].next = p->free;
            p->free = &s->items[i];
        }
    }
    q_position *m = p->free;
    p->free = m->next;
    p->open++;
    *m = (q_position){ 0 };
    return m;
}

static partition *partition_at(q_positions *p, int32_t number)
{
    if (number < 0 || number >= Q_POSITIONS_MAX_PARTITIONS)
        return NULL;
    uint32_t i = (uint32_t)number;
    if (i >= p->count) {
        uint32_t n = p->count ? p->count : 16;
        while (n <= i)
            n *= 2;
        partition *partitions = realloc(p->partitions, n * sizeof *partitions);
        if (!partitions)
            return NULL;
        p->partitions = partitions;
        uint32_t *changed = realloc(p->changed, n * sizeof *changed);
        if (!changed)
            return NULL;
        p->changed = changed;
        memset(partitions + p->count, 0, (n - p->count) * sizeof *partitions);
        p->bytes += (n - p->count) * (sizeof *partitions + sizeof *changed);
        p->count = n;
    }
    return &p->partitions[i];
}

static const partition *known(const q_positions *p, int32_t number)
{
    return number >= 0 && (uint32_t)number < p->count && p->partitions[number].known ? &p->partitions[number] : NULL;
}

/* ---- the list of what isn't complete ---- */

static int64_t next_of(const partition *t) { return t->first ? t->first->offset : t->end; }

static void append(partition *t, q_position *m)
{
    assert(!t->last || t->last->offset < m->offset);
    m->prev = t->last;
    m->next = NULL;
    *(t->last ? &t->last->next : &t->first) = m;
    t->last = m;
}

static void forget(q_positions *p, partition *t, q_position *m)
{
    *(m->prev ? &m->prev->next : &t->first) = m->next;
    *(m->next ? &m->next->prev : &t->last) = m->prev;
    m->next = p->free;
    p->free = m;
    p->open--;
}

static void mark_changed(q_positions *p, partition *t)
{
    if (!t->changed) {
        t->changed = true;
        p->changed[p->changed_count++] = (uint32_t)(t - p->partitions);
    }
}

/* Those that should have come before `offset` don't exist any more in the topic: nothing can be done about them. */
static void pass_over(q_positions *p, partition *t, int64_t offset)
{
    while (t->returning && t->returning->offset < offset) {
        q_position *gone = t->returning;
        do
            t->returning = t->returning->next;
        while (t->returning && !t->returning->returning);
        forget(p, t, gone);
        mark_changed(p, t);
    }
}

q_rc q_positions_begin(q_positions *p, int32_t number, int64_t offset, const uint8_t hash[16], q_position **out, q_err *err)
{
    if (offset < 0 || offset == INT64_MAX || number < 0)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "A message at partition %d, offset %lld can't be.", number, (long long)offset);
    partition *t = partition_at(p, number);
    if (!t)
        return q_err_set(err, Q_E_OVERLOADED, "No room for partition %d.", number);
    if (!t->known) {
        t->known = true;
        t->end = t->written_next = t->durable_next = offset;
    }
    q_position *m;
    if (offset < t->end) {
        pass_over(p, t, offset);
        m = t->returning;
        if (!m || m->offset != offset)
            return Q_END;
        m->returning = false;
        do
            t->returning = t->returning->next;
        while (t->returning && !t->returning->returning);
    } else {
        if (p->open >= Q_POSITIONS_MAX_OPEN)
            return q_err_set(err, Q_E_OVERLOADED, "Too many requests are being worked on.");
        pass_over(p, t, offset);
        m = node(p);
        if (!m)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for a position.");
        m->offset = offset;
        m->partition = number;
        append(t, m);
        t->end = offset + 1;
    }
    memcpy(m->hash, hash, 16);
    *out = m;
    return Q_OK;
}

void q_positions_complete(q_positions *p, q_position *m)
{
    partition *t = &p->partitions[m->partition];
    if (!t->has_last || m->offset > t->last_offset) {
        t->has_last = true;
        t->last_offset = m->offset;
        memcpy(t->last_hash, m->hash, 16);
    }
    forget(p, t, m);
    mark_changed(p, t);
}

int64_t q_positions_next(const q_positions *p, int32_t number)
{
    const partition *t = known(p, number);
    return t ? next_of(t) : -1;
}

bool q_positions_last(const q_positions *p, int32_t number, int64_t *offset, uint8_t hash[16])
{
    const partition *t = known(p, number);
    if (!t || !t->has_last)
        return false;
    *offset = t->last_offset;
    memcpy(hash, t->last_hash, 16);
    return true;
}

bool q_positions_may_return(const q_positions *p, int32_t number, int64_t offset)
{
    const partition *t = known(p, number);
    return t && offset >= t->durable_next;
}

/* ---- the log's form ---- */

bool q_positions_changed(const q_positions *p) { return p->changed_count > 0; }

bool q_positions_write(q_positions *p, bool lose, q_buf *key, q_buf *value)
{
    if (!p->changed_count)
        return false;
    uint32_t number = p->changed[--p->changed_count];
    partition *t = &p->partitions[number];
    t->changed = false;
    t->written_next = next_of(t);
    q_buf_printf(key, "%.*s/%u", Q_SLICE_FMT(p->topic), number);
    q_mp_pack_array(value, 6);
    q_mp_pack_uint8(value, FORMAT);
    q_mp_pack_int64(value, lose ? t->end : next_of(t));
    q_mp_pack_int64(value, t->end);
    size_t open = 0;
    for (const q_position *m = t->first; m && !lose; m = m->next)
        open++;
    q_mp_pack_array(value, open);
    int64_t before = next_of(t);
    for (const q_position *m = t->first; m && !lose; m = m->next) {
        q_mp_pack_int64(value, m->offset - before);
        before = m->offset;
    }
    q_mp_pack_int64(value, t->last_offset);
    q_mp_bin(value, q_slice_of(t->last_hash, t->has_last ? 16 : 0));
    return true;
}

void q_positions_durable(q_positions *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        p->partitions[i].durable_next = p->partitions[i].written_next;
}

/* "<topic>/<partition>"; false when it isn't this topic's. */
static bool parse_key(const q_positions *p, q_slice key, int32_t *number)
{
    size_t at = p->topic.len;
    if (key.len < at + 2 || key.len > at + 6 || memcmp(key.ptr, p->topic.ptr, at) != 0 || key.ptr[at] != '/')
        return false;
    int32_t n = 0;
    for (size_t i = at + 1; i < key.len; i++) {
        if (key.ptr[i] < '0' || key.ptr[i] > '9')
            return false;
        n = n * 10 + (key.ptr[i] - '0');
    }
    *number = n;
    return n < Q_POSITIONS_MAX_PARTITIONS;
}

static bool load_open(q_positions *p, partition *t, int32_t number, int64_t next, const msgpack_object_array *open)
{
    int64_t offset = next;
    for (uint32_t i = 0; i < open->size; i++) {
        int64_t distance;
        if (!q_mp_i64(&open->ptr[i], &distance) || distance < (i > 0) || distance >= t->end - offset)
            return false;
        offset += distance;
        q_position *m = p->open < Q_POSITIONS_MAX_OPEN ? node(p) : NULL;
        if (!m)
            return false;
        m->offset = offset;
        m->partition = number;
        m->returning = true;
        append(t, m);
    }
    t->returning = t->first;
    return next_of(t) == next;
}

static bool load_value(q_positions *p, int32_t number, const msgpack_object *o)
{
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size != 6)
        return false;
    const msgpack_object *f = o->via.array.ptr;
    int64_t format, next, end, last;
    if (!q_mp_i64(&f[0], &format) || format != FORMAT || !q_mp_i64(&f[1], &next) || !q_mp_i64(&f[2], &end) || next < 0 || end < next ||
        f[3].type != MSGPACK_OBJECT_ARRAY || !q_mp_i64(&f[4], &last) || f[5].type != MSGPACK_OBJECT_BIN ||
        (f[5].via.bin.size != 0 && f[5].via.bin.size != 16))
        return false;
    partition *t = partition_at(p, number);
    if (!t || t->known)
        return false;
    t->known = true;
    t->end = end;
    t->written_next = t->durable_next = next;
    t->has_last = f[5].via.bin.size == 16;
    t->last_offset = last;
    if (t->has_last)
        memcpy(t->last_hash, f[5].via.bin.ptr, 16);
    return load_open(p, t, number, next, &f[3].via.array);
}

q_rc q_positions_load(q_positions *p, q_slice key, q_slice value, q_err *err)
{
    int32_t number;
    if (!parse_key(p, key, &number))
        return Q_OK;
    Q_MP_STACK_SPACE(space, NULL);
    msgpack_object o;
    bool ok = q_mp_unpack(&space, value, &o) == Q_MP_OK && load_value(p, number, &o);
    q_mp_space_end(&space);
    if (!ok)
        return q_err_set(err, Q_E_INTERNAL, "The log's position of partition %d can't be read.", number);
    return Q_OK;
}

uint64_t q_positions_open_count(const q_positions *p) { return p->open; }
uint64_t q_positions_bytes(const q_positions *p) { return p->bytes; }
