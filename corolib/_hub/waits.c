/* What waits, and what could end it: the facts that reports of deadlocks are made of (corolib._waitgraph).
 *
 * waits() is one look: the GIL is held and no other code runs until all records are copied. What happens
 * between two looks is seen by `turn`, which no two waits of a greenlet have in common: a greenlet that has
 * the same turn in both has not moved in between. */
#include "waits.h"

#include "park.h"
#include "watch.h"

static int take_hub(PyObject *object, struct hub **out)
{
    if (!hub_check(object)) {
        PyErr_Format(PyExc_TypeError, "a Hub was expected, not %.100s", Py_TYPE(object)->tp_name);
        return -1;
    }
    *out = hub_core(object);
    return 0;
}

static int check_greenlet(PyObject *object)
{
    if (PyObject_TypeCheck(object, engine->type)) return 0;
    PyErr_Format(PyExc_TypeError, "a greenlet was expected, not %.100s", Py_TYPE(object)->tp_name);
    return -1;
}

/* (greenlet, kind, object, since, due, external, turn) of one that waits. */
static PyObject *describe(struct park *park)
{
    struct hub *hub = park->hub;
    PyObject *due = deadline_active(&park->deadline)
                        ? PyFloat_FromDouble(deadline_at(&hub->deadlines, &park->deadline))
                        : Py_NewRef(Py_None);
    PyObject *name = PyUnicode_FromString(park_name(park));
    if (due == NULL || name == NULL) {
        Py_XDECREF(due);
        Py_XDECREF(name);
        return NULL;
    }
    return Py_BuildValue("ONOdNOK", park->greenlet, name, park->object != NULL ? park->object : Py_None,
                         park->since, due, park->kind->external ? Py_True : Py_False,
                         (unsigned long long)park->turn);
}

static PyObject *core_waits(PyObject *module, PyObject *argument)
{
    (void)module;
    struct hub *hub;
    if (take_hub(argument, &hub) < 0) return NULL;
    PyObject *list = PyList_New(0);
    if (list == NULL) return NULL;
    /* Making a tuple may start a collection (up to CPython 3.11), and with it any Python code. */
    int collects = PyGC_Disable();
    for (struct park *park = hub->parked; park != NULL; park = park->down) {
        PyObject *wait = describe(park);
        if (wait == NULL || PyList_Append(list, wait) < 0) {
            Py_XDECREF(wait);
            Py_CLEAR(list);
            break;
        }
        Py_DECREF(wait);
    }
    if (collects) PyGC_Enable();
    if (list != NULL && PyList_Reverse(list) < 0) Py_CLEAR(list); /* longest waiting first */
    return list;
}

static PyObject *core_standing(PyObject *module, PyObject *target)
{
    (void)module;
    if (check_greenlet(target) < 0) return NULL;
    struct switch_face *face = hub_face(target);
    struct park *park = face->park;
    const char *standing = "suspended";
    if (face->state == SWITCH_DEAD)
        standing = "dead";
    else if (park != NULL && park->state == PARK_WAITING)
        standing = "waiting";
    else if (park != NULL && park->state != PARK_IDLE)
        standing = "ready";
    else if (face->state == SWITCH_CURRENT)
        standing = "running";
    else if (face->state == SWITCH_FRESH)
        standing = "fresh";
    return PyUnicode_InternFromString(standing);
}

static PyObject *core_turn(PyObject *module, PyObject *target)
{
    (void)module;
    if (check_greenlet(target) < 0) return NULL;
    struct park *park = hub_face(target)->park;
    return PyLong_FromUnsignedLongLong(park == NULL ? 0 : (unsigned long long)park->turn);
}

/* Adds `object` to the list if it is a greenlet, or a method of one. */
static int add_target(PyObject *list, PyObject *object)
{
    if (object == NULL) return 0;
    if (PyMethod_Check(object))
        object = PyMethod_GET_SELF(object);
    else if (PyCFunction_Check(object) && PyCFunction_GET_SELF(object) != NULL)
        object = PyCFunction_GET_SELF(object);
    return PyObject_TypeCheck(object, engine->type) ? PyList_Append(list, object) : 0;
}

static int add_targets(PyObject *list, struct watch *watch)
{
    if (add_target(list, watch->fn) < 0) return -1;
    for (Py_ssize_t i = 0; watch->args != NULL && PyTuple_Check(watch->args); i++) {
        if (i == PyTuple_GET_SIZE(watch->args)) break;
        if (add_target(list, PyTuple_GET_ITEM(watch->args, i)) < 0) return -1;
    }
    return 0;
}

/* Called for each entry of the ready queue. */
static int visit_entry(PyObject *entry, void *list)
{
    if (PyObject_TypeCheck(entry, engine->type)) return 0;
    return add_targets(list, watch_cast(entry));
}

static PyObject *core_activity(PyObject *module, PyObject *argument)
{
    (void)module;
    struct hub *hub;
    if (take_hub(argument, &hub) < 0) return NULL;
    PyObject *targets = PyList_New(0);
    if (targets == NULL) return NULL;
    bool failed = ready_traverse(&hub->ready, visit_entry, targets) != 0;
    for (ptrdiff_t i = 0; i < hub->deadlines.len && !failed; i++) {
        struct watch *watch = watch_of_deadline(hub->deadlines.slots[i].node);
        failed = watch != NULL && add_targets(targets, watch) < 0;
    }
    if (failed) {
        Py_DECREF(targets);
        return NULL;
    }
    return Py_BuildValue("nnnON", (Py_ssize_t)hub->ready.len, hub->live, hub->external,
                         hub->polling ? Py_True : Py_False, targets);
}

static PyObject *core_stretch(PyObject *module, PyObject *argument)
{
    (void)module;
    struct hub *hub;
    if (take_hub(argument, &hub) < 0) return NULL;
    if (hub->destroyed || hub->polling || hub_face(hub->self)->state == SWITCH_FRESH) Py_RETURN_NONE;
    return Py_BuildValue("dn", hub->polled_at, (Py_ssize_t)hub->unpolled);
}

static PyObject *core_threads(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    PyObject *list = PyList_New(0);
    if (list == NULL) return NULL;
    PyInterpreterState *interpreter = PyThreadState_GetInterpreter(PyThreadState_Get());
    PyThreadState *each = PyInterpreterState_ThreadHead(interpreter);
    for (; each != NULL; each = PyThreadState_Next(each)) {
        PyObject *ident = PyLong_FromUnsignedLong(each->thread_id);
        if (ident == NULL || PyList_Append(list, ident) < 0) {
            Py_XDECREF(ident);
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(ident);
    }
    return Py_BuildValue("Nn", list, hub_idle_threads);
}

static PyMethodDef methods[] = {
    {"waits", core_waits, METH_O,
     "waits(hub, /)\n--\n\n(greenlet, kind, object, since, due, external, turn) of all that wait in a hub, "
     "longest waiting first.\n"
     "`due` is when the wait's own time is over, or None; a `turn` is one wait of a greenlet."},
    {"standing", core_standing, METH_O,
     "standing(target, /)\n--\n\nWhat a greenlet is doing: 'dead', 'waiting', 'ready', 'running', 'fresh' "
     "(not "
     "started), or\n'suspended' (switched away from by hand)."},
    {"activity", core_activity, METH_O,
     "activity(hub, /)\n--\n\n(ready, live, external, polling, targets): entries of the ready queue, what "
     "something outside\n"
     "can still end, jobs of other threads, whether the thread sleeps in its poll, and the greenlets that a\n"
     "timer or a queued call names."},
    {"turn", core_turn, METH_O, "turn(target, /)\n--\n\nHow often a greenlet has waited or yielded."},
    {"stretch", core_stretch, METH_O,
     "stretch(hub, /)\n--\n\n(when the loop last looked for events, how many entries of the ready queue have "
     "run since):\nas long as it is the same, one entry is running. None if the loop sleeps, or has never "
     "run."},
    {"threads", core_threads, METH_NOARGS,
     "threads()\n--\n\nIdentifiers of all threads of Python, and how many of these can wake nobody."},
    {NULL, NULL, 0, NULL},
};

int waits_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
