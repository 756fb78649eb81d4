/* CPython 3.15. What stays with the thread: as in 3.14 (datastack_cached_chunk has moved), and gil_requested,
 * last_profiled_frame, jit_exit, pystats, ensure.
 *
 * The outermost frame of a thread is base_frame, which lies in the thread state: sampling profilers drop
 * a stack that does not end in it, so a greenlet's does too. The thread state may be freed before a greenlet
 * that died with it: tstate_orphan takes the link out. */
#ifndef COROLIB_SWITCH_TSTATE_315_H
#define COROLIB_SWITCH_TSTATE_315_H

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
    uintptr_t tools;    /* the version of the interpreter's instrumentation */
    _PyErr_StackItem exc_root;
    struct frames_links links; /* taken out while evicted */
};

struct tstate_carry {
    char nothing;
};

/* Its upper bits. The lower ones are requests to the evaluation loop. */
static inline uintptr_t tstate_tools(const PyThreadState *ts)
{
    return ts->eval_breaker & ~(uintptr_t)0xff;
}

static inline void tstate_fresh(struct tstate *s, PyThreadState *ts, _PyStackChunk *chunk)
{
    s->frame = ts->base_frame; /* tracebacks and f_back end at the greenlet's first function all the same */
    s->exc_root.exc_value = NULL;
    s->exc_root.previous_item = NULL;
    s->exc_info = &s->exc_root;
    s->chunk = chunk;
    s->top = tstate_root_top(chunk);
    s->limit = tstate_root_limit(chunk);
    s->depth = 0;
    s->executor = NULL;
    s->tools = tstate_tools(ts);
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
    s->tools = tstate_tools(ts);
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

/* When tools come or go (sys.settrace, sys.setprofile, sys.monitoring) the interpreter brings the code of all
 * frames up to date that a thread is in; it does not see parked ones. Since 3.15 it takes for granted that
 * the code of a frame that an exception leaves has a table of its tools, and reads it through NULL. */
TSTATE_HIDDEN void tstate_instrument(PyThreadState *ts);

static inline void tstate_update(const struct tstate *s, PyThreadState *ts)
{
    if (__builtin_expect(s->tools != tstate_tools(ts), 0)) tstate_instrument(ts);
}

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

static inline void tstate_orphan(struct tstate *s, PyThreadState *ts)
{
    void **base = (void **)ts->base_frame, **frame = (void **)s->frame;
    if (frame == base) s->frame = NULL;
    for (; frame != NULL && frame != base; frame = frame[TSTATE_FRAME_PREVIOUS])
        if (frame[TSTATE_FRAME_PREVIOUS] == base) frame[TSTATE_FRAME_PREVIOUS] = NULL;
}

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
    frames_check(ts->current_frame, TSTATE_FRAME_OWNER, 3);
}

#endif
