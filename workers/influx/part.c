/* The state of one (record incarnation, id): what was written last, which life it is, and each metric's latest sample.
 *
 * As text, in a string field of its own database: "SEQ BIRTH DEAD" and then per sample " ATTR TYPE AT_US SEQ VALUE", TYPE one of i, d
 * (duration, microseconds), f (the double's bits in hex, so that reading depends on no locale and loses nothing). One field, because a point
 * that is written again keeps the fields that the new one lacks. */
#include "workers/influx/internal.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- lives ---- */

/* Which of two is the newer life: a tombstone of seq s ended all that were born before s. */
static int life_order(const q_stored *a, const q_stored *b)
{
    uint64_t x = a->dead ? a->seq : a->birth, y = b->dead ? b->seq : b->birth;
    return x != y ? (x > y) - (x < y) : (int)b->dead - (int)a->dead;
}

const ix_sample *ix_find(const ix_part *p, q_slice attr)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (q_slice_eq(p->samples[i].attr, attr))
            return &p->samples[i];
    return NULL;
}

bool ix_add_sample(q_arena *arena, ix_part *p, q_slice attr, const q_value *v, uint64_t seq)
{
    uint32_t at = 0;
    while (at < p->count && !q_slice_eq(p->samples[at].attr, attr))
        at++;
    if (at < p->count && !q_rule_newer_sample(v->at_us, seq, p->samples[at].value.at_us, p->samples[at].seq))
        return true;
    if (at == p->cap) {
        uint32_t cap = p->cap ? 2 * p->cap : 4;
        ix_sample *more = q_arena_alloc(arena, cap * sizeof *more);
        if (!more)
            return false;
        if (p->count)
            memcpy(more, p->samples, p->count * sizeof *more);
        p->samples = more;
        p->cap = cap;
    }
    p->samples[at] = (ix_sample){ attr, *v, seq };
    p->count += at == p->count;
    return true;
}

bool ix_merge(q_arena *arena, ix_part *to, const ix_part *from)
{
    if (!from->stored.present)
        return true;
    int order = to->stored.present ? life_order(&to->stored, &from->stored) : -1;
    if (order < 0)
        *to = (ix_part){ .stored = from->stored };
    if (order > 0)
        return true;
    if (to->stored.seq < from->stored.seq)
        to->stored.seq = from->stored.seq;
    for (uint32_t i = 0; i < from->count; i++)
        if (!ix_add_sample(arena, to, from->samples[i].attr, &from->samples[i].value, from->samples[i].seq))
            return false;
    return true;
}

/* ---- as text ---- */

void ix_put_part(q_buf *out, const ix_part *p)
{
    q_buf_printf(out, "%" PRIu64 " %" PRIu64 " %d", p->stored.seq, p->stored.birth, p->stored.dead);
    for (uint32_t i = 0; i < p->count; i++) {
        const ix_sample *s = &p->samples[i];
        uint64_t bits;
        q_buf_printf(out, " %.*s", Q_SLICE_FMT(s->attr));
        if (s->value.type == Q_T_FLOAT) {
            memcpy(&bits, &s->value.f, sizeof bits);
            q_buf_printf(out, " f %" PRId64 " %" PRIu64 " %" PRIx64, s->value.at_us, s->seq, bits);
        } else {
            q_buf_printf(out, " %c %" PRId64 " %" PRIu64 " %" PRId64, s->value.type == Q_T_DURATION ? 'd' : 'i', s->value.at_us, s->seq, s->value.i);
        }
    }
}

static q_slice word(q_slice *rest)
{
    const char *space = rest->len ? memchr(rest->ptr, ' ', rest->len) : NULL;
    q_slice w = q_slice_of(rest->ptr, space ? (size_t)(space - rest->ptr) : rest->len);
    size_t used = w.len + (space != NULL);
    *rest = q_slice_of(rest->ptr + used, rest->len - used);
    return w;
}

/* The text comes from a C string, so that what follows a word is a space or NUL. */
static bool unsigned_of(q_slice *rest, int base, uint64_t *out)
{
    q_slice w = word(rest);
    char *end = NULL;
    if (!w.len)
        return false;
    *out = strtoull(w.ptr, &end, base);
    return end == w.ptr + w.len;
}

static bool signed_of(q_slice *rest, int64_t *out)
{
    q_slice w = word(rest);
    char *end = NULL;
    if (!w.len)
        return false;
    *out = strtoll(w.ptr, &end, 10);
    return end == w.ptr + w.len;
}

static bool sample_of(q_slice *rest, ix_sample *s)
{
    s->attr = word(rest);
    q_slice type = word(rest);
    uint64_t bits;
    s->value = Q_NULL;
    if (!s->attr.len || type.len != 1 || !signed_of(rest, &s->value.at_us) || !unsigned_of(rest, 10, &s->seq))
        return false;
    switch (type.ptr[0]) {
    case 'f':
        s->value.type = Q_T_FLOAT;
        if (!unsigned_of(rest, 16, &bits))
            return false;
        memcpy(&s->value.f, &bits, sizeof bits);
        return true;
    case 'i': s->value.type = Q_T_INT; break;
    case 'd': s->value.type = Q_T_DURATION; break;
    default: return false;
    }
    return signed_of(rest, &s->value.i);
}

q_rc ix_read_part(q_arena *arena, q_slice text, ix_part *out, q_err *err)
{
    q_slice rest = q_arena_copy(arena, text); /* ends with NUL */
    uint64_t dead;
    *out = (ix_part){ .stored.present = true };
    if (!rest.ptr)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    bool ok = unsigned_of(&rest, 10, &out->stored.seq) && unsigned_of(&rest, 10, &out->stored.birth) && unsigned_of(&rest, 10, &dead);
    out->stored.dead = ok && dead;
    while (ok && rest.len) {
        ix_sample s;
        ok = sample_of(&rest, &s);
        if (ok && !ix_add_sample(arena, out, s.attr, &s.value, s.seq))
            return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    }
    return ok ? Q_OK : q_err_set(err, Q_E_CHANGED_OUTSIDE, "influx: a state in QuantaDB's own database is none that it wrote");
}
