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
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hub.h"

/* In inbox_tell(), of this thread: whether it is in there, and the hub that it is going to wake (owned). */
static _Thread_local bool telling;
static _Thread_local PyObject *owed;
/* So many threads are about to write without the GIL: meanwhile no hub closes its descriptor. */
static _Atomic size_t writers;

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
    while (atomic_load(&writers) > 0) sched_yield(); /* they need no GIL for it */
    close(hub->wakeup.fd);
}

void inbox_write(struct hub *hub)
{
    hub->kicked = true;
    if (telling && owed == NULL) {
        owed = Py_NewRef(hub->self);
        return;
    }
    /* Nothing can be done about a failure: the poll ends by itself, or by the error that this is one of. */
    if (write(hub->wakeup.fd, &(uint64_t){1}, sizeof(uint64_t)) < 0) hub->lost = true;
}

static void write_without_gil(struct hub *hub)
{
    int fd = hub->wakeup.fd;
    ssize_t written;
    atomic_fetch_add(&writers, 1);
    Py_BEGIN_ALLOW_THREADS written = write(fd, &(uint64_t){1}, sizeof(uint64_t));
    atomic_fetch_sub(&writers, 1);
    Py_END_ALLOW_THREADS if (written < 0) hub->lost = true;
}

PyObject *inbox_tell(PyObject *function, PyObject *argument)
{
    if (telling) return PyObject_CallOneArg(function, argument);
    telling = true;
    PyObject *result = PyObject_CallOneArg(function, argument), *self = owed;
    telling = false;
    owed = NULL;
    if (self != NULL && hub_core(self)->wakeup.active) write_without_gil(hub_core(self));
    Py_XDECREF(self);
    return result;
}

/* In the child of a fork: there are no other threads. */
static void forget_writers(void)
{
    atomic_store(&writers, 0);
}

int inbox_setup(void)
{
    int error = pthread_atfork(NULL, NULL, forget_writers);
    if (error == 0) return 0;
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}
