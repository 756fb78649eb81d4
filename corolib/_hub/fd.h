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

/* A side for `fd` (EV_READ and/or EV_WRITE) in this hub, on the heap, not started. NULL with MemoryError set.
 */
struct fd_side *fd_new(struct hub *, int fd, int events);
/* Stops and frees; a waiter gets EBADF "closed in another greenlet". Any thread; NULL is allowed. */
void fd_free(struct fd_side *);
/* Parks until ready: new reference to an int of events, hub_timed_out, or NULL with an exception
 * (ConcurrentObjectUseError if somebody waits already). Must be the calling thread's hub. `object` is for
 * reports. */
PyObject *fd_wait(struct fd_side *, PyObject *object, double timeout);
/* Registers the watcher if it is not: 0, or -1 with an exception (the number is closed). */
int fd_start(struct fd_side *);
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
