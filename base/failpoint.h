/* failpoint.h - named places at which a test ends a process, stops it, or makes a step fail. Only in a build with Q_FAILPOINTS
 * (VARIANT=failpoints); everywhere else Q_FAILPOINT is the constant false and the compiler drops the branch.
 *
 * The pure cores have none: these are in the host, the workers' runtime and the adapters. Any thread.
 *
 * What is to happen is in the environment:
 *   QUANTA_FAILPOINT=NAME=ACTION[@N][,…]   at the N-th time (1) that it is passed, once
 *   QUANTA_FAILPOINT_FILE=PATH             the same in a file that is looked for each time a failpoint is passed: so a test can set one in a
 *                                          process that runs already. The file is removed when it has been read.
 * ACTION: kill (SIGKILL to the process itself), stop (SIGSTOP), sleep:MS, error (the step fails as its line in failpoints.def says). */
#ifndef Q_BASE_FAILPOINT_H
#define Q_BASE_FAILPOINT_H

#include <stdbool.h>

typedef enum q_failpoint {
#define F(id, name, program, text) Q_FP_##id,
#include "base/failpoints.def"
#undef F
    Q_FP_COUNT
} q_failpoint;

/* --help-failpoints: those of `program` ("coordinator", "worker"; NULL: all) on stdout, or that this build has none. */
void q_failpoint_help(const char *program);

#ifdef Q_FAILPOINTS
/* true: the step is to fail. A specification that can't be understood ends the process with status 2. */
bool q_failpoint_passed(q_failpoint point);
#define Q_FAILPOINT(id) q_failpoint_passed(Q_FP_##id)
#define Q_FAILPOINTS_BUILT true
#else
#define Q_FAILPOINT(id) false
#define Q_FAILPOINTS_BUILT false
#endif

#endif
