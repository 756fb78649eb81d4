/* What others ask of a greenlet: its result, to wait for it, links, attributes. */
#include "arguments.h"
#include "green.h"
#include "park.h"
#include "watch.h"

struct hub *green_hub(struct green *green)
{
    if (green->hub == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Greenlet.__init__() was not called");
        return NULL;
    }
    return hub_core(green->hub);
}

/* Waiting and results. */

PyObject *green_join(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *argument;
    double timeout;
    if (arguments_take("join", (const char *[]){"timeout", NULL}, 0, args, nargs, names, &argument) < 0)
        return NULL;
    if (park_timeout(argument, &timeout) < 0) return NULL;
    /* Before the look at the status: making a hub runs Python code, and the greenlet may end meanwhile. */
    if (hub_here() == NULL) return NULL;
    if (green_of(self)->status == DONE) Py_RETURN_NONE;
    PyObject *result = waitlist_wait(&green_of(self)->joiners, self, timeout);
    if (result == NULL) return NULL;
    Py_DECREF(result);
    Py_RETURN_NONE;
}

static PyObject *raise_timeout(PyObject *self, PyObject *timeout)
{
    PyObject *make_error = PyObject_GetAttr(self, green_name_timeout);
    PyObject *error = make_error == NULL ? NULL : PyObject_CallOneArg(make_error, timeout);
    Py_XDECREF(make_error);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

PyObject *green_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    struct green *green = green_of(self);
    PyObject *found[2];
    double timeout;
    if (arguments_take("get", (const char *[]){"block", "timeout", NULL}, 0, args, nargs, names, found) < 0)
        return NULL;
    int block = found[0] == NULL ? 1 : PyObject_IsTrue(found[0]);
    if (block < 0 || park_timeout(found[1], &timeout) < 0) return NULL;
    if (green->status != DONE) {
        if (!block) return raise_timeout(self, Py_None);
        if (hub_here() == NULL) return NULL; /* as in join() */
    }
    if (green->status != DONE) {
        PyObject *result = waitlist_wait(&green->joiners, self, timeout);
        if (result == NULL) return NULL;
        Py_DECREF(result);
        if (result == hub_timed_out) return raise_timeout(self, found[1]);
    }
    if (green->error == NULL) return Py_NewRef(green->value);
    if (PyException_SetTraceback(green->error, green->traceback != NULL ? green->traceback : Py_None) < 0)
        return NULL;
    PyErr_SetObject((PyObject *)Py_TYPE(green->error), green->error);
    return NULL;
}

PyObject *green_ready(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(green_of(self)->status == DONE);
}

PyObject *green_successful(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(green_of(self)->status == DONE && green_of(self)->error == NULL);
}

int green_bool(PyObject *self)
{
    return green_of(self)->status == SCHEDULED || green_of(self)->status == RUNNING;
}

/* Links: a list of pairs (function, context that it is called in). */

int green_schedule_links(PyObject *self)
{
    struct green *green = green_of(self);
    if (green->links == NULL || PyList_GET_SIZE(green->links) == 0 || green->notifying) return 0;
    PyObject *notify = PyObject_GetAttr(self, green_name_notify);
    PyObject *call =
        notify == NULL ? NULL : watch_call(hub_core(green->hub), notify, green_no_args, NULL, NULL);
    Py_XDECREF(notify);
    if (call == NULL) return -1;
    Py_DECREF(call);
    green->notifying = true;
    return 0;
}

PyObject *green_notify_links(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct green *green = green_of(self);
    green->notifying = false;
    /* One at a time from the front: a link may add or take away others. */
    while (green->links != NULL && PyList_GET_SIZE(green->links) > 0) {
        PyObject *entry = Py_NewRef(PyList_GET_ITEM(green->links, 0));
        PyObject *link = PyTuple_GET_ITEM(entry, 0), *args = PyTuple_Pack(1, self), *result = NULL;
        if (args != NULL && PyList_SetSlice(green->links, 0, 1, NULL) == 0)
            result = watch_call_in(PyTuple_GET_ITEM(entry, 1), link, args, NULL);
        Py_XDECREF(args);
        if (result == NULL) {
            PyObject *type, *error, *tb;
            PyErr_Fetch(&type, &error, &tb);
            PyObject *context = PyTuple_Pack(2, link, self);
            PyErr_Restore(type, error, tb);
            int rc = loop_report(hub_core(green->hub), context != NULL ? context : self);
            Py_XDECREF(context);
            if (rc < 0) {
                Py_DECREF(entry);
                return NULL;
            }
        }
        Py_XDECREF(result);
        Py_DECREF(entry);
    }
    Py_CLEAR(green->links);
    Py_RETURN_NONE;
}

PyObject *green_rawlink(PyObject *self, PyObject *callback)
{
    struct green *green = green_of(self);
    if (green_hub(green) == NULL) return NULL;
    if (!PyCallable_Check(callback)) {
        PyErr_Format(PyExc_TypeError, "a link must be callable, not %.100s: %R", Py_TYPE(callback)->tp_name,
                     callback);
        return NULL;
    }
    if (green->links == NULL && (green->links = PyList_New(0)) == NULL) return NULL;
    PyObject *context = PyContext_CopyCurrent();
    PyObject *entry = context == NULL ? NULL : PyTuple_Pack(2, callback, context);
    int rc = entry == NULL ? -1 : PyList_Append(green->links, entry);
    Py_XDECREF(context);
    Py_XDECREF(entry);
    if (rc < 0) return NULL;
    if (green->status == DONE && green_schedule_links(self) < 0) return NULL;
    Py_RETURN_NONE;
}

PyObject *green_unlink(PyObject *self, PyObject *callback)
{
    struct green *green = green_of(self);
    /* A comparison may run code that changes the links. */
    for (Py_ssize_t i = 0; green->links != NULL && i < PyList_GET_SIZE(green->links); i++) {
        PyObject *entry = Py_NewRef(PyList_GET_ITEM(green->links, i));
        int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(entry, 0), callback, Py_EQ);
        Py_ssize_t now = same > 0 && green->links != NULL ? PySequence_Index(green->links, entry) : -1;
        Py_DECREF(entry);
        if (same < 0 || (now >= 0 && PyList_SetSlice(green->links, now, now + 1, NULL) < 0)) return NULL;
        if (same > 0) break;
    }
    PyErr_Clear(); /* it has gone meanwhile */
    Py_RETURN_NONE;
}

PyObject *green_unlink_all(PyObject *self, PyObject *unused)
{
    (void)unused;
    Py_CLEAR(green_of(self)->links);
    Py_RETURN_NONE;
}

PyObject *green_has_links(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct green *green = green_of(self);
    return PyLong_FromSsize_t((green->links == NULL ? 0 : PyList_GET_SIZE(green->links)) +
                              green->joiners.len);
}

/* Attributes. */

static PyObject *or_none(PyObject *object)
{
    return Py_NewRef(object != NULL ? object : Py_None);
}

static PyObject *get_args(PyObject *self, void *closure)
{
    (void)closure;
    return Py_NewRef(green_of(self)->args != NULL ? green_of(self)->args : green_no_args);
}

static int set_args(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    if (value == NULL || !PyTuple_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "args must be a tuple");
        return -1;
    }
    Py_XSETREF(green_of(self)->args, Py_NewRef(value));
    return 0;
}

static PyObject *get_kwargs(PyObject *self, void *closure)
{
    (void)closure;
    return green_of(self)->kwargs != NULL ? Py_NewRef(green_of(self)->kwargs) : PyDict_New();
}

static int set_kwargs(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    if (value == NULL || !PyDict_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "kwargs must be a dict");
        return -1;
    }
    Py_XSETREF(green_of(self)->kwargs, Py_NewRef(value));
    return 0;
}

static PyObject *get_run(PyObject *self, void *closure)
{
    (void)closure;
    if (green_of(self)->run != NULL) return Py_NewRef(green_of(self)->run);
    PyErr_SetString(PyExc_AttributeError, "run: there is none, or the greenlet is over");
    return NULL;
}

static PyObject *get_value(PyObject *self, void *closure)
{
    (void)closure;
    return or_none(green_of(self)->value);
}

static PyObject *get_exception(PyObject *self, void *closure)
{
    (void)closure;
    return or_none(green_of(self)->error);
}

static PyObject *get_exc_info(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *error = green_of(self)->error;
    if (error == NULL) return Py_NewRef(green_no_args);
    PyObject *tb = green_of(self)->traceback;
    return PyTuple_Pack(3, (PyObject *)Py_TYPE(error), error, tb != NULL ? tb : Py_None);
}

static PyObject *get_hub(PyObject *self, void *closure)
{
    (void)closure;
    return or_none(green_of(self)->hub);
}

static PyObject *get_started(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(green_bool(self));
}

static PyObject *get_dead(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(green_of(self)->status == DONE || hub_face(self)->state == SWITCH_DEAD);
}

/* A tuple of (code, line). */
static PyObject *get_places(PyObject *self, void *unused)
{
    (void)unused;
    struct switch_place *places = green_of(self)->places;
    Py_ssize_t count = 0;
    while (count < GREEN_PLACES && places[count].code != NULL) count++;
    PyObject *found = PyTuple_New(count);
    for (Py_ssize_t i = 0; found != NULL && i < count; i++) {
        PyObject *pair =
            Py_BuildValue("Oi", places[i].code, PyCode_Addr2Line(places[i].code, places[i].offset));
        if (pair == NULL)
            Py_CLEAR(found);
        else
            PyTuple_SET_ITEM(found, i, pair);
    }
    return found;
}

PyGetSetDef green_getset[] = {
    {"args", get_args, set_args, "Positional arguments; empty once it is over.", NULL},
    {"kwargs", get_kwargs, set_kwargs, "Keyword arguments; empty once it is over.", NULL},
    {"run", get_run, NULL, "The function it was made with; gone once it is over.", NULL},
    {"value", get_value, NULL, "The result, the GreenletExit that ended it, or None.", NULL},
    {"exception", get_exception, NULL, "The exception that ended it, or None.", NULL},
    {"exc_info", get_exc_info, NULL, "(type, exception, traceback) of the failure, or ().", NULL},
    {"hub", get_hub, NULL, "The hub of the thread that made it.", NULL},
    {"started", get_started, NULL, "True from start() until it is over.", NULL},
    {"places", get_places, NULL, "Where it was made, innermost first: (code, line) of a few frames.", NULL},
    {"dead", get_dead, NULL, "True once it is over or cancelled.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
