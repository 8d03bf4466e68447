/* history.h - what the world outside has seen: requests produced, replies and change events published, decisions durable. Checkers read it.
 *
 * Some things are wrong at the moment at which they happen, whatever comes later; those are said at once (history.c): an outcome told that
 * isn't durable, a second decision for a request, a write of what isn't committed. The rest is checked at the end: check.h. */
#ifndef Q_SIM_HISTORY_H
#define Q_SIM_HISTORY_H

#include "tests/sim/sim.h"
#include "tests/sim/txn.h"
#include "wal/record.h"

enum { SIM_PARTITIONS = 3, SIM_VARIANTS = 2 };

typedef struct sim_identity sim_identity;

typedef struct sim_message { /* of quanta.requests */
    int32_t partition;
    int64_t offset;
    sim_identity *identity;
    uint32_t variant;
    int64_t produced_us;
    q_slice value, request_id, timeout; /* request_id empty: the coordinator takes topic-partition-offset */
    q_slice principal, reply_to;        /* scenarios: headers `authorization` and `reply-to` */
} sim_message;

typedef enum sim_status { ST_NONE = 0, ST_COMMITTED, ST_ROLLED_BACK, ST_ABORTED, ST_REJECTED } sim_status;

typedef struct sim_reply {   /* one distinct content */
    struct sim_reply *next;
    int64_t first_us, last_us;
    uint32_t count;
    q_slice bytes;
    sim_status status;
    uint64_t seq;
    q_slice code;            /* of the error, or empty */
    bool retryable;
    q_slice answers;         /* canonical: model.c */
} sim_reply;

typedef struct sim_decision {
    uint64_t lsn, seq, epoch;
    bool committed, ended;   /* ended: an END of it is durable */
    uint32_t participants, event_count;
    q_slice principal;
    int64_t durable_us;
    q_slice reply;
    sim_identity *identity;
    const sim_message *message; /* that was executed */
} sim_decision;

struct sim_identity {        /* a request id */
    uint32_t number;
    int bucket;
    q_slice request_id;
    uint32_t variant_count;  /* bodies that were sent under it */
    sim_txn variants[SIM_VARIANTS];
    uint32_t message_count;
    int64_t first_produced_us;
    sim_reply *replies;
    sim_decision *decision;
    void *owner;             /* of the client that waits for it */
    int64_t answered_us;     /* its first reply other than a rejection for reuse was published; 0: none yet */
};

typedef struct sim_event {   /* of quanta.changes.<bucket>, in the topic's order */
    int bucket;
    q_slice key, value;
    int64_t at_us;
} sim_event;

typedef struct sim_list { void **at; uint32_t count, cap; } sim_list;

typedef struct history {
    sim *s;
    sim_list partitions[SIM_PARTITIONS]; /* of sim_message */
    sim_list identities, decisions, events;
    uint32_t seq_slots;                  /* open addressing, a power of two: seq -> decision */
    sim_decision **by_seq;
    bool tolerant;                       /* a scenario that restores an old log, or uses one id for two principals: ids are decided twice */
} history;

void history_init(history *h, sim *s);
void sim_list_add(q_arena *arena, sim_list *l, void *p);

sim_identity *history_new_identity(history *h, int bucket);
/* Appends to the topic. `own_id` false: without a request-id header (then the identity gets its name from the place). */
sim_message *history_produce(history *h, sim_identity *id, uint32_t variant, int32_t partition, bool own_id);

/* Called by mem_disk: every record that became durable. */
void history_durable(void *ctx, uint64_t lsn, q_slice bytes);
/* A reply was appended to its topic. */
void history_reply(history *h, q_slice topic, q_slice request_id, q_slice bytes);
void history_event(history *h, q_slice topic, q_slice key, q_slice value);
/* A committed decision of this seq is durable? NULL when none is. */
sim_decision *history_decision(const history *h, uint64_t seq);
/* Every committed transaction with a lower seq has ended, as far as the log says. */
uint64_t history_ended_below(const history *h);
sim_identity *history_find(const history *h, q_slice request_id);

#endif
