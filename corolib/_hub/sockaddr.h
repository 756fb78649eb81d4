/* Socket addresses as Python writes them: (host, port), (host, port, flow, scope), the path of a unix socket
 * or the bytes of its abstract name. The families that are used all the time; the rest are _socket's
 * business. */
#ifndef COROLIB_HUB_SOCKADDR_H
#define COROLIB_HUB_SOCKADDR_H

#include <Python.h>
#include <stdbool.h>

#include <sys/socket.h>

static inline bool sockaddr_knows(int family)
{
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}
/* What the kernel gave, of a family that sockaddr_knows(), as _socket writes it: None if the length is 0.
 * New. */
PyObject *sockaddr_format(const struct sockaddr_storage *, socklen_t len);
/* 1 if the address was read; 0 if it is in another form, a name that has to be looked up, or wrong: _socket
 * has the words for that. -1 with an exception. Never switches. */
int sockaddr_read(int family, PyObject *address, struct sockaddr_storage *, socklen_t *len);

#endif
