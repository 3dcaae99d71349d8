"""A Linux kernel as QEMU hands it to linuxboot.bin and linuxboot_dma.bin.

The placement is QEMU's own, because the ROMs count on it: protected-mode part at 0x100000 and
never relocated, ramdisk as high as may be. What the ROM changes of that is allowed for: it puts
the ramdisk below the end of RAM that int 15h E801h tells at that time, unless the ramdisk ends
in the last page that the kernel allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from devicemodel.fw_cfg.blob import Blob, BytesBlob, ImageBlob
from devicemodel.fw_cfg.items import u32
from devicemodel.fw_cfg.keys import Key
from devicemodel.fw_cfg.plan import FwCfgPlan, Target, check_targets
from devicemodel.fw_cfg.ramdisk import ramdisk_range
from devicemodel.fw_cfg.waiting import wait_for_rom, waiting_placements
from devicemodel.guest_map import GuestMap, Space
from devicemodel.images.linux import LinuxKernel
from devicemodel.images.linux.cmdline import check_cmdline
from devicemodel.images.linux.low_memory import LowMemory
from devicemodel.images.linux.told import Told, real_mode_part
from devicemodel.images.setup_header import SetupHeader
from devicemodel.images.source import Image, Sources
from devicemodel.plan import Placement
from handoff.addresses import PAGE, Gpa, GpaRange, align_down, align_up
from handoff.descriptor import EntryMode
from handoff.errors import ConfigError, DoesNotFit
from handoff.platforms import TOP_KEPT_BYTES, Platform
from handoff.report import When

_HIGH: Final = Gpa(0x100000)
_LOW: Final = Gpa(0x10000)
_OLD_SETUP: Final = Gpa(0x90000)
_OLD_CMDLINE_END: Final = 0x9A000
_UNPACK_FACTOR: Final = 4
"""Room kept for a kernel that does not tell (before 2.10), in multiples of its file part."""


@dataclass(frozen=True, slots=True)
class _Ramdisk:
    """Where QEMU says it goes, and where the ROM may put it instead."""

    at: GpaRange
    recomputed: GpaRange | None

    @property
    def targets(self) -> tuple[Target, ...]:
        told = Target("ramdisk", self.at)
        if self.recomputed is None:
            return (told,)
        return (told, Target("ramdisk (below the end of RAM that E801h tells)", self.recomputed))


def plan_linux_rom(kernel: LinuxKernel, sources: Sources, guest: GuestMap, rom: bytes) -> FwCfgPlan:
    """Where sources wait and where the ROM takes them.

    Raises: PlacementError where it does not fit, ConfigError for a command line or a ramdisk
    that the kernel cannot take.
    """
    header, cmdline = kernel.header, sources.cmdline + b"\0"
    check_cmdline(sources.cmdline, header)
    low = _low_memory(header, len(cmdline))
    load = GpaRange(_LOW if header.is_zimage else _HIGH, kernel.payload.size)
    unpacks = _unpacks(header, load)
    ramdisk = _ramdisk(sources.ramdisk, header, guest)
    ramdisk_at = None if ramdisk is None else ramdisk.at
    told = Told(Platform.QEMU_PC, low, load, None, ramdisk_at, sources.cmdline, None)
    setup = real_mode_part(kernel, EntryMode.REAL, told)
    targets = (
        Target("setup code", GpaRange(low.base, max(len(setup), low.segment_bytes))),
        Target("command line", GpaRange(low.cmdline, len(cmdline))),
        Target("kernel", load),
        *(() if ramdisk is None else ramdisk.targets),
    )
    for target in targets[:3]:
        guest.require(target.range, target.name)
    guest.require(unpacks, f"kernel (init_size {unpacks.size:#x})")
    _check_clear(targets[3:], unpacks)
    payload = kernel.payload
    parts = [payload, *((sources.ramdisk.whole(),) if sources.ramdisk else ())]
    waiting = wait_for_rom(parts, targets, Space(guest))
    items: dict[int, Blob] = {
        Key.KERNEL_ADDR: u32(load.start),
        Key.KERNEL_SIZE: u32(load.size),
        Key.KERNEL_DATA: ImageBlob(waiting[0].part),
        Key.INITRD_ADDR: u32(0 if ramdisk is None else ramdisk.at.start),
        Key.INITRD_SIZE: u32(0 if ramdisk is None else ramdisk.at.size),
        Key.CMDLINE_ADDR: u32(low.cmdline),
        Key.CMDLINE_SIZE: u32(len(cmdline)),
        Key.CMDLINE_DATA: BytesBlob(cmdline),
        Key.SETUP_ADDR: u32(low.base),
        Key.SETUP_SIZE: u32(len(setup)),
        Key.SETUP_DATA: BytesBlob(setup),
    }
    if ramdisk is not None:
        items[Key.INITRD_DATA] = ImageBlob(waiting[1].part)
    check_targets(targets, items)
    final = [
        Placement("setup code", GpaRange(low.base, len(setup)), setup, When.BEV, "fw_cfg 0x18"),
        Placement("command line", targets[1].range, cmdline, When.BEV, "fw_cfg 0x15"),
        Placement("kernel", load, payload, When.BEV, "fw_cfg 0x11"),
        Placement("unpacked kernel", unpacks, None, When.RUN, "pref_address, init_size"),
    ]
    if ramdisk is not None:
        why = "fw_cfg 0x12; the ROM may move it up to the end of RAM"
        final.append(Placement("ramdisk", ramdisk.at, None, When.RUN, why))
    return FwCfgPlan(
        f"linux {header.version_text}, option ROM of QEMU",
        (*waiting_placements(waiting), *final),
        items,
        rom,
    )


def _low_memory(header: SetupHeader, cmdline_bytes: int) -> LowMemory:
    if header.version >= 0x202 and not header.is_zimage:
        return LowMemory(_LOW, 0x10000, 0, Gpa(0x20000))
    cmdline = _OLD_CMDLINE_END - align_up(cmdline_bytes, 16)
    return LowMemory(_OLD_SETUP, cmdline - _OLD_SETUP, 0, Gpa(cmdline))


def _unpacks(header: SetupHeader, load: GpaRange) -> GpaRange:
    """What the kernel takes when it runs."""
    footprint = max(header.init_size or load.size * _UNPACK_FACTOR, load.size)
    if header.relocatable:
        start = max(align_up(load.start, header.kernel_alignment), header.pref_address or 0)
    else:
        start = header.pref_address or _HIGH
    return GpaRange(Gpa(start), footprint)


def _ramdisk(image: Image | None, header: SetupHeader, guest: GuestMap) -> _Ramdisk | None:
    if image is None:
        return None
    if header.version < 0x200:
        raise ConfigError(
            "ramdisk: this kernel is older than boot protocol 2.00 and takes none: remove ramdisk="
        )
    at = ramdisk_range(image.size, header.ramdisk_limit, guest)
    if (at.end ^ header.initrd_addr_max) < PAGE:
        return _Ramdisk(at, None)
    # E801h tells the end of RAM without what firmware took of it by then.
    end = guest.low_ram_end
    lowest = align_down(max(end - TOP_KEPT_BYTES - image.size, 0), PAGE)
    return _Ramdisk(at, GpaRange.between(lowest, end))


def _check_clear(targets: Iterable[Target], unpacks: GpaRange) -> None:
    for target in targets:
        if target.range.overlaps(unpacks):
            raise DoesNotFit(
                f"{target.name} at {target.range} meets {unpacks}, which the kernel takes "
                "when it runs",
                "give the guest more memory",
            )
