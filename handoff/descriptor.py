"""What the toolstack tells the device model: the guest's map, and which image lies where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from handoff.addresses import GpaRange, first_overlap
from handoff.e820 import E820Map
from handoff.guest_ram import DIGEST_BYTES
from handoff.platforms import Platform, Reservation

CMDLINE_MAX_BYTES = 4095
"""Longest command line carried, without NUL; a kernel may take less."""
IMAGES_MAX = 16
NAME_MAX_BYTES = 255
"""Longest name of an image: what a file system takes."""
STRINGS_MAX_BYTES = 16 * 1024
"""Command line, names and arguments of one descriptor together, so that its frame has room."""
E820_MAX = 128
RESERVATIONS_MAX = 32


class Role(Enum):
    """What an image is to the guest; how it is read is the device model's business."""

    KERNEL = "kernel"
    RAMDISK = "ramdisk"
    """the first image beside the kernel"""
    MODULE = "module"
    """another one behind it; several, in the descriptor's order"""
    FIRMWARE = "firmware"
    """without a kernel: what the vCPU is started in on Xen, hvmloader"""
    BIOS = "bios"
    """without a kernel: SeaBIOS or OVMF"""
    ACPI = "acpi"
    """without a kernel, on Xen: ACPI tables that hvmloader takes beside its own"""
    SMBIOS = "smbios"
    """SMBIOS structures, likewise"""


class BootMethod(Enum):
    """How the kernel is to be started; AUTO lets the device model look."""

    AUTO = "auto"
    LINUX = "linux"
    PVH = "pvh"
    """an ELF by its PHYS32_ENTRY note, that in a bzImage, too"""
    MULTIBOOT = "multiboot"
    FIRMWARE = "firmware"
    """no kernel: firmware that was handed over boots from what the machine has"""


TABLES = (Role.ACPI, Role.SMBIOS)
"""Images for hvmloader to read, in the order they are placed in."""
_OF_FIRMWARE = frozenset({Role.FIRMWARE, Role.BIOS, *TABLES})


class EntryMode(Enum):
    """In which mode of the CPU a Linux kernel is entered; AUTO is real mode, as in QEMU."""

    AUTO = "auto"
    REAL = "real"
    PROTECTED = "32"
    LONG = "64"


class Subarch(Enum):
    """What a Linux kernel is told of its platform in setup_header.hardware_subarch."""

    PC = "pc"
    XEN = "xen"
    """2, with hardware_subarch_data at an hvm_start_info: for kernels that know of it"""


class Insert(Enum):
    """How firmware comes to the BIOS extension."""

    WINDOW = "window"
    """the device model writes the ROM into a slot of the option-ROM window"""
    GENROMS = "genroms"
    """the ROM stays in staging; the toolstack hands firmware a bounded copy"""
    PCI_ROM = "pci-rom"
    """the ROM was made the expansion ROM of a PCI device when the machine was created; only its
    parameter block is written, at the location that every copy of the ROM knows"""


@dataclass(frozen=True, slots=True)
class StagedImage:
    """One image as opaque bytes in guest RAM."""

    role: Role
    range: GpaRange
    digest: bytes
    """BLAKE3 of the range, DIGEST_BYTES long"""
    name: bytes = b""
    """of the file, without its folder, at most NAME_MAX_BYTES"""
    arguments: bytes = b""
    """its own command line, without NUL, at most CMDLINE_MAX_BYTES"""

    def __post_init__(self) -> None:
        assert len(self.digest) == DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Everything the device model needs besides the bytes in guest RAM.

    Raises ValueError when built from parts that contradict each other.
    """

    platform: Platform
    e820: E820Map
    reserved: tuple[Reservation, ...]
    insert: Insert
    rom_window: GpaRange
    """where WINDOW may put the ROM"""
    boot: BootMethod
    cmdline: bytes
    """without NUL, at most CMDLINE_MAX_BYTES"""
    images: tuple[StagedImage, ...]
    """empty when the device model was given the host's files itself (native)"""
    entry: EntryMode = EntryMode.AUTO
    subarch: Subarch = Subarch.PC

    def __post_init__(self) -> None:
        if len(self.cmdline) > CMDLINE_MAX_BYTES or b"\0" in self.cmdline:
            raise ValueError(f"cmdline has {len(self.cmdline)} bytes or a NUL")
        for image in self.images:
            if len(image.name) > NAME_MAX_BYTES or b"\0" in image.name:
                raise ValueError(f"a name has {len(image.name)} bytes or a NUL")
            if len(image.arguments) > CMDLINE_MAX_BYTES or b"\0" in image.arguments:
                raise ValueError(f"arguments have {len(image.arguments)} bytes or a NUL")
        strings = (self.cmdline, *(image.name + image.arguments for image in self.images))
        if sum(map(len, strings)) > STRINGS_MAX_BYTES:
            raise ValueError(f"cmdline, names and arguments have over {STRINGS_MAX_BYTES} bytes")
        single = [image.role for image in self.images if image.role is not Role.MODULE]
        if len(set(single)) != len(single):
            raise ValueError("two images of one role")
        if len(single) < len(self.images) and Role.RAMDISK not in single:
            raise ValueError("a module, but no ramdisk in front of it")
        wrong = [role for role in single if (role in _OF_FIRMWARE) != self.boots_firmware]
        if wrong:
            raise ValueError(f"boot {self.boot.value} takes no image of role {wrong[0].value}")
        both = first_overlap(image.range for image in self.images)
        if both is not None:
            raise ValueError(f"images at {both[0]} and {both[1]} overlap")

    @property
    def boots_firmware(self) -> bool:
        """There is no kernel."""
        return self.boot is BootMethod.FIRMWARE

    def image(self, role: Role) -> StagedImage | None:
        """The image of `role`, if there is one."""
        return next((image for image in self.images if image.role is role), None)

    @property
    def modules(self) -> tuple[StagedImage, ...]:
        """Those behind the ramdisk, in order."""
        return tuple(image for image in self.images if image.role is Role.MODULE)
