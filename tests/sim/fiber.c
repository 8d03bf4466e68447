#include "tests/sim/fiber.h"

#include <assert.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

enum { STACK_BYTES = 256 * 1024 };

struct sim_fiber {
    ucontext_t context;
#if defined(__SANITIZE_THREAD__)
    ucontext_t back;
#else
    jmp_buf here, back;     /* once it is on its stack: without the system call for the signal mask that swapcontext makes */
#endif
    bool started;
    void (*run)(void *ctx);
    void *ctx;
    char *stack;
    bool ended;
    struct sim_fiber *next_free;
#if defined(__SANITIZE_ADDRESS__)
    void *fake;
    const void *back_bottom;
    size_t back_size;
#endif
#if defined(__SANITIZE_THREAD__)
    void *tsan, *tsan_back;
#endif
};

static sim_fiber *current, *kept;

#if defined(__SANITIZE_THREAD__)
static void go(sim_fiber *f)
{
    f->started = true;
    if (swapcontext(&f->back, &f->context) != 0)
        abort();
}

static void leave(sim_fiber *f)
{
    if (swapcontext(&f->context, &f->back) != 0)
        abort();
}
#else
static void go(sim_fiber *f)
{
    if (_setjmp(f->back) != 0)
        return;
    if (f->started)
        _longjmp(f->here, 1);
    f->started = true;
    setcontext(&f->context);
    abort();
}

static void leave(sim_fiber *f)
{
    if (_setjmp(f->here) == 0)
        _longjmp(f->back, 1);
}
#endif

static void enter(void)
{
    sim_fiber *f = current;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(NULL, &f->back_bottom, &f->back_size);
#endif
    f->run(f->ctx);
    f->ended = true;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(NULL, f->back_bottom, f->back_size);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(f->tsan_back, 0);
#endif
    leave(f);
    abort();
}

/* Apart from sim_fiber_new: getcontext may return twice as far as the compiler knows. */
static __attribute__((noinline)) sim_fiber *with_stack(void)
{
    sim_fiber *f = kept;
    if (f) {
        kept = f->next_free;
        char *stack = f->stack;
        *f = (sim_fiber){ .stack = stack };
    } else {
        f = calloc(1, sizeof *f);
        if (!f)
            abort();
        void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (stack == MAP_FAILED)
            abort();
        f->stack = stack;
    }
    return f;
}

sim_fiber *sim_fiber_new(void (*run)(void *ctx), void *ctx)
{
    sim_fiber *const f = with_stack();
    f->run = run;
    f->ctx = ctx;
    if (getcontext(&f->context) != 0)
        abort();
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = NULL;
    makecontext(&f->context, enter, 0);
#if defined(__SANITIZE_THREAD__)
    f->tsan = __tsan_create_fiber(0);
#endif
    return f;
}

bool sim_fiber_resume(sim_fiber *f)
{
    assert(!current && !f->ended);
    current = f;
#if defined(__SANITIZE_ADDRESS__)
    void *fake;
    __sanitizer_start_switch_fiber(&fake, f->stack, STACK_BYTES);
#endif
#if defined(__SANITIZE_THREAD__)
    f->tsan_back = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->tsan, 0);
#endif
    go(f);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
    current = NULL;
    return !f->ended;
}

void sim_fiber_yield(void)
{
    sim_fiber *f = current;
    assert(f);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&f->fake, f->back_bottom, f->back_size);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(f->tsan_back, 0);
#endif
    leave(f);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(f->fake, &f->back_bottom, &f->back_size);
#endif
}

sim_fiber *sim_fiber_self(void) { return current; }

void sim_fiber_free(sim_fiber *f)
{
    if (!f)
        return;
    assert(f != current);
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(f->tsan);
#endif
    f->next_free = kept;
    kept = f;
}

void sim_fiber_free_stacks(void)
{
    while (kept) {
        sim_fiber *f = kept;
        kept = f->next_free;
        munmap(f->stack, STACK_BYTES);
        free(f);
    }
}
