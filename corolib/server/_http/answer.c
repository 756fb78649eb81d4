/* Heads of answers. Whatever an application says, the bytes are one head: no line end, no NUL, no second
 * length. */
#include "answer.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "rules.h"

/* Texts. */

/* The bytes of a text of Latin-1: borrowed from it; NULL with an exception set. */
static const char *latin1(PyObject *text, const char *what, Py_ssize_t *length)
{
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "%s has to be a str, not %.100s: %R", what, Py_TYPE(text)->tp_name,
                     text);
        return NULL;
    }
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(text) < 0) return NULL;
#endif
    if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "%s has characters that are not in Latin-1: %R", what, text);
        return NULL;
    }
    *length = PyUnicode_GET_LENGTH(text);
    return (const char *)PyUnicode_1BYTE_DATA(text);
}

static const char *checked(PyObject *text, const char *what, unsigned char class, Py_ssize_t *length)
{
    const char *bytes = latin1(text, what, length);
    if (bytes == NULL || rules_all(bytes, (size_t)*length, class)) return bytes;
    PyErr_Format(PyExc_ValueError, "%s has characters that it cannot have, such as line ends: %R", what,
                 text);
    return NULL;
}

/* "200 OK": the code, or -1. */
static int code_of(PyObject *status, const char **bytes, Py_ssize_t *length)
{
    *bytes = checked(status, "the status", RULES_VALUE, length);
    if (*bytes == NULL) return -1;
    if (*length >= 3 && rules_all(*bytes, 3, RULES_DIGIT) && (*length == 3 || (*bytes)[3] == ' ')) {
        int code = ((*bytes)[0] - '0') * 100 + ((*bytes)[1] - '0') * 10 + ((*bytes)[2] - '0');
        if (code >= 200 || code == 101) return code;
    }
    PyErr_Format(PyExc_ValueError,
                 "the status has to be like '200 OK', of an answer that is the last: it is %R", status);
    return -1;
}

struct header {
    const char *name, *value;
    Py_ssize_t name_length, value_length;
};

/* A (name, value) of the list; borrowed from it. */
static int header_of(PyObject *item, struct header *header)
{
    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2) {
        PyErr_Format(PyExc_TypeError, "a header has to be a tuple (name, value): it is %R", item);
        return -1;
    }
    header->name =
        checked(PyTuple_GET_ITEM(item, 0), "the name of a header", RULES_TOKEN, &header->name_length);
    if (header->name == NULL) return -1;
    if (header->name_length == 0) {
        PyErr_SetString(PyExc_ValueError, "the name of a header is empty");
        return -1;
    }
    header->value =
        checked(PyTuple_GET_ITEM(item, 1), "the value of a header", RULES_VALUE, &header->value_length);
    return header->value == NULL ? -1 : 0;
}

/* The bytes of a text that latin1() has seen. */
static const char *borrowed(PyObject *text, Py_ssize_t *length)
{
    *length = PyUnicode_GET_LENGTH(text);
    return (const char *)PyUnicode_1BYTE_DATA(text);
}

/* The same as header_of() for an item that it has seen. */
static void header_again(PyObject *item, struct header *header)
{
    header->name = borrowed(PyTuple_GET_ITEM(item, 0), &header->name_length);
    header->value = borrowed(PyTuple_GET_ITEM(item, 1), &header->value_length);
}

static int check_list(PyObject *headers)
{
    if (PyList_Check(headers)) return 0;
    PyErr_Format(PyExc_TypeError, "headers have to be a list, not %.100s", Py_TYPE(headers)->tp_name);
    return -1;
}

int answer_inspect(PyObject *status, PyObject *headers, struct answer_facts *facts)
{
    const char *bytes;
    Py_ssize_t length;
    int code = code_of(status, &bytes, &length), found = 0;
    if (code < 0 || check_list(headers) < 0) return -1;
    if (code >= 200 && code != 204 && code != 304) found |= ANSWER_ORDINARY;
    int64_t content_length = -1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        struct header header;
        if (header_of(PyList_GET_ITEM(headers, i), &header) < 0) return -1;
        size_t size = (size_t)header.value_length;
        switch (header.name_length) {
        case 4:
            if (rules_is(header.name, 4, "date")) found |= ANSWER_DATE;
            break;
        case 6:
            if (rules_is(header.name, 6, "server")) found |= ANSWER_SERVER;
            break;
        case 10:
            if (!rules_is(header.name, 10, "connection")) break;
            found |= rules_lists(header.value, size, "close")        ? ANSWER_CLOSE
                     : rules_lists(header.value, size, "keep-alive") ? ANSWER_KEEP
                                                                     : ANSWER_OTHER;
            break;
        case 14:
            if (!rules_is(header.name, 14, "content-length")) break;
            if (content_length >= 0) {
                PyErr_SetString(PyExc_ValueError, "there are two Content-Length headers");
                return -1;
            }
            if (rules_content_length(header.value, size, &content_length) != 0) {
                PyErr_Format(PyExc_ValueError, "Content-Length is not a number that can be: %R",
                             PyTuple_GET_ITEM(PyList_GET_ITEM(headers, i), 1));
                return -1;
            }
            break;
        case 17:
            if (!rules_is(header.name, 17, "transfer-encoding")) break;
            PyErr_SetString(PyExc_ValueError,
                            "Transfer-Encoding is the server's: an application gives the body "
                            "as it is, in as many pieces as it likes");
            return -1;
        default: break;
        }
    }
    *facts = (struct answer_facts){code, found, content_length};
    return 0;
}

PyObject *answer_check(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) return PyErr_Format(PyExc_TypeError, "check() takes 2 arguments (%zd given)", nargs);
    struct answer_facts facts;
    if (answer_inspect(args[0], args[1], &facts) < 0) return NULL;
    return Py_BuildValue("(iiL)", facts.code, facts.found, facts.length);
}

/* Dates. */

static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
#define DATE_LENGTH 29

static void two(char *out, int value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

/* "Thu, 01 Jan 1970 00:00:00 GMT", whatever the locale. 0, or -1 for a time that has no such date. */
static int format_date(time_t when, char *out)
{
    struct tm tm;
    if (gmtime_r(&when, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 8099) return -1;
    int year = tm.tm_year + 1900;
    memcpy(out, "Day, dd Mon yyyy hh:mm:ss GMT", DATE_LENGTH);
    memcpy(out, days + (size_t)tm.tm_wday * 3, 3);
    two(out + 5, tm.tm_mday);
    memcpy(out + 8, months + (size_t)tm.tm_mon * 3, 3);
    two(out + 12, year / 100);
    two(out + 14, year % 100);
    two(out + 17, tm.tm_hour);
    two(out + 20, tm.tm_min);
    two(out + 23, tm.tm_sec);
    return 0;
}

PyObject *answer_date(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs > 1) return PyErr_Format(PyExc_TypeError, "date() takes at most 1 argument (%zd given)", nargs);
    time_t when = time(NULL);
    if (nargs == 1) {
        double seconds = PyFloat_AsDouble(args[0]);
        if (seconds == -1.0 && PyErr_Occurred()) return NULL;
        if (!(seconds > -1e14 && seconds < 1e14)) {
            PyErr_SetString(PyExc_ValueError, "the time is not within the years 0 to 9999");
            return NULL;
        }
        when = (time_t)seconds;
    }
    char text[DATE_LENGTH];
    if (format_date(when, text) < 0) {
        PyErr_SetString(PyExc_ValueError, "the time is not within the years 0 to 9999");
        return NULL;
    }
    return PyUnicode_FromStringAndSize(text, DATE_LENGTH);
}

/* The whole. */

static char *append(char *at, const char *bytes, size_t length)
{
    memcpy(at, bytes, length);
    return at + length;
}

#define APPEND(at, text) append(at, text, sizeof(text) - 1)

/* Decimal or hexadecimal digits. */
static char *append_number(char *at, uint64_t value, unsigned base)
{
    char digits[24], *first = digits + sizeof digits;
    do {
        *--first = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    return append(at, first, (size_t)(digits + sizeof digits - first));
}

/* More than all that is added to the headers given: names, numbers, the date, line ends. */
#define ADDED_MAX 256

/* Appends "Date: " and the date, which is formatted once a second. */
static char *append_date(char *at, struct http_state *state)
{
    time_t now = time(NULL);
    at = APPEND(at, "Date: ");
    if (state->date_of != (long long)now) {
        if (format_date(now, state->date) < 0) return APPEND(at, "\r\n");
        memcpy(state->date + DATE_LENGTH, "\r\n", 2);
        state->date_of = (long long)now;
    }
    return append(at, state->date, DATE_LENGTH + 2);
}

PyObject *answer_build(struct http_state *state, PyObject *status, PyObject *headers, int told,
                       long long length, PyObject *body, bool vetted)
{
    const char *line;
    Py_ssize_t line_length;
    if (code_of(status, &line, &line_length) < 0 || (!vetted && check_list(headers) < 0)) return NULL;
    size_t body_length = (size_t)PyBytes_GET_SIZE(body);

    /* No Python code runs from here to the end: the list stays as it is. */
    size_t size = ADDED_MAX + (size_t)line_length + body_length;
    Py_ssize_t count = PyList_GET_SIZE(headers);
    struct header header;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyList_GET_ITEM(headers, i);
        if (vetted)
            header_again(item, &header);
        else if (header_of(item, &header) < 0)
            return NULL;
        size += (size_t)header.name_length + (size_t)header.value_length + 4;
    }
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (result == NULL) return NULL;
    char *at = APPEND(PyBytes_AS_STRING(result), "HTTP/1.1 ");
    at = append(at, line, (size_t)line_length);
    if (line_length == 3) *at++ = ' '; /* the space is part of the line even with no reason */
    at = APPEND(at, "\r\n");
    for (Py_ssize_t i = 0; i < count; i++) {
        header_again(PyList_GET_ITEM(headers, i), &header);
        at = append(at, header.name, (size_t)header.name_length);
        at = APPEND(at, ": ");
        at = append(at, header.value, (size_t)header.value_length);
        at = APPEND(at, "\r\n");
    }
    if (told & ANSWER_DATE) at = append_date(at, state);
    if (length >= 0) {
        at = APPEND(at, "Content-Length: ");
        at = append_number(at, (uint64_t)length, 10);
        at = APPEND(at, "\r\n");
    }
    if (told & ANSWER_CHUNKED) at = APPEND(at, "Transfer-Encoding: chunked\r\n");
    if (told & ANSWER_CLOSE) at = APPEND(at, "Connection: close\r\n");
    if (told & ANSWER_KEEP) at = APPEND(at, "Connection: keep-alive\r\n");
    at = APPEND(at, "\r\n");
    if (body_length > 0 && (told & ANSWER_CHUNKED)) {
        at = append_number(at, body_length, 16);
        at = APPEND(at, "\r\n");
        at = append(at, PyBytes_AS_STRING(body), body_length);
        at = APPEND(at, "\r\n");
    } else {
        at = append(at, PyBytes_AS_STRING(body), body_length);
    }
    return _PyBytes_Resize(&result, at - PyBytes_AS_STRING(result)) < 0 ? NULL : result;
}

PyObject *answer_make(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 5) return PyErr_Format(PyExc_TypeError, "answer() takes 5 arguments (%zd given)", nargs);
    long told = PyLong_AsLong(args[2]);
    if (told == -1 && PyErr_Occurred()) return NULL;
    long long length = PyLong_AsLongLong(args[3]);
    if (length == -1 && PyErr_Occurred()) return NULL;
    if (!PyBytes_Check(args[4]))
        return PyErr_Format(PyExc_TypeError, "the body has to be bytes, not %.100s",
                            Py_TYPE(args[4])->tp_name);
    return answer_build(PyModule_GetState(module), args[0], args[1], (int)told, length, args[4], false);
}
