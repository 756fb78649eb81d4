/* What a message is made of, between Python and the kernel: several buffers, ancillary data. Knows no hub. */
#ifndef COROLIB_HUB_SOCKPARTS_H
#define COROLIB_HUB_SOCKPARTS_H

#include <Python.h>

#include <sys/socket.h>
#include <sys/uio.h>

/* Several buffers as one list for the kernel. */
struct sockparts {
    PyObject *list;     /* owned: what the caller gave, as a tuple */
    Py_buffer *views;   /* len of them are held */
    struct iovec *iovs; /* in the same block of memory */
    Py_ssize_t len;
    size_t size; /* of all together */
};

/* Takes hold of an iterable's buffers, of PyBUF_SIMPLE or PyBUF_WRITABLE kind: 0, or -1 with an exception. */
int sockparts_take(struct sockparts *, PyObject *iterable, int kind, const char *not_iterable,
                   const char *too_many);
void sockparts_release(struct sockparts *);

/* [(level, type, bytes)...] of what the kernel wrote, which shortens an item that has no room. New. */
PyObject *sockparts_ancillary(struct msghdr *);
/* Closes the descriptors of a message that could not be handed on: they would be open for ever. */
void sockparts_close(struct msghdr *);
/* Ancillary data for the kernel: [(level, type, buffer)...] into header->msg_control, which is the caller's
 * to free, with PyMem_Free(). 0, or -1 with an exception. */
int sockparts_read_ancillary(PyObject *iterable, struct msghdr *header);

#endif
