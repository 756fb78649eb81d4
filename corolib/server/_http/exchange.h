/* One request and its answer, as the handler of a connection keeps them: what corolib/server/handler.py and
 * the way of an ordinary request, which is in C (serve.c), both work on. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include <Python.h>

#include <stdbool.h>

#include "state.h"

struct exchange {
    PyObject_HEAD struct http_state *state; /* borrowed from the module, which the type holds */

    /* Owned or NULL, which Python sees as None. Attributes of the handler, of the same names. */
    PyObject *socket, *client_address, *server, *application;
    PyObject *environ, *wsgi_input, *result;
    PyObject *status, *provided_date, *provided_length;
    PyObject *reader;    /* `_reader` */
    PyObject *counters;  /* `_counters`: the server's Tally */
    PyObject *timeout;   /* `_timeout`: of the socket, as set last */
    PyObject *keepalive; /* `_keepalive`: what that is to be while it waits for another request */
    PyObject *headers;   /* `response_headers`; a list of our own as long as `vetted` */

    /* Owned or NULL: bound methods of the handler that each request needs; exchange_forget() ends the
     * circle. */
    PyObject *start_response, *write;

    double time_start, time_finish;
    long long response_length;
    int code, flags, found; /* flags: of reader.h; found: of answer.h */

    char headers_sent, response_use_chunked, close_connection, fresh, idle;
    char direct;  /* `_direct`: the socket is one of ours and speaks no TLS */
    char at_once; /* `_at_once`: nothing is overridden of what send_at_once() does */
    char logs;    /* `_logs`: log_request() has something to do */
    bool vetted;  /* `headers` is as answer_check() has seen it: nobody else has had it since */
};

int exchange_setup(PyObject *module, struct http_state *state);

/* Calls a method of the handler, with an argument unless that is NULL. 0 or -1. */
int exchange_call(struct exchange *exchange, PyObject *name, PyObject *argument);

/* Before the application is called, and after all of the answer. */
void exchange_begin(struct exchange *exchange);
int exchange_end(struct exchange *exchange);

/* Send an answer of one piece, head and body in one go. 1; 0 if there is anything about it that needs more
 * thought, and nothing has happened; -1. Switches if the peer is slow. */
int exchange_send_at_once(struct exchange *exchange, PyObject *data);

/* A body up to this size is put behind its head, so that both leave in one send(). Copying it costs less than
 * a second system call. */
#define EXCHANGE_TOGETHER 65536
/* What one recv() takes at most. A head seldom has more; a body comes in as many as it needs. */
#define SERVE_RECEIVE 16384

/* serve.c: see the docstring in exchange.c. */
PyObject *serve_ordinary(PyObject *self, PyObject *unused);

/* What serve() returns. */
enum {
    SERVE_OVER = 0,     /* the connection has ended */
    SERVE_WAITING = 1,  /* a request may come, or has begun to */
    SERVE_ANSWERED = 2, /* a request was answered, and that is not all there is to do about it */
};

#endif
