/* The type Exchange: what a handler keeps of a request and its answer, start_response(), and answers of one
 * piece. */
#include "exchange.h"

#include <stddef.h>
#include <structmember.h>
#include <sys/socket.h>
#include <time.h>

#include "answer.h"
#include "reader.h"
#include "tally.h"

static struct exchange *exchange_of(PyObject *self)
{
    return (struct exchange *)self;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static bool has_counters(const struct exchange *exchange)
{
    return exchange->counters != NULL && PyObject_TypeCheck(exchange->counters, exchange->state->tally);
}

void exchange_begin(struct exchange *exchange)
{
    exchange->time_start = now();
    exchange->time_finish = 0;
    /* What ends the connection once it is set (an upgrade, a bad body) need not be reset. */
    Py_CLEAR(exchange->status);
    exchange->code = 0;
    exchange->headers_sent = exchange->response_use_chunked = false;
    exchange->response_length = 0;
    exchange->close_connection = !(exchange->flags & READER_STAYS);
}

int exchange_end(struct exchange *exchange)
{
    struct http_state *state = exchange->state;
    exchange->time_finish = now();
    if (!has_counters(exchange)) {
        PyErr_SetString(PyExc_TypeError, "the handler has no counters: its __init__() was not called");
        return -1;
    }
    int64_t received = 0;
    if (!(exchange->flags & READER_COMPLETE) && exchange->reader != NULL &&
        Py_IS_TYPE(exchange->reader, state->reader))
        received = ((struct reader *)exchange->reader)->body_bytes;
    tally_count(exchange->counters, exchange->code, exchange->response_length, received,
                exchange->time_finish - exchange->time_start);
    if (!exchange->logs) return 0;
    return exchange_call(exchange, state->log_request, NULL);
}

/* start_response() */

static const char *const names[] = {"status", "headers", "exc_info"};
#define NAMES ((Py_ssize_t)Py_ARRAY_LENGTH(names))

/* Sorts the arguments by their names; what is not given stays NULL. Borrowed. */
static int sort_arguments(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **out)
{
    if (nargs > NAMES) {
        PyErr_Format(PyExc_TypeError, "start_response() takes at most 3 arguments (%zd given)", nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) out[i] = args[i];
    for (Py_ssize_t i = 0; kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i); /* borrowed */
        Py_ssize_t at = 0;
        while (at < NAMES && PyUnicode_CompareWithASCIIString(name, names[at]) != 0) at++;
        if (at == NAMES || out[at] != NULL) {
            PyErr_Format(PyExc_TypeError, "start_response() got %s argument %R",
                         at == NAMES ? "an unexpected" : "twice the", name);
            return -1;
        }
        out[at] = args[nargs + i];
    }
    for (Py_ssize_t i = 0; i < 2; i++) {
        if (out[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "start_response() needs the argument '%s'", names[i]);
            return -1;
        }
    }
    return 0;
}

/* Raises the handler's ApplicationError: the application has broken the rules of WSGI. */
static int application_error(struct exchange *exchange, const char *text)
{
    PyObject *class = PyObject_GetAttrString((PyObject *)exchange, "ApplicationError");
    if (class == NULL) return -1;
    PyErr_SetString(class, text);
    Py_DECREF(class);
    return -1;
}

/* Raises what the application has caught: it is too late to answer otherwise. */
static int raise_again(PyObject *exc_info)
{
    if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3 ||
        !PyExceptionInstance_Check(PyTuple_GET_ITEM(exc_info, 1))) {
        PyErr_Format(PyExc_TypeError, "exc_info has to be what sys.exc_info() gives, not %R", exc_info);
        return -1;
    }
    PyObject *error = PyTuple_GET_ITEM(exc_info, 1),
             *traceback = PyTuple_GET_ITEM(exc_info, 2); /* borrowed */
    if (PyException_SetTraceback(error, traceback) < 0) return -1;
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    return -1;
}

/* May it be called now? */
static int may_start(struct exchange *exchange, PyObject *exc_info)
{
    int is = exc_info == NULL || exc_info == Py_None ? 0 : PyObject_IsTrue(exc_info);
    if (is < 0) return -1;
    if (!is) {
        if (exchange->status == NULL || exchange->status == Py_None) return 0;
        return application_error(exchange, "start_response() was called before, and is now without exc_info");
    }
    return exchange->headers_sent ? raise_again(exc_info) : 0;
}

static PyObject *start_response(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct exchange *exchange = exchange_of(self);
    PyObject *given[3] = {NULL};
    struct answer_facts facts;
    if (sort_arguments(args, nargs, kwnames, given) < 0 || may_start(exchange, given[2]) < 0 ||
        answer_inspect(given[0], given[1], &facts) < 0)
        return NULL;
    if (facts.code == 101 && !(exchange->flags & READER_UPGRADE)) {
        PyErr_SetString(PyExc_ValueError, "101 answers a request to upgrade, which this one is not");
        return NULL;
    }
    if (facts.length > 0 && facts.code == 204) {
        application_error(exchange,
                          "an answer of status 204 has no body, so Content-Length must not be there");
        return NULL;
    }
    PyObject *headers = PyList_GetSlice(given[1], 0, PyList_GET_SIZE(given[1]));
    PyObject *length = facts.length >= 0 ? PyLong_FromLongLong(facts.length) : NULL;
    if (exchange->write == NULL) exchange->write = PyObject_GetAttr(self, exchange->state->write);
    if (headers == NULL || exchange->write == NULL || (length == NULL && facts.length >= 0)) {
        Py_XDECREF(headers);
        Py_XDECREF(length);
        return NULL;
    }
    Py_XSETREF(exchange->status, Py_NewRef(given[0]));
    Py_XSETREF(exchange->headers, headers);
    Py_XSETREF(exchange->provided_length, length);
    Py_XSETREF(exchange->provided_date, facts.found & ANSWER_DATE ? Py_NewRef(Py_True) : NULL);
    exchange->vetted = true;
    exchange->code = facts.code;
    exchange->found = facts.found;
    if (facts.found & ANSWER_CLOSE) exchange->close_connection = true;
    return Py_NewRef(exchange->write);
}

/* Answers of one piece. */

int exchange_call(struct exchange *exchange, PyObject *name, PyObject *argument)
{
    PyObject *args[] = {NULL, (PyObject *)exchange, argument};
    size_t count = argument == NULL ? 1 : 2;
    PyObject *result =
        PyObject_VectorcallMethod(name, args + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Notes that the connection is broken, and leaves the exception as it is. */
static int cannot_send(struct exchange *exchange)
{
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (exchange_call(exchange, exchange->state->cannot_send, error) < 0)
        PyErr_WriteUnraisable((PyObject *)exchange);
    PyErr_Restore(type, error, traceback);
    return -1;
}

/* Hand the bytes to the kernel, which nearly always takes them: then no deadline has to be set. */
static int send_bytes(struct exchange *exchange, PyObject *bytes)
{
    struct http_state *state = exchange->state;
    if (!exchange->direct) return exchange_call(exchange, state->send_all, bytes);
    PyObject *args[] = {NULL, exchange->socket, bytes, state->dont_wait};
    PyObject *count =
        PyObject_VectorcallMethod(state->send, args + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_ssize_t sent = 0, size = PyBytes_GET_SIZE(bytes);
    if (count != NULL) {
        sent = PyLong_AsSsize_t(count);
        Py_DECREF(count);
        if (sent < 0 && PyErr_Occurred()) return -1;
    } else if (PyErr_ExceptionMatches(PyExc_BlockingIOError)) {
        PyErr_Clear();
    } else {
        return cannot_send(exchange);
    }
    if (sent >= size) return 0;
    PyObject *rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(bytes) + sent, size - sent);
    if (rest == NULL) return -1;
    int rc = exchange_call(exchange, state->send_all, rest);
    Py_DECREF(rest);
    return rc;
}

/* Does it announce the length that it has, or none? */
static bool length_fits(const struct exchange *exchange, Py_ssize_t size)
{
    if (exchange->provided_length == NULL || exchange->provided_length == Py_None) return true;
    if (!PyLong_Check(exchange->provided_length)) return false;
    int overflow;
    return PyLong_AsLongLongAndOverflow(exchange->provided_length, &overflow) == size && overflow == 0;
}

int exchange_send_at_once(struct exchange *exchange, PyObject *data)
{
    if (!exchange->at_once || exchange->status == NULL || exchange->status == Py_None ||
        exchange->headers == NULL || !(exchange->found & ANSWER_ORDINARY) || !PyBytes_CheckExact(data) ||
        exchange->headers_sent || !has_counters(exchange) || exchange->flags & (READER_HEAD | READER_EXPECTS))
        return 0;
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    if (size > EXCHANGE_TOGETHER || !length_fits(exchange, size)) return 0;
    bool no_length = exchange->provided_length == NULL || exchange->provided_length == Py_None;
    bool no_date = exchange->provided_date == NULL || exchange->provided_date == Py_None;
    int add = no_date ? ANSWER_DATE : 0;
    if (exchange->close_connection || tally_is_ending(exchange->counters)) {
        exchange->close_connection = true;
        if (!(exchange->found & ANSWER_CLOSE)) add |= ANSWER_CLOSE;
    } else if (exchange->flags & READER_OLD && !(exchange->found & (ANSWER_KEEP | ANSWER_OTHER))) {
        add |= ANSWER_KEEP;
    }
    PyObject *bytes = answer_build(exchange->state, exchange->status, exchange->headers, add,
                                   no_length ? size : -1, data, exchange->vetted);
    if (bytes == NULL) return -1;
    exchange->headers_sent = true;
    int rc = send_bytes(exchange, bytes);
    Py_DECREF(bytes);
    if (rc < 0) return -1;
    exchange->response_length = size;
    return 1;
}

static PyObject *send_at_once(PyObject *self, PyObject *data)
{
    int rc = exchange_send_at_once(exchange_of(self), data);
    return rc < 0 ? NULL : PyBool_FromLong(rc);
}

static PyObject *begin_answer(PyObject *self, PyObject *unused)
{
    exchange_begin(exchange_of(self));
    Py_RETURN_NONE;
}

static PyObject *end_answer(PyObject *self, PyObject *unused)
{
    if (exchange_end(exchange_of(self)) < 0) return NULL;
    Py_RETURN_NONE;
}

/* Life. */

/* Every field that is an object. */
#define OBJECTS 17
static void list_objects(struct exchange *exchange, PyObject **places[OBJECTS])
{
    PyObject **const all[OBJECTS] = {
        &exchange->socket,        &exchange->client_address,  &exchange->server,    &exchange->application,
        &exchange->environ,       &exchange->wsgi_input,      &exchange->result,    &exchange->status,
        &exchange->provided_date, &exchange->provided_length, &exchange->reader,    &exchange->counters,
        &exchange->timeout,       &exchange->headers,         &exchange->keepalive, &exchange->start_response,
        &exchange->write,
    };
    for (size_t i = 0; i < OBJECTS; i++) places[i] = all[i];
}

static int exchange_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct exchange *exchange = exchange_of(self);
    PyObject **places[OBJECTS];
    list_objects(exchange, places);
    Py_VISIT(Py_TYPE(self));
    for (size_t i = 0; i < OBJECTS; i++) Py_VISIT(*places[i]);
    return 0;
}

static int exchange_clear(PyObject *self)
{
    struct exchange *exchange = exchange_of(self);
    PyObject **places[OBJECTS];
    list_objects(exchange, places);
    for (size_t i = 0; i < OBJECTS; i++) Py_CLEAR(*places[i]);
    return 0;
}

/* What refers to the handler, and what was for the application. */
static PyObject *forget(PyObject *self, PyObject *unused)
{
    struct exchange *exchange = exchange_of(self);
    Py_CLEAR(exchange->socket);
    Py_CLEAR(exchange->environ);
    Py_CLEAR(exchange->wsgi_input);
    Py_CLEAR(exchange->result);
    Py_CLEAR(exchange->start_response);
    Py_CLEAR(exchange->write);
    Py_RETURN_NONE;
}

static PyObject *exchange_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    /* `type` is a subclass of Python. */
    PyObject *module = PyType_GetModuleByDef(type, &http_module);
    if (module == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    exchange_of(self)->state = PyModule_GetState(module);
    exchange_of(self)->fresh = true;
    return self;
}

static void exchange_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    exchange_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *get_headers(PyObject *self, void *unused)
{
    struct exchange *exchange = exchange_of(self);
    if (exchange->headers == NULL) {
        PyErr_SetString(PyExc_AttributeError, "there are no response_headers before start_response()");
        return NULL;
    }
    exchange->vetted = false; /* whoever has it may change it */
    return Py_NewRef(exchange->headers);
}

static int set_headers(PyObject *self, PyObject *value, void *unused)
{
    exchange_of(self)->vetted = false;
    Py_XSETREF(exchange_of(self)->headers, Py_XNewRef(value));
    return 0;
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef methods[] = {
    {"start_response", FAST(start_response), METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("start_response($self, status, headers, exc_info=None)\n--\n\n"
               "What the application is given to begin its answer (PEP 3333): returns write(). "
               "ApplicationError if that is not how to do it, ValueError for a header that cannot be sent, "
               "or a status 101 that nobody has asked for. Never switches.")},
    {"serve", serve_ordinary, METH_NOARGS,
     PyDoc_STR("serve($self, /)\n--\n\n"
               "Serve requests as long as they are ordinary ones: WAITING if the next one has to be waited "
               "for as handle_one_request() does it, ANSWERED after an answer that ends the connection or "
               "has left a body unread, OVER when the peer has gone. Refused for a head that is not served, "
               "OSError from the wait for one: `idle` is still true then. Switches.")},
    {"_send_at_once", send_at_once, METH_O,
     PyDoc_STR("_send_at_once($self, data, /)\n--\n\n"
               "Send an answer that is a single piece, as most are. False, and nothing has happened, if "
               "there is anything about it that process_result() and what that calls has to think of.")},
    {"_begin_answer", begin_answer, METH_NOARGS,
     PyDoc_STR("_begin_answer($self, /)\n--\n\nAll is as it is before an answer.")},
    {"_end_answer", end_answer, METH_NOARGS,
     PyDoc_STR("_end_answer($self, /)\n--\n\nCount the answer, and log it.")},
    {"_drop_references", forget, METH_NOARGS,
     PyDoc_STR("_drop_references($self, /)\n--\n\nDrop what refers to the handler, and what was for the "
               "application.")},
    {NULL, NULL, 0, NULL},
};

#define FIELD(name, type, field)                                                                             \
    {                                                                                                        \
        name, type, offsetof(struct exchange, field), 0, NULL                                                \
    }

static PyMemberDef members[] = {
    FIELD("socket", T_OBJECT, socket),
    FIELD("client_address", T_OBJECT, client_address),
    FIELD("server", T_OBJECT, server),
    FIELD("application", T_OBJECT, application),
    FIELD("environ", T_OBJECT, environ),
    FIELD("wsgi_input", T_OBJECT, wsgi_input),
    FIELD("result", T_OBJECT, result),
    FIELD("status", T_OBJECT, status),
    FIELD("provided_date", T_OBJECT, provided_date),
    FIELD("provided_content_length", T_OBJECT, provided_length),
    FIELD("_reader", T_OBJECT, reader),
    FIELD("_counters", T_OBJECT, counters),
    FIELD("_timeout", T_OBJECT, timeout),
    FIELD("_keepalive", T_OBJECT, keepalive),
    FIELD("time_start", T_DOUBLE, time_start),
    FIELD("time_finish", T_DOUBLE, time_finish),
    FIELD("response_length", T_LONGLONG, response_length),
    FIELD("code", T_INT, code),
    FIELD("_flags", T_INT, flags),
    FIELD("_found", T_INT, found),
    FIELD("headers_sent", T_BOOL, headers_sent),
    FIELD("response_use_chunked", T_BOOL, response_use_chunked),
    FIELD("close_connection", T_BOOL, close_connection),
    FIELD("fresh", T_BOOL, fresh),
    FIELD("idle", T_BOOL, idle),
    FIELD("_direct", T_BOOL, direct),
    FIELD("_at_once", T_BOOL, at_once),
    FIELD("_logs", T_BOOL, logs),
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"response_headers", get_headers, set_headers, PyDoc_STR("(name, value) as the application gave them."),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, exchange_new},
    {Py_tp_dealloc, exchange_dealloc},
    {Py_tp_traverse, exchange_traverse},
    {Py_tp_clear, exchange_clear},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {Py_tp_doc, PyDoc_STR("One request and its answer: the base of handlers, which have what is missing.")},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "corolib.server._http._core.Exchange",
    .basicsize = sizeof(struct exchange),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

int exchange_setup(PyObject *module, struct http_state *state)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (type == NULL) return -1;
    int rc = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return rc;
}
