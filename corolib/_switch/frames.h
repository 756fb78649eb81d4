/* Floor 2, CPython 3.12 and later: interpreter frames that lie on the C stack.
 *
 * Since 3.12 each run of the evaluation loop keeps an entry frame on the C stack and links it between the
 * Python frame it runs and that frame's caller. While a greenlet is evicted, its C stack memory belongs to
 * somebody else, but its Python frames may still be walked (f_back, tracebacks, a sampling tool). So at
 * eviction the links that lead into the slice are made to skip it, and at loading they are put back, because
 * the evaluation loop returns through them.
 *
 * Which frames to skip is decided by address, not by the owner field: owners were renumbered in 3.14,
 * and 3.15 has a frame with the same owner that must stay. */
#ifndef COROLIB_SWITCH_FRAMES_H
#define COROLIB_SWITCH_FRAMES_H

#define FRAMES_HIDDEN __attribute__((visibility("hidden")))

/* The first two words of struct _PyInterpreterFrame, the same on 3.12 to 3.15. */
struct frames_head {
    void *code;
    struct frames_head *previous;
};

struct frames_link {
    struct frames_head *frame;    /* in the data stack or in a generator */
    struct frames_head *previous; /* what its link was: on the C stack */
};

/* The links taken out of one evicted greenlet. */
struct frames_links {
    struct frames_link *items;
    unsigned count, room;
};

/* Make the chain from `first` skip what lies in [low, top). 0, or -1 with no memory and nothing changed. */
FRAMES_HIDDEN int frames_unlink(struct frames_links *links, void *first, const char *low, const char *top);

/* Undo frames_unlink. */
FRAMES_HIDDEN void frames_relink(struct frames_links *links);

FRAMES_HIDDEN void frames_forget(struct frames_links *links);

/* For a checking build: a chain without a hole, of frames whose owner (a byte at this offset) can be. */
FRAMES_HIDDEN void frames_check(const void *first, unsigned offset, unsigned char greatest);

#endif
