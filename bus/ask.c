/* Questions about topics: how many partitions, where they begin and end, what stands at an offset. */
#include "bus/internal.h"

#include <stdlib.h>

struct q_asker { rd_kafka_t *rk; };

q_rc q_asker_new(const q_kafka_config *config, q_asker **out, q_err *err)
{
    char text[256];
    q_asker *a = calloc(1, sizeof *a);
    rd_kafka_conf_t *conf = a ? q_kafka_conf(config, err) : NULL;
    if (!conf) {
        free(a);
        return a ? Q_FAIL : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    }
    if (!q_kafka_conf_set(conf, "group.id", "quanta-unused", err) || !q_kafka_conf_set(conf, "enable.auto.commit", "false", err) ||
        !q_kafka_conf_set(conf, "auto.offset.reset", "error", err) || !q_kafka_conf_set(conf, "fetch.message.max.bytes", "16000000", err) ||
        !q_kafka_conf_set(conf, "enable.partition.eof", "true", err) || !q_kafka_conf_set(conf, "fetch.wait.max.ms", "10", err) ||
        !(a->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text))) {
        if (err->code == Q_E_NONE)
            q_err_set(err, Q_E_INTERNAL, "kafka: %s", text);
        rd_kafka_conf_destroy(conf);
        free(a);
        return Q_FAIL;
    }
    rd_kafka_poll_set_consumer(a->rk);
    *out = a;
    return Q_OK;
}

void q_asker_free(q_asker *a)
{
    if (!a)
        return;
    rd_kafka_consumer_close(a->rk);
    rd_kafka_destroy(a->rk);
    free(a);
}

q_rc q_asker_partitions(q_asker *a, const char *topic, int timeout_ms, int *out, q_err *err)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(a->rk, topic, NULL);
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_resp_err_t e = rkt ? rd_kafka_metadata(a->rk, 0, rkt, &md, timeout_ms) : rd_kafka_last_error();
    *out = 0;
    if (e == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (md->topic_cnt == 1 && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
            *out = md->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(md);
    }
    if (rkt)
        rd_kafka_topic_destroy(rkt);
    if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
        return Q_OK;
    q_err_set(err, Q_E_INTERNAL, "kafka: topic %s: %s", topic, rd_kafka_err2str(e));
    return Q_RETRY;
}

static rd_kafka_resp_err_t assign_at(q_asker *a, const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    rd_kafka_resp_err_t e = rd_kafka_assign(a->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return e;
}

/* Where a logical offset is: that of the first message there, or of the end. Not rd_kafka_query_watermark_offsets(): a request that can't be
 * sent since the broker is gone is tried again for ever there, past its time limit (librdkafka 2.0.2, rd_kafka_buf_retry). */
static rd_kafka_resp_err_t look(q_asker *a, const char *topic, int32_t partition, int64_t logical, int64_t until, int64_t *out)
{
    rd_kafka_resp_err_t e = assign_at(a, topic, partition, logical);
    bool found = false;
    int64_t left;
    while ((e == RD_KAFKA_RESP_ERR_NO_ERROR || e == RD_KAFKA_RESP_ERR__TIMED_OUT) && !found && (left = until - q_bus_mono_ms()) > 0) {
        rd_kafka_message_t *rm = rd_kafka_consumer_poll(a->rk, (int)left);
        if (!rm)
            continue;
        found = rm->rkt && (rm->err == RD_KAFKA_RESP_ERR_NO_ERROR || rm->err == RD_KAFKA_RESP_ERR__PARTITION_EOF);
        if (found)
            *out = rm->offset;
        else
            e = RD_KAFKA_RESP_ERR__TIMED_OUT; /* what passes by itself is passed over: no leader yet, no connection */
        rd_kafka_message_destroy(rm);
    }
    rd_kafka_assign(a->rk, NULL);
    return found ? RD_KAFKA_RESP_ERR_NO_ERROR : e == RD_KAFKA_RESP_ERR_NO_ERROR ? RD_KAFKA_RESP_ERR__TIMED_OUT : e;
}

q_rc q_asker_watermarks(q_asker *a, const char *topic, int32_t partition, int timeout_ms, int64_t *low, int64_t *high, q_err *err)
{
    int64_t until = q_bus_mono_ms() + timeout_ms;
    rd_kafka_resp_err_t e = look(a, topic, partition, RD_KAFKA_OFFSET_BEGINNING, until, low);
    if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
        e = look(a, topic, partition, RD_KAFKA_OFFSET_END, until, high);
    if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
        return Q_OK;
    q_err_set(err, Q_E_INTERNAL, "kafka: offsets of %s[%d]: %s", topic, (int)partition, rd_kafka_err2str(e));
    return Q_RETRY;
}

q_rc q_asker_message(q_asker *a, const char *topic, int32_t partition, int64_t offset, int timeout_ms, q_message **out, q_err *err)
{
    *out = NULL;
    rd_kafka_resp_err_t e = assign_at(a, topic, partition, offset);
    q_rc rc = Q_RETRY;
    if (e == RD_KAFKA_RESP_ERR_NO_ERROR) {
        int64_t until = q_bus_mono_ms() + timeout_ms, left = timeout_ms;
        rd_kafka_message_t *rm = rd_kafka_consumer_poll(a->rk, timeout_ms);
        while (rm && rm->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && (left = until - q_bus_mono_ms()) > 0) { /* it may come yet */
            rd_kafka_message_destroy(rm);
            rm = rd_kafka_consumer_poll(a->rk, (int)left);
        }
        if (!rm) {
            q_err_set(err, Q_E_INTERNAL, "kafka: %s[%d]: offset %lld doesn't come", topic, (int)partition, (long long)offset);
        } else if (rm->err == RD_KAFKA_RESP_ERR_NO_ERROR && rm->offset == offset) {
            *out = q_message_wrap(rm);
            rc = *out ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        } else {
            if (rm->err == RD_KAFKA_RESP_ERR_NO_ERROR || rm->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
                rm->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
                rc = Q_END;
            else
                q_err_set(err, Q_E_INTERNAL, "kafka: %s[%d]: %s", topic, (int)partition, rd_kafka_message_errstr(rm));
            rd_kafka_message_destroy(rm);
        }
    } else {
        q_err_set(err, Q_E_INTERNAL, "kafka: %s: %s", topic, rd_kafka_err2str(e));
    }
    rd_kafka_assign(a->rk, NULL);
    return rc;
}

q_rc q_kafka_watermarks(const q_kafka_config *config, const char *topic, int32_t partition, int timeout_ms, int64_t *low, int64_t *high,
                        q_err *err)
{
    q_asker *a = NULL;
    q_rc rc = q_asker_new(config, &a, err);
    if (rc == Q_OK)
        rc = q_asker_watermarks(a, topic, partition, timeout_ms, low, high, err);
    q_asker_free(a);
    return rc;
}
