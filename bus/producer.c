/* librdkafka 2.0.2: an idempotent producer may meet a fatal error after a possibly persisted message (fixed in 2.3); then every send
 * and delivery fails. The producer is made again under the same handle. One that never gives up sends again what was in flight, in its
 * order and before anything newer; one that does reports it, and whoever sent it sends it again: all that travels is safe to repeat. */
#include "bus/internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { SEEN_SLOTS = 4096, MAX_SEEN = 2048, MAX_TOPIC = 250, POLL_MS = 50, ASK_MS = 500, DELIVERY_MS = 60000 };

/* A message that has to go again. */
typedef struct again {
    struct again *next;
    uint64_t token;
    rd_kafka_headers_t *headers; /* owned */
    size_t key_len, value_len;
    bool has_key, has_value;
    char topic[MAX_TOPIC];
    char data[]; /* key, value */
} again;

struct q_producer {
    pthread_rwlock_t lock; /* read: sending; write: replacing rk */
    rd_kafka_t *rk;
    pthread_t thread;
    atomic_bool stopping;
    atomic_bool broken;    /* a fatal error was seen: the thread replaces rk */
    q_delivered delivered;
    void *ctx;
    void (*look)(void *ctx, const char *topic);
    void *look_ctx;
    q_kafka_config config; /* a copy; the strings are owned by the caller for as long as the producer lives */
    /* Topics that were sent to, in a table of names that only grows; the thread asks where the new ones are. */
    _Atomic(char *) seen[SEEN_SLOTS];
    pthread_mutex_t seen_lock; /* of adding, and of new_topics */
    size_t seen_count, asked_count;
    char *new_topics[MAX_SEEN]; /* the names of `seen` in the order they came */
    pthread_mutex_t again_lock;
    again *again, **again_end;
};

/* librdkafka 2.0.2 looks at a topic that it sends to for the first time only once a second; asked by hand it answers at once. */
static void see(q_producer *p, const char *topic)
{
    size_t len = strlen(topic), at = XXH3_64bits(topic, len) % SEEN_SLOTS;
    char *name;
    if (len >= MAX_TOPIC)
        return;
    while ((name = atomic_load_explicit(&p->seen[at], memory_order_acquire))) {
        if (!strcmp(name, topic))
            return;
        at = (at + 1) % SEEN_SLOTS;
    }
    pthread_mutex_lock(&p->seen_lock);
    while ((name = atomic_load(&p->seen[at])) && strcmp(name, topic))
        at = (at + 1) % SEEN_SLOTS;
    if (!name && p->seen_count < MAX_SEEN && (name = strdup(topic))) { /* further ones wait for librdkafka's own look */
        p->new_topics[p->seen_count++] = name;
        atomic_store_explicit(&p->seen[at], name, memory_order_release);
    }
    pthread_mutex_unlock(&p->seen_lock);
}

static const char *next_new_topic(q_producer *p)
{
    pthread_mutex_lock(&p->seen_lock);
    const char *name = p->asked_count < p->seen_count ? p->new_topics[p->asked_count++] : NULL;
    pthread_mutex_unlock(&p->seen_lock);
    return name;
}

/* ---- what came of a message ---- */

static bool hopeless(rd_kafka_resp_err_t e)
{
    switch (e) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: return true;
    default: return false;
    }
}

/* false: out of memory. */
static bool keep(q_producer *p, const rd_kafka_message_t *m)
{
    again *a = malloc(sizeof *a + m->key_len + m->len);
    if (!a)
        return false;
    *a = (again){ .token = (uint64_t)(uintptr_t)m->_private, .key_len = m->key_len, .value_len = m->len, .has_key = m->key != NULL,
                  .has_value = m->payload != NULL };
    snprintf(a->topic, sizeof a->topic, "%s", rd_kafka_topic_name(m->rkt));
    if (m->key_len)
        memcpy(a->data, m->key, m->key_len);
    if (m->len)
        memcpy(a->data + m->key_len, m->payload, m->len);
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
        a->headers = rd_kafka_headers_copy(headers);
    pthread_mutex_lock(&p->again_lock);
    *p->again_end = a;
    p->again_end = &a->next;
    pthread_mutex_unlock(&p->again_lock);
    return true;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    q_producer *p = opaque;
    uint64_t token = (uint64_t)(uintptr_t)m->_private;
    (void)rk;
    if (m->err == RD_KAFKA_RESP_ERR__FATAL)
        atomic_store(&p->broken, true);
    if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR && !hopeless(m->err) && p->config.delivery_timeout_ms < 0 && !atomic_load(&p->stopping) && keep(p, m))
        return;
    if (token && p->delivered)
        p->delivered(p->ctx, token, m->err == RD_KAFKA_RESP_ERR_NO_ERROR ? Q_OK : hopeless(m->err) ? Q_FAIL : Q_RETRY);
}

static void on_error(rd_kafka_t *rk, int e, const char *reason, void *opaque)
{
    q_producer *p = opaque;
    (void)rk;
    (void)reason;
    if (e == RD_KAFKA_RESP_ERR__FATAL)
        atomic_store(&p->broken, true);
}

/* ---- sending ---- */

/* The headers are librdkafka's when it is RD_KAFKA_RESP_ERR_NO_ERROR. */
static rd_kafka_resp_err_t produce(rd_kafka_t *rk, const char *topic, q_slice key, q_slice value, rd_kafka_headers_t *headers, uint64_t token,
                                   q_err *err)
{
    rd_kafka_vu_t vus[6];
    size_t n = 0;
    vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic };
    vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY };
    vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { (void *)(uintptr_t)value.ptr, value.len } };
    if (key.ptr)
        vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_KEY, .u.mem = { (void *)(uintptr_t)key.ptr, key.len } };
    vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)token };
    if (headers)
        vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers };
    rd_kafka_error_t *e = rd_kafka_produceva(rk, vus, n);
    if (!e)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t code = rd_kafka_error_code(e);
    q_err_set(err, Q_E_INTERNAL, "kafka: %s: %s", topic, rd_kafka_error_string(e));
    rd_kafka_error_destroy(e);
    return code;
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
    rd_kafka_resp_err_t code = produce(p->rk, topic, key, value, hs, token, err);
    pthread_rwlock_unlock(&p->lock);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return Q_OK;
    if (hs)
        rd_kafka_headers_destroy(hs);
    if (code == RD_KAFKA_RESP_ERR__FATAL)
        atomic_store(&p->broken, true);
    return code == RD_KAFKA_RESP_ERR__QUEUE_FULL || code == RD_KAFKA_RESP_ERR__FATAL ? Q_RETRY : Q_FAIL;
}

/* The kept ones, oldest first, as far as there is room. */
static void send_again(q_producer *p)
{
    q_err err = Q_ERR_INIT;
    pthread_mutex_lock(&p->again_lock);
    while (p->again) {
        again *a = p->again;
        q_slice key = q_slice_of(a->has_key ? a->data : NULL, a->key_len), value = q_slice_of(a->has_value ? a->data + a->key_len : NULL, a->value_len);
        rd_kafka_resp_err_t code = produce(p->rk, a->topic, key, value, a->headers, a->token, &err);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL || code == RD_KAFKA_RESP_ERR__FATAL)
            break;
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            if (a->headers)
                rd_kafka_headers_destroy(a->headers);
            if (a->token && p->delivered)
                p->delivered(p->ctx, a->token, Q_FAIL);
        }
        p->again = a->next;
        if (!p->again)
            p->again_end = &p->again;
        free(a);
    }
    pthread_mutex_unlock(&p->again_lock);
}

/* ---- the producer's thread ---- */

static bool settle(q_producer *p, rd_kafka_conf_t *conf, q_err *err)
{
    char timeout[16];
    int ms = p->config.delivery_timeout_ms;
    snprintf(timeout, sizeof timeout, "%d", ms < 0 ? 0 : ms ? ms : DELIVERY_MS);
    return q_kafka_conf_set(conf, "linger.ms", "0", err) &&
           q_kafka_conf_set(conf, "acks", p->config.lossy ? "1" : "all", err) &&
           q_kafka_conf_set(conf, "enable.idempotence", p->config.lossy ? "false" : "true", err) &&
           q_kafka_conf_set(conf, "message.max.bytes", "16000000", err) &&
           q_kafka_conf_set(conf, "message.timeout.ms", timeout, err) &&
           q_kafka_conf_set(conf, "partitioner", "murmur2_random", err) &&
           q_kafka_conf_set(conf, "queue.buffering.max.messages", "500000", err);
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
    bool ok = settle(p, conf, err);
    rd_kafka_t *rk = ok ? rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text) : NULL;
    if (!rk) {
        if (ok)
            q_err_set(err, Q_E_INTERNAL, "kafka producer: %s", text);
        rd_kafka_conf_destroy(conf);
    }
    return rk;
}

static void replace(q_producer *p)
{
    q_err err = Q_ERR_INIT;
    rd_kafka_t *fresh = make(p, &err);
    if (!fresh)
        return;
    pthread_rwlock_wrlock(&p->lock);
    rd_kafka_t *old = p->rk;
    rd_kafka_purge(old, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(old, 1000); /* delivers the purged ones' reports */
    p->rk = fresh;
    atomic_store(&p->broken, false);
    send_again(p);
    pthread_rwlock_unlock(&p->lock);
    rd_kafka_destroy(old);
    pthread_mutex_lock(&p->seen_lock);
    p->asked_count = 0;
    pthread_mutex_unlock(&p->seen_lock);
}

static void *run(void *arg)
{
    q_producer *p = arg;
    bool busy = false;
    while (!atomic_load(&p->stopping)) {
        rd_kafka_poll(p->rk, busy ? 0 : POLL_MS);
        const char *topic = next_new_topic(p);
        busy = topic != NULL;
        if (topic && p->look)
            p->look(p->look_ctx, topic);
        if (topic)
            q_producer_prepare(p, topic, ASK_MS);
        if (atomic_load(&p->broken))
            replace(p);
        else
            send_again(p);
    }
    return NULL;
}

/* ---- life ---- */

static void destroy(q_producer *p)
{
    if (p->rk)
        rd_kafka_destroy(p->rk);
    for (again *a = p->again, *next; a; a = next) {
        next = a->next;
        if (a->headers)
            rd_kafka_headers_destroy(a->headers);
        free(a);
    }
    for (size_t i = 0; i < p->seen_count; i++)
        free(p->new_topics[i]);
    pthread_rwlock_destroy(&p->lock);
    pthread_mutex_destroy(&p->seen_lock);
    pthread_mutex_destroy(&p->again_lock);
    free(p);
}

q_rc q_producer_new(const q_kafka_config *config, q_delivered delivered, void *ctx, q_producer **out, q_err *err)
{
    q_producer *p = calloc(1, sizeof *p);
    if (!p)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    p->config = *config;
    p->delivered = delivered;
    p->ctx = ctx;
    p->again_end = &p->again;
    pthread_rwlock_init(&p->lock, NULL);
    pthread_mutex_init(&p->seen_lock, NULL);
    pthread_mutex_init(&p->again_lock, NULL);
    p->rk = make(p, err);
    if (!p->rk || pthread_create(&p->thread, NULL, run, p) != 0) {
        if (p->rk)
            q_err_set(err, Q_E_INTERNAL, "kafka producer: no thread");
        destroy(p);
        return Q_FAIL;
    }
    *out = p;
    return Q_OK;
}

void q_producer_on_new_topic(q_producer *p, void (*look)(void *ctx, const char *topic), void *ctx)
{
    p->look_ctx = ctx;
    p->look = look;
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
    destroy(p);
}
