/* memlog.h - the simulator's side of the log seam (wal/log.h): a disk in memory.
 *
 * A commit is a write and a sync in one instant: all of the group or nothing. That a sync takes time, that a crash comes before it, or
 * after it and before anybody knows, is node.c's, which decides when to call commit. Closing keeps the disk. Single owner. */
#ifndef Q_SIM_MEMLOG_H
#define Q_SIM_MEMLOG_H

#include "tests/sim/sim.h"
#include "wal/segment.h"

typedef struct mem_disk mem_disk;

/* Every record that ever became durable, in order, also those that were trimmed: for checkers. */
typedef void (*mem_durable)(void *ctx, uint64_t lsn, q_slice bytes);

/* `identity`: 8 bytes of cluster, 16 of incarnation. */
mem_disk *mem_disk_new(q_arena *arena, const char identity[24], mem_durable durable, void *ctx);
/* Q_FAIL while it is open: the exclusive lock. The log is freed by its close. */
q_rc mem_log_open(mem_disk *disk, q_log **out, q_err *err);
/* Copies the records below `end_lsn` that no segment has into one: durable at once, and kept when they are trimmed. False: they aren't there. */
bool mem_disk_archive(mem_disk *disk, uint64_t end_lsn);
/* All segments; it lives as long as the disk. */
q_archive *mem_disk_archived(mem_disk *disk);
/* Called with a record that is trimmed and in no segment: it is gone for good. */
void mem_disk_on_loss(mem_disk *disk, void (*lost)(void *ctx, uint64_t lsn), void *ctx);
/* The next commit fails with Q_FATAL; `there`: yet it is durable. */
void mem_disk_fail_next(mem_disk *disk, bool there);

/* A copy of the whole disk, as an operator's backup; and its return while it is closed. */
typedef struct mem_disk_copy mem_disk_copy;
mem_disk_copy *mem_disk_copy_take(mem_disk *disk);
void mem_disk_copy_restore(mem_disk *disk, const mem_disk_copy *copy);

#endif
