"""What each kind of confined process may still ask the kernel for.

Everything else is refused. In particular nothing here makes a new descriptor for anything but
what the process already has open: no open, socket, socketpair, connect, accept, pipe, eventfd,
memfd_create, io_uring_setup, userfaultfd, bpf, perf_event_open; nothing makes or touches another
process: no fork, execve, ptrace, process_vm_*, pidfd_*, kill beyond itself; and nothing changes
what it is: no setuid, capset, unshare, setns, mount, keyctl, seccomp, personality.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import signal
from collections.abc import Iterable
from enum import Enum

from handoff.confinement.bpf import Condition, Rule, ret_errno

__all__ = ["Profile", "rules"]

_INT = 0xFFFF_FFFF
_LONG = 0xFFFF_FFFF_FFFF_FFFF

_PROT_EXEC = 4

# Source: include/uapi/linux/fcntl.h, include/uapi/linux/falloc.h.
_F_GET_SEALS = 1034
_PUNCH_HOLE_KEEP_SIZE = 0x01 | 0x02

# Source: include/uapi/asm-generic/ioctls.h. TCGETS and TIOCGWINSZ only read: Python asks them
# of every stream it wraps. TIOCSTI, which types into a terminal, is among what is refused.
_TCGETS = 0x5401
_TIOCGWINSZ = 0x5413
_FIONBIO = 0x5421
_FIONCLEX = 0x5450
_FIOCLEX = 0x5451

# Source: include/uapi/xen/privcmd.h. Maps frames of the domain that the handle is restricted to.
# Not among what is left: plain hypercalls, and operations of a device model.
_PRIVCMD_MMAPBATCH_V2 = 0x0020_5004

# Source: include/uapi/linux/sched.h. What every pthread_create sets; a fork sets none of it.
_CLONE_THREAD_FLAGS = 0x0001_0000 | 0x0000_0800 | 0x0000_0100  # THREAD, SIGHAND, VM
# The namespaces, CLONE_PTRACE, _UNTRACED, _VFORK, _PIDFD, _PARENT: never part of a thread.
_CLONE_NOT_THREAD_FLAGS = 0x7E02_0000 | 0x0080_2000 | 0x0000_4000 | 0x0000_1000 | 0x0000_8000
_PR_SET_NAME = 15


class Profile(Enum):
    """A kind of confined process.

    DEVICE_MODEL      parses the guest owner's images; one thread.
    XEN_DEVICE_MODEL  the same where guest RAM is a domain's, mapped through a restricted handle.
    EMULATOR          runs guest code; may start threads (an emulation engine's timer, a worker of
                      the event loop). Its translation buffer must exist before it is confined.
    """

    DEVICE_MODEL = "device model"
    XEN_DEVICE_MODEL = "device model on xen"
    EMULATOR = "emulator"

    @property
    def threads(self) -> bool:
        """Whether the process may start threads of its own."""
        return self is Profile.EMULATOR


_PLAIN = (
    # descriptors that are already open
    *("read", "write", "readv", "writev", "pread64", "pwrite64"),
    *("preadv", "pwritev", "preadv2", "pwritev2", "lseek", "close", "fstat"),
    # sockets that are already connected; an address in recvfrom is the kernel's answer
    *("recvfrom", "recvmsg", "sendmsg", "getsockopt", "getsockname", "getpeername", "shutdown"),
    # waiting
    *("epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl"),
    *("poll", "ppoll", "select", "pselect6", "futex", "sched_yield", "restart_syscall"),
    # clocks
    *("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time"),
    # its own memory, signals and end
    *("munmap", "mremap", "brk", "getrandom"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "exit", "exit_group"),
    *("getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid"),
)

_THREADS = ("set_robust_list", "rseq")

_FCNTL_COMMANDS = (
    *(fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL),
    # a duplicate gives nothing new; Python's mmap makes one of each file it maps
    *(fcntl.F_DUPFD_CLOEXEC, _F_GET_SEALS),
)

_MADVISE_ADVICE = (
    *(mmap.MADV_NORMAL, mmap.MADV_RANDOM, mmap.MADV_SEQUENTIAL, mmap.MADV_WILLNEED),
    *(mmap.MADV_DONTNEED, mmap.MADV_FREE, mmap.MADV_REMOVE),
    *(mmap.MADV_HUGEPAGE, mmap.MADV_NOHUGEPAGE, mmap.MADV_DONTDUMP),
)


def _equals(argument: int, value: int) -> Condition:
    return Condition(argument, _INT, value)


def _one_of(syscall: str, argument: int, values: Iterable[int]) -> tuple[Rule, ...]:
    return tuple(Rule(syscall, (_equals(argument, value),)) for value in values)


def _without_bits(syscall: str, argument: int, bits: int) -> Rule:
    return Rule(syscall, (Condition(argument, bits, 0),))


def rules(profile: Profile, pid: int) -> tuple[Rule, ...]:
    """The calls `profile` leaves to the process whose id is `pid`."""
    common = (
        *(Rule(syscall) for syscall in _PLAIN),
        _without_bits("mmap", 2, _PROT_EXEC),
        _without_bits("mprotect", 2, _PROT_EXEC),
        *_one_of("madvise", 2, _MADVISE_ADVICE),
        *_one_of("fcntl", 1, _FCNTL_COMMANDS),
        *_one_of("ioctl", 1, (_FIONBIO, _FIOCLEX, _FIONCLEX, _TCGETS, _TIOCGWINSZ)),
        # the C library's fstat; a path beside the flag meets the empty root
        Rule("newfstatat", (_equals(3, 0x1000),)),  # AT_EMPTY_PATH alone
        # no destination: a connected socket's peer or nobody
        Rule("sendto", (Condition(4, _LONG, 0),)),
        # giving guest RAM back, never growing it
        Rule("fallocate", (_equals(1, _PUNCH_HOLE_KEEP_SIZE),)),
        # reading its own limits, never another's, never setting
        Rule("prlimit64", (_equals(0, 0), Condition(2, _LONG, 0))),
        # raise() and abort() end in these; signal 0 and every other pid are refused
        *_signals(pid),
    )
    match profile:
        case Profile.DEVICE_MODEL:
            return common
        case Profile.XEN_DEVICE_MODEL:
            return (*common, *_one_of("ioctl", 1, (_PRIVCMD_MMAPBATCH_V2,)))
        case Profile.EMULATOR:
            return (*common, *_thread_rules())


def _signals(pid: int) -> tuple[Rule, ...]:
    own = _equals(0, pid)
    return (
        Rule("tgkill", (own,)),
        *(Rule("kill", (own, _equals(1, number))) for number in (signal.SIGINT, signal.SIGTERM)),
    )


def _thread_rules() -> tuple[Rule, ...]:
    flags = Condition(0, _CLONE_THREAD_FLAGS | _CLONE_NOT_THREAD_FLAGS, _CLONE_THREAD_FLAGS)
    return (
        *(Rule(syscall) for syscall in _THREADS),
        Rule("clone", (flags,)),
        # clone3 keeps its flags in memory, where a filter cannot see them: the C library takes
        # "no such call" as the order to use clone
        Rule("clone3", (), ret_errno(errno.ENOSYS)),
        Rule("prctl", (_equals(0, _PR_SET_NAME),)),
    )
