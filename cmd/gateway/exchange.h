/* exchange.h - asks the coordinator over Kafka: publishes to quanta.requests, waits on a reply topic of its own.
 *
 * Any thread may ask. `done` is called exactly once for each question that was taken, on the reply source's thread, the clock's, or in
 * q_exchange_stop; it must not block.
 *
 * A reply is known by its request id only, and ids that clients choose may be the same for two of them. So one id is one question at a time: the
 * same question again waits for the same reply; another one under that id is refused (REQUEST_ID_REUSED) until the first is answered. A
 * question that nobody waits for any more still holds its id until its late reply has come, or for Q_EXCHANGE_LATE_MS. */
#ifndef Q_CMD_EXCHANGE_H
#define Q_CMD_EXCHANGE_H

#include "base/error.h"
#include "bus/kafka.h"

enum { Q_EXCHANGE_MAX_WAITING = 20000, Q_EXCHANGE_LATE_MS = 600000, Q_EXCHANGE_MAX_PARTS = 64 };

typedef struct q_exchange q_exchange;

typedef struct q_exchange_config {
    q_kafka_config kafka;       /* strings live as long as the exchange */
    const char *requests;       /* "quanta.requests" */
    const char *replies;        /* "quanta.reply.…": nobody else's */
} q_exchange_config;

/* Q_RETRY: the broker can't be reached. */
Q_CHECK q_rc q_exchange_start(const q_exchange_config *config, q_exchange **out, q_err *err);
bool q_exchange_ready(const q_exchange *x); /* replies can be read */
size_t q_exchange_waiting(const q_exchange *x);
/* Whoever still waits is told SHUTTING_DOWN or, after something that may have happened, IN_DOUBT; further questions are refused until
 * q_exchange_free. Both accept NULL. */
void q_exchange_stop(q_exchange *x);
void q_exchange_free(q_exchange *x);

typedef struct q_question {
    q_slice bucket, body, request_id, authorization, traceparent; /* borrowed for the call */
    bool json, read_only;
    uint32_t timeout_ms;        /* the coordinator's; the wait is a little longer */
} q_question;

/* Q_OK: the result's parts in order, each with a NUL behind it; the callee's to free(). Q_RETRY: another one that had asked the same was given
 * the answer; asked again it is there. Otherwise `err` says why there are none. */
typedef struct q_part { char *bytes; size_t len; } q_part;
typedef void (*q_exchange_done)(void *ctx, q_rc rc, q_part *parts, uint32_t count, const q_err *err);

/* Not Q_OK: `done` will not be called. OVERLOADED, REQUEST_ID_REUSED, REQUEST_TOO_LARGE. */
Q_CHECK q_rc q_exchange_ask(q_exchange *x, const q_question *question, q_exchange_done done, void *ctx, q_err *err);

#endif
