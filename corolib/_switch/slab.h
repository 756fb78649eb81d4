/* Floor 1: memory for saved slices, which goes back to the system when the slices are gone. No Python here.
 *
 * A million parked greenlets are a million pieces of some 600 bytes. From malloc they come out of one heap
 * that only shrinks at its end: whatever else was allocated meanwhile holds all of it, and a quarter of what
 * the wave took stays with the process for good. So pieces are cut from slabs, each with pieces of one size:
 *
 *      slab, aligned to its size
 *      +------+---------+---------+---------+----   ----+
 *      | head | piece   | piece   | free -> | ...       |    untouched rest: costs nothing yet
 *      +------+---------+---------+---------+----   ----+
 *
 * and a slab without a piece in use is unmapped, but for a few that the next wave finds. A piece finds its
 * slab by its address, so there is no word in front of it: 672 bytes for a slice of 664 where malloc takes
 * 688.
 *
 * One pool for the process; everything here needs the GIL. */
#ifndef COROLIB_SWITCH_SLAB_H
#define COROLIB_SWITCH_SLAB_H

#include <stddef.h>

#define SLAB_HIDDEN __attribute__((visibility("hidden")))

#define SLAB_SIZE ((size_t)64 << 10)
/* Larger pieces come from malloc: they are few, as C code that takes a callback must be in the slice. */
#define SLAB_LARGEST ((size_t)4096)

/* Empty memory of SLAB_SIZE, aligned to its size; NULL with no memory. */
SLAB_HIDDEN void *slab_map(void);
SLAB_HIDDEN void slab_unmap(void *slab);

/* At least `size` bytes; *room becomes how many. NULL with no memory. */
SLAB_HIDDEN void *slab_take(size_t size, size_t *room);

/* Give it back; `room` as slab_take said. */
SLAB_HIDDEN void slab_give(void *piece, size_t room);

struct slab_stats {
    size_t out;     /* pieces in use that lie in slabs */
    unsigned slabs; /* mapped, with the empty ones */
    unsigned empty; /* kept for the next pieces, at most 1 MiB */
};
SLAB_HIDDEN struct slab_stats slab_stats(void);

#endif
