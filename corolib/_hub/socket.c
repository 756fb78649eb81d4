/* The type Socket: its making and unmaking, its timeout, and the table of its methods.
 *
 * The descriptor is non-blocking and the base's own timeout 0 from the first moment to the last, so whatever
 * uses the object as a _socket.socket (the methods not overridden here, TLS) gets EAGAIN and never blocks the
 * thread. The timeout that settimeout() sets is ours alone. O_NONBLOCK belongs to the open file: who shares
 * it (dup, fork, detach) sees it. */
#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "socket.h"

#include "arguments.h"
#include "park.h"
#include "sockmsg.h"
#include "sockops.h"
#include "sockwait.h"

#ifdef SOCK_NONBLOCK
#define BORN_NONBLOCKING SOCK_NONBLOCK
#else
#define BORN_NONBLOCKING 0 /* this system's socket() cannot: one ioctl more */
#endif

static PyTypeObject *base_type, *socket_type; /* owned, set once by socket_setup() */
static PyObject *getdefaulttimeout;           /* owned, _socket's */
static PyObject *name_real_close;             /* owned */

static struct sock *sock_of(PyObject *self)
{
    return (struct sock *)self;
}

/* Timeouts. */

/* As _socket reads them: None, or seconds as float or whole number, not negative. */
static int read_timeout(PyObject *argument, double *timeout)
{
    if (argument == Py_None) {
        *timeout = PARK_FOREVER;
        return 0;
    }
    double seconds;
    if (PyFloat_Check(argument)) {
        seconds = PyFloat_AS_DOUBLE(argument);
    } else {
        PyObject *whole = PyNumber_Index(argument);
        if (whole == NULL) return -1;
        seconds = PyLong_AsDouble(whole);
        Py_DECREF(whole);
        if (seconds == -1.0 && PyErr_Occurred()) return -1;
    }
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "Invalid value NaN (not a number)");
        return -1;
    }
    if (seconds < 0) {
        PyErr_SetString(PyExc_ValueError, "Timeout value out of range");
        return -1;
    }
    if (isinf(seconds)) {
        PyErr_SetString(PyExc_OverflowError, "timeout is infinite; expected seconds, or None for no limit");
        return -1;
    }
    *timeout = seconds;
    return 0;
}

static int default_timeout(double *timeout)
{
    PyObject *value = PyObject_CallNoArgs(getdefaulttimeout);
    if (value == NULL) return -1;
    int rc = read_timeout(value, timeout);
    Py_DECREF(value);
    return rc;
}

static PyObject *socket_gettimeout(PyObject *self, PyObject *unused)
{
    double timeout = sock_of(self)->timeout;
    if (timeout < 0) Py_RETURN_NONE;
    return PyFloat_FromDouble(timeout);
}

static PyObject *timeout_getter(PyObject *self, void *unused)
{
    return socket_gettimeout(self, NULL);
}

/* Keeps the descriptor non-blocking, should somebody who shares the open file have changed that. Fails where
 * _socket's fails, which makes the same call: the descriptor is closed, here or behind our back. */
static int stay_nonblocking(PyObject *self)
{
    int on = 1;
    if (ioctl(sock_of(self)->fd, FIONBIO, &on) == 0) return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static PyObject *socket_settimeout(PyObject *self, PyObject *argument)
{
    double timeout;
    if (read_timeout(argument, &timeout) < 0 || stay_nonblocking(self) < 0) return NULL;
    sock_of(self)->timeout = timeout;
    Py_RETURN_NONE;
}

static PyObject *socket_getblocking(PyObject *self, PyObject *unused)
{
    return PyBool_FromLong(sock_of(self)->timeout != 0);
}

static PyObject *socket_setblocking(PyObject *self, PyObject *argument)
{
    int blocking = PyObject_IsTrue(argument);
    if (blocking < 0 || stay_nonblocking(self) < 0) return NULL;
    sock_of(self)->timeout = blocking ? PARK_FOREVER : 0;
    Py_RETURN_NONE;
}

/* Life. */

static PyObject *socket_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = base_type->tp_new(type, args, kwargs);
    if (self != NULL) sock_of(self)->timeout = PARK_FOREVER;
    return self;
}

static int socket_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"family", "type", "proto", "fileno", NULL};
    struct sock *sock = sock_of(self);
    int family = -1, type = -1, proto = -1;
    PyObject *fileno = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|iiiO:socket", names, &family, &type, &proto, &fileno))
        return -1;
    double timeout = 0;
    if ((type == -1 || !(type & BORN_NONBLOCKING)) && default_timeout(&timeout) < 0) return -1;
    /* With the flag socket() itself makes it non-blocking, and the base leaves its timeout at 0. For a
     * descriptor that comes from elsewhere a type that was not given must stay unknown: the base asks the
     * kernel. */
    if (type == -1 && fileno == Py_None) type = SOCK_STREAM;
    if (type != -1) type |= BORN_NONBLOCKING;
    PyObject *base_args = Py_BuildValue("(iiiO)", family, type, proto, fileno);
    if (base_args == NULL) return -1;
    sockwait_release(sock, false);
    int rc = base_type->tp_init(self, base_args, NULL);
    Py_DECREF(base_args);
    if (rc < 0) return -1;
    sock->base_timeout = 0;
    sock->io_refs = 0;
    sock->closed = false;
    sock->timeout = timeout;
    sock->streak = 0;
    sockwait_knows_nothing(sock);
    int on = 1;
    if ((fileno == Py_None && BORN_NONBLOCKING != 0) || ioctl(sock->fd, FIONBIO, &on) == 0) return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    if (fileno == Py_None) close(sock->fd);
    sock->fd = -1;
    return -1;
}

static PyObject *socket_real_close(PyObject *self, PyObject *unused)
{
    struct sock *sock = sock_of(self);
    int fd = sock->fd;
    if (fd < 0) Py_RETURN_NONE;
    sockwait_release(sock, true);
    sock->fd = -1;
    int rc;
    Py_BEGIN_ALLOW_THREADS /* may block: SO_LINGER */
        rc = close(fd);
    Py_END_ALLOW_THREADS
        /* Not again after EINTR, the number may be somebody else's. A peer that has closed already is no
           error. */
        if (rc < 0 && errno != ECONNRESET) return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

/* As socket.close() in Python, whose names for these two are used by makefile() and its files. */
static PyObject *socket_close(PyObject *self, PyObject *unused)
{
    sock_of(self)->closed = true;
    if (sock_of(self)->io_refs > 0) Py_RETURN_NONE;
    return PyObject_VectorcallMethod(name_real_close, &self, 1, NULL);
}

static PyObject *socket_detach(PyObject *self, PyObject *unused)
{
    struct sock *sock = sock_of(self);
    int fd = sock->fd;
    sock->closed = true;
    sockwait_release(sock, false);
    sock->fd = -1;
    return PyLong_FromLong(fd);
}

/* Nobody waits on a socket that is finalized: who waits holds it. The base warns of an open one, which may
 * run any Python code, and closes it; the sides go before the close, and once more in case that code has
 * waited. */
static void socket_finalize(PyObject *self)
{
    sockwait_release(sock_of(self), true);
    base_type->tp_finalize(self);
    sockwait_release(sock_of(self), false);
}

static void socket_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (PyType_HasFeature(base_type, Py_TPFLAGS_HEAPTYPE)) {
        /* 3.12 and later: the base finalizes, frees, and drops the type. */
        sockwait_release(sock_of(self), true);
        base_type->tp_dealloc(self);
        return;
    }
    /* 3.11: a static base does not know that its subtype is to be dropped, nor tell whether the object was
     * resurrected. */
    if (PyObject_CallFinalizerFromDealloc(self) < 0) return;
    sockwait_release(sock_of(self), false);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Accept. */

static PyObject *socket_accept4(PyObject *self, PyObject *unused)
{
    PyObject *address;
    int fd = sockops_accept(sock_of(self), &address);
    if (fd < 0) return NULL;
    PyObject *pair = Py_BuildValue("iN", fd, address);
    if (pair == NULL) close(fd);
    return pair;
}

/* A connection as an object of `type`, without its __init__ and the system calls in it: all but the
 * descriptor is as in the listener. */
static PyObject *socket_accept_as(PyObject *self, PyObject *type)
{
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, socket_type))
        return PyErr_Format(PyExc_TypeError, "accept_as() takes a subclass of Socket, not %R", type);
    PyObject *address, *result = NULL;
    struct sock *listener = sock_of(self), *new = NULL;
    int fd = sockops_accept(listener, &address);
    if (fd < 0) return NULL;
    PyObject *none = PyTuple_New(0), *made = NULL;
    if (none == NULL || (made = ((PyTypeObject *)type)->tp_new((PyTypeObject *)type, none, NULL)) == NULL)
        goto failed;
    if (!PyObject_TypeCheck(made, socket_type)) {
        PyErr_Format(PyExc_TypeError, "%R.__new__() made %.100s, not a Socket", type, Py_TYPE(made)->tp_name);
        goto failed;
    }
    new = sock_of(made);
    if (default_timeout(&new->timeout) < 0 || (result = PyTuple_New(2)) == NULL) goto failed;
    memcpy(&new->fd, &listener->fd, offsetof(struct sock, places) - offsetof(struct sock, fd));
    new->fd = fd;
    sockwait_knows_nothing(new);
    PyTuple_SET_ITEM(result, 0, made);
    PyTuple_SET_ITEM(result, 1, address);
    Py_DECREF(none);
    return result;
failed:
    Py_XDECREF(made);
    Py_XDECREF(none);
    Py_DECREF(address);
    close(fd);
    return NULL;
}

/* What a subclass that can look names up overrides. */
static PyObject *socket_with_address(PyObject *self, PyObject *address)
{
    return Py_NewRef(address);
}

static PyObject *socket_take_turn(PyObject *self, PyObject *unused)
{
    if (sockwait_turn(sock_of(self)) < 0) return NULL;
    Py_RETURN_NONE;
}

/* Waits without an operation, for what is done elsewhere (TLS, the base's methods). */

static PyObject *wait_for(PyObject *self, const char *method, enum sockwait_direction direction,
                          PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"timeout", NULL};
    struct sock *sock = sock_of(self);
    PyObject *given;
    if (arguments_take(method, names, 0, args, nargs, kwnames, &given) < 0) return NULL;
    if (sock->fd < 0) {
        errno = EBADF;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    struct sockwait wait;
    sockwait_begin(&wait, sock);
    if (given != NULL && park_timeout(given, &wait.timeout) < 0) return NULL;
    if (given != NULL && wait.timeout == 0) {
        struct pollfd look = {.fd = sock->fd, .events = direction == SOCKWAIT_READ ? POLLIN : POLLOUT};
        int rc = poll(&look, 1, 0);
        if (rc > 0) Py_RETURN_NONE;
        if (rc < 0) return PyErr_SetFromErrno(PyExc_OSError);
        PyErr_SetString(PyExc_TimeoutError, "timed out");
        return NULL;
    }
    if (sockwait_ready(&wait, direction) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *socket_wait_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return wait_for(self, "wait_read", SOCKWAIT_READ, args, nargs, kwnames);
}

static PyObject *socket_wait_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return wait_for(self, "wait_write", SOCKWAIT_WRITE, args, nargs, kwnames);
}

/* The type. */

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef methods[] = {
    {"recv", FAST(sockops_recv), METH_FASTCALL,
     PyDoc_STR(
         "recv($self, bufsize, flags=0, /)\n--\n\nReceive up to bufsize bytes; b'' at the end of the stream. "
         "Parks "
         "until there "
         "is something; a greenlet that always finds something lets others run at every 64th operation.")},
    {"recv_into", FAST(sockops_recv_into), METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("recv_into($self, /, buffer, nbytes=0, flags=0)\n--\n\nReceive up to nbytes (0: the buffer's "
               "length) "
               "into a writable "
               "buffer, which cannot be resized meanwhile: how many came. Parks until there is something.")},
    {"send", FAST(sockops_send), METH_FASTCALL,
     PyDoc_STR(
         "send($self, data, flags=0, /)\n--\n\nSend what the kernel takes: how many bytes, possibly not all. "
         "Parks until it "
         "takes some.")},
    {"sendall", FAST(sockops_sendall), METH_FASTCALL,
     PyDoc_STR(
         "sendall($self, data, flags=0, /)\n--\n\nSend all of data. Parks whenever the kernel takes no more. "
         "The socket's "
         "timeout is for the whole call; when it runs out, how much was sent is not known.")},
    {"recvfrom", FAST(sockmsg_recvfrom), METH_FASTCALL,
     PyDoc_STR(
         "recvfrom($self, bufsize, flags=0, /)\n--\n\nReceive up to bufsize bytes: (bytes, address of the "
         "sender). Parks until there is something.")},
    {"recvfrom_into", FAST(sockmsg_recvfrom_into), METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR(
         "recvfrom_into($self, /, buffer, nbytes=0, flags=0)\n--\n\nReceive into a writable buffer, which "
         "cannot be resized meanwhile: (number of bytes, address of the sender). Parks until there is "
         "something.")},
    {"recvmsg", FAST(sockmsg_recvmsg), METH_FASTCALL,
     PyDoc_STR(
         "recvmsg($self, bufsize, ancbufsize=0, flags=0, /)\n--\n\nReceive data and ancillary data: (bytes, "
         "[(level, type, bytes)...], flags, address). Parks until there is something.")},
    {"recvmsg_into", FAST(sockmsg_recvmsg_into), METH_FASTCALL,
     PyDoc_STR(
         "recvmsg_into($self, buffers, ancbufsize=0, flags=0, /)\n--\n\nReceive data into writable buffers, "
         "one after the other, and ancillary data: (number of bytes, [(level, type, bytes)...], flags, "
         "address). Parks until there is something.")},
    {"sendto", FAST(sockmsg_sendto), METH_FASTCALL,
     PyDoc_STR(
         "sendto($self, data, flags_or_address, address=<unset>, /)\n--\n\nsendto(data, [flags,] address): "
         "send to an address; how many bytes went. Parks until the kernel takes them. A name in the address "
         "must not need a look-up unless the class has a _with_address() that looks it up.")},
    {"sendmsg", FAST(sockmsg_sendmsg), METH_FASTCALL,
     PyDoc_STR(
         "sendmsg($self, buffers, ancdata=(), flags=0, address=None, /)\n--\n\nSend data from several "
         "buffers, with ancillary data [(level, type, buffer)...]: how many bytes went. Parks until the "
         "kernel takes some. The address as in sendto().")},
    {"_with_address", socket_with_address, METH_O,
     PyDoc_STR("_with_address($self, address, /)\n--\n\nThe address as sendto() and sendmsg() are to use it: "
               "itself. A subclass may look a name up.")},
    {"_take_turn", socket_take_turn, METH_NOARGS,
     PyDoc_STR(
         "_take_turn($self, /)\n--\n\nBefore an operation that is done elsewhere: who has not had to wait "
         "64 times lets others run.")},
    {"accept4", socket_accept4, METH_NOARGS,
     PyDoc_STR("accept4($self, /)\n--\n\n(descriptor, address) of the next connection; the descriptor is "
               "non-blocking and "
               "close-on-exec. Parks until there is one.")},
    {"_accept", socket_accept4, METH_NOARGS, PyDoc_STR("_accept($self, /)\n--\n\nThe same as accept4().")},
    {"accept_as", socket_accept_as, METH_O,
     PyDoc_STR(
         "accept_as($self, type, /)\n--\n\n(socket, address) of the next connection. The socket is made by "
         "type.__new__(), "
         "a subclass of Socket, without its __init__: the caller sets what that would have set. Parks "
         "until there "
         "is one.")},
    {"connect", sockops_connect, METH_O,
     PyDoc_STR(
         "connect($self, address, /)\n--\n\nConnect. Parks until it is settled. The address must not need a "
         "name look-up, "
         "which would block the thread.")},
    {"connect_ex", sockops_connect_ex, METH_O,
     PyDoc_STR(
         "connect_ex($self, address, /)\n--\n\nLike connect(), with the error number in place of OSError; 0 "
         "on success.")},
    {"wait_read", FAST(socket_wait_read), METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("wait_read($self, /, timeout=<that of the socket>)\n--\n\nPark until readable. TimeoutError "
               "when the time "
               "runs out; 0 "
               "looks without parking. BlockingIOError if the socket itself is not to wait.")},
    {"wait_write", FAST(socket_wait_write), METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR(
         "wait_write($self, /, timeout=<that of the socket>)\n--\n\nPark until writable; as wait_read().")},
    {"close", socket_close, METH_NOARGS,
     PyDoc_STR("close($self, /)\n--\n\nClose the socket, and the descriptor by _real_close(): once the last "
               "file of makefile() is closed, if there are any.")},
    {"_real_close", socket_real_close, METH_NOARGS,
     PyDoc_STR("_real_close($self, /)\n--\n\nClose the descriptor. Greenlets that wait on it, in any thread, "
               "get OSError(EBADF).")},
    {"detach", socket_detach, METH_NOARGS,
     PyDoc_STR("detach($self, /)\n--\n\nGive the descriptor up without closing it: its number. It stays "
               "non-blocking. Greenlets "
               "that wait get OSError(EBADF).")},
    {"settimeout", socket_settimeout, METH_O,
     PyDoc_STR(
         "settimeout($self, value, /)\n--\n\nSeconds for each operation that starts from now on; None for "
         "no limit, 0 "
         "for BlockingIOError in place of a wait.")},
    {"gettimeout", socket_gettimeout, METH_NOARGS,
     PyDoc_STR("gettimeout($self, /)\n--\n\nThe timeout in seconds, or None.")},
    {"setblocking", socket_setblocking, METH_O,
     PyDoc_STR("setblocking($self, flag, /)\n--\n\nsettimeout(None) if true, settimeout(0) if not.")},
    {"getblocking", socket_getblocking, METH_NOARGS,
     PyDoc_STR("getblocking($self, /)\n--\n\nWhether operations wait. The descriptor is non-blocking all the "
               "same.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_io_refs", T_INT, offsetof(struct sock, io_refs), 0, NULL},
    {"_closed", T_BOOL, offsetof(struct sock, closed), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"timeout", timeout_getter, NULL, PyDoc_STR("the timeout in seconds, or None"), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, socket_new},
    {Py_tp_init, socket_init},
    {Py_tp_dealloc, socket_dealloc},
    {Py_tp_finalize, socket_finalize},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_members, members},
    {Py_tp_doc,
     PyDoc_STR(
         "Socket(family=-1, type=-1, proto=-1, fileno=None)\n--\n\n_socket.socket whose blocking "
         "operations park. The descriptor is always non-blocking; the timeout is ours. One greenlet at "
         "a time may wait in each direction; a second one gets ConcurrentObjectUseError, unless it runs "
         "in another thread.")},
    {0, NULL},
};

/* Whether the base collects garbage (3.12 and later) is inherited; we add no references of our own. */
static PyType_Spec spec = {
    .name = "corolib._hub.Socket",
    .basicsize = sizeof(struct sock),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

#define PROBE_SECONDS 1.5
#define PROBE_NANOSECONDS 1500000000

/* Compares a real socket with what sockwait.h says of it. */
static int check_layout(void)
{
    if (base_type->tp_basicsize != offsetof(struct sock, places)) {
        PyErr_Format(PyExc_ImportError,
                     "_socket.socket of this Python has %zd bytes, corolib._hub was written for one of %zd; "
                     "this Python is not supported",
                     base_type->tp_basicsize, offsetof(struct sock, places));
        return -1;
    }
    PyObject *probe = PyObject_CallFunction((PyObject *)base_type, "ii", AF_UNIX, SOCK_DGRAM);
    if (probe == NULL) return -1;
    int rc = -1, fd = PyObject_AsFileDescriptor(probe);
    PyObject *result = fd < 0 ? NULL : PyObject_CallMethod(probe, "settimeout", "d", PROBE_SECONDS);
    if (result != NULL) {
        const struct sock *sock = sock_of(probe);
        if (sock->fd == fd && sock->family == AF_UNIX && sock->type == SOCK_DGRAM && sock->proto == 0 &&
            sock->base_timeout == PROBE_NANOSECONDS)
            rc = 0;
        else
            PyErr_SetString(PyExc_ImportError,
                            "_socket.socket of this Python is laid out otherwise than corolib._hub "
                            "was written for; this Python is not supported");
        Py_DECREF(result);
        result = PyObject_CallMethod(probe, "close", NULL);
        if (result == NULL) rc = -1;
    }
    Py_XDECREF(result);
    Py_DECREF(probe);
    return rc;
}

int socket_setup(PyObject *module)
{
    PyObject *bases = NULL;
    int rc = -1;
    PyObject *native = PyImport_ImportModule("_socket");
    if (native == NULL) return -1;
    if ((name_real_close = PyUnicode_InternFromString("_real_close")) == NULL ||
        (base_type = (PyTypeObject *)PyObject_GetAttrString(native, "socket")) == NULL ||
        (getdefaulttimeout = PyObject_GetAttrString(native, "getdefaulttimeout")) == NULL ||
        (sockops_base_accept = PyObject_GetAttrString((PyObject *)base_type, "_accept")) == NULL ||
        (sockops_base_connect_ex = PyObject_GetAttrString((PyObject *)base_type, "connect_ex")) == NULL)
        goto done;
    if (sockmsg_setup(base_type) < 0 || check_layout() < 0 || (bases = PyTuple_Pack(1, base_type)) == NULL)
        goto done;
    if ((socket_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, bases)) == NULL) goto done;
    rc = PyModule_AddType(module, socket_type);
done:
    Py_XDECREF(bases);
    Py_DECREF(native);
    return rc;
}
