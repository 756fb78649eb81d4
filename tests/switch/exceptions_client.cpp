/* C++ that throws, catches and switches in all orders; for test_exceptions_cpp.py. */
#include <Python.h>

#include <exception>

#include "capi.h"

namespace
{

struct Thrown {
    int number;
    static int alive;
    explicit Thrown(int n) : number(n) { alive++; }
    Thrown(const Thrown &other) : number(other.number) { alive++; }
    ~Thrown() { alive--; }
};
int Thrown::alive = 0;

/* Counts destructors that unwinding runs. */
struct Guard {
    int &count;
    explicit Guard(int &c) : count(c) {}
    ~Guard() { count++; }
};

bool go(PyObject *greenlet)
{
    PyObject *result = PyGreenlet_Switch(reinterpret_cast<PyGreenlet *>(greenlet), nullptr, nullptr);
    Py_XDECREF(result);
    return result != nullptr;
}

__attribute__((noinline)) void thrower(int number, PyObject *greenlet, int depth, int &unwound)
{
    Guard guard(unwound);
    if (depth > 0) {
        thrower(number, greenlet, depth - 1, unwound);
        return;
    }
    if (greenlet != nullptr) go(greenlet);
    throw Thrown(number);
}

/* beside(number, g): switch in the try block, before and between throwing and catching, `rounds` times. */
PyObject *beside(PyObject *, PyObject *args)
{
    int number, rounds;
    PyObject *greenlet;
    if (!PyArg_ParseTuple(args, "iOi", &number, &greenlet, &rounds)) return nullptr;
    for (int i = 0; i < rounds; i++) {
        int unwound = 0;
        try {
            thrower(number + i, greenlet, 5, unwound);
            Py_RETURN_FALSE;
        } catch (const Thrown &caught) {
            if (caught.number != number + i || unwound != 6) Py_RETURN_FALSE;
        }
        if (!go(greenlet)) return nullptr;
    }
    Py_RETURN_TRUE;
}

/* within(number, g): switch in the catch block; then look whether the exception is still ours: by its
 * reference, by the runtime's own notion of the current one, and by throwing it again. */
PyObject *within(PyObject *, PyObject *args)
{
    int number, seen = -1, again = -1;
    PyObject *greenlet;
    if (!PyArg_ParseTuple(args, "iO", &number, &greenlet)) return nullptr;
    try {
        try {
            throw Thrown(number);
        } catch (const Thrown &caught) {
            if (!go(greenlet)) return nullptr;
            seen = caught.number;
            throw;
        }
    } catch (const Thrown &caught) {
        again = caught.number;
    }
    return Py_BuildValue("ii", seen, again);
}

/* under(g): switch to g in a try block that would catch everything. */
PyObject *under(PyObject *, PyObject *greenlet)
{
    try {
        if (!go(greenlet)) return nullptr;
    } catch (...) {
        return PyUnicode_FromString("caught in the wrong greenlet");
    }
    Py_RETURN_NONE;
}

/* unhandled(number): throws out of the greenlet. */
PyObject *unhandled(PyObject *, PyObject *number)
{
    throw Thrown(static_cast<int>(PyLong_AsLong(number)));
}

/* foreign(g): a C++ exception caught where Python code is called back and has switched in between. */
PyObject *across_python(PyObject *, PyObject *callable)
{
    int unwound = 0;
    try {
        Guard guard(unwound);
        PyObject *result = PyObject_CallNoArgs(callable);
        if (result == nullptr) throw Thrown(1);
        Py_DECREF(result);
        throw Thrown(2);
    } catch (const Thrown &caught) {
        if (caught.number == 1) return nullptr;
        return PyLong_FromLong(caught.number * 10 + unwound);
    }
}

PyObject *alive(PyObject *, PyObject *)
{
    return PyLong_FromLong(Thrown::alive);
}

PyMethodDef functions[] = {
    {"beside", beside, METH_VARARGS, nullptr},
    {"within", within, METH_VARARGS, nullptr},
    {"under", under, METH_O, nullptr},
    {"unhandled", unhandled, METH_O, nullptr},
    {"across_python", across_python, METH_O, nullptr},
    {"alive", alive, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "exceptions_client", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr};

} // namespace

PyMODINIT_FUNC PyInit_exceptions_client(void)
{
    if (PyGreenlet_Import() < 0) return nullptr;
    return PyModule_Create(&definition);
}
