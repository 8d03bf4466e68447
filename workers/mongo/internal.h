/* internal.h - what the files of this folder share. Nothing of libmongoc leaves the folder. */
#ifndef Q_WORKERS_MONGO_INTERNAL_H
#define Q_WORKERS_MONGO_INTERNAL_H

#include "workers/engine.h"
#include "workers/rules.h"

#include <mongoc/mongoc.h>

/* The database of our own: no bucket can have this name. */
#define MG_OWN_DB "_quanta"

struct q_engine {
    mongoc_client_t *client; /* a session is used by one thread at a time, so it needs no pool */
    uint64_t cluster;
    uint32_t look_ups; /* of names, so far */
    bool many_names;   /* too many for FerretDB to read them all for three; looked at now and then */
    bool scans; /* FerretDB: every query reads the whole collection, fastest for one _id alone; and no update is a compare-and-set */
};

/* ---- values ---- */
Q_CHECK bool mg_append_id(bson_t *to, const char *key, const q_value *id);
Q_CHECK q_rc mg_id(q_arena *arena, const bson_iter_t *it, q_value *out, q_err *err);
/* A document (msgpack) under `key`; false when it can't be BSON. */
Q_CHECK bool mg_append_doc(bson_t *to, const char *key, q_slice doc);
/* What a field holds, as a DOC value. */
Q_CHECK q_rc mg_doc(q_arena *arena, const bson_iter_t *it, q_value *out, q_err *err);
/* A scalar of a predicate; false when it has no BSON form that compares alike. */
Q_CHECK bool mg_append_scalar(bson_t *to, const char *key, const q_value *v);
/* A document's key as it is stored; the common case is itself. */
bool mg_escape_key(q_slice key, q_buf *out);

/* ---- errors ---- */
/* From a driver's error. Q_RETRY or Q_FAIL. */
q_rc mg_error(const bson_error_t *e, const char *doing, q_err *err);

/* ---- parts ---- */
mongoc_collection_t *mg_collection(q_engine *e, q_slice bucket, q_slice record);
/* Each document that has one of these ids, which are distinct; in any order. `projection` may be NULL. Anything but Q_OK of `visit`
 * ends it and is its answer. */
typedef q_rc mg_visit(void *ctx, const bson_t *doc, q_err *err);
Q_CHECK q_rc mg_find_ids(q_engine *e, mongoc_collection_t *c, const q_value *const *ids, size_t n, const bson_t *projection, mg_visit *visit, void *ctx,
                         q_err *err);
/* The same by one query, whatever the server makes of it; at most 1,000 ids. */
Q_CHECK q_rc mg_find_all(mongoc_collection_t *c, const q_value *const *ids, size_t n, const bson_t *projection, mg_visit *visit, void *ctx, q_err *err);
/* Sorts by mg_id_order, leaves each id once; how many there are then. */
size_t mg_distinct(const q_value **ids, size_t n);
int mg_id_order(const void *a, const void *b); /* of const q_value * */
uint64_t mg_number(const bson_t *doc, const char *name); /* 0 when it isn't there */
q_stored mg_stored_of(const bson_t *doc);
/* What is stored of these ids, in their order; `out` has room for all. */
Q_CHECK q_rc mg_stored(q_engine *e, q_arena *arena, mongoc_collection_t *c, const q_value *const *ids, size_t n, q_stored *out, q_err *err);
/* What is remembered: the engine's state, the bucket's name and the record's (empty: only the bucket's). */
typedef struct mg_known { q_engine_state state; q_named bucket, record; } mg_known;
Q_CHECK q_rc mg_look_up(q_engine *e, q_slice bucket, q_slice record, mg_known *out, q_err *err);
Q_CHECK q_rc mg_remember(q_engine *e, q_slice bucket, q_slice record, const q_named *named, q_err *err);
/* Q_FAIL when a higher epoch is remembered: asked, or already known. */
Q_CHECK q_rc mg_refuse_lower(const q_engine_state *state, uint64_t epoch, q_err *err);
Q_CHECK q_rc mg_check_epoch(q_engine *e, uint64_t epoch, q_err *err);

Q_CHECK q_rc mg_prepare(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err);
Q_CHECK q_rc mg_commit(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err);
Q_CHECK q_rc mg_read(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err);
Q_CHECK q_rc mg_apply_ddl(q_engine *e, uint64_t epoch, const q_ddl *ddl, uint64_t incarnation, uint64_t seq, q_err *err);
Q_CHECK q_rc mg_store_marks(q_engine *e, uint64_t high, uint64_t below, q_err *err);
Q_CHECK q_rc mg_purge(q_engine *e, uint64_t epoch, uint64_t upto, q_err *err);

#endif
