/* Floor 3: the struct of each thread: made at first use, found again, taken apart when the thread ends. */
#include <Python.h>

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "thread.h"

_Thread_local struct thread *thread_last __attribute__((tls_model("initial-exec")));
struct greenlet *(*thread_new_main)(void);
void (*thread_entry)(void);
void (*thread_reap)(struct thread *here);
unsigned thread_lane_limit = LANE_DEFAULT;
struct greenlet *thread_collector;

static const char KEY[] = "corolib._switch.thread";
static PyObject *key;
static struct thread *unused;

int thread_init(void)
{
    if (key == NULL) key = PyUnicode_InternFromString(KEY);
    return key == NULL ? -1 : 0;
}

/* lanes.evicting */
static int evicting(struct lane_guest *guest)
{
    struct greenlet *greenlet = (struct greenlet *)((char *)guest - offsetof(struct greenlet, guest));
    /* Many may park before the first one ends. */
    if (greenlet->tstate.chunk->previous != NULL) thread_learn(greenlet, true);
    return tstate_evict(&greenlet->tstate, guest->sp, lane_top(guest));
}

/* lanes.loaded */
static void loaded(struct lane_guest *guest)
{
    struct greenlet *greenlet = (struct greenlet *)((char *)guest - offsetof(struct greenlet, guest));
    tstate_load(&greenlet->tstate);
}

/* A suspended greenlet whose thread is gone can never run again, not even its clean-up code, which belongs to
 * a thread that does not exist. The frames can be looked at as long as the object lives; what they own goes
 * with it.
 */
static void abandon(struct thread *here, struct greenlet *greenlet)
{
    thread_link_out(&greenlet->link);
    if (lane_resident(&greenlet->guest)) {
        /* Somebody may hold its frames: make their chain skip the stack that is about to be unmapped. If
         * there is no memory for that, the chain is left as it is. */
        (void)tstate_evict(&greenlet->tstate, greenlet->guest.sp, lane_top(&greenlet->guest));
    }
    tstate_orphan(&greenlet->tstate, here->tstate);
    lane_abandon(&here->lanes, &greenlet->guest);
    if (thread_collector == greenlet) thread_collector = NULL;
    greenlet->guest.held = false;
    greenlet->thread = NULL;
    greenlet->face.state = SWITCH_DEAD;
}

static void end(struct thread *here)
{
    bool own = PyThreadState_Get() == here->tstate && !Py_IsFinalizing();
    if (own) {
        /* The hub's clean-up may switch; so may what other threads have dropped. */
        thread_last = here;
        Py_CLEAR(here->hub);
        if (here->attention & THREAD_DOOMED) thread_reap(here);
    }
    here->attention = 0;
    /* The thread may end (or vanish in a fork) while on a lane, and may be standing there for ever. */
    if (here->current != here->main) thread_link_out(&here->current->link);
    while (here->started.next != &here->started) abandon(here, thread_linked(here->started.next));
    struct thread_link *dropped = NULL;
    while (here->doomed.next != &here->doomed) {
        struct thread_link *link = here->doomed.next;
        abandon(here, thread_linked(link));
        link->next = dropped;
        dropped = link;
    }
    if (here->current == here->main) lanes_fini(&here->lanes);
    datastack_fini(&here->pool);
    while (here->idle != NULL) {
        struct greenlet *idle = here->idle;
        here->idle = (struct greenlet *)idle->link.next;
        PyObject_GC_Del(idle);
    }
    struct greenlet *main = here->main, *current = here->current;
    PyObject *tracer = here->tracer, *hooks = here->hooks, *hub = here->hub;
    if (thread_collector == main || thread_collector == current) thread_collector = NULL;
    main->thread = current->thread = NULL;
    main->guest.lane = current->guest.lane = NULL;
    main->face.state = current->face.state = SWITCH_DEAD;
    /* What is saved of these two is the thread state's own. */
    main->tstate.context = current->tstate.context = NULL;
    tstate_ended(&main->tstate);
    tstate_ended(&current->tstate);
    if (thread_last == here) thread_last = NULL;
    memset(here, 0, sizeof *here);
    here->next = unused;
    unused = here;
    /* From here on Python code may run; nothing refers to the struct any more. */
    while (dropped != NULL) {
        struct greenlet *greenlet = thread_linked(dropped);
        dropped = dropped->next;
        greenlet->link.next = &greenlet->link;
        Py_DECREF(greenlet);
    }
    Py_DECREF(main);
    Py_DECREF(current);
    Py_XDECREF(tracer);
    Py_XDECREF(hooks);
    Py_XDECREF(hub);
}

/* Destructor of the capsule in the thread state's dict: runs when the thread state is cleared, usually by the
 * thread itself, after a fork or at the end of the interpreter by another one. */
static void thread_ends(PyObject *capsule)
{
    struct thread *here = PyCapsule_GetPointer(capsule, KEY);
    if (here == NULL) {
        PyErr_Clear();
        return;
    }
    if (here->tstate == NULL) return;
    PyObject *pending = PyErr_GetRaisedException();
    end(here);
    if (pending != NULL) PyErr_SetRaisedException(pending);
}

static struct thread *make(PyThreadState *ts, PyObject *dict)
{
    struct thread *here = unused;
    if (here != NULL)
        unused = here->next;
    else if ((here = calloc(1, sizeof *here)) == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    memset(here, 0, sizeof *here);
    here->started.next = here->started.previous = &here->started;
    here->doomed.next = here->doomed.previous = &here->doomed;

    struct greenlet *main = thread_new_main();
    if (main == NULL) goto failed;
    main->thread = here;
    here->main = main;
    here->current = (struct greenlet *)Py_NewRef(main);
    datastack_init(&here->pool);
    lanes_init(&here->lanes, &main->guest, thread_entry);
    here->lanes.evicting = evicting;
    here->lanes.loaded = loaded;
    here->guarded = &here->lanes.native;
    here->tstate = ts;
    here->id = ts->id;
    PyObject *capsule = PyCapsule_New(here, KEY, thread_ends);
    if (capsule == NULL) {
        here->tstate = NULL;
        goto failed_main;
    }
    int status = PyDict_SetItem(dict, key, capsule);
    if (status < 0) here->tstate = NULL; /* tells the destructor that there is nothing to take apart */
    Py_DECREF(capsule);
    if (status == 0) return here;

failed_main:
    main->thread = NULL;
    main->face.state = SWITCH_DEAD;
    main->guest.lane = NULL;
    Py_DECREF(main);
    Py_DECREF(main);
failed:
    here->next = unused;
    unused = here;
    return NULL;
}

struct thread *thread_find(void)
{
    PyThreadState *ts = PyThreadState_Get();
    PyObject *dict = PyThreadState_GetDict();
    struct thread *here;
    if (dict == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this thread is ending: it can have no greenlets any more");
        return NULL;
    }
    PyObject *capsule = PyDict_GetItemWithError(dict, key);
    if (capsule != NULL)
        here = PyCapsule_GetPointer(capsule, KEY);
    else if (PyErr_Occurred())
        return NULL;
    else
        here = make(ts, dict);
    if (here != NULL && here->tstate == ts) thread_last = here;
    return here;
}

static void note_tracing(struct thread *here)
{
    if (here->tracer != NULL || here->hooks != NULL)
        here->attention |= THREAD_TRACED;
    else
        here->attention &= ~(unsigned)THREAD_TRACED;
}

void thread_set_tracer(struct thread *here, PyObject *tracer)
{
    PyObject *old = here->tracer;
    here->tracer = Py_XNewRef(tracer);
    note_tracing(here);
    Py_XDECREF(old);
}

/* Hooks are a tuple that is replaced as a whole, so that a walk along it is never disturbed. */
static void set_hooks(struct thread *here, PyObject *hooks)
{
    PyObject *old = here->hooks;
    here->hooks = hooks;
    note_tracing(here);
    Py_XDECREF(old);
}

int thread_add_hook(struct thread *here, PyObject *hook)
{
    Py_ssize_t count = here->hooks != NULL ? PyTuple_GET_SIZE(here->hooks) : 0;
    PyObject *hooks = PyTuple_New(count + 1);
    if (hooks == NULL) return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        PyTuple_SET_ITEM(hooks, i, Py_NewRef(PyTuple_GET_ITEM(here->hooks, i)));
    PyTuple_SET_ITEM(hooks, count, Py_NewRef(hook));
    set_hooks(here, hooks);
    return 0;
}

int thread_remove_hook(struct thread *here, PyObject *hook)
{
    Py_ssize_t count = here->hooks != NULL ? PyTuple_GET_SIZE(here->hooks) : 0, found = 0;
    while (found < count && PyTuple_GET_ITEM(here->hooks, found) != hook) found++;
    if (found == count) {
        PyErr_Format(PyExc_ValueError, "%R is not a switch hook of this thread", hook);
        return -1;
    }
    PyObject *hooks = count > 1 ? PyTuple_New(count - 1) : NULL;
    if (hooks == NULL && count > 1) return -1;
    for (Py_ssize_t i = 0, j = 0; i < count; i++)
        if (i != found) PyTuple_SET_ITEM(hooks, j++, Py_NewRef(PyTuple_GET_ITEM(here->hooks, i)));
    set_hooks(here, hooks);
    return 0;
}
