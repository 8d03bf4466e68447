#include "base/say.h"
#include "bus/internal.h"

#include <pthread.h>
#include <stdlib.h>

bool q_kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, q_err *err)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return true;
    q_err_set(err, Q_E_INTERNAL, "kafka setting %s: %s", name, text);
    return false;
}

/* What goes wrong comes back as an error or an event; a broker that is away for a while is no news for a person. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    q_say(level <= 2 ? Q_SAY_ERROR : Q_SAY_DEBUG, "kafka: %s: %s", facility, text);
}

rd_kafka_conf_t *q_kafka_conf(const q_kafka_config *config, q_err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, on_log);
    bool ok = q_kafka_conf_set(conf, "bootstrap.servers", config->bootstrap, err) &&
              q_kafka_conf_set(conf, "client.id", "quanta", err) &&
              q_kafka_conf_set(conf, "socket.nagle.disable", "true", err) &&
              q_kafka_conf_set(conf, "reconnect.backoff.ms", "50", err) &&
              q_kafka_conf_set(conf, "reconnect.backoff.max.ms", "1000", err) &&
              q_kafka_conf_set(conf, "topic.metadata.refresh.interval.ms", "5000", err) &&
              q_kafka_conf_set(conf, "log_level", "3", err);
    for (const q_kafka_setting *s = config->settings; ok && s && s->name; s++)
        ok = q_kafka_conf_set(conf, s->name, s->value, err);
    if (ok)
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}
