"""Installs a profile's system call filter on every thread of this process, for good."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from enum import Enum

from handoff.confinement.bpf import RET_KILL_PROCESS, Rule, assemble, encode, ret_errno
from handoff.confinement.layers import Layer, Outcome, State
from handoff.confinement.libc import describe, system_call
from handoff.confinement.profiles import Profile, rules
from handoff.confinement.syscalls import NUMBERS, running_architecture

__all__ = ["FilterRefused", "Violation", "filter_by", "install_filter"]

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


class FilterRefused(Exception):
    """No filter was installed; the text says why."""


def install_filter(profile: Profile, violation: Violation) -> Outcome:
    """What came of filtering this process's system calls by `profile`; needs no_new_privs."""
    try:
        length = filter_by(rules(profile, os.getpid()), violation)
    except FilterRefused as refused:
        return Outcome(Layer.SECCOMP, State.UNAVAILABLE, str(refused))
    detail = f"profile {profile.value}, {length} instructions, all else {violation}"
    return Outcome(Layer.SECCOMP, State.APPLIED, detail)


def filter_by(allowed: Iterable[Rule], violation: Violation) -> int:
    """The length of the filter now on every thread of this process; needs no_new_privs.

    Raises: FilterRefused.
    """
    architecture = running_architecture()
    if architecture is None:
        raise FilterRefused(f"no table of system calls for {os.uname().machine}")
    program = assemble(allowed, architecture, violation.result)
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
        raise FilterRefused(describe(error)) from error
    if left_out:
        raise FilterRefused(f"thread {left_out} carries a filter of its own")
    return len(program)
