"""Guest RAM: the port, and its simulation over a memfd that nobody can resize.

The port has only operations that a real Xen can serve through foreign mappings, which come
in windows and page by page: there is no view of all RAM, and a file offset is not an address.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from blake3 import blake3

from handoff.addresses import FOUR_GIB, PAGE, Gpa, GpaRange
from handoff.errors import RamAccessError

DIGEST_BYTES = 32
_CHUNK = 1 << 20

FOREIGN_RAM = "--foreign-ram"
"""The device model's option that says where its target has RAM: `GPA:BYTES`, again for each
stretch."""

Readable = bytes | bytearray | memoryview


class GuestRam(Protocol):
    """RAM of one guest by guest physical address.

    Every operation is bounds-checked and raises RamAccessError, before it changes
    anything, when a byte of it is not RAM.
    """

    def read(self, where: GpaRange) -> bytes:
        """The bytes of `where`."""

    def write(self, at: Gpa, data: Readable) -> None:
        """`data` at `at`; no data is a no-op."""

    def move(self, source: GpaRange, to: Gpa) -> None:
        """Copies `source` to `to` as memmove does: right for any overlap."""

    def fill(self, where: GpaRange, byte: int) -> None:
        """Every byte of `where` set to `byte`."""

    def digest(self, where: GpaRange, prefix: bytes = b"") -> bytes:
        """BLAKE3 of `prefix` followed by the bytes of `where`, DIGEST_BYTES long."""

    def release(self, where: GpaRange) -> None:
        """Gives the whole pages of `where` back to the host; they may read as anything.

        A port that cannot does nothing."""


@dataclass(frozen=True, slots=True)
class RamRegion:
    """A stretch of guest RAM and where it lies in the memory file."""

    range: GpaRange
    file_offset: int
    """bytes, page-aligned"""


def regions_for(memory_bytes: int, low_end: Gpa) -> tuple[RamRegion, ...]:
    """RAM of `memory_bytes` split at `low_end`: the rest lies at 4 GiB.

    The file is contiguous, as QEMU's `pc` maps its memory backend: [0, low_end) first,
    then what is above 4 GiB. The stretch [0xa0000, 0x100000) is part of it: RAM lies
    behind the VGA window and the ROM area on a PC.
    """
    if memory_bytes <= low_end:
        return (RamRegion(GpaRange(Gpa(0), memory_bytes), 0),)
    return (
        RamRegion(GpaRange(Gpa(0), low_end), 0),
        RamRegion(GpaRange(FOUR_GIB, memory_bytes - low_end), low_end),
    )


def create_ram_file(name: str, size: int) -> int:
    """A memfd of `size` bytes sealed against grow and shrink: no peer can cut it off
    under a mapping. Raises: OSError."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd


class MemfdRam:
    """GuestRam over a memory file that two processes map; implements the port."""

    def __init__(self, fd: int, regions: Sequence[RamRegion], *, hash_threads: int = 1) -> None:
        """Maps `regions` of `fd`, which the caller keeps and closes.

        hash_threads: threads for digests; blake3.AUTO where threads may be started.
        Raises: OSError, or ValueError if the file is shorter than the regions.
        """
        self._fd = fd
        self._hash_threads = hash_threads
        self._maps: list[tuple[RamRegion, mmap.mmap]] = []
        for region in regions:
            view = mmap.mmap(fd, region.range.size, offset=region.file_offset)
            self._maps.append((region, view))

    def close(self) -> None:
        for _, view in self._maps:
            view.close()
        self._maps.clear()

    def _locate(self, where: GpaRange, doing: str) -> tuple[RamRegion, mmap.mmap, int]:
        for region, view in self._maps:
            if region.range.contains(where):
                return region, view, where.start - region.range.start
        ram = ", ".join(str(region.range) for region, _ in self._maps)
        raise RamAccessError(f"cannot {doing} {where}: guest RAM is {ram}")

    def read(self, where: GpaRange) -> bytes:
        _, view, at = self._locate(where, "read")
        return view[at : at + where.size]

    def write(self, at: Gpa, data: Readable) -> None:
        if len(data) == 0:
            return
        _, view, offset = self._locate(GpaRange(at, len(data)), "write")
        view[offset : offset + len(data)] = data

    def move(self, source: GpaRange, to: Gpa) -> None:
        source_region, source_view, source_at = self._locate(source, "read")
        region, view, at = self._locate(GpaRange(to, source.size), "write")
        if region is source_region:
            view.move(at, source_at, source.size)
            return
        for done in range(0, source.size, _CHUNK):
            size = min(_CHUNK, source.size - done)
            chunk = source_view[source_at + done : source_at + done + size]
            view[at + done : at + done + size] = chunk

    def fill(self, where: GpaRange, byte: int) -> None:
        _, view, at = self._locate(where, "fill")
        pattern = bytes([byte]) * min(where.size, _CHUNK)
        for done in range(0, where.size, _CHUNK):
            size = min(_CHUNK, where.size - done)
            view[at + done : at + done + size] = pattern[:size]

    def digest(self, where: GpaRange, prefix: bytes = b"") -> bytes:
        _, view, at = self._locate(where, "digest")
        whole = memoryview(view)
        part = whole[at : at + where.size]
        try:
            hasher = blake3(prefix, max_threads=self._hash_threads)
            return hasher.update(part).digest()
        finally:
            part.release()
            whole.release()

    def release(self, where: GpaRange) -> None:
        region, view, _ = self._locate(where, "release")
        pages = where.pages_inside()
        if pages is not None:
            view.madvise(mmap.MADV_REMOVE, pages.start - region.range.start, pages.size)

    def copy_from_file(self, fd: int, to: GpaRange) -> int:
        """Copies up to `to.size` bytes from `fd`'s position into RAM inside the kernel.

        Returns the bytes copied, less than asked only at the end of the file. Not part of
        the port: foreign mappings have no file to copy into. Raises: OSError.
        """
        region, _, at = self._locate(to, "write")
        os.lseek(self._fd, region.file_offset + at, os.SEEK_SET)
        done = 0
        while done < to.size:
            # sendfile moves at most 2 GiB - 4 KiB a call.
            count = os.sendfile(self._fd, fd, None, min(to.size - done, 1 << 30))
            if count == 0:
                break
            done += count
        return done

    def populate(self, where: GpaRange) -> None:
        """Has the host set memory aside for `where`: what is written there later cannot fail,
        which through a mapping would be a signal and no error. Not part of the port.

        Raises: OSError if the host has none.
        """
        region, _, at = self._locate(where, "populate")
        os.posix_fallocate(self._fd, region.file_offset + at, where.size)

    def resident_bytes(self) -> int:
        """Host memory the file holds now, bytes."""
        return os.fstat(self._fd).st_blocks * 512


assert PAGE == mmap.PAGESIZE, "the simulation maps x86 guests on a host with 4 KiB pages"
