/* Topics that are missing are created: the names, partitions and retention are the program's. */
#include "bus/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_TOPICS = 64, CREATE_TIMEOUT_MS = 10000 };

int64_t q_bus_mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Which of them exist. */
static q_rc look(rd_kafka_t *rk, const q_topic_spec *topics, size_t count, bool *there, int timeout_ms, q_err *err)
{
    const struct rd_kafka_metadata *md = NULL;
    int64_t until = q_bus_mono_ms() + timeout_ms;
    rd_kafka_resp_err_t e;
    /* A broker that starts just now refuses connections at first: librdkafka says so only by the time limit. */
    do {
        int64_t left = until - q_bus_mono_ms();
        e = rd_kafka_metadata(rk, 1, NULL, &md, left > 1000 ? 1000 : left > 1 ? (int)left : 1);
    } while (e != RD_KAFKA_RESP_ERR_NO_ERROR && q_bus_mono_ms() < until);
    if (e != RD_KAFKA_RESP_ERR_NO_ERROR) {
        q_err_set(err, Q_E_INTERNAL, "kafka can't be reached: %s", rd_kafka_err2str(e));
        return Q_RETRY;
    }
    for (size_t i = 0; i < count; i++)
        for (int t = 0; t < md->topic_cnt && !there[i]; t++)
            there[i] = md->topics[t].err == RD_KAFKA_RESP_ERR_NO_ERROR && !strcmp(md->topics[t].topic, topics[i].name);
    rd_kafka_metadata_destroy(md);
    return Q_OK;
}

static bool describe(rd_kafka_NewTopic_t *t, const q_topic_spec *spec)
{
    char text[32];
    bool ok = true;
    if (spec->compacted)
        ok = rd_kafka_NewTopic_set_config(t, "cleanup.policy", "compact") == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (ok && spec->retention_ms) {
        snprintf(text, sizeof text, "%lld", (long long)spec->retention_ms);
        ok = rd_kafka_NewTopic_set_config(t, "retention.ms", text) == RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    if (ok)
        ok = rd_kafka_NewTopic_set_config(t, "max.message.bytes", "16000000") == RD_KAFKA_RESP_ERR_NO_ERROR;
    return ok;
}

static q_rc create_missing(rd_kafka_t *rk, const q_topic_spec *topics, size_t count, const bool *there, int replication, q_err *err)
{
    char text[256];
    rd_kafka_NewTopic_t *fresh[MAX_TOPICS];
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        if (there[i])
            continue;
        fresh[n] = rd_kafka_NewTopic_new(topics[i].name, topics[i].partitions, replication, text, sizeof text);
        ok = fresh[n] && describe(fresh[n], &topics[i]);
        n += fresh[n] != NULL;
    }
    q_rc rc = ok ? Q_OK : q_err_set(err, Q_E_INTERNAL, "kafka: a topic's description is refused: %s", text);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    if (rc == Q_OK && n) {
        rd_kafka_AdminOptions_set_operation_timeout(options, CREATE_TIMEOUT_MS, text, sizeof text);
        rd_kafka_AdminOptions_set_request_timeout(options, CREATE_TIMEOUT_MS, text, sizeof text);
        rd_kafka_CreateTopics(rk, fresh, n, options, queue);
        rd_kafka_event_t *ev = rd_kafka_queue_poll(queue, CREATE_TIMEOUT_MS + 2000);
        const rd_kafka_CreateTopics_result_t *result = ev ? rd_kafka_event_CreateTopics_result(ev) : NULL;
        size_t results = 0;
        const rd_kafka_topic_result_t **each = result ? rd_kafka_CreateTopics_result_topics(result, &results) : NULL;
        if (!each || (rd_kafka_event_error(ev) && !results)) {
            q_err_set(err, Q_E_INTERNAL, "kafka: topics can't be created: %s", ev ? rd_kafka_event_error_string(ev) : "no answer");
            rc = Q_RETRY;
        }
        for (size_t i = 0; rc == Q_OK && i < results; i++) {
            rd_kafka_resp_err_t e = rd_kafka_topic_result_error(each[i]);
            if (e != RD_KAFKA_RESP_ERR_NO_ERROR && e != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
                rc = q_err_set(err, Q_E_INTERNAL, "kafka: topic %s can't be created: %s", rd_kafka_topic_result_name(each[i]),
                               rd_kafka_topic_result_error_string(each[i]) ? rd_kafka_topic_result_error_string(each[i]) : rd_kafka_err2str(e));
        }
        if (ev)
            rd_kafka_event_destroy(ev);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy_array(fresh, n);
    return rc;
}

q_rc q_kafka_topics(const q_kafka_config *config, const q_topic_spec *topics, size_t count, int replication, bool create, int timeout_ms,
                    q_err *err)
{
    char text[256];
    bool there[MAX_TOPICS] = { false };
    if (count > MAX_TOPICS)
        return q_err_set(err, Q_E_INTERNAL, "more than %d topics at once", MAX_TOPICS);
    rd_kafka_conf_t *conf = q_kafka_conf(config, err);
    if (!conf)
        return Q_FAIL;
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return q_err_set(err, Q_E_INTERNAL, "kafka: %s", text);
    }
    q_rc rc = look(rk, topics, count, there, timeout_ms, err);
    const char *missing = NULL;
    for (size_t i = 0; rc == Q_OK && i < count && !missing; i++)
        missing = there[i] ? NULL : topics[i].name;
    if (missing && create)
        rc = create_missing(rk, topics, count, there, replication, err);
    else if (missing)
        rc = q_err_set(err, Q_E_INTERNAL, "topic %s doesn't exist (kafka.create_topics is false)", missing);
    rd_kafka_destroy(rk);
    return rc;
}
