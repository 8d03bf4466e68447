#include <stdlib.h>

#include "workers/embedded/store.h"

enum {
    CALL_BYTES = 1 << 30,
    REAP_BUDGET = 512,         /* keys of dropped tables that a batch removes on its way */
    PURGE_LOOK_AT = 4096,      /* parts in one step of a purge */
};

struct q_engine {
    q_env *env;
    q_engine_id id;
    uint64_t cluster;
    MDB_txn *reader;           /* reset between calls */
    q_arena *call, *txn;       /* emptied with each call, with each transaction in it */
};

static void embedded_close(q_engine *e)
{
    if (!e)
        return;
    if (e->reader)
        mdb_txn_abort(e->reader);
    q_env_close(e->env);
    q_arena_free(e->call);
    q_arena_free(e->txn);
    free(e);
}

static q_rc embedded_open(const q_engine_config *config, q_engine **out, q_err *err)
{
    *out = NULL;
    q_engine *e = calloc(1, sizeof *e);
    if (e) {
        e->id = config->id;
        e->cluster = config->cluster;
        e->call = q_arena_new(CALL_BYTES);
        e->txn = q_arena_new(CALL_BYTES);
    }
    if (!e || !e->call || !e->txn) {
        embedded_close(e);
        q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        return Q_RETRY;
    }
    q_rc rc = q_env_open(config, &e->env, err);
    if (rc == Q_OK)
        *out = e;
    else
        embedded_close(e);
    return rc;
}

/* ---- helpers of all calls ---- */

static q_rc check_epoch(const q_env_state *s, uint64_t epoch, q_err *err)
{
    if (epoch >= s->marks.epoch)
        return Q_OK;
    return q_err_set(err, Q_E_PARTICIPANT_REFUSED, "epoch %llu is over: the engine was told %llu", (unsigned long long)epoch,
                     (unsigned long long)s->marks.epoch);
}

/* What a store's answer means, when it isn't a full map. */
static q_rc store_rc(q_engine *e, q_store *s, int answer, const char *doing, q_err *err)
{
    if (answer == 0)
        return Q_OK;
    if (answer != Q_STORE_FAILED)
        return q_env_error(e->env, answer, doing, err);
    *err = s->err;
    if (s->rc == Q_FATAL)
        atomic_store(&e->env->failed, true);
    return s->rc;
}

static void forget(q_engine *e)
{
    q_arena_reset(e->call);
    q_arena_reset(e->txn);
}

/* ---- fence ---- */

static q_rc fence_once(q_engine *e, uint64_t epoch, q_engine_state *state, q_err *err)
{
    MDB_txn *txn;
    q_env_state s;
    q_rc rc = q_env_write(e->env, &txn, err);
    if (rc != Q_OK)
        return rc;
    rc = q_env_get_state(e->env, txn, &s, err);
    if (rc == Q_OK) {
        *state = s.marks;
        rc = check_epoch(&s, epoch, err);
    }
    if (rc == Q_OK && s.marks.cluster && e->cluster && s.marks.cluster != e->cluster)
        rc = q_err_set(err, Q_E_PARTICIPANT_REFUSED, "the engine belongs to cluster %llu", (unsigned long long)s.marks.cluster);
    if (rc != Q_OK || (s.marks.epoch == epoch && s.marks.cluster == e->cluster)) {
        q_env_abort(e->env, txn);
        return rc;
    }
    s.marks.epoch = epoch;
    s.marks.cluster = e->cluster;
    int answer = q_env_put_state(e->env, txn, &s);
    if (answer == 0)
        return q_env_commit(e->env, txn, err);
    if (answer == MDB_MAP_FULL)
        return q_env_full(e->env, txn, err);
    q_env_abort(e->env, txn);
    return q_env_error(e->env, answer, "remembering an epoch", err);
}

static q_rc embedded_fence(q_engine *e, uint64_t epoch, q_engine_state *state, q_err *err)
{
    q_rc rc;
    *state = (q_engine_state){ 0 };
    do
        rc = fence_once(e, epoch, state, err);
    while (rc == Q_END);
    return rc;
}

/* ---- prepare: looks, writes nothing. The redo in the log is the prepared state (B3) ---- */

static q_rc embedded_prepare(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err)
{
    q_env_state state;
    q_store s;
    int answer = 0;
    q_rc rc = q_env_read(e->env, &e->reader, err);
    if (rc != Q_OK)
        return rc;
    q_store_begin(&s, e->env, e->reader, e->id, e->call, e->txn);
    rc = q_env_get_state(e->env, e->reader, &state, err);
    if (rc == Q_OK)
        rc = check_epoch(&state, epoch, err);
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        q_writes w;
        q_err bad = Q_ERR_INIT;
        q_arena_reset(e->txn);
        if (q_writes_decode(e->txn, txns[i].writes, &w, &bad) != Q_OK) {
            q_no no = bad.code == Q_E_LIMIT_MEMORY ? Q_NO_ENGINE_DOWN : Q_NO_REFUSED;
            votes[i] = (q_vote){ .seq = txns[i].seq, .no = no, .text = q_arena_copy(arena, q_slice_cstr(bad.message)) };
            continue;
        }
        answer = q_store_vote(&s, arena, &w, txns[i].seq, &votes[i]);
        rc = store_rc(e, &s, answer, "voting", err);
    }
    q_store_end(&s);
    q_env_read_end(e->env, e->reader);
    forget(e);
    return rc;
}

/* ---- commit: one write transaction, one sync for all ---- */

static q_rc apply_all(q_engine *e, q_store *s, const q_txn_work *txns, size_t n, q_env_state *state, int *answer, q_err *err)
{
    for (size_t i = 0; i < n; i++) {
        q_writes w;
        q_arena_reset(e->txn);
        q_rc rc = q_writes_decode(e->txn, txns[i].writes, &w, err);
        if (rc != Q_OK)
            return rc;
        *answer = q_store_apply(s, &w, txns[i].seq);
        if (*answer == MDB_MAP_FULL)
            return Q_END;
        rc = store_rc(e, s, *answer, "applying", err);
        if (rc != Q_OK)
            return rc;
        if (txns[i].seq > state->marks.applied_high)
            state->marks.applied_high = txns[i].seq;
    }
    return Q_OK;
}

static q_rc commit_once(q_engine *e, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err)
{
    MDB_txn *txn;
    q_env_state state, before;
    q_store s;
    int answer = 0;
    q_rc rc = q_env_write(e->env, &txn, err);
    if (rc != Q_OK)
        return rc;
    q_store_begin(&s, e->env, txn, e->id, e->call, e->txn);
    rc = q_env_get_state(e->env, txn, &state, err);
    if (rc == Q_OK)
        rc = check_epoch(&state, epoch, err);
    if (rc == Q_OK) {
        before = state;
        s.next_table = state.next_table;
        if (below > state.marks.applied_below)
            state.marks.applied_below = below;
        rc = apply_all(e, &s, txns, n, &state, &answer, err);
    }
    if (rc == Q_OK) {
        state.next_table = s.next_table;
        bool same = !s.changed && memcmp(&before.marks, &state.marks, sizeof before.marks) == 0;
        if (!same) {
            answer = q_names_reap(e->env, txn, REAP_BUDGET);
            if (answer == 0)
                answer = q_env_put_state(e->env, txn, &state);
            rc = answer == MDB_MAP_FULL ? Q_END : store_rc(e, &s, answer, "writing its marks", err);
        }
        if (rc == Q_OK && same) { /* all of it was durable before */
            q_store_end(&s);
            q_env_abort(e->env, txn);
            return Q_OK;
        }
    }
    q_store_end(&s);
    if (rc == Q_OK)
        return q_env_commit(e->env, txn, err);
    if (rc == Q_END)
        return q_env_full(e->env, txn, err);
    q_env_abort(e->env, txn);
    return rc;
}

static q_rc embedded_commit(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err)
{
    q_rc rc;
    (void)arena;
    do {
        forget(e);
        rc = commit_once(e, epoch, below, txns, n, err);
    } while (rc == Q_END);
    forget(e);
    return rc;
}

static q_rc embedded_rollback(q_engine *e, uint64_t epoch, const uint64_t *seqs, size_t n, q_err *err)
{
    (void)e, (void)epoch, (void)seqs, (void)n, (void)err;
    return Q_OK;
}

static q_rc embedded_list_prepared(q_engine *e, q_arena *arena, uint64_t **epochs, uint64_t **seqs, size_t *n, q_err *err)
{
    (void)e, (void)arena, (void)err;
    *epochs = *seqs = NULL;
    *n = 0;
    return Q_OK;
}

static q_rc embedded_read(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err)
{
    q_store s;
    q_rc rc = q_env_read(e->env, &e->reader, err);
    if (rc != Q_OK)
        return rc;
    q_store_begin(&s, e->env, e->reader, e->id, e->call, e->txn);
    rc = store_rc(e, &s, q_store_read(&s, arena, read, out), "reading", err);
    q_store_end(&s);
    q_env_read_end(e->env, e->reader);
    forget(e);
    return rc;
}

/* ---- purge ---- */

static q_rc purge_once(q_engine *e, uint64_t epoch, uint64_t upto, const q_slice *keys, uint32_t count, q_err *err)
{
    MDB_txn *txn;
    q_env_state state;
    q_store s;
    int answer = 0;
    q_rc rc = q_env_write(e->env, &txn, err);
    if (rc != Q_OK)
        return rc;
    q_store_begin(&s, e->env, txn, e->id, e->call, e->txn);
    rc = q_env_get_state(e->env, txn, &state, err);
    if (rc == Q_OK)
        rc = check_epoch(&state, epoch, err);
    if (rc == Q_OK) {
        answer = q_store_purge(&s, upto, keys, count);
        if (answer == 0)
            answer = q_names_reap(e->env, txn, PURGE_LOOK_AT);
        rc = answer == MDB_MAP_FULL ? Q_END : store_rc(e, &s, answer, "removing tombstones", err);
    }
    q_store_end(&s);
    if (rc == Q_OK)
        return q_env_commit(e->env, txn, err);
    if (rc == Q_END)
        return q_env_full(e->env, txn, err);
    q_env_abort(e->env, txn);
    return rc;
}

static q_rc embedded_purge(q_engine *e, uint64_t epoch, uint64_t upto, q_err *err)
{
    q_slice *keys = malloc(sizeof *keys * PURGE_LOOK_AT), last = Q_SLICE_NONE;
    char from[Q_KEY_MAX_BYTES];
    uint32_t count;
    q_rc rc = Q_OK;
    if (!keys) {
        q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        return Q_RETRY;
    }
    do {
        q_store s;
        forget(e);
        rc = q_env_read(e->env, &e->reader, err);
        if (rc != Q_OK)
            break;
        q_store_begin(&s, e->env, e->reader, e->id, e->call, e->txn);
        q_slice after = q_slice_of(from, last.len);
        rc = store_rc(e, &s, q_store_tombstones(&s, e->call, upto, after, PURGE_LOOK_AT, keys, &count, &last), "looking for tombstones",
                      err);
        q_store_end(&s);
        q_env_read_end(e->env, e->reader);
        if (last.len)
            memcpy(from, last.ptr, last.len);
        if (rc == Q_OK)
            do
                rc = purge_once(e, epoch, upto, keys, count, err);
            while (rc == Q_END);
    } while (rc == Q_OK && last.len);
    forget(e);
    free(keys);
    return rc;
}

const q_engine_ops q_engine_embedded = {
    .name = "embedded",
    .durable_prepare = false,
    .open = embedded_open,
    .close = embedded_close,
    .fence = embedded_fence,
    .prepare = embedded_prepare,
    .commit = embedded_commit,
    .rollback = embedded_rollback,
    .list_prepared = embedded_list_prepared,
    .read = embedded_read,
    .purge = embedded_purge,
};
