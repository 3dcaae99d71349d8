"""A BIOS: which of the two kinds it is, and where on Xen it will lie.

A BIOS of a PC ends at 1 MiB, in whose last 16 bytes the reset vector is. UEFI firmware is larger,
ends at 4 GiB, and only its end is seen below 1 MiB.
Sources: hvmloader's seabios.c and ovmf.c; UEFI Platform Initialization, volume 3, 3.2.1 (firmware
volume header: "_FVH" at 0x28).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from blake3 import blake3

from devicemodel.images.source import Image, ImageSlice
from handoff.addresses import FOUR_GIB, KIB, MIB, GpaRange, align_up
from handoff.errors import LayoutError
from handoff.firmware import BIOS_MAX_BYTES, BIOS_UNIT_BYTES
from handoff.platforms import Platform

RESET_VECTOR_BYTES: Final = 16
PC_BIOS_MAX_BYTES: Final = 256 * KIB
"""Of a BIOS that ends at 1 MiB: below 0xc0000 is the VGA window."""
UEFI_LOW_BYTES: Final = 64 * KIB
"""Of UEFI firmware, what hvmloader copies up to 1 MiB: the reset vector and what it reaches."""
_FIRMWARE_VOLUME: Final = slice(0x28, 0x2C)


class BiosKind(Enum):
    """What a BIOS is, by its content."""

    PC = "PC BIOS"
    UEFI = "UEFI firmware"


@dataclass(frozen=True, slots=True)
class Bios:
    """One that can be started."""

    kind: BiosKind
    image: ImageSlice
    content: memoryview
    """the private copy that was looked at"""
    digest: bytes
    """BLAKE3 of it"""

    @property
    def size(self) -> int:
        return self.image.size

    def on_xen(self) -> tuple[GpaRange, ...]:
        """Where hvmloader copies it: up to 1 MiB, and UEFI firmware up to 4 GiB, too."""
        if self.kind is BiosKind.PC:
            return (GpaRange.between(MIB - self.size, MIB),)
        high = FOUR_GIB - align_up(self.size, MIB)
        return (
            GpaRange.between(high, high + self.size),
            GpaRange.between(MIB - UEFI_LOW_BYTES, MIB),
        )


def read_bios(image: Image, platform: Platform) -> Bios:
    """The BIOS in `image`. Raises: LayoutError for what no machine of `platform` would start."""
    if image.size > BIOS_MAX_BYTES:
        remedy = f"a BIOS has at most {BIOS_MAX_BYTES:#x} bytes: name bios-256k.bin or OVMF.fd"
        raise LayoutError("bios size", 0, f"{image.size:#x}", remedy)
    content = image.private_copy()
    uefi = bytes(content[_FIRMWARE_VOLUME]) == b"_FVH"
    _check_size(image.size, uefi, platform)
    if not uefi and image.size > PC_BIOS_MAX_BYTES:
        raise LayoutError(
            "bios firmware volume",
            _FIRMWARE_VOLUME.start,
            bytes(content[_FIRMWARE_VOLUME]).hex(),
            "UEFI firmware has _FVH there (5f465648), and a PC BIOS at most "
            f"{PC_BIOS_MAX_BYTES:#x} bytes: name bios-256k.bin or OVMF.fd",
        )
    vector = bytes(content[-RESET_VECTOR_BYTES:])
    if vector in (bytes(RESET_VECTOR_BYTES), b"\xff" * RESET_VECTOR_BYTES):
        raise LayoutError(
            "bios reset vector",
            image.size - RESET_VECTOR_BYTES,
            vector.hex(),
            "there is no instruction: name a BIOS, not the file of its variables",
        )
    kind = BiosKind.UEFI if uefi else BiosKind.PC
    return Bios(kind, image.whole(), content, blake3(content).digest())


def _check_size(size: int, uefi: bool, platform: Platform) -> None:
    problem = None
    if size % BIOS_UNIT_BYTES:
        problem = f"a BIOS has a multiple of {BIOS_UNIT_BYTES:#x} bytes"
    elif uefi and platform is Platform.XEN_HVM and size % MIB:
        short = align_up(size, MIB) - size
        problem = (
            f"hvmloader starts UEFI firmware at 4 GiB less whole MiB, so this would end {short:#x} "
            "bytes below 4 GiB, where its first instructions jump to"
        )
    if problem is not None:
        remedy = "the image that has the variables, too, OVMF.fd" if uefi else "bios-256k.bin"
        raise LayoutError("bios size", 0, f"{size:#x}", f"{problem}: name {remedy}")
