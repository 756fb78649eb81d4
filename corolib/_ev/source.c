/* What the compiler builds around cdef.h: the trampoline from libev into Python, and the table for
 * corolib._hub. */
#include "evapi.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#if !EV_MULTIPLICITY
#error "corolib needs a libev built with EV_MULTIPLICITY: each hub has a loop of its own"
#endif

/* Names for the types of struct stat's fields; cffi finds out how wide each of them is. */
typedef dev_t corolib_dev;
typedef ino_t corolib_ino;
typedef mode_t corolib_mode;
typedef nlink_t corolib_nlink;
typedef uid_t corolib_uid;
typedef gid_t corolib_gid;
typedef off_t corolib_off;
typedef time_t corolib_time;

/* Defined by cffi further down in this unit; a Python function that lets no exception out. */
static void corolib_ev_event(struct ev_watcher *watcher, int revents);

/* The loop is left out: the Python object behind `data` knows it. */
static void trampoline(struct ev_loop *loop, struct ev_watcher *watcher, int revents)
{
    (void)loop;
    corolib_ev_event(watcher, revents);
}

/* All kinds of watchers begin with the same words (EV_WATCHER in ev.h), so one function serves all. */
static void corolib_ev_init(void *watcher)
{
    struct ev_watcher *w = watcher;
    ev_init(w, trampoline);
    w->data = NULL;
}

static _Thread_local int poll_error __attribute__((tls_model("initial-exec"))); /* asked after each poll */

static int take_error(void)
{
    int error = poll_error;
    poll_error = 0;
    return error;
}

/* libev's hook for system calls that must not fail, one for the process; without it libev aborts. That
 * epoll_wait() fails is survived: the hub takes the error after each poll (see poll_failed() in _hub/loop.c).
 * If the last one was not taken, the loop is run by no hub. The other calls are made again and again until
 * they succeed, so to return from here would be to spin. */
static void system_error(const char *message)
{
    if (strstr(message, "epoll_wait") != NULL && poll_error == 0) {
        poll_error = errno;
        return;
    }
    perror(message);
    abort();
}

static void nothing(struct ev_loop *loop, ev_embed *watcher, int revents)
{
    (void)loop, (void)watcher, (void)revents;
}

/* libev has no question for it, but a watcher that embeds a loop in another one watches the descriptor of
 * that; also of the same one. Nothing reaches the kernel: it is stopped again before the next poll. */
static int corolib_ev_epoll_fd(struct ev_loop *loop)
{
    if (ev_backend(loop) != EVBACKEND_EPOLL) return -1;
    ev_embed watcher;
    ev_embed_init(&watcher, nothing, loop);
    ev_embed_start(loop, &watcher);
    int fd = watcher.io.fd;
    ev_embed_stop(loop, &watcher);
    return fd;
}

static void corolib_ev_survive_errors(void)
{
    ev_set_syserr_cb(system_error);
}

static const struct evapi table = {
    .version = COROLIB_EVAPI_VERSION,
    .size = sizeof(struct evapi),
    .ev_major = EV_VERSION_MAJOR,
    .ev_minor = EV_VERSION_MINOR,
    .sizeof_io = sizeof(ev_io),
    .sizeof_timer = sizeof(ev_timer),

    .run = ev_run,
    .loop_fork = ev_loop_fork,
    .ref = ev_ref,
    .unref = ev_unref,
    .now_update = ev_now_update,
    .pending_count = ev_pending_count,
    .set_release = ev_set_loop_release_cb,
    .set_userdata = ev_set_userdata,
    .userdata = ev_userdata,

    .io_start = ev_io_start,
    .io_stop = ev_io_stop,
    .timer_start = ev_timer_start,
    .timer_stop = ev_timer_stop,
    .timer_again = ev_timer_again,

    .take_error = take_error,
    .epoll_fd = corolib_ev_epoll_fd,
};

/* An integer, so that it can travel through Python; valid as long as the process lives. */
static uintptr_t corolib_evapi_table(void)
{
    return (uintptr_t)&table;
}
