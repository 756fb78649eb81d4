/* The table of libev functions that _ev hands to _hub.
 *
 * _ev is the only part that links libev. It fills one static table and tells its address as an integer
 * (corolib._ev.table_address()); _hub checks the sizes and versions below and calls through the pointers.
 * Both sides include the same <ev.h>, so struct layouts agree; the table is the proof. */
#ifndef COROLIB_EVAPI_H
#define COROLIB_EVAPI_H

#include <ev.h>
#include <stddef.h>

#define COROLIB_EVAPI_VERSION 3u

struct evapi {
    unsigned version; /* COROLIB_EVAPI_VERSION */
    unsigned size;    /* sizeof(struct evapi) */
    unsigned ev_major, ev_minor;
    unsigned sizeof_io, sizeof_timer;

    int (*run)(struct ev_loop *, int flags);
    void (*loop_fork)(struct ev_loop *);
    void (*ref)(struct ev_loop *);
    void (*unref)(struct ev_loop *);
    void (*now_update)(struct ev_loop *);
    unsigned (*pending_count)(struct ev_loop *);
    void (*set_release)(struct ev_loop *, void (*release)(struct ev_loop *),
                        void (*acquire)(struct ev_loop *));
    void (*set_userdata)(struct ev_loop *, void *);
    void *(*userdata)(struct ev_loop *);

    void (*io_start)(struct ev_loop *, ev_io *);
    void (*io_stop)(struct ev_loop *, ev_io *);
    void (*timer_start)(struct ev_loop *, ev_timer *);
    void (*timer_stop)(struct ev_loop *, ev_timer *);
    void (*timer_again)(struct ev_loop *, ev_timer *);

    /* The error with which the last poll of the calling thread has failed, and forgets it; 0 if it has not.
     */
    int (*take_error)(void);
    /* The number of the loop's epoll; -1 if it polls by other means. */
    int (*epoll_fd)(struct ev_loop *);
};

#endif
