/* What a message is made of. */
#define PY_SSIZE_T_CLEAN /* "#" in formats is a Py_ssize_t */
#include <Python.h>

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "sockparts.h"

void sockparts_release(struct sockparts *buffers)
{
    for (Py_ssize_t i = 0; i < buffers->len; i++) PyBuffer_Release(&buffers->views[i]);
    PyMem_Free(buffers->views);
    Py_CLEAR(buffers->list);
}

int sockparts_take(struct sockparts *buffers, PyObject *iterable, int kind, const char *not_iterable,
                   const char *too_many)
{
    *buffers = (struct sockparts){.list = NULL};
    PyObject *list = PySequence_Fast(iterable, not_iterable);
    if (list == NULL) return -1;
    /* The list may be the caller's, and what makes the buffers any Python code: it may change the list. */
    buffers->list = PySequence_Tuple(list);
    Py_DECREF(list);
    if (buffers->list == NULL) return -1;
    Py_ssize_t len = PyTuple_GET_SIZE(buffers->list);
    if (len > INT_MAX) {
        PyErr_SetString(PyExc_OSError, too_many);
        goto failed;
    }
    /* One more, so that none is no empty block. */
    buffers->views = PyMem_Malloc((size_t)(len + 1) * (sizeof *buffers->views + sizeof *buffers->iovs));
    if (buffers->views == NULL) {
        PyErr_NoMemory();
        goto failed;
    }
    buffers->iovs = (struct iovec *)(buffers->views + len + 1);
    for (; buffers->len < len; buffers->len++) {
        Py_buffer *view = &buffers->views[buffers->len];
        int rc = PyObject_GetBuffer(PyTuple_GET_ITEM(buffers->list, buffers->len), view, kind);
        if (rc < 0) {
            if (kind == PyBUF_WRITABLE)
                PyErr_SetString(PyExc_TypeError, "recvmsg_into() argument 1 must be an iterable of "
                                                 "single-segment read-write buffers");
            goto failed;
        }
        buffers->iovs[buffers->len] = (struct iovec){.iov_base = view->buf, .iov_len = (size_t)view->len};
        buffers->size += (size_t)view->len;
    }
    return 0;
failed:
    sockparts_release(buffers);
    return -1;
}

/* Ancillary data. */

void sockparts_close(struct msghdr *header)
{
    for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item != NULL; item = CMSG_NXTHDR(header, item)) {
        if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(item) + i * sizeof fd, sizeof fd);
            close(fd);
        }
    }
}

PyObject *sockparts_ancillary(struct msghdr *header)
{
    PyObject *list = PyList_New(0);
    if (list == NULL) return NULL;
    const unsigned char *end = (unsigned char *)header->msg_control + header->msg_controllen;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item != NULL; item = CMSG_NXTHDR(header, item)) {
        Py_ssize_t len = (Py_ssize_t)(item->cmsg_len - CMSG_LEN(0));
        if (len > end - CMSG_DATA(item)) len = end - CMSG_DATA(item); /* what there was room for */
        PyObject *row = Py_BuildValue("iiy#", item->cmsg_level, item->cmsg_type, CMSG_DATA(item), len);
        if (row == NULL || PyList_Append(list, row) < 0) {
            Py_XDECREF(row);
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(row);
    }
    return list;
}

int sockparts_read_ancillary(PyObject *iterable, struct msghdr *header)
{
    PyObject *list = PySequence_Fast(iterable, "sendmsg() argument 2 must be an iterable");
    if (list == NULL) return -1;
    int rc = -1;
    size_t size = 0;
    char *control = NULL;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list); i++) {
        int level, type;
        Py_buffer data;
        PyObject *row = Py_NewRef(PySequence_Fast_GET_ITEM(list, i));
        PyObject *tuple = PySequence_Tuple(row);
        Py_DECREF(row);
        if (tuple == NULL) goto done;
        int fits = PyArg_ParseTuple(tuple, "iiy*:[sendmsg() ancillary data items]", &level, &type, &data);
        Py_DECREF(tuple);
        if (!fits) goto done;
        if ((size_t)data.len > INT_MAX - CMSG_SPACE(0) - sizeof(struct cmsghdr) ||
            CMSG_SPACE((size_t)data.len) > INT_MAX - size) {
            PyErr_SetString(PyExc_OSError, "too much ancillary data");
            PyBuffer_Release(&data);
            goto done;
        }
        size_t space = CMSG_SPACE((size_t)data.len);
        char *more = PyMem_Realloc(control, size + space);
        if (more == NULL) {
            PyBuffer_Release(&data);
            PyErr_NoMemory();
            goto done;
        }
        control = more;
        memset(control + size, 0, space); /* the padding is the kernel's to see */
        struct cmsghdr head = {
            .cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN((size_t)data.len)};
        memcpy(control + size, &head, sizeof head);
        memcpy(control + size + CMSG_LEN(0), data.buf, (size_t)data.len);
        size += space;
        PyBuffer_Release(&data);
    }
    rc = 0;
done:
    Py_DECREF(list);
    header->msg_control = control;
    header->msg_controllen = size;
    return rc;
}
