/* An extension with types of its own on top of greenlets, sized in the right way and in the wrong one. */
#include <Python.h>

#include "capi.h"

/* What each adds. Where it lies is only known when the program runs. */
struct extra {
    long mark;
    PyObject *held;
};

static Py_ssize_t offset;

static struct extra *extra(PyObject *self)
{
    return (struct extra *)((char *)self + offset);
}

static PyObject *get_mark(PyObject *self, PyObject *ignored)
{
    return Py_BuildValue("lO", extra(self)->mark, extra(self)->held != NULL ? extra(self)->held : Py_None);
}

static PyObject *set_mark(PyObject *self, PyObject *args)
{
    PyObject *held;
    if (!PyArg_ParseTuple(args, "lO", &extra(self)->mark, &held)) return NULL;
    Py_XSETREF(extra(self)->held, Py_NewRef(held));
    Py_RETURN_NONE;
}

/* What derives from a static type in Python visits its type itself. */
static int traverse_static(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(extra(self)->held);
    return PyGreenlet_Type.tp_traverse(self, visit, arg);
}

static int traverse_heap(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return traverse_static(self, visit, arg);
}

static int clear(PyObject *self)
{
    int status = PyGreenlet_Type.tp_clear(self);
    /* One that is parked stays whole: it may still run. */
    if (!PyGreenlet_ACTIVE((PyGreenlet *)self)) Py_CLEAR(extra(self)->held);
    return status;
}

static void dealloc_static(PyObject *self)
{
    /* A greenlet that is parked is ended first, and may come back to life. */
    if (PyObject_CallFinalizerFromDealloc(self) < 0) return;
    PyObject_GC_UnTrack(self);
    Py_CLEAR(extra(self)->held);
    PyObject_GC_Track(self);
    PyGreenlet_Type.tp_dealloc(self);
}

/* The deallocator of a heap type drops the object's reference to its type, also for types derived from it. */
static void dealloc_heap(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) return;
    PyObject_GC_UnTrack(self);
    Py_CLEAR(extra(self)->held);
    PyObject_GC_Track(self);
    PyGreenlet_Type.tp_dealloc(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"get_mark", get_mark, METH_NOARGS, NULL},
    {"set_mark", set_mark, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_methods, methods},
    {Py_tp_traverse, traverse_heap},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc_heap},
    {0, NULL},
};

static PyTypeObject static_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "subclass_client.Static",
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_methods = methods,
    .tp_traverse = traverse_static,
    .tp_clear = clear,
    .tp_dealloc = dealloc_static,
};

/* Sized by the header, which shows only the head of the object. */
static PyTypeObject small_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "subclass_client.Small",
    .tp_basicsize = sizeof(PyGreenlet) + sizeof(long),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "subclass_client",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit_subclass_client(void)
{
    if (PyGreenlet_Import() < 0) return NULL;
    offset = PyGreenlet_Type.tp_basicsize;
    PyType_Spec spec = {
        .name = "subclass_client.Heap",
        .basicsize = (int)(offset + (Py_ssize_t)sizeof(struct extra)),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
        .slots = slots,
    };
    static_type.tp_base = small_type.tp_base = &PyGreenlet_Type;
    static_type.tp_basicsize = spec.basicsize;
    if (PyType_Ready(&static_type) < 0) return NULL;
    PyObject *module = PyModule_Create(&definition);
    PyObject *heap = PyType_FromSpecWithBases(&spec, (PyObject *)&PyGreenlet_Type);
    if (module == NULL || heap == NULL || PyModule_AddObjectRef(module, "Heap", heap) < 0 ||
        PyModule_AddObjectRef(module, "Static", (PyObject *)&static_type) < 0)
        return NULL;
    Py_DECREF(heap);
    /* CPython may refuse it itself. */
    if (PyType_Ready(&small_type) < 0)
        PyErr_Clear();
    else if (PyModule_AddObjectRef(module, "Small", (PyObject *)&small_type) < 0)
        return NULL;
    return module;
}
