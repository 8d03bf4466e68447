#include "cmd/host/measured.h"

#include "cmd/host/coordinator_host.h"
#include "cmd/host/metrics.h"

#include <stdio.h>
#include <stdlib.h>

struct q_engine { const q_engine_ops *inner; q_engine *session; q_measured *m; }; /* what an adapter calls q_engine is its own */

static struct { q_engine_ops ops; const q_engine_ops *inner; q_measured m; } all[Q_EN_COUNT];

q_measured *q_measured_of(q_engine_id id) { return &all[id].m; }

const char *q_measured_name(q_measured_call call)
{
    static const char *const names[Q_MC_COUNT] = { "open", "fence", "prepare", "commit", "rollback", "sweep", "read", "purge" };
    return names[call];
}

void q_measured_phases(uint32_t engines, q_buf *out)
{
    char labels[120];
    for (int e = 0; e < Q_EN_COUNT; e++)
        for (int c = 0; engines >> e & 1 && c < Q_MC_COUNT; c++) {
            snprintf(labels, sizeof labels, "phase=\"%s\",engine=\"%s\"", q_measured_name((q_measured_call)c), q_engine_name((q_engine_id)e));
            q_metric_histogram(out, Q_MT_PHASE, labels, &all[e].m.times[c]);
        }
}

static int64_t begin(q_measured *m)
{
    atomic_fetch_add(&m->under_way, 1);
    return q_mono_us();
}

static q_rc end(q_measured *m, q_measured_call call, int64_t began, q_rc rc)
{
    q_histogram_add(&m->times[call], q_mono_us() - began);
    if (rc != Q_OK)
        atomic_fetch_add(&m->failed, 1);
    atomic_fetch_sub(&m->under_way, 1);
    return rc;
}

static q_rc m_open(const q_engine_config *config, q_engine **out, q_err *err)
{
    q_engine *e = calloc(1, sizeof *e);
    if (!e) {
        q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        return Q_RETRY;
    }
    e->inner = all[config->id].inner;
    e->m = &all[config->id].m;
    int64_t t = begin(e->m);
    q_rc rc = end(e->m, Q_MC_OPEN, t, e->inner->open(config, &e->session, err));
    if (rc == Q_OK)
        *out = e;
    else
        free(e);
    return rc;
}

static void m_close(q_engine *e)
{
    if (!e)
        return;
    e->inner->close(e->session);
    free(e);
}

static q_rc m_fence(q_engine *e, uint64_t epoch, q_engine_state *state, q_err *err)
{
    int64_t t = begin(e->m);
    return end(e->m, Q_MC_FENCE, t, e->inner->fence(e->session, epoch, state, err));
}

static q_rc m_prepare(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err)
{
    int64_t t = begin(e->m);
    return end(e->m, Q_MC_PREPARE, t, e->inner->prepare(e->session, arena, epoch, txns, n, votes, err));
}

static q_rc m_commit(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err)
{
    int64_t t = begin(e->m);
    return end(e->m, Q_MC_COMMIT, t, e->inner->commit(e->session, arena, epoch, below, txns, n, err));
}

static q_rc m_rollback(q_engine *e, uint64_t epoch, const uint64_t *seqs, size_t n, q_err *err)
{
    int64_t t = begin(e->m);
    return end(e->m, Q_MC_ROLLBACK, t, e->inner->rollback(e->session, epoch, seqs, n, err));
}

static q_rc m_list_prepared(q_engine *e, q_arena *arena, uint64_t **epochs, uint64_t **seqs, size_t *n, q_err *err)
{
    int64_t t = begin(e->m);
    return end(e->m, Q_MC_SWEEP, t, e->inner->list_prepared(e->session, arena, epochs, seqs, n, err));
}

static q_rc m_read(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err)
{
    int64_t t = begin(e->m);
    return end(e->m, Q_MC_READ, t, e->inner->read(e->session, arena, read, out, err));
}

static q_rc m_purge(q_engine *e, uint64_t epoch, uint64_t upto, q_err *err)
{
    int64_t t = begin(e->m);
    return end(e->m, Q_MC_PURGE, t, e->inner->purge(e->session, epoch, upto, err));
}

const q_engine_ops *q_measured_ops(q_engine_id id, const q_engine_ops *inner)
{
    all[id].inner = inner;
    all[id].ops = (q_engine_ops){ .name = inner->name, .durable_prepare = inner->durable_prepare, .open = m_open, .close = m_close, .fence = m_fence,
                                  .prepare = m_prepare, .commit = m_commit, .rollback = m_rollback, .list_prepared = m_list_prepared,
                                  .read = m_read, .purge = m_purge };
    return &all[id].ops;
}
