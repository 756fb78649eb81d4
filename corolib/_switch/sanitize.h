/* Across all floors: what memory checkers must be told about stacks. Nothing at all in a release build.
 *
 * Valgrind follows the stack pointer: when it moves up, all below becomes forbidden memory. A slice that is
 * copied back in lies there, so it has to be declared writable first; registering the stacks alone is not
 * enough.
 *
 * AddressSanitizer keeps red zones in the frames on a stack. Copies must not be checked, and a slice copied
 * in over the remains of another must be cleared of that one's red zones. Swaps are announced to it. */
#ifndef COROLIB_SWITCH_SANITIZE_H
#define COROLIB_SWITCH_SANITIZE_H

#include "arch.h"

#include <stddef.h>
#include <string.h>

#if (defined(COROLIB_CHECK) || defined(COROLIB_VALGRIND)) && __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define SANITIZE_REGISTER(low, top) VALGRIND_STACK_REGISTER((low), (top))
#define SANITIZE_DEREGISTER(id) VALGRIND_STACK_DEREGISTER(id)
#define SANITIZE_OPEN(low, size)                                                                             \
    VALGRIND_MAKE_MEM_UNDEFINED((char *)(low)-ARCH_RED_ZONE, (size) + ARCH_RED_ZONE)
#else
#define SANITIZE_REGISTER(low, top) 0u
#define SANITIZE_DEREGISTER(id) ((void)(id))
#define SANITIZE_OPEN(low, size) ((void)0)
#endif

/* gcc says it by a macro, clang by this. */
#if defined(__has_feature) && !defined(__SANITIZE_ADDRESS__)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

/* The library's memcpy is checked, whoever calls it; volatile keeps compilers from calling it here. */
__attribute__((no_sanitize_address)) static inline void sanitize_copy(void *to, const void *from, size_t size)
{
    const volatile char *source = from;
    volatile char *target = to;
    for (size_t i = 0; i < size; i++) target[i] = source[i];
}
__attribute__((no_sanitize_address)) static inline void sanitize_scribble(void *low, size_t size)
{
    for (volatile char *byte = low; size-- > 0; byte++) *byte = (char)0xd5;
}
#define SANITIZE_COPY(to, from, size) sanitize_copy((to), (from), (size))
#define SANITIZE_SCRIBBLE(low, size) sanitize_scribble((low), (size))
#define SANITIZE_CLEAN(low, size) __asan_unpoison_memory_region((low), (size))
/* `gone` is true if nobody comes back: its fake frames are then freed. */
#define SANITIZE_LEAVE(fake, gone, low, size)                                                                \
    __sanitizer_start_switch_fiber((gone) ? NULL : (fake), (low), (size))
#define SANITIZE_ARRIVE(fake) __sanitizer_finish_switch_fiber((fake), NULL, NULL)

/* For a function whose locals must be on the real stack: a finished guest's fake frames are gone at once. */
#define SANITIZE_REAL_FRAME __attribute__((no_sanitize_address))

/* It wants to know the bounds of the thread's own stack, too, when a swap goes back there. */
int pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes);
static inline void sanitize_native(char **low, char **top)
{
    pthread_attr_t attributes;
    void *base;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    if (pthread_attr_getstack(&attributes, &base, &size) == 0) {
        *low = base;
        *top = *low + size;
    }
    pthread_attr_destroy(&attributes);
}
#define SANITIZE_NATIVE(low, top) sanitize_native((low), (top))
#else
#define SANITIZE_COPY(to, from, size) memcpy((to), (from), (size))
#define SANITIZE_SCRIBBLE(low, size) memset((low), 0xd5, (size))
#define SANITIZE_CLEAN(low, size) ((void)0)
#define SANITIZE_LEAVE(fake, gone, low, size) ((void)(fake), (void)(gone), (void)(low), (void)(size))
#define SANITIZE_ARRIVE(fake) ((void)(fake))
#define SANITIZE_NATIVE(low, top) ((void)(low), (void)(top))
#define SANITIZE_REAL_FRAME
#endif

#endif
