"""Stage 6: everything is digested once more; after this the guest may run."""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.fw_cfg.plan import FwCfgPlan
from devicemodel.images.firmware import FirmwarePlan
from devicemodel.insert import Inserted
from devicemodel.move import check_landed
from handoff.guest_ram import GuestRam
from handoff.report import PlacedRange, Report, When


@dataclass(frozen=True, slots=True)
class Ready:
    inserted: Inserted


def ready(inserted: Inserted, ram: GuestRam) -> Ready:
    """Raises: DigestMismatch for whatever changed since it was put in place."""
    for landed in inserted.landed:
        check_landed(landed, ram)
    return Ready(inserted)


def report(inserted: Inserted) -> Report:
    """What was done, for the toolstack."""
    moved = inserted.moved
    plan = moved.placed.plan
    placements = [placement.described() for placement in plan.placements]
    firmware = None
    if isinstance(plan, FirmwarePlan):
        firmware = plan.firmware
    elif isinstance(plan, FwCfgPlan):
        assert inserted.rom is not None
        placements.append(PlacedRange("option ROM", inserted.rom, When.NOW, "QEMU's, unmodified"))
    else:
        placements.append(
            PlacedRange("parameter block", plan.block_range, When.NOW, "read by the BIOS extension")
        )
        if inserted.rom is not None:
            placements.append(
                PlacedRange("BIOS extension", inserted.rom, When.NOW, "option ROM with BEV")
            )
    return Report(
        plan.method,
        tuple(sorted(placements, key=lambda placed: (placed.range.start, placed.name))),
        moved.moves,
        inserted.rom,
        moved.released_bytes,
        firmware,
    )
