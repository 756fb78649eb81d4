/* Top: the two tables of functions that the engine shows to C: greenlet's (capi.h) and _hub's (hubapi.h). */
#include <Python.h>

#include "engine.h"

#include "greenlet.h"
#define COROLIB_CAPI_IMPLEMENTATION
#include "capi.h"

/* --- greenlet's
 * ------------------------------------------------------------------------------------------------- */

static int is_greenlet(PyObject *object)
{
    if (object != NULL && greenlet_check(object)) return 1;
    PyErr_Format(PyExc_TypeError, "a greenlet is expected, not %.200s",
                 object != NULL ? Py_TYPE(object)->tp_name : "NULL");
    return 0;
}

static PyObject *public_new(PyObject *run, PyObject *parent)
{
    return greenlet_new(run, parent);
}

static PyObject *public_throw(PyObject *self, PyObject *type, PyObject *value, PyObject *traceback)
{
    return is_greenlet(self) ? greenlet_throw(self, type, value, traceback) : NULL;
}

static PyObject *public_switch(PyObject *self, PyObject *args, PyObject *kwargs)
{
    if (!is_greenlet(self)) return NULL;
    if (args != NULL && !PyTuple_Check(args)) {
        PyErr_Format(PyExc_TypeError, "arguments must be a tuple or NULL, not %.200s",
                     Py_TYPE(args)->tp_name);
        return NULL;
    }
    if (kwargs != NULL && !PyDict_Check(kwargs)) {
        PyErr_Format(PyExc_TypeError, "keyword arguments must be a dict or NULL, not %.200s",
                     Py_TYPE(kwargs)->tp_name);
        return NULL;
    }
    return switch_call((struct greenlet *)self, Py_NewRef(args != NULL ? args : switch_empty),
                       Py_XNewRef(kwargs));
}

static int public_set_parent(PyObject *self, PyObject *parent)
{
    return is_greenlet(self) ? greenlet_set_parent(self, parent) : -1;
}

static PyObject *public_get_parent(PyObject *self)
{
    return is_greenlet(self) ? Py_XNewRef((PyObject *)((struct greenlet *)self)->parent) : NULL;
}

static int public_main(PyObject *self)
{
    if (!is_greenlet(self)) return -1;
    struct greenlet *greenlet = (struct greenlet *)self;
    return greenlet->thread != NULL && greenlet->thread->main == greenlet;
}

static int public_started(PyObject *self)
{
    return is_greenlet(self) ? ((struct greenlet *)self)->face.state != SWITCH_FRESH : -1;
}

static int public_active(PyObject *self)
{
    if (!is_greenlet(self)) return -1;
    unsigned char state = ((struct greenlet *)self)->face.state;
    return state == SWITCH_SUSPENDED || state == SWITCH_CURRENT;
}

static void *public_table[PyGreenlet_API_pointers];

PyObject *engine_public_capsule(void)
{
    public_table[PyGreenlet_Type_NUM] = &greenlet_type;
    public_table[PyExc_GreenletError_NUM] = switch_error;
    public_table[PyExc_GreenletExit_NUM] = switch_exit;
    public_table[PyGreenlet_New_NUM] = (void *)public_new;
    public_table[PyGreenlet_GetCurrent_NUM] = (void *)greenlet_current;
    public_table[PyGreenlet_Throw_NUM] = (void *)public_throw;
    public_table[PyGreenlet_Switch_NUM] = (void *)public_switch;
    public_table[PyGreenlet_SetParent_NUM] = (void *)public_set_parent;
    public_table[PyGreenlet_MAIN_NUM] = (void *)public_main;
    public_table[PyGreenlet_STARTED_NUM] = (void *)public_started;
    public_table[PyGreenlet_ACTIVE_NUM] = (void *)public_active;
    public_table[PyGreenlet_GET_PARENT_NUM] = (void *)public_get_parent;
    return PyCapsule_New(public_table, PyGreenlet_CAPSULE, NULL);
}

/* --- _hub's
 * ------------------------------------------------------------------------------------------------------ */

/* What the hub sees of a thread is how it begins. */
_Static_assert(offsetof(struct thread, current) == offsetof(struct switch_thread, current) &&
                   offsetof(struct thread, hub) == offsetof(struct switch_thread, hub),
               "struct thread begins with struct switch_thread");

static struct switch_thread *hub_thread(void)
{
    return (struct switch_thread *)thread_here();
}

static PyObject *hub_main(void)
{
    struct thread *here = thread_here();
    return here != NULL ? (PyObject *)here->main : NULL;
}

static void hub_set_parent(PyObject *self, PyObject *parent)
{
    Py_XSETREF(((struct greenlet *)self)->parent, (struct greenlet *)Py_NewRef(parent));
}

static void hub_set_context(PyObject *self, PyObject *context)
{
    Py_XSETREF(((struct greenlet *)self)->tstate.context, context);
}

static int hub_copy_context(PyObject **context)
{
    PyObject *current = PyThreadState_Get()->context; /* borrowed */
    *context = NULL;
    if (current == NULL || PyObject_Size(current) == 0) return 0;
    *context = PyContext_CopyCurrent();
    return *context == NULL ? -1 : 0;
}

static int hub_is_mine(PyObject *self)
{
    PyThreadState *ts = PyThreadState_Get();
    struct greenlet *greenlet = (struct greenlet *)self;
    if (greenlet->thread != NULL) return greenlet->thread->tstate == ts;
    if (greenlet->face.state != SWITCH_FRESH) return 0;
    struct thread *theirs = switch_thread_of(greenlet);
    return theirs != NULL && theirs->tstate == ts;
}

static int hub_held_up(PyObject *self)
{
    return lane_held_up(&((struct greenlet *)self)->guest);
}

static int hub_places(struct switch_place *places, int room)
{
    return tstate_places(PyThreadState_Get(), places, room);
}

/* The last step of a subtype's tp_dealloc. An object of a heap type holds a reference to its type. */
static void hub_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    greenlet_free(self);
    if (PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE)) Py_DECREF(type);
}

static struct switch_hubapi hub_table = {
    .version = SWITCH_HUBAPI_VERSION,
    .size = sizeof(struct switch_hubapi),
    .type = &greenlet_type,
    .thread = hub_thread,
    .main_greenlet = hub_main,
    .transfer = switch_transfer,
    .pin = greenlet_pin,
    .set_parent = hub_set_parent,
    .set_context = hub_set_context,
    .copy_context = hub_copy_context,
    .is_mine = hub_is_mine,
    .held_up = hub_held_up,
    .collector = (PyObject *const *)&thread_collector,
    .places = hub_places,
    .park_free = &greenlet_park_free,
    .park_held = &greenlet_park_held,
    .park_traverse = &greenlet_park_traverse,
    .park_clear = &greenlet_park_clear,
    .kind = &switch_kind,
    .dealloc = hub_dealloc,
};

PyObject *engine_hub_capsule(void)
{
    hub_table.GreenletExit = switch_exit;
    hub_table.error = switch_error;
    hub_table.traverse = greenlet_type.tp_traverse;
    hub_table.clear = greenlet_type.tp_clear;
    hub_table.finalize = greenlet_type.tp_finalize;
    return PyCapsule_New(&hub_table, SWITCH_HUBAPI_NAME, NULL);
}
