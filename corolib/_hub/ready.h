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

/* Makes room. -1 with MemoryError set. */
int ready_grow(struct ready *queue);
/* Shuffled: brings what is to be next to the head. */
void ready_choose(struct ready *queue);

/* Appends; the reference is the queue's now, unless it fails. -1 with MemoryError set. */
static inline int ready_hand_in(struct ready *queue, PyObject *entry)
{
    if (__builtin_expect(queue->len == queue->cap, 0) && ready_grow(queue) < 0) return -1;
    queue->ring[(queue->head + queue->len++) & (queue->cap - 1)] = entry;
    return 0;
}

/* Appends, taking a new reference. -1 with MemoryError set. */
static inline int ready_push(struct ready *queue, PyObject *entry)
{
    if (ready_hand_in(queue, entry) < 0) return -1;
    Py_INCREF(entry);
    return 0;
}

/* What ready_take() would take, borrowed. */
static inline PyObject *ready_peek(struct ready *queue)
{
    if (queue->len == 0) return NULL;
    if (__builtin_expect(queue->in_turn != NULL, 0) && !queue->chosen) ready_choose(queue);
    return queue->ring[queue->head & (queue->cap - 1)];
}

/* Drops what ready_peek() has shown: its reference is the caller's now. */
static inline void ready_advance(struct ready *queue)
{
    queue->head++;
    queue->len--;
    queue->chosen = false;
}

/* Takes the next entry, owned by the caller now; NULL if there is none. */
static inline PyObject *ready_take(struct ready *queue)
{
    PyObject *entry = ready_peek(queue);
    if (entry != NULL) ready_advance(queue);
    return entry;
}

/* From now on in an order that the seed decides. */
void ready_shuffle(struct ready *queue, uint64_t seed, bool (*in_turn)(PyObject *entry));
/* First in, first out again. */
void ready_in_order(struct ready *queue);
int ready_traverse(struct ready *queue, visitproc visit, void *arg);
void ready_clear(struct ready *queue);

#endif
