"""System call numbers of the architectures whose calls can be filtered."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

__all__ = [
    "CLOSE_RANGE",
    "LANDLOCK_CREATE_RULESET",
    "LANDLOCK_RESTRICT_SELF",
    "NUMBERS",
    "X32_SYSCALL_BIT",
    "Architecture",
    "SyscallNumbers",
    "running_architecture",
]

# Calls added since Linux 5.1 have one number on every architecture.
# Source: scripts/syscall.tbl of Linux.
CLOSE_RANGE = 436
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_RESTRICT_SELF = 446

# x32 calls run under AUDIT_ARCH_X86_64 with this bit set in the number.
# Source: arch/x86/include/uapi/asm/unistd.h.
X32_SYSCALL_BIT = 0x4000_0000


class Architecture(Enum):
    """A machine, by the AUDIT_ARCH value seccomp reports for it.

    Source: include/uapi/linux/audit.h (EM_* | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE).
    """

    X86_64 = 0xC000_003E
    AARCH64 = 0xC000_00B7


class SyscallNumbers(NamedTuple):
    """One call's number on each architecture; None where it has no such call."""

    x86_64: int | None
    aarch64: int | None

    def on(self, architecture: Architecture) -> int | None:
        """The number on `architecture`."""
        return self.x86_64 if architecture is Architecture.X86_64 else self.aarch64


# Source: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
NUMBERS: Mapping[str, SyscallNumbers] = MappingProxyType(
    {
        name: SyscallNumbers(x86_64, aarch64)
        for name, x86_64, aarch64 in (
            ("brk", 12, 214),
            ("clock_getres", 229, 114),
            ("clock_gettime", 228, 113),
            ("clock_nanosleep", 230, 115),
            ("clone", 56, 220),
            ("clone3", 435, 435),
            ("close", 3, 57),
            ("epoll_ctl", 233, 21),
            ("epoll_pwait", 281, 22),
            ("epoll_pwait2", 441, 441),
            ("epoll_wait", 232, None),
            ("exit", 60, 93),
            ("exit_group", 231, 94),
            ("fallocate", 285, 47),
            ("fcntl", 72, 25),
            ("fstat", 5, 80),
            ("futex", 202, 98),
            ("getegid", 108, 177),
            ("geteuid", 107, 175),
            ("getgid", 104, 176),
            ("getpeername", 52, 205),
            ("getpid", 39, 172),
            ("getppid", 110, 173),
            ("getrandom", 318, 278),
            ("getsockname", 51, 204),
            ("getsockopt", 55, 209),
            ("gettid", 186, 178),
            ("gettimeofday", 96, 169),
            ("getuid", 102, 174),
            ("ioctl", 16, 29),
            ("kill", 62, 129),
            ("lseek", 8, 62),
            ("madvise", 28, 233),
            ("mmap", 9, 222),
            ("mprotect", 10, 226),
            ("mremap", 25, 216),
            ("munmap", 11, 215),
            ("nanosleep", 35, 101),
            ("newfstatat", 262, 79),
            ("poll", 7, None),
            ("ppoll", 271, 73),
            ("prctl", 157, 167),
            ("pread64", 17, 67),
            ("preadv", 295, 69),
            ("preadv2", 327, 286),
            ("prlimit64", 302, 261),
            ("pselect6", 270, 72),
            ("pwrite64", 18, 68),
            ("pwritev", 296, 70),
            ("pwritev2", 328, 287),
            ("read", 0, 63),
            ("readv", 19, 65),
            ("recvfrom", 45, 207),
            ("recvmsg", 47, 212),
            ("restart_syscall", 219, 128),
            ("rseq", 334, 293),
            ("rt_sigaction", 13, 134),
            ("rt_sigprocmask", 14, 135),
            ("rt_sigreturn", 15, 139),
            ("sched_yield", 24, 124),
            ("seccomp", 317, 277),
            ("select", 23, None),
            ("sendmsg", 46, 211),
            ("sendto", 44, 206),
            ("set_robust_list", 273, 99),
            ("shutdown", 48, 210),
            ("sigaltstack", 131, 132),
            ("tgkill", 234, 131),
            ("time", 201, None),
            ("wait4", 61, 260),
            ("write", 1, 64),
            ("writev", 20, 66),
        )
    }
)


def running_architecture() -> Architecture | None:
    """The architecture this process makes its calls on; None if none of ours.

    A 32-bit process on a 64-bit kernel uses another table, so pointers must be eight bytes.
    """
    if struct.calcsize("P") != 8:
        return None
    return {"x86_64": Architecture.X86_64, "aarch64": Architecture.AARCH64}.get(os.uname().machine)
