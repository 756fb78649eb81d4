/* The hub's own descriptors (libev's epoll, the eventfd for wake-ups, the pipe for signals) when others close
 * them.
 *
 * A daemon closes all that it does not know; libev would go on with the numbers, end the process at the first
 * change that the kernel refuses (in builds with assertions, such as Debian's), or close what is another's by
 * then. So:
 * - who closes through us is asked for the number first (`lost_closing`);
 * - before libev takes a change to the kernel, and when a poll fails, the numbers are checked
 * (`lost_intact`);
 * - what is lost is left as it is, neither closed nor freed, and everything moves to a new loop of libev's:
 * Hub.renew() in Python, which calls loop_leave() and loop_enter().
 *
 * An epoll cannot be told from another one, except by what is in it: our eventfd, and EEXIST is the answer to
 * whoever adds it again. That is also the proof for the eventfd. */
#include <Python.h>

#include <errno.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "hub.h"

bool lost_closing(struct hub *hub, int fd)
{
    bool ours = fd == hub->epoll_fd || fd == hub->signal_pipe[0] || fd == hub->signal_pipe[1] ||
                (hub->wakeup.active && fd == hub->wakeup.fd);
    if (ours) hub->lost = true;
    if (fd == hub->signal_chained) hub->signal_chained = -1;
    return ours;
}

static bool epoll_intact(struct hub *hub)
{
    if (hub->epoll_fd < 0) return true;
    struct epoll_event none = {0};
    if (epoll_ctl(hub->epoll_fd, EPOLL_CTL_ADD, hub->wakeup.fd, &none) < 0)
        return errno == EEXIST || errno == ENOMEM || errno == ENOSPC;
    epoll_ctl(hub->epoll_fd, EPOLL_CTL_DEL, hub->wakeup.fd, &none);
    return !hub->polled;
}

bool lost_signal_end(const struct hub *hub, int end)
{
    struct stat status;
    return fstat(hub->signal_pipe[end], &status) == 0 && S_ISFIFO(status.st_mode) &&
           status.st_ino == hub->signal_inode;
}

bool lost_intact(struct hub *hub)
{
    if (hub->lost || !epoll_intact(hub)) return false;
    return hub->signal_pipe[0] < 0 || (lost_signal_end(hub, 0) && lost_signal_end(hub, 1));
}

int lost_repair(struct hub *hub)
{
    if (!hub->lost && epoll_intact(hub)) return 1;
    hub->lost = true;
    PyObject *result = PyObject_CallMethod(hub->self, "renew", NULL);
    if (result != NULL) {
        Py_DECREF(result);
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_OSError)) return -1;
    /* Too many open files: a pause, and we look again. */
    PyErr_Clear();
    hub_pause(1);
    return 0;
}
