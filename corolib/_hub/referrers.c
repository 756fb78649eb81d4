/* Who holds any of many objects. gc.get_referrers() compares each reference with each of them in turn; here
 * it is one look into a table, so that a walk through the heap takes as long for a hundred objects as for
 * one. */
#include "referrers.h"

#include <stdint.h>

struct sought {
    PyObject **table; /* borrowed; open addressing, NULL where there is none */
    size_t mask;
};

static size_t place_of(const struct sought *sought, const PyObject *object)
{
    size_t place = ((uintptr_t)object >> 4) & sought->mask;
    while (sought->table[place] != NULL && sought->table[place] != object) place = (place + 1) & sought->mask;
    return place;
}

static int is_sought(PyObject *object, void *sought)
{
    return ((struct sought *)sought)->table[place_of(sought, object)] != NULL;
}

PyObject *referrers_of(PyObject *module, PyObject *objects)
{
    (void)module;
    if (!PyList_Check(objects))
        return PyErr_Format(PyExc_TypeError, "expected a list of objects, not %.100s",
                            Py_TYPE(objects)->tp_name);
    size_t count = (size_t)PyList_GET_SIZE(objects), size = 16;
    if (count == 0) return PyList_New(0);
    while (size < 4 * count) size *= 2;
    struct sought sought = {.table = PyMem_Calloc(size, sizeof(PyObject *)), .mask = size - 1};
    if (sought.table == NULL) return PyErr_NoMemory();
    for (size_t i = 0; i < count; i++) {
        PyObject *object = PyList_GET_ITEM(objects, i);
        sought.table[place_of(&sought, object)] = object;
    }
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *everything = gc == NULL ? NULL : PyObject_CallMethod(gc, "get_objects", NULL);
    PyObject *found = everything == NULL ? NULL : PyList_New(0);
    for (Py_ssize_t i = 0; found != NULL && i < PyList_GET_SIZE(everything); i++) {
        PyObject *holder = PyList_GET_ITEM(everything, i);
        traverseproc traverse = Py_TYPE(holder)->tp_traverse;
        if (holder == objects || traverse == NULL || !traverse(holder, is_sought, &sought)) continue;
        if (PyList_Append(found, holder) < 0) Py_CLEAR(found);
    }
    Py_XDECREF(everything);
    Py_XDECREF(gc);
    PyMem_Free(sought.table);
    return found;
}
