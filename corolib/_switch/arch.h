/* Floor 1: what the engine asks of a machine. One file in arch/ answers for each CPU and calling convention.
 *
 * A parked stack is described by one word: its stack pointer. All else that must survive (callee-saved
 * registers, floating point control words, the address to go on at) lies at and above that address, put there
 * by arch_swap. The bytes from it up to the top of the stack are therefore the whole of a parked greenlet's C
 * state, and may be copied away as long as they come back to the same addresses. */
#ifndef COROLIB_SWITCH_ARCH_H
#define COROLIB_SWITCH_ARCH_H

#include <stddef.h>

#if defined(COROLIB_UCONTEXT)
#define ARCH_UCONTEXT /* asked for at the build: COROLIB_ARCH=ucontext */
#elif defined(__x86_64__) && !defined(__ILP32__) && defined(__ELF__)
#define ARCH_NAME "x86_64_sysv" /* of the file in arch/: setup.py reads it here */
#define ARCH_STACK_ALIGN 16
#define ARCH_RED_ZONE 128 /* bytes below the stack pointer that a leaf function may use */
#define ARCH_IMAGE 80     /* bytes arch_prepare writes below `top` */
#elif defined(__aarch64__) && defined(__LP64__) && defined(__ELF__)
#define ARCH_NAME "aarch64_aapcs"
#define ARCH_STACK_ALIGN 16
#define ARCH_RED_ZONE 0
#define ARCH_IMAGE 176
#else
#define ARCH_UCONTEXT /* slow, and right on any POSIX system */
#endif

#ifdef ARCH_UCONTEXT
#include <ucontext.h>
#define ARCH_NAME "ucontext"
#define ARCH_STACK_ALIGN 16
#define ARCH_RED_ZONE 128 /* the largest of any machine */
#define ARCH_MARGIN 512   /* from the saved stack pointer to the context; see arch/ucontext.c */
#define ARCH_IMAGE (ARCH_MARGIN + ((sizeof(ucontext_t) + 15) & ~(size_t)15))
#endif

#define ARCH_HIDDEN __attribute__((visibility("hidden")))

/* Push what must survive, store the stack pointer in *save, continue on the stack parked at `to`. Returns
 * when somebody swaps back to *save. */
ARCH_HIDDEN void arch_swap(void **save, void *to);

/* As arch_swap, but go through a third stack: with the stack pointer stored in *save and nothing live left on
 * the old stack, call work(argument) on the stack that ends at `scratch`; continue on the stack parked at the
 * address it returns. That may be *save itself: then nothing has happened. */
ARCH_HIDDEN void arch_swap_through(void **save, void *scratch, void *(*work)(void *), void *argument);

/* Write the image of a stack that has not run yet below `top` (aligned to ARCH_STACK_ALIGN); return its stack
 * pointer. The first swap to it calls entry(), which must not return. It inherits the caller's floating point
 * control words; debuggers and unwinders see it as the outermost frame. */
ARCH_HIDDEN void *arch_prepare(void *top, void (*entry)(void));

#endif
