"""Linux's privcmd device without a library: hypercalls, operations of a device model, frames.

Source: Linux include/uapi/xen/privcmd.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

DEVICE = "/dev/xen/privcmd"
PAGE = 4096
_HYPERCALL = 0x30_5000
_MMAPBATCH_V2 = 0x20_5004
_DM_OP = 0x10_5005
_RESTRICT = 0x02_5006
_MAP_FAILED = ctypes.c_size_t(-1).value


class Privcmd:
    """One opening of the device. Every refusal is an OSError, with Linux's errno or Xen's."""

    def __init__(self) -> None:
        self.fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        # Xen reads arguments where they are, and does not wait for a page that is not there.
        self._page = mmap.mmap(-1, PAGE)
        self._page.write(bytes(PAGE))
        self._at = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mlock(ctypes.c_void_p(self._at), ctypes.c_size_t(PAGE))
        self._mmap, self._munmap = libc.mmap, libc.munmap
        self._mmap.restype = ctypes.c_size_t
        self._mmap.argtypes = [
            *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
            *(ctypes.c_int, ctypes.c_int, ctypes.c_long),
        ]
        self._munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

    def close(self) -> None:
        os.close(self.fd)

    def restrict(self, domid: int) -> None:
        """From here on it acts on this domain alone, for good."""
        fcntl.ioctl(self.fd, _RESTRICT, struct.pack("=H", domid))

    def hypercall(self, number: int, *arguments: int) -> int:
        """What it returns."""
        call = bytearray(struct.pack("=6Q", number, *arguments, *([0] * (5 - len(arguments)))))
        result: int = fcntl.ioctl(self.fd, _HYPERCALL, call, True)
        return result

    def with_argument(self, number: int, command: int | None, argument: bytes) -> bytes:
        """A hypercall whose argument lies in memory: what lies there after it."""
        self._page[: len(argument)] = argument
        words = (self._at,) if command is None else (command, self._at)
        self.hypercall(number, *words)
        return self._page[: len(argument)]

    @property
    def spare(self) -> int:
        """Address of memory that Xen can write, half a page, behind every argument."""
        return self._at + PAGE // 2

    def device_model_op(self, domid: int, op: bytes) -> bytes:
        """What the operation left in its argument."""
        argument = ctypes.create_string_buffer(op, 64)
        buffer = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(argument), 64))
        fcntl.ioctl(self.fd, _DM_OP, struct.pack("=HHxxxxQ", domid, 1, ctypes.addressof(buffer)))
        return argument.raw

    @contextmanager
    def frame(self, domid: int, number: int, *, writable: bool) -> Iterator[int]:
        """The address of one frame of a domain's, mapped while the context lasts."""
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        at = self._mmap(None, PAGE, protection, mmap.MAP_SHARED, self.fd, 0)
        if at == _MAP_FAILED:
            raise OSError(ctypes.get_errno(), "mmap")
        try:
            frame, error = ctypes.c_uint64(number), ctypes.c_int()
            places = (ctypes.addressof(frame), ctypes.addressof(error))
            fcntl.ioctl(self.fd, _MMAPBATCH_V2, struct.pack("=IHxxQQQ", 1, domid, at, *places))
            if error.value:
                raise OSError(-error.value, os.strerror(-error.value))
            yield at
        finally:
            self._munmap(at, PAGE)
