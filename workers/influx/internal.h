/* internal.h - what the files of this folder share. Nothing of libcurl or jansson leaves the folder. */
#ifndef Q_WORKERS_INFLUX_INTERNAL_H
#define Q_WORKERS_INFLUX_INTERNAL_H

#include "workers/engine.h"
#include "workers/rules.h"

#include <curl/curl.h>
#include <jansson.h>

enum {
    IX_MAX_BODY = 8 << 20,      /* of one request; the server's max-body-size is 25 MB */
    IX_MAX_ANSWER = 256 << 20,
    IX_WRITER_BYTES = 40,
    IX_NAME_BYTES = 2 * Q_MAX_NAME_BYTES + 24, /* bucket/record/incarnation and NUL */
    IX_IDS_PER_SELECT = 64,     /* longer chains of OR take time by their square */
    IX_IDS_PER_REQUEST = 1024,
    IX_DELETES_PER_STATEMENT = 100, /* one DELETE takes as long as a hundred in one */
    IX_DELETES_PER_REQUEST = 2000,
};

struct q_engine {
    CURL *curl;                 /* one connection, kept */
    struct curl_slist *form, *lines, *json;
    char *base;                 /* scheme://host:port/path, without a slash at the end */
    char *org;                  /* v2; URL-escaped */
    uint32_t version;           /* 1 or 2 */
    const char *own;            /* the database of our own: no bucket can have this name */
    uint64_t cluster;
    uint32_t nonce;             /* of this session, see ix_writer */
    q_buf answer;
};

/* ---- http.c ---- */

/* Runs InfluxQL on the own database; one answer per statement, in order. `*results` is the caller's, and NULL when that database isn't
 * there yet. Q_RETRY or Q_FAIL. */
Q_CHECK q_rc ix_query(q_engine *e, q_slice influxql, json_t **results, q_err *err);
/* The same for statements without rows, on database `db`; one that isn't there is fine. */
Q_CHECK q_rc ix_do(q_engine *e, q_slice db, q_slice influxql, q_err *err);
/* One body of line protocol, timestamps in nanoseconds. Makes the database when it isn't there. Q_OK: durable. */
Q_CHECK q_rc ix_write(q_engine *e, q_slice db, q_slice lines, q_err *err);
Q_CHECK q_rc ix_create_database(q_engine *e, q_slice db, q_err *err);
Q_CHECK q_rc ix_drop_database(q_engine *e, q_slice db, q_err *err);
/* The rows of a statement: calls `row` for each with the columns' values in the order of the SELECT (column 0 is the time), and with the
 * measurement's name. Anything but Q_OK of it ends it and is its answer. */
typedef q_rc ix_row(void *ctx, const char *name, const json_t *values, q_err *err);
Q_CHECK q_rc ix_rows(const json_t *results, size_t statement, ix_row *row, void *ctx, q_err *err);
uint64_t ix_number(const json_t *values, size_t column); /* 0 when it is none */
q_slice ix_text(const json_t *values, size_t column);    /* borrowed from `values` */

/* ---- text.c: no value becomes InfluxQL or line protocol otherwise ---- */

/* An id as a value of the tag `id`, reversibly: % and control characters and backslashes as %XX. */
void ix_tag_text(q_buf *out, const q_value *id);
void ix_put_literal(q_buf *out, q_slice text); /* 'text' in InfluxQL; without control characters */
void ix_put_tag(q_buf *out, q_slice text);     /* in line protocol */
/* The canonical key of an id, in hex: sorts as ids do. ptr is NULL when out of memory. */
q_slice ix_key(q_arena *arena, const q_value *id);
Q_CHECK q_rc ix_id(q_arena *arena, q_slice key, q_value *out, q_err *err);
/* A regular expression that all keys beyond `key` match; some others too when it is long. */
void ix_put_beyond(q_buf *out, q_slice key);

/* ---- part.c: what is stored of a (record incarnation, id) ---- */

typedef struct ix_sample { q_slice attr; q_value value; uint64_t seq; } ix_sample;
typedef struct ix_part {
    q_stored stored;
    uint32_t count, cap;
    ix_sample *samples; /* per metric its latest */
} ix_part;

/* Brings what another writer stored into `to`: of two lives the newer, of one life the union. Any order ends with the same. */
Q_CHECK bool ix_merge(q_arena *arena, ix_part *to, const ix_part *from);
Q_CHECK bool ix_add_sample(q_arena *arena, ix_part *p, q_slice attr, const q_value *v, uint64_t seq);
const ix_sample *ix_find(const ix_part *p, q_slice attr); /* NULL: none */
void ix_put_part(q_buf *out, const ix_part *p);
Q_CHECK q_rc ix_read_part(q_arena *arena, q_slice text, ix_part *out, q_err *err);

/* ---- load.c ---- */

typedef struct ix_names { q_slice bucket, record; q_named named; } ix_names; /* record empty: the bucket's */
typedef struct ix_entry {
    q_slice bucket, record;
    uint64_t incarnation;
    q_slice key;
    const q_value *id;
    ix_part part;
    bool changed;
    struct ix_row_of *rows; /* of ix_page: who wrote it */
    uint32_t row_count;
} ix_entry;
typedef struct ix_row_of { q_slice writer; struct ix_row_of *next; } ix_row_of;

/* One item and what is known of it. */
typedef struct ix_ref {
    q_slice bucket;
    uint64_t bucket_incarnation;
    const q_item *item;
    uint64_t seq;
    size_t txn;
    uint32_t index;
    q_slice key;
    ix_names *of_bucket, *of_record;
    ix_entry *entry; /* NULL: DDL */
} ix_ref;

typedef struct ix_loaded {
    q_engine_state state;
    ix_names *names;
    ix_entry *entries;
    size_t name_count, entry_count;
} ix_loaded;

/* Looks up what all these items are about, each thing once, and the epoch: Q_FAIL when a higher one is remembered. */
Q_CHECK q_rc ix_load(q_engine *e, q_arena *arena, uint64_t epoch, ix_ref *refs, size_t n, ix_loaded *out, q_err *err);
/* The parts alone. Sorts the entries and leaves each once; `*n` are left. */
Q_CHECK q_rc ix_load_entries(q_engine *e, q_arena *arena, ix_entry *entries, size_t *n, q_err *err);
Q_CHECK q_rc ix_load_state(q_engine *e, q_engine_state *state, q_err *err);
Q_CHECK q_rc ix_check_epoch(q_engine *e, uint64_t epoch, q_err *err);
bool ix_older_life(const ix_ref *r);
/* The measurement of the parts' states. */
void ix_parts_name(char out[IX_NAME_BYTES], q_slice bucket, q_slice record, uint64_t incarnation);
/* Who writes: epoch and session. Each writer has series of its own, so that none overwrites what another wrote. */
void ix_writer(const q_engine *e, uint64_t epoch, char out[IX_WRITER_BYTES]);
uint64_t ix_writer_epoch(q_slice writer);

void ix_put_entry(q_buf *out, const ix_entry *entry, const char *writer); /* its state as a line */

/* ---- ddl.c, write.c, read.c, purge.c ---- */

Q_CHECK q_rc ix_apply_ddl(q_engine *e, q_arena *arena, uint64_t epoch, ix_ref *ref, q_err *err);
Q_CHECK q_rc ix_prepare(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err);
Q_CHECK q_rc ix_commit(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err);
Q_CHECK q_rc ix_read(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err);
Q_CHECK q_rc ix_purge(q_engine *e, uint64_t epoch, uint64_t upto, q_err *err);
/* A page of a record's states: at most `most` keys from `after` (empty: the first) on, `skip` of them left out; entries in key order,
 * tombstones too. */
Q_CHECK q_rc ix_page(q_engine *e, q_arena *arena, const char *measurement, q_slice after, size_t skip, uint32_t most, ix_entry **entries, size_t *n,
                     q_err *err);
/* Each measurement of ours whose name begins with bucket, or bucket/record; both empty: all. */
typedef q_rc ix_visit(void *ctx, q_slice bucket, q_slice record, uint64_t incarnation, q_err *err);
Q_CHECK q_rc ix_each_record(q_engine *e, q_slice bucket, q_slice record, ix_visit *visit, void *ctx, q_err *err);
Q_CHECK q_rc ix_drop_measurement(q_engine *e, q_slice db, q_slice measurement, q_err *err);

/* DELETEs of series by one or two tags, a hundred in a statement, in the order they are added. */
typedef struct ix_deletes { q_engine *e; q_slice db; char measurement[IX_NAME_BYTES]; q_buf text; uint32_t count; } ix_deletes;
void ix_delete_begin(ix_deletes *d, q_engine *e);
/* Sends what waits when the database is another, or it is much. */
Q_CHECK q_rc ix_delete_add(ix_deletes *d, q_slice db, q_slice measurement, const char *a, q_slice x, const char *b, q_slice y, q_err *err);
Q_CHECK q_rc ix_delete_end(ix_deletes *d, q_rc rc, q_err *err); /* sends the rest when `rc` is Q_OK; frees; answers the first failure */

#endif
