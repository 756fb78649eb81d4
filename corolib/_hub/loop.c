/* What the hub greenlet runs: drain, poll, deadlines, signals; and the GIL around the poll.
 *
 *     drain   run ready entries in order, up to a bound (hub_budget); greenlets that wait in turn hand over
 * to each other poll    let libev look at the descriptors: without blocking while something is ready, else
 * until the next deadline. libev's callbacks only queue; nothing switches inside its dispatch. then    what
 * is due on the deadline heap, and PyErr_CheckSignals
 *
 * All watchers of ours are unref'd after their start, so libev's active count holds those of corolib._ev
 * alone. A poll that is to block takes one reference for its length, otherwise libev would return at once. */
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <poll.h>
#include <unistd.h>

#include "fd.h"
#include "hub.h"
#include "park.h"

/* Other threads may wake us without our being able to know of them: with nothing else to wait for we look
 * again after so long whether they are still there. */
#define RECHECK_SECONDS 0.5

/* The GIL is given up for a poll that blocks, and only then: two mutex operations less for each poll that
 * does not. */
static void release_gil(struct ev_loop *loop)
{
    struct hub *hub = hub_ev->userdata(loop);
    if (!hub->polling) return;
    hub->released = PyEval_SaveThread();
}

static void acquire_gil(struct ev_loop *loop)
{
    struct hub *hub = hub_ev->userdata(loop);
    if (hub->released == NULL) return;
    PyEval_RestoreThread(hub->released);
    hub->released = NULL;
    hub->polling = false;
}

static void on_alarm(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    (void)loop, (void)watcher, (void)revents; /* the loop looks at the heap after each poll */
}

/* Signals. CPython's C handler writes the signal's number to the wakeup descriptor, in whichever thread it
 * runs; so a signal that comes between PyErr_CheckSignals and the poll still ends the poll. */

static void on_signal(struct ev_loop *loop, ev_io *watcher, int revents)
{
    (void)revents;
    struct hub *hub = hub_ev->userdata(loop);
    unsigned char numbers[64];
    ssize_t n;
    while ((n = read(watcher->fd, numbers, sizeof numbers)) > 0)
        /* The descriptor that was set before ours gets them too. If it is full or gone, that is its owner's
         * matter. */
        if (hub->signal_chained >= 0 && write(hub->signal_chained, numbers, (size_t)n) < 0) continue;
}

/* signal.set_wakeup_fd(): the descriptor before, or -1. By way of Python, since PySignal_SetWakeupFd is
 * exported from CPython 3.13 on only. */
static int set_wakeup(int fd)
{
    PyObject *type, *error, *tb;
    PyErr_Fetch(&type, &error, &tb);
    PyObject *module = PyImport_ImportModule("_signal"), *result = NULL;
    PyObject *function = module == NULL ? NULL : PyObject_GetAttrString(module, "set_wakeup_fd");
    PyObject *names = function == NULL ? NULL : Py_BuildValue("(s)", "warn_on_full_buffer");
    PyObject *number = names == NULL ? NULL : PyLong_FromLong(fd);
    if (number != NULL) result = PyObject_Vectorcall(function, (PyObject *[]){number, Py_False}, 1, names);
    long previous = result == NULL ? -1 : PyLong_AsLong(result);
    Py_XDECREF(module);
    Py_XDECREF(function);
    Py_XDECREF(names);
    Py_XDECREF(number);
    Py_XDECREF(result);
    PyErr_Restore(type, error, tb); /* a failure (not the main thread, or a late end) leaves what was there */
    return (int)previous;
}

static void signals_open(struct hub *hub)
{
    if (pipe2(hub->signal_pipe, O_NONBLOCK | O_CLOEXEC) < 0) {
        /* Without it a signal in that short moment is seen one poll later. */
        hub->signal_pipe[0] = hub->signal_pipe[1] = -1;
        return;
    }
    struct stat status;
    hub->signal_inode = fstat(hub->signal_pipe[0], &status) < 0 ? 0 : status.st_ino;
    hub->signal_chained = set_wakeup(hub->signal_pipe[1]);
    /* In the child of a fork the number may be all that is left of the pipe of a hub whose thread is gone. */
    if (hub->signal_chained == hub->signal_pipe[1]) hub->signal_chained = -1;
    ev_io_init(&hub->signal_io, on_signal, hub->signal_pipe[0], EV_READ);
    hub_ev->io_start(hub->loop, &hub->signal_io);
    hub_ev->unref(hub->loop);
}

/* Without the pipe's numbers if they are another's by now. */
static void signals_close(struct hub *hub)
{
    if (hub->signal_pipe[0] < 0) return;
    hub_ev->ref(hub->loop);
    hub_ev->io_stop(hub->loop, &hub->signal_io);
    int current = set_wakeup(hub->signal_chained);
    if (current != hub->signal_pipe[1]) set_wakeup(current); /* somebody came after us: theirs stays */
    for (int end = 0; end < 2; end++) {
        if (lost_signal_end(hub, end)) close(hub->signal_pipe[end]);
        hub->signal_pipe[end] = -1;
    }
}

int loop_chain_signals(struct hub *hub)
{
    int before = hub->signal_chained;
    if (hub->signal_pipe[1] < 0) return before;
    int found = set_wakeup(hub->signal_pipe[1]);
    if (found != hub->signal_pipe[1]) hub->signal_chained = found;
    return before;
}

/* Ties the hub to hub->loop. */
static void tie(struct hub *hub)
{
    hub_ev->set_userdata(hub->loop, hub);
    hub_ev->set_release(hub->loop, release_gil, acquire_gil);
    ev_timer_init(&hub->alarm, on_alarm, 0., 0.);
    hub->epoll_fd = hub_ev->epoll_fd(hub->loop);
    hub->polled = false;
}

static void untie(struct hub *hub)
{
    hub_ev->set_release(hub->loop, NULL, NULL);
    hub_ev->set_userdata(hub->loop, NULL);
}

int loop_open(struct hub *hub, bool watch_signals)
{
    tie(hub);
    hub->signal_pipe[0] = hub->signal_pipe[1] = hub->signal_chained = -1;
    if (watch_signals) signals_open(hub);
    hub->now = hub->polled_at = deadline_now(&hub->deadlines);
    hub->clock_mask = HUB_CLOCK_MASK;
    hub->pid = getpid();
    return inbox_open(hub);
}

void loop_close(struct hub *hub)
{
    if (!lost_intact(hub)) inbox_leave(hub); /* the number may be another's */
    inbox_close(hub);
    signals_close(hub);
    untie(hub);
}

int loop_leave(struct hub *hub)
{
    hub->next_wakeup = inbox_descriptor();
    if (hub->next_wakeup < 0) return -1;
    fd_leave(hub);
    inbox_leave(hub);
    hub->watches_signals = hub->signal_pipe[0] >= 0;
    signals_close(hub);
    untie(hub);
    return 0;
}

void loop_enter(struct hub *hub, struct ev_loop *next)
{
    hub->loop = next;
    tie(hub);
    fd_enter(hub);
    if (hub->watches_signals) signals_open(hub);
    inbox_enter(hub, hub->next_wakeup);
    hub->lost = false;
}

int loop_report(struct hub *hub, PyObject *context)
{
    /* A hub that was destroyed is on its way out with whatever was thrown into it. */
    if (hub->destroyed) return -1;
    PyObject *type, *error, *tb;
    PyErr_Fetch(&type, &error, &tb);
    PyErr_NormalizeException(&type, &error, &tb);
    if (tb != NULL) PyException_SetTraceback(error, tb);
    PyObject *result = PyObject_VectorcallMethod(
        hub_name_handle_error, (PyObject *[]){hub->self, context, type, error, tb != NULL ? tb : Py_None}, 5,
        NULL);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(tb);
    if (result == NULL && !hub->destroyed &&
        (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) || PyErr_ExceptionMatches(PyExc_SystemExit))) {
        /* Ctrl-C, while the handler ran: it is meant for the main greenlet. */
        PyErr_Fetch(&type, &error, &tb);
        PyErr_NormalizeException(&type, &error, &tb);
        result = PyObject_CallMethod(hub->self, "handle_system_error", "OOO", type, error, tb ? tb : Py_None);
        Py_XDECREF(type);
        Py_XDECREF(error);
        Py_XDECREF(tb);
    }
    if (result == NULL) {
        if (hub->destroyed) return -1;
        PyErr_WriteUnraisable(hub->self); /* the error handler failed; the hub lives on */
    }
    Py_XDECREF(result);
    return 0;
}

static int run_entry(struct hub *hub, PyObject *entry)
{
    if (hub_is_greenlet(entry)) return park_resume(hub, entry);
    return ((struct ready_item *)entry)->run(entry, hub);
}

static int drain(struct hub *hub)
{
    PyObject *entry;
    while (!hub->destroyed && (entry = ready_take(&hub->ready)) != NULL) {
        int rc = run_entry(hub, entry);
        Py_DECREF(entry);
        if (rc < 0) return -1;
        if (!hub_budget(hub)) return 0;
    }
    return 0;
}

/* Python threads beside this one which might wake somebody here. */
static Py_ssize_t other_threads(void)
{
    PyThreadState *own = PyThreadState_Get();
    Py_ssize_t count = -hub_idle_threads;
    PyThreadState *each = PyInterpreterState_ThreadHead(PyThreadState_GetInterpreter(own));
    for (; each != NULL; each = PyThreadState_Next(each))
        if (each != own) count++;
    return count;
}

/* Nothing can wake anybody any more: LoopExit in the greenlet above the hub. Comes back when that one waits
 * again. 1 if a signal still can. */
static int deadlocked(struct hub *hub)
{
    PyObject *error = PyObject_CallMethod(hub->self, "loop_exit", NULL);
    if (error == NULL) return loop_report(hub, hub->self);
    if (error == Py_None) {
        Py_DECREF(error);
        return 1;
    }
    if (!PyExceptionInstance_Check(error)) {
        PyErr_Format(PyExc_TypeError, "loop_exit() must return an exception, not %.100s",
                     Py_TYPE(error)->tp_name);
        Py_DECREF(error);
        return loop_report(hub, hub->self);
    }
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
    PyObject *result = engine->transfer(engine->main_greenlet(), NULL);
    if (result == NULL) return loop_report(hub, hub->self);
    Py_DECREF(result);
    return 0;
}

/* The poll has failed. If libev's epoll is gone it is lost, see there. Else the system is short of something
 * for the moment: a pause, and the loop looks again. */
static void poll_failed(struct hub *hub, int error)
{
    if (error == EBADF || error == EINVAL) {
        hub->lost = true;
        return;
    }
    hub_pause(1);
}

/* One look at the descriptors, for `wait` seconds at most; 0 for no wait, PARK_FOREVER for no limit. Returns
 * libev's count of active watchers that are not ours. */
static int look(struct hub *hub, double wait)
{
    hub->unpolled = 0;
    hub->polls++;
    hub->polled = true;
    int active, error;
    if (wait == 0) {
        active = hub_ev->run(hub->loop, EVRUN_NOWAIT);
        if ((error = hub_ev->take_error()) != 0) poll_failed(hub, error);
        return active;
    }
    if (wait > 0) {
        hub_ev->now_update(hub->loop); /* the alarm counts from libev's idea of now */
        ev_timer_set(&hub->alarm, wait, 0.);
        hub_ev->timer_start(hub->loop, &hub->alarm);
        hub_ev->unref(hub->loop);
    }
    /* Before the run, not with the release of the GIL: libev calls prepare watchers first, and what they
     * queue must keep it from blocking. */
    hub->polling = true;
    hub_ev->ref(hub->loop);
    active = hub_ev->run(hub->loop, EVRUN_ONCE);
    hub_ev->unref(hub->loop);
    hub->polling = false;
    if ((error = hub_ev->take_error()) != 0) poll_failed(hub, error);
    if (wait > 0) {
        /* An alarm that went off was stopped by libev, which took a reference we had given back already. */
        hub_ev->ref(hub->loop);
        hub_ev->timer_stop(hub->loop, &hub->alarm);
    }
    return active;
}

/* How long the next poll may block: 0 if there is something to do, PARK_FOREVER if nothing is due at any
 * time. */
static double idle_time(struct hub *hub)
{
    if (hub->ready.len > 0) return 0;
    if (hub->deadlines.len == 0) return PARK_FOREVER;
    double left = deadline_bound(&hub->deadlines) - deadline_now(&hub->deadlines);
    return left > 0 ? left : 0;
}

/* The same for a clock that stands still. Nothing is ready and something is due later: the clock jumps there,
 * unless the world outside has something to do first. It gets `patience` seconds of the machine's time for
 * that if somebody waits for it, and all the time it takes while a job of ours runs in another thread. */
static void look_and_jump(struct hub *hub)
{
    int active = look(hub, 0);
    if (hub->ready.len == 0 && (hub->external > 0 || hub->outside > 0 || active > 0 || other_threads() > 0)) {
        double wait = hub->external > 0 ? PARK_FOREVER : hub->patience, until = deadline_machine() + wait;
        look(hub, wait);
        if (wait < 0 || deadline_machine() < until) return; /* something has come */
        /* The other threads have gone meanwhile, and what is due counts for nothing: a deadlock. */
        if (hub->live == 0 && active == 0 && other_threads() <= 0) return;
    }
    struct deadline_heap *heap = &hub->deadlines;
    if (hub->ready.len == 0 && heap->len > 0 && heap->clock.stopped) {
        double next = deadline_next(heap);
        if (next > heap->clock.shown) heap->clock.shown = next;
    }
}

/* What a peer on the same machine asks for next comes right behind the answer it has got; to fall asleep and
 * to be woken takes longer than that. So a sleep is put off for as long as it would take itself, which is at
 * most twice the cost of knowing the future (Karlin, Li, Manasse, Owicki: "Empirical studies of competitive
 * spinning"), and only where it pays: after a sleep that was short. One that was put off in vain takes a part
 * of the hope away; when that is gone many sleeps go by before there is another trial. */
#define PUT_OFF_SECONDS 12e-6
#define SHORT_SECONDS 50e-6
#define HOPE 4
#define DOUBT 64

/* Whether something has come. The GIL is kept, so this is not for when jobs run in threads of ours, which
 * need it. Nothing of libev's is called, for which this is no turn of the loop. */
static bool put_off(struct hub *hub)
{
    struct pollfd epoll = {.fd = hub->epoll_fd, .events = POLLIN};
    double until = deadline_machine() + PUT_OFF_SECONDS;
    do
        if (poll(&epoll, 1, 0) != 0) return true;
    while (deadline_machine() < until);
    return false;
}

/* look() with a sleep in it. */
static void sleep_in_kernel(struct hub *hub, double wait)
{
    if (hub->hope > 0 && hub->external == 0) {
        look(hub, 0); /* the GIL need not change hands for what is there */
        bool came = hub->ready.len > 0 || (hub->epoll_fd >= 0 && hub->changed_len == 0 && put_off(hub));
        if (came)
            hub->hope = HOPE;
        else if (--hub->hope == 0)
            hub->doubt = DOUBT;
        if (hub->ready.len == 0) look(hub, came ? 0 : wait);
        return;
    }
    double asleep = deadline_machine();
    look(hub, wait);
    if (hub->doubt > 0)
        hub->doubt--;
    else if (hub->external == 0 && deadline_machine() - asleep < SHORT_SECONDS)
        hub->hope = 1;
}

/* In the child of a fork nothing may be left for the next poll: by then others may have the numbers that are
 * still the parent's and ours, if the child closes all it does not know. libev makes its own anew when it
 * polls. */
void loop_after_fork(struct hub *hub)
{
    bool ours = lost_intact(hub);
    hub->thread_ident = PyThread_get_thread_ident();
    if (hub->pid != getpid()) {
        hub->pid = getpid();
        hub->external = hub_idle_threads = 0; /* threads are not inherited */
    }
    /* The pipe is shared with the parent: a signal of one would wake the other. Whichever thread has forked,
     * it is the one that runs signal handlers now. */
    signals_close(hub);
    signals_open(hub);
    if (!ours) {
        hub->lost = true;
        return;
    }
    inbox_close(hub);
    if (inbox_open(hub) < 0) {
        PyErr_Clear();
        hub->lost = true;
        return;
    }
    hub_ev->loop_fork(hub->loop);
    /* Without our descriptors: what greenlets of the parent wait for is to wake nobody here before the child
     * waits. */
    fd_leave(hub);
    look(hub, 0);
    fd_enter(hub);
    hub->epoll_fd = hub_ev->epoll_fd(hub->loop);
}

static int poll_once(struct hub *hub)
{
    /* Without a change there is nothing that libev would end the process for, and the poll finds out by
     * itself. */
    int intact = hub->lost || hub->changed_len > 0 ? lost_repair(hub) : 1;
    if (intact < 0 && loop_report(hub, Py_None) < 0) return -1;
    if (intact <= 0) {
        deadline_fire(&hub->deadlines, hub->now = deadline_now(&hub->deadlines));
        return 0;
    }
    if (hub->changed_len > 0 || hub->orphans != NULL) fd_verify(hub);
    double wait = idle_time(hub);
    if (wait != 0 && hub->live == 0 && hub->external == 0) {
        /* Nobody here waits for anything from outside. Watchers of corolib._ev, or other threads, may still
         * do something. */
        int active = look(hub, 0);
        if (hub->ready.len > 0)
            wait = 0;
        else if (active == 0) {
            if (other_threads() > 0) {
                if (wait < 0 || wait > RECHECK_SECONDS) wait = RECHECK_SECONDS;
            } else {
                int rc = deadlocked(hub);
                if (rc <= 0) return rc;
                wait = idle_time(hub); /* that was Python code: something may be ready now */
            }
        }
    } else if (wait == 0) {
        look(hub, 0);
    }
    if (wait > 0 && hub->deadlines.len > 0 && hub->deadlines.clock.stopped)
        look_and_jump(hub);
    else if (wait != 0)
        sleep_in_kernel(hub, wait);
    hub->now = hub->polled_at = deadline_now(&hub->deadlines);
    deadline_fire(&hub->deadlines, hub->now);
    int rc = PyErr_CheckSignals() < 0 ? loop_report(hub, Py_None) : 0;
    hub->batch = hub->ready.len;
    return rc;
}

PyObject *loop_boot(PyObject *self, PyObject *value)
{
    (void)value;
    struct hub *hub = hub_core(self);
    hub->polled_at = deadline_now(&hub->deadlines); /* what was done before is not its own */
    hub->batch = hub->ready.len;
    while (!hub->destroyed)
        if (drain(hub) < 0 || (!hub->destroyed && poll_once(hub) < 0)) return NULL;
    Py_RETURN_NONE;
}
