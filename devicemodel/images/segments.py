"""The segments of a kernel at their own addresses, as far as firmware has let go of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from devicemodel.bios_extension.block import Copy, Step, Zero
from devicemodel.guest_map import GuestMap, Space
from devicemodel.images.elf import Segment, footprint
from devicemodel.plan import Placement, Zeros
from handoff.addresses import PAGE, Gpa, GpaRange
from handoff.report import When


@dataclass(frozen=True, slots=True)
class PlacedSegments:
    placements: tuple[Placement, ...]
    steps: tuple[Step, ...]
    """of the BIOS extension: what waits is copied, then every BSS is zeroed"""


def require_segments(segments: Sequence[Segment], guest: GuestMap) -> None:
    """Raises: DoesNotFit naming what is in the way of one of them, once firmware is done."""
    # The one that needs most memory first, so that its refusal says how much is enough.
    for segment in reversed(segments):
        guest.require(segment.range, f"kernel segment (p_paddr {segment.range.start:#x})")


def place_segments(segments: Sequence[Segment], guest: GuestMap, space: Space) -> PlacedSegments:
    """Takes the whole footprint from `space`, gaps included: kernels use them as their own.

    Raises: DoesNotFit, PlacementError.
    """
    require_segments(segments, guest)
    whole = space.take(footprint(segments))
    placements: list[Placement] = []
    copies: list[Step] = []
    zeros: list[Step] = []
    for segment in segments:
        size = len(segment.content)
        if size:
            place = GpaRange(segment.range.start, size)
            busy = guest.conflict(place, at_bev=False)
            if busy is None:
                placements.append(_part(place, segment, When.NOW, "its own address"))
            else:
                waits = space.lowest(
                    size, PAGE, guest.staging, f"kernel segment that waits (footprint {whole})"
                )
                placements.append(_part(waits, segment, When.NOW, f"waits: {busy}"))
                placements.append(_part(place, segment, When.BEV, "its own address"))
                copies.append(Copy(waits, place.start))
        if size < segment.range.size:
            bss = GpaRange.between(segment.range.start + size, segment.range.end)
            reason = "zeroed by the BIOS extension"
            placements.append(Placement("kernel BSS", bss, None, When.BEV, reason))
            zeros.append(Zero(bss))
    return PlacedSegments(tuple(placements), (*copies, *zeros))


def loaded(segment: Segment, name: str) -> Iterator[Placement]:
    """The segment's bytes and the zeros behind them, both before the guest starts: for what
    nothing but the device model clears a BSS for."""
    size = len(segment.content)
    if size:
        place = GpaRange(segment.range.start, size)
        yield Placement(name, place, segment.content, When.NOW, "its own address")
    if size < segment.range.size:
        bss = GpaRange.between(segment.range.start + size, segment.range.end)
        yield Placement(f"{name} BSS", bss, Zeros(), When.NOW, "zeroed")


def moved(segments: Sequence[Segment], to: Gpa) -> tuple[Segment, ...]:
    """The same with the footprint's start at `to`."""
    up = to - footprint(segments).start
    return tuple(replace(segment, range=segment.range.moved(up)) for segment in segments)


def _part(where: GpaRange, segment: Segment, when: When, reason: str) -> Placement:
    return Placement("kernel", where, segment.content, when, reason)
