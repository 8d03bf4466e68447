/* jwt.c - verifying: shape, key, signature, and only then what the claims say. */
#include "auth/jwk.h"

#include <jansson.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdlib.h>

enum { ES256_BYTES = 64, HS256_BYTES = 32, MAX_SIGNATURE = 1024, MAX_DEPTH = 16, MAX_LEEWAY_S = 300 };

static q_rc no(q_err *err, const char *why) { return q_err_set(err, Q_E_UNAUTHENTICATED, "The token is refused: %s.", why); }

/* ---- shape ---- */

typedef struct shape { q_slice header, payload, signature, head_and_payload; } shape;

static bool split(q_slice token, shape *out)
{
    const char *a = memchr(token.ptr, '.', token.len), *end = token.ptr + token.len;
    const char *b = a ? memchr(a + 1, '.', (size_t)(end - a) - 1) : NULL;
    if (!b || memchr(b + 1, '.', (size_t)(end - b) - 1))
        return false;
    *out = (shape){ { token.ptr, (size_t)(a - token.ptr) }, { a + 1, (size_t)(b - a) - 1 }, { b + 1, (size_t)(end - b) - 1 },
                    { token.ptr, (size_t)(b - token.ptr) } };
    return out->header.len && out->payload.len && out->signature.len;
}

/* Strict base64url: no padding, no stray bits; a token has one form. */
static bool decode(q_arena *arena, q_slice text, q_slice *out)
{
    size_t len = 0;
    unsigned char *to = q_arena_alloc(arena, text.len + 1);
    if (!to || sodium_base642bin(to, text.len, text.ptr, text.len, NULL, &len, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return false;
    to[len] = '\0';
    *out = q_slice_of(to, len);
    return true;
}

/* jansson recurses: what is nested deeply isn't given to it. Brackets inside of strings count, too: such a token is odd enough. */
static bool shallow(q_slice json)
{
    int depth = 0;
    for (size_t i = 0; i < json.len; i++) {
        if (json.ptr[i] == '{' || json.ptr[i] == '[')
            depth++;
        else if (json.ptr[i] == '}' || json.ptr[i] == ']')
            depth--;
        if (depth > MAX_DEPTH)
            return false;
    }
    return true;
}

static json_t *object(q_arena *arena, q_slice text, q_slice *json)
{
    if (!decode(arena, text, json) || !shallow(*json))
        return NULL;
    json_t *o = json_loadb(json->ptr, json->len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(o))
        return o;
    json_decref(o);
    return NULL;
}

/* ---- key ---- */

/* By kid when the token has one. Without it there must be no doubt: the only key of that algorithm. */
static const q_jwk *find(const q_jwt_keys *keys, const char *kid, const char *alg)
{
    const q_jwk *found = NULL;
    for (uint32_t i = 0; i < keys->count; i++) {
        const q_jwk *k = &keys->keys[i];
        if (strcmp(q_jwt_alg_name(k->alg), alg) != 0 || (kid && (!k->kid || strcmp(k->kid, kid) != 0)))
            continue;
        if (found)
            return NULL;
        found = k;
    }
    return found;
}

/* ---- signature ---- */

static bool verify_evp(const q_jwk *k, const EVP_MD *md, q_slice message, const unsigned char *sig, size_t sig_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, k->key) == 1 &&
              EVP_DigestVerify(ctx, sig, sig_len, (const unsigned char *)message.ptr, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* JWS has r and s side by side, OpenSSL wants them in DER. Zero for either is refused (CVE-2022-21449 was that). */
static bool verify_es256(const q_jwk *k, q_slice message, q_slice sig)
{
    unsigned char *der = NULL;
    ECDSA_SIG *s = ECDSA_SIG_new();
    const unsigned char *raw = (const unsigned char *)sig.ptr;
    BIGNUM *r = BN_bin2bn(raw, ES256_BYTES / 2, NULL), *t = BN_bin2bn(raw + ES256_BYTES / 2, ES256_BYTES / 2, NULL);
    bool ok = false;
    if (s && r && t && !BN_is_zero(r) && !BN_is_zero(t) && ECDSA_SIG_set0(s, r, t) == 1) {
        r = t = NULL; /* the signature's now */
        int len = i2d_ECDSA_SIG(s, &der);
        ok = len > 0 && verify_evp(k, EVP_sha256(), message, der, (size_t)len);
    }
    BN_free(r);
    BN_free(t);
    ECDSA_SIG_free(s);
    OPENSSL_free(der);
    return ok;
}

static bool verify(const q_jwk *k, q_slice message, q_slice sig)
{
    unsigned char mac[HS256_BYTES];
    unsigned mac_len = 0;
    switch (k->alg) {
    case Q_JWT_RS256:
        return verify_evp(k, EVP_sha256(), message, (const unsigned char *)sig.ptr, sig.len);
    case Q_JWT_ES256:
        return sig.len == ES256_BYTES && verify_es256(k, message, sig);
    case Q_JWT_EDDSA:
        return verify_evp(k, NULL, message, (const unsigned char *)sig.ptr, sig.len);
    case Q_JWT_HS256:
        return sig.len == HS256_BYTES &&
               HMAC(EVP_sha256(), k->secret, (int)k->secret_len, (const unsigned char *)message.ptr, message.len, mac, &mac_len) &&
               sodium_memcmp(mac, sig.ptr, HS256_BYTES) == 0;
    }
    return false;
}

/* ---- claims ---- */

static bool has_audience(const json_t *aud, const char *ours)
{
    const json_t *one;
    size_t i;
    if (json_is_string(aud))
        return !strcmp(json_string_value(aud), ours);
    json_array_foreach((json_t *)(uintptr_t)aud, i, one)
        if (json_is_string(one) && !strcmp(json_string_value(one), ours))
            return true;
    return false;
}

/* A NumericDate: a number, whole or not. */
static bool seconds(const json_t *v, int64_t *out)
{
    double d = json_is_number(v) ? json_number_value(v) : -1;
    if (!(d >= 0 && d < 1e15))
        return false;
    *out = (int64_t)d;
    return true;
}

static q_rc check_times(const json_t *claims, const q_jwt_rules *rules, int64_t now_s, int64_t *expires_s, q_err *err)
{
    int64_t leeway = rules->leeway_s < 0 ? 0 : rules->leeway_s > MAX_LEEWAY_S ? MAX_LEEWAY_S : rules->leeway_s, t;
    if (!seconds(json_object_get(claims, "exp"), expires_s))
        return no(err, "it has no exp, or one that isn't a time");
    if (now_s >= *expires_s + leeway)
        return no(err, "it has expired");
    const json_t *nbf = json_object_get(claims, "nbf"), *iat = json_object_get(claims, "iat");
    if (nbf && !seconds(nbf, &t))
        return no(err, "its nbf isn't a time");
    if (nbf && now_s + leeway < t)
        return no(err, "it isn't valid yet");
    if (iat && !seconds(iat, &t))
        return no(err, "its iat isn't a time");
    if (iat && now_s + leeway < t)
        return no(err, "it was issued in the future");
    return Q_OK;
}

static bool printable(q_slice s, size_t max)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x21 || s.ptr[i] > 0x7E)
            return false;
    return s.len > 0 && s.len <= max;
}

static bool add_role(q_arena *arena, q_slice role, q_slice *list, uint32_t *count)
{
    if (!printable(role, Q_JWT_MAX_PRINCIPAL) || *count == Q_JWT_MAX_ROLES)
        return false;
    list[*count] = q_arena_copy(arena, role);
    return list[(*count)++].ptr != NULL;
}

static q_rc read_roles(q_arena *arena, const json_t *v, q_jwt_claims *out, q_err *err)
{
    q_slice *list = Q_NEW_ARRAY(arena, q_slice, Q_JWT_MAX_ROLES);
    const json_t *one;
    size_t i;
    bool ok = list && (!v || json_is_null(v) || json_is_string(v) || json_is_array(v));
    out->roles = list;
    json_array_foreach((json_t *)(uintptr_t)v, i, one)
        ok = ok && json_is_string(one) && add_role(arena, q_slice_of(json_string_value(one), json_string_length(one)), list, &out->role_count);
    q_slice rest = json_is_string(v) ? q_slice_of(json_string_value(v), json_string_length(v)) : Q_SLICE_NONE;
    while (ok && rest.len) {
        const char *space = memchr(rest.ptr, ' ', rest.len);
        q_slice role = { rest.ptr, space ? (size_t)(space - rest.ptr) : rest.len };
        rest = space ? (q_slice){ space + 1, rest.len - role.len - 1 } : Q_SLICE_NONE;
        ok = role.len == 0 || add_role(arena, role, list, &out->role_count);
    }
    return ok ? Q_OK : no(err, "its roles can't be read");
}

static q_rc check_claims(q_arena *arena, const json_t *claims, const q_jwt_rules *rules, int64_t now_s, q_jwt_claims *out, q_err *err)
{
    const json_t *iss = json_object_get(claims, "iss"), *sub = json_object_get(claims, "sub");
    if (!json_is_string(iss) || strcmp(json_string_value(iss), rules->issuer) != 0)
        return no(err, "it is another issuer's");
    if (!has_audience(json_object_get(claims, "aud"), rules->audience))
        return no(err, "it is for another audience");
    q_rc rc = check_times(claims, rules, now_s, &out->expires_s, err);
    if (rc != Q_OK)
        return rc;
    q_slice subject = json_is_string(sub) ? q_slice_of(json_string_value(sub), json_string_length(sub)) : Q_SLICE_NONE;
    if (!printable(subject, Q_JWT_MAX_PRINCIPAL))
        return no(err, "it has no sub of 1 to 128 printable characters");
    out->subject = q_arena_copy(arena, subject);
    if (!out->subject.ptr)
        return no(err, "there is no memory for it");
    return rules->roles_claim ? read_roles(arena, json_object_get(claims, rules->roles_claim), out, err) : Q_OK;
}

/* ---- all of it ---- */

static q_rc check_header(const json_t *header, const q_jwt_keys *keys, const q_jwk **key, q_err *err)
{
    const json_t *kid = json_object_get(header, "kid"), *typ = json_object_get(header, "typ");
    const char *alg = json_string_value(json_object_get(header, "alg"));
    if (json_object_get(header, "crit"))
        return no(err, "it needs extensions (crit) that aren't known");
    if (json_object_get(header, "b64"))
        return no(err, "its payload isn't encoded as it should be");
    if (kid && !json_is_string(kid))
        return no(err, "its kid isn't a text");
    if (typ && (!json_is_string(typ) || (strcasecmp(json_string_value(typ), "JWT") != 0 && strcasecmp(json_string_value(typ), "at+jwt") != 0)))
        return no(err, "it is of another type than JWT");
    *key = alg ? find(keys, json_string_value(kid), alg) : NULL; /* jku, jwk and x5u are never looked at: keys come from our side only */
    return *key ? Q_OK : no(err, "no key of ours fits its kid and alg");
}

q_rc q_jwt_verify(q_arena *arena, const q_jwt_keys *keys, const q_jwt_rules *rules, int64_t now_s, q_slice token, q_jwt_claims *out, q_err *err)
{
    shape s;
    q_slice json, signature;
    const q_jwk *key = NULL;
    *out = (q_jwt_claims){ 0 };
    if (!rules->issuer || !rules->audience)
        return no(err, "no issuer and audience are configured");
    if (token.len > Q_JWT_MAX_BYTES)
        return no(err, "it is too long");
    if (!token.len || !split(token, &s))
        return no(err, "it isn't three parts with dots between");
    json_t *header = object(arena, s.header, &json);
    if (!header)
        return no(err, "its header isn't a JSON object");
    q_rc rc = check_header(header, keys, &key, err);
    json_decref(header);
    if (rc != Q_OK)
        return rc;
    if (!decode(arena, s.signature, &signature) || signature.len > MAX_SIGNATURE || !verify(key, s.head_and_payload, signature))
        return no(err, "its signature doesn't hold");
    json_t *claims = object(arena, s.payload, &out->json);
    if (!claims)
        return no(err, "its payload isn't a JSON object");
    rc = check_claims(arena, claims, rules, now_s, out, err);
    json_decref(claims);
    return rc;
}
