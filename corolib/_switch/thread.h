/* Floor 3: one struct per greenlet and one per thread: who runs, who was left, what is in flight.
 *
 * A "thread" here is a PyThreadState: one OS thread can have several, one after the other or nested. The
 * structs of threads are never freed but reused, so that the thread-local pointer to the last one used is
 * always safe to look at; whether it is the right one is seen by comparing the thread state and its id.
 *
 * Everything here needs the GIL.
 *
 * Invariants:
 *   here->current is the one greenlet of the thread whose state is SWITCH_CURRENT, and holds a reference to
 * it; a greenlet has a thread exactly while it is SUSPENDED or CURRENT, and is then in one list of that
 * thread; whoever arrives drops the reference to here->origin, so no greenlet is ever freed while standing on
 * its own stack. */
#ifndef COROLIB_SWITCH_THREAD_H
#define COROLIB_SWITCH_THREAD_H

#include <Python.h>

#include "hubapi.h"
#include "lane.h"
#include "tstate.h"

#define THREAD_HIDDEN __attribute__((visibility("hidden")))

struct thread;

/* Links of a ring with a head. */
struct thread_link {
    struct thread_link *next, *previous;
};

/* The object. What a switch touches comes first. */
struct greenlet {
    struct switch_face face; /* what C extensions and _hub see */
    struct thread *thread;   /* borrowed; NULL if fresh or dead */
    struct lane_guest guest;
    struct tstate tstate;
    struct greenlet *parent; /* owned; NULL for a main greenlet */
    PyObject *run;           /* owned; what to call, then what is being called */
    PyObject *args;          /* owned; with what, while it is being called */
    unsigned char kind;      /* below DATASTACK_KINDS: whose needs of frame memory are like its own */
    bool learned;            /* from what it needed */
    bool found;              /* by the collector: to be ended though its own frames refer to it */
    struct thread_link link; /* in `started` or `doomed` of the thread */
    struct tstate_seal seal; /* empty but in a checking build */
};

/* Why an arrival must take the slow way: bits of thread.attention. */
enum {
    THREAD_TRACED = 1, /* there is a tracer or a switch hook */
    THREAD_DOOMED = 2, /* other threads have dropped parked greenlets of this one */
};

struct thread {
    struct greenlet *current; /* owned */
    PyObject *hub;            /* owned or NULL; these two are struct switch_thread in hubapi.h */
    PyThreadState *tstate;    /* NULL when the struct is not in use */
    uint64_t id;              /* of the thread state: addresses are reused, ids are not */
    struct greenlet *origin;  /* owned: who was left, from the swap until the arrival */
    PyObject *value; /* owned, in flight: what the target is resumed with; NULL: the exception that is set */
    PyObject *kwargs, *run; /* owned, in flight to a fresh greenlet: value holds its arguments */
    unsigned attention;     /* THREAD_ bits */
    struct tstate_carry carry;
    const struct lane *guarded; /* the stack that the interpreter takes for ours; see tstate_guard */
    struct greenlet *main;      /* owned */
    struct lanes lanes;
    struct datastack_pool pool;
    PyObject *tracer;           /* owned or NULL */
    PyObject *hooks;            /* owned tuple or NULL */
    struct thread_link started; /* greenlets of this thread that are suspended or current, main excepted */
    struct thread_link doomed;  /* the same, dropped by others: the ring owns one reference to each */
    struct greenlet *idle;      /* objects of the raw type kept for the next ones, chained by link.next */
    unsigned idles;             /* their number */
    struct thread *next;        /* in the list of unused structs */
};

/* Set once by greenlet.c: makes the object of a main greenlet, already CURRENT. */
extern struct greenlet *(*thread_new_main)(void)THREAD_HIDDEN;
/* Set once by switch.c: what a fresh greenlet runs first. */
extern void (*thread_entry)(void) THREAD_HIDDEN;
/* Set once by reaper.c: drops the greenlets in `doomed`, which throws GreenletExit into them. */
extern void (*thread_reap)(struct thread *here) THREAD_HIDDEN;

/* The greenlet in which a collection is under way; there is one at a time in an interpreter. Borrowed. */
extern struct greenlet *thread_collector THREAD_HIDDEN;

/* Lanes for threads that have none yet. */
extern unsigned thread_lane_limit THREAD_HIDDEN;

/* The last one this OS thread used; may be stale, use thread_here(). */
extern _Thread_local struct thread *thread_last THREAD_HIDDEN __attribute__((tls_model("initial-exec")));

THREAD_HIDDEN struct thread *thread_find(void);

/* This thread's struct, made at the first use; NULL with an exception set if that is not possible. */
static inline struct thread *thread_here(void)
{
    struct thread *here = thread_last;
    /* Stale, it may have none, or one that is another's by now. */
    const PyThreadState *ts = here != NULL ? here->tstate : NULL;
    if (__builtin_expect(ts != NULL && here->id == ts->id && tstate_is_current(ts), 1)) return here;
    return thread_find();
}

/* Set or, with NULL, remove the tracer (borrowed); the old one is dropped, which may run code. */
THREAD_HIDDEN void thread_set_tracer(struct thread *here, PyObject *tracer);

/* Switch hooks: -1 with an exception; removing one that is not there is a ValueError. */
THREAD_HIDDEN int thread_add_hook(struct thread *here, PyObject *hook);
THREAD_HIDDEN int thread_remove_hook(struct thread *here, PyObject *hook);

/* Make the key of the dict entry; once per import. */
THREAD_HIDDEN int thread_init(void);

/* What the greenlet needed of frame memory, for those that come after it; once in its life. */
static inline void thread_learn(struct greenlet *greenlet, bool overflowed)
{
    if (greenlet->learned) return;
    greenlet->learned = true;
    datastack_learn(&greenlet->thread->pool, greenlet->kind, overflowed);
}

static inline void thread_link_in(struct thread_link *head, struct thread_link *link)
{
    link->next = head->next;
    link->previous = head;
    head->next->previous = link;
    head->next = link;
}

static inline void thread_link_out(struct thread_link *link)
{
    link->next->previous = link->previous;
    link->previous->next = link->next;
    link->next = link->previous = link;
}

static inline struct greenlet *thread_linked(struct thread_link *link)
{
    return (struct greenlet *)((char *)link - offsetof(struct greenlet, link));
}

#endif
