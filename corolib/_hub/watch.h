/* What Python code sees of the ready queue, the deadline heap and descriptors: callback (watch.c), timer
 * (timer.c), io (io.c). All three begin with `struct watch`. */
#ifndef COROLIB_HUB_WATCH_H
#define COROLIB_HUB_WATCH_H

#include <Python.h>
#include <structmember.h>

#include "hub.h"

struct watch {
    struct ready_item item; /* first: the queue calls item.run */
    PyObject *fn;           /* NULL or None: nothing to call */
    PyObject *args;         /* tuple, or NULL: none */
    struct hub_tie *tie;    /* to the hub, owned; NULL: not initialised */
    bool pending;           /* a call stands in the queue */
    bool active;            /* started: owns a reference to itself */
    bool outside;           /* not only the clock sets it off */
    bool ref;               /* counts as something that can still wake somebody */
    bool counted;           /* ... and is counted in hub->live now */
    signed char priority;   /* kept for who asks; what is ready is called in order */
};

static inline struct watch *watch_cast(PyObject *self)
{
    return (struct watch *)self;
}
/* The hub, borrowed: NULL if it is gone, or was never there. */
static inline struct hub *watch_hub(const struct watch *watch)
{
    return watch->tie != NULL ? watch->tie->hub : NULL;
}

extern PyTypeObject *watch_callback_type, *watch_timer_type; /* set by module.c */
/* timer(after, repeat=0.0, ref=True, priority=None) of a Hub (which must be one): new. */
PyObject *timer_make(PyObject *hub, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
/* The functions interrupt() and wake() of the module; set by module.c. */
extern PyObject *watch_interrupt, *watch_wake;
extern PyType_Spec watch_callback_spec, watch_timer_spec, watch_io_spec;

/* Queues fn(*args, **kwargs) for the hub, to be called in `context` (all borrowed; kwargs may be NULL, and
 * context, for the hub's own): the callback object, new. Any thread. */
PyObject *watch_call(struct hub *, PyObject *fn, PyObject *args, PyObject *kwargs, PyObject *context);
/* fn(*args, **kwargs) in `context` (NULL: in the one that is current); as PyObject_Call(). */
PyObject *watch_call_in(PyObject *context, PyObject *fn, PyObject *args, PyObject *kwargs);

/* Shared by the three files. */

/* Puts the call into the ready queue unless it stands there already. 0 or -1. */
int watch_queue(struct watch *);
/* Calls the function with `args` (a tuple, or NULL or None for none), reports what it raises: the result of
 * loop_report(). */
int watch_invoke(PyObject *self, PyObject *args);
/* Starts or ends the watcher's references to itself and its hub, and its count in hub->live. */
void watch_set_active(struct watch *, bool on);
/* Drops function and arguments. */
void watch_forget(struct watch *);
/* __init__: whether it can be given this hub. 0, or -1 with TypeError (it is none) or ValueError (the watcher
 * is active). */
int watch_check_hub(PyObject *self, PyObject *hub);
/* Ties it to this hub, which it does not own by that. */
void watch_tie(struct watch *, PyObject *hub);
/* The timer that a node of the deadline heap belongs to; NULL if it is something else's. */
struct watch *watch_of_deadline(struct deadline *);
/* Raises ValueError; -1. */
int watch_hub_is_destroyed(void);
/* Reads (callback, *args, keyword=) of start(); `keyword` is the one keyword allowed, `*flag` its truth. */
int watch_take_call(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                    const char *keyword, int *flag);
PyObject *watch_get_pending(PyObject *self, void *);
PyObject *watch_get_active(PyObject *self, void *);
PyObject *watch_get_ref(PyObject *self, void *);
int watch_set_ref(PyObject *self, PyObject *value, void *);
PyObject *watch_get_args(PyObject *self, void *);
int watch_set_args(PyObject *self, PyObject *value, void *);
/* The loop of its hub, new; None if it has no hub. */
PyObject *watch_loop(const struct watch *);
PyObject *watch_get_priority(PyObject *self, void *);
int watch_set_priority(PyObject *self, PyObject *value, void *);
/* The same attribute as an argument of __init__: NULL and None are 0. */
int watch_take_priority(PyObject *self, PyObject *value);
/* feed(revents, callback, *args): start(callback, *args), and a call as if the events had come. `*revents` is
 * the first argument. */
PyObject *watch_feed(PyObject *self, PyObject *const *args, Py_ssize_t nargs, int *revents);
PyObject *watch_enter(PyObject *self, PyObject *);
/* The repr: kind, address, `details` (stolen; NULL for none, or with an exception set), state and call. */
PyObject *watch_repr(PyObject *self, PyObject *details);
int watch_traverse(PyObject *self, visitproc visit, void *arg);
int watch_clear(PyObject *self);
void watch_dealloc(PyObject *self);
extern PyMemberDef watch_members[];

#endif
