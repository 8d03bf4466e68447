/* intake.h - between the source of quanta.requests and the host, for the in-process broker only.
 *
 * That broker forgets what is beyond 5 MB a partition, so a full coordinator can't leave requests in it: they go to a file and come
 * from there in order. The file is no log: like the broker itself it is gone with the process; a request that got no answer is sent
 * again by its client. A gap in the offsets is an error: the broker dropped something. One thread of its own; post from one thread. */
#ifndef Q_CMD_INTAKE_H
#define Q_CMD_INTAKE_H

#include "bus/kafka.h"
#include "cmd/host/coordinator_host.h"

typedef struct q_intake q_intake;

/* `failed` is called when requests were lost or the file can't be written. */
Q_CHECK q_rc q_intake_start(const char *spool_path, q_host *host, void (*failed)(void *ctx, const char *reason), void *ctx, q_intake **out,
                            q_err *err);
void q_intake_message(q_intake *in, q_message *m); /* takes it over */
void q_intake_pause(q_intake *in, bool paused);    /* any thread */
void q_intake_stop(q_intake *in);                  /* accepts NULL; after the source has stopped, before the host does */

/* A message as a request; `headers` has room for `max`. */
void q_intake_request(const q_message *m, q_header *headers, size_t max, q_request *out);
enum { Q_INTAKE_MAX_HEADERS = 32 };

#endif
