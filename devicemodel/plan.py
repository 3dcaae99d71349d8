"""What a boot method wants in guest RAM: a value, the same for native and handoff."""

from __future__ import annotations

from dataclasses import dataclass, replace

from devicemodel.bios_extension.block import KNOWN_BLOCK, ParameterBlock
from devicemodel.images.source import ImageSlice
from handoff.addresses import GpaRange, first_overlap
from handoff.report import PlacedRange, When


@dataclass(frozen=True, slots=True)
class Zeros:
    """As many zeros as the range has bytes: made where they go, not carried there."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A range of guest RAM and what has to be in it."""

    name: str
    range: GpaRange
    content: ImageSlice | bytes | memoryview | Zeros | None
    """bytes of an image, bytes made here (a view where they are many), or None for a range that
    is only kept free"""
    when: When
    reason: str

    def described(self) -> PlacedRange:
        """The same for the report."""
        return PlacedRange(self.name, self.range, self.when, self.reason)


@dataclass(frozen=True, slots=True)
class BootPlan:
    """Placements and the parameter block that makes a kernel of them.

    The ranges that must hold bytes before the guest starts (When.NOW) are disjoint.
    """

    method: str
    placements: tuple[Placement, ...]
    block: ParameterBlock
    block_range: GpaRange
    """where the parameter block waits for the BIOS extension"""
    rom_staging: GpaRange | None
    """where the BIOS extension lies if firmware gets it as a file; None: it has it already"""

    @property
    def kept(self) -> tuple[GpaRange, ...]:
        """What is used beside the placements."""
        rom = () if self.rom_staging is None else (self.rom_staging,)
        return (self.block_range, *rom)

    def for_fixed_rom(self) -> BootPlan:
        """The same for a ROM that firmware has already, and that cannot be told where to look."""
        return replace(self, block_range=KNOWN_BLOCK, rom_staging=None)

    def __post_init__(self) -> None:
        waiting = [p.range for p in self.placements if p.when is When.NOW]
        both = first_overlap((*waiting, *self.kept))
        assert both is None, f"the plan puts two things at {both}"
