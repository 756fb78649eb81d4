/*
 * The limit: an echo server that does nothing but recv, send and epoll_wait.
 *
 *     epoll_echo echo [once]
 *     epoll_echo http
 *
 * It listens on a free port of 127.0.0.1, prints the port, and serves until it is killed. With `once` it
 * closes each connection after the first answer. With `http` it takes whatever comes in one piece for a
 * request of HTTP and answers it, always the same: what clients are measured with. Level-triggered, one
 * thread. A send that finds the socket full leaves the rest in the connection's own buffer and waits for
 * room; until then nothing more is received from it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BUFFER = 64 * 1024, /* what the other servers receive at most in one call */
    EVENTS = 256,       /* events fetched by one epoll_wait */
    BACKLOG = 1024,     /* every connection of the largest case may come at once */
};

struct connection {
    int fd;
    char *rest;    /* what a full socket has not taken yet, or NULL; owned */
    size_t length; /* bytes in rest */
};

static char buffer[BUFFER]; /* shared: a request is echoed before the next one is received */
static bool once;
static bool http;
static const char page[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 64\r\n\r\n"
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void fail(const char *what)
{
    fprintf(stderr, "epoll_echo: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listener(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0) fail("bind or listen");
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) fail("getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void watch(int epoll, int operation, struct connection *c, unsigned int events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll, operation, c->fd, &event) < 0) fail("epoll_ctl");
}

static void accept_all(int epoll, int listening)
{
    for (;;) {
        int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR) return;
            fail("accept4");
        }
        int yes = 1;
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0) fail("setsockopt");
        struct connection *c = calloc(1, sizeof *c);
        if (c == NULL) fail("calloc");
        c->fd = fd;
        watch(epoll, EPOLL_CTL_ADD, c, EPOLLIN);
    }
}

static void drop(struct connection *c)
{
    close(c->fd); /* this takes it out of epoll, too */
    free(c->rest);
    free(c);
}

/* How many bytes the socket took, 0 if it is full, -1 if the connection is broken. */
static ssize_t give(int fd, const char *data, size_t length)
{
    ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return sent;
}

static void receive(int epoll, struct connection *c)
{
    ssize_t received = recv(c->fd, buffer, sizeof buffer, 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
    const char *answer = http ? page : buffer;
    ssize_t length = http ? (ssize_t)sizeof page - 1 : received;
    ssize_t sent = received > 0 ? give(c->fd, answer, (size_t)length) : -1;
    if (sent < 0 || (once && sent == length)) {
        drop(c);
        return;
    }
    if (sent == length) return;
    c->length = (size_t)(length - sent);
    c->rest = malloc(c->length);
    if (c->rest == NULL) fail("malloc");
    memcpy(c->rest, answer + sent, c->length);
    watch(epoll, EPOLL_CTL_MOD, c, EPOLLOUT);
}

static void send_rest(int epoll, struct connection *c)
{
    ssize_t sent = give(c->fd, c->rest, c->length);
    if (sent < 0) {
        drop(c);
        return;
    }
    c->length -= (size_t)sent;
    memmove(c->rest, c->rest + sent, c->length);
    if (c->length > 0) return;
    if (once) {
        drop(c);
        return;
    }
    free(c->rest);
    c->rest = NULL;
    watch(epoll, EPOLL_CTL_MOD, c, EPOLLIN);
}

int main(int argc, char **argv)
{
    bool echo = argc >= 2 && strcmp(argv[1], "echo") == 0;
    once = echo && argc == 3 && strcmp(argv[2], "once") == 0;
    http = argc == 2 && strcmp(argv[1], "http") == 0;
    if (!http && !once && !(echo && argc == 2)) {
        fprintf(stderr, "usage: epoll_echo echo [once] | http\n");
        return 2;
    }
    struct connection door = {.fd = listener()};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    watch(epoll, EPOLL_CTL_ADD, &door, EPOLLIN);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (c == &door)
                accept_all(epoll, door.fd);
            else if (c->rest != NULL)
                send_rest(epoll, c);
            else
                receive(epoll, c);
        }
    }
}
