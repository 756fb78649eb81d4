/* Floor 1: lanes: choosing, evicting, loading, going. The picture and the invariants are in lane.h. */
#include "lane.h"

#include "check.h"
#include "slab.h"

#include <stdlib.h>
#include <string.h>

/* The copies need little; this leaves room for the frame walk, for malloc's hooks and for a signal's frame.
 */
#define SCRATCH_SIZE STACK_SIZE_MIN
/* What a lane keeps below its occupant after a deep call. */
#define KEEP ((size_t)64 << 10)
/* Looking for deep remains costs a system call, about as much as a whole short greenlet: do it rarely. */
#define TRIM_EVERY 64u
#define TRIM_EVICTIONS 4096u
/* Copying a slice back in costs some 40 ns, a new lane two or three page faults, about 2 us: it pays when it
 * would have saved this many copies. */
#define GROW_AFTER 64u
/* Pinned lanes kept for reuse. A hub or two per thread is usual. */
#define SPARES 4u

void lanes_init(struct lanes *set, struct lane_guest *native, void (*entry)(void))
{
    memset(set, 0, sizeof *set);
    set->entry = entry;
    set->native.occupant = native;
    set->native.native = true;
    SANITIZE_NATIVE(&set->native.stack.low, &set->native.stack.top);
    native->lane = &set->native;
}

static void unmap_list(struct lane *lane)
{
    while (lane != NULL) {
        struct lane *next = lane->next;
        stack_unmap(&lane->stack);
        free(lane);
        lane = next;
    }
}

void lanes_fini(struct lanes *set)
{
    for (unsigned i = 0; i < set->count; i++) {
        stack_unmap(&set->all[i]->stack);
        free(set->all[i]);
    }
    free(set->all);
    unmap_list(set->spare);
    if (set->scratch.low != NULL) stack_unmap(&set->scratch);
    memset(set, 0, sizeof *set);
}

/* A checking build keeps a known word at the bottom of each lane and some at the top, where a guest's first
 * frame begins. They are part of every slice, so copies are checked as well. */
#ifdef COROLIB_CHECK
#define CANARY UINT64_C(0x5ca1ab1ec0de5a1e)
#define CANARIES 8u
#else
#define CANARIES 0u
#endif

/* Where a guest's first frame begins. */
static char *bottom(const struct lane *lane)
{
    return lane->stack.top - CANARIES * sizeof(uint64_t);
}

static void plant_low(const struct lane *lane)
{
#ifdef COROLIB_CHECK
    *(uint64_t *)lane->stack.low = CANARY;
#else
    (void)lane;
#endif
}

static void plant(const struct lane *lane)
{
    plant_low(lane);
#ifdef COROLIB_CHECK
    for (uint64_t *word = (uint64_t *)bottom(lane); word < (uint64_t *)lane->stack.top; word++)
        *word = CANARY;
#endif
}

void lane_check(const struct lane_guest *guest)
{
#ifdef COROLIB_CHECK
    const struct lane *lane = guest->lane;
    CHECK(lane->occupant == guest);
    if (lane->native) return;
    CHECK(*(uint64_t *)lane->stack.low == CANARY);
    for (const uint64_t *word = (const uint64_t *)bottom(lane); word < (const uint64_t *)lane->stack.top;
         word++)
        CHECK(*word == CANARY);
#else
    (void)guest;
#endif
}

/* What a guest was before it is copied in again must not matter. */
static void scribble(const struct lane_guest *guest)
{
    if (CHECK_FORCED(evict) || CHECK_FORCED(scratch))
        SANITIZE_SCRIBBLE(guest->sp, (size_t)(guest->lane->stack.top - (char *)guest->sp));
}

static struct lane *new_lane(size_t least)
{
    struct lane *lane = check_alloc_fails() ? NULL : calloc(1, sizeof *lane);
    if (lane != NULL && stack_map(&lane->stack, STACK_SIZE, least) < 0) {
        free(lane);
        lane = NULL;
    }
    if (lane != NULL) plant(lane);
    return lane;
}

static struct lane *choose_pinned(struct lanes *set)
{
    struct lane *lane = set->spare;
    if (lane != NULL) {
        set->spare = lane->next;
        set->spares--;
        lane->next = NULL;
    } else if ((lane = new_lane(STACK_SIZE_MIN)) != NULL)
        lane->pinned = true;
    if (lane != NULL) set->pinned++;
    return lane;
}

static bool may_grow(const struct lanes *set)
{
    if (set->count >= LANE_START && set->reloads - set->grown < GROW_AFTER) return false;
    return set->count < set->limit;
}

static bool is_held(const struct lane_guest *occupant)
{
    return occupant != NULL && occupant->held;
}

static struct lane *choose(struct lanes *set, const struct lane_guest *from, unsigned limit)
{
    struct lane *lane;

    /* A lane that somebody just left is warm in the caches. Lanes in the list may have got an occupant again
     * since, one that is bound to them: those leave the list here. */
    while ((lane = set->free) != NULL) {
        set->free = lane->next;
        lane->next = NULL;
        lane->listed = false;
        if (lane->occupant == NULL) return lane;
    }
    if (set->count == 0) {
        set->limit = limit != 0 ? limit : LANE_DEFAULT;
        set->all = check_alloc_fails() ? NULL : malloc(set->limit * sizeof *set->all);
        if (set->all == NULL) return NULL;
    }
    /* Where address space is short, one small lane has to do: more of them would take what is left from the
     * slices. */
    if (may_grow(set) && (lane = new_lane(set->count == 0 ? STACK_SIZE_MIN : STACK_SIZE)) != NULL) {
        set->grown = set->reloads;
        return set->all[set->count++] = lane;
    }
    if (set->count == 0) {
        free(set->all);
        set->all = NULL;
        return NULL;
    }
    /* Share a lane with a guest that is parked there. Not with the one that runs, if there is a choice:
     * leaving it would go through the scratch stack each time. */
    const struct lane *own = from->lane;
    for (unsigned i = 0; i < set->count; i++) {
        lane = set->all[set->cursor++ % set->count];
        if (lane != own && !is_held(lane->occupant)) return lane;
    }
    if (!own->native && !own->pinned && !from->held) return from->lane;
    return choose_pinned(set); /* all are held: one more, though it is not asked for */
}

static int make_room(struct lane_guest *guest, size_t size)
{
    size_t room;
    CHECK(size <= UINT32_MAX);
    /* Kept from one eviction to the next, since slices hardly change in size; but one deep call must not hold
     * its megabyte for ever. */
    if (guest->room >= size && (guest->room <= 16384 || guest->room / 4 <= size)) return 0;
    char *buffer = slab_take(size, &room);
    if (buffer == NULL) return guest->room >= size ? 0 : -1;
    lane_forget(guest);
    guest->saved = buffer;
    guest->room = (uint32_t)room;
    return 0;
}

/* Give back what a deep call has left on a lane, each in its turn. Nobody runs but the caller, on the lane of
 * `running`, whose sp is stale; or, at its end, at most KEEP deep on a lane without an occupant. */
static void trim_one(struct lanes *set, const struct lane_guest *running)
{
    if (set->count == 0) return;
    const struct lane *lane = set->all[set->trimmed++ % set->count];
    if (lane->occupant == running) return;
    size_t used = lane->occupant != NULL ? (size_t)(lane->stack.top - (char *)lane->occupant->sp) : 0;
    stack_trim(&lane->stack, used + KEEP);
    plant_low(lane);
}

static int save(struct lanes *set, struct lane_guest *guest)
{
    size_t size = (size_t)(lane_top(guest) - (char *)guest->sp);
    CHECK(guest != set->native.occupant && !guest->lane->pinned);
    if (make_room(guest, size) < 0) return -1;
    if (set->evicting != NULL && set->evicting(guest) < 0) return -1;
    SANITIZE_COPY(guest->saved, guest->sp, size);
    scribble(guest);
    guest->lane->occupant = NULL;
    set->evictions++;
    set->evicted_bytes += size;
    return 0;
}

/* Put the guest's bytes on its lane, which must be vacant. */
static void load(struct lanes *set, struct lane_guest *guest)
{
    struct lane *lane = guest->lane;
    CHECK_DEEP(lane->occupant == NULL);
    if (guest->sp == NULL) {
        SANITIZE_OPEN(bottom(lane) - ARCH_IMAGE, (size_t)(lane->stack.top - bottom(lane)) + ARCH_IMAGE);
        SANITIZE_CLEAN(lane->stack.low, (size_t)(lane->stack.top - lane->stack.low));
        plant(lane);
        guest->sp = arch_prepare(bottom(lane), set->entry);
    } else {
        size_t size = (size_t)(lane->stack.top - (char *)guest->sp);
        SANITIZE_OPEN(guest->sp, size);
        SANITIZE_CLEAN(guest->sp, size);
        SANITIZE_COPY(guest->sp, guest->saved, size);
        set->reloads++;
        if (set->loaded != NULL) set->loaded(guest);
    }
    lane->occupant = guest;
}

int lane_ready(struct lanes *set, struct lane_guest *from, struct lane_guest *to, unsigned limit)
{
    bool fresh = to->lane == NULL;
    if (fresh) {
        to->lane = to->pinned ? choose_pinned(set) : choose(set, from, limit);
        if (to->lane == NULL) return -1;
    }
    struct lane *lane = to->lane;
    if (CHECK_FORCED(scratch) && set->scratch.low == NULL &&
        stack_map(&set->scratch, SCRATCH_SIZE, SCRATCH_SIZE) < 0)
        goto failed;
    if (lane->occupant == to) {
        if (!CHECK_FORCED(evict) || lane->pinned || lane->native || to->held) return 0;
        if (save(set, to) < 0) return -1;
        load(set, to);
        return 0;
    }
    if (lane_held_up(to)) return LANE_HELD;
    if (lane->occupant == from) {
        /* We stand on it: the copies have to wait for lane_go. */
        if (set->scratch.low != NULL || stack_map(&set->scratch, SCRATCH_SIZE, SCRATCH_SIZE) == 0) return 0;
    } else if (lane->occupant == NULL) {
        load(set, to);
        return 0;
    } else if (save(set, lane->occupant) == 0) {
        load(set, to);
        if (set->evictions % TRIM_EVICTIONS == 0) trim_one(set, from);
        return 0;
    }
failed:
    if (fresh) to->lane = NULL;
    return -1;
}

struct trip {
    struct lanes *set;
    struct lane_guest *from, *to;
    int status;
};

/* Must, or shall by force, the one who leaves be copied out from the scratch stack? */
static bool leaves_by_scratch(const struct lane_guest *from)
{
    return CHECK_FORCED(scratch) && from->lane != NULL && !from->lane->pinned && !from->lane->native &&
           !from->held;
}

/* On the scratch stack: the lane that `from` has just left is ours to change. */
static void *exchange(void *argument)
{
    struct trip *trip = argument; /* lies in the slice of `from`: not to be touched once that is copied out */
    struct lane_guest *from = trip->from, *to = trip->to;
    struct lanes *set = trip->set;
    if ((to->lane->occupant == from || leaves_by_scratch(from)) && save(set, from) < 0) {
        trip->status = -1;
        return from->sp;
    }
    if (!lane_resident(to)) load(set, to);
    return to->sp;
}

SANITIZE_REAL_FRAME
int lane_go(struct lanes *set, struct lane_guest *from, struct lane_guest *to)
{
    if (lane_resident(to) && !leaves_by_scratch(from)) {
        lane_swap(from, to);
        return 0;
    }
    void *fake = NULL;
    struct trip trip = {set, from, to, 0};
    SANITIZE_LEAVE(&fake, from->lane == NULL, to->lane->stack.low,
                   (size_t)(to->lane->stack.top - to->lane->stack.low));
    arch_swap_through(&from->sp, set->scratch.top, exchange, &trip);
    SANITIZE_ARRIVE(fake);
    return trip.status;
}

void lane_release(struct lanes *set, struct lane_guest *guest)
{
    struct lane *lane = guest->lane;
    CHECK(lane->occupant == guest);
    lane->occupant = NULL;
    guest->lane = NULL;
    if (lane->pinned) {
        set->pinned--;
        if (set->spares == SPARES) {
            /* Not this one: it is still being stood on. */
            struct lane *other = set->spare;
            set->spare = other->next;
            set->spares--;
            stack_unmap(&other->stack);
            free(other);
        }
        lane->next = set->spare;
        set->spare = lane;
        set->spares++;
        return;
    }
    if (!lane->listed) {
        lane->next = set->free;
        set->free = lane;
        lane->listed = true;
    }
    if (++set->releases % TRIM_EVERY == 0) trim_one(set, guest);
}

void lane_abandon(struct lanes *set, struct lane_guest *guest)
{
    if (guest->held) guest->lane->stack = (struct stack){0};
    if (lane_resident(guest)) lane_release(set, guest);
    guest->lane = NULL;
    lane_forget(guest);
}

void lane_forget(struct lane_guest *guest)
{
    if (guest->saved == NULL) return;
    slab_give(guest->saved, guest->room);
    guest->saved = NULL;
    guest->room = 0;
}
