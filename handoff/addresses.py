"""Guest physical addresses and ranges; all address arithmetic of the project is here.

`Gpa` is a NewType, so `gpa + 4096` is a plain int that mypy refuses where an address is
wanted: every step goes through a function below, which checks it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

Gpa = NewType("Gpa", int)
"""Guest physical address, bytes."""

PAGE = 0x1000
KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
FOUR_GIB = Gpa(4 * GIB)
GPA_LIMIT = 1 << 52
"""First address beyond what x86-64 can name (52 physical address bits)."""


class AddressError(ValueError):
    """An address or range outside [0, 2^52), or an empty range. Callers at a trust border
    turn it into their own error, which names the field."""


def gpa(value: int) -> Gpa:
    """`value` as an address. Raises: AddressError outside [0, 2^52)."""
    if not 0 <= value < GPA_LIMIT:
        raise AddressError(f"{value:#x} is not a guest physical address below {GPA_LIMIT:#x}")
    return Gpa(value)


def is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def align_up(value: int, alignment: int) -> int:
    """Least multiple of `alignment` (a power of two, bytes) at or above `value`."""
    assert is_power_of_two(alignment), alignment
    return (value + alignment - 1) & -alignment


def align_down(value: int, alignment: int) -> int:
    """Greatest multiple of `alignment` (a power of two, bytes) at or below `value`."""
    assert is_power_of_two(alignment), alignment
    return value & -alignment


def size_text(size: int) -> str:
    """`size` bytes for a person: `13.5 MiB`."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{size} B"


@dataclass(frozen=True, slots=True, order=True)
class GpaRange:
    """Half-open [start, end) of guest physical addresses; never empty."""

    start: Gpa
    size: int
    """bytes, at least 1"""

    def __post_init__(self) -> None:
        if self.size < 1 or self.start < 0 or self.start + self.size > GPA_LIMIT:
            raise AddressError(
                f"{self.size:#x} bytes at {self.start:#x} is not a range below {GPA_LIMIT:#x}"
            )

    @classmethod
    def between(cls, start: int, end: int) -> GpaRange:
        """[start, end). Raises: AddressError if empty or out of bounds."""
        return cls(Gpa(start), end - start)

    @property
    def end(self) -> int:
        """First address behind the range; may be GPA_LIMIT, so a plain int."""
        return self.start + self.size

    def __str__(self) -> str:
        return f"[{self.start:#x}, {self.end:#x})"

    def overlaps(self, other: GpaRange) -> bool:
        return self.start < other.end and other.start < self.end

    def contains(self, other: GpaRange) -> bool:
        return self.start <= other.start and other.end <= self.end

    def moved(self, up: int) -> GpaRange:
        """The range `up` bytes higher. Raises: AddressError beyond the last address."""
        return GpaRange(Gpa(self.start + up), self.size)

    def minus(self, others: Iterable[GpaRange]) -> tuple[GpaRange, ...]:
        """What is left of this range without `others`, ascending."""
        left: list[GpaRange] = []
        at = int(self.start)
        for other in sorted(others):
            if other.end <= at or other.start >= self.end:
                continue
            if other.start > at:
                left.append(GpaRange.between(at, other.start))
            at = max(at, other.end)
        if at < self.end:
            left.append(GpaRange.between(at, self.end))
        return tuple(left)

    def pages_inside(self) -> GpaRange | None:
        """The whole pages of the range, None if it holds not one."""
        start, end = align_up(self.start, PAGE), align_down(self.end, PAGE)
        return GpaRange.between(start, end) if start < end else None


def first_overlap(ranges: Iterable[GpaRange]) -> tuple[GpaRange, GpaRange] | None:
    """Two of `ranges` that share a byte, or None."""
    last: GpaRange | None = None
    for here in sorted(ranges):
        if last is not None and last.overlaps(here):
            return last, here
        last = here
    return None
