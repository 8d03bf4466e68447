/* Every setting there is. docs/configuration.md is printed from this (`make docs`), and a test compares them. */
#include "cmd/config/settings.h"

#include <stddef.h>

#define AT(field) offsetof(q_config, field)
#define KIB 1024ll
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

#define TEXT(path, field, initial, meaning)              { path, Q_SET_TEXT, AT(field), initial, 0, 0, "", 0, meaning }
#define DIR(path, field, initial, meaning)               { path, Q_SET_PATH, AT(field), initial, 0, 0, "", 0, meaning }
#define URI(path, field, meaning)                        { path, Q_SET_TEXT, AT(field), NULL, 0, 0, "", Q_SET_HIDE_PASSWORD, meaning }
#define SECRET(path, field, meaning)                     { path, Q_SET_TEXT, AT(field), NULL, 0, 0, "", Q_SET_SECRET, meaning }
#define NUMBER(path, field, initial, min, max, unit, meaning) { path, Q_SET_NUMBER, AT(field), initial, min, max, unit, 0, meaning }
#define BYTES(path, field, initial, min, max, meaning)   { path, Q_SET_BYTES, AT(field), initial, min, max, "bytes", 0, meaning }
#define BOOL(path, field, initial, meaning)              { path, Q_SET_BOOL, AT(field), initial, 0, 1, "", 0, meaning }
#define LIST(path, field, initial, meaning)              { path, Q_SET_LIST, AT(field), initial, 0, 0, "", 0, meaning }

/* What every engine has. */
#define ENGINE(name, id, port, uri_means)                                                                                               \
    URI("engines." name ".uri", engines[id].uri, uri_means),                                                                            \
    TEXT("engines." name ".user", engines[id].user, NULL, "Its user, when the uri doesn't name one."),                                  \
    SECRET("engines." name ".password", engines[id].password, "The user's password."),                                                  \
    NUMBER("engines." name ".workers", engines[id].workers, "1", 0, 64, "", "How many worker processes `quanta up` starts for it; they share its partitions."), \
    NUMBER("engines." name ".http_port", engines[id].http_port, port, 0, 65535, "", "`/health` and `/metrics` of its first worker, the second one's is one more; 0: any free port for each."), \
    NUMBER("engines." name ".read_sessions", engines[id].read_sessions, "2", 1, 16, "", "Connections of one worker that serve reads; prepares and decisions have one each beside them."), \
    NUMBER("engines." name ".lock_timeout_ms", engines[id].lock_timeout_ms, "1000", 1, 600000, "ms", "How long a prepare may wait for a lock inside the engine before it votes NO."), \
    NUMBER("engines." name ".io_timeout_ms", engines[id].io_timeout_ms, "10000", 100, 600000, "ms", "How long one answer of the engine may take before the connection is given up.")

const q_setting q_settings[] = {
    TEXT("kafka.bootstrap", kafka.bootstrap, NULL, "Brokers to ask first: HOST:PORT, several with commas. Needed by every program but `quanta dev`."),
    { "kafka.settings", Q_SET_MAP, AT(kafka.settings), NULL, 0, 0, "", Q_SET_SECRET, "Further settings of librdkafka by its own names, such as `security.protocol` or `sasl.password`, for every connection." },
    TEXT("kafka.topic_prefix", kafka.topic_prefix, "quanta", "What the names of all topics begin with."),
    BOOL("kafka.create_topics", kafka.create_topics, "true", "Create topics that are missing. When false a missing one is an error that names it."),
    NUMBER("kafka.replication", kafka.replication, "-1", -1, 16, "replicas", "Of topics that are created; -1: what the broker says."),
    NUMBER("kafka.fetch_wait_ms", kafka.fetch_wait_ms, "100", 1, 10000, "ms", "How long the broker may hold a fetch that has nothing to answer. New messages are answered at once whatever it is."),
    NUMBER("kafka.session_timeout_ms", kafka.session_timeout_ms, "6000", 1000, 300000, "ms", "After so long without a sign a worker's partitions go to the others. Not below the broker's `group.min.session.timeout.ms`."),
    NUMBER("kafka.connect_timeout_ms", kafka.connect_timeout_ms, "15000", 100, 600000, "ms", "How long a start waits for the brokers before it fails."),

    NUMBER("topics.requests_partitions", topics.requests_partitions, "12", 1, 4096, "partitions", "Of `quanta.requests` and `quanta.ingest` when they are created."),
    NUMBER("topics.results_partitions", topics.results_partitions, "4", 1, 4096, "partitions", "Of `quanta.results` when it is created."),
    NUMBER("topics.work_partitions", topics.work_partitions, "12", 1, 4096, "partitions", "Of `quanta.work.<engine>` and `quanta.reads.<engine>` when they are created: at most so many workers share an engine. The bucket is the key."),
    NUMBER("topics.votes_partitions", topics.votes_partitions, "4", 1, 4096, "partitions", "Of `quanta.votes` when it is created."),
    NUMBER("topics.changes_partitions", topics.changes_partitions, "4", 1, 4096, "partitions", "Of `quanta.changes.<bucket>` when it is created. The record's id is the key."),
    NUMBER("topics.requests_retention_h", topics.requests_retention_h, "168", 1, 87600, "hours", "How long requests stay in their topic when it is created. Longer than the coordinator may ever be down: a request that goes before it was processed stops the start."),
    NUMBER("topics.results_retention_h", topics.results_retention_h, "24", 1, 87600, "hours", "The same of results and dead letters."),
    NUMBER("topics.work_retention_h", topics.work_retention_h, "1", 1, 87600, "hours", "The same of work, reads and votes. All of it is sent again when it is needed again."),
    NUMBER("topics.changes_retention_h", topics.changes_retention_h, "168", 1, 87600, "hours", "The same of change events."),

    TEXT("http.host", http.host, "127.0.0.1", "The IPv4 address on which `/health` and `/metrics` are served."),
    NUMBER("http.coordinator_port", http.coordinator_port, "9600", 0, 65535, "", "The coordinator's; 0: any free port."),
    { "log.level", Q_SET_CHOICE, AT(log.level), "info", 0, 0, "debug info warn error", 0, "The least important lines that are written to stderr." },
    NUMBER("log.slow_ms", log.slow_ms, "1000", -1, 3600000, "ms", "A request that took so long in the coordinator gets a line `slow query` in its log: the statement without its values, the phases, the time in each engine. 0: every request; -1: none. At most 20 lines a second."),

    DIR("wal.dir", wal.dir, "quanta-wal", "The directory of the write-ahead log. On a disk that syncs, of its own if possible."),
    BYTES("wal.max_bytes", wal.max_bytes, "64GiB", 1 * MIB, 16 * TIB, "The most that the log may become. When it is full, decisions wait."),
    BYTES("wal.keep_bytes", wal.keep_bytes, "0", 0, 16 * TIB, "Records kept for the replies of repeated requests: the oldest request ids are forgotten when they are more; 0: only `limits.dedupe_*` bound them."),
    NUMBER("wal.trim_age_s", wal.trim_age_s, "0", 0, 315360000, "s", "Records that nobody needs any more stay in the log until they are so old, then go to compressed segments in `segments/` below it. 0 here and in `wal.trim_bytes`: at once."),
    BYTES("wal.trim_bytes", wal.trim_bytes, "0", 0, 16 * TIB, "The same by size: they go when the log's records are more."),
    BYTES("wal.segment_bytes", wal.segment_bytes, "8MiB", 64 * KIB, 1 * GIB, "A segment holds at least so many bytes of records, before compression."),
    NUMBER("wal.tombstone_retention_s", wal.tombstone_retention_s, "604800", 0, 315360000, "s", "How long an engine remembers what was deleted: longer than any worker or network may hold a message back."),

    NUMBER("limits.max_in_flight", limits.max_in_flight, "10000", 1, 1000000, "transactions", "When so many are under way, the coordinator stops reading requests until some have ended."),
    BYTES("limits.max_in_flight_bytes", limits.max_in_flight_bytes, "256MiB", 1 * MIB, 64 * GIB, "The same by the memory they take."),
    BYTES("limits.max_request_bytes", limits.max_request_bytes, "1052672", 1 * KIB, 8 * MIB, "One request message, envelope included. Larger ones are rejected."),
    BYTES("limits.transaction_max_bytes", limits.transaction_max_bytes, "64MiB", 1 * MIB, 1 * GIB, "Memory of one transaction."),
    BYTES("limits.dedupe_max_bytes", limits.dedupe_max_bytes, "256MiB", 1 * MIB, 64 * GIB, "Memory for request ids that were seen."),
    NUMBER("limits.dedupe_window_s", limits.dedupe_window_s, "86400", 1, 31536000, "s", "How long a request id is remembered, and never less than the log may still redeliver it."),

    NUMBER("timeouts.request_ms", timeouts.request_ms, "5000", 1, 3600000, "ms", "How long a request may wait for locks and votes when it has no `timeout-ms`."),
    NUMBER("timeouts.request_max_ms", timeouts.request_max_ms, "60000", 1, 3600000, "ms", "The most that `timeout-ms` may ask for."),
    NUMBER("timeouts.resend_ms", timeouts.resend_ms, "200", 10, 60000, "ms", "When an answer of a worker is overdue the message goes again; doubled up to 10 s."),
    NUMBER("timeouts.tail_flush_ms", timeouts.tail_flush_ms, "50", 1, 10000, "ms", "How long the note that a transaction has ended may wait for a log write to ride with."),
    NUMBER("timeouts.stop_ms", timeouts.stop_ms, "10000", 0, 600000, "ms", "After SIGTERM: how long the coordinator waits for what is in flight. What is left is finished by its next start."),

    LIST("requests.reply_allow", requests.reply_allow, "quanta.results* quanta.reply.*", "Topics to which `reply-to` may send results, each with an optional `*` at its end. The system's own topics never."),
    BOOL("requests.publish_changes", requests.publish_changes, "true", "Publish change events to `quanta.changes.<bucket>`."),

    ENGINE("postgres", Q_EN_POSTGRES, "9610", "PostgreSQL, as libpq takes it: `postgresql://user@host:port/database`. `max_prepared_transactions` must be above 0 there."),
    ENGINE("mongo", Q_EN_MONGO, "9620", "MongoDB, as its drivers take it: `mongodb://host:port`."),
    ENGINE("neo4j", Q_EN_NEO4J, "9630", "Neo4j's HTTP address: `http://host:port`."),
    ENGINE("influx", Q_EN_INFLUX, "9640", "InfluxDB's HTTP address: `http://host:port`."),
    NUMBER("engines.influx.version", engines[Q_EN_INFLUX].version, "1", 1, 2, "", "1: InfluxDB 1.x, or 2 through its v1 interface; 2: InfluxDB 2.x, which wants `token` and `org`."),
    SECRET("engines.influx.token", engines[Q_EN_INFLUX].token, "InfluxDB 2: the API token."),
    TEXT("engines.influx.org", engines[Q_EN_INFLUX].org, NULL, "InfluxDB 2: the organization."),

    LIST("embedded.engines", embedded.engines, "", "Engines that are played by the embedded one instead of a server: of `postgres mongo neo4j influx`. Their `uri` must not be given."),
    DIR("embedded.dir", embedded.dir, "quanta-engines", "Where the embedded engines keep their data, a directory each."),
    BYTES("embedded.max_bytes", embedded.max_bytes, "64GiB", 16 * MIB, 16 * TIB, "The most that one of them may become."),

    NUMBER("workers.max_queue", workers.max_queue, "4096", 16, 1000000, "messages", "That may wait in a worker for one lane. What is beyond is dropped; the coordinator sends it again."),
    BYTES("workers.max_queue_bytes", workers.max_queue_bytes, "256MiB", 16 * MIB, 64 * GIB, "The same by size, of all lanes."),
    NUMBER("workers.retry_ms", workers.retry_ms, "100", 1, 60000, "ms", "First pause before a failed apply is tried again; doubled up to 5 s."),
    NUMBER("workers.sweep_ms", workers.sweep_ms, "5000", 100, 3600000, "ms", "How often a worker looks for prepared transactions that nobody decides."),

    DIR("up.dir", up.dir, "quanta-run", "Where `quanta up` keeps its ready file, and what clients with `-c` look into."),
    NUMBER("up.restart_ms", up.restart_ms, "200", 10, 60000, "ms", "First pause before `quanta up` starts a process again that has died; doubled each time it dies soon after."),
    NUMBER("up.restart_max_ms", up.restart_max_ms, "10000", 10, 600000, "ms", "The longest such pause."),

    TEXT("gateway.host", gateway.host, "127.0.0.1", "The IPv4 address on which HTTP is served."),
    NUMBER("gateway.port", gateway.port, "8080", 0, 65535, "", "Its port; 0: any free one."),
    NUMBER("gateway.processes", gateway.processes, "0", 0, 1, "", "How many gateways `quanta up` starts beside the coordinator and the workers."),
    TEXT("gateway.reply_topic", gateway.reply_topic, NULL, "Where results for this gateway go, nobody else's. Not given: `<prefix>.reply.gateway-HOSTNAME-PORT`. It is made when it is missing (`kafka.create_topics`)."),
    DIR("gateway.tls_certificate", gateway.tls_certificate, NULL, "A PEM file: the certificate and what leads to its root. With `gateway.tls_key`: HTTPS and nothing else."),
    DIR("gateway.tls_key", gateway.tls_key, NULL, "A PEM file: its private key."),
    DIR("gateway.tls_client_ca", gateway.tls_client_ca, NULL, "A PEM file of certificate authorities: every client must then show a certificate that one of them signed (mutual TLS)."),
    NUMBER("gateway.threads", gateway.threads, "2", 1, 64, "threads", "Of HTTP; none of them ever waits for the coordinator."),
    NUMBER("gateway.max_connections", gateway.max_connections, "4096", 16, 65536, "connections", "At once. What is beyond waits in the listen queue."),
    NUMBER("gateway.connections_per_address", gateway.connections_per_address, "0", 0, 65536, "connections", "At once from one address; 0: as many as there may be."),
    NUMBER("gateway.idle_s", gateway.idle_s, "60", 1, 3600, "s", "A connection that says nothing for so long is closed."),
    BYTES("gateway.max_body_bytes", gateway.max_body_bytes, "1MiB", 1 * KIB, 8 * MIB, "Of one HTTP request. Not above `limits.max_request_bytes`."),
    NUMBER("gateway.timeout_ms", gateway.timeout_ms, "5000", 1, 3600000, "ms", "How long a request may take when it doesn't say (`timeout-ms`)."),
    NUMBER("gateway.timeout_max_ms", gateway.timeout_max_ms, "60000", 1, 3600000, "ms", "The most that it may ask for."),
    NUMBER("gateway.rows", gateway.rows, "100", 1, 100000, "rows", "Of a page when the request doesn't say (`limit`)."),
    NUMBER("gateway.rows_max", gateway.rows_max, "1000", 1, 100000, "rows", "The most that a page may have."),
    NUMBER("gateway.drain_ms", gateway.drain_ms, "10000", 0, 600000, "ms", "After SIGTERM: how long what was accepted may take to be answered."),
    NUMBER("gateway.rate_per_s", gateway.rate_per_s, "0", 0, 1000000, "requests a second", "From one API key or token, or from one address where there is none; 429 beyond. /health, /livez, /readyz and /metrics don't count. 0: no limit."),
    NUMBER("gateway.rate_burst", gateway.rate_burst, "0", 0, 1000000, "requests", "How many of them may come at once after a pause; 0: as many as in two seconds."),

    { "auth.mode", Q_SET_CHOICE, AT(auth.mode), "off", 0, 0, "off on", 0, "off: nobody is asked who he is, everybody may do everything, and HTTP is served on loopback only. on: every request needs a token or an API key (docs/permissions.md)." },
    DIR("auth.jwks_file", auth.jwks_file, NULL, "The public keys of tokens, a JWKS. Read again every `auth.jwks_refresh_s`."),
    TEXT("auth.jwks_url", auth.jwks_url, NULL, "The same from the issuer: https, or http on this machine. The last one stays in force while it can't be had."),
    NUMBER("auth.jwks_refresh_s", auth.jwks_refresh_s, "300", 1, 86400, "s", "How often the key set is read again; sooner (10 s) when a token names a key that isn't known."),
    TEXT("auth.issuer", auth.issuer, NULL, "`iss` of every token."),
    TEXT("auth.audience", auth.audience, NULL, "Must be in `aud` of every token."),
    NUMBER("auth.leeway_s", auth.leeway_s, "30", 0, 300, "s", "How far clocks may differ, for `exp`, `nbf` and `iat`."),
    TEXT("auth.roles_claim", auth.roles_claim, "roles", "The claim with the roles: an array of texts, or one with spaces between."),
    TEXT("auth.admin_role", auth.admin_role, NULL, "A token with this role may do everything, in every bucket. None: no token may."),
    TEXT("auth.admin_key_hash", auth.admin_key_hash, NULL, "The hash of an API key that may do everything, as `quanta key new --admin` prints it: the way into a new installation."),
    BOOL("auth.allow_hs256", auth.allow_hs256, "false", "Take keys of kind `oct` (HS256), too: whoever verifies with such a key could sign with it."),

    URI("redis.uri", redis.uri, "Redis, `redis://host:port`. Not used by the coordinator and the workers."),
};
const size_t q_settings_count = sizeof q_settings / sizeof q_settings[0];
