/* Floor 2: what the frames of a parked greenlet own.
 *
 * The interpreter never clears or visits the frames of a thread: they are the innermost thing there is, and
 * end by being left. A parked greenlet's are different. If all that leads to it is a variable of its own, it
 * will never be left, so the collector has to see through it; and one that died with its thread cannot be
 * left any more.
 *
 * Frames in the data stack own their references; those of generators belong to the generator, which visits
 * them itself. From 3.14 on references carry tags in their lowest two bits: a tagged one is borrowed,
 * immortal or an integer. In earlier versions no pointer has such a bit. */
#include "tstate.h"

#include "height.h"

#define OWNED_BY_THREAD 0
#define OWNED_BY_GENERATOR 1
#define TAGS ((uintptr_t)3)

/* NULL for the frame that stands between a class and its __init__. */
static PyCodeObject *code_of(void **frame)
{
    PyObject *code = (PyObject *)((uintptr_t)frame[TSTATE_FRAME_CODE] & ~TAGS);
    return code != NULL && PyCode_Check(code) ? (PyCodeObject *)code : NULL;
}

/* One past what is known to hold a reference or NULL. */
static void **known_end(void **frame)
{
    const PyCodeObject *code = code_of(frame);
    return tstate_frame_end(frame, &frame[TSTATE_FRAME_FAST] + (code != NULL ? code->co_nlocalsplus : 0));
}

/* Call use() for each word of the frame that can hold a reference, until it returns something else than 0. */
static int each_word(void **frame, void **end, int (*use)(void **word, void *arg), void *arg)
{
    static const int fixed[] = {TSTATE_FRAME_FUNCTION, TSTATE_FRAME_LOCALS, TSTATE_FRAME_OBJECT};
    void **word = &frame[TSTATE_FRAME_FAST];
    int status = 0;
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0] && status == 0; i++)
        status = use(&frame[fixed[i]], arg);
    for (; word < end && status == 0; word++) status = use(word, arg);
    return status != 0 ? status : use(&frame[TSTATE_FRAME_CODE], arg);
}

static bool in_data_stack(void **frame)
{
    return ((char *)frame)[TSTATE_FRAME_OWNER] == OWNED_BY_THREAD;
}

struct visitor {
    visitproc visit;
    void *arg;
};

static int visit_word(void **word, void *argument)
{
    const struct visitor *visitor = argument;
    if (*word == NULL || ((uintptr_t)*word & TAGS) != 0) return 0;
    return visitor->visit(*word, visitor->arg);
}

int tstate_traverse(const struct tstate *s, visitproc visit, void *arg)
{
    struct visitor visitor = {visit, arg};
    /* 3.11.0 drops what is in a frame while the frame can still be found. */
    if (s->chunk == NULL || Py_Version < 0x030B01F0) return 0;
    for (void **frame = (void **)s->frame; frame != NULL; frame = frame[TSTATE_FRAME_PREVIOUS]) {
        int status = in_data_stack(frame) ? each_word(frame, known_end(frame), visit_word, &visitor) : 0;
        if (status != 0) return status;
    }
    return 0;
}

/* The same, but at any price: for a frame that is dropped. */
static void **whole_end(void **frame)
{
    void **end = known_end(frame);
#if PY_VERSION_HEX < 0x030E0000
    PyCodeObject *code = code_of(frame);
    if (code != NULL && *(int *)((char *)frame + TSTATE_FRAME_HEIGHT) < 0)
        end += height_in_call(code, ((char *)frame[TSTATE_FRAME_NEXT] - code->co_code_adaptive) / 2);
#endif
    return end;
}

static int drop_word(void **word, void *Py_UNUSED(arg))
{
    PyObject *object = *word;
    *word = NULL;
    if (((uintptr_t)object & TAGS) == 0) Py_XDECREF(object);
    return 0;
}

/* Whoever has a frame object may look at the frame at any time: then the memory must stay as it is. */
static bool seen_by_others(void **frame)
{
    for (; frame != NULL; frame = frame[TSTATE_FRAME_PREVIOUS])
        if (frame[TSTATE_FRAME_OBJECT] != NULL &&
            (!in_data_stack(frame) || Py_REFCNT((PyObject *)frame[TSTATE_FRAME_OBJECT]) > 1))
            return true;
    return false;
}

void tstate_abandon(struct tstate *s)
{
    void **frame = (void **)s->frame;
    _PyStackChunk *chunk = s->chunk;
    PyObject *handled = s->exc_root.exc_value;

    tstate_forget(s);
    /* From here on nobody finds the frames through us, whatever code runs. */
    s->chunk = NULL;
    s->frame = NULL;
    if (chunk == NULL) return;
    s->exc_root.exc_value = NULL;
    if (!seen_by_others(frame)) {
        while (frame != NULL) {
            void **previous = frame[TSTATE_FRAME_PREVIOUS];
            /* The frame of a generator lies in the generator: it must not lead to memory that is given back.
             */
            frame[TSTATE_FRAME_PREVIOUS] = NULL;
            if (in_data_stack(frame)) each_word(frame, whole_end(frame), drop_word, NULL);
            frame = previous;
        }
        datastack_give_chain(chunk);
    }
    Py_XDECREF(handled);
}

int tstate_places(PyThreadState *ts, struct switch_place *places, int room)
{
    int count = 0;
    for (void **frame = tstate_innermost(ts); frame != NULL && count < room;
         frame = frame[TSTATE_FRAME_PREVIOUS]) {
        PyCodeObject *code =
            ((char *)frame)[TSTATE_FRAME_OWNER] <= OWNED_BY_GENERATOR ? code_of(frame) : NULL;
        if (code == NULL) continue; /* an entry of the evaluation loop */
        ptrdiff_t offset = (char *)frame[TSTATE_FRAME_NEXT] - code->co_code_adaptive;
        if (offset < 0) continue; /* it has not begun */
        places[count++] = (struct switch_place){(PyCodeObject *)Py_NewRef(code), (int)offset};
    }
    return count;
}

#if PY_VERSION_HEX >= 0x030F0000
#define OWNED_BY_INTERPRETER 3
/* Exported by the interpreter for its own test module; declared in a private header. */
#pragma weak _Py_Instrument
PyAPI_FUNC(int) _Py_Instrument(PyCodeObject *code, PyInterpreterState *interp);

void tstate_instrument(PyThreadState *ts)
{
    if (_Py_Instrument == NULL) return;
    PyObject *pending = PyErr_GetRaisedException();
    for (void **frame = (void **)ts->current_frame; frame != NULL; frame = frame[TSTATE_FRAME_PREVIOUS]) {
        if (((char *)frame)[TSTATE_FRAME_OWNER] == OWNED_BY_INTERPRETER) continue;
        PyCodeObject *code = code_of(frame);
        /* If there is no memory, nobody can be told: that is left to the next arrival that sees a change. */
        if (code != NULL && _Py_Instrument(code, ts->interp) < 0) PyErr_Clear();
    }
    if (pending != NULL) PyErr_SetRaisedException(pending);
}
#endif
