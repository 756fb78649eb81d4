/* Across all floors: checks that stay in release builds, and the switches that force rare paths.
 *
 * Misuse by a user raises an exception. What is checked here cannot happen however the engine is used: if it
 * does, memory is already damaged, and the only safe thing is to stop at once and say where.
 *
 * A build with COROLIB_CHECK defined adds the dearer checks and the forced paths. They are set from tests
 * through corolib._switch._engine._force() or by the environment variable COROLIB_FORCE. */
#ifndef COROLIB_SWITCH_CHECK_H
#define COROLIB_SWITCH_CHECK_H

/* Prints the condition, file and line and aborts. */
__attribute__((noreturn, cold, visibility("hidden"))) void check_failed(const char *what, const char *file,
                                                                        int line);

#define CHECK(condition)                                                                                     \
    (__builtin_expect(!!(condition), 1) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

#ifdef COROLIB_CHECK

/* Rare paths that are forced at every switch. From COROLIB_FORCE, a list of these names, or _force(). */
struct check_force {
    int evict;      /* the target is copied out, what is left of it overwritten, and copied in again */
    int scratch;    /* the one who leaves is copied out from the scratch stack, as if both shared a lane */
    int collect;    /* the cycle collector runs at each arrival */
    int fail_alloc; /* the n-th allocation from now fails, once */
};
extern struct check_force check_force __attribute__((visibility("hidden")));

/* True if the allocation that is about to be made shall fail. */
__attribute__((visibility("hidden"))) int check_alloc_fails(void);
#define CHECK_DEEP(condition) CHECK(condition)
#define CHECK_FORCED(what) (check_force.what)

#else

#define check_alloc_fails() 0
#define CHECK_DEEP(condition) ((void)0)
#define CHECK_FORCED(what) 0

#endif
#endif
