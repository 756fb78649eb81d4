/* Floor 2: what the interpreter keeps per thread and what must travel with a greenlet. One table per Python
 * version.
 *
 * Nearly every crash in the history of stack switching under CPython was a field missing from this table. So
 * each version has a file of its own, straight-line, to be compared with `struct _ts` in that version's
 * cpython/pystate.h from top to bottom. A field is either in the table or in the file's list of what stays
 * with the thread.
 *
 * The contract of each tstate_3xx.h:
 *
 *   struct tstate         the saved fields of one greenlet, embedded in it. Stale while it runs: the thread
 * state then owns `context`, and the saved pointer is an alias that must be neither visited nor dropped.
 *   struct tstate_carry   what travels from the one who leaves to the one who arrives; one per thread.
 *   tstate_fresh          as if parked before its first instruction, on `chunk`.
 *   tstate_leave          thread state -> saved fields. Runs nothing, allocates nothing.
 *   tstate_enter          saved fields -> thread state. Runs on the arriving greenlet's own stack: only then
 * do the interpreter's structs that lie on that stack exist. tstate_frame          the innermost frame object
 * of a parked greenlet: new reference, or NULL with or without an exception (none if it has no Python frame).
 *   tstate_update         last in an arrival: for what the interpreter did to all frames but the parked.
 *   tstate_evict, tstate_load, tstate_forget   for structs on the C stack; see frames.h.
 *   tstate_orphan         the thread state goes: the frames of one parked there must not lead into it.
 *   tstate_guard          where C recursion is measured by address (TSTATE_GUARDS_STACK): from now on we
 * stand on these bytes; low NULL: on the thread's own stack. tstate_unfit          why this very release
 * cannot be used, or NULL.
 *   tstate_is_current     whether this state, one of our interpreter, is that of whoever runs.
 *   tstate_innermost      the interpreter frame that runs.
 *   TSTATE_FRAME_...      where an interpreter frame keeps what. tstate_frame_end   one past the last word of
 * a parked frame that is known to hold a reference or NULL.
 *
 * The greenlet's own root of the exception stack is in struct tstate, so that nothing has to be copied. */
#ifndef COROLIB_SWITCH_TSTATE_H
#define COROLIB_SWITCH_TSTATE_H

#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "check.h"
#include "datastack.h"
#include "hubapi.h"

#define TSTATE_HIDDEN __attribute__((visibility("hidden")))

/* A link of the data stack chain that is a root: the interpreter never frees it (it skips data[0] for that).
 */
static inline PyObject **tstate_root_top(_PyStackChunk *chunk)
{
    return &chunk->data[1];
}

static inline PyObject **tstate_root_limit(_PyStackChunk *chunk)
{
    return (PyObject **)((char *)chunk + chunk->size);
}

/* The version of the context is part of the key under which context variables cache their value. */
static inline void tstate_set_context(PyThreadState *ts, PyObject *context)
{
    if (ts->context != context) {
        ts->context = context;
        ts->context_ver++;
    }
}

#if PY_VERSION_HEX >= 0x03100000
#error "corolib._switch knows CPython 3.11 to 3.15: add a tstate_3xx.h and a case to tstate.h"
#elif PY_VERSION_HEX >= 0x030F0000
#include "tstate_315.h"
#elif PY_VERSION_HEX >= 0x030E0000
#include "tstate_314.h"
#elif PY_VERSION_HEX >= 0x030D0000
#include "tstate_313.h"
#elif PY_VERSION_HEX >= 0x030C0000
#include "tstate_312.h"
#elif PY_VERSION_HEX >= 0x030B0000
#include "tstate_311.h"
#else
#error "corolib needs CPython 3.11 or later"
#endif

/* The greenlet has finished: its last frame is gone. The context stays, to be looked at. */
static inline void tstate_ended(struct tstate *s)
{
    s->chunk = NULL;
    s->frame = NULL;
    tstate_forget(s);
}

/* A dead greenlet has frames if it was parked when its thread ended. */
static inline bool tstate_has_frames(const struct tstate *s)
{
    return s->chunk != NULL && s->frame != NULL;
}

/* What the frames of a parked greenlet own, for the collector. Less than they own is harmless, more would be
 * fatal: before 3.14 the evaluation stack of a frame that has called a C function is left out. */
TSTATE_HIDDEN int tstate_traverse(const struct tstate *s, visitproc visit, void *arg);

/* Give up the frames of a greenlet that died with its thread: drop what they own, which may run any code, and
 * give back what they lie on. What C variables refer to is leaked; before 3.14 also what is on the evaluation
 * stack of a frame that is neither in a call nor has called: see height.h. */
TSTATE_HIDDEN void tstate_abandon(struct tstate *s);

/* Places in the code that runs, innermost first: `room` at most; how many. Owned references. */
TSTATE_HIDDEN int tstate_places(PyThreadState *ts, struct switch_place *places, int room);

/* A checking build keeps a copy of the whole table while a greenlet is parked, and looks at arrival whether
 * anybody has written to it; the context may be set from outside, and links come and go with evictions. */
#ifdef COROLIB_CHECK
struct tstate_seal {
    struct tstate copy;
};

static inline void tstate_seal(const struct tstate *s, struct tstate_seal *seal)
{
    memcpy(&seal->copy, s, sizeof *s);
    seal->copy.context = NULL;
}

static inline void tstate_unseal(const struct tstate *s, const struct tstate_seal *seal)
{
    struct tstate now;
    memcpy(&now, s, sizeof now);
    now.context = NULL;
    CHECK(memcmp(&now, &seal->copy, TSTATE_SEALED) == 0);
}
#else
struct tstate_seal {
};
#define tstate_seal(s, seal) ((void)0)
#define tstate_unseal(s, seal) ((void)0)
#endif

/* And at each arrival the table as the interpreter has it now. */
static inline void tstate_check(PyThreadState *ts)
{
#ifdef COROLIB_CHECK
    const _PyStackChunk *chunk = ts->datastack_chunk;
    CHECK(ts->exc_info != NULL);
    for (_PyErr_StackItem *item = ts->exc_info; item != NULL; item = item->previous_item)
        CHECK(item->exc_value == NULL || item->exc_value == Py_None ||
              PyExceptionInstance_Check(item->exc_value));
    CHECK(ts->context == NULL || PyContext_CheckExact(ts->context));
    if (chunk != NULL) {
        CHECK(ts->datastack_top >= chunk->data && ts->datastack_top <= ts->datastack_limit);
        CHECK(ts->datastack_limit == tstate_root_limit(ts->datastack_chunk));
        for (chunk = chunk->previous; chunk != NULL; chunk = chunk->previous)
            CHECK(chunk->top <= chunk->size / sizeof(PyObject *));
    }
    tstate_check_version(ts);
#else
    (void)ts;
#endif
}

/* Let tp_finalize run once more for an object that has been resurrected or that comes from a free list: the
 * collector marks an object it has finalized in the lowest bit of the second word of its header (3.11
 * to 3.15). */
static inline void tstate_unfinalize(PyObject *object)
{
    uintptr_t *header = (uintptr_t *)object - 2;
    header[1] &= ~(uintptr_t)1;
}

/* Gaps in the public API of older versions; call sites use the newest spelling. */
#if PY_VERSION_HEX < 0x030C0000
static inline PyObject *PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) PyException_SetTraceback(value, traceback);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static inline void PyErr_SetRaisedException(PyObject *exception)
{
    PyErr_Restore(Py_NewRef(Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
}
#endif

#if PY_VERSION_HEX < 0x030D0000
#define Py_IsFinalizing _Py_IsFinalizing
#endif

#endif
