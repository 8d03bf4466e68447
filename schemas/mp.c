#include "schemas/mp.h"

#include <msgpack/unpack.h>
#include <msgpack/unpack_define.h>

#include "schemas/value.h"

const char *q_mp_result_text(q_mp_result r)
{
    static const char *const texts[] = { [Q_MP_OK] = "fine", [Q_MP_TRUNCATED] = "cut short", [Q_MP_MALFORMED] = "not msgpack",
        [Q_MP_TRAILING] = "followed by something", [Q_MP_TOO_DEEP] = "nested too deeply", [Q_MP_MEMORY] = "too large for memory" };
    return (size_t)r < sizeof texts / sizeof *texts ? texts[r] : "?";
}

void *q_mp_space_alloc(q_mp_space *s, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes <= s->left) {
        char *p = s->ptr;
        s->ptr += bytes;
        s->left -= bytes;
        return p;
    }
    if (!s->arena)
        s->arena = s->own = q_arena_new(0);
    return s->arena ? q_arena_alloc(s->arena, bytes) : NULL;
}

void q_mp_space_end(q_mp_space *s)
{
    q_arena_free(s->own);
    s->own = s->arena = NULL;
}

/* What the template's callbacks know. Its "object" is a pointer to where the value stands in the tree: each value is written once, at its
 * final place, in the order of the bytes. (With msgpack_object itself, the template copies 24 bytes that were just written in other
 * widths at every step, and waits for the store buffer each time.) */
typedef struct unpack_state {
    q_mp_space *space;
    size_t announced_left; /* every item announced by a container takes at least one byte: they can't be more than bytes */
    q_mp_result failure;
    msgpack_object *place; /* of the next value */
    unsigned depth;        /* containers open, as in the template's own stack */
    const msgpack_object *map_base[MSGPACK_EMBED_STACK_SIZE + 1]; /* of the container at each depth: a map's first key, NULL for an array */
} unpack_state;

static int refuse(unpack_state *u, q_mp_result why)
{
    u->failure = why;
    return MSGPACK_UNPACK_PARSE_ERROR;
}

static inline msgpack_object *cb_root(unpack_state *u) { return u->place; }

static inline int put(unpack_state *u, msgpack_object_type type, uint64_t bits, msgpack_object **o)
{
    *o = u->place++;
    (*o)->type = type;
    (*o)->via.u64 = bits;
    return 0;
}

static inline int put_signed(unpack_state *u, int64_t n, msgpack_object **o)
{
    return put(u, n < 0 ? MSGPACK_OBJECT_NEGATIVE_INTEGER : MSGPACK_OBJECT_POSITIVE_INTEGER, (uint64_t)n, o);
}

#define UNSIGNED(bits)                                                                        \
    static inline int cb_uint##bits(unpack_state *u, uint##bits##_t n, msgpack_object **o)    \
    {                                                                                         \
        return put(u, MSGPACK_OBJECT_POSITIVE_INTEGER, n, o);                                 \
    }
#define SIGNED(bits) \
    static inline int cb_int##bits(unpack_state *u, int##bits##_t n, msgpack_object **o) { return put_signed(u, n, o); }
UNSIGNED(8)
UNSIGNED(16)
UNSIGNED(32)
UNSIGNED(64)
SIGNED(8)
SIGNED(16)
SIGNED(32)
SIGNED(64)

static inline int put_float(unpack_state *u, msgpack_object_type type, double f, msgpack_object **o)
{
    uint64_t bits;
    memcpy(&bits, &f, sizeof bits);
    return put(u, type, bits, o);
}

static inline int cb_float(unpack_state *u, float f, msgpack_object **o) { return put_float(u, MSGPACK_OBJECT_FLOAT32, (double)f, o); }
static inline int cb_double(unpack_state *u, double f, msgpack_object **o) { return put_float(u, MSGPACK_OBJECT_FLOAT64, f, o); }
static inline int cb_nil(unpack_state *u, msgpack_object **o) { return put(u, MSGPACK_OBJECT_NIL, 0, o); }

static inline int put_bool(unpack_state *u, bool b, msgpack_object **o)
{
    int rc = put(u, MSGPACK_OBJECT_BOOLEAN, 0, o);
    (*o)->via.boolean = b;
    return rc;
}

static inline int cb_true(unpack_state *u, msgpack_object **o) { return put_bool(u, true, o); }
static inline int cb_false(unpack_state *u, msgpack_object **o) { return put_bool(u, false, o); }

/* Begins a container whose `items` values follow. */
static inline int begin(unpack_state *u, msgpack_object_type type, uint32_t n, size_t items, msgpack_object **o)
{
    if (items > u->announced_left)
        return refuse(u, Q_MP_TRUNCATED);
    /* A key that is a container would end without a callback, and the value after it would have no place. */
    const msgpack_object *base = u->map_base[u->depth];
    if (base && (u->place - base) % 2 == 0)
        return refuse(u, Q_MP_MALFORMED);
    u->announced_left -= items;
    *o = u->place++;
    (*o)->type = type;
    (*o)->via.array.size = n; /* map.size is the same member of the union's other struct */
    (*o)->via.array.ptr = NULL;
    if (n == 0)
        return 0;
    msgpack_object *first = q_mp_space_alloc(u->space, items * sizeof *first);
    if (!first)
        return refuse(u, Q_MP_MEMORY);
    if (type == MSGPACK_OBJECT_ARRAY)
        (*o)->via.array.ptr = first;
    else
        (*o)->via.map.ptr = (msgpack_object_kv *)first; /* key, value, key, value … */
    u->place = first;
    u->map_base[++u->depth] = type == MSGPACK_OBJECT_MAP ? first : NULL;
    return 0;
}
_Static_assert(sizeof(msgpack_object_kv) == 2 * sizeof(msgpack_object), "a map's storage is keys and values in turn");

static inline int cb_array(unpack_state *u, unsigned n, msgpack_object **o) { return begin(u, MSGPACK_OBJECT_ARRAY, n, n, o); }
static inline int cb_map(unpack_state *u, unsigned n, msgpack_object **o) { return begin(u, MSGPACK_OBJECT_MAP, n, 2 * (size_t)n, o); }

/* An array's item or a map's value is complete: what comes next stands beside it. */
static inline int complete(unpack_state *u, msgpack_object *o)
{
    if ((o->type == MSGPACK_OBJECT_ARRAY || o->type == MSGPACK_OBJECT_MAP) && o->via.array.size)
        u->depth--;
    u->place = o + 1;
    return 0;
}

static inline int cb_array_item(unpack_state *u, msgpack_object **container, msgpack_object *o)
{
    (void)container;
    return complete(u, o);
}

static inline int cb_map_item(unpack_state *u, msgpack_object **container, msgpack_object *key, msgpack_object *value)
{
    (void)container;
    (void)key;
    return complete(u, value);
}

static inline int cb_str(unpack_state *u, const char *base, const char *p, unsigned n, msgpack_object **o)
{
    (void)base;
    *o = u->place++;
    (*o)->type = MSGPACK_OBJECT_STR;
    (*o)->via.str.size = n;
    (*o)->via.str.ptr = n ? p : ""; /* the template leaves p where it was */
    return 0;
}

static inline int cb_bin(unpack_state *u, const char *base, const char *p, unsigned n, msgpack_object **o)
{
    (void)base;
    *o = u->place++;
    (*o)->type = MSGPACK_OBJECT_BIN;
    (*o)->via.bin.size = n;
    (*o)->via.bin.ptr = n ? p : "";
    return 0;
}

static inline int cb_ext(unpack_state *u, const char *base, const char *p, unsigned n, msgpack_object **o)
{
    (void)base;
    if (n == 0) /* n counts the type byte; 0 comes only of a length of 2^32-1, which overflows in the template */
        return refuse(u, Q_MP_TRUNCATED);
    *o = u->place++;
    (*o)->type = MSGPACK_OBJECT_EXT;
    (*o)->via.ext.type = (int8_t)*p;
    (*o)->via.ext.ptr = p + 1;
    (*o)->via.ext.size = n - 1;
    return 0;
}

#define msgpack_unpack_struct(name)    struct q_unpack##name
#define msgpack_unpack_func(ret, name) static inline ret q_unpack##name
#define msgpack_unpack_callback(name)  cb##name
#define msgpack_unpack_object          msgpack_object *
#define msgpack_unpack_user            unpack_state
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#include <msgpack/unpack_template.h>
#pragma GCC diagnostic pop

q_mp_result q_mp_unpack(q_mp_space *space, q_slice bytes, msgpack_object *out)
{
    struct q_unpack_context ctx;
    ctx.user.space = space;
    ctx.user.announced_left = bytes.len;
    ctx.user.failure = Q_MP_OK;
    ctx.user.place = out;
    ctx.user.depth = 0;
    ctx.user.map_base[0] = NULL;
    q_unpack_init(&ctx);
    size_t off = 0;
    if (bytes.len == 0)
        return Q_MP_TRUNCATED;
    int rc = q_unpack_execute(&ctx, bytes.ptr, bytes.len, &off);
    if (rc < 0)
        return ctx.user.failure ? ctx.user.failure : rc == MSGPACK_UNPACK_NOMEM_ERROR ? Q_MP_TOO_DEEP : Q_MP_MALFORMED;
    if (rc == 0)
        return Q_MP_TRUNCATED;
    return off == bytes.len ? Q_MP_OK : Q_MP_TRAILING;
}

/* ---- lists ----------------------------------------------------------------------------------------------------------- */

const msgpack_object *q_mp_next(q_mp_items *it)
{
    static const msgpack_object nil = { .type = MSGPACK_OBJECT_NIL };
    if (it->left == 0 || it->wrong) {
        q_mp_wrong(it, "it has too few parts");
        it->left = 0;
        return &nil;
    }
    it->left--;
    return it->at++;
}

uint64_t q_mp_next_u64(q_mp_items *it, uint64_t max)
{
    const msgpack_object *o = q_mp_next(it);
    if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= max)
        return o->via.u64;
    q_mp_wrong(it, "a number is missing or too large");
    return 0;
}

int64_t q_mp_next_i64(q_mp_items *it)
{
    int64_t i = 0;
    if (!q_mp_i64(q_mp_next(it), &i))
        q_mp_wrong(it, "a number is missing or too large");
    return i;
}

bool q_mp_next_bool(q_mp_items *it)
{
    const msgpack_object *o = q_mp_next(it);
    if (o->type == MSGPACK_OBJECT_BOOLEAN)
        return o->via.boolean;
    q_mp_wrong(it, "a true or false is missing");
    return false;
}

q_slice q_mp_next_text(q_mp_items *it, size_t max)
{
    const msgpack_object *o = q_mp_next(it);
    if (o->type == MSGPACK_OBJECT_STR && o->via.str.size <= max && q_utf8_valid(q_mp_slice(o)))
        return q_mp_slice(o);
    q_mp_wrong(it, "a text is missing, too long or not UTF-8");
    return Q_SLICE_NONE;
}

q_slice q_mp_next_bin(q_mp_items *it, size_t max)
{
    const msgpack_object *o = q_mp_next(it);
    if (o->type == MSGPACK_OBJECT_BIN && o->via.bin.size <= max)
        return q_mp_slice(o);
    q_mp_wrong(it, "a run of bytes is missing or too long");
    return Q_SLICE_NONE;
}

q_mp_items q_mp_next_list(q_mp_items *it, uint32_t max)
{
    const msgpack_object *o = q_mp_next(it);
    if (o->type == MSGPACK_OBJECT_ARRAY && o->via.array.size <= max)
        return (q_mp_items){ o->via.array.ptr, o->via.array.size, NULL };
    q_mp_wrong(it, "a list is missing or too long");
    return (q_mp_items){ NULL, 0, it->wrong };
}
