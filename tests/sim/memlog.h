/* memlog.h - the simulator's side of the log seam (wal/log.h): a disk in memory.
 *
 * A commit is a write and a sync in one instant: all of the group or nothing. That a sync takes time, that a crash comes before it, or
 * after it and before anybody knows, is node.c's, which decides when to call commit. Closing keeps the disk. Single owner. */
#ifndef Q_SIM_MEMLOG_H
#define Q_SIM_MEMLOG_H

#include "tests/sim/sim.h"
#include "wal/log.h"

typedef struct mem_disk mem_disk;

/* Every record that ever became durable, in order, also those that were trimmed: for checkers. */
typedef void (*mem_durable)(void *ctx, uint64_t lsn, q_slice bytes);

/* `identity`: 8 bytes of cluster, 16 of incarnation. */
mem_disk *mem_disk_new(q_arena *arena, const char identity[24], mem_durable durable, void *ctx);
/* Q_FAIL while it is open: the exclusive lock. The log is freed by its close. */
q_rc mem_log_open(mem_disk *disk, q_log **out, q_err *err);
/* The next commit fails with Q_FATAL; `there`: yet it is durable. */
void mem_disk_fail_next(mem_disk *disk, bool there);

/* A copy of the whole disk, as an operator's backup; and its return while it is closed. */
typedef struct mem_disk_copy mem_disk_copy;
mem_disk_copy *mem_disk_copy_take(mem_disk *disk);
void mem_disk_copy_restore(mem_disk *disk, const mem_disk_copy *copy);

#endif
