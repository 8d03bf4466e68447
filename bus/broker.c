#include "bus/internal.h"

#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>

struct q_broker {
    rd_kafka_t *rk; /* the instance that carries the mock cluster */
    rd_kafka_mock_cluster_t *cluster;
};

q_rc q_broker_start(q_broker **out, q_err *err)
{
    char text[256];
    q_broker *b = calloc(1, sizeof *b);
    if (!b)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!q_kafka_conf_set(conf, "log_level", "3", err)) {
        rd_kafka_conf_destroy(conf);
        free(b);
        return Q_FAIL;
    }
    b->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!b->rk) {
        rd_kafka_conf_destroy(conf);
        free(b);
        return q_err_set(err, Q_E_INTERNAL, "in-process broker: %s", text);
    }
    b->cluster = rd_kafka_mock_cluster_new(b->rk, 1);
    if (!b->cluster) {
        rd_kafka_destroy(b->rk);
        free(b);
        return q_err_set(err, Q_E_INTERNAL, "in-process broker: it can't listen on the loopback address");
    }
    *out = b;
    return Q_OK;
}

const char *q_broker_bootstrap(const q_broker *b) { return rd_kafka_mock_cluster_bootstraps(b->cluster); }

q_rc q_broker_create_topic(q_broker *b, const char *topic, int partitions, q_err *err)
{
    rd_kafka_resp_err_t e = rd_kafka_mock_topic_create(b->cluster, topic, partitions, 1);
    return e == RD_KAFKA_RESP_ERR_NO_ERROR ? Q_OK : q_err_set(err, Q_E_INTERNAL, "topic %s: %s", topic, rd_kafka_err2str(e));
}

void q_broker_stop(q_broker *b)
{
    if (!b)
        return;
    rd_kafka_mock_cluster_destroy(b->cluster);
    rd_kafka_destroy(b->rk);
    free(b);
}
