/* request.h - a GraphQL request from its document to its answer: it says what to ask in QuantaQL, is told the rows, and asks again. Pure.
 *
 * One question is a level: all fields of a query's root together in one transaction, then all their relations by `id IN $ids`, and so on; never a question for
 * each row. All changes of a mutation are one question, one transaction. Values are parameters; what becomes text are names of the schema and the
 * steps of a document's path, which are [A-Za-z0-9_] only. */
#ifndef Q_GRAPHQL_REQUEST_H
#define Q_GRAPHQL_REQUEST_H

#include "base/buf.h"
#include "graphql/schema.h"

#include <jansson.h>
#include <yajl/yajl_tree.h>

enum { Q_GQL_MAX_NODES = 5000, Q_GQL_MAX_LEVELS = 6, Q_GQL_MAX_IDS = 10000, Q_GQL_MAX_ROWS = 50000, Q_GQL_MAX_QUERY_BYTES = 8 << 20 };

typedef struct q_gql_limits { uint32_t default_rows, max_rows; } q_gql_limits; /* of a list */

typedef struct q_gql_request q_gql_request;

typedef struct q_gql_question {
    q_slice query;     /* in the arena */
    json_t *params;    /* the caller's */
    uint32_t count;    /* statements */
    bool writes;
} q_gql_question;

typedef struct q_gql_told {
    yajl_val *rows;    /* arrays; live as long as the request */
    uint32_t row_count;
    int64_t count;     /* of a changing statement */
} q_gql_told;

/* Everything lives as long as the arena and the schema. Q_FAIL: the document isn't right for the schema; line and column are set. `out` is to be
 * freed in any case. */
Q_CHECK q_rc q_gql_request_new(q_arena *arena, const q_gql_limits *limits, const q_gql_schema *schema, q_slice document, q_slice operation,
                               const json_t *variables, q_gql_request **out, q_err *err);
void q_gql_request_free(q_gql_request *r); /* accepts NULL */
bool q_gql_is_mutation(const q_gql_request *r);
/* Q_OK: to be asked; Q_END: all is known. */
Q_CHECK q_rc q_gql_ask(q_gql_request *r, q_gql_question *out, q_err *err);
/* As many as the question had statements, in their order. */
Q_CHECK q_rc q_gql_tell(q_gql_request *r, const q_gql_told *told, uint64_t seq, const char *txid, q_err *err);
/* {"data":…} */
void q_gql_answer(q_gql_request *r, q_buf *out);
/* {"errors":[…],"data":null}, without data when it never ran. `r` may be NULL; an error's statement is that of the last question. */
void q_gql_errors(const q_gql_request *r, const q_err *err, bool ran, q_buf *out);

#endif
