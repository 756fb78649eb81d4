/* Deadlines in two parts of one array. What is due soon (by the horizon or before) is a heap: four children
 * to a node, so that a path is half as long as in a binary heap and the four keys compared lie in two cache
 * lines. What is due later stands behind it in no order: adding and removing there touches one or two slots,
 * whatever the number. Most time limits are set and dropped without ever having come near, and pay no more
 * than that.
 *
 *      slots:   [0, near)     heap: due by `horizon`
 *               [near, len)   due later, in no order; none of them before `far_from`
 *
 * gather() moves the horizon ahead, once something behind it may be due, and by so much that looking through
 * all that is far costs a fixed small share of the time till the next look. */
#include "deadline.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#define ARITY 4
/* How far gather() moves the horizon past now: so many seconds, and more where there is more to look through.
 * A look at one slot takes one or two nanoseconds, so the share of the time is 0.2 % at the most. */
#define SPAN_LEAST 1e-3
#define SPAN_EACH 1e-6

static void (*const due[])(struct deadline *) = {
    [DEADLINE_PARK] = park_due, [DEADLINE_GREEN] = green_due, [DEADLINE_TIMER] = timer_due};

double deadline_machine(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void deadline_set_clock(struct deadline_heap *heap, double now, bool stopped)
{
    double shift = now - deadline_now(heap);
    /* All by the same, so the order stays. */
    for (ptrdiff_t i = 0; i < heap->len; i++) heap->slots[i].at += shift;
    heap->horizon += shift;
    heap->far_from += shift;
    heap->clock.shown = stopped ? now : now - deadline_machine();
    heap->clock.stopped = stopped;
}

void deadline_open(struct deadline_heap *heap)
{
    *heap = (struct deadline_heap){.horizon = -INFINITY, .far_from = INFINITY};
}

void deadline_init(struct deadline *node, enum deadline_kind kind)
{
    node->index = -1;
    node->kind = kind;
}

void deadline_free(struct deadline_heap *heap)
{
    for (ptrdiff_t i = 0; i < heap->len; i++) heap->slots[i].node->index = -1;
    free(heap->slots);
    deadline_open(heap);
}

static inline bool before(const struct deadline_slot *a, const struct deadline_slot *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static inline void place(struct deadline_heap *heap, ptrdiff_t i, struct deadline_slot slot)
{
    heap->slots[i] = slot;
    slot.node->index = (int32_t)i;
}

static void sift_up(struct deadline_heap *heap, ptrdiff_t i, struct deadline_slot slot)
{
    while (i > 0) {
        ptrdiff_t parent = (i - 1) / ARITY;
        if (!before(&slot, &heap->slots[parent])) break;
        place(heap, i, heap->slots[parent]);
        i = parent;
    }
    place(heap, i, slot);
}

static void sift_down(struct deadline_heap *heap, ptrdiff_t i, struct deadline_slot slot)
{
    for (;;) {
        ptrdiff_t child = i * ARITY + 1, end = child + ARITY;
        if (child >= heap->near) break;
        if (end > heap->near) end = heap->near;
        ptrdiff_t least = child;
        while (++child < end)
            if (before(&heap->slots[child], &heap->slots[least])) least = child;
        if (!before(&heap->slots[least], &slot)) break;
        place(heap, i, heap->slots[least]);
        i = least;
    }
    place(heap, i, slot);
}

/* Into the heap, at its end; the slot there must be free. */
static inline void push(struct deadline_heap *heap, struct deadline_slot slot)
{
    sift_up(heap, heap->near++, slot);
}

static void gather(struct deadline_heap *heap, double now)
{
    double span = SPAN_EACH * (double)(heap->len - heap->near);
    heap->horizon = now + (span > SPAN_LEAST ? span : SPAN_LEAST);
    heap->far_from = INFINITY;
    for (ptrdiff_t i = heap->near; i < heap->len; i++) {
        struct deadline_slot slot = heap->slots[i];
        if (slot.at > heap->horizon) {
            if (slot.at < heap->far_from) heap->far_from = slot.at;
            continue;
        }
        if (i > heap->near) place(heap, i, heap->slots[heap->near]); /* looked at before */
        push(heap, slot);
    }
}

int deadline_add(struct deadline_heap *heap, struct deadline *node, double at)
{
    if (heap->len == INT32_MAX) return -1;
    if (heap->len == heap->cap) {
        ptrdiff_t cap = heap->cap ? heap->cap * 2 : 16;
        struct deadline_slot *slots = realloc(heap->slots, (size_t)cap * sizeof *slots);
        if (slots == NULL) return -1;
        heap->slots = slots;
        heap->cap = cap;
    }
    struct deadline_slot slot = {at, heap->order++, node};
    ptrdiff_t end = heap->len++;
    if (at > heap->horizon) {
        place(heap, end, slot);
        if (at < heap->far_from) heap->far_from = at;
    } else {
        if (end > heap->near) place(heap, end, heap->slots[heap->near]);
        push(heap, slot);
    }
    return 0;
}

void deadline_remove(struct deadline_heap *heap, struct deadline *node)
{
    ptrdiff_t i = node->index;
    if (i < 0) return;
    node->index = -1;
    if (i < heap->near) {
        struct deadline_slot last = heap->slots[--heap->near];
        /* The last one of the heap takes the hole; it may belong above or below it. */
        if (i < heap->near) {
            if (i > 0 && before(&last, &heap->slots[(i - 1) / ARITY]))
                sift_up(heap, i, last);
            else
                sift_down(heap, i, last);
        }
        i = heap->near;
    }
    if (i < --heap->len) place(heap, i, heap->slots[heap->len]);
    if (heap->len == heap->near) heap->far_from = INFINITY;
    /* Memory of a burst goes back, with room to spare so that a heap on the edge does not swing. */
    if (heap->cap > 1024 && heap->len < heap->cap / 8) {
        struct deadline_slot *slots = realloc(heap->slots, (size_t)(heap->cap / 4) * sizeof *slots);
        if (slots != NULL) {
            heap->slots = slots;
            heap->cap /= 4;
        }
    }
}

double deadline_at(const struct deadline_heap *heap, const struct deadline *node)
{
    return heap->slots[node->index].at;
}

double deadline_bound(const struct deadline_heap *heap)
{
    double nearest = heap->near > 0 ? heap->slots[0].at : INFINITY;
    return heap->far_from < nearest ? heap->far_from : nearest;
}

double deadline_next(struct deadline_heap *heap)
{
    while (heap->near < heap->len && (heap->near == 0 || heap->far_from < heap->slots[0].at))
        gather(heap, heap->far_from);
    return deadline_bound(heap);
}

void deadline_fire_due(struct deadline_heap *heap, double now)
{
    for (;;) {
        if (heap->far_from <= now) gather(heap, now);
        if (heap->near == 0 || heap->slots[0].at > now) return;
        struct deadline *node = heap->slots[0].node;
        deadline_remove(heap, node);
        due[node->kind](node);
    }
}
