/* catalog.h - buckets, records, attributes and their versions. Immutable snapshots. Pure.
 *
 * A q_catalog never changes: DDL makes a new one that shares what is the same. Whoever keeps pointers into a snapshot holds a
 * reference to it. The reference counts are plain: all owners live on one thread (the core's), or each thread has its own copy. */
#ifndef Q_SCHEMAS_CATALOG_H
#define Q_SCHEMAS_CATALOG_H

#include "schemas/access.h"
#include "schemas/value.h"

typedef enum q_kind { Q_K_SCALAR = 0, Q_K_DOCUMENT, Q_K_RELATION, Q_K_METRIC, Q_K_COUNT } q_kind;

/* One per kind of attribute: scalars live in PostgreSQL and so on. Also a bit number in engine masks. */
typedef enum q_engine_id { Q_EN_POSTGRES = 0, Q_EN_MONGO, Q_EN_NEO4J, Q_EN_INFLUX, Q_EN_COUNT } q_engine_id;
#define Q_EN_BIT(e) (1u << (e))
const char *q_engine_name(q_engine_id e);          /* "postgres" "mongo" "neo4j" "influx" */
static inline q_engine_id q_kind_engine(q_kind k) { return (q_engine_id)k; }
const char *q_kind_name(q_kind k);                 /* "scalar" "document" "relation" "metric" */

enum {
    Q_MAX_NAME_BYTES = 40,
    Q_MAX_ATTRIBUTES = 200,
    Q_MAX_RECORDS = 1000,   /* in a bucket */
    Q_MAX_BUCKETS = 1000,
};

typedef struct q_attr {
    q_slice name;
    q_kind kind;
    q_type datatype;  /* scalar: its type; document: Q_T_DOC; relation: Q_T_RELATION; metric: INT, FLOAT or DURATION */
    q_slice target;   /* relation: a record of the same bucket, perhaps not defined yet */
    q_slice unit;     /* metric: a label, or empty */
    bool many;        /* relation: cardinality many */
    bool required;    /* relation: the target must exist; scalar: may not be NULL */
    bool unique;      /* scalar */
    uint32_t index;   /* in q_record.attrs */
} q_attr;

/* `_q_seq`, which every record has and none defines: seq of the transaction that last wrote any of its parts, an int. Only a SELECT's columns and
 * conditions read it, of the statement's own record, as it was before the transaction. Its index is no index. */
extern const q_attr q_attr_seq;

typedef struct q_record {
    q_slice bucket, name;
    uint64_t bucket_incarnation; /* seq of the bucket's CREATE */
    uint64_t incarnation;        /* seq of its CREATE */
    uint32_t version;            /* from 1, +1 with each additive change */
    uint32_t count;              /* of attrs */
    const q_attr *attrs;         /* attrs[0] is always `id`: scalar STRING, INT or UUID */
    uint32_t engines;            /* mask of the engines that hold a part; PostgreSQL always */
    const uint8_t *by_name;      /* indexes of attrs in the order of their names; NULL in a record made by hand: searched one by one */
} q_record;

typedef struct q_bucket {
    q_slice name;
    uint64_t incarnation;
    uint32_t count;              /* of records */
    const q_record *const *records; /* by name */
    const q_acl *access;      /* roles, grants and keys; NULL while there are none */
} q_bucket;

typedef struct q_catalog q_catalog;

q_catalog *q_catalog_new(void); /* empty, one reference; NULL when out of memory */
q_catalog *q_catalog_ref(q_catalog *c);
void q_catalog_unref(q_catalog *c); /* accepts NULL */

const q_bucket *q_catalog_bucket(const q_catalog *c, q_slice name);                    /* NULL when unknown */
const q_record *q_catalog_record(const q_catalog *c, q_slice bucket, q_slice record);  /* NULL when unknown */
const q_record *q_bucket_record(const q_bucket *b, q_slice record);
const q_attr *q_record_attr(const q_record *r, q_slice name);
size_t q_catalog_count(const q_catalog *c);
const q_bucket *q_catalog_at(const q_catalog *c, size_t i); /* by name */
/* The closest existing name within two edits, for "did you mean"; an empty slice when none is near. */
q_slice q_catalog_suggest_bucket(const q_catalog *c, q_slice name);
q_slice q_bucket_suggest_record(const q_bucket *b, q_slice name);
q_slice q_record_suggest_attr(const q_record *r, q_slice name);

/* Names: [a-z][a-z0-9_]{0,39}, without "__", not reserved by an engine. `what` is "bucket", "record", "attribute" or "id attribute" and
 * chooses which reserved names hold (name.c has the table); anything else: all of them. Q_E_SCHEMA_INVALID. */
Q_CHECK q_rc q_name_check(q_slice name, const char *what, q_err *err);

/* DDL, as the statement says it. */
typedef enum q_ddl_kind {
    Q_DDL_CREATE_BUCKET = 1, Q_DDL_DROP_BUCKET, Q_DDL_CREATE_RECORD, Q_DDL_ALTER_RECORD, Q_DDL_DROP_RECORD,
    /* Of roles, grants and keys: the catalog's alone, no engine hears of them, and they are not encoded. */
    Q_DDL_CREATE_ROLE, Q_DDL_DROP_ROLE, Q_DDL_GRANT, Q_DDL_REVOKE, Q_DDL_CREATE_KEY, Q_DDL_ALTER_KEY, Q_DDL_DROP_KEY
} q_ddl_kind;
typedef struct q_ddl {
    q_ddl_kind kind;
    q_slice bucket, record;
    bool if_exists, if_not_exists, cascade;
    uint32_t count;       /* CREATE/ALTER: attributes to define or to add (ALTER is additive only) */
    const q_attr *attrs;  /* CREATE: without an `id` among them, `id scalar string` is put first. A metric's datatype may be Q_T_NULL:
                             duration for the unit "duration", otherwise float */
    const q_access_ddl *access; /* roles, grants and keys */
} q_ddl;
static inline bool q_ddl_is_access(q_ddl_kind k) { return k >= Q_DDL_CREATE_ROLE && k <= Q_DDL_DROP_KEY; }

/* Checks the DDL against the snapshot. Q_OK: it would change it. Q_END: nothing to do (IF [NOT] EXISTS). Q_FAIL: why not.
 * ALTER … IF NOT EXISTS leaves out the attributes that are there; DROP RECORD knows no CASCADE: RECORD_IN_USE stands. */
Q_CHECK q_rc q_catalog_check(const q_catalog *c, const q_ddl *ddl, q_err *err);
/* The DDL as engines are told it: a CREATE with its `id` and every datatype filled in, an ALTER with only what it really adds. Slices
 * borrow from `ddl`. Q_END: nothing to add. */
Q_CHECK q_rc q_ddl_complete(q_arena *arena, const q_catalog *c, const q_ddl *ddl, q_ddl *out, q_err *err);
/* The snapshot after it, with one reference (an equal one where check says Q_END); `seq` becomes the incarnation of what is created.
 * Also used by recovery. */
Q_CHECK q_rc q_catalog_apply(const q_catalog *c, const q_ddl *ddl, uint64_t seq, q_catalog **out, q_err *err);

/* The JSON form of A1, unchanged ({"record": …, "attributes": {…}}, order of attributes kept), to DDL and back. */
Q_CHECK q_rc q_ddl_from_json(q_arena *arena, q_slice bucket, q_slice json, q_ddl *out, q_err *err);
void q_record_to_json(const q_record *r, q_buf *out);
void q_record_to_quantaql(const q_record *r, q_buf *out); /* one CREATE RECORD statement */

/* The WAL's and quanta.schemas' form (msgpack, versioned). Decoding validates everything. */
void q_bucket_encode(const q_bucket *b, q_buf *out);  /* name and incarnation only */
void q_record_encode(const q_record *r, q_buf *out);
/* Adds an encoded bucket, record or q_access_encode's to a snapshot that is being loaded (recovery, workers): in place when *c has one reference, otherwise
 * *c becomes a new snapshot and the old one loses a reference. A record's bucket comes first; a record that is there is replaced,
 * a bucket of another incarnation becomes empty. On failure *c is as it was. */
Q_CHECK q_rc q_catalog_load(q_catalog **c, q_slice encoded, q_err *err);
void q_ddl_encode(const q_ddl *d, q_buf *out);
Q_CHECK q_rc q_ddl_decode(q_arena *arena, q_slice bytes, q_ddl *out, q_err *err);

#endif
