"""A kernel with a PVH entry as QEMU hands it to pvh.bin.

The segments are in guest RAM before the first instruction, BSS included; the ROM only makes the
start info, in low memory, and reads command line and ramdisk.
"""

from __future__ import annotations

from devicemodel.fw_cfg.blob import Blob, BytesBlob, ImageBlob
from devicemodel.fw_cfg.items import u32
from devicemodel.fw_cfg.keys import Key
from devicemodel.fw_cfg.plan import FwCfgPlan, Target, check_targets
from devicemodel.fw_cfg.ramdisk import ramdisk_range
from devicemodel.fw_cfg.waiting import wait_for_rom, waiting_placements
from devicemodel.guest_map import GuestMap, Space
from devicemodel.images.elf import Segment
from devicemodel.images.pvh import PvhKernel
from devicemodel.images.segments import loaded
from devicemodel.images.source import Sources
from devicemodel.plan import Placement
from handoff.addresses import FOUR_GIB, GpaRange
from handoff.errors import ConfigError
from handoff.report import When

ROM_MEMORY = GpaRange.between(0x500, 0x7000)
"""Where pvh.bin keeps memory map, command line and start info. What it does not fill of that it
takes to be zero, as RAM of a new guest is."""


def plan_pvh_rom(kernel: PvhKernel, sources: Sources, guest: GuestMap, rom: bytes) -> FwCfgPlan:
    """Where sources wait and where the ROM takes them.

    Raises: PlacementError, and ConfigError for modules behind the ramdisk: the ROM knows one.
    """
    if len(sources.modules) > 1:
        raise ConfigError(
            f"ramdisk names {len(sources.modules)} images, pvh.bin takes one: name one, "
            "or take --rom own"
        )
    space = Space(guest)
    placements: list[Placement] = []
    for segment in kernel.elf.segments:
        _require(segment, guest)
        space.take(segment.range)
        placements += loaded(segment, "kernel")
    cmdline = sources.cmdline + b"\0"
    items: dict[int, Blob] = {
        Key.KERNEL_ENTRY: u32(kernel.entry),
        Key.CMDLINE_SIZE: u32(len(cmdline)),
        Key.CMDLINE_DATA: BytesBlob(cmdline),
        Key.INITRD_ADDR: u32(0),
        Key.INITRD_SIZE: u32(0),
    }
    targets = [Target("start info", ROM_MEMORY)]
    if sources.ramdisk is not None:
        at = ramdisk_range(sources.ramdisk.size, FOUR_GIB, guest)
        targets.append(Target("ramdisk", at))
        items[Key.INITRD_ADDR] = u32(at.start)
        items[Key.INITRD_SIZE] = u32(at.size)
        placements.append(Placement("ramdisk", at, None, When.BEV, "fw_cfg 0x12"))
    waiting = wait_for_rom([one.whole() for one in sources.modules], targets, space)
    if waiting:
        items[Key.INITRD_DATA] = ImageBlob(waiting[0].part)
    check_targets(targets, items)
    return FwCfgPlan(
        f"pvh, ELF{kernel.elf.bits}{kernel.packed}, option ROM of QEMU",
        (*placements, *waiting_placements(waiting)),
        items,
        rom,
    )


def _require(segment: Segment, guest: GuestMap) -> None:
    """Raises: DoesNotFit if it cannot lie there before firmware runs."""
    name = f"kernel segment (p_paddr {segment.range.start:#x})"
    refusal = guest.unavailable(segment.range, name, at_bev=False)
    if refusal is not None:
        raise refusal
