/* overlay.h - what a transaction knows of the records it met: what was read, and what it wrote over it. Pure; single owner.
 *
 * One q_xrow per (record type, id). Its values are what the next statement sees: a read fills those attributes that the transaction
 * hasn't written, a write replaces them. So "the overlay" isn't beside the rows, it is the rows. Two stores per record type: `lasting`
 * rows live as long as the transaction (all that it writes, and ids that its statements name), `page` rows as long as one page of a
 * scan. A row is in one of them; the lasting one is looked up first. */
#ifndef Q_COORDINATOR_OVERLAY_H
#define Q_COORDINATOR_OVERLAY_H

#include "coordinator/pagemem.h"
#include "schemas/catalog.h"

/* A set of attributes of one record, by q_attr.index. */
typedef struct q_attrset { uint64_t w[4]; } q_attrset;
_Static_assert(Q_MAX_ATTRIBUTES <= 256, "q_attrset is too small");
static inline bool q_attrset_has(const q_attrset *s, uint32_t i) { return s->w[i >> 6] >> (i & 63) & 1; }
static inline void q_attrset_add(q_attrset *s, uint32_t i) { s->w[i >> 6] |= UINT64_C(1) << (i & 63); }
static inline void q_attrset_del(q_attrset *s, uint32_t i) { s->w[i >> 6] &= ~(UINT64_C(1) << (i & 63)); }
static inline void q_attrset_join(q_attrset *s, const q_attrset *o)
{
    for (int i = 0; i < 4; i++)
        s->w[i] |= o->w[i];
}
static inline bool q_attrset_empty(const q_attrset *s) { return !(s->w[0] | s->w[1] | s->w[2] | s->w[3]); }
/* Is every attribute of `o` in `s`? */
static inline bool q_attrset_covers(const q_attrset *s, const q_attrset *o)
{
    uint64_t missing = 0;
    for (int i = 0; i < 4; i++)
        missing |= o->w[i] & ~s->w[i];
    return !missing;
}

/* One point that the transaction appends to a metric. */
typedef struct q_xsample {
    struct q_xsample *next;
    const q_attr *attr;
    q_value value; /* with at_us */
} q_xsample;

typedef enum q_was { Q_WAS_UNKNOWN = 0, Q_WAS_ABSENT, Q_WAS_PRESENT } q_was; /* before the transaction */

typedef struct q_xrow {
    q_value id;
    struct q_xtype *type;
    struct q_xrow *chain;         /* of the hash table */
    uint64_t seq[Q_EN_COUNT];     /* of the parts that were read; 0: no part */
    uint64_t birth;               /* as PostgreSQL says it */
    uint64_t metric_birth;        /* of the life whose points Influx answered with */
    uint32_t round;               /* in which it was last asked for: keeps an id from being asked twice */
    uint32_t stamp;               /* of the last list it was put on */
    uint8_t read_parts;           /* engines whose part was read (mask) … */
    uint8_t live_parts;           /* … and was there */
    bool lasting;
    bool checked;                 /* a CHECK of its existence goes with the writes */
    bool assumed;                 /* Q_WAS_PRESENT by assumption: a blind write */
    bool touched;                 /* the transaction wrote it: it is in type->touched */
    bool alive;                   /* touched: it exists now */
    bool new_life;                /* touched: INSERTed (perhaps after a DELETE) and alive; all attributes are known */
    q_was was;
    uint32_t statement;           /* number of the statement that last wrote it */
    uint32_t insert_statement;    /* of the INSERT that began the new life */
    q_attrset loaded;             /* values that are known */
    q_attrset dirty;              /* values that the transaction wrote */
    q_xsample *samples, **samples_end;
    q_value values[];             /* by slot; only those of `loaded` and `dirty` mean something */
} q_xrow;

typedef struct q_xstore {
    uint32_t count, cap;          /* cap: of `table`, a power of two, 0 as long as a list does */
    q_xrow **table;
    q_xrow *small[8];
    q_pagemem *mem;
} q_xstore;

/* A record type that the transaction touches. */
typedef struct q_xtype {
    const q_record *rec;
    struct q_xtype *next;
    q_attrset used;               /* attributes that any statement reads or writes; known after the plan */
    q_attrset of_engine[Q_EN_COUNT];
    uint32_t slots;
    uint8_t *slot;                /* of an attribute, by its index */
    q_xstore lasting, page;
    q_xrow **touched;             /* in order of the first write */
    uint32_t touched_count, touched_cap;
    bool has_metrics;
    bool has_referrers;           /* some record type requires a relation to it */
    /* of the read round that is being gathered */
    uint32_t round;
    q_attrset ask;
    uint32_t ask_engines;
    q_xrow **ask_rows;
    uint32_t ask_count, ask_cap;
} q_xtype;

/* Prepares `t` for rows: slots for all of t->used. False when out of memory. */
bool q_xtype_open(q_xtype *t, q_arena *arena, q_pagemem *lasting, q_pagemem *page);
/* Forgets every row (a run that begins again). */
void q_xtype_forget(q_xtype *t);

static inline q_value *q_xrow_value(q_xrow *r, const q_attr *a) { return &r->values[r->type->slot[a->index]]; }

/* NULL when the id isn't known. */
q_xrow *q_overlay_find(const q_xtype *t, const q_value *id);
/* Finds it, or adds one that nothing is known of, to the lasting or the page store. `id` is copied. NULL when out of memory. */
q_xrow *q_overlay_row(q_xtype *t, const q_value *id, bool lasting);
/* Moves a page row to the lasting store (deep copy); a lasting one is returned as it is. NULL when out of memory. */
q_xrow *q_overlay_keep(q_xrow *r);
/* Forgets the rows of a page; its memory is the caller's to reset. */
void q_overlay_page_done(q_xtype *t);

/* Does the record exist, as the next statement sees it? Precondition: a part was read, or it was written. */
bool q_xrow_exists(const q_xrow *r);
/* The value that the next statement sees: a metric of an earlier life is NULL. Precondition: loaded. */
const q_value *q_xrow_get(const q_xrow *r, const q_attr *a);
/* A value arrives from an engine: copied, unless the transaction wrote over it. A written metric keeps the newer sample. False: memory. */
bool q_xrow_fill(q_xrow *r, const q_attr *a, const q_value *v);

/* ---- writes; rows are lasting, values are the caller's to keep alive ---- */

/* False when out of memory. */
bool q_overlay_touch(q_arena *arena, q_xrow *r, uint32_t statement);
bool q_overlay_insert(q_arena *arena, q_xrow *r, uint32_t statement);
bool q_overlay_delete(q_arena *arena, q_xrow *r, uint32_t statement);
/* Precondition: touched and alive. A metric's value is a sample with at_us; NULL appends nothing. */
bool q_overlay_set(q_arena *arena, q_xrow *r, const q_attr *a, const q_value *v);

/* Order of ids of one record type: <0, 0, >0. */
int q_id_cmp(const q_value *a, const q_value *b);
bool q_id_same(const q_value *a, const q_value *b);
uint64_t q_id_hash(const q_value *id);

#endif
