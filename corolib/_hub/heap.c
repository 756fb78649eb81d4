/* Walks through all objects that the collector knows of, for patching: who holds any of many objects, and
 * what there is of some types. What gc offers makes a list of all that each object refers to, or compares
 * each reference with each object that is sought; here a reference is one look into a table, and only what
 * was found gets into a list. */
#include "heap.h"

#include <stdbool.h>
#include <stdint.h>

#include "arguments.h"

/* A set of objects (borrowed): open addressing, NULL where there is none, at most half full. */
struct set {
    PyObject **table;
    size_t mask, len;
};

static PyObject **place_of(const struct set *set, const PyObject *object)
{
    size_t place = ((uintptr_t)object >> 4) & set->mask;
    while (set->table[place] != NULL && set->table[place] != object) place = (place + 1) & set->mask;
    return &set->table[place];
}

static bool has(const struct set *set, const PyObject *object)
{
    return *place_of(set, object) != NULL;
}

/* Room for so many. 0, or -1 without memory (no Python error is set). */
static int set_open(struct set *set, size_t count)
{
    size_t size = 16;
    while (size < 4 * count) size *= 2;
    *set = (struct set){.table = PyMem_RawCalloc(size, sizeof(PyObject *)), .mask = size - 1};
    return set->table == NULL ? -1 : 0;
}

/* 1: added; 0: it was there; -1 without memory. */
static int set_add(struct set *set, PyObject *object)
{
    if (has(set, object)) return 0;
    if (set->len * 2 > set->mask) {
        struct set larger;
        if (set_open(&larger, set->len) < 0) return -1;
        for (size_t i = 0; i <= set->mask; i++)
            if (set->table[i] != NULL) *place_of(&larger, set->table[i]) = set->table[i];
        PyMem_RawFree(set->table);
        set->table = larger.table;
        set->mask = larger.mask;
    }
    *place_of(set, object) = object;
    set->len++;
    return 1;
}

/* The members of a list as a set. 0, or -1 with an exception. */
static int set_of(struct set *set, PyObject *list)
{
    if (!PyList_Check(list)) {
        PyErr_Format(PyExc_TypeError, "expected a list, not %.100s", Py_TYPE(list)->tp_name);
        return -1;
    }
    if (set_open(set, (size_t)PyList_GET_SIZE(list)) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) (void)set_add(set, PyList_GET_ITEM(list, i));
    return 0;
}

/* A list of all that there is, the second argument if there is one: new, or NULL with an exception. */
static PyObject *everything(const char *function, PyObject *const *args, Py_ssize_t nargs)
{
    if (arguments_count(function, nargs, 1, 2) < 0) return NULL;
    if (nargs > 1 && PyList_Check(args[1])) return Py_NewRef(args[1]);
    if (nargs > 1)
        return PyErr_Format(PyExc_TypeError, "expected a list, not %.100s", Py_TYPE(args[1])->tp_name);
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *all = gc == NULL ? NULL : PyObject_CallMethod(gc, "get_objects", NULL);
    Py_XDECREF(gc);
    return all;
}

/* Who holds them. */

static int is_sought(PyObject *object, void *sought)
{
    return has(sought, object);
}

PyObject *heap_referrers(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    PyObject *all = everything("referrers", args, nargs), *objects = all != NULL ? args[0] : NULL;
    struct set sought = {.len = 0};
    PyObject *found = all != NULL && set_of(&sought, objects) == 0 ? PyList_New(0) : NULL;
    /* Nobody holds none. */
    for (Py_ssize_t i = 0; found != NULL && sought.len > 0 && i < PyList_GET_SIZE(all); i++) {
        PyObject *holder = PyList_GET_ITEM(all, i);
        traverseproc traverse = Py_TYPE(holder)->tp_traverse;
        if (holder == objects || traverse == NULL || !traverse(holder, is_sought, &sought)) continue;
        if (PyList_Append(found, holder) < 0) Py_CLEAR(found);
    }
    Py_XDECREF(all);
    PyMem_RawFree(sought.table);
    return found;
}

/* What there is. */

struct search {
    struct set types, seen;
    PyObject *found; /* list */
};

/* Called by traverse functions: nothing here may run Python code. */
static int find(PyObject *object, void *pointer)
{
    struct search *search = pointer;
    if (!has(&search->types, (PyObject *)Py_TYPE(object))) return 0;
    int added = set_add(&search->seen, object);
    if (added < 0) PyErr_NoMemory();
    return added < 0 || (added > 0 && PyList_Append(search->found, object) < 0) ? -1 : 0;
}

PyObject *heap_instances(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    PyObject *all = everything("instances", args, nargs), *types = all != NULL ? args[0] : NULL;
    struct search search = {.found = NULL};
    if (all == NULL || set_of(&search.types, types) < 0) {
        Py_XDECREF(all);
        return NULL;
    }
    /* Objects that the collector does not know of are found where others refer to them. */
    bool untracked = false;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(types); i++) {
        PyObject *type = PyList_GET_ITEM(types, i);
        untracked |= !PyType_Check(type) || !PyType_IS_GC((PyTypeObject *)type);
    }
    if (set_open(&search.seen, 64) < 0) PyErr_NoMemory();
    if (search.seen.table != NULL) search.found = PyList_New(0);
    for (Py_ssize_t i = 0; search.found != NULL && i < PyList_GET_SIZE(all); i++) {
        PyObject *object = PyList_GET_ITEM(all, i);
        traverseproc traverse = untracked ? Py_TYPE(object)->tp_traverse : NULL;
        if (find(object, &search) < 0 || (traverse != NULL && traverse(object, find, &search) < 0))
            Py_CLEAR(search.found);
    }
    Py_XDECREF(all);
    PyMem_RawFree(search.types.table);
    PyMem_RawFree(search.seen.table);
    return search.found;
}
