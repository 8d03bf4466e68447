/* jwk.h - keys, between the files of this folder. */
#ifndef Q_AUTH_JWK_H
#define Q_AUTH_JWK_H

#include "auth/jwt.h"

#include <openssl/evp.h>

typedef struct q_jwk {
    q_jwt_alg alg;
    char *kid;            /* or NULL */
    EVP_PKEY *key;        /* HS256: NULL */
    unsigned char *secret;
    size_t secret_len;
} q_jwk;

struct q_jwt_keys {
    uint32_t count;
    q_jwk keys[Q_JWT_MAX_KEYS];
};

const char *q_jwt_alg_name(q_jwt_alg a);

#endif
