"""Guest RAM in which bytes change while the device model works: at a chosen step, for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from handoff.addresses import Gpa, GpaRange
from handoff.guest_ram import GuestRam, Readable

T = TypeVar("T")


class Lasts(Enum):
    FOR_GOOD = "for good"
    ONE_STEP = "one step"
    """the old bytes are back after the operation: only it has seen the others"""


@dataclass(frozen=True, slots=True)
class Change:
    """One byte is turned round right before operation `step`."""

    step: int
    at: Gpa
    lasts: Lasts


@dataclass(slots=True)
class TamperedRam:
    """A GuestRam that makes `change`, and remembers what was done to it."""

    ram: GuestRam
    change: Change | None = None
    step: int = 0
    """operations so far"""
    touched: list[GpaRange] = field(default_factory=list)
    """ranges that are not as they were"""
    digested: list[tuple[int, GpaRange]] = field(default_factory=list)
    """step and range of each digest"""

    def _do(self, act: Callable[[], T]) -> T:
        change = self.change
        due = change is not None and change.step == self.step
        self.step += 1
        if change is None or not due:
            return act()
        byte = GpaRange(change.at, 1)
        self.touched.append(byte)
        before = self.ram.read(byte)
        self.ram.write(change.at, bytes([before[0] ^ 0xFF]))
        result = act()
        if change.lasts is Lasts.ONE_STEP:
            self.ram.write(change.at, before)
        return result

    def read(self, where: GpaRange) -> bytes:
        return self._do(lambda: self.ram.read(where))

    def write(self, at: Gpa, data: Readable) -> None:
        self._do(lambda: self.ram.write(at, data))
        if len(data):
            self.touched.append(GpaRange(at, len(data)))

    def move(self, source: GpaRange, to: Gpa) -> None:
        self._do(lambda: self.ram.move(source, to))
        self.touched.append(GpaRange(to, source.size))

    def fill(self, where: GpaRange, byte: int) -> None:
        self._do(lambda: self.ram.fill(where, byte))
        self.touched.append(where)

    def digest(self, where: GpaRange, prefix: bytes = b"") -> bytes:
        self.digested.append((self.step, where))
        return self._do(lambda: self.ram.digest(where, prefix))

    def release(self, where: GpaRange) -> None:
        self._do(lambda: self.ram.release(where))
        self.touched.append(where)

    def last_digest(self, at: Gpa) -> int:
        """The step that digested the byte at `at` for the last time, -1 if none did."""
        return max(
            (step for step, where in self.digested if where.contains(GpaRange(at, 1))), default=-1
        )
