"""Stage 3: a final place for everything, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.bios_extension.rom import rom_image
from devicemodel.fw_cfg.choose import plan_for_rom
from devicemodel.fw_cfg.option_roms import OptionRoms
from devicemodel.fw_cfg.plan import FwCfgPlan
from devicemodel.guest_map import GuestMap
from devicemodel.images.firmware import FirmwareImages, FirmwarePlan, plan_firmware
from devicemodel.images.linux import LinuxKernel, LinuxTarget, plan_linux
from devicemodel.images.multiboot import plan_multiboot
from devicemodel.images.pvh import PvhKernel, plan_pvh
from devicemodel.images.source import Sources
from devicemodel.plan import BootPlan
from devicemodel.verify import Verified
from handoff.addresses import MIB, align_down, align_up
from handoff.descriptor import Descriptor, EntryMode, Insert, Subarch
from handoff.errors import ConfigError, DoesNotFit, PlacementError

Plan = BootPlan | FwCfgPlan | FirmwarePlan
"""For the BIOS extension of ours, for one of QEMU's option ROMs, or for firmware with neither."""


@dataclass(frozen=True, slots=True)
class Placed:
    verified: Verified
    plan: Plan


def place(verified: Verified, roms: OptionRoms | None = None) -> Placed:
    """roms: QEMU's, if one of them starts the guest in place of the BIOS extension of ours.

    Raises: ConfigError, PlacementError; if memory is what is missing, with how much is
    enough."""
    guest = verified.found.guest
    try:
        plan = _plan(verified, guest, roms)
    except DoesNotFit as error:
        enough = _enough_more_memory(verified, guest, roms)
        remedy = (
            f"give the guest at least {enough // MIB} MiB more memory"
            if enough is not None
            else "no amount of memory below 4 GiB would do"
        )
        raise DoesNotFit(error.problem, remedy) from error
    if isinstance(plan, BootPlan) and verified.found.descriptor.insert is Insert.PCI_ROM:
        plan = plan.for_fixed_rom()
    return Placed(verified, plan)


def _plan(verified: Verified, guest: GuestMap, roms: OptionRoms | None) -> Plan:
    found, kernel = verified.found, verified.kernel
    told = found.descriptor
    if isinstance(kernel, FirmwareImages):
        _check_no_kernel_options(told, roms)
        return plan_firmware(kernel, guest)
    assert isinstance(found.sources, Sources)
    if isinstance(kernel, LinuxKernel):
        _check_one_ramdisk(found.sources)
    if roms is not None:
        return plan_for_rom(kernel, found.sources, guest, told, roms)
    rom_bytes = len(rom_image())
    if isinstance(kernel, LinuxKernel):
        target = LinuxTarget(told.platform, told.entry, told.subarch)
        return plan_linux(kernel, found.sources, guest, target, rom_bytes)
    _check_no_linux_options(told)
    if isinstance(kernel, PvhKernel):
        return plan_pvh(kernel, found.sources, guest, rom_bytes)
    return plan_multiboot(kernel, found.sources, guest, rom_bytes)


def _check_one_ramdisk(sources: Sources) -> None:
    """Raises: ConfigError for modules, which the Linux boot protocol has no place for."""
    if len(sources.modules) > 1:
        raise ConfigError(
            f"ramdisk names {len(sources.modules)} images, Linux takes one: name one (a comma in "
            "a file name is written twice), or take --boot pvh"
        )
    if sources.ramdisk is not None and sources.ramdisk.arguments:
        raise ConfigError(
            "ramdisk has arguments behind its name, Linux takes none for it: write a space in the "
            "name twice, or put the arguments into cmdline="
        )


def _check_no_kernel_options(told: Descriptor, roms: OptionRoms | None) -> None:
    """Raises: ConfigError for what only starts a kernel."""
    wrong = None
    if told.entry is not EntryMode.AUTO:
        wrong = "--entry"
    elif told.subarch is not Subarch.PC:
        wrong = "--subarch"
    elif told.cmdline:
        wrong = "cmdline="
    elif roms is not None:
        wrong = "--rom qemu"
    if wrong is not None:
        raise ConfigError(f"{wrong} is for a kernel, and firmware boots without one: remove it")


def _check_no_linux_options(told: Descriptor) -> None:
    """Raises: ConfigError for what only the Linux boot protocol knows."""
    if told.entry is not EntryMode.AUTO:
        raise ConfigError(
            f"entry {told.entry.value}: pvh and multiboot kernels have one entry: remove --entry"
        )
    if told.subarch is not Subarch.PC:
        raise ConfigError("subarch xen: only boot_params tell it: remove --subarch")


def _enough_more_memory(verified: Verified, guest: GuestMap, roms: OptionRoms | None) -> int | None:
    """The least whole MiB, in bytes, that this guest lacks; None if no size below 4 GiB does.

    Found by planning for larger guests: what fits in one fits in every larger one.
    """

    def fits(more: int) -> bool:
        try:
            _plan(verified, guest.grown(more), roms)
        except PlacementError:
            return False
        return True

    least, enough = 0, align_down(guest.room_to_grow, MIB)
    if enough == 0 or not fits(enough):
        return None
    while enough - least > MIB:
        middle = align_up((least + enough) // 2, MIB)
        if fits(middle):
            enough = middle
        else:
            least = middle
    return enough
