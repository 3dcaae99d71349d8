"""What firmware and hypervisor own on each platform, as data.

Sources: Xen's hvmloader and libxc HVM domain builder (special pages, hvmloader at 1 MiB);
SeaBIOS (zones it clears before it boots, its allocations below the end of low RAM); QEMU pc.
The ranges were checked by comparing all of RAM against a poisoned image at BEV time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from handoff.addresses import FOUR_GIB, GIB, MIB, Gpa, GpaRange
from handoff.e820 import E820Entry, E820Map, E820Type


class Until(Enum):
    """How long a reserved range belongs to somebody else."""

    BEV = "bev"
    """firmware uses it before it enters the BIOS extension; the extension may fill it"""
    ALWAYS = "always"
    """nothing of the guest's boot images may ever lie there"""


@dataclass(frozen=True, slots=True, order=True)
class Reservation:
    range: GpaRange
    owner: str
    """who uses it, a few words for the reason of a refusal"""
    until: Until


class Platform(Enum):
    XEN_HVM = "xen-hvm"
    QEMU_PC = "qemu-pc"


LOW_MEMORY_FREE_AT_BEV = GpaRange.between(0x7000, 0x90000)
"""What SeaBIOS zeroes right before int 19h: the BIOS extension copies into it at BEV."""

TOP_ZONE_BYTES = 32 * MIB
"""Below the end of low RAM: SeaBIOS's init code, stacks and temporary allocations."""
TOP_KEPT_BYTES = 1 * MIB
"""Of that zone, the part that holds ACPI tables and what hvmloader takes."""

OPTION_ROM_AREA = GpaRange.between(0xC0000, 0xE8000)
"""Where firmware looks for option ROMs at all."""
ROM_WINDOW = GpaRange.between(0xC8000, 0xE0000)
"""Where an inserted ROM may lie, on a 2 KiB boundary; below it is the VGA ROM's place."""
ROM_WINDOW_STEP = 0x800

MEMORY_MIN_BYTES = 64 * MIB
"""Least guest memory: SeaBIOS's zone leaves [2 MiB, 32 MiB) for staging."""


def _fixed(platform: Platform) -> tuple[Reservation, ...]:
    low = (
        Reservation(GpaRange.between(0, 0x7000), "interrupt vectors, BIOS data", Until.ALWAYS),
        Reservation(LOW_MEMORY_FREE_AT_BEV, "firmware scratch, zeroed at int 19h", Until.BEV),
        Reservation(GpaRange.between(0x90000, 0x9F000), "memory below the EBDA", Until.BEV),
        Reservation(GpaRange.between(0x9F000, 0x100000), "EBDA, VGA, option ROMs", Until.ALWAYS),
    )
    if platform is Platform.QEMU_PC:
        return low
    return (
        *low,
        Reservation(GpaRange.between(1 * MIB, 2 * MIB), "hvmloader and its modules", Until.BEV),
    )


def reservations(platform: Platform, e820: E820Map) -> tuple[Reservation, ...]:
    """What is taken on `platform` in a guest with this map, ascending and disjoint."""
    low_end = e820.low_ram_end()
    top = (
        Reservation(
            GpaRange.between(low_end - TOP_ZONE_BYTES, low_end - TOP_KEPT_BYTES),
            "firmware's temporary zone",
            Until.BEV,
        ),
        Reservation(
            GpaRange.between(low_end - TOP_KEPT_BYTES, low_end),
            "firmware's tables",
            Until.ALWAYS,
        ),
    )
    return tuple(sorted((*_fixed(platform), *top)))


def low_ram_limit(platform: Platform, memory_bytes: int) -> Gpa:
    """Where RAM below 4 GiB must end: the start of the MMIO hole.

    Xen HVM: 0xf0000000. QEMU pc: all low below 3.5 GiB, else split at 3 GiB.
    """
    if platform is Platform.XEN_HVM:
        return Gpa(0xF0000000)
    return Gpa(0xE0000000) if memory_bytes < 0xE0000000 else Gpa(3 * GIB)


def memory_map(memory_bytes: int, low_limit: Gpa) -> E820Map:
    """The map a PC firmware gives for `memory_bytes` of RAM split at `low_limit`.

    [0xf0000, 0x100000) is the BIOS; [0x9fc00, 0xa0000) the EBDA.
    """
    low_end = min(memory_bytes, low_limit)
    entries = [
        _entry(0, 0x9FC00, E820Type.RAM),
        _entry(0x9FC00, 0xA0000, E820Type.RESERVED),
        _entry(0xF0000, 0x100000, E820Type.RESERVED),
        _entry(0x100000, low_end, E820Type.RAM),
        _entry(0xFC000000, FOUR_GIB, E820Type.RESERVED),
    ]
    if memory_bytes > low_end:
        entries.append(_entry(FOUR_GIB, FOUR_GIB + memory_bytes - low_end, E820Type.RAM))
    return E820Map.of(entries)


def _entry(start: int, end: int, type_: E820Type) -> E820Entry:
    return E820Entry(GpaRange.between(start, end), type_)


def staging_window(e820: E820Map) -> GpaRange:
    """Where images may wait while firmware runs: [2 MiB, T - 32 MiB)."""
    return GpaRange.between(2 * MIB, e820.low_ram_end() - TOP_ZONE_BYTES)


def ranges(reserved: Iterable[Reservation], until: Until | None = None) -> tuple[GpaRange, ...]:
    """The ranges of `reserved`, of one kind or of all."""
    return tuple(entry.range for entry in reserved if until is None or entry.until is until)
