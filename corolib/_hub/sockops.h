/* What is done with a socket's descriptor: receive, send, accept, connect. Each makes its system call first
 * and parks when there is nothing to do; see sockops.c. The methods' docstrings are in socket.c. */
#ifndef COROLIB_HUB_SOCKOPS_H
#define COROLIB_HUB_SOCKOPS_H

#include "sockwait.h"

/* Methods: the errors for wrong arguments are those of _socket. */
PyObject *sockops_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *sockops_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *sockops_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *sockops_sendall(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *sockops_connect(PyObject *self, PyObject *address);
PyObject *sockops_connect_ex(PyObject *self, PyObject *address);

/* A connection from the listener's queue: its descriptor (close-on-exec, non-blocking) and, as a new
 * reference, the peer's address. -1 with an exception set. */
int sockops_accept(struct sock *listener, PyObject **address);

/* Raises ConcurrentObjectUseError: what is sent now would come out in the middle of a sendall() that waits
 * (sock->sending). */
void sockops_refuse_to_mix(struct sock *);

/* Methods of _socket.socket that ours stand on; owned, found once by socket_setup(). */
extern PyObject *sockops_base_accept, *sockops_base_connect_ex;

#endif
