#include "tests/sim/prng.h"

static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

void sim_prng_seed(sim_prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        p->s[i] = z ^ z >> 31;
    }
}

uint64_t sim_prng_next(sim_prng *p)
{
    uint64_t *s = p->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* The upper half of a 64 x 64 bit product: its bias is below 2^-32 for the small numbers used here. */
uint64_t sim_below(sim_prng *p, uint64_t n) { return (uint64_t)((unsigned __int128)sim_prng_next(p) * n >> 64); }

int64_t sim_between(sim_prng *p, int64_t from, int64_t to) { return from + (int64_t)sim_below(p, (uint64_t)(to - from) + 1); }

bool sim_chance(sim_prng *p, uint32_t n, uint32_t of) { return sim_below(p, of) < n; }

int64_t sim_delay_us(sim_prng *p, int64_t typical)
{
    int64_t d = typical / 2 + (int64_t)sim_below(p, (uint64_t)typical + 1);
    return sim_chance(p, 1, 20) ? d * 10 : d;
}
