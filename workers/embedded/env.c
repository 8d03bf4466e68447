#include "workers/embedded/env.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { READERS = 250, TABLES = 8, WIRE_STATE_BYTES = 48 };

static const char state_key[5] = { 's', 't', 'a', 't', 'e' };
static const uint64_t FIRST_MAP_BYTES = 16u << 20;
static const uint64_t DEFAULT_MAX_BYTES = 64ull << 30;

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static q_env *registry;

q_rc q_env_error(q_env *env, int rc, const char *doing, q_err *err)
{
    switch (rc) {
    case ENOSPC:
    case EDQUOT:
        q_err_set(err, Q_E_ENGINE_DOWN, "the disk of the embedded engine is full (%s)", doing);
        return Q_RETRY;
    case ENOMEM:
    case EAGAIN:
    case MDB_READERS_FULL:
    case MDB_TXN_FULL:
        q_err_set(err, Q_E_ENGINE_DOWN, "%s: %s", doing, mdb_strerror(rc));
        return Q_RETRY;
    default:
        /* Damage, or a write whose end isn't known: what is on the disk is found out by opening it anew, in another process. */
        if (env)
            atomic_store(&env->failed, true);
        q_err_set(err, Q_E_INTERNAL, "the embedded engine can't go on, %s: %s%s", doing, mdb_strerror(rc),
                  rc == EIO ? " (or the disk is full: LMDB says the same of a short write)" : "");
        return Q_FATAL;
    }
}

/* ---- state ---- */

static void put64(char *p, uint64_t v) { memcpy(p, &v, sizeof v); }
static uint64_t get64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

int q_env_put_state(q_env *env, MDB_txn *txn, const q_env_state *s)
{
    char bytes[WIRE_STATE_BYTES];
    put64(bytes, s->format | (uint64_t)s->engine << 32);
    put64(bytes + 8, s->marks.cluster);
    put64(bytes + 16, s->marks.epoch);
    put64(bytes + 24, s->marks.applied_high);
    put64(bytes + 32, s->marks.applied_below);
    put64(bytes + 40, s->next_table);
    MDB_val key = { sizeof state_key, (void *)(uintptr_t)state_key }, value = { sizeof bytes, bytes };
    return mdb_put(txn, env->meta, &key, &value, 0);
}

q_rc q_env_get_state(q_env *env, MDB_txn *txn, q_env_state *out, q_err *err)
{
    MDB_val key = { sizeof state_key, (void *)(uintptr_t)state_key }, value;
    int rc = mdb_get(txn, env->meta, &key, &value);
    if (rc != 0)
        return q_env_error(env, rc, "reading its state", err);
    if (value.mv_size != WIRE_STATE_BYTES) {
        q_err_set(err, Q_E_INTERNAL, "the embedded engine's state has %zu bytes instead of %d", value.mv_size, WIRE_STATE_BYTES);
        return Q_FATAL;
    }
    const char *p = value.mv_data;
    *out = (q_env_state){
        .format = (uint32_t)get64(p),
        .engine = (uint32_t)(get64(p) >> 32),
        .marks = { .cluster = get64(p + 8), .epoch = get64(p + 16), .applied_high = get64(p + 24), .applied_below = get64(p + 32) },
        .next_table = get64(p + 40),
    };
    return Q_OK;
}

/* ---- transactions ---- */

static q_rc begin(q_env *env, unsigned flags, MDB_txn **txn, q_err *err)
{
    if (atomic_load(&env->failed)) {
        q_err_set(err, Q_E_INTERNAL, "the embedded engine has failed before; start the process again");
        return Q_FATAL;
    }
    for (;;) {
        pthread_rwlock_rdlock(&env->map);
        int rc = *txn ? mdb_txn_renew(*txn) : mdb_txn_begin(env->mdb, NULL, flags, txn);
        if (rc == 0)
            return Q_OK;
        pthread_rwlock_unlock(&env->map);
        if (rc != MDB_MAP_RESIZED)
            return q_env_error(env, rc, "beginning a transaction", err);
        /* Another process has grown it. */
        pthread_rwlock_wrlock(&env->map);
        rc = mdb_env_set_mapsize(env->mdb, 0);
        pthread_rwlock_unlock(&env->map);
        if (rc != 0)
            return q_env_error(env, rc, "following a grown map", err);
    }
}

q_rc q_env_read(q_env *env, MDB_txn **txn, q_err *err) { return begin(env, MDB_RDONLY, txn, err); }

void q_env_read_end(q_env *env, MDB_txn *txn)
{
    mdb_txn_reset(txn);
    pthread_rwlock_unlock(&env->map);
}

q_rc q_env_write(q_env *env, MDB_txn **txn, q_err *err)
{
    *txn = NULL;
    return begin(env, 0, txn, err);
}

void q_env_abort(q_env *env, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    pthread_rwlock_unlock(&env->map);
}

static q_rc grow(q_env *env, q_err *err)
{
    MDB_envinfo info;
    q_rc rc = Q_END;
    size_t was;
    mdb_env_info(env->mdb, &info);
    was = info.me_mapsize;
    pthread_rwlock_wrlock(&env->map);
    mdb_env_info(env->mdb, &info);
    if (info.me_mapsize > was) {
        /* another session did it meanwhile */
    } else if (info.me_mapsize >= env->max_bytes) {
        q_err_set(err, Q_E_ENGINE_DOWN, "the embedded engine is full: %llu bytes are its bound (max_bytes)",
                  (unsigned long long)env->max_bytes);
        rc = Q_RETRY;
    } else {
        uint64_t bytes = info.me_mapsize > env->max_bytes / 2 ? env->max_bytes : info.me_mapsize * 2;
        int e = mdb_env_set_mapsize(env->mdb, bytes);
        if (e != 0)
            rc = q_env_error(env, e, "growing the map", err);
    }
    pthread_rwlock_unlock(&env->map);
    return rc;
}

q_rc q_env_full(q_env *env, MDB_txn *txn, q_err *err)
{
    q_env_abort(env, txn);
    return grow(env, err);
}

q_rc q_env_commit(q_env *env, MDB_txn *txn, q_err *err)
{
    int rc = mdb_txn_commit(txn);
    pthread_rwlock_unlock(&env->map);
    if (rc == 0)
        return Q_OK;
    return rc == MDB_MAP_FULL ? grow(env, err) : q_env_error(env, rc, "writing a batch", err);
}

/* ---- opening ---- */

static int open_tables(q_env *env, MDB_txn *txn)
{
    const struct { const char *name; unsigned flags; MDB_dbi *dbi; } tables[] = {
        { "meta", 0, &env->meta }, { "names", 0, &env->names }, { "parts", 0, &env->parts }, { "points", 0, &env->points },
        { "uniques", 0, &env->uniques }, { "referrers", MDB_DUPSORT, &env->referrers }, { "reaps", 0, &env->reaps },
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        int rc = mdb_dbi_open(txn, tables[i].name, tables[i].flags | MDB_CREATE, tables[i].dbi);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static q_rc first_use(q_env *env, const q_engine_config *config, q_err *err)
{
    MDB_txn *txn;
    q_rc rc = q_env_write(env, &txn, err);
    if (rc != Q_OK)
        return rc;
    int e = open_tables(env, txn);
    MDB_val key = { sizeof state_key, (void *)(uintptr_t)state_key }, value;
    if (e == 0 && mdb_get(txn, env->meta, &key, &value) == MDB_NOTFOUND) {
        q_env_state fresh = { .format = Q_ENV_FORMAT, .engine = (uint32_t)config->id, .next_table = 1 };
        e = q_env_put_state(env, txn, &fresh);
    }
    if (e != 0) {
        q_env_abort(env, txn);
        return q_env_error(env, e, "making its tables", err);
    }
    rc = q_env_commit(env, txn, err);
    return rc == Q_END ? q_err_set(err, Q_E_ENGINE_DOWN, "max_bytes is too small for an empty engine") : rc;
}

static void destroy(q_env *env)
{
    if (env->mdb)
        mdb_env_close(env->mdb);
    pthread_rwlock_destroy(&env->map);
    free(env);
}

static q_rc make(const q_engine_config *config, const struct stat *st, q_env **out, q_err *err)
{
    q_env *env = calloc(1, sizeof *env);
    if (!env) {
        q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        return Q_RETRY;
    }
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP); /* a resize mustn't starve */
    pthread_rwlock_init(&env->map, &attr);
    pthread_rwlockattr_destroy(&attr);
    env->device = st->st_dev;
    env->inode = st->st_ino;
    env->max_bytes = config->max_bytes ? config->max_bytes : DEFAULT_MAX_BYTES;
    int rc = mdb_env_create(&env->mdb);
    if (rc == 0)
        rc = mdb_env_set_mapsize(env->mdb, env->max_bytes < FIRST_MAP_BYTES ? env->max_bytes : FIRST_MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(env->mdb, TABLES);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(env->mdb, READERS);
    /* NOTLS: a session's read transaction belongs to the session, whichever thread uses it. */
    if (rc == 0)
        rc = mdb_env_open(env->mdb, config->uri, MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (rc != 0) {
        q_err_set(err, Q_E_ENGINE_DOWN, "%s can't be opened: %s (uri)", config->uri, mdb_strerror(rc));
        destroy(env);
        return rc == EAGAIN || rc == ENOMEM ? Q_RETRY : Q_FAIL;
    }
    int dead;
    mdb_reader_check(env->mdb, &dead); /* slots of processes that were killed */
    q_rc result = first_use(env, config, err);
    if (result != Q_OK) {
        destroy(env);
        return result == Q_FATAL ? Q_FAIL : result;
    }
    *out = env;
    return Q_OK;
}

/* Does the directory hold what the configuration means? */
static q_rc check_owner(q_env *env, const q_engine_config *config, q_err *err)
{
    MDB_txn *txn = NULL;
    q_env_state s;
    q_rc rc = q_env_read(env, &txn, err);
    if (rc != Q_OK)
        return rc;
    rc = q_env_get_state(env, txn, &s, err);
    q_env_abort(env, txn);
    if (rc != Q_OK)
        return rc == Q_FATAL ? Q_FAIL : rc;
    if (s.format != Q_ENV_FORMAT)
        return q_err_set(err, Q_E_ENGINE_DOWN, "%s has format %u; this version reads format %d (uri)", config->uri, s.format, Q_ENV_FORMAT);
    if (s.engine != (uint32_t)config->id)
        return q_err_set(err, Q_E_ENGINE_DOWN, "%s holds the data of the %s engine, not of %s (uri)", config->uri,
                         s.engine < Q_EN_COUNT ? q_engine_name((q_engine_id)s.engine) : "unknown", q_engine_name(config->id));
    if (s.marks.cluster && config->cluster && s.marks.cluster != config->cluster)
        return q_err_set(err, Q_E_ENGINE_DOWN, "%s belongs to cluster %llu, not to %llu (uri, cluster)", config->uri,
                         (unsigned long long)s.marks.cluster, (unsigned long long)config->cluster);
    return Q_OK;
}

q_rc q_env_open(const q_engine_config *config, q_env **out, q_err *err)
{
    struct stat st;
    *out = NULL;
    if (!config->uri || (mkdir(config->uri, 0700) != 0 && errno != EEXIST) || stat(config->uri, &st) != 0)
        return q_err_set(err, Q_E_ENGINE_DOWN, "the directory %s can't be used: %s (uri)", config->uri ? config->uri : "(none)",
                         config->uri ? strerror(errno) : "not set");
    pthread_mutex_lock(&registry_lock);
    q_env *env = registry;
    while (env && (env->device != st.st_dev || env->inode != st.st_ino))
        env = env->next;
    q_rc rc = Q_OK;
    if (!env) {
        rc = make(config, &st, &env, err);
        if (rc == Q_OK) {
            env->next = registry;
            registry = env;
        }
    }
    if (rc == Q_OK)
        env->sessions++;
    pthread_mutex_unlock(&registry_lock);
    if (rc != Q_OK)
        return rc;
    rc = check_owner(env, config, err);
    if (rc == Q_OK)
        *out = env;
    else
        q_env_close(env);
    return rc;
}

void q_env_close(q_env *env)
{
    if (!env)
        return;
    pthread_mutex_lock(&registry_lock);
    if (--env->sessions == 0) {
        q_env **link = &registry;
        while (*link != env)
            link = &(*link)->next;
        *link = env->next;
        destroy(env);
    }
    pthread_mutex_unlock(&registry_lock);
}
