/* CPython 3.13. What stays with the thread: tracing and what_event (nesting of trace functions), the trace
 * and profile functions, current_exception (an exception in flight crosses a switch in it), dict, async_exc,
 * delete_later, critical_section (0 with a GIL), coroutine_origin_tracking_depth, async_gen_*,
 * recursion_headroom, eval_breaker, previous_executor, dict_global_version, threading_local_*.
 *
 * cframe is gone; one entry frame for each run of the evaluation loop lies on the C stack: see frames.h.
 * Deallocation nesting is part of the C recursion counter. */
#ifndef COROLIB_SWITCH_TSTATE_313_H
#define COROLIB_SWITCH_TSTATE_313_H

#include "frames.h"

/* Words of struct _PyInterpreterFrame, and the offset of its owner. */
#define TSTATE_FRAME_CODE 0     /* the code object */
#define TSTATE_FRAME_PREVIOUS 1 /* the caller */
#define TSTATE_FRAME_FUNCTION 2 /* the function */
#define TSTATE_FRAME_LOCALS 5   /* the dict of locals, if it has one */
#define TSTATE_FRAME_OBJECT 6   /* the frame object, if one has been made */
#define TSTATE_FRAME_NEXT 7     /* the instruction that is being executed */
#define TSTATE_FRAME_FAST 9     /* the first local variable */
#define TSTATE_FRAME_HEIGHT 64  /* an int: of the stack and the locals; -1 if only the loop knows */
#define TSTATE_FRAME_OWNER 70   /* a byte */

/* The code: what height.c has to know of it. */
#define TSTATE_IS_CALL(op) ((op) == CALL || (op) == CALL_KW)
#define TSTATE_IS_FORWARD_JUMP(op)                                                                           \
    ((op) == JUMP_FORWARD || (op) == FOR_ITER || (op) == SEND || (op) == POP_JUMP_IF_FALSE ||                \
     (op) == POP_JUMP_IF_TRUE || (op) == POP_JUMP_IF_NONE || (op) == POP_JUMP_IF_NOT_NONE)
#define TSTATE_IS_END(op)                                                                                    \
    ((op) == JUMP_FORWARD || (op) == JUMP_BACKWARD || (op) == JUMP_BACKWARD_NO_INTERRUPT ||                  \
     (op) == RETURN_VALUE || (op) == RETURN_CONST || (op) == RAISE_VARARGS || (op) == RERAISE)
#define TSTATE_EFFECT(op, arg, jump) PyCompile_OpcodeStackEffectWithJump(op, arg, jump)

struct tstate {
    struct _PyInterpreterFrame *frame;
    _PyErr_StackItem *exc_info; /* innermost; &exc_root if no generator is running */
    PyObject *context;          /* owned while parked */
    _PyStackChunk *chunk;
    PyObject **top, **limit;
    int depth;       /* not the remaining one: the limit may change meanwhile */
    int c_remaining; /* of C recursion: a counter without a settable limit */
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
    s->c_remaining = Py_C_RECURSION_LIMIT; /* in full: a lane is a full-size stack */
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
    s->c_remaining = ts->c_recursion_remaining;
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
    ts->c_recursion_remaining = s->c_remaining;
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

/* Known unless the frame is in a call of a C function. */
static inline void **tstate_frame_end(void **frame, void **locals_end)
{
    void **end = &frame[TSTATE_FRAME_FAST] + *(int *)((char *)frame + TSTATE_FRAME_HEIGHT);
    return end > locals_end ? end : locals_end;
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

/* C recursion is counted, not measured. */
#define TSTATE_GUARDS_STACK 0
static inline void tstate_guard(PyThreadState *Py_UNUSED(ts), char *Py_UNUSED(low), size_t Py_UNUSED(size)) {}
static inline const char *tstate_unfit(void)
{
    return NULL;
}

#define TSTATE_SEALED offsetof(struct tstate, links)
static inline void tstate_check_version(PyThreadState *ts)
{
    CHECK(ts->py_recursion_remaining <= ts->py_recursion_limit);
    CHECK(ts->c_recursion_remaining <= Py_C_RECURSION_LIMIT);
    frames_check(ts->current_frame, TSTATE_FRAME_OWNER, 3);
}

#endif
