/* purge.c - tombstones that nobody needs any more (B5): one goes only in an epoch that began after every transaction up to its seq had ended, once
 * every engine knows that epoch: then nothing older can arrive that it would have to hold off. Where an engine can't check the epoch with each write, the
 * fence isn't enough against a message that was held back (B8): tombstone_retention_us. And no purge of an engine in an epoch in which redo of
 * old transactions was replayed to it: that is old work under the new epoch.
 *
 * META "purge": for the last epochs, when each began (µs) and the seq below which all was over then; pairs of 64-bit numbers, oldest first. */
#include "coordinator/state.h"

#include "wal/bytes.h"

enum { LOOK_AGAIN_US = 3600 * 1000000ll };

q_rc q_core_purge_load(q_core *c, q_slice value, q_err *err)
{
    if (value.len % 16 != 0 || value.len > sizeof c->epochs)
        return q_err_set(err, Q_E_INTERNAL, "The log's META entry purge can't be read.");
    c->epoch_count = (uint32_t)(value.len / 16);
    for (uint32_t i = 0; i < c->epoch_count; i++)
        c->epochs[i] = (q_epoch_began){ (int64_t)q_get_le64(value.ptr + 16 * i), q_get_le64(value.ptr + 16 * i + 8) };
    return Q_OK;
}

/* The epoch begins. The oldest is forgotten when there are too many; of those that are old enough the last is enough. */
size_t q_core_purge_epoch(q_core *c, char out[Q_EPOCHS_BYTES])
{
    int64_t old = c->now_us - c->config.tombstone_retention_us;
    uint32_t first = 0;
    while (first + 1 < c->epoch_count && (c->epochs[first + 1].time_us <= old || c->epoch_count - first >= Q_EPOCHS))
        first++;
    if (first) {
        c->epoch_count -= first;
        memmove(c->epochs, c->epochs + first, c->epoch_count * sizeof *c->epochs);
    }
    c->epochs[c->epoch_count++] = (q_epoch_began){ c->now_us, q_core_seq_below(c) };
    for (uint32_t i = 0; i < c->epoch_count; i++) {
        q_put_le64(out + 16 * i, (uint64_t)c->epochs[i].time_us);
        q_put_le64(out + 16 * i + 8, c->epochs[i].below);
    }
    return (size_t)c->epoch_count * 16;
}

static void send_purge(q_core *c, q_engine_id e, uint64_t below)
{
    q_msg m = { .kind = Q_M_PURGE, .cluster = c->config.cluster, .epoch = c->epoch, .engine = e, .batch = ++c->next_batch, .below = below };
    q_buf *out = q_effects_buf(c->fx, Q_WIRE_MAX_BYTES);
    q_msg_encode(&m, out);
    if (out->failed) {
        q_effects_fail(c->fx);
        return;
    }
    q_effect *fx = q_effects_add(c->fx, Q_FX_SEND);
    fx->engine = e;
    fx->key = q_slice_cstr(q_engine_name(e));
    fx->bytes = q_buf_slice(out);
    c->engines[e].purged_below = below;
}

void q_core_purge_flush(q_core *c)
{
    uint64_t below = 0;
    if (!c->config.purge || c->mono_us < c->purge_at_us || c->life != Q_LIFE_SERVING)
        return;
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (c->engines[e].exists && !(c->told >> e & 1))
            return; /* not every engine knows this epoch */
    for (uint32_t i = 0; i < c->epoch_count; i++)
        if (c->epochs[i].time_us <= c->now_us - c->config.tombstone_retention_us && c->epochs[i].below > below)
            below = c->epochs[i].below;
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (c->ready >> e & 1 && !c->engines[e].replayed && c->engines[e].purged_below < below && below > 1)
            send_purge(c, e, below);
    c->purge_at_us = c->mono_us + LOOK_AGAIN_US;
}
