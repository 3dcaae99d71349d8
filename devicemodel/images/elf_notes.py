"""Xen's notes in an ELF kernel: where it is entered directly, and whether it may be moved.

A note is {u32 namesz, u32 descsz, u32 type}, then name and description, each padded to 4 bytes.
Source: xen/include/public/elfnote.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from devicemodel.images.elf import ElfFile, NoteTable, footprint
from handoff.addresses import FOUR_GIB, PAGE, is_power_of_two
from handoff.errors import LayoutError

PHYS32_ENTRY: Final = 18
PHYS32_RELOC: Final = 19
NOTES_MAX_BYTES: Final = 1 << 16
"""Most bytes of notes walked, in all tables together: many headers may name the same ones. Linux
has 0x200 bytes of them."""

_NOTE: Final = struct.Struct("<III")
_XEN: Final = b"Xen\0"
_DEFAULT_RELOC_ALIGN: Final = 0x200000


@dataclass(frozen=True, slots=True)
class Relocation:
    """Where the whole kernel may be moved to."""

    align: int
    """bytes, a power of two of at least a page"""
    min: int
    """lowest address of its first byte"""
    max: int
    """highest address of its last byte"""


@dataclass(frozen=True, slots=True)
class XenNotes:
    phys32_entry: int | None
    """physical address of the 32-bit entry"""
    relocation: Relocation | None
    """None: it runs at its own addresses only"""


@dataclass(frozen=True, slots=True)
class _Note:
    field: str
    offset: int
    type: int
    desc: bytes


def read_xen_notes(elf: ElfFile) -> XenNotes:
    """The notes of the program headers; of the sections where those have none of Xen's.

    Raises: LayoutError for a note that leaves its table, is given twice, or says what cannot be.
    """
    notes: dict[int, _Note] = {}
    for tables in (elf.program_notes, elf.section_notes):
        _check_size(tables)
        for table in tables:
            for note in _xen_notes(table):
                if note.type in notes and notes[note.type].desc != note.desc:
                    raise LayoutError(
                        f"{note.field} type",
                        note.offset,
                        f"{note.type}, and {notes[note.type].field} is one with another value",
                        "a kernel says it once",
                    )
                notes[note.type] = note
        if notes:
            break
    entry, reloc = notes.get(PHYS32_ENTRY), notes.get(PHYS32_RELOC)
    return XenNotes(
        None if entry is None else _entry(entry, elf),
        None if reloc is None else _relocation(reloc, elf),
    )


def _check_size(tables: tuple[NoteTable, ...]) -> None:
    size = sum(len(table.data) for table in tables)
    if size > NOTES_MAX_BYTES:
        raise LayoutError(
            f"kernel ELF {tables[-1].name} notes",
            tables[-1].offset,
            f"{size:#x} bytes with those before",
            f"at most {NOTES_MAX_BYTES:#x} are read",
        )


def _xen_notes(table: NoteTable) -> Iterator[_Note]:
    """Those of PHYS32_ENTRY and PHYS32_RELOC."""
    at, index, size = 0, 0, len(table.data)
    # Fewer bytes than a header are padding of the table.
    while at + _NOTE.size <= size:
        field = f"kernel ELF {table.name} note[{index}]"
        namesz, descsz, type_ = _NOTE.unpack_from(table.data, at)
        name_at = at + _NOTE.size
        desc_at = name_at + _padded(namesz)
        for name, value, end, offset in (
            ("namesz", namesz, name_at + namesz, at),
            ("descsz", descsz, desc_at + descsz, at + 4),
        ):
            if end > size:
                raise LayoutError(
                    f"{field}.{name}",
                    table.offset + offset,
                    f"{value:#x}",
                    f"the note leaves its table of {size:#x} bytes",
                )
        is_xen = bytes(table.data[name_at : name_at + namesz]) == _XEN if namesz == 4 else False
        if is_xen and type_ in (PHYS32_ENTRY, PHYS32_RELOC):
            desc = bytes(table.data[desc_at : desc_at + descsz])
            yield _Note(field, table.offset + at, type_, desc)
        at = desc_at + _padded(descsz)
        index += 1


def _padded(size: int) -> int:
    return -(-size // 4) * 4


def _entry(note: _Note, elf: ElfFile) -> int:
    field = f"{note.field} PHYS32_ENTRY"
    if len(note.desc) not in (4, 8):
        raise LayoutError(
            field, note.offset, f"{len(note.desc)} bytes", "an address of 4 or 8 bytes"
        )
    entry = int.from_bytes(note.desc, "little")
    if elf.segment_at(entry) is None:
        raise LayoutError(
            field,
            note.offset,
            f"{entry:#x}",
            f"no segment of the kernel lies there, it has {footprint(elf.segments)}",
        )
    return entry


def _relocation(note: _Note, elf: ElfFile) -> Relocation:
    field = f"{note.field} PHYS32_RELOC"
    if len(note.desc) not in (0, 4, 8, 12):
        raise LayoutError(
            field, note.offset, f"{len(note.desc)} bytes", "up to three numbers of 4 bytes"
        )
    given: list[int] = list(struct.unpack(f"<{len(note.desc) // 4}I", note.desc))
    align, lowest, highest = (*given, *(_usual_align(elf), 0, FOUR_GIB - 1)[len(given) :])
    if not PAGE <= align < FOUR_GIB or not is_power_of_two(align):
        raise LayoutError(
            f"{field} align", note.offset, f"{align:#x}", "a power of two of at least 0x1000"
        )
    if highest < lowest:
        raise LayoutError(
            f"{field} max", note.offset, f"{highest:#x}", f"it is below min {lowest:#x}"
        )
    return Relocation(align, lowest, highest)


def _usual_align(elf: ElfFile) -> int:
    """What counts where the note does not say."""
    widest = max(segment.align for segment in elf.segments)
    return widest if widest >= PAGE else _DEFAULT_RELOC_ALIGN
