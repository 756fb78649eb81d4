/* An extension for test_stacks.py: overflows the stack it is called on, and looks at where that ends. */
#define _GNU_SOURCE
#include <Python.h>

#include <alloca.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "capi.h"

enum { CANARY = 4096, CANARIES = 256 };

/* Frames of parked greenlets that are where they were left, each filled with its own pattern. */
static unsigned char *canaries[CANARIES];
/* The lowest usable address of the stack that is to overflow, and how far below it the fault may be. */
static char *low;
static size_t guard;

static unsigned char pattern(int number, size_t at)
{
    return (unsigned char)(at * 7 + (size_t)number * 31);
}

static int intact(int number, const unsigned char *frame)
{
    for (size_t i = 0; i < CANARY; i++)
        if (frame[i] != pattern(number, i)) return 0;
    return 1;
}

static void say_and_end(const char *text, int status)
{
    (void)!write(1, text, strlen(text));
    _exit(status);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    char *at = info->si_addr;
    if (at >= low || at < low - guard) say_and_end("a fault elsewhere than at the guard\n", 3);
    for (int i = 0; i < CANARIES; i++)
        if (canaries[i] != NULL && !intact(i, canaries[i])) say_and_end("a neighbour was written to\n", 4);
    say_and_end("guard\n", 0);
}

/* The address of something on the stack this is called on. */
static PyObject *here(PyObject *module, PyObject *ignored)
{
    char local;
    return PyLong_FromVoidPtr(&local + 0 * (ignored != NULL));
}

/* watch(low, guard): a fault from now on ends the program: with 0 if it is in the guard and no canary is
 * changed. */
static PyObject *watch(PyObject *module, PyObject *args)
{
    static char alternate[64 << 10];
    unsigned long long lowest, size;
    if (!PyArg_ParseTuple(args, "KK", &lowest, &size)) return NULL;
    low = (char *)(uintptr_t)lowest;
    guard = (size_t)size;
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    if (sigaltstack(&stack, NULL) < 0 || sigaction(SIGSEGV, &action, NULL) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

/* evicted(number): the frame is not at its address. */
static PyObject *evicted(PyObject *module, PyObject *number)
{
    long index = PyLong_AsLong(number);
    if (index < 0 || index >= CANARIES) return NULL;
    canaries[index] = NULL;
    Py_RETURN_NONE;
}

/* canary(number, g): park by switching to g with a watched frame; true if it is as it was. */
static PyObject *canary(PyObject *module, PyObject *args)
{
    unsigned char frame[CANARY];
    int number;
    PyObject *greenlet;
    if (!PyArg_ParseTuple(args, "iO", &number, &greenlet)) return NULL;
    canaries[number] = frame;
    for (size_t i = 0; i < CANARY; i++) frame[i] = pattern(number, i);
    PyObject *result = PyGreenlet_Switch((PyGreenlet *)greenlet, NULL, NULL);
    int found = intact(number, frame);
    canaries[number] = NULL;
    if (result == NULL) return NULL;
    Py_DECREF(result);
    return PyBool_FromLong(found);
}

/* Frames of `size` bytes of which only the lowest are touched, without end. */
static __attribute__((noinline, optimize("no-stack-clash-protection", "no-stack-protector"))) size_t deeper(
    size_t size, size_t depth)
{
    volatile char *frame = alloca(size);
    frame[0] = (char)depth;
    return depth == SIZE_MAX ? 0 : deeper(size, depth + 1) + (size_t)frame[0];
}

/* Where a debugger is told to stop. */
__attribute__((noinline, visibility("default"))) void stack_landmark(void)
{
    __asm__ volatile("" ::: "memory");
}

static PyObject *landmark(PyObject *module, PyObject *ignored)
{
    stack_landmark();
    __asm__ volatile("" ::: "memory"); /* no jump: this function is to be seen */
    Py_RETURN_NONE;
}

/* overflow(size of a frame) */
static PyObject *overflow(PyObject *module, PyObject *number)
{
    size_t size = PyLong_AsSize_t(number);
    if (size == (size_t)-1 && PyErr_Occurred()) return NULL;
    return PyLong_FromSize_t(deeper(size, 0));
}

static PyMethodDef functions[] = {
    {"here", here, METH_NOARGS, NULL},
    {"watch", watch, METH_VARARGS, NULL},
    {"canary", canary, METH_VARARGS, NULL},
    {"evicted", evicted, METH_O, NULL},
    {"overflow", overflow, METH_O, NULL},
    {"landmark", landmark, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "stack_client",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_stack_client(void)
{
    if (PyGreenlet_Import() < 0) return NULL;
    return PyModule_Create(&definition);
}
