/* What stands on waitlist.h and is used all the time: semaphores (semaphore.c) and queues (queue.c). */
#ifndef COROLIB_HUB_QUEUE_H
#define COROLIB_HUB_QUEUE_H

#include <Python.h>

extern PyType_Spec semaphore_spec;
/* Makes the two types SimpleQueue and Queue and adds them to the module. 0 or -1. */
int queue_setup(PyObject *module);

#endif
