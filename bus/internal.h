/* internal.h - what the files of this folder share. */
#ifndef Q_BUS_INTERNAL_H
#define Q_BUS_INTERNAL_H

#include "bus/kafka.h"

#include <librdkafka/rdkafka.h>

/* A configuration with `config`'s bootstrap and settings, or NULL with err (the setting at fault is named). */
rd_kafka_conf_t *q_kafka_conf(const q_kafka_config *config, q_err *err);
/* Sets one; false with err. */
bool q_kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, q_err *err);

/* Takes the message over; NULL (and it is gone) when out of memory. */
q_message *q_message_wrap(rd_kafka_message_t *rm);

int64_t q_bus_mono_ms(void);

#endif
