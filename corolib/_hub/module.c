/* corolib._hub._core: the functions of the one wait, and the module's init.
 *
 * Long, but one idea: what Python can call, each function a few lines over what another file does, and the
 * table of them. */
#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "arguments.h"
#include "fd.h"
#include "green.h"
#include "heap.h"
#include "hub.h"
#include "locks.h"
#include "park.h"
#include "queue.h"
#include "socket.h"
#include "tasks.h"
#include "waitlist.h"
#include "waits.h"
#include "watch.h"

#define FAST(function) (PyCFunction)(void (*)(void)) function

static int check_greenlet(PyObject *object)
{
    if (PyObject_TypeCheck(object, engine->type)) return 0;
    PyErr_Format(PyExc_TypeError, "a greenlet was expected, not %.100s", Py_TYPE(object)->tp_name);
    return -1;
}

static int check_error(PyObject *object)
{
    if (PyExceptionInstance_Check(object)) return 0;
    PyErr_Format(PyExc_TypeError, "an exception instance was expected, not %.100s", Py_TYPE(object)->tp_name);
    return -1;
}

static PyObject *core_get_hub(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    struct hub *hub = hub_here();
    return hub == NULL ? NULL : Py_NewRef(hub->self);
}

static PyObject *core_get_hub_if_exists(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    struct hub *hub = hub_if_exists();
    if (hub == NULL) return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    return Py_NewRef(hub->self);
}

static PyObject *core_set_hub(PyObject *module, PyObject *hub)
{
    (void)module;
    if (hub_set(hub == Py_None ? NULL : hub) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *core_set_hub_factory(PyObject *module, PyObject *callable)
{
    (void)module;
    if (!PyCallable_Check(callable)) {
        PyErr_Format(PyExc_TypeError, "the hub factory must be callable, not %.100s",
                     Py_TYPE(callable)->tp_name);
        return NULL;
    }
    hub_set_factory(callable);
    Py_RETURN_NONE;
}

static PyObject *core_thread_idle(PyObject *module, PyObject *argument)
{
    (void)module;
    Py_ssize_t delta = PyNumber_AsSsize_t(argument, PyExc_OverflowError);
    if (delta == -1 && PyErr_Occurred()) return NULL;
    hub_idle_threads += delta;
    Py_RETURN_NONE;
}

/* A native thread's first frame needs memory that nobody could have set aside for it. Without any, _thread
 * would print the error and end the thread; but somebody counts on it by then. An exception from within the
 * function has a traceback, one from before its first frame has none. */
static PyObject *core_persist(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (nargs < 1 || !PyCallable_Check(args[0])) {
        PyErr_Format(PyExc_TypeError, "persist() takes a callable first, not %.100s",
                     nargs ? Py_TYPE(args[0])->tp_name : "nothing");
        return NULL;
    }
    for (;;) {
        PyObject *result = PyObject_Vectorcall(args[0], args + 1, (size_t)nargs - 1, NULL);
        if (result != NULL || !PyErr_ExceptionMatches(PyExc_MemoryError)) return result;
        PyObject *type, *error, *tb;
        PyErr_Fetch(&type, &error, &tb);
        if (tb != NULL) {
            PyErr_Restore(type, error, tb);
            return NULL;
        }
        Py_XDECREF(type);
        Py_XDECREF(error);
        hub_pause(10);
    }
}

static PyObject *core_tell(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (nargs == 2) return inbox_tell(args[0], args[1]);
    PyErr_Format(PyExc_TypeError, "tell() takes a function and its argument, got %zd arguments", nargs);
    return NULL;
}

/* Sleeping. */

static const struct park_kind kind_sleep = {.name = "sleep"};
static const struct park_kind kind_sleep_unref = {.name = "sleep", .unref = true};

static PyObject *core_held_long(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    struct hub *hub = hub_if_exists();
    if (hub == NULL && PyErr_Occurred()) return NULL;
    return PyBool_FromLong(hub != NULL && hub->thread->current != hub->self && hub_held_long(hub));
}

static PyObject *core_sleep(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    (void)module;
    PyObject *found[2];
    double seconds = 0;
    if (nargs == 1 && names == NULL)
        found[0] = args[0], found[1] = NULL; /* the usual call */
    else if (arguments_take("sleep", (const char *[]){"seconds", "ref", NULL}, 0, args, nargs, names, found) <
             0)
        return NULL;
    if (found[0] == Py_None) {
        PyErr_SetString(PyExc_TypeError, "sleep() takes a number of seconds, not None");
        return NULL;
    }
    if (found[0] != NULL && park_timeout(found[0], &seconds) < 0) return NULL;
    int ref = found[1] == NULL ? 1 : PyObject_IsTrue(found[1]);
    if (ref < 0) return NULL;
    struct park *park = park_begin();
    if (park == NULL) return NULL;
    if (seconds == 0) {
        if (park_yield(park) < 0) return NULL;
        Py_RETURN_NONE;
    }
    PyObject *value = park_wait(park, ref ? &kind_sleep : &kind_sleep_unref, NULL, seconds);
    if (value == NULL) return NULL;
    Py_DECREF(value);
    Py_RETURN_NONE;
}

/* park() and its counterparts. */

static const struct park_kind kind_park = {.name = NULL};
static const struct park_kind kind_park_external = {.name = NULL, .external = true};

static PyObject *core_park(PyObject *module, PyObject *args, PyObject *kwargs)
{
    (void)module;
    static char *names[] = {"kind", "object", "timeout", "external", NULL};
    PyObject *kind, *object = Py_None, *limit = Py_None;
    int external = 0;
    double timeout;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U|OOp:park", names, &kind, &object, &limit, &external))
        return NULL;
    if (park_timeout(limit, &timeout) < 0) return NULL;
    struct park *park = park_begin();
    if (park == NULL) return NULL;
    park->label = kind;
    PyObject *value = park_wait(park, external ? &kind_park_external : &kind_park,
                                object == Py_None ? NULL : object, timeout);
    park->label = NULL;
    return value;
}

static PyObject *core_wake(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (nargs < 1 || nargs > 2) {
        PyErr_Format(PyExc_TypeError, "wake() takes a greenlet and a value, got %zd arguments", nargs);
        return NULL;
    }
    if (check_greenlet(args[0]) < 0) return NULL;
    struct park *park = hub_face(args[0])->park;
    int rc = park == NULL ? 0 : park_wake(park, nargs == 2 ? args[1] : Py_None);
    return rc < 0 ? NULL : PyBool_FromLong(rc);
}

static int take_target(const char *name, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes a greenlet and an exception, got %zd arguments", name,
                     nargs);
        return -1;
    }
    return check_greenlet(args[0]) < 0 ? -1 : check_error(args[1]);
}

static PyObject *core_wake_error(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (take_target("wake_error", args, nargs) < 0) return NULL;
    struct park *park = hub_face(args[0])->park;
    int rc = park == NULL ? 0 : park_wake_error(park, args[1]);
    return rc < 0 ? NULL : PyBool_FromLong(rc);
}

static PyObject *core_interrupt(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (take_target("interrupt", args, nargs) < 0) return NULL;
    int rc = park_interrupt(args[0], args[1]);
    return rc < 0 ? NULL : PyBool_FromLong(rc);
}

static PyObject *core_cancel_interrupt(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (take_target("cancel_interrupt", args, nargs) < 0) return NULL;
    int rc = park_cancel_interrupt(args[0], args[1]);
    return rc < 0 ? NULL : PyBool_FromLong(rc);
}

static PyObject *core_shield(PyObject *module, PyObject *on)
{
    (void)module;
    int truth = PyObject_IsTrue(on);
    int was = truth < 0 ? -1 : park_shield(truth);
    return was < 0 ? NULL : PyBool_FromLong(was);
}

static PyObject *core_vanish(PyObject *module, PyObject *target)
{
    (void)module;
    if (check_greenlet(target) < 0) return NULL;
    if (park_of(target) == NULL) return NULL;
    park_vanish(target);
    Py_RETURN_NONE;
}

/* In CPython this is a function for the inside, under another name from 3.13 on. */
static void write_unraisable(PyObject *function)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyErr_FormatUnraisable("Exception ignored in thread started by %R", function);
#else
    _PyErr_WriteUnraisableMsg("in thread started by", function);
#endif
}

static PyObject *core_thread_failed(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "thread_failed() takes a function and an exception, got %zd arguments",
                     nargs);
        return NULL;
    }
    if (check_error(args[1]) < 0) return NULL;
    PyErr_Restore(Py_NewRef(Py_TYPE(args[1])), Py_NewRef(args[1]), PyException_GetTraceback(args[1]));
    write_unraisable(args[0]);
    Py_RETURN_NONE;
}

static PyObject *core_waiting(PyObject *module, PyObject *target)
{
    (void)module;
    if (check_greenlet(target) < 0) return NULL;
    struct park *park = hub_face(target)->park;
    if (park == NULL || park->state != PARK_WAITING) Py_RETURN_NONE;
    double since = park->since;
    /* Held before the tuple is made: that may run the collector, and with it any Python code. */
    PyObject *object = Py_NewRef(park->object != NULL ? park->object : Py_None);
    PyObject *name = PyUnicode_FromString(park_name(park));
    return Py_BuildValue("NNd", name, object, since);
}

/* Starting. */

static PyObject *core_spawn_raw(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    (void)module;
    struct hub *hub = hub_here();
    if (hub == NULL) return NULL;
    if (nargs < 1 || !PyCallable_Check(args[0])) {
        PyErr_Format(PyExc_TypeError, "spawn_raw() takes a callable first, not %.100s",
                     nargs ? Py_TYPE(args[0])->tp_name : "nothing");
        return NULL;
    }
    PyObject *rest, *kwargs, *fn = Py_NewRef(args[0]), *greenlet = NULL;
    if (arguments_pack(1, args, nargs, names, &rest, &kwargs) < 0) {
        Py_DECREF(fn);
        return NULL;
    }
    PyObject *context = arguments_context(&kwargs);
    if (kwargs != NULL) {
        /* Keywords are rare here: a partial carries them. */
        PyObject *functools = PyImport_ImportModule("functools");
        PyObject *partial = functools == NULL ? NULL : PyObject_GetAttrString(functools, "partial");
        Py_SETREF(fn, partial == NULL ? NULL : PyObject_VectorcallDict(partial, args, 1, kwargs));
        Py_XDECREF(functools);
        Py_XDECREF(partial);
        Py_DECREF(kwargs);
    }
    if (fn != NULL && rest != NULL)
        greenlet = PyObject_Vectorcall((PyObject *)engine->type, (PyObject *[]){fn, hub->self}, 2, NULL);
    if (greenlet != NULL && context != NULL) engine->set_context(greenlet, Py_NewRef(context));
    if (greenlet != NULL && park_start(hub, greenlet, rest) < 0) Py_CLEAR(greenlet);
    Py_XDECREF(context);
    Py_XDECREF(rest);
    Py_XDECREF(fn);
    return greenlet;
}

static PyObject *core_set_context_of(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (nargs != 2 || check_greenlet(args[0]) < 0) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError,
                         "set_context_of() takes a greenlet and a context, got %zd arguments", nargs);
        return NULL;
    }
    if (args[1] != Py_None && !PyContext_CheckExact(args[1])) {
        PyErr_Format(PyExc_TypeError, "a contextvars.Context or None was expected, not %.100s",
                     Py_TYPE(args[1])->tp_name);
        return NULL;
    }
    if (hub_face(args[0])->state != SWITCH_FRESH) {
        PyErr_SetString(PyExc_ValueError, "the context is set before a greenlet starts");
        return NULL;
    }
    engine->set_context(args[0], args[1] == Py_None ? NULL : Py_NewRef(args[1]));
    Py_RETURN_NONE;
}

/* A class derived in Python has a traverse function that looks for what it adds. Where that is nothing, the
 * collector may as well call the one in C itself, which visits the object's type. */
static void own_traverse(PyTypeObject *type)
{
    PyTypeObject *base = type->tp_base;
    if (base->tp_traverse != NULL && type->tp_basicsize == base->tp_basicsize &&
        type->tp_dictoffset == base->tp_dictoffset && type->tp_weaklistoffset == base->tp_weaklistoffset)
        type->tp_traverse = base->tp_traverse;
}

/* CPython calls a method in C without a detour only if the object is of the very class that the method was
 * made for, not of a class derived in Python. */
static PyObject *core_own_methods(PyObject *module, PyObject *cls)
{
    (void)module;
    if (!PyType_Check(cls)) {
        PyErr_Format(PyExc_TypeError, "expected a class, found %.100s", Py_TYPE(cls)->tp_name);
        return NULL;
    }
    PyObject *mro = ((PyTypeObject *)cls)->tp_mro;
    for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(mro); i++) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
        if (base == &PyBaseObject_Type) continue;
        for (PyMethodDef *method = base->tp_methods; method != NULL && method->ml_name != NULL; method++) {
            /* Those with an underscore are there to be overridden, and are looked at for that. */
            if (method->ml_flags & (METH_CLASS | METH_STATIC) || method->ml_name[0] == '_') continue;
            PyObject *found = PyObject_GetAttrString(cls, method->ml_name);
            if (found == NULL) return NULL;
            /* What is overridden in Python stays so. */
            bool plain =
                Py_IS_TYPE(found, &PyMethodDescr_Type) && ((PyMethodDescrObject *)found)->d_method == method;
            Py_DECREF(found);
            if (!plain) continue;
            PyObject *own = PyDescr_NewMethod((PyTypeObject *)cls, method);
            int rc = own == NULL ? -1 : PyObject_SetAttrString(cls, method->ml_name, own);
            Py_XDECREF(own);
            if (rc < 0) return NULL;
        }
    }
    own_traverse((PyTypeObject *)cls);
    return Py_NewRef(cls);
}

/* A function in C, as the one that it replaces: kept in a class it stays one, where a Python function would
   become a method. */
static PyObject *core_close(PyObject *module, PyObject *argument)
{
    (void)module;
    long fd = PyLong_AsLong(argument);
    if (fd == -1 && PyErr_Occurred()) return NULL;
    if (fd > INT_MAX || fd < INT_MIN) {
        PyErr_Format(PyExc_OverflowError, "a descriptor is at most %d, found %ld", INT_MAX, fd);
        return NULL;
    }
    struct hub *hub = hub_if_exists(); /* to close something is no reason to make one */
    if (hub == NULL && PyErr_Occurred()) return NULL;
    if (hub != NULL && fd >= 0 && !hub->destroyed) {
        lost_closing(hub, (int)fd);
        fd_closing(hub, (int)fd);
    }
    int failed;
    Py_BEGIN_ALLOW_THREADS failed = close((int)fd);
    Py_END_ALLOW_THREADS
        /* Interrupted, it is closed all the same. */
        if (failed < 0 && errno != EINTR) return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"close", core_close, METH_O,
     "close(fd, /)\n--\n\nClose a descriptor. Greenlets of this thread that wait for it get OSError (EBADF). "
     "Never switches."},
    {"get_hub", core_get_hub, METH_NOARGS, "get_hub()\n--\n\nThe hub of this thread, made on demand."},
    {"get_hub_if_exists", core_get_hub_if_exists, METH_NOARGS,
     "get_hub_if_exists()\n--\n\nThe hub of this thread, or None."},
    {"set_hub", core_set_hub, METH_O,
     "set_hub(hub, /)\n--\n\nMake it the hub of this thread; None to forget the one there is."},
    {"set_hub_factory", core_set_hub_factory, METH_O,
     "set_hub_factory(factory, /)\n--\n\nfactory() makes a thread's hub."},
    {"thread_idle", core_thread_idle, METH_O,
     "thread_idle(delta, /)\n--\n\nCounts native threads that cannot wake anybody (idle workers): they put "
     "off no LoopExit."},
    {"own_methods", core_own_methods, METH_O,
     "own_methods(cls, /)\n--\n\nThe methods in C that a class derived in Python inherits become its own, "
     "which are called more quickly."},
    {"instances", FAST(heap_instances), METH_FASTCALL,
     "instances(types, among=<all there is>, /)\n--\n\nAll objects of exactly the types in a list, each "
     "once, also those that the collector knows by their holders only. `among`: what gc.get_objects() has "
     "given. Never switches."},
    {"referrers", FAST(heap_referrers), METH_FASTCALL,
     "referrers(objects, among=<all there is>, /)\n--\n\nWhat gc.get_referrers(*objects) gives, of a list: "
     "one walk, however many there are. `among`: what gc.get_objects() has given. Never switches."},
    {"tell", FAST(core_tell), METH_FASTCALL,
     "tell(function, argument, /)\n--\n\nfunction(argument) in a thread that has done its work, and wakes a "
     "hub "
     "of another one by that: the GIL is given to it at once. Never switches."},
    {"persist", FAST(core_persist), METH_FASTCALL,
     "persist(function, /, *args)\n--\n\nfunction(*args); without the memory to begin it, try again every "
     "ten "
     "milliseconds."},
    {"sleep", FAST(core_sleep), METH_FASTCALL | METH_KEYWORDS,
     "sleep(seconds=0, ref=True)\n--\n\nSwitch to the hub for `seconds`; with 0 or less, what is ready runs "
     "first."},
    {"held_long", core_held_long, METH_NOARGS,
     "held_long()\n--\n\nFor whoever finds work again and again: whether nothing has been polled for five "
     "milliseconds, so that others should run first; False in the hub. Never switches."},
    {"park", FAST(core_park), METH_VARARGS | METH_KEYWORDS,
     "park(kind, object=None, timeout=None, external=False)\n--\n\nWait until wake() or wake_error(): the "
     "value, or TIMED_OUT.\n"
     "`external`: something outside will end it, so it is no deadlock."},
    {"wake", FAST(core_wake), METH_FASTCALL,
     "wake(target, value=None, /)\n--\n\nEnd the wait of `target` with a value; False if it does not wait. "
     "Any thread; never switches."},
    {"wake_error", FAST(core_wake_error), METH_FASTCALL,
     "wake_error(target, error, /)\n--\n\nEnd the wait of `target` with an exception; False if it does not "
     "wait. Any thread."},
    {"interrupt", FAST(core_interrupt), METH_FASTCALL,
     "interrupt(target, error, /)\n--\n\nDeliver an exception exactly once: True at the wait of `target`, "
     "False pending at its next one."},
    {"cancel_interrupt", FAST(core_cancel_interrupt), METH_FASTCALL,
     "cancel_interrupt(target, error, /)\n--\n\nTake a pending interrupt back, by identity; False if there "
     "is none (any more)."},
    {"shield", core_shield, METH_O,
     "shield(on, /)\n--\n\nWhile it is on, interrupts of the current greenlet are not delivered at its waits "
     "but stay pending.\nReturns whether it was on, to be put back."},
    {"vanish", core_vanish, METH_O,
     "vanish(target, /)\n--\n\nIt is never resumed again, and nothing is raised in it: a thread that is not "
     "there in the child of a fork.\nIt leaves what it waits for, and lives for ever."},
    {"thread_failed", FAST(core_thread_failed), METH_FASTCALL,
     "thread_failed(function, error, /)\n--\n\nsys.unraisablehook() with what a thread's function has "
     "raised, as _thread reports it."},
    {"waiting", core_waiting, METH_O,
     "waiting(target, /)\n--\n\n(kind, object, since) of a greenlet that waits, or None."},
    {"spawn_raw", FAST(core_spawn_raw), METH_FASTCALL | METH_KEYWORDS,
     "spawn_raw(fn, /, *args, **kwargs)\n--\n\nSchedule fn in a raw greenlet: no result, no links. With an "
     "empty context, unless `context=` is one."},
    {"set_context_of", FAST(core_set_context_of), METH_FASTCALL,
     "set_context_of(target, context, /)\n--\n\nBefore the start: the contextvars.Context that `target` runs "
     "in; None for an empty one."},
    {NULL, NULL, 0, NULL},
};

static int take_engine(void)
{
    PyObject *module = PyImport_ImportModule("corolib._switch._engine");
    if (module == NULL) return -1;
    PyObject *capsule = PyObject_GetAttrString(module, "_hub_api");
    Py_DECREF(module);
    if (capsule == NULL) return -1;
    const struct switch_hubapi *api = PyCapsule_GetPointer(capsule, SWITCH_HUBAPI_NAME);
    Py_DECREF(capsule); /* the module keeps it */
    if (api == NULL) return -1;
    if (api->version != SWITCH_HUBAPI_VERSION || api->size != sizeof *api) {
        PyErr_Format(PyExc_ImportError,
                     "corolib._switch and corolib._hub were built from different sources (API version %u of "
                     "%zu bytes; expected "
                     "%u of %zu): build corolib anew",
                     api->version, api->size, SWITCH_HUBAPI_VERSION, sizeof *api);
        return -1;
    }
    engine = api;
    *api->park_free = park_free;
    *api->park_held = park_held;
    *api->park_traverse = park_traverse;
    *api->park_clear = park_clear;
    *api->kind = green_kind;
    return 0;
}

static int take_errors(void)
{
    PyObject *errors = PyImport_ImportModule("corolib.errors");
    if (errors == NULL) return -1;
    hub_error_blocking = PyObject_GetAttrString(errors, "BlockingSwitchOutError");
    hub_error_invalid_switch = PyObject_GetAttrString(errors, "InvalidSwitchError");
    hub_error_concurrent = PyObject_GetAttrString(errors, "ConcurrentObjectUseError");
    hub_error_thread = PyObject_GetAttrString(errors, "InvalidThreadUseError");
    Py_DECREF(errors);
    return hub_error_blocking && hub_error_invalid_switch && hub_error_concurrent && hub_error_thread ? 0
                                                                                                      : -1;
}

static PyObject *timed_out_repr(PyObject *self)
{
    (void)self;
    return PyUnicode_FromString("TIMED_OUT");
}

static int timed_out_bool(PyObject *self)
{
    (void)self;
    return 0;
}

static PyType_Slot timed_out_slots[] = {
    {Py_tp_doc, "The type of TIMED_OUT; false in a condition."},
    {Py_tp_repr, timed_out_repr},
    {Py_nb_bool, timed_out_bool},
    {0, NULL},
};

static PyType_Spec timed_out_spec = {
    .name = "corolib._hub._core._TimedOut",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = timed_out_slots,
};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    if (type == NULL || PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        Py_XDECREF(type);
        return NULL;
    }
    Py_DECREF(type); /* the module has it */
    return (PyTypeObject *)type;
}

static int exec(PyObject *module)
{
    if (engine != NULL) {
        /* The types' offsets and the engine's table are per process: one interpreter. */
        PyErr_SetString(PyExc_ImportError,
                        "corolib._hub is already in use by another interpreter of this process");
        return -1;
    }
    if (take_engine() < 0 || take_errors() < 0) return -1;
    PyObject *type = PyType_FromSpec(&timed_out_spec);
    if (type == NULL) return -1;
    hub_timed_out = ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0);
    Py_DECREF(type);
    if (hub_timed_out == NULL || PyModule_AddObjectRef(module, "TIMED_OUT", hub_timed_out) < 0) return -1;
    if ((watch_callback_type = add_type(module, &watch_callback_spec)) == NULL) return -1;
    if ((watch_timer_type = add_type(module, &watch_timer_spec)) == NULL) return -1;
    if (add_type(module, &watch_io_spec) == NULL || add_type(module, &hub_face_spec) == NULL) return -1;
    if (add_type(module, &waitlist_spec) == NULL || waits_setup(module) < 0) return -1;
    if (add_type(module, &semaphore_spec) == NULL || queue_setup(module) < 0) return -1;
    if (add_type(module, &locks_lock_spec) == NULL || add_type(module, &locks_rlock_spec) == NULL) return -1;
    if (add_type(module, &tasks_spec) == NULL || inbox_setup() < 0) return -1;
    watch_interrupt = PyObject_GetAttrString(module, "interrupt");
    watch_wake = PyObject_GetAttrString(module, "wake");
    if (watch_interrupt == NULL || watch_wake == NULL) return -1;
    return hub_setup(module) < 0 || green_setup(module) < 0 || socket_setup(module) < 0 ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec},
    {0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "corolib._hub._core",
    .m_doc = "Where greenlets and the loop meet: the one wait, the ready queue, deadlines, sockets.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
