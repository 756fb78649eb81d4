/* Floor 5: the greenlet type: what Python and the C interfaces see of struct greenlet. */
#ifndef COROLIB_SWITCH_GREENLET_H
#define COROLIB_SWITCH_GREENLET_H

#include "switch.h"

#define GREENLET_HIDDEN __attribute__((visibility("hidden")))

/* A static type: one address for the life of the process, which the C API hands out, and no look-up on the
 * way to it. Subinterpreters, which would need a heap type, are refused. */
extern PyTypeObject greenlet_type GREENLET_HIDDEN;

static inline bool greenlet_check(PyObject *object)
{
    return PyObject_TypeCheck(object, &greenlet_type);
}

/* greenlet(run, parent): both borrowed, NULL for the defaults. */
GREENLET_HIDDEN PyObject *greenlet_new(PyObject *run, PyObject *parent);

/* getcurrent(): new reference. RuntimeError once the interpreter is being finalized: destructors that run
 * then get a clear answer instead of a greenlet whose thread is being taken apart. */
GREENLET_HIDDEN PyObject *greenlet_current(void);

/* g.throw(type, value, traceback): borrowed, NULL for the defaults. */
GREENLET_HIDDEN PyObject *greenlet_throw(PyObject *self, PyObject *type, PyObject *value,
                                         PyObject *traceback);

/* g.parent = parent, with all checks. */
GREENLET_HIDDEN int greenlet_set_parent(PyObject *self, PyObject *parent);

/* Give the greenlet a lane of its own. -1 with an exception if it has started. */
GREENLET_HIDDEN int greenlet_pin(PyObject *self);

/* The last step of deallocation. The reference to a heap type is the caller's to drop. */
GREENLET_HIDDEN void greenlet_free(PyObject *self);

/* What switch_face.park is handed to: when its greenlet is freed, traversed, cleared. */
extern void (*greenlet_park_free)(void *park) GREENLET_HIDDEN;
extern bool (*greenlet_park_held)(const void *park) GREENLET_HIDDEN;
extern int (*greenlet_park_traverse)(void *park, visitproc visit, void *arg) GREENLET_HIDDEN;
extern void (*greenlet_park_clear)(void *park) GREENLET_HIDDEN;

/* Ready the type and what it stands on; idempotent. */
GREENLET_HIDDEN int greenlet_init(void);

#endif
