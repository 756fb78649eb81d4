/* What callback, timer and io have in common, and callback itself: entries of the ready queue that call a
 * function.
 *
 * `struct watch` is a function and its arguments, and whether a call stands in the queue. An event
 * (a deadline that fires, a descriptor that is ready) only queues; the call itself is made by the loop,
 * outside libev's dispatch, so it may do anything but wait. An active timer or io owns a reference to itself
 * and to its hub: a watcher that somebody started and forgot still works. One that is not active knows its
 * hub by a tie only. */
#include "watch.h"

#include "arguments.h"

PyTypeObject *watch_callback_type;
PyObject *watch_interrupt, *watch_wake;

int watch_queue(struct watch *watch)
{
    if (watch->pending) return 0;
    if (inbox_push(watch_hub(watch), (PyObject *)watch) < 0) return -1;
    watch->pending = true;
    return 0;
}

PyObject *watch_call_in(PyObject *context, PyObject *fn, PyObject *args, PyObject *kwargs)
{
    if (context == NULL) return PyObject_Call(fn, args, kwargs);
    if (PyContext_Enter(context) < 0) return NULL;
    PyObject *result = PyObject_Call(fn, args, kwargs);
    if (PyContext_Exit(context) < 0) Py_CLEAR(result);
    return result;
}

static int invoke(PyObject *self, PyObject *args, PyObject *kwargs, PyObject *context)
{
    /* The function may stop, restart or change the watcher: hold what is being called. */
    PyObject *fn = Py_NewRef(watch_cast(self)->fn), *result;
    args = args == NULL || args == Py_None ? PyTuple_New(0) : Py_NewRef(args);
    result = args == NULL ? NULL : watch_call_in(context, fn, args, kwargs);
    Py_XDECREF(args);
    Py_DECREF(fn);
    if (result == NULL) return loop_report(watch_hub(watch_cast(self)), self);
    Py_DECREF(result);
    return 0;
}

int watch_invoke(PyObject *self, PyObject *args)
{
    return invoke(self, args, NULL, NULL);
}

static void count(struct watch *watch, bool on)
{
    if (watch->counted == on) return;
    watch->counted = on;
    watch_hub(watch)->live += on ? 1 : -1;
    if (watch->outside) watch_hub(watch)->outside += on ? 1 : -1;
}

void watch_set_active(struct watch *watch, bool on)
{
    if (watch->active == on) return;
    PyObject *hub = watch->tie->hub->self;
    watch->active = on;
    count(watch, on && watch->ref);
    /* One that holds itself is no garbage whatever it refers to, so the collector need not look at it. */
    bool collected = PyType_IS_GC(Py_TYPE(watch));
    if (on) {
        if (collected) PyObject_GC_UnTrack(watch);
        Py_INCREF(hub);
        Py_INCREF(watch);
    } else {
        if (collected) PyObject_GC_Track(watch);
        Py_DECREF(watch); /* may be the last if the hub goes: nothing of the watcher is touched after it */
        Py_DECREF(hub);
    }
}

void watch_forget(struct watch *watch)
{
    Py_CLEAR(watch->fn);
    Py_CLEAR(watch->args);
}

PyObject *watch_repr(PyObject *self, PyObject *details)
{
    const struct watch *watch = watch_cast(self);
    const char *name = strrchr(Py_TYPE(self)->tp_name, '.');
    name = name != NULL ? name + 1 : Py_TYPE(self)->tp_name;
    if (details == NULL && PyErr_Occurred()) return NULL;
    int inside = Py_ReprEnter(self); /* it may be among its own arguments */
    PyObject *text = NULL;
    if (inside == 0) {
        PyObject *fn = watch->fn, *args = watch->args;
        PyObject *call = fn == NULL || fn == Py_None ? PyUnicode_FromString("")
                                                     : PyUnicode_FromFormat(" callback=%R args=%R", fn,
                                                                            args != NULL ? args : Py_None);
        if (call != NULL)
            text = PyUnicode_FromFormat("<%s at %p%s%V%s%s%U>", name, self, details != NULL ? " " : "",
                                        details, "", watch->active ? " active" : "",
                                        watch->pending ? " pending" : "", call);
        Py_XDECREF(call);
        Py_ReprLeave(self);
    } else if (inside > 0) {
        text = PyUnicode_FromFormat("<%s at %p ...>", name, self);
    }
    Py_XDECREF(details);
    return text;
}

int watch_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(watch_cast(self)->fn);
    Py_VISIT(watch_cast(self)->args);
    return 0;
}

int watch_clear(PyObject *self)
{
    watch_forget(watch_cast(self));
    return 0;
}

void watch_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    watch_clear(self);
    hub_untie(watch_cast(self)->tie);
    type->tp_free(self);
    Py_DECREF(type);
}

void watch_tie(struct watch *watch, PyObject *hub)
{
    hub_untie(watch->tie);
    watch->tie = hub_core(hub)->tie;
    watch->tie->count++;
}

int watch_hub_is_destroyed(void)
{
    PyErr_SetString(PyExc_ValueError, "the hub of this watcher is destroyed");
    return -1;
}

int watch_check_hub(PyObject *self, PyObject *hub)
{
    if (!hub_check(hub)) {
        PyErr_Format(PyExc_TypeError, "a watcher belongs to a Hub, not to %.100s", Py_TYPE(hub)->tp_name);
        return -1;
    }
    if (watch_cast(self)->active) {
        PyErr_SetString(PyExc_ValueError, "the watcher is active; stop it before it is made anew");
        return -1;
    }
    return 0;
}

/* Reads (callback, *args, keyword) of start() and again(). `keyword` is the one keyword allowed, `*flag` its
 * value. */
int watch_take_call(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                    const char *keyword, int *flag)
{
    if (nargs < 1 || !PyCallable_Check(args[0])) {
        PyErr_Format(PyExc_TypeError, "the callback must be callable, not %.100s",
                     nargs ? Py_TYPE(args[0])->tp_name : "missing");
        return -1;
    }
    if (names != NULL) {
        const char *known[] = {keyword, NULL};
        PyObject *value = NULL;
        if (arguments_take("start", known, 0, args + nargs, 0, names, &value) < 0) return -1;
        if (value != NULL && (*flag = PyObject_IsTrue(value)) < 0) return -1;
    }
    PyObject *rest = nargs > 1 ? arguments_rest(1, args, nargs) : NULL;
    if (nargs > 1 && rest == NULL) return -1;
    /* The old ones first: their end may run code that stops the watcher, or starts it. */
    struct watch *watch = watch_cast(self);
    while (watch->fn != NULL || watch->args != NULL) watch_forget(watch);
    watch->args = rest;
    watch->fn = Py_NewRef(args[0]);
    return 0;
}

/* Shared attributes. */

PyObject *watch_get_pending(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(watch_cast(self)->pending);
}

PyObject *watch_get_active(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(watch_cast(self)->active);
}

PyObject *watch_get_ref(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(watch_cast(self)->ref);
}

int watch_set_ref(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    int on = value == NULL ? -1 : PyObject_IsTrue(value);
    if (on < 0) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_AttributeError, "ref cannot be deleted");
        return -1;
    }
    watch_cast(self)->ref = on;
    count(watch_cast(self), watch_cast(self)->active && on);
    return 0;
}

PyObject *watch_loop(const struct watch *watch)
{
    struct hub *hub = watch_hub(watch);
    return hub == NULL ? Py_NewRef(Py_None) : PyObject_GetAttrString(hub->self, "loop");
}

PyObject *watch_get_priority(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLong(watch_cast(self)->priority);
}

int watch_take_priority(PyObject *self, PyObject *value)
{
    long priority = value == NULL || value == Py_None ? 0 : PyLong_AsLong(value);
    if (priority == -1 && PyErr_Occurred()) return -1;
    if (priority < EV_MINPRI || priority > EV_MAXPRI) {
        PyErr_Format(PyExc_ValueError, "priority: expected %d to %d, found %ld", EV_MINPRI, EV_MAXPRI,
                     priority);
        return -1;
    }
    watch_cast(self)->priority = (signed char)priority;
    return 0;
}

int watch_set_priority(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    if (value == NULL || watch_cast(self)->active) {
        PyErr_SetString(PyExc_AttributeError,
                        value == NULL
                            ? "priority cannot be deleted"
                            : "the priority of an active watcher cannot be changed: stop() it first");
        return -1;
    }
    return watch_take_priority(self, value);
}

PyObject *watch_feed(PyObject *self, PyObject *const *args, Py_ssize_t nargs, int *revents)
{
    if (nargs < 2) {
        PyErr_Format(PyExc_TypeError, "feed() takes events and a callback, got %zd arguments", nargs);
        return NULL;
    }
    long events = PyLong_AsLong(args[0]);
    if (events == -1 && PyErr_Occurred()) return NULL;
    *revents = (int)events;
    PyObject *start = PyObject_GetAttrString(self, "start");
    PyObject *result = start == NULL ? NULL : PyObject_Vectorcall(start, args + 1, (size_t)nargs - 1, NULL);
    Py_XDECREF(start);
    if (result != NULL && watch_queue(watch_cast(self)) < 0) Py_CLEAR(result);
    return result;
}

PyObject *watch_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(self);
}

PyObject *watch_get_args(PyObject *self, void *closure)
{
    (void)closure;
    const struct watch *watch = watch_cast(self);
    if (watch->args == NULL && watch->fn != NULL) return PyTuple_New(0);
    return Py_NewRef(watch->args != NULL ? watch->args : Py_None);
}

int watch_set_args(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    if (value != NULL && value != Py_None && !PyTuple_Check(value)) {
        PyErr_Format(PyExc_TypeError, "args must be a tuple or None, not %.100s", Py_TYPE(value)->tp_name);
        return -1;
    }
    Py_XSETREF(watch_cast(self)->args, value == NULL || value == Py_None ? NULL : Py_NewRef(value));
    return 0;
}

PyMemberDef watch_members[] = {
    {"callback", T_OBJECT, offsetof(struct watch, fn), 0, "The function to call, or None."},
    {NULL, 0, 0, 0, NULL},
};

/* callback */

struct callback {
    struct watch watch;
    PyObject *kwargs;  /* dict or NULL */
    PyObject *context; /* what it is called in, or NULL: in the hub's own */
};

static int callback_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((struct callback *)self)->kwargs);
    Py_VISIT(((struct callback *)self)->context);
    return watch_traverse(self, visit, arg);
}

static int callback_clear(PyObject *self)
{
    Py_CLEAR(((struct callback *)self)->kwargs);
    Py_CLEAR(((struct callback *)self)->context);
    return watch_clear(self);
}

static void callback_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    callback_clear(self);
    watch_dealloc(self);
}

static int callback_run(PyObject *self, struct hub *hub)
{
    (void)hub;
    struct watch *watch = watch_cast(self);
    if (!watch->pending) return 0; /* stopped */
    watch->pending = false;
    if (watch->fn == NULL || watch->fn == Py_None) return 0;
    PyObject *kwargs = Py_XNewRef(((struct callback *)self)->kwargs);
    PyObject *context = Py_XNewRef(((struct callback *)self)->context);
    int rc = invoke(self, watch->args, kwargs, context);
    Py_XDECREF(kwargs);
    Py_XDECREF(context);
    callback_clear(self);
    return rc;
}

PyObject *watch_call(struct hub *hub, PyObject *fn, PyObject *args, PyObject *kwargs, PyObject *context)
{
    struct callback *call = (struct callback *)watch_callback_type->tp_alloc(watch_callback_type, 0);
    if (call == NULL) return NULL;
    call->watch.item.run = callback_run;
    call->watch.fn = Py_NewRef(fn);
    call->watch.args = Py_NewRef(args);
    watch_tie(&call->watch, hub->self);
    call->kwargs = Py_XNewRef(kwargs);
    call->context = Py_XNewRef(context);
    if (watch_queue(&call->watch) < 0) Py_CLEAR(call);
    return (PyObject *)call;
}

static PyObject *callback_repr(PyObject *self)
{
    return watch_repr(self, NULL);
}

static PyObject *callback_stop(PyObject *self, PyObject *unused)
{
    (void)unused;
    watch_cast(self)->pending = false;
    callback_clear(self);
    Py_RETURN_NONE;
}

static int callback_bool(PyObject *self)
{
    return watch_cast(self)->pending;
}

static PyMethodDef callback_methods[] = {
    {"stop", callback_stop, METH_NOARGS,
     "stop($self, /)\n--\n\nTake the call back; nothing if it was made already."},
    {"close", callback_stop, METH_NOARGS, "close($self, /)\n--\n\nThe same as stop()."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef callback_getset[] = {
    {"pending", watch_get_pending, NULL, "True until the call is made or taken back.", NULL},
    {"args", watch_get_args, watch_set_args, "Its positional arguments, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot callback_slots[] = {
    {Py_tp_doc,
     "A call in the ready queue of a hub, made by run_callback(); false once it was made or stopped."},
    {Py_tp_repr, callback_repr},
    {Py_tp_traverse, callback_traverse},
    {Py_tp_clear, callback_clear},
    {Py_tp_dealloc, callback_dealloc},
    {Py_tp_methods, callback_methods},
    {Py_tp_members, watch_members},
    {Py_tp_getset, callback_getset},
    {Py_nb_bool, callback_bool},
    {0, NULL},
};

PyType_Spec watch_callback_spec = {
    .name = "corolib._hub._core.callback",
    .basicsize = sizeof(struct callback),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = callback_slots,
};
