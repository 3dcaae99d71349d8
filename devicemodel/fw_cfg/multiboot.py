"""A multiboot kernel as QEMU hands it to multiboot.bin and multiboot_dma.bin.

Kernel, module table, strings and modules travel as one item and end up as one piece of RAM; the
information structure is another, at 0x9500. Memory sizes and the map at 0x9000 are the ROM's to
fill in.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from devicemodel.fw_cfg.blob import Blob, BytesBlob, ImageBlob, JoinedBlob, ZeroBlob
from devicemodel.fw_cfg.items import u32
from devicemodel.fw_cfg.keys import Key
from devicemodel.fw_cfg.plan import FwCfgPlan, Target, check_targets
from devicemodel.fw_cfg.waiting import wait_for_rom, waiting_placements
from devicemodel.guest_map import GuestMap, Space
from devicemodel.images.elf import Segment, footprint
from devicemodel.images.multiboot import MultibootKernel
from devicemodel.images.multiboot_info import BOOT_DEVICE, FLAGS
from devicemodel.images.source import Image, Sources
from devicemodel.plan import Placement
from handoff.addresses import PAGE, Gpa, GpaRange, align_up
from handoff.report import When

LOW: Final = GpaRange.between(0x9000, 0xA000)
"""The ROM's: memory map, information structure."""
INFO: Final = Gpa(0x9500)
MMAP: Final = Gpa(0x9000)
LOADER_NAME: Final = b"qemu"
_INFO: Final = struct.Struct("<7I 16x 2I 12x I 20x")
_MODULE: Final = struct.Struct("<IIII")
assert (_INFO.size, _MODULE.size) == (0x58, 16)


@dataclass(frozen=True, slots=True)
class _Piece:
    """The one piece of RAM, from the kernel's lowest segment on, and what points into it."""

    content: Blob
    cmdline: int
    loader_name: int
    modules: int
    """address of the module table"""


def plan_multiboot_rom(
    kernel: MultibootKernel, sources: Sources, guest: GuestMap, rom: bytes
) -> FwCfgPlan:
    """Where sources wait and where the ROM takes them. Raises: PlacementError."""
    whole = footprint(kernel.segments)
    sizes = [image.size for image in sources.modules]
    strings = [_string(image, image.arguments) for image in sources.modules]
    cmdline = _string(sources.kernel, sources.cmdline)
    modules_at = _behind(whole, [*strings, cmdline, LOADER_NAME])
    end = modules_at + sum(align_up(size, PAGE) for size in sizes)
    targets = (
        Target("multiboot kernel and modules", GpaRange.between(whole.start, end)),
        Target("multiboot information", LOW),
    )
    for target in targets:
        guest.require(target.range, target.name)
    parts = [one.whole() for one in sources.modules]
    waiting = wait_for_rom(parts, targets, Space(guest))
    modules = [one.part.image for one in waiting]
    piece = _piece(kernel.segments, cmdline, strings, modules, modules_at)
    info = _INFO.pack(
        *(FLAGS, 0, 0, BOOT_DEVICE, piece.cmdline, len(sizes), piece.modules),
        *(0, MMAP, piece.loader_name),
    )
    items: dict[int, Blob] = {
        Key.KERNEL_ENTRY: u32(kernel.entry),
        Key.KERNEL_ADDR: u32(whole.start),
        Key.KERNEL_SIZE: u32(piece.content.size),
        Key.KERNEL_DATA: piece.content,
        Key.INITRD_ADDR: u32(INFO),
        Key.INITRD_SIZE: u32(len(info)),
        Key.INITRD_DATA: BytesBlob(info),
    }
    check_targets(targets, items)
    at = GpaRange(whole.start, piece.content.size)
    return FwCfgPlan(
        f"multiboot, {kernel.how}, option ROM of QEMU",
        (
            *waiting_placements(waiting),
            Placement("kernel and modules", at, None, When.BEV, "fw_cfg 0x11"),
            Placement("multiboot information", LOW, None, When.BEV, "fw_cfg 0x12, E820h"),
        ),
        items,
        rom,
    )


def _string(image: Image, arguments: bytes) -> bytes:
    return image.name + b" " + arguments if arguments else image.name


def _behind(kernel: GpaRange, strings: Sequence[bytes]) -> int:
    """Where the first module goes: behind the kernel, the module table and the strings."""
    table = align_up(kernel.end, PAGE)
    modules = len(strings) - 2
    texts = sum(len(text) + 1 for text in strings)
    return align_up(table + modules * _MODULE.size + texts, PAGE)


def _piece(
    segments: Sequence[Segment],
    cmdline: bytes,
    strings: Sequence[bytes],
    modules: Sequence[Image],
    modules_at: int,
) -> _Piece:
    parts: list[Blob] = []
    at = int(footprint(segments).start)

    def put(blob: Blob, where: int) -> None:
        nonlocal at
        parts.extend((ZeroBlob(where - at), blob))
        at = where + blob.size

    for segment in segments:
        put(BytesBlob(segment.content), segment.range.start)
    table = align_up(footprint(segments).end, PAGE)
    texts, places = bytearray(), []
    for text in (*strings, cmdline, LOADER_NAME):
        places.append(table + len(modules) * _MODULE.size + len(texts))
        texts += text + b"\0"
    entries = bytearray()
    where = modules_at
    for module, place in zip(modules, places[:-2], strict=True):
        entries += _MODULE.pack(where, where + module.size, place, 0)
        where += align_up(module.size, PAGE)
    put(BytesBlob(bytes(entries + texts)), table)
    where = modules_at
    for module in modules:
        put(ImageBlob(module.whole()), where)
        where += align_up(module.size, PAGE)
    return _Piece(JoinedBlob.of(parts), places[-2], places[-1], table)
