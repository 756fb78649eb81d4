/* Which hub a thread has: made on demand, destroyed with the thread. */
#include "hub.h"

static PyObject *factory; /* owned: makes the hub of a thread */

static PyTypeObject *keeper_type; /* owned */

static PyObject *kept(PyObject *const *slot)
{
    return *slot == NULL ? NULL : ((struct keeper *)*slot)->hub;
}

static PyObject *keeper_new(PyObject *hub)
{
    struct keeper *keeper = PyObject_New(struct keeper, keeper_type);
    if (keeper == NULL) return NULL;
    keeper->hub = Py_NewRef(hub);
    hub_core(hub)->keepers++;
    return (PyObject *)keeper;
}

/* Empties the slot without destroying the hub. */
static void let_go(PyObject **slot)
{
    PyObject *keeper = *slot, *hub = kept(slot);
    *slot = NULL;
    if (keeper == NULL) return;
    ((struct keeper *)keeper)->hub = NULL;
    Py_DECREF(keeper);
    if (hub == NULL) return;
    hub_core(hub)->keepers--;
    Py_DECREF(hub);
}

static void keeper_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *hub = ((struct keeper *)self)->hub;
    type->tp_free(self);
    Py_DECREF(type);
    if (hub == NULL) return;
    hub_core(hub)->keepers--;
    if (!hub_core(hub)->destroyed && hub_core(hub)->thread_ident == PyThread_get_thread_ident()) {
        PyObject *error_type, *error, *tb;
        PyErr_Fetch(&error_type, &error, &tb);
        /* The hub stays this thread's until it is destroyed: its services may wait while they close, and what
         * it drops must not make a new one. */
        struct switch_thread *here = engine->thread();
        if (here != NULL && here->hub == NULL) here->hub = keeper_new(hub);
        PyObject *result = PyErr_Occurred() ? NULL : PyObject_CallMethod(hub, "destroy", NULL);
        if (result == NULL) PyErr_WriteUnraisable(hub);
        Py_XDECREF(result);
        if (here != NULL && kept(&here->hub) == hub) let_go(&here->hub);
        PyErr_Restore(error_type, error, tb);
    }
    Py_DECREF(hub);
}

static PyType_Slot keeper_slots[] = {
    {Py_tp_dealloc, keeper_dealloc},
    {0, NULL},
};

static PyType_Spec keeper_spec = {
    .name = "corolib._hub._core._Keeper",
    .basicsize = sizeof(struct keeper),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = keeper_slots,
};

struct hub *hub_if_exists(void)
{
    struct switch_thread *here = engine->thread();
    return here == NULL || here->hub == NULL ? NULL : hub_core(kept(&here->hub));
}

struct hub *hub_make(struct switch_thread *here)
{
    if (here == NULL) return NULL;
    if (here->hub != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the hub of this thread is being destroyed");
        return NULL;
    }
    if (factory == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no hub can be made before corolib.hub is imported");
        return NULL;
    }
    PyObject *made = PyObject_CallNoArgs(factory);
    if (made == NULL) return NULL;
    if (!hub_check(made) || hub_core(made)->loop == NULL) {
        PyErr_Format(PyExc_TypeError, "the hub factory must return a Hub with a loop, not %R", made);
        Py_DECREF(made);
        return NULL;
    }
    /* Making it may have made one: the first stays. */
    if (here->hub == NULL) here->hub = keeper_new(made);
    Py_DECREF(made);
    return here->hub == NULL ? NULL : hub_core(kept(&here->hub));
}

int hub_set(PyObject *hub)
{
    struct switch_thread *here = engine->thread();
    if (here == NULL) return -1;
    if (hub != NULL && (!hub_check(hub) || hub_core(hub)->loop == NULL)) {
        PyErr_Format(PyExc_TypeError, "a Hub with a loop was expected, not %R", hub);
        return -1;
    }
    if (hub != NULL && hub_core(hub)->thread_ident != PyThread_get_thread_ident()) {
        PyErr_SetString(hub_error_thread, "the hub belongs to another thread");
        return -1;
    }
    PyObject *keeper = hub == NULL ? NULL : keeper_new(hub);
    if (hub != NULL && keeper == NULL) return -1;
    let_go(&here->hub);
    if (here->hub == NULL)
        here->hub = keeper;
    else
        let_go(&keeper); /* the end of the old one has made another */
    return 0;
}

void hub_set_factory(PyObject *callable)
{
    Py_XSETREF(factory, Py_NewRef(callable));
}

void hub_forget(PyObject *hub)
{
    struct switch_thread *here = engine->thread();
    if (here != NULL && kept(&here->hub) == hub) let_go(&here->hub);
}

int keeper_setup(void)
{
    keeper_type = (PyTypeObject *)PyType_FromSpec(&keeper_spec);
    return keeper_type == NULL ? -1 : 0;
}
