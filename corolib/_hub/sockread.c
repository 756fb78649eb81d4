/* A receive from its first system call to its last: the parts that are not run every time. */
#include "sockread.h"

#include "hub.h"

Py_ssize_t sockread_all(struct reading *reading, char *buffer)
{
    size_t done = 0;
    int rc = 0;
    while (rc == 0 && done < reading->size) {
        ssize_t n = recv(reading->wait.sock->fd, buffer + done, reading->size - done, reading->flags);
        if (n == 0) break;
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (done > 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) break;
        rc = sockwait_again(&reading->wait, SOCKWAIT_READ);
    }
    reading->wait.sock->last = SOCK_LAST_NOTHING;
    sockwait_moved(reading->wait.sock, (Py_ssize_t)done);
    return rc < 0 ? -1 : (Py_ssize_t)done;
}

int sockread_make_scratch(struct hub *hub)
{
    if ((hub->scratch = PyMem_Malloc(SCRATCH_SIZE)) != NULL) return 0;
    PyErr_NoMemory();
    return -1;
}
