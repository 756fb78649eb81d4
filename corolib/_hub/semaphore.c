/* Semaphore, bounded or not: the hot half of corolib.lock.
 *
 * Whoever waits is served in the order of arrival: a unit that is given back goes to the longest waiting at
 * once, instead of raising the counter for whoever comes first. Look, change and join are one step for all
 * threads, since nothing here gives the GIL away in between. */
#include <Python.h>
#include <stddef.h>
#include <structmember.h>

#include "arguments.h"
#include "waitlist.h"

struct semaphore {
    PyObject_HEAD PyObject
        *links;              /* owned list or NULL: of corolib._waiting.Linkable, to be told of free units */
    Py_ssize_t counter;      /* free units */
    Py_ssize_t initial;      /* bounded: it never has more free units; else -1 */
    struct waitlist waiting; /* woken with True, which is a unit */
};

static struct semaphore *cast(PyObject *self)
{
    return (struct semaphore *)self;
}

/* Hands free units to those who wait; then to links. 0 or -1. */
static int serve(struct semaphore *semaphore)
{
    while (semaphore->counter > 0 && semaphore->waiting.first != NULL) {
        semaphore->counter--;
        if (waitlist_wake(&semaphore->waiting, 1, Py_True) < 0) {
            semaphore->counter++;
            return -1;
        }
    }
    if (semaphore->counter <= 0 || semaphore->links == NULL || semaphore->links == Py_None) return 0;
    PyObject *result = PyObject_CallMethod((PyObject *)semaphore, "_notify", NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* A unit was handed to a greenlet that did not get to use it. */
static void unit_back(struct waitlist *list, PyObject *value)
{
    (void)value;
    struct semaphore *semaphore = (struct semaphore *)((char *)list - offsetof(struct semaphore, waiting));
    semaphore->counter++;
    serve(semaphore);
}

static int init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", "hub", NULL};
    PyObject *hub;
    Py_ssize_t value = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|nO:Semaphore", names, &value, &hub)) return -1;
    if (value < 0) {
        PyErr_Format(PyExc_ValueError, "semaphore value: expected 0 or more, found %zd", value);
        return -1;
    }
    cast(self)->counter = value;
    cast(self)->initial = -1;
    cast(self)->waiting.undo = unit_back;
    return 0;
}

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    struct semaphore *semaphore = cast(self);
    PyObject *found[2] = {NULL, NULL};
    double timeout = PARK_FOREVER;
    int blocking = 1;
    if (nargs > 0 || names != NULL) {
        if (arguments_take("acquire", (const char *[]){"blocking", "timeout", NULL}, 0, args, nargs, names,
                           found) < 0)
            return NULL;
        if (found[0] != NULL && (blocking = PyObject_IsTrue(found[0])) < 0) return NULL;
        if (park_timeout(found[1], &timeout) < 0) return NULL;
    }
    if (semaphore->counter <= 0) {
        if (!blocking) Py_RETURN_FALSE;
        /* Before the last look at the counter: making a hub runs Python code, and other threads with it. */
        if (hub_here() == NULL) return NULL;
    }
    if (semaphore->counter > 0) {
        semaphore->counter--;
        Py_RETURN_TRUE;
    }
    PyObject *value = waitlist_wait(&semaphore->waiting, self, timeout);
    if (value != hub_timed_out) return value;
    Py_DECREF(value);
    Py_RETURN_FALSE;
}

static int give_back(struct semaphore *semaphore)
{
    if (semaphore->initial >= 0 && semaphore->counter >= semaphore->initial) {
        PyErr_SetString(PyExc_ValueError, "Semaphore released too many times");
        return -1;
    }
    semaphore->counter++;
    return semaphore->waiting.first != NULL || semaphore->links != NULL ? serve(semaphore) : 0;
}

static PyObject *release(PyObject *self, PyObject *unused)
{
    (void)unused;
    return give_back(cast(self)) < 0 ? NULL : PyLong_FromSsize_t(cast(self)->counter);
}

static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args, (void)nargs;
    if (give_back(cast(self)) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *serve_all(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (serve(cast(self)) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(cast(self)->counter <= 0);
}

static PyObject *ready(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(cast(self)->counter > 0);
}

static PyObject *after_fork(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct semaphore *semaphore = cast(self);
    semaphore->counter = semaphore->initial >= 0 ? semaphore->initial : 1;
    waitlist_forget(&semaphore->waiting);
    Py_CLEAR(semaphore->links);
    Py_RETURN_NONE;
}

static PyObject *get_waiters(PyObject *self, void *closure)
{
    (void)closure;
    return waitlist_greenlets(&cast(self)->waiting);
}

static int traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(cast(self)->links);
    return 0;
}

static int clear(PyObject *self)
{
    Py_CLEAR(cast(self)->links);
    return 0;
}

static void dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef methods[] = {
    {"acquire", FAST(acquire), METH_FASTCALL | METH_KEYWORDS,
     "acquire($self, /, blocking=True, timeout=None)\n--\n\nTake a unit: True; False if there is none "
     "within `timeout` seconds, "
     "or at all with `blocking` false.\n\nSwitches unless one is free."},
    {"__enter__", FAST(acquire), METH_FASTCALL | METH_KEYWORDS, "__enter__($self, /)\n--\n\nacquire()"},
    {"release", release, METH_NOARGS,
     "release($self, /)\n--\n\nGive a unit back, to the longest waiting if any; the number of free units. "
     "Any "
     "thread; never switches."},
    {"__exit__", FAST(leave), METH_FASTCALL, "__exit__($self, /, *exc)\n--\n\nrelease()"},
    {"locked", locked, METH_NOARGS, "locked($self, /)\n--\n\nWhether acquire() would have to wait."},
    {"ready", ready, METH_NOARGS, "ready($self, /)\n--\n\nWhether acquire() would not have to wait."},
    {"_serve", serve_all, METH_NOARGS, "_serve($self, /)\n--\n\nHand free units to those who wait."},
    {"_at_fork_reinit", after_fork, METH_NOARGS,
     "_at_fork_reinit($self, /)\n--\n\nIn the child of a fork, for threading: free again, those who wait are "
     "gone."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"counter", T_PYSSIZET, offsetof(struct semaphore, counter), 0,
     "Free units. May be changed by hand; who waits then is served at the next release()."},
    {"_initial_value", T_PYSSIZET, offsetof(struct semaphore, initial), 0, "The bound, or -1."},
    {"_links", T_OBJECT, offsetof(struct semaphore, links), 0, "Of Linkable."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"_waiting", get_waiters, NULL, "The greenlets that wait, longest waiting first.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Semaphore(value=1, hub=None)\n--\n\nThe hot half of corolib.lock.Semaphore."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {0, NULL},
};

PyType_Spec semaphore_spec = {
    .name = "corolib._hub._core.Semaphore",
    .basicsize = sizeof(struct semaphore),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
