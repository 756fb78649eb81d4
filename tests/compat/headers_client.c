/* An extension of somebody else's: compiled against the header of the greenlet package. */
#include <Python.h>

#include <greenlet.h>

/* run(callable, argument): call it in a greenlet that is made and switched to from C. */
static PyObject *run(PyObject *module, PyObject *args)
{
    PyObject *callable, *argument;
    if (!PyArg_ParseTuple(args, "OO", &callable, &argument)) return NULL;
    PyGreenlet *made = PyGreenlet_New(callable, NULL);
    if (made == NULL) return NULL;
    PyGreenlet *current = PyGreenlet_GetCurrent();
    PyGreenlet *parent = PyGreenlet_GetParent(made);
    int right = parent == current && !PyGreenlet_STARTED(made) && PyGreenlet_Check((PyObject *)made);
    Py_XDECREF(parent);
    Py_XDECREF(current);
    PyObject *positional = PyTuple_Pack(1, argument);
    PyObject *result = positional != NULL ? PyGreenlet_Switch(made, positional, NULL) : NULL;
    Py_XDECREF(positional);
    PyObject *answer = result != NULL ? Py_BuildValue("(OOi)", made, result, right) : NULL;
    Py_XDECREF(result);
    Py_DECREF(made);
    return answer;
}

/* throw(greenlet, type) */
static PyObject *throw(PyObject * module, PyObject *args)
{
    PyObject *greenlet, *type;
    if (!PyArg_ParseTuple(args, "OO", &greenlet, &type)) return NULL;
    return PyGreenlet_Throw((PyGreenlet *)greenlet, type, NULL, NULL);
}

static PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, NULL},
    {"throw", throw, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "headers_client",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_headers_client(void)
{
    PyGreenlet_Import();
    if (PyErr_Occurred()) return NULL;
    return PyModule_Create(&definition);
}
