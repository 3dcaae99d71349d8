"""A multiboot kernel: Xen's own hypervisor image, for one, with its modules.

As QEMU's -kernel starts them, with three differences: the information structure lies in staging
and not at 0x9500, where its memory map has room for 50 entries; modules go up to the end of
staging and not behind the kernel, where many kernels take memory before they look; and names come
without their folders, which are dom0's affair.
Source: Multiboot specification 0.6.96.
"""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.bios_extension.block import (
    BLOCK_MAX_BYTES,
    ParameterBlock,
    ProtectedModeEntry,
)
from devicemodel.guest_map import GuestMap, Space
from devicemodel.images.elf import EM_386, ElfFile, Segment, is_elf, read_elf
from devicemodel.images.modules import place_modules
from devicemodel.images.multiboot_header import (
    MAGIC_2,
    MultibootHeader,
    by_addresses,
    multiboot_2_offset,
)
from devicemodel.images.multiboot_info import (
    BOOTLOADER_MAGIC,
    Module,
    info_bytes,
    memory_map_of,
    multiboot_info,
)
from devicemodel.images.segments import place_segments
from devicemodel.images.source import Image, Sources
from devicemodel.plan import BootPlan, Placement
from handoff.addresses import Gpa, GpaRange
from handoff.errors import LayoutError
from handoff.report import When


@dataclass(frozen=True, slots=True)
class MultibootKernel:
    """What the header loads; the segments are views of one private copy."""

    segments: tuple[Segment, ...]
    entry: Gpa
    digest: bytes
    """BLAKE3 of the image's bytes that were parsed"""
    how: str
    """what loads it and what it was packed with, for people"""
    header: MultibootHeader


def multiboot_kernel(
    file: memoryview, header: MultibootHeader, digest: bytes, packed: str
) -> MultibootKernel:
    """The kernel with this header. Raises: LayoutError.

    packed: what `file` came in, ` (gzip)`; empty if it is the image itself.
    """
    if header.addresses is not None:
        segment, entry = by_addresses(header, file)
        return MultibootKernel((segment,), entry, digest, f"address fields{packed}", header)
    if not is_elf(file):
        raise LayoutError(
            "kernel multiboot flags",
            header.offset + 4,
            f"{header.flags:#x}, without address fields (bit 16),",
            f"and the file is no ELF, it starts with {bytes(file[:4]).hex()}: "
            "link the kernel as one of both",
        )
    elf = read_elf(file)
    if elf.machine != EM_386:
        raise LayoutError(
            "kernel ELF e_machine",
            0x12,
            f"{elf.machine}",
            f"multiboot enters in 32 bits: give the i386 ({EM_386}) image of this kernel",
        )
    how = f"ELF{elf.bits}{packed}"
    return MultibootKernel(elf.segments, _elf_entry(elf), digest, how, header)


def without_header(file: memoryview) -> LayoutError:
    """The refusal of a file that is to be started by a header it does not have."""
    offset = multiboot_2_offset(file)
    if offset is not None:
        return LayoutError(
            "kernel multiboot magic",
            offset,
            f"{MAGIC_2:#x}, multiboot 2 without a multiboot 1 header",
            "only version 1 (0x1badb002) is started here: build the kernel with both",
        )
    return LayoutError(
        "kernel multiboot header",
        0,
        "missing",
        "0x1badb002 with a right checksum in the first 8192 bytes: choose another --boot",
    )


def plan_multiboot(
    kernel: MultibootKernel, sources: Sources, guest: GuestMap, rom_bytes: int
) -> BootPlan:
    """Where everything goes, and what the BIOS extension has to do. Raises: PlacementError."""
    space = Space(guest)
    placed = place_segments(kernel.segments, guest, space)
    modules = place_modules(sources.modules, space)
    cmdline = _string(sources.kernel, sources.cmdline)
    strings = [_string(image, image.arguments) for image in sources.modules]
    size = info_bytes(cmdline, strings)
    at = space.small(size, "multiboot information").start
    listed = [Module(p.range, string) for p, string in zip(modules, strings, strict=True)]
    info = multiboot_info(at, cmdline, listed)
    assert len(info) == size
    reason = "information structure, modules, memory map, strings"
    return BootPlan(
        method=f"multiboot, {kernel.how}",
        placements=(
            *placed.placements,
            *modules,
            Placement("multiboot information", GpaRange(at, size), info, When.NOW, reason),
        ),
        block=ParameterBlock(
            entry=ProtectedModeEntry(kernel.entry, eax=BOOTLOADER_MAGIC, ebx=at),
            steps=placed.steps,
            e820=memory_map_of(at, len(modules)),
        ),
        block_range=space.small(BLOCK_MAX_BYTES, "parameter block"),
        rom_staging=space.small(rom_bytes, "BIOS extension"),
    )


def _elf_entry(elf: ElfFile) -> Gpa:
    """e_entry as a physical address.

    It is one by the specification; kernels linked at virtual addresses have theirs there, and
    loaders of the field (GRUB, QEMU) take it through the segment it lies in.
    """
    for segment in elf.segments:
        if segment.vaddr <= elf.entry < segment.vaddr + segment.range.size:
            return Gpa(segment.range.start + elf.entry - segment.vaddr)
    if elf.segment_at(elf.entry) is None:
        raise LayoutError(
            "kernel ELF e_entry", 0x18, f"{elf.entry:#x}", "no segment of the kernel lies there"
        )
    return Gpa(elf.entry)


def _string(image: Image, arguments: bytes) -> bytes:
    """Its name, which kernels drop, then what they are told."""
    return image.name + b" " + arguments if arguments else image.name
