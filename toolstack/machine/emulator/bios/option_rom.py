"""Option ROMs: which bytes are one, and where its entries lie.

Sources: Plug and Play BIOS specification 1.0a, section 3; BIOS boot specification 1.01.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from toolstack.machine.emulator.bios.layout import ROM_SCAN, ROM_SCAN_END
from toolstack.machine.emulator.cpu import Cpu

SIGNATURE = b"\x55\xaa"
BLOCK_BYTES = 512
INIT_OFFSET = 3
_PNP_POINTER = 0x1A
_PNP_SIGNATURE = b"$PnP"
_PNP_SIZE = 0x20
_MAX_HEADERS = 16


class BadRom(Exception):
    """There is a ROM's signature, but its length or checksum is wrong."""


@dataclass(frozen=True, slots=True)
class BootEntry:
    """One bootable thing of a ROM."""

    segment: int
    bev: int
    """offset of the bootstrap entry vector in the ROM"""
    product: str
    """product string, printable, at most 40 characters"""


@dataclass(frozen=True, slots=True)
class OptionRom:
    address: int
    size: int
    """bytes"""

    @property
    def segment(self) -> int:
        return self.address >> 4


def find_rom(cpu: Cpu, address: int) -> OptionRom | None:
    """The ROM at `address`, None if there is no signature. Raises: BadRom."""
    head = cpu.read(address, 3)
    if head[:2] != SIGNATURE:
        return None
    size = head[2] * BLOCK_BYTES
    if size == 0:
        raise BadRom(f"option ROM at {address:#x} has length 0")
    if address + size > ROM_SCAN_END:
        raise BadRom(
            f"option ROM at {address:#x} has {size:#x} bytes and ends beyond {ROM_SCAN_END:#x}"
        )
    total = sum(cpu.read(address, size)) & 0xFF
    if total:
        raise BadRom(f"option ROM at {address:#x} has bad checksum {total:#04x}, not 0")
    return OptionRom(address, size)


def next_place(after: int) -> int:
    """First 2 KiB boundary at or above `after`."""
    step = ROM_SCAN.step
    return (after + step - 1) // step * step


def boot_entries(cpu: Cpu, rom: OptionRom) -> tuple[BootEntry, ...]:
    """The BEVs of `rom` in the order of its $PnP headers; headers that lie are skipped.

    A header with a BCV only hooks int 13h as a disk, which this machine does not have.
    """
    image = cpu.read(rom.address, rom.size)
    found: list[BootEntry] = []
    (offset,) = struct.unpack_from("<H", image, _PNP_POINTER)
    for _ in range(_MAX_HEADERS):
        header = image[offset : offset + _PNP_SIZE]
        if offset == 0 or len(header) < _PNP_SIZE or header[:4] != _PNP_SIGNATURE:
            break
        (bev,) = struct.unpack_from("<H", header, 0x1A)
        (product,) = struct.unpack_from("<H", header, 0x10)
        if bev:
            found.append(BootEntry(rom.segment, bev, _string(image, product)))
        (offset,) = struct.unpack_from("<H", header, 6)
    return tuple(found)


def _string(image: bytes, offset: int) -> str:
    if not 0 < offset < len(image):
        return "unnamed"
    raw = image[offset : offset + 40].split(b"\0")[0]
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in raw) or "unnamed"
