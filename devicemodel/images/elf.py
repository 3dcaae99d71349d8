"""An ELF executable: its header, the segments it wants in memory, and where its notes lie.

Only what a loader needs is read, from one private copy of the file, and every offset is checked
against its size before it is used.
Sources: System V ABI, ELF chapters 4 and 5; its i386 and x86-64 supplements.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from handoff.addresses import FOUR_GIB, Gpa, GpaRange
from handoff.errors import LayoutError

MAGIC: Final = b"\x7fELF"
EM_386: Final = 3
EM_X86_64: Final = 62
ELF32: Final = 1
ELF64: Final = 2
SEGMENTS_MAX: Final = 12
"""Most PT_LOAD segments with content. Kernels have one to six; a report has room for these, each
with its copy that waits and its BSS."""
HEADERS_MAX: Final = 64
"""Most program headers looked at."""
SECTIONS_MAX: Final = 4096
"""Most section headers; they are looked at for notes alone."""

_LITTLE_ENDIAN: Final = 1
_EXECUTABLE: Final = 2
_SHARED: Final = 3
_PT_LOAD: Final = 1
_PT_NOTE: Final = 4
_SHT_NOTE: Final = 7


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the fields of one class are: offset and format."""

    header: dict[str, tuple[int, str]]
    program: dict[str, tuple[int, str]]
    program_bytes: int
    section: dict[str, tuple[int, str]]
    section_bytes: int


_LAYOUTS: Final = {
    ELF32: _Layout(
        header={
            "e_type": (0x10, "<H"),
            "e_machine": (0x12, "<H"),
            "e_version": (0x14, "<I"),
            "e_entry": (0x18, "<I"),
            "e_phoff": (0x1C, "<I"),
            "e_shoff": (0x20, "<I"),
            "e_phentsize": (0x2A, "<H"),
            "e_phnum": (0x2C, "<H"),
            "e_shentsize": (0x2E, "<H"),
            "e_shnum": (0x30, "<H"),
        },
        program={
            "p_type": (0x00, "<I"),
            "p_offset": (0x04, "<I"),
            "p_vaddr": (0x08, "<I"),
            "p_paddr": (0x0C, "<I"),
            "p_filesz": (0x10, "<I"),
            "p_memsz": (0x14, "<I"),
            "p_align": (0x1C, "<I"),
        },
        program_bytes=0x20,
        section={"sh_type": (0x04, "<I"), "sh_offset": (0x10, "<I"), "sh_size": (0x14, "<I")},
        section_bytes=0x28,
    ),
    ELF64: _Layout(
        header={
            "e_type": (0x10, "<H"),
            "e_machine": (0x12, "<H"),
            "e_version": (0x14, "<I"),
            "e_entry": (0x18, "<Q"),
            "e_phoff": (0x20, "<Q"),
            "e_shoff": (0x28, "<Q"),
            "e_phentsize": (0x36, "<H"),
            "e_phnum": (0x38, "<H"),
            "e_shentsize": (0x3A, "<H"),
            "e_shnum": (0x3C, "<H"),
        },
        program={
            "p_type": (0x00, "<I"),
            "p_offset": (0x08, "<Q"),
            "p_vaddr": (0x10, "<Q"),
            "p_paddr": (0x18, "<Q"),
            "p_filesz": (0x20, "<Q"),
            "p_memsz": (0x28, "<Q"),
            "p_align": (0x30, "<Q"),
        },
        program_bytes=0x38,
        section={"sh_type": (0x04, "<I"), "sh_offset": (0x18, "<Q"), "sh_size": (0x20, "<Q")},
        section_bytes=0x40,
    ),
}
_HEADER_BYTES: Final = {ELF32: 0x34, ELF64: 0x40}


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of guest RAM, and the bytes of the file at its start; the rest is zeros (BSS)."""

    range: GpaRange
    content: memoryview
    """read-only, of the one private copy; at most as long as the range"""
    vaddr: int
    """what the linker took the start for; a kernel may be entered by this kind of address"""
    align: int
    """p_align, bytes"""


@dataclass(frozen=True, slots=True)
class NoteTable:
    """A stretch of the file that holds notes."""

    name: str
    """the header that names it, for messages: `phdr[4]`"""
    offset: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class ElfFile:
    """What a loader needs; the segments are ascending, disjoint and below 4 GiB."""

    bits: int
    """32 or 64"""
    machine: int
    entry: int
    """e_entry, of whichever kind the kernel's format says"""
    segments: tuple[Segment, ...]
    program_notes: tuple[NoteTable, ...]
    section_notes: tuple[NoteTable, ...]

    def segment_at(self, address: int) -> Segment | None:
        """The segment whose physical range has `address`."""
        return next((s for s in self.segments if s.range.start <= address < s.range.end), None)


def footprint(segments: Sequence[Segment]) -> GpaRange:
    """From the first one's start to the last one's end; they are ascending."""
    return GpaRange.between(segments[0].range.start, segments[-1].range.end)


def is_elf(head: bytes | memoryview) -> bool:
    return bytes(head[:4]) == MAGIC


def read_elf(data: memoryview, name: str = "kernel") -> ElfFile:
    """The ELF that is `data`, a private copy. Raises: LayoutError with field and offset.

    name: what a refusal calls it.
    """
    return _Reader(data, name).read()


class _Reader:
    """Reads one file; `at` of a refusal is an offset in the ELF, unpacked if it came packed."""

    def __init__(self, data: memoryview, name: str) -> None:
        self._data = data.toreadonly()
        self._name = name
        self._size = len(data)

    def read(self) -> ElfFile:
        layout, bits = self._identify()
        header = {name: self._get(spec, 0) for name, spec in layout.header.items()}
        if header["e_version"] != 1:
            raise self._refuse(layout, "e_version", header, "it must be 1")
        if header["e_type"] not in (_EXECUTABLE, _SHARED):
            raise self._refuse(
                layout,
                "e_type",
                header,
                "a kernel is an executable (2) or position independent (3): name the linked kernel",
            )
        if header["e_machine"] not in (EM_386, EM_X86_64):
            raise self._refuse(
                layout,
                "e_machine",
                header,
                f"an x86 PC runs i386 ({EM_386}) and x86-64 ({EM_X86_64}): build it for one",
            )
        programs = self._table(layout, header, "e_ph", layout.program_bytes, HEADERS_MAX)
        segments: list[tuple[int, Segment]] = []
        notes: list[NoteTable] = []
        for index, base in enumerate(programs):
            fields = {name: self._get(spec, base) for name, spec in layout.program.items()}
            where = f"phdr[{index}]"
            if fields["p_type"] == _PT_LOAD and fields["p_memsz"]:
                segments.append((index, self._segment(where, base, layout, fields)))
            elif fields["p_type"] == _PT_LOAD and fields["p_filesz"]:
                raise self._bad(where, "p_filesz", base, layout, fields, "p_memsz is 0")
            elif fields["p_type"] == _PT_NOTE and fields["p_offset"] and fields["p_filesz"]:
                data = self._inside(where, base, layout, fields)
                notes.append(NoteTable(where, fields["p_offset"], data))
        return ElfFile(
            bits,
            header["e_machine"],
            header["e_entry"],
            self._disjoint(segments, layout, header),
            tuple(notes),
            tuple(self._section_notes(layout, header)),
        )

    def _identify(self) -> tuple[_Layout, int]:
        ident = bytes(self._data[:7])
        for offset, name, known, remedy in (
            (0, "e_ident", MAGIC, "an ELF file starts with 7f454c46"),
            (4, "e_ident[EI_CLASS]", (b"\1", b"\2"), "1 is 32-bit, 2 is 64-bit"),
            (5, "e_ident[EI_DATA]", (b"\1",), "an x86 kernel is little-endian (1)"),
            (6, "e_ident[EI_VERSION]", (b"\1",), "it must be 1"),
        ):
            length = len(known) if isinstance(known, bytes) else 1
            found = ident[offset : offset + length]
            if found != known and found not in known:
                raise LayoutError(
                    f"{self._name} ELF {name}", offset, found.hex() or "missing", remedy
                )
        if self._size < _HEADER_BYTES[ident[4]]:
            raise LayoutError(
                f"{self._name} ELF header",
                0,
                f"{self._size:#x} bytes long",
                f"it has {_HEADER_BYTES[ident[4]]:#x}: the file is cut short, copy it again",
            )
        return _LAYOUTS[ident[4]], 32 * ident[4]

    def _table(
        self, layout: _Layout, header: dict[str, int], prefix: str, entry_bytes: int, most: int
    ) -> Iterator[int]:
        """The offsets of the entries of a header table."""
        count, start = header[f"{prefix}num"], header[f"{prefix}off"]
        if count and header[f"{prefix}entsize"] != entry_bytes:
            name = f"{prefix}entsize"
            raise self._refuse(layout, name, header, f"it must be {entry_bytes:#x}")
        if count > most:
            raise self._refuse(layout, f"{prefix}num", header, f"at most {most} are read")
        if count and start + count * entry_bytes > self._size:
            raise self._refuse(
                layout,
                f"{prefix}off",
                header,
                f"{count} entries do not fit into {self._size:#x} bytes: the file is cut short",
            )
        return iter(range(start, start + count * entry_bytes, entry_bytes))

    def _segment(self, where: str, base: int, layout: _Layout, fields: dict[str, int]) -> Segment:
        if fields["p_filesz"] > fields["p_memsz"]:
            remedy = f"p_memsz is {fields['p_memsz']:#x}, and a segment is no smaller in memory"
            raise self._bad(where, "p_filesz", base, layout, fields, remedy)
        if fields["p_paddr"] >= FOUR_GIB:
            remedy = "a kernel entered in 32 bits lies below 4 GiB"
            raise self._bad(where, "p_paddr", base, layout, fields, remedy)
        if fields["p_paddr"] + fields["p_memsz"] > FOUR_GIB:
            remedy = f"it would end above 4 GiB from p_paddr {fields['p_paddr']:#x}"
            raise self._bad(where, "p_memsz", base, layout, fields, remedy)
        content = self._inside(where, base, layout, fields)
        place = GpaRange(Gpa(fields["p_paddr"]), fields["p_memsz"])
        return Segment(place, content, fields["p_vaddr"], fields["p_align"])

    def _inside(self, where: str, base: int, layout: _Layout, fields: dict[str, int]) -> memoryview:
        """The bytes of the file that a program header names."""
        start, size = fields["p_offset"], fields["p_filesz"]
        if start + size > self._size:
            remedy = (
                f"with p_filesz {size:#x} it ends behind the file's {self._size:#x} bytes: "
                "the file is cut short, copy it again"
            )
            raise self._bad(where, "p_offset", base, layout, fields, remedy)
        return self._data[start : start + size]

    def _disjoint(
        self, segments: list[tuple[int, Segment]], layout: _Layout, header: dict[str, int]
    ) -> tuple[Segment, ...]:
        """The segments in the order of their addresses; with each comes its header's number."""
        count = len(segments)
        if not 0 < count <= SEGMENTS_MAX:
            raise LayoutError(
                f"{self._name} ELF e_phnum",
                layout.header["e_phnum"][0],
                f"{header['e_phnum']:#x}, {count or 'none'} of them PT_LOAD with content",
                f"1 to {SEGMENTS_MAX} are loaded: name the linked kernel",
            )
        ordered = sorted(segments, key=lambda numbered: numbered[1].range.start)
        for (before, low), (index, high) in pairwise(ordered):
            if low.range.overlaps(high.range):
                base = header["e_phoff"] + index * layout.program_bytes
                raise LayoutError(
                    f"{self._name} ELF phdr[{index}].p_paddr",
                    base + layout.program["p_paddr"][0],
                    f"{high.range.start:#x}, so {high.range} meets {low.range} of phdr[{before}]",
                    "segments must be disjoint by p_paddr",
                )
        return tuple(segment for _, segment in ordered)

    def _section_notes(self, layout: _Layout, header: dict[str, int]) -> Iterator[NoteTable]:
        """Sections are optional: a table that cannot be read is taken as none."""
        try:
            table = self._table(layout, header, "e_sh", layout.section_bytes, SECTIONS_MAX)
        except LayoutError:
            return
        for index, base in enumerate(table):
            fields = {name: self._get(spec, base) for name, spec in layout.section.items()}
            start, size = fields["sh_offset"], fields["sh_size"]
            if fields["sh_type"] == _SHT_NOTE and 0 < start < start + size <= self._size:
                yield NoteTable(f"shdr[{index}]", start, self._data[start : start + size])

    def _get(self, spec: tuple[int, str], base: int) -> int:
        value: Any = struct.unpack_from(spec[1], self._data, base + spec[0])[0]
        return int(value)

    def _refuse(
        self, layout: _Layout, name: str, header: dict[str, int], remedy: str
    ) -> LayoutError:
        return LayoutError(
            f"{self._name} ELF {name}", layout.header[name][0], f"{header[name]:#x}", remedy
        )

    def _bad(
        self,
        where: str,
        name: str,
        base: int,
        layout: _Layout,
        fields: dict[str, int],
        remedy: str,
    ) -> LayoutError:
        offset = base + layout.program[name][0]
        return LayoutError(f"{self._name} ELF {where}.{name}", offset, f"{fields[name]:#x}", remedy)
