/* One heap of (deadline, sequence) per hub: sleeps, wait timeouts and timers. Equal deadlines fire in the
 * order they were added. Knows nothing of greenlets: a node carries what to do. */
#ifndef COROLIB_HUB_DEADLINE_H
#define COROLIB_HUB_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A node lives in the record or object it belongs to (never on the stack of a greenlet that parks). */
struct deadline {
    ptrdiff_t index;                 /* place in the heap, -1 when it is in none; owned by deadline.c */
    void (*fire)(struct deadline *); /* called once, after the node was taken out of the heap */
};

/* The key is kept beside the pointer, so that sifting reads the heap's own memory only. */
struct deadline_slot {
    double at; /* seconds on the hub's clock */
    uint64_t order;
    struct deadline *node;
};

struct deadline_heap {
    struct deadline_slot *slots;
    ptrdiff_t len, cap;
    uint64_t order; /* sequence of the next node */
};

/* The clock of all deadlines: CLOCK_MONOTONIC in seconds. */
double deadline_clock(void);
void deadline_init(struct deadline *node, void (*fire)(struct deadline *));
void deadline_free(struct deadline_heap *heap);
static inline bool deadline_active(const struct deadline *node)
{
    return node->index >= 0;
}
/* -1 if there is no memory (no Python error is set); the node must not be active. */
int deadline_add(struct deadline_heap *heap, struct deadline *node, double at);
/* Nothing if it is not active. */
void deadline_remove(struct deadline_heap *heap, struct deadline *node);
/* When an active node is due. */
double deadline_at(const struct deadline_heap *heap, const struct deadline *node);
/* Fires what is due at `now`, in order; what those add is not fired in the same call unless it is due too. */
void deadline_fire(struct deadline_heap *heap, double now);

#endif
