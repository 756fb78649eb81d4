/* The C Greenlet: a greenlet with a result, that can be started, joined, linked to. */
#ifndef COROLIB_HUB_GREEN_H
#define COROLIB_HUB_GREEN_H

#include <Python.h>

/* Makes the type (its base is known only at run time) and adds it to the module. */
int green_setup(PyObject *module);

#endif
