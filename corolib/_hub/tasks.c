/* TaskQueue: tasks on their way to the native threads of a pool, first in, first out.
 *
 * A queue whose every item wakes the next thread wakes ten threads for ten short tasks: each needs the kernel
 * and then the GIL for one of them. (CPython's own hands an item over to the thread that waited longest since
 * 3.13.) Here one thread at most is on its way: it takes a task, wakes another if it leaves any, and comes
 * back for more when it is done. Short tasks are all done by one thread while the GIL is its own; long ones
 * get a thread each, one after the other. Who waited least is woken first: its stack is in the cache, and
 * what is too many is idle for long and ends.
 *
 * So, always: if there is a task and a thread that waits, one is on its way.
 *
 * All under the GIL, which is given away while a thread waits and nowhere else. */
#include "tasks.h"

#include <math.h>
#include <pythread.h>
#include <stdbool.h>

#include "hub.h"
#include "park.h"

struct task {
    struct task *next;
    PyObject *object; /* owned */
};

/* A thread that waits. It may end in its wait, when the interpreter is finalized, and never come back: so
 * this is not on its stack. */
struct worker {
    struct worker *next;
    PyThread_type_lock bell; /* locked until it is woken */
    bool woken;              /* has left `waiting`; changed by who wakes it */
};

struct tasks {
    PyObject_HEAD struct task *first, *last;
    struct worker *waiting; /* who waited least first; each belongs to its thread */
    bool coming;            /* one has been woken and has not been here since */
};

static struct tasks *cast(PyObject *self)
{
    return (struct tasks *)self;
}

static void wake_one(struct tasks *tasks)
{
    struct worker *worker = tasks->waiting;
    if (worker == NULL || tasks->coming) return;
    tasks->waiting = worker->next;
    tasks->coming = worker->woken = true;
    PyThread_release_lock(worker->bell);
}

static PyObject *put(PyObject *self, PyObject *object)
{
    struct tasks *tasks = cast(self);
    struct task *task = PyMem_Malloc(sizeof *task);
    if (task == NULL) return PyErr_NoMemory();
    *task = (struct task){.object = Py_NewRef(object)};
    if (tasks->first == NULL)
        tasks->first = task;
    else
        tasks->last->next = task;
    tasks->last = task;
    wake_one(tasks);
    Py_RETURN_NONE;
}

/* The first task, which there is. */
static PyObject *take(struct tasks *tasks)
{
    struct task *task = tasks->first;
    PyObject *object = task->object;
    tasks->first = task->next;
    PyMem_Free(task);
    if (tasks->first != NULL) wake_one(tasks);
    return object;
}

static void leave(struct tasks *tasks, struct worker *worker)
{
    struct worker **place = &tasks->waiting;
    while (*place != worker) place = &(*place)->next;
    *place = worker->next;
}

/* Waits until woken, for so many microseconds, or for ever if that is negative. Whether it was. */
static bool wait(struct tasks *tasks, struct worker *worker, PY_TIMEOUT_T patience)
{
    worker->woken = false;
    worker->next = tasks->waiting;
    tasks->waiting = worker;
    hub_idle_threads++;
    PyLockStatus rung;
    Py_BEGIN_ALLOW_THREADS rung = PyThread_acquire_lock_timed(worker->bell, patience, 0);
    Py_END_ALLOW_THREADS hub_idle_threads--;
    if (!worker->woken) {
        leave(tasks, worker);
        return false;
    }
    /* The bell may have rung after its time, while this waited for the GIL. */
    if (rung != PY_LOCK_ACQUIRED) PyThread_acquire_lock(worker->bell, NOWAIT_LOCK);
    tasks->coming = false;
    return true;
}

/* The patience of a thread in microseconds, as above. 0 or -1. */
static int take_patience(PyObject *argument, PY_TIMEOUT_T *patience)
{
    *patience = -1;
    if (argument == Py_None) return 0;
    double seconds = PyFloat_AsDouble(argument);
    if (seconds == -1.0 && PyErr_Occurred()) return -1;
    if (!(seconds >= 0)) {
        PyErr_Format(PyExc_ValueError, "expected seconds, 0 or more, or None, found %R", argument);
        return -1;
    }
    if (seconds < floor((double)PY_TIMEOUT_MAX * 1e-6)) *patience = (PY_TIMEOUT_T)ceil(seconds * 1e6);
    return 0;
}

static PyObject *get(PyObject *self, PyObject *argument)
{
    struct tasks *tasks = cast(self);
    PY_TIMEOUT_T patience;
    if (take_patience(argument, &patience) < 0) return NULL;
    if (tasks->first != NULL) return take(tasks);
    struct worker *worker = PyMem_Calloc(1, sizeof *worker);
    PyThread_type_lock bell = worker == NULL ? NULL : PyThread_allocate_lock();
    if (bell == NULL) {
        PyMem_Free(worker);
        return PyErr_NoMemory();
    }
    worker->bell = bell;
    PyThread_acquire_lock(bell, NOWAIT_LOCK);
    bool woken;
    do woken = wait(tasks, worker, patience); /* another may have been quicker to take the task */
    while (woken && tasks->first == NULL);
    PyThread_release_lock(bell);
    PyThread_free_lock(bell);
    PyMem_Free(worker);
    return tasks->first != NULL ? take(tasks) : Py_NewRef(hub_timed_out);
}

static int has_tasks(PyObject *self)
{
    return cast(self)->first != NULL;
}

static int traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (struct task *task = cast(self)->first; task != NULL; task = task->next) Py_VISIT(task->object);
    return 0;
}

static int clear(PyObject *self)
{
    struct tasks *tasks = cast(self);
    while (tasks->first != NULL) {
        struct task *task = tasks->first;
        PyObject *object = task->object;
        tasks->first = task->next;
        PyMem_Free(task);
        Py_DECREF(object);
    }
    return 0;
}

static void dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self); /* nobody waits: who does has a reference */
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"put", put, METH_O,
     "put($self, task, /)\n--\n\nAt the end; a thread that waits is woken, unless one is on its way. Any "
     "thread; "
     "never "
     "switches."},
    {"get", get, METH_O,
     "get($self, patience, /)\n--\n\nBlock this native thread until there is a task, and take it; TIMED_OUT "
     "after "
     "`patience` seconds, unless that is None.\n"
     "A thread that waits here is none that could wake anybody: it puts off no LoopExit. Never switches."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "TaskQueue()\n--\n\nTasks on their way to native threads, first in, first out; false if empty."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_nb_bool, has_tasks},
    {0, NULL},
};

PyType_Spec tasks_spec = {
    .name = "corolib._hub._core.TaskQueue",
    .basicsize = sizeof(struct tasks),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};
