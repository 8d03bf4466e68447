/* complete.h - what may come next in a text that isn't finished: for the shell's completion. Pure, reentrant. */
#ifndef Q_QUANTAQL_COMPLETE_H
#define Q_QUANTAQL_COMPLETE_H

#include "quantaql/quantaql.h"

typedef enum q_next_name { /* what a name would be at this place */
    Q_NEXT_NONE = 0,
    Q_NEXT_BUCKET,
    Q_NEXT_RECORD,
    Q_NEXT_ATTRIBUTE, /* of `record`, behind `hops` */
    Q_NEXT_RELATION,  /* an attribute too, that leads on: in path(… -> …) */
    Q_NEXT_TYPE       /* a scalar's datatype */
} q_next_name;

enum { Q_NEXT_MAX_WORDS = 64 };

typedef struct q_next {
    q_next_name name;
    bool key;           /* ATTRIBUTE: as a key of INSERT's object: a colon follows */
    bool expression;    /* a function may come, too */
    q_slice record;     /* the record that the statement is about, as written (points into `before` or `after`); empty: not known yet */
    uint32_t hop_count; /* ATTRIBUTE, RELATION: the names before the dot or the arrow, in order (relations, or a document and its keys) */
    q_slice hops[Q_QL_MAX_HOPS];
    uint32_t word_count;
    const char *words[Q_NEXT_MAX_WORDS]; /* the keywords that the grammar takes here; static */
} q_next;

/* The next token would begin at the end of `before`; `after` is what stands behind it (only the record is looked for there).
 * false: nothing can be said: the place is in a string or a comment, behind an error, or memory is out. */
bool q_ql_next(q_slice before, q_slice after, q_next *out);

#endif
