/* prng.h - the one source of chance in a simulated world. Pure; single owner.
 *
 * xoshiro256** seeded by splitmix64: Blackman, Vigna, "Scrambled Linear Pseudorandom Number Generators" (2021),
 * https://prng.di.unimi.it/xoshiro256starstar.c and https://prng.di.unimi.it/splitmix64.c (public domain algorithms, written anew). */
#ifndef Q_SIM_PRNG_H
#define Q_SIM_PRNG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sim_prng { uint64_t s[4]; } sim_prng;

void sim_prng_seed(sim_prng *p, uint64_t seed);
uint64_t sim_prng_next(sim_prng *p);
/* 0 <= result < n; n is not 0. */
uint64_t sim_below(sim_prng *p, uint64_t n);
/* from <= result <= to */
int64_t sim_between(sim_prng *p, int64_t from, int64_t to);
/* True in `n` of `of` cases. */
bool sim_chance(sim_prng *p, uint32_t n, uint32_t of);
/* A delay: mostly near `typical`, now and then ten times as long. */
int64_t sim_delay_us(sim_prng *p, int64_t typical);

#endif
