/* Socket: the C subtype of _socket.socket whose operations park. */
#ifndef COROLIB_HUB_SOCKET_H
#define COROLIB_HUB_SOCKET_H

#include <Python.h>

/* Makes the type and adds it to the module as Socket. 0, or -1 with an exception: ImportError if
 * _socket.socket of this Python is laid out otherwise than sockwait.h says. Once per process. */
int socket_setup(PyObject *module);

#endif
