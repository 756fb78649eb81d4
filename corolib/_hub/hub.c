/* The Python type Hub: a greenlet that runs the loop of its thread. Policy (errors, reports, services) is in
 * the Python subclass corolib.hub.Hub. */
#include "hub.h"

#include <math.h>

#include "arguments.h"
#include "fd.h"
#include "park.h"
#include "watch.h"

#define FAST(function) (PyCFunction)(void (*)(void)) function

const struct switch_hubapi *engine;
const struct evapi *hub_ev;
Py_ssize_t hub_idle_threads, hub_offset;
PyTypeObject *hub_usual;
PyObject *hub_error_blocking, *hub_error_invalid_switch, *hub_error_concurrent, *hub_error_thread,
    *hub_timed_out;

static PyTypeObject *hub_type; /* borrowed from the module */
/* Interned once: the interpreter's cache of look-ups goes by the address of a name. */
static PyObject *name_switch_out;
PyObject *hub_name_handle_error;

bool hub_check(PyObject *object)
{
    return PyObject_TypeCheck(object, hub_type);
}

void hub_pause(long milliseconds)
{
    const struct timespec pause = {.tv_nsec = milliseconds * 1000 * 1000};
    Py_BEGIN_ALLOW_THREADS nanosleep(&pause, NULL);
    Py_END_ALLOW_THREADS
}

/* Life. */

static int check_table(const struct evapi *table)
{
    if (table->version != COROLIB_EVAPI_VERSION || table->size != sizeof(struct evapi)) {
        PyErr_Format(PyExc_ImportError,
                     "corolib._ev and corolib._hub were built from different sources (table version %u of %u "
                     "bytes; expected "
                     "%u of %zu): build corolib anew",
                     table->version, table->size, COROLIB_EVAPI_VERSION, sizeof(struct evapi));
        return -1;
    }
    if (table->ev_major != EV_VERSION_MAJOR || table->ev_minor != EV_VERSION_MINOR ||
        table->sizeof_io != sizeof(ev_io) || table->sizeof_timer != sizeof(ev_timer)) {
        PyErr_Format(PyExc_ImportError,
                     "corolib._ev was built with libev %u.%u, corolib._hub with %d.%d, or with other "
                     "settings: build corolib anew",
                     table->ev_major, table->ev_minor, EV_VERSION_MAJOR, EV_VERSION_MINOR);
        return -1;
    }
    return 0;
}

/* The engine's type makes the object; the tail is zero then. */
static PyObject *hub_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs;
    PyObject *none = PyTuple_New(0);
    if (none == NULL) return NULL;
    PyObject *self = engine->type->tp_new(type, none, NULL);
    Py_DECREF(none);
    if (self != NULL) memset(hub_core(self), 0, sizeof(struct hub));
    return self;
}

static int hub_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"table", "loop", "watch_signals", NULL};
    struct hub *hub = hub_core(self);
    unsigned long long table, loop;
    int watch_signals;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "KKp:Hub", names, &table, &loop, &watch_signals))
        return -1;
    if (hub->loop != NULL || hub->destroyed) {
        PyErr_SetString(PyExc_RuntimeError, "Hub.__init__() was called twice");
        return -1;
    }
    if (table == 0 || loop == 0) {
        PyErr_SetString(PyExc_ValueError, "Hub() needs the addresses of libev's table and of a loop");
        return -1;
    }
    if (check_table((const struct evapi *)(uintptr_t)table) < 0 || engine->pin(self) < 0) return -1;
    hub_ev = (const struct evapi *)(uintptr_t)table;
    if ((hub->thread = engine->thread()) == NULL) return -1;
    if ((hub->tie = PyMem_Malloc(sizeof *hub->tie)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *hub->tie = (struct hub_tie){.count = 1, .hub = hub};
    hub->self = self;
    deadline_open(&hub->deadlines);
    hub->loop = (struct ev_loop *)(uintptr_t)loop;
    hub->thread_ident = PyThread_get_thread_ident();
    hub_face(self)->boot = loop_boot;
    engine->set_parent(self, engine->main_greenlet());
    return loop_open(hub, watch_signals);
}

static void close_down(struct hub *hub)
{
    if (hub->destroyed || hub->loop == NULL) return;
    hub->destroyed = true;
    park_abandon(hub);
    fd_abandon(hub);
    loop_close(hub);
    deadline_fire(&hub->deadlines, INFINITY); /* in a destroyed hub: who is due drops itself */
    ready_clear(&hub->ready);
    deadline_free(&hub->deadlines);
    hub->loop = NULL;
}

static int hub_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    /* Of one that is alive in any case, what stands in the queue is: see park_held(). */
    int rc = hub_core(self)->keepers > 0 ? 0 : ready_traverse(&hub_core(self)->ready, visit, arg);
    return rc != 0 ? rc : engine->traverse(self, visit, arg);
}

static int hub_clear(PyObject *self)
{
    ready_clear(&hub_core(self)->ready);
    return engine->clear(self);
}

static void hub_finalize(PyObject *self)
{
    struct hub *hub = hub_core(self);
    if (hub->loop != NULL && !hub->destroyed) {
        PyObject *type, *error, *tb;
        PyErr_Fetch(&type, &error, &tb);
        /* The Python subclass closes what it has, the loop among it. */
        PyObject *result = PyObject_CallMethod(self, "destroy", NULL);
        if (result == NULL) PyErr_WriteUnraisable(self);
        Py_XDECREF(result);
        close_down(hub);
        PyErr_Restore(type, error, tb);
    }
    engine->finalize(self);
}

static void hub_dealloc(PyObject *self)
{
    if (PyObject_CallFinalizerFromDealloc(self) < 0) return;
    PyObject_GC_UnTrack(self);
    close_down(hub_core(self));
    struct hub_tie *tie = hub_core(self)->tie;
    if (tie != NULL) tie->hub = NULL;
    hub_untie(tie);
    engine->dealloc(self);
}

static PyObject *hub_destroy(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct hub *hub = hub_core(self);
    if (nargs > 1 || (nargs == 1 && !PyExceptionInstance_Check(args[0]))) {
        PyErr_SetString(PyExc_TypeError, "destroy() takes nothing, or one exception instance");
        return NULL;
    }
    if (hub_current() == self) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a hub cannot be destroyed from within itself; do it from another greenlet");
        return NULL;
    }
    if (hub->loop != NULL && hub->thread_ident != PyThread_get_thread_ident()) {
        PyErr_SetString(hub_error_thread, "a hub is destroyed in its own thread only");
        return NULL;
    }
    close_down(hub);
    if (hub_face(self)->state == SWITCH_SUSPENDED && hub_current() == engine->main_greenlet()) {
        /* It unwinds now, with what its frames hold, and ends in its parent, which is us. Otherwise when it
         * is freed. */
        if (nargs == 1)
            PyErr_SetObject((PyObject *)Py_TYPE(args[0]), args[0]);
        else
            PyErr_SetNone(engine->GreenletExit);
        PyObject *result = engine->transfer(self, NULL);
        if (result == NULL) return NULL;
        Py_DECREF(result);
    }
    hub_forget(self);
    Py_RETURN_NONE;
}

/* Methods. */

static int check_open(struct hub *hub)
{
    if (hub->loop != NULL) return 0;
    PyErr_SetString(PyExc_RuntimeError,
                    hub->destroyed ? "the hub is destroyed" : "Hub.__init__() was not called");
    return -1;
}

static const struct park_kind kind_foreign = {.name = "switch", .foreign = true};

/* The greenlet that leaves may have a method to be called then. */
static int tell_switch_out(void)
{
    PyObject *told = PyObject_GetAttr(hub_current(), name_switch_out);
    if (told == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return -1;
        PyErr_Clear();
        return 0;
    }
    PyObject *result = PyObject_CallNoArgs(told);
    Py_DECREF(told);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static PyObject *hub_switch(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args;
    if (nargs > 0) {
        PyErr_Format(PyExc_TypeError, "a hub takes no arguments when it is switched to, got %zd", nargs);
        return NULL;
    }
    struct park *park = park_begin();
    if (park == NULL) return NULL;
    if (park->hub->self != self) {
        PyErr_SetString(hub_error_thread, "the hub belongs to another thread");
        return NULL;
    }
    if (tell_switch_out() < 0) return NULL;
    return park_wait(park, &kind_foreign, NULL, PARK_FOREVER);
}

PyObject *hub_run_callback(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    struct hub *hub = hub_core(self);
    if (check_open(hub) < 0) return NULL;
    if (nargs < 1 || !PyCallable_Check(args[0])) {
        PyErr_Format(PyExc_TypeError, "run_callback() takes a callable first, not %.100s",
                     nargs ? Py_TYPE(args[0])->tp_name : "nothing");
        return NULL;
    }
    PyObject *rest, *kwargs;
    if (arguments_pack(1, args, nargs, names, &rest, &kwargs) < 0) return NULL;
    PyObject *context = arguments_context(&kwargs);
    if (context == NULL) context = PyContext_CopyCurrent();
    PyObject *call = context == NULL ? NULL : watch_call(hub, args[0], rest, kwargs, context);
    Py_XDECREF(context);
    Py_DECREF(rest);
    Py_XDECREF(kwargs);
    return call;
}

static PyObject *hub_external_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    hub_core(self)->external++;
    Py_RETURN_NONE;
}

static PyObject *hub_external_leave(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct hub *hub = hub_core(self);
    if (hub->external > 0) hub->external--;  /* at 0: a fork has forgotten the job */
    if (hub->external == 0) inbox_kick(hub); /* that may have been all it was waiting for */
    Py_RETURN_NONE;
}

static PyObject *hub_now(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyFloat_FromDouble(deadline_now(&hub_core(self)->deadlines));
}

static PyObject *hub_fd_closing(PyObject *self, PyObject *argument)
{
    struct hub *hub = hub_core(self);
    int fd = PyObject_AsFileDescriptor(argument);
    if (fd < 0 || check_open(hub) < 0) return NULL;
    if (hub->thread_ident != PyThread_get_thread_ident()) {
        PyErr_SetString(hub_error_thread, "fd_closing() is for the thread of the hub only");
        return NULL;
    }
    lost_closing(hub, fd);
    return PyLong_FromSsize_t(fd_closing(hub, fd));
}

static PyObject *hub_intact(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (check_open(hub_core(self)) < 0) return NULL;
    return PyBool_FromLong(lost_intact(hub_core(self)));
}

static PyObject *hub_leave_loop(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (check_open(hub_core(self)) < 0 || loop_leave(hub_core(self)) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *hub_enter_loop(PyObject *self, PyObject *argument)
{
    unsigned long long next = PyLong_AsUnsignedLongLong(argument);
    if (next == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
    loop_enter(hub_core(self), (struct ev_loop *)(uintptr_t)next);
    Py_RETURN_NONE;
}

static PyObject *hub_after_fork(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (hub_core(self)->loop != NULL) loop_after_fork(hub_core(self));
    Py_RETURN_NONE;
}

static PyObject *hub_chain_signals(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct hub *hub = hub_core(self);
    if (check_open(hub) < 0) return NULL;
    int before = loop_chain_signals(hub);
    return Py_BuildValue("(ii)", hub->signal_pipe[1], before);
}

static PyObject *hub_parked(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *list = PyList_New(0);
    if (list == NULL) return NULL;
    for (struct park *park = hub_core(self)->parked; park != NULL; park = park->down)
        if (PyList_Append(list, park->greenlet) < 0) {
            Py_DECREF(list);
            return NULL;
        }
    if (PyList_Reverse(list) < 0) Py_CLEAR(list); /* longest waiting first */
    return list;
}

static PyObject *hub_vanish_all(PyObject *self, PyObject *unused)
{
    (void)unused;
    park_vanish_all(hub_core(self));
    Py_RETURN_NONE;
}

static PyObject *get_ready_count(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(hub_core(self)->ready.len);
}

static PyObject *get_parked_count(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(hub_core(self)->parked_count);
}

static PyObject *get_live_count(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(hub_core(self)->live + hub_core(self)->external);
}

static PyObject *get_deadline_count(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(hub_core(self)->deadlines.len);
}

static PyObject *get_poll_count(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(hub_core(self)->polls);
}

static PyObject *get_polling(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(hub_core(self)->polling);
}

static PyObject *get_thread_ident(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLong(hub_core(self)->thread_ident);
}

static PyObject *get_destroyed(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(hub_core(self)->destroyed);
}

static PyMethodDef hub_methods[] = {
    {"switch", FAST(hub_switch), METH_FASTCALL,
     "switch($self, /, *args)\n--\n\nPark the caller until somebody switches to it (the way third parties "
     "wait for a "
     "watcher)."},
    {"run_callback", FAST(hub_run_callback), METH_FASTCALL | METH_KEYWORDS,
     "run_callback($self, fn, /, *args, **kwargs)\n--\n\nCall fn in the hub, in order with all that is "
     "ready. Any "
     "thread; never switches."},
    {"run_callback_threadsafe", FAST(hub_run_callback), METH_FASTCALL | METH_KEYWORDS,
     "run_callback_threadsafe($self, fn, /, *args, **kwargs)\n--\n\nThe same as run_callback(), which is "
     "thread-safe "
     "here."},
    {"external_enter", hub_external_enter, METH_NOARGS,
     "external_enter($self, /)\n--\n\nSomething outside (a job of a thread pool) will wake somebody: no "
     "LoopExit "
     "until external_leave()."},
    {"external_leave", hub_external_leave, METH_NOARGS,
     "external_leave($self, /)\n--\n\nThe end of external_enter()."},
    {"now", hub_now, METH_NOARGS,
     "now($self, /)\n--\n\nThe clock of deadlines, in seconds (CLOCK_MONOTONIC, unless a test has stopped "
     "it)."},
    {"stop_clock", virtual_stop_clock, METH_VARARGS,
     "stop_clock($self, at, patience, /)\n--\n\nFrom now on the clock shows `at` and stands still; the loop "
     "moves it to the next deadline\n"
     "when nothing else is left, after `patience` seconds of real time if somebody outside may still come. "
     "See corolib.testing.VirtualClock."},
    {"run_clock", virtual_run_clock, METH_NOARGS,
     "run_clock($self, /)\n--\n\nThe end of stop_clock(): it goes on from what it shows."},
    {"move_clock", virtual_move_clock, METH_O,
     "move_clock($self, seconds, /)\n--\n\nMove a stopped clock ahead by so many seconds, past deadlines if "
     "need be: they are "
     "all due at the next poll."},
    {"shuffle", virtual_shuffle, METH_O,
     "shuffle($self, seed, /)\n--\n\nTake what is ready in an order that the seed decides; None: first in, "
     "first out."},
    {"fd_closing", hub_fd_closing, METH_O,
     "fd_closing($self, fd, /)\n--\n\nThe number is about to be closed: its waiters get OSError(EBADF), its "
     "watchers stop; how many."},
    {"intact", hub_intact, METH_NOARGS,
     "intact($self, /)\n--\n\nWhether the descriptors that the hub has for itself are what they were: nobody "
     "has "
     "closed them."},
    {"leave_loop", hub_leave_loop, METH_NOARGS,
     "leave_loop($self, /)\n--\n\nThe first half of moving to another loop of libev's: nothing of the hub is "
     "active in the old one."},
    {"enter_loop", hub_enter_loop, METH_O,
     "enter_loop($self, loop, /)\n--\n\nThe second half: all of it is active in the loop at this address."},
    {"after_fork", hub_after_fork, METH_NOARGS,
     "after_fork($self, /)\n--\n\nIn the child of a fork, before anything waits."},
    {"chain_signals", hub_chain_signals, METH_NOARGS,
     "chain_signals($self, /)\n--\n\nHave signals wake the loop, and the descriptor of set_wakeup_fd() too, "
     "if there "
     "is one: (ours, the one before)."},
    {"destroy", FAST(hub_destroy), METH_FASTCALL,
     "destroy($self, error=GreenletExit(), /)\n--\n\nEnd the hub with `error`: what waits in it is dropped. "
     "Its thread only, and not from within the hub."},
    {"vanish_all", hub_vanish_all, METH_NOARGS,
     "vanish_all($self, /)\n--\n\nvanish() all greenlets that wait here or are about to run, the main one "
     "too: "
     "not the current."},
    {"parked", hub_parked, METH_NOARGS,
     "parked($self, /)\n--\n\nThe greenlets that wait here, longest waiting first."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef hub_getset[] = {
    {"ready_count", get_ready_count, NULL, "Number of entries in the ready queue.", NULL},
    {"parked_count", get_parked_count, NULL, "Number of greenlets that wait here.", NULL},
    {"live_count", get_live_count, NULL,
     "Number of waits, timers, watchers and jobs that something outside can still end: at 0 it may be a "
     "deadlock.",
     NULL},
    {"deadline_count", get_deadline_count, NULL, "Number of deadlines: sleeps, wait timeouts and timers.",
     NULL},
    {"poll_count", get_poll_count, NULL,
     "How often the loop has looked for events: stands still while the hub is blocked.", NULL},
    {"polling", get_polling, NULL, "Whether it waits for events now, with nothing to run.", NULL},
    {"thread_ident", get_thread_ident, NULL, "The thread it belongs to.", NULL},
    {"destroyed", get_destroyed, NULL, "True once destroy() was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot hub_slots[] = {
    {Py_tp_doc, "Hub(table, loop, watch_signals)\n--\n\nThe C half of a hub: ready queue, deadlines, loop. "
                "One per thread."},
    {Py_tp_new, hub_new},
    {Py_tp_init, hub_init},
    {Py_tp_traverse, hub_traverse},
    {Py_tp_clear, hub_clear},
    {Py_tp_finalize, hub_finalize},
    {Py_tp_dealloc, hub_dealloc},
    {Py_tp_methods, hub_methods},
    {Py_tp_getset, hub_getset},
    {0, NULL},
};

int hub_setup(PyObject *module)
{
    name_switch_out = PyUnicode_InternFromString("switch_out");
    hub_name_handle_error = PyUnicode_InternFromString("handle_error");
    if (name_switch_out == NULL || hub_name_handle_error == NULL) return -1;
    if (keeper_setup() < 0 || fd_setup() < 0) return -1;
    hub_offset = (engine->type->tp_basicsize + 15) & ~(Py_ssize_t)15;
    PyType_Spec spec = {
        .name = "corolib._hub._core.Hub",
        .basicsize = (int)(hub_offset + (Py_ssize_t)sizeof(struct hub)),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
        .slots = hub_slots,
    };
    PyObject *type = PyType_FromSpecWithBases(&spec, (PyObject *)engine->type);
    if (type == NULL) return -1;
    hub_type = (PyTypeObject *)type;
    int rc = PyModule_AddType(module, hub_type);
    Py_DECREF(type);
    return rc;
}
