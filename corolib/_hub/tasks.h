/* TaskQueue: tasks on their way to native threads. */
#ifndef COROLIB_HUB_TASKS_H
#define COROLIB_HUB_TASKS_H

#include <Python.h>

extern PyType_Spec tasks_spec;

#endif
