/* The ready queue: greenlets to resume and items to run, in order. A ring of owned references. */
#ifndef COROLIB_HUB_READY_H
#define COROLIB_HUB_READY_H

#include <Python.h>

struct hub;

/* What stands in the queue beside greenlets: objects whose struct begins like this. run() is called in the
 * hub's greenlet, not inside libev, and handles its own exceptions; it returns -1 only to end the hub, with
 * the exception set. */
struct ready_item {
    PyObject_HEAD int (*run)(PyObject *self, struct hub *hub);
};

struct ready {
    PyObject **ring;       /* owned references; capacity is a power of two */
    size_t head, len, cap; /* head counts on without end; its place is head & (cap - 1) */
};

/* Appends, taking a new reference. -1 with MemoryError set. */
int ready_push(struct ready *queue, PyObject *entry);
/* Takes the next entry, owned by the caller now; NULL if there is none. The one place where order is decided.
 */
PyObject *ready_take(struct ready *queue);
/* What ready_take() would take, borrowed. */
PyObject *ready_peek(const struct ready *queue);
int ready_traverse(struct ready *queue, visitproc visit, void *arg);
void ready_clear(struct ready *queue);

#endif
