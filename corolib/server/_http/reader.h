/* The reader of one connection's requests: bytes in, environs and bodies out. It does no I/O. */
#ifndef HTTP_READER_H
#define HTTP_READER_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include "state.h"

/* What is expected next of the bytes. */
enum phase {
    PHASE_DONE,       /* between two requests */
    PHASE_HEAD,       /* a head has begun, or may */
    PHASE_LENGTH,     /* a body of which `left` bytes are missing */
    PHASE_CHUNK_LINE, /* the size of a chunk */
    PHASE_CHUNK,      /* its data and the line end after that: `left` bytes */
    PHASE_TRAILERS,
    PHASE_OVER, /* nothing: something was refused, or somebody else has taken the bytes */
};

/* What `flags` says of the last request. */
enum {
    READER_COMPLETE = 1, /* it was read to its end */
    READER_STAYS = 2,    /* the client expects to go on after it */
    READER_HEAD = 4,     /* its method is HEAD */
    READER_OLD = 8,      /* it is one of HTTP/1.0 */
    READER_UPGRADE = 16,
    READER_EXPECTS = 32,
};

struct reader {
    PyObject_HEAD struct http_state *state; /* borrowed from the module, which the type holds */

    /* The grammar: an object of httptools, which calls the methods on_... below as it is fed. */
    PyObject *make_parser, *parser_error, *upgrade_error; /* owned */
    PyObject *feed;    /* owned: feed_data of the parser in use; NULL: one has to be made */
    PyObject *failure; /* owned: what a method called by the parser has raised that is no refusal */

    /* Limits, in bytes but for fields_max. */
    Py_ssize_t target_max, head_max, fields_max;
    int64_t body_max;

    PyObject *base;    /* owned: what every environ begins with: nothing that a field could be taken for */
    PyObject *extra;   /* owned or NULL: such entries of the server, put in last and only where nothing is */
    PyObject *environ; /* owned or NULL: of the head that is being read */

    /* What the request said, whatever the application does with its environ. Owned or NULL. */
    PyObject *method, *target, *head;

    /* What was received and is not used up: `data` from `start` on. */
    PyObject *data; /* owned or NULL; bytes, never changed */
    Py_ssize_t start;

    enum phase phase;
    /* Of the head, in bytes from its start: how far it was looked through, where the current line begins. */
    Py_ssize_t scanned, line;
    int blank;                     /* empty lines before it */
    Py_ssize_t fields, head_bytes; /* of the head and its trailers together */
    Py_ssize_t framing;            /* extensions of chunks, in bytes */
    Py_ssize_t method_length, target_length;

    int64_t left, content_length; /* content_length: -1 if there is none */
    int64_t body_bytes;
    int minor; /* of the version */
    bool hosts, chunked, close, keep, expects, upgrade;

    /* What the parser has told since it was fed last; ours has to be the same. */
    int heads, chunk_lines, chunk_ends, ends;
    bool in_trailers;

    /* Why the request is refused; 0 if it is not. Noted by what the parser calls. */
    int status;
    const char *reason;
};

/* reader.c: the type, and what the parser calls. */
int reader_setup(PyObject *module, struct http_state *state);

/* Raise Refused(status, reason) and end the reader. Returns -1. */
int reader_refuse(struct reader *reader, int status, const char *reason);
/* Give `count` bytes from `start` to the parser, without taking them. */
int reader_feed(struct reader *reader, Py_ssize_t count);
/* The environ of the next request, with what was received since the last call (borrowed; NULL: nothing); None
 * while its head is not there; NULL with an exception, Refused if it is not to be served. */
PyObject *reader_next_head(struct reader *reader, PyObject *data);
/* What is to be said of the last request: of READER_COMPLETE and so on. */
int reader_flags(const struct reader *reader);
/* How many bytes are there, and where. */
const char *reader_bytes(const struct reader *reader, Py_ssize_t *count);
/* The next `count` bytes, taken out. */
PyObject *reader_take(struct reader *reader, Py_ssize_t count);

/* head.c */

/* Look for the end of a head in the bytes: its length in `length`. 1 if there is one, 0 if more is needed,
 * -1. */
int head_find(struct reader *reader, Py_ssize_t *length);
/* A field as the parser has found it. */
int head_field(struct reader *reader, PyObject *name, PyObject *value);
/* After the head of `length` bytes was parsed: the rest of the environ, and what follows the head. */
int head_finish(struct reader *reader, Py_ssize_t length);

/* body.c: what can be decoded of the body with the bytes that are there; possibly nothing. */
PyObject *body_take(struct reader *reader);

#endif
