/* What the engine shows to corolib._hub: a private, versioned capsule.
 *
 * The public C API of the greenlet package is in capi.h. This one is for the hot path of the hub: a switch
 * without an argument tuple, a slot for the park record, a C function in place of `run`, pinned lanes, and
 * one slot per thread for the hub. Only _hub includes this file; both sides are built together, and the
 * version and sizes are checked when the capsule is imported all the same.
 *
 * Everything here is called with the GIL held. */
#ifndef COROLIB_SWITCH_HUBAPI_H
#define COROLIB_SWITCH_HUBAPI_H

#include <Python.h>
#include <stdbool.h>

#define SWITCH_HUBAPI_NAME "corolib._switch._engine._hub_api"
#define SWITCH_HUBAPI_VERSION 6u

/* Life of a greenlet. Written by the engine only. */
enum switch_state {
    SWITCH_FRESH = 0,     /* not started: no stack, no lane */
    SWITCH_SUSPENDED = 1, /* started, parked somewhere */
    SWITCH_CURRENT = 2,   /* the one that runs in its thread */
    SWITCH_DEAD = 3,      /* finished, or of a thread that is gone */
};

/* The head of every greenlet, whatever its type. The first four words are the layout that greenlet.h shows
 * to C extensions; the rest is ours. */
struct switch_face {
    PyObject_HEAD PyObject *weakrefs;
    PyObject *dict;
    void *engine; /* greenlet.h's opaque pointer: the greenlet itself */
    /* The hub's park record or NULL. Set by _hub at the first wait of the greenlet; when the greenlet is
     * deallocated the engine hands it to *park_free. */
    void *park;
    /* If set (before the start, by _hub), the engine calls this in place of looking up and calling `run`:
     * self and the value of the first transfer (borrowed). The result is handled as run()'s would be. */
    PyObject *(*boot)(PyObject *self, PyObject *value);
    unsigned char state; /* enum switch_state, read-only outside the engine */
};

/* The head of what the engine keeps for a thread; it lasts as long as the thread. */
struct switch_thread {
    PyObject *current; /* the greenlet that runs in it. Written by the engine only */
    /* Where its hub hangs: an owned reference or NULL, dropped by the engine when the thread ends (before its
     * greenlets become dead). */
    PyObject *hub;
};

/* A place in code: PyCode_Addr2Line() makes a line of it. */
struct switch_place {
    PyCodeObject *code; /* owned */
    int offset;
};

struct switch_hubapi {
    unsigned version;   /* SWITCH_HUBAPI_VERSION */
    size_t size;        /* sizeof(struct switch_hubapi) */
    PyTypeObject *type; /* the raw greenlet type; a subtype's struct starts with type->tp_basicsize bytes */
    PyObject *GreenletExit;
    PyObject *error;

    /* This thread; NULL with an exception set if there can be no greenlet in it. */
    struct switch_thread *(*thread)(void);
    /* The main greenlet of this thread, borrowed. */
    PyObject *(*main_greenlet)(void);

    /* Switch to `target` (borrowed) and return what this greenlet is resumed with.
     * value: stolen; NULL means: the exception that is set is raised in the target.
     *   suspended target: value is what its own transfer() or switch() returns, as it is, no tuple around it;
     *   fresh target without boot: value must be a tuple, the positional arguments of run();
     *   fresh target with boot: value is handed to boot();
     *   dead target: goes to the nearest live ancestor, as greenlet's switch does.
     * Returns a new reference, or NULL with an exception: one thrown here by whoever resumed us, or `error`
     * at once if the target belongs to another thread. */
    PyObject *(*transfer)(PyObject *target, PyObject *value);

    /* Before the start only. The lane of a pinned greenlet is its own: it is never evicted. -1 on failure. */
    int (*pin)(PyObject *greenlet);
    /* Before the start only: parent (borrowed; no cycle check, must be of this thread). */
    void (*set_parent)(PyObject *greenlet, PyObject *parent);
    /* Before the start only: a contextvars.Context (stolen) or NULL for an empty one. */
    void (*set_context)(PyObject *greenlet, PyObject *context);
    /* A copy of the context that is current (new), or NULL for an empty one, which need not be made: it is
     * where nobody uses any. 0, or -1 with an exception. */
    int (*copy_context)(PyObject **context);
    /* True if the greenlet (not main) belongs to the calling thread, or is fresh and adoptable by it. */
    int (*is_mine)(PyObject *greenlet);

    /* True while a transfer to the (suspended) greenlet is refused with `error`, because a collection that
     * another greenlet has left needs the stack that it is bound to. Seldom; to be tried again later. */
    int (*held_up)(PyObject *greenlet);
    /* The greenlet in which a collection is under way, borrowed; while it is NULL nobody is held up. */
    PyObject *const *collector;

    /* Where this thread is in Python code: innermost first, `room` at most; how many. Cheap: makes no frames.
     */
    int (*places)(struct switch_place *places, int room);

    /* What becomes of switch_face.park: called when the greenlet is deallocated, traversed and cleared. Set
     * once by _hub. */
    void (**park_free)(void *park);
    /* Whether its greenlet has a reference that the collector does not know of, so that it is alive whatever
     * it refers to, and so is all that: then nothing of it is visited. The answer stays the same for as long
     * as no Python code runs. */
    bool (**park_held)(const void *park);
    int (**park_traverse)(void *park, visitproc visit, void *arg);
    void (**park_clear)(void *park);

    /* What a greenlet with a boot function is going to call: borrowed, or NULL. Those that call the same are
     * expected to need as much frame memory. Set once by _hub; asked before the start only. */
    PyObject *(**kind)(PyObject *greenlet);

    /* Whether a foreign thread's, or a dead greenlet's references can go: subtype slots of _hub chain to
     * these. */
    int (*traverse)(PyObject *self, visitproc visit, void *arg);
    int (*clear)(PyObject *self);
    void (*finalize)(PyObject *self);
    /* Frees the engine's part and the memory, and drops the object's reference to a heap type. A subtype's
     * tp_dealloc: call PyObject_CallFinalizerFromDealloc and return if it is not 0 (resurrected); untrack;
     * drop its own fields; then this. */
    void (*dealloc)(PyObject *self);
};

#endif
