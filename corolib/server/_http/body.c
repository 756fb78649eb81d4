/* Bodies: what belongs to them, and what it says.
 *
 * The sizes are read here, and the parser is given pieces that end where it should see an end; it has to say
 * the same. A body of which the two do not agree where it ends is refused. */
#include "reader.h"

#include <string.h>

#include "rules.h"

/* The longest line with the size of a chunk, and what all extensions of a body may have together, in bytes:
 * the standard asks for a limit (RFC 9112, 7.1.1), nobody is known to use them. */
#define CHUNK_LINE_MAX 4096
#define FRAMING_MAX 16384
/* Digits of a size: with 15 it is below 2^60. */
#define SIZE_DIGITS_MAX 15

static int disagree(struct reader *reader)
{
    return reader_refuse(reader, 400, "where the body ends is not certain");
}

/* Of a body that has a length. */
static PyObject *take_length(struct reader *reader)
{
    Py_ssize_t count;
    reader_bytes(reader, &count);
    if (count > reader->left) count = (Py_ssize_t)reader->left;
    if (count == 0) return PyBytes_FromStringAndSize(NULL, 0);
    if (reader_feed(reader, count) < 0) return NULL;
    if (reader->ends != (count == reader->left)) {
        disagree(reader);
        return NULL;
    }
    reader->left -= count;
    reader->body_bytes += count;
    if (reader->left == 0) reader->phase = PHASE_DONE;
    return reader_take(reader, count);
}

/* The line at `bytes`, if its end is there: its length with CRLF; 0 if not, -1 if it is refused. */
static Py_ssize_t line_at(struct reader *reader, const char *bytes, Py_ssize_t count, Py_ssize_t max)
{
    Py_ssize_t look = count < max ? count : max;
    const char *lf = look == 0 ? NULL : memchr(bytes, '\n', (size_t)look);
    if (lf == NULL) {
        if (count >= max) return reader_refuse(reader, 400, "a line of the body's frame is too long");
        const char *cr = look == 0 ? NULL : memchr(bytes, '\r', (size_t)look);
        if (cr != NULL && cr + 1 < bytes + count)
            return reader_refuse(reader, 400, "there is a CR without LF in the body's frame");
        return 0;
    }
    if (lf == bytes || lf[-1] != '\r')
        return reader_refuse(reader, 400, "a line of the body's frame ends with LF alone");
    return lf + 1 - bytes;
}

/* "1f", "1f;name=value": the size of a chunk. */
static int chunk_size(struct reader *reader, const char *line, Py_ssize_t length, int64_t *size)
{
    Py_ssize_t digits = 0;
    *size = 0;
    for (; digits < length && (rules_class[(unsigned char)line[digits]] & RULES_HEX); digits++) {
        if (digits == SIZE_DIGITS_MAX) return reader_refuse(reader, 400, "the size of a chunk is too large");
        char byte = line[digits];
        *size = *size * 16 + (byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10);
    }
    if (digits == 0 || (digits < length && line[digits] != ';'))
        return reader_refuse(reader, 400, "the size of a chunk is no hexadecimal number");
    if (!rules_all(line + digits, (size_t)(length - digits), RULES_VALUE))
        return reader_refuse(reader, 400, "the extension of a chunk has control characters");
    if ((reader->framing += length - digits) > FRAMING_MAX)
        return reader_refuse(reader, 400, "the extensions of chunks are too long");
    return 0;
}

static int begin_chunk(struct reader *reader, const char *bytes, Py_ssize_t length)
{
    int64_t size;
    if (chunk_size(reader, bytes, length - 2, &size) < 0) return -1;
    if (size > reader->body_max - reader->body_bytes)
        return reader_refuse(reader, 413, "the body is too large");
    if (reader_feed(reader, length) < 0) return -1;
    if (reader->chunk_lines != 1 || reader->ends != 0) return disagree(reader);
    reader->start += length;
    reader->left = size + 2;
    reader->phase = size == 0 ? PHASE_TRAILERS : PHASE_CHUNK;
    reader->in_trailers = size == 0;
    return 0;
}

/* Copies what there is of the chunk's data to `out`: how much that was, or -1. */
static Py_ssize_t take_chunk(struct reader *reader, const char *bytes, Py_ssize_t count, char *out)
{
    if (count > reader->left) count = (Py_ssize_t)reader->left;
    Py_ssize_t data = reader->left > 2 ? (Py_ssize_t)(reader->left - 2) : 0;
    if (data > count) data = count;
    for (Py_ssize_t i = data; i < count; i++)
        if (bytes[i] != "\r\n"[2 - (reader->left - i)])
            return reader_refuse(reader, 400, "a chunk is longer than its size says");
    if (reader_feed(reader, count) < 0) return -1;
    if (reader->chunk_ends != (count == reader->left) || reader->ends != 0) return disagree(reader);
    memcpy(out, bytes, (size_t)data);
    reader->start += count;
    reader->left -= count;
    reader->body_bytes += data;
    if (reader->left == 0) reader->phase = PHASE_CHUNK_LINE;
    return data;
}

static int take_trailer(struct reader *reader, Py_ssize_t length)
{
    bool last = length == 2;
    if (!last && ++reader->fields > reader->fields_max)
        return reader_refuse(reader, 431, "there are too many fields");
    if ((reader->head_bytes += length) > reader->head_max)
        return reader_refuse(reader, 431, "head and trailers are too long");
    if (reader_feed(reader, length) < 0) return -1;
    if (reader->ends != last) return disagree(reader);
    reader->start += length;
    if (last) reader->phase = PHASE_DONE;
    return 0;
}

/* Of a body in chunks: as many as there are. */
static PyObject *take_chunks(struct reader *reader)
{
    Py_ssize_t count, length = 0;
    reader_bytes(reader, &count);
    PyObject *result = PyBytes_FromStringAndSize(NULL, count);
    if (result == NULL) return NULL;
    while (reader->phase != PHASE_DONE) {
        const char *bytes = reader_bytes(reader, &count);
        if (count == 0) break;
        Py_ssize_t line, got;
        switch (reader->phase) {
        case PHASE_CHUNK:
            got = take_chunk(reader, bytes, count, PyBytes_AS_STRING(result) + length);
            if (got < 0) goto failed;
            length += got;
            continue;
        case PHASE_CHUNK_LINE:
            if ((line = line_at(reader, bytes, count, CHUNK_LINE_MAX)) < 0) goto failed;
            if (line > 0 && begin_chunk(reader, bytes, line) < 0) goto failed;
            break;
        default:
            if ((line = line_at(reader, bytes, count, reader->head_max)) < 0) goto failed;
            if (line > 0 && take_trailer(reader, line) < 0) goto failed;
        }
        if (line == 0) break;
    }
    return _PyBytes_Resize(&result, length) < 0 ? NULL : result;
failed:
    Py_DECREF(result);
    return NULL;
}

PyObject *body_take(struct reader *reader)
{
    switch (reader->phase) {
    case PHASE_DONE: return PyBytes_FromStringAndSize(NULL, 0);
    case PHASE_LENGTH: return take_length(reader);
    case PHASE_CHUNK_LINE:
    case PHASE_CHUNK:
    case PHASE_TRAILERS: return take_chunks(reader);
    default: PyErr_SetString(PyExc_ValueError, "there is no request whose body could be read"); return NULL;
    }
}
