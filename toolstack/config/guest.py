"""The guest an operator asked for, checked when it is built.

The rules are libxl's where it has one, with its reason; docs/config.md lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Final
from uuid import UUID

from handoff.addresses import MIB
from handoff.descriptor import (
    CMDLINE_MAX_BYTES,
    IMAGES_MAX,
    NAME_MAX_BYTES,
    STRINGS_MAX_BYTES,
)
from handoff.modules import ModuleFile
from handoff.platforms import MEMORY_MIN_BYTES
from toolstack.config.disk import DiskSpec
from toolstack.config.errors import SettingRefused
from toolstack.config.parser import Value
from toolstack.config.vdev import Bus

MEMORY_MIN_MIB: Final = MEMORY_MIN_BYTES // MIB
MEMORY_MAX_MIB: Final = 1 << 20
"""1 TiB; the machine's own memory ends earlier."""
NAME_MAX_CHARS: Final = 64
PATH_MAX_BYTES: Final = 4095
DEVICE_MAX_BYTES: Final = 3900
"""Longest disk target and serial device: a xenstore message holds 4096 bytes, path included."""
BOOT_DEVICES: Final = "acdn"
"""Floppy, hard disk, CD-ROM, network."""
DEFAULT_BOOT_ORDER: Final = "cda"
"""libxl's."""
EMULATED_DISKS_MAX: Final = 4
"""Disks that firmware sees; the others are for PV drivers alone."""


class Bios(Enum):
    """The firmware of an HVM guest; the value is what libxl writes to `hvmloader/bios`."""

    SEABIOS = "seabios"
    OVMF = "ovmf"


class DeviceModelVersion(Enum):
    QEMU_XEN = "qemu-xen"


@dataclass(frozen=True, slots=True)
class IgnoredSetting:
    """A setting that changes nothing here."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestConfig:
    """An HVM guest whose device model lives in a stub domain.

    Raises: SettingRefused when built with values that libxl refuses or that contradict
    each other. Files are named, not looked at.
    """

    name: str
    memory_mib: int
    maxmem_mib: int | None = None
    """most the guest may balloon to; None: memory_mib"""
    uuid: UUID | None = None
    """None: a fresh one is made"""
    kernel: str | None = None
    """path in dom0; None: firmware boots from a disk"""
    ramdisk: str | None = None
    ramdisk_arguments: str = ""
    """its own command line, for kernels that take modules"""
    more_modules: tuple[ModuleFile, ...] = ()
    """images behind the ramdisk"""
    cmdline: str | None = None
    bios: Bios = Bios.SEABIOS
    firmware: str | None = None
    """path of a firmware to use instead of hvmloader"""
    bios_path: str | None = None
    """path of a BIOS to use instead of the one installed"""
    acpi_firmware: str | None = None
    """path of ACPI tables for hvmloader"""
    smbios_firmware: str | None = None
    """path of SMBIOS structures for hvmloader"""
    boot: str = DEFAULT_BOOT_ORDER
    """letters of BOOT_DEVICES, the first one tried first"""
    device_model_version: DeviceModelVersion = DeviceModelVersion.QEMU_XEN
    device_model_stubdomain_override: bool | None = None
    serial: tuple[str, ...] = ()
    """one QEMU character device for each serial port"""
    disks: tuple[DiskSpec, ...] = ()
    ignored: tuple[IgnoredSetting, ...] = ()
    """settings of the file that nothing here reads"""

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_memory(self.memory_mib, self.maxmem_mib)
        for key in ("kernel", "ramdisk", "firmware", "acpi_firmware", "smbios_firmware"):
            _check_path(key, getattr(self, key))
        _check_path("bios_path_override", self.bios_path)
        _check_boot(self.boot)
        _check_modules(self)
        _check_direct_boot(self)
        _check_cmdline(self.cmdline)
        _check_disks(self.disks)
        _check_devices(self)

    @property
    def memory_bytes(self) -> int:
        return self.memory_mib * MIB

    @property
    def serial_file(self) -> str | None:
        """The file that the first serial port writes to; None: it goes to standard output."""
        first = self.serial[0] if self.serial else ""
        return first.removeprefix("file:") if first.startswith("file:") else None


def _check_name(name: str) -> None:
    problem = None
    if not name:
        problem = "is empty"
    elif len(name) > NAME_MAX_CHARS:
        problem = f"has {len(name)} characters, at most {NAME_MAX_CHARS}"
    elif not all(" " <= c <= "~" for c in name) or "/" in name or name.strip() != name:
        problem = "holds a character that xenstore or a log's file name cannot"
    elif name.isdecimal():
        problem = "is a number, which xl commands take for a domid"
    if problem is not None:
        raise SettingRefused(
            None, "name", name, problem, "use letters, digits, '-', '_' and '.', as in web-1"
        )


def _check_memory(memory_mib: int, maxmem_mib: int | None) -> None:
    if not MEMORY_MIN_MIB <= memory_mib <= MEMORY_MAX_MIB:
        raise SettingRefused(
            None,
            "memory",
            str(memory_mib),
            f"is not in {MEMORY_MIN_MIB}..{MEMORY_MAX_MIB} MiB",
            f"give the guest at least {MEMORY_MIN_MIB} MiB: firmware keeps 32 MiB of it until "
            "the kernel runs"
            if memory_mib < MEMORY_MIN_MIB
            else f"memory= is in MiB: give the guest at most {MEMORY_MAX_MIB}",
        )
    if maxmem_mib is not None and not memory_mib <= maxmem_mib <= MEMORY_MAX_MIB:
        raise SettingRefused(
            None,
            "maxmem",
            str(maxmem_mib),
            f"is not in {memory_mib}..{MEMORY_MAX_MIB} MiB",
            f"set it to memory={memory_mib} or more, or remove it",
        )


def _check_path(key: str, path: str | None) -> None:
    if path is None:
        return
    if not path:
        raise SettingRefused(None, key, path, "is empty", "name a file, or remove the line")
    if "\0" in path or len(path.encode("utf-8", "surrogateescape")) > PATH_MAX_BYTES:
        raise SettingRefused(
            None,
            key,
            path,
            f"cannot be a path: it holds a NUL or more than {PATH_MAX_BYTES} bytes",
            "name a file",
        )


def _check_boot(boot: str) -> None:
    unknown = sorted(set(boot) - set(BOOT_DEVICES))
    if unknown or not boot or len(set(boot)) != len(boot):
        raise SettingRefused(
            None,
            "boot",
            boot,
            "is no boot order: a letter a device, each once",
            "use c (hard disk), d (CD-ROM), a (floppy) and n (network), as in cd",
        )


def _check_modules(guest: GuestConfig) -> None:
    for module in guest.more_modules:
        _check_path("ramdisk", module.path)
    count = 1 + len(guest.more_modules)
    shown = f"{guest.ramdisk or ''},..."
    if count > IMAGES_MAX - 1:
        raise SettingRefused(
            None,
            "ramdisk",
            shown,
            f"names {count} images, at most {IMAGES_MAX - 1} go with a kernel",
            "name fewer; a comma in a file name is written twice",
        )
    modules = (ModuleFile(guest.ramdisk or "", guest.ramdisk_arguments), *guest.more_modules)
    told = [guest.cmdline or "", *(m.arguments + PurePath(m.path).name for m in modules)]
    size = sum(len(text.encode("utf-8", "surrogateescape")) for text in told) + NAME_MAX_BYTES
    longest = max(len(m.arguments.encode("utf-8", "surrogateescape")) for m in modules)
    nul = any("\0" in module.arguments for module in modules)
    if nul or longest > CMDLINE_MAX_BYTES or size > STRINGS_MAX_BYTES:
        raise SettingRefused(
            None,
            "ramdisk",
            shown,
            f"has a NUL, or arguments of up to {longest} bytes, {size} with all names and cmdline: "
            f"at most {CMDLINE_MAX_BYTES} and {STRINGS_MAX_BYTES}",
            "shorten the arguments",
        )


def _check_direct_boot(guest: GuestConfig) -> None:
    if guest.kernel is not None:
        if guest.bios is Bios.OVMF:
            raise SettingRefused(
                None,
                "bios",
                guest.bios.value,
                "cannot start kernel=: OVMF never enters the BIOS extension that boots it",
                'use bios="seabios", or remove kernel= to boot from a disk',
            )
        for key in ("acpi_firmware", "smbios_firmware"):
            if getattr(guest, key) is not None:
                raise SettingRefused(
                    None,
                    key,
                    getattr(guest, key),
                    "is for hvmloader, which is not handed over with a kernel",
                    f"remove {key}=, or remove kernel= to boot from a disk",
                )
        return
    for key, value in (("ramdisk", guest.ramdisk), ("cmdline", guest.cmdline)):
        if value is not None:
            raise SettingRefused(
                None,
                key,
                value,
                "direct boot parameter without a kernel: only a kernel can be given it",
                f'add kernel="PATH", or remove {key}=',
            )


def _check_cmdline(cmdline: str | None) -> None:
    size = 0 if cmdline is None else len(cmdline.encode("utf-8", "surrogateescape"))
    if cmdline is not None and (size > CMDLINE_MAX_BYTES or "\0" in cmdline):
        raise SettingRefused(
            None,
            "cmdline",
            cmdline,
            f"has {size} bytes or a NUL, at most {CMDLINE_MAX_BYTES} without NUL",
            "shorten it",
        )


def _check_disks(disks: tuple[DiskSpec, ...]) -> None:
    numbers: dict[int, str] = {}
    for disk in disks:
        if disk.device.number in numbers:
            raise SettingRefused(
                None,
                "disk",
                disk.vdev,
                f"is the device {numbers[disk.device.number]} that another disk has",
                "give each disk a vdev of its own",
            )
        numbers[disk.device.number] = disk.vdev
        emulated = disk.device.bus is not Bus.SD and disk.device.disk < EMULATED_DISKS_MAX
        if emulated and disk.read_only and not disk.cdrom:
            raise SettingRefused(
                None,
                "disk",
                disk.vdev,
                "is read-only: qemu-xen has no read-only IDE disks",
                "use an sd name (sda), access=rw, or cdrom",
            )


def _check_devices(guest: GuestConfig) -> None:
    """Their names go to xenstore as they are."""
    named = [("serial", device) for device in guest.serial]
    named += [("disk", disk.target) for disk in guest.disks if disk.target is not None]
    for key, device in named:
        size = len(device.encode("utf-8", "surrogateescape"))
        if not 1 <= size <= DEVICE_MAX_BYTES or "\0" in device:
            raise SettingRefused(
                None,
                key,
                device,
                f"names a device in {size} bytes or with a NUL, must be 1 to {DEVICE_MAX_BYTES}",
                "shorten it",
            )
