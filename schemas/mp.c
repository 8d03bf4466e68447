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

/* What the template's callbacks know. */
typedef struct unpack_state {
    q_mp_space *space;
    size_t announced_left; /* every item announced by a container takes at least one byte: they can't be more than bytes */
    q_mp_result failure;
} unpack_state;

static int refuse(unpack_state *u, q_mp_result why)
{
    u->failure = why;
    return MSGPACK_UNPACK_PARSE_ERROR;
}

static inline msgpack_object cb_root(unpack_state *u)
{
    (void)u;
    return (msgpack_object){ .type = MSGPACK_OBJECT_NIL };
}

static inline int put_unsigned(uint64_t n, msgpack_object *o)
{
    o->type = MSGPACK_OBJECT_POSITIVE_INTEGER;
    o->via.u64 = n;
    return 0;
}

static inline int put_signed(int64_t n, msgpack_object *o)
{
    if (n >= 0)
        return put_unsigned((uint64_t)n, o);
    o->type = MSGPACK_OBJECT_NEGATIVE_INTEGER;
    o->via.i64 = n;
    return 0;
}

#define UNSIGNED(bits) static inline int cb_uint##bits(unpack_state *u, uint##bits##_t n, msgpack_object *o) { (void)u; return put_unsigned(n, o); }
#define SIGNED(bits)   static inline int cb_int##bits(unpack_state *u, int##bits##_t n, msgpack_object *o) { (void)u; return put_signed(n, o); }
UNSIGNED(8)
UNSIGNED(16)
UNSIGNED(32)
UNSIGNED(64)
SIGNED(8)
SIGNED(16)
SIGNED(32)
SIGNED(64)

static inline int cb_float(unpack_state *u, float f, msgpack_object *o)
{
    (void)u;
    o->type = MSGPACK_OBJECT_FLOAT32;
    o->via.f64 = (double)f;
    return 0;
}

static inline int cb_double(unpack_state *u, double f, msgpack_object *o)
{
    (void)u;
    o->type = MSGPACK_OBJECT_FLOAT64;
    o->via.f64 = f;
    return 0;
}

static inline int cb_nil(unpack_state *u, msgpack_object *o)
{
    (void)u;
    o->type = MSGPACK_OBJECT_NIL;
    return 0;
}

static inline int cb_true(unpack_state *u, msgpack_object *o)
{
    (void)u;
    o->type = MSGPACK_OBJECT_BOOLEAN;
    o->via.boolean = true;
    return 0;
}

static inline int cb_false(unpack_state *u, msgpack_object *o)
{
    (void)u;
    o->type = MSGPACK_OBJECT_BOOLEAN;
    o->via.boolean = false;
    return 0;
}

static inline int cb_array(unpack_state *u, unsigned n, msgpack_object *o)
{
    if (n > u->announced_left)
        return refuse(u, Q_MP_TRUNCATED);
    u->announced_left -= n;
    o->type = MSGPACK_OBJECT_ARRAY;
    o->via.array.size = 0;
    o->via.array.ptr = n ? q_mp_space_alloc(u->space, n * sizeof(msgpack_object)) : NULL;
    return n && !o->via.array.ptr ? refuse(u, Q_MP_MEMORY) : 0;
}

static inline int cb_array_item(unpack_state *u, msgpack_object *c, msgpack_object o)
{
    (void)u;
    c->via.array.ptr[c->via.array.size++] = o;
    return 0;
}

static inline int cb_map(unpack_state *u, unsigned n, msgpack_object *o)
{
    if (n > u->announced_left / 2)
        return refuse(u, Q_MP_TRUNCATED);
    u->announced_left -= 2 * (size_t)n;
    o->type = MSGPACK_OBJECT_MAP;
    o->via.map.size = 0;
    o->via.map.ptr = n ? q_mp_space_alloc(u->space, n * sizeof(msgpack_object_kv)) : NULL;
    return n && !o->via.map.ptr ? refuse(u, Q_MP_MEMORY) : 0;
}

static inline int cb_map_item(unpack_state *u, msgpack_object *c, msgpack_object key, msgpack_object val)
{
    (void)u;
    c->via.map.ptr[c->via.map.size++] = (msgpack_object_kv){ key, val };
    return 0;
}

static inline int cb_str(unpack_state *u, const char *base, const char *p, unsigned n, msgpack_object *o)
{
    (void)u;
    (void)base;
    o->type = MSGPACK_OBJECT_STR;
    o->via.str.ptr = p;
    o->via.str.size = n;
    return 0;
}

static inline int cb_bin(unpack_state *u, const char *base, const char *p, unsigned n, msgpack_object *o)
{
    (void)u;
    (void)base;
    o->type = MSGPACK_OBJECT_BIN;
    o->via.bin.ptr = p;
    o->via.bin.size = n;
    return 0;
}

static inline int cb_ext(unpack_state *u, const char *base, const char *p, unsigned n, msgpack_object *o)
{
    (void)base;
    if (n == 0) /* n counts the type byte; 0 comes only of a length of 2^32-1, which overflows in the template */
        return refuse(u, Q_MP_TRUNCATED);
    o->type = MSGPACK_OBJECT_EXT;
    o->via.ext.type = (int8_t)*p;
    o->via.ext.ptr = p + 1;
    o->via.ext.size = n - 1;
    return 0;
}

#define msgpack_unpack_struct(name)        struct q_unpack##name
#define msgpack_unpack_func(ret, name)     static inline ret q_unpack##name
#define msgpack_unpack_callback(name)      cb##name
#define msgpack_unpack_object              msgpack_object
#define msgpack_unpack_user                unpack_state
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
    ctx.user = (unpack_state){ .space = space, .announced_left = bytes.len, .failure = Q_MP_OK };
    q_unpack_init(&ctx);
    size_t off = 0;
    if (bytes.len == 0)
        return Q_MP_TRUNCATED;
    int rc = q_unpack_execute(&ctx, bytes.ptr, bytes.len, &off);
    if (rc < 0)
        return ctx.user.failure ? ctx.user.failure : rc == MSGPACK_UNPACK_NOMEM_ERROR ? Q_MP_TOO_DEEP : Q_MP_MALFORMED;
    if (rc == 0)
        return Q_MP_TRUNCATED;
    if (off != bytes.len)
        return Q_MP_TRAILING;
    *out = q_unpack_data(&ctx);
    return Q_MP_OK;
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
