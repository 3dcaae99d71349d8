"""Which of QEMU's option ROMs starts a kernel, and the plan for it."""

from __future__ import annotations

from devicemodel.fw_cfg.linux import plan_linux_rom
from devicemodel.fw_cfg.multiboot import plan_multiboot_rom
from devicemodel.fw_cfg.option_roms import OptionRoms, RomMethod
from devicemodel.fw_cfg.plan import FwCfgPlan
from devicemodel.fw_cfg.pvh import plan_pvh_rom
from devicemodel.guest_map import GuestMap
from devicemodel.images.auto import Kernel
from devicemodel.images.linux import LinuxKernel
from devicemodel.images.pvh import PvhKernel
from devicemodel.images.source import Sources
from handoff.descriptor import Descriptor, EntryMode, Insert, Subarch
from handoff.errors import ConfigError


def plan_for_rom(
    kernel: Kernel, sources: Sources, guest: GuestMap, told: Descriptor, roms: OptionRoms
) -> FwCfgPlan:
    """The plan for a ROM of QEMU that starts `kernel`.

    Raises: ConfigError for what these ROMs do not do, PlacementError where it does not fit.
    """
    _check_can(told)
    if isinstance(kernel, LinuxKernel):
        return plan_linux_rom(kernel, sources, guest, roms.get(RomMethod.LINUX))
    if isinstance(kernel, PvhKernel):
        return plan_pvh_rom(kernel, sources, guest, roms.get(RomMethod.PVH))
    return plan_multiboot_rom(kernel, sources, guest, roms.get(RomMethod.MULTIBOOT))


def _check_can(told: Descriptor) -> None:
    """Raises: ConfigError for what QEMU's option ROMs do not do."""
    if told.insert is not Insert.WINDOW:
        raise ConfigError(
            "this machine has a fw_cfg of its own: --rom qemu takes --machine emulator"
        )
    if told.entry not in (EntryMode.AUTO, EntryMode.REAL):
        raise ConfigError(
            f"entry {told.entry.value}: QEMU's option ROMs enter a Linux kernel in real mode: "
            "take --entry real, or --rom own"
        )
    if told.subarch is not Subarch.PC:
        raise ConfigError("subarch xen: QEMU's option ROMs do not tell it: take --rom own")
