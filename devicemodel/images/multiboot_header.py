"""The header that makes a file a multiboot kernel, and what it demands.

Source: Multiboot specification 0.6.96, section 3.1; Multiboot2 specification 2.0, section 3.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from devicemodel.images.elf import Segment
from handoff.addresses import FOUR_GIB, Gpa, GpaRange
from handoff.errors import LayoutError

MAGIC: Final = 0x1BADB002
MAGIC_2: Final = 0xE85250D6
SEARCH_BYTES: Final = 8192
"""A header lies wholly in so many first bytes of the file."""
SEARCH_2_BYTES: Final = 32768

_ADDRESSES: Final = 1 << 16
"""Flag: the header says where the file is loaded, whatever format it has."""
_VIDEO: Final = 1 << 2
_MET: Final = 0b11
"""Demands that are always met: modules on pages, memory information."""
_DEMANDS: Final = 0xFFFF
_FIXED: Final = struct.Struct("<III")
_ADDRESS_FIELDS: Final = struct.Struct("<IIIII")
_ADDRESS_NAMES: Final = (
    "header_addr",
    "load_addr",
    "load_end_addr",
    "bss_end_addr",
    "entry_addr",
)


@dataclass(frozen=True, slots=True)
class MultibootHeader:
    offset: int
    """bytes from the start of the file"""
    flags: int
    addresses: tuple[int, ...] | None
    """the five address fields in their order; None: the ELF header says"""


def find_header(file: memoryview) -> MultibootHeader | None:
    """The header, None if there is none.

    Raises: LayoutError for one that is cut off, or demands what is not done here.
    """
    searched = bytes(file[:SEARCH_BYTES])
    for offset in range(0, len(searched) - _FIXED.size + 1, 4):
        magic, flags, checksum = _FIXED.unpack_from(searched, offset)
        if magic == MAGIC and (magic + flags + checksum) % FOUR_GIB == 0:
            return _header(searched, offset, flags)
    return None


def multiboot_2_offset(file: memoryview) -> int | None:
    """Where the file has a multiboot 2 header, None if it has none."""
    searched = bytes(file[:SEARCH_2_BYTES])
    for offset in range(0, len(searched) - 15, 8):
        fields = struct.unpack_from("<IIII", searched, offset)
        if fields[0] == MAGIC_2 and sum(fields) % FOUR_GIB == 0:
            return offset
    return None


def by_addresses(header: MultibootHeader, file: memoryview) -> tuple[Segment, Gpa]:
    """What the address fields load, and the entry. Raises: LayoutError."""
    assert header.addresses is not None
    return _Addresses(header, file).read()


def _header(searched: bytes, offset: int, flags: int) -> MultibootHeader:
    unmet = flags & _DEMANDS & ~_MET
    if unmet:
        what = "bit 2 demands a video mode to be set" if unmet & _VIDEO else "unknown demands"
        raise LayoutError(
            "kernel multiboot flags",
            offset + 4,
            f"{flags:#x}",
            f"{what} (bits {unmet:#x}), which is not done here: build the kernel without",
        )
    if not flags & _ADDRESSES:
        return MultibootHeader(offset, flags, None)
    if offset + _FIXED.size + _ADDRESS_FIELDS.size > len(searched):
        raise LayoutError(
            "kernel multiboot header",
            offset,
            f"cut off after {len(searched) - offset:#x} bytes",
            f"with address fields it must end in the first {SEARCH_BYTES} bytes",
        )
    fields = _ADDRESS_FIELDS.unpack_from(searched, offset + _FIXED.size)
    return MultibootHeader(offset, flags, fields)


class _Addresses:
    """Checks the fields against each other and the file."""

    def __init__(self, header: MultibootHeader, file: memoryview) -> None:
        assert header.addresses is not None
        self._offset = header.offset
        self._file = file
        self._fields = dict(zip(_ADDRESS_NAMES, header.addresses, strict=True))

    def read(self) -> tuple[Segment, Gpa]:
        field = self._fields
        load, end = field["load_addr"], field["load_end_addr"]
        before = field["header_addr"] - load
        if not 0 <= before <= self._offset:
            raise self._refuse(
                "header_addr",
                f"the header lies at {self._offset:#x} in the file, so load_addr {load:#x} would "
                "be outside of it",
            )
        start = self._offset - before
        if end == 0:
            end = load + len(self._file) - start
        if end <= load:
            raise self._refuse("load_end_addr", f"it must be above load_addr {load:#x}, or 0")
        if end - load > len(self._file) - start:
            raise self._refuse(
                "load_end_addr",
                f"from load_addr {load:#x} the file has {len(self._file) - start:#x} bytes: it is "
                "cut short, copy it again",
            )
        if end > FOUR_GIB:
            raise self._refuse("load_addr", "the file would end above 4 GiB")
        bss_end = field["bss_end_addr"] or end
        if bss_end < end:
            raise self._refuse("bss_end_addr", f"what is loaded ends at {end:#x}")
        where = GpaRange.between(load, bss_end)
        if not where.start <= field["entry_addr"] < where.end:
            raise self._refuse("entry_addr", f"the kernel is loaded to {where}")
        content = self._file[start : start + end - load]
        return Segment(where, content, load, 1), Gpa(field["entry_addr"])

    def _refuse(self, name: str, remedy: str) -> LayoutError:
        offset = self._offset + _FIXED.size + 4 * _ADDRESS_NAMES.index(name)
        return LayoutError(f"kernel multiboot {name}", offset, f"{self._fields[name]:#x}", remedy)
