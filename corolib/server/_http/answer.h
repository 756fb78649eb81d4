/* Heads of answers: checked, and put together with as much of the body as there is. */
#ifndef HTTP_ANSWER_H
#define HTTP_ANSWER_H

#include <Python.h>

#include <stdbool.h>

#include "state.h"

/* What check() finds and answer() is told: see the docstrings in module.c. */
enum {
    ANSWER_DATE = 1,      /* found: has a Date; told: add one */
    ANSWER_SERVER = 2,    /* has a Server */
    ANSWER_CLOSE = 4,     /* Connection: close */
    ANSWER_KEEP = 8,      /* Connection: keep-alive */
    ANSWER_CHUNKED = 16,  /* told only: the body comes in chunks, of which this is the first */
    ANSWER_ORDINARY = 64, /* found: the status is of an answer that has a body, if a short one */
    ANSWER_OTHER = 32,    /* a Connection that says neither */
};

/* What check() says of a status and a list of headers. -1 with an exception for what would not be one head.
 */
struct answer_facts {
    int code, found;
    long long length; /* Content-Length, or -1 */
};
int answer_inspect(PyObject *status, PyObject *headers, struct answer_facts *facts);

/* The bytes of an answer: see answer() in module.c. `vetted`: the headers are as answer_inspect() has seen
 * them. */
PyObject *answer_build(struct http_state *state, PyObject *status, PyObject *headers, int told,
                       long long length, PyObject *body, bool vetted);

PyObject *answer_check(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
PyObject *answer_make(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
PyObject *answer_date(PyObject *module, PyObject *const *args, Py_ssize_t nargs);

#endif
