/* script.h - a text cut into transactions, and the bucket that each of them is for. Pure. */
#ifndef Q_CMD_SCRIPT_H
#define Q_CMD_SCRIPT_H

#include "base/error.h"
#include "schemas/catalog.h"

typedef struct q_cut {
    q_slice text;
    size_t at;        /* what is before it was given out */
} q_cut;

/* Q_OK: the next transaction is text[*from, *to). Q_END: only space and comments are left. Q_WAIT: text[*from, *to) is the rest, which is
 * not a whole transaction (or can't be read); calling again gives Q_END. */
q_rc q_cut_next(q_cut *cut, size_t *from, size_t *to);

/* The last USE of `text`: true when there is one that can be read; *only: there is nothing else. */
bool q_script_use(q_slice text, char bucket[Q_MAX_NAME_BYTES + 1], bool *only);
/* Whether it changes the catalog: the names that completion knows are then old. */
bool q_script_defines(q_slice text);

#endif
