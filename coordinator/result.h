/* result.h - results and change events as JSON (A3), written by yajl into the transaction's arena. Pure.
 *
 * Rows are kept as JSON in chunks, each a run of whole rows, so that a large read can be cut into several messages without being
 * written again. */
#ifndef Q_COORDINATOR_RESULT_H
#define Q_COORDINATOR_RESULT_H

#include <yajl/yajl_gen.h>

#include "base/arena.h"
#include "base/error.h"

/* ---- one JSON value after the other, in memory that is used again ---- */

typedef struct q_json {
    q_arena *arena;
    yajl_gen gen;
    char *ptr;
    size_t len, cap;
    bool failed;
} q_json;

/* NULL when out of memory. There is nothing to free. */
q_json *q_json_new(q_arena *arena);
/* Begins a value; what was written before is gone. */
yajl_gen q_json_begin(q_json *j);
/* What was written since; valid until the next begin. ptr is NULL when it failed. */
q_slice q_json_end(q_json *j);
/* A copy in the arena. */
q_slice q_json_take(q_json *j);
/* Appends bytes that are JSON as they stand (a frame, a name of the catalog, what yajl wrote before), and numbers: between values of yajl,
 * not within one. Frames are the same for every write, and this is the path of every write. */
void q_json_raw(q_json *j, q_slice bytes);
#define q_json_lit(j, literal) q_json_raw((j), Q_SLICE_LIT(literal))
void q_json_uint(q_json *j, uint64_t n);
/* yajl begins another value behind what was written. */
yajl_gen q_json_value(q_json *j);
static inline void q_json_str(yajl_gen g, q_slice s) { yajl_gen_string(g, (const unsigned char *)(s.ptr ? s.ptr : ""), s.len); }
static inline void q_json_key(yajl_gen g, const char *key) { yajl_gen_string(g, (const unsigned char *)key, strlen(key)); }

/* ---- one statement's entry of "results" ---- */

typedef struct q_chunk { struct q_chunk *next; uint32_t len, cap; char bytes[]; } q_chunk;

typedef struct q_result {
    uint32_t statement;
    const char *kind;      /* NULL: it has no entry */
    bool counted;          /* "count" */
    uint64_t count;
    q_slice columns;       /* JSON array; a SELECT or SHOW has it */
    q_chunk *first, *last;
    size_t row_bytes;
} q_result;

/* Adds one row, a JSON array. False when out of memory. */
bool q_result_row(q_arena *arena, q_result *r, q_slice row);
/* The result entries of each message: parts[i] has slices, one for each statement with rows or a count in it. With `max_parts` 1, or when
 * they don't fit in max_parts messages of `max_bytes`: RESULT_TOO_LARGE. `json` is for scratch. */
typedef struct q_result_part { uint32_t count; q_slice *entries; } q_result_part;
Q_CHECK q_rc q_results_compose(q_arena *arena, q_json *json, const q_result *results, uint32_t count, size_t max_bytes, uint32_t max_parts,
                               q_result_part **parts, uint32_t *part_count, q_err *err);

#endif
