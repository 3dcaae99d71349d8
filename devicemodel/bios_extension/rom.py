"""The option ROM's bytes, told where its parameter block lies; and a check of such bytes.

The code is rom.asm, assembled to rom.bin, the ROM for a block at the known location; for another
place two fields are changed here. Sources: Plug and Play BIOS specification 1.0A section 3 (option
ROM header, expansion header, BEV); BIOS Boot Specification 1.01; PCI Firmware Specification 3.0
section 5.1 (PCI data structure).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devicemodel.bios_extension.block import BLOCK_MAX_BYTES, DEFAULT_BLOCK_GPA, check_block_place
from handoff.addresses import Gpa, GpaRange
from handoff.errors import LayoutError

SOURCE: Final = Path(__file__).with_name("rom.asm")
ASSEMBLED: Final = Path(__file__).with_name("rom.bin")
# Read on import: when the device model needs it, it has no file system any more.
_TEMPLATE: Final = ASSEMBLED.read_bytes()

SECTOR_BYTES: Final = 512
ROM_MAX_BYTES: Final = 255 * SECTOR_BYTES

_SIGNATURE_AT: Final = 0x00
_LENGTH_AT: Final = 0x02
CHECKSUM_AT: Final = 0x07
_BLOCK_GPA_AT: Final = 0x08
NAME_AT: Final = 0x0C
_PCIR_POINTER_AT: Final = 0x18
_PNP_POINTER_AT: Final = 0x1A
_HEADER_BYTES: Final = 0x1C
_NAME: Final = b"direct boot\0"
_PNP: Final = struct.Struct("<4sBBHBBIHH3sBHHHHH")
_IPL_DEVICE: Final = 0x04
_PCIR: Final = struct.Struct("<4sHHHHB3sHHBBH")
_LAST_IMAGE: Final = 0x80

PCI_ID: Final = (0x5853, 0x0001)
"""Vendor and device of the Xen platform device, whose expansion ROM this can be."""

assert _PNP.size == 32
assert _PCIR.size == 24


@dataclass(frozen=True, slots=True)
class RomHeader:
    """What firmware, and the reader of this ROM, learn from its headers."""

    size: int
    """bytes, a multiple of 512"""
    block_gpa: Gpa
    bev: int
    """bootstrap entry vector, offset in the ROM"""


def rom_image(block_gpa: Gpa = DEFAULT_BLOCK_GPA) -> bytes:
    """The option ROM that interprets the parameter block at `block_gpa`, checksum valid.

    block_gpa: BLOCK_MAX_BYTES are read from here. Raises: PlacementError if the ROM cannot
    read there.
    """
    check_block_place(GpaRange(block_gpa, BLOCK_MAX_BYTES))
    image = bytearray(_TEMPLATE)
    struct.pack_into("<I", image, _BLOCK_GPA_AT, block_gpa)
    image[CHECKSUM_AT] = 0
    image[CHECKSUM_AT] = -sum(image) % 256
    return bytes(image)


def check_rom(image: bytes) -> RomHeader:
    """The headers of `image`, which is one of our ROMs, whole and unaltered in length.

    Raises: LayoutError with the field; PlacementError if its block cannot lie where it says.
    """
    if not _HEADER_BYTES <= len(image) <= ROM_MAX_BYTES:
        raise _refused(
            "size", _LENGTH_AT, len(image), f"must be {_HEADER_BYTES:#x} to {ROM_MAX_BYTES:#x}"
        )
    signature = image[_SIGNATURE_AT:_LENGTH_AT].hex()
    if signature != "55aa":
        raise _refused("signature", _SIGNATURE_AT, signature, "must be 55aa")
    if len(image) != image[_LENGTH_AT] * SECTOR_BYTES:
        raise _refused("length", _LENGTH_AT, image[_LENGTH_AT], f"{len(image):#x} bytes are there")
    if sum(image) % 256:
        raise _refused("checksum", CHECKSUM_AT, image[CHECKSUM_AT], "bytes must add up to 0")
    if image[NAME_AT : NAME_AT + len(_NAME)] != _NAME:
        raise _refused("name", NAME_AT, image[NAME_AT:_HEADER_BYTES].hex(), "not our ROM")
    (block_gpa,) = struct.unpack_from("<I", image, _BLOCK_GPA_AT)
    check_block_place(GpaRange(Gpa(block_gpa), BLOCK_MAX_BYTES))
    _check_pcir(image)
    return RomHeader(len(image), Gpa(block_gpa), _check_pnp(image))


def _check_pnp(image: bytes) -> int:
    """The BEV of the $PnP expansion header."""
    (at,) = struct.unpack_from("<H", image, _PNP_POINTER_AT)
    if at % 16 or not _HEADER_BYTES <= at <= len(image) - _PNP.size:
        raise _refused("$PnP pointer", _PNP_POINTER_AT, at, "must be 16-aligned, in the ROM")
    header = image[at : at + _PNP.size]
    (signature, revision, length, following, _, _, _, _, _, _, indicators, bcv, _, bev, _, _) = (
        _PNP.unpack(header)
    )
    if signature != b"$PnP" or revision != 1 or length * 16 != _PNP.size:
        raise _refused("$PnP", at, header[:6].hex(), "must be $PnP, revision 1, 32 bytes")
    if sum(header) % 256:
        raise _refused("$PnP checksum", at + 9, header[9], "its bytes must add up to 0")
    if following or bcv:
        raise _refused("$PnP next, BCV", at + 6, following or bcv, "this ROM has a BEV only")
    if not indicators & _IPL_DEVICE:
        raise _refused("$PnP indicators", at + 0x15, indicators, "must say IPL device (0x4)")
    if not _HEADER_BYTES <= bev < len(image):
        raise _refused("$PnP BEV", at + 0x1A, bev, f"must be inside {len(image):#x} bytes")
    return int(bev)


def _check_pcir(image: bytes) -> None:
    """The PCI data structure, without which firmware takes no ROM from a PCI device."""
    (at,) = struct.unpack_from("<H", image, _PCIR_POINTER_AT)
    if at % 4 or not _HEADER_BYTES <= at <= len(image) - _PCIR.size:
        raise _refused("PCIR pointer", _PCIR_POINTER_AT, at, "must be 4-aligned, in the ROM")
    found = _PCIR.unpack_from(image, at)
    signature, vendor, device, _, length, _, _, sectors, _, code, indicator, _ = found
    if signature != b"PCIR" or length != _PCIR.size:
        raise _refused("PCIR", at, image[at : at + 12].hex(), "must be PCIR, 24 bytes")
    if (vendor, device) != PCI_ID:
        raise _refused("PCIR vendor, device", at + 4, f"{vendor:04x}:{device:04x}", "not ours")
    if sectors * SECTOR_BYTES != len(image):
        raise _refused("PCIR length", at + 0x10, sectors, f"{len(image):#x} bytes are there")
    if code != 0 or indicator != _LAST_IMAGE:
        raise _refused("PCIR code, indicator", at + 0x14, indicator, "must be the only PC image")


def _refused(field: str, offset: int, found: int | str, remedy: str) -> LayoutError:
    shown = f"{found:#x}" if isinstance(found, int) else found
    return LayoutError(f"option ROM {field}", offset, shown, remedy)
