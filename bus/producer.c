/* librdkafka 2.0.2: an idempotent producer may meet a fatal error after a possibly persisted message (fixed in 2.3); then every send
 * and delivery fails. The producer is made again under the same handle; what was in flight is reported as given up, and whoever sent
 * it sends it again: results, votes and work are all safe to repeat. */
#include "bus/internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { MAX_SEEN = 64, MAX_TOPIC = 250, POLL_MS = 50, ASK_MS = 500 };

struct q_producer {
    pthread_rwlock_t lock; /* read: sending; write: replacing rk */
    rd_kafka_t *rk;
    pthread_t thread;
    atomic_bool stopping;
    atomic_bool broken;    /* a fatal error was seen: the thread replaces rk */
    q_delivered delivered;
    void *ctx;
    q_kafka_config config; /* a copy; the strings are owned by the caller for as long as the producer lives */
    /* Topics that were sent to: only grows, and an entry is whole before it is counted. The thread asks where the new ones are. */
    pthread_mutex_t seen_lock; /* of adding */
    atomic_size_t seen_count;
    char seen[MAX_SEEN][MAX_TOPIC];
};

static bool is_seen(q_producer *p, const char *topic)
{
    size_t n = atomic_load(&p->seen_count);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(p->seen[i], topic))
            return true;
    return n == MAX_SEEN; /* further ones wait for librdkafka's own look */
}

/* librdkafka 2.0.2 looks at a topic that it sends to for the first time only once a second; asked by hand it answers at once. */
static void see(q_producer *p, const char *topic)
{
    size_t len = strlen(topic);
    if (is_seen(p, topic) || len >= MAX_TOPIC)
        return;
    pthread_mutex_lock(&p->seen_lock);
    if (!is_seen(p, topic)) {
        size_t n = atomic_load(&p->seen_count);
        memcpy(p->seen[n], topic, len + 1);
        atomic_store(&p->seen_count, n + 1);
    }
    pthread_mutex_unlock(&p->seen_lock);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    q_producer *p = opaque;
    uint64_t token = (uint64_t)(uintptr_t)m->_private;
    (void)rk;
    if (m->err == RD_KAFKA_RESP_ERR__FATAL)
        atomic_store(&p->broken, true);
    if (token && p->delivered)
        p->delivered(p->ctx, token, m->err == RD_KAFKA_RESP_ERR_NO_ERROR ? Q_OK : Q_RETRY);
}

static void on_error(rd_kafka_t *rk, int e, const char *reason, void *opaque)
{
    q_producer *p = opaque;
    (void)rk;
    (void)reason;
    if (e == RD_KAFKA_RESP_ERR__FATAL)
        atomic_store(&p->broken, true);
}

static rd_kafka_t *make(q_producer *p, q_err *err)
{
    char text[256];
    rd_kafka_conf_t *conf = q_kafka_conf(&p->config, err);
    if (!conf)
        return NULL;
    rd_kafka_conf_set_opaque(conf, p);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_error_cb(conf, on_error);
    bool ok = q_kafka_conf_set(conf, "linger.ms", "0", err) && q_kafka_conf_set(conf, "acks", "all", err) &&
              q_kafka_conf_set(conf, "enable.idempotence", "true", err) &&
              q_kafka_conf_set(conf, "message.max.bytes", "16000000", err) &&
              q_kafka_conf_set(conf, "message.timeout.ms", "60000", err) &&
              q_kafka_conf_set(conf, "partitioner", "murmur2_random", err) &&
              q_kafka_conf_set(conf, "queue.buffering.max.messages", "500000", err);
    rd_kafka_t *rk = ok ? rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text) : NULL;
    if (!rk) {
        if (ok)
            q_err_set(err, Q_E_INTERNAL, "kafka producer: %s", text);
        rd_kafka_conf_destroy(conf);
    }
    return rk;
}

static void *run(void *arg)
{
    q_producer *p = arg;
    size_t asked = 0;
    while (!atomic_load(&p->stopping)) {
        rd_kafka_poll(p->rk, asked < atomic_load(&p->seen_count) ? 0 : POLL_MS);
        if (asked < atomic_load(&p->seen_count))
            q_producer_prepare(p, p->seen[asked++], ASK_MS);
        if (!atomic_load(&p->broken))
            continue;
        asked = 0;
        q_err err = Q_ERR_INIT;
        rd_kafka_t *fresh = make(p, &err);
        if (!fresh)
            continue;
        pthread_rwlock_wrlock(&p->lock);
        rd_kafka_t *old = p->rk;
        p->rk = fresh;
        atomic_store(&p->broken, false);
        pthread_rwlock_unlock(&p->lock);
        rd_kafka_purge(old, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(old, 1000); /* delivers the purged ones' reports */
        rd_kafka_destroy(old);
    }
    return NULL;
}

q_rc q_producer_new(const q_kafka_config *config, q_delivered delivered, void *ctx, q_producer **out, q_err *err)
{
    q_producer *p = calloc(1, sizeof *p);
    if (!p)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    p->config = *config;
    p->delivered = delivered;
    p->ctx = ctx;
    pthread_rwlock_init(&p->lock, NULL);
    pthread_mutex_init(&p->seen_lock, NULL);
    p->rk = make(p, err);
    if (!p->rk || pthread_create(&p->thread, NULL, run, p) != 0) {
        if (p->rk) {
            rd_kafka_destroy(p->rk);
            q_err_set(err, Q_E_INTERNAL, "kafka producer: no thread");
        }
        pthread_rwlock_destroy(&p->lock);
        pthread_mutex_destroy(&p->seen_lock);
        free(p);
        return Q_FAIL;
    }
    *out = p;
    return Q_OK;
}

q_rc q_producer_send(q_producer *p, const char *topic, q_slice key, q_slice value, const q_kafka_header *headers, size_t header_count,
                     uint64_t token, q_err *err)
{
    rd_kafka_headers_t *hs = NULL;
    if (header_count) {
        hs = rd_kafka_headers_new(header_count);
        for (size_t i = 0; i < header_count; i++)
            rd_kafka_header_add(hs, headers[i].name, -1, headers[i].value.ptr, (ssize_t)headers[i].value.len);
    }
    see(p, topic);
    pthread_rwlock_rdlock(&p->lock);
    rd_kafka_vu_t vus[6];
    size_t n = 0;
    vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic };
    vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY };
    vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { (void *)(uintptr_t)value.ptr, value.len } };
    if (key.ptr)
        vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_KEY, .u.mem = { (void *)(uintptr_t)key.ptr, key.len } };
    vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)token };
    if (hs)
        vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = hs };
    rd_kafka_error_t *e = rd_kafka_produceva(p->rk, vus, n);
    pthread_rwlock_unlock(&p->lock);
    if (!e)
        return Q_OK; /* the headers are librdkafka's now */
    if (hs)
        rd_kafka_headers_destroy(hs);
    rd_kafka_resp_err_t code = rd_kafka_error_code(e);
    q_err_set(err, Q_E_INTERNAL, "kafka: %s: %s", topic, rd_kafka_error_string(e));
    rd_kafka_error_destroy(e);
    if (code == RD_KAFKA_RESP_ERR__FATAL)
        atomic_store(&p->broken, true);
    return code == RD_KAFKA_RESP_ERR__QUEUE_FULL || code == RD_KAFKA_RESP_ERR__FATAL ? Q_RETRY : Q_FAIL;
}

void q_producer_prepare(q_producer *p, const char *topic, int timeout_ms)
{
    const struct rd_kafka_metadata *md = NULL;
    pthread_rwlock_rdlock(&p->lock);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(p->rk, topic, NULL);
    if (rkt && rd_kafka_metadata(p->rk, 0, rkt, &md, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(md);
    if (rkt)
        rd_kafka_topic_destroy(rkt);
    pthread_rwlock_unlock(&p->lock);
}

size_t q_producer_flush(q_producer *p, int timeout_ms)
{
    pthread_rwlock_rdlock(&p->lock);
    rd_kafka_flush(p->rk, timeout_ms);
    int left = rd_kafka_outq_len(p->rk);
    pthread_rwlock_unlock(&p->lock);
    return left < 0 ? 0 : (size_t)left;
}

void q_producer_free(q_producer *p)
{
    if (!p)
        return;
    atomic_store(&p->stopping, true);
    pthread_join(p->thread, NULL);
    rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(p->rk);
    pthread_rwlock_destroy(&p->lock);
    pthread_mutex_destroy(&p->seen_lock);
    free(p);
}
