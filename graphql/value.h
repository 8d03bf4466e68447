/* value.h - values of a document, and values of variables, as the JSON that their type makes of them. Pure. */
#ifndef Q_GRAPHQL_VALUE_H
#define Q_GRAPHQL_VALUE_H

#include "graphql/check.h"

/* NULL: w->err. `absent`: a variable that was not given. While checking, a variable is null. The caller's. */
json_t *q_gql_literal(q_gql_world *w, const q_gql_type *t, const q_gql_value *v, bool *absent);
/* What a client gave for a variable. */
json_t *q_gql_given(q_gql_world *w, const q_gql_type *t, json_t *in, q_gql_pos pos, uint32_t depth);

#endif
