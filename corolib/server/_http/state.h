/* What the module keeps: texts that every request needs, and the tables they are found in. */
#ifndef HTTP_STATE_H
#define HTTP_STATE_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/* Fields that mean something to the server itself. */
enum field {
    FIELD_PLAIN,
    FIELD_HOST,
    FIELD_CONTENT_LENGTH,
    FIELD_CONTENT_TYPE,
    FIELD_TRANSFER_ENCODING,
    FIELD_CONNECTION,
    FIELD_EXPECT,
    FIELD_COOKIE,
    FIELD_UPGRADE,
    FIELD_DROPPED, /* Proxy: its key would be HTTP_PROXY, which many programs take for a setting of theirs */
};

#define FIELD_SLOTS 256 /* a power of two, a good deal more than there are known names */

#define FIELD_NAME_MAX 32

struct known_field {
    uint64_t name[FIELD_NAME_MAX / 8]; /* lower case, filled up with zeros */
    size_t length;                     /* 0: an empty slot */
    PyObject *key;                     /* owned: its key in the environ */
    enum field field;
};

#define METHODS_MAX 40

struct known_method {
    const char *name;
    size_t length;
    PyObject *text; /* owned */
};

/* How many fields a request may have before the copy of the base that it gets has to grow. */
#define ROOM 10

struct http_state {
    struct known_field fields[FIELD_SLOTS];
    struct known_method methods[METHODS_MAX]; /* the frequent ones first; ends with a NULL */
    PyObject *refused;                        /* the exception */
    PyTypeObject *reader, *tally;
    PyObject *no_input;  /* makes a wsgi.input that has nothing */
    PyObject *receive;   /* how much is received at a time */
    PyObject *dont_wait; /* MSG_DONTWAIT */
    /* keys and values of the environ */
    PyObject *request_method, *path_info, *query_string, *request_uri, *server_protocol, *http_host;
    PyObject *protocols[2]; /* by minor version */
    PyObject *head;         /* the method */
    PyObject *empty, *star, *slash;
    PyObject *comma, *semicolon; /* what repeated fields are joined with */
    PyObject *room[ROOM];        /* keys that nobody has: see make_room() in reader.c */
    /* names: a key of the environ, attributes of the server, methods of sockets and of the handler */
    PyObject *input_key;
    PyObject *draining, *connect_timeout;
    PyObject *recv, *send;
    PyObject *start_response, *write, *make_input, *send_result, *send_all, *cannot_send, *answer_failed,
        *log_request, *set_timeout;
    /* The date of answers, as it was formatted last, and the second that it is of. */
    long long date_of;
    char date[32];
};

/* The entry of a field's name, in whatever case; NULL if it is not known. The name is a token. */
const struct known_field *state_field(const struct http_state *state, const char *name, size_t length);

/* The text of a method; NULL if it is none that HTTP servers know. */
PyObject *state_method(const struct http_state *state, const char *name, size_t length);

/* module.c: how types find their module from subclasses. */
extern struct PyModuleDef http_module;

int state_fill(struct http_state *state);
int state_visit(struct http_state *state, visitproc visit, void *arg);
void state_clear(struct http_state *state);

#endif
