/* rate.h - how many requests somebody may send: a token bucket each, for whoever shows a key or token, or an address.
 *
 * Bounded: Q_RATE_BUCKETS of them in sets of Q_RATE_WAYS; in a full set the one that was longest unused gives way, and begins full again. So a
 * crowd of others can make a limit milder, never harder. Keys are hashed (with a secret of the process: nobody can aim at another's set) and not kept. Any thread. */
#ifndef Q_CMD_RATE_H
#define Q_CMD_RATE_H

#include "base/slice.h"

enum { Q_RATE_WAYS = 8, Q_RATE_BUCKETS = 1 << 15 };

typedef struct q_rate q_rate;

/* `per_s` > 0; `burst` 0: what comes in two seconds. NULL when out of memory. */
q_rate *q_rate_new(int64_t per_s, int64_t burst);
void q_rate_free(q_rate *r); /* accepts NULL */
/* One request of `who` at `now_us` (monotonic). false: too many. */
bool q_rate_take(q_rate *r, q_slice who, int64_t now_us);

#endif
