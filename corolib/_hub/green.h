/* The C Greenlet: a greenlet with a result, that can be started, joined, linked to. green.c: how it begins,
 * runs and ends; greenface.c: what others ask of it. */
#ifndef COROLIB_HUB_GREEN_H
#define COROLIB_HUB_GREEN_H

#include "hub.h"
#include "waitlist.h"

/* How many frames of its maker a greenlet remembers. */
#define GREEN_PLACES 4

enum status { NEW, SCHEDULED, RUNNING, DONE };

struct green {
    PyObject *run;       /* owned: what was given to the constructor; NULL: _run of a subclass */
    PyObject *args;      /* owned tuple, NULL for none and after the end */
    PyObject *kwargs;    /* owned dict or NULL */
    PyObject *value;     /* owned: the result, or the GreenletExit that ended it */
    PyObject *error;     /* owned: the exception that ended it */
    PyObject *traceback; /* owned: the error's, as it was at the end; NULL: none. Each raise adds to the
                            error's own */
    PyObject *links;     /* owned list of (callable, context), or NULL */
    PyObject *hub;       /* owned: the Hub of the thread that made it */
    /* While it runs, owned: what is being called and all that it is called with. Held here and not on the
     * stack of boot(), where the collector would not see it. */
    PyObject *callee, *passed;
    struct switch_place places[GREEN_PLACES]; /* where it was made, innermost first */
    PyObject *self;                           /* borrowed: for the way back from the deadline */
    struct waitlist joiners;
    struct deadline later; /* start_later() */
    unsigned char status;  /* enum status */
    bool notifying;        /* a call of _notify_links stands in the ready queue */
};

/* Makes the type (its base is known only at run time) and adds it to the module. */
int green_setup(PyObject *module);

/* For the engine: what tells its kind from others, borrowed. */
PyObject *green_kind(PyObject *self);

/* Between the two files. */

/* Interned once: the interpreter's cache of look-ups goes by the address of a name. */
extern PyObject *green_name_notify, *green_name_timeout;

extern Py_ssize_t green_offset; /* of struct green in the object */
extern PyObject *green_no_args; /* the empty tuple */
static inline struct green *green_of(PyObject *self)
{
    return (struct green *)((char *)self + green_offset);
}

/* The hub it was made in; NULL with RuntimeError if it was not initialised. */
struct hub *green_hub(struct green *);
/* Sees to it that the links are called, if there are any. 0 or -1. */
int green_schedule_links(PyObject *self);
PyObject *green_notify_links(PyObject *self, PyObject *);
PyObject *green_join(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *green_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *green_ready(PyObject *self, PyObject *);
PyObject *green_successful(PyObject *self, PyObject *);
PyObject *green_rawlink(PyObject *self, PyObject *callback);
PyObject *green_unlink(PyObject *self, PyObject *callback);
PyObject *green_unlink_all(PyObject *self, PyObject *);
PyObject *green_has_links(PyObject *self, PyObject *);
int green_bool(PyObject *self);
extern PyGetSetDef green_getset[];

#endif
