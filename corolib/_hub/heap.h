/* Walks through all objects that the collector knows of. */
#ifndef COROLIB_HUB_HEAP_H
#define COROLIB_HUB_HEAP_H

#include <Python.h>

/* Functions of the module. Each gives a new list, or NULL with an exception. The second argument, if there is
 * one, is what gc.get_objects() has given, for several walks. */

/* What gc.get_referrers(*objects) gives, of a list. */
PyObject *heap_referrers(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
/* All objects of exactly the types in a list, each once, also those that the collector knows by their holders
 * only. */
PyObject *heap_instances(PyObject *module, PyObject *const *args, Py_ssize_t nargs);

#endif
