"""What a boot through QEMU's option ROMs wants: sources that wait, and where the ROM takes them.

The ROM pulls every byte through fw_cfg when firmware enters it, so nothing lies at its final
place before. In turn nothing that the ROM writes may lie on a source it has still to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from devicemodel.fw_cfg.blob import Blob
from devicemodel.plan import Placement
from handoff.addresses import GpaRange
from handoff.errors import PlacementError


@dataclass(frozen=True, slots=True)
class Target:
    """A range that the ROM fills, and with what."""

    name: str
    range: GpaRange


@dataclass(frozen=True, slots=True)
class FwCfgPlan:
    """Placements, the items of the device, and the ROM that reads them."""

    method: str
    placements: tuple[Placement, ...]
    items: Mapping[int, Blob]
    """of the boot method, by selector"""
    rom: bytes
    """QEMU's option ROM, unmodified"""

    @property
    def kept(self) -> tuple[GpaRange, ...]:
        """What is used beside the placements: nothing."""
        return ()


def check_targets(targets: Iterable[Target], items: Mapping[int, Blob]) -> None:
    """Nothing. Raises: PlacementError naming both ranges where a target lies on a source.

    In which order a ROM reads its items is its own affair, so no order is counted on: a target
    must be clear of every source, its own included.
    """
    sources = [where for blob in items.values() for where in blob.sources]
    for target in targets:
        for source in sources:
            if target.range.overlaps(source):
                raise PlacementError(
                    f"the option ROM would write the {target.name} to {target.range}, over the "
                    f"source {source} that it has still to read: stage that elsewhere"
                )
