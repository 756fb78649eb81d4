/* Loop: what is called often of `hub.loop`, without a frame of Python around it. The rest of that object is
 * its Python subclass, corolib._loop.HubLoop.
 *
 * It holds its hub, which holds it: hub.destroy() parts them, the collector finds a hub that was forgotten.
 */
#include "hub.h"
#include "watch.h"

struct face {
    PyObject_HEAD PyObject *hub; /* owned, or NULL: the one it had is destroyed */
};

static struct face *cast(PyObject *self)
{
    return (struct face *)self;
}

/* The hub, borrowed, or NULL with RuntimeError. */
static PyObject *owner(PyObject *self)
{
    PyObject *hub = cast(self)->hub;
    if (hub == NULL) PyErr_SetString(PyExc_RuntimeError, "the hub of this loop is destroyed");
    return hub;
}

static PyObject *face_adopt(PyObject *self, PyObject *hub)
{
    if (hub != Py_None && !hub_check(hub)) {
        PyErr_Format(PyExc_TypeError, "a loop belongs to a Hub, not to %.100s", Py_TYPE(hub)->tp_name);
        return NULL;
    }
    Py_XSETREF(cast(self)->hub, hub == Py_None ? NULL : Py_NewRef(hub));
    Py_RETURN_NONE;
}

static PyObject *face_get_hub(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *hub = cast(self)->hub;
    return Py_NewRef(hub != NULL ? hub : Py_None);
}

static PyObject *face_run_callback(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *hub = owner(self);
    return hub == NULL ? NULL : hub_run_callback(hub, args, nargs, names);
}

static PyObject *face_timer(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    PyObject *hub = owner(self);
    return hub == NULL ? NULL : timer_make(hub, args, nargs, names);
}

static int face_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(cast(self)->hub);
    return 0;
}

static int face_clear(PyObject *self)
{
    Py_CLEAR(cast(self)->hub);
    return 0;
}

static void face_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    face_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef face_methods[] = {
    {"adopt", face_adopt, METH_O,
     "adopt($self, hub, /)\n--\n\nFrom now on it is the loop of this hub; None: of no hub."},
    {"run_callback", FAST(face_run_callback), METH_FASTCALL | METH_KEYWORDS,
     "run_callback($self, /, fn, *args, **kwargs)\n--\n\nCall fn in the hub, after what is ready now. Any "
     "thread; never switches."},
    {"run_callback_threadsafe", FAST(face_run_callback), METH_FASTCALL | METH_KEYWORDS,
     "run_callback_threadsafe($self, /, fn, *args, **kwargs)\n--\n\nThe same as run_callback()."},
    {"timer", FAST(face_timer), METH_FASTCALL | METH_KEYWORDS,
     "timer($self, after, repeat=0.0, ref=True, priority=None)\n--\n\nA watcher of the clock: after `after` "
     "seconds, then each `repeat` seconds."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef face_getset[] = {
    {"hub", face_get_hub, NULL, "The hub that runs it, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot face_slots[] = {
    {Py_tp_doc, "Loop()\n--\n\nThe C half of `hub.loop`."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_traverse, face_traverse},
    {Py_tp_clear, face_clear},
    {Py_tp_dealloc, face_dealloc},
    {Py_tp_methods, face_methods},
    {Py_tp_getset, face_getset},
    {0, NULL},
};

PyType_Spec hub_face_spec = {
    .name = "corolib._hub._core.Loop",
    .basicsize = sizeof(struct face),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = face_slots,
};
