/* The type Reader: its bytes, its parser, and what the parser calls. */
#include "reader.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

static struct reader *reader_of(PyObject *self)
{
    return (struct reader *)self;
}

const char *reader_bytes(const struct reader *reader, Py_ssize_t *count)
{
    if (reader->data == NULL) {
        *count = 0;
        return "";
    }
    *count = PyBytes_GET_SIZE(reader->data) - reader->start;
    return PyBytes_AS_STRING(reader->data) + reader->start;
}

static PyObject *piece(struct reader *reader, Py_ssize_t count)
{
    if (reader->data != NULL && reader->start == 0 && PyBytes_GET_SIZE(reader->data) == count)
        return Py_NewRef(reader->data);
    Py_ssize_t have;
    return PyBytes_FromStringAndSize(reader_bytes(reader, &have), count);
}

PyObject *reader_take(struct reader *reader, Py_ssize_t count)
{
    PyObject *taken = piece(reader, count);
    if (taken != NULL) reader->start += count;
    return taken;
}

/* What was received comes after what is there. */
static int add(struct reader *reader, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_Format(PyExc_TypeError, "what was received has to be bytes, not %.100s",
                     Py_TYPE(data)->tp_name);
        return -1;
    }
    Py_ssize_t count, more = PyBytes_GET_SIZE(data);
    const char *bytes = reader_bytes(reader, &count);
    if (more == 0) return 0;
    PyObject *all;
    if (count == 0) {
        all = Py_NewRef(data);
    } else {
        if ((all = PyBytes_FromStringAndSize(NULL, count + more)) == NULL) return -1;
        memcpy(PyBytes_AS_STRING(all), bytes, (size_t)count);
        memcpy(PyBytes_AS_STRING(all) + count, PyBytes_AS_STRING(data), (size_t)more);
    }
    Py_XSETREF(reader->data, all);
    reader->start = 0;
    return 0;
}

int reader_refuse(struct reader *reader, int status, const char *reason)
{
    reader->phase = PHASE_OVER;
    reader->status = status;
    reader->reason = reason;
    PyObject *args = Py_BuildValue("(is)", status, reason);
    if (args != NULL) PyErr_SetObject(reader->state->refused, args);
    Py_XDECREF(args);
    return -1;
}

/* The parser. */

static int make_feed(struct reader *reader)
{
    PyObject *parser = PyObject_CallOneArg(reader->make_parser, (PyObject *)reader);
    if (parser == NULL) return -1;
    reader->feed = PyObject_GetAttrString(parser, "feed_data");
    Py_DECREF(parser);
    return reader->feed == NULL ? -1 : 0;
}

/* The parser has raised: what becomes of it. 0 if the request goes on all the same. */
static int parser_failed(struct reader *reader)
{
    if (PyErr_ExceptionMatches(reader->upgrade_error)) {
        /* It takes what follows for another protocol. That is decided by the answer: until then it is HTTP.
         */
        PyErr_Clear();
        Py_CLEAR(reader->feed);
        reader->upgrade = true;
        return 0;
    }
    if (reader->failure != NULL) {
        PyErr_Clear();
        PyObject *failure = reader->failure;
        reader->failure = NULL;
        reader->phase = PHASE_OVER;
        PyErr_SetObject((PyObject *)Py_TYPE(failure), failure);
        Py_DECREF(failure);
        return -1;
    }
    if (reader->status != 0) {
        PyErr_Clear();
        return reader_refuse(reader, reader->status, reader->reason);
    }
    reader->phase = PHASE_OVER;
    if (!PyErr_ExceptionMatches(reader->parser_error)) return -1;
    PyObject *type, *value, *tb, *args = NULL;
    PyErr_Fetch(&type, &value, &tb);
    PyErr_NormalizeException(&type, &value, &tb);
    PyObject *text = value == NULL ? NULL : PyObject_Str(value);
    if (text != NULL) args = Py_BuildValue("(iO)", 400, text);
    if (args != NULL) PyErr_SetObject(reader->state->refused, args);
    Py_XDECREF(text);
    Py_XDECREF(args);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(tb);
    return -1;
}

int reader_feed(struct reader *reader, Py_ssize_t count)
{
    if (reader->feed == NULL && make_feed(reader) < 0) return -1;
    PyObject *bytes = piece(reader, count);
    if (bytes == NULL) return -1;
    reader->heads = reader->chunk_lines = reader->chunk_ends = reader->ends = 0;
    PyObject *feed = Py_NewRef(reader->feed), *result = PyObject_CallOneArg(feed, bytes);
    Py_DECREF(feed);
    if (reader->phase == PHASE_HEAD)
        Py_XSETREF(reader->head, bytes);
    else
        Py_DECREF(bytes);
    if (result == NULL) return parser_failed(reader);
    Py_DECREF(result);
    return 0;
}

/* What has failed in a method that the parser called would come out as the parser's own error. */
static PyObject *keep_failure(struct reader *reader)
{
    if (reader->status == 0 && reader->failure == NULL) {
        PyObject *type, *value, *tb;
        PyErr_Fetch(&type, &value, &tb);
        PyErr_NormalizeException(&type, &value, &tb);
        reader->failure = Py_XNewRef(value);
        PyErr_Restore(type, value, tb);
    }
    return NULL;
}

static PyObject *on_header(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct reader *reader = reader_of(self);
    if (nargs != 2 || !PyBytes_CheckExact(args[0]) || !PyBytes_CheckExact(args[1]) ||
        (reader->environ == NULL && !reader->in_trailers)) {
        PyErr_SetString(PyExc_TypeError, "on_header() is for the parser: name and value, as bytes");
        return NULL;
    }
    if (head_field(reader, args[0], args[1]) < 0) return keep_failure(reader);
    Py_RETURN_NONE;
}

#define COUNTER(method, counter)                                                                             \
    static PyObject *method(PyObject *self, PyObject *unused)                                                \
    {                                                                                                        \
        reader_of(self)->counter++;                                                                          \
        Py_RETURN_NONE;                                                                                      \
    }
COUNTER(on_headers_complete, heads)
COUNTER(on_chunk_header, chunk_lines)
COUNTER(on_chunk_complete, chunk_ends)
COUNTER(on_message_complete, ends)

/* What the server calls. */

static void begin_request(struct reader *reader)
{
    Py_CLEAR(reader->environ);
    Py_CLEAR(reader->head);
    reader->phase = PHASE_HEAD;
    reader->scanned = reader->line = 0;
    reader->blank = 0;
    reader->fields = reader->head_bytes = reader->framing = 0;
    reader->left = 0;
    reader->body_bytes = 0;
    reader->content_length = -1;
    reader->hosts = reader->chunked = reader->close = reader->keep = reader->expects = reader->upgrade =
        false;
    reader->in_trailers = false;
}

PyObject *reader_next_head(struct reader *reader, PyObject *data)
{
    if (reader->phase != PHASE_HEAD && reader->phase != PHASE_DONE) {
        PyErr_SetString(PyExc_ValueError, reader->phase == PHASE_OVER
                                              ? "no more requests are read from this connection"
                                              : "the body of the last request was not read to its end");
        return NULL;
    }
    if (data != NULL && add(reader, data) < 0) return NULL;
    if (reader->phase == PHASE_DONE) begin_request(reader);
    Py_ssize_t length;
    int rc = head_find(reader, &length);
    if (rc < 0) return NULL;
    if (rc == 0) Py_RETURN_NONE;
    Py_XSETREF(reader->environ, PyDict_Copy(reader->base));
    if (reader->environ == NULL) return NULL;
    if (reader_feed(reader, length) < 0 || head_finish(reader, length) < 0) {
        reader->phase = PHASE_OVER;
        return NULL;
    }
    PyObject *environ = reader->environ;
    reader->environ = NULL; /* it is the application's now */
    return environ;
}

static PyObject *reader_head(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs > 1) return PyErr_Format(PyExc_TypeError, "head() takes at most 1 argument (%zd given)", nargs);
    return reader_next_head(reader_of(self), nargs == 1 ? args[0] : NULL);
}

static PyObject *reader_body(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    struct reader *reader = reader_of(self);
    if (nargs > 1) return PyErr_Format(PyExc_TypeError, "body() takes at most 1 argument (%zd given)", nargs);
    if (nargs == 1 && add(reader, args[0]) < 0) return NULL;
    return body_take(reader);
}

static PyObject *reader_rest(PyObject *self, PyObject *unused)
{
    struct reader *reader = reader_of(self);
    Py_ssize_t count;
    reader_bytes(reader, &count);
    PyObject *rest = reader_take(reader, count);
    reader->phase = PHASE_OVER;
    Py_CLEAR(reader->feed);
    return rest;
}

static PyObject *reader_close(PyObject *self, PyObject *unused)
{
    struct reader *reader = reader_of(self);
    reader->phase = PHASE_OVER;
    Py_CLEAR(reader->feed);
    Py_CLEAR(reader->environ);
    Py_CLEAR(reader->head);
    Py_CLEAR(reader->data);
    reader->start = 0;
    Py_RETURN_NONE;
}

static PyObject *get_complete(PyObject *self, void *unused)
{
    return PyBool_FromLong(reader_of(self)->phase == PHASE_DONE);
}

static PyObject *get_buffered(PyObject *self, void *unused)
{
    Py_ssize_t count;
    reader_bytes(reader_of(self), &count);
    return PyLong_FromSsize_t(count);
}

static PyObject *get_keep_alive(PyObject *self, void *unused)
{
    struct reader *reader = reader_of(self);
    return PyBool_FromLong(!reader->close && (reader->minor == 1 || reader->keep));
}

int reader_flags(const struct reader *reader)
{
    int flags = 0;
    if (reader->phase == PHASE_DONE) flags |= READER_COMPLETE;
    if (!reader->close && (reader->minor == 1 || reader->keep)) flags |= READER_STAYS;
    if (reader->method != NULL && reader->method == reader->state->head) flags |= READER_HEAD;
    if (reader->minor == 0) flags |= READER_OLD;
    if (reader->upgrade) flags |= READER_UPGRADE;
    if (reader->expects) flags |= READER_EXPECTS;
    return flags;
}

static PyObject *get_flags(PyObject *self, void *unused)
{
    return PyLong_FromLong(reader_flags(reader_of(self)));
}

static PyObject *get_started(PyObject *self, void *unused)
{
    struct reader *reader = reader_of(self);
    Py_ssize_t count;
    reader_bytes(reader, &count);
    return PyBool_FromLong(reader->phase == PHASE_HEAD && (count > 0 || reader->blank > 0));
}

/* Life. */

/* Could a field of a request set this entry of the environ? */
static bool is_for_fields(PyObject *key)
{
    if (!PyUnicode_Check(key)) return false;
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(key, &length);
    if (text == NULL) {
        PyErr_Clear(); /* not one of ours, whatever it is */
        return false;
    }
    return strncmp(text, "HTTP_", 5) == 0 || strcmp(text, "CONTENT_TYPE") == 0 ||
           strcmp(text, "CONTENT_LENGTH") == 0;
}

/* Has a copy of the base, which is made for each request, hold all that the request adds: a copy is as large
 * as what it is a copy of. (dict.copy() keeps the table as long as two thirds of what was ever put into it
 * are still there; if that changes, nothing but time is lost.) */
static int make_room(struct reader *reader)
{
    struct http_state *state = reader->state;
    /* What every request sets. */
    PyObject *const always[] = {state->request_method, state->path_info, state->query_string,
                                state->request_uri, state->server_protocol};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(always); i++)
        if (PyDict_SetDefault(reader->base, always[i], Py_None) == NULL) return -1;
    Py_ssize_t size = PyDict_GET_SIZE(reader->base), count = size / 2 < ROOM ? size / 2 : ROOM;
    for (Py_ssize_t i = 0; i < count; i++)
        if (PyDict_SetItem(reader->base, state->room[i], Py_None) < 0) return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        if (PyDict_DelItem(reader->base, state->room[i]) < 0) return -1;
    return 0;
}

/* Splits the server's entries, so that repeated fields are told from those. */
static int split_base(struct reader *reader, PyObject *environ)
{
    Py_ssize_t at = 0;
    PyObject *key, *value; /* borrowed */
    if ((reader->base = PyDict_Copy(environ)) == NULL) return -1;
    while (PyDict_Next(environ, &at, &key, &value)) {
        if (!is_for_fields(key)) continue;
        if (reader->extra == NULL && (reader->extra = PyDict_New()) == NULL) return -1;
        if (PyDict_SetItem(reader->extra, key, value) < 0 || PyDict_DelItem(reader->base, key) < 0) return -1;
    }
    return make_room(reader);
}

static int reader_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"environ",       "make_parser", "parser_error",
                            "upgrade_error", "max_target",  "max_head",
                            "max_fields",    "max_body",    NULL};
    struct reader *reader = reader_of(self);
    PyObject *environ, *make_parser, *parser_error, *upgrade_error;
    long long body_max;
    Py_ssize_t target_max, head_max, fields_max;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!OOO$nnnL:Reader", names, &PyDict_Type, &environ,
                                     &make_parser, &parser_error, &upgrade_error, &target_max, &head_max,
                                     &fields_max, &body_max))
        return -1;
    if (reader->base != NULL) {
        PyErr_SetString(PyExc_TypeError, "a Reader is initialized once");
        return -1;
    }
    if (target_max < 1 || head_max < 1 || fields_max < 0 || body_max < 0 || head_max > PY_SSIZE_T_MAX / 4 ||
        target_max > PY_SSIZE_T_MAX / 4) {
        PyErr_SetString(PyExc_ValueError, "limits have to be whole numbers above 0");
        return -1;
    }
    reader->target_max = target_max;
    reader->head_max = head_max;
    reader->fields_max = fields_max;
    reader->body_max = body_max;
    reader->make_parser = Py_NewRef(make_parser);
    reader->parser_error = Py_NewRef(parser_error);
    reader->upgrade_error = Py_NewRef(upgrade_error);
    return split_base(reader, environ);
}

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    reader_of(self)->state = PyType_GetModuleState(type);
    reader_of(self)->content_length = -1;
    return self;
}

static int reader_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct reader *reader = reader_of(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(reader->make_parser);
    Py_VISIT(reader->parser_error);
    Py_VISIT(reader->upgrade_error);
    Py_VISIT(reader->feed);
    Py_VISIT(reader->failure);
    Py_VISIT(reader->base);
    Py_VISIT(reader->extra);
    Py_VISIT(reader->environ);
    return 0;
}

static int reader_clear(PyObject *self)
{
    struct reader *reader = reader_of(self);
    reader->phase = PHASE_OVER;
    Py_CLEAR(reader->make_parser);
    Py_CLEAR(reader->parser_error);
    Py_CLEAR(reader->upgrade_error);
    Py_CLEAR(reader->feed);
    Py_CLEAR(reader->failure);
    Py_CLEAR(reader->base);
    Py_CLEAR(reader->extra);
    Py_CLEAR(reader->environ);
    Py_CLEAR(reader->method);
    Py_CLEAR(reader->target);
    Py_CLEAR(reader->head);
    Py_CLEAR(reader->data);
    return 0;
}

static void reader_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    reader_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef methods[] = {
    {"head", FAST(reader_head), METH_FASTCALL,
     PyDoc_STR(
         "head($self, data=b'', /)\n--\n\nThe environ of the next request, once its head is there; None "
         "while it is not. "
         "`data` is what was received since the last call. Refused if the request is not to be served.")},
    {"body", FAST(reader_body), METH_FASTCALL,
     PyDoc_STR(
         "body($self, data=b'', /)\n--\n\nWhat can be told of the request's body with what was received: "
         "b'' if "
         "nothing, for want of more or because it is `complete`. Refused if it is not to be read on.")},
    {"rest", reader_rest, METH_NOARGS,
     PyDoc_STR(
         "rest($self, /)\n--\n\nWhat was received and is not used up. No more requests are read then.")},
    {"close", reader_close, METH_NOARGS,
     PyDoc_STR(
         "close($self, /)\n--\n\nNo more requests are read; drops the parser, which refers to the reader.")},
    {"on_header", FAST(on_header), METH_FASTCALL, PyDoc_STR("For the parser.")},
    {"on_headers_complete", on_headers_complete, METH_NOARGS, PyDoc_STR("For the parser.")},
    {"on_chunk_header", on_chunk_header, METH_NOARGS, PyDoc_STR("For the parser.")},
    {"on_chunk_complete", on_chunk_complete, METH_NOARGS, PyDoc_STR("For the parser.")},
    {"on_message_complete", on_message_complete, METH_NOARGS, PyDoc_STR("For the parser.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"method", T_OBJECT, offsetof(struct reader, method), READONLY,
     PyDoc_STR("of the last request; or None")},
    {"target", T_OBJECT, offsetof(struct reader, target), READONLY,
     PyDoc_STR("of the last request, as it was sent; or None")},
    {"raw_head", T_OBJECT, offsetof(struct reader, head), READONLY,
     PyDoc_STR("the bytes of the last request's head; or None")},
    {"minor", T_INT, offsetof(struct reader, minor), READONLY,
     PyDoc_STR("1 if the last request was one of HTTP/1.1, 0 if of 1.0")},
    {"chunked", T_BOOL, offsetof(struct reader, chunked), READONLY, PyDoc_STR("the body comes in chunks")},
    {"content_length", T_LONGLONG, offsetof(struct reader, content_length), READONLY,
     PyDoc_STR("what Content-Length says; -1 if it is not there")},
    {"body_bytes", T_LONGLONG, offsetof(struct reader, body_bytes), READONLY,
     PyDoc_STR("how much of the body there was so far")},
    {"expects", T_BOOL, offsetof(struct reader, expects), READONLY,
     PyDoc_STR("the client waits for 100 Continue before it sends the body")},
    {"upgrade", T_BOOL, offsetof(struct reader, upgrade), READONLY,
     PyDoc_STR("the client asks for another protocol")},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"complete", get_complete, NULL, PyDoc_STR("the last request was read to its end"), NULL},
    {"buffered", get_buffered, NULL, PyDoc_STR("how many bytes were received and are not used up"), NULL},
    {"keep_alive", get_keep_alive, NULL, PyDoc_STR("the client expects to go on after this request"), NULL},
    {"flags", get_flags, NULL,
     PyDoc_STR(
         "all that is known of the last request, at once: COMPLETE, STAYS, HEAD, OLD, UPGRADE, EXPECTS"),
     NULL},
    {"started", get_started, NULL, PyDoc_STR("a part of a head is there"), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, reader_new},
    {Py_tp_init, reader_init},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_traverse, reader_traverse},
    {Py_tp_clear, reader_clear},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {Py_tp_doc,
     PyDoc_STR(
         "Reader(environ, make_parser, parser_error, upgrade_error, *, max_target, max_head, max_fields, "
         "max_body)\n--\n\n"
         "Reads the requests of one connection from the bytes that are given to it.\n\n"
         "Every request's environ begins with the entries of `environ`. `make_parser(reader)` makes the "
         "grammar: an object whose feed_data(bytes) calls the reader's methods on_... and raises "
         "`parser_error`, or `upgrade_error` where another protocol may begin. The limits are in bytes, "
         "max_fields in fields.")},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "corolib.server._http._core.Reader",
    .basicsize = sizeof(struct reader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int reader_setup(PyObject *module, struct http_state *state)
{
    state->reader = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->reader == NULL ? -1 : PyModule_AddType(module, state->reader);
}
