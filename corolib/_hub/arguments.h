/* Reading the argument vectors of fast calls, without a tuple or dict in between unless one is wanted. */
#ifndef COROLIB_HUB_ARGUMENTS_H
#define COROLIB_HUB_ARGUMENTS_H

#include <Python.h>

/* By position or name: `names` ends with NULL, the first `required` must be given; `out` gets borrowed
 * references, NULL for what is not given. 0, or -1 with TypeError. */
int arguments_take(const char *method, const char *const *names, Py_ssize_t required, PyObject *const *args,
                   Py_ssize_t nargs, PyObject *kwnames, PyObject **out);
/* A tuple of all positional ones from `first` on, new. */
PyObject *arguments_rest(Py_ssize_t first, PyObject *const *args, Py_ssize_t nargs);
/* Into a tuple of all positional ones from `first` on, and a dict or NULL: both new. 0 or -1. */
int arguments_pack(Py_ssize_t first, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                   PyObject **tuple, PyObject **dict);

/* Takes `context=` out of keyword arguments: the contextvars.Context (a new reference), or NULL if there is
 * none or it is something else, which is the function's own then. `*kwargs` (a dict of ours, or NULL) becomes
 * NULL if nothing is left. */
PyObject *arguments_context(PyObject **kwargs);

/* Raises TypeError: another number of arguments than that. */
int arguments_miscounted(const char *method, Py_ssize_t nargs, Py_ssize_t least, Py_ssize_t most);
/* For functions that take positional arguments only: from `least` to `most` of them. 0, or -1 with TypeError.
 */
static inline int arguments_count(const char *method, Py_ssize_t nargs, Py_ssize_t least, Py_ssize_t most)
{
    return (size_t)(nargs - least) <= (size_t)(most - least)
               ? 0
               : arguments_miscounted(method, nargs, least, most);
}
/* A size, possibly negative; a C int, whose name the error says. 0, or -1 with an exception. */
static inline int arguments_size(PyObject *argument, Py_ssize_t *size)
{
#if PY_VERSION_HEX >= 0x030C0000
    if (PyLong_CheckExact(argument) && PyUnstable_Long_IsCompact((PyLongObject *)argument)) {
        *size = PyUnstable_Long_CompactValue((PyLongObject *)argument);
        return 0;
    }
#endif
    *size = PyLong_CheckExact(argument) ? PyLong_AsSsize_t(argument)
                                        : PyNumber_AsSsize_t(argument, PyExc_OverflowError);
    return *size == -1 && PyErr_Occurred() ? -1 : 0;
}
int arguments_int(PyObject *argument, const char *name, int *number);

#endif
