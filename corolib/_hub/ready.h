/* The ready queue: greenlets to resume and items to run, in order. A ring of owned references. */
#ifndef COROLIB_HUB_READY_H
#define COROLIB_HUB_READY_H

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

struct hub;

/* What stands in the queue beside greenlets: objects whose struct begins like this. run() is called in the
 * hub's greenlet, not inside libev, and handles its own exceptions; it returns -1 only to end the hub, with
 * the exception set. */
struct ready_item {
    PyObject_HEAD int (*run)(PyObject *self, struct hub *hub);
};

/* Order: first in, first out; or, for tests, shuffled from a seed. Then any greenlet may come first, but an
 * entry that `in_turn` names keeps its place behind all that stood before it. */
struct ready {
    PyObject **ring;                  /* owned references; capacity is a power of two */
    size_t head, len, cap;            /* head counts on without end; its place is head & (cap - 1) */
    bool (*in_turn)(PyObject *entry); /* NULL: not shuffled */
    uint64_t random;                  /* state of the generator, by now */
    bool chosen;                      /* shuffled: what stands at the head is the next one */
};

/* Appends, taking a new reference. -1 with MemoryError set. */
int ready_push(struct ready *queue, PyObject *entry);
/* Takes the next entry, owned by the caller now; NULL if there is none. */
PyObject *ready_take(struct ready *queue);
/* What ready_take() would take, borrowed. */
PyObject *ready_peek(struct ready *queue);
/* From now on in an order that the seed decides. */
void ready_shuffle(struct ready *queue, uint64_t seed, bool (*in_turn)(PyObject *entry));
/* First in, first out again. */
void ready_in_order(struct ready *queue);
int ready_traverse(struct ready *queue, visitproc visit, void *arg);
void ready_clear(struct ready *queue);

#endif
