/* config.h - quanta.yaml: one file of settings for every program, checked against one table (settings.c).
 *
 * A value may hold references, which are replaced before it is read as a number or anything else: `${NAME}` or `${env:NAME}` is a
 * variable of the environment, `${NAME:-text}` the same with what it is when there is none, `$$` a dollar sign. Other schemes
 * (`${vault:path#field}`) are resolvers that the program passes in. An unknown key, a wrong value or a reference that leads nowhere is
 * an error that names setting, line and column; the error never holds a value that may be a secret.
 *
 * Pure but for reading the file and the environment. A q_config never changes after it was read: any thread may read it. */
#ifndef Q_CMD_CONFIG_H
#define Q_CMD_CONFIG_H

#include "base/buf.h"
#include "base/error.h"
#include "schemas/catalog.h"

enum {
    Q_CONFIG_MAX_BYTES = 1 << 20,     /* of the file */
    Q_CONFIG_MAX_VALUE = 64 << 10,    /* of one value, references replaced */
    Q_CONFIG_MAX_LIST = 256,          /* entries of a list or a map */
};

typedef struct q_config_pair { const char *name, *value; } q_config_pair;

typedef struct q_config_engine {
    const char *uri, *user, *password, *token, *org; /* NULL when not given; without uri the engine isn't configured */
    int64_t version;         /* influx: 1 or 2 */
    int64_t workers;         /* processes that `quanta up` starts */
    int64_t http_port;       /* of the first of them; 0: any free one for each */
    int64_t read_sessions, lock_timeout_ms, io_timeout_ms;
} q_config_engine;

/* One field per setting; what each means is said once, in the table. Numbers have the unit of their name. */
typedef struct q_config {
    struct {
        const char *bootstrap, *topic_prefix;
        const q_config_pair *settings; /* ends with a NULL name */
        int64_t replication, fetch_wait_ms, session_timeout_ms, connect_timeout_ms;
        int64_t create_topics;
    } kafka;
    struct {
        int64_t requests_partitions, results_partitions, work_partitions, votes_partitions, changes_partitions;
        int64_t requests_retention_h, results_retention_h, work_retention_h, changes_retention_h;
    } topics;
    struct { const char *host; int64_t coordinator_port; } http;
    struct { const char *level; int64_t slow_ms; } log;
    struct { const char *dir; int64_t max_bytes, keep_bytes, trim_age_s, trim_bytes, segment_bytes, tombstone_retention_s; } wal;
    struct {
        int64_t max_in_flight, max_in_flight_bytes, max_request_bytes, transaction_max_bytes, dedupe_max_bytes, dedupe_window_s;
    } limits;
    struct { int64_t request_ms, request_max_ms, resend_ms, tail_flush_ms, stop_ms; } timeouts;
    struct { const char *const *reply_allow; int64_t publish_changes; } requests;
    q_config_engine engines[Q_EN_COUNT];
    struct { const char *const *engines; const char *dir; int64_t max_bytes; } embedded;
    struct { int64_t max_queue, max_queue_bytes, retry_ms, sweep_ms; } workers;
    struct { const char *dir; int64_t restart_ms, restart_max_ms; } up;
    struct {
        const char *host, *reply_topic;
        const char *tls_certificate, *tls_key, *tls_client_ca;
        int64_t port, processes, threads, max_connections, connections_per_address, idle_s, max_body_bytes;
        int64_t timeout_ms, timeout_max_ms, rows, rows_max, drain_ms, rate_per_s, rate_burst;
    } gateway;
    struct { const char *uri; } redis;
    struct {
        const char *mode, *jwks_file, *jwks_url, *issuer, *audience, *roles_claim, *admin_role, *admin_key_hash;
        int64_t leeway_s, jwks_refresh_s, allow_hs256;
    } auth;

    const char *path;      /* of the file, absolute; NULL when it was read from memory */
    struct q_arena *arena; /* all of the above */
} q_config;

/* Replaces the references of one scheme. `reference` is what stands between the scheme's colon and the brace. Appends the value to
 * `out`; Q_FAIL with what is wrong, without the value. Called while the file is read, on that thread; may block. */
typedef struct q_config_resolver {
    const char *scheme; /* "vault"; NULL ends a list */
    q_rc (*resolve)(void *ctx, q_slice reference, q_buf *out, q_err *err);
    void *ctx;
} q_config_resolver;

/* Reads a file. Relative paths in it are taken from its own directory. `resolvers` may be NULL. */
Q_CHECK q_rc q_config_load(const char *path, const q_config_resolver *resolvers, q_config **out, q_err *err);
/* The same from memory; `name` is what messages call it, `dir` what relative paths are taken from. Empty text: all defaults. */
Q_CHECK q_rc q_config_parse(q_slice text, const char *name, const char *dir, const q_config_resolver *resolvers, q_config **out, q_err *err);
void q_config_free(q_config *c); /* accepts NULL */

/* Is this engine's uri given, or is it played by the embedded one? */
bool q_config_has_engine(const q_config *c, q_engine_id e);
bool q_config_embedded(const q_config *c, q_engine_id e);

/* What holds, as YAML, secrets left out. */
void q_config_print(const q_config *c, q_buf *out);
/* docs/configuration.md. */
void q_config_markdown(q_buf *out);

#endif
