/* positions.h - which requests are complete (B7): per partition a low water and what lies above it. Pure; one owner thread.
 *
 * A request is complete when its outcome is durable, or, when it has none that is logged, when its answer was published. Requests finish
 * out of order; the low water never passes one that isn't complete. What lies above is kept as the list of those that are NOT complete:
 * there are at most as many as may be in flight, however far the others have run ahead. Offsets that the topic doesn't have (compaction,
 * transaction markers) are complete.
 *
 * The log's table POSITION holds an entry per partition: key "<topic>/<partition>", value msgpack
 *     [1, next, end, [offsets below `end` that aren't complete, each as the distance from the one before, the first from `next`],
 *      offset of the last complete message, its hash (bin 16; empty when there is none)] */
#ifndef Q_COORDINATOR_POSITIONS_H
#define Q_COORDINATOR_POSITIONS_H

#include "base/buf.h"
#include "base/error.h"

typedef struct q_positions q_positions;
typedef struct q_position q_position; /* one message being worked on */

enum { Q_POSITIONS_MAX_PARTITIONS = 10000, Q_POSITIONS_MAX_OPEN = 1000000 };

/* `topic` is copied. NULL when out of memory. */
q_positions *q_positions_new(q_slice topic);
void q_positions_free(q_positions *p); /* accepts NULL */

/* The hash by which a message is known again (B7): XXH3 of key and value. It tells a recreated topic from the old one, and isn't meant to
 * withstand anyone who makes collisions on purpose. */
void q_positions_hash_message(q_slice key, q_slice value, uint8_t hash[16]);

/* Recovery: an entry of POSITION. An entry of another topic is passed over. Q_FAIL: damaged. */
Q_CHECK q_rc q_positions_load(q_positions *p, q_slice key, q_slice value, q_err *err);

/* A message came. Q_OK: it is to be worked on, *out stands for it until q_positions_complete. Q_END: it is complete or being worked on
 * already (redelivered). Q_FAIL: OVERLOADED past a maximum, LIMIT_MEMORY, or REQUEST_MALFORMED for an impossible coordinate. */
Q_CHECK q_rc q_positions_begin(q_positions *p, int32_t partition, int64_t offset, const uint8_t hash[16], q_position **out, q_err *err);
void q_positions_complete(q_positions *p, q_position *m);

/* The offset to go on from: that of the first message that isn't complete. -1 when the partition is new. */
int64_t q_positions_next(const q_positions *p, int32_t partition);
/* The message of the highest offset that is complete. false when there is none. */
bool q_positions_last(const q_positions *p, int32_t partition, int64_t *offset, uint8_t hash[16]);
/* May the topic still deliver this message again after a crash? True from the low water of the last durable group on. */
bool q_positions_may_return(const q_positions *p, int32_t partition, int64_t offset);

/* For the next group: writes key and value of a partition that changed since it was written last. false: no more. With `lose` (a mutant)
 * everything seen is written as complete. */
bool q_positions_write(q_positions *p, bool lose, q_buf *key, q_buf *value);
bool q_positions_changed(const q_positions *p);
/* The group with what was written is durable. */
void q_positions_durable(q_positions *p);

uint64_t q_positions_open_count(const q_positions *p);
uint64_t q_positions_bytes(const q_positions *p);

#endif
