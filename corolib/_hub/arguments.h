/* Reading the argument vectors of fast calls, without a tuple or dict in between unless one is wanted. */
#ifndef COROLIB_HUB_ARGUMENTS_H
#define COROLIB_HUB_ARGUMENTS_H

#include <Python.h>

/* By position or name: `names` ends with NULL, the first `required` must be given; `out` gets borrowed
 * references, NULL for what is not given. 0, or -1 with TypeError. */
int arguments_take(const char *method, const char *const *names, Py_ssize_t required, PyObject *const *args,
                   Py_ssize_t nargs, PyObject *kwnames, PyObject **out);
/* Into a tuple of all positional ones from `first` on, and a dict or NULL: both new. 0 or -1. */
int arguments_pack(Py_ssize_t first, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                   PyObject **tuple, PyObject **dict);

#endif
