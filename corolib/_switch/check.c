/* Across all floors: the end of an impossible state, and the forced paths of a checking build. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "corolib._switch: impossible state at %s:%d: %s\n", file, line, what);
    abort();
}

#ifdef COROLIB_CHECK
struct check_force check_force;

int check_alloc_fails(void)
{
    return check_force.fail_alloc > 0 && --check_force.fail_alloc == 0;
}
#endif
