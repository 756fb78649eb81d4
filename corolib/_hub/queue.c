/* SimpleQueue and Queue: the hot half of corolib.queue.
 *
 * The items are in a container of Python (a deque, a list), which is public; how to put one in and take one
 * out are callables given by the subclass. An item that is put while somebody waits for one is handed over at
 * once; a place that becomes free while somebody waits to put is kept for the longest waiting. So both sides
 * are served in the order of arrival, and an item is always either in the container or with exactly one
 * greenlet.
 *
 * Look, change and join are one step for all threads as long as the container's functions are C and run no
 * Python code. Where they may (items that are compared, _put() and _get() of a subclass), a native lock is
 * held around each step: see `guard`.
 *
 * Long, but one idea: Queue adds counting of tasks and shutting down, and both stand in every step of putting
 * and getting; the last third is tables of methods. */
#include "queue.h"

#include <pthread.h>
#include <pythread.h>
#include <stddef.h>
#include <structmember.h>

#include "arguments.h"
#include "waitlist.h"

struct queue {
    PyObject_HEAD PyObject *items; /* owned: the container; NULL before __init__ */
    PyObject *store;               /* owned: store(item) puts it in */
    PyObject *fetch;               /* owned: fetch() takes the next one out */
    PyObject *untake;              /* owned: untake(item) puts back what fetch() gave, as the next one */
    Py_ssize_t maxsize;            /* as given; 0 or less: no bound */
    Py_ssize_t kept;               /* places kept for putters that were woken and have not arrived */
    Py_ssize_t unfinished;         /* tasks; counted for all, shown by Queue */
    struct waitlist getters;       /* woken with an item, or `closed` */
    struct waitlist putters;       /* woken with `place`, or `closed` */
    struct waitlist joiners;
    PyThread_type_lock guard; /* NULL: steps cannot be interrupted */
    unsigned long holder;     /* the thread that has the guard, and how often */
    int depth;
    unsigned forks;                  /* `forks` when it took it */
    bool own_put, own_get, own_size; /* a subclass has _put(), _get(), _qsize() of its own */
    bool emptied;                    /* shut down at once: what comes back is thrown away, too */
    char shut_down;
    unsigned char streak; /* get() that has not waited, in a row; see be_fair() */
};

/* What a putter is woken with: a place is kept for it; and everybody at shutdown. */
static PyObject *place, *closed;
static PyObject *name_put, *name_get, *name_size;
static PyObject *base_put, *base_get, *base_size; /* our own methods of these names, to compare with */

static struct queue *cast(PyObject *self)
{
    return (struct queue *)self;
}

/* How many forks there were on the way to this process, since the module is there. */
static unsigned forks;

static void count_fork(void)
{
    forks++;
}

/* The guard. Not held during a wait; another greenlet of the same thread gets in, as it does with a heap that
 * is changed while it compares: then the heap's own check raises. */

static void enter(struct queue *queue)
{
    if (queue->guard == NULL) return;
    unsigned long me = PyThread_get_thread_ident();
    if (queue->depth > 0 && queue->holder == me) {
        queue->depth++;
        return;
    }
    if (!PyThread_acquire_lock(queue->guard, NOWAIT_LOCK)) {
        PyThread_type_lock fresh;
        if (queue->forks != forks && (fresh = PyThread_allocate_lock()) != NULL) {
            /* By a thread that is not there in this process. It was comparing items, which stay all there;
             * that the smallest is first is not sure. A lock that is held may not be freed. */
            queue->guard = fresh;
            queue->depth = 0;
            enter(queue);
            return;
        }
        Py_BEGIN_ALLOW_THREADS PyThread_acquire_lock(queue->guard, WAIT_LOCK);
        Py_END_ALLOW_THREADS
    }
    queue->holder = me;
    queue->depth = 1;
    queue->forks = forks;
}

static void leave(struct queue *queue)
{
    if (queue->guard != NULL && --queue->depth == 0) PyThread_release_lock(queue->guard);
}

/* The container. */

static Py_ssize_t size_of(struct queue *queue)
{
    if (!queue->own_size) return PyObject_Size(queue->items);
    PyObject *size = PyObject_CallMethodNoArgs((PyObject *)queue, name_size);
    if (size == NULL) return -1;
    Py_ssize_t number = PyNumber_AsSsize_t(size, PyExc_OverflowError);
    Py_DECREF(size);
    return number;
}

/* 1 if there is a place, 0 if not, -1. */
static int has_place(struct queue *queue)
{
    if (queue->maxsize <= 0) return 1;
    Py_ssize_t size = size_of(queue);
    return size < 0 ? -1 : size + queue->kept < queue->maxsize;
}

static int store(struct queue *queue, PyObject *item)
{
    PyObject *result = queue->own_put ? PyObject_CallMethodOneArg((PyObject *)queue, name_put, item)
                                      : PyObject_CallOneArg(queue->store, item);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static PyObject *fetch(struct queue *queue)
{
    if (queue->own_get) return PyObject_CallMethodNoArgs((PyObject *)queue, name_get);
    return PyObject_CallNoArgs(queue->fetch);
}

/* If nothing is left to do, those in join() go on. 0 or -1. */
static int tell_joiners(struct queue *queue)
{
    return queue->unfinished == 0 && waitlist_wake(&queue->joiners, PY_SSIZE_T_MAX, Py_True) < 0 ? -1 : 0;
}

/* Puts an item back that had been taken out: to whoever waits for one, or the next one again. 0 or -1. */
static int restore(struct queue *queue, PyObject *item)
{
    if (queue->emptied) {
        if (queue->unfinished == 0) return 0;
        queue->unfinished--;
        return tell_joiners(queue);
    }
    Py_ssize_t woken = waitlist_wake(&queue->getters, 1, item);
    if (woken != 0) return woken < 0 ? -1 : 0;
    PyObject *result = PyObject_CallOneArg(queue->untake, item);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Wakes as many putters as there are places, keeping a place for each. 0 or -1. */
static int offer_places(struct queue *queue)
{
    while (queue->putters.first != NULL) {
        int free = has_place(queue);
        if (free <= 0) return free;
        queue->kept++;
        if (waitlist_wake(&queue->putters, 1, place) > 0) continue;
        queue->kept--;
        return PyErr_Occurred() ? -1 : 0;
    }
    return 0;
}

/* There is a place: an item comes in. 0 or -1. */
static int add(struct queue *queue, PyObject *item)
{
    if (queue->getters.first == NULL || queue->own_put || queue->own_get) {
        if (store(queue, item) < 0) return -1;
        queue->unfinished++;
        if (queue->getters.first == NULL) return 0;
        /* A subclass sees every item come and go. */
        Py_ssize_t size = size_of(queue);
        if (size <= 0) return (int)size;
        PyObject *next = fetch(queue);
        int rc = next == NULL ? -1 : restore(queue, next);
        Py_XDECREF(next);
        return rc < 0 ? -1 : offer_places(queue);
    }
    if (waitlist_wake(&queue->getters, 1, item) < 0) return -1;
    queue->unfinished++;
    return queue->putters.first != NULL ? offer_places(queue) : 0;
}

/* What did not arrive. */

static void item_back(struct waitlist *list, PyObject *value)
{
    struct queue *queue = (struct queue *)((char *)list - offsetof(struct queue, getters));
    if (value == closed) return;
    enter(queue);
    restore(queue, value);
    leave(queue);
}

static void place_back(struct waitlist *list, PyObject *value)
{
    struct queue *queue = (struct queue *)((char *)list - offsetof(struct queue, putters));
    if (value != place) return;
    enter(queue);
    queue->kept--;
    offer_places(queue);
    leave(queue);
}

/* Errors: the subclass knows the classes, each by a name: () -> exception. */
static PyObject *refuse(PyObject *self, const char *name)
{
    PyObject *error = PyObject_CallMethod(self, name, NULL);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

static int check(struct queue *queue)
{
    if (queue->items != NULL) return 0;
    PyErr_SetString(PyExc_RuntimeError, "the queue's __init__() was not called");
    return -1;
}

/* Reads block and timeout, at args[0] and [1] or by name. */
static int take_limits(PyObject *block, PyObject *limit, int *blocks, double *timeout)
{
    *blocks = block == NULL ? 1 : PyObject_IsTrue(block);
    *timeout = PARK_FOREVER;
    if (*blocks < 0) return -1;
    if (!*blocks || limit == NULL || limit == Py_None) return 0;
    if (park_timeout(limit, timeout) < 0) return -1;
    if (*timeout > 0 || PyFloat_AsDouble(limit) >= 0) return 0;
    PyErr_Format(PyExc_ValueError, "'timeout' must be a non-negative number, found %R", limit);
    return -1;
}

/* Putting. */

static int put_slowly(PyObject *self, PyObject *item, int blocks, double timeout)
{
    struct queue *queue = cast(self);
    for (int looks = 0;; looks++) {
        enter(queue);
        int free = queue->shut_down ? 0 : has_place(queue);
        if (free > 0) free = add(queue, item) < 0 ? -1 : 1;
        leave(queue);
        if (free != 0) return free < 0 ? -1 : 0;
        if (queue->shut_down)
            refuse(self, "_shut_down_error");
        else if (!blocks)
            refuse(self, "_full_error");
        else if (looks > 0)
            break; /* no Python code has run since */
        else if (hub_here() != NULL)
            continue; /* that may have: one more look */
        return -1;
    }
    PyObject *answer = waitlist_wait(&queue->putters, self, timeout);
    if (answer == NULL) return -1;
    Py_DECREF(answer); /* one of three that live for ever */
    if (answer == hub_timed_out) {
        refuse(self, "_full_error");
        return -1;
    }
    enter(queue);
    if (answer == place) queue->kept--;
    int rc = queue->shut_down ? -1 : add(queue, item);
    leave(queue);
    if (queue->shut_down && rc < 0 && !PyErr_Occurred()) refuse(self, "_shut_down_error");
    return rc;
}

static PyObject *queue_put(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    struct queue *queue = cast(self);
    PyObject *found[3] = {args[0], NULL, NULL};
    int blocks = 1;
    double timeout = PARK_FOREVER;
    if (check(queue) < 0) return NULL;
    if (nargs != 1 || names != NULL) {
        if (arguments_take("put", (const char *[]){"item", "block", "timeout", NULL}, 1, args, nargs, names,
                           found) < 0 ||
            take_limits(found[1], found[2], &blocks, &timeout) < 0)
            return NULL;
    }
    if (queue->maxsize <= 0 && queue->getters.first == NULL && queue->guard == NULL && !queue->shut_down) {
        /* The usual case. */
        if (store(queue, found[0]) < 0) return NULL;
        queue->unfinished++;
        Py_RETURN_NONE;
    }
    if (put_slowly(self, found[0], blocks, timeout) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *queue_put_nowait(PyObject *self, PyObject *item)
{
    if (check(cast(self)) < 0 || put_slowly(self, item, 0, PARK_FOREVER) < 0) return NULL;
    Py_RETURN_NONE;
}

/* Getting. */

/* A greenlet that always finds an item lets others run now and then. Most take no time for an item, so the
 * clock is read for every eighth. */
static int be_fair(struct queue *queue)
{
    if (++queue->streak % 8 != 0) return 0;
    struct hub *hub = hub_if_exists();
    if (hub == NULL) return PyErr_Occurred() ? -1 : 0;
    if (queue->streak < HUB_FAIR_STREAK && !hub_held_long(hub)) return 0;
    queue->streak = 0;
    return park_give_way(hub);
}

/* Takes the next item out: 1, 0 if there is none, -1. */
static int take(struct queue *queue, PyObject **item)
{
    Py_ssize_t size = size_of(queue);
    if (size <= 0) return (int)size;
    if ((*item = fetch(queue)) == NULL) return -1;
    if (queue->putters.first == NULL || offer_places(queue) == 0) return 1;
    Py_CLEAR(*item);
    return -1;
}

/* peek: the item stays. */
static PyObject *get_slowly(PyObject *self, int blocks, double timeout, bool peek)
{
    struct queue *queue = cast(self);
    PyObject *item = NULL;
    if (blocks && timeout != 0 && be_fair(queue) < 0) return NULL; /* before anything has been taken */
    for (int looks = 0;; looks++) {
        enter(queue);
        int found;
        if (peek) {
            Py_ssize_t size = size_of(queue);
            found = size < 0 ? -1 : size > 0;
            if (found > 0 && (item = PyObject_CallMethod(self, "_peek", NULL)) == NULL) found = -1;
        } else {
            found = take(queue, &item);
        }
        if (found == 0 && looks > 0 && blocks && queue->putters.first != NULL && offer_places(queue) < 0)
            found = -1;
        leave(queue);
        if (found != 0) return item;
        if (queue->shut_down) return refuse(self, "_shut_down_error");
        if (!blocks) return refuse(self, "_empty_error");
        if (looks > 0) break;                /* no Python code has run since */
        if (hub_here() == NULL) return NULL; /* that may have: one more look */
    }
    queue->streak = 0;
    item = waitlist_wait(&queue->getters, self, timeout);
    if (item == hub_timed_out || item == closed) {
        Py_DECREF(item);
        return refuse(self, item == closed ? "_shut_down_error" : "_empty_error");
    }
    if (!peek || item == NULL) return item;
    enter(queue);
    int rc = restore(queue, item);
    leave(queue);
    if (rc < 0) Py_CLEAR(item);
    return item;
}

static PyObject *get(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names, bool peek)
{
    int blocks = 1;
    double timeout = PARK_FOREVER;
    if (check(cast(self)) < 0) return NULL;
    if (nargs > 0 || names != NULL) {
        PyObject *found[2];
        if (arguments_take(peek ? "peek" : "get", (const char *[]){"block", "timeout", NULL}, 0, args, nargs,
                           names, found) < 0 ||
            take_limits(found[0], found[1], &blocks, &timeout) < 0)
            return NULL;
    }
    return get_slowly(self, blocks, timeout, peek);
}

static PyObject *queue_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    return get(self, args, nargs, names, false);
}

static PyObject *queue_peek(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    return get(self, args, nargs, names, true);
}

static PyObject *queue_get_nowait(PyObject *self, PyObject *unused)
{
    (void)unused;
    return check(cast(self)) < 0 ? NULL : get_slowly(self, 0, PARK_FOREVER, false);
}

static PyObject *queue_peek_nowait(PyObject *self, PyObject *unused)
{
    (void)unused;
    return check(cast(self)) < 0 ? NULL : get_slowly(self, 0, PARK_FOREVER, true);
}

/* For subclasses that override them. */

static PyObject *queue_store(PyObject *self, PyObject *item)
{
    return check(cast(self)) < 0 ? NULL : PyObject_CallOneArg(cast(self)->store, item);
}

static PyObject *queue_fetch(PyObject *self, PyObject *unused)
{
    (void)unused;
    return check(cast(self)) < 0 ? NULL : PyObject_CallNoArgs(cast(self)->fetch);
}

static PyObject *queue_size(PyObject *self, PyObject *unused)
{
    (void)unused;
    Py_ssize_t size = check(cast(self)) < 0 ? -1 : PyObject_Size(cast(self)->items);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

/* Looking. */

static Py_ssize_t queue_len(PyObject *self)
{
    return check(cast(self)) < 0 ? -1 : size_of(cast(self));
}

static int queue_bool(PyObject *self)
{
    (void)self;
    return 1;
}

static PyObject *queue_qsize(PyObject *self, PyObject *unused)
{
    (void)unused;
    Py_ssize_t size = queue_len(self);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

static PyObject *queue_empty(PyObject *self, PyObject *unused)
{
    (void)unused;
    Py_ssize_t size = queue_len(self);
    return size < 0 ? NULL : PyBool_FromLong(size == 0);
}

static PyObject *queue_full(PyObject *self, PyObject *unused)
{
    (void)unused;
    int free = check(cast(self)) < 0 ? -1 : has_place(cast(self));
    return free < 0 ? NULL : PyBool_FromLong(!free);
}

static PyObject *get_maxsize(PyObject *self, void *closure)
{
    (void)closure;
    return cast(self)->maxsize > 0 ? PyLong_FromSsize_t(cast(self)->maxsize) : Py_NewRef(Py_None);
}

static int read_maxsize(PyObject *value, Py_ssize_t *maxsize)
{
    *maxsize = 0;
    if (value == NULL || value == Py_None) return 0;
    *maxsize = PyNumber_AsSsize_t(value, NULL); /* as good as no bound if it is too large */
    return *maxsize == -1 && PyErr_Occurred() ? -1 : 0;
}

static int set_maxsize(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    struct queue *queue = cast(self);
    Py_ssize_t maxsize;
    if (check(queue) < 0 || read_maxsize(value, &maxsize) < 0) return -1;
    enter(queue);
    queue->maxsize = maxsize;
    int rc = queue->shut_down ? 0 : offer_places(queue);
    leave(queue);
    return rc;
}

static PyObject *get_getters(PyObject *self, void *closure)
{
    (void)closure;
    return waitlist_greenlets(&cast(self)->getters);
}

static PyObject *get_putters(PyObject *self, void *closure)
{
    (void)closure;
    return waitlist_greenlets(&cast(self)->putters);
}

/* Tasks and shutting down: Queue only. */

static PyObject *get_joiners(PyObject *self, void *closure)
{
    (void)closure;
    return waitlist_greenlets(&cast(self)->joiners);
}

static PyObject *queue_task_done(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (cast(self)->unfinished <= 0) {
        PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
        return NULL;
    }
    cast(self)->unfinished--;
    if (tell_joiners(cast(self)) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *queue_join(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *argument;
    double timeout;
    if (arguments_take("join", (const char *[]){"timeout", NULL}, 0, args, nargs, names, &argument) < 0 ||
        park_timeout(argument, &timeout) < 0 || hub_here() == NULL)
        return NULL;
    if (cast(self)->unfinished <= 0) Py_RETURN_TRUE;
    PyObject *answer = waitlist_wait(&cast(self)->joiners, self, timeout);
    if (answer != hub_timed_out) return answer;
    Py_DECREF(answer);
    Py_RETURN_FALSE;
}

/* Throws the items away, as if they had been dealt with. 0 or -1. */
static int throw_away(struct queue *queue)
{
    Py_ssize_t size;
    queue->emptied = true;
    while ((size = size_of(queue)) > 0) {
        PyObject *item = fetch(queue);
        if (item == NULL) return -1;
        Py_DECREF(item);
        if (queue->unfinished > 0) queue->unfinished--;
    }
    return size < 0 ? -1 : tell_joiners(queue);
}

static PyObject *queue_shutdown(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    struct queue *queue = cast(self);
    PyObject *argument;
    if (check(queue) < 0 ||
        arguments_take("shutdown", (const char *[]){"immediate", NULL}, 0, args, nargs, names, &argument) < 0)
        return NULL;
    int immediate = argument == NULL ? 0 : PyObject_IsTrue(argument);
    if (immediate < 0) return NULL;
    enter(queue);
    queue->shut_down = 1;
    int rc = immediate ? throw_away(queue) : 0;
    if (waitlist_wake(&queue->putters, PY_SSIZE_T_MAX, closed) < 0) rc = -1;
    if (waitlist_wake(&queue->getters, PY_SSIZE_T_MAX, closed) < 0) rc = -1;
    leave(queue);
    if (rc < 0) return NULL;
    Py_RETURN_NONE;
}

/* Life. */

static int differs(PyTypeObject *type, PyObject *name, PyObject *base, bool *answer)
{
    PyObject *found = PyObject_GetAttr((PyObject *)type, name);
    if (found == NULL) return -1;
    *answer = found != base;
    Py_DECREF(found);
    return 0;
}

static int queue_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"maxsize", "container", "store", "fetch", "untake", "guarded", NULL};
    struct queue *queue = cast(self);
    PyObject *limit, *items, *into, *out, *back;
    Py_ssize_t maxsize;
    int guarded = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO|p:SimpleQueue", names, &limit, &items, &into, &out,
                                     &back, &guarded) ||
        read_maxsize(limit, &maxsize) < 0 ||
        differs(Py_TYPE(self), name_put, base_put, &queue->own_put) < 0 ||
        differs(Py_TYPE(self), name_get, base_get, &queue->own_get) < 0 ||
        differs(Py_TYPE(self), name_size, base_size, &queue->own_size) < 0)
        return -1;
    if ((guarded || queue->own_put || queue->own_get || queue->own_size) && queue->guard == NULL &&
        (queue->guard = PyThread_allocate_lock()) == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no native lock could be made");
        return -1;
    }
    queue->maxsize = maxsize;
    queue->getters.undo = item_back;
    queue->putters.undo = place_back;
    Py_XSETREF(queue->store, Py_NewRef(into));
    Py_XSETREF(queue->fetch, Py_NewRef(out));
    Py_XSETREF(queue->untake, Py_NewRef(back));
    Py_XSETREF(queue->items, Py_NewRef(items));
    return 0;
}

static int queue_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(cast(self)->items);
    Py_VISIT(cast(self)->store);
    Py_VISIT(cast(self)->fetch);
    Py_VISIT(cast(self)->untake);
    return 0;
}

static int queue_clear(PyObject *self)
{
    Py_CLEAR(cast(self)->items);
    Py_CLEAR(cast(self)->store);
    Py_CLEAR(cast(self)->fetch);
    Py_CLEAR(cast(self)->untake);
    return 0;
}

static void queue_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    queue_clear(self);
    if (cast(self)->guard != NULL) PyThread_free_lock(cast(self)->guard);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef simple_methods[] = {
    {"put", FAST(queue_put), METH_FASTCALL | METH_KEYWORDS,
     "put($self, /, item, block=True, timeout=None)\n--\n\nPut an item in. Full if there is no place "
     "within `timeout` seconds, or "
     "at all with `block` false. ShutDown if it is\nshut down.\n\nSwitches only if it has to wait. "
     "ValueError "
     "if `timeout` is negative."},
    {"put_nowait", queue_put_nowait, METH_O,
     "put_nowait($self, item, /)\n--\n\nput(item, block=False); never switches."},
    {"get", FAST(queue_get), METH_FASTCALL | METH_KEYWORDS,
     "get($self, /, block=True, timeout=None)\n--\n\nTake the next item out. Empty if there is none "
     "within `timeout` seconds, or "
     "at all with `block` false.\n\nSwitches only if it has to wait, or has not in 64 calls. ShutDown if the "
     "queue is shut down and "
     "empty. ValueError if `timeout`\nis negative."},
    {"get_nowait", queue_get_nowait, METH_NOARGS,
     "get_nowait($self, /)\n--\n\nget(block=False); never switches."},
    {"peek", FAST(queue_peek), METH_FASTCALL | METH_KEYWORDS,
     "peek($self, /, block=True, timeout=None)\n--\n\nThe next item, which stays in the queue. Waits "
     "`timeout` seconds at most, "
     "switches and raises as get() does."},
    {"peek_nowait", queue_peek_nowait, METH_NOARGS,
     "peek_nowait($self, /)\n--\n\npeek(block=False); never switches."},
    {"qsize", queue_qsize, METH_NOARGS, "qsize($self, /)\n--\n\nHow many items are in it."},
    {"empty", queue_empty, METH_NOARGS, "empty($self, /)\n--\n\nWhether get() would have to wait."},
    {"full", queue_full, METH_NOARGS, "full($self, /)\n--\n\nWhether put() would have to wait."},
    {"_put", queue_store, METH_O,
     "_put($self, item, /)\n--\n\nPut it into the container; a subclass may override it, as with the "
     "standard "
     "library's queues."},
    {"_get", queue_fetch, METH_NOARGS, "_get($self, /)\n--\n\nTake one out of it; likewise."},
    {"_qsize", queue_size, METH_NOARGS, "_qsize($self, /)\n--\n\nHow many there are in it; likewise."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef simple_members[] = {
    {"queue", T_OBJECT, offsetof(struct queue, items), 0, "The items in it."},
    {"_kept", T_PYSSIZET, offsetof(struct queue, kept), READONLY,
     "Places kept for putters that were woken and have not arrived."},
    {"is_shutdown", T_BOOL, offsetof(struct queue, shut_down), READONLY, "Whether it is shut down."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef simple_getset[] = {
    {"maxsize", get_maxsize, set_maxsize,
     "How many items it may hold; None: any number. May be set: who waits for a place gets it then.", NULL},
    {"getters", get_getters, NULL, "Who waits for an item, longest waiting first.", NULL},
    {"putters", get_putters, NULL, "Who waits for a place, longest waiting first.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot simple_slots[] = {
    {Py_tp_doc,
     "SimpleQueue(maxsize, container, store, fetch, untake, guarded=False)\n--\n\n"
     "The hot half of corolib.queue.SimpleQueue. `guarded`: store, fetch or untake run Python code."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, queue_init},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_methods, simple_methods},
    {Py_tp_members, simple_members},
    {Py_tp_getset, simple_getset},
    {Py_sq_length, queue_len},
    {Py_nb_bool, queue_bool},
    {0, NULL},
};

static PyType_Spec simple_spec = {
    .name = "corolib._hub._core.SimpleQueue",
    .basicsize = sizeof(struct queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = simple_slots,
};

static PyMethodDef methods[] = {
    {"task_done", queue_task_done, METH_NOARGS,
     "task_done($self, /)\n--\n\nAn item that was got has been dealt with. ValueError if there are no "
     "unfinished "
     "tasks. Never switches."},
    {"join", FAST(queue_join), METH_FASTCALL | METH_KEYWORDS,
     "join($self, /, timeout=None)\n--\n\nWait until there are no unfinished tasks: True; False if that "
     "takes "
     "longer than `timeout` seconds.\n\nSwitches unless there are none."},
    {"shutdown", FAST(queue_shutdown), METH_FASTCALL | METH_KEYWORDS,
     "shutdown($self, /, immediate=False)\n--\n\nNo more items: put() raises ShutDown from now on, get() "
     "once the "
     "queue is empty. Never switches.\n\nThose who wait get ShutDown too. `immediate`: the items are thrown "
     "away, as if they had been dealt\nwith."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"unfinished_tasks", T_PYSSIZET, offsetof(struct queue, unfinished), 0,
     "How many items have been put and not been dealt with."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"_joiners", get_joiners, NULL, "Who waits in join(), longest waiting first.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The hot half of corolib.queue.Queue: a SimpleQueue that counts tasks and can be shut down."},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_dealloc, queue_dealloc},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "corolib._hub._core.Queue",
    .basicsize = sizeof(struct queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

int queue_setup(PyObject *module)
{
    static bool counted;
    if (!counted && pthread_atfork(NULL, NULL, count_fork) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    counted = true;
    PyObject *simple = PyType_FromSpec(&simple_spec);
    PyObject *full = simple == NULL ? NULL : PyType_FromSpecWithBases(&spec, simple);
    int rc = -1;
    if (full == NULL || PyModule_AddType(module, (PyTypeObject *)simple) < 0 ||
        PyModule_AddType(module, (PyTypeObject *)full) < 0)
        goto done;
    if ((place = PyUnicode_FromString("a place")) == NULL ||
        (closed = PyUnicode_FromString("closed")) == NULL)
        goto done;
    if ((name_put = PyUnicode_InternFromString("_put")) == NULL ||
        (name_get = PyUnicode_InternFromString("_get")) == NULL ||
        (name_size = PyUnicode_InternFromString("_qsize")) == NULL)
        goto done;
    if ((base_put = PyObject_GetAttr(simple, name_put)) == NULL ||
        (base_get = PyObject_GetAttr(simple, name_get)) == NULL ||
        (base_size = PyObject_GetAttr(simple, name_size)) == NULL)
        goto done;
    rc = 0;
done:
    Py_XDECREF(simple);
    Py_XDECREF(full);
    return rc;
}
