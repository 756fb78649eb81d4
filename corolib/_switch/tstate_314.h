/* CPython 3.14. What stays with the thread: tracing and what_event (nesting of trace functions; swapping them
 * aborts a debug build when a trace function switches), the trace and profile functions, current_exception
 * (an exception in flight crosses a switch in it), dict, async_exc, delete_later, critical_section (0 with a
 * GIL), coroutine_origin_tracking_depth, async_gen_*, recursion_headroom, eval_breaker, dict_global_version,
 * threading_local_*, remote_debugger_support, datastack_cached_chunk (never a root), and, behind the public
 * struct, asyncio's running loop and task, as in 3.13, where they are no part of the thread state.
 *
 * One entry frame for each run of the evaluation loop lies on the C stack: see frames.h. C recursion is no
 * longer counted: the stack pointer is compared with the bounds of the thread's stack, which must follow the
 * lane (tstate_guard). current_executor is set while compiled code (the JIT) calls out. */
#ifndef COROLIB_SWITCH_TSTATE_314_H
#define COROLIB_SWITCH_TSTATE_314_H

#include "frames.h"

/* Words of struct _PyInterpreterFrame, and the offset of its owner. */
#define TSTATE_FRAME_CODE 0     /* the code object */
#define TSTATE_FRAME_PREVIOUS 1 /* the caller */
#define TSTATE_FRAME_FUNCTION 2 /* the function */
#define TSTATE_FRAME_LOCALS 5   /* the dict of locals, if it has one */
#define TSTATE_FRAME_OBJECT 6   /* the frame object, if one has been made */
#define TSTATE_FRAME_NEXT 7     /* the instruction that is being executed */
#define TSTATE_FRAME_TOP 8      /* one past the highest of the evaluation stack */
#define TSTATE_FRAME_FAST 10    /* the first local variable */
#define TSTATE_FRAME_OWNER 74   /* a byte */

struct tstate {
    struct _PyInterpreterFrame *frame;
    _PyErr_StackItem *exc_info; /* innermost; &exc_root if no generator is running */
    PyObject *context;          /* owned while parked */
    _PyStackChunk *chunk;
    PyObject **top, **limit;
    int depth;          /* not the remaining one: the limit may change meanwhile */
    PyObject *executor; /* borrowed: the compiled code that has called out, if any */
    _PyErr_StackItem exc_root;
    struct frames_links links; /* taken out while evicted */
};

struct tstate_carry {
    char nothing;
};

static inline void tstate_fresh(struct tstate *s, PyThreadState *Py_UNUSED(ts), _PyStackChunk *chunk)
{
    s->frame = NULL; /* so that tracebacks and f_back end at the greenlet's first function */
    s->exc_root.exc_value = NULL;
    s->exc_root.previous_item = NULL;
    s->exc_info = &s->exc_root;
    s->chunk = chunk;
    s->top = tstate_root_top(chunk);
    s->limit = tstate_root_limit(chunk);
    s->depth = 0;
    s->executor = NULL;
}

static inline void tstate_leave(struct tstate *s, PyThreadState *ts, struct tstate_carry *Py_UNUSED(carry))
{
    s->frame = ts->current_frame;
    s->exc_info = ts->exc_info;
    s->context = ts->context;
    s->chunk = ts->datastack_chunk;
    s->top = ts->datastack_top;
    s->limit = ts->datastack_limit;
    s->depth = ts->py_recursion_limit - ts->py_recursion_remaining;
    s->executor = ts->current_executor;
}

static inline void tstate_enter(const struct tstate *s, PyThreadState *ts,
                                const struct tstate_carry *Py_UNUSED(carry))
{
    ts->current_frame = s->frame;
    ts->exc_info = s->exc_info;
    tstate_set_context(ts, s->context);
    ts->datastack_chunk = s->chunk;
    ts->datastack_top = s->top;
    ts->datastack_limit = s->limit;
    ts->py_recursion_remaining = ts->py_recursion_limit - s->depth;
    ts->current_executor = s->executor;
}

/* Code that is behind the tools is brought up to date by its next call. */
static inline void tstate_update(const struct tstate *Py_UNUSED(s), PyThreadState *Py_UNUSED(ts)) {}

/* PyThreadState_Get() asks the dynamic linker where the thread's variable is. This flag is set after the GIL
 * has been taken and cleared before it is given away (3.13: _PyThreadState_Attach, detach_thread), so of the
 * states of one interpreter it is set in that of whoever runs. */
static inline bool tstate_is_current(const PyThreadState *ts)
{
    return ts->_status.active;
}

static inline void **tstate_innermost(PyThreadState *ts)
{
    return (void **)ts->current_frame;
}

static inline PyObject *tstate_frame(const struct tstate *s, PyThreadState *ts)
{
    /* The public function looks at the current frame, so the parked one is shown to it. No Python code can
     * run meanwhile: since 3.12 collections start between bytecodes only. */
    struct _PyInterpreterFrame *current = ts->current_frame;
    ts->current_frame = s->frame;
    PyObject *frame = (PyObject *)PyThreadState_GetFrame(ts);
    ts->current_frame = current;
    return frame;
}

/* The height of the evaluation stack is noted before each call that may run other code. */
static inline void **tstate_frame_end(void **frame, void **locals_end)
{
    void **top = frame[TSTATE_FRAME_TOP];
    return top > locals_end ? top : locals_end;
}

static inline int tstate_evict(struct tstate *s, const char *low, const char *top)
{
    return frames_unlink(&s->links, s->frame, low, top);
}

static inline void tstate_load(struct tstate *s)
{
    frames_relink(&s->links);
}

static inline void tstate_forget(struct tstate *s)
{
    frames_forget(&s->links);
}

/* No frame leads to the thread state. */
static inline void tstate_orphan(struct tstate *Py_UNUSED(s), PyThreadState *Py_UNUSED(ts)) {}

/* The API is younger than 3.14.0, so a library built with a later release may meet an interpreter without it.
 * The fields behind it have moved within the series: they are not written to directly. */
#define TSTATE_GUARDS_STACK 1
#pragma weak PyUnstable_ThreadState_SetStackProtection
#pragma weak PyUnstable_ThreadState_ResetStackProtection
PyAPI_FUNC(int) PyUnstable_ThreadState_SetStackProtection(PyThreadState *, void *, size_t);
PyAPI_FUNC(void) PyUnstable_ThreadState_ResetStackProtection(PyThreadState *);

static inline void tstate_guard(PyThreadState *ts, char *low, size_t size)
{
    if (low == NULL)
        PyUnstable_ThreadState_ResetStackProtection(ts);
    else
        CHECK(PyUnstable_ThreadState_SetStackProtection(ts, low, size) == 0);
}

static inline const char *tstate_unfit(void)
{
    return PyUnstable_ThreadState_SetStackProtection != NULL
               ? NULL
               : "this release of CPython cannot be told the bounds of another C stack: corolib needs 3.14.2 "
                 "or later";
}

#define TSTATE_SEALED offsetof(struct tstate, links)
static inline void tstate_check_version(PyThreadState *ts)
{
    CHECK(ts->py_recursion_remaining <= ts->py_recursion_limit);
    CHECK(ts->critical_section == 0);
    frames_check(ts->current_frame, TSTATE_FRAME_OWNER, 4);
}

#endif
