#include "cmd/host/positions_check.h"

#include "base/say.h"
#include "coordinator/positions.h"

enum { MAX_PARTITIONS = Q_POSITIONS_MAX_PARTITIONS };

typedef struct known { int32_t partition; int64_t next, last; bool has_last; uint8_t hash[16]; } known;

static void ask(void *ctx, q_core *core, int64_t mono_us)
{
    known *k = ctx;
    (void)mono_us;
    k->next = q_core_position(core, k->partition);
    k->has_last = q_core_position_hash(core, k->partition, &k->last, k->hash);
}

static q_rc differs(q_err *err, const char *topic, int32_t partition, const char *what)
{
    q_err_set(err, Q_E_INTERNAL, "%s[%d] isn't the topic that the log knows: %s", topic, (int)partition, what);
    q_err_hint(err, "if it was created anew on purpose, start once with --new-topic: what the old one held unprocessed is lost");
    return Q_FAIL;
}

static q_rc one(q_asker *a, const char *topic, const known *k, int timeout_ms, q_err *err)
{
    int64_t low = 0, high = 0;
    q_rc rc = q_asker_watermarks(a, topic, k->partition, timeout_ms, &low, &high, err);
    if (rc != Q_OK)
        return rc;
    if (high < k->next)
        return differs(err, topic, k->partition, "it ends before what was processed");
    if (low > k->next)
        return differs(err, topic, k->partition, "requests that were not processed are gone (retention?)");
    if (!k->has_last || k->last < low || k->last >= high)
        return Q_OK;
    q_message *m = NULL;
    rc = q_asker_message(a, topic, k->partition, k->last, timeout_ms, &m, err);
    if (rc == Q_END) /* compaction, or a transaction's marker: nothing to compare */
        return Q_OK;
    if (rc == Q_OK) {
        uint8_t hash[16];
        q_positions_hash_message(q_message_key(m), q_message_value(m), hash);
        if (memcmp(hash, k->hash, sizeof hash) != 0)
            rc = differs(err, topic, k->partition, "it has another message where the last processed one was");
        q_message_free(m);
    }
    return rc;
}

q_rc q_positions_check(const q_kafka_config *kafka, const char *topic, q_host *host, int timeout_ms, q_err *err)
{
    q_asker *a = NULL;
    int partitions = 0;
    q_rc rc = q_asker_new(kafka, &a, err);
    if (rc == Q_OK)
        rc = q_asker_partitions(a, topic, timeout_ms, &partitions, err);
    for (int32_t p = 0; rc == Q_OK && p < MAX_PARTITIONS; p++) {
        known k = { .partition = p };
        if (!q_host_ask(host, ask, &k))
            rc = q_err_set(err, Q_E_SHUTTING_DOWN, "the coordinator has stopped");
        else if (k.next < 0 && !k.has_last)
            continue;
        else if (p >= partitions)
            rc = differs(err, topic, p, "it has fewer partitions");
        else
            rc = one(a, topic, &k, timeout_ms, err);
    }
    q_asker_free(a);
    return rc;
}
