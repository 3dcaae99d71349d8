"""A plan in small pieces: what lies where, what the BIOS extension does, how it enters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devicemodel.bios_extension.block import (
    Copy,
    E820Collection,
    LongModeEntry,
    ParameterBlock,
    ProtectedModeEntry,
    RealModeEntry,
)
from devicemodel.images.firmware import FirmwarePlan
from devicemodel.place import Plan
from devicemodel.plan import BootPlan
from handoff.addresses import GpaRange
from handoff.firmware import DirectEntry
from handoff.report import PlacedRange, When


def placed(plan: Plan) -> tuple[PlacedRange, ...]:
    """All that lies somewhere at some time, ascending."""
    entries = [placement.described() for placement in plan.placements]
    if isinstance(plan, BootPlan):
        why = "read by the BIOS extension"
        entries.append(PlacedRange("parameter block", plan.block_range, When.NOW, why))
        if plan.rom_staging is not None:
            why = "copied by firmware, or in a ROM window"
            entries.append(PlacedRange("BIOS extension", plan.rom_staging, When.NOW, why))
    return tuple(sorted(entries, key=lambda entry: (entry.range, entry.name)))


def steps(block: ParameterBlock) -> Iterator[dict[str, Any]]:
    """The steps in their order, as JSON has them."""
    for step in block.steps:
        if isinstance(step, Copy):
            yield {"step": "copy", **as_json(step.source), "to": step.to}
        else:
            yield {"step": "zero", **as_json(step.where)}
    if block.e820 is not None:
        yield _collection(block.e820)
    if block.rsdp is not None:
        yield {"step": "rsdp", "to": block.rsdp}


def _collection(e820: E820Collection) -> dict[str, Any]:
    return {
        "step": "e820",
        "to": e820.records,
        "max_records": e820.max_records,
        "record_bytes": e820.format.record_bytes,
        "count_to": e820.count,
    }


def entry_state(plan: Plan) -> tuple[str, dict[str, int]] | None:
    """The mode, `real`, `32`, `64` or `reset`, and the registers that the guest is told in.

    The others are as devicemodel.bios_extension.block has them for each mode. None where a ROM
    of QEMU decides.
    """
    if isinstance(plan, FirmwarePlan):
        start = plan.firmware
        if isinstance(start, DirectEntry):
            return "32", {"eip": start.eip, "ebx": start.ebx}
        return "reset", {}
    if not isinstance(plan, BootPlan):
        return None
    match plan.block.entry:
        case RealModeEntry(cs, ip, ss, sp, ds):
            return "real", {"cs": cs, "ip": ip, "ss": ss, "sp": sp, "ds": ds}
        case ProtectedModeEntry(eip, eax, ebx, esi):
            return "32", {"eip": eip, "eax": eax, "ebx": ebx, "esi": esi}
        case LongModeEntry(rip, rsi, page_tables):
            return "64", {"rip": rip, "rsi": rsi, "cr3": page_tables}


def as_json(where: GpaRange) -> dict[str, int]:
    return {"start": int(where.start), "size": where.size}
