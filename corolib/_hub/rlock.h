/* The re-entrant lock of corolib.thread. */
#ifndef COROLIB_HUB_RLOCK_H
#define COROLIB_HUB_RLOCK_H

#include <Python.h>

extern PyType_Spec rlock_spec;

#endif
