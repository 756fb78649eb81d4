/* The type Tally: counts of answers by the hundreds of their status, bytes, and how many took how long. */
#include "tally.h"

#include <stddef.h>
#include <structmember.h>

/* From what a cache answers in to what users give up at. */
static const double edges[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                               0.25,  0.5,    1.0,   2.5,  5.0,   10.0, 30.0};

/* Not Py_ARRAY_LENGTH: from 3.13 on that is no constant that the size of a field could have. */
#define EDGES ((Py_ssize_t)(sizeof edges / sizeof *edges))
#define CLASSES 6 /* 1xx to 5xx, and the first for answers without a status */

struct tally {
    PyObject_HEAD long long statuses[CLASSES], buckets[EDGES + 1]; /* the last bucket has no edge */
    long long sent, received;
    double seconds;
    char ending; /* set by the server, asked for with every answer: therefore here */
};

bool tally_is_ending(const PyObject *self)
{
    return ((const struct tally *)self)->ending;
}

void tally_count(PyObject *self, int code, long long sent, long long received, double seconds)
{
    struct tally *tally = (struct tally *)self;
    tally->statuses[code >= 100 && code < 600 ? code / 100 : 0]++;
    tally->sent += sent;
    tally->received += received;
    if (!(seconds > 0)) seconds = 0; /* the clock was set back, or has not moved */
    Py_ssize_t bucket = 0;
    while (bucket < EDGES && seconds > edges[bucket]) bucket++;
    tally->buckets[bucket]++;
    tally->seconds += seconds;
}

static PyObject *answered(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 4) return PyErr_Format(PyExc_TypeError, "answered() takes 4 arguments (%zd given)", nargs);
    long code = PyLong_AsLong(args[0]);
    long long sent = PyLong_AsLongLong(args[1]), received = PyLong_AsLongLong(args[2]);
    double seconds = PyFloat_AsDouble(args[3]);
    if (PyErr_Occurred()) return NULL;
    tally_count(self, code >= 100 && code < 600 ? (int)code : 0, sent, received, seconds);
    Py_RETURN_NONE;
}

static PyObject *list_of(const long long *numbers, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *number = PyLong_FromLongLong(numbers[i]);
        if (number == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, i, number);
    }
    return list;
}

static PyObject *get_statuses(PyObject *self, void *unused)
{
    return list_of(((struct tally *)self)->statuses, CLASSES);
}

static PyObject *get_buckets(PyObject *self, void *unused)
{
    return list_of(((struct tally *)self)->buckets, EDGES + 1);
}

static void tally_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef methods[] = {
    {"answered", FAST(answered), METH_FASTCALL,
     PyDoc_STR("answered($self, code, sent, received, seconds, /)\n--\n\nCount one answer of an application, "
               "which took so many seconds.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"bytes_sent", T_LONGLONG, offsetof(struct tally, sent), READONLY, PyDoc_STR("bytes of bodies sent")},
    {"bytes_received", T_LONGLONG, offsetof(struct tally, received), READONLY,
     PyDoc_STR("bytes of bodies received")},
    {"seconds", T_DOUBLE, offsetof(struct tally, seconds), READONLY,
     PyDoc_STR("that all answers took together")},
    {"ending", T_BOOL, offsetof(struct tally, ending), 0,
     PyDoc_STR("whether the server ends connections with their next answer")},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"statuses", get_statuses, NULL,
     PyDoc_STR("answers by the hundreds of their status; the first without one"), NULL},
    {"buckets", get_buckets, NULL, PyDoc_STR("answers by their time: up to each of EDGES, and longer"), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, tally_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {Py_tp_doc, PyDoc_STR("Tally()\n--\n\nCounts answers.")},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "corolib.server._http._core.Tally",
    .basicsize = sizeof(struct tally),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

int tally_setup(PyObject *module, struct http_state *state)
{
    state->tally = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    if (state->tally == NULL) return -1;
    int rc = PyModule_AddType(module, state->tally);
    PyObject *tuple = rc < 0 ? NULL : PyTuple_New(EDGES);
    for (Py_ssize_t i = 0; tuple != NULL && i < EDGES; i++) {
        PyObject *edge = PyFloat_FromDouble(edges[i]);
        if (edge == NULL) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SET_ITEM(tuple, i, edge);
    }
    rc = tuple == NULL ? -1 : PyModule_AddObjectRef(module, "EDGES", tuple);
    Py_XDECREF(tuple);
    return rc;
}
