/* stack.c: size, guard page, giving back. */
#define _GNU_SOURCE
#include "stack.h"

#include "test.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static sigjmp_buf fault;
static void *fault_at;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    fault_at = info->si_addr;
    siglongjmp(fault, 1);
}

static int faults(volatile char *at)
{
    if (sigsetjmp(fault, 1)) return 1;
    *at = 1;
    return 0;
}

static void size_and_guard(void)
{
    struct stack stack;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    EXPECT(stack_map(&stack, STACK_SIZE, STACK_SIZE_MIN) == 0);
    EXPECT((size_t)(stack.top - stack.low) == STACK_SIZE);
    EXPECT((uintptr_t)stack.top % page == 0 && (uintptr_t)stack.low % page == 0);
    EXPECT(!faults(stack.top - 1) && !faults(stack.low));
    EXPECT(faults(stack.low - 1) && fault_at == stack.low - 1);
    EXPECT(faults(stack.low - STACK_GUARD) && fault_at == stack.low - STACK_GUARD);
    stack_unmap(&stack);
    EXPECT(stack.low == NULL && stack.top == NULL);
}

static size_t resident(const struct stack *stack)
{
    static unsigned char map[STACK_SIZE / 4096];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), count = 0;
    EXPECT(mincore(stack->low, (size_t)(stack->top - stack->low), map) == 0);
    for (size_t i = 0; i < (size_t)(stack->top - stack->low) / page; i++) count += map[i] & 1;
    return count * page;
}

static void trimming(void)
{
    struct stack stack;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), keep = 65536; /* a whole number of pages of any usual size */
    size_t shallow = page < keep ? 2 * page : page;
    EXPECT(stack_map(&stack, STACK_SIZE, STACK_SIZE_MIN) == 0);
    EXPECT(resident(&stack) == 0);
    memset(stack.top - shallow, 1, shallow);
    stack_trim(&stack, keep); /* was never deeper: nothing happens */
    EXPECT(*(stack.top - shallow) == 1 && resident(&stack) == shallow);
    memset(stack.top - (1 << 20), 2, 1 << 20);
    EXPECT(resident(&stack) == 1 << 20);
    stack_trim(&stack, keep - 1); /* keeps the whole of the last page */
    EXPECT(resident(&stack) == keep);
    EXPECT(*(stack.top - keep) == 2 && *(stack.top - keep - 1) == 0);
    stack_trim(&stack, STACK_SIZE * 2); /* keeps more than there is */
    stack_unmap(&stack);
}

static void smaller_where_there_is_no_room(void)
{
#ifndef __SANITIZE_ADDRESS__ /* its shadow memory is address space, too */
    struct rlimit old, tight;
    struct stack stack;
    char line[64];
    FILE *file = fopen("/proc/self/statm", "r");
    EXPECT(file != NULL && fgets(line, sizeof line, file) != NULL);
    fclose(file);
    EXPECT(getrlimit(RLIMIT_AS, &old) == 0);
    tight = old;
    tight.rlim_cur = strtoull(line, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE) + (3 << 20);
    EXPECT(setrlimit(RLIMIT_AS, &tight) == 0);
    void *more = mmap(NULL, 64 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (more != MAP_FAILED) { /* emulated processors know no such limit */
        munmap(more, 64 << 20);
        return;
    }
    EXPECT(stack_map(&stack, STACK_SIZE, STACK_SIZE_MIN) == 0);
    EXPECT(stack.top - stack.low < 3 << 20 && (size_t)(stack.top - stack.low) >= STACK_SIZE_MIN);
    stack_unmap(&stack);
    tight.rlim_cur = 4096;
    EXPECT(setrlimit(RLIMIT_AS, &tight) == 0);
    EXPECT(stack_map(&stack, STACK_SIZE, STACK_SIZE_MIN) == -1);
    EXPECT(setrlimit(RLIMIT_AS, &old) == 0);
#endif
}

int main(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    size_and_guard();
    trimming();
    smaller_where_there_is_no_room();
    puts("ok");
    return 0;
}
