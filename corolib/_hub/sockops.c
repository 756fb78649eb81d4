/* The operations of a socket.
 *
 * The descriptor is non-blocking, so a system call never blocks and keeps the GIL: two mutex operations less.
 * EAGAIN parks; no exception object is made on the way. Buffers of the caller stay exported while the
 * greenlet waits, so nobody can resize them; the Py_buffer itself may lie on the C stack, since nobody but
 * this greenlet touches it. */
#include <Python.h>

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sockops.h"

#include "arguments.h"
#include "hub.h"
#include "sockaddr.h"
#include "sockread.h"

PyObject *sockops_base_accept, *sockops_base_connect_ex;

/* Receive. */

static Py_ssize_t receive(struct reading *reading, char *buffer)
{
    if (reading_waits_for_all(reading)) return sockread_all(reading, buffer);
    for (;;) {
        ssize_t n = recv(reading->wait.sock->fd, buffer, reading->size, reading->flags);
        int rc = reading_end(reading, n);
        if (rc != 0) return rc < 0 ? -1 : n;
    }
}

static PyObject *receive_into_bytes(struct reading *reading)
{
    PyObject *bytes = NULL;
    Py_ssize_t n = 0;
    if (reading_waits_for_all(reading)) {
        if ((bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)reading->size)) == NULL) return NULL;
        n = sockread_all(reading, PyBytes_AS_STRING(bytes));
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
    n = reading_in_buffer(reading, n);
    if (n < (Py_ssize_t)reading->size) _PyBytes_Resize(&bytes, n);
    return bytes;
}

PyObject *sockops_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct sock *sock = (struct sock *)self;
    Py_ssize_t size;
    int flags = 0;
    if (arguments_count("recv", nargs, 1, 2) < 0 || arguments_size(args[0], &size) < 0) return NULL;
    if (nargs > 1 && arguments_int(args[1], "flags", &flags) < 0) return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        return NULL;
    }
    if (size == 0) return PyBytes_FromStringAndSize(NULL, 0);
    struct reading reading;
    if (reading_begin(&reading, sock, (size_t)size, flags) < 0) return NULL;
    char *scratch;
    if (sockread_scratch(&reading, &scratch) < 0) return NULL;
    if (scratch == NULL) return receive_into_bytes(&reading);
    for (;;) {
        ssize_t n = recv(sock->fd, scratch, (size_t)size, 0);
        int rc = reading_end(&reading, n);
        if (rc < 0) return NULL;
        /* No switch between the system call and here: the bytes in `scratch` are ours. */
        if (rc > 0) return PyBytes_FromStringAndSize(scratch, n);
    }
}

PyObject *sockops_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"buffer", "nbytes", "flags", NULL};
    PyObject *given[3], *result = NULL;
    Py_ssize_t size = 0;
    int flags = 0;
    if (arguments_take("recv_into", names, 1, args, nargs, kwnames, given) < 0) return NULL;
    if (given[1] != NULL && arguments_size(given[1], &size) < 0) return NULL;
    if (given[2] != NULL && arguments_int(given[2], "flags", &flags) < 0) return NULL;
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

void sockops_refuse_to_mix(struct sock *sock)
{
    PyErr_Format(hub_error_concurrent, "descriptor %d: another greenlet is in the middle of a sendall()",
                 sock->fd);
}

static inline int sending_begin(struct sending *sending, struct sock *sock, const char *method,
                                PyObject *const *args, Py_ssize_t nargs)
{
    sending->flags = 0;
    if (arguments_count(method, nargs, 1, 2) < 0) return -1;
    if (nargs > 1 && arguments_int(args[1], "flags", &sending->flags) < 0) return -1;
    if (!PyBytes_CheckExact(args[0])) {
        if (PyObject_GetBuffer(args[0], &sending->view, PyBUF_SIMPLE) < 0) return -1;
    } else {
        /* Never changes, and the caller holds it: the buffer protocol would cost more than the rest of us. */
        sending->view.obj = NULL;
        sending->view.buf = PyBytes_AS_STRING(args[0]);
        sending->view.len = PyBytes_GET_SIZE(args[0]);
    }
    if (sockwait_turn(sock) == 0 && !sock->sending) return 0;
    if (!PyErr_Occurred()) sockops_refuse_to_mix(sock);
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
    if (rc < 0) return NULL;
    sockwait_moved(sock, n);
    return PyLong_FromSsize_t(n);
}

PyObject *sockops_sendall(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct sock *sock = (struct sock *)self;
    struct sending sending;
    if (sending_begin(&sending, sock, "sendall", args, nargs) < 0) return NULL;
    /* Once even for nothing: an empty datagram is a datagram. */
    Py_ssize_t n = send(sock->fd, sending.view.buf, (size_t)sending.view.len, sending.flags);
    int rc = n != sending.view.len ? send_rest(&sending, sock, &n, true) : 0;
    sockwait_moved(sock, sending.view.len);
    sending_end(&sending);
    if (rc < 0) return NULL;
    Py_RETURN_NONE;
}

/* Accept. */

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
    if (!sockaddr_knows(listener->family)) return accept_by_base(&wait, address);
    for (;;) {
        struct sockaddr_storage storage;
        socklen_t len = sizeof storage;
        int fd = accept_fd(listener->fd, &storage, &len);
        if (fd >= 0) {
            if ((*address = sockaddr_format(&storage, len)) != NULL) return fd;
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
