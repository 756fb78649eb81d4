/* Floor 4: the one path every switch takes: leave, swap, arrive.
 *
 * What travels is one of three things:
 *   a value          what the target's own switch() returns; run(value) or boot(value) if it is fresh;
 *   arguments        a tuple and perhaps a dict: run(*args, **kwargs) if the target is fresh, else packed
 * into a value; an exception     the one that is set; raised in the target. A fresh target dies of it without
 * having run.
 *
 * All of it is called with the GIL held, on the greenlet that leaves, with no exception set unless it
 * travels. */
#ifndef COROLIB_SWITCH_SWITCH_H
#define COROLIB_SWITCH_SWITCH_H

#include "thread.h"

#define SWITCH_HIDDEN __attribute__((visibility("hidden")))

/* Exceptions of the module, made by engine.c; owned for the life of the process. */
extern PyObject *switch_exit SWITCH_HIDDEN;  /* GreenletExit */
extern PyObject *switch_error SWITCH_HIDDEN; /* error */
extern PyObject *switch_empty SWITCH_HIDDEN; /* (), what switch() without arguments brings */

/* The raw type, set by greenlet.c: objects of exactly this type have no `run` of their own to look for. */
extern PyTypeObject *switch_type SWITCH_HIDDEN;

/* Set once by _hub: what a greenlet with a boot function is going to call; borrowed, or NULL. */
extern PyObject *(*switch_kind)(PyObject *greenlet)SWITCH_HIDDEN;

/* hubapi.h's transfer: value stolen; NULL means the exception that is set. */
SWITCH_HIDDEN PyObject *switch_transfer(PyObject *target, PyObject *value);

/* switch(*args, **kwargs); both stolen, kwargs may be NULL. */
SWITCH_HIDDEN PyObject *switch_call(struct greenlet *target, PyObject *args, PyObject *kwargs);

/* The thread a greenlet belongs to: its own, or for a fresh one that of its nearest started ancestor; NULL if
 * there is none (any more). */
SWITCH_HIDDEN struct thread *switch_thread_of(const struct greenlet *greenlet);

/* Set thread_entry. 0, or -1 with an exception. */
SWITCH_HIDDEN int switch_init(void);

#endif
