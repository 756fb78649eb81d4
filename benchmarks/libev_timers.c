/*
 * The limit: timers of libev, from C.
 *
 *     libev_timers timers start SIZE
 *
 * Prepares and starts so many with deadlines at random, then stops them in the same order, and prints the
 * time of each as one JSON object. All of them lie in one array: a program would have to allocate them, too.
 */
#define _GNU_SOURCE
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void nothing(EV_P_ ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    size_t size = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    if (size == 0 || strcmp(argv[1], "timers") != 0 || strcmp(argv[2], "start") != 0) {
        fprintf(stderr, "usage: libev_timers timers start SIZE\n");
        return 2;
    }
    struct ev_loop *loop = ev_loop_new(0);
    ev_timer *timers = calloc(size, sizeof *timers);
    double *after = calloc(size, sizeof *after);
    if (loop == NULL || timers == NULL || after == NULL) {
        fprintf(stderr, "libev_timers: no memory, or no event loop\n");
        return 1;
    }
    srand48(7);
    for (size_t i = 0; i < size; i++) after[i] = 1e6 + drand48() * 1e6;
    double begun = now_ns();
    for (size_t i = 0; i < size; i++) {
        ev_timer_init(&timers[i], nothing, after[i], 0.);
        ev_timer_start(loop, &timers[i]);
    }
    double started = now_ns();
    for (size_t i = 0; i < size; i++) ev_timer_stop(loop, &timers[i]);
    double stopped = now_ns();
    printf("{\"start_ns\": %.2f, \"stop_ns\": %.2f}\n", (started - begun) / (double)size,
           (stopped - started) / (double)size);
    return 0;
}
