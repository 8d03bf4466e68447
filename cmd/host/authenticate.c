#include "cmd/host/authenticate.h"

#include "auth/apikey.h"
#include "auth/jwt.h"
#include "base/say.h"
#include "coordinator/jsonpack.h"
#include "cmd/host/keyset.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <time.h>

enum {
    CACHE_SLOTS = 1024,          /* tokens that were verified lately: a signature costs more than a transaction */
    CACHE_ENTRY_BYTES = 64 << 10,
    CACHE_MAX_S = 60,            /* and not longer, whatever exp says: a key that was taken out of the set ends with it */
    MAX_CLAIMS = 64,
    UNKNOWN_KEY_PAUSE_S = 10     /* tokens with made-up kids must not make us fetch without end */
};

typedef struct cached {
    uint8_t hash[16];            /* of the token, keyed: nobody can choose tokens of one slot */
    int64_t until_s;
    unsigned generation;
    q_arena *arena;              /* NULL: the slot is free */
    q_principal who;
} cached;

struct q_auth {
    const q_config *config;
    q_jwt_rules rules;
    bool has_admin_key;
    uint8_t admin_hash[Q_APIKEY_HASH_BYTES];
    uint8_t cache_key[16];
    cached *cache;               /* the core's thread's */
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock;        /* of what follows */
    pthread_cond_t more;         /* something was asked for, or has come */
    q_jwt_keys *keys;            /* NULL: none yet */
    unsigned generation, asked;
    bool stop, wanted;
    int64_t last_s;
};

/* ---- the key set --------------------------------------------------------------------------------------------------------- */

static int64_t mono_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static q_rc fetch(const q_config *c, q_jwt_keys **out, q_err *err)
{
    q_buf text = Q_BUF_INIT(Q_KEYSET_MAX_BYTES);
    q_rc rc = c->auth.jwks_url ? q_keyset_from_url(c->auth.jwks_url, &text, err) : q_keyset_from_file(c->auth.jwks_file, &text, err);
    if (rc == Q_OK)
        rc = q_jwt_keys_read(q_buf_slice(&text), c->auth.allow_hs256 != 0, out, err);
    if (text.ptr)
        sodium_memzero(text.ptr, text.cap); /* it may hold secrets */
    q_buf_free(&text);
    return rc;
}

static void refresh(q_auth *a)
{
    q_err err = Q_ERR_INIT;
    q_jwt_keys *fresh = NULL, *old = NULL;
    q_rc rc = fetch(a->config, &fresh, &err);
    if (rc != Q_OK)
        q_say(Q_SAY_WARN, "auth: the key set can't be had, the last one stays in force: %s", err.message);
    pthread_mutex_lock(&a->lock);
    if (rc == Q_OK) {
        old = a->keys;
        a->keys = fresh;
        a->generation++;
    }
    a->asked++;
    a->wanted = false;
    a->last_s = mono_s();
    pthread_cond_broadcast(&a->more);
    pthread_mutex_unlock(&a->lock);
    q_jwt_keys_free(old);
}

static void *keep_fresh(void *arg)
{
    q_auth *a = arg;
    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        /* Without a set there is nobody to let in: tried sooner. */
        int64_t pause = a->keys ? a->config->auth.jwks_refresh_s : 5, soon = UNKNOWN_KEY_PAUSE_S;
        int64_t due = a->last_s + (a->wanted && soon < pause ? soon : pause), now = mono_s();
        if (now < due) {
            struct timespec until;
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_sec += due - now;
            (void)pthread_cond_timedwait(&a->more, &a->lock, &until);
            continue;
        }
        pthread_mutex_unlock(&a->lock);
        refresh(a);
        pthread_mutex_lock(&a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

bool q_auth_wait(q_auth *a, unsigned times, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000 + 1;
    pthread_mutex_lock(&a->lock);
    int rc = 0;
    while (a->asked < times && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&a->more, &a->lock, &until);
    bool ok = a->asked >= times;
    pthread_mutex_unlock(&a->lock);
    return ok;
}

/* ---- tokens --------------------------------------------------------------------------------------------------------------- */

static q_rc no(q_err *err, const char *why) { return q_err_set(err, Q_E_UNAUTHENTICATED, "%s", why); }

static bool claim_value(q_arena *arena, const json_t *v, q_value *out)
{
    *out = Q_NULL;
    switch (json_typeof(v)) {
    case JSON_STRING:
        *out = (q_value){ .type = Q_T_STRING, .s = q_arena_copy(arena, q_slice_of(json_string_value(v), json_string_length(v))) };
        return out->s.ptr;
    case JSON_INTEGER:
        *out = (q_value){ .type = Q_T_INT, .i = json_integer_value(v) };
        return true;
    case JSON_REAL:
        *out = (q_value){ .type = Q_T_FLOAT, .f = json_real_value(v) };
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = (q_value){ .type = Q_T_BOOL, .b = json_is_true(v) };
        return true;
    case JSON_ARRAY: {
        q_buf packed = Q_BUF_INIT(Q_JWT_MAX_BYTES * 2);
        bool ok = q_json_pack(v, &packed);
        *out = (q_value){ .type = Q_T_DOC, .s = ok ? q_arena_copy(arena, q_buf_slice(&packed)) : Q_SLICE_NONE };
        q_buf_free(&packed);
        return out->s.ptr;
    }
    default:
        return true; /* an object says nothing to a condition */
    }
}

static bool claims_of(q_arena *arena, q_slice payload, q_principal *out)
{
    json_t *doc = json_loadb(payload.ptr, payload.len, JSON_REJECT_DUPLICATES, NULL);
    q_param *claims = doc ? Q_NEW_ARRAY(arena, q_param, MAX_CLAIMS) : NULL;
    const char *name;
    json_t *v;
    bool ok = claims != NULL;
    out->claims = claims;
    json_object_foreach(doc, name, v)
    {
        if (!ok || out->claim_count == MAX_CLAIMS)
            break;
        q_param *p = &claims[out->claim_count];
        p->name = q_arena_copy(arena, q_slice_cstr(name));
        ok = p->name.ptr && claim_value(arena, v, &p->value);
        out->claim_count += ok;
    }
    json_decref(doc);
    return ok;
}

static q_rc verify(q_auth *a, q_arena *arena, q_slice token, int64_t now_s, q_principal *out, int64_t *expires_s, unsigned *generation, q_err *err)
{
    q_jwt_claims claims;
    pthread_mutex_lock(&a->lock); /* the other side holds it for a swap only */
    q_rc rc = a->keys ? q_jwt_verify(arena, a->keys, &a->rules, now_s, token, &claims, err) : no(err, "No key set for tokens is there.");
    *generation = a->generation;
    if (rc == Q_FAIL && !a->wanted && strstr(err->message, "no key of ours")) {
        a->wanted = true; /* its issuer may have a new one */
        pthread_cond_broadcast(&a->more);
    }
    pthread_mutex_unlock(&a->lock);
    if (rc != Q_OK)
        return rc;
    *out = (q_principal){ .name = q_arena_printf(arena, "user:%.*s", Q_SLICE_FMT(claims.subject)), .role_count = claims.role_count, .roles = claims.roles };
    *expires_s = claims.expires_s;
    const char *admin = a->config->auth.admin_role;
    for (uint32_t i = 0; admin && *admin && i < claims.role_count; i++)
        out->all = out->all || q_slice_eq(claims.roles[i], q_slice_cstr(admin));
    return out->name.ptr && claims_of(arena, claims.json, out) ? Q_OK : no(err, "No memory for the token.");
}

static bool copy_value(q_arena *arena, q_value *v)
{
    if ((v->type == Q_T_STRING || v->type == Q_T_DOC) && v->s.ptr)
        v->s = q_arena_copy(arena, v->s);
    return v->type == Q_T_NULL || v->type == Q_T_INT || v->type == Q_T_FLOAT || v->type == Q_T_BOOL || v->s.ptr;
}

/* The request may live on when the slot is another token's. */
static bool copy_principal(q_arena *arena, const q_principal *in, q_principal *out)
{
    q_slice *roles = Q_NEW_ARRAY(arena, q_slice, in->role_count + 1u);
    q_param *claims = Q_NEW_ARRAY(arena, q_param, in->claim_count + 1u);
    *out = *in;
    out->name = q_arena_copy(arena, in->name);
    out->roles = roles;
    out->claims = claims;
    bool ok = out->name.ptr && roles && claims;
    for (uint32_t i = 0; ok && i < in->role_count; i++)
        ok = (roles[i] = q_arena_copy(arena, in->roles[i])).ptr;
    for (uint32_t i = 0; ok && i < in->claim_count; i++) {
        claims[i] = in->claims[i];
        claims[i].name = q_arena_copy(arena, in->claims[i].name);
        ok = claims[i].name.ptr && copy_value(arena, &claims[i].value);
    }
    return ok;
}

static void forget(cached *c)
{
    q_arena_free(c->arena);
    *c = (cached){ 0 };
}

static q_rc by_token(q_auth *a, q_arena *arena, q_slice token, int64_t now_s, q_principal *out, q_err *err)
{
    uint8_t hash[16];
    if (token.len > Q_JWT_MAX_BYTES)
        return no(err, "The token is refused: it is too long.");
    crypto_generichash(hash, sizeof hash, (const unsigned char *)token.ptr, token.len, a->cache_key, sizeof a->cache_key);
    cached *c = &a->cache[(hash[0] | (unsigned)hash[1] << 8) % CACHE_SLOTS];
    pthread_mutex_lock(&a->lock);
    unsigned generation = a->generation;
    pthread_mutex_unlock(&a->lock);
    if (c->arena && c->generation == generation && now_s < c->until_s && sodium_memcmp(c->hash, hash, sizeof hash) == 0)
        return copy_principal(arena, &c->who, out) ? Q_OK : no(err, "No memory for the token.");
    int64_t expires_s = 0;
    q_rc rc = verify(a, arena, token, now_s, out, &expires_s, &generation, err);
    if (rc != Q_OK)
        return rc;
    forget(c);
    c->arena = q_arena_new(CACHE_ENTRY_BYTES);
    if (!c->arena || !copy_principal(c->arena, out, &c->who)) {
        forget(c);
        return Q_OK;
    }
    memcpy(c->hash, hash, sizeof hash);
    c->generation = generation;
    c->until_s = expires_s < now_s + CACHE_MAX_S ? expires_s : now_s + CACHE_MAX_S;
    return Q_OK;
}

/* ---- API keys -------------------------------------------------------------------------------------------------------------- */

static q_rc by_key(q_auth *a, q_arena *arena, const q_asking *asking, q_slice text, q_principal *out, q_err *err)
{
    static const char *const wrong = "The API key is refused: it isn't one, was revoked, or has expired.";
    uint8_t hash[Q_APIKEY_HASH_BYTES];
    q_slice bucket, name;
    if (!q_apikey_parts(text, &bucket, &name))
        return no(err, wrong);
    q_apikey_hash(text, hash);
    if (!bucket.len) {
        *out = (q_principal){ .name = Q_SLICE_LIT("admin"), .all = true };
        return a->has_admin_key && q_apikey_same(hash, a->admin_hash) ? Q_OK : no(err, wrong);
    }
    const q_bucket *b = asking->catalog ? q_catalog_bucket(asking->catalog, bucket) : NULL;
    const q_api_key *k = b ? q_access_key(b->access, name) : NULL;
    if (!k || !q_apikey_same(hash, k->hash) || (k->expires_us && asking->now_us >= k->expires_us))
        return no(err, wrong);
    q_slice *role = Q_NEW(arena, q_slice);
    if (!role)
        return no(err, "No memory for the key.");
    *role = q_arena_copy(arena, k->role);
    *out = (q_principal){ .name = q_arena_printf(arena, "key:%.*s.%.*s", Q_SLICE_FMT(bucket), Q_SLICE_FMT(name)), .bucket = q_arena_copy(arena, bucket),
                          .role_count = 1, .roles = role };
    return out->name.ptr && out->bucket.ptr && role->ptr ? Q_OK : no(err, "No memory for the key.");
}

/* What follows a scheme's name (in any case) and spaces; false when it is another scheme. */
static bool scheme(q_slice header, const char *name, q_slice *rest)
{
    size_t n = strlen(name);
    if (header.len <= n || strncasecmp(header.ptr, name, n) != 0 || header.ptr[n] != ' ')
        return false;
    *rest = (q_slice){ header.ptr + n, header.len - n };
    while (rest->len && rest->ptr[0] == ' ')
        *rest = (q_slice){ rest->ptr + 1, rest->len - 1 };
    return true;
}

q_rc q_auth_ask(void *auth, q_arena *arena, const q_asking *asking, q_principal *out, q_err *err)
{
    q_auth *a = auth;
    q_slice rest;
    if (scheme(asking->credentials, "Bearer", &rest))
        return by_token(a, arena, rest, asking->now_us / 1000000, out, err);
    if (scheme(asking->credentials, "ApiKey", &rest))
        return by_key(a, arena, asking, rest, out, err);
    return no(err, asking->credentials.len ? "The authorization is neither \"Bearer\" nor \"ApiKey\"." : "The request has no authorization.");
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

static q_rc wrong_setting(q_err *err, const char *what) { return q_err_set(err, Q_E_INTERNAL, "%s", what); }

static q_rc check_settings(const q_config *c, q_auth *a, q_err *err)
{
    bool tokens = c->auth.jwks_file || c->auth.jwks_url;
    if (c->auth.jwks_file && c->auth.jwks_url)
        return wrong_setting(err, "auth.jwks_file and auth.jwks_url: one of them, not both");
    if (tokens && (!c->auth.issuer || !c->auth.audience))
        return wrong_setting(err, "auth.issuer and auth.audience: both are needed with a key set: a token for somebody else isn't for us");
    if (c->auth.jwks_url && !q_keyset_url_allowed(c->auth.jwks_url))
        return wrong_setting(err, "auth.jwks_url: https, or http on this machine");
    a->has_admin_key = c->auth.admin_key_hash && *c->auth.admin_key_hash;
    if (a->has_admin_key && !q_apikey_unhex(c->auth.admin_key_hash, a->admin_hash))
        return wrong_setting(err, "auth.admin_key_hash: 64 hexadecimal digits, as `quanta key new --admin` prints them");
    if (!tokens && !a->has_admin_key)
        return wrong_setting(err, "auth.mode is on, but neither a key set (auth.jwks_file, auth.jwks_url) nor auth.admin_key_hash lets anybody in");
    a->rules = (q_jwt_rules){ .issuer = c->auth.issuer, .audience = c->auth.audience, .leeway_s = c->auth.leeway_s, .roles_claim = c->auth.roles_claim };
    return Q_OK;
}

q_rc q_auth_open(const q_config *config, q_auth **out, q_err *err)
{
    *out = NULL;
    if (strcmp(config->auth.mode, "on") != 0)
        return Q_OK;
    q_auth *a = calloc(1, sizeof *a);
    if (!a || !(a->cache = calloc(CACHE_SLOTS, sizeof *a->cache)) || sodium_init() < 0) {
        free(a);
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    }
    a->config = config;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->more, &attr);
    pthread_condattr_destroy(&attr);
    randombytes_buf(a->cache_key, sizeof a->cache_key);
    q_rc rc = check_settings(config, a, err);
    if (rc == Q_OK && config->auth.jwks_file) { /* ours: what is wrong with it is told at once */
        rc = fetch(config, &a->keys, err);
        if (rc != Q_OK)
            q_err_hint(err, "auth.jwks_file is %.120s", config->auth.jwks_file);
        a->asked = a->generation = 1;
        a->last_s = mono_s();
    } else if (rc == Q_OK) {
        a->last_s = INT64_MIN / 2; /* at once, on its thread: an issuer that is down stops nothing but tokens */
    }
    if (rc != Q_OK) {
        q_auth_close(a);
        return rc;
    }
    *out = a;
    return Q_OK;
}

void q_auth_use(q_auth *a, q_core_config *core)
{
    if (!a)
        return;
    core->authenticate = q_auth_ask;
    core->auth_ctx = a;
}

q_rc q_auth_run(q_auth *a, q_err *err)
{
    if (!a || (!a->config->auth.jwks_file && !a->config->auth.jwks_url))
        return Q_OK;
    a->runs = pthread_create(&a->thread, NULL, keep_fresh, a) == 0;
    return a->runs ? Q_OK : q_err_set(err, Q_E_INTERNAL, "no thread for the key set");
}

void q_auth_close(q_auth *a)
{
    if (!a)
        return;
    if (a->runs) {
        pthread_mutex_lock(&a->lock);
        a->stop = true;
        pthread_cond_broadcast(&a->more);
        pthread_mutex_unlock(&a->lock);
        pthread_join(a->thread, NULL);
    }
    for (size_t i = 0; i < CACHE_SLOTS; i++)
        forget(&a->cache[i]);
    free(a->cache);
    q_jwt_keys_free(a->keys);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->more);
    free(a);
}
