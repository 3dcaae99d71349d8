/*
 * Calls to libc that the stub answers in its place: dom0's own ring, and time.
 *
 * Time is not real: it stands still but where the daemon looks at it, and waiting for it takes
 * none. What the daemon does then depends on its input alone.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stub.h"

static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function)
        die(name);
    return function;
}

/* dom0's own ring is not granted: its page and port are read from two files of Linux. */
int open(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    char instead[108];
    mode_t mode = 0;

    if (!real)
        real = next("open");
    if (flags & O_CREAT) {
        va_list args;

        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (!strcmp(path, "/proc/xen/xsd_kva"))
        path = path_of(instead, sizeof(instead), "ring-0");
    else if (!strcmp(path, "/proc/xen/xsd_port"))
        path = path_of(instead, sizeof(instead), "xsd_port");
    return real(path, flags, mode);
}

/*
 * A request without a proper string makes xenstored 4.17 answer with whatever errno holds, and die
 * where that is 0. Each request is taken in by read(), or by a copy that xenevtchn_notify() follows:
 * these two leave EINVAL behind, the answer that was meant.
 */
ssize_t read(int fd, void *buffer, size_t size)
{
    static ssize_t (*real)(int, void *, size_t);
    ssize_t done;

    if (!real)
        real = next("read");
    done = real(fd, buffer, size);
    if (done >= 0)
        errno = EINVAL;
    return done;
}

/*
 * xenstored slows domains down that write while transactions are open, to so many writes a second.
 * A second passes each time it looks.
 */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    static time_t seconds = 1000000;

    (void)clock;
    now->tv_sec = ++seconds;
    now->tv_nsec = 0;
    return 0;
}

/* Where it waits for time to pass, time has passed. The first call says that it serves. */
int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    static int (*real)(struct pollfd *, nfds_t, int);

    if (!real) {
        const char *ready = getenv("XENSTORED_STUB_READY_FD");

        real = next("poll");
        if (ready && (write(atoi(ready), "1", 1) != 1 || close(atoi(ready))))
            die("stub: XENSTORED_STUB_READY_FD");
    }
    return real(fds, count, timeout > 0 ? 0 : timeout);
}

/* What it logs of clients' mistakes is of no interest to the machine's administrator. */
void openlog(const char *name, int option, int facility)
{
    (void)name, (void)option, (void)facility;
}

void __syslog_chk(int priority, int flag, const char *format, ...)
{
    (void)priority, (void)flag, (void)format;
}
