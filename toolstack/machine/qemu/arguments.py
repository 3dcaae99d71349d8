"""QEMU's argument list for one guest.

Everything comes as an inherited descriptor, so there is no path in it that somebody else
could put something under, and the process needs no rights on any file.
"""

from __future__ import annotations

from dataclasses import dataclass

from handoff.errors import MachineError
from handoff.firmware import DirectEntry
from handoff.guest_ram import regions_for
from handoff.platforms import Platform, low_ram_limit
from toolstack.machine.port import Hardware
from toolstack.machine.qemu import disks
from toolstack.machine.qemu.disks import OpenDisk

SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

_MACHINE = (
    "pc",
    "memory-backend=ram",
    "usb=off",
    "vmport=off",
    "hpet=off",
)
_SERIAL_SCREEN = "graphics=off"
"""SeaBIOS then shows on the serial port what it would on a screen."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What QEMU inherits beside its standard output, which is the guest's serial port."""

    ram: int
    qmp: int
    rom: int | None
    """the BIOS extension, or the BIOS if the hardware has one"""
    disks: tuple[OpenDisk, ...]

    def all(self) -> tuple[int, ...]:
        rom = () if self.rom is None else (self.rom,)
        return (self.ram, self.qmp, *rom, *(disk.fd for disk in self.disks))


def arguments(
    hardware: Hardware, descriptors: Descriptors, accelerator: tuple[str, ...]
) -> tuple[str, ...]:
    """All but the program's name. Raises: MachineError for what QEMU cannot build."""
    check_layout(hardware)
    if isinstance(hardware.firmware, DirectEntry):
        raise MachineError("QEMU starts a vCPU at its BIOS: take --platform qemu-pc")
    boots_kernel = hardware.firmware is None
    return (
        # First, so that nothing else is read or made before.
        "-nodefaults",
        "-no-user-config",
        *("-sandbox", SANDBOX),
        *("-name", f"guest={_escaped(hardware.name)}"),
        *("-machine", ",".join(_MACHINE if boots_kernel else (*_MACHINE, _SERIAL_SCREEN))),
        *accelerator,
        *("-cpu", "max"),
        *("-m", f"size={hardware.memory_bytes}B"),
        *("-object", _ram(hardware.memory_bytes, descriptors.ram)),
        # Its option ROM would share pages of the window with ours.
        *("-global", "apic-common.vapic=off"),
        *("-display", "none", "-vga", "none", "-nic", "none"),
        *("-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"),
        *("-chardev", f"socket,id=qmp,fd={descriptors.qmp}", "-mon", "chardev=qmp,mode=control"),
        # A kernel panic ends the machine instead of stopping without a word.
        *("-device", "pvpanic"),
        *(_rom(descriptors.rom) if boots_kernel else _bios(descriptors.rom)),
        *disks.arguments(descriptors.disks, bootable=not boots_kernel),
        *("-no-reboot", "-S"),
    )


def check_layout(hardware: Hardware) -> None:
    """Raises: MachineError unless guest RAM lies in its file as QEMU's `pc` will map it."""
    limit = low_ram_limit(Platform.QEMU_PC, hardware.memory_bytes)
    if hardware.regions != regions_for(hardware.memory_bytes, limit):
        split = ", ".join(f"{part.range} at {part.file_offset:#x}" for part in hardware.regions)
        raise MachineError(
            f"guest RAM lies in its file as {split}, but QEMU's pc ends low RAM at {limit:#x} "
            f"in a guest of {hardware.memory_bytes:#x} bytes"
        )


def _ram(memory_bytes: int, fd: int) -> str:
    return f"memory-backend-file,id=ram,size={memory_bytes}B,mem-path=/proc/self/fd/{fd},share=on"


def _rom(fd: int | None) -> tuple[str, ...]:
    if fd is None:
        return ()
    # Strict: if the BIOS extension gives up, firmware must not go on to a disk but reset,
    # which ends the machine with a reason.
    return (
        *("-option-rom", f"romfile=/proc/self/fd/{fd},bootindex=0"),
        *("-boot", "strict=on,reboot-timeout=0"),
    )


def _bios(fd: int | None) -> tuple[str, ...]:
    assert fd is not None, "the BIOS comes as a file"
    # Strict: only the disks that boot= names. With none left the guest resets, which ends it.
    return (
        *("-bios", f"/proc/self/fd/{fd}"),
        *("-boot", "strict=on,reboot-timeout=0"),
    )


def _escaped(text: str) -> str:
    return text.replace(",", ",,")
