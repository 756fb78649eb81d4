/* FIFO of waiting greenlets, and its Python type WaitList.
 *
 * The list links the park records themselves, so joining and leaving allocate nothing. A list may hold
 * waiters of several threads: each record knows its hub, and a wake-up goes to that hub's queue. All under
 * the GIL. */
#include "waitlist.h"

#include <stddef.h>

#include "arguments.h"

static void join(struct waitlist *list, struct park *park)
{
    park->next = NULL;
    park->prev = list->last;
    if (list->last != NULL)
        list->last->next = park;
    else
        list->first = park;
    list->last = park;
    list->len++;
}

static void leave(struct park *park)
{
    struct waitlist *list = park->where;
    if (park->prev != NULL)
        park->prev->next = park->next;
    else
        list->first = park->next;
    if (park->next != NULL)
        park->next->prev = park->prev;
    else
        list->last = park->prev;
    park->prev = park->next = NULL;
    list->len--;
}

/* The record has left the list by now, but `where` still names it; the list lives, since the waiter's frame
 * holds it. */
static void undo(struct park *park, PyObject *value)
{
    struct waitlist *list = park->where;
    if (list->undo != NULL && value != hub_timed_out) list->undo(list, value);
}

static const struct park_kind kind_list = {.leave = leave, .undo = undo};

PyObject *waitlist_wait(struct waitlist *list, PyObject *owner, double timeout)
{
    struct park *park = park_begin();
    if (park == NULL) return NULL;
    park->where = list;
    join(list, park);
    return park_wait(park, &kind_list, owner, timeout);
}

Py_ssize_t waitlist_wake(struct waitlist *list, Py_ssize_t count, PyObject *value)
{
    Py_ssize_t done = 0;
    for (; done < count && list->first != NULL; done++)
        if (park_wake(list->first, value) < 0) return -1;
    return done;
}

Py_ssize_t waitlist_wake_error(struct waitlist *list, PyObject *error)
{
    Py_ssize_t done = 0;
    for (; list->first != NULL; done++)
        if (park_wake_error(list->first, error) < 0) return -1;
    return done;
}

PyObject *waitlist_greenlets(const struct waitlist *list)
{
    PyObject *all = PyList_New(0);
    for (struct park *park = list->first; all != NULL && park != NULL; park = park->next)
        if (PyList_Append(all, park->greenlet) < 0) Py_CLEAR(all);
    return all;
}

void waitlist_forget(struct waitlist *list)
{
    static struct waitlist forgotten; /* guarded by the GIL; its waiters may still leave it */
    struct park *park;
    while ((park = list->first) != NULL) {
        leave(park);
        park->where = &forgotten;
        join(&forgotten, park);
    }
}

/* The Python type. */

struct list_object {
    PyObject_HEAD struct waitlist list;
    PyObject *owner; /* owned: what reports name, NULL for the list itself */
    PyObject *undo;  /* owned or NULL: callable that gets a lost value back */
};

static void call_undo(struct waitlist *list, PyObject *value)
{
    struct list_object *self = (struct list_object *)((char *)list - offsetof(struct list_object, list));
    PyObject *back = Py_NewRef(self->undo); /* it may make the list anew */
    Py_XDECREF(PyObject_CallOneArg(back, value));
    Py_DECREF(back);
}

static struct list_object *cast(PyObject *self)
{
    return (struct list_object *)self;
}

static int list_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"owner", "undo", NULL};
    PyObject *owner = Py_None, *back = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:WaitList", names, &owner, &back)) return -1;
    if (back != Py_None && !PyCallable_Check(back)) {
        PyErr_Format(PyExc_TypeError, "undo must be callable or None, not %.100s", Py_TYPE(back)->tp_name);
        return -1;
    }
    if (cast(self)->list.first != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a WaitList cannot be made anew while greenlets wait in it");
        return -1;
    }
    Py_XSETREF(cast(self)->owner, owner == Py_None ? NULL : Py_NewRef(owner));
    cast(self)->list.undo = back == Py_None ? NULL : call_undo;
    Py_XSETREF(cast(self)->undo, back == Py_None ? NULL : Py_NewRef(back));
    return 0;
}

static int list_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(cast(self)->owner);
    Py_VISIT(cast(self)->undo);
    return 0;
}

static int list_clear(PyObject *self)
{
    Py_CLEAR(cast(self)->owner);
    cast(self)->list.undo = NULL;
    Py_CLEAR(cast(self)->undo);
    return 0;
}

static void list_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    list_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *list_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *argument;
    double timeout;
    if (arguments_take("wait", (const char *[]){"timeout", NULL}, 0, args, nargs, names, &argument) < 0)
        return NULL;
    if (park_timeout(argument, &timeout) < 0) return NULL;
    /* Both stay as long as somebody waits: the caller holds the list, and __init__ refuses. A reference of
     * the wait's own would stay for ever if the greenlet was given up with its thread. */
    PyObject *owner = cast(self)->owner != NULL ? cast(self)->owner : self;
    return waitlist_wait(&cast(self)->list, owner, timeout);
}

static PyObject *woken(Py_ssize_t count)
{
    return count < 0 ? NULL : PyLong_FromSsize_t(count);
}

static PyObject *list_wake(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *found[2];
    Py_ssize_t count = 1;
    if (arguments_take("wake", (const char *[]){"value", "count", NULL}, 0, args, nargs, names, found) < 0)
        return NULL;
    if (found[1] != NULL) {
        count = PyNumber_AsSsize_t(found[1], PyExc_OverflowError);
        if (count == -1 && PyErr_Occurred()) return NULL;
    }
    return woken(waitlist_wake(&cast(self)->list, count, found[0] != NULL ? found[0] : Py_None));
}

static PyObject *list_wake_all(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *value;
    if (arguments_take("wake_all", (const char *[]){"value", NULL}, 0, args, nargs, names, &value) < 0)
        return NULL;
    return woken(waitlist_wake(&cast(self)->list, PY_SSIZE_T_MAX, value != NULL ? value : Py_None));
}

static PyObject *list_wake_error(PyObject *self, PyObject *error)
{
    if (!PyExceptionInstance_Check(error)) {
        PyErr_Format(PyExc_TypeError, "wake_error() takes an exception instance, not %.100s",
                     Py_TYPE(error)->tp_name);
        return NULL;
    }
    return woken(waitlist_wake_error(&cast(self)->list, error));
}

static Py_ssize_t list_len(PyObject *self)
{
    return cast(self)->list.len;
}

static int list_bool(PyObject *self)
{
    return cast(self)->list.first != NULL;
}

static int list_contains(PyObject *self, PyObject *item)
{
    for (struct park *park = cast(self)->list.first; park != NULL; park = park->next)
        if (park->greenlet == item) return 1;
    return 0;
}

static PyObject *list_iter(PyObject *self)
{
    PyObject *all = waitlist_greenlets(&cast(self)->list);
    PyObject *iterator = all == NULL ? NULL : PyObject_GetIter(all);
    Py_XDECREF(all);
    return iterator;
}

static PyMethodDef list_methods[] = {
    {"wait", (PyCFunction)(void (*)(void))list_wait, METH_FASTCALL | METH_KEYWORDS,
     "wait($self, /, timeout=None)\n--\n\nPark at the end of the list: the value of the wake-up, or "
     "TIMED_OUT. "
     "Switches."},
    {"wake", (PyCFunction)(void (*)(void))list_wake, METH_FASTCALL | METH_KEYWORDS,
     "wake($self, /, value=None, count=1)\n--\n\nWake up to `count` waiters, longest waiting first; how "
     "many. Any "
     "thread; never switches."},
    {"wake_all", (PyCFunction)(void (*)(void))list_wake_all, METH_FASTCALL | METH_KEYWORDS,
     "wake_all($self, /, value=None)\n--\n\nWake all waiters; how many. Any thread; never switches."},
    {"wake_error", list_wake_error, METH_O,
     "wake_error($self, error, /)\n--\n\nRaise `error` in all waiters; how many. Any thread; never "
     "switches."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot list_slots[] = {
    {Py_tp_doc,
     "WaitList(owner=None, undo=None)\n--\n\n"
     "FIFO of waiting greenlets. `owner` is what a report names as waited for (default: the list itself).\n"
     "`undo(value)` is called when a wake-up had been handed to a greenlet that was then resumed by an\n"
     "exception from somewhere else, so that nothing is lost."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, list_init},
    {Py_tp_traverse, list_traverse},
    {Py_tp_clear, list_clear},
    {Py_tp_dealloc, list_dealloc},
    {Py_tp_methods, list_methods},
    {Py_tp_iter, list_iter},
    {Py_sq_length, list_len},
    {Py_sq_contains, list_contains},
    {Py_nb_bool, list_bool},
    {0, NULL},
};

PyType_Spec waitlist_spec = {
    .name = "corolib._hub._core.WaitList",
    .basicsize = sizeof(struct list_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = list_slots,
};
