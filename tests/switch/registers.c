/* For test_registers.py: Python functions called with known values in all registers that a callee must
 * preserve. */
#include <Python.h>

#include "c/registers.h"

struct call {
    PyObject *function; /* borrowed */
    PyObject *result;
};

static void call_python(void *argument)
{
    struct call *call = argument;
    call->result = PyObject_CallNoArgs(call->function);
}

static PyObject *names(uint64_t bits)
{
    PyObject *list = PyList_New(0);
    for (unsigned i = 0; list != NULL && i < REGISTERS; i++) {
        if (!(bits >> i & 1)) continue;
        PyObject *name = PyUnicode_FromString(registers_names[i]);
        if (name == NULL || PyList_Append(list, name) < 0) Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

static PyObject *hold(PyObject *module, PyObject *args)
{
    struct call call = {NULL, NULL};
    unsigned long long seed;
    if (!PyArg_ParseTuple(args, "KO", &seed, &call.function)) return NULL;
    uint64_t wrong = registers_check(call_python, &call, seed);
    if (call.result == NULL && wrong == 0) return NULL;
    PyErr_Clear();
    Py_XDECREF(call.result);
    return names(wrong);
}

static PyObject *spoil(PyObject *module, PyObject *unused)
{
    return names(registers_check(registers_spoil, NULL, 1));
}

static PyMethodDef methods[] = {
    {"hold", hold, METH_VARARGS,
     "hold(seed, function): names of the registers that a call of function changed; if none did, its "
     "exception"},
    {"spoil", spoil, METH_NOARGS, "spoil(): the same, for a function that changes all"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "registers", .m_size = 0,
                                        .m_methods = methods};

PyMODINIT_FUNC PyInit_registers(void)
{
    return PyModuleDef_Init(&definition);
}
