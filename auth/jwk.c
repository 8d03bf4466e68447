/* jwk.c - a JWKS becomes keys, each with the one algorithm that it is for. */
#include "auth/jwk.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <sodium.h>
#include <stdlib.h>

enum { MAX_MEMBER = 2048, P256_BYTES = 32, ED25519_BYTES = 32 };

const char *q_jwt_alg_name(q_jwt_alg a)
{
    static const char *const names[] = { "", "RS256", "ES256", "EdDSA", "HS256" };
    return names[a];
}

static q_rc refuse(q_err *err, size_t i, const char *why) { return q_err_set(err, Q_E_INTERNAL, "key %zu of the key set: %s", i + 1, why); }

/* A member that is base64url: false when it is absent or isn't. */
static bool bytes_of(const json_t *jwk, const char *name, unsigned char out[MAX_MEMBER], size_t *len)
{
    const json_t *v = json_object_get(jwk, name);
    return json_is_string(v) && sodium_base642bin(out, MAX_MEMBER, json_string_value(v), json_string_length(v), NULL, len, NULL,
                                                  sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 && *len > 0;
}

static bool is(const json_t *jwk, const char *name, const char *value)
{
    const char *s = json_string_value(json_object_get(jwk, name));
    return s && !strcmp(s, value);
}

static EVP_PKEY *from_params(const char *kind, OSSL_PARAM_BLD *b)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *rsa(const json_t *jwk)
{
    unsigned char n[MAX_MEMBER], e[MAX_MEMBER];
    size_t n_len, e_len;
    EVP_PKEY *key = NULL;
    if (!bytes_of(jwk, "n", n, &n_len) || !bytes_of(jwk, "e", e, &e_len) || e_len > 8)
        return NULL;
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    BIGNUM *bn = BN_bin2bn(n, (int)n_len, NULL), *be = BN_bin2bn(e, (int)e_len, NULL);
    if (b && bn && be && BN_num_bits(bn) >= Q_JWT_MIN_RSA_BITS && BN_is_odd(be) && !BN_is_one(be) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, bn) && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, be))
        key = from_params("RSA", b);
    BN_free(bn);
    BN_free(be);
    OSSL_PARAM_BLD_free(b);
    return key;
}

static EVP_PKEY *p256(const json_t *jwk)
{
    unsigned char point[1 + 2 * P256_BYTES] = { 4 }, x[MAX_MEMBER], y[MAX_MEMBER];
    size_t x_len, y_len;
    EVP_PKEY *key = NULL;
    if (!is(jwk, "crv", "P-256") || !bytes_of(jwk, "x", x, &x_len) || !bytes_of(jwk, "y", y, &y_len) || x_len != P256_BYTES || y_len != P256_BYTES)
        return NULL;
    memcpy(point + 1, x, P256_BYTES);
    memcpy(point + 1 + P256_BYTES, y, P256_BYTES);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    if (b && OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point))
        key = from_params("EC", b); /* refuses what isn't on the curve */
    OSSL_PARAM_BLD_free(b);
    return key;
}

static EVP_PKEY *ed25519(const json_t *jwk)
{
    unsigned char x[MAX_MEMBER];
    size_t len;
    if (!is(jwk, "crv", "Ed25519") || !bytes_of(jwk, "x", x, &len) || len != ED25519_BYTES)
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, len);
}

/* Q_END: not one of ours. */
static q_rc read_key(const json_t *jwk, size_t i, bool allow_secrets, q_jwk *out, q_err *err)
{
    unsigned char secret[MAX_MEMBER];
    const char *kid = json_string_value(json_object_get(jwk, "kid"));
    *out = (q_jwk){ 0 };
    if (!json_is_object(jwk))
        return refuse(err, i, "it isn't an object");
    if (json_object_get(jwk, "use") && !is(jwk, "use", "sig"))
        return Q_END;
    if (is(jwk, "kty", "RSA"))
        *out = (q_jwk){ .alg = Q_JWT_RS256, .key = rsa(jwk) };
    else if (is(jwk, "kty", "EC"))
        *out = (q_jwk){ .alg = Q_JWT_ES256, .key = is(jwk, "crv", "P-256") ? p256(jwk) : NULL };
    else if (is(jwk, "kty", "OKP"))
        *out = (q_jwk){ .alg = Q_JWT_EDDSA, .key = ed25519(jwk) };
    else if (is(jwk, "kty", "oct") && allow_secrets)
        out->alg = Q_JWT_HS256;
    else
        return Q_END;
    if (json_object_get(jwk, "alg") && !is(jwk, "alg", q_jwt_alg_name(out->alg))) {
        EVP_PKEY_free(out->key);
        *out = (q_jwk){ 0 };
        return Q_END; /* for another algorithm than ours */
    }
    if (out->alg == Q_JWT_HS256) {
        size_t len = 0;
        if (!bytes_of(jwk, "k", secret, &len) || len < Q_JWT_MIN_SECRET_BYTES)
            return refuse(err, i, "a secret is base64url of at least 32 bytes");
        out->secret = malloc(len);
        if (out->secret)
            memcpy(out->secret, secret, len);
        out->secret_len = len;
        sodium_memzero(secret, sizeof secret);
    } else if (!out->key) {
        return refuse(err, i, "it can't be read, or is weak (RSA: at least 2048 bits; P-256; Ed25519)");
    }
    out->kid = kid ? strdup(kid) : NULL;
    return (kid && !out->kid) || (!out->key && !out->secret) ? q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory") : Q_OK;
}

static void free_key(q_jwk *k)
{
    EVP_PKEY_free(k->key);
    if (k->secret)
        sodium_memzero(k->secret, k->secret_len);
    free(k->secret);
    free(k->kid);
}

static bool kid_taken(const q_jwt_keys *k, const char *kid)
{
    for (uint32_t i = 0; i < k->count; i++)
        if (kid && k->keys[i].kid && !strcmp(k->keys[i].kid, kid))
            return true;
    return false;
}

q_rc q_jwt_keys_read(q_slice jwks, bool allow_secrets, q_jwt_keys **out, q_err *err)
{
    json_t *doc = json_loadb(jwks.ptr ? jwks.ptr : "", jwks.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = json_object_get(doc, "keys");
    q_jwt_keys *k = json_is_array(list) ? calloc(1, sizeof *k) : NULL;
    q_rc rc = k ? Q_OK : q_err_set(err, Q_E_INTERNAL, "the key set isn't {\"keys\": […]}");
    for (size_t i = 0; rc == Q_OK && i < json_array_size(list); i++) {
        q_jwk key;
        rc = read_key(json_array_get(list, i), i, allow_secrets, &key, err);
        if (rc == Q_OK && k->count == Q_JWT_MAX_KEYS)
            rc = refuse(err, i, "there are too many");
        if (rc == Q_OK && kid_taken(k, key.kid))
            rc = refuse(err, i, "its kid is another one's");
        if (rc == Q_OK)
            k->keys[k->count++] = key;
        else
            free_key(&key);
        rc = rc == Q_END ? Q_OK : rc;
    }
    if (rc == Q_OK && k->count == 0)
        rc = q_err_set(err, Q_E_INTERNAL, "the key set has no key that can be used");
    json_decref(doc);
    if (rc == Q_OK)
        *out = k;
    else
        q_jwt_keys_free(k);
    return rc;
}

void q_jwt_keys_free(q_jwt_keys *k)
{
    for (uint32_t i = 0; k && i < k->count; i++)
        free_key(&k->keys[i]);
    free(k);
}

size_t q_jwt_keys_count(const q_jwt_keys *k) { return k->count; }
