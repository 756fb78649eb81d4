/* The wait of a socket operation: which side, how long, and whether the socket is still the same afterwards.
 */
#include "sockwait.h"

#include <errno.h>

#include "fd.h"
#include "park.h"

static int raise_errno(int error)
{
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static int still_open(const struct sockwait *wait)
{
    return wait->sock->epoch == wait->epoch ? 0 : raise_errno(EBADF);
}

static __attribute__((noinline)) struct fd_side *find_side(struct sockwait *wait,
                                                           enum sockwait_direction direction)
{
    /* A handler of a signal, or another thread, may have closed the socket, and so freed its sides. */
    if (still_open(wait) < 0) return NULL;
    struct hub *hub = wait->hub;
    struct sockwait_place *place = &wait->sock->places[direction], *vacant = NULL;
    for (;; place = place->more) {
        if (place->side != NULL && place->side->hub == hub) return place->side;
        /* A side without a hub is left over from a thread that has ended, or from an os.close() behind our
         * back. */
        if (place->side == NULL || place->side->hub == NULL) vacant = place;
        if (place->more == NULL) break;
    }
    if (vacant == NULL) {
        if ((vacant = PyMem_Calloc(1, sizeof *vacant)) == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        place->more = vacant;
    }
    fd_free(vacant->side);
    return vacant->side = fd_new(hub, wait->sock->fd, direction == SOCKWAIT_READ ? EV_READ : EV_WRITE);
}

/* The side of the direction in this thread's hub; made at its first wait. Borrowed; NULL with an exception
 * set. */
static inline struct fd_side *side_of(struct sockwait *wait, enum sockwait_direction direction)
{
    struct hub *hub = sockwait_hub(wait);
    if (hub == NULL) return NULL;
    struct fd_side *usual = wait->sock->places[direction].side;
    return usual != NULL && usual->hub == hub ? usual : find_side(wait, direction);
}

static void free_places(struct sockwait_place *place)
{
    struct sockwait_place *more = place->more;
    struct fd_side *side = place->side;
    *place = (struct sockwait_place){0};
    fd_free(side);
    while ((place = more) != NULL) {
        more = place->more;
        fd_free(place->side);
        PyMem_Free(place);
    }
}

void sockwait_release(struct sock *sock, bool closing)
{
    PyObject *type, *error, *tb;
    PyErr_Fetch(&type, &error, &tb);
    sock->epoch++;
    sock->last = SOCK_LAST_NOTHING;
    sock->sending = false;
    free_places(&sock->places[SOCKWAIT_READ]);
    free_places(&sock->places[SOCKWAIT_WRITE]);
    if (closing && sock->fd >= 0) {
        struct hub *hub = hub_if_exists(); /* to close a socket is no reason to make one */
        if (hub != NULL) fd_closing(hub, sock->fd);
    }
    PyErr_Restore(type, error, tb); /* drops what hub_if_exists() may have raised */
}

int sockwait_be_fair(struct sock *sock)
{
    struct hub *hub = hub_if_exists(); /* without one there is nobody else in this thread */
    if (hub == NULL) return PyErr_Occurred() ? -1 : 0;
    if (sock->streak <= HUB_FAIR_STREAK && !hub_held_long(hub)) return 0;
    sock->streak = 0;
    return park_give_way(hub);
}

/* What is left of the operation's time: seconds or PARK_FOREVER in `left`. 0, or -1 with an exception. */
static int time_left(struct sockwait *wait, double *left)
{
    if (wait->timeout == 0) return raise_errno(EAGAIN);
    *left = PARK_FOREVER;
    if (wait->timeout < 0) return 0;
    struct hub *hub = sockwait_hub(wait);
    if (hub == NULL) return -1;
    double now = deadline_now(&hub->deadlines);
    if (wait->deadline == 0) wait->deadline = now + wait->timeout;
    *left = wait->deadline - now;
    if (*left > 0) return 0;
    PyErr_SetString(PyExc_TimeoutError, "timed out");
    return -1;
}

bool sockwait_late(const struct sockwait *wait)
{
    struct hub *hub = wait->deadline == 0 ? NULL : hub_if_exists();
    return hub != NULL && deadline_now(&hub->deadlines) >= wait->deadline;
}

int sockwait_ready(struct sockwait *wait, enum sockwait_direction direction)
{
    struct sock *sock = wait->sock;
    double left = PARK_FOREVER;
    if (wait->timeout >= 0 && time_left(wait, &left) < 0) return -1;
    struct fd_side *side = side_of(wait, direction);
    if (side == NULL) return -1;
    sock->streak = 0;
    PyObject *result = fd_wait(wait->hub, side, (PyObject *)sock, left);
    if (result == NULL) return -1;
    bool late = result == hub_timed_out;
    Py_DECREF(result);
    /* `side` may be gone from here on: closed by another greenlet between our wake-up and now. */
    if (still_open(wait) < 0) return -1;
    if (!late) return 0;
    PyErr_SetString(PyExc_TimeoutError, "timed out");
    return -1;
}

static const struct park_kind kind_pause = {0};

int sockwait_pause(struct sockwait *wait, double seconds)
{
    double left;
    if (time_left(wait, &left) < 0) return -1;
    struct park *park = park_begin();
    if (park == NULL) return -1;
    PyObject *result =
        park_wait(park, &kind_pause, (PyObject *)wait->sock, left < 0 || left > seconds ? seconds : left);
    if (result == NULL) return -1;
    Py_DECREF(result);
    return still_open(wait);
}

int sockwait_again(struct sockwait *wait, enum sockwait_direction direction)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) return sockwait_ready(wait, direction);
    if (errno != EINTR) return raise_errno(errno);
    /* A handler may have closed the socket. */
    return PyErr_CheckSignals() < 0 ? -1 : still_open(wait);
}
