/* The operations of a socket.
 *
 * The descriptor is non-blocking, so a system call never blocks and keeps the GIL: two mutex operations less.
 * EAGAIN parks; no exception object is made on the way. Buffers of the caller stay exported while the
 * greenlet waits, so nobody can resize them; the Py_buffer itself may lie on the C stack, since nobody but
 * this greenlet touches it.
 *
 * When to wait first. A recv() that returned less than was asked for has emptied a stream socket, so the next
 * one would mostly be answered EAGAIN: in request and response 0.3 to 0.5 of them, as measured. A socket in
 * that state is `dry`, and its next recv() waits before it calls. A wrong guess costs a turn of the loop,
 * which the other connections share; it cannot hang, as readiness is level-triggered, whatever lies in the
 * queue (urgent data, ancillary data) and with whatever SO_RCVLOWAT. `patience` keeps the guess honest: every
 * PROBE_INTERVAL-th time recv() is called all the same. EAGAIN restores full patience, data costs a point of
 * it; without patience every recv() is tried first. Nothing is guessed for datagrams, where a short one says
 * nothing of the next, nor with flags, nor after the end of the stream. */
#include <Python.h>

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sockops.h"

#include "arguments.h"
#include "hub.h"

#define FULL_PATIENCE 3
#define PROBE_INTERVAL 64

PyObject *sockops_base_accept, *sockops_base_connect_ex;

/* Arguments. */

static int arity(const char *method, Py_ssize_t nargs, Py_ssize_t least, Py_ssize_t most)
{
    if (nargs >= least && nargs <= most) return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments (%zd given)", method, least, most, nargs);
    return -1;
}

static int read_size(PyObject *argument, Py_ssize_t *size)
{
    *size = PyLong_CheckExact(argument) ? PyLong_AsSsize_t(argument)
                                        : PyNumber_AsSsize_t(argument, PyExc_OverflowError);
    return *size == -1 && PyErr_Occurred() ? -1 : 0;
}

static int read_flags(PyObject *argument, int *flags)
{
    long value = PyLong_AsLong(argument);
    if (value == -1 && PyErr_Occurred()) return -1;
    if (value < INT_MIN || value > INT_MAX) {
        PyErr_Format(PyExc_OverflowError, "flags must fit into a C int, not %ld", value);
        return -1;
    }
    *flags = (int)value;
    return 0;
}

/* Receive. */

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
    if (!sock->dry || flags != 0 || sock->timeout == 0) return 0;
    if (sock->patience > 0 && sock->skipped < PROBE_INTERVAL) {
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
        if (reading->testing && (errno == EAGAIN || errno == EWOULDBLOCK)) sock->patience = FULL_PATIENCE;
        reading->testing = false;
        return sockwait_again(&reading->wait, SOCKWAIT_READ);
    }
    if (reading->testing && sock->patience > 0) sock->patience--;
    sock->dry = n > 0 && (size_t)n < reading->size && reading->flags == 0 && sock->type == SOCK_STREAM;
    sock->bulk = (size_t)n >= reading->size / 2;
    return 1;
}

/* MSG_WAITALL on a socket that may wait for ever: the kernel would wait until the buffer is full, so we do.
 * Ends early at the end of the stream. An error after the first bytes is lost, and the next call sees the end
 * of the stream: better than to lose the bytes. With a timeout it is one recv() as ever, as in _socket. */
static Py_ssize_t receive_all(struct reading *reading, char *buffer)
{
    size_t done = 0;
    int rc = 0;
    while (rc == 0 && done < reading->size) {
        ssize_t n = recv(reading->wait.sock->fd, buffer + done, reading->size - done, reading->flags);
        if (n == 0) break;
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (done > 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) break;
        rc = sockwait_again(&reading->wait, SOCKWAIT_READ);
    }
    reading->wait.sock->dry = false;
    return rc < 0 ? -1 : (Py_ssize_t)done;
}

static bool waits_for_all(const struct reading *reading)
{
    const struct sock *sock = reading->wait.sock;
    return (reading->flags & (MSG_WAITALL | MSG_PEEK | MSG_TRUNC | MSG_OOB)) == MSG_WAITALL &&
           reading->wait.timeout < 0 && sock->type == SOCK_STREAM;
}

static Py_ssize_t receive(struct reading *reading, char *buffer)
{
    if (waits_for_all(reading)) return receive_all(reading, buffer);
    for (;;) {
        ssize_t n = recv(reading->wait.sock->fd, buffer, reading->size, reading->flags);
        int rc = reading_end(reading, n);
        if (rc != 0) return rc < 0 ? -1 : n;
    }
}

/* MSG_TRUNC makes recv() tell the length of the datagram, not what lies in the buffer. */
static Py_ssize_t in_buffer(const struct reading *reading, Py_ssize_t n)
{
    return n < (Py_ssize_t)reading->size ? n : (Py_ssize_t)reading->size;
}

static PyObject *receive_into_bytes(struct reading *reading)
{
    PyObject *bytes = NULL;
    Py_ssize_t n = 0;
    if (waits_for_all(reading)) {
        if ((bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)reading->size)) == NULL) return NULL;
        n = receive_all(reading, PyBytes_AS_STRING(bytes));
    } else {
        for (int rc = 0; rc == 0;) {
            if ((bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)reading->size)) == NULL) return NULL;
            n = recv(reading->wait.sock->fd, PyBytes_AS_STRING(bytes), reading->size, reading->flags);
            if (n < 0) {
                /* A greenlet that waits holds no buffer: there may be thousands. */
                int error = errno;
                Py_CLEAR(bytes);
                errno = error;
            }
            rc = reading_end(reading, n);
        }
    }
    if (n < 0) {
        Py_XDECREF(bytes);
        return NULL;
    }
    n = in_buffer(reading, n);
    if (n < (Py_ssize_t)reading->size) _PyBytes_Resize(&bytes, n);
    return bytes;
}

PyObject *sockops_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct sock *sock = (struct sock *)self;
    Py_ssize_t size;
    int flags = 0;
    if (arity("recv", nargs, 1, 2) < 0 || read_size(args[0], &size) < 0) return NULL;
    if (nargs > 1 && read_flags(args[1], &flags) < 0) return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        return NULL;
    }
    if (size == 0) return PyBytes_FromStringAndSize(NULL, 0);
    struct reading reading;
    if (reading_begin(&reading, sock, (size_t)size, flags) < 0) return NULL;
    /* Through the thread's buffer and then bytes of the right size: cheaper than to shrink 64 KiB, unless
     * most of them come. A socket that is not to wait may be used without a hub. */
    if (size > SCRATCH_SIZE || sock->bulk || flags != 0 || sock->timeout == 0)
        return receive_into_bytes(&reading);
    struct hub *hub = sockwait_hub(&reading.wait);
    if (hub == NULL) return NULL;
    if (hub->scratch == NULL && (hub->scratch = PyMem_Malloc(SCRATCH_SIZE)) == NULL) return PyErr_NoMemory();
    for (;;) {
        ssize_t n = recv(sock->fd, hub->scratch, (size_t)size, 0);
        int rc = reading_end(&reading, n);
        if (rc < 0) return NULL;
        /* No switch between the system call and here: the bytes in `scratch` are ours. */
        if (rc > 0) return PyBytes_FromStringAndSize(hub->scratch, n);
    }
}

PyObject *sockops_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"buffer", "nbytes", "flags", NULL};
    PyObject *given[3], *result = NULL;
    Py_ssize_t size = 0;
    int flags = 0;
    if (arguments_take("recv_into", names, 1, args, nargs, kwnames, given) < 0) return NULL;
    if (given[1] != NULL && read_size(given[1], &size) < 0) return NULL;
    if (given[2] != NULL && read_flags(given[2], &flags) < 0) return NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(given[0], &view, PyBUF_WRITABLE) < 0) {
        return PyErr_Format(PyExc_TypeError,
                            "recv_into() argument 1 must be read-write bytes-like object, not %.50s",
                            Py_TYPE(given[0])->tp_name);
    }
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recv_into");
        goto done;
    }
    if (size == 0) size = view.len;
    if (view.len < size) {
        PyErr_SetString(PyExc_ValueError, "buffer too small for requested bytes");
        goto done;
    }
    struct reading reading;
    Py_ssize_t n = 0;
    if (size > 0) {
        if (reading_begin(&reading, (struct sock *)self, (size_t)size, flags) < 0) goto done;
        if ((n = receive(&reading, view.buf)) < 0) goto done;
    }
    result = PyLong_FromSsize_t(n);
done:
    PyBuffer_Release(&view);
    return result;
}

/* Send. */

struct sending {
    Py_buffer view;
    int flags;
};

/* What another greenlet sends now would come out in the middle of a sendall() that waits. */
static void refuse_to_mix(struct sock *sock)
{
    PyErr_Format(hub_error_concurrent, "descriptor %d: another greenlet is in the middle of a sendall()",
                 sock->fd);
}

static inline int sending_begin(struct sending *sending, struct sock *sock, const char *method,
                                PyObject *const *args, Py_ssize_t nargs)
{
    sending->flags = 0;
    if (arity(method, nargs, 1, 2) < 0) return -1;
    if (nargs > 1 && read_flags(args[1], &sending->flags) < 0) return -1;
    if (!PyBytes_CheckExact(args[0])) {
        if (PyObject_GetBuffer(args[0], &sending->view, PyBUF_SIMPLE) < 0) return -1;
    } else {
        /* Never changes, and the caller holds it: the buffer protocol would cost more than the rest of us. */
        sending->view.obj = NULL;
        sending->view.buf = PyBytes_AS_STRING(args[0]);
        sending->view.len = PyBytes_GET_SIZE(args[0]);
    }
    if (sockwait_turn(sock) == 0 && !sock->sending) return 0;
    if (!PyErr_Occurred()) refuse_to_mix(sock);
    PyBuffer_Release(&sending->view);
    return -1;
}

static inline void sending_end(struct sending *sending)
{
    if (sending->view.obj != NULL) PyBuffer_Release(&sending->view);
}

/* After send() has returned `n` for less than all: goes on until some is sent, or with `all` until everything
 * is. 0, or -1 with an exception set; looks at errno first of all. */
static int send_rest(const struct sending *sending, struct sock *sock, Py_ssize_t *n, bool all)
{
    struct sockwait wait;
    sockwait_begin(&wait, sock);
    if (sending->flags & MSG_DONTWAIT) wait.timeout = 0;
    const char *data = sending->view.buf;
    Py_ssize_t done = 0;
    bool alone = all && sock->type == SOCK_STREAM;
    int rc;
    if (alone) sock->sending = true;
    do {
        if (*n < 0) {
            rc = sockwait_again(&wait, SOCKWAIT_WRITE);
        } else {
            done += *n;
            rc = !all || done == sending->view.len;
            /* Part of it went, so the kernel's buffer is full: no use in asking before it tells us. */
            if (rc == 0 && wait.timeout != 0) rc = sockwait_ready(&wait, SOCKWAIT_WRITE);
        }
        if (rc == 0) *n = send(sock->fd, data + done, (size_t)(sending->view.len - done), sending->flags);
    } while (rc == 0);
    if (alone && sock->epoch == wait.epoch) sock->sending = false;
    return rc < 0 ? -1 : 0;
}

PyObject *sockops_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct sock *sock = (struct sock *)self;
    struct sending sending;
    if (sending_begin(&sending, sock, "send", args, nargs) < 0) return NULL;
    Py_ssize_t n = send(sock->fd, sending.view.buf, (size_t)sending.view.len, sending.flags);
    int rc = n < 0 ? send_rest(&sending, sock, &n, false) : 0;
    sending_end(&sending);
    return rc < 0 ? NULL : PyLong_FromSsize_t(n);
}

PyObject *sockops_sendall(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct sock *sock = (struct sock *)self;
    struct sending sending;
    if (sending_begin(&sending, sock, "sendall", args, nargs) < 0) return NULL;
    /* Once even for nothing: an empty datagram is a datagram. */
    Py_ssize_t n = send(sock->fd, sending.view.buf, (size_t)sending.view.len, sending.flags);
    int rc = n != sending.view.len ? send_rest(&sending, sock, &n, true) : 0;
    sending_end(&sending);
    if (rc < 0) return NULL;
    Py_RETURN_NONE;
}

/* Accept. */

/* The forms that _socket gives: (host, port), (host, port, flow, scope), a path, or the bytes of an abstract
 * name. */
static PyObject *format_address(const struct sockaddr_storage *storage, socklen_t len)
{
    char host[INET6_ADDRSTRLEN];
    if (len == 0) Py_RETURN_NONE;
    if (storage->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)storage;
        if (inet_ntop(AF_INET, &in->sin_addr, host, sizeof host) == NULL)
            return PyErr_SetFromErrno(PyExc_OSError);
        return Py_BuildValue("si", host, ntohs(in->sin_port));
    }
    if (storage->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)storage;
        if (inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host) == NULL)
            return PyErr_SetFromErrno(PyExc_OSError);
        return Py_BuildValue("siII", host, ntohs(in->sin6_port), (unsigned)ntohl(in->sin6_flowinfo),
                             (unsigned)in->sin6_scope_id);
    }
    const struct sockaddr_un *un = (const struct sockaddr_un *)storage;
    size_t path = len - offsetof(struct sockaddr_un, sun_path);
#ifdef __linux__
    if (path > 0 && un->sun_path[0] == '\0') return PyBytes_FromStringAndSize(un->sun_path, (Py_ssize_t)path);
#endif
    return PyUnicode_DecodeFSDefaultAndSize(un->sun_path, (Py_ssize_t)strnlen(un->sun_path, path));
}

static int accept_fd(int listener, struct sockaddr_storage *storage, socklen_t *len)
{
#ifdef SOCK_NONBLOCK
    return accept4(listener, (struct sockaddr *)storage, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    int fd = accept(listener, (struct sockaddr *)storage, len), on = 1;
    if (fd >= 0 && (ioctl(fd, FIOCLEX) < 0 || ioctl(fd, FIONBIO, &on) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
#endif
}

/* A family that only _socket can spell. Its accept makes an exception for EAGAIN; these are not in a hurry.
 */
static int accept_by_base(struct sockwait *wait, PyObject **address)
{
    PyObject *pair;
    while ((pair = PyObject_CallOneArg(sockops_base_accept, (PyObject *)wait->sock)) == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_BlockingIOError) || wait->timeout == 0) return -1;
        PyErr_Clear();
        if (sockwait_ready(wait, SOCKWAIT_READ) < 0) return -1;
    }
    int fd = (int)PyLong_AsLong(PyTuple_GET_ITEM(pair, 0));
    *address = Py_NewRef(PyTuple_GET_ITEM(pair, 1));
    Py_DECREF(pair);
    int on = 1;
    if (ioctl(fd, FIONBIO, &on) == 0) return fd;
    PyErr_SetFromErrno(PyExc_OSError);
    Py_CLEAR(*address);
    close(fd);
    return -1;
}

int sockops_accept(struct sock *listener, PyObject **address)
{
    if (sockwait_turn(listener) < 0) return -1;
    struct sockwait wait;
    sockwait_begin(&wait, listener);
    if (listener->family != AF_INET && listener->family != AF_INET6 && listener->family != AF_UNIX)
        return accept_by_base(&wait, address);
    for (;;) {
        struct sockaddr_storage storage;
        socklen_t len = sizeof storage;
        int fd = accept_fd(listener->fd, &storage, &len);
        if (fd >= 0) {
            if ((*address = format_address(&storage, len)) != NULL) return fd;
            close(fd);
            return -1;
        }
        if (sockwait_again(&wait, SOCKWAIT_READ) < 0) return -1;
    }
}

/* Connect. */

/* A unix listener whose queue is full answers EAGAIN, and nothing tells when there is room again: the
 * kernel's own blocking connect sleeps on a queue that poll does not show. So we ask again, 1 ms later at
 * first, 10 ms at most, which is also how late a close() by another greenlet is seen. */
#define UNIX_FIRST_PAUSE 0.001
#define UNIX_LAST_PAUSE 0.010

/* 0 when connected, an errno, or -1 with an exception set. */
static int connect_to(struct sockwait *wait, PyObject *address)
{
    struct sock *sock = wait->sock;
    double pause = UNIX_FIRST_PAUSE;
    int error;
    for (;;) {
        PyObject *args[] = {(PyObject *)sock, address};
        PyObject *result = PyObject_Vectorcall(sockops_base_connect_ex, args, 2, NULL);
        if (result == NULL) return -1;
        error = (int)PyLong_AsLong(result);
        Py_DECREF(result);
        if (error != EAGAIN || sock->family != AF_UNIX || wait->timeout == 0) break;
        if (sockwait_pause(wait, pause) < 0) return -1;
        if ((pause *= 2) > UNIX_LAST_PAUSE) pause = UNIX_LAST_PAUSE;
    }
    /* After a signal the connection goes on by itself just the same. */
    if ((error != EINPROGRESS && error != EINTR) || wait->timeout == 0) return error;
    if (PyErr_CheckSignals() < 0 || sockwait_ready(wait, SOCKWAIT_WRITE) < 0) return -1;
    socklen_t len = sizeof error;
    if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) return errno;
    /* A blocking connect() that fails leaves the socket fit for another try; this one has left it half way,
     * and the next try would get ECONNABORTED. */
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    if (error != 0) connect(sock->fd, &nowhere, sizeof nowhere);
    return error;
}

PyObject *sockops_connect(PyObject *self, PyObject *address)
{
    struct sock *sock = (struct sock *)self;
    if (sockwait_turn(sock) < 0) return NULL;
    struct sockwait wait;
    sockwait_begin(&wait, sock);
    int error = connect_to(&wait, address);
    if (error < 0) return NULL;
    if (error == 0) Py_RETURN_NONE;
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

PyObject *sockops_connect_ex(PyObject *self, PyObject *address)
{
    struct sock *sock = (struct sock *)self;
    if (sockwait_turn(sock) < 0) return NULL;
    struct sockwait wait;
    sockwait_begin(&wait, sock);
    int error = connect_to(&wait, address);
    if (error >= 0) return PyLong_FromLong(error);
    /* What the wait itself has raised comes as its number, as _socket has it. All else is not ours: a name
     * that could not be resolved, or what somebody has thrown into the greenlet. */
    int own = 0;
    if (wait.epoch != wait.sock->epoch && PyErr_ExceptionMatches(PyExc_OSError))
        own = EBADF;
    else if (sockwait_late(&wait) && PyErr_ExceptionMatches(PyExc_TimeoutError))
        own = EAGAIN;
    if (own == 0) return NULL;
    PyErr_Clear();
    return PyLong_FromLong(own);
}
