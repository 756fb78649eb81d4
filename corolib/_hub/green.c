/* The C Greenlet: state, result, links and joiners, so that spawn, run, finish and join need no Python frame of ours.
 *
 *     NEW --start()--> SCHEDULED --the hub switches to it--> RUNNING --returns or raises--> DONE
 *      |                    |
 *      +------cancel()------+----> DONE, without ever having run
 *
 * The struct is the tail of the engine's greenlet object. The engine calls boot() in place of `run`; whatever happens in
 * there is a result, never an exception in the parent: it is kept, reported to hub.handle_error, and raised by get(). */
#include "green.h"

#include <stddef.h>

#include "park.h"
#include "waitlist.h"
#include "watch.h"

enum status { NEW, SCHEDULED, RUNNING, DONE };

struct green {
    PyObject *run;            /* owned: what was given to the constructor; NULL: _run of a subclass */
    PyObject *args;           /* owned tuple, NULL for none and after the end */
    PyObject *kwargs;         /* owned dict or NULL */
    PyObject *value;          /* owned: the result, or the GreenletExit that ended it */
    PyObject *error;          /* owned: the exception that ended it */
    PyObject *links;          /* owned list of callables, or NULL */
    PyObject *hub;            /* owned: the Hub of the thread that made it */
    PyObject *self;           /* borrowed: for the way back from the deadline */
    struct waitlist joiners;
    struct deadline later;    /* start_later() */
    unsigned char status;     /* enum status */
    bool notifying;           /* a call of _notify_links stands in the ready queue */
};

static Py_ssize_t offset;          /* of struct green in the object */
static PyObject *name_run, *name_notify, *name_timeout_error, *no_args;

static inline struct green *of(PyObject *self) { return (struct green *)((char *)self + offset); }

static struct hub *hub_of(struct green *green)
{
    if (green->hub == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Greenlet.__init__() was not called");
        return NULL;
    }
    return hub_core(green->hub);
}

static void forget_later(PyObject *self)
{
    struct green *green = of(self);
    if (!deadline_active(&green->later)) return;
    struct hub *hub = hub_core(green->hub);
    deadline_remove(&hub->deadlines, &green->later);
    hub->live--;
    Py_DECREF(self); /* the caller has another one */
}

/* The end. */

static int schedule_links(PyObject *self)
{
    struct green *green = of(self);
    if (green->links == NULL || PyList_GET_SIZE(green->links) == 0 || green->notifying) return 0;
    PyObject *notify = PyObject_GetAttr(self, name_notify);
    PyObject *call = notify == NULL ? NULL : watch_call(hub_core(green->hub), notify, no_args, NULL);
    Py_XDECREF(notify);
    if (call == NULL) return -1;
    Py_DECREF(call);
    green->notifying = true;
    return 0;
}

static PyObject *notify_links(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct green *green = of(self);
    green->notifying = false;
    /* One at a time from the front: a link may add or take away others. */
    while (green->links != NULL && PyList_GET_SIZE(green->links) > 0) {
        PyObject *link = Py_NewRef(PyList_GET_ITEM(green->links, 0));
        PyObject *result = NULL;
        if (PyList_SetSlice(green->links, 0, 1, NULL) == 0) result = PyObject_CallOneArg(link, self);
        if (result == NULL) {
            PyObject *type, *error, *tb;
            PyErr_Fetch(&type, &error, &tb);
            PyObject *context = PyTuple_Pack(2, link, self);
            PyErr_Restore(type, error, tb);
            int rc = loop_report(hub_core(green->hub), context != NULL ? context : self);
            Py_XDECREF(context);
            if (rc < 0) {
                Py_DECREF(link);
                return NULL;
            }
        }
        Py_XDECREF(result);
        Py_DECREF(link);
    }
    Py_CLEAR(green->links);
    Py_RETURN_NONE;
}

/* The greenlet is over: with `result` (stolen), or NULL and an exception set. */
static void finish(PyObject *self, PyObject *result)
{
    struct green *green = of(self);
    bool failed = false;
    if (result == NULL) {
        PyObject *type, *error, *tb;
        PyErr_Fetch(&type, &error, &tb);
        PyErr_NormalizeException(&type, &error, &tb);
        if (tb != NULL) PyException_SetTraceback(error, tb);
        failed = !PyErr_GivenExceptionMatches(error, engine->GreenletExit);
        if (failed)
            green->error = error;
        else
            result = error;
        Py_XDECREF(type);
        Py_XDECREF(tb);
    }
    green->value = result;
    green->status = DONE;
    Py_CLEAR(green->run);
    Py_CLEAR(green->args);
    Py_CLEAR(green->kwargs);
    if (waitlist_wake(&green->joiners, PY_SSIZE_T_MAX, Py_None) < 0 || schedule_links(self) < 0) PyErr_WriteUnraisable(self);
    if (failed) {
        PyErr_SetObject((PyObject *)Py_TYPE(green->error), green->error);
        if (loop_report(hub_core(green->hub), self) < 0) PyErr_Clear(); /* a destroyed hub: nobody to tell */
    }
}

/* What the engine calls in place of `run`. */
static PyObject *boot(PyObject *self, PyObject *value)
{
    (void)value;
    struct green *green = of(self);
    if (green->status >= RUNNING) Py_RETURN_NONE; /* cancelled, then switched to by hand */
    forget_later(self); /* started before its time by somebody's switch() */
    green->status = RUNNING;
    PyObject *result = NULL;
    if (!park_raise_pending(self)) {
        PyObject *args = green->args != NULL ? green->args : no_args;
        if (green->run != NULL) {
            result = PyObject_Call(green->run, args, green->kwargs);
        } else {
            PyObject *run = PyObject_GetAttr(self, name_run);
            if (run != NULL) result = PyObject_Call(run, args, green->kwargs);
            Py_XDECREF(run);
        }
    }
    finish(self, result);
    Py_RETURN_NONE;
}

/* The beginning. */

/* `args` stolen, `kwargs` stolen or NULL. */
static int set_up(PyObject *self, PyObject *run, PyObject *args, PyObject *kwargs)
{
    struct green *green = of(self);
    struct hub *hub = NULL;
    PyObject *context = NULL;
    if (green->status != NEW || green->hub != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Greenlet.__init__() was called twice");
    } else if (run != NULL && !PyCallable_Check(run)) {
        PyErr_Format(PyExc_TypeError, "a Greenlet runs a callable, not %.100s: %R", Py_TYPE(run)->tp_name, run);
    } else if ((hub = hub_here()) != NULL) {
        context = PyContext_CopyCurrent();
    }
    if (context == NULL) {
        Py_XDECREF(args);
        Py_XDECREF(kwargs);
        return -1;
    }
    green->run = Py_XNewRef(run);
    green->args = args;
    green->kwargs = kwargs;
    green->hub = Py_NewRef(hub->self);
    engine->set_parent(self, hub->self);
    engine->set_context(self, context);
    hub_face(self)->boot = boot;
    return 0;
}

static void on_later(struct deadline *node)
{
    struct green *green = (struct green *)((char *)node - offsetof(struct green, later));
    struct hub *hub = hub_core(green->hub);
    if (park_start(hub, green->self, Py_None) < 0) {
        PyErr_Clear();
        deadline_add(&hub->deadlines, node, deadline_clock() + 0.01); /* no memory to queue it: in a moment */
        return;
    }
    hub->live--;
    Py_DECREF(green->self); /* not the last: the queue has one */
}

static PyObject *green_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs;
    PyObject *self = engine->type->tp_new(type, no_args, NULL);
    if (self == NULL) return NULL;
    struct green *green = of(self);
    memset(green, 0, sizeof *green);
    green->self = self;
    deadline_init(&green->later, on_later);
    return self;
}

static int green_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *run = NULL, *rest, *named = NULL;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0 && (named = PyDict_Copy(kwargs)) == NULL) return -1;
    if (PyTuple_GET_SIZE(args) > 0) {
        run = PyTuple_GET_ITEM(args, 0);
    } else if (named != NULL && (run = PyDict_GetItemString(named, "run")) != NULL) {
        PyDict_DelItemString(named, "run"); /* the caller's dict holds it on */
    }
    if (run == Py_None) run = NULL;
    rest = PyTuple_GetSlice(args, 1, PY_SSIZE_T_MAX);
    if (rest == NULL) {
        Py_XDECREF(named);
        return -1;
    }
    return set_up(self, run, rest, named);
}

static int start(PyObject *self)
{
    struct green *green = of(self);
    struct hub *hub = hub_of(green);
    if (hub == NULL) return -1;
    if (green->status != NEW) return 0;
    if (park_start(hub, self, Py_None) < 0) return -1;
    green->status = SCHEDULED;
    return 0;
}

static int start_later(PyObject *self, double seconds)
{
    struct green *green = of(self);
    struct hub *hub = hub_of(green);
    if (hub == NULL) return -1;
    if (green->status != NEW) return 0;
    if (deadline_add(&hub->deadlines, &green->later, deadline_clock() + seconds) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    green->status = SCHEDULED;
    hub->live++;
    Py_INCREF(self);
    inbox_kick(hub);
    return 0;
}

/* A new greenlet of class `cls`: by its constructor, or at once if the class has ours. */
static PyObject *make(PyObject *cls, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyTypeObject *type = (PyTypeObject *)cls;
    if (type->tp_init != green_init || type->tp_new != green_new || nargs == 0)
        return PyObject_Vectorcall(cls, args, (size_t)nargs, names);
    PyObject *kwargs = NULL, *rest = PyTuple_New(nargs - 1);
    if (rest == NULL) return NULL;
    for (Py_ssize_t i = 1; i < nargs; i++) PyTuple_SET_ITEM(rest, i - 1, Py_NewRef(args[i]));
    if (names != NULL && PyTuple_GET_SIZE(names) > 0) {
        kwargs = PyDict_New();
        for (Py_ssize_t i = 0; kwargs != NULL && i < PyTuple_GET_SIZE(names); i++)
            if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(names, i), args[nargs + i]) < 0) Py_CLEAR(kwargs);
        if (kwargs == NULL) {
            Py_DECREF(rest);
            return NULL;
        }
    }
    PyObject *self = green_new(type, NULL, NULL);
    if (self == NULL) {
        Py_DECREF(rest);
        Py_XDECREF(kwargs);
    } else if (set_up(self, args[0] == Py_None ? NULL : args[0], rest, kwargs) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

static PyObject *green_spawn(PyObject *cls, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *self = make(cls, args, nargs, names);
    if (self != NULL && start(self) < 0) Py_CLEAR(self);
    return self;
}

static PyObject *green_spawn_later(PyObject *cls, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    double seconds;
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "spawn_later() takes the seconds to wait first");
        return NULL;
    }
    if (args[0] == Py_None) {
        PyErr_SetString(PyExc_TypeError, "spawn_later() takes a number of seconds, not None");
        return NULL;
    }
    if (park_timeout(args[0], &seconds) < 0) return NULL;
    PyObject *self = make(cls, args + 1, nargs - 1, names);
    if (self != NULL && start_later(self, seconds) < 0) Py_CLEAR(self);
    return self;
}

static PyObject *green_start(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (start(self) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *green_start_later(PyObject *self, PyObject *argument)
{
    double seconds;
    if (argument == Py_None) {
        PyErr_SetString(PyExc_TypeError, "start_later() takes a number of seconds, not None");
        return NULL;
    }
    if (park_timeout(argument, &seconds) < 0 || start_later(self, seconds) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *green_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct green *green = of(self);
    if (hub_of(green) == NULL) return NULL;
    if (nargs > 1 || (nargs == 1 && !PyExceptionInstance_Check(args[0]))) {
        PyErr_SetString(PyExc_TypeError, "cancel() takes nothing, or one exception instance");
        return NULL;
    }
    if (green->status >= RUNNING) Py_RETURN_FALSE;
    forget_later(self);
    park_unstart(self);
    if (nargs == 1)
        PyErr_SetObject((PyObject *)Py_TYPE(args[0]), args[0]);
    else
        PyErr_SetNone(engine->GreenletExit);
    finish(self, NULL);
    Py_RETURN_TRUE;
}

/* Waiting and results. */

static PyObject *green_join(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *argument;
    double timeout;
    if (park_arguments("join", (const char *[]){"timeout"}, 1, args, nargs, names, &argument) < 0) return NULL;
    if (park_timeout(argument, &timeout) < 0) return NULL;
    if (of(self)->status == DONE) Py_RETURN_NONE;
    PyObject *result = waitlist_wait(&of(self)->joiners, self, timeout);
    if (result == NULL) return NULL;
    Py_DECREF(result);
    Py_RETURN_NONE;
}

static PyObject *raise_timeout(PyObject *self, PyObject *timeout)
{
    PyObject *make_error = PyObject_GetAttr(self, name_timeout_error);
    PyObject *error = make_error == NULL ? NULL : PyObject_CallOneArg(make_error, timeout);
    Py_XDECREF(make_error);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyObject *green_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    struct green *green = of(self);
    PyObject *found[2];
    double timeout;
    if (park_arguments("get", (const char *[]){"block", "timeout"}, 2, args, nargs, names, found) < 0) return NULL;
    int block = found[0] == NULL ? 1 : PyObject_IsTrue(found[0]);
    if (block < 0 || park_timeout(found[1], &timeout) < 0) return NULL;
    if (green->status != DONE) {
        if (!block) return raise_timeout(self, Py_None);
        PyObject *result = waitlist_wait(&green->joiners, self, timeout);
        if (result == NULL) return NULL;
        Py_DECREF(result);
        if (result == hub_timed_out) return raise_timeout(self, found[1]);
    }
    if (green->error == NULL) return Py_NewRef(green->value);
    PyErr_SetObject((PyObject *)Py_TYPE(green->error), green->error);
    return NULL;
}

static PyObject *green_ready(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(of(self)->status == DONE);
}

static PyObject *green_successful(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(of(self)->status == DONE && of(self)->error == NULL);
}

static int green_bool(PyObject *self) { return of(self)->status == SCHEDULED || of(self)->status == RUNNING; }

static PyObject *green_run_nothing(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self, (void)args, (void)kwargs;
    Py_RETURN_NONE;
}

/* Links. */

static PyObject *green_rawlink(PyObject *self, PyObject *callback)
{
    struct green *green = of(self);
    if (hub_of(green) == NULL) return NULL;
    if (!PyCallable_Check(callback)) {
        PyErr_Format(PyExc_TypeError, "a link must be callable, not %.100s: %R", Py_TYPE(callback)->tp_name, callback);
        return NULL;
    }
    if (green->links == NULL && (green->links = PyList_New(0)) == NULL) return NULL;
    if (PyList_Append(green->links, callback) < 0) return NULL;
    if (green->status == DONE && schedule_links(self) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *green_unlink(PyObject *self, PyObject *callback)
{
    struct green *green = of(self);
    Py_ssize_t i = green->links == NULL ? -1 : PySequence_Index(green->links, callback);
    if (i >= 0) {
        if (green->links != NULL && PySequence_DelItem(green->links, i) < 0) return NULL;
    } else if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) return NULL;
        PyErr_Clear();
    }
    Py_RETURN_NONE;
}

static PyObject *green_unlink_all(PyObject *self, PyObject *unused)
{
    (void)unused;
    Py_CLEAR(of(self)->links);
    Py_RETURN_NONE;
}

static PyObject *green_has_links(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct green *green = of(self);
    return PyLong_FromSsize_t((green->links == NULL ? 0 : PyList_GET_SIZE(green->links)) + green->joiners.len);
}

/* Attributes. */

static PyObject *or_none(PyObject *object) { return Py_NewRef(object != NULL ? object : Py_None); }

static PyObject *get_args(PyObject *self, void *closure)
{
    (void)closure;
    return Py_NewRef(of(self)->args != NULL ? of(self)->args : no_args);
}

static int set_args(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    if (value == NULL || !PyTuple_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "args must be a tuple");
        return -1;
    }
    Py_XSETREF(of(self)->args, Py_NewRef(value));
    return 0;
}

static PyObject *get_kwargs(PyObject *self, void *closure)
{
    (void)closure;
    return of(self)->kwargs != NULL ? Py_NewRef(of(self)->kwargs) : PyDict_New();
}

static int set_kwargs(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    if (value == NULL || !PyDict_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "kwargs must be a dict");
        return -1;
    }
    Py_XSETREF(of(self)->kwargs, Py_NewRef(value));
    return 0;
}

static PyObject *get_value(PyObject *self, void *closure)
{
    (void)closure;
    return or_none(of(self)->value);
}

static PyObject *get_exception(PyObject *self, void *closure)
{
    (void)closure;
    return or_none(of(self)->error);
}

static PyObject *get_exc_info(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *error = of(self)->error;
    if (error == NULL) return Py_NewRef(no_args);
    PyObject *tb = PyException_GetTraceback(error);
    PyObject *triple = PyTuple_Pack(3, (PyObject *)Py_TYPE(error), error, tb != NULL ? tb : Py_None);
    Py_XDECREF(tb);
    return triple;
}

static PyObject *get_hub(PyObject *self, void *closure)
{
    (void)closure;
    return or_none(of(self)->hub);
}

static PyObject *get_started(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(green_bool(self));
}

static PyObject *get_dead(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(of(self)->status == DONE || hub_face(self)->state == SWITCH_DEAD);
}

/* Life. */

static int green_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct green *green = of(self);
    Py_VISIT(green->run);
    Py_VISIT(green->args);
    Py_VISIT(green->kwargs);
    Py_VISIT(green->value);
    Py_VISIT(green->error);
    Py_VISIT(green->links);
    Py_VISIT(green->hub);
    return engine->traverse(self, visit, arg);
}

static int green_clear(PyObject *self)
{
    struct green *green = of(self);
    Py_CLEAR(green->run);
    Py_CLEAR(green->args);
    Py_CLEAR(green->kwargs);
    Py_CLEAR(green->value);
    Py_CLEAR(green->error);
    Py_CLEAR(green->links);
    return engine->clear(self); /* the hub goes last: its heap may hold our deadline until then */
}

static void green_finalize(PyObject *self) { engine->finalize(self); }

static void green_dealloc(PyObject *self)
{
    if (PyObject_CallFinalizerFromDealloc(self) < 0) return;
    PyObject_GC_UnTrack(self);
    struct green *green = of(self);
    Py_CLEAR(green->run);
    Py_CLEAR(green->args);
    Py_CLEAR(green->kwargs);
    Py_CLEAR(green->value);
    Py_CLEAR(green->error);
    Py_CLEAR(green->links);
    Py_CLEAR(green->hub);
    engine->dealloc(self);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef green_methods[] = {
    {"spawn", FAST(green_spawn), METH_FASTCALL | METH_KEYWORDS | METH_CLASS,
     "spawn(function, *args, **kwargs)\n--\n\nMake a greenlet and schedule it; it runs when the caller waits next."},
    {"spawn_later", FAST(green_spawn_later), METH_FASTCALL | METH_KEYWORDS | METH_CLASS,
     "spawn_later(seconds, function, *args, **kwargs)\n--\n\nMake a greenlet that starts after `seconds`."},
    {"start", green_start, METH_NOARGS, "start()\n--\n\nSchedule it to run; nothing if it was started or cancelled."},
    {"start_later", green_start_later, METH_O, "start_later(seconds, /)\n--\n\nSchedule it to run after `seconds`."},
    {"cancel", FAST(green_cancel), METH_FASTCALL,
     "cancel(error=GreenletExit(), /)\n--\n\nBefore it ran: it never will; it is ready with `error`, its links are called.\n"
     "False if it had started. Never switches."},
    {"join", FAST(green_join), METH_FASTCALL | METH_KEYWORDS,
     "join(timeout=None)\n--\n\nWait until it is over, or for `timeout` seconds. Switches unless it is over."},
    {"get", FAST(green_get), METH_FASTCALL | METH_KEYWORDS,
     "get(block=True, timeout=None)\n--\n\nWait for the result: returns it, or raises what the greenlet raised; Timeout if it is not\n"
     "there in time. Switches unless it is over."},
    {"ready", green_ready, METH_NOARGS, "ready()\n--\n\nTrue once it is over."},
    {"successful", green_successful, METH_NOARGS,
     "successful()\n--\n\nTrue if it is over and did not fail; GreenletExit is no failure."},
    {"rawlink", green_rawlink, METH_O,
     "rawlink(callback, /)\n--\n\nCall callback(greenlet) in the hub once it is over; it must not block."},
    {"unlink", green_unlink, METH_O, "unlink(callback, /)\n--\n\nTake a link away; silent if there is none."},
    {"unlink_all", green_unlink_all, METH_NOARGS, "unlink_all()\n--\n\nTake all links away."},
    {"has_links", green_has_links, METH_NOARGS, "has_links()\n--\n\nHow many links and waiting joiners there are."},
    {"_run", FAST(green_run_nothing), METH_VARARGS | METH_KEYWORDS,
     "_run(*args, **kwargs)\n--\n\nWhat runs if no function was given; for subclasses to override."},
    {"_notify_links", notify_links, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef green_getset[] = {
    {"args", get_args, set_args, "Positional arguments; empty once it is over.", NULL},
    {"kwargs", get_kwargs, set_kwargs, "Keyword arguments; empty once it is over.", NULL},
    {"value", get_value, NULL, "The result, the GreenletExit that ended it, or None.", NULL},
    {"exception", get_exception, NULL, "The exception that ended it, or None.", NULL},
    {"exc_info", get_exc_info, NULL, "(type, exception, traceback) of the failure, or ().", NULL},
    {"hub", get_hub, NULL, "The hub of the thread that made it.", NULL},
    {"started", get_started, NULL, "True from start() until it is over.", NULL},
    {"dead", get_dead, NULL, "True once it is over or cancelled.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot green_slots[] = {
    {Py_tp_doc, "Greenlet(run=None, *args, **kwargs)\n--\n\nA greenlet with a result, that can be joined and linked to."},
    {Py_tp_new, green_new},
    {Py_tp_init, green_init},
    {Py_tp_traverse, green_traverse},
    {Py_tp_clear, green_clear},
    {Py_tp_finalize, green_finalize},
    {Py_tp_dealloc, green_dealloc},
    {Py_tp_methods, green_methods},
    {Py_tp_getset, green_getset},
    {Py_nb_bool, green_bool},
    {0, NULL},
};

int green_setup(PyObject *module)
{
    offset = (engine->type->tp_basicsize + 15) & ~(Py_ssize_t)15;
    PyType_Spec spec = {
        .name = "corolib._hub._core.Greenlet",
        .basicsize = (int)(offset + (Py_ssize_t)sizeof(struct green)),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
        .slots = green_slots,
    };
    name_run = PyUnicode_InternFromString("_run");
    name_notify = PyUnicode_InternFromString("_notify_links");
    name_timeout_error = PyUnicode_InternFromString("_timeout_error");
    no_args = PyTuple_New(0);
    if (name_run == NULL || name_notify == NULL || name_timeout_error == NULL || no_args == NULL) return -1;
    PyObject *type = PyType_FromSpecWithBases(&spec, (PyObject *)engine->type);
    if (type == NULL) return -1;
    int rc = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return rc;
}
