/* What tests may change of a hub: its clock, which then stands still and is moved by the loop, and the order
 * of its ready queue. See loop.c (look_and_jump) and ready.c for what comes of it; corolib.testing is the
 * face. */
#include <Python.h>

#include <math.h>

#include "hub.h"
#include "park.h"

static int check_open(const struct hub *hub)
{
    if (hub->loop != NULL) return 0;
    PyErr_SetString(PyExc_RuntimeError, "the hub is destroyed");
    return -1;
}

/* What waits was noted with the time of the old clock. */
static void set_clock(struct hub *hub, double now, bool stopped)
{
    double shift = now - deadline_now(&hub->deadlines);
    deadline_set_clock(&hub->deadlines, now, stopped);
    for (struct park *park = hub->parked; park != NULL; park = park->down) park->since += shift;
    hub->now = hub->polled_at = now;
    inbox_kick(hub); /* from another thread: its alarm is for the other clock */
}

PyObject *virtual_stop_clock(PyObject *self, PyObject *args)
{
    struct hub *hub = hub_core(self);
    double at, patience;
    PyObject *limit;
    if (!PyArg_ParseTuple(args, "dO:stop_clock", &at, &limit) || park_timeout(limit, &patience) < 0 ||
        check_open(hub) < 0)
        return NULL;
    if (!isfinite(at)) {
        PyErr_Format(PyExc_ValueError, "at: expected a finite number of seconds, found %R",
                     PyTuple_GET_ITEM(args, 0));
        return NULL;
    }
    set_clock(hub, at, true);
    hub->patience = patience;
    Py_RETURN_NONE;
}

PyObject *virtual_run_clock(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct hub *hub = hub_core(self);
    if (hub->loop != NULL && hub->deadlines.clock.stopped)
        set_clock(hub, deadline_now(&hub->deadlines), false);
    Py_RETURN_NONE;
}

PyObject *virtual_move_clock(PyObject *self, PyObject *argument)
{
    struct hub *hub = hub_core(self);
    double seconds = PyFloat_AsDouble(argument);
    if ((seconds == -1.0 && PyErr_Occurred()) || check_open(hub) < 0) return NULL;
    if (!(seconds >= 0) || !isfinite(seconds)) {
        PyErr_Format(PyExc_ValueError, "time moves ahead only: expected 0 or more seconds, found %R",
                     argument);
        return NULL;
    }
    if (!hub->deadlines.clock.stopped) {
        PyErr_SetString(PyExc_RuntimeError, "the clock runs by itself; stop_clock() comes first");
        return NULL;
    }
    hub->deadlines.clock.shown += seconds;
    inbox_kick(hub);
    Py_RETURN_NONE;
}

PyObject *virtual_shuffle(PyObject *self, PyObject *seed)
{
    struct ready *queue = &hub_core(self)->ready;
    if (seed == Py_None) {
        ready_in_order(queue);
        Py_RETURN_NONE;
    }
    if (!PyLong_Check(seed)) {
        PyErr_Format(PyExc_TypeError, "seed: expected an int or None, found %.100s", Py_TYPE(seed)->tp_name);
        return NULL;
    }
    unsigned long long number = PyLong_AsUnsignedLongLongMask(seed);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
    ready_shuffle(queue, number, park_in_turn);
    Py_RETURN_NONE;
}
