/* resource.h - how a lock's resource is spelt: one place for the planner (which locks a statement needs) and for recovery (which locks a
 * redo stands for), because two spellings of one thing would be two locks. Pure; everything lives in the caller's arena.
 *
 * Names never hold '/', NUL or \1 (schemas/catalog.h), so no two different things share a spelling:
 *     "bucket"   "bucket/record"   "bucket/record\0" + id key   "bucket/record\1attr\0" + value key   "bucket/record\1attr" */
#ifndef Q_COORDINATOR_RESOURCE_H
#define Q_COORDINATOR_RESOURCE_H

#include "schemas/catalog.h"

/* Each answers an empty slice when the arena is full. */
q_slice q_resource_bucket(q_arena *arena, q_slice bucket);
q_slice q_resource_type(q_arena *arena, q_slice bucket, q_slice record);
q_slice q_resource_id(q_arena *arena, q_slice bucket, q_slice record, const q_value *id);
q_slice q_resource_unique(q_arena *arena, q_slice bucket, q_slice record, q_slice attr, const q_value *value);
/* All values of a UNIQUE attribute. */
q_slice q_resource_unique_attr(q_arena *arena, q_slice bucket, q_slice record, q_slice attr);
/* The bucket's definitions, "bucket\2": one DDL at a time, and who must know what it will be waits for it. */
q_slice q_resource_ddl(q_arena *arena, q_slice bucket);

#endif
