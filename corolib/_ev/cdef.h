/* What Python may see of libev. Read by cffi, so: plain declarations, no preprocessor; "..." stands for what
 * the compiler knows and Python does not need. A name that is a macro in ev.h (ev_is_active, ev_io_set) is
 * declared here as the function it looks like. */

typedef double ev_tstamp;

struct ev_loop;

#define EV_READ ...
#define EV_WRITE ...
#define EV_ERROR ...
#define EV_VERSION_MAJOR ...
#define EV_VERSION_MINOR ...
#define EV_MINPRI ...
#define EV_MAXPRI ...

#define EVRUN_NOWAIT ...
#define EVRUN_ONCE ...
#define EVBREAK_ALL ...

#define EVBACKEND_SELECT ...
#define EVBACKEND_POLL ...
#define EVBACKEND_EPOLL ...
#define EVBACKEND_KQUEUE ...
#define EVBACKEND_DEVPOLL ...
#define EVBACKEND_PORT ...

/* The head of every watcher. `data` is a cffi handle of the Python object while the watcher is started. */
typedef struct ev_watcher {
    void *data;
    ...;
} ev_watcher;

typedef struct ev_io {
    void *data;
    int fd;
    int events;
    ...;
} ev_io;

typedef struct ev_timer {
    void *data;
    ev_tstamp repeat;
    ...;
} ev_timer;

typedef struct ev_signal {
    void *data;
    int signum;
    ...;
} ev_signal;

typedef struct ev_idle {
    void *data;
    ...;
} ev_idle;

typedef struct ev_prepare {
    void *data;
    ...;
} ev_prepare;

typedef struct ev_check {
    void *data;
    ...;
} ev_check;

typedef struct ev_fork {
    void *data;
    ...;
} ev_fork;

typedef struct ev_async {
    void *data;
    ...;
} ev_async;

typedef int... corolib_dev;
typedef int... corolib_ino;
typedef int... corolib_mode;
typedef int... corolib_nlink;
typedef int... corolib_uid;
typedef int... corolib_gid;
typedef int... corolib_off;
typedef int... corolib_time;

typedef struct {
    corolib_dev st_dev;
    corolib_ino st_ino;
    corolib_mode st_mode;
    corolib_nlink st_nlink;
    corolib_uid st_uid;
    corolib_gid st_gid;
    corolib_dev st_rdev;
    corolib_off st_size;
    corolib_time st_atime;
    corolib_time st_mtime;
    corolib_time st_ctime;
    ...;
} ev_statdata;

typedef struct ev_stat {
    void *data;
    const char *path;
    ev_tstamp interval;
    ev_statdata prev;
    ev_statdata attr;
    ...;
} ev_stat;

int ev_version_major(void);
int ev_version_minor(void);
unsigned int ev_supported_backends(void);
unsigned int ev_recommended_backends(void);
unsigned int ev_embeddable_backends(void);
ev_tstamp ev_time(void);

struct ev_loop *ev_loop_new(unsigned int flags);
void ev_loop_destroy(struct ev_loop *);
void ev_loop_fork(struct ev_loop *);
void ev_verify(struct ev_loop *);
unsigned int ev_backend(struct ev_loop *);
unsigned int ev_iteration(struct ev_loop *);
unsigned int ev_depth(struct ev_loop *);
unsigned int ev_pending_count(struct ev_loop *);
ev_tstamp ev_now(struct ev_loop *);
void ev_now_update(struct ev_loop *);
int ev_run(struct ev_loop *, int flags);
void ev_break(struct ev_loop *, int how);
void ev_ref(struct ev_loop *);
void ev_unref(struct ev_loop *);

int ev_is_active(void *watcher);
int ev_is_pending(void *watcher);
int ev_priority(void *watcher);
void ev_set_priority(void *watcher, int priority);
void ev_feed_event(struct ev_loop *, void *watcher, int revents);
int ev_clear_pending(struct ev_loop *, void *watcher);

void ev_io_set(ev_io *, int fd, int events);
void ev_io_start(struct ev_loop *, ev_io *);
void ev_io_stop(struct ev_loop *, ev_io *);
void ev_timer_set(ev_timer *, ev_tstamp after, ev_tstamp repeat);
void ev_timer_start(struct ev_loop *, ev_timer *);
void ev_timer_stop(struct ev_loop *, ev_timer *);
void ev_timer_again(struct ev_loop *, ev_timer *);
ev_tstamp ev_timer_remaining(struct ev_loop *, ev_timer *);
void ev_signal_set(ev_signal *, int signum);
void ev_signal_start(struct ev_loop *, ev_signal *);
void ev_signal_stop(struct ev_loop *, ev_signal *);
void ev_idle_start(struct ev_loop *, ev_idle *);
void ev_idle_stop(struct ev_loop *, ev_idle *);
void ev_prepare_start(struct ev_loop *, ev_prepare *);
void ev_prepare_stop(struct ev_loop *, ev_prepare *);
void ev_check_start(struct ev_loop *, ev_check *);
void ev_check_stop(struct ev_loop *, ev_check *);
void ev_fork_start(struct ev_loop *, ev_fork *);
void ev_fork_stop(struct ev_loop *, ev_fork *);
void ev_async_start(struct ev_loop *, ev_async *);
void ev_async_stop(struct ev_loop *, ev_async *);
int ev_async_pending(ev_async *);
void ev_async_send(struct ev_loop *, ev_async *);
void ev_stat_set(ev_stat *, const char *path, ev_tstamp interval);
void ev_stat_start(struct ev_loop *, ev_stat *);
void ev_stat_stop(struct ev_loop *, ev_stat *);

/* What is done about a signal, kept so that it can be put back when libev lets go of it. */
struct sigaction {
    ...;
};
int sigaction(int signum, const struct sigaction *action, struct sigaction *old);

/* Own functions, in source.c. */
void corolib_ev_init(void *watcher);
uintptr_t corolib_evapi_table(void);
void corolib_ev_survive_errors(void);

/* The one way from libev into Python: called for every event of a watcher made here. */
extern "Python" void corolib_ev_event(ev_watcher *watcher, int revents);
