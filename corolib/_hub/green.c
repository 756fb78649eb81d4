/* The C Greenlet: state, result, links and joiners, so that spawn, run, finish and join need no Python frame
 * of ours.
 *
 *     NEW --start()--> SCHEDULED --the hub switches to it--> RUNNING --returns or raises--> DONE
 *      |                    |
 *      +------cancel()------+----> DONE, without ever having run
 *
 * The struct is the tail of the engine's greenlet object. The engine calls boot() in place of `run`; whatever
 * happens in there is a result, never an exception in the parent: it is kept, reported to hub.handle_error,
 * and raised by get(). */
#include "green.h"

#include <stddef.h>

#include "arguments.h"
#include "park.h"
#include "watch.h"

PyObject *green_no_args, *green_name_notify, *green_name_timeout;
Py_ssize_t green_offset;

static PyObject *name_run;

static void forget_later(PyObject *self)
{
    struct green *green = green_of(self);
    if (!deadline_active(&green->later)) return;
    struct hub *hub = hub_core(green->hub);
    deadline_remove(&hub->deadlines, &green->later);
    hub->live--;
    Py_DECREF(self); /* the caller has another one */
}

/* The end. */

static void drop_call(struct green *green)
{
    Py_CLEAR(green->run);
    Py_CLEAR(green->args);
    Py_CLEAR(green->kwargs);
    Py_CLEAR(green->callee);
    Py_CLEAR(green->passed);
}

/* The greenlet is over: with `result` (stolen), or NULL and an exception set. */
static __attribute__((noinline)) void finish(PyObject *self, PyObject *result)
{
    struct green *green = green_of(self);
    bool failed = false;
    if (result == NULL) {
        PyObject *type, *error, *tb;
        PyErr_Fetch(&type, &error, &tb);
        PyErr_NormalizeException(&type, &error, &tb);
        if (tb != NULL) PyException_SetTraceback(error, tb);
        failed = !PyErr_GivenExceptionMatches(error, engine->GreenletExit);
        if (failed) {
            green->error = error;
            green->traceback = Py_XNewRef(tb);
        } else {
            result = error;
        }
        Py_XDECREF(type);
        Py_XDECREF(tb);
    }
    green->value = result;
    green->status = DONE;
    park_forget_pending(self);
    if (waitlist_wake(&green->joiners, PY_SSIZE_T_MAX, Py_None) < 0 || green_schedule_links(self) < 0)
        PyErr_WriteUnraisable(self);
    if (failed) {
        PyErr_SetObject((PyObject *)Py_TYPE(green->error), green->error);
        if (loop_report(hub_core(green->hub), self) < 0) PyErr_Clear(); /* a destroyed hub: nobody to tell */
    }
    /* Last: the report may name them. */
    drop_call(green);
}

/* All values of a call with names in one tuple, those with names last; `*names` (new) are the names. NULL
 * with an exception. */
static PyObject *line_up(const struct green *green, PyObject **names)
{
    PyObject *args = green->args != NULL ? green->args : green_no_args;
    Py_ssize_t count = PyTuple_GET_SIZE(args), i = 0, at = 0;
    PyObject *all = PyTuple_New(count + PyDict_GET_SIZE(green->kwargs)), *key, *value;
    PyObject *keys = all == NULL ? NULL : PyTuple_New(PyDict_GET_SIZE(green->kwargs));
    if (keys == NULL) {
        Py_XDECREF(all);
        return NULL;
    }
    for (; i < count; i++) PyTuple_SET_ITEM(all, i, Py_NewRef(PyTuple_GET_ITEM(args, i)));
    for (i = 0; PyDict_Next(green->kwargs, &at, &key, &value); i++) {
        if (!PyUnicode_Check(key)) {
            PyErr_Format(PyExc_TypeError, "keywords must be strings, not %.100s", Py_TYPE(key)->tp_name);
            Py_DECREF(all);
            Py_DECREF(keys);
            return NULL;
        }
        PyTuple_SET_ITEM(keys, i, Py_NewRef(key));
        PyTuple_SET_ITEM(all, count + i, Py_NewRef(value));
    }
    *names = keys;
    return all;
}

/* Call it with names. */
static __attribute__((noinline)) PyObject *call_by_names(struct green *green)
{
    PyObject *names;
    if ((green->passed = line_up(green, &names)) == NULL) return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(green->passed) - PyTuple_GET_SIZE(names);
    PyObject *result =
        PyObject_Vectorcall(green->callee, PySequence_Fast_ITEMS(green->passed), (size_t)count, names);
    Py_DECREF(names);
    return result;
}

/* Call it. Its arguments can be assigned meanwhile, so they are held apart; a function in Python has taken
 * over what it needs by the time it runs. */
static PyObject *call(PyObject *self)
{
    struct green *green = green_of(self);
    green->callee = green->run != NULL ? Py_NewRef(green->run) : PyObject_GetAttr(self, name_run);
    if (green->callee == NULL) return NULL;
    if (green->kwargs != NULL && PyDict_GET_SIZE(green->kwargs) > 0) return call_by_names(green);
    green->passed = Py_NewRef(green->args != NULL ? green->args : green_no_args);
    return PyObject_Vectorcall(green->callee, PySequence_Fast_ITEMS(green->passed),
                               (size_t)PyTuple_GET_SIZE(green->passed), NULL);
}

/* Whether it is to be called. */
static __attribute__((noinline)) bool begin(PyObject *self)
{
    forget_later(self); /* started before its time by somebody's switch() */
    green_of(self)->status = RUNNING;
    return !park_raise_pending(self);
}

/* What the engine calls in place of `run`. It is on the stack of every greenlet that waits, so it keeps
 * little there. */
static PyObject *boot(PyObject *self, PyObject *value)
{
    (void)value;
    if (green_of(self)->status >= RUNNING) Py_RETURN_NONE; /* cancelled, then switched to by hand */
    finish(self, begin(self) ? call(self) : NULL);
    Py_RETURN_NONE;
}

/* The beginning. */

/* `args` stolen, `kwargs` stolen or NULL. */
static int set_up(PyObject *self, PyObject *run, PyObject *args, PyObject *kwargs)
{
    struct green *green = green_of(self);
    struct hub *hub = NULL;
    PyObject *context = NULL;
    int rc = -1;
    if (green->status != NEW || green->hub != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Greenlet.__init__() was called twice");
    } else if (run != NULL && !PyCallable_Check(run)) {
        PyErr_Format(PyExc_TypeError, "a Greenlet runs a callable, not %.100s: %R", Py_TYPE(run)->tp_name,
                     run);
    } else if ((hub = hub_here()) != NULL) {
        context = arguments_context(&kwargs);
        rc = context != NULL ? 0 : engine->copy_context(&context);
    }
    if (rc < 0) {
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
    (void)engine->places(green->places, GREEN_PLACES);
    return 0;
}

PyObject *green_kind(PyObject *self)
{
    if (hub_face(self)->boot != boot) return NULL; /* a hub */
    PyObject *run = green_of(self)->run;
    return run != NULL ? run : (PyObject *)Py_TYPE(self);
}

void green_due(struct deadline *node)
{
    struct green *green = (struct green *)((char *)node - offsetof(struct green, later));
    struct hub *hub = hub_core(green->hub);
    if (hub->destroyed) { /* close_down() empties the heap: it will never run */
        hub->live--;
        Py_DECREF(green->self);
        return;
    }
    if (park_start(hub, green->self, Py_None) < 0) {
        PyErr_Clear();
        deadline_add(&hub->deadlines, node,
                     deadline_now(&hub->deadlines) + 0.01); /* no memory to queue it: in a moment */
        return;
    }
    hub->live--;
    Py_DECREF(green->self); /* not the last: the queue has one */
}

static PyObject *green_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs;
    PyObject *self = engine->type->tp_new(type, green_no_args, NULL);
    if (self == NULL) return NULL;
    struct green *green = green_of(self);
    memset(green, 0, sizeof *green);
    green->self = self;
    deadline_init(&green->later, DEADLINE_GREEN);
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

/* The hub to start in; NULL with RuntimeError if it cannot run anything any more. */
static struct hub *open_hub(struct green *green)
{
    struct hub *hub = green_hub(green);
    if (hub == NULL || !hub->destroyed) return hub;
    PyErr_SetString(PyExc_RuntimeError, "the hub of this greenlet is destroyed");
    return NULL;
}

static int start(PyObject *self)
{
    struct green *green = green_of(self);
    struct hub *hub = open_hub(green);
    if (hub == NULL) return -1;
    if (green->status != NEW) return 0;
    if (park_start(hub, self, Py_None) < 0) return -1;
    green->status = SCHEDULED;
    return 0;
}

static int start_later(PyObject *self, double seconds)
{
    struct green *green = green_of(self);
    struct hub *hub = open_hub(green);
    if (hub == NULL) return -1;
    if (green->status != NEW) return 0;
    if (deadline_add(&hub->deadlines, &green->later, deadline_now(&hub->deadlines) + seconds) < 0) {
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
    PyObject *rest, *kwargs;
    if (arguments_pack(1, args, nargs, names, &rest, &kwargs) < 0) return NULL;
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
    struct green *green = green_of(self);
    if (green_hub(green) == NULL) return NULL;
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

static PyObject *green_run_nothing(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self, (void)args, (void)kwargs;
    Py_RETURN_NONE;
}

/* Life. */

static int green_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct green *green = green_of(self);
    struct park *park = hub_face(self)->park;
    if (park != NULL && park_held(park)) return 0;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(green->run);
    Py_VISIT(green->args);
    Py_VISIT(green->kwargs);
    Py_VISIT(green->value);
    Py_VISIT(green->error);
    Py_VISIT(green->traceback);
    Py_VISIT(green->links);
    Py_VISIT(green->hub);
    Py_VISIT(green->callee);
    Py_VISIT(green->passed);
    return engine->traverse(self, visit, arg);
}

static void drop(struct green *green)
{
    drop_call(green);
    Py_CLEAR(green->value);
    Py_CLEAR(green->error);
    Py_CLEAR(green->traceback);
    Py_CLEAR(green->links);
}

static int green_clear(PyObject *self)
{
    drop(green_of(self));
    return engine->clear(self); /* the hub goes last: its heap may hold our deadline until then */
}

static void green_finalize(PyObject *self)
{
    engine->finalize(self);
}

static void green_dealloc(PyObject *self)
{
    if (PyObject_CallFinalizerFromDealloc(self) < 0) return;
    PyObject_GC_UnTrack(self);
    struct green *green = green_of(self);
    drop(green);
    for (int i = 0; i < GREEN_PLACES; i++) Py_XDECREF(green->places[i].code);
    Py_CLEAR(green->hub);
    engine->dealloc(self);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef green_methods[] = {
    {"spawn", FAST(green_spawn), METH_FASTCALL | METH_KEYWORDS | METH_CLASS,
     "spawn($type, /, *args, **kwargs)\n--\n\nMake a greenlet and schedule it; it runs when the caller waits "
     "next."},
    {"spawn_later", FAST(green_spawn_later), METH_FASTCALL | METH_KEYWORDS | METH_CLASS,
     "spawn_later($type, /, *args, **kwargs)\n--\n\nMake a greenlet that starts after `seconds`."},
    {"start", green_start, METH_NOARGS,
     "start($self, /)\n--\n\nSchedule it to run; nothing if it was started or cancelled."},
    {"start_later", green_start_later, METH_O,
     "start_later($self, seconds, /)\n--\n\nSchedule it to run after `seconds`."},
    {"cancel", FAST(green_cancel), METH_FASTCALL,
     "cancel($self, error=GreenletExit(), /)\n--\n\nBefore it ran: it never will; it is ready with `error`, "
     "its "
     "links are called.\n"
     "False if it had started. Never switches."},
    {"join", FAST(green_join), METH_FASTCALL | METH_KEYWORDS,
     "join($self, /, timeout=None)\n--\n\nWait until it is over, or for `timeout` seconds. Switches unless "
     "it is "
     "over."},
    {"get", FAST(green_get), METH_FASTCALL | METH_KEYWORDS,
     "get($self, /, block=True, timeout=None)\n--\n\nWait for the result: returns it, or raises what the "
     "greenlet "
     "raised; Timeout if it is not\n"
     "there within `timeout` seconds. Switches unless it is over."},
    {"ready", green_ready, METH_NOARGS, "ready($self, /)\n--\n\nTrue once it is over."},
    {"successful", green_successful, METH_NOARGS,
     "successful($self, /)\n--\n\nTrue if it is over and did not fail; GreenletExit is no failure."},
    {"rawlink", green_rawlink, METH_O,
     "rawlink($self, callback, /)\n--\n\nCall callback(greenlet) in the hub once it is over; it must not "
     "block."},
    {"unlink", green_unlink, METH_O,
     "unlink($self, callback, /)\n--\n\nTake a link away; silent if there is none."},
    {"unlink_all", green_unlink_all, METH_NOARGS, "unlink_all($self, /)\n--\n\nTake all links away."},
    {"has_links", green_has_links, METH_NOARGS,
     "has_links($self, /)\n--\n\nHow many links and waiting joiners there are."},
    {"_run", FAST(green_run_nothing), METH_VARARGS | METH_KEYWORDS,
     "_run($self, /, *args, **kwargs)\n--\n\nWhat runs if no function was given; for subclasses to "
     "override."},
    {"_notify_links", green_notify_links, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot green_slots[] = {
    {Py_tp_doc, "Greenlet(run=None, *args, **kwargs)\n--\n\nA greenlet with a result, that can be joined and "
                "linked to."},
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
    green_offset = (engine->type->tp_basicsize + 15) & ~(Py_ssize_t)15;
    PyType_Spec spec = {
        .name = "corolib._hub._core.Greenlet",
        .basicsize = (int)(green_offset + (Py_ssize_t)sizeof(struct green)),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
        .slots = green_slots,
    };
    name_run = PyUnicode_InternFromString("_run");
    green_name_notify = PyUnicode_InternFromString("_notify_links");
    green_name_timeout = PyUnicode_InternFromString("_timeout_error");
    green_no_args = PyTuple_New(0);
    if (name_run == NULL || green_name_notify == NULL || green_name_timeout == NULL || green_no_args == NULL)
        return -1;
    PyObject *type = PyType_FromSpecWithBases(&spec, (PyObject *)engine->type);
    if (type == NULL) return -1;
    int rc = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return rc;
}
