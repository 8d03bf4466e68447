/* Sessions, the epoch, and what the engine remembers. */
#include "workers/influx/internal.h"

#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool initialised;
static void init(void) { initialised = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK && sodium_init() >= 0; }

static void ix_close(q_engine *e)
{
    if (!e)
        return;
    if (e->curl)
        curl_easy_cleanup(e->curl);
    curl_slist_free_all(e->form);
    curl_slist_free_all(e->lines);
    curl_slist_free_all(e->json);
    free(e->base);
    free(e->org);
    q_buf_free(&e->answer);
    free(e);
}

/* ---- opening ---- */

/* The value of `name` in a URL's query part, unescaped (curl_free it); NULL when it isn't there. */
static char *parameter(CURL *curl, const char *query, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = query; at && *at; at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL)
        if (!strncmp(at, name, n) && at[n] == '=') {
            size_t len = strcspn(at + n + 1, "&");
            return curl_easy_unescape(curl, at + n + 1, (int)len, NULL);
        }
    return NULL;
}

/* Takes apart http://[user:password@]host:port[/path][?org=…&token=…&version=…]. */
static bool take_uri(q_engine *e, const char *uri, char **token)
{
    CURLU *u = curl_url();
    char *query = NULL, *base = NULL, *org = NULL, *version = NULL, *user = NULL, *password = NULL;
    bool ok = u && curl_url_set(u, CURLUPART_URL, uri, 0) == CURLUE_OK;
    if (ok) {
        if (curl_url_get(u, CURLUPART_QUERY, &query, 0) == CURLUE_OK) {
            org = parameter(e->curl, query, "org");
            *token = parameter(e->curl, query, "token");
            version = parameter(e->curl, query, "version");
        }
        if (curl_url_get(u, CURLUPART_USER, &user, CURLU_URLDECODE) == CURLUE_OK)
            curl_easy_setopt(e->curl, CURLOPT_USERNAME, user);
        if (curl_url_get(u, CURLUPART_PASSWORD, &password, CURLU_URLDECODE) == CURLUE_OK)
            curl_easy_setopt(e->curl, CURLOPT_PASSWORD, password);
        curl_url_set(u, CURLUPART_QUERY, NULL, 0);
        curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
        curl_url_set(u, CURLUPART_USER, NULL, 0);
        curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
        ok = curl_url_get(u, CURLUPART_URL, &base, 0) == CURLUE_OK;
    }
    if (version && !strcmp(version, "2"))
        e->version = 2;
    if (ok) {
        size_t n = strlen(base);
        while (n && base[n - 1] == '/')
            n--;
        e->base = strndup(base, n);
        char *escaped = curl_easy_escape(e->curl, org ? org : "", 0);
        e->org = escaped ? strdup(escaped) : NULL;
        curl_free(escaped);
        ok = e->base && e->org && n + strlen(e->org) < 2000;
    }
    curl_free(query);
    curl_free(base);
    curl_free(org);
    curl_free(version);
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(u);
    return ok;
}

static bool add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer)
        *list = longer;
    return longer != NULL;
}

static bool make_headers(q_engine *e, const char *token)
{
    static const char *const types[] = { "Content-Type: application/x-www-form-urlencoded", "Content-Type: text/plain; charset=utf-8",
                                         "Content-Type: application/json" };
    struct curl_slist **lists[] = { &e->form, &e->lines, &e->json };
    char authorization[1024] = "";
    bool ok = true;
    if (token && *token)
        ok = snprintf(authorization, sizeof authorization, "Authorization: Token %s", token) < (int)sizeof authorization;
    for (size_t i = 0; ok && i < 3; i++) /* without Expect, which would cost a round trip per large body */
        ok = add_header(lists[i], types[i]) && add_header(lists[i], "Expect:") && (!*authorization || add_header(lists[i], authorization));
    sodium_memzero(authorization, sizeof authorization);
    return ok;
}

static void set_options(q_engine *e, const q_engine_config *config)
{
    long timeout = config->io_timeout_ms ? (long)config->io_timeout_ms : 10000;
    curl_easy_setopt(e->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e->curl, CURLOPT_TIMEOUT_MS, timeout);
    curl_easy_setopt(e->curl, CURLOPT_CONNECTTIMEOUT_MS, timeout < 5000 ? timeout : 5000L);
    curl_easy_setopt(e->curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    if (config->user && *config->user)
        curl_easy_setopt(e->curl, CURLOPT_USERNAME, config->user);
    if (config->password && *config->password)
        curl_easy_setopt(e->curl, CURLOPT_PASSWORD, config->password);
}

static q_rc ix_open(const q_engine_config *config, q_engine **out, q_err *err)
{
    char *token = NULL;
    q_engine_state state;
    pthread_once(&once, init);
    if (!initialised)
        return q_err_set(err, Q_E_INTERNAL, "libcurl or libsodium can't be initialised");
    if (config->id != Q_EN_INFLUX)
        return q_err_set(err, Q_E_INTERNAL, "InfluxDB serves metrics only");
    if (config->server_version > 2)
        return q_err_set(err, Q_E_ENGINE_REFUSED, "engines.influx.version: 1 or 2, not %u", config->server_version);
    if (!config->uri || !*config->uri)
        return q_err_set(err, Q_E_ENGINE_REFUSED, "engines.influx.uri: missing");
    q_engine *e = calloc(1, sizeof *e);
    if (!e || !(e->curl = curl_easy_init())) {
        ix_close(e);
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    }
    e->answer = Q_BUF_INIT(IX_MAX_ANSWER);
    e->cluster = config->cluster;
    e->version = config->server_version == 2 ? 2 : 1;
    e->nonce = randombytes_random();
    q_rc rc = Q_OK;
    if (!take_uri(e, config->uri, &token))
        rc = q_err_set(err, Q_E_ENGINE_REFUSED, "engines.influx.uri: not http://host:port[?org=…]");
    set_options(e, config);
    if (rc == Q_OK && !make_headers(e, config->token && *config->token ? config->token : token))
        rc = q_err_set(err, Q_E_ENGINE_REFUSED, "engines.influx.token: too long");
    /* v2 keeps names that begin with an underscore to itself. */
    e->own = e->version == 2 ? "quanta__state" : "_quanta";
    if (rc == Q_OK)
        rc = ix_load_state(e, &state, err);
    curl_free(token);
    if (rc == Q_OK)
        *out = e;
    else
        ix_close(e);
    return rc;
}

/* ---- the epoch ---- */

/* What sessions left before the epoch that ended now: newer rows have it all. The ended one's stay until the next time, a session of it may
 * be writing still. */
typedef struct sweeping { ix_deletes deletes; uint64_t ended; q_slice db; } sweeping;

static q_rc take_writer(void *ctx, const char *name, const json_t *v, q_err *err)
{
    sweeping *s = ctx;
    q_slice writer = ix_text(v, 2);
    return ix_writer_epoch(writer) < s->ended ? ix_delete_add(&s->deletes, s->db, q_slice_cstr(name), "w", writer, NULL, Q_SLICE_NONE, err) : Q_OK;
}

static q_rc write_state(q_engine *e, uint64_t epoch, const q_engine_state *before, q_err *err)
{
    char writer[IX_WRITER_BYTES], line[256];
    ix_writer(e, epoch, writer);
    snprintf(line, sizeof line, "engine,w=%s epoch=%" PRId64 "i,cluster=%" PRId64 "i,high=%" PRId64 "i,below=%" PRId64 "i 0\n", writer, (int64_t)epoch,
             (int64_t)e->cluster, (int64_t)before->applied_high, (int64_t)before->applied_below);
    return ix_write(e, q_slice_cstr(e->own), q_slice_cstr(line), err);
}

static q_rc sweep_state(q_engine *e, uint64_t ended, q_err *err)
{
    sweeping s = { .ended = ended, .db = q_slice_cstr(e->own) };
    json_t *results = NULL;
    ix_delete_begin(&s.deletes, e);
    q_rc rc = ix_query(e, Q_SLICE_LIT("SELECT \"high\", \"w\" FROM \"engine\""), &results, err);
    if (rc == Q_OK)
        rc = ix_rows(results, 0, take_writer, &s, err);
    json_decref(results);
    return ix_delete_end(&s.deletes, rc, err);
}

static q_rc ix_fence(q_engine *e, uint64_t epoch, q_engine_state *state, q_err *err)
{
    q_rc rc = ix_load_state(e, state, err);
    if (rc != Q_OK)
        return rc;
    if (state->cluster && state->cluster != e->cluster) {
        q_err_set(err, Q_E_ENGINE_REFUSED, "influx: this server belongs to another QuantaDB system (cluster %" PRIu64 ")", state->cluster);
        q_err_hint(err, "point engines.influx.uri at a server of its own");
        return Q_FAIL;
    }
    if (state->epoch > epoch)
        return q_err_set(err, Q_E_ENGINE_REFUSED, "influx remembers epoch %" PRIu64 ", higher than %" PRIu64 ": a newer coordinator is at work",
                         state->epoch, epoch);
    if (state->epoch == epoch && state->cluster)
        return Q_OK;
    rc = write_state(e, epoch, state, err);
    if (rc == Q_OK) /* two at once: the higher stays */
        rc = ix_check_epoch(e, epoch, err);
    return rc == Q_OK ? sweep_state(e, state->epoch, err) : rc;
}

/* ---- nothing is prepared here: the redo in the log is the durable prepared state (B3) ---- */

static q_rc ix_rollback(q_engine *e, uint64_t epoch, const uint64_t *seqs, size_t n, q_err *err)
{
    (void)e, (void)epoch, (void)seqs, (void)n, (void)err;
    return Q_OK;
}

static q_rc ix_list_prepared(q_engine *e, q_arena *arena, uint64_t **epochs, uint64_t **seqs, size_t *n, q_err *err)
{
    (void)e, (void)arena, (void)err;
    *epochs = *seqs = NULL;
    *n = 0;
    return Q_OK;
}

const q_engine_ops q_engine_influx = {
    .name = "influx",
    .durable_prepare = false,
    .open = ix_open,
    .close = ix_close,
    .fence = ix_fence,
    .prepare = ix_prepare,
    .commit = ix_commit,
    .rollback = ix_rollback,
    .list_prepared = ix_list_prepared,
    .read = ix_read,
    .purge = ix_purge,
};
