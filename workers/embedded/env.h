/* env.h - one LMDB environment per directory and process, shared by all sessions on it; grown between transactions. Internal.
 *
 * LMDB must be opened once per process (a second open and close breaks its locks) and its map may be resized only while no
 * transaction is active: so a registry under a mutex, and a readers-writer lock that every transaction holds for reading. A session is
 * used by one thread at a time; the environment by any number. Source: lmdb.h, "Caveats" and mdb_env_set_mapsize. */
#ifndef Q_EMBEDDED_ENV_H
#define Q_EMBEDDED_ENV_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "workers/engine.h"

typedef struct q_env {
    struct q_env *next;
    dev_t device;
    ino_t inode;
    uint32_t sessions;
    MDB_env *mdb;
    MDB_dbi meta, names, parts, points, uniques, referrers, reaps;
    pthread_rwlock_t map;      /* read: a transaction is active; write: the map is being resized */
    uint64_t max_bytes;
    atomic_bool failed;        /* a commit ended in a way that can't be told apart: nothing more until the process ends */
} q_env;

/* What the environment remembers beside parts; one value under one key, written with each batch. */
typedef struct q_env_state {
    uint32_t format, engine;
    q_engine_state marks;
    uint64_t next_table;       /* id of the next record incarnation's keys */
} q_env_state;

enum { Q_ENV_FORMAT = 1 };

/* Q_FAIL: the directory can't be used, with the setting's name. Q_RETRY: not now. */
Q_CHECK q_rc q_env_open(const q_engine_config *config, q_env **out, q_err *err);
void q_env_close(q_env *env); /* accepts NULL */

/* Begins a transaction, for reading perhaps with a reset one's handle in *txn. Every success is followed by one end or commit or abort. */
Q_CHECK q_rc q_env_read(q_env *env, MDB_txn **txn, q_err *err);
void q_env_read_end(q_env *env, MDB_txn *txn); /* keeps the handle, reset */
Q_CHECK q_rc q_env_write(q_env *env, MDB_txn **txn, q_err *err);
void q_env_abort(q_env *env, MDB_txn *txn);
/* Durable on Q_OK. Q_END: the map was full; it is larger now, do all of it again. */
Q_CHECK q_rc q_env_commit(q_env *env, MDB_txn *txn, q_err *err);
/* After MDB_MAP_FULL inside a write transaction, which is aborted: Q_END as above, or Q_RETRY when the bound is reached. */
Q_CHECK q_rc q_env_full(q_env *env, MDB_txn *txn, q_err *err);

/* LMDB's answer as ours; `doing` for the message. MDB_MAP_FULL isn't for here. */
q_rc q_env_error(q_env *env, int rc, const char *doing, q_err *err);

Q_CHECK q_rc q_env_get_state(q_env *env, MDB_txn *txn, q_env_state *out, q_err *err);
/* 0 or LMDB's error. */
int q_env_put_state(q_env *env, MDB_txn *txn, const q_env_state *state);

#endif
