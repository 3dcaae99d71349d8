"""A kernel started directly by its PHYS32_ENTRY note, as Xen's domain builder starts PVH guests.

What a bzImage would unpack itself is unpacked here: no code of the image runs before its kernel.
Sources: docs/misc/pvh.pandoc and xen/include/public/elfnote.h in Xen.
"""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.bios_extension.block import (
    BLOCK_MAX_BYTES,
    ParameterBlock,
    ProtectedModeEntry,
)
from devicemodel.guest_map import GuestMap, Space
from devicemodel.images.elf import ElfFile, Segment, footprint
from devicemodel.images.elf_notes import Relocation, read_xen_notes
from devicemodel.images.modules import place_modules
from devicemodel.images.segments import moved, place_segments, require_segments
from devicemodel.images.source import Sources
from devicemodel.images.start_info import (
    Module,
    memory_map_of,
    rsdp_of,
    start_info,
    start_info_bytes,
)
from devicemodel.plan import BootPlan, Placement
from handoff.addresses import Gpa, GpaRange
from handoff.errors import DoesNotFit, LayoutError
from handoff.report import When


@dataclass(frozen=True, slots=True)
class PvhKernel:
    """An ELF with the note; its segments are views of one private copy."""

    elf: ElfFile
    entry: Gpa
    relocation: Relocation | None
    digest: bytes
    """BLAKE3 of the image's bytes that were parsed"""
    packed: str
    """what the ELF was found in, ` (gzip)`; empty if it is the image itself"""


def pvh_kernel(elf: ElfFile, digest: bytes, packed: str) -> PvhKernel | None:
    """The kernel, None if it has no PHYS32_ENTRY note. Raises: LayoutError for a bad one."""
    notes = read_xen_notes(elf)
    if notes.phys32_entry is None:
        return None
    return PvhKernel(elf, Gpa(notes.phys32_entry), notes.relocation, digest, packed)


def without_note() -> LayoutError:
    """The refusal of an ELF that cannot be entered directly."""
    return LayoutError(
        "kernel ELF notes",
        0,
        "without PHYS32_ENTRY (Xen, type 18)",
        "that note is where a kernel is entered directly: build it with CONFIG_PVH, or choose "
        "another --boot",
    )


def plan_pvh(kernel: PvhKernel, sources: Sources, guest: GuestMap, rom_bytes: int) -> BootPlan:
    """Where everything goes, and what the BIOS extension has to do. Raises: PlacementError."""
    space = Space(guest)
    segments, up = _final_segments(kernel, guest)
    placed = place_segments(segments, guest, space)
    modules = place_modules(sources.modules, space)
    lines = [image.arguments for image in sources.modules]
    info_size = start_info_bytes(sources.cmdline, lines)
    at = space.small(info_size, "start info").start
    listed = [Module(p.range, line) for p, line in zip(modules, lines, strict=True)]
    info = start_info(at, sources.cmdline, listed)
    assert len(info) == info_size
    reason = "hvm_start_info, module list, memory map, command lines"
    return BootPlan(
        method=f"pvh, ELF{kernel.elf.bits}{kernel.packed}",
        placements=(
            *placed.placements,
            *modules,
            Placement("start info", GpaRange(at, info_size), info, When.NOW, reason),
        ),
        block=ParameterBlock(
            entry=ProtectedModeEntry(Gpa(kernel.entry + up), ebx=at),
            steps=placed.steps,
            e820=memory_map_of(at, len(modules)),
            rsdp=rsdp_of(at),
        ),
        block_range=space.small(BLOCK_MAX_BYTES, "parameter block"),
        rom_staging=space.small(rom_bytes, "BIOS extension"),
    )


def _final_segments(kernel: PvhKernel, guest: GuestMap) -> tuple[tuple[Segment, ...], int]:
    """The segments where they will run, and by how much they were moved."""
    segments = kernel.elf.segments
    try:
        require_segments(segments, guest)
    except DoesNotFit:
        to = _elsewhere(kernel, guest)
        if to is None:
            raise
        return moved(segments, to), to - footprint(segments).start
    return segments, 0


def _elsewhere(kernel: PvhKernel, guest: GuestMap) -> Gpa | None:
    """The lowest place that PHYS32_RELOC allows, None if there is none."""
    allowed = kernel.relocation
    whole = footprint(kernel.elf.segments)
    if allowed is None or allowed.max - allowed.min + 1 < whole.size:
        return None
    within = GpaRange.between(allowed.min, allowed.max + 1)
    try:
        return Space(guest).lowest(whole.size, allowed.align, within, "kernel").start
    except DoesNotFit:
        return None
