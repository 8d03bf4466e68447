/* mp.h - msgpack-c's packer writing into a q_buf, and its parser building a tree in memory that we bound. Pure.
 *
 * Both are msgpack-c's own templates (msgpack/pack_template.h, msgpack/unpack_template.h), the way its C and Python bindings use them,
 * with our callbacks. The library's ready-made msgpack_unpack_next isn't for bytes from outside: five bytes that announce an array of
 * 2^32 items make it ask for 96 GiB at once, and an ext 32 of length 2^32-1 gets a size that its bytes don't have. */
#ifndef Q_SCHEMAS_MP_H
#define Q_SCHEMAS_MP_H

#include <limits.h>

#include <msgpack/object.h>
#include <msgpack/sysdep.h>
#include <msgpack/timestamp.h>

#include "base/arena.h"
#include "base/buf.h"

/* ---- packing: q_mp_pack_int64(buf, i), q_mp_pack_str(buf, len) then q_mp_pack_str_body(buf, ptr, len) … ----------------- */

static inline int q_mp_append(q_buf *b, const void *bytes, size_t n)
{
    if (n <= b->cap - b->len && b->ptr && !b->failed) {
        memcpy(b->ptr + b->len, bytes, n);
        b->len += n;
    } else {
        q_buf_add(b, bytes, n);
    }
    return 0; /* a failure stays in the buffer */
}

#define msgpack_pack_inline_func(name)        static inline int q_mp_pack##name
#define msgpack_pack_inline_func_cint(name)   static inline int q_mp_pack##name
#define msgpack_pack_inline_func_fixint(name) static inline int q_mp_pack_fix##name
#define msgpack_pack_user                     q_buf *
#define msgpack_pack_append_buffer(user, buf, len) return q_mp_append((user), (buf), (len))
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-function"
/* The template's timestamp writer calls the library's ext functions by name; we write no timestamps. */
#define msgpack_pack_ext(x, l, t) q_mp_pack_ext((x), (l), (t))
#include <msgpack/pack_template.h>
#undef msgpack_pack_ext
#pragma GCC diagnostic pop

static inline void q_mp_str(q_buf *b, q_slice s)
{
    q_mp_pack_str(b, s.len);
    if (s.len)
        q_mp_append(b, s.ptr, s.len);
}

static inline void q_mp_bin(q_buf *b, q_slice s)
{
    q_mp_pack_bin(b, s.len);
    if (s.len)
        q_mp_append(b, s.ptr, s.len);
}

static inline void q_mp_ext(q_buf *b, int8_t type, const void *bytes, size_t n)
{
    q_mp_pack_ext(b, n, type);
    if (n)
        q_mp_append(b, bytes, n);
}

static inline void q_mp_bool(q_buf *b, bool v) { v ? q_mp_pack_true(b) : q_mp_pack_false(b); }

/* ---- unpacking ----------------------------------------------------------------------------------------------------------- */

typedef enum q_mp_result {
    Q_MP_OK = 0,
    Q_MP_TRUNCATED, /* the bytes end too early, or announce more items than there are bytes */
    Q_MP_MALFORMED,
    Q_MP_TRAILING,  /* something follows the value */
    Q_MP_TOO_DEEP,  /* more than 32 containers within each other */
    Q_MP_MEMORY
} q_mp_result;

const char *q_mp_result_text(q_mp_result r);

/* Where a tree lives: first in a piece of the caller's (perhaps on its stack), then in an arena: the caller's, or, where that is NULL, one
 * that is made when needed and goes with q_mp_space_end. */
typedef struct q_mp_space {
    char *ptr;
    size_t left;
    q_arena *arena, *own;
} q_mp_space;

void *q_mp_space_alloc(q_mp_space *s, size_t bytes);
void q_mp_space_end(q_mp_space *s);

/* A space on the stack: enough for some 300 items. */
#define Q_MP_STACK_SPACE(name, arena_)                                                                                              \
    _Alignas(16) char name##_bytes[8192];                                                                                           \
    q_mp_space name = { name##_bytes, sizeof name##_bytes, (arena_), NULL }

/* The one value that `bytes` hold. Strings and the like borrow from `bytes`. The tree takes at most 24 bytes for each byte read.
 * Non-negative integers are POSITIVE_INTEGER whatever their form; floats of 32 bits are FLOAT32; a map's key may be anything but a
 * container. On failure *out is undefined. */
q_mp_result q_mp_unpack(q_mp_space *space, q_slice bytes, msgpack_object *out);

static inline q_slice q_mp_slice(const msgpack_object *o) { return (q_slice){ o->via.str.ptr, o->via.str.size }; } /* str or bin */

/* The parts of a list, taken in order. The first thing that is wrong stays in `wrong`; what is taken after it is empty or 0. So a decoder
 * takes all and asks once, with q_mp_done, whether it was all there and nothing else. */
typedef struct q_mp_items {
    const msgpack_object *at;
    uint32_t left;
    const char *wrong;
} q_mp_items;

const msgpack_object *q_mp_next(q_mp_items *it);
uint64_t q_mp_next_u64(q_mp_items *it, uint64_t max);
int64_t q_mp_next_i64(q_mp_items *it);
bool q_mp_next_bool(q_mp_items *it);
q_slice q_mp_next_text(q_mp_items *it, size_t max); /* UTF-8 without NUL, at most `max` bytes */
q_slice q_mp_next_bin(q_mp_items *it, size_t max);
q_mp_items q_mp_next_list(q_mp_items *it, uint32_t max);
static inline void q_mp_wrong(q_mp_items *it, const char *why) { it->wrong = it->wrong ? it->wrong : why; }
/* Nothing was wrong and nothing is left over. */
static inline bool q_mp_done(q_mp_items *it)
{
    if (it->left)
        q_mp_wrong(it, "it has too many parts");
    return !it->wrong;
}

/* An integer that fits; false otherwise. */
static inline bool q_mp_i64(const msgpack_object *o, int64_t *out)
{
    if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *out = o->via.i64;
    else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= INT64_MAX)
        *out = (int64_t)o->via.u64;
    else
        return false;
    return true;
}

#endif
