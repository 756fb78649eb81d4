/* FIFO of waiting greenlets with O(1) removal: what every lock stands on. */
#ifndef COROLIB_HUB_WAITLIST_H
#define COROLIB_HUB_WAITLIST_H

#include "park.h"

struct waitlist {
    struct park *first, *last;
    Py_ssize_t len;
    /* NULL, or what gets a value back that a waiter was woken with and that will not arrive. May run Python
     * code and set an exception, which is reported. */
    void (*undo)(struct waitlist *, PyObject *value);
};

/* Parks the caller at the end. `owner` is what it waits for, in reports. */
PyObject *waitlist_wait(struct waitlist *, PyObject *owner, double timeout);
/* Wakes up to `count` waiters, longest waiting first, with `value`; how many, or -1. */
Py_ssize_t waitlist_wake(struct waitlist *, Py_ssize_t count, PyObject *value);
Py_ssize_t waitlist_wake_error(struct waitlist *, PyObject *error);
/* Those that wait, longest waiting first: a new list. */
PyObject *waitlist_greenlets(const struct waitlist *);
/* In the child of a fork: nobody waits here any more; their waits go on in no list. */
void waitlist_forget(struct waitlist *);

extern PyType_Spec waitlist_spec;

#endif
