/* Readiness of descriptors, and the Python type io over it (`hub.loop.io`).
 *
 * A read watcher stays registered from one wait to the next: no epoll_ctl per wait. Readiness is
 * level-triggered, so an event that finds nobody waiting stops the watcher, at the cost of one wasted
 * wake-up; without that the loop would spin. While the one who was woken has not run yet, the same event
 * comes again with each poll; that is no reason to stop. A write watcher is stopped after each event, since a
 * socket is writable nearly always.
 *
 * The hub's thread alone touches libev. A side that another thread drops is cut off (its waiter woken, its
 * callback forgotten) and left in hub->orphans for the loop to stop and free. */
#include "fd.h"

#include <errno.h>
#include <fcntl.h>

static bool own_thread(const struct hub *hub)
{
    return hub->thread_ident == PyThread_get_thread_ident();
}

/* What a waiter is woken with, all owned: the events as an int, or why there are none. */
static PyObject *seen[(EV_READ | EV_WRITE) + 1];
PyObject *fd_closed, *fd_refused;

PyObject *fd_raise(PyObject *value)
{
    const char *text = value == fd_closed
                           ? "the descriptor was closed while a greenlet waited for it"
                           : "the kernel refuses to watch the descriptor (fs.epoll.max_user_watches?)";
    PyObject *error = PyObject_CallFunction(PyExc_OSError, "is", value == fd_closed ? EBADF : ENOSPC, text);
    Py_DECREF(value);
    if (error != NULL) PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_XDECREF(error);
    return NULL;
}

static void unlink_side(struct fd_side *side)
{
    if (side->link == NULL) return;
    *side->link = side->next;
    if (side->next != NULL) side->next->link = side->link;
    side->next = NULL;
    side->link = NULL;
}

static void link_side(struct fd_side **head, struct fd_side *side)
{
    side->next = *head;
    side->link = head;
    if (*head != NULL) (*head)->link = &side->next;
    *head = side;
}

static int reserve(struct hub *hub, int fd)
{
    if (fd < hub->sides_len) return 0;
    Py_ssize_t len = hub->sides_len ? hub->sides_len : 64;
    while (len <= fd) len *= 2;
    struct fd_side **sides = PyMem_Calloc((size_t)len, sizeof *sides);
    if (sides == NULL) return -1;
    for (Py_ssize_t i = 0; i < hub->sides_len; i++)
        if ((sides[i] = hub->sides[i]) != NULL) sides[i]->link = &sides[i]; /* heads have moved */
    PyMem_Free(hub->sides);
    hub->sides = sides;
    hub->sides_len = len;
    return 0;
}

/* libev takes a change to the kernel at the next poll, and aborts the process if the number has been closed
 * by then (in builds with assertions, such as Debian's). So each changed number is looked at before that. */
static int note_change(struct hub *hub, int fd)
{
    if (hub->changed_len > 0 && hub->changed[hub->changed_len - 1] == fd) return 0;
    if (hub->changed_len == hub->changed_cap) {
        Py_ssize_t cap = hub->changed_cap ? hub->changed_cap * 2 : 64;
        int *changed = PyMem_Realloc(hub->changed, (size_t)cap * sizeof *changed);
        if (changed == NULL) return -1;
        hub->changed = changed;
        hub->changed_cap = cap;
    }
    hub->changed[hub->changed_len++] = fd;
    return 0;
}

static bool has_started(const struct fd_side *side)
{
    for (; side != NULL; side = side->next)
        if (side->started) return true;
    return false;
}

void fd_stop(struct fd_side *side)
{
    if (!side->started) return;
    side->started = false;
    note_change(side->hub, side->io.fd); /* no memory for the note: only the check is lost */
    hub_ev->ref(side->hub->loop);
    hub_ev->io_stop(side->hub->loop, &side->io);
}

/* The waiter is woken with no event at all, and makes the error itself: to make it here might run the
 * collector, and any Python code in the middle of our lists; and an error that never arrives, since the
 * waiter was thrown out of its wait, would be raised in its next one. */
static void wake_with(struct fd_side *side, PyObject *value)
{
    if (side->woken != NULL) side->woken->where = NULL; /* the side may be gone when it runs */
    side->woken = NULL;
    if (side->waiter != NULL && park_wake(side->waiter, value) < 0) PyErr_WriteUnraisable(NULL);
}

/* libev's callback: queues, never switches. */
static void on_io(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct fd_side *side = (struct fd_side *)watcher;
    if (revents & EV_ERROR) {
        /* The kernel would not have it, and libev has stopped the watcher, which took a reference that we
         * had given back already. It does not tell the error. */
        side->started = false;
        hub_ev->ref(loop);
        /* Marks it as new: libev has noted what it wanted to register, and would not try again. */
        ev_io_set(watcher, watcher->fd, watcher->events);
        wake_with(side, fcntl(watcher->fd, F_GETFD) < 0 ? fd_closed : fd_refused);
        if (side->event != NULL) side->event(side, revents);
        return;
    }
    if (side->waiter != NULL) {
        struct park *waiter = side->waiter;
        if (park_wake(waiter, seen[revents & (EV_READ | EV_WRITE)]) > 0) {
            if (side->woken != NULL) side->woken->where = NULL;
            side->woken = waiter;
            waiter->where = side;
        } else {
            PyErr_Clear(); /* no memory: the next poll finds it again */
        }
    } else if (side->event != NULL) {
        side->event(side, revents);
        return;
    } else if (side->woken == NULL) {
        fd_stop(side);
    }
    if (side->once) fd_stop(side);
}

struct fd_side *fd_new(struct hub *hub, int fd, int events)
{
    struct fd_side *side = PyMem_Calloc(1, sizeof *side);
    if (side == NULL || reserve(hub, fd) < 0) {
        PyMem_Free(side);
        PyErr_NoMemory();
        return NULL;
    }
    ev_io_init(&side->io, on_io, fd, events);
    side->hub = hub;
    side->once = !(events & EV_READ);
    link_side(&hub->sides[fd], side);
    return side;
}

void fd_free(struct fd_side *side)
{
    if (side == NULL) return;
    wake_with(side, fd_closed);
    unlink_side(side);
    if (side->hub == NULL || !side->started || own_thread(side->hub)) {
        if (side->hub != NULL) fd_stop(side);
        PyMem_Free(side);
        return;
    }
    side->event = NULL;
    link_side(&side->hub->orphans, side);
    inbox_kick(side->hub);
}

int fd_start(struct fd_side *side)
{
    if (side->hub == NULL) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (side->started) return 0;
    if (note_change(side->hub, side->io.fd) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    hub_ev->io_start(side->hub->loop, &side->io);
    hub_ev->unref(side->hub->loop);
    side->started = true;
    return 0;
}

static void leave(struct park *park)
{
    struct fd_side *side = park->where;
    side->waiter = NULL;
    park->where = NULL;
}

const struct park_kind fd_kind = {.external = true, .leave = leave};

int fd_prepare(struct fd_side *side, const struct hub *hub)
{
    if (side->hub != NULL && side->hub != hub) {
        PyErr_Format(hub_error_concurrent, "descriptor %d belongs to the hub of another thread", side->io.fd);
        return -1;
    }
    if (fd_start(side) < 0) return -1;
    if (side->waiter == NULL) return 0;
    PyErr_Format(hub_error_concurrent, "descriptor %d is already waited for (%s) by %R", side->io.fd,
                 side->io.events & EV_READ ? "reading" : "writing", side->waiter->greenlet);
    return -1;
}

Py_ssize_t fd_closing(struct hub *hub, int fd)
{
    Py_ssize_t count = 0;
    if (fd < 0 || fd >= hub->sides_len) return 0;
    struct fd_side *side;
    while ((side = hub->sides[fd]) != NULL) {
        wake_with(side, fd_closed);
        fd_stop(side);
        unlink_side(side);
        side->hub = NULL; /* its owner finds out at the next use, or now; this may free the side */
        if (side->event != NULL) side->event(side, EV_ERROR);
        count++;
    }
    return count;
}

static void reap(struct hub *hub)
{
    struct fd_side *side;
    while ((side = hub->orphans) != NULL) {
        unlink_side(side);
        fd_stop(side);
        PyMem_Free(side);
    }
}

void fd_verify(struct hub *hub)
{
    reap(hub);
    for (Py_ssize_t i = 0; i < hub->changed_len; i++) {
        int fd = hub->changed[i];
        if (has_started(hub->sides[fd]) && fcntl(fd, F_GETFD) < 0 && errno == EBADF) fd_closing(hub, fd);
    }
    hub->changed_len = 0;
}

void fd_leave(struct hub *hub)
{
    reap(hub);
    for (Py_ssize_t fd = 0; fd < hub->sides_len; fd++)
        for (struct fd_side *side = hub->sides[fd]; side != NULL; side = side->next)
            if (side->started) {
                hub_ev->ref(hub->loop);
                hub_ev->io_stop(hub->loop, &side->io);
            }
}

void fd_enter(struct hub *hub)
{
    for (Py_ssize_t fd = 0; fd < hub->sides_len; fd++)
        for (struct fd_side *side = hub->sides[fd]; side != NULL; side = side->next) {
            if (!side->started) continue;
            ev_io_set(&side->io, side->io.fd, side->io.events); /* new to this loop */
            hub_ev->io_start(hub->loop, &side->io);
            hub_ev->unref(hub->loop);
            note_change(hub, (int)fd); /* no memory for the note: only the check is lost */
        }
}

void fd_abandon(struct hub *hub)
{
    reap(hub);
    for (Py_ssize_t fd = 0; fd < hub->sides_len; fd++) fd_closing(hub, (int)fd);
    PyMem_Free(hub->sides);
    PyMem_Free(hub->scratch);
    PyMem_Free(hub->changed);
    hub->sides = NULL;
    hub->scratch = NULL;
    hub->changed = NULL;
    hub->changed_len = hub->changed_cap = 0;
    hub->sides_len = 0;
}

int fd_setup(void)
{
    for (int events = 0; events <= (EV_READ | EV_WRITE); events++)
        if ((seen[events] = PyLong_FromLong(events)) == NULL) return -1;
    fd_closed = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    fd_refused = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    return fd_closed == NULL || fd_refused == NULL ? -1 : 0;
}
