"""Where the protected-mode part, what it takes when it runs, and the ramdisk go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from devicemodel.bios_extension.block import Copy
from devicemodel.guest_map import GuestMap, Space
from devicemodel.images.setup_header import SetupHeader
from devicemodel.images.source import Image, ImageSlice
from devicemodel.plan import Placement
from handoff.addresses import MIB, PAGE, Gpa, GpaRange, align_up
from handoff.errors import DoesNotFit, PlacementError
from handoff.report import When

RELOCATED_BASE = Gpa(2 * MIB)
"""Clear of the firmware that owns 0x100000."""
FIXED_BASE = Gpa(1 * MIB)
"""Where a kernel that cannot be relocated runs, and a zImage unpacks to."""
ZIMAGE_BASE = Gpa(0x10000)
_UNPACK_FACTOR = 4
"""Room kept for a kernel that does not tell (before 2.10), in multiples of its file part."""


@dataclass(frozen=True, slots=True)
class KernelRun:
    """Where the protected-mode part goes and what it takes when it runs."""

    load: GpaRange
    alignment: int | None
    """kernel_alignment to tell the kernel, where the one it prefers has no room"""
    placements: tuple[Placement, ...]
    bev_copy: Copy | None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One way to run the kernel: what is written by whom, and when."""

    load: GpaRange
    alignment: int | None
    now: bool
    """the file part must be in place before firmware runs, or else nothing brings it there"""
    taken: tuple[GpaRange, ...]
    """written by the kernel as it runs: around the file part, and where it unpacks to"""


def place_kernel(
    header: SetupHeader, payload: ImageSlice, guest: GuestMap, space: Space
) -> KernelRun:
    """Takes the kernel's ranges from `space`.

    Raises: DoesNotFit naming the range, what is in the way, and the memory that would do.
    """
    footprint = max(header.init_size or payload.size * _UNPACK_FACTOR, payload.size)
    name = f"kernel (init_size {footprint:#x})"
    ways = tuple(_ways(header, payload.size, footprint))
    for way in ways[:-1]:
        if _refusal(way, guest, name) is None:
            break
    else:
        way = ways[-1]
        refusal = _refusal(way, guest, name)
        if refusal is not None:
            raise refusal
    for where in way.taken:
        space.take(where)
    unpacks = way.taken[-1]
    known = unpacks.start == header.pref_address
    why = f"runs from {unpacks.start:#x}: " + ("pref_address" if known else _unnamed(header))
    kept = Placement("unpacked kernel", unpacks, None, When.RUN, why)
    busy = guest.conflict(way.load, at_bev=False)
    if busy is None:
        reason = "relocatable: code32_start" if way.now else "fixed address"
        final = Placement("kernel", way.load, payload, When.NOW, reason)
        return KernelRun(way.load, way.alignment, (final, kept), None)
    waits = space.lowest(
        payload.size, PAGE, guest.staging, f"kernel that waits for {way.load.start:#x}"
    )
    staged = Placement("kernel", waits, payload, When.NOW, f"waits: {busy}")
    reason = "zImage" if header.is_zimage else "not relocatable"
    final = Placement("kernel", way.load, payload, When.BEV, reason)
    copy = Copy(waits, way.load.start)
    return KernelRun(way.load, way.alignment, (staged, final, kept), copy)


def _ways(header: SetupHeader, size: int, footprint: int) -> Iterator[_Wanted]:
    """The way the kernel likes best first."""
    if not header.relocatable:
        load = GpaRange(ZIMAGE_BASE if header.is_zimage else FIXED_BASE, size)
        around = load if header.is_zimage else GpaRange(load.start, footprint)
        unpacks = GpaRange(Gpa(header.pref_address or FIXED_BASE), footprint)
        yield _Wanted(load, None, False, (around, unpacks))
        return
    least = 1 << min(header.min_alignment, 32)
    both = (header.kernel_alignment, least) if 1 < least < header.kernel_alignment else None
    for alignment in both or (header.kernel_alignment,):
        load = GpaRange(Gpa(align_up(RELOCATED_BASE, alignment)), size)
        start = max(load.start, header.pref_address or 0)
        changed = alignment if alignment != header.kernel_alignment else None
        taken = (GpaRange(load.start, footprint), GpaRange(Gpa(start), footprint))
        yield _Wanted(load, changed, True, taken)


def _refusal(way: _Wanted, guest: GuestMap, name: str) -> DoesNotFit | None:
    # The one that needs more memory first, so that its refusal says how much is enough.
    for where in sorted(way.taken, reverse=True):
        refusal = guest.unavailable(where, name, at_bev=True)
        if refusal is not None:
            return refusal
    return guest.unavailable(way.load, "kernel", at_bev=False) if way.now else None


def _unnamed(header: SetupHeader) -> str:
    return "where a zImage unpacks to" if header.is_zimage else "its load address"


def place_ramdisk(ramdisk: Image | None, header: SetupHeader, space: Space) -> Placement | None:
    """The highest place the kernel can read it from. Raises: PlacementError."""
    if ramdisk is None:
        return None
    window = space.guest.staging
    top = min(window.end, header.ramdisk_limit)
    if top <= window.start:
        raise PlacementError(
            f"ramdisk must end at initrd_addr_max {header.initrd_addr_max:#x}, "
            f"below all staging {window}: this kernel cannot take a ramdisk"
        )
    within = GpaRange.between(window.start, top)
    where = space.highest(ramdisk.size, PAGE, within, "ramdisk")
    reason = "highest free below " + ("firmware's zone" if top == window.end else "initrd_addr_max")
    return Placement("ramdisk", where, ramdisk.whole(), When.NOW, reason)
