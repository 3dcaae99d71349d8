/*
 * No xenstored: answers each request at once with as many zeros as its req_id says, and sends an
 * event of as many bytes as a WATCH had to who sent one, at each WRITE. What it costs, sockets and
 * scheduler cost.
 *
 * Usage: floor SOCKET PAGE_FD TO_SERVER_FD TO_CLIENT_FD
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEADER_SIZE 16
#define PAYLOAD_MAX 4096
#define PAGE_SIZE 4096
#define RING_SIZE 1024
#define FDS_MAX 4096
#define READ_SIZE 65536

enum { READ = 2, WATCH = 4, WRITE = 11, WATCH_EVENT = 15 };

struct header {
    uint32_t type, req_id, tx_id, size;
};

struct ring_page {
    char requests[RING_SIZE], responses[RING_SIZE];
    _Atomic uint32_t req_cons, req_prod, rsp_cons, rsp_prod;
};

/* What came of a request that is not whole. */
static struct {
    char *bytes;
    size_t filled;
} inputs[FDS_MAX];
static int watchers[FDS_MAX], watcher_count;
static uint32_t event_size;
static char output[1 << 20];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static size_t put(char *to, uint32_t type, uint32_t req_id, uint32_t tx_id, uint32_t size)
{
    const struct header header = { type, req_id, tx_id, size };

    memcpy(to, &header, HEADER_SIZE);
    memset(to + HEADER_SIZE, 0, size);
    return HEADER_SIZE + size;
}

static void tell_watchers(void)
{
    char event[HEADER_SIZE + PAYLOAD_MAX];
    size_t size = put(event, WATCH_EVENT, 0, 0, event_size);

    for (int each = 0; each < watcher_count; each++)
        if (write(watchers[each], event, size) < 0)
            watchers[each--] = watchers[--watcher_count];
}

/* The answers to whole requests; how many bytes of `bytes` these were. */
static size_t answer(int fd, const char *bytes, size_t size, size_t *answered)
{
    size_t at = 0;

    *answered = 0;
    while (size - at >= HEADER_SIZE) {
        struct header header;

        memcpy(&header, bytes + at, HEADER_SIZE);
        if (size - at < HEADER_SIZE + header.size)
            break;
        at += HEADER_SIZE + header.size;
        if (header.req_id > PAYLOAD_MAX || *answered > sizeof(output) - HEADER_SIZE - PAYLOAD_MAX)
            die("floor: an answer too large");
        if (header.type == WATCH) {
            event_size = header.size;
            watchers[watcher_count++] = fd;
        } else if (header.type == WRITE && watcher_count) {
            tell_watchers();
        }
        *answered += put(output + *answered, header.type, header.req_id, header.tx_id,
                         header.req_id);
    }
    return at;
}

static void serve_ring(struct ring_page *page, int to_server, int to_client)
{
    const uint64_t one = 1;
    char requests[RING_SIZE], rings[64];
    uint32_t cons = page->req_cons, used = page->req_prod - cons;
    size_t size;

    if (read(to_server, rings, sizeof(rings)) <= 0)
        die("floor: bell");
    /* Requests and answers of a round fit the ring. */
    for (uint32_t at = 0; at < used; at++)
        requests[at] = page->requests[(cons + at) % RING_SIZE];
    used = answer(-1, requests, used, &size);
    page->req_cons = cons + used;
    if (!size)
        return;
    for (size_t at = 0; at < size; at++)
        page->responses[(page->rsp_prod + at) % RING_SIZE] = output[at];
    page->rsp_prod += size;
    if (write(to_client, &one, sizeof(one)) < 0)
        die("floor: ring");
}

static void serve_client(int fd)
{
    char *bytes = inputs[fd].bytes;
    ssize_t done = read(fd, bytes + inputs[fd].filled, READ_SIZE - inputs[fd].filled);
    size_t taken, size;

    if (done <= 0) {
        for (int each = 0; each < watcher_count; each++)
            if (watchers[each] == fd)
                watchers[each--] = watchers[--watcher_count];
        close(fd);
        return;
    }
    inputs[fd].filled += done;
    taken = answer(fd, bytes, inputs[fd].filled, &size);
    inputs[fd].filled -= taken;
    memmove(bytes, bytes + taken, inputs[fd].filled);
    if (size && write(fd, output, size) != (ssize_t)size)
        die("floor: write");
}

static void add(int epoll, int fd)
{
    struct epoll_event readable = { .events = EPOLLIN, .data.fd = fd };

    if (fd >= FDS_MAX || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &readable))
        die("floor: add");
    if (!inputs[fd].bytes && !(inputs[fd].bytes = malloc(READ_SIZE)))
        die("floor: malloc");
    inputs[fd].filled = 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int page_fd, to_server, to_client;
    struct ring_page *page;

    if (argc != 5)
        die("floor: usage");
    page_fd = atoi(argv[2]), to_server = atoi(argv[3]), to_client = atoi(argv[4]);
    page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
    if (page == MAP_FAILED || bind(listener, (struct sockaddr *)&address, sizeof(address)) ||
        listen(listener, 1024))
        die("floor: start");
    add(epoll, listener);
    add(epoll, to_server);
    for (;;) {
        struct epoll_event ready[64];
        int count = epoll_wait(epoll, ready, 64, -1);

        for (int each = 0; each < count; each++) {
            int fd = ready[each].data.fd;

            if (fd == listener)
                add(epoll, accept(listener, NULL, NULL));
            else if (fd == to_server)
                serve_ring(page, to_server, to_client);
            else
                serve_client(fd);
        }
    }
}
