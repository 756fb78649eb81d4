/* timer: one entry of the deadline heap that calls a Python function.
 *
 * There may be a hundred thousand, so they are no objects of the collector's: each would bring its next run
 * nearer. A circle through a timer would stay for ever then, so there is none that nobody holds:
 * - function and arguments it has while it is active or its call stands in the queue, when it is held anyway;
 *   start() gives it both;
 * - the hub, from which everything may be reached, it owns while it is active. */
#include <math.h>

#include "arguments.h"
#include "park.h"
#include "watch.h"

PyTypeObject *watch_timer_type;

struct timer {
    struct watch watch;
    struct deadline deadline;
    double after, repeat;
};

static int timer_run(PyObject *self, struct hub *hub)
{
    (void)hub;
    struct watch *watch = watch_cast(self);
    if (!watch->pending) return 0; /* stopped after it was queued */
    watch->pending = false;
    if (watch->fn == NULL || watch->fn == Py_None) return 0;
    int rc = watch_invoke(self, watch->args);
    if (!watch->active && !watch->pending) watch_forget(watch);
    return rc;
}

/* A timer that only ends a wait does so at once: a call would have to stand in the queue first, and meanwhile
 * a time limit of that wait which is due later could end it. 1 if it is one, 0 if not, -1 without memory. */
static int end_wait(const struct watch *watch)
{
    bool interrupts = watch->fn == watch_interrupt;
    if ((!interrupts && watch->fn != watch_wake) || watch->args == NULL || PyTuple_GET_SIZE(watch->args) != 2)
        return 0;
    PyObject *target = PyTuple_GET_ITEM(watch->args, 0), *value = PyTuple_GET_ITEM(watch->args, 1);
    if (!PyObject_TypeCheck(target, engine->type) || (interrupts && !PyExceptionInstance_Check(value)))
        return 0;
    if (interrupts) return park_interrupt(target, value) < 0 ? -1 : 1;
    struct park *park = hub_face(target)->park;
    return park != NULL && park_wake(park, value) < 0 ? -1 : 1;
}

void timer_due(struct deadline *node)
{
    struct timer *timer = (struct timer *)((char *)node - offsetof(struct timer, deadline));
    struct hub *hub = watch_hub(&timer->watch);
    if (hub->destroyed) {
        watch_set_active(&timer->watch, false); /* close_down() empties the heap */
        return;
    }
    int ended = end_wait(&timer->watch);
    if (ended < 0 || (ended == 0 && watch_queue(&timer->watch) < 0)) {
        PyErr_Clear();
        deadline_add(&hub->deadlines, node,
                     deadline_now(&hub->deadlines) + 0.01); /* no memory to queue it: in a moment */
        return;
    }
    if (timer->repeat > 0)
        deadline_add(&hub->deadlines, node, deadline_now(&hub->deadlines) + timer->repeat);
    else {
        Py_INCREF(timer);
        watch_set_active(&timer->watch, false);
        if (ended && !timer->watch.active) watch_forget(&timer->watch);
        Py_DECREF(timer);
    }
}

struct watch *watch_of_deadline(struct deadline *node)
{
    if (node->kind != DEADLINE_TIMER) return NULL;
    return &((struct timer *)((char *)node - offsetof(struct timer, deadline)))->watch;
}

static int read_seconds(PyObject *value, const char *name, double *seconds)
{
    *seconds = PyFloat_CheckExact(value) ? PyFloat_AS_DOUBLE(value) : PyFloat_AsDouble(value);
    if (*seconds == -1.0 && PyErr_Occurred()) return -1;
    if (isnan(*seconds)) {
        PyErr_Format(PyExc_ValueError, "%s is NaN; expected seconds", name);
        return -1;
    }
    if (*seconds < 0) *seconds = 0;
    return 0;
}

/* What is given beside the hub; NULL for what is not. */
static int set_up(struct timer *timer, PyObject *after, PyObject *repeat, int ref, PyObject *priority)
{
    double seconds = 0, period = 0;
    if (after != NULL && read_seconds(after, "after", &seconds) < 0) return -1;
    if (repeat != NULL && read_seconds(repeat, "repeat", &period) < 0) return -1;
    if (repeat != NULL && PyFloat_AsDouble(repeat) < 0) {
        PyErr_Format(PyExc_ValueError, "repeat: expected seconds, 0 or more, found %R", repeat);
        return -1;
    }
    if (priority != NULL && watch_take_priority((PyObject *)timer, priority) < 0) return -1;
    timer->watch.item.run = timer_run;
    timer->watch.ref = ref;
    timer->after = seconds;
    timer->repeat = period;
    deadline_init(&timer->deadline, DEADLINE_TIMER);
    return 0;
}

/* One of those that are made by the hundred thousand: no more is written than what must be, and once. */
PyObject *timer_make(PyObject *hub, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    static const char *const known[] = {"after", "repeat", "ref", "priority", NULL};
    PyObject *found[4] = {NULL};
    int ref = 1;
    if (nargs == 1 && names == NULL)
        found[0] = args[0]; /* the usual call */
    else if (arguments_take("timer", known, 1, args, nargs, names, found) < 0)
        return NULL;
    if (found[2] != NULL && (ref = PyObject_IsTrue(found[2])) < 0) return NULL;
    struct timer *timer = PyObject_New(struct timer, watch_timer_type);
    if (timer == NULL) return NULL;
    memset((char *)timer + sizeof(PyObject), 0, sizeof *timer - sizeof(PyObject));
    watch_tie(&timer->watch, hub);
    if (set_up(timer, found[0], found[1], ref, found[3]) < 0) Py_CLEAR(timer);
    return (PyObject *)timer;
}

static int timer_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"hub", "after", "repeat", "ref", "priority", NULL};
    PyObject *hub, *after = NULL, *repeat = NULL, *priority = NULL;
    int ref = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOpO:timer", names, &hub, &after, &repeat, &ref,
                                     &priority))
        return -1;
    if (watch_check_hub(self, hub) < 0) return -1;
    watch_tie(watch_cast(self), hub);
    return set_up((struct timer *)self, after, repeat, ref, priority);
}

static PyObject *timer_begin(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                             double seconds)
{
    struct timer *timer = (struct timer *)self;
    int update = 1;
    if (timer->watch.tie == NULL) {
        PyErr_SetString(PyExc_ValueError, "the timer was not initialised");
        return NULL;
    }
    if (watch_take_call(self, args, nargs, names, "update", &update) < 0) return NULL;
    struct hub *hub = watch_hub(&timer->watch);
    if (hub == NULL || hub->destroyed) {
        watch_forget(&timer->watch);
        watch_hub_is_destroyed();
        return NULL;
    }
    if (deadline_active(&timer->deadline)) deadline_remove(&hub->deadlines, &timer->deadline);
    timer->watch.pending = false;
    double now = update ? deadline_now(&hub->deadlines) : hub->now;
    if (deadline_add(&hub->deadlines, &timer->deadline, now + seconds) < 0) {
        watch_set_active(&timer->watch, false);
        watch_forget(&timer->watch);
        return PyErr_NoMemory();
    }
    watch_set_active(&timer->watch, true);
    inbox_kick(hub); /* from another thread: its alarm may now be too late */
    Py_RETURN_NONE;
}

static PyObject *timer_start(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    return timer_begin(self, args, nargs, names, ((struct timer *)self)->after);
}

static PyObject *timer_stop(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct timer *timer = (struct timer *)self;
    if (timer->watch.active) deadline_remove(&watch_hub(&timer->watch)->deadlines, &timer->deadline);
    watch_set_active(&timer->watch, false);
    timer->watch.pending = false;
    watch_forget(&timer->watch);
    Py_RETURN_NONE;
}

static PyObject *timer_again(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    double repeat = ((struct timer *)self)->repeat;
    if (repeat <= 0) return timer_stop(self, NULL); /* as ev_timer_again */
    return timer_begin(self, args, nargs, names, repeat);
}

static PyObject *timer_feed(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    int revents; /* a timer has one kind of event */
    return watch_feed(self, args, nargs, &revents);
}

static PyObject *timer_exit(PyObject *self, PyObject *args)
{
    (void)args;
    return timer_stop(self, NULL);
}

static PyObject *timer_repr(PyObject *self)
{
    const struct timer *timer = (struct timer *)self;
    PyObject *after = PyFloat_FromDouble(timer->after), *repeat = PyFloat_FromDouble(timer->repeat);
    PyObject *details = NULL;
    if (after != NULL && repeat != NULL)
        details = timer->repeat > 0 ? PyUnicode_FromFormat("after=%S repeat=%S", after, repeat)
                                    : PyUnicode_FromFormat("after=%S", after);
    Py_XDECREF(after);
    Py_XDECREF(repeat);
    return watch_repr(self, details);
}

static PyObject *timer_get_at(PyObject *self, void *closure)
{
    (void)closure;
    struct timer *timer = (struct timer *)self;
    double at = timer->watch.active && deadline_active(&timer->deadline)
                    ? deadline_at(&watch_hub(&timer->watch)->deadlines, &timer->deadline)
                    : 0;
    return PyFloat_FromDouble(at);
}

static PyObject *timer_get_loop(PyObject *self, void *closure)
{
    (void)closure;
    return watch_loop(watch_cast(self));
}

/* Whether it can be given something to call, or to call it with. 0 or -1. */
static int takes(PyObject *self, PyObject *value, const char *name)
{
    const struct watch *watch = watch_cast(self);
    if (watch->active || watch->pending || value == NULL || value == Py_None) return 0;
    PyErr_Format(PyExc_ValueError, "%s: the timer is not active, and start() gives it all that it calls",
                 name);
    return -1;
}

static PyObject *timer_get_callback(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *fn = watch_cast(self)->fn;
    return Py_NewRef(fn != NULL ? fn : Py_None);
}

static int timer_set_callback(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    if (takes(self, value, "callback") < 0) return -1;
    Py_XSETREF(watch_cast(self)->fn, Py_XNewRef(value));
    return 0;
}

static int timer_set_args(PyObject *self, PyObject *value, void *closure)
{
    return takes(self, value, "args") < 0 ? -1 : watch_set_args(self, value, closure);
}

/* Never while active: then it owns itself. */
static void timer_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    watch_forget(watch_cast(self));
    hub_untie(watch_cast(self)->tie);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef timer_methods[] = {
    {"start", (PyCFunction)(void (*)(void))timer_start, METH_FASTCALL | METH_KEYWORDS,
     "start($self, /, callback, *args, update=True)\n--\n\nCall callback(*args) in the hub when the time is "
     "over; "
     "starts anew if active.\n"
     "update=False counts from the time of the loop's last look at the clock, which is cheaper."},
    {"again", (PyCFunction)(void (*)(void))timer_again, METH_FASTCALL | METH_KEYWORDS,
     "again($self, /, callback, *args, update=True)\n--\n\nStart with `repeat` as the time (see "
     "ev_timer_again in "
     "libev)."},
    {"stop", timer_stop, METH_NOARGS,
     "stop($self, /)\n--\n\nStop; a call that is queued already is not made."},
    {"close", timer_stop, METH_NOARGS, "close($self, /)\n--\n\nThe same as stop()."},
    {"feed", (PyCFunction)(void (*)(void))timer_feed, METH_FASTCALL,
     "feed($self, revents, callback, /, *args)\n--\n\nstart(), and a call as if the time were over now."},
    {"__enter__", watch_enter, METH_NOARGS, NULL},
    {"__exit__", timer_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef timer_getset[] = {
    {"pending", watch_get_pending, NULL, "True while the call stands in the ready queue.", NULL},
    {"callback", timer_get_callback, timer_set_callback,
     "The function to call, or None. It has one while it is active.", NULL},
    {"args", watch_get_args, timer_set_args, "Its positional arguments, or None; likewise.", NULL},
    {"active", watch_get_active, NULL, "True from start() until the time is over or stop().", NULL},
    {"ref", watch_get_ref, watch_set_ref, "Whether it keeps a wait from being reported as a deadlock.", NULL},
    {"loop", timer_get_loop, NULL, "The loop of its hub; None if that is gone.", NULL},
    {"priority", watch_get_priority, watch_set_priority, "Kept; what is ready is called in order.", NULL},
    {"at", timer_get_at, NULL, "When it is due, on the hub's clock; 0.0 if it is not active.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot timer_slots[] = {
    {Py_tp_doc, "timer(hub, after=0.0, repeat=0.0, ref=True, priority=None)\n--\n\n"
                "One entry of the deadline heap; its callback runs in the hub, through the ready queue."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, timer_init},
    {Py_tp_repr, timer_repr},
    {Py_tp_dealloc, timer_dealloc},
    {Py_tp_methods, timer_methods},
    {Py_tp_getset, timer_getset},
    {0, NULL},
};

PyType_Spec watch_timer_spec = {
    .name = "corolib._hub._core.timer",
    .basicsize = sizeof(struct timer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = timer_slots,
};
