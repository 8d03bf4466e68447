/* memstore.h - what a simulated engine keeps: tables of parts, samples and tombstones, of which the newest may not be synced yet.
 *
 * Every version of a part is immutable and lives in the world's arena, so a crash (undo of what isn't synced) and a backup are lists of
 * pointers. Decisions about an item are workers/rules.h's; this file only stores. Single owner. */
#ifndef Q_SIM_MEMSTORE_H
#define Q_SIM_MEMSTORE_H

#include "workers/rules.h"

typedef struct mem_sample { /* of a metric: newest first; a version shares the tail of the one before it */
    const struct mem_sample *next;
    q_slice attr;
    q_value value;          /* with at_us */
    uint64_t seq;
} mem_sample;

typedef struct mem_field { q_slice attr; q_value value; } mem_field;

typedef struct mem_part {   /* one version */
    q_stored stored;
    uint32_t count;
    const mem_field *fields;
    const mem_sample *samples;
} mem_part;

typedef struct mem_slot {   /* one id of a table */
    q_slice key;            /* canonical: q_value_key */
    q_value id;
    const mem_part *part;   /* NULL: nothing */
} mem_slot;

typedef struct mem_table {  /* a bucket's or a record's name; record is empty for a bucket */
    q_slice bucket, record;
    q_named named;
    uint32_t unique_count;
    const q_slice *unique;  /* attributes; PostgreSQL only */
    uint32_t count, cap;
    mem_slot **slots;       /* by key */
} mem_table;

typedef struct mem_undo {
    mem_table *table;
    mem_slot *slot;         /* NULL: the table's name changed */
    const mem_part *part;
    q_named named;
    uint32_t unique_count;
    const q_slice *unique;
} mem_undo;

typedef struct mem_store {
    q_arena *arena;
    bool metrics;
    uint32_t sabotage;
    uint32_t table_count, table_cap;
    mem_table **tables;
    uint32_t undo_count, undo_cap;
    mem_undo *undo;         /* since the last sync */
} mem_store;

mem_table *mem_table_of(mem_store *m, q_slice bucket, q_slice record);
mem_slot *mem_slot_find(const mem_table *t, q_slice key); /* NULL when the id was never there */
q_stored mem_stored(const mem_slot *slot);

/* B5 for one item; `key` is the item's id key. The field values must live as long as the store. */
void mem_apply(mem_store *m, const q_writes *w, const q_item *item, q_slice key, uint64_t seq, int64_t time_us);
/* The vote on one item but for UNIQUE and row locks. */
q_no mem_vote(mem_store *m, const q_writes *w, const q_item *item, q_slice key, uint64_t seq);
/* Would another part hold one of the item's UNIQUE values after the transaction? `keys`: of all its items. */
bool mem_unique_taken(mem_store *m, const q_writes *w, const q_slice *keys, uint32_t item);
void mem_purge(mem_store *m, uint64_t upto);

void mem_sync(mem_store *m);   /* what was applied so far survives a crash */
void mem_lose(mem_store *m);   /* a crash: what isn't synced is gone */

/* A backup of what is synced, and its return. */
typedef struct mem_backup mem_backup;
mem_backup *mem_backup_take(mem_store *m);
void mem_store_wipe(mem_store *m);
void mem_backup_restore(mem_store *m, const mem_backup *b);

/* The latest sample of an attribute; NULL when there is none. */
const mem_sample *mem_latest(const mem_part *part, q_slice attr);
const q_value *mem_value(const mem_part *part, q_slice attr); /* NULL when absent */

q_slice mem_key(q_arena *arena, const q_value *id);

#endif
