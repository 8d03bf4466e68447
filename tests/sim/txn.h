/* txn.h - what clients of the simulated world ask for: a transaction as a list of operations, of which QuantaQL text is made for the
 * coordinator, and which the model (model.h) carries out itself. Neither side ever sees the other's form. Pure.
 *
 * Every bucket has the same record types; which attributes a type has stands in sim_types. Ids are "a00".."a31". */
#ifndef Q_SIM_TXN_H
#define Q_SIM_TXN_H

#include "base/arena.h"
#include "base/buf.h"
#include "tests/sim/prng.h"

enum { SIM_BUCKETS = 2, SIM_IDS = 16, SIM_HOT_IDS = 4, SIM_MAX_OPS = 8, SIM_NONE = -1 };

typedef enum sim_type { T_ACCT = 0, T_ITEM, T_TEMP, T_CHILD, SIM_TYPES } sim_type;

typedef struct sim_type_info {
    const char *name;
    const char *num;      /* an int in PostgreSQL; or NULL */
    const char *doc;      /* { v: int, log: [ints] } in MongoDB */
    const char *tag;      /* a UNIQUE string */
    const char *friend;   /* a relation to acct */
    const char *level;    /* a metric of ints */
    bool friend_required;
    bool droppable;       /* DDL happens to it under load */
} sim_type_info;
extern const sim_type_info sim_types[SIM_TYPES];
extern const char *const sim_bucket_names[SIM_BUCKETS];

typedef enum sim_op_kind {
    OP_INSERT = 1,    /* id, num, v, tag, friend, level, at: SIM_NONE (INT64_MIN for num, level) where left out */
    OP_ADD,           /* SET num = num + k WHERE id */
    OP_SET,           /* SET num = k WHERE id: blind */
    OP_SET_DOC,       /* SET doc.v = k WHERE id */
    OP_APPEND,        /* SET doc.log += [k] WHERE id */
    OP_TAG,           /* SET tag WHERE id */
    OP_FRIEND,        /* SET friend = relation or NULL WHERE id */
    OP_LEVEL,         /* SET level = k [at time] WHERE id */
    OP_DELETE,        /* WHERE id */
    OP_ADD_WHERE,     /* SET num = num + k WHERE num < limit */
    OP_DELETE_WHERE,  /* WHERE num < limit */
    OP_SELECT,        /* everything WHERE id */
    OP_SELECT_WHERE,  /* id, num WHERE num >= limit ORDER BY id */
    OP_SELECT_ALL,    /* everything ORDER BY id */
    OP_SUM,           /* count(*), sum(num) */
    OP_FOLLOW,        /* id, friend.balance WHERE id */
    OP_FOLLOW_WHERE,  /* id WHERE friend.balance >= limit ORDER BY id */
    OP_ASSERT,        /* (SELECT num WHERE id) >= limit */
    OP_DROP, OP_CREATE, /* the type; `if_exists` */
    OP_CREATE_BUCKET,
    OP_NONSENSE       /* no QuantaQL */
} sim_op_kind;

typedef struct sim_op {
    sim_op_kind kind;
    sim_type type;
    int id;
    int64_t num, k, limit, level;
    int v, tag, friend;
    int at;               /* second of 2001 at which a sample is dated; SIM_NONE: the transaction's time */
    bool if_exists;
} sim_op;

typedef struct sim_txn {
    int bucket;
    uint32_t count;
    sim_op ops[SIM_MAX_OPS];
    bool rollback, bare;  /* bare: one statement without BEGIN */
    uint32_t timeout_ms;  /* 0: the default */
} sim_txn;

bool sim_op_writes(sim_op_kind k);
bool sim_op_is_ddl(sim_op_kind k);
bool sim_txn_writes(const sim_txn *t);
bool sim_txn_is_ddl(const sim_txn *t);
const char *sim_id_name(int id); /* "a07"; static */
int sim_id_number(const char *name, size_t len); /* SIM_NONE when it is none */

typedef struct sim_mix {  /* how a seed's load looks: weights */
    uint32_t transfer, single, several, predicate, reads, ddl, nonsense, rollback, child;
    uint32_t hot;         /* percent of ids taken from the hot ones */
} sim_mix;

void sim_mix_random(sim_prng *rng, sim_mix *mix);
void sim_txn_random(sim_prng *rng, const sim_mix *mix, sim_txn *out);
void sim_txn_text(const sim_txn *t, q_buf *out);
void sim_create_text(sim_type type, bool if_not_exists, q_buf *out);

#endif
