"""An image that already lies in guest RAM, as a read-only file object.

This is what makes the second half common: a boot method reads its images through the same
file interface, whether they are files of the host or bytes the toolstack left in RAM.
"""

from __future__ import annotations

import io
from typing import Any

from handoff.addresses import Gpa, GpaRange
from handoff.guest_ram import GuestRam


class RamImage(io.RawIOBase):
    """Read-only, seekable file over a range of guest RAM."""

    def __init__(self, ram: GuestRam, where: GpaRange) -> None:
        super().__init__()
        self._ram = ram
        self.range = where
        self._at = 0

    def moved_to(self, start: Gpa) -> RamImage:
        """The image as it is once its bytes were moved to `start`."""
        return RamImage(self._ram, GpaRange(start, self.range.size))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to `offset` from start, position or end. Raises: ValueError before the start."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.range.size}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, before the start of the image")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        size = min(len(view), max(0, self.range.size - self._at))
        if size:
            where = GpaRange(Gpa(self.range.start + self._at), size)
            view[:size] = self._ram.read(where)
            self._at += size
        return size
