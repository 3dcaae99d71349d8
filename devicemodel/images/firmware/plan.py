"""Where firmware that was handed over goes, and how the vCPU is started in it.

xen-hvm, as libxc leaves a domain for hvmloader:

    0x100000    hvmloader's segments, BSS zeroed
    next page   the BIOS, module "firmware"
    next page   ACPI tables, SMBIOS structures, each on a page
    next page   hvm_start_info, which EBX names at hvmloader's entry

hvmloader itself copies the BIOS to where it runs, and goes to the reset vector.

qemu-pc, where the machine has the BIOS in a ROM that ends at 4 GiB:

    staging     the BIOS: what the machine's ROM is filled with
    ... 1 MiB   its end, as the machine shows it there

Sources: xc_dom_hvmloader.c and xc_dom_x86.c in Xen's tools/libs/guest; QEMU's hw/i386/x86.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devicemodel.guest_map import GuestMap, Space
from devicemodel.images.elf import footprint
from devicemodel.images.firmware.bios import Bios
from devicemodel.images.firmware.images import FirmwareImages, Loader
from devicemodel.images.segments import loaded
from devicemodel.images.source import Image
from devicemodel.images.start_info import Module, start_info, start_info_bytes
from devicemodel.plan import Placement
from handoff.addresses import KIB, MIB, PAGE, Gpa, GpaRange, align_up, first_overlap
from handoff.descriptor import TABLES, Role
from handoff.e820 import is_ram
from handoff.errors import DoesNotFit
from handoff.firmware import BiosRom, DirectEntry, Firmware
from handoff.report import When

LOADER_LOWEST: Final = Gpa(MIB)
"""Below it are the BIOS's place and hvmloader's own scratch memory."""
BIOS_MODULE: Final = b"firmware"
"""The module's command line, by which hvmloader knows it."""
ISA_BIOS_MAX_BYTES: Final = 128 * KIB
"""Of the BIOS, what a qemu-pc shows below 1 MiB."""


@dataclass(frozen=True, slots=True)
class FirmwarePlan:
    """Placements and the vCPU's start; there is no BIOS extension.

    All of it must be there before the guest starts, so all ranges are disjoint.
    """

    method: str
    placements: tuple[Placement, ...]
    firmware: Firmware

    @property
    def kept(self) -> tuple[GpaRange, ...]:
        """What is used beside the placements: nothing."""
        return ()

    def __post_init__(self) -> None:
        both = first_overlap(placement.range for placement in self.placements)
        assert both is None, f"the plan puts two things at {both}"


def plan_firmware(images: FirmwareImages, guest: GuestMap) -> FirmwarePlan:
    """Where everything goes. Raises: DoesNotFit."""
    if images.loader is None:
        return _plan_reset_vector(images.bios, guest)
    return _plan_loader(images.loader, images.bios, images.tables, guest)


def _plan_loader(
    loader: Loader, bios: Bios, images: tuple[Image, ...], guest: GuestMap
) -> FirmwarePlan:
    segments = loader.elf.segments
    whole = _require(footprint(segments), "firmware", guest)
    bios_at = GpaRange(Gpa(align_up(whole.end, PAGE)), bios.size)
    tables: dict[Role, Placement] = {}
    end = bios_at.end
    for image in images:
        where = GpaRange(Gpa(align_up(end, PAGE)), image.size)
        why = "hvmloader is told of it in xenstore"
        tables[image.role] = Placement(image.role.value, where, image.whole(), When.NOW, why)
        end = where.end
    info_size = start_info_bytes(b"", [BIOS_MODULE])
    info_at = GpaRange(Gpa(align_up(end, PAGE)), info_size)
    _require(GpaRange.between(whole.start, info_at.end), "firmware and its modules", guest)
    # As libxl has it for an HVM guest: RAM below 1 MiB is hvmloader's affair.
    memory = [e for e in guest.e820.entries if is_ram(e) and e.range.start >= LOADER_LOWEST]
    info = start_info(info_at.start, b"", [Module(bios_at, BIOS_MODULE)], memory)
    assert len(info) == info_size
    ends = " and ".join(str(where) for where in bios.on_xen())
    return FirmwarePlan(
        method=f"firmware, ELF{loader.elf.bits}, {bios.kind.value}",
        placements=(
            *(placement for segment in segments for placement in loaded(segment, "firmware")),
            Placement("bios", bios_at, bios.image, When.NOW, f"hvmloader copies it to {ends}"),
            *tables.values(),
            Placement("start info", info_at, info, When.NOW, "hvm_start_info, module list"),
        ),
        firmware=DirectEntry(
            Gpa(loader.elf.entry),
            info_at.start,
            *(tables[role].range if role in tables else None for role in TABLES),
        ),
    )


def _require(where: GpaRange, name: str, guest: GuestMap) -> GpaRange:
    """`where`. Raises: DoesNotFit if it is not all RAM from 1 MiB to firmware's top zone."""
    end = guest.staging.end
    if where.start < LOADER_LOWEST or where.end > end:
        raise DoesNotFit(
            f"{name} needs {where}, which is not in [{LOADER_LOWEST:#x}, {end:#x})",
            "give the guest more memory",
        )
    conflict = guest.conflict(where, at_bev=True)
    if conflict is not None:
        raise DoesNotFit(f"{name} needs {where}: {conflict}", "give the guest more memory")
    return where


def _plan_reset_vector(bios: Bios, guest: GuestMap) -> FirmwarePlan:
    # The toolstack stages a single image there, too: it has not to be moved.
    rom = Space(guest).highest(bios.size, PAGE, guest.staging, "bios")
    shown = min(bios.size, ISA_BIOS_MAX_BYTES)
    low = GpaRange.between(MIB - shown, MIB)
    return FirmwarePlan(
        method=f"firmware, {bios.kind.value} at the reset vector",
        placements=(
            Placement("bios", rom, bios.image, When.NOW, "the machine's ROM, which ends at 4 GiB"),
            Placement("bios", low, bios.content[-shown:], When.NOW, "its end, shown below 1 MiB"),
        ),
        firmware=BiosRom(rom),
    )
