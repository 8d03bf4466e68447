/* part.h - how the embedded engine stores a record's part, byte for byte, and its keys. Pure. Internal.
 *
 * A part: u8 format, u8 flags (1: tombstone), u16 number of fields, u32 zero, u64 _q_seq, u64 birth, then the fields by ascending
 * name: u8 length and name, u32 length and value. A value: u8 type, then its bytes (numbers little endian; string, bytes and document:
 * all that is left; relation: per id a u16 length and its id key). A metric's value is preceded by i64 time and u64 seq of its sample.
 * Keys are big endian, so that LMDB's byte order is theirs. */
#ifndef Q_EMBEDDED_PART_H
#define Q_EMBEDDED_PART_H

#include "workers/rules.h"

enum {
    Q_PART_HEADER_BYTES = 24,
    Q_PART_MAX_BYTES = 1 << 30,
    Q_KEY_MAX_BYTES = 400,     /* LMDB's bound is 511: table 8, length 2, id key 256, name 41, time 8, seq 8 */
};

typedef struct q_part {        /* borrowed from the stored bytes */
    q_stored stored;
    uint32_t count;            /* of fields */
    q_slice fields;            /* their bytes */
} q_part;

typedef struct q_part_field {
    q_slice name;
    q_slice value;             /* encoded */
} q_part_field;

/* false: the bytes aren't a part (damage). An empty slice is "nothing stored". */
bool q_part_read(q_slice bytes, q_part *out);
/* The next field of `rest`, which is advanced; false at the end or at damage (then rest->len isn't 0). */
bool q_part_next(q_slice *rest, q_part_field *out);
/* The field's encoded value; false when there is none. */
bool q_part_find(const q_part *part, q_slice name, q_slice *value);

void q_part_begin(q_buf *out, const q_stored *stored);
void q_part_add(q_buf *out, q_slice name, q_slice value);
/* Fills in the number of fields, after the last one. */
void q_part_end(q_buf *out, size_t begin, uint32_t count);

void q_stored_value(const q_value *v, q_buf *out);
/* Borrows from `bytes`; relation ids live in `arena` (NULL: relations are damage). */
bool q_stored_value_read(q_arena *arena, q_slice bytes, q_value *out);
/* A metric's latest sample: at_us and the seq that wrote it, then the value. */
void q_stored_sample(const q_value *v, uint64_t seq, q_buf *out);
bool q_stored_sample_read(q_slice bytes, q_value *out, uint64_t *seq);

/* A key under construction. Never past its bound: names and ids are bounded, `failed` says when an id isn't. */
typedef struct q_key {
    size_t len;
    bool failed;
    char bytes[Q_KEY_MAX_BYTES];
} q_key;
void q_key_begin(q_key *k, uint64_t table);
void q_key_add(q_key *k, q_slice s);
void q_key_add_u8(q_key *k, uint8_t v);
void q_key_add_u16(q_key *k, uint16_t v);
void q_key_add_u64(q_key *k, uint64_t v);
void q_key_add_i64(q_key *k, int64_t v); /* sorts as the number does */

#endif
