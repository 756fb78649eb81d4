/* A receive from its first system call to its last, whichever call that is.
 *
 * When to wait first. A recv() that returned less than was asked for has emptied a stream socket, so the next
 * one would mostly be answered EAGAIN: in request and response 0.3 to 0.5 of them, as measured. So the next
 * recv() waits before it calls. One that returned all that was asked for may have left something, or the
 * request was just as long (all of 20,000 tries in vain with requests of 64 KiB): that is learned, for each
 * socket. A wrong guess costs a turn of the loop, which the other connections share; it cannot hang, as
 * readiness is level-triggered, whatever lies in the queue (urgent data, ancillary data) and with whatever
 * SO_RCVLOWAT. `patience` keeps the guess honest: every so many times recv() is called all the same. EAGAIN
 * restores full patience, data costs a point of it; without patience every recv() is tried first. Nothing is
 * guessed for datagrams, where a short one says nothing of the next, nor with flags, nor after the end of the
 * stream. */
#ifndef COROLIB_HUB_SOCKREAD_H
#define COROLIB_HUB_SOCKREAD_H

#include <Python.h>

#include <errno.h>
#include <sys/socket.h>

#include "sockwait.h"

/* So many receives wait first before one is tried. Fewer after a full one: in the middle of much data each
 * wait in vain is a poll. */
#define PROBE_AFTER_SHORT 64
#define PROBE_AFTER_FULL 8

struct reading {
    struct sockwait wait;
    size_t size; /* asked for */
    int flags;
    bool testing; /* this call tests the guess that there is nothing */
};

static inline int reading_begin(struct reading *reading, struct sock *sock, size_t size, int flags)
{
    if (sockwait_turn(sock) < 0) return -1;
    sockwait_begin(&reading->wait, sock);
    reading->size = size;
    reading->flags = flags;
    reading->testing = false;
    if (flags & MSG_DONTWAIT) reading->wait.timeout = 0;
    if (sock->last == SOCK_LAST_NOTHING || flags != 0 || sock->timeout == 0) return 0;
    if (sock->patience[sock->last] > 0 &&
        sock->skipped < (sock->last == SOCK_LAST_SHORT ? PROBE_AFTER_SHORT : PROBE_AFTER_FULL)) {
        struct hub *hub = sockwait_hub(&reading->wait);
        if (hub == NULL) return -1;
        if (!sockwait_in_hub(hub)) {
            sock->skipped++;
            return sockwait_ready(&reading->wait, SOCKWAIT_READ);
        }
    }
    sock->skipped = 0;
    reading->testing = true;
    return 0;
}

/* Looks at the result of a call: 1 if the operation is done, 0 to call again, -1 with an exception set. */
static inline int reading_end(struct reading *reading, ssize_t n)
{
    struct sock *sock = reading->wait.sock;
    if (n < 0) {
        if (reading->testing && (errno == EAGAIN || errno == EWOULDBLOCK))
            sock->patience[sock->last] = SOCK_PATIENCE;
        reading->testing = false;
        return sockwait_again(&reading->wait, SOCKWAIT_READ);
    }
    if (reading->testing && sock->patience[sock->last] > 0) sock->patience[sock->last]--;
    if (n == 0 || reading->flags != 0 || sock->type != SOCK_STREAM)
        sock->last = SOCK_LAST_NOTHING;
    else
        sock->last = (size_t)n < reading->size ? SOCK_LAST_SHORT : SOCK_LAST_FULL;
    sock->bulk = (size_t)n >= reading->size / 2;
    sockwait_moved(sock, n);
    return 1;
}

/* MSG_WAITALL on a socket that may wait for ever: the kernel would wait until the buffer is full, so we do.
 * With a timeout it is one call as ever, as in _socket. */
static inline bool reading_waits_for_all(const struct reading *reading)
{
    const struct sock *sock = reading->wait.sock;
    return (reading->flags & (MSG_WAITALL | MSG_PEEK | MSG_TRUNC | MSG_OOB)) == MSG_WAITALL &&
           reading->wait.timeout < 0 && sock->type == SOCK_STREAM;
}
/* That: how many bytes, or -1 with an exception. Ends early at the end of the stream. An error after the
 * first bytes is lost, and the next call sees the end of the stream: better than to lose the bytes. */
Py_ssize_t sockread_all(struct reading *, char *buffer);

/* MSG_TRUNC makes the call tell the length of the datagram, not what lies in the buffer. */
static inline Py_ssize_t reading_in_buffer(const struct reading *reading, Py_ssize_t n)
{
    return n < (Py_ssize_t)reading->size ? n : (Py_ssize_t)reading->size;
}

/* Makes the buffer of a thread that has none: 0, or -1 with MemoryError set. */
int sockread_make_scratch(struct hub *);
/* The thread's buffer, for a receive that is to make bytes: cheaper to copy out of than to shrink 64 KiB,
 * unless most of them come. NULL in `scratch` if the receive is better made into bytes at once; so it is for
 * a socket that is not to wait, which may be used without a hub. 0, or -1 with an exception. */
static inline int sockread_scratch(struct reading *reading, char **scratch)
{
    const struct sock *sock = reading->wait.sock;
    struct hub *hub = reading->wait.hub;
    *scratch = NULL;
    if (reading->size > SCRATCH_SIZE || sock->bulk || reading->flags != 0) return 0;
    if (hub == NULL) { /* it has not waited */
        if (sock->timeout == 0) return 0;
        hub = sockwait_hub(&reading->wait);
    }
    if (hub == NULL || (hub->scratch == NULL && sockread_make_scratch(hub) < 0)) return -1;
    *scratch = hub->scratch;
    return 0;
}

#endif
