/* Lock and RLock: the hot half of the locks of corolib.thread.
 *
 * A lock that is given up while somebody waits is handed to the longest waiting and never free in between.
 * Look, change and join are one step for all threads, since nothing here gives the GIL away in between.
 *
 * The owner of an RLock is a greenlet, or the main greenlet of a native thread, by the number that
 * corolib.thread.get_ident() gives it. Who is next is written into `owner` by the release itself: if the lock
 * were merely marked as handed over, a finaliser that runs in the new owner before it has taken note, and
 * needs the lock, would wait for ever. */
#include "locks.h"

#include <math.h>
#include <pythread.h>
#include <stddef.h>
#include <structmember.h>

#include "arguments.h"
#include "waitlist.h"

/* Before a refusal: who tries again and again without blocking must not keep the owner from running. 0 or -1.
 */
static int let_others_run(void)
{
    return park_give_way(hub_if_exists());
}

/* As the standard library reads the arguments of acquire(). 0 or -1. */
static int take_seconds(PyObject *const *found, double *seconds)
{
    int blocking = found[0] == NULL ? 1 : PyObject_IsTrue(found[0]);
    double timeout = found[1] == NULL ? -1.0 : PyFloat_AsDouble(found[1]);
    if (blocking < 0 || (timeout == -1.0 && PyErr_Occurred())) return -1;
    if (timeout == -1.0) {
        *seconds = blocking ? PARK_FOREVER : 0;
        return 0;
    }
    if (!blocking)
        PyErr_SetString(PyExc_ValueError, "can't specify a timeout for a non-blocking call");
    else if (timeout < 0)
        PyErr_SetString(PyExc_ValueError, "timeout value must be a non-negative number");
    else if (timeout > floor((double)PY_TIMEOUT_MAX * 1e-6))
        PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
    else
        return park_timeout(found[1], seconds);
    return -1;
}

/* Somebody else has the lock. 1: it has been handed over, 0: refused, or its time is over, 2: look again,
 * -1. */
static int wait_for(struct waitlist *waiting, PyObject *self, double seconds)
{
    if (seconds == 0) return let_others_run();
    /* Before the last look: making a hub runs Python code, and other threads with it. */
    if (hub_if_exists() == NULL) return hub_here() == NULL ? -1 : 2;
    PyObject *answer = waitlist_wait(waiting, self, seconds);
    if (answer == NULL) return -1;
    Py_DECREF(answer); /* one of those that live for ever */
    return answer == Py_True ? 1 : answer == hub_timed_out ? 0 : 2;
}

/* Reads the arguments of acquire(). 0 or -1. */
static int take_arguments(PyObject *const *args, Py_ssize_t nargs, PyObject *names, double *seconds)
{
    PyObject *found[2];
    *seconds = PARK_FOREVER;
    if (nargs == 0 && names == NULL) return 0;
    if (arguments_take("acquire", (const char *[]){"blocking", "timeout", NULL}, 0, args, nargs, names,
                       found) < 0)
        return -1;
    return take_seconds(found, seconds);
}

static void dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The subclass may know an excuse for releasing what is not ours to release. 0 or -1. */
static int not_owned(PyObject *self)
{
    PyObject *result = PyObject_CallMethod(self, "_release_not_owned", NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

/* Lock. */

struct lock {
    PyObject_HEAD bool locked;
    struct waitlist waiting; /* woken with True, which is the lock, or with None to try again */
};

static struct lock *as_lock(PyObject *self)
{
    return (struct lock *)self;
}

static int lock_pass_on(struct lock *lock)
{
    if (lock->waiting.first != NULL) return waitlist_wake(&lock->waiting, 1, Py_True) < 0 ? -1 : 0;
    lock->locked = false;
    return 0;
}

/* One that was handed the lock will not know it: it was resumed by an exception, or its thread has ended. */
static void lock_lost(struct waitlist *list, PyObject *value)
{
    if (value == Py_True) lock_pass_on((struct lock *)((char *)list - offsetof(struct lock, waiting)));
}

static PyObject *lock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    struct lock *lock = as_lock(self);
    double seconds;
    if (take_arguments(args, nargs, names, &seconds) < 0) return NULL;
    for (;;) {
        if (!lock->locked) {
            lock->locked = true;
            Py_RETURN_TRUE;
        }
        int answer = wait_for(&lock->waiting, self, seconds);
        if (answer < 0) return NULL;
        if (answer < 2) return PyBool_FromLong(answer);
    }
}

static PyObject *lock_release(PyObject *self, PyObject *unused)
{
    (void)unused;
    if ((as_lock(self)->locked ? lock_pass_on(as_lock(self)) : not_owned(self)) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *lock_leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args, (void)nargs;
    return lock_release(self, NULL);
}

static PyObject *lock_locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(as_lock(self)->locked);
}

static PyObject *lock_renew(PyObject *self, PyObject *unused)
{
    (void)unused;
    as_lock(self)->locked = false;
    if (waitlist_wake(&as_lock(self)->waiting, PY_SSIZE_T_MAX, Py_None) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) > 0 || kwargs != NULL) {
        PyErr_SetString(PyExc_TypeError, "a lock is made without arguments");
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL) as_lock(self)->waiting.undo = lock_lost;
    return self;
}

#define ACQUIRE_DOC                                                                                          \
    "\n--\n\nTake the lock: True, or False if that was not possible at once or within `timeout` "            \
    "seconds.\n\n"                                                                                           \
    "Switches to the hub if somebody else has it."
#define RENEW_DOC "_renew($self, /)\n--\n\nFree, whoever has it; those who wait try again."

static PyMethodDef lock_methods[] = {
    {"acquire", FAST(lock_acquire), METH_FASTCALL | METH_KEYWORDS,
     "acquire($self, /, blocking=True, timeout=-1)" ACQUIRE_DOC},
    {"__enter__", FAST(lock_acquire), METH_FASTCALL | METH_KEYWORDS, "__enter__($self, /)\n--\n\nacquire()"},
    {"release", lock_release, METH_NOARGS,
     "release($self, /)\n--\n\nGive the lock up; RuntimeError if nobody has it. The first who waits has it "
     "from "
     "now on.\n\nAny thread; never switches."},
    {"__exit__", FAST(lock_leave), METH_FASTCALL, "__exit__($self, /, *exc)\n--\n\nrelease()"},
    {"locked", lock_locked, METH_NOARGS, "locked($self, /)\n--\n\nWhether somebody has it."},
    {"_renew", lock_renew, METH_NOARGS, RENEW_DOC},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_doc, "Lock()\n--\n\nThe hot half of corolib.thread.LockType."},
    {Py_tp_new, lock_new},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, lock_methods},
    {0, NULL},
};

PyType_Spec locks_lock_spec = {
    .name = "corolib._hub._core.Lock",
    .basicsize = sizeof(struct lock),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = lock_slots,
};

/* RLock. */

struct rlock {
    PyObject_HEAD unsigned long owner; /* 0: free */
    Py_ssize_t count;                  /* how often the owner has it */
    struct waitlist waiting;           /* woken with True as owners, with None to try again */
};

static struct rlock *cast(PyObject *self)
{
    return (struct rlock *)self;
}

static unsigned long ident_here(void)
{
    PyObject *me = hub_current();
    if (me != NULL && me != engine->main_greenlet()) return (unsigned long)me;
    PyErr_Clear(); /* the interpreter is being torn down, without greenlets; finalisers take locks all the
                      same */
    return PyThread_get_thread_ident();
}

/* The number of one that waits; 0 with an exception set. */
static unsigned long ident_of(const struct park *park)
{
    PyObject *parent = PyObject_GetAttrString(park->greenlet, "parent");
    if (parent == NULL) return 0;
    Py_DECREF(parent); /* the greenlet has it */
    return parent == Py_None ? park->hub->thread_ident : (unsigned long)park->greenlet;
}

/* Makes the longest waiting the owner and wakes it; free if there is none. 0 or -1, then nothing has changed.
 */
static int pass_on(struct rlock *lock)
{
    if (lock->waiting.first == NULL) {
        lock->owner = 0;
        lock->count = 0;
        return 0;
    }
    unsigned long heir = ident_of(lock->waiting.first);
    if (heir == 0 || waitlist_wake(&lock->waiting, 1, Py_True) < 0) return -1;
    lock->owner = heir;
    lock->count = 1;
    return 0;
}

/* One that was made the owner will not know it: it was resumed by an exception, or its thread has ended. */
static void lost(struct waitlist *list, PyObject *value)
{
    if (value == Py_True) pass_on((struct rlock *)((char *)list - offsetof(struct rlock, waiting)));
}

static PyObject *acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    struct rlock *lock = cast(self);
    double seconds;
    if (take_arguments(args, nargs, names, &seconds) < 0) return NULL;
    unsigned long me = ident_here();
    for (;;) {
        if (lock->owner == 0) lock->owner = me;
        if (lock->owner == me) {
            lock->count++;
            Py_RETURN_TRUE;
        }
        int answer = wait_for(&lock->waiting, self, seconds);
        if (answer < 0) return NULL;
        if (answer < 2) return PyBool_FromLong(answer); /* by then we are the owner: see pass_on() */
    }
}

/* 0 or -1. */
static int give_up(PyObject *self)
{
    struct rlock *lock = cast(self);
    if (lock->owner != ident_here()) return not_owned(self);
    if (lock->count > 1) {
        lock->count--;
        return 0;
    }
    return pass_on(lock);
}

static PyObject *release(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (give_up(self) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args, (void)nargs;
    return release(self, NULL);
}

static PyObject *locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(cast(self)->owner != 0);
}

static PyObject *is_owned(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(cast(self)->owner == ident_here());
}

static PyObject *recursion_count(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(cast(self)->owner == ident_here() ? cast(self)->count : 0);
}

static PyObject *renew(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct rlock *lock = cast(self);
    lock->owner = 0;
    lock->count = 0;
    if (waitlist_wake(&lock->waiting, PY_SSIZE_T_MAX, Py_None) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *get_owner(PyObject *self, void *closure)
{
    (void)closure;
    return cast(self)->owner != 0 ? PyLong_FromUnsignedLong(cast(self)->owner) : Py_NewRef(Py_None);
}

static int init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs; /* taken and not used, as by the native one */
    cast(self)->waiting.undo = lost;
    return 0;
}

static PyMethodDef methods[] = {
    {"acquire", FAST(acquire), METH_FASTCALL | METH_KEYWORDS,
     "acquire($self, /, blocking=True, timeout=-1)" ACQUIRE_DOC},
    {"__enter__", FAST(acquire), METH_FASTCALL | METH_KEYWORDS, "__enter__($self, /)\n--\n\nacquire()"},
    {"release", release, METH_NOARGS,
     "release($self, /)\n--\n\nUndo one acquire(); RuntimeError if the lock is not ours.\n\nThe last one "
     "gives "
     "it to the first who waits. Any thread; never switches."},
    {"__exit__", FAST(leave), METH_FASTCALL, "__exit__($self, /, *exc)\n--\n\nrelease()"},
    {"locked", locked, METH_NOARGS, "locked($self, /)\n--\n\nWhether somebody has it."},
    {"_is_owned", is_owned, METH_NOARGS, "_is_owned($self, /)\n--\n\nWhether it is ours."},
    {"_recursion_count", recursion_count, METH_NOARGS,
     "_recursion_count($self, /)\n--\n\nHow often it is ours."},
    {"_renew", renew, METH_NOARGS, RENEW_DOC},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_count", T_PYSSIZET, offsetof(struct rlock, count), 0, "How often the owner has it."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"_owner", get_owner, NULL, "The number of who has it, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "RLock(*args, **kwargs)\n--\n\nThe hot half of corolib.thread.RLock."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {0, NULL},
};

PyType_Spec locks_rlock_spec = {
    .name = "corolib._hub._core.RLock",
    .basicsize = sizeof(struct rlock),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
