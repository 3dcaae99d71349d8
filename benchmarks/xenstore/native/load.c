/*
 * The client of all daemons alike: plays a round of requests again and again, as fast as it can,
 * and holds every answer against the expected one.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HEADER_SIZE 16
#define MESSAGE_MAX (HEADER_SIZE + 4096)
#define RING_SIZE 1024
#define ANY_TYPE 0xffffffff

/* Source: xen/include/public/io/xs_wire.h */
struct header {
    uint32_t type, req_id, tx_id, size;
};

struct ring_page {
    char requests[RING_SIZE], responses[RING_SIZE];
    _Atomic uint32_t req_cons, req_prod, rsp_cons, rsp_prod;
};

/* A connection. page: NULL for a socket, else `fd` and `bell` ring the daemon and the client. */
struct port {
    struct ring_page *page;
    int32_t fd, bell;
};

enum kind { EXCHANGE, CONNECT, HANG_UP };
enum tx { NO_TX, BEGINS, WITHIN };

/*
 * EXCHANGE: send `size` bytes of whole requests (may be 0), then wait for `messages` (may be 0).
 * CONNECT: `bytes` is the path, NUL at its end.
 */
struct step {
    uint32_t kind, port;
    char *bytes;
    uint32_t size;
    uint32_t messages;
    uint32_t type;
    /* BEGINS: the answer is a transaction's number, which requests of WITHIN get. */
    uint32_t tx;
    /* Of the payload of each message; NULL: any. */
    const char *expected;
    uint32_t expected_size;
};

struct taken {
    uint64_t rounds, nanoseconds;
};

static char said[256];
static char input[64 * MESSAGE_MAX];

const char *load_error(void)
{
    return said;
}

static int fail(const char *what)
{
    snprintf(said, sizeof(said), "%s: %s", what, strerror(errno));
    return -1;
}

static int wrong(unsigned step, const struct header *got, const char *payload)
{
    snprintf(said, sizeof(said), "step %u got a message of type %u with %u bytes: %.*s", step,
             got->type, got->size, (int)(got->size < 80 ? got->size : 80), payload);
    return -1;
}

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + time.tv_nsec;
}

static int await_bell(const struct port *port)
{
    char rings[64];

    return read(port->bell, rings, sizeof(rings)) > 0 ? 0 : fail("the daemon does not ring");
}

static int ring(const struct port *port)
{
    const uint64_t one = 1;

    /* Where it fails, rings enough wait already. */
    return write(port->fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN ? 0 : fail("ring");
}

static int send_all(const struct port *port, const char *bytes, uint32_t size)
{
    while (size) {
        if (port->page) {
            struct ring_page *page = port->page;
            uint32_t prod = page->req_prod, start = prod % RING_SIZE;
            uint32_t piece = RING_SIZE - (prod - page->req_cons);

            if (piece > RING_SIZE - start)
                piece = RING_SIZE - start;
            if (piece > size)
                piece = size;
            if (!piece) {
                if (await_bell(port))
                    return -1;
                continue;
            }
            memcpy(page->requests + start, bytes, piece);
            page->req_prod = prod + piece;
            if (ring(port))
                return -1;
            bytes += piece, size -= piece;
        } else {
            ssize_t done = write(port->fd, bytes, size);

            if (done <= 0)
                return fail("write");
            bytes += done, size -= done;
        }
    }
    return 0;
}

static ssize_t receive_some(const struct port *port, char *to, size_t room)
{
    struct ring_page *page = port->page;
    uint32_t cons, used, start;
    int was_full;
    ssize_t done;

    if (!page) {
        done = read(port->fd, to, room);
        return done > 0 ? done : fail(done ? "no answer" : "the daemon closed the connection");
    }
    cons = page->rsp_cons;
    while (!(used = page->rsp_prod - cons))
        if (await_bell(port))
            return -1;
    was_full = used == RING_SIZE;
    start = cons % RING_SIZE;
    if (used > RING_SIZE - start)
        used = RING_SIZE - start;
    if (used > room)
        used = room;
    memcpy(to, page->responses + start, used);
    page->rsp_cons = cons + used;
    /* A daemon that found it full waits to hear of room. */
    return was_full && ring(port) ? -1 : (ssize_t)used;
}

static int receive_all(const struct port *port, const struct step *step, unsigned number,
                       uint32_t *tx_id)
{
    uint32_t messages = 0;
    size_t filled = 0, at = 0;

    while (messages < step->messages) {
        struct header header;
        ssize_t done;

        if (filled - at >= HEADER_SIZE) {
            const char *payload = input + at + HEADER_SIZE;

            memcpy(&header, input + at, HEADER_SIZE);
            if (header.size > MESSAGE_MAX - HEADER_SIZE)
                return wrong(number, &header, "");
            if (filled - at >= HEADER_SIZE + header.size) {
                if ((header.type != step->type && step->type != ANY_TYPE) ||
                    (step->expected && (header.size != step->expected_size ||
                                        memcmp(payload, step->expected, header.size))))
                    return wrong(number, &header, payload);
                if (step->tx == BEGINS)
                    *tx_id = strtoul(payload, NULL, 10);
                at += HEADER_SIZE + header.size;
                messages++;
                continue;
            }
        }
        memmove(input, input + at, filled - at);
        filled -= at, at = 0;
        done = receive_some(port, input + filled, sizeof(input) - filled);
        if (done < 0)
            return -1;
        filled += done;
    }
    if (at == filled)
        return 0;
    errno = 0;
    return fail("more came than was asked for");
}

static int connect_to(struct port *port, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    port->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (port->fd < 0 || connect(port->fd, (struct sockaddr *)&address, sizeof(address)))
        return fail("connect");
    return 0;
}

static void set_tx(char *bytes, uint32_t size, uint32_t tx_id)
{
    for (uint32_t at = 0; at < size;) {
        struct header header;

        memcpy(&header, bytes + at, HEADER_SIZE);
        header.tx_id = tx_id;
        memcpy(bytes + at, &header, HEADER_SIZE);
        at += HEADER_SIZE + header.size;
    }
}

static int play(struct port *ports, const struct step *steps, unsigned count)
{
    uint32_t tx_id = 0;

    for (unsigned number = 0; number < count; number++) {
        const struct step *step = &steps[number];
        struct port *port = &ports[step->port];

        if (step->kind == CONNECT) {
            if (connect_to(port, step->bytes))
                return -1;
        } else if (step->kind == HANG_UP) {
            close(port->fd);
        } else {
            if (step->tx == WITHIN)
                set_tx(step->bytes, step->size, tx_id);
            if (send_all(port, step->bytes, step->size) ||
                receive_all(port, step, number, &tx_id))
                return -1;
        }
    }
    return 0;
}

/* Play rounds for so long, at least one; 0, or -1: see load_error(). */
int load_play(struct port *ports, const struct step *steps, unsigned count, uint64_t nanoseconds,
              struct taken *taken)
{
    uint64_t began = now(), at = began;

    taken->rounds = 0;
    do {
        if (play(ports, steps, count))
            return -1;
        taken->rounds++;
        at = now();
    } while (at - began < nanoseconds);
    taken->nanoseconds = at - began;
    return 0;
}
