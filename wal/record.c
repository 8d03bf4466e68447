/* record.c - records to bytes and back. README.md has the layouts as tables.
 *
 * A payload is a run of msgpack values (https://github.com/msgpack/msgpack/blob/master/spec.md), none of them an array or a map: counts
 * stand before what they count. So nothing that a damaged or hostile byte can say makes the reader allocate more than the payload's size. */
#include "wal/record.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>

#include "wal/bytes.h"
#include "wal/checksum.h"

enum { AT_MAGIC = 0, AT_FORMAT = 4, AT_TYPE = 6, AT_LENGTH = 8, AT_CRC = 12, AT_LSN = 16 };
static const char MAGIC[4] = { 'Q', 'W', 'A', 'L' };

const char *q_rec_type_name(q_rec_type t)
{
    static const char *const names[] = { "unknown", "epoch", "decision", "tail", "operator", "resolve" };
    return t >= Q_REC_EPOCH && t <= Q_REC_RESOLVE ? names[t] : names[0];
}

static uint32_t crc_of(const char *header, const char *payload, size_t length)
{
    q_crc32c c = q_crc32c_start();
    q_crc32c_add(&c, header, AT_CRC);
    q_crc32c_add(&c, header + AT_LSN, Q_REC_HEADER_BYTES - AT_LSN);
    q_crc32c_add(&c, payload, length);
    return q_crc32c_end(c);
}

/* ---- encoding ---- */

static int add_to_buf(void *ctx, const char *bytes, size_t n)
{
    q_buf_add(ctx, bytes, n);
    return 0; /* the buffer remembers a failure */
}

static void pack_str(msgpack_packer *pk, q_slice s)
{
    msgpack_pack_str(pk, s.len);
    msgpack_pack_str_body(pk, s.ptr, s.len);
}

static void pack_bin(msgpack_packer *pk, q_slice s)
{
    msgpack_pack_bin(pk, s.len);
    msgpack_pack_bin_body(pk, s.ptr, s.len);
}

/* At most `max` bytes of s, cut between code points. */
static q_slice cut_utf8(q_slice s, size_t max)
{
    if (s.len <= max)
        return s;
    while (max > 0 && ((unsigned char)s.ptr[max] & 0xC0) == 0x80)
        max--;
    return q_slice_of(s.ptr, max);
}

static void pack_decision(msgpack_packer *pk, const q_rec_decision *d)
{
    msgpack_pack_uint64(pk, d->seq);
    msgpack_pack_uint64(pk, d->epoch);
    if (d->committed)
        msgpack_pack_true(pk);
    else
        msgpack_pack_false(pk);
    msgpack_pack_int64(pk, d->time_us);
    pack_bin(pk, q_slice_of(d->identity, sizeof d->identity));
    pack_bin(pk, q_slice_of(d->body_hash, sizeof d->body_hash));
    pack_str(pk, d->bucket);
    pack_str(pk, d->request_id);
    pack_str(pk, d->principal);
    msgpack_pack_int32(pk, d->partition);
    msgpack_pack_int64(pk, d->offset);
    pack_str(pk, d->reply_topic);
    pack_str(pk, d->reply_type);
    pack_bin(pk, d->reply);
    msgpack_pack_uint32(pk, d->participants);
    for (int e = 0; e < Q_EN_COUNT; e++)
        if (d->participants & Q_EN_BIT(e))
            pack_bin(pk, d->redo[e]);
    msgpack_pack_uint32(pk, d->event_count);
    for (uint32_t i = 0; i < d->event_count; i++) {
        pack_bin(pk, d->events[i].key);
        pack_bin(pk, d->events[i].value);
    }
    pack_bin(pk, d->ddl);
    pack_str(pk, cut_utf8(d->query, Q_REC_QUERY_BYTES));
}

static void pack_tail(msgpack_packer *pk, const q_rec_tail *t)
{
    msgpack_pack_uint32(pk, t->ended_count);
    for (uint32_t i = 0; i < t->ended_count; i++)
        msgpack_pack_uint64(pk, t->ended[i]);
    msgpack_pack_uint32(pk, t->published_count);
    for (uint32_t i = 0; i < t->published_count; i++)
        msgpack_pack_uint64(pk, t->published[i]);
}

void q_rec_encode(const q_rec *r, q_buf *out)
{
    size_t start = out->len;
    char header[Q_REC_HEADER_BYTES] = { 0 };
    q_buf_add(out, header, sizeof header);
    msgpack_packer pk;
    msgpack_packer_init(&pk, out, add_to_buf);
    switch (r->type) {
    case Q_REC_EPOCH:
        msgpack_pack_uint64(&pk, r->epoch.epoch);
        msgpack_pack_int64(&pk, r->epoch.time_us);
        pack_str(&pk, r->epoch.version);
        break;
    case Q_REC_DECISION: pack_decision(&pk, &r->decision); break;
    case Q_REC_TAIL: pack_tail(&pk, &r->tail); break;
    case Q_REC_OPERATOR: pack_str(&pk, r->text); break;
    case Q_REC_RESOLVE:
        msgpack_pack_uint64(&pk, r->resolve.seq);
        msgpack_pack_uint64(&pk, r->resolve.epoch);
        msgpack_pack_uint32(&pk, r->resolve.engines);
        if (r->resolve.abandoned)
            msgpack_pack_true(&pk);
        else
            msgpack_pack_false(&pk);
        msgpack_pack_int64(&pk, r->resolve.time_us);
        pack_str(&pk, r->resolve.who);
        pack_str(&pk, r->resolve.why);
        break;
    }
    if (out->failed)
        return;
    size_t length = out->len - start - Q_REC_HEADER_BYTES;
    if (length > Q_REC_MAX_BYTES - Q_REC_HEADER_BYTES) { /* no reader would take it */
        out->len = start;
        out->failed = true;
        return;
    }
    char *h = out->ptr + start;
    memcpy(h + AT_MAGIC, MAGIC, sizeof MAGIC);
    q_put_le16(h + AT_FORMAT, Q_WAL_FORMAT);
    q_put_le16(h + AT_TYPE, (uint16_t)r->type);
    q_put_le32(h + AT_LENGTH, (uint32_t)length);
    q_put_le64(h + AT_LSN, r->lsn);
    q_put_le32(h + AT_CRC, crc_of(h, h + Q_REC_HEADER_BYTES, length));
}

/* ---- header ---- */

static q_rc damaged(q_err *err, uint64_t lsn, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static q_rc damaged(q_err *err, uint64_t lsn, const char *fmt, ...)
{
    char what[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return q_err_set(err, Q_E_INTERNAL, "log record %" PRIu64 ": %s", lsn, what);
}

q_rc q_rec_check(q_slice bytes, uint64_t expected_lsn, q_rec_type *type, q_err *err)
{
    uint64_t at = expected_lsn;
    if (bytes.len < Q_REC_HEADER_BYTES)
        return damaged(err, at, "%zu bytes are less than a header's %d", bytes.len, Q_REC_HEADER_BYTES);
    const char *h = bytes.ptr;
    if (memcmp(h + AT_MAGIC, MAGIC, sizeof MAGIC) != 0)
        return damaged(err, at, "the magic number at byte 0 is not QWAL");
    uint32_t length = q_get_le32(h + AT_LENGTH);
    if (bytes.len > Q_REC_MAX_BYTES || length != bytes.len - Q_REC_HEADER_BYTES)
        return damaged(err, at, "the length at byte 8 says %" PRIu32 ", %zu bytes follow the header", length, bytes.len - Q_REC_HEADER_BYTES);
    uint32_t stored = q_get_le32(h + AT_CRC), crc = crc_of(h, h + Q_REC_HEADER_BYTES, length);
    if (stored != crc)
        return damaged(err, at, "the checksum at byte 12 is %08" PRIx32 ", the bytes give %08" PRIx32, stored, crc);
    uint16_t format = q_get_le16(h + AT_FORMAT);
    if (format != Q_WAL_FORMAT) { /* the checksum's place is the same in every format, so this isn't a flipped bit */
        (void)damaged(err, at, "it has format %d, this version of QuantaDB reads format %d", format, Q_WAL_FORMAT);
        q_err_hint(err, "A %s version wrote it: start that version, or a newer one.", format > Q_WAL_FORMAT ? "newer" : "different");
        return Q_FAIL;
    }
    uint64_t lsn = q_get_le64(h + AT_LSN);
    if (lsn != expected_lsn)
        return damaged(err, at, "the header says that it is record %" PRIu64, lsn);
    uint16_t t = q_get_le16(h + AT_TYPE);
    if (t < Q_REC_EPOCH || t > Q_REC_RESOLVE)
        return damaged(err, at, "its type %d is unknown", t);
    if (type)
        *type = (q_rec_type)t;
    return Q_OK;
}

/* ---- decoding ---- */

typedef struct reader {
    const char *ptr;
    size_t len, off;
    uint64_t lsn;
    const char *field; /* what is being read */
    q_err *err;
    bool failed;
} reader;

static void fail(reader *r, const char *what)
{
    if (!r->failed)
        (void)damaged(r->err, r->lsn, "%s at byte %zu: %s", r->field, r->off + Q_REC_HEADER_BYTES, what);
    r->failed = true;
}

/* The next value, which may be no container: a container's header alone could ask for gigabytes. */
static msgpack_object next(reader *r, const char *field)
{
    msgpack_object none = { .type = MSGPACK_OBJECT_NIL };
    if (r->failed)
        return none;
    r->field = field;
    if (r->off >= r->len) {
        fail(r, "the record ends before it");
        return none;
    }
    unsigned char c = (unsigned char)r->ptr[r->off];
    if ((c >= 0x80 && c <= 0x9f) || (c >= 0xdc && c <= 0xdf)) {
        fail(r, "an array or a map stands in its place");
        return none;
    }
    msgpack_unpacked u;
    msgpack_unpacked_init(&u);
    size_t off = r->off;
    msgpack_object o = none;
    if (msgpack_unpack_next(&u, r->ptr, r->len, &off) == MSGPACK_UNPACK_SUCCESS) {
        o = u.data; /* strings point into the input, numbers are in the object: nothing lives in the zone */
        r->off = off;
    } else {
        fail(r, "no msgpack value, or one that is cut");
    }
    msgpack_unpacked_destroy(&u);
    return o;
}

static uint64_t get_uint(reader *r, const char *field, uint64_t max)
{
    msgpack_object o = next(r, field);
    if (!r->failed && (o.type != MSGPACK_OBJECT_POSITIVE_INTEGER || o.via.u64 > max))
        fail(r, "not an unsigned integer in its range");
    return r->failed ? 0 : o.via.u64;
}

static int64_t get_int(reader *r, const char *field, int64_t min, int64_t max)
{
    msgpack_object o = next(r, field);
    if (!r->failed && o.type == MSGPACK_OBJECT_POSITIVE_INTEGER && o.via.u64 <= (uint64_t)max)
        return (int64_t)o.via.u64;
    if (!r->failed && o.type == MSGPACK_OBJECT_NEGATIVE_INTEGER && o.via.i64 >= min)
        return o.via.i64;
    fail(r, "not an integer in its range");
    return 0;
}

static bool get_bool(reader *r, const char *field)
{
    msgpack_object o = next(r, field);
    if (!r->failed && o.type != MSGPACK_OBJECT_BOOLEAN)
        fail(r, "not a boolean");
    return !r->failed && o.via.boolean;
}

static q_slice get_str(reader *r, const char *field, size_t max)
{
    msgpack_object o = next(r, field);
    if (!r->failed && (o.type != MSGPACK_OBJECT_STR || o.via.str.size > max))
        fail(r, "not a string, or one that is too long");
    return r->failed ? Q_SLICE_NONE : q_slice_of(o.via.str.ptr, o.via.str.size);
}

static q_slice get_bin(reader *r, const char *field)
{
    msgpack_object o = next(r, field);
    if (!r->failed && o.type != MSGPACK_OBJECT_BIN)
        fail(r, "not a byte string");
    return r->failed ? Q_SLICE_NONE : q_slice_of(o.via.bin.ptr, o.via.bin.size);
}

static void get_hash(reader *r, const char *field, uint8_t out[16])
{
    q_slice s = get_bin(r, field);
    if (!r->failed && s.len != 16)
        fail(r, "not 16 bytes");
    if (!r->failed)
        memcpy(out, s.ptr, 16);
}

/* A count of things that take at least `each` bytes here, so that a wrong one can't make us allocate much. */
static uint32_t get_count(reader *r, const char *field, size_t each)
{
    uint64_t n = get_uint(r, field, UINT32_MAX);
    if (!r->failed && n > (r->len - r->off) / each)
        fail(r, "more than the record has room for");
    return r->failed ? 0 : (uint32_t)n;
}

static void *get_memory(reader *r, q_arena *arena, size_t count, size_t size)
{
    void *p = q_arena_calloc(arena, count, size);
    if (!p && !r->failed) {
        r->failed = true;
        (void)q_err_set(r->err, Q_E_LIMIT_MEMORY, "log record %" PRIu64 ": no memory for its %s", r->lsn, r->field);
    }
    return p;
}

static void read_decision(reader *r, q_arena *arena, q_rec_decision *d)
{
    d->seq = get_uint(r, "seq", UINT64_MAX);
    d->epoch = get_uint(r, "epoch", UINT64_MAX);
    d->committed = get_bool(r, "committed");
    d->time_us = get_int(r, "time", INT64_MIN, INT64_MAX);
    get_hash(r, "identity", d->identity);
    get_hash(r, "body hash", d->body_hash);
    d->bucket = get_str(r, "bucket", Q_MAX_NAME_BYTES);
    d->request_id = get_str(r, "request id", SIZE_MAX);
    d->principal = get_str(r, "principal", SIZE_MAX);
    d->partition = (int32_t)get_int(r, "partition", INT32_MIN, INT32_MAX);
    d->offset = get_int(r, "offset", INT64_MIN, INT64_MAX);
    d->reply_topic = get_str(r, "reply topic", SIZE_MAX);
    d->reply_type = get_str(r, "reply type", SIZE_MAX);
    d->reply = get_bin(r, "reply");
    d->participants = (uint32_t)get_uint(r, "participants", Q_EN_BIT(Q_EN_COUNT) - 1);
    if (!r->failed && d->committed && d->seq == 0)
        fail(r, "a committed transaction without a seq");
    if (!r->failed && !d->committed && d->participants != 0)
        fail(r, "an aborted transaction with participants");
    for (int e = 0; e < Q_EN_COUNT; e++)
        if (d->participants & Q_EN_BIT(e))
            d->redo[e] = get_bin(r, "redo");
    d->event_count = get_count(r, "event count", 4); /* two byte strings of two bytes at least */
    if (!r->failed && !d->committed && d->event_count != 0)
        fail(r, "an aborted transaction with change events");
    if (!r->failed && d->event_count) {
        q_rec_event *events = get_memory(r, arena, d->event_count, sizeof *events);
        for (uint32_t i = 0; i < d->event_count && !r->failed; i++) {
            events[i].key = get_bin(r, "event key");
            events[i].value = get_bin(r, "event value");
        }
        d->events = events;
    }
    d->ddl = get_bin(r, "ddl");
    if (!r->failed && !d->committed && d->ddl.len != 0)
        fail(r, "an aborted transaction with a schema change");
    d->query = get_str(r, "query", Q_REC_QUERY_BYTES);
}

static const uint64_t *read_u64s(reader *r, q_arena *arena, const char *field, uint32_t *count)
{
    *count = get_count(r, field, 1);
    if (r->failed || *count == 0)
        return NULL;
    uint64_t *list = get_memory(r, arena, *count, sizeof *list);
    for (uint32_t i = 0; i < *count && !r->failed; i++)
        list[i] = get_uint(r, field, UINT64_MAX);
    return list;
}

q_rc q_rec_decode(q_arena *arena, q_slice bytes, uint64_t expected_lsn, q_rec *out, q_err *err)
{
    q_rec_type type;
    q_rc rc = q_rec_check(bytes, expected_lsn, &type, err);
    if (rc != Q_OK)
        return rc;
    memset(out, 0, sizeof *out);
    out->type = type;
    out->lsn = expected_lsn;
    reader r = { .ptr = bytes.ptr + Q_REC_HEADER_BYTES, .len = bytes.len - Q_REC_HEADER_BYTES, .lsn = expected_lsn, .field = "", .err = err };
    switch (type) {
    case Q_REC_EPOCH:
        out->epoch.epoch = get_uint(&r, "epoch", UINT64_MAX);
        out->epoch.time_us = get_int(&r, "time", INT64_MIN, INT64_MAX);
        out->epoch.version = get_str(&r, "version", SIZE_MAX);
        break;
    case Q_REC_DECISION: read_decision(&r, arena, &out->decision); break;
    case Q_REC_TAIL:
        out->tail.ended = read_u64s(&r, arena, "ended", &out->tail.ended_count);
        out->tail.published = read_u64s(&r, arena, "published", &out->tail.published_count);
        break;
    case Q_REC_OPERATOR: out->text = get_str(&r, "text", SIZE_MAX); break;
    case Q_REC_RESOLVE:
        out->resolve.seq = get_uint(&r, "seq", UINT64_MAX);
        out->resolve.epoch = get_uint(&r, "epoch", UINT64_MAX);
        out->resolve.engines = (uint32_t)get_uint(&r, "engines", (1u << Q_EN_COUNT) - 1);
        out->resolve.abandoned = get_bool(&r, "abandoned");
        out->resolve.time_us = get_int(&r, "time", INT64_MIN, INT64_MAX);
        out->resolve.who = get_str(&r, "who", SIZE_MAX);
        out->resolve.why = get_str(&r, "why", SIZE_MAX);
        break;
    }
    r.field = "end";
    if (!r.failed && r.off != r.len)
        fail(&r, "bytes follow the last field");
    return r.failed ? Q_FAIL : Q_OK;
}
