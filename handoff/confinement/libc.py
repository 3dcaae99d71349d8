"""System calls by number and by name: a result, or `OSError` with the kernel's errno."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TypeAlias

__all__ = ["Buffer", "describe", "invoke", "prctl", "system_call"]

# What a call reads or fills in: from `ctypes.create_string_buffer`.
Buffer: TypeAlias = ctypes.Array[ctypes.c_char]

# The C library that this process already runs on; nothing is loaded.
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_LIBC.prctl.restype = ctypes.c_int


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def _as_long(argument: int | bytes | Buffer | None) -> object:
    # Variadic arguments are passed as C int unless they say otherwise, which would leave the
    # upper half of the register undefined.
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def system_call(name: str, number: int, *arguments: int | Buffer | None) -> int:
    """What system call `number` returns. Raises: OSError, naming the call."""
    return _checked(name, int(_LIBC.syscall(ctypes.c_long(number), *map(_as_long, arguments))))


def invoke(name: str, *arguments: int | bytes | Buffer | None) -> int:
    """What the C library's wrapper `name` returns. Raises: OSError, naming the call."""
    return _checked(name, int(getattr(_LIBC, name)(*map(_as_long, arguments))))


def prctl(name: str, option: int, *arguments: int) -> int:
    """What prctl(`option`) returns. Raises: OSError, naming the option.

    All five arguments are passed: newer options refuse anything but 0 in those they do not use.
    """
    padded = (*arguments, 0, 0, 0, 0)[:4]
    longs = [ctypes.c_ulong(argument) for argument in padded]
    return _checked(f"prctl({name})", int(_LIBC.prctl(ctypes.c_int(option), *longs)))


def describe(error: OSError) -> str:
    """The call and the errno's name, as in `unshare(CLONE_NEWUSER): EPERM`."""
    call = str(error.strerror).split(":", 1)[0]
    return f"{call}: {errno.errorcode.get(error.errno or 0, error.errno)}"
