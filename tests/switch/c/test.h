/* What the plain C tests share. They run as one program each and stop at the first failure. */
#ifndef COROLIB_TESTS_SWITCH_TEST_H
#define COROLIB_TESTS_SWITCH_TEST_H

#include <stdio.h>
#include <stdlib.h>

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition);                         \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

/* Deterministic on every machine. */
static inline unsigned test_random(unsigned *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
