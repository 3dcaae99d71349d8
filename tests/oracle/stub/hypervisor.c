/*
 * Stands in for Xen below Debian's xenstored: preloaded, it answers the calls that the daemon makes
 * to libxenctrl, libxenevtchn and libxengnttab, from files in the directory $XENSTORED_STUB_DIR:
 *
 *   domains     a byte for each domid: 0 no domain, else a set of the bits EXISTS, SHUT_DOWN, DYING
 *   ring-<D>    the page of domain D that holds its xenstore_domain_interface
 *   xsd_port    the port of dom0's own ring, in decimal, as in /proc/xen/xsd_port
 *
 * An event channel is a pair of datagram sockets, and a datagram, whatever it holds, is an event.
 * One end comes as SCM_RIGHTS over the socket $XENSTORED_STUB_CONTROL_FD, with a struct offer that
 * says which port of which domain the other end is. Each channel has its own buffer: an event that
 * finds it full would be one more of many that wait.
 *
 * The calls keep the meaning of their public headers (xenctrl.h, xenevtchn.h, xengnttab.h); what an
 * error sets errno to is what Linux' drivers set.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stub.h"

#define PAGE_SIZE 4096
#define DOMID_FIRST_RESERVED 0x7ff0
#define GNTTAB_RESERVED_XENSTORE 1
#define PORTS_MAX 4096

enum { EXISTS = 1, SHUT_DOWN = 2, DYING = 4 };

/* The handles are opaque to the caller: all of them are this. */
static char the_handle;

/* What the daemon could bind: the other end's domain and port there. */
struct offer {
    uint32_t domid;
    uint32_t port;
};
#define VIRQ_DOMID 0xffffffff

/* Row N is what is offered, and as the daemon's port N bound or not; row 0 is no port. */
static struct channel {
    struct offer from;
    int fd;
    int bound;
} channels[PORTS_MAX] = { { .fd = -1 } };
static int channel_count = 1;
static int virq_port;

static const uint8_t *domains;
static int epoll_fd = -1;

void die(const char *what)
{
    perror(what);
    _exit(125);
}

const char *path_of(char *buffer, size_t size, const char *name)
{
    const char *directory = getenv("XENSTORED_STUB_DIR");

    if (!directory || (size_t)snprintf(buffer, size, "%s/%s", directory, name) >= size) {
        errno = ENAMETOOLONG;
        die("stub: XENSTORED_STUB_DIR");
    }
    return buffer;
}

/* --- libxenctrl --- */

/* The fields of xc_dominfo_t that the daemon reads; they come first, what follows is left alone. */
struct dominfo_head {
    uint32_t domid;
    uint32_t ssidref;
    unsigned int dying : 1, crashed : 1, shutdown : 1;
    unsigned int shutdown_reason;
};

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned int flags)
{
    char path[108];
    int fd = open(path_of(path, sizeof(path), "domains"), O_RDONLY | O_CLOEXEC);

    (void)logger, (void)dombuild_logger, (void)flags;
    if (fd < 0)
        return NULL;
    domains = mmap(NULL, DOMID_FIRST_RESERVED, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return domains == MAP_FAILED ? NULL : &the_handle;
}

int xc_interface_close(void *handle)
{
    (void)handle;
    return 0;
}

/* The call fills in the first domain whose id is not below the one asked for. */
int xc_domain_getinfo(void *handle, uint32_t first, unsigned int max, struct dominfo_head *info)
{
    (void)handle;
    if (max != 1)
        die("stub: xc_domain_getinfo of more than one domain");
    for (uint32_t domid = first; domid < DOMID_FIRST_RESERVED; domid++) {
        if (!domains[domid])
            continue;
        info->domid = domid;
        info->dying = !!(domains[domid] & DYING);
        info->crashed = 0;
        info->shutdown = !!(domains[domid] & SHUT_DOWN);
        info->shutdown_reason = 0;
        return 1;
    }
    errno = ESRCH;
    return -1;
}

/* --- libxengnttab --- */

void *xengnttab_open(void *logger, unsigned int flags)
{
    (void)logger, (void)flags;
    return &the_handle;
}

int xengnttab_close(void *handle)
{
    (void)handle;
    return 0;
}

int xengnttab_set_max_grants(void *handle, uint32_t count)
{
    (void)handle, (void)count;
    return 0;
}

void *xengnttab_map_grant_ref(void *handle, uint32_t domid, uint32_t ref, int prot)
{
    char name[32], path[108];
    void *page = MAP_FAILED;
    int fd;

    (void)handle;
    snprintf(name, sizeof(name), "ring-%u", domid);
    if (ref == GNTTAB_RESERVED_XENSTORE && domid < DOMID_FIRST_RESERVED && domains[domid]) {
        fd = open(path_of(path, sizeof(path), name), O_RDWR | O_CLOEXEC);
        if (fd >= 0) {
            page = mmap(NULL, PAGE_SIZE, prot, MAP_SHARED, fd, 0);
            close(fd);
        }
    }
    if (page != MAP_FAILED)
        return page;
    /* Linux' gntdev fails the mmap(2) like this for a grant that the hypervisor refuses. */
    errno = EINVAL;
    return NULL;
}

int xengnttab_unmap(void *handle, void *page, uint32_t count)
{
    (void)handle;
    return munmap(page, (size_t)count * PAGE_SIZE);
}

/* --- libxenevtchn --- */

void *xenevtchn_open(void *logger, unsigned int flags)
{
    (void)logger, (void)flags;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd < 0 ? NULL : &the_handle;
}

/* After a live update: this library starts anew with its program, so no channel is left. */
void *xenevtchn_fdopen(void *logger, int fd, unsigned int flags)
{
    (void)fd;
    return xenevtchn_open(logger, flags);
}

int xenevtchn_fd(void *handle)
{
    (void)handle;
    return epoll_fd;
}

/* Take in the channels that were offered since. */
static void take_offers(void)
{
    const char *control = getenv("XENSTORED_STUB_CONTROL_FD");

    while (control) {
        struct offer offer;
        union {
            struct cmsghdr header;
            char room[CMSG_SPACE(sizeof(int))];
        } ancillary;
        struct iovec vector = { .iov_base = &offer, .iov_len = sizeof(offer) };
        struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1,
                                  .msg_control = &ancillary,
                                  .msg_controllen = sizeof(ancillary) };
        struct cmsghdr *rights;

        if (recvmsg(atoi(control), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(offer))
            return;
        rights = CMSG_FIRSTHDR(&message);
        if (!rights || rights->cmsg_type != SCM_RIGHTS || channel_count == PORTS_MAX)
            die("stub: a bad offer of an event channel");
        channels[channel_count].from = offer;
        memcpy(&channels[channel_count].fd, CMSG_DATA(rights), sizeof(int));
        channel_count++;
    }
}

static int bind_channel(uint32_t domid, uint32_t remote_port)
{
    take_offers();
    for (int port = 1; port < channel_count; port++) {
        struct channel *channel = &channels[port];
        struct epoll_event readable = { .events = EPOLLIN, .data.u32 = port };

        if (channel->bound || channel->from.domid != domid || channel->from.port != remote_port)
            continue;
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, channel->fd, &readable))
            return -1;
        channel->bound = 1;
        return port;
    }
    errno = EINVAL;
    return -1;
}

int xenevtchn_bind_interdomain(void *handle, uint32_t domid, uint32_t remote_port)
{
    (void)handle;
    if (domid < DOMID_FIRST_RESERVED && domains[domid])
        return bind_channel(domid, remote_port);
    errno = ESRCH;
    return -1;
}

int xenevtchn_bind_virq(void *handle, unsigned int virq)
{
    (void)handle;
    virq_port = bind_channel(VIRQ_DOMID, virq);
    return virq_port;
}

static int is_bound(uint32_t port)
{
    if (port < PORTS_MAX && channels[port].bound)
        return 1;
    errno = EINVAL;
    return 0;
}

int xenevtchn_unbind(void *handle, uint32_t port)
{
    (void)handle;
    if (!is_bound(port) || epoll_ctl(epoll_fd, EPOLL_CTL_DEL, channels[port].fd, NULL))
        return -1;
    channels[port].bound = 0;
    return 0;
}

int xenevtchn_unmask(void *handle, uint32_t port)
{
    (void)handle;
    return is_bound(port) ? 0 : -1;
}

int xenevtchn_notify(void *handle, uint32_t port)
{
    const uint64_t one = 1;

    (void)handle;
    if (!is_bound(port))
        return -1;
    /* Where it fails, events wait already, or nobody does. */
    send(channels[port].fd, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
    /* A call that succeeds may leave anything in errno: see read(). */
    errno = EINVAL;
    return 0;
}

/* One event of this channel, if there is one. */
static int take_event(int port)
{
    uint64_t count;

    return recv(channels[port].fd, &count, sizeof(count), MSG_DONTWAIT) >= 0;
}

/* VIRQs go first: a domain's end is known before requests that were sent after it are read. */
int xenevtchn_pending(void *handle)
{
    struct epoll_event readable;

    (void)handle;
    if (virq_port > 0 && take_event(virq_port))
        return virq_port;
    if (epoll_wait(epoll_fd, &readable, 1, 0) == 1 && take_event(readable.data.u32))
        return readable.data.u32;
    return -1;
}
