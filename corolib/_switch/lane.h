/* Floor 1: lanes: which bytes live on which stack. No Python here.
 *
 * A thread has a few full-size stacks, its lanes, and any number of guests (greenlets) that run on them. A
 * guest is bound to one lane from its start to its end, because its frames hold pointers into that lane. A
 * lane has at most one occupant: the guest whose bytes lie on it now. All other guests bound to the lane are
 * evicted: their used slice [sp, top) lies in a buffer of their own.
 *
 *      lane 0   [..........AAAA]     A is the occupant, parked or running
 *      lane 1   [............BB]     B is the occupant;   C->saved = [CCCCC], bound to lane 1 too
 *      native   [ ... MMMMMMMMM]     the thread's own stack; its guest is never evicted
 *
 * Going to an occupant costs a swap of registers, however deep it is. Going to an evicted guest costs two
 * copies of (usually) less than a kilobyte. If the lane to be changed is the one we stand on, the copies are
 * made from a small scratch stack.
 *
 * Invariants:
 *   lane->occupant is NULL, or a guest whose guest->lane is that lane;
 *   a started guest is either the occupant of its lane or has its slice in `saved`;
 *   a pinned guest's lane has no other guest, so it is always the occupant;
 *   a held guest that is the occupant of its lane stays so, and whoever needs that lane has to wait;
 *   the guest that runs is the occupant of its lane. */
#ifndef COROLIB_SWITCH_LANE_H
#define COROLIB_SWITCH_LANE_H

#include "arch.h"
#include "sanitize.h"
#include "stack.h"

#include <stdbool.h>
#include <stdint.h>

#define LANE_HIDDEN __attribute__((visibility("hidden")))

/* A thread makes lanes as it needs them: up to LANE_START as soon as a greenlet would have to share one, and
 * from there to the limit only while greenlets keep coming back to lanes that others have taken meanwhile.
 * Greenlets that only park, however many, never make it grow. More than the hot set does not help (cache and
 * TLB reach), see README.md. */
#define LANE_START 64
#define LANE_DEFAULT 256
#define LANE_MAX 65536

struct lane_guest;

struct lane {
    struct stack stack;
    struct lane_guest *occupant; /* whose bytes lie on the stack */
    struct lane *next;           /* in `free` or `spare` of the set */
    bool listed;                 /* is in `free`; an occupant may have come back to it meanwhile */
    bool pinned;                 /* belongs to one guest, not counted in the set's limit */
    bool native;                 /* the thread's own stack */
};

/* Embedded in each greenlet. */
struct lane_guest {
    void *sp;          /* where it is parked; NULL before the start. Stale while it runs */
    struct lane *lane; /* NULL before the start and after the end */
    char *saved;       /* buffer for the slice; kept between evictions */
    uint32_t room;     /* its size */
    bool pinned;       /* wants a lane of its own; set before the start */
    bool held;         /* must not be evicted for now: something outside points into its stack */
};

/* One per thread. */
struct lanes {
    struct lane native; /* stands for the thread's own stack; `stack` is empty */
    struct lane **all;  /* the lanes that are shared, `count` of them */
    struct lane *free;  /* left by finished guests, the warmest first */
    struct lane *spare; /* pinned lanes without a guest, kept for the next one */
    unsigned count;
    unsigned limit;                    /* most lanes `all` may have; fixed with the first lane */
    uint64_t reloads;                  /* slices copied back in */
    uint64_t grown;                    /* `reloads` when a lane was last added beyond LANE_START */
    unsigned trimmed;                  /* where the search for deep remains goes on */
    unsigned spares;                   /* length of `spare` */
    unsigned cursor;                   /* where the search for a lane to share goes on */
    unsigned releases;                 /* every so many, and every so many evictions, a lane is looked at */
    unsigned pinned;                   /* pinned lanes in use */
    struct stack scratch;              /* for the copies on the lane we stand on; made when first needed */
    uint64_t evictions, evicted_bytes; /* for stats() */
    void (*entry)(void);               /* what a fresh guest runs */
    /* Called before a guest's slice [sp, top) is copied out (may fail with -1: no memory) and after it came
     * back: frames of the interpreter point into it. NULL in plain C tests. */
    int (*evicting)(struct lane_guest *guest);
    void (*loaded)(struct lane_guest *guest);
};

/* `native` is the guest that runs on the thread's own stack. limit 0 means LANE_DEFAULT. */
LANE_HIDDEN void lanes_init(struct lanes *set, struct lane_guest *native, void (*entry)(void));

/* Unmaps everything. All guests but the native one must have been released or abandoned. */
LANE_HIDDEN void lanes_fini(struct lanes *set);

/* Make all ready for a swap from `from` (the guest that runs) to `to`: choose a lane for a fresh guest, evict
 * an occupant, load the slice. Nothing has moved yet when it returns. 0; or, with nothing changed, -1: no
 * memory, or LANE_HELD: the occupant of the lane that `to` is bound to is held. */
#define LANE_HELD (-2)
LANE_HIDDEN int lane_ready(struct lanes *set, struct lane_guest *from, struct lane_guest *to, unsigned limit);

/* The swap, after lane_ready. 0 when somebody comes back to `from`; -1 if nothing happened because the slice
 * of `from` could not be saved. Never fails, and never returns, if `from` was released. */
LANE_HIDDEN int lane_go(struct lanes *set, struct lane_guest *from, struct lane_guest *to);

/* `guest` has ended: its lane is free for others. It may still be standing on it, for the time of one
 * lane_go. */
LANE_HIDDEN void lane_release(struct lanes *set, struct lane_guest *guest);

/* `guest` is parked and will never run again. If it is held, its lane's memory is never given back. */
LANE_HIDDEN void lane_abandon(struct lanes *set, struct lane_guest *guest);

/* Free the guest's buffer. It must not be parked, or never be switched to again. */
LANE_HIDDEN void lane_forget(struct lane_guest *guest);

/* True if a plain arch_swap leads to the guest. */
static inline bool lane_resident(const struct lane_guest *guest)
{
    return guest->lane->occupant == guest;
}

/* True if the lane that a guest is bound to belongs to another one for now. */
static inline bool lane_held_up(const struct lane_guest *guest)
{
    const struct lane *lane = guest->lane;
    return lane != NULL && lane->occupant != NULL && lane->occupant != guest && lane->occupant->held;
}

/* The swap to a resident guest, as it stands in the fast path of switch.c. */
static inline void lane_swap(struct lane_guest *from, const struct lane_guest *to)
{
    void *fake = NULL;
    SANITIZE_LEAVE(&fake, from->lane == NULL, to->lane->stack.low,
                   (size_t)(to->lane->stack.top - to->lane->stack.low));
    arch_swap(&from->sp, to->sp);
    SANITIZE_ARRIVE(fake);
}

/* The first thing that a fresh guest does on its stack. */
static inline void lane_begin(void)
{
    SANITIZE_ARRIVE(NULL);
}

/* A checking build looks for overwritten memory at both ends of the lane that a guest stands on. */
LANE_HIDDEN void lane_check(const struct lane_guest *guest);

/* One past the highest byte of the guest's slice. */
static inline char *lane_top(const struct lane_guest *guest)
{
    return guest->lane->stack.top;
}

#endif
