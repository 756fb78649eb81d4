/* The one wait. Every blocking call of corolib ends in park_wait(); every wake-up in park_wake() or one of
 * its brothers. Delivery is exactly once: whoever changes a record from WAITING to READY has won, all others
 * come too late and know it. */
#ifndef COROLIB_HUB_PARK_H
#define COROLIB_HUB_PARK_H

#include "hub.h"

enum park_state {
    PARK_IDLE,    /* runs, or is parked by nobody's record */
    PARK_WAITING, /* in park_wait(), nothing has happened yet */
    PARK_READY,   /* has been given its value or error; stands in the ready queue */
    PARK_RESUMED, /* the hub is switching to it at this moment */
};

struct park;

/* A way of waiting; static constants. */
struct park_kind {
    const char *name; /* in reports; NULL: the type name of the object waited for */
    bool external;    /* something outside ends it, more than its time (a descriptor): never a deadlock */
    bool foreign;     /* hub.switch(): anybody may resume it, with any value */
    bool unref;       /* not even its time limit counts as something that ends it */
    /* Takes the record out of what it waits in (list, descriptor), undoing what the way in did. Must not run
     * Python code. */
    void (*leave)(struct park *);
    /* Gives back a value that was delivered but never arrived. May run Python code. */
    void (*undo)(struct park *, PyObject *value);
};

/* One per greenlet that ever waited; made at its first wait, freed with it. On the heap by the stack rule:
 * the C stack of a parked greenlet may be elsewhere. */
struct park {
    PyObject *greenlet; /* borrowed: whose record this is */
    struct hub *hub;    /* where it waits; NULL when it does not */
    const struct park_kind *kind;
    PyObject *object;         /* borrowed for the length of the wait: what it waits for */
    PyObject *value;          /* owned: what the wait will return or raise, in state READY */
    PyObject *pending;        /* owned list of exceptions for the next wait, or NULL */
    void *where;              /* the kind's own: the list or descriptor side */
    struct park *prev, *next; /* the kind's own: neighbours in a WaitList */
    struct park *down;        /* the next in hub->parked */
    struct park **link;       /* what points here in that list */
    struct deadline deadline;
    double since;  /* hub clock at the start of the wait */
    uint64_t turn; /* counts its waits and yields, to tell one from the next */
    PyObject
        *label; /* borrowed for the length of the wait: the kind's name given to park(), a str, or NULL */
    unsigned char state; /* enum park_state */
    bool raises;         /* READY: value is an exception to raise */
    bool counted;        /* WAITING: counts in hub->live */
    bool shielded; /* an interrupt becomes pending, also while it waits; set and taken down by its greenlet */
    bool vanished; /* see park_vanish() */
};

#define PARK_FOREVER (-1.0)

/* The current greenlet's record, idle, with its hub. NULL with an exception: a pending kill or timeout is
 * raised here, blocking in the hub itself is an error. */
struct park *park_begin(void);
struct park *park_begin_slowly(struct hub *hub, PyObject *self);
/* The same, where it is known which hub this thread has. */
static inline struct park *park_begin_in(struct hub *hub)
{
    PyObject *self = hub->thread->current;
    struct park *park = hub_face(self)->park;
    if (__builtin_expect(self == hub->self || park == NULL || park->pending != NULL || park->value != NULL,
                         0) &&
        (park = park_begin_slowly(hub, self)) == NULL)
        return NULL;
    park->hub = hub;
    return park;
}
/* Wait: switches to the hub until woken. `timeout` in seconds, PARK_FOREVER for none. Before the call set
 * where/prev/next as the kind needs them. Returns a new reference: the value, hub_timed_out, or NULL with an
 * exception. After it the record is idle. */
PyObject *park_wait(struct park *, const struct park_kind *, PyObject *object, double timeout);
/* Let what is ready run first: straight to the end of the ready queue. 0 or -1. */
int park_yield(struct park *);
/* The same for the current greenlet, nothing if that is the hub's, which cannot wait: 0 or -1. `hub` is this
 * thread's; NULL: there is none, which is no reason to make one, or an exception is set. */
int park_give_way(struct hub *hub);
/* End a wait with a value (borrowed) or an exception instance (borrowed). 1 if it waited, 0 if not, -1 on a
 * full memory. Any thread. */
int park_wake(struct park *, PyObject *value);
int park_wake_error(struct park *, PyObject *error);
/* Turns the shield of the current greenlet on or off; whether it was on, -1 with an exception. */
int park_shield(bool on);
/* The record of any greenlet, made if it has none; NULL with an exception set. */
struct park *park_of(PyObject *greenlet);
/* Queue a fresh greenlet for its start; `value` (borrowed) is what transfer() hands it. 0 or -1. */
int park_start(struct hub *, PyObject *greenlet, PyObject *value);
/* Take a park_start() back; nothing if the greenlet does not stand in the queue for its start. */
void park_unstart(PyObject *greenlet);
/* Sets the first pending exception of a greenlet, if there is one: 1, else 0. */
int park_raise_pending(PyObject *greenlet);
/* The greenlet is over: what is pending for it will never be raised, and may refer to it. */
void park_forget_pending(PyObject *greenlet);
/* Takes a pending exception back, by identity: 1, 0 if it is not there (any more), -1. */
int park_cancel_interrupt(PyObject *greenlet, PyObject *error);
/* Called by the loop with an entry of the ready queue that is a greenlet (borrowed). 0, or -1 to end the hub.
 */
int park_resume(struct hub *, PyObject *greenlet);
/* Deliver an exception instance: 1 at its wait, 0 pending for its next one, -1 on failure. */
int park_interrupt(PyObject *greenlet, PyObject *error);
/* Whether an entry of the ready queue keeps its turn when the queue is shuffled: a call, which is promised to
 * come after what was ready before it, and a greenlet that only lets the others run. */
bool park_in_turn(PyObject *entry);
/* The hub will not resume it any more, whatever happens: it leaves what it waits for, and gives back what it
 * was handed. It lives for ever, since its end would raise GreenletExit in it. May run Python code. */
void park_vanish(PyObject *greenlet);
/* The same for all that wait in this hub or are ready. */
void park_vanish_all(struct hub *);
/* The hub goes: forget all waits; references they hold are dropped (which kills their greenlets). */
void park_abandon(struct hub *);
/* Engine hooks: the greenlet is gone; what its record owns, for the collector. */
void park_free(void *park);
bool park_held(const void *park);
int park_traverse(void *park, visitproc visit, void *arg);
void park_clear(void *park);
/* Reads a timeout argument: None is PARK_FOREVER, negative counts as 0. -1 with TypeError or ValueError
 * (NaN). */
int park_timeout(PyObject *argument, double *timeout);
/* Name of the kind of a wait in progress; borrowed C string. */
const char *park_name(const struct park *);

#endif
