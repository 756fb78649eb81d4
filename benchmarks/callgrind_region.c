/* Lets a script say which part of it callgrind counts (region.py). Outside of valgrind they do nothing. */
#include <valgrind/callgrind.h>

void switch_on(void);
void switch_off(void);
void toggle(void);

void switch_on(void)
{
    CALLGRIND_START_INSTRUMENTATION;
}

void switch_off(void)
{
    CALLGRIND_STOP_INSTRUMENTATION;
}

/* For short pauses: code that was prepared for counting is kept. */
void toggle(void)
{
    CALLGRIND_TOGGLE_COLLECT;
}
