/* name.h - how near two names are. Between the files of this folder. Pure. */
#ifndef Q_SCHEMAS_NAME_H
#define Q_SCHEMAS_NAME_H

#include "schemas/catalog.h"

/* Edits (insert, delete, replace, swap of neighbours) between two names, without regard to case; 99 when there are surely more than
 * two. Optimal string alignment distance, in Wagner and Fischer's table (1974). */
unsigned q_name_distance(q_slice a, q_slice b);

/* The best candidate so far: the first of those with the fewest edits, at most two and fewer than the wanted name has letters. */
typedef struct q_suggestion {
    q_slice name;
    unsigned distance;
} q_suggestion;
void q_suggest_consider(q_suggestion *s, q_slice wanted, q_slice candidate);

#endif
