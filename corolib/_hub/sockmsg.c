/* Datagrams and messages.
 *
 * Nothing here is guessed of datagrams: each receive asks the kernel first. What the kernel fills in is taken
 * over before anybody else can run, so addresses and headers may lie on the C stack; what lasts over a wait
 * (the caller's buffers, ancillary data) is in the heap. A message that has been received or sent never comes
 * to a wait any more: no descriptor that came with it can be lost, and none goes twice.
 *
 * Addresses of families that sockaddr.h does not know, and names that have to be looked up, go through
 * _socket's own method, which makes an exception for EAGAIN. */
#define PY_SSIZE_T_CLEAN /* "#" in formats is a Py_ssize_t */
#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "sockmsg.h"

#include "arguments.h"
#include "sockaddr.h"
#include "sockops.h"
#include "sockparts.h"
#include "sockread.h"

/* Methods of _socket.socket and the name of our own that looks names up; owned, found by sockmsg_setup(). */
static PyObject *base_recvfrom, *base_recvfrom_into, *base_recvmsg, *base_recvmsg_into, *base_sendto,
    *base_sendmsg, *with_address;

int sockmsg_setup(PyTypeObject *base)
{
    PyObject *type = (PyObject *)base;
    if ((base_recvfrom = PyObject_GetAttrString(type, "recvfrom")) == NULL ||
        (base_recvfrom_into = PyObject_GetAttrString(type, "recvfrom_into")) == NULL ||
        (base_recvmsg = PyObject_GetAttrString(type, "recvmsg")) == NULL ||
        (base_recvmsg_into = PyObject_GetAttrString(type, "recvmsg_into")) == NULL ||
        (base_sendto = PyObject_GetAttrString(type, "sendto")) == NULL ||
        (base_sendmsg = PyObject_GetAttrString(type, "sendmsg")) == NULL)
        return -1;
    return (with_address = PyUnicode_InternFromString("_with_address")) == NULL ? -1 : 0;
}

/* Calls _socket's method until it need not wait. With `last` that takes the place of the last argument. */
static PyObject *by_base(PyObject *self, PyObject *method, enum sockwait_direction direction, int flags,
                         PyObject *const *args, Py_ssize_t nargs, PyObject *last)
{
    struct sock *sock = (struct sock *)self;
    PyObject *all[6] = {self};
    if (nargs > 5) return PyErr_Format(PyExc_SystemError, "%zd arguments", nargs);
    memcpy(all + 1, args, (size_t)nargs * sizeof *args);
    if (last != NULL) all[nargs] = last;
    if (sockwait_turn(sock) < 0) return NULL;
    struct sockwait wait;
    sockwait_begin(&wait, sock);
    if (flags & MSG_DONTWAIT) wait.timeout = 0;
    PyObject *result;
    while ((result = PyObject_Vectorcall(method, all, (size_t)nargs + 1, NULL)) == NULL) {
        if (wait.timeout == 0 || !PyErr_ExceptionMatches(PyExc_BlockingIOError)) return NULL;
        PyErr_Clear();
        if (sockwait_ready(&wait, direction) < 0) return NULL;
    }
    return result;
}

/* Receive. */

struct message {
    struct reading reading;
    struct sockaddr_storage from;
    struct msghdr header; /* as the kernel left it; msg_control is ours to free */
    size_t room;          /* for ancillary data */
    bool whole;           /* recvmsg(): the header is asked for */
};

static int message_begin(struct message *message, PyObject *self, size_t size, int flags)
{
    message->header = (struct msghdr){.msg_name = &message->from};
    message->room = 0;
    message->whole = false;
    return reading_begin(&message->reading, (struct sock *)self, size, flags);
}

static int message_begin_whole(struct message *message, PyObject *self, size_t size, int flags,
                               Py_ssize_t room)
{
    if (room < 0 || room > INT_MAX) {
        PyErr_SetString(PyExc_ValueError, "invalid ancillary data buffer length");
        return -1;
    }
    void *control = NULL;
    if (room > 0 && (control = PyMem_Malloc((size_t)room)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (message_begin(message, self, size, flags) < 0) {
        PyMem_Free(control);
        return -1;
    }
    message->header.msg_control = control;
    message->room = (size_t)room;
    message->whole = true;
    return 0;
}

static inline ssize_t message_call(struct message *message, struct iovec *iovs, size_t len)
{
    const struct reading *reading = &message->reading;
    struct msghdr *header = &message->header;
    header->msg_namelen = sizeof message->from;
    if (!message->whole)
        return recvfrom(reading->wait.sock->fd, iovs->iov_base, iovs->iov_len, reading->flags,
                        (struct sockaddr *)&message->from, &header->msg_namelen);
    header->msg_iov = iovs;
    header->msg_iovlen = len;
    header->msg_controllen = message->room;
    header->msg_flags = 0;
    ssize_t n = recvmsg(reading->wait.sock->fd, header, reading->flags);
    if (n < 0) header->msg_controllen = 0; /* there is none */
    return n;
}

/* Into the caller's buffers: how many bytes, or -1 with an exception. */
static Py_ssize_t message_into(struct message *message, struct iovec *iovs, size_t len)
{
    if (!message->whole && reading_waits_for_all(&message->reading)) {
        message->header.msg_namelen = 0; /* as a stream has it */
        return sockread_all(&message->reading, iovs->iov_base);
    }
    for (;;) {
        ssize_t n = message_call(message, iovs, len);
        int rc = reading_end(&message->reading, n);
        if (rc != 0) return rc < 0 ? -1 : n;
    }
}

static PyObject *message_bytes(struct message *message)
{
    struct reading *reading = &message->reading;
    PyObject *bytes = NULL;
    struct iovec iov = {.iov_len = reading->size};
    if (!message->whole && reading_waits_for_all(reading)) {
        if ((bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)reading->size)) == NULL) return NULL;
        iov.iov_base = PyBytes_AS_STRING(bytes);
        Py_ssize_t n = message_into(message, &iov, 1);
        if (n < 0)
            Py_CLEAR(bytes);
        else if (n < (Py_ssize_t)reading->size)
            _PyBytes_Resize(&bytes, n);
        return bytes;
    }
    char *scratch;
    if (sockread_scratch(reading, &scratch) < 0) return NULL;
    for (;;) {
        iov.iov_base = scratch;
        if (scratch == NULL) {
            if ((bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)reading->size)) == NULL) return NULL;
            iov.iov_base = PyBytes_AS_STRING(bytes);
        }
        ssize_t n = message_call(message, &iov, 1);
        if (n < 0) {
            /* A greenlet that waits holds no buffer: there may be thousands. */
            int error = errno;
            Py_CLEAR(bytes);
            errno = error;
        }
        int rc = reading_end(reading, n);
        if (rc < 0) return NULL;
        if (rc == 0) continue;
        n = reading_in_buffer(reading, n);
        /* No switch between the system call and here: the bytes in `scratch` are ours. */
        if (scratch != NULL) return PyBytes_FromStringAndSize(scratch, n);
        if (n < (Py_ssize_t)reading->size) _PyBytes_Resize(&bytes, n);
        return bytes;
    }
}

static PyObject *message_address(const struct message *message)
{
    socklen_t len = message->header.msg_namelen;
    return sockaddr_format(&message->from, len < sizeof message->from ? len : sizeof message->from);
}

/* Reads the arguments of recvfrom_into() and the like: a buffer, how much of it, flags. */
static int read_size_and_flags(PyObject *size_given, PyObject *flags_given, Py_ssize_t *size, int *flags)
{
    if (size_given != NULL && arguments_size(size_given, size) < 0) return -1;
    return flags_given != NULL ? arguments_int(flags_given, "flags", flags) : 0;
}

PyObject *sockmsg_recvfrom(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t size = 0;
    int flags = 0;
    if (arguments_count("recvfrom", nargs, 1, 2) < 0 ||
        read_size_and_flags(args[0], nargs > 1 ? args[1] : NULL, &size, &flags) < 0)
        return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recvfrom");
        return NULL;
    }
    if (!sockaddr_knows(((struct sock *)self)->family))
        return by_base(self, base_recvfrom, SOCKWAIT_READ, flags, args, nargs, NULL);
    struct message message;
    if (message_begin(&message, self, (size_t)size, flags) < 0) return NULL;
    PyObject *bytes = message_bytes(&message);
    PyObject *address = bytes == NULL ? NULL : message_address(&message);
    PyObject *pair = address == NULL ? NULL : PyTuple_Pack(2, bytes, address);
    Py_XDECREF(bytes);
    Py_XDECREF(address);
    return pair;
}

PyObject *sockmsg_recvfrom_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"buffer", "nbytes", "flags", NULL};
    PyObject *given[3], *result = NULL;
    Py_ssize_t size = 0;
    int flags = 0;
    if (arguments_take("recvfrom_into", names, 1, args, nargs, kwnames, given) < 0 ||
        read_size_and_flags(given[1], given[2], &size, &flags) < 0)
        return NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(given[0], &view, PyBUF_WRITABLE) < 0)
        return PyErr_Format(PyExc_TypeError,
                            "recvfrom_into() argument 1 must be read-write bytes-like object, not %.50s",
                            Py_TYPE(given[0])->tp_name);
    struct message message;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recvfrom_into");
    } else if (size > view.len) {
        PyErr_SetString(PyExc_ValueError, "nbytes is greater than the length of the buffer");
    } else if (!sockaddr_knows(((struct sock *)self)->family)) {
        PyBuffer_Release(&view);
        PyObject *plain[] = {given[0], given[1], given[2]};
        Py_ssize_t count = given[2] != NULL ? 3 : given[1] != NULL ? 2 : 1;
        PyObject *nothing = PyLong_FromLong(0); /* always there */
        if (plain[1] == NULL) plain[1] = nothing;
        result = by_base(self, base_recvfrom_into, SOCKWAIT_READ, flags, plain, count, NULL);
        Py_DECREF(nothing);
        return result;
    } else if (message_begin(&message, self, (size_t)(size == 0 ? view.len : size), flags) == 0) {
        struct iovec iov = {.iov_base = view.buf, .iov_len = message.reading.size};
        Py_ssize_t n = message_into(&message, &iov, 1);
        PyObject *address = n < 0 ? NULL : message_address(&message);
        if (address != NULL) result = Py_BuildValue("nN", n, address);
    }
    PyBuffer_Release(&view);
    return result;
}

/* (data, ancillary data, flags, address) of a message; takes `data`, which may be NULL with an exception set.
 */
static PyObject *message_result(struct message *message, PyObject *data)
{
    PyObject *list = NULL, *address = NULL, *result = NULL;
    if (data != NULL && (list = sockparts_ancillary(&message->header)) != NULL &&
        (address = message_address(message)) != NULL)
        result = Py_BuildValue("OOiO", data, list, message->header.msg_flags, address);
    Py_XDECREF(address);
    Py_XDECREF(list);
    Py_XDECREF(data);
    if (result == NULL) sockparts_close(&message->header);
    PyMem_Free(message->header.msg_control);
    return result;
}

PyObject *sockmsg_recvmsg(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t size = 0, room = 0;
    int flags = 0;
    if (arguments_count("recvmsg", nargs, 1, 3) < 0 || arguments_size(args[0], &size) < 0 ||
        read_size_and_flags(nargs > 1 ? args[1] : NULL, nargs > 2 ? args[2] : NULL, &room, &flags) < 0)
        return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffer size in recvmsg()");
        return NULL;
    }
    if (!sockaddr_knows(((struct sock *)self)->family))
        return by_base(self, base_recvmsg, SOCKWAIT_READ, flags, args, nargs, NULL);
    struct message message;
    if (message_begin_whole(&message, self, (size_t)size, flags, room) < 0) return NULL;
    return message_result(&message, message_bytes(&message));
}

PyObject *sockmsg_recvmsg_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t room = 0;
    int flags = 0;
    if (arguments_count("recvmsg_into", nargs, 1, 3) < 0 ||
        read_size_and_flags(nargs > 1 ? args[1] : NULL, nargs > 2 ? args[2] : NULL, &room, &flags) < 0)
        return NULL;
    struct sockparts buffers;
    if (sockparts_take(&buffers, args[0], PyBUF_WRITABLE, "recvmsg_into() argument 1 must be an iterable",
                       "recvmsg_into() argument 1 is too long") < 0)
        return NULL;
    PyObject *result = NULL;
    struct message message;
    if (!sockaddr_knows(((struct sock *)self)->family)) {
        PyObject *plain[3] = {buffers.list, nargs > 1 ? args[1] : NULL, nargs > 2 ? args[2] : NULL};
        result = by_base(self, base_recvmsg_into, SOCKWAIT_READ, flags, plain, nargs, NULL);
    } else if (message_begin_whole(&message, self, buffers.size, flags, room) == 0) {
        Py_ssize_t n = message_into(&message, buffers.iovs, (size_t)buffers.len);
        result = message_result(&message, n < 0 ? NULL : PyLong_FromSsize_t(n));
    }
    sockparts_release(&buffers);
    return result;
}

/* Send. */

/* Where to: 1 with the address in `storage`, 0 if that is _socket's business, -1 with an exception.
 * `*address` is a new reference to the address with a name in it replaced by what was found; may switch to
 * look it up. */
static int destination(PyObject *self, PyObject **address, struct sockaddr_storage *storage, socklen_t *len)
{
    int family = ((struct sock *)self)->family;
    Py_INCREF(*address);
    int rc = sockaddr_read(family, *address, storage, len);
    if (rc == 0) {
        PyObject *found = PyObject_CallMethodOneArg(self, with_address, *address);
        Py_SETREF(*address, found);
        rc = found == NULL ? -1 : sockaddr_read(family, found, storage, len);
    }
    if (rc < 0) Py_CLEAR(*address);
    return rc;
}

/* sendmsg(2), or with `plain` sendto(2), which has less to copy, until the kernel takes it: how many bytes,
 * or -1 with an exception. */
static ssize_t send_message(PyObject *self, const struct msghdr *header, int flags, bool plain)
{
    struct sock *sock = (struct sock *)self;
    if (sockwait_turn(sock) < 0) return -1;
    struct sockwait wait;
    sockwait_begin(&wait, sock);
    if (flags & MSG_DONTWAIT) wait.timeout = 0;
    for (;;) {
        if (sock->sending) {
            sockops_refuse_to_mix(sock);
            return -1;
        }
        ssize_t n = plain ? sendto(sock->fd, header->msg_iov->iov_base, header->msg_iov->iov_len, flags,
                                   header->msg_name, header->msg_namelen)
                          : sendmsg(sock->fd, header, flags);
        if (n >= 0) {
            sockwait_moved(sock, n);
            return n;
        }
        if (sockwait_again(&wait, SOCKWAIT_WRITE) < 0) return -1;
    }
}

PyObject *sockmsg_sendto(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 && nargs != 3)
        return PyErr_Format(PyExc_TypeError, "sendto() takes 2 or 3 arguments (%zd given)", nargs);
    int flags = 0;
    if (nargs == 3 && arguments_int(args[1], "flags", &flags) < 0) return NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *result = NULL, *address = args[nargs - 1];
    struct sockaddr_storage to;
    socklen_t len;
    int rc = destination(self, &address, &to, &len);
    if (rc == 0) {
        result = by_base(self, base_sendto, SOCKWAIT_WRITE, flags, args, nargs, address);
    } else if (rc > 0 && PySys_Audit("socket.sendto", "OO", self, address) == 0) {
        struct iovec iov = {.iov_base = view.buf, .iov_len = (size_t)view.len};
        struct msghdr header = {.msg_name = &to, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n = send_message(self, &header, flags, true);
        if (n >= 0) result = PyLong_FromSsize_t(n);
    }
    Py_XDECREF(address);
    PyBuffer_Release(&view);
    return result;
}

PyObject *sockmsg_sendmsg(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    int flags = 0;
    if (arguments_count("sendmsg", nargs, 1, 4) < 0) return NULL;
    if (nargs > 2 && arguments_int(args[2], "flags", &flags) < 0) return NULL;
    struct sockparts buffers;
    if (sockparts_take(&buffers, args[0], PyBUF_SIMPLE, "sendmsg() argument 1 must be an iterable",
                       "sendmsg() argument 1 is too long") < 0)
        return NULL;
    PyObject *result = NULL, *address = nargs > 3 && args[3] != Py_None ? args[3] : NULL;
    struct sockaddr_storage to;
    struct msghdr header = {.msg_iov = buffers.iovs, .msg_iovlen = (size_t)buffers.len};
    int rc = address == NULL ? 1 : destination(self, &address, &to, &header.msg_namelen);
    if (rc == 0) {
        PyObject *ancillary = PySequence_Fast(args[1], "sendmsg() argument 2 must be an iterable");
        PyObject *plain[] = {buffers.list, ancillary, args[2], address};
        if (ancillary != NULL)
            result = by_base(self, base_sendmsg, SOCKWAIT_WRITE, flags, plain, nargs, NULL);
        Py_XDECREF(ancillary);
    } else if (rc > 0) {
        if (address != NULL) header.msg_name = &to;
        if ((nargs < 2 || sockparts_read_ancillary(args[1], &header) == 0) &&
            PySys_Audit("socket.sendmsg", "OO", self, address != NULL ? address : Py_None) == 0) {
            ssize_t n = send_message(self, &header, flags, false);
            if (n >= 0) result = PyLong_FromSsize_t(n);
        }
        PyMem_Free(header.msg_control);
    }
    Py_XDECREF(address);
    sockparts_release(&buffers);
    return result;
}
