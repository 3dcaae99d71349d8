"""libxenforeignmemory as ctypes sees it, over a memory file: for tests without Xen.

Frames are mapped with the protection that was asked for, so that a write through a mapping made
for reading ends the test; a frame that is refused is not there at all.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from handoff.addresses import PAGE, Gpa, GpaRange
from handoff.xen_logger import XenLogger

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MAP_FIXED = 0x10
_FAILED = ctypes.c_void_p(-1).value
_HANDLE = 0x7E57


class ForeignFunction:
    """A foreign function: what is called, and the attributes ctypes lets one set."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self.argtypes: Any = None
        self.restype: Any = None

    def __call__(self, *arguments: Any) -> Any:
        return self._body(*arguments)


def log(logger: int | None, words: str) -> None:
    """As Xen's libraries do: to the logger they were given, or to standard error."""
    if logger is None:
        os.write(2, f"xc: error: {words}\n".encode())
        return
    XenLogger.from_address(logger).vmessage(logger, 6, -1, b"xc", words.encode(), None)


class FakeForeignMemory:
    """One domain's RAM, whose frames are those of a memory file."""

    def __init__(self, fd: int, domid: int, ranges: Iterable[GpaRange]) -> None:
        """ranges: where the domain has RAM; frame n is page n of the file, as if flat."""
        self.fd = fd
        self._domid = domid
        self._frames = {
            frame for ram in ranges for frame in range(ram.start // PAGE, ram.end // PAGE)
        }
        self.open_errno = 0
        """errno of a handle that cannot be opened"""
        self.frame_errno: dict[int, int] = {}
        """errno by frame, in place of mapping it"""
        self.restrict_errno = 0
        self.only: int | None = None
        """whom the handle is restricted to"""
        self.alive = True
        self.mapped_now = 0
        self.most_mapped = 0
        """frames at a time"""
        for name in ("open", "close", "restrict", "map", "unmap"):
            setattr(self, f"xenforeignmemory_{name}", ForeignFunction(getattr(self, f"_{name}")))

    def _open(self, logger: int | None, flags: int) -> int | None:
        self._logger = logger
        if self.open_errno:
            log(logger, "Failed to open handle")
            ctypes.set_errno(self.open_errno)
            return None
        return _HANDLE

    def _close(self, handle: ctypes.c_void_p) -> int:
        assert handle.value == _HANDLE
        return 0

    def _restrict(self, handle: ctypes.c_void_p, domid: int) -> int:
        ctypes.set_errno(self.restrict_errno)
        if self.restrict_errno:
            return -1
        self.only = domid
        return 0

    def _map(
        self,
        handle: ctypes.c_void_p,
        domid: int,
        protection: int,
        count: int,
        frames: Any,
        errs: Any,
    ) -> int | None:
        assert handle.value == _HANDLE
        if self.only not in (None, domid):
            log(self._logger, "ioctl failed")
            ctypes.set_errno(errno.EPERM)
            return None
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        at: int | None = _LIBC.mmap(None, count * PAGE, 0, flags, -1, 0)
        assert at is not None
        assert at != _FAILED
        for number in range(count):
            frame = frames[number]
            code = self._errno_of(domid, frame)
            errs[number] = -code
            if not code:
                place = at + number * PAGE
                fixed = mmap.MAP_SHARED | _MAP_FIXED
                mapped = _LIBC.mmap(place, PAGE, protection, fixed, self.fd, frame * PAGE)
                assert mapped == place
        self.mapped_now += count
        self.most_mapped = max(self.most_mapped, self.mapped_now)
        return at

    def _errno_of(self, domid: int, frame: int) -> int:
        if domid != self._domid or not self.alive:
            return errno.ESRCH
        return self.frame_errno.get(frame, 0 if frame in self._frames else errno.EINVAL)

    def _unmap(self, handle: ctypes.c_void_p, address: int, count: int) -> int:
        self.mapped_now -= count
        result: int = _LIBC.munmap(address, count * PAGE)
        return result


@contextmanager
def fake_domain(domid: int, ranges: tuple[GpaRange, ...]) -> Iterator[FakeForeignMemory]:
    """Domain `domid` with RAM at `ranges`, which is filled with int3."""
    fd = os.memfd_create("domain", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, max(ram.end for ram in ranges))
        for ram in ranges:
            for at in range(ram.start, ram.end, PAGE):
                os.pwrite(fd, b"\xcc" * PAGE, at)
        yield FakeForeignMemory(fd, domid, ranges)
    finally:
        os.close(fd)


def page(number: int, count: int = 1) -> GpaRange:
    """`count` frames from `number`, as a range."""
    return GpaRange(Gpa(number * PAGE), count * PAGE)
