/* The module: its state, its functions, its init. */
#include <Python.h>

#include <sys/socket.h>

#include "answer.h"
#include "exchange.h"
#include "reader.h"
#include "state.h"
#include "tally.h"

#define FAST(function) (PyCFunction)(void (*)(void)) function

static PyMethodDef functions[] = {
    {"check", FAST(answer_check), METH_FASTCALL,
     PyDoc_STR(
         "check($module, status, headers, /)\n--\n\nCheck what an application gives to start_response(): "
         "(code, what of DATE, "
         "SERVER, CLOSE, KEEP, OTHER it has, its Content-Length or -1). TypeError or ValueError for what "
         "would not be one head.")},
    {"answer", FAST(answer_make), METH_FASTCALL,
     PyDoc_STR(
         "answer($module, status, headers, add, length, body, /)\n--\n\nThe bytes of an answer's head with "
         "the beginning of its "
         "body. `add` says which of DATE, CLOSE, KEEP, CHUNKED are added; a length of 0 or more adds a "
         "Content-Length.")},
    {"date", FAST(answer_date), METH_FASTCALL,
     PyDoc_STR("date($module, timestamp=<now>, /)\n--\n\nA date as HTTP has them, in GMT.")},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
    struct http_state *state = PyModule_GetState(module);
    const struct {
        const char *name;
        long value;
    } flags[] = {
        {"COMPLETE", READER_COMPLETE}, {"STAYS", READER_STAYS},     {"HEAD", READER_HEAD},
        {"OLD", READER_OLD},           {"UPGRADE", READER_UPGRADE}, {"EXPECTS", READER_EXPECTS},
        {"ORDINARY", ANSWER_ORDINARY}, {"DATE", ANSWER_DATE},       {"SERVER", ANSWER_SERVER},
        {"CLOSE", ANSWER_CLOSE},       {"KEEP", ANSWER_KEEP},       {"CHUNKED", ANSWER_CHUNKED},
        {"OTHER", ANSWER_OTHER},       {"OVER", SERVE_OVER},        {"WAITING", SERVE_WAITING},
        {"ANSWERED", SERVE_ANSWERED},  {"RECEIVE", SERVE_RECEIVE},  {"TOGETHER", EXCHANGE_TOGETHER},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(flags); i++)
        if (PyModule_AddIntConstant(module, flags[i].name, flags[i].value) < 0) return -1;
    state->refused = PyErr_NewExceptionWithDoc(
        "corolib.server._http.Refused",
        "Refused(status, reason): a request that is not served; the connection ends after the answer.",
        PyExc_ValueError, NULL);
    if (state->refused == NULL || PyModule_AddObjectRef(module, "Refused", state->refused) < 0) return -1;
    PyObject *io = PyImport_ImportModule("io");
    if (io == NULL) return -1;
    state->no_input = PyObject_GetAttrString(io, "BytesIO");
    Py_DECREF(io);
    if (state->no_input == NULL || (state->receive = PyLong_FromLong(SERVE_RECEIVE)) == NULL ||
        (state->dont_wait = PyLong_FromLong(MSG_DONTWAIT)) == NULL)
        return -1;
    return state_fill(state) < 0 || reader_setup(module, state) < 0 || tally_setup(module, state) < 0 ||
                   exchange_setup(module, state) < 0
               ? -1
               : 0;
}

static int visit_module(PyObject *module, visitproc visit, void *arg)
{
    return state_visit(PyModule_GetState(module), visit, arg);
}

static int clear_module(PyObject *module)
{
    state_clear(PyModule_GetState(module));
    return 0;
}

static void free_module(void *module)
{
    clear_module(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

struct PyModuleDef http_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_core",
    .m_doc = "HTTP/1.1 in C: see reader.h, answer.h and exchange.h.",
    .m_size = sizeof(struct http_state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = visit_module,
    .m_clear = clear_module,
    .m_free = free_module,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&http_module);
}
