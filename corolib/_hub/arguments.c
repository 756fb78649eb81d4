/* Reading the argument vectors of fast calls. */
#include "arguments.h"

#include <limits.h>

int arguments_take(const char *method, const char *const *names, Py_ssize_t required, PyObject *const *args,
                   Py_ssize_t nargs, PyObject *kwnames, PyObject **out)
{
    Py_ssize_t count = 0;
    for (; names[count] != NULL; count++) out[count] = count < nargs ? args[count] : NULL;
    if (nargs > count) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd arguments (%zd given)", method, count, nargs);
        return -1;
    }
    if (kwnames == NULL && nargs >= required) return 0; /* the usual call */
    for (Py_ssize_t k = 0; kwnames != NULL && k < PyTuple_GET_SIZE(kwnames); k++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, k);
        Py_ssize_t i = 0;
        while (i < count && PyUnicode_CompareWithASCIIString(name, names[i]) != 0) i++;
        if (i == count || out[i] != NULL) {
            PyErr_Format(PyExc_TypeError,
                         i == count ? "%s() got an unexpected keyword argument '%U'"
                                    : "%s() got multiple values for argument '%U'",
                         method, name);
            return -1;
        }
        out[i] = args[nargs + k];
    }
    for (Py_ssize_t i = 0; i < required; i++) {
        if (out[i] != NULL) continue;
        PyErr_Format(PyExc_TypeError, "%s() is missing its argument '%s'", method, names[i]);
        return -1;
    }
    return 0;
}

PyObject *arguments_rest(Py_ssize_t first, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *tuple = PyTuple_New(nargs > first ? nargs - first : 0);
    if (tuple == NULL) return NULL;
    for (Py_ssize_t i = first; i < nargs; i++) PyTuple_SET_ITEM(tuple, i - first, Py_NewRef(args[i]));
    return tuple;
}

int arguments_pack(Py_ssize_t first, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                   PyObject **tuple, PyObject **dict)
{
    *dict = NULL;
    *tuple = arguments_rest(first, args, nargs);
    if (*tuple == NULL) return -1;
    if (kwnames == NULL || PyTuple_GET_SIZE(kwnames) == 0) return 0;
    *dict = PyDict_New();
    for (Py_ssize_t i = 0; *dict != NULL && i < PyTuple_GET_SIZE(kwnames); i++)
        if (PyDict_SetItem(*dict, PyTuple_GET_ITEM(kwnames, i), args[nargs + i]) < 0) Py_CLEAR(*dict);
    if (*dict != NULL) return 0;
    Py_CLEAR(*tuple);
    return -1;
}

PyObject *arguments_context(PyObject **kwargs)
{
    PyObject *context = *kwargs == NULL ? NULL : PyDict_GetItemString(*kwargs, "context");
    if (context == NULL || !PyContext_CheckExact(context)) return NULL;
    Py_INCREF(context);
    if (PyDict_DelItemString(*kwargs, "context") < 0) PyErr_Clear(); /* it is there */
    if (PyDict_GET_SIZE(*kwargs) == 0) Py_CLEAR(*kwargs);
    return context;
}

int arguments_miscounted(const char *method, Py_ssize_t nargs, Py_ssize_t least, Py_ssize_t most)
{
    PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments (%zd given)", method, least, most, nargs);
    return -1;
}

int arguments_int(PyObject *argument, const char *name, int *number)
{
    long value = PyLong_AsLong(argument);
    if (value == -1 && PyErr_Occurred()) return -1;
    if (value < INT_MIN || value > INT_MAX) {
        PyErr_Format(PyExc_OverflowError, "%s must fit into a C int, not %ld", name, value);
        return -1;
    }
    *number = (int)value;
    return 0;
}
