/* Floor 1: memory for one C stack: map, guard, giving back what a deep call left. */
#define _GNU_SOURCE
#include "stack.h"

#include "check.h"
#include "sanitize.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* 4 KiB here, 16 or 64 KiB on some AArch64 systems: ask, never assume. */
static size_t page(void)
{
    long size = sysconf(_SC_PAGESIZE);
    return size > 0 ? (size_t)size : 4096;
}

static int map(struct stack *stack, size_t size)
{
    size_t rest = page() - 1, guard = STACK_GUARD;
    size = (size + rest) & ~rest;
    if (check_alloc_fails()) return -1;
    /* MAP_NORESERVE: 64 lanes of 8 MiB must not count as half a gigabyte of commitment. MAP_GROWSDOWN would
     * be the obvious flag for a stack and is wrong: it lets the kernel place other mappings in its way. */
    char *base = mmap(NULL, size + guard, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) return -1;
    if (mprotect(base, guard, PROT_NONE) < 0) {
        munmap(base, size + guard);
        return -1;
    }
#ifdef MADV_NOHUGEPAGE
    /* Kernels before 6.7 may back a touched stack with a 2 MiB page where huge pages are always on. Failure
     * is a kernel without them. */
    (void)madvise(base + guard, size, MADV_NOHUGEPAGE);
#endif
    stack->low = base + guard;
    stack->top = base + guard + size;
    stack->checker = SANITIZE_REGISTER(stack->low, stack->top);
    return 0;
}

int stack_map(struct stack *stack, size_t size, size_t least)
{
    for (; size >= least; size /= 2)
        if (map(stack, size) == 0) return 0;
    return -1;
}

void stack_unmap(struct stack *stack)
{
    if (stack->low == NULL) return;
    SANITIZE_DEREGISTER(stack->checker);
    munmap(stack->low - STACK_GUARD, (size_t)(stack->top - stack->low) + STACK_GUARD);
    stack->low = stack->top = NULL;
}

void stack_trim(const struct stack *stack, size_t keep)
{
    size_t size = page();
    unsigned char resident = 0;
    keep = (keep + size - 1) & ~(size - 1);
    if ((size_t)(stack->top - stack->low) <= keep + size) return;
    /* A stack is touched from the top down, so one page tells. A canary word in place of mincore would be
     * cheaper, but frames may skip it. */
    char *end = stack->top - keep;
    if (mincore(end - size, size, &resident) == 0 && (resident & 1))
        (void)madvise(stack->low, (size_t)(end - stack->low), MADV_DONTNEED);
}
