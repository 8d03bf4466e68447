#include "cmd/gateway/rate.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <xxhash.h>

enum { SETS = Q_RATE_BUCKETS / Q_RATE_WAYS };

typedef struct bucket { uint64_t who; int64_t seen_us; double tokens; } bucket; /* who 0: free */

struct q_rate {
    pthread_mutex_t lock;
    double per_us, burst;
    uint64_t seed;
    bucket at[SETS][Q_RATE_WAYS];
};

q_rate *q_rate_new(int64_t per_s, int64_t burst)
{
    q_rate *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    r->per_us = (double)per_s / 1e6;
    r->burst = burst > 0 ? (double)burst : 2 * (double)per_s;
    randombytes_buf(&r->seed, sizeof r->seed);
    return r;
}

void q_rate_free(q_rate *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

bool q_rate_take(q_rate *r, q_slice who, int64_t now_us)
{
    uint64_t hash = XXH3_64bits_withSeed(who.ptr ? who.ptr : "", who.len, r->seed);
    hash += hash == 0;
    pthread_mutex_lock(&r->lock);
    bucket *set = r->at[hash % SETS], *b = &set[0];
    for (int i = 0; i < Q_RATE_WAYS; i++) {
        if (set[i].who == hash) {
            b = &set[i];
            break;
        }
        if (set[i].seen_us < b->seen_us)
            b = &set[i];
    }
    if (b->who != hash)
        *b = (bucket){ .who = hash, .seen_us = now_us, .tokens = r->burst };
    if (now_us > b->seen_us) {
        b->tokens += (double)(now_us - b->seen_us) * r->per_us;
        b->seen_us = now_us;
    }
    if (b->tokens > r->burst)
        b->tokens = r->burst;
    bool ok = b->tokens >= 1;
    if (ok)
        b->tokens -= 1;
    pthread_mutex_unlock(&r->lock);
    return ok;
}
