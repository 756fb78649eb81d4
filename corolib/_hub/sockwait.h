/* A Socket in memory, and the wait of a socket operation. What is done with the descriptor is in sockops.c,
 * the type itself in socket.c.
 *
 *     +------------------+ 0
 *     | _socket.socket   |  its descriptor, family, type, protocol; its own timeout, which is 0 for ever
 *     +------------------+ tp_basicsize of _socket.socket
 *     | ours             |  timeout, sides, what recv has learned
 *     +------------------+ sizeof(struct sock)
 *     | a Python class's |  its __slots__
 *     +------------------+
 *
 * _socket offers no C accessors, so its struct is declared here. socket_setup() compares size and contents
 * with a real socket at import and refuses to load if they differ. */
#ifndef COROLIB_HUB_SOCKWAIT_H
#define COROLIB_HUB_SOCKWAIT_H

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

#include "hub.h"

struct fd_side;

enum sockwait_direction { SOCKWAIT_READ, SOCKWAIT_WRITE };

/* The side of one direction in one hub. A socket is nearly always used by one thread; each further thread
 * that waits on it (several threads accepting from one listener) adds a place to the list, which goes with
 * the socket. */
struct sockwait_place {
    struct fd_side *side; /* owned; NULL if not made yet */
    struct sockwait_place *more;
};

struct sock {
    PyObject ob_base;
    /* _socket's own; the same from 3.11 to 3.15, but for the last. */
    int fd; /* -1 when closed */
    int family;
    int type; /* without SOCK_NONBLOCK and SOCK_CLOEXEC */
    int proto;
    PyObject *(*on_error)(void);
    int64_t base_timeout; /* nanoseconds; 0, so that no method of the base and no TLS object ever blocks */
#if PY_VERSION_HEX >= 0x030C0000
    void *base_state; /* borrowed: state of the module _socket (3.12, heap types) */
#endif

    struct sockwait_place places[2]; /* by direction */
    double timeout;                  /* of each operation: seconds, 0 for none at all, PARK_FOREVER */
    uint32_t epoch;                  /* counts what the descriptor was: close, detach and __init__ step it */
    uint32_t streak;                 /* work since the last wait; see HUB_FAIR_STREAK */
    int io_refs;                     /* files made of it by makefile(), which keep the descriptor open */
    bool closed;                     /* close() was called, or detach() */
    bool sending;                    /* a sendall() waits in its middle: nobody may send in between */
    /* The guess whether the next recv() would find nothing; see sockread.h. */
    unsigned char last;        /* enum sock_last */
    unsigned char patience[2]; /* by `last`, to SOCK_PATIENCE; above 0: wait first */
    unsigned char skipped;     /* receives that waited first since the last that did not */
    bool bulk;                 /* the last recv() took much of what it asked for */
};

/* What the last recv() returned, as far as something follows from it. */
enum sock_last { SOCK_LAST_SHORT, SOCK_LAST_FULL, SOCK_LAST_NOTHING };
#define SOCK_PATIENCE 3

/* Of a new descriptor. */
static inline void sockwait_knows_nothing(struct sock *sock)
{
    sock->last = SOCK_LAST_NOTHING;
    sock->patience[SOCK_LAST_SHORT] = SOCK_PATIENCE;
    sock->patience[SOCK_LAST_FULL] = 0;
    sock->skipped = 0;
    sock->bulk = false;
}

/* One operation from its first system call to its last. It may lie on the C stack: only the greenlet that
 * runs the operation touches it, and that one is at its place whenever it runs. */
struct sockwait {
    struct sock *sock; /* borrowed: the method's caller holds it */
    struct hub *hub;   /* this thread's; NULL until it is needed */
    double timeout;    /* for the whole operation, as in struct sock */
    double deadline;   /* set by the first wait of an operation with a timeout */
    uint32_t epoch;    /* the socket's at the start: after a wait the number may mean another file */
};

/* An operation that moves much counts for more than one in HUB_FAIR_STREAK: the kernel copies 8 KiB in about
 * the time of a system call. */
#define FAIR_BYTES 8192

/* Lets others run if it is time; 0, or -1 with an exception (kill, timeout), before anything was done. */
int sockwait_be_fair(struct sock *);
/* Comes before each operation: 0, or -1 with an exception. Request and response have two between waits. */
static inline int sockwait_turn(struct sock *sock)
{
    return ++sock->streak > 2 && sock->timeout != 0 ? sockwait_be_fair(sock) : 0;
}
/* Comes after one that has moved `n` bytes. */
static inline void sockwait_moved(struct sock *sock, Py_ssize_t n)
{
    sock->streak += (uint32_t)((size_t)n / FAIR_BYTES);
}
/* Notes what the socket is now. Not before sockwait_turn(), and no switch between here and the first call. */
static inline void sockwait_begin(struct sockwait *wait, struct sock *sock)
{
    *wait = (struct sockwait){.sock = sock, .timeout = sock->timeout, .epoch = sock->epoch};
}
/* This thread's hub, made on demand; NULL with an exception set. */
static inline struct hub *sockwait_hub(struct sockwait *wait)
{
    return wait->hub != NULL ? wait->hub : (wait->hub = hub_here());
}
/* A callback of the loop may use a socket as long as it need not wait: it neither yields nor waits first. */
static inline bool sockwait_in_hub(const struct hub *hub)
{
    return hub_face(hub->self)->state == SWITCH_CURRENT;
}
/* Parks until the direction is ready: 0, or -1 with an exception: BlockingIOError if the operation is not to
 * wait, TimeoutError, EBADF if the socket was closed meanwhile, or whatever was thrown into the greenlet. */
int sockwait_ready(struct sockwait *, enum sockwait_direction);
/* Lets `seconds` pass, or what is left of the operation's time. Same results. */
int sockwait_pause(struct sockwait *, double seconds);
/* After a system call has returned -1: 0 to call again, -1 with an exception. Looks at errno first of all. */
int sockwait_again(struct sockwait *, enum sockwait_direction);
/* Whether the operation has a time limit and it is over. */
bool sockwait_late(const struct sockwait *);
/* The socket gives its descriptor up: its waiters, in whichever thread, get EBADF, its sides are freed. With
 * `closing` the number itself is about to go, so whatever else of this thread watches it is told as well. Any
 * thread. Raises nothing, keeps an exception that is set. */
void sockwait_release(struct sock *, bool closing);

#endif
