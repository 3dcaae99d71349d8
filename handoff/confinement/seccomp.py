"""Installs a profile's system call filter on every thread of this process, for good."""

from __future__ import annotations

import ctypes
import errno
import os
from enum import Enum

from handoff.confinement.bpf import RET_KILL_PROCESS, assemble, encode, ret_errno
from handoff.confinement.layers import Layer, Outcome, State
from handoff.confinement.libc import describe, system_call
from handoff.confinement.profiles import Profile, rules
from handoff.confinement.syscalls import NUMBERS, running_architecture

__all__ = ["Violation", "install_filter"]

# Source: include/uapi/linux/seccomp.h.
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1


class Violation(Enum):
    """What a call outside the profile meets."""

    REFUSE = "refuse"
    KILL = "kill"

    @property
    def result(self) -> int:
        """The filter result: EPERM, or the end of the process."""
        return RET_KILL_PROCESS if self is Violation.KILL else ret_errno(errno.EPERM)

    def __str__(self) -> str:
        return "killed" if self is Violation.KILL else "EPERM"


class _FilterProgram(ctypes.Structure):
    """`struct sock_fprog`: a length and a pointer, with the padding C puts between them."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install_filter(profile: Profile, violation: Violation) -> Outcome:
    """What came of filtering this process's system calls by `profile`; needs no_new_privs."""
    architecture = running_architecture()
    if architecture is None:
        reason = f"no table of system calls for {os.uname().machine}"
        return Outcome(Layer.SECCOMP, State.UNAVAILABLE, reason)
    program = assemble(rules(profile, os.getpid()), architecture, violation.result)
    instructions = ctypes.create_string_buffer(encode(program))
    header = _FilterProgram(len(program), ctypes.addressof(instructions))
    number = NUMBERS["seccomp"].on(architecture)
    assert number is not None
    try:
        left_out = system_call(
            "seccomp",
            number,
            _SECCOMP_SET_MODE_FILTER,
            _SECCOMP_FILTER_FLAG_TSYNC,
            ctypes.addressof(header),
        )
    except OSError as error:
        return Outcome(Layer.SECCOMP, State.UNAVAILABLE, describe(error))
    if left_out:
        reason = f"thread {left_out} carries a filter of its own"
        return Outcome(Layer.SECCOMP, State.UNAVAILABLE, reason)
    detail = f"profile {profile.value}, {len(program)} instructions, all else {violation}"
    return Outcome(Layer.SECCOMP, State.APPLIED, detail)
