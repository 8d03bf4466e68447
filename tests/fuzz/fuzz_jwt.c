/* fuzz_jwt.c - tokens, key sets and API keys from outside. The bytes are read as a token (which nobody signed: never taken), as a key set, as a key's
 * text, and, split at the first newline, as a header and claims that are signed properly, so that what stands behind the signature is
 * reached, too. LibFuzzer's entry point; tests/fuzz/fuzz_jwt.mk builds and runs it. */
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdlib.h>

#include "auth/apikey.h"
#include "auth/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)   \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

enum { NOW = 1800000000, ROOM = 32768 };
static const char SECRET[] = "0123456789abcdef0123456789abcdef";
static const q_jwt_rules RULES = { .issuer = "i", .audience = "a", .leeway_s = 10, .roles_claim = "roles" };

static size_t b64(const void *bytes, size_t n, char *out, size_t room)
{
    sodium_bin2base64(out, room, bytes, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return strlen(out);
}

static q_jwt_keys *keys(void)
{
    static q_jwt_keys *k;
    char text[300], secret[100];
    q_err err = Q_ERR_INIT;
    if (k)
        return k;
    b64(SECRET, 32, secret, sizeof secret);
    int n = snprintf(text, sizeof text, "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"h\",\"k\":\"%s\"}]}", secret);
    MUST(q_jwt_keys_read(q_slice_of(text, (size_t)n), true, &k, &err) == Q_OK);
    return k;
}

/* Whatever is taken keeps its promises; what isn't has the one code. */
static bool take(q_arena *arena, q_slice token)
{
    q_jwt_claims c;
    q_err err = Q_ERR_INIT;
    if (q_jwt_verify(arena, keys(), &RULES, NOW, token, &c, &err) != Q_OK) {
        MUST(err.code == Q_E_UNAUTHENTICATED && err.message[0]);
        return false;
    }
    MUST(c.subject.len > 0 && c.subject.len <= Q_JWT_MAX_PRINCIPAL && c.expires_s + RULES.leeway_s > NOW && c.role_count <= Q_JWT_MAX_ROLES);
    for (size_t i = 0; i < c.subject.len; i++)
        MUST(c.subject.ptr[i] >= 0x21 && c.subject.ptr[i] <= 0x7E);
    for (uint32_t i = 0; i < c.role_count; i++)
        MUST(c.roles[i].len > 0);
    return true;
}

static void signed_token(q_arena *arena, const uint8_t *data, size_t size)
{
    static char text[3 * ROOM];
    unsigned char mac[32];
    unsigned n = 0;
    const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;
    if (!nl || size > ROOM / 2)
        return;
    size_t head = (size_t)(nl - data), at = b64(data, head, text, ROOM);
    text[at++] = '.';
    at += b64(nl + 1, size - head - 1, text + at, ROOM);
    HMAC(EVP_sha256(), SECRET, 32, (const unsigned char *)text, at, mac, &n);
    text[at++] = '.';
    at += b64(mac, n, text + at, ROOM);
    bool taken = take(arena, q_slice_of(text, at));
    /* One bit of the signature away it is nobody's. */
    text[at - 10] = text[at - 10] == 'A' ? 'B' : 'A';
    MUST(!take(arena, q_slice_of(text, at)) || !taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static q_arena *arena;
    q_err err = Q_ERR_INIT;
    q_jwt_keys *set = NULL;
    q_slice bucket, name, bytes = { (const char *)data, size };
    arena = arena ? arena : q_arena_new(0);
    q_arena_reset(arena);
    MUST(!take(arena, bytes));
    signed_token(arena, data, size);
    if (q_jwt_keys_read(bytes, true, &set, &err) == Q_OK) {
        MUST(q_jwt_keys_count(set) > 0 && q_jwt_keys_count(set) <= Q_JWT_MAX_KEYS);
        q_jwt_keys_free(set);
    }
    if (q_apikey_parts(bytes, &bucket, &name))
        MUST(bucket.len <= 40 && name.len <= 40 && (bucket.len > 0) == (name.len > 0));
    return 0;
}
