/* What is counted of every answer, in one call: see corolib/server/counters.py. */
#ifndef HTTP_TALLY_H
#define HTTP_TALLY_H

#include <Python.h>

/* The type Tally, and EDGES: the upper edges of its buckets, in seconds. */
int tally_setup(PyObject *module);

#endif
