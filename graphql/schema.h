/* schema.h - a bucket's definitions as GraphQL's types. Pure; lives in the arena, read-only once made.
 *
 * For a record `orders`: type orders; queries orders, ordersById, ordersAggregate; mutations ordersInsert, ordersUpdate, ordersDelete; inputs
 * ordersWhere, ordersOrderBy, ordersInput, ordersSet, ordersAdd, ordersRemove. Names of records and attributes hold no capitals, so a name with
 * one behind it is never another's. */
#ifndef Q_GRAPHQL_SCHEMA_H
#define Q_GRAPHQL_SCHEMA_H

#include "graphql/document.h"

typedef enum q_gql_attr_kind { Q_GQL_A_SCALAR, Q_GQL_A_DOCUMENT, Q_GQL_A_RELATION, Q_GQL_A_METRIC } q_gql_attr_kind;

typedef struct q_gql_attr {
    q_slice name, datatype, target, unit;
    q_gql_attr_kind kind;
    bool many, required;
} q_gql_attr;

typedef struct q_gql_record {
    q_slice name;
    q_gql_attr *attrs;
    uint32_t count;
} q_gql_record;

typedef enum q_gql_type_kind { Q_GQL_T_SCALAR, Q_GQL_T_OBJECT, Q_GQL_T_INPUT, Q_GQL_T_ENUM, Q_GQL_T_LIST, Q_GQL_T_REQUIRED } q_gql_type_kind;
/* How a scalar reads what it is given. TEXT: strings, and numbers as they are written. */
typedef enum q_gql_scalar { Q_GQL_S_INT, Q_GQL_S_INT64, Q_GQL_S_FLOAT, Q_GQL_S_STRING, Q_GQL_S_BOOL, Q_GQL_S_ID, Q_GQL_S_TEXT, Q_GQL_S_JSON } q_gql_scalar;

/* What a field is, to whoever carries it out. */
typedef enum q_gql_role {
    Q_GQL_R_NONE = 0, Q_GQL_R_TYPENAME, Q_GQL_R_LIST, Q_GQL_R_BY_ID, Q_GQL_R_AGGREGATE, Q_GQL_R_RECORDS,
    Q_GQL_R_INSERT, Q_GQL_R_UPDATE, Q_GQL_R_DELETE, Q_GQL_R_ATTR, Q_GQL_R_IDS, Q_GQL_R_DOCUMENT, Q_GQL_R_ONE, Q_GQL_R_MANY,
    Q_GQL_R_COUNT, Q_GQL_R_GROUP, Q_GQL_R_SUM, Q_GQL_R_AVG, Q_GQL_R_MIN, Q_GQL_R_MAX, Q_GQL_R_WRITTEN,
    Q_GQL_R_SCHEMA, Q_GQL_R_TYPE, Q_GQL_R_META
} q_gql_role;

typedef struct q_gql_type q_gql_type;

typedef struct q_gql_field {          /* of an object or an input; an argument; an enum's value (no type) */
    struct q_gql_field *next, *args;
    q_slice name, type_text, about;
    const char *standard;             /* the default as it is written, or NULL */
    q_gql_type *type;
    q_gql_role role;
    const q_gql_record *record;       /* that it reads or writes */
    const q_gql_attr *attr;
} q_gql_field;

struct q_gql_type {
    q_gql_type *next, *same;          /* of all, in order; of a table's chain */
    q_gql_type_kind kind;
    q_gql_scalar scalar;
    q_slice name, about;
    q_gql_field *fields, **last;
    q_gql_type *inner;                /* LIST, REQUIRED */
};

enum { Q_GQL_CHAINS = 1024 };

typedef struct q_gql_schema {
    q_arena *arena;
    q_gql_type *types, **last, *query, *mutation;
    q_gql_type *chains[Q_GQL_CHAINS];
    const q_gql_record *records;
    uint32_t count;
    q_gql_field *hidden;             /* __schema and __type of the query type */
    bool failed;
} q_gql_schema;

/* `records` live as long as the schema. Q_FAIL: LIMIT_MEMORY. */
Q_CHECK q_rc q_gql_schema_build(q_arena *arena, const q_gql_record *records, uint32_t count, q_gql_schema **out, q_err *err);
q_gql_type *q_gql_type_named(const q_gql_schema *s, q_slice name);      /* NULL: none */
const q_gql_record *q_gql_record_named(const q_gql_schema *s, q_slice name);
/* A type as it is written in a document; NULL when there is none of the name, or no memory. */
q_gql_type *q_gql_type_of(const q_gql_schema *s, const q_gql_ref *ref);
const q_gql_type *q_gql_bare(const q_gql_type *t);                       /* without lists and exclamation marks */
const q_gql_field *q_gql_field_of(const q_gql_type *t, q_slice name);   /* also __typename; NULL: none */
const q_gql_field *q_gql_selectable(const q_gql_schema *s, const q_gql_type *t, q_slice name); /* also __schema and __type */
bool q_gql_type_same(const q_gql_type *a, const q_gql_type *b);

#endif
