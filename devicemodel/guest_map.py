"""Free room in the guest's memory map, with the reason for whatever is not free."""

from __future__ import annotations

from dataclasses import dataclass, replace

from handoff.addresses import FOUR_GIB, MIB, PAGE, Gpa, GpaRange, align_down, align_up
from handoff.e820 import E820Entry, E820Map
from handoff.errors import DoesNotFit
from handoff.platforms import TOP_KEPT_BYTES, Reservation, Until, ranges, staging_window


@dataclass(frozen=True, slots=True)
class GuestMap:
    """The map a boot method places into."""

    e820: E820Map
    reserved: tuple[Reservation, ...]

    @property
    def low_ram_end(self) -> Gpa:
        return self.e820.low_ram_end()

    @property
    def staging(self) -> GpaRange:
        """Where things may wait while firmware runs."""
        return staging_window(self.e820)

    @property
    def room_to_grow(self) -> int:
        """Bytes by which low RAM could end higher before it meets something."""
        end = self.low_ram_end
        above = [entry.range.start for entry in self.e820.entries if entry.range.start >= end]
        return min([*above, FOUR_GIB]) - end

    def grown(self, more: int) -> GuestMap:
        """The map if low RAM ended `more` bytes higher, and what firmware keeps there with it.

        more: at most room_to_grow.
        """
        end = self.low_ram_end
        entries = []
        for entry in self.e820.entries:
            size = entry.range.size + (more if entry.range.end == end else 0)
            entries.append(E820Entry(GpaRange(entry.range.start, size), entry.type))
        top = self.staging.end
        reserved = []
        for kept in self.reserved:
            up = more if top <= kept.range.start < end else 0
            reserved.append(replace(kept, range=kept.range.moved(up)))
        return GuestMap(E820Map(tuple(entries)), tuple(reserved))

    def conflict(self, where: GpaRange, *, at_bev: bool) -> str | None:
        """Why `where` cannot be used, None if it can.

        at_bev: it is filled by the BIOS extension or the kernel, when firmware has let go
        of what it holds only until then.
        """
        if not any(ram.contains(where) for ram in self.e820.ram()):
            return f"it is not RAM (low RAM ends at {self.low_ram_end:#x})"
        for entry in self.reserved:
            if at_bev and entry.until is Until.BEV:
                continue
            if entry.range.overlaps(where):
                return f"{entry.range} belongs to {entry.owner}"
        return None

    def unavailable(self, where: GpaRange, name: str, *, at_bev: bool) -> DoesNotFit | None:
        """The refusal of `name` if `where` cannot be used, as for `conflict`; None if it can."""
        conflict = self.conflict(where, at_bev=at_bev)
        if conflict is None:
            return None
        remedy = "it cannot run on this platform"
        limit = self.low_ram_end - TOP_KEPT_BYTES if at_bev else self.staging.end
        if where.end > limit:
            missing = align_up(where.end - limit, MIB) // MIB
            remedy = f"give the guest at least {missing} MiB more memory"
        return DoesNotFit(f"{name} needs {where}, but {conflict}", remedy)

    def require(self, where: GpaRange, name: str) -> None:
        """Raises: DoesNotFit if `where` cannot be used once firmware is done."""
        refusal = self.unavailable(where, name, at_bev=True)
        if refusal is not None:
            raise refusal


class Space:
    """What is still free while one plan is made; each claim takes a piece away."""

    def __init__(self, guest: GuestMap) -> None:
        self.guest = guest
        self._taken: list[GpaRange] = []

    @property
    def taken(self) -> tuple[GpaRange, ...]:
        return tuple(self._taken)

    def take(self, where: GpaRange) -> GpaRange:
        """Marks `where` as used; it may overlap what is taken already."""
        self._taken.append(where)
        return where

    def free(self, within: GpaRange) -> tuple[GpaRange, ...]:
        """What of `within` is RAM, not reserved and not taken, ascending."""
        used = [*ranges(self.guest.reserved), *self._taken]
        pieces: list[GpaRange] = []
        for ram in self.guest.e820.ram():
            if ram.overlaps(within):
                both = GpaRange.between(max(ram.start, within.start), min(ram.end, within.end))
                pieces.extend(both.minus(used))
        return tuple(pieces)

    def highest(self, size: int, align: int, within: GpaRange, name: str) -> GpaRange:
        """Takes the highest free `size` bytes of `within` on a multiple of `align`.

        Raises: DoesNotFit with the largest hole and how much more memory would do.
        """
        for hole in reversed(self.free(within)):
            start = align_down(hole.end - size, align)
            if start >= hole.start:
                return self.take(GpaRange(Gpa(start), size))
        raise self._no_room(name, size, align, within)

    def lowest(self, size: int, align: int, within: GpaRange, name: str) -> GpaRange:
        """Takes the lowest free `size` bytes, else as `highest`."""
        for hole in self.free(within):
            start = align_up(hole.start, align)
            if start + size <= hole.end:
                return self.take(GpaRange(Gpa(start), size))
        raise self._no_room(name, size, align, within)

    def small(self, size: int, name: str) -> GpaRange:
        """Takes whole pages at the top of staging. Raises: DoesNotFit."""
        return self.highest(size, PAGE, self.guest.staging, name)

    def _no_room(self, name: str, size: int, align: int, within: GpaRange) -> DoesNotFit:
        """The refusal of what fits nowhere in `within`."""
        largest = max(self.free(within), key=lambda hole: hole.size, default=None)
        have = (
            "none is free"
            if largest is None
            else f"the largest hole is {largest.size:#x} bytes at {largest.start:#x}"
        )
        if within.end < self.guest.staging.end:
            remedy = "more memory would not help"
        else:
            # More memory is free from the end of what is taken up to the new end of `within`.
            edge = max((where.end for where in self._taken), default=int(within.start))
            missing = align_up(edge + size + align - within.end, MIB) // MIB
            remedy = f"give the guest at least {missing} MiB more memory"
        return DoesNotFit(f"{name} needs {size:#x} bytes within {within}, {have}", remedy)
