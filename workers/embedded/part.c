#include "workers/embedded/part.h"

enum { PART_FORMAT = 1, FLAG_DEAD = 1 };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are stored as this machine has them");

static void add_u16(q_buf *b, uint16_t v) { q_buf_add(b, &v, sizeof v); }
static void add_u32(q_buf *b, uint32_t v) { q_buf_add(b, &v, sizeof v); }
static void add_u64(q_buf *b, uint64_t v) { q_buf_add(b, &v, sizeof v); }

static bool take(q_slice *s, void *out, size_t n)
{
    if (s->len < n)
        return false;
    memcpy(out, s->ptr, n);
    s->ptr += n;
    s->len -= n;
    return true;
}

static bool take_slice(q_slice *s, size_t n, q_slice *out)
{
    if (s->len < n)
        return false;
    *out = (q_slice){ s->ptr, n };
    s->ptr += n;
    s->len -= n;
    return true;
}

/* ---- parts ---- */

bool q_part_read(q_slice bytes, q_part *out)
{
    *out = (q_part){ 0 };
    if (bytes.len == 0)
        return true;
    uint8_t format, flags;
    uint16_t count;
    uint32_t zero;
    if (!take(&bytes, &format, 1) || !take(&bytes, &flags, 1) || !take(&bytes, &count, 2) || !take(&bytes, &zero, 4) ||
        !take(&bytes, &out->stored.seq, 8) || !take(&bytes, &out->stored.birth, 8) || format != PART_FORMAT || flags > FLAG_DEAD ||
        zero != 0)
        return false;
    out->stored.present = true;
    out->stored.dead = flags == FLAG_DEAD;
    out->count = count;
    out->fields = bytes;
    return true;
}

bool q_part_next(q_slice *rest, q_part_field *out)
{
    q_slice s = *rest;
    uint8_t name_len;
    uint32_t value_len;
    if (!take(&s, &name_len, 1) || !take_slice(&s, name_len, &out->name) || !take(&s, &value_len, 4) ||
        !take_slice(&s, value_len, &out->value))
        return false;
    *rest = s;
    return true;
}

bool q_part_find(const q_part *part, q_slice name, q_slice *value)
{
    q_slice rest = part->fields;
    q_part_field f;
    while (q_part_next(&rest, &f))
        if (q_slice_eq(f.name, name)) {
            *value = f.value;
            return true;
        }
    return false;
}

void q_part_begin(q_buf *out, const q_stored *stored)
{
    q_buf_add_byte(out, PART_FORMAT);
    q_buf_add_byte(out, stored->dead ? FLAG_DEAD : 0);
    add_u16(out, 0);
    add_u32(out, 0);
    add_u64(out, stored->seq);
    add_u64(out, stored->birth);
}

void q_part_add(q_buf *out, q_slice name, q_slice value)
{
    q_buf_add_byte(out, (uint8_t)name.len);
    q_buf_add_slice(out, name);
    add_u32(out, (uint32_t)value.len);
    q_buf_add_slice(out, value);
}

void q_part_end(q_buf *out, size_t begin, uint32_t count)
{
    uint16_t n = (uint16_t)count;
    if (!out->failed)
        memcpy(out->ptr + begin + 2, &n, sizeof n);
}

/* ---- values ---- */

void q_stored_value(const q_value *v, q_buf *out)
{
    q_buf_add_byte(out, (uint8_t)v->type);
    switch (v->type) {
    case Q_T_BOOL: q_buf_add_byte(out, v->b); break;
    case Q_T_INT:
    case Q_T_TIME:
    case Q_T_DURATION: q_buf_add(out, &v->i, sizeof v->i); break;
    case Q_T_FLOAT: q_buf_add(out, &v->f, sizeof v->f); break;
    case Q_T_DECIMAL:
        q_buf_add_byte(out, v->scale);
        q_buf_add(out, &v->coefficient, sizeof v->coefficient);
        break;
    case Q_T_STRING:
    case Q_T_BYTES:
    case Q_T_DOC: q_buf_add_slice(out, v->s); break;
    case Q_T_UUID: q_buf_add(out, v->uuid, sizeof v->uuid); break;
    case Q_T_RELATION:
        for (uint32_t i = 0; i < v->rel.count; i++) {
            size_t at = out->len;
            add_u16(out, 0);
            q_value_key(&v->rel.items[i], out);
            if (out->failed)
                return;
            uint16_t n = (uint16_t)(out->len - at - 2);
            memcpy(out->ptr + at, &n, sizeof n);
        }
        break;
    case Q_T_NULL:
    case Q_T_COUNT: break;
    }
}

static bool read_relation(q_arena *arena, q_slice s, q_value *out)
{
    uint32_t n = 0;
    uint16_t len;
    q_slice id;
    if (!arena)
        return false;
    for (q_slice rest = s; rest.len; n++)
        if (!take(&rest, &len, 2) || !take_slice(&rest, len, &id))
            return false;
    q_value *items = Q_NEW_ARRAY(arena, q_value, n ? n : 1);
    if (!items)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!take(&s, &len, 2) || !take_slice(&s, len, &id) || q_value_from_key(id, &items[i]) != Q_OK)
            return false;
    out->rel.items = items;
    out->rel.count = n;
    return true;
}

bool q_stored_value_read(q_arena *arena, q_slice s, q_value *out)
{
    uint8_t type, b;
    *out = Q_NULL;
    if (!take(&s, &type, 1) || type >= Q_T_COUNT)
        return false;
    out->type = (q_type)type;
    switch (out->type) {
    case Q_T_NULL: break;
    case Q_T_BOOL:
        if (!take(&s, &b, 1))
            return false;
        out->b = b != 0;
        break;
    case Q_T_INT:
    case Q_T_TIME:
    case Q_T_DURATION:
        if (!take(&s, &out->i, sizeof out->i))
            return false;
        break;
    case Q_T_FLOAT:
        if (!take(&s, &out->f, sizeof out->f))
            return false;
        break;
    case Q_T_DECIMAL:
        if (!take(&s, &out->scale, 1) || !take(&s, &out->coefficient, sizeof out->coefficient))
            return false;
        break;
    case Q_T_STRING:
    case Q_T_BYTES:
    case Q_T_DOC:
        out->s = s;
        return true;
    case Q_T_UUID:
        if (!take(&s, out->uuid, sizeof out->uuid))
            return false;
        break;
    case Q_T_RELATION: return read_relation(arena, s, out);
    case Q_T_COUNT: return false;
    }
    return s.len == 0;
}

void q_stored_sample(const q_value *v, uint64_t seq, q_buf *out)
{
    q_buf_add(out, &v->at_us, sizeof v->at_us);
    add_u64(out, seq);
    q_stored_value(v, out);
}

bool q_stored_sample_read(q_slice s, q_value *out, uint64_t *seq)
{
    int64_t at_us;
    if (!take(&s, &at_us, sizeof at_us) || !take(&s, seq, sizeof *seq) || !q_stored_value_read(NULL, s, out))
        return false;
    out->at_us = at_us;
    return true;
}

/* ---- keys ---- */

void q_key_add(q_key *k, q_slice s)
{
    if (s.len > Q_KEY_MAX_BYTES - k->len) {
        k->failed = true;
        return;
    }
    if (s.len)
        memcpy(k->bytes + k->len, s.ptr, s.len);
    k->len += s.len;
}

void q_key_add_u8(q_key *k, uint8_t v) { q_key_add(k, q_slice_of(&v, 1)); }

void q_key_add_u16(q_key *k, uint16_t v)
{
    v = __builtin_bswap16(v);
    q_key_add(k, q_slice_of(&v, sizeof v));
}

void q_key_add_u64(q_key *k, uint64_t v)
{
    v = __builtin_bswap64(v);
    q_key_add(k, q_slice_of(&v, sizeof v));
}

void q_key_add_i64(q_key *k, int64_t v) { q_key_add_u64(k, (uint64_t)v ^ (uint64_t)1 << 63); }

void q_key_begin(q_key *k, uint64_t table)
{
    k->len = 0;
    k->failed = false;
    q_key_add_u64(k, table);
}
