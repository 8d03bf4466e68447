/* watch.h - what a coordinator process measures of its messages: how long each kind takes to be answered, per engine; how many leave, or
 * are lost. Nothing is decided by it. Any thread.
 *
 * A sample: of each kind and engine one transaction (or read) is followed at a time, so that what isn't followed costs next to nothing. */
#ifndef Q_CMD_WATCH_H
#define Q_CMD_WATCH_H

#include "base/arena.h"
#include "base/metrics.h"
#include "bus/kafka.h"
#include "schemas/wire/wire.h"

#include <pthread.h>

typedef enum q_watch_phase { Q_WP_PREPARE = 0, Q_WP_COMMIT, Q_WP_READ, Q_WP_COUNT } q_watch_phase;

typedef struct q_watch_probe {
    _Atomic bool open;      /* number and sent_us are under the lock */
    uint64_t number;        /* seq, or a read's id */
    int64_t sent_us;
} q_watch_probe;

typedef struct q_watch {
    pthread_mutex_t lock;
    q_arena *arena;         /* of what is decoded; under the lock */
    q_watch_probe probes[Q_WP_COUNT][Q_EN_COUNT];
    q_histogram times[Q_WP_COUNT][Q_EN_COUNT];
    _Atomic uint64_t sent[Q_EN_COUNT], lost;
} q_watch;

void q_watch_init(q_watch *w);
void q_watch_free(q_watch *w);
/* A message of work or reads leaves. */
void q_watch_sending(q_watch *w, q_engine_id engine, q_slice bytes, int64_t mono_us);
void q_watch_lost(q_watch *w);
/* A message of votes has come. */
void q_watch_answer(q_watch *w, q_slice bytes, int64_t mono_us);
/* The samples of quanta_phase_seconds, without its head, and what else it counts. */
void q_watch_phases(q_watch *w, uint32_t engines, q_buf *out);
void q_watch_counts(q_watch *w, uint32_t engines, q_buf *out);

/* Lag and partitions of sources; one that is NULL is left out. */
typedef struct q_watch_source { const char *topic; q_source *source; } q_watch_source;
void q_watch_sources(const q_watch_source *sources, size_t n, q_buf *out);

#endif
