/* Datagrams and messages: receives that tell where from, sends that say where to, ancillary data. Each makes
 * its system call first and parks when there is nothing to do. The methods' docstrings are in socket.c. */
#ifndef COROLIB_HUB_SOCKMSG_H
#define COROLIB_HUB_SOCKMSG_H

#include <Python.h>

/* Methods: the errors for wrong arguments are those of _socket. */
PyObject *sockmsg_recvfrom(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *sockmsg_recvfrom_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *sockmsg_recvmsg(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *sockmsg_recvmsg_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *sockmsg_sendto(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *sockmsg_sendmsg(PyObject *self, PyObject *const *args, Py_ssize_t nargs);

/* Finds the methods of _socket.socket that ours stand on. 0, or -1 with an exception. Once per process. */
int sockmsg_setup(PyTypeObject *base);

#endif
