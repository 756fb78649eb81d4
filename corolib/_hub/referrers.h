/* Who holds any of many objects. */
#ifndef COROLIB_HUB_REFERRERS_H
#define COROLIB_HUB_REFERRERS_H

#include <Python.h>

/* The function of the module: what gc.get_referrers(*objects) gives, of a list. New; NULL with an exception.
 */
PyObject *referrers_of(PyObject *module, PyObject *objects);

#endif
