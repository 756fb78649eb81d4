/* Floor 1: memory for one C stack. No Python here.
 *
 *      low                                                   top
 *       | ................. usable, committed on touch ....... |
 *  [guard]                               stacks grow down  <---
 *
 * Address space is reserved, not memory: a stack that uses 3 KiB costs one page. */
#ifndef COROLIB_SWITCH_STACK_H
#define COROLIB_SWITCH_STACK_H

#include <stddef.h>

#define STACK_HIDDEN __attribute__((visibility("hidden")))

/* As deep as the main thread's stack usually is, so that what works there works on a lane. */
#define STACK_SIZE ((size_t)8 << 20)
/* Below this the interpreter's own C recursion limits no longer fit. */
#define STACK_SIZE_MIN ((size_t)256 << 10)

/* Nothing may be touched there. Much larger than a page, since a frame that is larger than the guard steps
 * over it into what lies below, which is the top of another stack as a rule; the system keeps as much free
 * below the main thread's stack. Address space only. */
#define STACK_GUARD ((size_t)1 << 20)

struct stack {
    char *low;        /* lowest usable byte, just above the guard */
    char *top;        /* one past the highest; aligned to a page */
    unsigned checker; /* Valgrind's name for it */
};

/* Reserve a stack of `size` bytes, or, where address space is rationed, of half of that, and so on down to
 * `least`. 0, or -1 with nothing allocated. */
STACK_HIDDEN int stack_map(struct stack *stack, size_t size, size_t least);

STACK_HIDDEN void stack_unmap(struct stack *stack);

/* Give back to the system what lies more than `keep` bytes below the top, if the stack ever went that deep.
 * Nothing live may be there. Costs a system call. */
STACK_HIDDEN void stack_trim(const struct stack *stack, size_t keep);

#endif
