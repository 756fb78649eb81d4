/* For tests: what a function has to leave as it was, filled with known values over a call. */
#ifndef COROLIB_TESTS_SWITCH_REGISTERS_H
#define COROLIB_TESTS_SWITCH_REGISTERS_H

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)

static const char *const registers_names[] = {"rbx", "rbp", "r12", "r13", "r14", "r15", "mxcsr", "x87"};
#define REGISTERS 8

static inline void registers_control(uint64_t *in, uint64_t seed)
{
    static const unsigned precision[] = {0, 2, 3};
    /* Exceptions stay masked; the rest is rounding, flush to zero and denormals are zero. */
    in[6] = 0x1f80 | (seed & 3) << 13 | (seed & 4) << 13 | (seed & 8) << 3;
    in[7] = 0x007f | (seed >> 1 & 3) << 10 | precision[seed % 3] << 8;
}

/* The lowest six bits of mxcsr are flags and not preserved. */
static inline int registers_same(unsigned i, uint64_t a, uint64_t b)
{
    return i == 6 ? ((a ^ b) & 0xffc0) == 0 : a == b;
}

#elif defined(__aarch64__)

static const char *const registers_names[] = {"x19", "x20", "x21", "x22", "x23", "x24", "x25",
                                              "x26", "x27", "x28", "d8",  "d9",  "d10", "d11",
                                              "d12", "d13", "d14", "d15", "fpcr"};
#define REGISTERS 19

static inline void registers_control(uint64_t *in, uint64_t seed)
{
    in[18] =
        (seed & 3) << 22 | (seed & 4) << 22 | (seed & 8) << 22; /* rounding, flush to zero, default NaN */
}

static inline int registers_same(unsigned i, uint64_t a, uint64_t b)
{
    (void)i;
    return a == b;
}

#else
#error "list this machine's callee-saved registers here and in registers.S"
#endif

/* Load the registers from `in`, call function(argument), store them to `out`, restore the caller's. */
__attribute__((visibility("hidden"))) void registers_hold(const uint64_t *in, uint64_t *out,
                                                          void (*function)(void *), void *argument);

/* Changes every one. Only registers_hold survives a call of it. */
__attribute__((visibility("hidden"))) void registers_spoil(void *unused);

/* Call function(argument) with registers that are filled from `seed`; returns a bit for each that changed. */
static inline uint64_t registers_check(void (*function)(void *), void *argument, uint64_t seed)
{
    uint64_t in[REGISTERS], out[REGISTERS], wrong = 0;
    memset(out, 0, sizeof out);
    for (unsigned i = 0; i < REGISTERS; i++) in[i] = (seed + 1) * 0x9e3779b97f4a7c15 + i;
    registers_control(in, seed);
    registers_hold(in, out, function, argument);
    for (unsigned i = 0; i < REGISTERS; i++) wrong |= (uint64_t)!registers_same(i, in[i], out[i]) << i;
    return wrong;
}

#endif
