/* operation.h - one HTTP request from its statement to its answer. Pure: it asks, and is told what was answered.
 *
 * Most operations ask once. GET, PUT, PATCH and DELETE of a row may ask again when an id turns out to be a number; PUT asks for the definition,
 * updates, and inserts when there was nothing to update. One owner thread at a time; what it returns lives until q_gate_free. */
#ifndef Q_GATEWAY_OPERATION_H
#define Q_GATEWAY_OPERATION_H

#include "gateway/route.h"

enum { Q_GATE_MAX_KEY_BYTES = 120, Q_GATE_MAX_STEPS = 8 };

typedef struct q_gate_limits {
    uint32_t default_rows, max_rows; /* of GET …/rows: 100, 1000 */
} q_gate_limits;

typedef struct q_ask {
    q_slice bucket;      /* the message's key; empty for what belongs to no bucket */
    q_slice body;
    bool json;           /* content-type: application/json; otherwise QuantaQL text */
    bool read_only;      /* changes nothing: no outcome to be in doubt about. A query's text is not looked at: false */
    uint32_t step;       /* 0, 1, …: a request id of its own for each that may write */
} q_ask;

typedef enum q_gate_next { Q_GATE_ASK = 1, Q_GATE_ANSWER } q_gate_next;

typedef struct q_gate_op q_gate_op;

/* Which of a record's ids are ints: learnt from refusals, so that the second request for the same record doesn't ask twice. Any thread;
 * a wrong or forgotten answer costs one more question. */
typedef struct q_id_hints q_id_hints;
q_id_hints *q_id_hints_new(void);
void q_id_hints_free(q_id_hints *h);

/* `request` and `arena` live as long as the operation. NULL when out of memory. */
q_gate_op *q_gate_new(q_arena *arena, const q_gate_limits *limits, q_id_hints *hints, const q_http_request *request, const q_match *match);
void q_gate_free(q_gate_op *op); /* accepts NULL */

q_gate_next q_gate_start(q_gate_op *op, q_ask *ask, q_http_response *out);
/* The result of what was asked, in its parts, each NUL-terminated behind its length. */
q_gate_next q_gate_reply(q_gate_op *op, q_slice request_id, const q_slice *parts, uint32_t count, q_ask *ask, q_http_response *out);
/* It came to nothing: no answer in time (IN_DOUBT), stopping, a full queue. */
void q_gate_fail(q_gate_op *op, q_slice request_id, const q_err *err, q_http_response *out);

#endif
