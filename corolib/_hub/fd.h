/* Readiness of descriptors. A side is one direction of one descriptor in one hub: its watcher stays
 * registered between waits (no epoll_ctl per wait); if an event finds nobody waiting the watcher is stopped
 * then. */
#ifndef COROLIB_HUB_FD_H
#define COROLIB_HUB_FD_H

#include "park.h"

struct fd_side {
    ev_io io;              /* first: libev hands back its address */
    struct hub *hub;       /* NULL once the hub is gone or the descriptor was closed */
    struct park *waiter;   /* who waits, or NULL */
    struct park *woken;    /* who has been woken and not run yet, or NULL: until then readiness is no news */
    struct fd_side *next;  /* other sides on the same number (hub->sides), or the next orphan */
    struct fd_side **link; /* what points here in that list; NULL when in none */
    /* For loop.io: called in libev's dispatch when there is no waiter, and with EV_ERROR when the descriptor
     * is closed; must not run Python code unless the hub is destroyed. NULL for sockets. */
    void (*event)(struct fd_side *, int revents);
    void *owner;  /* borrowed: for event() */
    bool started; /* the watcher is registered and does not count as a libev reference */
    bool once;    /* stop after each event: writability, which is nearly always there */
};

int fd_setup(void);
/* A side for `fd` (EV_READ and/or EV_WRITE) in this hub, on the heap, not started. NULL with MemoryError set.
 */
struct fd_side *fd_new(struct hub *, int fd, int events);
/* Stops and frees; a waiter gets EBADF "closed in another greenlet". Any thread; NULL is allowed. */
void fd_free(struct fd_side *);
/* Registers the watcher if it is not: 0, or -1 with an exception (the number is closed). */
int fd_start(struct fd_side *);
/* Whether a side that is not ready for a wait can be made so: 0, or -1 with an exception. */
int fd_prepare(struct fd_side *, const struct hub *);
/* What a waiter is woken with when there is no event and none to come; owned. */
extern PyObject *fd_closed, *fd_refused;
/* Raises what one of these (stolen) stands for; NULL. */
PyObject *fd_raise(PyObject *value);
extern const struct park_kind fd_kind;
/* Parks until ready: new reference to an int of events, hub_timed_out, or NULL with an exception
 * (ConcurrentObjectUseError if somebody waits already). `hub` is the calling thread's, and must be the
 * side's. `object` is for reports. */
static inline PyObject *fd_wait(struct hub *hub, struct fd_side *side, PyObject *object, double timeout)
{
    struct park *park = park_begin_in(hub);
    if (park == NULL) return NULL;
    if (side->hub != hub || !side->started || side->waiter != NULL)
        if (fd_prepare(side, hub) < 0) return NULL;
    side->waiter = park;
    park->where = side;
    PyObject *events = park_wait(park, &fd_kind, object, timeout);
    /* The side may be gone by now. Only if it has woken us, and is still there, does the record name it. */
    side = (struct fd_side *)park->where;
    if (side != NULL) side->woken = NULL;
    return events != fd_closed && events != fd_refused ? events : fd_raise(events);
}
void fd_stop(struct fd_side *);
/* The number is about to be closed: EBADF to its waiters, its watchers stop. How many sides. Own thread. */
Py_ssize_t fd_closing(struct hub *, int fd);
/* Before each poll: frees what other threads dropped, and sorts out numbers that were closed behind our back.
 */
void fd_verify(struct hub *);
void fd_abandon(struct hub *);
/* The two halves of moving to another loop of libev's (loop_leave, loop_enter): what is started stays so. */
void fd_leave(struct hub *);
void fd_enter(struct hub *);

#endif
