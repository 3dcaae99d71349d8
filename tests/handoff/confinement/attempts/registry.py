"""An attempt: set up first, made later, and what it needs to make system calls."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable

from handoff.confinement.libc import Buffer, system_call

# Returns when it got through, raises OSError when it did not.
Attempt = Callable[[], object]

ATTEMPTS: dict[str, Callable[[], Attempt]] = {}


def attempt(set_up: Callable[[], Attempt]) -> Callable[[], Attempt]:
    """Enters what `set_up` makes, under its name."""
    ATTEMPTS[set_up.__name__] = set_up
    return set_up


def numbered(name: str, x86_64: int, aarch64: int) -> Callable[..., int]:
    """The system call that has these numbers; from 424 on they are the same everywhere."""
    number = {"x86_64": x86_64, "aarch64": aarch64}[os.uname().machine]
    return lambda *arguments: system_call(name, number, *arguments)


def packed(form: str, size: int, *values: int) -> Buffer:
    """`values` in C layout, in a buffer of `size` bytes."""
    return ctypes.create_string_buffer(struct.pack(form, *values).ljust(size, b"\0"), size)
