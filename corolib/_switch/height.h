/* Floor 2, CPython 3.11 to 3.13: how high the evaluation stack of a suspended frame is.
 *
 * These versions note the height in the frame when it calls another Python function in the same run of the
 * evaluation loop; when it calls a C function, such as a switch, only a variable of the loop knows. But the
 * height is a property of the code: at each instruction it is the same whichever way led there. So it can be
 * had by following the code from its start, as the compiler does to find the greatest height. */
#ifndef COROLIB_SWITCH_HEIGHT_H
#define COROLIB_SWITCH_HEIGHT_H

#include <Python.h>

#define HEIGHT_HIDDEN __attribute__((visibility("hidden")))

/* How many words of the stack are owned while the instruction at `place` (in code units) is being executed:
 * those of a call stay where they are until it has returned. 0 if that is not known: at instructions of other
 * kinds, which may have taken off what they work on; at code that no forward way leads to; without memory.
 * Runs no Python code; an exception that is set stays. */
HEIGHT_HIDDEN int height_in_call(PyCodeObject *code, Py_ssize_t place);

#endif
