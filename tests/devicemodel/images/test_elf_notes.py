from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.images.elf import read_elf
from devicemodel.images.elf_notes import Relocation, XenNotes, read_xen_notes
from handoff.errors import LayoutError
from tests.builders import outcome
from tests.devicemodel.images.elves import PVH_ELF, Load, note, phys32_entry

LOADS = (Load(0x400000, bytes(0x100), 0x2000, align=0x1000), Load(0x600000, b"x", align=0x400000))


def read(notes: bytes, loads: tuple[Load, ...] = LOADS) -> XenNotes:
    elf = replace(PVH_ELF, loads=loads, notes=notes)
    return read_xen_notes(read_elf(memoryview(elf.build())))


def refusal(notes: bytes) -> LayoutError:
    with pytest.raises(LayoutError) as refused:
        read(notes)
    return refused.value


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("entry", [0x400000, 0x401FFF, 0x600000])
def test_the_entry_is_an_address_of_four_or_eight_bytes(size: int, entry: int) -> None:
    assert read(phys32_entry(entry, size)) == XenNotes(entry, None)


def test_other_notes_are_passed_over() -> None:
    others = (
        note(18, b"1234", name=b"GNU\0"),
        note(18, b"1234", name=b"X"),
        note(18, b"", name=b""),
        note(7, b"odd"),
    )
    assert read(b"".join(others)) == XenNotes(None, None)
    assert read(b"".join(others) + phys32_entry(0x400000) + bytes(8)).phys32_entry == 0x400000


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((), Relocation(0x400000, 0, 0xFFFFFFFF)),
        ((0x10000,), Relocation(0x10000, 0, 0xFFFFFFFF)),
        ((0x10000, 0x800000), Relocation(0x10000, 0x800000, 0xFFFFFFFF)),
        ((0x10000, 0x800000, 0xFFFFFF), Relocation(0x10000, 0x800000, 0xFFFFFF)),
    ],
)
def test_a_kernel_may_say_where_it_can_be_moved(numbers: tuple[int, ...], said: Relocation) -> None:
    notes = phys32_entry(0x400000) + note(19, struct.pack(f"<{len(numbers)}I", *numbers))
    assert read(notes).relocation == said


def test_without_alignment_anywhere_two_mib_count() -> None:
    loads = (Load(0x400000, b"x", align=0),)
    assert read(phys32_entry(0x400000) + note(19, b""), loads).relocation == (
        Relocation(0x200000, 0, 0xFFFFFFFF)
    )


@pytest.mark.parametrize(
    ("desc", "said"),
    [
        (bytes(3), "PHYS32_ENTRY at offset 0xe8 is 3 bytes"),
        (bytes(12), "is 12 bytes: an address of 4 or 8 bytes"),
        (struct.pack("<I", 0x402000), "is 0x402000: no segment of the kernel lies there"),
        (struct.pack("<I", 0x3FFFFF), "is 0x3fffff: no segment"),
        (struct.pack("<Q", 1 << 63), "is 0x8000000000000000: no segment"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(desc: bytes, said: str) -> None:
    assert said in str(refusal(note(18, desc)))


@pytest.mark.parametrize(
    ("desc", "said"),
    [
        (b"12345", "is 5 bytes: up to three numbers"),
        (bytes(16), "is 16 bytes"),
        (struct.pack("<I", 0), "align at offset 0x100 is 0x0"),
        (struct.pack("<I", 0x800), "is 0x800: a power of two of at least 0x1000"),
        (struct.pack("<I", 0x3000), "is 0x3000"),
        (struct.pack("<III", 0x1000, 5, 4), "max at offset 0x100 is 0x4: it is below min 0x5"),
    ],
)
def test_a_relocation_that_cannot_be_is_refused(desc: bytes, said: str) -> None:
    assert said in str(refusal(phys32_entry(0x400000) + note(19, desc)))


def test_two_entries_are_refused_unless_they_agree() -> None:
    entry = phys32_entry(0x400000)
    assert read(entry + entry).phys32_entry == 0x400000
    assert "note[1] type" in refusal(entry + phys32_entry(0x400004)).field


@pytest.mark.parametrize("field", ["namesz", "descsz"])
@pytest.mark.parametrize("value", [0x100, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_note_that_leaves_its_table_is_refused(field: str, value: int) -> None:
    broken = bytearray(phys32_entry(0x400000))
    struct.pack_into("<I", broken, 0 if field == "namesz" else 4, value)
    refused = refusal(note(1, b"first") + bytes(broken))
    assert refused.field == f"kernel ELF phdr[2] note[1].{field}"


def test_a_list_of_notes_is_bounded() -> None:
    empty = note(0, b"", name=b"")
    assert read(empty * (0x10000 // len(empty))) == XenNotes(None, None)
    assert "at most 0x10000 are read" in str(refusal(empty * (0x10000 // len(empty) + 1)))


def test_many_headers_over_the_same_notes_are_bounded_together() -> None:
    elf = replace(PVH_ELF, loads=LOADS, notes=note(0, b"", name=b"") * 2000)
    twice = {(0, "p_type"): 4, (0, "p_offset"): 0xE8, (0, "p_filesz"): 24000}
    three = {(1, "p_type"): 4, (1, "p_offset"): 0xE8, (1, "p_filesz"): 24000}
    loads = (*LOADS, Load(0x800000, b"x"))
    with pytest.raises(LayoutError, match="0x11940 bytes with those before"):
        read_xen_notes(
            read_elf(memoryview(replace(elf, loads=loads, program=twice | three).build()))
        )


words = st.sampled_from([0, 1, 3, 4, 8, 12, 18, 19, 0x7FFFFFFF, 0xFFFFFFFF]) | st.integers(0, 40)
tables = st.lists(
    st.builds(note, st.sampled_from([17, 18, 19]), st.binary(max_size=13))
    | st.builds(lambda a, b, c: struct.pack("<III", a, b, c) + b"Xen\0", words, words, words),
    max_size=6,
).map(b"".join)


@given(tables)
def test_any_notes_give_an_entry_in_the_kernel_or_a_refusal(notes: bytes) -> None:
    found = outcome(lambda: read(notes), LayoutError)
    if isinstance(found, LayoutError):
        assert str(found).isprintable()
    elif found.phys32_entry is not None:
        entry = found.phys32_entry
        assert 0x400000 <= entry < 0x402000 or entry == 0x600000
