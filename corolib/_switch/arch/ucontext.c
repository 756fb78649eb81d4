/* Any machine with <ucontext.h>: the fallback, and the yardstick for the assembler files.
 *
 * The picture of a parked stack, upwards from the saved stack pointer:
 *
 *      sp                the margin: what lies below a block from alloca by some conventions (a linkage area,
 *                        outgoing arguments), and in a fresh image the start of the stack to be
 *      sp + ARCH_MARGIN  ucontext_t: registers, control words, where to go on
 *      ...               the rest of the frame of arch_swap, and its caller's; in a fresh image the top
 *
 * A context must not be moved (it may point into itself), and it is not: a slice always returns to its
 * addresses.
 *
 * Each swap costs two system calls or three, since these functions save and set the signal mask: some 400 ns
 * instead of some 5. The mask is the thread's and not a greenlet's, as with the assembler files: so the
 * context to go to is given the mask in force.
 *
 * Shadow stacks: makecontext would make a new one for each fresh greenlet and never free it. So this must not
 * be built to support them. */
#include "arch.h"

#include "check.h"
#include "sanitize.h"

#include <signal.h>
#include <stdint.h>

#if defined(__CET__) && (__CET__ & 2)
#error "the ucontext fallback does not support shadow stacks: compile with -fcf-protection=none"
#endif

_Static_assert(_Alignof(ucontext_t) <= ARCH_STACK_ALIGN, "a block from alloca is aligned for a context");

/* The context of the stack parked at `sp`, ready to be set. */
static ucontext_t *parked(void *sp)
{
    ucontext_t *context = (ucontext_t *)((char *)sp + ARCH_MARGIN);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &context->uc_sigmask);
    return context;
}

/* Make `context` call start(...), with its stack in the margin below itself and downwards. Returns the lowest
 * address of what must be kept until then. */
static void *fresh(ucontext_t *context)
{
    CHECK(getcontext(context) == 0);
    context->uc_link = NULL;
    /* The size is only there to find the top: how much there is below is not known here, nor looked at. */
    context->uc_stack.ss_sp = (char *)context - ARCH_MARGIN;
    context->uc_stack.ss_size = ARCH_MARGIN;
    return context->uc_stack.ss_sp;
}

/* `own` is the lowest thing in the caller's frame, as blocks from alloca are. The callers must not be
 * inlined: their caller's frame, where the block would then lie, is not theirs to grow. Their blocks must be
 * on the real stack, too. */
static inline __attribute__((always_inline)) void leave(void **save, ucontext_t *own, const ucontext_t *to)
{
    own->uc_stack.ss_sp = NULL; /* AddressSanitizer reads it, but getcontext does not write it */
    own->uc_stack.ss_size = 0;
    *save = (char *)own - ARCH_MARGIN;
    SANITIZE_OPEN(*save, ARCH_MARGIN);
    CHECK(swapcontext(own, to) == 0);
}

__attribute__((noinline)) SANITIZE_REAL_FRAME void arch_swap(void **save, void *to)
{
    leave(save, __builtin_alloca(sizeof(ucontext_t)), parked(to));
}

/* What waits at the top of the scratch stack. */
struct errand {
    ucontext_t context;
    void *(*work)(void *);
    void *argument;
};

/* makecontext passes nothing but ints. */
SANITIZE_REAL_FRAME static void run_errand(unsigned high, unsigned low)
{
    struct errand *errand = (struct errand *)(uintptr_t)((uint64_t)high << 32 | low);
    (void)setcontext(parked(errand->work(errand->argument)));
    CHECK(!"setcontext failed");
}

__attribute__((noinline)) SANITIZE_REAL_FRAME void arch_swap_through(void **save, void *scratch,
                                                                     void *(*work)(void *), void *argument)
{
    uintptr_t top = (uintptr_t)scratch;
    struct errand *errand = (struct errand *)((top - sizeof *errand) & ~(uintptr_t)(ARCH_STACK_ALIGN - 1));
    (void)fresh(&errand->context);
    errand->work = work;
    errand->argument = argument;
    uint64_t address = (uintptr_t)errand;
    makecontext(&errand->context, (void (*)(void))run_errand, 2, (unsigned)(address >> 32),
                (unsigned)address);
    leave(save, __builtin_alloca(sizeof(ucontext_t)), &errand->context);
}

void *arch_prepare(void *top, void (*entry)(void))
{
    ucontext_t *context = (ucontext_t *)((char *)top - (ARCH_IMAGE - ARCH_MARGIN));
    void *sp = fresh(context);
    makecontext(context, entry, 0);
    return sp;
}
