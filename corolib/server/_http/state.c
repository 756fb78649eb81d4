/* The tables of names, and the texts. */
#include "state.h"

#include <string.h>

#include "rules.h"

/* Names that requests often have; all others work just the same, a little slower. */
static const struct {
    const char *name;
    enum field field;
} names[] = {
    {"host", FIELD_HOST},
    {"content-length", FIELD_CONTENT_LENGTH},
    {"content-type", FIELD_CONTENT_TYPE},
    {"transfer-encoding", FIELD_TRANSFER_ENCODING},
    {"connection", FIELD_CONNECTION},
    {"expect", FIELD_EXPECT},
    {"cookie", FIELD_COOKIE},
    {"upgrade", FIELD_UPGRADE},
    {"proxy", FIELD_DROPPED},
    {"accept", FIELD_PLAIN},
    {"accept-charset", FIELD_PLAIN},
    {"accept-encoding", FIELD_PLAIN},
    {"accept-language", FIELD_PLAIN},
    {"access-control-request-headers", FIELD_PLAIN},
    {"access-control-request-method", FIELD_PLAIN},
    {"authorization", FIELD_PLAIN},
    {"cache-control", FIELD_PLAIN},
    {"content-encoding", FIELD_PLAIN},
    {"content-language", FIELD_PLAIN},
    {"content-range", FIELD_PLAIN},
    {"date", FIELD_PLAIN},
    {"dnt", FIELD_PLAIN},
    {"forwarded", FIELD_PLAIN},
    {"from", FIELD_PLAIN},
    {"if-match", FIELD_PLAIN},
    {"if-modified-since", FIELD_PLAIN},
    {"if-none-match", FIELD_PLAIN},
    {"if-range", FIELD_PLAIN},
    {"if-unmodified-since", FIELD_PLAIN},
    {"keep-alive", FIELD_PLAIN},
    {"max-forwards", FIELD_PLAIN},
    {"origin", FIELD_PLAIN},
    {"pragma", FIELD_PLAIN},
    {"priority", FIELD_PLAIN},
    {"proxy-authorization", FIELD_PLAIN},
    {"range", FIELD_PLAIN},
    {"referer", FIELD_PLAIN},
    {"sec-ch-ua", FIELD_PLAIN},
    {"sec-ch-ua-mobile", FIELD_PLAIN},
    {"sec-ch-ua-platform", FIELD_PLAIN},
    {"sec-fetch-dest", FIELD_PLAIN},
    {"sec-fetch-mode", FIELD_PLAIN},
    {"sec-fetch-site", FIELD_PLAIN},
    {"sec-fetch-user", FIELD_PLAIN},
    {"sec-gpc", FIELD_PLAIN},
    {"sec-websocket-extensions", FIELD_PLAIN},
    {"sec-websocket-key", FIELD_PLAIN},
    {"sec-websocket-protocol", FIELD_PLAIN},
    {"sec-websocket-version", FIELD_PLAIN},
    {"te", FIELD_PLAIN},
    {"traceparent", FIELD_PLAIN},
    {"tracestate", FIELD_PLAIN},
    {"trailer", FIELD_PLAIN},
    {"upgrade-insecure-requests", FIELD_PLAIN},
    {"user-agent", FIELD_PLAIN},
    {"via", FIELD_PLAIN},
    {"x-csrf-token", FIELD_PLAIN},
    {"x-forwarded-for", FIELD_PLAIN},
    {"x-forwarded-host", FIELD_PLAIN},
    {"x-forwarded-port", FIELD_PLAIN},
    {"x-forwarded-proto", FIELD_PLAIN},
    {"x-real-ip", FIELD_PLAIN},
    {"x-request-id", FIELD_PLAIN},
    {"x-requested-with", FIELD_PLAIN},
};

/* Of what the IANA lists, without CONNECT, which is for proxies. */
static const char *const methods[] = {
    "GET",        "POST",   "HEAD",      "PUT",    "DELETE", "OPTIONS",    "PATCH",    "TRACE",
    "PROPFIND",   "REPORT", "PROPPATCH", "MKCOL",  "COPY",   "MOVE",       "LOCK",     "UNLOCK",
    "SEARCH",     "BIND",   "REBIND",    "UNBIND", "ACL",    "MKACTIVITY", "CHECKOUT", "MERGE",
    "MKCALENDAR", "LINK",   "UNLINK",    "QUERY",  "PURGE",
};

/* A name in lower case, filled up with zeros. Eight bytes at a time get the bit that tells a small letter
 * from a capital one; '-' and digits have it anyway, and of what else can be in a token only '^', '_' and '`'
 * change, into what no known name has. */
static void lower(const char *name, size_t length, uint64_t *out)
{
    for (size_t i = 0; i < FIELD_NAME_MAX / 8; i++) out[i] = 0;
    memcpy(out, name, length);
    for (size_t i = 0; i * 8 < length; i++) out[i] |= UINT64_C(0x2020202020202020);
    if (length % 8 != 0) {
        static const char none[8] = {0};
        memcpy((char *)out + length, none, 8 - length % 8);
    }
}

static size_t slot_of(const uint64_t *name, size_t length)
{
    uint64_t hash = length;
    for (size_t i = 0; i * 8 < length; i++) hash = (hash ^ name[i]) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(hash >> 56) & (FIELD_SLOTS - 1);
}

const struct known_field *state_field(const struct http_state *state, const char *name, size_t length)
{
    uint64_t small[FIELD_NAME_MAX / 8];
    if (length == 0 || length > FIELD_NAME_MAX) return NULL;
    lower(name, length, small);
    for (size_t slot = slot_of(small, length);; slot = (slot + 1) & (FIELD_SLOTS - 1)) {
        const struct known_field *known = &state->fields[slot];
        if (known->length == 0) return NULL;
        if (known->length == length && memcmp(known->name, small, sizeof small) == 0) return known;
    }
}

PyObject *state_method(const struct http_state *state, const char *name, size_t length)
{
    for (const struct known_method *method = state->methods; method->text != NULL; method++)
        if (method->length == length && memcmp(method->name, name, length) == 0) return method->text;
    return NULL;
}

static PyObject *key_of(const char *name, enum field field)
{
    char key[64] = "HTTP_";
    size_t at = field == FIELD_CONTENT_LENGTH || field == FIELD_CONTENT_TYPE ? 0 : 5;
    for (; *name != '\0'; name++) key[at++] = *name == '-' ? '_' : Py_TOUPPER(*name);
    key[at] = '\0';
    return PyUnicode_InternFromString(key);
}

struct text {
    PyObject **place;
    const char *text;
};
#define TEXTS_MAX 40

/* Every text that is a field of the state: how many there are. */
static size_t list_texts(struct http_state *state, struct text *out)
{
    const struct text texts[] = {
        {&state->request_method, "REQUEST_METHOD"},
        {&state->path_info, "PATH_INFO"},
        {&state->query_string, "QUERY_STRING"},
        {&state->request_uri, "REQUEST_URI"},
        {&state->server_protocol, "SERVER_PROTOCOL"},
        {&state->http_host, "HTTP_HOST"},
        {&state->protocols[0], "HTTP/1.0"},
        {&state->protocols[1], "HTTP/1.1"},
        {&state->head, "HEAD"},
        {&state->empty, ""},
        {&state->star, "*"},
        {&state->slash, "/"},
        {&state->comma, ","},
        {&state->semicolon, "; "},
        {&state->input_key, "wsgi.input"},
        {&state->draining, "draining"},
        {&state->connect_timeout, "connect_timeout"},
        {&state->recv, "recv"},
        {&state->send, "send"},
        {&state->start_response, "start_response"},
        {&state->write, "write"},
        {&state->make_input, "_make_input"},
        {&state->send_result, "_send_result"},
        {&state->send_all, "_sendall"},
        {&state->cannot_send, "_cannot_send"},
        {&state->answer_failed, "_answer_failed"},
        {&state->log_request, "log_request"},
        {&state->set_timeout, "_set_timeout"},
    };
    _Static_assert(sizeof texts <= TEXTS_MAX * sizeof *texts, "TEXTS_MAX is too small");
    memcpy(out, texts, sizeof texts);
    return Py_ARRAY_LENGTH(texts);
}

int state_fill(struct http_state *state)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        struct known_field known = {.length = strlen(names[i].name), .field = names[i].field};
        if (known.length > FIELD_NAME_MAX || (known.key = key_of(names[i].name, names[i].field)) == NULL)
            return -1;
        lower(names[i].name, known.length, known.name);
        size_t slot = slot_of(known.name, known.length);
        while (state->fields[slot].length != 0) slot = (slot + 1) & (FIELD_SLOTS - 1);
        state->fields[slot] = known;
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(methods); i++) {
        struct known_method *method = &state->methods[i];
        *method =
            (struct known_method){methods[i], strlen(methods[i]), PyUnicode_InternFromString(methods[i])};
        if (method->text == NULL) return -1;
    }
    state->date_of = -1;
    struct text texts[TEXTS_MAX];
    size_t count = list_texts(state, texts);
    for (size_t i = 0; i < count; i++)
        if ((*texts[i].place = PyUnicode_InternFromString(texts[i].text)) == NULL) return -1;
    for (size_t i = 0; i < ROOM; i++)
        if ((state->room[i] = PyUnicode_FromFormat("\x01%zu", i)) == NULL) return -1;
    return 0;
}

int state_visit(struct http_state *state, visitproc visit, void *arg)
{
    Py_VISIT(state->refused);
    Py_VISIT(state->reader);
    Py_VISIT(state->tally);
    Py_VISIT(state->no_input);
    return 0; /* all else is texts, which refer to nothing */
}

void state_clear(struct http_state *state)
{
    for (size_t i = 0; i < FIELD_SLOTS; i++) {
        state->fields[i].length = 0;
        Py_CLEAR(state->fields[i].key);
    }
    for (size_t i = 0; i < METHODS_MAX; i++) Py_CLEAR(state->methods[i].text);
    struct text texts[TEXTS_MAX];
    size_t count = list_texts(state, texts);
    for (size_t i = 0; i < count; i++) Py_CLEAR(*texts[i].place);
    for (size_t i = 0; i < ROOM; i++) Py_CLEAR(state->room[i]);
    Py_CLEAR(state->receive);
    Py_CLEAR(state->dont_wait);
    Py_CLEAR(state->no_input);
    Py_CLEAR(state->tally);
    Py_CLEAR(state->refused);
    Py_CLEAR(state->reader);
}
