/* The ready queue. */
#include "ready.h"

int ready_grow(struct ready *queue)
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

/* The generator is splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators"):
 * every seed will do, and 64 bits of state are all there is to replay. */
static uint64_t draw(struct ready *queue)
{
    uint64_t z = queue->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* The one place where order is decided: brings what is to be next to the head. If it falls on an entry that
 * keeps its turn, the head is next, which no rule forbids; so nobody waits for ever either. */
void ready_choose(struct ready *queue)
{
    size_t mask = queue->cap - 1, place = draw(queue) % queue->len;
    PyObject *entry = queue->ring[(queue->head + place) & mask];
    queue->chosen = true;
    if (place == 0 || queue->in_turn(entry)) return;
    for (; place > 0; place--)
        queue->ring[(queue->head + place) & mask] = queue->ring[(queue->head + place - 1) & mask];
    queue->ring[queue->head & mask] = entry;
}

void ready_shuffle(struct ready *queue, uint64_t seed, bool (*in_turn)(PyObject *entry))
{
    queue->random = seed;
    queue->in_turn = in_turn;
    queue->chosen = false;
}

void ready_in_order(struct ready *queue)
{
    queue->in_turn = NULL;
    queue->chosen = false;
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
