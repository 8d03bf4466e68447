/* jwt.h - signed tokens: who a bearer is. Pure: keys, the time and the token come as arguments.
 *
 * The algorithm belongs to the key, never to the token: a header that names another one is refused, so that neither "none" nor an RSA
 * key used as an HMAC secret gets anywhere. Signatures by OpenSSL (EVP), base64url by libsodium, JSON by jansson.
 * Sources: RFC 7515 (JWS), 7517 (JWK), 7518 (algorithms), 7519 (claims), 8037 (EdDSA), 8725 (current practice). */
#ifndef Q_AUTH_JWT_H
#define Q_AUTH_JWT_H

#include "base/arena.h"
#include "base/error.h"

enum { Q_JWT_MAX_BYTES = 8192, Q_JWT_MAX_KEYS = 64, Q_JWT_MAX_ROLES = 64, Q_JWT_MAX_PRINCIPAL = 128, Q_JWT_MIN_SECRET_BYTES = 32, Q_JWT_MIN_RSA_BITS = 2048 };

typedef enum q_jwt_alg { Q_JWT_RS256 = 1, Q_JWT_ES256, Q_JWT_EDDSA, Q_JWT_HS256 } q_jwt_alg;

typedef struct q_jwt_keys q_jwt_keys; /* immutable once read: any thread may verify with it */

/* A JWKS document. Keys for encryption are left out, and so are kinds that aren't known: a key set may hold more than we use.
 * `allow_secrets`: HS256 keys (kty oct) are taken, too; by explicit choice only. Q_FAIL INTERNAL: unreadable, a weak key, two of one kid, none left.
 * The error never holds key material. */
Q_CHECK q_rc q_jwt_keys_read(q_slice jwks, bool allow_secrets, q_jwt_keys **out, q_err *err);
void q_jwt_keys_free(q_jwt_keys *k); /* accepts NULL; wipes secrets */
size_t q_jwt_keys_count(const q_jwt_keys *k);

typedef struct q_jwt_rules {
    const char *issuer, *audience; /* both are required: a token for somebody else isn't for us */
    int64_t leeway_s;              /* of exp and nbf, for clocks that differ; at most 300 */
    const char *roles_claim;       /* an array of strings, or one with spaces between; NULL: no roles */
} q_jwt_rules;

typedef struct q_jwt_claims {
    q_slice subject;       /* printable, 1 to Q_JWT_MAX_PRINCIPAL bytes */
    int64_t expires_s;     /* seconds since 1970 */
    uint32_t role_count;
    const q_slice *roles;
    q_slice json;          /* the payload, for $jwt.… */
} q_jwt_claims;

/* `token` is the compact form, without "Bearer". All of `out` lives in `arena`. Q_FAIL UNAUTHENTICATED; the message says which check failed,
 * nothing of the token. */
Q_CHECK q_rc q_jwt_verify(q_arena *arena, const q_jwt_keys *keys, const q_jwt_rules *rules, int64_t now_s, q_slice token, q_jwt_claims *out, q_err *err);

#endif
