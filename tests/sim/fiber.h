/* fiber.h - a thread of the simulated world: blocking code (an engine call) that lets simulated time pass in the middle.
 *
 * Cooperative, on one real thread: a fiber runs until it sleeps or ends. A fiber that is dropped never runs again: it must own
 * nothing that has to be freed. Contexts: POSIX.1-2001 makecontext(3), then setjmp and longjmp as in QEMU's util/coroutine-ucontext.c;
 * the sanitizers are told of every switch. */
#ifndef Q_SIM_FIBER_H
#define Q_SIM_FIBER_H

#include <stdbool.h>

typedef struct sim_fiber sim_fiber;

/* Not started yet. Stacks are kept and used again. */
sim_fiber *sim_fiber_new(void (*run)(void *ctx), void *ctx);
/* Runs it until it yields (true) or has ended (false). Only from outside of fibers. */
bool sim_fiber_resume(sim_fiber *f);
/* Inside of a fiber: back to whoever resumed it. */
void sim_fiber_yield(void);
/* The running fiber; NULL outside. */
sim_fiber *sim_fiber_self(void);
/* Ended or not; accepts NULL. Not the running one. */
void sim_fiber_free(sim_fiber *f);
/* Gives the kept stacks back. */
void sim_fiber_free_stacks(void);

#endif
