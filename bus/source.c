/* Message by message from one queue: librdkafka 2.0.2's batch call can skip offsets around pause and resume (fixed in 2.3). Every
 * offset is checked to follow the one before it but for gaps that compaction or transactions may leave on a real broker. */
#include "base/say.h"
#include "bus/internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_PARTITIONS = 4096, METADATA_EVERY_S = 5, MAX_REJOINS = 8, TWIN_S = 10 };

struct q_message { rd_kafka_message_t *rm; rd_kafka_headers_t *headers; };

struct q_source {
    rd_kafka_t *_Atomic rk;
    q_kafka_config kafka; /* group: for joining it once more */
    q_source_config config;
    rd_kafka_t *left[MAX_REJOINS]; /* consumers that were fenced; messages of theirs may still be out, so they end with the source */
    int left_count;
    time_t fenced_at;
    char *topic;
    pthread_t thread;
    atomic_bool stopping;
    atomic_int want_paused; /* what the caller wants */
    bool paused;            /* what librdkafka was told; the thread's own */
    atomic_int partitions;  /* assigned so far; written by the thread alone after start */
    bool closing;           /* partitions that are taken away now are given up because it stops; the thread's own, then the stopper's */
};

/* ---- messages ---- */

q_message *q_message_wrap(rd_kafka_message_t *rm)
{
    q_message *m = calloc(1, sizeof *m);
    if (!m) {
        rd_kafka_message_destroy(rm);
        return NULL;
    }
    m->rm = rm;
    if (rd_kafka_message_headers(rm, &m->headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        m->headers = NULL;
    return m;
}

q_slice q_message_key(const q_message *m) { return q_slice_of(m->rm->key, m->rm->key ? m->rm->key_len : 0); }
q_slice q_message_value(const q_message *m) { return q_slice_of(m->rm->payload, m->rm->payload ? m->rm->len : 0); }
int32_t q_message_partition(const q_message *m) { return m->rm->partition; }
int64_t q_message_offset(const q_message *m) { return m->rm->offset; }
size_t q_message_header_count(const q_message *m) { return m->headers ? rd_kafka_header_cnt(m->headers) : 0; }

void q_message_header(const q_message *m, size_t i, q_slice *name, q_slice *value)
{
    const char *n = NULL;
    const void *v = NULL;
    size_t len = 0;
    *name = *value = Q_SLICE_NONE;
    if (!m->headers || rd_kafka_header_get_all(m->headers, i, &n, &v, &len) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    *name = q_slice_cstr(n);
    *value = q_slice_of(v, v ? len : 0);
}

bool q_message_find_header(const q_message *m, const char *name, q_slice *value)
{
    size_t n = q_message_header_count(m);
    for (size_t i = 0; i < n; i++) {
        q_slice found;
        q_message_header(m, i, &found, value);
        if (q_slice_eq(found, q_slice_cstr(name)))
            return true;
    }
    *value = Q_SLICE_NONE;
    return false;
}

void q_message_free(q_message *m)
{
    if (!m)
        return;
    rd_kafka_message_destroy(m->rm);
    free(m);
}

/* ---- the thread ---- */

/* How many partitions the topic has; 0 while it doesn't exist, -1 when the broker can't be asked. */
static int count_partitions(q_source *s, int timeout_ms)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(s->rk, s->topic, NULL);
    const struct rd_kafka_metadata *md = NULL;
    int n = -1;
    if (rkt && rd_kafka_metadata(s->rk, 0, rkt, &md, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        n = md->topic_cnt == 1 && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR ? md->topics[0].partition_cnt : 0;
        rd_kafka_metadata_destroy(md);
    }
    if (rkt)
        rd_kafka_topic_destroy(rkt);
    return n > MAX_PARTITIONS ? MAX_PARTITIONS : n;
}

/* Adds partitions from..to-1 to the assignment. */
static bool assign_more(q_source *s, int from, int to)
{
    rd_kafka_topic_partition_list_t *more = rd_kafka_topic_partition_list_new(to - from);
    for (int p = from; p < to; p++) {
        int64_t at = s->config.start ? s->config.start(s->config.ctx, p) : -1;
        rd_kafka_topic_partition_list_add(more, s->topic, p)->offset =
            at == -2 ? RD_KAFKA_OFFSET_END : at < 0 ? RD_KAFKA_OFFSET_BEGINNING : at;
    }
    bool ok;
    if (from == 0) {
        ok = rd_kafka_assign(s->rk, more) == RD_KAFKA_RESP_ERR_NO_ERROR;
    } else {
        rd_kafka_error_t *e = rd_kafka_incremental_assign(s->rk, more);
        ok = e == NULL;
        rd_kafka_error_destroy(e);
    }
    rd_kafka_topic_partition_list_destroy(more);
    if (ok)
        s->partitions = to;
    return ok;
}

static void apply_pause(q_source *s)
{
    bool want = atomic_load(&s->want_paused) != 0;
    if (want == s->paused)
        return;
    rd_kafka_topic_partition_list_t *all = NULL;
    if (rd_kafka_assignment(s->rk, &all) != RD_KAFKA_RESP_ERR_NO_ERROR || !all)
        return;
    rd_kafka_resp_err_t e = want ? rd_kafka_pause_partitions(s->rk, all) : rd_kafka_resume_partitions(s->rk, all);
    rd_kafka_topic_partition_list_destroy(all);
    if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
        s->paused = want;
}

static void report(q_source *s, q_rc rc, const char *text)
{
    if (s->config.failed)
        s->config.failed(s->config.ctx, rc, text);
}

static rd_kafka_t *new_consumer(q_source *s, q_err *err);
static q_rc start_subscribed(q_source *s, q_err *err);

/* A broker that was killed while this member joined knows it by an id that it never heard of, and fences the one it has: it joins anew. Whoever
 * is fenced again soon after has a real twin under its name, which does the same: the one that was there first gives up first. */
static bool rejoin(q_source *s)
{
    time_t now = time(NULL);
    if (s->left_count == MAX_REJOINS || (s->fenced_at && now - s->fenced_at < TWIN_S))
        return false;
    q_err err = Q_ERR_INIT;
    rd_kafka_t *fresh = new_consumer(s, &err);
    if (!fresh) {
        q_say(Q_SAY_ERROR, "%s: %s", s->topic, err.message);
        return false;
    }
    s->fenced_at = now;
    rd_kafka_assign(s->rk, NULL);
    s->left[s->left_count++] = s->rk;
    s->rk = fresh;
    s->partitions = 0;
    s->paused = false;
    q_say(Q_SAY_WARN, "%s: the broker took this member for another one of its name: it joins its group once more", s->topic);
    return start_subscribed(s, &err) == Q_OK;
}

/* false: the source can't go on. */
static bool handle_error(q_source *s, rd_kafka_message_t *rm)
{
    char text[400];
    switch (rm->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return true; /* librdkafka goes on trying */
    case RD_KAFKA_RESP_ERR__FATAL:
        if (rd_kafka_fatal_error(s->rk, text, sizeof text) == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
            if (rejoin(s))
                return true;
            snprintf(text, sizeof text, "%s: another process has come under the same name (--name) and has taken over", s->topic);
        }
        report(s, Q_FATAL, text);
        return false;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        snprintf(text, sizeof text,
                 "%s: the offset to go on from is not in the topic any more (%s): the topic was recreated, or its retention "
                 "removed requests that were not processed",
                 s->topic, rd_kafka_message_errstr(rm));
        report(s, Q_FATAL, text);
        return false;
    default:
        snprintf(text, sizeof text, "%s: %s", s->topic, rd_kafka_message_errstr(rm));
        report(s, Q_RETRY, text);
        return true;
    }
}

/* A group's partitions come and go; on the thread that polls, or in q_source_stop. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    q_source *s = opaque;
    const char *protocol = rd_kafka_rebalance_protocol(rk);
    bool eager = protocol && !strcmp(protocol, "EAGER");
    rd_kafka_error_t *e = NULL;
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        if (eager)
            rd_kafka_assign(rk, list);
        else
            e = rd_kafka_incremental_assign(rk, list);
        s->partitions = eager ? list->cnt : s->partitions + list->cnt;
        s->paused = false;
    } else {
        int left = eager || list->cnt > s->partitions ? 0 : s->partitions - list->cnt;
        if (what == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS && !s->closing && s->config.revoked && !rd_kafka_assignment_lost(rk))
            s->config.revoked(s->config.ctx, left);
        if (eager)
            rd_kafka_assign(rk, NULL);
        else
            e = rd_kafka_incremental_unassign(rk, list);
        s->partitions = left;
    }
    if (e) {
        q_say(Q_SAY_WARN, "%s: partitions can't be changed: %s", s->topic, rd_kafka_error_string(e));
        rd_kafka_error_destroy(e);
    }
}

static void *run(void *arg)
{
    q_source *s = arg;
    time_t looked = time(NULL);
    while (!atomic_load(&s->stopping)) {
        apply_pause(s);
        rd_kafka_message_t *rm = rd_kafka_consumer_poll(s->rk, 100);
        if (!rm) {
            if (!s->config.group && time(NULL) - looked >= METADATA_EVERY_S) {
                int n = count_partitions(s, 1000);
                if (n > s->partitions && assign_more(s, s->partitions, n))
                    s->paused = false; /* the new ones aren't: told again at once */
                looked = time(NULL);
            }
            continue;
        }
        if (rm->err) {
            bool go_on = handle_error(s, rm);
            rd_kafka_message_destroy(rm);
            if (!go_on)
                break;
            continue;
        }
        q_message *m = q_message_wrap(rm);
        if (m)
            s->config.message(s->config.ctx, m);
        else
            report(s, Q_FATAL, "out of memory");
    }
    return NULL;
}

static q_rc start_assigned(q_source *s, int timeout_ms, q_err *err)
{
    int waited = 0, n;
    while ((n = count_partitions(s, 500)) <= 0 && waited < timeout_ms) {
        struct timespec pause = { 0, 100 * 1000 * 1000 };
        nanosleep(&pause, NULL);
        waited += n < 0 ? 600 : 100;
    }
    if (n <= 0) {
        q_err_set(err, Q_E_INTERNAL, n < 0 ? "kafka can't be reached" : "topic %s doesn't exist", s->topic);
        return Q_RETRY;
    }
    return assign_more(s, 0, n) ? Q_OK : q_err_set(err, Q_E_INTERNAL, "kafka: can't assign %s", s->topic);
}

static q_rc start_subscribed(q_source *s, q_err *err)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, s->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t e = rd_kafka_subscribe(s->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return e == RD_KAFKA_RESP_ERR_NO_ERROR ? Q_OK : q_err_set(err, Q_E_INTERNAL, "kafka: %s: %s", s->topic, rd_kafka_err2str(e));
}

static rd_kafka_t *new_consumer(q_source *s, q_err *err)
{
    const q_source_config *source = &s->config;
    char text[256], wait[16], session[16], heartbeat[16];
    int session_ms = source->session_timeout_ms ? source->session_timeout_ms : 6000;
    snprintf(wait, sizeof wait, "%d", s->kafka.fetch_wait_max_ms ? s->kafka.fetch_wait_max_ms : 10);
    snprintf(session, sizeof session, "%d", session_ms);
    snprintf(heartbeat, sizeof heartbeat, "%d", session_ms / 6 < 100 ? 100 : session_ms / 6);
    rd_kafka_conf_t *conf = q_kafka_conf(&s->kafka, err);
    if (!conf)
        return NULL;
    rd_kafka_conf_set_opaque(conf, s);
    if (source->group) {
        rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
        if (!q_kafka_conf_set(conf, "session.timeout.ms", session, err) || !q_kafka_conf_set(conf, "heartbeat.interval.ms", heartbeat, err) ||
            !q_kafka_conf_set(conf, "auto.commit.interval.ms", "500", err) ||
            (source->instance && !q_kafka_conf_set(conf, "group.instance.id", source->instance, err)))
            goto bad;
    }
    /* A new group member starts where the oldest message is: nothing sent before the worker came is skipped. */
    if (!q_kafka_conf_set(conf, "fetch.wait.max.ms", wait, err) ||
        !q_kafka_conf_set(conf, "auto.offset.reset", source->group ? "earliest" : "error", err) ||
        !q_kafka_conf_set(conf, "group.id", source->group ? source->group : "quanta-unused", err) ||
        !q_kafka_conf_set(conf, "enable.auto.commit", source->group ? "true" : "false", err) ||
        !q_kafka_conf_set(conf, "queued.max.messages.kbytes", "32768", err) ||
        !q_kafka_conf_set(conf, "fetch.message.max.bytes", "16000000", err) ||
        !q_kafka_conf_set(conf, "fetch.error.backoff.ms", "50", err) ||
        !q_kafka_conf_set(conf, "partition.assignment.strategy", "cooperative-sticky", err))
        goto bad;
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (!rk) {
        q_err_set(err, Q_E_INTERNAL, "kafka consumer: %s", text);
        goto bad;
    }
    rd_kafka_poll_set_consumer(rk);
    return rk;
bad:
    rd_kafka_conf_destroy(conf);
    return NULL;
}

static void end_consumers(q_source *s)
{
    for (int i = 0; i <= s->left_count; i++) {
        rd_kafka_t *rk = i < s->left_count ? s->left[i] : s->rk;
        if (!rk)
            continue;
        rd_kafka_consumer_close(rk);
        rd_kafka_destroy(rk);
    }
}

q_rc q_source_start(const q_kafka_config *config, const q_source_config *source, int timeout_ms, q_source **out, q_err *err)
{
    q_source *s = calloc(1, sizeof *s);
    if (!s)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    s->kafka = *config;
    s->config = *source;
    s->topic = strdup(source->topic);
    s->rk = s->topic ? new_consumer(s, err) : NULL;
    q_rc rc = !s->rk ? Q_FAIL : source->group ? start_subscribed(s, err) : start_assigned(s, timeout_ms, err);
    if (rc == Q_OK && pthread_create(&s->thread, NULL, run, s) != 0)
        rc = q_err_set(err, Q_E_INTERNAL, "kafka consumer: no thread");
    if (rc == Q_OK) {
        *out = s;
        return Q_OK;
    }
    end_consumers(s);
    free(s->topic);
    free(s);
    return rc;
}

void q_source_pause(q_source *s) { atomic_store(&s->want_paused, 1); }
void q_source_resume(q_source *s) { atomic_store(&s->want_paused, 0); }

void q_source_stop(q_source *s)
{
    if (!s)
        return;
    atomic_store(&s->stopping, true);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(s->rk);
    if (queue) {
        rd_kafka_queue_yield(queue); /* its poll returns now: a command that ends shouldn't wait it out */
        rd_kafka_queue_destroy(queue);
    }
    pthread_join(s->thread, NULL);
    s->closing = true;
    end_consumers(s);
    free(s->topic);
    free(s);
}

int q_source_partitions(q_source *s) { return atomic_load(&s->partitions); }

int64_t q_source_lag(q_source *s)
{
    rd_kafka_topic_partition_list_t *all = NULL;
    int64_t lag = 0;
    if (rd_kafka_assignment(s->rk, &all) != RD_KAFKA_RESP_ERR_NO_ERROR || !all)
        return 0;
    if (rd_kafka_position(s->rk, all) == RD_KAFKA_RESP_ERR_NO_ERROR)
        for (int i = 0; i < all->cnt; i++) {
            int64_t low, high;
            if (rd_kafka_get_watermark_offsets(s->rk, all->elems[i].topic, all->elems[i].partition, &low, &high) != RD_KAFKA_RESP_ERR_NO_ERROR ||
                high < 0)
                continue;
            int64_t at = all->elems[i].offset; /* negative: nothing was taken yet */
            if (at >= 0 && high > at)
                lag += high - at;
        }
    rd_kafka_topic_partition_list_destroy(all);
    return lag;
}
