"""Stage 5: the BIOS extension and its parameter block, where firmware will come to them."""

from __future__ import annotations

from dataclasses import dataclass

from blake3 import blake3

from devicemodel.bios_extension.block_codec import encode
from devicemodel.bios_extension.rom import CHECKSUM_AT, NAME_AT, rom_image
from devicemodel.fw_cfg.plan import FwCfgPlan
from devicemodel.images.firmware import FirmwarePlan
from devicemodel.move import Landed, Moved, check_landed
from handoff.addresses import Gpa, GpaRange, align_up
from handoff.descriptor import Descriptor, Insert
from handoff.errors import PlacementError
from handoff.guest_ram import GuestRam
from handoff.platforms import ROM_WINDOW_STEP

_HEAD_BYTES = 0x1C
_ALWAYS_THE_SAME = (slice(0, CHECKSUM_AT), slice(NAME_AT, _HEAD_BYTES))


@dataclass(frozen=True, slots=True)
class Inserted:
    moved: Moved
    rom: GpaRange | None
    """in its slot of the window, or in staging where firmware gets a copy; None: firmware has it
    already, or the plan has firmware that needs none"""
    landed: tuple[Landed, ...]
    """all that must be unchanged when the guest is let go"""


def insert(moved: Moved, ram: GuestRam) -> Inserted:
    """Writes ROM and parameter block, and reads both back.

    Raises: PlacementError if the window is full, DigestMismatch if it takes no writes.
    """
    plan = moved.placed.plan
    descriptor = moved.placed.verified.found.descriptor
    if isinstance(plan, FirmwarePlan):
        return Inserted(moved, None, moved.landed)
    if isinstance(plan, FwCfgPlan):
        # It is told nothing: what it needs, it asks fw_cfg for.
        slot = free_slot(descriptor, plan.rom, ram)
        landed = _write("option ROM", slot.start, plan.rom, ram)
        return Inserted(moved, slot, (*moved.landed, landed))
    # The whole page: what the plan names is then the same however the images came here.
    block = encode(plan.block).ljust(plan.block_range.size, b"\0")
    told = _write("parameter block", plan.block_range.start, block, ram)
    if plan.rom_staging is None:
        return Inserted(moved, None, (*moved.landed, told))
    rom = rom_image(plan.block_range.start)
    if descriptor.insert is Insert.WINDOW:
        slot = free_slot(descriptor, rom, ram)
    else:
        slot = GpaRange(plan.rom_staging.start, len(rom))
    written = _write("BIOS extension", slot.start, rom, ram)
    return Inserted(moved, slot, (*moved.landed, told, written))


def _write(name: str, at: Gpa, data: bytes, ram: GuestRam) -> Landed:
    """Raises: DigestMismatch if it does not read back."""
    ram.write(at, data)
    landed = Landed(name, GpaRange(at, len(data)), blake3(data).digest())
    check_landed(landed, ram)
    return landed


def _same(head: bytes, rom: bytes) -> bool:
    """Whether a ROM that begins so is `rom`, but for its checksum and where its block lies."""
    return all(head[field] == rom[field] for field in _ALWAYS_THE_SAME)


def free_slot(descriptor: Descriptor, rom: bytes, ram: GuestRam) -> GpaRange:
    """The first place for `rom` in the ROM window that no other option ROM lies in.

    An earlier attempt may have left this ROM, or its beginning: it is replaced. Behind it,
    firmware would enter the old one, which nobody digests any more.
    Source: BIOS boot specification: ROMs start on 2 KiB boundaries with 55 AA and tell their
    length in units of 512 bytes.
    """
    window, size = descriptor.rom_window, len(rom)
    start = at = align_up(window.start, ROM_WINDOW_STEP)
    while start + size <= window.end:
        if at >= start + size:
            return GpaRange(Gpa(start), size)
        head = ram.read(GpaRange(Gpa(at), _HEAD_BYTES))
        if head[:2] == b"\x55\xaa" and not _same(head, rom):
            start = at = align_up(at + max(head[2] * 512, 1), ROM_WINDOW_STEP)
        else:
            at += ROM_WINDOW_STEP
    raise PlacementError(
        f"BIOS extension needs {size:#x} bytes of the option-ROM window {window}, "
        "which is full: take an option ROM away"
    )
