/* request.h - from a message of quanta.requests to who asks what, and where the answer goes (A3). Pure.
 *
 * Everything in a message is hostile: it is bounded and validated here, and what leaves here is. A field of a JSON or msgpack body wins over the
 * header of the same meaning, a header over the default; the bucket is the body's, else the key's, else the header's. */
#ifndef Q_COORDINATOR_REQUEST_H
#define Q_COORDINATOR_REQUEST_H

#include "coordinator/core.h"
#include "quantaql/quantaql.h"

enum {
    Q_REQUEST_MAX_ID_BYTES = 128,       /* printable ASCII */
    Q_REQUEST_MAX_BUCKET_BYTES = 255,   /* anything longer is no bucket's name */
    Q_REQUEST_MAX_TOPIC_BYTES = 249,    /* Kafka's own */
    Q_REQUEST_MAX_HEADERS = 64,         /* those behind them are not looked at */
    Q_REQUEST_MAX_PARAMS = Q_QL_MAX_PARAMS,
    Q_REQUEST_MAX_TRACE_BYTES = 128,
    Q_REQUEST_ENVELOPE_BYTES = 64 * 1024, /* what max_request_bytes allows beside a statement of Q_QL_MAX_BYTES */
};

typedef struct q_request_rules {
    q_slice prefix;                     /* "quanta" */
    q_slice topic;                      /* "quanta.requests" */
    q_slice results;                    /* "quanta.results": where answers go when the request names no topic */
    const char *const *reply_allow;     /* patterns with a trailing '*', NULL-terminated; NULL: <prefix>.results* and <prefix>.reply.* */
    uint32_t max_bytes;
    uint32_t default_timeout_ms, max_timeout_ms;
    q_authenticate authenticate;        /* NULL: everybody is "anonymous" and may do everything */
    void *auth_ctx;
    const q_catalog *catalog;           /* for it; borrowed for the call */
    int64_t now_us;
} q_request_rules;

typedef struct q_incoming {
    bool id_by_place;      /* no request id was given: it is made of the message's coordinates */
    q_slice request_id, bucket, principal, reply_topic, trace;
    q_principal who;         /* `principal` is its name */
    bool msgpack;            /* so is the answer */
    bool unreadable;         /* not even an envelope: it goes to the dead letters too */
    uint32_t timeout_ms;
    q_slice query;           /* borrowed from the message when it is text */
    uint32_t param_count;
    const q_param *params;
    uint8_t body_hash[16];   /* of query and parameters */
} q_incoming;

/* On failure `out` still says where to send the rejection and under which id. All but a text's `query` lives in the arena. */
Q_CHECK q_rc q_request_read(q_arena *arena, const q_request_rules *rules, const q_request *r, q_incoming *out, q_err *err);

/* May results be sent there? Never to the system's own topics. */
bool q_request_reply_allowed(const q_request_rules *rules, q_slice topic);

/* The content type of an answer; static. */
q_slice q_content_type(bool msgpack);

#endif
