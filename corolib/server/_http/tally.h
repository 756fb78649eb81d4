/* What is counted of every answer, in one call: see corolib/server/counters.py. */
#ifndef HTTP_TALLY_H
#define HTTP_TALLY_H

#include <Python.h>

#include <stdbool.h>

#include "state.h"

/* The type Tally, and EDGES: the upper edges of its buckets, in seconds. */
int tally_setup(PyObject *module, struct http_state *state);

/* Is `ending` set: are answers to end their connections? */
bool tally_is_ending(const PyObject *self);

/* Count one answer in a Tally: its code, the bytes of its body and of the request's, how long it took. */
void tally_count(PyObject *self, int code, long long sent, long long received, double seconds);

#endif
