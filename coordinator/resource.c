#include "coordinator/resource.h"

#include <assert.h>

static char *put(char *at, q_slice s)
{
    if (s.len)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

/* `bucket` [ '/' `record` ] [ NUL | \1 `attr` NUL, then the key of `value` ]. The key is written straight into the arena: it is at most
 * a type byte and the text, or a few fixed bytes. */
static q_slice spell(q_arena *arena, q_slice bucket, q_slice record, q_slice attr, const q_value *value)
{
    enum { FIXED_KEY_BYTES = 32 };
    size_t room = bucket.len + 1 + record.len + 1 + attr.len + 1 + FIXED_KEY_BYTES;
    if (value && (value->type == Q_T_STRING || value->type == Q_T_BYTES))
        room += value->s.len;
    char *p = q_arena_alloc(arena, room), *at = p;
    if (!p)
        return Q_SLICE_NONE;
    at = put(at, bucket);
    if (record.len) {
        *at++ = '/';
        at = put(at, record);
    }
    if (attr.len) {
        *at++ = '\1';
        at = put(at, attr);
    }
    if (value) {
        *at++ = '\0';
        size_t left = room - (size_t)(at - p);
        q_buf key = { at, 0, left, left, false }; /* never grows: its maximum is its room */
        q_value_key(value, &key);
        assert(!key.failed);
        at += key.len;
    }
    return (q_slice){ p, (size_t)(at - p) };
}

q_slice q_resource_bucket(q_arena *arena, q_slice bucket) { return spell(arena, bucket, Q_SLICE_NONE, Q_SLICE_NONE, NULL); }

q_slice q_resource_type(q_arena *arena, q_slice bucket, q_slice record) { return spell(arena, bucket, record, Q_SLICE_NONE, NULL); }

q_slice q_resource_id(q_arena *arena, q_slice bucket, q_slice record, const q_value *id)
{
    return spell(arena, bucket, record, Q_SLICE_NONE, id);
}

q_slice q_resource_unique(q_arena *arena, q_slice bucket, q_slice record, q_slice attr, const q_value *value)
{
    return spell(arena, bucket, record, attr, value);
}

q_slice q_resource_unique_attr(q_arena *arena, q_slice bucket, q_slice record, q_slice attr)
{
    return spell(arena, bucket, record, attr, NULL);
}

q_slice q_resource_ddl(q_arena *arena, q_slice bucket)
{
    char *p = q_arena_alloc(arena, bucket.len + 1);
    if (p)
        *put(p, bucket) = '\2';
    return p ? (q_slice){ p, bucket.len + 1 } : Q_SLICE_NONE;
}
