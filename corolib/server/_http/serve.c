/* The way of an ordinary request, from its first byte to the last of its answer: one recv(), the application,
 * one send(). Whatever is not ordinary is left to the handler's methods in Python, which do the same with
 * every case there is. */
#include "answer.h"
#include "exchange.h"
#include "reader.h"
#include "tally.h"

/* Is an attribute of the server true? -1 with an exception. */
static int server_is(struct exchange *exchange, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(exchange->server, name);
    if (value == NULL) return -1;
    int is = PyObject_IsTrue(value);
    Py_DECREF(value);
    return is;
}

static struct reader *reader_of(struct exchange *exchange)
{
    struct http_state *state = exchange->state;
    if (exchange->reader != NULL && Py_IS_TYPE(exchange->reader, state->reader) &&
        exchange->counters != NULL && PyObject_TypeCheck(exchange->counters, state->tally) &&
        exchange->keepalive != NULL)
        return (struct reader *)exchange->reader;
    PyErr_SetString(PyExc_TypeError, "the handler has no reader: its __init__() was not called");
    return NULL;
}

/* The socket has the deadline for what is waited for. */
static int set_idle_timeout(struct exchange *exchange)
{
    struct http_state *state = exchange->state;
    PyObject *now = exchange->timeout == NULL ? Py_None : exchange->timeout;
    if (!exchange->fresh && now == exchange->keepalive) return 0;
    PyObject *timeout = exchange->fresh ? PyObject_GetAttr(exchange->server, state->connect_timeout)
                                        : Py_NewRef(exchange->keepalive);
    if (timeout == NULL) return -1;
    int rc = exchange_call(exchange, state->set_timeout, timeout);
    Py_DECREF(timeout);
    return rc;
}

/* Wait for bytes, and have the reader make a head of them. The environ, or None with `what` to return; NULL
 * with an exception: that of the wait while `idle` is still set. */
static PyObject *wait_for_head(struct exchange *exchange, struct reader *reader, int *what)
{
    struct http_state *state = exchange->state;
    *what = SERVE_WAITING;
    int draining = tally_is_ending(exchange->counters) ? server_is(exchange, state->draining) : 0;
    if (draining < 0 || (!draining && set_idle_timeout(exchange) < 0)) return NULL;
    if (draining) return Py_NewRef(Py_None); /* read_request() looks whether something was asked already */
    exchange->idle = true;
    PyObject *args[] = {NULL, exchange->socket, state->receive};
    PyObject *data =
        PyObject_VectorcallMethod(state->recv, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (data == NULL) return NULL;
    exchange->idle = false;
    PyObject *environ = reader_next_head(reader, data);
    /* Nobody is there to be told what was wrong with half a head. */
    if (environ == Py_None && PyBytes_GET_SIZE(data) == 0) *what = SERVE_OVER;
    Py_DECREF(data);
    return environ;
}

/* Has the handler answer an exception of the application, as an `except` would. */
static int answer_failure(struct exchange *exchange)
{
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL) PyException_SetTraceback(error, traceback);
    PyObject *handled = PyErr_GetHandledException();
    PyErr_SetHandledException(error);
    int rc = exchange_call(exchange, exchange->state->answer_failed, error);
    PyErr_SetHandledException(handled);
    Py_XDECREF(handled);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    return rc;
}

/* Call the application, and send what it returns. */
static int run_application(struct exchange *exchange)
{
    PyObject *args[] = {NULL, exchange->environ, exchange->start_response};
    PyObject *application = Py_NewRef(exchange->application);
    PyObject *result = PyObject_Vectorcall(application, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(application);
    if (result == NULL) return -1;
    Py_XSETREF(exchange->result, result);
    int sent = 0;
    if (PyList_CheckExact(result) && PyList_GET_SIZE(result) == 1) {
        PyObject *data = Py_NewRef(PyList_GET_ITEM(result, 0));
        sent = exchange_send_at_once(exchange, data);
        Py_DECREF(data);
    }
    return sent != 0 ? sent : exchange_call(exchange, exchange->state->send_result, NULL);
}

/* Put the body into the environ. */
static int set_input(struct exchange *exchange)
{
    struct http_state *state = exchange->state;
    PyObject *input, *self = (PyObject *)exchange;
    if ((exchange->flags & (READER_COMPLETE | READER_UPGRADE)) == READER_COMPLETE)
        input = PyObject_CallNoArgs(state->no_input);
    else
        input = PyObject_CallMethodNoArgs(self, state->make_input);
    if (input == NULL) return -1;
    Py_XSETREF(exchange->wsgi_input, input);
    return PyDict_SetItem(exchange->environ, state->input_key, input);
}

static int answer_one(struct exchange *exchange)
{
    if (set_input(exchange) < 0) return -1;
    exchange_begin(exchange);
    int rc = run_application(exchange);
    if (rc < 0) rc = answer_failure(exchange);
    if (rc < 0) {
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        if (exchange_end(exchange) < 0) PyErr_WriteUnraisable((PyObject *)exchange);
        PyErr_Restore(type, error, traceback);
        return -1;
    }
    return exchange_end(exchange);
}

PyObject *serve_ordinary(PyObject *self, PyObject *unused)
{
    struct exchange *exchange = (struct exchange *)self;
    struct reader *reader = reader_of(exchange);
    if (reader == NULL) return NULL;
    if (exchange->start_response == NULL &&
        (exchange->start_response = PyObject_GetAttr(self, exchange->state->start_response)) == NULL)
        return NULL;
    Py_INCREF(reader);
    for (;;) {
        Py_ssize_t there;
        int what = SERVE_WAITING;
        reader_bytes(reader, &there);
        PyObject *environ =
            there > 0 ? reader_next_head(reader, NULL) : wait_for_head(exchange, reader, &what);
        if (environ == NULL) break;
        if (environ == Py_None) {
            Py_DECREF(environ);
            Py_DECREF(reader);
            return PyLong_FromLong(what);
        }
        Py_XSETREF(exchange->environ, environ);
        exchange->flags = reader_flags(reader);
        exchange->fresh = false;
        if (answer_one(exchange) < 0) break;
        if (exchange->close_connection ||
            (!(exchange->flags & READER_COMPLETE) && reader->phase != PHASE_DONE)) {
            Py_DECREF(reader);
            return PyLong_FromLong(SERVE_ANSWERED);
        }
        /* Not kept while the connection is idle. */
        Py_CLEAR(exchange->environ);
        Py_CLEAR(exchange->result);
        Py_CLEAR(exchange->wsgi_input);
    }
    Py_DECREF(reader);
    return NULL;
}
