/* Wake-ups from anywhere: everything that is queued comes through here, and a hub that blocks in its poll is
 * told.
 *
 * The ready queue is guarded by the GIL. `polling` is set with the GIL held once the loop has looked at its
 * queue for the last time, so whoever holds the GIL sees either a hub that will still look at it or one that
 * must be woken; there is nothing between. */
#include <Python.h>

#include <unistd.h>

#include "hub.h"

static void on_wakeup(struct ev_loop *loop, ev_async *watcher, int revents)
{
    /* Nothing to do: the loop looks at its queue after each poll. */
    (void)loop, (void)watcher, (void)revents;
}

int inbox_open(struct hub *hub)
{
    ev_async_init(&hub->wakeup, on_wakeup);
    /* libev aborts the process if it gets no descriptor for this, so we look first whether there are any. */
    int fds[2];
    if (pipe(fds) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    close(fds[0]);
    close(fds[1]);
    hub_ev->async_start(hub->loop, &hub->wakeup);
    hub_ev->unref(hub->loop);
    return 0;
}

void inbox_close(struct hub *hub)
{
    hub_ev->ref(hub->loop);
    hub_ev->async_stop(hub->loop, &hub->wakeup);
}

void inbox_kick(struct hub *hub)
{
    if (hub->polling) hub_ev->async_send(hub->loop, &hub->wakeup);
}

int inbox_push(struct hub *hub, PyObject *entry)
{
    if (ready_push(&hub->ready, entry) < 0) return -1;
    inbox_kick(hub);
    return 0;
}
