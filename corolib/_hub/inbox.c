/* Wake-ups from anywhere: everything that is queued comes through here, and a hub that blocks in its poll is
 * told.
 *
 * The ready queue is guarded by the GIL. `polling` is set with the GIL held once the loop has looked at its
 * queue for the last time, so whoever holds the GIL sees either a hub that will still look at it or one that
 * must be woken; there is nothing between.
 *
 * The descriptor is ours and not that of a watcher of libev's for other threads (ev_async), so that we know
 * its number: see lost.c. */
#include <Python.h>

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hub.h"

static void on_wakeup(struct ev_loop *loop, ev_io *watcher, int revents)
{
    (void)revents;
    struct hub *hub = hub_ev->userdata(loop);
    uint64_t count;
    /* The loop looks at its queue after each poll; what there is to do here is to be quiet again. */
    if (read(watcher->fd, &count, sizeof count) < 0 && errno != EAGAIN) hub->lost = true;
    hub->kicked = false;
}

int inbox_descriptor(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) PyErr_SetFromErrno(PyExc_OSError);
    return fd;
}

void inbox_enter(struct hub *hub, int fd)
{
    hub->kicked = false;
    ev_io_init(&hub->wakeup, on_wakeup, fd, EV_READ);
    hub_ev->io_start(hub->loop, &hub->wakeup);
    hub_ev->unref(hub->loop);
}

int inbox_open(struct hub *hub)
{
    int fd = inbox_descriptor();
    if (fd < 0) return -1;
    inbox_enter(hub, fd);
    return 0;
}

void inbox_leave(struct hub *hub)
{
    if (!hub->wakeup.active) return;
    hub_ev->ref(hub->loop);
    hub_ev->io_stop(hub->loop, &hub->wakeup);
}

void inbox_close(struct hub *hub)
{
    if (!hub->wakeup.active) return;
    inbox_leave(hub);
    close(hub->wakeup.fd);
}

void inbox_write(struct hub *hub)
{
    hub->kicked = true;
    /* Nothing can be done about a failure: the poll ends by itself, or by the error that this is one of. */
    if (write(hub->wakeup.fd, &(uint64_t){1}, sizeof(uint64_t)) < 0) hub->lost = true;
}
