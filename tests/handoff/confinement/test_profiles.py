"""What a profile leaves, argument by argument."""

from __future__ import annotations

import errno

import pytest

from handoff.confinement.bpf import RET_ALLOW, ret_errno
from handoff.confinement.profiles import Profile, rules
from handoff.confinement.syscalls import Architecture
from tests.handoff.confinement.test_bpf import LONG, PID, REFUSED, decide

CLONE_THREAD_OF_GLIBC = 0x003D_0F00
CLONE_NEWUSER = 0x1000_0000

LEFT = [
    ("mmap", (0, 4096, 3, 0x22, LONG, 0)),
    ("mprotect", (0x1000, 4096, 3)),
    ("madvise", (0x1000, 4096, 4)),
    ("fcntl", (3, 1030, 0)),
    ("ioctl", (3, 0x5421, 0x7FFF_0000_1234)),
    ("newfstatat", (3, 0x7FFF_0000_1234, 0x7FFF_0000_2000, 0x1000)),
    ("sendto", (3, 0x7FFF_0000_1234, 5, 0x4000, 0, 0)),
    ("fallocate", (3, 3, 0, 4096)),
    ("prlimit64", (0, 7, 0, 0x7FFF_0000_1234)),
    ("tgkill", (PID, PID, 6)),
    ("kill", (PID, 2)),
]

REFUSALS = [
    ("mmap", (0, 4096, 5, 0x22, LONG, 0)),
    ("mmap", (0, 4096, 0xFFFF_FFFF_0000_0004, 0x22, LONG, 0)),
    ("mprotect", (0x1000, 4096, 7)),
    ("madvise", (0x1000, 4096, 100)),  # MADV_HWPOISON
    ("fcntl", (3, 1033, 0)),  # F_ADD_SEALS
    ("fcntl", (3, 8, 1)),  # F_SETOWN
    ("ioctl", (3, 0x5412, 0)),  # TIOCSTI
    ("newfstatat", (-100 & LONG, 0x7FFF_0000_1234, 0x7FFF_0000_2000, 0)),
    ("sendto", (3, 0x7FFF_0000_1234, 5, 0, 1 << 32, 16)),
    ("fallocate", (3, 0, 0, 4096)),
    ("prlimit64", (1, 7, 0, 0)),
    ("prlimit64", (0, 7, 1 << 32, 0)),
    ("tgkill", (1, 1, 9)),
    ("kill", (0, 2)),
    ("kill", (-1 & LONG, 2)),
    ("kill", (PID + 1, 0)),
]


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize(("syscall", "arguments"), LEFT)
def test_a_call_as_python_makes_it_is_left(
    profile: Profile, syscall: str, arguments: tuple[int, ...]
) -> None:
    for machine in Architecture:
        assert decide(rules(profile, PID), syscall, *arguments, on=machine) == RET_ALLOW


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize(("syscall", "arguments"), REFUSALS)
def test_the_same_call_with_a_harmful_argument_is_refused(
    profile: Profile, syscall: str, arguments: tuple[int, ...]
) -> None:
    for machine in Architecture:
        assert decide(rules(profile, PID), syscall, *arguments, on=machine) == REFUSED


@pytest.mark.parametrize(
    ("flags", "emulator"),
    [
        (CLONE_THREAD_OF_GLIBC, RET_ALLOW),
        (17, REFUSED),  # fork: SIGCHLD
        (0x0100_0000 | 0x0020_0000 | 17, REFUSED),  # fork of glibc
        (0x4100 | 17, REFUSED),  # vfork
        (CLONE_THREAD_OF_GLIBC | CLONE_NEWUSER, REFUSED),
        (CLONE_NEWUSER | 17, REFUSED),
    ],
)
def test_only_the_emulator_clones_and_only_threads(flags: int, emulator: int) -> None:
    on = Architecture.X86_64
    assert decide(rules(Profile.EMULATOR, PID), "clone", flags, on=on) == emulator
    assert decide(rules(Profile.DEVICE_MODEL, PID), "clone", flags, on=on) == REFUSED


def test_clone3_sends_the_emulators_c_library_back_to_clone() -> None:
    on = Architecture.X86_64
    no_such_call = ret_errno(errno.ENOSYS)
    assert decide(rules(Profile.EMULATOR, PID), "clone3", 1, 88, on=on) == no_such_call
    assert decide(rules(Profile.DEVICE_MODEL, PID), "clone3", 1, 88, on=on) == REFUSED


@pytest.mark.parametrize("profile", list(Profile))
def test_of_a_hypervisors_handle_only_mapping_is_left_and_only_on_xen(profile: Profile) -> None:
    on, left = Architecture.X86_64, RET_ALLOW if profile is Profile.XEN_DEVICE_MODEL else REFUSED
    # Source: include/uapi/xen/privcmd.h.
    batch_v2, hypercall, dm_op, restrict = 0x205004, 0x305000, 0x105005, 0x25006
    assert decide(rules(profile, PID), "ioctl", 9, batch_v2, 0x7FFF_0000_1234, on=on) == left
    for request in (hypercall, dm_op, restrict):
        assert decide(rules(profile, PID), "ioctl", 9, request, 0x7000, on=on) == REFUSED
