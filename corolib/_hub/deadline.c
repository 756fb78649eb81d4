/* The deadline heap: four children to a node, so that a path is half as long as in a binary heap and the four
 * keys compared lie in two cache lines. */
#include "deadline.h"

#include <stdlib.h>
#include <time.h>

#define ARITY 4

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
    heap->clock.shown = stopped ? now : now - deadline_machine();
    heap->clock.stopped = stopped;
}

void deadline_init(struct deadline *node, void (*fire)(struct deadline *))
{
    node->index = -1;
    node->fire = fire;
}

void deadline_free(struct deadline_heap *heap)
{
    for (ptrdiff_t i = 0; i < heap->len; i++) heap->slots[i].node->index = -1;
    free(heap->slots);
    *heap = (struct deadline_heap){0};
}

static inline bool before(const struct deadline_slot *a, const struct deadline_slot *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static inline void place(struct deadline_heap *heap, ptrdiff_t i, struct deadline_slot slot)
{
    heap->slots[i] = slot;
    slot.node->index = i;
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
        if (child >= heap->len) break;
        if (end > heap->len) end = heap->len;
        ptrdiff_t least = child;
        while (++child < end)
            if (before(&heap->slots[child], &heap->slots[least])) least = child;
        if (!before(&heap->slots[least], &slot)) break;
        place(heap, i, heap->slots[least]);
        i = least;
    }
    place(heap, i, slot);
}

int deadline_add(struct deadline_heap *heap, struct deadline *node, double at)
{
    if (heap->len == heap->cap) {
        ptrdiff_t cap = heap->cap ? heap->cap * 2 : 16;
        struct deadline_slot *slots = realloc(heap->slots, (size_t)cap * sizeof *slots);
        if (slots == NULL) return -1;
        heap->slots = slots;
        heap->cap = cap;
    }
    struct deadline_slot slot = {at, heap->order++, node};
    sift_up(heap, heap->len++, slot);
    return 0;
}

void deadline_remove(struct deadline_heap *heap, struct deadline *node)
{
    ptrdiff_t i = node->index;
    if (i < 0) return;
    node->index = -1;
    struct deadline_slot last = heap->slots[--heap->len];
    if (i == heap->len) return;
    /* The last one takes the hole; it may belong above or below it. */
    if (i > 0 && before(&last, &heap->slots[(i - 1) / ARITY]))
        sift_up(heap, i, last);
    else
        sift_down(heap, i, last);
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

void deadline_fire(struct deadline_heap *heap, double now)
{
    while (heap->len > 0 && heap->slots[0].at <= now) {
        struct deadline *node = heap->slots[0].node;
        deadline_remove(heap, node);
        node->fire(node);
    }
}
