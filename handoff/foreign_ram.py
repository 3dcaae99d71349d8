"""GuestRam over foreign mappings: RAM of a domain of a real Xen, mapped window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from blake3 import blake3

from handoff.addresses import MIB, Gpa, GpaRange, align_down
from handoff.errors import RamAccessError
from handoff.foreign_memory import ForeignMemory
from handoff.guest_ram import Readable
from xenstore_sim.wire.names import DomId

WINDOW_BYTES = 4 * MIB
"""Most that is mapped at a time; windows end at multiples of it."""


class ForeignRam:
    """Implements the port GuestRam. `release` does nothing: what a guest gives back, its own
    balloon gives back.

    A range that lies in several windows is mapped twice where it is written, so that a frame
    that is not RAM is found before a byte is changed.
    """

    def __init__(self, memory: ForeignMemory, domid: DomId, ranges: Sequence[GpaRange]) -> None:
        """memory: kept and closed by the caller. ranges: where the domain has RAM."""
        self._memory = memory
        self._domid = domid
        self._ranges = tuple(ranges)

    def read(self, where: GpaRange) -> bytes:
        self._check(where, "read")
        return b"".join(self._read(window) for window in _windows(where))

    def write(self, at: Gpa, data: Readable) -> None:
        if len(data) == 0:
            return
        where = GpaRange(at, len(data))
        self._check(where, "write")
        self._probe(where)
        self._write(where, memoryview(data))

    def move(self, source: GpaRange, to: Gpa) -> None:
        self._check(source, "read")
        target = GpaRange(to, source.size)
        self._check(target, "write")
        self._probe(source, target)
        # A piece is read whole before it is written; in this order no piece hits one that is
        # still to be read.
        pieces = list(_windows(source))
        for piece in reversed(pieces) if to > source.start else pieces:
            to_piece = GpaRange(Gpa(to + piece.start - source.start), piece.size)
            self._write(to_piece, memoryview(self._read(piece)))

    def fill(self, where: GpaRange, byte: int) -> None:
        self._check(where, "fill")
        self._probe(where)
        pattern = bytes([byte]) * min(where.size, WINDOW_BYTES)
        for window in _windows(where):
            with self._memory.mapped(self._domid, window, writable=True) as view:
                view[:] = pattern[: window.size]

    def digest(self, where: GpaRange, prefix: bytes = b"") -> bytes:
        self._check(where, "digest")
        hasher = blake3(prefix)
        for window in _windows(where):
            with self._memory.mapped(self._domid, window, writable=False) as view:
                hasher.update(view)
        return hasher.digest()

    def release(self, where: GpaRange) -> None:
        self._check(where, "release")

    def _read(self, window: GpaRange) -> bytes:
        with self._memory.mapped(self._domid, window, writable=False) as view:
            return bytes(view)

    def _write(self, where: GpaRange, data: memoryview) -> None:
        for window in _windows(where):
            done = window.start - where.start
            with self._memory.mapped(self._domid, window, writable=True) as view:
                view[:] = data[done : done + window.size]

    def _check(self, where: GpaRange, doing: str) -> None:
        if not any(ram.contains(where) for ram in self._ranges):
            ram = ", ".join(map(str, self._ranges))
            raise RamAccessError(f"cannot {doing} {where}: guest RAM is {ram}")

    def _probe(self, *ranges: GpaRange) -> None:
        """Raises what mapping `ranges` would raise, unless one window is mapped for each."""
        if all(map(_is_one, ranges)):
            return
        for where in ranges:
            for window in _windows(where):
                with self._memory.mapped(self._domid, window, writable=True):
                    pass


def _is_one(where: GpaRange) -> bool:
    return align_down(where.start, WINDOW_BYTES) == align_down(where.end - 1, WINDOW_BYTES)


def _windows(where: GpaRange) -> Iterator[GpaRange]:
    at = int(where.start)
    while at < where.end:
        end = min(align_down(at, WINDOW_BYTES) + WINDOW_BYTES, where.end)
        yield GpaRange.between(at, end)
        at = end
