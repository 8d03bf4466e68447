/* document.h - the text of a GraphQL request as a tree. Pure.
 *
 * Executable documents only (no type definitions), of the specification of October 2021, sections 2 and 3; \u{…} of September 2025. The text comes
 * from outside: bytes, tokens and nesting are bounded, and nothing recurses deeper than Q_GQL_MAX_DEPTH. All lives in the arena. */
#ifndef Q_GRAPHQL_DOCUMENT_H
#define Q_GRAPHQL_DOCUMENT_H

#include "base/arena.h"
#include "base/error.h"

enum { Q_GQL_MAX_BYTES = 256 << 10, Q_GQL_MAX_TOKENS = 40000, Q_GQL_MAX_DEPTH = 32 };

typedef struct q_gql_pos { uint32_t line, column; } q_gql_pos; /* from 1, in code points */

typedef enum q_gql_kind { Q_GQL_NULL, Q_GQL_INT, Q_GQL_FLOAT, Q_GQL_STRING, Q_GQL_BOOL, Q_GQL_ENUM, Q_GQL_LIST, Q_GQL_OBJECT, Q_GQL_VARIABLE } q_gql_kind;

/* A value; as an argument or an object's member it has a name. */
typedef struct q_gql_value {
    struct q_gql_value *next, *first; /* `first`: of a list or an object */
    q_slice name, text;               /* `text`: digits, the string decoded, the name of an enum value or variable */
    q_gql_kind kind;
    bool truth;
    q_gql_pos pos;
} q_gql_value;

typedef struct q_gql_directive {
    struct q_gql_directive *next;
    q_slice name;
    q_gql_value *args;
    q_gql_pos pos;
} q_gql_directive;

typedef enum q_gql_selects { Q_GQL_FIELD, Q_GQL_SPREAD, Q_GQL_INLINE } q_gql_selects;

typedef struct q_gql_selection {
    struct q_gql_selection *next, *first;
    q_gql_selects kind;
    q_slice key, name;                /* key: the alias, or the name. SPREAD: the fragment's name; INLINE: the type's, or none */
    q_gql_value *args;
    q_gql_directive *directives;
    q_gql_pos pos;
} q_gql_selection;

typedef struct q_gql_ref {            /* a type as it is written: a name, or a list of `inner` */
    struct q_gql_ref *inner;
    q_slice name;
    bool required;
} q_gql_ref;

typedef struct q_gql_variable {
    struct q_gql_variable *next;
    q_slice name;
    q_gql_ref *type;
    q_gql_value *standard;            /* the default, or NULL */
    q_gql_directive *directives;
    q_gql_pos pos;
    bool used;
} q_gql_variable;

typedef struct q_gql_part {           /* an operation or a fragment */
    struct q_gql_part *next;
    q_slice name, on;                 /* `on`: a fragment's type */
    bool mutation, used, active;       /* used, active, mark: of whoever walks it */
    uint32_t mark;
    q_gql_variable *variables;
    q_gql_directive *directives;
    q_gql_selection *first;
    q_gql_pos pos;
} q_gql_part;

typedef struct q_gql_document {
    q_gql_part *operations, *fragments;
} q_gql_document;

/* Q_FAIL: QQL_SYNTAX with line and column, QQL_LIMIT, LIMIT_MEMORY. */
Q_CHECK q_rc q_gql_parse(q_arena *arena, q_slice text, q_gql_document *out, q_err *err);
/* An error with its place. */
q_rc q_gql_fail(q_err *err, q_code code, q_gql_pos pos, const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
