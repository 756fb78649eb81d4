/* arch/: the bare swap. Nothing but stacks and registers here. */
#include "arch.h"

#include "sanitize.h"
#include "stack.h"
#include "test.h"

#include <execinfo.h>
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/time.h>

static struct stack stack, third;
static char *native_low, *native_top; /* the main stack, for the sanitizers */
static void *main_sp, *other_sp;
static int step;

/* Swaps with what the sanitizers must hear. */
static void to_other(void)
{
    void *fake = NULL;
    SANITIZE_LEAVE(&fake, 0, stack.low, (size_t)(stack.top - stack.low));
    arch_swap(&main_sp, other_sp);
    SANITIZE_ARRIVE(fake);
}

static void to_main(void)
{
    void *fake = NULL;
    SANITIZE_LEAVE(&fake, 0, native_low, (size_t)(native_top - native_low));
    arch_swap(&other_sp, main_sp);
    SANITIZE_ARRIVE(fake);
}

static void ping(void)
{
    SANITIZE_ARRIVE(NULL);
    for (;;) {
        char here;
#ifndef __SANITIZE_ADDRESS__
        EXPECT(&here<stack.top && & here> stack.top - 4096);
#endif
        (void)here;
        step++;
        to_main();
    }
}

static void start(void (*entry)(void))
{
    other_sp = arch_prepare(stack.top, entry);
    EXPECT((char *)other_sp == stack.top - ARCH_IMAGE);
    EXPECT((uintptr_t)other_sp % ARCH_STACK_ALIGN == 0);
}

static void back_and_forth(void)
{
    step = 0;
    start(ping);
    for (int i = 0; i < 1000000; i++) {
        to_other();
        EXPECT(step == i + 1);
    }
}

/* The stack must be aligned at the entry as at any call: this faults if it is not. */
static void aligned(void)
{
    SANITIZE_ARRIVE(NULL);
    volatile double values[2] __attribute__((aligned(16))) = {1.5, 2.5};
    EXPECT((uintptr_t)values % 16 == 0);
    char text[64];
    snprintf(text, sizeof text, "%.1f %.1f", values[0], values[1]);
    EXPECT(strcmp(text, "1.5 2.5") == 0);
    step = 1;
    to_main();
}

static void alignment(void)
{
    step = 0;
    start(aligned);
    to_other();
    EXPECT(step == 1);
}

static void rounds_up(void)
{
    SANITIZE_ARRIVE(NULL);
    EXPECT(fegetround() == FE_DOWNWARD); /* inherited from whoever prepared the stack */
    fesetround(FE_UPWARD);
    to_main();
    EXPECT(fegetround() == FE_UPWARD);
    feraiseexcept(FE_INEXACT);
    to_main();
}

static void floating_point_control(void)
{
    fesetround(FE_DOWNWARD);
    start(rounds_up);
    fesetround(FE_TOWARDZERO);
    to_other();
    EXPECT(fegetround() == FE_TOWARDZERO);
    fesetround(FE_TONEAREST);
    to_other();
    EXPECT(fegetround() == FE_TONEAREST);
}

#if defined(__x86_64__)
/* Fill the callee-saved registers, call swap(), count those that changed. */
static long check_registers(void (*swap)(void), uint64_t seed)
{
    long wrong;
    __asm__ volatile("push %%rbp\n\t"
                     "push %%rdx\n\t"
                     "mov %%rdx, %%rbx\n\t"
                     "lea 1(%%rdx), %%r12\n\t"
                     "lea 2(%%rdx), %%r13\n\t"
                     "lea 3(%%rdx), %%r14\n\t"
                     "lea 4(%%rdx), %%r15\n\t"
                     "lea 5(%%rdx), %%rbp\n\t"
                     "call *%%rax\n\t"
                     "mov (%%rsp), %%rdx\n\t"
                     "xor %%eax, %%eax\n\t"
                     "xor %%ecx, %%ecx\n\t"
                     "cmp %%rdx, %%rbx\n\tsetne %%cl\n\tadd %%rcx, %%rax\n\t"
                     "inc %%rdx\n\tcmp %%rdx, %%r12\n\tsetne %%cl\n\tadd %%rcx, %%rax\n\t"
                     "inc %%rdx\n\tcmp %%rdx, %%r13\n\tsetne %%cl\n\tadd %%rcx, %%rax\n\t"
                     "inc %%rdx\n\tcmp %%rdx, %%r14\n\tsetne %%cl\n\tadd %%rcx, %%rax\n\t"
                     "inc %%rdx\n\tcmp %%rdx, %%r15\n\tsetne %%cl\n\tadd %%rcx, %%rax\n\t"
                     "inc %%rdx\n\tcmp %%rdx, %%rbp\n\tsetne %%cl\n\tadd %%rcx, %%rax\n\t"
                     "pop %%rdx\n\t"
                     "pop %%rbp\n\t"
                     : "=&a"(wrong), "+d"(seed)
                     : "0"(swap)
                     : "rbx", "rcx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "memory", "cc");
    return wrong;
}

static void fills_registers(void)
{
    SANITIZE_ARRIVE(NULL);
    for (uint64_t seed = 0x1111111111111111;; seed += 0x100) EXPECT(check_registers(to_main, seed) == 0);
}

static void registers(void)
{
    start(fills_registers);
    for (uint64_t seed = 0x7777777777777777, i = 0; i < 1000; i++, seed += 0x10000)
        EXPECT(check_registers(to_other, seed) == 0);
}
#else
static void registers(void) {}
#endif

static int walked;

static void walks(void)
{
    SANITIZE_ARRIVE(NULL);
    void *frames[64];
    walked = backtrace(frames, 64);
    to_main();
}

/* An unwinder must find the end of a fresh stack, not run off it. */
static void unwinding(void)
{
    start(walks);
    to_other();
    EXPECT(walked >= 1 && walked < 8);
}

static volatile sig_atomic_t ticks;

static void on_tick(int number)
{
    (void)number;
    ticks++;
}

/* A signal may come at any instruction, on either stack. */
static void signals(void)
{
    struct itimerval timer = {{0, 200}, {0, 200}}, off = {{0, 0}, {0, 0}};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_tick;
    sigaction(SIGALRM, &action, NULL);
    step = 0;
    start(ping);
    setitimer(ITIMER_REAL, &timer, NULL);
    int turns = 0;
    while (ticks < 200) {
        to_other();
        EXPECT(step == ++turns);
    }
    setitimer(ITIMER_REAL, &off, NULL);
}

/* Exceptions and longjmp stay on their own stack, where they work. */
static void jumps(void)
{
    SANITIZE_ARRIVE(NULL);
    for (;;) {
        jmp_buf back;
        if (setjmp(back) == 0) {
            to_main();
            longjmp(back, 1);
        }
        step++;
        to_main();
    }
}

static void long_jumps(void)
{
    step = 0;
    start(jumps);
    for (int i = 0; i < 10; i++) to_other();
    EXPECT(step == 5);
}

static void *exchange_on_third(void *argument)
{
    char here;
#ifndef __SANITIZE_ADDRESS__
    EXPECT(&here < third.top && &here >= third.low);
#endif
    (void)here;
    step++;
    return *(void **)argument;
}

static void comes_back_through_third(void)
{
    SANITIZE_ARRIVE(NULL);
    for (;;) {
        void *fake = NULL;
        SANITIZE_LEAVE(&fake, 0, native_low, (size_t)(native_top - native_low));
        arch_swap_through(&other_sp, third.top, exchange_on_third, &main_sp);
        SANITIZE_ARRIVE(fake);
    }
}

static void through_a_third_stack(void)
{
    step = 0;
    start(comes_back_through_third);
    for (int i = 0; i < 1000; i++) {
        void *fake = NULL;
        SANITIZE_LEAVE(&fake, 0, stack.low, (size_t)(stack.top - stack.low));
        arch_swap_through(&main_sp, third.top, exchange_on_third, &other_sp);
        SANITIZE_ARRIVE(fake);
        EXPECT(step == 2 * (i + 1));
    }
#ifndef __SANITIZE_ADDRESS__
    /* Back to where it came from: as if nothing had happened. */
    arch_swap_through(&main_sp, third.top, exchange_on_third, &main_sp);
    EXPECT(step == 2001);
    EXPECT(fegetround() == FE_TONEAREST);
#endif
}

int main(void)
{
    SANITIZE_NATIVE(&native_low, &native_top);
    EXPECT(stack_map(&stack, STACK_SIZE) == 0 && stack_map(&third, STACK_SIZE_MIN) == 0);
    back_and_forth();
    alignment();
    floating_point_control();
    registers();
    unwinding();
    signals();
    long_jumps();
    through_a_third_stack();
    puts("ok");
    return 0;
}
