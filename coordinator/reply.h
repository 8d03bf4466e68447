/* reply.h - the result message of A3, byte for byte. Pure.
 *
 * The frame is constant JSON; texts that need it are escaped by yajl_gen, whose handle is made once and used for every answer; statements'
 * results come as JSON already and are put in as they are. An answer in msgpack is the JSON one, translated. */
#ifndef Q_COORDINATOR_REPLY_H
#define Q_COORDINATOR_REPLY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

typedef struct q_replies q_replies; /* the writer; one owner */

q_replies *q_replies_new(void); /* NULL when out of memory */
void q_replies_free(q_replies *r); /* accepts NULL */

typedef struct q_timings { int64_t parse_ns, lock_ns, read_ns, prepare_ns, persist_ns, total_ns; } q_timings;

typedef struct q_reply {
    q_slice request_id, txid, bucket; /* printable, or valid UTF-8 */
    uint64_t seq;                     /* 0: none; then "seq" is null */
    const char *status;               /* "committed" "rolled_back" "aborted" "rejected" */
    uint32_t part;                    /* from 1; 0: the answer is one message */
    bool more;                        /* further parts follow: this one has no status yet */
    uint32_t result_count;
    const q_slice *results;           /* each a JSON object */
    const q_err *error;               /* NULL: none */
    q_timings timings;
} q_reply;

/* Appends the answer to `out`; false when it doesn't fit or memory is out. */
Q_CHECK bool q_reply_write(q_replies *r, const q_reply *reply, bool msgpack, q_buf *out);

/* Appends `text`, which is valid UTF-8, as a JSON string. */
void q_reply_text(q_replies *r, q_slice text, q_buf *out);
/* Decimal digits; returns how many. (snprintf would be most of what an answer costs.) */
size_t q_reply_digits(uint64_t n, char out[24]);

#endif
