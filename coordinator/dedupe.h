/* dedupe.h - which request ids were seen, and what became of them (B7). Pure; one owner thread.
 *
 * A request's identity is the hash of (log incarnation, principal, bucket, request id), its body's hash tells a retry from another request
 * under a used id. Requests in flight stand beside those that are done; a done one names the log record that holds its reply.
 * The done ones are a queue in the order of their records. The oldest go when memory, time or the log they pin in the log passes its
 * bound, but never one that the topic may still deliver again, because its request would run twice. Rebuilt from the log. */
#ifndef Q_COORDINATOR_DEDUPE_H
#define Q_COORDINATOR_DEDUPE_H

#include "base/error.h"

typedef struct q_dedupe q_dedupe;

/* BLAKE2b, as libsodium's crypto_generichash: a client must not be able to make two requests that look alike. */
void q_dedupe_identity(const uint8_t incarnation[16], q_slice principal, q_slice bucket, q_slice request_id, uint8_t out[16]);

typedef struct q_dedupe_config {
    uint64_t max_bytes;      /* of memory */
    int64_t window_us;
    uint64_t max_log_bytes;  /* of records that are kept for their replies; 0: no bound */
    uint32_t max_in_flight;  /* to size the table; more is possible */
} q_dedupe_config;

typedef struct q_dedupe_done {
    uint8_t identity[16], body[16];
    uint64_t lsn;
    int64_t time_us;         /* of the transaction */
    int32_t partition;       /* where the request came from */
    int64_t offset;
    uint32_t log_bytes;      /* of its record */
} q_dedupe_done;

q_dedupe *q_dedupe_new(const q_dedupe_config *config); /* NULL when out of memory */
void q_dedupe_free(q_dedupe *d); /* accepts NULL */

typedef enum q_seen {
    Q_SEEN_NEVER = 0,
    Q_SEEN_IN_FLIGHT,        /* *owner is what began it */
    Q_SEEN_DONE,             /* *lsn has its reply */
    Q_SEEN_OTHER_BODY        /* the id was used for something else */
} q_seen;
q_seen q_dedupe_find(const q_dedupe *d, const uint8_t identity[16], const uint8_t body[16], void **owner, uint64_t *lsn);

/* The request is in flight from now on. false: out of memory. Precondition: never seen. */
Q_CHECK bool q_dedupe_begin(q_dedupe *d, const uint8_t identity[16], const uint8_t body[16], void *owner);
/* It is no longer in flight and left nothing: its id is free again. Harmless when it isn't there. */
void q_dedupe_drop(q_dedupe *d, const uint8_t identity[16]);
/* Its outcome is durable. Records come in the order of their lsn. Takes it out of those in flight. false: out of memory. */
Q_CHECK bool q_dedupe_done_add(q_dedupe *d, const q_dedupe_done *done);

/* Drops what is past a bound. `may_return(ctx, partition, offset)`: may the topic still deliver that message? */
void q_dedupe_evict(q_dedupe *d, int64_t now_us, bool (*may_return)(const void *ctx, int32_t partition, int64_t offset), const void *ctx);
/* Still past a bound after eviction: nothing new should be let in. */
bool q_dedupe_full(const q_dedupe *d);
/* The oldest record that is kept for its reply; UINT64_MAX when there is none. */
uint64_t q_dedupe_first_lsn(const q_dedupe *d);
uint64_t q_dedupe_count(const q_dedupe *d); /* of the done ones */
uint64_t q_dedupe_bytes(const q_dedupe *d);

#endif
