/* The locks of corolib.thread. */
#ifndef COROLIB_HUB_LOCKS_H
#define COROLIB_HUB_LOCKS_H

#include <Python.h>

extern PyType_Spec locks_lock_spec, locks_rlock_spec;

#endif
