"""Which cells there are, and which of them are run on which machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from handoff.descriptor import BootMethod, EntryMode
from handoff.platforms import Platform

XEN, PC = Platform.XEN_HVM, Platform.QEMU_PC
CARRIERS: Final = ("xenstore", "memory", "cmdline", "native")
"""How the descriptor travels; native: the device model reads the host's files."""
QEMU: Final = "qemu"
EMULATOR: Final = "emulator"

Place = tuple[Platform, str]
"""Platform and carrier."""
PLACES: Final = tuple((platform, carrier) for platform in Platform for carrier in CARRIERS)


@dataclass(frozen=True, slots=True)
class Method:
    """A way to start a kernel, or a guest without one."""

    name: str
    boot: BootMethod
    entry: EntryMode = EntryMode.AUTO
    rom: str = ""
    """QEMU's option ROM that does it, a file name; empty: the BIOS extension of ours"""

    @property
    def options(self) -> tuple[str, ...]:
        """As words for the toolstack."""
        rom = ("--rom", "qemu") if self.rom else ()
        return ("--boot", self.boot.value, "--entry", self.entry.value, *rom)


REAL: Final = Method("linux", BootMethod.LINUX)
BITS_32: Final = Method("linux 32", BootMethod.LINUX, EntryMode.PROTECTED)
BITS_64: Final = Method("linux 64", BootMethod.LINUX, EntryMode.LONG)
PVH: Final = Method("pvh", BootMethod.PVH)
MULTIBOOT: Final = Method("multiboot", BootMethod.MULTIBOOT)
REAL_ROM: Final = Method("linux rom", BootMethod.LINUX, rom="linuxboot_dma.bin")
PVH_ROM: Final = Method("pvh rom", BootMethod.PVH, rom="pvh.bin")
MULTIBOOT_ROM: Final = Method("multiboot rom", BootMethod.MULTIBOOT, rom="multiboot_dma.bin")
FIRMWARE: Final = Method("firmware", BootMethod.FIRMWARE)
OURS: Final = (REAL, BITS_32, BITS_64, PVH, MULTIBOOT)
METHODS: Final = (*OURS, REAL_ROM, PVH_ROM, MULTIBOOT_ROM)
"""Of kernels."""


Row = tuple[str, Method]
"""Image and method."""


def _on(machine: str, platforms: tuple[Platform, ...] = (XEN, PC), **but: str) -> dict[Place, str]:
    """Every place on `machine`; but: other machines by `xen_memory` or `pc_native`."""
    out = {(platform, carrier): machine for platform in platforms for carrier in CARRIERS}
    for name, other in but.items():
        out[_place(name)] = other
    return out


def _in_qemu(*names: str) -> dict[Place, str]:
    """Those alone, of a kernel that needs more than the emulator has."""
    return {_place(name): QEMU for name in names}


def _place(name: str) -> Place:
    platform, carrier = name.split("_")
    return {"xen": XEN, "pc": PC}[platform], carrier


RUN: Final[Mapping[Row, dict[Place, str]]] = MappingProxyType(
    {
        ("vmlinuz", REAL): _in_qemu("xen_xenstore", "xen_memory", "xen_cmdline", "pc_native"),
        ("vmlinuz", BITS_32): _in_qemu("xen_xenstore", "pc_memory"),
        ("vmlinuz", BITS_64): _in_qemu("xen_native", "pc_cmdline"),
        ("vmlinuz", PVH): _in_qemu("xen_xenstore", "pc_memory", "xen_native"),
        ("vmlinuz-amd64", PVH): _in_qemu("pc_cmdline"),
        ("vmlinux", PVH): _in_qemu("xen_cmdline"),
        ("bzImage-zstd", PVH): _in_qemu("pc_xenstore"),
        ("bzImage-lzo", PVH): _in_qemu("xen_memory"),
        ("vmlinuz-i386", REAL): _in_qemu("xen_xenstore"),
        ("vmlinuz-i386", BITS_32): _in_qemu("pc_native"),
        ("memtest86+x64.bin", REAL): _in_qemu("xen_xenstore"),
        ("memtest86+x64.bin", BITS_32): _in_qemu("pc_memory"),
        ("memtest86+x64.bin", BITS_64): _in_qemu("xen_native"),
        ("memtest86+ia32.bin", BITS_32): _in_qemu("pc_cmdline"),
        ("xen.gz", MULTIBOOT): _in_qemu("xen_xenstore", "pc_native"),
        ("builtin", REAL): _on(
            EMULATOR, xen_xenstore=QEMU, xen_native=QEMU, pc_memory=QEMU, pc_cmdline=QEMU
        ),
        ("builtin-fixed", REAL): {
            **_in_qemu("xen_memory", "pc_xenstore"),
            (XEN, "cmdline"): EMULATOR,
            (PC, "native"): EMULATOR,
        },
        ("before 2.00", REAL): _in_qemu("xen_xenstore", "pc_native"),
        ("2.00", REAL): _in_qemu("xen_memory", "pc_xenstore"),
        ("2.01 zImage", REAL): _in_qemu("xen_cmdline", "pc_memory"),
        ("2.04", REAL): _in_qemu("xen_native", "pc_cmdline"),
        ("witness-pvh", PVH): _in_qemu("xen_xenstore", "pc_native"),
        ("witness-multiboot", MULTIBOOT): _in_qemu("xen_memory", "pc_cmdline"),
        ("builtin", REAL_ROM): {(PC, "cmdline"): EMULATOR},
        ("witness-pvh", PVH_ROM): {(XEN, "memory"): EMULATOR},
        ("witness-multiboot", MULTIBOOT_ROM): {(XEN, "xenstore"): EMULATOR},
    }
)
"""Cells that the programs are started for, as a user does. In QEMU, under real firmware, a subset
in which every method of ours meets both platforms, and every platform every carrier."""


UNTOLD: Final = frozenset({("vmlinux", PVH), ("xen.gz", MULTIBOOT)})
"""Run without --boot: it is the method that the device model chooses for them."""


class Goal(Enum):
    """How far a kernel is followed in the emulator, in the process of the tests."""

    WORDS = "to its own words"
    ENTRY = "to its first instruction in 32 or 64 bits"
    SETUP = "to the first instruction of its setup code"


_OLD: Final = ("before 2.00", "2.00", "2.01 zImage", "2.04")
_OF_OURS: Final = ("builtin", "builtin-fixed", *_OLD)
_SHIPPED: Final = (
    "vmlinuz",
    "vmlinuz-amd64",
    "vmlinuz-i386",
    "memtest86+x64.bin",
    "memtest86+ia32.bin",
)
_PACKED: Final = "bzImage-zstd"
"""It has no code of a kernel before what it packs."""
LEFT_OUT: Final = frozenset(
    {
        *(("bzImage-lzo", method) for method in METHODS),
        *(("vmlinuz-amd64", method) for method in (PVH, PVH_ROM)),
    }
)
"""Run in QEMU at most: slow to unpack, and each compression leads to the same bytes in
tests/devicemodel/images/test_real_direct.py."""


def _goals(goal: Goal, images: tuple[str, ...], *methods: Method) -> dict[Row, Goal]:
    return {(image, method): goal for image in images for method in methods}


FOLLOWED: Final[Mapping[Row, Goal]] = MappingProxyType(
    {
        **_goals(Goal.WORDS, _OF_OURS, REAL, REAL_ROM),
        # It is long in unpacking itself: once is enough.
        **_goals(Goal.WORDS, ("ipxe.lkrn",), REAL),
        **_goals(Goal.SETUP, ("ipxe.lkrn",), REAL_ROM),
        **_goals(Goal.WORDS, ("witness-pvh",), PVH, PVH_ROM),
        **_goals(Goal.WORDS, ("witness-multiboot",), MULTIBOOT, MULTIBOOT_ROM),
        **_goals(Goal.ENTRY, _SHIPPED, REAL, REAL_ROM, BITS_32),
        **_goals(Goal.ENTRY, ("vmlinuz", "vmlinuz-amd64", "memtest86+x64.bin"), BITS_64),
        **_goals(Goal.ENTRY, ("vmlinuz", "vmlinux", _PACKED), PVH, PVH_ROM),
        **_goals(Goal.ENTRY, ("xen.gz",), MULTIBOOT, MULTIBOOT_ROM),
        # Small kernels of ours have words in their setup code alone.
        **_goals(Goal.ENTRY, ("builtin", "builtin-fixed"), BITS_32, BITS_64),
        **_goals(Goal.ENTRY, ("2.04",), BITS_32),
        **_goals(Goal.ENTRY, (_PACKED,), BITS_32, BITS_64),
        **_goals(Goal.SETUP, (_PACKED,), REAL, REAL_ROM),
    }
)
"""All that is not refused."""

_KERNELS: Final = (
    *("vmlinuz", "vmlinux", "bzImage-zstd", "bzImage-lzo", "vmlinuz-amd64", "vmlinuz-i386"),
    *("memtest86+x64.bin", "memtest86+ia32.bin", "ipxe.lkrn", "xen.gz"),
    *("builtin", "builtin-fixed", *_OLD, "witness-pvh", "witness-multiboot"),
)
CONSIDERED: Final = tuple(
    (image, method) for image in _KERNELS for method in METHODS if (image, method) not in LEFT_OUT
)
"""Followed, or seen to be refused."""

HVMLOADER: Final = "hvmloader+"
"""Before the name of the BIOS that it brings up."""
FIRMWARES: Final[Mapping[str, Goal]] = MappingProxyType(
    {
        "SeaBIOS": Goal.WORDS,
        "OVMF": Goal.ENTRY,
        f"{HVMLOADER}SeaBIOS": Goal.WORDS,
        f"{HVMLOADER}OVMF": Goal.WORDS,
    }
)
FIRMWARE_RUN: Final[Mapping[str, dict[Place, str]]] = MappingProxyType(
    {
        "SeaBIOS": _on(QEMU, (PC,)),
        "OVMF": _in_qemu("pc_xenstore"),
        f"{HVMLOADER}SeaBIOS": {(XEN, "xenstore"): EMULATOR},
    }
)


def platform_of(firmware: str) -> Platform:
    """The one it is for; it is refused on the other."""
    return XEN if firmware.startswith(HVMLOADER) else PC


ROWS: Final = (
    *(
        (image, method)
        for image in _KERNELS
        for method in METHODS
        if (image, method) in FOLLOWED or (image, method) in RUN
    ),
    *((firmware, FIRMWARE) for firmware in FIRMWARES),
)
"""All that something came of, in the order of the table."""


def runs() -> Iterator[tuple[str, Method, Platform, str, str]]:
    """Image, method, platform, carrier and machine of every cell the programs are started for."""
    for (image, method), places in RUN.items():
        for (platform, carrier), machine in places.items():
            yield image, method, platform, carrier, machine
