/* Floor 4: the end of a suspended greenlet that nobody needs any more. See reaper.h. */
#include <Python.h>

#include "reaper.h"

/* The ring owns a reference from now on. */
static void doom(struct thread *theirs, struct greenlet *greenlet)
{
    Py_INCREF(greenlet);
    thread_link_out(&greenlet->link);
    thread_link_in(&theirs->doomed, &greenlet->link);
    theirs->attention |= THREAD_DOOMED;
}

void reaper_kill(struct greenlet *greenlet, bool found)
{
    struct thread *theirs = greenlet->thread;
    greenlet->found |= found;
    if (found || PyThreadState_Get() != theirs->tstate || theirs->current == thread_collector) {
        doom(theirs, greenlet); /* its clean-up code belongs to its own thread, and not into a collection */
        return;
    }
    /* It ends here, wherever its parent is now. */
    struct greenlet *parent = greenlet->parent;
    PyObject *pending = PyErr_GetRaisedException();
    greenlet->parent = (struct greenlet *)Py_NewRef(theirs->current);
    PyErr_SetNone(switch_exit);
    PyObject *result = switch_transfer((PyObject *)greenlet, NULL);
    if (result != NULL)
        Py_DECREF(result);
    else if (greenlet->face.state == SWITCH_SUSPENDED &&
             (PyErr_ExceptionMatches(PyExc_MemoryError) || PyErr_ExceptionMatches(switch_error))) {
        PyErr_Clear(); /* no memory, or a held stack, on the way there: the next switch tries again */
        doom(theirs, greenlet);
    } else
        PyErr_WriteUnraisable((PyObject *)greenlet);
    if (greenlet->parent == theirs->current) {
        Py_SETREF(greenlet->parent, parent); /* it may have caught GreenletExit and live on */
    } else
        Py_XDECREF(parent); /* it has got another one meanwhile */
    if (pending != NULL) PyErr_SetRaisedException(pending);
}

static void reap(struct thread *here)
{
    if (here->current == thread_collector) return; /* not in the middle of it */
    PyObject *pending = PyErr_GetRaisedException();
    size_t count = 0;
    for (struct thread_link *link = here->doomed.next; link != &here->doomed; link = link->next) count++;
    /* Each once, the oldest first: those that cannot be ended for want of memory come back into the ring. The
     * ring is not moved to a local head: this function parks, and nothing on its stack may be pointed at. */
    here->attention &= ~(unsigned)THREAD_DOOMED;
    while (count-- > 0 && here->doomed.previous != &here->doomed) {
        struct greenlet *greenlet = thread_linked(here->doomed.previous);
        thread_link_out(&greenlet->link);
        thread_link_in(&here->started, &greenlet->link);
        /* Who dropped it has marked it. A finalizer of its own, though, runs once. */
        if (Py_TYPE(greenlet)->tp_finalize == switch_type->tp_finalize)
            tstate_unfinalize((PyObject *)greenlet);
        if (greenlet->found && greenlet->face.state == SWITCH_SUSPENDED) {
            greenlet->found = false;
            reaper_kill(greenlet, false);
        }
        Py_DECREF(greenlet);
    }
    if (here->doomed.next != &here->doomed) here->attention |= THREAD_DOOMED;
    if (pending != NULL) PyErr_SetRaisedException(pending);
}

void reaper_collecting(bool begins)
{
    struct thread *here = thread_last;
    if (thread_collector != NULL) thread_collector->guest.held = false;
    thread_collector = NULL;
    if (here == NULL || here->tstate != PyThreadState_Get()) return;
    if (begins) {
        thread_collector = here->current;
        thread_collector->guest.held = true;
    } else if (here->attention & THREAD_DOOMED)
        reap(here); /* what it has found */
}

void reaper_init(void)
{
    thread_reap = reap;
}
