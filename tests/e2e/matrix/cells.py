"""Which cells there are, and which of them are run on which machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    """A way to start a kernel."""

    name: str
    boot: BootMethod
    entry: EntryMode = EntryMode.AUTO

    @property
    def options(self) -> tuple[str, ...]:
        return ("--boot", self.boot.value, "--entry", self.entry.value)


REAL: Final = Method("linux", BootMethod.LINUX)
BITS_32: Final = Method("linux 32", BootMethod.LINUX, EntryMode.PROTECTED)
BITS_64: Final = Method("linux 64", BootMethod.LINUX, EntryMode.LONG)
PVH: Final = Method("pvh", BootMethod.PVH)
MULTIBOOT: Final = Method("multiboot", BootMethod.MULTIBOOT)
METHODS: Final = (REAL, BITS_32, BITS_64, PVH, MULTIBOOT)


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


RUN: Final[Mapping[tuple[str, Method], dict[Place, str]]] = MappingProxyType(
    {
        ("vmlinuz", REAL): _in_qemu("xen_xenstore", "xen_memory", "xen_cmdline", "pc_native"),
        ("vmlinuz", BITS_32): _in_qemu("xen_xenstore", "pc_memory"),
        ("vmlinuz", BITS_64): _in_qemu("xen_native", "pc_cmdline"),
        ("vmlinuz", PVH): _in_qemu("xen_xenstore", "pc_memory", "xen_native"),
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
        ("builtin-fixed", REAL): _on(EMULATOR, xen_memory=QEMU, pc_xenstore=QEMU),
        ("before 2.00", REAL): _on(EMULATOR, xen_xenstore=QEMU, pc_native=QEMU),
        ("2.00", REAL): _on(EMULATOR, xen_memory=QEMU, pc_xenstore=QEMU),
        ("2.01 zImage", REAL): _on(EMULATOR, xen_cmdline=QEMU, pc_memory=QEMU),
        ("2.04", REAL): _on(EMULATOR, xen_native=QEMU, pc_cmdline=QEMU),
        ("witness-pvh", PVH): _on(EMULATOR, xen_xenstore=QEMU, pc_native=QEMU),
        ("witness-multiboot", MULTIBOOT): _on(EMULATOR, xen_memory=QEMU, pc_cmdline=QEMU),
    }
)
"""Cells that are run to the guest's own words. In QEMU, under real firmware, a subset in which
every method meets both platforms, and every platform every carrier."""

STARTED: Final[frozenset[tuple[str, Method]]] = frozenset(
    {
        *RUN,
        # Have no setup code of a kernel, only what it packs.
        *((f"bzImage-{name}", entry) for name in ("zstd", "lzo") for entry in METHODS[:3]),
        # Say nothing on a serial port there.
        ("ipxe.lkrn", REAL),
        ("memtest86+ia32.bin", REAL),
        # A small kernel of ours starts at its setup code alone.
        *((name, BITS_32) for name in ("builtin", "builtin-fixed", "2.04")),
        ("builtin", BITS_64),
        ("builtin-fixed", BITS_64),
    }
)
"""What is not refused: of these the plan and its bytes are compared, run or not."""

IMAGES: Final = (
    "vmlinuz",
    "vmlinux",
    "bzImage-zstd",
    "bzImage-lzo",
    "vmlinuz-i386",
    "memtest86+x64.bin",
    "memtest86+ia32.bin",
    "ipxe.lkrn",
    "xen.gz",
    "builtin",
    "builtin-fixed",
    "before 2.00",
    "2.00",
    "2.01 zImage",
    "2.04",
    "witness-pvh",
    "witness-multiboot",
)


def runs() -> Iterator[tuple[str, Method, Platform, str, str]]:
    """Image, method, platform, carrier and machine of every cell that is run."""
    for (image, method), places in RUN.items():
        for (platform, carrier), machine in places.items():
            yield image, method, platform, carrier, machine
