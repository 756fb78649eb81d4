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
    reading->wait.sock->dry = false;
    return rc < 0 ? -1 : (Py_ssize_t)done;
}

int sockread_scratch(struct reading *reading, char **scratch)
{
    const struct sock *sock = reading->wait.sock;
    *scratch = NULL;
    if (reading->size > SCRATCH_SIZE || sock->bulk || reading->flags != 0 || sock->timeout == 0) return 0;
    struct hub *hub = sockwait_hub(&reading->wait);
    if (hub == NULL) return -1;
    if (hub->scratch == NULL && (hub->scratch = PyMem_Malloc(SCRATCH_SIZE)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *scratch = hub->scratch;
    return 0;
}
