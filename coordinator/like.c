/* like.c - LIKE in linear time, whatever the pattern: patterns come from outside and must not stop the one thread that decides.
 *
 * A pattern is segments between '%'. The first and last are anchored; each segment between them is looked for leftmost, which is enough
 * (nothing is gained by a later place). A segment without '_' is found by memmem; one with '_' by Shift-And over code points
 * (Baeza-Yates and Gonnet, "A New Approach to Text Searching", 1992): one bit per pattern character, so its cost doesn't depend on how
 * nearly the text matches. */
#include "coordinator/eval.h"

#include <stdlib.h>

enum { WORDS = Q_LIKE_MAX_BYTES / 64, ANY = -1 };

/* The code point at *p (valid UTF-8; anything else counts as one byte each), and moves *p behind it. */
static int32_t next_code(const char **p, const char *end)
{
    unsigned char c = (unsigned char)**p;
    int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
    int32_t code = more == 3 ? c & 0x07 : more == 2 ? c & 0x0F : more == 1 ? c & 0x1F : c;
    for ((*p)++; more && *p < end; more--, (*p)++)
        code = code << 6 | ((unsigned char)**p & 0x3F);
    return code;
}

typedef struct segment {
    uint32_t count;          /* of code points */
    bool any;                /* holds an '_' */
    uint32_t bytes;          /* of literal, when it holds none */
} segment;

typedef struct matcher {
    int32_t code[Q_LIKE_MAX_BYTES];  /* the segment's code points, or ANY */
    char literal[Q_LIKE_MAX_BYTES];  /* the same as bytes */
} matcher;

/* Reads the segment at *p up to an unescaped '%' or the end. */
static segment read_segment(matcher *m, const char **p, const char *end)
{
    segment s = { 0 };
    while (*p < end && **p != '%') {
        if (**p == '_') {
            s.any = true;
            m->code[s.count++] = ANY;
            (*p)++;
            continue;
        }
        if (**p == '\\' && *p + 1 < end)
            (*p)++;
        const char *from = *p;
        m->code[s.count++] = next_code(p, end);
        memcpy(m->literal + s.bytes, from, (size_t)(*p - from));
        s.bytes += (uint32_t)(*p - from);
    }
    return s;
}

/* Does the segment stand at `t`? Returns where it ends, or NULL. */
static const char *match_here(const matcher *m, segment s, const char *t, const char *end)
{
    for (uint32_t i = 0; i < s.count; i++) {
        if (t == end)
            return NULL;
        int32_t c = next_code(&t, end);
        if (m->code[i] != ANY && m->code[i] != c)
            return NULL;
    }
    return t;
}

/* Which code points a segment holds, and at which of its places: one bit mask each. */
typedef struct alphabet {
    uint32_t count, words;
    int32_t code[Q_LIKE_MAX_BYTES]; /* ascending */
    uint64_t mask[Q_LIKE_MAX_BYTES][WORDS];
    uint64_t any[WORDS];            /* the places of '_' */
} alphabet;

static int cmp_code(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The mask of places where `c` may stand. */
static const uint64_t *mask_of(const alphabet *a, int32_t c)
{
    const int32_t *at = bsearch(&c, a->code, a->count, sizeof *a->code, cmp_code);
    return at ? a->mask[at - a->code] : a->any;
}

static void read_alphabet(alphabet *a, const matcher *m, segment s)
{
    a->words = (s.count + 63) / 64;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s.count; i++)
        if (m->code[i] != ANY)
            a->code[n++] = m->code[i];
    qsort(a->code, n, sizeof *a->code, cmp_code);
    a->count = 0;
    for (uint32_t i = 0; i < n; i++)
        if (a->count == 0 || a->code[a->count - 1] != a->code[i])
            a->code[a->count++] = a->code[i];
    memset(a->any, 0, sizeof a->any);
    for (uint32_t i = 0; i < s.count; i++)
        if (m->code[i] == ANY)
            a->any[i >> 6] |= UINT64_C(1) << (i & 63);
    for (uint32_t d = 0; d < a->count; d++)
        memcpy(a->mask[d], a->any, a->words * sizeof(uint64_t));
    for (uint32_t i = 0; i < s.count; i++)
        if (m->code[i] != ANY) {
            const int32_t *at = bsearch(&m->code[i], a->code, a->count, sizeof *a->code, cmp_code);
            a->mask[at - a->code][i >> 6] |= UINT64_C(1) << (i & 63);
        }
}

/* Where the leftmost occurrence ends, or NULL. */
static const char *find_any(const matcher *m, segment s, const char *t, const char *end)
{
    alphabet a;
    uint64_t state[WORDS] = { 0 };
    uint32_t last = s.count - 1;
    read_alphabet(&a, m, s);
    while (t < end) {
        const uint64_t *mask = mask_of(&a, next_code(&t, end));
        uint64_t carry = 1;
        for (uint32_t w = 0; w < a.words; w++) {
            uint64_t shifted = state[w] << 1 | carry;
            carry = state[w] >> 63;
            state[w] = shifted & mask[w];
        }
        if (state[last >> 6] >> (last & 63) & 1)
            return t;
    }
    return NULL;
}

static const char *find(const matcher *m, segment s, const char *t, const char *end)
{
    if (s.count == 0)
        return t;
    if (s.any)
        return find_any(m, s, t, end);
    const char *at = s.bytes <= (size_t)(end - t) ? memmem(t, (size_t)(end - t), m->literal, s.bytes) : NULL;
    return at ? at + s.bytes : NULL;
}

/* The place from which `count` code points lead to `end`; NULL when there are fewer. */
static const char *step_back(const char *t, const char *end, uint32_t count)
{
    while (count) {
        if (end == t)
            return NULL;
        do
            end--;
        while (end > t && ((unsigned char)*end & 0xC0) == 0x80);
        count--;
    }
    return end;
}

bool q_like(q_slice text, q_slice pattern)
{
    if (pattern.len > Q_LIKE_MAX_BYTES)
        return false;
    matcher m;
    const char *t = text.ptr, *t_end = text.ptr + text.len;
    const char *p = pattern.ptr, *p_end = pattern.ptr + pattern.len;
    segment s = read_segment(&m, &p, p_end);
    t = match_here(&m, s, t, t_end);
    if (!t)
        return false;
    if (p == p_end)
        return t == t_end;
    for (;;) {
        p++; /* the '%' */
        s = read_segment(&m, &p, p_end);
        if (p == p_end) {
            const char *tail = step_back(t, t_end, s.count);
            return tail && match_here(&m, s, tail, t_end) == t_end;
        }
        t = find(&m, s, t, t_end);
        if (!t)
            return false;
    }
}
