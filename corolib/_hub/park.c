/* The one wait.
 *
 *     park_begin()   may this greenlet wait? (not the hub's; a kill that is pending comes first)
 *     park_wait()    IDLE -> WAITING, then the switch to the hub, or straight to who is next in the ready
 * queue park_wake()    WAITING -> READY: takes the record out of all it waits in, then queues the greenlet
 *     park_resume()  READY -> RESUMED: the hub hands the value over and switches
 *     park_wait()    RESUMED -> IDLE, returns the value
 *
 * Only one party can move a record from WAITING to READY, so delivery is exactly once. A greenlet that is
 * resumed by somebody else's switch() or throw() finds its record in WAITING (then it leaves what it waits
 * in, as if it had never come) or in READY (then the value it was given goes back through kind->undo, an
 * error becomes pending). The entry that is left in the ready queue is stale: park_resume() passes over a
 * greenlet whose record is not READY.
 *
 * A record in WAITING owns a reference to its greenlet: whoever waits is alive, as a blocked thread is. */
#include "park.h"

#include <math.h>

static const struct park_kind kind_yield = {.name = "sleep"};
static const struct park_kind kind_start = {.name = "start"};

static PyObject *take_pending(struct park *park)
{
    if (park->pending == NULL) return NULL;
    PyObject *error = Py_NewRef(PyList_GET_ITEM(park->pending, 0));
    if (PyList_GET_SIZE(park->pending) == 1)
        Py_CLEAR(park->pending);
    else
        PyList_SetSlice(park->pending, 0, 1, NULL);
    return error;
}

static void raise_instance(PyObject *error)
{
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
}

static void link_parked(struct park *park)
{
    struct hub *hub = park->hub;
    park->down = hub->parked;
    park->link = &hub->parked;
    if (park->down != NULL) park->down->link = &park->down;
    hub->parked = park;
    hub->parked_count++;
}

static void unlink_parked(struct park *park)
{
    *park->link = park->down;
    if (park->down != NULL) park->down->link = park->link;
    park->hub->parked_count--;
}

bool park_in_turn(PyObject *entry)
{
    if (!hub_is_greenlet(entry)) return true;
    struct park *park = hub_face(entry)->park;
    return park != NULL && park->state == PARK_READY && park->kind == &kind_yield;
}

/* Out of everything a record in WAITING stands in; the reference `held` stays. Runs no Python code. */
static inline __attribute__((always_inline)) void leave_all(struct park *park)
{
    if (deadline_active(&park->deadline)) deadline_remove(&park->hub->deadlines, &park->deadline);
    unlink_parked(park);
    if (park->counted) park->hub->live--;
    if (park->kind->external) park->hub->outside--;
    if (park->kind->leave != NULL) park->kind->leave(park);
}

static int deliver(struct park *park, PyObject *value, bool raises)
{
    if (park->state != PARK_WAITING) return 0;
    /* With the reference that the record has had. */
    if (ready_hand_in(&park->hub->ready, park->greenlet) < 0) return -1;
    inbox_kick(park->hub);
    leave_all(park);
    park->value = Py_NewRef(value);
    park->raises = raises;
    park->state = PARK_READY;
    return 1;
}

int park_wake(struct park *park, PyObject *value)
{
    return deliver(park, value, false);
}

int park_wake_error(struct park *park, PyObject *error)
{
    return deliver(park, error, true);
}

/* A wait's time ran out. Called by the loop, in the hub. */
void park_due(struct deadline *node)
{
    struct park *park = (struct park *)((char *)node - offsetof(struct park, deadline));
    if (deliver(park, hub_timed_out, false) >= 0) return;
    /* No memory for the queue: the wait goes on for a moment. The slot just given up is there, so adding
     * cannot fail. */
    PyErr_Clear();
    deadline_add(&park->hub->deadlines, node, deadline_now(&park->hub->deadlines) + 0.01);
}

struct park *park_of(PyObject *greenlet)
{
    struct switch_face *face = hub_face(greenlet);
    if (face->park != NULL) return face->park;
    struct park *park = PyMem_Calloc(1, sizeof *park);
    if (park == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    park->greenlet = greenlet;
    deadline_init(&park->deadline, DEADLINE_PARK);
    return face->park = park;
}

/* A record that waits owns a reference, and so does the queue of a hub that a thread has, which is not
 * visited for that (hub.c). So a collection costs next to nothing for each of those that do nothing, however
 * much they have in their frames. */
bool park_held(const void *pointer)
{
    const struct park *park = pointer;
    return park->state == PARK_WAITING || (park->state == PARK_READY && park->hub->keepers > 0);
}

int park_traverse(void *pointer, visitproc visit, void *arg)
{
    struct park *park = pointer;
    Py_VISIT(park->value);
    Py_VISIT(park->pending);
    return 0;
}

void park_clear(void *pointer)
{
    struct park *park = pointer;
    if (park->state == PARK_READY) park->state = PARK_IDLE; /* in a queue that nobody runs any more */
    Py_CLEAR(park->value);
    Py_CLEAR(park->pending);
}

void park_free(void *pointer)
{
    struct park *park = pointer;
    /* Nobody waits without a reference, so the record stands in no list and no heap. */
    Py_CLEAR(park->value);
    Py_CLEAR(park->pending);
    PyMem_Free(park);
}

int park_raise_pending(PyObject *greenlet)
{
    struct park *park = hub_face(greenlet)->park;
    PyObject *error = park == NULL ? NULL : take_pending(park);
    if (error == NULL) return 0;
    raise_instance(error);
    Py_DECREF(error);
    return 1;
}

struct park *park_begin(void)
{
    struct hub *hub = hub_here();
    return hub == NULL ? NULL : park_begin_in(hub);
}

/* What is not so every time: the greenlet's first wait, an interrupt that is pending, a value that is not
 * wanted. */
struct park *park_begin_slowly(struct hub *hub, PyObject *self)
{
    if (self == hub->self) {
        PyErr_SetString(hub_error_blocking, "the hub cannot wait: a callback of the loop called something "
                                            "that blocks; spawn a greenlet there");
        return NULL;
    }
    struct park *park = park_of(self);
    if (park == NULL) return NULL;
    if (!park->shielded && park_raise_pending(self)) return NULL;
    if (park->value != NULL) {
        /* Queued for its start by spawn_raw(), but started by somebody else's switch(); or it has just been
         * resumed, and the value is on its way. */
        if (park->state == PARK_READY) park->state = PARK_IDLE;
        Py_CLEAR(park->value);
    }
    return park;
}

/* Somebody other than the hub has resumed us, with `value` or (NULL) an exception. */
static PyObject *resumed_by_other(struct park *park, PyObject *value)
{
    bool foreign = park->kind->foreign;
    park->vanished = false;
    if (park->state == PARK_WAITING) {
        leave_all(park);
        park->state = PARK_IDLE;
        Py_DECREF(park->greenlet); /* we run: the thread's `current` has one */
    } else if (park->state == PARK_READY) {
        PyObject *lost = park->value;
        park->value = NULL;
        park->state = PARK_IDLE;
        PyObject *type, *error, *tb;
        PyErr_Fetch(&type, &error, &tb);
        if (park->raises) {
            /* An error that has not arrived is raised at the next wait. */
            if (park->pending == NULL) park->pending = PyList_New(0);
            if (park->pending == NULL || PyList_Insert(park->pending, 0, lost) < 0)
                PyErr_WriteUnraisable(park->greenlet);
        } else if (park->kind->undo != NULL) {
            park->kind->undo(park, lost);
            if (PyErr_Occurred()) PyErr_WriteUnraisable(park->greenlet);
        }
        Py_XDECREF(lost);
        PyErr_Restore(type, error, tb);
    }
    if (value == NULL || foreign) return value;
    PyErr_Format(hub_error_invalid_switch,
                 "a greenlet that waits (%s) was switched to with %R by something other than its hub",
                 park_name(park), value);
    Py_DECREF(value);
    return NULL;
}

/* What a READY record holds, for the switch to its greenlet: the value (owned), or NULL with the exception
 * set. The record keeps it as well, until its greenlet has arrived: the switch may fail. */
static PyObject *offer_delivery(struct park *park)
{
    park->state = PARK_RESUMED;
    if (!park->raises) return Py_NewRef(park->value);
    raise_instance(park->value);
    return NULL;
}

/* A tracer's exception has taken the place of what was delivered, so this is its end, which may run any code.
 */
static __attribute__((noinline)) void drop_aside(PyObject *kept)
{
    PyObject *type, *error, *tb;
    PyErr_Fetch(&type, &error, &tb);
    Py_DECREF(kept);
    PyErr_Restore(type, error, tb);
}

/* The greenlet of this record has arrived, with the value in its hands or the exception set. */
static inline void arrived(struct park *park)
{
    PyObject *kept = park->value;
    park->state = PARK_IDLE;
    park->value = NULL;
    if (kept == NULL) return; /* it has waited inside, see switch_away_from() */
    if (__builtin_expect(Py_REFCNT(kept) > 1, 1))
        Py_DECREF(kept);
    else
        drop_aside(kept);
}

/* A transfer() has failed. If that was for want of memory before anybody has moved, the greenlet stands in
 * the queue once more, with its delivery: 1. Else 0: somebody has been there. */
static int put_back(struct hub *hub, struct park *park)
{
    if (park->state != PARK_RESUMED || park->value == NULL || !PyErr_ExceptionMatches(PyExc_MemoryError))
        return 0;
    /* Cannot fail: the place that it had in the queue is free. */
    if (ready_push(&hub->ready, park->greenlet) < 0) return 0;
    park->state = PARK_READY;
    return 1;
}

/* The one to run next if it can be switched to straight from here: a greenlet that stands at the front of the
 * queue with its delivery, while there is no need to poll yet. This halves the switches of greenlets that
 * hand work to each other. */
static inline __attribute__((always_inline)) struct park *next_in_line(struct hub *hub)
{
    PyObject *entry = ready_peek(&hub->ready);
    if (entry == NULL || !hub_is_greenlet(entry)) return NULL;
    struct park *next = hub_face(entry)->park;
    if (next == NULL || next->state != PARK_READY || next->kind == &kind_start) return NULL;
    if (hub_held_up(entry)) return NULL;
    return hub_budget(hub) ? next : NULL;
}

/* Leaves, for the hub or for who is next in line. Returns what park_wait() returns. One function with its
 * callers: each more would stand on the stack of all that wait. */
static inline __attribute__((always_inline)) PyObject *switch_away(struct park *park)
{
    struct hub *hub = park->hub;
    struct park *next = next_in_line(hub);
    PyObject *value;
    if (next == NULL) {
        value = engine->transfer(hub->self, Py_NewRef(Py_None));
    } else {
        PyObject *entry = next->greenlet;
        ready_advance(&hub->ready);
        value = offer_delivery(next);
        if (next == park) {
            arrived(park);
            Py_DECREF(entry); /* we run: the thread's `current` has one */
            return value;
        }
        hub->handed = entry;
        value = engine->transfer(entry, value);
        if (__builtin_expect(value == NULL && hub->handed == entry && put_back(hub, next), 0)) {
            Py_CLEAR(hub->handed); /* the queue has one */
            return resumed_by_other(park, NULL);
        }
    }
    if (park->state == PARK_RESUMED) {
        Py_CLEAR(hub->handed); /* ourselves, if it is set: never the last reference */
        arrived(park);
        return value;
    }
    return resumed_by_other(park, value);
}

/* Whoever arrives may run a destructor of what was left behind, or end what others have dropped, before it
 * has seen that it is resumed; and that may wait, too. The wait outside is still over after the one inside.
 */
static inline __attribute__((always_inline)) PyObject *switch_away_from(struct park *park, bool resumed)
{
    PyObject *value = switch_away(park);
    if (resumed) park->state = PARK_RESUMED;
    return value;
}

PyObject *park_wait(struct park *park, const struct park_kind *kind, PyObject *object, double timeout)
{
    struct hub *hub = park->hub;
    bool resumed = park->state == PARK_RESUMED;
    park->kind = kind;
    park->object = object;
    park->since = hub->now;
    park->turn++;
    if (timeout >= 0 &&
        deadline_add(&hub->deadlines, &park->deadline, deadline_now(&hub->deadlines) + timeout) < 0) {
        if (kind->leave != NULL) kind->leave(park);
        return PyErr_NoMemory();
    }
    park->counted = kind->external || (timeout >= 0 && !kind->unref);
    if (park->counted) hub->live++;
    if (kind->external) hub->outside++;
    link_parked(park);
    park->state = PARK_WAITING;
    Py_INCREF(park->greenlet);
    return switch_away_from(park, resumed);
}

int park_yield(struct park *park)
{
    bool resumed = park->state == PARK_RESUMED;
    if (ready_push(&park->hub->ready, park->greenlet) < 0) return -1;
    park->kind = &kind_yield;
    park->object = NULL;
    park->turn++;
    park->value = Py_NewRef(Py_None);
    park->raises = false;
    park->state = PARK_READY;
    PyObject *value = switch_away_from(park, resumed);
    if (value == NULL) return -1;
    Py_DECREF(value);
    return 0;
}

int park_give_way(struct hub *hub)
{
    if (hub == NULL) return PyErr_Occurred() ? -1 : 0;
    if (hub->thread->current == hub->self) return 0;
    struct park *park = park_begin_in(hub);
    return park == NULL ? -1 : park_yield(park);
}

int park_start(struct hub *hub, PyObject *greenlet, PyObject *value)
{
    struct park *park = park_of(greenlet);
    if (park == NULL) return -1;
    if (inbox_push(hub, greenlet) < 0) return -1;
    park->hub = hub;
    park->kind = &kind_start;
    park->object = NULL;
    park->value = Py_NewRef(value);
    park->raises = false;
    park->state = PARK_READY;
    return 0;
}

void park_unstart(PyObject *greenlet)
{
    struct park *park = hub_face(greenlet)->park;
    if (park == NULL || park->state != PARK_READY || park->kind != &kind_start) return;
    park->state = PARK_IDLE; /* its entry in the ready queue is stale now */
    Py_CLEAR(park->value);
}

/* No memory: the hub tries again after what else is ready, and a poll. */
static int nothing_done(void)
{
    PyErr_Clear();
    return 0;
}

static int start_now(struct hub *hub, PyObject *greenlet)
{
    struct switch_face *face = hub_face(greenlet);
    struct park *park = face->park;
    PyObject *value = park->value, *result;
    park->value = NULL;
    park->state = PARK_IDLE;
    if (face->state != SWITCH_FRESH) { /* started, or finished, by somebody else's switch() */
        Py_DECREF(value);
        return 0;
    }
    /* Killed before it ran. One with a boot function sees to it itself. */
    if (face->boot == NULL && park_raise_pending(greenlet))
        result = engine->transfer(greenlet, NULL);
    else
        result = engine->transfer(greenlet, Py_NewRef(value));
    if (result == NULL && face->state == SWITCH_FRESH && PyErr_ExceptionMatches(PyExc_MemoryError) &&
        ready_push(&hub->ready, greenlet) == 0) {
        park->value = value;
        park->state = PARK_READY;
        return nothing_done();
    }
    int rc = result == NULL ? loop_report(hub, greenlet) : 0;
    Py_XDECREF(result);
    Py_DECREF(value);
    return rc;
}

int park_resume(struct hub *hub, PyObject *greenlet)
{
    struct park *park = hub_face(greenlet)->park;
    if (park == NULL || park->state != PARK_READY) return 0;
    if (hub_held_up(greenlet)) return ready_push(&hub->ready, greenlet);
    if (park->kind == &kind_start) return start_now(hub, greenlet);
    PyObject *result = engine->transfer(greenlet, offer_delivery(park));
    if (result == NULL) return put_back(hub, park) ? nothing_done() : loop_report(hub, greenlet);
    Py_DECREF(result);
    return 0;
}

int park_interrupt(PyObject *greenlet, PyObject *error)
{
    if (hub_face(greenlet)->state == SWITCH_DEAD) return 0;
    struct park *park = park_of(greenlet);
    if (park == NULL) return -1;
    if (park->vanished) return 1; /* as good as delivered */
    if (park->state == PARK_WAITING && !park->shielded) return park_wake_error(park, error);
    if (park->state == PARK_READY && park->kind == &kind_yield && !park->raises && !park->shielded) {
        Py_SETREF(park->value, Py_NewRef(error));
        park->raises = true;
        return 1;
    }
    if (park->pending == NULL && (park->pending = PyList_New(0)) == NULL) return -1;
    return PyList_Append(park->pending, error);
}

int park_shield(bool on)
{
    PyObject *self = hub_current();
    struct park *park = self == NULL ? NULL : park_of(self);
    if (park == NULL) return -1;
    bool was = park->shielded;
    park->shielded = on;
    return was;
}

void park_forget_pending(PyObject *greenlet)
{
    struct park *park = hub_face(greenlet)->park;
    if (park != NULL) Py_CLEAR(park->pending);
}

int park_cancel_interrupt(PyObject *greenlet, PyObject *error)
{
    struct park *park = hub_face(greenlet)->park;
    if (park == NULL || park->pending == NULL) return 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(park->pending); i++) {
        if (PyList_GET_ITEM(park->pending, i) != error) continue;
        if (PyList_SetSlice(park->pending, i, i + 1, NULL) < 0) return -1;
        if (PyList_GET_SIZE(park->pending) == 0) Py_CLEAR(park->pending);
        return 1;
    }
    return 0;
}

/* What a READY record holds will not arrive. */
static void give_back(struct park *park)
{
    PyObject *lost = park->value;
    park->value = NULL;
    park->state = PARK_IDLE;
    if (!park->raises && park->kind->undo != NULL) park->kind->undo(park, lost);
    if (PyErr_Occurred()) PyErr_WriteUnraisable(park->greenlet);
    Py_DECREF(lost);
}

void park_vanish(PyObject *greenlet)
{
    struct park *park = hub_face(greenlet)->park;
    if (park == NULL || park->vanished) return;
    park->vanished = true;
    if (park->state == PARK_WAITING) {
        leave_all(park);
        park->state = PARK_IDLE; /* and the reference that it had stays for ever */
        return;
    }
    Py_INCREF(greenlet);
    if (park->state != PARK_READY) return;
    if (park->kind == &kind_start) /* its entry in the ready queue is stale in either case */
        park_unstart(greenlet);
    else
        give_back(park);
}

void park_vanish_all(struct hub *hub)
{
    while (hub->parked != NULL) park_vanish(hub->parked->greenlet);
    /* What one gives back may make another one ready, behind it. */
    for (size_t i = 0; i < hub->ready.len; i++) {
        PyObject *entry = hub->ready.ring[(hub->ready.head + i) & (hub->ready.cap - 1)];
        if (hub_is_greenlet(entry)) park_vanish(entry);
    }
}

void park_abandon(struct hub *hub)
{
    struct park *park;
    while ((park = hub->parked) != NULL) {
        leave_all(park);
        park->state = PARK_IDLE;
        park->object = NULL;
        /* May be the last: then the engine throws GreenletExit into it, and its clean-up runs here. */
        Py_DECREF(park->greenlet);
    }
    /* Who has been woken and will not run any more gives back what it was handed: another thread may wait for
     * it. */
    PyObject *entry;
    while ((entry = ready_take(&hub->ready)) != NULL) {
        park = hub_is_greenlet(entry) ? hub_face(entry)->park : NULL;
        if (park != NULL && park->state == PARK_READY) {
            if (park->kind == &kind_start)
                park_unstart(entry);
            else
                give_back(park);
        }
        Py_DECREF(entry);
    }
}

int park_timeout(PyObject *argument, double *timeout)
{
    if (argument == NULL || argument == Py_None) {
        *timeout = PARK_FOREVER;
        return 0;
    }
    double seconds = PyFloat_AsDouble(argument);
    if (seconds == -1.0 && PyErr_Occurred()) return -1;
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "timeout is NaN; expected seconds, or None for no limit");
        return -1;
    }
    /* libev and the clock count in doubles: a century is as good as for ever. */
    *timeout = seconds < 0 ? 0 : seconds > 3.2e9 ? 3.2e9 : seconds;
    return 0;
}

const char *park_name(const struct park *park)
{
    if (park->label != NULL) {
        const char *text = PyUnicode_AsUTF8(park->label);
        if (text != NULL) return text;
        PyErr_Clear(); /* a lone surrogate */
    }
    if (park->kind->name != NULL) return park->kind->name;
    return park->object != NULL ? Py_TYPE(park->object)->tp_name : "wait";
}
