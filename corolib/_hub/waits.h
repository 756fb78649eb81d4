/* What waits, and what could end it: the facts that reports are made of. Runs for reports only. */
#ifndef COROLIB_HUB_WAITS_H
#define COROLIB_HUB_WAITS_H

#include <Python.h>

/* Adds waits(), standing(), turn(), activity(), stretch() and threads() to the module. */
int waits_setup(PyObject *module);

#endif
