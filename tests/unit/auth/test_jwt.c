/* Tokens made with OpenSSL here, verified there; then the attacks that are known: every one is refused, and none by an accident of another check
 * (each attack differs from a good token in one thing only). */
#include "auth/jwt.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW = 1800000000, ROOM = 16384 };
static const char SECRET[] = "0123456789abcdef0123456789abcdef";
static const q_jwt_rules RULES = { .issuer = "https://issuer", .audience = "quanta", .leeway_s = 30, .roles_claim = "roles" };
static const char CLAIMS[] = "{\"iss\":\"https://issuer\",\"aud\":\"quanta\",\"sub\":\"alice\",\"exp\":1800000100,\"nbf\":1799999900,\"roles\":[\"a\",\"b\"]}";

typedef struct world {
    EVP_PKEY *rsa, *ec, *ed;
    char jwks[ROOM];
    q_jwt_keys *keys;
    q_arena *arena;
} world;

static char *b64(const void *bytes, size_t n, char *out)
{
    return sodium_bin2base64(out, ROOM, bytes, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static char *b64_bn(EVP_PKEY *key, const char *name, int width, char *out)
{
    unsigned char raw[1024];
    BIGNUM *n = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
    int len = width ? BN_bn2binpad(n, raw, width) : BN_bn2bin(n, raw);
    BN_free(n);
    return b64(raw, (size_t)len, out);
}

static int begin(void **state)
{
    static char n[ROOM], e[ROOM], x[ROOM], y[ROOM], d[ROOM], k[ROOM];
    unsigned char raw[32];
    size_t len = sizeof raw;
    q_err err = Q_ERR_INIT;
    world *w = calloc(1, sizeof *w);
    w->rsa = EVP_RSA_gen(2048);
    w->ec = EVP_EC_gen("P-256");
    w->ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_PKEY_get_raw_public_key(w->ed, raw, &len);
    b64(raw, len, d);
    snprintf(w->jwks, sizeof w->jwks,
             "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"use\":\"sig\",\"n\":\"%.400s\",\"e\":\"%.400s\"},{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\":\"%.400s\",\"y\":\"%.400s\"},"
             "{\"kty\":\"OKP\",\"kid\":\"d\",\"crv\":\"Ed25519\",\"x\":\"%.400s\"},{\"kty\":\"oct\",\"kid\":\"h\",\"k\":\"%.400s\"},{\"kty\":\"RSA\",\"use\":\"enc\",\"n\":\"AQ\"}]}",
             b64_bn(w->rsa, OSSL_PKEY_PARAM_RSA_N, 0, n), b64_bn(w->rsa, OSSL_PKEY_PARAM_RSA_E, 0, e), b64_bn(w->ec, OSSL_PKEY_PARAM_EC_PUB_X, 32, x),
             b64_bn(w->ec, OSSL_PKEY_PARAM_EC_PUB_Y, 32, y), d, b64(SECRET, 32, k));
    assert_int_equal(q_jwt_keys_read(q_slice_cstr(w->jwks), true, &w->keys, &err), Q_OK);
    assert_int_equal(q_jwt_keys_count(w->keys), 4);
    w->arena = q_arena_new(1 << 20);
    *state = w;
    return 0;
}

static int end(void **state)
{
    world *w = *state;
    EVP_PKEY_free(w->rsa);
    EVP_PKEY_free(w->ec);
    EVP_PKEY_free(w->ed);
    q_jwt_keys_free(w->keys);
    q_arena_free(w->arena);
    free(w);
    return 0;
}

/* ---- signing ---- */

static size_t sign_evp(EVP_PKEY *key, const EVP_MD *md, const char *text, unsigned char *sig)
{
    size_t len = 1024;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)text, strlen(text)), 1);
    EVP_MD_CTX_free(ctx);
    return len;
}

static size_t sign(const world *w, char how, const char *text, unsigned char *sig)
{
    unsigned mac = 0;
    if (how == 'r')
        return sign_evp(w->rsa, EVP_sha256(), text, sig);
    if (how == 'd')
        return sign_evp(w->ed, NULL, text, sig);
    if (how == 'h') {
        HMAC(EVP_sha256(), SECRET, 32, (const unsigned char *)text, strlen(text), sig, &mac);
        return mac;
    }
    unsigned char der[200];
    const unsigned char *at = der;
    size_t n = sign_evp(w->ec, EVP_sha256(), text, der);
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &at, (long)n);
    BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + 32, 32);
    ECDSA_SIG_free(s);
    return 64;
}

static const char *token(const world *w, char how, const char *header, const char *claims)
{
    static char out[4 * ROOM], a[ROOM], b[ROOM], c[ROOM];
    unsigned char sig[1024];
    snprintf(out, sizeof out, "%.9000s.%.9000s", b64(header, strlen(header), a), b64(claims, strlen(claims), b));
    size_t n = sign(w, how, out, sig);
    b64(sig, n, c);
    size_t used = strlen(out);
    snprintf(out + used, sizeof out - used, ".%.1400s", c);
    return out;
}

static bool takes(const world *w, const char *t)
{
    q_jwt_claims claims;
    q_err err = Q_ERR_INIT;
    q_rc rc = q_jwt_verify(w->arena, w->keys, &RULES, NOW, q_slice_cstr(t), &claims, &err);
    if (rc != Q_OK)
        assert_int_equal(err.code, Q_E_UNAUTHENTICATED);
    return rc == Q_OK;
}

#define TAKES(how, header, claims)   assert_true(takes(w, token(w, how, header, claims)))
#define REFUSES(how, header, claims) assert_false(takes(w, token(w, how, header, claims)))
#define R "{\"alg\":\"RS256\",\"kid\":\"r\"}"

/* ---- what is good ---- */

static void good_tokens_of_every_algorithm(void **state)
{
    const world *w = *state;
    q_jwt_claims c;
    q_err err = Q_ERR_INIT;
    TAKES('r', R, CLAIMS);
    TAKES('r', "{\"typ\":\"JWT\",\"alg\":\"RS256\"}", CLAIMS); /* without kid: the only key of that kind */
    TAKES('e', "{\"alg\":\"ES256\",\"kid\":\"e\"}", CLAIMS);
    TAKES('d', "{\"alg\":\"EdDSA\",\"kid\":\"d\"}", CLAIMS);
    TAKES('h', "{\"alg\":\"HS256\",\"kid\":\"h\"}", CLAIMS);
    assert_int_equal(q_jwt_verify(w->arena, w->keys, &RULES, NOW, q_slice_cstr(token(w, 'r', R, CLAIMS)), &c, &err), Q_OK);
    assert_true(q_slice_eq(c.subject, Q_SLICE_LIT("alice")));
    assert_int_equal(c.role_count, 2);
    assert_true(q_slice_eq(c.roles[1], Q_SLICE_LIT("b")));
    assert_true(q_slice_eq(c.json, q_slice_cstr(CLAIMS)));
    TAKES('r', R, "{\"iss\":\"https://issuer\",\"aud\":[\"x\",\"quanta\"],\"sub\":\"a\",\"exp\":1800000100.5,\"roles\":\"a b\"}");
    TAKES('r', R, "{\"iss\":\"https://issuer\",\"aud\":\"quanta\",\"sub\":\"a\",\"exp\":1799999971}"); /* within the leeway */
}

/* ---- attacks ---- */

static void algorithms_that_the_key_is_not_for(void **state)
{
    const world *w = *state;
    char t[ROOM], a[ROOM], b[ROOM];
    static const char *const nones[] = { "none", "None", "NONE", "nOnE", "" };
    for (size_t i = 0; i < sizeof nones / sizeof nones[0]; i++) {
        char header[100];
        snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"r\"}", nones[i]);
        REFUSES('r', header, CLAIMS);
        snprintf(t, sizeof t, "%.4000s.%.4000s.", b64(header, strlen(header), a), b64(CLAIMS, strlen(CLAIMS), b));
        assert_false(takes(w, t));
    }
    REFUSES('r', "{\"kid\":\"r\"}", CLAIMS);
    REFUSES('r', "{\"alg\":[\"RS256\"],\"kid\":\"r\"}", CLAIMS);
    REFUSES('r', "{\"alg\":\"rs256\",\"kid\":\"r\"}", CLAIMS);
    REFUSES('r', "{\"alg\":\"RS512\",\"kid\":\"r\"}", CLAIMS);
    REFUSES('h', "{\"alg\":\"HS256\",\"kid\":\"r\"}", CLAIMS); /* the secret, under the RSA key's name */
    REFUSES('e', "{\"alg\":\"RS256\",\"kid\":\"e\"}", CLAIMS);
}

/* The public key, which everybody has, as the secret of an HMAC: in the forms that libraries have fallen for. */
static void a_public_key_is_no_secret(void **state)
{
    const world *w = *state;
    char t[ROOM], a[ROOM], b[ROOM], c[ROOM];
    unsigned char mac[64];
    unsigned len = 0;
    BIO *pem = BIO_new(BIO_s_mem());
    char *text;
    PEM_write_bio_PUBKEY(pem, w->rsa);
    long n = BIO_get_mem_data(pem, &text);
    static const char *const headers[] = { "{\"alg\":\"HS256\",\"kid\":\"r\"}", "{\"alg\":\"HS256\"}", "{\"alg\":\"HS256\",\"kid\":\"h\"}" };
    for (size_t i = 0; i < 3; i++) {
        snprintf(t, sizeof t, "%.4000s.%.4000s", b64(headers[i], strlen(headers[i]), a), b64(CLAIMS, strlen(CLAIMS), b));
        HMAC(EVP_sha256(), text, (int)n, (const unsigned char *)t, strlen(t), mac, &len);
        size_t used = strlen(t);
        snprintf(t + used, sizeof t - used, ".%.100s", b64(mac, len, c));
        assert_false(takes(w, t));
    }
    BIO_free(pem);
}

static void keys_that_the_token_brings_or_names(void **state)
{
    const world *w = *state;
    REFUSES('r', "{\"alg\":\"RS256\",\"kid\":\"other\"}", CLAIMS);
    REFUSES('r', "{\"alg\":\"RS256\",\"kid\":\"e\"}", CLAIMS);
    REFUSES('r', "{\"alg\":\"RS256\",\"kid\":\"../../dev/null\"}", CLAIMS);
    REFUSES('r', "{\"alg\":\"RS256\",\"kid\":7}", CLAIMS);
    REFUSES('r', "{\"alg\":\"RS256\",\"kid\":\"r\",\"kid\":\"e\"}", CLAIMS);
    REFUSES('r', "{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[\"exp\"],\"exp\":1}", CLAIMS);
    REFUSES('r', "{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[]}", CLAIMS);
    REFUSES('r', "{\"alg\":\"RS256\",\"kid\":\"r\",\"b64\":false}", CLAIMS);
    REFUSES('r', "{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"JWE\"}", CLAIMS);
    world other = *w; /* a key of the attacker's, embedded or linked */
    other.rsa = EVP_RSA_gen(2048);
    assert_false(takes(w, token(&other, 'r', "{\"alg\":\"RS256\",\"kid\":\"r\",\"jwk\":{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}}", CLAIMS)));
    assert_false(takes(w, token(&other, 'r', "{\"alg\":\"RS256\",\"kid\":\"r\",\"jku\":\"https://evil\"}", CLAIMS)));
    EVP_PKEY_free(other.rsa);
}

static void claims_that_do_not_hold(void **state)
{
    const world *w = *state;
#define WITH(iss, aud, sub, rest) "{\"iss\":" iss ",\"aud\":" aud ",\"sub\":" sub "," rest "}"
#define I "\"https://issuer\""
#define A "\"quanta\""
#define E "\"exp\":1800000100"
    TAKES('r', R, WITH(I, A, "\"a\"", E));
    REFUSES('r', R, WITH("\"https://other\"", A, "\"a\"", E));
    REFUSES('r', R, WITH("[\"https://issuer\"]", A, "\"a\"", E));
    REFUSES('r', R, WITH("null", A, "\"a\"", E));
    REFUSES('r', R, WITH(I, "\"others\"", "\"a\"", E));
    REFUSES('r', R, WITH(I, "[]", "\"a\"", E));
    REFUSES('r', R, WITH(I, "{\"quanta\":1}", "\"a\"", E));
    REFUSES('r', R, WITH(I, A, "\"\"", E));
    REFUSES('r', R, WITH(I, A, "7", E));
    REFUSES('r', R, WITH(I, A, "\"a b\"", E));
    REFUSES('r', R, WITH(I, A, "\"a\\u0000b\"", E));
    REFUSES('r', R, WITH(I, A, "\"a\"", "\"exp\":1799999970")); /* the leeway's end */
    REFUSES('r', R, WITH(I, A, "\"a\"", "\"exp\":\"1800000100\""));
    REFUSES('r', R, WITH(I, A, "\"a\"", "\"exp\":-1"));
    REFUSES('r', R, WITH(I, A, "\"a\"", "\"exp\":1e300"));
    REFUSES('r', R, WITH(I, A, "\"a\"", "\"x\":1"));
    REFUSES('r', R, WITH(I, A, "\"a\"", E ",\"exp\":1900000000"));
    REFUSES('r', R, WITH(I, A, "\"a\"", E ",\"nbf\":1800000031"));
    TAKES('r', R, WITH(I, A, "\"a\"", E ",\"nbf\":1800000030"));
    REFUSES('r', R, WITH(I, A, "\"a\"", E ",\"nbf\":\"soon\""));
    REFUSES('r', R, WITH(I, A, "\"a\"", E ",\"iat\":1800000031"));
    REFUSES('r', R, WITH(I, A, "\"a\"", E ",\"roles\":[1]"));
    REFUSES('r', R, WITH(I, A, "\"a\"", E ",\"roles\":{\"admin\":true}"));
    REFUSES('r', R, "[]");
    REFUSES('r', R, "\"x\"");
}

static void shapes_that_are_wrong(void **state)
{
    const world *w = *state;
    static char big[20000], t[ROOM], deep[2000];
    static const char *const shapes[] = { "", ".", "..", "a.b", "a.b.c.d", "...", "a.b.c", "=.=.=" };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        assert_false(takes(w, shapes[i]));
    const char *good = token(w, 'r', R, CLAIMS);
    size_t n = strlen(good);
    memcpy(t, good, n + 1);
    for (size_t i = 0; i < n; i++) { /* any one character another */
        char was = t[i];
        t[i] = was == 'A' ? 'B' : 'A';
        assert_false(takes(w, t));
        t[i] = was;
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(q_jwt_verify(w->arena, w->keys, &RULES, NOW, (q_slice){ t, i }, &(q_jwt_claims){ 0 }, &(q_err){ 0 }), Q_FAIL);
    snprintf(t + n, sizeof t - n, "=");
    assert_false(takes(w, t));
    memset(deep, '[', sizeof deep - 1);
    REFUSES('r', deep, CLAIMS);
    REFUSES('r', R, deep);
    memset(big, ' ', 7000);
    memcpy(big + 7000, CLAIMS, sizeof CLAIMS);
    REFUSES('r', R, big);
    unsigned char zero[64] = { 0 };
    char *dot;
    memcpy(t, token(w, 'e', "{\"alg\":\"ES256\",\"kid\":\"e\"}", CLAIMS), 1000);
    dot = strrchr(t, '.');
    sodium_bin2base64(dot + 1, 200, zero, sizeof zero, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    assert_false(takes(w, t)); /* r = s = 0 */
}

/* Signed well, and a token within a token: what is inside says nothing. */
static void nested_tokens(void **state)
{
    const world *w = *state;
    char inner[8000];
    snprintf(inner, sizeof inner, "%s", token(w, 'r', R, CLAIMS));
    REFUSES('r', "{\"alg\":\"RS256\",\"kid\":\"r\",\"cty\":\"JWT\"}", inner);
}

static void keys_that_are_refused(void **state)
{
    static const char *const sets[] = {
        "", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":[7]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"},"
        "{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        q_jwt_keys *k = NULL;
        q_err err = Q_ERR_INIT;
        assert_int_equal(q_jwt_keys_read(q_slice_cstr(sets[i]), true, &k, &err), Q_FAIL);
        assert_null(strstr(err.message, "MDEy"));
    }
    const char *secret = "{\"keys\":[{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}";
    q_jwt_keys *k = NULL;
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_jwt_keys_read(q_slice_cstr(secret), false, &k, &err), Q_FAIL); /* by explicit choice only */
    assert_int_equal(q_jwt_keys_read(q_slice_cstr(secret), true, &k, &err), Q_OK);
    q_jwt_keys_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_tokens_of_every_algorithm),
        cmocka_unit_test(algorithms_that_the_key_is_not_for),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(keys_that_the_token_brings_or_names),
        cmocka_unit_test(claims_that_do_not_hold),
        cmocka_unit_test(shapes_that_are_wrong),
        cmocka_unit_test(nested_tokens),
        cmocka_unit_test(keys_that_are_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
