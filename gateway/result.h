/* result.h - reading the coordinator's results (A3), and giving them another shape. Pure.
 *
 * Results are read with yajl, which keeps numbers as they are written: what an engine holds comes out with no digit more or less. */
#ifndef Q_GATEWAY_RESULT_H
#define Q_GATEWAY_RESULT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#include <yajl/yajl_tree.h>

enum { Q_RESULT_MAX_DEPTH = 64, Q_RESULT_MAX_PARTS = 64, Q_RESULT_MAX_BYTES = 64 << 20 };

typedef struct q_result_head {
    char status[16];         /* "committed" …; "" in a part that isn't the last */
    char txid[64];           /* "" when null */
    uint64_t seq;            /* 0 when null */
    uint32_t part;           /* 0: the only message */
    bool last;               /* no part follows */
    q_err error;             /* when the status isn't committed or rolled_back; code and place as the message says them */
} q_result_head;

/* Reads no further than it must: the rows of a committed result are not looked at. `message` is one Kafka message. false: it isn't a result. */
bool q_result_read_head(q_slice message, q_result_head *out);

static inline bool q_result_done(const q_result_head *h) { return !strcmp(h->status, "committed") || !strcmp(h->status, "rolled_back"); }

/* ---- the whole of it. `parts` are NUL-terminated behind their length (q_arena_copy makes them so) ---- */
typedef struct q_result_set {
    uint32_t count;
    yajl_val roots[Q_RESULT_MAX_PARTS];
} q_result_set;

/* false: not JSON, or no results in it; then there is nothing to free. */
bool q_result_parse(const q_slice *parts, uint32_t count, q_result_set *out);
void q_result_free(q_result_set *s);

/* Rows of the statement with this number, over all parts, in order. NULL at the end. `cursor` begins as {0}. `columns` are that entry's. */
typedef struct q_row_cursor { uint32_t part; size_t entry, row; } q_row_cursor;
yajl_val q_result_next_row(const q_result_set *s, int64_t statement, q_row_cursor *cursor, yajl_val *columns);
/* count of the statement's entry; -1 when it has none. */
int64_t q_result_count(const q_result_set *s, int64_t statement);
/* Which column is called that; -1 when none. */
int q_result_column(yajl_val columns, const char *name);

/* JSON of a value as it was written; false past Q_RESULT_MAX_DEPTH. */
bool q_result_write(yajl_val v, q_buf *out);
/* {"id":…,…}: a row with its columns' names; the column `without` (an index, or -1) is left out. */
bool q_result_write_row(yajl_val columns, yajl_val row, int without, q_buf *out);
/* One result as if it had come in one message. */
bool q_result_merge(const q_result_set *s, q_buf *out);
/* Lines: {"statement":…,"columns":…}, its rows, … and in the end {"status":…,"txid":…,"seq":…}. */
bool q_result_lines(const q_result_set *s, q_buf *out);

void q_json_add_string(q_buf *out, q_slice s); /* with its quotation marks */

#endif
