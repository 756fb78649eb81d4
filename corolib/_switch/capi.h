/* The C API of corolib's greenlets, for other extensions: the only public header of the engine.
 *
 * Layout, order and names of the table are those of the greenlet package, version 1.0.0 of its interface,
 * which has not changed since: an extension compiled against that package's header works with this table as
 * it is.
 *
 *     #include "capi.h"
 *     if (PyGreenlet_Import() < 0)       // once per source file, with the GIL
 *         return NULL;
 *     PyGreenlet *g = PyGreenlet_New(callable, NULL);
 *
 * Every function needs the GIL and reports failure as usual: NULL or -1 with an exception set. */
#ifndef COROLIB_CAPI_H
#define COROLIB_CAPI_H

#include <Python.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PyGreenlet_CAPSULE "greenlet._C_API"

/* What may be looked at of a greenlet object. Its real size is larger: subclass through
 * PyGreenlet_Type.tp_basicsize. */
typedef struct {
    PyObject_HEAD PyObject *weakreflist;
    PyObject *dict;
    void *pimpl;
} PyGreenlet;

enum {
    PyGreenlet_Type_NUM = 0,
    PyExc_GreenletError_NUM = 1,
    PyExc_GreenletExit_NUM = 2,
    PyGreenlet_New_NUM = 3,
    PyGreenlet_GetCurrent_NUM = 4,
    PyGreenlet_Throw_NUM = 5,
    PyGreenlet_Switch_NUM = 6,
    PyGreenlet_SetParent_NUM = 7,
    PyGreenlet_MAIN_NUM = 8,
    PyGreenlet_STARTED_NUM = 9,
    PyGreenlet_ACTIVE_NUM = 10,
    PyGreenlet_GET_PARENT_NUM = 11,
    PyGreenlet_API_pointers = 12,
};

#ifndef COROLIB_CAPI_IMPLEMENTATION

static void **PyGreenlet_API = NULL;

/* Take the table from the engine. 0, or -1 with ImportError. */
static inline int PyGreenlet_Import(void)
{
    PyObject *module = PyImport_ImportModule("corolib._switch");
    PyObject *capsule = module != NULL ? PyObject_GetAttrString(module, "_C_API") : NULL;
    if (capsule != NULL) PyGreenlet_API = (void **)PyCapsule_GetPointer(capsule, PyGreenlet_CAPSULE);
    Py_XDECREF(capsule);
    Py_XDECREF(module);
    return PyGreenlet_API != NULL ? 0 : -1;
}

#define PyGreenlet_Type (*(PyTypeObject *)PyGreenlet_API[PyGreenlet_Type_NUM])
#define PyExc_GreenletError ((PyObject *)PyGreenlet_API[PyExc_GreenletError_NUM])
#define PyExc_GreenletExit ((PyObject *)PyGreenlet_API[PyExc_GreenletExit_NUM])
#define PyGreenlet_Check(object) ((object) && PyObject_TypeCheck((PyObject *)(object), &PyGreenlet_Type))

/* greenlet(run, parent): borrowed; NULL parent means the current greenlet. */
#define PyGreenlet_New                                                                                       \
    (*(PyGreenlet * (*)(PyObject * run, PyGreenlet * parent)) PyGreenlet_API[PyGreenlet_New_NUM])

/* New reference. */
#define PyGreenlet_GetCurrent (*(PyGreenlet * (*)(void)) PyGreenlet_API[PyGreenlet_GetCurrent_NUM])

/* g.throw(type, value, traceback); value and traceback may be NULL. */
#define PyGreenlet_Throw                                                                                     \
    (*(PyObject * (*)(PyGreenlet * g, PyObject * type, PyObject * value, PyObject * traceback))              \
         PyGreenlet_API[PyGreenlet_Throw_NUM])

/* g.switch(*args, **kwargs); both may be NULL. */
#define PyGreenlet_Switch                                                                                    \
    (*(PyObject * (*)(PyGreenlet * g, PyObject * args, PyObject * kwargs))                                   \
         PyGreenlet_API[PyGreenlet_Switch_NUM])

#define PyGreenlet_SetParent                                                                                 \
    (*(int (*)(PyGreenlet * g, PyGreenlet * parent)) PyGreenlet_API[PyGreenlet_SetParent_NUM])

/* New reference, or NULL without an exception for a main greenlet. */
#define PyGreenlet_GetParent (*(PyGreenlet * (*)(PyGreenlet * g)) PyGreenlet_API[PyGreenlet_GET_PARENT_NUM])
#define PyGreenlet_GET_PARENT PyGreenlet_GetParent

/* Is it the main greenlet of its thread; has it been started; has it been started and not finished. */
#define PyGreenlet_MAIN (*(int (*)(PyGreenlet * g)) PyGreenlet_API[PyGreenlet_MAIN_NUM])
#define PyGreenlet_STARTED (*(int (*)(PyGreenlet * g)) PyGreenlet_API[PyGreenlet_STARTED_NUM])
#define PyGreenlet_ACTIVE (*(int (*)(PyGreenlet * g)) PyGreenlet_API[PyGreenlet_ACTIVE_NUM])

#endif

#ifdef __cplusplus
}
#endif
#endif
