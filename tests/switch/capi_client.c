/* An extension that uses the public C API, as third parties do. Compiled by test_capi.py. */
#include <Python.h>

#include <alloca.h>
#include <fenv.h>
#include <string.h>

#include "capi.h"

static PyObject *current(PyObject *module, PyObject *ignored)
{
    return (PyObject *)PyGreenlet_GetCurrent();
}

/* new(run, parent or None) */
static PyObject *new (PyObject *module, PyObject *args)
{
    PyObject *run, *parent;
    if (!PyArg_ParseTuple(args, "OO", &run, &parent)) return NULL;
    return (PyObject *)PyGreenlet_New(run, parent == Py_None ? NULL : (PyGreenlet *)parent);
}

/* switch(g, args or None, kwargs or None) */
static PyObject *switch_to(PyObject *module, PyObject *args)
{
    PyObject *greenlet, *positional, *keywords;
    if (!PyArg_ParseTuple(args, "OOO", &greenlet, &positional, &keywords)) return NULL;
    return PyGreenlet_Switch((PyGreenlet *)greenlet, positional == Py_None ? NULL : positional,
                             keywords == Py_None ? NULL : keywords);
}

/* throw(g, type[, value[, traceback]]) */
static PyObject *throw(PyObject * module, PyObject *args)
{
    PyObject *greenlet, *type, *value = NULL, *traceback = NULL;
    if (!PyArg_ParseTuple(args, "OO|OO", &greenlet, &type, &value, &traceback)) return NULL;
    return PyGreenlet_Throw((PyGreenlet *)greenlet, type, value, traceback);
}

static PyObject *set_parent(PyObject *module, PyObject *args)
{
    PyObject *greenlet, *parent;
    if (!PyArg_ParseTuple(args, "OO", &greenlet, &parent)) return NULL;
    if (PyGreenlet_SetParent((PyGreenlet *)greenlet, (PyGreenlet *)parent) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *get_parent(PyObject *module, PyObject *greenlet)
{
    PyObject *parent = (PyObject *)PyGreenlet_GetParent((PyGreenlet *)greenlet);
    if (parent == NULL && !PyErr_Occurred()) Py_RETURN_NONE;
    return parent;
}

/* (main, started, active) */
static PyObject *states(PyObject *module, PyObject *object)
{
    PyGreenlet *greenlet = (PyGreenlet *)object;
    int main = PyGreenlet_MAIN(greenlet), started = PyGreenlet_STARTED(greenlet),
        active = PyGreenlet_ACTIVE(greenlet);
    if (main < 0 || started < 0 || active < 0) return NULL;
    return Py_BuildValue("iii", main, started, active);
}

static PyObject *check(PyObject *module, PyObject *object)
{
    return PyBool_FromLong(PyGreenlet_Check(object));
}

static PyObject *names(PyObject *module, PyObject *ignored)
{
    return Py_BuildValue("OOO", &PyGreenlet_Type, PyExc_GreenletError, PyExc_GreenletExit);
}

/* fields(g): what the header shows of the struct: (dict or None, pimpl is set). */
static PyObject *fields(PyObject *module, PyObject *object)
{
    PyGreenlet *greenlet = (PyGreenlet *)object;
    return Py_BuildValue("OO", greenlet->dict != NULL ? greenlet->dict : Py_None,
                         greenlet->pimpl != NULL ? Py_True : Py_False);
}

/* park(n, g): switch to g with n KiB of pattern on the C stack below; true if the pattern is intact
 * afterwards. */
static PyObject *park(PyObject *module, PyObject *args)
{
    PyObject *greenlet;
    int kilobytes;
    if (!PyArg_ParseTuple(args, "iO", &kilobytes, &greenlet)) return NULL;
    size_t size = (size_t)kilobytes << 10;
    unsigned char *pattern = alloca(size), seed = (unsigned char)((size_t)&kilobytes >> 4);
    for (size_t i = 0; i < size; i++) pattern[i] = (unsigned char)(i * 7 + seed);
    PyObject *result = PyGreenlet_Switch((PyGreenlet *)greenlet, NULL, NULL);
    if (result == NULL) return NULL;
    Py_DECREF(result);
    for (size_t i = 0; i < size; i++)
        if (pattern[i] != (unsigned char)(i * 7 + seed)) Py_RETURN_FALSE;
    Py_RETURN_TRUE;
}

/* round(mode, g): switch to g in a rounding mode of this greenlet; the mode afterwards. */
static PyObject *round_mode(PyObject *module, PyObject *args)
{
    PyObject *greenlet;
    int mode;
    if (!PyArg_ParseTuple(args, "iO", &mode, &greenlet)) return NULL;
    int old = fegetround();
    fesetround(mode);
    PyObject *result = PyGreenlet_Switch((PyGreenlet *)greenlet, NULL, NULL);
    int found = fegetround();
    fesetround(old);
    if (result == NULL) return NULL;
    Py_DECREF(result);
    return PyLong_FromLong(found);
}

static size_t touch(size_t bytes)
{
    volatile char page[4096];
    page[0] = (char)bytes;
    return bytes <= sizeof page ? (size_t)page[0] : touch(bytes - sizeof page) + (size_t)page[0];
}

/* use_stack(bytes): nothing but that. */
static PyObject *use_stack(PyObject *module, PyObject *number)
{
    size_t bytes = PyLong_AsSize_t(number);
    if (bytes == (size_t)-1 && PyErr_Occurred()) return NULL;
    return PyLong_FromSize_t(touch(bytes) & 0);
}

static PyMethodDef functions[] = {
    {"current", current, METH_NOARGS, NULL},
    {"new", new, METH_VARARGS, NULL},
    {"switch", switch_to, METH_VARARGS, NULL},
    {"throw", throw, METH_VARARGS, NULL},
    {"set_parent", set_parent, METH_VARARGS, NULL},
    {"get_parent", get_parent, METH_O, NULL},
    {"states", states, METH_O, NULL},
    {"check", check, METH_O, NULL},
    {"names", names, METH_NOARGS, NULL},
    {"fields", fields, METH_O, NULL},
    {"park", park, METH_VARARGS, NULL},
    {"round_mode", round_mode, METH_VARARGS, NULL},
    {"use_stack", use_stack, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "capi_client",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_capi_client(void)
{
    if (PyGreenlet_Import() < 0) return NULL;
    return PyModule_Create(&definition);
}
