"""All of a Linux kernel's boot in one plan."""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.bios_extension.block import (
    BLOCK_MAX_BYTES,
    PAGE_TABLES_BYTES,
    Copy,
    E820Collection,
    ParameterBlock,
)
from devicemodel.guest_map import GuestMap, Space
from devicemodel.images import boot_params, start_info
from devicemodel.images.linux.cmdline import check_cmdline
from devicemodel.images.linux.entry import chosen_entry, entry_state
from devicemodel.images.linux.kernel import LinuxKernel
from devicemodel.images.linux.low_memory import LowMemory, low_memory
from devicemodel.images.linux.placement import (
    place_kernel,
    place_ramdisk,
)
from devicemodel.images.linux.told import Told, real_mode_part
from devicemodel.images.linux.xen_info import XenInfo, place_xen_info
from devicemodel.images.source import Sources
from devicemodel.plan import BootPlan, Placement
from handoff.addresses import Gpa, GpaRange
from handoff.descriptor import EntryMode, Subarch
from handoff.errors import ConfigError
from handoff.platforms import Platform
from handoff.report import When

_ENTRY_NAMES = {
    EntryMode.REAL: "real-mode",
    EntryMode.PROTECTED: "32-bit",
    EntryMode.LONG: "64-bit",
}


@dataclass(frozen=True, slots=True)
class LinuxTarget:
    """What a kernel is told of its platform, and how it is entered there."""

    platform: Platform
    entry: EntryMode = EntryMode.AUTO
    subarch: Subarch = Subarch.PC


def plan_linux(
    kernel: LinuxKernel, sources: Sources, guest: GuestMap, target: LinuxTarget, rom_bytes: int
) -> BootPlan:
    """Where everything goes, and what the BIOS extension has to do.

    Raises: PlacementError where it does not fit, ConfigError for a command line, a ramdisk or
    an entry that the kernel cannot take.
    """
    header = kernel.header
    mode = chosen_entry(target.entry, header)
    check_cmdline(sources.cmdline, header)
    if sources.ramdisk is not None and header.version < 0x200:
        raise ConfigError(
            "ramdisk: this kernel is older than boot protocol 2.00 and takes none: remove ramdisk="
        )
    low = low_memory(header)
    guest.require(low.segment, "setup code")
    cmdline = sources.cmdline + b"\0"
    cmdline_at = GpaRange(low.cmdline, len(cmdline))
    guest.require(cmdline_at, "command line")

    space = Space(guest)
    run = place_kernel(header, kernel.payload, guest, space)
    ramdisk = place_ramdisk(sources.ramdisk, header, space)
    ramdisk_at = None if ramdisk is None else ramdisk.range
    info = None
    if target.subarch is Subarch.XEN:
        info = place_xen_info(header, sources.cmdline, ramdisk_at, space)
    told = Told(
        platform=target.platform,
        low=low,
        load=run.load,
        alignment=run.alignment,
        ramdisk=ramdisk_at,
        cmdline=sources.cmdline,
        xen_info=None if info is None else info.at,
    )
    first = _LowPart(
        "setup code" if mode is EntryMode.REAL else "boot_params",
        low.base,
        real_mode_part(kernel, mode, told),
        f"real-mode part, segment {low.base >> 4:#x}"
        if mode is EntryMode.REAL
        else "filled by the BIOS extension, address in ESI",
    )
    line = _LowPart("command line", low.cmdline, cmdline, "cmd_line_ptr, low memory")
    first_waits = space.small(len(first.content), first.waiting_name)
    line_waits = space.small(len(cmdline), line.waiting_name)
    block_range = space.small(BLOCK_MAX_BYTES, "parameter block")
    rom_staging = space.small(rom_bytes, "BIOS extension")
    tables = _place_page_tables(mode, space)

    copies = [Copy(first_waits, low.base), Copy(line_waits, low.cmdline)]
    if run.bev_copy is not None:
        copies.append(run.bev_copy)
    placements = [
        *run.placements,
        *first.placements(first_waits, "low memory is zeroed at int 19h"),
        *line.placements(line_waits, f"waits beside the {first.name}"),
        *(placed for placed in (ramdisk, tables) if placed is not None),
    ]
    if info is not None:
        placements.append(info.placement)
    return BootPlan(
        method=f"linux {header.version_text}, {_ENTRY_NAMES[mode]} entry",
        placements=tuple(placements),
        block=ParameterBlock(
            entry=entry_state(mode, low, run.load.start, tables.range if tables else None),
            steps=tuple(copies),
            e820=_collection(mode, low, info),
            rsdp=_rsdp(mode, low, info),
        ),
        block_range=block_range,
        rom_staging=rom_staging,
    )


@dataclass(frozen=True, slots=True)
class _LowPart:
    """Bytes that the BIOS extension brings to low memory."""

    name: str
    at: Gpa
    content: bytes
    reason: str

    @property
    def waiting_name(self) -> str:
        return f"kernel {self.name}" if self.name == "setup code" else self.name

    def placements(self, waits: GpaRange, why: str) -> tuple[Placement, Placement]:
        final = GpaRange(self.at, len(self.content))
        return (
            Placement(self.name, waits, self.content, When.NOW, why),
            Placement(self.name, final, self.content, When.BEV, self.reason),
        )


def _collection(mode: EntryMode, low: LowMemory, info: XenInfo | None) -> E820Collection | None:
    """Where firmware's map goes: setup code gets it itself."""
    if mode is not EntryMode.REAL:
        return boot_params.memory_map_of(low.base)
    return None if info is None else start_info.memory_map_of(info.at, info.modules)


def _rsdp(mode: EntryMode, low: LowMemory, info: XenInfo | None) -> Gpa | None:
    """Where the address of the ACPI tables goes, likewise."""
    if mode is not EntryMode.REAL:
        return boot_params.rsdp_of(low.base)
    return None if info is None else start_info.rsdp_of(info.at)


def _place_page_tables(mode: EntryMode, space: Space) -> Placement | None:
    if mode is not EntryMode.LONG:
        return None
    where = space.small(PAGE_TABLES_BYTES, "page tables")
    return Placement("page tables", where, None, When.BEV, "made by the BIOS extension, CR3")
