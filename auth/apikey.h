/* apikey.h - API keys: `<bucket>.<name>.<secret>`, or `admin.<secret>`. Pure, but for q_apikey_make, which takes random bytes of the system.
 *
 * The secret is 32 random bytes, so a fast hash is enough: there is nothing to guess. Only the hash is ever stored or sent. */
#ifndef Q_AUTH_APIKEY_H
#define Q_AUTH_APIKEY_H

#include "base/error.h"

enum { Q_APIKEY_HASH_BYTES = 32, Q_APIKEY_SECRET_CHARS = 43, Q_APIKEY_MAX_BYTES = 40 + 1 + 40 + 1 + Q_APIKEY_SECRET_CHARS };

/* BLAKE2b-256 of the whole text. */
void q_apikey_hash(q_slice text, uint8_t out[Q_APIKEY_HASH_BYTES]);
/* Its parts, which borrow from `text`. An administrator's: both are empty. False when it isn't a key's text. */
bool q_apikey_parts(q_slice text, q_slice *bucket, q_slice *name);
/* Are they equal? In a time that doesn't depend on where they differ. */
bool q_apikey_same(const uint8_t a[Q_APIKEY_HASH_BYTES], const uint8_t b[Q_APIKEY_HASH_BYTES]);
/* A new key, NUL-terminated; an empty bucket makes an administrator's. */
void q_apikey_make(q_slice bucket, q_slice name, char out[Q_APIKEY_MAX_BYTES + 1]);
/* 64 hexadecimal digits, NUL-terminated; and back: false when it isn't that. */
void q_apikey_hex(const uint8_t hash[Q_APIKEY_HASH_BYTES], char out[2 * Q_APIKEY_HASH_BYTES + 1]);
bool q_apikey_unhex(const char *hex, uint8_t out[Q_APIKEY_HASH_BYTES]);

#endif
