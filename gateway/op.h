/* op.h - what the files of operations share. */
#ifndef Q_GATEWAY_OP_H
#define Q_GATEWAY_OP_H

#include "gateway/message.h"
#include "gateway/operation.h"
#include "gateway/result.h"

typedef struct q_reply_seen { /* what was answered */
    q_result_head head;       /* of the last part */
    const q_slice *parts;
    uint32_t count;
    q_slice request_id;
} q_reply_seen;

struct q_gate_op {
    q_arena *arena;
    const q_gate_limits *limits;
    q_id_hints *hints;
    const q_http_request *request;
    q_match match;
    q_buf out;
    uint32_t steps;       /* asked so far */
    /* rows by id */
    bool id_is_int, id_turned, bare;
    q_err first_refusal;
    int stage;            /* op_put.c */
    q_slice columns;      /* PUT: the attributes to be set to NULL, as ", `a` = NULL" */
    uint32_t statement;   /* which statement's count or rows are the answer */
    /* rows */
    uint32_t row_limit;
    bool lines;           /* NDJSON */
    struct q_op_graphql *graphql; /* op_graphql.c */
};

/* Operations: `ask` fills it or fails; `answer` fills the response, or asks again. */
typedef struct q_gate_verbs {
    q_rc (*ask)(q_gate_op *op, q_ask *ask, q_err *err);
    /* The result is committed. Q_OK: answered. Q_WAIT: `ask` is another question. Q_FAIL: a problem. */
    q_rc (*answer)(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err);
    /* Not committed. Q_OK: answered all the same. Q_WAIT: `ask` is another question. Q_FAIL: `err` is the problem. NULL: the error as it is. */
    q_rc (*refused)(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err);
} q_gate_verbs;

extern const q_gate_verbs q_gate_buckets, q_gate_create, q_gate_bucket, q_gate_bucket_drop, q_gate_records, q_gate_record_create, q_gate_record,
    q_gate_record_drop, q_gate_query, q_gate_rows, q_gate_rows_insert, q_gate_row, q_gate_row_put, q_gate_row_patch, q_gate_row_delete,
    q_gate_graphql;

void q_op_graphql_free(struct q_op_graphql *g); /* accepts NULL */

/* The body as a JSON object (or, with `array`, also an array); the caller frees it. REQUEST_MALFORMED, MEDIA_TYPE_UNKNOWN. */
Q_CHECK q_rc q_op_body(const q_gate_op *op, bool array, json_t **out, q_err *err);
/* Finishes the draft (and frees it) into `ask`. */
Q_CHECK q_rc q_op_send(q_gate_op *op, q_message_draft *d, bool read_only, q_ask *ask, q_err *err);
Q_CHECK q_rc q_op_text(q_gate_op *op, const char *text, q_slice bucket, bool read_only, q_ask *ask, q_err *err);
/* Rows of the reply as a tree; the caller frees it. */
Q_CHECK q_rc q_op_results(const q_reply_seen *reply, q_result_set *out, q_err *err);
/* {"count":…,"seq":…,"txid":…,"request_id":…} and the ETag of what was written. */
void q_op_written(q_gate_op *op, const q_reply_seen *reply, int status, int64_t count, q_http_response *out);
void q_op_json(q_gate_op *op, int status, q_http_response *out); /* op->out is the body */
/* The statement's count; -1 when it has none. */
int64_t q_op_count(const q_reply_seen *reply, int64_t statement);

#endif
