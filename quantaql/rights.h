/* rights.h - what one principal may do in one bucket. Pure. docs/permissions.md says what it means.
 *
 * A q_rights lives in the caller's arena and borrows from the principal and from the bucket's snapshot. NULL instead of one: everything is allowed,
 * and nothing below costs anything. */
#ifndef Q_QUANTAQL_RIGHTS_H
#define Q_QUANTAQL_RIGHTS_H

#include "quantaql/quantaql.h"

enum { Q_RIGHTS_MAX_CONDITIONS = 64 }; /* of the grants of one privilege on one record that one principal has */

typedef struct q_principal {
    q_slice name;              /* printable, at most Q_PRINCIPAL_MAX_BYTES */
    bool all;                  /* everything: authentication is off, or an administrator */
    q_slice bucket;            /* a key's: no other one exists for it. Empty: any */
    uint32_t role_count;
    const q_slice *roles;
    uint32_t claim_count;
    const q_param *claims;     /* $jwt.name, without the "jwt." */
} q_principal;
enum { Q_PRINCIPAL_MAX_BYTES = 160 };

typedef struct q_rights {
    const q_principal *who;
    const q_bucket *bucket;    /* NULL: it isn't there, or isn't there for this principal */
    unsigned everywhere;       /* q_priv on every record, without a condition, and ADMIN */
    uint32_t grant_count;
    const q_grant **grants;    /* of its roles, on records */
} q_rights;

/* NULL with *out set to NULL: everything is allowed. False when out of memory. */
bool q_rights_of(q_arena *arena, const q_principal *who, const q_bucket *bucket, const q_rights **out);
/* Does it know of the bucket, the record, the attribute? */
bool q_rights_bucket(const q_rights *r);
bool q_rights_record(const q_rights *r, const q_record *rec);
bool q_rights_attr(const q_rights *r, const q_record *rec, const q_attr *a);
bool q_rights_admin(const q_rights *r);
/* May it, on some rows at least? `a` NULL: on anything of the record. */
bool q_rights_may(const q_rights *r, const q_record *rec, q_priv priv, const q_attr *a);

/* q_ql_check for a principal (NULL: everything is allowed). Conditions of grants become the statements' `guard`, `after` and `via`. A refusal
 * leaves script->denied. */
Q_CHECK q_rc q_ql_check_for(q_arena *arena, q_script *script, const q_catalog *catalog, q_slice bucket, const q_param *params,
                            size_t param_count, const q_principal *who, q_err *err);

#endif
