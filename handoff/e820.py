"""The guest's memory map: sorted, disjoint, and the one place that knows where RAM ends.

Source: ACPI specification, int 15h E820; Linux x86 boot protocol (boot_params.e820_table).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from handoff.addresses import FOUR_GIB, Gpa, GpaRange, first_overlap


class E820Type(IntEnum):
    RAM = 1
    RESERVED = 2
    ACPI = 3
    NVS = 4
    UNUSABLE = 5
    PMEM = 7


@dataclass(frozen=True, slots=True, order=True)
class E820Entry:
    range: GpaRange
    type: E820Type

    def __str__(self) -> str:
        return f"{self.range} {self.type.name.lower()}"


@dataclass(frozen=True, slots=True)
class E820Map:
    """Entries ascending and disjoint, at least one of them RAM below 4 GiB."""

    entries: tuple[E820Entry, ...]

    def __post_init__(self) -> None:
        if list(self.entries) != sorted(self.entries, key=lambda entry: entry.range.start):
            raise ValueError("e820 entries are not in ascending order")
        both = first_overlap(entry.range for entry in self.entries)
        if both is not None:
            raise ValueError(f"e820 entries {both[0]} and {both[1]} overlap")
        if not any(entry.range.start < FOUR_GIB for entry in self.entries if is_ram(entry)):
            raise ValueError("e820 has no RAM below 4 GiB")

    @classmethod
    def of(cls, entries: Iterable[E820Entry]) -> E820Map:
        """A map of `entries` in any order. Raises: ValueError if two overlap."""
        return cls(tuple(sorted(entries)))

    def ram(self) -> tuple[GpaRange, ...]:
        """All RAM, ascending."""
        return tuple(entry.range for entry in self.entries if is_ram(entry))

    def ram_bytes(self) -> int:
        """What a PC of this map was given as RAM: all from 0 to the end of low RAM, the window
        and the ROMs below 1 MiB included, and all above 4 GiB."""
        above = sum(ram.size for ram in self.ram() if ram.start >= FOUR_GIB)
        return self.low_ram_end() + above

    def low_ram_end(self) -> Gpa:
        """T: end of the last RAM range below 4 GiB, 4 GiB itself if it runs on above."""
        return Gpa(max(min(ram.end, FOUR_GIB) for ram in self.ram() if ram.start < FOUR_GIB))


def is_ram(entry: E820Entry) -> bool:
    return entry.type is E820Type.RAM
