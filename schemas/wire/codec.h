/* codec.h - what the encoders and decoders of this folder share: typed values and names. Between its files, and for the fuzzers. Pure. */
#ifndef Q_SCHEMAS_WIRE_CODEC_H
#define Q_SCHEMAS_WIRE_CODEC_H

#include "schemas/mp.h"
#include "schemas/wire/wire.h"

/* The second part of an encoded q_writes, where a message has its kind. */
enum { Q_WIRE_WRITES = 32 };

/* ext types; README.md has their layouts */
enum { Q_EXT_UUID = 1, Q_EXT_DECIMAL, Q_EXT_TIME, Q_EXT_DURATION, Q_EXT_DOC, Q_EXT_INT_SAMPLE, Q_EXT_FLOAT_SAMPLE, Q_EXT_DURATION_SAMPLE };

void q_wire_pack_value(q_buf *out, const q_value *v);
/* A sentence for a person: cut at Q_WIRE_MAX_TEXT; where it isn't UTF-8 (an engine's own words), what is not ASCII becomes '?'. */
void q_wire_pack_text(q_buf *out, q_slice text);

/* One decoding: its arena, and the first thing that went wrong, told by q_wire_fail. */
typedef struct q_wire_in {
    q_arena *arena;
    bool no_memory;
} q_wire_in;

/* Takes a value. What is wrong with it goes to it->wrong. */
q_value q_wire_next_value(q_wire_in *in, q_mp_items *it);
q_value q_wire_next_id(q_wire_in *in, q_mp_items *it);
/* 1..Q_MAX_NAME_BYTES of a-z, 0-9 and _; or empty when that is allowed. */
q_slice q_wire_next_name(q_mp_items *it, bool may_be_empty);
/* `count` elements in the arena, cleared; NULL for none, or with it->wrong when memory is out. */
void *q_wire_new(q_wire_in *in, q_mp_items *it, uint32_t count, size_t size);
#define Q_WIRE_NEW(in, it, type, n) ((type *)q_wire_new((in), (it), (n), sizeof(type)))

q_rc q_wire_fail(const q_wire_in *in, const char *what, const char *wrong, q_err *err);

/* Reads [reads.c]. */
void q_wire_pack_read(q_buf *out, const q_read *r);
q_read q_wire_next_read(q_wire_in *in, q_mp_items *list);
void q_wire_pack_rows(q_buf *out, const q_rows *r);
q_rows q_wire_next_rows(q_wire_in *in, q_mp_items *list);

#endif
