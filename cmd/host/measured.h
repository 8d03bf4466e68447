/* measured.h - an engine's operations with a clock around each: how long they take, how many are under way, how many failed. */
#ifndef Q_CMD_MEASURED_H
#define Q_CMD_MEASURED_H

#include "base/metrics.h"
#include "workers/engine.h"

typedef enum q_measured_call { Q_MC_OPEN = 0, Q_MC_FENCE, Q_MC_PREPARE, Q_MC_COMMIT, Q_MC_ROLLBACK, Q_MC_SWEEP, Q_MC_READ, Q_MC_PURGE, Q_MC_COUNT } q_measured_call;

typedef struct q_measured {
    q_histogram times[Q_MC_COUNT];
    _Atomic uint64_t failed;
    _Atomic int under_way;
} q_measured;

/* Wraps the operations of engine `id`: at most one table per engine and process. Static. */
const q_engine_ops *q_measured_ops(q_engine_id id, const q_engine_ops *inner);
q_measured *q_measured_of(q_engine_id id);
/* Samples of quanta_phase_seconds, without its head, of the engines in the mask. */
void q_measured_phases(uint32_t engines, q_buf *out);
const char *q_measured_name(q_measured_call call);

#endif
