/* One collection of (deadline, sequence) per hub: sleeps, wait timeouts and timers. Equal deadlines fire in
 * the order they were added. Knows nothing of greenlets: the kind of a node says whose function is called
 * when it is due. */
#ifndef COROLIB_HUB_DEADLINE_H
#define COROLIB_HUB_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A node lives in the record or object it belongs to (never on the stack of a greenlet that parks). */
struct deadline {
    int32_t index; /* place in the array, -1 when it is in none; owned by deadline.c */
    int32_t kind;  /* enum deadline_kind: beside the place it takes no room, a pointer would */
};

/* Whose it is, and so which of these is called, once, after the node was taken out of the heap. */
enum deadline_kind { DEADLINE_PARK, DEADLINE_GREEN, DEADLINE_TIMER };
void park_due(struct deadline *);
void green_due(struct deadline *);
void timer_due(struct deadline *);

/* The key is kept beside the pointer, so that sifting reads the heap's own memory only. */
struct deadline_slot {
    double at; /* seconds on the hub's clock */
    uint64_t order;
    struct deadline *node;
};

/* What the deadlines of a hub are counted by: the machine's clock, or one that stands still until it is moved
 * (virtual.c). */
struct deadline_clock {
    double shown; /* stopped: what it shows. Running: how far ahead of the machine's it is, 0 but for tests */
    bool stopped;
};

struct deadline_heap {
    struct deadline_slot *slots; /* all of them, `len`: first the heap, then the rest (deadline.c) */
    ptrdiff_t near, len, cap;    /* `near`: the length of the heap */
    double horizon;              /* what is due later than this was not put into the heap */
    double far_from;             /* nothing behind the heap is due earlier */
    uint64_t order;              /* sequence of the next node */
    struct deadline_clock clock;
};

/* The machine's clock: CLOCK_MONOTONIC in seconds. */
double deadline_machine(void);
/* The clock of these deadlines, in seconds. Everything that is counted by a deadline asks here. */
static inline double deadline_now(const struct deadline_heap *heap)
{
    return heap->clock.stopped ? heap->clock.shown : deadline_machine() + heap->clock.shown;
}
/* Sets what the clock shows, stopped or running; all deadlines keep their distance from now. */
void deadline_set_clock(struct deadline_heap *heap, double now, bool stopped);
void deadline_open(struct deadline_heap *heap);
void deadline_init(struct deadline *node, enum deadline_kind kind);
void deadline_free(struct deadline_heap *heap);
static inline bool deadline_active(const struct deadline *node)
{
    return node->index >= 0;
}
/* -1 if there is no memory, or no index left (no Python error is set); the node must not be active. */
int deadline_add(struct deadline_heap *heap, struct deadline *node, double at);
/* Nothing if it is not active. */
void deadline_remove(struct deadline_heap *heap, struct deadline *node);
/* When an active node is due. */
double deadline_at(const struct deadline_heap *heap, const struct deadline *node);
/* Nothing is due before this (INFINITY: nothing at all). It may be too early by what was removed meanwhile.
 */
double deadline_bound(const struct deadline_heap *heap);
/* When the first is due (INFINITY: there is none). Takes a look at all of them now and then. */
double deadline_next(struct deadline_heap *heap);
/* Fires what is due at `now`, in order; what those add is not fired in the same call unless it is due too. */
void deadline_fire_due(struct deadline_heap *heap, double now);
static inline void deadline_fire(struct deadline_heap *heap, double now)
{
    if (heap->len > 0) deadline_fire_due(heap, now);
}

#endif
