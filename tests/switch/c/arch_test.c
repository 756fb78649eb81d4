/* arch/: the bare swap. Nothing but stacks and registers here. */
#define _GNU_SOURCE
#include "arch.h"

#include "registers.h"
#include "sanitize.h"
#include "stack.h"
#include "test.h"

#include <execinfo.h>
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>
#if defined(__ARM_FEATURE_BTI_DEFAULT) || defined(__ARM_FEATURE_PAC_DEFAULT)
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#ifndef PROT_BTI
#define PROT_BTI 0x10
#endif
#endif

static struct stack stack, third;
static char *native_low, *native_top; /* the main stack, for the sanitizers */
static void *main_sp, *other_sp;
static int step;
/* Called by address now and then: where branch targets are checked, these need a landing pad. */
static void (*volatile swap)(void **save, void *to) = arch_swap;
static void *(*volatile prepare)(void *top, void (*entry)(void)) = arch_prepare;
static void (*volatile swap_through)(void **, void *, void *(*)(void *), void *) = arch_swap_through;

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
    swap(&other_sp, main_sp);
    SANITIZE_ARRIVE(fake);
}

static void ping(void)
{
    SANITIZE_ARRIVE(NULL);
    for (;;) {
        char here, *at = &here;
#ifndef __SANITIZE_ADDRESS__
        EXPECT(at < stack.top && at > stack.top - ARCH_IMAGE - 4096);
#endif
        (void)at;
        step++;
        to_main();
    }
}

static void start(void (*entry)(void))
{
    SANITIZE_CLEAN(stack.low, (size_t)(stack.top - stack.low)); /* whoever stood there never returned */
    other_sp = prepare(stack.top, entry);
    EXPECT((char *)other_sp == stack.top - ARCH_IMAGE);
    EXPECT((uintptr_t)other_sp % ARCH_STACK_ALIGN == 0);
}

static void back_and_forth(void)
{
    step = 0;
    start(ping);
#if defined(ARCH_UCONTEXT) || defined(__SANITIZE_ADDRESS__) /* system calls at each swap */
    enum { turns = 100000 };
#else
    enum { turns = 1000000 };
#endif
    for (int i = 0; i < turns; i++) {
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

static void to_main_holding(void *unused)
{
    (void)unused;
    to_main();
}

static void to_other_holding(void *unused)
{
    (void)unused;
    to_other();
}

static void fills_registers(void)
{
    SANITIZE_ARRIVE(NULL);
    for (uint64_t seed = 0;; seed++) EXPECT(registers_check(to_main_holding, NULL, seed) == 0);
}

static void registers(void)
{
    start(fills_registers);
    for (uint64_t seed = 1000; seed < 2000; seed++)
        EXPECT(registers_check(to_other_holding, NULL, seed) == 0);
    /* What checks them does see a change. */
    EXPECT(registers_check(registers_spoil, NULL, 1) == ((uint64_t)1 << REGISTERS) - 1);
}

static void *exchange_on_third(void *argument)
{
    char here, *at = &here;
#ifndef __SANITIZE_ADDRESS__
    EXPECT(at < third.top && at >= third.low);
#endif
    (void)at;
    step++;
    return *(void **)argument;
}

static void to_main_through_third(void *unused)
{
    void *fake = NULL;
    (void)unused;
    SANITIZE_LEAVE(&fake, 0, native_low, (size_t)(native_top - native_low));
    swap_through(&other_sp, third.top, exchange_on_third, &main_sp);
    SANITIZE_ARRIVE(fake);
}

static void to_other_through_third(void *unused)
{
    void *fake = NULL;
    (void)unused;
    SANITIZE_LEAVE(&fake, 0, stack.low, (size_t)(stack.top - stack.low));
    arch_swap_through(&main_sp, third.top, exchange_on_third, &other_sp);
    SANITIZE_ARRIVE(fake);
}

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

#if defined(__x86_64__) && defined(__linux__) && !defined(ARCH_UCONTEXT) && !defined(__SANITIZE_ADDRESS__)
static void *ends[2]; /* the outermost frames of the two stacks */
static int steps;

static void *outermost_frame(int *count)
{
    void *frames[64];
    *count = backtrace(frames, 64);
    return frames[*count - 1];
}

static void on_step(int number, siginfo_t *info, void *context)
{
    int count;
    (void)number;
    (void)info;
    uintptr_t at = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    if (at < (uintptr_t)arch_swap || at >= (uintptr_t)arch_prepare) return;
    void *end = outermost_frame(&count);
    EXPECT(count > 3 && count < 64);
    EXPECT(end == ends[0] || end == ends[1]);
    steps++;
}

/* The processor's trap flag: a signal after each instruction. The stack pointer steps over the red zone. */
#define STEPPING(on)                                                                                         \
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" on "\n\tpopfq\n\tlea 128(%%rsp), %%rsp"          \
                     :                                                                                       \
                     :                                                                                       \
                     : "memory", "cc")

static void finds_its_end(void)
{
    int count;
    ends[1] = outermost_frame(&count);
    to_main();
    for (;;) to_main_through_third(NULL);
}

/* A debugger or profiler may look at any moment, and finds its way out of either stack. */
static void unwinding_at_each_instruction(void)
{
    struct sigaction action, old;
    int count;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_step;
    action.sa_flags = SA_SIGINFO;
    EXPECT(sigaction(SIGTRAP, &action, &old) == 0);
    ends[0] = outermost_frame(&count);
    start(finds_its_end);
    to_other();
    EXPECT(ends[0] != ends[1]);
    fesetround(FE_UPWARD); /* the other side has another one: the paths that load it are taken, too */
    STEPPING("orq $0x100, (%%rsp)");
    to_other();
    to_other_through_third(NULL);
    STEPPING("andq $~0x100, (%%rsp)");
    fesetround(FE_TONEAREST);
    EXPECT(steps > 100);
    EXPECT(sigaction(SIGTRAP, &old, NULL) == 0);
}
#else
static void unwinding_at_each_instruction(void) {}
#endif

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

static bool blocked(int number)
{
    sigset_t mask;
    EXPECT(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
    return sigismember(&mask, number) == 1;
}

static void block(int number, bool on)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, number);
    EXPECT(pthread_sigmask(on ? SIG_BLOCK : SIG_UNBLOCK, &mask, NULL) == 0);
}

static void blocks_signals(void)
{
    SANITIZE_ARRIVE(NULL);
    EXPECT(blocked(SIGUSR1) && !blocked(SIGUSR2));
    block(SIGUSR1, false);
    block(SIGUSR2, true);
    to_main();
    EXPECT(blocked(SIGUSR1) && blocked(SIGUSR2));
    to_main();
}

/* The signal mask is the thread's: a swap leaves it as it is. */
static void signal_mask(void)
{
    start(blocks_signals);
    block(SIGUSR1, true);
    to_other();
    EXPECT(!blocked(SIGUSR1) && blocked(SIGUSR2));
    block(SIGUSR1, true);
    to_other();
    EXPECT(blocked(SIGUSR1) && blocked(SIGUSR2));
    block(SIGUSR1, false);
    block(SIGUSR2, false);
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

static void comes_back_through_third(void)
{
    SANITIZE_ARRIVE(NULL);
    for (uint64_t seed = 0;; seed++) EXPECT(registers_check(to_main_through_third, NULL, seed) == 0);
}

static void through_a_third_stack(void)
{
    step = 0;
    start(comes_back_through_third);
    for (int i = 0; i < 1000; i++) {
        EXPECT(registers_check(to_other_through_third, NULL, 1000 + (uint64_t)i) == 0);
        EXPECT(step == 2 * (i + 1));
    }
#ifndef __SANITIZE_ADDRESS__
    /* Back to where it came from: as if nothing had happened. */
    arch_swap_through(&main_sp, third.top, exchange_on_third, &main_sp);
    EXPECT(step == 2001);
    EXPECT(fegetround() == FE_TONEAREST);
#endif
}

#if defined(__ARM_FEATURE_BTI_DEFAULT) || defined(__ARM_FEATURE_PAC_DEFAULT)
static sigjmp_buf fault;

static void on_fault(int number)
{
    siglongjmp(fault, number);
}

static void catch_faults(bool on)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on ? on_fault : SIG_DFL;
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}
#endif

#if defined(__ARM_FEATURE_BTI_DEFAULT)
static int guard(struct dl_phdr_info *info, size_t size, void *data)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        uintptr_t low = (info->dlpi_addr + part->p_vaddr) & ~(page - 1);
        size_t length = info->dlpi_addr + part->p_vaddr + part->p_memsz - low;
        EXPECT(mprotect((void *)low, length, PROT_READ | PROT_EXEC | PROT_BTI) == 0);
        *(bool *)data = true;
    }
    return 1; /* the first is the program itself, and that is all */
}

/* Have every indirect branch into this program checked, which is else up to how the C library was built. */
static bool guard_branches(void)
{
    bool guarded = false;
    if (!(getauxval(AT_HWCAP2) & HWCAP2_BTI)) return false;
    dl_iterate_phdr(guard, &guarded);
    EXPECT(guarded);
    catch_faults(true);
    int number = sigsetjmp(fault, 1);
    if (number == 0) {
        __asm__ volatile("blr %0" : : "r"((char *)arch_prepare + 4) : "x30", "memory");
        EXPECT(!"a call of something that is no function was let through");
    }
    EXPECT(number == SIGILL);
    catch_faults(false);
    return true;
}
#else
static bool guard_branches(void)
{
    return false;
}
#endif

#if defined(__ARM_FEATURE_PAC_DEFAULT) && !defined(ARCH_UCONTEXT)
static void *bare(void *address)
{
    register void *x30 __asm__("x30") = address;
    __asm__("hint #7" : "+r"(x30)); /* xpaclri */
    return x30;
}

/* A signature has as few as seven bits, so a bare address can be right: not sixteen times. */
static void signatures(void)
{
    volatile int with = 0, refused = 0;
    if (!(getauxval(AT_HWCAP) & HWCAP_PACA)) return;
    catch_faults(true);
    for (volatile int i = 0; i < 16; i++) {
        other_sp = arch_prepare(stack.top - i * ARCH_STACK_ALIGN, ping);
        void **address = (void **)other_sp + 1;
        with += *address != bare(*address);
        *address = bare(*address);
        if (sigsetjmp(fault, 1) == 0)
            to_other();
        else
            refused++;
    }
    catch_faults(false);
    EXPECT(with > 0 && refused > 0);
}
#else
static void signatures(void) {}
#endif

int main(void)
{
    SANITIZE_NATIVE(&native_low, &native_top);
    bool guarded = guard_branches();
    EXPECT(stack_map(&stack, STACK_SIZE, STACK_SIZE_MIN) == 0 &&
           stack_map(&third, STACK_SIZE_MIN, STACK_SIZE_MIN) == 0);
    back_and_forth();
    alignment();
    floating_point_control();
    registers();
    unwinding();
    unwinding_at_each_instruction();
    signals();
    signal_mask();
    long_jumps();
    through_a_third_stack();
    signatures();
    puts("ok");
    fflush(stdout);
    if (guarded) _exit(0); /* what the C library adds to a program has no landing pads */
    return 0;
}
