/* io: calls a Python function each time the loop finds a descriptor ready, and waits for one. */
#include <errno.h>
#include <fcntl.h>

#include "fd.h"
#include "watch.h"

struct io {
    struct watch watch;
    struct fd_side *side; /* made at the first start() or wait() */
    int fd, events;
    int revents;      /* collected while the call stands in the queue */
    bool pass_events; /* the call gets them as its first argument */
};

static const char *const event_names[] = {"", "READ", "WRITE", "READ|WRITE"};

static struct io *cast(PyObject *self)
{
    return (struct io *)self;
}

static int io_run(PyObject *self, struct hub *hub)
{
    (void)hub;
    struct io *io = cast(self);
    int revents = io->revents;
    io->revents = 0;
    if (!io->watch.pending) return 0; /* stopped after it was queued */
    io->watch.pending = false;
    if (io->watch.fn == NULL || io->watch.fn == Py_None) return 0;
    if (!io->pass_events) return watch_invoke(self, io->watch.args);
    PyObject *args = Py_BuildValue("(i)", revents);
    if (args != NULL && io->watch.args != NULL) {
        PyObject *first = args;
        args = PySequence_Concat(first, io->watch.args);
        Py_DECREF(first);
    }
    if (args == NULL) return loop_report(watch_hub(&io->watch), self);
    int rc = watch_invoke(self, args);
    Py_DECREF(args);
    return rc;
}

/* In libev's dispatch, or when the descriptor is closed: queue, nothing else. */
static void on_event(struct fd_side *side, int revents)
{
    struct io *io = side->owner;
    if (watch_hub(&io->watch)->destroyed) {
        watch_set_active(&io->watch, false);
        return;
    }
    /* On a descriptor that was closed the function is called as if all were ready: its own call finds the
     * error. */
    io->revents |= revents & EV_ERROR ? io->events : revents;
    if (watch_queue(&io->watch) < 0)
        PyErr_Clear(); /* no memory: level-triggered, the next poll finds it again */
    if (revents & EV_ERROR) watch_set_active(&io->watch, false);
}

static void drop_side(struct io *io)
{
    struct fd_side *side = io->side;
    io->side = NULL;
    fd_free(side);
}

static int io_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"hub", "fd", "events", "ref", "priority", NULL};
    struct io *io = cast(self);
    PyObject *hub, *priority = NULL;
    int fd, events, ref = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Oii|pO:io", names, &hub, &fd, &events, &ref, &priority))
        return -1;
    if (events == 0 || (events & ~(EV_READ | EV_WRITE)) != 0) {
        PyErr_Format(PyExc_ValueError, "events must be READ (1), WRITE (2) or both (3), not %d", events);
        return -1;
    }
    if (fd < 0 || fcntl(fd, F_GETFD) < 0) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (watch_check_hub(self, hub) < 0 || watch_take_priority(self, priority) < 0) return -1;
    watch_tie(&io->watch, hub);
    drop_side(io);
    io->watch.item.run = io_run;
    io->watch.ref = ref;
    io->watch.outside = true;
    io->fd = fd;
    io->events = events;
    return 0;
}

static struct fd_side *side_of(struct io *io)
{
    if (io->watch.tie == NULL) {
        PyErr_SetString(PyExc_ValueError, "the watcher was not initialised");
        return NULL;
    }
    struct hub *hub = watch_hub(&io->watch);
    if (hub != NULL && hub->thread_ident != PyThread_get_thread_ident()) {
        PyErr_SetString(hub_error_thread,
                        "an io watcher is started and waited for in the thread of its hub only");
        return NULL;
    }
    if (hub == NULL || hub->destroyed) {
        watch_hub_is_destroyed();
        return NULL;
    }
    if (io->side == NULL) {
        io->side = fd_new(hub, io->fd, io->events);
        if (io->side != NULL) io->side->owner = io;
    }
    return io->side;
}

static PyObject *io_start(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    struct io *io = cast(self);
    int pass_events = 0;
    if (side_of(io) == NULL || watch_take_call(self, args, nargs, names, "pass_events", &pass_events) < 0)
        return NULL;
    /* Anew: what the old arguments' end has run may have stopped us. */
    struct fd_side *side = side_of(io);
    if (side == NULL) return NULL;
    io->pass_events = pass_events;
    side->event = on_event;
    if (fd_start(side) < 0) return NULL;
    watch_set_active(&io->watch, true);
    Py_RETURN_NONE;
}

static PyObject *io_stop(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct io *io = cast(self);
    /* The side goes, rather than its watcher being stopped: right from any thread. */
    drop_side(io);
    io->revents = 0;
    io->watch.pending = false;
    watch_set_active(&io->watch, false);
    watch_forget(&io->watch);
    Py_RETURN_NONE;
}

static PyObject *io_feed(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    int revents;
    PyObject *result = watch_feed(self, args, nargs, &revents);
    if (result != NULL) cast(self)->revents |= revents;
    return result;
}

static PyObject *io_exit(PyObject *self, PyObject *args)
{
    (void)args;
    return io_stop(self, NULL);
}

static PyObject *io_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    double timeout;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "wait() takes a timeout, got %zd arguments", nargs);
        return NULL;
    }
    if (park_timeout(nargs ? args[0] : NULL, &timeout) < 0) return NULL;
    struct hub *hub = hub_here();
    struct fd_side *side = hub == NULL ? NULL : side_of(cast(self));
    return side == NULL ? NULL : fd_wait(hub, side, self, timeout);
}

static PyObject *io_repr(PyObject *self)
{
    return watch_repr(
        self, PyUnicode_FromFormat("fd=%d events=%s", cast(self)->fd, event_names[cast(self)->events]));
}

static PyObject *io_get_fd(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLong(cast(self)->fd);
}

static PyObject *io_get_loop(PyObject *self, void *closure)
{
    (void)closure;
    return watch_loop(watch_cast(self));
}

static PyObject *io_get_events(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLong(cast(self)->events);
}

static PyObject *io_get_events_str(PyObject *self, void *closure)
{
    (void)closure;
    return PyUnicode_FromString(event_names[cast(self)->events]);
}

static void io_dealloc(PyObject *self)
{
    fd_free(cast(self)->side); /* nobody waits on it: a waiter holds us */
    watch_dealloc(self);
}

static PyMethodDef io_methods[] = {
    {"start", (PyCFunction)(void (*)(void))io_start, METH_FASTCALL | METH_KEYWORDS,
     "start($self, /, callback, *args, pass_events=False)\n--\n\nCall callback(*args) in the hub for each "
     "turn of the "
     "loop that finds the\n"
     "descriptor ready; with pass_events the events come first."},
    {"stop", io_stop, METH_NOARGS,
     "stop($self, /)\n--\n\nStop; a call that is queued already is not made, a waiter gets OSError(EBADF)."},
    {"close", io_stop, METH_NOARGS, "close($self, /)\n--\n\nThe same as stop()."},
    {"wait", (PyCFunction)(void (*)(void))io_wait, METH_FASTCALL,
     "wait($self, timeout=None, /)\n--\n\nPark until the descriptor is ready: the events that are, or "
     "TIMED_OUT. "
     "One waiter at a time."},
    {"feed", (PyCFunction)(void (*)(void))io_feed, METH_FASTCALL,
     "feed($self, revents, callback, /, *args)\n--\n\nstart(), and a call as if these events had come."},
    {"__enter__", watch_enter, METH_NOARGS, NULL},
    {"__exit__", io_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef io_getset[] = {
    {"pending", watch_get_pending, NULL, "True while a call stands in the ready queue.", NULL},
    {"args", watch_get_args, watch_set_args, "Its positional arguments, or None.", NULL},
    {"active", watch_get_active, NULL, "True from start() to stop().", NULL},
    {"ref", watch_get_ref, watch_set_ref, "Whether it keeps a wait from being reported as a deadlock.", NULL},
    {"loop", io_get_loop, NULL, "The loop of its hub.", NULL},
    {"priority", watch_get_priority, watch_set_priority, "Kept; what is ready is called in order.", NULL},
    {"fd", io_get_fd, NULL, "The descriptor.", NULL},
    {"events", io_get_events, NULL, "READ (1), WRITE (2) or both (3).", NULL},
    {"events_str", io_get_events_str, NULL, "The events by name.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot io_slots[] = {
    {Py_tp_doc,
     "io(hub, fd, events, ref=True, priority=None)\n--\n\nReadiness of a descriptor, level-triggered."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, io_init},
    {Py_tp_repr, io_repr},
    {Py_tp_traverse, watch_traverse},
    {Py_tp_clear, watch_clear},
    {Py_tp_dealloc, io_dealloc},
    {Py_tp_methods, io_methods},
    {Py_tp_members, watch_members},
    {Py_tp_getset, io_getset},
    {0, NULL},
};

PyType_Spec watch_io_spec = {
    .name = "corolib._hub._core.io",
    .basicsize = sizeof(struct io),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = io_slots,
};
