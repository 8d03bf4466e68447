/* plan.h - what the files of a request share: its fields as a tree. */
#ifndef Q_GRAPHQL_PLAN_H
#define Q_GRAPHQL_PLAN_H

#include "graphql/check.h"
#include "graphql/request.h"

typedef struct q_gql_chosen { struct q_gql_chosen *next; q_gql_selection *selection; } q_gql_chosen;
typedef struct q_gql_slot { q_slice id; uint32_t row; bool used; } q_gql_slot;
typedef struct q_gql_ids { q_gql_slot *slots; uint32_t mask; } q_gql_ids; /* ids to rows: open addressing */

/* A field of the answer, with all selections of its key. */
typedef struct q_gql_node {
    struct q_gql_node *next, *first, **last, *same_level, *owner;
    q_slice key;
    const q_gql_field *field;
    const q_gql_type *type;       /* of an object's fields */
    q_gql_chosen *chosen;
    json_t *args;                 /* owned */
    uint32_t column;              /* in the rows of `owner` */
    /* of what is asked */
    q_slice *columns;
    uint32_t column_count, level;
    yajl_val *rows;
    uint32_t row_count;
    int64_t count;
    q_gql_ids index;
} q_gql_node;

struct q_gql_request {
    q_arena *arena;
    q_gql_limits limits;
    const q_gql_schema *schema;
    q_gql_document document;
    q_gql_world world;
    q_gql_node *root, *levels[Q_GQL_MAX_LEVELS + 1], **last[Q_GQL_MAX_LEVELS + 1];
    q_gql_node *asked;            /* of the last question; linked by same_level, those without a statement left out by `asks` */
    uint32_t nodes, marks, level, things;
    uint64_t rows, seq;
    char txid[64];
};

typedef struct q_gql_draft { q_buf text; json_t *params; uint32_t count; q_gql_request *request; q_err *err; bool failed; } q_gql_draft;

/* plan.c: the tree, levels and columns. */
Q_CHECK q_rc q_gql_plan(q_gql_request *r, q_err *err);
/* statement.c: a node as a statement. */
void q_gql_statement(q_gql_draft *d, q_gql_node *n, json_t *ids);
json_t *q_gql_id(const q_gql_record *r, q_slice id); /* as the record's ids are typed; NULL: can't be one. The caller's. */
/* answer.c */
void q_gql_write_meta(q_gql_request *r, const q_gql_node *n, q_buf *out);
void q_gql_write_string(q_buf *out, q_slice s);
/* request.c */
bool q_gql_ids_make(q_arena *arena, q_gql_ids *ids, uint32_t count);
/* The slot of the id, which may be unused. */
q_gql_slot *q_gql_ids_find(const q_gql_ids *ids, q_slice id);
q_slice q_gql_id_text(yajl_val v); /* none: not an id */

#endif
