/* accessnode.h - making snapshots of roles, grants and keys. Between the files of this folder. Pure. */
#ifndef Q_SCHEMAS_ACCESSNODE_H
#define Q_SCHEMAS_ACCESSNODE_H

#include "schemas/catalog.h"
#include "schemas/mp.h"

/* The snapshot after a statement (one of q_ddl's from Q_DDL_CREATE_ROLE on), with one reference. Q_END: nothing to do. `a` may be NULL. */
Q_CHECK q_rc q_access_apply(const q_acl *a, const q_ddl *ddl, q_acl **out, q_err *err);
/* Without the grants on one record: it was dropped. *out may be NULL: there was nothing. */
Q_CHECK q_rc q_access_without_record(const q_acl *a, q_slice record, q_acl **out, q_err *err);
/* The three lists of the log's form; then `it` must be at its end. */
Q_CHECK q_rc q_access_take(q_mp_items *it, q_acl **out, q_err *err);

#endif
