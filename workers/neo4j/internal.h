/* internal.h - what the files of this folder share. Nothing of libcurl or jansson leaves the folder. */
#ifndef Q_WORKERS_NEO4J_INTERNAL_H
#define Q_WORKERS_NEO4J_INTERNAL_H

#include "workers/engine.h"
#include "workers/rules.h"

#include <curl/curl.h>
#include <jansson.h>
#include <yajl/yajl_gen.h>

enum {
    NJ_LABEL_BYTES = 2 * Q_MAX_NAME_BYTES + 3, /* bucket__record and NUL */
    NJ_MAX_REQUEST = 256 << 20,
    NJ_MAX_ANSWER = 8 * Q_READ_MAX_BYTES,      /* JSON escapes a byte into six at most */
    NJ_MAX_DEFINITIONS = 1000,                 /* remembered by a session */
};

/* What a record of one incarnation is made of; a relation's target never changes within it (ALTER only adds). */
typedef struct nj_relation { char name[Q_MAX_NAME_BYTES + 1], target[Q_MAX_NAME_BYTES + 1]; } nj_relation;
typedef struct nj_known { q_named bucket, record; } nj_known;
typedef struct nj_definition {
    char bucket[Q_MAX_NAME_BYTES + 1], record[Q_MAX_NAME_BYTES + 1];
    nj_known known; /* when it was asked for */
    uint32_t count;
    nj_relation relations[Q_MAX_ATTRIBUTES];
} nj_definition;

struct q_engine {
    CURL *curl; /* one connection, kept */
    struct curl_slist *headers;
    char *url;
    uint64_t cluster;
    bool warm; /* its statements were planned once */
    q_buf answer;
    nj_definition *definitions[NJ_MAX_DEFINITIONS];
    size_t definition_count;
};

/* ---- http.c: statements in, rows out; a request is one transaction ---- */

typedef struct nj_request { /* stays where it was made */
    q_buf body;
    yajl_gen gen; /* within a statement: writes keys and values of its parameters */
    uint32_t count;
} nj_request;

Q_CHECK bool nj_request_init(nj_request *r);
void nj_request_free(nj_request *r);
void nj_statement(nj_request *r, q_slice cypher);
void nj_statement_end(nj_request *r);
void nj_key(nj_request *r, const char *key);
void nj_put_text(nj_request *r, const char *key, q_slice text);
void nj_put_number(nj_request *r, const char *key, uint64_t n);
/* The first statement of every write: takes the state node's lock, so that one writes at a time, and ends the transaction when a higher
 * epoch is remembered. Raises the marks too; 0 leaves them. */
void nj_put_guard(nj_request *r, uint64_t epoch, uint64_t high, uint64_t below);
/* Runs all or none. `results` is the caller's; Q_RETRY or Q_FAIL. RESULT_TOO_LARGE when the answer is. `r` is empty and usable again. */
Q_CHECK q_rc nj_run(q_engine *e, nj_request *r, json_t **results, q_err *err);
/* The same when the rows don't matter. */
Q_CHECK q_rc nj_do(q_engine *e, nj_request *r, q_err *err);
size_t nj_row_count(const json_t *results, size_t statement);
const json_t *nj_cell(const json_t *results, size_t statement, size_t row, size_t column); /* NULL when it isn't there */
uint64_t nj_number(const json_t *cell); /* 0 when it is none */

/* ---- values.c ---- */

/* An id as a JSON value: an integer, or a string (a uuid's is its text). */
void nj_put_id(nj_request *r, const q_value *id);
/* And back: `uuid` tells whether the node's id is one. */
Q_CHECK q_rc nj_id(q_arena *arena, const json_t *cell, bool uuid, q_value *out, q_err *err);
/* `[[index, id, uuid], …]` in any order as a relation. */
Q_CHECK q_rc nj_relation_of(q_arena *arena, const json_t *cell, q_value *out, q_err *err);
void nj_label(char out[NJ_LABEL_BYTES], q_slice bucket, q_slice record);

/* ---- names.c ---- */

/* What is known of a record; `served` tells whether it is of this incarnation and has the relation `attr` (empty: any). It is asked for when
 * what the session remembers doesn't serve. Lives until the next call. */
Q_CHECK q_rc nj_define(q_engine *e, q_slice bucket, q_slice record, uint64_t incarnation, q_slice attr, const nj_definition **out, bool *served,
                       q_err *err);
const char *nj_target(const nj_definition *d, q_slice attr); /* NULL when it isn't a relation of it */
/* Adds a statement whose rows `nj_known_of` reads. */
void nj_ask_known(nj_request *r, q_slice bucket, q_slice record);
nj_known nj_known_of(const json_t *results, size_t statement);
Q_CHECK q_rc nj_apply_ddl(q_engine *e, uint64_t epoch, const q_ddl *ddl, uint64_t incarnation, uint64_t seq, q_err *err);
Q_CHECK q_rc nj_purge(q_engine *e, uint64_t epoch, uint64_t upto, q_err *err);
void nj_forget(q_engine *e); /* every definition */

/* ---- write.c, read.c, warm.c ---- */

void nj_apply_statement(q_buf *text, const char *label, q_slice bucket, const nj_definition *d);
/* Once a session: the typical statements, without effect. */
void nj_warm_up(q_engine *e, uint64_t epoch);

Q_CHECK q_rc nj_prepare(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err);
Q_CHECK q_rc nj_commit(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err);
Q_CHECK q_rc nj_read(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err);

#endif
