/* Top: the module corolib._switch._engine: functions, exceptions, init. */
#include <Python.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#include "check.h"
#include "greenlet.h"
#include "reaper.h"
#include "slab.h"

static PyObject *getcurrent(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return greenlet_current();
}

static PyObject *settrace(PyObject *Py_UNUSED(module), PyObject *tracer)
{
    struct thread *here = thread_here();
    if (here == NULL) return NULL;
    PyObject *old = Py_NewRef(here->tracer != NULL ? here->tracer : Py_None);
    thread_set_tracer(here, tracer != Py_None ? tracer : NULL);
    return old;
}

static PyObject *gettrace(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct thread *here = thread_here();
    return here == NULL ? NULL : Py_NewRef(here->tracer != NULL ? here->tracer : Py_None);
}

static PyObject *add_switch_hook(PyObject *Py_UNUSED(module), PyObject *hook)
{
    struct thread *here = thread_here();
    if (here == NULL) return NULL;
    if (!PyCallable_Check(hook)) {
        PyErr_Format(PyExc_TypeError, "a switch hook must be callable, not %.200s", Py_TYPE(hook)->tp_name);
        return NULL;
    }
    if (thread_add_hook(here, hook) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *remove_switch_hook(PyObject *Py_UNUSED(module), PyObject *hook)
{
    struct thread *here = thread_here();
    if (here == NULL || thread_remove_hook(here, hook) < 0) return NULL;
    Py_RETURN_NONE;
}

static int check_lanes(long count, const char *what)
{
    if (count >= 1 && count <= LANE_MAX) return 0;
    PyErr_Format(PyExc_ValueError, "%s must be from 1 to %d, not %ld", what, LANE_MAX, count);
    return -1;
}

static PyObject *set_lanes(PyObject *Py_UNUSED(module), PyObject *number)
{
    long count = PyLong_AsLong(number);
    if ((count == -1 && PyErr_Occurred()) || check_lanes(count, "the number of lanes") < 0) return NULL;
    thread_lane_limit = (unsigned)count;
    Py_RETURN_NONE;
}

static PyObject *get_lanes(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct thread *here = thread_here();
    if (here == NULL) return NULL;
    return PyLong_FromUnsignedLong(here->lanes.count > 0 ? here->lanes.limit : thread_lane_limit);
}

static unsigned long long length(const struct thread_link *head)
{
    unsigned long long count = 0;
    for (const struct thread_link *link = head->next; link != head; link = link->next) count++;
    return count;
}

static PyObject *stats(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct thread *here = thread_here();
    if (here == NULL) return NULL;
    const struct lanes *lanes = &here->lanes;
    const struct datastack_cache_stats cache = datastack_cache_stats();
    const struct slab_stats slices = slab_stats();
    const struct {
        const char *name;
        unsigned long long value;
    } counters[] = {
        {"lanes", lanes->count},
        {"lanes_limit", lanes->count > 0 ? lanes->limit : thread_lane_limit},
        {"lanes_pinned", lanes->pinned},
        {"evictions", lanes->evictions},
        {"evicted_bytes", lanes->evicted_bytes},
        {"reloads", lanes->reloads},
        {"greenlets", length(&here->started)},
        {"greenlets_doomed", length(&here->doomed)},
        {"chunks", here->pool.out},
        {"chunk_bytes", here->pool.bytes},
        {"objects_idle", here->idles},
        {"blocks_kept", cache.kept},
        {"blocks_hits", cache.hits},
        {"blocks_misses", cache.misses},
        {"slices", slices.out},
        {"slabs", slices.slabs},
        {"slabs_kept", slices.empty},
    };
    PyObject *result = Py_BuildValue("{s:s}", "machine", ARCH_NAME);
    for (size_t i = 0; result != NULL && i < sizeof counters / sizeof counters[0]; i++) {
        PyObject *value = PyLong_FromUnsignedLongLong(counters[i].value);
        if (value == NULL || PyDict_SetItemString(result, counters[i].name, value) < 0) Py_CLEAR(result);
        Py_XDECREF(value);
    }
    return result;
}

#ifdef COROLIB_CHECK
static PyObject *force(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"evict", "scratch", "collect", "fail_alloc", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$iiii:_force", names, &check_force.evict,
                                     &check_force.scratch, &check_force.collect, &check_force.fail_alloc))
        return NULL;
    return PyLong_FromLong(check_force.fail_alloc);
}

static int read_forces(void)
{
    const char *text = getenv("COROLIB_FORCE");
    static const struct {
        const char *name;
        int *flag;
    } forces[] = {
        {"evict", &check_force.evict}, {"scratch", &check_force.scratch}, {"collect", &check_force.collect}};
    while (text != NULL && *text != '\0') {
        size_t length = strcspn(text, ","), i = 0;
        while (i < 3 && (strlen(forces[i].name) != length || strncmp(text, forces[i].name, length) != 0)) i++;
        if (i == 3) {
            PyErr_Format(PyExc_ValueError,
                         "COROLIB_FORCE must list some of evict, scratch, collect, found '%.80s'", text);
            return -1;
        }
        *forces[i].flag = 1;
        text += length + (text[length] == ',');
    }
    return 0;
}
#else
static int read_forces(void)
{
    return 0;
}
#endif

static PyMethodDef functions[] = {
    {"getcurrent", getcurrent, METH_NOARGS,
     PyDoc_STR("getcurrent($module, /)\n--\n\nThe greenlet that runs in this thread; in its first life that "
               "is a main greenlet.")},
    {"settrace", settrace, METH_O,
     PyDoc_STR(
         "settrace($module, callback, /)\n--\n\nCall callback(event, (origin, target)) after each switch of "
         "this thread, in the target;\n"
         "event is 'switch' or 'throw'. None ends it. Returns the previous one. A callback that raises is\n"
         "removed, and the exception is raised in the target.")},
    {"gettrace", gettrace, METH_NOARGS,
     PyDoc_STR("gettrace($module, /)\n--\n\nThe callback of settrace(), or None.")},
    {"add_switch_hook", add_switch_hook, METH_O,
     PyDoc_STR("add_switch_hook($module, hook, /)\n--\n\nLike settrace(), but any number of hooks can "
               "coexist. They are called in the order "
               "in which\nthey were added, after the tracer.")},
    {"remove_switch_hook", remove_switch_hook, METH_O,
     PyDoc_STR("remove_switch_hook($module, hook, /)\n--\n\nRaises ValueError if it is not a hook of this "
               "thread.")},
    {"set_lanes", set_lanes, METH_O,
     PyDoc_STR("set_lanes($module, count, /)\n--\n\nHow many lanes (shared C stacks) a thread may have that "
               "has not started a greenlet yet.\n"
               "Those beyond 64 are made only if it pays. The default is 256, or the environment variable "
               "COROLIB_LANES.")},
    {"get_lanes", get_lanes, METH_NOARGS,
     PyDoc_STR("get_lanes($module, /)\n--\n\nHow many lanes this thread may have.")},
    {"stats", stats, METH_NOARGS,
     PyDoc_STR("stats($module, /)\n--\n\nCounters of this thread's engine, as a dict.")},
#ifdef COROLIB_CHECK
    {"_force", (PyCFunction)(void (*)(void))force, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("_force(*, evict, scratch, collect, fail_alloc)\n--\n\nForce rare paths, see check.h.")},
#endif
    {NULL, NULL, 0, NULL},
};

static int read_environment(void)
{
    const char *text = getenv("COROLIB_LANES");
    char *end;
    if (text == NULL || *text == '\0') return 0;
    long count = strtol(text, &end, 10);
    if (*end != '\0') {
        PyErr_Format(PyExc_ValueError, "COROLIB_LANES must be a whole number, not '%.80s'", text);
        return -1;
    }
    if (check_lanes(count, "COROLIB_LANES") < 0) return -1;
    thread_lane_limit = (unsigned)count;
    return 0;
}

/* Exceptions outlive every import: C code keeps borrowed references to them. */
static int make_exceptions(void)
{
    if (switch_exit == NULL)
        switch_exit =
            PyErr_NewExceptionWithDoc("corolib._switch.GreenletExit",
                                      "Raised in a greenlet to end it. Not an Exception, so that handlers do "
                                      "not stop it. Reaching the end\n"
                                      "with it is a normal end: the parent gets the instance as a value.",
                                      PyExc_BaseException, NULL);
    if (switch_error == NULL)
        switch_error = PyErr_NewExceptionWithDoc(
            "corolib._switch.error", "A switch that cannot be, for instance to a greenlet of another thread.",
            NULL, NULL);
    return switch_exit == NULL || switch_error == NULL ? -1 : 0;
}

/* The type carries the module's names too, as greenlet's does. */
static int share_with_type(PyObject *module)
{
    static const char *const names[] = {"getcurrent", "settrace", "gettrace", "error", "GreenletExit"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        PyObject *shared = PyObject_GetAttrString(module, names[i]);
        if (shared == NULL) return -1;
        PyObject *wrapped = PyCFunction_Check(shared) ? PyStaticMethod_New(shared) : Py_NewRef(shared);
        int status = wrapped == NULL ? -1 : PyDict_SetItemString(greenlet_type.tp_dict, names[i], wrapped);
        Py_DECREF(shared);
        Py_XDECREF(wrapped);
        if (status < 0) return -1;
    }
    PyType_Modified(&greenlet_type);
    return 0;
}

static int add_steal(PyObject *module, const char *name, PyObject *object)
{
    int status = object == NULL ? -1 : PyModule_AddObjectRef(module, name, object);
    Py_XDECREF(object);
    return status;
}

/* In gc.callbacks. */
static PyObject *collection(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count > 0 && PyUnicode_Check(args[0]))
        reaper_collecting(PyUnicode_CompareWithASCIIString(args[0], "start") == 0);
    Py_RETURN_NONE;
}

/* The one thing beside the cache of blocks that other code can see of the engine in its process. */
static int watch_collections(void)
{
    static PyMethodDef method = {"corolib_collection", (PyCFunction)(void (*)(void))collection, METH_FASTCALL,
                                 NULL};
    static PyObject *callback;
    if (callback != NULL) return 0;
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *callbacks = gc != NULL ? PyObject_GetAttrString(gc, "callbacks") : NULL;
    callback = callbacks != NULL ? PyCFunction_New(&method, NULL) : NULL;
    if (callback == NULL || PyList_Append(callbacks, callback) < 0) Py_CLEAR(callback);
    Py_XDECREF(callbacks);
    Py_XDECREF(gc);
    return callback != NULL ? 0 : -1;
}

/* The interpreter has been finalized; it may be initialized again by a program that embeds it. */
static bool over, watched;

static void note_end(void)
{
    over = true;
}

/* The static type and the exceptions belong to the first main interpreter of the process. */
static int check_interpreter(void)
{
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(
            PyExc_ImportError,
            "corolib cannot be imported in a subinterpreter: its C stacks belong to the main one");
        return -1;
    }
    if (over) {
        PyErr_SetString(
            PyExc_ImportError,
            "corolib cannot be imported again after the interpreter was finalized in this process");
        return -1;
    }
    if (!watched && Py_AtExit(note_end) < 0) {
        PyErr_SetString(PyExc_ImportError,
                        "corolib cannot watch the end of the interpreter: too many exit functions");
        return -1;
    }
    watched = true;
    return 0;
}

static int execute(PyObject *module)
{
#ifdef Py_GIL_DISABLED
    PyErr_SetString(PyExc_ImportError,
                    "corolib does not support free-threaded builds of CPython: its switches rely on the GIL");
    return -1;
#endif
    if (tstate_unfit() != NULL) {
        PyErr_SetString(PyExc_ImportError, tstate_unfit());
        return -1;
    }
    if (check_interpreter() < 0) return -1;
    if (switch_init() < 0 || read_environment() < 0 || read_forces() < 0 || make_exceptions() < 0 ||
        thread_init() < 0 || greenlet_init() < 0 || watch_collections() < 0)
        return -1;
    reaper_init();
    datastack_cache_install();
    if (PyModule_AddObjectRef(module, "greenlet", (PyObject *)&greenlet_type) < 0 ||
        PyModule_AddObjectRef(module, "GreenletExit", switch_exit) < 0 ||
        PyModule_AddObjectRef(module, "error", switch_error) < 0 ||
        add_steal(module, "_C_API", engine_public_capsule()) < 0 ||
        add_steal(module, "_hub_api", engine_hub_capsule()) < 0)
        return -1;
    return share_with_type(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)execute},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "corolib._switch._engine",
    .m_doc = "Greenlets in C: see corolib/_switch/README.md.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__engine(void)
{
    return PyModuleDef_Init(&definition);
}
