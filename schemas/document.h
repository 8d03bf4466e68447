/* document.h - documents: nested JSON as msgpack bytes. Pure.
 *
 * A document is a map or an array; what a path leads to may be a scalar, as bytes or as a q_value. Allowed are nil, bool, int64,
 * float64, str, array and map with str keys, each key once, in the order written; nothing follows the end. Bounds: Q_MAX_DOC_BYTES,
 * Q_MAX_DOC_DEPTH (a scalar has depth 0, [] has 1). Numbers of one size are equal whatever their form: 1 and 1.0.
 * Sources: https://github.com/msgpack/msgpack/blob/master/spec.md and RFC 8259. */
#ifndef Q_SCHEMAS_DOCUMENT_H
#define Q_SCHEMAS_DOCUMENT_H

#include "schemas/value.h"

struct yajl_gen_t;

typedef struct q_step { /* one component of a document path: a key, or an array index */
    bool is_index;
    q_slice key;
    int64_t index; /* from 0 */
} q_step;

enum { Q_MAX_DOC_STEPS = Q_MAX_DOC_DEPTH };

/* JSON text (any value, UTF-8) to document bytes in `arena`. Refused: duplicate keys, \u0000, numbers beyond int64 and double, what
 * exceeds the bounds. Q_E_QQL_VALUE, whose message has the line and column within `json`; Q_E_DOCUMENT_LIMIT; Q_E_LIMIT_MEMORY. */
Q_CHECK q_rc q_doc_from_json(q_arena *arena, q_slice json, q_slice *doc, q_err *err);
/* Writes the document as JSON; false when the bytes aren't a document or yajl refuses (a full buffer). */
bool q_doc_to_json(q_slice doc, struct yajl_gen_t *gen);
/* The same, compact, into `out`; on failure out->failed is set. */
void q_doc_to_json_buf(q_slice doc, q_buf *out);

/* Checks bytes from outside: Q_OK only when they are what this header's first lines allow. Q_E_QQL_VALUE or Q_E_DOCUMENT_LIMIT. */
Q_CHECK q_rc q_doc_validate(q_slice doc, q_err *err);

/* Deep equality: maps without regard to key order, numbers as numbers. Bytes that aren't a document equal nothing. */
bool q_doc_equal(q_slice a, q_slice b);

/* What stands at the path: NULL (absent or nil), BOOL, INT, FLOAT, STRING, or DOC for a map or an array. Strings borrow from `doc`, a
 * DOC lives in `arena`. `arena` may run full or the bytes be no document: then the answer is Q_FAIL (Q_E_LIMIT_MEMORY, Q_E_QQL_VALUE). */
Q_CHECK q_rc q_doc_get(q_arena *arena, q_slice doc, const q_step *steps, size_t count, q_value *out, q_err *err);

/* The document with `value` (any q_value, see q_doc_from_value; a DOC is put in as it is) at the path; NULL removes it (an array's item
 * becomes null unless it is the last, so that no other item moves). Missing maps are made; an index may name an item or the place
 * after the last one; a step into something that is neither map nor array is Q_E_QQL_VALUE. `doc` may be empty: an empty map. */
Q_CHECK q_rc q_doc_set(q_arena *arena, q_slice doc, const q_step *steps, size_t count, const q_value *value, q_slice *out, q_err *err);
/* Appends the items of `items` (DOC: an array's; or one value) to the array at the path; an absent one becomes an array. */
Q_CHECK q_rc q_doc_append(q_arena *arena, q_slice doc, const q_step *steps, size_t count, const q_value *items, q_slice *out, q_err *err);
/* Removes every item equal to one of `items` from the array at the path (`tags -= ["x"]`); absent: nothing to do. */
Q_CHECK q_rc q_doc_remove(q_arena *arena, q_slice doc, const q_step *steps, size_t count, const q_value *items, q_slice *out, q_err *err);

/* A value as document bytes: bool, int, float and string as they are; decimal, uuid, time and duration as their canonical text; bytes as
 * base64; a relation as an array of ids; NULL as nil. */
Q_CHECK q_rc q_doc_from_value(q_arena *arena, const q_value *v, q_slice *doc, q_err *err);
/* Document bytes as a value: a scalar as BOOL, INT, FLOAT, STRING or NULL, otherwise DOC. Borrows from `doc`. */
Q_CHECK q_rc q_doc_to_value(q_slice doc, q_value *out, q_err *err);

/* Builds a document from parts, for literals with computed values: keys[i] (maps) and values[i]. */
Q_CHECK q_rc q_doc_make_map(q_arena *arena, const q_slice *keys, const q_value *values, size_t count, q_slice *doc, q_err *err);
Q_CHECK q_rc q_doc_make_array(q_arena *arena, const q_value *values, size_t count, q_slice *doc, q_err *err);

/* A value in a result row: numbers, bools and null as themselves; decimal, uuid, time and duration as canonical text; bytes as base64; a
 * document as JSON; a relation as one id (or null) or, when `many`, as an array of ids. false when yajl refuses. */
bool q_value_to_json(const q_value *v, bool many, struct yajl_gen_t *gen);

#endif
