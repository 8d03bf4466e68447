#include "auth/apikey.h"

#include <sodium.h>
#include <stdio.h>

void q_apikey_hash(q_slice text, uint8_t out[Q_APIKEY_HASH_BYTES])
{
    crypto_generichash(out, Q_APIKEY_HASH_BYTES, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len, NULL, 0);
}

static bool is_name(q_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '_'))
            return false;
    return s.len > 0 && s.len <= 40;
}

static bool is_secret(q_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z') || (s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '-' ||
              s.ptr[i] == '_'))
            return false;
    return s.len == Q_APIKEY_SECRET_CHARS;
}

bool q_apikey_parts(q_slice text, q_slice *bucket, q_slice *name)
{
    const char *first = text.len <= Q_APIKEY_MAX_BYTES && text.len ? memchr(text.ptr, '.', text.len) : NULL;
    *bucket = *name = Q_SLICE_NONE;
    if (!first)
        return false;
    q_slice head = { text.ptr, (size_t)(first - text.ptr) }, rest = { first + 1, text.len - head.len - 1 };
    const char *second = rest.len ? memchr(rest.ptr, '.', rest.len) : NULL;
    if (!second)
        return q_slice_eq(head, Q_SLICE_LIT("admin")) && is_secret(rest);
    q_slice middle = { rest.ptr, (size_t)(second - rest.ptr) }, secret = { second + 1, rest.len - middle.len - 1 };
    if (!is_name(head) || !is_name(middle) || !is_secret(secret))
        return false;
    *bucket = head;
    *name = middle;
    return true;
}

bool q_apikey_same(const uint8_t a[Q_APIKEY_HASH_BYTES], const uint8_t b[Q_APIKEY_HASH_BYTES]) { return sodium_memcmp(a, b, Q_APIKEY_HASH_BYTES) == 0; }

void q_apikey_make(q_slice bucket, q_slice name, char out[Q_APIKEY_MAX_BYTES + 1])
{
    unsigned char secret[32];
    char text[Q_APIKEY_SECRET_CHARS + 1];
    randombytes_buf(secret, sizeof secret);
    sodium_bin2base64(text, sizeof text, secret, sizeof secret, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    if (bucket.len)
        snprintf(out, Q_APIKEY_MAX_BYTES + 1, "%.*s.%.*s.%s", (int)bucket.len, bucket.ptr, (int)name.len, name.ptr, text);
    else
        snprintf(out, Q_APIKEY_MAX_BYTES + 1, "admin.%s", text);
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(text, sizeof text);
}

void q_apikey_hex(const uint8_t hash[Q_APIKEY_HASH_BYTES], char out[2 * Q_APIKEY_HASH_BYTES + 1])
{
    sodium_bin2hex(out, 2 * Q_APIKEY_HASH_BYTES + 1, hash, Q_APIKEY_HASH_BYTES);
}

bool q_apikey_unhex(const char *hex, uint8_t out[Q_APIKEY_HASH_BYTES])
{
    size_t n = 0;
    return strlen(hex) == 2 * Q_APIKEY_HASH_BYTES && sodium_hex2bin(out, Q_APIKEY_HASH_BYTES, hex, 2 * Q_APIKEY_HASH_BYTES, NULL, &n, NULL) == 0 &&
           n == Q_APIKEY_HASH_BYTES;
}
