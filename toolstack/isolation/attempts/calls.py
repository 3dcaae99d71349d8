"""System calls that Python has no function for, by their number on this machine."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable

from handoff.confinement.libc import Buffer, system_call

__all__ = ["Buffer", "call", "filled", "text"]


def call(name: str, x86_64: int, aarch64: int | None = None) -> Callable[..., int]:
    """The call with these numbers; without the second one it has the same on both machines.

    What is returned raises OSError with the kernel's errno.
    """
    machine = os.uname().machine
    number = x86_64 if machine == "x86_64" or aarch64 is None else aarch64
    return lambda *arguments: system_call(name, number, *arguments)


def filled(form: str, size: int, *values: int) -> Buffer:
    """`values` in C layout in a buffer of `size` bytes, the rest zero."""
    return ctypes.create_string_buffer(struct.pack(form, *values).ljust(size, b"\0"), size)


def text(value: str | bytes) -> Buffer:
    """A C string."""
    return ctypes.create_string_buffer(value.encode() if isinstance(value, str) else value)
