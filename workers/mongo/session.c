/* Sessions, the epoch, and what the engine remembers (database "_quanta", collection "known").
 *
 * B8's check with each write: this server may have no multi-document transactions, so the epoch is read before a batch and a zombie
 * that passed it is met by the seq check and by tombstones, which outlive any pause. */
#include "workers/mongo/internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FEW_NAMES = 64, COUNT_EVERY = 1024 };

/* The driver sets itself up in its library's constructor: it makes a file of counters in /dev/shm, which a killed process leaves behind, and warns
 * on stderr when one with its number is there. What stands in .preinit_array runs before libraries' constructors, ours after them:
 * nothing is said, and the file has no name any more (http://mongoc.org/libmongoc/1.23.1/mongoc-stat.html is all that it serves). */
static void say_nothing(void)
{
    mongoc_log_set_handler(NULL, NULL); /* what goes wrong comes back as an error */
}
__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(void) = say_nothing;

__attribute__((constructor)) static void leave_no_file(void)
{
    char name[32];
    snprintf(name, sizeof name, "/mongoc-%d", (int)getpid());
    shm_unlink(name);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void init(void)
{
    mongoc_init();
}

/* Codes: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml. */
static bool passes_by_itself(uint32_t code)
{
    static const uint32_t codes[] = { 6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436 }; /* unreachable, shutting down, no primary */
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i] == code)
            return true;
    return false;
}

/* What the server said about this very request is no sign that it is down: the worker then looks which transaction it doesn't take. */
q_rc mg_error(const bson_error_t *e, const char *doing, q_err *err)
{
    bool setting = e->domain == MONGOC_ERROR_CLIENT && e->code == MONGOC_ERROR_CLIENT_AUTHENTICATE;
    setting = setting || (e->domain == MONGOC_ERROR_SERVER && (e->code == 13 || e->code == 18));
    bool refused = setting || (e->domain == MONGOC_ERROR_SERVER && !passes_by_itself(e->code));
    q_err_set(err, refused ? Q_E_ENGINE_REFUSED : Q_E_ENGINE_DOWN, "mongo: %s: %s", doing, e->message);
    if (setting)
        q_err_hint(err, "check engines.mongo.uri, user and password in quanta.yaml");
    return setting ? Q_FAIL : Q_RETRY;
}

static mongoc_collection_t *own(q_engine *e) { return mongoc_client_get_collection(e->client, MG_OWN_DB, "known"); }

mongoc_collection_t *mg_collection(q_engine *e, q_slice bucket, q_slice record)
{
    char db[Q_MAX_NAME_BYTES + 1], name[Q_MAX_NAME_BYTES + 1];
    snprintf(db, sizeof db, "%.*s", Q_SLICE_FMT(bucket));
    snprintf(name, sizeof name, "%.*s", Q_SLICE_FMT(record));
    return mongoc_client_get_collection(e->client, db, name);
}

static void mg_close(q_engine *e)
{
    if (!e)
        return;
    mongoc_client_destroy(e->client);
    free(e);
}

static q_rc mg_open(const q_engine_config *config, q_engine **out, q_err *err)
{
    bson_error_t error;
    pthread_once(&once, init);
    if (config->id != Q_EN_MONGO)
        return q_err_set(err, Q_E_INTERNAL, "MongoDB serves documents only");
    mongoc_uri_t *uri = config->uri ? mongoc_uri_new_with_error(config->uri, &error) : NULL;
    if (!uri) {
        q_err_set(err, Q_E_ENGINE_REFUSED, "engines.mongo.uri: %s", config->uri ? error.message : "missing");
        return Q_FAIL;
    }
    if (config->user && *config->user)
        mongoc_uri_set_username(uri, config->user);
    if (config->password && *config->password)
        mongoc_uri_set_password(uri, config->password);
    int32_t timeout = config->io_timeout_ms ? (int32_t)config->io_timeout_ms : 10000;
    mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, timeout);
    mongoc_uri_set_option_as_int32(uri, MONGOC_URI_CONNECTTIMEOUTMS, 5000);
    mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, 5000);
    mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, false); /* the coordinator repeats */
    q_engine *e = calloc(1, sizeof *e);
    if (e)
        e->client = mongoc_client_new_from_uri_with_error(uri, &error);
    mongoc_uri_destroy(uri);
    if (!e || !e->client) {
        free(e);
        return q_err_set(err, Q_E_ENGINE_REFUSED, "engines.mongo.uri: %s", e ? error.message : "out of memory");
    }
    e->cluster = config->cluster;
    mongoc_client_set_error_api(e->client, MONGOC_ERROR_API_VERSION_2);
    char name[64];
    snprintf(name, sizeof name, "quanta-%.40s", config->worker ? config->worker : "worker");
    mongoc_client_set_appname(e->client, name);
    mongoc_write_concern_t *concern = mongoc_write_concern_new();
    mongoc_write_concern_set_journal(concern, true);
    mongoc_client_set_write_concern(e->client, concern);
    mongoc_write_concern_destroy(concern);
    bson_t ask = BSON_INITIALIZER, info;
    bson_iter_t it;
    BSON_APPEND_INT32(&ask, "buildInfo", 1);
    bool ok = mongoc_client_command_simple(e->client, "admin", &ask, NULL, &info, &error);
    e->scans = ok && bson_iter_init_find(&it, &info, "ferretdbVersion");
    bson_destroy(&ask);
    bson_destroy(&info);
    if (!ok) {
        q_rc rc = mg_error(&error, "connecting", err);
        mg_close(e);
        return rc;
    }
    *out = e;
    return Q_OK;
}

/* ---- one document of our own ---- */

static void object_id(char *out, size_t size, q_slice bucket, q_slice record)
{
    snprintf(out, size, "%.*s/%.*s", Q_SLICE_FMT(bucket), Q_SLICE_FMT(record));
}

static q_named named_of(const bson_t *doc)
{
    return (q_named){ .created = mg_number(doc, "created"), .dropped = mg_number(doc, "dropped"), .ddl = mg_number(doc, "ddl") };
}

typedef struct recall { const char *bucket_id, *record_id; mg_known *known; } recall;

static q_rc take_known(void *ctx, const bson_t *doc, q_err *err)
{
    recall *r = ctx;
    bson_iter_t it;
    const char *id = bson_iter_init_find(&it, doc, "_id") ? bson_iter_utf8(&it, NULL) : NULL;
    (void)err;
    if (!id)
        return Q_OK;
    if (!strcmp(id, "state"))
        r->known->state = (q_engine_state){ .cluster = mg_number(doc, "cluster"), .epoch = mg_number(doc, "epoch"),
                                            .applied_high = mg_number(doc, "applied_high"), .applied_below = mg_number(doc, "applied_below") };
    if (!strcmp(id, r->bucket_id))
        r->known->bucket = named_of(doc);
    if (!strcmp(id, r->record_id))
        r->known->record = named_of(doc);
    return Q_OK;
}

/* FerretDB reads the whole collection for a query of several ids: still one round trip instead of three, while the names are few. */
static bool few_names(q_engine *e, mongoc_collection_t *c)
{
    bson_error_t error;
    if (e->scans && e->look_ups++ % COUNT_EVERY == 0) {
        int64_t n = mongoc_collection_estimated_document_count(c, NULL, NULL, NULL, &error);
        e->many_names = n < 0 || n > FEW_NAMES;
    }
    return !e->many_names;
}

q_rc mg_look_up(q_engine *e, q_slice bucket, q_slice record, mg_known *out, q_err *err)
{
    char bucket_id[2 * Q_MAX_NAME_BYTES + 2], record_id[2 * Q_MAX_NAME_BYTES + 2];
    object_id(bucket_id, sizeof bucket_id, bucket, Q_SLICE_NONE);
    object_id(record_id, sizeof record_id, bucket, record);
    const q_value names[3] = { { .type = Q_T_STRING, .s = Q_SLICE_LIT("state") }, { .type = Q_T_STRING, .s = q_slice_cstr(bucket_id) },
                               { .type = Q_T_STRING, .s = q_slice_cstr(record_id) } };
    const q_value *ids[3] = { &names[0], &names[1], &names[2] };
    recall r = { record.len || bucket.len ? bucket_id : "", record.len ? record_id : "", out };
    *out = (mg_known){ 0 };
    mongoc_collection_t *c = own(e);
    size_t n = record.len ? 3 : bucket.len ? 2 : 1;
    q_rc rc = n > 1 && few_names(e, c) ? mg_find_all(c, ids, n, NULL, take_known, &r, err) : mg_find_ids(e, c, ids, n, NULL, take_known, &r, err);
    mongoc_collection_destroy(c);
    return rc;
}

/* $set (or $max) of `fields` on document `id`, made when missing. */
static q_rc upsert(mongoc_collection_t *c, const char *id, const char *op, const bson_t *fields, q_err *err)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, opts = BSON_INITIALIZER;
    bson_error_t error;
    BSON_APPEND_UTF8(&filter, "_id", id);
    BSON_APPEND_DOCUMENT(&update, op, fields);
    BSON_APPEND_BOOL(&opts, "upsert", true);
    q_rc rc = mongoc_collection_update_one(c, &filter, &update, &opts, NULL, &error) ? Q_OK : mg_error(&error, "writing its own state", err);
    bson_destroy(&filter);
    bson_destroy(&update);
    bson_destroy(&opts);
    return rc;
}

static q_rc load_state(q_engine *e, q_engine_state *state, q_err *err)
{
    mg_known known;
    q_rc rc = mg_look_up(e, Q_SLICE_NONE, Q_SLICE_NONE, &known, err);
    *state = known.state;
    return rc;
}

q_rc mg_refuse_lower(const q_engine_state *state, uint64_t epoch, q_err *err)
{
    if (state->epoch <= epoch)
        return Q_OK;
    return q_err_set(err, Q_E_ENGINE_REFUSED, "mongo remembers epoch %llu, higher than %llu: a newer coordinator is at work",
                     (unsigned long long)state->epoch, (unsigned long long)epoch);
}

q_rc mg_check_epoch(q_engine *e, uint64_t epoch, q_err *err)
{
    q_engine_state state;
    q_rc rc = load_state(e, &state, err);
    return rc == Q_OK ? mg_refuse_lower(&state, epoch, err) : rc;
}

static q_rc mg_fence(q_engine *e, uint64_t epoch, q_engine_state *state, q_err *err)
{
    q_rc rc = load_state(e, state, err);
    if (rc != Q_OK)
        return rc;
    if (state->cluster && state->cluster != e->cluster) {
        q_err_set(err, Q_E_ENGINE_REFUSED, "mongo: this server belongs to another QuantaDB system (cluster %llu)", (unsigned long long)state->cluster);
        q_err_hint(err, "point engines.mongo.uri at a server of its own");
        return Q_FAIL;
    }
    if (mg_refuse_lower(state, epoch, err) != Q_OK)
        return Q_FAIL;
    mongoc_collection_t *c = own(e);
    bson_t fields = BSON_INITIALIZER, raise = BSON_INITIALIZER;
    BSON_APPEND_INT64(&fields, "cluster", (int64_t)e->cluster);
    BSON_APPEND_INT64(&raise, "epoch", (int64_t)epoch);
    rc = upsert(c, "state", "$set", &fields, err);
    if (rc == Q_OK)
        rc = upsert(c, "state", "$max", &raise, err);
    bson_destroy(&fields);
    bson_destroy(&raise);
    mongoc_collection_destroy(c);
    return rc == Q_OK ? mg_check_epoch(e, epoch, err) : rc;
}

q_rc mg_store_marks(q_engine *e, uint64_t high, uint64_t below, q_err *err)
{
    mongoc_collection_t *c = own(e);
    bson_t raise = BSON_INITIALIZER;
    BSON_APPEND_INT64(&raise, "applied_high", (int64_t)high);
    BSON_APPEND_INT64(&raise, "applied_below", (int64_t)below);
    q_rc rc = upsert(c, "state", "$max", &raise, err);
    bson_destroy(&raise);
    mongoc_collection_destroy(c);
    return rc;
}

/* ---- names ---- */

q_rc mg_remember(q_engine *e, q_slice bucket, q_slice record, const q_named *named, q_err *err)
{
    char id[2 * Q_MAX_NAME_BYTES + 2];
    mongoc_collection_t *c = own(e);
    bson_t raise = BSON_INITIALIZER;
    object_id(id, sizeof id, bucket, record);
    BSON_APPEND_INT64(&raise, "created", (int64_t)named->created);
    BSON_APPEND_INT64(&raise, "dropped", (int64_t)named->dropped);
    BSON_APPEND_INT64(&raise, "ddl", (int64_t)named->ddl);
    q_rc rc = upsert(c, id, "$max", &raise, err);
    bson_destroy(&raise);
    mongoc_collection_destroy(c);
    return rc;
}

/* ---- DDL: collections come into being by themselves; a drop removes them ---- */

static q_rc drop_collection(q_engine *e, q_slice bucket, q_slice record, q_err *err)
{
    mongoc_collection_t *c = mg_collection(e, bucket, record);
    bson_error_t error;
    bool ok = mongoc_collection_drop(c, &error);
    mongoc_collection_destroy(c);
    return ok || error.code == 26 /* NamespaceNotFound */ ? Q_OK : mg_error(&error, "dropping a collection", err);
}

static q_rc drop_database(q_engine *e, q_slice bucket, q_err *err)
{
    char db[Q_MAX_NAME_BYTES + 1];
    bson_error_t error;
    snprintf(db, sizeof db, "%.*s", Q_SLICE_FMT(bucket));
    mongoc_database_t *d = mongoc_client_get_database(e->client, db);
    bool ok = mongoc_database_drop(d, &error);
    mongoc_database_destroy(d);
    return ok || error.code == 26 ? Q_OK : mg_error(&error, "dropping a database", err);
}

/* A dropped bucket takes its records' names along: what is remembered of them rises too. */
static q_rc remember_dropped_records(q_engine *e, q_slice bucket, uint64_t seq, q_err *err)
{
    char from[Q_MAX_NAME_BYTES + 2], to[Q_MAX_NAME_BYTES + 2];
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, range, raise;
    bson_error_t error;
    snprintf(from, sizeof from, "%.*s/", Q_SLICE_FMT(bucket));
    snprintf(to, sizeof to, "%.*s0", Q_SLICE_FMT(bucket)); /* '0' follows '/' */
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &range);
    BSON_APPEND_UTF8(&range, "$gte", from);
    BSON_APPEND_UTF8(&range, "$lt", to);
    bson_append_document_end(&filter, &range);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$max", &raise);
    BSON_APPEND_INT64(&raise, "dropped", (int64_t)seq);
    BSON_APPEND_INT64(&raise, "ddl", (int64_t)seq);
    bson_append_document_end(&update, &raise);
    mongoc_collection_t *c = own(e);
    q_rc rc = mongoc_collection_update_many(c, &filter, &update, NULL, NULL, &error) ? Q_OK : mg_error(&error, "writing its own state", err);
    mongoc_collection_destroy(c);
    bson_destroy(&filter);
    bson_destroy(&update);
    return rc;
}

q_rc mg_apply_ddl(q_engine *e, uint64_t epoch, const q_ddl *d, uint64_t incarnation, uint64_t seq, q_err *err)
{
    bool bucket = d->kind == Q_DDL_CREATE_BUCKET || d->kind == Q_DDL_DROP_BUCKET;
    q_slice record = bucket ? Q_SLICE_NONE : d->record;
    mg_known known;
    q_rc rc = mg_look_up(e, d->bucket, record, &known, err);
    if (rc == Q_OK)
        rc = mg_refuse_lower(&known.state, epoch, err);
    q_named named = bucket ? known.bucket : known.record;
    if (rc != Q_OK || !q_rule_apply_ddl(&named, seq))
        return rc;
    /* What is removed goes first: until the name says so, the same DDL runs again. */
    if (d->kind == Q_DDL_DROP_BUCKET) {
        rc = drop_database(e, d->bucket, err);
        if (rc == Q_OK)
            rc = remember_dropped_records(e, d->bucket, seq, err);
    } else if (d->kind == Q_DDL_DROP_RECORD || d->kind == Q_DDL_CREATE_RECORD) {
        rc = drop_collection(e, d->bucket, d->record, err);
    }
    q_named after = q_rule_named_after(&named, d->kind, incarnation, seq);
    return rc == Q_OK ? mg_remember(e, d->bucket, record, &after, err) : rc;
}

/* ---- nothing is prepared here: the redo in the log is the durable prepared state (B3) ---- */

static q_rc mg_rollback(q_engine *e, uint64_t epoch, const uint64_t *seqs, size_t n, q_err *err)
{
    (void)e, (void)epoch, (void)seqs, (void)n, (void)err;
    return Q_OK;
}

static q_rc mg_list_prepared(q_engine *e, q_arena *arena, uint64_t **epochs, uint64_t **seqs, size_t *n, q_err *err)
{
    (void)e, (void)arena, (void)err;
    *epochs = *seqs = NULL;
    *n = 0;
    return Q_OK;
}

const q_engine_ops q_engine_mongo = {
    .name = "mongo",
    .durable_prepare = false,
    .open = mg_open,
    .close = mg_close,
    .fence = mg_fence,
    .prepare = mg_prepare,
    .commit = mg_commit,
    .rollback = mg_rollback,
    .list_prepared = mg_list_prepared,
    .read = mg_read,
    .purge = mg_purge,
};
