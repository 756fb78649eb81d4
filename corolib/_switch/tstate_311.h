/* CPython 3.11. What stays with the thread: tracing and tracing_what (nesting of trace functions), the trace
 * and profile functions, curexc_* (an exception in flight crosses a switch in them), dict, async_exc,
 * trash_delete_later, coroutine_origin_tracking_depth, async_gen_*, trace_info (a cache), recursion_headroom.
 *
 * cframe lies on the C stack and holds use_tracing, the flag that the evaluation loop looks at. The flag
 * belongs to the thread: it is carried over and stored into the arriving greenlet's cframe, which may be
 * touched on arrival only. */
#ifndef COROLIB_SWITCH_TSTATE_311_H
#define COROLIB_SWITCH_TSTATE_311_H

/* Words of struct _PyInterpreterFrame, and the offset of its owner. */
#define TSTATE_FRAME_FUNCTION 0 /* the function */
#define TSTATE_FRAME_LOCALS 3   /* the dict of locals, if it has one */
#define TSTATE_FRAME_CODE 4     /* the code object */
#define TSTATE_FRAME_OBJECT 5   /* the frame object, if one has been made */
#define TSTATE_FRAME_PREVIOUS 6 /* the caller */
#define TSTATE_FRAME_NEXT 7     /* the instruction that is being executed */
#define TSTATE_FRAME_FAST 9     /* the first local variable */
#define TSTATE_FRAME_HEIGHT 64  /* an int: of the stack and the locals; -1 if only the loop knows */
#define TSTATE_FRAME_OWNER 69   /* a byte */

/* The code: what height.c has to know of it. PRECALL and CALL share the effect of a call in the compiler's
 * eyes; in truth the former has none. */
#define TSTATE_IS_CALL(op) ((op) == PRECALL || (op) == CALL)
#define TSTATE_IS_FORWARD_JUMP(op)                                                                           \
    ((op) == JUMP_FORWARD || (op) == FOR_ITER || (op) == SEND || (op) == JUMP_IF_FALSE_OR_POP ||             \
     (op) == JUMP_IF_TRUE_OR_POP || (op) == POP_JUMP_FORWARD_IF_FALSE || (op) == POP_JUMP_FORWARD_IF_TRUE || \
     (op) == POP_JUMP_FORWARD_IF_NONE || (op) == POP_JUMP_FORWARD_IF_NOT_NONE)
#define TSTATE_IS_END(op)                                                                                    \
    ((op) == JUMP_FORWARD || (op) == JUMP_BACKWARD || (op) == JUMP_BACKWARD_NO_INTERRUPT ||                  \
     (op) == RETURN_VALUE || (op) == RAISE_VARARGS || (op) == RERAISE)
#define TSTATE_EFFECT(op, arg, jump)                                                                         \
    ((op) == PRECALL ? 0 : (op) == CALL ? -(arg)-1 : PyCompile_OpcodeStackEffectWithJump(op, arg, jump))

struct tstate {
    _PyCFrame *cframe;                 /* on the greenlet's C stack, or `root` */
    struct _PyInterpreterFrame *frame; /* cframe->current_frame, which cannot be read while evicted */
    _PyErr_StackItem *exc_info;        /* innermost; &exc_root if no generator is running */
    PyObject *context;                 /* owned while parked */
    _PyStackChunk *chunk;
    PyObject **top, **limit;
    int depth; /* not the remaining one: the limit may change meanwhile */
    int trash; /* nesting of container deallocations */
    _PyErr_StackItem exc_root;
    _PyCFrame root;
};

struct tstate_carry {
    uint8_t use_tracing;
};

static inline void tstate_fresh(struct tstate *s, PyThreadState *ts, _PyStackChunk *chunk)
{
    s->root.use_tracing = 0;
    s->root.current_frame = NULL; /* so that tracebacks and f_back end at the greenlet's first function */
    s->root.previous = &ts->root_cframe;
    s->cframe = &s->root;
    s->frame = NULL;
    s->exc_root.exc_value = NULL;
    s->exc_root.previous_item = NULL;
    s->exc_info = &s->exc_root;
    s->chunk = chunk;
    s->top = tstate_root_top(chunk);
    s->limit = tstate_root_limit(chunk);
    s->depth = 0;
    s->trash = 0;
}

static inline void tstate_leave(struct tstate *s, PyThreadState *ts, struct tstate_carry *carry)
{
    _PyCFrame *cframe = ts->cframe;
    s->cframe = cframe;
    s->frame = cframe->current_frame;
    carry->use_tracing = cframe->use_tracing;
    s->exc_info = ts->exc_info;
    s->context = ts->context;
    s->chunk = ts->datastack_chunk;
    s->top = ts->datastack_top;
    s->limit = ts->datastack_limit;
    s->depth = ts->recursion_limit - ts->recursion_remaining;
    s->trash = ts->trash_delete_nesting;
}

static inline void tstate_enter(const struct tstate *s, PyThreadState *ts, const struct tstate_carry *carry)
{
    ts->cframe = s->cframe;
    s->cframe->use_tracing = carry->use_tracing;
    ts->exc_info = s->exc_info;
    tstate_set_context(ts, s->context);
    ts->datastack_chunk = s->chunk;
    ts->datastack_top = s->top;
    ts->datastack_limit = s->limit;
    ts->recursion_remaining = ts->recursion_limit - s->depth;
    ts->trash_delete_nesting = s->trash;
}

/* Code that is behind the tools is brought up to date by its next call. */
static inline void tstate_update(const struct tstate *Py_UNUSED(s), PyThreadState *Py_UNUSED(ts)) {}

static inline bool tstate_is_current(const PyThreadState *ts)
{
    return ts == PyThreadState_Get();
}

static inline void **tstate_innermost(PyThreadState *ts)
{
    return (void **)ts->cframe->current_frame;
}

static inline PyObject *tstate_frame(const struct tstate *s, PyThreadState *ts)
{
    /* The public function looks at the current cframe, so it gets one that shows the parked frame. Making a
     * frame object allocates, which may start a collection in 3.11: not while we pretend. */
    _PyCFrame shown = {.use_tracing = 0, .current_frame = s->frame, .previous = ts->cframe};
    int collecting = PyGC_Disable();
    ts->cframe = &shown;
    PyObject *frame = (PyObject *)PyThreadState_GetFrame(ts);
    ts->cframe = shown.previous;
    if (collecting) PyGC_Enable();
    return frame;
}

/* Known unless the frame is in a call of a C function. */
static inline void **tstate_frame_end(void **frame, void **locals_end)
{
    void **end = &frame[TSTATE_FRAME_FAST] + *(int *)((char *)frame + TSTATE_FRAME_HEIGHT);
    return end > locals_end ? end : locals_end;
}

/* No frame of 3.11 is on the C stack. */
static inline int tstate_evict(struct tstate *Py_UNUSED(s), const char *Py_UNUSED(low),
                               const char *Py_UNUSED(top))
{
    return 0;
}

static inline void tstate_load(struct tstate *Py_UNUSED(s)) {}

static inline void tstate_forget(struct tstate *Py_UNUSED(s)) {}

/* No frame leads to the thread state. */
static inline void tstate_orphan(struct tstate *Py_UNUSED(s), PyThreadState *Py_UNUSED(ts)) {}

/* C recursion is counted, not measured. */
#define TSTATE_GUARDS_STACK 0
static inline void tstate_guard(PyThreadState *Py_UNUSED(ts), char *Py_UNUSED(low), size_t Py_UNUSED(size)) {}
static inline const char *tstate_unfit(void)
{
    return NULL;
}

#define TSTATE_SEALED sizeof(struct tstate)
static inline void tstate_check_version(PyThreadState *ts)
{
    CHECK(ts->cframe != NULL && ts->trash_delete_nesting >= 0);
    CHECK(ts->recursion_remaining <= ts->recursion_limit);
    for (void **frame = (void **)ts->cframe->current_frame; frame != NULL;
         frame = frame[TSTATE_FRAME_PREVIOUS])
        CHECK(((unsigned char *)frame)[TSTATE_FRAME_OWNER] <= 2);
}

#endif
