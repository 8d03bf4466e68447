/* check.h - is a document right for a schema, and what are its values? Pure. Specification, sections 5 and 6.1.2.
 *
 * The rules that concern interfaces, unions and subscriptions have nothing to apply to here. Whether fields of one key can be merged is found where they
 * are merged (plan.c): without abstract types that is the same question. */
#ifndef Q_GRAPHQL_CHECK_H
#define Q_GRAPHQL_CHECK_H

#include "graphql/schema.h"

#include <jansson.h>

typedef struct q_gql_world {
    q_arena *arena;
    const q_gql_schema *schema;
    q_gql_document *document;
    q_gql_part *operation;
    json_t *variables;    /* coerced; owned */
    bool checking;        /* values of variables aren't known yet */
    q_err *err;
} q_gql_world;

/* Every operation, and every fragment that it uses. */
Q_CHECK q_rc q_gql_check(q_gql_world *w);
/* `given` (an object, or NULL) as the operation's variables, into w->variables. */
Q_CHECK q_rc q_gql_variables(q_gql_world *w, const json_t *given);
/* Arguments as an object with those that are given; NULL: failed, w->err. The caller's. */
json_t *q_gql_arguments(q_gql_world *w, const q_gql_field *declared, const q_gql_value *args, q_gql_pos pos);
q_gql_part *q_gql_fragment(const q_gql_world *w, q_slice name);
/* Is the selection left out by @skip or @include? Variables are known. */
bool q_gql_skipped(q_gql_world *w, const q_gql_directive *d);

#endif
