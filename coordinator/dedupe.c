#include "coordinator/dedupe.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

/* The done ones lie in blocks, oldest first, each with a running number; an index finds the number by the identity. The index is cut into
 * shards that grow one by one, so that no request ever waits for a table of millions to be copied. Open addressing, linear probing,
 * deletion by shifting back (Knuth, TAOCP 3, 6.4, Algorithm R). Identities are hashes already: their bytes are the hash. */
enum { BLOCK = 4096, SHARD_BITS = 8, SHARDS = 1 << SHARD_BITS, FIRST_SLOTS = 16 };

typedef struct entry {
    uint8_t identity[16], body[16];
    uint64_t lsn;
    int64_t time_us, offset;
    int32_t partition;
    uint32_t log_bytes;
} entry;

enum { IN_USE = 1u << 31, NUMBER_BITS = IN_USE - 1 };
typedef struct index_slot { uint32_t tag, number; } index_slot; /* number: IN_USE and the low 31 bits of the entry's; 0: empty */
enum { ENTRY_BYTES = sizeof(entry) + 2 * sizeof(index_slot) }; /* what one costs, nearly: its place and its share of the index */
typedef struct shard { index_slot *slots; uint32_t cap, used; } shard;

typedef struct flight { uint8_t identity[16], body[16]; void *owner; } flight; /* owner NULL: empty */

struct q_dedupe {
    q_dedupe_config config;
    entry **blocks;              /* a ring of blocks */
    size_t block_cap, block_first, block_count;
    uint64_t first, end;         /* running numbers of the entries that are kept */
    shard shards[SHARDS];
    uint64_t log_bytes;
    flight *flights;
    size_t flight_cap, flight_count;
    entry *spare_block;
    uint64_t bytes;
};

static void hash_part(crypto_generichash_state *h, q_slice s)
{
    uint8_t len[4] = { (uint8_t)s.len, (uint8_t)(s.len >> 8), (uint8_t)(s.len >> 16), (uint8_t)(s.len >> 24) };
    crypto_generichash_update(h, len, sizeof len); /* so that ("a", "bc") and ("ab", "c") differ */
    crypto_generichash_update(h, (const unsigned char *)s.ptr, s.len);
}

void q_dedupe_identity(const uint8_t incarnation[16], q_slice principal, q_slice bucket, q_slice request_id, uint8_t out[16])
{
    crypto_generichash_state h;
    crypto_generichash_init(&h, NULL, 0, 16);
    crypto_generichash_update(&h, incarnation, 16);
    hash_part(&h, principal);
    hash_part(&h, bucket);
    hash_part(&h, request_id);
    crypto_generichash_final(&h, out, 16);
}

static uint64_t word(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static bool same(const uint8_t a[16], const uint8_t b[16]) { return memcmp(a, b, 16) == 0; }

q_dedupe *q_dedupe_new(const q_dedupe_config *config)
{
    q_dedupe *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->config = *config;
    d->bytes = sizeof *d;
    d->flight_cap = 64;
    while (d->flight_cap < (size_t)config->max_in_flight * 2 && d->flight_cap < 1u << 24)
        d->flight_cap *= 2;
    d->flights = calloc(d->flight_cap, sizeof *d->flights);
    if (!d->flights) {
        free(d);
        return NULL;
    }
    d->bytes += d->flight_cap * sizeof *d->flights;
    return d;
}

void q_dedupe_free(q_dedupe *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->block_count; i++)
        free(d->blocks[(d->block_first + i) & (d->block_cap - 1)]);
    free(d->blocks);
    free(d->spare_block);
    for (size_t i = 0; i < SHARDS; i++)
        free(d->shards[i].slots);
    free(d->flights);
    free(d);
}

/* ---- in flight ---- */

static size_t flight_home(const q_dedupe *d, const uint8_t identity[16]) { return (size_t)word(identity) & (d->flight_cap - 1); }

static flight *flight_find(const q_dedupe *d, const uint8_t identity[16])
{
    for (size_t i = flight_home(d, identity); d->flights[i].owner; i = (i + 1) & (d->flight_cap - 1))
        if (same(d->flights[i].identity, identity))
            return &d->flights[i];
    return NULL;
}

static void flight_put(q_dedupe *d, const flight *f)
{
    size_t i = flight_home(d, f->identity);
    while (d->flights[i].owner)
        i = (i + 1) & (d->flight_cap - 1);
    d->flights[i] = *f;
    d->flight_count++;
}

static bool flight_grow(q_dedupe *d)
{
    size_t old_cap = d->flight_cap;
    flight *old = d->flights, *grown = calloc(old_cap * 2, sizeof *grown);
    if (!grown)
        return false;
    d->flights = grown;
    d->flight_cap = old_cap * 2;
    d->flight_count = 0;
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].owner)
            flight_put(d, &old[i]);
    d->bytes += old_cap * sizeof *old;
    free(old);
    return true;
}

bool q_dedupe_begin(q_dedupe *d, const uint8_t identity[16], const uint8_t body[16], void *owner)
{
    assert(owner && !flight_find(d, identity));
    if (d->flight_count * 2 >= d->flight_cap && !flight_grow(d))
        return false;
    flight f = { .owner = owner };
    memcpy(f.identity, identity, 16);
    memcpy(f.body, body, 16);
    flight_put(d, &f);
    return true;
}

void q_dedupe_drop(q_dedupe *d, const uint8_t identity[16])
{
    flight *f = flight_find(d, identity);
    if (!f)
        return;
    size_t mask = d->flight_cap - 1, hole = (size_t)(f - d->flights);
    for (size_t i = (hole + 1) & mask; d->flights[i].owner; i = (i + 1) & mask) {
        size_t home = flight_home(d, d->flights[i].identity);
        if (((i - home) & mask) >= ((i - hole) & mask)) { /* its home isn't after the hole: it may move there */
            d->flights[hole] = d->flights[i];
            hole = i;
        }
    }
    d->flights[hole].owner = NULL;
    d->flight_count--;
}

/* ---- done ---- */

static entry *entry_at(const q_dedupe *d, uint64_t number)
{
    uint64_t block = number / BLOCK - d->first / BLOCK;
    return &d->blocks[(d->block_first + block) & (d->block_cap - 1)][number % BLOCK];
}

/* What a slot keeps of a number, and the number again: fewer than 2^31 entries are kept at once. */
static uint32_t stored_of(uint64_t number) { return IN_USE | (uint32_t)(number & NUMBER_BITS); }
static uint64_t number_of(const q_dedupe *d, uint32_t stored) { return d->first + ((stored - (uint32_t)d->first) & NUMBER_BITS); }

static uint32_t tag_of(const uint8_t identity[16]) { return (uint32_t)(word(identity) >> SHARD_BITS); }
static size_t shard_of(const uint8_t identity[16]) { return (size_t)word(identity) & (SHARDS - 1); }

static index_slot *index_find(const q_dedupe *d, const uint8_t identity[16])
{
    const shard *s = &d->shards[shard_of(identity)];
    uint32_t tag = tag_of(identity);
    if (!s->cap)
        return NULL;
    for (uint32_t i = tag & (s->cap - 1); s->slots[i].number; i = (i + 1) & (s->cap - 1))
        if (s->slots[i].tag == tag && same(entry_at(d, number_of(d, s->slots[i].number))->identity, identity))
            return &s->slots[i];
    return NULL;
}

static void index_put(shard *s, index_slot slot)
{
    uint32_t i = slot.tag & (s->cap - 1);
    while (s->slots[i].number)
        i = (i + 1) & (s->cap - 1);
    s->slots[i] = slot;
    s->used++;
}

static bool index_add(q_dedupe *d, const uint8_t identity[16], uint64_t number)
{
    shard *s = &d->shards[shard_of(identity)];
    if ((uint64_t)s->used * 3 >= (uint64_t)s->cap * 2) {
        shard grown = { .cap = s->cap ? s->cap * 2 : FIRST_SLOTS };
        grown.slots = calloc(grown.cap, sizeof *grown.slots);
        if (!grown.slots)
            return false;
        for (uint32_t i = 0; i < s->cap; i++)
            if (s->slots[i].number)
                index_put(&grown, s->slots[i]);
        d->bytes += (grown.cap - s->cap) * sizeof *grown.slots;
        free(s->slots);
        *s = grown;
    }
    index_put(s, (index_slot){ tag_of(identity), stored_of(number) });
    return true;
}

static void index_remove(q_dedupe *d, const uint8_t identity[16], uint64_t number)
{
    shard *s = &d->shards[shard_of(identity)];
    uint32_t mask = s->cap - 1, hole = tag_of(identity) & mask;
    while (s->slots[hole].number != stored_of(number)) {
        assert(s->slots[hole].number);
        hole = (hole + 1) & mask;
    }
    for (uint32_t i = (hole + 1) & mask; s->slots[i].number; i = (i + 1) & mask)
        if (((i - (s->slots[i].tag & mask)) & mask) >= ((i - hole) & mask)) {
            s->slots[hole] = s->slots[i];
            hole = i;
        }
    s->slots[hole].number = 0;
    s->used--;
}

/* Room for entry number d->end. */
static bool reserve_entry(q_dedupe *d)
{
    uint64_t blocks = d->end / BLOCK - d->first / BLOCK + 1;
    if (blocks <= d->block_count)
        return true;
    if (d->block_count == d->block_cap) {
        size_t cap = d->block_cap ? d->block_cap * 2 : 16;
        entry **ring = calloc(cap, sizeof *ring);
        if (!ring)
            return false;
        for (size_t i = 0; i < d->block_count; i++)
            ring[i] = d->blocks[(d->block_first + i) & (d->block_cap - 1)];
        d->bytes += (cap - d->block_cap) * sizeof *ring;
        free(d->blocks);
        d->blocks = ring;
        d->block_cap = cap;
        d->block_first = 0;
    }
    entry *block = d->spare_block ? d->spare_block : malloc(BLOCK * sizeof *block);
    if (!block)
        return false;
    if (!d->spare_block)
        d->bytes += BLOCK * sizeof *block;
    d->spare_block = NULL;
    d->blocks[(d->block_first + d->block_count) & (d->block_cap - 1)] = block;
    d->block_count++;
    return true;
}

bool q_dedupe_done_add(q_dedupe *d, const q_dedupe_done *done)
{
    q_dedupe_drop(d, done->identity);
    assert(d->end == d->first || entry_at(d, d->end - 1)->lsn < done->lsn);
    if (!reserve_entry(d))
        return false;
    entry *e = entry_at(d, d->end);
    *e = (entry){ .lsn = done->lsn, .time_us = done->time_us, .offset = done->offset, .partition = done->partition, .log_bytes = done->log_bytes };
    memcpy(e->identity, done->identity, 16);
    memcpy(e->body, done->body, 16);
    if (!index_find(d, done->identity)) { /* the first outcome of an identity stays the one that is found */
        if (!index_add(d, done->identity, d->end))
            return false;
    }
    d->end++;
    d->log_bytes += done->log_bytes;
    return true;
}

q_seen q_dedupe_find(const q_dedupe *d, const uint8_t identity[16], const uint8_t body[16], void **owner, uint64_t *lsn)
{
    const flight *f = flight_find(d, identity);
    if (f) {
        *owner = f->owner;
        return same(f->body, body) ? Q_SEEN_IN_FLIGHT : Q_SEEN_OTHER_BODY;
    }
    const index_slot *s = index_find(d, identity);
    if (!s)
        return Q_SEEN_NEVER;
    const entry *e = entry_at(d, number_of(d, s->number));
    *lsn = e->lsn;
    return same(e->body, body) ? Q_SEEN_DONE : Q_SEEN_OTHER_BODY;
}

static void drop_oldest(q_dedupe *d)
{
    const entry *e = entry_at(d, d->first);
    const index_slot *s = index_find(d, e->identity);
    if (s && number_of(d, s->number) == d->first)
        index_remove(d, e->identity, d->first);
    d->log_bytes -= e->log_bytes;
    if (++d->first % BLOCK != 0)
        return;
    entry *emptied = d->blocks[d->block_first];
    d->block_first = (d->block_first + 1) & (d->block_cap - 1);
    d->block_count--;
    if (d->spare_block) {
        free(emptied);
        d->bytes -= BLOCK * sizeof *emptied;
    } else {
        d->spare_block = emptied;
    }
}

static bool past_bytes(const q_dedupe *d)
{
    uint64_t memory = (d->end - d->first) * ENTRY_BYTES;
    return memory > d->config.max_bytes || (d->config.max_log_bytes && d->log_bytes > d->config.max_log_bytes);
}

void q_dedupe_evict(q_dedupe *d, int64_t now_us, bool (*may_return)(const void *ctx, int32_t partition, int64_t offset), const void *ctx)
{
    while (d->first < d->end) {
        const entry *e = entry_at(d, d->first);
        bool old = now_us - e->time_us > d->config.window_us;
        if ((!old && !past_bytes(d)) || may_return(ctx, e->partition, e->offset))
            return;
        drop_oldest(d);
    }
}

bool q_dedupe_full(const q_dedupe *d) { return d->first < d->end && past_bytes(d); }
uint64_t q_dedupe_first_lsn(const q_dedupe *d) { return d->first < d->end ? entry_at(d, d->first)->lsn : UINT64_MAX; }
uint64_t q_dedupe_count(const q_dedupe *d) { return d->end - d->first; }
uint64_t q_dedupe_bytes(const q_dedupe *d) { return d->bytes; }
