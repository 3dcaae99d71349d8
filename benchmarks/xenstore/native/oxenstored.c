/*
 * What oxenstored needs to run without Xen and away from the machine's own xenstored, besides the
 * hypervisor of tests/oracle/stub/hypervisor.c: preloaded, it answers in the place of libc and of
 * libxenctrl. The calls keep the meaning of their public headers.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "stub.h"

#define BUILT_IN_DIRECTORY "/run/xenstored"
#define PAGE_SIZE 4096

static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function)
        die(name);
    return function;
}

static int is_machines_own(const char *path)
{
    return strstr(path, BUILT_IN_DIRECTORY) != NULL;
}

/* The path of the socket is compiled in. */
int bind(int fd, const struct sockaddr *address, socklen_t size)
{
    static int (*real)(int, const struct sockaddr *, socklen_t);
    const struct sockaddr_un *asked = (const struct sockaddr_un *)address;
    struct sockaddr_un instead = { .sun_family = AF_UNIX };

    if (!real)
        real = next("bind");
    if (asked->sun_family != AF_UNIX || !is_machines_own(asked->sun_path))
        return real(fd, address, size);
    path_of(instead.sun_path, sizeof(instead.sun_path), "socket");
    return real(fd, (const struct sockaddr *)&instead, sizeof(instead));
}

/* It clears the way for its socket, which would be the machine's. */
int unlink(const char *path)
{
    static int (*real)(const char *);

    if (!real)
        real = next("unlink");
    return is_machines_own(path) ? 0 : real(path);
}

int mkdir(const char *path, mode_t mode)
{
    static int (*real)(const char *, mode_t);

    if (!real)
        real = next("mkdir");
    return is_machines_own(path) ? 0 : real(path, mode);
}

/* It asks for more descriptors than a container may have, and for no less. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limits)
{
    (void)resource, (void)limits;
    return 0;
}

/* A guest's ring, by the frame number that INTRODUCE was told. */
void *xc_map_foreign_range(void *handle, uint32_t domid, int size, int prot, unsigned long frame)
{
    char name[32], path[108];
    void *page;
    int fd;

    (void)handle, (void)frame;
    snprintf(name, sizeof(name), "ring-%u", domid);
    fd = open(path_of(path, sizeof(path), name), O_RDWR | O_CLOEXEC);
    if (fd < 0 || size != PAGE_SIZE)
        return NULL;
    page = mmap(NULL, PAGE_SIZE, prot, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}
