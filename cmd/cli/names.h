/* names.h - what there is, as SHOW tells it: for completion and \d. Answers are kept for a few seconds. One thread. */
#ifndef Q_CMD_NAMES_H
#define Q_CMD_NAMES_H

#include "cmd/cli/client.h"

typedef struct q_names q_names;

q_names *q_names_new(void);        /* NULL when out of memory */
void q_names_free(q_names *n);     /* accepts NULL */
void q_names_forget(q_names *n);   /* after a definition: everything is asked again */

/* Rows of SHOW BUCKETS, SHOW RECORDS, SHOW RECORD name: objects by column name, whose first member is the name. Borrowed until the next
 * call; NULL when the system doesn't say so (within a second). */
const json_t *q_names_buckets(q_names *n, q_client *client);
const json_t *q_names_records(q_names *n, q_client *client, const char *bucket);
const json_t *q_names_attributes(q_names *n, q_client *client, const char *bucket, q_slice record);

/* The first column of a row. */
const char *q_names_of(const json_t *row);

#endif
