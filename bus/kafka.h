/* kafka.h - how messages travel: producers, sources and the in-process broker, on librdkafka. No rd_kafka type leaves this folder.
 *
 * Threads: a producer may be used by any thread, its delivery callback runs on the producer's own thread. A source owns one thread,
 * which calls back for each message. Callbacks must not block and must not call back into the same object's stop function.
 * Ordering: sends to one partition arrive in the order given (one connection in flight order, idempotence on). */
#ifndef Q_BUS_KAFKA_H
#define Q_BUS_KAFKA_H

#include "base/error.h"

typedef struct q_kafka_setting { const char *name, *value; } q_kafka_setting; /* librdkafka's own names: security.protocol … */

typedef struct q_kafka_config {
    const char *bootstrap;                 /* HOST:PORT[,…] */
    const q_kafka_setting *settings;       /* further ones, in order; ends with a NULL name; or NULL */
    int fetch_wait_max_ms;                 /* of sources; 0: 10 */
    int delivery_timeout_ms;               /* of producers: then a message is given up; 0: 60000, -1: never */
    bool lossy;                            /* of producers: what is lost is sent again by the protocol: one broker's acknowledgement is enough */
} q_kafka_config;

typedef struct q_kafka_header { const char *name; q_slice value; } q_kafka_header;

/* ---- the in-process broker: librdkafka's mock cluster. Real protocol on a loopback port, in memory only ---- */
typedef struct q_broker q_broker;
Q_CHECK q_rc q_broker_start(q_broker **out, q_err *err);
const char *q_broker_bootstrap(const q_broker *b); /* owned by the broker */
Q_CHECK q_rc q_broker_create_topic(q_broker *b, const char *topic, int partitions, q_err *err);
void q_broker_stop(q_broker *b); /* accepts NULL */

/* ---- producer ---- */
typedef struct q_producer q_producer;
/* Called once for each send with a token other than 0: rc Q_OK: acknowledged by all in-sync replicas; Q_RETRY: it was given up;
 * Q_FAIL: it can never be delivered there (too large, no such topic). */
typedef void (*q_delivered)(void *ctx, uint64_t token, q_rc rc);
Q_CHECK q_rc q_producer_new(const q_kafka_config *config, q_delivered delivered, void *ctx, q_producer **out, q_err *err);
/* Copies everything. Q_RETRY when the local queue is full (try again after a while); Q_FAIL: never (message too large, bad topic name). */
Q_CHECK q_rc q_producer_send(q_producer *p, const char *topic, q_slice key, q_slice value, const q_kafka_header *headers,
                             size_t header_count, uint64_t token, q_err *err);
/* `look` is called on the producer's thread for every topic before its first message is sent: it may create it. Before the first send. */
void q_producer_on_new_topic(q_producer *p, void (*look)(void *ctx, const char *topic), void *ctx);
/* Asks now where a topic is, so that the first message to it doesn't wait for that. Not needed: sending finds it out, too. */
void q_producer_prepare(q_producer *p, const char *topic, int timeout_ms);
/* Waits at most so long for everything to be acknowledged; how many are left. */
size_t q_producer_flush(q_producer *p, int timeout_ms);
void q_producer_free(q_producer *p); /* accepts NULL; drops what isn't flushed */

/* ---- source: messages of a topic ---- */
typedef struct q_message q_message; /* owned by who gets it */
q_slice q_message_key(const q_message *m);
q_slice q_message_value(const q_message *m);
int32_t q_message_partition(const q_message *m);
int64_t q_message_offset(const q_message *m);
size_t q_message_header_count(const q_message *m);
void q_message_header(const q_message *m, size_t i, q_slice *name, q_slice *value);
/* The value of the first header of this name; false when there is none. */
bool q_message_find_header(const q_message *m, const char *name, q_slice *value);
void q_message_free(q_message *m); /* any thread; accepts NULL */

typedef struct q_source q_source;
typedef struct q_source_config {
    const char *topic;
    const char *group;    /* a consumer group (workers): partitions come and go; NULL: all partitions, by assign (B1) */
    const char *instance; /* group: a name that stays over restarts: who comes back under it within the session's time has its partitions at
                             once, without the others' noticing; NULL: none */
    int session_timeout_ms; /* group; 0: 6000 */
    /* group, or NULL: partitions are being taken away, `left` (at least 0) stay. They go to others when it returns, so it may wait a
     * little for what is under way. On the source's thread; not when the source is stopped. */
    void (*revoked)(void *ctx, int left);
    /* Without group: where to start a partition; return -1 for its first message, -2 for its end. */
    int64_t (*start)(void *ctx, int32_t partition);
    void (*message)(void *ctx, q_message *m);              /* takes it over */
    /* A failure that needs a person: what is wrong (an offset that is gone, a topic recreated, access denied). rc Q_FATAL: it stopped. */
    void (*failed)(void *ctx, q_rc rc, const char *text);
    void *ctx;
} q_source_config;
/* With a group, what `config` and `source` point to must outlive it. Q_RETRY: the broker can't be reached within timeout_ms. Without group, new partitions are found within a few seconds. */
Q_CHECK q_rc q_source_start(const q_kafka_config *config, const q_source_config *source, int timeout_ms, q_source **out, q_err *err);
void q_source_pause(q_source *s);  /* any thread; a few messages may still come */
void q_source_resume(q_source *s);
void q_source_stop(q_source *s);   /* joins its thread; accepts NULL */
/* How many messages are there that it hasn't taken, as far as its own fetches tell; partitions it has. Any thread, cheap. */
int64_t q_source_lag(q_source *s);
int q_source_partitions(q_source *s);

/* ---- topics ---- */
typedef struct q_topic_spec {
    const char *name;
    int partitions;
    int64_t retention_ms; /* 0: the broker's default */
    bool compacted;       /* the newest value of each key stays */
} q_topic_spec;
/* Creates those that are missing; with create false, or when it isn't allowed, a missing one is Q_FAIL that names it. `replication` -1:
 * the broker's default. What is there stays as it is. Q_RETRY: the brokers can't be reached within timeout_ms. */
Q_CHECK q_rc q_kafka_topics(const q_kafka_config *config, const q_topic_spec *topics, size_t count, int replication, bool create, int timeout_ms,
                            q_err *err);

/* ---- asking, one connection for many questions; one thread ---- */
typedef struct q_asker q_asker;
Q_CHECK q_rc q_asker_new(const q_kafka_config *config, q_asker **out, q_err *err);
void q_asker_free(q_asker *a); /* accepts NULL */
/* How many partitions the topic has; 0: it doesn't exist. */
Q_CHECK q_rc q_asker_partitions(q_asker *a, const char *topic, int timeout_ms, int *out, q_err *err);
/* The offsets of the first message and behind the last one. */
Q_CHECK q_rc q_asker_watermarks(q_asker *a, const char *topic, int32_t partition, int timeout_ms, int64_t *low, int64_t *high, q_err *err);
/* The same by a connection of its own. */
Q_CHECK q_rc q_kafka_watermarks(const q_kafka_config *config, const char *topic, int32_t partition, int timeout_ms, int64_t *low,
                                int64_t *high, q_err *err);
/* The message at this offset. Q_END: the topic has none there (any more). */
Q_CHECK q_rc q_asker_message(q_asker *a, const char *topic, int32_t partition, int64_t offset, int timeout_ms, q_message **out, q_err *err);

#endif
