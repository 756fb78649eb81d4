/*
 * The load generator: many connections, each with one request on its way, every answer compared.
 *
 *     loadgen PORT CONNECTIONS SIZE seconds|requests NUMBER [fresh] [http] [awake] [rate R] [standing PID]
 *
 * Connects to 127.0.0.1, sends SIZE bytes on each connection, waits until as many are back, compares them
 * with what was sent and goes on, until the time is over or N requests were begun. Then it waits for the
 * answers still on their way and closes in order: a close with unread data would send resets, which are
 * work for the server that the others' clients do not make.
 *
 * With `fresh` each request has a connection of its own, as many at a time as CONNECTIONS says: the server
 * closes it after its answer, and the time is that from connect() to the end of the stream. The server closes
 * first since the one who does is left with the port number in TIME_WAIT, and this program has 28,000 of
 * them.
 *
 * With `standing` the server, process PID, is stopped while all connections are made and all requests sent,
 * and the time is that from its going on to the last answer; and so on, until those times are as long as they
 * should be together. To make a connection is as much work for this program as to serve it is for the server,
 * so else it says more of the two of them than of the server. Needs `fresh`, and a queue of the server's that
 * holds all the connections.
 *
 * With `http` each request is a GET, and right is an answer with status 200 and as many bytes as its head
 * announces; SIZE is the most that it may have, head and body together.
 *
 * With `awake` it polls without sleeping, so it needs a core: who sleeps until there is an answer measures
 * how long the machine takes to wake it.
 *
 * With `rate` requests do not wait for answers: R of them begin per second, at regular times, on whichever
 * connection is free, and a request's time counts from when it was due. So a server that stops for a moment
 * is charged with all that should have begun meanwhile. It polls without sleeping, so it needs a core.
 *
 * Prints one JSON line: requests (answered and right), errors (wrong answers and broken connections),
 * seconds, requests_per_s, and p50_us, p99_us of the time from a request's first byte to its answer's last.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 256,     /* events fetched by one epoll_wait */
    STALL_MS = 30000, /* a server that is silent for so long is an error, not a long wait */
    FINE = 7,         /* each power of two of the histogram has 2^FINE slots: under 1 % apart */
    SLOTS = (64 - FINE + 1) << FINE,
};

struct connection {
    int fd;          /* -1: closed */
    bool busy;       /* a request is on its way */
    bool writing;    /* whether epoll watches for room, too */
    size_t sent;     /* bytes of the request that the socket has taken */
    size_t received; /* bytes of the answer that are here */
    uint64_t begun;  /* when the request began or, with `rate`, was due, in ns */
    char *request;   /* echo: SIZE bytes, begins with a number that no other request has; owned */
    char *answer;    /* SIZE + 1 bytes: one more than expected shows an answer that is too long; owned */
    struct connection *next_free; /* with `rate`: a list of those that are not busy */
};

enum verdict { MORE, RIGHT, WRONG };

struct run {
    int epoll;
    uint16_t port;
    bool fresh; /* a connection for each request */
    bool http;
    bool awake;        /* polls without sleeping */
    size_t size;       /* of an answer, at most */
    size_t length;     /* of a request */
    uint64_t interval; /* ns between requests that are due, or 0: each begins when there is an answer */
    uint64_t due;      /* when the next one is, in ns */
    struct connection *free, **free_end; /* in turn, the longest unused first */
    uint64_t deadline;                   /* ns, or UINT64_MAX */
    uint64_t budget;                     /* requests that may still begin */
    uint64_t serial;                     /* of the next request */
    uint64_t waiting;                    /* busy connections */
    uint64_t requests;
    uint64_t errors;
    uint64_t finished; /* when the last answer came, in ns */
    uint64_t histogram[SLOTS];
};

static void fail(const char *what)
{
    fprintf(stderr, "loadgen: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *take(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) fail("calloc");
    return memory;
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Slots are linear below 2^FINE ns and then 2^FINE to each power of two. */
static size_t slot(uint64_t ns)
{
    if (ns < (1u << FINE)) return (size_t)ns;
    int power = 63 - __builtin_clzll(ns);
    return ((size_t)(power - FINE + 1) << FINE) + (size_t)((ns >> (power - FINE)) & ((1u << FINE) - 1));
}

/* The smallest time that falls into a slot. */
static uint64_t slot_start(size_t index)
{
    if (index < (1u << FINE)) return index;
    size_t power = (index >> FINE) - 1;
    return ((uint64_t)(1u << FINE) + (index & ((1u << FINE) - 1))) << power;
}

static double percentile_us(const struct run *r, double share)
{
    double wanted = share * (double)r->requests;
    uint64_t seen = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        seen += r->histogram[i];
        if (seen > 0 && (double)seen >= wanted) return (double)slot_start(i) / 1000.0;
    }
    return 0.0;
}

static void watch(struct run *r, int operation, struct connection *c, bool writing)
{
    struct epoll_event event = {.events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    if (epoll_ctl(r->epoll, operation, c->fd, &event) < 0) fail("epoll_ctl");
    c->writing = writing;
}

/* A wrong answer or a broken connection: counted, and the connection is not used again. */
static void give_up(struct run *r, struct connection *c)
{
    r->errors++;
    r->waiting -= c->busy;
    c->busy = false;
    close(c->fd);
    c->fd = -1;
}

static void send_more(struct run *r, struct connection *c)
{
    while (c->sent < r->length) {
        ssize_t sent = send(c->fd, c->request + c->sent, r->length - c->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0) {
            give_up(r, c);
            return;
        }
        c->sent += (size_t)sent;
    }
    /* An answer that is longer than what socket buffers hold begins before the request has ended, so data
       is watched for in any case; room only when there is something left to send. */
    bool full = c->sent < r->length;
    if (full != c->writing) watch(r, EPOLL_CTL_MOD, c, full);
}

static void dial(struct run *r, struct connection *c)
{
    /* Blocks until it is connected: on loopback that is at once, unless the server's queue is full. */
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(r->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    int yes = 1;
    /* One small request on a fresh connection is sent at once in any case. */
    if (!r->fresh && setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0) fail("setsockopt");
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) fail("fcntl");
    watch(r, EPOLL_CTL_ADD, c, false);
}

/* With `rate`: until a request is due. */
static void rest(struct run *r, struct connection *c)
{
    c->next_free = NULL;
    *r->free_end = c;
    r->free_end = &c->next_free;
}

static void begin(struct run *r, struct connection *c, uint64_t when)
{
    if (r->budget == 0 || when >= r->deadline) return;
    if (c->fd < 0) dial(r, c);
    r->budget--;
    r->waiting++;
    c->busy = true;
    uint64_t serial = ++r->serial;
    if (!r->http) memcpy(c->request, &serial, r->size < sizeof serial ? r->size : sizeof serial);
    c->sent = c->received = 0;
    c->begun = when;
    send_more(r, c);
}

/* What is here of the answer to an HTTP request. */
static enum verdict judge_http(const struct run *r, const struct connection *c)
{
    static const char status[] = "HTTP/1.1 200 ", field[] = "\r\nContent-Length:";
    if (c->received < sizeof status - 1) return MORE;
    if (memcmp(c->answer, status, sizeof status - 1) != 0) return WRONG;
    const char *end = memmem(c->answer, c->received, "\r\n\r\n", 4);
    if (end == NULL) return c->received > r->size ? WRONG : MORE;
    size_t body = 0;
    bool announced = false;
    for (const char *p = c->answer; p < end; p++) {
        if (strncasecmp(p, field, sizeof field - 1) != 0) continue;
        body = strtoul(p + sizeof field - 1, NULL, 10);
        announced = true;
        break;
    }
    size_t whole = (size_t)(end + 4 - c->answer) + body;
    if (!announced || whole > r->size || c->received > whole) return WRONG;
    return c->received < whole ? MORE : RIGHT;
}

static enum verdict judge(const struct run *r, const struct connection *c)
{
    if (r->http) return judge_http(r, c);
    if (c->received < r->size) return MORE;
    return c->received == r->size && memcmp(c->request, c->answer, r->size) == 0 ? RIGHT : WRONG;
}

static void receive(struct run *r, struct connection *c)
{
    ssize_t received = recv(c->fd, c->answer + c->received, r->size + 1 - c->received, 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
    bool whole = c->sent == r->length && judge(r, c) == RIGHT;
    if (received < 0 || !c->busy || (received == 0 && !(r->fresh && whole))) {
        give_up(r, c);
        return;
    }
    c->received += (size_t)received;
    enum verdict verdict = judge(r, c);
    if (verdict == MORE || (r->fresh && received > 0 && verdict == RIGHT)) return;
    if (verdict == WRONG || c->sent < r->length) {
        give_up(r, c);
        return;
    }
    uint64_t when = now();
    r->histogram[slot(when - c->begun)]++;
    r->requests++;
    r->waiting--;
    c->busy = false;
    r->finished = when;
    if (r->fresh) {
        close(c->fd);
        c->fd = -1;
        when = now();
    }
    if (r->interval == 0)
        begin(r, c, when);
    else
        rest(r, c);
}

static void open_connection(struct run *r, struct connection *c, size_t index)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    c->fd = -1;
    if (!r->fresh) dial(r, c);
    r->length = r->http ? sizeof get - 1 : r->size;
    c->request = take(r->length, 1);
    c->answer = take(r->size + 1, 1);
    for (size_t i = 0; i < r->length; i++) c->request[i] = r->http ? get[i] : (char)(i * 31 + index);
}

/* With `rate`: begins what is due, as far as there are free connections. Whether there is more to come. */
static bool keep_up(struct run *r)
{
    uint64_t when = now();
    if (r->interval == 0 || r->budget == 0 || when >= r->deadline) return false;
    while (r->free != NULL && r->due <= when && r->budget > 0) {
        struct connection *c = r->free;
        r->free = c->next_free;
        if (r->free == NULL) r->free_end = &r->free;
        begin(r, c, r->due);
        r->due += r->interval;
    }
    return true;
}

static void drive(struct run *r)
{
    uint64_t heard = now();
    for (;;) {
        bool more = keep_up(r);
        if (!more && r->waiting == 0) return;
        struct epoll_event events[EVENTS];
        bool sleeps = !more && !r->awake;
        int count = epoll_wait(r->epoll, events, EVENTS, sleeps ? STALL_MS : 0);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        if (count > 0 || r->waiting == 0) heard = now();
        if (count == 0 && (sleeps || now() - heard > STALL_MS * (uint64_t)1000000)) {
            fprintf(stderr, "loadgen: %llu answers missing after %d ms of silence\n",
                    (unsigned long long)r->waiting, STALL_MS);
            r->errors += r->waiting;
            return;
        }
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) send_more(r, c);
            if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(r, c);
        }
    }
}

/* Say that nothing more comes, wait for the other side to say the same, close. */
static void close_connection(struct run *r, struct connection *c)
{
    if (c->fd >= 0) {
        struct pollfd end = {.fd = c->fd, .events = POLLIN};
        shutdown(c->fd, SHUT_WR);
        if (r->errors == 0 && (poll(&end, 1, STALL_MS) != 1 || recv(c->fd, c->answer, 1, 0) != 0))
            r->errors++;
        close(c->fd);
    }
    free(c->request);
    free(c->answer);
}

/* Returns when it has stopped. */
static void stop(pid_t server)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)server);
    if (kill(server, SIGSTOP) < 0) fail("kill");
    while (state != 'T') {
        FILE *file = fopen(path, "r");
        if (file == NULL || fscanf(file, "%*d (%*[^)]) %c", &state) != 1) fail(path);
        fclose(file);
        if (state == 'Z' || state == 'X') {
            fprintf(stderr, "loadgen: PID: the server %d has ended\n", (int)server);
            exit(1);
        }
    }
}

/* With `standing`: batches of `count` until the server has been at work for so long, in ns; how long it was.
 */
static uint64_t serve_standing(struct run *r, struct connection *all, size_t count, pid_t server,
                               uint64_t limit)
{
    uint64_t spent = 0;
    while (spent < limit && r->errors == 0) {
        stop(server);
        r->budget = count;
        for (size_t i = 0; i < count; i++) begin(r, &all[i], now());
        uint64_t started = now();
        if (kill(server, SIGCONT) < 0) fail("kill");
        drive(r);
        spent += r->finished - started;
    }
    return spent;
}

static uint64_t number(const char *text, const char *what, uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *text == '-' || *text == '\0' || *end != '\0' || value == 0 || value > most) {
        fprintf(stderr, "loadgen: %s: expected a number from 1 to %llu, found '%s'\n", what,
                (unsigned long long)most, text);
        exit(2);
    }
    return value;
}

static double duration(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (*end != '\0' || !(value > 0.0) || value > 86400.0) {
        fprintf(stderr, "loadgen: seconds: expected a number above 0 and at most 86400, found '%s'\n", text);
        exit(2);
    }
    return value;
}

static int usage(void)
{
    fprintf(stderr, "usage: loadgen PORT CONNECTIONS SIZE seconds|requests NUMBER [fresh] [http] [awake] "
                    "[rate NUMBER] [standing PID]\n");
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 6 || (strcmp(argv[4], "seconds") != 0 && strcmp(argv[4], "requests") != 0)) return usage();
    static struct run r = {.deadline = UINT64_MAX, .budget = UINT64_MAX};
    r.free_end = &r.free;
    pid_t server = 0;
    for (int i = 6; i < argc; i++) {
        if (strcmp(argv[i], "fresh") == 0)
            r.fresh = true;
        else if (strcmp(argv[i], "http") == 0)
            r.http = true;
        else if (strcmp(argv[i], "awake") == 0)
            r.awake = true;
        else if (strcmp(argv[i], "rate") == 0 && i + 1 < argc)
            r.interval = 1000000000u / number(argv[++i], "rate", 100000000);
        else if (strcmp(argv[i], "standing") == 0 && i + 1 < argc)
            server = (pid_t)number(argv[++i], "PID", INT32_MAX);
        else
            return usage();
    }
    r.port = (uint16_t)number(argv[1], "PORT", 65535);
    size_t count = number(argv[2], "CONNECTIONS", 1000000);
    r.size = number(argv[3], "SIZE", 1 << 30);
    bool timed = strcmp(argv[4], "seconds") == 0;
    double limit = timed ? duration(argv[5]) : 0.0;
    if (!timed) r.budget = number(argv[5], "requests", UINT64_MAX);
    if (server != 0 && !(timed && r.fresh && r.interval == 0)) return usage();

    r.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r.epoll < 0) fail("epoll_create1");
    struct connection *all = take(count, sizeof *all);
    for (size_t i = 0; i < count; i++) open_connection(&r, &all[i], i);

    uint64_t started = now(), spent;
    r.finished = started;
    if (server != 0) {
        spent = serve_standing(&r, all, count, server, (uint64_t)(limit * 1e9));
    } else {
        if (timed) r.deadline = started + (uint64_t)(limit * 1e9);
        r.due = started;
        for (size_t i = 0; i < count; i++) {
            if (r.interval == 0)
                begin(&r, &all[i], now());
            else
                rest(&r, &all[i]);
        }
        drive(&r);
        spent = r.finished - started;
    }
    for (size_t i = 0; i < count; i++) close_connection(&r, &all[i]);
    free(all);

    double seconds = (double)spent / 1e9;
    printf("{\"requests\": %llu, \"errors\": %llu, \"seconds\": %.6f, \"requests_per_s\": %.1f, "
           "\"p50_us\": %.3f, \"p99_us\": %.3f}\n",
           (unsigned long long)r.requests, (unsigned long long)r.errors, seconds,
           seconds > 0.0 ? (double)r.requests / seconds : 0.0, percentile_us(&r, 0.50),
           percentile_us(&r, 0.99));
    return 0;
}
