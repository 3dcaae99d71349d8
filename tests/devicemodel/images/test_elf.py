from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.images.elf import SEGMENTS_MAX, ElfFile, footprint, read_elf
from handoff.addresses import FOUR_GIB, GpaRange, first_overlap
from handoff.errors import LayoutError
from tests.builders import outcome
from tests.devicemodel.images.elves import DATA, PVH_ELF, TEXT, Elf, Load, note


def read(elf: Elf | bytes) -> ElfFile:
    return read_elf(memoryview(elf if isinstance(elf, bytes) else elf.build()))


def refusal(elf: Elf | bytes) -> LayoutError:
    with pytest.raises(LayoutError) as refused:
        read(elf)
    return refused.value


@pytest.mark.parametrize("bits", [32, 64])
def test_segments_are_what_the_program_headers_say(bits: int) -> None:
    loads = (Load(0x500000, DATA, 0x2000, vaddr=0xC0500000), Load(0x200000, TEXT, align=0x200000))
    elf = read(Elf(loads, bits=bits, entry=0x200010, notes=note(1, b"x")))
    low, high = elf.segments
    assert (elf.bits, elf.machine, elf.entry) == (bits, 3 if bits == 32 else 62, 0x200010)
    assert (low.range, bytes(low.content)) == (GpaRange.between(0x200000, 0x201234), TEXT)
    assert (high.range, bytes(high.content)) == (GpaRange.between(0x500000, 0x502000), DATA)
    assert (low.align, high.vaddr) == (0x200000, 0xC0500000)
    assert [bytes(table.data) for table in elf.program_notes] == [note(1, b"x")]
    assert footprint(elf.segments) == GpaRange.between(0x200000, 0x502000)


def test_an_empty_segment_is_none() -> None:
    loads = (*PVH_ELF.loads, Load(0x5000000, b""))
    assert len(read(replace(PVH_ELF, loads=loads)).segments) == 2


def test_nothing_is_copied_and_nothing_can_be_written() -> None:
    file = PVH_ELF.build()
    content = read(file).segments[0].content
    assert content.obj is file
    assert content.readonly


def test_notes_of_sections_are_found_too() -> None:
    file = bytearray(replace(PVH_ELF, header={"e_shnum": 1, "e_shoff": 0x4000}).build())
    file += bytes(0x4000 - len(file) + 0x40) + note(18, bytes(4))
    size = len(note(18, bytes(4)))
    file[0x4004:0x4008] = (7).to_bytes(4, "little")  # SHT_NOTE
    file[0x4018:0x4020] = (0x4040).to_bytes(8, "little")
    file[0x4020:0x4028] = size.to_bytes(8, "little")
    (table,) = read(bytes(file)).section_notes
    assert (table.name, table.offset, len(table.data)) == ("shdr[0]", 0x4040, size)


@pytest.mark.parametrize(
    "sections", [{"e_shoff": 1 << 62, "e_shnum": 9}, {"e_shnum": 0xFFFF}, {"e_shentsize": 3}]
)
def test_a_section_table_that_cannot_be_read_is_none(sections: Mapping[str, int]) -> None:
    header = {"e_shnum": 1, **sections}
    assert read(replace(PVH_ELF, header=header)).section_notes == ()


@pytest.mark.parametrize(
    ("header", "field", "offset"),
    [
        ({"class": 3}, "e_ident[EI_CLASS]", 4),
        ({"data": 2}, "e_ident[EI_DATA]", 5),
        ({"ident_version": 0}, "e_ident[EI_VERSION]", 6),
        ({"e_type": 1}, "e_type", 0x10),
        ({"e_machine": 8}, "e_machine", 0x12),
        ({"e_version": 2}, "e_version", 0x14),
        ({"e_phentsize": 0x20}, "e_phentsize", 0x36),
        ({"e_phnum": 65}, "e_phnum", 0x38),
        ({"e_phoff": 1 << 40}, "e_phoff", 0x20),
        ({"e_phoff": (1 << 64) - 1}, "e_phoff", 0x20),
    ],
)
def test_a_bad_header_is_refused_by_field(header: dict[str, int], field: str, offset: int) -> None:
    refused = refusal(replace(PVH_ELF, header=header))
    assert (refused.field, refused.offset) == (f"kernel ELF {field}", offset)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("p_offset", 1 << 20, "p_offset"),
        ("p_offset", (1 << 64) - 8, "p_offset"),
        ("p_filesz", 0x1235, "p_filesz"),  # more than p_memsz
        ("p_memsz", 0x1233, "p_filesz"),
        ("p_memsz", 0, "p_filesz"),
        ("p_memsz", FOUR_GIB, "p_memsz"),
        ("p_memsz", (1 << 64) - 1, "p_memsz"),  # wraps
        ("p_paddr", FOUR_GIB, "p_paddr"),
        ("p_paddr", (1 << 64) - 0x1000, "p_paddr"),
    ],
)
def test_a_bad_segment_is_refused_by_field(name: str, value: int, field: str) -> None:
    refused = refusal(replace(PVH_ELF, program={(0, name): value}))
    assert refused.field == f"kernel ELF phdr[0].{field}"
    assert 0x40 <= refused.offset < 0x78


def test_a_note_table_behind_the_end_is_refused() -> None:
    refused = refusal(replace(PVH_ELF, program={(2, "p_filesz"): 1 << 40}))
    assert refused.field == "kernel ELF phdr[2].p_offset"


@pytest.mark.parametrize("first", [0, 1])
def test_segments_that_overlap_are_refused_by_the_header_of_the_higher_one(first: int) -> None:
    loads = (Load(0x200000, TEXT), Load(0x201233, DATA))
    refused = refusal(Elf((loads[first], loads[1 - first])))
    assert refused.field == f"kernel ELF phdr[{1 - first}].p_paddr"
    assert refused.offset == 0x40 + 0x38 * (1 - first) + 0x18
    both = f"[0x201233, 0x201333) meets [0x200000, 0x201234) of phdr[{first}]"
    assert refused.found == f"0x201233, so {both}"
    read(Elf((Load(0x200000, TEXT), Load(0x201234, DATA))))


def test_the_number_of_segments_is_bounded() -> None:
    loads = tuple(Load(0x200000 + 0x1000 * n, b"x") for n in range(SEGMENTS_MAX))
    read(Elf(loads))
    refused = refusal(Elf((*loads, Load(0x900000, b"x"))))
    assert (refused.field, refused.offset) == ("kernel ELF e_phnum", 0x38)
    assert refused.found == "0xd, 13 of them PT_LOAD with content"


@pytest.mark.parametrize(("bits", "offset"), [(32, 0x2C), (64, 0x38)])
def test_a_file_without_segments_is_no_kernel(bits: int, offset: int) -> None:
    # Where the table would be is of no matter then, and may be anywhere.
    refused = refusal(Elf((), bits=bits, header={"e_phoff": 0x20000010}))
    assert (refused.field, refused.offset) == ("kernel ELF e_phnum", offset)
    assert refused.found == "0x0, none of them PT_LOAD with content"


@pytest.mark.parametrize("bits", [32, 64])
def test_a_file_cut_anywhere_is_refused(bits: int) -> None:
    file = replace(PVH_ELF, bits=bits, loads=(Load(0x200000, b"kernel"),), notes=b"").build()
    for size in range(len(file)):
        refusal(file[:size])
    assert len(read(file).segments) == 1


edits = st.lists(
    st.tuples(
        st.integers(0, 0x120), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
    ),
    max_size=12,
)


@given(st.sampled_from([32, 64]), edits, st.integers(0, 0x200))
def test_any_bytes_give_disjoint_segments_inside_the_file_or_a_refusal(
    bits: int, changes: list[tuple[int, int]], cut: int
) -> None:
    file = bytearray(replace(PVH_ELF, bits=bits, loads=(Load(0x200000, DATA),)).build())
    for at, value in changes:
        file[min(at, len(file) - 1)] = value
    elf = outcome(lambda: read(bytes(file[: len(file) - cut])), LayoutError)
    if isinstance(elf, LayoutError):
        assert str(elf).isprintable()
        return
    assert first_overlap(segment.range for segment in elf.segments) is None
    for segment in elf.segments:
        assert len(segment.content) <= segment.range.size
        assert segment.range.end <= FOUR_GIB
