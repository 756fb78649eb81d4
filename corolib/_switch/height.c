/* Floor 2, CPython 3.11 to 3.13: how high the evaluation stack of a suspended frame is. See height.h. */
#include "tstate.h"

#if PY_VERSION_HEX < 0x030E0000
#include "height.h"

#include <opcode.h>
#include <stdlib.h>

#define UNKNOWN (-1)

/* A number of the exception table: six bits a byte, the highest first; bit 6 says that more follow. */
static int table_number(const unsigned char **at)
{
    int number = **at & 63;
    while (*(*at)++ & 64) number = number << 6 | (**at & 63);
    return number;
}

/* A handler starts at the height that its range has, plus the exception, plus the place it came from if the
 * table says so. */
static void enter_handlers(int *heights, Py_ssize_t units, PyObject *table)
{
    const unsigned char *at = (unsigned char *)PyBytes_AS_STRING(table), *end = at + PyBytes_GET_SIZE(table);
    while (at < end) {
        (void)table_number(&at); /* where the range starts */
        (void)table_number(&at); /* its length */
        int target = table_number(&at), depth = table_number(&at);
        if (target < units) heights[target] = (depth >> 1) + 1 + (depth & 1);
    }
}

/* One pass is enough: loops are entered from above. */
static int follow(int *heights, const unsigned char (*code)[2], Py_ssize_t units, Py_ssize_t place)
{
    heights[0] = 0;
    for (Py_ssize_t i = 0; i < units;) {
        int height = heights[i], arg = 0;
        while (code[i][0] == EXTENDED_ARG && i + 1 < units) arg = arg << 8 | code[i++][1];
        int op = code[i][0];
        arg = arg << 8 | code[i][1];
        if (i >= place) return i == place && height != UNKNOWN && TSTATE_IS_CALL(op) ? height : 0;
        do i++;
        while (i < units && code[i][0] == CACHE);
        if (height == UNKNOWN) continue;
        if (TSTATE_IS_FORWARD_JUMP(op) && i + arg < units)
            heights[i + arg] = height + TSTATE_EFFECT(op, arg, 1);
        if (!TSTATE_IS_END(op) && i < units) heights[i] = height + TSTATE_EFFECT(op, arg, 0);
    }
    return 0;
}

int height_in_call(PyCodeObject *code, Py_ssize_t place)
{
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *plain = PyCode_GetCode(code); /* as it was compiled, without specializations */
    Py_ssize_t units = plain != NULL ? PyBytes_GET_SIZE(plain) / 2 : 0;
    int *heights = units > 0 && !check_alloc_fails() ? malloc((size_t)units * sizeof *heights) : NULL;
    int height = 0;
    if (heights != NULL) {
        for (Py_ssize_t i = 0; i < units; i++) heights[i] = UNKNOWN;
        enter_handlers(heights, units, code->co_exceptiontable);
        height = follow(heights, (const unsigned char(*)[2])PyBytes_AS_STRING(plain), units, place);
        free(heights);
    }
    PyErr_Clear();
    Py_XDECREF(plain);
    if (pending != NULL) PyErr_SetRaisedException(pending);
    return height < 0 || height > code->co_stacksize ? 0 : height;
}
#endif
