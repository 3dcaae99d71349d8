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
E820_MAX = 128
RESERVATIONS_MAX = 32


class Role(Enum):
    """What an image is to the guest; how it is read is the device model's business."""

    KERNEL = "kernel"
    RAMDISK = "ramdisk"


class BootMethod(Enum):
    """How the kernel is to be started; AUTO lets the device model look."""

    AUTO = "auto"
    LINUX = "linux"


class Insert(Enum):
    """How firmware comes to the BIOS extension."""

    WINDOW = "window"
    """the device model writes the ROM into a slot of the option-ROM window"""
    GENROMS = "genroms"
    """the ROM stays in staging; the toolstack hands firmware a bounded copy"""


@dataclass(frozen=True, slots=True)
class StagedImage:
    """One image as opaque bytes in guest RAM."""

    role: Role
    range: GpaRange
    digest: bytes
    """BLAKE3 of the range, DIGEST_BYTES long"""

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

    def __post_init__(self) -> None:
        if len(self.cmdline) > CMDLINE_MAX_BYTES or b"\0" in self.cmdline:
            raise ValueError(f"cmdline has {len(self.cmdline)} bytes or a NUL")
        if len({image.role for image in self.images}) != len(self.images):
            raise ValueError("two images of one role")
        both = first_overlap(image.range for image in self.images)
        if both is not None:
            raise ValueError(f"images at {both[0]} and {both[1]} overlap")

    def image(self, role: Role) -> StagedImage | None:
        """The image of `role`, if there is one."""
        return next((image for image in self.images if image.role is role), None)
