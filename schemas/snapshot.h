/* snapshot.h - changing a snapshot that nobody else sees yet. Between the files of this folder. Pure.
 *
 * Each function needs a catalog with one reference; nodes that others share are copied before they change. false: out of memory, and
 * the catalog is as it was. */
#ifndef Q_SCHEMAS_SNAPSHOT_H
#define Q_SCHEMAS_SNAPSHOT_H

#include "schemas/accessnode.h"
#include "schemas/define.h"
#include "schemas/name.h"

/* Shares all of `c`; one reference; NULL when out of memory. */
q_catalog *q_snapshot_copy(const q_catalog *c);
bool q_snapshot_shared(const q_catalog *c);

/* Adds an empty bucket, or empties one of another incarnation. */
bool q_snapshot_put_bucket(q_catalog *c, q_slice name, uint64_t incarnation);
/* Precondition: it is there. */
void q_snapshot_remove_bucket(q_catalog *c, q_slice name);
/* Adds or replaces. `head`: bucket (which is there), name, incarnations and version; all is copied. */
bool q_snapshot_put_record(q_catalog *c, const q_record *head, const q_definition *d);
/* Precondition: it is there. */
bool q_snapshot_remove_record(q_catalog *c, q_slice bucket, q_slice record);
/* Precondition: the bucket is there. Takes the reference to `access`, which may be NULL, when it succeeds. */
bool q_snapshot_put_access(q_catalog *c, q_slice bucket, q_acl *access);

#endif
