/* The hub of a thread: one struct made of one part per file, and how to get at it.
 *
 * Everything here is touched with the GIL held, by any thread; only the libev loop itself belongs to the
 * hub's own thread alone. */
#ifndef COROLIB_HUB_HUB_H
#define COROLIB_HUB_HUB_H

#include <Python.h>
#include <evapi.h>
#include <hubapi.h>
#include <stdbool.h>
#include <sys/types.h>

#include "deadline.h"
#include "ready.h"

struct park;
struct fd_side;

struct hub {
    PyObject *self;               /* borrowed: the Hub object this struct is the tail of */
    struct switch_thread *thread; /* whose hub it is */
    struct ev_loop *loop; /* borrowed: owned by the Python Loop that the Hub keeps; NULL before __init__ */
    struct ready ready;
    PyObject *
        handed; /* owned: the greenlet that another one is switching to, past the hub; it drops this itself */
    struct deadline_heap deadlines;
    double now; /* the deadline clock as read last by the loop: for `since` */

    /* loop.c */
    ev_timer alarm;          /* armed for the earliest deadline while the loop blocks */
    double alarm_at;         /* what it is armed for */
    ev_io signal_io;         /* main thread: the wakeup descriptor of Python's signal handlers */
    int signal_pipe[2];      /* its pipe, -1 -1 without */
    int signal_chained;      /* the user's wakeup descriptor that was there before, or -1 */
    PyThreadState *released; /* while the GIL is released around the poll */
    size_t unpolled;   /* entries run since the last poll; HUB_POLL_ENTRIES or more: it is time for one */
    size_t clock_mask; /* the clock is read at entries whose number has none of these bits */
    size_t batch;      /* how many more were ready by its end */
    size_t polls;      /* how often the loop has looked at the descriptors */
    double polled_at;
    unsigned char hope;  /* so many sleeps more are put off in the hope that something comes; see put_off() */
    unsigned char doubt; /* so many sleeps more say nothing about hope */
    double patience; /* virtual clock: seconds of the machine's that the world outside gets before a jump */
    bool polling;    /* the loop is going to block, or does: a wake-up must be written to `wakeup` */
    bool destroyed;

    /* lost.c */
    int epoll_fd; /* libev's, -1 if it has none */
    bool polled;  /* the kernel knows by now what libev is to watch */
    bool lost; /* a descriptor of the hub's own is closed, or about to be: all are made anew before the next
                  poll */
    ino_t signal_inode;   /* of signal_pipe: a pipe is known by it */
    bool watches_signals; /* between loop_leave() and loop_enter(): it has such a pipe, */
    int next_wakeup;      /* and what the new loop is to be woken by */

    /* hub.c */
    struct hub_tie *tie; /* owned */

    /* keeper.c */
    unsigned keepers; /* references that the collector does not know of: a thread has this hub */

    /* inbox.c */
    ev_io wakeup; /* an eventfd that other threads write to */
    bool kicked;  /* and have written to */

    /* park.c */
    struct park *parked; /* all that wait here, newest first */
    Py_ssize_t parked_count;
    Py_ssize_t
        live; /* waits, timers and watchers that something outside can still end; 0: maybe a deadlock */
    Py_ssize_t outside;  /* of these, those that end by more than their time: descriptors and the like */
    Py_ssize_t external; /* jobs of a thread pool and the like */

    /* fd.c */
    struct fd_side **sides; /* by descriptor number: the sides that watch it, a linked list each */
    Py_ssize_t sides_len;
    struct fd_side *orphans; /* sides dropped by another thread, to be stopped and freed by ours */
    int *changed;            /* numbers whose watchers were started or stopped since the last poll */
    Py_ssize_t changed_len, changed_cap;
    char *scratch; /* receive buffer of SCRATCH_SIZE bytes, made on first use */

    unsigned long thread_ident;
    pid_t pid; /* the process it was opened in, or reopened after a fork */
};

#define SCRATCH_SIZE 65536

/* What stood in the ready queue at the end of a poll is run before the next one: whatever that found would
 * stand behind it anyway. What comes after may follow within these bounds: a poll costs about as much as four
 * switches, and 50 us of delay are less than one wake-up of a sleeping process. */
#define HUB_POLL_ENTRIES 64
#define HUB_POLL_SECONDS 50e-6
/* Reading the clock costs a quarter of a switch, so it is read at every eighth entry; at each one once they
 * have proved so slow that this is nothing beside them. */
#define HUB_CLOCK_MASK 7

/* Counts one entry of the ready queue: whether another one may follow before the next poll. */
static inline bool hub_budget(struct hub *hub)
{
    hub->unpolled++;
    if (hub->batch > 0) {
        hub->batch--;
        return true;
    }
    if (hub->unpolled >= HUB_POLL_ENTRIES) {
        if (hub->unpolled == HUB_POLL_ENTRIES) hub->clock_mask = HUB_CLOCK_MASK; /* so many in time: quick */
        return false;
    }
    /* What a seed decides must not depend on the time. */
    if ((hub->unpolled & hub->clock_mask) != 0 || hub->ready.in_turn != NULL ||
        deadline_now(&hub->deadlines) - hub->polled_at < HUB_POLL_SECONDS)
        return true;
    hub->clock_mask = hub->unpolled <= HUB_CLOCK_MASK + 1 ? 0 : HUB_CLOCK_MASK;
    hub->unpolled = HUB_POLL_ENTRIES; /* whoever asks next gets the same answer, until the poll */
    return false;
}

/* Whoever finds work again and again lets others run, be it a peer that is always faster or a queue that it
 * keeps filled for itself: after so many times, as many as the loop runs entries between two polls, or when
 * nothing has been polled for so long, however much of the time was the program's own. The threads of the
 * standard library give way as often. */
#define HUB_FAIR_STREAK 64
#define HUB_FAIR_SECONDS 5e-3

static inline bool hub_held_long(struct hub *hub)
{
    /* What a seed decides must not depend on the time. */
    if (hub->ready.in_turn != NULL || deadline_now(&hub->deadlines) - hub->polled_at < HUB_FAIR_SECONDS)
        return false;
    hub->batch = 0; /* others may be ready that only a poll finds */
    hub->unpolled = HUB_POLL_ENTRIES;
    return true;
}

/* The engine's table; set once at import. */
extern const struct switch_hubapi *engine;
/* libev's functions, as corolib._ev hands them over; set when the first hub is made. */
extern const struct evapi *hub_ev;
/* Native threads that cannot wake anybody (idle workers of a pool): no reason to wait for ever. */
extern Py_ssize_t hub_idle_threads;
/* corolib.errors: owned, set once at import. */
extern PyObject *hub_error_blocking, *hub_error_invalid_switch, *hub_error_concurrent, *hub_error_thread;
extern PyObject *hub_name_handle_error; /* interned */
/* The type of the greenlet that stood in a ready queue last; compared only, it may be gone. */
extern PyTypeObject *hub_usual;
/* Singleton that a wait returns when its time ran out. */
extern PyObject *hub_timed_out;

static inline struct switch_face *hub_face(PyObject *greenlet)
{
    return (struct switch_face *)greenlet;
}

/* Whether an entry of the ready queue is one: all others are of types that were there before any greenlet. */
static inline bool hub_is_greenlet(PyObject *entry)
{
    if (Py_TYPE(entry) == hub_usual) return true;
    if (!PyObject_TypeCheck(entry, engine->type)) return false;
    hub_usual = Py_TYPE(entry);
    return true;
}

/* Whether a switch to it is refused for now: see held_up in hubapi.h. */
static inline bool hub_held_up(PyObject *greenlet)
{
    return *engine->collector != NULL && engine->held_up(greenlet);
}

extern Py_ssize_t hub_offset; /* where struct hub begins in a Hub object */
/* The struct behind a Hub object (which must be one). */
static inline struct hub *hub_core(PyObject *hub)
{
    return (struct hub *)((char *)hub + hub_offset);
}
bool hub_check(PyObject *object);
/* The thread sleeps, with the GIL given up: the system is short of something for the moment. */
void hub_pause(long milliseconds);
/* For who knows a hub without owning it: whether it is still there. */
struct hub_tie {
    Py_ssize_t count; /* the hub, and all who know it by this */
    struct hub *hub;  /* borrowed; NULL once it is gone */
};
static inline void hub_untie(struct hub_tie *tie)
{
    if (tie != NULL && --tie->count == 0) PyMem_Free(tie);
}
/* What hangs in the thread's slot: a reference to the hub that destroys it when the thread ends. A reference
 * alone would not do: waits, timers and watchers that are active hold themselves and with them the hub, whose
 * descriptors would be lost with each such thread. */
struct keeper {
    PyObject_HEAD PyObject *hub; /* owned; NULL: it was let go in time */
};
/* For a thread without one, or whose hub is being destroyed. */
struct hub *hub_make(struct switch_thread *here);
/* The hub of this thread, made on demand by the factory; borrowed. NULL with an exception set. */
static inline struct hub *hub_here(void)
{
    struct switch_thread *here = engine->thread();
    if (__builtin_expect(here != NULL && here->hub != NULL, 1)) {
        struct hub *hub = hub_core(((struct keeper *)here->hub)->hub);
        if (__builtin_expect(!hub->destroyed, 1)) return hub;
    }
    return hub_make(here);
}
/* The current greenlet of this thread, borrowed. NULL with an exception set. */
static inline PyObject *hub_current(void)
{
    struct switch_thread *here = engine->thread();
    return here != NULL ? here->current : NULL;
}
/* hub_here(), but NULL if there is none (check PyErr_Occurred() for a failure). */
struct hub *hub_if_exists(void);
/* Make `hub` (borrowed, or NULL) this thread's. 0 or -1. */
int hub_set(PyObject *hub);
/* What makes a thread's hub: a callable without arguments (borrowed). */
void hub_set_factory(PyObject *callable);
/* This thread has it no more, if it had it (keeper.c, as are those above). */
void hub_forget(PyObject *hub);
int keeper_setup(void);
/* The method of the same name. */
PyObject *hub_run_callback(PyObject *hub, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
extern PyType_Spec hub_face_spec; /* face.c */
/* Makes the type and adds it to the module. */
int hub_setup(PyObject *module);
/* Wakes a hub that blocks in its poll and has not been woken (inbox.c). */
void inbox_write(struct hub *hub);
/* function(argument), which wakes a hub of another thread: its result. That hub is written to with the GIL
 * given up: woken by a thread that keeps it, it would run only to wait for it, two changes of threads for
 * nothing. */
PyObject *inbox_tell(PyObject *function, PyObject *argument);
int inbox_setup(void);
/* Wakes a hub that blocks in its poll; nothing if it does not. */
static inline void inbox_kick(struct hub *hub)
{
    if (hub->polling && !hub->kicked) inbox_write(hub);
}
/* Appends `entry` (a greenlet or a ready_item; a new reference is taken) and sees to it that the hub notices,
 * whichever thread we are on. -1 with MemoryError set. */
static inline int inbox_push(struct hub *hub, PyObject *entry)
{
    if (ready_push(&hub->ready, entry) < 0) return -1;
    inbox_kick(hub);
    return 0;
}
/* A descriptor for the wake-ups, and the watcher of it. -1 with OSError set. */
int inbox_descriptor(void);
void inbox_enter(struct hub *hub, int fd);
int inbox_open(struct hub *hub);
/* Without closing the descriptor, which may not be ours any more. */
void inbox_leave(struct hub *hub);
void inbox_close(struct hub *hub);

/* Hub methods for tests: the clock that stands still, the order that is shuffled. (virtual.c) */
PyObject *virtual_stop_clock(PyObject *self, PyObject *args);
PyObject *virtual_run_clock(PyObject *self, PyObject *unused);
PyObject *virtual_move_clock(PyObject *self, PyObject *seconds);
PyObject *virtual_shuffle(PyObject *self, PyObject *seed);

/* Calls hub.handle_error(context, the exception that is set). 0, or -1 with an exception set if the hub
 * itself is to end. Never call it inside libev's dispatch: it may switch. (loop.c) */
int loop_report(struct hub *hub, PyObject *context);
/* What the Hub greenlet runs. */
PyObject *loop_boot(PyObject *self, PyObject *value);
int loop_open(struct hub *hub, bool watch_signals);
void loop_close(struct hub *hub);
/* In the child of a fork, at once: descriptors of its own. */
void loop_after_fork(struct hub *hub);
/* The two halves of moving to another loop of libev's: `loop_leave` stops what is watched without a system
 * call for it (0, or -1 with OSError set and nothing changed), `loop_enter` starts it again in `next`. */
int loop_leave(struct hub *hub);
void loop_enter(struct hub *hub, struct ev_loop *next);

/* The number is about to be closed: whether it is one of the hub's own. (lost.c) */
bool lost_closing(struct hub *hub, int fd);
/* Whether an end (0, 1) of the pipe for signals is still that. */
bool lost_signal_end(const struct hub *hub, int end);
/* Whether the hub's own descriptors are what they were. A system call or two. */
bool lost_intact(struct hub *hub);
/* Makes them anew if they are lost, before a poll. 1: they are there; 0: there are none to be had at the
 * moment; -1: an exception is set. */
int lost_repair(struct hub *hub);
/* Makes our pipe the wakeup descriptor of signals again, if somebody has set theirs since: ours passes them
 * on to it. The descriptor that it passed on to before, or -1. Main thread. */
int loop_chain_signals(struct hub *hub);

#endif
