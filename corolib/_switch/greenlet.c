/* Floor 5: the greenlet type: construction, attributes, switch and throw, garbage collection.
 *
 * The semantics are those of the greenlet package, which its users rely on to the letter.
 * One idea, however long: each attribute and method of it has rules of its own. */
#include <Python.h>

#include <stddef.h>
#include <string.h>

#include "greenlet.h"

#include "check.h"
#include "reaper.h"

/* Dead objects kept per thread: spawning in waves is common, and a kilobyte per four is nothing. */
#define IDLE_MAX 256u

void (*greenlet_park_free)(void *park);
bool (*greenlet_park_held)(const void *park);
int (*greenlet_park_traverse)(void *park, visitproc visit, void *arg);
void (*greenlet_park_clear)(void *park);

static struct greenlet *as_greenlet(PyObject *object)
{
    return (struct greenlet *)object;
}

/* --- birth and death
 * ------------------------------------------------------------------------------------------ */

static void blank(struct greenlet *self)
{
    memset((char *)self + sizeof(PyObject), 0, sizeof *self - sizeof(PyObject));
    self->face.engine = self;
    self->link.next = self->link.previous = &self->link;
}

/* An object of exactly the raw type, tracked, without a parent. */
static struct greenlet *new_raw(struct thread *here)
{
    struct greenlet *self = here != NULL ? here->idle : NULL;
    if (self != NULL) {
        here->idle = (struct greenlet *)self->link.next;
        here->idles--;
        self->link.next = &self->link;
        PyObject_Init((PyObject *)self, &greenlet_type);
        tstate_unfinalize((PyObject *)self);
    } else {
        self = PyObject_GC_New(struct greenlet, &greenlet_type);
        if (self == NULL) return NULL;
        blank(self);
    }
    PyObject_GC_Track(self);
    return self;
}

/* thread_new_main */
static struct greenlet *new_main(void)
{
    struct greenlet *self = new_raw(NULL);
    if (self != NULL) self->face.state = SWITCH_CURRENT;
    return self;
}

static void reap_if_doomed(struct thread *here)
{
    if (here->attention & THREAD_DOOMED) thread_reap(here);
}

static PyObject *slot_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    struct thread *here = thread_here();
    if (here == NULL) return NULL;
    reap_if_doomed(here);
    /* object.__new__ refuses abstract classes. Not for all: on 3.11 and 3.12 it makes a __dict__ at once,
     * which few greenlets ever use. */
    if (type->tp_flags & Py_TPFLAGS_IS_ABSTRACT) return PyBaseObject_Type.tp_new(type, switch_empty, NULL);
    /* A C type that derives from what capi.h or greenlet.h shows of the object; CPython does not compare. */
    if (type->tp_basicsize < (Py_ssize_t)sizeof(struct greenlet)) {
        PyErr_Format(PyExc_TypeError, "%.200s has room for %zd bytes, a greenlet needs %zu: see capi.h",
                     type->tp_name, type->tp_basicsize, sizeof(struct greenlet));
        return NULL;
    }
    struct greenlet *self = (struct greenlet *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    blank(self);
    self->parent = (struct greenlet *)Py_NewRef(here->current);
    return (PyObject *)self;
}

static int set_run(struct greenlet *self, PyObject *run)
{
    if (self->face.state != SWITCH_FRESH) {
        PyErr_SetString(PyExc_AttributeError, "run cannot be set after the start of the greenlet");
        return -1;
    }
    Py_XSETREF(self->run, Py_XNewRef(run));
    return 0;
}

static int slot_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"run", "parent", "pin", NULL};
    PyObject *run = NULL, *parent = NULL, *pin = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO$O:greenlet", names, &run, &parent, &pin)) return -1;
    if (run != NULL && set_run(as_greenlet(self), run) < 0) return -1;
    if (parent != NULL && parent != Py_None && greenlet_set_parent(self, parent) < 0) return -1;
    int pinned = pin != NULL ? PyObject_IsTrue(pin) : 0;
    if (pinned < 0 || (pinned && greenlet_pin(self) < 0)) return -1;
    return 0;
}

static bool check_parent(PyObject *parent)
{
    if (greenlet_check(parent)) return true;
    PyErr_Format(PyExc_TypeError, "GreenletChecker: Expected any type of greenlet, not %.200s",
                 Py_TYPE(parent)->tp_name);
    return false;
}

PyObject *greenlet_new(PyObject *run, PyObject *parent)
{
    struct thread *here = thread_here();
    if (here == NULL) return NULL;
    reap_if_doomed(here);
    if (parent == NULL || parent == Py_None)
        parent = (PyObject *)here->current;
    else if (!check_parent(parent))
        return NULL;
    struct greenlet *self = new_raw(here);
    if (self == NULL) return NULL;
    self->parent = (struct greenlet *)Py_NewRef(parent); /* no cycle: nobody knows this one yet */
    self->run = Py_XNewRef(run);
    return (PyObject *)self;
}

/* greenlet(...) for exactly the raw type, without a tuple. Subclasses do not inherit it. */
static PyObject *slot_vectorcall(PyObject *type, PyObject *const *args, size_t flags, PyObject *names)
{
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (names == NULL && count <= 2)
        return greenlet_new(count > 0 ? args[0] : NULL, count > 1 ? args[1] : NULL);
    PyObject *self = slot_new((PyTypeObject *)type, NULL, NULL);
    PyObject *tuple = PyTuple_New(count), *kwargs = PyDict_New();
    int status = self == NULL || tuple == NULL || kwargs == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; status == 0 && i < count; i++) PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    for (Py_ssize_t i = 0; status == 0 && names != NULL && i < PyTuple_GET_SIZE(names); i++)
        status = PyDict_SetItem(kwargs, PyTuple_GET_ITEM(names, i), args[count + i]);
    if (status == 0) status = slot_init(self, tuple, kwargs);
    Py_XDECREF(tuple);
    Py_XDECREF(kwargs);
    if (status < 0) Py_CLEAR(self);
    return self;
}

static bool is_main(const struct greenlet *self)
{
    return self->thread != NULL && self->thread->main == self;
}

static int slot_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct greenlet *self = as_greenlet(object);
    if (self->face.park != NULL && greenlet_park_held != NULL && greenlet_park_held(self->face.park))
        return 0;
    Py_VISIT(self->face.dict);
    Py_VISIT(self->parent);
    Py_VISIT(self->run);
    Py_VISIT(self->args);
    if (self->face.park != NULL && greenlet_park_traverse != NULL) {
        int status = greenlet_park_traverse(self->face.park, visit, arg);
        if (status != 0) return status;
    }
    /* While it runs, the thread state owns these and the saved ones are stale. */
    if (self->face.state == SWITCH_CURRENT) return 0;
    Py_VISIT(self->tstate.context);
    Py_VISIT(self->tstate.exc_root.exc_value);
    /* A main greenlet's frames are those of the whole program, and never garbage. */
    return is_main(self) ? 0 : tstate_traverse(&self->tstate, visit, arg);
}

static void slot_finalize(PyObject *object)
{
    struct greenlet *self = as_greenlet(object);
    if (self->face.state == SWITCH_SUSPENDED && !is_main(self))
        reaper_kill(self,
                    Py_REFCNT(object) > 1); /* more than the one of its end: the collector has found it */
}

static int slot_clear(PyObject *object)
{
    struct greenlet *self = as_greenlet(object);
    slot_finalize(object); /* not called yet if a subclass has __del__ */
    if (self->face.state == SWITCH_SUSPENDED || self->face.state == SWITCH_CURRENT)
        return 0; /* its frames are alive */
    tstate_abandon(&self->tstate);
    if (self->face.park != NULL && greenlet_park_clear != NULL) greenlet_park_clear(self->face.park);
    Py_CLEAR(self->run);
    Py_CLEAR(self->args);
    Py_CLEAR(self->tstate.context);
    Py_CLEAR(self->parent);
    Py_CLEAR(self->face.dict);
    return 0;
}

/* The last reference to a suspended greenlet is gone, and tp_finalize has not ended it: it is that of a
 * subclass with __del__, or it has run in an earlier life. Returns false if the object lives on, for one of
 * three reasons: its own thread has to end it, it has been resurrected, or it has caught GreenletExit and
 * parked again. */
static bool end_for_good(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    Py_SET_REFCNT(object, 1);
    reaper_kill(as_greenlet(object), false);
    if (Py_REFCNT(object) == 1 && as_greenlet(object)->face.state != SWITCH_SUSPENDED) {
        Py_SET_REFCNT(object, 0);
        return true;
    }
    if (Py_REFCNT(object) > 1)
        Py_SET_REFCNT(object, Py_REFCNT(object) - 1);
    else {
        /* Nobody can ever switch to it. Its frames cannot be freed, so it stays until its thread ends. */
        PyObject *pending = PyErr_GetRaisedException();
        PyErr_Format(PyExc_RuntimeError, "%R was dropped, caught GreenletExit and parked again: it is leaked",
                     object);
        PyErr_WriteUnraisable(object);
        if (pending != NULL) PyErr_SetRaisedException(pending);
    }
    /* Our caller is about to drop the object's reference to its type. */
    if (PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) Py_INCREF(type);
    return false;
}

void greenlet_free(PyObject *object)
{
    struct greenlet *self = as_greenlet(object);
    if (self->face.state == SWITCH_SUSPENDED && !end_for_good(object)) return;
    PyObject_GC_UnTrack(object);
    if (self->face.weakrefs != NULL) PyObject_ClearWeakRefs(object);
    if (self->face.park != NULL && greenlet_park_free != NULL) greenlet_park_free(self->face.park);
    self->face.park = NULL;
    Py_CLEAR(self->run);
    Py_CLEAR(self->args);
    Py_CLEAR(self->tstate.context);
    Py_CLEAR(self->face.dict);
    Py_CLEAR(self->parent);
    lane_forget(&self->guest);
    tstate_abandon(&self->tstate);

    struct thread *here = thread_last;
    if (Py_IS_TYPE(object, &greenlet_type) && here != NULL && here->tstate != NULL &&
        here->idles < IDLE_MAX) {
        self->guest = (struct lane_guest){0};
        self->found = false; /* still set if its thread ended before it could be */
        self->face.boot = NULL;
        self->face.state = SWITCH_FRESH;
        self->link.next = (struct thread_link *)here->idle;
        here->idle = self;
        here->idles++;
        return;
    }
    Py_TYPE(object)->tp_free(object);
}

static void slot_dealloc(PyObject *self)
{
    /* Dropping the last of a long chain of parents must not recurse through all of it. */
    if (as_greenlet(self)->parent != NULL && Py_REFCNT(as_greenlet(self)->parent) == 1) {
        PyObject_GC_UnTrack(self);
        Py_TRASHCAN_BEGIN(self, slot_dealloc) PyObject_GC_Track(self);
        greenlet_free(self);
        Py_TRASHCAN_END return;
    }
    greenlet_free(self);
}

PyObject *greenlet_current(void)
{
    struct thread *here = thread_here();
    if (here == NULL) return NULL;
    if (Py_IsFinalizing()) {
        PyErr_SetString(PyExc_RuntimeError, "greenlet is being finalized");
        return NULL;
    }
    reap_if_doomed(here);
    return Py_NewRef(here->current);
}

/* --- switch and throw
 * ------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) PyObject *switch_generally(PyObject *self, PyObject *const *args,
                                                            Py_ssize_t count, PyObject *names)
{
    PyObject *tuple = count == 0 ? Py_NewRef(switch_empty) : PyTuple_New(count), *kwargs = NULL;
    if (tuple == NULL) return NULL;
    for (Py_ssize_t i = 0; i < count; i++) PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    if (names != NULL && PyTuple_GET_SIZE(names) > 0) {
        kwargs = PyDict_New();
        if (kwargs == NULL) goto failed;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++)
            if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(names, i), args[count + i]) < 0) goto failed;
    }
    return switch_call(as_greenlet(self), tuple, kwargs);

failed:
    Py_DECREF(tuple);
    Py_XDECREF(kwargs);
    return NULL;
}

/* The last calls here are jumps: no frame of this function remains on the stack across the switch. */
static PyObject *method_switch(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (names == NULL && count <= 1 && as_greenlet(self)->face.state == SWITCH_SUSPENDED)
        return switch_transfer(self, Py_NewRef(count == 1 ? args[0] : switch_empty));
    return switch_generally(self, args, count, names);
}

/* The exception that throw(type, value, traceback) means: new reference. If its class cannot be called that
 * way, the error of the attempt takes its place, as in a raise statement; only wrong types are the caller's
 * error (NULL). */
static PyObject *make_exception(PyObject *type, PyObject *value, PyObject *traceback)
{
    PyObject *made;
    if (traceback != NULL && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
        return NULL;
    }
    if (PyExceptionInstance_Check(type)) {
        if (value != NULL) {
            PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
            return NULL;
        }
        made = Py_NewRef(type);
    } else if (PyExceptionClass_Check(type)) {
        if (value == NULL)
            made = PyObject_CallNoArgs(type);
        else if (PyObject_TypeCheck(value, (PyTypeObject *)type))
            made = Py_NewRef(value);
        else if (PyTuple_Check(value))
            made = PyObject_CallObject(type, value);
        else
            made = PyObject_CallOneArg(type, value);
        if (made != NULL && !PyExceptionInstance_Check(made)) {
            PyErr_Format(PyExc_TypeError, "calling %R should have returned an exception, not %.200s", type,
                         Py_TYPE(made)->tp_name);
            Py_CLEAR(made);
        }
        if (made == NULL) return PyErr_GetRaisedException();
    } else {
        PyErr_Format(PyExc_TypeError, "exceptions must be classes, or instances, not %s",
                     Py_TYPE(type)->tp_name);
        return NULL;
    }
    if (traceback != NULL) PyException_SetTraceback(made, traceback);
    return made;
}

PyObject *greenlet_throw(PyObject *self, PyObject *type, PyObject *value, PyObject *traceback)
{
    PyObject *thrown = make_exception(type != NULL ? type : switch_exit, value == Py_None ? NULL : value,
                                      traceback == Py_None ? NULL : traceback);
    if (thrown == NULL) return NULL;
    PyErr_SetRaisedException(thrown);
    return switch_transfer(self, NULL);
}

static PyObject *method_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count > 3) {
        PyErr_Format(PyExc_TypeError, "throw expected at most 3 arguments, got %zd", count);
        return NULL;
    }
    return greenlet_throw(self, count > 0 ? args[0] : NULL, count > 1 ? args[1] : NULL,
                          count > 2 ? args[2] : NULL);
}

static PyObject *method_getstate(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyErr_Format(PyExc_TypeError, "cannot serialize '%s' object", Py_TYPE(self)->tp_name);
    return NULL;
}

/* --- attributes
 * -------------------------------------------------------------------------------------------------- */

static PyObject *get_run(PyObject *self, void *Py_UNUSED(closure))
{
    if (as_greenlet(self)->face.state != SWITCH_FRESH || as_greenlet(self)->run == NULL) {
        PyErr_SetString(PyExc_AttributeError, "run");
        return NULL;
    }
    return Py_NewRef(as_greenlet(self)->run);
}

static int put_run(PyObject *self, PyObject *run, void *Py_UNUSED(closure))
{
    return set_run(as_greenlet(self), run);
}

static PyObject *get_parent(PyObject *self, void *Py_UNUSED(closure))
{
    struct greenlet *parent = as_greenlet(self)->parent;
    return Py_NewRef(parent != NULL ? (PyObject *)parent : Py_None);
}

int greenlet_set_parent(PyObject *object, PyObject *parent)
{
    struct greenlet *self = as_greenlet(object);
    if (parent == NULL) {
        PyErr_SetString(PyExc_AttributeError, "can't delete attribute");
        return -1;
    }
    if (!check_parent(parent)) return -1;
    if (is_main(self)) {
        PyErr_SetString(PyExc_AttributeError, "cannot set the parent of a main greenlet");
        return -1;
    }
    for (struct greenlet *up = as_greenlet(parent); up != NULL; up = up->parent)
        if (up == self) {
            PyErr_SetString(PyExc_ValueError, "cyclic parent chain");
            return -1;
        }
    struct thread *theirs = switch_thread_of(as_greenlet(parent));
    if (self->thread != NULL && theirs != self->thread) {
        PyErr_SetString(PyExc_ValueError, "parent cannot be on a different thread");
        return -1;
    }
    Py_XSETREF(self->parent, (struct greenlet *)Py_NewRef(parent));
    return 0;
}

static int put_parent(PyObject *self, PyObject *parent, void *Py_UNUSED(closure))
{
    return greenlet_set_parent(self, parent);
}

int greenlet_pin(PyObject *self)
{
    if (as_greenlet(self)->face.state != SWITCH_FRESH) {
        PyErr_SetString(switch_error, "a greenlet can be pinned before its start only");
        return -1;
    }
    as_greenlet(self)->guest.pinned = true;
    return 0;
}

static PyObject *get_dead(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(as_greenlet(self)->face.state == SWITCH_DEAD);
}

static PyObject *get_frame(PyObject *self, void *Py_UNUSED(closure))
{
    const struct greenlet *greenlet = as_greenlet(self);
    /* One that died with its thread keeps its frames to be looked at. */
    if (greenlet->face.state == SWITCH_SUSPENDED ||
        (greenlet->face.state == SWITCH_DEAD && tstate_has_frames(&greenlet->tstate))) {
        PyObject *frame = tstate_frame(&greenlet->tstate, PyThreadState_Get());
        if (frame != NULL || PyErr_Occurred()) return frame;
    }
    Py_RETURN_NONE;
}

/* Where the context is kept now; NULL with ValueError if that is another thread's business. */
static PyObject **context_of(struct greenlet *self, const char *what)
{
    if (self->face.state != SWITCH_CURRENT) return &self->tstate.context;
    PyThreadState *ts = PyThreadState_Get();
    if (self->thread->tstate == ts) return &ts->context;
    PyErr_Format(PyExc_ValueError, "cannot %s context of a greenlet that is running in a different thread",
                 what);
    return NULL;
}

static PyObject *get_context(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject **context = context_of(as_greenlet(self), "get");
    return context == NULL ? NULL : Py_NewRef(*context != NULL ? *context : Py_None);
}

static int put_context(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "can't delete context attribute");
        return -1;
    }
    if (value != Py_None && !PyContext_CheckExact(value)) {
        PyErr_Format(PyExc_TypeError, "greenlet context must be a contextvars.Context or None, not %.200s",
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    PyObject **context = context_of(as_greenlet(self), "set");
    if (context == NULL) return -1;
    PyObject *old = *context;
    *context = value == Py_None ? NULL : Py_NewRef(value);
    if (as_greenlet(self)->face.state == SWITCH_CURRENT) PyThreadState_Get()->context_ver++;
    Py_XDECREF(old);
    return 0;
}

static PyObject *get_stack_saved(PyObject *object, void *Py_UNUSED(closure))
{
    struct greenlet *self = as_greenlet(object);
    size_t bytes = 0;
    if (self->face.state == SWITCH_SUSPENDED && !lane_resident(&self->guest))
        bytes = (size_t)(lane_top(&self->guest) - (char *)self->guest.sp);
    return PyLong_FromSize_t(bytes);
}

static int slot_bool(PyObject *self)
{
    unsigned char state = as_greenlet(self)->face.state;
    return state == SWITCH_SUSPENDED || state == SWITCH_CURRENT;
}

static PyObject *slot_repr(PyObject *object)
{
    struct greenlet *self = as_greenlet(object);
    const char *state = "", *name = Py_TYPE(object)->tp_name;
    switch ((enum switch_state)self->face.state) {
    case SWITCH_FRESH: state = " pending"; break;
    case SWITCH_SUSPENDED: state = " suspended active started"; break;
    case SWITCH_CURRENT:
        state = self->thread->tstate == PyThreadState_Get() ? " current active started"
                                                            : " suspended active started";
        break;
    case SWITCH_DEAD:
        if (self->parent == NULL)
            return PyUnicode_FromFormat("<%s object at %p (thread exited) dead>", name, self);
        return PyUnicode_FromFormat("<%s object at %p (otid=%p) dead>", name, self, switch_thread_of(self));
    }
    return PyUnicode_FromFormat("<%s object at %p (otid=%p)%s%s>", name, self, switch_thread_of(self), state,
                                is_main(self) ? " main" : "");
}

static PyMethodDef methods[] = {
    {"switch", (PyCFunction)(void (*)(void))method_switch, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("switch($self, *args, **kwargs)\n--\n\nSwitch execution to this greenlet, starting it if need "
               "be. Returns what this\n"
               "greenlet is switched back to with. A dead greenlet stands for its nearest live ancestor. "
               "Raises what is\n"
               "thrown into the caller meanwhile, and error if the greenlet belongs to another thread.")},
    {"throw", (PyCFunction)(void (*)(void))method_throw, METH_FASTCALL,
     PyDoc_STR("throw($self, type=..., value=None, traceback=None, /)\n--\n\nSwitch to this greenlet and "
               "raise the exception there. "
               "One that has not started\nends at once, and its parent gets the exception. Returns as "
               "switch() does.")},
    {"__getstate__", method_getstate, METH_NOARGS,
     PyDoc_STR("Raises TypeError: C stacks cannot be pickled or copied.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"run", get_run, put_run, PyDoc_STR("What is called at the start; gone after it."), NULL},
    {"parent", get_parent, put_parent, PyDoc_STR("Who gets the result or the exception at the end."), NULL},
    {"dead", get_dead, NULL, PyDoc_STR("True if it has finished, or its thread has ended."), NULL},
    {"gr_frame", get_frame, NULL, PyDoc_STR("The innermost Python frame while suspended, else None."), NULL},
    {"gr_context", get_context, put_context, PyDoc_STR("The contextvars.Context, or None for an empty one."),
     NULL},
    {"_stack_saved", get_stack_saved, NULL, PyDoc_STR("Bytes of C stack that are copied away at the moment."),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyNumberMethods as_number = {.nb_bool = slot_bool};

PyTypeObject greenlet_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name =
        "greenlet.greenlet" /* as it is in the messages that users of greenlet know */,
    .tp_doc = PyDoc_STR("greenlet(run=None, parent=None, *, pin=False)\n--\n\nA lightweight thread of "
                        "execution with a C stack of its own, switched to "
                        "by hand.\n\nrun: what to call at the first switch, with its arguments. parent: who "
                        "gets the result, by\n"
                        "default the creator. pin: keep the stack at its place for life, for C code that "
                        "lends out pointers\ninto it."),
    .tp_basicsize = sizeof(struct greenlet),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = slot_new,
    .tp_init = slot_init,
    .tp_vectorcall = slot_vectorcall,
    .tp_dealloc = slot_dealloc,
    .tp_finalize = slot_finalize,
    .tp_traverse = slot_traverse,
    .tp_clear = slot_clear,
    .tp_free = PyObject_GC_Del,
    .tp_repr = slot_repr,
    .tp_as_number = &as_number,
    .tp_methods = methods,
    .tp_getset = attributes,
    .tp_dictoffset = offsetof(struct greenlet, face.dict),
    .tp_weaklistoffset = offsetof(struct greenlet, face.weakrefs),
};

int greenlet_init(void)
{
    if (switch_empty == NULL && (switch_empty = PyTuple_New(0)) == NULL) return -1;
    switch_type = &greenlet_type;
    thread_new_main = new_main;
    return PyType_Ready(&greenlet_type);
}
