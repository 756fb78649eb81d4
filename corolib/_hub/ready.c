/* The ready queue. */
#include "ready.h"

static int grow(struct ready *queue)
{
    size_t cap = queue->cap ? queue->cap * 2 : 64;
    PyObject **ring = PyMem_Malloc(cap * sizeof *ring);
    if (ring == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < queue->len; i++) ring[i] = queue->ring[(queue->head + i) & (queue->cap - 1)];
    PyMem_Free(queue->ring);
    queue->ring = ring;
    queue->cap = cap;
    queue->head = 0;
    return 0;
}

int ready_push(struct ready *queue, PyObject *entry)
{
    if (queue->len == queue->cap && grow(queue) < 0) return -1;
    queue->ring[(queue->head + queue->len++) & (queue->cap - 1)] = Py_NewRef(entry);
    return 0;
}

PyObject *ready_peek(const struct ready *queue)
{
    return queue->len == 0 ? NULL : queue->ring[queue->head & (queue->cap - 1)];
}

PyObject *ready_take(struct ready *queue)
{
    PyObject *entry = ready_peek(queue);
    if (entry == NULL) return NULL;
    queue->head++;
    queue->len--;
    return entry;
}

int ready_traverse(struct ready *queue, visitproc visit, void *arg)
{
    for (size_t i = 0; i < queue->len; i++) Py_VISIT(queue->ring[(queue->head + i) & (queue->cap - 1)]);
    return 0;
}

void ready_clear(struct ready *queue)
{
    PyObject *entry;
    /* An entry's end may run code that pushes again: take them one by one. */
    while ((entry = ready_take(queue)) != NULL) Py_DECREF(entry);
    PyMem_Free(queue->ring);
    *queue = (struct ready){0};
}
