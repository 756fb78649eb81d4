/* Floor 4: the end of a suspended greenlet that nobody needs any more: its last reference was dropped, or the
 * collector has found it. GreenletExit is thrown into it, in its own thread and not in the middle of a
 * collection; until that can be, it waits in a ring of its thread, `doomed`. */
#ifndef COROLIB_SWITCH_REAPER_H
#define COROLIB_SWITCH_REAPER_H

#include "switch.h"

#define REAPER_HIDDEN __attribute__((visibility("hidden")))

/* Throw GreenletExit into a suspended greenlet that nobody refers to any more, or leave that to its thread.
 * `found`: by the collector, so its own frames may still refer to it; it is ended when the collection is
 * over, or by the next switch of its thread. */
REAPER_HIDDEN void reaper_kill(struct greenlet *greenlet, bool found);

/* A collection begins or ends in the current greenlet of this thread. Its lists have their heads on the C
 * stack, and the objects in them lead there: until it ends that stack must not be copied away, even if a
 * destructor that it runs switches. */
REAPER_HIDDEN void reaper_collecting(bool begins);

/* Set thread_reap. */
REAPER_HIDDEN void reaper_init(void);

#endif
