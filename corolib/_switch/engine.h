/* Top: the parts engine.c puts into the module: the two capsules. */
#ifndef COROLIB_SWITCH_ENGINE_H
#define COROLIB_SWITCH_ENGINE_H

#include <Python.h>

#define ENGINE_HIDDEN __attribute__((visibility("hidden")))

/* The table of greenlet's C API, capi.h. New reference. */
ENGINE_HIDDEN PyObject *engine_public_capsule(void);

/* The table for _hub, hubapi.h. New reference. */
ENGINE_HIDDEN PyObject *engine_hub_capsule(void);

#endif
