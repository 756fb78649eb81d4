/* Heads: where they end, which are refused, and what of them comes into the environ.
 *
 * The end is looked for here, line by line, and the parser is given exactly that much: so it sees the same
 * however the bytes arrived, and never the beginning of the next request. */
#include "reader.h"

#include <string.h>

#include "rules.h"

/* One empty line may precede a request (RFC 9112, 2.2); some clients end a body with one. */
#define BLANK_MAX 1

static int first_line(struct reader *reader, const char *bytes, Py_ssize_t length)
{
    struct rules_line line;
    int status = rules_line(bytes, (size_t)length, (size_t)reader->target_max, &line);
    if (status == 414) return reader_refuse(reader, 414, "the target is too long");
    if (status == 501) return reader_refuse(reader, 501, "the method is not known");
    if (status == 505) return reader_refuse(reader, 505, "the version is neither HTTP/1.0 nor HTTP/1.1");
    if (status != 0) return reader_refuse(reader, status, "the first line is not METHOD TARGET HTTP/1.1");
    if (state_method(reader->state, line.method, line.method_length) == NULL)
        return reader_refuse(reader, 501, "the method is not known");
    struct rules_target target;
    if (rules_target(&line, &target) != 0)
        return reader_refuse(reader, 400, "the target is neither a path nor an absolute URL of HTTP");
    reader->method_length = (Py_ssize_t)line.method_length;
    reader->target_length = (Py_ssize_t)line.target_length;
    reader->minor = line.minor;
    return 0;
}

/* The first line, or what there is of it: may it be the beginning of a request line? */
static int begun(struct reader *reader, const char *line, Py_ssize_t length)
{
    int status = rules_line_begun(line, (size_t)length, (size_t)reader->target_max);
    if (status == 0) return 0;
    return reader_refuse(reader, status,
                         status == 414   ? "the target is too long"
                         : status == 501 ? "the method is not known"
                                         : "the first line is not METHOD TARGET HTTP/1.1");
}

/* Is there a CR in these bytes, after which there is no LF? Looks as far as a head may be long. */
static bool has_cr(struct reader *reader, const char *line, Py_ssize_t length)
{
    Py_ssize_t most = reader->head_max - 1 - reader->line;
    if (length > most) length = most;
    if (length <= 0 || memchr(line, '\r', (size_t)length) == NULL) return false;
    reader_refuse(reader, 400, "there is a CR without LF");
    return true;
}

int head_find(struct reader *reader, Py_ssize_t *length)
{
    Py_ssize_t count;
    const char *bytes = reader_bytes(reader, &count), *end = bytes + count;
    while (reader->scanned == 0 && count > 0 && (*bytes == '\r' || *bytes == '\n')) {
        if (*bytes == '\r' && count == 1) return 0;
        if (*bytes == '\n' || bytes[1] != '\n' || ++reader->blank > BLANK_MAX)
            return reader_refuse(reader, 400, "there is no request line");
        reader->start += 2;
        bytes += 2;
        count -= 2;
    }
    /* Whatever is wrong first is what it is refused for, so the checks come in the order of the bytes. */
    const char *lf;
    while ((lf = memchr(bytes + reader->scanned, '\n', (size_t)(count - reader->scanned))) != NULL) {
        const char *line = bytes + reader->line;
        Py_ssize_t size = lf - line - 1, next = lf + 1 - bytes;
        if (reader->line == 0) {
            if (begun(reader, line, size + 1) < 0) return -1;
        } else {
            if (size > 0 && has_cr(reader, line, size)) return -1;
            if (next > reader->head_max) return reader_refuse(reader, 431, "the head is too long");
        }
        if (size < 0 || lf[-1] != '\r') return reader_refuse(reader, 400, "a line ends with LF alone");
        if (reader->line == 0) {
            if (first_line(reader, line, size) < 0) return -1;
        } else if (size == 0) {
            *length = next;
            return 1;
        } else if (++reader->fields > reader->fields_max) {
            return reader_refuse(reader, 431, "there are too many fields");
        }
        reader->line = reader->scanned = next;
    }
    /* No end yet. What can never become a head is refused at once, and not when the time is over. */
    const char *rest = bytes + reader->line;
    if (reader->line == 0) {
        if (count > 0 && begun(reader, bytes, count) < 0) return -1;
    } else {
        if (end - rest > 1 && has_cr(reader, rest, end - rest - 1)) return -1;
        if (count > reader->head_max) return reader_refuse(reader, 431, "the head is too long");
    }
    reader->scanned = count;
    return 0;
}

/* Fields. */

static int refuse_field(struct reader *reader, int status, const char *reason)
{
    return reader_refuse(reader, status, reason);
}

/* Sets environ[key], or joins the value to what is there. */
static int put(struct reader *reader, PyObject *key, PyObject *value, PyObject *separator)
{
    PyObject *environ = reader->environ;
    Py_ssize_t before = PyDict_GET_SIZE(environ);
    PyObject *there = PyDict_SetDefault(environ, key, value); /* borrowed */
    /* Not by identity: a text of one character is the same object everywhere. */
    if (there == NULL) return -1;
    if (PyDict_GET_SIZE(environ) != before) return 0;
    PyObject *pair = Py_BuildValue("(OO)", there, value);
    PyObject *joined = pair == NULL ? NULL : PyUnicode_Join(separator, pair);
    int rc = joined == NULL ? -1 : PyDict_SetItem(environ, key, joined);
    Py_XDECREF(pair);
    Py_XDECREF(joined);
    return rc;
}

/* The text of a value, each character one byte. */
static PyObject *make_text(const char *value, Py_ssize_t length, bool ascii)
{
    if (length < 2 || !ascii) return PyUnicode_DecodeLatin1(value, length, NULL);
    PyObject *text = PyUnicode_New(length, 127);
    if (text != NULL) memcpy(PyUnicode_1BYTE_DATA(text), value, (size_t)length);
    return text;
}

/* "HTTP_X_SOMETHING" for a name that is not in the table. */
static PyObject *make_key(const char *name, Py_ssize_t length)
{
    PyObject *key = PyUnicode_New(length + 5, 127);
    if (key == NULL) return NULL;
    Py_UCS1 *at = PyUnicode_1BYTE_DATA(key);
    memcpy(at, "HTTP_", 5);
    for (Py_ssize_t i = 0; i < length; i++)
        at[5 + i] = name[i] == '-' ? '_' : (Py_UCS1)Py_TOUPPER((unsigned char)name[i]);
    return key;
}

/* What a field means to us. 0, or -1 if the request is refused for it. */
static int heed(struct reader *reader, enum field field, const char *value, size_t length)
{
    int status;
    switch (field) {
    case FIELD_HOST:
        if (reader->hosts) return refuse_field(reader, 400, "there are two Host fields");
        if (!rules_authority(value, length)) return refuse_field(reader, 400, "Host is not that of a host");
        reader->hosts = true;
        break;
    case FIELD_CONTENT_LENGTH:
        if (reader->content_length >= 0)
            return refuse_field(reader, 400, "there are two Content-Length fields");
        if ((status = rules_content_length(value, length, &reader->content_length)) != 0)
            return refuse_field(reader, status, "Content-Length is not a number that can be");
        break;
    case FIELD_TRANSFER_ENCODING:
        if (reader->chunked) return refuse_field(reader, 400, "there are two Transfer-Encoding fields");
        if (!rules_is(value, length, "chunked"))
            return refuse_field(reader, 400, "Transfer-Encoding is not chunked");
        reader->chunked = true;
        break;
    case FIELD_CONNECTION:
        reader->close = reader->close || rules_lists(value, length, "close");
        reader->keep = reader->keep || rules_lists(value, length, "keep-alive");
        break;
    case FIELD_EXPECT:
        if (reader->minor == 0) break; /* RFC 9110, 10.1.1: not heeded */
        if (!rules_is(value, length, "100-continue"))
            return refuse_field(reader, 417, "Expect is not 100-continue");
        reader->expects = true;
        break;
    default: break;
    }
    return 0;
}

int head_field(struct reader *reader, PyObject *name_object, PyObject *value_object)
{
    const char *name = PyBytes_AS_STRING(name_object), *value = PyBytes_AS_STRING(value_object);
    Py_ssize_t name_length = PyBytes_GET_SIZE(name_object), length = PyBytes_GET_SIZE(value_object);
    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t')) length--;
    while (length > 0 && (*value == ' ' || *value == '\t')) value++, length--;
    if (name_length == 0 || !rules_all(name, (size_t)name_length, RULES_TOKEN))
        return refuse_field(reader, 400, "the name of a field has characters that it cannot have");
    bool ascii;
    if (!rules_value(value, (size_t)length, &ascii))
        return refuse_field(reader, 400, "the value of a field has control characters");
    const struct known_field *known = state_field(reader->state, name, (size_t)name_length);
    enum field field = known == NULL ? FIELD_PLAIN : known->field;
    if (reader->in_trailers) {
        /* Checked, and never seen by the application: what was decided about the request is decided. */
        if (field == FIELD_HOST || field == FIELD_CONTENT_LENGTH || field == FIELD_TRANSFER_ENCODING)
            return refuse_field(reader, 400, "a trailer speaks about the message's frame");
        return 0;
    }
    /* A name with an underscore has the same key as one with a dash, which a proxy may have checked. */
    if (field == FIELD_DROPPED || memchr(name, '_', (size_t)name_length) != NULL) return 0;
    if (field != FIELD_PLAIN && heed(reader, field, value, (size_t)length) < 0) return -1;
    PyObject *text = make_text(value, length, ascii);
    PyObject *key = known != NULL ? Py_NewRef(known->key) : make_key(name, name_length);
    PyObject *separator = field == FIELD_COOKIE ? reader->state->semicolon : reader->state->comma;
    int rc = text == NULL || key == NULL ? -1 : put(reader, key, text, separator);
    Py_XDECREF(text);
    Py_XDECREF(key);
    return rc;
}

/* The rest of the environ. */

static int hex_value(char byte)
{
    return byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10;
}

/* A path with its %XX decoded; each character of the text stands for one byte (PEP 3333). */
static PyObject *decode_path(const char *path, size_t length)
{
    if (memchr(path, '%', length) == NULL) return PyUnicode_DecodeLatin1(path, (Py_ssize_t)length, NULL);
    char *out = PyMem_Malloc(length), *at = out;
    if (out == NULL) return PyErr_NoMemory();
    for (size_t i = 0; i < length; i++) {
        if (path[i] == '%' && i + 2 < length && rules_all(path + i + 1, 2, RULES_HEX)) {
            *at++ = (char)(hex_value(path[i + 1]) << 4 | hex_value(path[i + 2]));
            i += 2;
        } else {
            *at++ = path[i];
        }
    }
    PyObject *text = PyUnicode_DecodeLatin1(out, at - out, NULL);
    PyMem_Free(out);
    return text;
}

static int set_new(PyObject *dict, PyObject *key, PyObject *value /* stolen */)
{
    if (value == NULL) return -1;
    int rc = PyDict_SetItem(dict, key, value);
    Py_DECREF(value);
    return rc;
}

static int fill(struct reader *reader)
{
    struct http_state *state = reader->state;
    PyObject *environ = reader->environ;
    Py_ssize_t count;
    struct rules_line line = {.method = reader_bytes(reader, &count)};
    line.method_length = (size_t)reader->method_length;
    line.target = line.method + line.method_length + 1;
    line.target_length = (size_t)reader->target_length;
    struct rules_target target;
    rules_target(&line, &target); /* head_find() has seen that it holds */
    PyObject *method = state_method(state, line.method, line.method_length);
    if (PyDict_SetItem(environ, state->request_method, method) < 0 ||
        PyDict_SetItem(environ, state->server_protocol, state->protocols[reader->minor]) < 0)
        return -1;
    PyObject *path = target.path_length == 0   ? Py_NewRef(state->slash)
                     : target.path_length == 1 ? Py_NewRef(*target.path == '*' ? state->star : state->slash)
                                               : decode_path(target.path, target.path_length);
    PyObject *query = target.query_length == 0
                          ? Py_NewRef(state->empty)
                          : PyUnicode_DecodeLatin1(target.query, (Py_ssize_t)target.query_length, NULL);
    if (set_new(environ, state->path_info, path) < 0) {
        Py_XDECREF(query);
        return -1;
    }
    Py_XSETREF(reader->method, Py_NewRef(method));
    Py_XSETREF(reader->target, PyUnicode_DecodeLatin1(line.target, (Py_ssize_t)line.target_length, NULL));
    if (set_new(environ, state->query_string, query) < 0 || reader->target == NULL ||
        PyDict_SetItem(environ, state->request_uri, reader->target) < 0)
        return -1;
    if (target.authority == NULL) return 0;
    /* RFC 9112, 3.2.2: it replaces what Host says. */
    return set_new(environ, state->http_host,
                   PyUnicode_DecodeLatin1(target.authority, (Py_ssize_t)target.authority_length, NULL));
}

int head_finish(struct reader *reader, Py_ssize_t length)
{
    if (reader->minor == 1 && !reader->hosts) return reader_refuse(reader, 400, "there is no Host field");
    if (reader->chunked && reader->minor == 0)
        return reader_refuse(reader, 400, "HTTP/1.0 knows no Transfer-Encoding");
    if (reader->chunked && reader->content_length >= 0)
        return reader_refuse(reader, 400, "there are both Transfer-Encoding and Content-Length");
    bool body = reader->chunked || reader->content_length > 0;
    if (reader->upgrade && body) return reader_refuse(reader, 400, "a request to upgrade has a body");
    if (reader->content_length > reader->body_max) return reader_refuse(reader, 413, "the body is too large");
    if (reader->heads != 1 || reader->ends != !body)
        return reader_refuse(reader, 400, "where the head ends is not certain");
    if (fill(reader) < 0) return -1;
    if (reader->extra != NULL && PyDict_Merge(reader->environ, reader->extra, 0) < 0) return -1;
    if (reader->expects && !body) reader->expects = false; /* nothing to continue with */
    reader->start += length;
    reader->head_bytes = length;
    reader->left = reader->content_length;
    reader->phase = reader->chunked ? PHASE_CHUNK_LINE : body ? PHASE_LENGTH : PHASE_DONE;
    return 0;
}
