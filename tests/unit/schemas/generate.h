/* generate.h - values, documents and names from a seed, for tests that hold for every value. */
#ifndef Q_TESTS_GENERATE_H
#define Q_TESTS_GENERATE_H

#include <math.h>
#include <stdio.h>

#include "schemas/catalog.h"
#include "schemas/document.h"
#include "schemas/mp.h"
#include "schemas/number.h"
#include "schemas/timetext.h"

typedef struct gen {
    uint64_t state;
    q_arena *arena;
} gen;

/* splitmix64 (S. Vigna), https://prng.di.unimi.it/splitmix64.c */
static inline uint64_t gen_u64(gen *g)
{
    uint64_t z = (g->state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static inline uint32_t gen_below(gen *g, uint32_t n) { return (uint32_t)(gen_u64(g) % n); }

/* Small, large and the edges alike. */
static inline int64_t gen_int(gen *g)
{
    static const int64_t edges[] = { 0, 1, -1, 127, 128, -32, -33, 255, 256, 65535, 65536, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN,
        INT64_C(1) << 53, (INT64_C(1) << 53) + 1 };
    switch (gen_below(g, 3)) {
    case 0:
        return edges[gen_below(g, sizeof edges / sizeof *edges)];
    case 1:
        return (int64_t)gen_below(g, 2000) - 1000;
    default:
        return (int64_t)(gen_u64(g) >> gen_below(g, 63)) * (gen_below(g, 2) ? 1 : -1);
    }
}

static inline double gen_float(gen *g)
{
    static const double edges[] = { 0, 1, -1, 0.1, 89.5, 1e15, 1e16, 1e-7, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308 };
    for (;;) {
        uint64_t u = gen_u64(g);
        double f;
        memcpy(&f, &u, sizeof f);
        switch (gen_below(g, 3)) {
        case 0:
            return edges[gen_below(g, sizeof edges / sizeof *edges)];
        case 1:
            return (double)((int64_t)gen_below(g, 200000) - 100000) / 100;
        default:
            if (isfinite(f))
                return f;
        }
    }
}

static inline q_value gen_decimal(gen *g)
{
    q_value v = { .type = Q_T_DECIMAL, .scale = (uint8_t)gen_below(g, Q_DECIMAL_MAX_SCALE + 1) };
    unsigned __int128 u = (unsigned __int128)gen_u64(g) << 64 | gen_u64(g);
    v.coefficient = (__int128)(u % (unsigned __int128)q_pow10(1 + gen_below(g, Q_DECIMAL_MAX_DIGITS)));
    if (gen_below(g, 2))
        v.coefficient = -v.coefficient;
    return v;
}

static inline q_slice gen_text(gen *g, uint32_t max)
{
    static const char *const pieces[] = { "a",     "Z", "9", "_", " ", "\"", "\\", "\n", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x9a\x9a",
                                          "order", "x" };
    q_buf b = Q_BUF_INIT(max);
    uint32_t n = gen_below(g, 12);
    for (uint32_t i = 0; i < n; i++) {
        const char *p = pieces[gen_below(g, sizeof pieces / sizeof *pieces)];
        if (b.len + strlen(p) <= max)
            q_buf_add_cstr(&b, p);
    }
    q_slice s = q_arena_copy(g->arena, q_buf_slice(&b));
    q_buf_free(&b);
    return s;
}

static inline q_slice gen_name(gen *g)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char *p = q_arena_alloc(g->arena, Q_MAX_NAME_BYTES);
    uint32_t n = 1 + gen_below(g, gen_below(g, 4) ? 12 : Q_MAX_NAME_BYTES);
    for (uint32_t i = 0; i < n; i++)
        p[i] = letters[gen_below(g, i ? 36 : 26)];
    return q_slice_of(p, n);
}

static inline void gen_doc_into(gen *g, q_buf *b, uint32_t depth)
{
    uint32_t what = gen_below(g, depth ? 8 : 6);
    char key[16];
    switch (what) {
    case 0:
        q_mp_pack_nil(b);
        return;
    case 1:
        q_mp_bool(b, gen_below(g, 2));
        return;
    case 2:
        q_mp_pack_int64(b, gen_int(g));
        return;
    case 3:
        q_mp_pack_double(b, gen_float(g));
        return;
    case 4:
    case 5:
        q_mp_str(b, gen_text(g, 200));
        return;
    default:
        break;
    }
    uint32_t n = gen_below(g, gen_below(g, 10) ? 5 : 30);
    if (what == 6) {
        q_mp_pack_array(b, n);
        for (uint32_t i = 0; i < n; i++)
            gen_doc_into(g, b, depth - 1);
        return;
    }
    q_mp_pack_map(b, n);
    for (uint32_t i = 0; i < n; i++) {
        int len = snprintf(key, sizeof key, "k%u", (i * 7 + 3) % 31);
        q_mp_str(b, q_slice_of(key, (size_t)len));
        gen_doc_into(g, b, depth - 1);
    }
}

/* A map or an array. */
static inline q_slice gen_doc(gen *g)
{
    q_buf b = Q_BUF_INIT(Q_MAX_DOC_BYTES);
    do {
        q_buf_clear(&b);
        gen_doc_into(g, &b, 1 + gen_below(g, 5));
    } while (b.failed || ((uint8_t)b.ptr[0] & 0xE0) != 0x80);
    q_slice s = q_arena_copy(g->arena, q_buf_slice(&b));
    q_buf_free(&b);
    return s;
}

static inline int64_t gen_time(gen *g)
{
    uint64_t span = (uint64_t)(Q_TIME_MAX_US - Q_TIME_MIN_US);
    switch (gen_below(g, 4)) {
    case 0:
        return Q_TIME_MIN_US;
    case 1:
        return Q_TIME_MAX_US;
    case 2:
        return (Q_TIME_MIN_US + (int64_t)(gen_u64(g) % span)) / 1000000 * 1000000;
    default:
        return Q_TIME_MIN_US + (int64_t)(gen_u64(g) % span);
    }
}

static inline q_value gen_id(gen *g)
{
    q_value v = { .type = (q_type[]){ Q_T_STRING, Q_T_INT, Q_T_UUID }[gen_below(g, 3)] };
    if (v.type == Q_T_STRING) {
        do
            v.s = gen_text(g, Q_MAX_ID_BYTES);
        while (v.s.len == 0);
    } else if (v.type == Q_T_INT) {
        v.i = gen_int(g);
    } else {
        for (int i = 0; i < 16; i++)
            v.uuid[i] = (uint8_t)gen_u64(g);
    }
    return v;
}

static inline q_value gen_value_of(gen *g, q_type type)
{
    q_value v = { .type = type };
    q_value *items;
    switch (type) {
    case Q_T_BOOL:
        v.b = gen_below(g, 2);
        break;
    case Q_T_INT:
    case Q_T_DURATION:
        v.i = gen_int(g);
        break;
    case Q_T_FLOAT:
        v.f = gen_float(g);
        break;
    case Q_T_DECIMAL:
        return gen_decimal(g);
    case Q_T_STRING:
    case Q_T_BYTES:
        v.s = gen_text(g, 100);
        break;
    case Q_T_UUID:
        for (int i = 0; i < 16; i++)
            v.uuid[i] = (uint8_t)gen_u64(g);
        break;
    case Q_T_TIME:
        v.i = gen_time(g);
        break;
    case Q_T_DOC:
        v.s = gen_doc(g);
        break;
    case Q_T_RELATION:
        v.rel.count = gen_below(g, 4);
        v.rel.items = items = Q_NEW_ARRAY(g->arena, q_value, v.rel.count + 1);
        for (uint32_t i = 0; i < v.rel.count; i++)
            items[i] = gen_id(g);
        break;
    default:
        break;
    }
    return v;
}

/* Any value; one of a metric's types sometimes as a sample. */
static inline q_value gen_value(gen *g)
{
    q_value v = gen_value_of(g, (q_type)gen_below(g, Q_T_COUNT));
    if ((v.type == Q_T_INT || v.type == Q_T_FLOAT || v.type == Q_T_DURATION) && gen_below(g, 3) == 0)
        v.at_us = gen_time(g);
    return v;
}

#endif
