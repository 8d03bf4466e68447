/* op_names.h - what of a request becomes text of a statement: names, checked; and ids, as parameters. */
#ifndef Q_GATEWAY_OP_NAMES_H
#define Q_GATEWAY_OP_NAMES_H

#include "gateway/op.h"

/* The id in a path is text, whatever the record's ids are. Read as text first (or as the last one of this record was), and when that
 * is a type error, as an int. */
void q_op_id_begin(q_gate_op *op);
void q_op_id_add(q_gate_op *op, q_message_draft *d);   /* as a parameter */
bool q_op_id_turn(q_gate_op *op, q_err *err);          /* refused: true when it is worth asking with the other reading */
void q_op_id_was_right(q_gate_op *op);
bool q_op_id_same(const q_gate_op *op, const json_t *id);

/* An attribute's name into the text; with `path` also "customer.address.city". UNKNOWN_ATTRIBUTE, REQUEST_MALFORMED. */
Q_CHECK q_rc q_op_attribute(q_message_draft *d, q_slice name, bool path, q_err *err);

/* {`a`: $p0, …} of an INSERT; with `path_id` the id is the path's and the body's is left out. */
Q_CHECK q_rc q_op_row_object(q_message_draft *d, const json_t *row, q_gate_op *path_id, q_err *err);
/* " AND _q_seq IN (…)" when the request has If-Match: the update itself is the comparison. REQUEST_MALFORMED. Source: RFC 9110, 13.1.1. */
Q_CHECK q_rc q_op_if_match(const q_gate_op *op, q_message_draft *d, q_err *err);
/* Does If-None-Match name this entity tag (with its quotation marks), or is it "*"? Weak comparison. */
bool q_op_none_match(const q_gate_op *op, q_slice etag);
/* Location and ETag of the row that was written. */
void q_op_locate(q_gate_op *op, const q_reply_seen *reply, q_http_response *out);

q_slice q_op_encode(q_arena *arena, q_slice text);     /* percent-encoded path segment */
void q_op_cursor_write(yajl_val id, q_buf *out);
json_t *q_op_cursor_read(q_slice text);                /* NULL: not one of ours; the caller frees it */

#endif
