/* access.h - roles, grants and keys of one bucket, as a snapshot. Pure. docs/permissions.md says what they mean.
 *
 * A q_acl is immutable; buckets of several snapshots share it. Conditions are kept as canonical QuantaQL text, secrets as hashes only. */
#ifndef Q_SCHEMAS_ACCESS_H
#define Q_SCHEMAS_ACCESS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum {
    Q_MAX_ROLES = 200,             /* of a bucket */
    Q_MAX_GRANTS = 2000,
    Q_MAX_KEYS = 1000,
    Q_MAX_CONDITION_BYTES = 4096,
    Q_KEY_HASH_BYTES = 32,
};

typedef enum q_priv { Q_PRIV_SELECT = 1, Q_PRIV_INSERT = 2, Q_PRIV_UPDATE = 4, Q_PRIV_DELETE = 8, Q_PRIV_ADMIN = 16 } q_priv;
enum { Q_PRIV_DATA = Q_PRIV_SELECT | Q_PRIV_INSERT | Q_PRIV_UPDATE | Q_PRIV_DELETE, Q_PRIV_ALL = Q_PRIV_DATA | Q_PRIV_ADMIN };
const char *q_priv_name(q_priv p); /* "SELECT"; static */

typedef struct q_grant {
    q_slice role;
    q_slice record;          /* empty: the bucket and all its records */
    q_priv priv;             /* one bit */
    uint32_t field_count;    /* 0: every attribute, also later ones */
    const q_slice *fields;   /* ascending, each once */
    q_slice where;           /* a condition's text; empty: every row */
} q_grant;

typedef struct q_api_key {
    q_slice name, role;
    uint8_t hash[Q_KEY_HASH_BYTES]; /* of the whole key text */
    int64_t expires_us;      /* since 1970; 0: never */
} q_api_key;

typedef struct q_acl {
    uint32_t role_count, grant_count, key_count;
    const q_slice *roles;    /* ascending */
    const q_grant *grants;   /* by role, then record, then as they were given */
    const q_api_key *keys;       /* by name */
} q_acl;

/* What the statements say: one of q_ddl's kinds from Q_DDL_CREATE_ROLE on. */
typedef struct q_privilege {
    unsigned privs;          /* bits of q_priv: ALL has several, and then no fields */
    uint32_t field_count;
    const q_slice *fields;
} q_privilege;

typedef struct q_access_ddl {
    q_slice role;
    bool on_bucket;
    uint32_t count;          /* GRANT, REVOKE */
    const q_privilege *privileges;
    q_slice where;           /* GRANT: canonical text, or empty */
    q_slice key;             /* keys: the name */
    bool has_hash, has_expires;
    uint8_t hash[Q_KEY_HASH_BYTES];
    int64_t expires_us;
} q_access_ddl;

/* ---- reading a snapshot; `a` may be NULL: nothing is granted ---- */
bool q_access_has_role(const q_acl *a, q_slice role);
const q_api_key *q_access_key(const q_acl *a, q_slice name); /* NULL when there is none */
static inline bool q_grant_covers(const q_grant *g, q_slice field)
{
    for (uint32_t i = 0; i < g->field_count; i++)
        if (q_slice_eq(g->fields[i], field))
            return true;
    return g->field_count == 0 && g->priv != Q_PRIV_DELETE && g->priv != Q_PRIV_ADMIN;
}

/* ---- references: single owner thread, as the catalog's ---- */
q_acl *q_access_ref(const q_acl *a);   /* accepts NULL */
void q_access_unref(const q_acl *a);      /* accepts NULL */

/* The log's form (msgpack, versioned). Decoding validates everything; *out has one reference. */
void q_access_encode(const q_acl *a, q_slice bucket, uint64_t incarnation, q_buf *out);

#endif
