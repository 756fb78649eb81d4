/* Across all floors: checks that stay in release builds, and the switches that force rare paths.
 *
 * Misuse by a user raises an exception. What is checked here cannot happen however the engine is used: if it
 * does, memory is already damaged, and the only safe thing is to stop at once and say where.
 *
 * A build with COROLIB_CHECK defined adds the dearer checks and the forced paths. They are set from tests
 * through corolib._switch._engine._force(); 0 means off. */
#ifndef COROLIB_SWITCH_CHECK_H
#define COROLIB_SWITCH_CHECK_H

/* Prints the condition, file and line and aborts. */
__attribute__((noreturn, cold, visibility("hidden"))) void check_failed(const char *what, const char *file,
                                                                        int line);

#define CHECK(condition)                                                                                     \
    (__builtin_expect(!!(condition), 1) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

#ifdef COROLIB_CHECK

struct check_force {
    int evict;      /* copy a greenlet out at each switch, though it could stay */
    int fail_alloc; /* the n-th allocation from now fails, once */
};
extern struct check_force check_force __attribute__((visibility("hidden")));

/* True if the allocation that is about to be made shall fail. */
__attribute__((visibility("hidden"))) int check_alloc_fails(void);
#define CHECK_DEEP(condition) CHECK(condition)
#define CHECK_FORCE_EVICT() (check_force.evict)

#else

#define check_alloc_fails() 0
#define CHECK_DEEP(condition) ((void)0)
#define CHECK_FORCE_EVICT() 0

#endif
#endif
